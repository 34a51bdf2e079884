//! What the store holds, in numbers, without touching a series.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use crate::model::METRIC_NAME;

use super::Store;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelStats {
    pub name: String,
    pub values: usize,
    /// Bytes of the values' text over all series that carry them.
    pub bytes: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub series: usize,
    /// Samples appended since the start.
    pub samples_total: u64,
    /// Bytes of samples in memory.
    pub chunks_bytes: u64,
    pub blocks: usize,
    pub blocks_bytes: u64,
    pub blocks_samples: u64,
    /// Distinct pairs of label name and value.
    pub label_pairs: usize,
    /// The metrics with the most series.
    pub metrics: Vec<(String, usize)>,
    /// The labels with the most values.
    pub labels: Vec<LabelStats>,
    /// The label pairs with the most series, as `name=value`.
    pub pairs: Vec<(String, usize)>,
}

/// The largest so many of a sequence.
pub(super) struct Top<T> {
    max: usize,
    largest: BTreeSet<(usize, std::cmp::Reverse<T>)>,
}

impl<T: Ord> Top<T> {
    pub fn new(max: usize) -> Top<T> {
        Top { max, largest: BTreeSet::new() }
    }

    pub fn offer(&mut self, size: usize, item: impl FnOnce() -> T) {
        if self.max == 0 || self.largest.len() >= self.max && self.largest.first().is_some_and(|(least, _)| *least > size) {
            return;
        }
        self.largest.insert((size, std::cmp::Reverse(item())));
        if self.largest.len() > self.max {
            self.largest.pop_first();
        }
    }

    pub fn into_list(self) -> Vec<(T, usize)> {
        self.largest.into_iter().rev().map(|(size, item)| (item.0, size)).collect()
    }
}

/// What a series takes in memory beside its samples, about.
const SERIES_BYTES: u64 = 250;

impl Store {
    /// Returns how many bytes of memory the store takes by its own count, about.
    pub fn memory_bytes(&self) -> u64 {
        self.chunks_bytes.load(Relaxed) + self.index().len() as u64 * SERIES_BYTES
    }

    /// Returns what the store holds, with the `top` largest of each list, largest first, ties by name. Lists of nothing cost no walk
    /// over the values.
    pub fn stats(&self, top: usize) -> Stats {
        let (mut metrics, mut labels, mut pairs) = (Top::new(top), Top::new(top), Top::new(top));
        let index = self.index();
        let mut label_pairs = 0;
        for (name, values, _) in index.names() {
            label_pairs += values;
            if top == 0 {
                continue;
            }
            let mut bytes = 0;
            for (value, series) in index.values(name) {
                bytes += value.len() * series;
                pairs.offer(series, || format!("{name}={value}"));
                if name == METRIC_NAME {
                    metrics.offer(series, || value.to_owned());
                }
            }
            labels.offer(values, || (name.to_owned(), bytes));
        }
        let blocks = self.blocks();
        let label = |((name, bytes), values)| LabelStats { name, values, bytes };
        Stats {
            series: index.len(),
            samples_total: self.samples_total.load(Relaxed),
            chunks_bytes: self.chunks_bytes.load(Relaxed),
            blocks: blocks.len(),
            blocks_bytes: blocks.iter().map(|block| block.len).sum(),
            blocks_samples: blocks.iter().map(|block| block.samples).fold(0, u64::saturating_add),
            label_pairs,
            metrics: metrics.into_list(),
            labels: labels.into_list().into_iter().map(label).collect(),
            pairs: pairs.into_list(),
        }
    }
}
