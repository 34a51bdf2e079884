//! Unit tests of pages: routing, rule files and a file of tests in, failures out.

use std::sync::Arc;

use tocsin_core::config::{self, File};
use tocsin_core::ledger::Outward;
use tocsin_core::problem::has_errors;
use tocsin_core::promql::evaluate::Cancel;
use tocsin_core::rule;
use tocsin_core::testing::page::{self, Setup};
use tocsin_core::testing::{self, Settings};

const ROUTING: &str = r#"
global: {external_labels: {zone: north}}
alerting: {alert_relabel_configs: [{source_labels: [alertname], regex: Noise, action: drop}, {regex: replica, action: labeldrop}]}
route:
  receiver: default
  group_by: [alertname, cluster]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 1h
  routes:
    - {receiver: audit, matchers: ['team=~".+"'], group_wait: 1m, continue: true}
    - receiver: db
      matchers: [team="db"]
      routes:
        - {receiver: db-tickets, matchers: [severity="warning"], mute_time_intervals: [night]}
    - {receiver: web, matchers: [team="web"]}
    - {receiver: nobody, matchers: [team="lost"]}
receivers:
  - {name: default, inbox_configs: [{}]}
  - {name: audit, inbox_configs: [{send_resolved: false}]}
  - {name: db, inbox_configs: [{}], webhook_configs: [{url: 'http://db.test'}]}
  - {name: db-tickets, inbox_configs: [{}]}
  - {name: web, inbox_configs: [{}]}
  - {name: nobody}
inhibit_rules:
  - {source_matchers: [severity="critical"], target_matchers: [severity="warning"], equal: [cluster]}
time_intervals:
  - {name: night, time_intervals: [{times: [{start_time: '22:00', end_time: '06:00'}], location: Europe/Berlin}]}
"#;

const RULES: &str = "
groups:
  - name: g
    rules:
      - {alert: Down, expr: up == 0, for: 2m, labels: {team: web}, annotations: {summary: '{{ $labels.instance }} is gone from {{ $externalLabels.zone }}'}}
      - {alert: Noise, expr: up == 0}
";

fn setup() -> Setup {
    let file = File { name: "routing.yml".to_owned(), text: ROUTING.to_owned() };
    let (config, problems) = config::read(&file, None, &|_| None);
    let config = config.unwrap_or_else(|| panic!("{problems:?}"));
    let outward =
        Outward { external_labels: config.global.external_labels.clone(), relabel: config.alert_relabel.clone(), others: false };
    Setup { routing: Arc::new(config.routing), outward }
}

/// Returns what `tocsin test pages` would print below its head line, and the expectations that were checked.
fn told(tests: &str) -> (Vec<String>, usize) {
    let settings = Settings::default();
    let (file, mut problems) = testing::read("t.yml", tests, &settings);
    let setup = setup();
    problems.extend(file.iter().flat_map(|file| page::faults(file, &setup)));
    if has_errors(&problems) {
        return (problems.iter().map(ToString::to_string).collect(), 0);
    }
    let (groups, faults) = rule::read("rules.yml", RULES, &rule::Defaults::default());
    assert!(faults.is_empty(), "{faults:?}");
    let outcomes = page::run(&file.expect("a file"), &groups, &setup, &settings, &Cancel::new());
    let checks = outcomes.iter().map(|outcome| outcome.checks).sum();
    let told = outcomes.iter().flat_map(|outcome| {
        outcome.failures.iter().map(|failure| format!("{}: {}: {}", failure.position.line, outcome.title, failure.what))
    });
    (told.collect(), checks)
}

/// Returns a file with one test of these lines, which stand from line 4 on.
fn one(lines: &[&str]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("    {line}\n")).collect();
    format!("evaluation_interval: 1m\ntests:\n  - name: t\n{}", lines.concat())
}

