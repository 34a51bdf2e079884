//! Backtests: routing, rules and samples in, what would have been notified out.

mod difference;
mod oracle;

use std::sync::Arc;

use tocsin_core::backtest::{Backtest, Night, Report, Settings, Window, one_by_one, warm_up};
use tocsin_core::config::{self, File};
use tocsin_core::ledger::Outward;
use tocsin_core::model::Source;
use tocsin_core::promql::evaluate::{Cancel, Options};
use tocsin_core::promql::notation;
use tocsin_core::promql::script::Memory;
use tocsin_core::rule::{self, Environment, RuleGroup};
use tocsin_core::time::{Span, Timestamp};

const ROUTING: &str = "
global: {external_labels: {zone: north}}
route:
  receiver: team
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 1h
  routes:
    - {receiver: tickets, matchers: [severity=\"ticket\"], group_interval: 10m}
receivers:
  - {name: team, users: [ada, bob], inbox_configs: [{}], webhook_configs: [{url: 'http://team.test'}]}
  - {name: tickets, inbox_configs: [{send_resolved: false}]}
inhibit_rules:
  - {source_matchers: [severity=\"critical\"], target_matchers: [severity=\"warning\"]}
";

/// The instant of the first samples: noon.
const NOON: Timestamp = Timestamp(1_795_262_400_000);

fn minutes(count: i64) -> Timestamp {
    NOON + Span::from_mins(count)
}

fn settings() -> Settings {
    let file = File { name: "routing.yml".to_owned(), text: ROUTING.to_owned() };
    let (config, problems) = config::read(&file, None, &|_| None);
    let config = config.unwrap_or_else(|| panic!("{problems:?}"));
    Settings {
        options: Options::default(),
        environment: Environment { external_labels: config.global.external_labels.clone(), ..Environment::default() },
        outward: Outward {
            external_labels: config.global.external_labels.clone(),
            relabel: config.alert_relabel.clone(),
            others: false,
        },
        routing: Arc::new(config.routing),
        night: Night::default(),
    }
}

/// Reads rules, one a line, of a group that is evaluated each minute, 17 s behind it.
fn group(rules: &[&str]) -> Vec<RuleGroup> {
    let rules: Vec<String> = rules.iter().map(|rule| format!("      - {{{rule}}}\n")).collect();
    groups(&format!("groups:\n  - name: g\n    rules:\n{}", rules.concat()))
}

fn groups(text: &str) -> Vec<RuleGroup> {
    let (groups, problems) = rule::read("rules.yml", text, &rule::Defaults::default());
    assert!(problems.is_empty(), "{problems:?}");
    groups
}

/// Returns series with a value each minute from noon on.
fn samples(series: &[&str]) -> Memory {
    let mut memory = Memory::default();
    for text in series {
        let (labels, values) = notation::series(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        for (minute, value) in values.into_iter().enumerate() {
            if let Some(value) = value {
                memory.append(&labels, minutes(minute as i64), value).expect("samples are in order");
            }
        }
    }
    memory
}

fn play(groups: Vec<RuleGroup>, source: &(dyn Source + Sync), window: Window, chunk: Span) -> Report {
    let mut backtest = Backtest::new(groups, settings(), window);
    while let Some(until) = backtest.next(chunk) {
        backtest.play(until, source, &Cancel::new(), &one_by_one).expect("nothing breaks it off");
    }
    backtest.finish()
}

/// Plays some minutes from noon on, without a warm-up.
fn hours(rules: &[&str], series: &[&str], until: i64) -> Report {
    let window = Window { from: NOON, to: minutes(until), warm_up: Span::ZERO };
    play(group(rules), &samples(series), window, Span::from_mins(60))
}

/// Returns notifications as lines: seconds behind noon, to whom, why, and the title.
fn told(report: &Report) -> Vec<String> {
    let lines = report.notifications.iter().map(|one| {
        let at = Span(one.at.since(NOON).0 / 1000 * 1000);
        format!("{at} {} {} {}", one.receiver, one.reason.as_str(), one.title)
    });
    lines.collect()
}

#[test]
fn an_alert_is_held_told_repeated_and_ended_by_the_timers_of_the_service() {
    let rules =
        ["alert: Down, expr: up == 0, for: 2m, annotations: {summary: '{{ $labels.job }} in {{ $externalLabels.zone }}'}"];
    let report = hours(&rules, &["up{job=\"a\"} 1x10 0x80 1x100"], 120);
    // It fires two minutes after the first slot at which it is down.
    let slot = group(&rules)[0].slot(minutes(1)).since(NOON).0 / 1000;
    assert_eq!(slot, 17, "the hash of the group's name says where its slots lie");
    assert_eq!(
        told(&report),
        [
            "13m47s team first notification [FIRING:1] Down: a in north",
            "1h13m47s team repeat interval elapsed [FIRING:1] Down: a in north",
            "1h33m47s team all alerts resolved [RESOLVED] Down: a in north",
        ]
    );
    let first = &report.notifications[0];
    assert_eq!(
        (&first.users, &first.channels),
        (&vec!["ada".to_owned(), "bob".to_owned()], &vec!["webhook".to_owned(), "inbox".to_owned()])
    );
    let rule = &report.rules[0];
    assert_eq!((rule.pending, rule.fired, rule.notified, rule.flaps, rule.firing_at_end), (1, 1, 3, 0, 0));
    assert_eq!(rule.longest, Span::from_mins(79));
    assert_eq!((report.total.notifications, report.total.firing, report.total.resolved), (3, 2, 1));
    assert_eq!(report.users["ada"], report.receivers["team"]);
}

#[test]
fn an_alert_is_kept_for_as_long_as_its_rule_says_and_flaps_are_counted() {
    let kept = "alert: High, expr: x > 5, keep_firing_for: 3m";
    let bare = "alert: Low, expr: x > 5";
    let report = hours(&[kept, bare], &["x 1 9 9 1 1 9 9 1x60"], 60);
    let counts = |name: &str| {
        let rule = report.rules.iter().find(|rule| rule.name == name).expect("a rule");
        (rule.fired, rule.flaps, rule.longest)
    };
    assert_eq!(counts("High"), (1, 0, Span::from_mins(9)));
    assert_eq!(counts("Low"), (2, 1, Span::from_mins(2)));
}

#[test]
fn what_a_rule_records_feeds_alerts_and_the_stored_series_of_its_name_counts_only_before() {
    // A service has stored other values under the name; those of the rule under test count.
    let stored = samples(&["x 2x100", "double{by=\"service\"} 100x100", "double 100x100"]);
    let rules = [
        "record: double, expr: 2 * x",
        "alert: Doubled, expr: double > 3, annotations: {summary: 'it is {{ $value }}'}",
        "alert: Before, expr: 'max_over_time(double[30m]) > 50'",
    ];
    let window = Window { from: minutes(60), to: minutes(100), warm_up: Span::from_mins(10) };
    let report = play(group(&rules), &stored, window, Span::from_mins(7));
    let of = |name: &str| -> Vec<&str> {
        report.notifications.iter().map(|one| one.title.as_str()).filter(|title| title.contains(name)).collect()
    };
    // It has fired since the warm-up began, so all that is told is its repetition, which comes after the end.
    let doubled = report.rules.iter().find(|rule| rule.name == "Doubled").expect("a rule");
    assert_eq!((doubled.fired, doubled.firing_at_end), (0, 1));
    assert!(of("Doubled").is_empty());
    let before = report.rules.iter().find(|rule| rule.name == "Before").expect("a rule");
    assert_eq!((before.fired, before.firing_at_end), (0, 0), "the stored series count before the walk begins");
    assert_eq!(of("Before"), ["[RESOLVED] Before"]);
    let window = Window { warm_up: Span::ZERO, ..window };
    let report = play(group(&rules), &stored, window, Span::from_mins(7));
    assert_eq!(told(&report)[0], "1h47s team first notification [FIRING:2] Before");
    assert_eq!(told(&report)[1], "1h47s team first notification [FIRING:1] Doubled: it is 4");
}

#[test]
fn an_alert_whose_target_does_not_answer_goes_on() {
    let series = ["up{job=\"a\"} 1x19 0x19 1x60", "x{job=\"a\"} 9x19 stale _x18 1x60"];
    let report = hours(&["alert: High, expr: x > 5"], &series, 90);
    assert_eq!(report.rules[0].longest, Span::from_mins(39), "it fires on until the target answers");
    let report = hours(&["alert: High, expr: x > 5, unseen: {scrape_failed: resolve}"], &series, 90);
    assert_eq!(report.rules[0].longest, Span::from_mins(20));
}

#[test]
fn what_fires_before_the_time_is_known_by_its_begin_and_not_counted() {
    let rules = ["alert: Down, expr: up == 0, for: 20m"];
    let stored = samples(&["up 1x40 0x100"]);
    let window = |warm_up: i64| Window { from: minutes(60), to: minutes(120), warm_up: Span::from_mins(warm_up) };
    let told = |warm_up: i64| told(&play(group(&rules), &stored, window(warm_up), Span::from_mins(60)));
    assert_eq!(told(0), ["1h20m47s team first notification [FIRING:1] Down"], "it begins where the walk does");
    assert_eq!(told(30), ["1h1m47s team first notification [FIRING:1] Down"]);
    let needed = warm_up(&group(&rules), &Options::default());
    assert!(needed >= Span::from_mins(21) && needed < Span::from_mins(30), "{needed}");
    let chain = ["record: a, expr: 'rate(x[10m])'", "record: b, expr: 'max_over_time(a[1h])'", "alert: C, expr: b > 1, for: 5m"];
    let needed = warm_up(&group(&chain), &Options::default());
    assert!(needed >= Span::from_mins(70) && needed < Span::from_mins(80), "stored samples need no time: {needed}");
}

#[test]
fn a_rule_that_fails_is_told_and_the_others_go_on() {
    let rules = ["alert: Twice, expr: a * on (job) b > 0", "alert: Fine, expr: a > 0"];
    let report = hours(&rules, &["a{job=\"j\"} 1x60", "b{job=\"j\",n=\"1\"} 1x60", "b{job=\"j\",n=\"2\"} _x29 1 1 stale"], 60);
    let failed = &report.failed[0];
    assert_eq!((report.failed.len(), failed.name.as_str(), failed.evaluations), (1, "Twice", 2));
    assert!(failed.reason.contains("duplicate series"), "{}", failed.reason);
    assert_eq!(failed.first_at, group(&rules)[0].slot(minutes(30)));
    let fired: Vec<(&str, u64)> = report.rules.iter().map(|rule| (rule.name.as_str(), rule.fired)).collect();
    assert_eq!(fired, [("Twice", 1), ("Fine", 1)]);
}

#[test]
fn nights_are_those_of_the_zone() {
    let stored = samples(&["x 9x1500"]);
    let window = Window { from: NOON, to: minutes(24 * 60), warm_up: Span::ZERO };
    let mut night = settings();
    night.night = Night::of("Asia/Tokyo").expect("a zone");
    let mut backtest = Backtest::new(group(&["alert: High, expr: x > 5"]), night, window);
    while let Some(until) = backtest.next(Span::from_mins(360)) {
        backtest.play(until, &stored, &Cancel::new(), &one_by_one).expect("nothing breaks it off");
    }
    let report = backtest.finish();
    // Noon is nine in the evening there: of 24 repetitions, from 22:00 to 7:00, nine lie in the night.
    assert_eq!((report.total.notifications, report.total.at_night, report.total.nights), (24, 9, 1));
    assert_eq!(report.zone, "Asia/Tokyo");
}

#[test]
fn a_rule_that_could_inhibit_is_looked_at_before_others_are_told() {
    let rules = groups(
        "groups:\n  - {name: g, rules: [{alert: Slow, expr: x > 5, labels: {severity: warning}}]}\n  \
         - {name: rare, interval: 3h, rules: [{alert: Outage, expr: up == 0, labels: {severity: critical}}]}\n",
    );
    let stored = samples(&["x 1x10 9x60", "up 1x10 0x60"]);
    let window = Window { from: NOON, to: minutes(60), warm_up: Span::ZERO };
    // The rare group has no slot within the hour; it is asked when people are about to be told of what is slow.
    assert!(rules[1].next_slot(minutes(10)) > minutes(60), "{}", rules[1].next_slot(minutes(10)));
    let report = play(rules, &stored, window, Span::from_mins(17));
    assert_eq!(told(&report), ["12m17s team first notification [FIRING:1] Outage"]);
}
