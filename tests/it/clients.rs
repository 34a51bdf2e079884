//! Clients that we did not write: amtool, and a Prometheus that sends its alerts to us.

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::peers;
use crate::harness::scene::{Scene, Script, rules};
use crate::harness::soon;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peers_are_new_enough() {
    for (program, wanted) in
        [("prometheus", (3, 5)), ("promtool", (3, 5)), ("prometheus-alertmanager", (0, 33)), ("amtool", (0, 33))]
    {
        let found = peers::version(program).await;
        assert!(found >= wanted, "{program} is {found:?}, older than {wanted:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amtool_manages_silences() {
    let scene = Scene::start(Script::default()).await;
    let url = format!("--alertmanager.url={}", scene.service.url(""));
    let amtool = async |words: &[&str]| peers::ask("amtool", &[words, &[&url]].concat()).await;

    let id =
        amtool(&["silence", "add", "shop=main", "alertname=~Shop.*", "--author=ada", "--comment=a new till", "--duration=2h"])
            .await;
    let id = id.trim();
    let said = amtool(&["silence", "query"]).await;
    assert!(said.contains(id) && said.contains("ada") && said.contains("a new till"), "{said}");
    assert!(said.contains(r#"alertname=~"Shop.*""#), "{said}");
    scene.break_shop();
    soon("amtool sees the silenced alert", async || {
        let said = amtool(&["alert", "query", "--silenced", "--output=json"]).await;
        let alerts: Vec<Value> = serde_json::from_str(&said).expect("JSON");
        (alerts.first()?["status"]["silencedBy"][0] == id).then_some(())
    })
    .await;
    assert_eq!(amtool(&["alert", "query", "--output=json"]).await.trim(), "[]", "silenced alerts are not shown unasked");
    let said = amtool(&["silence", "query", "--quiet", "shop=main"]).await;
    assert_eq!(said.trim(), id);
    assert_eq!(amtool(&["silence", "query", "--quiet", "shop=other"]).await.trim(), "");

    amtool(&["silence", "expire", id]).await;
    assert_eq!(amtool(&["silence", "query", "--quiet"]).await.trim(), "");
    assert_eq!(amtool(&["silence", "query", "--quiet", "--expired"]).await.trim(), id);
    soon("the page goes out", async || scene.pagerduty.incidents().first().map(drop)).await;
    let output = peers::run("amtool", &["silence", "expire", "no-such-silence", &url]).await;
    assert!(!output.status.success(), "a silence that is not there cannot end");
    let bad = json!({
        "matchers": [{ "name": "shop", "value": "(", "isRegex": true, "isEqual": true }], "createdBy": "ada", "comment": "x",
        "startsAt": "2030-01-01T00:00:00Z", "endsAt": "2030-01-02T00:00:00Z",
    });
    let (status, said) = scene.service.send(Method::POST, "/api/v2/silences", Some(&bad)).await;
    assert_eq!(status, 400, "a bad expression is refused: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amtool_adds_and_asks_for_alerts() {
    let scene = Scene::start(Script::default()).await;
    let url = format!("--alertmanager.url={}", scene.service.url(""));
    let amtool = async |words: &[&str]| peers::ask("amtool", &[words, &[&url]].concat()).await;
    amtool(&["alert", "add", "HandMade", "shop=second", "severity=warning", "--annotation=summary=made by hand"]).await;
    let hook = soon("the webhook", async || scene.webhooks.taken().first().cloned()).await;
    assert_eq!(hook["alerts"][0]["labels"]["alertname"], "HandMade");
    assert_eq!(hook["commonAnnotations"]["summary"], "made by hand");
    let said = amtool(&["alert", "query", "shop=second", "--output=json"]).await;
    let alerts: Vec<Value> = serde_json::from_str(&said).expect("JSON");
    assert_eq!((alerts.len(), &alerts[0]["labels"]["severity"]), (1, &"warning".into()));
    assert_eq!(alerts[0]["receivers"][0]["name"], "team");
    assert_eq!(alerts[0]["fingerprint"], hook["alerts"][0]["fingerprint"]);
    assert!(amtool(&["alert", "query", "shop=none"]).await.lines().count() <= 1);
    // Our own page shows it beside the alerts of our rules.
    assert_eq!(scene.service.alert("HandMade", "firing").await["severity"], "warning");
    amtool(&["alert", "add", "HandMade", "shop=second", "severity=warning", "--end=2020-01-01T00:00:00Z"]).await;
    soon("it is resolved", async || {
        scene.pagerduty.incidents().iter().any(|incident| incident.state == "resolved").then_some(())
    })
    .await;
    let said = amtool(&["config", "show"]).await;
    assert!(said.contains("receiver: team") && !said.contains(crate::harness::scene::ROUTING_KEY), "{said}");
    let said = amtool(&["cluster", "show"]).await;
    assert!(said.contains("ready"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_pages_through_us() {
    let scene = Scene::start(Script::default()).await;
    let folder = TempDir::new().expect("a temporary folder");
    std::fs::write(folder.path().join("rules.yml"), rules("0s").replace("ShopDown", "SeenByPrometheus")).expect("a file");
    let config = format!(
        r#"
global: {{scrape_interval: 1s, evaluation_interval: 1s, external_labels: {{replica: a}}}}
scrape_configs:
  - job_name: shop
    static_configs: [{{targets: ['{}']}}]
  - job_name: tocsin
    static_configs: [{{targets: ['{}']}}]
rule_files: [rules.yml]
alerting:
  alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]
"#,
        scene.exporter.address, scene.service.address, scene.service.address
    );
    // Our own metrics are good enough for Prometheus, which refuses what it cannot parse.
    let prometheus = peers::prometheus(folder.path(), &config).await;
    let client = &scene.service.client;
    let query = async |expr: &str| -> Option<Value> {
        let url = format!("http://{}/api/v1/query", prometheus.address);
        let answer: Value = client.get(url).query(&[("query", expr)]).send().await.ok()?.json().await.ok()?;
        answer["data"]["result"].as_array()?.first().cloned()
    };
    soon("Prometheus scrapes us", async || query(r#"up{job="tocsin"} == 1"#).await).await;
    scene.break_shop();
    let hook = soon("the alert of Prometheus", async || {
        scene.webhooks.taken().into_iter().find(|hook| hook["commonLabels"]["alertname"] == "SeenByPrometheus")
    })
    .await;
    assert_eq!(hook["commonLabels"]["replica"], "a");
    assert_eq!(hook["commonAnnotations"]["summary"], "shop main on shop is down");
    scene.mend_shop();
    soon("its end", async || {
        let ended = |hook: &Value| hook["commonLabels"]["alertname"] == "SeenByPrometheus" && hook["status"] == "resolved";
        scene.webhooks.taken().iter().any(ended).then_some(())
    })
    .await;
    scene.webhooks.assert_no_faults();
    // Both have watched the same target; what they tell of it must be the same.
    let ours = scene.service.query("count_over_time(shop_up[1m]) > bool 0").await;
    let theirs = query("count_over_time(shop_up[1m]) > bool 0").await.expect("a series");
    assert_eq!((&ours[0]["metric"], &ours[0]["value"][1]), (&theirs["metric"], &theirs["value"][1]));
}
