//! Triggers as they are written, and which texts from outside may reach which parameters.

use std::collections::BTreeMap;

use crate::promql::parse::{Syntax, parse};
use crate::run::runbook::{From, Mode, Trigger};
use crate::run::schedule::{Missed, Schedule};
use crate::run::value::{Param, Source};
use crate::time::{Span, Timestamp};
use crate::yaml::{Kind, Table, Value, nearest};

use super::{Allowed, name, read_literal, refuse_absent, required_name, roles, word};

/// What a trigger can take values from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offers {
    Labels,
    Body,
    Nothing,
}

pub(super) fn read_all(
    table: &mut Table<'_, '_>,
    params: &BTreeMap<String, Param>,
    allowed: &Allowed,
    now: Timestamp,
) -> Vec<Trigger> {
    table.list("triggers").iter().filter_map(|value| read(value, params, allowed, now)).collect()
}

fn read(value: &Value<'_, '_>, params: &BTreeMap<String, Param>, allowed: &Allowed, now: Timestamp) -> Option<Trigger> {
    let mut table = value.table();
    let outer = table.value("params");
    let (alert, webhook, schedule, manual) =
        (table.table("alert"), table.table("webhook"), table.table("schedule"), table.table("manual"));
    let trigger = match (alert, webhook, schedule, manual) {
        (Some(inner), None, None, None) => Some(read_alert(inner, outer, params)),
        (None, Some(inner), None, None) => Some(read_webhook(inner, outer, params, allowed)),
        (None, None, Some(inner), None) => Some(read_schedule(inner, outer, params, now)),
        (None, None, None, Some(mut inner)) => {
            refuse_absent(&mut inner);
            let roles = roles(&mut inner, "roles");
            if roles.is_empty() {
                inner.error("roles is missing; list who may start the runbook by hand");
            }
            if let Some(outer) = outer {
                outer.error("whoever starts a runbook by hand gives the parameters then");
            }
            inner.finish();
            Some(Trigger::Manual { roles })
        }
        _ => {
            table.error("a trigger is one of alert, webhook, schedule and manual");
            None
        }
    };
    table.finish();
    trigger
}

fn mode(table: &mut Table<'_, '_>) -> Mode {
    // A trigger that does not say how far it goes waits for a person.
    table.value("mode").and_then(|value| word(&value, &Mode::ALL, Mode::word)).unwrap_or(Mode::Approve)
}

fn read_alert(mut table: Table<'_, '_>, outer: Option<Value<'_, '_>>, params: &BTreeMap<String, Param>) -> Trigger {
    let name = table.text("name").unwrap_or_default();
    if name.is_empty() {
        table.error("name is missing; write the name of the alert");
    }
    let matching = table.text_map("match");
    let mode = mode(&mut table);
    let given = read_params(&mut table, outer, params, Offers::Labels);
    table.finish();
    Trigger::Alert { name, matching, mode, params: given }
}

fn read_webhook(
    mut table: Table<'_, '_>,
    outer: Option<Value<'_, '_>>,
    params: &BTreeMap<String, Param>,
    allowed: &Allowed,
) -> Trigger {
    let source = required_name(&mut table, "source");
    let hmac_secret = table.text("hmac_secret").unwrap_or_default();
    match table.value("hmac_secret") {
        None => table.error("hmac_secret is missing; a webhook that anybody can send starts nothing"),
        Some(value) if !allowed.secrets.contains(&hmac_secret) => value.error(format!("there is no secret {hmac_secret:?}")),
        Some(_) => {}
    }
    let mode = mode(&mut table);
    let given = read_params(&mut table, outer, params, Offers::Body);
    table.finish();
    Trigger::Webhook { source, hmac_secret, mode, params: given }
}

fn read_schedule(
    mut table: Table<'_, '_>,
    outer: Option<Value<'_, '_>>,
    params: &BTreeMap<String, Param>,
    now: Timestamp,
) -> Trigger {
    let schedule = read_times(&mut table, Missed::Skip, None, None, now);
    let mode = mode(&mut table);
    let given = read_params(&mut table, outer, params, Offers::Nothing);
    table.finish();
    Trigger::Schedule { schedule, mode, params: given }
}

