//! Runs under way: what people do for them and to them, what an edit changes, and a process that sleeps too long.

use std::time::Duration;

use serde_json::{Value, json};

use super::room::{BY_HAND, GOOD, Plan, Room, step};
use crate::harness::{soon, within};

fn request(id: &str, path: &str) -> String {
    format!("{{id: {id}, kind: http.request, effect: idempotent, timeout: 60s, with: {{url: 'http://FAR{path}'}}, undo: none}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_do_their_part_or_say_that_they_will_not() {
    let task = "{id: look, kind: human.task, effect: idempotent, timeout: 10m, with: {title: Look at the shop, instructions: By eye, evidence: \
                true}}";
    let spec = format!("  class: disruptive\n{BY_HAND}  steps: [{task}, {}]\n{GOOD}", request("then", "/then"));
    let asks = format!(
        "  class: disruptive\n{BY_HAND}  steps: [{{id: ask, kind: approval, effect: idempotent, timeout: 10m, with: {{count: 1, expires: 5m}}}}, \
         {}]\n{GOOD}",
        request("then", "/never")
    );
    let mut room = Room::start(Plan::default().runbook("task", &spec).runbook("asks", &asks)).await;
    let id = room.begin("task", json!({})).await;
    let asked = |run: &Value| run["needs"]["human"][0].clone();
    let shown = soon("the task", async || Some(asked(&room.run(&id).await)).filter(|task| !task.is_null())).await;
    assert_eq!((&shown["title"], &shown["evidence"], &shown["may_do"]), (&json!("Look at the shop"), &json!(true), &json!(true)));
    room.is_told("needs you: Look at the shop").await;
    // It waits for people over a restart.
    room.service.kill().await;
    room.service.restart().await;
    let shown = soon("the task", async || Some(asked(&room.run(&id).await)).filter(|task| !task.is_null())).await;
    let answer =
        |done: bool, evidence: &str| json!({ "step": "look", "attempt": shown["attempt"], "done": done, "evidence": evidence });
    let (status, said) = room.say(&id, "human", answer(true, " ")).await;
    assert_eq!((status, said["detail"].to_string().contains("evidence")), (409, true), "{said}");
    let (status, _) = room.say(&id, "human", json!({ "step": "then", "attempt": 1, "done": true, "evidence": "x" })).await;
    assert_eq!(status, 409, "no such task");
    assert!(room.far.hits("/then").is_empty());
    assert_eq!(room.say(&id, "human", answer(true, "the shelves are full")).await.0, 200);
    let run = room.in_state(&id, "succeeded").await;
    assert!(step(&run, "look")["phase_rows"].to_string().contains("the shelves are full"), "{run}");
    assert_eq!(room.say(&id, "human", answer(true, "again")).await.0, 409);

    let id = room.begin("task", json!({})).await;
    soon("the task", async || Some(asked(&room.run(&id).await)).filter(|task| !task.is_null())).await;
    assert_eq!(room.say(&id, "human", json!({ "step": "look", "attempt": 1, "done": false })).await.0, 200);
    let run = room.in_state(&id, "failed").await;
    assert!(step(&run, "look")["phase_rows"].to_string().contains("did not do it"), "{run}");
    assert_eq!(room.far.hits("/then").len(), 1);

    // A step that asks for approval is not approved by whoever started the run.
    let id = room.begin("asks", json!({})).await;
    let needs =
        soon("the question", async || Some(room.run(&id).await["needs"]["approvals"].clone()).filter(|asked| !asked.is_null()))
            .await;
    assert_eq!((&needs["step"], &needs["may_vote"]), (&json!("ask"), &json!(false)), "{needs}");
    let vote = json!({ "verdict": "approve", "subject_hash": needs["subject_hash"], "step": "ask" });
    assert_eq!(room.say(&id, "approve", vote).await.0, 403);
    assert_eq!(room.say(&id, "cancel", json!({})).await.0, 200);
    room.in_state(&id, "undone").await;
    assert!(room.far.hits("/never").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_run_begins_nothing_and_an_edit_changes_no_run_under_way() {
    let spec = |last: &str| {
        format!("  class: disruptive\n{BY_HAND}  steps: [{}, {}]\n{GOOD}", request("first", "/held/first"), request("last", last))
    };
    let mut room = Room::start(Plan::default().runbook("edited", &spec("/old")).runbook("gone", &spec("/gone"))).await;
    let (edited, gone) = (room.begin("edited", json!({})).await, room.begin("gone", json!({})).await);
    soon("both are in the middle", async || (room.far.hits("/held/first").len() == 2).then_some(())).await;
    assert_eq!(room.say(&edited, "pause", json!({})).await.0, 200);
    assert_eq!(room.say(&edited, "pause", json!({})).await.0, 409);
    let file = room.service.path("run-edited.yml");
    let text = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, text.replace("/old", "/new")).expect("the folder takes files");
    std::fs::remove_file(room.service.path("run-gone.yml")).expect("a file");
    let hash = room.service.get("/api/tocsin/v1/runbooks/edited").await["hash"].clone();
    room.service.post("/-/reload", &json!({})).await;
    let document = room.service.get("/api/tocsin/v1/runbooks/edited").await;
    assert_ne!(document["hash"], hash);
    assert_eq!(room.service.send(reqwest::Method::GET, "/api/tocsin/v1/runbooks/gone", None).await.0, 404);
    room.service.kill().await;
    room.service.restart().await;
    room.far.let_go();
    room.in_state(&gone, "succeeded").await;
    assert_eq!(room.far.hits("/gone").len(), 1, "a run goes on with the document that it was asked for");
    let run = room.run(&edited).await;
    assert_eq!((&run["state"], room.far.hits("/old").len()), (&json!("paused"), 0), "{}", run["reason"]);
    assert_eq!(room.say(&edited, "resume", json!({})).await.0, 200);
    let run = room.in_state(&edited, "succeeded").await;
    assert_eq!((&run["document"]["hash"], room.far.hits("/old").len(), room.far.hits("/new").len()), (&hash, 1, 0));
    room.whole("edited", json!({})).await;
    assert_eq!(room.far.hits("/new").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_slept_past_its_lease_takes_its_runs_anew() {
    let waits = "{id: pause, kind: wait, effect: idempotent, with: {for: 20s}}";
    let spec = format!(
        "  class: disruptive\n{BY_HAND}  steps: [{waits}, {}, {}]\n{GOOD}",
        request("long", "/held/sleep"),
        request("last", "/last")
    );
    let held = format!(
        "  class: disruptive\n{BY_HAND}  steps: [{}, {}]\n{GOOD}",
        request("long", "/held/two"),
        request("last", "/last")
    );
    let room = Room::start(Plan::default().runbook("waits", &spec).runbook("held", &held)).await;
    let (waits, held) = (room.begin("waits", json!({})).await, room.begin("held", json!({})).await);
    soon("it is in the middle", async || (!room.far.hits("/held/two").is_empty()).then_some(())).await;
    room.service.signal("STOP").await;
    // Longer than a lease, which began a moment ago.
    tokio::time::sleep(Duration::from_secs(33)).await;
    room.service.signal("CONT").await;
    // What may be repeated is begun again, since nobody knows what became of it.
    soon("it begins again", async || (room.far.hits("/held/two").len() == 2).then_some(())).await;
    room.far.let_go();
    for id in [&waits, &held] {
        within(Duration::from_secs(40), "it goes on", async || (room.run(id).await["state"] == "succeeded").then_some(())).await;
    }
    assert_eq!(room.far.hits("/last").len(), 2, "each step that is over is over");
}
