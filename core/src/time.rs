//! Time as data: instants, spans, and their text forms. Nothing here reads a clock.

use std::fmt;
use std::ops::{Add, Sub};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// An instant: milliseconds since 1970-01-01T00:00:00Z, leap seconds ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A signed length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub i64);

impl Timestamp {
    /// Earlier than every instant that a sample can carry.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// Later than every instant that a sample can carry.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// Returns the instant `seconds` after the epoch, rounded to the nearest millisecond.
    ///
    /// Errors: `None` when the number is not finite or lies beyond the range of milliseconds.
    pub fn from_seconds(seconds: f64) -> Option<Timestamp> {
        let ms = (seconds * 1000.0).round();
        (ms.is_finite() && ms.abs() < 9.2e18).then_some(Timestamp(ms as i64))
    }

    /// Returns seconds since the epoch.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Returns the calendar form in UTC; `None` beyond the calendar's range.
    pub fn to_utc(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.0)
    }

    /// Returns RFC 3339 text in UTC with milliseconds, such as `2026-11-21T03:14:15.926Z`.
    ///
    /// Instants beyond the calendar's range are cut to its ends.
    pub fn rfc3339(self) -> String {
        self.to_utc()
            .unwrap_or(if self.0 < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC })
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// Reads RFC 3339 text; any offset is accepted and folded into UTC.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        DateTime::parse_from_rfc3339(text).ok().map(|at| Timestamp(at.timestamp_millis()))
    }

    /// Returns the instant `span` later, held at the ends of the range.
    pub fn saturating_add(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }

    /// Returns how long after `earlier` this instant lies; negative when it lies before.
    pub fn since(self, earlier: Timestamp) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Timestamp {
    type Output = Timestamp;
    fn add(self, span: Span) -> Timestamp {
        self.saturating_add(span)
    }
}

impl Add for Span {
    type Output = Span;

    fn add(self, more: Span) -> Span {
        Span(self.0.saturating_add(more.0))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Timestamp;
    fn sub(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_sub(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Span;
    fn sub(self, earlier: Timestamp) -> Span {
        self.since(earlier)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSpan {
    #[error("empty duration string")]
    Empty,
    #[error(
        "not a valid duration string: {0:?}; write a number and a unit (ms, s, m, h, d, w, y), largest unit first, such as 1h30m"
    )]
    Malformed(String),
    #[error("duration out of range: {0:?}")]
    TooLong(String),
}

const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3600 * 1000),
    ("w", 7 * 24 * 3600 * 1000),
    ("d", 24 * 3600 * 1000),
    ("h", 3600 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// Go's `time.Duration` holds this many milliseconds; Prometheus refuses more.
const MAX_SPAN_MS: i64 = i64::MAX / 1_000_000;

impl Span {
    pub const ZERO: Span = Span(0);

    pub const fn from_secs(seconds: i64) -> Span {
        Span(seconds * 1000)
    }

    pub const fn from_mins(minutes: i64) -> Span {
        Span(minutes * 60_000)
    }

    /// Returns the length in seconds.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Returns the length for a timer; a negative span becomes zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.max(0) as u64)
    }

    /// Reads Prometheus' duration text: `5m`, `1h30m`, `0`, units y w d h m s ms, largest first, each at most once.
    ///
    /// Source: prometheus/common `model.ParseDuration`.
    pub fn parse(text: &str) -> Result<Span, BadSpan> {
        let malformed = || BadSpan::Malformed(text.to_owned());
        if text.is_empty() {
            return Err(BadSpan::Empty);
        }
        if text == "0" {
            return Ok(Span(0));
        }
        let (mut rest, mut unit_floor, mut total) = (text, 0, 0i64);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let letters = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
            let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
            let index = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(malformed)?;
            if digits == 0 || index < unit_floor {
                return Err(malformed());
            }
            unit_floor = index + 1;
            total = number
                .parse::<i64>()
                .ok()
                .and_then(|n| n.checked_mul(UNITS[index].1))
                .and_then(|ms| total.checked_add(ms))
                .filter(|ms| *ms <= MAX_SPAN_MS)
                .ok_or_else(|| BadSpan::TooLong(text.to_owned()))?;
            rest = &rest[digits + letters..];
        }
        Ok(Span(total))
    }
}

impl fmt::Display for Span {
    /// Writes the shortest exact form, as Prometheus does: weeks and years only when they divide the span.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.0.unsigned_abs();
        for (name, ms) in UNITS {
            let ms = ms as u64;
            let whole_only = matches!(name, "y" | "w");
            if rest >= ms && (!whole_only || rest.is_multiple_of(ms)) {
                write!(f, "{}{name}", rest / ms)?;
                rest %= ms;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_prometheus_does() {
        for (text, ms, printed) in [
            ("0", 0, "0s"),
            ("324ms", 324, "324ms"),
            ("5m", 300_000, "5m"),
            ("90m", 5_400_000, "1h30m"),
            ("4d1h", 349_200_000, "4d1h"),
            ("14d", 1_209_600_000, "2w"),
            ("8d", 691_200_000, "8d"),
            ("1y", 31_536_000_000, "1y"),
        ] {
            let span = Span::parse(text).unwrap();
            assert_eq!((span.0, span.to_string().as_str()), (ms, printed), "{text}");
        }
        for bad in ["", "1", "5x", "-5m", "1m1h", "1.5h", "5m5m", "300000000y", "5 m"] {
            assert!(Span::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn instants_round_trip_through_rfc3339() {
        let at = Timestamp(1_795_231_655_926);
        assert_eq!(Timestamp::parse_rfc3339(&at.rfc3339()), Some(at));
        assert_eq!(Timestamp::parse_rfc3339("2026-11-21T04:00:00+01:00"), Timestamp::parse_rfc3339("2026-11-21T03:00:00Z"));
    }
}
