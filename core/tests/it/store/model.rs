//! What the store promises, as a map of maps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_core::model::matcher::all_match;
use tocsin_core::model::{Histogram, LabelSet, Matcher, Series, Value};
use tocsin_core::store::Appended;

/// A value that can be compared bit for bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exact {
    Float(u64),
    /// A histogram that is made from this number.
    Histogram(u64),
}

impl Exact {
    pub fn value(self) -> Value {
        match self {
            Exact::Float(bits) => Value::Float(f64::from_bits(bits)),
            Exact::Histogram(number) => Value::Histogram(Arc::new(Histogram {
                schema: 3,
                count: number as f64,
                sum: number as f64 / 7.0,
                positive_buckets: vec![number as f64; (number % 5) as usize],
                ..Histogram::default()
            })),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct ModelSeries {
    pub samples: BTreeMap<i64, Exact>,
    newest: Option<i64>,
    /// Nothing is older.
    oldest: i64,
}

impl ModelSeries {
    /// Returns whether lists name the series.
    fn is_listed(&self, horizon: i64) -> bool {
        self.newest.is_some_and(|newest| newest >= horizon && self.oldest <= newest)
    }
}

#[derive(Clone, Debug)]
pub struct Model {
    pub series: BTreeMap<LabelSet, ModelSeries>,
    pub horizon: i64,
    window: i64,
    /// What the row at hand has brought.
    brought: BTreeSet<(LabelSet, i64)>,
}

impl Model {
    pub fn new(window: i64) -> Model {
        Model { series: BTreeMap::new(), horizon: i64::MIN, window, brought: BTreeSet::new() }
    }

    pub fn resolve(&mut self, labels: &LabelSet) {
        self.series.entry(labels.clone()).or_default();
    }

    pub fn begin_row(&mut self) {
        self.brought.clear();
    }

    /// Takes one cell as the store must; `any_age` for bulk data.
    pub fn append(&mut self, labels: &LabelSet, at: i64, value: Exact, any_age: bool, counts: &mut Appended) {
        let series = self.series.get_mut(labels).expect("cells are of resolved series");
        if at < self.horizon {
            counts.too_old += 1;
            return;
        }
        if let Some(newest) = series.newest
            && at < newest
            && !any_age
            && !self.brought.contains(&(labels.clone(), at))
            && newest - at > self.window
        {
            *(if self.window == 0 { &mut counts.out_of_order } else { &mut counts.too_old }) += 1;
            return;
        }
        match series.samples.get(&at) {
            Some(own) if *own == value => {}
            Some(_) => counts.duplicate += 1,
            None => {
                series.samples.insert(at, value);
                self.brought.insert((labels.clone(), at));
                series.oldest = if series.newest.is_none() { at } else { series.oldest.min(at) };
                series.newest = series.newest.max(Some(at));
                counts.samples += 1;
            }
        }
    }

    /// Forgets what is older than the horizon, and the series that have nothing else.
    pub fn truncate(&mut self, horizon: i64) {
        self.horizon = self.horizon.max(horizon);
        for series in self.series.values_mut() {
            series.samples.retain(|at, _| *at >= self.horizon);
            series.oldest = series.oldest.max(self.horizon);
        }
        self.series.retain(|_, series| series.newest.is_some_and(|newest| newest >= self.horizon));
    }

    /// Deletes; returns of how many series how many samples went.
    pub fn delete(&mut self, matchers: &[Matcher], start: i64, end: i64) -> (u64, u64) {
        let (mut count, mut gone) = (0, 0);
        for (_, series) in self.series.iter_mut().filter(|(labels, _)| all_match(matchers, labels)) {
            let before = series.samples.len();
            series.samples.retain(|at, _| !(start..=end).contains(at));
            gone += (before - series.samples.len()) as u64;
            count += u64::from(before > series.samples.len());
            match series.newest {
                Some(newest) if newest < start || series.oldest > end => {}
                Some(newest) if newest > end && series.oldest >= start => series.oldest = end + 1,
                Some(newest) if newest > end => {}
                Some(_) if series.oldest >= start => series.newest = None,
                Some(_) => series.newest = Some(start - 1),
                None => {}
            }
        }
        (count, gone)
    }

    /// Returns the label sets that lists hold. One that lost its samples piece by piece stays until the retention has passed it.
    pub fn listed(&self) -> Vec<LabelSet> {
        self.series.iter().filter(|(_, series)| series.is_listed(self.horizon)).map(|(labels, _)| labels.clone()).collect()
    }

    /// Returns the label sets that have samples.
    pub fn visible(&self) -> Vec<LabelSet> {
        self.series.iter().filter(|(_, series)| !series.samples.is_empty()).map(|(labels, _)| labels.clone()).collect()
    }

    pub fn select(&self, matchers: &[Matcher], start: i64, end: i64) -> Vec<Series> {
        let mut found = Vec::new();
        if start > end {
            return found;
        }
        for (labels, series) in self.series.iter().filter(|(labels, _)| all_match(matchers, labels)) {
            let mut own = Series { labels: labels.clone(), ..Series::default() };
            for (at, value) in series.samples.range(start..=end) {
                match value.value() {
                    Value::Float(value) => own.floats.push((*at, value)),
                    Value::Histogram(histogram) => own.histograms.push((*at, histogram)),
                }
            }
            if !own.floats.is_empty() || !own.histograms.is_empty() {
                found.push(own);
            }
        }
        found
    }
}

/// Returns an answer as text in which every bit shows.
pub fn spell(series: &[Series]) -> Vec<String> {
    let line = |series: &Series| {
        let floats: Vec<String> = series.floats.iter().map(|(at, value)| format!("{at}:{:x}", value.to_bits())).collect();
        let histograms: Vec<String> = series.histograms.iter().map(|(at, histogram)| format!("{at}:{histogram:?}")).collect();
        format!("{} {} {}", series.labels, floats.join(" "), histograms.join(" "))
    };
    series.iter().map(line).collect()
}
