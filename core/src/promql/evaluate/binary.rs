//! Binary operators.

use super::arithmetic::scalars;
use super::{Column, Engine, EvalError, Evaluated, Grid, Point, Steps};
use crate::promql::ast::{Binary, BinaryOp, Place};

/// On which side of an operator the scalar stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ScalarSide {
    Left,
    Right,
}

impl Engine<'_> {
    pub fn binary(&self, binary: &Binary, place: Place, steps: &Steps) -> Result<Evaluated, EvalError> {
        let left = self.eval(&binary.left, steps)?;
        let right = self.eval(&binary.right, steps)?;
        Ok(match (left, right) {
            (Evaluated::Scalar(left), Evaluated::Scalar(right)) => {
                Evaluated::Scalar(left.with(&right, |left, right| scalars(binary.op, left, right)))
            }
            (Evaluated::Vector(grid), Evaluated::Scalar(column)) => {
                Evaluated::Vector(self.with_scalar(binary, grid, &column, ScalarSide::Right, place, steps)?)
            }
            (Evaluated::Scalar(column), Evaluated::Vector(grid)) => {
                Evaluated::Vector(self.with_scalar(binary, grid, &column, ScalarSide::Left, place, steps)?)
            }
            (Evaluated::Vector(left), Evaluated::Vector(right)) => {
                let matching = binary.matching.clone().unwrap_or_default();
                Evaluated::Vector(match binary.op {
                    BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => self.set(binary.op, &left, &right, &matching, place)?,
                    _ => self.matched(binary, &left, &right, &matching, place)?,
                })
            }
            _ => return Err(EvalError::execution(format!("operator {} is not defined here", binary.op.symbol()), place)),
        })
    }

    fn with_scalar(
        &self,
        binary: &Binary,
        grid: Grid,
        column: &Column,
        side: ScalarSide,
        place: Place,
        steps: &Steps,
    ) -> Result<Grid, EvalError> {
        let mut grid = if grid.width == 1 && column.0.len() > 1 { self.widened(&grid, steps.count)? } else { grid };
        let (op, width) = (binary.op, grid.width);
        for (index, point) in grid.points.iter_mut().enumerate().filter(|(_, point)| !point.is_absent()) {
            let scalar = Point::Float(column.at(index % width));
            let outcome = match side {
                ScalarSide::Right => self.points(op, point, &scalar, place),
                ScalarSide::Left => self.points(op, &scalar, point, place),
            };
            *point = match outcome {
                None => Point::Absent,
                Some(outcome) if binary.returns_bool => Point::Float(f64::from(u8::from(outcome.keep))),
                Some(outcome) if !outcome.keep => Point::Absent,
                // A comparison answers the vector's value, on whichever side it stands.
                Some(_) if op.is_comparison() => continue,
                Some(outcome) => outcome.point,
            };
        }
        let grid = grid.without_empty_lines();
        let renames = op.changes_meaning() || binary.returns_bool;
        if renames { self.drop_names(grid, place) } else { Ok(grid) }
    }
}
