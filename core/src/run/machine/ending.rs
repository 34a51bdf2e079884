//! How runs end: well, by failing, by undoing, by order of people; and the pages that tell of it.

use super::super::guard::Guard;
use super::super::plan::FailClass;
use super::super::record::{AttemptState, Ending, Order, Phase, Record, RunState, StepAttempt, UndoScope, UndoState};
use super::super::{drill, experiment};
use super::{ANSWER_MAX, Refused, Run};
use crate::time::{Span, Timestamp};

/// A request that was told to stop is waited for this long.
const GRACE: Span = Span::from_secs(10);
const PAGE_TRIES_MAX: usize = 20;
const PAGE_WAIT_MAX: Span = Span::from_secs(60);

impl Run {
    pub(super) fn succeed(&mut self, reason: &str, now: Timestamp) {
        self.close(RunState::Succeeded, reason.to_owned(), now);
    }

    /// Leaves the way of success: what is under way is stopped, then what is to be undone is undone.
    pub(super) fn end(&mut self, undo: UndoScope, page: bool, why: String, now: Timestamp) {
        self.row.ending = Some(Ending { undo, page, why: why.clone() });
        let open: Vec<StepAttempt> = self.open_deeds().cloned().collect();
        let mut waits = false;
        for attempt in open {
            match attempt.request {
                Some(_) => {
                    self.orders.push(Order::Cancel { key: attempt.key.clone() });
                    waits = true;
                }
                None => self.abandon(attempt, now),
            }
        }
        let pending: Vec<StepAttempt> = self.attempts.values().filter(|one| is_pending_deed(one)).cloned().collect();
        for attempt in pending {
            self.abandon(attempt, now);
        }
        self.row.waiting_since = Some(now);
        self.set_state(if waits { RunState::Cancelling } else { RunState::Undoing }, why);
    }

    fn open_deeds(&self) -> impl Iterator<Item = &StepAttempt> {
        let open = |one: &&StepAttempt| matches!(one.state, AttemptState::Intent | AttemptState::Issued);
        self.attempts.values().filter(open).filter(|one| matches!(one.key.phase, Phase::Do | Phase::Check | Phase::Verify))
    }

    pub(super) fn drive_cancelling(&mut self, now: Timestamp) -> bool {
        let open: Vec<StepAttempt> = self.open_deeds().cloned().collect();
        // What may still land is healed once it can land no more; everything else at once.
        if self.drive_heals(|step| !open.iter().any(|one| one.key.step == step), now) {
            return true;
        }
        let grace = self.row.waiting_since.unwrap_or(now) + GRACE;
        if !open.is_empty() && !self.is_due(grace, now) {
            return false;
        }
        for attempt in open {
            self.fail_attempt(attempt, FailClass::Timeout, false, "stopped".to_owned(), now);
        }
        let reason = self.row.reason.clone();
        self.set_state(RunState::Undoing, reason);
        true
    }

    pub(super) fn drive_undoing(&mut self, now: Timestamp) -> bool {
        let fallback = Ending { undo: UndoScope::All, page: true, why: self.row.reason.clone() };
        let ending = self.row.ending.clone().unwrap_or(fallback);
        if self.has_open_undos(ending.undo) {
            return self.drive_undos(ending.undo, now);
        }
        let failed: Vec<&str> =
            self.undos.iter().filter(|undo| undo.state == UndoState::Failed).map(|undo| undo.step_id.as_str()).collect();
        if !failed.is_empty() {
            let why = format!("{}; not undone: {}", ending.why, failed.join(", "));
            self.page("undo_failed", why.clone(), now);
            self.close(RunState::UndoFailed, why, now);
            return true;
        }
        let state = match ending.undo {
            UndoScope::All => RunState::Undone,
            UndoScope::Temporary => RunState::Failed,
        };
        if ending.page {
            self.page(state.word(), format!("{}: {}", state.word(), ending.why), now);
        }
        self.close(state, ending.why, now);
        true
    }

    fn close(&mut self, state: RunState, reason: String, now: Timestamp) {
        let armed: Vec<_> = self.undos.iter().filter(|undo| undo.is_open()).cloned().collect();
        for mut undo in armed {
            undo.state = UndoState::Released;
            self.save_undo(undo);
        }
        if let Some(lock) = &self.runbook.guards.lock {
            self.records.push(Record::Unlock { name: lock.key.clone(), run_id: self.row.id.clone() });
        }
        self.end_samples(now);
        self.row.ended_at = Some(now);
        self.row.state = state;
        self.row.reason = reason.clone();
        self.row.verdict = self.verdict();
        self.set_state(state, reason);
    }

