//! What strangers write: texts that mean harm reach no program, no request and no target.

use serde_json::{Value, json};

use super::room::{BY_HAND, GOOD, Plan, Room};
use crate::harness::soon;

const SET: &str = "#!/bin/sh\necho \"$@\" >> FOLDER/ran\n";
const SERVICES: &str = "items: [{kind: service, name: api, labels: {tier: web}}, {kind: service, name: cart, labels: {tier: web}}, {kind: service, name: \
     jobs, labels: {tier: back}}]";

/// Returns texts that mean harm, each with what the refusal must say.
fn harmful() -> Vec<(String, &'static str)> {
    let short = ["; touch x", "$(id)", "--flag", "a\nb", "../../x", "`id`", "api\u{0}", "ａｐｉ", " api", "api,cart", "unknown"];
    let why = |text: &str| match text {
        "a\nb" | "api\u{0}" => "control character",
        "unknown" => "no service of the inventory",
        _ => "is not a name",
    };
    let long = ("x".repeat(10_000), "10000 bytes long");
    short.iter().map(|text| ((*text).to_owned(), why(text))).chain([long]).collect()
}

/// Returns the document that hands the label `shop` of an alert to a program and to a request.
fn document(alert: &str) -> String {
    format!(
        r#"  class: disruptive
  params: {{shop: {{type: name, of: service, required: true}}}}
  triggers: [{{alert: {{name: {alert}, mode: auto, params: {{shop: {{label: shop}}}}}}}}]
  steps:
    - {{id: run, kind: exec.argv, effect: idempotent, with: {{program: FOLDER/set, args: [{{param: shop}}]}}}}
    - {{id: send, kind: http.request, effect: idempotent, with: {{url: 'http://FAR/act', query: {{shop: {{param: shop}}}}}}}}
{GOOD}"#
    )
}

