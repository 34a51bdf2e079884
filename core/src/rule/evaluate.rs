//! What one evaluation of a rule brings.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::labels::METRIC_NAME;
use crate::model::{LabelSet, STALE, Value};
use crate::promql::ast::Expr;
use crate::promql::parse::{self, Syntax};
use crate::time::{Span, Timestamp};

use super::functions::{RuleFunctions, alert_data};
use super::{ALERT_NAME, Alerting, Kind, Rule};

/// Where expressions get their values: our own store, the fixed series of a test, or another server.
pub trait Queries {
    /// Returns the value of an expression at an instant: one element for each series, one without labels for a scalar.
    ///
    /// Errors: why there is no value, in a sentence.
    fn instant(&self, expr: &Expr, text: &str, at: Timestamp) -> Result<Vec<(LabelSet, Value)>, String>;
}

/// What templates know beside the sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    pub external_labels: LabelSet,
    /// The address of our own pages, without a slash at the end.
    pub external_url: String,
    pub query_offset: Span,
    /// The group's limit; zero: none.
    pub limit: usize,
    /// The language that `query` of templates speaks.
    pub syntax: Syntax,
}

impl Default for Environment {
    fn default() -> Environment {
        Environment {
            external_labels: LabelSet::empty(),
            external_url: String::new(),
            query_offset: Span::ZERO,
            limit: 0,
            syntax: Syntax::default(),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Evaluated {
    /// Samples to be written at the instant of the evaluation less the query offset.
    Recorded(Vec<(LabelSet, Value)>),
    /// The alerts whose condition holds, for `alert::Instances::step`; the limit is kept there.
    Active(Vec<Active>),
}

/// An alert whose condition holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// What tells it from all others; `alertname` among them.
    pub labels: LabelSet,
    pub annotations: BTreeMap<String, String>,
    pub value: f64,
}

/// Why an evaluation brought nothing. State and series stay as they were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("{0}")]
    Query(String),
    #[error("vector contains metrics with the same labelset after applying {what} labels: {labels}")]
    SameLabels { what: &'static str, labels: LabelSet },
    #[error("exceeded limit of {limit} with {found} {what}")]
    Limit { limit: usize, found: usize, what: &'static str },
}

/// Evaluates a rule at an instant.
///
/// Source: Prometheus `AlertingRule.Eval` and `RecordingRule.Eval`.
pub fn evaluate(rule: &Rule, at: Timestamp, queries: &dyn Queries, environment: &Environment) -> Result<Evaluated, RuleError> {
    let samples = queries.instant(&rule.expr, &rule.text, at - environment.query_offset).map_err(RuleError::Query)?;
    match &rule.kind {
        Kind::Record { name, labels } => record(samples, name, labels, environment.limit).map(Evaluated::Recorded),
        Kind::Alert(alerting) => alert(samples, alerting, at, queries, environment).map(Evaluated::Active),
    }
}

/// Returns what a rule writes: its samples, and a staleness marker for each series that it wrote last time and no longer brings.
///
/// `written` are the series that it wrote last, and becomes those that it writes now.
/// Source: Prometheus `Group.Eval`.
pub fn with_ends(samples: Vec<(LabelSet, Value)>, written: &mut BTreeSet<LabelSet>) -> Vec<(LabelSet, Value)> {
    let now: BTreeSet<LabelSet> = samples.iter().map(|(labels, _)| labels.clone()).collect();
    let before = std::mem::replace(written, now);
    let ended: Vec<_> = before.difference(written).map(|labels| (labels.clone(), Value::Float(STALE))).collect();
    samples.into_iter().chain(ended).collect()
}

fn record(
    samples: Vec<(LabelSet, Value)>,
    name: &str,
    labels: &BTreeMap<String, String>,
    limit: usize,
) -> Result<Vec<(LabelSet, Value)>, RuleError> {
    let mut recorded = BTreeMap::new();
    for (series, value) in samples {
        let series = recorded_labels(&series, name, labels);
        if recorded.insert(series.clone(), value).is_some() {
            return Err(RuleError::SameLabels { what: "rule", labels: series });
        }
    }
    if limit > 0 && recorded.len() > limit {
        return Err(RuleError::Limit { limit, found: recorded.len(), what: "series" });
    }
    Ok(recorded.into_iter().collect())
}

/// Returns under which labels a recording rule writes what its expression gave under others.
pub(crate) fn recorded_labels(series: &LabelSet, name: &str, labels: &BTreeMap<String, String>) -> LabelSet {
    let mut builder = series.builder();
    builder.set(METRIC_NAME, name);
    for (label, text) in labels {
        builder.set(label, text);
    }
    builder.build()
}

fn alert(
    samples: Vec<(LabelSet, Value)>,
    alerting: &Alerting,
    at: Timestamp,
    queries: &dyn Queries,
    environment: &Environment,
) -> Result<Vec<Active>, RuleError> {
    let query = |text: &str| {
        let faults = |faults: Vec<parse::ParseError>| faults.first().map(|fault| fault.summary(text)).unwrap_or_default();
        let expr = parse::parse(text, &environment.syntax).map_err(faults)?;
        queries.instant(&expr, text, at)
    };
    let functions = RuleFunctions { query: &query, external_url: &environment.external_url, now: at, html: false };
    let mut seen = BTreeSet::new();
    let mut active = Vec::with_capacity(samples.len());
    for (series, value) in samples {
        let data = alert_data(&series, &environment.external_labels, &environment.external_url, &value);
        let mut builder = series.builder();
        builder.remove(METRIC_NAME);
        for (label, text) in &alerting.labels {
            builder.set(label, &text.expand(&data, &functions));
        }
        builder.set(ALERT_NAME, &alerting.name);
        let labels = builder.build();
        if !seen.insert(labels.clone()) {
            return Err(RuleError::SameLabels { what: "alert", labels });
        }
        let annotations =
            alerting.annotations.iter().map(|(name, text)| (name.clone(), text.expand(&data, &functions))).collect();
        let value = match value {
            Value::Float(value) => value,
            Value::Histogram(_) => 0.0,
        };
        active.push(Active { labels, annotations, value });
    }
    Ok(active)
}
