//! Series that a test writes down.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;

use super::{Load, Loaded};
use crate::model::histogram::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, Histogram, ResetHint};
use crate::model::matcher::all_match;
use crate::model::{LabelSet, METRIC_NAME, MatchOp, Matcher, Select, Series, Source, SourceError, Value, is_stale};
use crate::time::{Span, Timestamp};

/// Series held in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    series: Vec<(LabelSet, Samples)>,
    places: HashMap<LabelSet, usize>,
    /// The places of the series of each metric, sorted by labels, since selectors name the metric.
    named: BTreeMap<String, Vec<usize>>,
}

type Samples = BTreeMap<i64, Held>;

#[derive(Clone, Debug)]
struct Held {
    value: Value,
    /// Since when the value counts.
    start: Option<i64>,
}

impl Held {
    /// Returns the histogram with which a later one may be compared.
    fn histogram(&self) -> Option<&Histogram> {
        match &self.value {
            Value::Histogram(histogram) if !is_stale(histogram.sum) => Some(histogram),
            _ => None,
        }
    }
}

/// Why a sample was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("out of order sample")]
    OutOfOrder,
    #[error("duplicate sample for timestamp {}; the series has another value there already", at.0)]
    Duplicate { at: Timestamp },
}

/// Counts of a classic histogram at one time.
#[derive(Default)]
struct Classic {
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

impl Classic {
    /// Returns the native histogram with custom bounds that says the same; `None` when the counts fall.
    fn to_native(&self) -> Option<Histogram> {
        let mut buckets = self.buckets.clone();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let count = self.count.or(buckets.last().map(|(_, count)| *count)).unwrap_or(0.0);
        if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            buckets.push((f64::INFINITY, count));
        }
        if buckets.windows(2).any(|pair| pair[1].1 < pair[0].1) || buckets.iter().any(|(_, count)| count.is_nan()) {
            return None;
        }
        let mut before = 0.0;
        let differences = buckets.iter().map(|(_, count)| count - std::mem::replace(&mut before, *count)).collect();
        let mut native = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: vec![BucketSpan { offset: 0, length: buckets.len() as u32 }],
            positive_buckets: differences,
            custom_values: buckets[..buckets.len() - 1].iter().map(|(bound, _)| *bound).collect(),
            ..Histogram::default()
        };
        native.compact();
        Some(native)
    }
}

impl Memory {
    /// Appends a sample to a series.
    ///
    /// Errors: as a store would, it refuses a sample older than the newest one, and another value of the same instant.
    pub fn append(&mut self, labels: &LabelSet, at: Timestamp, value: Value) -> Result<(), Refused> {
        let newest = self.places.get(labels).and_then(|place| self.series[*place].1.last_key_value());
        match newest {
            Some((newest, _)) if *newest > at.0 => Err(Refused::OutOfOrder),
            Some((newest, held)) if *newest == at.0 => {
                let same = match (&held.value, &value) {
                    (Value::Float(held), Value::Float(value)) => held.to_bits() == value.to_bits(),
                    (Value::Histogram(held), Value::Histogram(value)) => held.same_data(value),
                    _ => false,
                };
                if same { Ok(()) } else { Err(Refused::Duplicate { at }) }
            }
            _ => {
                self.hold(labels, at.0, Held { value, start: None });
                Ok(())
            }
        }
    }

    fn hold(&mut self, labels: &LabelSet, at: i64, held: Held) {
        self.samples(labels).entry(at).or_insert(held);
    }

    /// Returns the samples of a series, none yet for a new one.
    fn samples(&mut self, labels: &LabelSet) -> &mut Samples {
        let place = match self.places.get(labels) {
            Some(place) => *place,
            None => {
                let place = self.series.len();
                let named = self.named.entry(labels.name().to_owned()).or_default();
                let rank = named.partition_point(|other| self.series[*other].0 < *labels);
                named.insert(rank, place);
                self.places.insert(labels.clone(), place);
                self.series.push((labels.clone(), Samples::new()));
                place
            }
        };
        &mut self.series[place].1
    }

    /// Returns the series that satisfy every matcher, sorted by labels.
    fn matching(&self, matchers: &[Matcher]) -> Vec<(&LabelSet, &Samples)> {
        let name = matchers.iter().find(|matcher| matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal);
        let named: Vec<_> = match name {
            Some(matcher) => self.named.get(&matcher.value).into_iter().collect(),
            None => self.named.values().collect(),
        };
        let all = named.into_iter().flatten().map(|place| &self.series[*place]);
        let matching = all.filter(|(labels, _)| all_match(matchers, labels)).map(|(labels, samples)| (labels, samples));
        let mut found: Vec<_> = matching.collect();
        if name.is_none() {
            found.sort_by_key(|(labels, _)| *labels);
        }
        found
    }

