//! Unit tests of pages: series, alerts and silences in, and who must be told of what and when, under simulated time.
//!
//! What routes, groups, mutes and waits is what the service runs: `ledger::Alerting` with its plane.

mod check;
mod hold;
mod read;
mod story;
mod why;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::compare::{Difference, braced};
use super::{Test, TestFile};
use crate::ledger::Outward;
use crate::model::LabelSet;
use crate::problem::{Position, Problem};
use crate::route::dispatch::decision::Reason;
use crate::route::notification::Status;
use crate::route::silence::SilenceRequest;
use crate::route::tree::Routing;
use crate::time::Span;
use crate::yaml::{Problems, nearest};

pub(super) use read::{Lists, config_files, scene};
pub use story::run;

/// The files of a configuration that a file of tests names, as written, relative to the folder of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFiles {
    /// One of ours, or a `prometheus.yml`.
    pub config: Option<String>,
    pub alertmanager: Option<String>,
}

/// The configuration under test.
#[derive(Clone, Debug)]
pub struct Setup {
    pub routing: Arc<Routing>,
    /// What happens to the labels of alerts of rules; external labels of a test stand in for those of the configuration.
    pub outward: Outward,
}

/// What page tests add to a test.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Alerts that come from outside and not from rules.
    pub posts: Vec<Posted>,
    pub silences: Vec<SilenceRequest>,
    pub checks: Vec<PageCheck>,
}

#[derive(Clone, Debug)]
pub struct Posted {
    pub labels: LabelSet,
    pub annotations: BTreeMap<String, String>,
    pub from: Span,
    /// None: it does not end.
    pub to: Option<Span>,
}

/// What must hold of the alerts that have some labels.
#[derive(Clone, Debug)]
pub struct PageCheck {
    pub position: Position,
    /// Where only what was told from an instant on counts: that instant.
    pub from: Option<Span>,
    pub at: Span,
    /// Each label that an alert must have; an empty value asks that it has none of the name. Empty: every alert is meant.
    pub labels: BTreeMap<String, String>,
    pub expectations: Vec<Expectation>,
}

#[derive(Clone, Debug)]
pub struct Expectation {
    pub position: Position,
    pub what: Expected,
}

/// A name of the configuration, and where the test says it.
#[derive(Clone, Debug)]
pub struct Named {
    pub name: String,
    pub position: Position,
    /// The path of keys to it.
    pub key: String,
}

#[derive(Clone, Debug)]
pub enum Expected {
    /// These are told, and no others.
    Receivers(Vec<Named>),
    /// None of these is told.
    Not(Vec<Named>),
    State(Standing),
    /// Comments of the silences that mute it: these and no others.
    SilencedBy(Vec<String>),
    /// Labels of the alerts that mute it: each stands for one at least, and there are no others.
    InhibitedBy(Vec<BTreeMap<String, String>>),
    /// Time intervals that keep it silent: these and no others.
    MutedBy(Vec<Named>),
    /// What is told, in this order and nothing else.
    Notifications(Vec<Notice>),
}

/// How an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It fires and nothing mutes it.
    Active,
    /// It fires, and a silence, another alert or a time interval mutes it.
    Suppressed,
    /// Its rule still waits.
    Pending,
    /// It has fired and does so no more.
    Resolved,
    /// It has not fired.
    Inactive,
}

impl Standing {
    const ALL: [Standing; 5] =
        [Standing::Active, Standing::Suppressed, Standing::Pending, Standing::Resolved, Standing::Inactive];

    fn word(self) -> &'static str {
        match self {
            Standing::Active => "active",
            Standing::Suppressed => "suppressed",
            Standing::Pending => "pending",
            Standing::Resolved => "resolved",
            Standing::Inactive => "inactive",
        }
    }
}

/// A notification that must be sent.
#[derive(Clone, Debug)]
pub struct Notice {
    pub receiver: Named,
    pub at: Span,
    pub status: Status,
    pub reason: Option<Reason>,
    /// How many alerts it tells of.
    pub alerts: Option<usize>,
    /// Each must stand in the title or in an annotation.
    pub text: Vec<String>,
}

