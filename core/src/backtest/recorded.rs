//! What the rules have recorded, before the stored samples.
//!
//! From the begin of the walk on, the series of a name that a rule records are those that the rules under test record: what a service
//! has stored under it came of its own rules. What lies before the begin is read as it was stored.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;

use super::plan::{ALERT_SERIES, may_name};
use super::{BacktestError, RECORDED_MAX};
use crate::model::matcher::all_match;
use crate::model::{LabelSet, METRIC_NAME, MatchOp, Matcher, STALE, Select, Series, Source, SourceError, Value};
use crate::rule::{Kind, RuleGroup};
use crate::time::{Span, Timestamp};

pub(super) struct Recorded {
    begins: Timestamp,
    /// One for each rule.
    writers: Vec<Writer>,
    /// The names whose stored series end where the walk begins.
    hidden: BTreeSet<String>,
    series: Vec<Held>,
    places: HashMap<LabelSet, usize>,
    named: BTreeMap<String, Vec<usize>>,
    samples: usize,
}

struct Writer {
    group: usize,
    index: usize,
    offset: Span,
}

struct Held {
    labels: LabelSet,
    /// The rule that wrote it first.
    writer: usize,
    /// In order of time, no instant twice.
    samples: Vec<(i64, Value)>,
}

/// Who reads, and when: at a slot nothing is there that lies ahead of it, or that the group's later rules are about to write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub slot: Timestamp,
    pub group: usize,
    pub index: usize,
}

/// Stored samples with what was recorded before them.
pub(super) struct View<'v> {
    pub recorded: &'v Recorded,
    pub stored: &'v dyn Source,
    /// None: many slots at once, for rules to which nothing lies ahead.
    pub moment: Option<Moment>,
}

impl Recorded {
    pub fn new(groups: &[RuleGroup], begins: Timestamp) -> Recorded {
        let mut hidden: BTreeSet<String> = ALERT_SERIES.into_iter().map(str::to_owned).collect();
        let mut writers = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            for (index, rule) in group.rules.iter().enumerate() {
                writers.push(Writer { group: number, index, offset: group.query_offset });
                match &rule.kind {
                    Kind::Record { name, .. } => _ = hidden.insert(name.clone()),
                    Kind::Alert(_) => {}
                }
            }
        }
        // What is recorded carries the instant that was asked for, which may lie before the first slot.
        let offset = groups.iter().map(|group| group.query_offset).max().unwrap_or(Span::ZERO);
        Recorded {
            begins: begins - offset,
            writers,
            hidden,
            series: Vec::new(),
            places: HashMap::default(),
            named: BTreeMap::new(),
            samples: 0,
        }
    }

    /// Takes in samples of a series, in order of time. Of two at one instant the first that came stays, as in a store.
    ///
    /// Errors: when too many are held.
    pub fn add(&mut self, labels: &LabelSet, writer: usize, samples: Vec<(i64, Value)>) -> Result<(), BacktestError> {
        let Some((first, _)) = samples.first() else { return Ok(()) };
        let place = match self.places.get(labels) {
            Some(place) => *place,
            None => {
                let place = self.series.len();
                self.named.entry(labels.name().to_owned()).or_default().push(place);
                self.places.insert(labels.clone(), place);
                self.series.push(Held { labels: labels.clone(), writer, samples: Vec::new() });
                place
            }
        };
        let held = &mut self.series[place].samples;
        let before = held.len();
        if held.last().is_none_or(|(last, _)| last < first) {
            held.extend(samples);
        } else {
            // Another rule has written the same series.
            let mut merged: BTreeMap<i64, Value> = samples.into_iter().collect();
            merged.extend(std::mem::take(held));
            *held = merged.into_iter().collect();
        }
        self.samples += held.len() - before;
        if self.samples > RECORDED_MAX { Err(BacktestError::TooMuchRecorded) } else { Ok(()) }
    }

    pub fn forget_before(&mut self, start: Timestamp) {
        for held in &mut self.series {
            let gone = held.samples.partition_point(|(at, _)| *at < start.0);
            held.samples.drain(..gone);
        }
        self.samples = self.series.iter().map(|held| held.samples.len()).sum();
        if self.series.iter().all(|held| !held.samples.is_empty()) {
            return;
        }
        self.series.retain(|held| !held.samples.is_empty());
        self.places.clear();
        self.named.clear();
        for (place, held) in self.series.iter().enumerate() {
            self.places.insert(held.labels.clone(), place);
            self.named.entry(held.labels.name().to_owned()).or_default().push(place);
        }
    }

    /// Returns up to which instant, itself included, a series is there for a reader.
    fn until(&self, held: &Held, moment: Option<Moment>) -> i64 {
        let Some(moment) = moment else { return i64::MAX };
        let writer = &self.writers[held.writer];
        let is_to_come = writer.group == moment.group && writer.index >= moment.index;
        (moment.slot - writer.offset).0 - i64::from(is_to_come)
    }

    fn select(&self, request: &Select<'_>, moment: Option<Moment>) -> Vec<Series> {
        let exact = request.matchers.iter().find(|matcher| matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal);
        let named: Vec<&Vec<usize>> = match exact {
            Some(matcher) => self.named.get(&matcher.value).into_iter().collect(),
            None => self.named.values().collect(),
        };
        let mut found = Vec::new();
        for held in named.into_iter().flatten().map(|place| &self.series[*place]) {
            if !all_match(request.matchers, &held.labels) {
                continue;
            }
            let end = request.end.0.min(self.until(held, moment));
            let from = held.samples.partition_point(|(at, _)| *at < request.start.0);
            let to = held.samples.partition_point(|(at, _)| *at <= end);
            if from >= to {
                continue;
            }
            let from = if request.newest_only { to - 1 } else { from };
            let mut series = Series { labels: held.labels.clone(), ..Series::default() };
            for (at, value) in &held.samples[from..to] {
                match value {
                    Value::Float(value) => series.floats.push((*at, *value)),
                    Value::Histogram(histogram) => series.histograms.push((*at, histogram.clone())),
                }
            }
            found.push(series);
        }
        found
    }

    fn hides(&self, matchers: &[Matcher]) -> bool {
        self.hidden.iter().any(|name| may_name(matchers, name))
    }
}

