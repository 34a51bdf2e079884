//! Stories of notifications to chats, phones and incident services: what reaches each of them, and what its answers lead to.

mod desk;
mod providers;
mod texts;

use serde_json::{Value, json};
use tocsin_core::time::{Span, Timestamp};

use crate::harness::scene::{Scene, Script};
use crate::harness::{peers, soon};
use desk::{Desk, Provider, Reply};
use providers::PROVIDERS;

/// A word in every secret of the table.
const SECRET: &str = "hunter2";

struct World {
    scene: Scene,
    desks: Vec<Desk>,
}

impl World {
    /// Starts a service whose receiver has one integration of each kind, with further keys of its own.
    async fn start(more: fn(&Provider) -> String) -> World {
        let mut desks = Vec::new();
        let mut receiver = String::new();
        for provider in PROVIDERS {
            let desk = Desk::start(provider).await;
            receiver += &format!("    {}_configs:\n      - send_resolved: true\n", provider.kind);
            let (keys, more) = ((provider.keys)(&desk.url), more(provider));
            // What is set anew takes the place of what stands in the table.
            let is_anew = |line: &&str| more.split_once(':').is_some_and(|(key, _)| line.starts_with(&format!("{key}:")));
            for line in keys.lines().filter(|line| !is_anew(line)).chain(more.lines()) {
                receiver += &format!("        {line}\n");
            }
            desks.push(desk);
        }
        World { scene: Scene::start(Script { receiver, ..Script::default() }).await, desks }
    }

    /// Waits until each kind has had a delivery that ended so; returns it.
    async fn ended(&self, state: &str) -> Vec<(&'static Provider, Value)> {
        let mut all = Vec::new();
        for provider in PROVIDERS {
            let delivery = soon(&format!("{} has ended as {state}", provider.kind), async || {
                let mut all = self.scene.service.deliveries().await;
                all.retain(|one| one["channel"] == provider.kind && one["state"] == state);
                all.pop()
            })
            .await;
            all.push((provider, delivery));
        }
        all
    }

