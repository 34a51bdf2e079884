//! Unit tests of rules: a file of tests and rule files in, failures out.

use regex::Regex;
use tocsin_core::problem::has_errors;
use tocsin_core::promql::evaluate::Cancel;
use tocsin_core::rule::{self, RuleGroup};
use tocsin_core::testing::junit::{Suite, document};
use tocsin_core::testing::{self, Settings};
use tocsin_core::time::Timestamp;

const RULES: &str = "
groups:
  - name: second
    rules:
      - {record: twice, expr: 2 * once}
  - name: first
    rules:
      - {record: once, expr: load}
      - alert: Loaded
        expr: load > 2
        for: 2m
        keep_firing_for: 1m
        labels: {severity: page, region: '{{ $externalLabels.region }}'}
        annotations: {summary: 'load {{ $value }} on {{ $labels.host }}, see {{ $externalURL }}'}
";

fn groups(text: &str) -> Vec<RuleGroup> {
    let (groups, problems) = rule::read("rules.yml", text, &rule::Defaults::default());
    assert!(problems.is_empty(), "{problems:?}");
    groups
}

/// Returns what `tocsin test rules` would print below its head line, and the checks that were made.
fn told(rules: &str, tests: &str, settings: &Settings) -> (Vec<String>, usize) {
    let (file, problems) = testing::read("t.yml", tests, settings);
    if has_errors(&problems) {
        return (problems.iter().map(ToString::to_string).collect(), 0);
    }
    let outcomes = testing::run(&file.expect("a file"), &groups(rules), settings, &Cancel::new());
    let checks = outcomes.iter().map(|outcome| outcome.checks).sum();
    let told = outcomes.iter().flat_map(|outcome| {
        outcome.failures.iter().map(|failure| format!("{}: {}: {}", failure.position.line, outcome.title, failure.what))
    });
    (told.collect(), checks)
}

fn check(rules: &str, tests: &str, expected: &[&str]) {
    let (told, checks) = told(rules, tests, &Settings::default());
    assert_eq!(told, expected, "{tests}");
    assert!(checks > 0 || !expected.is_empty(), "nothing was checked");
}

/// Returns a file with one test of these lines, which stand from line 5 on.
fn one(lines: &str) -> String {
    format!("rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n{lines}")
}

const LOAD: &str = "    input_series: [{series: 'load{host=\"h\"}', values: '1 3 3 3 3 1 1 1'}]\n";

#[test]
fn an_alert_waits_fires_is_kept_and_ends() {
    let alert = "{exp_labels: {severity: page, host: h, region: eu}, exp_annotations: {summary: 'load 3 on h, see http://t'}}";
    let outside = "    external_labels: {region: eu}\n    external_url: http://t\n";
    let fires = |at: &str, alerts: &str| format!("      - {{eval_time: {at}, alertname: Loaded, exp_alerts: [{alerts}]}}\n");
    let story = [fires("2m59s", ""), fires("3m", alert), fires("5m", alert), fires("5m59s", alert), fires("6m", "")].concat();
    check(RULES, &one(&format!("{LOAD}{outside}    alert_rule_test:\n{story}")), &[]);
    let wrong = fires("3m", "{exp_labels: {severity: page, host: h, region: eu}, exp_annotations: {summary: other}}");
    let missing = fires("3m", "");
    check(
        RULES,
        &one(&format!("{LOAD}{outside}    alert_rule_test:\n{wrong}{missing}")),
        &[
            "9: unnamed#0: alert Loaded at 3m; made by rules.yml:9:9\n    - {alertname=\"Loaded\", host=\"h\", region=\"eu\", severity=\"page\"}\n    \
             -     summary: \"other\"\n    + {alertname=\"Loaded\", host=\"h\", region=\"eu\", severity=\"page\"}\n    \
             +     summary: \"load 3 on h, see http://t\"",
            "10: unnamed#0: alert Loaded at 3m; made by rules.yml:9:9\n    + {alertname=\"Loaded\", host=\"h\", region=\"eu\", severity=\"page\"}\n    \
             +     summary: \"load 3 on h, see http://t\"",
        ],
    );
    check(
        RULES,
        &one("    alert_rule_test: [{eval_time: 0, alertname: None, exp_alerts: [{exp_labels: {a: b}}]}]\n"),
        &["5: unnamed#0: alert None at 0s; no rule makes an alert of this name\n    - {a=\"b\", alertname=\"None\"}"],
    );
}

fn expressions(lines: &str) -> String {
    one(&format!("{LOAD}    promql_expr_test:\n{lines}"))
}

