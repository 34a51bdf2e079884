//! What stands in our requests to other servers, case by case of the suite for senders, in 1.0 and 2.0 alike.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use tocsin::clock;
use tocsin_core::model::exposition::MetricType;
use tocsin_core::model::{LabelSet, Value as Sample};
use tocsin_core::remote::Protocol;
use tocsin_core::scrape::body::Metadata;

use super::answers;
use crate::harness::page::{OPENMETRICS, Page, TEXT};
use crate::harness::service::{Service, Setup};
use crate::harness::write_target::{Got, WriteTarget};
use crate::harness::{corpora, within};

/// Cases of the suite that are about what a request says; the corpus brings the bodies of most of them.
fn own_bodies() -> BTreeMap<String, String> {
    let long = "x".repeat(10_000);
    let many: String = (0..1_000).map(|n| format!("many_series{{n=\"{n}\"}} {n}\n")).collect();
    let future = clock::now().0 + 300_000;
    [
        ("huge_label_values", format!("test_metric{{huge=\"{long}\"}} 42\n")),
        ("many_timeseries", many),
        ("very_long_metric_name", format!("m_{} 42\n", "y".repeat(500))),
        ("future_timestamp", format!("test_metric 42 {future}\n")),
        ("special_float_combinations", "s{t=\"nan\"} NaN\ns{t=\"inf\"} +Inf\ns{t=\"ninf\"} -Inf\ns{t=\"zero\"} 0\n".to_owned()),
        ("unicode_in_labels", "test_metric{emoji=\"🚀\",chinese=\"测试\"} 42\n".to_owned()),
        ("label_values_may_be_empty", "test_metric{empty=\"\"} 42\n".to_owned()),
        ("start_timestamp_zero_handling", "# TYPE test_counter counter\ntest_counter_total 50\n".to_owned()),
        (
            "exemplar_on_histogram",
            "# TYPE request_duration histogram\nrequest_duration_bucket{le=\"0.1\"} 10 # {trace_id=\"hist123\"} 0.05\n\
             request_duration_bucket{le=\"+Inf\"} 100\nrequest_duration_sum 50.0\nrequest_duration_count 100\n"
                .to_owned(),
        ),
        (
            "samples_with_metadata",
            "# HELP documented_total Requests\n# TYPE documented_total counter\ndocumented_total{code=\"200\"} 7\n".to_owned(),
        ),
    ]
    .into_iter()
    .map(|(name, body)| (name.to_owned(), body))
    .collect()
}

/// Returns the field `name` of a row, which is written in two ways.
fn field<'a>(row: &'a Value, name: &str) -> &'a str {
    let upper: String = name.chars().take(1).flat_map(char::to_uppercase).chain(name.chars().skip(1)).collect();
    row[name].as_str().or(row[&upper].as_str()).unwrap_or_default()
}

/// Returns the cases of the corpus that have a name; nothing without it.
fn rows() -> Vec<Value> {
    let Some(path) = corpora("go-test-tables/remote-write-sender.jsonl") else { return Vec::new() };
    let text = fs::read_to_string(path).expect("a file");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.filter(|row| !field(row, "name").is_empty()).collect()
}

/// The fields of a message: number, and the bytes or the number that it holds. This knows nothing of the reader under test.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let own = match tag & 7 {
            0 => varint(&mut bytes).to_le_bytes().to_vec(),
            1 => bytes[..8].to_vec(),
            2 => {
                let len = varint(&mut bytes) as usize;
                bytes[..len].to_vec()
            }
            form => panic!("form {form}"),
        };
        if tag & 7 != 0 {
            bytes = &bytes[own.len()..];
        }
        fields.push((tag >> 3, own));
    }
    fields
}

/// Checks what holds for every request.
fn check(got: &Got) {
    assert!(got.header("user-agent").starts_with("tocsin/"), "{got:?}");
    assert_eq!(got.header("content-encoding"), "snappy");
    let message = got.message();
    let protocol = got.protocol();
    match protocol {
        Protocol::V1 => {
            assert_eq!(got.header("content-type"), "application/x-protobuf");
            assert_eq!(got.header("x-prometheus-remote-write-version"), "0.1.0");
            // Series and metadata, and no symbols.
            assert!(fields(&message).iter().all(|(number, _)| matches!(number, 1 | 3)));
        }
        Protocol::V2 => {
            assert_eq!(got.header("content-type"), "application/x-protobuf;proto=io.prometheus.write.v2.Request");
            assert_eq!(got.header("x-prometheus-remote-write-version"), "2.0.0");
            let all = fields(&message);
            let symbols: Vec<&Vec<u8>> = all.iter().filter(|(number, _)| *number == 4).map(|(_, bytes)| bytes).collect();
            assert!(symbols[0].is_empty(), "the first symbol is the empty text");
            assert_eq!(symbols.iter().collect::<BTreeSet<_>>().len(), symbols.len(), "each symbol once");
            for (_, series) in all.iter().filter(|(number, _)| *number == 5) {
                let parts = fields(series);
                let has = |wanted: u64| parts.iter().any(|(number, _)| *number == wanted);
                assert!(has(2) != has(3), "samples or histograms, and never both");
                assert!(!has(6), "nothing is known of start timestamps");
            }
        }
    }
    let request = got.read();
    for labels in &request.series {
        let names: Vec<&str> = labels.iter().map(|(name, _)| name).collect();
        assert!(names.is_sorted() && names.iter().all(|name| !name.is_empty()), "{labels}");
        assert!(
            labels.iter().all(|(name, value)| !value.is_empty() && (name == "__name__" || !name.starts_with("__"))),
            "{labels}"
        );
    }
    for pair in request.samples.windows(2) {
        assert!(pair[0].0 != pair[1].0 || pair[0].1 < pair[1].1, "each series is in order of time");
    }
}

