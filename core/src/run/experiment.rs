//! Experiments: their plan, and what a run of one has shown.

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::inject;
use super::plan::{Capture, FailClass, OnFail, OnVerifyFail, Plan, Redact, Step, Verified, Verify};
use super::record::{AttemptState, Phase, RunRecords, RunState, SeenAlert, StepAttempt};
use super::runbook::Runbook;
use super::study::{Experiment, Probe, Study};
use crate::time::{Span, Timestamp};

pub const BASELINE: &str = "baseline";
pub const FAULT: &str = "fault";
pub const HEAL: &str = "heal";
pub const RECOVERY: &str = "recovery";
/// The row that says why a study was stopped.
pub const STOP: &str = "stop";
/// The row that holds the alerts that were seen.
pub const ALERTS: &str = "alerts";
/// What a run takes beside its phases.
const SLACK: Span = Span::from_mins(10);

/// How the hypothesis is asked for once more behind the recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    pub hold: Span,
    pub within: Span,
    pub page: bool,
}

/// Returns the plan of an experiment.
pub fn compile(experiment: &Experiment, again: Again) -> Plan {
    let phases = experiment.phases;
    let watch = |id: &str, length: Span, steady| {
        let action = Action::Watch { length, steady };
        inject::step(id, action, length + SLACK)
    };
    let mut steps = vec![watch(BASELINE, phases.baseline, true)];
    let mut ids = Vec::new();
    for fault in &experiment.faults {
        ids.extend(inject::ids(fault, experiment.targets));
        steps.extend(inject::steps(fault, experiment.targets));
    }
    let longest = experiment.faults.iter().map(|fault| fault.ttl).max().unwrap_or(Span::ZERO);
    steps.push(watch(FAULT, phases.fault, false));
    steps.push(Step { on_fail: OnFail::Undo, ..inject::step(HEAL, Action::Heal { steps: ids }, longest + SLACK) });
    steps.push(watch(RECOVERY, phases.recovery, false));
    let verify = experiment
        .hypothesis
        .iter()
        .map(|probe| Verify {
            what: Verified::Metric(probe.condition.clone()),
            hold: again.hold,
            within: again.within,
            no_data: probe.condition.no_data,
        })
        .collect();
    let total = phases.baseline + phases.fault + phases.recovery + again.within + longest + SLACK + SLACK;
    Plan {
        steps,
        verify,
        on_verify_fail: if again.page { OnVerifyFail::Page } else { OnVerifyFail::Leave },
        total_timeout: total,
        capture: Capture { max_bytes: 64 << 10, redact: vec![Redact::Secrets] },
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictWord {
    /// The hypothesis was true throughout, and the alerts were as expected.
    Held,
    /// It was not: a weakness is found.
    Broken,
    /// It was cut short.
    Stopped,
    /// It says nothing: the baseline was not steady, the fault was not proven, or there was no data.
    Invalid,
    /// It did not begin.
    Refused,
}

impl VerdictWord {
    pub fn word(self) -> &'static str {
        match self {
            VerdictWord::Held => "held",
            VerdictWord::Broken => "broken",
            VerdictWord::Stopped => "stopped",
            VerdictWord::Invalid => "invalid",
            VerdictWord::Refused => "refused",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub verdict: VerdictWord,
    pub why: String,
}

/// What a probe has seen while the fault stood; the response of its row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbeSeen {
    /// There was data while the fault stood.
    pub with_data: bool,
    /// When the condition was first seen not to hold.
    pub broken_at: Option<Timestamp>,
    pub broken_value: Option<f64>,
}

/// Returns the newest attempt of a step in a phase.
pub(super) fn latest<'r>(records: &'r RunRecords, step: &str, phase: Phase) -> Option<&'r StepAttempt> {
    let of = records.attempts.iter().filter(|one| one.key.phase == phase && one.key.step == step);
    of.max_by_key(|one| one.key.attempt)
}

pub(super) fn succeeded(records: &RunRecords, step: &str) -> bool {
    latest(records, step, Phase::Do).is_some_and(|attempt| attempt.state == AttemptState::Succeeded)
}

/// Returns when the first fault may have been in effect.
pub fn broken_since(runbook: &Runbook, records: &RunRecords) -> Option<Timestamp> {
    let faults = runbook.plan.steps.iter().filter(|step| step.fault);
    let attempts = faults.flat_map(|step| records.attempts.iter().filter(|one| one.key.step == step.id));
    attempts.filter(|one| one.key.phase == Phase::Do).filter_map(|one| one.started_at).min()
}

/// Returns what a probe has seen while the fault stood.
pub fn seen(records: &RunRecords, probe: &Probe) -> ProbeSeen {
    let response = latest(records, &probe.id, Phase::Sample).and_then(|row| row.response.clone());
    response.and_then(|response| serde_json::from_value(response).ok()).unwrap_or_default()
}

