//! A machine that dies before and after every record and every effect.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_core::run::machine::{Event, Outcome, Run, Seen};
use tocsin_core::run::record::{AttemptKey, AttemptState, Order, Phase, RunState, UndoState};
use tocsin_core::run::request::Request;
use tocsin_core::time::Timestamp;

use super::world::{START, Stored, by_person, inventory, runbook, secs};

const STEPS: &str = "
- {id: scale, kind: http.request, effect: idempotent, with: {method: PUT, url: 'https://api.example/scale', body: {to: 50}}}
- id: create
  kind: http.request
  effect: keyed
  with: {url: 'https://api.example/objects', key_header: Idempotency-Key}
  undo: {kind: http.request, with: {method: DELETE, url: 'https://api.example/objects'}}
- id: move
  kind: exec.argv
  effect: probe
  with: {program: /opt/tool, args: [move]}
  check: {kind: http.check, with: {url: 'https://api.example/moved', expect: [{path: /body/moved, value: true}]}}
- {id: tell, kind: http.request, effect: once, with: {url: 'https://api.example/sms'}}
- {id: floor, kind: http.request, effect: idempotent, with: {method: PUT, url: 'https://api.example/floor', body: {to: 5}}}";
const REST: &str = "triggers: [{manual: {roles: [operator]}}]\nverify: [{expr: up, op: '==', value: 1, hold: 10s, within: 50h}]\nguards: {total_timeout: 100h}";

/// The other side, which no crash of ours touches.
#[derive(Default)]
struct Remote {
    scale: u64,
    floor: u64,
    objects: BTreeSet<String>,
    moves: u32,
    texts: u32,
    pages: BTreeSet<String>,
}

