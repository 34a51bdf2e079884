//! Undo: in reverse order, each verified, one that fails not stopping the others.

use super::super::plan::{Effect, FailClass};
use super::super::record::{AttemptState, Order, Phase, RunState, StepAttempt, UndoRow, UndoScope, UndoState};
use super::super::request::Request;
use super::Run;
use crate::time::{Span, Timestamp};

/// An undo, and its check, are tried this often.
const TRIES_MAX: usize = 3;
/// Between two tries.
const TRY_AGAIN: Span = Span::from_secs(5);
/// A fault that is past its deadline by this has ended by itself. One that does not heal is tried again as often.
const STANDS_PAST: Span = Span::from_secs(30);
const CHECK_TIMEOUT: Span = Span::from_secs(60);

/// How one phase of an undo stands.
enum Progress {
    Waits,
    Moved,
    Done,
    Failed(String),
}

impl Run {
    pub(super) fn has_open_undos(&self, scope: UndoScope) -> bool {
        self.undos.iter().any(|undo| in_scope(undo, scope))
    }

    /// Takes back the newest of what is still to be taken back.
    pub(super) fn drive_undos(&mut self, scope: UndoScope, now: Timestamp) -> bool {
        // Faults hang on nothing, and one that will not heal keeps none of the others.
        if self.drive_heals(|_| true, now) {
            return true;
        }
        match self.undos.iter().rev().find(|undo| in_scope(undo, scope) && !self.is_fault(undo)).cloned() {
            Some(undo) => self.drive_undo(undo, now),
            None => false,
        }
    }

    /// Takes back what has had its time, whatever the run is doing, all of it at once.
    pub(super) fn drive_overdue_undos(&mut self, now: Timestamp) -> bool {
        let open: Vec<UndoRow> = self.undos.iter().rev().filter(|undo| undo.is_open()).cloned().collect();
        let mut moved = false;
        for undo in open {
            let Some(deadline) = undo.deadline else { continue };
            if self.is_due(deadline, now) {
                moved |= self.drive_undo(undo, now);
            }
        }
        moved
    }

    fn is_fault(&self, undo: &UndoRow) -> bool {
        self.step(&undo.step_id).is_some_and(|step| step.fault)
    }

    /// Returns whether a fault may stand that nobody could heal: it ends by itself a little behind its deadline.
    fn may_stand(&self, undo: &UndoRow, now: Timestamp) -> bool {
        self.is_fault(undo) && undo.deadline.is_some_and(|deadline| now < deadline + STANDS_PAST)
    }

    pub(super) fn drive_undo(&mut self, mut undo: UndoRow, now: Timestamp) -> bool {
        match self.drive_phase(&undo, Phase::Undo, undo.action.clone(), undo.timeout, now) {
            Progress::Waits => return false,
            Progress::Moved => {
                if undo.state == UndoState::Armed {
                    undo.state = UndoState::Started;
                    self.save_undo(undo);
                }
                return true;
            }
            Progress::Failed(why) => {
                self.undo_failed(undo, why, now);
                return true;
            }
            Progress::Done => {}
        }
        let proven = match undo.check.clone() {
            None => Progress::Done,
            Some(check) => self.drive_phase(&undo, Phase::UndoCheck, check, CHECK_TIMEOUT, now),
        };
        match proven {
            Progress::Waits => false,
            Progress::Moved => true,
            Progress::Failed(why) => {
                self.undo_failed(undo, why, now);
                true
            }
            Progress::Done => {
                undo.state = UndoState::Undone;
                undo.verified_at = Some(now);
                self.save_undo(undo);
                true
            }
        }
    }

    fn drive_phase(&mut self, undo: &UndoRow, phase: Phase, request: Request, timeout: Span, now: Timestamp) -> Progress {
        let Some(attempt) = self.latest_of(&undo.step_id, phase, &undo.id).cloned() else {
            let attempt = self.new_attempt(&undo.step_id, phase, Effect::Idempotent, undo.id.clone());
            self.issue(attempt, request, timeout, now);
            return Progress::Moved;
        };
        match attempt.state {
            AttemptState::Succeeded => Progress::Done,
            AttemptState::Abandoned => {
                let attempt = self.new_attempt(&undo.step_id, phase, Effect::Idempotent, undo.id.clone());
                self.issue(attempt, request, timeout, now);
                Progress::Moved
            }
            AttemptState::Pending => {
                if !self.is_due(attempt.due_at.unwrap_or(now), now) {
                    return Progress::Waits;
                }
                self.issue(attempt, request, timeout, now);
                Progress::Moved
            }
            AttemptState::Intent | AttemptState::Issued => {
                if !self.is_due(attempt.started_at.unwrap_or(now) + timeout, now) {
                    return Progress::Waits;
                }
                self.orders.push(Order::Cancel { key: attempt.key.clone() });
                self.fail_attempt(attempt, FailClass::Timeout, false, format!("no end within {timeout}"), now);
                Progress::Moved
            }
            AttemptState::Failed | AttemptState::Unknown | AttemptState::Skipped => {
                let failed = |one: &&StepAttempt| {
                    one.idem_key == undo.id && matches!(one.state, AttemptState::Failed | AttemptState::Unknown)
                };
                let tried = self.of_phase(&undo.step_id, phase).filter(failed).count();
                let why = attempt.error.map_or_else(String::new, |fault| fault.message);
                if tried >= TRIES_MAX && !self.may_stand(undo, now) {
                    return Progress::Failed(why);
                }
                if tried == TRIES_MAX {
                    let step = &undo.step_id;
                    self.page(&format!("undo_failing/{step}"), format!("{step} does not heal: {why}"), now);
                }
                let wait = if tried < TRIES_MAX { TRY_AGAIN } else { STANDS_PAST };
                let mut next = self.new_attempt(&undo.step_id, phase, Effect::Idempotent, undo.id.clone());
                next.state = AttemptState::Pending;
                next.due_at = Some(now + wait);
                self.save_attempt(next);
                Progress::Moved
            }
        }
    }

    fn undo_failed(&mut self, mut undo: UndoRow, why: String, now: Timestamp) {
        undo.state = UndoState::Failed;
        let step = undo.step_id.clone();
        self.save_undo(undo);
        let what = format!("step {step} could not be undone: {why}");
        match self.row.state {
            RunState::Running | RunState::Interrupted | RunState::Verifying | RunState::Paused => {
                self.end(UndoScope::All, true, what, now);
            }
            // These go on as they are, and their end says it too; but a person must know now.
            _ => self.page("undo_failed", what, now),
        }
    }
}

fn in_scope(undo: &UndoRow, scope: UndoScope) -> bool {
    undo.is_open() && (scope == UndoScope::All || undo.deadline.is_some())
}
