use std::collections::BTreeSet;

use super::functions::RuleFunctions;
use super::grounds::Ground;
use super::*;
use crate::alert::{Instances, Terms, Transition};
use crate::model::matcher::all_match;
use crate::model::{Cell, LabelSet, Row, Select, Series, Source, SourceError, Value};
use crate::promql::evaluate::{Cancel, Options};
use crate::promql::parse::{self, Syntax};
use crate::promql::walk;
use crate::store::{Store, StoreOptions};
use crate::time::Timestamp;

fn load(text: &str) -> (Vec<RuleGroup>, Vec<String>) {
    let (groups, problems) = read("r.yml", text, &Defaults::default());
    (groups, problems.iter().map(|problem| problem.to_string()).collect())
}

fn one(rule: &str) -> RuleGroup {
    let text = format!("groups:\n- name: g\n  labels: {{team: a, severity: low}}\n  rules:\n{rule}");
    let (mut groups, problems) = load(&text);
    assert!(problems.is_empty(), "{problems:?}");
    groups.remove(0)
}

/// Answers every expression with the same elements, the text `down` with a fault.
struct Fixed(Vec<(LabelSet, Value)>);

impl Queries for Fixed {
    fn instant(&self, _expr: &Expr, text: &str, _at: Timestamp) -> Result<Vec<(LabelSet, Value)>, String> {
        if text == "down" { Err("no samples".into()) } else { Ok(self.0.clone()) }
    }
}

fn series(pairs: &[(&str, &str)], value: f64) -> (LabelSet, Value) {
    (LabelSet::from_pairs(pairs.iter().copied()), Value::Float(value))
}

#[test]
fn a_file_is_read_with_its_defaults() {
    let text = "groups:\n- name: a\n  interval: 30s\n  query_offset: 1m\n  limit: 7\n  early: false\n  labels: {team: x}\n  rules:\n  - record: job:up:sum\n    expr: sum by (job) (up)\n  - alert: Down\n    expr: up == 0\n    for: 5m\n    keep_firing_for: 1m\n    labels: {severity: page, team: y}\n    annotations: {summary: '{{ $labels.instance }} is down'}\n- name: b\n";
    let (groups, problems) = load(text);
    assert!(problems.is_empty(), "{problems:?}");
    let group = &groups[0];
    assert_eq!((group.interval, group.query_offset, group.limit, group.early), (Span(30_000), Span(60_000), 7, false));
    assert_eq!(groups[1].interval, Span::from_mins(1));
    assert_eq!(group.rules[0].label_texts(), BTreeMap::from([("team".into(), "x".into())]));
    let Kind::Alert(alerting) = &group.rules[1].kind else { panic!("the second rule is an alert") };
    assert_eq!((alerting.hold, alerting.keep_firing), (Span::from_mins(5), Span::from_mins(1)));
    assert_eq!(group.rules[1].label_texts()["team"], "y");
    assert_eq!(group.ids()[1].nth, 0);
}

#[test]
fn all_faults_of_a_file_come_at_once_with_their_places() {
    let text = "groups:\n- name: a\n  partial_response_strategy: warn\n  rules:\n  - expr: up\n  - record: x{y=\"z\"}\n    expr: up\n    for: 1m\n  - alert: A\n    expr: (up\n    annotations: {summary: '{{ $lables.x }}'}\n  - record: r\n    alert: s\n    expr: up\n    labels: {__name__: q}\n- name: a\n";
    let (_, problems) = load(text);
    assert_eq!(
        problems,
        [
            "r.yml:3:3: error: groups[0].partial_response_strategy: unknown key partial_response_strategy; \
             remove it or check its indentation",
            "r.yml:5:5: error: groups[0].rules[0]: one of 'record' or 'alert' must be set",
            "r.yml:6:13: error: groups[0].rules[1].record: braces present in the recording rule name; \
             should it be in expr?: x{y=\"z\"}",
            "r.yml:8:10: error: groups[0].rules[1].for: invalid field 'for' in recording rule",
            "r.yml:10:11: error: groups[0].rules[2].expr: could not parse expression: \
             1:4: parse error: unclosed left parenthesis",
            "r.yml:11:28: error: groups[0].rules[2].annotations.summary: annotation \"summary\": \
             template: __alert_A:1: undefined variable \"$lables\"",
            "r.yml:12:5: error: groups[0].rules[3]: only one of 'record' and 'alert' must be set",
            "r.yml:15:24: error: groups[0].rules[3].labels.__name__: invalid label name: __name__",
            "r.yml:16:3: error: groups[1]: groupname: \"a\" is repeated in the same file; rename one of the two",
        ]
    );
}

