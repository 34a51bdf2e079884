//! Experiments in a scripted world: each verdict, each way to be cut short, and a death at every point.

use tocsin_core::run::experiment::VerdictWord;
use tocsin_core::run::guard::{Facts, Freeze, Guard};
use tocsin_core::run::machine::Seen;
use tocsin_core::run::record::{AttemptState, RunState, UndoState};
use tocsin_core::time::Span;

use super::lab::{Death, Lab, Script, document, live};
use super::world::secs;

const TEXT: &str = "
apiVersion: tocsin/v1
kind: Experiment
metadata: {id: e1, platform: shop, title: Orders stay fast when the database slows}
spec:
  environment: staging
  gates:
    freeze: honour
    no_open_incident: {platform: shop}
    budget: {slo: orders, remaining_at_least: 0.5, predicted_spend_at_most: 0.05}
    capacity: {expr: ready, op: '>', value: 4}
  hypothesis:
    - {id: p95, expr: 'orders:p95', op: '<', value: 0.12}
    - {id: errors, expr: 'orders:errors', op: '<', value: 0.01, no_data: allow}
  phases: {baseline: 30s, fault: 2m, recovery: 1m, sample: 5s}
  targets: {select: {kind: proxy, labels: {service: db}}, expect: 1, max_percent: 34}
  faults:
    - {id: slow, kind: net.proxy, with: {direction: downstream, latency: 80ms, jitter: 20ms}, ttl: 3m}
  stop_when:
    - {hypothesis: errors, for: 15s}
    - {burn_rate: {slo: orders, window: 5m, over: 14.4}}
    - {alert_severity: page, not_caused_by_this_run: true}
  alerts: {page: normal, expect: [{name: OrdersSlow, within: 90s}], forbid: [OrdersDown]}
  recovery: {hypothesis_again: true, within: 2m, hold: 10s}
";

/// Alerts as they are expected.
fn told() -> Vec<(&'static str, Span, bool)> {
    vec![("OrdersSlow", secs(60), true)]
}

fn ended(script: Script) -> (VerdictWord, String, Lab) {
    let lab = live(document(TEXT), script);
    let found = lab.verdict();
    assert!(!lab.stands());
    (found.verdict, found.why, lab)
}

#[test]
fn it_is_held_when_the_hypothesis_was_true_throughout_and_people_were_told() {
    let (verdict, why, lab) = ended(Script { alerts: told(), ..Script::default() });
    assert_eq!((verdict, lab.state()), (VerdictWord::Held, RunState::Succeeded), "{why}");
    assert!(lab.pages.is_empty());
    // Baseline, fault and recovery, every five seconds, for each of the two.
    let p95 = lab.stored.samples.iter().filter(|sample| sample.probe == "p95").count();
    assert!((42..=46).contains(&p95), "{p95}");
    assert!(lab.stored.samples.iter().all(|sample| sample.ok));
    let stood = lab.stored.undos.values().next().unwrap();
    assert_eq!(stood.state, UndoState::Undone);
    let broken = lab.attempt("fault/slow").unwrap().started_at.unwrap();
    let healed = stood.verified_at.unwrap();
    assert!((secs(120)..secs(125)).contains(&(healed - broken)), "{}", healed - broken);
}

#[test]
fn it_is_broken_when_one_sample_was_not_as_it_should_be() {
    let (verdict, why, lab) = ended(Script {
        alerts: told(),
        probe: |expr, broken, _| match broken {
            Some(since) if expr == "orders:p95" && (secs(60)..secs(65)).contains(&since) => Seen::Value(0.12),
            _ => Seen::Value(0.0),
        },
        ..Script::default()
    });
    assert_eq!(verdict, VerdictWord::Broken);
    assert!(why.contains("p95 was 0.12 at 2026-11-21T03:01:3"), "{why}");
    assert_eq!(lab.state(), RunState::Succeeded, "the run itself did what it was to do");
}

#[test]
fn it_is_broken_when_nobody_was_told_in_time_or_somebody_was_told_what_must_not_be() {
    for (alerts, says) in [
        (vec![], "OrdersSlow did not fire within 1m30s"),
        (vec![("OrdersSlow", secs(91), true)], "OrdersSlow did not fire within 1m30s"),
        (vec![("OrdersSlow", secs(60), true), ("OrdersDown", secs(70), false)], "OrdersDown fired, and must not"),
    ] {
        let (verdict, why, _) = ended(Script { alerts, ..Script::default() });
        assert_eq!(verdict, VerdictWord::Broken);
        assert!(why.contains(says), "{why}");
    }
}

