//! Guards as they are written.

use std::collections::BTreeMap;

use crate::run::action::Approvals;
use crate::run::inventory::Selection;
use crate::run::runbook::{Blast, Budget, Cooldown, FreezePolicy, Guards, KeyPart, Lock, MaxChange, OnBusy};
use crate::run::value::{Param, Type};
use crate::time::Span;
use crate::yaml::{Table, Value};

use super::action::{read_approvals, read_condition};
use super::refer::Refer;
use super::{required_name, span, word};

const TOTAL_TIMEOUT: Span = Span::from_mins(60);

/// Reads `guards` and `targets` of a spec, and how long a run may take.
pub(super) fn read(
    table: Option<Table<'_, '_>>,
    refer: &Refer<'_>,
    params: &BTreeMap<String, Param>,
    spec: &mut Table<'_, '_>,
) -> (Guards, Span) {
    let targets = spec.table("targets").and_then(|table| read_targets(table, params));
    let mut guards = Guards { targets, ..Guards::default() };
    let Some(mut table) = table else { return (guards, TOTAL_TIMEOUT) };
    guards.lock = table.table("lock").map(read_lock);
    guards.cooldown = table.table("cooldown").and_then(|table| read_cooldown(table, params));
    guards.daily_max = table.value("daily_max").and_then(|value| positive(&value));
    guards.blast = table.table("blast").map(|table| read_blast(table, refer, params)).unwrap_or_default();
    guards.freeze = read_freeze(&mut table);
    guards.budget = table.table("budget").map(read_budget);
    for value in table.list("precheck") {
        let mut inner = value.table();
        guards.precheck.extend(read_condition(&mut inner, refer));
        inner.finish();
    }
    guards.approvals = read_approval(&mut table);
    guards.no_open_page = table.boolean("no_open_page").unwrap_or(false);
    guards.staging_passed_within = span(&mut table, "staging_passed_within");
    let total = span(&mut table, "total_timeout").unwrap_or(TOTAL_TIMEOUT);
    table.finish();
    (guards, total)
}

/// Reads `approvals` of the guards, as runbooks and studies both write it.
pub(super) fn read_approval(table: &mut Table<'_, '_>) -> Option<Approvals> {
    let mut inner = table.table("approvals")?;
    let approvals = read_approvals(&mut inner);
    inner.finish();
    Some(approvals)
}

pub(super) fn read_freeze(table: &mut Table<'_, '_>) -> FreezePolicy {
    let Some(value) = table.value("freeze") else { return FreezePolicy::default() };
    let all = [FreezePolicy::Honour, FreezePolicy::OverrideWithApproval, FreezePolicy::Wait];
    let spell = |one| match one {
        FreezePolicy::Honour => "honour",
        FreezePolicy::OverrideWithApproval => "override_with_approval",
        FreezePolicy::Wait => "wait",
    };
    word(&value, &all, spell).unwrap_or_default()
}

pub(super) fn positive(value: &Value<'_, '_>) -> Option<u32> {
    let number = value.unsigned().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
    if number.is_none() {
        value.error("write a number greater than zero");
    }
    number
}

pub(super) fn read_lock(mut table: Table<'_, '_>) -> Lock {
    let key = table.text("key").unwrap_or_default();
    if key.is_empty() || key.len() > 200 {
        table.error("key is missing, or longer than 200 bytes");
    }
    let on_busy = table.value("on_busy").and_then(|value| {
        word(&value, &[OnBusy::Refuse, OnBusy::Queue], |one| match one {
            OnBusy::Refuse => "refuse",
            OnBusy::Queue => "queue",
        })
    });
    table.finish();
    Lock { key, on_busy: on_busy.unwrap_or(OnBusy::Refuse) }
}

