use std::fs;
use std::path::Path;

use tocsin_core::model::{Cell, LabelSet, Row, Select, Source, Value};
use tocsin_core::store::{Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};

use super::{Disk, DiskError, DiskOptions, Merged, RecoveryReport};

const START: i64 = 1_795_231_650_000;
const STEP: i64 = 15_000;

fn store() -> Store {
    Store::new(StoreOptions { retention: Span(24 * 3_600_000), ..StoreOptions::default() })
}

fn open(data: &Path) -> (Store, Disk, RecoveryReport) {
    open_with(data, DiskOptions::default())
}

fn open_with(data: &Path, options: DiskOptions) -> (Store, Disk, RecoveryReport) {
    let store = store();
    let (disk, report) = Disk::open_with(data, &store, options).unwrap();
    (store, disk, report)
}

/// Appends a row of five cells; every tenth row names a new series too.
fn append(store: &Store, disk: &Disk, number: i64) -> Option<std::io::Error> {
    let resolve = |name: &str, value: i64| {
        let series = store.resolve(&LabelSet::from_pairs([("__name__", name), ("n", &value.to_string())])).unwrap();
        Cell { series, at: None, value: Value::Float(number as f64 / 7.0) }
    };
    let mut cells: Vec<Cell> = (0..5).map(|index| resolve("steady", index)).collect();
    if number % 10 == 0 {
        cells.push(resolve("fresh", number));
    }
    let written = disk.append(store, &Row { at: at(number), cells }).unwrap();
    assert!(written.appended.samples >= 5);
    written.unlogged
}

fn at(number: i64) -> Timestamp {
    Timestamp(START + number * STEP)
}

/// Returns every sample as text.
fn content(store: &Store) -> Vec<String> {
    let request =
        Select { matchers: &[], start: Timestamp::MIN, end: Timestamp::MAX, samples_max: usize::MAX, newest_only: false };
    let series = store.select(&request).unwrap();
    let mut lines: Vec<String> = series
        .iter()
        .flat_map(|series| {
            series.floats.iter().map(|(at, value)| format!("{} {at} {:x}", series.labels, value.to_bits())).collect::<Vec<_>>()
        })
        .collect();
    lines.sort();
    lines
}

/// Returns the numbers of the rows that are whole; panics when one is there in part.
fn rows(store: &Store) -> Vec<i64> {
    let request =
        Select { matchers: &[], start: Timestamp::MIN, end: Timestamp::MAX, samples_max: usize::MAX, newest_only: false };
    let series = store.select(&request).unwrap();
    let count = |number: i64| {
        series.iter().filter(|series| series.floats.binary_search_by_key(&at(number).0, |(own, _)| *own).is_ok()).count()
    };
    let wanted = |number: i64| if number % 10 == 0 { 6 } else { 5 };
    let there = |number: &i64| {
        let count = count(*number);
        assert!(count == 0 || count == wanted(*number), "row {number} has {count} samples");
        count > 0
    };
    (0..4000).filter(there).collect()
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let own = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &own);
        } else {
            fs::copy(&path, own).unwrap();
        }
    }
}

/// Gives each page its turn once.
fn cut_all(store: &Store, disk: &Disk, now: Timestamp) {
    (0..30).for_each(|minute| drop(disk.maintain(store, now + Span::from_mins(minute)).unwrap()));
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_appended_is_there_after_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let (store, disk, report) = open(data.path());
    assert_eq!(report, RecoveryReport::default());
    (0..50).for_each(|number| assert!(append(&store, &disk, number).is_none()));
    let before = content(&store);
    // A kill closes the files and nothing else.
    drop(disk);
    let (store, disk, report) = open(data.path());
    assert_eq!((report.replayed.rows, report.replayed.series, report.cut_bytes), (50, 10, 0));
    assert_eq!(content(&store), before);
    (50..60).for_each(|number| drop(append(&store, &disk, number)));
    disk.sync().unwrap();
    disk.checkpoint(&store).unwrap();
    (60..70).for_each(|number| drop(append(&store, &disk, number)));
    drop(disk);
    assert_eq!(names(&data.path().join("metrics/wal")), ["00000002", "checkpoint-00000001"]);
    let (store, _disk, report) = open(data.path());
    assert_eq!((report.replayed.rows, report.files), (10, 2));
    assert_eq!(rows(&store), (0..70).collect::<Vec<_>>());
}

#[test]
fn one_process_at_a_time() {
    let data = tempfile::tempdir().unwrap();
    let (_store, disk, _) = open(data.path());
    assert!(matches!(Disk::open(data.path(), &store()), Err(DiskError::InUse { .. })));
    drop(disk);
    open(data.path());
}

