//! Subqueries: an instant vector evaluated at steps of its own becomes a range vector.

use std::sync::Arc;

use super::{Engine, EvalError, Evaluated, Point, RangeSeries, Ranges, Steps};
use crate::model::LabelSet;
use crate::model::histogram::ResetHint;
use crate::promql::ast::{Place, Subquery};

/// The most steps of one subquery.
const SUBQUERY_STEPS_MAX: i64 = 10_000_000;

impl Engine<'_> {
    /// Returns the inner steps: multiples of the step since the epoch, so that they do not move with the query.
    fn inner_steps(&self, after: i64, until: i64, step: i64, place: Place) -> Result<Steps, EvalError> {
        let start = (after.div_euclid(step) + 1) * step;
        let count = if until < start { 0 } else { (until - start) / step + 1 };
        if count > SUBQUERY_STEPS_MAX {
            return Err(EvalError::execution(format!("subquery has {count} steps, the limit is {SUBQUERY_STEPS_MAX}"), place));
        }
        Ok(Steps { start, step, count: count as usize })
    }

    pub fn subquery(&self, subquery: &Subquery, place: Place, steps: &Steps) -> Result<Ranges, EvalError> {
        let range = self.length(&subquery.range, place)?;
        let step = match &subquery.step {
            Some(step) => self.length(step, place)?,
            None => self.options.default_step.0.max(1),
        };
        let offset = self.offset(subquery.offset.as_ref(), place)?;
        let at = self.at(subquery.at);
        let first = at.unwrap_or(steps.start).saturating_sub(offset);
        let last = at.unwrap_or(steps.last()).saturating_sub(offset);
        let inner = self.inner_steps(first.saturating_sub(range), last, step, place)?;
        let mut ranges = Ranges {
            series: Vec::new(),
            range,
            offset,
            at,
            edges: None,
            lookback: self.options.lookback.0,
            lease: self.budget.lease(0)?,
        };
        if inner.count == 0 {
            return Ok(ranges);
        }
        match self.inside_subquery(|| self.eval(&subquery.expr, &inner))? {
            Evaluated::Scalar(column) => {
                let floats = (0..inner.count).map(|step| (inner.at(step), column.at(step))).collect();
                ranges.lease = self.budget.lease(inner.count)?;
                ranges.series.push(RangeSeries::of(LabelSet::empty(), false, floats));
            }
            Evaluated::Vector(grid) => {
                ranges.lease = self.budget.lease(grid.lines.len() * inner.count)?;
                for (index, line) in grid.lines.iter().enumerate() {
                    let (labels, drop_name) = (line.labels.clone(), line.drop_name);
                    let mut series = RangeSeries::of(labels, drop_name, Vec::new());
                    for step in 0..inner.count {
                        match grid.at(index, step) {
                            Point::Absent => {}
                            Point::Float(value) => series.floats.push((inner.at(step), *value)),
                            Point::Histogram(histogram) => {
                                // The steps may skip the sample that a hint speaks of, or see it twice.
                                let mut histogram = histogram.clone();
                                if matches!(histogram.reset_hint, ResetHint::Reset | ResetHint::NoReset) {
                                    Arc::make_mut(&mut histogram).reset_hint = ResetHint::Unknown;
                                }
                                series.histograms.push((inner.at(step), histogram));
                            }
                        }
                    }
                    ranges.series.push(series);
                }
            }
            Evaluated::Text(_) | Evaluated::Ranges(_) => {
                return Err(super::engine::wrong_type("instant vector", &subquery.expr));
            }
        }
        Ok(ranges)
    }
}
