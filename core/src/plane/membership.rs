//! Which alerts are held, and which groups they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::Fingerprint;
use crate::route::alert::{Alert, BadAlert, IncomingAlert};
use crate::route::dispatch::group::{Group, GroupId, Strand};
use crate::route::dispatch::{Node, Tree};
use crate::route::inhibition::Inhibitor;
use crate::route::tree::Routing;
use crate::time::Timestamp;
use crate::trace::{AlertStep, Routes, What};

use super::extension::is_extended;
use super::flap::Before;
use super::{Plane, Reply};

/// What becomes of the timers of groups that outlive a change of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timers {
    /// They run on: a restart shall not be noticed.
    Keep,
    /// They start again, as Alertmanager's do on a reload.
    Restart,
}

/// When a node's timer first falls due for an alert that joins now: an alert that is older than the group's wait waits no more.
fn first_flush(node: &Node, alert: &Alert, now: Timestamp) -> Timestamp {
    if alert.starts_at + node.group_wait < now { now } else { now + node.group_wait }
}

impl Plane {
    pub(super) fn take_alerts(&mut self, incoming: Vec<IncomingAlert>, now: Timestamp) -> Reply {
        let (mut accepted, mut refused) = (0, Vec::new());
        for news in incoming {
            let fingerprint = news.labels.fingerprint();
            match news.receive(now, self.routing.resolve_timeout).and_then(|alert| self.take_alert(alert, now)) {
                Ok(()) => accepted += 1,
                Err(bad) => {
                    if let BadAlert::TooManyAlerts { labels, .. } | BadAlert::TooManyGroups { labels, .. } = &bad {
                        let what = What::Refused { reason: bad.to_string() };
                        self.tracer.step(AlertStep { at: now, labels: labels.clone(), own: None, source: String::new(), what });
                    }
                    refused.push((fingerprint, bad));
                }
            }
        }
        Reply::Alerts { accepted, refused }
    }

    fn take_alert(&mut self, news: Alert, now: Timestamp) -> Result<(), BadAlert> {
        let fingerprint = news.fingerprint;
        self.calm_one(fingerprint, now);
        let flaps = self.flaps.hold(fingerprint).is_some();
        let known = self.alerts.get(&fingerprint).map(|alert| self.flaps.as_said(alert));
        let alert = match known.as_deref() {
            // A rule of ours sees for itself whether the trouble lasts, and it does not say so twice: what another sender says of it,
            // such as a Prometheus with the same rule, is taken and changes nothing.
            Some(known) if known.is_of_rule() && known.is_firing(now) && !news.is_of_rule() => return Ok(()),
            // An end that is said again does not lie later.
            Some(known) if flaps && !known.is_firing(now) && !news.is_firing(now) => return Ok(()),
            Some(known) => Alert::follow(known, news, now),
            // The end of something that we do not hold changes nothing.
            None if !news.is_firing(now) => return Ok(()),
            None if self.alerts.len() >= self.limits.alerts => {
                return Err(BadAlert::TooManyAlerts { labels: news.labels, limit: self.limits.alerts });
            }
            None => {
                self.inhibitor.add(&news);
                news
            }
        };
        let joined_at = known.as_deref().and_then(|known| known.joined_at);
        let before = known.as_deref().map(|known| Before { fired: known.is_firing(now), starts_at: known.starts_at });
        // What becomes of alerts of our rules is taken down with what their rules found.
        let fired = before.is_some_and(|before| before.fired);
        if fired != alert.is_firing(now) && !alert.is_of_rule() {
            let what = if fired { What::Ended } else { What::Received { ends_at: alert.ends_at } };
            self.step(&alert, what, now);
        }
        let mut alert = self.put_off(alert, before, now);
        alert.joined_at = joined_at;
        let fires = alert.is_firing(now);
        let before = self.alerts.insert(fingerprint, alert);
        let alert = &self.alerts[&fingerprint];
        if before.is_some_and(|before| is_extended(&before, alert, now)) {
            self.extensions.note(fingerprint);
        } else {
            self.unsaved.alerts.insert(fingerprint);
        }
        if fires && !self.join_groups(fingerprint, true, now) {
            return Err(BadAlert::TooManyGroups { labels: self.alerts[&fingerprint].labels.clone(), limit: self.limits.groups });
        }
        Ok(())
    }