#[test]
fn a_torn_tail_costs_no_more_than_itself() {
    let data = tempfile::tempdir().unwrap();
    let (store, disk, _) = open(data.path());
    let segment = data.path().join("metrics/wal/00000001");
    let mut ends = Vec::new();
    for number in 0..6 {
        append(&store, &disk, number);
        ends.push(fs::metadata(&segment).unwrap().len());
    }
    drop(disk);
    let bytes = fs::read(&segment).unwrap();
    for cut in 0..=bytes.len() {
        for zeros in [0, 100] {
            let mut torn = bytes[..cut].to_vec();
            torn.resize(cut + zeros, 0);
            fs::write(&segment, torn).unwrap();
            // Zeros in place of zeros are no loss.
            let is_whole = |end: &&u64| {
                **end <= (cut + zeros) as u64 && bytes[cut.min(**end as usize)..**end as usize].iter().all(|byte| *byte == 0)
            };
            let whole = ends.iter().filter(is_whole).count() as i64;
            let (store, disk, report) = open(data.path());
            assert_eq!(report.damage, [], "cut at {cut}");
            assert_eq!(rows(&store), (0..whole).collect::<Vec<_>>(), "cut at {cut}");
            if cut % 16 == 0 {
                append(&store, &disk, 100);
                drop(disk);
                let (store, _disk, report) = open(data.path());
                assert_eq!((report.cut_bytes, report.damage), (0, vec![]));
                assert_eq!(rows(&store), (0..whole).chain([100]).collect::<Vec<_>>(), "cut at {cut}");
            }
        }
    }
}

#[test]
fn damage_is_reported_and_kept_aside() {
    let data = tempfile::tempdir().unwrap();
    let options = DiskOptions { segment_bytes_max: 1000, ..DiskOptions::default() };
    let (store, disk, _) = open_with(data.path(), options.clone());
    (0..100).for_each(|number| drop(append(&store, &disk, number)));
    drop((store, disk));
    let wal = data.path().join("metrics/wal");
    assert!(names(&wal).len() >= 5);
    let mut seed = 88_172_645_463_325_252u64;
    for _ in 0..200 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let own = tempfile::tempdir().unwrap();
        copy_tree(data.path(), own.path());
        let wal = own.path().join("metrics/wal");
        let all = names(&wal);
        // The first segment names the series that all rows have.
        let segment = wal.join(&all[1 + seed as usize % (all.len() - 1)]);
        let mut bytes = fs::read(&segment).unwrap();
        let place = (seed >> 16) as usize % bytes.len();
        bytes[place] ^= 1 << (seed % 8);
        fs::write(&segment, bytes).unwrap();

        let (store, disk, report) = open_with(own.path(), options.clone());
        let (found, lines) = (rows(&store), content(&store));
        assert!(found.len() >= 100 - 45, "{} rows after damage in {}", found.len(), segment.display());
        append(&store, &disk, 200);
        drop(disk);
        if let Some(damage) = report.damage.first() {
            assert_eq!(damage.file, segment);
            let aside = format!("{}.damaged", segment.file_name().unwrap().to_str().unwrap());
            assert!(names(&wal).contains(&aside));
        }
        let (store, _disk, report) = open_with(own.path(), options.clone());
        assert_eq!(report.damage, []);
        assert_eq!(rows(&store), found.into_iter().chain([200]).collect::<Vec<_>>());
        assert!(content(&store).len() > lines.len());
    }
}

#[test]
fn a_full_disk_stops_the_log_and_not_the_store() {
    let data = tempfile::tempdir().unwrap();
    let options = DiskOptions { segment_bytes_max: 1000, ..DiskOptions::default() };
    let (store, disk, _) = open_with(data.path(), options.clone());
    (0..5).for_each(|number| drop(append(&store, &disk, number)));
    // Nothing can be made in the folder while a file has its name.
    let (wal, away) = (data.path().join("metrics/wal"), data.path().join("away"));
    fs::rename(&wal, &away).unwrap();
    fs::write(&wal, "").unwrap();
    let failed = (5..40).filter(|number| append(&store, &disk, *number).is_some()).count();
    assert!(failed > 10 && disk.is_suspended());
    assert!(disk.maintain(&store, at(40)).is_err());
    assert!(disk.is_suspended());
    assert_eq!(rows(&store), (0..40).collect::<Vec<_>>());
    fs::remove_file(&wal).unwrap();
    fs::rename(&away, &wal).unwrap();
    assert!(disk.maintain(&store, at(40)).unwrap().checkpoint);
    assert!(append(&store, &disk, 40).is_none() && !disk.is_suspended());
    drop((store, disk));
    let (store, _disk, report) = open_with(data.path(), options);
    assert_eq!(report.damage, []);
    assert_eq!(rows(&store), (0..41).collect::<Vec<_>>());
}