/// Reads when a schedule falls due; `missed` is what becomes of instants that passed unseen where nothing is written.
pub(super) fn read_times(
    table: &mut Table<'_, '_>,
    missed: Missed,
    window: Option<Span>,
    jitter: Option<Span>,
    now: Timestamp,
) -> Schedule {
    let cron = table.text("cron").unwrap_or_default();
    let tz = table.text("tz").unwrap_or_default();
    if tz.is_empty() {
        table.error("tz is missing; write the name of a zone, such as Europe/Paris or UTC");
    }
    let written = table.value("missed").and_then(|value| {
        word(&value, &[Missed::Skip, Missed::RunOnce], |one| match one {
            Missed::Skip => "skip",
            Missed::RunOnce => "run_once",
        })
    });
    let schedule = Schedule { cron, tz, missed: written.unwrap_or(missed), window, jitter };
    for fault in schedule.check(now) {
        table.error(fault.to_string());
    }
    schedule
}

/// Reads where the parameters of a trigger come from; they stand inside it or beside it.
fn read_params(
    table: &mut Table<'_, '_>,
    outer: Option<Value<'_, '_>>,
    params: &BTreeMap<String, Param>,
    offers: Offers,
) -> BTreeMap<String, From> {
    let inner = table.value("params");
    if let (Some(_), Some(outer)) = (&inner, &outer) {
        outer.error("params stands inside the trigger already; remove one of the two");
    }
    let mut given = BTreeMap::new();
    for (key, value) in inner.or(outer).map(|value| value.entries()).unwrap_or_default() {
        let Some(param) = params.get(&key.name) else {
            let known: Vec<&str> = params.keys().map(String::as_str).collect();
            let near = nearest(&key.name, &known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            value.error(format!("there is no parameter {:?}{near}", key.name));
            continue;
        };
        let Some((from, source)) = read_from(&value, offers) else { continue };
        if source.is_tainted() && !param.kind.is_bounded() {
            value.error(format!(
                "strangers choose this value, and the {} {:?} takes anything; give it {}",
                param.kind.word(),
                key.name,
                if param.kind.word() == "name" { "of: a kind of the inventory" } else { "min and max" }
            ));
        }
        if let From::Literal(text) = &from {
            read_literal(&param.kind, text, &value);
        }
        given.insert(key.name.clone(), from);
    }
    let missing = params.iter().filter(|(name, param)| param.required && !given.contains_key(*name));
    for (name, _) in missing {
        table.error(format!("the parameter {name:?} is required, and this trigger gives it no value"));
    }
    given
}

fn read_from(value: &Value<'_, '_>, offers: Offers) -> Option<(From, Source)> {
    let Kind::Mapping(_) = value.node.kind else { return Some((From::Literal(value.text()?), Source::Document)) };
    let mut table = value.table();
    let from = table.value("from").and_then(|value| word(&value, &["label", "body", "expr"], |word| word));
    let (label, path, expr) = (table.value("label"), table.value("path"), table.value("expr"));
    let read = match (from, label, path, expr) {
        (None | Some("label"), Some(label), None, None) => {
            if offers != Offers::Labels {
                label.error("only alerts have labels");
            }
            label.text().map(|label| (From::Label(label), Source::AlertLabel))
        }
        (Some("body"), None, Some(path), None) => {
            if offers != Offers::Body {
                path.error("only webhooks have a body");
            }
            let text = path.text()?;
            if !text.starts_with('/') {
                path.error("write a JSON pointer, such as /replicas");
            }
            Some((From::Body(text), Source::WebhookBody))
        }
        (Some("expr"), None, None, Some(expr)) => {
            let text = expr.text()?;
            for fault in parse(&text, &Syntax::default()).err().into_iter().flatten() {
                expr.error(format!("could not parse expression: {}", fault.summary(&text)));
            }
            Some((From::Expr(text), Source::Expression))
        }
        _ => {
            value.error("write a value, {label: …}, {from: body, path: …} or {from: expr, expr: …}");
            None
        }
    };
    table.finish();
    read
}

/// Reads a name that must be among those that the configuration knows.
pub(super) fn known(value: &Value<'_, '_>, what: &str, all: impl Fn(&str) -> bool) -> Option<String> {
    let text = name(value)?;
    if !all(&text) {
        value.error(format!("the configuration knows no {what} {text:?}"));
        return None;
    }
    Some(text)
}
