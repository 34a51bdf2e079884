//! The evaluator against test scripts: those of Prometheus and our own, and what the runner makes of scripts that are wrong.

use std::fs;
use std::path::{Path, PathBuf};

use tocsin_core::promql::evaluate::Options;
use tocsin_core::promql::script;

use crate::corpora;

/// Runs scripts, which have to pass as a whole; returns how many evaluations passed.
fn pass(paths: &[PathBuf]) -> usize {
    assert!(!paths.is_empty(), "there are no scripts");
    let (mut all, mut faults) = (0, Vec::new());
    for path in paths {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        let text = fs::read_to_string(path).expect("a script");
        let outcomes = script::run(&text, &Options::of_test_scripts()).unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
        all += outcomes.len();
        let wrong: Vec<_> = outcomes.iter().filter_map(|outcome| Some((outcome, outcome.result.as_ref().err()?))).collect();
        println!("{name}: {} of {}", outcomes.len() - wrong.len(), outcomes.len());
        faults.extend(wrong.iter().map(|(outcome, fault)| format!("{name}:{}: {}\n    {fault}", outcome.line, outcome.query)));
    }
    println!("all: {} of {all}", all - faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    all
}

#[test]
fn scripts_of_prometheus_pass() {
    let Some(folder) = corpora::path("prometheus/promqltest") else { return };
    pass(&corpora::files(&folder, &["test"]));
}

#[test]
fn our_own_scripts_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/promql");
    pass(&corpora::files(&folder, &["test"]));
}

/// Returns the differences that a script ends in, each with its line.
fn differences(text: &str) -> Vec<String> {
    let outcomes = script::run(text, &Options::of_test_scripts()).expect("a script");
    let wrong = outcomes.iter().filter_map(|outcome| Some(format!("{}: {}", outcome.line, outcome.result.as_ref().err()?)));
    wrong.collect()
}

#[test]
fn what_is_not_as_expected_is_told_with_both_sides() {
    let load = "load 1m\n  m{a=\"1\"} 1+1x10\n  m{a=\"2\"} 5x10\n  h {{schema:0 count:1 sum:1 buckets:[1]}}x3\n\n";
    for (eval, expected) in [
        ("instant at 1m m\n  m{a=\"1\"} 2\n  m{a=\"2\"} 5", ""),
        ("instant at 1m m\n  m{a=\"1\"} 3\n  m{a=\"2\"} 5", r#"got {__name__="m", a="1"} 2, expected {__name__="m", a="1"} 3"#),
        ("instant at 1m m\n  m{a=\"1\"} 2", r#"got {__name__="m", a="2"} 5, expected no such series"#),
        ("instant at 1m m{a=\"1\"}\n  m{a=\"1\"} 2\n  m{a=\"3\"} 5", r#"got no such series, expected {__name__="m", a="3"} 5"#),
        ("instant at 1m sum(m)\n  expect no_warn\n  expect info\n  {} 7", "got no info, expected info"),
        (
            "instant at 1m quantile(2, m)\n  expect no_warn\n  {} Inf",
            "got PromQL warning: quantile value should be between 0 and 1, got 2 (1:10), expected no warning",
        ),
        (
            "instant at 1m quantile(2, m)\n  expect warn msg: other\n  {} Inf",
            "got PromQL warning: quantile value should be between 0 and 1, got 2 (1:10), expected warning: other",
        ),
        ("instant at 1m m\n  expect fail", r#"got {__name__="m", a="1"} 2; {__name__="m", a="2"} 5, expected a failure"#),
        (
            "instant at 1m m\n  expect ordered\n  m{a=\"2\"} 5\n  m{a=\"1\"} 2",
            r#"got {__name__="m", a="1"} at position 1, expected {__name__="m", a="1"} at position 2"#,
        ),
        ("instant at 1m 1\n  2", "got the scalar 1, expected the scalar 2"),
        ("instant at 1m label_replace(m, \"~\", \"\", \"\", \"(\")\n  {} 1", "got a failure: "),
        (
            "range from 0 to 2m step 1m m{a=\"1\"}\n  m{a=\"1\"} 1 2 4",
            r#"got {__name__="m", a="1"} 3@120, expected {__name__="m", a="1"} 4@120"#,
        ),
        (
            "range from 0 to 2m step 1m m{a=\"1\"}\n  m{a=\"1\"} 1 2",
            r#"got {__name__="m", a="1"} 1@0 2@60 3@120, expected {__name__="m", a="1"} 1 2"#,
        ),
        ("instant at 1m h\n  h {{schema:0 count:1 sum:1 buckets:[1]}}", ""),
        (
            "instant at 1m h\n  h {{schema:0 count:1 sum:2 buckets:[1]}}",
            "got {__name__=\"h\"} {{count:1 sum:1 counter_reset_hint:not_reset buckets:[1]}}, expected {__name__=\"h\"} {{count:1 sum:2 buckets:[1]}}",
        ),
    ] {
        let told = differences(&format!("{load}eval {eval}\n"));
        match expected {
            "" => assert_eq!(told, Vec::<String>::new(), "{eval}"),
            expected => assert!(told.len() == 1 && told[0].starts_with("6: ") && told[0].contains(expected), "{eval}: {told:?}"),
        }
    }
}

#[test]
fn an_instant_query_is_asked_in_other_ways_too() {
    // A range query answers each step by itself, so what depends on the whole query differs; `timestamp` is left alone under `@`.
    let told = differences(
        "load 1m\n  m 1+1x10\n\neval instant at 1m m + 0 * time() % 7\n  {} 2\n\neval instant at 2m timestamp(m)\n  {} 120\n",
    );
    assert_eq!(told, Vec::<String>::new());
}

#[test]
fn all_faults_of_a_script_are_told_with_their_places() {
    let text = "bogus 1\n\nload 1m\n  m{a= 1\n  good 1\n\n  load soon\n\nload 1m\n  m@st -1m\n  other 1\n\nload 1m\n  m@st -1m -1m\n  m 1\n\n\
                load 1m\n  m@st -1m x\n  m 1 2\n\nload 1m\n  m@st 0\n\neval instant m\n  {} 1\n\neval sometimes m\n\neval instant at 1m m\n  expect nothing\n";
    let faults = script::run(text, &Options::default()).expect_err("faults");
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    for (place, part) in [
        ("1:1", "invalid command"),
        ("4:8", ""),
        ("7:3", "not a valid duration"),
        ("11:3", "expected the samples of"),
        ("15:3", "1 samples, but 2 start timestamps"),
        ("18:12", "is no distance"),
        ("22:3", "without samples"),
        ("24:1", "expected `eval instant at"),
        ("27:1", "expected `eval instant at"),
        ("30:3", "expected `expect"),
    ] {
        assert!(
            told.iter().any(|line| line.starts_with(&format!("{place}: ")) && line.contains(part)),
            "{place} {part}: {told:#?}"
        );
    }
    assert_eq!(told.len(), 10, "{told:#?}");
}
