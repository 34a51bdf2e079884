//! Stories of instants: steps, retries, doubt, people, leases.

use tocsin_core::access::Role;
use tocsin_core::run::guard::Guard;
use tocsin_core::run::machine::{Event, Outcome, Refused, Run, Settled};
use tocsin_core::run::record::{AttemptState, Order, Phase, RunState, Vote, WaitFor};
use tocsin_core::run::request::Request;
use tocsin_core::run::value::Value;
use tocsin_core::time::Span;

use super::world::{World, by_alert, by_person, good, inventory, runbook, secs, status};

const MANUAL: &str = "triggers: [{manual: {roles: [operator]}}]\nverify: [{expr: up, op: '==', value: 1, within: 1m}]";
const ALERT: &str = "triggers: [{alert: {name: Backlog, mode: auto}}]\nverify: [{expr: up, op: '==', value: 1, within: 1m}]";

fn post(id: &str, effect: &str, more: &str) -> String {
    format!(
        "- {{id: {id}, kind: http.request, effect: {effect}, timeout: 10s, with: {{url: 'https://api.example/{id}', key_header: X-Key}}{more}}}"
    )
}

#[test]
fn a_step_is_tried_again_with_growing_waits_and_keeps_its_key_after_silence() {
    let retry = ", retry: {attempts: 4, backoff: 4s, factor: 3, max: 20s, jitter: none}";
    let mut world = World::begun("safe", &post("a", "keyed", retry), MANUAL);
    assert_eq!(world.state(), RunState::Running);
    let key_of = |world: &mut World| match world.issued("a", Phase::Do) {
        (key, Request::Http { headers, .. }) => (key, serde_json::to_value(&headers["x-key"]).unwrap()["literal"].clone()),
        _ => unreachable!(),
    };
    let (key, first) = key_of(&mut world);
    assert_eq!(first, "run-1/a/g1");
    world.accept(Event::Issued { key, handle: None });
    // Nobody answers: the request is called back, and repeated under its key.
    world.pass(secs(9));
    assert!(!world.orders.iter().any(|order| matches!(order, Order::Cancel { .. })));
    world.pass(secs(1));
    assert!(world.orders.iter().any(|order| matches!(order, Order::Cancel { .. })));
    assert_eq!(world.attempts("a", Phase::Do), [AttemptState::Unknown, AttemptState::Pending]);
    world.pass(secs(3));
    assert!(!world.is_issued("a", Phase::Do));
    world.pass(secs(1));
    let (key, second) = key_of(&mut world);
    assert_eq!(second, first);
    // A status of 503 is no definite answer either; 409 is.
    world.accept(Event::Finished { key, outcome: Outcome::Answer(status(503)) });
    world.pass(secs(12));
    let (key, third) = key_of(&mut world);
    assert_eq!(third, first);
    world.accept(Event::Finished { key, outcome: Outcome::Answer(status(409)) });
    world.pass(secs(19));
    assert!(!world.is_issued("a", Phase::Do));
    world.pass(secs(1));
    let (key, fourth) = key_of(&mut world);
    assert_eq!(fourth, "run-1/a/g2");
    world.accept(Event::Finished { key: key.clone(), outcome: Outcome::Answer(status(409)) });
    assert_eq!(world.state(), RunState::Failed);
    assert_eq!(world.pages(), ["failed"]);
    assert_eq!(
        world.try_accept(Event::Finished { key: key.clone(), outcome: Outcome::Answer(good()) }),
        Err(Refused::NotUnderWay { key })
    );
}

#[test]
fn full_jitter_takes_its_share_of_the_wait() {
    let retry = ", retry: {attempts: 2, backoff: 10s}";
    let mut world = World::begun("safe", &post("a", "idempotent", retry), MANUAL);
    world.answer("a", Phase::Do, status(500));
    world.pass(Span(4_999));
    assert!(!world.is_issued("a", Phase::Do));
    world.pass(Span(1));
    assert!(world.is_issued("a", Phase::Do));
}

