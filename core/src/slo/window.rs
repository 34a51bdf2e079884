//! The window of an objective: the last so many days, or a period of the calendar.

use std::fmt;

use chrono::{Days, LocalResult, Months, NaiveDateTime, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::time::{Span, Timestamp};

/// A count and a unit, such as `4w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shorthand {
    pub count: u32,
    pub unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// Counts above this are refused: the calendar ends somewhere.
const COUNT_MAX: u32 = 100_000;

impl Shorthand {
    /// Reads OpenSLO's duration shorthand: a whole number and one of `m h d w M Q Y`.
    pub fn parse(text: &str) -> Option<Shorthand> {
        let unit = match text.chars().next_back()? {
            'm' => Unit::Minute,
            'h' => Unit::Hour,
            'd' => Unit::Day,
            'w' => Unit::Week,
            'M' => Unit::Month,
            'Q' => Unit::Quarter,
            'Y' => Unit::Year,
            _ => return None,
        };
        let digits = &text[..text.len() - 1];
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        let count = digits.parse().ok().filter(|count| plain && *count <= COUNT_MAX)?;
        Some(Shorthand { count, unit })
    }

    /// Returns the length where no calendar says better: a month has 30 days, a quarter 90, a year 365.
    pub fn span(self) -> Span {
        const DAY: i64 = 24 * 60;
        let minutes = match self.unit {
            Unit::Minute => 1,
            Unit::Hour => 60,
            Unit::Day => DAY,
            Unit::Week => 7 * DAY,
            Unit::Month => 30 * DAY,
            Unit::Quarter => 90 * DAY,
            Unit::Year => 365 * DAY,
        };
        Span::from_mins(i64::from(self.count) * minutes)
    }
}

/// Over what an objective is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Window {
    Rolling(Span),
    /// Periods that follow each other from `start`, on the clock and calendar of a zone; periods before it exist as well.
    Calendar {
        length: Shorthand,
        start: NaiveDateTime,
        zone: Tz,
    },
}

impl fmt::Display for Window {
    /// Writes the window for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Window::Rolling(span) => write!(f, "{span}"),
            Window::Calendar { length: Shorthand { count, unit }, zone, .. } => {
                let unit = match unit {
                    Unit::Minute => "minute",
                    Unit::Hour => "hour",
                    Unit::Day => "day",
                    Unit::Week => "week",
                    Unit::Month => "month",
                    Unit::Quarter => "quarter",
                    Unit::Year => "year",
                };
                if *count == 1 { write!(f, "each {unit}, {zone}") } else { write!(f, "each {count} {unit}s, {zone}") }
            }
        }
    }
}

/// From when to when: the start is left out, the end belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Bounds {
    pub fn span(self) -> Span {
        self.to.since(self.from)
    }
}

impl Window {
    /// Returns the window that an instant closes, or the whole period of the calendar in which it lies.
    ///
    /// An instant at which two periods meet belongs to the later one. Beyond the range of the calendar the window is a rolling one.
    pub fn bounds(&self, at: Timestamp) -> Bounds {
        match self {
            Window::Rolling(span) => Bounds { from: at - *span, to: at },
            Window::Calendar { length, start, zone } => {
                period(*length, *start, *zone, at).unwrap_or_else(|| Bounds { from: at - length.span(), to: at })
            }
        }
    }

    /// Returns the usual length of the window.
    pub fn span(&self) -> Span {
        match self {
            Window::Rolling(span) => *span,
            Window::Calendar { length, .. } => length.span(),
        }
    }

    /// Returns a length that no window of this kind exceeds.
    pub fn span_max(&self) -> Span {
        match self {
            Window::Rolling(span) => *span,
            // Months have up to 31 days, quarters 92, years 366; a change of the clock adds an hour or two.
            Window::Calendar { length, .. } => Span(length.span().0 + length.span().0 / 28 + Span::from_mins(24 * 60).0),
        }
    }

    pub fn is_rolling(&self) -> bool {
        matches!(self, Window::Rolling(_))
    }
}

fn period(length: Shorthand, start: NaiveDateTime, zone: Tz, at: Timestamp) -> Option<Bounds> {
    let span = length.span().0.max(1);
    let origin = boundary(length, start, zone, 0)?;
    // Periods differ in length, so that the estimate can lie some periods off; each step then comes nearer.
    let mut number = at.since(origin).0.div_euclid(span);
    loop {
        let (from, to) = (boundary(length, start, zone, number)?, boundary(length, start, zone, number + 1)?);
        if at < from {
            number -= ((from.since(at).0 - 1) / (2 * span)).max(0) + 1;
        } else if at >= to {
            number += (at.since(to).0 / (2 * span)) + 1;
        } else {
            return Some(Bounds { from, to });
        }
    }
}

/// Returns when a period begins; `number` counts from the one that begins at `start`.
fn boundary(length: Shorthand, start: NaiveDateTime, zone: Tz, number: i64) -> Option<Timestamp> {
    let count = number.checked_mul(i64::from(length.count))?;
    let days = |days: i64| {
        let by = Days::new(days.unsigned_abs());
        if days < 0 { start.checked_sub_days(by) } else { start.checked_add_days(by) }
    };
    let months = |months: i64| {
        let by = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
        if months < 0 { start.checked_sub_months(by) } else { start.checked_add_months(by) }
    };
    let local = match length.unit {
        // Minutes and hours pass evenly, whatever the clock on the wall does.
        Unit::Minute | Unit::Hour => {
            let minutes = if length.unit == Unit::Hour { count.checked_mul(60)? } else { count };
            return Some(instant(start, zone)? + Span(minutes.checked_mul(60_000)?));
        }
        Unit::Day => days(count)?,
        Unit::Week => days(count.checked_mul(7)?)?,
        Unit::Month => months(count)?,
        Unit::Quarter => months(count.checked_mul(3)?)?,
        Unit::Year => months(count.checked_mul(12)?)?,
    };
    instant(local, zone)
}

/// Returns the instant at which the clock of a zone shows a time: the first of two, and where it skips the time, the instant of
/// the change.
fn instant(local: NaiveDateTime, zone: Tz) -> Option<Timestamp> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) => Some(Timestamp(at.timestamp_millis())),
        LocalResult::Ambiguous(first, _) => Some(Timestamp(first.timestamp_millis())),
        LocalResult::None => {
            // The clock went forward: what it showed before the change tells how far the time lies beyond it.
            let before = zone.from_local_datetime(&local.checked_sub_signed(TimeDelta::hours(3))?).earliest()?;
            let after = zone.from_local_datetime(&local.checked_add_signed(TimeDelta::hours(3))?).earliest()?;
            let (mut low, mut high) = (before.timestamp_millis(), after.timestamp_millis());
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                let shown = zone.timestamp_millis_opt(middle).single()?.naive_local();
                if shown < local { low = middle } else { high = middle }
            }
            Some(Timestamp(high))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_the_specification_has_them() {
        for (text, minutes) in
            [("5m", 5), ("1h", 60), ("4w", 28 * 1440), ("1M", 30 * 1440), ("1Q", 90 * 1440), ("1Y", 365 * 1440)]
        {
            assert_eq!(Shorthand::parse(text).map(Shorthand::span), Some(Span::from_mins(minutes)), "{text}");
        }
        for bad in ["", "m", "1", "01d", "-1d", "1.5h", "1 d", "1s", "1D", "999999d", "1é"] {
            assert_eq!(Shorthand::parse(bad), None, "{bad:?}");
        }
    }
}
