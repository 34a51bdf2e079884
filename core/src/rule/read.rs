//! Rule files: text → groups and problems.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::labels::{METRIC_NAME, is_classic_label_name, is_classic_metric_name};
use crate::problem::Problem;
use crate::promql::parse::{self, Syntax};
use crate::time::Span;
use crate::yaml::{self, Node, Problems, Table, Value};

use super::{Alerting, Holding, Kind, Rule, RuleGroup, RuleText};

/// The kind of a custom resource that holds groups.
const RESOURCE: &str = "PrometheusRule";

/// What a file leaves open.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// `global.evaluation_interval`
    pub interval: Span,
    /// `global.rule_query_offset`
    pub query_offset: Span,
    /// Only names of the classic alphabet are accepted.
    pub classic_names_only: bool,
    pub syntax: Syntax,
    /// Keys that are not known are passed over, for files that are mended before they are loaded.
    pub ignore_unknown: bool,
    /// The groups may stand under `spec` of a `PrometheusRule`, as the Prometheus Operator has them.
    pub custom_resources: bool,
}

impl Default for Defaults {
    fn default() -> Defaults {
        Defaults {
            interval: Span::from_mins(1),
            query_offset: Span::ZERO,
            classic_names_only: false,
            syntax: Syntax::default(),
            ignore_unknown: false,
            custom_resources: false,
        }
    }
}

/// Reads a rule file of Prometheus.
///
/// Shape: the groups that could be read, also when others are at fault; whoever loads refuses a file with errors as a whole.
/// Source: Prometheus `model/rulefmt`.
pub fn read(file: &str, text: &str, defaults: &Defaults) -> (Vec<RuleGroup>, Vec<Problem>) {
    let (node, mut problems) = yaml::parse(file, text);
    let Some(node) = node else { return (Vec::new(), problems) };
    let found = Problems::new(file);
    let resource =
        node.get("spec").filter(|_| defaults.custom_resources && node.get("kind").and_then(Node::text) == Some(RESOURCE));
    let mut table = resource.map_or_else(|| Table::new(&node, "", &found), |spec| Table::new(spec, "spec", &found));
    let groups = read_groups(file, table.list("groups"), defaults);
    finish(table, defaults);
    problems.extend(found.into_vec());
    problems.sort_by_key(|problem| problem.position);
    (groups, problems)
}

/// Reads a list of groups that stands inside another document, such as under `spec` of a custom resource.
pub fn read_groups(file: &str, list: Vec<Value<'_, '_>>, defaults: &Defaults) -> Vec<RuleGroup> {
    let file: Arc<str> = file.into();
    let mut names = BTreeSet::new();
    let mut groups = Vec::new();
    for value in list {
        let group = read_group(&file, value.table(), defaults);
        if group.name.is_empty() {
            value.error("group name must not be empty");
        } else if !names.insert(group.name.clone()) {
            value.error(format!("groupname: {:?} is repeated in the same file; rename one of the two", group.name));
        }
        groups.push(group);
    }
    groups
}

/// Reports the keys that are not known, unless they are to be passed over.
fn finish(table: Table<'_, '_>, defaults: &Defaults) {
    if !defaults.ignore_unknown {
        table.finish();
    }
}

fn read_group(file: &Arc<str>, mut table: Table<'_, '_>, defaults: &Defaults) -> RuleGroup {
    let name = table.text("name").unwrap_or_default();
    let interval = table.span("interval").filter(|interval| *interval > Span::ZERO).unwrap_or(defaults.interval);
    let query_offset = table.span("query_offset").unwrap_or(defaults.query_offset);
    let limit = table.integer("limit").map_or(0, |limit| usize::try_from(limit).unwrap_or(0));
    let early = table.boolean("early").unwrap_or(true);
    let labels = table.value("labels").map(|value| read_labels(&value, defaults)).unwrap_or_default();
    let position = table.value_here().node.position;
    let rules = table.list("rules").iter().filter_map(|value| read_rule(value, &labels, defaults)).collect();
    finish(table, defaults);
    RuleGroup { file: file.clone(), name, position, interval, query_offset, limit, early, rules }
}

fn read_labels(value: &Value<'_, '_>, defaults: &Defaults) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (key, entry) in value.entries() {
        if !is_name(&key.name, defaults) || key.name == METRIC_NAME {
            entry.error(format!("invalid label name: {}", key.name));
        }
        labels.insert(key.name.clone(), entry.text().unwrap_or_default());
    }
    labels
}

fn is_name(name: &str, defaults: &Defaults) -> bool {
    if defaults.classic_names_only { is_classic_label_name(name) } else { !name.is_empty() }
}

