//! Series with everything that is awkward: resets, gaps, NaN and infinities, staleness, churn, scrapes that are late.

use std::collections::BTreeMap;

use tocsin_core::model::{Cell, LabelSet, Row, STALE, Value};
use tocsin_core::store::Store;
use tocsin_core::time::Timestamp;

/// The first and the last instant with samples. Unit: milliseconds since 1970.
pub const START: i64 = 1_700_000_000_000;
pub const END: i64 = START + 2 * 3_600_000;
const INTERVAL: i64 = 15_000;

/// Numbers that look like nothing, the same for a seed each time.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a whole number from `low` up to and without `high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low) as u64) as i64
    }

    /// Returns a number from 0 up to and without 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, share: f64) -> bool {
        self.share() < share
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.between(0, from.len() as i64) as usize]
    }
}

/// One series with its samples in the order of time.
pub struct Generated {
    pub labels: Vec<(String, String)>,
    pub samples: Vec<(i64, f64)>,
}

/// How the values of a series come about.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    /// A gauge with NaN, infinities, zeros of both signs and values of extreme size.
    Wild,
    Flag,
    /// A counter of a histogram, so much of each growth.
    Part(f64),
}

fn samples(kind: Kind, noise: &mut Noise) -> Vec<(i64, f64)> {
    let offset = noise.between(0, INTERVAL);
    let (mut value, mut out) = (noise.between(-50, 1000) as f64, Vec::new());
    if matches!(kind, Kind::Counter | Kind::Part(_)) {
        value = 0.0;
    }
    // Some begin late, end early, or are away in between.
    let begins = if noise.chance(0.15) { noise.between(0, 240) } else { 0 };
    let ends = if noise.chance(0.15) { noise.between(240, 480) } else { 480 };
    let mut away = 0;
    for scrape in begins..ends {
        let late = if noise.chance(0.05) { noise.between(-200, 900) } else { 0 };
        let at = START + scrape * INTERVAL + offset % 7000 + late;
        if away > 0 {
            away -= 1;
            continue;
        }
        if noise.chance(0.01) {
            out.push((at, STALE));
            away = noise.between(0, 40);
            continue;
        }
        if noise.chance(0.02) {
            continue;
        }
        match kind {
            Kind::Counter => {
                value = if noise.chance(0.008) { 0.0 } else { value + noise.between(0, 90) as f64 };
            }
            Kind::Part(share) => value += (noise.between(0, 60) as f64 * share).floor(),
            Kind::Gauge => value += noise.share() * 20.0 - 10.0,
            // No number smaller than the normal ones: the logarithm that Prometheus has for it is none.
            Kind::Wild => {
                let wild = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e300, -1e300, 1e-300, 0.1, 3.0];
                value = if noise.chance(0.3) { noise.pick(&wild) } else { noise.share() * 1e6 - 5e5 };
            }
            Kind::Flag => value = if noise.chance(0.9) { 1.0 } else { 0.0 },
        }
        out.push((at, value));
    }
    out
}

struct Maker<'n> {
    noise: &'n mut Noise,
    out: Vec<Generated>,
}

impl Maker<'_> {
    fn add(&mut self, kind: Kind, labels: &[(&str, &str)]) {
        let samples = samples(kind, self.noise);
        let mut labels: Vec<(String, String)> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        labels.sort();
        self.out.push(Generated { labels, samples });
    }

    /// Adds the series of a classic histogram, whose buckets grow with their bounds.
    fn add_histogram(&mut self, name: &str, labels: &[(&str, &str)], bounds: &[&str]) {
        let mut below: Vec<(i64, f64)> = Vec::new();
        for (index, bound) in bounds.iter().enumerate() {
            let share = 0.2 + 0.8 * (index + 1) as f64 / bounds.len() as f64;
            let own: BTreeMap<i64, f64> = below.iter().copied().collect();
            let mut samples = samples(Kind::Part(share), self.noise);
            for (at, value) in &mut samples {
                // A bucket holds what those below it hold.
                let least = own.range(..=*at).next_back().map_or(0.0, |(_, value)| *value);
                if !value.is_nan() && !least.is_nan() {
                    *value = value.max(least);
                }
            }
            below = samples.clone();
            let bucket = format!("{name}_bucket");
            let mut all = vec![("__name__", bucket.as_str()), ("le", bound)];
            all.extend_from_slice(labels);
            all.sort_unstable();
            let labels = all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            self.out.push(Generated { labels, samples });
        }
        for (end, kind) in [("count", Kind::Counter), ("sum", Kind::Part(1.7))] {
            let mut all = vec![("__name__", format!("{name}_{end}"))];
            all.extend(labels.iter().map(|(name, value)| (*name, (*value).to_owned())));
            let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.add(kind, &all);
        }
    }
}

