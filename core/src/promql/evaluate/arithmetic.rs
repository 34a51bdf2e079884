//! Operators on two values of one step.

use std::sync::Arc;

use super::{Engine, HistogramOperation, Note, Point};
use crate::model::Histogram;
use crate::model::histogram::{Incompatible, Reconciled, ResetHint};
use crate::promql::ast::{BinaryOp, Place};

impl BinaryOp {
    /// Returns whether the result is another quantity than the operands, so that their name no longer fits.
    pub(crate) fn changes_meaning(self) -> bool {
        use BinaryOp::{Add, Atan2, Div, Mod, Mul, Pow, Sub};
        matches!(self, Add | Sub | Mul | Div | Mod | Pow | Atan2)
    }
}

/// Returns the result of an operator on two numbers; comparisons answer 0 or 1.
pub(super) fn scalars(op: BinaryOp, left: f64, right: f64) -> f64 {
    match floats(op, left, right) {
        (value, _) if !op.is_comparison() => value,
        (_, holds) => f64::from(u8::from(holds)),
    }
}

/// Returns the result of an operator on two numbers, and whether a comparison holds; its result is the left number.
fn floats(op: BinaryOp, left: f64, right: f64) -> (f64, bool) {
    match op {
        BinaryOp::Add => (left + right, true),
        BinaryOp::Sub => (left - right, true),
        BinaryOp::Mul => (left * right, true),
        BinaryOp::Div => (left / right, true),
        BinaryOp::Mod => (left % right, true),
        BinaryOp::Pow => (left.powf(right), true),
        BinaryOp::Atan2 => (left.atan2(right), true),
        BinaryOp::Equal => (left, left == right),
        BinaryOp::NotEqual => (left, left != right),
        BinaryOp::Less => (left, left < right),
        BinaryOp::LessOrEqual => (left, left <= right),
        BinaryOp::Greater => (left, left > right),
        BinaryOp::GreaterOrEqual => (left, left >= right),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::TrimUpper | BinaryOp::TrimLower => (f64::NAN, false),
    }
}

/// What an operator makes of two points.
pub(super) struct Outcome {
    pub point: Point,
    /// False: a comparison does not hold.
    pub keep: bool,
}

fn kept(point: Point) -> Option<Outcome> {
    Some(Outcome { point, keep: true })
}

fn changed(histogram: &Histogram, change: impl FnOnce(&mut Histogram)) -> Option<Outcome> {
    let mut histogram = histogram.clone();
    change(&mut histogram);
    histogram.compact();
    kept(Point::Histogram(Arc::new(histogram)))
}

impl Engine<'_> {
    /// Returns the result of an operator on two points; `None` when it has none, which is remarked.
    pub(super) fn points(&self, op: BinaryOp, left: &Point, right: &Point, place: Place) -> Option<Outcome> {
        let kind = |point: &Point| if matches!(point, Point::Histogram(_)) { "histogram" } else { "float" };
        match (left, right) {
            (Point::Float(left), Point::Float(right)) if !matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) => {
                let (value, keep) = floats(op, *left, *right);
                return Some(Outcome { point: Point::Float(value), keep });
            }
            (Point::Float(left), Point::Histogram(right)) if op == BinaryOp::Mul => {
                return changed(right, |histogram| histogram.multiply(*left));
            }
            (Point::Histogram(left), Point::Float(right)) => match op {
                BinaryOp::Mul => return changed(left, |histogram| histogram.multiply(*right)),
                BinaryOp::Div => return changed(left, |histogram| histogram.divide(*right)),
                BinaryOp::TrimUpper => return changed(left, |histogram| histogram.trim_above(*right)),
                BinaryOp::TrimLower => return changed(left, |histogram| histogram.trim_below(*right)),
                _ => {}
            },
            (Point::Histogram(left), Point::Histogram(right)) => match op {
                BinaryOp::Add => {
                    let mut sum = left.as_ref().clone();
                    self.remark(sum.add(right), HistogramOperation::Addition, op, place)?;
                    return changed(&sum, |_| {});
                }
                BinaryOp::Sub => {
                    let mut difference = left.as_ref().clone();
                    self.remark(difference.subtract(right), HistogramOperation::Subtraction, op, place)?;
                    return changed(&difference, |histogram| histogram.reset_hint = ResetHint::Gauge);
                }
                BinaryOp::Equal | BinaryOp::NotEqual => {
                    let keep = left.same_data(right) == (op == BinaryOp::Equal);
                    return Some(Outcome { point: Point::Histogram(left.clone()), keep });
                }
                _ => {}
            },
            (Point::Absent, _) | (_, Point::Absent) => return None,
            _ => {}
        }
        self.notes.add(Note::IncompatibleTypes { left: kind(left), operator: op.symbol(), right: kind(right) }, place);
        None
    }

    fn remark(
        &self,
        outcome: Result<Reconciled, Incompatible>,
        operation: HistogramOperation,
        op: BinaryOp,
        place: Place,
    ) -> Option<()> {
        match outcome {
            Err(Incompatible) => {
                self.notes.add(Note::IncompatibleBuckets { operator: op.symbol() }, place);
                None
            }
            Ok(reconciled) => {
                if reconciled.hints_collide {
                    self.notes.add(Note::CollidingHints(operation), place);
                }
                if reconciled.bounds_differ {
                    self.notes.add(Note::ReconciledBuckets(operation), place);
                }
                Some(())
            }
        }
    }
}
