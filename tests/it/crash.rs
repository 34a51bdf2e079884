//! The crash matrix: the process dies at every named point and at random instants while alerts fire and resolve, and no page is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tocsin::clock::{self, Stopwatch};
use tocsin::pipeline::crash::POINTS;
use tocsin_core::time::Span;

use crate::harness::recorder::Recorder;
use crate::harness::scene::{Scene, Script, rules};
use crate::harness::service::{Service, Setup};
use crate::harness::{http, soon};

/// Dies at the `number`-th passing of a point while an alert fires and resolves; then everybody must have been told all the same.
async fn die_at(point: &str, number: u32) {
    let mut scene = Scene::prepare(Script::default()).await;
    scene.service.launch(&["--crash-at".to_owned(), format!("{point}:{number}")]);
    scene.break_shop();
    let watch = Stopwatch::start();
    // The later passings come only when the alert resolves.
    while scene.service.is_running() && watch.elapsed() < Duration::from_secs(20) {
        let has_triggered = !scene.pagerduty.incidents().is_empty();
        if has_triggered && watch.elapsed() > Duration::from_secs(4) {
            scene.mend_shop();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!scene.service.is_running(), "{point}:{number} was never passed");
    scene.service.forget();
    scene.break_shop();
    scene.service.restart().await;
    soon(&format!("an incident after dying at {point}:{number}"), async || {
        scene.pagerduty.incidents().iter().any(|incident| incident.state == "triggered").then_some(())
    })
    .await;
    soon("the webhook and the inbox are told as well", async || {
        let told = scene.webhooks.taken().iter().any(|hook| hook["status"] == "firing");
        let inbox = scene.service.get("/api/tocsin/v1/inbox").await;
        let kept = inbox["messages"].as_array().expect("a list").iter().any(|message| message["status"] == "firing");
        (told && kept).then_some(())
    })
    .await;
    scene.mend_shop();
    soon(&format!("the end after dying at {point}:{number}"), async || {
        scene.pagerduty.incidents().iter().all(|incident| incident.state == "resolved").then_some(())
    })
    .await;
    soon("every delivery has ended well", async || {
        scene.service.deliveries().await.iter().all(|delivery| delivery["state"] == "delivered").then_some(())
    })
    .await;
    let keys: BTreeSet<String> = scene.pagerduty.incidents().into_iter().map(|incident| incident.dedup_key).collect();
    assert_eq!(keys.len(), 1, "one group has one key: {keys:?}");
    // The same message may arrive again after a crash, but only the one that was on its way.
    let (hooks, deliveries) = (scene.webhooks.taken().len(), scene.service.deliveries().await);
    let hook_deliveries = deliveries.iter().filter(|delivery| delivery["channel"] == "webhook").count();
    assert!(hooks <= hook_deliveries + 1, "{hooks} webhooks for {hook_deliveries} deliveries");
    let messages = scene.service.get("/api/tocsin/v1/inbox").await;
    let keys: Vec<&Value> = messages["messages"].as_array().expect("a list").iter().map(|message| &message["id"]).collect();
    assert_eq!(
        keys.len(),
        keys.iter().map(|key| key.to_string()).collect::<BTreeSet<_>>().len(),
        "the inbox has each message once"
    );
    scene.pagerduty.assert_no_faults();
    scene.webhooks.assert_no_faults();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dying_at_any_point_loses_no_page() {
    let cases = POINTS.into_iter().flat_map(|point| [1, 2, 4].map(|number| (point, number)));
    // A few at a time: each has a service of its own.
    futures_util::stream::iter(cases).for_each_concurrent(3, |(point, number)| die_at(point, number)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_just_before_a_crash_is_told_again() {
    let recorder = Recorder::start().await;
    let config = format!(
        "route: {{receiver: hook, group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: 'http://{}/'}}]}}]\n",
        recorder.address
    );
    let mut service = Service::prepare(Setup::new(config));
    let alert = |ends: Span| json!([{ "labels": { "alertname": "Down" }, "endsAt": (clock::now() + ends).rfc3339() }]);
    // First its beginning is refused, then its end; each time the refusal is recorded and nobody knows of it yet.
    for (ends, status) in [(Span::from_mins(60), "firing"), (Span::ZERO, "resolved")] {
        recorder.answer(400);
        service.launch(&["--crash-at".to_owned(), "after-attempt-record".to_owned()]);
        service.wait_until_ready().await;
        // It may die before it answers.
        let _ = http().post(service.url("/api/v2/alerts")).json(&alert(ends)).send().await;
        assert!(!service.ended().await, "it dies");
        recorder.answer(200);
        service.restart().await;
        let told =
            soon("it is told again", async || recorder.taken().last().filter(|post| post.body["status"] == status).cloned())
                .await;
        assert_eq!(told.body["alerts"][0]["labels"]["alertname"], "Down");
        soon("that is recorded", async || (service.deliveries().await[0]["state"] == "delivered").then_some(())).await;
        service.kill().await;
    }
    service.restart().await;
    let states: Vec<Value> = service.deliveries().await.iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["delivered", "rejected", "delivered", "rejected"]);
    assert_eq!((recorder.count(), recorder.refused()), (2, 2), "each is told once, and refused once");
}

/// A generator of numbers that gives the same ones for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

const KILLS: u64 = 50;
const SHOPS: u64 = 6;
const SEED: u64 = 0x70C5_1A1E_5EED;

/// What was seen to fire: for each shop the starts of its alerts.
type Seen = BTreeMap<String, BTreeSet<String>>;

async fn note_firing(scene: &Scene, seen: &mut Seen) {
    for alert in scene.service.alerts("ShopDown").await {
        // What an answer shows is recorded, so it must be told, whatever happens next.
        if alert["state"] == "firing" {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            seen.entry(text(&alert["labels"]["shop"])).or_default().insert(text(&alert["active_at"]));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_at_random_lose_no_page_no_silence_and_no_clock() {
    println!("seed {SEED:#x}");
    let mut dice = Dice(SEED);
    let mut scene = Scene::prepare(Script::default()).await;
    let clocks = r#"
      - alert: LongHeld
        expr: held == 1
        for: 1h
      - alert: Held
        expr: held == 1
        for: 20s
"#;
    std::fs::write(scene.service.path("rules.yml"), rules("0s") + clocks).expect("the folder takes files");
    scene.exporter.set("held", 1.0);
    scene.exporter.set(r#"shop_up{shop="silenced"}"#, 0.0);
    scene.service.launch(&[]);
    scene.service.wait_until_ready().await;
    let now = clock::now();
    let silence = json!({
        "matchers": [{ "name": "shop", "value": "silenced", "isRegex": false, "isEqual": true }], "createdBy": "ada", "comment": "x",
        "startsAt": now.rfc3339(), "endsAt": (now + Span::from_mins(60)).rfc3339(),
    });
    let silence_id = scene.service.post("/api/v2/silences", &silence).await["silenceID"].clone();
    let held_since = scene.service.alert("LongHeld", "pending").await["active_at"].clone();

    let mut seen = Seen::new();
    let mut blackout = Duration::ZERO;
    for _ in 0..KILLS {
        for shop in 0..SHOPS {
            if dice.below(3) == 0 {
                scene.exporter.set(&format!("shop_up{{shop=\"s{shop}\"}}"), dice.below(2) as f64);
            }
        }
        tokio::time::sleep(Duration::from_millis(dice.below(700))).await;
        note_firing(&scene, &mut seen).await;
        tokio::time::sleep(Duration::from_millis(dice.below(150))).await;
        let watch = Stopwatch::start();
        scene.service.kill().await;
        scene.service.restart().await;
        blackout += watch.elapsed();
    }

    // Every shop goes down once more and must be seen to, by us and by the provider.
    for shop in 0..SHOPS {
        scene.exporter.set(&format!("shop_up{{shop=\"s{shop}\"}}"), 0.0);
    }
    soon("every shop's alert fires", async || {
        let alerts = scene.service.alerts("ShopDown").await;
        (alerts.iter().filter(|alert| alert["state"] == "firing").count() as u64 == SHOPS + 1).then_some(())
    })
    .await;
    note_firing(&scene, &mut seen).await;
    soon("every shop has an open incident", async || {
        let incidents = scene.pagerduty.incidents();
        let open: BTreeSet<&str> = incidents
            .iter()
            .filter(|one| one.state == "triggered" && one.summary.contains("ShopDown"))
            .map(|one| one.dedup_key.as_str())
            .collect();
        (open.len() as u64 == SHOPS).then_some(())
    })
    .await;

    // The clock of `for` went on: what was pending fires, and neither alert began anew.
    let held = scene.service.alert("Held", "firing").await;
    let long_held = scene.service.alerts("LongHeld").await;
    assert_eq!(long_held[0]["state"], "pending");
    let at = |value: &Value| tocsin_core::time::Timestamp::parse_rfc3339(value.as_str().expect("a text")).expect("a time");
    let moved = at(&long_held[0]["active_at"]).since(at(&held_since));
    assert!(
        moved.0 >= 0 && moved.0 as u128 <= blackout.as_millis(),
        "the clock moved by {moved}, nobody watched for {blackout:?}"
    );
    assert!(at(&held["active_at"]).since(at(&held_since)).0 as u128 <= blackout.as_millis());

    let silences = scene.service.get("/api/v2/silences").await;
    assert_eq!((&silences[0]["id"], &silences[0]["status"]["state"]), (&silence_id, &json!("active")), "{silences}");
    assert!(seen.contains_key("silenced"));
    let triggers: Vec<Value> = scene.pagerduty.taken().into_iter().filter(|event| event["event_action"] == "trigger").collect();
    assert!(!triggers.iter().any(|event| event.to_string().contains("silenced")), "a silenced alert was told");

    // Every alert that was ever seen to fire reached the provider, and every shop has one key.
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in &triggers {
        let summary = event["payload"]["summary"].as_str().expect("a text");
        if let Some(shop) = (0..SHOPS).map(|shop| format!("s{shop}")).find(|shop| summary.contains(&format!("ShopDown {shop} ")))
        {
            keys.entry(shop).or_default().insert(event["dedup_key"].as_str().expect("a key").to_owned());
        }
    }
    assert_eq!(keys.len() as u64, SHOPS, "{keys:?}");
    assert!(keys.values().all(|keys| keys.len() == 1), "one shop, one key: {keys:?}");
    // An alert that ends and fires again within the group's interval stays one incident, so there may be fewer than it fired.
    let opened =
        |shop: &str| scene.pagerduty.incidents().iter().filter(|one| one.summary.contains(&format!("ShopDown {shop} "))).count();
    for (shop, starts) in seen.iter().filter(|(shop, _)| *shop != "silenced") {
        println!("shop {shop} was seen to fire {} times and made {} incidents", starts.len(), opened(shop));
        assert!(opened(shop) > 0, "shop {shop} was seen to fire and nobody was told");
    }

    for shop in 0..SHOPS {
        scene.exporter.set(&format!("shop_up{{shop=\"s{shop}\"}}"), 1.0);
    }
    soon("every shop's incident is resolved", async || {
        let incidents = scene.pagerduty.incidents();
        incidents.iter().filter(|one| one.summary.contains("ShopDown")).all(|one| one.state == "resolved").then_some(())
    })
    .await;
    let unfinished: Vec<Value> = scene
        .service
        .deliveries()
        .await
        .into_iter()
        .filter(|one| matches!(one["state"].as_str(), Some("rejected" | "expired")))
        .collect();
    assert!(unfinished.is_empty(), "{unfinished:?}");
    scene.pagerduty.assert_no_faults();
}
