//! What the second life of samples costs: bytes on the disk, time to move and to merge them, time to read them back. Run with
//! `cargo bench --bench blocks`.
//!
//! Some targets that look like pods of a busy service, scraped every 15 s for a day: more than half of their series are buckets of
//! histograms, half of all never change, counters grow by rate x time, gauges wander, some floats have all their digits.

mod processor;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use tocsin_core::model::{Cell, LabelSet, Matcher, Row, Select, Source, Value};
use tocsin_core::store::{BlockId, Cut, ReadAt, Store, StoreOptions};
use tocsin_core::time::Timestamp;

use processor::computed_ns;

const TARGETS: usize = 8;
const PER_TARGET: usize = 1000;
const INTERVAL: i64 = 15_000;
const START: i64 = 1_795_219_200_000;
const HOUR: i64 = 3_600_000;
const HOURS: i64 = 24;
const BOUNDS: [&str; 12] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

struct Dice(u64);

impl Dice {
    /// Returns a number from 0 up to 1.
    fn part(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

enum Kind {
    Counter { value: f64, rate: f64 },
    Gauge { value: f64, mean: f64, step: f64, whole: bool },
    Space { value: f64, slope: f64 },
    Histogram { counts: [f64; 12], sum: f64, rate: f64, mean: f64, shares: [f64; 12] },
}

struct Group {
    kind: Kind,
    idle: bool,
}

impl Group {
    /// Moves on by some seconds, and appends the values.
    fn step(&mut self, seconds: f64, dice: &mut Dice, out: &mut Vec<f64>) {
        let live = !self.idle;
        match &mut self.kind {
            Kind::Counter { value, rate } => {
                if live {
                    *value += (*rate * seconds * (0.8 + 0.4 * dice.part()) + dice.part()).floor();
                }
                out.push(*value);
            }
            Kind::Gauge { value, mean, step, whole } => {
                if live {
                    *value += (*mean - *value) * 0.05 + *step * (dice.part() - 0.5);
                }
                out.push(if *whole { value.max(0.0).floor() } else { *value });
            }
            Kind::Space { value, slope } => {
                if live {
                    *value += *slope * seconds * (0.5 + dice.part());
                }
                out.push((*value / 4096.0).floor() * 4096.0);
            }
            Kind::Histogram { counts, sum, rate, mean, shares } => {
                if live {
                    let (count, lift) = ((*rate * seconds * (0.7 + 0.6 * dice.part()) + dice.part()).floor(), dice.part());
                    for (own, share) in counts.iter_mut().zip(shares.iter()) {
                        *own += if *share == 1.0 { count } else { (count * share + lift).floor().min(count) };
                    }
                    *sum += count * *mean * (0.9 + 0.2 * dice.part());
                }
                out.extend_from_slice(counts);
                out.extend([*sum, counts[11]]);
            }
        }
    }
}

struct Target {
    names: Vec<LabelSet>,
    groups: Vec<Group>,
    dice: Dice,
}

impl Target {
    fn new(number: usize) -> Target {
        let mut own = Target { names: Vec::new(), groups: Vec::new(), dice: Dice(number as u64 * 7919 + 88_172_645_463_325_252) };
        let base =
            [("instance", format!("10.0.{}.{}:9102", number / 250, number % 250)), ("job", format!("svc-{}", number % 10))];
        let pod = format!("svc-{}-{:09x}-00000", number % 10, (own.dice.part() * 1e10) as u64);
        let set = |name: &str, labels: &[(&str, String)]| {
            let all = base.iter().chain(labels).map(|(name, value)| (*name, value.as_str()));
            LabelSet::from_pairs(all.chain([("__name__", name)]))
        };
        let methods = ["GET", "POST", "PUT", "DELETE"];
        for index in 0..PER_TARGET * 56 / 100 / 14 {
            let labels = [
                ("handler", format!("/api/v1/part/{}", index / 4)),
                ("method", methods[index % 4].to_owned()),
                ("pod", pod.clone()),
            ];
            for bound in BOUNDS {
                let labels: Vec<_> = labels.iter().cloned().chain([("le", bound.to_owned())]).collect();
                own.names.push(set("http_request_duration_seconds_bucket", &labels));
            }
            own.names.push(set("http_request_duration_seconds_sum", &labels));
            own.names.push(set("http_request_duration_seconds_count", &labels));
            let median = 0.01 * (1.0 + 30.0 * own.dice.part() * own.dice.part());
            let share = |bound: &str| 1.0 / (1.0 + (-(bound.parse::<f64>().unwrap() / median).ln() * 1.8).exp());
            let shares = BOUNDS.map(share);
            let rate = 20.0 * own.dice.part() * own.dice.part();
            let count = (rate * 20_000.0).floor();
            let counts = shares.map(|share| (count * share).floor());
            own.push(Kind::Histogram { counts, sum: count * median * 1.3, rate, mean: median * 1.3, shares });
        }
        for index in 0..PER_TARGET * 16 / 100 {
            let code = ["200", "201", "400", "404", "500", "503"][index % 6];
            let handler = format!("/api/v1/part/{}", index / 24);
            let labels = [
                ("handler", handler),
                ("method", methods[index / 6 % 4].to_owned()),
                ("code", code.to_owned()),
                ("pod", pod.clone()),
            ];
            own.names.push(set("http_requests_total", &labels));
            own.counter(if code.starts_with('2') { 10.0 } else { 0.1 });
        }
        for index in 0..PER_TARGET * 8 / 100 {
            let code = ["200", "400", "429", "500"][index % 4];
            own.names
                .push(set("tenant_requests_total", &[("tenant", format!("tenant-{:03}", index / 4)), ("code", code.to_owned())]));
            own.counter(if code == "200" { 5.0 } else { 0.05 });
        }
        for index in 0..PER_TARGET / 100 {
            let queue = [("queue", format!("q-{index:02}"))];
            own.names.push(set("queue_depth", &queue));
            own.gauge(400.0, 0.2, true);
            own.names.push(set("queue_enqueued_total", &queue));
            own.counter(50.0);
            own.names.push(set("queue_dequeued_total", &queue));
            own.counter(50.0);
        }
        for mount in ["/", "/var", "/data", "/srv"] {
            own.names.push(set("node_filesystem_avail_bytes", &[("mountpoint", mount.to_owned())]));
            let (value, slope) = (4e11 * (0.2 + own.dice.part()), -2e6 * own.dice.part());
            own.push(Kind::Space { value, slope });
        }
        for index in 0.. {
            if own.names.len() >= PER_TARGET {
                break;
            }
            let container = [("container", format!("c-{}", index / 4)), ("pod", pod.clone())];
            match index % 4 {
                0 => {
                    own.names.push(set("container_memory_working_set_bytes", &container));
                    own.gauge(3e8, 0.2, true);
                }
                1 => {
                    own.names.push(set("container_cpu_usage_cores", &container));
                    own.gauge(0.4, 0.05, false);
                }
                2 => {
                    own.names.push(set("db_pool_connections", &[("pool", format!("pool-{:02}", index / 4))]));
                    own.gauge(20.0, 0.2, true);
                }
                _ => {
                    own.names.push(set("app_cache_hit_ratio", &[("shard", format!("{:04}", index / 4))]));
                    own.gauge(0.8, 0.05, false);
                }
            }
        }
        own
    }

    fn push(&mut self, kind: Kind) {
        let idle = self.dice.part() < 0.5;
        self.groups.push(Group { kind, idle });
    }

    fn counter(&mut self, scale: f64) {
        let rate = scale * (0.05 + 2.0 * self.dice.part() * self.dice.part());
        let value = (rate * 86_400.0 * (0.2 + 3.0 * self.dice.part())).floor();
        self.push(Kind::Counter { value, rate });
    }

    fn gauge(&mut self, mean: f64, step: f64, whole: bool) {
        let mean = mean * (0.5 + self.dice.part());
        self.push(Kind::Gauge { value: mean, mean, step: mean * step, whole });
    }

    fn scrape(&mut self) -> Vec<f64> {
        let mut values = Vec::with_capacity(PER_TARGET);
        for group in &mut self.groups {
            group.step(INTERVAL as f64 / 1000.0, &mut self.dice, &mut values);
        }
        values
    }
}

#[derive(Default)]
struct Spent {
    ns: u64,
    samples: u64,
}

impl Spent {
    fn time<T>(&mut self, samples: u64, work: impl FnOnce() -> T) -> T {
        let start = computed_ns();
        let result = work();
        self.ns += computed_ns() - start;
        self.samples += samples;
        result
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: {:.1} ns per sample, {:.3} s in all",
            self.ns as f64 / self.samples.max(1) as f64,
            self.ns as f64 / 1e9
        );
    }
}

fn reader(bytes: &Arc<[u8]>) -> ReadAt {
    let bytes = bytes.clone();
    Box::new(move |at, out| {
        out.copy_from_slice(&bytes[at as usize..at as usize + out.len()]);
        Ok(())
    })
}

fn select(store: &Store, what: &str, matchers: &[Matcher], start: i64, end: i64) {
    let request = Select { matchers, start: Timestamp(start), end: Timestamp(end), samples_max: usize::MAX, newest_only: false };
    let answer = store.select(&request).unwrap();
    let count: usize = answer.iter().map(|series| series.floats.len()).sum();
    let series = answer.len();
    drop(answer);
    let mut spent = Spent::default();
    let rounds = (2_000_000 / count.max(1)).clamp(1, 200);
    (0..rounds).for_each(|_| drop(spent.time(count as u64, || black_box(store.select(&request).unwrap()))));
    let ns = spent.ns as f64;
    println!(
        "  read {what}: {series} series, {count} samples, {:.1} ns per sample, {:.1} us in all",
        ns / spent.samples.max(1) as f64,
        ns / rounds as f64 / 1e3
    );
}

fn read_back(store: &Store, end: i64) {
    let metric = Matcher::equal("__name__", "container_cpu_usage_cores");
    let (bucket, bound) = (Matcher::equal("__name__", "http_request_duration_seconds_bucket"), Matcher::equal("le", "0.5"));
    let one = [metric.clone(), Matcher::equal("instance", "10.0.0.3:9102"), Matcher::equal("container", "c-7")];
    select(store, "everything, 1 h", &[], end - HOUR, end - 1);
    select(store, "everything, 6 h", &[], end - 6 * HOUR, end - 1);
    select(store, "one metric, all", &[metric], START, end - 1);
    select(store, "one bucket of all histograms, all", &[bucket, bound], START, end - 1);
    select(store, "one series, all", &one, START, end - 1);
    select(store, "one series, 5 min", &one, end - HOUR, end - HOUR + 300_000);
}

fn main() {
    let store = Store::new(StoreOptions::default());
    let mut targets: Vec<Target> = (0..TARGETS).map(Target::new).collect();
    let series: Vec<Vec<_>> =
        targets.iter().map(|own| own.names.iter().map(|labels| store.resolve(labels).unwrap()).collect()).collect();
    let files: RefCell<BTreeMap<BlockId, Arc<[u8]>>> = RefCell::default();
    let (mut cut_time, mut merge_time, mut next) =
        ([Spent::default(), Spent::default()], [Spent::default(), Spent::default()], 1);
    let size = || files.borrow().values().map(|bytes| bytes.len()).sum::<usize>() as f64;
    let print = |what: &str| {
        let stats = store.stats(0);
        println!("{what}: {} blocks, {:.3} B per sample", stats.blocks, size() / stats.blocks_samples as f64);
    };
    for scrape in 0..HOURS * HOUR / INTERVAL {
        for (number, (target, series)) in targets.iter_mut().zip(&series).enumerate() {
            let at = Timestamp(START + scrape * INTERVAL + number as i64 * 700);
            let values = target.scrape();
            let cells =
                series.iter().zip(values).map(|(series, value)| Cell { series: *series, at: None, value: Value::Float(value) });
            store.append_unlogged(&Row { at, cells: cells.collect() }).unwrap();
        }
        let now = START + (scrape + 1) * INTERVAL;
        if (now - START) % (HOUR / 2) == 0 {
            let mut cut = Cut::of_all();
            let before = store.stats(0).blocks_samples;
            let draft = cut_time[0].time(0, || store.draft(Timestamp(now + HOUR), 1 << 30, &mut cut)).unwrap();
            let bytes: Arc<[u8]> = draft.bytes().into();
            let id = BlockId::of_cut(next);
            next += 1;
            cut_time[1].time(0, || store.commit(&draft, id, reader(&bytes))).unwrap();
            files.borrow_mut().insert(id, bytes);
            let moved = store.stats(0).blocks_samples - before;
            cut_time.iter_mut().for_each(|spent| spent.samples += moved);
        }
        if now == START + 2 * HOUR {
            print("after two hours, as cut");
            read_back(&store, now);
        }
        while let Some(merge) = store.merge_due(Timestamp(now), u64::MAX) {
            let mut bytes = Vec::new();
            let level = usize::from(now - START >= HOURS * HOUR);
            let samples = TARGETS as u64 * PER_TARGET as u64 * 480;
            let mut write = |part: &[u8]| {
                bytes.extend_from_slice(part);
                Ok(())
            };
            merge_time[level].time(samples, || merge.write(&mut write, &mut || ())).unwrap();
            let bytes: Arc<[u8]> = bytes.into();
            for id in store.commit_merge(&merge, bytes.len() as u64, reader(&bytes)).unwrap().unwrap() {
                files.borrow_mut().remove(&id);
            }
            files.borrow_mut().insert(merge.id(), bytes);
            if now == START + 3 * HOUR {
                println!("a block of two hours: {:.3} B per sample", files.borrow()[&merge.id()].len() as f64 / samples as f64);
            }
        }
    }
    cut_time[0].print("draft");
    cut_time[1].print("commit");
    merge_time[0].print("merge to two hours");
    let end = START + HOURS * HOUR;
    print("after a day, blocks of two hours");
    read_back(&store, end);
    while let Some(merge) = store.merge_due(Timestamp(end + 2 * HOUR), u64::MAX) {
        let mut bytes = Vec::new();
        let mut write = |part: &[u8]| {
            bytes.extend_from_slice(part);
            Ok(())
        };
        let before = store.stats(0).blocks;
        merge_time[1].time(0, || merge.write(&mut write, &mut || ())).unwrap();
        let bytes: Arc<[u8]> = bytes.into();
        for id in store.commit_merge(&merge, bytes.len() as u64, reader(&bytes)).unwrap().unwrap() {
            files.borrow_mut().remove(&id);
        }
        files.borrow_mut().insert(merge.id(), bytes);
        println!("{before} blocks became {}", store.stats(0).blocks);
    }
    merge_time[1].samples = store.stats(0).blocks_samples;
    merge_time[1].print("merge to a day");
    print("after a day");
    for bytes in files.borrow().values() {
        let packed = zstd::bulk::compress(bytes, 3).unwrap().len();
        println!("zstd over all of it would take {:.1} % of that", 100.0 * packed as f64 / bytes.len() as f64);
    }
    read_back(&store, end);
}
