//! What a test expects against what there is.

use std::collections::BTreeMap;
use std::fmt;

use super::FiringAlert;
use crate::model::labels::quote;
use crate::model::sample::shortest;
use crate::model::{LabelSet, Value};

/// One entry that is only expected, only there, or not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Shape: lines.
    pub expected: Vec<String>,
    /// Shape: lines.
    pub got: Vec<String>,
}

impl fmt::Display for Difference {
    /// Writes a line break and a line for each of both sides.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expected.iter().try_for_each(|line| write!(f, "\n    - {line}"))?;
        self.got.iter().try_for_each(|line| write!(f, "\n    + {line}"))
    }
}

/// Takes equal entries out of both lists, each once.
pub(super) fn unmatched<T, U>(expected: Vec<T>, got: Vec<U>, same: impl Fn(&T, &U) -> bool) -> (Vec<T>, Vec<U>) {
    let mut got: Vec<Option<U>> = got.into_iter().map(Some).collect();
    let mut left = Vec::new();
    for one in expected {
        match got.iter_mut().find(|other| other.as_ref().is_some_and(|other| same(&one, other))) {
            Some(found) => *found = None,
            None => left.push(one),
        }
    }
    (left, got.into_iter().flatten().collect())
}

/// Writes labels in braces.
pub(super) fn braced(pairs: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn alert_lines(alert: &FiringAlert) -> Vec<String> {
    let annotations = alert.annotations.iter().map(|(name, text)| format!("    {name}: {}", quote(text)));
    [braced(&alert.labels)].into_iter().chain(annotations).collect()
}

/// Returns the difference of two alerts of the same labels: the labels, and the annotations that are not the same.
fn annotation_difference(expected: &FiringAlert, got: &FiringAlert) -> Difference {
    let lines = |own: &FiringAlert, other: &FiringAlert| {
        let differs = |(name, text): &(&String, &String)| other.annotations.get(*name) != Some(*text);
        let texts = own.annotations.iter().filter(differs).map(|(name, text)| format!("    {name}: {}", quote(text)));
        [braced(&own.labels)].into_iter().chain(texts).collect()
    };
    Difference { expected: lines(expected, got), got: lines(got, expected) }
}

/// Returns how the alerts that fire differ from those that should.
pub(super) fn alerts(expected: &[FiringAlert], got: Vec<FiringAlert>) -> Vec<Difference> {
    let (expected, got) = unmatched(expected.iter().collect(), got, |one, other| *one == other);
    let mut got: Vec<Option<FiringAlert>> = got.into_iter().map(Some).collect();
    let mut differences = Vec::new();
    for one in expected {
        let twin = got.iter_mut().find(|other| other.as_ref().is_some_and(|other| other.labels == one.labels));
        differences.push(match twin.and_then(Option::take) {
            Some(twin) => annotation_difference(one, &twin),
            None => Difference { expected: alert_lines(one), got: Vec::new() },
        });
    }
    let unexpected = got.into_iter().flatten();
    differences.extend(unexpected.map(|alert| Difference { expected: Vec::new(), got: alert_lines(&alert) }));
    differences
}

/// Returns whether two values are the same; NaN is never the same as anything.
fn same_value(expected: &Value, got: &Value, fuzzy: bool) -> bool {
    match (expected, got) {
        (Value::Float(expected), Value::Float(got)) => {
            expected == got || fuzzy && !got.is_nan() && (expected.next_up() == *got || expected.next_down() == *got)
        }
        (Value::Histogram(expected), Value::Histogram(got)) => expected.in_notation() == got.in_notation(),
        _ => false,
    }
}

fn sample_line(labels: &LabelSet, value: &Value) -> String {
    let value = match value {
        Value::Float(value) => shortest(*value),
        Value::Histogram(histogram) => histogram.in_notation(),
    };
    format!("{labels} {value}")
}

/// Returns how samples differ from those that are expected.
pub(super) fn samples(expected: &[(LabelSet, Value)], got: Vec<(LabelSet, Value)>, fuzzy: bool) -> Vec<Difference> {
    let same = |one: &&(LabelSet, Value), other: &(LabelSet, Value)| one.0 == other.0 && same_value(&one.1, &other.1, fuzzy);
    let (expected, got) = unmatched(expected.iter().collect(), got, same);
    let mut got: Vec<Option<(LabelSet, Value)>> = got.into_iter().map(Some).collect();
    let mut differences = Vec::new();
    for (labels, value) in expected {
        let twin = got.iter_mut().find(|other| other.as_ref().is_some_and(|(other, _)| other == labels));
        let twin = twin.and_then(Option::take);
        differences.push(Difference {
            expected: vec![sample_line(labels, value)],
            got: twin.iter().map(|(labels, value)| sample_line(labels, value)).collect(),
        });
    }
    let unexpected = got.into_iter().flatten().map(|(labels, value)| sample_line(&labels, &value));
    differences.extend(unexpected.map(|line| Difference { expected: Vec::new(), got: vec![line] }));
    differences
}
