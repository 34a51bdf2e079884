//! A runbook: who may start it and when, what must hold before, and the plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::action::{Approvals, Condition};
use super::inventory::Selection;
use super::plan::{Class, Plan};
use super::record::{DocKind, DocumentVersion};
use super::schedule::Schedule;
use super::study::{ENVIRONMENT, Study};
use super::value::{Param, Values};
use crate::access::Role;
use crate::time::{Span, Timestamp};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Runbook {
    /// Left out of the normal form of runbooks, as is `study`, so that versions from before there were others keep their hashes.
    #[serde(default, skip_serializing_if = "DocKind::is_runbook")]
    pub kind: DocKind,
    pub metadata: Metadata,
    pub class: Class,
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    #[serde(default)]
    pub triggers: Vec<Trigger>,
    pub guards: Guards,
    pub plan: Plan,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study: Option<Study>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    pub id: String,
    pub platform: String,
    #[serde(default)]
    pub slug: String,
    pub title: String,
    pub owner: String,
    /// The day after which the runbook is stale, at midnight UTC.
    #[serde(default)]
    pub review_by: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    Alert { name: String, matching: BTreeMap<String, String>, mode: Mode, params: BTreeMap<String, From> },
    Webhook { source: String, hmac_secret: String, mode: Mode, params: BTreeMap<String, From> },
    Schedule { schedule: Schedule, mode: Mode, params: BTreeMap<String, From> },
    Manual { roles: Vec<Role> },
}

/// Where a trigger takes a parameter from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    Literal(String),
    Label(String),
    /// A JSON pointer into the body of the webhook.
    Body(String),
    /// The value of an expression when the run is asked for.
    Expr(String),
}

/// How far a trigger goes on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Disabled,
    /// A person is offered the run.
    Suggest,
    /// The run waits for a person's approval.
    Approve,
    Auto,
}

impl Mode {
    pub const ALL: [Mode; 4] = [Mode::Disabled, Mode::Suggest, Mode::Approve, Mode::Auto];

    pub fn word(self) -> &'static str {
        match self {
            Mode::Disabled => "disabled",
            Mode::Suggest => "suggest",
            Mode::Approve => "approve",
            Mode::Auto => "auto",
        }
    }
}

/// What must hold before a run begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Guards {
    #[serde(default)]
    pub lock: Option<Lock>,
    #[serde(default)]
    pub cooldown: Option<Cooldown>,
    #[serde(default)]
    pub daily_max: Option<u32>,
    #[serde(default)]
    pub blast: Blast,
    #[serde(default)]
    pub freeze: FreezePolicy,
    #[serde(default)]
    pub budget: Option<Budget>,
    #[serde(default)]
    pub precheck: Vec<Condition>,
    #[serde(default)]
    pub approvals: Option<Approvals>,
    #[serde(default)]
    pub targets: Option<Selection>,
    /// No page of the platform may be open.
    #[serde(default)]
    pub no_open_page: bool,
    /// The same document must have succeeded in staging this short a time ago.
    #[serde(default)]
    pub staging_passed_within: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    pub key: String,
    pub on_busy: OnBusy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBusy {
    Refuse,
    Queue,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cooldown {
    pub key: Vec<KeyPart>,
    pub every: Span,
    pub max: u32,
}

/// One part of the key under which runs are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPart {
    Runbook,
    Platform,
    Target,
    Param(String),
    Label(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blast {
    #[serde(default)]
    pub max_targets: Option<usize>,
    #[serde(default)]
    pub max_change: Option<MaxChange>,
}

/// How far a parameter may lie from a measured value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaxChange {
    pub param: String,
    pub of: String,
    pub percent: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreezePolicy {
    #[default]
    Honour,
    OverrideWithApproval,
    /// Wait for the end of the freeze.
    Wait,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    pub slo: String,
    /// False: without the share of budget the run is refused.
    pub allow_exhausted: bool,
    /// Unit: share of the whole error budget.
    pub remaining_at_least: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<Predicted>,
}

/// What a study may spend of an error budget.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// Everything fails for this long, at worst.
    pub outage: Span,
    /// Unit: share of the whole error budget.
    pub at_most: f64,
}

/// Why a stored document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadVersion {
    #[error("cannot use the stored document {doc_id:?}: its text does not have the hash {hash}")]
    Hash { doc_id: String, hash: String },
    #[error("cannot read the stored document {doc_id:?}")]
    Text {
        doc_id: String,
        #[source]
        cause: serde_json::Error,
    },
}

impl Runbook {
    /// Returns the document in its one normal form: JSON with every default written out.
    pub fn normal_form(&self) -> String {
        serde_json::to_string(self).expect("a runbook holds nothing that JSON cannot")
    }

    /// Returns what the document is known by: runs and approvals are bound to it.
    pub fn hash(&self) -> String {
        hash_text(&self.normal_form())
    }

    pub fn version(&self, by: &str, now: Timestamp) -> DocumentVersion {
        let body = self.normal_form();
        DocumentVersion {
            hash: hash_text(&body),
            kind: self.kind,
            doc_id: self.metadata.id.clone(),
            body,
            created_by: by.to_owned(),
            created_at: now,
        }
    }

    /// Reads a document as it was stored, however the file has changed since.
    pub fn from_version(version: &DocumentVersion) -> Result<Runbook, BadVersion> {
        let doc_id = version.doc_id.clone();
        if hash_text(&version.body) != version.hash {
            return Err(BadVersion::Hash { doc_id, hash: version.hash.clone() });
        }
        serde_json::from_str(&version.body).map_err(|cause| BadVersion::Text { doc_id, cause })
    }

    /// Returns what the document is about: a study's targets belong to the place where it runs.
    pub fn selection(&self, params: &Values) -> Option<Selection> {
        let mut selection = self.guards.targets.clone()?;
        if let (Some(_), Some(place)) = (&self.study, params.get(ENVIRONMENT)) {
            selection.labels.insert(ENVIRONMENT.to_owned(), place.text());
        }
        Some(selection)
    }

    /// Returns the roles that may start the runbook by hand: those that it names, and of them those that its class admits.
    pub fn may_start(&self, role: Role) -> bool {
        let named = self.triggers.iter().any(|trigger| match trigger {
            Trigger::Manual { roles } => roles.contains(&role),
            Trigger::Alert { .. } | Trigger::Webhook { .. } | Trigger::Schedule { .. } => false,
        });
        named && admits(self.class, role)
    }
}

/// Returns whether a role may run documents of a class.
pub fn admits(class: Class, role: Role) -> bool {
    match class {
        Class::Read | Class::Safe => matches!(role, Role::Responder | Role::Operator | Role::SreLead),
        Class::Disruptive => matches!(role, Role::Operator | Role::SreLead),
        Class::Destructive => role == Role::SreLead,
    }
}

/// Returns SHA-256 as 64 hexadecimal digits.
pub fn hash_text(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
