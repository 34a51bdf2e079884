//! One run: a waiting machine whose whole state is its rows.
//!
//! The edge feeds events to `accept` and calls `tick` afterwards, and when `next_deadline` has come. It stores the records of the
//! batch in one transaction that requires the batch's fence, and only then carries out the orders. When storing fails, the run is
//! thrown away and another is restored from what is stored. Where a run stands is computed from the rows each time, so a run that is
//! restored stands where the stored one stood; only sightings of a condition that must hold are lost, and begin anew.

mod doubt;
mod ending;
mod gate;
mod sample;
mod steps;
mod undo;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::action::{Approvals, SavedRef, Urgency};
use super::guard::{Facts, Guard};
use super::inventory::Inventory;
use super::plan::{Effect, Step};
use super::record::{
    ApprovalRow, AttemptKey, AttemptState, Batch, Order, Phase, Record, RunRecords, RunRow, RunState, SeenAlert, StepAttempt,
    UndoRow, UndoState, Vote, WaitFor,
};
use super::request::{About, Request, Scope};
use super::runbook::Runbook;
use super::trigger::Ask;
use super::value::{Value, Values, bind};
use crate::access::Role;
use crate::time::{Span, Timestamp};

/// A run belongs to one process for this long, and is renewed at half of it.
pub const LEASE: Span = Span::from_secs(30);
/// An answer of the edge that stays away is asked for again.
const ANSWER_MAX: Span = Span::from_secs(30);
/// A step is tried at most this often, crashes included.
const ATTEMPTS_MAX: usize = 100;
/// A tick that does not come to rest is broken.
const PASSES_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub enum Event {
    /// The answer to `Order::Gather`.
    Facts(Box<Facts>),
    /// A person votes; `step` is empty for the run as a whole.
    Vote {
        step: String,
        subject_hash: String,
        who: String,
        role: Role,
        verdict: Vote,
        via: String,
        mfa: bool,
    },
    /// A request has left; `handle` finds it again.
    Issued {
        key: AttemptKey,
        handle: Option<String>,
    },
    /// A request did not leave, because its time to leave had passed.
    NotIssued {
        key: AttemptKey,
    },
    Finished {
        key: AttemptKey,
        outcome: Outcome,
    },
    /// An attempt of an earlier process cannot be found.
    Lost {
        key: AttemptKey,
    },
    Observed {
        key: AttemptKey,
        seen: Seen,
    },
    /// A person has done a task, or will not.
    HumanDone {
        key: AttemptKey,
        by: String,
        role: Role,
        done: bool,
        evidence: String,
    },
    /// The lock that the run waits for may be free.
    LockFreed,
    Pause {
        by: String,
    },
    Resume {
        by: String,
    },
    Cancel {
        by: String,
    },
    /// The kill switch was pulled.
    Kill {
        why: String,
    },
    /// A person says what became of a step in doubt.
    Settle {
        step: String,
        verdict: Settled,
        by: String,
    },
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The other side answered; what the answer means is for the machine.
    Answer(serde_json::Value),
    /// It is certain that nothing happened: the request did not leave, or was refused here.
    NotDone(String),
    /// It left, and no answer came back.
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// NaN where it cannot be told: no condition holds for it.
    Value(f64),
    NoData,
    Firing,
    NotFiring,
    /// The answer to `Observe::AlertsSince`.
    Alerts(Vec<SeenAlert>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Done,
    Retry,
    Undo,
}

/// Why an event changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("cannot {attempt} a run that is {}", state.word())]
    State { attempt: &'static str, state: RunState },
    #[error("no attempt {key:?} is under way")]
    NotUnderWay { key: AttemptKey },
    #[error("the run does not wait for such an approval")]
    NotAsked,
    #[error("the approval was given for another document, other values or other targets")]
    OtherSubject,
    #[error("{who} has voted already")]
    Voted { who: String },
    #[error("{0}")]
    MayNot(String),
    #[error("the task asks for evidence")]
    Evidence,
    #[error("the step {0:?} is not in doubt")]
    NotInDoubt(String),
    #[error("the run belongs to another process now")]
    LeaseLost,
}

/// Why stored rows do not make a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRestore {
    #[error("run {run:?} was made from another version of the document: {expected}, not {found}")]
    Document { run: String, expected: String, found: String },
}

