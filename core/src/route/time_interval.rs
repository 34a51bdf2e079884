//! Recurring spans of civil time.

pub(crate) mod form;
pub(crate) mod text;

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate, Timelike};
use chrono_tz::Tz;

use crate::time::{Span, Timestamp};

pub use form::{IntervalForm, RangeForm};

const MINUTE: Span = Span::from_mins(1);
/// So far ahead it is looked when intervals begin or end next.
const OUTLOOK: Span = Span::from_mins(62 * 24 * 60);

/// One entry under a name of `time_intervals`. An empty list asks nothing; all lists must agree.
///
/// Source: Alertmanager `timeinterval`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeInterval {
    pub times: Vec<TimeRange>,
    /// 0 is Sunday, 6 Saturday.
    pub weekdays: Vec<InclusiveRange>,
    /// 1 to 31; negative counts from the month's end (-1 is the last day).
    pub days_of_month: Vec<InclusiveRange>,
    /// 1 to 12.
    pub months: Vec<InclusiveRange>,
    pub years: Vec<InclusiveRange>,
    /// None: UTC.
    pub location: Option<Tz>,
}

/// Minutes since midnight, the end left out; 1440 is the end of the day. One that ends before it begins goes on over midnight to that
/// minute of the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    pub start_minute: u16,
    pub end_minute: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InclusiveRange {
    pub begin: i32,
    pub end: i32,
}

impl TimeInterval {
    /// Returns whether an instant lies within the interval, read on the clock and calendar of the interval's zone.
    ///
    /// Of a range over midnight weekday, day, month and year are asked of the day on which it began.
    /// Instants beyond the calendar's range lie in no interval that asks for anything.
    pub fn contains(&self, at: Timestamp) -> bool {
        let Some(utc) = at.to_utc() else {
            return *self == TimeInterval { location: self.location, ..TimeInterval::default() };
        };
        let local = utc.with_timezone(&self.location.unwrap_or(Tz::UTC)).naive_local();
        let (today, yesterday) = (local.date(), local.date().pred_opt());
        let minute = local.hour() * 60 + local.minute();
        if self.times.is_empty() {
            return self.has_day(today);
        }
        self.times.iter().any(|range| {
            (range.holds(minute) && self.has_day(today))
                || (range.reaches(minute) && yesterday.is_some_and(|yesterday| self.has_day(yesterday)))
        })
    }

    /// Returns whether some minute within 24 hours of an instant may lie within the interval.
    fn is_near(&self, at: Timestamp) -> bool {
        let Some(utc) = at.to_utc() else { return true };
        let day = utc.with_timezone(&self.location.unwrap_or(Tz::UTC)).date_naive();
        [day.pred_opt(), Some(day), day.succ_opt()].into_iter().flatten().any(|day| self.has_day(day))
    }

    fn has_day(&self, day: NaiveDate) -> bool {
        let any_or_unasked =
            |ranges: &[InclusiveRange], value: i32| ranges.is_empty() || ranges.iter().any(|range| range.contains(value));
        (self.days_of_month.is_empty() || self.days_of_month.iter().any(|range| range.contains_day(day)))
            && any_or_unasked(&self.months, day.month() as i32)
            && any_or_unasked(&self.weekdays, day.weekday().num_days_from_sunday() as i32)
            && any_or_unasked(&self.years, day.year())
    }
}

impl TimeRange {
    fn is_over_midnight(self) -> bool {
        self.end_minute < self.start_minute
    }

    /// Returns whether it holds a minute of the day on which it begins.
    fn holds(self, minute: u32) -> bool {
        minute >= self.start_minute.into() && (self.is_over_midnight() || minute < self.end_minute.into())
    }

    /// Returns whether it holds a minute of the day after that on which it begins.
    fn reaches(self, minute: u32) -> bool {
        self.is_over_midnight() && minute < self.end_minute.into()
    }
}

impl InclusiveRange {
    fn contains(self, value: i32) -> bool {
        (self.begin..=self.end).contains(&value)
    }

    /// Reads the range as days of a month: negative days count back from the month's end, and a range never leaves its month.
    fn contains_day(self, date: NaiveDate) -> bool {
        let days = i32::from(date.num_days_in_month());
        let from_start = |day: i32| if day < 0 { days + day + 1 } else { day };
        // A range that starts behind the month's end names no day of it; clamping would name its last day.
        let (begin, end) = (from_start(self.begin), from_start(self.end).min(days));
        (begin..=end).contains(&(date.day() as i32))
    }
}

