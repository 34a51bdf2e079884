//! Objectives, from the file as people write it to alerts and figures.

mod alerts;
mod calendar;
mod faults;
mod figures;
mod history;
mod indicators;
mod openslo;
mod sloth;

use std::sync::Arc;

use tocsin_core::model::matcher::all_match;
use tocsin_core::model::{LabelSet, Select, Series, Source, SourceError};
use tocsin_core::problem::{Problem, has_errors};
use tocsin_core::promql::evaluate::{Cancel, Options};
use tocsin_core::slo::openslo::{read, resolve};
use tocsin_core::slo::{Definition, Pace, Standing, Tick, definitions};
use tocsin_core::time::{Span, Timestamp};

/// 2026-11-21T00:00:00Z
pub const START: Timestamp = Timestamp(1_795_219_200_000);

/// Series in memory, sorted by labels.
#[derive(Clone, Default)]
pub struct Memory {
    pub series: Vec<Series>,
}

impl Source for Memory {
    fn select(&self, request: &Select<'_>) -> Result<Vec<Series>, SourceError> {
        let mut found = Vec::new();
        for series in &self.series {
            let ended = series.floats.last().is_none_or(|(at, _)| *at < request.start.0);
            if ended || series.floats[0].0 > request.end.0 {
                continue;
            }
            let from = series.floats.partition_point(|(at, _)| *at < request.start.0);
            let to = series.floats.partition_point(|(at, _)| *at <= request.end.0);
            if from < to && all_match(request.matchers, &series.labels) {
                found.push(Series {
                    labels: series.labels.clone(),
                    floats: series.floats[from..to].to_vec(),
                    ..Series::default()
                });
            }
        }
        Ok(found)
    }
}

impl Memory {
    /// Appends a sample; the series are told apart by their labels in text, such as `up{job="a"}`.
    pub fn add(&mut self, series: &str, at: Timestamp, value: f64) {
        let labels = labels(series);
        match self.series.binary_search_by(|one| one.labels.cmp(&labels)) {
            Ok(found) => self.series[found].floats.push((at.0, value)),
            Err(place) => self.series.insert(place, Series { labels, floats: vec![(at.0, value)], ..Series::default() }),
        }
    }
}

pub fn labels(series: &str) -> LabelSet {
    tocsin_core::promql::parse::parse_metric(series).expect("a series")
}

/// Returns the definitions of a file that has no errors.
pub fn define(text: &str) -> Vec<Arc<Definition>> {
    let (definitions, problems) = define_with_faults(text);
    assert!(!has_errors(&problems), "{problems:#?}");
    definitions
}

pub fn define_with_faults(text: &str) -> (Vec<Arc<Definition>>, Vec<Problem>) {
    let (documents, mut problems) = read("slo.yml", text);
    let (resolved, more) = resolve(vec![documents]);
    problems.extend(more);
    let (definitions, more) = definitions(&resolved);
    problems.extend(more);
    (definitions.into_iter().map(Arc::new).collect(), problems)
}

/// An SLO on two counters, without its name and what the test is about.
pub const AVAILABILITY: &str = r#"
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout, displayName: Checkout, labels: {team: shop}}
spec:
  service: shop
  indicator:
    metadata: {name: checkout-errors}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: Prometheus, spec: {query: 'sum(rate(requests_total{code=~"5.."}[5m]))'}}}
        total: {metricSource: {type: Prometheus, spec: {query: sum(requests_total)}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.999}]
"#;

pub fn secs(seconds: i64) -> Span {
    Span::from_secs(seconds)
}

/// Ticks until everything settled at `now` is read; returns what came.
pub fn advance(standing: &mut Standing, source: &dyn Source, now: Timestamp) -> Tick {
    let mut all = Tick { is_current: true, ..Tick::default() };
    while let Some(want) = standing.wants(now) {
        let samples = want.fetch(source, &Options::default(), &Cancel::new()).expect("memory can be read");
        let tick = standing.tick(now, &samples).expect("the samples are those that were wanted");
        all.rows.extend(tick.rows);
        all.judged = tick.judged;
        all.refused += tick.refused;
        all.is_current = tick.is_current;
    }
    all
}

/// Counts everything of a definition from an instant on.
pub fn counted(definition: &Arc<Definition>, source: &dyn Source, since: Timestamp, now: Timestamp) -> (Standing, Tick) {
    let (mut standing, _) = Standing::new(definition.clone(), Pace::default(), since);
    let tick = advance(&mut standing, source, now + secs(5));
    (standing, tick)
}
