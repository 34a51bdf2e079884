//! `tocsin test`: unit tests of rules and of pages, and scripts of PromQL, from the command line.

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

const ROUTING: &str = "route: {receiver: chat, group_by: [alertname], routes: [{receiver: rota, matchers: [job=\"a\"]}]}\n\
                       receivers: [{name: chat, webhook_configs: [{url: 'http://chat.test'}]}, {name: rota, pagerduty_configs: [{routing_key: k}]}]\n";
const PAGES: &str = "    page_tests:\n      - {at: 2m30s, labels: {alertname: Down}, expect_receivers: [rota]}\n      \
                     - {at: 2m29s, labels: {alertname: Down}, expect_receivers: []}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_tested_under_the_configuration_that_is_named() {
    let folder = TempDir::new().expect("a temporary folder");
    write(folder.path(), "rules/r1.yml", RULES);
    let routing = write(folder.path(), "routing.yml", ROUTING);
    let text = format!("{GOOD}{PAGES}");
    let tests = write(folder.path(), "tests.yml", &text);
    let note = |what: &str, by: &str| format!("{tests}: note: 2 {what} tests are not run here but by `tocsin test {by}`\n");
    let good = format!("ok   {tests}: 2 checks in 1 test\n");
    // The configuration stands in the file, or on the command line; a main file may name it.
    assert_eq!(test(&["pages", "--alertmanager-config", &routing, &tests]).await, (true, note("rule", "rules") + &good));
    let main = write(folder.path(), "main.yml", "alertmanager_config: routing.yml\n");
    assert!(test(&["pages", "--config", &main, &tests]).await.0);
    write(folder.path(), "tests.yml", &format!("alertmanager_config: routing.yml\n{text}"));
    assert_eq!(test(&["pages", &tests]).await, (true, note("rule", "rules") + &good));
    assert_eq!(test(&["rules", &tests]).await, (true, note("page", "pages") + &good));
    write(folder.path(), "tests.yml", &text);
    let (passed, said) = test(&["pages", &tests]).await;
    assert!(!passed && said.contains("nothing was run") && said.contains("the file names no configuration"), "{said}");
    let (passed, said) = test(&["pages", "--run", "other", &tests]).await;
    assert!(passed && said.contains("warning: no test that is asked for has page_tests"), "{said}");

    // What is wrong is told with its place and its reasons, on the terminal and to build servers.
    let bad = write(folder.path(), "bad.yml", &text.replace("expect_receivers: [rota]", "expect_receivers: [chat]"));
    let junit = folder.path().join("out.xml");
    let (passed, said) = test(&["pages", "--alertmanager-config", &routing, &format!("--junit={}", junit.display()), &bad]).await;
    let expected = format!(
        "FAIL {bad}: 1 failure of 2 checks in 1 test\n  {bad}:9:66: goes down: pages of {{alertname=\"Down\"}} at 2m30s: expect_receivers\n    \
         - chat\n    + rota\n    why:\n      {{alertname=\"Down\", job=\"a\"}} fires since 2m\n        route {{}} to chat: passes it on\n          \
         route {{job=\"a\"}} to rota: takes it\n        the group {{}}/{{job=\"a\"}}:{{alertname=\"Down\"}} of rota is flushed next at 7m30s\n        \
         rota was told at 2m30s: first notification\n"
    );
    assert!(!passed && said.ends_with(&expected), "{said}\n{expected}");
    let xml = fs::read_to_string(&junit).expect("a document");
    assert!(xml.contains("tests=\"1\" failures=\"1\"") && xml.contains("why:&#xA;"), "{xml}");

    let faulty = write(folder.path(), "faulty.yml", &text.replace("[rota]", "[rotas]"));
    let (passed, said) = test(&["pages", "--alertmanager-config", &routing, &faulty]).await;
    assert!(!passed && said.contains("faulty.yml:9:67: error: tests[0].page_tests[0].expect_receivers[0]: the configuration has no receiver \"rotas\"; did you mean \"rota\"?"), "{said}");
    write(folder.path(), "routing.yml", &ROUTING.replace("receiver: rota", "receiver: nobody"));
    let (passed, said) = test(&["pages", "--alertmanager-config", &routing, &tests]).await;
    assert!(!passed && said.contains("routing.yml:1:") && said.contains("undefined receiver \"nobody\""), "{said}");
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
