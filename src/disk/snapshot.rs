//! Snapshots: a copy of everything at one moment, which takes as long as a checkpoint.
//!
//! ```text
//! <data>/snapshots/NAME/manifest.json   each file with its length and a checksum
//! <data>/snapshots/NAME/metrics/…       as in a data folder: blocks are links to the same files, the log is short
//! <data>/snapshots/NAME/tocsin.db       the state, when it is in SQLite
//! ```
//!
//! A snapshot is made under another name, and gets its own once it is whole and safe on the disk.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tocsin_core::store::Store;
use tocsin_core::time::Timestamp;

use super::files::{UNFINISHED_SUFFIX, sync_folder};
use super::room::Claim;
use super::segment::segment_path;
use super::{Disk, DiskError, checkpoint_bytes, delete, horizon, segment};

pub const FOLDER: &str = "snapshots";
pub const MANIFEST: &str = "manifest.json";
/// The file of the state, in a data folder and in a snapshot.
pub const STATE: &str = "tocsin.db";
/// The most snapshots that a data folder holds.
pub const SNAPSHOTS_MAX: usize = 100;
/// The longest name.
const NAME_BYTES_MAX: usize = 100;
/// The end of a block vouches for all of it: its checksum is over the directory's, and this one's over those of the parts.
const BLOCK_END_BYTES: u64 = 68;

/// What a snapshot consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the program that made it.
    pub tocsin: String,
    pub made_at: String,
    /// Where the state is: `sqlite`, then it is in the snapshot, or `postgres`.
    pub database: String,
    pub files: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The path below the snapshot's folder.
    pub file: String,
    pub bytes: u64,
    /// Of the whole file; of a block, of its last 68 bytes, which hold the checksum over all others.
    pub sha256: String,
}

/// A snapshot in the data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotFacts {
    pub name: String,
    pub made_at: String,
    /// Of all files; blocks that the store still uses take no room of their own.
    pub bytes: u64,
}

/// A snapshot that is being made. What was made so far goes with it, unless it was ended: links would keep old blocks on the disk.
pub struct Draft {
    folder: PathBuf,
    path: PathBuf,
    _claim: Claim,
    is_copied: Arc<AtomicBool>,
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What cannot be removed now goes at the next start. One that was ended has another name.
        let _ = fs::remove_dir_all(&self.folder);
        self.is_copied.store(false, Ordering::Release);
    }
}

impl Draft {
    /// Returns where the copy of the state belongs.
    pub fn state(&self) -> PathBuf {
        self.folder.join(STATE)
    }
}

/// Returns an instant as a name, such as `20261121T090000123Z`.
pub fn compact(at: Timestamp) -> String {
    at.rfc3339().chars().filter(|own| own.is_ascii_alphanumeric()).collect()
}

/// Returns what is wrong with a name for a snapshot.
pub fn name_fault(name: &str) -> Option<&'static str> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        Some("a snapshot's name has 1 to 100 characters")
    } else if !name.bytes().all(is_good) || name.starts_with('.') || name.ends_with(UNFINISHED_SUFFIX) {
        Some(
            "a snapshot's name consists of letters, digits, dashes, dots and underscores, and does not begin with a dot or end in .tmp",
        )
    } else {
        None
    }
}

/// Returns the snapshots in a data folder, the oldest first.
pub fn list(data: &Path) -> Result<Vec<SnapshotFacts>, DiskError> {
    let folder = data.join(FOLDER);
    let mut all = Vec::new();
    if !folder.exists() {
        return Ok(all);
    }
    for entry in fs::read_dir(&folder).map_err(DiskError::of("list the folder", &folder))? {
        let path = entry.map_err(DiskError::of("list the folder", &folder))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| name_fault(name).is_none()) else {
            continue;
        };
        // One without a manifest is none of ours.
        if let Ok(manifest) = read_manifest(&path) {
            let bytes = manifest.files.iter().map(|file| file.bytes).sum();
            all.push(SnapshotFacts { name: name.to_owned(), made_at: manifest.made_at, bytes });
        }
    }
    all.sort_by(|left, right| (&left.made_at, &left.name).cmp(&(&right.made_at, &right.name)));
    Ok(all)
}

