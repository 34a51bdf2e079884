//! How far a condition was from holding: what its comparisons compared at an instant.

use crate::model::{LabelSet, Source, Value as SampleValue};
use crate::promql::ast::{BinaryOp, Expr, ExprKind};
use crate::promql::evaluate::{Cancel, EvalError, Options, instant};
use crate::promql::value::{Answer, Value};
use crate::time::Timestamp;

/// Of an expression this many comparisons are told, and of each this many series.
const COMPARISONS_MAX: usize = 8;
const SERIES_MAX: usize = 5;

/// One comparison of an expression and what stood on its sides.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Margin {
    /// As it is written, such as `rate(errors[5m]) > 0.05`.
    pub comparison: String,
    /// The values of its left side, those first that are nearest to holding.
    pub left: Vec<(LabelSet, String)>,
    /// How many series the left side has.
    pub series: usize,
    /// The value of the right side where that is one number.
    pub right: Option<String>,
    /// How many series the comparison let through.
    pub holds: usize,
}

/// Returns what the comparisons of an expression compared at an instant. Those inside functions and aggregations are part of a value and
/// left out.
///
/// Errors: as `instant`.
pub fn margins(
    expr: &Expr,
    at: Timestamp,
    source: &dyn Source,
    options: &Options,
    cancel: &Cancel,
) -> Result<Vec<Margin>, EvalError> {
    let mut found = Vec::new();
    comparisons(expr, &mut found);
    let margin = |whole: &&Expr| {
        let ExprKind::Binary(binary) = &whole.kind else { unreachable!("only comparisons were found") };
        let ask = |expr: &Expr| instant(expr, at, source, options, cancel).map(samples);
        let (left, right, held) = (ask(&binary.left)?, ask(&binary.right)?, ask(whole)?);
        let right = match &right[..] {
            [(_, value)] => Some(*value),
            _ => None,
        };
        Ok(Margin {
            comparison: whole.to_string(),
            series: left.len(),
            left: nearest(left, binary.op, right),
            right: right.map(|value| value.to_string()),
            holds: held.len(),
        })
    };
    found.iter().take(COMPARISONS_MAX).map(margin).collect()
}

fn comparisons<'e>(expr: &'e Expr, found: &mut Vec<&'e Expr>) {
    match &expr.kind {
        ExprKind::Paren(inner) => comparisons(inner, found),
        ExprKind::Binary(binary) if binary.op.is_set() => {
            comparisons(&binary.left, found);
            comparisons(&binary.right, found);
        }
        ExprKind::Binary(binary) if binary.op.is_comparison() && !binary.returns_bool => {
            // `(a > 1) > 2` holds what both hold.
            comparisons(&binary.left, found);
            found.push(expr);
        }
        ExprKind::Number(_)
        | ExprKind::DurationNumber(_)
        | ExprKind::Text(_)
        | ExprKind::Vector(_)
        | ExprKind::Matrix(_)
        | ExprKind::Subquery(_)
        | ExprKind::Call(_)
        | ExprKind::Aggregate(_)
        | ExprKind::Binary(_)
        | ExprKind::Unary { .. } => {}
    }
}

/// Returns the numbers of an answer; histograms are no numbers.
fn samples(answer: Answer) -> Vec<(LabelSet, f64)> {
    match answer.value {
        Value::Scalar(value) => vec![(LabelSet::empty(), value)],
        Value::Vector(samples) => {
            let number = |value: &SampleValue| match value {
                SampleValue::Float(value) => Some(*value),
                SampleValue::Histogram(_) => None,
            };
            samples.into_iter().filter_map(|sample| Some((sample.labels, number(&sample.value)?))).collect()
        }
        Value::Text(_) | Value::Matrix(_) => Vec::new(),
    }
}

fn nearest(mut left: Vec<(LabelSet, f64)>, op: BinaryOp, right: Option<f64>) -> Vec<(LabelSet, String)> {
    let distance = |value: f64| match (op, right) {
        (BinaryOp::Less | BinaryOp::LessOrEqual, _) => value,
        (BinaryOp::Equal | BinaryOp::NotEqual, Some(right)) => (value - right).abs(),
        _ => -value,
    };
    left.sort_by(|(_, one), (_, other)| distance(*one).total_cmp(&distance(*other)));
    left.into_iter().take(SERIES_MAX).map(|(labels, value)| (labels, value.to_string())).collect()
}
