//! How runs end: undo, deadlines, orders of people, pages.

use tocsin_core::run::machine::{Event, Outcome, Refused};
use tocsin_core::run::record::{AttemptState, Order, Phase, RunState, UndoState};
use tocsin_core::run::request::Request;
use tocsin_core::time::Span;

use super::world::{World, good, secs, status};

const REST: &str = "triggers: [{manual: {roles: [operator]}}]\nverify: [{expr: up, op: '==', value: 1, within: 1m}]\nguards: {total_timeout: 30m}";

fn step(id: &str, more: &str, undo: &str) -> String {
    format!(
        "- id: {id}\n  kind: http.request\n  effect: idempotent\n  timeout: 10s\n  with: {{url: 'https://api.example/{id}'}}\n  \
         undo: {{kind: http.request, with: {{method: DELETE, url: 'https://api.example/{id}'}}{undo}}}\n{more}"
    )
}

const CHECKED: &str =
    ", check: {kind: http.check, with: {url: 'https://api.example/s', expect: [{path: /body/gone, value: true}]}}";

fn gone(gone: bool) -> serde_json::Value {
    serde_json::json!({ "status": 200, "body": { "gone": gone } })
}

fn three() -> World {
    let steps = [step("a", "", ""), step("b", "", CHECKED), step("c", "  on_fail: undo", "")].join("\n");
    let mut world = World::begun("safe", &steps, REST);
    world.ok("a");
    world.ok("b");
    world
}

#[test]
fn what_was_done_is_undone_in_reverse_each_verified_and_one_failure_stops_no_other() {
    let mut world = three();
    world.answer("c", Phase::Do, status(404));
    assert_eq!(world.state(), RunState::Undoing);
    // The step that failed may have done something as well.
    assert!(!world.is_issued("b", Phase::Undo) && !world.is_issued("a", Phase::Undo));
    world.answer("c", Phase::Undo, good());
    world.answer("b", Phase::Undo, good());
    assert!(!world.is_issued("a", Phase::Undo), "b is not verified yet");
    // The check finds three times that it is still there.
    for _ in 0..3 {
        world.answer("b", Phase::UndoCheck, gone(false));
        world.pass(secs(5));
    }
    world.answer("a", Phase::Undo, good());
    assert_eq!(world.state(), RunState::UndoFailed);
    assert_eq!(
        world.undo_states(),
        [("a".to_owned(), UndoState::Undone), ("b".to_owned(), UndoState::Failed), ("c".to_owned(), UndoState::Undone)]
    );
    assert_eq!(world.pages(), ["undo_failed"]);
    assert!(!world.run.is_over(), "the page must arrive");
    world.answer("undo_failed", Phase::Page, good());
    assert!(world.run.is_over());
}

#[test]
fn an_undo_is_tried_again_and_goes_on_after_a_crash() {
    let mut world = three();
    world.answer("c", Phase::Do, status(404));
    world.answer("c", Phase::Undo, status(503));
    world.pass(secs(5));
    world.crash();
    world.answer("c", Phase::Undo, good());
    world.issued("b", Phase::Undo);
    world.crash();
    assert_eq!(world.state(), RunState::Undoing);
    world.answer("b", Phase::Undo, good());
    world.answer("b", Phase::UndoCheck, gone(true));
    world.answer("a", Phase::Undo, good());
    assert_eq!(world.state(), RunState::Undone);
    assert!(world.stored.undos.values().all(|undo| undo.state == UndoState::Undone && undo.verified_at.is_some()));
}

#[test]
fn the_way_back_is_recorded_with_the_intent_and_before_the_effect() {
    let steps = [step("a", "", ""), step("b", "", "")].join("\n");
    let world = World::begun("safe", &steps, REST);
    assert_eq!(world.undo_states(), [("a".to_owned(), UndoState::Armed)]);
    assert!(world.is_issued("a", Phase::Do));
    // A step whose way back cannot be made is not begun.
    let steps = "
- {id: look, kind: http.request, effect: idempotent, with: {method: GET, url: 'https://api.example/'}, on_fail: continue,
   save: {num: {path: /body/n, type: int, min: 0, max: 9}}}
- {id: act, kind: http.request, effect: idempotent, with: {url: 'https://api.example/'},
   undo: {kind: http.request, with: {url: 'https://api.example/', body: {num: {saved: look.num}}}}}";
    let mut world = World::begun("safe", steps, REST);
    world.answer("look", Phase::Do, status(404));
    assert_eq!(world.attempts("act", Phase::Do), [AttemptState::Failed]);
    assert!(!world.is_issued("act", Phase::Do) && world.undo_states().is_empty());
}