/// What is known of a condition that is looked at again and again.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    held_since: Option<Timestamp>,
    seen_at: Option<Timestamp>,
    asked_at: Option<Timestamp>,
    next_at: Option<Timestamp>,
}

/// The machine. See the head of this file.
#[derive(Debug)]
pub struct Run {
    runbook: Arc<Runbook>,
    row: RunRow,
    attempts: BTreeMap<AttemptKey, StepAttempt>,
    /// In order of `seq`.
    undos: Vec<UndoRow>,
    approvals: Vec<ApprovalRow>,
    inventory: Inventory,
    records: Vec<Record>,
    orders: Vec<Order>,
    watches: BTreeMap<AttemptKey, Watch>,
    gathered: Gathered,
    /// What was asked of people in the life of this process.
    asked: BTreeSet<String>,
    /// The approvals that the guards asked for last.
    needed: Option<Approvals>,
    restored: bool,
    /// When this process took over from another one.
    recovered_at: Option<Timestamp>,
    lost: bool,
    dirty: bool,
    wake: Option<Timestamp>,
}

/// When facts were asked for, or are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gathered {
    At(Timestamp),
    Due(Timestamp),
}

impl Run {
    /// Returns a run that was asked for; faults of its parameters make it a refused one, which is recorded like any other.
    pub fn request(
        runbook: Arc<Runbook>,
        id: &str,
        ask: Ask,
        editor: &str,
        node: &str,
        inventory: Inventory,
        now: Timestamp,
    ) -> Run {
        let bound = bind(&runbook.params, &ask.given, &inventory);
        let mut faults = ask.faults;
        faults.extend(ask.queries.iter().map(|(name, _)| format!("parameter {name:?}: its expression was not asked for")));
        let params = bound.unwrap_or_else(|bad| {
            faults.extend(bad.iter().map(ToString::to_string));
            Values::new()
        });
        // What is meant is needed early: runs may be counted by target.
        let selected = runbook.selection(&params).and_then(|selection| {
            let named = selection.param.as_ref().and_then(|name| params.get(name)).map(Value::text);
            inventory.select(&selection, named.as_deref()).ok()
        });
        let row = RunRow {
            id: id.to_owned(),
            kind: runbook.kind,
            doc_id: ask.doc_id,
            doc_hash: ask.doc_hash,
            platform: runbook.metadata.platform.clone(),
            state: RunState::Requested,
            waiting: None,
            waiting_since: None,
            escalated: false,
            refused_by: None,
            reason: String::new(),
            ending: None,
            params,
            targets: selected.unwrap_or_default(),
            trigger_kind: ask.trigger_kind,
            trigger_ref: ask.trigger_ref,
            trigger_labels: ask.labels,
            mode: ask.mode,
            starter: ask.starter,
            starter_role: ask.starter_role,
            editor: editor.to_owned(),
            parent_run: ask.parent_run,
            dry_run: ask.dry_run,
            owner_node: Some(node.to_owned()),
            fence: 1,
            lease_until: Some(now + LEASE),
            created_at: now,
            started_at: None,
            ended_at: None,
            verdict: None,
        };
        let records = RunRecords { run: row, attempts: Vec::new(), undos: Vec::new(), approvals: Vec::new() };
        let mut run = Run::from_records(runbook, records, inventory, now);
        run.save();
        if !faults.is_empty() {
            run.refuse(Guard::Schema, faults.join("; "), now);
        }
        run
    }

    /// Returns the run that goes on from stored rows; `records.run` has been taken with `RunRow::take` and stored before.
    pub fn restore(runbook: Arc<Runbook>, records: RunRecords, inventory: Inventory, now: Timestamp) -> Result<Run, BadRestore> {
        let found = runbook.hash();
        if records.run.doc_hash != found {
            return Err(BadRestore::Document { run: records.run.id, expected: records.run.doc_hash, found });
        }
        let mut run = Run::from_records(runbook, records, inventory, now);
        run.restored = true;
        Ok(run)
    }

