//! Summaries of a range: `sum_over_time` and its kin.

use std::sync::Arc;

use super::window::{Sample, Window};
use crate::model::histogram::{Compensated, Histogram, Incompatible, Reconciled, ResetHint};
use crate::model::sample::compensated;
use crate::promql::evaluate::{EvalError, HistogramOperation, Note, Notes, Point};

/// Remarks that a function which reads floats only has met histograms. Returns whether there is a float at all.
pub(super) fn floats_only(window: &Window<'_>, notes: &Notes) -> bool {
    if window.floats.is_empty() {
        return false;
    }
    if !window.histograms.is_empty() {
        notes.add(Note::IgnoredInRange { metric: window.metric() }, window.place);
    }
    true
}

fn is_mixed(window: &Window<'_>, notes: &Notes) -> bool {
    let mixed = !window.floats.is_empty() && !window.histograms.is_empty();
    if mixed {
        notes.add(Note::MixedSamples { metric: window.metric() }, window.place);
    }
    mixed
}

/// Remarks what adding up many histograms has met.
#[derive(Default)]
pub(crate) struct Trouble {
    reset: bool,
    no_reset: bool,
    bounds_differ: bool,
}

impl Trouble {
    pub fn see(&mut self, histogram: &Histogram) {
        self.reset |= histogram.reset_hint == ResetHint::Reset;
        self.no_reset |= histogram.reset_hint == ResetHint::NoReset;
    }

    pub fn join(&mut self, reconciled: Reconciled) {
        self.bounds_differ |= reconciled.bounds_differ;
    }

    pub fn remark(&self, notes: &Notes, place: crate::promql::ast::Place) {
        if self.reset && self.no_reset {
            notes.add(Note::CollidingHints(HistogramOperation::Aggregation), place);
        }
        if self.bounds_differ {
            notes.add(Note::ReconciledBuckets(HistogramOperation::Aggregation), place);
        }
    }
}

/// Returns the mean of histograms: their sum divided, or where that would overflow a mean that is kept all along.
pub(crate) struct HistogramMean {
    sum: Compensated,
    count: f64,
    is_mean: bool,
}

impl HistogramMean {
    pub fn new(first: Histogram) -> HistogramMean {
        HistogramMean { sum: Compensated::new(first), count: 1.0, is_mean: false }
    }

    pub fn add(&mut self, histogram: &Histogram) -> Result<Reconciled, Incompatible> {
        self.count += 1.0;
        if !self.is_mean {
            let mut sum = self.sum.clone();
            let reconciled = sum.add(histogram)?;
            if !sum.has_overflow() {
                self.sum = sum;
                return Ok(reconciled);
            }
            self.is_mean = true;
            self.sum.divide(self.count - 1.0);
        }
        self.sum.multiply((self.count - 1.0) / self.count);
        let mut share = histogram.clone();
        share.divide(self.count);
        self.sum.add(&share)
    }

    pub fn finish(mut self) -> Histogram {
        if !self.is_mean {
            self.sum.divide(self.count);
        }
        self.sum.finish()
    }
}

/// The mean of numbers: their sum divided, or where that would overflow a mean that is kept all along.
///
/// Source: Prometheus `avg_over_time`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    sum: f64,
    loss: f64,
    count: f64,
    is_mean: bool,
}

impl Mean {
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.sum = value;
            return;
        }
        if !self.is_mean {
            let (sum, loss) = compensated(value, self.sum, self.loss);
            if !sum.is_infinite() {
                (self.sum, self.loss) = (sum, loss);
                return;
            }
            self.is_mean = true;
            self.sum /= self.count - 1.0;
            self.loss /= self.count - 1.0;
        }
        let share = (self.count - 1.0) / self.count;
        (self.sum, self.loss) = compensated(value / self.count, share * self.sum, share * self.loss);
    }

    pub fn finish(&self) -> f64 {
        if self.is_mean { self.sum + self.loss } else { self.sum / self.count + self.loss / self.count }
    }
}

