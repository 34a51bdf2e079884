//! Experiments and drills as people write them: what is refused, with its place and its remedy; places, ladders, calendars, hashes.

use tocsin_core::problem::Severity;
use tocsin_core::run::guard::{Asked, Facts, Guard, Verdict, judge, wanted};
use tocsin_core::run::history::passed_in_staging;
use tocsin_core::run::machine::Run;
use tocsin_core::run::read::read;
use tocsin_core::run::record::{DocKind, RunState};
use tocsin_core::run::runbook::{Mode, Runbook, Trigger};
use tocsin_core::run::schedule::{FireOutcome, Missed, Schedule};
use tocsin_core::run::trigger::{next_due, of_schedules};
use tocsin_core::time::{Span, Timestamp};

use super::lab::{databases, document, inventory};
use super::world::{START, by_person, runbook, secs};

fn errors(text: &str) -> Vec<String> {
    let (found, problems) = read("s.yml", text, &databases(), START);
    let errors: Vec<String> = problems
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .map(|one| one.to_string().replacen("s.yml:", "", 1))
        .collect();
    assert_eq!(found.is_none(), !errors.is_empty());
    errors
}

#[track_caller]
fn assert_says(text: &str, expected: &[&str]) {
    let found = errors(text);
    for says in expected {
        assert!(found.iter().any(|error| error.contains(says)), "missing: {says}\n{found:#?}");
    }
    assert!(found.iter().all(|error| error.split(':').next().unwrap().parse::<u32>().is_ok_and(|line| line > 0)));
    assert!(found.len() <= expected.len() + 3, "more was told than is wrong:\n{found:#?}");
}

#[test]
fn all_faults_of_an_experiment_are_told_at_once() {
    assert_says(
        "apiVersion: tocsin/v1
kind: Experiment
metadata: {id: e1, platform: shop, title: T}
spec:
  environment: [staging, moon]
  include_self: true
  schedule: {cron: '* * *', tz: UTC, jiter: 1m}
  manual: {roles: []}
  gates:
    no_open_incident: {platform: dinner}
    budget: {slo: a, predicted_spend_at_most: 2}
    capacity: {expr: 'sum(', op: '>', value: 4}
    approvals: {mfa: true}
  hypothesis:
    - {id: a, expr: up, op: '<', value: 1, no_data: fail}
    - {id: a, expr: up, op: '<', value: x}
  phases: {baseline: 1s, fault: 5m, sample: 5s}
  targets: {select: {kind: pod}, expect: 1}
  faults:
    - {id: one, kind: net.proxy, with: {jitter: 1s, toxicity: 2}, ttl: 10m}
    - {id: two, kind: net.proxy, with: {blackhole: true}, ttl: 5m}
    - {id: three, kind: engine.fis, with: {template: x}, ttl: 6m}
    - {id: four, kind: proc.kill, with: {process: w}, ttl: 6m}
    - {id: five, kind: proc.signal, with: {process: w, signal: hup}}
    - {id: six, kind: net.prxy, with: {}, ttl: 6m}
    - {id: seven, kind: net.proxy, with: {latency: 1s}, ttl: 30h, until: failback}
  stop_when: [{hypothesis: b, for: 15s}, {burn_rate: {slo: a}}, {always: true}]
  alerts: {label: x, page: silent, expect: [{name: A, within: 1h}], forbid: [A]}
  recovery: {hypothesis_again: false, within: 10s}
  report: {to: [room]}
  steps: []
",
        &[
            "spec.environment[1]: \"moon\" is none of staging, production",
            "spec.include_self: the document needs a drill of the control plane itself, which is not there in this version",
            "spec.schedule: cannot read the crontab",
            "spec.schedule.jiter: unknown key jiter; did you mean jitter?",
            "spec.manual: roles is missing",
            "spec.phases: recovery is missing",
            "spec.phases: a phase is shorter than sample",
            "spec.gates.no_open_incident: the document belongs to shop",
            "spec.gates.budget.predicted_spend_at_most: write a share",
            "spec.gates.capacity.expr: could not parse expression",
            "spec.gates.approvals.mfa: the document needs a second factor",
            "spec.hypothesis[0].no_data: \"fail\" is none of stop, allow",
            "spec.hypothesis[1]: the id stands above already",
            "spec.hypothesis[1].value: expected a number",
            "spec.targets.select.kind: \"pod\" is none of proxy, process",
            "spec.targets.select: without labels or names every thing of the kind is meant",
            "spec.faults[0].with: jitter needs latency",
            "spec.faults[0].with.toxicity: write the share of connections",
            "spec.faults[0].with: the fault does nothing",
            "spec.faults[1]: ttl is shorter than the fault phase",
            "spec.faults[2].kind: faults of the kind engine.fis are not there in this version, so the document is refused",
            "spec.faults[3].kind: faults of the kind proc.kill are not there in this version, so the document is refused; write proc.signal",
            "spec.faults[4].with.signal: \"hup\" is none of stop, kill, term",
            "spec.faults[4]: ttl is missing: a fault ends by itself, even when nobody is left to end it",
            "spec.faults[5].kind: unknown kind net.prxy; did you mean net.proxy?",
            "spec.faults[6].until: only the faults of a drill stand until its failback",
            "spec.faults[6].ttl: a fault ends by itself, after 1d at most",
            "spec.faults[6].ttl: what stands until the failback has the whole drill",
            "spec.stop_when[0].hypothesis: there is no hypothesis \"b\"",
            "spec.stop_when[1].burn_rate: window and over are needed",
            "spec.stop_when[2]: a rule is one of",
            "spec.alerts.label: runs put no labels on alerts in this version",
            "spec.alerts.page: \"silent\" is none of normal",
            "spec.alerts.expect[0]: nobody looks any more after",
            "spec.recovery.hypothesis_again: without the hypothesis",
            "spec.recovery: within must be longer than hold",
            "spec.report: reports are not sent anywhere",
            "spec.steps: unknown key steps",
        ],
    );
}

