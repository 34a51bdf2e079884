//! What experiments and drills have in common as they are written: where and when they run, what must hold before, what they break.

use std::collections::BTreeMap;

use crate::access::Role;
use crate::run::action::{Signal, Slot};
use crate::run::inventory::Selection;
use crate::run::lever::{Direction, Toxic, ToxicKind};
use crate::run::plan::Class;
use crate::run::runbook::{Budget, From, Guards, Metadata, Mode, Predicted, Trigger};
use crate::run::schedule::Missed;
use crate::run::study::{ENVIRONMENT, FaultSpec, Lever, PRODUCTION, STAGING};
use crate::run::value::{Param, Type, Value as Typed};
use crate::time::{Span, Timestamp};
use crate::yaml::{Table, Value, nearest};

use super::action::read_condition;
use super::guards::{positive, read_approval, read_budget, read_cooldown, read_freeze, read_lock, read_share};
use super::refer::Refer;
use super::trigger::read_times;
use super::{check_key, name, refuse_absent, required_name, roles, span, word};

/// A study passes in staging this short a time before it may run in production.
const LADDER: Span = Span::from_mins(14 * 24 * 60);
/// No fault stands longer.
pub(super) const TTL_MAX: Span = Span::from_mins(24 * 60);
/// A fault does not wait longer for its turn.
const AFTER_MAX: Span = Span::from_mins(60);
const FAULTS_MAX: usize = 10;
const TARGETS_MAX: usize = 20;

/// Reads where a study may run; one place, or both.
pub(super) fn read_environment(table: &mut Table<'_, '_>) -> Vec<String> {
    let read = |value: &Value<'_, '_>| word(value, &[STAGING, PRODUCTION], |one| one).map(str::to_owned);
    let mut places = match table.value(ENVIRONMENT) {
        Some(value) if !value.node.items().is_empty() => value.list().iter().filter_map(read).collect(),
        Some(value) => read(&value).into_iter().collect(),
        None => {
            table.error("environment is missing; write staging, production, or [staging, production]");
            Vec::new()
        }
    };
    places.dedup();
    places
}

/// Returns the parameter that says where a run takes place.
pub(super) fn params(places: &[String]) -> BTreeMap<String, Param> {
    let default = match places {
        [only] => Some(Typed::Word(only.clone())),
        _ => None,
    };
    let param = Param { kind: Type::Enum { values: places.to_vec() }, required: default.is_none(), default };
    BTreeMap::from([(ENVIRONMENT.to_owned(), param)])
}

/// Reads `schedule` and `manual`.
pub(super) fn read_triggers(table: &mut Table<'_, '_>, places: &[String], missed: Missed, now: Timestamp) -> Vec<Trigger> {
    let schedule = table.table("schedule").map(|inner| read_schedule(inner, places, missed, now));
    let by_hand = table.table("manual").map_or(vec![Role::Operator, Role::SreLead], |mut inner| {
        let roles = roles(&mut inner, "roles");
        if roles.is_empty() {
            inner.error("roles is missing; list who may start it by hand");
        }
        inner.finish();
        roles
    });
    schedule.into_iter().chain([Trigger::Manual { roles: by_hand }]).collect()
}

fn read_schedule(mut table: Table<'_, '_>, places: &[String], default: Missed, now: Timestamp) -> Trigger {
    let (window, jitter) = (span(&mut table, "window"), span(&mut table, "jitter"));
    let schedule = read_times(&mut table, default, window, jitter, now);
    let mode = table.value("mode").and_then(|value| word(&value, &Mode::ALL, Mode::word)).unwrap_or(Mode::Approve);
    let mut given = BTreeMap::new();
    match (table.value(ENVIRONMENT), places) {
        (Some(value), _) => {
            let place = value.text().unwrap_or_default();
            if !places.contains(&place) {
                value.error(format!("the document does not run in {place:?}"));
            }
            given.insert(ENVIRONMENT.to_owned(), From::Literal(place));
        }
        (None, [_, _, ..]) => {
            table.error("environment is missing: the document runs in more than one, and the schedule must say which")
        }
        (None, _) => {}
    }
    table.finish();
    Trigger::Schedule { schedule, mode, params: given }
}