#[test]
fn series_of_rules_follow_the_order_of_groups_and_end_when_they_are_not_written() {
    let at =
        |expr: &str, at: &str, samples: &str| format!("      - {{expr: '{expr}', eval_time: {at}, exp_samples: [{samples}]}}\n");
    // `second` stands first in its file and so sees what `first` wrote a minute ago.
    let late = at("twice", "1m", "{labels: 'twice{host=\"h\"}', value: 2}");
    check(RULES, &expressions(&late), &[]);
    let ordered = expressions(&at("twice", "1m", "{labels: 'twice{host=\"h\"}', value: 6}"));
    check(RULES, &ordered.replace("tests:", "group_eval_order: [first]\ntests:"), &[]);
    let alerts = at(
        "ALERTS",
        "2m",
        "{labels: 'ALERTS{alertname=\"Loaded\",alertstate=\"pending\",host=\"h\",severity=\"page\"}', value: 1}",
    ) + &at("count(ALERTS)", "3m", "{value: 1}")
        + &at(
            "ALERTS_FOR_STATE",
            "4m",
            "{labels: 'ALERTS_FOR_STATE{alertname=\"Loaded\",host=\"h\",severity=\"page\"}', value: 60}",
        )
        + &at("ALERTS", "7m", "");
    check(RULES, &expressions(&alerts), &[]);
}

#[test]
fn samples_behind_the_last_evaluation_are_not_there_yet() {
    let fine = one(
        "    input_series: [{series: a, values: '0 1 2 3'}]\n    promql_expr_test: [{expr: a, eval_time: 30s, exp_samples: [{labels: a, value: 0}]}]\n",
    );
    check(RULES, &fine.replace("- interval: 1m", "- interval: 10s"), &[]);
    // Nor are those of the future, for rules that look ahead.
    let rules = "groups: [{name: g, rules: [{record: ahead, expr: a offset -1m}]}]";
    let tests = "    input_series: [{series: a, values: '0 1 2 3'}]\n    promql_expr_test: [{expr: ahead, eval_time: 1m, exp_samples: [{labels: ahead, value: 1}]}]\n";
    check(rules, &one(tests), &[]);
}

#[test]
fn time_may_begin_elsewhere() {
    for start in ["1609459200", "2021-01-01T00:00:00Z"] {
        let test = expressions(
            "      - {expr: 'timestamp(load)', eval_time: 2m, exp_samples: [{labels: '{host=\"h\"}', value: 1609459320}]}\n",
        );
        check(RULES, &test.replace("- interval: 1m", &format!("- start_timestamp: {start}")), &[]);
    }
}

#[test]
fn numbers_are_compared_bit_by_bit_or_nearly_so() {
    let test = one(
        "    input_series: [{series: n, values: '2.9999999999999996'}, {series: m, values: '2.999999999999999'}, {series: no, values: NaN}]\n    \
         promql_expr_test:\n      - {expr: n, exp_samples: [{labels: n, value: 3}]}\n      - {expr: m, exp_samples: [{labels: m, value: 3}]}\n      \
         - {expr: no, exp_samples: [{labels: no, value: .nan}]}\n",
    );
    let near = "7: unnamed#0: expression n at 0s\n    - {__name__=\"n\"} 3\n    + {__name__=\"n\"} 2.9999999999999996";
    let rest = [
        "8: unnamed#0: expression m at 0s\n    - {__name__=\"m\"} 3\n    + {__name__=\"m\"} 2.999999999999999",
        "9: unnamed#0: expression no at 0s\n    - {__name__=\"no\"} NaN\n    + {__name__=\"no\"} NaN",
    ];
    check(RULES, &test, &[&[near], rest.as_slice()].concat());
    check(RULES, &test.replace("rule_files: [rules.yml]", "fuzzy_compare: true"), &rest);
}

#[test]
fn histograms_are_compared_with_their_hints_and_ranges_refused() {
    let test = one("    input_series: [{series: h, values: '{{count:2 sum:3 buckets:[2]}}x2'}]\n    promql_expr_test:\n      \
         - {expr: h, eval_time: 2m, exp_samples: [{labels: h, histogram: '{{count:2 sum:3 counter_reset_hint:not_reset buckets:[2]}}'}]}\n      \
         - {expr: h, eval_time: 2m, exp_samples: [{labels: h, histogram: '{{count:2 sum:3 buckets:[2]}}'}]}\n      - {expr: 'h[1m]'}\n");
    check(
        RULES,
        &test,
        &[
            "8: unnamed#0: expression h at 2m\n    - {__name__=\"h\"} {{count:2 sum:3 buckets:[2]}}\n    \
             + {__name__=\"h\"} {{count:2 sum:3 counter_reset_hint:not_reset buckets:[2]}}",
            "9: unnamed#0: expression h[1m] at 0s: rule result is not a vector or scalar",
        ],
    );
}