#[test]
fn all_faults_of_a_drill_are_told_at_once() {
    assert_says(
        "apiVersion: tocsin/v1
kind: Drill
metadata: {id: d1, platform: shop, title: T}
spec:
  environment: staging
  mode: live
  total_timeout: 48h
  objective: {rpo: 1s, rto: 1m, phases: {detect: 30s, capacity: 1m, dance: 1m}}
  cadence: {remind_before: 1d}
  roles: {commander: {rota: x}, excluded: {from: last}}
  clock:
    start: {event: first_failed_journey, journey: order, count: 3}
    stop: {event: clean, journey: order, count: 0, through: public}
  inject: [{experiment: a}, {experiment: b}, {id: f, kind: net.proxy, with: {down: true}, ttl: 1m}]
  page_check: {expect: {rota: x}, channels: [push], delivered_within: 1m}
  recover: []
  checks:
    - {id: a, kind: exec.argv, with: {program: /opt/tool}}
    - {id: a, kind: one_writer, with: {sources: [main]}}
    - {id: c, kind: sql.query, with: {source: other, query: 'drop table x'}}
  failback: [{runbook: back, parms: {}}]
  cleanup: {must_remove: [canary, scratch-db], verify: false, max_cost_usd: 5}
  evidence: {frameworks: soc2, sign: true}
  tasks: [{id: x}]
",
        &[
            "spec: a drill takes no longer than 1d",
            "spec.objective.phases.dance: \"dance\" is none of detect, page",
            "spec: one experiment is injected at most",
            "spec.inject[2].with: write targets in the spec, or proxy: <name>",
            "spec.clock.start.count: only clean_journeys has a count",
            "spec.clock.stop.event: \"clean\" is none of clean_journeys",
            "spec.clock.stop.count: only clean_journeys has a count, 1 to 1000",
            "spec.clock.stop.through: which way a journey takes is settled where the journey is",
            "spec.cadence: every is missing",
            "spec.roles.commander.rota: rotas are not there in this version",
            "spec.roles.excluded: nobody can be excluded",
            "spec.page_check.expect.rota: rotas are not there",
            "spec.page_check.channels: this is settled by the receiver",
            "spec.page_check: delivered_within and acked_within are needed",
            "spec.checks[0].kind: \"exec.argv\" is none of pg.restore_check",
            "spec.checks[1]: the id stands above already",
            "spec.checks[1].with: sources is missing, or holds one",
            "spec.checks[2].with.source: the configuration knows no database \"other\"",
            "spec.checks[2].with.query: write one statement that reads",
            "spec.failback[0].parms: unknown key parms",
            "spec.tasks[0]: title is missing",
            "spec.evidence.sign: the document needs signed evidence, which is not there",
            "spec.evidence.frameworks: list the controls",
            "spec.cleanup.must_remove[0]: there is no canary",
            "spec.cleanup.must_remove[1]: \"scratch-db\" is none of canary",
            "spec.cleanup.verify: what is removed is looked for",
            "spec.cleanup.max_cost_usd: nobody counts the cost",
            "spec.tasks: only a drill on paper has tasks",
            "spec: recover is missing",
            "spec: objective.rpo needs a canary",
            "spec: objective.phases.capacity needs a check with the id capacity",
            "spec: objective.phases.detect needs page_check",
        ],
    );
    let paper = "apiVersion: tocsin/v1\nkind: Drill\nmetadata: {id: d1, platform: shop, title: T}\nspec:\n  environment: staging\n  \
                 mode: tabletop\n  inject: [{experiment: a}]\n";
    assert_says(paper, &["tasks is missing", "spec.inject: a drill on paper touches nothing"]);
    let part = paper.replace("tabletop", "component").replace("  inject: [{experiment: a}]\n", "");
    assert_says(&part, &["checks is missing: a drill of a component looks at it"]);
    assert_says(&part.replace("component", "live"), &["inject is missing; say what is broken, or choose the mode component"]);
    let canary = "  canary: {write: {kind: sql, source: main, table: orders}}\n  objective: {rto: 1m}\n";
    assert_says(
        &format!("{part}{canary}"),
        &["made and removed by the drill", "a canary needs a clock", "objective.rto needs a clock", "checks is missing"],
    );
}

