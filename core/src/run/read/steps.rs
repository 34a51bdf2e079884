//! Steps and verification as they are written.

use std::collections::BTreeMap;

use crate::run::action::{Action, NoData, SavedRef};
use crate::run::plan::{Check, Effect, FailClass, Jitter, OnFail, Retry, Save, Step, StepResult, Undo, Verified, Verify, When};
use crate::run::runbook::Trigger;
use crate::time::Span;
use crate::yaml::{Kind, Table, Value, nearest};

use super::action::{journey_succeeds, pointer, read_condition, read_expect, read_no_data};
use super::refer::Refer;
use super::{STEPS_MAX, action, check_key, name, read_type, required_name, span, word};

const ATTEMPTS_MAX: u64 = 50;
const TIMEOUT: Span = Span::from_secs(60);

pub(super) fn read_all(table: &mut Table<'_, '_>, refer: &mut Refer<'_>) -> Vec<Step> {
    let list = table.list("steps");
    if list.is_empty() {
        table.error("steps is missing, or empty");
    }
    if list.len() > STEPS_MAX {
        table.error(format!("there are {} steps; at most {STEPS_MAX} are accepted", list.len()));
    }
    let ids: Vec<String> =
        list.iter().map(|value| value.node.get("id").and_then(|id| id.text()).unwrap_or_default().to_owned()).collect();
    let mut steps = Vec::new();
    for (index, value) in list.iter().enumerate().take(STEPS_MAX) {
        let mut table = value.table();
        let step = read(&mut table, refer, &ids[index + 1..]);
        table.finish();
        refer.above.push(ids[index].clone());
        if let Some((step, saved)) = step {
            refer.saved.extend(saved);
            steps.push(step);
        }
    }
    steps
}

type Saved = BTreeMap<SavedRef, Option<crate::run::value::Type>>;

/// Reads a step; `later` are the ids below it.
fn read(table: &mut Table<'_, '_>, refer: &Refer<'_>, later: &[String]) -> Option<(Step, Saved)> {
    let id = match table.value("id") {
        Some(value) => {
            let id = name(&value);
            if id.as_ref().is_some_and(|id| refer.above.contains(id)) {
                value.error("the id stands above already; every step has its own");
            }
            if id.as_ref().is_some_and(|id| id.contains('.')) {
                value.error("the id of a step holds no dot, since step.name refers to its outputs");
            }
            id
        }
        None => {
            table.error("id is missing");
            None
        }
    };
    let when = table.value("when").and_then(|value| read_when(&value, refer));
    let action = action::read(table, refer);
    let effect = match table.value("effect") {
        Some(value) => word(&value, &Effect::ALL, Effect::word),
        None => {
            table.error("effect is missing; write idempotent, keyed, probe or once: what may be done when nobody knows whether it happened");
            None
        }
    };
    let timeout = span(table, "timeout").unwrap_or(TIMEOUT);
    let check = table.value("check").and_then(|value| read_check(&value, refer));
    let (undo, undo_waived) = match table.value("undo") {
        Some(value) if value.node.text() == Some("none") => (None, true),
        Some(value) => (read_undo(&value, refer), false),
        None => (None, false),
    };
    let retry = read_retry(table.table("retry"));
    let on_fail = table.value("on_fail").and_then(|value| read_on_fail(&value, refer, later)).unwrap_or(OnFail::Abort);
    let save = table.value("save").map(|value| read_saves(&value)).unwrap_or_default();
    if let (Some(action), Some(effect)) = (&action, effect) {
        check_effect(table, action, effect, check.is_some(), &retry);
        if !save.is_empty() && action.is_inner() && !matches!(action, Action::Human { .. }) {
            table.error(format!("{} has no output to save", action.kind()));
        }
    }
    let id = id?;
    let saved = save.iter().map(|(name, save)| (SavedRef { step: id.clone(), name: name.clone() }, save.kind.clone())).collect();
    let (action, effect) = (action?, effect?);
    let step = Step { id, when, action, effect, check, undo, undo_waived, fault: false, timeout, retry, on_fail, save };
    Some((step, saved))
}

