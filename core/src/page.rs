//! Pages: a demand on a person, from the first notification of a group until its alerts have ended.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{Fingerprint, LabelSet, Texts};
use crate::route::alert::Alert;
use crate::route::dispatch::group::{GroupId, hex};
use crate::route::notification::subject;
use crate::time::Timestamp;

/// The label that says how bad an alert is.
pub const SEVERITY: &str = "severity";

/// A timeline holds at most this many entries; the oldest behind the first make room.
const TIMELINE_MAX: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody has taken it.
    Triggered,
    /// Somebody is at it: no repeats, no escalation.
    Acknowledged,
    /// All its alerts have ended. Nothing leads out of here; trouble that comes back is a new page.
    Resolved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Acknowledge,
    Unacknowledge,
    Resolve,
}

/// A move that a page in this state cannot make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {attempt} a page that is {state}")]
pub struct IllegalMove {
    pub state: State,
    pub attempt: Move,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::Triggered => "triggered",
            State::Acknowledged => "acknowledged",
            State::Resolved => "resolved",
        })
    }
}

impl std::fmt::Display for Move {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Move::Acknowledge => "acknowledge",
            Move::Unacknowledge => "unacknowledge",
            Move::Resolve => "resolve",
        })
    }
}

impl State {
    /// Returns the state after a move, or that there is no such move.
    pub fn next_state(self, attempt: Move) -> Result<State, IllegalMove> {
        match (self, attempt) {
            (State::Triggered, Move::Acknowledge) => Ok(State::Acknowledged),
            (State::Acknowledged, Move::Unacknowledge) => Ok(State::Triggered),
            (State::Triggered | State::Acknowledged, Move::Resolve) => Ok(State::Resolved),
            (State::Triggered, Move::Unacknowledge)
            | (State::Acknowledged, Move::Acknowledge)
            | (State::Resolved, Move::Acknowledge | Move::Unacknowledge | Move::Resolve) => {
                Err(IllegalMove { state: self, attempt })
            }
        }
    }
}

impl State {
    /// Returns the word of tables, requests and pages.
    pub fn word(self) -> &'static str {
        match self {
            State::Triggered => "triggered",
            State::Acknowledged => "acknowledged",
            State::Resolved => "resolved",
        }
    }
}

/// How bad, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Critical,
    Warning,
    Info,
    Other,
}

