//! Verifying and reading a folder without changing it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{append, at, content, copy_tree, cut_all, names, open, open_with, store};
use crate::disk::verify::verify;
use crate::disk::{DiskOptions, Reading, contents};

/// Returns every file with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for name in names(folder) {
        let path = folder.join(name);
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => drop(all.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    all
}

/// Returns a folder with blocks, a checkpoint, segments, tombstones and a horizon.
fn filled(data: &Path) -> Vec<String> {
    let options = DiskOptions { segment_bytes_max: 3000, ..DiskOptions::default() };
    let (store, disk, _) = open_with(data, options);
    (0..500).for_each(|number| drop(append(&store, &disk, number)));
    cut_all(&store, &disk, at(500));
    disk.checkpoint(&store).unwrap();
    (500..600).for_each(|number| drop(append(&store, &disk, number)));
    let one = tocsin_core::model::Matcher::equal("n", "1");
    let deletion = store.deletion(&[vec![one]], at(10), at(20));
    disk.delete(&store, &deletion).unwrap();
    fs::write(data.join("metrics/horizon"), "5").unwrap();
    content(&store)
}

#[test]
fn a_good_folder_is_good_and_stays_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    let expected = filled(data.path());
    let before = files(data.path());
    let verdict = verify(data.path()).unwrap();
    assert_eq!((verdict.faults, verdict.notes), (vec![], Vec::<String>::new()));
    assert!(verdict.blocks > 0 && verdict.samples > 1000 && verdict.logs > 2);
    let store = store();
    let reading = Reading::open(data.path(), &store).unwrap();
    assert_eq!((&reading.report.damage, content(&store)), (&vec![], expected));
    drop(reading);
    let (found, _) = contents::of_folder(data.path()).unwrap();
    assert_eq!((found.blocks.len(), found.tombstones), (verdict.blocks, 1));
    assert!(found.head.is_some_and(|head| head.series > 5 && head.samples >= 500));
    assert_eq!(files(data.path()), before, "nothing was written");
    assert!(Reading::open(&data.path().join("nowhere"), &super::store()).is_err());
}

#[test]
fn a_folder_in_use_can_be_verified_and_listed() {
    let data = tempfile::tempdir().unwrap();
    let (store, disk, _) = open(data.path());
    (0..500).for_each(|number| drop(append(&store, &disk, number)));
    cut_all(&store, &disk, at(500));
    assert_eq!(verify(data.path()).unwrap().faults, []);
    let (found, _) = contents::of_folder(data.path()).unwrap();
    assert_eq!((found.blocks.len(), found.head.is_none()), (store.stats(0).blocks, true));
    drop(disk);
}

#[test]
fn every_damage_is_named_with_its_file() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path());
    let mut seed = 88_172_645_463_325_252u64;
    let all: Vec<PathBuf> = files(data.path()).into_keys().filter(|path| !path.ends_with("lock")).collect();
    assert!(all.len() > 6, "{all:?}");
    for path in all {
        let below = path.strip_prefix(data.path()).unwrap();
        for _ in 0..12 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let own = tempfile::tempdir().unwrap();
            copy_tree(data.path(), own.path());
            let bad = own.path().join(below);
            let mut bytes = fs::read(&bad).unwrap();
            let place = (seed >> 16) as usize % bytes.len();
            bytes[place] = if below.ends_with("horizon") { b'x' } else { bytes[place] ^ (1 << (seed % 8)) };
            fs::write(&bad, bytes).unwrap();
            let verdict = verify(own.path()).unwrap();
            // The end of the last segment may as well be one that was not written whole.
            let told = verdict.faults.iter().any(|fault| fault.file == bad)
                || verdict.notes.iter().any(|note| note.contains(bad.to_str().unwrap()));
            assert!(told, "byte {place} of {}: {verdict:?}", below.display());
        }
    }
    let mut segments = names(&data.path().join("metrics/wal"));
    segments.retain(|name| !name.starts_with("checkpoint"));
    fs::remove_file(data.path().join("metrics/wal").join(&segments[1])).unwrap();
    let verdict = verify(data.path()).unwrap();
    assert!(verdict.faults.len() == 1 && verdict.faults[0].what.contains("missing"), "{verdict:?}");
}
