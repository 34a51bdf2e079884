//! Documents as people write them: text → runbook, experiment or drill, and every fault with its place.

mod action;
mod drill;
mod experiment;
mod guards;
mod refer;
mod steps;
mod study;
mod trigger;

use std::collections::{BTreeMap, BTreeSet};

use super::inventory::Inventory;
use super::plan::{Capture, Class, OnFail, OnVerifyFail, Plan, Redact, Step, Verified};
use super::record::DocKind;
use super::runbook::{Metadata, Mode, Runbook, Trigger};
use super::value::{Param, Source, Type, is_boolean_word, is_name};
use crate::access::Role;
use crate::problem::{Problem, has_errors};
use crate::time::{Span, Timestamp};
use crate::yaml::{self, Problems, Table, Value, nearest};

use refer::Refer;

/// A larger document is refused.
pub const TEXT_BYTES_MAX: usize = 256 << 10;
pub const STEPS_MAX: usize = 100;
/// What is captured of an output, at most.
const CAPTURE_BYTES_MAX: u64 = 1 << 20;

/// What documents may name. What is not here is refused when the document is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Programs by their absolute paths, each with the hash that its content must have, where one is pinned.
    pub programs: BTreeMap<String, Option<String>>,
    /// Hosts that requests may go to, such as `api.example.org` or `10.0.0.7:8080`.
    pub hosts: BTreeSet<String>,
    pub databases: BTreeSet<String>,
    pub secrets: BTreeSet<String>,
    /// Escalation policies.
    pub policies: BTreeSet<String>,
}

/// Reads a runbook, an experiment or a drill.
///
/// Shape: the document when there is no error; warnings may stand beside it. `now` only tells whether a schedule ever comes due.
pub fn read(file: &str, text: &str, allowed: &Allowed, now: Timestamp) -> (Option<Runbook>, Vec<Problem>) {
    let found = Problems::new(file);
    if text.len() > TEXT_BYTES_MAX {
        found.error(Default::default(), "", format!("the document is larger than {} KiB; split it", TEXT_BYTES_MAX >> 10));
        return (None, found.into_vec());
    }
    let (node, mut problems) = yaml::parse(file, text);
    let Some(node) = node else { return (None, problems) };
    let runbook = read_document(Table::new(&node, "", &found), allowed, now);
    problems.extend(found.into_vec());
    problems.sort_by_key(|problem| problem.position);
    (runbook.filter(|_| !has_errors(&problems)), problems)
}

fn read_document(mut table: Table<'_, '_>, allowed: &Allowed, now: Timestamp) -> Option<Runbook> {
    match (table.value("apiVersion"), table.text("apiVersion").as_deref()) {
        (_, Some("tocsin/v1")) => {}
        (Some(value), _) => value.error("this version reads tocsin/v1"),
        (None, _) => table.error("apiVersion is missing; write apiVersion: tocsin/v1"),
    }
    let kind = match table.value("kind") {
        Some(value) => word(&value, &["Runbook", "Experiment", "Drill"], |one| one).map(|one| match one {
            "Runbook" => DocKind::Runbook,
            "Experiment" => DocKind::Experiment,
            _ => DocKind::Drill,
        }),
        None => {
            table.error("kind is missing; write Runbook, Experiment or Drill");
            None
        }
    };
    let metadata = match table.table("metadata") {
        Some(metadata) => Some(read_metadata(metadata, kind)),
        None => {
            table.error("metadata is missing");
            None
        }
    };
    let spec = table.table("spec");
    if spec.is_none() {
        table.error("spec is missing");
    }
    let (metadata, spec) = (metadata?, spec?);
    let runbook = match kind? {
        DocKind::Runbook => read_spec(metadata, spec, allowed, now),
        DocKind::Experiment => experiment::read(metadata, spec, allowed, now),
        DocKind::Drill => drill::read(metadata, spec, allowed, now),
    };
    table.finish();
    Some(runbook)
}

/// Notes a key of the author's own that others could misread.
fn check_key(key: &str, value: &Value<'_, '_>) -> bool {
    if is_boolean_word(key) {
        value.error(format!("{key:?} is a truth value to some readers of YAML; choose another name"));
    } else if !is_name(key) {
        value.error(format!("{key:?} is no name; write letters, digits, . _ - and :, beginning with a letter or digit"));
    }
    !is_boolean_word(key) && is_name(key)
}

