//! What is told of a run when it is over: measured values, phases with their budgets, a time line, and plots as data. Made from what is
//! stored and nothing else, so that it can be made again at any time.

pub mod html;
mod plot;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use super::action::Condition;
use super::drill::{self, DrillResult};
use super::experiment::{self, VerdictWord, alerts_seen, broken_since, latest};
use super::record::{AttemptState, Phase, RunRecords, RunState, SampleRow, StepAttempt};
use super::runbook::Runbook;
use super::study::{Experiment, Probe, Study};
use crate::time::{Span, Timestamp};

/// A longer time line is cut.
const TIMELINE_MAX: usize = 500;
/// A series with more points is thinned out: of each part of it the lowest and the highest stay.
const POINTS_MAX: usize = 600;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub title: String,
    pub kind: &'static str,
    pub run: String,
    pub platform: String,
    /// The word of the verdict; of a runbook, or a run that has not ended, that of its state.
    pub verdict: String,
    pub why: String,
    /// What was asked for, by its words. Unit: seconds.
    pub objective: BTreeMap<String, f64>,
    /// What was found, by its words. Unit: as the word ends, else a count.
    pub measured: BTreeMap<String, f64>,
    pub phases: Vec<PhaseRow>,
    pub checks: Vec<CheckRow>,
    /// The answer of the look at the page.
    pub page: Option<Json>,
    pub timeline: Vec<Moment>,
    pub plots: Vec<Plot>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseRow {
    pub name: String,
    #[serde(serialize_with = "rfc3339")]
    pub from: Timestamp,
    #[serde(serialize_with = "rfc3339")]
    pub until: Timestamp,
    pub seconds: f64,
    pub budget_seconds: Option<f64>,
    pub ok: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckRow {
    pub id: String,
    pub ok: bool,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Moment {
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plot {
    pub title: String,
    pub unit: String,
    pub series: Vec<Series>,
    pub marks: Vec<Moment>,
    /// What the values are compared with.
    pub bound: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    pub name: String,
    /// Milliseconds since the epoch, and the value; none: no data.
    pub points: Vec<(i64, Option<f64>)>,
}

fn rfc3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.rfc3339())
}

/// Returns the report of a run; `samples` are those that it stored, in any order.
pub fn report(runbook: &Runbook, records: &RunRecords, samples: &[SampleRow]) -> Report {
    let run = &records.run;
    let mut report = Report {
        title: runbook.metadata.title.clone(),
        kind: runbook.kind.word(),
        run: run.id.clone(),
        platform: run.platform.clone(),
        verdict: run.state.word().to_owned(),
        why: run.reason.clone(),
        objective: BTreeMap::new(),
        measured: BTreeMap::new(),
        phases: Vec::new(),
        checks: Vec::new(),
        page: None,
        timeline: Vec::new(),
        plots: Vec::new(),
    };
    let mut moments = moments(runbook, records);
    let marks = match &runbook.study {
        Some(Study::Experiment(experiment)) => of_experiment(&mut report, runbook, experiment, records),
        Some(Study::Drill(_)) => of_drill(&mut report, runbook, records),
        None => Vec::new(),
    };
    let known: Vec<Moment> = marks.iter().filter(|mark| !moments.contains(mark)).cloned().collect();
    moments.extend(known);
    moments.sort();
    moments.truncate(TIMELINE_MAX);
    report.timeline = moments;
    let probes = runbook.study.as_ref().map(Study::probes).unwrap_or_default();
    report.plots = probes.iter().enumerate().filter_map(|(index, probe)| plot(probe, index, samples, &marks)).collect();
    report
}

fn done<'r>(records: &'r RunRecords, id: &str) -> Option<&'r StepAttempt> {
    latest(records, id, Phase::Do)
}

fn moment(at: Timestamp, text: impl Into<String>) -> Moment {
    Moment { at, text: text.into() }
}