/// Checks that the declared effect can be true of the kind.
fn check_effect(table: &mut Table<'_, '_>, action: &Action, effect: Effect, has_check: bool, retry: &Retry) {
    let kind = action.kind();
    let acts = action.changes() || matches!(action, Action::Page { .. } | Action::Call { .. } | Action::PgRestoreCheck { .. });
    let place = table.value("effect");
    let error = |message: String| match &place {
        Some(value) => value.error(message),
        None => table.value_here().error(message),
    };
    match effect {
        Effect::Idempotent => {
            if matches!(action, Action::Page { .. }) {
                error("a page that is sent twice wakes twice; write keyed".to_owned());
            }
        }
        _ if !acts => error(format!("{kind} changes nothing, so it may always be repeated; write idempotent")),
        Effect::Keyed => match action {
            Action::HttpRequest(http) if http.key_header.is_none() => {
                error("a keyed request needs key_header: the header by which the other side recognises a repeat".to_owned());
            }
            Action::HttpRequest(_) | Action::Page { .. } | Action::Call { .. } | Action::Exec(_) => {}
            _ => error(format!("{kind} has no key; write idempotent, probe or once")),
        },
        Effect::Probe => {
            if !has_check {
                error("probe needs a check that tells whether the step has happened".to_owned());
            }
        }
        Effect::Once => {
            if retry.attempts > 1 {
                error("a step that is never repeated has no retries; remove retry, or write another effect".to_owned());
            }
        }
    }
    if has_check && effect != Effect::Probe {
        error("only a step with effect: probe is checked; remove check, or write probe".to_owned());
    }
}

