//! What the plane shows: alerts, groups, silences and pages as they stand at an instant.

use serde::Serialize;

use crate::model::matcher::all_match;
use crate::model::{Fingerprint, LabelSet, Matcher};
use crate::page::Page;
use crate::route::alert::Alert;
use crate::route::dispatch::group::{Group, Stretch};
use crate::route::silence::{Silence, SilenceState};
use crate::route::time_interval::silent_by;
use crate::time::Timestamp;

use super::Plane;

/// The words are Alertmanager's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    Active,
    /// A silence, another alert or a time interval keeps it from being told.
    Suppressed,
    /// No group had room for it.
    Unprocessed,
}

/// A firing alert and what becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertView {
    pub alert: Alert,
    pub state: AlertState,
    /// Ids of silences.
    pub silenced_by: Vec<String>,
    pub inhibited_by: Vec<Fingerprint>,
    /// Names of time intervals; of an alert in several groups only when all of them are silent.
    pub muted_by: Vec<String>,
    /// In order of the routes that take the alert, each once.
    pub receivers: Vec<String>,
    /// Ids of the open pages that hold it as firing.
    pub pages: Vec<String>,
    /// Whether it begins again and again, so that its end is put off.
    pub flaps: bool,
}

/// A group with the alerts of it that fire.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupView {
    pub key: String,
    pub labels: LabelSet,
    pub receiver: String,
    pub alerts: Vec<AlertView>,
    pub next_flush_at: Option<Timestamp>,
}

/// How much the plane holds, by the states that Alertmanager counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Firing alerts that no silence and no other alert holds back.
    pub active: usize,
    pub suppressed: usize,
    /// Firing alerts for which no group has room.
    pub unprocessed: usize,
    /// Groups that some route feeds.
    pub groups: usize,
    pub silences_pending: usize,
    pub silences_active: usize,
    pub silences_expired: usize,
}

impl Plane {
    /// Returns how much is held at an instant.
    pub fn counts(&self, now: Timestamp) -> Counts {
        let silences = self.silences.active(now);
        let mut counts = Counts::default();
        for alert in self.firing(now) {
            if self.loose.contains(&alert.fingerprint) {
                counts.unprocessed += 1;
            } else if self.is_held(alert, &silences, now) {
                counts.suppressed += 1;
            } else {
                counts.active += 1;
            }
        }
        for silence in self.silences.iter() {
            match silence.state(now) {
                SilenceState::Pending => counts.silences_pending += 1,
                SilenceState::Active => counts.silences_active += 1,
                SilenceState::Expired => counts.silences_expired += 1,
            }
        }
        counts.groups = self.groups.values().filter(|group| !group.strands.is_empty()).count();
        counts
    }

    /// Returns every firing alert in order of fingerprint.
    pub fn alerts(&self, now: Timestamp) -> Vec<AlertView> {
        self.preview(&[], now)
    }

    /// Returns the firing alerts that satisfy all matchers: those that a silence with them would mute.
    pub fn preview(&self, matchers: &[Matcher], now: Timestamp) -> Vec<AlertView> {
        self.alerts_that(|alert| all_match(matchers, &alert.labels), now)
    }

    /// Returns the firing alerts that are meant, in order of fingerprint.
    pub fn alerts_that(&self, is_meant: impl Fn(&Alert) -> bool, now: Timestamp) -> Vec<AlertView> {
        let silences = self.silences.active(now);
        let asked = self.firing(now).filter(|alert| is_meant(alert));
        asked.map(|alert| self.view(alert, None, &silences, now)).collect()
    }

    /// Returns the firing alerts themselves, in order of fingerprint.
    pub fn firing(&self, now: Timestamp) -> impl Iterator<Item = &Alert> {
        self.alerts.values().filter(move |alert| alert.is_firing(now))
    }

    /// Returns one alert as it is held, also after its end while somebody still has to hear of that.
    pub fn alert(&self, fingerprint: Fingerprint, now: Timestamp) -> Option<AlertView> {
        let silences = self.silences.active(now);
        Some(self.view(self.alerts.get(&fingerprint)?, None, &silences, now))
    }

    /// Returns every group with firing alerts in order of key and receiver.
    pub fn groups(&self, now: Timestamp) -> Vec<GroupView> {
        let silences = self.silences.active(now);
        let mut views: Vec<GroupView> = Vec::new();
        for group in self.groups.values().filter(|group| !group.strands.is_empty()) {
            let members = group.strands.values().flat_map(|strand| &strand.alerts);
            let unique: std::collections::BTreeSet<&Fingerprint> = members.collect();
            let firing = unique.into_iter().filter_map(|one| self.alerts.get(one)).filter(|alert| alert.is_firing(now));
            let alerts: Vec<AlertView> = firing.map(|alert| self.view(alert, Some(group), &silences, now)).collect();
            if !alerts.is_empty() {
                views.push(GroupView {
                    key: group.id.key.clone(),
                    labels: group.labels.clone(),
                    receiver: group.id.receiver.clone(),
                    alerts,
                    next_flush_at: group.strands.values().map(|strand| strand.next_flush_at).min(),
                });
            }
        }
        views
    }

