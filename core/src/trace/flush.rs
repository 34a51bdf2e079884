//! What was decided when a group's timer fell due.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{Fingerprint, LabelSet};
use crate::route::dispatch::decision::Reason;
use crate::route::dispatch::group::{GroupId, hex};
use crate::time::{Span, Timestamp};

/// Which alerts of a group its receiver may hear of, and which of its integrations heard what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flush {
    pub group: GroupId,
    /// The labels that the alerts of the group share.
    pub labels: LabelSet,
    /// Firing alerts that nothing holds back.
    pub shown: BTreeSet<Fingerprint>,
    /// Alerts that have ended and of which somebody may still hear.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ended: BTreeSet<Fingerprint>,
    /// Firing alerts that something holds back; one may stand under several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Held>,
    /// The time intervals that keep the whole group silent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intervals: Vec<String>,
    /// Each integration of the receiver; none where the group is silent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<Said>,
    /// The page of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// How long until the timer falls due again; None: no route feeds the group any more.
    pub interval: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub by: Holder,
    pub alerts: BTreeSet<Fingerprint>,
}

/// What holds an alert back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    Silence {
        id: String,
        by: String,
        comment: String,
        ends_at: Timestamp,
    },
    /// Another alert that fires.
    Inhibitor {
        labels: LabelSet,
    },
}

/// What one integration heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// By the name that `Receiver::named` gives it.
    pub integration: String,
    /// None: there was no news for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// When it had heard of the group last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<Timestamp>,
    /// When it hears the same again; None: never, as nothing fires or somebody has taken the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub reason: Reason,
    /// The key of the delivery; None: it does not want to hear of ends, and nothing else was to be said.
    pub delivery: Option<String>,
}

impl Flush {
    /// Returns whether somebody was told, or the log of who was told what has changed.
    pub fn says_something(&self) -> bool {
        self.said.iter().any(|said| said.told.is_some())
    }

    /// Returns a text that is the same for the same decision: 16 hexadecimal digits.
    pub(super) fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("a decision is made of plain fields with text keys");
        hex(&Sha256::digest(&json)[..8])
    }

    /// Returns whether the decision is about an alert.
    pub fn is_about(&self, alert: Fingerprint) -> bool {
        self.has_firing(alert) || self.ended.contains(&alert)
    }

    /// Returns whether an alert fired when it was decided.
    pub fn has_firing(&self, alert: Fingerprint) -> bool {
        self.shown.contains(&alert) || self.held.iter().any(|held| held.alerts.contains(&alert))
    }

    /// Returns what held an alert back.
    pub fn holders(&self, alert: Fingerprint) -> impl Iterator<Item = &Holder> {
        self.held.iter().filter(move |held| held.alerts.contains(&alert)).map(|held| &held.by)
    }
}

impl Holder {
    /// Writes it for people who read of an instant.
    pub fn words(&self, beside: Timestamp) -> String {
        match self {
            Holder::Silence { id, by, comment, ends_at } => {
                let ends_at = super::moment(*ends_at, beside);
                let comment = if comment.is_empty() { String::new() } else { format!(" ({comment})") };
                format!("the silence {id} of {by}{comment} until {ends_at}")
            }
            Holder::Inhibitor { labels } => format!("the alert {labels}, which inhibits it"),
        }
    }
}
