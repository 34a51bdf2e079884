//! What the sources of metrics that we ask over an API have in common, where targets are scraped: how far back to ask, when to try
//! again, and what one collection means for the store.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Cell, LabelSet, METRIC_NAME, Row, STALE, Series, SeriesRef, Value};
use crate::time::{Span, Timestamp};

/// What one collection brought.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// Points under their own times, which may lie behind those of earlier collections.
    pub series: Vec<Series>,
    /// What holds at the time of the collection itself: names, labels and values.
    pub facts: Vec<(LabelSet, f64)>,
    /// Why the collection is not whole; what it brought counts nevertheless.
    pub error: Option<String>,
}

impl Gathered {
    /// Notes why the collection is not whole; the first reason is the one that is told.
    pub fn fail(&mut self, reason: impl Into<String>) {
        if self.error.is_none() {
            self.error = Some(reason.into());
        }
    }

    /// Notes that the collection was not done within its time; `trouble` is why it was trying a request again.
    pub fn run_out(&mut self, timeout: Span, trouble: Option<String>) {
        let trouble = trouble.map(|trouble| format!("; {trouble}")).unwrap_or_default();
        self.fail(format!("the collection was not done within its timeout of {timeout}{trouble}"));
    }
}

/// Returns whether it is time to list anew what there is to ask for: never done, long ago, or before the clock was set back.
pub fn must_list(last: Option<Timestamp>, interval: Span, now: Timestamp) -> bool {
    last.is_none_or(|last| now.since(last) >= interval || now < last)
}

/// How far back collections look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Points may appear this much later than others of their time, and are still taken.
    pub window: Span,
    /// After an interruption at most this much is made up for.
    pub catch_up: Span,
}

impl Reach {
    /// Returns the instant from which on to ask. `last` is when a collection last succeeded.
    pub fn start(&self, now: Timestamp, last: Option<Timestamp>) -> Timestamp {
        let missed = last.map_or(self.catch_up, |last| now.since(last).max(Span::ZERO));
        let back = Span(self.window.0.saturating_add(missed.0)).min(self.catch_up).max(self.window);
        now - back
    }
}

/// Attempts at one request; the last one's failure is the request's.
pub const ATTEMPTS_MAX: u32 = 5;
const WAIT_FIRST: Span = Span(500);
const WAIT_MAX: Span = Span::from_secs(10);

/// Returns how long to wait before the next attempt; None when there is none.
///
/// `attempt` counts those that failed, from 1; `wish` is what the other side asked for; `dice` is any number, by which clients that
/// were refused together come back apart.
pub fn wait_before_next(attempt: u32, wish: Option<Span>, dice: u64) -> Option<Span> {
    if attempt >= ATTEMPTS_MAX {
        return None;
    }
    let doubled = Span(WAIT_FIRST.0 << attempt.saturating_sub(1).min(10)).min(WAIT_MAX);
    let spread = Span(doubled.0 / 2 + (dice % (doubled.0 / 2 + 1) as u64) as i64);
    Some(wish.unwrap_or(Span::ZERO).max(spread))
}

/// Returns rows of points, one for each instant, oldest first. A series that `resolve` refuses is left out.
pub fn rows(series: &[Series], resolve: &mut dyn FnMut(&LabelSet) -> Option<SeriesRef>) -> Vec<Row> {
    let mut by_time: BTreeMap<i64, Vec<Cell>> = BTreeMap::new();
    for one in series.iter().filter(|one| !one.floats.is_empty()) {
        let Some(number) = resolve(&one.labels) else { continue };
        for (at, value) in &one.floats {
            by_time.entry(*at).or_default().push(Cell { series: number, at: None, value: Value::Float(*value) });
        }
    }
    by_time.into_iter().map(|(at, cells)| Row { at: Timestamp(at), cells }).collect()
}

/// The series of one source that tell how it fares: written at each collection, and ended when they are written no more.
#[derive(Clone, Debug, Default)]
pub struct Health {
    alive: BTreeSet<LabelSet>,
}

impl Health {
    /// Returns the series of one collection's report with their values, and the markers of those that ended.
    ///
    /// `labels` are the source's own, `seconds` is how long the collection took. Named as a scrape's report, so that `up == 0` finds
    /// sources of every kind.
    pub fn report(&mut self, labels: &LabelSet, gathered: &Gathered, seconds: f64) -> Vec<(LabelSet, f64)> {
        let points: usize = gathered.series.iter().map(|one| one.floats.len()).sum();
        let series = gathered.series.iter().filter(|one| !one.floats.is_empty()).count();
        let mut report = vec![
            (named(labels, "up"), f64::from(u8::from(gathered.error.is_none()))),
            (named(labels, "scrape_duration_seconds"), seconds),
            (named(labels, "scrape_samples_scraped"), points as f64),
            (named(labels, "tocsin_collected_series"), series as f64),
        ];
        report.extend(gathered.facts.iter().cloned());
        let now: BTreeSet<LabelSet> = report.iter().map(|(labels, _)| labels.clone()).collect();
        report.extend(self.alive.difference(&now).map(|labels| (labels.clone(), STALE)));
        self.alive = now;
        report
    }