/// An expectation that does not hold.
#[derive(Clone, Debug)]
pub struct PageFailure {
    pub labels: BTreeMap<String, String>,
    pub from: Option<Span>,
    pub at: Span,
    /// The key of the expectation.
    pub key: &'static str,
    pub differences: Vec<Difference>,
    /// How it came to be so. Shape: lines.
    pub why: Vec<String>,
}

impl Expected {
    fn key(&self) -> &'static str {
        match self {
            Expected::Receivers(_) => "expect_receivers",
            Expected::Not(_) => "expect_not",
            Expected::State(_) => "expect_state",
            Expected::SilencedBy(_) => "expect_silenced_by",
            Expected::InhibitedBy(_) => "expect_inhibited_by",
            Expected::MutedBy(_) => "expect_muted_by",
            Expected::Notifications(_) => "expect_notifications",
        }
    }

    /// Returns the names of receivers that it holds.
    fn receivers(&self) -> Vec<&Named> {
        match self {
            Expected::Receivers(names) | Expected::Not(names) => names.iter().collect(),
            Expected::Notifications(notices) => notices.iter().map(|notice| &notice.receiver).collect(),
            Expected::State(_) | Expected::SilencedBy(_) | Expected::InhibitedBy(_) | Expected::MutedBy(_) => Vec::new(),
        }
    }

    /// Returns the names of time intervals that it holds.
    fn intervals(&self) -> Vec<&Named> {
        match self {
            Expected::MutedBy(names) => names.iter().collect(),
            Expected::Receivers(_)
            | Expected::Not(_)
            | Expected::State(_)
            | Expected::SilencedBy(_)
            | Expected::InhibitedBy(_)
            | Expected::Notifications(_) => Vec::new(),
        }
    }
}

/// Returns every name of the tests that the configuration does not know: what is expected of it would hold for nothing.
pub fn faults(file: &TestFile, setup: &Setup) -> Vec<Problem> {
    let problems = Problems::new(&file.name);
    let receivers: Vec<&str> = setup.routing.receivers.keys().map(String::as_str).collect();
    let intervals: Vec<&str> = setup.routing.time_intervals.keys().map(String::as_str).collect();
    let report = |what: &str, named: &Named, known: &[&str]| {
        if known.contains(&named.name.as_str()) {
            return;
        }
        let remedy = match nearest(&named.name, known) {
            Some(near) => format!("did you mean {near:?}?"),
            None if known.is_empty() => "it has none".to_owned(),
            None => format!("it has {}", known.join(", ")),
        };
        let message = format!("the configuration has no {what} {:?}; {remedy}", named.name);
        problems.error(named.position, &named.key, message);
    };
    for check in file.tests.iter().flat_map(|test| &test.scene.checks) {
        for expectation in &check.expectations {
            expectation.what.receivers().into_iter().for_each(|named| report("receiver", named, &receivers));
            expectation.what.intervals().into_iter().for_each(|named| report("time interval", named, &intervals));
        }
    }
    problems.into_vec()
}

impl Test {
    /// Returns whether it says anything of pages.
    pub fn has_pages(&self) -> bool {
        !self.scene.checks.is_empty()
    }
}

impl fmt::Display for PageFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = if self.labels.is_empty() { "any alert".to_owned() } else { braced(&self.labels) };
        match self.from {
            Some(from) => write!(f, "pages of {labels} from {from} to {}: {}", self.at, self.key)?,
            None => write!(f, "pages of {labels} at {}: {}", self.at, self.key)?,
        }
        self.differences.iter().try_for_each(|difference| write!(f, "{difference}"))?;
        if !self.why.is_empty() {
            f.write_str("\n    why:")?;
        }
        self.why.iter().try_for_each(|line| write!(f, "\n      {line}"))
    }
}
