//! Who must have heard of the alerts that fire, worked out from nothing but the alerts, the silences and the configuration: the groups,
//! their timers and their logs are left aside, so that a fault in these is found.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::model::Fingerprint;
use crate::route::alert::Alert;
use crate::route::dispatch::group::GroupId;
use crate::route::silence::Silence;
use crate::route::time_interval::silent_by;
use crate::time::{Span, Timestamp};

use super::Plane;

/// An integration that must hear of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duty {
    pub alert: Fingerprint,
    pub fired_at: Timestamp,
    pub receiver: String,
    /// Deliveries to this integration about this group stand in this lane.
    pub lane: Arc<str>,
    /// How long after the alert fires, or ceases to be held back, it may be until the group is told.
    pub patience: Span,
}

/// What must be heard of some of the alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duties {
    pub duties: Vec<Duty>,
    /// Alerts that fire on and that were left out, because all is settled about them.
    pub settled: Vec<Fingerprint>,
    /// The last alert that was looked at; None: there are no more.
    pub last: Option<Fingerprint>,
    /// Rises when the routes change, and with them all duties.
    pub generation: u64,
}

impl Plane {
    /// Returns what must be heard of the firing alerts behind one, of which up to `limit` are looked at closely. `settled`: alerts about
    /// which all is settled, with when they fired.
    ///
    /// Alerts that something holds back at this moment are left out, and so are groups that a time interval keeps silent.
    pub fn duties(
        &self,
        behind: Option<Fingerprint>,
        settled: &BTreeMap<Fingerprint, Timestamp>,
        limit: usize,
        now: Timestamp,
    ) -> Duties {
        let silences: Vec<&Silence> = self.silences.active(now);
        let mut found = Duties { generation: self.generation, ..Duties::default() };
        let (duties, mut count) = (&mut found.duties, 0);
        let mut lanes: BTreeMap<GroupId, Vec<Arc<str>>> = BTreeMap::new();
        let rest = behind.map_or(Bound::Unbounded, Bound::Excluded);
        for alert in self.alerts.range((rest, Bound::Unbounded)).map(|(_, alert)| alert) {
            if settled.get(&alert.fingerprint) == Some(&alert.starts_at) && alert.is_firing(now) {
                found.settled.push(alert.fingerprint);
                continue;
            }
            if count == limit {
                return found;
            }
            (found.last, count) = (Some(alert.fingerprint), count + 1);
            if !alert.is_firing(now) || self.is_held(alert, &silences, now) {
                continue;
            }
            for index in self.tree.matching(&alert.labels) {
                let node = self.tree.node(index);
                let intervals = &self.routing.time_intervals;
                let silent = silent_by(intervals, &node.mute_time_intervals, &node.active_time_intervals, now);
                let Some(receiver) = self.routing.receivers.get(&node.receiver).filter(|_| silent.is_empty()) else { continue };
                let group = node.group_of(&alert.labels);
                let lanes = lanes.entry(group).or_insert_with_key(|group| {
                    receiver.named().into_iter().map(|(integration, _)| group.lane(&integration).into()).collect()
                });
                duties.extend(lanes.iter().map(|lane| Duty {
                    alert: alert.fingerprint,
                    fired_at: alert.starts_at,
                    receiver: node.receiver.clone(),
                    lane: lane.clone(),
                    patience: node.group_wait + node.group_interval,
                }));
            }
        }
        Duties { last: None, ..found }
    }

    /// Returns whether a silence or another alert holds an alert back.
    pub(super) fn is_held(&self, alert: &Alert, silences: &[&Silence], now: Timestamp) -> bool {
        self.muting(silences.iter().copied(), &alert.labels, now).next().is_some()
            || !self.inhibitor.inhibited_by(alert, |source| self.is_firing(source, now)).is_empty()
    }
}
