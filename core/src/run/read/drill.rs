//! Drills as they are written.

use std::collections::BTreeMap;

use crate::run::action::Action;
use crate::run::drill::compile;
use crate::run::inject;
use crate::run::lever::Canary;
use crate::run::plan::{Class, OnFail, Step};
use crate::run::record::DocKind;
use crate::run::runbook::{Metadata, Runbook};
use crate::run::schedule::Missed;
use crate::run::study::{Cadence, Called, Clock, Drill, DrillMode, Objective, PHASES, PageExpected, Probe, Study};
use crate::time::{Span, Timestamp};
use crate::yaml::{Kind, Table, Value};

use super::action::journey_succeeds;
use super::refer::Refer;
use super::study::{
    Stand, TTL_MAX, check_id, least_class, read_class, read_environment, read_faults, read_gates, read_targets, read_triggers,
};
use super::trigger::known;
use super::{Allowed, STEPS_MAX, name, refuse_absent, required_name, span, study, word};

const SAMPLE: Span = Span::from_secs(5);
const TOTAL: Span = Span::from_mins(4 * 60);
const START_WITHIN: Span = Span::from_mins(2);
const CHECK_TIMEOUT: Span = Span::from_mins(30);
const CALLS_MAX: usize = 10;
/// What a check may be.
const CHECKS: [&str; 6] = ["pg.restore_check", "sql.query", "one_writer", "http.check", "metric.check", "metric.wait"];
/// The check whose end is the end of the phase of this name.
const CAPACITY: &str = "capacity";

pub(super) fn read(metadata: Metadata, mut table: Table<'_, '_>, allowed: &Allowed, now: Timestamp) -> Runbook {
    refuse_absent(&mut table);
    let mode = match table.value("mode") {
        Some(value) => word(&value, &DrillMode::ALL, DrillMode::word).unwrap_or(DrillMode::Live),
        None => {
            table.error("mode is missing; write tabletop, component, isolated or live");
            DrillMode::Live
        }
    };
    let places = read_environment(&mut table);
    let params = study::params(&places);
    let triggers = read_triggers(&mut table, &places, Missed::RunOnce, now);
    let refer = Refer::new(&params, allowed);
    let total = span(&mut table, "total_timeout").unwrap_or(TOTAL);
    if total > TTL_MAX {
        table.error(format!("a drill takes no longer than {TTL_MAX}"));
    }
    let mut guards = read_gates(table.table("gates"), &refer, &metadata, &places, total);
    // What is about production alone cannot pass anywhere before.
    if places.len() < 2 {
        guards.staging_passed_within = None;
    }
    let objective = table.table("objective").map(read_objective).unwrap_or_default();
    let targets = read_targets(table.table("targets"));
    let (faults, experiments) = read_inject(&mut table, targets.as_ref(), total);
    let clock = table.table("clock").and_then(|inner| read_clock(inner, &objective));
    let drill = Drill {
        mode,
        cadence: table.table("cadence").and_then(read_cadence),
        roles: read_roles(table.table("roles")),
        canary: table.table("canary").and_then(|inner| read_canary(inner, &metadata.id, &refer)),
        probes: clock.iter().map(probe).collect(),
        clock,
        experiments,
        faults,
        targets: targets.as_ref().map_or(0, |targets| targets.expect),
        page: table.table("page_check").and_then(|inner| read_page(inner, allowed)),
        recover: read_calls(&mut table, "recover", &refer),
        checks: read_checks(&table.list("checks"), &refer),
        failback: read_calls(&mut table, "failback", &refer),
        tasks: read_tasks(&table.list("tasks"), &refer),
        frameworks: read_evidence(table.table("evidence")),
        objective,
        sample: SAMPLE,
        total,
    };
    read_cleanup(table.table("cleanup"), &drill);
    let least = match mode {
        DrillMode::Tabletop | DrillMode::Component => least_class(&drill.faults).max(Class::Safe),
        DrillMode::Isolated | DrillMode::Live => least_class(&drill.faults).max(Class::Disruptive),
    };
    let default = if least > Class::Safe { Class::Destructive } else { Class::Safe };
    let class = read_class(&mut table, default, least);
    check_whole(&mut table, &drill);
    table.finish();
    guards.targets = targets;
    let plan = compile(&drill);
    let study = Some(Study::Drill(Box::new(drill)));
    Runbook { kind: DocKind::Drill, metadata, class, params, triggers, guards, plan, study }
}

