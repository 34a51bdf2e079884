//! Whether it helped: a run is well only when it was seen to be, for as long as its document says.

use std::time::Duration;

use serde_json::{Value, json};
use tocsin::clock::Stopwatch;

use super::room::{Plan, Room};
use crate::harness::soon;

const SET: &str = "#!/bin/sh\necho \"$1\" > FOLDER/$2\n";

/// A document that a sick shop starts, and that is well once the alert is over for so long.
fn document(shop: &str, hold: &str, within: &str) -> String {
    let with = |level: &str| format!("{{program: FOLDER/set, args: [{level}, {shop}]}}");
    format!(
        r#"  class: disruptive
  triggers: [{{alert: {{name: ShopSick, match: {{shop: {shop}}}, mode: approve}}}}]
  steps: [{{id: mend, kind: exec.argv, effect: idempotent, with: {}, undo: {{kind: exec.argv, with: {}}}}}]
  verify: [{{use: trigger_alert, must: not_firing, hold: {hold}, within: {within}, no_data: fail}}]
  on_verify_fail: undo_then_page
"#,
        with("7"),
        with("0")
    )
}

fn series(shop: &str) -> String {
    format!("shop_sick{{shop=\"{shop}\"}}")
}

/// Waits for the run that the sick shop asks for, lets it begin, and returns its id once it verifies.
async fn begun(room: &Room, shop: &str) -> String {
    room.exporter.set(&series(shop), 1.0);
    let run = room.has_runs(shop, 1).await.remove(0);
    let id = run["id"].as_str().expect("an id").to_owned();
    let run = room.in_state(&id, "waiting").await;
    let asked = &run["needs"]["approvals"];
    assert_eq!((&asked["have"], &asked["count"], &asked["may_vote"]), (&json!(0), &json!(1), &json!(true)), "{run}");
    let (status, said) = room.say(&id, "approve", json!({ "verdict": "approve", "subject_hash": asked["subject_hash"] })).await;
    assert_eq!(status, 200, "{said}");
    room.in_state(&id, "verifying").await;
    assert_eq!(room.marked(shop), "7\n");
    id
}

