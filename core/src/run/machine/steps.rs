//! Steps, in the order of the document: where the run stands, what is begun, and what an answer brings.

use super::super::action::{Action, Approvals, OnExpire};
use super::super::experiment::failed_step;
use super::super::guard::{subject_hash, vote_fault};
use super::super::plan::{Effect, FailClass, OnFail, OnVerifyFail, Save, Step, StepResult};
use super::super::record::{
    ApprovalRow, AttemptKey, AttemptState, Fault, Observe, Order, Phase, RunState, StepAttempt, UndoRow, UndoScope, UndoState,
    Vote,
};
use super::super::request::BadRequest;
use super::super::value::{Value, Values};
use super::{ANSWER_MAX, ATTEMPTS_MAX, Outcome, Refused, Run};
use crate::access::Role;
use crate::time::Timestamp;

/// Where a run stands among its steps.
enum Standing {
    At(usize),
    End,
    Stopped { step: String, undo: bool },
}

/// How a step stands.
#[derive(PartialEq)]
enum StepStanding {
    Open,
    Over(StepResult),
}

impl Run {
    /// Returns where the rows say that the run stands: steps are walked from the first, and failed ones lead where they say.
    fn standing(&self) -> Standing {
        let plan = &self.runbook.plan;
        let mut index = 0;
        while let Some(step) = plan.steps.get(index) {
            match self.step_standing(step) {
                StepStanding::Open => return Standing::At(index),
                StepStanding::Over(StepResult::Succeeded | StepResult::Skipped) => index += 1,
                StepStanding::Over(StepResult::Failed) => match &step.on_fail {
                    OnFail::Continue => index += 1,
                    // Only ever forward, so that the walk ends.
                    OnFail::Goto(id) => index = plan.index(id).unwrap_or(plan.steps.len()).max(index + 1),
                    OnFail::Abort => return Standing::Stopped { step: step.id.clone(), undo: false },
                    OnFail::Undo => return Standing::Stopped { step: step.id.clone(), undo: true },
                },
            }
        }
        Standing::End
    }

    fn step_standing(&self, step: &Step) -> StepStanding {
        let Some(attempt) = self.latest(&step.id, Phase::Do) else { return StepStanding::Open };
        match attempt.state {
            AttemptState::Pending | AttemptState::Intent | AttemptState::Issued | AttemptState::Abandoned => StepStanding::Open,
            AttemptState::Succeeded => StepStanding::Over(StepResult::Succeeded),
            AttemptState::Skipped => StepStanding::Over(StepResult::Skipped),
            AttemptState::Unknown if matches!(step.effect, Effect::Probe | Effect::Once) => StepStanding::Open,
            AttemptState::Failed | AttemptState::Unknown if self.may_retry(step, attempt) => StepStanding::Open,
            AttemptState::Failed | AttemptState::Unknown => StepStanding::Over(StepResult::Failed),
        }
    }

    fn failures(&self, step: &Step) -> usize {
        let failed = |attempt: &&StepAttempt| matches!(attempt.state, AttemptState::Failed | AttemptState::Unknown);
        self.of_phase(&step.id, Phase::Do).filter(failed).count()
    }

    fn may_retry(&self, step: &Step, attempt: &StepAttempt) -> bool {
        let class = attempt.error.as_ref().map_or(FailClass::Timeout, |fault| fault.class);
        // What was never done at all may be tried again, whatever the step says of repeats; what may have been done may not.
        let safe = step.effect != Effect::Once || attempt.error.as_ref().is_some_and(|fault| fault.definite);
        safe && step.retry.when.contains(&class)
            && self.failures(step) < step.retry.attempts as usize
            && self.of_phase(&step.id, Phase::Do).count() < ATTEMPTS_MAX
    }

    pub(super) fn drive_steps(&mut self, now: Timestamp, random: &mut dyn FnMut() -> f64) -> bool {
        match self.standing() {
            Standing::At(index) => {
                let runbook = self.runbook.clone();
                self.drive_step(&runbook.plan.steps[index], now, random)
            }
            Standing::Stopped { step, undo } => {
                // An experiment that says nothing, or was cut short, is no matter for the night.
                let page = self.runbook.plan.on_verify_fail != OnVerifyFail::Leave && !self.is_experiment();
                let scope = if undo { UndoScope::All } else { UndoScope::Temporary };
                self.end(scope, page, failed_step(&step), now);
                true
            }
            Standing::End => {
                // What was meant to be temporary ends before anybody asks whether all is well.
                if self.has_open_undos(UndoScope::Temporary) {
                    return self.drive_undos(UndoScope::Temporary, now);
                }
                self.begin_verify(now);
                true
            }
        }
    }

