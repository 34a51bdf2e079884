//! The main doors, run over configurations of Prometheus and Alertmanager.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tocsin_core::config::{self, Config, File};
use tocsin_core::problem::{Problem, has_errors};

use crate::corpora;

fn file(path: &Path) -> Option<File> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(File { name: path.to_string_lossy().into_owned(), text })
}

/// Does what the edge does: reads the main file, then every file with more scrape configurations.
pub fn load(path: &Path) -> (Option<Config>, Vec<Problem>) {
    let main = file(path).unwrap();
    let (config, mut problems) = config::read(&main, None, &|_| None);
    let Some(mut config) = config else { return (None, problems) };
    for pattern in config.scrape_config_files.clone() {
        for path in matching(&pattern) {
            // A part of the corpus is left out, and with it files that others name.
            let Some(file) = file(&path) else { continue };
            problems.extend(config.add_scrape_file(&file));
        }
    }
    (Some(config).filter(|_| !has_errors(&problems)), problems)
}

fn matching(pattern: &str) -> Vec<PathBuf> {
    let (folder, name) = pattern.rsplit_once('/').unwrap();
    let Some((before, after)) = name.split_once('*') else { return vec![PathBuf::from(pattern)] };
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(before) && name.ends_with(after)
    };
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(fits).collect();
    paths.sort();
    paths
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    paths.sort();
    paths
}

/// Bad files that we accept: what is wrong lies inside a kind of discovery that we only warn about.
const INNER_CHECKS: &[&str] = &[
    "azure_",
    "consul_",
    "digitalocean_",
    "dns_",
    "ec2_",
    "eureka_",
    "gce_",
    "hetzner_",
    "ionos_",
    "kubernetes_",
    "linode_",
    "marathon_",
    "openstack_",
    "outscale_",
    "ovhcloud_",
    "puppetdb_",
    "scaleway_",
    "stackit_",
    "uyuni_",
    "vultr_",
];

/// Files whose name does not say what they are, and what they are.
const UNNAMED: &[(&str, bool, &str)] = &[
    ("agent_mode.with_remote_reads.yml", true, "bad in agent mode only, which we do not have"),
    ("agent_mode.without_remote_writes.yml", true, "bad in agent mode only"),
    ("config_with_deprecated_am_api_config.yml", false, "names version v1 of the API"),
    ("otlp_no_translation.incompatible.yml", false, "strategy needs UTF-8 names"),
    ("scrape_config_default_validation_mode.yml", true, "a table of schemes of names"),
    ("scrape_config_global_validation_mode.yml", true, "a table of schemes of names"),
    ("scrape_config_local_global_validation_mode.yml", true, "a table of schemes of names"),
    ("scrape_config_local_infer_escaping.yml", true, "a table of schemes of names"),
    ("scrape_config_local_validation_mode.yml", true, "a table of schemes of names"),
    ("web-config.yml", false, "not a main file"),
];

/// Bad because of a file that the corpus leaves out.
const LEFT_OUT: &[&str] = &["scrape_config_files_double_import.bad.yml", "scrape_config_files_duplicate.bad.yml"];

/// Refusals for the same reason in other words.
const OTHER_WORDS: &[&str] = &[
    // We name the nearest known key in place of a type.
    "unknown_attr.bad.yml",
    "unknown_global_attr.bad.yml",
    // We say which units there are.
    "scrape_body_size_limit.bad.yml",
    // We say that a list stands where a text belongs.
    "scrape_config_files_fallback_scrape_protocol2.bad.yml",
];

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n    {problem}")).collect()
}

fn is_excepted(name: &str, folder: &Path) -> bool {
    let left_out = LEFT_OUT.contains(&name) && !folder.join("scrape_config_files.good.yml").exists();
    left_out || name.contains(".bad.") && INNER_CHECKS.iter().any(|kind| name.starts_with(kind))
}

