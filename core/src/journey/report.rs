//! What one attempt means for the store.

use std::collections::BTreeSet;

use super::{Attempt, Journey};
use crate::model::{LabelSet, METRIC_NAME, STALE};
use crate::time::{Span, Timestamp};

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// When its beat was due.
    pub due: Timestamp,
    pub began: Timestamp,
    /// By the clock that is never set.
    pub seconds: f64,
    pub failure: Option<Failure>,
    /// The steps that were reached, in order.
    pub steps: Vec<StepEnded>,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: String,
    /// Nothing was learnt of the service, since we could not even ask: a secret that cannot be read, say.
    pub ours: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StepEnded {
    pub ok: bool,
    pub seconds: f64,
    /// None: no answer came.
    pub status: Option<u16>,
}

const LATE_SHARE: i64 = 10;
const LATE_MIN: Span = Span(100);
const LATE_MAX: Span = Span::from_secs(1);

/// Returns how long after its beat an attempt may begin without being late: a tenth of the interval, from 100 ms to 1 s.
pub fn late_after(interval: Span) -> Span {
    Span(interval.0 / LATE_SHARE).max(LATE_MIN).min(LATE_MAX)
}

impl Ended {
    /// Returns how long after its beat the attempt began.
    pub fn behind(&self) -> Span {
        self.began.since(self.due).max(Span::ZERO)
    }

    /// Returns the attempt as it is remembered.
    pub fn attempt(&self, journey: &Journey) -> Attempt {
        Attempt {
            began: self.began,
            ended: self.began + Span((self.seconds * 1000.0).round() as i64),
            ok: self.failure.is_none(),
            reason: self.failure.as_ref().map(|failure| failure.reason.as_str().into()),
            late: self.behind() > late_after(journey.interval),
        }
    }
}

/// What is written of one attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// Series with their values, and markers of those that ended.
    pub series: Vec<(LabelSet, f64)>,
    /// How many of the series are new.
    pub added: usize,
}

/// The series of one journey, written at each attempt.
#[derive(Clone, Debug, Default)]
pub struct Report {
    alive: BTreeSet<LabelSet>,
}

impl Report {
    /// Returns the series of one attempt with their values, and the markers of those that it has no value for.
    ///
    /// `probe_success` and `probe_duration_seconds` are what others' rules and boards ask for. `up` is 0 only when we could not ask.
    /// Source: blackbox_exporter.
    pub fn of(&mut self, journey: &Journey, ended: &Ended) -> Written {
        let own = journey.own_labels();
        let truth = |truth: bool| f64::from(u8::from(truth));
        let ok = truth(ended.failure.is_none());
        let named = |name: &str, step: Option<&str>| {
            let mut labels = own.builder();
            labels.set(METRIC_NAME, name);
            if let Some(step) = step {
                labels.set("step", step);
            }
            labels.build()
        };
        let mut report = vec![
            (named("up", None), truth(!ended.failure.as_ref().is_some_and(|failure| failure.ours))),
            (named("tocsin_journey_success", None), ok),
            (named("tocsin_journey_duration_seconds", None), ended.seconds),
            (named("tocsin_journey_late_seconds", None), ended.behind().seconds()),
            (named("probe_success", None), ok),
            (named("probe_duration_seconds", None), ended.seconds),
        ];
        for (index, step) in journey.steps.iter().enumerate() {
            let (name, reached) = (Some(step.name.as_str()), ended.steps.get(index));
            // A user who did not get as far could not take this step either.
            report.push((named("tocsin_journey_step_success", name), truth(reached.is_some_and(|step| step.ok))));
            if let Some(reached) = reached {
                report.push((named("tocsin_journey_step_duration_seconds", name), reached.seconds));
            }
            if let Some(status) = reached.and_then(|reached| reached.status) {
                report.push((named("tocsin_journey_step_status_code", name), f64::from(status)));
            }
        }
        let now: BTreeSet<LabelSet> = report.iter().map(|(labels, _)| labels.clone()).collect();
        let added = now.difference(&self.alive).count();
        report.extend(self.alive.difference(&now).map(|labels| (labels.clone(), STALE)));
        self.alive = now;
        Written { series: report, added }
    }

    /// Returns the series that are alive, for the end of the journey.
    pub fn alive(&self) -> impl Iterator<Item = &LabelSet> {
        self.alive.iter()
    }
}
