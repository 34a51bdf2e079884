//! The files of the store: the log, its checkpoints, and the lock that keeps a second process out.
//!
//! ```text
//! <data>/metrics/lock
//! <data>/metrics/wal/00000007              a segment of the log; the highest number is written to
//! <data>/metrics/wal/checkpoint-00000006   replaces the segments up to 6
//! <data>/metrics/wal/00000005.damaged      kept aside for people to look at
//! ```
//!
//! A record is handed to the operating system before its row becomes visible, so the death of the process loses nothing that anyone
//! saw. [`Disk::sync`] bounds what a loss of power can take. When writing fails, the store goes on from memory; each
//! [`Disk::maintain`] then tries a fresh checkpoint, and with it logging resumes.

mod log;
mod recovery;
mod segment;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use tocsin_core::model::Row;
use tocsin_core::store::{AppendError, Appended, Store, Truncated};
use tocsin_core::time::Timestamp;
use tracing::{info, warn};

pub use recovery::{Damage, RecoveryReport};

use log::Log;

#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// A segment of the log is closed at this length.
    pub segment_bytes_max: u64,
    /// A checkpoint is due once the log has grown this much since the last one.
    pub log_bytes_max: u64,
    /// How many damaged files are kept aside; the oldest go first.
    pub damaged_files_max: usize,
}

impl Default for DiskOptions {
    fn default() -> DiskOptions {
        DiskOptions { segment_bytes_max: 128 << 20, log_bytes_max: 1 << 30, damaged_files_max: 8 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("another process uses the data folder {}", path.display())]
    InUse { path: PathBuf },
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
}

impl DiskError {
    /// Returns what turns an error of the operating system into ours.
    fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
        move |cause| DiskError::Io { action, path: path.to_owned(), cause }
    }
}

/// What became of a row that had to get into the store.
#[derive(Debug)]
pub struct Written {
    pub appended: Appended,
    /// Why the row is in memory only, when it is.
    pub unlogged: Option<io::Error>,
}

/// What one round of maintenance did.
#[derive(Debug, Default)]
pub struct Maintained {
    pub truncated: Truncated,
    pub checkpoint: bool,
}

/// The open data folder of one store.
pub struct Disk {
    folder: PathBuf,
    options: DiskOptions,
    log: Mutex<Log>,
    /// Held while a checkpoint is written.
    maintenance: Mutex<()>,
    /// The lock lasts as long as the file is open.
    _lock: File,
}

impl Disk {
    /// Opens the folder `metrics` in the data folder, and fills the store, which must be new, with what the files hold.
    ///
    /// Errors: `InUse` when another process has the folder; `Io` when files cannot be read or made. Damaged files are no error: they
    /// are reported, and kept aside.
    pub fn open(data: &Path, store: &Store) -> Result<(Disk, RecoveryReport), DiskError> {
        Disk::open_with(data, store, DiskOptions::default())
    }

    /// Opens as `open` does, with other limits.
    pub fn open_with(data: &Path, store: &Store, options: DiskOptions) -> Result<(Disk, RecoveryReport), DiskError> {
        let folder = data.join("metrics");
        let wal = folder.join("wal");
        fs::create_dir_all(&wal).map_err(DiskError::of("create the folder", &wal))?;
        let lock = lock(&folder.join("lock"))?;
        let (log, report) = recovery::recover(&wal, store, options.segment_bytes_max)?;
        let disk = Disk { folder, options, log: Mutex::new(log), maintenance: Mutex::new(()), _lock: lock };
        if !report.damage.is_empty() {
            // What the damaged files held must be in a checkpoint before they are moved out of the way.
            if let Err(error) = disk.replace_log(store, &report.damage) {
                warn!(%error, "damaged files stay where they are, for no checkpoint can be written");
            }
        }
        Ok((disk, report))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no thread panics while it holds the log")
    }

    /// Writes a record to the log; returns once the operating system has it.
    ///
    /// Errors: when it cannot be written; from then on every write fails until a checkpoint has been written.
    pub fn write(&self, record: &[u8]) -> io::Result<()> {
        self.log().write(record)
    }

    /// Makes what was written last through a loss of power. Writers are not held up.
    ///
    /// Errors: when the device refuses; the log is suspended then as after a failed write.
    pub fn sync(&self) -> io::Result<()> {
        let pending = self.log().take_unsynced();
        for file in pending {
            if let Err(error) = file.sync_data() {
                self.log().suspend();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Returns whether rows go to memory only.
    pub fn is_suspended(&self) -> bool {
        self.log().is_suspended()
    }

    /// Appends a row to the store and the log; to the store alone when the log cannot be written.
    ///
    /// Errors: as the store's `append`, but never `Log`.
    pub fn append(&self, store: &Store, row: &Row) -> Result<Written, AppendError> {
        match store.append(row, &|record| self.write(record)) {
            Err(AppendError::Log(error)) => Ok(Written { appended: store.append_unlogged(row)?, unlogged: Some(error) }),
            done => done.map(|appended| Written { appended, unlogged: None }),
        }
    }

    /// Appends rows of any age, as `append` does one.
    pub fn append_bulk(&self, store: &Store, rows: &[Row]) -> Result<Written, AppendError> {
        match store.append_bulk(rows, &|record| self.write(record)) {
            Err(AppendError::Log(error)) => Ok(Written { appended: store.append_bulk_unlogged(rows)?, unlogged: Some(error) }),
            done => done.map(|appended| Written { appended, unlogged: None }),
        }
    }

    /// Forgets what is beyond the retention, and writes a checkpoint when one is due: the log has grown long, or is suspended.
    /// To be called every minute or so; it may take seconds, and holds up nobody.
    ///
    /// Errors: `Io` when the checkpoint cannot be written. All data stays as it is.
    pub fn maintain(&self, store: &Store, now: Timestamp) -> Result<Maintained, DiskError> {
        let truncated = store.truncate(now);
        let due = {
            let log = self.log();
            log.is_suspended() || log.grown_bytes() > self.options.log_bytes_max
        };
        if due {
            self.checkpoint(store)?;
        }
        Ok(Maintained { truncated, checkpoint: due })
    }

    /// Writes a checkpoint, and deletes the log before it. A suspended log resumes.
    ///
    /// Errors: `Io`; the log before stays, and a log that was suspended is so again.
    pub fn checkpoint(&self, store: &Store) -> Result<(), DiskError> {
        self.replace_log(store, &[])
    }

    fn replace_log(&self, store: &Store, damage: &[Damage]) -> Result<(), DiskError> {
        let _alone = self.maintenance.lock().expect("no thread panics during maintenance");
        let (covered, was_suspended) = self.log().begin_anew()?;
        let wal = self.folder.join("wal");
        match segment::write_checkpoint(&wal, covered, store) {
            Ok(bytes) => {
                info!(covered, bytes, "checkpoint written");
                if was_suspended {
                    warn!("logging resumes");
                }
                self.log().forget_growth();
                recovery::keep_aside(&wal, damage, self.options.damaged_files_max)?;
                segment::delete_covered(&wal, covered)
            }
            Err(error) => {
                if was_suspended {
                    self.log().suspend();
                }
                Err(error)
            }
        }
    }
}

/// Opens a file and locks it for this process.
fn lock(path: &Path) -> Result<File, DiskError> {
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(DiskError::of("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DiskError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(cause)) => Err(DiskError::of("lock", path)(cause)),
    }
}

#[cfg(test)]
mod tests;
