//! Keeping and forgetting: the retention, series that vanish, and the checkpoint that lets old parts of the log go.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use crate::model::LabelSet;
use crate::time::{Span, Timestamp};

use super::Store;
use super::block::BlockId;
use super::chunk::Chunks;
use super::pages::{PAGE_LEN, Page, page_of, slot_of};
use super::record::{put_dump, put_next, put_series};

/// What a truncation removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truncated {
    pub series: usize,
    /// The blocks that the store has no more use for.
    pub blocks: Vec<BlockId>,
}

/// So many series are buried under one hold of the writer.
const BURIED_AT_ONCE: usize = 4096;
/// A checkpoint is cut into records of about this length.
const CHECKPOINT_RECORD_BYTES: usize = 1 << 20;
/// Series that have outlived their own time, and not the longest one, are looked for this often.
const CLASSES_EVERY: Span = Span::from_mins(60);
/// The longest run of chunks in one item of a checkpoint.
const DUMP_BYTES_MAX: usize = 8 << 20;

impl Store {
    /// Forgets what is older than the retention, and the series that have nothing else. A series that never had a sample goes at the
    /// second call that finds it so.
    pub fn truncate(&self, now: Timestamp) -> Truncated {
        let classes = self.classes();
        let horizon = (now - classes.longest()).0;
        let horizon = self.horizon.fetch_max(horizon, Relaxed).max(horizon);
        let soonest = (now - classes.shortest()).0;
        let asks = !classes.is_plain() && now.0.saturating_sub(self.classes_asked_at.load(Relaxed)) >= CLASSES_EVERY.0;
        if asks {
            self.classes_asked_at.store(now.0, Relaxed);
        }
        let mut dead = Vec::new();
        for page in 0..=self.last_page() {
            let Some(page) = self.pages.get(page) else { continue };
            // No row is judged by samples that go before it is written.
            let writer = self.writer();
            let mut heads = page.heads_mut();
            let labels = page.labels();
            let (mut grown, mut shrunk) = (0, 0);
            for (slot, head) in heads.iter_mut().enumerate().filter(|(_, head)| head.alive) {
                shrunk += head.bytes();
                head.truncate(horizon);
                grown += head.bytes();
                let may_be_spent = asks && head.newest() < soonest && head.newest() != i64::MIN;
                let own = |labels: &LabelSet| (now - classes.keep(labels)).0.max(horizon);
                if head.is_spent(horizon) {
                    dead.extend(labels.get(slot).map(|labels| (labels, horizon)));
                } else if may_be_spent
                    && let Some(labels) = labels.get(slot)
                    && head.newest() < own(&labels)
                {
                    let own = own(&labels);
                    dead.push((labels, own));
                }
            }
            drop(writer);
            self.count_bytes(grown, shrunk);
        }
        let mut series = 0;
        for some in dead.chunks(BURIED_AT_ONCE) {
            series += self.forget(some);
        }
        Truncated { series, blocks: self.drop_blocks(horizon) }
    }

    /// Removes those of the series that still have nothing behind their horizons; returns how many those were.
    fn forget(&self, series: &[(LabelSet, i64)]) -> usize {
        let writer = self.writer();
        let is_spent = |series: u32, horizon: i64| {
            let page = self.pages.get(page_of(series))?;
            page.heads().get(slot_of(series)).filter(|head| head.alive && head.newest() < horizon).map(|_| series)
        };
        let number = |(labels, horizon): &(LabelSet, i64)| {
            let hash = self.hash(labels);
            let series = self.find(&self.part(hash).read().expect(super::POISONED), hash, labels)?;
            is_spent(series, *horizon).map(|series| (series, labels.clone()))
        };
        let mut dead: Vec<(u32, LabelSet)> = series.iter().filter_map(number).collect();
        dead.sort_unstable_by_key(|(series, _)| *series);
        self.bury(&dead);
        drop(writer);
        self.dismantle(&dead);
        dead.len()
    }

    pub(super) fn last_page(&self) -> u32 {
        page_of(self.index().next.unwrap_or(u32::MAX))
    }

    /// Hands out, as records for `replay`, all that memory holds: the series and their samples in memory.
    ///
    /// Every row that was logged before the call is in it; rows that are appended meanwhile may be. So a log that begins anew right
    /// before the call, together with the records, replaces the log before it.
    /// Errors: those of `sink`.
    pub fn checkpoint(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        // Whoever has logged a row holds the writer until the row is in the chunks.
        drop(self.writer());
        let mut record = Vec::new();
        put_next(&mut record, self.index().next.unwrap_or(u32::MAX));
        for number in 0..=self.last_page() {
            let Some(page) = self.pages.get(number) else { continue };
            let mut from = 0;
            while from < PAGE_LEN {
                from = dump_page(page, number * PAGE_LEN as u32, from, &mut record);
                if record.len() >= CHECKPOINT_RECORD_BYTES {
                    sink(&record)?;
                    record.clear();
                }
            }
        }
        if record.is_empty() { Ok(()) } else { sink(&record) }
    }
}

/// Appends the series of a page from a slot on, until the record is long enough; returns the slot to go on with.
fn dump_page(page: &Page, first: u32, from: usize, record: &mut Vec<u8>) -> usize {
    let heads = page.heads();
    let labels = page.labels();
    let mut run = Vec::new();
    for (slot, head, labels) in Page::living(&heads, &labels, from) {
        let series = first + slot as u32;
        run.clear();
        let bounds = head.dump(&mut run);
        put_series(record, series, &labels);
        for piece in pieces(&run) {
            put_dump(record, series, bounds, piece);
        }
        if record.len() >= CHECKPOINT_RECORD_BYTES {
            return slot + 1;
        }
    }
    PAGE_LEN
}

/// Cuts a run into pieces of whole chunks; a series without chunks still has one, empty piece, for its bounds.
fn pieces(run: &[u8]) -> Vec<&[u8]> {
    let (mut all, mut rest) = (Vec::new(), run);
    while rest.len() > DUMP_BYTES_MAX {
        let mut chunks = Chunks::of(rest);
        let mut len = 0;
        while len < DUMP_BYTES_MAX && chunks.next().is_some() {
            len = rest.len() - chunks.rest().len();
        }
        let (piece, left) = rest.split_at(len);
        all.push(piece);
        rest = left;
    }
    all.push(rest);
    all
}
