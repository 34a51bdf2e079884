//! What a document does, in plain words for people who must decide in a hurry.

use super::action::{Action, Approvals, Condition, Http, NoData, Piece, Slot, Text};
use super::lever::{Awaited, ToxicKind};
use super::plan::{Undo, Verified, Verify};
use super::runbook::{FreezePolicy, Guards, KeyPart, Mode, OnBusy, Trigger};

fn slot(slot: &Slot) -> String {
    match slot {
        Slot::Text(text) => text.clone(),
        Slot::Int(number) => number.to_string(),
        Slot::Float(number) => number.to_string(),
        Slot::Bool(truth) => truth.to_string(),
        Slot::Param(name) => format!("‹{name}›"),
        Slot::Saved(saved) => format!("‹{}.{}›", saved.step, saved.name),
        Slot::Target(index) => format!("‹target {}›", index + 1),
        Slot::Began(step) if step.is_empty() => "‹the start›".to_owned(),
        Slot::Began(step) => format!("‹the start of {step}›"),
    }
}

fn text(text: &Text) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Param(name) => format!("‹{name}›"),
        Piece::Saved(saved) => format!("‹{}.{}›", saved.step, saved.name),
        Piece::Label(name) => format!("‹label {name}›"),
    };
    text.0.iter().map(piece).collect()
}

/// Returns what must be true.
pub fn condition(condition: &Condition) -> String {
    let labels: Vec<String> = condition.matching.iter().map(|(name, value)| format!("{name}={}", slot(value))).collect();
    let only = if labels.is_empty() { String::new() } else { format!(" for {}", labels.join(", ")) };
    let no_data = if condition.no_data == NoData::Allow { ", or no data" } else { "" };
    format!("{}{only} {} {}{no_data}", condition.expr, condition.op.sign(), slot(&condition.value))
}

fn http(http: &Http) -> String {
    format!("{} {}", http.method.word(), http.url)
}

fn people(approvals: &Approvals) -> String {
    let roles: Vec<&str> = approvals.roles.iter().map(|role| role.word()).collect();
    let who = if roles.is_empty() { "sre-lead".to_owned() } else { roles.join(" or ") };
    let other = if approvals.not_starter { ", not the one who started it" } else { "" };
    format!("{} × {who}{other}, within {}", approvals.count, approvals.expires)
}

/// Returns what an action does.
pub fn action(action: &Action) -> String {
    match action {
        Action::Exec(exec) => {
            let args: Vec<String> = exec.args.iter().chain(&exec.positional).map(|arg| slot(&arg.value)).collect();
            format!("run {} {}", exec.program, args.join(" ")).trim_end().to_owned()
        }
        Action::HttpRequest(request) => format!("send {}", http(request)),
        Action::HttpCheck(request) => format!("check {}", http(request)),
        Action::MetricWait { condition: wanted, hold, .. } => format!("wait until {} for {hold}", condition(wanted)),
        Action::MetricCheck { condition: wanted } => format!("check that {}", condition(wanted)),
        Action::Wait { length } => format!("wait {}", slot(length)),
        Action::Page { policy, summary, .. } => format!("page {policy}: {}", text(summary)),
        Action::Human { title, .. } => format!("a person: {}", text(title)),
        Action::Approval(approvals) => format!("ask for approval: {}", people(approvals)),
        Action::Sql { source, query, .. } => format!("ask {source}: {query}"),
        Action::PgPromote { source, .. } => format!("promote {source}"),
        Action::PgRestoreCheck { source, .. } => format!("restore a copy of {source} and check it"),
        Action::ProcSignal { process, signal, ttl: None } => format!("send {} to {}", signal.word(), slot(process)),
        Action::ProcSignal { process, signal, ttl: Some(ttl) } => {
            format!("send {} to {} for {ttl} at most", signal.word(), slot(process))
        }
        Action::Call { runbook, .. } => format!("run the runbook {runbook}"),
        Action::Proxy { proxy, toxics, ttl, .. } => {
            let toxics: Vec<String> =
                toxics.iter().map(|toxic| format!("{} {}", toxic.direction.word(), harm(&toxic.kind))).collect();
            format!("spoil {} for {ttl} at most: {}", slot(proxy), toxics.join(", "))
        }
        Action::ProxyHeal { proxy, .. } => format!("heal {}", slot(proxy)),
        Action::ProxyProof { proxy, expect: true, .. } => format!("prove that {} is spoiled", slot(proxy)),
        Action::ProxyProof { proxy, expect: false, .. } => format!("prove that {} is healed", slot(proxy)),
        Action::ProcProof { process, expect, .. } => format!("prove that {} is {}", slot(process), expect.word()),
        Action::JourneyWait { journey, what: Awaited::Failed, .. } => format!("wait until the journey {journey} fails"),
        Action::JourneyWait { journey, what: Awaited::Clean { count }, .. } => {
            format!("wait until the journey {journey} succeeds {count} times in a row")
        }
        Action::CanaryStart(canary) => format!("write to {} every {}", canary.sources.join(" or "), canary.every),
        Action::CanaryStop(_) => "stop writing".to_owned(),
        Action::CanaryRead(_) => "count which writes are left".to_owned(),
        Action::CanaryDrop(canary) => format!("remove the table {}", canary.table),
        Action::PageCheck { person, receiver, delivered_within, acked_within, .. } => {
            let who = person.as_deref().or(receiver.as_deref()).unwrap_or("whoever is on call");
            format!("check that {who} is paged within {delivered_within} and takes it within {acked_within}")
        }
        Action::OneWriter { sources } => format!("check that exactly one of {} accepts writes", sources.join(", ")),
        Action::Watch { length, steady: true } => format!("watch for {length} that all is steady"),
        Action::Watch { length, steady: false } => format!("watch for {length}"),
        Action::Heal { steps } => format!("take back {}", steps.join(", ")),
    }
}

