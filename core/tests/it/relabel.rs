//! Relabelling, against the case table of Prometheus.

use std::collections::BTreeMap;

use serde_json::Value;
use tocsin_core::model::LabelSet;
use tocsin_core::model::relabel::{Action, RelabelRule, apply};

use crate::corpora;
use crate::exposition::json_lines;

fn rule(case: &Value) -> RelabelRule {
    let action = match case["Action"]["$"].as_str().unwrap() {
        "Replace" => Action::Replace,
        "Keep" => Action::Keep,
        "Drop" => Action::Drop,
        "KeepEqual" => Action::KeepEqual,
        "DropEqual" => Action::DropEqual,
        "HashMod" => Action::HashMod,
        "LabelMap" => Action::LabelMap,
        "LabelDrop" => Action::LabelDrop,
        "LabelKeep" => Action::LabelKeep,
        "Lowercase" => Action::Lowercase,
        "Uppercase" => Action::Uppercase,
        other => panic!("unknown action {other}"),
    };
    let mut rule = RelabelRule::new(action);
    if let Some(pattern) = case["Regex"].as_str() {
        rule = rule.with_pattern(pattern).unwrap();
    }
    if let Some(labels) = case["SourceLabels"].as_array() {
        rule.source_labels = labels.iter().map(|label| label.as_str().unwrap().to_owned()).collect();
    }
    let text = |key: &str, default: &str| case[key].as_str().unwrap_or(default).to_owned();
    rule.separator = text("Separator", &rule.separator);
    rule.target_label = text("TargetLabel", "");
    rule.replacement = text("Replacement", &rule.replacement);
    rule.modulus = case["Modulus"].as_u64().unwrap_or(0);
    rule
}

#[test]
fn label_sets_end_as_in_prometheus() {
    let Some(path) = corpora::path("go-test-tables/relabel.jsonl") else { return };
    let mut cases = 0;
    for case in json_lines(&path) {
        let set =
            |value: &Value| LabelSet::from_pairs(serde_json::from_value::<BTreeMap<String, String>>(value.clone()).unwrap());
        let rules: Vec<RelabelRule> = case["relabel"].as_array().unwrap().iter().map(rule).collect();
        let mut labels = set(&case["input"]).builder();
        let kept = apply(&rules, &mut labels);
        assert_eq!(kept, case["drop"].as_bool() != Some(true), "{case}");
        if kept {
            assert_eq!(labels.build(), set(&case["output"]), "{case}");
        }
        cases += 1;
    }
    println!("relabel: {cases} cases");
}
