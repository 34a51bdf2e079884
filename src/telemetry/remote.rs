//! Our figures of what is sent to other servers; each has the endpoint's name.
//!
//! Source: the figures `prometheus_remote_storage_…`, whose meanings these have.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tocsin_core::remote::write::Counts;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    endpoint: String,
    reason: &'static str,
}

type Count = Family<Labels, Counter<u64, AtomicU64>>;
type Seconds = Gauge<f64, AtomicU64>;

#[derive(Clone, Default)]
struct Families {
    samples: Count,
    histograms: Count,
    exemplars: Count,
    metadata: Count,
    retried: Count,
    failed: Count,
    bytes: Count,
    requests_retried: Count,
    dropped: Family<ReasonLabels, Counter<u64, AtomicU64>>,
    pending: Family<Labels, Gauge>,
    shards: Family<Labels, Gauge>,
    shards_desired: Family<Labels, Gauge>,
    sent_at: Family<Labels, Seconds>,
    queued_at: Family<Labels, Seconds>,
}

/// All endpoints.
pub struct Sending {
    families: Families,
    seconds: Family<Labels, Histogram>,
}

/// One endpoint.
#[derive(Clone)]
pub struct Endpoint {
    name: String,
    families: Families,
    seconds: Histogram,
}

/// Why samples are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Older than `sample_age_limit`.
    TooOld,
    /// The queue had no room for what was not sent, or it is damaged.
    NoRoom,
}

impl Sending {
    pub(super) fn register(registry: &mut Registry) -> Sending {
        let families = Families::default();
        let buckets = || Histogram::new(exponential_buckets(0.005, 2.0, 14));
        let seconds = Family::<Labels, Histogram>::new_with_constructor(buckets);
        macro_rules! register {
            ($($name:literal, $help:literal, $field:ident;)*) => {
                $(registry.register(concat!("tocsin_remote_write_", $name), $help, families.$field.clone());)*
            };
        }
        register! {
            "samples", "Samples that were sent to another server", samples;
            "histograms", "Native histograms that were sent to another server", histograms;
            "exemplars", "Exemplars that were sent to another server", exemplars;
            "metadata", "Metrics whose metadata was sent to another server by requests of its own", metadata;
            "samples_retried", "Samples of requests that had to be sent again", retried;
            "samples_failed", "Samples that another server refused for good", failed;
            "samples_dropped", "Samples that were given up before they were sent, by reason", dropped;
            "requests_retried", "Requests that had to be sent again", requests_retried;
            "bytes", "Bytes of requests to another server, packed", bytes;
            "samples_pending", "Samples that wait to be sent", pending;
            "shards", "Requests to another server that may be under way at a time", shards;
            "shards_desired", "Shards that the load asks for", shards_desired;
            "queue_highest_timestamp_seconds", "The newest sample that waited for another server", queued_at;
            "queue_highest_sent_timestamp_seconds", "The newest sample that was sent to another server", sent_at;
        }
        registry.register("tocsin_remote_write_sent_batch_seconds", "How long a request to another server took", seconds.clone());
        Sending { families, seconds }
    }

    /// Returns the figures of an endpoint; each has its series from now on.
    pub fn of(&self, name: &str) -> Endpoint {
        let labels = Labels { endpoint: name.to_owned() };
        let seconds = self.seconds.get_or_create(&labels).clone();
        let own = Endpoint { name: name.to_owned(), families: self.families.clone(), seconds };
        own.sent(Counts::default(), None);
        own.retried(0, 0);
        own.failed(0);
        own.dropped(Dropped::TooOld, 0);
        own.dropped(Dropped::NoRoom, 0);
        own
    }

    /// Forgets an endpoint that is gone.
    pub fn forget(&self, name: &str) {
        let labels = Labels { endpoint: name.to_owned() };
        for gauges in [&self.families.pending, &self.families.shards, &self.families.shards_desired] {
            gauges.remove(&labels);
        }
    }
}

impl Endpoint {
    fn labels(&self) -> Labels {
        Labels { endpoint: self.name.clone() }
    }

    /// Counts what was delivered; `newest`: seconds since the epoch.
    pub fn sent(&self, counts: Counts, newest: Option<f64>) {
        let (families, labels) = (&self.families, self.labels());
        families.samples.get_or_create(&labels).inc_by(counts.samples as u64);
        families.histograms.get_or_create(&labels).inc_by(counts.histograms as u64);
        families.exemplars.get_or_create(&labels).inc_by(counts.exemplars as u64);
        if let Some(newest) = newest {
            let gauge = families.sent_at.get_or_create(&labels);
            gauge.set(gauge.get().max(newest));
        }
    }

    pub fn queued(&self, newest: f64) {
        let gauge = self.families.queued_at.get_or_create(&self.labels());
        gauge.set(gauge.get().max(newest));
    }

    pub fn told_metadata(&self, metrics: usize) {
        self.families.metadata.get_or_create(&self.labels()).inc_by(metrics as u64);
    }

    /// Counts a request that was made.
    pub fn tried(&self, bytes: usize, seconds: f64) {
        self.families.bytes.get_or_create(&self.labels()).inc_by(bytes as u64);
        self.seconds.observe(seconds);
    }

    pub fn retried(&self, requests: usize, samples: usize) {
        let labels = self.labels();
        self.families.requests_retried.get_or_create(&labels).inc_by(requests as u64);
        self.families.retried.get_or_create(&labels).inc_by(samples as u64);
    }

    pub fn failed(&self, samples: usize) {
        self.families.failed.get_or_create(&self.labels()).inc_by(samples as u64);
    }

    pub fn dropped(&self, why: Dropped, samples: u64) {
        let reason = match why {
            Dropped::TooOld => "too_old",
            Dropped::NoRoom => "no_room",
        };
        self.families.dropped.get_or_create(&ReasonLabels { endpoint: self.name.clone(), reason }).inc_by(samples);
    }

    pub fn pending(&self, samples: u64) {
        self.families.pending.get_or_create(&self.labels()).set(i64::try_from(samples).unwrap_or(i64::MAX));
    }

    pub fn shards(&self, now: usize, desired: usize) {
        let labels = self.labels();
        self.families.shards.get_or_create(&labels).set(now as i64);
        self.families.shards_desired.get_or_create(&labels).set(desired as i64);
    }
}
