//! Killed while people delete, clean, back up and restore: what was promised holds, and nothing is there in part.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tocsin::disk::restore::Restore;
use tocsin::disk::snapshot::STATE;
use tocsin::disk::{Disk, DiskError};
use tocsin_core::model::{Matcher, Select, Source};
use tocsin_core::store::Store;
use tocsin_core::time::Timestamp;

use super::{
    CLEAN, MAINTAIN, MERGE, SAMPLES_MAX, SERIES, STEP, append, at, next_word, open, play, roll, row, say, value, work_beside,
};

const KILLS: u64 = 45;
const RESTORES: u64 = 15;
const ROWS_OF_A_LIFE: i64 = 300;
/// A deletion takes so many rows of one series, the newest of which is so far back.
const DELETED: i64 = 120;
const BACK: i64 = 3;
/// Rows of a folder, and of a snapshot that takes its place.
const OLD_ROWS: i64 = 400;
const NEW_ROWS: i64 = 300;
/// A disk on which there is little room.
const CROWDED: &str = "size=40m";

/// Samples, by series and row.
type Samples = BTreeSet<(u32, i64)>;

/// A deletion: of one series, the rows from one to another.
#[derive(Clone, Copy, Debug)]
struct Gone {
    series: u32,
    from: i64,
    to: i64,
}

impl Gone {
    /// Returns the deletion that is made when so many rows are there.
    fn of(rows: i64) -> Gone {
        let to = rows - BACK;
        Gone { series: (rows % i64::from(SERIES)) as u32, from: (to - DELETED).max(0), to }
    }

    fn read(words: &[&str]) -> Gone {
        let number = |place: usize| words[place].parse::<i64>().expect("a number");
        Gone { series: number(1) as u32, from: number(2), to: number(3) }
    }

    fn apply(self, store: &Store, disk: &Disk) -> Result<u64, DiskError> {
        let set = [Matcher::equal("__name__", "kills"), Matcher::equal("number", self.series.to_string())];
        disk.delete(store, &store.deletion(&[set.to_vec()], at(self.from), at(self.to)))
    }

    fn without(self, samples: &Samples) -> Samples {
        let is_gone = |(series, row): &(u32, i64)| *series == self.series && (self.from..=self.to).contains(row);
        samples.iter().filter(|own| !is_gone(own)).copied().collect()
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.series, self.from, self.to)
    }
}

fn of_row(row: i64) -> impl Iterator<Item = (u32, i64)> {
    (0..SERIES).map(move |series| (series, row))
}

/// Returns the samples that are there; asserts that none has changed.
fn held(store: &Store) -> Samples {
    let matchers = [Matcher::equal("__name__", "kills")];
    let (start, end) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    let all = store.select(&Select { matchers: &matchers, start, end, samples_max: SAMPLES_MAX, newest_only: false });
    let mut found = Samples::new();
    for series in all.expect("the store can be read") {
        let number: u32 = series.labels.get("number").parse().expect("it is one");
        for (when, own) in &series.floats {
            let row = (when - at(0).0) / STEP;
            assert_eq!((at(row).0, own.to_bits()), (*when, value(row, number).to_bits()), "row {row} of series {number}");
            found.insert((number, row));
        }
    }
    found
}

fn found_in(data: &Path) -> Samples {
    let (store, _disk, report) = open(data);
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    held(&store)
}

