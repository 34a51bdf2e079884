//! Warnings and infos: what a reader should know about an answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use crate::model::labels::quote;
use crate::model::sample::shortest;
use crate::promql::ast::Place;

/// What was done when histograms had to be bent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistogramOperation {
    Addition,
    Subtraction,
    Aggregation,
}

impl fmt::Display for HistogramOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HistogramOperation::Addition => "addition",
            HistogramOperation::Subtraction => "subtraction",
            HistogramOperation::Aggregation => "aggregation",
        })
    }
}

/// One remark. Metrics are given by name, which may be empty.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Note<'a> {
    InvalidQuantile(f64),
    InvalidRatio { ratio: f64, capped: f64 },
    BadBucketLabel { metric: &'a str, label: &'a str },
    MixedSamples { metric: &'a str },
    MixedSamplesInAggregation,
    MixedClassicAndNative { metric: &'a str },
    MixedBuckets { metric: &'a str },
    NotCounter { metric: &'a str },
    NotGauge { metric: &'a str },
    IncompatibleBuckets { operator: &'a str },
    CollidingHints(HistogramOperation),
    SortInRangeQuery,
    OverlappingStarts { metric: &'a str },
    PossiblyNotCounter { metric: &'a str },
    ForcedMonotonicity { metric: &'a str },
    IncompatibleTypes { left: &'a str, operator: &'a str, right: &'a str },
    IgnoredInAggregation { aggregation: &'a str },
    IgnoredInRange { metric: &'a str },
    NanQuantile { metric: &'a str },
    SkewedQuantile { metric: &'a str },
    NanFraction { metric: &'a str },
    ReconciledBuckets(HistogramOperation),
}

fn for_metric(text: &str, metric: &str) -> String {
    if metric.is_empty() { text.to_owned() } else { format!("{text} for metric name {}", quote(metric)) }
}

impl Note<'_> {
    fn is_warning(&self) -> bool {
        matches!(
            self,
            Note::InvalidQuantile(_)
                | Note::InvalidRatio { .. }
                | Note::BadBucketLabel { .. }
                | Note::MixedSamples { .. }
                | Note::MixedSamplesInAggregation
                | Note::MixedClassicAndNative { .. }
                | Note::MixedBuckets { .. }
                | Note::NotCounter { .. }
                | Note::NotGauge { .. }
                | Note::IncompatibleBuckets { .. }
                | Note::CollidingHints(_)
                | Note::SortInRangeQuery
                | Note::OverlappingStarts { .. }
        )
    }

    fn text(&self) -> String {
        const QUANTILE_DOCS: &str = "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile";
        match *self {
            Note::InvalidQuantile(value) => format!("quantile value should be between 0 and 1, got {}", shortest(value)),
            Note::InvalidRatio { ratio, capped } => {
                format!("ratio value should be between -1 and 1, got {}, capping to {}", shortest(ratio), shortest(capped))
            }
            Note::BadBucketLabel { metric, label } => {
                for_metric(&format!("bucket label \"le\" is missing or has a malformed value of {}", quote(label)), metric)
            }
            Note::MixedSamples { metric } => {
                format!("encountered a mix of histograms and floats for metric name {}", quote(metric))
            }
            Note::MixedSamplesInAggregation => "encountered a mix of histograms and floats for aggregation".to_owned(),
            Note::MixedClassicAndNative { metric } => {
                for_metric("vector contains a mix of classic and native histograms", metric)
            }
            Note::MixedBuckets { metric } => format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
                quote(metric)
            ),
            Note::NotCounter { metric } => format!("this native histogram metric is not a counter: {}", quote(metric)),
            Note::NotGauge { metric } => format!("this native histogram metric is not a gauge: {}", quote(metric)),
            Note::IncompatibleBuckets { operator } => {
                format!("incompatible bucket layout encountered for binary operator {operator}")
            }
            Note::CollidingHints(operation) => format!("conflicting counter resets during histogram {operation}"),
            Note::SortInRangeQuery => {
                "sort is ineffective for range queries since results are always ordered by labels".to_owned()
            }
            Note::OverlappingStarts { metric } => {
                format!("encountered overlapping start timestamps for metric name {}", quote(metric))
            }
            Note::PossiblyNotCounter { metric } => {
                format!("metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}", quote(metric))
            }
            Note::ForcedMonotonicity { metric } => {
                let text = format!("input to histogram_quantile needed to be fixed for monotonicity (see {QUANTILE_DOCS})");
                for_metric(&text, metric)
            }
            Note::IncompatibleTypes { left, operator, right } => format!(
                "incompatible sample types encountered for binary operator {}: {left} {operator} {right}",
                quote(operator)
            ),
            Note::IgnoredInAggregation { aggregation } => format!("ignored histogram in {aggregation} aggregation"),
            Note::IgnoredInRange { metric } => {
                format!("ignored histograms in a range containing both floats and histograms for metric name {}", quote(metric))
            }
            Note::NanQuantile { metric } => for_metric("input to histogram_quantile has NaN observations, result is NaN", metric),
            Note::SkewedQuantile { metric } => {
                for_metric("input to histogram_quantile has NaN observations, result is skewed higher", metric)
            }
            Note::NanFraction { metric } => {
                for_metric("input to histogram_fraction has NaN observations, which are excluded from all fractions", metric)
            }
            Note::ReconciledBuckets(operation) => format!("mismatched custom buckets were reconciled during {operation}"),
        }
    }
}

/// The most remarks of one severity that are kept.
const NOTES_MAX: usize = 100;

/// The remarks of an evaluation, each text once.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    warnings: RefCell<BTreeMap<String, Place>>,
    infos: RefCell<BTreeMap<String, Place>>,
}

fn position(text: Option<&str>, place: Place) -> (usize, usize) {
    let start = place.start as usize;
    let before = text.and_then(|text| text.as_bytes().get(..start)).unwrap_or(&[]);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rposition(|byte| *byte == b'\n').map_or(start + 1, |at| start - at);
    (line, column)
}

impl Notes {
    pub fn add(&self, note: Note<'_>, place: Place) {
        let (list, kind) = if note.is_warning() { (&self.warnings, "warning") } else { (&self.infos, "info") };
        let mut list = list.borrow_mut();
        if list.len() < NOTES_MAX {
            list.entry(format!("PromQL {kind}: {}", note.text())).or_insert(place);
        }
    }

    /// Returns warnings and infos with their place in the text.
    pub fn texts(&self, text: Option<&str>) -> (Vec<String>, Vec<String>) {
        let list = |notes: &RefCell<BTreeMap<String, Place>>| {
            let notes = notes.borrow();
            let with_position = notes.iter().map(|(note, place)| {
                let (line, column) = position(text, *place);
                format!("{note} ({line}:{column})")
            });
            with_position.collect()
        };
        (list(&self.warnings), list(&self.infos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_names_line_and_column_and_appears_once() {
        let notes = Notes::default();
        for start in [9, 12] {
            notes.add(Note::InvalidQuantile(1.5), Place { start, end: 13 });
        }
        let (warnings, infos) = notes.texts(Some("sum(\n   quantile"));
        assert_eq!(warnings, ["PromQL warning: quantile value should be between 0 and 1, got 1.5 (2:5)"]);
        assert!(infos.is_empty());
    }
}