/// Checks that every run but one was refused by its parameter, in the API and in the audit, and that nothing was done.
async fn check_refused(room: &Room, id: &str, harmful: &[(String, &str)]) {
    let runs = room.has_runs(id, harmful.len() + 1).await;
    for (text, why) in harmful {
        let cut: String = text.chars().take(20).collect();
        let shown = format!("{cut:?}");
        let shown = shown.trim_matches('"');
        let run = runs.iter().find(|run| {
            let reason = run["reason"].as_str().unwrap_or_default();
            reason.contains(why) && (reason.contains(shown) || why.contains("bytes"))
        });
        let run = run.unwrap_or_else(|| panic!("no run is refused for {text:?} since it {why}: {runs:#?}"));
        assert_eq!((&run["state"], &run["refused_by"]), (&json!("refused"), &json!("schema")), "{run}");
        let detail = room.run(run["id"].as_str().expect("an id")).await;
        assert!(detail["steps"].as_array().expect("steps").iter().all(|step| step["phase_rows"] == json!([])), "{detail}");
        let lines = room.audited(run["id"].as_str().expect("an id")).await;
        assert!(lines.iter().any(|line| line["outcome"] == "refused" && line["detail"].to_string().contains(why)), "{lines:?}");
    }
    let good: Vec<&Value> = runs.iter().filter(|run| run["state"] != "refused").collect();
    assert_eq!(good.len(), 1, "{good:?}");
    assert_eq!((&good[0]["waiting"], &good[0]["params"]), (&json!("approval"), &json!({"shop": "api"})), "{}", good[0]);
    assert_eq!(room.marked("ran"), "", "a program ran");
    assert!(room.far.hits("/act").is_empty(), "a request was sent");
    assert!(!room.mark("x").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_strangers_are_refused_whether_alerts_come_from_outside_or_from_our_own_rules() {
    let rules = "groups: [{name: own, rules: [{alert: OwnTainted, expr: 'shop_sick == 1', labels: {severity: critical}}]}]\n";
    let plan = Plan { programs: vec![("set", SET)], rules: rules.to_owned(), ..Plan::default() }
        .runbook("posted", &document("PostedTainted"))
        .runbook("own", &document("OwnTainted"))
        .act(SERVICES);
    let room = Room::start(plan).await;
    let harmful = harmful();
    let alert = |shop: &str| json!({ "labels": { "alertname": "PostedTainted", "shop": shop } });
    let mut posts: Vec<Value> = harmful.iter().map(|(text, _)| alert(text)).collect();
    posts.push(alert("api"));
    room.service.post("/api/v2/alerts", &json!(posts)).await;
    for text in harmful.iter().map(|(text, _)| text.as_str()).chain(["api"]) {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        room.exporter.set(&format!("shop_sick{{shop=\"{escaped}\"}}"), 1.0);
    }
    check_refused(&room, "posted", &harmful).await;
    check_refused(&room, "own", &harmful).await;
    // An alert without the label is refused, too.
    room.service.post("/api/v2/alerts", &json!([{ "labels": { "alertname": "PostedTainted" } }])).await;
    let run = soon("the run without the label", async || {
        room.runs_of("posted").await.into_iter().find(|run| run["reason"].to_string().contains("has no label"))
    })
    .await;
    assert_eq!((&run["state"], &run["refused_by"]), (&json!("refused"), &json!("schema")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_type_no_better_than_strangers() {
    let spec = format!(
        "  class: disruptive\n  params: {{shop: {{type: name, of: service, required: true}}, level: {{type: int, min: 1, max: 9, default: 3}}}}\n\
         {BY_HAND}  steps: [{{id: run, kind: exec.argv, effect: idempotent, with: {{program: FOLDER/set, args: [{{param: shop}}, {{param: \
         level}}]}}}}]\n{GOOD}"
    );
    let room = Room::start(Plan { programs: vec![("set", SET)], ..Plan::default() }.runbook("typed", &spec).act(SERVICES)).await;
    for (text, why) in harmful() {
        let run = room.whole("typed", json!({ "shop": text })).await;
        assert_eq!((&run["state"], &run["refused_by"]), (&json!("refused"), &json!("schema")), "{run}");
        assert!(run["reason"].to_string().contains(why), "{text:?}: {}", run["reason"]);
    }
    for level in ["0", "10", "3.5", "0x3", "3 ", "", "9223372036854775808"] {
        let run = room.whole("typed", json!({ "shop": "api", "level": level })).await;
        assert_eq!(run["refused_by"], "schema", "{level:?}: {run}");
    }
    for params in [json!({}), json!({ "shop": "api", "other": "1" })] {
        assert_eq!(room.whole("typed", params).await["refused_by"], "schema");
    }
    assert_eq!(room.marked("ran"), "");
    assert_eq!(room.whole("typed", json!({ "shop": "api" })).await["state"], "succeeded");
    assert_eq!(room.marked("ran"), "api 3\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_are_none_or_too_many_are_refused() {
    let cases = [
        ("empty", "{kind: service, labels: {tier: none}, expect: 1}", Some("nothing matches")),
        ("more", "{kind: service, labels: {tier: web}, expect: 1}", Some("2 things match where 1")),
        ("fewer", "{kind: service, labels: {tier: web}, expect: 3}", Some("2 things match where 3")),
        ("every", "{kind: service, labels: {zone: one}, expect: 3}", Some("all_of: 3")),
        ("all-of-two", "{kind: service, all_of: 2}", Some("3 things match where 2")),
        ("share", "{kind: service, labels: {tier: web}, expect: 2, max_percent: 34}", Some("more than 34 percent")),
        ("strange", "{kind: service, names: [nobody], expect: 1}", Some("no service of the inventory")),
        ("self", "{kind: pager, names: [ours], expect: 1}", Some("control plane")),
        ("right", "{kind: service, labels: {tier: web}, expect: 2}", None),
        ("all-of-three", "{kind: service, all_of: 3}", None),
    ];
    let mut plan = Plan::default().act(
        "items: [{kind: service, name: api, labels: {tier: web, zone: one}}, {kind: service, name: cart, labels: {tier: web, zone: one}}, \
         {kind: service, name: jobs, labels: {tier: back, zone: one}}, {kind: pager, name: ours, control_plane: true}, {kind: pager, \
         name: theirs}]",
    );
    for (id, targets, _) in &cases {
        let spec = format!(
            "  class: disruptive\n{BY_HAND}  targets: {targets}\n  steps: [{{id: send, kind: http.request, effect: idempotent, with: {{url: \
             'http://FAR/{id}'}}}}]\n{GOOD}"
        );
        plan = plan.runbook(id, &spec);
    }
    let room = Room::start(plan).await;
    for (id, _, refused) in cases {
        let run = room.whole(id, json!({})).await;
        let hits = room.far.hits(&format!("/{id}")).len();
        match refused {
            Some(why) => {
                assert_eq!((&run["state"], &run["refused_by"], hits), (&json!("refused"), &json!("targets"), 0), "{id}: {run}");
                assert!(run["reason"].to_string().contains(why), "{id}: {}", run["reason"]);
            }
            None => assert_eq!((&run["state"], hits), (&json!("succeeded"), 1), "{id}: {}", run["reason"]),
        }
    }
    assert_eq!(room.runs_of("right").await[0]["targets"], json!(["api", "cart"]));
}
