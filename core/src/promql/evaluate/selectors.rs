//! Selectors: from stored samples to vectors over the steps.

use std::cell::OnceCell;
use std::sync::Arc;

use super::grid::{SAME_LABELS, without_metadata};
use super::{Engine, EvalError, Grid, Lease, Line, Note, Point, Steps};
use crate::model::histogram::{Histogram, Incompatible, ResetHint};
use crate::model::{LabelSet, Matcher, Select, Series, SourceError, is_stale};
use crate::promql::ast::{Edges, MatrixSelector, Place, VectorSelector};
use crate::promql::functions::edges::{extend, interpolate, interpolate_histograms};
use crate::promql::functions::window::Window;
use crate::time::Timestamp;

/// One series of a range vector with all the samples that any step looks at, staleness markers left out.
#[derive(Debug)]
pub(crate) struct RangeSeries {
    pub labels: LabelSet,
    pub drop_name: bool,
    pub floats: Vec<(i64, f64)>,
    pub histograms: Vec<(i64, Arc<Histogram>)>,
    /// As `Window::falls`, of the whole series; filled when it is first asked for.
    falls: OnceCell<Vec<(i64, f64)>>,
    /// As `Series::starts`; empty where start timestamps do not count.
    pub starts: Vec<(i64, i64)>,
}

impl RangeSeries {
    /// Returns a series of computed floats, of which nobody knows since when they count.
    pub fn of(labels: LabelSet, drop_name: bool, floats: Vec<(i64, f64)>) -> RangeSeries {
        RangeSeries { labels, drop_name, floats, histograms: Vec::new(), falls: OnceCell::new(), starts: Vec::new() }
    }
}

/// A range vector over all steps: samples, and which of them each step sees.
#[derive(Debug)]
pub(crate) struct Ranges {
    pub series: Vec<RangeSeries>,
    /// Length in milliseconds.
    pub range: i64,
    pub offset: i64,
    /// The instant that `@` fixes.
    pub at: Option<i64>,
    pub edges: Option<Edges>,
    pub lookback: i64,
    pub lease: Lease,
}

/// Completes what is known of resets between the histograms of a series, so that aggregations of counters notice collisions.
///
/// Source: Prometheus `HistogramStatsIterator`.
fn find_resets(series: &mut Series) {
    let hints: Vec<ResetHint> = series
        .histograms
        .windows(2)
        .map(|pair| match (pair[1].1.reset_hint, pair[1].1.is_reset_from(&pair[0].1)) {
            (ResetHint::Unknown, true) => ResetHint::Reset,
            (ResetHint::Unknown, false) => ResetHint::NoReset,
            (hint, _) => hint,
        })
        .collect();
    for ((_, histogram), hint) in series.histograms.iter_mut().skip(1).zip(hints) {
        if histogram.reset_hint != hint {
            Arc::make_mut(histogram).reset_hint = hint;
        }
    }
}

/// How many values a histogram counts as.
fn weight(histogram: &Histogram) -> usize {
    10 + (histogram.positive_buckets.len() + histogram.negative_buckets.len()) / 2
}

fn point_weight(point: &Point) -> u64 {
    match point {
        Point::Absent => 0,
        Point::Float(_) => 1,
        Point::Histogram(histogram) => weight(histogram) as u64,
    }
}

/// How many values the samples of a window count as.
pub(super) fn window_weight(window: &Window<'_>) -> u64 {
    let histograms: usize = window.histograms.iter().map(|(_, histogram)| weight(histogram)).sum();
    (window.floats.len() + histograms) as u64
}

