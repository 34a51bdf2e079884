//! `tocsin test`: unit tests of rules and scripts of PromQL from the command line.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::harness::service::run;
use crate::harness::{peers, repository};

/// Runs the program in a folder; returns whether it succeeded, and what it printed.
async fn test(arguments: &[&str]) -> (bool, String) {
    let output = run(&[&["test"], arguments].concat()).await;
    assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(&path, text).expect("a file");
    path.to_str().expect("a path of text").to_owned()
}

const RULES: &str = "groups:\n  - name: g\n    rules:\n      - {alert: Down, expr: up == 0, for: 1m, annotations: {summary: '{{ $labels.job }}'}}\n";
const GOOD: &str = "rule_files: ['ru*/r?.yml']\ntests:\n  - name: goes down\n    input_series: [{series: 'up{job=\"a\"}', values: '1 0 0 0'}]\n    \
                    alert_rule_test:\n      - {eval_time: 1m, alertname: Down}\n      \
                    - {eval_time: 2m, alertname: Down, exp_alerts: [{exp_labels: {job: a}, exp_annotations: {summary: a}}]}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_tested_and_every_failure_is_told() {
    let folder = TempDir::new().expect("a temporary folder");
    let rules = write(folder.path(), "rules/r1.yml", RULES);
    let good = write(folder.path(), "good.yml", GOOD);
    assert_eq!(test(&["rules", &good]).await, (true, format!("ok   {good}: 2 checks in 1 test\n")));

    let bad = GOOD.replace("2m, alertname", "1m30s, alertname").replace("alertname: Down}", "alertname: Down, exp_alerts: [{}]}");
    let bad = write(folder.path(), "bad.yml", &bad);
    let (passed, said) = test(&["rules", &good, &bad]).await;
    let expected = format!(
        "ok   {good}: 2 checks in 1 test\nFAIL {bad}: 2 failures of 2 checks in 1 test\n  \
         {bad}:6:9: goes down: alert Down at 1m; made by {rules}:4:9\n    - {{alertname=\"Down\"}}\n  \
         {bad}:7:9: goes down: alert Down at 1m30s; made by {rules}:4:9\n    - {{alertname=\"Down\", job=\"a\"}}\n    -     summary: \"a\"\n\
         total: 2 files, 1 failed\n"
    );
    assert_eq!((passed, said), (false, expected));
    // Only what is asked for is run.
    assert_eq!(test(&["rules", "--run", "^other", &bad]).await, (true, format!("ok   {bad}: 0 checks in 0 tests\n")));

    // Faults, in the file of tests and in the rule files, are told with their places.
    let faulty = write(folder.path(), "faulty.yml", "rule_files: [rules/r1.yml]\ntests:\n  - {nane: x}\n  - {interval: soon}\n");
    let (passed, said) = test(&["rules", &faulty, "/nowhere.yml"]).await;
    assert!(!passed && said.contains(&format!("{faulty}:3:6: error: tests[0].nane: unknown key nane")), "{said}");
    assert!(said.contains(&format!("{faulty}:4:16: error: tests[1].interval: not a valid duration")), "{said}");
    assert!(said.contains("/nowhere.yml:1:1: error: cannot read the file"), "{said}");
    write(folder.path(), "rules/r1.yml", &RULES.replace("up == 0", "up ="));
    let (passed, said) = test(&["rules", &good]).await;
    assert!(
        !passed && said.contains(&format!("{rules}:4:29: error: groups[0].rules[0].expr: could not parse expression")),
        "{said}"
    );
    fs::remove_file(&rules).expect("a file");
    let (passed, said) = test(&["rules", &good]).await;
    assert!(!passed && said.contains("warning: no rule file is named ru*/r?.yml"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_is_written_as_promtool_writes_it() {
    let folder = TempDir::new().expect("a temporary folder");
    write(folder.path(), "rules/r1.yml", RULES);
    let tests = write(folder.path(), "tests.yml", &(GOOD.replace("2m,", "59s,") + "  - {}\n"));
    let (ours, theirs) = (folder.path().join("ours.xml"), folder.path().join("theirs.xml"));
    let arguments = |path: &Path| format!("--junit={}", path.display());
    assert!(!test(&["rules", &arguments(&ours), &tests]).await.0);
    let output = peers::run("promtool", &["test", "rules", &arguments(&theirs), &tests]).await;
    assert!(!output.status.success());
    // All but the instant and the words of the failures.
    let bones = |path: &Path| {
        let text = fs::read_to_string(path).expect("a document");
        let (head, rest) = text.split_once("timestamp=\"").expect("an instant");
        assert!(rest.as_bytes()[19] == b'"', "{text}");
        let body: Vec<&str> = rest[20..].split("<failure>").map(|part| part.rsplit("</failure>").next().unwrap_or("")).collect();
        (head.to_owned(), body.join("<failure>"))
    };
    assert_eq!(bones(&ours), bones(&theirs));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_of_promql_are_run_from_files_and_folders() {
    let own = repository().join("tests/promql");
    let (passed, said) = test(&["promql", own.to_str().expect("a path of text")]).await;
    assert!(passed && said.ends_with(" 0 failed, 2 files\n"), "{said}");

    let folder = TempDir::new().expect("a temporary folder");
    let wrong = write(
        folder.path(),
        "scripts/wrong.test",
        "load 1m\n  m 1+1x5\n\neval instant at 1m m\n  m 2\n\neval instant at 2m m\n  m 4\n",
    );
    write(folder.path(), "scripts/notes.txt", "no script");
    let scripts = folder.path().join("scripts");
    let (passed, said) = test(&["promql", scripts.to_str().expect("a path of text")]).await;
    let expected = format!(
        "{wrong}: 1 passed, 1 failed\n  {wrong}:7: m\n    - {{__name__=\"m\"}} 4\n    + {{__name__=\"m\"}} 3\ntotal: 1 passed, 1 failed, 1 file\n"
    );
    assert_eq!((passed, said), (false, expected));

    let faulty = write(folder.path(), "faulty.test", "load 1m\n  m{ 1\n\nevil\n");
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).expect("a folder");
    let (passed, said) = test(&["promql", &faulty, empty.to_str().expect("a path of text"), "/nowhere.test"]).await;
    assert!(
        !passed
            && said.contains(&format!("{faulty}:2:6: error: "))
            && said.contains(&format!("{faulty}:4:1: error: invalid command")),
        "{said}"
    );
    assert!(
        said.contains("no file of the folder ends in .test") && said.contains("/nowhere.test:1:1: error: cannot read"),
        "{said}"
    );
    assert!(said.ends_with("total: 0 passed, 0 failed, 2 files, 3 that cannot be read\n"), "{said}");
}
