//! What a run stores, row by row, and what it asks the edge to do. All records of a batch belong in one transaction, which must fail
//! when the stored fence of the run is not the batch's; only when it has succeeded may the orders be carried out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::guard::Guard;
use super::plan::{Effect, FailClass};
use super::request::Request;
use super::runbook::Mode;
use super::schedule::FireOutcome;
use super::value::Values;
use crate::access::Role;
use crate::time::{Span, Timestamp};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DocKind {
    #[default]
    Runbook,
    Experiment,
    Drill,
}

impl DocKind {
    pub const ALL: [DocKind; 3] = [DocKind::Runbook, DocKind::Experiment, DocKind::Drill];

    pub fn word(self) -> &'static str {
        match self {
            DocKind::Runbook => "runbook",
            DocKind::Experiment => "experiment",
            DocKind::Drill => "drill",
        }
    }

    pub fn is_runbook(&self) -> bool {
        *self == DocKind::Runbook
    }
}

/// A document as it was when somebody used it. Never changed: another text has another hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentVersion {
    pub hash: String,
    pub kind: DocKind,
    pub doc_id: String,
    /// The normal form in JSON.
    pub body: String,
    pub created_by: String,
    pub created_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Requested,
    /// The guards have passed for a dry run, which goes no further than `Succeeded`.
    Gated,
    Refused,
    Waiting,
    Running,
    Paused,
    Verifying,
    Succeeded,
    Failed,
    Cancelling,
    Undoing,
    Undone,
    UndoFailed,
    /// The process ended in the middle; what was under way is being found out.
    Interrupted,
    NeedsHuman,
}

impl RunState {
    pub const ALL: [RunState; 15] = [
        RunState::Requested,
        RunState::Gated,
        RunState::Refused,
        RunState::Waiting,
        RunState::Running,
        RunState::Paused,
        RunState::Verifying,
        RunState::Succeeded,
        RunState::Failed,
        RunState::Cancelling,
        RunState::Undoing,
        RunState::Undone,
        RunState::UndoFailed,
        RunState::Interrupted,
        RunState::NeedsHuman,
    ];

