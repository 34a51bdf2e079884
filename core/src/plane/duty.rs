//! Who must have heard of the alerts that fire, worked out from nothing but the alerts, the silences and the configuration: the groups,
//! their timers and their logs are left aside, so that a fault in these is found.

use crate::model::Fingerprint;
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
    pub lane: String,
    /// How long after the alert fires, or ceases to be held back, it may be until the group is told.
    pub patience: Span,
}

impl Plane {
    /// Returns what must be heard of up to `limit` firing alerts behind one, and the last of these; None: there are no more.
    ///
    /// Alerts that something holds back at this moment are left out, and so are groups that a time interval keeps silent.
    pub fn duties(&self, behind: Option<Fingerprint>, limit: usize, now: Timestamp) -> (Vec<Duty>, Option<Fingerprint>) {
        let silences: Vec<&Silence> = self.silences.active(now);
        let (mut duties, mut last, mut count) = (Vec::new(), None, 0);
        for alert in self.alerts.values().filter(|alert| behind.is_none_or(|behind| alert.fingerprint > behind)) {
            if count == limit {
                return (duties, last);
            }
            (last, count) = (Some(alert.fingerprint), count + 1);
            let is_held = || {
                silences.iter().any(|silence| silence.mutes(&alert.labels, now))
                    || !self.inhibitor.inhibited_by(alert, |source| self.is_firing(source, now)).is_empty()
            };
            if !alert.is_firing(now) || is_held() {
                continue;
            }
            for index in self.tree.matching(&alert.labels) {
                let node = self.tree.node(index);
                let intervals = &self.routing.time_intervals;
                let silent = silent_by(intervals, &node.mute_time_intervals, &node.active_time_intervals, now);
                let Some(receiver) = self.routing.receivers.get(&node.receiver).filter(|_| silent.is_empty()) else { continue };
                let group = GroupId { key: node.group_key(&node.group_labels(&alert.labels)), receiver: node.receiver.clone() };
                duties.extend(receiver.named().into_iter().map(|(integration, _)| Duty {
                    alert: alert.fingerprint,
                    fired_at: alert.starts_at,
                    receiver: node.receiver.clone(),
                    lane: group.lane(&integration),
                    patience: node.group_wait + node.group_interval,
                }));
            }
        }
        (duties, None)
    }
}
