//! Stories of journeys: a user's way through a shop that goes wrong in many ways.

use std::time::Duration;

use serde_json::{Value, json};
use tocsin::clock;
use tocsin_core::time::{Span, Timestamp};

use crate::harness::service::{Service, Setup};
use crate::harness::shop::{Mode, Seen, Shop};
use crate::harness::soon;

fn journey(shop: &Shop, name: &str, more: &str) -> String {
    let address = &shop.address;
    format!(
        "  - name: {name}\n    platform: demo\n    interval: 1s\n    timeout: 800ms\n    labels: {{region: local}}\n    cache_buster: \
         fresh\n{more}    steps:\n      - {{name: login, method: POST, url: 'http://{address}/login', body: {{user: u, password: \
         {{secret_file: secret}}}}, save: {{token: /token}}}}\n      - {{name: order, method: POST, url: 'http://{address}/orders', \
         headers: {{Authorization: {{text: ['Bearer ', {{saved: token}}]}}}}, json: {{/state: order taken}}}}\n"
    )
}

fn setup(config: String) -> Setup {
    Setup::new(config).with_file("secret", "hunter2")
}

fn config(journeys: &str) -> String {
    format!("global: {{evaluation_interval: 10s}}\nrule_files: [rules.yml]\njourneys:\n{journeys}")
}

fn rules(interval: &str) -> String {
    format!(
        "groups: [{{name: r, interval: {interval}, rules: [{{alert: JourneyFails, expr: 'tocsin_journey_success == 0', labels: \
         {{severity: critical}}}}]}}]"
    )
}

async fn show(service: &Service, name: &str) -> Value {
    let all = service.get("/api/tocsin/v1/journeys").await;
    let list = all["journeys"].as_array().expect("a list").clone();
    list.into_iter().find(|journey| journey["name"] == name).unwrap_or_else(|| panic!("no {name} in {all}"))
}

async fn fails(service: &Service, reason: &str) -> Value {
    soon(&format!("the journey fails with {reason:?}"), async || {
        let shown = show(service, "order").await;
        shown["last"]["reason"].as_str().is_some_and(|said| said.contains(reason)).then_some(shown)
    })
    .await
}

async fn succeeds(service: &Service) -> Value {
    soon("the journey succeeds", async || {
        let shown = show(service, "order").await;
        (shown["last"]["ok"] == true).then_some(shown)
    })
    .await
}

