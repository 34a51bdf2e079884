//! A scrape job as configured.

use std::collections::BTreeMap;

use crate::client::HttpClient;
use crate::model::exposition::Format;
use crate::model::relabel::RelabelRule;
use crate::model::{Histogram, LabelSet};
use crate::time::Span;

/// One entry of `scrape_configs`, defaults filled in from `global`.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub name: String,
    pub interval: Span,
    pub timeout: Span,
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    pub params: BTreeMap<String, Vec<String>>,
    pub honor_labels: bool,
    pub honor_timestamps: bool,
    pub track_timestamps_staleness: bool,
    pub enable_compression: bool,
    pub client: HttpClient,
    pub static_groups: Vec<TargetGroup>,
    pub file_sd: Vec<FileDiscovery>,
    pub http_sd: Vec<HttpDiscovery>,
    pub relabel: Vec<RelabelRule>,
    pub metric_relabel: Vec<RelabelRule>,
    pub limits: Limits,
    /// Only names of the classic alphabet are accepted (`metric_name_validation_scheme: legacy`).
    pub classic_names_only: bool,
    /// What to take an answer for whose content type is none that we know.
    pub fallback_protocol: Option<Protocol>,
    /// What to ask for, best first.
    pub protocols: Vec<Protocol>,
    pub histograms: Histograms,
}

/// What a target may be asked for (`scrape_protocols`), by format and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    OpenMetrics0,
    OpenMetrics1,
    Protobuf,
    Text0,
    Text1,
}

impl Protocol {
    /// What is asked for when the configuration does not say.
    pub const DEFAULTS: [Protocol; 4] = [Protocol::OpenMetrics1, Protocol::OpenMetrics0, Protocol::Text1, Protocol::Text0];

    /// Returns how a body of this protocol is to be read.
    pub fn encoding(self) -> Encoding {
        match self {
            Protocol::OpenMetrics0 | Protocol::OpenMetrics1 => Encoding::Text(Format::OpenMetrics),
            Protocol::Text0 | Protocol::Text1 => Encoding::Text(Format::Text),
            Protocol::Protobuf => Encoding::Protobuf,
        }
    }
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Text(Format),
    Protobuf,
}

/// What becomes of histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Histograms {
    /// Native histograms are kept; else histograms are taken in their classic form.
    pub native: bool,
    /// Classic series are kept beside a native histogram.
    pub always_classic: bool,
    /// Classic histograms become native ones with custom buckets.
    pub convert: bool,
    /// Buckets of one native histogram; zero means no limit. Resolution is given up to stay within it, and then the scrape fails.
    pub buckets_max: u64,
    /// Native histograms are not finer than this: the factor from one bucket to the next. Zero means any.
    pub bucket_factor_min: f64,
}

impl Histograms {
    /// Returns the finest schema that is kept.
    ///
    /// Source: Prometheus `pickSchema`.
    pub fn schema_max(&self) -> i32 {
        if self.bucket_factor_min == 0.0 {
            return SCHEMA_MAX;
        }
        // Nothing is finer than the factor of the finest schema.
        let factor = if self.bucket_factor_min <= 1.0 { 1.00271 } else { self.bucket_factor_min };
        (-factor.log2().log2()).floor().clamp(f64::from(SCHEMA_MIN), f64::from(SCHEMA_MAX)) as i32
    }

    /// Returns a histogram within the limits, with less resolution where that takes it; None when nothing does.
    ///
    /// Source: Prometheus `maxSchemaAppender`, `bucketLimitAppender`.
    pub fn fit(&self, mut histogram: Histogram) -> Option<Histogram> {
        histogram.reduce_to_schema(self.schema_max());
        let is_over = |histogram: &Histogram| {
            let buckets = histogram.positive_buckets.len() + histogram.negative_buckets.len();
            self.buckets_max > 0 && buckets as u64 > self.buckets_max
        };
        while is_over(&histogram) {
            if histogram.has_custom_buckets() || histogram.schema <= SCHEMA_MIN {
                return None;
            }
            histogram.reduce_to_schema(histogram.schema - 1);
        }
        Some(histogram)
    }
}

/// Exponential buckets have a schema from here …
const SCHEMA_MIN: i32 = -4;
/// … to here.
const SCHEMA_MAX: i32 = 8;

impl Job {
    /// Returns whether what is found for either job is asked and read alike; where and when is said by the targets.
    pub fn reads_like(&self, other: &Job) -> bool {
        let Job {
            name,
            interval: _,
            timeout: _,
            metrics_path: _,
            scheme: _,
            params: _,
            honor_labels,
            honor_timestamps,
            track_timestamps_staleness,
            enable_compression,
            client,
            static_groups: _,
            file_sd: _,
            http_sd: _,
            relabel: _,
            metric_relabel,
            limits,
            classic_names_only,
            fallback_protocol,
            protocols,
            histograms,
        } = self;
        (name, client, metric_relabel, limits) == (&other.name, &other.client, &other.metric_relabel, &other.limits)
            && (honor_labels, honor_timestamps, track_timestamps_staleness)
                == (&other.honor_labels, &other.honor_timestamps, &other.track_timestamps_staleness)
            && (enable_compression, classic_names_only) == (&other.enable_compression, &other.classic_names_only)
            && (fallback_protocol, protocols, histograms) == (&other.fallback_protocol, &other.protocols, &other.histograms)
    }
}

/// What one scrape may bring; zero means no limit. A scrape beyond a limit fails as a whole, unless the limit says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub body_bytes: u64,
    pub samples: u64,
    pub labels: u64,
    pub label_name_bytes: u64,
    pub label_value_bytes: u64,
    /// Targets of the job after relabelling.
    pub targets: u64,
    /// Series that a target may hold. This limit is soft: those that the store knows go on, others are refused one by one.
    pub series: u64,
}

/// Addresses that share labels: an entry of `static_configs` or of a discovery answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    pub addresses: Vec<String>,
    pub labels: LabelSet,
    /// Where the group came from, for people: `static`, a file's name, a URL.
    pub source: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FileDiscovery {
    /// Paths, each may end in a pattern such as `*.json`, resolved against the configuration's folder.
    pub files: Vec<String>,
    pub refresh: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HttpDiscovery {
    pub url: String,
    pub refresh: Span,
    pub client: HttpClient,
}
