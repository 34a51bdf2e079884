//! `tocsin backtest`: over a data folder, over a real Prometheus, and beside what a service has told.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::exporter::Health;
use crate::harness::scene::{Scene, Script};
use crate::harness::service::{run, run_within};
use crate::harness::{SOON, peers, soon};

const RULES: &str = "groups:
- name: shop
  rules:
  - {record: 'load:sum', expr: sum(load)}
  - {alert: High, expr: 'load:sum > 9', for: 5m, annotations: {summary: 'load {{ $value }}, of {{ with query \"count(load)\" }}{{ . | first | value }}{{ end }}'}}
  - {alert: Down, expr: up == 0, for: 2m, labels: {severity: page}}
  - {alert: Busy, expr: 'avg_over_time(load[10m]) > 4'}
";
const ROUTING: &str = "route:
  receiver: team
  group_by: [alertname]
  routes: [{receiver: rota, matchers: [severity=page]}]
receivers:
- {name: team, inbox_configs: [{}]}
- {name: rota, users: [ada], inbox_configs: [{}]}
";

/// Samples of six hours that ended an hour ago, of hosts whose load rises and falls, one of which goes down for an hour.
struct Past {
    folder: TempDir,
    from: i64,
    to: i64,
}

impl Past {
    fn new() -> Past {
        let folder = TempDir::with_prefix("tocsin-it-").expect("a temporary folder");
        let to = (tocsin::clock::now().0 / 1000 - 3600) / 60 * 60;
        let from = to - 6 * 3600;
        let (mut load, mut up) = ("# TYPE load gauge\n".to_owned(), "# TYPE up gauge\n".to_owned());
        for host in 0..3 {
            for minute in 0..=360 {
                let at = from + minute * 60;
                let value = ((minute / (7 + host)) % 7) as f64 * 0.9;
                let is_up = u8::from(host != 1 || !(100..160).contains(&minute));
                writeln!(load, "load{{host=\"h{host}\"}} {value} {at}").expect("a text");
                writeln!(up, "up{{host=\"h{host}\"}} {is_up} {at}").expect("a text");
            }
        }
        let past = Past { folder, from, to };
        past.write("past.txt", &format!("{load}{up}# EOF\n"));
        past.write("rules.yml", RULES);
        past.write("lazy.yml", &RULES.replace("for: 2m", "for: 9m").replace("> 9", "> 12"));
        past.write("alertmanager.yml", ROUTING);
        past
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("the folder takes files");
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs a backtest of the last five hours; returns its exit status and what it says.
    async fn backtest(&self, more: &[&str]) -> (i32, String, String) {
        let (from, to) = ((self.from + 3600).to_string(), self.to.to_string());
        let (rules, routing) = (self.path("rules.yml"), self.path("alertmanager.yml"));
        let mut arguments = vec!["backtest", "--rules", &rules, "--alertmanager-config", &routing];
        if !more.contains(&"--from") {
            arguments.extend(["--from", &from]);
        }
        arguments.extend(["--to", &to]);
        arguments.extend(more);
        let output = run(&arguments).await;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
    }

    /// Puts the samples into a data folder.
    async fn import(&self) -> String {
        let data = self.path("data");
        let done = run(&["tsdb", "import", &self.path("past.txt"), "--data", &data]).await;
        assert!(done.status.success(), "{done:?}");
        data
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_samples_tells_what_would_have_been_notified() {
    let past = Past::new();
    let data = past.import().await;
    let lazy = past.path("lazy.yml");
    let (code, text, error) = past.backtest(&["--data", &data, "--progress", "--limit", "200"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(error.contains("100 % of 5h"), "{error}");
    let down = text.lines().find(|line| line.ends_with("[FIRING:1] Down")).unwrap_or_else(|| panic!("it is not told: {text}"));
    assert!(down.contains("rota (ada)") && down.contains("first notification"), "{down}");
    let (_, short, error) = past.backtest(&["--data", &data, "--limit", "2"]).await;
    assert!(short.contains("more; --limit shows them") && short.lines().count() < text.lines().count(), "{short}");
    assert_eq!((short.lines().nth(2), error.as_str()), (text.lines().nth(2), ""), "the counts are of all");

    let (code, json, error) = past.backtest(&["--data", &data, "--against", &lazy, "--format", "json"]).await;
    assert_eq!((code, error.as_str()), (0, ""));
    let said: Value = serde_json::from_str(&json).expect("JSON");
    let down: Vec<&Value> = each(&said["new"]["notifications"]).filter(|one| one["receiver"] == "rota").collect();
    assert_eq!(down.len(), 2, "{json}");
    assert_eq!((&down[0]["status"], &down[0]["users"][0], &down[0]["alerts"]), (&"firing".into(), &"ada".into(), &1.into()));
    let shift = each(&said["difference"]["shifted"]).find(|shift| shift["new"]["receiver"] == "rota").expect("a shift");
    assert_eq!(shift["by_seconds"], -420.0, "seven minutes earlier than with the lazy rules");
    let rule = |side: &str| {
        let rules = each(&said[side]["rules"]).find(|rule| rule["name"] == "High").expect("the rule").clone();
        rules["fired"].as_u64().expect("a count")
    };
    assert!(rule("new") > 5 && rule("old") == 0, "{json}");
    let first = each(&said["new"]["notifications"]).find(|one| one["title"].as_str().is_some_and(|title| title.contains("High")));
    let title = first.expect("a notification")["title"].as_str().expect("a title").to_owned();
    assert!(title.ends_with(", of 3"), "queries of templates are answered as of then: {title}");

    let (code, other, _) = past.backtest(&["--data", &data, "--against", &lazy, "--format", "json", "--chunk", "13m"]).await;
    assert_eq!((code, other), (0, json), "chunks make no difference");
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().expect("a list").iter()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_files_and_samples_is_told_with_status_2() {
    let past = Past::new();
    let data = past.import().await;
    past.write("bad.yml", "groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'up =='}\n  - {alert: B, exper: up}\n");
    let (bad, missing) = (past.path("bad.yml"), past.path("missing.yml"));
    let (code, _, error) = past.backtest(&["--data", &data, "--against", &bad, "--rules", &missing]).await;
    assert_eq!(code, 2);
    for fault in [format!("{bad}:4:"), format!("{bad}:5:"), format!("--rules: no rule file is named {missing}")] {
        assert!(error.contains(&fault), "{fault} is not in {error}");
    }
    let (code, _, error) = past.backtest(&["--data", &data, "--against", "running"]).await;
    assert!(code == 2 && error.contains("names no rule_files; pass --config"), "{error}");
    let (code, _, error) = past.backtest(&["--data", &data, "--from", &(past.from - 7200).to_string()]).await;
    assert!(code == 2 && error.contains("--from: the stored samples begin at"), "{error}");
    let (code, _, error) = past.backtest(&["--data", &past.path("nowhere")]).await;
    assert!(code == 2 && error.contains("--data: cannot list the folder"), "{error}");
    let (code, _, error) = past.backtest(&["--url", "http://127.0.0.1:1"]).await;
    assert!(code == 2 && error.contains("http://127.0.0.1:1 does not answer"), "{error}");
    let (code, _, error) = past.backtest(&["--data", &data, "--zone", "Europe/Atlantis"]).await;
    assert!(code == 2 && error.contains("there is no time zone"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_with_the_same_samples_gives_the_same_report() {
    let past = Past::new();
    let data = past.import().await;
    let (text, blocks) = (past.path("past.txt"), past.path("tsdb"));
    peers::ask("promtool", &["tsdb", "create-blocks-from", "openmetrics", &text, &blocks]).await;
    let peer = peers::prometheus(Path::new(&past.path("")), "global: {}\n").await;
    let url = format!("http://{}", peer.address);
    let (code, ours, error) = past.backtest(&["--data", &data, "--format", "json"]).await;
    assert_eq!(code, 0, "{error}");
    for chunk in ["6h", "47m"] {
        let (code, theirs, error) = past.backtest(&["--url", &url, "--format", "json", "--chunk", chunk]).await;
        assert_eq!(code, 0, "{error}");
        assert_eq!(theirs, ours, "chunks of {chunk}");
    }
    let early = (past.from - 86_400).to_string();
    let (code, _, error) = past.backtest(&["--url", &url, "--from", &early]).await;
    assert!(code == 2 && error.contains("has no sample of what the rules read, nor of up"), "{error}");
    peer.kill().await;
}

const SHOP: &str = "groups:
- name: shop
  early: false
  rules:
  - {record: 'shop:down', expr: 'count(shop_up == 0)'}
  - {alert: ShopDown, expr: shop_up == 0, for: 2s, labels: {severity: critical}, annotations: {summary: '{{ $labels.shop }}'}}
  - {alert: Many, expr: 'shop:down > 1', keep_firing_for: 3s}
  - {alert: Alerting, expr: 'count(ALERTS{alertname=\"ShopDown\", alertstate=\"firing\"}) > 0'}
";

/// Returns what the webhook of the team was told, or would have been: in order of time, what and when in seconds.
fn told(list: &[Value], at: &str) -> Vec<(String, f64)> {
    let mut told: Vec<(String, f64)> = list
        .iter()
        .map(|one| {
            let at = one[at].as_str().and_then(tocsin_core::time::Timestamp::parse_rfc3339).expect("an instant");
            (one["title"].as_str().expect("a title").to_owned(), at.seconds())
        })
        .collect();
    told.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_has_told_what_a_backtest_of_its_samples_says() {
    let mut scene = Scene::prepare(Script::default()).await;
    fs::write(scene.service.path("rules.yml"), SHOP).expect("the folder takes files");
    scene.exporter.set(r#"shop_up{shop="second"}"#, 1.0);
    scene.service.restart().await;
    soon("it is scraped", async || scene.service.value("sum(shop_up)").await.filter(|sum| *sum == 2.0)).await;
    let from = tocsin::clock::now();
    let scrapes = async |count: usize| {
        let before = scene.exporter.scrapes();
        soon("some scrapes", async || (scene.exporter.scrapes() > before + count).then_some(())).await;
    };
    scene.break_shop();
    scene.service.alert("ShopDown", "firing").await;
    scene.exporter.set(r#"shop_up{shop="second"}"#, 0.0);
    scene.service.alert("Many", "firing").await;
    scrapes(4).await;
    // A scrape that fails ends nothing.
    scene.exporter.be(Health::Failing);
    scrapes(3).await;
    scene.exporter.be(Health::Well);
    scrapes(2).await;
    scene.mend_shop();
    scene.service.alert("Many", "resolved").await;
    scene.exporter.set(r#"shop_up{shop="second"}"#, 1.0);
    scene.service.alert("Alerting", "resolved").await;
    let is_quiet = async || {
        let list = scene.service.deliveries().await;
        let ends = list.iter().filter(|one| one["title"].as_str().is_some_and(|title| title.starts_with("[RESOLVED]")));
        // Two shops and two other alerts, each told by three integrations.
        (ends.count() >= 12).then_some(list)
    };
    let deliveries = soon("all ends are told", is_quiet).await;
    let to = tocsin::clock::now();
    let (config, data) =
        (scene.service.path("tocsin.yml").display().to_string(), scene.service.path("data").display().to_string());
    let (begin, end) = (from.rfc3339(), to.rfc3339());
    let arguments = ["backtest", "--rules", "running", "--config", &config, "--format", "json", "--from", &begin, "--to", &end];
    let (running, url) = (run_within(SOON, &[&arguments[..], &["--data", &data]].concat()).await, scene.service.url(""));
    let said = String::from_utf8_lossy(&running.stderr).into_owned();
    assert!(running.status.code() == Some(2) && said.contains("a service uses the folder; ask it with --url"), "{said}");
    let asked = run_within(SOON, &[&arguments[..], &["--url", &url]].concat()).await;
    assert!(asked.status.success(), "{asked:?}");
    scene.service.terminate().await;
    let output = run_within(SOON, &[&arguments[..], &["--data", &data]].concat()).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&output.stdout), "it dumps what it has stored");
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let hooks: Vec<Value> = deliveries.into_iter().filter(|one| one["channel"] == "webhook").collect();
    let (was, would) = (told(&hooks, "created_at"), told(said["new"]["notifications"].as_array().expect("a list"), "at"));
    let titles = |list: &[(String, f64)]| list.iter().map(|(title, _)| title.clone()).collect::<Vec<_>>();
    assert_eq!(titles(&would), titles(&was), "{said}");
    for ((title, would), (_, was)) in would.iter().zip(&was) {
        // A scrape may land only after the slot that lies behind its instant.
        assert!((would - was).abs() < 2.5, "{title} at {would}, and in truth at {was}");
    }
}
