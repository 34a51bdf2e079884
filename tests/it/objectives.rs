//! Stories of objectives: budgets that burn and recover, counts that survive, definitions that change.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::exporter::Exporter;
use crate::harness::scene::ROUTING_KEY;
use crate::harness::service::{Service, Setup, run};
use crate::harness::stand_in::StandIn;
use crate::harness::{soon, within};

/// A step of 15 s, 5 s of patience with late samples, and a loaded machine.
const STEPS: Duration = Duration::from_secs(90);

/// An objective of 90 % over an hour, and an alert once the budget burns faster than it may over a minute.
fn slo(name: &str, good: &str, total: &str) -> String {
    format!(
        r#"
apiVersion: openslo/v1
kind: SLO
metadata:
  name: {name}
  displayName: Checkout works
  labels: {{platform: shop}}
  annotations: {{tocsin.dev/new-series: zero, tocsin.dev/events-min: "1", tocsin.dev/bad-events-min: "1"}}
spec:
  service: checkout
  indicator:
    metadata: {{name: {name}-good}}
    spec:
      ratioMetric:
        counter: true
        good: {{metricSource: {{type: Prometheus, spec: {{query: '{good}'}}}}}}
        total: {{metricSource: {{type: Prometheus, spec: {{query: '{total}'}}}}}}
  timeWindow: [{{duration: 1h, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{target: 0.9}}]
  alertPolicies:
    - kind: AlertPolicy
      metadata: {{name: {name}-policy}}
      spec:
        alertWhenBreaching: true
        conditions:
          - kind: AlertCondition
            metadata: {{name: checkout-burns}}
            spec:
              severity: critical
              condition: {{kind: burnrate, op: gt, threshold: 2, lookbackWindow: 1m}}
        notificationTargets: [{{targetRef: team}}]
---
"#
    )
}

const TEAM: &str = "apiVersion: openslo/v1\nkind: AlertNotificationTarget\nmetadata: {name: team}\nspec: {target: team}\n";
const GOOD: &str = r#"requests_total{code="200"}"#;
const BAD: &str = r#"requests_total{code="500"}"#;

fn config(exporter: &Exporter, more: &str) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         scrape_configs:\n  - job_name: shop\n    static_configs: [{{targets: ['{}']}}]\n{more}",
        exporter.address
    )
}

async fn objective(service: &Service, id: &str) -> Value {
    service.get(&format!("/api/tocsin/v1/objectives/{id}?points=20")).await
}

/// Waits until an objective has counted so many events, all of them known.
async fn counted(service: &Service, id: &str, total: f64) -> Value {
    within(STEPS, &format!("{id} has counted {total}"), async || {
        let objective = objective(service, id).await;
        (objective["total"] == total && objective["catching_up"] == false).then_some(objective)
    })
    .await
}

