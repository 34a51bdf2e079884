//! Specifications of Sloth give the rules that Sloth gives.

use std::path::Path;

use tocsin_core::problem::{Problem, has_errors};
use tocsin_core::promql::parse::Syntax;
use tocsin_core::rule::{Defaults, Kind, RuleGroup, read_groups};
use tocsin_core::slo::sloth::{Generated, Options, check_unique, generate, read, read_windows};
use tocsin_core::time::Span;
use tocsin_core::yaml::{self, Problems, Value};

use crate::corpora;

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the file can be read")
}

fn import(path: &Path, options: &Options) -> Result<Vec<Generated>, Vec<Problem>> {
    let name = path.file_name().expect("a file has a name").to_string_lossy();
    let (specs, mut problems) = read(&name, &text(path), options);
    problems.extend(check_unique(&specs));
    if has_errors(&problems) {
        return Err(problems);
    }
    specs.iter().map(|spec| generate(spec, options)).collect()
}

/// Returns the groups of each document of a file of rules, and the name and namespace of custom resources.
fn expected(text: &str) -> Vec<((String, String), Vec<RuleGroup>)> {
    let (documents, problems) = yaml::parse_all("expected", text);
    assert!(!has_errors(&problems), "{problems:?}");
    let mut read = Vec::new();
    for node in documents.expect("the file is YAML") {
        if node.is_null() {
            continue;
        }
        let problems = Problems::new("expected");
        let groups = node.get("groups").or_else(|| node.get("spec").and_then(|spec| spec.get("groups"))).expect("groups");
        let defaults = Defaults { syntax: Syntax::everything(), ..Defaults::default() };
        let groups = read_groups("expected", Value::new(groups, "groups", &problems).list(), &defaults);
        assert!(!has_errors(&problems.into_vec()));
        let named = |key: &str| {
            node.get("metadata").and_then(|metadata| metadata.get(key)).and_then(yaml::Node::text).unwrap_or_default().to_owned()
        };
        read.push(((named("name"), named("namespace")), groups));
    }
    read
}

fn assert_same(name: &str, ours: &[Generated], theirs: &[((String, String), Vec<RuleGroup>)]) -> usize {
    assert_eq!(ours.len(), theirs.len(), "{name}: documents");
    let mut rules = 0;
    for (ours, (resource, theirs)) in ours.iter().zip(theirs) {
        assert_eq!(&ours.resource, resource, "{name}");
        let names = |groups: &[RuleGroup]| groups.iter().map(|group| group.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&ours.groups), names(theirs), "{name}");
        for (our, their) in ours.groups.iter().zip(theirs) {
            assert_eq!((our.interval, our.rules.len()), (their.interval, their.rules.len()), "{name}: {}", our.name);
            for (our, their) in our.rules.iter().zip(&their.rules) {
                assert_eq!(our.name(), their.name(), "{name}");
                assert_eq!(our.label_texts(), their.label_texts(), "{name}: {}", our.name());
                assert_eq!(our.expr, their.expr, "{name}: {}\n{}\n{}", our.name(), our.text, their.text);
                match (&our.kind, &their.kind) {
                    (Kind::Alert(our), Kind::Alert(their)) => {
                        assert_eq!((our.hold, our.keep_firing), (their.hold, their.keep_firing));
                        assert_eq!(our.annotations, their.annotations, "{name}: {}", our.name);
                    }
                    (Kind::Record { .. }, Kind::Record { .. }) => {}
                    _ => panic!("{name}: {} is of another kind", our.name()),
                }
                rules += 1;
            }
        }
    }
    rules
}

#[test]
fn the_examples_give_the_rules_of_sloth() {
    let Some(folder) = corpora::path("sloth/examples") else { return };
    let options = Options {
        extra_labels: [("cmd".to_owned(), "examplesgen.sh".to_owned())].into(),
        version: "dev".to_owned(),
        ..Options::default()
    };
    let mut rules = 0;
    for name in [
        "contrib-slo-plugins.yml",
        "home-wifi.yml",
        "k8s-getting-started.yml",
        "multifile.yml",
        "no-alerts.yml",
        "openslo-getting-started.yml",
        "openslo-kubernetes-apiserver.yml",
        "raw-home-wifi.yml",
        "slo-plugin-getting-started.yml",
        "slo-plugin-k8s-getting-started.yml",
    ] {
        let ours = import(&folder.join(name), &options).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
        rules += assert_same(name, &ours, &expected(&text(&folder.join("_gen").join(name))));
    }
    println!("{rules} rules are those of Sloth");
    // What these need are programs: two SLI plug-ins in Go, a chain that puts other plug-ins in place of the built-in ones, and a
    // plug-in that checks queries of another language (`histogram_share`).
    for name in [
        "contrib-denominator-corrected.yaml",
        "plugin-getting-started.yml",
        "plugin-k8s-getting-started.yml",
        "victoria-metrics.yml",
    ] {
        let problems = import(&folder.join(name), &options).expect_err(name);
        assert!(
            problems.iter().any(|problem| problem.message.contains("plug-in") || problem.message.contains("chain")),
            "{name}"
        );
    }
}