fn fold_histograms<S>(
    window: &Window<'_>,
    notes: &Notes,
    new: impl FnOnce(Histogram) -> S,
    add: impl Fn(&mut S, &Histogram) -> Result<Reconciled, Incompatible>,
) -> Option<S> {
    let ((_, first), rest) = window.histograms.split_first()?;
    let mut trouble = Trouble::default();
    trouble.see(first);
    let mut state = new(first.as_ref().clone());
    for (_, histogram) in rest {
        trouble.see(histogram);
        match add(&mut state, histogram) {
            Ok(reconciled) => trouble.join(reconciled),
            Err(Incompatible) => {
                notes.add(Note::MixedBuckets { metric: window.metric() }, window.place);
                return None;
            }
        }
    }
    trouble.remark(notes, window.place);
    Some(state)
}

fn some(histogram: Option<Histogram>) -> Point {
    histogram.map_or(Point::Absent, |histogram| Point::Histogram(Arc::new(histogram)))
}

pub(crate) fn sum(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    if is_mixed(window, notes) {
        return Ok(Point::Absent);
    }
    if window.floats.is_empty() {
        let sum = fold_histograms(window, notes, Compensated::new, Compensated::add);
        return Ok(some(sum.map(Compensated::finish)));
    }
    let (sum, loss) = window.floats.iter().fold((0.0, 0.0), |(sum, loss), (_, value)| compensated(*value, sum, loss));
    Ok(Point::Float(if sum.is_infinite() { sum } else { sum + loss }))
}

pub(crate) fn avg(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    if is_mixed(window, notes) {
        return Ok(Point::Absent);
    }
    if window.floats.is_empty() {
        let mean = fold_histograms(window, notes, HistogramMean::new, HistogramMean::add);
        return Ok(some(mean.map(HistogramMean::finish)));
    }
    let mut mean = Mean::default();
    window.floats.iter().for_each(|(_, value)| mean.add(*value));
    Ok(Point::Float(mean.finish()))
}

pub(crate) fn count(window: &Window<'_>, _: &[f64], _: &Notes) -> Result<Point, EvalError> {
    Ok(Point::Float((window.floats.len() + window.histograms.len()) as f64))
}

pub(crate) fn present(_: &Window<'_>, _: &[f64], _: &Notes) -> Result<Point, EvalError> {
    Ok(Point::Float(1.0))
}

fn point(sample: Option<(i64, Sample<'_>)>) -> Point {
    match sample {
        None => Point::Absent,
        Some((_, Sample::Float(value))) => Point::Float(value),
        Some((_, Sample::Histogram(histogram))) => Point::Histogram(histogram.clone()),
    }
}

fn first_of<'a>(window: &'a Window<'_>) -> Option<(i64, Sample<'a>)> {
    window.both().next()
}

fn last_of<'a>(window: &'a Window<'_>) -> Option<(i64, Sample<'a>)> {
    match (window.floats.last(), window.histograms.last()) {
        (Some((at, value)), histogram) if histogram.is_none_or(|(other, _)| other < at) => Some((*at, Sample::Float(*value))),
        (_, histogram) => histogram.map(|(at, histogram)| (*at, Sample::Histogram(histogram))),
    }
}

pub(crate) fn first(window: &Window<'_>, _: &[f64], _: &Notes) -> Result<Point, EvalError> {
    Ok(point(first_of(window)))
}

pub(crate) fn last(window: &Window<'_>, _: &[f64], _: &Notes) -> Result<Point, EvalError> {
    Ok(point(last_of(window)))
}

pub(crate) fn time_of_first(window: &Window<'_>, _: &[f64], _: &Notes) -> Result<Point, EvalError> {
    Ok(first_of(window).map_or(Point::Absent, |(at, _)| Point::Float(at as f64 / 1000.0)))
}

pub(crate) fn time_of_last(window: &Window<'_>, _: &[f64], _: &Notes) -> Result<Point, EvalError> {
    Ok(last_of(window).map_or(Point::Absent, |(at, _)| Point::Float(at as f64 / 1000.0)))
}

/// Returns the float that beats all before it; the first one stands until it is beaten, and NaN is beaten by anything.
fn best(window: &Window<'_>, notes: &Notes, beats: impl Fn(f64, f64) -> bool) -> Option<(i64, f64)> {
    if !floats_only(window, notes) {
        return None;
    }
    window.floats.iter().copied().reduce(|best, next| if beats(next.1, best.1) || best.1.is_nan() { next } else { best })
}

