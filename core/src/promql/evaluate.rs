//! Evaluation: checked tree → values. The plain and exact engine, which every faster one has to agree with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::{Series, Source, SourceError, Value as SampleValue};
use crate::time::{Span, Timestamp};

use super::ast::{AggregateOp, Expr, ExprKind, Place};
use super::signature::ValueType;
use super::value::{Answer, Value, VectorSample};
use super::walk::walk;

mod aggregate;
mod arithmetic;
mod binary;
mod budget;
mod calls;
mod duration;
mod engine;
mod grid;
mod histograms;
mod invariant;
mod matching;
mod notes;
mod rank;
mod selectors;
mod subquery;
mod xxhash;

pub(crate) use budget::Lease;
pub(crate) use engine::{Engine, Evaluated, LineIndex};
pub(crate) use grid::{Column, Grid, Line, Point};
pub(super) use invariant::TIME_DEPENDENT;
pub(crate) use notes::{HistogramOperation, Note, Notes};
pub(crate) use selectors::{RangeSeries, Ranges};

/// How an expression is evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How long a sample counts as the current one.
    pub lookback: Span,
    /// The step of subqueries that name none.
    pub default_step: Span,
    /// The most values that may be held at one time.
    pub samples_max: usize,
    /// The most series that one selector may find.
    pub series_max: usize,
    /// The most steps of a range query.
    pub points_max: usize,
    /// Drop a metric's name at the end of the evaluation in place of where an operation changes the meaning of the metric, so that
    /// `label_replace` can still read it.
    pub delayed_name_removal: bool,
    /// Let functions over counters look at the start timestamps of samples.
    pub start_timestamps: bool,
    /// The text of the query, so that warnings can name line and column; without it everything stands in line 1.
    pub text: Option<Arc<str>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            lookback: Span::from_mins(5),
            default_step: Span::from_mins(1),
            samples_max: 50_000_000,
            series_max: 1_000_000,
            points_max: 11_000,
            delayed_name_removal: false,
            start_timestamps: false,
            text: None,
        }
    }
}

impl Options {
    /// Returns what Prometheus' own runner of test scripts switches on.
    pub fn of_test_scripts() -> Options {
        Options { delayed_name_removal: true, start_timestamps: true, ..Options::default() }
    }
}

/// A switch that stops an evaluation from another thread.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Stops every evaluation that holds a clone of this switch, soon.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Stops an evaluation that nobody waits for any more: the future that holds this is dropped then.
#[derive(Debug, Default)]
pub struct CancelOnDrop(pub Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Why an expression has no value.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EvalError {
    /// The language is read but not evaluated; no number is better than a wrong one.
    #[error("{what} is not served")]
    NotServed { what: String, place: Place },
    #[error("cannot read the samples of a selector")]
    Source(#[from] SourceError),
    #[error("query processing would load too many samples into memory, the limit is {limit}")]
    TooManySamples { limit: usize },
    #[error("a selector finds {found} series, the limit is {limit}; narrow it with matchers")]
    TooManySeries { found: usize, limit: usize, place: Place },
    #[error("exceeded maximum resolution of {limit} points per timeseries; try decreasing the query resolution (?step=XX)")]
    TooManySteps { limit: usize },
    #[error("query was canceled")]
    Cancelled,
    #[error("{message}")]
    Execution { message: String, place: Place },
}

impl EvalError {
    pub(crate) fn execution(message: impl Into<String>, place: Place) -> EvalError {
        EvalError::Execution { message: message.into(), place }
    }

    /// Returns where in the text the cause stands, when it stands in one place.
    pub fn place(&self) -> Option<Place> {
        match self {
            EvalError::NotServed { place, .. } | EvalError::TooManySeries { place, .. } | EvalError::Execution { place, .. } => {
                Some(*place)
            }
            _ => None,
        }
    }
}

/// The instants of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    pub start: i64,
    pub step: i64,
    pub count: usize,
}

impl Steps {
    pub fn at(&self, index: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(index as i64))
    }

    pub fn last(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }

    /// Returns the first instant alone.
    pub fn first_only(&self) -> Steps {
        Steps { count: self.count.min(1), ..*self }
    }
}

