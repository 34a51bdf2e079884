//! The alerts of one alerting rule: pending, firing, resolved.
//!
//! Everything takes the instant of the evaluation, so a late or repeated evaluation cannot cut `for` short, and the same code runs
//! live, in tests of rules and over history.

mod state;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::LabelSet;
use crate::model::labels::METRIC_NAME;
use crate::rule::{Active, RuleError, Unseen};
use crate::time::{Span, Timestamp};

pub use state::InstanceState;

/// A resolved alert stays this long, so that a receiver that was down still learns of the end.
pub const RESOLVED_RETENTION: Span = Span::from_mins(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The condition holds, not yet for as long as `for` asks.
    Pending,
    Firing,
    /// It fired, and the condition holds no longer.
    Resolved,
}

impl State {
    /// Returns the word of Prometheus' API; a resolved alert is `inactive` there.
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Firing => "firing",
            State::Resolved => "inactive",
        }
    }
}

/// One label set under one alerting rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub labels: LabelSet,
    pub annotations: BTreeMap<String, String>,
    pub state: State,
    /// The expression's value when the condition last held.
    pub value: f64,
    /// Since when the condition holds.
    pub active_at: Timestamp,
    pub fired_at: Option<Timestamp>,
    pub resolved_at: Option<Timestamp>,
    /// Since when only `keep_firing_for` keeps it firing.
    pub keep_firing_since: Option<Timestamp>,
    pub last_sent_at: Option<Timestamp>,
    /// Nobody can tell whether the condition holds, and the alert goes on as it was.
    pub unseen: Option<Blind>,
}

/// Why nobody can tell whether a condition holds, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Blind {
    pub why: Unseen,
    /// The first evaluation that could not tell.
    pub since: Timestamp,
}

/// What became of an alert in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    Pending(LabelSet),
    Fired(LabelSet),
    Resolved(LabelSet),
    /// It was pending and its condition no longer holds.
    Cleared(LabelSet),
    /// It was resolved long enough ago.
    Forgotten(LabelSet),
}

/// What a rule asks of its alerts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// `for`
    pub hold: Span,
    /// `keep_firing_for`
    pub keep_firing: Span,
    /// The most alerts that may be pending or firing; zero: no limit.
    pub limit: usize,
}

/// News of an alert for whoever routes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    pub labels: LabelSet,
    pub annotations: BTreeMap<String, String>,
    pub starts_at: Timestamp,
    /// While it fires: until when the news holds, should no further come.
    pub ends_at: Timestamp,
    pub state: State,
    pub value: f64,
}

/// The alerts of one rule.
#[derive(Clone, Debug, Default)]
pub struct Instances {
    instances: BTreeMap<LabelSet, Instance>,
}