/// Reads a name under a key that must be there.
fn required_name(table: &mut Table<'_, '_>, key: &'static str) -> String {
    match table.value(key) {
        Some(value) => name(&value).unwrap_or_default(),
        None => {
            table.error(format!("{key} is missing"));
            String::new()
        }
    }
}

/// Reads a name, and notes what is none.
fn name(value: &Value<'_, '_>) -> Option<String> {
    value.text().filter(|text| check_key(text, value))
}

/// Reads one of a list of words.
fn word<T: Copy>(value: &Value<'_, '_>, all: &[T], spell: impl Fn(T) -> &'static str) -> Option<T> {
    let text = value.text()?;
    let found = all.iter().copied().find(|one| spell(*one) == text);
    if found.is_none() {
        let words: Vec<&str> = all.iter().map(|one| spell(*one)).collect();
        let near = nearest(&text, &words).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        value.error(format!("{text:?} is none of {}{near}", words.join(", ")));
    }
    found
}

fn roles(table: &mut Table<'_, '_>, key: &'static str) -> Vec<Role> {
    table.list(key).iter().filter_map(|value| word(value, &Role::ALL, Role::word)).collect()
}

/// Reads a span that must be longer than nothing.
fn span(table: &mut Table<'_, '_>, key: &'static str) -> Option<Span> {
    let value = table.value(key)?;
    let span = value.span()?;
    if span <= Span::ZERO {
        value.error("must be longer than nothing");
        return None;
    }
    Some(span)
}

/// Refuses keys that ask for what is not there.
fn refuse_absent(table: &mut Table<'_, '_>) {
    for (key, what) in [
        ("mfa", "a second factor"),
        ("elevation", "just-in-time elevation"),
        ("jit", "just-in-time elevation"),
        ("sign", "signed evidence"),
        ("include_self", "a drill of the control plane itself"),
    ] {
        if let Some(value) = table.value(key) {
            let off = value.node.text() == Some("false");
            if !off {
                value.error(format!("the document needs {what}, which is not there in this version, so it is refused"));
            }
        }
    }
}

fn read_metadata(mut table: Table<'_, '_>, kind: Option<DocKind>) -> Metadata {
    let id = required_name(&mut table, "id");
    let platform = required_name(&mut table, "platform");
    let slug = table.value("slug").and_then(|value| name(&value)).unwrap_or_default();
    let title = table.text("title").unwrap_or_default();
    if title.trim().is_empty() {
        table.error("title is missing");
    }
    let owner = match kind {
        // A study belongs to whoever owns the platform, unless it says otherwise.
        Some(DocKind::Experiment | DocKind::Drill) if !table.has("owner") => platform.clone(),
        _ => required_name(&mut table, "owner"),
    };
    let review_by = table.value("review_by").and_then(|value| {
        let day = value.text()?;
        let at = Timestamp::parse_rfc3339(&format!("{day}T00:00:00Z"));
        if at.is_none() {
            value.error("write a day such as 2027-01-31");
        }
        at
    });
    table.finish();
    Metadata { id, platform, slug, title, owner, review_by }
}

fn read_spec(metadata: Metadata, mut table: Table<'_, '_>, allowed: &Allowed, now: Timestamp) -> Runbook {
    refuse_absent(&mut table);
    let class = match table.value("class") {
        Some(value) => word(&value, &Class::ALL, Class::word).unwrap_or(Class::Destructive),
        None => {
            table.error("class is missing; write read, safe, disruptive or destructive");
            Class::Destructive
        }
    };
    let mut params = BTreeMap::new();
    for (key, value) in table.value("params").map(|value| value.entries()).unwrap_or_default() {
        check_key(&key.name, &value);
        if let Some(param) = read_param(value.table()) {
            params.insert(key.name.clone(), param);
        }
    }
    let triggers = trigger::read_all(&mut table, &params, allowed, now);
    let mut refer = Refer::new(&params, allowed);
    let (guards, total_timeout) = guards::read(table.table("guards"), &refer, &params, &mut table);
    let steps = steps::read_all(&mut table, &mut refer);
    let verify = steps::read_verify(&mut table, &refer, &triggers);
    let on_verify_fail = table.value("on_verify_fail").and_then(|value| {
        word(&value, &[OnVerifyFail::Page, OnVerifyFail::UndoThenPage, OnVerifyFail::Leave], |one| match one {
            OnVerifyFail::Page => "page",
            OnVerifyFail::UndoThenPage => "undo_then_page",
            OnVerifyFail::Leave => "leave",
        })
    });
    let capture = read_capture(table.table("capture"));
    let plan = Plan { steps, verify, on_verify_fail: on_verify_fail.unwrap_or(OnVerifyFail::Page), total_timeout, capture };
    let runbook = Runbook { kind: DocKind::Runbook, metadata, class, params, triggers, guards, plan, study: None };
    check_whole(&mut table, &runbook);
    table.finish();
    runbook
}

