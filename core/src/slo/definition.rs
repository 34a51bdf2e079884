//! Definitions: one objective of an SLO, ready to be counted.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::model::Matcher;
use crate::problem::{Problem, Severity};
use crate::promql::walk::selectors;
use crate::time::Span;

use super::alerts::{AlertRule, default_rules, policy_rule};
use super::ledger::{Tier, tiers};
use super::openslo::{Method, Metric, MetricSource, Objective, Origin, Resolved, Sli, Target};
use super::query::{self, Meaning, Reading, Stream};
use super::slices::{SliceRule, Slices};
use super::window::Window;

/// The annotations of an SLO that we read.
const NEW_SERIES: &str = "tocsin.dev/new-series";
const EVENTS_MIN: &str = "tocsin.dev/events-min";
const BAD_EVENTS_MIN: &str = "tocsin.dev/bad-events-min";
const DEFAULT_ALERTS: &str = "tocsin.dev/default-alerts";

/// Windows and look-backs above this are refused.
const WINDOW_MAX: Span = Span::from_mins(3 * 366 * 24 * 60);

/// One objective of an SLO.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The name of the SLO; behind the first objective with the objective's number: `checkout/1`.
    pub id: String,
    pub slo: String,
    /// For people.
    pub title: String,
    pub description: String,
    pub service: String,
    /// Of the SLO; several values of one label are joined by commas.
    pub labels: BTreeMap<String, String>,
    pub window: Window,
    pub target: Target,
    pub counting: Counting,
    pub guard: Guard,
    pub alerts: Vec<AlertRule>,
    pub origin: Origin,
}

/// What decides the counts.
#[derive(Clone, Debug)]
pub struct Counting {
    pub streams: Vec<Stream>,
    /// None: events are counted.
    pub slices: Option<Slices>,
    pub newcomers: Newcomers,
}

/// What the first value of a series counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Newcomers {
    /// Its whole value when the target was seen within the hour before, since it has then grown under our eyes; else nothing.
    #[default]
    OfKnownTargets,
    FromZero,
    FromFirst,
}

/// Below which counts nothing is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    pub events_min: u64,
    pub bad_min: u64,
}

impl Guard {
    const EVENTS: Guard = Guard { events_min: 10, bad_min: 3 };
    /// A slice is a judgement over many events already.
    const SLICES: Guard = Guard { events_min: 1, bad_min: 1 };
}

impl Definition {
    /// Returns what stands for the counts in stored rows: it changes when anything does that decides them.
    ///
    /// The target and the window decide none: they can be changed and the ledger goes on.
    pub fn hash(&self) -> String {
        let Counting { streams, slices, newcomers } = &self.counting;
        let texts: Vec<&str> = streams.iter().map(|stream| stream.text.as_str()).collect();
        let digest = Sha256::digest(format!("1\n{texts:?}\n{slices:?}\n{newcomers:?}"));
        digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns the selectors of all series that are read.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        let mut all = Vec::new();
        for stream in &self.counting.streams {
            match &stream.reading {
                Reading::Selector { matchers } => all.push(matchers.as_slice()),
                Reading::Expression { expr } => all.extend(selectors(expr)),
            }
        }
        all
    }

    /// Returns the tiers of the ledger: they keep the window, and what alerts look back.
    pub fn tiers(&self) -> Vec<Tier> {
        let longest = self.alerts.iter().map(AlertRule::longest).fold(self.window.span_max(), Span::max);
        tiers(longest)
    }

    /// Returns what is promised and what is counted, a line for each.
    pub fn text(&self) -> String {
        let percent = |target: Target| f64::from(target.0) / 1e7;
        let mut text = format!("{}: {} % of {} over {}\n", self.id, percent(self.target), self.noun(), self.window);
        if let Some(slices) = self.counting.slices {
            let good = match slices.rule {
                SliceRule::AtLeast(target) => format!("good with at least {} % of its events", percent(target)),
                SliceRule::Ratio => "as good as its share of good events".to_owned(),
            };
            text += &format!("a slice is {} long, and {good}\n", slices.length);
        }
        for stream in &self.counting.streams {
            text += &format!("{stream}\n");
        }
        text
    }

    /// Names what is counted.
    pub fn noun(&self) -> &'static str {
        if self.counting.slices.is_some() { "slices" } else { "events" }
    }
}

/// Returns the definitions of SLOs, one for each objective.
///
/// Shape: those that can be counted, also when others are at fault. Errors: sources that we do not read, and queries that cannot be
/// counted.
pub fn definitions(resolved: &[Resolved]) -> (Vec<Definition>, Vec<Problem>) {
    let (mut definitions, mut problems) = (Vec::new(), Vec::new());
    for slo in resolved {
        for (number, (objective, sli)) in slo.slo.objectives.iter().zip(&slo.indicators).enumerate() {
            let mut reader = Reader { problems: &mut problems };
            definitions.extend(reader.definition(slo, number, objective, sli));
        }
    }
    problems.sort_by(|one, other| (&one.file, one.position, &one.message).cmp(&(&other.file, other.position, &other.message)));
    problems.dedup();
    (definitions, problems)
}

struct Reader<'p> {
    problems: &'p mut Vec<Problem>,
}

