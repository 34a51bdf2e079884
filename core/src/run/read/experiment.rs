//! Experiments as they are written.

use crate::run::action::{Compare, Condition, NoData};
use crate::run::experiment::{ALERTS, Again, STOP, compile};
use crate::run::plan::Class;
use crate::run::record::DocKind;
use crate::run::runbook::{Metadata, Runbook};
use crate::run::schedule::Missed;
use crate::run::study::{ExpectedAlert, Experiment, PRODUCTION, Phases, Probe, StopRule, Study};
use crate::time::{Span, Timestamp};
use crate::yaml::{Table, Value, nearest};

use super::refer::Refer;
use super::study::{
    Stand, check_id, least_class, read_class, read_environment, read_faults, read_gates, read_targets, read_triggers,
};
use super::{Allowed, refuse_absent, required_name, span, study, word};

const HYPOTHESES_MAX: usize = 20;
const SAMPLE: Span = Span::from_secs(5);
const SAMPLE_MAX: Span = Span::from_secs(30);
/// A study with more samples of one probe than this samples too often, or takes too long.
const SAMPLES_MAX: i64 = 5_000;
const HOLD: Span = Span::from_secs(30);
const WITHIN: Span = Span::from_mins(5);

pub(super) fn read(metadata: Metadata, mut table: Table<'_, '_>, allowed: &Allowed, now: Timestamp) -> Runbook {
    refuse_absent(&mut table);
    let places = read_environment(&mut table);
    if places == [PRODUCTION] {
        table.error("environment is production alone, and production comes after staging; write [staging, production]");
    }
    let params = study::params(&places);
    let triggers = read_triggers(&mut table, &places, Missed::Skip, now);
    let refer = Refer::new(&params, allowed);
    let phases = match table.table("phases") {
        Some(inner) => read_phases(inner),
        None => {
            table.error("phases is missing; write {baseline: …, fault: …, recovery: …}");
            Phases { baseline: Span::ZERO, fault: Span::ZERO, recovery: Span::ZERO, sample: SAMPLE }
        }
    };
    let mut guards = read_gates(table.table("gates"), &refer, &metadata, &places, phases.fault);
    let hypothesis = read_hypothesis(&table.list("hypothesis"), &refer);
    if table.list("hypothesis").is_empty() {
        table.error("hypothesis is missing; say what must hold while the fault stands");
    }
    let targets = read_targets(table.table("targets"));
    let list = table.list("faults");
    if list.is_empty() {
        table.error("faults is missing; say what is broken");
    }
    let faults = read_faults(&list, targets.as_ref(), Stand::Phase(phases.fault));
    let class = read_class(&mut table, Class::Disruptive, least_class(&faults));
    let ids: Vec<&str> = hypothesis.iter().map(|probe| probe.id.as_str()).collect();
    let stop_when = table.list("stop_when").iter().filter_map(|value| read_rule(value, &ids)).collect();
    let (expect, forbid) = table.table("alerts").map(|inner| read_alerts(inner, phases)).unwrap_or_default();
    let again = read_recovery(table.table("recovery"));
    if let Some(value) = table.value("report") {
        value.error("reports are not sent anywhere in this version; they are read on the page of the run. Remove this");
    }
    table.finish();
    let count = targets.as_ref().map_or(0, |targets| targets.expect);
    guards.targets = targets;
    let experiment = Experiment { phases, hypothesis, faults, targets: count, stop_when, expect, forbid };
    let plan = compile(&experiment, again);
    let study = Some(Study::Experiment(experiment));
    Runbook { kind: DocKind::Experiment, metadata, class, params, triggers, guards, plan, study }
}

fn read_phases(mut table: Table<'_, '_>) -> Phases {
    let mut phase = |key: &'static str| {
        let length = span(&mut table, key);
        if length.is_none() {
            table.error(format!("{key} is missing, or no duration"));
        }
        length.unwrap_or(SAMPLE)
    };
    let (baseline, fault, recovery) = (phase("baseline"), phase("fault"), phase("recovery"));
    let sample = span(&mut table, "sample").unwrap_or(SAMPLE);
    if !(Span::from_secs(1)..=SAMPLE_MAX).contains(&sample) {
        table.error(format!("sample lies between 1s and {SAMPLE_MAX}"));
    }
    if baseline < sample || fault < sample {
        table.error("a phase is shorter than sample, so nothing would be seen in it");
    }
    let whole = baseline + fault + recovery;
    if whole.0 / sample.0.max(1) > SAMPLES_MAX {
        table.error(format!("that makes more than {SAMPLES_MAX} samples; sample less often, or make it shorter"));
    }
    table.finish();
    Phases { baseline, fault, recovery, sample }
}