fn read_capture(table: Option<Table<'_, '_>>) -> Capture {
    let mut capture = Capture { max_bytes: 64 << 10, redact: vec![Redact::Secrets] };
    let Some(mut table) = table else { return capture };
    if let Some(value) = table.value("max_bytes")
        && let Some(bytes) = value.unsigned()
    {
        if bytes > CAPTURE_BYTES_MAX {
            value.error(format!("at most {CAPTURE_BYTES_MAX} bytes are captured"));
        }
        capture.max_bytes = bytes.min(CAPTURE_BYTES_MAX) as usize;
    }
    for value in table.list("redact") {
        let spell = |one| match one {
            Redact::Secrets => "secrets",
            Redact::Pii => "pii",
        };
        // Secrets are redacted, whether the document says so or not.
        if let Some(one) = word(&value, &[Redact::Secrets, Redact::Pii], spell)
            && !capture.redact.contains(&one)
        {
            capture.redact.push(one);
        }
    }
    table.finish();
    capture
}

/// Reads a type and its bounds, from a parameter or a saved output.
fn read_type(table: &mut Table<'_, '_>) -> Option<Type> {
    let Some(value) = table.value("type") else {
        table.error("type is missing; write int, float, bool, enum, name or duration");
        return None;
    };
    const WORDS: [&str; 6] = ["int", "float", "bool", "enum", "name", "duration"];
    let word = word(&value, &WORDS, |word| word)?;
    let bounds = |table: &Table<'_, '_>, ordered: bool| {
        if !ordered {
            table.error("min lies above max");
        }
    };
    Some(match word {
        "int" => {
            let (min, max) = (table.integer("min"), table.integer("max"));
            bounds(table, min.is_none() || max.is_none() || min <= max);
            Type::Int { min, max }
        }
        "float" => {
            let (min, max) = (table.float("min"), table.float("max"));
            bounds(table, min.is_none() || max.is_none() || min <= max);
            Type::Float { min, max }
        }
        "duration" => {
            let (min, max) = (table.span("min"), table.span("max"));
            bounds(table, min.is_none() || max.is_none() || min <= max);
            Type::Duration { min, max }
        }
        "bool" => Type::Bool,
        "enum" => {
            let mut values = Vec::new();
            for value in table.list("values") {
                let Some(text) = value.text() else { continue };
                if is_boolean_word(&text) {
                    value.error(format!("{text:?} is a truth value to some readers of YAML; choose another word"));
                } else if text.is_empty() || text.chars().any(char::is_control) {
                    value.error("a word must not be empty, nor hold control characters");
                } else if values.contains(&text) {
                    value.error(format!("{text:?} is listed twice"));
                } else {
                    values.push(text);
                }
            }
            if table.value("values").is_none() {
                table.error("values is missing; list the words that are allowed");
            }
            Type::Enum { values }
        }
        _ => Type::Name { of: table.value("of").and_then(|value| name(&value)) },
    })
}

fn read_param(mut table: Table<'_, '_>) -> Option<Param> {
    let kind = read_type(&mut table);
    let required = table.boolean("required").unwrap_or(false);
    let default = table.value("default");
    if required && default.is_some() {
        table.error("a parameter that is required needs no default; remove one of the two");
    } else if !required && default.is_none() {
        table.error("a parameter is required or has a default; write required: true, or default");
    }
    let default = match (&kind, default) {
        (Some(kind), Some(value)) => value.text().and_then(|text| read_literal(kind, &text, &value)),
        _ => None,
    };
    table.finish();
    Some(Param { kind: kind?, required, default })
}

/// Reads a value that is written in the document. Whether a name exists shows when a run is asked for.
fn read_literal(kind: &Type, text: &str, value: &Value<'_, '_>) -> Option<super::value::Value> {
    let of_any = Type::Name { of: None };
    let kind = if matches!(kind, Type::Name { .. }) { &of_any } else { kind };
    kind.read(text, Source::Document, &Inventory::default()).map_err(|bad| value.error(bad.to_string())).ok()
}

