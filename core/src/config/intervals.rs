//! `time_intervals` and `mute_time_intervals`.
//!
//! Source: Alertmanager `timeinterval`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use chrono_tz::Tz;

use crate::route::time_interval::{InclusiveRange, TimeInterval, TimeRange};
use crate::yaml::{Table, Value};

pub(super) const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];

const END_OF_DAY: u16 = 24 * 60;

/// Reads both lists into one set of names.
pub(super) fn read(table: &mut Table<'_, '_>) -> BTreeMap<String, Vec<TimeInterval>> {
    let mut all = BTreeMap::new();
    for (key, what) in [("mute_time_intervals", "mute time interval"), ("time_intervals", "time interval")] {
        for value in table.list(key) {
            let mut entry = value.table();
            let name = entry.text("name").unwrap_or_default();
            let intervals = entry.list("time_intervals").iter().map(interval).collect();
            entry.finish();
            if name.is_empty() {
                value.error(format!("missing name in {what}"));
                continue;
            }
            match all.entry(name) {
                Entry::Occupied(first) => value.error(format!("{what} {:?} is not unique; give each its own name", first.key())),
                Entry::Vacant(place) => {
                    place.insert(intervals);
                }
            }
        }
    }
    all
}

/// Reads one interval, all faults into the problems of its value.
pub(super) fn interval(value: &Value<'_, '_>) -> TimeInterval {
    let mut table = value.table();
    let interval = TimeInterval {
        times: table.list("times").iter().filter_map(time_range).collect(),
        weekdays: ranges(&mut table, "weekdays", weekday_range),
        days_of_month: ranges(&mut table, "days_of_month", day_range),
        months: ranges(&mut table, "months", month_range),
        years: ranges(&mut table, "years", year_range),
        location: location(&mut table),
    };
    table.finish();
    interval
}

fn location(table: &mut Table<'_, '_>) -> Option<Tz> {
    let value = table.value("location")?;
    let name = value.text_ref().filter(|name| !name.is_empty())?;
    let zone = name.parse().ok();
    if name == "Local" {
        value.error("the zone of the machine is not known here; write its name, such as Europe/Berlin, or UTC");
    } else if zone.is_none() {
        value.error(format!("unknown time zone {name}; write a name such as Europe/Berlin or UTC"));
    }
    zone
}

fn time_range(value: &Value<'_, '_>) -> Option<TimeRange> {
    let mut table = value.table();
    let (start, end) = (table.text("start_time").unwrap_or_default(), table.text("end_time").unwrap_or_default());
    table.finish();
    if start.is_empty() || end.is_empty() {
        value.error("both start and end times must be provided, as start_time and end_time");
        return None;
    }
    let minute = |text: &str| {
        let minute = minute_of_day(text);
        if minute.is_none() {
            value.error(format!(
                "couldn't parse timestamp {text}, invalid format; write hours and minutes such as 09:00, to 24:00"
            ));
        }
        minute
    };
    let (start_minute, end_minute) = (minute(&start), minute(&end));
    let range = TimeRange { start_minute: start_minute?, end_minute: end_minute? };
    // One that ends before it begins goes over midnight, which Alertmanager does not know.
    if range.start_minute == range.end_minute {
        value.error("start time cannot be equal to end time; write 00:00 and 24:00 for a whole day");
    } else if range.start_minute == END_OF_DAY {
        value.error("start time cannot be the end of a day; write 00:00 for the next one");
    }
    Some(range)
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

fn ranges(table: &mut Table<'_, '_>, key: &'static str, read: fn(&str) -> Result<InclusiveRange, String>) -> Vec<InclusiveRange> {
    let mut all = Vec::new();
    for value in table.list(key) {
        let Some(text) = value.text_ref() else { continue };
        match read(&text.to_lowercase()) {
            Ok(range) => all.push(range),
            Err(message) => value.error(message),
        }
    }
    all
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

fn weekday_range(text: &str) -> Result<InclusiveRange, String> {
    let range = ends(text, |day| {
        let index = WEEKDAYS.iter().position(|name| *name == day);
        index.map(|index| index as i32).ok_or_else(|| format!("{day} is not a valid weekday; write sunday to saturday"))
    })?;
    if range.begin > range.end {
        return Err("start day cannot be before end day; the week begins on sunday, so split the range".to_owned());
    }
    Ok(range)
}

fn day_range(text: &str) -> Result<InclusiveRange, String> {
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

fn month_range(text: &str) -> Result<InclusiveRange, String> {
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

fn year_range(text: &str) -> Result<InclusiveRange, String> {
    let range = ends(text, |year| year.parse().map_err(|_| format!("{year} is not a valid year")))?;
    if range.begin > range.end {
        return Err(format!("end year {} is before start year {}", range.end, range.begin));
    }
    Ok(range)
}
