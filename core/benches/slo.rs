//! What objectives cost in time of the processor and in memory: run with `cargo bench --bench slo`.
//!
//! 50 objectives of 99.9 % over 30 days, each with 40 counters of 10 targets, scraped every 15 s into the store.

mod processor;

use std::hint::black_box;
use std::sync::Arc;

use tocsin_core::model::{Cell, LabelSet, Row, SeriesRef, Value};
use tocsin_core::promql::evaluate::{Cancel, Options};
use tocsin_core::slo::openslo::{read, resolve};
use tocsin_core::slo::{Bounds, Count, Definition, Ledger, Pace, Standing, Tally, definitions};
use tocsin_core::store::{Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};

use processor::computed_ns;

const OBJECTIVES: usize = 50;
const TARGETS: usize = 10;
const CODES: [&str; 4] = ["200", "404", "500", "503"];
const STEP: i64 = 15_000;
/// 2026-11-21T00:00:00Z
const START: i64 = 1_795_219_200_000;
const WARM: i64 = 480;
const TICKS: i64 = 240;

fn timed<T>(what: &str, count: usize, work: impl FnOnce() -> T) -> T {
    let start = computed_ns();
    let result = work();
    let spent = (computed_ns() - start) as f64;
    println!("{what}: {:.3} ms each, {:.3} s in all", spent / count as f64 / 1e6, spent / 1e9);
    result
}