/// What arrived of one job.
#[derive(Default)]
struct Arrived {
    /// Values by series, the latest.
    values: BTreeMap<LabelSet, (i64, Sample)>,
    exemplars: Vec<LabelSet>,
}

fn arrived(target: &WriteTarget, path: &str) -> (BTreeMap<String, Arrived>, BTreeMap<String, Metadata>) {
    let (mut jobs, mut metadata) = (BTreeMap::<String, Arrived>::new(), BTreeMap::new());
    for got in target.got(path) {
        check(&got);
        let request = got.read();
        for (series, at, value) in &request.samples {
            let labels = &request.series[*series as usize];
            assert!(labels.has("job") && labels.has("instance"), "{labels}");
            jobs.entry(labels.get("job").to_owned()).or_default().values.insert(labels.clone(), (at.0, value.clone()));
        }
        for (series, exemplar) in &request.exemplars {
            let job = request.series[*series as usize].get("job").to_owned();
            jobs.entry(job).or_default().exemplars.push(exemplar.labels.clone());
        }
        metadata.extend(request.metadata);
    }
    (jobs, metadata)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_case_of_the_suite_is_sent_as_the_specification_asks() {
    let page = Page::start().await;
    let target = WriteTarget::start().await;
    let mut bodies = own_bodies();
    for row in rows() {
        let (name, body) = (field(&row, "name"), field(&row, "scrapeData"));
        if !body.is_empty() && !answers::CASES.contains(&name) {
            bodies.entry(name.to_owned()).or_insert_with(|| body.to_owned());
        }
    }
    let mut jobs = String::new();
    for (name, body) in &bodies {
        let body = if body.ends_with('\n') { body.clone() } else { format!("{body}\n") };
        if body.contains(" # {") {
            page.set(&format!("/{name}"), OPENMETRICS, format!("{body}# EOF\n").into_bytes());
        } else {
            page.set(&format!("/{name}"), TEXT, body.into_bytes());
        }
        jobs.push_str(&format!(
            "  - {{job_name: {name}, metrics_path: /{name}, static_configs: [{{targets: ['{}']}}]}}\n",
            page.address
        ));
    }
    let endpoint = |path: &str, message: &str| {
        format!(
            "  - {{url: 'http://{}/{path}', name: {path}, protobuf_message: {message}, send_exemplars: true, \
             queue_config: {{batch_send_deadline: 100ms}}, metadata_config: {{send_interval: 500ms}}}}\n",
            target.address
        )
    };
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{jobs}remote_write:\n{}{}",
        endpoint("one", "prometheus.WriteRequest"),
        endpoint("two", "io.prometheus.write.v2.Request")
    );
    let service = Service::start(Setup::new(config)).await;
    for path in ["/one", "/two"] {
        within(std::time::Duration::from_secs(60), "all jobs arrive", async || {
            let (jobs, metadata) = arrived(&target, path);
            // Each has been scraped twice at least, or has failed to be.
            (bodies.keys().all(|name| jobs.contains_key(name)) && metadata.contains_key("documented_total")).then_some(())
        })
        .await;
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        let (jobs, metadata) = arrived(&target, path);
        look(&service, &bodies, &jobs).await;
        let said = Metadata { kind: MetricType::Counter, ..metadata["documented_total"].clone() };
        assert_eq!(metadata["documented_total"], said);
        assert!(!said.help.is_empty(), "{path}: {said:?}");
    }
    let unknown: Vec<String> = rows()
        .iter()
        .map(|row| field(row, "name").to_owned())
        .filter(|name| !bodies.contains_key(name) && !answers::CASES.contains(&name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "cases without a test: {unknown:?}");
}

/// Holds what arrived against what is in our own store.
async fn look(service: &Service, bodies: &BTreeMap<String, String>, jobs: &BTreeMap<String, Arrived>) {
    for name in bodies.keys() {
        let arrived = &jobs[name];
        let here = service.query(&format!("{{job=\"{name}\", __name__!~\"scrape_.*\"}}")).await;
        for series in here {
            let labels = LabelSet::from_pairs(
                series["metric"].as_object().expect("labels").iter().map(|(name, value)| (name, value.as_str().expect("a text"))),
            );
            let found = arrived.values.get(&labels).unwrap_or_else(|| panic!("{name}: {labels} did not arrive"));
            let Sample::Float(value) = found.1 else { panic!("{name}: {labels} is a histogram") };
            let own: f64 = series["value"][1].as_str().expect("a text").parse().expect("a number");
            assert!(value.to_bits() == own.to_bits() || value.is_nan() && own.is_nan(), "{name}: {labels}: {value} for {own}");
            assert!(found.0 > 0 || name == "zero_timestamp", "milliseconds since the epoch: {}", found.0);
        }
    }
    let exemplars = |name: &str| &jobs[name].exemplars;
    assert!(exemplars("exemplar_on_histogram").iter().any(|labels| labels.get("trace_id") == "hist123"));
    let special: Vec<f64> = jobs["special_float_combinations"]
        .values
        .iter()
        .filter(|(labels, _)| labels.has("t") || labels.has("type"))
        .map(|(_, (_, value))| if let Sample::Float(value) = value { *value } else { 0.5 })
        .collect();
    assert!(special.iter().any(|value| value.is_nan()) && special.contains(&f64::NEG_INFINITY), "{special:?}");
    assert!(jobs["many_timeseries"].values.len() >= 1_000);
}