/// Returns series for generated questions.
pub fn generate(noise: &mut Noise) -> Vec<Generated> {
    let mut maker = Maker { noise, out: Vec::new() };
    for job in ["api", "web"] {
        for instance in ["a:1", "b:1", "c:2", "d:2"] {
            let own = [("job", job), ("instance", instance)];
            for code in ["200", "404", "500"] {
                maker.add(Kind::Counter, &[&own[..], &[("__name__", "requests_total"), ("code", code)]].concat());
            }
            maker.add(Kind::Gauge, &[&own[..], &[("__name__", "temperature")]].concat());
            maker.add(Kind::Wild, &[&own[..], &[("__name__", "wild")]].concat());
            maker.add(Kind::Flag, &[&own[..], &[("__name__", "is_up")]].concat());
            let version = if instance < "c" { "1.2" } else { "1.3" };
            maker.add(Kind::Flag, &[&own[..], &[("__name__", "build_info"), ("version", version)]].concat());
            maker.add_histogram("latency_seconds", &own, &["0.01", "0.1", "0.5", "1", "+Inf"]);
        }
    }
    maker.out
}

/// Returns the series that the templates of questions ask for.
pub fn demo(noise: &mut Noise) -> Vec<Generated> {
    let mut maker = Maker { noise, out: Vec::new() };
    for instance in ["demo.promlabs.com:10000", "demo.promlabs.com:10001", "demo.promlabs.com:10002"] {
        let own = [("job", "demo"), ("instance", instance)];
        for kind in ["buffers", "cached", "free", "used"] {
            maker.add(Kind::Gauge, &[&own[..], &[("__name__", "demo_memory_usage_bytes"), ("type", kind)]].concat());
        }
        for mode in ["idle", "system", "user"] {
            maker.add(Kind::Counter, &[&own[..], &[("__name__", "demo_cpu_usage_seconds_total"), ("mode", mode)]].concat());
        }
        for (name, kind) in [
            ("demo_disk_usage_bytes", Kind::Gauge),
            ("demo_disk_total_bytes", Kind::Flag),
            ("demo_num_cpus", Kind::Flag),
            ("demo_batch_last_success_timestamp_seconds", Kind::Counter),
        ] {
            maker.add(kind, &[&own[..], &[("__name__", name)]].concat());
        }
        for (method, status) in [("GET", "200"), ("POST", "500")] {
            let labels = [&own[..], &[("method", method), ("path", "/api/foo"), ("status", status)]].concat();
            maker.add_histogram("demo_api_request_duration_seconds", &labels, &["0.01", "0.1", "1", "+Inf"]);
        }
    }
    maker.out
}

/// Puts the series into a store, scrape by scrape.
pub fn fill(store: &Store, generated: &[Generated]) {
    let mut rows: BTreeMap<i64, Vec<Cell>> = BTreeMap::new();
    for one in generated {
        let labels = one.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let series = store.resolve(&LabelSet::from_pairs(labels)).expect("a series");
        for (at, value) in &one.samples {
            rows.entry(*at).or_default().push(Cell { series, at: None, value: Value::Float(*value) });
        }
    }
    for (at, cells) in rows {
        let count = cells.len();
        let appended = store.append(&Row { at: Timestamp(at), cells }, &|_| Ok(())).expect("the row is taken");
        assert_eq!(appended.samples, count, "{appended:?}");
    }
}
