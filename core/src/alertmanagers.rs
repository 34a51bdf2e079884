//! Other Alertmanagers that our alerts are sent to: which there are, what waits for each, when it is tried.
//!
//! Source: Prometheus 3.5, package `notifier`. What differs is said where it does.

mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::aws::Identity;
use crate::client::HttpClient;
use crate::model::LabelSet;
use crate::model::labels::quote;
use crate::model::relabel::{self, RelabelRule};
use crate::scrape::job::{FileDiscovery, HttpDiscovery, TargetGroup};
use crate::time::{Span, Timestamp};

pub use queue::{BATCH_MAX, QUEUE_MAX, Queue, Settled, Step, Verdict};

/// More Alertmanagers of one entry are not told; each has a queue of its own.
pub const TARGETS_MAX: usize = 100;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__alerts_path__";

/// What another Alertmanager is told of one alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub labels: LabelSet,
    pub annotations: BTreeMap<String, String>,
    pub starts_at: Timestamp,
    /// While it fires: until when the report holds, should no further come.
    pub ends_at: Timestamp,
    pub is_over: bool,
    pub generator_url: String,
}

/// One entry of `alerting.alertmanagers`.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// `http` or `https`.
    pub scheme: String,
    pub path_prefix: String,
    pub timeout: Span,
    pub client: HttpClient,
    pub signing: Option<Signing>,
    pub static_groups: Vec<TargetGroup>,
    pub file_sd: Vec<FileDiscovery>,
    pub http_sd: Vec<HttpDiscovery>,
    /// Of the Alertmanagers that are found.
    pub relabel: Vec<RelabelRule>,
    /// Of the alerts, after those rules that hold for all Alertmanagers.
    pub alert_relabel: Vec<RelabelRule>,
}

/// How requests are signed for Amazon's managed service.
#[derive(Clone, Debug, PartialEq)]
pub struct Signing {
    pub region: String,
    pub service: String,
    pub identity: Identity,
}

impl Entry {
    /// Returns whether an Alertmanager that either has found is told the same, in the same way.
    pub fn tells_like(&self, other: &Entry) -> bool {
        (self.timeout, &self.client, &self.signing, &self.alert_relabel)
            == (other.timeout, &other.client, &other.signing, &other.alert_relabel)
    }

    /// Returns what an Alertmanager of this entry is told; None: nothing.
    pub fn outward(&self, report: &Arc<Report>) -> Option<Arc<Report>> {
        if self.alert_relabel.is_empty() {
            return Some(report.clone());
        }
        let mut labels = report.labels.builder();
        let keeps = relabel::apply(&self.alert_relabel, &mut labels);
        let labels = labels.build();
        (keeps && !labels.is_empty()).then(|| Arc::new(Report { labels, ..Report::clone(report) }))
    }
}

/// The Alertmanagers of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Where alerts are posted to, each once, in the order in which they were found.
    pub urls: Vec<String>,
    /// Where they would be posted to, had the rules not dropped these.
    pub dropped: Vec<String>,
    /// Why others are none.
    pub bad: Vec<String>,
}

/// Returns what the addresses of an entry's groups come to.
///
/// Source: Prometheus `AlertmanagerFromGroup`; there one bad address costs its whole group.
pub fn targets(entry: &Entry, groups: &[TargetGroup]) -> Found {
    let mut found = Found::default();
    for group in groups {
        for address in &group.addresses {
            let mut labels = LabelSet::from_pairs([(ADDRESS, address), (SCHEME, &entry.scheme), (PATH, &path(entry))]).builder();
            for (name, value) in group.labels.iter().filter(|(name, _)| *name != ADDRESS) {
                labels.set(name, value);
            }
            let discovered = labels.build();
            if !relabel::apply(&entry.relabel, &mut labels) {
                found.dropped.push(url(&discovered));
                continue;
            }
            let labels = labels.build();
            let (address, scheme) = (labels.get(ADDRESS), labels.get(SCHEME));
            if address.is_empty() || address.contains('/') {
                found.bad.push(format!("{} is not a valid hostname", quote(address)));
            } else if !matches!(scheme, "http" | "https") {
                found.bad.push(format!("{} of {} is no scheme; it is http or https", quote(scheme), quote(address)));
            } else {
                let url = url(&labels);
                if !found.urls.contains(&url) {
                    found.urls.push(url);
                }
            }
        }
    }
    for url in found.urls.split_off(found.urls.len().min(TARGETS_MAX)) {
        found.bad.push(format!("{} is beyond the limit of {TARGETS_MAX} Alertmanagers", quote(&url)));
    }
    found
}

fn path(entry: &Entry) -> String {
    let parts = entry.path_prefix.split('/').filter(|part| !part.is_empty());
    parts.chain(["api", "v2", "alerts"]).fold(String::new(), |path, part| path + "/" + part)
}

fn url(labels: &LabelSet) -> String {
    let path = labels.get(PATH);
    let slash = if path.starts_with('/') || path.is_empty() { "" } else { "/" };
    format!("{}://{}{slash}{path}", labels.get(SCHEME), labels.get(ADDRESS))
}

/// An alert as Alertmanager's API v2 takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    labels: &'a LabelSet,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
}

impl<'a> From<&'a Report> for Posted<'a> {
    fn from(report: &'a Report) -> Posted<'a> {
        let Report { labels, annotations, starts_at, ends_at, is_over: _, generator_url } = report;
        Posted { labels, annotations, starts_at: starts_at.rfc3339(), ends_at: ends_at.rfc3339(), generator_url }
    }
}

/// Returns the body of a request that brings some reports: JSON of Alertmanager's API v2.
pub fn body(reports: &[Arc<Report>]) -> Vec<u8> {
    let all: Vec<Posted<'_>> = reports.iter().map(|report| Posted::from(&**report)).collect();
    serde_json::to_vec(&all).expect("a report is made of texts")
}

#[cfg(test)]
mod tests;
