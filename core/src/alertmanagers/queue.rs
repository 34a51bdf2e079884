//! What waits for one Alertmanager: reports in their order, in batches, again after a failure for as long as they are news.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::RESOLVED_RETENTION;
use crate::model::Fingerprint;
use crate::route::retry::{Class, MENDING_WAIT};
use crate::time::{Span, Timestamp};

use super::Report;

/// Reports that wait for one Alertmanager; beyond it the oldest is dropped.
pub const QUEUE_MAX: usize = 10_000;
/// Reports of one request.
pub const BATCH_MAX: usize = 256;
/// The first wait after a failure; each later one is twice as long, …
const WAIT_MIN: Span = Span::from_secs(1);
/// … up to this one, so that an Alertmanager that comes back hears soon.
const WAIT_MAX: Span = Span::from_secs(10);
/// A server's own wish is heeded up to here.
const WISH_MAX: Span = Span::from_mins(1);
/// What the server says when a request is too long for it.
const TOO_LARGE: u16 = 413;

/// What tells one occurrence of an alert from others.
type Occurrence = (Fingerprint, Timestamp);

/// What waits for an Alertmanager.
#[derive(Debug)]
pub struct Queue {
    /// By order: what is put back has the lowest numbers.
    waiting: BTreeMap<i64, Arc<Report>>,
    /// Where an occurrence waits. A later report of it takes its place, so that nobody is told what no longer holds.
    places: BTreeMap<Occurrence, i64>,
    under_way: Vec<Arc<Report>>,
    batch_max: usize,
    /// Since the last success.
    failures: u32,
    not_before: Timestamp,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue {
            waiting: BTreeMap::new(),
            places: BTreeMap::new(),
            under_way: Vec::new(),
            batch_max: BATCH_MAX,
            failures: 0,
            not_before: Timestamp(i64::MIN),
        }
    }
}

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing waits.
    Rest,
    /// Nothing may be tried before this instant.
    Wait(Timestamp),
    /// Tell these; `settle` must follow.
    Post(Vec<Arc<Report>>),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Answered {
        status: u16,
        /// The server's header Retry-After.
        wish: Option<Span>,
    },
    /// There was no answer.
    Lost,
}

/// What a request came to, in reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    pub sent: usize,
    /// Tried, and not taken.
    pub failed: usize,
    /// Of these, given up: the same would be refused again, or there is no room to wait.
    pub dropped: usize,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns what waits, in its order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Report>> {
        self.waiting.values()
    }

    /// Adds a report; returns how many were dropped for want of room.
    pub fn put(&mut self, report: Arc<Report>) -> usize {
        let occurrence = occurrence(&report);
        if let Some(waiting) = self.places.get(&occurrence).and_then(|place| self.waiting.get_mut(place)) {
            *waiting = report;
            return 0;
        }
        let place = self.waiting.last_key_value().map_or(0, |(last, _)| last + 1);
        self.insert(place, occurrence, report);
        self.make_room()
    }

    /// Gives up what is no longer news; returns how much that was. What fired holds until its end; an end is told for 15 minutes.
    pub fn forget_outdated(&mut self, now: Timestamp) -> usize {
        let outdated: Vec<i64> =
            self.waiting.iter().filter(|(_, report)| !is_news(report, now)).map(|(place, _)| *place).collect();
        for place in &outdated {
            self.remove(*place);
        }
        outdated.len()
    }

    /// Returns what to do now.
    pub fn next(&mut self, now: Timestamp) -> Step {
        assert!(self.under_way.is_empty(), "one request at a time");
        if self.waiting.is_empty() {
            return Step::Rest;
        }
        // A wait that the clock was stepped back from is not waited for twice.
        if self.not_before > now && self.not_before.since(now) <= MENDING_WAIT.max(WISH_MAX) {
            return Step::Wait(self.not_before);
        }
        let places: Vec<i64> = self.waiting.keys().take(self.batch_max).copied().collect();
        self.under_way = places.into_iter().filter_map(|place| self.remove(place)).collect();
        Step::Post(self.under_way.clone())
    }

    /// Takes note of how the request ended. `spread`: from 0 to 1, so that many do not come back at once.
    pub fn settle(&mut self, verdict: Verdict, spread: f64, now: Timestamp) -> Settled {
        let count = self.under_way.len();
        let (class, wish) = match verdict {
            Verdict::Answered { status: TOO_LARGE, .. } if count > 1 => {
                self.batch_max = count / 2;
                return Settled { sent: 0, failed: count, dropped: self.resume() };
            }
            // Alertmanager takes what it can of a request and answers 400 for the rest.
            Verdict::Answered { status, wish } => (crate::route::retry::class(status), wish),
            Verdict::Lost => (Class::Retry, None),
        };
        match class {
            Class::Delivered => {
                self.under_way.clear();
                (self.failures, self.not_before) = (0, now);
                Settled { sent: count, ..Settled::default() }
            }
            Class::Rejected => {
                self.under_way.clear();
                (self.failures, self.not_before) = (0, now);
                Settled { sent: 0, failed: count, dropped: count }
            }
            Class::Retry | Class::Mendable => {
                let doubled = Span(WAIT_MIN.0 << self.failures.min(16)).min(WAIT_MAX);
                let wait = if class == Class::Mendable { MENDING_WAIT } else { doubled };
                let moved = Span(wait.0 - (wait.0 as f64 * 0.25 * spread.clamp(0.0, 1.0)).round() as i64);
                self.failures = self.failures.saturating_add(1);
                self.not_before = now + moved.max(wish.unwrap_or(Span::ZERO).min(WISH_MAX));
                Settled { sent: 0, failed: count, dropped: self.resume() }
            }
        }
    }

    /// Returns how many requests in a row have failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Puts back what was under way, before all else; returns how much of it found no room.
    pub fn resume(&mut self) -> usize {
        for report in std::mem::take(&mut self.under_way).into_iter().rev() {
            let occurrence = occurrence(&report);
            // What has come of it meanwhile is newer.
            if !self.places.contains_key(&occurrence) {
                let place = self.waiting.first_key_value().map_or(0, |(first, _)| first - 1);
                self.insert(place, occurrence, report);
            }
        }
        self.make_room()
    }

    fn insert(&mut self, place: i64, occurrence: Occurrence, report: Arc<Report>) {
        self.waiting.insert(place, report);
        self.places.insert(occurrence, place);
    }

    fn remove(&mut self, place: i64) -> Option<Arc<Report>> {
        let report = self.waiting.remove(&place)?;
        self.places.remove(&occurrence(&report));
        Some(report)
    }

    fn make_room(&mut self) -> usize {
        let mut dropped = 0;
        while self.waiting.len() > QUEUE_MAX
            && let Some((oldest, _)) = self.waiting.first_key_value().map(|(place, report)| (*place, report.clone()))
        {
            self.remove(oldest);
            dropped += 1;
        }
        dropped
    }
}

fn occurrence(report: &Report) -> Occurrence {
    (report.labels.fingerprint(), report.starts_at)
}

fn is_news(report: &Report, now: Timestamp) -> bool {
    if report.is_over { now.since(report.ends_at) <= RESOLVED_RETENTION } else { now < report.ends_at }
}