    /// Returns the series that are alive, for the end of the source.
    pub fn alive(&self) -> impl Iterator<Item = &LabelSet> {
        self.alive.iter()
    }
}

/// Returns labels under a metric's name.
pub fn named(labels: &LabelSet, name: &str) -> LabelSet {
    let mut builder = labels.builder();
    builder.set(METRIC_NAME, name);
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_looks_back_by_its_window_and_makes_up_for_what_was_missed() {
        let reach = Reach { window: Span::from_mins(10), catch_up: Span::from_mins(180) };
        let now = Timestamp(1_000_000_000);
        let minutes = |last: Option<i64>| now.since(reach.start(now, last.map(|m| now - Span::from_mins(m)))).0 / 60_000;
        assert_eq!(
            [None, Some(0), Some(1), Some(30), Some(500), Some(-5)].map(minutes),
            [180, 10, 11, 40, 180, 10],
            "never, just now, a minute ago, after half an hour, after a long time, and after the clock was set back"
        );
        let short = Reach { window: Span::from_mins(10), catch_up: Span::ZERO };
        assert_eq!(now.since(short.start(now, None)), Span::from_mins(10));
    }

    #[test]
    fn lists_are_read_anew_after_their_interval_and_after_a_step_back() {
        let must = |last: Option<i64>| must_list(last.map(Timestamp), Span(100), Timestamp(1_000));
        assert_eq!([None, Some(900), Some(901), Some(1_000), Some(1_001)].map(must), [true, true, false, false, true]);
    }

    #[test]
    fn a_collection_that_runs_out_of_time_tells_what_it_was_waiting_for() {
        let told = |trouble: Option<&str>| {
            let mut gathered = Gathered::default();
            gathered.run_out(Span::from_secs(50), trouble.map(str::to_owned));
            gathered.error.unwrap()
        };
        assert_eq!(told(None), "the collection was not done within its timeout of 50s");
        assert_eq!(told(Some("it is throttled")), "the collection was not done within its timeout of 50s; it is throttled");
    }

    #[test]
    fn waits_double_up_to_a_limit_and_honour_a_wish() {
        let waits: Vec<Option<i64>> = (1..=6).map(|attempt| wait_before_next(attempt, None, 0).map(|span| span.0)).collect();
        assert_eq!(waits, [Some(250), Some(500), Some(1_000), Some(2_000), None, None]);
        let most: Vec<i64> = (1..=4)
            .filter_map(|attempt| wait_before_next(attempt, None, (500 << (attempt - 1)) / 2).map(|span| span.0))
            .collect();
        assert_eq!(most, [500, 1_000, 2_000, 4_000]);
        assert_eq!(wait_before_next(1, Some(Span::from_secs(30)), 7), Some(Span::from_secs(30)));
    }

    #[test]
    fn points_become_one_row_for_each_instant() {
        let labels = |name: &str| LabelSet::from_pairs([("__name__", name)]);
        let series = [
            Series { labels: labels("a"), floats: vec![(60_000, 1.0), (120_000, 2.0)], ..Series::default() },
            Series { labels: labels("b"), floats: vec![(60_000, 3.0)], ..Series::default() },
            Series { labels: labels("full"), floats: vec![(60_000, 9.0)], ..Series::default() },
            Series { labels: labels("empty"), ..Series::default() },
        ];
        let mut asked = Vec::new();
        let rows = rows(&series, &mut |labels| {
            asked.push(labels.name().to_owned());
            (labels.name() != "full").then_some(SeriesRef(asked.len() as u32))
        });
        let shown: Vec<(i64, Vec<u32>)> =
            rows.iter().map(|row| (row.at.0, row.cells.iter().map(|cell| cell.series.0).collect())).collect();
        assert_eq!(shown, [(60_000, vec![1, 2]), (120_000, vec![1])]);
        assert_eq!(asked, ["a", "b", "full"], "a series without points is not made");
    }

    #[test]
    fn health_is_written_each_time_and_ends_where_it_is_written_no_more() {
        let own = LabelSet::from_pairs([("job", "aws"), ("instance", "eu-west-1")]);
        let fact = |member: &str| (LabelSet::from_pairs([("__name__", "info"), ("type", member)]), 1.0);
        let mut health = Health::default();
        let mut gathered = Gathered { facts: vec![fact("primary")], ..Gathered::default() };
        let told = health.report(&own, &gathered, 0.5);
        let up = told.iter().find(|(labels, _)| labels.name() == "up").unwrap();
        assert_eq!(up.0.to_string(), "{__name__=\"up\", instance=\"eu-west-1\", job=\"aws\"}");
        assert_eq!((up.1, told.len()), (1.0, 5));
        gathered.facts = vec![fact("secondary")];
        gathered.fail("first");
        gathered.fail("second");
        assert_eq!(gathered.error.as_deref(), Some("first"));
        let told = health.report(&own, &gathered, 0.5);
        assert_eq!(told.iter().find(|(labels, _)| labels.name() == "up").unwrap().1, 0.0);
        let ended: Vec<&LabelSet> =
            told.iter().filter(|(_, value)| value.to_bits() == STALE.to_bits()).map(|(labels, _)| labels).collect();
        assert_eq!(ended, [&fact("primary").0]);
        assert_eq!(health.alive().count(), 5);
    }
}
