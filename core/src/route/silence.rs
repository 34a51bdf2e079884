//! Silences: people mute the alerts that satisfy some matchers for a span of time.

mod form;
mod policy;
mod request;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::matcher::all_match;
use crate::model::{LabelSet, Matcher};
use crate::route::time_interval::{TimeInterval, next_turn};
use crate::time::{Span, Timestamp};

pub use form::MatcherForm;
use form::matcher_form;
pub use policy::{Reach, Silencing};
pub use request::{BadSilence, SilenceRequest};

/// An expired silence stays listed this long, so that people see what was muted and can renew it.
pub const RETENTION: Span = Span::from_mins(120 * 60);

/// The label of an alert that tells of a silence, with its id.
pub const SILENCE_LABEL: &str = "silence";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    pub id: String,
    #[serde(with = "matcher_form")]
    pub matchers: Vec<Matcher>,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default)]
    pub created_by: String,
    /// Who made it, as they had signed in; None: nobody had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default)]
    pub comment: String,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Terms::is_plain")]
    pub terms: Terms,
    /// How it came to end before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// When a silence mutes, beyond its start and its end. Alertmanager has nothing like it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// It ends once none of the alerts that it mutes fires any more.
    #[serde(default)]
    pub until_resolved: bool,
    /// It mutes within one of these only; empty: all the time.
    #[serde(default, with = "crate::route::time_interval::form::record")]
    pub times: Vec<TimeInterval>,
}

impl Terms {
    fn is_plain(&self) -> bool {
        *self == Terms::default()
    }

    /// Returns whether an instant lies within the times.
    pub fn is_time(&self, at: Timestamp) -> bool {
        self.times.is_empty() || self.times.iter().any(|interval| interval.contains(at))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub why: EndedWhy,
    /// Who did it; None: nobody, or nobody had to sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it would have ended.
    pub instead_of: Timestamp,
}

/// That a silence has ended before its time, kept apart from it: an older copy of it that comes back stays ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    pub id: String,
    pub ended_at: Timestamp,
    pub ended: Ended,
}

impl Tombstone {
    /// Returns what is to be kept of a silence; None: it did not end before its time.
    pub fn of(silence: &Silence) -> Option<Tombstone> {
        let ended = silence.ended.clone()?;
        Some(Tombstone { id: silence.id.clone(), ended_at: silence.ends_at, ended })
    }

    /// Returns whether no copy of the silence can mute anything any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ended.instead_of <= now
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedWhy {
    /// Somebody has ended it.
    Person,
    /// A change that cannot be made in place has put another one in its place.
    Replaced,
    /// The alerts that it muted have ended.
    Resolved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SilenceState {
    Active,
    /// It has not begun, or it is not one of its times.
    Pending,
    Expired,
}

impl Silence {
    pub fn state(&self, now: Timestamp) -> SilenceState {
        match self.phase(now) {
            SilenceState::Active if !self.terms.is_time(now) => SilenceState::Pending,
            phase => phase,
        }
    }

    /// Returns where it stands between its start and its end, whatever its times are.
    fn phase(&self, now: Timestamp) -> SilenceState {
        if now >= self.ends_at {
            SilenceState::Expired
        } else if now < self.starts_at {
            SilenceState::Pending
        } else {
            SilenceState::Active
        }
    }

    /// Returns whether the silence mutes an alert with these labels now. None mutes what tells of itself.
    pub fn mutes(&self, labels: &LabelSet, now: Timestamp) -> bool {
        self.state(now) == SilenceState::Active && all_match(&self.matchers, labels) && labels.get(SILENCE_LABEL) != self.id
    }

    /// Returns when it begins to mute, or ends, whichever it does next. None: not within two months, or never any more.
    pub fn next_turn(&self, now: Timestamp) -> Option<Timestamp> {
        match self.phase(now) {
            SilenceState::Expired => None,
            SilenceState::Pending if self.terms.is_time(self.starts_at) => Some(self.starts_at),
            phase => {
                let from = if phase == SilenceState::Pending { self.starts_at } else { now };
                let turn = || next_turn(&self.terms.times, from).filter(|turn| *turn < self.ends_at);
                match self.state(now) {
                    SilenceState::Active if self.terms.times.is_empty() => Some(self.ends_at),
                    SilenceState::Active => Some(turn().unwrap_or(self.ends_at)),
                    SilenceState::Pending | SilenceState::Expired => turn(),
                }
            }
        }
    }
}

/// All silences that are pending, active, or expired for less than `RETENTION`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Silences {
    by_id: BTreeMap<String, Silence>,
}

impl Silences {
    /// Returns them, and the ids of those that were older than what is known of their ends.
    pub fn from_records(records: Vec<Silence>, tombstones: Vec<Tombstone>) -> (Silences, Vec<String>) {
        let mut by_id: BTreeMap<String, Silence> = records.into_iter().map(|silence| (silence.id.clone(), silence)).collect();
        let mut changed = Vec::new();
        for Tombstone { id, ended_at, ended } in tombstones {
            if let Some(silence) = by_id.get_mut(&id).filter(|silence| silence.ends_at > ended_at) {
                silence.starts_at = silence.starts_at.min(ended_at);
                (silence.ends_at, silence.updated_at, silence.ended) = (ended_at, ended_at, Some(ended));
                changed.push(id);
            }
        }
        (Silences { by_id }, changed)
    }

