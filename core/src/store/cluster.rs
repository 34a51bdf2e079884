//! The order of series in blocks: by metric, then by labels, so that what a query reads together stands together; the buckets of a
//! histogram one behind the other, in the order of their bounds.

use crate::model::{LabelSet, METRIC_NAME};

const BOUND: &str = "le";

/// Writes the key by which a series is sorted into `out`. Returns the length of the part that the buckets of one histogram share; 0
/// when the series is no bucket. Keys of two label sets may be the same; those of one always are.
pub(super) fn put_key(out: &mut Vec<u8>, labels: &LabelSet) -> usize {
    out.clear();
    let mut bound = None;
    out.extend_from_slice(labels.name().as_bytes());
    out.push(0);
    for (name, value) in labels.iter() {
        match name {
            METRIC_NAME => {}
            BOUND => bound = Some(value),
            _ => {
                out.extend_from_slice(name.as_bytes());
                out.push(0);
                out.extend_from_slice(value.as_bytes());
                out.push(0);
            }
        }
    }
    let Some(bound) = bound else { return 0 };
    out.push(0);
    let shared = out.len();
    let bits = bound.parse::<f64>().unwrap_or(f64::NAN).to_bits();
    let ordered = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    out.extend_from_slice(&ordered.to_be_bytes());
    out.extend_from_slice(bound.as_bytes());
    shared
}

/// Series that are looked for in blocks, in the order of blocks.
pub(super) struct Wanted {
    keys: Vec<u8>,
    items: Vec<Item>,
}

struct Item {
    from: usize,
    to: usize,
    series: u32,
    place: usize,
}

impl Wanted {
    /// Takes series; their places are their numbers in the order in which they come.
    pub fn new<'a>(all: impl Iterator<Item = (u32, &'a LabelSet)>) -> Wanted {
        let (mut keys, mut items, mut key) = (Vec::new(), Vec::new(), Vec::new());
        for (place, (series, labels)) in all.enumerate() {
            put_key(&mut key, labels);
            let from = keys.len();
            keys.extend_from_slice(&key);
            items.push(Item { from, to: keys.len(), series, place });
        }
        items.sort_by(|left: &Item, right: &Item| keys[left.from..left.to].cmp(&keys[right.from..right.to]));
        Wanted { keys, items }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns the numbers of some of the series, sorted, with their places.
    pub fn numbers(&self, range: std::ops::Range<usize>) -> Vec<(u32, usize)> {
        let mut numbers: Vec<(u32, usize)> = self.items[range].iter().map(|item| (item.series, item.place)).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Returns how many series from `from` on have a key for which `is_before` is true; these come first.
    pub fn behind(&self, from: usize, is_before: impl Fn(&[u8]) -> bool) -> usize {
        from + self.items[from..].partition_point(|item| is_before(&self.keys[item.from..item.to]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pairs: &[(&str, &str)]) -> (Vec<u8>, usize) {
        let mut out = vec![9];
        let shared = put_key(&mut out, &LabelSet::from_pairs(pairs.iter().copied()));
        (out, shared)
    }

    #[test]
    fn buckets_of_a_histogram_stand_together() {
        let bucket = |pod: &str, le: &str| key(&[("__name__", "a_bucket"), ("le", le), ("pod", pod)]);
        let bounds = ["-Inf", "-2", "-0.5", "0", "0.25", "2", "10", "1e3", "+Inf", "odd"];
        let keys: Vec<_> = ["x", "y"].iter().flat_map(|pod| bounds.map(|le| bucket(pod, le))).collect();
        assert!(keys.is_sorted_by(|left, right| left.0 < right.0));
        let (first, shared) = &keys[0];
        assert!(keys[..10].iter().all(|(key, own)| own == shared && key[..*own] == first[..*shared]));
        assert_ne!(keys[10].0[..keys[10].1], first[..*shared]);
        assert_eq!(key(&[("__name__", "a_count"), ("pod", "x")]).1, 0);
        assert!(bucket("y", "+Inf").0 < key(&[("__name__", "a_count"), ("pod", "x")]).0);
    }
}
