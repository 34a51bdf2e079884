//! Stories of alerts that go on to other Alertmanagers: real ones, and recorders that stand in for them.

mod beside;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::exporter::Exporter;
use crate::harness::peers;
use crate::harness::recorder::{Post, Recorder};
use crate::harness::service::{Service, Setup};
use crate::harness::{free_port, http, soon};

const RULES: &str = r#"
groups:
  - name: shop
    rules:
      - alert: ShopDown
        expr: shop_up == 0
        labels: {severity: critical, team: checkout}
        annotations: {summary: 'shop {{ $labels.shop }} is down', value: '{{ $value }}'}
      - alert: Noise
        expr: shop_up == 0
"#;

/// A service that watches two shops and sends alerts to what `alertmanagers` says.
fn setup(exporter: &Exporter, alertmanagers: &str) -> Setup {
    let target = &exporter.address;
    let config = format!(
        r#"
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s, external_labels: {{region: west, replica: a}}}}
scrape_configs:
  - {{job_name: shop, static_configs: [{{targets: ['{target}']}}]}}
rule_files: [rules.yml]
alerting:
  alert_relabel_configs:
    - {{regex: replica|team, action: labeldrop}}
    - {{source_labels: [alertname], regex: Noise, action: drop}}
  alertmanagers:
{alertmanagers}
"#
    );
    Setup::new(config).with_file("rules.yml", RULES)
}

async fn shops() -> Exporter {
    let exporter = Exporter::start().await;
    for shop in ["main", "second"] {
        exporter.set(&series(shop), 1.0);
    }
    exporter
}

fn series(shop: &str) -> String {
    format!("shop_up{{shop=\"{shop}\"}}")
}

/// The labels of the alert of a shop as it leaves.
fn labels(exporter: &Exporter, shop: &str) -> Value {
    json!({
        "alertname": "ShopDown", "severity": "critical", "region": "west", "job": "shop", "shop": shop, "instance": exporter.address,
    })
}

/// Returns the labels of the alerts that an Alertmanager holds.
async fn held(address: &str) -> Vec<Value> {
    let Ok(answer) = http().get(format!("http://{address}/api/v2/alerts")).send().await else { return Vec::new() };
    let alerts: Value = answer.json().await.unwrap_or_default();
    alerts.as_array().into_iter().flatten().map(|alert| alert["labels"].clone()).collect()
}

/// Every alert of posts, with the post.
fn alerts(posts: &[Post]) -> Vec<(Post, Value)> {
    let each =
        |post: &Post| post.body.as_array().cloned().unwrap_or_default().into_iter().map(|alert| (post.clone(), alert)).collect();
    posts.iter().flat_map(|post| -> Vec<(Post, Value)> { each(post) }).collect()
}

