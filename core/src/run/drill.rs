//! Drills: their plan, and what a run of one has measured, from what it stored. A result can be made again at any time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::action::{Action, SavedRef, Slot};
use super::experiment::{failed_step, latest, succeeded};
use super::inject::{self, saves};
use super::lever::Awaited;
use super::plan::{Capture, Effect, FailClass, OnFail, OnVerifyFail, Plan, Redact, Step, Undo};
use super::read::BadCall;
use super::record::{Phase, RunRecords, RunState, StepAttempt, UndoState};
use super::runbook::Runbook;
use super::study::{Cadence, Called, Drill, DrillMode, Objective, Study};
use crate::time::{Span, Timestamp};

pub const BEFORE: &str = "before";
pub const START: &str = "clock/start";
pub const STOP: &str = "clock/stop";
pub const PAGE: &str = "page";
pub const CANARY_START: &str = "canary/start";
pub const CANARY_STOP: &str = "canary/stop";
pub const CANARY_READ: &str = "canary/read";
pub const CANARY_DROP: &str = "canary/drop";
pub const HEAL: &str = "heal";
pub const HEAL_LATE: &str = "heal/late";
pub const AFTER: &str = "after";
const RECOVER: &str = "recover/";
const FAILBACK: &str = "failback/";
const CHECK: &str = "check/";
/// A journey that is to be seen clean before anything is broken.
const CLEAN_BEFORE: u32 = 3;
const SHORT: Span = Span::from_secs(60);
const LONG: Span = Span::from_mins(5);

/// Returns the plan of a drill.
pub fn compile(drill: &Drill) -> Plan {
    let mut steps = drill.tasks.clone();
    if let Some(canary) = &drill.canary {
        let undo = Undo { action: Action::CanaryDrop(canary.clone()), check: None, timeout: SHORT, deadline: None };
        steps.push(Step { undo: Some(undo), ..inject::step(CANARY_START, Action::CanaryStart(canary.clone()), SHORT) });
    }
    steps.extend(measured(drill));
    if let Some(canary) = &drill.canary {
        let gently = |id: &str, action| Step { on_fail: OnFail::Continue, retry: patient(), ..inject::step(id, action, SHORT) };
        steps.push(gently(CANARY_STOP, Action::CanaryStop(canary.clone())));
        steps.push(gently(CANARY_READ, Action::CanaryRead(canary.clone())));
    }
    steps.extend(drill.checks.iter().cloned());
    steps.extend(heal(drill, HEAL, false));
    steps.extend(calls(&drill.failback, FAILBACK, drill.total));
    steps.extend(heal(drill, HEAL_LATE, true));
    if let (Some(clock), false) = (&drill.clock, drill.failback.is_empty()) {
        let since = Slot::Began(format!("{FAILBACK}0"));
        let what = Awaited::Clean { count: clock.count };
        let action = Action::JourneyWait { journey: clock.stop_journey.clone(), what, since };
        steps.push(inject::step(AFTER, action, clock.stop_within));
    }
    if let Some(canary) = &drill.canary {
        let action = Action::CanaryDrop(canary.clone());
        steps.push(Step { on_fail: OnFail::Continue, retry: patient(), ..inject::step(CANARY_DROP, action, SHORT) });
    }
    Plan {
        steps,
        verify: Vec::new(),
        on_verify_fail: OnVerifyFail::UndoThenPage,
        total_timeout: drill.total,
        capture: Capture { max_bytes: 64 << 10, redact: vec![Redact::Secrets] },
    }
}

/// Returns what happens between the first fault and the end of the clock.
fn measured(drill: &Drill) -> Vec<Step> {
    let mut steps = Vec::new();
    let faults: Vec<Step> = drill.faults.iter().flat_map(|fault| inject::steps(fault, drill.targets)).collect();
    let first = faults.iter().find(|step| step.fault).map(|step| step.id.clone()).unwrap_or_default();
    if let Some(clock) = &drill.clock {
        let what = Awaited::Clean { count: CLEAN_BEFORE };
        let since = Slot::Began(String::new());
        let action = Action::JourneyWait { journey: clock.start_journey.clone(), what, since };
        steps.push(inject::step(BEFORE, action, LONG));
        steps.extend(faults);
        let action =
            Action::JourneyWait { journey: clock.start_journey.clone(), what: Awaited::Failed, since: Slot::Began(first) };
        steps.push(Step { save: saves("at"), ..inject::step(START, action, clock.start_within) });
    }
    steps.extend(calls(&drill.recover, RECOVER, drill.total));
    let began = Slot::Saved(SavedRef { step: START.to_owned(), name: "at".to_owned() });
    if let Some(clock) = &drill.clock {
        let what = Awaited::Clean { count: clock.count };
        let action = Action::JourneyWait { journey: clock.stop_journey.clone(), what, since: began.clone() };
        steps.push(Step { save: saves("at"), ..inject::step(STOP, action, clock.stop_within) });
    }
    if let Some(page) = &drill.page {
        let action = Action::PageCheck {
            since: began,
            person: page.person.clone(),
            receiver: page.receiver.clone(),
            delivered_within: page.delivered_within,
            acked_within: page.acked_within,
        };
        let timeout = page.delivered_within + page.acked_within + SHORT;
        steps.push(Step { on_fail: OnFail::Continue, ..inject::step(PAGE, action, timeout) });
    }
    steps
}