/// Reads `gates`; `outage` is how long everything may fail at worst.
pub(super) fn read_gates(
    table: Option<Table<'_, '_>>,
    refer: &Refer<'_>,
    metadata: &Metadata,
    places: &[String],
    outage: Span,
) -> Guards {
    let ladder = places.iter().any(|place| place == PRODUCTION).then_some(LADDER);
    let mut guards = Guards { staging_passed_within: ladder, ..Guards::default() };
    let Some(mut table) = table else { return guards };
    guards.freeze = read_freeze(&mut table);
    if let Some(value) = table.value("no_open_incident") {
        let mut inner = value.table();
        let platform = required_name(&mut inner, "platform");
        if !platform.is_empty() && platform != metadata.platform {
            inner.error(format!(
                "the document belongs to {}, and only pages of its own platform are looked at",
                metadata.platform
            ));
        }
        inner.finish();
        guards.no_open_page = true;
    }
    if let Some(mut inner) = table.table("budget") {
        let at_most = inner.value("predicted_spend_at_most").map(|value| read_share(&value));
        let predicted = at_most.map(|at_most| Predicted { outage, at_most });
        guards.budget = Some(Budget { predicted, ..read_budget(inner) });
    }
    let conditions: Vec<Table<'_, '_>> =
        table.table("capacity").into_iter().chain(table.list("precheck").iter().map(Value::table)).collect();
    for mut inner in conditions {
        guards.precheck.extend(read_condition(&mut inner, refer));
        inner.finish();
    }
    guards.approvals = read_approval(&mut table);
    guards.lock = table.table("lock").map(read_lock);
    guards.cooldown = table.table("cooldown").and_then(|inner| read_cooldown(inner, &BTreeMap::new()));
    guards.daily_max = table.value("daily_max").and_then(|value| positive(&value));
    refuse_absent(&mut table);
    table.finish();
    guards
}

/// Reads `class`; none is written: `default`.
pub(super) fn read_class(table: &mut Table<'_, '_>, default: Class, least: Class) -> Class {
    let Some(value) = table.value("class") else { return default.max(least) };
    let class = word(&value, &Class::ALL, Class::word).unwrap_or(Class::Destructive);
    if class < least {
        value.error(format!("what it does is at least {}", least.word()));
    }
    class
}

/// Reads `targets`.
pub(super) fn read_targets(table: Option<Table<'_, '_>>) -> Option<Selection> {
    let mut table = table?;
    let select = table.table("select");
    if select.is_none() {
        table.error("select is missing; write select: {kind: …, labels: {…}}");
    }
    let (expect, all) = match (table.value("expect"), table.value("all_of")) {
        (Some(value), None) => (positive(&value), false),
        (None, Some(value)) => (positive(&value), true),
        _ => {
            table.error("write expect: <how many things must be found>, or all_of: <how many things there are>");
            (None, false)
        }
    };
    if expect.is_some_and(|expect| expect as usize > TARGETS_MAX) {
        table.error(format!("at most {TARGETS_MAX} things are broken at once"));
    }
    let max_percent = table.value("max_percent").and_then(|value| positive(&value));
    refuse_absent(&mut table);
    let mut select = select?;
    let kind = match select.value("kind") {
        Some(value) => word(&value, &["proxy", "process"], |one| one).unwrap_or_default().to_owned(),
        None => {
            select.error("kind is missing; write proxy or process");
            String::new()
        }
    };
    let labels = select.text_map("labels");
    let mut names = select.texts("names");
    names.sort();
    names.dedup();
    if labels.contains_key(ENVIRONMENT) {
        select.error("where the study runs is added by itself; remove environment");
    }
    if labels.is_empty() && names.is_empty() && !all {
        select.error("without labels or names every thing of the kind is meant; write all_of: <how many>");
    }
    select.finish();
    table.finish();
    let expect = expect? as usize;
    Some(Selection { kind, labels, names, param: None, expect, all, max_percent })
}

