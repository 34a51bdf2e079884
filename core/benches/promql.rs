//! What questions cost in time of the processor: run with `cargo bench --bench promql [PART OF A QUERY]`.
//!
//! One series, a hundred and sixteen thousand, scraped every 15 s for two hours; each question at one instant, and over an hour at
//! 241 steps.

mod processor;

use tocsin_core::model::{Cell, LabelSet, Row, SeriesRef, Value};
use tocsin_core::promql::evaluate::{Cancel, Options, instant, range};
use tocsin_core::promql::parse::{Syntax, parse};
use tocsin_core::promql::value::{Answer, Value as Answered};
use tocsin_core::store::{Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};

use processor::computed_ns;

const START: i64 = 1_795_231_650_000;
const INTERVAL: i64 = 15_000;
const SCRAPES: i64 = 480;
const INSTANCES: usize = 100;
const HANDLERS: usize = 10;
const BOUNDS: [&str; 16] =
    ["0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50", "+Inf"];
/// A question is asked again until it has been at work for so long.
const LEAST_NS: u64 = 300_000_000;

const QUESTIONS: [&str; 20] = [
    "build_info",
    "avg_over_time(temperature[1h])",
    "temperature > 20 and temperature < 60",
    "quantile_over_time(0.9, temperature[10m])",
    "deriv(temperature[15m])",
    "requests_total",
    "rate(requests_total[5m])",
    "sum by (zone) (rate(requests_total[5m]))",
    "topk(5, rate(requests_total[5m]))",
    "failures_total / on (instance) requests_total",
    "sum(rate(failures_total[5m])) / sum(rate(requests_total[5m])) > 0.01",
    "max_over_time(rate(requests_total[1m])[10m:1m])",
    "label_replace(requests_total, \"pool\", \"$1\", \"zone\", \"zone-(.*)\")",
    "latency_bucket",
    "sum(latency_bucket)",
    "count by (handler) (latency_bucket)",
    "sum by (le) (rate(latency_bucket[5m]))",
    "histogram_quantile(0.95, sum by (le, handler) (rate(latency_bucket[5m])))",
    "max by (instance) (increase(latency_bucket{le=\"+Inf\"}[1h]))",
    "latency_bucket{handler=~\"/api/[13579]\", le!=\"+Inf\"} - latency_bucket offset 5m",
];

/// Numbers that look like nothing, the same in every run.
fn noise(seed: usize) -> usize {
    let mixed = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) as usize
}

struct Target {
    series: Vec<SeriesRef>,
    totals: Vec<f64>,
}

fn fill(store: &Store) {
    let resolve = |labels: Vec<(&str, String)>| store.resolve(&LabelSet::from_pairs(labels)).expect("a series");
    let alone = [("__name__", "build_info"), ("__name__", "temperature")].map(|pair| resolve(vec![(pair.0, pair.1.to_owned())]));
    let mut targets: Vec<Target> = Vec::new();
    for instance in 0..INSTANCES {
        let own = |name: &str| {
            let (address, zone) = (format!("10.0.0.{instance}:9100"), format!("zone-{}", instance % 3));
            vec![("__name__", name.to_owned()), ("instance", address), ("zone", zone), ("job", "shop".to_owned())]
        };
        let mut series = vec![resolve(own("requests_total")), resolve(own("failures_total"))];
        for handler in 0..HANDLERS {
            for bound in BOUNDS {
                let mut labels = own("latency_bucket");
                labels.extend([("handler", format!("/api/{handler}")), ("le", bound.to_owned())]);
                series.push(resolve(labels));
            }
        }
        targets.push(Target { totals: vec![0.0; series.len()], series });
    }
    for scrape in 0..SCRAPES {
        let at = Timestamp(START + scrape * INTERVAL);
        let cell = |series: SeriesRef, value: f64| Cell { series, at: None, value: Value::Float(value) };
        let warmth = 40.0 + 30.0 * (scrape as f64 / 40.0).sin();
        let mut rows = vec![vec![cell(alone[0], 1.0), cell(alone[1], warmth)]];
        for (instance, target) in targets.iter_mut().enumerate() {
            let growths = target.totals.iter_mut().enumerate();
            growths.for_each(|(index, total)| {
                *total += (noise(instance * 7919 + index * 31 + scrape as usize) % (20 + index % 18 * 5)) as f64
            });
            rows.push(target.series.iter().zip(&target.totals).map(|(series, total)| cell(*series, *total)).collect());
        }
        for cells in rows {
            store.append(&Row { at, cells }, &|_| Ok(())).expect("the row is taken");
        }
    }
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let store = Store::new(StoreOptions::default());
    fill(&store);
    let end = Timestamp(START + (SCRAPES - 1) * INTERVAL);
    let (options, cancel) = (Options::default(), Cancel::new());
    println!("{:>12} {:>12} {:>8}  question", "instant µs", "range µs", "series");
    for question in QUESTIONS.iter().filter(|question| question.contains(&wanted)) {
        let expr = parse(question, &Syntax::default()).expect("the question is well formed");
        let mut series = 0;
        let mut timed = |work: &dyn Fn() -> usize| {
            let (start, mut times) = (computed_ns(), 0);
            while times < 2 || computed_ns() - start < LEAST_NS {
                series = work();
                times += 1;
            }
            (computed_ns() - start) as f64 / 1000.0 / times as f64
        };
        let count = |answer: Answer| match answer.value {
            Answered::Vector(samples) => samples.len(),
            Answered::Matrix(series) => series.len(),
            _ => 1,
        };
        let once = timed(&|| count(instant(&expr, end, &store.snapshot(), &options, &cancel).expect("a value")));
        let from = Timestamp(end.0 - 3_600_000);
        let over =
            timed(&|| count(range(&expr, from, end, Span(INTERVAL), &store.snapshot(), &options, &cancel).expect("values")));
        println!("{once:>12.0} {over:>12.0} {series:>8}  {question}");
    }
}
