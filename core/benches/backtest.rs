//! What a backtest costs in time of one processor: run with `cargo bench --bench backtest [DAYS]`.
//!
//! Ten thousand series, a hundred of each of a hundred targets, scraped every minute; two hundred rules that are evaluated each
//! minute, a fifth of them recording, most alerts over ranges; routing to one receiver. Two days unless the command line says more.

mod processor;

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_core::backtest::{Backtest, Night, Settings, Window, one_by_one, warm_up};
use tocsin_core::ledger::Outward;
use tocsin_core::model::{Cell, LabelSet, Row, SeriesRef, Value};
use tocsin_core::promql::evaluate::{Cancel, Options};
use tocsin_core::route::receiver::{Channel, Integration, Receiver};
use tocsin_core::route::tree::{GroupBy, Route, Routing};
use tocsin_core::rule::{Defaults, Environment, RuleGroup, read};
use tocsin_core::store::{Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};

use processor::computed_ns;

const START: i64 = 1_795_231_650_000;
const INTERVAL: i64 = 60_000;
const TARGETS: usize = 100;
const METRICS: usize = 20;
/// Series of a metric on a target.
const HANDLERS: usize = 5;
const DAY: Span = Span::from_mins(24 * 60);
const CHUNK: Span = Span::from_mins(6 * 60);

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// Fills a store; every other metric is a counter, the others wander about 50.
fn fill(store: &Store, days: i64) {
    let mut dice = Dice(88_172_645_463_325_252);
    let mut targets: Vec<Vec<(SeriesRef, bool, f64)>> = Vec::new();
    for target in 0..TARGETS {
        let mut series = Vec::new();
        for metric in 0..METRICS {
            for handler in 0..HANDLERS {
                let labels = LabelSet::from_pairs([
                    ("__name__", format!("metric_{metric}")),
                    ("instance", format!("10.0.0.{target}:9100")),
                    ("job", format!("job-{}", target % 5)),
                    ("handler", format!("/api/{handler}")),
                ]);
                series.push((store.resolve(&labels).expect("a series"), metric % 2 == 0, 50.0));
            }
        }
        targets.push(series);
    }
    for scrape in 0..days * DAY.0 / INTERVAL {
        let at = Timestamp(START + scrape * INTERVAL);
        for series in &mut targets {
            let cells = series.iter_mut().map(|(series, counts, value)| {
                *value = if *counts {
                    *value + dice.below(30) as f64
                } else {
                    *value + dice.below(7) as f64 - 3.0 + (50.0 - *value) / 50.0
                };
                Cell { series: *series, at: None, value: Value::Float(*value) }
            });
            store.append(&Row { at, cells: cells.collect() }, &|_| Ok(())).expect("the row is taken");
        }
    }
}

fn rules() -> Vec<RuleGroup> {
    let mut text = "groups:\n".to_owned();
    for metric in 0..METRICS {
        let m = format!("metric_{metric}");
        let alerts = if metric % 2 == 0 {
            [
                format!("'{m}:rate > 2.9'"),
                format!("'rate({m}[5m]) > 0.43'"),
                format!("'sum by (job) (rate({m}[10m])) > 26'"),
                format!("'increase({m}[1h]) < 500'"),
                format!("'rate({m}{{handler=\"/api/1\"}}[5m]) / rate({m}{{handler=\"/api/2\"}}[5m]) > 5'"),
                format!("'max_over_time({m}:rate[30m]) > 3.2'"),
                format!("'absent({m})'"),
                format!("'topk(3, {m}:job) > 30'"),
            ]
        } else {
            [
                format!("'{m} > 88'"),
                format!("'avg_over_time({m}[15m]) > 85'"),
                format!("'max by (instance) ({m}) > 88 and min by (instance) ({m}) > 60'"),
                format!("'deriv({m}[30m]) > 0.02'"),
                format!("'{m} - {m} offset 30m > 45'"),
                format!("'quantile_over_time(0.9, {m}[15m]) > 86'"),
                format!("'absent({m})'"),
                format!("'{m}:rate > 320'"),
            ]
        };
        let recorded = if metric % 2 == 0 { format!("rate({m}[5m])") } else { m.clone() };
        text.push_str(&format!("- name: {m}\n  rules:\n"));
        text.push_str(&format!("  - {{record: '{m}:rate', expr: 'sum by (instance) ({recorded})'}}\n"));
        text.push_str(&format!("  - {{record: '{m}:job', expr: 'sum by (job) ({m}:rate)'}}\n"));
        for (number, expr) in alerts.iter().enumerate() {
            text.push_str(&format!(
                "  - {{alert: Alert{number}, expr: {expr}, for: 5m, annotations: {{summary: '{{{{ $value }}}}'}}}}\n"
            ));
        }
    }
    let (groups, problems) = read("rules.yml", &text, &Defaults::default());
    assert!(problems.is_empty(), "{problems:?}");
    groups
}

fn routing() -> Arc<Routing> {
    let inbox = Integration { send_resolved: true, channel: Channel::Inbox };
    let team =
        Receiver { name: "team".to_owned(), position: 0, labels: BTreeMap::new(), integrations: vec![inbox], users: vec![] };
    Arc::new(Routing {
        flapping: None,
        silencing: tocsin_core::route::silence::Silencing::default(),
        root: Route {
            receiver: "team".to_owned(),
            matchers: vec![],
            group_by: GroupBy::Labels(vec!["alertname".to_owned(), "job".to_owned()]),
            continues: false,
            group_wait: Span::from_secs(30),
            group_interval: Span::from_mins(5),
            repeat_interval: Span::from_mins(240),
            mute_time_intervals: vec![],
            active_time_intervals: vec![],
            routes: vec![],
        },
        receivers: BTreeMap::from([(team.name.clone(), team)]),
        inhibitions: vec![],
        time_intervals: BTreeMap::new(),
        resolve_timeout: Span::from_mins(5),
    })
}

fn main() {
    let days = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2);
    let store = Store::new(StoreOptions { retention: Span(i64::MAX / 4), ..StoreOptions::default() });
    fill(&store, days);
    let (groups, options) = (rules(), Options::default());
    let warm_up = warm_up(&groups, &options);
    let settings = Settings {
        options,
        environment: Environment::default(),
        outward: Outward::default(),
        routing: routing(),
        night: Night::default(),
    };
    let window = Window { from: Timestamp(START) + warm_up, to: Timestamp(START + days * DAY.0), warm_up };
    let rules: usize = groups.iter().map(|group| group.rules.len()).sum();
    let start = computed_ns();
    let mut backtest = Backtest::new(groups, settings, window);
    while let Some(until) = backtest.next(CHUNK) {
        backtest.play(until, &store, &Cancel::new(), &one_by_one).expect("nothing breaks it off");
    }
    let seconds = (computed_ns() - start) as f64 / 1e9;
    let report = backtest.finish();
    assert!(report.failed.is_empty(), "{:?}", report.failed.first());
    let fired: u64 = report.rules.iter().map(|rule| rule.fired).sum();
    println!(
        "{:10.2} {seconds:10.1}  seconds for a day, and in all: {rules} rules over {} series; {fired} alerts, {} notifications",
        seconds / days as f64,
        TARGETS * METRICS * HANDLERS,
        report.total.notifications
    );
}