/// Returns what happened and when, as the rows have it.
fn moments(runbook: &Runbook, records: &RunRecords) -> Vec<Moment> {
    let run = &records.run;
    let mut all = vec![moment(run.created_at, format!("asked for by {}", run.starter))];
    all.extend(run.started_at.map(|at| moment(at, "every guard has passed")));
    let ended = |at| match run.reason.is_empty() {
        true => moment(at, format!("ended: {}", run.state.word())),
        false => moment(at, format!("ended: {}, {}", run.state.word(), run.reason)),
    };
    all.extend(run.ended_at.map(ended));
    for step in &runbook.plan.steps {
        let Some(attempt) = done(records, &step.id) else { continue };
        all.extend(attempt.started_at.map(|at| moment(at, format!("{} began ({})", step.id, step.action.kind()))));
        let Some(at) = attempt.ended_at else { continue };
        match (&attempt.error, attempt.state) {
            (Some(fault), AttemptState::Failed | AttemptState::Unknown) => {
                all.push(moment(at, format!("{} failed: {}", step.id, fault.message)));
            }
            (_, AttemptState::Succeeded) => all.push(moment(at, format!("{} is over", step.id))),
            (_, state) => all.push(moment(at, format!("{}: {}", step.id, state.word()))),
        }
    }
    let undone =
        records.undos.iter().filter_map(|undo| Some(moment(undo.verified_at?, format!("{} is taken back", undo.step_id))));
    all.extend(undone);
    all.extend(alerts_seen(records).into_iter().map(|alert| moment(alert.at, format!("the alert {} fired", alert.name))));
    let stop = latest(records, experiment::STOP, Phase::Sample);
    all.extend(stop.and_then(|row| Some(moment(row.ended_at?, format!("stopped: {}", row.error.as_ref()?.message)))));
    let pages = records.attempts.iter().filter(|one| one.key.phase == Phase::Page && one.key.attempt == 1);
    all.extend(pages.filter_map(|one| Some(moment(one.started_at?, format!("a person was paged ({})", one.key.step)))));
    all
}

/// Fills in what an experiment has shown, and returns what its plots mark.
fn of_experiment(report: &mut Report, runbook: &Runbook, experiment: &Experiment, records: &RunRecords) -> Vec<Moment> {
    if let Some(found) = experiment::verdict(runbook, records) {
        report.verdict = found.verdict.word().to_owned();
        report.why = found.why;
    }
    let lengths = [
        (experiment::BASELINE, experiment.phases.baseline),
        (experiment::FAULT, experiment.phases.fault),
        (experiment::RECOVERY, experiment.phases.recovery),
    ];
    for (name, length) in lengths {
        let span = done(records, name).and_then(|attempt| attempt.started_at.zip(attempt.ended_at));
        let Some((from, until)) = span else { continue };
        let ok = experiment::succeeded(records, name);
        let seconds = (until - from).seconds();
        report.phases.push(PhaseRow { name: name.to_owned(), from, until, seconds, budget_seconds: Some(length.seconds()), ok });
    }
    let judged = !matches!(report.verdict.as_str(), word if word == VerdictWord::Refused.word());
    for probe in experiment.hypothesis.iter().filter(|_| judged) {
        let seen = experiment::seen(records, probe);
        let text = match (seen.with_data, seen.broken_at) {
            (_, Some(at)) => format!("{}: not so at {at}", told(&probe.condition)),
            (true, None) => format!("{}: so all along", told(&probe.condition)),
            (false, None) => format!("{}: no data while the fault stood", told(&probe.condition)),
        };
        report.checks.push(CheckRow { id: probe.id.clone(), ok: seen.with_data && seen.broken_at.is_none(), text });
    }
    let since = broken_since(runbook, records);
    let alerts = alerts_seen(records);
    for expected in &experiment.expect {
        let after = since.and_then(|since| {
            let own = alerts.iter().find(|alert| alert.name == expected.name && alert.at >= since);
            own.map(|alert| alert.at - since)
        });
        let text = match after {
            Some(after) => format!("fired after {after}; {} were expected", expected.within),
            None => format!("did not fire; {} were expected", expected.within),
        };
        report.checks.push(CheckRow { id: expected.name.clone(), ok: after.is_some_and(|after| after <= expected.within), text });
    }
    for name in &experiment.forbid {
        let fired = since.is_some_and(|since| alerts.iter().any(|alert| alert.name == *name && alert.at >= since));
        let text = if fired { "fired, and must not" } else { "did not fire, as it must not" };
        report.checks.push(CheckRow { id: name.clone(), ok: !fired, text: text.to_owned() });
    }
    broken_and_healed(runbook, records)
}

fn broken_and_healed(runbook: &Runbook, records: &RunRecords) -> Vec<Moment> {
    let mut marks: Vec<Moment> = broken_since(runbook, records).map(|at| moment(at, "broken")).into_iter().collect();
    let is_fault = |id: &str| runbook.plan.step(id).is_some_and(|step| step.fault);
    let healed = records.undos.iter().filter(|undo| is_fault(&undo.step_id)).map(|undo| undo.verified_at);
    // Healed is what has no fault left.
    let last: Option<Vec<Timestamp>> = healed.collect();
    marks.extend(last.and_then(|all| all.into_iter().max()).map(|at| moment(at, "healed")));
    marks
}