const BOTH: &str = "
apiVersion: tocsin/v1
kind: Experiment
metadata: {id: e1, platform: shop, title: T}
spec:
  environment: [staging, production]
  schedule: {cron: '0 10 * * 3', tz: Europe/Paris, window: 2h, jitter: 20m, environment: staging, mode: auto}
  hypothesis: [{id: errors, expr: errors, op: '<', value: 1}]
  phases: {baseline: 30s, fault: 1m, recovery: 30s}
  targets: {select: {kind: proxy, labels: {service: db}}, expect: 1}
  faults: [{id: cut, kind: net.proxy, with: {blackhole: true}, ttl: 5m}]
";

fn place(place: &str) -> (Run, Facts) {
    let document = document(BOTH);
    let mut ask = by_person(&document);
    ask.given.push(tocsin_core::run::value::Given {
        name: "environment".to_owned(),
        text: place.to_owned(),
        source: tocsin_core::run::value::Source::Operator,
    });
    let mut inventory = inventory();
    for item in &mut inventory.items {
        item.labels.insert("environment".to_owned(), place.to_owned());
    }
    let run = Run::request(document.clone(), "r", ask, "edna", "a", inventory.clone(), START);
    let facts = Facts { inventory, rate_keys: wanted(&document, run.row()).rate_keys, ..Facts::default() };
    (run, facts)
}

#[test]
fn production_comes_after_staging() {
    let document = document(BOTH);
    let refused = |place_name: &str, passed: Option<Timestamp>| {
        let (run, mut facts) = place(place_name);
        facts.staging_passed_at = passed;
        match judge(&Asked { runbook: &document, run: run.row(), approvals: &[] }, &facts, START) {
            Verdict::Refuse(refusal) => Some(refusal.guard),
            Verdict::Pass(_) | Verdict::Wait { .. } => None,
        }
    };
    let days = |count: i64| START - Span::from_mins(count * 24 * 60);
    assert_eq!(refused("staging", None), None);
    assert_eq!(refused("production", None), Some(Guard::Ladder));
    assert_eq!(refused("production", Some(days(15))), Some(Guard::Ladder));
    assert_eq!(refused("production", Some(days(13))), None);
    assert_says(
        &BOTH.replace("[staging, production]", "production").replace("staging, mode", "production, mode"),
        &["production comes after staging"],
    );
    // Only what was held counts, and only in staging.
    let mut row = place("staging").0.row().clone();
    assert_eq!(passed_in_staging(&row), None);
    (row.state, row.ended_at, row.verdict) = (RunState::Succeeded, Some(START), Some("broken".to_owned()));
    assert_eq!(passed_in_staging(&row), None);
    row.verdict = Some("held".to_owned());
    assert_eq!(passed_in_staging(&row), Some(START));
    row.dry_run = true;
    assert_eq!(passed_in_staging(&row), None);
    row.dry_run = false;
    row.params = place("production").0.row().params.clone();
    assert_eq!(passed_in_staging(&row), None);
}