#[test]
fn room_that_is_left_to_others_is_not_taken_until_it_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk, _) = open(folder.path());
    assert!(append(&store, &disk, 1).is_none());
    disk.leave_room(true);
    assert!(append(&store, &disk, 2).is_some(), "in memory only");
    assert!(!disk.maintain(&store, at(3)).expect("maintenance").checkpoint && disk.is_suspended());
    disk.leave_room(false);
    assert!(disk.maintain(&store, at(3)).expect("maintenance").checkpoint && !disk.is_suspended());
    assert!(append(&store, &disk, 3).is_none());
    drop(disk);
    assert_eq!(rows(&open(folder.path()).0), [1, 2, 3]);
}

#[test]
fn aged_samples_move_to_blocks_and_leave_with_the_retention() {
    let data = tempfile::tempdir().unwrap();
    let options = DiskOptions { block_bytes_max: 2000, ..DiskOptions::default() };
    let (store, disk, _) = open_with(data.path(), options.clone());
    for number in 0..2000 {
        append(&store, &disk, number);
        if number % 40 == 0 {
            disk.maintain(&store, at(number)).unwrap();
        }
    }
    let (stats, before) = (store.stats(0), content(&store));
    assert!(stats.blocks > 1, "{} blocks", stats.blocks);
    assert!(stats.blocks_samples > 6_000 && stats.chunks_bytes < 40_000, "{stats:?}");
    assert_eq!(rows(&store), (0..2000).collect::<Vec<_>>());
    drop((store, disk));
    let (store, disk, report) = open_with(data.path(), options.clone());
    assert_eq!((report.blocks, report.damage.len()), (stats.blocks, 0));
    assert_eq!(content(&store), before);

    let later = at(1000) + Span(24 * 3_600_000);
    disk.maintain(&store, later).unwrap();
    assert_eq!(rows(&store), (1000..2000).collect::<Vec<_>>());
    drop((store, disk));
    let (store, disk, _) = open_with(data.path(), options);
    disk.maintain(&store, later).unwrap();
    assert_eq!(rows(&store), (1000..2000).collect::<Vec<_>>());
    assert_eq!(names(&data.path().join("metrics/blocks")).len(), store.stats(0).blocks);
    disk.maintain(&store, at(2000) + Span(25 * 3_600_000)).unwrap();
    assert_eq!((rows(&store).len(), store.stats(0).blocks), (0, 0));
    assert!(names(&data.path().join("metrics/blocks")).is_empty());
}

#[test]
fn blocks_keep_to_their_size() {
    let data = tempfile::tempdir().unwrap();
    let options = DiskOptions { blocks_bytes_max: 4000, ..DiskOptions::default() };
    let (store, disk, _) = open_with(data.path(), options);
    for number in 0..2000 {
        append(&store, &disk, number);
        if number % 40 == 0 {
            disk.maintain(&store, at(number)).unwrap();
        }
    }
    disk.maintain(&store, at(2000)).unwrap();
    let (stats, left) = (store.stats(0), rows(&store));
    assert!(stats.blocks > 0 && stats.blocks_bytes <= 4000, "{stats:?}");
    assert!(left.len() > 500 && left.len() < 2000, "{} rows left", left.len());
    assert_eq!(left, (2000 - left.len() as i64..2000).collect::<Vec<_>>());
    // What went for its length stays forgotten, also where other blocks hold parts of the same rows.
    let horizon = store.horizon();
    assert!(horizon > at(0));
    drop((store, disk));
    let (store, _disk, _) = open(data.path());
    assert_eq!((store.horizon(), rows(&store)), (horizon, left));
}

