//! Studies under way: probes that are looked at all along, what cuts a study short, and what a crash makes of it.

use serde_json::json;

use super::super::action::NoData;
use super::super::experiment::{ALERTS, FAULT, ProbeSeen, STOP};
use super::super::plan::{Effect, FailClass, Step};
use super::super::record::{
    AttemptKey, AttemptState, Fault, Observe, Phase, Record, RunState, SampleRow, SeenAlert, StepAttempt, UndoScope,
};
use super::super::study::{Experiment, Probe, StopRule, Study};
use super::{Refused, Run, Seen};
use crate::time::{Span, Timestamp};

/// Alerts and burn rates are not asked for more often than this.
const LOOK_MIN: Span = Span::from_secs(5);
/// So many alerts are kept.
const ALERTS_MAX: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Baseline,
    Fault,
    Recovery,
}

fn key_of(step: &str) -> AttemptKey {
    AttemptKey { step: step.to_owned(), target: String::new(), phase: Phase::Sample, attempt: 1 }
}

fn rule_name(index: usize) -> String {
    format!("{STOP}/{index}")
}

impl Run {
    fn experiment(&self) -> Option<&Experiment> {
        match &self.runbook.study {
            Some(Study::Experiment(experiment)) => Some(experiment),
            Some(Study::Drill(_)) | None => None,
        }
    }

    pub(super) fn is_experiment(&self) -> bool {
        self.experiment().is_some()
    }

    fn stage(&self) -> Stage {
        // What is seen while the fault is being taken back tells of neither.
        let healed = self.latest(FAULT, Phase::Do).is_some_and(|one| one.state == AttemptState::Succeeded);
        let broken = self.runbook.plan.steps.iter().any(|step| step.fault && self.latest(&step.id, Phase::Do).is_some());
        match (healed, broken) {
            (true, _) => Stage::Recovery,
            (false, true) => Stage::Fault,
            (false, false) => Stage::Baseline,
        }
    }

    /// Asks for every sighting that is due.
    pub(super) fn drive_samples(&mut self, now: Timestamp) {
        let runbook = self.runbook.clone();
        let Some(study) = &runbook.study else { return };
        if self.row.state != RunState::Running {
            return;
        }
        let sample = study.sample();
        for probe in study.probes() {
            if let Ok(expr) = self.scoped("", |scope| scope.expression(&probe.condition)) {
                self.observe(&key_of(&probe.id), Observe::Query(expr), sample, now);
            }
        }
        let Study::Experiment(experiment) = study else { return };
        let slow = sample.max(LOOK_MIN);
        for (index, rule) in experiment.stop_when.iter().enumerate() {
            if let StopRule::BurnRate { slo, window, .. } = rule {
                let what = Observe::BurnRate { slo: slo.clone(), window: *window };
                self.observe(&key_of(&rule_name(index)), what, slow, now);
            }
        }
        let watched = !experiment.expect.is_empty() || !experiment.forbid.is_empty();
        if watched || experiment.stop_when.contains(&StopRule::UnexpectedPage) {
            let labels = [("platform".to_owned(), self.row.platform.clone())].into();
            let since = self.row.started_at.unwrap_or(now);
            self.observe(&key_of(ALERTS), Observe::AlertsSince { since, labels }, slow, now);
        }
    }

    /// Takes in a sighting.
    pub(super) fn sampled(&mut self, key: &AttemptKey, seen: Seen, now: Timestamp) -> Result<(), Refused> {
        let not_under_way = || Refused::NotUnderWay { key: key.clone() };
        let runbook = self.runbook.clone();
        let study = runbook.study.as_ref().filter(|_| self.row.state == RunState::Running).ok_or_else(not_under_way)?;
        if let Some(probe) = study.probes().iter().find(|probe| probe.id == key.step) {
            self.probed(probe, key, seen, now);
            return Ok(());
        }
        let Study::Experiment(experiment) = study else { return Err(not_under_way()) };
        if key.step == ALERTS {
            self.alerts_seen(experiment, key, seen, now);
            return Ok(());
        }
        let rules = experiment.stop_when.iter().enumerate();
        let rule = rules.clone().find(|(index, _)| rule_name(*index) == key.step).map(|(_, rule)| rule);
        let Some(StopRule::BurnRate { slo, window, over }) = rule else { return Err(not_under_way()) };
        self.watches.entry(key.clone()).or_default().asked_at = None;
        match seen {
            Seen::Value(rate) if rate > *over => {
                self.stop(FailClass::Expect, format!("the budget of {slo} burns {rate:.1} times too fast over {window}"), now);
            }
            _ => {}
        }
        Ok(())
    }

