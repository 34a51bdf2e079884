//! What tells the series of one metric apart: its labels by the number of their values.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::model::METRIC_NAME;

use super::Store;

/// A label of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelAnatomy {
    pub name: String,
    /// Its values, on the series that were looked at.
    pub values: usize,
    /// The values with most series, the largest first, with the number of their series.
    pub top: Vec<(String, usize)>,
}

/// A metric, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anatomy {
    pub series: usize,
    /// Of so many series the labels were looked at, evenly spread; the counts of values are of these.
    pub seen: usize,
    /// The label with most values first, ties by name.
    pub labels: Vec<LabelAnatomy>,
}

/// Series of one metric whose labels are looked at.
const SEEN_MAX: usize = 200_000;
/// Labels that are told of.
const LABELS_MAX: usize = 200;

impl Store {
    /// Returns what tells the series of a metric apart, with the `top` largest values of each label. It takes some 100 ns for each label
    /// of each series, and holds up nobody.
    pub fn anatomy(&self, metric: &str, top: usize) -> Anatomy {
        let numbers = self.index().of_value(METRIC_NAME, metric);
        let series = numbers.len() as usize;
        let seen: Vec<u32> = numbers.iter().step_by(series.div_ceil(SEEN_MAX).max(1)).collect();
        let hasher = FixedState::with_seed(self.options.hash_seed);
        // By label: by the hash of the value, one of its series and how many there are.
        let mut labels: BTreeMap<String, HashMap<u64, (u32, usize), FixedState>> = BTreeMap::new();
        self.pages.walk(&seen, |series, page, slot| {
            for (name, value) in page.pairs(slot).filter(|(name, _)| *name != METRIC_NAME) {
                if !labels.contains_key(name) {
                    if labels.len() >= LABELS_MAX {
                        continue;
                    }
                    labels.insert(name.to_owned(), HashMap::with_hasher(FixedState::with_seed(self.options.hash_seed)));
                }
                let values = labels.get_mut(name).expect("the name was put there above");
                values.entry(hasher.hash_one(value)).or_insert((series, 0)).1 += 1;
            }
        });
        let mut labels: Vec<LabelAnatomy> = labels
            .into_iter()
            .map(|(name, values)| {
                let mut counts: Vec<(usize, u32)> = values.values().map(|(series, count)| (*count, *series)).collect();
                counts.sort_unstable_by_key(|(count, series)| (std::cmp::Reverse(*count), *series));
                // A series may have left the store meanwhile.
                let value = |(count, series): &(usize, u32)| Some((self.pages.labels(*series)?.get(&name).to_owned(), *count));
                let top = counts.iter().filter_map(value).take(top).collect();
                LabelAnatomy { top, values: counts.len(), name }
            })
            .collect();
        labels.sort_by_key(|label| std::cmp::Reverse(label.values));
        Anatomy { series, seen: seen.len(), labels }
    }
}
