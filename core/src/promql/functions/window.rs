//! What a function over a range vector sees of one series at one step.

use std::sync::Arc;

use crate::model::LabelSet;
use crate::model::histogram::Histogram;
use crate::promql::ast::{Edges, Place};
use crate::promql::evaluate::{EvalError, Notes, Point};

/// The samples of one series in one range.
///
/// Shape: samples lie after `start` and not after `end`, in order of time, at least one in all; with `edges` they reach beyond both
/// bounds by the lookback, so that the body finds the samples around the bounds.
/// Unit: times are milliseconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    pub floats: &'a [(i64, f64)],
    pub histograms: &'a [(i64, Arc<Histogram>)],
    pub start: i64,
    pub end: i64,
    /// The instant of the step, which offset and `@` do not move.
    pub now: i64,
    pub edges: Option<Edges>,
    pub labels: &'a LabelSet,
    /// Where the range vector stands in the text.
    pub place: Place,
}

impl Window<'_> {
    /// Returns the length of the range in seconds.
    pub fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1000.0
    }

    pub fn metric(&self) -> &str {
        self.labels.name()
    }

    /// Returns the samples of both kinds in order of time.
    pub fn both(&self) -> impl Iterator<Item = (i64, Sample<'_>)> {
        let mut floats = self.floats.iter().peekable();
        let mut histograms = self.histograms.iter().peekable();
        std::iter::from_fn(move || {
            let float_first = match (floats.peek(), histograms.peek()) {
                (Some((float, _)), Some((histogram, _))) => float < histogram,
                (float, _) => float.is_some(),
            };
            if float_first {
                floats.next().map(|(at, value)| (*at, Sample::Float(*value)))
            } else {
                histograms.next().map(|(at, histogram)| (*at, Sample::Histogram(histogram)))
            }
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Sample<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

/// The body of a function over a range vector; it gets its scalar arguments in order.
pub(crate) type RangeBody = fn(&Window<'_>, &[f64], &Notes) -> Result<Point, EvalError>;
