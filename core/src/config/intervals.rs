//! `time_intervals` and `mute_time_intervals`.
//!
//! Source: Alertmanager `timeinterval`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use chrono_tz::Tz;

use crate::route::time_interval::text::{self, day_range, month_range, weekday_range, year_range};
use crate::route::time_interval::{InclusiveRange, TimeInterval, TimeRange};
use crate::yaml::{Table, Value};

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
    text::zone(name).map_err(|fault| value.error(fault)).ok()
}

fn time_range(value: &Value<'_, '_>) -> Option<TimeRange> {
    let mut table = value.table();
    let (start, end) = (table.text("start_time").unwrap_or_default(), table.text("end_time").unwrap_or_default());
    table.finish();
    text::time_range(&start, &end).map_err(|faults| faults.into_iter().for_each(|fault| value.error(fault))).ok()
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
