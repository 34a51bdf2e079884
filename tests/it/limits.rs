//! Stories of too many series: limits, who grows, and memory that gets short.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::exporter::Exporter;
use crate::harness::service::{Service, Setup, run};
use crate::harness::{soon, within};

fn config(targets: &[&str], job: &str, more: &str) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 900ms}}\nscrape_configs:\n  \
         - {{job_name: shop, static_configs: [{{targets: {targets:?}}}]{job}}}\n{more}\n"
    )
}

fn set(exporter: &Exporter, metric: &str, numbers: std::ops::Range<usize>) {
    numbers.for_each(|number| exporter.set(&format!(r#"{metric}{{id="{number}",path="/{}"}}"#, number % 10), number as f64));
}

async fn reload(service: &Service, config: &str) {
    std::fs::write(service.path("tocsin.yml"), config).expect("the folder takes files");
    service.post("/-/reload", &Value::Null).await;
}

/// Returns the value of a figure of our own.
async fn figure(service: &Service, name: &str) -> Option<f64> {
    let text = service.client.get(service.url("/metrics")).send().await.ok()?.text().await.ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

async fn count(service: &Service, expr: &str) -> f64 {
    service.value(&format!("count({expr})")).await.unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_explodes_keeps_what_is_known_and_harms_nobody() {
    let (wild, calm) = (Exporter::start().await, Exporter::start().await);
    set(&wild, "requests_total", 0..50);
    set(&calm, "requests_total", 0..50);
    let limited = |limit: usize| config(&[&wild.address, &calm.address], &format!(", series_limit: {limit}"), "");
    let mut service = Service::start(Setup::new(limited(60))).await;
    soon("both are scraped", async || (count(&service, "requests_total").await == 100.0).then_some(())).await;
    let of_wild = format!(r#"{{instance="{}"}}"#, wild.address);
    assert_eq!(service.value(&format!("scrape_series_refused{of_wild}")).await, Some(0.0));

    set(&wild, "requests_total", 50..500);
    let refused = format!("scrape_series_refused{of_wild} > 0");
    assert_eq!(soon("series are refused", async || service.value(&refused).await).await, 440.0);
    assert_eq!(count(&service, &format!("requests_total{of_wild}")).await, 60.0);
    assert_eq!(service.value(&format!("up{of_wild}")).await, Some(1.0), "a soft limit fails no scrape");
    let held = format!("scrape_series_limit{of_wild} - scrape_series_held{of_wild}");
    assert_eq!(service.value(&held).await, Some(0.0));
    wild.set(r#"requests_total{id="7",path="/7"}"#, 777.0);
    let known = format!(r#"requests_total{{instance="{}",id="7"}} == 777"#, wild.address);
    soon("what is known goes on", async || service.value(&known).await).await;
    assert_eq!(count(&service, &format!(r#"requests_total{{instance="{}"}}"#, calm.address)).await, 50.0);

    let targets = service.get("/api/tocsin/v1/targets").await;
    let list = targets["jobs"][0]["targets"].as_array().expect("a list").clone();
    let row = list.iter().find(|row| row["labels"]["instance"] == wild.address).expect("the target");
    assert_eq!(
        (&row["health"], &row["series_limit"], &row["series_held"], &row["series_refused"]),
        (&json!("up"), &json!(60), &json!(60), &json!(440)),
        "{row}"
    );
    assert_eq!(row["series_refusal"], "the target has 60 series, its limit");
    let by = r#"tocsin_samples_refused_by_limit_total{job="shop",metric="requests_total",limit="target"}"#;
    assert!(figure(&service, by).await.is_some_and(|samples| samples >= 440.0));

    // A restart keeps the limit: what the log knows goes on, and nothing slips in.
    service.kill().await;
    service.restart().await;
    let scrapes = wild.scrapes();
    soon("it is scraped again", async || (wild.scrapes() > scrapes + 2).then_some(())).await;
    assert_eq!(service.value(&refused).await, Some(440.0));
    assert_eq!(count(&service, &format!("requests_total{of_wild}")).await, 60.0);

    reload(&service, &limited(1000)).await;
    let all = format!("count(requests_total{of_wild}) == 500");
    soon("a reload makes room", async || service.value(&all).await).await;
    soon("nothing is refused", async || service.value(&format!("scrape_series_refused{of_wild} == 0")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_the_whole_have_limits_and_people_are_told() {
    let exporter = Exporter::start().await;
    set(&exporter, "wide", 0..100);
    set(&exporter, "free", 0..100);
    let storage = |series: usize| {
        let rules = "rule_files: [rules.yml]\nroute: {receiver: none}\nreceivers: [{name: none}]";
        let limits = format!("{{series_limit: {series}, metric_series_limit: 30, metric_series_limits: {{free: 0}}}}");
        config(&[&exporter.address], "", &format!("storage: {limits}\n{rules}"))
    };
    let rules = "groups: [{name: g, interval: 1s, rules: [\
                 {record: 'copy:free', expr: 'label_replace(free, \"copy\", \"yes\", \"\", \"\")'}, {alert: Wide, expr: 'count(wide) > 1'}]}]";
    let service = Service::start(Setup::new(storage(250)).with_file("rules.yml", rules)).await;
    soon("it is scraped", async || (count(&service, "free").await == 100.0).then_some(())).await;
    assert_eq!(count(&service, "wide").await, 30.0, "the metric has its limit");
    soon("recorded series have the limit of a metric too", async || (count(&service, "copy:free").await == 30.0).then_some(()))
        .await;
    service.alert("Wide", "firing").await;
    assert!(service.alerts("TocsinSeriesLimit").await.is_empty());

    set(&exporter, "flood", 0..10);
    set(&exporter, "another", 0..30);
    set(&exporter, "third", 0..30);
    set(&exporter, "fourth", 0..30);
    let alert = service.alert("TocsinSeriesLimit", "firing").await;
    assert!(alert["annotations"]["link"].as_str().is_some_and(|link| link.ends_with("/explore/series")), "{alert}");
    assert_eq!(count(&service, "free").await, 100.0);
    // People are told all the same: what tells of a new target and a new alert has room.
    let late = Exporter::start().await;
    late.set("late", 1.0);
    let more =
        storage(250).replace(&format!("[{:?}]", exporter.address), &format!("[{:?}, {:?}]", exporter.address, late.address));
    reload(&service, &more).await;
    let up = format!(r#"up{{instance="{}"}} == 1"#, late.address);
    soon("a new target is seen to be up", async || service.value(&up).await).await;
    assert_eq!(service.value("late").await, None, "its series are refused");
    let by = r#"tocsin_samples_refused_by_limit_total{job="shop",metric="late",limit="process"}"#;
    soon("its samples are counted", async || figure(&service, by).await.filter(|samples| *samples > 0.0)).await;

    reload(&service, &more.replace("series_limit: 250", "series_limit: 100000")).await;
    soon("there is room again", async || service.value("late").await).await;
    soon("the alert ends", async || {
        service.alerts("TocsinSeriesLimit").await.iter().all(|alert| alert["state"] != "firing").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_grows_is_shown_to_people_and_programs() {
    let exporter = Exporter::start().await;
    set(&exporter, "requests_total", 0..200);
    set(&exporter, "small", 0..5);
    let mut service = Service::start(Setup::new(config(&[&exporter.address], ", series_limit: 1000", ""))).await;
    soon("it is scraped", async || (count(&service, "requests_total").await == 200.0).then_some(())).await;
    let told = soon("the count is there", async || {
        let told = service.get("/api/tocsin/v1/cardinality?limit=3").await;
        (told["metrics"][0]["series"] == 200).then_some(told)
    })
    .await;
    assert_eq!(told["metrics"][0], json!({"name": "requests_total", "series": 200, "new_series": 200, "limit": null}));
    assert_eq!(told["labels"][0]["name"], "id");
    assert_eq!((&told["labels"][0]["values"], &told["labels"][0]["new_values"]), (&json!(200), &json!(200)));
    let target = &told["targets"][0];
    assert_eq!((&target["instance"], &target["limit"], &target["held"]), (&json!(exporter.address), &json!(1000), &json!(205)));
    assert_eq!((&told["memory"]["level"], &told["series_limit"]), (&json!("calm"), &json!(5_000_000)));
    assert!(told["memory"]["budget_bytes"].as_u64().is_some_and(|bytes| bytes > 64 << 20), "{told}");
    assert_eq!(told["series"], told["moments"].as_array().and_then(|all| all.last()).expect("a moment")["series"], "{told}");

    let one = service.get("/api/tocsin/v1/cardinality/metrics/requests_total").await;
    assert_eq!((&one["labels"][0]["name"], &one["labels"][1]["name"]), (&json!("id"), &json!("path")));
    assert_eq!(one["labels"][1]["top"][0], json!({"value": "/0", "series": 20}));
    for (path, status) in [("cardinality/metrics/none", 404), ("cardinality?limit=0", 400), ("cardinality?limit=501", 400)] {
        assert_eq!(service.send(reqwest::Method::GET, &format!("/api/tocsin/v1/{path}"), None).await.0, status, "{path}");
    }

    let url = service.url("");
    let said = async |arguments: &[&str]| {
        let output = run(&[&["tsdb", "top"], arguments].concat()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let metrics = said(&["--url", &url, "--limit", "2"]).await;
    let line = metrics.lines().find(|line| line.starts_with("requests_total")).expect("the metric").to_owned();
    assert!(line.contains("200") && metrics.contains("series of at most 5000000"), "{metrics}");
    assert!(said(&["--url", &url, "--by", "label", "--sort", "new"]).await.lines().nth(3).expect("a row").starts_with("id "));
    assert!(said(&["--url", &url, "--by", "target"]).await.contains(&exporter.address));
    assert!(said(&["--url", &url, "--by", "value"]).await.contains("path"));
    let apart = said(&["--url", &url, "--metric", "requests_total"]).await;
    assert!(apart.starts_with("requests_total: 200 series") && apart.contains("/0 (20)"), "{apart}");
    let json: Value = serde_json::from_str(&said(&["--url", &url, "--json"]).await).expect("JSON");
    assert_eq!(json["metrics"][0]["name"], "requests_total");

    // A folder in use is left alone; that of a stopped service tells the same.
    let data = service.path("data").display().to_string();
    let refused = run(&["tsdb", "top", "--data", &data]).await;
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("--url"));
    service.terminate().await;
    let stopped = said(&["--data", &data, "--by", "metric"]).await;
    let line = stopped.lines().find(|line| line.starts_with("requests_total")).expect("the metric").to_owned();
    assert!(line.contains("200") && line.contains('-'), "{stopped}");
    assert!(said(&["--data", &data, "--metric", "requests_total"]).await.contains("/0 (20)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_that_gets_short_takes_new_series_and_queries_but_no_alert() {
    let exporter = Exporter::start().await;
    exporter.set("queue_length", 1.0);
    let with = |budget: &str| {
        let rules = "rule_files: [rules.yml]\nroute: {receiver: none}\nreceivers: [{name: none}]";
        let text = config(&[&exporter.address], "", &format!("storage: {{memory_budget: {budget}}}\n{rules}"));
        text.replace("scrape_interval: 1s, scrape_timeout: 900ms", "scrape_interval: 3s, scrape_timeout: 3s")
    };
    let rules = "groups: [{name: g, interval: 1s, rules: [{alert: QueueLong, expr: 'queue_length > 5'}]}]";
    let service = Service::start(Setup::new(with("100%")).with_file("rules.yml", rules)).await;
    soon("it is scraped", async || service.value("queue_length").await).await;
    // More than the smallest budget.
    set(&exporter, "filler", 0..100_000);
    within(Duration::from_secs(90), "it takes some memory", async || {
        let used = figure(&service, "tocsin_memory_resident_bytes").await?;
        (used > f64::from(64 << 20)).then_some(())
    })
    .await;
    assert_eq!(figure(&service, "tocsin_memory_level").await, Some(0.0));
    reload(&service, &with("64MB")).await;
    soon("queries give way", async || figure(&service, "tocsin_memory_level").await.filter(|level| *level == 3.0)).await;

    let (status, said) = service.send(reqwest::Method::GET, "/api/v1/query?query=up", None).await;
    assert_eq!((status, &said["errorType"]), (503, &json!("unavailable")), "{said}");
    assert!(said["error"].as_str().is_some_and(|error| error.starts_with("memory is short")), "{said}");
    assert!(figure(&service, "tocsin_queries_shed_total").await.is_some_and(|shed| shed >= 1.0));
    exporter.set("latecomer", 1.0);
    exporter.set("queue_length", 9.0);
    let alert = service.alert("QueueLong", "firing").await;
    assert_eq!(alert["state"], "firing", "the known series goes on, and so do rules and alerts");
    let told = service.alert("TocsinMemoryShort", "firing").await;
    assert_eq!(told["labels"]["severity"], "critical");
    let by = r#"tocsin_samples_refused_by_limit_total{job="shop",metric="latecomer",limit="memory"}"#;
    soon("the new series is refused and counted", async || figure(&service, by).await.filter(|samples| *samples > 0.0)).await;
    let counted = service.get("/api/tocsin/v1/cardinality").await;
    assert_eq!(
        (&counted["memory"]["level"], &counted["metrics"][0]["name"]),
        (&json!("shed"), &json!("filler")),
        "whoever must mend it sees who grows"
    );
    assert_eq!(service.get("/api/tocsin/v1/overview").await["targets"]["up"], 1, "the overview goes on");

    reload(&service, &with("0")).await;
    soon("queries are answered, and the new series is there", async || {
        let (status, said) = service.send(reqwest::Method::GET, "/api/v1/query?query=latecomer", None).await;
        (status == 200 && said["data"]["result"][0]["value"][1] == "1").then_some(())
    })
    .await;
    soon("the alert ends", async || {
        service.alerts("TocsinMemoryShort").await.iter().all(|alert| alert["state"] != "firing").then_some(())
    })
    .await;
}
