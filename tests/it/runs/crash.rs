//! The crash matrix of a run: the process dies before and after every durable write and after every effect, and the run goes on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tocsin::clock::Stopwatch;

use super::room::{GOOD, Plan, Room, step};
use crate::harness::{SOON, soon};

const DOCUMENT: &str = "matrix";

/// Sets an end state, and counts how often it did.
const SET: &str =
    "#!/bin/sh\necho \"$TOCSIN_KEY\" >> FOLDER/count\necho \"$1\" > FOLDER/level.new\nmv FOLDER/level.new FOLDER/level\n";

fn plan() -> Plan {
    let spec = format!(
        r#"  class: disruptive
  triggers: [{{manual: {{roles: [sre-lead]}}}}]
  steps:
    - id: level
      kind: exec.argv
      effect: idempotent
      timeout: 20s
      with: {{program: FOLDER/set, args: [7]}}
      undo: {{kind: exec.argv, with: {{program: FOLDER/set, args: [0]}}}}
    - id: make
      kind: http.request
      effect: keyed
      timeout: 5s
      with: {{method: POST, url: 'http://FAR/make', key_header: Idempotency-Key, body: {{size: 3}}}}
      undo: {{kind: http.request, with: {{method: POST, url: 'http://FAR/unmake'}}}}
    - id: charge
      kind: http.request
      effect: once
      timeout: 5s
      with: {{method: POST, url: 'http://FAR/charge'}}
      undo: none
    - id: rest
      kind: wait
      effect: idempotent
      with: {{for: 200ms}}
    - id: tell
      kind: page.send
      effect: keyed
      with: {{policy: night, summary: the matrix was run, urgency: info}}
{GOOD}"#
    );
    Plan { programs: vec![("set", SET)], ..Plan::default() }.runbook(DOCUMENT, &spec)
}

/// Asks for the run; one reference makes it one run, however often it is asked for. None: nobody answered.
async fn ask(room: &Room) -> Option<String> {
    let url = room.service.url(&format!("/api/tocsin/v1/runbooks/{DOCUMENT}/runs"));
    let answer = room.service.client.post(url).json(&json!({ "reference": "one" })).send().await.ok()?;
    let run: Value = answer.json().await.ok()?;
    Some(run["id"].as_str()?.to_owned())
}

async fn state(room: &Room, id: &str) -> Option<String> {
    let answer = room.service.client.get(room.service.url(&format!("/api/tocsin/v1/runs/{id}"))).send().await.ok()?;
    let run: Value = answer.json().await.ok()?;
    Some(run["state"].as_str()?.to_owned())
}

/// What came of one death.
#[derive(Debug, PartialEq)]
enum Fate {
    /// The point was never passed so often.
    Survived,
    WentOn,
    InDoubt,
}

fn charges(room: &Room) -> usize {
    room.far.hits("/charge").len()
}

/// Checks what must hold of a run that ended well.
async fn check_ended(room: &Room, case: &str, run: &Value) {
    assert_eq!(run["state"], "succeeded", "{case}: {} ({})", run["state"], run["reason"]);
    assert_eq!(room.marked("level"), "7\n", "{case}: the end state of what is idempotent");
    assert_eq!(room.far.objects(), 1, "{case}: one object for one key");
    let told = soon("the page of the last step", async || {
        let told = room.told("the matrix was run").await;
        (!told.is_empty()).then_some(told)
    })
    .await;
    assert_eq!(told.len(), 1, "{case}: one page for one key: {told:?}");
    assert_eq!(room.runs_of(DOCUMENT).await.len(), 1, "{case}: one reference is one run");
}