#[test]
fn failures_lead_where_the_document_says() {
    let steps = [
        post("a", "idempotent", ", on_fail: continue"),
        post("b", "idempotent", ", on_fail: 'goto:d'"),
        post("c", "idempotent", ""),
        post("d", "idempotent", ", when: {step: b, is: failed}"),
        post("e", "idempotent", ", when: {step: a, is: succeeded}"),
        post("f", "idempotent", ", when: {step: c, is: skipped}"),
    ]
    .join("\n");
    let mut world = World::begun("safe", &steps, MANUAL);
    world.answer("a", Phase::Do, status(404));
    world.answer("b", Phase::Do, status(404));
    world.ok("d");
    assert_eq!(world.attempts("c", Phase::Do), []);
    assert_eq!(world.attempts("e", Phase::Do), [AttemptState::Skipped]);
    world.ok("f");
    assert_eq!(world.state(), RunState::Verifying);
    // An abort ends it, and what comes later is never begun.
    let mut world = World::begun("safe", &[post("a", "idempotent", ""), post("b", "idempotent", "")].join("\n"), MANUAL);
    world.answer("a", Phase::Do, status(404));
    assert_eq!(world.state(), RunState::Failed);
    assert!(!world.is_issued("b", Phase::Do));
}

#[test]
fn outputs_are_saved_under_their_types_and_reach_later_steps() {
    let steps = "
- id: look
  kind: http.request
  effect: idempotent
  with: {method: GET, url: 'https://api.example/look'}
  save: {num: {path: /body/n, type: int, min: 0, max: 50}, who: {path: /body/who, type: name, of: service}, all: /body}
- id: act
  kind: exec.argv
  effect: idempotent
  with: {program: /opt/tool, args: ['-n', {saved: look.num}], positional: [{value: {saved: look.who}, match: 'a.*'}]}
- {id: say, kind: human.task, effect: idempotent, with: {title: {text: ['saw ', {saved: look.all}, ' of ', {label: gone}]}}}";
    let mut world = World::begun("safe", steps, MANUAL);
    world.answer("look", Phase::Do, serde_json::json!({ "status": 200, "body": { "n": 7, "who": "api" } }));
    let (key, request) = world.issued("act", Phase::Do);
    let Request::Exec { argv, env, .. } = request else { panic!() };
    assert_eq!(argv, ["/opt/tool", "-n", "7", "--", "api"]);
    assert!(env.is_empty());
    world.crash();
    assert!(matches!(world.stored.attempts[&key].state, AttemptState::Abandoned));
    world.ok("act");
    let asked = world.orders.iter().find_map(|order| match order {
        Order::AskHuman { title, .. } => Some(title.clone()),
        _ => None,
    });
    assert_eq!(asked.as_deref(), Some("saw {\"n\":7,\"who\":\"api\"} of (unknown)"));
    // What is not of the type fails the step, and is not tried again: the deed is done.
    for body in [
        r#"{"n": 51, "who": "api"}"#,
        r#"{"n": "7; x", "who": "api"}"#,
        r#"{"n": 7, "who": "--api"}"#,
        r#"{"n": 7, "who": "other"}"#,
        r#"{"n": 7}"#,
    ] {
        let mut world = World::begun("safe", steps, MANUAL);
        world.answer(
            "look",
            Phase::Do,
            serde_json::json!({ "status": 200, "body": serde_json::from_str::<serde_json::Value>(body).unwrap() }),
        );
        assert_eq!(world.state(), RunState::Failed, "{body}");
        assert!(world.run.attempts().all(|one| one.key.step != "act"));
    }
}

#[test]
fn an_argument_that_looks_like_an_option_is_refused_unless_its_slot_allows_it() {
    let steps =
        |arg: &str| format!("- {{id: a, kind: exec.argv, effect: idempotent, with: {{program: /opt/tool, args: [{arg}]}}}}");
    let rest = format!("params: {{num: {{type: int, min: -5, max: 5, default: -3}}}}\n{MANUAL}");
    let world = World::begun("safe", &steps("{param: num}"), &rest);
    assert_eq!(world.state(), RunState::Failed);
    assert!(!world.is_issued("a", Phase::Do));
    let mut world = World::begun("safe", &steps("{value: {param: num}, dash: true}"), &rest);
    assert!(matches!(world.issued("a", Phase::Do).1, Request::Exec { argv, .. } if argv == ["/opt/tool", "-3"]));
    let world = World::begun("safe", &steps("{value: {param: num}, dash: true, match: '[0-9]+'}"), &rest);
    assert_eq!(world.state(), RunState::Failed);
}

