//! Silences: people mute the alerts that satisfy some matchers for a span of time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::matcher::{BadRegex, all_match};
use crate::model::{LabelSet, MatchOp, Matcher};
use crate::time::{Span, Timestamp};

/// An expired silence stays listed this long, so that people see what was muted and can renew it.
pub const RETENTION: Span = Span::from_mins(120 * 60);

const MATCHERS_MAX: usize = 100;
const TEXT_BYTES_MAX: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub id: String,
    #[serde(with = "matcher_form")]
    pub matchers: Vec<Matcher>,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default)]
    pub created_by: String,
    #[serde(default)]
    pub comment: String,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SilenceState {
    Active,
    Pending,
    Expired,
}

/// A wish to create a silence, or to change the one called `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceRequest {
    pub id: Option<String>,
    /// The id that a new silence gets; thrown by the edge.
    pub new_id: String,
    pub matchers: Vec<Matcher>,
    /// None: now.
    pub starts_at: Option<Timestamp>,
    pub ends_at: Timestamp,
    pub created_by: String,
    pub comment: String,
    pub annotations: BTreeMap<String, String>,
}

/// Why a silence is refused; where Alertmanager has a text, it is the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSilence {
    #[error("silence not found")]
    NotFound,
    #[error("invalid silence: at least one matcher required")]
    NoMatchers,
    #[error("invalid silence: invalid label matcher {index}: invalid label name \"\"")]
    EmptyLabelName { index: usize },
    #[error("invalid silence: at least one matcher must not match the empty string")]
    MatchesEverything,
    #[error("start time must be before end time")]
    EndsBeforeStart,
    #[error("end time can't be in the past")]
    EndsInPast,
    #[error("silence has {count} matchers; at most {MATCHERS_MAX} are accepted")]
    TooManyMatchers { count: usize },
    #[error("silence exceeded maximum size: {bytes} bytes (limit: {TEXT_BYTES_MAX} bytes)")]
    TooLong { bytes: usize },
    #[error("exceeded maximum number of silences: {count} (limit: {limit})")]
    TooMany { count: usize, limit: usize },
    #[error("cannot create a silence under the id {0:?}, which is taken")]
    IdTaken(String),
}

impl Silence {
    pub fn state(&self, now: Timestamp) -> SilenceState {
        if now >= self.ends_at {
            SilenceState::Expired
        } else if now < self.starts_at {
            SilenceState::Pending
        } else {
            SilenceState::Active
        }
    }

    /// Returns whether the silence mutes an alert with these labels now.
    pub fn mutes(&self, labels: &LabelSet, now: Timestamp) -> bool {
        self.state(now) == SilenceState::Active && all_match(&self.matchers, labels)
    }
}

impl SilenceRequest {
    fn check(&self, now: Timestamp) -> Result<(), BadSilence> {
        let texts = [&self.created_by, &self.comment];
        let bytes = texts.into_iter().map(String::len).sum::<usize>()
            + self.matchers.iter().map(|matcher| matcher.name.len() + matcher.value.len()).sum::<usize>()
            + self.annotations.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>();
        if self.matchers.is_empty() {
            return Err(BadSilence::NoMatchers);
        }
        if self.matchers.len() > MATCHERS_MAX {
            return Err(BadSilence::TooManyMatchers { count: self.matchers.len() });
        }
        if let Some(index) = self.matchers.iter().position(|matcher| matcher.name.is_empty()) {
            return Err(BadSilence::EmptyLabelName { index });
        }
        if self.matchers.iter().all(Matcher::matches_empty) {
            return Err(BadSilence::MatchesEverything);
        }
        if bytes > TEXT_BYTES_MAX {
            return Err(BadSilence::TooLong { bytes });
        }
        if self.ends_at <= self.starts_at.unwrap_or(now) {
            return Err(BadSilence::EndsBeforeStart);
        }
        if self.ends_at < now {
            return Err(BadSilence::EndsInPast);
        }
        Ok(())
    }

    fn into_silence(self, id: String, starts_at: Timestamp, now: Timestamp) -> Silence {
        Silence {
            id,
            matchers: self.matchers,
            starts_at,
            ends_at: self.ends_at,
            updated_at: now,
            created_by: self.created_by,
            comment: self.comment,
            annotations: self.annotations,
        }
    }
}

/// All silences that are pending, active, or expired for less than `RETENTION`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Silences {
    by_id: BTreeMap<String, Silence>,
}

impl Silences {
    pub fn from_records(records: Vec<Silence>) -> Silences {
        Silences { by_id: records.into_iter().map(|silence| (silence.id.clone(), silence)).collect() }
    }