fn read_when(value: &Value<'_, '_>, refer: &Refer<'_>) -> Option<When> {
    let mut table = value.table();
    let step = table.text("step").unwrap_or_default();
    if !refer.above.contains(&step) {
        let known: Vec<&str> = refer.above.iter().map(String::as_str).collect();
        let near = nearest(&step, &known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        table.error(format!("no step {step:?} stands above this one{near}"));
    }
    let is = table.value("is").and_then(|value| {
        word(&value, &[StepResult::Succeeded, StepResult::Failed, StepResult::Skipped], |one| match one {
            StepResult::Succeeded => "succeeded",
            StepResult::Failed => "failed",
            StepResult::Skipped => "skipped",
        })
    });
    if !table.has("is") {
        table.error("is is missing; write succeeded, failed or skipped");
    }
    table.finish();
    Some(When { step, is: is? })
}

fn read_check(value: &Value<'_, '_>, refer: &Refer<'_>) -> Option<Check> {
    let mut table = value.table();
    let action = action::read(&mut table, refer);
    if let Some(action) = &action
        && !action.tells()
    {
        table.error(format!(
            "{} cannot tell whether something happened; write http.check, metric.check, sql.query or exec.argv",
            action.kind()
        ));
    }
    let in_progress = table.value("in_progress").and_then(|value| {
        let expect = read_expect(&value, refer)?;
        if refer.type_of(&expect.value).is_some() {
            value.error("what shows that something is under way is written out");
        }
        Some(expect)
    });
    table.finish();
    Some(Check { action: action?, in_progress })
}

fn read_undo(value: &Value<'_, '_>, refer: &Refer<'_>) -> Option<Undo> {
    let mut table = value.table();
    let action = action::read(&mut table, refer);
    if let Some(action) = &action
        && !action.changes()
    {
        table.error(format!("{} takes nothing back; write exec.argv, http.request or proc.signal", action.kind()));
    }
    if let Some(Action::PgPromote { .. }) = &action {
        table.error("a promotion takes nothing back");
    }
    let check = table.value("check").and_then(|value| read_check(&value, refer)).map(|check| check.action);
    if check.is_none() {
        table.value_here().warning("the undo has no check, so its own success is taken for the proof that it worked");
    }
    let timeout = span(&mut table, "timeout").unwrap_or(TIMEOUT);
    let deadline = span(&mut table, "deadline");
    table.finish();
    Some(Undo { action: action?, check, timeout, deadline })
}

fn read_retry(table: Option<Table<'_, '_>>) -> Retry {
    let mut retry = Retry::default();
    let Some(mut table) = table else { return retry };
    if let Some(value) = table.value("attempts") {
        match value.unsigned().filter(|attempts| (1..=ATTEMPTS_MAX).contains(attempts)) {
            Some(attempts) => retry.attempts = attempts as u32,
            None => value.error(format!("write how often the step is tried, 1 to {ATTEMPTS_MAX}")),
        }
    } else {
        table.error("attempts is missing; the first one counts");
    }
    retry.backoff = span(&mut table, "backoff").unwrap_or(retry.backoff);
    retry.max = span(&mut table, "max").unwrap_or(retry.max);
    if let Some(value) = table.value("factor") {
        match value.float().filter(|factor| (1.0..=10.0).contains(factor)) {
            Some(factor) => retry.factor = factor,
            None => value.error("write a factor between 1 and 10"),
        }
    }
    if let Some(value) = table.value("jitter") {
        let spell = |one| match one {
            Jitter::Full => "full",
            Jitter::None => "none",
        };
        retry.jitter = word(&value, &[Jitter::Full, Jitter::None], spell).unwrap_or(Jitter::Full);
    }
    let list = table.list("when");
    if !list.is_empty() {
        // What was done, but brought an output that cannot be used, is not done again; nor is what a person refused.
        let all: Vec<FailClass> =
            FailClass::ALL.into_iter().filter(|class| !matches!(class, FailClass::Value | FailClass::Refused)).collect();
        retry.when = list.iter().filter_map(|value| word(value, &all, FailClass::word)).collect();
    }
    table.finish();
    retry
}

fn read_on_fail(value: &Value<'_, '_>, refer: &Refer<'_>, later: &[String]) -> Option<OnFail> {
    let text = value.text()?;
    let Some(target) = text.strip_prefix("goto:").map(str::trim) else {
        return match text.as_str() {
            "abort" => Some(OnFail::Abort),
            "continue" => Some(OnFail::Continue),
            "undo" => Some(OnFail::Undo),
            _ => {
                value.error(format!("{text:?} is none of abort, continue, undo and goto:<id of a later step>"));
                None
            }
        };
    };
    if later.iter().any(|id| id == target) {
        return Some(OnFail::Goto(target.to_owned()));
    }
    let known: Vec<&str> = later.iter().map(String::as_str).collect();
    value.error(if refer.above.iter().any(|id| id == target) {
        format!("step {target} stands above; a run never goes back")
    } else {
        let near = nearest(target, &known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        format!("there is no later step {target:?}{near}")
    });
    None
}

fn read_saves(value: &Value<'_, '_>) -> BTreeMap<String, Save> {
    let mut saves = BTreeMap::new();
    for (key, value) in value.entries() {
        if !check_key(&key.name, &value) {
            continue;
        }
        let save = if let Kind::Mapping(_) = value.node.kind {
            let mut table = value.table();
            let path = table.value("path").and_then(|value| pointer(&value));
            if !table.has("path") {
                table.error("path is missing; write a JSON pointer into the output");
            }
            let kind = read_type(&mut table);
            if let Some(kind) = kind.as_ref().filter(|kind| !kind.is_bounded()) {
                table.error(format!(
                    "outputs come from outside, and this {} takes anything; give it {}",
                    kind.word(),
                    if kind.word() == "name" { "of: a kind of the inventory" } else { "min and max" }
                ));
            }
            table.finish();
            path.zip(kind).map(|(path, kind)| Save { path, kind: Some(kind) })
        } else {
            pointer(&value).map(|path| Save { path, kind: None })
        };
        saves.extend(save.map(|save| (key.name.clone(), save)));
    }
    saves
}

pub(super) fn read_verify(table: &mut Table<'_, '_>, refer: &Refer<'_>, triggers: &[Trigger]) -> Vec<Verify> {
    table.list("verify").iter().filter_map(|value| read_one_verify(value, refer, triggers)).collect()
}

fn read_one_verify(value: &Value<'_, '_>, refer: &Refer<'_>, triggers: &[Trigger]) -> Option<Verify> {
    let mut table = value.table();
    let (what, no_data) = if table.has("journey") {
        let journey = required_name(&mut table, "journey");
        if let Some(clean) = table.value("clean") {
            clean.error("a journey is tried at its own beat; write hold: how long it must succeed");
        }
        (Some(Verified::Metric(journey_succeeds(&journey))), NoData::Fail)
    } else if let Some(what) = table.value("use") {
        word(&what, &["trigger_alert"], |one| one);
        if let Some(must) = table.value("must") {
            word(&must, &["not_firing"], |one| one);
        }
        if !triggers.iter().any(|trigger| matches!(trigger, Trigger::Alert { .. })) {
            what.error("no alert triggers this runbook");
        }
        (Some(Verified::TriggerAlert), read_no_data(&mut table))
    } else {
        let condition = read_condition(&mut table, refer);
        let no_data = condition.as_ref().map(|condition| condition.no_data).unwrap_or_default();
        (condition.map(Verified::Metric), no_data)
    };
    let hold = table.span("hold").unwrap_or(Span::ZERO);
    let within = span(&mut table, "within");
    match within {
        None => table.error("within is missing; write how long the verification may take"),
        Some(within) if within <= hold => table.error("within must be longer than hold"),
        Some(_) => {}
    }
    table.finish();
    Some(Verify { what: what?, hold, within: within?, no_data })
}
