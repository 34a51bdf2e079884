//! Windows of the calendar, over changes of the clock.

use tocsin_core::slo::{Budget, Window};
use tocsin_core::time::{Span, Timestamp};

use super::{AVAILABILITY, Memory, counted, define};

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect("a time")
}

fn calendar(length: &str, start: &str, zone: &str) -> Window {
    let window = format!("[{{duration: {length}, calendar: {{startTime: {start}, timeZone: {zone}}}}}]");
    define(&AVAILABILITY.replace("[{duration: 30d, isRolling: true}]", &window)).remove(0).window
}

#[track_caller]
fn check(window: &Window, instant: &str, from: &str, to: &str) {
    let bounds = window.bounds(at(instant));
    assert_eq!((bounds.from.rfc3339(), bounds.to.rfc3339()), (at(from).rfc3339(), at(to).rfc3339()));
}

#[test]
fn days_have_23_to_25_hours() {
    let day = calendar("1d", "2026-01-01 00:00:00", "Europe/Berlin");
    check(&day, "2026-03-28T23:00:00+01:00", "2026-03-28T00:00:00+01:00", "2026-03-29T00:00:00+01:00");
    check(&day, "2026-03-29T12:00:00+02:00", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00");
    check(&day, "2026-10-25T02:30:00+02:00", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00");
    // Where two days meet the later one has begun.
    check(&day, "2026-10-26T00:00:00+01:00", "2026-10-26T00:00:00+01:00", "2026-10-27T00:00:00+01:00");
    check(&day, "2026-10-25T23:59:59.999+01:00", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00");
    // Before the first day and long after it.
    check(&day, "1999-07-01T12:00:00Z", "1999-07-01T00:00:00+02:00", "1999-07-02T00:00:00+02:00");
    check(&day, "2036-12-31T12:00:00Z", "2036-12-31T00:00:00+01:00", "2037-01-01T00:00:00+01:00");
    assert_eq!(day.bounds(at("2026-03-29T12:00:00Z")).span(), Span::from_mins(23 * 60));
    assert_eq!(day.bounds(at("2026-10-25T12:00:00Z")).span(), Span::from_mins(25 * 60));
}

#[test]
fn a_start_that_the_clock_skips_or_shows_twice_is_one_instant() {
    let day = calendar("1d", "2026-01-01 02:30:00", "Europe/Berlin");
    // At 02:00 the clock goes to 03:00, so that the day begins then.
    check(&day, "2026-03-29T12:00:00+02:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00");
    check(&day, "2026-03-29T01:30:00+01:00", "2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00");
    // At 03:00 it goes back to 02:00: the first 02:30 counts.
    check(&day, "2026-10-25T02:45:00+01:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00");
}

#[test]
fn weeks_months_quarters_and_years_follow_the_calendar() {
    let week = calendar("1w", "2022-01-01 12:00:00", "America/New_York");
    check(&week, "2026-03-10T00:00:00Z", "2026-03-07T12:00:00-05:00", "2026-03-14T12:00:00-04:00");
    let month = calendar("1M", "2026-01-31 00:00:00", "UTC");
    check(&month, "2026-03-01T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z");
    check(&month, "2026-04-30T00:00:00Z", "2026-04-30T00:00:00Z", "2026-05-31T00:00:00Z");
    let quarter = calendar("1Q", "2026-01-01 00:00:00", "Europe/Berlin");
    check(&quarter, "2026-05-05T05:05:05Z", "2026-04-01T00:00:00+02:00", "2026-07-01T00:00:00+02:00");
    let year = calendar("1Y", "2020-02-29 00:00:00", "UTC");
    check(&year, "2026-06-01T00:00:00Z", "2026-02-28T00:00:00Z", "2027-02-28T00:00:00Z");
    check(&year, "2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "2025-02-28T00:00:00Z");
    // Hours pass evenly.
    let hours = calendar("12h", "2026-03-28 00:00:00", "Europe/Berlin");
    check(
        &hours,
        "2026-03-29T12:00:00+02:00",
        "2026-03-29T01:00:00+02:00".replace("01:00:00+02:00", "00:00:00+01:00").as_str(),
        "2026-03-29T13:00:00+02:00",
    );
}

#[test]
fn every_instant_lies_in_the_window_that_is_told_for_it() {
    for (length, zone) in
        [("1d", "Europe/Berlin"), ("1w", "America/New_York"), ("1M", "Australia/Lord_Howe"), ("3h", "Asia/Kathmandu")]
    {
        let window = calendar(length, "2026-01-31 02:15:00", zone);
        let mut instant = at("2025-12-01T00:00:00Z");
        let mut last = window.bounds(instant);
        while instant < at("2027-02-01T00:00:00Z") {
            let bounds = window.bounds(instant);
            assert!(bounds.from <= instant && instant < bounds.to, "{length} {zone} {instant}");
            assert!(bounds == last || bounds.from == last.to, "{length} {zone} {instant}: {last:?} {bounds:?}");
            last = bounds;
            instant = instant + Span::from_mins(47);
        }
    }
}

#[test]
fn budgets_of_days_count_all_their_hours_and_begin_anew() {
    let text = AVAILABILITY.replace(
        "[{duration: 30d, isRolling: true}]",
        "[{duration: 1d, calendar: {startTime: 2026-01-01 00:00:00, timeZone: Europe/Berlin}}]",
    );
    let definition = define(&text).remove(0);
    for (change, minutes) in [("2026-03-29", 23 * 60), ("2026-10-25", 25 * 60)] {
        let begin = at(&format!("{change}T00:00:00Z")) - Span::from_mins(24 * 60);
        // One request a minute, one in a hundred bad, over three days.
        let mut memory = Memory::default();
        for minute in 0..=3 * 24 * 60 {
            let instant = begin + Span::from_mins(minute);
            memory.add("requests_total{code=\"200\",job=\"a\"}", instant, (minute - minute / 100) as f64);
            memory.add("requests_total{code=\"500\",job=\"a\"}", instant, (minute / 100) as f64);
        }
        let (standing, _) = counted(&definition, &memory, begin, begin + Span::from_mins(3 * 24 * 60));
        let window = definition.window.bounds(at(&format!("{change}T12:00:00Z")));
        let counted = standing.window(window);
        assert_eq!((counted.bounds, counted.tally.total.to_string()), (window, minutes.to_string()), "{change}");
        let last = Budget::at(&definition, standing.ledger(), window.to - Span::from_mins(1));
        assert_eq!((last.counted.bounds.from, last.counted.tally.total.float()), (window.from, f64::from(minutes - 1)));
        let next = Budget::at(&definition, standing.ledger(), window.to);
        assert_eq!((next.counted.tally.total.float(), next.left), (0.0, 1.0));
    }
}
