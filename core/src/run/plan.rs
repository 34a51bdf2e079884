//! The plan of a run: what every kind of document is compiled to. A runbook has steps and a verification; an experiment's faults are
//! steps whose undo carries a deadline, and its hypothesis is a verification; a drill calls both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::action::{Action, Condition, Expect, NoData};
use super::value::Type;
use crate::time::Span;

/// How much a run may hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    Read,
    Safe,
    Disruptive,
    Destructive,
}

impl Class {
    pub const ALL: [Class; 4] = [Class::Read, Class::Safe, Class::Disruptive, Class::Destructive];

    pub fn word(self) -> &'static str {
        match self {
            Class::Read => "read",
            Class::Safe => "safe",
            Class::Disruptive => "disruptive",
            Class::Destructive => "destructive",
        }
    }
}

/// What may be done when it is not known whether a step has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The same end state if repeated: run again.
    Idempotent,
    /// The other side honours a key: ask again with the same one.
    Keyed,
    /// The step's check tells whether it has happened.
    Probe,
    /// Never repeated: a person decides.
    Once,
}

impl Effect {
    pub const ALL: [Effect; 4] = [Effect::Idempotent, Effect::Keyed, Effect::Probe, Effect::Once];

    pub fn word(self) -> &'static str {
        match self {
            Effect::Idempotent => "idempotent",
            Effect::Keyed => "keyed",
            Effect::Probe => "probe",
            Effect::Once => "once",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub steps: Vec<Step>,
    #[serde(default)]
    pub verify: Vec<Verify>,
    pub on_verify_fail: OnVerifyFail,
    pub total_timeout: Span,
    pub capture: Capture,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub id: String,
    #[serde(default)]
    pub when: Option<When>,
    pub action: Action,
    pub effect: Effect,
    #[serde(default)]
    pub check: Option<Check>,
    #[serde(default)]
    pub undo: Option<Undo>,
    /// The author says that there is nothing to undo.
    #[serde(default)]
    pub undo_waived: bool,
    /// The step breaks something on purpose. Such a step must have an undo with a deadline.
    #[serde(default)]
    pub fault: bool,
    pub timeout: Span,
    pub retry: Retry,
    pub on_fail: OnFail,
    #[serde(default)]
    pub save: BTreeMap<String, Save>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    pub step: String,
    pub is: StepResult,
}

/// How a step has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepResult {
    Succeeded,
    Failed,
    Skipped,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub action: Action,
    /// What the answer shows while the effect is still going on.
    #[serde(default)]
    pub in_progress: Option<Expect>,
}

/// What takes a step back. Idempotent, and harmless when the step never happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    pub action: Action,
    /// Shows that the step is undone; without one, the undo's own success is the proof.
    #[serde(default)]
    pub check: Option<Action>,
    pub timeout: Span,
    /// The step is undone this long after it began at the latest, whatever becomes of the run, and always before verification.
    #[serde(default)]
    pub deadline: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// The first attempt counts.
    pub attempts: u32,
    pub backoff: Span,
    pub factor: f64,
    pub max: Span,
    pub jitter: Jitter,
    pub when: Vec<FailClass>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jitter {
    /// Anything between nothing and the whole wait, so that many who failed together do not come back together.
    Full,
    None,
}

/// In which way an attempt has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailClass {
    /// No answer in time, or none that can be read.
    Timeout,
    /// The request did not leave, or nobody took it.
    Connect,
    #[serde(rename = "5xx")]
    Http5xx,
    /// 409 or 412.
    Conflict,
    /// Any other status that is no success.
    Status,
    /// A program ended with another code than 0.
    Exit,
    /// The answer is not what was expected.
    Expect,
    /// The request could not be made from the values at hand, or the output could not be saved under its type.
    Value,
    /// A person said no, or a called run did not succeed.
    Refused,
}

impl FailClass {
    pub const ALL: [FailClass; 9] = [
        FailClass::Timeout,
        FailClass::Connect,
        FailClass::Http5xx,
        FailClass::Conflict,
        FailClass::Status,
        FailClass::Exit,
        FailClass::Expect,
        FailClass::Value,
        FailClass::Refused,
    ];

    pub fn word(self) -> &'static str {
        match self {
            FailClass::Timeout => "timeout",
            FailClass::Connect => "connect",
            FailClass::Http5xx => "5xx",
            FailClass::Conflict => "conflict",
            FailClass::Status => "status",
            FailClass::Exit => "exit",
            FailClass::Expect => "expect",
            FailClass::Value => "value",
            FailClass::Refused => "refused",
        }
    }
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            attempts: 1,
            backoff: Span::from_secs(1),
            factor: 2.0,
            max: Span::from_secs(60),
            jitter: Jitter::Full,
            when: vec![FailClass::Timeout, FailClass::Connect, FailClass::Http5xx, FailClass::Conflict],
        }
    }
}

impl Retry {
    /// Returns how long to wait before the next attempt; `failed` attempts lie behind.
    ///
    /// Unit: `random` lies in 0 (included) to 1 (excluded).
    pub fn wait(&self, failed: u32, random: f64) -> Span {
        let grown = self.backoff.0 as f64 * self.factor.powi(failed.saturating_sub(1).min(64) as i32);
        let whole = grown.min(self.max.0 as f64).max(0.0);
        match self.jitter {
            Jitter::Full => Span((whole * random) as i64),
            Jitter::None => Span(whole as i64),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    Abort,
    Continue,
    /// Go on with a later step.
    Goto(String),
    Undo,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Save {
    /// A JSON pointer into the output.
    pub path: String,
    /// Without a type the output may only be shown to people.
    #[serde(default)]
    pub kind: Option<Type>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verify {
    pub what: Verified,
    /// The condition must be seen to hold this long without a break.
    pub hold: Span,
    /// Counted from the end of the last step.
    pub within: Span,
    /// `Fail`: no data is not health, and breaks the hold.
    pub no_data: NoData,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// The alert that asked for the run does not fire any more.
    TriggerAlert,
    Metric(Condition),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnVerifyFail {
    Page,
    UndoThenPage,
    Leave,
}

/// What is kept of the outputs of steps; the edge cuts and redacts before it reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    pub max_bytes: usize,
    pub redact: Vec<Redact>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Redact {
    Secrets,
    Pii,
}

impl Plan {
    /// Returns everything that a run may do: steps, their checks and their undos.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.steps.iter().flat_map(|step| {
            let check = step.check.iter().map(|check| &check.action);
            let undo = step.undo.iter().flat_map(|undo| std::iter::once(&undo.action).chain(&undo.check));
            std::iter::once(&step.action).chain(check).chain(undo)
        })
    }

    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }

    pub fn index(&self, id: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.id == id)
    }
}