/// Waits until a run is undone, and checks that people were told.
async fn undone(room: &Room, shop: &str, id: &str) -> Value {
    let run = room.in_state(id, "undone").await;
    assert!(run["reason"].to_string().contains("the end of the alert did not hold"), "{}", run["reason"]);
    assert_eq!(room.marked(shop), "0\n");
    soon("the page", async || room.told(id).await.into_iter().find(|one| one["body"].to_string().contains("undone"))).await;
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_over_only_when_it_is_seen_to_be_for_long_enough() {
    let rules =
        "groups: [{name: shops, rules: [{alert: ShopSick, expr: 'shop_sick == 1', labels: {severity: critical}}]}]\n".to_owned();
    let plan = Plan { programs: vec![("set", SET)], rules, ..Plan::default() }
        .runbook("stays", &document("stays", "2s", "11s"))
        .runbook("vanishes", &document("vanishes", "2s", "11s"))
        .runbook("heals", &document("heals", "4s", "25s"))
        .runbook("flaps", &document("flaps", "9s", "60s"));
    let room = Room::start(plan).await;
    let stays = async {
        let id = begun(&room, "stays").await;
        undone(&room, "stays", &id).await;
    };
    let vanishes = async {
        let id = begun(&room, "vanishes").await;
        room.exporter.remove(&series("vanishes"));
        let run = undone(&room, "vanishes", &id).await;
        // The alert itself was over before, so that it was the data that was missed.
        assert!(
            room.service
                .alerts("ShopSick")
                .await
                .iter()
                .all(|alert| { alert["labels"]["shop"] != "vanishes" || alert["state"] == "resolved" })
        );
        assert_eq!(run["samples"][0]["points"].as_array().expect("points").last().expect("a look")[1], Value::Null, "{run}");
    };
    let heals = async {
        let id = begun(&room, "heals").await;
        room.exporter.set(&series("heals"), 0.0);
        let run = room.in_state(&id, "succeeded").await;
        assert_eq!((room.marked("heals"), &run["undos"][0]["state"]), ("7\n".to_owned(), &json!("released")), "{run}");
        assert!(room.told(&id).await.iter().all(|one| !one["body"].to_string().contains("undone")), "nobody is paged");
    };
    let flaps = async {
        let id = begun(&room, "flaps").await;
        room.exporter.set(&series("flaps"), 0.0);
        // It is seen to be well at least once, and not for long enough.
        soon("a look at which it is well", async || {
            let run = room.run(&id).await;
            run["samples"][0]["points"].as_array()?.last()?[2].as_bool()?.then_some(())
        })
        .await;
        room.exporter.set(&series("flaps"), 1.0);
        soon("a look at which it is sick again", async || {
            let run = room.run(&id).await;
            assert_eq!(run["state"], "verifying", "it was not well for as long as it must be");
            (!run["samples"][0]["points"].as_array()?.last()?[2].as_bool()?).then_some(())
        })
        .await;
        room.exporter.set(&series("flaps"), 0.0);
        let watch = Stopwatch::start();
        room.in_state(&id, "succeeded").await;
        assert!(watch.elapsed() >= Duration::from_secs(9), "well for {:?}", watch.elapsed());
    };
    tokio::join!(stays, vanishes, heals, flaps);
}

async fn effective(room: &Room) -> (Value, Value) {
    let document = room.service.get("/api/tocsin/v1/runbooks/auto").await;
    let trigger = &document["triggers"][0];
    (trigger["mode"].clone(), trigger["effective_mode"].clone())
}

/// Posts an alert that nobody has posted before, and returns the run that it asks for.
async fn asked_by_alert(room: &Room, number: usize) -> Value {
    let before = room.runs_of("auto").await.len();
    room.exporter.set(&format!("auto_sick{{number=\"{number}\"}}"), 1.0);
    room.has_runs("auto", before + 1).await.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acting_alone_is_earned_by_five_attended_successes_and_lost_by_a_failure() {
    let spec = r#"  class: disruptive
  triggers: [{alert: {name: AutoSick, mode: auto}}, {manual: {roles: [sre-lead]}}]
  steps: [{id: mend, kind: http.request, effect: idempotent, with: {url: 'http://FAR/mend'}}]
  verify: [{expr: 'works', op: '==', value: 1, within: 3s}]
"#;
    let rules =
        "groups: [{name: auto, rules: [{alert: AutoSick, expr: 'auto_sick == 1', labels: {severity: critical}}]}]\n".to_owned();
    let mut room = Room::prepare(Plan { rules, ..Plan::default() }.runbook("auto", spec)).await;
    room.exporter.set("works", 1.0);
    room.service.launch(&[]);
    room.service.wait_until_ready().await;
    soon("the first scrape", async || room.service.value("works").await).await;
    for number in 0..5 {
        assert_eq!(effective(&room).await, (json!("auto"), json!("approve")), "after {number} runs");
        assert_eq!(room.whole("auto", json!({})).await["state"], "succeeded");
    }
    assert_eq!(effective(&room).await, (json!("auto"), json!("auto")));
    // What was earned is in the rows.
    room.service.kill().await;
    room.service.restart().await;
    // What somebody hands us from outside is no reason to act alone.
    let outside = json!([{ "labels": { "alertname": "AutoSick", "number": "0" } }]);
    let before = room.runs_of("auto").await.len();
    room.service.post("/api/v2/alerts", &outside).await;
    let run = room.has_runs("auto", before + 1).await.remove(0);
    let id = run["id"].as_str().expect("an id");
    assert_eq!(room.in_state(id, "waiting").await["waiting"], "approval");
    assert_eq!(room.say(id, "cancel", json!({})).await.0, 200);
    room.at_rest(id).await;
    let run = asked_by_alert(&room, 1).await;
    let run = room.in_state(run["id"].as_str().expect("an id"), "succeeded").await;
    assert_eq!((&run["starter"], &run["approvals"]), (&json!("alert/AutoSick"), &json!([])), "{run}");
    room.exporter.set("works", 0.0);
    soon("the next scrape", async || room.service.value("works").await.filter(|works| *works == 0.0)).await;
    let run = asked_by_alert(&room, 2).await;
    room.in_state(run["id"].as_str().expect("an id"), "failed").await;
    assert_eq!(effective(&room).await, (json!("auto"), json!("approve")));
    room.exporter.set("works", 1.0);
    soon("the next scrape", async || room.service.value("works").await.filter(|works| *works == 1.0)).await;
    let run = asked_by_alert(&room, 3).await;
    let run = room.in_state(run["id"].as_str().expect("an id"), "waiting").await;
    assert_eq!(run["waiting"], "approval", "{run}");
}
