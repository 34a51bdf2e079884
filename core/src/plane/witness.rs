//! Before people are told of an alert that others can inhibit, the rules that could bring those others are asked how it stands at that
//! moment: else it would be chance which of two rules is evaluated first.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Fingerprint, LabelSet};
use crate::route::alert::Alert;
use crate::route::dispatch::group::{Group, GroupId};
use crate::route::tree::Inhibition;
use crate::time::{Span, Timestamp};

use super::Plane;

/// People are told at the latest after this, whether all rules have answered or not.
pub const ANSWERS_MAX: Span = Span::from_secs(5);

/// The rules that can be asked, and the groups that wait for them.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    rules: BTreeMap<Fingerprint, Witness>,
    waiting: BTreeMap<(GroupId, u32), Waiting>,
    wanted: BTreeSet<Fingerprint>,
}

/// A rule of ours.
#[derive(Debug)]
struct Witness {
    /// Those labels of its alerts that are known before it is evaluated, as routing sees them.
    labels: LabelSet,
    /// The last instant at which it was evaluated, or looked at.
    seen_at: Timestamp,
}

/// Why a group is not told, though it was due.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    since: Timestamp,
    due: Timestamp,
}

impl Witness {
    /// Returns whether the rule may bring an alert that inhibits one with these labels.
    fn may_inhibit(&self, inhibition: &Inhibition, target: &LabelSet) -> bool {
        let known = |name: &str| self.labels.has(name);
        inhibition.source.iter().filter(|matcher| known(&matcher.name)).all(|matcher| matcher.matches(&self.labels))
            && inhibition.equal.iter().filter(|name| known(name)).all(|name| self.labels.get(name) == target.get(name))
    }
}

impl Witnesses {
    /// Takes note of the rules that there are; what is known of those that stay, stays.
    pub fn know(&mut self, rules: Vec<(Fingerprint, LabelSet)>) {
        let mut before = std::mem::take(&mut self.rules);
        for (id, labels) in rules {
            let seen_at = before.remove(&id).map_or(Timestamp::MIN, |witness| witness.seen_at);
            self.rules.insert(id, Witness { labels, seen_at });
        }
    }

    /// Forgets who waits, as when groups are made anew.
    pub fn forget_waiting(&mut self) {
        self.waiting.clear();
    }
}

impl Plane {
    /// Says which of our rules can be looked at at any time, each with the labels that all of its alerts have.
    pub fn set_witnesses(&mut self, rules: Vec<(Fingerprint, LabelSet)>) {
        self.witnesses.know(rules);
    }

    /// Takes note that a rule was evaluated at an instant and that what it found has been heard.
    pub fn evaluated(&mut self, rule: Fingerprint, at: Timestamp) {
        let Some(witness) = self.witnesses.rules.get_mut(&rule) else { return };
        witness.seen_at = witness.seen_at.max(at);
        // Whoever still has to wait for another rule goes back to waiting.
        for ((id, twin), waiting) in &self.witnesses.waiting {
            if let Some(strand) = self.groups.get_mut(id).and_then(|group| group.strands.get_mut(twin)) {
                strand.next_flush_at = waiting.due;
            }
        }
    }

    /// Takes out the rules that somebody waits for, so that they are looked at.
    pub fn take_wanted(&mut self) -> BTreeSet<Fingerprint> {
        std::mem::take(&mut self.witnesses.wanted)
    }

    /// Returns whether a group that is due has to wait for rules; then its timer is set to when it waits no more.
    pub(super) fn waits_for_witnesses(&mut self, group: &mut Group, twin: u32, now: Timestamp) -> bool {
        let Some(strand) = group.strands.get(&twin) else { return false };
        let key = (group.id.clone(), twin);
        let known = self.witnesses.waiting.get(&key).copied();
        let waiting = known.unwrap_or(Waiting { since: now, due: strand.next_flush_at });
        let is_news = |one: &&Fingerprint| !group.log.values().any(|entry| entry.firing.contains(one));
        let news = strand.alerts.iter().filter(is_news).filter_map(|one| self.alerts.get(one));
        let news = news.filter(|alert| alert.is_of_rule() && alert.is_firing(now));
        let wanted: BTreeSet<Fingerprint> = news.flat_map(|alert| self.unheard(alert)).collect();
        let Some(strand) = group.strands.get_mut(&twin) else { return false };
        if wanted.is_empty() || now - waiting.since >= ANSWERS_MAX {
            self.witnesses.waiting.remove(&key);
            strand.next_flush_at = waiting.due;
            return false;
        }
        strand.next_flush_at = waiting.since + ANSWERS_MAX;
        if known.is_none() {
            self.witnesses.wanted.extend(wanted);
        }
        self.witnesses.waiting.insert(key, waiting);
        true
    }

    /// Returns the rules that may bring what inhibits an alert, and that were not evaluated since it fires.
    fn unheard<'a>(&'a self, alert: &'a Alert) -> impl Iterator<Item = Fingerprint> + 'a {
        let inhibitions = self.inhibitor.inhibitions_of(alert.fingerprint);
        inhibitions.flat_map(move |inhibition| {
            let unheard = self.witnesses.rules.iter().filter(|(_, witness)| witness.seen_at < alert.starts_at);
            unheard.filter(move |(_, witness)| witness.may_inhibit(inhibition, &alert.labels)).map(|(id, _)| *id)
        })
    }
}
