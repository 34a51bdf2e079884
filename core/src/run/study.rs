//! Studies: experiments, which break something and see whether what we believe holds, and drills, which exercise people, runbooks and
//! data against an objective. Both are carried out by the one machine: their faults are steps whose undo has a deadline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::action::{Condition, Signal, Slot};
use super::lever::{Canary, Toxic};
use super::plan::Step;
use crate::time::Span;

/// The parameter that says where a study runs, and the label by which things belong to a place.
pub const ENVIRONMENT: &str = super::settings::ENVIRONMENT_LABEL;
pub const STAGING: &str = "staging";
pub const PRODUCTION: &str = "production";

/// What a document is beside its plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Study {
    Experiment(Experiment),
    Drill(Box<Drill>),
}

impl Study {
    /// Returns what is looked at all along.
    pub fn probes(&self) -> &[Probe] {
        match self {
            Study::Experiment(experiment) => &experiment.hypothesis,
            Study::Drill(drill) => &drill.probes,
        }
    }

    /// Returns how often the probes are looked at.
    pub fn sample(&self) -> Span {
        match self {
            Study::Experiment(experiment) => experiment.phases.sample,
            Study::Drill(drill) => drill.sample,
        }
    }
}

/// A condition that is looked at again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub id: String,
    /// Its `no_data`: `fail` stops an experiment, `allow` lets it go on.
    pub condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    pub phases: Phases,
    pub hypothesis: Vec<Probe>,
    pub faults: Vec<FaultSpec>,
    /// The document's targets, as many as faults without a name of their own are applied to.
    pub targets: usize,
    pub stop_when: Vec<StopRule>,
    pub expect: Vec<ExpectedAlert>,
    pub forbid: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    pub baseline: Span,
    pub fault: Span,
    pub recovery: Span,
    pub sample: Span,
}

/// What is broken on purpose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultSpec {
    pub id: String,
    /// None: every target of the document.
    pub named: Option<Slot>,
    pub lever: Lever,
    pub ttl: Span,
    /// How long after the fault before it, or after the start, it is put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
    /// It stands until the failback is over: who takes it back is the failback.
    #[serde(default)]
    pub until_failback: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lever {
    Proxy(Vec<Toxic>),
    Signal(Signal),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopRule {
    Hypothesis {
        id: String,
        lasting: Span,
    },
    BurnRate {
        slo: String,
        window: Span,
        over: f64,
    },
    /// A page that the document does not expect.
    UnexpectedPage,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedAlert {
    pub name: String,
    /// Counted from the first fault.
    pub within: Span,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drill {
    pub mode: DrillMode,
    pub objective: Objective,
    #[serde(default)]
    pub cadence: Option<Cadence>,
    /// Who commands and who writes down.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
    #[serde(default)]
    pub canary: Option<Canary>,
    #[serde(default)]
    pub clock: Option<Clock>,
    /// Experiments whose faults are injected; they are copied into `faults` when all documents are known.
    #[serde(default)]
    pub experiments: Vec<String>,
    #[serde(default)]
    pub faults: Vec<FaultSpec>,
    #[serde(default)]
    pub targets: usize,
    #[serde(default)]
    pub page: Option<PageExpected>,
    #[serde(default)]
    pub recover: Vec<Called>,
    #[serde(default)]
    pub checks: Vec<Step>,
    #[serde(default)]
    pub failback: Vec<Called>,
    /// What people do in a drill on paper.
    #[serde(default)]
    pub tasks: Vec<Step>,
    #[serde(default)]
    pub frameworks: Vec<String>,
    pub probes: Vec<Probe>,
    pub sample: Span,
    /// The whole drill takes no longer.
    pub total: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrillMode {
    /// On paper: people talk it through.
    Tabletop,
    /// One part, such as a restore.
    Component,
    /// Away from users.
    Isolated,
    Live,
}

impl DrillMode {
    pub const ALL: [DrillMode; 4] = [DrillMode::Tabletop, DrillMode::Component, DrillMode::Isolated, DrillMode::Live];

    pub fn word(self) -> &'static str {
        match self {
            DrillMode::Tabletop => "tabletop",
            DrillMode::Component => "component",
            DrillMode::Isolated => "isolated",
            DrillMode::Live => "live",
        }
    }
}

/// The parts of a recovery that are timed, in their order.
pub const PHASES: [&str; 7] = ["detect", "page", "ack", "data", "traffic", "capacity", "verify"];

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objective {
    #[serde(default)]
    pub rpo: Option<Span>,
    #[serde(default)]
    pub rto: Option<Span>,
    /// Budgets by the words of `PHASES`.
    #[serde(default)]
    pub phases: BTreeMap<String, Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cadence {
    pub every: Span,
    pub remind_before: Span,
    pub alert_if_older_than: Span,
}

/// The user's edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    pub start_journey: String,
    pub start_within: Span,
    pub stop_journey: String,
    pub stop_within: Span,
    /// So many clean attempts in a row end it.
    pub count: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageExpected {
    #[serde(default)]
    pub person: Option<String>,
    #[serde(default)]
    pub receiver: Option<String>,
    pub delivered_within: Span,
    pub acked_within: Span,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Called {
    pub runbook: String,
    #[serde(default)]
    pub params: BTreeMap<String, Slot>,
}
