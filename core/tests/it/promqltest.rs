//! The evaluator against the test scripts of Prometheus.

use std::fs;

use tocsin_core::promql::evaluate::Options;
use tocsin_core::promql::script;

use crate::corpora;

/// Returns how many `eval` blocks of a script pass and how many there are; prints those that fail when asked to.
fn run(text: &str, show: bool) -> (usize, usize) {
    let options = Options { delayed_name_removal: true, ..Options::default() };
    let outcomes = script::run(text, &options).expect("every script can be read");
    for outcome in outcomes.iter().filter(|_| show) {
        if let Err(fault) = &outcome.result {
            println!("  line {}: {}\n    {fault}", outcome.line, outcome.query);
        }
    }
    (outcomes.iter().filter(|outcome| outcome.result.is_ok()).count(), outcomes.len())
}

#[test]
#[allow(clippy::disallowed_methods, reason = "tests read files")]
fn scripts_of_prometheus_pass() {
    let Some(folder) = corpora::path("prometheus/promqltest") else { return };
    let mut paths: Vec<_> = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "test")) {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        let text = fs::read_to_string(path).expect("a script");
        println!("{name}");
        let (passed, all) = run(&text, true);
        println!("{name}: {passed} of {all}");
    }
}
