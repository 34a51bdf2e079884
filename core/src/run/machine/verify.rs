//! Verification: after the last step, conditions must be seen to hold.

use super::super::action::{Condition, NoData};
use super::super::plan::{Effect, FailClass, OnVerifyFail, Verified, Verify};
use super::super::record::{
    AttemptKey, AttemptState, Fault, Observe, Order, Phase, Record, RunState, SampleRow, StepAttempt, UndoScope,
};
use super::super::request::BadRequest;
use super::{ANSWER_MAX, Refused, Run, Seen};
use crate::time::{Span, Timestamp};

/// A condition of the verification is looked at this often.
const POLL: Span = Span::from_secs(5);
/// Between two sightings of a condition that holds lies no more than this, or its hold begins anew.
const GAP_MAX: Span = Span::from_secs(60);

fn name_of(index: usize) -> String {
    format!("verify/{index}")
}

impl Run {
    /// Begins the verification, or ends a run that has none.
    pub(super) fn begin_verify(&mut self, now: Timestamp) {
        if self.runbook.plan.verify.is_empty() {
            // A drill is verified by its own steps, at the user's edge.
            if let Some(super::super::study::Study::Drill(_)) = &self.runbook.study {
                return self.succeed("every step is over", now);
            }
            if self.runbook.class == super::super::plan::Class::Read {
                return self.succeed("", now);
            }
            return self.fail_verify("ended without verification".to_owned(), now);
        }
        for index in 0..self.runbook.plan.verify.len() {
            let name = name_of(index);
            if self.latest(&name, Phase::Verify).is_some() {
                continue;
            }
            let mut attempt = self.new_attempt(&name, Phase::Verify, Effect::Idempotent, format!("{}/{name}", self.row.id));
            attempt.state = AttemptState::Issued;
            attempt.started_at = Some(now);
            self.save_attempt(attempt);
        }
        self.set_state(RunState::Verifying, "");
    }

    pub(super) fn drive_verify(&mut self, now: Timestamp) -> bool {
        let runbook = self.runbook.clone();
        let mut open = false;
        for (index, verify) in runbook.plan.verify.iter().enumerate() {
            let Some(attempt) = self.latest(&name_of(index), Phase::Verify).cloned() else { continue };
            match attempt.state {
                AttemptState::Succeeded => {}
                AttemptState::Issued => {
                    open = true;
                    let end = attempt.started_at.unwrap_or(now) + verify.within;
                    if self.is_due(end, now) {
                        let message = format!("{} did not hold for {} within {}", told(verify), verify.hold, verify.within);
                        self.fail_attempt(attempt, FailClass::Timeout, true, message.clone(), now);
                        self.fail_verify(message, now);
                        return true;
                    }
                    match self.verify_question(verify) {
                        Ok(what) => self.observe(&attempt.key, what, POLL, now),
                        Err(bad) => {
                            self.fail_attempt(attempt, FailClass::Value, true, bad.to_string(), now);
                            self.fail_verify(bad.to_string(), now);
                            return true;
                        }
                    }
                }
                AttemptState::Pending
                | AttemptState::Intent
                | AttemptState::Failed
                | AttemptState::Unknown
                | AttemptState::Skipped
                | AttemptState::Abandoned => {
                    self.fail_verify(format!("{} was not seen to hold", told(verify)), now);
                    return true;
                }
            }
        }
        if !open {
            self.succeed("verified", now);
        }
        !open
    }

    fn verify_question(&self, verify: &Verify) -> Result<Observe, BadRequest> {
        match &verify.what {
            Verified::TriggerAlert => Ok(Observe::Alert { reference: self.row.trigger_ref.clone().unwrap_or_default() }),
            Verified::Metric(condition) => self.scoped("", |scope| scope.expression(condition)).map(Observe::Query),
        }
    }

    fn fail_verify(&mut self, why: String, now: Timestamp) {
        let (undo, page) = match self.runbook.plan.on_verify_fail {
            OnVerifyFail::Page => (UndoScope::Temporary, true),
            OnVerifyFail::UndoThenPage => (UndoScope::All, true),
            OnVerifyFail::Leave => (UndoScope::Temporary, false),
        };
        self.end(undo, page, why, now);
    }

    /// Asks for a sighting when it is time for one.
    pub(super) fn observe(&mut self, key: &AttemptKey, what: Observe, poll: Span, now: Timestamp) {
        let watch = self.watches.entry(key.clone()).or_default();
        let due = match (watch.asked_at, watch.next_at) {
            (Some(asked), _) => asked + ANSWER_MAX,
            (None, Some(next)) => next,
            (None, None) => now,
        };
        if due > now {
            self.wake_at(due);
            return;
        }
        watch.asked_at = Some(now);
        watch.next_at = Some(now + poll);
        self.wake_at(now + ANSWER_MAX);
        self.orders.push(Order::Observe { key: key.clone(), what });
    }

