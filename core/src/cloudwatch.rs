//! Amazon CloudWatch: which metrics to ask for, in which requests, and what the answers mean.
//!
//! Nothing here speaks to anybody: `plan` makes the requests' bodies, `answer` reads what came back.

pub mod answer;
pub mod name;
pub mod plan;

use std::collections::BTreeMap;

use crate::aws::Identity;
use crate::collect::Reach;
use crate::model::{LabelSet, Matcher};
use crate::time::Span;

/// One entry of `cloudwatch`: what to read from which regions of one account.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub job: String,
    pub regions: Vec<String>,
    pub identity: Identity,
    /// None: the role's, or else what STS says.
    pub account_id: Option<String>,
    pub interval: Span,
    pub timeout: Span,
    pub reach: Reach,
    /// How often metrics are listed anew.
    pub discovery_interval: Span,
    /// List only metrics that had points in the last three hours.
    pub recently_active: bool,
    /// Metrics times statistics that are asked for in one region, at most.
    pub queries_max: usize,
    pub labels: LabelSet,
    /// Dimensions become labels in snake case.
    pub snake_case: bool,
    pub discovery: Vec<Discovery>,
    pub metrics: Vec<Chosen>,
    /// In place of the region's own addresses.
    pub endpoint: Option<String>,
}

/// How a metric is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub statistics: Vec<String>,
    pub period: Span,
    /// A period is asked for this long after its end, since CloudWatch goes on adding to it for a while.
    pub delay: Span,
    /// Labels for dimensions, in place of `dimension_…`.
    pub label_names: BTreeMap<String, String>,
}

/// Metrics to look for in a namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovery {
    pub namespace: String,
    /// Empty: every name.
    pub names: Vec<Matcher>,
    /// The name that all of `names` stand for, when it is one and no pattern.
    pub one_name: Option<String>,
    /// Each must be among a metric's dimensions, with a value that fits.
    pub dimensions: Vec<Matcher>,
    /// A metric's dimensions must be these and no others.
    pub dimension_names: Option<Vec<String>>,
    pub reading: Reading,
}

impl Discovery {
    /// Returns whether a metric is one of those that are looked for.
    pub fn wants(&self, metric: &Metric) -> bool {
        let value = |name: &str| metric.dimensions.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        metric.namespace == self.namespace
            && (self.names.is_empty() || self.names.iter().any(|pattern| pattern.is_match(&metric.name)))
            && self.dimensions.iter().all(|filter| value(&filter.name).is_some_and(|value| filter.is_match(value)))
            && self
                .dimension_names
                .as_ref()
                .is_none_or(|names| names.len() == metric.dimensions.len() && names.iter().all(|name| value(name).is_some()))
    }
}

/// A metric as CloudWatch knows it. Dimensions are in order of their names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    pub namespace: String,
    pub name: String,
    pub dimensions: Vec<(String, String)>,
}

/// A metric that is named in the configuration and not looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    pub metric: Metric,
    pub reading: Reading,
}

#[cfg(test)]
mod tests;