    /// Returns how often the timers of groups have decided the same in a row, for those that still run.
    pub fn stretches(&self) -> impl Iterator<Item = &Stretch> {
        self.groups.values().flat_map(|group| group.strands.values()).filter_map(|strand| strand.stretch.as_ref())
    }

    /// Returns every silence that is held, expired ones included, in order of id.
    pub fn silences(&self) -> Vec<&Silence> {
        self.silences.iter().collect()
    }

    pub fn silence(&self, id: &str) -> Option<&Silence> {
        self.silences.get(id)
    }

    /// Returns every page that is remembered, the latest first.
    pub fn pages(&self) -> Vec<&Page> {
        let mut pages: Vec<&Page> = self.pages.values().collect();
        pages.sort_by(|one, other| (other.opened_at, &other.id).cmp(&(one.opened_at, &one.id)));
        pages
    }

    /// Returns how many pages are open.
    pub fn open_pages(&self) -> usize {
        self.open_pages.len()
    }

    pub fn page(&self, id: &str) -> Option<&Page> {
        self.pages.get(id)
    }

    /// `within`: the group whose time intervals count; None: all groups of the alert.
    fn view(&self, alert: &Alert, within: Option<&Group>, silences: &[&Silence], now: Timestamp) -> AlertView {
        let homes: Vec<&Group> = self
            .homes
            .of(alert.fingerprint)
            .filter_map(|id| self.groups.get(id))
            .filter(|group| group.strands.values().any(|strand| strand.alerts.contains(&alert.fingerprint)))
            .collect();
        let muting = self.muting(silences.iter().copied(), &alert.labels, now);
        let silenced_by: Vec<String> = muting.map(|silence| silence.id.clone()).collect();
        let inhibited_by = self.inhibitor.inhibited_by(alert, |source| self.is_firing(source, now));
        let muted_by = match within {
            Some(group) => self.silent_intervals(group, now),
            None => self.silent_everywhere(&homes, now),
        };
        let state = if homes.is_empty() {
            AlertState::Unprocessed
        } else if silenced_by.is_empty() && inhibited_by.is_empty() && muted_by.is_empty() {
            AlertState::Active
        } else {
            AlertState::Suppressed
        };
        let receivers = self.receivers(alert, &homes);
        let pages = homes.iter().filter_map(|group| self.open_pages.get(&group.id)).filter(|id| {
            let page = self.pages.get(*id).and_then(|page| page.alerts.get(&alert.fingerprint));
            page.is_some_and(|paged| paged.resolved_at.is_none())
        });
        AlertView {
            state,
            silenced_by,
            inhibited_by,
            muted_by,
            receivers,
            pages: pages.cloned().collect(),
            flaps: self.flaps.hold(alert.fingerprint).is_some(),
            alert: self.flaps.annotated(alert, self.routing.flapping).into_owned(),
        }
    }

    fn receivers(&self, alert: &Alert, homes: &[&Group]) -> Vec<String> {
        let mut receivers: Vec<String> = Vec::with_capacity(homes.len());
        let mut add = |name: &String| {
            if !receivers.contains(name) && homes.iter().any(|group| group.id.receiver == *name) {
                receivers.push(name.clone());
            }
        };
        if homes.len() > 1 {
            self.tree.matching(&alert.labels).into_iter().for_each(|index| add(&self.tree.node(index).receiver));
        }
        homes.iter().for_each(|group| add(&group.id.receiver));
        receivers
    }

    fn silent_everywhere(&self, homes: &[&Group], now: Timestamp) -> Vec<String> {
        let mut names = Vec::new();
        for group in homes {
            let own = self.silent_intervals(group, now);
            if own.is_empty() {
                return Vec::new();
            }
            names.extend(own);
        }
        names.sort();
        names.dedup();
        names
    }

    /// Returns the time intervals that keep a group silent; empty when one of its strands may speak.
    fn silent_intervals(&self, group: &Group, now: Timestamp) -> Vec<String> {
        let Some(path) = group.path() else { return Vec::new() };
        let mut names = Vec::new();
        for twin in group.strands.keys() {
            let Some(index) = self.tree.find(path, &group.id.receiver, *twin) else { continue };
            let node = self.tree.node(index);
            let own = silent_by(&self.routing.time_intervals, &node.mute_time_intervals, &node.active_time_intervals, now);
            if own.is_empty() {
                return Vec::new();
            }
            names.extend(own);
        }
        names.sort();
        names.dedup();
        names
    }
}
