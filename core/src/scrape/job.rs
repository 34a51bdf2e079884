//! A scrape job as configured.

use std::collections::BTreeMap;

use crate::client::HttpClient;
use crate::model::LabelSet;
pub use crate::model::exposition::Format;
use crate::model::relabel::RelabelRule;
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
    /// Content type to assume when the target sends none that we know.
    pub fallback_format: Option<Format>,
    /// Formats to ask for, best first.
    pub formats: Vec<Format>,
}

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
            fallback_format,
            formats,
        } = self;
        (name, client, metric_relabel, limits) == (&other.name, &other.client, &other.metric_relabel, &other.limits)
            && (honor_labels, honor_timestamps, track_timestamps_staleness)
                == (&other.honor_labels, &other.honor_timestamps, &other.track_timestamps_staleness)
            && (enable_compression, classic_names_only) == (&other.enable_compression, &other.classic_names_only)
            && (fallback_format, formats) == (&other.fallback_format, &other.formats)
    }
}

/// What one scrape may bring; zero means no limit. A scrape beyond a limit fails as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub body_bytes: u64,
    pub samples: u64,
    pub labels: u64,
    pub label_name_bytes: u64,
    pub label_value_bytes: u64,
    /// Targets of the job after relabelling.
    pub targets: u64,
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