async fn refused(service: &Service) -> String {
    let (status, body) = service.send(Method::POST, "/-/reload", None).await;
    assert_eq!(status, 500, "{body}");
    body["detail"].as_str().expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burning_budget_pages_and_recovers_and_its_figures_can_be_queried() {
    let (exporter, pagerduty) = (Exporter::start().await, StandIn::pagerduty().await);
    exporter.set(GOOD, 1000.0);
    exporter.set(BAD, 0.0);
    let routing = format!(
        "slo_files: [slo/*.yml]\nroute: {{receiver: team, group_by: [slo], group_wait: 0s, group_interval: 1s}}\n\
         receivers:\n  - name: team\n    users: [ada]\n    pagerduty_configs: [{{routing_key: {ROUTING_KEY}, url: '{}/v2/enqueue'}}]\n",
        pagerduty.url
    );
    let mut service = Service::prepare(Setup::new(config(&exporter, &routing)));
    std::fs::create_dir(service.path("slo")).expect("a folder");
    std::fs::write(service.path("slo/a.yml"), slo("checkout", GOOD, "requests_total")).expect("a file");
    std::fs::write(service.path("slo/b.yml"), TEAM).expect("a file");
    service.launch(&[]);
    service.wait_until_ready().await;
    let before = counted(&service, "checkout", 1000.0).await;
    assert_eq!((&before["sli"], &before["budget"]["remaining_share"]), (&json!(1.0), &json!(1.0)));
    assert_eq!(before["alerts"][0]["state"], "inactive");

    exporter.set(BAD, 600.0);
    let incident = within(STEPS, "the page", async || pagerduty.incidents().into_iter().next()).await;
    assert!(incident.summary.contains("checkout-burns"), "{incident:?}");
    let alert = service.alert("checkout-burns", "firing").await;
    let labels = &alert["labels"];
    for (label, value) in [
        ("severity", "critical"),
        ("slo", "checkout"),
        ("objective", "checkout"),
        ("service", "checkout"),
        ("platform", "shop"),
        ("notification_target", "team"),
    ] {
        assert_eq!(labels[label], value, "{labels}");
    }
    assert!(alert["annotations"]["summary"].as_str().is_some_and(|text| text.contains("burns 3.75 times")), "{alert}");
    let expr = alert["rule"]["expr"].as_str().expect("an expression");
    let during = counted(&service, "checkout", 1600.0).await;
    assert_eq!((&during["good"], &during["budget"]["spent"]), (&json!(1000.0), &json!(600.0)));
    assert_eq!(during["budget"]["allowed"].as_f64().map(f64::round), Some(160.0));
    assert_eq!(during["budget"]["remaining_share"], -2.75);
    assert_eq!(during["alerts"][0]["state"], "firing");
    assert_eq!(during["burn_down"].as_array().map(Vec::len), Some(20));
    assert_eq!(during["burn_down"][19][1], -2.75);
    let errors: f64 = during["errors"].as_array().expect("a list").iter().filter_map(|point| point[1].as_f64()).sum();
    assert_eq!(errors, 600.0);
    assert!(during["definition_text"].as_str().is_some_and(|text| text.contains("90 % of events over 1h")), "{during}");
    let overview = service.get("/api/tocsin/v1/overview").await;
    assert_eq!(overview["objectives"], json!({"total": 1, "burning": 1, "exhausted": 1, "failing": 0}));

    // The figures are series, and the alert is an expression over them.
    let told = within(STEPS, "the figures", async || {
        let value = async |expr: &str| service.value(expr).await;
        let bad = value("tocsin_slo_events_total - tocsin_slo_events_good_total").await?;
        (bad == 600.0).then_some(())?;
        Some((
            value("tocsin_slo_objective_ratio{slo=\"checkout\",service=\"checkout\",platform=\"shop\"}").await?,
            value("tocsin_slo_sli_ratio").await?,
            value("tocsin_slo_error_budget_remaining_ratio").await?,
            value("tocsin_slo_burn_rate{window=\"1h\"}").await?,
            value("ALERTS{alertname=\"checkout-burns\",alertstate=\"firing\",slo=\"checkout\"}").await?,
        ))
    })
    .await;
    assert_eq!(told, (0.9, 0.625, -2.75, 3.75, 1.0));
    assert_eq!(service.query(expr).await.len(), 1, "{expr}");

    let url = format!("http://{}", service.address);
    let said = run(&["slo", "list", "--url", &url]).await;
    assert!(said.status.success(), "{said:?}");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let cells: Vec<&str> =
        said.lines().nth(1).expect("a line").split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells, ["checkout", "90 %", "1h", "62.5 %", "-275 %", "3.75", "firing: critical"], "{said}");
    let said = run(&["slo", "show", "checkout", "--url", &url]).await;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("600 of 160 events are spent") && said.contains("checkout-burns"), "{said}");
    let said = run(&["slo", "list", "--json", "--url", &url]).await;
    let said: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!(said["objectives"][0]["id"], "checkout");
    let said = run(&["slo", "show", "nothing", "--url", &url]).await;
    assert!(!said.status.success() && String::from_utf8_lossy(&said.stderr).contains("no objective \"nothing\""), "{said:?}");

    exporter.set(GOOD, 100_000.0);
    within(STEPS, "the incident is resolved", async || {
        pagerduty.incidents().into_iter().find(|incident| incident.state == "resolved").map(drop)
    })
    .await;
    let after = counted(&service, "checkout", 100_600.0).await;
    assert!(after["budget"]["remaining_share"].as_f64().is_some_and(|left| left > 0.9), "{after}");
    assert_eq!(after["alerts"][0]["state"], "inactive");
    pagerduty.assert_no_faults();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_survive_a_kill_and_are_the_same_when_counted_anew() {
    let exporter = Exporter::start().await;
    exporter.set(GOOD, 0.0);
    exporter.set(BAD, 0.0);
    let more = "slo_files: [slo.yml]\n";
    let file = |total: &str| format!("{}{TEAM}", slo("checkout", GOOD, total));
    let setup = Setup::new(config(&exporter, more)).with_file("slo.yml", file("requests_total"));
    let mut service = Service::start(setup).await;
    // Traffic that goes on whatever becomes of the service.
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let shop = exporter.clone();
    let traffic = tokio::spawn(async move {
        let (mut good, mut bad) = (0u32, 0u32);
        while !*stopped.borrow_and_update() {
            (good, bad) = (good + 7, bad + u32::from(good % 3 == 0));
            shop.set(GOOD, good.into());
            shop.set(BAD, bad.into());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        (f64::from(good), f64::from(bad))
    });
    within(STEPS, "something was counted", async || {
        objective(&service, "checkout").await["total"].as_f64().filter(|total| *total > 0.0)
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    service.kill().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    service.restart().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    stop.send(true).expect("the traffic goes on");
    let (good, bad) = traffic.await.expect("traffic");

    let whole = counted(&service, "checkout", good + bad).await;
    assert_eq!(whole["good"], good, "what happened while it was down counts too");
    let log = service.log();
    assert!(!log.contains("counted anew") && !log.contains("cannot be counted"), "{log}");

    // Another query over the same counters: they are counted anew, from as far back as there are samples.
    std::fs::write(service.path("slo.yml"), file("sum(requests_total{job=\"shop\"})")).expect("a file");
    service.post("/-/reload", &json!({})).await;
    let anew = async || {
        let objective = objective(&service, "checkout").await;
        let is_new = objective["definition_text"].as_str().is_some_and(|text| text.contains("job=\"shop\""));
        (is_new && objective["catching_up"] == false).then_some(objective)
    };
    let anew = within(STEPS, "it is counted anew", anew).await;
    assert_eq!((&anew["good"], &anew["total"]), (&whole["good"], &whole["total"]));

    // Another target decides no count.
    let text = file("sum(requests_total{job=\"shop\"})").replace("target: 0.9", "target: 0.5");
    std::fs::write(service.path("slo.yml"), text).expect("a file");
    service.post("/-/reload", &json!({})).await;
    let objective = objective(&service, "checkout").await;
    assert_eq!((&objective["target"], &objective["total"]), (&json!(0.5), &whole["total"]));

    // And a plain stop and start.
    service.terminate().await;
    service.restart().await;
    let again = counted(&service, "checkout", good + bad).await;
    assert_eq!(again["good"], good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faulty_files_are_refused_whole_and_one_bad_objective_stops_no_other() {
    let exporter = Exporter::start().await;
    exporter.set(GOOD, 10.0);
    exporter.set(BAD, 90.0);
    let more = "slo_files: [a.yml, b.yml]\n";
    // Each value of the left side meets two of the right.
    let impossible =
        slo("impossible", "requests_total * on() requests_total", "requests_total").replace("counter: true", "counter: false");
    let sound = slo("checkout", GOOD, "requests_total");
    let setup = Setup::new(config(&exporter, more)).with_file("a.yml", format!("{sound}{impossible}")).with_file("b.yml", TEAM);
    let service = Service::start(setup).await;
    counted(&service, "checkout", 100.0).await;
    // Its window is a minute: whoever looks later may find it over.
    within(STEPS, "the alert fires", async || {
        service.alerts("checkout-burns").await.iter().any(|alert| alert["state"] == "firing").then_some(())
    })
    .await;
    let error = within(STEPS, "the error is shown", async || {
        objective(&service, "impossible").await["error"].as_str().map(str::to_owned)
    })
    .await;
    assert!(error.contains("many-to-many"), "{error}");
    exporter.set(GOOD, 11.0);
    counted(&service, "checkout", 101.0).await;

    // Every fault of every file, and nothing of them is used.
    let bad = sound.replace("target: 0.9", "target: 90").replace("duration: 1h", "duration: 1x");
    std::fs::write(service.path("a.yml"), &bad).expect("a file");
    std::fs::write(service.path("b.yml"), TEAM.replace("target: team", "goal: team")).expect("a file");
    let said = refused(&service).await;
    for part in ["a.yml:", "objectives[0].target", "duration", "b.yml:", "goal"] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    let config_file = service.path("tocsin.yml").display().to_string();
    let checked = run(&["check", "config", &config_file]).await;
    let printed = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(!checked.status.success() && printed.contains("a.yml:") && printed.contains("b.yml:"), "{printed}");
    assert_eq!(service.get("/api/tocsin/v1/objectives").await["objectives"].as_array().map(Vec::len), Some(2));

    // What is taken out of the files ends with its alerts and its series.
    std::fs::write(service.path("a.yml"), "").expect("a file");
    std::fs::write(service.path("b.yml"), TEAM).expect("a file");
    let checked = run(&["check", "config", &config_file]).await;
    let printed = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && printed.contains("0 objectives"), "{printed}");
    service.post("/-/reload", &json!({})).await;
    assert_eq!(service.get("/api/tocsin/v1/objectives").await["objectives"], json!([]));
    within(STEPS, "the alert is gone", async || {
        service.alerts("checkout-burns").await.iter().all(|alert| alert["state"] == "resolved").then_some(())
    })
    .await;
    soon("the series ended", async || service.query("tocsin_slo_events_total").await.is_empty().then_some(())).await;

    // It comes back with what it had counted.
    std::fs::write(service.path("a.yml"), sound).expect("a file");
    service.post("/-/reload", &json!({})).await;
    counted(&service, "checkout", 101.0).await;
}
