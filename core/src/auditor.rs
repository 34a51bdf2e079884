//! The auditor: compares who must have heard of alerts with what the outbox says that they have heard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::Fingerprint;
use crate::plane::{Duties, Duty};
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

type Key = (Fingerprint, Arc<str>);

/// Remembers what it has seen from one round to the next.
#[derive(Debug, Default)]
pub struct Auditor {
    /// Since when each duty stands, without a break.
    due: BTreeMap<Key, Timestamp>,
    /// Duties that were done, with when their alert fired.
    done: BTreeMap<Key, Timestamp>,
    /// Alerts of which everybody has heard, with when they fired: they are not looked at again.
    settled: Arc<BTreeMap<Fingerprint, Timestamp>>,
    missing: BTreeMap<Key, Missing>,
    /// The duties of the round under way, and alerts about which all stays settled.
    seen: BTreeMap<Key, Timestamp>,
    still: BTreeSet<Fingerprint>,
    /// Each lane once: many alerts stand in one.
    lanes: BTreeSet<Arc<str>>,
    generation: u64,
}

impl Auditor {
    /// Returns the alerts about which all is settled.
    pub fn settled(&self) -> Arc<BTreeMap<Fingerprint, Timestamp>> {
        self.settled.clone()
    }

    /// Takes some of the duties of a round; returns those of which it must know what the outbox holds.
    pub fn ask(&mut self, found: Duties, now: Timestamp) -> Vec<Duty> {
        if self.generation != found.generation {
            // Other receivers may have to hear.
            (self.generation, self.settled) = (found.generation, Arc::default());
        } else {
            self.still.extend(found.settled);
        }
        let mut asked = Vec::new();
        for duty in found.duties {
            if !self.lanes.contains(&duty.lane) {
                self.lanes.insert(duty.lane.clone());
            }
            let lane = self.lanes.get(&duty.lane).expect("it was put in just now").clone();
            let key = (duty.alert, lane);
            self.seen.insert(key.clone(), duty.fired_at);
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
        let lane = self.lanes.get(&duty.lane).unwrap_or(&duty.lane).clone();
        let key = (duty.alert, lane);
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
        let (seen, still) = (std::mem::take(&mut self.seen), std::mem::take(&mut self.still));
        self.due.retain(|key, _| seen.contains_key(key));
        self.missing.retain(|key, _| seen.contains_key(key));
        let mut settled: BTreeMap<Fingerprint, Timestamp> =
            self.settled.iter().filter(|(alert, _)| still.contains(alert)).map(|(alert, at)| (*alert, *at)).collect();
        settled.extend(seen.iter().map(|((alert, _), fired_at)| (*alert, *fired_at)));
        for (key, fired_at) in &seen {
            if self.done.get(key) != Some(fired_at) {
                settled.remove(&key.0);
            }
        }
        self.done.retain(|key, _| seen.contains_key(key) && !settled.contains_key(&key.0));
        self.settled = Arc::new(settled);
        drop(seen);
        self.lanes.retain(|lane| Arc::strong_count(lane) > 1);
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
            lane: "lane".into(),
            patience: Span::from_secs(30),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    /// Plays a round in which the outbox holds the same for all; returns how many duties were asked about, and how many are missing.
    fn round_of(auditor: &mut Auditor, generation: u64, seconds: i64, duties: &[Duty], evidence: Evidence) -> (usize, usize) {
        // As the plane does, which leaves out what is settled.
        let settled = auditor.settled();
        let is_settled = |duty: &Duty| settled.get(&duty.alert) == Some(&duty.fired_at);
        let (still, duties): (Vec<Duty>, Vec<Duty>) = duties.iter().cloned().partition(is_settled);
        let settled = still.iter().map(|duty| duty.alert).collect();
        let asked = auditor.ask(Duties { duties, settled, last: None, generation }, at(seconds));
        let count = asked.len();
        asked.into_iter().for_each(|duty| auditor.answer(duty, evidence, at(seconds)));
        auditor.end_round();
        (count, auditor.missing().count())
    }

    fn round(auditor: &mut Auditor, seconds: i64, duties: &[Duty], evidence: Evidence) -> (usize, usize) {
        round_of(auditor, 0, seconds, duties, evidence)
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

    #[test]
    fn what_is_settled_is_not_looked_at_again_until_the_routes_change() {
        let mut auditor = Auditor::default();
        let (email, chat) = (duty(1, 0), Duty { lane: "chat".into(), ..duty(1, 0) });
        let both = [email, chat];
        assert_eq!(round(&mut auditor, 0, &both, Evidence::Nothing), (0, 0));
        let asked = auditor.ask(Duties { duties: both.to_vec(), ..Duties::default() }, at(200));
        auditor.answer(asked[0].clone(), Evidence::Told, at(200));
        auditor.answer(asked[1].clone(), Evidence::Failing, at(200));
        auditor.end_round();
        assert!(auditor.settled().is_empty(), "one of two has not heard");
        assert_eq!(round(&mut auditor, 215, &both, Evidence::Told), (1, 0));
        assert_eq!(auditor.settled().len(), 1);
        assert_eq!(round(&mut auditor, 500, &both, Evidence::Nothing), (0, 0));
        assert_eq!(round_of(&mut auditor, 1, 515, &[], Evidence::Nothing), (0, 0));
        assert!(auditor.settled().is_empty());
        assert_eq!(round_of(&mut auditor, 1, 530, &both, Evidence::Nothing), (0, 0));
        assert_eq!(round_of(&mut auditor, 1, 700, &both, Evidence::Nothing), (2, 2));
        // It ends, and nothing is remembered of it.
        drop((both, asked));
        assert_eq!(round_of(&mut auditor, 1, 715, &[], Evidence::Nothing), (0, 0));
        assert!(auditor.due.is_empty() && auditor.done.is_empty() && auditor.lanes.is_empty());
    }
}