    /// Creates or changes a silence. Returns every silence that changed; the one asked for stands last.
    ///
    /// A silence is changed in place only where that does not rewrite what it has muted: its matchers stay, an active one keeps
    /// its start and ends in the future, a pending one starts in the future. Otherwise it expires now and a new one begins.
    /// Source: Alertmanager `silence.Set`.
    pub fn set(&mut self, request: SilenceRequest, limit: usize, now: Timestamp) -> Result<Vec<Silence>, BadSilence> {
        let known = match &request.id {
            Some(id) => Some(self.by_id.get(id).ok_or(BadSilence::NotFound)?.clone()),
            None => None,
        };
        request.check(now)?;
        let starts_at = request.starts_at.unwrap_or(now);
        let mut changed = Vec::new();
        if let Some(known) = known {
            let same_matchers = known.matchers == request.matchers;
            let in_place = same_matchers
                && match known.state(now) {
                    // Clients cut times to seconds.
                    SilenceState::Active => starts_at.0.div_euclid(1000) == known.starts_at.0.div_euclid(1000),
                    SilenceState::Pending => starts_at >= now,
                    SilenceState::Expired => false,
                };
            if in_place {
                let silence = request.into_silence(known.id, starts_at, now);
                self.by_id.insert(silence.id.clone(), silence.clone());
                return Ok(vec![silence]);
            }
            self.check_room(&request.new_id, limit)?;
            changed.extend(self.expire(&known.id, now)?);
        } else {
            self.check_room(&request.new_id, limit)?;
        }
        let id = request.new_id.clone();
        let silence = request.into_silence(id.clone(), starts_at.max(now), now);
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
    pub fn expire(&mut self, id: &str, now: Timestamp) -> Result<Option<Silence>, BadSilence> {
        let silence = self.by_id.get_mut(id).ok_or(BadSilence::NotFound)?;
        match silence.state(now) {
            SilenceState::Expired => return Ok(None),
            SilenceState::Active => {}
            SilenceState::Pending => silence.starts_at = now,
        }
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

/// Matchers in records: the form of Alertmanager's API, `{name, value, isRegex, isEqual}`.
mod matcher_form {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::{SerializeSeq, Serializer};

    use super::{Matcher, MatcherForm};

    pub fn serialize<S: Serializer>(matchers: &[Matcher], serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(matchers.len()))?;
        for matcher in matchers {
            list.serialize_element(&MatcherForm::from(matcher))?;
        }
        list.end()
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Matcher>, D::Error> {
        let forms = Vec::<MatcherForm>::deserialize(deserializer)?;
        forms.into_iter().map(|form| form.into_matcher().map_err(D::Error::custom)).collect()
    }
}

/// A matcher as Alertmanager's API writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MatcherForm {
    pub name: String,
    pub value: String,
    pub is_regex: bool,
    #[serde(default = "is_equal_unless_told")]
    pub is_equal: bool,
}

fn is_equal_unless_told() -> bool {
    true
}

impl From<&Matcher> for MatcherForm {
    fn from(matcher: &Matcher) -> MatcherForm {
        let (is_regex, is_equal) = match matcher.op {
            MatchOp::Equal => (false, true),
            MatchOp::NotEqual => (false, false),
            MatchOp::Regex => (true, true),
            MatchOp::NotRegex => (true, false),
        };
        MatcherForm { name: matcher.name.clone(), value: matcher.value.clone(), is_regex, is_equal }
    }
}

impl MatcherForm {
    /// Returns the matcher, with its expression compiled.
    pub fn into_matcher(self) -> Result<Matcher, BadRegex> {
        let op = match (self.is_regex, self.is_equal) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
        };
        Matcher::new(self.name, op, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp(second * 1000)
    }

    fn request(id: Option<&str>, new_id: &str, starts: Option<i64>, ends: i64) -> SilenceRequest {
        SilenceRequest {
            id: id.map(str::to_owned),
            new_id: new_id.to_owned(),
            matchers: vec![Matcher::equal("a", "b")],
            starts_at: starts.map(at),
            ends_at: at(ends),
            created_by: "ada".to_owned(),
            comment: "planned".to_owned(),
            annotations: BTreeMap::new(),
        }
    }

    fn set(silences: &mut Silences, request: SilenceRequest, now: i64) -> Result<Vec<(String, i64, i64)>, BadSilence> {
        let changed = silences.set(request, 3, at(now))?;
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
        assert!(silences.expire("one", at(20)).unwrap().is_some());
        assert!(silences.expire("one", at(21)).unwrap().is_none());
        assert_eq!(silences.get("one").unwrap().state(at(20)), SilenceState::Expired);
        assert_eq!(set(&mut silences, request(Some("one"), "two", Some(10), 90), 30).unwrap(), [triple("two", 30, 90)]);
        assert_eq!(silences.next_deadline(), Some(at(20) + RETENTION));
        assert!(silences.forget(at(20) + RETENTION - Span(1)).is_empty());
        assert_eq!(silences.forget(at(20) + RETENTION), ["one"]);
        assert_eq!(silences.expire("one", at(20)), Err(BadSilence::NotFound));
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
            ..request(None, "one", None, 9).into_silence("one".to_owned(), at(1), at(1))
        };
        let text = serde_json::to_string(&silence).unwrap();
        assert!(text.contains(r#"{"name":"a","value":"b.*","isRegex":true,"isEqual":false}"#), "{text}");
        assert_eq!(serde_json::from_str::<Silence>(&text).unwrap(), silence);
    }
}
