//! Ends that senders push ahead by saying the same again, which most of what they say is: noted beside the records of their alerts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::Fingerprint;
use crate::route::alert::Alert;
use crate::time::Timestamp;

use super::Change;

/// Alerts that were said again at one instant, and what that makes of their ends. All else is as their records have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Rises by one.
    pub number: i64,
    pub updated_at: Timestamp,
    pub ends_at: Timestamp,
    pub alerts: Vec<Fingerprint>,
}

/// Returns whether news that made `after` of `before` has only pushed the end of an alert that fires.
pub(super) fn is_extended(before: &Alert, after: &Alert, now: Timestamp) -> bool {
    let Alert { fingerprint, labels, annotations, starts_at, ends_at: _, updated_at: _, timeout_derived, .. } = before;
    let Alert { generator_url, source, joined_at, .. } = before;
    before.is_firing(now)
        && after.is_firing(now)
        && (fingerprint, starts_at, timeout_derived) == (&after.fingerprint, &after.starts_at, &after.timeout_derived)
        && (labels, annotations, generator_url, source, joined_at)
            == (&after.labels, &after.annotations, &after.generator_url, &after.source, &after.joined_at)
}

/// So many entries beyond twice those that count may be noted before all are noted anew.
const SLACK: usize = 4096;

/// What is noted of ends, and what is to be.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    next: i64,
    /// Entries that stand noted, those included that count no more.
    noted: usize,
    /// Alerts whose records are older than what is noted of them.
    ahead: BTreeSet<Fingerprint>,
    unsaved: BTreeSet<Fingerprint>,
}

impl Extensions {
    /// Brings alerts up to what was noted behind their records.
    pub fn restore(mut extensions: Vec<Extension>, alerts: &mut BTreeMap<Fingerprint, Alert>) -> Extensions {
        extensions.sort_by_key(|extension| extension.number);
        let mut own = Extensions::default();
        for extension in extensions {
            own.next = extension.number + 1;
            own.noted += extension.alerts.len();
            for fingerprint in extension.alerts {
                // A record that is younger was written behind it.
                if let Some(alert) = alerts.get_mut(&fingerprint).filter(|alert| alert.updated_at < extension.updated_at) {
                    (alert.updated_at, alert.ends_at) = (extension.updated_at, extension.ends_at);
                    own.ahead.insert(fingerprint);
                }
            }
        }
        own
    }

    pub fn note(&mut self, fingerprint: Fingerprint) {
        self.unsaved.insert(fingerprint);
    }

    pub fn is_drained(&self) -> bool {
        self.unsaved.is_empty()
    }

    /// Returns what is to be noted beside the records of `recorded`, which are written anew.
    pub fn drain(&mut self, recorded: &BTreeSet<Fingerprint>, alerts: &BTreeMap<Fingerprint, Alert>) -> Vec<Change> {
        recorded.iter().for_each(|one| _ = self.ahead.remove(one));
        let mut news = std::mem::take(&mut self.unsaved);
        news.retain(|one| !recorded.contains(one) && alerts.contains_key(one));
        self.ahead.extend(&news);
        let mut changes = Vec::new();
        if self.noted + news.len() > 2 * self.ahead.len() + SLACK {
            changes.push(Change::DropExtensions);
            (self.noted, news) = (0, self.ahead.clone());
        }
        let mut by_times: BTreeMap<(Timestamp, Timestamp), Vec<Fingerprint>> = BTreeMap::new();
        for alert in news.iter().filter_map(|one| alerts.get(one)) {
            by_times.entry((alert.updated_at, alert.ends_at)).or_default().push(alert.fingerprint);
        }
        for ((updated_at, ends_at), alerts) in by_times {
            self.noted += alerts.len();
            changes.push(Change::AddExtension(Extension { number: self.next, updated_at, ends_at, alerts }));
            self.next += 1;
        }
        changes
    }
}
