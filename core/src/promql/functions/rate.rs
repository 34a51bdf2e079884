//! How fast something grows: `rate`, `increase`, `delta`, `irate`, `idelta`, and counts of resets and changes.

use std::sync::Arc;

use super::edges;
use super::window::{Sample, Window};
use crate::model::histogram::{Histogram, Incompatible, Reconciled, ResetHint};
use crate::promql::evaluate::{EvalError, HistogramOperation, Note, Notes, Point};

pub(crate) fn rate(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    Ok(extrapolated(window, notes, true, true))
}

pub(crate) fn increase(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    Ok(extrapolated(window, notes, true, false))
}

pub(crate) fn delta(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    Ok(extrapolated(window, notes, false, false))
}

/// Returns growth between the first and the last sample of a range, extrapolated to its bounds.
///
/// Samples are taken to be about evenly spaced. Where a bound is no further from the outermost sample than 1.1 times their mean
/// distance, the series is taken to go on to the bound; else it is taken to begin or end half a mean distance beyond. A counter
/// is not extrapolated to below zero. A counter whose first sample says that it began inside of the range was zero there: growth
/// then counts from that instant, for which one sample is enough, and is not extrapolated to the left.
/// Source: Prometheus `extrapolatedRate`.
fn extrapolated(window: &Window<'_>, notes: &Notes, is_counter: bool, per_second: bool) -> Point {
    if let Some(edges) = window.edges {
        return edges::growth(window, edges, notes, is_counter, per_second);
    }
    let (floats, histograms) = (window.floats, window.histograms);
    if !floats.is_empty() && !histograms.is_empty() {
        notes.add(Note::MixedSamples { metric: window.metric() }, window.place);
        return Point::Absent;
    }
    let times = |index: usize| floats.get(index).map(|(at, _)| *at).or(histograms.get(index).map(|(at, _)| *at));
    let Some(gaps) = (floats.len() + histograms.len()).checked_sub(1) else { return Point::Absent };
    let (Some(first_at), Some(last_at)) = (times(0), times(gaps)) else { return Point::Absent };
    let begin = window.start_of(first_at).filter(|start| is_counter && *start > window.start && *start < first_at);
    if gaps == 0 && begin.is_none() {
        return Point::Absent;
    }
    let growth = match histograms {
        [] => Some(Growth::Float(float_growth(window, notes, is_counter, begin.is_some()))),
        _ => histogram_growth_since(window, notes, is_counter, begin.is_some()).map(Growth::Histogram),
    };
    let Some(growth) = growth else { return Point::Absent };
    let mut to_start = (first_at - window.start) as f64 / 1000.0;
    let mut to_end = (window.end - last_at) as f64 / 1000.0;
    let mut sampled = (last_at - first_at) as f64 / 1000.0;
    let mean_gap = if gaps == 0 { 0.0 } else { sampled / gaps as f64 };
    let threshold = mean_gap * 1.1;
    if let Some(begin) = begin {
        to_start = 0.0;
        sampled = (last_at - begin) as f64 / 1000.0;
    } else {
        if to_start >= threshold {
            to_start = mean_gap / 2.0;
        }
        let (first_value, grown) = match &growth {
            Growth::Float(growth) => (floats[0].1, *growth),
            Growth::Histogram(growth) => (histograms[0].1.count, growth.count),
        };
        if is_counter && grown > 0.0 && first_value >= 0.0 {
            let to_zero = sampled * (first_value / grown);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
    }
    if to_end >= threshold {
        to_end = mean_gap / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if per_second {
        factor /= window.seconds();
    }
    match growth {
        Growth::Float(growth) => Point::Float(growth * factor),
        Growth::Histogram(mut growth) => {
            growth.multiply(factor);
            Point::Histogram(Arc::new(growth))
        }
    }
}

enum Growth {
    Float(f64),
    Histogram(Histogram),
}

/// Returns the growth from the first sample, or from a zero before it, to the last one; of a counter corrected for resets.
fn float_growth(window: &Window<'_>, notes: &Notes, is_counter: bool, from_zero: bool) -> f64 {
    let floats = window.floats;
    let mut growth = floats[floats.len() - 1].1 - floats[0].1;
    if !is_counter {
        return growth;
    }
    if window.starts.is_empty() {
        // In this order, and not summed up front: adding floats does not associate.
        return window.falls.iter().fold(growth, |growth, (_, before)| growth + before);
    }
    for pair in floats.windows(2) {
        let [(before_at, before), (at, value)] = [pair[0], pair[1]];
        if window.overlaps(before_at, at) {
            notes.add(Note::OverlappingStarts { metric: window.metric() }, window.place);
        }
        if value < before || window.restarts(before_at, at) {
            growth += before;
        }
    }
    if from_zero { growth + floats[0].1 } else { growth }
}

/// As `float_growth`, of histograms; `None` when they do not fit each other.
fn histogram_growth_since(window: &Window<'_>, notes: &Notes, is_counter: bool, from_zero: bool) -> Option<Histogram> {
    let (_, first) = window.histograms.first()?;
    if window.histograms.len() == 1 {
        return Some(first.as_ref().clone());
    }
    let mut growth = histogram_growth(window, notes, is_counter)?;
    if from_zero {
        combined(growth.add(first), HistogramOperation::Addition, window, notes)?;
    }
    Some(growth)
}

/// Remarks what joining two histograms has met; `None` when they do not fit each other.
fn combined(
    outcome: Result<Reconciled, Incompatible>,
    operation: HistogramOperation,
    window: &Window<'_>,
    notes: &Notes,
) -> Option<()> {
    match outcome {
        Ok(reconciled) => {
            if reconciled.bounds_differ {
                notes.add(Note::ReconciledBuckets(operation), window.place);
            }
            Some(())
        }
        Err(Incompatible) => {
            notes.add(Note::MixedBuckets { metric: window.metric() }, window.place);
            None
        }
    }
}

/// Returns the growth of a histogram from the first to the last sample, corrected for resets.
///
/// Source: Prometheus `histogramRate`.
fn histogram_growth(window: &Window<'_>, notes: &Notes, is_counter: bool) -> Option<Histogram> {
    let (metric, place) = (window.metric(), window.place);
    let list = window.histograms;
    let [(first_at, first), (second_at, second), ..] = list else { return None };
    let last = &list[list.len() - 1].1;
    let is_gauge = |histogram: &Histogram| histogram.reset_hint == ResetHint::Gauge;
    let gauge_seen = list.iter().any(|(_, histogram)| is_gauge(histogram));
    if is_counter && gauge_seen {
        notes.add(Note::NotCounter { metric }, place);
    }
    // Behind a reset the buckets of the first sample do not matter, so that they need not be compatible either.
    let empty;
    let mut before: &Histogram = first;
    if is_counter && (window.restarts(*first_at, *second_at) || second.is_reset_from(first)) {
        let (schema, custom_values) = (second.schema, second.custom_values.clone());
        empty = Histogram { schema, custom_values, ..Histogram::default() };
        before = &empty;
    }
    let inner = if is_counter { &list[1..list.len() - 1] } else { &[] };
    let custom = before.has_custom_buckets();
    if last.has_custom_buckets() != custom || inner.iter().any(|(_, histogram)| histogram.has_custom_buckets() != custom) {
        notes.add(Note::MixedBuckets { metric }, place);
        return None;
    }
    let schema = inner.iter().map(|(_, histogram)| histogram.schema).min().unwrap_or(last.schema);
    let mut growth = last.as_ref().clone();
    growth.reduce_to_schema(schema.min(last.schema).min(before.schema));
    combined(growth.subtract(before), HistogramOperation::Subtraction, window, notes)?;
    if is_counter {
        let mut before_at = *first_at;
        for (at, histogram) in &list[1..] {
            if window.overlaps(before_at, *at) {
                notes.add(Note::OverlappingStarts { metric }, place);
            }
            if window.restarts(before_at, *at) || histogram.is_reset_from(before) {
                combined(growth.add(before), HistogramOperation::Addition, window, notes)?;
            }
            (before_at, before) = (*at, histogram);
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        notes.add(Note::NotGauge { metric }, place);
    }
    growth.reset_hint = ResetHint::Gauge;
    growth.compact();
    Some(growth)
}

pub(crate) fn irate(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    Ok(last_two(window, notes, true))
}

pub(crate) fn idelta(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    Ok(last_two(window, notes, false))
}

/// Returns the growth between the last two samples.
///
/// Source: Prometheus `instantValue`.
fn last_two(window: &Window<'_>, notes: &Notes, is_rate: bool) -> Point {
    let tail = |length: usize| length.saturating_sub(2);
    let recent = Window {
        floats: &window.floats[tail(window.floats.len())..],
        histograms: &window.histograms[tail(window.histograms.len())..],
        ..*window
    };
    let samples: Vec<(i64, Sample<'_>)> = recent.both().collect();
    let [.., (before_at, before), (last_at, last)] = samples.as_slice() else { return Point::Absent };
    let milliseconds = last_at - before_at;
    if milliseconds == 0 {
        return Point::Absent;
    }
    let seconds = milliseconds as f64 / 1000.0;
    let restarts = is_rate && window.restarts(*before_at, *last_at);
    let (metric, place) = (window.metric(), window.place);
    match (before, last) {
        (Sample::Float(before), Sample::Float(last)) => {
            let growth = if restarts || is_rate && last < before { *last } else { last - before };
            Point::Float(if is_rate { growth / seconds } else { growth })
        }
        (Sample::Histogram(before), Sample::Histogram(last)) => {
            let gauges = [before, last].map(|histogram| histogram.reset_hint == ResetHint::Gauge);
            if is_rate && gauges.contains(&true) {
                notes.add(Note::NotCounter { metric }, place);
            }
            if !is_rate && gauges.contains(&false) {
                notes.add(Note::NotGauge { metric }, place);
            }
            let mut growth = last.as_ref().clone();
            if !is_rate || !(restarts || last.is_reset_from(before)) {
                match growth.subtract(before) {
                    Err(_) => {
                        notes.add(Note::MixedBuckets { metric }, place);
                        return Point::Absent;
                    }
                    Ok(reconciled) if reconciled.bounds_differ => {
                        notes.add(Note::ReconciledBuckets(HistogramOperation::Subtraction), place);
                    }
                    Ok(_) => {}
                }
            }
            growth.reset_hint = ResetHint::Gauge;
            growth.compact();
            if is_rate {
                growth.divide(seconds);
            }
            Point::Histogram(Arc::new(growth))
        }
        _ => {
            notes.add(Note::MixedSamples { metric }, place);
            Point::Absent
        }
    }
}

fn count_pairs(window: &Window<'_>, counts: impl Fn((i64, Sample<'_>), (i64, Sample<'_>)) -> bool) -> Point {
    let Some(window) = edges::anchored(window) else { return Point::Absent };
    let (mut before, mut count) = (None, 0);
    for sample in window.both() {
        count += usize::from(before.is_some_and(|before| counts(before, sample)));
        before = Some(sample);
    }
    Point::Float(count as f64)
}

pub(crate) fn resets(window: &Window<'_>, _: &[f64], _: &Notes) -> Result<Point, EvalError> {
    Ok(count_pairs(window, |(before_at, before), (at, sample)| match (before, sample) {
        (Sample::Float(before), Sample::Float(value)) => value < before || window.restarts(before_at, at),
        (Sample::Histogram(before), Sample::Histogram(histogram)) => {
            window.restarts(before_at, at) || histogram.is_reset_from(before)
        }
        _ => true,
    }))
}

pub(crate) fn changes(window: &Window<'_>, _: &[f64], _: &Notes) -> Result<Point, EvalError> {
    Ok(count_pairs(window, |(_, before), (_, sample)| match (before, sample) {
        (Sample::Float(before), Sample::Float(value)) => value != before && !(value.is_nan() && before.is_nan()),
        (Sample::Histogram(before), Sample::Histogram(histogram)) => !histogram.same_data(before),
        _ => true,
    }))
}