#[test]
fn a_deed_that_is_never_repeated_waits_for_a_person_when_in_doubt() {
    let steps = [post("a", "once", ""), post("b", "idempotent", "")].join("\n");
    for (verdict, state) in
        [(Settled::Done, RunState::Running), (Settled::Retry, RunState::Running), (Settled::Undo, RunState::Undone)]
    {
        let mut world = World::begun("safe", &steps, MANUAL);
        world.issued("a", Phase::Do);
        world.pass(secs(10));
        assert_eq!(world.state(), RunState::NeedsHuman);
        assert_eq!(world.pages(), ["needs_human/a/1"]);
        world.pass(secs(120));
        assert!(!world.is_issued("a", Phase::Do) && !world.is_issued("b", Phase::Do));
        let settle = |step: &str| Event::Settle { step: step.to_owned(), verdict, by: "lea".to_owned() };
        assert_eq!(world.try_accept(settle("b")), Err(Refused::NotInDoubt("b".to_owned())));
        world.accept(settle("a"));
        assert_eq!(world.state(), state);
        assert_eq!(world.is_issued("b", Phase::Do), verdict == Settled::Done);
        assert_eq!(world.is_issued("a", Phase::Do), verdict == Settled::Retry);
    }
    // What is known not to have happened needs nobody.
    let mut world = World::begun("safe", &steps, MANUAL);
    let (key, _) = world.issued("a", Phase::Do);
    world.accept(Event::NotIssued { key });
    let (key, _) = world.issued("a", Phase::Do);
    world.accept(Event::Finished { key, outcome: Outcome::NotDone("refused connection".to_owned()) });
    assert_eq!(world.state(), RunState::Failed);
}

#[test]
fn a_check_tells_what_became_of_a_step() {
    let steps = "
- id: a
  kind: http.request
  effect: probe
  timeout: 30s
  with: {url: 'https://api.example/a'}
  check: {kind: http.check, with: {url: 'https://api.example/s', expect: [{path: /body/state, value: up}]}, in_progress: {path: /body/state, value: busy}}
  retry: {attempts: 2, backoff: 1s, jitter: none}";
    let says = |state: &str| serde_json::json!({ "status": 200, "body": { "state": state } });
    let silent = || {
        let mut world = World::begun("safe", steps, MANUAL);
        world.issued("a", Phase::Do);
        world.pass(secs(30));
        world
    };
    let mut world = silent();
    world.answer("a", Phase::Check, says("busy"));
    assert!(!world.is_issued("a", Phase::Check));
    world.pass(secs(5));
    world.answer("a", Phase::Check, says("up"));
    assert_eq!(world.state(), RunState::Verifying);
    assert!(!world.is_issued("a", Phase::Do));
    // Not happened after silence is a failure that counts; the second one is the last.
    let mut world = silent();
    world.answer("a", Phase::Check, says("down"));
    world.pass(secs(1));
    world.issued("a", Phase::Do);
    world.pass(secs(30));
    world.answer("a", Phase::Check, says("down"));
    assert_eq!(world.state(), RunState::Failed);
    // Not happened after a crash is no failure: the step is begun again, however often.
    let mut world = World::begun("safe", steps, MANUAL);
    for _ in 0..5 {
        world.issued("a", Phase::Do);
        world.crash();
        assert_eq!(world.state(), RunState::Interrupted);
        world.answer("a", Phase::Check, says("down"));
        assert_eq!(world.state(), RunState::Running);
    }
    world.ok("a");
    assert_eq!(world.state(), RunState::Verifying);
    // A check that cannot tell is asked three times, then a person is.
    for answer in [
        status(503),
        serde_json::json!({ "status": 200, "body": {} }),
        serde_json::json!({ "status": 200, "body": { "state": null } }),
    ] {
        let mut world = silent();
        for _ in 0..3 {
            world.answer("a", Phase::Check, answer.clone());
            world.pass(secs(5));
        }
        assert_eq!(world.state(), RunState::NeedsHuman);
        assert_eq!(world.pages(), ["needs_human/a/1"]);
    }
    // Under way for longer than the step may take: a person too.
    let mut world = silent();
    for _ in 0..6 {
        world.answer("a", Phase::Check, says("busy"));
        world.pass(secs(5));
    }
    world.answer("a", Phase::Check, says("busy"));
    assert_eq!(world.state(), RunState::NeedsHuman);
}

