//! All that is served, below a path: by flags, by the configuration, beside a real Alertmanager under its own path.

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tocsin::clock;
use tocsin_core::time::Span;

use crate::harness::peers;
use crate::harness::recorder::Recorder;
use crate::harness::service::{Service, Setup};
use crate::harness::{free_port, soon};

const PREFIX: &str = "/deep/tocsin";

fn config(recorder: &Recorder) -> String {
    format!(
        "route: {{receiver: hook, group_wait: 0s}}\nreceivers: [{{name: hook, webhook_configs: [{{url: 'http://{}/'}}]}}]\n",
        recorder.address
    )
}

async fn start(setup: Setup, flags: &[&str]) -> Service {
    let mut service = Service::prepare(setup);
    service.launch(&flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>());
    service.wait_until_ready().await;
    service
}

/// Returns the status of a page without following where it leads, and where that is.
async fn leads(address: &str, path: &str) -> (u16, String) {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let answer = client.get(format!("http://{address}{path}")).send().await.expect("an answer");
    let to = answer.headers().get("location").map(|to| to.to_str().expect("a text").to_owned());
    (answer.status().as_u16(), to.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_served_below_the_path_of_the_external_url() {
    let recorder = Recorder::start().await;
    let setup = Setup::new(config(&recorder)).with_prefix(PREFIX);
    let service = start(setup, &["--web.external-url=http://watch.test/deep/tocsin/"]).await;
    let alert = json!([{ "labels": { "alertname": "Down" }, "endsAt": (clock::now() + Span::from_mins(60)).rfc3339() }]);
    service.post("/api/v2/alerts", &alert).await;
    let told = soon("the alert is told", async || recorder.taken().first().cloned()).await;
    assert_eq!(told.body["externalURL"], "http://watch.test/deep/tocsin");

    let amtool = async |words: &[&str]| {
        let url = format!("--alertmanager.url={}", service.url(""));
        peers::ask("amtool", &[words, &[&url]].concat()).await
    };
    let alerts: Vec<Value> = serde_json::from_str(&amtool(&["alert", "query", "--output=json"]).await).expect("JSON");
    assert_eq!(alerts[0]["labels"]["alertname"], "Down");
    let id = amtool(&["silence", "add", "alertname=Down", "--author=ada", "--comment=x", "--duration=2h"]).await;
    assert_eq!(service.get(&format!("/api/v2/silence/{}", id.trim())).await["status"]["state"], "active");
    amtool(&["silence", "expire", id.trim()]).await;

    assert_eq!(service.get("/api/v1/query?query=1%2B1").await["data"]["result"][1], "2");
    assert_eq!(service.get("/api/v1/status/flags").await["data"]["web.route-prefix"], PREFIX);
    assert_eq!(service.get("/api/tocsin/v1/session").await["external_url"], "http://watch.test/deep/tocsin");
    let text = async |path: &str| {
        let (status, body) = service.send(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}");
        body.as_str().expect("a text").to_owned()
    };
    assert!(text("/metrics").await.contains("tocsin_build_info"));
    for (path, up) in [("/", "./"), ("/alerts", "./"), ("/alerts/why", "../"), ("/runs/documents/x", "../../")] {
        let page = text(path).await;
        assert!(page.contains(&format!("name=\"tocsin-base\" content=\"{up}\"")), "{path}: {page}");
        assert!(page.contains(&format!("src=\"{up}theme.js\"")) && !page.contains("\"/"), "{path}: {page}");
    }
    assert!(text("/theme.js").await.contains("data-theme"));
    assert_eq!(service.send(Method::GET, "/api/v2/nothing", None).await.0, 404);

    let leads = async |path| leads(&service.address, path).await;
    let root = (302, format!("{PREFIX}/"));
    assert_eq!((leads("/").await, leads(PREFIX).await), (root.clone(), root));
    for path in ["/metrics", "/-/healthy", "/deep", "/deep/tocsins/-/healthy", "/api/v2/alerts"] {
        assert_eq!(leads(path).await, (404, String::new()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_in_is_that_of_alertmanager() {
    let recorder = Recorder::start().await;
    let flags = ["--web.external-url=http://watch.test/other", "--web.route-prefix=deep/tocsin/"];
    let ours = start(Setup::new(config(&recorder)).with_prefix(PREFIX), &flags).await;
    let (folder, port) = (TempDir::new().expect("a temporary folder"), free_port());
    let theirs = peers::alertmanager_with(folder.path(), &config(&recorder), &flags, port, PREFIX).await;
    for path in [
        "/",
        "/metrics",
        "/-/ready",
        "/api/v2/status",
        "/deep/tocsin/-/ready",
        "/deep/tocsin/api/v2/status",
        "/deep/tocsin/metrics",
    ] {
        let (ours, theirs) = (leads(&ours.address, path).await, leads(&theirs.address, path).await);
        assert_eq!((ours.0, ours.1.trim_end_matches('/')), (theirs.0, theirs.1.trim_end_matches('/')), "{path}");
    }
    assert_eq!(ours.get("/api/v1/status/flags").await["data"]["web.external-url"], "http://watch.test/other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_may_take_the_path_away() {
    let recorder = Recorder::start().await;
    let setup = Setup::new("web: {external_url: 'http://watch.test/tocsin', route_prefix: /}\n".to_owned() + &config(&recorder));
    let service = start(setup, &[]).await;
    assert_eq!(leads(&service.address, "/-/ready").await.0, 200);
    assert_eq!(service.get("/api/v1/status/flags").await["data"]["web.route-prefix"], "/");
    assert_eq!(leads(&service.address, "/").await, (200, String::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_prefix_is_refused() {
    for (flag, fault) in [("--web.route-prefix=/a b", "a prefix holds"), ("--web.external-url=watch.test", "URL scheme must be")]
    {
        let mut service = Service::prepare(Setup::new("{}"));
        service.launch(&[flag.to_owned()]);
        assert!(!service.ended().await);
        assert!((service.log() + &service.printed()).contains(fault), "{}", service.log());
    }
}