fn value(sample: Option<(i64, f64)>) -> Point {
    sample.map_or(Point::Absent, |(_, value)| Point::Float(value))
}

fn time(sample: Option<(i64, f64)>) -> Point {
    sample.map_or(Point::Absent, |(at, _)| Point::Float(at as f64 / 1000.0))
}

pub(crate) fn max(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    Ok(value(best(window, notes, |next, best| next > best)))
}

pub(crate) fn min(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    Ok(value(best(window, notes, |next, best| next < best)))
}

pub(crate) fn time_of_max(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    Ok(time(best(window, notes, |next, best| next >= best)))
}

pub(crate) fn time_of_min(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    Ok(time(best(window, notes, |next, best| next <= best)))
}

fn variance(window: &Window<'_>, notes: &Notes) -> Option<f64> {
    if !floats_only(window, notes) {
        return None;
    }
    let (mut count, mut mean, mut mean_loss, mut squares, mut squares_loss) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (_, value) in window.floats {
        count += 1.0;
        let distance = value - (mean + mean_loss);
        (mean, mean_loss) = compensated(distance / count, mean, mean_loss);
        (squares, squares_loss) = compensated(distance * (value - (mean + mean_loss)), squares, squares_loss);
    }
    Some((squares + squares_loss) / count)
}

pub(crate) fn stdvar(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    Ok(variance(window, notes).map_or(Point::Absent, Point::Float))
}

pub(crate) fn stddev(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    Ok(variance(window, notes).map_or(Point::Absent, |variance| Point::Float(variance.sqrt())))
}

/// Returns the quantile of numbers, between two of them a weighted mean; the numbers get sorted, NaN first.
///
/// Below 0 it is negative, above 1 positive infinity; NaN without numbers.
pub(crate) fn quantile_of(quantile: f64, numbers: &mut [f64]) -> f64 {
    if numbers.is_empty() || quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    numbers.sort_by(|a, b| a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan())));
    let last = (numbers.len() - 1) as f64;
    let rank = quantile * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    numbers[lower as usize] * (1.0 - weight) + numbers[upper as usize] * weight
}

pub(crate) fn quantile(window: &Window<'_>, args: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    let quantile = args.first().copied().unwrap_or(f64::NAN);
    if window.floats.is_empty() {
        return Ok(Point::Absent);
    }
    if !(0.0..=1.0).contains(&quantile) {
        notes.add(Note::InvalidQuantile(quantile), window.place);
    }
    floats_only(window, notes);
    let mut numbers: Vec<f64> = window.floats.iter().map(|(_, value)| *value).collect();
    Ok(Point::Float(quantile_of(quantile, &mut numbers)))
}

pub(crate) fn mad(window: &Window<'_>, _: &[f64], notes: &Notes) -> Result<Point, EvalError> {
    if !floats_only(window, notes) {
        return Ok(Point::Absent);
    }
    let mut numbers: Vec<f64> = window.floats.iter().map(|(_, value)| *value).collect();
    if numbers.iter().any(|number| number.is_nan()) {
        return Ok(Point::Float(f64::NAN));
    }
    let median = quantile_of(0.5, &mut numbers);
    numbers.iter_mut().for_each(|number| *number = (*number - median).abs());
    Ok(Point::Float(quantile_of(0.5, &mut numbers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_survives_sums_that_overflow() {
        let mut mean = Mean::default();
        for value in [f64::MAX, f64::MAX, f64::MAX] {
            mean.add(value);
        }
        assert!((mean.finish() / f64::MAX - 1.0).abs() < 1e-15);
    }

    #[test]
    fn quantiles_interpolate_and_sort_nan_first() {
        assert_eq!(quantile_of(0.5, &mut [3.0, 1.0, 2.0, 4.0]), 2.5);
        assert!(quantile_of(0.0, &mut [1.0, f64::NAN]).is_nan());
        assert_eq!(quantile_of(1.5, &mut [1.0]), f64::INFINITY);
    }
}