    /// Creates or changes a silence. Returns every silence that changed; the one asked for stands last.
    ///
    /// A silence is changed in place only where that does not rewrite what it has muted: its matchers stay, an active one keeps
    /// its start and ends in the future, a pending one starts in the future. Otherwise it expires now and a new one begins.
    /// Source: Alertmanager `silence.Set`.
    ///
    /// `allow`: what else is asked of a silence that is none of those that can never be.
    pub fn set(
        &mut self,
        request: SilenceRequest,
        limit: usize,
        allow: impl FnOnce(&SilenceRequest, &Terms) -> Result<(), BadSilence>,
        now: Timestamp,
    ) -> Result<Vec<Silence>, BadSilence> {
        let known = match &request.id {
            Some(id) => Some(self.by_id.get(id).ok_or(BadSilence::NotFound)?.clone()),
            None => None,
        };
        if let (Some(known), Some(seen_at)) = (&known, request.seen_at)
            && known.updated_at != seen_at
        {
            return Err(BadSilence::Changed { at: known.updated_at });
        }
        let terms = match (&request.terms, &known) {
            (Some(terms), _) => terms.clone(),
            (None, Some(known)) => known.terms.clone(),
            (None, None) => Terms::default(),
        };
        request.check(&terms, now)?;
        allow(&request, &terms)?;
        let starts_at = request.starts_at.unwrap_or(now);
        let mut changed = Vec::new();
        let mut owner = request.owner.clone();
        if let Some(known) = known {
            let same_matchers = known.matchers == request.matchers;
            let in_place = same_matchers
                && match known.phase(now) {
                    // Clients cut times to seconds.
                    SilenceState::Active => starts_at.0.div_euclid(1000) == known.starts_at.0.div_euclid(1000),
                    SilenceState::Pending => starts_at >= now,
                    SilenceState::Expired => false,
                };
            if in_place {
                let silence = request.into_silence(known.id, known.owner, terms, starts_at, now);
                self.by_id.insert(silence.id.clone(), silence.clone());
                return Ok(vec![silence]);
            }
            self.check_room(&request.new_id, limit)?;
            changed.extend(self.expire(&known.id, EndedWhy::Replaced, owner.clone(), now)?);
            owner = known.owner.or(owner);
        } else {
            self.check_room(&request.new_id, limit)?;
        }
        let id = request.new_id.clone();
        let silence = request.into_silence(id.clone(), owner, terms, starts_at.max(now), now);
        self.by_id.insert(id, silence.clone());
        changed.push(silence);
        Ok(changed)
    }

