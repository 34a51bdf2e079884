//! The template tests of Prometheus: alert template, query results, output.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use tocsin_core::model::{LabelSet, Value as SampleValue};
use tocsin_core::rule::functions::RuleFunctions;
use tocsin_core::template::{MissingKey, Options, TemplateSet, Value};
use tocsin_core::time::Timestamp;

use crate::corpora;

/// What the Go source held as a constant.
pub fn constant(json: &Json) -> Option<Value> {
    Some(match json.get("$")?.as_str()? {
        "MaxInt64" => Value::Int(i64::MAX),
        "MinInt64" => Value::Int(i64::MIN),
        "MaxUint64" => Value::Uint(u64::MAX),
        _ => return None,
    })
}

pub fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Value::Int(value),
            (None, value) => Value::Float(value.unwrap_or_default()),
        },
        Json::String(text) => Value::text(text),
        Json::Array(items) => Value::list(items.iter().map(value)),
        Json::Object(_) => constant(json).unwrap_or_else(|| {
            let fields = json.as_object().into_iter().flatten();
            Value::map(fields.map(|(key, json)| (key.clone(), value(json))).collect())
        }),
    }
}

/// The answers that the Go tests give where they are no literals: the instances a and b of one metric.
fn samples(case: &Json) -> Vec<(LabelSet, SampleValue)> {
    match case.get("queryResult").and_then(Json::as_array) {
        Some(list) => list
            .iter()
            .map(|sample| {
                let labels: BTreeMap<String, String> =
                    sample.get("Metric").and_then(|labels| serde_json::from_value(labels.clone()).ok()).unwrap_or_default();
                (LabelSet::from_pairs(labels), SampleValue::Float(sample["F"].as_f64().unwrap_or_default()))
            })
            .collect(),
        None => {
            let one = |instance: &str, value| {
                let labels = LabelSet::from_pairs([("__name__", "metric"), ("instance", instance)]);
                (labels, SampleValue::Float(value))
            };
            vec![one("a", 11.0), one("b", 21.0)]
        }
    }
}

#[test]
fn templates_of_rules_expand_as_in_prometheus() {
    let Some(path) = corpora::path("go-test-tables/rule-template.jsonl") else { return };
    let (mut passed, mut skipped, mut failed) = (0, Vec::new(), Vec::new());
    for line in std::fs::read_to_string(path).expect("the table can be read").lines() {
        let case: Json = serde_json::from_str(line).expect("a line is JSON");
        let omitted: Vec<&str> = case["omitted"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        let text = case["text"].as_str().expect("a case has a text");
        let input = if omitted.contains(&"input") {
            Value::list([f64::INFINITY, f64::NEG_INFINITY, f64::NAN].map(Value::Float))
        } else {
            value(&case["input"])
        };
        let html = case["html"].as_bool().unwrap_or(false);
        let error_is_asked = case["options"].as_array().is_some_and(|options| options[0] == "missingkey=error");
        let results = samples(&case);
        let query = |_: &str| Ok(results.clone());
        let functions = RuleFunctions {
            query: &query,
            external_url: "http://testhost:9090/path/prefix",
            now: Timestamp(1_353_755_652_000),
            html,
        };
        let missing_key = if error_is_asked { MissingKey::Error } else { MissingKey::Zero };
        let options = Options { missing_key, html, ..Options::default() };
        let mut set = TemplateSet::new();
        let result =
            set.add("test", text, &functions).map_err(|error| format!("error parsing template test: {error}")).and_then(|()| {
                set.execute("test", &input, &functions, &options)
                    .map_err(|error| format!("error executing template test: {error}"))
            });
        let expected = if case["shouldFail"].as_bool().unwrap_or(false) {
            Err(case["errorMsg"].as_str().unwrap_or_default().to_owned())
        } else if omitted.contains(&"output") {
            skipped.push(format!("{}: {result:?}", case["n"]));
            continue;
        } else {
            Ok(case["output"].as_str().unwrap_or_default().to_owned())
        };
        if result == expected {
            passed += 1;
        } else {
            failed.push(format!("{} {text}\n  got      {result:?}\n  expected {expected:?}", case["n"]));
        }
    }
    println!("rule-template: {passed} passed, {} failed, without output {skipped:?}", failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