fn check_whole(table: &mut Table<'_, '_>, drill: &Drill) {
    let breaks = !drill.faults.is_empty() || !drill.experiments.is_empty();
    if drill.mode == DrillMode::Tabletop {
        if drill.tasks.is_empty() {
            table.error("tasks is missing: a drill on paper is what people do");
        }
        for key in ["inject", "clock", "canary", "recover", "failback", "checks", "page_check", "targets", "cleanup"] {
            if let Some(value) = table.value(key) {
                value.error("a drill on paper touches nothing; remove this, or choose another mode");
            }
        }
        return;
    }
    if let Some(value) = table.value("tasks") {
        value.error("only a drill on paper has tasks; what people do in this one belongs into its runbooks");
    }
    match (breaks, &drill.clock) {
        (true, None) => table.error("clock is missing: recovery is measured where users are"),
        (false, Some(_)) => table.error("inject is missing: the clock begins with what is broken"),
        _ => {}
    }
    if drill.mode == DrillMode::Component && drill.checks.is_empty() {
        table.error("checks is missing: a drill of a component looks at it");
    }
    if !breaks && drill.mode != DrillMode::Component {
        table.error("inject is missing; say what is broken, or choose the mode component");
    }
    if breaks && drill.recover.is_empty() {
        table.error("recover is missing; name the runbook that brings things back");
    }
    if drill.faults.iter().any(|fault| fault.until_failback) && drill.failback.is_empty() {
        table.error("failback is missing, and a fault stands until it");
    }
    let goal = &drill.objective;
    let missing = [
        (goal.rto.is_some() && drill.clock.is_none(), "objective.rto needs a clock; a restore alone is timed as phases.data"),
        (goal.rpo.is_some() && drill.canary.is_none(), "objective.rpo needs a canary: nothing else tells what was lost"),
        (drill.canary.is_some() && drill.clock.is_none(), "a canary needs a clock, since it tells what was lost with the fault"),
        (drill.page.is_some() && drill.clock.is_none(), "page_check needs a clock, since the page belongs to the fault"),
    ];
    for (_, why) in missing.iter().filter(|(missing, _)| *missing) {
        table.error(*why);
    }
    for phase in goal.phases.keys() {
        let seen = match phase.as_str() {
            "detect" | "page" | "ack" => drill.page.is_some(),
            "data" => {
                drill.clock.is_some() || drill.checks.iter().any(|step| matches!(step.action, Action::PgRestoreCheck { .. }))
            }
            "traffic" | "verify" => drill.clock.is_some(),
            _ => drill.clock.is_some() && drill.checks.iter().any(|step| step.id == format!("check/{CAPACITY}")),
        };
        if !seen {
            let remedy = match phase.as_str() {
                "detect" | "page" | "ack" => "page_check",
                "capacity" => "a check with the id capacity",
                _ => "clock",
            };
            table.error(format!("objective.phases.{phase} needs {remedy}, or nobody can measure it"));
        }
    }
}

fn read_objective(mut table: Table<'_, '_>) -> Objective {
    let rpo = table.span("rpo");
    let rto = span(&mut table, "rto");
    let mut phases = BTreeMap::new();
    for (key, value) in table.value("phases").map(|value| value.entries()).unwrap_or_default() {
        if !PHASES.contains(&key.name.as_str()) {
            value.error(format!("{:?} is none of {}", key.name, PHASES.join(", ")));
        } else if let Some(budget) = value.span() {
            phases.insert(key.name.clone(), budget);
        }
    }
    table.finish();
    Objective { rpo, rto, phases }
}