    fn drive_step(&mut self, step: &Step, now: Timestamp, random: &mut dyn FnMut() -> f64) -> bool {
        let Some(attempt) = self.latest(&step.id, Phase::Do).cloned() else {
            if self.is_wanted(step) {
                self.resume_running();
                let attempt = self.new_attempt(&step.id, Phase::Do, step.effect, self.do_key(step));
                self.start(step, attempt, now);
            } else {
                let mut attempt = self.new_attempt(&step.id, Phase::Do, step.effect, self.do_key(step));
                attempt.state = AttemptState::Skipped;
                attempt.ended_at = Some(now);
                self.save_attempt(attempt);
            }
            return true;
        };
        match attempt.state {
            AttemptState::Abandoned => {
                self.resume_running();
                if attempt.key.attempt as usize >= ATTEMPTS_MAX {
                    self.need_human(&step.id, format!("has been tried {ATTEMPTS_MAX} times"), now);
                    return true;
                }
                let attempt = self.new_attempt(&step.id, Phase::Do, step.effect, self.do_key(step));
                self.start(step, attempt, now);
                true
            }
            AttemptState::Pending => {
                self.resume_running();
                let due = self.is_due(attempt.due_at.unwrap_or(now), now);
                if due {
                    self.start(step, attempt, now);
                }
                due
            }
            AttemptState::Intent | AttemptState::Issued => {
                self.resume_running();
                self.drive_attempt(step, attempt, now)
            }
            AttemptState::Unknown if step.effect == Effect::Probe => self.drive_check(step, attempt, now),
            AttemptState::Unknown if step.effect == Effect::Once => {
                self.need_human(&step.id, "may or may not have happened, and must not be repeated".to_owned(), now);
                true
            }
            AttemptState::Failed | AttemptState::Unknown => {
                let wait = step.retry.wait(self.failures(step) as u32, random());
                let mut next = self.new_attempt(&step.id, Phase::Do, step.effect, self.do_key(step));
                next.state = AttemptState::Pending;
                next.due_at = Some(now + wait);
                self.save_attempt(next);
                true
            }
            AttemptState::Succeeded | AttemptState::Skipped => false,
        }
    }

    fn is_wanted(&self, step: &Step) -> bool {
        let Some(when) = &step.when else { return true };
        let Some(earlier) = self.runbook.plan.step(&when.step) else { return false };
        // A step that was jumped over has no attempt, and counts as skipped.
        let result = match self.latest(&earlier.id, Phase::Do) {
            None => StepResult::Skipped,
            Some(_) => match self.step_standing(earlier) {
                StepStanding::Over(result) => result,
                StepStanding::Open => return false,
            },
        };
        result == when.is
    }

    /// Returns the key of the next attempt. Its generation rises after a definite failure only: after silence the other side must be
    /// able to recognise the repeat.
    fn do_key(&self, step: &Step) -> String {
        let definite = |attempt: &&StepAttempt| attempt.error.as_ref().is_some_and(|fault| fault.definite);
        let generation = 1 + self.of_phase(&step.id, Phase::Do).filter(definite).count();
        format!("{}/{}/g{generation}", self.row.id, step.id)
    }

