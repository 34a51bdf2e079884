//! Reading the three forms of specifications.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::labels::is_classic_label_name;
use crate::problem::Problem;
use crate::promql::parse::{self, Syntax};
use crate::time::Span;
use crate::yaml::{self, Node, Problems, Table, Value};

use super::plugins::{self, Wishes};
use super::{AlertSide, Form, Options, SlothSli, SlothSlo, Spec};
use crate::slo::openslo::{Origin, objects};
use crate::slo::query::with_window;

/// Reads all specifications of a file.
///
/// Shape: those that could be read, also when others are at fault; whoever loads refuses a file with errors as a whole. Keys that
/// Sloth passes over are warned of.
pub fn read(file: &str, text: &str, options: &Options) -> (Vec<Spec>, Vec<Problem>) {
    let (nodes, mut problems) = yaml::parse_all(file, text);
    let found = Problems::new(file);
    let file: Arc<str> = file.into();
    let mut specs = Vec::new();
    for value in objects(nodes.as_deref().unwrap_or_default(), &found) {
        specs.extend(read_spec(&value, &file, options));
    }
    problems.extend(found.into_vec());
    problems.sort_by_key(|problem| problem.position);
    (specs, problems)
}

fn read_spec(value: &Value<'_, '_>, file: &Arc<str>, options: &Options) -> Option<Spec> {
    let text = |key| value.node.get(key).and_then(Node::text).unwrap_or_default();
    match (text("version"), text("apiVersion"), text("kind")) {
        ("prometheus/v1", "", _) => {
            let mut table = value.table();
            table.know(&["version"]);
            Some(service(table, Form::Prometheus, (String::new(), String::new()), file))
        }
        ("", "sloth.slok.dev/v1", "PrometheusServiceLevel") => kubernetes(value, file),
        ("", "openslo/v1alpha", "SLO") => open_slo(value, file, options),
        _ => {
            value.error(
                "expected version: prometheus/v1, or apiVersion: sloth.slok.dev/v1 with kind: PrometheusServiceLevel, \
                 or apiVersion: openslo/v1alpha with kind: SLO",
            );
            None
        }
    }
}

fn kubernetes(value: &Value<'_, '_>, file: &Arc<str>) -> Option<Spec> {
    let mut outer = value.table();
    outer.know(&["apiVersion", "kind"]);
    let resource = match outer.table("metadata") {
        Some(mut metadata) => {
            metadata.know(&["labels", "annotations"]);
            let name = required(&mut metadata, "name").unwrap_or_default();
            let namespace = metadata.text("namespace").unwrap_or_default();
            metadata.finish_leniently();
            (name, namespace)
        }
        None => {
            outer.error("metadata is missing");
            (String::new(), String::new())
        }
    };
    let spec = outer.table("spec");
    if spec.is_none() {
        outer.error("spec is missing");
    }
    let spec = spec.map(|spec| service(spec, Form::Kubernetes, resource, file));
    outer.finish_leniently();
    spec
}

impl Form {
    /// Returns a key as the form spells it.
    fn key(self, snake: &'static str, camel: &'static str) -> &'static str {
        match self {
            Form::Prometheus => snake,
            Form::Kubernetes | Form::OpenSlo => camel,
        }
    }
}

fn service(mut table: Table<'_, '_>, form: Form, resource: (String, String), file: &Arc<str>) -> Spec {
    let service = name(&mut table, "service");
    let labels = labels(&mut table, "labels");
    let mut wishes = Wishes::default();
    if let Some(chain) = table.value(form.key("slo_plugins", "sloPlugins")) {
        plugins::read(&chain, &mut wishes);
    }
    let listed = table.list("slos");
    if listed.is_empty() {
        table.error("slos must hold at least one objective");
    }
    let slos = listed.iter().filter_map(|value| slo(value, form, wishes.clone(), file)).collect();
    table.finish_leniently();
    Spec { form, resource, service, labels, slos }
}

fn slo(value: &Value<'_, '_>, form: Form, mut wishes: Wishes, file: &Arc<str>) -> Option<SlothSlo> {
    let mut table = value.table();
    let name = name(&mut table, "name");
    let description = table.text("description").unwrap_or_default();
    let objective = objective(&mut table);
    let own_labels = labels(&mut table, "labels");
    if let Some(chain) = table.value("plugins") {
        plugins::read(&chain, &mut wishes);
    }
    let sli = match table.table("sli") {
        Some(sli) => read_sli(sli, form),
        None => {
            table.error("sli is missing");
            None
        }
    };
    let mut alerting = Alerting::default();
    if let Some(read) = table.table("alerting") {
        alerting = read_alerting(read, form);
    }
    if alerting.name.is_empty() && !(alerting.page.is_none() && alerting.ticket.is_none()) {
        table.error("alerting.name is missing; name the alerts, or disable both: page_alert and ticket_alert with disable: true");
    }
    table.finish_leniently();
    Some(SlothSlo {
        name,
        objective: objective?,
        description,
        labels: own_labels,
        sli: sli?,
        alert_name: alerting.name,
        alert_labels: alerting.labels,
        alert_annotations: alerting.annotations,
        page: alerting.page,
        ticket: alerting.ticket,
        intervals: wishes.intervals,
        info_labels: wishes.info_labels,
        at: origin(value, file),
    })
}