fn read_cadence(mut table: Table<'_, '_>) -> Option<Cadence> {
    let every = span(&mut table, "every");
    if every.is_none() {
        table.error("every is missing, such as 90d");
    }
    let remind_before = span(&mut table, "remind_before").unwrap_or(Span::ZERO);
    let alert_if_older_than = span(&mut table, "alert_if_older_than").or(every);
    if every.is_some_and(|every| remind_before > every || alert_if_older_than.is_some_and(|oldest| oldest < every)) {
        table.error("remind_before is no longer than every, and alert_if_older_than no shorter");
    }
    table.finish();
    Some(Cadence { every: every?, remind_before, alert_if_older_than: alert_if_older_than? })
}

fn read_roles(table: Option<Table<'_, '_>>) -> BTreeMap<String, String> {
    let Some(mut table) = table else { return BTreeMap::new() };
    let mut roles = BTreeMap::new();
    for role in ["commander", "scribe"] {
        let Some(mut inner) = table.table(role) else { continue };
        if let Some(value) = inner.value("rota") {
            value.error("rotas are not there in this version; write user: <name>, or user: any");
        } else {
            roles.insert(role.to_owned(), required_name(&mut inner, "user"));
        }
        inner.finish();
    }
    if let Some(value) = table.value("excluded") {
        value.error("nobody can be excluded in this version, so the document is refused; remove this");
    }
    table.finish();
    roles
}

fn database(value: &Value<'_, '_>, refer: &Refer<'_>) -> Option<String> {
    known(value, "database", |one| refer.allowed.databases.contains(one))
}

/// Reads `source` or `sources`.
fn read_sources(table: &mut Table<'_, '_>, refer: &Refer<'_>) -> Vec<String> {
    let (one, many) = (table.value("source"), table.value("sources"));
    if one.is_some() == many.is_some() {
        table.error("write source: <database>, or sources: [<database>, …] in the order in which they are tried");
    }
    let many = many.map(|value| value.list()).unwrap_or_default();
    one.iter().chain(&many).filter_map(|value| database(value, refer)).collect()
}

fn read_canary(mut table: Table<'_, '_>, id: &str, refer: &Refer<'_>) -> Option<Canary> {
    if let Some(value) = table.value("ack_log") {
        word(&value, &["local"], |one| one);
    }
    let write = table.table("write");
    if write.is_none() {
        table.error("write is missing, such as {kind: sql, sources: [primary, standby], every: 1s, table: tocsin_canary}");
    }
    table.finish();
    let mut write = write?;
    if let Some(value) = write.value("kind") {
        word(&value, &["sql"], |one| one);
    }
    let sources = read_sources(&mut write, refer);
    let every = span(&mut write, "every").unwrap_or(Span::from_secs(1));
    if !(Span(50)..=Span::from_secs(60)).contains(&every) {
        write.error("every lies between 50ms and 1m");
    }
    let table_name = match write.value("table") {
        Some(value) => {
            let text = value.text().unwrap_or_default();
            let plain = text.starts_with(|c: char| c.is_ascii_lowercase())
                && text.len() <= 63
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            // It is created and dropped, so it must not be anybody's.
            if !plain || !text.contains("canary") {
                value.error("the table is made and removed by the drill: small letters, digits and _, with canary in its name");
            }
            text
        }
        None => "tocsin_canary".to_owned(),
    };
    write.finish();
    Some(Canary { sources, every, table: table_name, tag: id.to_owned() })
}

