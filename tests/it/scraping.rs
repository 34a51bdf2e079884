//! Stories of scraping, storing and asking.

use serde_json::json;
use tocsin::clock;

use crate::harness::exporter::{Exporter, Health};
use crate::harness::service::{Service, Setup, run};
use crate::harness::{peers, soon};

fn config(targets: &[&str]) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 500ms}}\nscrape_configs:\n  - job_name: node\n    static_configs: [{{targets: {targets:?}}}]\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_exporter_is_scraped_and_asked_about_by_a_real_client() {
    let (major, minor) = peers::version("promtool").await;
    assert!((major, minor) >= (3, 5), "promtool {major}.{minor}");
    let node = peers::node_exporter().await;
    let service = Service::start(Setup::new(config(&[&node.address]))).await;
    soon("the target is up", async || service.value("up").await.filter(|up| *up == 1.0)).await;
    let url = service.url("");

    let said = peers::ask("promtool", &["query", "instant", &url, "up"]).await;
    assert!(said.starts_with(&format!(r#"up{{instance="{}", job="node"}} => 1 @["#, node.address)), "{said}");
    let said = peers::ask("promtool", &["query", "instant", &url, "count(node_cpu_seconds_total{mode='idle'}) > 0"]).await;
    assert!(said.contains("=> "), "{said}");
    let said = peers::ask("promtool", &["query", "labels", &url, "job"]).await;
    assert_eq!(said.trim(), "node");
    let said = peers::ask("promtool", &["query", "series", &url, "--match=up"]).await;
    assert!(said.contains(r#"__name__="up""#) && said.contains(&node.address), "{said}");
    let now = clock::now().0 / 1000;
    let (from, until) = (format!("--start={}", now - 60), format!("--end={}", now + 5));
    let said = peers::ask("promtool", &["query", "range", &url, "up", &from, &until, "--step=5s"]).await;
    assert!(said.contains("1 @["), "{said}");

    let samples = service.value("scrape_samples_scraped").await.expect("a count");
    assert!(samples > 200.0, "{samples} samples of node_exporter");
    assert!(service.value("scrape_duration_seconds").await.expect("a duration") < 1.0);
    let metadata = service.get("/api/v1/metadata?metric=node_cpu_seconds_total").await;
    assert_eq!(metadata["data"]["node_cpu_seconds_total"][0]["type"], "counter", "{metadata}");
    let targets = service.get("/api/v1/targets").await;
    let target = &targets["data"]["activeTargets"][0];
    assert_eq!((&target["health"], &target["scrapePool"]), (&json!("up"), &json!("node")));
    assert_eq!(target["scrapeUrl"], format!("http://{}/metrics", node.address));
    assert_eq!(target["discoveredLabels"]["__address__"], node.address);
    let own = service.get("/api/tocsin/v1/targets").await;
    assert_eq!((&own["jobs"][0]["up"], &own["jobs"][0]["total"]), (&json!(1), &json!(1)), "{own}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_ill_is_down_and_its_series_end_at_once() {
    let exporter = Exporter::start().await;
    exporter.set("queue_length", 7.0);
    exporter.set(r#"gone{kind="soon"}"#, 1.0);
    let service = Service::start(Setup::new(config(&[&exporter.address]))).await;
    soon("a sample", async || service.value("queue_length").await.filter(|length| *length == 7.0)).await;

    exporter.remove(r#"gone{kind="soon"}"#);
    soon("a series that is not exposed any more ends", async || service.query("gone").await.is_empty().then_some(())).await;
    assert_eq!(service.value("queue_length").await, Some(7.0));

    for (health, reason) in [(Health::Failing, "500"), (Health::Hanging, "")] {
        exporter.be(health);
        soon("the target is down", async || service.value("up").await.filter(|up| *up == 0.0)).await;
        assert!(service.query("queue_length").await.is_empty(), "what a target said ends with the target");
        let targets = service.get("/api/v1/targets").await;
        let target = &targets["data"]["activeTargets"][0];
        assert_eq!(target["health"], "down");
        let error = target["lastError"].as_str().expect("a text");
        assert!(!error.is_empty() && error.contains(reason), "{error}");
        exporter.be(Health::Well);
        soon("the target is up again", async || service.value("queue_length").await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_targets_are_followed() {
    let (one, two) = (Exporter::start().await, Exporter::start().await);
    let config = "global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: files\n    file_sd_configs: [{files: [targets*.json], refresh_interval: 1s}]\n    \
                  relabel_configs: [{source_labels: [__meta_filepath], regex: '.*/(.*)', target_label: file}]\n";
    let list = |addresses: &[&str]| json!([{ "targets": addresses, "labels": { "zone": "west" } }]).to_string();
    let setup = Setup::new(config).with_file("targets.json", list(&[&one.address]));
    let service = Service::start(setup).await;
    let count = async |expr: &str| service.query(expr).await.len();
    soon("the first target", async || (count("up == 1").await == 1).then_some(())).await;
    let up = service.query("up").await;
    assert_eq!((&up[0]["metric"]["zone"], &up[0]["metric"]["file"]), (&json!("west"), &json!("targets.json")));
    std::fs::write(service.path("targets.json"), list(&[&one.address, &two.address])).expect("the folder takes files");
    soon("the second target", async || (count("up == 1").await == 2).then_some(())).await;
    std::fs::write(service.path("targets.json"), list(&[&two.address])).expect("the folder takes files");
    soon("the first target is forgotten", async || (count("up").await == 1).then_some(())).await;
    // A file that cannot be read keeps the targets that it named before.
    std::fs::write(service.path("targets.json"), "[{").expect("the folder takes files");
    let scrapes = two.scrapes();
    soon("scraping goes on", async || (two.scrapes() > scrapes + 2).then_some(())).await;
    assert_eq!(count("up == 1").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_that_were_visible_survive_a_kill() {
    let exporter = Exporter::start().await;
    exporter.set("ticks", 0.0);
    let mut service = Service::start(Setup::new(config(&[&exporter.address]))).await;
    for number in 1..=3 {
        exporter.set("ticks", f64::from(number));
        soon("the new value", async || service.value("ticks").await.filter(|value| *value == f64::from(number))).await;
    }
    let url = async |service: &Service, from: f64, until: f64| {
        service.get(&format!("/api/v1/query_range?query=ticks&start={from}&end={until}&step=0.1")).await["data"]["result"][0]["values"].clone()
    };
    let until = clock::now().0 as f64 / 1000.0;
    let before = url(&service, until - 10.0, until).await;
    assert!(before.as_array().is_some_and(|values| values.len() > 10), "{before}");
    service.kill().await;
    service.restart().await;
    let after = url(&service, until - 10.0, until).await;
    assert_eq!(before, after, "a sample that was answered once is answered after kill -9 too");
    let series = service.get("/api/v1/status/tsdb").await["data"]["headStats"]["numSeries"].clone();
    assert!(series.as_u64().is_some_and(|series| series >= 1), "{series}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_questions_are_answered_with_the_place() {
    let exporter = Exporter::start().await;
    let service = Service::start(Setup::new(config(&[&exporter.address]))).await;
    let ask = async |path: &str| {
        let (status, body) = service.send(reqwest::Method::GET, path, None).await;
        (status, body)
    };
    let (status, body) = ask("/api/v1/query?query=rate(up)").await;
    assert_eq!((status, &body["status"], &body["errorType"]), (400, &json!("error"), &json!("bad_data")), "{body}");
    let error = body["error"].as_str().expect("a text");
    assert!(error.contains("1:6: parse error:"), "{error}");
    assert_eq!(body["position"], json!({ "start": 5, "end": 7 }), "{body}");
    for path in [
        "/api/v1/query?query=up&time=yesterday",
        "/api/v1/query_range?query=up&start=1&end=0&step=1",
        "/api/v1/query_range?query=up&start=0&end=1&step=0",
    ] {
        let (status, body) = ask(path).await;
        assert_eq!((status, &body["errorType"]), (400, &json!("bad_data")), "{path}: {body}");
    }
    let (status, body) = ask("/api/v1/query_range?query=up&start=0&end=1000000&step=1").await;
    assert_eq!(status, 400, "{body}");
    assert!(body["error"].as_str().is_some_and(|error| error.contains("11,000") || error.contains("11000")), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_asks_and_checks() {
    let exporter = Exporter::start().await;
    exporter.set(r#"orders{kind="a"}"#, 5.0);
    let service = Service::start(Setup::new(config(&[&exporter.address]))).await;
    soon("a sample", async || service.value("orders").await).await;
    let url = service.url("");
    let output = run(&["query", "--url", &url, "sum(orders) * 2"]).await;
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "{} 10");
    let output = run(&["query", "--url", &url, "sum(orders"]).await;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("1:11: parse error"), "{}", String::from_utf8_lossy(&output.stderr));

    let file = service.path("tocsin.yml").display().to_string();
    let output = run(&["check", "config", &file]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let rules = service.path("bad.rules.yml");
    std::fs::write(
        &rules,
        "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: up ==\n      - alert: B\n        expr: up\n        for: soon\n",
    )
    .expect("a file");
    let output = run(&["check", "rules", &rules.display().to_string()]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    // All faults at once, each with its place.
    assert!(said.contains("bad.rules.yml:5") && said.contains("bad.rules.yml:8"), "{said}");
    let output = run(&["--help"]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(["serve", "demo", "check", "query"].iter().all(|word| said.contains(word)), "{said}");
}
