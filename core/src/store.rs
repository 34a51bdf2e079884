//! The time-series store, without its files: what is in memory, what the bytes in the log and in blocks mean, and who sees what.
//!
//! - A [`Row`](crate::model::Row) is the unit of logging and of visibility: a reader sees each row whole or not at all.
//! - A series has a number, [`SeriesRef`], that is never given to another series. It holds while memory has samples of the series, and
//!   for an hour after the newest one, and for as long as rows name it between two truncations. Then only blocks know the series, and
//!   appending to its number says so (`cold`).
//! - Appending takes one lock (`writer`), reading none for longer than it takes to copy a page of 256 series (`pages`).
//! - Locks are taken in this order: `cooling`, `exemplars`, `writer`, `table`, `index`, `standing`, a page's heads, a page's labels;
//!   `rows`, `blocks`, `tombstones`, `classes`, `absent`, `limits` and `growth` alone and last, but `classes` within `blocks`.

mod anatomy;
mod append;
mod bits;
mod block;
mod build;
mod cardinality;
mod chunk;
mod classes;
mod cluster;
mod codec;
mod cold;
mod column;
mod cut;
mod delete;
mod exemplars;
mod group;
mod growth;
mod head;
mod index;
mod ints;
mod labels;
mod limits;
mod memory;
mod merge;
mod pages;
mod record;
mod retain;
mod rows;
mod select;
mod standing;
mod stats;
mod steady;
mod verify;
mod walk;

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use crate::model::{Claim, LabelSet, Resolved, SeriesRef};
use crate::time::Span;

pub use anatomy::{Anatomy, LabelAnatomy};
pub use append::{AppendError, Appended, Log, Replayed};
pub use block::{BlockError, BlockId, ReadAt};
pub use cardinality::{Cardinality, LabelRow, Row as CardinalityRow, TargetRow};
pub use classes::{Class, Classes};
pub use codec::Damaged;
pub use cut::{Cut, Draft, TURNS};
pub use delete::{Counted, Deletion, TOMBSTONES_MAX, Uncounted};
pub use exemplars::AddedExemplars;
pub use growth::Moment;
pub use head::{Lateness, LeftOut};
pub use limits::{Refused, SeriesLimits};
pub use memory::{Budget, Level};
pub use merge::{Merge, MergeError};
pub use record::RECORD_BYTES_MAX;
pub use retain::Truncated;
pub use select::{Listing, Snapshot};
pub use stats::{BlockFacts, HeadFacts, LabelStats, Stats};
pub use steady::SteadyClock;
pub use verify::{Fault, check_block, check_record, check_tombstones};
pub use walk::Walk;

use block::Block;
use delete::Tombstones;
use exemplars::Exemplars;
use growth::Growth;
use index::Index;
use pages::{Pages, page_of, slot_of};
use rows::Rows;
use standing::Standings;

#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Samples older than this are forgotten, unless `keep_by` says otherwise.
    pub retention: Span,
    /// New series beyond this number are refused, until `limit_series` says otherwise; known ones go on.
    pub series_max: usize,
    /// How far behind its series' newest sample an appended sample may lie; zero refuses all late samples.
    pub out_of_order_window: Span,
    /// Exemplars that are kept, of all series together.
    pub exemplars_max: usize,
    /// Any number that outsiders cannot guess: it keeps crafted labels from colliding in the table of series.
    pub hash_seed: u64,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            retention: Span(15 * 24 * 3600 * 1000),
            series_max: SERIES_MAX,
            out_of_order_window: Span::ZERO,
            exemplars_max: EXEMPLARS_MAX,
            hash_seed: 0,
        }
    }
}

/// Series that there may be when nobody says how many.
pub const SERIES_MAX: usize = 5_000_000;

/// Exemplars that are kept when nobody says how many.
///
/// Source: Prometheus' default of `storage.exemplars.max_exemplars`.
pub const EXEMPLARS_MAX: usize = 100_000;

/// The longest label set, in its packed form.
pub const LABELS_BYTES_MAX: usize = 64 << 10;

/// The table of series is cut into so many parts, each with its own lock.
const TABLE_PARTS: usize = 16;

/// What finds a series by its labels: half of their hash, and the series.
type Table = HashTable<(u32, u32)>;

/// What the one who appends keeps between rows.
#[derive(Default)]
struct Writer {
    stamp: u32,
    record: Vec<u8>,
}