#[test]
fn a_study_touches_only_what_belongs_to_its_place() {
    let (run, _) = place("staging");
    assert_eq!(run.row().targets, ["db-a"]);
    let (run, mut facts) = place("staging");
    for item in &mut facts.inventory.items {
        item.labels.remove("environment");
    }
    let by_selection = document(BOTH);
    let refusal = |document: &Runbook, run: &Run, facts: &Facts| match judge(
        &Asked { runbook: document, run: run.row(), approvals: &[] },
        facts,
        START,
    ) {
        Verdict::Refuse(refusal) => refusal.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(refusal(&by_selection, &run, &facts).contains("an empty selection"));
    let named = document(&BOTH.replace("{blackhole: true}", "{proxy: cache-a, blackhole: true}"));
    let mut ask = by_person(&named);
    ask.given.push(tocsin_core::run::value::Given {
        name: "environment".to_owned(),
        text: "staging".to_owned(),
        source: tocsin_core::run::value::Source::Operator,
    });
    let run = Run::request(named.clone(), "r", ask, "edna", "a", inventory(), START);
    let mut facts = Facts { inventory: inventory(), ..Facts::default() };
    facts.inventory.items[1].labels.insert("environment".to_owned(), "production".to_owned());
    assert!(refusal(&named, &run, &facts).contains("\"cache-a\" does not belong to staging"));
}

#[test]
fn a_schedule_comes_within_its_jitter_and_its_window() {
    let schedule = Schedule {
        cron: "0 * * * *".to_owned(),
        tz: "UTC".to_owned(),
        missed: Missed::Skip,
        window: Some(secs(600)),
        jitter: Some(secs(1200)),
    };
    let mut waits = std::collections::BTreeSet::new();
    for hour in 1..=100 {
        let due = START + Span::from_mins(60 * hour);
        let at = schedule.comes_at(due);
        assert!(at >= due && at < due + secs(1200));
        waits.insert(at - due);
        assert!(schedule.due(due - Span(1), at - Span(1)).is_empty());
        for (late, outcome) in [(0, FireOutcome::Run), (600, FireOutcome::Run), (601, FireOutcome::Skipped)] {
            let fires = schedule.due(due - Span(1), at + secs(late));
            assert_eq!((fires.len(), fires[0].due, fires[0].outcome), (1, due, outcome));
        }
    }
    assert!(waits.len() > 90, "each has a part of its own");
    let document = document(BOTH);
    let Trigger::Schedule { schedule, mode, .. } = &document.triggers[0] else { panic!("no schedule") };
    assert_eq!(*mode, Mode::Auto);
    let due = schedule.next(START).unwrap();
    assert_eq!(next_due(&document, |_| START), Some(schedule.comes_at(due)));
    let fired = of_schedules(&document, |_| START, schedule.comes_at(due));
    assert_eq!((fired.fires.len(), fired.asks[0].given[0].text.as_str()), (1, "staging"));
}

#[test]
fn studies_are_stored_and_read_as_they_were_and_runbooks_keep_their_hashes() {
    let study = document(BOTH);
    assert_eq!(study.kind, DocKind::Experiment);
    let version = study.version("edna", START);
    assert_eq!(version.kind, DocKind::Experiment);
    assert_eq!(Runbook::from_version(&version).unwrap(), *study);
    // The hash of this document as it was before there were studies.
    let old = runbook(
        "safe",
        "- {id: a, kind: wait, effect: idempotent, with: {for: 1s}}",
        "guards: {budget: {slo: a}}\ntriggers: [{schedule: {cron: '0 1 * * *', tz: UTC}}]",
    );
    assert_eq!(old.hash(), "12928b2b685c3967d230094f3527c19588bc5714bc70d93e59856ee95da8bf00");
    assert!(!old.normal_form().contains("study"));
}