/// Removes what snapshots left that were broken off: their links would keep old blocks on the disk.
pub(super) fn remove_unfinished(data: &Path) -> Result<(), DiskError> {
    let folder = data.join(FOLDER);
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(&folder).map_err(DiskError::of("list the folder", &folder))? {
        let path = entry.map_err(DiskError::of("list the folder", &folder))?.path();
        if path.is_dir() && path.to_str().is_some_and(|path| path.ends_with(UNFINISHED_SUFFIX)) {
            fs::remove_dir_all(&path).map_err(DiskError::of("delete", &path))?;
        }
    }
    Ok(())
}

/// Reads the manifest of a snapshot.
///
/// Errors: `Io` when it is not there, or is none.
pub fn read_manifest(snapshot: &Path) -> Result<Manifest, DiskError> {
    let path = snapshot.join(MANIFEST);
    let text = fs::read(&path).map_err(DiskError::of("read", &path))?;
    serde_json::from_slice(&text).map_err(|error| DiskError::of("understand", &path)(io::Error::other(error)))
}

/// Returns what the manifest says of a file.
pub(super) fn entry(snapshot: &Path, file: &str) -> io::Result<Entry> {
    let mut opened = File::open(snapshot.join(file))?;
    let bytes = opened.metadata()?.len();
    if file.starts_with("metrics/blocks/") {
        opened.seek(SeekFrom::Start(bytes.saturating_sub(BLOCK_END_BYTES)))?;
    }
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match opened.read(&mut piece)? {
            0 => break,
            len => hasher.update(&piece[..len]),
        }
    }
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Entry { file: file.to_owned(), bytes, sha256 })
}