#[test]
fn it_is_broken_when_it_does_not_recover_and_somebody_is_paged() {
    let (verdict, why, lab) = ended(Script {
        alerts: told(),
        probe: |expr, _, healed| Seen::Value(if expr == "orders:p95" && healed.is_some() { 0.5 } else { 0.0 }),
        ..Script::default()
    });
    assert_eq!((verdict, lab.state()), (VerdictWord::Broken, RunState::Failed));
    assert!(why.contains("it did not recover"), "{why}");
    assert_eq!(lab.pages.len(), 1);
}

#[test]
fn each_rule_stops_it_and_the_fault_ends_at_once() {
    let cases: [(&str, Span, Script); 4] = [
        (
            "errors is 0.5 for too long",
            secs(15),
            Script {
                probe: |expr, broken, healed| {
                    let bad = broken.is_some() && healed.is_none() && expr == "orders:errors";
                    Seen::Value(if bad { 0.5 } else { 0.0 })
                },
                ..Script::default()
            },
        ),
        ("the budget of orders burns 14.5 times too fast over 5m", Span::ZERO, Script { burn: 14.5, ..Script::default() }),
        (
            "Other demands a person, and is not expected",
            secs(20),
            Script { alerts: vec![("Other", secs(20), true), ("Quiet", secs(1), false)], ..Script::default() },
        ),
        ("cancelled by olga", secs(30), Script { cancel_at: Some(secs(60)), ..Script::default() }),
    ];
    for (says, after, script) in cases {
        let (verdict, why, lab) = ended(script);
        assert_eq!((verdict, lab.state()), (VerdictWord::Stopped, RunState::Undone), "{says}: {why}");
        assert!(why.contains(says), "{why}");
        if let Some(undo) = lab.stored.undos.values().next() {
            let stood = undo.verified_at.unwrap() - lab.attempt("fault/slow").unwrap().started_at.unwrap();
            assert!((after..after + secs(8)).contains(&stood), "{says}: {stood}");
        } else {
            assert_eq!(after, Span::ZERO, "{says}: it was stopped before anything was broken");
        }
        assert!(lab.pages.is_empty(), "{:?}", lab.pages);
    }
}

#[test]
fn it_says_nothing_when_it_could_not_say_anything() {
    let cases: [(&str, bool, Script); 5] = [
        (
            "the baseline was not steady: p95 is 0.2",
            false,
            Script { probe: |expr, _, _| Seen::Value(if expr == "orders:p95" { 0.2 } else { 0.0 }), ..Script::default() },
        ),
        (
            "the baseline was not steady: p95 has no data",
            false,
            Script {
                probe: |expr, _, _| if expr == "orders:p95" { Seen::NoData } else { Seen::Value(0.0) },
                ..Script::default()
            },
        ),
        (
            "p95 has no data",
            true,
            Script {
                probe: |expr, broken, _| if expr == "orders:p95" && broken.is_some() { Seen::NoData } else { Seen::Value(0.0) },
                ..Script::default()
            },
        ),
        (
            "the fault slow was not proven to be in effect: the fault has touched 0 connections",
            true,
            Script { unproven: true, alerts: vec![], ..Script::default() },
        ),
        ("fault/slow could not be injected: no such proxy", false, Script { cannot_inject: true, ..Script::default() }),
    ];
    for (says, was_broken, script) in cases {
        let (verdict, why, lab) = ended(script);
        assert_eq!((verdict, lab.state()), (VerdictWord::Invalid, RunState::Undone), "{why}");
        assert!(why.contains(says), "{why}");
        let stood = lab.attempt("fault/slow").is_some_and(|one| one.response.is_some());
        assert_eq!(stood, was_broken, "{says}");
        assert!(lab.pages.is_empty());
    }
    // No data where the document allows it.
    let (verdict, why, _) = ended(Script {
        alerts: told(),
        probe: |expr, _, _| if expr == "orders:errors" { Seen::NoData } else { Seen::Value(0.0) },
        ..Script::default()
    });
    assert_eq!(verdict, VerdictWord::Held, "{why}");
}

