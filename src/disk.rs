//! The files of the store: the log, its checkpoints, and the lock that keeps a second process out.
//!
//! ```text
//! <data>/metrics/lock
//! <data>/metrics/wal/00000007              a segment of the log; the highest number is written to
//! <data>/metrics/wal/checkpoint-00000006   replaces the segments up to 6
//! <data>/metrics/wal/00000005.damaged      kept aside for people to look at
//! <data>/metrics/tombstones            what is deleted and still lies in blocks
//! <data>/metrics/deleting              a deletion that is under way
//! <data>/metrics/horizon               nothing older is there any more, since its blocks made room
//! <data>/metrics/blocks/00000042           samples that have left memory
//! <data>/metrics/blocks/00000003-00000041  blocks that were merged into one
//! <data>/metrics/clock                 what forgetting goes by, see `SteadyClock` of core
//! <data>/metrics/remote/00000003           what is sent to other servers, see `queue`
//! <data>/snapshots/20261121T090000Z        copies, see `snapshot`
//! ```
//!
//! A record is handed to the operating system before its row becomes visible, so the death of the process loses nothing that anyone
//! saw. [`Disk::sync`] bounds what a loss of power can take. When writing fails, the store goes on from memory; each
//! [`Disk::maintain`] then tries a fresh checkpoint, and with it logging resumes.

mod blocks;
pub mod contents;
mod delete;
mod files;
mod horizon;
mod log;
pub mod queue;
mod reading;
mod recovery;
pub mod restore;
mod room;
mod segment;
pub mod snapshot;
mod steady;
pub mod verify;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tocsin_core::model::Row;
use tocsin_core::store::{AppendError, Appended, BlockError, Lateness, Merge, SteadyClock, Store, Truncated};
use tocsin_core::time::{Span, Timestamp};
use tracing::{info, warn};

pub use reading::Reading;
pub use recovery::{Damage, RecoveryReport};

use blocks::Blocks;
use log::Log;

#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// A segment of the log is closed at this length.
    pub segment_bytes_max: u64,
    /// A checkpoint is due once the log has grown this much since the last one,
    pub log_bytes_max: u64,
    /// or this much, when that is as long as what the checkpoint would take.
    pub log_bytes_min: u64,
    /// or when the last one is so old.
    pub log_span: Span,
    /// How many damaged files are kept aside in each folder; the oldest go first.
    pub damaged_files_max: usize,
    /// Samples stay in memory for this long at least.
    pub memory_span: Span,
    /// All of memory is gone through once in this time, a part of it at each maintenance.
    pub cut_period: Span,
    /// So many bytes of chunks become one block.
    pub block_bytes_max: usize,
    /// The blocks' length in total; the oldest go first.
    pub blocks_bytes_max: u64,
    /// Each record outlasts a loss of power before its row becomes visible.
    pub sync_each: bool,
}

impl Default for DiskOptions {
    fn default() -> DiskOptions {
        DiskOptions {
            segment_bytes_max: 128 << 20,
            log_bytes_max: 1 << 30,
            log_bytes_min: 64 << 20,
            log_span: Span::from_mins(2 * 60),
            damaged_files_max: 8,
            memory_span: Span::from_mins(20),
            cut_period: Span::from_mins(30),
            block_bytes_max: 8 << 20,
            blocks_bytes_max: u64::MAX,
            sync_each: false,
        }
    }
}

/// What a checkpoint takes for a series beside its chunks, about.
const SERIES_BYTES: u64 = 200;
/// Samples younger than this stay in memory also where it is short: rules ask for them most.
const RELIEF_SPAN: Span = Span::from_mins(5);
/// A merged block takes no more than this part of the room for blocks, so that not too much is forgotten with one.
const MERGED_PART: u64 = 8;

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
    #[error("the log cannot be written now, so nothing is deleted; is the disk full?")]
    Suspended,
    #[error(
        "{max} deletions wait for their blocks to be written anew; have that done (clean_tombstones), move damaged blocks away that are kept aside, then delete more"
    )]
    TooManyDeletions { max: usize },
    #[error("a merge of blocks hides some of the series; what was found is deleted, delete the rest once more")]
    NotAllFound,
    #[error("there is no room to {action}: it takes up to {needed} bytes, and {free} are free; free the disk, and try again")]
    NoRoom { action: &'static str, needed: u64, free: u64 },
    #[error("cannot use the block {}", path.display())]
    Block {
        path: PathBuf,
        #[source]
        cause: BlockError,
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
    /// Blocks written.
    pub blocks: usize,
    pub checkpoint: bool,
}

/// How many blocks one round of merging wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Of several blocks.
    pub merged: usize,
    /// Of one, without what was deleted in it.
    pub rewritten: usize,
}

