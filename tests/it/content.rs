//! What is shipped for the five platforms: it is read without faults, agrees with itself, and its tests notice when it changes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use regex::Regex;
use tempfile::TempDir;

use crate::harness::service::{run, run_within};
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
            let output = tested(&[text(&tests(platform))]).await;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        })
    });
    for run in runs {
        run.await.expect("the tests of each platform pass");
    }
    // Of one of them Prometheus says the same.
    peers::ask("promtool", &["test", "rules", text(&tests("tenk"))]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tocsin_says_of_itself_is_tested_and_rests_on_what_it_counts() {
    let (rules, tests) = (read(&rules("tocsin")), tests("tocsin"));
    let output = tested(&[text(&tests)]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    peers::ask("promtool", &["test", "rules", text(&tests)]).await;
    let alerts: BTreeSet<&str> = values(&rules, "alert:").into_iter().collect();
    let told = read(&tests);
    let tested: BTreeSet<&str> = values(&told, "alertname:").into_iter().collect();
    assert_eq!(tested, alerts);

    // Families without a series are not served yet, so what is registered counts.
    let folder = fs::read_dir(repository().join("src/telemetry")).expect("the folder of the metrics");
    let mut registered = read(&repository().join("src/telemetry.rs"));
    registered.extend(folder.map(|entry| read(&entry.expect("an entry of a folder").path())));
    let named = Regex::new("tocsin_[a-z_]+").expect("a regular expression");
    for metric in named.find_iter(&rules).map(|found| found.as_str()) {
        // Some are registered behind a prefix.
        let family = metric.trim_end_matches("_total");
        let mut names =
            [family, family.trim_start_matches("tocsin_"), family.trim_start_matches("tocsin_remote_write_")].into_iter();
        assert!(names.any(|name| registered.contains(&format!("\"{name}\""))), "{metric} is not served");
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

/// Moves the threshold of every alert whose expression ends in a comparison with a number, by a little; returns their names too.
fn stricter(rules: &str) -> (String, BTreeSet<&str>) {
    let end = Regex::new(r"^(        (?:expr: |  ).* (?:>|>=|<|<=) )([0-9.]+)$").expect("a regular expression");
    let (mut out, mut moved, mut alert) = (String::new(), BTreeSet::new(), "");
    for line in rules.lines() {
        match line.trim_start().strip_prefix("- ") {
            Some(rule) if rule.starts_with("alert: ") => alert = &rule[7..],
            Some(rule) if rule.starts_with("record: ") => alert = "",
            _ => {}
        }
        match end.captures(line).filter(|_| !alert.is_empty()) {
            Some(found) => {
                let number: f64 = found[2].parse().expect("a number");
                let sign = if found[1].contains('>') { 1.0 } else { -1.0 };
                // What counts things has no values between whole numbers.
                let step = if number.fract() == 0.0 && number <= 30.0 { 1.0 } else { number * 0.05 };
                moved.insert(alert);
                out.push_str(&format!("{}{}\n", &found[1], number + sign * step));
            }
            None => out.extend([line, "\n"]),
        }
    }
    (out, moved)
}

/// Runs files of tests of rules.
async fn tested(files: &[&str]) -> Output {
    run_within(Duration::from_secs(600), &[&["test", "rules"], files].concat()).await
}

/// Writes the tests of a platform beside changed rules; returns their path.
fn changed(folder: &TempDir, platform: &str, rules: &str) -> PathBuf {
    fs::write(folder.path().join("rules.yml"), rules).expect("a file");
    let file = folder.path().join("test.yml");
    let tests = read(&tests(platform)).replace(&format!("../../rules/{platform}.yml"), "rules.yml");
    fs::write(&file, tests).expect("a file");
    file
}

/// Returns name and instant of every alert that a test misses, in the words of its output.
fn missed(output: &Output, pattern: &str) -> Vec<(String, String)> {
    assert!(!output.status.success(), "the tests pass");
    let said = String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned();
    let failed = Regex::new(pattern).expect("a regular expression");
    failed.captures_iter(&said).map(|found| (found[1].to_owned(), found[2].to_owned())).collect()
}

const OURS: &str = r": alert (\w+) at (\w+);";
const THEIRS: &str = r"alertname: (\w+), time: (\w+),";

/// Runs the tests of a platform against changed rules; returns which alerts they miss.
async fn noticed(platform: &str, rules: &str) -> BTreeSet<String> {
    let folder = TempDir::new().expect("a temporary folder");
    let output = tested(&[text(&changed(&folder, platform, rules))]).await;
    missed(&output, OURS).into_iter().map(|(alert, _)| alert).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_tests_of_rules_miss_what_promtool_misses() {
    let folder = TempDir::new().expect("a temporary folder");
    let rules = read(&rules("strangerwave"));
    let file = changed(&folder, "strangerwave", &slower(&stricter(&rules).0).0);
    let ours = missed(&tested(&[text(&file)]).await, OURS);
    let theirs = missed(&peers::run("promtool", &["test", "rules", text(&file)]).await, THEIRS);
    assert!(ours.len() > 20, "{ours:?}");
    assert_eq!(ours, theirs);
}

async fn assert_noticed(change: &str, platform: &str, changed: String, alerts: BTreeSet<&str>) {
    assert!(alerts.len() > 8, "{platform}, {change}: {alerts:?}");
    let noticed = noticed(platform, &changed).await;
    let missed: Vec<&&str> = alerts.iter().filter(|alert| !noticed.contains(**alert)).collect();
    assert_eq!(missed, Vec::<&&str>::new(), "{platform}: {change} of these are not noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tests_notice_a_longer_wait() {
    let rules = read(&rules("dinner"));
    let (changed, alerts) = slower(&rules);
    assert_noticed("longer waits", "dinner", changed, alerts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tests_notice_a_threshold_that_moves_a_little() {
    let runs = PLATFORMS.map(|platform| {
        tokio::spawn(async move {
            let rules = read(&rules(platform));
            let (changed, alerts) = stricter(&rules);
            assert_noticed("moved thresholds", platform, changed, alerts).await;
        })
    });
    for run in runs {
        run.await.expect("the thresholds of each platform are held");
    }
}

fn routing() -> PathBuf {
    repository().join("rules/routing/alertmanager.yml")
}

fn page_tests(platform: &str) -> PathBuf {
    repository().join("tests/pages").join(format!("{platform}_test.yml"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_routing_tells_whom_its_tests_name() {
    let files = PLATFORMS.map(page_tests);
    let files: Vec<&str> = files.iter().map(|path| text(path)).collect();
    let output = run(&[&["test", "pages"], files.as_slice()].concat()).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.ends_with("total: 5 files, 0 failed\n"), "{said}");
    // Alertmanager reads it too.
    peers::ask("amtool", &["check-config", text(&routing())]).await;

    let routing = read(&routing());
    for (said, instead) in [
        ("group_wait: 30s", "group_wait: 31s"),
        ("      mute_time_intervals: [night]\n", ""),
        ("    equal: [platform, service, instance]", "    equal: [platform, service, alertname]"),
        ("service=~\"cost|quota|secrets\"", "service=~\"cost|secrets\""),
        (
            "    - matchers: [severity=\"critical\"]\n      receiver: on-call",
            "    - matchers: [severity=\"critical\"]\n      receiver: owners",
        ),
    ] {
        let changed = routing.replace(said, instead);
        assert_ne!(changed, routing, "{said}");
        let folder = TempDir::new().expect("a temporary folder");
        fs::write(folder.path().join("routing.yml"), changed).expect("a file");
        let file = folder.path().join("test.yml");
        let tests = read(&page_tests("tenk")).replace("../../rules/routing/alertmanager.yml", "routing.yml");
        fs::write(&file, tests.replace("../../rules/tenk.yml", text(&rules("tenk")))).expect("a file");
        let output = run(&["test", "pages", text(&file)]).await;
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.code() == Some(1) && told.contains("failure"), "{said}: {told}");
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

/// Returns the documents of a folder under `runbooks/`, each with its path and text.
fn documents(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = repository().join("runbooks").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry of a folder").path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

fn configuration() -> PathBuf {
    repository().join("runbooks/tocsin.yml")
}

async fn check_runbooks(configuration: &Path) -> (bool, String) {
    let folders = PLATFORMS.into_iter().chain(["demo"]);
    let files: Vec<PathBuf> = folders.flat_map(documents).map(|(path, _)| path).collect();
    let files: Vec<&str> = files.iter().map(|path| text(path)).collect();
    let checked = run(&[&["check", "runbooks", "--config", text(configuration)], files.as_slice()].concat()).await;
    (checked.status.success(), String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_documents_have_no_faults() {
    let (good, said) = check_runbooks(&configuration()).await;
    assert!(good && !said.contains("warning"), "{said}");

    // What the configuration does not list, documents cannot name.
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("tocsin.yml");
    let beside = Regex::new("(?s)runbook_files:.*?\n\n").expect("a regular expression");
    let other = read(&configuration()).replace("name: sw-db-b", "name: sw-db-c");
    fs::write(&file, beside.replace(&other, "").as_bytes()).expect("a file");
    let (good, said) = check_runbooks(&file).await;
    assert!(!good && said.contains("the configuration knows no database \"sw-db-b\""), "{said}");
}

/// Returns the one value of a key at the beginning of a line.
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(key)).collect();
    assert!(found.len() <= 1, "{key} {found:?}");
    found.first().map_or("", |value| value.trim())
}

#[test]
fn each_platform_has_its_documents_and_its_own_figures() {
    // RTO, RPO and the parts of the recovery, as the platforms' documents and our budgets for them say.
    const FIGURES: [(&str, &str, &str, &str); 5] = [
        ("strangerwave", "1h", "15m", "{detect: 2m, page: 60s, ack: 5m, data: 10m, traffic: 3m, capacity: 15m, verify: 5m}"),
        ("tenk", "60m", "", "{detect: 2m, page: 60s, ack: 5m}"),
        ("strangeprompt", "30m", "5m", "{detect: 90s, page: 30s, ack: 3m, data: 5m, traffic: 2m, capacity: 5m, verify: 3m}"),
        ("cloudnative", "1h", "15m", "{detect: 2m, page: 60s, ack: 5m, data: 10m, traffic: 60s, capacity: 15m, verify: 5m}"),
        ("dinner", "15m", "", "{detect: 60s, page: 30s, ack: 2m, data: 2m, traffic: 90s, capacity: 4m, verify: 2m}"),
    ];
    for (platform, rto, rpo, phases) in FIGURES {
        let documents = documents(platform);
        let slugs: Vec<&str> = documents.iter().map(|(_, text)| value(text, "  slug:")).collect();
        for slug in ["scaling", "deployment", "incident", "disaster-recovery", "failback"] {
            assert_eq!(slugs.iter().filter(|own| **own == slug).count(), 1, "{platform}: {slug}");
        }
        assert!(documents.iter().all(|(_, text)| value(text, "  platform:") == platform), "{platform}");
        let of_kind = |kind: &str| -> Vec<&str> {
            documents.iter().filter(|(_, text)| value(text, "kind:") == kind).map(|(_, text)| text.as_str()).collect()
        };
        let (experiments, drills) = (of_kind("Experiment"), of_kind("Drill"));
        assert_eq!((experiments.len(), drills.len()), (1, 1), "{platform}");
        let drill = drills[0];
        let found = (value(drill, "    rto:"), value(drill, "    rpo:"), value(drill, "    phases:"));
        assert_eq!(found, (rto, rpo, phases), "{platform}");
    }
}

#[test]
fn documents_name_only_what_there_is() {
    let triggered = Regex::new(r"- alert: \{name: (\w+)").expect("a regular expression");
    let named = Regex::new(r"(?:forbid|expect): \[([^\]{}]*)\]").expect("a regular expression");
    let recorded = Regex::new(r"\b(?:sw|tk|sp|cn|dn):[a-z0-9_]+:[a-z0-9_]+").expect("a regular expression");
    let promised = Regex::new(r"slo: ([a-z0-9-]+)").expect("a regular expression");
    let watched = Regex::new(r"journey: ([a-z0-9-]+)").expect("a regular expression");
    let configuration = read(&configuration());
    for platform in PLATFORMS {
        let rules = read(&rules(platform));
        let objectives = read(&repository().join("rules/slo").join(platform).with_extension("yml"));
        let (alerts, records) = (values(&rules, "alert:"), values(&rules, "record:"));
        let mut offered = BTreeSet::new();
        for (path, text) in documents(platform) {
            let file = path.display();
            let lists = named.captures_iter(&text).flat_map(|found| found.extract::<1>().1[0].split(','));
            offered.extend(triggered.captures_iter(&text).map(|found| found[1].to_owned()));
            for alert in lists.map(str::trim) {
                assert!(alerts.contains(&alert), "{file} names {alert}");
            }
            for series in recorded.find_iter(&text) {
                assert!(records.contains(&series.as_str()), "{file} asks {}", series.as_str());
            }
            for objective in promised.captures_iter(&text) {
                assert!(values(&objectives, "name:").contains(&&objective[1]), "{file} names {}", &objective[1]);
            }
            for journey in watched.captures_iter(&text).filter(|_| value(&text, "kind:") == "Drill") {
                assert!(values(&configuration, "name:").contains(&&journey[1]), "{file} names {}", &journey[1]);
            }
        }
        // On the page of every alert a runbook is offered, and no runbook waits for an alert that cannot come.
        let alerts: BTreeSet<String> = alerts.into_iter().map(str::to_owned).collect();
        assert_eq!(offered, alerts, "{platform}");
    }
}

#[test]
fn failovers_promote_before_they_move_users() {
    for platform in PLATFORMS {
        let text = read(&repository().join("runbooks").join(platform).join("disaster-recovery.yml"));
        let steps = values(&text, "id:");
        let place = |part: &str| steps.iter().position(|id| id.contains(part));
        let (fence, traffic) = (place("fence"), place("traffic").or(place("point_services")));
        let data = place("promote").or(place("restore"));
        assert!(fence.is_some() && data.is_some() && traffic.is_some(), "{platform}: {steps:?}");
        assert!(traffic > data, "{platform} moves users before their data: {steps:?}");
        // A restore takes an hour in which the old cluster may still be fenced.
        assert!(platform == "tenk" || data > fence, "{platform} promotes beside a writer: {steps:?}");
        assert!(!text.contains("mode: auto"), "{platform} fails over by itself");
    }
}
