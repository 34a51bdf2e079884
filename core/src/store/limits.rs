//! How many series there may be. Limits are soft: what is known goes on, what would be new is refused and counted.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use crate::model::{Claim, LabelSet, METRIC_NAME, Matcher};
use crate::time::Timestamp;

use super::Store;
use super::index::Index;
use super::pages::{page_of, slot_of};

/// How many series there may be, of all metrics and of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesLimits {
    pub series: usize,
    /// Of one metric; zero: no limit.
    pub per_metric: usize,
    /// Of some metrics by name, in place of `per_metric`; zero: no limit.
    pub of_metric: BTreeMap<String, usize>,
}

impl SeriesLimits {
    /// Returns the limit of a metric; None for no limit.
    pub fn of(&self, metric: &str) -> Option<usize> {
        let own = self.of_metric.get(metric).copied().unwrap_or(self.per_metric);
        (own > 0).then_some(own)
    }

    /// Returns how many series there may be once only those are made by which people are told.
    pub fn with_reserve(&self) -> usize {
        self.series.saturating_add((self.series / 10).max(RESERVE_MIN))
    }
}

const RESERVE_MIN: usize = 10_000;

/// Why a new series was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the store holds {max} series, its limit; {labels} would be a new one")]
    SeriesLimit { max: usize, labels: LabelSet },
    #[error("the metric {metric} has {max} series, its limit; {labels} would be a new one")]
    MetricLimit { metric: String, max: usize, labels: LabelSet },
    #[error("memory is short, so no new series are taken; {labels} would be one")]
    Memory { labels: LabelSet },
    #[error("the asker may have no new series; {labels} would be one")]
    Unknown { labels: LabelSet },
    #[error("the labels take {bytes} bytes; at most {} are allowed", super::LABELS_BYTES_MAX)]
    LabelsTooLong { bytes: usize },
    #[error("all numbers for series are used up; restart with an empty log")]
    NumbersUsedUp,
}

impl Refused {
    /// Returns the reason in few words, which are the same for each series of a metric.
    pub fn reason(&self) -> String {
        match self {
            Refused::SeriesLimit { max, .. } => format!("the store holds {max} series, its limit"),
            Refused::MetricLimit { metric, max, .. } => format!("the metric {metric} has {max} series, its limit"),
            Refused::Memory { .. } => "memory is short, so no new series are taken".to_owned(),
            Refused::Unknown { .. } => "the asker may have no new series".to_owned(),
            Refused::LabelsTooLong { .. } | Refused::NumbersUsedUp => self.to_string(),
        }
    }

    /// Returns which limit it was, in a word.
    pub fn limit(&self) -> &'static str {
        match self {
            Refused::SeriesLimit { .. } => "process",
            Refused::MetricLimit { .. } => "metric",
            Refused::Memory { .. } => "memory",
            Refused::Unknown { .. } => "target",
            Refused::LabelsTooLong { .. } => "labels",
            Refused::NumbersUsedUp => "numbers",
        }
    }
}

impl Store {
    /// Puts other limits into force. Series beyond them stay.
    pub fn limit_series(&self, limits: SeriesLimits) {
        *self.limits.write().expect(super::POISONED) = limits;
    }

    /// Returns the limits in force.
    pub fn series_limits(&self) -> SeriesLimits {
        self.limits.read().expect(super::POISONED).clone()
    }

    /// Returns how many series have all of these labels, and a sample at or after an instant.
    pub fn count_since(&self, labels: &LabelSet, since: Timestamp) -> usize {
        let matchers: Vec<Matcher> = labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
        let numbers = self.index().select(&matchers, &self.pages);
        let mut count = 0;
        for run in numbers.chunk_by(|left, right| page_of(*left) == page_of(*right)) {
            let Some(page) = self.pages.get(page_of(run[0])) else { continue };
            let heads = page.heads();
            let heads = run.iter().filter_map(|series| heads.get(slot_of(*series)));
            count += heads.filter(|head| head.alive && head.newest() >= since.0).count();
        }
        count
    }

    /// Takes no new series any more but those by which people are told, or takes them again.
    pub fn close_to_new(&self, closed: bool) {
        self.closed.store(closed, Relaxed);
    }

    /// Returns an error when a series of these labels may not be made.
    pub(super) fn check_room(&self, index: &Index, labels: &LabelSet, claim: Claim) -> Result<(), Refused> {
        let limits = self.limits.read().expect(super::POISONED);
        let max = match claim {
            Claim::Known => return Err(Refused::Unknown { labels: labels.clone() }),
            Claim::Own => limits.with_reserve(),
            Claim::Common if self.closed.load(Relaxed) => return Err(Refused::Memory { labels: labels.clone() }),
            Claim::Common => limits.series,
        };
        if index.len() >= max {
            return Err(Refused::SeriesLimit { max, labels: labels.clone() });
        }
        let metric = labels.get(METRIC_NAME);
        match limits.of(metric).filter(|_| claim == Claim::Common) {
            Some(max) if index.count(METRIC_NAME, metric) >= max => {
                Err(Refused::MetricLimit { metric: metric.to_owned(), max, labels: labels.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }
}
