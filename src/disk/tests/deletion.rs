//! Deleting: exact, at once, and for ever.

use std::fs;
use std::path::Path;

use tocsin_core::model::{MatchOp, Matcher};
use tocsin_core::store::Store;
use tocsin_core::time::{Span, Timestamp};

use super::{append, at, content, copy_tree, cut_all, names, open, open_with};
use crate::disk::{Disk, DiskError, DiskOptions, Merged};

fn delete(store: &Store, disk: &Disk, matchers: &[Matcher], from: Timestamp, to: Timestamp) -> (u64, u64) {
    let deletion = store.deletion(&[matchers.to_vec()], from, to);
    let counted = store.count(&deletion);
    assert!(counted.uncounted.is_none(), "{counted:?}");
    disk.delete(store, &deletion).unwrap();
    (counted.series, counted.samples)
}

fn steady(n: &str) -> Vec<Matcher> {
    vec![Matcher::equal("__name__", "steady"), Matcher::equal("n", n)]
}

#[test]
fn what_is_deleted_stays_so_in_a_damaged_block_that_is_mended_and_put_back() {
    let data = tempfile::tempdir().unwrap();
    let (store, disk) = filled(data.path());
    let before = content(&store);
    delete(&store, &disk, &steady("3"), at(0), at(300));
    drop((store, disk));
    let blocks = data.path().join("metrics/blocks");
    let all = names(&blocks);
    let path = blocks.join(&all[1]);
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&path, bad).unwrap();

    let (store, disk, report) = open(data.path());
    assert_eq!(report.damage.len(), 1);
    // Also what is deleted meanwhile, and nothing takes its place: not a merged block, not one of its number.
    delete(&store, &disk, &steady("4"), at(0), at(300));
    disk.clean(&store, &mut || ()).unwrap();
    disk.merge(&store, at(1000) + Span::from_mins(61), &mut || ()).unwrap();
    disk.maintain(&store, at(1000)).unwrap();
    assert_eq!(store.tombstones_len(), 2);
    drop((store, disk));
    drop(open(data.path()));
    fs::rename(blocks.join(format!("{}.damaged", all[1])), &path).unwrap();
    fs::write(&path, good).unwrap();
    let expected = without(&before, "{__name__=\"steady\", n=\"3\"} ", at(0), at(300));
    let expected = without(&expected, "{__name__=\"steady\", n=\"4\"} ", at(0), at(300));
    let (store, disk, report) = open(data.path());
    assert_eq!((report.damage, content(&store)), (vec![], expected.clone()));
    disk.clean(&store, &mut || ()).unwrap();
    disk.merge(&store, at(1000) + Span::from_mins(61), &mut || ()).unwrap();
    assert_eq!((content(&store), store.tombstones_len()), (expected, 0));
}

#[test]
fn a_cleaning_gives_signs_of_life_and_ends_when_the_service_stops() {
    let data = tempfile::tempdir().unwrap();
    let (store, disk) = filled(data.path());
    let blocks = store.stats(0).blocks;
    delete(&store, &disk, &steady("3"), Timestamp::MIN, Timestamp::MAX);
    let (expected, mut beats) = (content(&store), 0);
    let cleaned = disk.clean(&store, &mut || {
        beats += 1;
        if beats == 2 {
            disk.stop();
        }
    });
    assert!(cleaned.is_err() || cleaned.is_ok_and(|count| count < blocks), "it goes on though the service stops");
    assert!(beats >= 2 && beats < blocks, "{beats} beats");
    assert_eq!((disk.merge(&store, at(2000), &mut || ()).unwrap(), content(&store)), (Merged::default(), expected.clone()));
    drop((store, disk));
    let (store, disk, report) = open(data.path());
    assert_eq!((report.damage, content(&store)), (vec![], expected.clone()));
    beats = 0;
    let cleaned = disk.clean(&store, &mut || beats += 1).unwrap();
    assert!(beats >= cleaned && cleaned > 0, "{beats} beats for {cleaned} blocks");
    assert_eq!((content(&store), store.tombstones_len()), (expected, 0));
}