/// The store. Share it by `Arc`; every method takes `&self`.
pub struct Store {
    options: StoreOptions,
    hasher: FixedState,
    writer: Mutex<Writer>,
    table: [RwLock<Table>; TABLE_PARTS],
    index: RwLock<Index>,
    pages: Pages,
    rows: Mutex<Rows>,
    exemplars: Mutex<Exemplars>,
    /// In order of their names.
    blocks: RwLock<Arc<[Arc<Block>]>>,
    /// What is deleted and still lies in blocks.
    tombstones: RwLock<Arc<Tombstones>>,
    /// How long samples stay.
    classes: RwLock<Arc<Classes>>,
    /// Blocks that are not there and may be put back.
    absent: RwLock<Arc<[BlockId]>>,
    /// What is newer is not counted from when it comes to forgetting.
    forgetting_at: AtomicI64,
    /// Nothing older is visible or accepted.
    horizon: AtomicI64,
    samples_total: AtomicU64,
    chunks_bytes: AtomicU64,
    limits: RwLock<SeriesLimits>,
    /// Memory is short: no new series are taken.
    closed: AtomicBool,
    growth: Mutex<Growth>,
    /// Held by whoever lets series go cold, and by whoever notes that a group of a block has none.
    cooling: Mutex<()>,
    standing: RwLock<Standings>,
}

const POISONED: &str = "no thread panics while it holds the store";

impl Store {
    pub fn new(options: StoreOptions) -> Store {
        Store {
            hasher: FixedState::with_seed(options.hash_seed),
            exemplars: Mutex::new(Exemplars::new(options.exemplars_max)),
            limits: RwLock::new(SeriesLimits { series: options.series_max, per_metric: 0, of_metric: BTreeMap::new() }),
            closed: AtomicBool::new(false),
            growth: Mutex::new(Growth::new(options.hash_seed)),
            classes: RwLock::new(Arc::new(Classes::new(options.retention, Vec::new()))),
            absent: RwLock::default(),
            forgetting_at: AtomicI64::new(i64::MAX),
            options,
            writer: Mutex::default(),
            table: std::array::from_fn(|_| RwLock::default()),
            index: RwLock::new(Index::new()),
            pages: Pages::new(),
            rows: Mutex::default(),
            blocks: RwLock::default(),
            tombstones: RwLock::default(),
            horizon: AtomicI64::new(i64::MIN),
            samples_total: AtomicU64::new(0),
            chunks_bytes: AtomicU64::new(0),
            cooling: Mutex::default(),
            standing: RwLock::default(),
        }
    }

    /// Returns whether a thread panicked while it changed the store; whoever asks the store for something then panics too.
    pub fn is_broken(&self) -> bool {
        let tables = || self.table.iter().any(RwLock::is_poisoned);
        self.writer.is_poisoned()
            || self.exemplars.is_poisoned()
            || self.rows.is_poisoned()
            || self.index.is_poisoned()
            || self.blocks.is_poisoned()
            || self.limits.is_poisoned()
            || self.growth.is_poisoned()
            || self.tombstones.is_poisoned()
            || self.classes.is_poisoned()
            || self.absent.is_poisoned()
            || self.cooling.is_poisoned()
            || self.standing.is_poisoned()
            || tables()
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().expect(POISONED)
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().expect(POISONED)
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().expect(POISONED)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().expect(POISONED)
    }

    fn blocks(&self) -> Arc<[Arc<Block>]> {
        self.blocks.read().expect(POISONED).clone()
    }