    fn from_records(runbook: Arc<Runbook>, records: RunRecords, inventory: Inventory, now: Timestamp) -> Run {
        let mut undos = records.undos;
        undos.sort_by_key(|undo| undo.seq);
        Run {
            runbook,
            row: records.run,
            attempts: records.attempts.into_iter().map(|attempt| (attempt.key.clone(), attempt)).collect(),
            undos,
            approvals: records.approvals,
            inventory,
            records: Vec::new(),
            orders: Vec::new(),
            watches: BTreeMap::new(),
            gathered: Gathered::Due(now),
            asked: BTreeSet::new(),
            needed: None,
            restored: false,
            recovered_at: None,
            lost: false,
            dirty: true,
            wake: None,
        }
    }

    pub fn row(&self) -> &RunRow {
        &self.row
    }

    /// Returns the attempts in order of step, target, phase and number.
    pub fn attempts(&self) -> impl Iterator<Item = &StepAttempt> {
        self.attempts.values()
    }

    pub fn undos(&self) -> &[UndoRow] {
        &self.undos
    }

    /// Returns whether the run asks for nothing any more. The edge loads every stored run that has not ended, or that has a page or an
    /// undo which has not.
    pub fn is_over(&self) -> bool {
        self.row.state.is_final() && self.records.is_empty() && self.orders.is_empty() && !self.has_open_pages()
    }

    /// Takes in an event; what it brings leaves with the next `tick`.
    ///
    /// Errors: the event has changed nothing.
    pub fn accept(&mut self, event: Event, now: Timestamp) -> Result<(), Refused> {
        if self.lost || self.lease_ended(now) {
            return Err(Refused::LeaseLost);
        }
        self.dirty = true;
        match event {
            Event::Facts(facts) => self.judge(*facts, now),
            Event::Vote { step, subject_hash, who, role, verdict, via, mfa } => {
                let run_id = self.row.id.clone();
                self.vote(ApprovalRow { run_id, step_id: step, subject_hash, who, role, verdict, via, mfa, at: now })
            }
            Event::Issued { key, handle } => self.issued(&key, handle),
            Event::NotIssued { key } => self.not_issued(&key, now),
            Event::Finished { key, outcome } => self.finished(&key, outcome, now),
            Event::Lost { key } => self.lost_attempt(&key, now),
            Event::Observed { key, seen } if key.phase == Phase::Sample => self.sampled(&key, seen, now),
            Event::Observed { key, seen } => self.observed(&key, seen, now),
            Event::HumanDone { key, by, role, done, evidence } => self.human_done(&key, &by, role, done, evidence, now),
            Event::LockFreed => {
                if self.row.state == RunState::Waiting && self.row.waiting == Some(WaitFor::Lock) {
                    self.gathered = Gathered::Due(now);
                }
                Ok(())
            }
            Event::Pause { by } => self.pause(&by),
            Event::Resume { by } => self.resume(&by),
            Event::Cancel { by } => self.cancel(&format!("cancelled by {by}"), false, now),
            Event::Kill { why } => self.cancel(&format!("the kill switch was pulled: {why}"), true, now),
            Event::Settle { step, verdict, by } => self.settle(&step, verdict, &by, now),
        }
    }

    /// Does everything that has fallen due, and returns what is to be stored and then carried out.
    ///
    /// Shape: empty once the lease has ended: whoever wakes up too late writes nothing and asks for nothing.
    /// Unit: `random` brings numbers from 0 (included) to 1 (excluded).
    pub fn tick(&mut self, now: Timestamp, random: &mut dyn FnMut() -> f64) -> Batch {
        self.wake = None;
        self.dirty = false;
        self.lost |= self.lease_ended(now);
        let (run_id, fence) = (self.row.id.clone(), self.row.fence);
        if self.lost {
            return Batch { run_id, fence, ..Batch::default() };
        }
        if std::mem::take(&mut self.restored) {
            self.recover(now);
        }
        let mut passes = 0;
        while self.advance(now, random) {
            passes += 1;
            assert!(passes < PASSES_MAX, "the run {} does not come to rest", self.row.id);
        }
        self.drive_samples(now);
        self.drive_pages(now);
        self.renew(now);
        Batch { run_id, fence, records: std::mem::take(&mut self.records), orders: std::mem::take(&mut self.orders) }
    }

