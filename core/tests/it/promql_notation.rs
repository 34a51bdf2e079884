//! The notation of series against the tables and tests of other projects.

use saphyr_parser::{Event, Parser};
use tocsin_core::promql::notation::{series, values};

use crate::corpora;

#[test]
fn the_table_of_series_is_accepted_and_refused_alike() {
    let Some(path) = corpora::path("go-test-tables/promql-parse.jsonl") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    // Before these stand expressions.
    const SERIES_FROM: usize = 356;
    // The table does not say which of its histograms upstream refuses.
    const REFUSED: [&str; 7] = ["\"=, ", "{{foo:", "{{schema :", "{{ schema", "hint:foo", "}}+{{buckets:[1 2 3] schema:0", "[ "];
    let (mut wrong, mut total) = (Vec::new(), 0);
    for line in text.lines().filter(|line| !line.contains("\\udc")) {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let Some(input) = case["input"].as_str().filter(|_| case["n"].as_u64() >= Some(SERIES_FROM as u64)) else { continue };
        total += 1;
        let fails = case["fail"] == true || REFUSED.iter().any(|part| input.contains(part));
        match series(input) {
            Ok(_) if fails => wrong.push(format!("accepted {input}")),
            Err(faults) if !fails => wrong.push(faults[0].render(input)),
            _ => {}
        }
    }
    println!("{total} series");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_series_of_the_scripts_is_read() {
    let Some(root) = corpora::path("prometheus/promqltest") else { return };
    let (mut wrong, mut total) = (Vec::new(), 0);
    for entry in std::fs::read_dir(root).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut loading = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("load ") || line.starts_with("load_with_nhcb ") {
                loading = true;
            } else if line.is_empty() || line.starts_with('#') {
                loading = false;
            // Behind `@st` stand lengths of time, which are not values.
            } else if loading && !line.contains("@st") {
                total += 1;
                if let Err(faults) = series(line) {
                    wrong.push(faults[0].render(line));
                }
            }
        }
    }
    println!("{total} series");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_value_of_the_tests_of_rules_is_read() {
    let mut files = Vec::new();
    for folder in ["kubernetes-mixin/tests", "prometheus/promtool", "prometheus/rules-fixtures"] {
        let Some(path) = corpora::path(folder) else { return };
        files.extend(corpora::files(&path, &["yaml", "yml"]));
    }
    let (mut wrong, mut total) = (Vec::new(), 0);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        if !text.contains("input_series") {
            continue;
        }
        let mut key = String::new();
        for event in Parser::new_from_str(&text) {
            let Ok((Event::Scalar(scalar, ..), _)) = event else { continue };
            let faults = match key.as_str() {
                "series" => series(&scalar).err(),
                "values" => values(&scalar).err(),
                "histogram" => values(&scalar).err(),
                _ => None,
            };
            total += usize::from(matches!(key.as_str(), "series" | "values" | "histogram"));
            if let Some(faults) = faults {
                wrong.push(format!("{}: {}", path.display(), faults[0].render(&scalar)));
            }
            key = scalar.to_string();
        }
    }
    println!("{total} series and values");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