/// Runs a test of these lines; all it expects must hold.
fn holds(lines: &[&str]) {
    let (failures, checks) = told(&one(lines));
    assert!(failures.is_empty(), "{failures:#?}");
    let expected = lines.iter().map(|line| line.matches("expect_").count()).sum::<usize>();
    assert_eq!(checks, expected, "every expectation is checked");
}

/// Runs a test of these lines; the first thing that fails must be told so.
fn fails(lines: &[&str], expected: &str) {
    let (failures, _) = told(&one(lines));
    assert_eq!(failures.first().map(String::as_str), Some(expected.trim_matches('\n')), "{failures:#?}");
}

const DB: &str = "alerts: [{labels: {alertname: Slow, team: db, severity: critical, cluster: a}}]";

#[test]
fn an_alert_goes_down_the_tree_and_on_where_a_route_continues() {
    holds(&[
        DB,
        "page_tests:",
        "  - {at: 29s, labels: {alertname: Slow}, expect_receivers: []}",
        "  - {at: 30s, labels: {alertname: Slow}, expect_receivers: [db], expect_not: audit, expect_state: active}",
        "  - {at: 1m, labels: {team: db}, expect_receivers: [audit, db], expect_not: [default, db-tickets, web]}",
        "  - {between: [31s, 1m], expect_receivers: [audit]}",
        "  - {at: 1m, labels: {alertname: Slow, severity: ''}, expect_receivers: [], expect_state: inactive}",
    ]);
    fails(
        &[DB, "page_tests:", "  - {at: 2m, labels: {alertname: Slow}, expect_receivers: [db-tickets, audit]}"],
        r#"
6: t: pages of {alertname="Slow"} at 2m: expect_receivers
    - db-tickets
    + db
    why:
      {alertname="Slow", cluster="a", severity="critical", team="db"} fires since 0s
        route {} to default: passes it on
          route {team=~".+"} to audit: takes it, and the next one is asked too
          route {team="db"} to db: takes it
            route {severity="warning"} to db-tickets: no, severity is "critical"
          route {team="web"} to web: not asked, one before it took the alert
          route {team="lost"} to nobody: not asked, one before it took the alert
        the group {}/{team="db"}:{alertname="Slow", cluster="a"} of db is flushed next at 5m30s
        the group {}/{team=~".+"}:{alertname="Slow", cluster="a"} of audit is flushed next at 6m
        db was told at 30s: first notification
        audit was told at 1m: first notification
"#,
    );
}

#[test]
fn a_page_of_a_run_goes_where_the_run_says() {
    let run = "alerts: [{labels: {alertname: TocsinRun, policy: web, run: r1}}]";
    holds(&[run, "page_tests: [{at: 0s, labels: {run: r1}, expect_receivers: [web]}]"]);
    let (failures, _) = told(&one(&[run, "page_tests: [{at: 0s, labels: {run: r1}, expect_receivers: [db]}]"]));
    let line = r#"          route {alertname="TocsinRun",policy="web"} to web: takes it"#;
    assert!(failures[0].lines().any(|own| own == line), "{}", failures[0]);
}

