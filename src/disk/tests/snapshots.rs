//! Snapshots and restores.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tocsin_core::time::Timestamp;

use super::{append, at, content, cut_all, names, open, rows};
use crate::disk::restore::{Restore, RestoreError};
use crate::disk::snapshot::{self, STATE};
use crate::disk::{Disk, DiskError};

fn take(disk: &Disk, store: &tocsin_core::store::Store, name: &str, now: Timestamp) {
    let draft = disk.begin_snapshot(store, name, true).unwrap();
    fs::write(draft.state(), "state").unwrap();
    disk.end_snapshot(draft, "sqlite", now).unwrap();
}

#[test]
fn a_snapshot_is_restored_with_whole_rows_while_appending_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let (store, disk, _) = open(data.path());
    (0..1000).for_each(|number| drop(append(&store, &disk, number)));
    cut_all(&store, &disk, at(1000));
    let (done, last) = (AtomicBool::new(false), AtomicI64::new(1000));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // It ends by itself too, so that a test that fails does.
            while !done.load(Ordering::SeqCst) && last.load(Ordering::SeqCst) < 3900 {
                let number = last.load(Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(2));
                append(&store, &disk, number);
                last.store(number + 1, Ordering::SeqCst);
            }
        });
        for (place, name) in ["a", "b", "c"].iter().enumerate() {
            let seen = last.load(Ordering::SeqCst);
            take(&disk, &store, name, at(seen));
            let to = tempfile::tempdir().unwrap();
            let restore = Restore::prepare(&data.path().join("snapshots").join(name), to.path(), false, true).unwrap();
            assert_eq!(restore.old_state(), None);
            assert!(restore.finish("before").unwrap().aside.is_empty());
            let (restored, _disk, report) = open(to.path());
            let found = rows(&restored);
            assert_eq!(report.damage, []);
            assert!(found.len() as i64 >= seen, "{} rows of {seen}", found.len());
            assert_eq!(found, (0..found.len() as i64).collect::<Vec<_>>());
            assert_eq!(fs::read_to_string(to.path().join(STATE)).unwrap(), "state");
            assert_eq!(snapshot::list(data.path()).unwrap().len(), place + 1);
        }
        done.store(true, Ordering::SeqCst);
    });
    assert!(disk.begin_snapshot(&store, "a", true).is_err(), "a name is used once");
    assert_eq!(disk.keep_snapshots(1).unwrap(), ["a", "b"]);
    assert_eq!(names(&data.path().join("snapshots")), ["c"]);
}

/// Returns a snapshot of ten rows.
fn small(data: &Path) -> std::path::PathBuf {
    let (store, disk, _) = open(data);
    (0..400).for_each(|number| drop(append(&store, &disk, number)));
    cut_all(&store, &disk, at(500));
    take(&disk, &store, "small", at(500));
    data.join("snapshots/small")
}

#[test]
fn a_snapshot_that_was_broken_off_holds_no_room_beyond_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    small(data.path());
    let (store, disk, _) = open(data.path());
    // Killed before its end.
    std::mem::forget(disk.begin_snapshot(&store, "broken", true).unwrap());
    drop((store, disk));
    assert_eq!(names(&data.path().join("snapshots")), ["broken.tmp", "small"]);
    let (store, disk, _) = open(data.path());
    assert_eq!(names(&data.path().join("snapshots")), ["small"]);
    disk.leave_room(true);
    assert!(disk.begin_snapshot(&store, "full", true).is_err(), "the room that is left belongs to others");
    assert!(disk.is_suspended() && disk.is_unsaved());
}

#[test]
fn a_restore_refuses_what_it_would_overwrite_and_keeps_it_aside_when_told_to() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let snapshot = small(source.path());
    let (store, disk, _) = open(target.path());
    fs::write(target.path().join(STATE), "old state").unwrap();
    (1000..1010).for_each(|number| drop(append(&store, &disk, number)));
    let old = content(&store);
    let prepare = |replace| Restore::prepare(&snapshot, target.path(), replace, true);
    assert!(matches!(prepare(true), Err(RestoreError::Disk(DiskError::InUse { .. }))), "a service runs");
    drop((store, disk));
    assert!(matches!(prepare(false), Err(RestoreError::Occupied(_))));
    assert_eq!(content(&open(target.path()).0), old);

    // One that is broken off before the end leaves all as it was.
    drop(prepare(true).unwrap());
    assert_eq!(content(&open(target.path()).0), old);
    let restore = prepare(true).unwrap();
    assert_eq!(restore.old_state(), Some(target.path().join(STATE)));
    let done = restore.finish("before").unwrap();
    assert_eq!(done.aside, ["tocsin.db.before", "metrics.before"].map(|name| target.path().join(name)));
    assert_eq!(rows(&open(target.path()).0), (0..400).collect::<Vec<_>>());
    assert_eq!(fs::read_to_string(target.path().join(STATE)).unwrap(), "state");
    assert_eq!(fs::read_to_string(target.path().join("tocsin.db.before")).unwrap(), "old state");
    let back = tempfile::tempdir().unwrap();
    fs::rename(target.path().join("metrics.before"), back.path().join("metrics")).unwrap();
    assert_eq!(content(&open(back.path()).0), old);

    // A second copy that nobody has named is not deleted.
    fs::create_dir(target.path().join("metrics.restoring")).unwrap();
    assert!(matches!(prepare(true), Err(RestoreError::LeftOver(_))));
}

#[test]
fn a_damaged_snapshot_is_not_restored() {
    let source = tempfile::tempdir().unwrap();
    let snapshot = small(source.path());
    let manifest = snapshot::read_manifest(&snapshot).unwrap();
    assert!(manifest.files.len() > 3, "{manifest:?}");
    for entry in &manifest.files {
        let path = snapshot.join(&entry.file);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 4;
        for bytes in [Some(bad), Some(good[..good.len() - 1].to_vec()), None] {
            match bytes {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let to = tempfile::tempdir().unwrap();
            let Err(RestoreError::Faulty(faults)) = Restore::prepare(&snapshot, to.path(), false, true) else {
                panic!("{} was damaged", entry.file)
            };
            assert!(faults.iter().all(|fault| fault.file == path), "{faults:?}");
            assert!(names(to.path()).is_empty(), "nothing is written");
        }
        fs::write(&path, good).unwrap();
    }
    let to = tempfile::tempdir().unwrap();
    Restore::prepare(&snapshot, to.path(), false, false).unwrap().finish("before").unwrap();
    assert_eq!(names(to.path()), ["metrics"], "the samples alone");
}
