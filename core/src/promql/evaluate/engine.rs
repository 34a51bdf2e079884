//! One evaluation: what it reads from, what it may hold, and the walk over the tree.

use std::cell::{Cell, RefCell};

use foldhash::{HashMap, HashMapExt};

use super::budget::Budget;
use super::grid::without_metadata;
use super::invariant::is_invariant;
use super::{Cancel, Column, EvalError, Grid, Line, Notes, Options, Point, Ranges, Steps};
use crate::model::{LabelSet, Source};
use crate::promql::ast::{At, Expr, ExprKind, Place};
use crate::promql::value::{Answer, Value};
use crate::time::{Span, Timestamp};

/// The value of an expression while it is evaluated.
#[derive(Debug)]
pub(crate) enum Evaluated {
    Scalar(Column),
    Text(String),
    Vector(Grid),
    Ranges(Ranges),
}

pub(crate) struct Engine<'a> {
    pub source: &'a dyn Source,
    pub options: &'a Options,
    pub cancel: &'a Cancel,
    /// The first instant of the whole query.
    pub start: Timestamp,
    /// The last instant of the whole query.
    pub end: Timestamp,
    /// The step of the whole query; zero for an instant query.
    pub step: Span,
    pub budget: Budget,
    pub notes: Notes,
    /// Inside a function that reads only count and sum of histograms, and outside of subqueries.
    pub counts_only: Cell<bool>,
    /// Inside a subquery, whose steps are not those of the query.
    within_subquery: Cell<bool>,
    samples_per_step: RefCell<Vec<u64>>,
}