fn read_rule(value: &Value<'_, '_>, group_labels: &BTreeMap<String, String>, defaults: &Defaults) -> Option<Rule> {
    let mut table = value.table();
    let record = table.text("record").filter(|name| !name.is_empty());
    let alert = table.text("alert").filter(|name| !name.is_empty());
    let expr = read_expression(&mut table, defaults);
    let hold = table.span("for").unwrap_or_default();
    let keep_firing = table.span("keep_firing_for").unwrap_or_default();
    let holding = table.value("unseen").map(|value| read_holding(&value));
    let labels = table.value("labels");
    let annotations = table.value("annotations");
    let own_labels = labels.as_ref().map(|value| read_labels(value, defaults)).unwrap_or_default();
    let mut merged = group_labels.clone();
    merged.extend(own_labels);
    let position = value.node.position;
    let kind = match (record, alert) {
        (Some(_), Some(_)) => {
            table.error("only one of 'record' and 'alert' must be set");
            None
        }
        (None, None) => {
            table.error("one of 'record' or 'alert' must be set");
            None
        }
        (Some(name), None) => {
            check_record(&mut table, &name, hold, keep_firing, defaults);
            if let Some(value) = table.value("unseen") {
                value.error("invalid field 'unseen' in recording rule");
            }
            Some(Kind::Record { name, labels: merged })
        }
        (None, Some(name)) => {
            let labels = read_texts(value, "label", &name, merged);
            let texts = annotations.map(|value| read_annotations(&value, defaults)).unwrap_or_default();
            let annotations = read_texts(value, "annotation", &name, texts);
            Some(Kind::Alert(Alerting { name, hold, keep_firing, holding: holding.unwrap_or_default(), labels, annotations }))
        }
    };
    finish(table, defaults);
    let (text, expr) = expr?;
    Some(Rule { kind: kind?, text, expr, position })
}

/// Reads what becomes of an alert of which nobody can tell: one word for every reason, or a word for each.
fn read_holding(value: &Value<'_, '_>) -> Holding {
    let read = |value: &Value<'_, '_>| match value.text().as_deref() {
        Some("hold") => Some(true),
        Some("resolve") => Some(false),
        Some(word) => {
            value.error(format!("{word:?} is neither hold nor resolve"));
            None
        }
        None => None,
    };
    if !matches!(value.node.kind, yaml::Kind::Mapping(_)) {
        return read(value).map_or_else(Holding::default, Holding::all);
    }
    let (mut holding, mut table) = (Holding::default(), value.table());
    for (key, holds) in [
        ("scrape_failed", &mut holding.scrape_failed),
        ("no_data", &mut holding.no_data),
        ("target_gone", &mut holding.target_gone),
    ] {
        *holds = table.value(key).and_then(|value| read(&value)).unwrap_or(*holds);
    }
    table.finish();
    holding
}

fn read_expression(table: &mut Table<'_, '_>, defaults: &Defaults) -> Option<(String, crate::promql::ast::Expr)> {
    let text = table.text("expr").unwrap_or_default();
    if text.is_empty() {
        table.error("field 'expr' must be set in rule");
        return None;
    }
    match parse::parse(&text, &defaults.syntax) {
        Ok(expr) => Some((text, expr)),
        Err(faults) => {
            if let Some(value) = table.value("expr") {
                for fault in faults {
                    value.error(format!("could not parse expression: {}", fault.summary(&text)));
                }
            }
            None
        }
    }
}

fn check_record(table: &mut Table<'_, '_>, name: &str, hold: Span, keep_firing: Span, defaults: &Defaults) {
    for (key, wrong) in [
        ("annotations", table.value("annotations").is_some_and(|value| !value.entries().is_empty())),
        ("for", hold != Span::ZERO),
        ("keep_firing_for", keep_firing != Span::ZERO),
    ] {
        if wrong && let Some(value) = table.value(key) {
            value.error(format!("invalid field '{key}' in recording rule"));
        }
    }
    let Some(value) = table.value("record") else { return };
    if defaults.classic_names_only && !is_classic_metric_name(name) {
        value.error(format!("invalid recording rule name: {name}"));
    }
    if name.contains(['{', '}']) {
        value.error(format!("braces present in the recording rule name; should it be in expr?: {name}"));
    }
}

fn read_annotations(value: &Value<'_, '_>, defaults: &Defaults) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    for (key, entry) in value.entries() {
        if !is_name(&key.name, defaults) {
            entry.error(format!("invalid annotation name: {}", key.name));
        }
        annotations.insert(key.name.clone(), entry.text().unwrap_or_default());
    }
    annotations
}

fn read_texts(value: &Value<'_, '_>, what: &str, alert: &str, texts: BTreeMap<String, String>) -> Vec<(String, RuleText)> {
    let mut read = Vec::with_capacity(texts.len());
    for (name, text) in texts {
        match RuleText::parse(alert, &text) {
            Ok(text) => read.push((name, text)),
            Err(error) => place_of(value, what, &name).error(format!("{what} {name:?}: {error}")),
        }
    }
    read
}

/// Returns the place of one label or annotation of a rule; a label of the group has none in the rule, so the rule itself.
fn place_of<'n, 'p>(rule: &Value<'n, 'p>, what: &str, name: &str) -> Value<'n, 'p> {
    let key = if what == "label" { "labels" } else { "annotations" };
    match rule.node.get(key).and_then(|node| node.get(name)) {
        Some(node) => Value::new(node, format!("{}.{key}.{name}", rule.path), rule.problems),
        None => rule.clone(),
    }
}