fn origin(value: &Value<'_, '_>, file: &Arc<str>) -> Origin {
    Origin { file: file.clone(), position: value.node.position, key: value.path.clone() }
}

fn required(table: &mut Table<'_, '_>, key: &'static str) -> Option<String> {
    let text = table.text(key).filter(|text| !text.is_empty());
    if text.is_none() {
        table.error(format!("{key} is missing"));
    }
    text
}

fn name(table: &mut Table<'_, '_>, key: &'static str) -> String {
    let Some(text) = required(table, key) else { return String::new() };
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let outer = |c: char| c.is_ascii_alphanumeric();
    if !(text.chars().all(inner) && text.starts_with(outer) && text.ends_with(outer))
        && let Some(value) = table.value(key)
    {
        value.error(format!("{text:?} is no name; write letters, digits, dashes, dots and underscores, such as checkout-api"));
    }
    text
}

fn labels(table: &mut Table<'_, '_>, key: &'static str) -> BTreeMap<String, String> {
    let Some(value) = table.value(key) else { return BTreeMap::new() };
    for (key, entry) in value.entries() {
        if !is_classic_label_name(&key.name) {
            entry.error(format!("invalid label name: {}", key.name));
        }
    }
    value.text_map()
}

fn objective(table: &mut Table<'_, '_>) -> Option<f64> {
    let Some(value) = table.value("objective") else {
        table.error("objective is missing; write a percentage such as 99.9");
        return None;
    };
    let percent = value.float()?;
    let fits = percent > 0.0 && percent <= 100.0;
    if !fits {
        value.error("expected a percentage above 0 and at most 100");
    }
    fits.then_some(percent)
}

fn read_sli(mut table: Table<'_, '_>, form: Form) -> Option<SlothSli> {
    if let Some(plugin) = table.value("plugin") {
        plugin.error("SLI plug-ins are programs of Sloth; write the queries out under events: or raw:");
    }
    let (events, raw) = (table.table("events"), table.table("raw"));
    let plugged = table.has("plugin");
    let sli = match (events, raw) {
        (Some(_), Some(raw)) => {
            raw.error("only one of events and raw may be set; remove one of the two");
            None
        }
        (Some(mut events), None) => {
            let errors = query(&mut events, form.key("error_query", "errorQuery"));
            let total = query(&mut events, form.key("total_query", "totalQuery"));
            events.finish_leniently();
            errors.zip(total).map(|(errors, total)| SlothSli::Events { errors, total })
        }
        (None, Some(mut raw)) => {
            let ratio = query(&mut raw, form.key("error_ratio_query", "errorRatioQuery"));
            raw.finish_leniently();
            ratio.map(|error_ratio| SlothSli::Raw { error_ratio })
        }
        (None, None) => {
            if !plugged {
                table.error("one of events and raw must be set");
            }
            None
        }
    };
    table.finish_leniently();
    sli
}

/// Reads a query with a place for the window.
fn query(table: &mut Table<'_, '_>, key: &'static str) -> Option<String> {
    let text = required(table, key)?;
    let value = table.value(key)?;
    match with_window(&text, "5m") {
        Err(fault) => value.error(fault),
        Ok(filled) if filled == text => value.error("the query has no {{.window}}; write it as the range: [{{.window}}]"),
        Ok(filled) => {
            let faults = parse::parse(&filled, &Syntax::default()).err().unwrap_or_default();
            for fault in faults {
                value.error(format!("could not parse expression: {}", fault.summary(&filled)));
            }
        }
    }
    Some(text)
}

struct Alerting {
    name: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    page: Option<AlertSide>,
    ticket: Option<AlertSide>,
}

impl Default for Alerting {
    fn default() -> Alerting {
        Alerting {
            name: String::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            page: Some(AlertSide::default()),
            ticket: Some(AlertSide::default()),
        }
    }
}

fn read_alerting(mut table: Table<'_, '_>, form: Form) -> Alerting {
    let alerting = Alerting {
        name: table.text("name").unwrap_or_default(),
        labels: labels(&mut table, "labels"),
        annotations: table.text_map("annotations"),
        page: side(&mut table, form.key("page_alert", "pageAlert")),
        ticket: side(&mut table, form.key("ticket_alert", "ticketAlert")),
    };
    table.finish_leniently();
    alerting
}

