//! The figures of Alertmanager's `/metrics`, beside those of a real one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tempfile::TempDir;
use tocsin::clock;
use tocsin_core::time::Span;

use crate::harness::peers;
use crate::harness::recorder::Recorder;
use crate::harness::service::{Service, Setup};
use crate::harness::{http, soon};

const CONFIG: &str = "
route: {receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: 'http://{}/'}]}, {name: unused}]
inhibit_rules: [{source_matchers: [severity=critical], target_matchers: [severity=warning]}]
";

/// What we do not tell: Alertmanager's insides, such as its logs, its snapshots, its cluster and its HTTP front; and how often something
/// kept a notification back, which is asked of the trace here.
const LEFT_OUT: [&str; 10] = [
    "alertmanager_notifications_suppressed_total",
    "alertmanager_nflog_",
    "alertmanager_silences_",
    "alertmanager_http_",
    "alertmanager_cluster_",
    "alertmanager_dispatcher_aggregation_group_",
    "alertmanager_dispatcher_alert_processing_",
    "alertmanager_alerts_subscriber_",
    "alertmanager_alerts_per_alert_limit",
    "alertmanager_marked_alerts",
];

/// Values by series.
type Figures = BTreeMap<String, f64>;

async fn figures(address: &str) -> Figures {
    let text = http().get(format!("http://{address}/metrics")).send().await.expect("an answer").text().await.expect("a text");
    let mut figures = Figures::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            // What a parser of the text format takes.
            let words: Vec<&str> = comment.split(' ').collect();
            assert!(matches!(words[..], ["", "HELP" | "TYPE", _, ..]), "{line}");
            let kinds = ["counter", "gauge", "histogram", "summary", "untyped"];
            assert!(words[1] != "TYPE" || kinds.contains(&words[3]), "{line}");
        } else if line.starts_with("alertmanager_") {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            figures.insert(series.to_owned(), value.parse().expect("a number"));
        }
    }
    figures
}

/// Returns the names of the labels of each metric, but those of buckets.
fn shapes(figures: &Figures) -> BTreeMap<String, BTreeSet<String>> {
    let mut shapes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for series in figures.keys() {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let names = labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
        shapes.entry(name.to_owned()).or_default().extend(names);
    }
    shapes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_have_the_names_labels_and_values_of_alertmanager() {
    let recorder = Recorder::start().await;
    let config = CONFIG.replace("{}", &recorder.address);
    let folder = TempDir::new().expect("a temporary folder");
    let theirs = peers::alertmanager(folder.path(), &config).await;
    let ours = Service::start(Setup::new(config)).await;
    let addresses = [theirs.address.clone(), ours.address.clone()];
    let post = async |path: &str, body: serde_json::Value| {
        for address in &addresses {
            let answer = http().post(format!("http://{address}{path}")).json(&body).send().await.expect("an answer");
            assert!(answer.status().as_u16() == 200 || answer.status().as_u16() == 400, "{path} of {address}");
        }
    };
    let later = (clock::now() + Span::from_mins(60)).rfc3339();
    let silence = |name: &str, from: String| {
        json!({ "matchers": [{ "name": "alertname", "value": name, "isRegex": false }], "createdBy": "ada", "comment": "x",
            "startsAt": from, "endsAt": "2090-01-01T00:00:00Z" })
    };
    post("/api/v2/silences", silence("Silenced", clock::now().rfc3339())).await;
    post("/api/v2/silences", silence("Later", later)).await;
    post(
        "/api/v2/alerts",
        json!([{ "labels": { "alertname": "Silenced" } }, { "labels": { "alertname": "A", "severity": "critical" } }]),
    )
    .await;
    soon("both have told", async || (recorder.count() == 2).then_some(())).await;
    recorder.answer(400);
    // One is refused by the receiver; one is inhibited; one has ended; one has no labels.
    let more = json!([{ "labels": { "alertname": "B" } }, { "labels": { "alertname": "C", "severity": "warning" } },
        { "labels": { "alertname": "D" }, "endsAt": "2020-01-01T00:00:00Z" }, { "labels": {} }]);
    post("/api/v2/alerts", more).await;
    let counted = [
        "alertmanager_alerts{state=\"active\"}",
        "alertmanager_alerts{state=\"suppressed\"}",
        "alertmanager_alerts{state=\"unprocessed\"}",
        "alertmanager_silences{state=\"active\"}",
        "alertmanager_silences{state=\"pending\"}",
        "alertmanager_silences{state=\"expired\"}",
        "alertmanager_alerts_received_total{status=\"firing\",version=\"v2\"}",
        "alertmanager_alerts_received_total{status=\"resolved\",version=\"v2\"}",
        "alertmanager_alerts_invalid_total{version=\"v2\"}",
        "alertmanager_receivers",
        "alertmanager_integrations",
        "alertmanager_inhibition_rules",
        "alertmanager_config_last_reload_successful",
    ];
    let (theirs, ours) = soon("both count the same", async || {
        let (theirs, ours) = (figures(&addresses[0]).await, figures(&addresses[1]).await);
        let refused = |figures: &Figures| {
            let failed = figures["alertmanager_notifications_failed_total{integration=\"webhook\",reason=\"clientError\"}"];
            // Each failure is one of the notifications, and the first was none.
            failed >= 1.0 && figures["alertmanager_notifications_total{integration=\"webhook\"}"] >= failed + 1.0
        };
        let same: Vec<&str> = counted.into_iter().filter(|series| theirs.get(*series) != ours.get(*series)).collect();
        if !same.is_empty() {
            println!("differ: {same:?}");
        }
        (same.is_empty() && refused(&theirs) && refused(&ours)).then_some((theirs, ours))
    })
    .await;
    assert_eq!(counted.map(|series| ours[series])[..4], [2.0, 2.0, 0.0, 1.0]);
    let (their_shapes, our_shapes) = (shapes(&theirs), shapes(&ours));
    let is_ours = |name: &str| name == "alertmanager_silences" || !LEFT_OUT.iter().any(|begin| name.starts_with(begin));
    let others = their_shapes.iter().filter(|(name, labels)| is_ours(name) && our_shapes.get(*name) != Some(*labels));
    assert_eq!(others.collect::<Vec<_>>(), [], "figures of theirs that are missing or have other labels");
    for name in our_shapes.keys() {
        assert!(their_shapes.contains_key(name), "{name} is no figure of Alertmanager");
    }
    let integrations = |figures: &Figures| -> BTreeSet<String> {
        let named = figures.keys().filter_map(|series| series.strip_prefix("alertmanager_notifications_total{integration=\""));
        named.map(|rest| rest.trim_end_matches("\"}").to_owned()).collect()
    };
    assert!(integrations(&theirs).is_subset(&integrations(&ours)), "an integration of theirs is missing");
    let version = ours.keys().find(|series| series.starts_with("alertmanager_build_info{")).expect("a version");
    assert!(version.contains("version=\"0.33.0\""), "{version}");
    let newer =
        http().get(format!("http://{}/metrics", addresses[1])).header("accept", "application/openmetrics-text;version=1.0.0");
    let newer = newer.send().await.expect("an answer").text().await.expect("a text");
    assert!(newer.ends_with("# EOF\n"), "who asks for OpenMetrics gets it");
}