#[test]
fn a_program_that_lived_on_is_adopted() {
    let steps = "- {id: a, kind: exec.argv, effect: once, timeout: 10m, with: {program: /opt/tool}}";
    let begun = || {
        let mut world = World::begun("safe", steps, MANUAL);
        let (key, _) = world.issued("a", Phase::Do);
        world.accept(Event::Issued { key: key.clone(), handle: Some("4711/99".to_owned()) });
        world.crash();
        assert!(world.orders.iter().any(|order| matches!(order, Order::Adopt { handle, .. } if handle == "4711/99")));
        (world, key)
    };
    let (mut world, key) = begun();
    world.accept(Event::Finished { key, outcome: Outcome::Answer(good()) });
    assert_eq!(world.state(), RunState::Verifying);
    let (mut world, key) = begun();
    world.accept(Event::Lost { key });
    assert_eq!(world.state(), RunState::NeedsHuman);
}

#[test]
fn waits_and_conditions_survive_a_crash() {
    let steps = "
- {id: a, kind: wait, effect: idempotent, with: {for: 2m}}
- {id: b, kind: metric.wait, effect: idempotent, timeout: 5m, with: {expr: ready, op: '>=', value: 3, hold: 30s, poll: 10s}}";
    let mut world = World::begun("read", steps, MANUAL);
    world.pass(secs(60));
    world.crash();
    world.pass(secs(20));
    assert_eq!(world.attempts("b", Phase::Do), []);
    world.pass(secs(60));
    assert_eq!(world.attempts("b", Phase::Do), [AttemptState::Issued]);
    use tocsin_core::run::machine::Seen;
    world.sees(secs(20), |_| Seen::Value(3.0));
    // What was seen before a crash is not known to hold still.
    world.crash();
    world.sees(secs(25), |_| Seen::Value(3.0));
    assert_eq!(world.attempts("b", Phase::Do), [AttemptState::Issued]);
    world.sees(secs(40), |step| if step == "b" { Seen::Value(3.0) } else { Seen::NoData });
    assert_eq!(world.attempts("b", Phase::Do), [AttemptState::Succeeded]);
    // Never enough: the step fails in its time.
    let mut world = World::begun(
        "read",
        "- {id: b, kind: metric.wait, effect: idempotent, timeout: 1m, with: {expr: ready, op: '>=', value: 3}}",
        MANUAL,
    );
    world.sees(secs(70), |_| Seen::Value(2.0));
    assert_eq!(world.attempts("b", Phase::Do), [AttemptState::Failed]);
}

#[test]
fn a_run_that_slept_past_its_lease_writes_nothing_and_asks_for_nothing() {
    let steps = [post("a", "idempotent", ""), post("b", "idempotent", "")].join("\n");
    let mut world = World::begun("safe", &steps, MANUAL);
    let (key, _) = world.issued("a", Phase::Do);
    let lease = world.stored.run.as_ref().unwrap().lease_until.unwrap();
    assert!(world.stored.clone().take("node-b", lease - Span(1)).is_none(), "the lease holds");
    // Another process takes over; the first one wakes up late.
    let mut sleeper = std::mem::replace(
        &mut world.run,
        Run::request(world.runbook.clone(), "x", by_person(&world.runbook), "e", "n", inventory(), world.now),
    );
    world.crash();
    let late = Event::Finished { key, outcome: Outcome::Answer(good()) };
    assert_eq!(sleeper.accept(late.clone(), world.now), Err(Refused::LeaseLost));
    assert!(sleeper.tick(world.now, &mut || 0.5).is_empty());
    assert_eq!(sleeper.next_deadline(), None);
    // Had it been asleep only between its tick and the store, the fence would have refused it.
    let mut world = World::begun("safe", &steps, MANUAL);
    let (key, _) = world.issued("a", Phase::Do);
    world.run.accept(Event::Finished { key, outcome: Outcome::Answer(good()) }, world.now).unwrap();
    let batch = world.run.tick(world.now, &mut || 0.5);
    assert!(!batch.orders.is_empty());
    world.crash();
    let before = format!("{:?}", world.stored);
    assert!(!world.stored.apply(&batch));
    assert_eq!(before, format!("{:?}", world.stored));
}

