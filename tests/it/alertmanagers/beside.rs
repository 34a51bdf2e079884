//! The same rules over the same target in a real Prometheus and in us: both tell a recorder, and what they tell is compared.

use std::collections::BTreeMap;

use serde_json::Value;
use tempfile::TempDir;
use tocsin_core::time::{Span, Timestamp};

use super::{alerts, series};
use crate::harness::exporter::Exporter;
use crate::harness::recorder::Recorder;
use crate::harness::service::{Service, Setup};
use crate::harness::{SOON, http, peers, soon, within};

const RULES: &str = r#"
groups:
  - name: shop
    rules:
      - alert: ShopDown
        expr: shop_up == 0
        labels: {severity: critical, replica: own, note: '{{ $labels.shop }} is at {{ $value }}'}
        annotations: {summary: 'shop {{ $labels.shop }} in {{ $externalLabels.region }} is down & "out"'}
      - alert: ShopSlow
        expr: shop_seconds > 5
        for: 3s
        keep_firing_for: 4s
        annotations: {value: '{{ $value | humanize }}'}
      - alert: Noise
        expr: shop_up == 0
"#;

/// How far apart instants of both may be: a scrape and an evaluation lie anywhere in a second on each side, and the machine is busy.
const SLACK: Span = Span::from_secs(4);

/// What one side said of one alert.
#[derive(Debug, Default)]
struct Said {
    annotations: Value,
    expr: String,
    starts_at: Vec<Timestamp>,
    /// When it was said that it fires, and until when that holds.
    firing: Vec<(Timestamp, Timestamp)>,
    /// When it was said that it is over, and since when.
    over: Vec<(Timestamp, Timestamp)>,
}

fn said(recorder: &Recorder) -> BTreeMap<String, Said> {
    let mut all: BTreeMap<String, Said> = BTreeMap::new();
    for (post, alert) in alerts(&recorder.taken()) {
        let instant = |key: &str| Timestamp::parse_rfc3339(alert[key].as_str().expect("a text")).expect("an instant");
        let said = all.entry(alert["labels"].to_string()).or_default();
        said.annotations = alert["annotations"].clone();
        let url = reqwest::Url::parse(alert["generatorURL"].as_str().expect("a text")).expect("a URL");
        said.expr = url.query_pairs().find(|(key, _)| key.ends_with("expr")).expect("an expression").1.into_owned();
        if said.starts_at.last() != Some(&instant("startsAt")) {
            said.starts_at.push(instant("startsAt"));
        }
        let list = if instant("endsAt") <= post.at { &mut said.over } else { &mut said.firing };
        list.push((post.at, instant("endsAt")));
    }
    all
}

fn config(target: &str, recorder: &str) -> String {
    format!(
        r#"
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s, external_labels: {{region: west, replica: a}}}}
scrape_configs:
  - {{job_name: shop, static_configs: [{{targets: ['{target}']}}]}}
rule_files: [rules.yml]
alerting:
  alert_relabel_configs:
    - {{source_labels: [alertname], regex: Noise, action: drop}}
    - {{source_labels: [region, replica], separator: /, target_label: origin}}
  alertmanagers:
    - path_prefix: /am
      static_configs: [{{targets: ['{recorder}']}}]
      alert_relabel_configs: [{{regex: job, action: labeldrop}}]
"#
    )
}

fn near(one: Timestamp, other: Timestamp) -> bool {
    Span((one - other).0.abs()) <= SLACK
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_and_when_is_that_of_prometheus() {
    let exporter = Exporter::start().await;
    let (theirs, ours) = (Recorder::start().await, Recorder::start().await);
    for shop in ["main", "second"] {
        exporter.set(&series(shop), 1.0);
    }
    exporter.set("shop_seconds", 1.0);
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("rules.yml"), RULES).expect("a file");
    let prometheus = peers::prometheus(folder.path(), &config(&exporter.address, &theirs.address)).await;
    let setup = Setup::new(config(&exporter.address, &ours.address)).with_file("rules.yml", RULES);
    let service = Service::start(setup).await;
    let alertmanagers = "/api/v1/alertmanagers";
    for address in [&prometheus.address, &service.address] {
        let get = async |path: &str| -> Option<Value> {
            http().get(format!("http://{address}{path}")).send().await.ok()?.json().await.ok()
        };
        soon("the target and the recorder are found", async || {
            let found = get(alertmanagers).await?["data"]["activeAlertmanagers"].as_array()?.len();
            let seen = get("/api/v1/query?query=shop_seconds").await?["data"]["result"].as_array()?.len();
            (found == 1 && seen == 1).then_some(())
        })
        .await;
    }
    let both = async |what: &str, is_so: &dyn Fn(&BTreeMap<String, Said>) -> bool| {
        for recorder in [&theirs, &ours] {
            within(3 * SOON, what, async || is_so(&said(recorder)).then_some(())).await;
        }
    };
    for shop in ["main", "second"] {
        exporter.set(&series(shop), 0.0);
    }
    exporter.set("shop_seconds", 6.5);
    both("all three fire", &|said| said.len() == 3).await;
    exporter.set(&series("main"), 1.0);
    exporter.set("shop_seconds", 1.0);
    both("two are over", &|said| said.values().filter(|one| !one.over.is_empty()).count() == 2).await;
    // What lasts is said again after a minute, and so is what is over.
    both("all is said again", &|said| {
        said.values().all(|one| one.over.len() == 2 || one.over.is_empty() && one.firing.len() == 2)
    })
    .await;
    exporter.set(&series("second"), 1.0);
    both("the last is over", &|said| said.values().all(|one| !one.over.is_empty())).await;

    let (theirs_said, ours_said) = (said(&theirs), said(&ours));
    let labels = |said: &BTreeMap<String, Said>| said.keys().cloned().collect::<Vec<_>>();
    assert_eq!(labels(&theirs_said), labels(&ours_said));
    for (labels, they) in &theirs_said {
        let we = &ours_said[labels];
        assert_eq!((&they.annotations, &they.expr), (&we.annotations, &we.expr), "{labels}");
        assert_eq!((they.starts_at.len(), we.starts_at.len()), (1, 1), "{labels}: {they:?} {we:?}");
        assert!(near(they.starts_at[0], we.starts_at[0]), "{labels}: {they:?} {we:?}");
        for (what, one, other) in [("fires", &they.firing, &we.firing), ("is over", &they.over, &we.over)] {
            // One side may have said the last thing once more already.
            for (one, other) in one.iter().zip(other) {
                assert!(near(one.0, other.0) && near(one.1, other.1), "{labels} {what}: {they:?} {we:?}");
            }
            for side in [one, other] {
                let gaps: Vec<Span> = side.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
                assert!(
                    gaps.iter().all(|gap| *gap > Span::from_secs(59) && *gap < Span::from_secs(66)),
                    "{labels} {what}: {gaps:?}"
                );
            }
        }
        for (at, until) in they.firing.iter().chain(&we.firing) {
            assert!(
                near(*until, *at + Span::from_mins(4)),
                "{labels}: a report holds for four times as long as the next one takes"
            );
        }
    }
    for post in theirs.taken().iter().chain(&ours.taken()) {
        assert_eq!(
            (post.path.as_str(), post.headers["content-type"].as_bytes()),
            ("/am/api/v2/alerts", &b"application/json"[..])
        );
    }
}
