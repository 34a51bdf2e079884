//! Exemplars: single observations, such as one trace, that stand for what a series counts.

use std::cmp::Ordering;

use crate::time::Timestamp;

use super::labels::LabelSet;

/// One observation with the labels that lead to it.
#[derive(Clone, Debug)]
pub struct Exemplar {
    pub labels: LabelSet,
    pub value: f64,
    /// Its own time, else that of the sample it came with.
    pub at: Timestamp,
    /// The time is its own.
    pub has_own_time: bool,
}

impl Exemplar {
    /// Returns whether both are the same observation; where neither has a time of its own, the time does not count.
    ///
    /// Source: Prometheus `exemplar.Exemplar.Equals`.
    pub fn is_same(&self, other: &Exemplar) -> bool {
        let same_time = self.at == other.at || !(self.has_own_time || other.has_own_time);
        same_time && self.value == other.value && self.labels == other.labels
    }

    /// Returns the order in which exemplars of one series are kept: by time, then value, then labels.
    pub fn order(&self, other: &Exemplar) -> Ordering {
        let by_value = || self.value.partial_cmp(&other.value).unwrap_or(Ordering::Equal);
        self.at.cmp(&other.at).then_with(by_value).then_with(|| self.labels.cmp(&other.labels))
    }
}
