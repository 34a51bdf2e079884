//! Files of tests: text → tests and problems.

use std::collections::{BTreeMap, BTreeSet};

use super::page;
use super::{AlertCheck, ExpressionCheck, FiringAlert, Settings, Test, TestFile};
use crate::model::{LabelSet, Value as SampleValue};
use crate::problem::Problem;
use crate::promql::notation::{self, Notation};
use crate::promql::parse::{self, ParseError};
use crate::promql::script::Loaded;
use crate::rule::ALERT_NAME;
use crate::time::{Span, Timestamp};
use crate::yaml::{self, Problems, Table, Value};

/// A test may ask for this many evaluations.
const STEPS_MAX: i64 = 10_000_000;

/// Reads a file of tests.
///
/// Shape: what can be read, also beside faults; whoever runs tests refuses a file with errors as a whole. The series and expectations
/// of tests that are not selected are not looked at.
pub fn read(file: &str, text: &str, settings: &Settings) -> (Option<TestFile>, Vec<Problem>) {
    let (node, mut problems) = yaml::parse(file, text);
    let Some(node) = node else { return (None, problems) };
    let found = Problems::new(file);
    let mut table = Table::new(&node, "", &found);
    let interval = table.span("evaluation_interval").filter(|span| *span > Span::ZERO).unwrap_or(Span::from_mins(1));
    let start = start(&mut table).unwrap_or(Timestamp(0));
    let read = TestFile {
        name: file.to_owned(),
        rule_files: table.texts("rule_files"),
        interval,
        config: page::config_files(&mut table),
        group_order: group_order(&mut table),
        fuzzy: table.boolean("fuzzy_compare").unwrap_or(false),
        tests: table
            .list("tests")
            .iter()
            .enumerate()
            .filter_map(|(index, value)| read_test(index, value, &Defaults { interval, start }, settings))
            .collect(),
    };
    table.finish();
    problems.extend(found.into_vec());
    problems.sort_by_key(|problem| problem.position);
    (Some(read), problems)
}

fn group_order(table: &mut Table<'_, '_>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    for value in table.list("group_eval_order") {
        if let Some(name) = value.text()
            && !seen.insert(name.clone())
        {
            value.error(format!("group name repeated in evaluation order: {name}; name it once"));
        }
    }
    table.texts("group_eval_order")
}

/// What the file says for its tests.
struct Defaults {
    /// Between evaluations, and between values.
    interval: Span,
    start: Timestamp,
}

/// Reads `start_timestamp`, of a file or of a test.
fn start(table: &mut Table<'_, '_>) -> Option<Timestamp> {
    table.value("start_timestamp").map(|value| read_start(&value))
}

fn read_test(index: usize, value: &Value<'_, '_>, defaults: &Defaults, settings: &Settings) -> Option<Test> {
    let mut table = value.table();
    let name = table.text("name").unwrap_or_default();
    let selected = settings.selects(&name);
    let interval = table.span("interval").filter(|span| *span > Span::ZERO).unwrap_or(defaults.interval);
    let mut test = Test {
        name,
        index,
        position: value.node.position,
        start: start(&mut table).unwrap_or(defaults.start),
        interval,
        series: Vec::new(),
        external_labels: LabelSet::from_pairs(table.text_map("external_labels")),
        external_url: table.text("external_url").unwrap_or_default(),
        alerts: Vec::new(),
        expressions: Vec::new(),
        scene: page::Scene::default(),
    };
    let pages = page::Lists::of(&mut table);
    let lists = ["input_series", "alert_rule_test", "promql_expr_test"].map(|key| table.list(key));
    table.finish();
    if !selected {
        return None;
    }
    let [series, alerts, expressions] = lists;
    test.series = series.iter().filter_map(read_series).collect();
    test.alerts = alerts.iter().filter_map(read_alert_check).collect();
    test.expressions = expressions.iter().filter_map(|value| read_expression_check(value, settings)).collect();
    test.scene = page::scene(&pages, test.start);
    let instants = test.alerts.iter().map(|check| check.at).chain(test.expressions.iter().map(|check| check.at));
    let last = instants.chain(test.scene.checks.iter().map(|check| check.at)).max().unwrap_or_default();
    if last.0 / defaults.interval.0 > STEPS_MAX {
        value.error(format!(
            "the last instant that is asked for lies {} evaluations behind the start, the limit is {STEPS_MAX}",
            last.0 / defaults.interval.0
        ));
    }
    Some(test)
}

