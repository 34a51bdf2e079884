//! What an integration was told of a group, and how it stood before, should a delivery turn out to be lost.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::Fingerprint;
use crate::time::{Span, Timestamp};

use super::decision::Reason;

/// Of deliveries that may still be on their way so many are remembered; older ones count as heard.
const WORDS_MAX: usize = 8;

/// What one integration was told of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// When it was last told anything.
    pub at: Timestamp,
    pub reason: Reason,
    /// The alerts that the last notification called firing, less those that have ended since.
    pub firing: BTreeSet<Fingerprint>,
    /// All alerts that some notification called firing and whose end it has not heard of.
    pub owed: BTreeSet<Fingerprint>,
    /// The number of the last delivery in this lane: its time in milliseconds, or one more than the number before it.
    pub sequence: i64,
    /// The last deliveries, the oldest first, each with what it has changed here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    words: Vec<Word>,
    /// Owed ends that were said and did not arrive, with when each was said first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unheard: BTreeMap<Fingerprint, Timestamp>,
}

/// A delivery, as far as it matters should it be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Word {
    sequence: i64,
    at: Timestamp,
    /// The alerts whose end it told.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    ended: BTreeSet<Fingerprint>,
    /// None: nothing had been heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Before>,
}

/// How an entry stood before a delivery, told by what that has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    at: Timestamp,
    reason: Reason,
    #[serde(default, skip_serializing_if = "Difference::is_empty")]
    firing: Difference,
    #[serde(default, skip_serializing_if = "Difference::is_empty")]
    owed: Difference,
}

/// What one set has and another has not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Difference {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    came: BTreeSet<Fingerprint>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    went: BTreeSet<Fingerprint>,
}

impl Difference {
    fn new(before: &BTreeSet<Fingerprint>, after: &BTreeSet<Fingerprint>) -> Difference {
        Difference { came: after - before, went: before - after }
    }

    fn is_empty(&self) -> bool {
        self.came.is_empty() && self.went.is_empty()
    }

    fn undo(&self, set: &BTreeSet<Fingerprint>) -> BTreeSet<Fingerprint> {
        &(set - &self.came) | &self.went
    }

    /// Returns the difference that undoes this one and then an earlier one.
    fn behind(&self, earlier: &Difference) -> Difference {
        Difference { came: &self.came | &earlier.came, went: earlier.undo(&self.went) }
    }
}

/// What is told at a flush.
#[derive(Clone, Copy, Debug)]
pub struct Telling<'a> {
    pub at: Timestamp,
    pub reason: Reason,
    /// The firing alerts that are shown.
    pub firing: &'a BTreeSet<Fingerprint>,
    /// The owed alerts that have ended.
    pub ended: &'a BTreeSet<Fingerprint>,
    /// The number of the delivery; None: nothing is sent.
    pub sequence: Option<i64>,
}

/// What of a lost delivery had counted as heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsaid {
    /// The alerts that had been told and whose end went with it.
    pub ended: BTreeSet<Fingerprint>,
    /// Whether nothing was told since.
    pub is_last: bool,
}

impl LogEntry {
    /// Returns the entry of an integration that has heard nothing; `sequence`: the last number that its lane has used.
    pub fn silent(at: Timestamp, sequence: i64) -> LogEntry {
        LogEntry {
            at,
            reason: Reason::First,
            firing: BTreeSet::new(),
            owed: BTreeSet::new(),
            sequence,
            words: Vec::new(),
            unheard: BTreeMap::new(),
        }
    }

    /// Returns when it was last told anything that it still counts as told; None: it was told nothing.
    pub fn heard_at(&self) -> Option<Timestamp> {
        (!self.is_silent() || !self.words.is_empty()).then_some(self.at)
    }

    fn is_silent(&self) -> bool {
        self.firing.is_empty() && self.owed.is_empty()
    }

    /// Returns the entry once something is told. `entry`: what was told before. `life`: after this long a delivery has ended.
    pub fn told(entry: Option<LogEntry>, telling: Telling<'_>, life: Span) -> LogEntry {
        let Telling { at, reason, firing, ended, sequence } = telling;
        let mut entry = entry.unwrap_or_else(|| LogEntry::silent(at, 0));
        let owed: BTreeSet<Fingerprint> = &(&entry.owed | firing) - ended;
        if let Some(sequence) = sequence {
            let before = (!entry.is_silent()).then(|| Before {
                at: entry.at,
                reason: entry.reason,
                firing: Difference::new(&entry.firing, firing),
                owed: Difference::new(&entry.owed, &owed),
            });
            entry.words.retain(|word| at - word.at < life);
            entry.words.push(Word { sequence, at, ended: ended.clone(), before });
            entry.words.drain(..entry.words.len().saturating_sub(WORDS_MAX));
            entry.sequence = sequence;
        }
        entry.unheard.retain(|alert, _| !ended.contains(alert) && !firing.contains(alert));
        LogEntry { at, reason, firing: firing.clone(), owed, ..entry }
    }