    /// Returns how long a condition has been seen to hold without a break; none: it does not.
    pub(super) fn hold(&mut self, key: &AttemptKey, holds: bool, now: Timestamp) -> Option<Span> {
        let watch = self.watches.entry(key.clone()).or_default();
        watch.asked_at = None;
        let broken = watch.seen_at.is_none_or(|seen| now - seen > GAP_MAX);
        watch.seen_at = Some(now);
        watch.held_since = match watch.held_since {
            _ if !holds => None,
            Some(since) if !broken => Some(since),
            Some(_) | None => Some(now),
        };
        watch.held_since.map(|since| now - since)
    }

    /// Takes in a sighting.
    pub(super) fn observed(&mut self, key: &AttemptKey, seen: Seen, now: Timestamp) -> Result<(), Refused> {
        let not_under_way = || Refused::NotUnderWay { key: key.clone() };
        let under_way = self.attempts.get(key).filter(|attempt| attempt.state == AttemptState::Issued);
        let attempt = under_way.cloned().ok_or_else(not_under_way)?;
        match key.phase {
            Phase::Verify => {
                let index = self.runbook.plan.verify.iter().enumerate().position(|(index, _)| name_of(index) == key.step);
                let verify = index.map(|index| self.runbook.plan.verify[index].clone()).ok_or_else(not_under_way)?;
                let holds = self.verified(&verify, &seen);
                let held = self.hold(key, holds, now);
                let value = match seen {
                    Seen::Value(value) => Some(value).filter(|value| !value.is_nan()),
                    Seen::Firing => Some(1.0),
                    Seen::NotFiring => Some(0.0),
                    Seen::NoData | Seen::Alerts(_) => None,
                };
                let sample = SampleRow { run_id: self.row.id.clone(), at: now, probe: key.step.clone(), value, ok: holds };
                self.records.push(Record::Sample(sample));
                if held.is_some_and(|held| held >= verify.hold) {
                    self.succeed_attempt(attempt, now);
                }
            }
            Phase::Do => {
                let Some((condition, hold)) = self.step(&key.step).and_then(|step| match &step.action {
                    super::super::action::Action::MetricWait { condition, hold, .. } => Some((condition.clone(), *hold)),
                    _ => None,
                }) else {
                    return Err(not_under_way());
                };
                let holds = self.condition_holds(&condition, &seen, condition.no_data);
                if self.hold(key, holds, now).is_some_and(|held| held >= hold) {
                    self.succeed_attempt(attempt, now);
                }
            }
            Phase::Check | Phase::Undo | Phase::UndoCheck | Phase::Page | Phase::Sample => return Err(not_under_way()),
        }
        Ok(())
    }

    fn verified(&self, verify: &Verify, seen: &Seen) -> bool {
        match (&verify.what, seen) {
            (_, Seen::NoData) => verify.no_data == NoData::Allow,
            (Verified::TriggerAlert, Seen::NotFiring) => true,
            (Verified::TriggerAlert, Seen::Firing | Seen::Value(_) | Seen::Alerts(_)) => false,
            (Verified::Metric(condition), _) => self.condition_holds(condition, seen, verify.no_data),
        }
    }

    pub(super) fn condition_holds(&self, condition: &Condition, seen: &Seen, no_data: NoData) -> bool {
        match seen {
            Seen::Value(value) => {
                self.scoped("", |scope| scope.number(&condition.value)).is_ok_and(|bound| condition.op.holds(*value, bound))
            }
            Seen::NoData => no_data == NoData::Allow,
            Seen::Firing | Seen::NotFiring | Seen::Alerts(_) => false,
        }
    }

    pub(super) fn succeed_attempt(&mut self, mut attempt: StepAttempt, now: Timestamp) {
        attempt.state = AttemptState::Succeeded;
        attempt.ended_at = Some(now);
        attempt.error = None;
        self.watches.remove(&attempt.key);
        self.save_attempt(attempt);
    }

    pub(super) fn fail_attempt(
        &mut self,
        mut attempt: StepAttempt,
        class: FailClass,
        definite: bool,
        message: String,
        now: Timestamp,
    ) {
        attempt.state = if definite { AttemptState::Failed } else { AttemptState::Unknown };
        attempt.ended_at = Some(now);
        attempt.error = Some(Fault { class, message, definite });
        self.watches.remove(&attempt.key);
        self.save_attempt(attempt);
    }
}

fn told(verify: &Verify) -> String {
    match &verify.what {
        Verified::TriggerAlert => "the end of the alert".to_owned(),
        Verified::Metric(condition) => format!("{} {}", condition.expr, condition.op.sign()),
    }
}