    fn start(&mut self, step: &Step, mut attempt: StepAttempt, now: Timestamp) {
        attempt.started_at = Some(now);
        attempt.due_at = None;
        match &step.action {
            Action::Wait { .. } | Action::MetricWait { .. } | Action::Watch { .. } | Action::Heal { .. } => {
                self.start_inner(attempt);
            }
            Action::Approval(approvals) => {
                self.ask_approval(step, approvals, now);
                self.start_inner(attempt);
            }
            Action::Human { .. } => {
                self.ask_human(step, &attempt.key);
                self.start_inner(attempt);
            }
            _ => {
                let key = attempt.idem_key.clone();
                let made = self.scoped(&key, |scope| scope.request(&step.action));
                let undo = self.make_undo(step, now);
                match (made, undo) {
                    (Ok(request), Ok(undo)) => {
                        // The way back is recorded before the way there.
                        if let Some(undo) = undo {
                            self.save_undo(undo);
                        }
                        self.issue(attempt, request, step.timeout, now);
                    }
                    (Err(bad), _) | (_, Err(bad)) => self.fail_attempt(attempt, FailClass::Value, true, bad.to_string(), now),
                }
            }
        }
    }

    fn start_inner(&mut self, mut attempt: StepAttempt) {
        attempt.state = AttemptState::Issued;
        self.save_attempt(attempt);
    }

    /// Returns the undo of a step that is about to begin; none: it has none, or one that is still armed.
    fn make_undo(&self, step: &Step, now: Timestamp) -> Result<Option<UndoRow>, BadRequest> {
        if step.fault && step.undo.as_ref().is_none_or(|undo| undo.deadline.is_none()) {
            return Err(BadRequest::Fault);
        }
        let Some(undo) = &step.undo else { return Ok(None) };
        if self.undos.iter().any(|row| row.step_id == step.id && row.is_open()) {
            return Ok(None);
        }
        let seq = self.undos.iter().map(|row| row.seq).max().unwrap_or(0) + 1;
        let id = format!("{}/{}/undo{seq}", self.row.id, step.id);
        let (action, check) = self.scoped(&id, |scope| {
            Ok::<_, BadRequest>((
                scope.request(&undo.action)?,
                undo.check.as_ref().map(|check| scope.request(check)).transpose()?,
            ))
        })?;
        Ok(Some(UndoRow {
            id,
            run_id: self.row.id.clone(),
            step_id: step.id.clone(),
            target: String::new(),
            seq,
            action,
            check,
            timeout: undo.timeout,
            deadline: undo.deadline.map(|span| now + span),
            state: UndoState::Armed,
            verified_at: None,
            fence: self.row.fence,
        }))
    }

    /// Watches over an attempt that is under way.
    fn drive_attempt(&mut self, step: &Step, attempt: StepAttempt, now: Timestamp) -> bool {
        let started = attempt.started_at.unwrap_or(now);
        if let Action::Wait { length } = &step.action {
            let length = self.scoped("", |scope| scope.span(length));
            return match length {
                Ok(length) => {
                    let due = self.is_due(started + length, now);
                    if due {
                        self.succeed_attempt(attempt, now);
                    }
                    due
                }
                Err(bad) => {
                    self.fail_attempt(attempt, FailClass::Value, true, bad.to_string(), now);
                    true
                }
            };
        }
        // A program that ended while nobody watched over it gets time to say so.
        let found = self.recovered_at.filter(|_| !step.action.is_inner()).map_or(started, |at| at + ANSWER_MAX);
        if self.is_due((started + step.timeout).max(found), now) {
            self.time_out(step, attempt, now);
            return true;
        }
        match &step.action {
            Action::MetricWait { condition, poll, .. } => {
                let expr = self.scoped("", |scope| scope.number(&condition.value).and_then(|_| scope.expression(condition)));
                match expr {
                    Ok(expr) => {
                        self.observe(&attempt.key, Observe::Query(expr), *poll, now);
                        false
                    }
                    Err(bad) => {
                        self.fail_attempt(attempt, FailClass::Value, true, bad.to_string(), now);
                        true
                    }
                }
            }
            Action::Approval(approvals) => self.drive_approval(step, approvals, attempt, now),
            Action::Watch { length, .. } => self.drive_watch(*length, attempt, now),
            Action::Heal { steps } => self.drive_heal(steps, attempt, now),
            _ => false,
        }
    }

    fn time_out(&mut self, step: &Step, attempt: StepAttempt, now: Timestamp) {
        let inner = step.action.is_inner();
        if !inner {
            self.orders.push(Order::Cancel { key: attempt.key.clone() });
        }
        self.fail_attempt(attempt, FailClass::Timeout, inner, format!("no end within {}", step.timeout), now);
    }