/// How long faults must stand.
#[derive(Clone, Copy)]
pub(super) enum Stand {
    /// The fault phase of an experiment.
    Phase(Span),
    /// In a drill: no longer than the whole of it.
    Drill(Span),
}

pub(super) fn read_faults(list: &[Value<'_, '_>], targets: Option<&Selection>, stand: Stand) -> Vec<FaultSpec> {
    let mut faults: Vec<(FaultSpec, &Value<'_, '_>)> = Vec::new();
    if let Some(value) = list.get(FAULTS_MAX) {
        value.error(format!("at most {FAULTS_MAX} faults are accepted"));
    }
    for value in list.iter().take(FAULTS_MAX) {
        let mut table = value.table();
        let fault = read_fault(&mut table, targets, stand);
        table.finish();
        let Some(fault) = fault else { continue };
        if faults.iter().any(|(known, _)| known.id == fault.id) {
            value.error("the id stands above already; every fault has its own");
        }
        faults.push((fault, value));
    }
    let things = |fault: &FaultSpec| if fault.named.is_some() { 1 } else { targets.map_or(0, |targets| targets.expect as i64) };
    let count: i64 = faults.iter().map(|(fault, _)| things(fault)).sum();
    if let Stand::Phase(phase) = stand {
        let least = phase + Span(crate::run::inject::PROOF_WITHIN.0 * count);
        for (_, value) in faults.iter().filter(|(fault, _)| fault.ttl < least) {
            value.error(format!(
                "ttl is shorter than the fault phase and the time in which {count} faults are proven; write {least} at least"
            ));
        }
    }
    faults.into_iter().map(|(fault, _)| fault).collect()
}

fn read_fault(table: &mut Table<'_, '_>, targets: Option<&Selection>, stand: Stand) -> Option<FaultSpec> {
    let id = required_name(table, "id");
    if id.contains('.') {
        table.error("the id of a fault holds no dot");
    }
    let kind = match table.value("kind") {
        Some(value) => read_kind(&value),
        None => {
            table.error("kind is missing; write net.proxy or proc.signal");
            None
        }
    };
    let with = table.table("with");
    if with.is_none() {
        table.error("with is missing; it says what the fault does");
    }
    let late = table.value("until").and_then(|value| {
        if let Stand::Phase(_) = stand {
            value.error("only the faults of a drill stand until its failback");
        }
        word(&value, &["failback"], |one| one)
    });
    let after = match table.value("after") {
        Some(value) if matches!(stand, Stand::Phase(_)) => {
            value.error("the faults of an experiment are put together; only those of a drill come one after another");
            None
        }
        Some(value) => {
            let after = value.span().filter(|after| *after > Span::ZERO && *after <= AFTER_MAX);
            if after.is_none() {
                value.error(format!("write how long after the fault before it, up to {AFTER_MAX}"));
            }
            after
        }
        None => None,
    };
    let ttl = match (table.value("ttl"), stand) {
        (Some(value), _) => {
            if late.is_some() {
                value.error("what stands until the failback has the whole drill; remove ttl");
            }
            let ttl = value.span().unwrap_or(TTL_MAX);
            if ttl <= Span::ZERO || ttl > TTL_MAX {
                value.error(format!("a fault ends by itself, after {TTL_MAX} at most"));
            }
            Some(ttl)
        }
        (None, Stand::Drill(total)) if late.is_some() => Some(total),
        (None, _) => {
            table.error("ttl is missing: a fault ends by itself, even when nobody is left to end it");
            None
        }
    };
    let mut with = with?;
    let own = if kind == Some("net.proxy") { "proxy" } else { "process" };
    let named = with.value(own).and_then(|value| name(&value)).map(Slot::Text);
    match (&named, targets, kind) {
        (None, None, Some(_)) => with.error(format!("write targets in the spec, or {own}: <name>")),
        (None, Some(targets), Some(kind)) if targets.kind != own && !targets.kind.is_empty() => {
            with.error(format!("{kind} needs things of the kind {own}, and the targets are of the kind {}", targets.kind));
        }
        _ => {}
    }
    let lever = match kind {
        Some("net.proxy") => read_toxics(&mut with).map(Lever::Proxy),
        Some(_) => read_signal(&mut with).map(Lever::Signal),
        None => None,
    };
    refuse_absent(&mut with);
    // Nobody knows what belongs to a kind that is not there.
    if kind.is_some() {
        with.finish();
    }
    Some(FaultSpec { id, named, lever: lever?, ttl: ttl?, after, until_failback: late.is_some() })
}

