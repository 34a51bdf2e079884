//! What a run waits for people for, read from its rows.

use std::collections::BTreeMap;

use super::action::{Action, Approvals, SavedRef};
use super::guard::{default_approvals, subject_hash};
use super::plan::Step;
use super::record::{AttemptState, Phase, RunRecords, RunState, StepAttempt, Vote, WaitFor};
use super::request::{About, Scope};
use super::runbook::Runbook;
use super::value::Value;
use crate::access::Role;
use crate::time::Timestamp;

/// Everything that a run asks of people at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    pub approval: Option<AskedApproval>,
    pub tasks: Vec<AskedTask>,
    /// Steps of which somebody must say what became of them.
    pub settle: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedApproval {
    /// Empty for the run as a whole.
    pub step: String,
    pub subject_hash: String,
    pub approvals: Approvals,
    /// How many have approved.
    pub have: usize,
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedTask {
    pub step: String,
    pub attempt: u32,
    pub title: String,
    pub instructions: String,
    pub evidence: bool,
    pub roles: Vec<Role>,
}

/// Returns what a run asks of people now.
pub fn asks(runbook: &Runbook, records: &RunRecords) -> Asks {
    let run = &records.run;
    let mut asks = Asks::default();
    if run.state == RunState::Waiting && run.waiting == Some(WaitFor::Approval) {
        let approvals = runbook.guards.approvals.clone().unwrap_or_else(default_approvals);
        let until = run.waiting_since.map(|since| since + approvals.expires);
        asks.approval = Some(asked(records, "", approvals, until));
    }
    for step in &runbook.plan.steps {
        let Some(attempt) = latest(records, &step.id) else { continue };
        let is_open = matches!(attempt.state, AttemptState::Intent | AttemptState::Issued);
        match &step.action {
            Action::Approval(approvals) if is_open => {
                let until = attempt.started_at.map(|since| since + approvals.expires);
                asks.approval = Some(asked(records, &step.id, approvals.clone(), until));
            }
            Action::Human { .. } if is_open => asks.tasks.push(task(records, step, attempt)),
            _ if run.state == RunState::NeedsHuman && attempt.state == AttemptState::Unknown => asks.settle.push(step.id.clone()),
            _ => {}
        }
    }
    asks
}

fn latest<'r>(records: &'r RunRecords, step: &str) -> Option<&'r StepAttempt> {
    let of = records.attempts.iter().filter(|attempt| attempt.key.phase == Phase::Do && attempt.key.step == step);
    of.max_by_key(|attempt| attempt.key.attempt)
}

fn asked(records: &RunRecords, step: &str, approvals: Approvals, until: Option<Timestamp>) -> AskedApproval {
    let hash = subject_hash(&records.run, &records.run.targets, step);
    let mut people: Vec<&str> = records
        .approvals
        .iter()
        .filter(|vote| vote.step_id == step && vote.subject_hash == hash && vote.verdict == Vote::Approve)
        .map(|vote| vote.who.as_str())
        .collect();
    people.sort_unstable();
    people.dedup();
    AskedApproval { step: step.to_owned(), subject_hash: hash, have: people.len(), approvals, until }
}

fn task(records: &RunRecords, step: &Step, attempt: &StepAttempt) -> AskedTask {
    let run = &records.run;
    let done = records.attempts.iter().filter(|one| one.key.phase == Phase::Do && one.state == AttemptState::Succeeded);
    let saved: BTreeMap<SavedRef, Value> = done
        .flat_map(|one| {
            let name = |name: &String| SavedRef { step: one.key.step.clone(), name: name.clone() };
            one.saved.iter().map(move |(key, value)| (name(key), value.clone()))
        })
        .collect();
    let scope = Scope { params: &run.params, saved: &saved, labels: &run.trigger_labels, idem_key: "", run: About::row(run) };
    let Action::Human { title, instructions, evidence, roles } = &step.action else {
        unreachable!("only tasks of people are shown as such")
    };
    AskedTask {
        step: step.id.clone(),
        attempt: attempt.key.attempt,
        title: scope.message(title),
        instructions: scope.message(instructions),
        evidence: *evidence,
        roles: roles.clone(),
    }
}