    /// A run whose doubts are settled goes on.
    fn resume_running(&mut self) {
        if self.row.state == RunState::Interrupted {
            self.set_state(RunState::Running, "");
        }
    }

    pub(super) fn ask_human(&mut self, step: &Step, key: &AttemptKey) {
        let Action::Human { title, instructions, evidence, roles } = &step.action else { return };
        let (title, instructions) = self.scoped("", |scope| (scope.message(title), scope.message(instructions)));
        let (evidence, roles) = (*evidence, roles.clone());
        self.orders.push(Order::AskHuman { key: key.clone(), title, instructions, evidence, roles });
    }

    pub(super) fn ask_approval(&mut self, step: &Step, approvals: &Approvals, started: Timestamp) {
        self.orders.push(Order::AskApproval {
            step: step.id.clone(),
            subject_hash: subject_hash(&self.row, &self.row.targets, &step.id),
            roles: approvals.roles.clone(),
            count: approvals.count,
            until: started + approvals.expires,
        });
    }

    /// Returns what a step that waits for approval asks.
    pub(super) fn approval_of(&self, id: &str) -> Option<Approvals> {
        let waits = self.latest(id, Phase::Do).is_some_and(|attempt| attempt.state == AttemptState::Issued);
        match self.step(id).map(|step| &step.action) {
            Some(Action::Approval(approvals)) if waits => Some(approvals.clone()),
            _ => None,
        }
    }

    fn drive_approval(&mut self, step: &Step, approvals: &Approvals, attempt: StepAttempt, now: Timestamp) -> bool {
        let subject = subject_hash(&self.row, &self.row.targets, &step.id);
        let counts = |row: &&ApprovalRow| {
            row.step_id == step.id
                && row.subject_hash == subject
                && vote_fault(&self.row, approvals, &row.who, row.role).is_none()
        };
        let votes: Vec<&ApprovalRow> = self.approvals.iter().filter(counts).collect();
        let denied = votes.iter().find(|row| row.verdict == Vote::Deny).map(|row| row.who.clone());
        if let Some(who) = denied {
            self.fail_attempt(attempt, FailClass::Refused, true, format!("{who} denied it"), now);
            return true;
        }
        // One vote a person is stored.
        if votes.len() >= approvals.count {
            self.succeed_attempt(attempt, now);
            return true;
        }
        let expires = attempt.started_at.unwrap_or(now) + approvals.expires;
        if !self.is_due(expires, now) {
            return false;
        }
        if approvals.on_expire == OnExpire::Refuse {
            self.fail_attempt(attempt, FailClass::Refused, true, "nobody approved it in time".to_owned(), now);
            return true;
        }
        self.page(&format!("approval/{}", step.id), format!("step {} waits for an approval that nobody has given", step.id), now);
        false
    }

    pub(super) fn human_done(
        &mut self,
        key: &AttemptKey,
        by: &str,
        role: Role,
        done: bool,
        evidence: String,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let under_way = self.attempts.get(key).filter(|one| one.state == AttemptState::Issued && one.key.phase == Phase::Do);
        let mut attempt = under_way.cloned().ok_or_else(|| Refused::NotUnderWay { key: key.clone() })?;
        let Some(Action::Human { evidence: wants, roles, .. }) = self.step(&key.step).map(|step| &step.action) else {
            return Err(Refused::NotUnderWay { key: key.clone() });
        };
        if !roles.is_empty() && !roles.contains(&role) {
            return Err(Refused::MayNot(format!("a {} cannot settle this task", role.word())));
        }
        if done && *wants && evidence.trim().is_empty() {
            return Err(Refused::Evidence);
        }
        let answer = serde_json::json!({ "by": by, "evidence": evidence });
        attempt.response = Some(self.kept(&answer));
        match done {
            true => self.succeed_with(attempt, &answer, now),
            false => self.fail_attempt(attempt, FailClass::Refused, true, format!("{by} did not do it"), now),
        }
        Ok(())
    }

    fn under_way(&self, key: &AttemptKey) -> Result<StepAttempt, Refused> {
        let open = |attempt: &&StepAttempt| matches!(attempt.state, AttemptState::Intent | AttemptState::Issued);
        // What the machine itself carries out has no request, and nobody else can end it.
        let outer = |attempt: &&StepAttempt| attempt.request.is_some();
        self.attempts.get(key).filter(open).filter(outer).cloned().ok_or_else(|| Refused::NotUnderWay { key: key.clone() })
    }