/// Returns the alerts that a run has seen begin.
pub fn alerts_seen(records: &RunRecords) -> Vec<SeenAlert> {
    let row = latest(records, ALERTS, Phase::Sample).and_then(|row| row.response.clone());
    row.and_then(|response| serde_json::from_value(response).ok()).unwrap_or_default()
}

/// Returns what a run of an experiment has shown, from what it stored; none: it has not ended, was dry, or is none.
pub fn verdict(runbook: &Runbook, records: &RunRecords) -> Option<Verdict> {
    let Some(Study::Experiment(experiment)) = &runbook.study else { return None };
    let run = &records.run;
    if !run.state.is_final() || run.dry_run && run.state != RunState::Refused {
        return None;
    }
    let (verdict, why) = judge(runbook, experiment, records);
    Some(Verdict { verdict, why })
}

fn judge(runbook: &Runbook, experiment: &Experiment, records: &RunRecords) -> (VerdictWord, String) {
    let run = &records.run;
    if run.state == RunState::Refused {
        return (VerdictWord::Refused, run.reason.clone());
    }
    if let Some(fault) = latest(records, STOP, Phase::Sample).and_then(|row| row.error.clone()) {
        let word = if fault.class == FailClass::Value { VerdictWord::Invalid } else { VerdictWord::Stopped };
        return (word, fault.message);
    }
    if let Some(why) = worthless(runbook, records) {
        return (VerdictWord::Invalid, why);
    }
    if !succeeded(records, RECOVERY) {
        let why = run.ending.as_ref().map_or(&run.reason, |ending| &ending.why);
        return (VerdictWord::Stopped, why.clone());
    }
    match weakness(runbook, experiment, records) {
        Some(why) => (VerdictWord::Broken, why),
        None if run.state == RunState::Succeeded => {
            (VerdictWord::Held, "the hypothesis held throughout, and holds again".to_owned())
        }
        None => (VerdictWord::Broken, format!("it did not recover: {}", run.reason)),
    }
}

/// Returns why a run says nothing about the hypothesis.
fn worthless(runbook: &Runbook, records: &RunRecords) -> Option<String> {
    // What a person ended, or a crash, has open attempts that are no verdict.
    let failed = |id: &str| {
        let attempt = latest(records, id, Phase::Do)?;
        let failed = matches!(attempt.state, AttemptState::Failed | AttemptState::Unknown);
        let own = run_stopped_by(records, id);
        attempt.error.clone().filter(|_| failed && own).map(|fault| fault.message)
    };
    if let Some(why) = failed(BASELINE) {
        return Some(format!("the baseline was not steady: {why}"));
    }
    for step in &runbook.plan.steps {
        if let Some(why) = failed(&step.id).filter(|_| step.fault) {
            return Some(format!("{} could not be injected: {why}", step.id));
        }
        if let Some(name) = step.id.strip_prefix("proof/")
            && let Some(why) = failed(&step.id)
        {
            return Some(format!("the fault {name} was not proven to be in effect: {why}"));
        }
    }
    if let Some(why) = failed(FAULT) {
        return Some(why);
    }
    let over = latest(records, FAULT, Phase::Do).filter(|one| one.state == AttemptState::Succeeded)?.ended_at?;
    let early = records.undos.iter().find(|undo| undo.verified_at.is_some_and(|at| at < over));
    early.map(|undo| format!("{} ended before its phase did", undo.step_id))
}

/// Returns whether it was this step that ended the run.
fn run_stopped_by(records: &RunRecords, id: &str) -> bool {
    records.run.ending.as_ref().is_some_and(|ending| ending.why == failed_step(id))
}

/// Returns how a run says that a step ended it.
pub(super) fn failed_step(id: &str) -> String {
    format!("step {id} failed")
}

fn weakness(runbook: &Runbook, experiment: &Experiment, records: &RunRecords) -> Option<String> {
    for probe in &experiment.hypothesis {
        let seen = seen(records, probe);
        if let Some(at) = seen.broken_at {
            let found = seen.broken_value.map_or_else(|| "no data".to_owned(), |value| value.to_string());
            return Some(format!("{} was {found} at {at}, not as the hypothesis says", probe.id));
        }
    }
    let since = broken_since(runbook, records)?;
    let alerts: Vec<SeenAlert> = alerts_seen(records).into_iter().filter(|alert| alert.at >= since).collect();
    if let Some(alert) = alerts.iter().find(|alert| experiment.forbid.contains(&alert.name)) {
        return Some(format!("{} fired, and must not", alert.name));
    }
    let missed = |name: &str, within: Span| !alerts.iter().any(|alert| alert.name == name && alert.at - since <= within);
    let missing = experiment.expect.iter().find(|expected| missed(&expected.name, expected.within))?;
    Some(format!("{} did not fire within {}: nobody would have been told", missing.name, missing.within))
}
