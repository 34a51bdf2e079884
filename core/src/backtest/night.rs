//! Which instants lie in the night of those who are told.

use chrono::{DateTime, NaiveDate, Timelike};
use chrono_tz::Tz;

use crate::time::Timestamp;

const BEGINS: u32 = 22;
const ENDS: u32 = 7;

/// The nights of a time zone: from 22:00 to 7:00 on its clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Night {
    zone: Tz,
}

impl Default for Night {
    fn default() -> Night {
        Night { zone: Tz::UTC }
    }
}

impl Night {
    /// Returns the nights of a zone; None: there is no zone of this name, such as `Europe/Berlin`.
    pub fn of(zone: &str) -> Option<Night> {
        zone.parse().ok().map(|zone| Night { zone })
    }

    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    fn local(&self, at: Timestamp) -> Option<DateTime<Tz>> {
        at.to_utc().map(|utc| utc.with_timezone(&self.zone))
    }

    /// Returns the day on which the night began that an instant lies in; None: it lies in none.
    pub fn night_of(&self, at: Timestamp) -> Option<NaiveDate> {
        let local = self.local(at)?.naive_local();
        match local.hour() {
            hour if hour >= BEGINS => Some(local.date()),
            hour if hour < ENDS => local.date().pred_opt(),
            _ => None,
        }
    }

    /// Returns an instant on the clocks of the zone, such as `2026-11-22 02:30:15`.
    pub fn clock(&self, at: Timestamp) -> String {
        match self.local(at) {
            Some(local) => local.format("%Y-%m-%d %H:%M:%S").to_string(),
            None => at.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_goes_by_the_clocks_of_its_zone_and_over_midnight() {
        let at = |text: &str| Timestamp::parse_rfc3339(text).expect("an instant");
        let berlin = Night::of("Europe/Berlin").expect("a zone");
        assert_eq!(Night::of("Europe/Atlantis"), None);
        let night = |text: &str| berlin.night_of(at(text)).map(|day| day.to_string());
        assert_eq!(night("2026-11-21T20:59:59Z"), None);
        assert_eq!(night("2026-11-21T21:00:00Z").as_deref(), Some("2026-11-21"));
        assert_eq!(night("2026-11-22T05:59:59Z").as_deref(), Some("2026-11-21"));
        assert_eq!(night("2026-11-22T06:00:00Z"), None);
        assert_eq!(
            Night::default().night_of(at("2026-11-22T06:00:00Z")).map(|day| day.to_string()).as_deref(),
            Some("2026-11-21")
        );
        // In summer the clocks are an hour further.
        assert_eq!(night("2026-07-21T20:00:00Z").as_deref(), Some("2026-07-21"));
        assert_eq!(berlin.clock(at("2026-11-21T21:00:00Z")), "2026-11-21 22:00:00");
    }
}