#[test]
fn recorded_series_take_name_and_labels() {
    let group = one("  - record: r\n    expr: up\n    labels: {job: '', kind: k}\n");
    let queries = Fixed(vec![series(&[("__name__", "up"), ("job", "j"), ("instance", "i")], 1.0)]);
    let Ok(Evaluated::Recorded(recorded)) = evaluate(&group.rules[0], Timestamp(0), &queries, &Environment::default()) else {
        panic!("a recording rule records")
    };
    assert_eq!(recorded[0].0.to_string(), r#"{__name__="r", instance="i", kind="k", severity="low", team="a"}"#);
    let same = Fixed(vec![series(&[("job", "a")], 1.0), series(&[("job", "b")], 1.0)]);
    let error = evaluate(&group.rules[0], Timestamp(0), &same, &Environment::default()).unwrap_err();
    assert!(error.to_string().starts_with("vector contains metrics with the same labelset after applying rule labels"));
    let limited = Environment { limit: 1, ..Environment::default() };
    let two = Fixed(vec![series(&[("a", "1")], 1.0), series(&[("a", "2")], 1.0)]);
    let error = evaluate(&group.rules[0], Timestamp(0), &two, &limited).unwrap_err();
    assert_eq!(error.to_string(), "exceeded limit of 1 with 2 series");
}

#[test]
fn alerts_take_labels_and_annotations_from_templates() {
    let group = one(
        "  - alert: Slow\n    expr: up\n    labels: {severity: '{{ if gt $value 2.0 }}high{{ else }}low{{ end }}', alertname: no}\n    annotations:\n      summary: '{{ $labels.instance }} at {{ $value | humanize }} of {{ $externalLabels.dc }} {{ $labels.nothing }}'\n      other: '{{ with query \"x\" }}{{ . | first | value }}{{ end }}'\n      broken: '{{ $value | first }}'\n",
    );
    let queries = Fixed(vec![series(&[("__name__", "up"), ("instance", "i")], 2500.0)]);
    let environment = Environment { external_labels: LabelSet::from_pairs([("dc", "eu")]), ..Environment::default() };
    let Ok(Evaluated::Active(active)) = evaluate(&group.rules[0], Timestamp(0), &queries, &environment) else {
        panic!("an alerting rule has alerts")
    };
    assert_eq!(active[0].labels.to_string(), r#"{alertname="Slow", instance="i", severity="high", team="a"}"#);
    assert_eq!(active[0].annotations["summary"], "i at 2.5k of eu ");
    assert_eq!(active[0].annotations["other"], "2500");
    assert_eq!(
        active[0].annotations["broken"],
        "<error expanding template: error executing template __alert_Slow: template: __alert_Slow:1:124: executing \
         \"__alert_Slow\" at <first>: wrong type for value; expected template.queryResult; got float64>"
    );
    assert_eq!(active[0].value, 2500.0);
}

#[test]
fn alerts_that_templates_make_equal_are_refused() {
    let group = one("  - alert: A\n    expr: up\n    labels: {instance: x}\n");
    let queries = Fixed(vec![series(&[("instance", "a")], 1.0), series(&[("instance", "b")], 1.0)]);
    let error = evaluate(&group.rules[0], Timestamp(0), &queries, &Environment::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "vector contains metrics with the same labelset after applying alert labels: \
         {alertname=\"A\", instance=\"x\", severity=\"low\", team=\"a\"}"
    );
}

#[test]
fn rules_with_the_same_series_are_warned_of() {
    let text = "groups:\n- name: g\n  rules:\n  - {record: r, expr: up}\n  - {record: r, expr: down}\n  - {alert: A, expr: up, labels: {v: '{{ $value }}'}}\n";
    let (groups, problems) = read("r.yml", text, &Defaults::default());
    assert_eq!((groups[0].rules.len(), problems), (3, Vec::new()));
    let told: Vec<String> = lint::at_load("r.yml", text, &groups).iter().map(ToString::to_string).collect();
    assert!(told.len() == 2 && told[0].starts_with("r.yml:5:14: warning: duplicate-rules: r: "), "{told:?}");
    assert!(told[1].starts_with("r.yml:6:38: warning: value-in-label: A: "), "{told:?}");
    assert_eq!(groups[0].ids()[1].nth, 1);
}

#[test]
fn early_looks_wait_for_all_targets_where_several_count() {
    let recorded = BTreeSet::from(["job:up:sum".to_owned()]);
    let check = |expr: &str, expected: &str| {
        let group = one(&format!("  - alert: A\n    expr: {expr}\n"));
        let plan = early_plan(&group.rules[0], &group, &recorded);
        let (word, count) = match &plan {
            EarlyPlan::Never => ("never", 0),
            EarlyPlan::OnAnyTarget { selectors } => ("any", selectors.len()),
            EarlyPlan::WhenAllReported { selectors } => ("all", selectors.len()),
        };
        assert_eq!(format!("{word} {count}"), expected, "{expr}");
    };
    check("up == 0", "any 1");
    check("rate(errors[5m]) / rate(requests[5m]) > 0.1", "any 2");
    check("a / on (instance, job) b > 1", "any 2");
    check("max by (instance) (a) > 1", "any 1");
    check("sum without (cpu) (a) > 1", "any 1");
    check("sum(a) > 1", "all 1");
    check("a / on (job) b > 1", "all 2");
    check("a / ignoring (instance) b", "all 2");
    check("absent(up)", "all 1");
    check("label_replace(a, \"instance\", \"x\", \"\", \"\") > 1", "all 1");
    check("a > 1 and a offset 5m < 1", "any 1");
    check("a offset 5m > 1", "never 0");
    check("job:up:sum > 1", "never 0");
    check("ALERTS > 0", "never 0");
    check("vector(1)", "never 0");
    let mut group = one("  - alert: A\n    expr: up\n");
    group.early = false;
    assert!(matches!(early_plan(&group.rules[0], &group, &recorded), EarlyPlan::Never));
}

#[test]
fn functions_are_known_by_name_when_a_file_is_read() {
    use crate::template::Functions;
    let functions = RuleFunctions::without_data();
    assert!(functions.signature("humanize").is_some() && functions.signature("tmpl").is_none());
}

/// Series that never change.
struct Recording(Vec<Series>);

impl Source for Recording {
    fn select(&self, request: &Select<'_>) -> Result<Vec<Series>, SourceError> {
        let within = |series: &Series| Series {
            floats: series.floats.iter().copied().filter(|(at, _)| (request.start.0..=request.end.0).contains(at)).collect(),
            ..series.clone()
        };
        let found = self.0.iter().filter(|series| all_match(request.matchers, &series.labels)).map(within);
        Ok(found.filter(|series| !series.floats.is_empty()).collect())
    }
}

#[test]
fn a_rule_file_a_source_and_instants_make_a_story() {
    let group = one(
        "  - alert: Down\n    expr: up == 0\n    for: 1m\n    annotations: {summary: '{{ $labels.job }} {{ with query \"count(up)\" }}{{ . | first | value }}{{ end }}'}\n",
    );
    let values = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let series = |job: &str, values: [f64; 6]| Series {
        labels: LabelSet::from_pairs([("__name__", "up"), ("job", job)]),
        floats: values.iter().enumerate().map(|(index, value)| (index as i64 * 30_000, *value)).collect(),
        ..Series::default()
    };
    let source = Recording(vec![series("api", values), series("web", [1.0; 6])]);
    let (options, cancel) = (Options::default(), Cancel::new());
    let local = Local { source: &source, options: &options, cancel: &cancel };
    let mut alerts = Instances::new();
    let mut story = Vec::new();
    for index in 0..6 {
        let at = Timestamp(index * 30_000);
        let Ok(Evaluated::Active(active)) = evaluate(&group.rules[0], at, &local, &Environment::default()) else {
            panic!("the rule is evaluated")
        };
        for alert in &active {
            assert_eq!(alert.annotations["summary"], "api 2");
        }
        let terms = Terms { hold: Span::from_mins(1), ..Terms::default() };
        for transition in alerts.step(active, at, &terms).unwrap() {
            story.push(match transition {
                Transition::Pending(_) => format!("{index} pending"),
                Transition::Fired(_) => format!("{index} fired"),
                Transition::Resolved(_) => format!("{index} resolved"),
                Transition::Cleared(_) | Transition::Forgotten(_) => format!("{index} gone"),
            });
        }
    }
    assert_eq!(story, ["1 pending", "3 fired", "5 resolved"]);
}

#[test]
fn what_is_no_vector_is_no_result_of_a_rule() {
    let group = one("  - record: r\n    expr: '\"text\"'\n");
    let (options, cancel) = (Options::default(), Cancel::new());
    let local = Local { source: &Recording(Vec::new()), options: &options, cancel: &cancel };
    let error = evaluate(&group.rules[0], Timestamp(0), &local, &Environment::default()).unwrap_err();
    assert_eq!(error, RuleError::Query("rule result is not a vector or scalar".into()));
}

#[test]
fn damaged_files_never_panic() {
    let text = "groups:\n- name: a\n  interval: 30s\n  labels: {team: x}\n  rules:\n  - record: r\n    expr: sum(up)\n  - alert: A\n    expr: up == 0\n    for: 5m\n    labels: &l {a: '{{ $value }}é'}\n    annotations: *l\n";
    for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
        let _ = load(&text[..cut]);
        for piece in ["\n", ": ", "- ", "{{", "[", "'", "&l "] {
            let _ = load(&format!("{}{piece}{}", &text[..cut], &text[cut..]));
        }
    }
}

#[test]
fn the_address_of_a_rule_shows_its_expression() {
    let group = one("  - alert: A\n    expr: up==0\n");
    assert_eq!(group.rules[0].generator_url("http://tocsin:9090"), "http://tocsin:9090/explore?expr=up%3D%3D0");
}

#[test]
fn groups_are_equal_when_they_do_the_same() {
    let text = "  - alert: A\n    expr: up == 0\n    labels: {team: x}\n";
    assert_eq!(one(text), one(&format!("# moved by a line\n{text}")));
    for other in [text.replace("== 0", "== 1"), text.replace("x}", "y}"), text.replace("A", "B"), format!("{text}    for: 1m\n")]
    {
        assert_ne!(one(text), one(&other), "{other}");
    }
    assert_ne!(one(text), RuleGroup { early: false, ..one(text) });
}

#[test]
fn a_fault_of_an_expression_tells_its_place() {
    let group = one("  - record: r\n    expr: up + label_replace(up, 'a', '', 'b', '(')\n");
    let (options, cancel) = (Options::default(), Cancel::new());
    let local = Local { source: &Recording(Vec::new()), options: &options, cancel: &cancel };
    let error = evaluate(&group.rules[0], Timestamp(0), &local, &Environment::default()).unwrap_err();
    assert!(error.to_string().ends_with("(at byte 5 of the expression)"), "{error}");
}

#[test]
fn what_becomes_of_unseen_alerts_is_read_in_one_word_or_by_reason() {
    let holding = |unseen: &str| {
        let group = one(&format!("  - alert: A\n    expr: up == 0\n{unseen}"));
        let Kind::Alert(alerting) = &group.rules[0].kind else { panic!("an alert") };
        (alerting.holding.scrape_failed, alerting.holding.no_data, alerting.holding.target_gone)
    };
    assert_eq!(holding(""), (true, false, false));
    assert_eq!(holding("    unseen: hold\n"), (true, true, true));
    assert_eq!(holding("    unseen: resolve\n"), (false, false, false));
    assert_eq!(holding("    unseen: {no_data: hold, scrape_failed: resolve}\n"), (false, true, false));
    let text = "groups:\n- name: a\n  rules:\n  - {alert: A, expr: up, unseen: forget}\n  - {alert: B, expr: up, unseen: {gone: hold, no_data: 5}}\n  - {record: r, expr: up, unseen: hold}\n";
    let (_, problems) = load(text);
    assert_eq!(
        problems,
        [
            "r.yml:4:34: error: groups[0].rules[0].unseen: \"forget\" is neither hold nor resolve",
            "r.yml:5:35: error: groups[0].rules[1].unseen.gone: unknown key gone; remove it or check its indentation",
            "r.yml:5:56: error: groups[0].rules[1].unseen.no_data: \"5\" is neither hold nor resolve",
            "r.yml:6:35: error: groups[0].rules[2].unseen: invalid field 'unseen' in recording rule",
        ]
    );
}

#[test]
fn it_is_told_why_nobody_can_tell() {
    let store = Store::new(StoreOptions::default());
    let put = |text: &str, value: f64| {
        let expr = parse::parse(text, &Syntax::default()).unwrap();
        let labels = LabelSet::from_pairs(walk::selectors(&expr)[0].iter().map(|matcher| (&*matcher.name, &*matcher.value)));
        let series = store.resolve(&labels).unwrap();
        store
            .append_unlogged(&Row { at: Timestamp(0), cells: vec![Cell { series, at: None, value: Value::Float(value) }] })
            .unwrap();
    };
    put(r#"up{job="shop",instance="a"}"#, 1.0);
    put(r#"up{job="shop",instance="b"}"#, 0.0);
    put(r#"up{job="other",instance="c"}"#, 0.0);
    put(r#"depth{job="shop",instance="a",queue="mail"}"#, 3.0);
    let (snapshot, options, cancel) = (store.snapshot(), Options::default(), Cancel::new());
    let why = |text: &str, labels: &[(&str, &str)]| {
        let expr = parse::parse(text, &Syntax::default()).unwrap();
        let alert = LabelSet::from_pairs(labels.iter().copied().chain([("alertname", "A"), ("severity", "page")]));
        let ground = Ground::new(Timestamp(0), &snapshot, &options, &cancel);
        let found = ground.unseen(&expr, [alert], |name| matches!(name, "alertname" | "severity")).unwrap();
        found.into_values().next()
    };
    // The series is there, so its end was seen.
    assert_eq!(why("depth > 5", &[("job", "shop"), ("instance", "a"), ("queue", "mail")]), None);
    assert_eq!(why("sum by (job) (rate(depth[5m])) > 5", &[("job", "shop")]), None);
    assert_eq!(why("depth > 5", &[("job", "shop"), ("instance", "a"), ("queue", "sms")]), Some(Unseen::NoData));
    assert_eq!(why("depth > 5", &[("job", "shop"), ("instance", "b"), ("queue", "mail")]), Some(Unseen::ScrapeFailed));
    assert_eq!(why("depth > 5", &[("job", "shop"), ("instance", "z"), ("queue", "mail")]), Some(Unseen::TargetGone));
    // Of what has no labels of a target, any target may be meant that the expression does not leave out.
    assert_eq!(why("sum(errors) > 5", &[]), Some(Unseen::ScrapeFailed));
    assert_eq!(why(r#"sum(errors{job="shop",instance="a"}) > 5"#, &[]), Some(Unseen::NoData));
    assert_eq!(why(r#"sum(errors{job="gone"}) > 5"#, &[]), Some(Unseen::TargetGone));
    assert_eq!(why("absent(errors)", &[]), None);
}