#[test]
fn a_lease_is_prolonged_while_the_run_lives_and_covers_what_is_never_repeated() {
    let world = World::begun("safe", &post("a", "once", "").replace("10s", "20m"), MANUAL);
    let Some(Order::Issue { before, .. }) = world.orders.iter().find(|order| matches!(order, Order::Issue { .. })).cloned()
    else {
        panic!()
    };
    let until = world.stored.run.as_ref().unwrap().lease_until.unwrap();
    assert!(until - world.now >= Span::from_mins(20));
    assert!(before <= until - Span::from_mins(20), "an answer in time comes in under the lease");
    let mut world = World::begun("safe", &post("a", "idempotent", "").replace("10s", "20m"), MANUAL);
    for _ in 0..20 {
        world.pass(secs(30));
        assert!(world.stored.run.as_ref().unwrap().lease_until.unwrap() > world.now);
    }
}

#[test]
fn an_approval_is_bound_to_the_run_and_to_others_than_its_starter() {
    let rest = ALERT.to_owned();
    let runbook = runbook("safe", &post("a", "idempotent", ""), &rest);
    let mut world = World::new(runbook.clone(), by_alert(&runbook));
    world.tick();
    world.give_facts();
    assert_eq!(world.state(), RunState::Waiting);
    assert_eq!(world.run.row().waiting, Some(WaitFor::Approval));
    let Some(Order::AskApproval { subject_hash, count: 1, .. }) = world.orders.pop() else { panic!() };
    let vote = |who: &str, role, hash: &str, verdict| Event::Vote {
        step: String::new(),
        subject_hash: hash.to_owned(),
        who: who.to_owned(),
        role,
        verdict,
        via: "chat".to_owned(),
        mfa: false,
    };
    let yes = Vote::Approve;
    assert_eq!(world.try_accept(vote("lea", Role::SreLead, "old", yes)), Err(Refused::OtherSubject));
    assert!(matches!(world.try_accept(vote("edna", Role::SreLead, &subject_hash, yes)), Err(Refused::MayNot(_))), "the editor");
    assert!(matches!(world.try_accept(vote("rob", Role::Responder, &subject_hash, yes)), Err(Refused::MayNot(_))));
    world.crash();
    world.give_facts();
    assert!(matches!(world.orders.pop(), Some(Order::AskApproval { .. })), "it is asked for again after a restart");
    world.accept(vote("lea", Role::SreLead, &subject_hash, yes));
    assert_eq!(world.try_accept(vote("lea", Role::SreLead, &subject_hash, yes)), Err(Refused::Voted { who: "lea".to_owned() }));
    assert!(world.orders.iter().any(|order| matches!(order, Order::Gather(_))), "the guards look again");
    world.give_facts();
    assert_eq!(world.state(), RunState::Running);
    assert_eq!(world.try_accept(vote("max", Role::SreLead, &subject_hash, yes)), Err(Refused::NotAsked));
    // A no is a refusal.
    let mut world = World::new(runbook.clone(), by_alert(&runbook));
    world.tick();
    world.give_facts();
    world.accept(vote("lea", Role::SreLead, &subject_hash, Vote::Deny));
    world.give_facts();
    assert_eq!((world.state(), world.run.row().refused_by), (RunState::Refused, Some(Guard::Approvals)));
    assert!(world.run.is_over());
}

#[test]
fn an_approval_that_nobody_gives_escalates_once_and_then_is_a_refusal() {
    let runbook = runbook("safe", &post("a", "idempotent", ""), ALERT);
    let mut world = World::new(runbook.clone(), by_alert(&runbook));
    world.tick();
    world.give_facts();
    world.pass(Span(Span::from_mins(10).0 - 1));
    assert_eq!(world.pages(), [""; 0]);
    world.pass(Span(1));
    assert_eq!(world.pages(), ["approval"]);
    world.pass(Span::from_mins(9));
    assert_eq!(world.state(), RunState::Waiting);
    world.pass(Span::from_mins(1));
    assert_eq!((world.state(), world.run.row().refused_by), (RunState::Refused, Some(Guard::Approvals)));
}