#[test]
fn a_rule_that_fails_ends_the_test_and_says_where_it_stands() {
    let rules = "groups:\n  - name: g\n    rules:\n      - {record: load, expr: '7'}\n      - {record: two, expr: 'sum by (a) (x)', labels: {a: b}}\n";
    let series = "    input_series: [{series: load, values: '7 8'}, {series: 'x{a=\"1\"}', values: '_ 1'}, {series: 'x{a=\"2\"}', values: '_ 1'}]\n";
    check(
        rules,
        &one(&format!("{series}    promql_expr_test: [{{expr: load, eval_time: 5m}}]\n")),
        &[
            "4: unnamed#0: rule load at 1m: duplicate sample for timestamp 60000; the series has another value there already; it stands at rules.yml:4:9",
            "4: unnamed#0: rule two at 1m: vector contains metrics with the same labelset after applying rule labels: {__name__=\"two\", a=\"b\"}; it stands at rules.yml:5:9",
        ],
    );
}

#[test]
fn all_faults_are_told_at_once_with_their_places() {
    let text = "evaluation_interval: soon\ngroup_eval_order: [a, a]\nbogus: 1\ntests:\n  - name: one\n    input_series: [{series: 'a{', values: '1'}, {series: a, values: '1 x'}]\n    \
                promql_expr_test: [{expr: 'sum('}, {eval_time: 1m}, {expr: a, exp_samples: [{labels: 'b{', histogram: '1'}]}]\n    \
                alert_rule_test: [{eval_time: 1m}]\n    start_timestamp: never\n  - {name: two, input_series: [{series: 'a{'}]}\n";
    let (found, _) = told(RULES, text, &Settings::default());
    for (place, part) in [
        ("1:22", "not a valid duration"),
        ("2:23", "group name repeated"),
        ("3:1", "unknown key bogus"),
        ("6:29", "parse error"),
        ("6:69", "\"x\""),
        ("7:31", "unclosed left parenthesis"),
        ("7:40", "'expr' must be set"),
        ("7:90", "parse error"),
        ("7:107", "expected one histogram"),
        ("8:23", "misses required attribute alertname"),
        ("9:22", "expected seconds"),
        ("10:41", "parse error"),
    ] {
        let is_told = found.iter().any(|line| line.starts_with(&format!("t.yml:{place}: error: ")) && line.contains(part));
        assert!(is_told, "{place} {part}: {found:#?}");
    }
    // A test that is not asked for may be wrong.
    let only = Settings { only: vec![Regex::new("^t").expect("a pattern")], ..Settings::default() };
    let good = "tests: [{name: one, input_series: [{series: 'a{'}]}, {name: two, promql_expr_test: [{expr: '1', exp_samples: [{value: 1}]}]}]";
    assert_eq!(told(RULES, good, &only), (Vec::new(), 1));
}

#[test]
fn the_outcome_can_be_written_as_xml() {
    let tests = "tests: [{name: 'a<b', promql_expr_test: [{expr: '1'}, {expr: '2', exp_samples: [{value: 2}]}]}, {}]";
    let (file, _) = testing::read("t.yml", tests, &Settings::default());
    let outcomes = testing::run(&file.expect("a file"), &[], &Settings::default(), &Cancel::new());
    let suites = [
        Suite { name: "t.yml".to_owned(), outcomes: Ok(outcomes) },
        Suite { name: "u.yml".to_owned(), outcomes: Err("no \"file\"".to_owned()) },
    ];
    assert_eq!(
        document(&suites, Timestamp(1_609_459_200_000)),
        "<testsuites><testsuite name=\"t.yml\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\" timestamp=\"2021-01-01T00:00:00\">\
         <testcase name=\"a&lt;b\"><failure>expression 1 at 0s&#xA;    + {} 1</failure></testcase><testcase name=\"unnamed#1\"></testcase></testsuite>\
         <testsuite name=\"u.yml\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" timestamp=\"2021-01-01T00:00:00\">\
         <testcase name=\"unknown\"><error>no &#34;file&#34;</error></testcase></testsuite></testsuites>"
    );
}