#[test]
fn a_temporary_change_ends_at_its_deadline_whatever_the_run_does() {
    let steps =
        format!("{}\n- {{id: rest, kind: wait, effect: idempotent, with: {{for: 10m}}}}", step("a", "", ", deadline: 2m"));
    let begun = || {
        let mut world = World::begun("safe", &steps, REST);
        world.ok("a");
        world
    };
    let mut world = begun();
    let deadline = world.stored.undos.values().next().unwrap().deadline.unwrap();
    assert_eq!(deadline, world.now + Span::from_mins(2));
    world.pass(secs(119));
    assert!(!world.is_issued("a", Phase::Undo));
    world.pass(secs(1));
    world.answer("a", Phase::Undo, good());
    assert_eq!(world.state(), RunState::Running);
    assert_eq!(world.undo_states()[0].1, UndoState::Undone);
    // Also while it is paused, and before anything else after a start that came too late.
    let mut world = begun();
    world.accept(Event::Pause { by: "olga".to_owned() });
    world.pass(secs(120));
    assert!(world.is_issued("a", Phase::Undo));
    let mut world = begun();
    world.now = world.now + Span::from_mins(5);
    world.crash();
    assert!(matches!(world.orders.first(), Some(Order::Issue { key, .. }) if key.phase == Phase::Undo), "{:?}", world.orders);
    // An undo that fails at its deadline ends the run and calls a person.
    let mut world = begun();
    world.pass(secs(120));
    for _ in 0..3 {
        world.answer("a", Phase::Undo, status(500));
        world.pass(secs(5));
    }
    assert_eq!(world.state(), RunState::UndoFailed);
    assert_eq!(world.pages(), ["undo_failed"]);
}

#[test]
fn a_temporary_change_ends_before_verification_and_when_the_run_fails() {
    let mut world = World::begun("safe", &step("a", "", ", deadline: 10m"), REST);
    world.ok("a");
    assert_eq!(world.state(), RunState::Running);
    world.answer("a", Phase::Undo, good());
    assert_eq!(world.state(), RunState::Verifying);
    // A run that aborts leaves what was meant to stay, and takes back what was not.
    let steps = [step("a", "", ", deadline: 10m"), step("b", "", ""), step("c", "", "")].join("\n");
    let mut world = World::begun("safe", &steps, REST);
    world.ok("a");
    world.ok("b");
    world.answer("c", Phase::Do, status(404));
    world.answer("a", Phase::Undo, good());
    assert_eq!(world.state(), RunState::Failed);
    let states: Vec<UndoState> = world.undo_states().into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, [UndoState::Undone, UndoState::Released, UndoState::Released]);
}

#[test]
fn a_cancelled_run_stops_what_is_under_way_before_it_undoes() {
    let cancel = || Event::Cancel { by: "olga".to_owned() };
    let mut world = three();
    let (key, _) = world.issued("c", Phase::Do);
    world.accept(cancel());
    assert_eq!(world.state(), RunState::Cancelling);
    assert!(world.orders.iter().any(|order| matches!(order, Order::Cancel { .. })));
    assert!(!world.is_issued("c", Phase::Undo), "the request may still do something");
    world.accept(Event::Finished { key, outcome: Outcome::Unknown("stopped".to_owned()) });
    world.answer("c", Phase::Undo, good());
    world.answer("b", Phase::Undo, good());
    world.answer("b", Phase::UndoCheck, gone(true));
    world.answer("a", Phase::Undo, good());
    assert_eq!(world.state(), RunState::Undone);
    assert_eq!(world.pages(), [""; 0], "whoever cancels knows it");
    assert_eq!(world.try_accept(cancel()), Err(Refused::State { attempt: "cancel", state: RunState::Undone }));
    // Nobody answers: ten seconds are enough. A crash in between changes nothing.
    for crashes in [false, true] {
        let mut world = three();
        world.issued("c", Phase::Do);
        world.accept(Event::Kill { why: "storm".to_owned() });
        if crashes {
            world.crash();
        }
        world.pass(secs(10));
        assert_eq!(world.state(), RunState::Undoing);
        assert!(world.is_issued("c", Phase::Undo) && !world.is_issued("c", Phase::Do));
        for id in ["c", "b"] {
            world.answer(id, Phase::Undo, good());
        }
        world.answer("b", Phase::UndoCheck, gone(true));
        world.answer("a", Phase::Undo, good());
        assert_eq!(world.state(), RunState::Undone);
        assert_eq!(world.pages(), ["undone"], "the kill switch is no quiet thing");
    }
}

