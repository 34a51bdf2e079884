//! `tocsin check rules`: the verdicts of promtool on the same files, and what a running service adds.

use tempfile::TempDir;

use crate::harness::exporter::Exporter;
use crate::harness::peers;
use crate::harness::service::{Service, Setup, run};
use crate::harness::{corpora, soon};

const DOUBLE: &str = "groups:\n- name: g\n  rules:\n  - {record: a, expr: up}\n  - {record: a, expr: up * 2}\n";
const NOTED: &str = "groups:\n- name: g\n  owner: me\n  rules:\n  - {record: a, expr: up, why: because}\n";
const BROKEN: &str = "groups:\n- name: g\n  rules:\n  - {record: a, expr: 'sum('}\n";
const GOOD: &str = "groups:\n- name: g\n  rules:\n  - {record: a, expr: up}\n";

fn write(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("the folder takes files");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verdicts_are_those_of_promtool() {
    let folder = TempDir::new().expect("a temporary folder");
    let files = [("double", DOUBLE), ("noted", NOTED), ("broken", BROKEN), ("good", GOOD)]
        .map(|(name, text)| write(&folder, &format!("{name}.yml"), text));
    for file in &files {
        for flags in [
            &[][..],
            &["--lint-fatal"],
            &["--lint=none", "--lint-fatal"],
            &["--lint=duplicate-rules", "--lint-fatal"],
            &["--ignore-unknown-fields"],
            &["--ignore-unknown-fields", "--lint-fatal"],
        ] {
            let arguments = [&["check", "rules"], flags, &[file.as_str()]].concat();
            let (theirs, ours) = (peers::run("promtool", &arguments).await, run(&arguments).await);
            let said = String::from_utf8_lossy(&ours.stdout);
            assert_eq!(ours.status.code(), theirs.status.code(), "{arguments:?}: {said}");
            let doubled = String::from_utf8_lossy(&theirs.stderr).contains("duplicate rule(s) found");
            assert_eq!(said.contains("duplicate-rules"), doubled, "{arguments:?}: {said}");
        }
    }
    let output = run(&["check", "rules", "--lint=no-such-lint", &files[3]]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("there is no lint") && said.contains("rate-of-gauge"), "{said}");
    let output = run(&["check", "rules", "--help"]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("tocsin-ignore") && said.contains("missing-le (error)"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collections_have_the_duplicates_that_promtool_finds() {
    let Some(folder) = corpora("") else { return };
    for file in [
        "kubernetes-mixin/prometheus_alerts.yaml",
        "monitoring-mixins/assets/snmp/alerts.yaml",
        "node-exporter/mixin/alerts.yaml",
    ] {
        let file = folder.join(file).display().to_string();
        let theirs = peers::run("promtool", &["check", "rules", &file]).await;
        let ours = run(&["check", "rules", "--lint=duplicate-rules", &file]).await;
        let (theirs, ours) = (String::from_utf8_lossy(&theirs.stderr).into_owned(), String::from_utf8_lossy(&ours.stdout));
        // They count what is there more than once, and we tell each that repeats another.
        let found = theirs.contains("duplicate rule(s) found");
        assert_eq!(ours.contains(": duplicate-rules: "), found, "{file}: {theirs}{ours}");
        for metric in theirs.lines().filter_map(|line| line.strip_prefix("Metric: ")) {
            assert!(ours.contains(&format!(": duplicate-rules: {metric}: ")), "{file}: {metric} in {ours}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_service_knows_the_metrics() {
    let exporter = Exporter::start().await;
    exporter.set("# TYPE odd_total gauge\nodd_total", 1.0);
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: shop\n  static_configs: [{{targets: ['{}']}}]\n\
         - job_name: slow\n  scrape_interval: 10m\n  static_configs: [{{targets: ['{}']}}]\n",
        exporter.address, exporter.address
    );
    let service = Service::start(Setup::new(config)).await;
    soon("it is scraped", async || service.query("odd_total").await.first().map(drop)).await;
    let folder = TempDir::new().expect("a temporary folder");
    let rules = "groups:\n- name: g\n  rules:\n  - {record: a, expr: 'rate(odd_total[5m])'}\n  - {record: b, expr: gone}\n  \
                 - {record: c, expr: 'a + sum(absent(gone))'}\n  - {record: d, expr: 'rate(up{job=\"slow\"}[5m])'}\n";
    let file = write(&folder, "rules.yml", rules);
    let output = run(&["check", "rules", "--lint-fatal", "--url", &service.url(""), &file]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    let told: Vec<&str> = said.lines().filter_map(|line| line.split_once(": warning: ")?.1.split(": ").next()).collect();
    assert_eq!(
        (output.status.code(), told),
        (Some(3), vec!["rate-of-gauge", "matches-nothing", "rate-of-gauge", "short-range", "matches-nothing"]),
        "{said}"
    );
    assert!(said.contains("rules.yml:4:24: ") && said.contains("\"odd_total\" is a gauge, its target says so"), "{said}");
    let output = run(&["check", "rules", "--url", "http://127.0.0.1:1", &file]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("does not answer"), "{said}");
}