    /// Puts a firing alert into every group that the tree sends it to. Groups above the limit are not made, and then the answer is
    /// false; the alert is held all the same and finds its place with later news, once there is room.
    ///
    /// News of an alert can hurry a group's first flush; that it is merely looked at again cannot. A group that has only been joined is
    /// not written down anew: in a storm it would be with each of its alerts, and with all of them each time.
    fn join_groups(&mut self, fingerprint: Fingerprint, is_news: bool, now: Timestamp) -> bool {
        let alert = &self.alerts[&fingerprint];
        let (mut has_room, mut has_joined) = (true, false);
        for index in self.tree.matching(&alert.labels) {
            let node = self.tree.node(index);
            let id = node.group_of(&alert.labels);
            if !self.groups.contains_key(&id) && self.groups.len() >= self.limits.groups {
                has_room = false;
                continue;
            }
            let labels = || node.group_labels(&alert.labels);
            let group = self.groups.entry(id.clone()).or_insert_with(|| Group::new(id.clone(), labels()));
            let due = first_flush(node, alert, now);
            let mut changed = group.departed.remove(&fingerprint);
            let strand = group.strands.entry(node.twin).or_insert_with(|| {
                changed = true;
                Strand { alerts: BTreeSet::new(), next_flush_at: now + node.group_wait, flushed: false, stretch: None }
            });
            let joins = strand.alerts.insert(fingerprint);
            if (is_news || joins) && !strand.flushed && due < strand.next_flush_at {
                strand.next_flush_at = due;
                changed = true;
            }
            if joins || changed {
                self.homes.add(fingerprint, &id);
            }
            if changed {
                self.unsaved.groups.insert(id);
            }
            has_joined |= joins;
        }
        // What is looked at again is looked at with all groups, which are written down then.
        if has_joined
            && is_news
            && let Some(alert) = self.alerts.get_mut(&fingerprint)
        {
            alert.joined_at = Some(now);
            self.unsaved.alerts.insert(fingerprint);
        }
        if self.homes.has(fingerprint) {
            self.loose.remove(&fingerprint);
        } else {
            self.loose.insert(fingerprint);
        }
        has_room
    }

    pub(super) fn reload(&mut self, routing: Arc<Routing>, now: Timestamp) {
        self.generation += 1;
        self.tree = Tree::new(&routing.tree());
        self.inhibitor = Inhibitor::new(&routing.inhibitions);
        self.tracer.routes(Routes::new(&routing), now);
        self.routing = routing;
        self.heed_flapping(now);
        for alert in self.alerts.values() {
            self.inhibitor.add(alert);
        }
        self.reconcile(now, Timers::Restart);
    }

    /// Makes the groups what the tree asks for. What receivers were told stays known; alerts that they were told of and that are
    /// routed elsewhere now are kept as departed, so that their end is still heard of.
    pub(super) fn reconcile(&mut self, now: Timestamp, timers: Timers) {
        self.witnesses.forget_waiting();
        let before = std::mem::take(&mut self.groups);
        for (id, old) in &before {
            let mut group = Group { strands: BTreeMap::new(), departed: BTreeSet::new(), ..old.clone() };
            let receiver = self.routing.receivers.get(&id.receiver);
            group.log.retain(|name, _| receiver.is_some_and(|receiver| receiver.find(name).is_some()));
            self.keep_strands(&mut group, old, now, timers);
            let routed: BTreeSet<Fingerprint> = group.strands.values().flat_map(|strand| &strand.alerts).copied().collect();
            let paged = self.open_pages.get(id).and_then(|page| self.pages.get(page));
            let told = group.log.values().flat_map(|entry| &entry.owed).copied();
            group.departed =
                told.chain(paged.iter().flat_map(|page| page.firing())).filter(|one| !routed.contains(one)).collect();
            // An empty group goes at the next tick.
            self.groups.insert(id.clone(), group);
        }
        self.index_homes();
        let firing: Vec<Fingerprint> =
            self.alerts.values().filter(|alert| alert.is_firing(now)).map(|alert| alert.fingerprint).collect();
        for fingerprint in firing {
            self.join_groups(fingerprint, false, now);
        }
        let touched: BTreeSet<&GroupId> = before.keys().chain(self.groups.keys()).collect();
        let changed = touched.into_iter().filter(|id| before.get(*id) != self.groups.get(*id)).cloned();
        self.unsaved.groups.extend(changed);
    }