impl Instances {
    pub fn new() -> Instances {
        Instances::default()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    pub fn get(&self, labels: &LabelSet) -> Option<&Instance> {
        self.instances.get(labels)
    }

    /// Returns those that are pending or firing.
    pub fn active(&self) -> impl Iterator<Item = &Instance> {
        self.iter().filter(|instance| instance.state != State::Resolved)
    }

    /// Returns the gravest state, `None` when nothing is pending or firing.
    pub fn state(&self) -> Option<State> {
        self.active().map(|instance| instance.state).max()
    }

    /// Takes what one evaluation found and returns what changed, in order of labels.
    ///
    /// A failed evaluation makes no step: state stays as it was.
    /// Errors: `Limit` when more alerts are active than the rule may have; all of its alerts are then gone.
    /// Source: Prometheus `AlertingRule.Eval`.
    pub fn step(&mut self, active: Vec<Active>, at: Timestamp, terms: &Terms) -> Result<Vec<Transition>, RuleError> {
        self.step_holding(active, &BTreeMap::new(), at, terms)
    }

    /// Takes a step as `step` does. Of the alerts in `held` nobody can tell whether they have ended: they go on as they were, and the
    /// clock of `for` stands still meanwhile.
    pub fn step_holding(
        &mut self,
        active: Vec<Active>,
        held: &BTreeMap<LabelSet, Unseen>,
        at: Timestamp,
        terms: &Terms,
    ) -> Result<Vec<Transition>, RuleError> {
        let found: BTreeSet<LabelSet> = active.iter().map(|alert| alert.labels.clone()).collect();
        let mut transitions = self.take_in(active, at, terms.hold);
        self.instances.retain(|labels, instance| {
            let is_kept = found.contains(labels) || held.get(labels).is_some_and(|why| instance.hold_on(*why, at));
            is_kept || instance.miss(at, terms.keep_firing, &mut transitions)
        });
        transitions.sort_by(|one, other| one.labels().cmp(other.labels()));
        self.check();
        let count = self.active().count();
        if terms.limit > 0 && count > terms.limit {
            self.instances.clear();
            return Err(RuleError::Limit { limit: terms.limit, found: count, what: "alerts" });
        }
        Ok(transitions)
    }

    /// Takes what an early look found: it starts and advances alerts and leaves those that it did not find as they are.
    ///
    /// Alerts beyond the limit are not started; the next step decides what becomes of the rule.
    pub fn look(&mut self, active: Vec<Active>, at: Timestamp, terms: &Terms) -> Vec<Transition> {
        let mut room = match terms.limit {
            0 => usize::MAX,
            limit => limit.saturating_sub(self.active().count()),
        };
        let known = active
            .into_iter()
            .filter(|alert| {
                let is_active = self.get(&alert.labels).is_some_and(|instance| instance.state != State::Resolved);
                let fits = is_active || room > 0;
                room -= usize::from(fits && !is_active);
                fits
            })
            .collect();
        let mut transitions = self.take_in(known, at, terms.hold);
        transitions.sort_by(|one, other| one.labels().cmp(other.labels()));
        self.check();
        transitions
    }

    /// Starts and advances the alerts whose condition holds.
    fn take_in(&mut self, active: Vec<Active>, at: Timestamp, hold: Span) -> Vec<Transition> {
        let mut transitions = Vec::new();
        for alert in active {
            let known = self.instances.get_mut(&alert.labels).filter(|instance| instance.state != State::Resolved);
            let (instance, is_new) = match known {
                Some(instance) => {
                    instance.see(at);
                    instance.value = alert.value;
                    instance.annotations = alert.annotations;
                    instance.keep_firing_since = None;
                    (instance, false)
                }
                None => {
                    let labels = alert.labels.clone();
                    let instance = Instance::new(alert, at);
                    self.instances.insert(labels.clone(), instance);
                    (self.instances.get_mut(&labels).expect("it has just been put in"), true)
                }
            };
            if instance.state == State::Pending && at.since(instance.active_at) >= hold {
                instance.state = State::Firing;
                instance.fired_at = Some(at);
                transitions.push(Transition::Fired(instance.labels.clone()));
            } else if is_new {
                transitions.push(Transition::Pending(instance.labels.clone()));
            }
        }
        transitions
    }

    /// Returns what is to be told now and notes that it was: changes at once, what lasts again after `resend_delay`.
    ///
    /// Source: Prometheus `AlertingRule.sendAlerts`.
    pub fn take_due(&mut self, at: Timestamp, interval: Span, resend_delay: Span) -> Vec<Outgoing> {
        let valid = Span(interval.max(resend_delay).0.saturating_mul(4));
        let mut due = Vec::new();
        for instance in self.instances.values_mut().filter(|instance| instance.is_due(at, resend_delay)) {
            instance.last_sent_at = Some(at);
            due.push(Outgoing {
                labels: instance.labels.clone(),
                annotations: instance.annotations.clone(),
                starts_at: instance.fired_at.expect("only what fired is told"),
                ends_at: instance.resolved_at.unwrap_or(at + valid),
                state: instance.state,
                value: instance.value,
            });
        }
        due
    }

    /// Returns the samples of `ALERTS` and `ALERTS_FOR_STATE`: one and the second since when the condition holds.
    pub fn series(&self) -> Vec<(LabelSet, f64)> {
        let mut series = Vec::new();
        for instance in self.active() {
            let mut builder = instance.labels.builder();
            builder.set(METRIC_NAME, "ALERTS_FOR_STATE");
            series.push((builder.build(), instance.active_at.0.div_euclid(1000) as f64));
            builder.set(METRIC_NAME, "ALERTS").set("alertstate", instance.state.name());
            series.push((builder.build(), 1.0));
        }
        series
    }

    /// Returns everything that must survive a crash.
    pub fn states(&self) -> Vec<InstanceState> {
        self.iter().map(InstanceState::from).collect()
    }

    /// Returns the alerts as they were written down.
    ///
    /// `unseen` is how long nothing was evaluated beyond the usual interval: that time does not count towards `for`, since nobody
    /// saw whether the condition held. States that contradict themselves are left out; how many, is returned beside.
    pub fn restore(states: Vec<InstanceState>, unseen: Span) -> (Instances, usize) {
        let mut instances = BTreeMap::new();
        let mut refused = 0;
        for state in states {
            let mut instance = Instance::from(state);
            if !instance.is_sound() {
                refused += 1;
                continue;
            }
            if instance.state == State::Pending {
                instance.active_at = instance.active_at + Span(unseen.0.max(0));
            }
            let later = Span(unseen.0.max(0));
            instance.keep_firing_since = instance.keep_firing_since.map(|since| since + later);
            if let Some(blind) = &mut instance.unseen {
                blind.since = blind.since + later;
            }
            instances.insert(instance.labels.clone(), instance);
        }
        (Instances { instances }, refused)
    }

    fn check(&self) {
        for instance in self.iter() {
            assert!(instance.is_sound(), "an alert contradicts itself: {instance:?}");
        }
    }
}

impl Instance {
    fn new(alert: Active, at: Timestamp) -> Instance {
        Instance {
            labels: alert.labels,
            annotations: alert.annotations,
            state: State::Pending,
            value: alert.value,
            active_at: at,
            fired_at: None,
            resolved_at: None,
            keep_firing_since: None,
            last_sent_at: None,
            unseen: None,
        }
    }

