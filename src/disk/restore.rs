//! Restoring: a snapshot takes the place of a data folder's samples and state. A crash at any moment leaves the old or the new, each whole.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::files::sync_folder;
use super::snapshot::{STATE, entry, files_below, read_manifest, sync_below};
use super::verify::{FileFault, verify};
use super::{DiskError, contents, lock};

/// Where the new samples are put together.
const STAGED: &str = "metrics.restoring";
/// In there while it is not whole, so that a later restore knows that nothing is lost with it.
const UNFINISHED: &str = "unfinished";

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the snapshot is not whole:\n{}", told(.0))]
    Faulty(Vec<FileFault>),
    #[error("{} holds samples or state already; say --replace, and they are kept aside", .0.display())]
    Occupied(PathBuf),
    #[error("{} holds a second copy of samples that a broken-off restore has left; move it away or delete it", .0.display())]
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
    staged: PathBuf,
    /// Where the state comes from, when the snapshot has it.
    state: Option<PathBuf>,
    /// The lock on what is replaced.
    _lock: Option<File>,
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
        fs::create_dir_all(data).map_err(DiskError::of("create the folder", data))?;
        let held = if metrics.is_dir() { Some(lock(&metrics.join("lock"))?) } else { None };
        let state = Some(snapshot.join(STATE)).filter(|path| with_state && path.is_file());
        let is_occupied = held.is_some() && holds_samples(&metrics)? || state.is_some() && data.join(STATE).exists();
        if is_occupied && !replace {
            return Err(RestoreError::Occupied(data.to_owned()));
        }
        if staged.exists() {
            if !staged.join(UNFINISHED).exists() {
                return Err(RestoreError::LeftOver(staged));
            }
            fs::remove_dir_all(&staged).map_err(DiskError::of("delete", &staged))?;
        }
        stage(&snapshot.join("metrics"), &staged)?;
        Ok(Restore { data: data.to_owned(), staged, state, _lock: held })
    }

    /// Returns the state that gives way, which must be in one file: whoever opens and closes it brings it there.
    pub fn old_state(&self) -> Option<PathBuf> {
        Some(self.data.join(STATE)).filter(|path| self.state.is_some() && path.exists())
    }

    /// Puts everything in its place; what was there before is kept aside under a name with `suffix`.
    pub fn finish(self, suffix: &str) -> Result<Restored, DiskError> {
        let mut aside = Vec::new();
        if let Some(new) = &self.state {
            aside.extend(self.replace_state(new, suffix)?);
        }
        let (metrics, staged) = (self.data.join("metrics"), &self.staged);
        let unfinished = staged.join(UNFINISHED);
        fs::remove_file(&unfinished).map_err(DiskError::of("delete", &unfinished))?;
        sync_folder(staged)?;
        if metrics.exists() {
            // Both change places in one step.
            let exchanged = renameat_with(CWD, staged, CWD, &metrics, RenameFlags::EXCHANGE);
            exchanged.map_err(|error| DiskError::of("exchange with the restored samples", &metrics)(error.into()))?;
            sync_folder(&self.data)?;
            let kept = self.data.join(format!("metrics.{suffix}"));
            fs::rename(staged, &kept).map_err(DiskError::of("rename", staged))?;
            aside.push(kept);
        } else {
            fs::rename(staged, &metrics).map_err(DiskError::of("rename", staged))?;
        }
        sync_folder(&self.data)?;
        Ok(Restored { aside, state: self.state.is_some() })
    }

    /// Returns where the old state is now.
    fn replace_state(&self, new: &Path, suffix: &str) -> Result<Vec<PathBuf>, DiskError> {
        let (state, staged) = (self.data.join(STATE), self.data.join(format!("{STATE}.restoring")));
        fs::copy(new, &staged).map_err(DiskError::of("copy", new))?;
        File::open(&staged).and_then(|file| file.sync_all()).map_err(DiskError::of("sync", &staged))?;
        let mut aside = Vec::new();
        for ending in ["", "-wal", "-shm"] {
            let own = self.data.join(format!("{STATE}{ending}"));
            let kept = self.data.join(format!("{STATE}.{suffix}{ending}"));
            match fs::hard_link(&own, &kept) {
                Ok(()) => aside.push(kept),
                Err(cause) if cause.kind() == ErrorKind::NotFound => continue,
                Err(cause) => return Err(DiskError::of("keep aside", &own)(cause)),
            }
            if !ending.is_empty() {
                // It belongs to the old state, and must not be taken for the new one's.
                fs::remove_file(&own).map_err(DiskError::of("delete", &own))?;
            }
        }
        fs::rename(&staged, &state).map_err(DiskError::of("rename", &staged))?;
        sync_folder(&self.data)?;
        Ok(aside)
    }
}

/// Copies the samples of a snapshot; blocks are linked where both lie on one disk, since nobody writes into them.
fn stage(from: &Path, to: &Path) -> Result<(), DiskError> {
    for folder in ["", "blocks", "wal"] {
        let path = to.join(folder);
        fs::create_dir_all(&path).map_err(DiskError::of("create the folder", &path))?;
    }
    let unfinished = to.join(UNFINISHED);
    fs::write(&unfinished, "").map_err(DiskError::of("write", &unfinished))?;
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