#[test]
fn a_series_whose_name_the_log_has_lost_keeps_what_blocks_hold() {
    let data = tempfile::tempdir().unwrap();
    let options = DiskOptions { segment_bytes_max: 2000, ..DiskOptions::default() };
    let (store, disk, _) = open_with(data.path(), options.clone());
    (0..5).for_each(|number| drop(append(&store, &disk, number)));
    disk.checkpoint(&store).unwrap();
    (5..400).for_each(|number| drop(append(&store, &disk, number)));
    cut_all(&store, &disk, at(400));
    drop((store, disk));
    let wal = data.path().join("metrics/wal");
    let segment = wal.join(&names(&wal)[0]);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[20] ^= 1;
    fs::write(&segment, bytes).unwrap();
    for damaged in [1, 0] {
        let (store, _disk, report) = open_with(data.path(), options.clone());
        assert_eq!(report.damage.len(), damaged);
        let lines = content(&store);
        for number in [10, 20, 200] {
            let named = format!("{{__name__=\"fresh\", n=\"{number}\"}} {} ", at(number).0);
            assert!(lines.iter().any(|line| line.starts_with(&named)), "{named}");
        }
    }
}

#[test]
fn rows_that_are_in_no_log_reach_no_block() {
    let data = tempfile::tempdir().unwrap();
    let options = DiskOptions { segment_bytes_max: 1000, ..DiskOptions::default() };
    let (store, disk, _) = open_with(data.path(), options);
    (0..5).for_each(|number| drop(append(&store, &disk, number)));
    // Nothing can be made in the folder while a file has its name.
    let (wal, away) = (data.path().join("metrics/wal"), data.path().join("away"));
    fs::rename(&wal, &away).unwrap();
    fs::write(&wal, "").unwrap();
    (5..400).for_each(|number| drop(append(&store, &disk, number)));
    assert!(disk.is_suspended());
    for minute in 0..30 {
        assert!(disk.maintain(&store, at(400) + Span::from_mins(minute)).is_err());
    }
    assert_eq!(store.stats(0).blocks, 0);
    fs::remove_file(&wal).unwrap();
    fs::rename(&away, &wal).unwrap();
    cut_all(&store, &disk, at(520));
    assert!(store.stats(0).blocks > 0 && !disk.is_suspended());
    drop((store, disk));
    assert_eq!(rows(&open(data.path()).0), (0..400).collect::<Vec<_>>());
}

#[test]
fn blocks_outlive_the_loss_of_the_log() {
    let data = tempfile::tempdir().unwrap();
    let (store, disk, _) = open(data.path());
    (0..2000).for_each(|number| drop(append(&store, &disk, number)));
    cut_all(&store, &disk, at(2000));
    let moved = store.stats(0).blocks_samples;
    drop((store, disk));
    fs::remove_dir_all(data.path().join("metrics/wal")).unwrap();
    let (store, disk, _) = open(data.path());
    assert_eq!(content(&store).len() as u64, moved);
    append(&store, &disk, 3000);
    drop((store, disk));
    let (store, _disk, _) = open(data.path());
    assert_eq!(content(&store).len() as u64, moved + 6);
    let series = store.stats(0).series;

    let block = data.path().join("metrics/blocks").join(&names(&data.path().join("metrics/blocks"))[0]);
    let mut bytes = fs::read(&block).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&block, bytes).unwrap();
    drop(_disk);
    let (store, _disk, report) = open(data.path());
    assert_eq!((report.damage.len(), report.blocks, store.stats(0).series), (1, 0, series));
    assert_eq!(rows(&store), [3000]);
    assert_eq!(names(&data.path().join("metrics/blocks")).len(), 1);
}

#[test]
fn samples_leave_memory_little_by_little_and_none_is_there_twice_after_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let (store, disk, _) = open(data.path());
    let mut most = 0;
    for number in 0..4000 {
        append(&store, &disk, number);
        if number % 4 == 0 {
            disk.maintain(&store, at(number)).unwrap();
            most = most.max(store.stats(0).chunks_bytes);
        }
    }
    let (stats, before) = (store.stats(0), content(&store));
    // An hour or so of the five series, and of the others that are not spent.
    assert!(stats.blocks_samples > 19_000 && most < 12_000, "{stats:?}, {most} bytes at most");
    drop((store, disk));
    let (store, disk, report) = open(data.path());
    assert!(report.replayed.samples as u64 > stats.samples_total - stats.blocks_samples);
    assert_eq!((report.damage, content(&store)), (vec![], before));
    let doubles = store.stats(0).chunks_bytes - stats.chunks_bytes;
    assert!(doubles < 1000, "{doubles} bytes are in memory twice");
    drop(disk);
}

/// Returns a folder whose blocks are due to be merged, and what it holds.
fn before_a_merge(data: &Path) -> Vec<String> {
    let (store, disk, _) = open(data);
    for number in 0..1600 {
        append(&store, &disk, number);
        if number % 40 == 0 {
            disk.maintain(&store, at(number)).unwrap();
        }
    }
    content(&store)
}

/// When blocks of `before_a_merge` are due.
fn later() -> Timestamp {
    at(1600) + Span::from_mins(60)
}

