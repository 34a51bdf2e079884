//! Every rule collection of the corpora loads, and what is bad by name is refused.

use std::collections::BTreeSet;
use std::path::Path;

use tocsin_core::problem::{Problem, has_errors};
use tocsin_core::promql::parse::Syntax;
use tocsin_core::rule::lint::at_load;
use tocsin_core::rule::{Defaults, EarlyPlan, Rule, RuleGroup, early_plan, read, read_groups};
use tocsin_core::yaml::{self, Problems, Value};

use crate::corpora;

const YAML: [&str; 2] = ["yml", "yaml"];

fn load(path: &Path, defaults: &Defaults) -> (Vec<RuleGroup>, Vec<Problem>) {
    let text = std::fs::read_to_string(path).expect("the file can be read");
    read(&path.display().to_string(), &text, defaults)
}

fn assert_loads(path: &Path, defaults: &Defaults) -> Vec<RuleGroup> {
    let (groups, problems) = load(path, defaults);
    assert!(!has_errors(&problems), "{}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"));
    groups
}

fn everything() -> Defaults {
    Defaults { syntax: Syntax::everything(), ..Defaults::default() }
}

#[test]
fn collections_load() {
    for folder in ["awesome-prometheus-alerts/rules", "monitoring-mixins/assets", "prometheus/rules-fixtures"] {
        let Some(path) = corpora::path(folder) else { return };
        let (mut count, mut rules) = (0, 0);
        for file in corpora::files(&path, &YAML) {
            let groups = assert_loads(&file, &Defaults::default());
            rules += groups.iter().map(|group| group.rules.len()).sum::<usize>();
            count += 1;
        }
        println!("{folder}: {count} files, {rules} rules");
    }
}

#[test]
fn the_rules_of_kubernetes_mixin_load_and_get_early_plans() {
    let Some(path) = corpora::path("kubernetes-mixin") else { return };
    let groups: Vec<RuleGroup> = ["prometheus_alerts.yaml", "prometheus_rules.yaml"]
        .iter()
        .flat_map(|file| assert_loads(&path.join(file), &Defaults::default()))
        .collect();
    let recorded: BTreeSet<String> =
        groups.iter().flat_map(|group| &group.rules).filter(|rule| !rule.is_alert()).map(|rule| rule.name().to_owned()).collect();
    let (mut never, mut any, mut all) = (0, 0, 0);
    for group in &groups {
        for rule in group.rules.iter().filter(|rule| Rule::is_alert(rule)) {
            match early_plan(rule, group, &recorded) {
                EarlyPlan::Never => never += 1,
                EarlyPlan::OnAnyTarget { .. } => any += 1,
                EarlyPlan::WhenAllReported { .. } => all += 1,
            }
        }
    }
    println!("early looks: {never} never, {any} on any target, {all} when all reported");
    assert!(any > 0 && all > 0 && never > 0);
}

#[test]
fn custom_resources_of_kube_prometheus_load() {
    let Some(path) = corpora::path("kube-prometheus/manifests") else { return };
    for file in corpora::files(&path, &YAML).iter().filter(|file| file.display().to_string().contains("prometheusRule")) {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).expect("the file can be read");
        let (node, faults) = yaml::parse(&name, &text);
        assert!(!has_errors(&faults));
        let node = node.expect("the manifest is YAML");
        let groups = node.get("spec").and_then(|spec| spec.get("groups")).expect("the rules stand under spec");
        let problems = Problems::new(&name);
        let groups = read_groups(&name, Value::new(groups, "spec.groups", &problems).list(), &Defaults::default());
        let problems = problems.into_vec();
        assert!(!has_errors(&problems), "{problems:?}");
        assert!(groups.iter().all(|group| !group.rules.is_empty()));
    }
}

#[test]
fn good_files_load_and_bad_files_are_refused() {
    let Some(path) = corpora::path("prometheus/rulefmt") else { return };
    for file in corpora::files(&path, &YAML) {
        let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let defaults = Defaults { classic_names_only: name.starts_with("legacy_validation"), ..everything() };
        if name.contains(".bad.") {
            assert!(has_errors(&load(&file, &defaults).1), "{name} was accepted");
        } else {
            assert_loads(&file, &defaults);
        }
    }
}

#[test]
fn the_rule_files_of_promtool_load_or_are_refused() {
    let Some(path) = corpora::path("prometheus/promtool") else { return };
    for (name, loads) in [
        ("at-modifier.yml", true),
        ("bad-rules-error.yml", true),
        ("bad-rules-syntax.yml", false),
        ("features.yml", true),
        ("negative-offset.yml", true),
        ("prometheus-rules.lint.yml", true),
        ("rules.yml", true),
        ("rules-bad.yml", false),
        ("rules_duplicates.yml", true),
        ("rules_extrafields.yml", false),
        ("rules_large.yml", true),
    ] {
        let file = path.join(name);
        if !file.exists() {
            println!("skipped: {name} is held out");
            continue;
        }
        let (_, problems) = load(&file, &everything());
        assert_eq!(has_errors(&problems), !loads, "{name}: {problems:?}");
    }
    let text = std::fs::read_to_string(path.join("rules_duplicates.yml")).expect("the file can be read");
    let (groups, problems) = read("r.yml", &text, &everything());
    assert!(problems.is_empty() && !at_load("r.yml", &text, &groups).is_empty(), "duplicate rules are warned of");
}
