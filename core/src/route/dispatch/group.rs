//! Groups: alerts that one receiver hears of together, and what it has been told.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{Fingerprint, LabelSet};
use crate::time::Timestamp;

use super::group_labels_text;
use super::log::LogEntry;

/// What tells groups apart: the key of Alertmanager, and who hears of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId {
    pub key: String,
    pub receiver: String,
}

impl GroupId {
    /// Returns the key under which outside services fold notifications: the SHA-256 of the group key in hexadecimal.
    ///
    /// Source: Alertmanager `Key.Hash`.
    pub fn dedup_key(&self) -> String {
        hex(&Sha256::digest(self.key.as_bytes()))
    }

    /// Returns what deliveries about this group to one integration have in common.
    pub fn lane(&self, integration: &str) -> String {
        format!("{}/{}/{integration}", self.dedup_key(), self.receiver)
    }
}

/// Writes bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A group and its notification log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub id: GroupId,
    pub labels: LabelSet,
    /// By the `twin` number of the route's node; nearly always just number 0.
    pub strands: BTreeMap<u32, Strand>,
    /// Alerts that the receiver was told of and that a new configuration routes elsewhere: it still hears of their end.
    #[serde(default)]
    pub departed: BTreeSet<Fingerprint>,
    /// What each integration of the receiver was told, by the name that `Receiver::named` gives it.
    #[serde(default)]
    pub log: BTreeMap<String, LogEntry>,
    /// Where no route feeds the group: before this nobody is told of an end that was said and did not arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Timestamp>,
    /// When it was last written down. Alerts that have joined since then say so themselves.
    #[serde(default)]
    pub recorded_at: Timestamp,
}

/// The alerts that one node of the tree brings to a group, and the group's timer there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strand {
    /// Ended alerts stay until everyone who was told of them has heard of their end.
    pub alerts: BTreeSet<Fingerprint>,
    pub next_flush_at: Timestamp,
    /// Whether the first flush, which `group_wait` delays, is over.
    pub flushed: bool,
    /// None until it has decided anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stretch: Option<Stretch>,
}

/// How often in a row a timer decided the same, which is written down once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The number of the record of the trace that says what.
    pub record: i64,
    pub digest: u64,
    pub until: Timestamp,
    pub times: u32,
}

impl Group {
    pub fn new(id: GroupId, labels: LabelSet) -> Group {
        Group {
            id,
            labels,
            strands: BTreeMap::new(),
            departed: BTreeSet::new(),
            log: BTreeMap::new(),
            again_at: None,
            recorded_at: Timestamp::default(),
        }
    }

    /// Returns the path of matchers that the group's key begins with; None when the key does not end in the group's labels.
    pub fn path(&self) -> Option<&str> {
        self.id.key.strip_suffix(&group_labels_text(&self.labels))?.strip_suffix(':')
    }

    /// Returns whether some integration still has to hear of an alert's end.
    pub fn owes(&self, fingerprint: Fingerprint) -> bool {
        self.log.values().any(|entry| entry.owed.contains(&fingerprint))
    }

    /// Returns every alert that the group has to do with.
    pub fn alerts(&self) -> BTreeSet<Fingerprint> {
        self.strands.values().flat_map(|strand| &strand.alerts).chain(&self.departed).copied().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.departed.is_empty() && self.strands.values().all(|strand| strand.alerts.is_empty())
    }

    /// Returns the first instant at which a group of the same name may follow this one without repeating numbers of its lanes.
    pub fn replaceable_at(&self) -> Timestamp {
        let last = self.log.values().map(|entry| entry.sequence).max();
        last.map_or(Timestamp::MIN, |sequence| Timestamp(sequence.saturating_add(1)))
    }
}
