//! Schedules: five-field crontabs in a named zone, and what becomes of instants that were missed.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::time::{Span, Timestamp};

/// An instant that is this late still counts as met.
pub const LATE_MAX: Span = Span::from_secs(60);
/// After a long absence no more than this many missed instants are told, the newest.
pub const MISSED_MAX: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Minute, hour, day of the month, month, day of the week (0 and 7 are Sunday).
    pub cron: String,
    /// The name of a zone, such as `Europe/Paris`.
    pub tz: String,
    pub missed: Missed,
    /// An instant that is no later than this counts as met; none: `LATE_MAX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
    /// Each instant comes later by a part of this that is its own, so that nobody can rely on the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Span>,
}

/// What becomes of instants that passed while nobody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    Skip,
    /// Run once, for the newest of them.
    RunOnce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FireOutcome {
    Run,
    Skipped,
}

/// An instant of a schedule that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fire {
    pub due: Timestamp,
    pub outcome: FireOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    #[error("cannot read the crontab {cron:?}: {reason}; write five fields: minute, hour, day, month, weekday")]
    Cron { cron: String, reason: String },
    #[error("there is no time zone {0:?}; write a name such as Europe/Paris or UTC")]
    Zone(String),
    #[error("the crontab {0:?} never comes due")]
    Never(String),
}

impl Schedule {
    /// Returns the faults of the texts; a schedule without any can be asked for instants.
    pub fn check(&self, now: Timestamp) -> Vec<BadSchedule> {
        let mut faults = Vec::new();
        let cron = self.read_cron().map_err(|bad| faults.push(bad));
        let zone = self.zone().map_err(|bad| faults.push(bad));
        if let (Ok(cron), Ok(zone)) = (cron, zone)
            && next_of(&cron, zone, now).is_none()
        {
            faults.push(BadSchedule::Never(self.cron.clone()));
        }
        faults
    }

    fn read_cron(&self) -> Result<Cron, BadSchedule> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        parser.parse(&self.cron).map_err(|error| BadSchedule::Cron { cron: self.cron.clone(), reason: error.to_string() })
    }

    fn zone(&self) -> Result<Tz, BadSchedule> {
        // `Local` is no zone: results must not hang on the machine.
        Tz::from_str(&self.tz).map_err(|_| BadSchedule::Zone(self.tz.clone()))
    }

    /// Returns the first instant of the schedule behind `after`; none when there is none, or when the texts are at fault.
    ///
    /// Shape: an hour that daylight saving leaves out runs when the clocks have jumped; one that comes twice runs once.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        next_of(&self.read_cron().ok()?, self.zone().ok()?, after)
    }

    /// Returns when an instant of the schedule comes, its jitter counted in.
    pub fn comes_at(&self, due: Timestamp) -> Timestamp {
        let Some(jitter) = self.jitter.filter(|jitter| *jitter > Span::ZERO) else { return due };
        let hash = Sha256::digest(format!("{}\n{}\n{}", self.cron, self.tz, due.0));
        let number = u64::from_be_bytes(hash[..8].try_into().expect("a hash is longer than that"));
        due + Span((number % jitter.0 as u64) as i64)
    }

    /// Returns the instants behind `last` that have come, oldest first, each with what becomes of it.
    ///
    /// Shape: at most `MISSED_MAX` missed ones; each is to be recorded, so that the next call begins behind it.
    pub fn due(&self, last: Timestamp, now: Timestamp) -> Vec<Fire> {
        let (Ok(cron), Ok(zone)) = (self.read_cron(), self.zone()) else { return Vec::new() };
        let mut reach = Span::from_mins(MISSED_MAX as i64);
        // A wider and wider look back, so that neither a long absence nor a rare instant costs much.
        let dues = loop {
            let from = last.max(now - reach);
            let mut dues: Vec<Timestamp> = std::iter::successors(next_of(&cron, zone, from), |at| next_of(&cron, zone, *at))
                .take_while(|at| self.comes_at(*at) <= now)
                .collect();
            if from == last || dues.len() > MISSED_MAX {
                break dues.split_off(dues.len().saturating_sub(MISSED_MAX + 1));
            }
            reach = Span(reach.0.saturating_mul(4));
        };
        let newest = dues.last().copied();
        dues.into_iter()
            .map(|due| {
                let met = now - self.comes_at(due) <= self.window.unwrap_or(LATE_MAX).max(LATE_MAX);
                let runs = Some(due) == newest && (met || self.missed == Missed::RunOnce);
                Fire { due, outcome: if runs { FireOutcome::Run } else { FireOutcome::Skipped } }
            })
            .collect()
    }
}

fn next_of(cron: &Cron, zone: Tz, after: Timestamp) -> Option<Timestamp> {
    let local: DateTime<Tz> = after.to_utc()?.with_timezone(&zone);
    let next = cron.find_next_occurrence(&local, false).ok()?;
    Some(Timestamp(next.with_timezone(&Utc).timestamp_millis())).filter(|next| *next > after)
}