fn read_kind(value: &Value<'_, '_>) -> Option<&'static str> {
    const KINDS: [&str; 2] = ["net.proxy", "proc.signal"];
    let text = value.text()?;
    if let Some(kind) = KINDS.into_iter().find(|kind| *kind == text) {
        return Some(kind);
    }
    let known = ["engine.fis", "engine.chaosmesh", "engine.litmus", "engine.ssm"];
    if known.contains(&text.as_str()) || super::action::is_fault(&text) {
        let instead = match text.as_str() {
            "proc.stop" | "proc.pause" | "proc.kill" => "; write proc.signal",
            _ => "",
        };
        value.error(format!("faults of the kind {text} are not there in this version, so the document is refused{instead}"));
    } else {
        let near = nearest(&text, &KINDS).map(|near| format!("; did you mean {near}?"));
        let remedy = near.unwrap_or_else(|| "; write net.proxy or proc.signal".to_owned());
        value.error(format!("unknown kind {text}{remedy}"));
    }
    None
}

fn read_toxics(with: &mut Table<'_, '_>) -> Option<Vec<Toxic>> {
    let direction = with.value("direction").map_or(Some(Direction::Both), |value| word(&value, &Direction::ALL, Direction::word));
    let toxicity = with.value("toxicity").map_or(Some(1.0), |value| {
        let share = value.float().filter(|share| *share > 0.0 && *share <= 1.0);
        if share.is_none() {
            value.error("write the share of connections that are spoiled, above 0 and up to 1");
        }
        share
    });
    let mut kinds = Vec::new();
    let jitter = with.span("jitter");
    match (span(with, "latency"), jitter) {
        (Some(delay), jitter) => kinds.push(ToxicKind::Latency { delay, jitter: jitter.unwrap_or(Span::ZERO) }),
        (None, Some(_)) => with.error("jitter needs latency"),
        (None, None) => {}
    }
    if let Some(value) = with.value("bandwidth") {
        match value.bytes().filter(|bytes| *bytes > 0) {
            Some(bytes_per_second) => kinds.push(ToxicKind::Bandwidth { bytes_per_second }),
            None => value.error("write bytes per second, such as 64KB"),
        }
    }
    if let Some(value) = with.value("reset") {
        kinds.extend(value.span().map(|after| ToxicKind::Reset { after }));
    }
    for (key, kind) in [("blackhole", ToxicKind::Blackhole), ("down", ToxicKind::Down)] {
        if let Some(value) = with.value(key) {
            match value.boolean() {
                Some(true) => kinds.push(kind),
                Some(false) => value.error("remove it, or write true"),
                None => {}
            }
        }
    }
    if kinds.is_empty() {
        with.error("the fault does nothing; write latency, bandwidth, blackhole, reset or down");
        return None;
    }
    let (direction, toxicity) = (direction?, toxicity?);
    Some(kinds.into_iter().map(|kind| Toxic { direction, kind, toxicity }).collect())
}

fn read_signal(with: &mut Table<'_, '_>) -> Option<Signal> {
    match with.value("signal") {
        Some(value) => word(&value, &[Signal::Stop, Signal::Kill, Signal::Term], Signal::word),
        None => {
            with.error("signal is missing; write stop, kill or term");
            None
        }
    }
}

/// Returns how much the faults of a study hurt at least.
pub(super) fn least_class(faults: &[FaultSpec]) -> Class {
    if faults.is_empty() { Class::Read } else { Class::Disruptive }
}

/// Notes a name that stands twice in a list.
pub(super) fn check_id(id: &str, taken: &[String], value: &Value<'_, '_>) {
    check_key(id, value);
    if taken.iter().any(|known| known == id) {
        value.error("the id stands above already; each has its own");
    }
}