fn patient() -> super::plan::Retry {
    let when = vec![FailClass::Timeout, FailClass::Connect, FailClass::Expect];
    super::plan::Retry { attempts: 3, backoff: Span::from_secs(5), when, ..Default::default() }
}

fn heal(drill: &Drill, id: &str, late: bool) -> Option<Step> {
    let wanted = drill.faults.iter().filter(|fault| fault.until_failback == late);
    let steps: Vec<String> = wanted.flat_map(|fault| inject::ids(fault, drill.targets)).collect();
    (!steps.is_empty()).then(|| inject::step(id, Action::Heal { steps }, drill.total))
}

fn calls(list: &[Called], prefix: &str, timeout: Span) -> Vec<Step> {
    let call = |(index, called): (usize, &Called)| {
        let action = Action::Call { runbook: called.runbook.clone(), params: called.params.clone() };
        Step { effect: Effect::Keyed, ..inject::step(format!("{prefix}{index}"), action, timeout) }
    };
    list.iter().enumerate().map(call).collect()
}

/// Returns whether a drill has measured what it was made for; `succeeded` answers for steps.
pub(super) fn is_measured(runbook: &Runbook, succeeded: impl Fn(&str) -> bool) -> bool {
    runbook.plan.step(STOP).is_none() || succeeded(STOP)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrillWord {
    Met,
    Missed,
    Aborted,
    Tabletop,
}

impl DrillWord {
    pub fn word(self) -> &'static str {
        match self {
            DrillWord::Met => "met",
            DrillWord::Missed => "missed",
            DrillWord::Aborted => "aborted",
            DrillWord::Tabletop => "tabletop",
        }
    }
}

/// A part of a recovery and how long it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseTaken {
    pub name: String,
    pub from: Timestamp,
    pub until: Timestamp,
    pub budget: Option<Span>,
}

impl PhaseTaken {
    pub fn taken(&self) -> Span {
        self.until - self.from
    }

    pub fn is_met(&self) -> bool {
        self.budget.is_none_or(|budget| self.taken() <= budget)
    }
}

/// What a drill has shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillResult {
    pub verdict: DrillWord,
    /// `rto`, `rpo`, `page`, `data`, `cleanup`, or the word of a phase.
    pub missed: Vec<String>,
    /// Why, in sentences.
    pub why: Vec<String>,
    /// From the first attempt that failed at the user's edge to the first of the clean ones.
    pub rto: Option<Span>,
    /// From the newest write that survived to the last one that was acknowledged, before the gap.
    pub rpo: Option<Span>,
    pub lost_writes: Option<u64>,
    pub acknowledged: Option<u64>,
    pub surviving: Option<u64>,
    /// How long the restore of a copy took.
    pub restore: Option<Span>,
    pub clock_start: Option<Timestamp>,
    pub clock_stop: Option<Timestamp>,
    /// In the order of `study::PHASES`; what was not seen is not there.
    pub phases: Vec<PhaseTaken>,
    pub objective: Objective,
}

/// Returns what a run of a drill has shown; none: it has not ended, was refused or dry, or is none.
pub fn result(runbook: &Runbook, records: &RunRecords) -> Option<DrillResult> {
    let Some(Study::Drill(drill)) = &runbook.study else { return None };
    let run = &records.run;
    if !run.state.is_final() || run.state == RunState::Refused || run.dry_run {
        return None;
    }
    let mut found = measure(drill, records);
    let ended_well = run.state == RunState::Succeeded;
    if drill.mode == DrillMode::Tabletop && ended_well {
        found.verdict = DrillWord::Tabletop;
    } else if drill.mode == DrillMode::Tabletop || !ended_well && is_cut(drill, records) {
        found.verdict = DrillWord::Aborted;
        found.why = vec![run.ending.as_ref().map_or(&run.reason, |ending| &ending.why).clone()];
    } else {
        judge(drill, runbook, records, &mut found);
        found.verdict = if found.missed.is_empty() { DrillWord::Met } else { DrillWord::Missed };
    }
    Some(found)
}