/// Checks what only the whole document shows.
fn check_whole(table: &mut Table<'_, '_>, runbook: &Runbook) {
    let plan = &runbook.plan;
    for (step, value) in plan.steps.iter().zip(table.list("steps")) {
        if step.action.class() > runbook.class {
            value.error(format!(
                "{} is at least {}, and the runbook is declared {}",
                step.action.kind(),
                step.action.class().word(),
                runbook.class.word()
            ));
        }
    }
    let undoes = plan.on_verify_fail == OnVerifyFail::UndoThenPage || plan.steps.iter().any(|step| step.on_fail == OnFail::Undo);
    if undoes {
        let bare = |step: &&Step| step.action.changes() && step.undo.is_none() && !step.undo_waived;
        for step in plan.steps.iter().filter(bare) {
            if let Some(value) = table.list("steps").get(plan.index(&step.id).unwrap_or(0)) {
                value.error(
                    "the runbook undoes what it did, so this step needs an undo; write undo: none where there is nothing to undo",
                );
            }
        }
    }
    if plan.verify.is_empty() && runbook.class != Class::Read {
        table.value_here().warning("there is no verify, so every run ends as failed: nobody can know that it helped");
    }
    for (trigger, value) in runbook.triggers.iter().zip(table.list("triggers")) {
        if mode_of(trigger) != Some(Mode::Auto) {
            continue;
        }
        if plan.verify.is_empty() {
            value.error("mode auto needs a verify: what acts alone must prove that it helped");
        }
        if runbook.class == Class::Destructive {
            value.error("a destructive runbook never has mode auto; write approve");
        }
    }
    let by_alert_only = |step: &Verified| matches!(step, Verified::TriggerAlert);
    if plan.verify.iter().any(|verify| by_alert_only(&verify.what))
        && !runbook.triggers.iter().all(|trigger| matches!(trigger, Trigger::Alert { .. }))
    {
        table.value_here().warning("trigger_alert is no data for a run that no alert asked for; such a run ends unverified");
    }
}

fn mode_of(trigger: &Trigger) -> Option<Mode> {
    match trigger {
        Trigger::Alert { mode, .. } | Trigger::Webhook { mode, .. } | Trigger::Schedule { mode, .. } => Some(*mode),
        Trigger::Manual { .. } => None,
    }
}

/// What is wrong with the calls of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCall {
    /// The document that calls.
    pub id: String,
    pub message: String,
}

/// Returns the faults that only all runbooks together show: calls of runbooks that are not there, that hurt more than their caller,
/// that are studies, that lack a parameter, or that lead back to the caller.
pub fn check_calls(runbooks: &[Runbook]) -> Vec<BadCall> {
    use super::action::Action;
    let by_id: BTreeMap<&str, &Runbook> = runbooks.iter().map(|runbook| (runbook.metadata.id.as_str(), runbook)).collect();
    let mut faults = Vec::new();
    let calls = |runbook: &'_ Runbook| -> Vec<String> {
        let called = |step: &Step| match &step.action {
            Action::Call { runbook, .. } => Some(runbook.clone()),
            _ => None,
        };
        runbook.plan.steps.iter().filter_map(called).collect()
    };
    for runbook in runbooks {
        let id = &runbook.metadata.id;
        for step in &runbook.plan.steps {
            let Action::Call { runbook: called, params } = &step.action else { continue };
            let mut fault = |message: String| {
                faults.push(BadCall { id: id.clone(), message: format!("step {}: {message}", step.id) });
            };
            let Some(callee) = by_id.get(called.as_str()) else {
                fault(format!("there is no runbook {called:?}"));
                continue;
            };
            if !callee.kind.is_runbook() {
                fault(format!("{called} is no runbook, and only runbooks are called"));
            }
            if callee.class > runbook.class {
                let (own, other) = (runbook.class.word(), callee.class.word());
                fault(format!("{called} is {other}, and the caller is declared {own}"));
            }
            for name in params.keys().filter(|name| !callee.params.contains_key(*name)) {
                fault(format!("{called} has no parameter {name:?}"));
            }
            for (name, _) in callee.params.iter().filter(|(name, param)| param.required && !params.contains_key(*name)) {
                fault(format!("{called} needs the parameter {name:?}"));
            }
        }
        let (mut seen, mut waiting) = (BTreeSet::new(), calls(runbook));
        while let Some(next) = waiting.pop() {
            if next == *id {
                faults.push(BadCall { id: id.clone(), message: "its calls lead back to itself".to_owned() });
                break;
            }
            if seen.insert(next.clone()) {
                waiting.extend(by_id.get(next.as_str()).map(|called| calls(called)).unwrap_or_default());
            }
        }
    }
    faults
}