impl Engine<'_> {
    /// Loads the samples that lie after `after` and not after `until`, or of each series the newest of them.
    pub fn load(
        &self,
        matchers: &[Matcher],
        (after, until): (i64, i64),
        newest_only: bool,
        place: Place,
    ) -> Result<(Vec<Series>, Lease), EvalError> {
        self.alive()?;
        let request = Select {
            matchers,
            start: Timestamp(after.saturating_add(1)),
            end: Timestamp(until),
            samples_max: self.budget.left(),
            newest_only,
        };
        let mut series = self.source.select(&request).map_err(|error| match error {
            // The source was told what is left; people know the whole.
            SourceError::TooManySamples { .. } => EvalError::TooManySamples { limit: self.options.samples_max },
            other => EvalError::Source(other),
        })?;
        if self.counts_only.get() {
            series.iter_mut().for_each(find_resets);
        }
        if series.len() > self.options.series_max {
            return Err(EvalError::TooManySeries { found: series.len(), limit: self.options.series_max, place });
        }
        let (mut samples, mut size) = (0, 0);
        for series in &series {
            samples += series.floats.len() + series.histograms.len();
            size += series.floats.len() + series.histograms.iter().map(|(_, histogram)| weight(histogram)).sum::<usize>();
        }
        self.budget.count_loaded(series.len(), samples);
        Ok((series, self.budget.lease(size)?))
    }

    /// Returns the instant at which a selector looks for a step.
    fn reference(at: Option<i64>, offset: i64, step: i64) -> i64 {
        at.unwrap_or(step).saturating_sub(offset)
    }

    pub fn vector_selector(&self, selector: &VectorSelector, place: Place, steps: &Steps) -> Result<Grid, EvalError> {
        self.select_current(selector, place, steps, |_, _, point| point)
    }

    /// Returns, for each series and step, what `read` makes of the series, and its current sample with its own time.
    pub fn select_current(
        &self,
        selector: &VectorSelector,
        place: Place,
        steps: &Steps,
        read: impl Fn(&Series, i64, Point) -> Point,
    ) -> Result<Grid, EvalError> {
        let offset = self.offset(selector.offset.as_ref(), place)?;
        let at = self.at(selector.at);
        let lookback = self.options.lookback.0;
        let reference = |step| Self::reference(at, offset, steps.at(step));
        let smoothed = match selector.edges {
            None => false,
            Some(Edges::Smoothed) => true,
            Some(Edges::Anchored) => {
                return Err(EvalError::execution("anchored modifier can only be used with range vectors", place));
            }
        };
        let after = reference(0).saturating_sub(lookback);
        let until = reference(steps.count - 1).saturating_add(if smoothed { lookback } else { 0 });
        // What resets between histograms mean takes the one before too.
        let newest_only = steps.count == 1 && !smoothed && !self.counts_only.get();
        let (series, _samples) = self.load(&selector.matchers, (after, until), newest_only, place)?;
        let mut grid = self.grid(steps.count)?;
        let mut counts = vec![0; steps.count];
        for series in series {
            self.alive()?;
            let line = self.add_line(&mut grid, Line { labels: series.labels.clone(), drop_name: false })?;
            let row = &mut grid.points[line * steps.count..];
            if smoothed {
                self.smooth(&series, row, reference, place);
            } else {
                current(&series, row, lookback, reference, &read);
            }
            counts.iter_mut().zip(row).for_each(|(count, point)| *count += point_weight(point));
        }
        self.count_samples(&counts);
        Ok(grid.without_empty_lines())
    }

    pub fn range_selector(&self, selector: &MatrixSelector, place: Place, steps: &Steps) -> Result<Ranges, EvalError> {
        let range = self.length(&selector.range, place)?;
        let offset = self.offset(selector.vector.offset.as_ref(), place)?;
        let at = self.at(selector.vector.at);
        let edges = selector.vector.edges;
        let lookback = self.options.lookback.0;
        let (before, behind) = reach(edges, lookback);
        let first = Self::reference(at, offset, steps.start);
        let last = Self::reference(at, offset, steps.last());
        let after = first.saturating_sub(range).saturating_sub(before);
        let (series, lease) = self.load(&selector.vector.matchers, (after, last.saturating_add(behind)), false, place)?;
        let series = series.into_iter().map(|mut series| {
            series.floats.retain(|(_, value)| !is_stale(*value));
            series.histograms.retain(|(_, histogram)| !is_stale(histogram.sum));
            let starts = if self.options.start_timestamps { series.starts } else { Vec::new() };
            let (floats, histograms) = (series.floats, series.histograms);
            RangeSeries { labels: series.labels, drop_name: false, floats, histograms, falls: OnceCell::new(), starts }
        });
        Ok(Ranges { series: series.collect(), range, offset, at, edges, lookback, lease })
    }
}

