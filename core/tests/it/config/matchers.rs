//! Matchers of Alertmanager's own tables.

use serde_json::Value;
use tocsin_core::model::Matcher;
use tocsin_core::route::matchers::{BadMatchers, Mode, parse_matcher, parse_matchers};

use crate::corpora;

fn cases(name: &str) -> Vec<Value> {
    let Some(path) = corpora::path(&format!("go-test-tables/{name}")) else { return Vec::new() };
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn shown(matchers: &[Matcher]) -> Vec<String> {
    matchers.iter().map(|matcher| format!("{} {} {}", matcher.name, matcher.op.symbol(), matcher.value)).collect()
}

fn expected(list: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let matchers = list.as_array().map(Vec::as_slice).unwrap_or_default();
    matchers
        .iter()
        .map(|matcher| format!("{} {} {}", text(&matcher["name"]), text(&matcher["op"]), text(&matcher["value"])))
        .collect()
}

/// Regular expressions are compiled by another engine, with words of its own.
fn same_error(bad: &BadMatchers, expected: &str) -> bool {
    bad.0 == expected || expected.contains("error parsing regexp") && bad.0.contains("regular expression")
}

#[test]
fn classic_matchers_read_as_in_alertmanager() {
    for case in cases("am-matchers-classic.jsonl") {
        let result = parse_matchers(case["input"].as_str().unwrap(), Mode::Classic);
        match (&result, case["err"].as_str()) {
            (Ok(matchers), None) => {
                let wanted = expected(&case["want"]);
                assert!(case.get("omitted").is_some() || shown(matchers) == wanted, "{case}: {matchers:?}");
            }
            (Err(bad), Some(error)) => assert!(same_error(bad, error), "{case}: {bad}"),
            _ => panic!("{case}: {result:?}"),
        }
    }
}

#[test]
fn utf8_matchers_read_as_in_alertmanager() {
    for case in cases("am-matchers-utf8.jsonl") {
        let input = case["input"].as_str().unwrap();
        let mut wanted = expected(&case["expected"]);
        // The table was read out of source code in which a list stands twice: as a value and inside a helper.
        wanted.truncate(wanted.len().div_ceil(2));
        let result = match case["fn"].as_str() {
            Some("TestMatcher") if !input.starts_with('{') => parse_matcher(input, Mode::Utf8).map(|matcher| vec![matcher]),
            _ => parse_matchers(input, Mode::Utf8),
        };
        match (&result, case["error"].as_str()) {
            (Ok(matchers), None) => assert_eq!(shown(matchers), wanted, "{case}"),
            (Err(bad), Some(error)) => assert!(same_error(bad, error), "{case}: {bad}"),
            _ => panic!("{case}: {result:?}"),
        }
    }
}

#[test]
fn by_default_both_grammars_are_served() {
    for case in cases("am-matchers-compliance.jsonl") {
        let result = parse_matchers(case["input"].as_str().unwrap(), Mode::Fallback);
        match (&result, case["err"].as_str()) {
            (Ok(matchers), None) => assert_eq!(shown(matchers), expected(&case["want"]), "{case}"),
            (Err(bad), Some(error)) => assert!(same_error(bad, error), "{case}: {bad}"),
            _ => panic!("{case}: {result:?}"),
        }
    }
}
