//! Restoring: a snapshot takes the place of a data folder's samples and state.
//!
//! All is put together beside what is there. Then a journal is written; from there on the restore is carried out, by us or by the next start,
//! and each of its steps may be repeated. So a crash at any moment leaves the old samples with the old state, or the new with the new.
//!
//! ```text
//! <data>/metrics.restoring      the samples to come
//! <data>/tocsin.db.restoring    the state to come
//! <data>/restoring              the journal
//! ```

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::files::{read_if_there, remove, sync_folder, write_whole};
use super::snapshot::{STATE, entry, files_below, read_manifest, sync_below};
use super::verify::{FileFault, verify};
use super::{DiskError, contents, lock};

/// Where the new samples are put together.
const STAGED: &str = "metrics.restoring";
/// In there, so that they are told from what somebody else has put there.
const INCOMING: &str = "incoming";
const JOURNAL: &str = "restoring";
/// Locked by the one who carries the restore out.
const HELD: &str = "restoring.lock";
/// The files of a state in SQLite.
const STATE_ENDINGS: [&str; 3] = ["", "-wal", "-shm"];

/// A restore that is carried out.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    /// The end of the names under which the old is kept.
    suffix: String,
    /// The state is restored too.
    state: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the snapshot is not whole:\n{}", told(.0))]
    Faulty(Vec<FileFault>),
    #[error("{} holds samples or state already; say --replace, and they are kept aside", .0.display())]
    Occupied(PathBuf),
    #[error("{} is in the way, and was not made by a restore; move it away or delete it", .0.display())]
    LeftOver(PathBuf),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn told(faults: &[FileFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A restore that is prepared: all that can fail has been tried.
pub struct Restore {
    data: PathBuf,
    /// Where the state comes from, when the snapshot has it.
    state: Option<PathBuf>,
    /// The lock on what is replaced.
    _lock: File,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What was there before, kept aside.
    pub aside: Vec<PathBuf>,
    pub state: bool,
}

/// Holds the files of a snapshot against its manifest, and reads them through.
fn check(snapshot: &Path) -> Result<(), RestoreError> {
    let manifest = read_manifest(snapshot)?;
    let mut faults = Vec::new();
    let mut add = |file: &str, what: String| {
        faults.push(FileFault {
            file: snapshot.join(file),
            offset: 0,
            what,
            remedy: "take another snapshot, or another copy of this one",
        });
    };
    for wanted in &manifest.files {
        match entry(snapshot, &wanted.file) {
            Ok(found) if found == *wanted => {}
            Ok(found) if found.bytes != wanted.bytes => {
                add(&wanted.file, format!("it has {} bytes; {} are in the manifest", found.bytes, wanted.bytes));
            }
            Ok(_) => add(&wanted.file, "its checksum is not that of the manifest".to_owned()),
            Err(error) => add(&wanted.file, format!("it cannot be read: {error}")),
        }
    }
    faults.extend(verify(snapshot)?.faults);
    if faults.is_empty() { Ok(()) } else { Err(RestoreError::Faulty(faults)) }
}

/// Returns whether a folder `metrics` holds anything that was stored.
fn holds_samples(metrics: &Path) -> Result<bool, DiskError> {
    let blocks = metrics.join("blocks");
    if blocks.exists() && !super::blocks::list(&blocks)?.ids.is_empty() {
        return Ok(true);
    }
    let wal = contents::wal(metrics)?;
    // A log in which nothing was written has its mark.
    Ok(!wal.checkpoints.is_empty() || wal.segments.iter().any(|file| file.bytes > super::segment::MARK.len() as u64))
}

impl Restore {
    /// Checks the snapshot to its last byte, and puts its samples together beside those of the data folder, which is made when it is
    /// missing. `with_state`: the state too, where the snapshot has it.
    ///
    /// Errors: `Faulty`; `Occupied` when something is there and `replace` is not said; `Disk`, `InUse` among it, when a service runs.
    pub fn prepare(snapshot: &Path, data: &Path, replace: bool, with_state: bool) -> Result<Restore, RestoreError> {
        check(snapshot)?;
        let (metrics, staged) = (data.join("metrics"), data.join(STAGED));
        resume(data)?;
        fs::create_dir_all(&metrics).map_err(DiskError::of("create the folder", &metrics))?;
        let held = lock(&metrics.join("lock"))?;
        refuse_under_way(data)?;
        let state = Some(snapshot.join(STATE)).filter(|path| with_state && path.is_file());
        let is_occupied = holds_samples(&metrics)? || state.is_some() && data.join(STATE).exists();
        if is_occupied && !replace {
            return Err(RestoreError::Occupied(data.to_owned()));
        }
        if staged.exists() {
            if !staged.join(INCOMING).exists() {
                return Err(RestoreError::LeftOver(staged));
            }
            fs::remove_dir_all(&staged).map_err(DiskError::of("delete", &staged))?;
        }
        stage(&snapshot.join("metrics"), &staged)?;
        Ok(Restore { data: data.to_owned(), state, _lock: held })
    }

    /// Returns the state that gives way, which must be in one file: whoever opens and closes it brings it there.
    pub fn old_state(&self) -> Option<PathBuf> {
        Some(self.data.join(STATE)).filter(|path| self.state.is_some() && path.exists())
    }

    /// Puts everything in its place; what was there before is kept aside under a name with `suffix`.
    ///
    /// Errors: `Io`. When the journal could be written, the next start carries on.
    pub fn finish(self, suffix: &str) -> Result<Restored, DiskError> {
        if let Some(new) = &self.state {
            let staged = staged_state(&self.data);
            fs::copy(new, &staged).map_err(DiskError::of("copy", new))?;
            File::open(&staged).and_then(|file| file.sync_all()).map_err(DiskError::of("sync", &staged))?;
        }
        sync_folder(&self.data)?;
        let journal = Journal { suffix: suffix.to_owned(), state: self.state.is_some() };
        let text = serde_json::to_vec(&journal).expect("texts are JSON");
        // Nobody takes it up before we have ended.
        let _held = lock(&self.data.join(HELD))?;
        write_whole(&self.data.join(JOURNAL), |out| out.write_all(&text))?;
        let aside = carry_out(&self.data, &journal)?;
        Ok(Restored { aside, state: journal.state })
    }
}

/// Carries on with a restore that was broken off once its journal was written.
///
/// Errors: `InUse` when somebody else does; `Io`.
pub(super) fn resume(data: &Path) -> Result<(), DiskError> {
    let path = data.join(JOURNAL);
    if !path.exists() {
        return Ok(());
    }
    let _held = lock(&data.join(HELD))?;
    // None: it has come to its end meanwhile.
    let Some(text) = read_if_there(&path)? else {
        return Ok(());
    };
    let journal: Journal =
        serde_json::from_slice(&text).map_err(|error| DiskError::of("understand", &path)(io::Error::other(error)))?;
    let aside = carry_out(data, &journal)?;
    warn!(?aside, "a restore that was broken off has been carried out");
    Ok(())
}

/// Errors: `InUse` while a restore is carried out. The caller holds the lock on the samples.
pub(super) fn refuse_under_way(data: &Path) -> Result<(), DiskError> {
    if data.join(JOURNAL).exists() { Err(DiskError::InUse { path: data.to_owned() }) } else { Ok(()) }
}

/// Returns what was kept aside.
fn carry_out(data: &Path, journal: &Journal) -> Result<Vec<PathBuf>, DiskError> {
    let mut aside = if journal.state { replace_state(data, &journal.suffix)? } else { Vec::new() };
    let (metrics, staged, kept) = (data.join("metrics"), data.join(STAGED), data.join(format!("metrics.{}", journal.suffix)));
    if staged.join(INCOMING).exists() {
        if metrics.exists() && !files_below(&metrics)?.iter().all(|file| file == "lock") {
            fs::rename(&metrics, &kept).map_err(DiskError::of("rename", &metrics))?;
            sync_folder(data)?;
        } else if metrics.exists() {
            fs::remove_dir_all(&metrics).map_err(DiskError::of("delete", &metrics))?;
        }
        fs::rename(&staged, &metrics).map_err(DiskError::of("rename", &staged))?;
        sync_folder(data)?;
    }
    aside.extend(Some(kept).filter(|kept| kept.exists()));
    remove(&metrics.join(INCOMING))?;
    sync_folder(&metrics)?;
    remove(&data.join(JOURNAL))?;
    remove(&data.join(HELD))?;
    sync_folder(data)?;
    Ok(aside)
}

/// Returns where the old state is now.
fn replace_state(data: &Path, suffix: &str) -> Result<Vec<PathBuf>, DiskError> {
    let (state, staged) = (data.join(STATE), staged_state(data));
    let kept = |ending: &str| data.join(format!("{STATE}.{suffix}{ending}"));
    if staged.exists() {
        for ending in STATE_ENDINGS {
            let own = data.join(format!("{STATE}{ending}"));
            match fs::hard_link(&own, kept(ending)) {
                Ok(()) => {}
                // It is not there, or this was done before a crash.
                Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {}
                Err(cause) => return Err(DiskError::of("keep aside", &own)(cause)),
            }
        }
        sync_folder(data)?;
        // They belong to the old state, and must not be taken for the new one's.
        for ending in &STATE_ENDINGS[1..] {
            remove(&data.join(format!("{STATE}{ending}")))?;
        }
        sync_folder(data)?;
        fs::rename(&staged, &state).map_err(DiskError::of("rename", &staged))?;
        sync_folder(data)?;
    }
    Ok(STATE_ENDINGS.map(kept).into_iter().filter(|path| path.exists()).collect())
}

fn staged_state(data: &Path) -> PathBuf {
    data.join(format!("{STATE}.restoring"))
}

/// Copies the samples of a snapshot; blocks are linked where both lie on one disk, since nobody writes into them.
fn stage(from: &Path, to: &Path) -> Result<(), DiskError> {
    for folder in ["", "blocks", "wal"] {
        let path = to.join(folder);
        fs::create_dir_all(&path).map_err(DiskError::of("create the folder", &path))?;
    }
    let incoming = to.join(INCOMING);
    fs::write(&incoming, "").map_err(DiskError::of("write", &incoming))?;
    for file in files_below(from)? {
        let (own, new) = (from.join(&file), to.join(&file));
        let is_linked = file.starts_with("blocks/") && fs::hard_link(&own, &new).is_ok();
        if !is_linked {
            fs::copy(&own, &new).map_err(DiskError::of("copy", &own))?;
        }
    }
    sync_below(to)?;
    for folder in ["blocks", "wal"] {
        sync_folder(&to.join(folder))?;
    }
    Ok(())
}
