//! Durations that are expressions.

use super::{Engine, EvalError};
use crate::promql::ast::{DurationExpr, DurationOp, Place};

impl Engine<'_> {
    /// Returns the seconds that a duration expression says.
    fn seconds(&self, expr: &DurationExpr, place: Place) -> Result<f64, EvalError> {
        Ok(match expr {
            DurationExpr::Literal(span) => span.seconds(),
            DurationExpr::Number(seconds) => *seconds,
            DurationExpr::Step => self.step.seconds(),
            DurationExpr::Range => self.end.since(self.start).seconds(),
            DurationExpr::Negate(inner) => -self.seconds(inner, place)?,
            DurationExpr::Plus(inner) | DurationExpr::Paren(inner) => self.seconds(inner, place)?,
            DurationExpr::Binary { op, left, right } => {
                let (left, right) = (self.seconds(left, place)?, self.seconds(right, place)?);
                match op {
                    DurationOp::Add => left + right,
                    DurationOp::Sub => left - right,
                    DurationOp::Mul => left * right,
                    DurationOp::Div if right == 0.0 => return Err(EvalError::execution("division by zero", place)),
                    DurationOp::Div => left / right,
                    DurationOp::Mod if right == 0.0 => return Err(EvalError::execution("modulo by zero", place)),
                    DurationOp::Mod => left % right,
                    DurationOp::Pow => left.powf(right),
                    DurationOp::Min => left.min(right),
                    DurationOp::Max => left.max(right),
                }
            }
        })
    }

    /// Returns the milliseconds that an offset says; it may be negative.
    pub fn offset(&self, expr: Option<&DurationExpr>, place: Place) -> Result<i64, EvalError> {
        let milliseconds = match expr {
            None => return Ok(0),
            Some(DurationExpr::Literal(span)) => return Ok(span.0),
            Some(expr) => self.seconds(expr, place)? * 1000.0,
        };
        // Fractions of seconds are not exact in binary; what is meant as a whole number of milliseconds stays one.
        let rounded = milliseconds.round();
        let whole = if (milliseconds - rounded).abs() < 1e-6 { rounded } else { milliseconds.trunc() };
        if !whole.is_finite() || whole.abs() > 9.2e15 {
            return Err(EvalError::execution("duration is out of range", place));
        }
        Ok(whole as i64)
    }

    /// Returns the milliseconds that a range or a step says.
    ///
    /// Errors: when it is not positive.
    pub fn length(&self, expr: &DurationExpr, place: Place) -> Result<i64, EvalError> {
        match self.offset(Some(expr), place)? {
            length if length > 0 => Ok(length),
            _ => Err(EvalError::execution("duration must be greater than 0", place)),
        }
    }
}
