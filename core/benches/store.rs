//! What the store costs in time of the processor and in memory: run with `cargo bench --bench store`.
//!
//! 100,000 series with five labels in rows of 1,000, scraped every 15 s with values that mix constants, counters and gauges.

mod processor;

use std::cell::Cell as Count;
use std::hint::black_box;

use tocsin_core::model::{Cell, LabelSet, MatchOp, Matcher, Row, Select, SeriesRef, Source, Value};
use tocsin_core::store::{Cut, Store, StoreOptions};
use tocsin_core::time::Timestamp;

use processor::computed_ns;

const TARGETS: usize = 100;
const PER_TARGET: usize = 1000;
const SCRAPES: i64 = 240;
const INTERVAL: i64 = 15_000;
const START: i64 = 1_795_231_650_000;

fn timed<T>(what: &str, count: usize, work: impl FnOnce() -> T) -> T {
    let start = computed_ns();
    let result = work();
    let spent = (computed_ns() - start) as f64;
    println!("{what}: {:.1} ns each, {:.3} s in all", spent / count as f64, spent / 1e9);
    result
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads its own size")]
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn labels(target: usize, number: usize) -> LabelSet {
    LabelSet::from_pairs([
        ("__name__", format!("node_metric_of_some_length_{}_total", number / 10)),
        ("job", "node".to_owned()),
        ("instance", format!("10.20.{}.{}:9100", target / 250, target % 250)),
        ("device", format!("device-{}", number % 10)),
        ("namespace", "production".to_owned()),
    ])
}

/// Seven in ten series are constant, two count, one wanders.
fn value(target: usize, number: usize, scrape: i64) -> f64 {
    match number % 10 {
        0..7 => (number * 7) as f64,
        7 | 8 => (scrape as f64) * (50 + number % 97) as f64 + ((target * 31 + scrape as usize * 17) % 13) as f64,
        _ => ((target * 7919 + number * 104_729 + scrape as usize * 1_299_709) % 100_000) as f64 / 1000.0,
    }
}

fn main() {
    let before = resident_bytes();
    let store = Store::new(StoreOptions::default());
    let series: Vec<Vec<SeriesRef>> = timed("resolve a new series", TARGETS * PER_TARGET, || {
        let resolve = |target| (0..PER_TARGET).map(|number| store.resolve(&labels(target, number)).unwrap()).collect();
        (0..TARGETS).map(resolve).collect()
    });
    let fresh = resident_bytes();
    println!("memory without samples: {} B per series", (fresh - before) / (TARGETS * PER_TARGET));
    let known = labels(7, 500);
    timed("resolve a known series", 100_000, || (0..100_000).for_each(|_| drop(black_box(store.resolve(&known)))));

    let samples = SCRAPES as usize * TARGETS * PER_TARGET;
    let logged = Count::new(0);
    let log = |record: &[u8]| {
        logged.set(logged.get() + record.len());
        Ok(())
    };
    let mut rows = Vec::new();
    for own in &series {
        let cell = |series: &SeriesRef| Cell { series: *series, at: None, value: Value::Float(0.0) };
        rows.push(Row { at: Timestamp(0), cells: own.iter().map(cell).collect() });
    }
    timed("append a sample, values being made", samples, || {
        for scrape in 0..SCRAPES {
            for (target, row) in rows.iter_mut().enumerate() {
                row.at = Timestamp(START + scrape * INTERVAL + target as i64 * 100);
                row.cells
                    .iter_mut()
                    .enumerate()
                    .for_each(|(number, cell)| cell.value = Value::Float(value(target, number, scrape)));
                black_box(store.append(row, &log).unwrap());
            }
        }
    });
    timed("make a value", samples, || {
        for scrape in 0..SCRAPES {
            for (target, row) in rows.iter_mut().enumerate() {
                row.cells
                    .iter_mut()
                    .enumerate()
                    .for_each(|(number, cell)| cell.value = Value::Float(value(target, number, scrape)));
            }
            black_box(&rows);
        }
    });
    let stats = store.stats(0);
    println!("log: {:.2} B per sample", logged.get() as f64 / samples as f64);
    println!("chunks in memory: {:.3} B per sample", stats.chunks_bytes as f64 / samples as f64);
    println!("memory with {SCRAPES} samples: {} B per series", (resident_bytes() - before) / (TARGETS * PER_TARGET));

    let end = Timestamp(START + SCRAPES * INTERVAL);
    let select = |what: &str, matchers: &[Matcher], span: i64| {
        let request = Select { matchers, start: Timestamp(end.0 - span), end, samples_max: usize::MAX, newest_only: false };
        let count: usize = store.select(&request).unwrap().iter().map(|series| series.floats.len()).sum();
        timed(&format!("select {what}: {count} samples"), count.max(1), || black_box(store.select(&request).unwrap().len()));
    };
    let metric = Matcher::equal("__name__", "node_metric_of_some_length_37_total");
    let instance = Matcher::equal("instance", "10.20.0.42:9100");
    select("one metric, 5 min", std::slice::from_ref(&metric), 5 * 60_000);
    select("one metric, 1 h", std::slice::from_ref(&metric), 3_600_000);
    select("one series, 5 min", &[metric, instance.clone(), Matcher::equal("device", "device-3")], 5 * 60_000);
    select("one target, 1 h", &[instance], 3_600_000);
    let pattern = Matcher::new("__name__", MatchOp::Regex, "node_metric.*[37]_total").unwrap();
    select("a pattern, 5 min", &[pattern], 5 * 60_000);
    select("everything, 1 h", &[], 3_600_000);

    let mut bytes = 0;
    timed("checkpoint a series", TARGETS * PER_TARGET, || {
        store
            .checkpoint(&mut |record| {
                bytes += record.len();
                Ok(())
            })
            .unwrap()
    });
    println!("checkpoint: {} B per series", bytes / (TARGETS * PER_TARGET));
    let (mut cut, mut blocks, mut aged) = (Cut::of_all(), 0, 0);
    timed("draft blocks, a series", TARGETS * PER_TARGET, || {
        while let Some(draft) = store.draft(end, 64 << 20, &mut cut) {
            blocks += 1;
            aged += draft.bytes().len();
        }
    });
    println!("{blocks} blocks: {:.3} B per sample, index and labels included", aged as f64 / samples as f64);
}
