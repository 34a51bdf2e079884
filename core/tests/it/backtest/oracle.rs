//! The backtest against the plain way: samples come in as time goes, and every rule is asked at every slot, as by the service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_core::alert::Transition;
use tocsin_core::backtest::{Report, Window};
use tocsin_core::ledger::{Alerting, Judged, Ledger, LedgerChange, RuleTerms};
use tocsin_core::model::{LabelSet, STALE, Value};
use tocsin_core::plane::{Change, Event, Plane, Records};
use tocsin_core::promql::evaluate::{Cancel, Options};
use tocsin_core::promql::script::Memory;
use tocsin_core::rule::grounds::Ground;
use tocsin_core::rule::{Environment, Evaluated, Local, RuleGroup, evaluate, with_ends};
use tocsin_core::time::{Span, Timestamp};

use super::{NOON, groups, minutes, play, settings};

const RULES: &str = r#"
groups:
  - name: a
    rules:
      - {record: 'errors:rate', expr: 'rate(errors_total[2m])', labels: {made: here}}
      - {alert: Errors, expr: 'errors:rate > 0.4', for: 1m, annotations: {summary: '{{ $value }} on {{ $labels.host }}'}}
      - {alert: Sum, expr: 'load:sum > 7', keep_firing_for: 2m}
      - {record: 'load:sum', expr: sum(load)}
      - {alert: Busy, expr: 'load > 3', for: 1m, labels: {severity: ticket}, annotations: {summary: 'of {{ with query "load:sum" }}{{ . | first | value }}{{ end }}'}}
      - {alert: Down, expr: 'up == 0', for: 2m}
      - {alert: Absent, expr: 'absent(load{host="h1"})'}
      - {record: 'load:twice', expr: '2 * load:sum'}
  - name: b
    interval: 30s
    query_offset: 45s
    rules:
      - {alert: SumBehind, expr: 'load:twice > 15', annotations: {summary: '{{ $value }}'}}
      - {record: 'late', expr: 'max(load)'}
      - {alert: Joined, expr: 'load * on (host) group_left twin > 4', for: 30s}
      - {alert: Long, expr: 'max_over_time(sum(load)[5m:1m]) > 11 or avg_over_time(load:sum[4m]) > 9'}
  - name: c
    rules:
      - {alert: TooMany, expr: 'count(ALERTS{alertstate="firing"}) > 3'}
      - {record: steps, expr: 'sum(steps) + 1 or vector(0)'}
      - {alert: OfLate, expr: 'late > 4'}
      - {alert: Steps, expr: 'steps % 7 == 3', annotations: {summary: '{{ $value }}'}}
      - {alert: Ahead, expr: 'load offset -1m > 4'}
      - {alert: AtEnd, expr: 'sum(load @ end()) > 9', labels: {severity: ticket}}
  - name: few
    limit: 2
    rules:
      - {alert: Few, expr: 'load > 2'}
      - {record: 'few:load', expr: 'load > 2'}
      - {alert: OfFew, expr: 'count(few:load) > 1'}
"#;

pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

type Sample = (Timestamp, LabelSet, Value);

/// Returns samples of three hosts that come and go, in order of time.
fn generate(dice: &mut Dice, until: i64) -> Vec<Sample> {
    let mut all: Vec<Sample> = Vec::new();
    for host in ["h1", "h2", "h3"] {
        let labels = |name: &str| LabelSet::from_pairs([("__name__", name), ("host", host), ("instance", host), ("job", "node")]);
        let (mut at, mut load, mut total, mut gone) = (NOON + Span(dice.below(15_000) as i64), 2.0, 0.0, 0u64);
        let twin = LabelSet::from_pairs([("__name__", "twin"), ("host", host), ("of", "one")]);
        let other = LabelSet::from_pairs([("__name__", "twin"), ("host", host), ("of", "other")]);
        while at < minutes(until) {
            load = (load + dice.below(3) as f64 - 1.0).clamp(0.0, 6.0);
            total = if dice.below(90) == 0 { 0.0 } else { total + dice.below(20) as f64 };
            if gone == 0 && dice.below(60) == 0 {
                gone = 1 + dice.below(30);
                // The target fails, or its series alone end.
                let ends = dice.below(2) == 0;
                for name in ["load", "errors_total"] {
                    all.push((at, labels(name), Value::Float(STALE)));
                }
                all.push((at, labels("up"), Value::Float(f64::from(u8::from(ends)))));
            } else if gone > 0 {
                gone -= 1;
                all.push((at, labels("up"), Value::Float(f64::from(u8::from(gone % 2 == 0)))));
            } else {
                all.push((at, labels("load"), Value::Float(load)));
                all.push((at, labels("errors_total"), Value::Float(total)));
                all.push((at, labels("up"), Value::Float(1.0)));
            }
            all.push((at, twin.clone(), Value::Float(1.0)));
            if dice.below(40) == 0 {
                all.push((at, other.clone(), Value::Float(1.0)));
                all.push((at + Span(20_000), other.clone(), Value::Float(STALE)));
            }
            at = at + Span::from_secs(30);
        }
    }
    all.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    all
}

fn memory(samples: &[Sample]) -> Memory {
    let mut memory = Memory::default();
    for (at, labels, value) in samples {
        memory.append(labels, *at, value.clone()).expect("samples are in order");
    }
    memory
}

/// What is compared: lines of notifications, and how often each rule has fired and failed.
#[derive(Debug, PartialEq, Default)]
struct Seen {
    told: Vec<String>,
    fired: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
}

