//! Times and days as Alertmanager's files write them.
//!
//! Source: Alertmanager `timeinterval`.

use chrono_tz::Tz;

use super::{InclusiveRange, TimeRange};

pub(crate) const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
pub(super) const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];

const END_OF_DAY: u16 = 24 * 60;

/// Reads a zone by its name.
pub(crate) fn zone(name: &str) -> Result<Tz, String> {
    if name == "Local" {
        return Err("the zone of the machine is not known here; write its name, such as Europe/Berlin, or UTC".to_owned());
    }
    name.parse().map_err(|_| format!("unknown time zone {name}; write a name such as Europe/Berlin or UTC"))
}

/// Reads both ends of a time range; all faults at once.
pub(crate) fn time_range(start: &str, end: &str) -> Result<TimeRange, Vec<String>> {
    if start.is_empty() || end.is_empty() {
        return Err(vec!["both start and end times must be provided, as start_time and end_time".to_owned()]);
    }
    let mut faults = Vec::new();
    let mut minute = |text: &str| {
        let minute = minute_of_day(text);
        if minute.is_none() {
            faults.push(format!(
                "couldn't parse timestamp {text}, invalid format; write hours and minutes such as 09:00, to 24:00"
            ));
        }
        minute
    };
    let (Some(start_minute), Some(end_minute)) = (minute(start), minute(end)) else { return Err(faults) };
    // One that ends before it begins goes over midnight, which Alertmanager does not know.
    if start_minute == end_minute {
        faults.push("start time cannot be equal to end time; write 00:00 and 24:00 for a whole day".to_owned());
    } else if start_minute == END_OF_DAY {
        faults.push("start time cannot be the end of a day; write 00:00 for the next one".to_owned());
    }
    if faults.is_empty() { Ok(TimeRange { start_minute, end_minute }) } else { Err(faults) }
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(hours) || !two_digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    ((hours < 24 && minutes < 60) || (hours == 24 && minutes == 0)).then_some(hours * 60 + minutes)
}

/// Reads `a:b`, or `a` for both ends.
fn ends(text: &str, member: impl Fn(&str) -> Result<i32, String>) -> Result<InclusiveRange, String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [one] => member(one).map(|both| InclusiveRange { begin: both, end: both }),
        [begin, end] => Ok(InclusiveRange { begin: member(begin)?, end: member(end)? }),
        _ => Err(format!("couldn't parse range {text}, invalid format; write begin:end")),
    }
}

pub(crate) fn weekday_range(text: &str) -> Result<InclusiveRange, String> {
    let range = ends(text, |day| {
        let index = WEEKDAYS.iter().position(|name| *name == day);
        index.map(|index| index as i32).ok_or_else(|| format!("{day} is not a valid weekday; write sunday to saturday"))
    })?;
    if range.begin > range.end {
        return Err("start day cannot be before end day; the week begins on sunday, so split the range".to_owned());
    }
    Ok(range)
}

pub(crate) fn day_range(text: &str) -> Result<InclusiveRange, String> {
    let range =
        ends(text, |day| day.parse().map_err(|_| format!("{day} is not a valid day of the month; write 1 to 31, or -1 to -31")))?;
    for day in [range.begin, range.end] {
        if day == 0 || !(-31..=31).contains(&day) {
            return Err(format!("{day} is not a valid day of the month: out of range; write 1 to 31, or -1 to -31"));
        }
    }
    if range.begin < 0 && range.end > 0 {
        return Err("end day must be negative if start day is negative".to_owned());
    }
    // The shortest month has 28 days: what is empty there and in every longer one is a mistake.
    let in_short_month = |day: i32| if day < 0 { 28 + day } else { day };
    if in_short_month(range.begin) > in_short_month(range.end) {
        return Err(format!("end day {} is always before start day {}", range.end, range.begin));
    }
    Ok(range)
}

pub(crate) fn month_range(text: &str) -> Result<InclusiveRange, String> {
    let range = ends(text, |month| {
        let by_name = MONTHS.iter().position(|name| *name == month).map(|index| index as i32 + 1);
        by_name
            .or_else(|| month.parse().ok().filter(|month| (1..=12).contains(month)))
            .ok_or_else(|| format!("{month} is not a valid month; write january to december, or 1 to 12"))
    })?;
    if range.begin > range.end {
        let name = |month: i32| MONTHS[month as usize - 1];
        return Err(format!("end month {} is before start month {}", name(range.end), name(range.begin)));
    }
    Ok(range)
}

pub(crate) fn year_range(text: &str) -> Result<InclusiveRange, String> {
    let range = ends(text, |year| year.parse().map_err(|_| format!("{year} is not a valid year")))?;
    if range.begin > range.end {
        return Err(format!("end year {} is before start year {}", range.end, range.begin));
    }
    Ok(range)
}
