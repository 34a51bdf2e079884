//! Stories of running the service: starting, reloading, stopping, and what it says of itself.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tocsin::http::access::ROUTES;

use crate::harness::exporter::Exporter;
use crate::harness::scene::{Scene, Script, rules};
use crate::harness::service::{Service, Setup, run};
use crate::harness::{repository, soon};

const ROUTE: &str = "route: {receiver: none}\nreceivers: [{name: none}]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_reloads_by_signal_and_by_request_and_refuses_what_is_bad() {
    let scene = Scene::start(Script { hold: "1h", ..Script::default() }).await;
    let service = &scene.service;
    scene.break_shop();
    let pending = service.alert("ShopDown", "pending").await;
    let config = std::fs::read_to_string(service.path("tocsin.yml")).expect("a file");

    let second = Exporter::start().await;
    second.set("second_is_here", 1.0);
    let both = config.replace(
        "scrape_configs:",
        &format!("scrape_configs:\n  - job_name: second\n    static_configs: [{{targets: ['{}']}}]", second.address),
    );
    std::fs::write(service.path("tocsin.yml"), &both).expect("a file");
    service.signal("HUP").await;
    soon("the new target is scraped", async || service.value("second_is_here").await).await;
    assert_eq!(
        service.alerts("ShopDown").await[0]["active_at"],
        pending["active_at"],
        "a reload does not touch the clock of `for`"
    );

    let bad = both
        .replace("receiver: team\n  group_by", "receiver: nobody\n  group_by")
        .replace("scrape_timeout: 1s", "scrape_timeout: soon");
    assert_ne!(bad, both);
    std::fs::write(service.path("tocsin.yml"), &bad).expect("a file");
    let (status, body) = service.send(Method::POST, "/-/reload", None).await;
    assert!(!(200..300).contains(&status), "{body}");
    let detail = body["detail"].as_str().expect("a text");
    assert!(
        detail.contains("tocsin.yml:4") && detail.contains("scrape_timeout") && detail.contains("nobody"),
        "all faults, each with its place: {detail}"
    );
    service.signal("HUP").await;
    soon("the signal's reload is refused aloud", async || service.log().contains("the old one stays").then_some(())).await;
    let scrapes = second.scrapes();
    soon("the old configuration runs on", async || (second.scrapes() > scrapes + 2).then_some(())).await;
    let metrics = service.send(Method::GET, "/metrics", None).await.1;
    assert!(metrics.as_str().expect("a text").contains("reload_successful 0"), "{metrics}");

    // A bad rule file is as bad as a bad configuration, and nothing of the new state is used.
    std::fs::write(service.path("tocsin.yml"), &config).expect("a file");
    std::fs::write(service.path("rules.yml"), "groups: [{name: g, rules: [{alert: A, expr: 'up ('}]}]").expect("a file");
    let (status, body) = service.send(Method::POST, "/-/reload", None).await;
    assert!(status >= 400 && body["detail"].as_str().is_some_and(|detail| detail.contains("rules.yml:1")), "{body}");
    assert!(service.value("second_is_here").await.is_some());

    std::fs::write(service.path("rules.yml"), rules("0s")).expect("a file");
    service.post("/-/reload", &json!({})).await;
    service.alert("ShopDown", "firing").await;
    let targets = service.get("/api/v1/targets").await;
    assert_eq!(targets["data"]["activeTargets"].as_array().map(Vec::len), Some(1));
    let metrics = service.send(Method::GET, "/metrics", None).await.1;
    assert!(metrics.as_str().expect("a text").contains("reload_successful 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_says_which_changes_wait_for_a_restart() {
    let service = Service::start(Setup::new(ROUTE)).await;
    let path = service.path("tocsin.yml");
    std::fs::write(&path, format!("{ROUTE}web: {{external_url: 'http://new.example'}}\nstorage: {{retention: 3d}}\n"))
        .expect("a file");
    let said = service.post("/-/reload", &json!({})).await;
    let said = said.as_str().expect("a text");
    assert!(said.contains("warning: web: ") && said.contains("warning: storage: ") && !said.contains("database"), "{said}");
    std::fs::write(&path, ROUTE).expect("a file");
    assert_eq!(service.post("/-/reload", &json!({})).await, "", "what is as it was at the start waits for nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_filter_that_cannot_be_read_is_refused() {
    let output = run(&["--log", "tocsin=loud", "check", "config", "/dev/null"]).await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("--log") && said.contains("tocsin=loud"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_prometheus_find_what_they_ask_for() {
    let scene = Scene::start(Script { more: "storage: {tsdb: {retention: {size: 2GB}}}".to_owned(), ..Script::default() }).await;
    let service = &scene.service;
    soon("a sample", async || service.value("shop_up").await).await;
    let none = service.get("/api/v1/query_exemplars?query=up&start=0&end=1").await;
    assert_eq!(none, json!({ "status": "success", "data": [] }));
    assert_eq!(service.send(Method::GET, "/api/v1/query_exemplars?query=up(", None).await.0, 400);
    let others = service.get("/api/v1/alertmanagers").await;
    assert_eq!(others["data"], json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] }));
    let flags = service.get("/api/v1/status/flags").await;
    assert_eq!(flags["data"]["storage.tsdb.retention.size"], "2147483648B", "{flags}");
    let runtime = service.get("/api/v1/status/runtimeinfo").await;
    assert_eq!(runtime["data"]["storageRetention"], "15d or 2147483648B", "{runtime}");
    let tsdb = service.get("/api/v1/status/tsdb").await;
    assert!(tsdb["data"]["headStats"]["numSeries"].as_u64().is_some_and(|series| series > 0), "{tsdb}");
    scene.exporter.set("# HELP shop_rooms how many\n# TYPE shop_rooms gauge\nshop_rooms", 3.0);
    let known = soon("what is known of a metric", async || {
        let answer = service.get("/api/v1/targets/metadata?metric=shop_rooms").await;
        answer["data"].as_array().and_then(|list| list.first()).cloned()
    })
    .await;
    assert_eq!((&known["type"], &known["help"], &known["target"]["job"]), (&json!("gauge"), &json!("how many"), &json!("shop")));
    let elsewhere = service.get("/api/v1/targets/metadata?match_target=%7Bjob%3D%22other%22%7D").await;
    assert_eq!(elsewhere["data"], json!([]));
    let answer = service.client.get(service.url("/api/v1/labels")).send().await.expect("an answer");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(service.get("/api/v1/labels").await["status"], "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_within_ten_seconds_even_when_everything_hangs() {
    let mut scene = Scene::start(Script::default()).await;
    scene.pagerduty.be(crate::harness::stand_in::Mode::Holds);
    scene.break_shop();
    soon("a request is on its way", async || (!scene.pagerduty.received().is_empty()).then_some(())).await;
    scene.exporter.be(crate::harness::exporter::Health::Hanging);
    // A browser that listens to the stream never hangs up by itself.
    let stream = scene.service.client.get(scene.service.url("/api/tocsin/v1/stream")).send().await.expect("an answer");
    assert_eq!(stream.status(), 200);
    let took = scene.service.terminate().await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    let log = scene.service.log();
    assert!(!log.contains("panicked") && !log.contains("did not end in time"), "{log}");
    scene.pagerduty.be(crate::harness::stand_in::Mode::Up);
    scene.service.restart().await;
    soon("the delivery is made after the restart", async || {
        scene.service.deliveries().await.iter().all(|one| one["state"] == "delivered").then_some(())
    })
    .await;
    let keys: std::collections::BTreeSet<String> =
        scene.pagerduty.incidents().into_iter().map(|incident| incident.dedup_key).collect();
    assert_eq!(keys.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trusting_everybody_is_refused_where_others_can_reach_us() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let mut service = Service::prepare(Setup::new(ROUTE));
        service.address = listen.to_owned();
        service.launch(&[]);
        assert!(!service.ended().await, "{listen}");
        let log = service.log();
        assert!(log.contains("--no-auth is refused") && log.contains("listen on 127.0.0.1"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_start_says_every_fault() {
    let mut service = Service::prepare(Setup::new(
        "global: {scrape_interval: 0x}\nscrape_configs:\n  - job_name: a\n    nonsense: 1\nroute: {}\n",
    ));
    service.launch(&[]);
    assert!(!service.ended().await);
    let log = service.log();
    for fault in ["tocsin.yml:1", "scrape_interval", "tocsin.yml:4", "nonsense", "tocsin.yml:5"] {
        assert!(log.contains(fault), "{fault} is missing in {log}");
    }
    let output = run(&["serve", "--config", "/nowhere/tocsin.yml"]).await;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/tocsin.yml"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_files_of_a_team_start_unchanged() {
    let exporter = Exporter::start().await;
    exporter.set("shop_up", 1.0);
    let prometheus = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s, external_labels: {{region: west}}}}\nrule_files: [rules.yml]\nalerting:\n  \
         alertmanagers: [{{static_configs: [{{targets: ['localhost:9093']}}]}}]\nscrape_configs:\n  - job_name: shop\n    static_configs: \
         [{{targets: ['{}']}}]\n",
        exporter.address
    );
    let alertmanager = "global: {resolve_timeout: 5m}\nroute: {receiver: none, group_wait: 1s}\nreceivers: [{name: none}]\n";
    let mut service =
        Service::prepare(Setup::new(prometheus).with_file("alertmanager.yml", alertmanager).with_file("rules.yml", rules("0s")));
    let second = service.path("alertmanager.yml").display().to_string();
    service.launch(&["--alertmanager-config".to_owned(), second]);
    service.wait_until_ready().await;
    soon("a sample", async || service.value("shop_up").await).await;
    let status = service.get("/api/v2/status").await;
    assert!(status["config"]["original"].as_str().is_some_and(|yaml| yaml.contains("receiver: none")), "{status}");
    exporter.set("shop_up", 0.0);
    service.alert("ShopDown", "firing").await;
    let alerts = service.get("/api/v2/alerts").await;
    assert_eq!(alerts[0]["labels"]["region"], "west", "alerts leave with the external labels: {alerts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_own_metrics_can_be_read() {
    let scene = Scene::start(Script::default()).await;
    scene.break_shop();
    soon("a delivery", async || scene.pagerduty.incidents().first().map(drop)).await;
    let asked = scene.service.client.get(scene.service.url("/metrics")).header("accept", "application/openmetrics-text");
    let answer = asked.send().await.expect("an answer");
    let kind = answer.headers()["content-type"].to_str().expect("a text").to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = answer.text().await.expect("a text");
    assert!(text.ends_with("# EOF\n"));
    let names = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next());
    let is_ours = |name: &str| ["tocsin_", "process_", "alertmanager_"].iter().any(|begin| name.starts_with(begin));
    let foreign: Vec<&str> = names.filter(|name| !is_ours(name)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    for line in ["tocsin_alerts_firing 1", "tocsin_pages_open 1", "tocsin_panics_total 0", "tocsin_runs{state=\"needs_human\"} 0"]
    {
        assert!(text.lines().any(|own| own == line), "{line} is missing in {text}");
    }
    // It can watch itself.
    let service = Service::start(Setup::new(format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: tocsin\n    static_configs: [{{targets: ['{}']}}]\n",
        scene.service.address
    )))
    .await;
    soon("it scrapes another of its kind", async || service.value("up").await.filter(|up| *up == 1.0)).await;
    assert_eq!(service.value("tocsin_pages_open").await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_of_the_api_is_the_committed_one() {
    let printed = run(&["openapi"]).await;
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).expect("text");
    let committed = std::fs::read_to_string(repository().join("docs/openapi.json")).unwrap_or_default();
    assert!(
        printed.trim() == committed.trim(),
        "docs/openapi.json is not what the program says; write it anew: target/debug/tocsin openapi >docs/openapi.json"
    );
    let document: Value = serde_json::from_str(&printed).expect("JSON");
    let service = Service::start(Setup::new(ROUTE)).await;
    assert_eq!(service.get("/api/tocsin/v1/openapi.json").await, document);

    // The document and the table of roles know the same routes.
    let mut documented = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        documented.extend(methods.as_object().expect("methods").keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    documented.sort();
    let undocumented = ["/api/tocsin/v1/openapi.json", "/api/tocsin/v1/stream"];
    let mut known: Vec<(String, String)> = ROUTES
        .iter()
        .filter(|(_, path, _)| path.starts_with("/api/tocsin/") && !undocumented.contains(path))
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    known.sort();
    documented.retain(|(_, path)| !undocumented.contains(&path.as_str()));
    assert_eq!(documented, known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_tells_what_changes() {
    let scene = Scene::start(Script::default()).await;
    let mut stream = scene.service.client.get(scene.service.url("/api/tocsin/v1/stream")).send().await.expect("an answer");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    scene.break_shop();
    let reading = async {
        while !["\"alerts\"", "\"pages\"", "\"deliveries\"", "\"inbox\"", "event: heartbeat"]
            .iter()
            .all(|word| text.contains(word))
        {
            let piece = stream.chunk().await.expect("a piece").expect("the stream goes on");
            text.push_str(&String::from_utf8_lossy(&piece));
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(30), reading).await;
    assert!(read.is_ok(), "not everything was told: {text}");
    let last = text.lines().filter_map(|line| line.strip_prefix("id:")).next_back().expect("an id").trim().to_owned();
    let mut resumed = scene
        .service
        .client
        .get(scene.service.url("/api/tocsin/v1/stream"))
        .header("Last-Event-ID", &last)
        .send()
        .await
        .expect("an answer");
    scene.mend_shop();
    let piece = resumed.chunk().await.expect("a piece").expect("the stream goes on");
    assert!(!String::from_utf8_lossy(&piece).contains("event: resync"), "nothing was missed, so nothing is to be read anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_travel_small_and_the_stream_at_once() {
    let scene = Scene::start(Script::default()).await;
    // The client of the harness asks for nothing and unpacks nothing, so it sees what travels.
    let ask = async |path: &str| {
        let request = scene.service.client.get(scene.service.url(path)).header("Accept-Encoding", "gzip");
        request.send().await.expect("an answer")
    };
    let plain = scene.service.client.get(scene.service.url("/metrics")).send().await.expect("an answer");
    assert!(!plain.headers().contains_key("content-encoding"));
    let plain = plain.bytes().await.expect("a body");
    let small = ask("/metrics").await;
    assert_eq!(small.headers()["content-encoding"], "gzip");
    let small = small.bytes().await.expect("a body");
    assert!(small.len() * 2 < plain.len(), "{} bytes of {}", small.len(), plain.len());
    let page = scene.service.client.get(scene.service.url("/")).send().await.expect("an answer").text().await.expect("a page");
    if let Some(script) = page.split('"').find(|word| word.ends_with(".js")) {
        let packed = ask(script.trim_start_matches('.')).await;
        assert_eq!(
            (&packed.headers()["content-encoding"], &packed.headers()["vary"]),
            (&"gzip".parse().expect("a value"), &"accept-encoding".parse().expect("a value"))
        );
        assert!(packed.headers().contains_key("content-length"), "it is packed already, not while it travels");
    }
    let stream = ask("/api/tocsin/v1/stream").await;
    assert!(!stream.headers().contains_key("content-encoding"), "a compressor would hold events back");
}
