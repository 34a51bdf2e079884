//! What people do with stored samples while the service runs: list, dump, delete, back up.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tocsin_core::model::Matcher;
use tocsin_core::remote::dump;
use tocsin_core::store::{Counted, Store};
use tocsin_core::time::Timestamp;
use tokio::sync::{Semaphore, mpsc};

use crate::client::answer::with_causes;
use crate::clock::{self, Stopwatch};
use crate::db::{Db, DbError};
use crate::disk::contents::{self, Contents};
use crate::disk::snapshot::{self, SnapshotFacts};
use crate::disk::{Disk, DiskError};
use crate::pipeline::pulse::Pulse;
use crate::telemetry::Metrics;

/// So many samples of a dump are read at once.
const READ_AT_ONCE: usize = 1 << 20;
/// Pieces of a dump that wait for the one who reads it, and how long each is, about.
const PIECES_MAX: usize = 4;
const PIECE_BYTES: usize = 256 << 10;
/// Lists at a time: each looks at every series.
const LISTS_MAX: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    #[error("{0} is under way; try again later")]
    Busy(&'static str),
    #[error("{0}")]
    Name(&'static str),
    #[error("the state cannot be copied")]
    Db(#[from] DbError),
    #[error(transparent)]
    NoRoom(DiskError),
    #[error(transparent)]
    Disk(DiskError),
    #[error("the work ended in a fault of the program; the log has more")]
    Fault,
}

impl From<DiskError> for StoredError {
    fn from(error: DiskError) -> StoredError {
        if matches!(error, DiskError::NoRoom { .. }) { StoredError::NoRoom(error) } else { StoredError::Disk(error) }
    }
}

/// Which samples: of series that satisfy any of the sets, between two instants, both included.
#[derive(Clone, Debug)]
pub struct Which {
    pub sets: Vec<Vec<Matcher>>,
    pub start: Timestamp,
    pub end: Timestamp,
}

/// How a snapshot is made.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// None: after the time.
    pub name: Option<String>,
    /// So many snapshots are left afterwards, this one included.
    pub keep: Option<usize>,
    /// Leave out what is in memory alone.
    pub without_memory: bool,
}

/// A snapshot that was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub facts: SnapshotFacts,
    pub path: PathBuf,
    pub has_state: bool,
    pub removed: Vec<String>,
}

/// The stored samples; clones share the limits.
#[derive(Clone)]
pub struct Stored {
    store: Arc<Store>,
    disk: Arc<Disk>,
    db: Db,
    metrics: Arc<Metrics>,
    data: PathBuf,
    /// One that changes or copies much is enough at a time, and one that reads much.
    changes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    lists: Arc<Semaphore>,
    /// The sign of life of those who merge, who wait while blocks are cleaned.
    merging: Pulse,
}

impl Stored {
    pub fn new(store: Arc<Store>, disk: Arc<Disk>, db: Db, metrics: Arc<Metrics>, data: PathBuf, merging: Pulse) -> Stored {
        // A folder that cannot be listed now says so to those who ask for the list.
        let newest = snapshot::list(&data).ok().and_then(|all| Timestamp::parse_rfc3339(&all.last()?.made_at));
        newest.into_iter().for_each(|at| metrics.stored.snapshot_made(at));
        let one = || Arc::new(Semaphore::new(1));
        let lists = Arc::new(Semaphore::new(LISTS_MAX));
        Stored { store, disk, db, metrics, data, changes: one(), reads: one(), lists, merging }
    }

