//! The evaluator: cases of our own, in the language of test scripts, and the limits of an evaluation.

use tocsin_core::model::{LabelSet, METRIC_NAME, Select, Series, Source, SourceError};
use tocsin_core::promql::ast::Expr;
use tocsin_core::promql::evaluate::{Cancel, EvalError, Options, instant, range};
use tocsin_core::promql::parse::{Syntax, parse};
use tocsin_core::promql::script;
use tocsin_core::promql::value::Value;
use tocsin_core::time::{Span, Timestamp};

fn check(options: &Options, text: &str) {
    let outcomes = script::run(text, options).expect("a script");
    assert!(!outcomes.is_empty());
    for outcome in outcomes {
        assert_eq!(outcome.result, Ok(()), "line {}: {}", outcome.line, outcome.query);
    }
}

fn check_both(text: &str) {
    for delayed_name_removal in [false, true] {
        check(&Options { delayed_name_removal, ..Options::default() }, text);
    }
}

#[test]
fn a_sample_counts_for_five_minutes_and_no_longer() {
    check_both(
        "
load 1m
  boiler_pressure{plant=\"north\"} 3 _ _ _ _ _ _ 5 stale

eval instant at 4m59s boiler_pressure
  boiler_pressure{plant=\"north\"} 3

eval instant at 5m boiler_pressure

eval instant at 8m boiler_pressure

eval range from 6m to 9m step 1m boiler_pressure
  boiler_pressure{plant=\"north\"} _ 5

eval instant at 7m timestamp(boiler_pressure) - time()
  {plant=\"north\"} 0
",
    );
}

#[test]
fn ranges_leave_out_their_start() {
    check_both(
        "
load 30s
  pump_litres_total{pump=\"a\"} 0+15x10

eval instant at 2m count_over_time(pump_litres_total[1m])
  {pump=\"a\"} 2

eval instant at 2m rate(pump_litres_total[1m])
  {pump=\"a\"} 0.5

eval instant at 2m increase(pump_litres_total[1m:30s])
  {pump=\"a\"} 30

eval instant at 1m last_over_time(pump_litres_total[1m] offset -1m)
  pump_litres_total{pump=\"a\"} 60
",
    );
}

#[test]
fn series_are_matched_by_their_labels() {
    check_both(
        "
load 1m
  seats{hall=\"red\", row=\"1\"} 10
  seats{hall=\"red\", row=\"2\"} 12
  seats{hall=\"blue\", row=\"1\"} 8
  price{hall=\"red\", class=\"gold\"} 50
  price{hall=\"blue\", class=\"tin\"} 20

eval instant at 0m seats * on(hall) group_left(class) price
  {hall=\"red\", row=\"1\", class=\"gold\"} 500
  {hall=\"red\", row=\"2\", class=\"gold\"} 600
  {hall=\"blue\", row=\"1\", class=\"tin\"} 160

eval instant at 0m seats * on(hall) price
  expect fail regex: many-to-one matching must be explicit

eval instant at 0m price * on(hall) seats
  expect fail regex: many-to-many matching not allowed

eval instant at 0m seats > 9 unless on(hall, row) seats{row=\"2\"}
  seats{hall=\"red\", row=\"1\"} 10

eval instant at 0m 9 < bool seats
  {hall=\"red\", row=\"1\"} 1
  {hall=\"red\", row=\"2\"} 1
  {hall=\"blue\", row=\"1\"} 0
",
    );
}

#[test]
fn groups_come_with_their_labels_and_ranks_in_order() {
    check_both(
        "
load 1m
  load_kg{lift=\"a\", floor=\"1\"} 300
  load_kg{lift=\"a\", floor=\"2\"} NaN
  load_kg{lift=\"b\", floor=\"1\"} 700

eval instant at 0m max by(lift) (load_kg)
  {lift=\"a\"} 300
  {lift=\"b\"} 700

eval instant at 0m count without(floor) (load_kg)
  {lift=\"a\"} 2
  {lift=\"b\"} 1

eval instant at 0m topk(3, load_kg)
  expect ordered
  load_kg{lift=\"b\", floor=\"1\"} 700
  load_kg{lift=\"a\", floor=\"1\"} 300
  load_kg{lift=\"a\", floor=\"2\"} NaN

eval instant at 0m count_values(\"kg\", load_kg{floor=\"1\"})
  {kg=\"300\"} 1
  {kg=\"700\"} 1

eval instant at 0m quantile(0.5, load_kg{floor=\"1\"})
  {} 500
",
    );
}

#[test]
fn names_go_where_the_options_say() {
    let names = "
load 1m
  left_total{a=\"1\"} 0+60x5
  right_total{a=\"1\"} 0+120x5
";
    let at_once = "

eval instant at 5m rate({__name__=~\"left_total|right_total\"}[5m])
  expect fail msg: vector cannot contain metrics with the same labelset

eval instant at 5m label_replace(rate(left_total[5m]), \"was\", \"$1\", \"__name__\", \"(.+)\")
  {a=\"1\"} 1
";
    let later = "

eval instant at 5m label_replace(rate({__name__=~\"left_total|right_total\"}[5m]), \"was\", \"$1\", \"__name__\", \"(.+)\")
  {a=\"1\", was=\"left_total\"} 1
  {a=\"1\", was=\"right_total\"} 2
";
    check(&Options::default(), &format!("{names}{at_once}"));
    check(&Options { delayed_name_removal: true, ..Options::default() }, &format!("{names}{later}"));
}

#[test]
fn remarks_name_the_place() {
    check_both(
        "
load 1m
  queue_length 0+1x5

eval instant at 5m 2 * rate(queue_length[5m])
  expect info msg: PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"queue_length\" (1:10)
  expect no_warn
  {} 0.03333333333333333

eval instant at 5m quantile(7, queue_length)
  expect warn msg: PromQL warning: quantile value should be between 0 and 1, got 7 (1:10)
  {} +Inf
",
    );
}

/// As many series as told, each with a sample every ten seconds.
struct Many {
    series: usize,
}

impl Source for Many {
    fn select(&self, request: &Select<'_>) -> Result<Vec<Series>, SourceError> {
        let times = || (request.start.0.div_euclid(10_000) + 1..=request.end.0.div_euclid(10_000)).map(|at| at * 10_000);
        if self.series * times().count() > request.samples_max {
            return Err(SourceError::TooManySamples { limit: request.samples_max });
        }
        let one = |index: usize| Series {
            labels: LabelSet::from_pairs([(METRIC_NAME, "ticks_total".to_owned()), ("source", format!("{index:06}"))]),
            floats: times().map(|at| (at, (at / 10_000) as f64 * index as f64)).collect(),
            ..Series::default()
        };
        Ok((0..self.series).map(one).collect())
    }
}

fn expr(text: &str) -> Expr {
    parse(text, &Syntax::everything()).expect("a query")
}

#[test]
fn limits_hold() {
    let at = Timestamp(3_600_000);
    let source = Many { series: 100 };
    let run = |text: &str, options: &Options| instant(&expr(text), at, &source, options, &Cancel::new());
    let small = Options { samples_max: 1000, series_max: 99, ..Options::default() };
    let refused = run("rate(ticks_total[1h])", &small).unwrap_err();
    assert!(matches!(refused, EvalError::TooManySamples { limit: 1000 }), "{refused}");
    let refused = run("ticks_total offset 5m", &Options { samples_max: 10_000, ..small }).unwrap_err();
    assert!(matches!(refused, EvalError::TooManySeries { found: 100, limit: 99, .. }), "{refused}");
    let (end, step) = (Timestamp(at.0 + 20_000_000), Span::from_secs(1));
    let refused = range(&expr("1"), at, end, step, &source, &Options::default(), &Cancel::new()).unwrap_err();
    assert!(matches!(refused, EvalError::TooManySteps { limit: 11_000 }), "{refused}");
}

#[test]
fn a_cancelled_evaluation_ends() {
    let cancel = Cancel::new();
    cancel.cancel();
    let result = instant(&expr("ticks_total"), Timestamp(0), &Many { series: 1 }, &Options::default(), &cancel);
    assert!(matches!(result, Err(EvalError::Cancelled)));
}

#[test]
fn costs_are_counted() {
    let answer = instant(
        &expr("sum(rate(ticks_total[5m]))"),
        Timestamp(3_600_000),
        &Many { series: 10 },
        &Options::default(),
        &Cancel::new(),
    )
    .expect("an answer");
    assert_eq!((answer.stats.series, answer.stats.samples_loaded), (10, 300));
    assert!(answer.stats.samples_peak >= 300);
    assert_eq!(answer.samples_per_step, [300]);
    let query = "sum(rate(ticks_total[5m])) + sum(max_over_time(sum(ticks_total)[2m:1m])) + sum(ticks_total @ 3600)";
    let (start, end, step) = (Timestamp(3_600_000), Timestamp(3_720_000), Span::from_mins(1));
    let all =
        range(&expr(query), start, end, step, &Many { series: 10 }, &Options::default(), &Cancel::new()).expect("an answer");
    assert_eq!(all.samples_per_step, [312, 312, 312], "windows count at each step, a subquery as what it delivers");
    let Value::Vector(samples) = answer.value else { panic!("expected a vector") };
    assert_eq!(samples.len(), 1);
}

#[test]
fn start_timestamps_count_only_where_the_options_say_so() {
    let text = "load 1m\n  lone@st _ _ -30s\n  lone    _ _ 12\n\neval instant at 2m QUERY\n  {} 12\n";
    let passes = |query: &str, options: &Options| {
        let outcomes = script::run(&text.replace("QUERY", query), options).expect("a script");
        outcomes.iter().all(|outcome| outcome.result.is_ok())
    };
    assert!(passes("increase(lone[1m])", &Options::of_test_scripts()));
    assert!(!passes("increase(lone[1m])", &Options { delayed_name_removal: true, ..Options::default() }));
    assert!(passes("start_timestamp(lone) - 78", &Options::of_test_scripts()));
    assert!(!passes("start_timestamp(lone) - 78", &Options::default()));
}
