//! What a backtest says.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::route::dispatch::decision::Reason;
use crate::route::notification::Status;
use crate::time::{Span, Timestamp};

/// What would have been notified.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    #[serde(serialize_with = "instant")]
    pub from: Timestamp,
    #[serde(serialize_with = "instant")]
    pub to: Timestamp,
    /// Rules were evaluated so long before `from`; nothing of that is counted.
    #[serde(rename = "warm_up_seconds", serialize_with = "seconds")]
    pub warm_up: Span,
    /// The time zone of the nights.
    pub zone: String,
    pub total: Total,
    /// By name; those that were told something.
    pub receivers: BTreeMap<String, Total>,
    /// Users of these receivers, by name.
    pub users: BTreeMap<String, Total>,
    /// Alerting rules, in the order of their files.
    pub rules: Vec<RuleReport>,
    /// Rules of which some evaluations failed.
    pub failed: Vec<FailedRule>,
    /// How often routing could not take an alert.
    pub refused: u64,
    /// In order of time.
    pub notifications: Vec<Notification>,
}

/// What a receiver is told at an instant of a group of alerts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notification {
    #[serde(serialize_with = "instant")]
    pub at: Timestamp,
    pub receiver: String,
    /// The users of the receiver.
    pub users: Vec<String>,
    /// The kinds of its integrations that are told.
    pub channels: Vec<String>,
    pub status: Status,
    pub reason: Reason,
    /// Alerts that it names, and how many of them fire.
    pub alerts: usize,
    pub firing: usize,
    #[serde(rename = "at_night")]
    pub is_at_night: bool,
    pub title: String,
    pub group_key: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    pub notifications: u64,
    pub firing: u64,
    pub resolved: u64,
    pub at_night: u64,
    /// Nights with a notification of something that fires.
    pub nights: u64,
}

/// How an alerting rule fared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleReport {
    pub group: String,
    pub name: String,
    /// The labels as they were typed.
    pub labels: BTreeMap<String, String>,
    /// Counts rules of the same group, name and labels.
    pub nth: usize,
    /// How often an alert of it became pending, and fired.
    pub pending: u64,
    pub fired: u64,
    /// Alerts that fired when the time was over.
    pub firing_at_end: u64,
    /// How often an alert of it fired again within an hour of its end.
    pub flaps: u64,
    /// Notifications that name an alert of it.
    pub notified: u64,
    /// How long one alert fired at most; what began before `from`, or went on after `to`, is counted up to there.
    #[serde(rename = "longest_seconds", serialize_with = "seconds")]
    pub longest: Span,
}

/// A rule whose evaluation failed, as often as it did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailedRule {
    pub group: String,
    pub name: String,
    pub evaluations: u64,
    #[serde(serialize_with = "instant")]
    pub first_at: Timestamp,
    /// Why the first of them failed.
    pub reason: String,
}

pub(super) fn instant<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.rfc3339())
}

pub(super) fn seconds<S: Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.seconds())
}

impl Total {
    pub(super) fn add(&mut self, notification: &Notification) {
        self.notifications += 1;
        match notification.status {
            Status::Firing => self.firing += 1,
            Status::Resolved => self.resolved += 1,
        }
        self.at_night += u64::from(notification.is_at_night);
    }
}

impl RuleReport {
    pub(super) fn new(group: &str, name: &str, nth: usize, labels: BTreeMap<String, String>) -> RuleReport {
        RuleReport {
            group: group.to_owned(),
            name: name.to_owned(),
            labels,
            nth,
            pending: 0,
            fired: 0,
            firing_at_end: 0,
            flaps: 0,
            notified: 0,
            longest: Span::ZERO,
        }
    }

    pub(super) fn lasted(&mut self, span: Span) {
        self.longest = self.longest.max(span);
    }
}