/// Returns when one of several intervals begins next, or all have ended, whichever is not so at an instant.
///
/// None: not within two months.
pub fn next_turn(intervals: &[TimeInterval], at: Timestamp) -> Option<Timestamp> {
    let contains = |at: Timestamp| intervals.iter().any(|interval| interval.contains(at));
    let is_within = contains(at);
    // Intervals begin and end with a minute, in every zone.
    let mut next = Timestamp(at.0 - at.0.rem_euclid(MINUTE.0)) + MINUTE;
    while next.since(at) < OUTLOOK {
        if contains(next) != is_within {
            return Some(next);
        }
        let is_far = !is_within && !intervals.iter().any(|interval| interval.is_near(next));
        next = next + if is_far { Span::from_mins(60) } else { MINUTE };
    }
    None
}

/// Returns the names of the intervals that keep a route silent at an instant; empty when it may speak.
///
/// A route is silent within any of its mute intervals, and outside all of its active ones; then all of those are named.
/// Names that are not defined contain no instant.
pub fn silent_by(
    intervals: &BTreeMap<String, Vec<TimeInterval>>,
    mute: &[String],
    active: &[String],
    at: Timestamp,
) -> Vec<String> {
    let contains = |name: &String| intervals.get(name).is_some_and(|list| list.iter().any(|interval| interval.contains(at)));
    let mut names: Vec<String> = mute.iter().filter(|name| contains(name)).cloned().collect();
    if !active.is_empty() && !active.iter().any(contains) {
        names.extend(active.iter().cloned());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn range(begin: i32, end: i32) -> InclusiveRange {
        InclusiveRange { begin, end }
    }

    #[test]
    fn the_end_of_a_time_range_is_left_out() {
        let office = TimeInterval { times: vec![TimeRange { start_minute: 540, end_minute: 1020 }], ..Default::default() };
        for (text, inside) in [
            ("2026-11-20T08:59:59Z", false),
            ("2026-11-20T09:00:00Z", true),
            ("2026-11-20T16:59:59Z", true),
            ("2026-11-20T17:00:00Z", false),
        ] {
            assert_eq!(office.contains(at(text)), inside, "{text}");
        }
        let evening = TimeInterval { times: vec![TimeRange { start_minute: 1380, end_minute: 1440 }], ..Default::default() };
        assert!(evening.contains(at("2026-11-20T23:59:59.999Z")) && !evening.contains(at("2026-11-21T00:00:00Z")));
    }

    #[test]
    fn a_range_over_midnight_belongs_to_the_day_on_which_it_began() {
        let night = vec![TimeRange { start_minute: 1320, end_minute: 360 }];
        let every = TimeInterval { times: night.clone(), ..Default::default() };
        for (text, inside) in [
            ("2026-11-20T21:59:59Z", false),
            ("2026-11-20T22:00:00Z", true),
            ("2026-11-20T23:59:59.999Z", true),
            ("2026-11-21T00:00:00Z", true),
            ("2026-11-21T05:59:59Z", true),
            ("2026-11-21T06:00:00Z", false),
        ] {
            assert_eq!(every.contains(at(text)), inside, "{text}");
        }
        // 2026-11-20 is a Friday.
        let friday = TimeInterval { weekdays: vec![range(5, 5)], ..every.clone() };
        for (text, inside) in [
            ("2026-11-20T03:00:00Z", false),
            ("2026-11-20T23:00:00Z", true),
            ("2026-11-21T03:00:00Z", true),
            ("2026-11-21T23:00:00Z", false),
            ("2026-11-22T03:00:00Z", false),
        ] {
            assert_eq!(friday.contains(at(text)), inside, "{text}");
        }
        let last_of_year = TimeInterval {
            days_of_month: vec![range(-1, -1)],
            months: vec![range(12, 12)],
            years: vec![range(2026, 2026)],
            ..every.clone()
        };
        assert!(last_of_year.contains(at("2027-01-01T05:00:00Z")) && !last_of_year.contains(at("2026-12-31T05:00:00Z")));
        // Both nights in which the clock changes last from ten to six, as people read it.
        let berlin = TimeInterval { location: Some(Tz::Europe__Berlin), ..every };
        for (text, inside) in [
            ("2026-03-28T20:59:00Z", false),
            ("2026-03-28T21:00:00Z", true),
            ("2026-03-29T03:59:00Z", true),
            ("2026-03-29T04:00:00Z", false),
            ("2026-10-24T20:00:00Z", true),
            ("2026-10-25T04:59:00Z", true),
            ("2026-10-25T05:00:00Z", false),
        ] {
            assert_eq!(berlin.contains(at(text)), inside, "{text}");
        }
    }

    #[test]
    fn the_next_turn_is_found_to_the_minute_also_weeks_ahead() {
        let night = TimeInterval {
            times: vec![TimeRange { start_minute: 1320, end_minute: 365 }],
            weekdays: vec![range(5, 5)],
            location: Some(Tz::Europe__Berlin),
            ..Default::default()
        };
        let turn = |interval: &TimeInterval, text| next_turn(std::slice::from_ref(interval), at(text)).map(Timestamp::rfc3339);
        let some = |text: &str| Some(text.to_owned());
        // 2026-11-20 is a Friday; Berlin is an hour ahead.
        assert_eq!(turn(&night, "2026-11-20T20:59:59.999Z"), some("2026-11-20T21:00:00.000Z"));
        assert_eq!(turn(&night, "2026-11-20T21:00:00Z"), some("2026-11-21T05:05:00.000Z"));
        assert_eq!(turn(&night, "2026-11-21T05:05:00Z"), some("2026-11-27T21:00:00.000Z"));
        let last_day = TimeInterval { days_of_month: vec![range(-1, -1)], months: vec![range(12, 12)], ..Default::default() };
        let either = next_turn(&[night, last_day.clone()], at("2026-12-25T21:30:00Z"));
        assert_eq!(either.map(Timestamp::rfc3339), some("2026-12-26T05:05:00.000Z"));
        assert_eq!(turn(&last_day, "2026-11-20T12:00:30Z"), some("2026-12-31T00:00:00.000Z"));
        assert_eq!(turn(&last_day, "2026-02-20T12:00:00Z"), None);
        assert_eq!(turn(&TimeInterval::default(), "2026-02-20T12:00:00Z"), None);
    }

    #[test]
    fn an_interval_is_written_in_the_words_that_it_is_read_from() {
        let form: IntervalForm = serde_json::from_str(
            r#"{"times":[{"start_time":"22:00","end_time":"06:05"}],"weekdays":["Monday:friday","sunday"],"days_of_month":["1:7","-1"],
                "months":["december","1:2"],"years":["2026:2027"],"location":"Europe/Berlin"}"#,
        )
        .unwrap();
        let interval = form.read().unwrap();
        let written = IntervalForm::from(&interval);
        assert_eq!(written.read().unwrap(), interval);
        assert_eq!(
            (written.weekdays, written.months),
            (vec!["monday:friday".into(), "sunday".into()], vec!["december".into(), "january:february".into()])
        );
        let bad = IntervalForm {
            times: vec![RangeForm { start_time: "2".to_owned(), end_time: "25:00".to_owned() }],
            weekdays: vec!["freitag".to_owned()],
            location: Some("Local".to_owned()),
            ..IntervalForm::default()
        };
        let keys: Vec<String> = bad.read().unwrap_err().iter().map(|fault| fault.split(':').next().unwrap().to_owned()).collect();
        assert_eq!(keys, ["times", "times", "weekdays", "location"]);
    }

    #[test]
    fn negative_days_count_from_the_end_of_the_month() {
        let last_three = TimeInterval { days_of_month: vec![range(-3, -1)], ..Default::default() };
        assert!(last_three.contains(at("2028-02-27T00:00:00Z")) && !last_three.contains(at("2028-02-26T23:59:00Z")));
        let whole = TimeInterval { days_of_month: vec![range(-31, -1)], ..Default::default() };
        assert!(whole.contains(at("2027-02-01T00:00:00Z")));
        let late = TimeInterval { days_of_month: vec![range(30, 31)], months: vec![range(2, 2)], ..Default::default() };
        assert!(!late.contains(at("2027-02-28T12:00:00Z")));
    }

    #[test]
    fn civil_time_follows_the_zone_through_daylight_saving() {
        let interval = TimeInterval {
            times: vec![TimeRange { start_minute: 120, end_minute: 180 }],
            location: Some(Tz::Europe__Berlin),
            ..Default::default()
        };
        // On the last Sunday of October the hour from two to three happens twice; in March not at all.
        assert!(interval.contains(at("2026-10-25T00:30:00Z")) && interval.contains(at("2026-10-25T01:30:00Z")));
        assert!(!interval.contains(at("2026-03-29T00:59:00Z")) && !interval.contains(at("2026-03-29T01:00:00Z")));
    }

    #[test]
    fn an_empty_interval_holds_all_time_and_active_intervals_silence_what_lies_outside() {
        assert!(TimeInterval::default().contains(at("2026-11-20T08:59:59Z")) && TimeInterval::default().contains(Timestamp::MAX));
        let intervals =
            BTreeMap::from([("mondays".to_owned(), vec![TimeInterval { weekdays: vec![range(1, 1)], ..Default::default() }])]);
        let mondays = ["mondays".to_owned()];
        assert_eq!(silent_by(&intervals, &[], &mondays, at("2026-11-21T00:00:00Z")), mondays);
        assert!(silent_by(&intervals, &[], &mondays, at("2026-11-23T00:00:00Z")).is_empty());
        assert_eq!(silent_by(&intervals, &mondays, &[], at("2026-11-23T00:00:00Z")), mondays);
        assert!(silent_by(&intervals, &["unknown".to_owned()], &[], at("2026-11-23T00:00:00Z")).is_empty());
    }
}