    /// Returns when `tick` has something to do next; an instant in the past means at once. None: nothing waits.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.lost {
            return None;
        }
        if self.dirty { Some(Timestamp::MIN) } else { self.wake }
    }

    /// Does one thing, and returns whether there may be more to do at once.
    fn advance(&mut self, now: Timestamp, random: &mut dyn FnMut() -> f64) -> bool {
        if self.drive_overdue_undos(now) {
            return true;
        }
        match self.row.state {
            RunState::Requested | RunState::Waiting => self.drive_gate(now),
            RunState::Running | RunState::Interrupted => self.over_time(now) || self.drive_steps(now, random),
            RunState::Verifying => self.over_time(now) || self.drive_verify(now),
            RunState::Paused => self.over_time(now),
            RunState::Cancelling => self.drive_cancelling(now),
            RunState::Undoing => self.drive_undoing(now),
            RunState::Gated
            | RunState::NeedsHuman
            | RunState::Refused
            | RunState::Succeeded
            | RunState::Failed
            | RunState::Undone
            | RunState::UndoFailed => false,
        }
    }

    fn lease_ended(&self, now: Timestamp) -> bool {
        self.row.lease_until.is_none_or(|until| until <= now)
    }

    /// Prolongs the lease when half of it is over, and the lock with it.
    fn renew(&mut self, now: Timestamp) {
        if self.row.state.is_final() && !self.has_open_pages() {
            return;
        }
        let until = self.row.lease_until.unwrap_or(now);
        if until - now <= Span(LEASE.0 / 2) {
            self.prolong(now + LEASE);
        }
        let until = self.row.lease_until.unwrap_or(now);
        self.wake_at(until - Span(LEASE.0 / 2));
    }

    fn prolong(&mut self, until: Timestamp) {
        if self.row.lease_until.is_some_and(|now| now >= until) {
            return;
        }
        self.row.lease_until = Some(until);
        self.save();
        if self.row.started_at.is_some() && !self.row.state.is_final() {
            self.save_lock();
        }
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Returns whether an instant has come; if not, the machine wakes up at it.
    fn is_due(&mut self, at: Timestamp, now: Timestamp) -> bool {
        if at > now {
            self.wake_at(at);
        }
        at <= now
    }

    fn save(&mut self) {
        self.records.push(Record::Run(Box::new(self.row.clone())));
    }

    /// Returns what is stored of the run.
    fn stored(&self) -> RunRecords {
        RunRecords {
            run: self.row.clone(),
            attempts: self.attempts.values().cloned().collect(),
            undos: self.undos.clone(),
            approvals: self.approvals.clone(),
        }
    }

    fn set_state(&mut self, state: RunState, reason: impl Into<String>) {
        self.row.state = state;
        self.row.reason = reason.into();
        if state != RunState::Waiting {
            self.row.waiting = None;
        }
        self.save();
    }

    fn save_attempt(&mut self, mut attempt: StepAttempt) {
        attempt.fence = self.row.fence;
        self.records.push(Record::Attempt(Box::new(attempt.clone())));
        self.attempts.insert(attempt.key.clone(), attempt);
    }

    fn save_undo(&mut self, undo: UndoRow) {
        self.records.push(Record::Undo(Box::new(undo.clone())));
        match self.undos.iter_mut().find(|known| known.id == undo.id) {
            Some(known) => *known = undo,
            None => self.undos.push(undo),
        }
    }

    /// Returns a row for the next attempt of a phase of a step; nothing is recorded yet.
    fn new_attempt(&self, step: &str, phase: Phase, effect: Effect, idem_key: String) -> StepAttempt {
        let number = self.of_phase(step, phase).map(|attempt| attempt.key.attempt).max().unwrap_or(0) + 1;
        StepAttempt {
            run_id: self.row.id.clone(),
            key: AttemptKey { step: step.to_owned(), target: String::new(), phase, attempt: number },
            state: AttemptState::Intent,
            effect,
            idem_key,
            fence: self.row.fence,
            request: None,
            response: None,
            handle: None,
            saved: Values::new(),
            due_at: None,
            started_at: None,
            ended_at: None,
            error: None,
        }
    }

    fn of_phase(&self, step: &str, phase: Phase) -> impl Iterator<Item = &StepAttempt> {
        let step = step.to_owned();
        self.attempts.values().filter(move |attempt| attempt.key.phase == phase && attempt.key.step == step)
    }

    /// Returns the newest attempt of a phase.
    fn latest(&self, step: &str, phase: Phase) -> Option<&StepAttempt> {
        self.of_phase(step, phase).max_by_key(|attempt| attempt.key.attempt)
    }

    /// Returns the newest attempt of a phase under one key.
    fn latest_of(&self, step: &str, phase: Phase, idem_key: &str) -> Option<&StepAttempt> {
        self.of_phase(step, phase).filter(|attempt| attempt.idem_key == idem_key).max_by_key(|attempt| attempt.key.attempt)
    }

    /// Records the intent, and asks for the request to be carried out once that is stored.
    fn issue(&mut self, mut attempt: StepAttempt, request: Request, timeout: Span, now: Timestamp) {
        let margin = if attempt.effect == Effect::Once { timeout } else { Span::ZERO };
        if margin > Span::ZERO {
            // The answer must come in while the run is still ours.
            self.prolong(now + LEASE + margin);
        }
        let before = self.row.lease_until.unwrap_or(now) - margin;
        attempt.state = AttemptState::Intent;
        attempt.request = Some(request.clone());
        attempt.started_at = Some(now);
        attempt.due_at = None;
        self.orders.push(Order::Issue { key: attempt.key.clone(), idem_key: attempt.idem_key.clone(), request, timeout, before });
        self.save_attempt(attempt);
    }

    fn saved(&self) -> BTreeMap<SavedRef, Value> {
        let done = self.attempts.values().filter(|one| one.key.phase == Phase::Do && one.state == AttemptState::Succeeded);
        done.flat_map(|attempt| {
            attempt
                .saved
                .iter()
                .map(|(name, value)| (SavedRef { step: attempt.key.step.clone(), name: name.clone() }, value.clone()))
        })
        .collect()
    }

    /// Calls `make` with the values that references are resolved in.
    fn scoped<T>(&self, idem_key: &str, make: impl FnOnce(&Scope<'_>) -> T) -> T {
        let (saved, began) = (self.saved(), self.began());
        let run = About { id: &self.row.id, platform: &self.row.platform, targets: &self.row.targets, began: &began };
        make(&Scope { params: &self.row.params, saved: &saved, labels: &self.row.trigger_labels, idem_key, run })
    }

    /// Returns when each step was first begun, and the run under an empty name.
    fn began(&self) -> BTreeMap<String, Timestamp> {
        let mut began: BTreeMap<String, Timestamp> = self.row.started_at.map(|at| (String::new(), at)).into_iter().collect();
        for attempt in self.attempts.values().filter(|one| one.key.phase == Phase::Do) {
            if let Some(at) = attempt.started_at {
                began.entry(attempt.key.step.clone()).and_modify(|first| *first = at.min(*first)).or_insert(at);
            }
        }
        began
    }

    fn step(&self, id: &str) -> Option<&Step> {
        self.runbook.plan.step(id)
    }

    /// Demands a person. A page is an attempt like any other, so that no crash can lose it.
    fn page(&mut self, slug: &str, summary: String, now: Timestamp) {
        let idem_key = format!("{}/page/{slug}", self.row.id);
        if self.latest_of(slug, Phase::Page, &idem_key).is_some() {
            return;
        }
        let attempt = self.new_attempt(slug, Phase::Page, Effect::Keyed, idem_key);
        let summary = format!("{} ({}): {summary}", self.runbook.metadata.title, self.row.id);
        self.issue(attempt, Request::Page { policy: None, summary, urgency: Urgency::Critical }, ANSWER_MAX, now);
    }
}

impl UndoRow {
    fn is_open(&self) -> bool {
        matches!(self.state, UndoState::Armed | UndoState::Started)
    }
}