    fn check_room(&self, new_id: &str, limit: usize) -> Result<(), BadSilence> {
        if self.by_id.contains_key(new_id) {
            return Err(BadSilence::IdTaken(new_id.to_owned()));
        }
        if self.by_id.len() >= limit {
            return Err(BadSilence::TooMany { count: self.by_id.len(), limit });
        }
        Ok(())
    }

    /// Ends a silence now; it stays listed. Returns the silence if that changed it.
    pub fn expire(&mut self, id: &str, why: EndedWhy, by: Option<String>, now: Timestamp) -> Result<Option<Silence>, BadSilence> {
        let silence = self.by_id.get_mut(id).ok_or(BadSilence::NotFound)?;
        match silence.phase(now) {
            SilenceState::Expired => return Ok(None),
            SilenceState::Active => {}
            SilenceState::Pending => silence.starts_at = now,
        }
        silence.ended = Some(Ended { why, by, instead_of: silence.ends_at });
        silence.ends_at = now;
        silence.updated_at = now;
        Ok(Some(silence.clone()))
    }

    /// Forgets the silences that expired longer ago than `RETENTION`; returns their ids.
    pub fn forget(&mut self, now: Timestamp) -> Vec<String> {
        let old: Vec<String> =
            self.by_id.values().filter(|silence| silence.ends_at + RETENTION <= now).map(|silence| silence.id.clone()).collect();
        for id in &old {
            self.by_id.remove(id);
        }
        old
    }

    /// Returns when the next silence is to be forgotten.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.by_id.values().map(|silence| silence.ends_at + RETENTION).min()
    }

    pub fn get(&self, id: &str) -> Option<&Silence> {
        self.by_id.get(id)
    }

