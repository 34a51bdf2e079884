//! Bodies into rows, through the doors of `scrape`: stories of one target.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_core::client::HttpClient;
use tocsin_core::model::relabel::{Action, RelabelRule};
use tocsin_core::model::{Claim, LabelSet, Resolved, Row, SeriesRef, Value, is_stale};
use tocsin_core::scrape::body::{Outcome, TargetState};
use tocsin_core::scrape::job::{Histograms, Job, Limits, Protocol, TargetGroup};
use tocsin_core::scrape::target::{Found, targets};
use tocsin_core::time::{Span, Timestamp};

mod corpus;
mod discovery;
mod histograms;
mod limits;
mod replacing;
mod rows;
mod steady;

pub fn job() -> Job {
    Job {
        name: "demo".to_owned(),
        interval: Span::from_secs(15),
        timeout: Span::from_secs(10),
        metrics_path: "/metrics".to_owned(),
        scheme: "http".to_owned(),
        params: BTreeMap::new(),
        honor_labels: false,
        honor_timestamps: true,
        track_timestamps_staleness: false,
        enable_compression: true,
        client: HttpClient::default(),
        static_groups: Vec::new(),
        file_sd: Vec::new(),
        http_sd: Vec::new(),
        relabel: Vec::new(),
        metric_relabel: Vec::new(),
        limits: Limits::default(),
        classic_names_only: false,
        fallback_protocol: None,
        protocols: Protocol::DEFAULTS.to_vec(),
        histograms: Histograms::default(),
    }
}

pub fn rule(action: Action, source: &[&str], pattern: &str, target: &str, replacement: &str) -> RelabelRule {
    RelabelRule {
        source_labels: source.iter().map(|name| (*name).to_owned()).collect(),
        target_label: target.to_owned(),
        replacement: replacement.to_owned(),
        ..RelabelRule::new(action).with_pattern(pattern).unwrap()
    }
}

pub fn group(addresses: &[&str], labels: &[(&str, &str)]) -> TargetGroup {
    TargetGroup {
        addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
        labels: LabelSet::from_pairs(labels.iter().copied()),
        source: "static".to_owned(),
    }
}

/// A target with a store that only gives out numbers, and a clock that goes by 15 seconds.
pub struct Story {
    state: TargetState,
    series: BTreeMap<LabelSet, u32>,
    /// The store accepts no series beyond this number.
    pub room: usize,
    pub now: Timestamp,
    pub content_type: &'static str,
    /// How often the store was asked for a series.
    pub resolved: usize,
}

impl Story {
    pub fn new(job: Job) -> Story {
        let Some(Found::Target(target)) = targets(&job, &[group(&["a:1"], &[])]).into_iter().next() else {
            panic!("the story needs a target")
        };
        Story {
            state: TargetState::new(&target, Arc::new(job)),
            series: BTreeMap::new(),
            room: usize::MAX,
            now: Timestamp(0),
            content_type: "text/plain",
            resolved: 0,
        }
    }

    /// Puts a job in the place of the story's own, as a reload does.
    pub fn replace(&mut self, job: Job) {
        let Some(Found::Target(target)) = targets(&job, &[group(&["a:1"], &[])]).into_iter().next() else {
            panic!("the story needs a target")
        };
        self.state = self.state.passed_on(&target, Arc::new(job));
    }

    pub fn with_extra_metrics(mut self) -> Story {
        self.state = self.state.with_extra_metrics();
        self
    }

    fn step<T>(
        &mut self,
        step: impl FnOnce(&mut TargetState, Timestamp, &mut dyn FnMut(&LabelSet, Claim) -> Result<Resolved, String>) -> T,
    ) -> T {
        self.now = self.now + Span::from_secs(15);
        let Story { state, series, room, now, resolved, .. } = self;
        step(state, *now, &mut |labels, claim| {
            *resolved += 1;
            let next = series.len();
            match series.get(labels) {
                Some(number) => Ok(Resolved { series: SeriesRef(*number), is_new: false }),
                None if next >= *room || claim == Claim::Known => Err("no room for new series".to_owned()),
                None => {
                    series.insert(labels.clone(), next as u32);
                    Ok(Resolved { series: SeriesRef(next as u32), is_new: true })
                }
            }
        })
    }

    pub fn scraped(&mut self, body: &[u8]) -> Outcome {
        let content_type = self.content_type;
        self.step(|state, at, resolve| state.scraped(body, Some(content_type), at, 0.25, resolve))
    }

    pub fn failed(&mut self) -> Outcome {
        self.step(|state, at, resolve| state.failed("connection refused", at, 0.25, resolve))
    }

    pub fn ended(&mut self) -> Row {
        self.step(|state, at, resolve| state.ended(at, resolve))
    }

    /// Returns a row as text, one cell a line: labels without the target's own, value, time. Report series come as one line.
    pub fn show(&self, row: &Row) -> String {
        let names: BTreeMap<u32, &LabelSet> = self.series.iter().map(|(labels, number)| (*number, labels)).collect();
        let (mut out, mut report) = (String::new(), Vec::new());
        for cell in &row.cells {
            let labels = names[&cell.series.0];
            let value = match &cell.value {
                Value::Float(value) if is_stale(*value) => "stale".to_owned(),
                Value::Float(value) => value.to_string(),
                Value::Histogram(histogram) => histogram.to_string(),
            };
            let name = labels.name();
            if name == "up" || name.starts_with("scrape_") {
                assert_eq!((labels.get("instance"), labels.get("job"), labels.len()), ("a:1", "demo", 3));
                report.push(value);
                continue;
            }
            out += &format!("{} {value}", labels.without(|label| ["job", "instance"].contains(&label)));
            if labels.get("job") != "demo" || labels.get("instance") != "a:1" {
                out += &format!(" of {}/{}", labels.get("job"), labels.get("instance"));
            }
            if let Some(at) = cell.at {
                out += &format!(" @{}", at.0);
            }
            out.push('\n');
        }
        out + "report " + &report.join(" ")
    }

    /// Scrapes a body and compares the row, written as `show` does.
    #[track_caller]
    pub fn check(&mut self, body: &str, expected: &str) -> Outcome {
        let outcome = self.scraped(body.as_bytes());
        self.compare(&outcome.row, expected);
        outcome
    }

    #[track_caller]
    pub fn compare(&self, row: &Row, expected: &str) {
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(self.show(row).lines().collect::<Vec<_>>(), expected);
    }
}