fn harm(kind: &ToxicKind) -> String {
    match kind {
        ToxicKind::Latency { delay, jitter } => format!("late by {delay} and up to {jitter} more"),
        ToxicKind::Bandwidth { bytes_per_second } => format!("{bytes_per_second} bytes a second"),
        ToxicKind::Blackhole => "swallowed".to_owned(),
        ToxicKind::Reset { after } => format!("reset after {after}"),
        ToxicKind::Down => "refused".to_owned(),
    }
}

/// Returns what takes a step back.
pub fn undo(undo: &Undo) -> String {
    match undo.deadline {
        Some(deadline) => format!("{}, after {deadline} at the latest", action(&undo.action)),
        None => action(&undo.action),
    }
}

/// Returns what must be seen before a run counts as succeeded.
pub fn verify(verify: &Verify) -> String {
    let what = match &verify.what {
        Verified::TriggerAlert => "the alert that asked for the run does not fire".to_owned(),
        Verified::Metric(wanted) => condition(wanted),
    };
    format!("{what}, for {} within {}", verify.hold, verify.within)
}

/// Returns the kind of a trigger, and what it waits for.
pub fn trigger(trigger: &Trigger) -> (&'static str, String, Mode) {
    match trigger {
        Trigger::Alert { name, matching, mode, .. } => {
            let labels: Vec<String> = matching.iter().map(|(label, value)| format!("{label}={value}")).collect();
            let only = if labels.is_empty() { String::new() } else { format!(" with {}", labels.join(", ")) };
            ("alert", format!("{name}{only}"), *mode)
        }
        Trigger::Webhook { source, mode, .. } => ("webhook", source.clone(), *mode),
        Trigger::Schedule { schedule, mode, .. } => ("schedule", format!("{} {}", schedule.cron, schedule.tz), *mode),
        Trigger::Manual { roles } => {
            let roles: Vec<&str> = roles.iter().map(|role| role.word()).collect();
            ("manual", roles.join(", "), Mode::Approve)
        }
    }
}

/// Returns what must hold before a run begins, by the names of the guards.
pub fn guards(guards: &Guards) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    match guards.freeze {
        FreezePolicy::Honour => all.push(("freeze", "refused while changes are frozen".to_owned())),
        FreezePolicy::OverrideWithApproval => all.push(("freeze", "needs an approval while changes are frozen".to_owned())),
        FreezePolicy::Wait => all.push(("freeze", "waits while changes are frozen".to_owned())),
    }
    all.extend(guards.staging_passed_within.map(|within| ("ladder", format!("passed in staging within {within}"))));
    if guards.no_open_page {
        all.push(("open page", "no page of the platform is open".to_owned()));
    }
    if let Some(budget) = guards.budget.as_ref().filter(|budget| !budget.allow_exhausted) {
        all.push((
            "budget",
            format!("{:.0} % of the error budget of {} are left", budget.remaining_at_least * 100.0, budget.slo),
        ));
    }
    if let Some(targets) = &guards.targets {
        all.push(("targets", format!("exactly {} of the kind {}", targets.expect, targets.kind)));
    }
    all.extend(guards.blast.max_targets.map(|max| ("blast", format!("at most {max} targets"))));
    if let Some(change) = &guards.blast.max_change {
        all.push(("blast", format!("{} at most {} % from {}", change.param, change.percent, change.of)));
    }
    if let Some(lock) = &guards.lock {
        let busy = match lock.on_busy {
            OnBusy::Refuse => "refused",
            OnBusy::Queue => "waits",
        };
        all.push(("lock", format!("{}; {busy} while another run holds it", lock.key)));
    }
    if let Some(cooldown) = &guards.cooldown {
        let part = |part: &KeyPart| match part {
            KeyPart::Runbook => "runbook".to_owned(),
            KeyPart::Platform => "platform".to_owned(),
            KeyPart::Target => "target".to_owned(),
            KeyPart::Param(name) => format!("parameter {name}"),
            KeyPart::Label(name) => format!("label {name}"),
        };
        let key: Vec<String> = cooldown.key.iter().map(part).collect();
        all.push(("cooldown", format!("at most {} in {} for each {}", cooldown.max, cooldown.every, key.join(" and "))));
    }
    all.extend(guards.daily_max.map(|max| ("daily", format!("at most {max} a day"))));
    all.extend(guards.precheck.iter().map(|wanted| ("precheck", condition(wanted))));
    all.extend(guards.approvals.iter().map(|approvals| ("approvals", people(approvals))));
    all
}