#[test]
fn blocks_are_merged_and_say_the_same() {
    let data = tempfile::tempdir().unwrap();
    let expected = before_a_merge(data.path());
    let folder = data.path().join("metrics/blocks");
    let (store, disk, _) = open(data.path());
    let before = (names(&folder).len(), store.stats(0).blocks_bytes);
    let mut pauses = 0;
    assert!(disk.merge(&store, later(), &mut || pauses += 1).unwrap().merged > 1);
    let after = (names(&folder).len(), store.stats(0).blocks_bytes);
    assert!(after.0 < before.0 && after.1 < before.1, "{before:?} became {after:?}");
    assert_eq!(disk.merge(&store, later(), &mut || ()).unwrap(), Merged::default());
    assert_eq!(content(&store), expected);
    assert!(disk.merge(&store, later() + Span::from_mins(3 * 24 * 60), &mut || ()).unwrap().merged > 0);
    assert!(names(&folder).len() <= 2);
    assert_eq!(content(&store), expected);
    drop((store, disk));
    let (store, _disk, report) = open(data.path());
    assert_eq!((report.damage, content(&store)), (vec![], expected));
}

#[test]
fn a_death_at_any_step_of_a_merge_keeps_every_sample_once() {
    let data = tempfile::tempdir().unwrap();
    let expected = before_a_merge(data.path());
    let merged = tempfile::tempdir().unwrap();
    copy_tree(data.path(), merged.path());
    let (store, disk, _) = open(merged.path());
    disk.merge(&store, later(), &mut || ()).unwrap();
    drop((store, disk));
    let [inputs, outputs] = [data.path(), merged.path()].map(|path| names(&path.join("metrics/blocks")));
    let name = outputs.iter().find(|name| name.contains('-')).unwrap();
    let whole = fs::read(merged.path().join("metrics/blocks").join(name)).unwrap();
    let replaced: Vec<&String> = inputs.iter().filter(|own| !outputs.contains(own)).collect();
    let first = replaced.iter().take_while(|own| own.as_str() <= &name[9..]).count();
    assert!(first > 1, "{name} replaces {replaced:?}");

    let check = |what: &str, change: &dyn Fn(&Path)| {
        let own = tempfile::tempdir().unwrap();
        copy_tree(data.path(), own.path());
        let folder = own.path().join("metrics/blocks");
        change(&folder);
        let (store, disk, report) = open(own.path());
        assert_eq!((report.damage.len(), content(&store)), (usize::from(what == "damaged"), expected.clone()), "{what}");
        assert!(names(&folder).iter().all(|name| !name.ends_with(".tmp")), "{what}");
        disk.merge(&store, later(), &mut || ()).unwrap();
        let blocks: Vec<String> = names(&folder).into_iter().filter(|name| !name.ends_with(".damaged")).collect();
        assert_eq!((blocks, content(&store)), (outputs.clone(), expected.clone()), "{what}");
    };
    for part in [0, whole.len() / 2, whole.len()] {
        check("unfinished", &|folder| fs::write(folder.join(format!("{name}.tmp")), &whole[..part]).unwrap());
    }
    for gone in 0..=first {
        check("replaced", &|folder| {
            fs::write(folder.join(name), &whole).unwrap();
            replaced[..gone].iter().for_each(|own| fs::remove_file(folder.join(own)).unwrap());
        });
    }
    check("damaged", &|folder| fs::write(folder.join(name), &whole[..whole.len() - 9]).unwrap());
}

#[test]
fn a_block_that_cannot_be_read_is_merged_with_no_other_and_is_kept() {
    let data = tempfile::tempdir().unwrap();
    before_a_merge(data.path());
    let folder = data.path().join("metrics/blocks");
    let all = names(&folder);
    let bad = folder.join(&all[3]);
    let mut bytes = fs::read(&bad).unwrap();
    bytes[10] ^= 1;
    fs::write(&bad, &bytes).unwrap();
    let (store, disk, report) = open(data.path());
    assert_eq!(report.damage, []);
    assert!(matches!(disk.merge(&store, later(), &mut || ()), Err(DiskError::Block { path, .. }) if path == bad));
    assert!(disk.merge(&store, later(), &mut || ()).unwrap().merged > 1);
    let left = names(&folder);
    assert!(left.len() < all.len() && left.contains(&all[3]), "{left:?}");
    assert_eq!(fs::read(&bad).unwrap(), bytes);
}

mod classes;
mod clocks;
mod deletion;
mod snapshots;
mod verification;