    fn probed(&mut self, probe: &Probe, key: &AttemptKey, seen: Seen, now: Timestamp) {
        let value = match seen {
            Seen::Value(value) => Some(value),
            Seen::NoData | Seen::Firing | Seen::NotFiring | Seen::Alerts(_) => None,
        };
        let holds = self.condition_holds(&probe.condition, &seen, probe.condition.no_data);
        let broken_for = self.hold(key, !holds, now);
        let sample = SampleRow { run_id: self.row.id.clone(), at: now, probe: probe.id.clone(), value, ok: holds };
        self.records.push(Record::Sample(sample));
        let stage = self.stage();
        self.sum_up(probe, key, stage, value, holds, now);
        if !self.is_experiment() || holds || stage == Stage::Recovery {
            return;
        }
        let found = value.map_or_else(|| "has no data".to_owned(), |value| format!("is {value}"));
        if stage == Stage::Baseline {
            self.fail_watch(format!("{} {found}", probe.id), now);
        } else if value.is_none() && probe.condition.no_data == NoData::Fail {
            self.stop(FailClass::Value, format!("{} has no data", probe.id), now);
        } else if self.outlasts(&probe.id, broken_for) {
            self.stop(FailClass::Expect, format!("{} {found} for too long", probe.id), now);
        }
    }

    /// Returns whether a stop rule says that a hypothesis has been broken for long enough.
    fn outlasts(&self, probe: &str, broken_for: Option<Span>) -> bool {
        let Some(broken_for) = broken_for else { return false };
        let rules = self.experiment().map(|experiment| experiment.stop_when.as_slice()).unwrap_or_default();
        rules.iter().any(|rule| match rule {
            StopRule::Hypothesis { id, lasting } => id == probe && broken_for >= *lasting,
            StopRule::BurnRate { .. } | StopRule::UnexpectedPage => false,
        })
    }

    /// Keeps what the verdict needs to know of a probe, once for each thing that is new.
    fn sum_up(&mut self, probe: &Probe, key: &AttemptKey, stage: Stage, value: Option<f64>, holds: bool, now: Timestamp) {
        let row = self.attempts.get(key).cloned();
        let is_new = row.is_none();
        let mut row = row.unwrap_or_else(|| self.sample_row(&probe.id, now));
        let kept = row.response.take().and_then(|response| serde_json::from_value::<ProbeSeen>(response).ok());
        let before = kept.unwrap_or_default();
        let mut seen = before.clone();
        if stage == Stage::Fault {
            seen.with_data |= value.is_some();
            if !holds && seen.broken_at.is_none() {
                seen.broken_at = Some(now);
                seen.broken_value = value;
            }
        }
        if is_new || seen != before {
            row.response = Some(json!(seen));
            self.save_attempt(row);
        }
    }

    fn sample_row(&self, step: &str, now: Timestamp) -> StepAttempt {
        let mut row = self.new_attempt(step, Phase::Sample, Effect::Idempotent, format!("{}/{step}", self.row.id));
        row.state = AttemptState::Issued;
        row.started_at = Some(now);
        row
    }

    fn alerts_seen(&mut self, experiment: &Experiment, key: &AttemptKey, seen: Seen, now: Timestamp) {
        self.watches.entry(key.clone()).or_default().asked_at = None;
        let Seen::Alerts(mut alerts) = seen else { return };
        alerts.truncate(ALERTS_MAX);
        let mut row = self.attempts.get(key).cloned().unwrap_or_else(|| self.sample_row(ALERTS, now));
        let list = json!(alerts);
        if row.response.as_ref() != Some(&list) {
            row.response = Some(list);
            self.save_attempt(row);
        }
        let expected = |alert: &&SeenAlert| experiment.expect.iter().any(|one| one.name == alert.name);
        let unexpected = alerts.iter().find(|alert| alert.page && !expected(alert));
        if let Some(alert) = unexpected
            && experiment.stop_when.contains(&StopRule::UnexpectedPage)
            && self.stage() != Stage::Recovery
        {
            self.stop(FailClass::Expect, format!("{} demands a person, and is not expected", alert.name), now);
        }
    }

