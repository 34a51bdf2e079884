//! How many values an evaluation holds.

use std::cell::Cell;
use std::rc::Rc;

use super::EvalError;
use crate::promql::value::Stats;

/// Counts the values that are held, and refuses more than a limit.
#[derive(Debug)]
pub(crate) struct Budget {
    held: Rc<Cell<usize>>,
    limit: usize,
    stats: Cell<Stats>,
}

/// A number of values that are held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    held: Rc<Cell<usize>>,
    size: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.held.set(self.held.get() - self.size);
    }
}

impl Budget {
    pub fn new(limit: usize) -> Budget {
        Budget { held: Rc::default(), limit, stats: Cell::default() }
    }

    pub fn lease(&self, size: usize) -> Result<Lease, EvalError> {
        let mut lease = Lease { held: self.held.clone(), size: 0 };
        self.grow(&mut lease, size)?;
        Ok(lease)
    }

    /// Adds to a lease.
    pub fn grow(&self, lease: &mut Lease, by: usize) -> Result<(), EvalError> {
        let held = self.held.get().saturating_add(by);
        if held > self.limit {
            return Err(EvalError::TooManySamples { limit: self.limit });
        }
        self.held.set(held);
        lease.size += by;
        let mut stats = self.stats.get();
        stats.samples_peak = stats.samples_peak.max(held);
        self.stats.set(stats);
        Ok(())
    }

    /// Returns how many more values may be held.
    pub fn left(&self) -> usize {
        self.limit.saturating_sub(self.held.get())
    }

    pub fn count_loaded(&self, series: usize, samples: usize) {
        let mut stats = self.stats.get();
        stats.series += series;
        stats.samples_loaded += samples;
        self.stats.set(stats);
    }

    pub fn stats(&self) -> Stats {
        self.stats.get()
    }
}
