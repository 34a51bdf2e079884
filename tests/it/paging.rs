//! Stories of alerts that become pages: told, acknowledged, recovered, and told in spite of trouble on the way.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::scene::{Scene, Script};
use crate::harness::soon;
use crate::harness::stand_in::Mode;
use crate::postgres::Postgres;

/// Returns the states of the first incident.
async fn incident(scene: &Scene, state: &str) {
    soon(&format!("the incident is {state}"), async || {
        scene.pagerduty.incidents().into_iter().find(|incident| incident.state == state).map(drop)
    })
    .await;
}

/// The whole way of an alert: fires, pages everywhere, is acknowledged, recovers, and comes back as a new page.
async fn whole_story(scene: &mut Scene) {
    soon("the rule sees a shop that is well", async || scene.service.value("shop:up:count").await).await;
    assert_eq!(scene.service.alerts("ShopDown").await, [Value::Null; 0]);
    scene.break_shop();
    let alert = scene.service.alert("ShopDown", "firing").await;
    assert_eq!(alert["severity"], "critical");
    assert_eq!(alert["annotations"]["summary"], "shop main on shop is down");
    assert_eq!(alert["rule"]["expr"], "shop_up == 0");
    incident(scene, "triggered").await;

    let trigger = scene.pagerduty.taken()[0].clone();
    assert_eq!(trigger["payload"]["severity"], "critical");
    assert!(trigger["payload"]["summary"].as_str().expect("a text").contains("ShopDown"), "{trigger}");
    let hook = soon("the webhook", async || scene.webhooks.taken().first().cloned()).await;
    assert_eq!((&hook["status"], &hook["receiver"]), (&json!("firing"), &json!("team")));
    assert_eq!(hook["groupLabels"], json!({ "alertname": "ShopDown", "shop": "main" }));
    assert_eq!(hook["alerts"][0]["annotations"]["value"], "0");
    let message = soon("the inbox", async || {
        scene.service.get("/api/tocsin/v1/inbox").await["messages"].as_array().and_then(|list| list.first().cloned())
    })
    .await;
    assert_eq!(message["status"], "firing");

    let pages = scene.service.pages("open").await;
    assert_eq!(pages.len(), 1, "{pages:?}");
    let (page, id) = (&pages[0], pages[0]["id"].as_str().expect("an id"));
    assert_eq!((&page["state"], &page["users"], &page["firing_count"]), (&json!("triggered"), &json!(["ada"]), &json!(1)));
    assert_eq!(message["page_id"], id);
    assert_eq!(alert["fingerprint"], page["alerts"][0]);
    soon("the overview's day ends with what fires now", async || {
        scene.service.get("/api/tocsin/v1/overview").await["firing_24h"].as_array()?.last()?["critical"]
            .as_f64()
            .filter(|count| *count == 1.0)
    })
    .await;

    let path = format!("/api/tocsin/v1/pages/{id}/acknowledge");
    let acknowledged = scene.service.post(&path, &json!({})).await;
    assert_eq!((&acknowledged["state"], &acknowledged["acknowledged_by"]), (&json!("acknowledged"), &json!("anonymous")));
    incident(scene, "acknowledged").await;
    let again = scene.service.post(&path, &json!({})).await;
    assert_eq!(again["acknowledged_at"], acknowledged["acknowledged_at"], "the same person twice is once");

    scene.mend_shop();
    incident(scene, "resolved").await;
    scene.service.alert("ShopDown", "resolved").await;
    soon("the page is over", async || scene.service.pages("open").await.is_empty().then_some(())).await;
    soon("the webhook hears of the end", async || {
        scene.webhooks.taken().iter().any(|hook| hook["status"] == "resolved").then_some(())
    })
    .await;
    let page = scene.service.get(&format!("/api/tocsin/v1/pages/{id}")).await;
    let kinds: Vec<&str> =
        page["timeline"].as_array().expect("a list").iter().filter_map(|entry| entry["kind"].as_str()).collect();
    for kind in ["opened", "notified", "acknowledged", "resolved"] {
        assert!(kinds.contains(&kind), "{kind} is missing in {kinds:?}");
    }
    let actions: Vec<Value> = scene.pagerduty.taken().iter().map(|event| event["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "acknowledge", "resolve"]);

    scene.break_shop();
    soon("a new incident", async || (scene.pagerduty.incidents().len() == 2).then_some(())).await;
    let pages = soon("a new page", async || Some(scene.service.pages("open").await).filter(|pages| !pages.is_empty())).await;
    assert_ne!(pages[0]["id"], id, "trouble that comes back is a new page");
    let incidents = scene.pagerduty.incidents();
    assert_eq!(incidents[0].dedup_key, incidents[1].dedup_key, "one group has one key");
    soon("everything is delivered", async || {
        let deliveries = scene.service.deliveries().await;
        (deliveries.len() >= 8 && deliveries.iter().all(|delivery| delivery["state"] == "delivered")).then_some(())
    })
    .await;
    scene.pagerduty.assert_no_faults();
    scene.webhooks.assert_no_faults();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_pages_is_acknowledged_and_recovers() {
    whole_story(&mut Scene::start(Script { hold: "1s", ..Script::default() }).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_story_on_postgresql_and_over_a_kill() {
    let server = Postgres::start();
    let database = format!("database: {{url: '{}'}}\n", server.database("story"));
    let mut scene = Scene::start(Script { more: database, ..Script::default() }).await;
    whole_story(&mut scene).await;
    let before = scene.service.get("/api/tocsin/v1/pages?state=all").await;
    scene.service.kill().await;
    scene.service.restart().await;
    let after = scene.service.get("/api/tocsin/v1/pages?state=all").await;
    let ids = |pages: &Value| -> Vec<Value> {
        pages["pages"].as_array().expect("a list").iter().map(|page| page["id"].clone()).collect()
    };
    assert_eq!(ids(&before), ids(&after));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_remind_until_somebody_acknowledges() {
    let scene = Scene::start(Script { repeat_interval: "2s", ..Script::default() }).await;
    scene.break_shop();
    soon("three reminders", async || (scene.pagerduty.count("trigger") >= 3).then_some(())).await;
    assert_eq!(scene.pagerduty.incidents().len(), 1, "a reminder is no new incident");
    let id = scene.service.pages("open").await[0]["id"].as_str().expect("an id").to_owned();
    scene.service.post(&format!("/api/tocsin/v1/pages/{id}/acknowledge"), &json!({})).await;
    incident(&scene, "acknowledged").await;
    let count = scene.pagerduty.count("trigger");
    // Time for two more reminders, which must not come.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(scene.pagerduty.count("trigger"), count);
    scene.service.post(&format!("/api/tocsin/v1/pages/{id}/unacknowledge"), &json!({})).await;
    soon("reminders again", async || (scene.pagerduty.count("trigger") > count).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_page_still_tells_of_new_alerts() {
    let scene = Scene::start(Script { groups: true, ..Script::default() }).await;
    scene.break_shop();
    incident(&scene, "triggered").await;
    let page = soon("a page", async || scene.service.pages("open").await.pop()).await;
    let id = page["id"].as_str().expect("an id");
    scene.service.post(&format!("/api/tocsin/v1/pages/{id}/acknowledge"), &json!({})).await;
    scene.exporter.set(r#"shop_up{shop="second"}"#, 0.0);
    soon("the second alert is told", async || {
        scene.webhooks.taken().iter().any(|hook| hook["alerts"].as_array().is_some_and(|alerts| alerts.len() == 2)).then_some(())
    })
    .await;
    let pages = scene.service.pages("open").await;
    assert_eq!((pages.len(), &pages[0]["firing_count"]), (1, &json!(2)));
    scene.mend_shop();
    soon("one of two has ended", async || (scene.service.pages("open").await.first()?["firing_count"] == 1).then_some(())).await;
    assert!(!scene.pagerduty.incidents().iter().any(|incident| incident.state == "resolved"), "one shop is still down");
    scene.exporter.set(r#"shop_up{shop="second"}"#, 1.0);
    incident(&scene, "resolved").await;
    assert_eq!(scene.pagerduty.incidents().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_in_trouble_costs_a_delay_and_no_page() {
    let scene = Scene::start(Script::default()).await;
    for mode in
        [Mode::Down, Mode::Answers { status: 500, retry_after: None }, Mode::Answers { status: 429, retry_after: Some(2) }]
    {
        let before = scene.pagerduty.incidents().len();
        scene.pagerduty.be(mode);
        scene.break_shop();
        let failing = soon("an attempt has failed", async || {
            let deliveries = scene.service.deliveries().await;
            deliveries.into_iter().find(|one| {
                one["channel"] == "pagerduty" && one["state"] == "pending" && one["attempts"][0]["outcome"] == "retry"
            })
        })
        .await;
        assert!(failing["next_attempt_at"].is_string(), "{failing}");
        // The other channels do not wait for this one.
        soon("the webhook has heard", async || (scene.webhooks.taken().last()?["status"] == "firing").then_some(())).await;
        scene.pagerduty.be(Mode::Up);
        soon("the page arrives after all", async || (scene.pagerduty.incidents().len() == before + 1).then_some(())).await;
        let key = failing["key"].as_str().expect("a key");
        let delivered = soon("it is delivered", async || {
            scene.service.deliveries().await.into_iter().find(|one| one["key"] == key && one["state"] == "delivered")
        })
        .await;
        let attempts = delivered["attempts"].as_array().expect("a list");
        assert!(attempts.len() >= 2 && attempts.last().is_some_and(|last| last["outcome"] == "delivered"), "{delivered}");
        scene.mend_shop();
        soon("all is resolved", async || scene.pagerduty.incidents().iter().all(|one| one.state == "resolved").then_some(()))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_asks_for_patience_is_given_it() {
    let scene = Scene::start(Script::default()).await;
    scene.pagerduty.be(Mode::Answers { status: 429, retry_after: Some(4) });
    scene.break_shop();
    soon("one request", async || (!scene.pagerduty.received().is_empty()).then_some(())).await;
    scene.pagerduty.be(Mode::Up);
    // The first wait without a wish would be over after a second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.pagerduty.received().len(), 1, "the provider asked for four seconds");
    incident(&scene, "triggered").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_long_in_coming_does_not_hold_the_others() {
    let scene = Scene::start(Script::default()).await;
    scene.pagerduty.be(Mode::Holds);
    scene.break_shop();
    soon("the request is there", async || (!scene.pagerduty.received().is_empty()).then_some(())).await;
    soon("the webhook is delivered", async || scene.webhooks.taken().first().map(drop)).await;
    // What follows in the same lane waits its turn: a resolve must not overtake its trigger.
    scene.mend_shop();
    scene.service.alert("ShopDown", "resolved").await;
    assert_eq!(scene.pagerduty.received().len(), 1);
    scene.pagerduty.be(Mode::Up);
    incident(&scene, "resolved").await;
    let actions: Vec<Value> = scene.pagerduty.taken().iter().map(|event| event["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_a_stop_meets_is_made_once() {
    let mut scene = Scene::start(Script::default()).await;
    soon("the rule sees a shop that is well", async || scene.service.value("shop:up:count").await).await;
    scene.webhooks.be(Mode::Holds);
    scene.break_shop();
    soon("the webhook is under way", async || scene.webhooks.received().first().map(drop)).await;
    scene.service.signal("TERM").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.webhooks.be(Mode::Up);
    assert!(scene.service.ended().await);
    scene.service.restart().await;
    let webhook = soon("its end is known", async || {
        let all = scene.service.deliveries().await;
        all.into_iter().find(|delivery| delivery["channel"] == "webhook" && delivery["state"] == "delivered")
    })
    .await;
    assert_eq!(webhook["attempts"].as_array().map_or(0, Vec::len), 1, "{webhook}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.webhooks.received().len(), 1, "it is not sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_delivery_is_there_to_be_seen() {
    let scene = Scene::start(Script::default()).await;
    scene.pagerduty.be(Mode::Answers { status: 400, retry_after: None });
    scene.break_shop();
    let rejected = soon("a rejected delivery", async || {
        scene.service.get("/api/tocsin/v1/deliveries?state=rejected&channel=pagerduty").await["deliveries"]
            .as_array()
            .and_then(|list| list.first().cloned())
    })
    .await;
    assert_eq!((&rejected["channel"], &rejected["action"]), (&json!("pagerduty"), &json!("trigger")));
    assert_eq!(rejected["attempts"].as_array().map(Vec::len), Some(1), "what is refused is not tried again");
    let detail = rejected["attempts"][0]["detail"].as_str().expect("a text");
    assert!(detail.contains("400") && detail.contains("Event object is invalid"), "{detail}");
    assert!(!detail.contains(crate::harness::scene::ROUTING_KEY), "no secret is shown");
    let counts = scene.service.get("/api/tocsin/v1/deliveries").await["counts"].clone();
    assert_eq!(counts["rejected"], 1);
    let overview = scene.service.get("/api/tocsin/v1/overview").await;
    assert_eq!(overview["deliveries"]["failed_24h"], 1, "{overview}");
    let fingerprint = scene.service.alerts("ShopDown").await[0]["fingerprint"].as_str().expect("a text").to_owned();
    let alert = scene.service.get(&format!("/api/tocsin/v1/alerts/{fingerprint}")).await;
    assert!(alert["deliveries"].as_array().is_some_and(|list| list.iter().any(|one| one["state"] == "rejected")), "{alert}");
}

/// Waits for a delivery of a channel that has had an attempt.
async fn attempted(scene: &Scene, channel: &str) -> Value {
    soon("an attempt", async || {
        scene.service.deliveries().await.into_iter().find(|one| one["channel"] == channel && !one["attempts"][0].is_null())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_can_mend_is_no_refusal() {
    let scene = Scene::start(Script::default()).await;
    scene.pagerduty.be(Mode::Answers { status: 404, retry_after: None });
    scene.webhooks.be(Mode::Redirects { status: 302 });
    scene.break_shop();
    for (channel, word) in [("pagerduty", "404"), ("webhook", "302")] {
        let delivery = attempted(&scene, channel).await;
        assert_eq!((&delivery["state"], &delivery["attempts"][0]["outcome"]), (&json!("pending"), &json!("retry")), "{delivery}");
        assert!(delivery["attempts"][0]["detail"].as_str().is_some_and(|detail| detail.contains(word)), "{delivery}");
        let at =
            |value: &Value| tocsin_core::time::Timestamp::parse_rfc3339(value.as_str().expect("a text")).expect("an instant");
        let wait = at(&delivery["next_attempt_at"]) - at(&delivery["attempts"][0]["at"]);
        assert!(wait >= tocsin_core::time::Span::from_secs(60), "{wait}");
    }
    let methods: Vec<String> = scene.webhooks.received().into_iter().map(|one| one.method).collect();
    assert_eq!(methods, ["POST"], "a redirect that turns a post into a get loses the message");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_that_keeps_the_message_is_followed_and_a_stalled_answer_is_an_answer() {
    let scene = Scene::start(Script::default()).await;
    scene.webhooks.be(Mode::Redirects { status: 308 });
    scene.pagerduty.be(Mode::Stalls);
    scene.break_shop();
    for channel in ["pagerduty", "webhook"] {
        let delivery = attempted(&scene, channel).await;
        assert_eq!((&delivery["state"], &delivery["attempts"][1]), (&json!("delivered"), &Value::Null), "{delivery}");
    }
    let posts = scene.webhooks.received();
    assert!(
        posts.iter().all(|post| post.key == posts[0].key && post.body == posts[0].body),
        "one message has one key: {posts:?}"
    );
    assert!(posts[0].key.as_ref().is_some_and(|key| key.len() == 64), "{posts:?}");
    assert_eq!(scene.pagerduty.received().len(), 1);
    scene.mend_shop();
    soon("the end has another key", async || scene.webhooks.received().iter().any(|post| post.key != posts[0].key).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_mutes_and_its_preview_says_what() {
    let scene = Scene::start(Script::default()).await;
    let matchers = json!([{ "name": "shop", "value": "main", "isRegex": false, "isEqual": true }]);
    let nothing = scene.service.post("/api/tocsin/v1/silences/preview", &json!({ "matchers": matchers })).await;
    assert_eq!(nothing["total"], 0);
    let now = tocsin::clock::now();
    let silence = json!({
        "matchers": matchers, "createdBy": "ada", "comment": "a new till",
        "startsAt": now.rfc3339(), "endsAt": (now + tocsin_core::time::Span::from_mins(5)).rfc3339(),
    });
    let id = scene.service.post("/api/v2/silences", &silence).await["silenceID"].as_str().expect("an id").to_owned();
    scene.break_shop();
    let alert = scene.service.alert("ShopDown", "firing").await;
    let alert = soon("the alert is silenced", async || {
        scene.service.alerts("ShopDown").await.into_iter().find(|alert| alert["silenced_by"] == json!([id]))
    })
    .await["fingerprint"]
        == alert["fingerprint"];
    assert!(alert);
    let preview = scene.service.post("/api/tocsin/v1/silences/preview", &json!({ "matchers": matchers })).await;
    assert_eq!(
        (&preview["total"], &preview["critical"], &preview["covers_every_critical"]),
        (&json!(1), &json!(1), &json!(true))
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(scene.pagerduty.received().is_empty() && scene.webhooks.received().is_empty(), "nobody is told of what is muted");
    let (status, _) = scene.service.send(Method::DELETE, &format!("/api/v2/silence/{id}"), None).await;
    assert_eq!(status, 200);
    incident(&scene, "triggered").await;
}