fn side(table: &mut Table<'_, '_>, key: &'static str) -> Option<AlertSide> {
    let Some(mut side) = table.table(key) else { return Some(AlertSide::default()) };
    let disabled = side.boolean("disable").unwrap_or(false);
    let read = AlertSide { labels: labels(&mut side, "labels"), annotations: side.text_map("annotations") };
    side.finish_leniently();
    (!disabled).then_some(read)
}

/// Reads OpenSLO v1alpha as Sloth does: each objective with a ratio becomes one of its own, without alerts.
fn open_slo(value: &Value<'_, '_>, file: &Arc<str>, options: &Options) -> Option<Spec> {
    let mut outer = value.table();
    outer.know(&["apiVersion", "kind"]);
    let slo_name = match outer.table("metadata") {
        Some(mut metadata) => {
            metadata.know(&["displayName"]);
            let slo_name = name(&mut metadata, "name");
            metadata.finish_leniently();
            slo_name
        }
        None => {
            outer.error("metadata is missing");
            String::new()
        }
    };
    let Some(mut spec) = outer.table("spec") else {
        outer.error("spec is missing");
        return None;
    };
    let service = name(&mut spec, "service");
    let description = spec.text("description").unwrap_or_default();
    if let Some(method) = spec.value("budgetingMethod")
        && method.text().is_some_and(|method| method != "Occurrences")
    {
        method.error("expected budgetingMethod: Occurrences; Sloth knows no other");
    }
    for window in spec.list("timeWindows") {
        check_time_window(&window, options.period);
    }
    let mut slos = Vec::new();
    for (number, value) in spec.list("objectives").iter().enumerate() {
        let Some((objective, error_ratio)) = open_slo_objective(value) else { continue };
        slos.push(SlothSlo {
            name: format!("{slo_name}-{number}"),
            objective,
            description: description.clone(),
            labels: BTreeMap::new(),
            sli: SlothSli::Raw { error_ratio },
            alert_name: String::new(),
            alert_labels: BTreeMap::new(),
            alert_annotations: BTreeMap::new(),
            page: None,
            ticket: None,
            intervals: super::Intervals::default(),
            info_labels: BTreeMap::new(),
            at: origin(value, file),
        });
    }
    spec.finish_leniently();
    outer.finish_leniently();
    Some(Spec { form: Form::OpenSlo, resource: (String::new(), String::new()), service, labels: BTreeMap::new(), slos })
}

fn check_time_window(value: &Value<'_, '_>, period: Span) {
    let mut table = value.table();
    let count = table.unsigned("count").unwrap_or_default();
    let unit = table.text("unit").unwrap_or_default();
    table.know(&["isRolling", "calendar"]);
    let days = i64::try_from(count).ok().and_then(|days| days.checked_mul(24 * 60 * 60_000)).map(Span);
    if unit != "Day" || days != Some(period) {
        table.error(format!(
            "expected a window of {period}, written as count: and unit: Day; the period is set for all objectives"
        ));
    }
    table.finish_leniently();
}

fn open_slo_objective(value: &Value<'_, '_>) -> Option<(f64, String)> {
    let mut table = value.table();
    table.know(&["displayName", "op", "value"]);
    let target = table.value("target").and_then(|value| {
        let target = value.float()?;
        let fits = target > 0.0 && target <= 1.0;
        if !fits {
            value.error("expected a number above 0 and at most 1");
        }
        fits.then_some(target)
    });
    if !table.has("target") {
        table.error("target is missing");
    }
    let ratio = match table.table("ratioMetrics") {
        Some(mut ratio) => {
            ratio.know(&["incremental", "counter"]);
            let (good, total) = (open_slo_query(&mut ratio, "good"), open_slo_query(&mut ratio, "total"));
            ratio.finish_leniently();
            good.zip(total)
        }
        None => {
            table.error("ratioMetrics is missing; Sloth reads no other metrics");
            None
        }
    };
    table.finish_leniently();
    let (good, total) = ratio?;
    let error_ratio = format!("1 - (\n  (\n    {good}\n  )\n  /\n  (\n    {total}\n  )\n)\n");
    Some((target? * 100.0, error_ratio))
}

fn open_slo_query(table: &mut Table<'_, '_>, key: &'static str) -> Option<String> {
    let Some(mut source) = table.table(key) else {
        table.error(format!("{key} is missing"));
        return None;
    };
    for (key, expected) in [("source", "prometheus"), ("queryType", "promql")] {
        if let Some(value) = source.value(key)
            && value.text().is_some_and(|text| text != expected)
        {
            value.error(format!("expected {key}: {expected}"));
        }
    }
    let text = query(&mut source, "query");
    source.finish_leniently();
    text
}
