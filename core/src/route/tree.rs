//! The routing tree as configured.

use std::collections::BTreeMap;

use crate::model::Matcher;
use crate::time::Span;

use super::alert::ALERT_NAME;

use super::receiver::Receiver;
use super::silence::Silencing;
use super::time_interval::TimeInterval;

/// Everything that routing needs from the configuration.
#[derive(Clone, Debug)]
pub struct Routing {
    pub root: Route,
    pub receivers: BTreeMap<String, Receiver>,
    pub inhibitions: Vec<Inhibition>,
    pub time_intervals: BTreeMap<String, Vec<TimeInterval>>,
    /// After this long without news a foreign alert that named no end is taken as resolved.
    pub resolve_timeout: Span,
    /// When alerts flap; None: nobody looks for it.
    pub flapping: Option<Flapping>,
    /// How far silences may reach.
    pub silencing: Silencing,
}

/// When an alert flaps, and when it does no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flapping {
    /// It flaps once it has begun this many times within `within`.
    pub begins: usize,
    pub within: Span,
    /// It flaps no more once it has neither begun nor ended for this long; until then its end is put off.
    pub quiet: Span,
}

/// The name of alerts by which runs page people.
pub const RUN_ALERT: &str = "TocsinRun";
/// The label by which such an alert says which receiver is meant, whatever the tree would choose.
pub const POLICY_LABEL: &str = "policy";

impl Routing {
    /// Returns the tree with a branch before all others for each receiver, so that runs can page it by its name.
    ///
    /// Shape: every demand of a run is a group of its own, told of at once and at any hour.
    pub fn tree(&self) -> Route {
        let named = self.receivers.keys().map(|receiver| Route {
            receiver: receiver.clone(),
            matchers: vec![Matcher::equal(ALERT_NAME, RUN_ALERT), Matcher::equal(POLICY_LABEL, receiver)],
            group_by: GroupBy::Labels([ALERT_NAME, "run", "key"].map(str::to_owned).to_vec()),
            continues: false,
            group_wait: Span::ZERO,
            mute_time_intervals: Vec::new(),
            active_time_intervals: Vec::new(),
            routes: Vec::new(),
            ..self.root.clone()
        });
        Route { routes: named.chain(self.root.routes.iter().cloned()).collect(), ..self.root.clone() }
    }
}

/// One node of the tree. What a node does not say it takes from its parent; here that is already done, save for the matchers.
#[derive(Clone, Debug)]
pub struct Route {
    pub receiver: String,
    pub matchers: Vec<Matcher>,
    pub group_by: GroupBy,
    /// Whether the siblings behind this node are asked too.
    pub continues: bool,
    pub group_wait: Span,
    pub group_interval: Span,
    pub repeat_interval: Span,
    /// Names of time intervals during which nothing is sent.
    pub mute_time_intervals: Vec<String>,
    /// Names of time intervals outside which nothing is sent; empty: always.
    pub active_time_intervals: Vec<String>,
    pub routes: Vec<Route>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// `['...']`: every label set is a group of its own.
    All,
    Labels(Vec<String>),
}

/// While an alert that satisfies `source` fires, alerts that satisfy `target` and agree on `equal` are muted.
#[derive(Clone, Debug)]
pub struct Inhibition {
    pub name: String,
    pub source: Vec<Matcher>,
    pub target: Vec<Matcher>,
    pub equal: Vec<String>,
}
