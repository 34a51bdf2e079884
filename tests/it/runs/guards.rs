//! What stands in the way of a run: each guard refuses for its own reason, and what was counted or pulled survives the process.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tocsin::clock;
use tocsin::db::Db;
use tocsin::db::runs::facts::KillSwitch;
use tocsin_core::time::Span;

use super::room::{BY_HAND, GOOD, Plan, Room};
use crate::harness::{soon, within};

const SET: &str = "#!/bin/sh\necho \"$1\" > FOLDER/level\n";

/// A document that sends one request, with guards.
pub fn sends(path: &str, guards: &str) -> String {
    format!(
        "  class: disruptive\n{BY_HAND}  guards: {guards}\n  steps: [{{id: send, kind: http.request, effect: idempotent, timeout: 30s, with: \
         {{url: 'http://FAR{path}'}}}}]\n{GOOD}"
    )
}

fn assert_refused(run: &Value, guard: &str, why: &str) {
    assert_eq!((&run["state"], &run["refused_by"]), (&json!("refused"), &json!(guard)), "{}", run["reason"]);
    assert!(run["reason"].to_string().contains(why), "{guard}: {}", run["reason"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_is_counted_after_a_restart() {
    let plan = Plan::default()
        .runbook("cooled", &sends("/cooled", "{cooldown: {key: [runbook], every: 1h, max: 1}}"))
        .runbook("daily", &sends("/daily", "{daily_max: 2}"))
        .runbook("free", &sends("/free", "{}"));
    let mut room = Room::start(plan).await;
    for id in ["cooled", "daily", "daily"] {
        assert_eq!(room.whole(id, json!({})).await["state"], "succeeded");
    }
    for _ in 0..2 {
        assert_refused(&room.whole("cooled", json!({})).await, "rate", "1 runs within 1h");
        assert_refused(&room.whole("daily", json!({})).await, "rate", "2 runs within a day");
        assert_eq!(room.whole("free", json!({})).await["state"], "succeeded");
        room.service.kill().await;
        room.service.restart().await;
    }
    // What is refused is counted nowhere.
    assert_eq!((room.far.hits("/cooled").len(), room.far.hits("/daily").len()), (1, 2));
    // A dry run asks the same guards.
    let (_, run) = room.ask("cooled", json!({ "dry_run": true })).await;
    assert_refused(&room.at_rest(run["id"].as_str().expect("an id")).await, "rate", "1 runs within 1h");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_lets_one_run_in_and_the_next_when_it_ends() {
    let plan = Plan::default()
        .runbook("holds", &sends("/held/lock", "{lock: {key: shop/api, on_busy: refuse}}"))
        .runbook("queues", &sends("/queued", "{lock: {key: shop/api, on_busy: queue}}"));
    let mut room = Room::start(plan).await;
    let first = room.begin("holds", json!({})).await;
    soon("the first one is in", async || (!room.far.hits("/held/lock").is_empty()).then_some(())).await;
    assert_refused(&room.whole("holds", json!({})).await, "lock", &format!("run {first} holds the lock"));
    let (one, two) = (room.begin("queues", json!({})).await, room.begin("queues", json!({})).await);
    for id in [&one, &two] {
        assert_eq!(room.in_state(id, "waiting").await["waiting"], "lock");
    }
    // A lock is held over a restart, and so is the queue.
    room.service.kill().await;
    room.service.restart().await;
    assert_eq!(room.in_state(&one, "waiting").await["waiting"], "lock");
    assert!(room.far.hits("/queued").is_empty());
    room.far.let_go();
    room.in_state(&first, "succeeded").await;
    for id in [&one, &two] {
        // Of two that wait, one looks again a little later.
        within(Duration::from_secs(40), "both get in", async || (room.run(id).await["state"] == "succeeded").then_some(())).await;
    }
    assert_eq!(room.far.hits("/queued").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_holds_back_what_changes_something() {
    let reads = format!(
        "  class: read\n{BY_HAND}  steps: [{{id: look, kind: http.check, effect: idempotent, with: {{url: 'http://FAR/look'}}}}]\n"
    );
    let plan = Plan::default()
        .runbook("honours", &sends("/frozen", "{}"))
        .runbook("waits", &sends("/frozen", "{freeze: wait}"))
        .runbook("overrides", &sends("/frozen", "{freeze: override_with_approval}"))
        .runbook("reads", &reads);
    let room = Room::start(plan).await;
    let now = clock::now();
    let freeze = |scope: &str, from: i64, to: i64| json!({ "scope": scope, "reason": "the sale", "starts": (now + Span::from_secs(from)).rfc3339(), "ends": (now + Span::from_secs(to)).rfc3339() });
    for (scope, from, to) in [("other", -60, 3600), ("shop", 1800, 3600)] {
        room.service.post("/api/tocsin/v1/freezes", &freeze(scope, from, to)).await;
    }
    assert_eq!(room.whole("honours", json!({})).await["state"], "succeeded", "other platforms and later days do not matter");
    for scope in ["shop", "*"] {
        let made = room.service.post("/api/tocsin/v1/freezes", &freeze(scope, -60, 3600)).await;
        assert_refused(&room.whole("honours", json!({})).await, "freeze", "the sale");
        assert_eq!(room.whole("reads", json!({})).await["state"], "succeeded", "reading harms nothing");
        let waits = room.begin("waits", json!({})).await;
        assert_eq!(room.in_state(&waits, "waiting").await["waiting"], "window");
        let overrides = room.begin("overrides", json!({})).await;
        assert_eq!(room.in_state(&overrides, "waiting").await["waiting"], "approval");
        let path = format!("/api/tocsin/v1/freezes/{}", made["id"].as_str().expect("an id"));
        assert_eq!(room.service.send(Method::DELETE, &path, None).await.0, 204);
        within(Duration::from_secs(40), "it goes on", async || (room.run(&waits).await["state"] == "succeeded").then_some(()))
            .await;
    }
    for bad in [freeze("shop", 60, 30), freeze("shop", -60, -30), freeze("", 0, 60), freeze("shop", 0, 400 * 86_400)] {
        assert_eq!(room.service.send(Method::POST, "/api/tocsin/v1/freezes", Some(&bad)).await.0, 400, "{bad}");
    }
}

async fn pull(room: &Room, platform: Value, on: bool) -> (u16, Value) {
    let body = json!({ "platform": platform, "on": on, "why": "smoke" });
    room.service.send(Method::PUT, "/api/tocsin/v1/kill-switch", Some(&body)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kill_switch_stops_and_undoes_what_runs_and_lets_nothing_begin() {
    let spec = format!(
        r#"  class: disruptive
{BY_HAND}  steps:
    - {{id: level, kind: exec.argv, effect: idempotent, with: {{program: FOLDER/set, args: [7]}}, undo: {{kind: exec.argv, with: {{program: FOLDER/set, args: [0]}}}}}}
    - {{id: long, kind: http.request, effect: idempotent, timeout: 60s, with: {{url: 'http://FAR/held/kill'}}, undo: none}}
    - {{id: later, kind: http.request, effect: idempotent, with: {{url: 'http://FAR/later'}}, undo: none}}
{GOOD}"#
    );
    let plan = Plan { programs: vec![("set", SET)], ..Plan::default() }.runbook("long", &spec);
    let pulls = [Pull::Global, Pull::Platform, Pull::File, Pull::WhileAway, Pull::FileWhileAway];
    futures_util::future::join_all(pulls.map(|pull| pulled(plan.clone(), pull))).await;
}

/// How the kill switch comes to be on.
#[derive(Clone, Copy, Debug)]
enum Pull {
    Global,
    Platform,
    File,
    /// Whoever pulls it may die before the runs hear of it.
    WhileAway,
    FileWhileAway,
}

async fn pulled(plan: Plan, by: Pull) {
    let mut room = Room::start(plan).await;
    let data = room.service.path("data");
    let kill_file = data.join("kill-switch");
    let id = room.begin("long", json!({})).await;
    soon("it is in the middle", async || (!room.far.hits("/held/kill").is_empty()).then_some(())).await;
    assert_eq!(room.marked("level"), "7\n");
    match by {
        Pull::Global => assert_eq!(pull(&room, Value::Null, true).await.0, 200),
        Pull::Platform => {
            assert_eq!(pull(&room, json!("other"), true).await.0, 200);
            assert_eq!(room.run(&id).await["state"], "running", "another platform's switch");
            assert_eq!(pull(&room, json!("shop"), true).await.0, 200);
        }
        Pull::File => std::fs::write(&kill_file, "").expect("the folder takes files"),
        Pull::WhileAway => {
            room.service.kill().await;
            let db = Db::open_sqlite(&data.join("tocsin.db")).await.expect("the database");
            let (scope, who, why) = ("shop".to_owned(), "ada".to_owned(), "smoke".to_owned());
            db.set_kill_switch(&KillSwitch { scope, is_on: true, who, at: clock::now(), why }, None).await.expect("it is stored");
            db.close().await;
            room.service.restart().await;
        }
        Pull::FileWhileAway => {
            room.service.kill().await;
            std::fs::write(&kill_file, "").expect("the folder takes files");
            room.service.restart().await;
        }
    }
    let run = room.in_state(&id, "undone").await;
    assert!(run["reason"].to_string().contains("kill switch"), "{by:?}: {}", run["reason"]);
    assert_eq!(room.marked("level"), "0\n", "{by:?}");
    room.is_told(&id).await;
    assert_refused(&room.whole("long", json!({})).await, "kill_switch", "the kill switch is on");
    for scope in [Value::Null, json!("shop"), json!("other")] {
        assert_eq!(pull(&room, scope, false).await.0, 200);
    }
    // There is one only where it was written.
    let _ = std::fs::remove_file(&kill_file);
    assert!(room.far.hits("/later").is_empty(), "{by:?}: a step began behind the switch");
    room.far.let_go();
    assert_eq!(room.whole("long", json!({})).await["state"], "succeeded");
    if matches!(by, Pull::Global) {
        let switches = room.service.get("/api/tocsin/v1/kill-switch").await;
        assert_eq!((&switches["global"]["on"], &switches["global"]["why"]), (&json!(false), &json!("smoke")));
        assert!(!room.audited("kill switch on").await.is_empty() && !room.audited("kill switch off").await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_pages_spent_budgets_and_what_is_not_known_hold_back() {
    let slo = r#"
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout, labels: {platform: shop}, annotations: {tocsin.dev/new-series: zero}}
spec:
  service: checkout
  indicator:
    metadata: {name: checkout-good}
    spec: {ratioMetric: {counter: true, good: {metricSource: {type: Prometheus, spec: {query: 'requests_total{code="200"}'}}}, total: {metricSource: {type: Prometheus, spec: {query: requests_total}}}}}
  timeWindow: [{duration: 1h, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.9}]
"#;
    let mut plan = Plan::default()
        .runbook("quiet", &sends("/quiet", "{no_open_page: true}"))
        .runbook("unknown", &sends("/unknown", "{budget: {slo: nobody}}"))
        .runbook("allowed", &sends("/allowed", "{budget: {slo: nobody, on_exhausted: allow}}"))
        .runbook("thrifty", &sends("/thrifty", "{budget: {slo: checkout, remaining_at_least: 0.5}}"))
        .runbook("absent", &sends("/absent", "{precheck: [{expr: nothing_here, op: '==', value: 0}]}"))
        .runbook("lenient", &sends("/lenient", "{precheck: [{expr: nothing_here, op: '==', value: 0, no_data: allow}]}"))
        .runbook("checked", &sends("/checked", "{precheck: [{expr: 'vector(3)', op: '<', value: 3}]}"))
        .runbook("several", &sends("/several", "{precheck: [{expr: requests_total, op: '>=', value: 0, no_data: allow}]}"));
    plan.more = "slo_files: [slo.yml]\n".to_owned();
    plan.files.push(("slo.yml".to_owned(), slo.to_owned()));
    let mut room = Room::prepare(plan).await;
    room.exporter.set(r#"requests_total{code="200"}"#, 1000.0);
    room.exporter.set(r#"requests_total{code="500"}"#, 0.0);
    room.service.launch(&[]);
    room.service.wait_until_ready().await;

    assert_refused(&room.whole("thrifty", json!({})).await, "budget", "is not known");
    assert_refused(&room.whole("unknown", json!({})).await, "budget", "is not known");
    assert_refused(&room.whole("absent", json!({})).await, "precheck", "has no data");
    assert_refused(&room.whole("checked", json!({})).await, "precheck", "is 3, not < 3");
    for id in ["allowed", "lenient", "quiet"] {
        assert_eq!(room.whole(id, json!({})).await["state"], "succeeded", "{id}");
    }
    soon("both series are there", async || (room.service.query("requests_total").await.len() == 2).then_some(())).await;
    let several = room.whole("several", json!({})).await;
    assert_refused(&several, "precheck", "cannot be told");

    room.service.post("/api/v2/alerts", &json!([{ "labels": { "alertname": "Sick", "platform": "other" } }])).await;
    soon("another platform's page", async || (room.service.pages("open").await.len() == 1).then_some(())).await;
    assert_eq!(room.whole("quiet", json!({})).await["state"], "succeeded");
    room.service.post("/api/v2/alerts", &json!([{ "labels": { "alertname": "Sick", "platform": "shop", "shop": "a" } }])).await;
    soon("the page", async || (room.service.pages("open").await.len() == 2).then_some(())).await;
    assert_refused(&room.whole("quiet", json!({})).await, "open_page", "1 pages of the platform are open");

    let counted = |total: f64| {
        let room = &room;
        async move {
            within(Duration::from_secs(90), "what came is counted", async || {
                let objective = room.service.get("/api/tocsin/v1/objectives/checkout").await;
                (objective["total"] == total && objective["catching_up"] == false).then_some(())
            })
            .await
        }
    };
    counted(1000.0).await;
    assert_eq!(room.whole("thrifty", json!({})).await["state"], "succeeded");
    room.exporter.set(r#"requests_total{code="500"}"#, 600.0);
    counted(1600.0).await;
    assert_refused(&room.whole("thrifty", json!({})).await, "budget", "% are needed");
    assert_eq!(room.far.hits("/thrifty").len(), 1);
}
