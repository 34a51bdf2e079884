//! Silences as people make and end them, and those that end by themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::matcher::all_match;
use crate::model::{Fingerprint, LabelSet, Matcher};
use crate::route::alert::Alert;
use crate::route::silence::{BadSilence, EndedWhy, Reach, Silence, SilenceRequest, SilenceState, Silencing, Terms};
use crate::time::{Span, Timestamp};

use super::{Plane, Refused, Reply};

/// Of so many silences people are reminded at a time.
const REMINDERS_MAX: usize = 100;

/// The alerts for which silences wait that end with them. Not stored: after a start it is looked anew.
pub(super) type Waiting = BTreeMap<String, BTreeSet<Fingerprint>>;

/// A silence that ends soon although alerts fire under it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reminder {
    pub silence: Silence,
    /// How many alerts fire under it.
    pub firing: usize,
}

impl Plane {
    pub(super) fn set_silence(&mut self, request: SilenceRequest, now: Timestamp) -> Result<Reply, Refused> {
        let mut silences = std::mem::take(&mut self.silences);
        let changed = silences.set(request, self.limits.silences, |request, terms| self.allow(request, terms, now), now);
        self.silences = silences;
        let changed = changed?;
        let id = changed.last().map(|silence| silence.id.clone()).unwrap_or_default();
        for silence in &changed {
            // Its matchers may be others now.
            self.waiting.remove(&silence.id);
        }
        self.unsaved.silences.extend(changed.into_iter().map(|silence| silence.id));
        Ok(Reply::Silence { id })
    }

    fn allow(&self, request: &SilenceRequest, terms: &Terms, now: Timestamp) -> Result<(), BadSilence> {
        let starts_at = request.starts_at.unwrap_or(now).max(now);
        let faults = self.silence_faults(&request.matchers, terms, request.ends_at.since(starts_at), now);
        if !faults.is_empty() {
            return Err(BadSilence::AgainstPolicy { faults });
        }
        if terms.until_resolved && self.silenceable(&request.matchers, now).next().is_none() {
            return Err(BadSilence::NothingToWaitFor);
        }
        Ok(())
    }

    /// Returns all that the configuration has against a silence that begins now or later and lasts for so long, for people.
    pub fn silence_faults(&self, matchers: &[Matcher], terms: &Terms, lasts: Span, now: Timestamp) -> Vec<String> {
        let silencing = &self.routing.silencing;
        let muted = if silencing.most.is_some() { self.silenceable(matchers, now).count() } else { 0 };
        silencing.faults(Reach { matchers, lasts, is_recurring: !terms.times.is_empty(), muted })
    }

    /// Returns the firing alerts that a silence with these matchers would mute, in order of fingerprint.
    pub fn silenceable(&self, matchers: &[Matcher], now: Timestamp) -> impl Iterator<Item = &Alert> {
        self.firing(now).filter(move |alert| all_match(matchers, &alert.labels) && !self.routing.silencing.spares(&alert.labels))
    }

    /// Returns those of several silences that mute an alert with these labels.
    pub(super) fn muting<'a>(
        &self,
        silences: impl IntoIterator<Item = &'a Silence>,
        labels: &LabelSet,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Silence> {
        let mut muting = silences.into_iter().filter(move |silence| silence.mutes(labels, now)).peekable();
        let is_spared = muting.peek().is_some() && self.is_spared(labels);
        muting.filter(move |_| !is_spared)
    }

    /// Returns how far silences may reach.
    pub fn silencing(&self) -> &Silencing {
        &self.routing.silencing
    }

    /// Returns whether no silence mutes an alert with these labels, as the configuration has it.
    pub fn is_spared(&self, labels: &LabelSet) -> bool {
        self.routing.silencing.spares(labels)
    }

    pub(super) fn expire_silence(&mut self, id: &str, by: Option<String>, now: Timestamp) -> Result<Reply, Refused> {
        if self.silences.expire(id, EndedWhy::Person, by, now)?.is_some() {
            self.unsaved.silences.insert(id.to_owned());
        }
        Ok(Reply::Done)
    }

    /// Ends the silences that wait for their alerts to end, where these have.
    pub(super) fn end_resolved_silences(&mut self, now: Timestamp) {
        let waits = |silence: &&Silence| silence.terms.until_resolved && silence.state(now) == SilenceState::Active;
        let waiting: Vec<String> = self.silences.iter().filter(waits).map(|silence| silence.id.clone()).collect();
        self.waiting.retain(|id, _| waiting.contains(id));
        for id in waiting {
            let mut alerts = self.waiting.remove(&id).unwrap_or_default();
            while alerts.first().is_some_and(|first| !self.is_firing(*first, now)) {
                alerts.pop_first();
            }
            // Others may have begun meanwhile; that is looked at once all known ones have ended, and not at every tick.
            if alerts.is_empty()
                && let Some(silence) = self.silences.get(&id)
            {
                alerts = self.silenceable(&silence.matchers, now).map(|alert| alert.fingerprint).collect();
            }
            if alerts.is_empty() {
                // One that is listed can be ended.
                if let Ok(Some(_)) = self.silences.expire(&id, EndedWhy::Resolved, None, now) {
                    self.unsaved.silences.insert(id);
                }
            } else {
                self.waiting.insert(id, alerts);
            }
        }
    }

    /// Returns when an alert ends for which a silence waits, unless there is news of it before.
    pub(super) fn next_silence_end(&self) -> Option<Timestamp> {
        let first = |alerts: &BTreeSet<Fingerprint>| Some(self.alerts.get(alerts.first()?)?.ends_at);
        self.waiting.values().filter_map(first).min()
    }

    /// Returns the silences that end soon although alerts fire under them, those that end first before the others; as many as people
    /// can be reminded of. `silencing.remind` says how soon that is.
    pub fn reminders(&self, now: Timestamp) -> Vec<Reminder> {
        let Some(remind) = self.routing.silencing.remind else { return Vec::new() };
        let mut ending = self.silences.active(now);
        ending.retain(|silence| silence.ends_at <= now + remind);
        ending.sort_by_key(|silence| (silence.ends_at, silence.id.clone()));
        let reminder = |silence: &Silence| {
            let firing = self.silenceable(&silence.matchers, now).filter(|alert| silence.mutes(&alert.labels, now)).count();
            (firing > 0).then(|| Reminder { silence: silence.clone(), firing })
        };
        ending.into_iter().take(REMINDERS_MAX).filter_map(reminder).collect()
    }
}