fn objectives() -> Vec<Arc<Definition>> {
    let mut text = String::new();
    for number in 0..OBJECTIVES {
        text += &format!(
            "---
apiVersion: openslo/v1
kind: SLO
metadata: {{name: slo-{number}}}
spec:
  service: s{number}
  indicator:
    metadata: {{name: i}}
    spec:
      ratioMetric:
        counter: true
        bad: {{metricSource: {{type: Prometheus, spec: {{query: 'sum(requests_total{{service=\"s{number}\",code=~\"5..\"}})'}}}}}}
        total: {{metricSource: {{type: Prometheus, spec: {{query: 'sum(requests_total{{service=\"s{number}\"}})'}}}}}}
  timeWindow: [{{duration: 30d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{target: 0.999}}]
"
        );
    }
    let (documents, problems) = read("bench.yml", &text);
    assert_eq!(problems, []);
    let (definitions, problems) = definitions(&resolve(vec![documents]).0);
    assert_eq!(problems, []);
    definitions.into_iter().map(Arc::new).collect()
}

/// Appends one scrape of every target of every service.
fn scrape(store: &Store, series: &[Vec<SeriesRef>], number: i64) {
    for (target, refs) in series.iter().enumerate() {
        let value = |index: usize| {
            let rate = [100, 3, i64::from(target % 7 == 0), 0][index % CODES.len()];
            (number * rate) as f64
        };
        let cells =
            refs.iter().enumerate().map(|(index, series)| Cell { series: *series, at: None, value: Value::Float(value(index)) });
        store.append_unlogged(&Row { at: Timestamp(START + number * STEP), cells: cells.collect() }).expect("the row is good");
    }
}

fn fill(store: &Store) -> Vec<Vec<SeriesRef>> {
    let mut rows = Vec::new();
    for service in 0..OBJECTIVES {
        for target in 0..TARGETS {
            let labels = CODES.map(|code| {
                LabelSet::from_pairs([
                    ("__name__", "requests_total".to_owned()),
                    ("job", "shop".to_owned()),
                    ("instance", format!("10.0.{service}.{target}:8080")),
                    ("service", format!("s{service}")),
                    ("code", code.to_owned()),
                ])
            });
            rows.push(labels.iter().map(|labels| store.resolve(labels).expect("the store has room")).collect());
        }
    }
    rows
}

/// A ledger of 30 days at 15 s.
fn month() -> Ledger {
    let definition = objectives().remove(0);
    let (mut ledger, _) = Ledger::new(&definition.id, &definition.hash(), &definition.tiers(), Timestamp(START));
    let mut tally = Tally::ZERO;
    for number in 1..=30 * 24 * 240 {
        tally += Tally { good: Count::whole(1000 + number % 97), total: Count::whole(1001 + number % 97) };
        black_box(ledger.append(Timestamp(START + number * STEP), tally));
    }
    ledger
}

/// Counts some objectives from the beginning of 30 days in the store.
fn cold_start() {
    const COLD: usize = 2;
    const STEPS: i64 = 30 * 24 * 240;
    let store = Store::new(StoreOptions { retention: Span::from_mins(40 * 24 * 60), ..StoreOptions::default() });
    let series: Vec<Vec<SeriesRef>> = fill(&store).into_iter().take(COLD * TARGETS).collect();
    for number in 0..=STEPS {
        scrape(&store, &series, number);
    }
    let now = Timestamp(START + STEPS * STEP) + Span::from_secs(5);
    let mut standings: Vec<Standing> = objectives()
        .into_iter()
        .take(COLD)
        .map(|definition| Standing::new(definition, Pace::default(), Timestamp(START)).0)
        .collect();
    timed("cold start of an objective of 40 counters, 30 days of samples each 15 s", COLD, || {
        for standing in &mut standings {
            while let Some(want) = standing.wants(now) {
                let samples = want.fetch(&store, &Options::default(), &Cancel::new()).expect("the store can be read");
                black_box(standing.tick(now, &samples).expect("the samples are those that were wanted"));
            }
        }
    });
    const LOOKS: usize = 500;
    timed("an objective as it is shown, with a plot of 200 points", LOOKS, || {
        for standing in standings.iter().cycle().take(LOOKS) {
            black_box((standing.status(), standing.series(), standing.burn_down(200)));
        }
    });
}

fn main() {
    let store = Store::new(StoreOptions::default());
    let series = fill(&store);
    let start = Timestamp(START + WARM * STEP);
    let mut standings: Vec<Standing> =
        objectives().into_iter().map(|definition| Standing::new(definition, Pace::default(), start).0).collect();
    for number in 0..=WARM {
        scrape(&store, &series, number);
    }
    let tick = |standings: &mut Vec<Standing>, number: i64| {
        let now = Timestamp(START + number * STEP) + Span::from_secs(5);
        let (mut rows, mut judged) = (0, 0);
        for standing in standings {
            while let Some(want) = standing.wants(now) {
                let samples = want.fetch(&store, &Options::default(), &Cancel::new()).expect("the store can be read");
                let tick = standing.tick(now, &samples).expect("the samples are those that were wanted");
                rows += tick.rows.len();
                judged += tick.judged.len();
            }
        }
        black_box((rows, judged))
    };
    scrape(&store, &series, WARM + 1);
    timed("first tick of 50 objectives, an hour read before it", 1, || tick(&mut standings, WARM + 1));
    let mut spent = 0;
    for number in WARM + 2..WARM + 2 + TICKS {
        scrape(&store, &series, number);
        let before = computed_ns();
        let (rows, judged) = tick(&mut standings, number);
        spent += computed_ns() - before;
        assert!(rows >= OBJECTIVES && judged == 3 * OBJECTIVES);
    }
    println!("tick of 50 objectives, 2,000 counters read and judged: {:.3} ms", spent as f64 / TICKS as f64 / 1e6);

    cold_start();
    let ledger = timed("a ledger of 30 days, 172,800 points", 1, month);
    let (points, bytes) = ledger.size();
    println!("it holds {points} points in {bytes} bytes");
    let end = ledger.last().0;
    const LOOKUPS: i64 = 1_000_000;
    for (what, lookback) in [("5 m", 5), ("1 h", 60), ("3 d", 3 * 1440), ("30 d", 30 * 1440)] {
        let before = computed_ns();
        for number in 0..LOOKUPS {
            let to = Timestamp(end.0 - number % 1000 * STEP);
            black_box(ledger.window(Bounds { from: to - Span::from_mins(lookback), to }));
        }
        println!("window of {what}: {:.0} ns", (computed_ns() - before) as f64 / LOOKUPS as f64);
    }
    let definition = objectives().remove(0);
    let before = computed_ns();
    let rows = ledger.rows();
    let restored = Ledger::restore(&definition.id, &definition.hash(), &definition.tiers(), rows).expect("the rows are good").0;
    println!("restart from rows: {:.1} ms", (computed_ns() - before) as f64 / 1e6);
    assert_eq!(restored.last(), ledger.last());
}
