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
    /// Where a float is lower than the one before it in the window: its time, and the value before.
    pub falls: &'a [(i64, f64)],
    /// As `Series::starts`, of the whole series.
    pub starts: &'a [(i64, i64)],
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

    /// Returns since when the sample at an instant counts, where that is known.
    pub fn start_of(&self, at: i64) -> Option<i64> {
        self.starts.binary_search_by_key(&at, |(at, _)| *at).ok().map(|index| self.starts[index].1)
    }

    /// Returns whether the start of a sample says that it counts anew since the one before it.
    ///
    /// A start at the sample itself says that it is not known. A start at the sample before belongs to a series of differences,
    /// unless the start of that one is not known either: then nothing is known of all of them.
    /// Source: Prometheus `isStartTimestampReset`.
    pub fn restarts(&self, before: i64, at: i64) -> bool {
        match self.start_of(at) {
            Some(start) if start < at && start >= before => {
                start > before || self.start_of(before).is_some_and(|earlier| earlier < before)
            }
            _ => false,
        }
    }

    /// Returns whether a sample counts from before the one that precedes it, though not from the same instant as that one.
    ///
    /// Source: Prometheus `checkStartTimeOverlap`.
    pub fn overlaps(&self, before: i64, at: i64) -> bool {
        self.start_of(at).is_some_and(|start| start < before && self.start_of(before) != Some(start))
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
