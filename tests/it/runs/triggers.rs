//! What starts runs: alerts, webhooks, schedules, other runs. Each wish is one run, whoever dies in between.

use std::path::Path;

use serde_json::{Value, json};
use tocsin::clock;
use tocsin::db::Db;
use tocsin_core::run::record::ScheduleFireRow;
use tocsin_core::run::runbook::hex;
use tocsin_core::run::schedule::FireOutcome;
use tocsin_core::run::webhook::hmac;
use tocsin_core::time::{Span, Timestamp};

use super::room::{BY_HAND, GOOD, Plan, Room, step};
use crate::harness::soon;

fn sends(trigger: &str, path: &str) -> String {
    format!(
        "  class: disruptive\n  triggers: [{trigger}]\n  steps: [{{id: send, kind: http.request, effect: idempotent, with: {{url: \
         'http://FAR{path}'}}}}]\n{GOOD}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_asks_for_one_run_over_all_restarts_and_a_silenced_one_for_none() {
    let rules = "groups: [{name: shops, rules: [{alert: ShopSick, expr: 'shop_sick == 1'}]}]\n".to_owned();
    let plan = Plan { rules, ..Plan::default() }
        .runbook("asked", &sends("{alert: {name: ShopSick, match: {shop: main}, mode: approve}}", "/asked"))
        .runbook("hushed", &sends("{alert: {name: ShopSick, match: {shop: hushed}, mode: approve}}", "/hushed"))
        .runbook("offered", &sends("{alert: {name: ShopSick, match: {shop: main}, mode: suggest}}", "/offered"))
        .runbook("disabled", &sends("{alert: {name: ShopSick, match: {shop: main}, mode: disabled}}", "/off"));
    let mut room = Room::start(plan).await;
    let now = clock::now();
    let silence = json!({
        "matchers": [{ "name": "shop", "value": "hushed", "isRegex": false, "isEqual": true }], "createdBy": "ada", "comment": "at it",
        "startsAt": now.rfc3339(), "endsAt": (now + Span::from_mins(60)).rfc3339(),
    });
    room.service.post("/api/v2/silences", &silence).await;
    room.exporter.set(r#"shop_sick{shop="hushed"}"#, 1.0);
    soon("the silenced alert fires", async || room.service.alerts("ShopSick").await.into_iter().next()).await;
    room.exporter.set(r#"shop_sick{shop="main"}"#, 1.0);
    let run = room.has_runs("asked", 1).await.remove(0);
    let id = run["id"].as_str().expect("an id").to_owned();
    for _ in 0..3 {
        let run = room.in_state(&id, "waiting").await;
        assert_eq!(
            (&run["waiting"], &run["mode"], &run["trigger"]["kind"]),
            (&json!("approval"), &json!("approve"), &json!("alert"))
        );
        assert_eq!(room.runs_of("asked").await.len(), 1);
        room.service.kill().await;
        room.service.restart().await;
    }
    room.is_told("Story asked waits until").await;
    for (id, count) in [("asked", 1), ("hushed", 0), ("offered", 0), ("disabled", 0)] {
        assert_eq!(room.runs_of(id).await.len(), count, "{id}");
    }
    let alert =
        room.service.alerts("ShopSick").await.into_iter().find(|alert| alert["labels"]["shop"] == "main").expect("it fires");
    let path = format!("/api/tocsin/v1/suggestions?alert={}", alert["fingerprint"].as_str().expect("a text"));
    let suggestions = room.service.get(&path).await;
    let offered: Vec<&Value> = suggestions["suggestions"].as_array().expect("a list").iter().map(|one| &one["doc_id"]).collect();
    assert_eq!(offered, ["asked", "offered"], "{suggestions}");
    let needs = room.in_state(&id, "waiting").await["needs"]["approvals"].clone();
    let vote = json!({ "verdict": "approve", "subject_hash": needs["subject_hash"] });
    assert_eq!(room.say(&id, "approve", vote).await.0, 200);
    room.in_state(&id, "succeeded").await;
    assert_eq!(room.far.hits("/asked").len(), 1);
    // The same alert that ends and begins again is another wish.
    room.exporter.set(r#"shop_sick{shop="main"}"#, 0.0);
    soon("it has ended", async || {
        let alerts = room.service.alerts("ShopSick").await;
        alerts.iter().all(|one| one["labels"]["shop"] != "main" || one["state"] == "resolved").then_some(())
    })
    .await;
    room.exporter.set(r#"shop_sick{shop="main"}"#, 1.0);
    room.has_runs("asked", 2).await;
}

const SECRET: &str = "a shared word";

/// Posts a delivery to a webhook, signed with a secret; returns the status and the answer.
async fn deliver(room: &Room, source: &str, delivery: &str, at: Timestamp, secret: &str, body: &str) -> (u16, Value) {
    let seconds = (at.0 / 1000).to_string();
    let parts = [seconds.as_bytes(), b".", delivery.as_bytes(), b".", body.as_bytes()];
    let signature = format!("sha256={}", hex(&hmac(secret.as_bytes(), &parts)));
    let request = room.service.client.post(room.service.url(&format!("/api/tocsin/v1/hooks/{source}")));
    let request = request.header("x-tocsin-timestamp", seconds).header("x-tocsin-delivery", delivery);
    let answer = request.header("x-tocsin-signature", signature).body(body.to_owned()).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_begins_a_run_when_it_is_genuine_fresh_and_not_too_much() {
    let spec = format!(
        "  class: disruptive\n  params: {{level: {{type: int, min: 1, max: 9, required: true}}}}\n  triggers: [{{webhook: {{source: ci, \
         hmac_secret: hook, mode: approve, params: {{level: {{from: body, path: /level}}}}}}}}]\n  steps: [{{id: send, kind: http.request, \
         effect: idempotent, with: {{url: 'http://FAR/hook', body: {{level: {{param: level}}}}}}}}]\n{GOOD}"
    );
    // What asks who is calling lets a webhook in by its signature alone.
    let plan = Plan { auth: true, ..Plan::default() }
        .runbook("hooked", &spec)
        .act(&format!("secrets: [{{name: hook, value: {SECRET}}}]"));
    let mut room = Room::start(plan).await;
    let admin = crate::access::Browser::log_in(&room.service, "admin", &room.service.first_password()).await;
    let token = json!({ "name": "story", "role": "sre-lead" });
    let (_, made) = admin.ask(reqwest::Method::POST, "/api/tocsin/v1/tokens", &token).await;
    room.service.token = Some(made["token"].as_str().expect("a secret").to_owned());
    let now = clock::now();
    let (status, begun) = deliver(&room, "ci", "d-1", now, SECRET, r#"{"level": 4}"#).await;
    assert_eq!(status, 202, "{begun}");
    let id = begun["run"].as_str().expect("a run").to_owned();
    let run = room.in_state(&id, "waiting").await;
    assert_eq!((&run["params"], &run["starter"]), (&json!({"level": "4"}), &json!("webhook/ci")), "{run}");
    // The same delivery is the same run, also after a restart.
    assert_eq!(deliver(&room, "ci", "d-1", now, SECRET, r#"{"level": 4}"#).await.1["run"], json!(id));
    room.service.kill().await;
    room.service.restart().await;
    assert_eq!(deliver(&room, "ci", "d-1", now, SECRET, r#"{"level": 4}"#).await.1["run"], json!(id));

    let strangers = [
        ("ci", "d-2", now, "another word", r#"{"level": 4}"#),
        ("ci", "d-3", now - Span::from_secs(310), SECRET, r#"{"level": 4}"#),
        ("ci", "d-4", now + Span::from_secs(310), SECRET, r#"{"level": 4}"#),
        ("ci", "../d", now, SECRET, r#"{"level": 4}"#),
        ("cd", "d-5", now, SECRET, r#"{"level": 4}"#),
    ];
    for (source, delivery, at, secret, body) in strangers {
        let (status, said) = deliver(&room, source, delivery, at, secret, body).await;
        assert_eq!(status, 403, "{delivery}: {said}");
        assert!(!said.to_string().contains(SECRET), "{said}");
    }
    let large = format!(r#"{{"level": 4, "more": "{}"}}"#, "x".repeat(65 << 10));
    assert_eq!(deliver(&room, "ci", "d-6", now, SECRET, &large).await.0, 400);
    assert_eq!(deliver(&room, "ci", "d-7", now, SECRET, "level 4").await.0, 400);
    assert_eq!(room.runs_of("hooked").await.len(), 1);
    // What is genuine and means harm is a run that is refused.
    for (delivery, body) in
        [("d-8", r#"{"level": "4; touch x"}"#), ("d-9", r#"{"level": 40}"#), ("d-10", r#"{"level": [4]}"#), ("d-11", "{}")]
    {
        let (status, begun) = deliver(&room, "ci", delivery, now, SECRET, body).await;
        assert_eq!(status, 202, "{begun}");
        let run = room.at_rest(begun["run"].as_str().expect("a run")).await;
        assert_eq!((&run["state"], &run["refused_by"]), (&json!("refused"), &json!("schema")), "{body}: {run}");
    }
    assert!(room.far.hits("/hook").is_empty());
    let mut limited = (0, 0);
    for number in 0..70 {
        // A stranger uses up nobody's share.
        limited.0 += usize::from(deliver(&room, "ci", &format!("many-{number}"), now, "wrong", "{}").await.0 == 429);
    }
    for number in 0..70 {
        limited.1 += usize::from(deliver(&room, "ci", &format!("many-{number}"), now, SECRET, "{}").await.0 == 429);
    }
    assert!(limited.0 == 0 && limited.1 > 0, "{limited:?}");
    assert_eq!(deliver(&room, "other", "d-1", now, SECRET, "{}").await.0, 403, "one source does not use up what others may");
}

/// Notes, while nobody runs, up to when a schedule has been settled.
async fn settled(folder: &Path, id: &str, due: Timestamp) {
    let db = Db::open_sqlite(&folder.join("tocsin.db")).await.expect("the database");
    let fire = ScheduleFireRow { schedule_id: format!("{id}/0"), due, outcome: FireOutcome::Skipped, run_id: None };
    db.add_fires(&[fire]).await.expect("it is stored");
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_begin_runs_when_due_and_say_what_they_missed() {
    let schedule =
        |cron: &str, missed: &str| format!("{{schedule: {{cron: '{cron}', tz: Europe/Paris, missed: {missed}, mode: approve}}}}");
    let plan = Plan::default()
        .runbook("yearly", &sends(&schedule("30 4 1 1 *", "run_once"), "/yearly"))
        .runbook("skipped", &sends(&schedule("30 4 1 1 *", "skip"), "/skipped"))
        .runbook("minutely", &sends(&schedule("* * * * *", "skip"), "/minutely"))
        .runbook("new", &sends(&schedule("30 4 1 1 *", "run_once"), "/new"));
    let mut room = Room::start(plan).await;
    let document = room.service.get("/api/tocsin/v1/runbooks/yearly").await;
    let next = document["schedule_next"].as_str().expect("a time").to_owned();
    assert!(next.contains("-01-01T03:30:00"), "in Paris it is an hour later: {next}");
    room.service.kill().await;
    let (now, data) = (clock::now(), room.service.path("data"));
    for id in ["yearly", "skipped"] {
        settled(&data, id, now - Span::from_mins(3 * 365 * 24 * 60)).await;
    }
    settled(&data, "minutely", now - Span::from_mins(20)).await;
    room.service.restart().await;
    // Of three years that were missed the newest is made up for; nobody makes up for what the document lets go.
    let run = room.has_runs("yearly", 1).await.remove(0);
    let reference = run["trigger"]["ref"].as_str().expect("a reference").to_owned();
    let due: i64 = reference.rsplit('@').next().and_then(|at| at.parse().ok()).expect("an instant");
    assert!(due <= now.0 && due > (now - Span::from_mins(370 * 24 * 60)).0, "{reference}");
    let run = soon("the minute", async || room.runs_of("minutely").await.pop()).await;
    assert_eq!((&run["starter"], &run["trigger"]["kind"]), (&json!("schedule/minutely/0"), &json!("schedule")));
    room.service.kill().await;
    let db = Db::open_sqlite(&data.join("tocsin.db")).await.expect("the database");
    let last = db.schedule_last(&["yearly/0", "skipped/0", "minutely/0"]).await.expect("instants");
    assert_eq!((last["yearly/0"].0, last["skipped/0"].0), (due, due));
    assert!(now - last["minutely/0"] < Span::from_secs(61), "{last:?}");
    db.close().await;
    room.service.restart().await;
    soon("schedules are looked at again", async || room.runs_of("minutely").await.pop()).await;
    for (id, count) in [("yearly", 1), ("skipped", 0), ("new", 0)] {
        assert_eq!(room.runs_of(id).await.len(), count, "{id}");
    }
    // Twenty minutes were missed, and the newest only counts as met.
    assert!(room.runs_of("minutely").await.len() <= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_calls_another_and_fails_with_it() {
    let callee = format!(
        "  class: disruptive\n  params: {{level: {{type: int, min: 1, max: 9, required: true}}}}\n{BY_HAND}  steps: [{{id: send, kind: \
         http.request, effect: idempotent, timeout: 30s, with: {{url: 'http://FAR/called', body: {{level: {{param: level}}}}}}}}]\n{GOOD}"
    );
    let fails = format!(
        "  class: disruptive\n{BY_HAND}  steps: [{{id: send, kind: http.request, effect: idempotent, with: {{url: 'http://FAR/fail'}}}}]\n{GOOD}"
    );
    let held = format!(
        "  class: disruptive\n{BY_HAND}  steps: [{{id: send, kind: http.request, effect: once, timeout: 30s, with: {{url: 'http://FAR/held/call'}}, undo: \
         none}}]\n{GOOD}"
    );
    let caller = |callee: &str, params: &str| {
        format!(
            "  class: disruptive\n  params: {{size: {{type: int, min: 1, max: 20, default: 5}}}}\n{BY_HAND}  steps: [{{id: call, kind: \
             runbook.call, effect: keyed, timeout: 60s, with: {{runbook: {callee}, params: {params}}}}}, {{id: then, kind: http.request, \
             effect: idempotent, with: {{url: 'http://FAR/then'}}}}]\n{GOOD}"
        )
    };
    let plan = Plan::default()
        .runbook("callee", &callee)
        .runbook("fails", &fails)
        .runbook("holds", &held)
        .runbook("caller", &caller("callee", "{level: {param: size}}"))
        .runbook("calls-fails", &caller("fails", "{}"))
        .runbook("calls-holds", &caller("holds", "{}"));
    let mut room = Room::start(plan).await;
    let run = room.whole("caller", json!({})).await;
    assert_eq!(run["state"], "succeeded", "{}", run["reason"]);
    let child = &run["children"][0];
    assert_eq!(
        (&child["doc_id"], &child["state"], &child["params"]),
        (&json!("callee"), &json!("succeeded"), &json!({"level": "5"}))
    );
    assert_eq!((&child["parent"], &child["trigger"]["kind"]), (&run["id"], &json!("run")));
    assert_eq!(room.far.hits("/called")[0].body, json!({ "level": 5 }));
    // A value that the called document does not allow is refused there, and the caller fails.
    let run = room.whole("caller", json!({ "size": "12" })).await;
    assert_eq!((&run["state"], &run["children"][0]["refused_by"]), (&json!("failed"), &json!("schema")), "{run}");
    let run = room.whole("calls-fails", json!({})).await;
    assert_eq!((&run["state"], &step(&run, "call")["state"]), (&json!("failed"), &json!("failed")), "{run}");
    assert_eq!(run["children"][0]["state"], "failed");
    assert_eq!((room.far.hits("/called").len(), room.far.hits("/then").len()), (1, 1));
    // The caller finds its run again after a restart, and does not begin another one.
    let id = room.begin("calls-holds", json!({})).await;
    soon("the called one is in the middle", async || (!room.far.hits("/held/call").is_empty()).then_some(())).await;
    room.service.kill().await;
    room.service.restart().await;
    let child = room.has_runs("holds", 1).await.remove(0);
    let child = child["id"].as_str().expect("an id");
    room.in_state(child, "needs_human").await;
    assert_eq!(room.run(&id).await["state"], "running");
    assert_eq!(room.say(child, "settle", json!({ "step": "send", "verdict": "done" })).await.0, 200);
    room.in_state(child, "succeeded").await;
    let run = room.in_state(&id, "succeeded").await;
    assert_eq!((run["children"].as_array().expect("a list").len(), room.far.hits("/held/call").len()), (1, 1), "{run}");
}
