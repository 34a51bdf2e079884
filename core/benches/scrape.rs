//! What reading a body costs, as text and as Protocol Buffers: run with `cargo bench --bench scrape`.
//!
//! The bodies say the same: 1,000 counters with four labels, 100 classic histograms of ten buckets, and, as Protocol Buffers only,
//! 100 native histograms of twenty. Each is read as a target's first body and, over and over, as one whose series are known.

#[path = "../../tests/it/harness/protobuf.rs"]
#[allow(dead_code, reason = "the encoder of the tests can do more than is needed here")]
mod encoder;
mod processor;

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use tocsin_core::model::{LabelSet, Resolved, SeriesRef};
use tocsin_core::scrape::body::TargetState;
use tocsin_core::scrape::job::{Histograms, Job, Protocol, TargetGroup};
use tocsin_core::scrape::target::{Found, targets};
use tocsin_core::time::{Span, Timestamp};

use encoder::{COUNTER, HISTOGRAM, Message, bucket, counter, exemplar, family, metric, side};
use processor::computed_ns;

const ROUNDS: usize = 200;
const BOUNDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, f64::INFINITY];
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";
const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

fn labels(number: usize) -> [(&'static str, String); 4] {
    [
        ("code", (200 + number % 7).to_string()),
        ("method", "GET".to_owned()),
        ("handler", format!("/api/v1/things/{number}")),
        ("service", "shop-frontend".to_owned()),
    ]
}

fn borrowed<'a>(labels: &'a [(&'static str, String); 4]) -> [(&'a str, &'a str); 4] {
    labels.each_ref().map(|(name, value)| (*name, value.as_str()))
}

fn text(with_exemplars: bool) -> Vec<u8> {
    let shown = |number| labels(number).map(|(name, value)| format!("{name}=\"{value}\"")).join(",");
    let mut out = String::from("# TYPE requests counter\n");
    for number in 0..1000 {
        let _ = writeln!(out, "requests_total{{{}}} {}", shown(number), number * 17);
    }
    out += "# TYPE latency_seconds histogram\n";
    for number in 0..100 {
        for (index, bound) in BOUNDS.iter().enumerate() {
            let bound = if bound.is_finite() { format!("{bound:?}") } else { "+Inf".to_owned() };
            let _ = write!(out, "latency_seconds_bucket{{{},le=\"{bound}\"}} {}", shown(number), index * 3);
            if with_exemplars {
                let _ = write!(out, " # {{trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"}} 0.5 1700000000.1");
            }
            out.push('\n');
        }
        let _ = writeln!(out, "latency_seconds_count{{{0}}} 27\nlatency_seconds_sum{{{0}}} 3.25", shown(number));
    }
    (out + "# EOF\n").into_bytes()
}

fn protobuf(with_exemplars: bool) -> Vec<u8> {
    let counters: Vec<Message> = (0..1000)
        .map(|number| metric(&borrowed(&labels(number)), None).inner(3, &counter(number as f64 * 17.0, None, 1_700_000_000_000)))
        .collect();
    let traced = exemplar(&[("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")], 0.5, Some(1_700_000_000_100));
    let classic: Vec<Message> = (0..100)
        .map(|number| {
            let message = Message::new().integer(1, 27).double(2, 3.25);
            let buckets = BOUNDS
                .iter()
                .enumerate()
                .map(|(index, bound)| bucket(*bound, index as u64 * 3, with_exemplars.then_some(&traced)));
            metric(&borrowed(&labels(number)), None).inner(7, &buckets.fold(message, |message, bucket| message.inner(3, &bucket)))
        })
        .collect();
    [family("requests_total", "", COUNTER, "", &counters), family("latency_seconds", "", HISTOGRAM, "", &classic)].concat()
}

fn native() -> Vec<u8> {
    let buckets: Vec<(i32, i64)> = (0..20).map(|index| (index - 10, i64::from(index % 5) + 1)).collect();
    let count: i64 = buckets.iter().map(|(_, count)| count).sum();
    let message = side(Message::new().integer(1, count as u64).double(2, 3.25).signed(5, 3).double(6, 1e-9), 12, &buckets);
    let all: Vec<Message> = (0..100).map(|number| metric(&borrowed(&labels(number)), None).inner(7, &message)).collect();
    family("native_seconds", "", HISTOGRAM, "", &all)
}

fn job(histograms: Histograms) -> Job {
    Job {
        name: "bench".to_owned(),
        interval: Span::from_secs(15),
        timeout: Span::from_secs(10),
        metrics_path: "/metrics".to_owned(),
        scheme: "http".to_owned(),
        params: Default::default(),
        honor_labels: false,
        honor_timestamps: true,
        track_timestamps_staleness: false,
        enable_compression: true,
        client: Default::default(),
        static_groups: Vec::new(),
        file_sd: Vec::new(),
        http_sd: Vec::new(),
        relabel: Vec::new(),
        metric_relabel: Vec::new(),
        limits: Default::default(),
        classic_names_only: false,
        fallback_protocol: None,
        protocols: Protocol::DEFAULTS.to_vec(),
        histograms,
    }
}

fn measure(what: &str, body: &[u8], content_type: &str, histograms: Histograms) {
    let job = job(histograms);
    let group = TargetGroup { addresses: vec!["a:1".to_owned()], labels: LabelSet::empty(), source: "static".to_owned() };
    let Some(Found::Target(target)) = targets(&job, &[group]).into_iter().next() else { panic!("a target is needed") };
    let mut state = TargetState::new(&target, Arc::new(job));
    let mut series: HashMap<LabelSet, u32> = HashMap::new();
    let mut scrape = |at: i64| {
        let outcome = state.scraped(body, Some(content_type), Timestamp(at), 0.1, &mut |labels, _| {
            let next = series.len() as u32;
            let number = *series.entry(labels.clone()).or_insert(next);
            Ok(Resolved { series: SeriesRef(number), is_new: number == next })
        });
        assert_eq!(outcome.report.error, None);
        (outcome.report.samples, outcome.exemplars.len())
    };
    let start = computed_ns();
    let (samples, exemplars) = scrape(15_000);
    let first = computed_ns() - start;
    let start = computed_ns();
    for round in 0..ROUNDS {
        scrape(30_000 + round as i64 * 15_000);
    }
    let again = (computed_ns() - start) / ROUNDS as u64;
    println!(
        "{what}: {} bytes, {samples} samples, {exemplars} exemplars; first {:.0} ns a sample, known {:.1} ns a sample, {:.0} MB/s",
        body.len(),
        first as f64 / samples as f64,
        again as f64 / samples as f64,
        body.len() as f64 * 1e3 / again as f64
    );
}

fn main() {
    let (plain, whole) = (Histograms::default(), Histograms { native: true, ..Histograms::default() });
    let converted = Histograms { convert: true, ..Histograms::default() };
    measure("text", &text(false), OPENMETRICS, plain);
    measure("protobuf", &protobuf(false), PROTOBUF, plain);
    measure("text with exemplars", &text(true), OPENMETRICS, plain);
    measure("protobuf with exemplars", &protobuf(true), PROTOBUF, plain);
    measure("native histograms", &native(), PROTOBUF, whole);
    measure("text, converted", &text(false), OPENMETRICS, converted);
    measure("protobuf, converted", &protobuf(false), PROTOBUF, converted);
}