impl Seen {
    fn of(report: &Report) -> Seen {
        let told = report.notifications.iter().map(|one| {
            let (at, reason) = (one.at.since(NOON).0, one.reason.as_str());
            format!("{at} {} {} {reason} {} {}", one.receiver, one.group_key, one.alerts, one.title)
        });
        Seen {
            told: told.collect(),
            fired: report.rules.iter().filter(|rule| rule.fired > 0).map(|rule| (rule.name.clone(), rule.fired)).collect(),
            failed: report.failed.iter().map(|rule| (rule.name.clone(), rule.evaluations)).collect(),
        }
    }
}

fn slot_by_slot(groups: &[RuleGroup], samples: &[Sample], window: Window) -> Seen {
    let settings = settings();
    let (cancel, options) = (Cancel::new(), Options::default());
    let mut ledger = Ledger::default();
    ledger.set_outward(settings.outward.clone());
    let mut alerting = Alerting { plane: Plane::restore(settings.routing.clone(), "", Records::default()), ledger };
    alerting.plane.accept(Event::Warm, window.begins()).expect("it is taken");
    let mut seen = Seen::default();
    let (mut memory, mut ahead) = (Memory::default(), samples.iter().peekable());
    let mut written: BTreeMap<(usize, usize), BTreeSet<LabelSet>> = BTreeMap::new();
    let mut slots: Vec<(Timestamp, usize)> = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let mut slot = group.next_slot(Timestamp(window.begins().0 - 1));
        while slot <= window.to {
            slots.push((slot, number));
            slot = slot + group.interval;
        }
    }
    slots.sort_unstable();
    for (slot, number) in slots {
        pass(&mut alerting, Timestamp(slot.0 - 1), window.from, &mut seen);
        while let Some((at, labels, value)) = ahead.next_if(|(at, ..)| *at <= slot) {
            memory.append(labels, *at, value.clone()).expect("samples are in order");
        }
        let group = &groups[number];
        let environment = Environment { query_offset: group.query_offset, limit: group.limit, ..settings.environment.clone() };
        for (index, (rule, id)) in group.rules.iter().zip(group.ids()).enumerate() {
            let key = Arc::new(id);
            let local = Local { source: &memory, options: &options, cancel: &cancel };
            let mut fail = || *seen.failed.entry(rule.name().to_owned()).or_default() += u64::from(slot >= window.from);
            let brought = match evaluate(rule, slot, &local, &environment) {
                Err(_) => {
                    fail();
                    continue;
                }
                Ok(Evaluated::Recorded(samples)) => samples,
                Ok(Evaluated::Active(active)) => {
                    let ground = Ground::new(slot - group.query_offset, &memory, &options, &cancel);
                    let unseen = rule.unseen(alerting.ledger.active_of(&key), &active, &ground).expect("it can be told");
                    let terms = Arc::new(RuleTerms::new(group, rule, ""));
                    let judged = Judged { rule: key.clone(), terms, active, unseen, at: slot, early: false };
                    let outcome = alerting.judge(judged, slot);
                    if outcome.lost.is_some() {
                        fail();
                    }
                    let fired = outcome.changes.iter().filter(|change| {
                        matches!(change, LedgerChange::Happened { what: Transition::Fired(_), .. }) && slot >= window.from
                    });
                    match fired.count() as u64 {
                        0 => {}
                        count => *seen.fired.entry(rule.name().to_owned()).or_default() += count,
                    }
                    alerting.ledger.series(&key).into_iter().map(|(labels, value)| (labels, Value::Float(value))).collect()
                }
            };
            for (labels, value) in with_ends(brought, written.entry((number, index)).or_default()) {
                memory.append(&labels, slot - group.query_offset, value).expect("rules record different series");
            }
        }
    }
    pass(&mut alerting, window.to, window.from, &mut seen);
    seen.failed.retain(|_, count| *count > 0);
    seen
}

fn pass(alerting: &mut Alerting, until: Timestamp, from: Timestamp, seen: &mut Seen) {
    while let Some(deadline) = alerting.plane.next_deadline().filter(|deadline| *deadline <= until) {
        alerting.plane.tick(deadline);
        for change in alerting.plane.drain() {
            let Change::Deliver(one) = change else { continue };
            // The team has two integrations that are told alike.
            if one.channel != "inbox" || one.created_at < from {
                continue;
            }
            let (at, reason) = (one.created_at.since(NOON).0, one.data.reason.as_str());
            let count = one.data.alerts.len();
            seen.told.push(format!("{at} {} {} {reason} {count} {}", one.receiver, one.data.group_key, one.title));
        }
    }
}

#[test]
fn what_is_computed_ahead_is_what_every_slot_would_have_given() {
    let groups = groups(RULES);
    let (mut notifications, mut failures, mut rules) = (0, 0, BTreeSet::new());
    for seed in 1..=6 {
        let mut dice = Dice(seed * 7919);
        let samples = generate(&mut dice, 150);
        let window = Window { from: minutes(20), to: minutes(140), warm_up: Span::from_mins(15) };
        let expected = slot_by_slot(&groups, &samples, window);
        let stored = memory(&samples);
        for chunk in [Span::from_mins(10), Span::from_mins(7), Span::from_mins(6 * 60)] {
            let report = play(groups.clone(), &stored, window, chunk);
            assert_eq!(Seen::of(&report), expected, "seed {seed}, chunks of {chunk}");
        }
        notifications += expected.told.len();
        failures += expected.failed.values().sum::<u64>();
        rules.extend(expected.fired.into_keys());
    }
    assert!(notifications > 250 && failures > 20, "{notifications} notifications and {failures} failures say little");
    let all = groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.is_alert()).count();
    assert_eq!(rules.len(), all, "some rule never fired: {rules:?}");
}
