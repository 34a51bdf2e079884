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

/// Returns the value between two samples by a straight line; a counter that was reset between them starts from zero.
pub(crate) fn interpolate(before: (i64, f64), behind: (i64, f64), at: i64, is_counter: bool) -> f64 {
    let from = if is_counter && behind.1 < before.1 { 0.0 } else { before.1 };
    from + (behind.1 - from) * (at - before.0) as f64 / (behind.0 - before.0) as f64
}

/// The part of the samples that counts under `anchored` or `smoothed`, and the values at both bounds.
pub(crate) struct Bounded<'a> {
    pub left: f64,
    pub right: f64,
    /// The samples strictly inside the bounds.
    pub inside: &'a [(i64, f64)],
}

/// Returns the values at the bounds of the range; `None` when no sample lies in it.
pub(crate) fn bounded<'a>(window: &Window<'a>, edges: Edges, is_counter: bool) -> Option<Bounded<'a>> {
    let (floats, start, end) = (window.floats, window.start, window.end);
    let mut last = floats.len().checked_sub(1)?;
    let mut first = floats[..last].partition_point(|(at, _)| *at <= start).saturating_sub(1);
    if edges == Edges::Smoothed {
        last = floats[..last].partition_point(|(at, _)| *at < end);
    }
    if floats[last].0 <= start {
        return None;
    }
    let smoothed = edges == Edges::Smoothed;
    let left = match floats.get(first + 1) {
        Some(next) if smoothed && floats[first].0 < start => interpolate(floats[first], *next, start, is_counter),
        _ => floats[first].1,
    };
    let right = match last.checked_sub(1) {
        Some(before) if smoothed && floats[last].0 > end => interpolate(floats[before], floats[last], end, is_counter),
        _ => floats[last].1,
    };
    if floats[first].0 <= start {
        first += 1;
    }
    let behind = if floats[last].0 >= end { last } else { last + 1 };
    Some(Bounded { left, right, inside: floats.get(first..behind).unwrap_or(&[]) })
}

/// Returns the samples of a range with values at exactly its bounds.
pub(crate) fn extend(window: &Window<'_>, edges: Edges) -> Vec<(i64, f64)> {
    let Some(bounded) = bounded(window, edges, false) else { return Vec::new() };
    let mut out = Vec::with_capacity(bounded.inside.len() + 2);
    out.push((window.start, bounded.left));
    out.extend_from_slice(bounded.inside);
    out.push((window.end, bounded.right));
    out
}