/// Has a person settle the step in doubt, in one of the three ways.
async fn settle(room: &Room, case: &str, number: u32, id: &str, run: &Value) {
    assert_eq!(run["needs"]["settle"], json!(["charge"]), "{case}: {run:#}");
    assert_eq!(step(run, "charge")["state"], "unknown", "{case}");
    room.is_told(id).await;
    let before = charges(room);
    let (status, said) = room.say(id, "settle", json!({ "step": "level", "verdict": "done" })).await;
    assert_eq!(status, 409, "{case}: what is not in doubt cannot be settled: {said}");
    let (verdict, more) = [("done", 0), ("retry", 1), ("undo", 0)][number as usize % 3];
    let (status, said) = room.say(id, "settle", json!({ "step": "charge", "verdict": verdict })).await;
    assert_eq!(status, 200, "{case}: {said}");
    if verdict == "undo" {
        room.in_state(id, "undone").await;
        assert_eq!(room.marked("level"), "0\n", "{case}: the way back");
        assert_eq!(room.far.objects(), 0, "{case}: nothing that was made is left");
        assert_eq!(charges(room), before, "{case}");
        return;
    }
    let run = room.in_state(id, "succeeded").await;
    check_ended(room, case, &run).await;
    assert_eq!(charges(room), before + more, "{case}: settled by {verdict}");
}

/// Dies at the `number`-th passing of a point in the course of a run, and goes on.
async fn die_at(point: &str, number: u32) -> Fate {
    let case = format!("{point}:{number}");
    let mut room = Room::prepare(plan()).await;
    room.service.launch(&["--crash-at".to_owned(), case.clone()]);
    room.service.wait_until_ready().await;
    let first = ask(&room).await;
    let watch = Stopwatch::start();
    let mut ended = false;
    while room.service.is_running() && !ended {
        assert!(watch.elapsed() < SOON, "{case}: the run neither ends nor dies");
        tokio::time::sleep(Duration::from_millis(50)).await;
        ended = match &first {
            Some(id) => state(&room, id).await.as_deref() == Some("succeeded"),
            None => false,
        };
    }
    if ended {
        let run = room.run(first.as_deref().expect("it has ended")).await;
        check_ended(&room, &case, &run).await;
        assert_eq!(charges(&room), 1, "{case}");
        // The last write may come a moment behind what it tells.
        tokio::time::sleep(Duration::from_millis(300)).await;
        if room.service.is_running() {
            return Fate::Survived;
        }
    }
    room.service.forget();
    let before = charges(&room);
    assert!(before <= 1, "{case}: charged {before} times before the death");
    room.service.restart().await;
    let id = ask(&room).await.expect("it answers");
    assert!(first.is_none_or(|first| first == id), "{case}: one reference is one run");
    let run = room.at_rest(&id).await;
    assert!(charges(&room) <= 1, "{case}: charged {} times", charges(&room));
    if run["state"] == "needs_human" {
        settle(&room, &case, number, &id, &run).await;
        return Fate::InDoubt;
    }
    check_ended(&room, &case, &run).await;
    assert_eq!(charges(&room), 1, "{case}: nobody was asked, so it happened");
    Fate::WentOn
}

/// Dies at every passing of a point until there are no more, so many at a time; returns what came of each.
async fn die_everywhere(point: &str, at_once: usize) -> Vec<(u32, Fate)> {
    let (next, fates) = (AtomicU32::new(1), Mutex::new(Vec::new()));
    let worker = async || {
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            let fate = die_at(point, number).await;
            let over = fate == Fate::Survived;
            fates.lock().expect("nobody panics with it").push((number, fate));
            if over {
                return;
            }
        }
    };
    futures_util::future::join_all((0..at_once).map(|_| worker())).await;
    let mut fates = fates.into_inner().expect("nobody panics with it");
    fates.sort_by_key(|(number, _)| *number);
    println!("{point}: {fates:?}");
    fates
}

fn count(fates: &[(u32, Fate)], wanted: &Fate) -> usize {
    fates.iter().filter(|(_, fate)| fate == wanted).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dying_around_any_record_and_behind_any_effect_repeats_nothing_and_loses_nothing() {
    let (before, after, effects) = tokio::join!(
        die_everywhere("before-run-record", 2),
        die_everywhere("after-run-record", 2),
        die_everywhere("after-run-effect", 1),
    );
    for fates in [&before, &after] {
        // Each of four steps is meant, issued and ended, and there is what comes before and behind them.
        assert!(count(fates, &Fate::WentOn) + count(fates, &Fate::InDoubt) >= 10, "{fates:?}");
        assert!(count(fates, &Fate::InDoubt) >= 1, "{fates:?}");
    }
    // Four steps reach outside; of one of them nobody knows then whether it did.
    assert_eq!((count(&effects, &Fate::WentOn), count(&effects, &Fate::InDoubt)), (3, 1), "{effects:?}");
}
