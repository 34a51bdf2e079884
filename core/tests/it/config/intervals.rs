//! Time intervals of Alertmanager's own table.

use serde_json::Value;
use tocsin_core::config::{self, File};
use tocsin_core::route::time_interval::{InclusiveRange, TimeInterval, TimeRange};

use crate::corpora;

/// A range in the table is `{"Begin": 1, "End": 5}` or `[1, 5]`, sometimes inside one more list.
fn range(value: &Value) -> InclusiveRange {
    let number = |value: &Value| value.as_i64().unwrap() as i32;
    match value.as_array().map(Vec::as_slice) {
        Some([inner]) => range(inner),
        Some([begin, end]) => InclusiveRange { begin: number(begin), end: number(end) },
        _ => InclusiveRange { begin: number(&value["Begin"]), end: number(&value["End"]) },
    }
}

fn interval(value: &Value) -> TimeInterval {
    let list = |key: &str| value[key].as_array().map(Vec::as_slice).unwrap_or_default().to_vec();
    let minute = |value: &Value| value.as_u64().unwrap() as u16;
    let time = |value: &Value| TimeRange { start_minute: minute(&value["StartMinute"]), end_minute: minute(&value["EndMinute"]) };
    TimeInterval {
        times: list("Times").iter().map(time).collect(),
        weekdays: list("Weekdays").iter().map(range).collect(),
        days_of_month: list("DaysOfMonth").iter().map(range).collect(),
        months: list("Months").iter().map(range).collect(),
        years: list("Years").iter().map(range).collect(),
        location: None,
    }
}

#[test]
fn time_intervals_read_as_in_alertmanager() {
    let Some(path) = corpora::path("go-test-tables/am-timeinterval.jsonl") else { return };
    let mut cases = 0;
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let Some(text) = case["in"].as_str() else { continue };
        cases += 1;
        // The table holds a list, or one interval alone; a configuration has a list under a name.
        let body = text.replace("---", "").replace('\n', "\n    ");
        let body = if text.contains("\n- ") || text.contains("\n  #") {
            body
        } else {
            body.replacen("\n    \n    ", "\n    \n    - ", 1).replace("\n    ", "\n      ").replacen("      - ", "    - ", 1)
        };
        let main = File { name: "am.yml".to_owned(), text: format!("time_intervals:\n- name: x\n  time_intervals:{body}\n") };
        let (config, problems) = config::read(&main, None, &|_| None);
        if let Some(error) = case["err"].as_str() {
            assert!(problems.iter().any(|problem| problem.message.starts_with(error)), "{case}: {problems:?}");
            continue;
        }
        let config = config.unwrap_or_else(|| panic!("{case}: {problems:?}\n{}", main.text));
        if let Some(expected) = case["intervals"].as_array() {
            let expected: Vec<TimeInterval> = expected.iter().map(interval).collect();
            assert_eq!(config.routing.time_intervals["x"], expected, "{case}");
        }
    }
    println!("{cases} cases");
}