fn read_hypothesis(list: &[Value<'_, '_>], refer: &Refer<'_>) -> Vec<Probe> {
    let mut probes: Vec<Probe> = Vec::new();
    let mut taken = vec![STOP.to_owned(), ALERTS.to_owned()];
    for value in list.iter().take(HYPOTHESES_MAX) {
        let mut table = value.table();
        let id = required_name(&mut table, "id");
        check_id(&id, &taken, value);
        taken.push(id.clone());
        let expr = match table.value("expr") {
            Some(value) => refer.expression(&value),
            None => {
                table.error("expr is missing");
                None
            }
        };
        let op = table.value("op").and_then(|value| word(&value, &Compare::ALL, Compare::sign));
        let bound = table.value("value").and_then(|value| refer.number(&value));
        if !table.has("op") || !table.has("value") {
            table.error("op and value are needed, such as op: '<' and value: 0.05");
        }
        let no_data = table.value("no_data").and_then(|value| {
            word(&value, &[NoData::Fail, NoData::Allow], |one| match one {
                NoData::Fail => "stop",
                NoData::Allow => "allow",
            })
        });
        table.finish();
        if let (Some(expr), Some(op), Some(bound)) = (expr, op, bound) {
            let condition =
                Condition { expr, matching: Default::default(), op, value: bound, no_data: no_data.unwrap_or_default() };
            probes.push(Probe { id, condition });
        }
    }
    if let Some(value) = list.get(HYPOTHESES_MAX) {
        value.error(format!("at most {HYPOTHESES_MAX} are accepted"));
    }
    probes
}

fn read_rule(value: &Value<'_, '_>, ids: &[&str]) -> Option<StopRule> {
    let mut table = value.table();
    let (hypothesis, burn, severity) = (table.value("hypothesis"), table.table("burn_rate"), table.value("alert_severity"));
    let rule = match (hypothesis, burn, severity) {
        (Some(value), None, None) => {
            let id = value.text()?;
            if !ids.contains(&id.as_str()) {
                let near = nearest(&id, ids).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                value.error(format!("there is no hypothesis {id:?}{near}"));
            }
            let lasting = table.span("for");
            if lasting.is_none() {
                table.error("for is missing; write how long it may be broken, such as 15s, or 0s");
            }
            lasting.map(|lasting| StopRule::Hypothesis { id, lasting })
        }
        (None, Some(mut burn), None) => {
            let slo = required_name(&mut burn, "slo");
            let (window, over) = (span(&mut burn, "window"), burn.float("over").filter(|over| *over > 0.0));
            if window.is_none() || over.is_none() {
                burn.error("window and over are needed, such as window: 5m and over: 14.4");
            }
            burn.finish();
            window.zip(over).map(|(window, over)| StopRule::BurnRate { slo, window, over })
        }
        (None, None, Some(value)) => {
            word(&value, &["page"], |one| one);
            if let Some(value) = table.value("not_caused_by_this_run")
                && value.boolean() == Some(false)
            {
                value.error("alerts that the document expects never stop it; write true");
            }
            Some(StopRule::UnexpectedPage)
        }
        _ => {
            table.error("a rule is one of {hypothesis: …, for: …}, {burn_rate: {…}} and {alert_severity: page}");
            None
        }
    };
    table.finish();
    rule
}

fn read_alerts(mut table: Table<'_, '_>, phases: Phases) -> (Vec<ExpectedAlert>, Vec<String>) {
    if let Some(value) = table.value("label") {
        value.error("runs put no labels on alerts in this version; remove this");
    }
    if let Some(value) = table.value("page") {
        // Nothing that acts silences what tells of it.
        word(&value, &["normal"], |one| one);
    }
    let seen = phases.fault + phases.recovery;
    let mut expect = Vec::new();
    for value in table.list("expect") {
        let mut inner = value.table();
        let name = inner.text("name").unwrap_or_default();
        if name.is_empty() {
            inner.error("name is missing; write the name of the alert");
        }
        match span(&mut inner, "within") {
            None => inner.error("within is missing; write how soon behind the fault the alert must fire"),
            Some(within) if within > seen => inner.error(format!("nobody looks any more after {seen}, the end of the recovery")),
            Some(within) => expect.push(ExpectedAlert { name, within }),
        }
        inner.finish();
    }
    let forbid = table.texts("forbid");
    if let Some(both) = expect.iter().find(|one| forbid.contains(&one.name)) {
        table.error(format!("{} is expected and forbidden", both.name));
    }
    table.finish();
    (expect, forbid)
}

fn read_recovery(table: Option<Table<'_, '_>>) -> Again {
    let mut again = Again { hold: HOLD, within: WITHIN, page: true };
    let Some(mut table) = table else { return again };
    if let Some(value) = table.value("hypothesis_again")
        && value.boolean() == Some(false)
    {
        value.error("without the hypothesis nobody can know that all is well again; write true");
    }
    again.within = span(&mut table, "within").unwrap_or(WITHIN);
    again.hold = table.span("hold").unwrap_or(HOLD);
    if again.hold >= again.within {
        table.error("within must be longer than hold, which is 30s unless written");
    }
    if let Some(value) = table.value("on_fail") {
        again.page = word(&value, &["page", "leave"], |one| one) != Some("leave");
    }
    table.finish();
    again
}