fn falls(floats: &[(i64, f64)]) -> Vec<(i64, f64)> {
    let fallen = |pair: &[(i64, f64)]| (pair[1].1 < pair[0].1).then_some((pair[1].0, pair[0].1));
    floats.windows(2).filter_map(fallen).collect()
}

/// Returns how far beyond its bounds a range looks, before and behind.
fn reach(edges: Option<Edges>, lookback: i64) -> (i64, i64) {
    match edges {
        None => (0, 0),
        Some(Edges::Anchored) => (lookback, 0),
        Some(Edges::Smoothed) => (lookback, lookback),
    }
}

/// Fills a row with the newest sample that is not older than the lookback: a sample of exactly that age is too old.
fn current(
    series: &Series,
    row: &mut [Point],
    lookback: i64,
    reference: impl Fn(usize) -> i64,
    read: &impl Fn(&Series, i64, Point) -> Point,
) {
    let (mut floats, mut histograms) = (0, 0);
    for (step, point) in row.iter_mut().enumerate() {
        let reference = reference(step);
        while series.floats.get(floats).is_some_and(|(at, _)| *at <= reference) {
            floats += 1;
        }
        while series.histograms.get(histograms).is_some_and(|(at, _)| *at <= reference) {
            histograms += 1;
        }
        let float = floats.checked_sub(1).map(|index| series.floats[index]);
        let histogram = histograms.checked_sub(1).map(|index| &series.histograms[index]);
        let oldest = reference.saturating_sub(lookback);
        *point = match (float, histogram) {
            (float, Some((at, histogram))) if float.is_none_or(|(other, _)| other < *at) => {
                if *at <= oldest || is_stale(histogram.sum) {
                    continue;
                }
                read(series, *at, Point::Histogram(histogram.clone()))
            }
            (Some((at, value)), _) if at > oldest && !is_stale(value) => read(series, at, Point::Float(value)),
            _ => continue,
        };
    }
}

const NO_HISTOGRAMS: &str = "smoothed and anchored modifiers do not work with native histograms";

impl Engine<'_> {
    /// Fills a row with values interpolated between the samples around each step.
    fn smooth(&self, series: &Series, row: &mut [Point], reference: impl Fn(usize) -> i64, place: Place) {
        let (lookback, metric) = (self.options.lookback.0, series.labels.name());
        let floats: Vec<(i64, f64)> = series.floats.iter().copied().filter(|(_, value)| !is_stale(*value)).collect();
        let histograms: Vec<_> = series.histograms.iter().filter(|(_, histogram)| !is_stale(histogram.sum)).collect();
        for (step, point) in row.iter_mut().enumerate() {
            let at = reference(step);
            let (after, until) = (at.saturating_sub(lookback), at.saturating_add(lookback));
            let floats = within(&floats, after, until, |(at, _)| *at);
            let histograms = within(&histograms, after, until, |(at, _)| *at);
            if !floats.is_empty() && !histograms.is_empty() {
                self.notes.add(Note::MixedSamples { metric }, place);
                continue;
            }
            if !histograms.is_empty() {
                let next = histograms.partition_point(|(other, _)| *other < at);
                *point = match (next.checked_sub(1).map(|before| &histograms[before]), histograms.get(next)) {
                    (_, Some((other, histogram))) if *other == at => Point::Histogram(histogram.clone()),
                    (Some(before), Some(behind)) => {
                        let is_counter = behind.1.reset_hint != ResetHint::Gauge;
                        match interpolate_histograms(before, behind, at, is_counter, &self.notes, place) {
                            Ok(histogram) => Point::Histogram(Arc::new(histogram)),
                            Err(Incompatible) => {
                                self.notes.add(Note::MixedBuckets { metric }, place);
                                Point::Absent
                            }
                        }
                    }
                    (Some((_, histogram)), None) => Point::Histogram(histogram.clone()),
                    (None, _) => Point::Absent,
                };
                continue;
            }
            let next = floats.partition_point(|(other, _)| *other < at);
            *point = match (next.checked_sub(1).map(|before| floats[before]), floats.get(next)) {
                (_, Some((other, value))) if *other == at => Point::Float(*value),
                (Some(before), Some(behind)) => Point::Float(interpolate(before, *behind, at, false)),
                (Some((_, value)), None) => Point::Float(value),
                (None, _) => Point::Absent,
            };
        }
    }
}

