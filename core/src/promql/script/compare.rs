//! Answers against expectations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Eval, Expected, When};
use crate::model::sample::shortest;
use crate::model::{Histogram, LabelSet, Series, Value as SampleValue};
use crate::promql::functions::classic::almost_equal;
use crate::promql::notation::{Notation, Written};
use crate::promql::value::{Value, VectorSample};
use crate::time::Timestamp;

/// What is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How the query was asked, where that is not as the script says.
    pub asked: Option<String>,
    pub expected: String,
    pub got: String,
}

impl Difference {
    pub(super) fn new(expected: impl Into<String>, got: impl Into<String>) -> Difference {
        Difference { asked: None, expected: expected.into(), got: got.into() }
    }

    pub(super) fn asked(mut self, how: &str) -> Difference {
        self.asked = Some(match self.asked.take() {
            Some(inner) => format!("{how}, {inner}"),
            None => how.to_owned(),
        });
        self
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(asked) = &self.asked {
            write!(f, "{asked}: ")?;
        }
        write!(f, "got {}, expected {}", self.got, self.expected)
    }
}

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
        SampleValue::Float(value) => shortest(*value),
        SampleValue::Histogram(histogram) => histogram.in_notation(),
    }
}

fn show_written(written: Option<&Written>) -> String {
    written.and_then(|written| written.value.as_ref()).map_or("_".to_owned(), show)
}

fn show_values(series: &Notation) -> String {
    series.values.iter().map(|written| show_written(Some(written))).collect::<Vec<_>>().join(" ")
}

/// The most series of an answer that are shown.
const SHOWN_MAX: usize = 3;

fn show_list(lines: impl ExactSizeIterator<Item = String>) -> String {
    let more = lines.len().saturating_sub(SHOWN_MAX);
    let shown: Vec<String> = lines.take(SHOWN_MAX).collect();
    match (shown.is_empty(), more) {
        (true, _) => "an empty answer".to_owned(),
        (_, 0) => shown.join("; "),
        (_, more) => format!("{}; and {more} more series", shown.join("; ")),
    }
}

pub(super) fn show_answer(value: &Value) -> String {
    match value {
        Value::Scalar(value) => format!("the scalar {}", shortest(*value)),
        Value::Text(text) => format!("the string {text:?}"),
        Value::Vector(samples) => show_list(samples.iter().map(|sample| format!("{} {}", sample.labels, show(&sample.value)))),
        Value::Matrix(series) => show_list(series.iter().map(|series| format!("{} {}", series.labels, list(&samples(series))))),
    }
}

fn show_expected(expected: &Expected) -> String {
    match expected {
        Expected::Scalar(value) => format!("the scalar {}", shortest(*value)),
        Expected::Text(text) => format!("the string {text:?}"),
        Expected::Series(series) | Expected::RangeVector { series, .. } => {
            show_list(series.iter().map(|series| format!("{} {}", series.labels, show_values(series))))
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

/// Compares an answer with what is expected.
pub(super) fn check(eval: &Eval, when: When, value: &Value) -> Result<(), Difference> {
    match (&eval.expected, value) {
        (Expected::Text(expected), Value::Text(found)) if expected == found => Ok(()),
        (Expected::Scalar(expected), Value::Scalar(found)) if almost_equal(*expected, *found, EPSILON) => Ok(()),
        (Expected::Series(expected), Value::Vector(found)) => check_vector(expected, found, eval.ordered),
        (Expected::Series(expected), Value::Matrix(found)) => match when {
            When::Range { start, step, .. } => check_matrix(expected, found, start.0, step.0),
            When::Instant(_) => Err(Difference::new("an instant vector", format!("a range vector: {}", show_answer(value)))),
        },
        (Expected::RangeVector { start, step, series }, Value::Matrix(found)) => check_matrix(series, found, start.0, step.0),
        (expected, found) => Err(Difference::new(show_expected(expected), show_answer(found))),
    }
}

fn check_vector(expected: &[Notation], found: &[VectorSample], ordered: bool) -> Result<(), Difference> {
    let positions: BTreeMap<&LabelSet, usize> =
        expected.iter().enumerate().map(|(index, series)| (&series.labels, index)).collect();
    for (position, sample) in found.iter().enumerate() {
        let line = |value: String| format!("{} {value}", sample.labels);
        let Some(index) = positions.get(&sample.labels) else {
            return Err(Difference::new("no such series", line(show(&sample.value))));
        };
        if ordered && *index != position {
            let at = |position: usize| format!("{} at position {}", sample.labels, position + 1);
            return Err(Difference::new(at(*index), at(position)));
        }
        let wanted = expected[*index].values.first();
        if !wanted.is_some_and(|wanted| same(wanted, &sample.value)) {
            return Err(Difference::new(line(show_written(wanted)), line(show(&sample.value))));
        }
    }
    match expected.iter().find(|series| !found.iter().any(|sample| sample.labels == series.labels)) {
        Some(series) => Err(Difference::new(format!("{} {}", series.labels, show_values(series)), "no such series")),
        None => Ok(()),
    }
}

fn check_matrix(expected: &[Notation], found: &[Series], start: i64, step: i64) -> Result<(), Difference> {
    let wanted: BTreeMap<&LabelSet, &Notation> = expected.iter().map(|series| (&series.labels, series)).collect();
    if found.windows(2).any(|pair| pair[0].labels >= pair[1].labels) {
        return Err(Difference::new("series sorted by labels", "series in another order"));
    }
    for series in found {
        let samples = samples(series);
        let Some(wanted) = wanted.get(&series.labels) else {
            return Err(Difference::new("no such series", format!("{} {}", series.labels, list(&samples))));
        };
        let line = |values: &str| format!("{} {values}", series.labels);
        let present = wanted.values.iter().enumerate().filter(|(_, written)| written.value.is_some());
        let mut count = 0;
        for (index, written) in present {
            count += 1;
            let at = start + step * index as i64;
            let found = samples.get(&at);
            if !found.is_some_and(|found| same(written, found)) {
                let place = format!("@{}", at as f64 / 1000.0);
                let got = found.map_or("_".to_owned(), show);
                return Err(Difference::new(line(&(show_written(Some(written)) + &place)), line(&(got + &place))));
            }
        }
        if count != samples.len() {
            return Err(Difference::new(line(&show_values(wanted)), line(&list(&samples))));
        }
    }
    match expected.iter().find(|wanted| !found.iter().any(|series| series.labels == wanted.labels)) {
        Some(series) => Err(Difference::new(format!("{} {}", series.labels, show_values(series)), "no such series")),
        None => Ok(()),
    }
}

fn samples(series: &Series) -> BTreeMap<i64, SampleValue> {
    let mut samples: BTreeMap<i64, SampleValue> =
        series.floats.iter().map(|(at, value)| (*at, SampleValue::Float(*value))).collect();
    samples.extend(series.histograms.iter().map(|(at, histogram)| (*at, SampleValue::Histogram(Arc::clone(histogram)))));
    samples
}

fn list(samples: &BTreeMap<i64, SampleValue>) -> String {
    let shown: Vec<String> = samples.iter().map(|(at, value)| format!("{}@{}", show(value), *at as f64 / 1000.0)).collect();
    shown.join(" ")
}
