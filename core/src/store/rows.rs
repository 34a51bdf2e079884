//! Row numbers: which rows a reader sees.
//!
//! Rows are published one at a time. A snapshot sees the rows below its number. Samples of later rows may already stand in the chunks
//! that it reads; the traces of those rows name them, and the reader takes them out again. A trace lives from before its row's first
//! sample is written until no snapshot needs it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A sample that a row brought. A series has one sample at an instant, so this is its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brought {
    pub series: u32,
    /// The place of the sample in its row.
    pub cell: u32,
    pub at: i64,
}

/// Traces of more samples than this are given up; snapshots that needed them see newer rows, still each whole.
const BROUGHT_MAX: usize = 1 << 22;

struct Trace {
    row: u64,
    brought: Arc<Vec<Brought>>,
}

#[derive(Default)]
pub(super) struct Rows {
    /// The number of the next row to be published.
    next: u64,
    /// How many snapshots hold each number.
    live: BTreeMap<u64, usize>,
    traces: VecDeque<Trace>,
    brought: usize,
    /// No trace of rows below this number is left.
    forgotten: u64,
}

impl Rows {
    /// Returns the number of rows that are published.
    pub fn published(&self) -> u64 {
        self.next
    }

    /// Returns a number that all rows are below which have begun to write.
    pub fn begun(&self) -> u64 {
        self.traces.back().map_or(self.next, |trace| self.next.max(trace.row + 1))
    }

    /// Notes what the next row is about to write.
    pub fn begin(&mut self, brought: Arc<Vec<Brought>>) {
        self.brought += brought.len();
        self.traces.push_back(Trace { row: self.next, brought });
    }

    /// Makes the row visible.
    pub fn publish(&mut self) {
        self.next += 1;
        self.forget();
    }

    /// Takes a snapshot: returns its number.
    pub fn enter(&mut self) -> u64 {
        *self.live.entry(self.next).or_default() += 1;
        self.next
    }

    pub fn leave(&mut self, snapshot: u64) {
        if let Some(count) = self.live.get_mut(&snapshot) {
            *count -= 1;
            if *count == 0 {
                self.live.remove(&snapshot);
                self.forget();
            }
        }
    }

    fn forget(&mut self) {
        let needed = self.live.first_key_value().map_or(self.next, |(snapshot, _)| *snapshot);
        while let Some(trace) = self.traces.front()
            && trace.row < self.next
            && (trace.row < needed || self.brought > BROUGHT_MAX)
        {
            self.brought -= trace.brought.len();
            self.forgotten = trace.row + 1;
            self.traces.pop_front();
        }
    }

    /// Returns what rows at or above the snapshot's number and below `until` have brought so far. `began` is what `published` said before
    /// the reader's first look at a chunk.
    ///
    /// Errors: `None` when traces that the reader needs are gone; it starts again.
    pub fn hidden(&self, snapshot: u64, began: u64, until: u64) -> Option<Vec<Arc<Vec<Brought>>>> {
        if self.forgotten > began.max(snapshot) {
            return None;
        }
        Some(
            self.traces
                .iter()
                .filter(|trace| (snapshot..until).contains(&trace.row))
                .map(|trace| trace.brought.clone())
                .collect(),
        )
    }
}
