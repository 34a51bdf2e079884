//! Stories of alerts of which nobody can tell whether they have ended: a scrape that fails, a series that is gone, a target that is taken
//! away, and a true recovery are four different things.

use serde_json::{Value, json};

use crate::harness::exporter::Health;
use crate::harness::scene::{Scene, Script};
use crate::harness::soon;

const RULES: &str = r#"
groups:
  - name: shop
    rules:
      - {alert: ByDefault, expr: shop_up == 0, labels: {severity: critical}}
      - {alert: AsPrometheus, expr: shop_up == 0, unseen: resolve, labels: {severity: critical}}
      - {alert: Steadfast, expr: shop_up == 0, unseen: hold, labels: {severity: critical}}
      - {alert: Patient, expr: shop_up == 0, for: 1h, labels: {severity: critical}}
"#;

async fn prepare() -> Scene {
    let mut scene = Scene::prepare(Script::default()).await;
    std::fs::write(scene.service.path("rules.yml"), RULES).expect("the folder takes files");
    scene.service.restart().await;
    scene.break_shop();
    for name in ["ByDefault", "AsPrometheus", "Steadfast"] {
        scene.service.alert(name, "firing").await;
    }
    scene.service.alert("Patient", "pending").await;
    scene
}

async fn why(scene: &Scene, name: &str) -> Option<String> {
    let alerts = scene.service.alerts(name).await;
    let standing = alerts.iter().find(|alert| alert["state"] != "resolved")?;
    Some(standing["unseen"]["why"].as_str().unwrap_or("seen").to_owned())
}

/// Lets rules be evaluated a few times.
async fn some_evaluations(scene: &Scene) {
    let before = scene.exporter.scrapes();
    soon("some scrapes", async || (scene.exporter.scrapes() > before + 4).then_some(())).await;
}

fn resolved(scene: &Scene, name: &str) -> bool {
    let of_it = |hook: &Value| hook["status"] == "resolved" && hook["groupLabels"]["alertname"] == name;
    scene.webhooks.taken().iter().any(of_it)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_that_fails_ends_no_alert_and_a_recovery_that_is_seen_does() {
    let mut scene = prepare().await;
    let active_at = scene.service.alert("Patient", "pending").await["active_at"].clone();
    scene.exporter.be(Health::Failing);
    soon("it is told that nobody can tell", async || {
        (why(&scene, "ByDefault").await.as_deref() == Some("scrape_failed")).then_some(())
    })
    .await;
    scene.service.alert("AsPrometheus", "resolved").await;
    soon("the end that is none is told by the one who wants that", async || resolved(&scene, "AsPrometheus").then_some(())).await;
    some_evaluations(&scene).await;
    for name in ["ByDefault", "Steadfast", "Patient"] {
        assert_eq!(why(&scene, name).await.as_deref(), Some("scrape_failed"), "{name}");
    }
    // A crash meanwhile makes no difference.
    scene.service.kill().await;
    scene.service.restart().await;
    some_evaluations(&scene).await;
    for name in ["ByDefault", "Steadfast", "Patient"] {
        assert_eq!(why(&scene, name).await.as_deref(), Some("scrape_failed"), "{name}");
        assert!(!resolved(&scene, name), "{name}");
    }
    scene.exporter.be(Health::Well);
    soon("it is seen again", async || (why(&scene, "Patient").await.as_deref() == Some("seen")).then_some(())).await;
    let patient = scene.service.alert("Patient", "pending").await;
    assert!(patient["active_at"].as_str() > active_at.as_str(), "the clock of `for` stood still: {active_at} {patient}");
    scene.mend_shop();
    for name in ["ByDefault", "Steadfast"] {
        scene.service.alert(name, "resolved").await;
        soon("its end is told", async || resolved(&scene, name).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_that_is_gone_and_a_target_that_is_taken_away_end_alerts_unless_a_rule_holds_them() {
    let scene = prepare().await;
    scene.exporter.remove(r#"shop_up{shop="main"}"#);
    scene.service.alert("ByDefault", "resolved").await;
    soon("it is held", async || (why(&scene, "Steadfast").await.as_deref() == Some("no_data")).then_some(())).await;
    scene.break_shop();
    scene.service.alert("ByDefault", "firing").await;
    soon("it is seen again", async || (why(&scene, "Steadfast").await.as_deref() == Some("seen")).then_some(())).await;

    let elsewhere = Script::default().config(&scene.exporter, &scene.pagerduty, &scene.webhooks);
    let elsewhere = elsewhere.replace(&format!("targets: ['{}']", scene.exporter.address), "targets: []");
    std::fs::write(scene.service.path("tocsin.yml"), elsewhere).expect("the folder takes files");
    scene.service.post("/-/reload", &json!({})).await;
    scene.service.alert("ByDefault", "resolved").await;
    soon("it is held", async || (why(&scene, "Steadfast").await.as_deref() == Some("target_gone")).then_some(())).await;
    assert!(!resolved(&scene, "Steadfast"));
}