fn read_clock(mut table: Table<'_, '_>, objective: &Objective) -> Option<Clock> {
    let mut edge = |key: &'static str, event: &'static str| {
        let Some(mut inner) = table.table(key) else {
            table.error(format!("{key} is missing; write {{event: {event}, journey: …}}"));
            return None;
        };
        match inner.value("event") {
            Some(value) => drop(word(&value, &[event], |one| one)),
            None => inner.error(format!("event is missing; write {event}")),
        }
        let journey = required_name(&mut inner, "journey");
        let within = span(&mut inner, "within");
        let count = match inner.value("count").map(|value| (value.unsigned(), value)) {
            Some((Some(count), _)) if (1..=1000).contains(&count) && event == "clean_journeys" => Some(count as u32),
            Some((_, value)) => {
                value.error("only clean_journeys has a count, 1 to 1000");
                None
            }
            None => None,
        };
        for key in ["through", "bypass_cache"] {
            if let Some(value) = inner.value(key) {
                value
                    .error("which way a journey takes is settled where the journey is: its address and its headers; remove this");
            }
        }
        inner.finish();
        Some((journey, within, count))
    };
    let (start, stop) = (edge("start", "first_failed_journey"), edge("stop", "clean_journeys"));
    table.finish();
    let (start, stop) = (start?, stop?);
    // Twice the objective shows by how much it is missed, and then people have waited long enough.
    let twice = objective.rto.map_or(Span::from_mins(60), |rto| rto + rto);
    Some(Clock {
        start_journey: start.0,
        start_within: start.1.unwrap_or(START_WITHIN),
        stop_journey: stop.0,
        stop_within: stop.1.unwrap_or(twice),
        count: stop.2.unwrap_or(5),
    })
}

/// Returns what is looked at while a drill goes on, for its report.
fn probe(clock: &Clock) -> Probe {
    Probe { id: "journey".to_owned(), condition: journey_succeeds(&clock.stop_journey) }
}

fn read_inject(
    table: &mut Table<'_, '_>,
    targets: Option<&crate::run::inventory::Selection>,
    total: Span,
) -> (Vec<crate::run::study::FaultSpec>, Vec<String>) {
    let (mut own, mut experiments) = (Vec::new(), Vec::new());
    for value in table.list("inject") {
        match value.node.get("experiment") {
            None => own.push(value),
            Some(_) => {
                let mut inner = value.table();
                experiments.push(required_name(&mut inner, "experiment"));
                inner.finish();
            }
        }
    }
    if experiments.len() > 1 {
        table.error("one experiment is injected at most: each brings its own targets");
    }
    (read_faults(&own, targets, Stand::Drill(total)), experiments)
}

fn read_page(mut table: Table<'_, '_>, allowed: &Allowed) -> Option<PageExpected> {
    let expect = table.table("expect");
    if expect.is_none() {
        table.error("expect is missing; write {person: <name>} or {receiver: <name>}");
    }
    let (mut person, mut receiver) = (None, None);
    if let Some(mut inner) = expect {
        if let Some(value) = inner.value("rota") {
            value.error("rotas are not there in this version; write person: <name> or receiver: <name>");
        }
        person = inner.value("person").and_then(|value| name(&value));
        receiver = inner.value("receiver").and_then(|value| known(&value, "receiver", |one| allowed.policies.contains(one)));
        if !inner.has("person") && !inner.has("receiver") && !inner.has("rota") {
            inner.error("write person: <name> or receiver: <name>");
        }
        inner.finish();
    }
    for key in ["channels", "else_escalate_to"] {
        if let Some(value) = table.value(key) {
            value.error("this is settled by the receiver and looked at there; remove it");
        }
    }
    let (delivered, acked) = (span(&mut table, "delivered_within"), span(&mut table, "acked_within"));
    if delivered.is_none() || acked.is_none() {
        table.error("delivered_within and acked_within are needed");
    }
    table.finish();
    Some(PageExpected { person, receiver, delivered_within: delivered?, acked_within: acked? })
}

fn read_calls(table: &mut Table<'_, '_>, key: &'static str, refer: &Refer<'_>) -> Vec<Called> {
    let list = table.list(key);
    if list.len() > CALLS_MAX {
        table.error(format!("at most {CALLS_MAX} runbooks are called under {key}"));
    }
    list.iter()
        .take(CALLS_MAX)
        .map(|value| {
            let mut inner = value.table();
            let runbook = required_name(&mut inner, "runbook");
            let entries = inner.value("params").map(|value| value.entries()).unwrap_or_default();
            let params = entries.into_iter().filter_map(|(key, value)| Some((key.name.clone(), refer.slot(&value)?))).collect();
            inner.finish();
            Called { runbook, params }
        })
        .collect()
}

