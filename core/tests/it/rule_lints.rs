//! Lints of rules: what each finds, what it must not find, and where.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_core::promql::parse::Syntax;
use tocsin_core::rule::lint::{Facts, Finding, Level, Lint, Question, lint, questions};
use tocsin_core::rule::{Defaults, RuleGroup, read};
use tocsin_core::time::Span;

use crate::corpora;

fn load(text: &str) -> Vec<RuleGroup> {
    let defaults = Defaults { custom_resources: true, syntax: Syntax::everything(), ..Defaults::default() };
    let (groups, problems) = read("r.yml", text, &defaults);
    assert_eq!(problems, [], "{text}");
    groups
}

fn found(text: &str, facts: &Facts) -> Vec<Finding> {
    lint("r.yml", text, &load(text), facts)
}

fn alert(expr: &str) -> String {
    let expr = expr.replace('\'', "''");
    format!("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: '{expr}'\n    for: 5m\n    annotations: {{summary: s}}\n")
}

/// Checks which part of an alert's expression which lint marks.
fn check_with(facts: &Facts, expr: &str, expected: &[(&str, &str)]) {
    let findings = found(&alert(expr), facts);
    let told: Vec<(&str, String)> = findings
        .iter()
        .map(|finding| {
            let excerpt = finding.excerpt.as_ref().unwrap_or_else(|| panic!("{finding} marks something"));
            (finding.lint.name(), excerpt.line.chars().skip(excerpt.start).take(excerpt.marked).collect())
        })
        .collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(name, part)| (*name, part.as_str())).collect();
    assert_eq!(told, expected, "{expr}");
}

fn check(expr: &str, expected: &[(&str, &str)]) {
    check_with(&Facts::default(), expr, expected);
}

#[test]
fn rates_are_of_counters() {
    check("rate(x_total[5m]) > 1", &[]);
    check("rate(process_start_timestamp_seconds[5m]) > 1", &[("rate-of-gauge", "rate(process_start_timestamp_seconds[5m])")]);
    check("increase(up[5m]) > 1", &[("rate-of-gauge", "increase(up[5m])")]);
    check("rate(things[5m]) > 1", &[("counter-name", "rate(things[5m])")]);
    check("rate(job:things:sum[5m]) > 1", &[]);
    check("histogram_quantile(0.9, sum(rate(latency_seconds[5m]))) > 1", &[]);
    check("rate(sum(x_total)[5m:1m]) > 1", &[("rate-of-aggregate", "rate(sum(x_total)[5m:1m])")]);
    check("deriv(x_total[5m]) > 1", &[("delta-of-counter", "deriv(x_total[5m])")]);
    check("delta(temperature[5m]) > 1", &[]);
    check("irate(x_total[5m]) > 1", &[("irate-in-alert", "irate(x_total[5m])")]);
    check("sum(errors_total{a=\"b\"}) > 1", &[("raw-counter", "errors_total{a=\"b\"}")]);
    check("errors_total == 0 or drives_offline_total > 0", &[]);
}

#[test]
fn a_service_knows_more_than_names() {
    let types = [("things", "counter"), ("odd_total", "gauge"), ("latency_seconds", "histogram")];
    let facts = Facts {
        types: types.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect(),
        nothing: BTreeSet::from(["{__name__=\"gone_total\",job=\"a\"}".to_owned()]),
        scrapes: BTreeMap::from([("a".to_owned(), Span::from_mins(1)), ("b".to_owned(), Span(15_000))]),
        ..Facts::default()
    };
    check_with(&facts, "rate(things[5m]) > 1 or things > 5", &[("raw-counter", "things")]);
    check_with(&facts, "rate(odd_total[5m]) > 1 or deriv(odd_total[5m]) > 1", &[("rate-of-gauge", "rate(odd_total[5m])")]);
    check_with(&facts, "rate(latency_seconds_sum[5m]) > rate(latency_seconds[5m])", &[]);
    let gone = "gone_total{job=\"a\"}";
    check_with(&facts, &format!("rate({gone}[5m]) > 1"), &[("matches-nothing", &format!("{gone}[5m]"))]);
    check_with(&facts, &format!("absent({gone})"), &[]);
    check_with(&facts, "rate(x_total{job=\"a\"}[1m]) > 1", &[("short-range", "rate(x_total{job=\"a\"}[1m])")]);
    check_with(&facts, "rate(x_total{job=\"b\"}[1m]) > 1 and rate(x_total[1m]) > 1", &[]);
    let groups = load(&alert(&format!("max_over_time({gone}[1h] offset 1h) > 1 or absent(other)")));
    let asked = [Question { selector: "{__name__=\"gone_total\",job=\"a\"}".to_owned(), back: Span::from_mins(120) }];
    assert_eq!(questions(&groups, &facts), asked);
}