    /// Takes back what a delivery is said to have told; None when the entry does not know of it.
    pub fn unsay(&mut self, sequence: i64) -> Option<Unsaid> {
        let place = self.words.iter().position(|word| word.sequence == sequence)?;
        let lost = self.words.remove(place);
        let ended = lost.before.as_ref().map(|before| &lost.ended & &before.owed.went).unwrap_or_default();
        let Some(next) = self.words.get_mut(place) else {
            match lost.before {
                Some(Before { at, reason, firing, owed }) => {
                    (self.at, self.reason) = (at, reason);
                    // Ends that it told are owed by whoever still wants to tell them.
                    self.owed = &owed.undo(&self.owed) - &ended;
                    self.firing = firing.undo(&self.firing);
                }
                None => {
                    self.firing.clear();
                    self.owed.clear();
                }
            }
            return Some(Unsaid { ended, is_last: true });
        };
        // What came behind it stands, and rests on what was heard before it.
        next.before = next.before.take().zip(lost.before).map(|(next, lost)| Before {
            at: lost.at,
            reason: lost.reason,
            firing: next.firing.behind(&lost.firing),
            // As above: what it told of ends is not undone here.
            owed: Difference { came: &next.owed.came | &lost.owed.came, went: &next.owed.went - &lost.owed.came },
        });
        Some(Unsaid { ended, is_last: false })
    }

    /// Returns whether a later delivery than one, or what is owed, speaks of an alert.
    pub fn speaks_of(&self, alert: Fingerprint, after: i64) -> bool {
        let later = self.words.iter().filter(|word| word.sequence > after);
        self.owed.contains(&alert) || later.into_iter().any(|word| word.ended.contains(&alert))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(list: &[u64]) -> BTreeSet<Fingerprint> {
        list.iter().map(|number| Fingerprint(*number)).collect()
    }

    /// Tells at an instant, which is also the number of the delivery.
    fn tell(entry: Option<LogEntry>, at: i64, firing: &[u64], ended: &[u64]) -> Option<LogEntry> {
        let reason = if entry.is_none() { Reason::First } else { Reason::NewAlerts };
        let (firing, ended) = (set(firing), set(ended));
        let telling = Telling { at: Timestamp(at), reason, firing: &firing, ended: &ended, sequence: Some(at) };
        Some(LogEntry::told(entry, telling, Span(1_000)))
    }

    fn sets(entry: &Option<LogEntry>) -> (BTreeSet<Fingerprint>, BTreeSet<Fingerprint>) {
        entry.as_ref().map(|entry| (entry.firing.clone(), entry.owed.clone())).unwrap()
    }

    #[test]
    fn what_the_last_delivery_told_is_taken_back() {
        let first = tell(None, 1, &[1, 2], &[]);
        let mut second = tell(first.clone(), 2, &[1, 3], &[2]);
        assert_eq!(sets(&second), (set(&[1, 3]), set(&[1, 3])));
        let lost = second.as_mut().unwrap();
        assert_eq!(lost.unsay(2), Some(Unsaid { ended: set(&[2]), is_last: true }));
        assert_eq!((lost.at, lost.reason, lost.heard_at()), (Timestamp(1), Reason::First, Some(Timestamp(1))));
        assert_eq!((lost.firing.clone(), lost.owed.clone()), (set(&[1, 2]), set(&[1])), "who tells ends owes this one anew");
        assert_eq!(lost.unsay(2), None, "it is taken back once");
        assert_eq!(lost.unsay(1), Some(Unsaid { ended: set(&[]), is_last: true }));
        assert_eq!((lost.heard_at(), lost.sequence), (None, 2), "numbers are not used again");
    }

    #[test]
    fn a_loss_before_others_changes_what_they_rest_on() {
        let first = tell(None, 1, &[1, 2], &[]);
        let second = tell(first, 2, &[1, 3], &[2]);
        let mut third = tell(second, 3, &[1, 4], &[3]);
        let entry = third.as_mut().unwrap();
        assert_eq!(entry.unsay(2), Some(Unsaid { ended: set(&[2]), is_last: false }));
        assert_eq!((entry.firing.clone(), entry.owed.clone()), (set(&[1, 4]), set(&[1, 4])));
        assert!(!entry.speaks_of(Fingerprint(2), 2) && entry.speaks_of(Fingerprint(3), 2) && entry.speaks_of(Fingerprint(4), 2));
        assert!(!entry.speaks_of(Fingerprint(3), 3));
        // Without both it stands as after the first, and of the third alert nobody has heard.
        assert_eq!(entry.unsay(3), Some(Unsaid { ended: set(&[]), is_last: true }));
        assert_eq!((entry.at, entry.firing.clone(), entry.owed.clone()), (Timestamp(1), set(&[1, 2]), set(&[1])));
    }

    #[test]
    fn what_is_lost_before_anything_was_heard_leaves_nothing_to_rest_on() {
        let first = tell(None, 1, &[1], &[]);
        let mut second = tell(first, 2, &[2], &[1]);
        let entry = second.as_mut().unwrap();
        assert_eq!(entry.unsay(1), Some(Unsaid { ended: set(&[]), is_last: false }));
        assert_eq!(entry.unsay(2), Some(Unsaid { ended: set(&[]), is_last: true }), "nobody has heard of what ended");
        assert_eq!((entry.firing.clone(), entry.owed.clone()), (set(&[]), set(&[])));
    }

    #[test]
    fn old_deliveries_are_not_remembered() {
        let mut entry = None;
        for at in 1..=20 {
            entry = tell(entry, at, &[1], &[]);
        }
        assert_eq!(entry.as_ref().unwrap().words.len(), WORDS_MAX);
        entry = tell(entry, 1_019, &[1], &[]);
        let numbers: Vec<i64> = entry.unwrap().words.iter().map(|word| word.sequence).collect();
        assert_eq!(numbers, [20, 1_019]);
    }
}