/// Returns whether a drill ended before it could say whether the objective is met.
fn is_cut(drill: &Drill, records: &RunRecords) -> bool {
    if drill.clock.is_some() && !succeeded(records, START) {
        return true;
    }
    let Some(ending) = &records.run.ending else { return false };
    // What these could not do is what the drill was to find out.
    let telling = |id: &str| {
        [RECOVER, FAILBACK, CHECK].iter().any(|prefix| id.starts_with(prefix)) || [STOP, HEAL, HEAL_LATE, AFTER].contains(&id)
    };
    let by_step = records.attempts.iter().map(|one| one.key.step.as_str()).find(|id| ending.why == failed_step(id));
    let by_time = ending.why.starts_with("did not end within") || ending.why.contains("could not be undone");
    !by_time && !by_step.is_some_and(telling)
}

fn at(attempt: Option<&StepAttempt>, pointer: &str) -> Option<Timestamp> {
    number(attempt, pointer).map(Timestamp)
}

fn number(attempt: Option<&StepAttempt>, pointer: &str) -> Option<i64> {
    attempt?.response.as_ref()?.pointer(pointer).and_then(Json::as_i64)
}

fn measure(drill: &Drill, records: &RunRecords) -> DrillResult {
    let done = |id: &str| latest(records, id, Phase::Do);
    let start = at(done(START).filter(|_| succeeded(records, START)), "/at");
    let stop = at(done(STOP).filter(|_| succeeded(records, STOP)), "/at");
    let canary = done(CANARY_READ).filter(|_| succeeded(records, CANARY_READ));
    let count = |pointer| number(canary, pointer).and_then(|count| u64::try_from(count).ok());
    let lost_writes = count("/lost");
    let survived = at(canary, "/newest_surviving_at");
    let rpo = match (lost_writes, at(canary, "/last_acknowledged_at")) {
        (Some(0), _) => Some(Span::ZERO),
        (Some(_), Some(last)) => survived.map(|newest| (last - newest).max(Span::ZERO)),
        _ => None,
    };
    let restored = drill.checks.iter().filter(|step| matches!(step.action, Action::PgRestoreCheck { .. }));
    let restore = restored
        .filter_map(|step| done(&step.id)?.response.as_ref()?.get("restore_seconds")?.as_f64())
        .map(|seconds| Span((seconds * 1000.0) as i64))
        .max();
    DrillResult {
        verdict: DrillWord::Aborted,
        missed: Vec::new(),
        why: Vec::new(),
        rto: start.zip(stop).map(|(start, stop)| (stop - start).max(Span::ZERO)),
        rpo,
        lost_writes,
        acknowledged: count("/acknowledged"),
        surviving: count("/surviving"),
        restore,
        clock_start: start,
        clock_stop: stop,
        phases: phases(drill, records, start, stop),
        objective: drill.objective.clone(),
    }
}

/// Returns the parts of the recovery that were seen, in order.
fn phases(drill: &Drill, records: &RunRecords, start: Option<Timestamp>, stop: Option<Timestamp>) -> Vec<PhaseTaken> {
    let done = |id: &str| latest(records, id, Phase::Do);
    let page = done(PAGE);
    let (sent, delivered, acked) = (at(page, "/sent_at"), at(page, "/delivered_at"), at(page, "/acked_at"));
    let recovering = done(&format!("{RECOVER}0")).and_then(|one| one.started_at);
    let recovered = drill.recover.len().checked_sub(1).and_then(|last| done(&format!("{RECOVER}{last}"))?.ended_at);
    let written = at(done(CANARY_READ), "/first_accepted_after_gap_at").or(recovered);
    let restored = drill.checks.iter().find(|step| matches!(step.action, Action::PgRestoreCheck { .. }));
    let restored = restored.filter(|_| drill.clock.is_none()).and_then(|step| done(&step.id));
    let data = match restored {
        Some(one) => one.started_at.zip(one.ended_at),
        None => recovering.zip(written),
    };
    let big = format!("{CHECK}capacity");
    let capacity = done(&big).filter(|_| succeeded(records, &big)).and_then(|one| one.ended_at);
    let seen = [
        ("detect", start.zip(sent)),
        ("page", sent.zip(delivered)),
        ("ack", delivered.zip(acked)),
        ("data", data),
        ("traffic", written.zip(stop)),
        ("capacity", written.zip(capacity)),
        ("verify", stop.zip(done(STOP).and_then(|one| one.ended_at))),
    ];
    seen.into_iter()
        .filter_map(|(name, span)| {
            let (from, until) = span?;
            let budget = drill.objective.phases.get(name).copied();
            Some(PhaseTaken { name: name.to_owned(), from, until: until.max(from), budget })
        })
        .collect()
}