    /// Carries over the strands of a group whose nodes still exist, with the alerts that those nodes still take.
    fn keep_strands(&self, group: &mut Group, old: &Group, now: Timestamp, timers: Timers) {
        let Some(path) = old.path() else { return };
        for (twin, strand) in &old.strands {
            let Some(index) = self.tree.find(path, &old.id.receiver, *twin) else { continue };
            let node = self.tree.node(index);
            let stays = |fingerprint: &&Fingerprint| {
                self.alerts.get(fingerprint).is_some_and(|alert| {
                    node.group_labels(&alert.labels) == old.labels && self.tree.matching(&alert.labels).contains(&index)
                })
            };
            let alerts: BTreeSet<Fingerprint> = strand.alerts.iter().filter(stays).copied().collect();
            if alerts.is_empty() {
                continue;
            }
            let restarted = || {
                let due = alerts.iter().filter_map(|one| self.alerts.get(one)).map(|alert| first_flush(node, alert, now)).min();
                let next_flush_at = due.unwrap_or(now + node.group_wait);
                Strand { alerts: alerts.clone(), next_flush_at, flushed: false, stretch: strand.stretch.clone() }
            };
            let kept = match timers {
                Timers::Keep => Strand { alerts, ..strand.clone() },
                Timers::Restart => restarted(),
            };
            group.strands.insert(*twin, kept);
        }
    }

    /// Puts alerts into the groups that they have joined since these were written down.
    pub(super) fn rejoin(&mut self) {
        for alert in self.alerts.values() {
            let Some(joined_at) = alert.joined_at else { continue };
            for index in self.tree.matching(&alert.labels) {
                let node = self.tree.node(index);
                let group = self.groups.get_mut(&node.group_of(&alert.labels)).filter(|group| group.recorded_at <= joined_at);
                if let Some(strand) = group.and_then(|group| group.strands.get_mut(&node.twin)) {
                    strand.alerts.insert(alert.fingerprint);
                }
            }
        }
    }

    /// Works out `homes` and `loose` from the groups.
    pub(super) fn index_homes(&mut self) {
        self.homes.clear();
        for group in self.groups.values() {
            for fingerprint in group.alerts() {
                self.homes.add(fingerprint, &group.id);
            }
        }
        self.loose = self.alerts.keys().filter(|fingerprint| !self.homes.has(**fingerprint)).copied().collect();
    }

    /// Forgets that a group holds an alert, and the alert itself once it has ended and no group holds it.
    pub(super) fn leave(&mut self, fingerprint: Fingerprint, id: &GroupId, now: Timestamp) {
        self.homes.remove(fingerprint, id);
        if !self.homes.has(fingerprint) && !self.is_firing(fingerprint, now) {
            self.forget_alert(fingerprint);
        }
    }

    fn forget_alert(&mut self, fingerprint: Fingerprint) {
        self.loose.remove(&fingerprint);
        if let Some(alert) = self.alerts.remove(&fingerprint) {
            self.inhibitor.remove(&alert);
            self.unsaved.alerts.insert(fingerprint);
        }
    }

    /// Alerts that no group has room for are forgotten when they end.
    pub(super) fn forget_loose_alerts(&mut self, now: Timestamp) {
        let ended: Vec<Fingerprint> = self.loose.iter().filter(|one| !self.is_firing(**one, now)).copied().collect();
        for fingerprint in ended {
            self.forget_alert(fingerprint);
        }
    }

    pub(super) fn next_loose_end(&self) -> Option<Timestamp> {
        self.loose.iter().filter_map(|fingerprint| self.alerts.get(fingerprint)).map(|alert| alert.ends_at).min()
    }
}
