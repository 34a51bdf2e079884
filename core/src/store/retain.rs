//! Keeping and forgetting: the retention, series that leave memory, and the checkpoint that lets old parts of the log go.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use crate::model::LabelSet;
use crate::time::Timestamp;

use super::block::BlockId;
use super::chunk::Chunks;
use super::cold::COLD_AFTER;
use super::head::Head;
use super::pages::{PAGE_LEN, Page, page_of, slot_of};
use super::record::{put_dump, put_next, put_series};
use super::{POISONED, Store};

/// What a truncation removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truncated {
    /// Series that left memory.
    pub series: usize,
    /// The blocks that the store has no more use for.
    pub blocks: Vec<BlockId>,
}

/// So many series are buried under one hold of the writer.
const BURIED_AT_ONCE: usize = 4096;
/// A checkpoint is cut into records of about this length.
const CHECKPOINT_RECORD_BYTES: usize = 1 << 20;
/// The longest run of chunks in one item of a checkpoint.
const DUMP_BYTES_MAX: usize = 8 << 20;

/// A series that may be let go, and the span of its samples.
struct Leaving {
    series: (u32, LabelSet),
    span: (i64, i64),
}

impl Store {
    /// Has forgetting go by an instant, for as long as `now` is newer: the wall clock may have been stepped forward. See `SteadyClock`.
    pub fn forget_by(&self, at: Timestamp) {
        self.forgetting_at.store(at.0, Relaxed);
    }

    /// Returns the instant from which ages are counted when it comes to forgetting.
    pub fn forgetting(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.min(self.forgetting_at.load(Relaxed)))
    }

    /// Forgets what is older than the retention, and lets the series go that have no samples in memory and have had no new one for a
    /// while. A series that never had a sample goes at the second call that finds it so.
    pub fn truncate(&self, now: Timestamp) -> Truncated {
        let horizon = (self.forgetting(now) - self.classes().longest()).0;
        let horizon = self.horizon.fetch_max(horizon, Relaxed).max(horizon);
        let cold = (now - COLD_AFTER).0.max(horizon);
        let mut leaving = Vec::new();
        for number in 0..=self.last_page() {
            let Some(page) = self.pages.get(number) else { continue };
            // No row is judged by samples that go before it is written.
            let writer = self.writer();
            let mut heads = page.heads_mut();
            let labels = page.labels();
            let (mut grown, mut shrunk) = (0, 0);
            for (slot, head) in heads.iter_mut().enumerate().filter(|(_, head)| head.alive) {
                shrunk += head.bytes();
                head.truncate(horizon);
                grown += head.bytes();
                if head.is_cold(cold, horizon)
                    && let Some(labels) = labels.get(slot)
                {
                    leaving.push(Leaving {
                        series: (number * PAGE_LEN as u32 + slot as u32, labels),
                        span: (head.oldest, head.newest()),
                    });
                }
            }
            drop(writer);
            self.count_bytes(grown, shrunk);
        }
        let series = leaving.chunks(BURIED_AT_ONCE).map(|some| self.let_go(some, cold)).sum();
        Truncated { series, blocks: self.drop_blocks(horizon) }
    }

    /// Removes those of the series that are still cold; returns how many those were.
    fn let_go(&self, some: &[Leaving], cold: i64) -> usize {
        let _cooling = self.cooling.lock().expect(POISONED);
        let mut series: Vec<(u32, LabelSet)> = some.iter().map(|own| own.series.clone()).collect();
        let first = some.iter().map(|own| own.span.0).min().unwrap_or(i64::MAX);
        let last = some.iter().map(|own| own.span.1).max().unwrap_or(i64::MIN);
        self.announce(&series, (first, last));
        let writer = self.writer();
        series.retain(|(series, _)| {
            let page = self.pages.get(page_of(*series));
            let is_cold = |head: &Head| head.is_still_cold(cold);
            page.is_some_and(|page| page.heads().get(slot_of(*series)).is_some_and(is_cold))
        });
        self.bury(&series);
        drop(writer);
        self.dismantle(&series);
        series.len()
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