#[test]
fn people_settle_tasks_and_approve_steps() {
    let steps = "
- {id: task, kind: human.task, effect: idempotent, timeout: 1h, with: {title: look, evidence: true, roles: [operator]}, save: {by: {path: /by, type: enum, values: [olga]}}}
- {id: agree, kind: approval, effect: idempotent, timeout: 1h, with: {count: 2, roles: [sre-lead], expires: 5m}}";
    let mut world = World::begun("read", steps, MANUAL);
    let key = |world: &mut World| {
        let at = world.orders.iter().position(|order| matches!(order, Order::AskHuman { .. })).expect("people are asked");
        match world.orders.remove(at) {
            Order::AskHuman { key, .. } => key,
            _ => unreachable!(),
        }
    };
    key(&mut world);
    world.crash();
    let task = key(&mut world);
    let done = |role, evidence: &str| Event::HumanDone {
        key: task.clone(),
        by: "olga".to_owned(),
        role,
        done: true,
        evidence: evidence.to_owned(),
    };
    assert!(matches!(world.try_accept(done(Role::Responder, "seen")), Err(Refused::MayNot(_))));
    assert_eq!(world.try_accept(done(Role::Operator, " ")), Err(Refused::Evidence));
    // Nobody else ends a task.
    assert!(world.try_accept(Event::Finished { key: task.clone(), outcome: Outcome::Answer(good()) }).is_err());
    world.accept(done(Role::Operator, "all lamps are green"));
    assert_eq!(world.stored.attempts[&task].saved["by"], Value::Word("olga".to_owned()));
    let Some(Order::AskApproval { step, subject_hash, count: 2, .. }) = world.orders.pop() else { panic!() };
    let vote = |who: &str| Event::Vote {
        step: step.clone(),
        subject_hash: subject_hash.clone(),
        who: who.to_owned(),
        role: Role::SreLead,
        verdict: Vote::Approve,
        via: "web".to_owned(),
        mfa: true,
    };
    assert!(matches!(world.try_accept(vote("olga")), Err(Refused::MayNot(_))), "the starter");
    world.accept(vote("lea"));
    assert_eq!(world.attempts("agree", Phase::Do), [AttemptState::Issued]);
    world.pass(Span::from_mins(6));
    assert_eq!(world.pages(), ["approval/agree"]);
    world.accept(vote("max"));
    assert_eq!(world.attempts("agree", Phase::Do), [AttemptState::Succeeded]);
}

#[test]
fn a_lock_is_waited_for_and_given_back() {
    let rest = format!("guards: {{lock: {{key: k, on_busy: queue}}, daily_max: 9}}\n{MANUAL}");
    let runbook = runbook("safe", &post("a", "idempotent", ""), &rest);
    let mut world = World::new(runbook.clone(), by_person(&runbook));
    world.facts.lock_holder = Some("other".to_owned());
    world.tick();
    world.give_facts();
    assert_eq!(world.run.row().waiting, Some(WaitFor::Lock));
    world.pass(secs(15));
    assert!(world.orders.iter().any(|order| matches!(order, Order::Gather(_))));
    world.give_facts();
    world.facts.lock_holder = None;
    world.accept(Event::LockFreed);
    world.give_facts();
    assert_eq!(world.state(), RunState::Running);
    assert_eq!(world.stored.locks["k"], "run-1");
    assert_eq!(world.stored.rates.len(), 1);
    world.answer("a", Phase::Do, status(404));
    assert_eq!(world.state(), RunState::Failed);
    assert!(world.stored.locks.is_empty());
    // An hour is long enough.
    let mut world = World::new(runbook.clone(), by_person(&runbook));
    world.facts.lock_holder = Some("other".to_owned());
    world.tick();
    for _ in 0..250 {
        if world.state() != RunState::Waiting && world.state() != RunState::Requested {
            break;
        }
        world.give_facts();
        world.pass(secs(15));
    }
    assert_eq!((world.state(), world.run.row().refused_by), (RunState::Refused, Some(Guard::Lock)));
}

#[test]
fn a_dry_run_goes_no_further_than_the_guards() {
    let runbook = runbook("safe", &post("a", "idempotent", ""), MANUAL);
    let mut ask = by_person(&runbook);
    ask.dry_run = true;
    let mut world = World::new(runbook, ask);
    world.tick();
    world.give_facts();
    assert_eq!(world.state(), RunState::Succeeded);
    assert!(world.run.is_over() && world.stored.attempts.is_empty() && world.stored.locks.is_empty());
}