#[test]
fn the_integration_cases_give_the_rules_of_sloth() {
    let Some(folder) = corpora::path("sloth/integration/testdata") else { return };
    let usual = Options { version: "v1".to_owned(), ..Options::default() };
    let days = |days: i64| Span::from_mins(days * 24 * 60);
    let extra = [("exk1", "exv1"), ("exk2", "exv2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut rules = 0;
    for (input, output, options) in [
        ("in-base.yaml", "out-base-28d.yaml.tpl", Options { period: days(28), ..usual.clone() }),
        ("in-base.yaml", "out-base-extra-labels.yaml.tpl", Options { extra_labels: extra.into(), ..usual.clone() }),
        ("in-base.yaml", "out-base-no-alerts.yaml.tpl", Options { alerts: false, ..usual.clone() }),
        ("in-base.yaml", "out-base-no-recordings.yaml.tpl", Options { recordings: false, ..usual.clone() }),
        ("in-base-k8s.yaml", "out-base-k8s.yaml.tpl", usual.clone()),
        ("in-multifile-k8s.yaml", "out-multifile-k8s.yaml.tpl", usual.clone()),
    ] {
        let output_path = folder.join(output);
        if !output_path.exists() || !folder.join(input).exists() {
            println!("skipped: {output} is held out");
            continue;
        }
        // The template writes each action of the rules as a text of its own.
        let theirs = text(&output_path).replace("{{ .version }}", "v1").replace("{{\"", "").replace("\"}}", "");
        let ours = import(&folder.join(input), &options).unwrap_or_else(|problems| panic!("{input}: {problems:#?}"));
        rules += assert_same(output, &ours, &expected(&theirs));
    }
    println!("{rules} rules are those of Sloth");
}

#[test]
fn good_specifications_load_and_bad_ones_are_refused() {
    let Some(folder) = corpora::path("sloth/integration/testdata") else { return };
    let options = Options::default();
    for name in [
        "validate/good/good-ab.yaml",
        "validate/good/good-ba.yaml",
        "validate/good/good-multi.yaml",
        "in-base.yaml",
        "in-multifile.yaml",
        "in-openslo.yaml",
    ] {
        if folder.join(name).exists() {
            import(&folder.join(name), &options).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
        }
    }
    for (name, word) in [
        ("validate/bad/bad-aa.yaml", "expected a percentage"),
        ("validate/bad/bad-ab.yaml", "expected a percentage"),
        ("validate/bad/bad-ba.yaml", "expected a percentage"),
        ("validate/bad/bad-multi.yaml", "one of events and raw must be set"),
        ("validate/bad/bad-openslo.yaml", "expected a window of 30d"),
        ("validate_with_duplicates/bad-prom-multi-duplicates.yaml", "stands twice"),
        ("in-invalid-version.yaml", "expected version: prometheus/v1"),
        ("in-sli-plugin.yaml", "plug-ins are programs"),
        ("in-slo-plugin.yaml", "is not known"),
    ] {
        if folder.join(name).exists() {
            let problems = import(&folder.join(name), &options).expect_err(name);
            assert!(problems.iter().any(|problem| problem.message.contains(word)), "{name}: {problems:#?}");
        }
    }
    // Each of the two files is good alone.
    let mut specs = Vec::new();
    for name in ["bad-k8s-1-original.yaml", "bad-k8s-1-duplicate.yaml"] {
        let (read, problems) = read(name, &text(&folder.join("validate_with_duplicates/k8s").join(name)), &options);
        assert!(!has_errors(&problems), "{problems:#?}");
        specs.extend(read);
    }
    assert!(!check_unique(&specs).is_empty());
}

#[test]
fn catalogues_of_windows_decide_what_alerts_look_at() {
    let Some(folder) = corpora::path("sloth/examples/windows") else { return };
    let (windows, problems) = read_windows("custom-30d.yaml", &text(&folder.join("custom-30d.yaml")));
    assert_eq!(problems, []);
    let options = Options { windows: windows.into_iter().collect(), ..Options::default() };
    let groups = import(&folder.join("../multifile.yml"), &options).expect("the example is good").remove(0).groups;
    let recorded: Vec<&str> = groups[0].rules.iter().map(|rule| rule.name()).collect();
    assert_eq!(
        recorded,
        ["2m", "15m", "30m", "1h", "3h", "12h", "1d12h", "30d"].map(|window| format!("slo:sli_error:ratio_rate{window}"))
    );
    // 1 % of 30 d within 30 min is a factor of 14.4.
    assert!(groups[2].rules[0].text.contains("ratio_rate30m{") && groups[2].rules[0].text.contains("> (14.4 *"));
    let week = Options { period: Span::from_mins(7 * 24 * 60), ..Options::default() };
    let problems = import(&folder.join("../multifile.yml"), &week).expect_err("there are no windows for a week");
    assert!(problems[0].message.contains("no alert windows for a period of 1w"), "{problems:?}");
    for name in ["sloth/examples/windows/7d.yaml", "sloth/integration/windows/7d.yaml"] {
        let Some(path) = corpora::path(name) else { continue };
        let (windows, problems) = read_windows("7d.yaml", &text(&path));
        assert_eq!(problems, []);
        import(&folder.join("../multifile.yml"), &Options { windows: windows.into_iter().collect(), ..week.clone() })
            .expect(name);
    }
}