    /// Returns every silence in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.by_id.values()
    }

    /// Returns the silences that are active now, for many questions at one instant.
    pub fn active(&self, now: Timestamp) -> Vec<&Silence> {
        self.by_id.values().filter(|silence| silence.state(now) == SilenceState::Active).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MatchOp;

    fn at(second: i64) -> Timestamp {
        Timestamp(second * 1000)
    }

    fn request(id: Option<&str>, new_id: &str, starts: Option<i64>, ends: i64) -> SilenceRequest {
        SilenceRequest {
            id: id.map(str::to_owned),
            seen_at: None,
            new_id: new_id.to_owned(),
            matchers: vec![Matcher::equal("a", "b")],
            starts_at: starts.map(at),
            ends_at: at(ends),
            created_by: "ada".to_owned(),
            comment: "planned".to_owned(),
            annotations: BTreeMap::new(),
            owner: None,
            terms: None,
        }
    }

    fn set(silences: &mut Silences, request: SilenceRequest, now: i64) -> Result<Vec<(String, i64, i64)>, BadSilence> {
        let changed = silences.set(request, 3, |_, _| Ok(()), at(now))?;
        Ok(changed.into_iter().map(|s| (s.id, s.starts_at.0 / 1000, s.ends_at.0 / 1000)).collect())
    }

    fn triple(id: &str, starts: i64, ends: i64) -> (String, i64, i64) {
        (id.to_owned(), starts, ends)
    }

    #[test]
    fn a_start_in_the_past_is_moved_to_now() {
        let mut silences = Silences::default();
        assert_eq!(set(&mut silences, request(None, "one", Some(5), 100), 10).unwrap(), [triple("one", 10, 100)]);
        assert!(silences.get("one").unwrap().mutes(&LabelSet::from_pairs([("a", "b")]), at(10)));
        assert!(!silences.get("one").unwrap().mutes(&LabelSet::from_pairs([("a", "b")]), at(100)));
    }

    #[test]
    fn an_active_silence_is_extended_in_place_but_a_new_start_or_matcher_makes_a_new_one() {
        let mut silences = Silences::default();
        set(&mut silences, request(None, "one", None, 100), 10).unwrap();
        assert_eq!(set(&mut silences, request(Some("one"), "two", Some(10), 200), 20).unwrap(), [triple("one", 10, 200)]);
        assert_eq!(
            set(&mut silences, request(Some("one"), "two", Some(50), 200), 30).unwrap(),
            [triple("one", 10, 30), triple("two", 50, 200)]
        );
        // Pending: may move within the future, not into the past.
        assert_eq!(set(&mut silences, request(Some("two"), "three", Some(60), 200), 40).unwrap(), [triple("two", 60, 200)]);
        let mut other = request(Some("two"), "three", Some(60), 200);
        other.matchers = vec![Matcher::equal("a", "c")];
        assert_eq!(set(&mut silences, other, 45).unwrap(), [triple("two", 45, 45), triple("three", 60, 200)]);
        let full = set(&mut silences, request(None, "four", None, 200), 50);
        assert_eq!(full, Err(BadSilence::TooMany { count: 3, limit: 3 }));
    }

    #[test]
    fn an_expired_silence_stays_listed_for_a_while_and_is_renewed_under_a_new_id() {
        let mut silences = Silences::default();
        set(&mut silences, request(None, "one", None, 100), 10).unwrap();
        assert!(silences.expire("one", EndedWhy::Person, None, at(20)).unwrap().is_some());
        assert!(silences.expire("one", EndedWhy::Person, None, at(21)).unwrap().is_none());
        assert_eq!(silences.get("one").unwrap().state(at(20)), SilenceState::Expired);
        assert_eq!(set(&mut silences, request(Some("one"), "two", Some(10), 90), 30).unwrap(), [triple("two", 30, 90)]);
        assert_eq!(silences.next_deadline(), Some(at(20) + RETENTION));
        assert!(silences.forget(at(20) + RETENTION - Span(1)).is_empty());
        assert_eq!(silences.forget(at(20) + RETENTION), ["one"]);
        assert_eq!(silences.expire("one", EndedWhy::Person, None, at(20)), Err(BadSilence::NotFound));
    }

    #[test]
    fn careless_silences_are_refused() {
        let mut silences = Silences::default();
        let refused = |silences: &mut Silences, matchers: Vec<Matcher>, starts, ends| {
            let wish = SilenceRequest { matchers, ..request(None, "x", starts, ends) };
            set(silences, wish, 10).unwrap_err()
        };
        let plain = || vec![Matcher::equal("a", "b")];
        assert_eq!(refused(&mut silences, vec![], None, 100), BadSilence::NoMatchers);
        let anything = vec![Matcher::new("a", MatchOp::Regex, ".*").unwrap(), Matcher::equal("b", "")];
        assert_eq!(refused(&mut silences, anything, None, 100), BadSilence::MatchesEverything);
        assert_eq!(refused(&mut silences, plain(), Some(50), 50), BadSilence::EndsBeforeStart);
        assert_eq!(refused(&mut silences, plain(), Some(2), 5), BadSilence::EndsInPast);
        assert_eq!(set(&mut silences, request(Some("none"), "x", None, 100), 10), Err(BadSilence::NotFound));
    }

    #[test]
    fn records_read_back_with_their_expressions() {
        let silence = Silence {
            matchers: vec![Matcher::new("a", MatchOp::NotRegex, "b.*").unwrap(), Matcher::equal("c", "d")],
            ..request(None, "one", None, 9).into_silence("one".to_owned(), None, Terms::default(), at(1), at(1))
        };
        let text = serde_json::to_string(&silence).unwrap();
        assert!(text.contains(r#"{"name":"a","value":"b.*","isRegex":true,"isEqual":false}"#), "{text}");
        assert_eq!(serde_json::from_str::<Silence>(&text).unwrap(), silence);
    }
}