/// Returns whether the last that was said of a shop is that its alert is over; None: nothing was said.
fn last_said(recorder: &Recorder, shop: &str) -> Option<bool> {
    let all = alerts(&recorder.taken());
    let (post, alert) = all.iter().rev().find(|(_, alert)| alert["labels"]["shop"] == shop)?;
    let ends = tocsin_core::time::Timestamp::parse_rfc3339(alert["endsAt"].as_str()?)?;
    Some(ends <= post.at)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_alertmanagers_hear_of_alerts_and_one_that_was_away_hears_all() {
    const ROUTE: &str = "route: {receiver: none}\nreceivers: [{name: none}]\n";
    let exporter = shops().await;
    let (one_folder, other_folder) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let port = free_port();
    let one = peers::alertmanager_at(one_folder.path(), ROUTE, port).await;
    let other = peers::alertmanager(other_folder.path(), ROUTE).await;
    let (one_address, other_address) = (one.address.clone(), other.address.clone());
    let entries = format!(
        "    - static_configs: [{{targets: ['{one_address}', 'far:9093']}}]\n      relabel_configs: [{{source_labels: [__address__], \
         regex: 'far.*', action: drop}}]\n    - static_configs: [{{targets: ['{other_address}']}}]\n      alert_relabel_configs: \
         [{{target_label: via, replacement: tocsin}}]\n"
    );
    let service = Service::start(setup(&exporter, &entries)).await;
    let known = service.get("/api/v1/alertmanagers").await;
    let url = |address: &str| json!({ "url": format!("http://{address}/api/v2/alerts") });
    assert_eq!(
        known["data"],
        json!({ "activeAlertmanagers": [url(&one_address), url(&other_address)], "droppedAlertmanagers": [url("far:9093")] })
    );
    exporter.set(&series("main"), 0.0);
    let main = labels(&exporter, "main");
    let mut via = main.clone();
    via["via"] = json!("tocsin");
    for (address, expected) in [(&one_address, &main), (&other_address, &via)] {
        let all = soon("the alert arrives", async || Some(held(address).await).filter(|all| !all.is_empty())).await;
        assert_eq!(all, std::slice::from_ref(expected));
    }
    // Our own routing goes on beside.
    let own = service.alert("ShopDown", "firing").await;
    assert_eq!(own["annotations"]["summary"], "shop main is down");

    one.kill().await;
    exporter.set(&series("second"), 0.0);
    soon("the other hears at once", async || (held(&other_address).await.len() == 2).then_some(())).await;
    exporter.set(&series("main"), 1.0);
    soon("the other hears of the end", async || (held(&other_address).await.len() == 1).then_some(())).await;
    let errors = format!("tocsin_alertmanager_errors_total{{alertmanager=\"http://{one_address}/api/v2/alerts\"}}");
    soon("the failures are counted", async || {
        let metrics = service.send(reqwest::Method::GET, "/metrics", None).await.1;
        let line = metrics.as_str()?.lines().find(|line| line.starts_with(&errors))?.to_owned();
        line.ends_with(" 0").then_some(()).map_or(Some(()), |()| None)
    })
    .await;
    let back = peers::alertmanager_at(one_folder.path(), ROUTE, port).await;
    let all = soon("it hears what it missed", async || Some(held(&back.address).await).filter(|all| !all.is_empty())).await;
    assert_eq!(all, [labels(&exporter, "second")], "what is over is over there, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_outlives_reloads_and_restarts_and_newcomers_hear_what_stands() {
    let exporter = shops().await;
    let (slow, late, cloud) = (Recorder::start().await, Recorder::start().await, Recorder::start().await);
    let entries = |timeout: &str| {
        format!(
            "    - {{timeout: {timeout}, path_prefix: /am/, static_configs: [{{targets: ['{}']}}]}}\n    - file_sd_configs: \
             [{{files: [am.json]}}]\n      basic_auth: {{username: u, password_file: word}}\n    - sigv4: {{region: eu-west-1, access_key: \
             AKIDEXAMPLE, secret_key: hunter2}}\n      static_configs: [{{targets: ['{}']}}]\n",
            slow.address, cloud.address
        )
    };
    slow.answer(503);
    let setup = setup(&exporter, &entries("10s")).with_file("word", "hunter2\n");
    let mut service = Service::start(setup).await;
    exporter.set(&series("main"), 0.0);
    soon("it was tried", async || (slow.refused() > 0).then_some(())).await;
    soon("one that takes it has it", async || (last_said(&cloud, "main") == Some(false)).then_some(())).await;
    let signed = cloud.taken()[0].headers["authorization"].to_str().expect("a text").to_owned();
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") && signed.contains("/eu-west-1/aps/"), "{signed}");
    assert!(last_said(&slow, "main").is_none() && late.count() == 0);

    // What waits is sent once, under other settings and by another connection.
    let config = std::fs::read_to_string(service.path("tocsin.yml")).expect("a file").replace(&entries("10s"), &entries("5s"));
    std::fs::write(service.path("tocsin.yml"), config).expect("a file");
    service.post("/-/reload", &json!({})).await;
    exporter.set(&series("main"), 1.0);
    soon("the end is told elsewhere", async || (last_said(&cloud, "main") == Some(true)).then_some(())).await;
    exporter.set(&series("second"), 0.0);
    soon("the next one is told elsewhere", async || (last_said(&cloud, "second") == Some(false)).then_some(())).await;
    slow.answer(200);
    soon("what waited arrives", async || {
        (last_said(&slow, "main") == Some(true) && last_said(&slow, "second") == Some(false)).then_some(())
    })
    .await;
    assert_eq!(slow.taken()[0].path, "/am/api/v2/alerts");
    let told = alerts(&slow.taken());
    assert_eq!(
        told.iter().filter(|(_, alert)| alert["labels"]["shop"] == "main").count(),
        1,
        "only what holds is told: {told:?}"
    );

    // A newcomer hears what stands, and need not wait for the next time that it is said.
    std::fs::write(service.path("am.json"), json!([{ "targets": [late.address] }]).to_string()).expect("a file");
    soon("the newcomer hears", async || (last_said(&late, "second") == Some(false)).then_some(())).await;
    assert_eq!(late.taken()[0].headers["authorization"], "Basic dTpodW50ZXIy");
    assert_eq!(service.get("/api/v1/alertmanagers").await["data"]["activeAlertmanagers"].as_array().map(Vec::len), Some(3));

    // After a crash everything is said anew, also what nobody was told.
    slow.answer(503);
    exporter.set(&series("second"), 1.0);
    soon("the end is told elsewhere", async || (last_said(&cloud, "second") == Some(true)).then_some(())).await;
    service.kill().await;
    slow.answer(200);
    let before = late.count();
    service.restart().await;
    soon("the end arrives", async || (last_said(&slow, "second") == Some(true)).then_some(())).await;
    soon("the end is said again", async || (late.count() > before && last_said(&late, "second") == Some(true)).then_some(()))
        .await;
    let config = service.get("/api/v1/status/config").await.to_string();
    assert!(!config.contains("hunter2") && !service.log().contains("hunter2"), "{config}");
    let every: BTreeMap<String, usize> = [&slow, &late, &cloud].map(|one| (one.address.clone(), one.refused())).into();
    assert!(every[&late.address] == 0 && every[&cloud.address] == 0, "{every:?}");
}