    /// Returns the word for what an experiment or a drill has shown.
    pub(super) fn verdict(&self) -> Option<String> {
        self.runbook.study.as_ref()?;
        let stored = self.stored();
        let word = experiment::verdict(&self.runbook, &stored).map(|found| found.verdict.word());
        word.or_else(|| drill::result(&self.runbook, &stored).map(|found| found.verdict.word())).map(str::to_owned)
    }

    pub(super) fn pause(&mut self, by: &str) -> Result<(), Refused> {
        match self.row.state {
            RunState::Running | RunState::Verifying if self.runbook.study.is_some() => {
                let why = "a fault that stands does not wait: what breaks something is cancelled, not paused";
                Err(Refused::MayNot(why.to_owned()))
            }
            RunState::Running | RunState::Verifying => {
                self.set_state(RunState::Paused, format!("paused by {by}"));
                Ok(())
            }
            state => Err(Refused::State { attempt: "pause", state }),
        }
    }

    pub(super) fn resume(&mut self, by: &str) -> Result<(), Refused> {
        if self.row.state != RunState::Paused {
            return Err(Refused::State { attempt: "resume", state: self.row.state });
        }
        // A verification finds its rows again once the steps are seen to be over.
        self.set_state(RunState::Running, format!("resumed by {by}"));
        Ok(())
    }

    pub(super) fn cancel(&mut self, why: &str, page: bool, now: Timestamp) -> Result<(), Refused> {
        match self.row.state {
            RunState::Requested | RunState::Waiting | RunState::Gated => {
                let guard = if page { Guard::KillSwitch } else { Guard::Approvals };
                self.refuse(guard, why.to_owned(), now);
                Ok(())
            }
            RunState::Running | RunState::Paused | RunState::Verifying | RunState::Interrupted | RunState::NeedsHuman => {
                self.end(UndoScope::All, page, why.to_owned(), now);
                Ok(())
            }
            state @ (RunState::Cancelling
            | RunState::Undoing
            | RunState::Refused
            | RunState::Succeeded
            | RunState::Failed
            | RunState::Undone
            | RunState::UndoFailed) => Err(Refused::State { attempt: "cancel", state }),
        }
    }

    pub(super) fn has_open_pages(&self) -> bool {
        self.attempts.values().any(is_open_page)
    }

    /// Sends pages again that have failed; a page under way is issued again when its answer stays away.
    pub(super) fn drive_pages(&mut self, now: Timestamp) {
        let pages: Vec<StepAttempt> = self.attempts.values().filter(|one| one.key.phase == Phase::Page).cloned().collect();
        for attempt in pages {
            let newest = self.latest(&attempt.key.step, Phase::Page).is_some_and(|latest| latest.key == attempt.key);
            let Some(request) = attempt.request.clone().filter(|_| newest) else { continue };
            match attempt.state {
                AttemptState::Pending => {
                    if self.is_due(attempt.due_at.unwrap_or(now), now) {
                        self.issue(attempt, request, ANSWER_MAX, now);
                        self.wake_at(now + ANSWER_MAX);
                    }
                }
                AttemptState::Intent | AttemptState::Issued => {
                    if self.is_due(attempt.started_at.unwrap_or(now) + ANSWER_MAX, now) {
                        self.fail_attempt(attempt.clone(), FailClass::Timeout, false, "no answer".to_owned(), now);
                        self.page_later(attempt, now);
                    }
                }
                AttemptState::Failed | AttemptState::Unknown | AttemptState::Abandoned => self.page_later(attempt, now),
                AttemptState::Succeeded | AttemptState::Skipped => {}
            }
        }
    }

    fn page_later(&mut self, attempt: StepAttempt, now: Timestamp) {
        let tried = attempt.key.attempt;
        if tried as usize >= PAGE_TRIES_MAX {
            return;
        }
        let mut next = self.new_attempt(&attempt.key.step, Phase::Page, attempt.effect, attempt.idem_key);
        next.request = attempt.request;
        next.state = AttemptState::Pending;
        let wait = Span((1000i64 << tried.min(10)).min(PAGE_WAIT_MAX.0));
        next.due_at = Some(now + wait);
        self.wake_at(now + wait);
        self.save_attempt(next);
    }

    /// Issues an attempt of an earlier process once more, under the same key.
    pub(super) fn issue_again(&mut self, attempt: StepAttempt, now: Timestamp) {
        if let Some(request) = attempt.request.clone() {
            self.issue(attempt, request, ANSWER_MAX, now);
        }
    }
}

fn is_open_page(attempt: &StepAttempt) -> bool {
    attempt.key.phase == Phase::Page
        && matches!(attempt.state, AttemptState::Pending | AttemptState::Intent | AttemptState::Issued)
}

fn is_pending_deed(attempt: &StepAttempt) -> bool {
    attempt.state == AttemptState::Pending && matches!(attempt.key.phase, Phase::Do | Phase::Check)
}
