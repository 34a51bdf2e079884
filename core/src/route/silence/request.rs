//! Wishes for silences, and why they are refused.

use std::collections::BTreeMap;

use crate::model::Matcher;
use crate::route::time_interval::{TimeInterval, next_turn};
use crate::time::Timestamp;

use super::{Silence, Terms};

const MATCHERS_MAX: usize = 100;
const TEXT_BYTES_MAX: usize = 64 << 10;
const TIMES_MAX: usize = 200;

/// A wish to create a silence, or to change the one called `id`.
#[derive(Clone, Debug, PartialEq)]
pub struct SilenceRequest {
    pub id: Option<String>,
    /// When the silence that is changed had changed last, as whoever wishes it has seen it; None: it does not matter.
    pub seen_at: Option<Timestamp>,
    /// The id that a new silence gets; thrown by the edge.
    pub new_id: String,
    pub matchers: Vec<Matcher>,
    /// None: now.
    pub starts_at: Option<Timestamp>,
    pub ends_at: Timestamp,
    pub created_by: String,
    /// Who wishes it, as they had signed in. A silence that is changed keeps the owner that it has.
    pub owner: Option<String>,
    pub comment: String,
    pub annotations: BTreeMap<String, String>,
    /// None: as the silence that is changed has them; a new one has none.
    pub terms: Option<Terms>,
}

/// Why a silence is refused; where Alertmanager has a text, it is the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSilence {
    #[error("silence not found")]
    NotFound,
    #[error("the silence has changed since you saw it, at {at}; look again")]
    Changed { at: Timestamp },
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
    #[error("a silence names at most {TIMES_MAX} times, days, months and years")]
    TooManyTimes,
    #[error("a silence until its alerts are resolved begins at once and has no times; leave one of both away")]
    WaitsLater,
    #[error("no alert fires that the silence mutes, so it has nothing to wait for; let it end at a time")]
    NothingToWaitFor,
    #[error("none of the silence's times lies between its start and its end")]
    NeverItsTime,
    #[error("this is not allowed here: {}", .faults.join("; "))]
    AgainstPolicy { faults: Vec<String> },
}

impl SilenceRequest {
    pub(super) fn check(&self, terms: &Terms, now: Timestamp) -> Result<(), BadSilence> {
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
        let starts_at = self.starts_at.unwrap_or(now);
        if self.ends_at <= starts_at {
            return Err(BadSilence::EndsBeforeStart);
        }
        if self.ends_at < now {
            return Err(BadSilence::EndsInPast);
        }
        self.check_terms(terms, starts_at.max(now), now)
    }

    fn check_terms(&self, terms: &Terms, starts_at: Timestamp, now: Timestamp) -> Result<(), BadSilence> {
        let Terms { until_resolved, times } = terms;
        let count = |interval: &TimeInterval| {
            let TimeInterval { times, weekdays, days_of_month, months, years, location: _ } = interval;
            1 + times.len() + weekdays.len() + days_of_month.len() + months.len() + years.len()
        };
        if times.iter().map(count).sum::<usize>() > TIMES_MAX {
            return Err(BadSilence::TooManyTimes);
        }
        if *until_resolved && (starts_at > now || !times.is_empty()) {
            return Err(BadSilence::WaitsLater);
        }
        if !terms.is_time(starts_at) && next_turn(times, starts_at).is_none_or(|turn| turn >= self.ends_at) {
            return Err(BadSilence::NeverItsTime);
        }
        Ok(())
    }

    pub(super) fn into_silence(
        self,
        id: String,
        owner: Option<String>,
        terms: Terms,
        starts_at: Timestamp,
        now: Timestamp,
    ) -> Silence {
        Silence {
            id,
            matchers: self.matchers,
            starts_at,
            ends_at: self.ends_at,
            updated_at: now,
            created_by: self.created_by,
            owner,
            comment: self.comment,
            annotations: self.annotations,
            terms,
            ended: None,
        }
    }
}