#[test]
fn what_rules_record_has_their_interval() {
    let text = "groups:\n- name: g\n  interval: 1m\n  rules:\n  - {record: a:b_total, expr: sum(b)}\n  - {record: c, expr: 'rate(a:b_total[90s])'}\n";
    let mut facts = Facts::default();
    facts.learn_recorded(&load(text));
    let told: Vec<&str> = found(text, &facts).iter().map(|finding| finding.lint.name()).collect();
    assert_eq!(told, ["short-range"]);
    assert_eq!(questions(&load(text), &facts).len(), 1, "what is recorded is not asked for");
}

#[test]
fn alerts_compare() {
    check("up", &[("no-comparison", "up")]);
    check("sum by (a) (x)", &[("no-comparison", "sum by (a) (x)")]);
    check("x > bool 1", &[("no-comparison", "x > bool 1")]);
    check("changes(x[5m]) * 2", &[("no-comparison", "changes(x[5m]) * 2")]);
    check("x > 1 or y", &[("no-comparison", "y")]);
    for good in ["x > 1", "sum(x > 1)", "absent(x)", "x unless y", "x and y > 1", "ALERTS{a=\"b\"}", "vector(1)", "(x == 0) * 5"]
    {
        check(good, &[]);
    }
}

#[test]
fn selectors_say_what_they_mean() {
    check("x{a=~\"b\"} > 1", &[("regex-not-needed", "x{a=~\"b\"}")]);
    check("x{a=~\".*\"} > 1", &[("regex-matches-all", "x{a=~\".*\"}")]);
    check("x{a=~\"b|c\",d!~\"e.+\"} > 1", &[]);
    check("absent(up{job=~\"a|b\"})", &[("absent-regex", "up{job=~\"a|b\"}")]);
    check("absent(up{job=~\"a.*\"})", &[]);
    check(
        "histogram_quantile(0.9, sum by (a) (rate(x_bucket[5m]))) > 1",
        &[("missing-le", "histogram_quantile(0.9, sum by (a) (rate(x_bucket[5m])))")],
    );
    check("histogram_quantile(0.9, sum by (a, le) (rate(x_bucket[5m]))) > 1", &[]);
    check("histogram_quantile(0.9, sum without (a) (rate(x_bucket[5m]))) > 1", &[]);
}

#[test]
fn one_side_of_a_match_is_one() {
    check("x / on (a) y > 1", &[("many-to-many", "x"), ("many-to-many", "y")]);
    check("x / on (a) group_left y > 1", &[("many-to-many", "y")]);
    check("x / on (a) group_left sum by (a) (y) > 1", &[]);
    check("x * on (a) group_left (b) y_info > 1", &[]);
    check("sum by (a) (x) / on (a, b) max by (b) (y) > 1", &[]);
    check("x / y > 1 and on (a) z", &[]);
}

fn labels_that_cannot_be(expr: &str, summary: &str) -> Vec<String> {
    let text = alert(expr).replace("summary: s", &format!("summary: '{summary}'"));
    let of_labels = |finding: &Finding| finding.lint == Lint::UnknownLabel;
    let mark = |finding: Finding| {
        let excerpt = finding.excerpt.expect("it marks the label");
        excerpt.line.chars().skip(excerpt.start).take(excerpt.marked).collect()
    };
    found(&text, &Facts::default()).into_iter().filter(of_labels).map(mark).collect()
}

#[test]
fn texts_name_labels_that_alerts_have() {
    let summary = "{{ $labels.a }} and {{ $labels.b | title }}";
    for (expr, wrong) in [
        ("x > 1", &[][..]),
        ("sum by (a) (x) > 1", &["$labels.b"]),
        ("sum without (a) (x) > 1", &["$labels.a"]),
        ("sum(x) > 1", &["$labels.a", "$labels.b"]),
        ("sum by (a) (x) / on (a) group_left (b) y_info > 1", &[]),
        ("sum by (a) (x) / on (a) sum by (a) (y) > 1", &["$labels.b"]),
        ("topk(1, x) > 1", &[]),
        ("label_replace(sum by (a) (x), \"b\", \"$1\", \"a\", \"(.*)\") > 1", &[]),
        ("count_values(\"b\", x) by (a) > 1", &[]),
        ("absent(x{a=\"1\",b=~\".+\"})", &["$labels.b"]),
        ("sum by (a) (x) > 1 or sum by (b) (x) > 1", &[]),
        ("sum by (a) (x) > 1 and on () y", &["$labels.b"]),
        ("5 < sum by (a) (x)", &["$labels.b"]),
        ("x{b=\"\"} > 1", &["$labels.b"]),
    ] {
        assert_eq!(labels_that_cannot_be(expr, summary), wrong, "{expr}");
    }
}