/// Returns the files below a folder, as paths from there, sorted.
pub(super) fn files_below(folder: &Path) -> Result<Vec<String>, DiskError> {
    let (mut waiting, mut found) = (vec![PathBuf::new()], Vec::new());
    while let Some(below) = waiting.pop() {
        let own = folder.join(&below);
        for entry in fs::read_dir(&own).map_err(DiskError::of("list the folder", &own))? {
            let entry = entry.map_err(DiskError::of("list the folder", &own))?;
            let path = below.join(entry.file_name());
            if entry.path().is_dir() {
                waiting.push(path);
            } else {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Makes every file and folder below a folder last.
pub(super) fn sync_below(folder: &Path) -> Result<(), DiskError> {
    for file in files_below(folder)? {
        let path = folder.join(&file);
        File::open(&path).and_then(|file| file.sync_all()).map_err(DiskError::of("sync", &path))?;
    }
    for below in ["metrics/blocks", "metrics/wal", "metrics", ""] {
        let path = folder.join(below);
        if path.is_dir() {
            sync_folder(&path)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, len: u64) -> Result<(), DiskError> {
    let copy = || io::copy(&mut File::open(from)?.take(len), &mut File::create(to)?);
    copy().map(drop).map_err(DiskError::of("copy", from))
}

fn link(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::hard_link(from, to).map_err(DiskError::of("link", from))
}

impl Disk {
    /// Begins a snapshot of this name in the data folder: blocks, and, with `memory`, all rows that were appended before the call and maybe
    /// later ones, each whole. Appending goes on meanwhile; maintenance waits.
    ///
    /// Errors: `NoRoom`; `Io`, also when there is a snapshot of this name, there are too many, or one is under way.
    pub fn begin_snapshot(&self, store: &Store, name: &str, memory: bool) -> Result<Draft, DiskError> {
        let all = self.folder.parent().unwrap_or(&self.folder).join(FOLDER);
        let (path, folder) = (all.join(name), all.join(format!("{name}{UNFINISHED_SUFFIX}")));
        let refuse = |why: &str| DiskError::of("make the snapshot", &path)(io::Error::other(why.to_owned()));
        if path.exists() {
            return Err(refuse("there is one of this name"));
        }
        if self.leaves_room.load(Ordering::Acquire) {
            return Err(refuse("the disk is full; free it, and try again once TocsinSamplesUnsaved has ended"));
        }
        if list(all.parent().unwrap_or(&all))?.len() >= SNAPSHOTS_MAX {
            return Err(refuse("there are 100 already; remove old ones, or say how many to keep"));
        }
        let claim = self.claim("make the snapshot", self.snapshot_bytes_max(store, memory))?;
        if self.is_copied.swap(true, Ordering::AcqRel) {
            return Err(refuse("another one is under way"));
        }
        let draft = Draft { folder, path, _claim: claim, is_copied: self.is_copied.clone() };
        if draft.folder.exists() {
            fs::remove_dir_all(&draft.folder).map_err(DiskError::of("delete", &draft.folder))?;
        }
        self.fill(store, &draft.folder.join("metrics"), memory)?;
        Ok(draft)
    }

    /// Returns what a snapshot takes of its own, about: a checkpoint, and the state.
    fn snapshot_bytes_max(&self, store: &Store, memory: bool) -> u64 {
        let state = self.folder.parent().unwrap_or(&self.folder).join(STATE);
        let log = state.with_file_name(format!("{STATE}-wal"));
        let of_state: u64 = [state, log].iter().map(|path| fs::metadata(path).map_or(0, |found| found.len())).sum();
        of_state + if memory { checkpoint_bytes(store) } else { 0 }
    }

    fn fill(&self, store: &Store, to: &Path, memory: bool) -> Result<(), DiskError> {
        for folder in ["blocks", "wal"] {
            let path = to.join(folder);
            fs::create_dir_all(&path).map_err(DiskError::of("create the folder", &path))?;
        }
        // No block comes or goes meanwhile, and nothing is deleted.
        let mut blocks = self.blocks();
        if memory {
            self.replace_log(&mut blocks, store, &[])?;
        }
        for facts in store.block_facts() {
            let name = facts.id.to_string();
            link(&self.folder.join("blocks").join(&name), &to.join("blocks").join(&name))?;
        }
        for name in [delete::TOMBSTONES, horizon::NAME] {
            let path = self.folder.join(name);
            if path.exists() {
                copy(&path, &to.join(name), u64::MAX)?;
            }
        }
        if !memory {
            return Ok(());
        }
        // The checkpoint may hold a row in part that came while it was written; the log behind it has the whole row.
        let (last, len) = self.log().end();
        let (wal, to) = (self.folder.join("wal"), to.join("wal"));
        let files = segment::list(&wal)?;
        let checkpoint = files.checkpoints.last().map(|(covered, path)| (*covered, path));
        if let Some((_, path)) = checkpoint {
            link(path, &to.join(path.file_name().unwrap_or_default()))?;
        }
        let covered = checkpoint.map_or(0, |(covered, _)| covered);
        for (number, path) in files.segments.iter().filter(|(number, _)| *number > covered && *number <= last) {
            let len = if *number == last { len } else { u64::MAX };
            copy(path, &segment_path(&to, *number), len)?;
        }
        Ok(())
    }

    /// Ends a snapshot, to which the state was added: it is safe on the disk once this returns.
    pub fn end_snapshot(&self, draft: Draft, database: &str, now: Timestamp) -> Result<SnapshotFacts, DiskError> {
        let mut files = Vec::new();
        for file in files_below(&draft.folder)? {
            files.push(entry(&draft.folder, &file).map_err(DiskError::of("read", &draft.folder.join(&file)))?);
        }
        let bytes = files.iter().map(|file| file.bytes).sum();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let manifest = Manifest { tocsin: version, made_at: now.rfc3339(), database: database.to_owned(), files };
        let (path, text) =
            (draft.folder.join(MANIFEST), serde_json::to_vec_pretty(&manifest).expect("texts and numbers are JSON"));
        fs::write(&path, text).map_err(DiskError::of("write", &path))?;
        sync_below(&draft.folder)?;
        fs::rename(&draft.folder, &draft.path).map_err(DiskError::of("rename", &draft.folder))?;
        sync_folder(draft.path.parent().unwrap_or(&draft.path))?;
        let name = draft.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(SnapshotFacts { name, made_at: manifest.made_at, bytes })
    }

    /// Removes the oldest snapshots, so that so many are left; returns their names.
    pub fn keep_snapshots(&self, keep: usize) -> Result<Vec<String>, DiskError> {
        let data = self.folder.parent().unwrap_or(&self.folder);
        let all = list(data)?;
        let mut gone = Vec::new();
        for facts in &all[..all.len().saturating_sub(keep)] {
            let path = data.join(FOLDER).join(&facts.name);
            // A part of one must not look like a snapshot.
            let doomed = data.join(FOLDER).join(format!("{}{UNFINISHED_SUFFIX}", facts.name));
            fs::rename(&path, &doomed).map_err(DiskError::of("rename", &path))?;
            fs::remove_dir_all(&doomed).map_err(DiskError::of("delete", &doomed))?;
            gone.push(facts.name.clone());
        }
        Ok(gone)
    }
}