/// Appends, deletes and takes snapshots, and says each once it is done, while maintenance, merging and cleaning run beside it.
pub fn be_changing(store: &Arc<Store>, disk: Disk, role: &serde_json::Value) {
    let from = role["row"].as_i64().expect("a row");
    let (disk, now) = work_beside(store, disk, from, &[MAINTAIN, MERGE, CLEAN]);
    for number in from..from + ROWS_OF_A_LIFE {
        append(store, &disk, number);
        now.store(at(number).0, Ordering::Relaxed);
        say(format!("row {number}"));
        if number % 5 == 0 && number > DELETED {
            let gone = Gone::of(number);
            say(format!("begin {gone}"));
            gone.apply(store, &disk).expect("it is deleted");
            say(format!("gone {gone}"));
        }
        if number % 12 == 0 {
            let name = format!("of-{number}");
            let draft = disk.begin_snapshot(store, &name, true).expect("there is room");
            fs::write(draft.state(), "new").expect("a file");
            disk.end_snapshot(draft, "sqlite", at(number)).expect("it is ended");
            say(format!("copied {name}"));
            disk.keep_snapshots(3).expect("old ones go");
        }
    }
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn what_was_deleted_and_backed_up_stays_so_through_kills() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let (mut dice, mut model, mut done) = (0x5eed_ca5e_u64, Samples::new(), [0; 3]);
    println!("seed {dice:#x}");
    let mut snapshot = None;
    for kill in 0..KILLS {
        let next = model.iter().map(|(_, row)| row + 1).max().unwrap_or(0);
        let role = serde_json::json!({"part": "changing", "data": data, "row": next});
        let (mut child, mut out) = play(&role, &[]);
        assert_eq!(next_word(&mut out).as_deref(), Some("ready"), "before kill {kill}");
        let listener = std::thread::spawn(move || std::iter::from_fn(|| next_word(&mut out)).collect::<Vec<_>>());
        roll(&mut dice);
        std::thread::sleep(Duration::from_micros(dice % 120_000));
        assert_eq!(child.try_wait().expect("a child of ours"), None, "it ended by itself before kill {kill}");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        let (mut next, mut under_way) = (next, None);
        for word in listener.join().expect("the listener ends") {
            let words: Vec<&str> = word.split(' ').collect();
            match words[0] {
                "row" => {
                    model.extend(of_row(next));
                    next += 1;
                    done[0] += 1;
                }
                "begin" => under_way = Some(Gone::read(&words)),
                "gone" => {
                    model = Gone::read(&words).without(&model);
                    under_way = None;
                    done[1] += 1;
                }
                "copied" => {
                    snapshot = Some((data.join("snapshots").join(words[1]), model.clone()));
                    done[2] += 1;
                }
                // The runner of tests, cut short.
                _ => {}
            }
        }
        let found = found_in(&data);
        let after = match under_way {
            Some(gone) => gone.without(&model),
            None => model.iter().copied().chain(of_row(next)).collect(),
        };
        let missing: Vec<_> = model.difference(&found).take(5).collect();
        let more: Vec<_> = found.difference(&model).take(5).collect();
        assert!(found == model || found == after, "after kill {kill}, during {under_way:?}: without {missing:?}, with {more:?}");
        model = found;
        // One that was announced is whole, and holds what was there when it was taken.
        if kill % 4 == 3
            && let Some((path, expected)) = snapshot.take()
        {
            let to = folder.path().join("restored");
            Restore::prepare(&path, &to, false, true).expect("the snapshot is whole").finish("before").expect("it is restored");
            assert!(found_in(&to) == expected, "the snapshot {} holds something else", path.display());
            fs::remove_dir_all(&to).expect("it goes");
        }
    }
    println!("{KILLS} kills, {} rows, {} deletions, {} snapshots, {} samples", done[0], done[1], done[2], model.len());
    assert!(done.iter().all(|count| *count > 5), "{done:?}");
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        let own = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_tree(&path, &own);
        } else {
            fs::copy(&path, own).expect("it can be copied");
        }
    }
}

/// A folder with samples and state, a snapshot of another one, and what either holds.
struct Stage {
    folder: tempfile::TempDir,
    old: Samples,
    new: Samples,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, rows) in [("old", OLD_ROWS), ("source", NEW_ROWS)] {
            let data = folder.path().join(name);
            let (store, disk, _) = open(&data);
            for number in 0..rows {
                disk.append(&store, &row(&store, number)).expect("the row is taken");
                if number % 10 == 0 {
                    disk.maintain(&store, at(number)).expect("the disk takes it");
                }
            }
            assert!(!store.block_facts().is_empty() && store.head_facts().samples > 0, "samples are in blocks and in memory");
            fs::write(data.join(STATE), "old").expect("a file");
            fs::write(data.join(format!("{STATE}-wal")), "old log").expect("a file");
            let draft = disk.begin_snapshot(&store, "one", true).expect("there is room");
            fs::write(draft.state(), "new").expect("a file");
            disk.end_snapshot(draft, "sqlite", at(rows)).expect("it is ended");
        }
        let rows = |rows: i64| (0..rows).flat_map(of_row).collect();
        Stage { folder, old: rows(OLD_ROWS), new: rows(NEW_ROWS) }
    }

    fn snapshot(&self) -> PathBuf {
        self.folder.path().join("source/snapshots/one")
    }

    /// Returns a copy of the old folder.
    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().expect("a folder");
        copy_tree(&self.folder.path().join("old"), copy.path());
        copy
    }

    /// Asserts that the old is there with the old, or the new with the new; returns whether it is the new.
    fn is_new(&self, data: &Path, when: &str) -> bool {
        let found = found_in(data);
        let read = |name: &str| fs::read_to_string(data.join(name)).ok();
        let state = (read(STATE), read(&format!("{STATE}-wal")));
        let old = (Some("old".to_owned()), Some("old log".to_owned()));
        assert!(found == self.old || found == self.new, "{when}: {} samples", found.len());
        let is_new = found == self.new;
        assert_eq!(state, if is_new { (Some("new".to_owned()), None) } else { old }, "{when}: the samples are new: {is_new}");
        let kept = data.join("metrics.before").exists() && data.join(format!("{STATE}.before-wal")).exists();
        assert_eq!(kept, is_new, "{when}: what gave way is kept");
        is_new
    }
}