    /// Takes note that nobody can tell whether the condition holds; returns whether there is something to hold.
    fn hold_on(&mut self, why: Unseen, at: Timestamp) -> bool {
        if self.state == State::Resolved {
            return false;
        }
        // A slot can be evaluated after a look at a later instant; of an alert that began after the slot it knows nothing.
        if self.active_at <= at {
            let since = self.unseen.map_or(at, |blind| blind.since);
            self.unseen = Some(Blind { why, since });
        }
        true
    }

    /// Takes note that the condition can be told again; while it could not, no clock ran.
    fn see(&mut self, at: Timestamp) {
        let Some(blind) = self.unseen.take() else { return };
        let blind_for = Span(at.since(blind.since).0.max(0));
        if self.state == State::Pending {
            self.active_at = self.active_at + blind_for;
        }
        self.keep_firing_since = self.keep_firing_since.map(|since| since + blind_for);
    }

    /// Takes note that the condition does not hold; returns whether the alert stays.
    fn miss(&mut self, at: Timestamp, keep_firing: Span, transitions: &mut Vec<Transition>) -> bool {
        // A slot can be evaluated after a look at a later instant; of an alert that began after the slot it knows nothing.
        if self.active_at > at {
            return true;
        }
        self.see(at);
        match self.state {
            State::Pending => {
                transitions.push(Transition::Cleared(self.labels.clone()));
                false
            }
            State::Firing => {
                let since = *self.keep_firing_since.get_or_insert(at);
                if at.since(since) >= keep_firing {
                    self.keep_firing_since = None;
                    self.state = State::Resolved;
                    self.resolved_at = Some(self.fired_at.map_or(at, |fired_at| fired_at.max(at)));
                    transitions.push(Transition::Resolved(self.labels.clone()));
                }
                true
            }
            State::Resolved => {
                let stays = self.resolved_at.is_some_and(|resolved_at| at.since(resolved_at) <= RESOLVED_RETENTION);
                if !stays {
                    transitions.push(Transition::Forgotten(self.labels.clone()));
                }
                stays
            }
        }
    }

    fn is_due(&self, at: Timestamp, resend_delay: Span) -> bool {
        let Some(last) = self.last_sent_at else { return self.state != State::Pending };
        match self.state {
            State::Pending => false,
            State::Resolved if self.resolved_at.is_some_and(|resolved_at| resolved_at > last) => true,
            State::Firing | State::Resolved => last + resend_delay < at,
        }
    }

    /// Returns whether the parts agree with the state.
    fn is_sound(&self) -> bool {
        match self.state {
            State::Pending => self.fired_at.is_none() && self.resolved_at.is_none() && self.keep_firing_since.is_none(),
            State::Firing => self.fired_at.is_some() && self.resolved_at.is_none(),
            State::Resolved => self.fired_at.is_some() && self.resolved_at >= self.fired_at && self.keep_firing_since.is_none(),
        }
    }
}

impl Transition {
    pub fn labels(&self) -> &LabelSet {
        match self {
            Transition::Pending(labels)
            | Transition::Fired(labels)
            | Transition::Resolved(labels)
            | Transition::Cleared(labels)
            | Transition::Forgotten(labels) => labels,
        }
    }
}

#[cfg(test)]
mod tests;