fn len(series: &[Series]) -> usize {
    series.iter().map(|series| series.floats.len() + series.histograms.len()).sum()
}

impl View<'_> {
    fn stored(&self, request: &Select<'_>) -> Result<Vec<Series>, SourceError> {
        let now = self.moment.map_or(Timestamp::MAX, |moment| moment.slot);
        let asked = Select { end: request.end.min(now), ..request.clone() };
        if asked.start > asked.end {
            return Ok(Vec::new());
        }
        let hidden = &self.recorded.hidden;
        let ends_at = Timestamp(self.recorded.begins.0 - 1);
        if asked.end < ends_at || !self.recorded.hides(request.matchers) {
            return self.stored.select(&asked);
        }
        let only_hidden = request
            .matchers
            .iter()
            .any(|matcher| matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal && hidden.contains(&matcher.value));
        let mut series = if !only_hidden {
            self.stored.select(&Select { newest_only: false, ..asked })?
        } else if asked.start < ends_at {
            self.stored.select(&Select { end: Timestamp(ends_at.0 - 1), ..asked })?
        } else {
            Vec::new()
        };
        for one in series.iter_mut().filter(|one| hidden.contains(one.labels.name())) {
            one.floats.retain(|(at, _)| *at < ends_at.0);
            one.histograms.retain(|(at, _)| *at < ends_at.0);
            one.starts.retain(|(at, _)| *at < ends_at.0);
            // It ends there; else it would be seen for a while beside what is recorded from there on.
            if !one.floats.is_empty() || !one.histograms.is_empty() {
                one.floats.push((ends_at.0, STALE));
            }
        }
        series.retain(|one| !one.floats.is_empty() || !one.histograms.is_empty());
        Ok(series)
    }
}

impl Source for View<'_> {
    fn select(&self, request: &Select<'_>) -> Result<Vec<Series>, SourceError> {
        let mut series = self.stored(request)?;
        let recorded = self.recorded.select(request, self.moment);
        if recorded.is_empty() {
            return Ok(series);
        }
        // What was stored before the walk and what was recorded on it are one series.
        let places: HashMap<LabelSet, usize> =
            series.iter().enumerate().map(|(place, one)| (one.labels.clone(), place)).collect();
        for one in recorded {
            match places.get(&one.labels) {
                None => series.push(one),
                Some(place) => {
                    let known = &mut series[*place];
                    known.floats.extend(one.floats);
                    known.histograms.extend(one.histograms);
                }
            }
        }
        if len(&series) > request.samples_max {
            return Err(SourceError::TooManySamples { limit: request.samples_max });
        }
        Ok(series)
    }
}