fn judge(drill: &Drill, runbook: &Runbook, records: &RunRecords, found: &mut DrillResult) {
    let mut missed: Vec<(&str, String)> = Vec::new();
    let over = |what: &str, measured: Option<Span>, allowed: Option<Span>| match (measured, allowed) {
        (_, None) => None,
        (Some(measured), Some(allowed)) if measured <= allowed => None,
        (Some(measured), Some(allowed)) => Some(format!("{what}: {measured}; {allowed} are allowed")),
        (None, Some(allowed)) => Some(format!("{what}: the end was not seen; {allowed} are allowed")),
    };
    missed.extend(over("the recovery", found.rto, drill.objective.rto).map(|why| ("rto", why)));
    let lost = |why: String| if found.rpo.is_some() { why } else { "it is not known what was lost".to_owned() };
    missed.extend(over("what was lost", found.rpo, drill.objective.rpo).map(|why| ("rpo", lost(why))));
    let failed = |id: &str| {
        let there = runbook.plan.step(id).is_some() && !succeeded(records, id);
        let why = latest(records, id, Phase::Do).and_then(|one| one.error.clone()).map(|fault| fault.message);
        there.then(|| why.unwrap_or_else(|| "it was not reached".to_owned()))
    };
    missed.extend(failed(PAGE).map(|why| ("page", format!("the page: {why}"))));
    for step in &drill.checks {
        missed.extend(failed(&step.id).map(|why| ("data", format!("{}: {why}", step.id))));
    }
    let back = (0..drill.failback.len()).map(|index| format!("{FAILBACK}{index}"));
    let tidy = [HEAL, HEAL_LATE, AFTER, CANARY_DROP].into_iter().map(str::to_owned);
    for id in back.chain(tidy) {
        missed.extend(failed(&id).map(|why| ("cleanup", format!("{id}: {why}"))));
    }
    let stuck = records.undos.iter().filter(|undo| undo.state == UndoState::Failed);
    missed.extend(stuck.map(|undo| ("cleanup", format!("{} was not undone", undo.step_id))));
    for (name, budget) in &drill.objective.phases {
        let taken = found.phases.iter().find(|phase| phase.name == *name).map(PhaseTaken::taken);
        missed.extend(over(name, taken, Some(*budget)).map(|why| (name.as_str(), why)));
    }
    for (word, why) in missed {
        if !found.missed.iter().any(|known| known == word) {
            found.missed.push(word.to_owned());
        }
        found.why.push(why);
    }
}

/// How a drill stands in its calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CadenceStanding {
    pub due_at: Timestamp,
    /// It is time to think of it.
    pub remind: bool,
    pub overdue: bool,
    /// It is so late that people must be told.
    pub alert: bool,
}

/// Returns how a drill stands; `last` is when it last ended as met or missed, or else when the document was first seen.
pub fn standing(cadence: &Cadence, last: Timestamp, now: Timestamp) -> CadenceStanding {
    let due_at = last + cadence.every;
    CadenceStanding {
        due_at,
        remind: now >= due_at - cadence.remind_before,
        overdue: now >= due_at,
        alert: now >= last + cadence.alert_if_older_than,
    }
}

/// Returns the faults that only all documents together show, and copies the faults of experiments into the drills that inject them.
pub fn link(documents: &mut [Runbook]) -> Vec<BadCall> {
    let experiments: BTreeMap<String, Runbook> = documents
        .iter()
        .filter(|document| matches!(document.study, Some(Study::Experiment(_))))
        .map(|document| (document.metadata.id.clone(), document.clone()))
        .collect();
    let mut problems = Vec::new();
    let mut fault = |id: &str, message: String| problems.push(BadCall { id: id.to_owned(), message });
    for document in documents {
        let id = document.metadata.id.clone();
        let Some(Study::Drill(drill)) = &mut document.study else { continue };
        for wanted in std::mem::take(&mut drill.experiments) {
            let Some(source) = experiments.get(&wanted) else {
                fault(&id, format!("there is no experiment {wanted:?}"));
                continue;
            };
            let Some(Study::Experiment(experiment)) = &source.study else { continue };
            if source.metadata.platform != document.metadata.platform {
                fault(&id, format!("the experiment {wanted:?} belongs to another platform"));
            }
            if document.guards.targets.is_some() && experiment.targets > 0 {
                fault(&id, format!("{wanted:?} brings targets of its own; remove those of the drill"));
            }
            if experiment.targets > 0 {
                document.guards.targets = source.guards.targets.clone();
                drill.targets = experiment.targets;
            }
            for copied in &experiment.faults {
                if let Some(known) = drill.faults.iter().find(|known| known.id == copied.id) {
                    fault(&id, format!("the fault {:?} of {wanted:?} is there already", known.id));
                }
                drill.faults.push(copied.clone());
            }
        }
        document.plan = compile(drill);
    }
    problems
}