/// Fills in what a drill has shown, and returns what its plots mark.
fn of_drill(report: &mut Report, runbook: &Runbook, records: &RunRecords) -> Vec<Moment> {
    let Some(Study::Drill(document)) = &runbook.study else { return Vec::new() };
    let goal = &document.objective;
    let spans = [("rto_seconds", goal.rto), ("rpo_seconds", goal.rpo)];
    report.objective.extend(spans.into_iter().filter_map(|(name, span)| Some((name.to_owned(), span?.seconds()))));
    report.objective.extend(goal.phases.iter().map(|(name, budget)| (format!("{name}_seconds"), budget.seconds())));
    report.page = done(records, drill::PAGE).and_then(|attempt| attempt.response.clone());
    for step in &runbook.plan.steps {
        let looks = step.id.starts_with("check/") || [drill::PAGE, drill::AFTER, drill::CANARY_DROP].contains(&step.id.as_str());
        let Some(attempt) = done(records, &step.id).filter(|_| looks) else { continue };
        let ok = attempt.state == AttemptState::Succeeded;
        let text = attempt.error.as_ref().filter(|_| !ok).map_or("as it should be", |fault| fault.message.as_str()).to_owned();
        report.checks.push(CheckRow { id: step.id.clone(), ok, text });
    }
    let mut marks = broken_and_healed(runbook, records);
    let Some(found) = drill::result(runbook, records) else { return marks };
    report.verdict = found.verdict.word().to_owned();
    report.why = match (found.why.is_empty(), records.run.state) {
        (false, _) => found.why.join("; "),
        (true, RunState::Succeeded) => "every objective is met".to_owned(),
        (true, _) => report.why.clone(),
    };
    report.measured = measured(&found);
    report.phases = found
        .phases
        .iter()
        .map(|phase| PhaseRow {
            name: phase.name.clone(),
            from: phase.from,
            until: phase.until,
            seconds: phase.taken().seconds(),
            budget_seconds: phase.budget.map(Span::seconds),
            ok: phase.is_met(),
        })
        .collect();
    marks.extend(found.clock_start.map(|at| moment(at, "the first journey failed")));
    marks.extend(found.clock_stop.map(|at| moment(at, "journeys are clean")));
    marks.sort();
    marks
}

fn measured(found: &DrillResult) -> BTreeMap<String, f64> {
    let spans = [("rto_seconds", found.rto), ("rpo_seconds", found.rpo), ("restore_seconds", found.restore)];
    let counts = [("lost_writes", found.lost_writes), ("acknowledged", found.acknowledged), ("surviving", found.surviving)];
    let spans = spans.into_iter().filter_map(|(name, span)| Some((name.to_owned(), span?.seconds())));
    let counts = counts.into_iter().filter_map(|(name, count)| Some((name.to_owned(), count? as f64)));
    spans.chain(counts).collect()
}

fn told(condition: &Condition) -> String {
    match bound(condition) {
        Some(bound) => format!("{} {} {bound}", condition.expr, condition.op.sign()),
        None => condition.expr.clone(),
    }
}

/// Returns the number that a condition is written with.
fn bound(condition: &Condition) -> Option<f64> {
    match condition.value {
        super::action::Slot::Int(number) => Some(number as f64),
        super::action::Slot::Float(number) => Some(number),
        _ => None,
    }
}

fn plot(probe: &Probe, index: usize, samples: &[SampleRow], marks: &[Moment]) -> Option<Plot> {
    let again = format!("verify/{index}");
    let own = samples.iter().filter(|sample| sample.probe == probe.id || sample.probe == again);
    let mut points: Vec<(i64, Option<f64>)> =
        own.map(|sample| (sample.at.0, sample.value.filter(|value| value.is_finite()))).collect();
    points.sort_by_key(|(at, _)| *at);
    points.dedup_by_key(|(at, _)| *at);
    if points.is_empty() {
        return None;
    }
    Some(Plot {
        title: told(&probe.condition),
        unit: String::new(),
        series: vec![Series { name: probe.id.clone(), points: thin_out(points) }],
        marks: marks.to_vec(),
        bound: bound(&probe.condition),
    })
}

/// Keeps the lowest and the highest of each part, so that no peak is lost.
fn thin_out(points: Vec<(i64, Option<f64>)>) -> Vec<(i64, Option<f64>)> {
    if points.len() <= POINTS_MAX {
        return points;
    }
    let part = points.len().div_ceil(POINTS_MAX / 3);
    let mut kept = Vec::new();
    for part in points.chunks(part) {
        let value = |index: &usize| part[*index].1.unwrap_or(f64::NAN);
        let known: Vec<usize> = (0..part.len()).filter(|index| part[*index].1.is_some()).collect();
        let low = known.iter().copied().min_by(|a, b| value(a).total_cmp(&value(b)));
        let high = known.iter().copied().max_by(|a, b| value(a).total_cmp(&value(b)));
        let gap = (0..part.len()).find(|index| part[*index].1.is_none());
        let mut places: Vec<usize> = [low, high, gap].into_iter().flatten().collect();
        places.sort_unstable();
        places.dedup();
        kept.extend(places.into_iter().map(|index| part[index]));
    }
    kept
}