const WHOLE: &str = r#"groups:
- name: g
  interval: 1m
  rules:
  - alert: A
    expr: |
      # why so
      sum by (job) (
        rate(up[5m])
      ) > 0
    for: 30s
    labels: {level: '{{ $value }}'}
  - alert: B
    expr: >-
      x
        > 1
  - alert: B
    expr: "x{a=\"b\",\n c=~\"d\"} > 1"
    for: 5m
    annotations:
      summary: it's
"#;

#[test]
fn findings_are_told_with_line_and_mark() {
    let told: Vec<String> = found(WHOLE, &Facts::default()).iter().map(ToString::to_string).collect();
    let expected = [
        "r.yml:5:12: info: missing-summary: A: there is no annotation that says in a line what is wrong; add annotations: {summary: …}\n  \
           - alert: A\n           ^",
        "r.yml:9:9: warning: rate-of-gauge: A: \"up\" is a gauge, its name says so, and every fall of it counts as a reset in rate; use \
         delta or deriv for a gauge, changes for how often it moved\n  rate(up[5m])\n  ^^^^^^^^^^^^",
        "r.yml:11:10: warning: short-for: A: for: 30s is shorter than the evaluation interval of 1m; make it at least one interval, or \
         leave it out\n  for: 30s\n       ^^^",
        "r.yml:12:21: warning: value-in-label: A: label \"level\" holds the value of the expression; every new value is then a new \
         alert; put it into an annotation\n  labels: {level: '{{ $value }}'}\n                  ^^^^^^^^^^^^",
        "r.yml:13:12: info: missing-for: B: one bad evaluation is enough to fire; add for: with the time that it has to last\n  \
           - alert: B\n           ^",
        "r.yml:13:12: info: missing-summary: B: there is no annotation that says in a line what is wrong; add annotations: {summary: \
         …}\n  - alert: B\n           ^",
        "r.yml:17:12: warning: duplicate-rules: B: the same alert with the same labels stands in line 13 already; tell them apart by a \
         label, or join them with or\n  - alert: B\n           ^",
        "r.yml:18:12: info: regex-not-needed: B: c=~\"d\" is a plain text: c=\"d\" says the same; compare with = or !=\n  \
           expr: \"x{a=\\\"b\\\",\\n c=~\\\"d\\\"} > 1\"\n         ^^^^^^^^^^^^^^^^^^^^^^",
    ];
    assert_eq!(told.len(), expected.len(), "{}", told.join("\n"));
    for (told, expected) in told.iter().zip(expected) {
        assert_eq!(told, expected);
    }
}

#[test]
fn comments_silence_a_lint_for_one_rule() {
    let text = "groups:\n- name: g\n  rules:\n  # Known. tocsin-ignore is written so:\n  # tocsin-ignore: missing-for, no-comparison because it is so\n  - alert: A\n    expr: up\n    annotations: {summary: s}\n  - alert: B\n    expr: |\n      up # tocsin-ignore: no-comparisons\n    annotations: {summary: s}\n";
    let told: Vec<(&str, u32)> =
        found(text, &Facts::default()).iter().map(|finding| (finding.lint.name(), finding.position.line)).collect();
    assert_eq!(told, [("missing-for", 9), ("no-comparison", 11), ("unknown-lint", 11)]);
}

#[test]
fn names_are_unique_and_meanings_are_told() {
    let names: BTreeSet<&str> = Lint::ALL.iter().map(|lint| lint.name()).collect();
    assert_eq!(names.len(), Lint::ALL.len());
    assert!(Lint::ALL.iter().all(|lint| Lint::find(lint.name()) == Some(*lint) && !lint.meaning().is_empty()));
}

#[test]
fn collections_have_few_findings_and_no_false_errors() {
    for (folder, most) in [("kubernetes-mixin", 40), ("kube-prometheus/manifests", 60), ("node-exporter/mixin", 20)] {
        let Some(path) = corpora::path(folder) else { return };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for file in corpora::files(&path, &["yml", "yaml"]) {
            let text = std::fs::read_to_string(&file).expect("the file can be read");
            let defaults = Defaults { custom_resources: true, ..Defaults::default() };
            let (groups, problems) = read("r.yml", &text, &defaults);
            if !problems.is_empty() {
                continue;
            }
            for finding in lint("r.yml", &text, &groups, &Facts::default()) {
                assert_ne!(finding.lint.level(), Level::Error, "{finding}");
                assert!(finding.excerpt.is_some(), "{finding} has a mark");
                *counts.entry(finding.lint.name()).or_default() += 1;
            }
        }
        println!("{folder}: {counts:?}");
        assert!(counts.values().sum::<usize>() <= most, "{folder}: {counts:?}");
    }
}
