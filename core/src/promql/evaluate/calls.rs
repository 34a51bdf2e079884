//! Calls of functions.

use super::engine::wrong_type;
use super::grid::{Column, Grid, Line, Point, SAME_LABELS};
use super::{Engine, EvalError, Evaluated, Note, Ranges, Steps, bare};
use crate::model::{LabelSet, METRIC_NAME, MatchOp, Matcher};
use crate::promql::ast::{Call, Edges, Expr, ExprKind, Place};
use crate::promql::functions::window::RangeBody;
use crate::promql::functions::{self, clock, math, native};
use crate::promql::signature::ValueType;

const ANCHORED: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
const SMOOTHED: [&str; 3] = ["delta", "increase", "rate"];

/// Functions over ranges that answer one of the samples, so that its name stays true.
const KEEPS_NAME: [&str; 2] = ["last_over_time", "first_over_time"];

/// Windows may be long, so that also one series takes its time.
const STEPS_BETWEEN_CHECKS: usize = 64;

/// Endings of names by which counters are known.
const COUNTER_ENDINGS: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];

fn argument(call: &Call, index: usize, place: Place) -> Result<&Expr, EvalError> {
    let missing = || EvalError::execution(format!("function {} lacks argument {}", call.function.name, index + 1), place);
    call.args.get(index).map(bare).ok_or_else(missing)
}

/// Returns the place from the first to the last argument.
fn arguments_place(call: &Call, place: Place) -> Place {
    match call.args.as_slice() {
        [] => place,
        [first, .., last] => Place { start: first.place.start, end: last.place.end },
        [only] => only.place,
    }
}

