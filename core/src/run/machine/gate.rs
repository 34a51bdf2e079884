//! Before a run begins: facts, guards, approvals, and waiting for a lock or the end of a freeze.

use super::super::action::OnExpire;
use super::super::guard::{
    Asked, Cleared, Facts, Guard, QUEUE_MAX, Verdict, approvals_needed, judge, subject_hash, vote_fault, wanted,
};
use super::super::record::{ApprovalRow, LockRow, Order, RateEntry, Record, RunState, WaitFor};
use super::{ANSWER_MAX, Gathered, Refused, Run};
use crate::time::{Span, Timestamp};

/// A run that waits for a lock or the end of a freeze looks again this often.
const LOOK_AGAIN: Span = Span::from_secs(15);

impl Run {
    pub(super) fn drive_gate(&mut self, now: Timestamp) -> bool {
        if self.row.state == RunState::Waiting && self.wait_is_over(now) {
            return true;
        }
        let due = match self.gathered {
            Gathered::At(at) => at + ANSWER_MAX,
            Gathered::Due(at) => at,
        };
        if !self.is_due(due, now) {
            return false;
        }
        self.gathered = Gathered::At(now);
        self.orders.push(Order::Gather(wanted(&self.runbook, &self.row)));
        self.wake_at(now + ANSWER_MAX);
        false
    }

    /// Ends or escalates a wait that has lasted too long.
    fn wait_is_over(&mut self, now: Timestamp) -> bool {
        let since = self.row.waiting_since.unwrap_or(now);
        match self.row.waiting {
            Some(WaitFor::Approval) => {
                // After a restart the guards are asked first.
                let Some(needed) = self.needed.clone() else { return false };
                if !self.is_due(since + needed.expires, now) {
                    return false;
                }
                if needed.on_expire == OnExpire::Escalate && !self.row.escalated {
                    self.row.escalated = true;
                    self.row.waiting_since = Some(now);
                    self.save();
                    self.page("approval", "waits for an approval that nobody has given".to_owned(), now);
                } else {
                    self.refuse(Guard::Approvals, "nobody approved it in time".to_owned(), now);
                }
                true
            }
            Some(waiting @ (WaitFor::Lock | WaitFor::Window)) => {
                let over = self.is_due(since + QUEUE_MAX, now);
                if over {
                    let guard = if waiting == WaitFor::Lock { Guard::Lock } else { Guard::Freeze };
                    self.refuse(guard, format!("waited {QUEUE_MAX} in vain: {}", self.row.reason), now);
                }
                over
            }
            None => false,
        }
    }

    pub(super) fn judge(&mut self, facts: Facts, now: Timestamp) -> Result<(), Refused> {
        if !matches!(self.row.state, RunState::Requested | RunState::Waiting) {
            return Err(Refused::State { attempt: "judge", state: self.row.state });
        }
        let runbook = self.runbook.clone();
        let verdict = judge(&Asked { runbook: &runbook, run: &self.row, approvals: &self.approvals }, &facts, now);
        self.needed = approvals_needed(&runbook, &self.row, &facts, now);
        self.inventory = facts.inventory;
        match verdict {
            Verdict::Refuse(refusal) => self.refuse(refusal.guard, refusal.reason, now),
            Verdict::Wait { on, reason, cleared } => self.wait(on, reason, cleared, now),
            Verdict::Pass(cleared) => self.begin(cleared, now),
        }
        Ok(())
    }

    fn wait(&mut self, on: WaitFor, reason: String, cleared: Cleared, now: Timestamp) {
        if self.row.waiting != Some(on) {
            self.row.waiting = Some(on);
            self.row.waiting_since = Some(now);
            self.row.escalated = false;
        }
        self.row.targets = cleared.targets;
        if self.row.state != RunState::Waiting || self.row.reason != reason {
            self.set_state(RunState::Waiting, reason);
        }
        // Approvals are not looked for: a vote makes the guards look again.
        self.gathered = Gathered::Due(if on == WaitFor::Approval { Timestamp::MAX } else { now + LOOK_AGAIN });
        if let (WaitFor::Approval, Some(needed)) = (on, &self.needed)
            && self.asked.insert(cleared.subject_hash.clone())
        {
            self.orders.push(Order::AskApproval {
                step: String::new(),
                subject_hash: cleared.subject_hash,
                roles: needed.roles.clone(),
                count: needed.count,
                until: self.row.waiting_since.unwrap_or(now) + needed.expires,
            });
        }
    }

    fn begin(&mut self, cleared: Cleared, now: Timestamp) {
        self.row.targets = cleared.targets;
        self.set_state(RunState::Gated, "every guard has passed");
        if self.row.dry_run {
            self.row.ended_at = Some(now);
            self.set_state(RunState::Succeeded, "dry run: every guard has passed, and nothing was done");
            return;
        }
        self.row.started_at = Some(now);
        self.save_lock();
        for key in cleared.rate_keys {
            self.records.push(Record::Rate(RateEntry { key, run_id: self.row.id.clone(), at: now }));
        }
        self.set_state(RunState::Running, "");
    }

    pub(super) fn save_lock(&mut self) {
        let (Some(lock), Some(lease_until)) = (&self.runbook.guards.lock, self.row.lease_until) else { return };
        let lock = LockRow { name: lock.key.clone(), run_id: self.row.id.clone(), fence: self.row.fence, lease_until };
        self.records.push(Record::Lock(lock));
    }

    pub(super) fn refuse(&mut self, guard: Guard, reason: String, now: Timestamp) {
        self.row.refused_by = Some(guard);
        self.row.ended_at = Some(now);
        self.row.state = RunState::Refused;
        self.row.verdict = self.verdict();
        self.set_state(RunState::Refused, reason);
    }

    /// Takes in a vote for the run as a whole, or for a step that asks for approval.
    pub(super) fn vote(&mut self, vote: ApprovalRow) -> Result<(), Refused> {
        let asked = if vote.step_id.is_empty() {
            let waits = self.row.state == RunState::Waiting && self.row.waiting == Some(WaitFor::Approval);
            self.needed.clone().filter(|_| waits)
        } else {
            self.approval_of(&vote.step_id)
        };
        let asked = asked.ok_or(Refused::NotAsked)?;
        if vote.subject_hash != subject_hash(&self.row, &self.row.targets, &vote.step_id) {
            return Err(Refused::OtherSubject);
        }
        if let Some(why) = vote_fault(&self.row, &asked, &vote.who, vote.role) {
            return Err(Refused::MayNot(why));
        }
        let same =
            |row: &ApprovalRow| row.step_id == vote.step_id && row.who == vote.who && row.subject_hash == vote.subject_hash;
        // A vote that has expired counts no more, and may be given anew.
        if self.approvals.iter().any(|row| same(row) && vote.at - row.at < asked.expires) {
            return Err(Refused::Voted { who: vote.who });
        }
        self.approvals.retain(|row| !same(row));
        self.gathered = Gathered::Due(vote.at);
        self.records.push(Record::Approval(vote.clone()));
        self.approvals.push(vote);
        Ok(())
    }
}