    /// Does some work on a thread of its own, to its end, whoever still waits for it.
    async fn work<T: Send + 'static>(
        &self,
        of: &Arc<Semaphore>,
        busy: &'static str,
        work: impl FnOnce(&Stored) -> Result<T, StoredError> + Send + 'static,
    ) -> Result<T, StoredError> {
        let permit = of.clone().try_acquire_owned().map_err(|_| StoredError::Busy(busy))?;
        let own = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&own)
        });
        work.await.map_err(|_| StoredError::Fault)?
    }

    /// Returns what is stored, in numbers.
    pub async fn contents(&self) -> Result<Contents, StoredError> {
        let list = |own: &Stored| Ok(contents::of_store(&own.data, &own.store, true)?);
        self.work(&self.lists, "another list", list).await
    }

    /// Returns how many series and samples a deletion would take.
    pub async fn count(&self, which: Which) -> Result<Counted, StoredError> {
        let count = move |own: &Stored| Ok(own.store.count(&own.store.deletion(&which.sets, which.start, which.end)));
        self.work(&self.reads, "a dump or a count", count).await
    }

    /// Deletes samples; returns once it lasts and is seen. With `count` it returns how many series and samples that were, as far as they
    /// could be read; else how many series there may have been.
    pub async fn delete(&self, which: Which, count: bool) -> Result<Counted, StoredError> {
        let delete = move |own: &Stored| {
            let find = || own.store.deletion(&which.sets, which.start, which.end);
            let deletion = find();
            let counted = if count {
                own.store.count(&deletion)
            } else {
                let unread = deletion.unread().to_vec();
                Counted { series: deletion.series() as u64, unread, ..Counted::default() }
            };
            let figures = &own.metrics.stored;
            own.disk.delete_all(&own.store, &deletion, find).inspect_err(|_| _ = figures.deletions_failed.inc())?;
            figures.deletions.inc();
            figures.samples_deleted.inc_by(counted.samples);
            Ok(counted)
        };
        self.work(&self.changes, "a deletion, a cleaning or a snapshot", delete).await
    }

    /// Writes blocks anew until nothing that was deleted takes room; returns how many those were.
    pub async fn clean(&self) -> Result<usize, StoredError> {
        let clean = |own: &Stored| {
            let count = own.disk.clean(&own.store, &mut || own.merging.beat())?;
            own.metrics.stored.blocks_rewritten.inc_by(count as u64);
            Ok(count)
        };
        self.work(&self.changes, "a deletion, a cleaning or a snapshot", clean).await
    }

    /// Makes a snapshot of samples and state. Appending goes on meanwhile.
    pub async fn snapshot(&self, wish: Wish) -> Result<Made, StoredError> {
        if let Some(fault) = wish.name.as_deref().and_then(snapshot::name_fault) {
            return Err(StoredError::Name(fault));
        }
        let permit = self.changes.clone().try_acquire_owned();
        let permit = permit.map_err(|_| StoredError::Busy("a deletion, a cleaning or a snapshot"))?;
        let own = self.clone();
        // It comes to its end, whoever still waits for it.
        let task = tokio::spawn(async move {
            let _permit = permit;
            let (watch, figures) = (Stopwatch::start(), &own.metrics.stored);
            let made = own.make_snapshot(wish).await.inspect_err(|_| _ = figures.snapshots_failed.inc())?;
            figures.snapshots.inc();
            figures.snapshot_seconds.observe(watch.elapsed().as_secs_f64());
            figures.snapshot_made(clock::now());
            Ok(made)
        });
        task.await.map_err(|_| StoredError::Fault)?
    }

    async fn make_snapshot(&self, wish: Wish) -> Result<Made, StoredError> {
        let now = clock::now();
        let name = wish.name.unwrap_or_else(|| snapshot::compact(now));
        let path = self.data.join(snapshot::FOLDER).join(&name);
        let (disk, store, memory) = (self.disk.clone(), self.store.clone(), !wish.without_memory);
        let keeps = wish.keep.is_some();
        let begun = tokio::task::spawn_blocking(move || {
            if keeps {
                // Where there are as many as there may be, the oldest makes room.
                disk.keep_snapshots(snapshot::SNAPSHOTS_MAX - 1)?;
            }
            disk.begin_snapshot(&store, &name, memory)
        });
        let draft = begun.await.map_err(|_| StoredError::Fault)??;
        let has_state = self.db.copy_to(&draft.state()).await?;
        let (disk, kind) = (self.disk.clone(), self.db.kind());
        let ended = tokio::task::spawn_blocking(move || {
            let facts = disk.end_snapshot(draft, kind, now)?;
            let removed = wish.keep.map_or(Ok(Vec::new()), |keep| disk.keep_snapshots(keep.max(1)))?;
            Ok::<_, DiskError>((facts, removed))
        });
        let (facts, removed) = ended.await.map_err(|_| StoredError::Fault)??;
        Ok(Made { facts, path, has_state, removed })
    }

    /// Begins a dump as lines of JSON; returns its pieces. The last line says that it is whole, or why it is not.
    pub fn dump(&self, which: Which) -> Result<mpsc::Receiver<String>, StoredError> {
        let permit = self.reads.clone().try_acquire_owned().map_err(|_| StoredError::Busy("a dump or a count"))?;
        let (pieces, receiver) = mpsc::channel(PIECES_MAX);
        self.metrics.stored.dumps.inc();
        let own = self.clone();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let end = match own.write_dump(&which, &pieces) {
                Ok(()) => dump::end_line(None),
                Err(error) => dump::end_line(Some(&with_causes(&error))),
            };
            // Who has gone needs no end.
            let _ = pieces.blocking_send(end);
        });
        Ok(receiver)
    }

    fn write_dump(&self, which: &Which, pieces: &mpsc::Sender<String>) -> Result<(), io::Error> {
        let gone = |_| io::Error::other("nobody reads any more");
        let mut walk = self.store.walk(&which.sets, which.start, which.end);
        let mut text = String::new();
        while let Some(some) = walk.next(&self.store, READ_AT_ONCE).map_err(io::Error::other)? {
            for series in &some {
                dump::put_json(&mut text, series);
                if text.len() >= PIECE_BYTES {
                    pieces.blocking_send(std::mem::take(&mut text)).map_err(gone)?;
                }
            }
        }
        if text.is_empty() { Ok(()) } else { pieces.blocking_send(text).map_err(gone) }
    }
}
