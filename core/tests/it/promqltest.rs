//! The evaluator against the test scripts of Prometheus.

use std::fs;

use tocsin_core::promql::evaluate::Options;
use tocsin_core::promql::script;

use crate::corpora;

#[test]
fn scripts_of_prometheus_pass() {
    let Some(folder) = corpora::path("prometheus/promqltest") else { return };
    let options = Options::of_test_scripts();
    let paths = corpora::files(&folder, &["test"]);
    assert!(!paths.is_empty(), "the corpus holds no scripts");
    let (mut passed_in_all, mut all, mut faults) = (0, 0, Vec::new());
    for path in paths {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let outcomes = script::run(&fs::read_to_string(&path).expect("a script"), &options).expect("a script that can be read");
        let passed = outcomes.iter().filter(|outcome| outcome.result.is_ok()).count();
        println!("{name}: {passed} of {}", outcomes.len());
        (passed_in_all, all) = (passed_in_all + passed, all + outcomes.len());
        let wrong = outcomes.iter().filter_map(|outcome| Some((outcome, outcome.result.as_ref().err()?)));
        faults.extend(wrong.map(|(outcome, fault)| format!("{name}:{}: {}\n    {fault}", outcome.line, outcome.query)));
    }
    println!("all: {passed_in_all} of {all}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