/// Returns the samples later than `after` and not later than `until`.
fn within<T>(samples: &[T], after: i64, until: i64, time: impl Fn(&T) -> i64) -> &[T] {
    let from = samples.partition_point(|sample| time(sample) <= after);
    let to = samples.partition_point(|sample| time(sample) <= until);
    samples.get(from..to).unwrap_or(&[])
}

impl Ranges {
    /// Calls `each` with what every step sees of one series, in the order of the steps; steps that see nothing are left out.
    pub fn windows<'a>(
        &'a self,
        series: &'a RangeSeries,
        steps: &Steps,
        place: Place,
        mut each: impl FnMut(usize, Window<'a>) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let (before, behind) = reach(self.edges, self.lookback);
        let (floats, histograms) = (&series.floats, &series.histograms);
        let (mut float_low, mut float_high, mut histogram_low, mut histogram_high) = (0, 0, 0, 0);
        // Found once for all steps: windows overlap, and what falls in one falls in the next.
        let falls: &[(i64, f64)] = series.falls.get_or_init(|| falls(floats));
        let (mut fall_low, mut fall_high) = (0, 0);
        for step in 0..steps.count {
            let now = steps.at(step);
            let end = Engine::reference(self.at, self.offset, now);
            let start = end.saturating_sub(self.range);
            let (after, until) = (start.saturating_sub(before), end.saturating_add(behind));
            while floats.get(float_high).is_some_and(|(at, _)| *at <= until) {
                float_high += 1;
            }
            while histograms.get(histogram_high).is_some_and(|(at, _)| *at <= until) {
                histogram_high += 1;
            }
            while float_low < float_high && floats[float_low].0 <= after {
                float_low += 1;
            }
            while histogram_low < histogram_high && histograms[histogram_low].0 <= after {
                histogram_low += 1;
            }
            let floats = &floats[float_low..float_high];
            while falls.get(fall_high).is_some_and(|(at, _)| *at <= until) {
                fall_high += 1;
            }
            while fall_low < fall_high && floats.first().is_none_or(|(first, _)| falls[fall_low].0 <= *first) {
                fall_low += 1;
            }
            let falls = &falls[fall_low..fall_high];
            let histograms = &histograms[histogram_low..histogram_high];
            if floats.is_empty() && histograms.is_empty() {
                continue;
            }
            let starts = &series.starts;
            each(
                step,
                Window { floats, histograms, falls, starts, start, end, now, edges: self.edges, labels: &series.labels, place },
            )?;
        }
        Ok(())
    }

    /// Returns the samples that an instant query of the range vector itself answers, sorted by labels.
    pub fn raw(&self, engine: &Engine<'_>, at: i64, place: Place) -> Result<Vec<Series>, EvalError> {
        let steps = Steps { start: at, step: 1, count: 1 };
        let mut out = Vec::with_capacity(self.series.len());
        for series in &self.series {
            engine.alive()?;
            self.windows(series, &steps, place, |_, window| {
                engine.count_samples(&[window_weight(&window)]);
                let labels = if series.drop_name { without_metadata(&series.labels) } else { series.labels.clone() };
                let floats = match self.edges {
                    None => window.floats.to_vec(),
                    Some(_) if !window.histograms.is_empty() => return Err(EvalError::execution(NO_HISTOGRAMS, place)),
                    Some(edges) => extend(&window, edges),
                };
                if !floats.is_empty() || !window.histograms.is_empty() {
                    out.push(Series { labels, floats, histograms: window.histograms.to_vec(), starts: Vec::new() });
                }
                Ok(())
            })?;
        }
        out.sort_by(|a, b| a.labels.cmp(&b.labels));
        if out.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
            return Err(EvalError::execution(SAME_LABELS, place));
        }
        Ok(out)
    }
}