impl Reader<'_> {
    fn error(&mut self, at: &Origin, message: impl Into<String>) {
        self.problems.push(at.problem(Severity::Error, message));
    }

    fn definition(&mut self, resolved: &Resolved, number: usize, objective: &Objective, sli: &Sli) -> Option<Definition> {
        let slo = &resolved.slo;
        let slices = slices(slo.method, objective);
        let guard = self.guard(resolved, if slices.is_some() { Guard::SLICES } else { Guard::EVENTS });
        let newcomers = self.newcomers(resolved);
        let streams = self.streams(sli, objective);
        let id = if number == 0 { slo.metadata.name.clone() } else { format!("{}/{number}", slo.metadata.name) };
        let mut title = slo.metadata.title().to_owned();
        if !objective.display_name.is_empty() {
            title = format!("{title}: {}", objective.display_name);
        }
        if slo.window.span_max() > WINDOW_MAX {
            self.error(&slo.metadata.at, "the window is longer than three years; shorten it");
        }
        let alerts = self.alerts(resolved, slices);
        let labels = slo.metadata.labels.iter().map(|(name, values)| (name.clone(), values.join(","))).collect();
        Some(Definition {
            id,
            slo: slo.metadata.name.clone(),
            title,
            description: slo.description.clone(),
            service: slo.service.clone(),
            labels,
            window: slo.window,
            target: objective.target,
            counting: Counting { streams: streams?, slices, newcomers },
            guard,
            alerts,
            origin: objective.at.clone(),
        })
    }

    fn streams(&mut self, sli: &Sli, objective: &Objective) -> Option<Vec<Stream>> {
        match &sli.metric {
            Metric::Threshold(source) => {
                let meaning = Meaning::Threshold { op: objective.op?, limit: objective.value? };
                let stream = query::values(self.query(source)?, meaning);
                self.told(source, stream.map(|stream| vec![stream]))
            }
            Metric::Raw { part, ratio } => {
                let stream = query::values(self.query(ratio)?, Meaning::Ratio { part: *part });
                self.told(ratio, stream.map(|stream| vec![stream]))
            }
            Metric::Ratio { counter, part, events, total } => {
                let (numerator, denominator) = (self.query(events), self.query(total));
                let (numerator, denominator) = query::ratio(*counter, *part, numerator?, denominator?);
                let (numerator, denominator) = (self.told(events, numerator), self.told(total, denominator));
                let mut streams = numerator?;
                streams.extend(denominator?);
                Some(streams)
            }
        }
    }

    fn query<'s>(&mut self, source: &'s MetricSource) -> Option<&'s str> {
        if !source.source_type.eq_ignore_ascii_case("prometheus") {
            let message = format!(
                "sources of type {:?} are not read; objectives are counted from our own metrics: write type: Prometheus",
                source.source_type
            );
            self.error(&source.at, message);
            return None;
        }
        if source.query.is_none() {
            self.error(&source.at, "query is missing; write spec: with query: and an expression of PromQL");
        }
        source.query.as_deref()
    }

    fn told<T>(&mut self, source: &MetricSource, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.error(&source.at, message)).ok()
    }

    fn guard(&mut self, resolved: &Resolved, default: Guard) -> Guard {
        let mut number = |key: &str, default: u64| {
            let Some(text) = resolved.slo.metadata.annotations.get(key) else { return default };
            text.parse().unwrap_or_else(|_| {
                self.error(&resolved.slo.metadata.at, format!("the annotation {key} must be a whole number, zero or greater"));
                default
            })
        };
        Guard { events_min: number(EVENTS_MIN, default.events_min), bad_min: number(BAD_EVENTS_MIN, default.bad_min) }
    }

    fn newcomers(&mut self, resolved: &Resolved) -> Newcomers {
        match resolved.slo.metadata.annotations.get(NEW_SERIES).map(String::as_str) {
            None | Some("known-target") => Newcomers::OfKnownTargets,
            Some("zero") => Newcomers::FromZero,
            Some("first") => Newcomers::FromFirst,
            Some(_) => {
                let message = format!("the annotation {NEW_SERIES} must be known-target, zero or first");
                self.error(&resolved.slo.metadata.at, message);
                Newcomers::default()
            }
        }
    }

    /// An SLO without policies has the default alerts; one with policies has those.
    fn alerts(&mut self, resolved: &Resolved, slices: Option<Slices>) -> Vec<AlertRule> {
        let mut rules = Vec::new();
        let by_default = match resolved.slo.metadata.annotations.get(DEFAULT_ALERTS).map(String::as_str) {
            None => resolved.policies.is_empty(),
            Some("true") => true,
            Some("false") => false,
            Some(_) => {
                self.error(&resolved.slo.metadata.at, format!("the annotation {DEFAULT_ALERTS} must be true or false"));
                true
            }
        };
        if by_default {
            rules.extend(default_rules(&resolved.slo.window, slices));
        }
        for policy in &resolved.policies {
            if policy.condition.lookback > WINDOW_MAX {
                self.error(&policy.condition.metadata.at, "lookbackWindow is longer than three years; shorten it");
            }
            if let Some(slices) = slices.filter(|slices| policy.condition.lookback < slices.length) {
                let message =
                    format!("lookbackWindow is shorter than a time slice of {}; make it at least as long", slices.length);
                self.error(&policy.condition.metadata.at, message);
            }
            if !policy.policy.when_breaching && !policy.policy.when_no_data {
                let message =
                    "alertWhenResolved alone alerts of nothing: whether the end of an alert is told is for routing to say";
                self.problems.push(policy.policy.metadata.at.problem(Severity::Warning, message));
            }
            rules.extend(policy_rule(policy));
        }
        rules
    }
}

fn slices(method: Method, objective: &Objective) -> Option<Slices> {
    let length = objective.slice?;
    match method {
        Method::Occurrences => None,
        Method::Timeslices => Some(Slices { length, rule: SliceRule::AtLeast(objective.slice_target?) }),
        Method::RatioTimeslices => Some(Slices { length, rule: SliceRule::Ratio }),
    }
}
