//! Ranges with `anchored` or `smoothed` edges: what counts are the values at the bounds, nothing is extrapolated.

use std::sync::Arc;

use super::window::Window;
use crate::model::histogram::{Histogram, Incompatible, Reconciled, ResetHint};
use crate::promql::ast::{Edges, Place};
use crate::promql::evaluate::{HistogramOperation, Note, Notes, Point};

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
    if floats[last].0 <= start || (edges == Edges::Smoothed && floats[first].0 > end) {
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

/// Returns the part of an anchored window that counts: from the last sample at or before its start. `None` when the range is empty.
pub(crate) fn anchored<'a>(window: &Window<'a>) -> Option<Window<'a>> {
    if window.edges.is_none() {
        return Some(*window);
    }
    let start = window.start;
    let floats = window.floats.partition_point(|(at, _)| *at <= start);
    let histograms = window.histograms.partition_point(|(at, _)| *at <= start);
    if floats == window.floats.len() && histograms == window.histograms.len() {
        return None;
    }
    let float = floats.checked_sub(1).map(|index| window.floats[index].0);
    let histogram = histograms.checked_sub(1).map(|index| window.histograms[index].0);
    let from_float = if float.is_some() && float > histogram { floats - 1 } else { floats };
    let from_histogram = if histogram.is_some() && histogram > float { histograms - 1 } else { histograms };
    Some(Window { floats: &window.floats[from_float..], histograms: &window.histograms[from_histogram..], ..*window })
}

/// Returns growth over a range, from bound to bound.
///
/// Source: Prometheus `extendedRate`, `extendedHistogramRate`.
pub(super) fn growth(window: &Window<'_>, edges: Edges, notes: &Notes, is_counter: bool, per_second: bool) -> Point {
    if window.histograms.is_empty() {
        return floats(window, edges, is_counter, per_second);
    }
    if !window.floats.is_empty() {
        notes.add(Note::MixedSamples { metric: window.metric() }, window.place);
        return Point::Absent;
    }
    match histograms(window, edges, notes, is_counter) {
        Ok(None) => Point::Absent,
        Ok(Some(mut growth)) => {
            if per_second {
                growth.divide(window.seconds());
            }
            growth.reset_hint = ResetHint::Gauge;
            growth.compact();
            Point::Histogram(Arc::new(growth))
        }
        Err(Incompatible) => {
            notes.add(Note::MixedBuckets { metric: window.metric() }, window.place);
            Point::Absent
        }
    }
}

fn floats(window: &Window<'_>, edges: Edges, is_counter: bool, per_second: bool) -> Point {
    let Some(bounded) = bounded(window, edges, is_counter) else { return Point::Absent };
    let mut growth = bounded.right - bounded.left;
    if is_counter {
        let (mut correction, mut before) = (0.0, bounded.left);
        for value in bounded.inside.iter().map(|(_, value)| *value).chain([bounded.right]) {
            if value < before {
                correction += before;
            }
            before = value;
        }
        growth += correction;
    }
    Point::Float(if per_second { growth / window.seconds() } else { growth })
}

fn remark(reconciled: Reconciled, operation: HistogramOperation, notes: &Notes, place: Place) {
    if reconciled.bounds_differ {
        notes.add(Note::ReconciledBuckets(operation), place);
    }
}

type Stored = (i64, Arc<Histogram>);

/// Returns the histogram between two samples by straight lines; a counter that was reset between them starts from zero.
pub(crate) fn interpolate_histograms(
    before: &Stored,
    behind: &Stored,
    at: i64,
    is_counter: bool,
    notes: &Notes,
    place: Place,
) -> Result<Histogram, Incompatible> {
    if before.1.has_custom_buckets() != behind.1.has_custom_buckets() {
        return Err(Incompatible);
    }
    if at == before.0 {
        return Ok(before.1.as_ref().clone());
    }
    let mut result = behind.1.as_ref().clone();
    if at == behind.0 {
        return Ok(result);
    }
    let share = (at - before.0) as f64 / (behind.0 - before.0) as f64;
    if is_counter && behind.1.is_reset_from(&before.1) {
        result.multiply(share);
        return Ok(result);
    }
    remark(result.subtract(&before.1)?, HistogramOperation::Subtraction, notes, place);
    result.multiply(share);
    remark(result.add(&before.1)?, HistogramOperation::Addition, notes, place);
    Ok(result)
}

fn histograms(window: &Window<'_>, edges: Edges, notes: &Notes, is_counter: bool) -> Result<Option<Histogram>, Incompatible> {
    let (list, start, end, place) = (window.histograms, window.start, window.end, window.place);
    let metric = window.metric();
    let smoothed = edges == Edges::Smoothed;
    let Some(mut last) = list.len().checked_sub(1) else { return Ok(None) };
    let first = list[..last].partition_point(|(at, _)| *at <= start).saturating_sub(1);
    if smoothed {
        last = list[..last].partition_point(|(at, _)| *at < end);
    }
    if list[last].0 <= start || (smoothed && list[first].0 > end) {
        return Ok(None);
    }
    let used = &list[first..=last];
    if used.iter().any(|(_, histogram)| histogram.has_custom_buckets() != used[0].1.has_custom_buckets()) {
        return Err(Incompatible);
    }
    let is_gauge = |histogram: &Histogram| histogram.reset_hint == ResetHint::Gauge;
    if is_counter && used.iter().any(|(_, histogram)| is_gauge(histogram)) {
        notes.add(Note::NotCounter { metric }, place);
    }
    let left = match list.get(first + 1) {
        Some(next) if smoothed && list[first].0 < start => {
            interpolate_histograms(&list[first], next, start, is_counter, notes, place)?
        }
        _ => list[first].1.as_ref().clone(),
    };
    let right = match last.checked_sub(1) {
        Some(before) if smoothed && list[last].0 > end => {
            interpolate_histograms(&list[before], &list[last], end, is_counter, notes, place)?
        }
        _ => list[last].1.as_ref().clone(),
    };
    let gauges = is_gauge(&left) && is_gauge(&right);
    if !is_counter && !gauges {
        notes.add(Note::NotGauge { metric }, place);
    }
    let mut growth = right.clone();
    remark(growth.subtract(&left)?, HistogramOperation::Subtraction, notes, place);
    if !is_counter {
        return Ok(Some(growth));
    }
    // The values at the bounds stand for the outermost samples, so that only those between them are looked at.
    let mut inner = first + 1;
    let mut before = &left;
    if smoothed && list[first].0 < start && list.get(inner).is_some_and(|(_, next)| next.is_reset_from(&list[first].1)) {
        // The reset is already in the interpolated value.
        before = &list[inner].1;
        inner += 1;
    }
    if inner > last {
        return Ok(Some(growth));
    }
    for histogram in list[inner..last].iter().map(|(_, histogram)| histogram.as_ref()).chain([&right]) {
        if histogram.is_reset_from(before) {
            remark(growth.add(before)?, HistogramOperation::Addition, notes, place);
        }
        before = histogram;
    }
    Ok(Some(growth))
}
