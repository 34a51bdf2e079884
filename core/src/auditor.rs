//! The auditor: compares who must have heard of alerts with what the outbox says that they have heard.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Fingerprint;
use crate::plane::Duty;
use crate::time::{Span, Timestamp};

/// Beyond the patience of its group an alert may be late by this much: ticks, records and answers take their time.
const GRACE: Span = Span::from_mins(2);

/// What the outbox holds of an alert in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    Nothing,
    /// It waits, and there was no attempt yet.
    Untried,
    /// Attempts have failed, and more will follow.
    Failing,
    /// The provider has taken it.
    Told,
    /// It was refused, or nobody wants it any more.
    Lost,
}

/// An alert of which an integration has not heard though it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub duty: Duty,
    pub evidence: Evidence,
    /// Since when it must be told.
    pub since: Timestamp,
}

type Key = (Fingerprint, String);

/// Remembers what it has seen from one round to the next.
#[derive(Debug, Default)]
pub struct Auditor {
    /// Since when each duty stands, without a break.
    due: BTreeMap<Key, Timestamp>,
    /// Duties that were done, with when their alert fired.
    done: BTreeMap<Key, Timestamp>,
    missing: BTreeMap<Key, Missing>,
    /// The duties of the round under way.
    seen: BTreeSet<Key>,
}

impl Auditor {
    /// Takes some of the duties of a round; returns those of which it must know what the outbox holds.
    pub fn ask(&mut self, duties: Vec<Duty>, now: Timestamp) -> Vec<Duty> {
        let mut asked = Vec::new();
        for duty in duties {
            let key = (duty.alert, duty.lane.clone());
            self.seen.insert(key.clone());
            if self.done.get(&key).is_some_and(|fired_at| *fired_at == duty.fired_at) {
                continue;
            }
            let since = *self.due.entry(key).or_insert(now);
            if now - since > duty.patience + GRACE {
                asked.push(duty);
            }
        }
        asked
    }

    /// Takes what the outbox holds for a duty. A delivery that fails is on its way; the provider's trouble is told elsewhere.
    pub fn answer(&mut self, duty: Duty, evidence: Evidence, now: Timestamp) {
        let key = (duty.alert, duty.lane.clone());
        match evidence {
            Evidence::Told => {
                self.missing.remove(&key);
                self.due.remove(&key);
                self.done.insert(key, duty.fired_at);
            }
            Evidence::Failing => _ = self.missing.remove(&key),
            Evidence::Nothing | Evidence::Untried | Evidence::Lost => {
                let since = self.due.get(&key).copied().unwrap_or(now);
                self.missing.insert(key, Missing { duty, evidence, since });
            }
        }
    }

    /// Ends a round: duties that were not in it do not stand any more.
    pub fn end_round(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        self.due.retain(|key, _| seen.contains(key));
        self.done.retain(|key, _| seen.contains(key));
        self.missing.retain(|key, _| seen.contains(key));
    }

    /// Returns who has not heard of what, in order of alert and lane.
    pub fn missing(&self) -> impl Iterator<Item = &Missing> {
        self.missing.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duty(alert: u64, fired_at: i64) -> Duty {
        Duty {
            alert: Fingerprint(alert),
            fired_at: at(fired_at),
            receiver: "team".to_owned(),
            lane: "lane".to_owned(),
            patience: Span::from_secs(30),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    /// Plays a round in which the outbox holds the same for all; returns how many duties were asked about, and how many are missing.
    fn round(auditor: &mut Auditor, seconds: i64, duties: &[Duty], evidence: Evidence) -> (usize, usize) {
        let asked = auditor.ask(duties.to_vec(), at(seconds));
        let count = asked.len();
        asked.into_iter().for_each(|duty| auditor.answer(duty, evidence, at(seconds)));
        auditor.end_round();
        (count, auditor.missing().count())
    }

    #[test]
    fn what_is_not_told_in_time_is_missing_until_it_is() {
        let mut auditor = Auditor::default();
        let duties = [duty(1, 0), duty(2, 0)];
        assert_eq!(round(&mut auditor, 0, &duties, Evidence::Nothing), (0, 0));
        assert_eq!(round(&mut auditor, 150, &duties, Evidence::Nothing), (0, 0));
        assert_eq!(round(&mut auditor, 151, &duties, Evidence::Nothing), (2, 2));
        assert_eq!(auditor.missing().next().unwrap().since, at(0));
        assert_eq!(round(&mut auditor, 160, &duties, Evidence::Failing), (2, 0));
        assert_eq!(round(&mut auditor, 170, &duties, Evidence::Untried), (2, 2));
        // One of them ends, or is held back; the other is told, and is not asked about again.
        assert_eq!(round(&mut auditor, 180, &duties[..1], Evidence::Lost), (1, 1));
        assert_eq!(round(&mut auditor, 190, &duties[..1], Evidence::Told), (1, 0));
        assert_eq!(round(&mut auditor, 500, &duties[..1], Evidence::Nothing), (0, 0));
        // It comes back later, and the clock begins anew.
        assert_eq!(round(&mut auditor, 510, &[duty(1, 505)], Evidence::Nothing), (0, 0));
        assert_eq!(round(&mut auditor, 700, &[duty(1, 505)], Evidence::Nothing), (1, 1));
    }
}