fn began(attempt: &Value) -> Timestamp {
    Timestamp::parse_rfc3339(attempt["began"].as_str().expect("a text")).expect("an instant")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_goes_from_login_to_order_on_fresh_connections() {
    let shop = Shop::start().await;
    let service = Service::start(setup(config(&journey(&shop, "order", ""))).with_file("rules.yml", rules("1s"))).await;
    let shown = succeeds(&service).await;
    assert_eq!((&shown["platform"], &shown["interval_seconds"]), (&json!("demo"), &json!(1.0)));
    assert_eq!((&shown["steps"][1]["name"], &shown["steps"][1]["status"]), (&json!("order"), &json!(200)));
    let labels = "{journey='order',platform='demo',region='local',job='journeys',instance='order'}";
    assert_eq!(service.value(&format!("tocsin_journey_success{labels}")).await, Some(1.0));
    assert_eq!(service.value("sum(tocsin_journey_step_success{journey='order'})").await, Some(2.0));
    assert_eq!(service.value("tocsin_journey_step_status_code{step='order'}").await, Some(200.0));
    assert_eq!(service.value("probe_success{journey='order',platform='demo'}").await, Some(1.0));
    let last = began(&shown["last"]);
    let stamp = service.value("timestamp(tocsin_journey_success)").await.expect("a sample");
    assert!((stamp - last.0 as f64 / 1000.0).abs() < 1.5, "samples carry the instant at which their attempt began");

    let seen: Vec<Seen> = shop.seen();
    let (login, order) = (&seen[0], &seen[1]);
    assert_eq!(login.body, r#"{"password":"hunter2","user":"u"}"#);
    assert!(login.head.starts_with("POST /login?fresh=") && login.head.contains("cache-control: no-cache"), "{}", login.head);
    assert!(order.head.contains("authorization: Bearer t-42"), "{}", order.head);
    assert!(shop.connections() >= seen.len(), "every request has a connection of its own");
    let log = service.log();
    assert!(!log.contains("hunter2") && !service.get("/api/v1/status/config").await.to_string().contains("hunter2"));
    assert!(!log.contains("a journey fails"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_fail_is_noticed_told_and_passes() {
    let (shop, elsewhere) = (Shop::start().await, Shop::start().await);
    let service = Service::start(setup(config(&journey(&shop, "order", ""))).with_file("rules.yml", rules("1s"))).await;
    succeeds(&service).await;
    for (mode, reason) in [
        (Mode::Status(503), "login: HTTP status 503, expected 200 to 299"),
        (Mode::Slow(Duration::from_secs(3)), "login: no whole answer within the timeout of 800ms"),
        (Mode::Wrong, "login: the answer is no JSON"),
        (Mode::Redirect(format!("http://{}/moved", elsewhere.address)), "login: HTTP status 302"),
        (Mode::Huge, "login: the answer is longer than 1048576 bytes"),
        (Mode::Cut, "login: the answer breaks off"),
    ] {
        shop.set(mode);
        let shown = fails(&service, reason).await;
        assert_eq!(shown["last"]["ok"], false);
        assert_eq!((&shown["steps"][1]["ok"], &shown["steps"][1]["duration_seconds"]), (&json!(false), &Value::Null));
        service.alert("JourneyFails", "firing").await;
        assert_eq!(service.value("tocsin_journey_success").await, Some(0.0));
        assert_eq!(service.value("up{job='journeys'}").await, Some(1.0), "we could ask");
        assert_eq!(service.query("tocsin_journey_step_duration_seconds{step='order'}").await.len(), 0, "it was not reached");
        assert!(service.log().contains(reason), "{}", service.log());
        shop.set(Mode::Up);
        succeeds(&service).await;
        soon("the alert ends", async || {
            service.alerts("JourneyFails").await.iter().all(|alert| alert["state"] != "firing").then_some(())
        })
        .await;
    }
    assert_eq!(elsewhere.connections(), 0, "nobody is sent elsewhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_followed_where_it_is_asked_for_and_stays_on_the_host() {
    let (shop, elsewhere) = (Shop::start().await, Shop::start().await);
    let text = format!(
        "rule_files: [rules.yml]\njourneys:\n- name: order\n  interval: 1s\n  http_config: {{follow_redirects: true}}\n  steps: [{{name: order, url: \
         'http://{}/order', contains: order taken}}]\n",
        shop.address
    );
    shop.set(Mode::Redirect("/moved".to_owned()));
    // The interval is so long that an alert in good time is one of an early look.
    let service = Service::start(setup(text).with_file("rules.yml", rules("10m"))).await;
    succeeds(&service).await;
    shop.set(Mode::Redirect(format!("http://{}/moved", elsewhere.address)));
    fails(&service, "order: HTTP status 302").await;
    service.alert("JourneyFails", "firing").await;
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_beat_goes_on_before_a_hung_server_and_under_load() {
    let shop = Shop::start().await;
    let service = Service::start(setup(config(&journey(&shop, "order", ""))).with_file("rules.yml", rules("1s"))).await;
    succeeds(&service).await;
    shop.set(Mode::Hung);
    let from = clock::now() + Span(1500);
    // Queries that keep the other threads busy.
    let busy = async {
        let query = "/api/v1/query_range?query=sum(sin(vector(time())))&start=0&end=1000000&step=100";
        while clock::now() < from + Span::from_secs(10) {
            let ask = || service.client.get(service.url(query)).send();
            let _ = tokio::join!(ask(), ask(), ask(), ask());
        }
    };
    busy.await;
    let shown = show(&service, "order").await;
    let beats: Vec<Timestamp> = shown["recent"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|attempt| attempt["ok"] == false)
        .map(began)
        .filter(|at| *at >= from)
        .collect();
    assert!(beats.len() >= 9, "{beats:?}");
    for pair in beats.windows(2) {
        let gap = pair[1].since(pair[0]).0;
        assert!((900..=1100).contains(&gap), "a beat of {gap} ms in {beats:?}");
    }
    assert_eq!(shown["last"]["late"], false);
    assert_eq!(shown["steps"][0]["duration_seconds"].as_f64().map(|seconds| (seconds * 5.0).round()), Some(4.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_begins_late_says_so() {
    let shop = Shop::start().await;
    let service = Service::start(setup(config(&journey(&shop, "order", ""))).with_file("rules.yml", rules("1s"))).await;
    succeeds(&service).await;
    service.signal("STOP").await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    service.signal("CONT").await;
    soon("a late attempt in the store", async || service.value("max_over_time(tocsin_journey_late_seconds[1m]) > 0.5").await)
        .await;
    let metrics = service.client.get(service.url("/metrics")).send().await.expect("an answer").text().await.expect("a text");
    let late = metrics.lines().find_map(|line| line.strip_prefix("tocsin_journey_attempts_late_total ")).expect("the counter");
    assert!(late.parse::<u32>().is_ok_and(|late| (1..=2).contains(&late)), "one burst at most, no attempts made up for: {late}");
    assert!(service.log().contains("an attempt at a journey began late"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_leaves_alone_what_stays_and_ends_what_goes() {
    let shop = Shop::start().await;
    let all = |order: &str, others: &[&str]| {
        let others: String = others.iter().map(|name| journey(&shop, name, "")).collect();
        config(&format!("{}{others}", journey(&shop, "order", order)))
    };
    let service = Service::start(setup(all("", &["stays", "goes"])).with_file("rules.yml", rules("1s"))).await;
    for name in ["stays", "goes"] {
        soon(name, async || (show(&service, name).await["last"]["ok"] == true).then_some(())).await;
    }
    let before = succeeds(&service).await;
    let first = began(&before["recent"][0]);
    std::fs::write(service.path("tocsin.yml"), all("    bypass_cache: false\n", &["stays", "comes"])).expect("a file");
    service.post("/-/reload", &json!({})).await;
    soon("the new one", async || (show(&service, "comes").await["last"]["ok"] == true).then_some(())).await;
    assert_eq!(service.query("tocsin_journey_success{journey='goes'}").await.len(), 0, "its series have ended");
    let after = succeeds(&service).await;
    assert_eq!(began(&after["recent"][0]), first, "one that changed keeps its memory");
    soon("it asks in its new way", async || shop.seen().last().filter(|seen| !seen.head.contains("cache-control")).map(|_| ()))
        .await;
    let stays = show(&service, "stays").await;
    let beats: Vec<Timestamp> = stays["recent"].as_array().expect("a list").iter().map(began).collect();
    for pair in beats.windows(2) {
        assert!(pair[1].since(pair[0]).0 < 1500, "no beat is left out: {beats:?}");
    }
    assert_eq!(service.value("count(tocsin_journey_success)").await, Some(3.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_our_own_is_told_apart_from_one_of_the_shop() {
    let shop = Shop::start().await;
    let service = Service::start(setup(config(&journey(&shop, "order", ""))).with_file("rules.yml", rules("1s"))).await;
    succeeds(&service).await;
    std::fs::remove_file(service.path("secret")).expect("a file");
    fails(&service, "cannot read the secret in file").await;
    assert_eq!(service.value("up{job='journeys'}").await, Some(0.0));
    std::fs::write(service.path("secret"), "hunter2").expect("a file");
    succeeds(&service).await;
}