pub fn be_restoring(data: &Path, snapshot: &Path) {
    let restore = Restore::prepare(snapshot, data, true, true).expect("it can be restored");
    say("ready");
    restore.finish("before").expect("it is restored");
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_or_the_new() {
    let stage = Stage::new();
    let (mut dice, mut ends) = (0xdead_beef_u64, [0; 2]);
    for kill in 0..RESTORES {
        let data = stage.copy();
        let role = serde_json::json!({"part": "restoring", "data": data.path(), "snapshot": stage.snapshot()});
        let (mut child, mut out) = play(&role, &[]);
        assert_eq!(next_word(&mut out).as_deref(), Some("ready"));
        roll(&mut dice);
        std::thread::sleep(Duration::from_micros(dice % 4_000));
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        ends[usize::from(stage.is_new(data.path(), &format!("kill {kill}")))] += 1;
    }
    println!("{} restores left the old, {} the new", ends[0], ends[1]);
    // And at each change of a name, by the book.
    for call in ["rename", "linkat", "unlink", "fsync"] {
        let mut ends = [0; 2];
        for number in 1.. {
            let data = stage.copy();
            let role = serde_json::json!({"part": "restoring", "data": data.path(), "snapshot": stage.snapshot()});
            let is_over = !dies_at(&role, call, number);
            ends[usize::from(stage.is_new(data.path(), &format!("{call} {number}")))] += 1;
            if is_over {
                break;
            }
        }
        println!("{call}: {} times the old, {} times the new", ends[0], ends[1]);
        assert!(ends[1] > 0);
    }
}

/// Plays a part that is killed at its so manieth call of the system; returns false when it came to its end before.
fn dies_at(role: &serde_json::Value, call: &str, number: usize) -> bool {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={number}"));
    let (mut child, mut out) = play(role, &["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject]);
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("the pipe can be read");
    !child.wait().expect("it ends").success()
}

/// Deletes once.
pub fn be_deleting(store: &Store, disk: &Disk) {
    Gone { series: 7, from: 0, to: OLD_ROWS - 5 }.apply(store, disk).expect("it is deleted");
}

#[test]
fn a_deletion_that_is_killed_is_there_whole_or_not_at_all() {
    let stage = Stage::new();
    let gone = Gone { series: 7, from: 0, to: OLD_ROWS - 5 }.without(&stage.old);
    for call in ["rename", "fsync", "fdatasync", "pwrite64", "unlink"] {
        let mut ends = [0; 2];
        for number in 1.. {
            let data = stage.copy();
            let is_over = !dies_at(&serde_json::json!({"part": "deleting", "data": data.path()}), call, number);
            let found = found_in(data.path());
            assert!(found == stage.old || found == gone, "{call} {number}: {} samples of {}", found.len(), stage.old.len());
            ends[usize::from(found == gone)] += 1;
            if is_over {
                assert!(found == gone, "what was acknowledged is gone");
                break;
            }
        }
        println!("{call}: {} times not there, {} times whole", ends[0], ends[1]);
    }
}

/// Takes snapshots where there is little room, or one is under way.
pub fn be_crowded(store: &Store, disk: &Disk, data: &Path) {
    for number in 0..100 {
        disk.append(store, &row(store, number)).expect("the row is taken");
    }
    let left = || fs::read_dir(data.join("snapshots")).map_or(0, Iterator::count);
    fs::write(data.join(STATE), vec![1; 18 << 20]).expect("there is room");
    let refused = disk.begin_snapshot(store, "large", true).map(drop).expect_err("there is no room for a copy of the state");
    assert!(matches!(refused, DiskError::NoRoom { .. }) && refused.to_string().contains("free the disk"), "{refused}");
    assert_eq!((left(), disk.is_suspended(), disk.is_unsaved()), (0, false, false));
    fs::write(data.join(STATE), vec![1; 12 << 20]).expect("there is room");
    let draft = disk.begin_snapshot(store, "one", true).expect("there is room for one");
    // What it is about to take is taken already.
    let refused = disk.begin_snapshot(store, "other", true).map(drop).expect_err("one is under way");
    assert!(matches!(refused, DiskError::NoRoom { .. }), "{refused}");
    fs::write(data.join(STATE), "small").expect("there is room");
    let refused = disk.begin_snapshot(store, "one", true).map(drop).expect_err("one is under way");
    assert!(refused.to_string().contains("make the snapshot") && left() == 1, "{refused}");
    drop(draft);
    assert_eq!(left(), 0, "what was not ended holds no room");
    let draft = disk.begin_snapshot(store, "one", true).expect("none is under way");
    disk.end_snapshot(draft, "sqlite", at(100)).expect("it is ended");
    assert_eq!(left(), 1);
    say("done");
}

#[test]
fn a_snapshot_for_which_there_is_no_room_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = format!("mount -t tmpfs -o {CROWDED} tmpfs '{}' && exec \"$0\" \"$@\"", folder.path().display());
    let role = serde_json::json!({"part": "crowded", "data": folder.path()});
    let (mut child, mut out) = play(&role, &["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &mount]);
    assert_eq!(next_word(&mut out).as_deref(), Some("done"));
    assert!(child.wait().expect("it ends").success());
}