/// Reads seconds since the epoch, or RFC 3339.
fn read_start(value: &Value<'_, '_>) -> Timestamp {
    let text = value.text().unwrap_or_default();
    let seconds = || text.parse::<f64>().ok().filter(|seconds| seconds.abs() < 1e11);
    let at = Timestamp::parse_rfc3339(&text).or_else(|| seconds().map(|seconds| Timestamp((seconds * 1000.0).round() as i64)));
    at.unwrap_or_else(|| {
        value.error("expected seconds since the epoch such as 1609459200, or an instant such as 2021-01-01T00:00:00Z");
        Timestamp(0)
    })
}

/// Notes the faults of a text at the value that holds it, each with its column in the text.
fn note(value: &Value<'_, '_>, text: &str, faults: &[ParseError]) {
    for fault in faults {
        value.error(fault.summary(text));
    }
}

fn read_series(value: &Value<'_, '_>) -> Option<Loaded> {
    let mut table = value.table();
    let series = table.value("series");
    let values = table.value("values");
    table.finish();
    let Some(series) = series else {
        value.error("field 'series' must be set, such as series: 'up{job=\"api\"}'");
        return None;
    };
    let text = series.text_ref()?;
    let labels = parse::parse_metric(text).map_err(|faults| note(&series, text, &faults)).ok();
    let written = match &values {
        Some(values) => {
            let text = values.text_ref()?;
            notation::values(text).map_err(|faults| note(values, text, &faults)).ok()
        }
        None => Some(Vec::new()),
    };
    Some(Loaded { notation: Notation { labels: labels?, values: written? }, starts: Vec::new() })
}

fn read_alert_check(value: &Value<'_, '_>) -> Option<AlertCheck> {
    let mut table = value.table();
    let at = table.span("eval_time").unwrap_or_default();
    let name = table.text("alertname").unwrap_or_default();
    let mut alerts = Vec::new();
    for alert in table.list("exp_alerts") {
        let mut table = alert.table();
        let mut labels: BTreeMap<String, String> = table.text_map("exp_labels");
        labels.insert(ALERT_NAME.to_owned(), name.clone());
        alerts.push(FiringAlert { labels, annotations: table.text_map("exp_annotations") });
        table.finish();
    }
    table.finish();
    if name.is_empty() {
        value.error(format!("an item under alert_rule_test misses required attribute alertname at eval_time {at}"));
        return None;
    }
    Some(AlertCheck { position: value.node.position, at, name, alerts })
}

fn read_expression_check(value: &Value<'_, '_>, settings: &Settings) -> Option<ExpressionCheck> {
    let mut table = value.table();
    let at = table.span("eval_time").unwrap_or_default();
    let expr = table.value("expr");
    let samples: Vec<_> = table.list("exp_samples").iter().map(read_sample).collect();
    table.finish();
    let Some(expr) = expr else {
        value.error("field 'expr' must be set");
        return None;
    };
    let text = expr.text()?;
    let parsed = parse::parse(&text, &settings.syntax).map_err(|faults| note(&expr, &text, &faults)).ok();
    Some(ExpressionCheck {
        position: value.node.position,
        at,
        text,
        expr: parsed?,
        samples: samples.into_iter().collect::<Option<_>>()?,
    })
}

fn read_sample(value: &Value<'_, '_>) -> Option<(LabelSet, SampleValue)> {
    let mut table = value.table();
    let labels = match table.value("labels") {
        Some(labels) => {
            let text = labels.text_ref()?;
            match text.trim() {
                "" => Some(LabelSet::empty()),
                _ => parse::parse_metric(text).map_err(|faults| note(&labels, text, &faults)).ok(),
            }
        }
        None => Some(LabelSet::empty()),
    };
    let number = table.float("value").unwrap_or(0.0);
    let histogram = table.value("histogram");
    table.finish();
    let value = match histogram {
        None => SampleValue::Float(number),
        Some(histogram) => {
            let text = histogram.text_ref()?;
            let written = notation::values(text).map_err(|faults| note(&histogram, text, &faults)).ok()?;
            match written.as_slice() {
                [notation::Written { value: Some(value @ SampleValue::Histogram(_)), .. }] => value.clone(),
                _ => {
                    histogram.error("expected one histogram such as {{schema:0 sum:5 count:4 buckets:[1 2 1]}}");
                    return None;
                }
            }
        }
    };
    Some((labels?, value))
}