impl Remote {
    fn carry_out(&mut self, idem_key: &str, request: &Request) -> serde_json::Value {
        match request {
            Request::Http { url, headers, body, .. } => {
                let to = body.as_ref().and_then(|body| body["to"].as_u64()).unwrap_or(0);
                match url.rsplit('/').next().unwrap() {
                    "scale" => self.scale = to,
                    "floor" => self.floor = to,
                    "objects" => {
                        let key = serde_json::to_value(&headers["idempotency-key"]).unwrap();
                        assert_eq!(key["literal"], idem_key);
                        self.objects.insert(idem_key.to_owned());
                    }
                    "sms" => self.texts += 1,
                    "moved" => return serde_json::json!({ "status": 200, "body": { "moved": self.moves > 0 } }),
                    other => panic!("{other}"),
                }
                serde_json::json!({ "status": 200, "body": {} })
            }
            Request::Exec { argv, .. } => {
                assert_eq!(argv, &["/opt/tool", "move"]);
                self.moves += 1;
                serde_json::json!({ "exit": 0 })
            }
            Request::Page { .. } => {
                self.pages.insert(idem_key.to_owned());
                serde_json::json!({})
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Dies at the points that it is told, by their number, or by dice.
struct Death {
    at: Option<usize>,
    seed: u64,
    per_mille: u64,
    passed: usize,
    deaths: usize,
}

impl Death {
    fn strikes(&mut self) -> bool {
        self.passed += 1;
        let by_number = self.at == Some(self.passed);
        // A linear congruential generator: repeatable, and that is all that is asked of it.
        self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let dies = by_number || (self.seed >> 33) % 1000 < self.per_mille;
        self.deaths += usize::from(dies);
        dies
    }

    fn random(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.seed >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Returns the other side and the stored rows at the end; `silent` answers of the other side get lost on the way.
fn simulate(mut death: Death, silent: u64) -> (Remote, Stored, Death) {
    let runbook = runbook("safe", STEPS, REST);
    let (mut remote, mut stored, mut now) = (Remote::default(), Stored::default(), START);
    let mut fresh = Some(Run::request(runbook.clone(), "run-1", by_person(&runbook), "edna", "a", inventory(), now));
    'life: for life in 0..1000 {
        let mut run = match (stored.run.is_some(), fresh.take()) {
            (false, Some(run)) => run,
            // Nothing was stored before the first death, so the one who asked asks again.
            (false, None) => Run::request(runbook.clone(), "run-1", by_person(&runbook), "edna", "a", inventory(), now),
            (true, _) => {
                now = now.max(stored.run.as_ref().unwrap().lease_until.unwrap());
                let records = stored.take(&format!("node-{life}"), now).unwrap();
                Run::restore(runbook.clone(), records, inventory(), now).unwrap()
            }
        };
        for _ in 0..10_000 {
            let batch = run.tick(now, &mut || death.random());
            if death.strikes() {
                continue 'life;
            }
            assert!(stored.apply(&batch));
            if death.strikes() {
                continue 'life;
            }
            if stored.run.as_ref().unwrap().state == RunState::NeedsHuman && batch.orders.is_empty() && !has_open_page(&stored) {
                return (remote, stored, death);
            }
            if run.is_over() {
                return (remote, stored, death);
            }
            for order in batch.orders {
                let event = match order {
                    Order::Gather(_) => {
                        Event::Facts(Box::new(tocsin_core::run::guard::Facts { inventory: inventory(), ..Default::default() }))
                    }
                    Order::Issue { key, idem_key, request, before, .. } => {
                        if now >= before {
                            Event::NotIssued { key }
                        } else {
                            // What leaves stands as an intent in the store.
                            assert_eq!(stored.attempts[&key].state, AttemptState::Intent);
                            assert_way_back_is_stored(&stored, &key);
                            let answer = remote.carry_out(&idem_key, &request);
                            if death.strikes() {
                                continue 'life;
                            }
                            let lost = key.phase == Phase::Do && key.step != "tell" && (death.seed >> 40) % 100 < silent;
                            let outcome = if lost { Outcome::Unknown("lost".to_owned()) } else { Outcome::Answer(answer) };
                            Event::Finished { key, outcome }
                        }
                    }
                    Order::Observe { key, .. } => Event::Observed { key, seen: Seen::Value(1.0) },
                    Order::Cancel { .. } => continue,
                    other => panic!("{other:?}"),
                };
                // An answer that nobody waits for any more is no harm.
                let _ = run.accept(event, now);
                if death.strikes() {
                    continue 'life;
                }
            }
            now = match run.next_deadline() {
                Some(Timestamp::MIN) => now,
                Some(next) => next.max(now + tocsin_core::time::Span(1)),
                None => now + secs(1),
            };
        }
        panic!("the run does not end");
    }
    panic!("too many lives");
}

fn has_open_page(stored: &Stored) -> bool {
    let open = |state| matches!(state, AttemptState::Pending | AttemptState::Intent | AttemptState::Issued);
    stored.attempts.values().any(|one| one.key.phase == Phase::Page && open(one.state))
}

fn assert_way_back_is_stored(stored: &Stored, key: &AttemptKey) {
    if key.step == "create" && key.phase == Phase::Do {
        assert!(stored.undos.values().any(|undo| undo.step_id == "create" && undo.state == UndoState::Armed));
    }
}

#[track_caller]
fn assert_promises(remote: &Remote, stored: &Stored) {
    let run = stored.run.as_ref().unwrap();
    assert!(remote.texts <= 1, "once happened {} times", remote.texts);
    assert!(remote.moves <= 1, "what a check can tell happened {} times", remote.moves);
    assert!(remote.objects.len() <= 1, "{:?}", remote.objects);
    match run.state {
        RunState::Succeeded => {
            assert_eq!((remote.scale, remote.floor, remote.moves, remote.texts), (50, 5, 1, 1));
            assert_eq!(remote.objects.len(), 1);
            assert!(remote.pages.is_empty());
            assert!(stored.undos.values().all(|undo| undo.state == UndoState::Released));
        }
        RunState::NeedsHuman => {
            assert!(run.reason.starts_with("step tell "), "{}", run.reason);
            assert_eq!(remote.pages.len(), 1, "{:?}", remote.pages);
            assert_eq!(remote.floor, 0);
        }
        state => panic!("{state:?}: {}", run.reason),
    }
}

#[test]
fn a_death_at_every_point_repeats_nothing_that_must_not_be_repeated() {
    let calm = Death { at: None, seed: 1, per_mille: 0, passed: 0, deaths: 0 };
    let (remote, stored, calm) = simulate(calm, 0);
    assert_eq!(stored.run.as_ref().unwrap().state, RunState::Succeeded);
    assert_promises(&remote, &stored);
    assert!(calm.passed > 30, "{} points", calm.passed);
    let mut ends = BTreeMap::new();
    for at in 1..=calm.passed {
        let (remote, stored, death) = simulate(Death { at: Some(at), seed: 1, per_mille: 0, passed: 0, deaths: 0 }, 0);
        assert_eq!(death.deaths, 1, "point {at} was not reached");
        assert_promises(&remote, &stored);
        *ends.entry(stored.run.unwrap().state.word()).or_insert(0) += 1;
    }
    // In doubt is only what was asked for and not yet answered: after the intent is stored until the answer is.
    let doubts = ends["needs_human"];
    assert!((2..=5).contains(&doubts), "{ends:?}");
    assert_eq!(ends.len(), 2, "{ends:?}");
}

#[test]
fn deaths_and_lost_answers_at_random_break_no_promise() {
    for seed in 0..400 {
        let (remote, stored, _) = simulate(Death { at: None, seed, per_mille: 60, passed: 0, deaths: 0 }, 0);
        println!("seed {seed}: {}", stored.run.as_ref().unwrap().state.word());
        assert_promises(&remote, &stored);
    }
}

#[test]
fn silence_is_no_definite_failure() {
    let mut failed = 0;
    for seed in 0..200 {
        let (remote, stored, _) = simulate(Death { at: None, seed, per_mille: 20, passed: 0, deaths: 0 }, 30);
        assert!(remote.texts <= 1 && remote.moves <= 1 && remote.objects.len() <= 1, "seed {seed}");
        failed += usize::from(stored.run.unwrap().state != RunState::Succeeded);
    }
    assert!(failed > 20, "no answer was lost");
}
