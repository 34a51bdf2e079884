//! Doubt: what becomes of attempts of which nobody knows whether they happened, after a crash and after silence.

use super::super::action::Action;
use super::super::plan::{Effect, FailClass, Step};
use super::super::record::{AttemptKey, AttemptState, Order, Phase, RunState, StepAttempt, UndoScope, WaitFor};
use super::super::request::{Request, Told, told};
use super::{Gathered, Refused, Run, Settled};
use crate::time::{Span, Timestamp};

/// One question whether a step has happened.
const CHECK_TIMEOUT: Span = Span::from_secs(60);
/// Between two such questions.
const CHECK_EVERY: Span = Span::from_secs(5);
/// A check that cannot tell is asked this often.
const CHECKS_MAX: usize = 3;

impl Run {
    /// Goes over what an earlier process left, before anything else is done.
    pub(super) fn recover(&mut self, now: Timestamp) {
        self.recovered_at = Some(now);
        if matches!(self.row.state, RunState::Running | RunState::Verifying) {
            self.set_state(RunState::Interrupted, "the process ended in the middle");
        }
        self.interrupt_study(now);
        if self.row.waiting == Some(WaitFor::Approval) || self.row.state == RunState::Requested {
            self.gathered = Gathered::Due(now);
        }
        let open: Vec<StepAttempt> = self
            .attempts
            .values()
            .filter(|attempt| matches!(attempt.state, AttemptState::Intent | AttemptState::Issued))
            .cloned()
            .collect();
        for attempt in open {
            self.recover_attempt(attempt, now);
        }
    }

    fn recover_attempt(&mut self, attempt: StepAttempt, now: Timestamp) {
        match attempt.key.phase {
            Phase::Verify | Phase::Sample => {}
            Phase::Page => self.issue_again(attempt, now),
            // A question harms nothing, and an undo may be repeated.
            Phase::Check | Phase::Undo | Phase::UndoCheck => self.abandon(attempt, now),
            Phase::Do => {
                let Some(step) = self.step(&attempt.key.step).cloned() else { return };
                match &step.action {
                    Action::Wait { .. } | Action::MetricWait { .. } | Action::Watch { .. } | Action::Heal { .. } => {}
                    Action::Human { .. } => self.ask_human(&step, &attempt.key),
                    Action::Approval(approvals) => {
                        self.ask_approval(&step, approvals, attempt.started_at.unwrap_or(now));
                    }
                    _ => self.recover_effect(&step, attempt, now),
                }
            }
        }
    }

    fn recover_effect(&mut self, step: &Step, attempt: StepAttempt, now: Timestamp) {
        if let (Some(handle), Some(Request::Exec { .. })) = (&attempt.handle, &attempt.request)
            && self.row.ending.is_none()
        {
            // A program of ours may have lived on.
            self.orders.push(Order::Adopt { key: attempt.key.clone(), handle: handle.clone() });
            return;
        }
        self.doubt(step, attempt, now);
    }

    /// Decides by the declared effect what becomes of an attempt in doubt.
    fn doubt(&mut self, step: &Step, mut attempt: StepAttempt, now: Timestamp) {
        match step.effect {
            // Nothing is begun again in a run that is ending.
            Effect::Idempotent | Effect::Keyed if self.row.ending.is_none() => self.abandon(attempt, now),
            Effect::Idempotent | Effect::Keyed | Effect::Probe | Effect::Once => {
                attempt.state = AttemptState::Unknown;
                attempt.ended_at = Some(now);
                self.save_attempt(attempt);
            }
        }
    }

    pub(super) fn lost_attempt(&mut self, key: &AttemptKey, now: Timestamp) -> Result<(), Refused> {
        let open = |attempt: &&StepAttempt| matches!(attempt.state, AttemptState::Intent | AttemptState::Issued);
        let not_under_way = || Refused::NotUnderWay { key: key.clone() };
        let attempt = self.attempts.get(key).filter(open).cloned().ok_or_else(not_under_way)?;
        let step = self.step(&key.step).filter(|_| key.phase == Phase::Do).cloned().ok_or_else(not_under_way)?;
        self.doubt(&step, attempt, now);
        Ok(())
    }

    pub(super) fn abandon(&mut self, mut attempt: StepAttempt, now: Timestamp) {
        attempt.state = AttemptState::Abandoned;
        attempt.ended_at = Some(now);
        self.save_attempt(attempt);
    }

