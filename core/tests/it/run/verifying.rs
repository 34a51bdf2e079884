//! Verification: what counts as healed, and what does not.

use std::cell::Cell;

use tocsin_core::run::machine::{Event, Seen};
use tocsin_core::run::record::{Phase, RunState, UndoState};
use tocsin_core::time::Span;

use super::world::{World, good, secs};

fn world(verify: &str, on_fail: &str) -> World {
    let steps = "
- id: a
  kind: http.request
  effect: idempotent
  with: {url: 'https://api.example/a'}
  undo: {kind: http.request, with: {method: DELETE, url: 'https://api.example/a'}}";
    let rest = format!("triggers: [{{alert: {{name: Backlog, mode: auto}}}}]\nverify: [{verify}]\non_verify_fail: {on_fail}");
    let mut world = World::begun("safe", steps, &rest);
    assert_eq!(world.state(), RunState::Waiting);
    // Five good runs have earned it.
    let ended = tocsin_core::run::history::Ended { doc_hash: world.runbook.hash(), attended: true, state: RunState::Succeeded };
    world.facts.history = vec![ended; 5];
    world.accept(Event::LockFreed);
    world.give_facts();
    world.ok("a");
    assert_eq!(world.state(), RunState::Verifying);
    world
}

const ALERT: &str = "{use: trigger_alert, must: not_firing, hold: 5m, within: 15m}";

#[test]
fn an_alert_that_keeps_firing_is_undone_and_paged() {
    let mut world = world(ALERT, "undo_then_page");
    world.sees(Span::from_mins(15), |_| Seen::Firing);
    assert_eq!(world.state(), RunState::Undoing);
    world.answer("a", Phase::Undo, good());
    assert_eq!(world.state(), RunState::Undone);
    assert_eq!(world.pages(), ["undone"]);
}

#[test]
fn an_alert_that_disappears_is_not_healed() {
    let mut world = world(ALERT, "page");
    world.sees(Span::from_mins(15), |_| Seen::NoData);
    assert_eq!(world.state(), RunState::Failed);
    assert_eq!(world.pages(), ["failed"]);
    assert_eq!(world.undo_states()[0].1, UndoState::Released);
    assert!(world.stored.samples.iter().all(|sample| !sample.ok && sample.value.is_none()));
}

#[test]
fn it_must_hold_for_the_whole_time_without_a_break() {
    let mut healed = world(ALERT, "leave");
    healed.sees(Span(Span::from_mins(5).0 - 1), |_| Seen::NotFiring);
    assert_eq!(healed.state(), RunState::Verifying, "4m59 of 5m");
    healed.sees(secs(6), |_| Seen::NotFiring);
    assert_eq!(healed.state(), RunState::Succeeded);
    assert_eq!(healed.undo_states()[0].1, UndoState::Released);
    // One sighting in between begins it anew; so does no data.
    for broken in [Seen::Firing, Seen::NoData] {
        let mut world = world(ALERT, "leave");
        let count = Cell::new(0);
        world.sees(Span::from_mins(9), |_| {
            count.set(count.get() + 1);
            if count.get() == 55 { broken.clone() } else { Seen::NotFiring }
        });
        assert_eq!(world.state(), RunState::Verifying);
        world.sees(Span::from_mins(1), |_| Seen::NotFiring);
        assert_eq!(world.state(), RunState::Succeeded);
    }
}

#[test]
fn two_sightings_far_apart_do_not_hold_the_time_between_them() {
    let mut world = world("{expr: up, op: '==', value: 1, hold: 2m, within: 15m}", "leave");
    world.sees(secs(10), |_| Seen::Value(1.0));
    world.orders.clear();
    // Nobody answers for two minutes.
    world.pass(Span::from_mins(2));
    world.sees(secs(60), |_| Seen::Value(1.0));
    assert_eq!(world.state(), RunState::Verifying);
    world.sees(secs(90), |_| Seen::Value(1.0));
    assert_eq!(world.state(), RunState::Succeeded);
}

#[test]
fn every_condition_must_hold_and_no_data_may_be_allowed() {
    let both = "{expr: a, op: '<', value: 0.05, within: 2m}, {expr: b, op: '>', value: 3, within: 2m, no_data: allow}";
    let mut world1 = world(both, "leave");
    world1.sees(secs(30), |step| if step == "verify/0" { Seen::Value(0.01) } else { Seen::NoData });
    assert_eq!(world1.state(), RunState::Succeeded);
    let mut world2 = world(both, "leave");
    world2.sees(Span::from_mins(3), |step| Seen::Value(if step == "verify/0" { 0.01 } else { 3.0 }));
    assert_eq!(world2.state(), RunState::Failed);
    assert_eq!(world2.pages(), [""; 0]);
    for bad in [f64::NAN, 0.05] {
        let mut world = world(both, "leave");
        world.sees(Span::from_mins(3), |step| Seen::Value(if step == "verify/0" { bad } else { 4.0 }));
        assert_eq!(world.state(), RunState::Failed);
    }
}

#[test]
fn the_time_of_a_verification_goes_on_over_a_crash_and_its_hold_begins_anew() {
    let mut world = world("{expr: up, op: '==', value: 1, hold: 2m, within: 5m}", "leave");
    world.sees(secs(110), |_| Seen::Value(1.0));
    world.crash();
    let begun = world.stored.attempts.values().find(|one| one.key.phase == Phase::Verify).and_then(|one| one.started_at).unwrap();
    let end = begun + Span::from_mins(5);
    world.sees(secs(110), |_| Seen::Value(1.0));
    assert_eq!(world.state(), RunState::Verifying);
    world.sees(end - world.now, |_| Seen::Value(0.0));
    assert_eq!(world.state(), RunState::Failed);
}

#[test]
fn a_run_without_verification_ends_as_failed_unless_it_only_reads() {
    let manual = "triggers: [{manual: {roles: [operator]}}]";
    let mut read = World::begun("read", "- {id: a, kind: wait, effect: idempotent, with: {for: 1s}}", manual);
    read.pass(secs(1));
    assert_eq!(read.state(), RunState::Succeeded);
    let mut safe =
        World::begun("safe", "- {id: a, kind: http.request, effect: idempotent, with: {url: 'https://api.example/'}}", manual);
    safe.ok("a");
    assert_eq!(safe.state(), RunState::Failed);
    assert_eq!(safe.run.row().reason, "ended without verification");
}