    fn blocks_mut(&self) -> RwLockWriteGuard<'_, Arc<[Arc<Block>]>> {
        self.blocks.write().expect(POISONED)
    }

    fn growth(&self) -> MutexGuard<'_, Growth> {
        self.growth.lock().expect(POISONED)
    }

    fn part(&self, hash: u32) -> &RwLock<Table> {
        &self.table[hash as usize % TABLE_PARTS]
    }

    fn hash(&self, labels: &LabelSet) -> u32 {
        self.hasher.hash_one(labels.packed()) as u32
    }

    fn count_bytes(&self, grown: usize, shrunk: usize) {
        self.chunks_bytes.fetch_add((grown as u64).wrapping_sub(shrunk as u64), Relaxed);
    }

    /// Returns the series with these labels; makes it if need be.
    ///
    /// Errors: `Refused` when it would be a new one and there is no room.
    pub fn resolve(&self, labels: &LabelSet) -> Result<SeriesRef, Refused> {
        self.resolve_as(labels, Claim::Common).map(|found| found.series)
    }

    /// Returns the series with these labels; makes it if need be, and if the asker may have it.
    ///
    /// Errors: `Refused` when it would be a new one and there is no room.
    pub fn resolve_as(&self, labels: &LabelSet, claim: Claim) -> Result<Resolved, Refused> {
        let hash = self.hash(labels);
        let known = |series| Resolved { series: SeriesRef(series), is_new: false };
        if let Some(series) = self.find(&self.part(hash).read().expect(POISONED), hash, labels) {
            return Ok(known(series));
        }
        let bytes = labels.packed().len();
        if bytes > LABELS_BYTES_MAX {
            return Err(Refused::LabelsTooLong { bytes });
        }
        // Whoever is refused asks again at each scrape, and must not keep others from the index.
        self.check_room(&self.index(), labels, claim).inspect_err(|_| self.growth().refused())?;
        let mut table = self.part(hash).write().expect(POISONED);
        if let Some(series) = self.find(&table, hash, labels) {
            return Ok(known(series));
        }
        let mut index = self.index_mut();
        self.check_room(&index, labels, claim).inspect_err(|_| self.growth().refused())?;
        let series = index.next.ok_or(Refused::NumbersUsedUp)?;
        index.next = series.checked_add(1);
        let mut growth = self.growth();
        self.put(&mut table, &mut index, series, hash, labels, false, |name| growth.new_value(name));
        growth.created(labels);
        Ok(Resolved { series: SeriesRef(series), is_new: true })
    }

    /// Returns the labels of a living series.
    pub fn labels(&self, series: SeriesRef) -> Option<LabelSet> {
        self.pages.labels(series.0)
    }

    fn find(&self, table: &Table, hash: u32, labels: &LabelSet) -> Option<u32> {
        let is_it = |(own, series): &(u32, u32)| *own == hash && self.pages.is(*series, labels);
        table.find(spread(hash), is_it).map(|(_, series)| *series)
    }

    /// `fresh` is called with the name of each label that has got a value which no other series has.
    #[expect(clippy::too_many_arguments, reason = "the locks that the caller holds, and the series")]
    fn put(
        &self,
        table: &mut Table,
        index: &mut Index,
        series: u32,
        hash: u32,
        labels: &LabelSet,
        logged: bool,
        fresh: impl FnMut(&str),
    ) {
        self.pages.make(page_of(series)).place(slot_of(series), labels, logged);
        index.insert(series, labels, fresh);
        self.standing().created(series, labels);
        table.insert_unique(spread(hash), (hash, series), |(own, _)| spread(*own));
    }

    /// Puts a series under the number that it had in the log; returns whether it is new.
    ///
    /// Errors: `Damaged` when the number belongs to other labels.
    fn restore_series(&self, series: u32, labels: &LabelSet) -> Result<bool, Damaged> {
        let hash = self.hash(labels);
        let found = self.find(&self.part(hash).read().expect(POISONED), hash, labels);
        match found {
            Some(own) if own == series => return Ok(false),
            // The series vanished and came back under a new number; what it had before was beyond the retention.
            Some(own) => self.remove(own, labels),
            None => {}
        }
        if self.pages.has(series) {
            return Err(Damaged("a series number stands for two label sets"));
        }
        let mut table = self.part(hash).write().expect(POISONED);
        self.put(&mut table, &mut self.index_mut(), series, hash, labels, true, |_| ());
        drop(table);
        self.skip_numbers(series);
        Ok(true)
    }

    /// Learns of a series that a block holds; returns whether it is new. What is known already stays as it is.
    fn adopt(&self, series: u32, labels: &LabelSet, first: i64, last: i64) -> bool {
        let hash = self.hash(labels);
        let found = self.find(&self.part(hash).read().expect(POISONED), hash, labels);
        if let Some(older) = found.filter(|own| *own < series && !self.pages.has(series)) {
            // The series went cold under the lower number, and came back under this one.
            self.remove(older, labels);
        }
        let mut table = self.part(hash).write().expect(POISONED);
        let found = self.find(&table, hash, labels);
        let is_new = found.is_none() && !self.pages.has(series);
        if is_new {
            self.put(&mut table, &mut self.index_mut(), series, hash, labels, false, |_| ());
        }
        if is_new || found == Some(series) {
            self.pages.make(page_of(series)).heads_mut()[slot_of(series)].widen(first, last);
        }
        is_new
    }

    /// Gives no number up to `last` to a new series.
    fn skip_numbers(&self, last: u32) {
        let mut index = self.index_mut();
        index.next = index.next.and_then(|next| last.checked_add(1).map(|skipped| next.max(skipped)));
    }

    /// Makes series unknown to those who append; the caller holds the writer, or is alone. `dismantle` does the rest.
    fn bury(&self, dead: &[(u32, LabelSet)]) {
        for (series, labels) in dead {
            let hash = self.hash(labels);
            let mut table = self.part(hash).write().expect(POISONED);
            if let Ok(entry) = table.find_entry(spread(hash), |own| *own == (hash, *series)) {
                entry.remove();
            }
            drop(table);
            if let Some(head) = self.pages.make(page_of(*series)).heads_mut().get_mut(slot_of(*series)) {
                head.alive = false;
            }
        }
    }

    /// Removes a series at a start, before anything is appended.
    fn remove(&self, series: u32, labels: &LabelSet) {
        let dead = [(series, labels.clone())];
        self.bury(&dead);
        self.dismantle(&dead);
    }

    /// Removes what is left of buried series; `dead` is sorted by number.
    fn dismantle(&self, dead: &[(u32, LabelSet)]) {
        let mut index = self.index_mut();
        index.remove(dead);
        self.standing().removed(dead);
        drop(index);
        self.growth().removed(dead.len());
        for (series, _) in dead {
            let bytes = self.pages.make(page_of(*series)).clear(slot_of(*series));
            self.count_bytes(0, bytes);
        }
    }
}

/// Returns a hash for the table, which looks at the highest bits and at the lowest, from the half that an entry keeps.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