    /// Finds out whether a step in doubt has happened.
    pub(super) fn drive_check(&mut self, step: &Step, doubted: StepAttempt, now: Timestamp) -> bool {
        let Some(check) = &step.check else {
            self.need_human(&step.id, "may or may not have happened, and has no check".to_owned(), now);
            return true;
        };
        let idem_key = format!("{}/{}/check/{}", self.row.id, step.id, doubted.key.attempt);
        let latest = self.latest_of(&step.id, Phase::Check, &idem_key).cloned();
        match latest {
            Some(attempt) if attempt.state == AttemptState::Pending => {
                let due = self.is_due(attempt.due_at.unwrap_or(now), now);
                if due {
                    self.start_check(step, &check.action, attempt, now);
                }
                due
            }
            Some(attempt) if matches!(attempt.state, AttemptState::Intent | AttemptState::Issued) => {
                let late = self.is_due(attempt.started_at.unwrap_or(now) + CHECK_TIMEOUT.min(step.timeout), now);
                if late {
                    self.orders.push(Order::Cancel { key: attempt.key.clone() });
                    self.fail_attempt(attempt, FailClass::Timeout, false, "the check did not answer".to_owned(), now);
                }
                late
            }
            Some(attempt) if matches!(attempt.state, AttemptState::Failed | AttemptState::Unknown) => {
                let failed = |one: &&StepAttempt| {
                    one.idem_key == idem_key && matches!(one.state, AttemptState::Failed | AttemptState::Unknown)
                };
                if self.of_phase(&step.id, Phase::Check).filter(failed).count() >= CHECKS_MAX {
                    self.need_human(&step.id, "may or may not have happened, and its check cannot tell".to_owned(), now);
                } else {
                    self.check_later(step, idem_key, now);
                }
                true
            }
            // Under way: look again, until the step has had its time.
            Some(attempt) if attempt.state == AttemptState::Succeeded => {
                let since = doubted.ended_at.unwrap_or(now);
                if since + step.timeout <= now {
                    self.need_human(&step.id, format!("is still under way after {}", step.timeout), now);
                } else {
                    self.check_later(step, idem_key, now);
                }
                true
            }
            Some(_) | None => {
                let attempt = self.new_attempt(&step.id, Phase::Check, Effect::Idempotent, idem_key);
                self.start_check(step, &check.action, attempt, now);
                true
            }
        }
    }

    fn start_check(&mut self, step: &Step, action: &Action, attempt: StepAttempt, now: Timestamp) {
        let request = self.scoped(&attempt.idem_key, |scope| scope.request(action));
        match request {
            Ok(request) => self.issue(attempt, request, CHECK_TIMEOUT.min(step.timeout), now),
            Err(bad) => self.fail_attempt(attempt, FailClass::Value, true, bad.to_string(), now),
        }
    }

    fn check_later(&mut self, step: &Step, idem_key: String, now: Timestamp) {
        let mut next = self.new_attempt(&step.id, Phase::Check, Effect::Idempotent, idem_key);
        next.state = AttemptState::Pending;
        next.due_at = Some(now + CHECK_EVERY);
        self.save_attempt(next);
    }

    /// Takes in the answer of a check.
    pub(super) fn checked(&mut self, attempt: StepAttempt, request: &Request, answer: &serde_json::Value, now: Timestamp) {
        let Some(step) = self.step(&attempt.key.step).cloned() else { return };
        let Some(check) = &step.check else { return };
        let told = told(check, request, answer);
        let doubted = self.latest(&step.id, Phase::Do).filter(|one| one.state == AttemptState::Unknown).cloned();
        match (told, doubted) {
            (Told::CannotTell, _) => {
                self.fail_attempt(attempt, FailClass::Expect, true, "the check cannot tell".to_owned(), now);
            }
            (Told::InProgress, _) | (_, None) => self.succeed_attempt(attempt, now),
            (Told::Happened, Some(mut doubted)) => {
                self.succeed_attempt(attempt, now);
                // The check's answer stands for the step's own, as far as it holds what the step saves.
                doubted.saved = self.read_saves(&step.save, answer).unwrap_or_default();
                self.succeed_attempt(doubted, now);
            }
            (Told::NotHappened, Some(mut doubted)) => {
                self.succeed_attempt(attempt, now);
                match &mut doubted.error {
                    // It was silence that failed the attempt: it counts, and the step's own rule decides on another.
                    Some(fault) => {
                        fault.definite = true;
                        doubted.state = AttemptState::Failed;
                        self.save_attempt(doubted);
                    }
                    // It was a crash: that is no fault of the step's.
                    None => self.abandon(doubted, now),
                }
            }
        }
    }

    pub(super) fn need_human(&mut self, step: &str, why: String, now: Timestamp) {
        let attempt = self.latest(step, Phase::Do).map_or(0, |attempt| attempt.key.attempt);
        self.set_state(RunState::NeedsHuman, format!("step {step} {why}"));
        self.page(&format!("needs_human/{step}/{attempt}"), format!("step {step} {why}; say what became of it"), now);
    }

    /// Takes in what a person found out about a step in doubt.
    pub(super) fn settle(&mut self, step: &str, verdict: Settled, by: &str, now: Timestamp) -> Result<(), Refused> {
        if self.row.state != RunState::NeedsHuman {
            return Err(Refused::State { attempt: "settle", state: self.row.state });
        }
        let in_doubt = |one: &&StepAttempt| matches!(one.state, AttemptState::Unknown | AttemptState::Abandoned);
        let doubted = self.latest(step, Phase::Do).filter(in_doubt).cloned().ok_or(Refused::NotInDoubt(step.to_owned()))?;
        match verdict {
            Settled::Done => {
                self.succeed_attempt(doubted, now);
                self.set_state(RunState::Running, format!("{by} says that step {step} is done"));
            }
            Settled::Retry => {
                self.abandon(doubted, now);
                self.set_state(RunState::Running, format!("{by} lets step {step} run again"));
            }
            Settled::Undo => self.end(UndoScope::All, false, format!("{by} had it undone"), now),
        }
        Ok(())
    }
}
