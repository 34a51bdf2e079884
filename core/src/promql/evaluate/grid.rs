//! Instant vectors over all steps of an evaluation.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::{EvalError, Lease, Steps};
use crate::model::histogram::Histogram;
use crate::model::{LabelSet, METRIC_NAME, Series};
use crate::promql::ast::Place;

/// The value of a series at one step.
#[derive(Clone, Debug, Default)]
pub(crate) enum Point {
    #[default]
    Absent,
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl Point {
    pub fn is_absent(&self) -> bool {
        matches!(self, Point::Absent)
    }

    pub fn float(&self) -> Option<f64> {
        match self {
            Point::Float(value) => Some(*value),
            _ => None,
        }
    }
}

/// The labels of a row of a grid.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub labels: LabelSet,
    /// The metric's name and its kin go away at the end of the evaluation.
    pub drop_name: bool,
}

/// A scalar over all steps.
///
/// Shape: one number for each step, or a single one that holds at every step.
#[derive(Clone, Debug)]
pub(crate) struct Column(pub Vec<f64>);

impl Column {
    pub fn at(&self, step: usize) -> f64 {
        match self.0.as_slice() {
            [only] => *only,
            numbers => numbers[step],
        }
    }

    /// Combines two scalars step by step.
    pub fn with(&self, other: &Column, join: impl Fn(f64, f64) -> f64) -> Column {
        let steps = self.0.len().max(other.0.len());
        Column((0..steps).map(|step| join(self.at(step), other.at(step))).collect())
    }
}

/// An instant vector over all steps.
///
/// Shape: `points` holds `width` values for each line, line by line; `width` is the number of steps, or 1 for a vector that is the
/// same at every step.
#[derive(Debug)]
pub(crate) struct Grid {
    pub width: usize,
    pub lines: Vec<Line>,
    pub points: Vec<Point>,
    pub lease: Lease,
}

/// Returns whether a label says what a metric is, and so goes away when an operation changes what it is.
///
/// Source: Prometheus `schema.IsMetadataLabel`.
pub(crate) fn is_metadata_label(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// Returns the labels without those that say what the metric is.
pub(crate) fn without_metadata(labels: &LabelSet) -> LabelSet {
    if labels.iter().any(|(name, _)| is_metadata_label(name)) { labels.without(is_metadata_label) } else { labels.clone() }
}

pub(crate) const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

impl Grid {
    pub fn at(&self, line: usize, step: usize) -> &Point {
        let step = if self.width == 1 { 0 } else { step };
        &self.points[line * self.width + step]
    }

    /// Returns the values of one line.
    pub fn row(&self, line: usize) -> &[Point] {
        &self.points[line * self.width..(line + 1) * self.width]
    }

    pub fn rows(&self) -> impl Iterator<Item = (&Line, &[Point])> {
        self.lines.iter().zip(self.points.chunks_exact(self.width.max(1)))
    }

    /// Changes every value in place.
    pub fn map(mut self, mut change: impl FnMut(&Point) -> Point) -> Grid {
        for point in self.points.iter_mut().filter(|point| !point.is_absent()) {
            *point = change(point);
        }
        self
    }

    /// Drops the lines that have no value at any step.
    pub fn without_empty_lines(mut self) -> Grid {
        let width = self.width;
        let keep: Vec<bool> =
            self.points.chunks_exact(width.max(1)).map(|row| row.iter().any(|point| !point.is_absent())).collect();
        if keep.iter().all(|keep| *keep) {
            return self;
        }
        let mut to = 0;
        for from in (0..self.lines.len()).filter(|line| keep[*line]) {
            if from != to {
                self.lines.swap(from, to);
                for step in 0..width {
                    self.points.swap(from * width + step, to * width + step);
                }
            }
            to += 1;
        }
        self.lines.truncate(to);
        self.points.truncate(to * width);
        self
    }

    /// Returns whether two lines have equal labels.
    pub fn has_same_labels(&self) -> bool {
        let mut seen: HashSet<&LabelSet> = HashSet::default();
        !self.lines.iter().all(|line| seen.insert(&line.labels))
    }

    /// Joins lines of equal labels.
    ///
    /// Errors: when two of them have a value at the same step.
    pub fn merged(mut self, place: Place) -> Result<Grid, EvalError> {
        let mut first: HashMap<LabelSet, usize> = HashMap::default();
        let mut same: Vec<(usize, usize)> = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            match first.get(&line.labels) {
                Some(earlier) => same.push((*earlier, index)),
                None => drop(first.insert(line.labels.clone(), index)),
            }
        }
        if same.is_empty() {
            return Ok(self);
        }
        for (to, from) in same {
            for step in 0..self.width {
                let point = std::mem::take(&mut self.points[from * self.width + step]);
                if point.is_absent() {
                    continue;
                }
                let target = &mut self.points[to * self.width + step];
                if !target.is_absent() {
                    return Err(EvalError::execution(SAME_LABELS, place));
                }
                *target = point;
            }
        }
        Ok(self.without_empty_lines())
    }

    /// Returns the series of a range query, sorted by labels.
    pub fn into_series(self, steps: &Steps) -> Vec<Series> {
        let mut out: Vec<Series> = Vec::with_capacity(self.lines.len());
        for (index, line) in self.lines.iter().enumerate() {
            let mut series = Series { labels: line.labels.clone(), ..Series::default() };
            for step in 0..steps.count {
                match self.at(index, step) {
                    Point::Absent => {}
                    Point::Float(value) => series.floats.push((steps.at(step), *value)),
                    Point::Histogram(histogram) => series.histograms.push((steps.at(step), histogram.clone())),
                }
            }
            if !series.floats.is_empty() || !series.histograms.is_empty() {
                out.push(series);
            }
        }
        out.sort_by(|a, b| a.labels.cmp(&b.labels));
        out
    }
}