impl<'a> Engine<'a> {
    pub fn new(source: &'a dyn Source, options: &'a Options, cancel: &'a Cancel, steps: Steps, step: Span) -> Engine<'a> {
        Engine {
            source,
            options,
            cancel,
            start: Timestamp(steps.start),
            end: Timestamp(steps.last()),
            step,
            budget: Budget::new(options.samples_max),
            notes: Notes::default(),
            counts_only: Cell::new(false),
            within_subquery: Cell::new(false),
            samples_per_step: RefCell::new(vec![0; steps.count]),
        }
    }

    /// Returns an error when the evaluation was cancelled.
    pub fn alive(&self) -> Result<(), EvalError> {
        if self.cancel.is_cancelled() { Err(EvalError::Cancelled) } else { Ok(()) }
    }

    /// Returns the instant that `@` names.
    pub fn at(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Instant(at) => at.0,
            At::Start => self.start.0,
            At::End => self.end.0,
        })
    }

    pub fn answer(self, at: Timestamp, value: Value) -> Answer {
        let (warnings, infos) = self.notes.texts(self.options.text.as_deref());
        let samples_per_step = self.samples_per_step.into_inner();
        Answer { at, value, warnings, infos, stats: self.budget.stats(), samples_per_step }
    }

    /// Returns the value of an expression at every step; one that is the same at every step is evaluated once.
    pub fn eval(&self, expr: &Expr, steps: &Steps) -> Result<Evaluated, EvalError> {
        self.alive()?;
        let steps = &if steps.count > 1 && is_invariant(expr) { steps.first_only() } else { *steps };
        match &expr.kind {
            ExprKind::Number(number) | ExprKind::DurationNumber(number) => Ok(Evaluated::Scalar(Column(vec![*number]))),
            ExprKind::Text(text) => Ok(Evaluated::Text(text.clone())),
            ExprKind::Vector(selector) => self.vector_selector(selector, expr.place, steps).map(Evaluated::Vector),
            ExprKind::Matrix(selector) => self.range_selector(selector, expr.place, steps).map(Evaluated::Ranges),
            ExprKind::Subquery(subquery) => self.subquery(subquery, expr.place, steps).map(Evaluated::Ranges),
            ExprKind::Call(call) => self.call(call, expr, steps),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr.place, steps).map(Evaluated::Vector),
            ExprKind::Binary(binary) => self.binary(binary, expr.place, steps),
            ExprKind::Unary { negative, operand } => self.unary(*negative, operand, steps),
            ExprKind::Paren(inner) => self.eval(inner, steps),
        }
    }

    /// Counts the samples that a selector looked at, one number for each step; a single one holds at every step.
    pub fn count_samples(&self, counts: &[u64]) {
        if self.within_subquery.get() {
            return;
        }
        for (index, total) in self.samples_per_step.borrow_mut().iter_mut().enumerate() {
            *total += if let [only] = counts { *only } else { counts.get(index).copied().unwrap_or(0) };
        }
    }

    /// Evaluates the inside of a subquery: its samples are not those of a step of the query.
    pub fn inside_subquery<T>(&self, evaluate: impl FnOnce() -> T) -> T {
        let before = self.within_subquery.replace(true);
        let value = self.with_counts_only(false, evaluate);
        self.within_subquery.set(before);
        value
    }

    /// Evaluates something with `counts_only` set to a value.
    pub fn with_counts_only<T>(&self, counts_only: bool, evaluate: impl FnOnce() -> T) -> T {
        let before = self.counts_only.replace(counts_only);
        let value = evaluate();
        self.counts_only.set(before);
        value
    }

    pub fn vector(&self, expr: &Expr, steps: &Steps) -> Result<Grid, EvalError> {
        match self.eval(expr, steps)? {
            Evaluated::Vector(grid) => Ok(grid),
            _ => Err(wrong_type("instant vector", expr)),
        }
    }

    pub fn scalar(&self, expr: &Expr, steps: &Steps) -> Result<Column, EvalError> {
        match self.eval(expr, steps)? {
            Evaluated::Scalar(column) => Ok(column),
            _ => Err(wrong_type("scalar", expr)),
        }
    }

    pub fn ranges(&self, expr: &Expr, steps: &Steps) -> Result<Ranges, EvalError> {
        match self.eval(expr, steps)? {
            Evaluated::Ranges(ranges) => Ok(ranges),
            _ => Err(wrong_type("range vector", expr)),
        }
    }

    fn unary(&self, negative: bool, operand: &Expr, steps: &Steps) -> Result<Evaluated, EvalError> {
        let value = self.eval(operand, steps)?;
        Ok(match value {
            value if !negative => value,
            Evaluated::Scalar(column) => Evaluated::Scalar(Column(column.0.into_iter().map(|number| -number).collect())),
            Evaluated::Vector(grid) => {
                let grid = grid.map(|point| match point {
                    Point::Float(value) => Point::Float(-value),
                    Point::Histogram(histogram) => {
                        let mut histogram = histogram.as_ref().clone();
                        histogram.multiply(-1.0);
                        Point::Histogram(histogram.into())
                    }
                    Point::Absent => Point::Absent,
                });
                Evaluated::Vector(self.drop_names(grid, operand.place)?)
            }
            Evaluated::Text(_) | Evaluated::Ranges(_) => return Err(wrong_type("scalar or instant vector", operand)),
        })
    }

    /// Takes away the labels that say what the metric is, now or at the end as the options say.
    ///
    /// Errors: when two series become the same.
    pub fn drop_names(&self, mut grid: Grid, place: Place) -> Result<Grid, EvalError> {
        if self.options.delayed_name_removal {
            for line in &mut grid.lines {
                line.drop_name = true;
            }
            return Ok(grid);
        }
        for line in &mut grid.lines {
            line.labels = without_metadata(&line.labels);
        }
        grid.merged(place)
    }

    /// Returns labels and flag of a series whose meaning an operation changes.
    pub fn renamed(&self, labels: &LabelSet) -> Line {
        match self.options.delayed_name_removal {
            true => Line { labels: labels.clone(), drop_name: true },
            false => Line { labels: without_metadata(labels), drop_name: false },
        }
    }

    /// Takes away names that were to go at the end.
    ///
    /// Errors: when two series become the same.
    pub fn finish(&self, mut grid: Grid, place: Place) -> Result<Grid, EvalError> {
        for line in grid.lines.iter_mut().filter(|line| line.drop_name) {
            line.labels = without_metadata(&line.labels);
            line.drop_name = false;
        }
        grid.merged(place)
    }

    /// Returns an empty vector with the width that results of these inputs have.
    pub fn grid(&self, width: usize) -> Result<Grid, EvalError> {
        Ok(Grid { width, lines: Vec::new(), points: Vec::new(), lease: self.budget.lease(0)? })
    }

    /// Adds a line without values and returns its number.
    pub fn add_line(&self, grid: &mut Grid, line: Line) -> Result<usize, EvalError> {
        self.budget.grow(&mut grid.lease, grid.width)?;
        grid.lines.push(line);
        grid.points.resize_with(grid.points.len() + grid.width, Point::default);
        Ok(grid.lines.len() - 1)
    }
}

/// Lines of a result, found by their labels.
pub(crate) struct LineIndex(HashMap<LabelSet, usize>);

impl LineIndex {
    pub fn new() -> LineIndex {
        LineIndex(HashMap::new())
    }

    /// Returns the number of the line with these labels; it is added when it is missing.
    pub fn find_or_add(&mut self, engine: &Engine<'_>, grid: &mut Grid, line: Line) -> Result<usize, EvalError> {
        if let Some(index) = self.0.get(&line.labels) {
            return Ok(*index);
        }
        let labels = line.labels.clone();
        let index = engine.add_line(grid, line)?;
        self.0.insert(labels, index);
        Ok(index)
    }
}

pub(crate) fn wrong_type(wanted: &str, expr: &Expr) -> EvalError {
    let found = expr.value_type().name();
    EvalError::execution(format!("expected type {wanted}, got {found}"), expr.place)
}
