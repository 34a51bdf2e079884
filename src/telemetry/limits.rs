//! Our figures of limits: which samples found no series, and how memory stands.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tocsin_core::time::Timestamp;

/// Pairs of job and metric that have a count of their own; all others are counted together, under empty names.
const REFUSED_MAX: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    job: String,
    metric: String,
    limit: &'static str,
}

/// Samples of one job and metric whose series was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedTally {
    pub job: String,
    pub metric: String,
    /// `target`, `metric`, `process`, `memory`, `labels` or `numbers`.
    pub limit: &'static str,
    /// Since the start.
    pub samples: u64,
    pub last_at: Timestamp,
}

/// What was refused of one body or row, by metric and limit.
#[derive(Debug, Default)]
pub struct Refusals(BTreeMap<(String, &'static str), u64>);

impl Refusals {
    pub fn add(&mut self, metric: &str, limit: &'static str) {
        let metric = if self.0.len() < REFUSED_MAX { metric } else { "" };
        *self.0.entry((metric.to_owned(), limit)).or_default() += 1;
    }

    pub fn samples(&self) -> u64 {
        self.0.values().sum()
    }
}

type Tallies = BTreeMap<(String, String, &'static str), (u64, Timestamp)>;

/// The figures.
#[derive(Default)]
pub struct Limits {
    refused: Family<RefusedLabels, Counter<u64, AtomicU64>>,
    tallies: Mutex<Tallies>,
    pub series_limit: Gauge,
    pub series_created: Counter<u64, AtomicU64>,
    pub memory_budget_bytes: Gauge,
    pub memory_resident_bytes: Gauge,
    pub memory_counted_bytes: Gauge,
    pub memory_level: Gauge,
    pub queries_shed: Counter<u64, AtomicU64>,
}

impl Limits {
    pub(super) fn register(registry: &mut Registry) -> Limits {
        let limits = Limits::default();
        macro_rules! register {
            ($($name:literal, $help:literal, $field:ident;)*) => {
                $(registry.register(concat!("tocsin_", $name), $help, limits.$field.clone());)*
            };
        }
        register! {
            "samples_refused_by_limit", "Samples without a series, because a new one was refused, by job, metric and limit", refused;
            "series_limit", "Series that there may be; known ones go on beyond it", series_limit;
            "series_created", "Series that were made", series_created;
            "memory_budget_bytes", "Memory that the process may take; 0 without a budget", memory_budget_bytes;
            "memory_resident_bytes", "Memory that the process takes, without what it shares with its files", memory_resident_bytes;
            "memory_counted_bytes", "Memory that series and samples take by our own count", memory_counted_bytes;
            "memory_level", "What gives way for want of memory: 0 nothing, 1 samples move to blocks early, 2 new series, 3 queries", memory_level;
            "queries_shed", "Queries that were refused for want of memory", queries_shed;
        }
        limits
    }

    /// Counts what was refused of a job.
    pub fn refused(&self, job: &str, refusals: Refusals, at: Timestamp) {
        if refusals.0.is_empty() {
            return;
        }
        let mut tallies = self.tallies.lock().expect("no holder of this lock panics");
        for ((metric, limit), samples) in refusals.0 {
            let mut key = (job.to_owned(), metric, limit);
            if tallies.len() >= REFUSED_MAX && !tallies.contains_key(&key) {
                key = (String::new(), String::new(), limit);
            }
            let labels = RefusedLabels { job: key.0.clone(), metric: key.1.clone(), limit };
            self.refused.get_or_create(&labels).inc_by(samples);
            let tally = tallies.entry(key).or_insert((0, at));
            *tally = (tally.0 + samples, at);
        }
    }

    /// Returns what was refused, the latest first.
    pub fn list(&self) -> Vec<RefusedTally> {
        let tallies = self.tallies.lock().expect("no holder of this lock panics");
        let tally = |((job, metric, limit), (samples, last_at)): (&(String, String, &'static str), &(u64, Timestamp))| {
            RefusedTally { job: job.clone(), metric: metric.clone(), limit, samples: *samples, last_at: *last_at }
        };
        let mut list: Vec<RefusedTally> = tallies.iter().map(tally).collect();
        list.sort_by_key(|tally| std::cmp::Reverse((tally.last_at, tally.samples)));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_metric_stay_few() {
        let limits = Limits::register(&mut Registry::default());
        for job in 0..10 {
            let mut refusals = Refusals::default();
            (0..1000).for_each(|metric| refusals.add(&format!("m{metric}"), "target"));
            assert_eq!(refusals.samples(), 1000);
            limits.refused(&format!("job{job}"), refusals, Timestamp(job));
        }
        let list = limits.list();
        assert_eq!(list.len(), REFUSED_MAX + 1);
        assert_eq!(list.iter().map(|tally| tally.samples).sum::<u64>(), 10_000, "none is lost");
        let rest = &list[0];
        assert_eq!((rest.job.as_str(), rest.metric.as_str(), rest.last_at), ("", "", Timestamp(9)));
    }
}