/// Returns an expression without the parentheses around it.
pub(crate) fn bare(mut expr: &Expr) -> &Expr {
    while let ExprKind::Paren(inner) = &expr.kind {
        expr = inner;
    }
    expr
}

/// Returns the value of an expression at one instant.
///
/// Errors: see `EvalError`; the expression is expected to be well typed, as the parser delivers it.
/// Source: Prometheus 3.5 `promql.Engine`, with the later parts of the language.
pub fn instant(expr: &Expr, at: Timestamp, source: &dyn Source, options: &Options, cancel: &Cancel) -> Result<Answer, EvalError> {
    let steps = Steps { start: at.0, step: 1, count: 1 };
    let engine = Engine::new(source, options, cancel, steps, Span::ZERO);
    let value = match engine.eval(bare(expr), &steps)? {
        Evaluated::Scalar(column) => Value::Scalar(column.at(0)),
        Evaluated::Text(text) => Value::Text(text),
        Evaluated::Vector(grid) => {
            let grid = engine.finish(grid, expr.place)?;
            let samples = grid.lines.iter().enumerate().filter_map(|(index, line)| {
                let value = match grid.at(index, 0) {
                    Point::Absent => return None,
                    Point::Float(value) => SampleValue::Float(*value),
                    Point::Histogram(histogram) => SampleValue::Histogram(histogram.clone()),
                };
                Some(VectorSample { labels: line.labels.clone(), value })
            });
            let mut samples: Vec<VectorSample> = samples.collect();
            if !is_ordered(expr) {
                samples.sort_unstable_by(|left, right| left.labels.cmp(&right.labels));
            }
            Value::Vector(samples)
        }
        Evaluated::Ranges(ranges) => Value::Matrix(ranges.raw(&engine, at.0, expr.place)?),
    };
    Ok(engine.answer(at, value))
}

/// Returns whether an expression asks for an order of its answer.
fn is_ordered(expr: &Expr) -> bool {
    let mut ordered = false;
    walk(expr, &mut |expr| {
        ordered |= match &expr.kind {
            ExprKind::Call(call) => call.function.name.starts_with("sort"),
            ExprKind::Aggregate(aggregate) => matches!(aggregate.op, AggregateOp::TopK | AggregateOp::BottomK),
            _ => false,
        }
    });
    ordered
}

/// Returns the values of an expression at every step from `start` to `end`, both included.
///
/// Errors: as `instant`; and when the expression is not a scalar or an instant vector, or the step is not positive.
pub fn range(
    expr: &Expr,
    start: Timestamp,
    end: Timestamp,
    step: Span,
    source: &dyn Source,
    options: &Options,
    cancel: &Cancel,
) -> Result<Answer, EvalError> {
    if step.0 <= 0 {
        return Err(EvalError::execution("zero or negative query resolution step widths are not accepted", expr.place));
    }
    if end < start {
        return Err(EvalError::execution("end timestamp must not be before start time", expr.place));
    }
    let count = (end.since(start).0 / step.0) as usize + 1;
    if count > options.points_max {
        return Err(EvalError::TooManySteps { limit: options.points_max });
    }
    let steps = Steps { start: start.0, step: step.0, count };
    let engine = Engine::new(source, options, cancel, Steps { count, ..steps }, step);
    let value = match engine.eval(bare(expr), &steps)? {
        Evaluated::Scalar(column) => {
            let floats = (0..count).map(|index| (steps.at(index), column.at(index))).collect();
            vec![Series { floats, ..Series::default() }]
        }
        Evaluated::Vector(grid) => engine.finish(grid, expr.place)?.into_series(&steps),
        Evaluated::Text(_) | Evaluated::Ranges(_) => {
            let kind = if expr.value_type() == ValueType::Text { "string" } else { "range vector" };
            let message = format!("invalid expression type \"{kind}\" for range query, must be Scalar or instant Vector");
            return Err(EvalError::execution(message, expr.place));
        }
    };
    Ok(engine.answer(Timestamp(steps.last()), Value::Matrix(value)))
}