    /// Holds that no secret can be read anywhere.
    async fn assert_no_secret(&self) {
        let service = &self.scene.service;
        let deliveries = service.get("/api/tocsin/v1/deliveries").await.to_string();
        let status = service.get("/api/v2/status").await.to_string();
        let config = service.get("/api/v1/status/config").await.to_string();
        for (place, text) in [("log", service.log()), ("deliveries", deliveries), ("status", status), ("config", config)] {
            assert!(!text.contains(SECRET), "a secret stands in the {place}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_hears_of_trouble_and_of_its_end() {
    let world = World::start(|_| String::new()).await;
    world.scene.break_shop();
    world.ended("delivered").await;
    let page = soon("a page", async || world.scene.service.pages("open").await.pop()).await;
    let path = format!("/api/tocsin/v1/pages/{}/acknowledge", page["id"].as_str().expect("an id"));
    world.scene.service.post(&path, &json!({})).await;
    soon("who keeps incidents hears that somebody is at it", async || {
        world.desks.iter().all(|desk| !desk.provider.keeps_incidents || desk.seen().len() == 2).then_some(())
    })
    .await;
    world.scene.mend_shop();
    for desk in &world.desks {
        let provider = desk.provider;
        let expected: &[&str] =
            if provider.keeps_incidents { &["firing", "acknowledged", "resolved"] } else { &["firing", "resolved"] };
        soon(&format!("{} has heard all", provider.kind), async || (desk.seen().len() == expected.len()).then_some(())).await;
        let told: Vec<String> = desk.seen().iter().map(|seen| (provider.status)(seen)).collect();
        assert_eq!(told, expected, "{}: {:#?}", provider.kind, desk.seen());
        let first = desk.seen()[0].clone();
        assert!((provider.title)(&first).contains("[FIRING:1] ShopDown main"), "{}: {first:#?}", provider.kind);
        desk.assert_no_faults();
    }
    world.assert_no_secret().await;
    let url = world.scene.service.url("");
    let shown = peers::ask("amtool", &["config", "routes", "show", "--alertmanager.url", &url]).await;
    assert!(shown.contains("team"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_wants_patience_is_given_it_and_hears_all_the_same() {
    let world = World::start(|_| String::new()).await;
    world.desks.iter().for_each(|desk| desk.next(desk.provider.limited));
    world.scene.break_shop();
    for (provider, delivery) in world.ended("delivered").await {
        let attempts = delivery["attempts"].as_array().expect("a list");
        let outcomes: Vec<&str> = attempts.iter().filter_map(|attempt| attempt["outcome"].as_str()).collect();
        assert_eq!(outcomes, ["retry", "delivered"], "{delivery}");
        let at = |attempt: &Value| Timestamp::parse_rfc3339(attempt["at"].as_str().expect("a text")).expect("an instant");
        let wait = at(&attempts[1]) - at(&attempts[0]);
        // Without a wish the next attempt would come after a second and a quarter at most.
        assert!(wait >= Span::from_secs(2), "{}: {wait}", provider.kind);
    }
    world.assert_no_secret().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_final_and_told_in_the_words_of_the_provider() {
    let world = World::start(|_| String::new()).await;
    world.desks.iter().for_each(|desk| desk.next(desk.provider.refused));
    world.scene.break_shop();
    for (provider, delivery) in world.ended("rejected").await {
        let attempts = delivery["attempts"].as_array().expect("a list");
        let detail = attempts[0]["detail"].as_str().expect("a text");
        let words = provider.refused.body.split('"').find(|word| word.contains(' ') || word.contains('_')).expect("a reason");
        assert!(attempts.len() == 1 && detail.contains(words), "{}: {delivery}", provider.kind);
    }
    world.assert_no_secret().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_template_costs_its_words_and_no_page() {
    let world = World::start(|provider| format!("{}: '{{{{ (index .Alerts 99).Status }}}}'", provider.title_key)).await;
    world.scene.break_shop();
    for (provider, delivery) in world.ended("delivered").await {
        let detail = delivery["attempts"][0]["detail"].as_str().expect("a text");
        assert!(detail.contains(&format!("{}: ", provider.title_key)), "{}: {detail}", provider.kind);
    }
    for desk in &world.desks {
        let first = desk.seen()[0].clone();
        assert!((desk.provider.title)(&first).contains("FIRING:1"), "{}: {first:#?}", desk.provider.kind);
        desk.assert_no_faults();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_repeats_is_shown_without_secrets() {
    let world = World::start(|_| String::new()).await;
    world.desks.iter().for_each(Desk::repeat_next);
    world.scene.break_shop();
    for (provider, delivery) in world.ended("rejected").await {
        let detail = delivery["attempts"][0]["detail"].as_str().expect("a text");
        assert!(detail.contains("cannot take"), "{}: {detail}", provider.kind);
    }
    world.assert_no_secret().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markup_that_cannot_be_read_costs_the_markup_and_no_time() {
    let world = World::start(|_| String::new()).await;
    let telegram = world.desks.iter().find(|desk| desk.provider.kind == "telegram").expect("a desk");
    let body = r#"{"ok":false,"error_code":400,"description":"Bad Request: can't parse entities: unclosed tag"}"#;
    telegram.next(Reply { status: 400, headers: &[], body });
    world.scene.break_shop();
    let (_, delivery) = world.ended("delivered").await.into_iter().find(|(one, _)| one.kind == "telegram").expect("a delivery");
    assert_eq!(delivery["attempts"].as_array().map(Vec::len), Some(1), "{delivery}");
    let modes: Vec<Value> = telegram.seen().iter().map(|seen| seen.json()["parse_mode"].clone()).collect();
    assert_eq!(modes, [json!("HTML"), Value::Null]);
    assert!(telegram.seen()[1].body.contains("[FIRING:1] ShopDown main"), "{:#?}", telegram.seen());
    assert!(delivery["attempts"][0]["detail"].as_str().is_some_and(|detail| detail.contains("markup")), "{delivery}");
}