    /// Returns the word of tables and pages.
    pub fn word(self) -> &'static str {
        match self {
            RunState::Requested => "requested",
            RunState::Gated => "gated",
            RunState::Refused => "refused",
            RunState::Waiting => "waiting",
            RunState::Running => "running",
            RunState::Paused => "paused",
            RunState::Verifying => "verifying",
            RunState::Succeeded => "succeeded",
            RunState::Failed => "failed",
            RunState::Cancelling => "cancelling",
            RunState::Undoing => "undoing",
            RunState::Undone => "undone",
            RunState::UndoFailed => "undo_failed",
            RunState::Interrupted => "interrupted",
            RunState::NeedsHuman => "needs_human",
        }
    }

    /// Returns whether nothing leads out of the state.
    pub fn is_final(self) -> bool {
        match self {
            RunState::Refused | RunState::Succeeded | RunState::Failed | RunState::Undone | RunState::UndoFailed => true,
            RunState::Requested
            | RunState::Gated
            | RunState::Waiting
            | RunState::Running
            | RunState::Paused
            | RunState::Verifying
            | RunState::Cancelling
            | RunState::Undoing
            | RunState::Interrupted
            | RunState::NeedsHuman => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitFor {
    Approval,
    Lock,
    /// The end of a freeze.
    Window,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TriggerKind {
    Alert,
    Webhook,
    Schedule,
    Manual,
    /// Another run calls this one; the reference is the key of the calling attempt.
    Run,
}

/// How a run that is not going to succeed will end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    pub undo: UndoScope,
    pub page: bool,
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UndoScope {
    /// Everything that was done is taken back, last first.
    All,
    /// Only what was meant to be temporary.
    Temporary,
}

/// A row of `run`. Columns of structure are JSON in text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    pub id: String,
    pub kind: DocKind,
    pub doc_id: String,
    pub doc_hash: String,
    pub platform: String,
    pub state: RunState,
    pub waiting: Option<WaitFor>,
    /// When the present wait began.
    pub waiting_since: Option<Timestamp>,
    /// The wait for approvals has been escalated once.
    pub escalated: bool,
    /// The guard that refused, for counting.
    pub refused_by: Option<Guard>,
    /// Why the run is in its state, for people.
    pub reason: String,
    pub ending: Option<Ending>,
    pub params: Values,
    pub targets: Vec<String>,
    pub trigger_kind: TriggerKind,
    /// Unique together with the kind and the document: fingerprint and start of the alert, delivery id, due time.
    pub trigger_ref: Option<String>,
    /// Labels of the alert that asked; tainted.
    pub trigger_labels: BTreeMap<String, String>,
    pub mode: Mode,
    pub starter: String,
    /// The role of a person who started the run; none: a trigger did.
    pub starter_role: Option<Role>,
    /// Who wrote the version of the document that runs.
    pub editor: String,
    pub parent_run: Option<String>,
    pub dry_run: bool,
    pub owner_node: Option<String>,
    pub fence: i64,
    pub lease_until: Option<Timestamp>,
    pub created_at: Timestamp,
    /// When the guards had passed.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// What an experiment or a drill has shown, as a word; none: it has not ended, or it is a runbook.
    #[serde(default)]
    pub verdict: Option<String>,
}

/// Somebody else holds the lease.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the run belongs to {owner} until {until}")]
pub struct Held {
    pub owner: String,
    pub until: Timestamp,
}

impl RunRow {
    /// Returns the row under a new owner. The edge stores it where the stored fence is still `self.fence`; one of two who try wins.
    pub fn take(&self, node: &str, length: Span, now: Timestamp) -> Result<RunRow, Held> {
        if let (Some(owner), Some(until)) = (&self.owner_node, self.lease_until)
            && until > now
            && owner != node
        {
            return Err(Held { owner: owner.clone(), until });
        }
        Ok(RunRow { owner_node: Some(node.to_owned()), fence: self.fence + 1, lease_until: Some(now + length), ..self.clone() })
    }
}

/// Which kind of deed an attempt is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Do,
    /// Whether an attempt in doubt has happened.
    Check,
    Undo,
    UndoCheck,
    Verify,
    /// A page of the machine itself.
    Page,
    /// What a probe of a study has seen, and why a study was stopped.
    Sample,
}

impl Phase {
    /// Returns the word of tables and pages.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Do => "do",
            Phase::Check => "check",
            Phase::Undo => "undo",
            Phase::UndoCheck => "undo_check",
            Phase::Verify => "verify",
            Phase::Page => "page",
            Phase::Sample => "sample",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// Due later; nothing has left.
    Pending,
    /// May have left: in doubt after a crash.
    Intent,
    Issued,
    Succeeded,
    Failed,
    /// Nobody knows whether it happened.
    Unknown,
    Skipped,
    /// Given up in favour of another attempt.
    Abandoned,
}

impl AttemptState {
    /// Returns the word of tables and pages.
    pub fn word(self) -> &'static str {
        match self {
            AttemptState::Pending => "pending",
            AttemptState::Intent => "intent",
            AttemptState::Issued => "issued",
            AttemptState::Succeeded => "succeeded",
            AttemptState::Failed => "failed",
            AttemptState::Unknown => "unknown",
            AttemptState::Skipped => "skipped",
            AttemptState::Abandoned => "abandoned",
        }
    }
}

/// What an attempt is known by within its run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    pub step: String,
    pub target: String,
    pub phase: Phase,
    /// Counted from 1.
    pub attempt: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub class: FailClass,
    pub message: String,
    /// The effect certainly did not happen, or happened and was refused.
    pub definite: bool,
}

/// A row of `step_attempt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepAttempt {
    pub run_id: String,
    #[serde(flatten)]
    pub key: AttemptKey,
    pub state: AttemptState,
    pub effect: Effect,
    /// What the other side recognises a repeat by.
    pub idem_key: String,
    /// The fence under which the attempt was made.
    pub fence: i64,
    pub request: Option<Request>,
    pub response: Option<serde_json::Value>,
    /// What the edge needs to find the attempt again, such as a process and its start.
    pub handle: Option<String>,
    /// Outputs that later steps refer to.
    pub saved: Values,
    pub due_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub error: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoState {
    /// Ready, should it be needed.
    Armed,
    /// Under way; its attempts say how far.
    Started,
    Undone,
    Failed,
    /// The run succeeded, or ended leaving things as they are.
    Released,
}

impl UndoState {
    /// Returns the word of tables and pages.
    pub fn word(self) -> &'static str {
        match self {
            UndoState::Armed => "armed",
            UndoState::Started => "started",
            UndoState::Undone => "undone",
            UndoState::Failed => "failed",
            UndoState::Released => "released",
        }
    }
}