/// The open data folder of one store.
pub struct Disk {
    folder: PathBuf,
    options: DiskOptions,
    log: Mutex<Log>,
    /// Held during maintenance.
    blocks: Mutex<Blocks>,
    syncing: Mutex<()>,
    /// Held by the one who merges; taken before `blocks`.
    merging: Mutex<()>,
    /// The room on the disk is left to others.
    leaves_room: AtomicBool,
    /// The service stops: no block is written anew any more.
    stops: AtomicBool,
    /// What merges and snapshots under way are about to take.
    claimed: Arc<Mutex<u64>>,
    /// A snapshot is under way.
    is_copied: Arc<AtomicBool>,
    clock: Mutex<Option<SteadyClock>>,
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
        restore::resume(data)?;
        fs::create_dir_all(&wal).map_err(DiskError::of("create the folder", &wal))?;
        let lock = lock(&folder.join("lock"))?;
        restore::refuse_under_way(data)?;
        snapshot::remove_unfinished(data)?;
        let clock = Mutex::new(steady::read(&folder)?);
        let mut report = RecoveryReport::default();
        if let Some(horizon) = horizon::read(&folder)? {
            store.forget_before(horizon);
        }
        delete::open(&folder, store, &mut report)?;
        let blocks = Blocks::open(&folder.join("blocks"), store, options.damaged_files_max, &mut report)?;
        delete::settle(&folder, store)?;
        let log = recovery::recover(&wal, store, &mut report, options.segment_bytes_max)?;
        let doubles = store.drop_doubles();
        if doubles > 0 {
            info!(bytes = doubles, "samples dropped from memory, for blocks hold them");
        }
        let disk = Disk {
            folder,
            options,
            log: Mutex::new(log),
            blocks: Mutex::new(blocks),
            syncing: Mutex::default(),
            merging: Mutex::default(),
            leaves_room: AtomicBool::new(false),
            stops: AtomicBool::new(false),
            claimed: Arc::default(),
            is_copied: Arc::default(),
            clock,
            _lock: lock,
        };
        if let Some(deletion) = delete::broken_off(&disk.folder, &mut report)?
            && let Err(error) = disk.delete(store, &deletion)
        {
            warn!(%error, "a deletion that was broken off is there in part; delete it again");
        }
        let of_folder = |damage: &&Damage| damage.file == disk.folder.join(delete::UNDER_WAY);
        let damaged = report.damage.iter().filter(of_folder).map(|damage| damage.file.as_path());
        files::keep_aside(&disk.folder, damaged, disk.options.damaged_files_max)?;
        if !report.damage.is_empty() || report.adopted > 0 {
            // What the damaged files held must be in a checkpoint before they are moved out of the way.
            if let Err(error) = disk.replace_log(&mut disk.blocks(), store, &report.damage) {
                warn!(%error, "damaged files stay where they are, for no checkpoint can be written");
            }
        }
        Ok((disk, report))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no thread panics while it holds the log")
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().expect("no thread panics during maintenance")
    }

    /// Writes a record to the log; returns once the operating system has it.
    ///
    /// Errors: when it cannot be written; from then on every write fails until a checkpoint has been written.
    pub fn write(&self, record: &[u8]) -> io::Result<()> {
        self.log().write(record)?;
        if self.options.sync_each { self.sync() } else { Ok(()) }
    }

    /// Makes what was written last through a loss of power. Writers are not held up.
    ///
    /// Errors: when the device refuses; the log is suspended then as after a failed write.
    pub fn sync(&self) -> io::Result<()> {
        // Nobody may take it for done what another one is about to do.
        let _syncing = self.syncing.lock().expect("no thread panics while it syncs");
        let pending = self.log().take_unsynced();
        for file in pending {
            if let Err(error) = file.sync_data() {
                self.log().suspend();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Leaves what room there is on a full disk to those who tell people: rows go to memory only, and nothing is written until this is
    /// taken back. Maintenance then has logging resume.
    pub fn leave_room(&self, leave: bool) {
        if !self.leaves_room.swap(leave, Ordering::AcqRel) && leave {
            warn!("samples live in memory, because the disk is full");
        }
        if leave && !self.is_suspended() {
            self.log().suspend();
        }
    }

    /// Returns whether rows go to memory only.
    pub fn is_suspended(&self) -> bool {
        self.log().is_suspended()
    }

    /// Returns whether there are rows in memory that no file has. They are saved once a checkpoint has been written, and not as soon as
    /// logging resumes for it.
    pub fn is_unsaved(&self) -> bool {
        self.log().is_unsaved()
    }

    /// Returns whether damaged files are kept aside, which somebody should look at.
    pub fn has_damaged_files(&self) -> bool {
        let folders = ["", "wal", "blocks"].map(|name| self.folder.join(name));
        folders.iter().any(|folder| files::kept_aside(folder).is_ok_and(|kept| !kept.is_empty()))
    }

    /// Appends a row to the store and the log; to the store alone when the log cannot be written.
    ///
    /// Errors: as the store's `append`, but never `Log`.
    pub fn append(&self, store: &Store, row: &Row) -> Result<Written, AppendError> {
        let logged = store.append(row, &|record| self.write(record));
        written(logged, || store.append_unlogged(row))
    }

    /// Appends a row as `append` does, with another limit on how late its samples may be.
    pub fn append_late(&self, store: &Store, row: &Row, lateness: Lateness) -> Result<Written, AppendError> {
        let logged = store.append_late(row, lateness, &|record| self.write(record));
        written(logged, || store.append_late_unlogged(row, lateness))
    }

    /// Appends rows of any age, as `append` does one.
    pub fn append_bulk(&self, store: &Store, rows: &[Row]) -> Result<Written, AppendError> {
        let logged = store.append_bulk(rows, &|record| self.write(record));
        written(logged, || store.append_bulk_unlogged(rows))
    }

    /// Forgets what is beyond the retention, moves to blocks what has aged of the pages whose turn it is, and writes a checkpoint when one
    /// is due: the log has grown long or old, or it is suspended. To be called every minute or so; it may take seconds, and holds up nobody.
    ///
    /// Errors: `Io` when a file cannot be written. All data stays as it is.
    pub fn maintain(&self, store: &Store, now: Timestamp) -> Result<Maintained, DiskError> {
        let mut blocks = self.blocks();
        store.set_absent(blocks::absent(&self.folder.join("blocks"))?);
        let truncated = store.truncate(now);
        let oversize = store.shrink_blocks(self.options.blocks_bytes_max, now);
        if !oversize.is_empty()
            && let Err(error) = horizon::write(&self.folder, store.horizon())
        {
            // The blocks go all the same: they are what makes room.
            warn!(%error, "after a restart the oldest rows may be there in part");
        }
        blocks.delete(truncated.blocks.iter().chain(&oversize))?;
        delete::settle(&self.folder, store)?;
        if self.leaves_room.load(Ordering::Acquire) {
            return Ok(Maintained { truncated, blocks: 0, checkpoint: false });
        }
        // While rows are in no log, none of them may reach a block: a crash would leave it there in part.
        let resumes = self.is_suspended();
        if resumes {
            self.replace_log(&mut blocks, store, &[])?;
        }
        // Nor may a block last longer than the log of its rows.
        let sync = || self.sync().map_err(DiskError::of("sync the log in", &self.folder));
        let written = blocks.cut(store, now, &self.options, &sync)?;
        // A clock that was stepped back does not put it off.
        let since = blocks.log_since.map_or(now, |at| at.min(now));
        blocks.log_since = Some(since);
        let due = self.is_checkpoint_due(store) || now - since >= self.options.log_span;
        if due {
            self.replace_log(&mut blocks, store, &[])?;
        }
        if due || resumes {
            blocks.log_since = Some(now);
        }
        Ok(Maintained { truncated, blocks: written, checkpoint: due || resumes })
    }

    /// Moves to blocks whatever may move, of all pages, for memory is short. Returns how many blocks that makes; none while the log is
    /// suspended, as at `maintain`.
    ///
    /// Errors: `Io` when a file cannot be written. All data stays as it is.
    pub fn relieve(&self, store: &Store, now: Timestamp) -> Result<usize, DiskError> {
        let mut blocks = self.blocks();
        if self.leaves_room.load(Ordering::Acquire) || self.is_suspended() {
            return Ok(0);
        }
        let options = DiskOptions { memory_span: RELIEF_SPAN, cut_period: Span(1), ..self.options.clone() };
        let sync = || self.sync().map_err(DiskError::of("sync the log in", &self.folder));
        blocks.cut(store, now, &options, &sync)
    }

    /// A checkpoint holds what memory holds, which no cut of blocks shortens by much. So one is written when the log has grown by as much
    /// as it would take: writing both costs twice the log at most, and a start never reads more than that.
    fn is_checkpoint_due(&self, store: &Store) -> bool {
        let length = checkpoint_bytes(store);
        let log = self.log();
        log.is_suspended() || log.grown_bytes() > length.clamp(self.options.log_bytes_min, self.options.log_bytes_max)
    }

    /// Merges blocks where that is due, then writes one block anew of which something was deleted, and one of which something has outlived
    /// its time; `pause` is called every hundred thousand
    /// samples or so. To be called every minute or so; it may take minutes, and holds up neither writers nor maintenance.
    ///
    /// Errors: `Io` when a file cannot be written, `Block` when one cannot be read. All data stays as it is.
    pub fn merge(&self, store: &Store, now: Timestamp, pause: &mut dyn FnMut()) -> Result<Merged, DiskError> {
        let _merging = self.merging();
        let (mut done, mut short_of_room) = (Merged::default(), None);
        while short_of_room.is_none()
            && !self.is_held_back()
            && let Some(merge) = store.merge_due(now, self.options.blocks_bytes_max / MERGED_PART)
        {
            match self.write_merged(store, &merge, pause) {
                Ok(is_used) => done.merged += usize::from(is_used),
                // What frees room may need less of it.
                Err(error @ DiskError::NoRoom { .. }) => short_of_room = Some(error),
                Err(error) => return Err(error),
            }
        }
        // One at a time, so that a small deletion does not keep the disk busy.
        done.rewritten = self.rewrite(store, 1, pause)?;
        if !self.is_held_back()
            && let Some(merge) = store.sift_due(now, pause)
        {
            done.rewritten += usize::from(self.write_merged(store, &merge, pause)?);
        }
        short_of_room.map_or(Ok(done), Err)
    }

    /// Has merging and cleaning end soon, and begin no more: the service stops. What was written so far is dropped, and nothing is lost.
    pub fn stop(&self) {
        self.stops.store(true, Ordering::Release);
    }

    fn is_held_back(&self) -> bool {
        self.leaves_room.load(Ordering::Acquire) || self.stops.load(Ordering::Acquire)
    }

    fn merging(&self) -> MutexGuard<'_, ()> {
        self.merging.lock().expect("no thread panics while it merges")
    }

    /// The caller holds `merging`. Returns false when the merged block was of no use.
    fn write_merged(&self, store: &Store, merge: &Merge, pause: &mut dyn FnMut()) -> Result<bool, DiskError> {
        let _claim = self.claim("write blocks anew", merge.bytes_max())?;
        let merger = self.blocks().merger();
        let len = merger.write(merge, &self.stops, pause)?;
        // Nobody deletes blocks meanwhile.
        let _blocks = self.blocks();
        let Some(gone) = merger.commit(store, merge, len)? else { return Ok(false) };
        info!(block = %merge.id(), bytes = len, merged = gone.len(), "block written in the place of others");
        merger.delete(&gone)?;
        Ok(true)
    }

    /// Writes a checkpoint, and deletes the log before it. A suspended log resumes.
    ///
    /// Errors: `Io`; the log before stays, and a log that was suspended is so again.
    pub fn checkpoint(&self, store: &Store) -> Result<(), DiskError> {
        self.replace_log(&mut self.blocks(), store, &[])
    }

    /// `_blocks` shows that the caller is the only one at maintenance.
    fn replace_log(&self, _blocks: &mut Blocks, store: &Store, damage: &[Damage]) -> Result<(), DiskError> {
        let (covered, was_suspended) = self.log().begin_anew()?;
        let wal = self.folder.join("wal");
        match segment::write_checkpoint(&wal, covered, store) {
            Ok(bytes) => {
                info!(covered, bytes, "checkpoint written");
                if was_suspended {
                    warn!("logging resumes");
                }
                let mut log = self.log();
                log.forget_growth();
                if self.leaves_room.load(Ordering::Acquire) {
                    // The room was asked for while the checkpoint was written.
                    log.suspend();
                }
                log.note_saved();
                drop(log);
                files::keep_aside(&wal, damage.iter().map(|damage| damage.file.as_path()), self.options.damaged_files_max)?;
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

/// Returns what became of rows; where the log failed, `unlogged` brings them into memory.
fn written(
    logged: Result<Appended, AppendError>,
    unlogged: impl FnOnce() -> Result<Appended, AppendError>,
) -> Result<Written, AppendError> {
    match logged {
        Err(AppendError::Log(error)) => Ok(Written { appended: unlogged()?, unlogged: Some(error) }),
        done => done.map(|appended| Written { appended, unlogged: None }),
    }
}

/// Returns how long a checkpoint would be, about.
fn checkpoint_bytes(store: &Store) -> u64 {
    let stats = store.stats(0);
    stats.chunks_bytes + stats.series as u64 * SERIES_BYTES
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
