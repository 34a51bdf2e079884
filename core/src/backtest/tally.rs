//! What is counted on the walk.

use std::collections::{BTreeMap, BTreeSet};

use super::night::Night;
use super::report::{FailedRule, Notification, Report, RuleReport, Total};
use super::{BacktestError, NOTIFICATIONS_MAX, Rule, Window};
use crate::alert::Transition;
use crate::ledger::{LedgerChange, Outcome};
use crate::model::{Fingerprint, LabelSet};
use crate::plane::Delivery;
use crate::route::notification::Status;
use crate::route::tree::Routing;
use crate::rule::RuleGroup;
use crate::time::{Span, Timestamp};

/// An alert that fires again so soon after its end flaps.
const FLAP_WITHIN: Span = Span::from_mins(60);

pub(super) struct Tally {
    from: Timestamp,
    rules: Vec<Count>,
    /// The rule behind the alerts that routing sees.
    makers: BTreeMap<Fingerprint, usize>,
    notifications: Vec<Notification>,
    /// Alerts that routing had no room for or could not read.
    refused: u64,
}

struct Count {
    report: RuleReport,
    is_alert: bool,
    /// Since when its alerts fire.
    firing: BTreeMap<LabelSet, Timestamp>,
    /// When its alerts ended last.
    ended: BTreeMap<LabelSet, Timestamp>,
    failed: u64,
    first_failure: Option<(Timestamp, String)>,
}

impl Tally {
    pub fn new(rules: &[Rule], groups: &[RuleGroup], from: Timestamp) -> Tally {
        let count = |rule: &Rule| {
            let own = &groups[rule.group].rules[rule.index];
            Count {
                report: RuleReport::new(&groups[rule.group].name, own.name(), rule.key.nth, own.label_texts()),
                is_alert: own.is_alert(),
                firing: BTreeMap::new(),
                ended: BTreeMap::new(),
                failed: 0,
                first_failure: None,
            }
        };
        Tally { from, rules: rules.iter().map(count).collect(), makers: BTreeMap::new(), notifications: Vec::new(), refused: 0 }
    }

    /// Takes note that a rule could not be evaluated at a slot.
    pub fn failed(&mut self, rule: usize, slot: Timestamp, reason: String) {
        if slot >= self.from {
            let count = &mut self.rules[rule];
            count.failed += 1;
            count.first_failure.get_or_insert((slot, reason));
        }
    }

    /// Takes note of what an evaluation has changed.
    pub fn judged(&mut self, rule: usize, slot: Timestamp, outcome: &Outcome) {
        if let Some(lost) = &outcome.lost {
            self.failed(rule, slot, lost.to_string());
            let count = &mut self.rules[rule];
            for (labels, since) in std::mem::take(&mut count.firing) {
                count.ends(labels, since, slot, self.from);
            }
        }
        if slot >= self.from {
            self.refused += outcome.refused.len() as u64;
        }
        let counts = u64::from(slot >= self.from);
        for change in &outcome.changes {
            let LedgerChange::Happened { labels, what, .. } = change else { continue };
            let count = &mut self.rules[rule];
            match what {
                Transition::Pending(_) => count.report.pending += counts,
                Transition::Fired(own) => {
                    self.makers.insert(labels.fingerprint(), rule);
                    count.report.fired += counts;
                    if count.ended.remove(own).is_some_and(|ended| slot.since(ended) <= FLAP_WITHIN) {
                        count.report.flaps += counts;
                    }
                    count.firing.insert(own.clone(), slot);
                }
                Transition::Resolved(own) => {
                    if let Some(since) = count.firing.remove(own) {
                        count.ends(own.clone(), since, slot, self.from);
                    }
                }
                Transition::Cleared(_) | Transition::Forgotten(_) => {}
            }
        }
    }

    /// Takes note of a delivery. What several integrations of a receiver are told alike is one notification.
    pub fn told(&mut self, delivery: Delivery) -> Result<(), BacktestError> {
        if delivery.created_at < self.from {
            return Ok(());
        }
        let data = &delivery.data;
        // Deliveries of one flush follow one another.
        let same = self.notifications.iter_mut().rev().take_while(|known| known.at == delivery.created_at).find(|known| {
            known.group_key == data.group_key
                && known.receiver == delivery.receiver
                && (known.status, known.reason) == (data.status, data.reason)
        });
        if let Some(known) = same {
            known.channels.push(delivery.channel);
            return Ok(());
        }
        if self.notifications.len() >= NOTIFICATIONS_MAX {
            return Err(BacktestError::TooManyNotifications);
        }
        let makers: BTreeSet<usize> =
            data.alerts.iter().filter_map(|alert| self.makers.get(&alert.fingerprint)).copied().collect();
        makers.iter().for_each(|maker| self.rules[*maker].report.notified += 1);
        self.notifications.push(Notification {
            at: delivery.created_at,
            receiver: delivery.receiver,
            users: Vec::new(),
            channels: vec![delivery.channel],
            status: data.status,
            reason: data.reason,
            alerts: data.alerts.len(),
            firing: data.firing().count(),
            is_at_night: false,
            title: delivery.title,
            group_key: data.group_key.clone(),
        });
        Ok(())
    }

    pub fn finish(mut self, window: Window, night: Night, routing: &Routing) -> Report {
        let mut receivers: BTreeMap<String, Total> = BTreeMap::new();
        let mut users: BTreeMap<String, Total> = BTreeMap::new();
        let mut nights: BTreeSet<(bool, String, chrono::NaiveDate)> = BTreeSet::new();
        let mut all = Total::default();
        for notification in &mut self.notifications {
            let own = routing.receivers.get(&notification.receiver);
            notification.users = own.map(|receiver| receiver.users.clone()).unwrap_or_default();
            let date = night.night_of(notification.at);
            notification.is_at_night = date.is_some();
            all.add(notification);
            let names = notification.users.iter().map(|user| (true, user)).chain([(false, &notification.receiver)]);
            for (is_user, name) in names {
                let total = if is_user { &mut users } else { &mut receivers }.entry(name.clone()).or_default();
                total.add(notification);
                // Nobody is woken twice.
                if let Some(date) = date.filter(|_| notification.status == Status::Firing)
                    && nights.insert((is_user, name.clone(), date))
                {
                    total.nights += 1;
                }
            }
        }
        let dates: BTreeSet<chrono::NaiveDate> = nights.iter().map(|(_, _, date)| *date).collect();
        all.nights = dates.len() as u64;
        let (mut rules, mut failed) = (Vec::new(), Vec::new());
        for mut count in self.rules {
            let open: Vec<Timestamp> = count.firing.values().copied().collect();
            count.report.firing_at_end = open.len() as u64;
            open.iter().for_each(|since| count.report.lasted(window.to.since(*since)));
            if let Some((at, reason)) = count.first_failure {
                let (group, name) = (count.report.group.clone(), count.report.name.clone());
                failed.push(FailedRule { group, name, evaluations: count.failed, first_at: at, reason });
            }
            if count.is_alert {
                rules.push(count.report);
            }
        }
        Report {
            from: window.from,
            to: window.to,
            warm_up: window.warm_up,
            zone: night.zone().to_owned(),
            total: all,
            receivers,
            users,
            rules,
            failed,
            refused: self.refused,
            notifications: self.notifications,
        }
    }
}

impl Count {
    fn ends(&mut self, labels: LabelSet, since: Timestamp, at: Timestamp, from: Timestamp) {
        if at >= from {
            self.report.lasted(at.since(since));
        }
        self.ended.retain(|_, ended| at.since(*ended) <= FLAP_WITHIN);
        self.ended.insert(labels, at);
    }
}