/// A row of `undo`, recorded together with the intent of its step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UndoRow {
    pub id: String,
    pub run_id: String,
    pub step_id: String,
    pub target: String,
    /// Undone from the highest down.
    pub seq: u32,
    /// The request, its values already resolved.
    pub action: Request,
    pub check: Option<Request>,
    pub timeout: Span,
    /// The edge gives it to the injector too, so that the fault heals without us.
    pub deadline: Option<Timestamp>,
    pub state: UndoState,
    pub verified_at: Option<Timestamp>,
    pub fence: i64,
}

/// A row of `approval`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRow {
    pub run_id: String,
    /// The step that asks; empty for the run as a whole.
    pub step_id: String,
    pub subject_hash: String,
    pub who: String,
    pub role: Role,
    pub verdict: Vote,
    /// Such as `web` or `chat`.
    pub via: String,
    pub mfa: bool,
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vote {
    Approve,
    Deny,
}

/// A row of `rate_ledger`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateEntry {
    pub key: String,
    pub run_id: String,
    pub at: Timestamp,
}

/// A row of `resource_lock`. Storing it fails when another run holds the name and its lease has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRow {
    pub name: String,
    pub run_id: String,
    pub fence: i64,
    pub lease_until: Timestamp,
}

/// A row of `sample`: what a verification saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleRow {
    pub run_id: String,
    pub at: Timestamp,
    pub probe: String,
    pub value: Option<f64>,
    pub ok: bool,
}

/// A row of `schedule_fire`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleFireRow {
    pub schedule_id: String,
    pub due: Timestamp,
    pub outcome: FireOutcome,
    pub run_id: Option<String>,
}

/// One durable write; each may be repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    Run(Box<RunRow>),
    Attempt(Box<StepAttempt>),
    Undo(Box<UndoRow>),
    Approval(ApprovalRow),
    Rate(RateEntry),
    Lock(LockRow),
    Unlock { name: String, run_id: String },
    Sample(SampleRow),
}

/// All that a run stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecords {
    pub run: RunRow,
    pub attempts: Vec<StepAttempt>,
    pub undos: Vec<UndoRow>,
    pub approvals: Vec<ApprovalRow>,
}

/// What the edge is to do once the records are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Carry a request out, unless `before` has passed when it would leave; then answer `Event::NotIssued`.
    Issue { key: AttemptKey, idem_key: String, request: Request, timeout: Span, before: Timestamp },
    /// Stop waiting for a request, and stop it where that is possible.
    Cancel { key: AttemptKey },
    /// Find an attempt of an earlier process again; answer with its end, or with `Event::Lost`.
    Adopt { key: AttemptKey, handle: String },
    /// Answer with `Event::Observed`. Nothing changes by it.
    Observe { key: AttemptKey, what: Observe },
    /// Collect what the guards want to know; answer with `Event::Facts`.
    Gather(Wanted),
    /// Ask people to approve.
    AskApproval { step: String, subject_hash: String, roles: Vec<Role>, count: usize, until: Timestamp },
    /// Ask people to do something; answer with `Event::HumanDone`.
    AskHuman { key: AttemptKey, title: String, instructions: String, evidence: bool, roles: Vec<Role> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observe {
    Query(String),
    /// Whether the alert of the trigger fires. An alert whose rule brings nothing, because its series are gone, is no data.
    Alert {
        reference: String,
    },
    /// How fast the error budget of an objective burns over a window; answer with `Seen::Value`.
    BurnRate {
        slo: String,
        window: Span,
    },
    /// Which alerts with these labels have begun to fire since an instant; answer with `Seen::Alerts`.
    AlertsSince {
        since: Timestamp,
        labels: BTreeMap<String, String>,
    },
}

/// An alert that has begun to fire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenAlert {
    pub name: String,
    pub at: Timestamp,
    /// It demands a person.
    pub page: bool,
}

/// What the guards of a run want to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub lock: Option<String>,
    pub rate_keys: Vec<String>,
    pub slo: Option<String>,
    pub queries: Vec<String>,
}

/// Records to store, then orders to carry out.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Batch {
    pub run_id: String,
    /// Must be the stored fence of the run, or nothing of the batch may be stored or carried out.
    pub fence: i64,
    pub records: Vec<Record>,
    pub orders: Vec<Order>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.orders.is_empty()
    }
}