#[test]
fn prometheus_configurations_load_or_are_refused_as_they_say() {
    let Some(folder) = corpora::path("prometheus/config-testdata") else { return };
    let (mut agreed, mut excepted, mut wrong) = (0, Vec::new(), Vec::new());
    for path in yaml_files(&folder).into_iter().chain(yaml_files(&folder.join("../example-configs"))) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let expected = match UNNAMED.iter().find(|(unnamed, ..)| *unnamed == name) {
            Some((_, good, _)) => *good,
            None => !name.contains(".bad."),
        };
        let (config, problems) = load(&path);
        if config.is_some() == expected {
            agreed += 1;
        } else if is_excepted(&name, &folder) {
            excepted.push(name);
        } else {
            wrong.push(format!("{name}: expected good = {expected}{}", shown(&problems)));
        }
    }
    println!("{agreed} agreed, {} excepted: {excepted:?}", excepted.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn refusals_are_about_the_same_thing() {
    let Some(table) = corpora::path("go-test-tables/config-errors.jsonl") else { return };
    let Some(folder) = corpora::path("prometheus/config-testdata") else { return };
    let (mut same, mut excepted, mut other, mut wrong, mut absent) = (0, Vec::new(), Vec::new(), Vec::new(), 0);
    for line in std::fs::read_to_string(table).unwrap().lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let (name, expected) = (case["filename"].as_str().unwrap(), case["errMsg"].as_str().unwrap());
        if !folder.join(name).exists() {
            absent += 1;
            continue;
        }
        let (config, problems) = load(&folder.join(name));
        let text = shown(&problems);
        // The path that upstream puts first is its own.
        let core = expected.rsplit("bad.yml: ").next().unwrap();
        if config.is_none() && text.contains(core) {
            same += 1;
        } else if INNER_CHECKS.iter().any(|kind| name.starts_with(kind)) {
            excepted.push(name.to_owned());
        } else if config.is_some() || !OTHER_WORDS.contains(&name) {
            wrong.push(format!("{name}: {expected}{text}"));
        } else {
            other.push(format!("{name}: {expected}{text}"));
        }
    }
    println!(
        "same words: {same}, excepted: {}, file absent: {absent}, other words: {}:\n{}",
        excepted.len(),
        other.len(),
        other.join("\n")
    );
}

#[test]
fn alertmanager_configurations_load_or_are_refused_as_amtool_says() {
    let Some(folder) = corpora::path("alertmanager/config-testdata") else { return };
    let table = std::fs::read_to_string(folder.join("expected-by-amtool-0.33.1.tsv")).unwrap();
    let mut verdicts: BTreeMap<PathBuf, (bool, String)> = BTreeMap::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split('\t');
        let (name, verdict) = (columns.next().unwrap(), columns.next().unwrap());
        let message = columns.next().unwrap_or_default().rsplit("FAILED: ").next().unwrap_or_default();
        verdicts.insert(folder.join(name), (verdict == "good", message.to_owned()));
    }
    for (path, good) in [
        ("examples/alertmanager.yml", true),
        ("examples/simple.yml", true),
        ("cli/testdata/conf.good.yml", true),
        ("cli/testdata/conf.routing.yml", true),
        ("cli/testdata/conf.routing-reverted.yml", true),
        ("cli/testdata/conf.bad.yml", false),
    ] {
        verdicts.insert(folder.join("..").join(path), (good, String::new()));
    }
    let (mut agreed, mut same_words, mut wrong) = (0, 0, Vec::new());
    for (path, (good, message)) in &verdicts {
        let (config, problems) = load(path);
        if config.is_some() != *good {
            wrong.push(format!("{}: expected good = {good}, {message}{}", path.display(), shown(&problems)));
            continue;
        }
        agreed += 1;
        if !good && shown(&problems).contains(message.as_str()) {
            same_words += 1;
        } else if !good {
            println!("{}: {message}{}", path.display(), shown(&problems));
        }
    }
    println!("{agreed} of {} agreed, {same_words} refusals in the same words", verdicts.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn masked_configurations_load_and_hold_no_secret() {
    for folder in ["prometheus/config-testdata", "alertmanager/config-testdata"] {
        let Some(folder) = corpora::path(folder) else { return };
        for path in yaml_files(&folder) {
            let (Some(config), _) = load(&path) else { continue };
            let text = config::masked(&file(&path).unwrap().text);
            for secret in ["mysecret", "myprecious", "xoxb-"] {
                assert!(!text.contains(secret), "{}:\n{text}", path.display());
            }
            let again = File { name: path.to_string_lossy().into_owned(), text };
            let (again, problems) = config::read(&again, None, &|_| None);
            let again = again.unwrap_or_else(|| panic!("{}{}", path.display(), shown(&problems)));
            assert_eq!(format!("{:?}", again.routing.root), format!("{:?}", config.routing.root), "{}", path.display());
        }
    }
}