pub(super) fn read_cooldown(mut table: Table<'_, '_>, params: &BTreeMap<String, Param>) -> Option<Cooldown> {
    let mut key = Vec::new();
    for value in table.list("key") {
        let Some(text) = value.text() else { continue };
        match (text.as_str(), text.split_once('.')) {
            ("runbook", _) => key.push(KeyPart::Runbook),
            ("platform", _) => key.push(KeyPart::Platform),
            ("target", _) => key.push(KeyPart::Target),
            (_, Some(("param", name))) if params.contains_key(name) => key.push(KeyPart::Param(name.to_owned())),
            (_, Some(("param", name))) => value.error(format!("there is no parameter {name:?}")),
            (_, Some(("label", name))) if !name.is_empty() => key.push(KeyPart::Label(name.to_owned())),
            _ => value.error("write runbook, platform, target, param.<name> or label.<name>"),
        }
    }
    if !table.has("key") {
        table.error("key is missing; write what is counted, such as [runbook]");
    }
    let every = span(&mut table, "every");
    if every.is_none() {
        table.error("every is missing");
    }
    let max = table.value("max").map_or(Some(1), |value| positive(&value));
    table.finish();
    Some(Cooldown { key, every: every?, max: max? })
}

fn read_blast(mut table: Table<'_, '_>, refer: &Refer<'_>, params: &BTreeMap<String, Param>) -> Blast {
    let max_targets = table.value("max_targets").and_then(|value| positive(&value)).map(|max| max as usize);
    let max_change = table.table("max_change").and_then(|mut inner| {
        let of = inner.value("of").and_then(|value| refer.expression(&value));
        let param = inner.text("param").unwrap_or_default();
        match params.get(&param) {
            Some(known) if known.kind.is_numeric() => {}
            Some(_) => inner.error(format!("the parameter {param:?} is no number")),
            None => inner.error("param is missing; name the parameter that may not lie too far from the value"),
        }
        let percent = inner.value("percent").and_then(|value| positive(&value));
        if of.is_none() || percent.is_none() {
            inner.error("of and percent are needed");
        }
        inner.finish();
        Some(MaxChange { param, of: of?, percent: percent? })
    });
    table.finish();
    Blast { max_targets, max_change }
}

pub(super) fn read_share(value: &Value<'_, '_>) -> f64 {
    value.float().filter(|share| (0.0..=1.0).contains(share)).unwrap_or_else(|| {
        value.error("write a share of the budget between 0 and 1");
        // Nothing is ever left of a budget that must be whole.
        1.0
    })
}

pub(super) fn read_budget(mut table: Table<'_, '_>) -> Budget {
    let slo = required_name(&mut table, "slo");
    let allow = table.value("on_exhausted").and_then(|value| word(&value, &["allow", "refuse"], |word| word));
    let remaining_at_least = table.value("remaining_at_least").map_or(0.0, |value| read_share(&value));
    table.finish();
    Budget { slo, allow_exhausted: allow == Some("allow"), remaining_at_least, predicted: None }
}

fn read_targets(mut table: Table<'_, '_>, params: &BTreeMap<String, Param>) -> Option<Selection> {
    let kind = required_name(&mut table, "kind");
    let labels = table.text_map("labels");
    let mut names = table.texts("names");
    names.sort();
    names.dedup();
    let param = table.text("param");
    if let Some(name) = &param
        && !matches!(params.get(name).map(|param| &param.kind), Some(Type::Name { of: Some(of) }) if *of == kind)
    {
        table.error(format!("targets are named by a parameter of {{type: name, of: {kind}}}"));
    }
    let (expect, all) = match (table.value("expect"), table.value("all_of")) {
        (Some(value), None) => (positive(&value), false),
        (None, Some(value)) => (positive(&value), true),
        _ => {
            table.error("write expect: <how many things must be found>, or all_of: <how many things there are>");
            (None, false)
        }
    };
    if labels.is_empty() && names.is_empty() && param.is_none() && !all {
        table.error("without labels, names or param every thing of the kind is meant; write all_of: <how many>");
    }
    let max_percent = table.value("max_percent").and_then(|value| positive(&value));
    table.finish();
    Some(Selection { kind, labels, names, param, expect: expect? as usize, all, max_percent })
}