    /// Returns whether a time of watching is over, and ends it then.
    pub(super) fn drive_watch(&mut self, length: Span, attempt: StepAttempt, now: Timestamp) -> bool {
        if !self.is_due(attempt.started_at.unwrap_or(now) + length, now) {
            return false;
        }
        let stage = self.stage();
        let probes = self.runbook.study.as_ref().map(|study| study.probes().to_vec()).unwrap_or_default();
        let unseen = |probe: &&Probe| {
            let row = self.attempts.get(&key_of(&probe.id));
            let seen = row.and_then(|row| row.response.clone()).and_then(|seen| serde_json::from_value::<ProbeSeen>(seen).ok());
            match stage {
                Stage::Baseline => row.is_none(),
                Stage::Fault => !seen.is_some_and(|seen| seen.with_data) && probe.condition.no_data == NoData::Fail,
                Stage::Recovery => false,
            }
        };
        match probes.iter().find(unseen) {
            Some(probe) => {
                let why = format!("{} has no data", probe.id);
                self.fail_attempt(attempt, FailClass::Expect, true, why, now);
            }
            None => self.succeed_attempt(attempt, now),
        }
        true
    }

    /// Ends the time of watching that is under way, because a probe does not hold.
    fn fail_watch(&mut self, why: String, now: Timestamp) {
        let steps = &self.runbook.plan.steps;
        let steady = |step: &&Step| matches!(step.action, super::super::action::Action::Watch { steady: true, .. });
        let mut watch = steps.iter().filter(steady).filter_map(|step| self.latest(&step.id, Phase::Do));
        let open = watch.rfind(|one| one.state == AttemptState::Issued).cloned();
        if let Some(attempt) = open {
            self.fail_attempt(attempt, FailClass::Expect, true, why, now);
        }
    }

    /// Cuts a study short, and takes its faults back at once.
    fn stop(&mut self, class: FailClass, why: String, now: Timestamp) {
        let mut row = self.sample_row(STOP, now);
        row.state = AttemptState::Failed;
        row.ended_at = Some(now);
        row.error = Some(Fault { class, message: why.clone(), definite: true });
        self.save_attempt(row);
        self.end(UndoScope::All, false, format!("stopped: {why}"), now);
    }

    /// Ends a study whose process died in the middle; its faults are healed before anything else.
    pub(super) fn interrupt_study(&mut self, now: Timestamp) {
        let Some(study) = &self.runbook.study else { return };
        let measured = match study {
            Study::Experiment(_) => false,
            // What a drill measures is stored by then, and who brings things back must not be stopped half-way.
            Study::Drill(_) => super::super::drill::is_measured(&self.runbook, |step| {
                self.latest(step, Phase::Do).is_some_and(|one| one.state == AttemptState::Succeeded)
            }),
        };
        if self.row.state != RunState::Interrupted || measured || self.in_verification() {
            return;
        }
        let open = |one: &&StepAttempt| matches!(one.state, AttemptState::Intent | AttemptState::Issued);
        let deeds: Vec<StepAttempt> =
            self.attempts.values().filter(open).filter(|one| one.key.phase == Phase::Do).cloned().collect();
        for mut attempt in deeds {
            // Nobody waits for an answer any more: the process that asked is gone.
            attempt.state = AttemptState::Unknown;
            attempt.ended_at = Some(now);
            self.save_attempt(attempt);
        }
        let page = !self.is_experiment();
        self.end(UndoScope::All, page, "the process ended in the middle".to_owned(), now);
    }

    fn in_verification(&self) -> bool {
        self.attempts.keys().any(|key| key.phase == Phase::Verify)
    }

    /// Heals everything that is still broken and of which no request is under way, all of it at once.
    pub(super) fn drive_heals(&mut self, wanted: impl Fn(&str) -> bool, now: Timestamp) -> bool {
        let is_fault = |id: &str| self.step(id).is_some_and(|step| step.fault);
        let open = self.undos.iter().filter(|undo| undo.is_open() && is_fault(&undo.step_id) && wanted(&undo.step_id));
        let mut moved = false;
        for undo in open.cloned().collect::<Vec<_>>() {
            moved |= self.drive_undo(undo, now);
        }
        moved
    }

    /// Takes back some faults in the middle of a plan. Returns whether there may be more to do at once.
    pub(super) fn drive_heal(&mut self, steps: &[String], attempt: StepAttempt, now: Timestamp) -> bool {
        if self.drive_heals(|id| steps.iter().any(|step| step == id), now) {
            return true;
        }
        let open = self.undos.iter().any(|undo| undo.is_open() && steps.contains(&undo.step_id));
        if open || self.row.state != RunState::Running {
            return false;
        }
        self.succeed_attempt(attempt, now);
        true
    }

    /// Ends the rows of the probes with their run.
    pub(super) fn end_samples(&mut self, now: Timestamp) {
        let open = |one: &&StepAttempt| one.key.phase == Phase::Sample && one.state == AttemptState::Issued;
        let rows: Vec<StepAttempt> = self.attempts.values().filter(open).cloned().collect();
        for row in rows {
            self.succeed_attempt(row, now);
        }
    }
}