    /// Adds the series of a `load` command, the first samples at the epoch.
    pub fn load(&mut self, load: &Load) {
        // Within one command the last line of a series counts.
        let series: BTreeMap<&LabelSet, &Loaded> = load.series.iter().map(|series| (&series.notation.labels, series)).collect();
        let mut classic: BTreeMap<LabelSet, BTreeMap<i64, Classic>> = BTreeMap::new();
        for (labels, loaded) in series {
            for (index, written) in loaded.notation.values.iter().enumerate() {
                let Some(value) = &written.value else { continue };
                let at = load.interval.0.saturating_mul(index as i64);
                if let Value::Float(value) = value {
                    collect_classic(&mut classic, labels, at, *value);
                }
                // The epoch itself says that the start is not known.
                let start = loaded.starts.get(index).copied().flatten().map(|Span(behind)| at + behind).filter(|at| *at != 0);
                self.hold(labels, at, Held { value: value.clone(), start });
            }
        }
        if load.with_custom_histograms {
            for (labels, samples) in classic {
                let samples = samples.into_iter().filter_map(|(at, classic)| Some((at, classic.to_native()?)));
                let target = self.samples(&labels);
                samples.for_each(|(at, native)| {
                    target.insert(at, Held { value: Value::Histogram(Arc::new(native)), start: None });
                });
            }
        }
    }
}

fn collect_classic(classic: &mut BTreeMap<LabelSet, BTreeMap<i64, Classic>>, labels: &LabelSet, at: i64, value: f64) {
    for suffix in ["_bucket", "_count", "_sum"] {
        let Some(name) = labels.name().strip_suffix(suffix) else { continue };
        let bound = match labels.get("le") {
            "+Inf" | "Inf" => f64::INFINITY,
            bound => bound.parse().unwrap_or(f64::NAN),
        };
        if suffix == "_bucket" && bound.is_nan() {
            continue;
        }
        let base = labels.builder().set(METRIC_NAME, name).remove("le").build();
        let histogram = classic.entry(base).or_default().entry(at).or_default();
        match suffix {
            "_bucket" => histogram.buckets.push((bound, value)),
            "_count" => histogram.count = Some(value),
            _ => histogram.sum = value,
        }
    }
}

/// Returns what a store knows of resets between two histograms that follow one another: a store that finds a reset itself starts
/// a new chunk, and of the first sample of a chunk nothing is known.
fn hint(before: Option<&Histogram>, histogram: &Histogram) -> ResetHint {
    match (histogram.reset_hint, before) {
        (ResetHint::Gauge, _) => ResetHint::Gauge,
        (ResetHint::Reset, _) => ResetHint::Reset,
        (_, None) => ResetHint::Unknown,
        (_, Some(before)) if before.reset_hint == ResetHint::Gauge => ResetHint::Unknown,
        (_, Some(before)) => {
            let bare = Histogram { reset_hint: ResetHint::Unknown, ..histogram.clone() };
            if bare.is_reset_from(before) { ResetHint::Unknown } else { ResetHint::NoReset }
        }
    }
}

impl Source for Memory {
    fn select(&self, request: &Select<'_>) -> Result<Vec<Series>, SourceError> {
        let mut out = Vec::new();
        let mut count = 0;
        for (labels, samples) in self.matching(request.matchers) {
            let mut series = Series { labels: labels.clone(), ..Series::default() };
            if request.start > request.end {
                continue;
            }
            let earlier = samples.range(..request.start.0).next_back();
            let mut before = earlier.and_then(|(_, held)| held.histogram());
            for (at, held) in samples.range(request.start.0..=request.end.0) {
                series.starts.extend(held.start.map(|start| (*at, start)));
                match &held.value {
                    Value::Float(value) => series.floats.push((*at, *value)),
                    Value::Histogram(histogram) => {
                        let reset_hint = hint(before, histogram);
                        series.histograms.push((*at, Arc::new(Histogram { reset_hint, ..histogram.as_ref().clone() })));
                    }
                }
                before = held.histogram();
            }
            count += series.floats.len() + series.histograms.len();
            if count > request.samples_max {
                return Err(SourceError::TooManySamples { limit: request.samples_max });
            }
            if !series.floats.is_empty() || !series.histograms.is_empty() {
                out.push(series);
            }
        }
        Ok(out)
    }
}
