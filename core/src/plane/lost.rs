//! Deliveries that ended without arriving: what they told counts as not heard, so it is told again when the group is due next.

use std::collections::BTreeSet;

use crate::model::Fingerprint;
use crate::route::alert::Alert;
use crate::route::dispatch::group::{Group, GroupId, Strand};
use crate::route::dispatch::log::{LogEntry, Unsaid};
use crate::route::notification::{NotifiedAlert, Status};
use crate::time::Timestamp;
use crate::trace::Lost;

use super::{Action, DELIVERY_LIFE, Delivery, Plane};

impl Plane {
    /// Takes back what a lost delivery is said to have told, as far as nothing later has told it. Returns what is taken down of that; None
    /// when there is nothing to take back.
    ///
    /// What fires is told when the group is due next. An end is, too, for as long as a delivery lives from when it was said first. That
    /// somebody has taken a page is not told again.
    pub(super) fn take_back(&mut self, lost: &Delivery, now: Timestamp) -> Option<Lost> {
        let routing = self.routing.clone();
        let integration = routing.receivers.get(&lost.receiver)?.find(&lost.integration)?;
        if lost.action == Action::Acknowledge {
            return None;
        }
        let id = GroupId { key: lost.data.group_key.clone(), receiver: lost.receiver.clone() };
        let is_known = self.groups.contains_key(&id);
        let has_room = is_known || self.groups.len() < self.limits.groups;
        let mut group = self.groups.remove(&id).unwrap_or_else(|| Group::new(id.clone(), lost.data.group_labels.clone()));
        let known = group.log.remove(&lost.integration);
        let has_entry = known.is_some();
        let mut entry = known.unwrap_or_else(|| LogEntry::silent(lost.created_at, lost.sequence));
        let unsaid = entry.unsay(lost.sequence);
        let resolved: Vec<&NotifiedAlert> =
            lost.data.alerts.iter().filter(|alert| alert.status == Status::Resolved && integration.send_resolved).collect();
        // A group that was let go, as all was told, remembers nothing: then what the delivery says counts.
        let Unsaid { ended, is_last } = unsaid
            .clone()
            .unwrap_or_else(|| Unsaid { ended: resolved.iter().map(|alert| alert.fingerprint).collect(), is_last: false });
        let (mut is_owed, mut given_up) = (false, BTreeSet::new());
        for told in resolved.into_iter().filter(|alert| ended.contains(&alert.fingerprint)) {
            let alert = told.fingerprint;
            if entry.speaks_of(alert, lost.sequence) {
                continue;
            }
            let since = *lost.ends_since.get(&alert).unwrap_or(&lost.created_at);
            let fires = self.is_firing(alert, now);
            if !fires && (now - since >= DELIVERY_LIFE || !has_room || !self.recall(told, lost.created_at)) {
                given_up.insert(alert);
                continue;
            }
            entry.owed.insert(alert);
            if !fires {
                entry.unheard.insert(alert, since);
            }
            is_owed = true;
            self.hold_again(&mut group, alert, lost.created_at, now);
        }
        // What has ended is news when it comes back, though its end was not heard: others have heard it, and its page is over.
        let LogEntry { firing, owed, unheard, .. } = &mut entry;
        firing.retain(|alert| owed.contains(alert) && !ended.contains(alert) && !unheard.contains_key(alert));
        let has_changed = unsaid.is_some() || is_owed;
        let waits = !entry.unheard.is_empty();
        if has_entry || has_changed {
            group.log.insert(lost.integration.clone(), entry);
        }
        let fires = is_last && group.strands.values().flat_map(|strand| &strand.alerts).any(|one| self.is_firing(*one, now));
        let next = group.strands.values().map(|strand| strand.next_flush_at).min().or(group.again_at);
        let again_at = next.filter(|_| fires || waits);
        if has_changed {
            self.unsaved.groups.insert(id.clone());
        }
        if is_known || has_changed {
            self.groups.insert(id.clone(), group);
        }
        let lost = Lost { group: id, integration: lost.integration.clone(), delivery: lost.key.clone(), again_at, given_up };
        (has_changed || !lost.given_up.is_empty()).then_some(lost)
    }

    /// Holds an alert again of whose end somebody must hear; returns whether there is room for it.
    fn recall(&mut self, told: &NotifiedAlert, told_at: Timestamp) -> bool {
        if self.alerts.contains_key(&told.fingerprint) {
            return true;
        }
        if self.alerts.len() >= self.limits.alerts {
            return false;
        }
        let alert = Alert {
            fingerprint: told.fingerprint,
            labels: told.labels.clone(),
            annotations: told.annotations.clone(),
            starts_at: told.starts_at,
            ends_at: told.ends_at,
            updated_at: told_at,
            timeout_derived: false,
            generator_url: told.generator_url.clone(),
            source: String::new(),
            joined_at: None,
        };
        self.inhibitor.add(&alert);
        self.unsaved.alerts.insert(alert.fingerprint);
        self.alerts.insert(alert.fingerprint, alert);
        true
    }

    /// Has a group hold an alert of which it owes something. A timer that starts anew goes on from when the group was told.
    fn hold_again(&mut self, group: &mut Group, alert: Fingerprint, told_at: Timestamp, now: Timestamp) {
        if !group.alerts().contains(&alert) {
            let labels = &self.alerts[&alert].labels;
            let mut routed = false;
            for index in self.tree.matching(labels) {
                let node = self.tree.node(index);
                if node.group_of(labels) != group.id {
                    continue;
                }
                let next_flush_at = now.max(told_at + node.group_interval);
                let fresh = || Strand { alerts: BTreeSet::new(), next_flush_at, flushed: true, stretch: None };
                group.strands.entry(node.twin).or_insert_with(fresh).alerts.insert(alert);
                routed = true;
            }
            if !routed {
                group.departed.insert(alert);
                group.again_at = Some(now.max(told_at + self.routing.root.group_interval));
            }
        }
        self.homes.add(alert, &group.id);
        self.loose.remove(&alert);
    }
}