/// A guard, what it says, and what makes it speak.
type Gate = (Guard, &'static str, fn(&mut Facts));

#[test]
fn each_gate_refuses_it() {
    let cases: [Gate; 7] = [
        (Guard::KillSwitch, "storm", |facts| facts.kill = Some("storm".to_owned())),
        (Guard::Freeze, "holidays", |facts| facts.freeze = Some(Freeze { reason: "holidays".to_owned(), until: None })),
        (Guard::OpenPage, "1 pages", |facts| facts.open_pages = Some(1)),
        (Guard::Budget, "50.0 % are needed", |facts| facts.budget_remaining = Some(0.4)),
        (Guard::Budget, "5.0 % of the error budget may be spent", |facts| facts.budget_outage = Some(secs(2_390))),
        (Guard::Targets, "an empty selection", |facts| {
            facts.inventory.items[0].labels.insert("environment".to_owned(), "production".to_owned());
        }),
        (Guard::Precheck, "ready is 4", |facts| {
            facts.values.insert("ready".to_owned(), 4.0);
        }),
    ];
    for (guard, says, change) in cases {
        let mut lab = Lab::new(document(TEXT), Script::default());
        lab.facts = change;
        lab.live(&mut Death::default());
        let found = lab.verdict();
        assert_eq!((found.verdict, lab.state()), (VerdictWord::Refused, RunState::Refused));
        assert_eq!(lab.stored.run.as_ref().unwrap().refused_by, Some(guard), "{}", found.why);
        assert!(found.why.contains(says), "{}", found.why);
        assert!(lab.stored.attempts.is_empty());
    }
}

#[test]
fn a_heal_that_fails_is_tried_until_the_fault_has_ended_by_itself() {
    let (verdict, why, lab) = ended(Script { alerts: told(), heals_fail: 2, ..Script::default() });
    assert_eq!(verdict, VerdictWord::Held, "{why}");
    assert!(lab.pages.is_empty());
    let (_, _, lab) = ended(Script { alerts: told(), heals_fail: usize::MAX, ..Script::default() });
    assert_eq!(lab.state(), RunState::UndoFailed);
    assert!(lab.pages.iter().any(|page| page.contains("fault/slow does not heal")), "{:?}", lab.pages);
    let undo = lab.stored.undos.values().next().unwrap();
    let ended = lab.stored.run.as_ref().unwrap().ended_at.unwrap();
    assert!(ended >= undo.deadline.unwrap(), "no run ends while its fault stands");
}

#[test]
fn several_faults_stand_and_end_together() {
    let text = TEXT
        .replace("labels: {service: db}}, expect: 1, max_percent: 34", "labels: {service: cache}}, expect: 2, max_percent: 67")
        .replace(
            ", ttl: 3m}",
            ", ttl: 4m}\n    - {id: sleep, kind: proc.signal, with: {process: worker, signal: stop}, ttl: 4m}",
        );
    let lab = live(document(&text), Script { alerts: told(), heals_fail: 1, ..Script::default() });
    assert_eq!(lab.verdict().verdict, VerdictWord::Held, "{}", lab.verdict().why);
    let mut steps: Vec<&str> = lab.stored.undos.values().map(|undo| undo.step_id.as_str()).collect();
    steps.sort_unstable();
    assert_eq!(steps, ["fault/sleep", "fault/slow/1", "fault/slow/2"]);
    assert!(lab.stored.undos.values().all(|undo| undo.state == UndoState::Undone));
    let text = TEXT
        .replace(
            "kind: net.proxy, with: {direction: downstream, latency: 80ms, jitter: 20ms}",
            "kind: proc.signal, with: {signal: kill}",
        )
        .replace(
            "{kind: proxy, labels: {service: db}}, expect: 1, max_percent: 34",
            "{kind: process, labels: {service: work}}, expect: 1",
        );
    let lab = live(document(&text), Script { alerts: told(), ..Script::default() });
    assert_eq!(lab.verdict().verdict, VerdictWord::Held, "{}", lab.verdict().why);
}

#[test]
fn a_death_at_any_point_leaves_nothing_broken() {
    let short = TEXT
        .replace("baseline: 30s, fault: 2m, recovery: 1m", "baseline: 10s, fault: 30s, recovery: 10s")
        .replace("within: 90s", "within: 35s");
    let told = || vec![("OrdersSlow", secs(20), true)];
    let mut calm = Death::default();
    Lab::new(document(&short), Script { alerts: told(), ..Script::default() }).live(&mut calm);
    assert!(calm.passed > 100, "{} points", calm.passed);
    let mut verdicts = std::collections::BTreeMap::new();
    for at in 1..=calm.passed {
        let mut death = Death { at: Some(at), ..Death::default() };
        let mut lab = Lab::new(document(&short), Script { alerts: told(), ..Script::default() });
        lab.live(&mut death);
        assert!(death.died, "point {at} was not reached");
        assert!(!lab.stands());
        let found = lab.verdict();
        assert!(matches!(found.verdict, VerdictWord::Held | VerdictWord::Stopped), "point {at}: {found:?}");
        if found.verdict == VerdictWord::Stopped {
            assert_eq!(found.why, "the process ended in the middle", "point {at}");
            assert_eq!(lab.state(), RunState::Undone);
            // The fault ends with the first things that the next process does.
            let by_plan = lab.attempt("heal").is_some_and(|one| one.state == AttemptState::Succeeded);
            for undo in lab.stored.undos.values().filter(|_| !by_plan) {
                let (ended, healed) = (lab.stored.run.as_ref().unwrap().ended_at.unwrap(), undo.verified_at.unwrap());
                assert!(ended - healed < secs(2), "point {at}");
            }
        }
        *verdicts.entry(found.verdict.word()).or_insert(0) += 1;
    }
    assert!(verdicts["held"] > 5 && verdicts["stopped"] > 50, "{verdicts:?}");
}