impl Severity {
    /// Reads an alert's `severity` label.
    pub fn of(labels: &LabelSet) -> Severity {
        match labels.get(SEVERITY) {
            "critical" | "page" => Severity::Critical,
            "warning" => Severity::Warning,
            "info" => Severity::Info,
            _ => Severity::Other,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub id: String,
    pub group: GroupId,
    pub group_labels: LabelSet,
    pub title: String,
    /// The worst that any of its alerts has been.
    pub severity: Severity,
    pub state: State,
    /// Who is asked to act.
    pub users: Vec<String>,
    pub alerts: BTreeMap<Fingerprint, PagedAlert>,
    pub opened_at: Timestamp,
    pub acknowledged_at: Option<Timestamp>,
    pub acknowledged_by: Option<String>,
    pub resolved_at: Option<Timestamp>,
    /// Goes up with every change.
    pub version: u64,
    pub timeline: Vec<TimelineEntry>,
}

/// One alert of a page, as it was when last seen firing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagedAlert {
    pub labels: LabelSet,
    pub annotations: Texts,
    pub starts_at: Timestamp,
    /// None while it fires.
    pub resolved_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimelineKind {
    Opened,
    AlertsAdded,
    AlertsResolved,
    Notified,
    Acknowledged,
    Unacknowledged,
    Resolved,
}

impl TimelineKind {
    /// Returns the word of requests and pages.
    pub fn word(self) -> &'static str {
        match self {
            TimelineKind::Opened => "opened",
            TimelineKind::AlertsAdded => "alerts_added",
            TimelineKind::AlertsResolved => "alerts_resolved",
            TimelineKind::Notified => "notified",
            TimelineKind::Acknowledged => "acknowledged",
            TimelineKind::Unacknowledged => "unacknowledged",
            TimelineKind::Resolved => "resolved",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    pub at: Timestamp,
    pub kind: TimelineKind,
    pub text: String,
    /// The person who did it; None: the machine.
    pub by: Option<String>,
}

impl Page {
    /// Returns the id of the page that a group opens at an instant: the same whenever the same decision is made again.
    pub fn id_of(group: &GroupId, decided_at: Timestamp) -> String {
        let digest = Sha256::new()
            .chain_update((group.key.len() as u64).to_be_bytes())
            .chain_update(group.key.as_bytes())
            .chain_update(group.receiver.as_bytes())
            .chain_update(decided_at.0.to_be_bytes())
            .finalize();
        hex(&digest[..16])
    }

    /// Opens a page for firing alerts. `decided_at` is the instant at which the group's timer fell due; `now` may be later.
    pub fn open(
        group: &GroupId,
        group_labels: &LabelSet,
        users: &[String],
        alerts: &[&Alert],
        decided_at: Timestamp,
        now: Timestamp,
    ) -> Page {
        let mut page = Page {
            id: Page::id_of(group, decided_at),
            group: group.clone(),
            group_labels: group_labels.clone(),
            title: String::new(),
            severity: Severity::Other,
            state: State::Triggered,
            users: users.to_vec(),
            alerts: BTreeMap::new(),
            opened_at: now,
            acknowledged_at: None,
            acknowledged_by: None,
            resolved_at: None,
            version: 1,
            timeline: Vec::new(),
        };
        page.take(alerts);
        page.note(now, TimelineKind::Opened, format!("opened with {}", names(alerts)), None);
        page
    }

    pub fn is_open(&self) -> bool {
        self.state != State::Resolved
    }

    /// Returns the alerts of the page that have not ended.
    pub fn firing(&self) -> impl Iterator<Item = Fingerprint> {
        self.alerts.iter().filter(|(_, alert)| alert.resolved_at.is_none()).map(|(fingerprint, _)| *fingerprint)
    }

    /// Adds firing alerts that the page does not hold as firing; returns whether there were any.
    pub fn add(&mut self, alerts: &[&Alert], now: Timestamp) -> bool {
        let is_new = |alert: &&&Alert| self.alerts.get(&alert.fingerprint).is_none_or(|known| known.resolved_at.is_some());
        let new: Vec<&Alert> = alerts.iter().filter(is_new).copied().collect();
        if new.is_empty() || !self.is_open() {
            return false;
        }
        self.take(&new);
        self.version += 1;
        self.note(now, TimelineKind::AlertsAdded, format!("{} joined", names(&new)), None);
        true
    }

    fn take(&mut self, alerts: &[&Alert]) {
        for alert in alerts {
            self.severity = self.severity.min(Severity::of(&alert.labels));
            self.alerts.insert(
                alert.fingerprint,
                PagedAlert {
                    labels: alert.labels.clone(),
                    annotations: alert.annotations.clone(),
                    starts_at: alert.starts_at,
                    resolved_at: None,
                },
            );
        }
        let all: Vec<_> = self.alerts.values().map(|alert| (&alert.labels, &alert.annotations)).collect();
        self.title = subject(&self.group_labels, &all);
    }

    /// Marks alerts as ended, each at its own time, and resolves the page with the last of them; returns whether anything changed.
    pub fn settle(&mut self, ended: &BTreeMap<Fingerprint, Timestamp>, now: Timestamp) -> bool {
        if !self.is_open() {
            return false;
        }
        let mut count = 0;
        for (fingerprint, alert) in &mut self.alerts {
            if let Some(at) = ended.get(fingerprint).filter(|_| alert.resolved_at.is_none()) {
                alert.resolved_at = Some(*at);
                count += 1;
            }
        }
        if count == 0 {
            return false;
        }
        self.version += 1;
        self.note(now, TimelineKind::AlertsResolved, format!("{} ended", counted(count)), None);
        if self.firing().next().is_none()
            && let Ok(next) = self.state.next_state(Move::Resolve)
        {
            self.state = next;
            self.resolved_at = Some(now);
            self.note(now, TimelineKind::Resolved, "all alerts ended".to_owned(), None);
        }
        true
    }

    /// Takes the page for a person.
    pub fn acknowledge(&mut self, by: &str, now: Timestamp) -> Result<(), IllegalMove> {
        self.state = self.state.next_state(Move::Acknowledge)?;
        self.acknowledged_at = Some(now);
        self.acknowledged_by = Some(by.to_owned());
        self.version += 1;
        self.note(now, TimelineKind::Acknowledged, "acknowledged".to_owned(), Some(by.to_owned()));
        Ok(())
    }

    /// Gives the page back: it asks again.
    pub fn unacknowledge(&mut self, by: &str, now: Timestamp) -> Result<(), IllegalMove> {
        self.state = self.state.next_state(Move::Unacknowledge)?;
        self.acknowledged_at = None;
        self.acknowledged_by = None;
        self.version += 1;
        self.note(now, TimelineKind::Unacknowledged, "given back".to_owned(), Some(by.to_owned()));
        Ok(())
    }

    /// Writes down that a notification was handed over for sending.
    pub fn notified(&mut self, text: String, now: Timestamp) {
        self.version += 1;
        self.note(now, TimelineKind::Notified, text, None);
    }

    fn note(&mut self, at: Timestamp, kind: TimelineKind, text: String, by: Option<String>) {
        if self.timeline.len() >= TIMELINE_MAX {
            self.timeline.remove(1);
        }
        self.timeline.push(TimelineEntry { at, kind, text, by });
    }
}

fn counted(count: usize) -> String {
    if count == 1 { "1 alert".to_owned() } else { format!("{count} alerts") }
}

/// Returns the distinct names of alerts for people, at most three of them, and how many alerts there are.
fn names(alerts: &[&Alert]) -> String {
    const SHOWN: usize = 3;
    let distinct: BTreeSet<&str> = alerts.iter().map(|alert| alert.name()).filter(|name| !name.is_empty()).collect();
    let mut text = counted(alerts.len());
    if !distinct.is_empty() {
        let shown: Vec<&str> = distinct.iter().take(SHOWN).copied().collect();
        let more = if distinct.len() > SHOWN { ", …" } else { "" };
        text.push_str(&format!(" ({}{more})", shown.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests;
