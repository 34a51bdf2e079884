//! The template tests of Alertmanager: text, data, output.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use tocsin_core::route::templates::{Templates, alert_list, pairs_map};
use tocsin_core::template::time::{GoTime, ZERO_TIME};
use tocsin_core::template::{Record, Value};
use tocsin_core::time::Timestamp;

use crate::corpora;
use crate::rule_template::value;

/// The instant of the tests' times and an hour later, which is their present.
const THEN: Timestamp = Timestamp(1_704_096_930_000);
const NOW: Timestamp = Timestamp(1_704_100_530_000);

fn pairs(json: &Json) -> Value {
    match json.as_object() {
        Some(fields) => pairs_map(fields.iter().map(|(name, value)| (name, value.as_str().unwrap_or_default()))),
        None => Value::Nil,
    }
}

fn text(json: &Json) -> Value {
    json.as_str().unwrap_or_default().into()
}

fn alert(json: &Json) -> Value {
    Record::value(
        "template.Alert",
        [
            ("Status", "status", text(&json["Status"])),
            ("Labels", "labels", pairs(&json["Labels"])),
            ("Annotations", "annotations", pairs(&json["Annotations"])),
            ("StartsAt", "startsAt", GoTime::utc(ZERO_TIME).value()),
            ("EndsAt", "endsAt", GoTime::utc(ZERO_TIME).value()),
            ("GeneratorURL", "generatorURL", text(&json["GeneratorURL"])),
            ("Fingerprint", "fingerprint", text(&json["Fingerprint"])),
        ],
    )
}

/// Returns the data of a case: a notification when it has the fields of one, else what it is.
fn data(json: &Json) -> Value {
    const FIELDS: [&str; 8] =
        ["Receiver", "Status", "Alerts", "GroupLabels", "CommonLabels", "CommonAnnotations", "ExternalURL", "RouteLabels"];
    let Some(fields) = json.as_object() else { return value(json) };
    if !fields.keys().all(|key| FIELDS.contains(&key.as_str())) {
        return value(json);
    }
    let alerts = match json["Alerts"].as_array() {
        Some(alerts) => alert_list(alerts.iter().map(alert)),
        None => alert_list([]),
    };
    Record::value(
        "template.Data",
        [
            ("Receiver", "receiver", text(&json["Receiver"])),
            ("Status", "status", text(&json["Status"])),
            ("Alerts", "alerts", alerts),
            ("GroupLabels", "groupLabels", pairs(&json["GroupLabels"])),
            ("CommonLabels", "commonLabels", pairs(&json["CommonLabels"])),
            ("CommonAnnotations", "commonAnnotations", pairs(&json["CommonAnnotations"])),
            ("ExternalURL", "externalURL", text(&json["ExternalURL"])),
        ],
    )
}

#[test]
fn templates_of_notifications_expand_as_in_alertmanager() {
    let Some(path) = corpora::path("go-test-tables/am-template.jsonl") else { return };
    let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
    for line in std::fs::read_to_string(path).expect("the table can be read").lines() {
        let case: Json = serde_json::from_str(line).expect("a line is JSON");
        let input = case["in"].as_str().expect("a case has a text");
        // The functions of these cases are added by the Go test itself.
        if input.contains("printFoo") {
            skipped += 1;
            continue;
        }
        let omits_data = case["omitted"].as_array().is_some_and(|omitted| omitted.iter().any(|name| name == "data"));
        let at = if input.contains("since") { THEN } else { Timestamp(1_704_096_930_000) };
        let value = if omits_data { GoTime::utc(at).value() } else { data(&case["data"]) };
        let route_labels: BTreeMap<String, String> =
            serde_json::from_value(case["data"]["RouteLabels"].clone()).unwrap_or_default();
        let title = case["title"].as_str().unwrap_or_default();
        let html = title.starts_with("HTML") || title.starts_with("URL");
        let result = Templates::new().render_value(input, &value, route_labels, NOW, html);
        let fails = case["fail"].as_bool().unwrap_or(false) || case.get("exp").is_none();
        let expected = case["exp"].as_str().unwrap_or_default();
        match &result {
            Err(_) if fails => passed += 1,
            Ok(text) if !fails && text == expected => passed += 1,
            _ => failed.push(format!("{} {title}: {input}\n  got      {result:?}\n  expected {expected:?}", case["n"])),
        }
    }
    println!("am-template: {passed} passed, {} failed, {skipped} skipped", failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