fn read_checks(list: &[Value<'_, '_>], refer: &Refer<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut taken = Vec::new();
    for value in list.iter().take(STEPS_MAX) {
        let mut table = value.table();
        let id = required_name(&mut table, "id");
        check_id(&id, &taken, value);
        taken.push(id.clone());
        let timeout = span(&mut table, "timeout").unwrap_or(CHECK_TIMEOUT);
        let kind = table.value("kind").and_then(|value| word(&value, &CHECKS, |one| one));
        if !table.has("kind") {
            table.error(format!("kind is missing; write one of {}", CHECKS.join(", ")));
        }
        let action = match kind {
            Some("one_writer") => table.table("with").map(|mut inner| {
                let sources: Vec<String> = inner.list("sources").iter().filter_map(|value| database(value, refer)).collect();
                if sources.len() < 2 {
                    inner.error("sources is missing, or holds one: write every database that could accept writes");
                }
                inner.finish();
                Action::OneWriter { sources }
            }),
            Some(_) => super::action::read(&mut table, refer),
            None => {
                table.know(&["with"]);
                None
            }
        };
        if !table.has("with") && kind.is_some() {
            table.error("with is missing");
        }
        table.finish();
        let Some(action) = action else { continue };
        let step = inject::step(format!("check/{id}"), action, timeout);
        steps.push(Step { on_fail: OnFail::Continue, ..step });
    }
    if let Some(value) = list.get(STEPS_MAX) {
        value.error(format!("at most {STEPS_MAX} checks are accepted"));
    }
    steps
}

fn read_tasks(list: &[Value<'_, '_>], refer: &Refer<'_>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut taken = Vec::new();
    for value in list.iter().take(STEPS_MAX) {
        let mut table = value.table();
        let id = required_name(&mut table, "id");
        check_id(&id, &taken, value);
        taken.push(id.clone());
        let title = table.value("title").and_then(|value| refer.message(&value));
        if title.is_none() {
            table.error("title is missing");
        }
        let instructions = table.value("instructions").and_then(|value| refer.message(&value)).unwrap_or_default();
        let evidence = table.boolean("evidence").unwrap_or(false);
        let roles = super::roles(&mut table, "roles");
        let timeout = span(&mut table, "timeout").unwrap_or(TOTAL);
        table.finish();
        let Some(title) = title else { continue };
        steps.push(inject::step(id, Action::Human { title, instructions, evidence, roles }, timeout));
    }
    if let Some(value) = list.get(STEPS_MAX) {
        value.error(format!("at most {STEPS_MAX} tasks are accepted"));
    }
    steps
}

fn read_cleanup(table: Option<Table<'_, '_>>, drill: &Drill) {
    let Some(mut table) = table else { return };
    for value in table.list("must_remove") {
        if let Some("canary") = word(&value, &["canary"], |one| one)
            && drill.canary.is_none()
        {
            value.error("there is no canary");
        }
    }
    if let Some(value) = table.value("verify")
        && value.boolean() == Some(false)
    {
        value.error("what is removed is looked for afterwards; write true");
    }
    if let Some(value) = table.value("max_cost_usd") {
        value.error("nobody counts the cost of a drill in this version; remove this");
    }
    table.finish();
}

fn read_evidence(table: Option<Table<'_, '_>>) -> Vec<String> {
    let Some(mut table) = table else { return Vec::new() };
    refuse_absent(&mut table);
    let frameworks = match table.value("frameworks") {
        Some(value) if matches!(value.node.kind, Kind::Sequence(_)) => value.list().iter().filter_map(name).collect(),
        Some(value) => {
            value.error("list the controls, such as [soc2-a1.3]");
            Vec::new()
        }
        None => Vec::new(),
    };
    table.finish();
    frameworks
}