#[test]
fn a_block_that_cannot_be_read_does_not_keep_samples_from_being_deleted() {
    let data = tempfile::tempdir().unwrap();
    let (store, disk) = filled(data.path());
    drop((store, disk));
    let blocks = data.path().join("metrics/blocks");
    let path = blocks.join(&names(&blocks)[0]);
    let mut bytes = fs::read(&path).unwrap();
    // Behind the mark lie the first samples, which no start reads.
    bytes[12] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    let (store, disk, report) = open(data.path());
    assert_eq!(report.damage, []);
    let all = Matcher::new("__name__", MatchOp::Regex, ".+").unwrap();
    let deletion = store.deletion(&[vec![all]], Timestamp::MIN, Timestamp::MAX);
    let counted = store.count(&deletion);
    let told = counted.shortfall().expect("not all is counted");
    assert!(told.contains(&format!("block {}", names(&blocks)[0])), "{told}");
    let uncounted = counted.uncounted.as_ref().map_or(0, |own| own.series);
    assert!(counted.series > 90 && (1..=5).contains(&uncounted), "all others are counted: {counted:?}");
    disk.delete(&store, &deletion).unwrap();
    assert_eq!(store.tombstones_len(), 1);
}

/// Returns a folder with blocks, some merged, and rows in memory.
fn filled(data: &Path) -> (Store, Disk) {
    let (store, disk, _) = open_with(data, DiskOptions { block_bytes_max: 600, ..DiskOptions::default() });
    for number in 0..1000 {
        append(&store, &disk, number);
        if number % 40 == 0 {
            disk.maintain(&store, at(number)).unwrap();
        }
    }
    (store, disk)
}

fn without(lines: &[String], start: &str, from: Timestamp, to: Timestamp) -> Vec<String> {
    let is_gone = |line: &&String| {
        let mut words = line[start.len().min(line.len())..].split(' ');
        line.starts_with(start)
            && words.next().and_then(|word| word.parse::<i64>().ok()).is_some_and(|own| own >= from.0 && own <= to.0)
    };
    lines.iter().filter(|line| !is_gone(line)).cloned().collect()
}

#[test]
fn what_is_deleted_is_gone_at_once_and_after_a_kill_and_its_room_is_free_later() {
    let data = tempfile::tempdir().unwrap();
    let (store, disk) = filled(data.path());
    let before = content(&store);
    let (from, to) = (at(100), at(950));
    let (series, samples) = delete(&store, &disk, &steady("3"), from, to);
    assert_eq!((series, samples), (1, 851));
    let expected = without(&before, "{__name__=\"steady\", n=\"3\"} ", from, to);
    assert_eq!((expected.len(), content(&store)), (before.len() - 851, expected.clone()));
    assert_eq!(store.tombstones_len(), 1);

    // A kill at once, with nothing of the deletion but what is on the disk.
    let killed = tempfile::tempdir().unwrap();
    copy_tree(data.path(), killed.path());
    let (other, other_disk, report) = open(killed.path());
    assert_eq!((report.damage, content(&other)), (vec![], expected.clone()));
    drop(other_disk);

    // What is written later is seen, also where it was deleted, after a restart, and beside the block that hides the old.
    let again = store.resolve(&tocsin_core::model::LabelSet::from_pairs([("__name__", "steady"), ("n", "3")])).unwrap();
    let cell =
        |at| tocsin_core::model::Cell { series: again, at: Some(at), value: tocsin_core::model::Value::Float(200.0 / 7.0) };
    let row = tocsin_core::model::Row { at: at(200), cells: vec![cell(at(200)), cell(at(201))] };
    assert_eq!(disk.append_bulk(&store, &[row]).unwrap().appended.samples, 2);
    let mut expected = expected;
    for number in [200, 201] {
        expected.push(format!("{{__name__=\"steady\", n=\"3\"}} {} {:x}", at(number).0, (200.0f64 / 7.0).to_bits()));
    }
    expected.sort();
    assert_eq!(content(&store), expected);
    drop((store, disk));
    let (store, disk, _) = open(data.path());
    assert_eq!((content(&store), store.tombstones_len()), (expected.clone(), 1));

    // Merged and cut, it stays so.
    cut_all(&store, &disk, at(1000));
    disk.merge(&store, at(1000) + Span::from_mins(61), &mut || ()).unwrap();
    assert_eq!(content(&store), expected);
    drop((store, disk));
    let (store, disk, _) = open(data.path());
    assert_eq!(content(&store), expected);

    let (bytes, held) = (store.stats(0).blocks_bytes, store.stats(0).blocks_samples);
    let rewritten = disk.clean(&store, &mut || ()).unwrap();
    let stats = store.stats(0);
    assert!(rewritten > 0 && stats.blocks_bytes < bytes && stats.blocks_samples < held, "{rewritten} blocks");
    assert_eq!((content(&store), store.tombstones_len()), (expected.clone(), 0));
    assert_eq!(names(&data.path().join("metrics/blocks")).len(), stats.blocks);
    drop((store, disk));
    let (store, disk, report) = open(data.path());
    assert_eq!((report.damage, content(&store)), (vec![], expected));
    assert_eq!(disk.clean(&store, &mut || ()).unwrap(), 0);
}