    pub(super) fn issued(&mut self, key: &AttemptKey, handle: Option<String>) -> Result<(), Refused> {
        let mut attempt = self.under_way(key)?;
        attempt.state = AttemptState::Issued;
        attempt.handle = handle.or(attempt.handle);
        self.save_attempt(attempt);
        Ok(())
    }

    pub(super) fn not_issued(&mut self, key: &AttemptKey, now: Timestamp) -> Result<(), Refused> {
        let mut attempt = self.under_way(key)?;
        attempt.state = AttemptState::Abandoned;
        attempt.ended_at = Some(now);
        self.save_attempt(attempt);
        Ok(())
    }

    pub(super) fn finished(&mut self, key: &AttemptKey, outcome: Outcome, now: Timestamp) -> Result<(), Refused> {
        let mut attempt = self.under_way(key)?;
        let Some(request) = attempt.request.clone() else { return Err(Refused::NotUnderWay { key: key.clone() }) };
        let answer = match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::NotDone(why) => {
                self.fail_attempt(attempt, FailClass::Connect, true, why, now);
                return Ok(());
            }
            Outcome::Unknown(why) => {
                self.fail_attempt(attempt, FailClass::Timeout, false, why, now);
                return Ok(());
            }
        };
        attempt.response = Some(self.kept(&answer));
        if key.phase == Phase::Check {
            self.checked(attempt, &request, &answer, now);
            return Ok(());
        }
        match request.fault(&answer) {
            None => self.succeed_with(attempt, &answer, now),
            Some(Fault { class, message, definite }) => self.fail_attempt(attempt, class, definite, message, now),
        }
        Ok(())
    }

    /// Returns what is stored of an answer.
    fn kept(&self, answer: &serde_json::Value) -> serde_json::Value {
        let bytes = answer.to_string().len();
        match bytes <= self.runbook.plan.capture.max_bytes {
            true => answer.clone(),
            false => serde_json::json!({ "left_out_bytes": bytes }),
        }
    }

    /// Ends an attempt well, once its outputs are saved under their types.
    fn succeed_with(&mut self, mut attempt: StepAttempt, answer: &serde_json::Value, now: Timestamp) {
        let saves = match attempt.key.phase {
            Phase::Do => self.step(&attempt.key.step).map(|step| step.save.clone()).unwrap_or_default(),
            _ => Default::default(),
        };
        match self.read_saves(&saves, answer) {
            Ok(saved) => {
                attempt.saved = saved;
                self.succeed_attempt(attempt, now);
            }
            // The deed is done, so no retry can be right, whatever the output looks like.
            Err(why) => self.fail_attempt(attempt, FailClass::Value, true, why, now),
        }
    }

    pub(super) fn read_saves(
        &self,
        saves: &std::collections::BTreeMap<String, Save>,
        answer: &serde_json::Value,
    ) -> Result<Values, String> {
        let mut saved = Values::new();
        for (name, save) in saves {
            let found = answer.pointer(&save.path).ok_or(format!("the output has nothing at {:?}", save.path))?;
            let value = match &save.kind {
                Some(kind) => kind.read_json(found, &self.inventory).map_err(|bad| format!("output {name:?}: {bad}"))?,
                None => Value::untyped(found),
            };
            saved.insert(name.clone(), value);
        }
        Ok(saved)
    }

    /// Returns whether the run has used up its time, and ends it then.
    pub(super) fn over_time(&mut self, now: Timestamp) -> bool {
        let Some(started) = self.row.started_at else { return false };
        let limit = self.runbook.plan.total_timeout;
        if !self.is_due(started + limit, now) {
            return false;
        }
        let (undo, page) = match self.runbook.plan.on_verify_fail {
            OnVerifyFail::Page => (UndoScope::Temporary, true),
            OnVerifyFail::UndoThenPage => (UndoScope::All, true),
            OnVerifyFail::Leave => (UndoScope::Temporary, false),
        };
        self.end(undo, page, format!("did not end within {limit}"), now);
        true
    }
}
