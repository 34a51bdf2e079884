//! Reading many series one after another, in a bounded part of memory: those of a metric together, in the order of their labels.

use std::collections::BTreeMap;

use crate::model::{METRIC_NAME, Matcher, Select, Series, SourceError};
use crate::time::Timestamp;

use super::Store;
use super::cluster::put_key;

/// So many series are read at once, if they have few samples.
const SERIES_MAX: usize = 512;

/// Where a reading stands. Each step sees what is there when it is taken.
pub struct Walk {
    /// The series of the metrics to come, the next one last.
    metrics: Vec<Vec<u32>>,
    /// Those of the metric at hand, in order of labels, and how many of them are done.
    numbers: Vec<u32>,
    done: usize,
    /// How many are read at once.
    width: usize,
    start: i64,
    end: i64,
    /// Where the series at hand goes on.
    from: i64,
}

impl Store {
    /// Returns a reading of the series that satisfy any of the matcher sets, all without sets, with their samples in `start ..= end`.
    pub fn walk(&self, sets: &[Vec<Matcher>], start: Timestamp, end: Timestamp) -> Walk {
        Walk::new(self, &self.matching(sets, start, end), start, end)
    }
}

impl Walk {
    pub(super) fn new(store: &Store, numbers: &[u32], start: Timestamp, end: Timestamp) -> Walk {
        let mut metrics: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        store.pages.walk(numbers, |series, labels, slot| {
            let name = labels.value(slot, METRIC_NAME).map_or("", |(_, name)| name);
            match metrics.get_mut(name) {
                Some(own) => own.push(series),
                None => drop(metrics.insert(name.to_owned(), vec![series])),
            }
        });
        // A span that is halved until little enough is in it should not begin at the beginning of time.
        let start = start.0.max(store.oldest().map_or(i64::MAX, |at| at.0));
        let end = end.0.min(store.newest().map_or(i64::MIN, |at| at.0));
        let metrics = metrics.into_values().rev().collect();
        Walk { metrics, numbers: Vec::new(), done: 0, width: SERIES_MAX, start, end, from: start }
    }

    /// Returns the next series, at most `samples_max` samples; None at the end. A series with more comes in pieces of its time, each alone.
    ///
    /// Errors: `Unreadable` when stored data is damaged.
    pub fn next(&mut self, store: &Store, samples_max: usize) -> Result<Option<Vec<Series>>, SourceError> {
        let mut until = self.end;
        loop {
            if self.start > self.end {
                return Ok(None);
            }
            if self.done == self.numbers.len() {
                let Some(numbers) = self.metrics.pop() else { return Ok(None) };
                (self.numbers, self.done) = (in_order(store, &numbers), 0);
                continue;
            }
            let to = self.numbers.len().min(self.done + if self.from > self.start { 1 } else { self.width });
            let mut numbers = self.numbers[self.done..to].to_vec();
            numbers.sort_unstable();
            let request =
                Select { matchers: &[], start: Timestamp(self.from), end: Timestamp(until), samples_max, newest_only: false };
            match store.snapshot().read(&request, || numbers.clone()) {
                Err(SourceError::TooManySamples { .. }) if numbers.len() > 1 => self.width = numbers.len() / 2,
                Err(SourceError::TooManySamples { .. }) if until > self.from => {
                    until = (i128::from(self.from) + i128::from(until)).div_euclid(2) as i64;
                }
                Err(error) => return Err(error),
                Ok(mut series) => {
                    if until < self.end {
                        self.from = until + 1;
                        until = self.end;
                    } else {
                        (self.done, self.from) = (to, self.start);
                        self.width = (self.width * 2).min(SERIES_MAX);
                    }
                    if !series.is_empty() {
                        series.sort_by_cached_key(|series| {
                            let mut key = Vec::new();
                            put_key(&mut key, &series.labels);
                            key
                        });
                        return Ok(Some(series));
                    }
                }
            }
        }
    }
}

/// Returns series in the order in which blocks have them, so that what is read together lies together.
fn in_order(store: &Store, numbers: &[u32]) -> Vec<u32> {
    let (mut keys, mut scratch) = (Vec::with_capacity(numbers.len()), Vec::new());
    store.pages.walk(numbers, |series, labels, slot| {
        if let Some(labels) = labels.build(slot, &mut scratch) {
            let mut key = Vec::new();
            put_key(&mut key, &labels);
            keys.push((key, series));
        }
    });
    keys.sort_unstable();
    keys.into_iter().map(|(_, series)| series).collect()
}
