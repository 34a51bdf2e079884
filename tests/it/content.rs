//! What is shipped for the five platforms: it is read without faults, and its tests notice when it changes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use tempfile::TempDir;

use crate::harness::service::run;
use crate::harness::{peers, repository};

const PLATFORMS: [&str; 5] = ["strangerwave", "tenk", "strangeprompt", "cloudnative", "dinner"];

fn rules(platform: &str) -> PathBuf {
    repository().join("rules").join(platform).with_extension("yml")
}

fn tests(platform: &str) -> PathBuf {
    repository().join("tests/rules").join(format!("{platform}_test.yml"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of the repository are text")
}

/// Returns what stands behind a key, line by line: the names of alerts behind `alert:`.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix(key)).map(str::trim).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_rules_have_no_faults() {
    let mut files: Vec<PathBuf> = fs::read_dir(repository().join("rules"))
        .expect("the folder of the rules")
        .map(|entry| entry.expect("an entry of a folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    files.sort();
    assert!(PLATFORMS.iter().all(|platform| files.contains(&rules(platform))), "{files:?}");
    let files: Vec<&str> = files.iter().map(|path| text(path)).collect();
    let ours = run(&[&["check", "rules"], files.as_slice()].concat()).await;
    let said = String::from_utf8_lossy(&[ours.stdout, ours.stderr].concat()).into_owned();
    assert!(ours.status.success(), "{said}");
    peers::ask("promtool", &[&["check", "rules", "--lint=all", "--lint-fatal"], files.as_slice()].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alerts_of_the_platforms_fire_at_their_boundaries() {
    let runs = PLATFORMS.map(|platform| {
        tokio::spawn(async move {
            peers::ask("promtool", &["test", "rules", text(&tests(platform))]).await;
        })
    });
    for run in runs {
        run.await.expect("the tests of each platform pass");
    }
}

#[test]
fn every_alert_is_tested_labelled_and_described() {
    let overview = read(&repository().join("rules/README.md"));
    let runbook = Regex::new("^(sw|tk|sp|cn|dn)-(scaling|deployment|incident|disaster-recovery)$").expect("a regular expression");
    for platform in PLATFORMS {
        let (rules, tests) = (read(&rules(platform)), read(&tests(platform)));
        let alerts = values(&rules, "alert:");
        let names: BTreeSet<&str> = alerts.iter().copied().collect();
        assert_eq!(names.len(), alerts.len(), "{platform} names an alert twice");
        let tested: BTreeSet<&str> = values(&tests, "alertname:").into_iter().collect();
        assert_eq!(tested, names, "alerts of {platform} that a test expects to fire, and alerts that there are");
        for alert in &names {
            assert!(overview.contains(&format!("`{alert}`")), "rules/README.md does not name {alert}");
        }
        for key in ["severity:", "service:", "summary:", "description:", "runbook:"] {
            assert_eq!(values(&rules, key).len(), alerts.len(), "{platform}: alerts with {key}");
        }
        assert!(values(&rules, "severity:").iter().all(|severity| ["critical", "warning", "info"].contains(severity)));
        assert!(values(&rules, "platform:").iter().all(|named| *named == platform));
        assert!(values(&rules, "runbook:").iter().all(|id| runbook.is_match(id)), "{platform}: {:?}", values(&rules, "runbook:"));
        assert!(values(&rules, "assumed:").iter().all(|assumed| *assumed == "\"true\""));
    }
}

/// Returns the rules with every wait a minute longer, and the names of the alerts that wait.
fn slower(rules: &str) -> (String, BTreeSet<&str>) {
    let (mut out, mut waiting, mut alert) = (String::new(), BTreeSet::new(), "");
    for line in rules.lines() {
        if let Some(name) = line.trim_start().strip_prefix("- alert: ") {
            alert = name;
        }
        match line.strip_prefix("        for: ") {
            Some(span) => {
                waiting.insert(alert);
                let (number, unit) = span.split_at(span.len() - 1);
                let number: u64 = number.parse().expect("a number with a unit");
                let minutes = match unit {
                    "s" => number.div_ceil(60),
                    "m" => number,
                    "h" => number * 60,
                    "d" => number * 1440,
                    _ => panic!("{alert}: for {span}"),
                };
                out.push_str(&format!("        for: {}m\n", minutes + 1));
            }
            None => out.extend([line, "\n"]),
        }
    }
    (out, waiting)
}

/// Moves the threshold of every alert whose expression ends in a comparison with a number other than 0; returns their names too.
fn stricter(rules: &str) -> (String, BTreeSet<&str>) {
    let end = Regex::new(r"^(        (?:expr: |  ).* (?:>|>=|<|<=) )([0-9.]+)$").expect("a regular expression");
    let (mut out, mut moved, mut alert) = (String::new(), BTreeSet::new(), "");
    for line in rules.lines() {
        match line.trim_start().strip_prefix("- ") {
            Some(rule) if rule.starts_with("alert: ") => alert = &rule[7..],
            Some(rule) if rule.starts_with("record: ") => alert = "",
            _ => {}
        }
        match end.captures(line).filter(|found| !alert.is_empty() && &found[2] != "0") {
            Some(found) => {
                let number: f64 = found[2].parse().expect("a number");
                let factor = if found[1].contains('>') { 2.0 } else { 0.5 };
                moved.insert(alert);
                out.push_str(&format!("{}{}\n", &found[1], number * factor));
            }
            None => out.extend([line, "\n"]),
        }
    }
    (out, moved)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tests_notice_a_longer_wait_and_a_moved_threshold() {
    let failed = Regex::new(r"alertname: (\w+), time").expect("a regular expression");
    let platform = "dinner";
    let (rules, tests) = (read(&rules(platform)), read(&tests(platform)));
    for (change, (changed, alerts)) in [("longer waits", slower(&rules)), ("moved thresholds", stricter(&rules))] {
        assert!(alerts.len() > 8, "{change}: {alerts:?}");
        let folder = TempDir::new().expect("a temporary folder");
        fs::write(folder.path().join("rules.yml"), changed).expect("a file");
        let file = folder.path().join("test.yml");
        fs::write(&file, tests.replace("../../rules/dinner.yml", "rules.yml")).expect("a file");
        let output = peers::run("promtool", &["test", "rules", text(&file)]).await;
        assert!(!output.status.success(), "{change}: the tests pass");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let noticed: BTreeSet<&str> = failed.captures_iter(&said).map(|found| found.extract::<1>().1[0]).collect();
        assert_eq!(alerts.difference(&noticed).collect::<Vec<_>>(), Vec::<&&str>::new(), "{change} of these are not noticed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_objectives_can_be_counted() {
    let names = PLATFORMS.into_iter().chain(["demo"]);
    let files: Vec<PathBuf> = names.map(|name| repository().join("rules/slo").join(name).with_extension("yml")).collect();
    let files: Vec<&str> = files.iter().map(|path| text(path)).collect();
    let checked = run(&[&["check", "slo"], files.as_slice()].concat()).await;
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{said}");
    assert!(said.ends_with("objectives in 6 files\n"), "{said}");

    let folder = TempDir::new().expect("a temporary folder");
    let bad = folder.path().join("bad.yml");
    let broken = read(Path::new(files[0])).replacen("target: 0.", "target: 7.", 1);
    assert_ne!(broken, read(Path::new(files[0])));
    fs::write(&bad, broken).expect("the folder takes files");
    let checked = run(&["check", "slo", text(&bad)]).await;
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(!checked.status.success() && said.contains("bad.yml:") && said.contains("target"), "{said}");
}
