//! Time intervals against Alertmanager's own table.

use chrono::DateTime;
use serde_json::Value;
use tocsin_core::route::time_interval::{InclusiveRange, TimeInterval, TimeRange};
use tocsin_core::time::Timestamp;

use crate::corpora;

/// Reads Go's list of embedded ranges: each is an object, or a list of one, or a list of two numbers.
fn ranges(case: &Value, field: &str) -> Vec<InclusiveRange> {
    let number = |value: &Value| value.as_i64().unwrap() as i32;
    let one = |value: &Value| {
        let inner = value.get(0).unwrap_or(value);
        match inner.as_array() {
            Some(pair) => InclusiveRange { begin: number(&pair[0]), end: number(&pair[1]) },
            None => InclusiveRange { begin: number(&inner["Begin"]), end: number(&inner["End"]) },
        }
    };
    case[field].as_array().map(|list| list.iter().map(one).collect()).unwrap_or_default()
}

fn interval(case: &Value) -> TimeInterval {
    let minute = |value: &Value| value.as_u64().unwrap() as u16;
    let time = |value: &Value| TimeRange { start_minute: minute(&value["StartMinute"]), end_minute: minute(&value["EndMinute"]) };
    TimeInterval {
        times: case["Times"].as_array().map(|list| list.iter().map(time).collect()).unwrap_or_default(),
        weekdays: ranges(case, "Weekdays"),
        days_of_month: ranges(case, "DaysOfMonth"),
        months: ranges(case, "Months"),
        years: ranges(case, "Years"),
        location: None,
    }
}

#[test]
fn instants_lie_inside_and_outside_as_in_alertmanager() {
    let Some(path) = corpora::path("go-test-tables/am-timeinterval.jsonl") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let (mut cases, mut instants) = (0, 0);
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        // Cases whose interval is not a literal, or that are about parsing, carry nothing to ask here.
        let (Some(given), Some(_)) = (case.get("timeInterval"), case.get("validTimeStrings")) else { continue };
        let interval = interval(given);
        for (field, inside) in [("validTimeStrings", true), ("invalidTimeStrings", false)] {
            for text in case[field].as_array().into_iter().flatten() {
                let at = DateTime::parse_from_str(text.as_str().unwrap(), "%d %b %y %H:%M %z").unwrap();
                let contained = interval.contains(Timestamp(at.timestamp_millis()));
                assert_eq!(contained, inside, "case {}, {text}", case["n"]);
                instants += 1;
            }
        }
        cases += 1;
    }
    println!("{cases} intervals, {instants} instants");
    assert!(cases > 0, "the table has no case that this test understands");
}