#[test]
fn a_paused_run_begins_nothing() {
    let mut world = three();
    let (key, _) = world.issued("c", Phase::Do);
    world.accept(Event::Pause { by: "olga".to_owned() });
    assert!(matches!(world.try_accept(Event::Pause { by: "olga".to_owned() }), Err(Refused::State { .. })));
    world.accept(Event::Finished { key, outcome: Outcome::Answer(good()) });
    world.pass(Span::from_mins(5));
    assert_eq!(world.state(), RunState::Paused);
    world.crash();
    assert_eq!(world.state(), RunState::Paused);
    world.accept(Event::Resume { by: "olga".to_owned() });
    assert_eq!(world.state(), RunState::Verifying);
}

#[test]
fn a_run_that_takes_too_long_ends() {
    let mut world = World::begun("safe", "- {id: w, kind: wait, effect: idempotent, with: {for: 2h}}", REST);
    world.pass(Span(Span::from_mins(30).0 - 1));
    assert_eq!(world.state(), RunState::Running);
    world.pass(Span(1));
    assert_eq!(world.state(), RunState::Failed);
    assert_eq!(world.pages(), ["failed"]);
}

#[test]
fn a_page_is_sent_until_it_arrives_and_always_under_one_key() {
    let mut world = World::begun("safe", &step("a", "", ""), REST);
    world.answer("a", Phase::Do, status(404));
    assert_eq!(world.state(), RunState::Failed);
    let mut keys = Vec::new();
    for round in 0..4 {
        let at =
            world.orders.iter().position(|order| matches!(order, Order::Issue { key, .. } if key.phase == Phase::Page)).unwrap();
        let Order::Issue { key, idem_key, request, .. } = world.orders.remove(at) else { unreachable!() };
        assert!(matches!(request, Request::Page { policy: None, .. }));
        keys.push(idem_key);
        match round {
            0 => world.accept(Event::Finished { key, outcome: Outcome::Unknown("no answer".to_owned()) }),
            1 => world.crash(),
            2 => world.pass(secs(12)),
            _ => world.accept(Event::Finished { key, outcome: Outcome::Answer(good()) }),
        }
        world.pass(secs(20));
        assert_eq!(world.run.is_over(), round == 3);
    }
    keys.dedup();
    assert_eq!(keys, ["run-1/page/failed"]);
}

#[test]
fn a_plan_of_an_experiment_runs_on_the_same_machine() {
    // A fault, a time to look at it, recovery before the hypothesis is asked again: what an experiment is compiled to.
    let steps = "
- {id: slow, kind: proc.signal, effect: idempotent, with: {process: worker-1, signal: stop},
   undo: {kind: proc.signal, with: {process: worker-1, signal: cont}, deadline: 6m}}
- {id: observe, kind: wait, effect: idempotent, with: {for: 5m}}";
    let mut runbook = (*super::world::runbook("disruptive", steps, REST)).clone();
    runbook.plan.steps[0].fault = true;
    let begin = |runbook: &tocsin_core::run::Runbook| {
        let mut world = World::new(std::sync::Arc::new(runbook.clone()), super::world::by_person(runbook));
        world.tick();
        world.give_facts();
        world
    };
    let mut world = begin(&runbook);
    world.ok("slow");
    world.pass(Span::from_mins(5));
    assert!(matches!(world.issued("slow", Phase::Undo).1, Request::ProcSignal { .. }));
    assert_eq!(world.state(), RunState::Running);
    // We die while it heals: the next process heals it before anything else.
    world.crash();
    world.answer("slow", Phase::Undo, good());
    assert_eq!(world.state(), RunState::Verifying);
    // A fault that would not end by itself is not begun.
    runbook.plan.steps[0].undo.as_mut().unwrap().deadline = None;
    let world = begin(&runbook);
    assert_eq!(world.attempts("slow", Phase::Do), [AttemptState::Failed]);
    assert!(!world.is_issued("slow", Phase::Do));
}

#[test]
fn answers_are_kept_up_to_their_limit() {
    let rest = format!("{REST}\ncapture: {{max_bytes: 200}}");
    let mut world = World::begun("safe", &step("a", "  save: {all: /body}\n", ""), &rest);
    world.answer("a", Phase::Do, serde_json::json!({ "status": 200, "body": "x".repeat(10_000) }));
    let attempt = world.stored.attempts.values().next().unwrap();
    assert_eq!(attempt.response, Some(serde_json::json!({ "left_out_bytes": 10_024 })));
    assert!(attempt.saved["all"].text().len() <= 4096);
}
