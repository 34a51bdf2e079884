//! Answers against expectations.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Eval, Expected, When};
use crate::model::{Histogram, LabelSet, Series, Value as SampleValue};
use crate::promql::functions::classic::almost_equal;
use crate::promql::notation::{Notation, Written};
use crate::promql::value::{Value, VectorSample};
use crate::time::Timestamp;

/// Relative difference of numbers that counts as none.
const EPSILON: f64 = 1e-6;

fn same_histogram(expected: &Histogram, found: &Histogram, hint_given: bool) -> bool {
    let close = |a: f64, b: f64| almost_equal(a, b, EPSILON);
    let (mut expected, mut found) = (expected.clone(), found.clone());
    expected.compact();
    found.compact();
    let close_lists = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(*a, *b));
    expected.schema == found.schema
        && close(expected.count, found.count)
        && close(expected.sum, found.sum)
        && expected.custom_values == found.custom_values
        && expected.zero_threshold == found.zero_threshold
        && close(expected.zero_count, found.zero_count)
        && expected.positive_spans == found.positive_spans
        && expected.negative_spans == found.negative_spans
        && close_lists(&expected.positive_buckets, &found.positive_buckets)
        && close_lists(&expected.negative_buckets, &found.negative_buckets)
        && (!hint_given || expected.reset_hint == found.reset_hint)
}

fn same(expected: &Written, found: &SampleValue) -> bool {
    match (&expected.value, found) {
        (Some(SampleValue::Float(expected)), SampleValue::Float(found)) => almost_equal(*expected, *found, EPSILON),
        (Some(SampleValue::Histogram(histogram)), SampleValue::Histogram(found)) => {
            same_histogram(histogram, found, expected.hint_written)
        }
        _ => false,
    }
}

fn show(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => value.to_string(),
        SampleValue::Histogram(histogram) => {
            let hint = histogram.reset_hint;
            format!("{histogram} schema {} zero {} hint {hint:?}", histogram.schema, histogram.zero_threshold)
        }
    }
}

/// Returns the answer of a range query at one of its steps, as an instant query would give it.
pub(super) fn at_instant(series: Vec<Series>, at: Timestamp, expected: &Expected) -> Value {
    let mut samples = Vec::new();
    for series in series {
        let float = series.floats.iter().find(|(own, _)| *own == at.0).map(|(_, value)| SampleValue::Float(*value));
        let histogram = series.histograms.iter().find(|(own, _)| *own == at.0);
        let histogram = histogram.map(|(_, histogram)| SampleValue::Histogram(Arc::clone(histogram)));
        samples.extend(float.or(histogram).map(|value| VectorSample { labels: series.labels.clone(), value }));
    }
    match (expected, samples.as_slice()) {
        (Expected::Scalar(_), [VectorSample { value: SampleValue::Float(value), .. }]) => Value::Scalar(*value),
        _ => Value::Vector(samples),
    }
}

/// Returns what is not as expected.
pub(super) fn check(eval: &Eval, when: When, value: &Value) -> Result<(), String> {
    match (&eval.expected, value) {
        (Expected::Text(expected), Value::Text(found)) if expected == found => Ok(()),
        (Expected::Scalar(expected), Value::Scalar(found)) if almost_equal(*expected, *found, EPSILON) => Ok(()),
        (Expected::Series(expected), Value::Vector(found)) => check_vector(expected, found, eval.ordered),
        (Expected::Series(expected), Value::Matrix(found)) => match when {
            When::Range { start, step, .. } => check_matrix(expected, found, start.0, step.0),
            When::Instant(_) => Err("unexpected range vector".to_owned()),
        },
        (Expected::RangeVector { start, step, series }, Value::Matrix(found)) => check_matrix(series, found, start.0, step.0),
        (expected, found) => Err(format!("expected {expected:?}, found {found:?}")),
    }
}

fn check_vector(expected: &[Notation], found: &[VectorSample], ordered: bool) -> Result<(), String> {
    let positions: BTreeMap<&LabelSet, usize> =
        expected.iter().enumerate().map(|(index, series)| (&series.labels, index)).collect();
    for (position, sample) in found.iter().enumerate() {
        let Some(index) = positions.get(&sample.labels) else {
            return Err(format!("unexpected {} with {}", sample.labels, show(&sample.value)));
        };
        if ordered && *index != position {
            return Err(format!("{} at position {position}, expected at {index}", sample.labels));
        }
        match expected[*index].values.first() {
            Some(expected) if same(expected, &sample.value) => {}
            expected => return Err(format!("{}: expected {expected:?}, found {}", sample.labels, show(&sample.value))),
        }
    }
    match expected.iter().find(|series| !found.iter().any(|sample| sample.labels == series.labels)) {
        Some(series) => Err(format!("missing {}", series.labels)),
        None => Ok(()),
    }
}

fn check_matrix(expected: &[Notation], found: &[Series], start: i64, step: i64) -> Result<(), String> {
    let wanted: BTreeMap<&LabelSet, &Vec<Written>> = expected.iter().map(|series| (&series.labels, &series.values)).collect();
    if found.windows(2).any(|pair| pair[0].labels >= pair[1].labels) {
        return Err("the series are not sorted by labels".to_owned());
    }
    for series in found {
        let mut samples: BTreeMap<i64, SampleValue> =
            series.floats.iter().map(|(at, value)| (*at, SampleValue::Float(*value))).collect();
        samples.extend(series.histograms.iter().map(|(at, histogram)| (*at, SampleValue::Histogram(Arc::clone(histogram)))));
        let Some(values) = wanted.get(&series.labels) else {
            return Err(format!("unexpected {} with {}", series.labels, list(&samples)));
        };
        let present = values.iter().enumerate().filter(|(_, written)| written.value.is_some());
        let mut count = 0;
        for (index, value) in present {
            count += 1;
            let at = start + step * index as i64;
            if !samples.get(&at).is_some_and(|found| same(value, found)) {
                return Err(format!("{} at {at}: expected {value:?}, found {}", series.labels, list(&samples)));
            }
        }
        if count != samples.len() {
            return Err(format!("{}: expected {count} samples, found {}", series.labels, list(&samples)));
        }
    }
    match expected.iter().find(|wanted| !found.iter().any(|series| series.labels == wanted.labels)) {
        Some(wanted) => Err(format!("missing {}", wanted.labels)),
        None => Ok(()),
    }
}

fn list(samples: &BTreeMap<i64, SampleValue>) -> String {
    let shown: Vec<String> = samples.iter().map(|(at, value)| format!("{}@{at}", show(value))).collect();
    shown.join(" ")
}