#[test]
fn one_block_a_round_is_written_anew_and_untouched_ones_stay() {
    let data = tempfile::tempdir().unwrap();
    let (store, disk) = filled(data.path());
    let all = names(&data.path().join("metrics/blocks"));
    let before = content(&store);
    // Each of these series has one sample, in one block or in memory.
    let fresh = [Matcher::equal("__name__", "fresh"), Matcher::new("n", MatchOp::Regex, "100|300").unwrap()];
    assert_eq!(delete(&store, &disk, &fresh, Timestamp::MIN, Timestamp::MAX), (2, 2));
    let named = store.series(&[fresh.to_vec()], Timestamp::MIN, Timestamp::MAX, 0);
    assert!(named.items.is_empty(), "lists do not name what is gone");
    let rounds: Vec<usize> = (0..4).map(|_| disk.merge(&store, at(0), &mut || ()).unwrap().rewritten).collect();
    assert_eq!(rounds, [1, 1, 0, 0]);
    let left = names(&data.path().join("metrics/blocks"));
    assert_eq!(left.iter().filter(|name| !all.contains(name)).count(), 2);
    assert_eq!((left.len(), store.tombstones_len(), content(&store).len()), (all.len(), 0, before.len() - 2));
}

#[test]
fn a_block_of_which_everything_is_deleted_goes_and_its_number_is_no_trap() {
    let data = tempfile::tempdir().unwrap();
    let (store, disk) = filled(data.path());
    let all = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    delete(&store, &disk, &all, Timestamp::MIN, Timestamp::MAX);
    assert!(content(&store).is_empty() && store.stats(0).blocks > 0);
    // All blocks are lost, and new ones come, whose numbers the tombstone must not speak of.
    drop((store, disk));
    fs::remove_dir_all(data.path().join("metrics/blocks")).unwrap();
    let (store, disk, _) = open(data.path());
    assert!(content(&store).is_empty());
    (2000..2400).for_each(|number| drop(append(&store, &disk, number)));
    let before = content(&store);
    cut_all(&store, &disk, at(2600));
    assert!(store.stats(0).blocks > 0);
    drop((store, disk));
    assert_eq!(content(&open(data.path()).0), before);

    let data = tempfile::tempdir().unwrap();
    let (store, disk) = filled(data.path());
    delete(&store, &disk, &all, Timestamp::MIN, Timestamp::MAX);
    assert!(disk.clean(&store, &mut || ()).unwrap() > 0);
    assert_eq!((store.stats(0).blocks, names(&data.path().join("metrics/blocks")).len()), (0, 0));
    (2000..2400).for_each(|number| drop(append(&store, &disk, number)));
    cut_all(&store, &disk, at(2600));
    assert_eq!(content(&store), before);
    drop((store, disk));
    assert_eq!(content(&open(data.path()).0), before);
}

#[test]
fn nothing_is_deleted_that_could_come_back() {
    let data = tempfile::tempdir().unwrap();
    let (store, disk) = filled(data.path());
    let before = content(&store);
    let deletion = store.deletion(&[steady("1")], Timestamp::MIN, Timestamp::MAX);
    disk.leave_room(true);
    assert!(matches!(disk.delete(&store, &deletion), Err(DiskError::Suspended)));
    disk.leave_room(false);
    disk.maintain(&store, at(1000)).unwrap();
    // Nothing can be written under this name.
    fs::create_dir(data.path().join("metrics/tombstones.tmp")).unwrap();
    assert!(matches!(disk.delete(&store, &deletion), Err(DiskError::Io { .. })));
    assert_eq!((content(&store), store.tombstones_len()), (before, 0));
}

#[test]
fn a_note_of_a_deletion_that_cannot_be_read_is_kept_aside() {
    let data = tempfile::tempdir().unwrap();
    drop(open(data.path()));
    let note = data.path().join("metrics/deleting");
    fs::write(&note, "no deletion").unwrap();
    let (_store, disk, report) = open(data.path());
    assert_eq!(report.damage.iter().map(|damage| &damage.file).collect::<Vec<_>>(), [&note]);
    assert!(disk.has_damaged_files() && !note.exists());
    drop(disk);
    assert_eq!(open(data.path()).2.damage, []);
}
