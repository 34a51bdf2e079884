//! What the store holds, in numbers, without touching a series.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use crate::model::METRIC_NAME;

use crate::time::Timestamp;

use super::Store;
use super::block::BlockId;

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

/// What is known of a block without reading its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockFacts {
    pub id: BlockId,
    pub first: Timestamp,
    pub last: Timestamp,
    pub series: usize,
    pub samples: u64,
    pub bytes: u64,
}

/// What memory holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadFacts {
    /// Series that have samples in memory.
    pub series: usize,
    pub samples: usize,
    pub bytes: usize,
    /// When the first of these samples was taken.
    pub first: Option<Timestamp>,
    /// When the newest sample of these series was taken.
    pub last: Option<Timestamp>,
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

    /// Returns the blocks, in the order of their names.
    pub fn block_facts(&self) -> Vec<BlockFacts> {
        let facts = |block: &std::sync::Arc<super::block::Block>| BlockFacts {
            id: block.id,
            first: Timestamp(block.first),
            last: Timestamp(block.last),
            series: block.series,
            samples: block.samples,
            bytes: block.len,
        };
        self.blocks().iter().map(facts).collect()
    }

    /// Returns what memory holds. It looks at every series.
    pub fn head_facts(&self) -> HeadFacts {
        let mut facts = HeadFacts::default();
        let mut span: Option<(i64, i64)> = None;
        for page in (0..=self.last_page()).filter_map(|page| self.pages.get(page)) {
            for head in page.heads().iter().filter(|head| head.alive && head.bytes() > 0) {
                facts.series += 1;
                facts.samples += head.samples();
                facts.bytes += head.bytes();
                let first = head.first_in_chunks().unwrap_or(head.newest());
                span = Some(span.map_or((first, head.newest()), |(from, to)| (from.min(first), to.max(head.newest()))));
            }
        }
        (facts.first, facts.last) = span.map(|(first, last)| (Timestamp(first), Timestamp(last))).unzip();
        facts
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
