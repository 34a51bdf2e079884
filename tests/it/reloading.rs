//! Stories of changes below a running service: reloads, lists of targets, certificates, and faults of its own.

use std::process::Stdio;
use std::time::Duration;

use axum::{Json, Router, routing};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tocsin::clock::Stopwatch;
use tokio::process::Command;

use crate::harness::exporter::Exporter;
use crate::harness::service::{Service, Setup};
use crate::harness::smtp::make_certificates;
use crate::harness::{free_port, soon, within};

const GLOBAL: &str = "global: {scrape_interval: 2s, scrape_timeout: 1s, evaluation_interval: 1s}\n";
const ROUTE: &str = "route: {receiver: none}\nreceivers: [{name: none}]\n";

async fn reload(service: &Service, config: &str) -> Duration {
    std::fs::write(service.path("tocsin.yml"), config).expect("the folder takes files");
    let watch = Stopwatch::start();
    service.post("/-/reload", &json!({})).await;
    watch.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_go_on_when_a_job_or_the_labels_found_for_a_target_change() {
    let (static_one, file_one) = (Exporter::start().await, Exporter::start().await);
    static_one.set("broken", 1.0);
    file_one.set("broken", 1.0);
    let config = |more: &str| {
        format!(
            "{GLOBAL}scrape_configs:\n  - job_name: node\n    static_configs: [{{targets: ['{}']}}]\n    \
             file_sd_configs: [{{files: ['list*.json'], refresh_interval: 1s}}]\n{more}{ROUTE}rule_files: [rules.yml]\n",
            static_one.address
        )
    };
    let list = |meta: &str| json!([{ "targets": [file_one.address], "labels": { "__meta_rack": meta } }]).to_string();
    let rules = "groups: [{name: g, rules: [{alert: Broken, expr: broken == 1, for: 1s}]}]";
    let setup = Setup::new(config("")).with_file("list.json", list("a")).with_file("rules.yml", rules);
    let service = Service::start(setup).await;
    let firing = async || service.alerts("Broken").await.iter().filter(|alert| alert["state"] == "firing").count();
    soon("both fire", async || (firing().await == 2).then_some(())).await;

    let whole = async |what: &str| {
        // Longer than two scrapes.
        for _ in 0..50 {
            assert_eq!(service.query("broken").await.len(), 2, "{what}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(firing().await, 2, "{what}");
    };
    reload(&service, &config("    honor_timestamps: false\n")).await;
    whole("after a change of the job").await;
    reload(&service, &config("    scrape_timeout: 500ms\n")).await;
    std::fs::write(service.path("list.json"), list("b")).expect("the folder takes files");
    whole("after changes of a timeout and of labels before relabelling").await;
    let targets = service.get("/api/v1/targets").await.to_string();
    assert!(targets.contains(r#""__meta_rack":"b""#), "{targets}");
    assert_eq!(service.query("broken offset 1ms").await.len(), 2);

    reload(&service, &config("    metric_relabel_configs: [{source_labels: [__name__], regex: broken, action: drop}]\n")).await;
    soon("what the new job drops ends", async || service.query("broken").await.is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_list_of_targets_does_not_harm_the_others() {
    let (one, two) = (Exporter::start().await, Exporter::start().await);
    let config = format!(
        "{GLOBAL}scrape_configs:\n  - job_name: files\n    file_sd_configs: [{{files: ['list*.json'], refresh_interval: 1s}}]\n"
    );
    let list = |exporter: &Exporter| json!([{ "targets": [exporter.address] }]).to_string();
    let setup = Setup::new(config).with_file("list1.json", list(&one)).with_file("list2.json", list(&two));
    let service = Service::start(setup).await;
    let up = async || service.query("up == 1").await.len();
    soon("both targets", async || (up().await == 2).then_some(())).await;
    std::fs::write(service.path("list1.json"), "[{").expect("the folder takes files");
    soon("the torn file is seen", async || service.log().contains("the last good one stays").then_some(())).await;
    let scrapes = (one.scrapes(), two.scrapes());
    let both = async || (one.scrapes() > scrapes.0 + 1 && two.scrapes() > scrapes.1 + 1).then_some(());
    soon("both are scraped on", both).await;
    assert_eq!(up().await, 2);
    std::fs::remove_file(service.path("list1.json")).expect("a file");
    soon("a file that is gone takes its targets with it", async || (service.query("up").await.len() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_disturbs_no_group_that_stays_and_waits_for_no_slow_rule() {
    let rules = |more: &str| format!("groups:\n{more}- name: stays\n  interval: 3s\n  rules: [{{record: one, expr: '1'}}]\n");
    // Millions of steps, each time.
    let slow = |name: &str| format!("- name: slow\n  rules: [{{record: {name}, expr: 'sum_over_time(vector(1)[100d:1s])'}}]\n");
    let setup = Setup::new(format!("{GLOBAL}rule_files: [rules.yml]\n")).with_file("rules.yml", rules(&slow("a")));
    let service = Service::start(setup).await;
    let evaluated = async || {
        let groups = service.get("/api/v1/rules").await["data"]["groups"].clone();
        let group = groups.as_array()?.iter().find(|group| group["name"] == "stays")?.clone();
        group["lastEvaluation"].as_str().filter(|at| !at.starts_with("0001")).map(str::to_owned)
    };
    soon("the group is evaluated", evaluated).await;
    let config = std::fs::read_to_string(service.path("tocsin.yml")).expect("a file");
    reload(&service, &config).await;
    assert!(evaluated().await.is_some(), "an equal group goes on as it was");
    // In the middle of the slow rule, most likely.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    std::fs::write(service.path("rules.yml"), rules("")).expect("the folder takes files");
    let took = reload(&service, &config).await;
    assert!(took < Duration::from_secs(4), "the reload took {took:?}");
    assert!(service.query("one").await.len() == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_of_an_address_of_lists_is_shown_nowhere() {
    let exporter = Exporter::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let list = json!([{ "targets": [exporter.address, "a/b"] }]);
    let router = Router::new().route("/list", routing::get(async || Json(list)));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config = format!(
        "{GLOBAL}scrape_configs:\n  - job_name: asked\n    http_sd_configs:\n      - {{url: 'http://me:hunter2@{address}/list', refresh_interval: 1s}}\n      \
         - {{url: 'http://me:hunter2@{address}/nothing', refresh_interval: 1s}}\n"
    );
    let service = Service::start(Setup::new(config)).await;
    soon("the target is up", async || service.value("up").await.filter(|up| *up == 1.0)).await;
    soon("the other endpoint fails", async || service.log().contains("404").then_some(())).await;
    for path in ["/api/v1/targets", "/api/tocsin/v1/targets", "/api/v1/status/config"] {
        let said = service.get(path).await.to_string();
        assert!(!said.contains("hunter2"), "{path}: {said}");
    }
    let said = service.get("/api/v1/targets").await.to_string();
    assert!(said.contains(&format!("http://me:xxxxx@{address}/list")), "{said}");
    assert!(!service.log().contains("hunter2"), "{}", service.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_authority_is_used_without_a_restart() {
    let folder = TempDir::with_prefix("tocsin-tls-").expect("a temporary folder");
    make_certificates(folder.path()).await;
    let other = TempDir::with_prefix("tocsin-tls-").expect("a temporary folder");
    make_certificates(other.path()).await;
    std::fs::write(folder.path().join("metrics"), "secured 1\n").expect("the folder takes files");
    let port = free_port();
    let _server = Command::new("openssl")
        .args(["s_server", "-quiet", "-WWW", "-cert", "server.pem", "-key", "server.key", "-accept", &port.to_string()])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("openssl is not installed; `make setup` installs it");
    let config = format!(
        "{GLOBAL}scrape_configs:\n  - job_name: tls\n    scheme: https\n    tls_config: {{ca_file: ca.pem}}\n    \
         static_configs: [{{targets: ['localhost:{port}']}}]\n"
    );
    let authority = |folder: &TempDir| std::fs::read_to_string(folder.path().join("ca.pem")).expect("a file");
    let service = Service::start(Setup::new(config).with_file("ca.pem", authority(&other))).await;
    soon("the authority is another", async || service.value("up").await.filter(|up| *up == 0.0)).await;
    std::fs::write(service.path("ca.pem"), authority(&folder)).expect("the folder takes files");
    soon("the new authority is known", async || service.value("secured").await).await;
    std::fs::write(service.path("ca.pem"), "torn").expect("the folder takes files");
    soon("a torn file is told of", async || service.log().contains("the one before stays").then_some(())).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(service.value("up").await, Some(1.0), "a torn file harms nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_in_a_target_or_a_rule_is_told_and_the_work_goes_on() {
    let exporter = Exporter::start().await;
    exporter.set("here", 1.0);
    let config = format!(
        "{}scrape_configs:\n  - job_name: node\n    static_configs: [{{targets: ['{}']}}]\nrule_files: [rules.yml]\n",
        GLOBAL.replace("2s", "1s"),
        exporter.address
    );
    let rules = "groups: [{name: g, rules: [{record: first, expr: vector(1)}, {record: second, expr: vector(1)}]}]";
    for point in ["in-scrape:3", "in-evaluation:3"] {
        let mut service = Service::prepare(Setup::new(config.clone()).with_file("rules.yml", rules));
        service.launch(&["--crash-at".to_owned(), point.to_owned()]);
        service.wait_until_ready().await;
        soon("the fault is logged", async || service.log().contains("a fault of Tocsin; it is started anew").then_some(())).await;
        let metrics = async || service.send(reqwest::Method::GET, "/metrics", None).await.1.as_str().map(str::to_owned);
        assert!(metrics().await.expect("a text").contains("tocsin_panics_total 1"), "{point}");
        if point.starts_with("in-scrape") {
            soon("the target was down", async || service.value("min_over_time(up[1m]) == 0").await).await;
            soon("its series ended", async || service.value("count_over_time(here[1m])").await).await;
        }
        let scrapes = exporter.scrapes();
        soon("scraping goes on", async || (exporter.scrapes() > scrapes + 2).then_some(())).await;
        within(Duration::from_secs(10), "all is well", async || {
            service.value("sum(up) + sum(here) + sum(first) + sum(second)").await
        })
        .await;
        let healthy = async || {
            let rules = service.get("/api/v1/rules").await.to_string();
            (!rules.contains(r#""health":"err""#)).then_some(())
        };
        soon("the rules are well", healthy).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_and_rules_speak_the_language_that_the_configuration_opens() {
    let config = |promql: &str| {
        format!("global: {{scrape_interval: 1s, evaluation_interval: 15s}}\n{promql}{ROUTE}rule_files: [rules.yml]\n")
    };
    let rules = "groups: [{name: g, rules: [{record: spread, expr: 'mad_over_time(vector(1)[1m:])'}]}]";
    let setup = Setup::new(config("promql: {experimental_functions: true, duration_expressions: true}\n"));
    let service = Service::start(setup.with_file("rules.yml", rules)).await;
    // Subqueries that name no step have that of the rules.
    assert_eq!(service.value("count_over_time(vector(1)[1m:])").await, Some(4.0));
    assert_eq!(service.value("mad_over_time(vector(1)[1m * 2:])").await, Some(0.0));
    assert_eq!(service.query("label_replace(-vector(1), \"name\", \"$1\", \"__name__\", \"(.*)\")").await.len(), 1);

    let (refused, answer) =
        service.send(Method::GET, "/api/v1/query?query=sum(vector(1)%20%2B%20fill(0)%20vector(2))", None).await;
    assert_eq!(refused, 400, "{answer}");
    std::fs::write(service.path("tocsin.yml"), config("")).expect("the folder takes files");
    let (status, said) = service.send(Method::POST, "/-/reload", None).await;
    assert_eq!(status, 500, "a rule needs what is no longer open: {said}");
    assert!(said.to_string().contains("mad_over_time"), "{said}");

    std::fs::write(service.path("rules.yml"), "groups: []").expect("the folder takes files");
    reload(&service, &config("promql: {fill_modifiers: true}\n")).await;
    let (status, answer) = service.send(Method::GET, "/api/v1/query?query=mad_over_time(vector(1)%5B1m:%5D)", None).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(service.value("absent(nothing) + fill (2) absent(nothing)").await, Some(2.0));
}