#[test]
fn notifications_of_a_group_come_in_their_time_and_no_others() {
    let alerts = "alerts: [{labels: {alertname: Slow, team: web, pod: a}, annotations: {summary: so slow}, to: 12m}, \
                  {labels: {alertname: Slow, team: web, pod: b}, from: 3m, to: 7m}]";
    let notices = [
        "        - {receiver: web, at: 30s, status: firing, reason: first notification, alerts: 1, text: 'Slow: so slow'}",
        "        - {receiver: audit, at: 1m, status: firing}",
        "        - {receiver: web, at: 5m30s, status: firing, reason: new alerts added, alerts: 2, text: [Slow, so slow]}",
        "        - {receiver: audit, at: 6m, status: firing, reason: new alerts added}",
        "        - {receiver: web, at: 10m30s, status: firing, reason: some alerts resolved}",
        "        - {receiver: web, at: 15m30s, status: resolved, reason: all alerts resolved, alerts: 1}",
    ];
    let with = |notices: &[&str]| {
        let head = [
            alerts,
            "page_tests:",
            "  - at: 3h",
            "    labels: {pod: a}",
            "    expect_state: resolved",
            "    expect_notifications:",
        ];
        let lines: Vec<String> = head.iter().chain(notices).map(|line| line.replacen("        -", "      -", 1)).collect();
        lines
    };
    let all = with(&notices);
    holds(&all.iter().map(String::as_str).collect::<Vec<_>>());
    // One too few, one at a wrong instant, and one with another count: each is told.
    let late = notices[5].replace("15m30s", "15m31s");
    let more = notices[2].replace("alerts: 2", "alerts: 3");
    for (index, line) in [(5, late.as_str()), (2, more.as_str()), (2, "        - {receiver: db, at: 5m30s, status: firing}")] {
        let mut wrong = notices;
        wrong[index] = line;
        let lines = with(&wrong);
        let (failures, _) = told(&one(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
        let said = failures.concat();
        let absent = said.lines().filter(|line| line.starts_with("    - {receiver")).count();
        let unexpected = said.lines().filter(|line| line.starts_with("    + {receiver")).count();
        assert_eq!((absent, unexpected), (1, 1), "{said}");
    }
    let (failures, _) = told(&one(&with(&notices[..5]).iter().map(String::as_str).collect::<Vec<_>>()));
    assert!(
        failures[0].contains("    + {receiver: web, at: 15m30s, status: resolved, reason: all alerts resolved, alerts: 1, text: [\"[RESOLVED] Slow: so slow\"]}"),
        "{failures:?}"
    );
}

#[test]
fn what_lasts_is_repeated() {
    holds(&[
        "alerts: [{labels: {alertname: Slow}}]",
        "page_tests:",
        "  - at: 2h",
        "    expect_notifications:",
        "      - {receiver: default, at: 30s, status: firing, reason: first notification}",
        "      - {receiver: default, at: 1h30s, status: firing, reason: repeat interval elapsed}",
    ]);
}

#[test]
fn alerts_of_rules_wait_as_their_rules_say_and_carry_the_labels_that_routing_sees() {
    let series = "input_series: [{series: 'up{instance=\"i\", replica=\"r1\"}', values: '1 0 0 0 0 1'}]";
    holds(&[
        series,
        "page_tests:",
        "  - {at: 2m59s, labels: {alertname: Down}, expect_state: pending, expect_receivers: []}",
        "  - {at: 3m, labels: {alertname: Down, zone: north, replica: ''}, expect_state: active, expect_receivers: []}",
        "  - {at: 3m30s, labels: {alertname: Down, instance: i}, expect_receivers: [web]}",
        "  - {at: 10m, labels: {alertname: Noise}, expect_state: inactive, expect_receivers: []}",
        "  - at: 10m",
        "    labels: {alertname: Down}",
        "    expect_state: resolved",
        "    expect_notifications:",
        "      - {receiver: web, at: 3m30s, status: firing, text: i is gone from north}",
        "      - {receiver: audit, at: 4m, status: firing}",
        "      - {receiver: web, at: 8m30s, status: resolved}",
    ]);
    // The external labels of a test stand in for those of the configuration.
    holds(&[
        series,
        "external_labels: {zone: south}",
        "page_tests:",
        "  - {between: [3m, 4m], labels: {zone: south}, expect_notifications: [{receiver: web, at: 3m30s, status: firing, text: from south}, {receiver: audit, at: 4m, status: firing}]}",
    ]);
    fails(
        &[series, "page_tests:", "  - {at: 2m, labels: {alertname: Down}, expect_receivers: web}"],
        r#"
6: t: pages of {alertname="Down"} at 2m: expect_receivers
    - web
    why:
      {alertname="Down", instance="i", team="web", zone="north"} is pending since 1m; its rule waits for 2m
"#,
    );
    fails(
        &[series, "page_tests:", "  - {at: 2m, labels: {alertname: Noise}, expect_state: active}"],
        r#"
6: t: pages of {alertname="Noise"} at 2m: expect_state
    - active
    + inactive
    why:
      {alertname="Noise", instance="i", replica="r1"} fires, and alert_relabel_configs drop it
"#,
    );
}

#[test]
fn silences_mute_for_as_long_as_they_last() {
    let silence = "silences: [{matchers: [team=\"db\", 'cluster=~\"a|b\"'], from: 10s, to: 20m, comment: repair}]";
    holds(&[
        DB,
        silence,
        "page_tests:",
        "  - {at: 9s, labels: {alertname: Slow}, expect_state: active, expect_silenced_by: []}",
        "  - {at: 10s, labels: {alertname: Slow}, expect_state: suppressed, expect_silenced_by: repair}",
        "  - {at: 20m, labels: {alertname: Slow}, expect_state: active, expect_receivers: []}",
        "  - {at: 21m, labels: {alertname: Slow}, expect_receivers: [audit, db]}",
    ]);
    fails(
        &[DB, silence, "page_tests:", "  - {at: 5m, labels: {alertname: Slow}, expect_receivers: [db], expect_silenced_by: []}"],
        r#"
7: t: pages of {alertname="Slow"} at 5m: expect_receivers
    - db
    why:
      {alertname="Slow", cluster="a", severity="critical", team="db"} fires since 0s
        route {} to default: passes it on
          route {team=~".+"} to audit: takes it, and the next one is asked too
          route {team="db"} to db: takes it
            route {severity="warning"} to db-tickets: no, severity is "critical"
          route {team="web"} to web: not asked, one before it took the alert
          route {team="lost"} to nobody: not asked, one before it took the alert
        the silence repair of team="db", cluster=~"a|b" mutes it
        the group {}/{team="db"}:{alertname="Slow", cluster="a"} of db is flushed next at 5m30s
        the group {}/{team=~".+"}:{alertname="Slow", cluster="a"} of audit is flushed next at 6m
        db was kept from it at 30s by the silence repair
        audit was kept from it at 1m by the silence repair
        nobody was told of it
"#,
    );
}

#[test]
fn what_kept_an_alert_from_a_receiver_is_told_also_when_it_is_over() {
    let alerts = "alerts: [{labels: {alertname: Slow, severity: warning, cluster: a}, to: 40m}, {labels: {alertname: Gone, severity: critical, cluster: a}, from: 10m, to: 18m}]";
    let silence = "silences: [{matchers: [alertname=Slow], to: 7m}]";
    fails(
        &[alerts, silence, "page_tests:", "  - {at: 1h, labels: {alertname: Slow}, expect_receivers: []}"],
        r#"
7: t: pages of {alertname="Slow"} at 1h: expect_receivers
    + default
    why:
      {alertname="Slow", cluster="a", severity="warning"} has fired and has ended
        route {} to default: takes it
          route {team=~".+"} to audit: no, there is no label team
          route {team="db"} to db: no, there is no label team
          route {team="web"} to web: no, there is no label team
          route {team="lost"} to nobody: no, there is no label team
        default was kept from it 2 times from 30s to 5m30s by the silence tests[0].silences[0]
        default was kept from it 2 times from 10m30s to 15m30s by {alertname="Gone", cluster="a", severity="critical"}
        default was told at 20m30s: first notification
        default was told at 40m30s: all alerts resolved
"#,
    );
}

#[test]
fn an_alert_inhibits_others_of_its_cluster() {
    let alerts = "alerts: [{labels: {alertname: Slow, severity: warning, cluster: a}}, {labels: {alertname: Slow, severity: warning, cluster: b}}, \
                  {labels: {alertname: Gone, severity: critical, cluster: a}, to: 7m}]";
    holds(&[
        alerts,
        "page_tests:",
        "  - {at: 1m, labels: {alertname: Slow, cluster: a}, expect_state: suppressed, expect_inhibited_by: [{alertname: Gone}], expect_receivers: []}",
        "  - {at: 1m, labels: {alertname: Slow, cluster: b}, expect_inhibited_by: [], expect_receivers: [default]}",
        "  - {at: 11m, labels: {alertname: Slow, cluster: a}, expect_state: active, expect_receivers: [default]}",
    ]);
    let (failures, _) = told(&one(&[
        alerts,
        "page_tests:",
        "  - {at: 1m, labels: {alertname: Slow}, expect_inhibited_by: [{alertname: Other}]}",
    ]));
    assert_eq!(failures.len(), 1, "{failures:?}");
    for part in [
        r#"    - {alertname="Other"}, of {alertname="Slow", cluster="a", severity="warning"}"#,
        r#"    + {alertname="Gone", cluster="a", severity="critical"}, of {alertname="Slow", cluster="a", severity="warning"}"#,
        r#"    - {alertname="Other"}, of {alertname="Slow", cluster="b", severity="warning"}"#,
        r#"        {alertname="Gone", cluster="a", severity="critical"} inhibits it"#,
    ] {
        assert!(failures[0].lines().any(|line| line == part), "{part} {}", failures[0]);
    }
}

#[test]
fn a_time_interval_over_midnight_keeps_a_route_silent() {
    // Ten in the evening of Berlin is eight of UTC in summer.
    let ticket = "alerts: [{labels: {alertname: Slow, team: db, severity: warning}}]";
    holds(&[
        "start_timestamp: 2026-07-01T19:59:00Z",
        ticket,
        "page_tests:",
        "  - {at: 59s, labels: {alertname: Slow}, expect_muted_by: [], expect_receivers: [db-tickets]}",
        "  - {at: 1m, labels: {alertname: Slow}, expect_receivers: [db-tickets, audit]}",
    ]);
    holds(&[
        "start_timestamp: 2026-07-01T20:00:00Z",
        ticket,
        "page_tests:",
        "  - {at: 2h, labels: {alertname: Slow}, expect_receivers: [audit]}",
        "  - {at: 8h29s, labels: {alertname: Slow}, expect_receivers: [audit]}",
        "  - {at: 8h30s, labels: {alertname: Slow}, expect_receivers: [db-tickets, audit]}",
    ]);
    let night = told(&format!(
        "start_timestamp: 2026-07-01T21:00:00Z\n{}",
        one(&[
            "alerts: [{labels: {alertname: Slow, team: db, severity: warning, cluster: c}}]",
            "page_tests: [{at: 1h, labels: {alertname: Slow}, expect_receivers: [audit, db-tickets]}]"
        ])
    ));
    let line = r#"        the group {}/{team="db"}/{severity="warning"}:{alertname="Slow", cluster="c"} of db-tickets is flushed next at 1h30s; night keeps it silent at 2026-07-01T22:00:00.000Z"#;
    assert!(night.0[0].lines().any(|own| own == line), "{}", night.0[0]);
}

#[test]
fn a_receiver_without_integrations_tells_nobody() {
    let (failures, _) = told(&one(&[
        "alerts: [{labels: {team: lost}}]",
        "page_tests: [{at: 1h, expect_not: [web], expect_receivers: [audit, nobody]}]",
    ]));
    assert!(
        failures[0].contains("    - nobody\n") && failures[0].contains("the receiver has no integration, so nobody is told"),
        "{failures:?}"
    );
}

#[test]
fn a_receiver_that_must_not_be_told_is_named_with_the_instant() {
    let (failures, _) = told(&one(&[DB, "page_tests: [{between: [0s, 45s], expect_not: [db, web]}]"]));
    assert!(
        failures[0].starts_with("5: t: pages of any alert from 0s to 45s: expect_not\n    + db, told at 30s\n    why:"),
        "{failures:?}"
    );
    assert_eq!(failures.len(), 1);
}

#[test]
fn all_faults_are_told_at_once_with_their_places() {
    let text = "alertmanager_config: [a]\ntests:\n  - alerts: [{labels: {}}, {labels: {a: b}, from: 5m, to: 5m}, {label: {a: b}}]\n    \
                silences: [{matchers: ['a=']}, {matchers: ['(']}, {matchers: [a=b], comment: x}, {matchers: [a=b], comment: x}]\n    \
                page_tests:\n      - {at: 1m, expect_receiver: [db]}\n      - {expect_not: [db]}\n      - {at: 1m, between: [1m, 2m], expect_not: [db]}\n      \
                - {between: [2m, 1m], expect_not: [db]}\n      - {between: [1m, 2m], expect_state: firing}\n      - {between: [1m, 2m], expect_muted_by: []}\n      \
                - {at: 1m, expect_silenced_by: [y]}\n      - at: 1m\n        expect_notifications:\n          - {receiver: db, status: firing}\n          \
                - {receiver: db, at: 1m, status: fired}\n          - {receiver: db, at: 1m, status: firing, reason: so}\n";
    let (found, _) = told(text);
    for (place, part) in [
        ("1:22", "expected a text"),
        ("3:14", "at least one label pair required"),
        ("3:59", "does not lie behind the start"),
        ("3:65", "unknown key label; did you mean labels?"),
        ("4:16", "must not match the empty string"),
        ("4:48", "bad matcher format"),
        ("4:86", "two silences have the comment"),
        ("6:18", "did you mean expect_receivers?"),
        ("6:9", "it expects nothing"),
        ("7:9", "it says no instant"),
        ("8:27", "keep one"),
        ("9:19", "the earlier one first"),
        ("10:43", "write active, suppressed, pending, resolved, inactive"),
        ("11:9", "expect_muted_by is about one instant"),
        ("12:39", "no silence with the comment \"y\"; did you mean \"x\"?"),
        ("15:13", "needs receiver, at and status"),
        ("16:44", "write firing or resolved"),
        ("17:60", "write first notification"),
    ] {
        let is_told = found.iter().any(|line| line.starts_with(&format!("t.yml:{place}: error: ")) && line.contains(part));
        assert!(is_told, "{place} {part}: {found:#?}");
    }
    // Names are held against the configuration.
    let (found, _) = told(&one(&["page_tests:", "  - {at: 1m, expect_not: [dbs], expect_muted_by: [evening]}"]));
    assert_eq!(
        found,
        [
            "t.yml:5:31: error: tests[0].page_tests[0].expect_not[0]: the configuration has no receiver \"dbs\"; did you mean \"db\"?",
            "t.yml:5:55: error: tests[0].page_tests[0].expect_muted_by[0]: the configuration has no time interval \"evening\"; it has night",
        ]
    );
}

#[test]
fn tests_of_rules_pass_over_what_is_about_pages() {
    let text =
        one(&[DB, "page_tests: [{at: 1m, expect_receivers: []}]", "promql_expr_test: [{expr: '1', exp_samples: [{value: 1}]}]"])
            + "  - name: rules only\n    promql_expr_test: [{expr: '1', exp_samples: [{value: 1}]}]\n";
    let settings = Settings::default();
    let (file, problems) = testing::read("t.yml", &text, &settings);
    assert!(problems.is_empty(), "{problems:?}");
    let file = file.expect("a file");
    let rules = testing::run(&file, &[], &settings, &Cancel::new());
    assert!(rules.iter().all(|outcome| outcome.failures.is_empty() && outcome.checks == 1) && rules.len() == 2);
    let pages = page::run(&file, &[], &setup(), &settings, &Cancel::new());
    assert_eq!(pages.len(), 1);
    assert_eq!(pages[0].failures.len(), 1);
}
