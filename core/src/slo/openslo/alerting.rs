//! Alert policies, their conditions, and whom they tell.

use std::sync::Arc;

use crate::time::Span;
use crate::yaml::{Table, Value};

use super::object::{Object, required};
use super::{AlertCondition, AlertNotificationTarget, AlertPolicy, Op, Reference, named, shorthand};

pub(super) fn policy(mut object: Object<'_, '_>) -> Option<AlertPolicy> {
    let description = object.description.clone();
    let file = object.file.clone();
    let Some(spec) = object.spec.as_mut() else {
        object.finish();
        return None;
    };
    let mut flag = |key| spec.boolean(key).unwrap_or(false);
    let (when_no_data, when_resolved, when_breaching) =
        (flag("alertWhenNoData"), flag("alertWhenResolved"), flag("alertWhenBreaching"));
    if !when_no_data && !when_resolved && !when_breaching {
        spec.value_here().warning("the policy never alerts; set alertWhenBreaching: true");
    }
    let mut conditions = spec.list("conditions").into_iter();
    let condition = match (conditions.next(), conditions.next()) {
        (Some(value), None) => inline_or_named(&value, &file, "conditionRef", "AlertCondition", condition),
        (Some(_), Some(second)) => {
            second.error("a policy has one condition; write a policy for each");
            None
        }
        (None, _) => {
            spec.error("conditions must hold one condition");
            None
        }
    };
    let listed = spec.list("notificationTargets");
    if listed.is_empty() {
        spec.error("notificationTargets must hold at least one target");
    }
    let read = |value: &Value<'_, '_>| inline_or_named(value, &file, "targetRef", "AlertNotificationTarget", target);
    let targets = listed.iter().filter_map(read).collect();
    let metadata = object.finish();
    Some(AlertPolicy { metadata, description, when_no_data, when_resolved, when_breaching, condition: condition?, targets })
}

/// Reads an item that is either the name of an object or the object itself.
fn inline_or_named<T>(
    value: &Value<'_, '_>,
    file: &Arc<str>,
    by_name: &'static str,
    kind: &'static str,
    read: impl Fn(Object<'_, '_>) -> Option<T>,
) -> Option<Reference<T>> {
    if value.node.get(by_name).is_none() && value.node.get("kind").is_none() {
        value.error(format!("write {by_name}: with a name, or kind: {kind} with metadata: and spec:"));
        return None;
    }
    if value.node.get(by_name).is_some() {
        let mut table = value.table();
        table.ignored(&["operator"], "of an earlier draft");
        let name = table.value(by_name).and_then(|name| named(&name, file));
        table.finish();
        return name;
    }
    let mut object = Object::new(value, file);
    if object.kind != kind {
        let message = format!("expected kind: {kind}, found {:?}", object.kind);
        object.error("kind", message);
    }
    read(object).map(|object| Reference::Inline(Arc::new(object)))
}

pub(super) fn condition(mut object: Object<'_, '_>) -> Option<AlertCondition> {
    let description = object.description.clone();
    let read = object.spec.as_mut().map(|spec| (required(spec, "severity"), condition_terms(spec)));
    let metadata = object.finish();
    let (severity, terms) = read?;
    let (op, threshold, lookback, alert_after) = terms?;
    Some(AlertCondition { metadata, description, severity: severity?, op, threshold, lookback, alert_after })
}

fn condition_terms(spec: &mut Table<'_, '_>) -> Option<(Op, f64, Span, Span)> {
    let Some(mut table) = spec.table("condition") else {
        spec.error("condition is missing; write kind: burnrate, op:, threshold: and lookbackWindow: below it");
        return None;
    };
    if let Some(kind) = table.value("kind")
        && kind.text().is_some_and(|text| text != "burnrate")
    {
        kind.error("expected kind: burnrate, the only one there is");
    }
    let op = match table.value("op") {
        Some(value) => op(&value),
        None => {
            table.value_here().warning("op is missing; gte is taken");
            Some(Op::Gte)
        }
    };
    let threshold = table.value("threshold").and_then(|value| {
        let number = value.float()?;
        if !number.is_finite() || number < 0.0 {
            value.error("expected a number, zero or greater");
        }
        Some(number)
    });
    if !table.has("threshold") {
        table.error("threshold is missing; it is a burn rate, such as 14.4");
    }
    let lookback = table.value("lookbackWindow").and_then(|value| shorthand(&value, false));
    if !table.has("lookbackWindow") {
        table.error("lookbackWindow is missing; write a length such as 1h");
    }
    let alert_after = match table.value("alertAfter") {
        Some(value) => shorthand(&value, true).map(|length| length.span()),
        None => Some(Span::ZERO),
    };
    table.finish();
    Some((op?, threshold?, lookback?.span(), alert_after?))
}

/// Reads an operator.
pub(super) fn op(value: &Value<'_, '_>) -> Option<Op> {
    let op = match value.text()?.as_str() {
        "lte" => Some(Op::Lte),
        "gte" => Some(Op::Gte),
        "lt" => Some(Op::Lt),
        "gt" => Some(Op::Gt),
        _ => None,
    };
    if op.is_none() {
        value.error("expected lte, gte, lt or gt");
    }
    op
}

/// Reads a policy of an SLO: its name alone, `alertPolicyRef`, or the policy itself.
pub(super) fn policy_reference(value: &Value<'_, '_>, file: &Arc<str>) -> Option<Reference<AlertPolicy>> {
    match value.node.text() {
        Some(_) => named(value, file),
        None => inline_or_named(value, file, "alertPolicyRef", "AlertPolicy", policy),
    }
}

pub(super) fn target(mut object: Object<'_, '_>) -> Option<AlertNotificationTarget> {
    let description = object.description.clone();
    let target = object.spec.as_mut().and_then(|spec| required(spec, "target"));
    let metadata = object.finish();
    Some(AlertNotificationTarget { metadata, description, target: target? })
}
