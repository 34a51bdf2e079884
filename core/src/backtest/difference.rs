//! How what two sets of rules would have notified differs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::report::{Notification, Report, RuleReport, Total, seconds};
use crate::time::Span;

/// Of one group, receiver and reason, a notification so much earlier or later is the same one, shifted.
pub const SHIFT_MAX: Span = Span::from_mins(60);

/// What differs between new rules and old ones, over the same time and under the same routing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Notifications that are the same in both.
    pub same: u64,
    /// In order of time, each of these.
    pub only_new: Vec<Notification>,
    pub only_old: Vec<Notification>,
    pub shifted: Vec<Shift>,
    /// Totals of new and old, for each receiver of either.
    pub receivers: BTreeMap<String, (Total, Total)>,
    /// Rules that fared differently, or that stand on one side only.
    pub rules: Vec<RuleDifference>,
}

/// A notification that comes at another time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shift {
    pub new: Notification,
    /// How much later than with the old rules; negative: earlier.
    #[serde(rename = "by_seconds", serialize_with = "seconds")]
    pub by: Span,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleDifference {
    pub group: String,
    pub name: String,
    /// None: there is no such rule.
    pub new: Option<RuleReport>,
    pub old: Option<RuleReport>,
}

/// What makes two notifications the same one.
type Kind<'r> = (&'r str, &'r str, &'static str, &'static str);

fn kind(notification: &Notification) -> Kind<'_> {
    let Notification { group_key, receiver, status, reason, .. } = notification;
    (receiver, group_key, status.word(), reason.as_str())
}

/// Returns how two reports differ.
pub fn difference(new: &Report, old: &Report) -> Difference {
    let mut kinds: BTreeMap<Kind<'_>, (Vec<&Notification>, Vec<&Notification>)> = BTreeMap::new();
    new.notifications.iter().for_each(|one| kinds.entry(kind(one)).or_default().0.push(one));
    old.notifications.iter().for_each(|one| kinds.entry(kind(one)).or_default().1.push(one));
    let (mut same, mut only_new, mut only_old, mut shifted) = (0, Vec::new(), Vec::new(), Vec::new());
    for (new, old) in kinds.into_values() {
        let common: BTreeSet<_> = new.iter().map(|one| one.at).collect();
        let common: BTreeSet<_> = old.iter().map(|one| one.at).filter(|at| common.contains(at)).collect();
        same += common.len() as u64;
        let others = |list: Vec<&Notification>| -> Vec<Notification> {
            list.into_iter().filter(|one| !common.contains(&one.at)).cloned().collect()
        };
        let (new, old) = pair(others(new), others(old), &mut shifted);
        only_new.extend(new);
        only_old.extend(old);
    }
    only_new.sort_by_key(|one| one.at);
    only_old.sort_by_key(|one| one.at);
    shifted.sort_by_key(|shift| shift.new.at);
    Difference { same, only_new, only_old, shifted, receivers: receivers(new, old), rules: rules(new, old) }
}

/// Takes out of two lists, both in order of time, what is the same but for its time, the nearest first; returns what is left of both.
fn pair(new: Vec<Notification>, old: Vec<Notification>, shifted: &mut Vec<Shift>) -> (Vec<Notification>, Vec<Notification>) {
    let mut near: Vec<(Span, usize, usize)> = Vec::new();
    for (index, one) in new.iter().enumerate() {
        let first = old.partition_point(|other| other.at + SHIFT_MAX < one.at);
        let others = old.iter().enumerate().skip(first).take_while(|(_, other)| other.at <= one.at + SHIFT_MAX);
        near.extend(others.map(|(other_index, other)| (Span(one.at.since(other.at).0.abs()), index, other_index)));
    }
    near.sort_unstable();
    let (mut of_new, mut of_old) = (BTreeMap::new(), BTreeSet::new());
    for (_, index, other) in near {
        if !of_new.contains_key(&index) && of_old.insert(other) {
            of_new.insert(index, old[other].at);
        }
    }
    let mut left = Vec::new();
    for (index, one) in new.into_iter().enumerate() {
        match of_new.get(&index) {
            Some(at) => shifted.push(Shift { by: one.at.since(*at), new: one }),
            None => left.push(one),
        }
    }
    (left, old.into_iter().enumerate().filter(|(index, _)| !of_old.contains(index)).map(|(_, one)| one).collect())
}

fn receivers(new: &Report, old: &Report) -> BTreeMap<String, (Total, Total)> {
    let names = new.receivers.keys().chain(old.receivers.keys());
    let total = |report: &Report, name: &String| report.receivers.get(name).copied().unwrap_or_default();
    names.map(|name| (name.clone(), (total(new, name), total(old, name)))).collect()
}

fn rules(new: &Report, old: &Report) -> Vec<RuleDifference> {
    // Labels may be what was changed, so rules are known by their names and their order among namesakes.
    let index = |report: &Report| {
        let mut found: BTreeMap<(String, String, usize), RuleReport> = BTreeMap::new();
        let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
        for rule in &report.rules {
            let count = counts.entry((rule.group.clone(), rule.name.clone())).or_default();
            found.insert((rule.group.clone(), rule.name.clone(), *count), rule.clone());
            *count += 1;
        }
        found
    };
    let (mut new, mut old) = (index(new), index(old));
    let keys: BTreeSet<(String, String, usize)> = new.keys().chain(old.keys()).cloned().collect();
    let numbers = |rule: &RuleReport| (rule.pending, rule.fired, rule.firing_at_end, rule.flaps, rule.notified, rule.longest);
    let rules = keys.into_iter().filter_map(|key| {
        let (new, old) = (new.remove(&key), old.remove(&key));
        let is_same = new.as_ref().map(numbers) == old.as_ref().map(numbers);
        let (group, name, _) = key;
        (!is_same).then_some(RuleDifference { group, name, new, old })
    });
    rules.collect()
}