impl Engine<'_> {
    pub fn call(&self, call: &Call, expr: &Expr, steps: &Steps) -> Result<Evaluated, EvalError> {
        let place = expr.place;
        let name = call.function.name;
        let arg = |index| argument(call, index, place);
        let seconds = |time: i64| time as f64 / 1000.0;
        let constant = |value: f64| Ok(Evaluated::Scalar(Column(vec![value])));
        let vector = match name {
            "time" => return Ok(Evaluated::Scalar(self.times(steps))),
            "pi" => return constant(std::f64::consts::PI),
            "start" => return constant(seconds(self.start.0)),
            "end" => return constant(seconds(self.end.0)),
            "range" => return constant(self.end.since(self.start).seconds()),
            "step" => return constant(self.step.seconds()),
            "min_of" | "max_of" => {
                let (left, right) = (self.scalar(arg(0)?, steps)?, self.scalar(arg(1)?, steps)?);
                let pick = if name == "min_of" { math::min } else { math::max };
                return Ok(Evaluated::Scalar(left.with(&right, pick)));
            }
            "scalar" => return Ok(Evaluated::Scalar(self.only_float(&self.vector(arg(0)?, steps)?))),
            "vector" => self.unlabelled(self.scalar(arg(0)?, steps)?)?,
            "timestamp" => self.timestamp(arg(0)?, steps)?,
            "absent" => self.absent(arg(0)?, steps)?,
            "absent_over_time" => self.absent_over_time(arg(0)?, steps)?,
            "label_replace" => self.label_replace(call, place, steps)?,
            "label_join" => self.label_join(call, place, steps)?,
            "info" => self.info(call, place, steps)?,
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => self.sort(call, place, steps)?,
            "clamp" | "clamp_min" | "clamp_max" => self.clamp(call, place, steps)?,
            "round" => {
                let grid = self.vector(arg(0)?, steps)?;
                let multiple = if call.args.len() > 1 { self.scalar(arg(1)?, steps)? } else { Column(vec![1.0]) };
                self.map_floats(grid, steps, place, |step, value| math::round(value, multiple.at(step)))?
            }
            "histogram_quantile" => self.histogram_quantile(call, place, steps)?,
            "histogram_quantiles" => self.histogram_quantiles(call, place, steps)?,
            "histogram_fraction" => self.histogram_fraction(call, place, steps)?,
            _ => {
                if let Some(body) = functions::range_body(name) {
                    self.over_ranges(call, body, place, steps)?
                } else if let Some(body) = native::body(name) {
                    let counts_only = matches!(name, "histogram_count" | "histogram_sum" | "histogram_avg");
                    let arg = arg(0)?;
                    let grid = self.with_counts_only(counts_only, || self.vector(arg, steps))?.map(|point| match point {
                        Point::Histogram(histogram) => Point::Float(body(histogram)),
                        _ => Point::Absent,
                    });
                    self.drop_names(grid.without_empty_lines(), place)?
                } else if let Some(body) = math::body(name) {
                    let grid = self.vector(arg(0)?, steps)?;
                    self.map_floats(grid, steps, place, |_, value| body(value))?
                } else if let Some(body) = clock::body(name) {
                    match call.args.is_empty() {
                        true => {
                            self.unlabelled(Column(self.times(steps).0.into_iter().map(|time| body(time.floor())).collect()))?
                        }
                        false => {
                            let grid = self.vector(arg(0)?, steps)?;
                            self.map_floats(grid, steps, place, |_, value| body(value))?
                        }
                    }
                } else {
                    return Err(EvalError::NotServed { what: format!("function {name}"), place });
                }
            }
        };
        Ok(Evaluated::Vector(vector))
    }

    fn times(&self, steps: &Steps) -> Column {
        Column((0..steps.count).map(|step| steps.at(step) as f64 / 1000.0).collect())
    }

    /// Changes every float and leaves histograms out.
    fn map_floats(
        &self,
        mut grid: Grid,
        steps: &Steps,
        place: Place,
        change: impl Fn(usize, f64) -> f64,
    ) -> Result<Grid, EvalError> {
        let grid = match grid.width {
            // What is the same at every step may meet an argument that is not.
            1 if steps.count > 1 => self.widened(&grid, steps.count)?,
            width => {
                grid.width = width;
                grid
            }
        };
        let width = grid.width;
        let mut grid = grid;
        for (index, point) in grid.points.iter_mut().enumerate() {
            *point = point.float().map_or(Point::Absent, |value| Point::Float(change(index % width, value)));
        }
        self.drop_names(grid.without_empty_lines(), place)
    }

    /// Returns a vector with a value of its own for every step.
    pub fn widened(&self, grid: &Grid, width: usize) -> Result<Grid, EvalError> {
        let mut out = self.grid(width)?;
        self.budget.grow(&mut out.lease, width.saturating_mul(grid.lines.len()))?;
        for (line, row) in grid.rows() {
            out.lines.push(line.clone());
            match row {
                [only] => out.points.extend(std::iter::repeat_n(only, width).cloned()),
                row => out.points.extend_from_slice(row),
            }
        }
        Ok(out)
    }

    /// Returns the vector with one series without labels.
    fn unlabelled(&self, column: Column) -> Result<Grid, EvalError> {
        let mut grid = self.grid(column.0.len())?;
        self.add_line(&mut grid, Line { labels: LabelSet::empty(), drop_name: false })?;
        grid.points = column.0.into_iter().map(Point::Float).collect();
        Ok(grid)
    }

    /// Returns the float of a vector that has exactly one, NaN else.
    fn only_float(&self, grid: &Grid) -> Column {
        let only = |step| {
            let mut floats = (0..grid.lines.len()).filter_map(|line| grid.at(line, step).float());
            match (floats.next(), floats.next()) {
                (Some(only), None) => only,
                _ => f64::NAN,
            }
        };
        Column((0..grid.width).map(only).collect())
    }

    fn timestamp(&self, arg: &Expr, steps: &Steps) -> Result<Grid, EvalError> {
        let time = |at: i64| Point::Float(at as f64 / 1000.0);
        let grid = match &arg.kind {
            ExprKind::Vector(selector) => self.select_current(selector, arg.place, steps, |at, _| time(at))?,
            _ => {
                let grid = self.vector(arg, steps)?;
                let mut grid = self.widened(&grid, steps.count)?;
                for (index, point) in grid.points.iter_mut().enumerate().filter(|(_, point)| !point.is_absent()) {
                    *point = time(steps.at(index % steps.count));
                }
                grid
            }
        };
        self.drop_names(grid, arg.place)
    }

    fn clamp(&self, call: &Call, place: Place, steps: &Steps) -> Result<Grid, EvalError> {
        let scalar = |index| self.scalar(argument(call, index, place)?, steps);
        let (low, high) = match call.function.name {
            "clamp" => (scalar(1)?, scalar(2)?),
            "clamp_min" => (scalar(1)?, Column(vec![f64::INFINITY])),
            _ => (Column(vec![f64::NEG_INFINITY]), scalar(1)?),
        };
        let grid = self.vector(argument(call, 0, place)?, steps)?;
        let mut grid = self.widened(&grid, steps.count)?;
        for (index, point) in grid.points.iter_mut().enumerate() {
            let step = index % steps.count;
            let (low, high) = (low.at(step), high.at(step));
            *point = match point.float() {
                Some(_) if high < low => Point::Absent,
                Some(value) => Point::Float(math::max(low, math::min(high, value))),
                None => Point::Absent,
            };
        }
        self.drop_names(grid.without_empty_lines(), place)
    }

    /// Refuses edges that a function cannot deal with.
    fn check_edges(&self, ranges: &Ranges, name: &str, place: Place) -> Result<(), EvalError> {
        let (word, allowed): (_, &[&str]) = match ranges.edges {
            None => return Ok(()),
            Some(Edges::Anchored) => ("anchored", &ANCHORED),
            Some(Edges::Smoothed) => ("smoothed", &SMOOTHED),
        };
        if allowed.contains(&name) {
            return Ok(());
        }
        let message = format!("{word} modifier can only be used with: {} - not with {name}", allowed.join(", "));
        Err(EvalError::execution(message, place))
    }

    /// Evaluates a function over a range vector, series by series.
    fn over_ranges(&self, call: &Call, body: RangeBody, place: Place, steps: &Steps) -> Result<Grid, EvalError> {
        let name = call.function.name;
        let is_range = |arg: &&Expr| arg.value_type() == ValueType::RangeVector;
        let args: Vec<&Expr> = call.args.iter().map(bare).collect();
        let Some(range_arg) = args.iter().copied().find(is_range) else {
            return Err(wrong_type("range vector", argument(call, 0, place)?));
        };
        let mut scalars = Vec::new();
        for arg in args.iter().copied().filter(|arg| !is_range(arg)) {
            scalars.push(self.scalar(arg, steps)?);
        }
        let ranges = self.ranges(range_arg, steps)?;
        self.check_edges(&ranges, name, range_arg.place)?;
        // The first argument is not always the range.
        let first_place = args.first().map_or(place, |arg| arg.place);
        let notes_place = if matches!(name, "irate" | "idelta") { arguments_place(call, place) } else { first_place };
        let drops_name = !KEEPS_NAME.contains(&name);
        let wants_counter = matches!(name, "rate" | "increase");
        let mut grid = self.grid(steps.count)?;
        let mut numbers = vec![0.0; scalars.len()];
        for series in &ranges.series {
            self.alive()?;
            let mut line = match drops_name {
                true => self.renamed(&series.labels),
                false => Line { labels: series.labels.clone(), drop_name: false },
            };
            line.drop_name |= series.drop_name;
            let index = self.add_line(&mut grid, line)?;
            let row = &mut grid.points[index * steps.count..];
            let mut has_float = false;
            ranges.windows(series, steps, notes_place, |step, window| {
                if step % STEPS_BETWEEN_CHECKS == 0 {
                    self.alive()?;
                }
                for (number, column) in numbers.iter_mut().zip(&scalars) {
                    *number = column.at(step);
                }
                row[step] = body(&window, &numbers, &self.notes)?;
                has_float |= row[step].float().is_some();
                Ok(())
            })?;
            let metric = series.labels.name();
            if wants_counter && has_float && !metric.is_empty() && !COUNTER_ENDINGS.iter().any(|ending| metric.ends_with(ending))
            {
                self.notes.add(Note::PossiblyNotCounter { metric }, range_arg.place);
            }
        }
        let grid = grid.without_empty_lines();
        // Unlike elsewhere, series that become the same are refused here even when they have no step in common.
        if !self.options.delayed_name_removal && grid.has_same_labels() {
            return Err(EvalError::execution(SAME_LABELS, place));
        }
        Ok(grid)
    }

    /// Returns the labels that an absent series would have had by the matchers of a selector.
    fn labels_of_absent(arg: &Expr) -> LabelSet {
        let matchers: &[Matcher] = match &arg.kind {
            ExprKind::Vector(selector) => &selector.matchers,
            ExprKind::Matrix(selector) => &selector.vector.matchers,
            _ => &[],
        };
        let mut labels = LabelSet::empty().builder();
        let mut named: Vec<&str> = Vec::new();
        for matcher in matchers.iter().filter(|matcher| matcher.name != METRIC_NAME) {
            if matcher.op == MatchOp::Equal && !named.contains(&matcher.name.as_str()) {
                labels.set(&matcher.name, &matcher.value);
                named.push(&matcher.name);
            } else {
                labels.remove(&matcher.name);
            }
        }
        labels.build()
    }

    fn ones_where_absent(&self, arg: &Expr, present: &[bool]) -> Result<Grid, EvalError> {
        let mut grid = self.grid(present.len())?;
        if present.iter().all(|present| *present) {
            return Ok(grid);
        }
        self.add_line(&mut grid, Line { labels: Self::labels_of_absent(arg), drop_name: false })?;
        grid.points = present.iter().map(|present| if *present { Point::Absent } else { Point::Float(1.0) }).collect();
        Ok(grid)
    }

    fn absent(&self, arg: &Expr, steps: &Steps) -> Result<Grid, EvalError> {
        let grid = self.vector(arg, steps)?;
        let mut present = vec![false; grid.width];
        for (_, row) in grid.rows() {
            present.iter_mut().zip(row).for_each(|(present, point)| *present |= !point.is_absent());
        }
        self.ones_where_absent(arg, &present)
    }

    fn absent_over_time(&self, arg: &Expr, steps: &Steps) -> Result<Grid, EvalError> {
        let ranges = self.ranges(arg, steps)?;
        self.check_edges(&ranges, "absent_over_time", arg.place)?;
        let mut present = vec![false; steps.count];
        for series in &ranges.series {
            self.alive()?;
            ranges.windows(series, steps, arg.place, |step, _| {
                present[step] = true;
                Ok(())
            })?;
        }
        self.ones_where_absent(arg, &present)
    }
}
