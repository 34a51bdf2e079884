//! The cases of the suite for receivers of 2.0, by their names.

use std::fs;

use serde_json::{Value, json};
use tocsin::clock;

use super::receiver::start;
use crate::harness::corpora;
use crate::harness::protobuf::{Message, side};
use crate::harness::service::Service;
use crate::harness::writes::{Series, send};

/// What the specification asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Written, and all of it.
    Taken,
    /// Refused with 400, so that it is not sent again.
    Refused,
}

use Expected::{Refused, Taken};

struct Case {
    name: &'static str,
    series: Vec<Series>,
    expected: Expected,
}

fn named(name: &str) -> Series {
    Series::new(&[("__name__", name), ("job", "compliance")])
}

fn whole(at: i64, count: u64) -> Message {
    Message::new().integer(1, count).double(3, 4.5).signed(4, 0).double(5, 0.001).integer(15, at as u64)
}

/// Returns all cases; each has series of its own.
fn cases(now: i64) -> Vec<Case> {
    let exemplar = |name: &str, labels: &[(&str, &str)]| named(name).sample(now, 1.0).exemplar(labels, 0.5, now);
    let case = |name, series: Vec<Series>, expected| Case { name, series, expected };
    let both = side(side(whole(now, 9).integer(6, 1), 8, &[(0, 2), (1, 1)]), 11, &[(0, 2), (2, 3)]);
    let custom = Message::new().integer(1, 3).double(3, 2.0).signed(4, -53).integer(15, now as u64);
    let custom = side(custom, 11, &[(0, 1), (1, 2)]).packed_doubles(16, &[0.1, 1.0, 10.0]);
    let meta = |name: &str, kind, help: &str, unit: &str| vec![named(name).sample(now, 1.0).metadata(kind, help, unit)];
    vec![
        // Every series must have a sample or a histogram.
        case("metadata_without_data", vec![named("m_alone").metadata(1, "help", "")], Refused),
        case("exemplars_without_data", vec![named("e_alone").exemplar(&[("trace_id", "a")], 1.0, now)], Refused),
        case("basic_exemplar", vec![exemplar("e1", &[("trace_id", "abc123")])], Taken),
        case("exemplar_with_span_id", vec![exemplar("e2", &[("span_id", "def"), ("trace_id", "abc")])], Taken),
        case("exemplar_without_trace_id", vec![exemplar("e3", &[("user_id", "u1")])], Taken),
        case("exemplar_with_multiple_labels", vec![exemplar("e4", &[("a", "1"), ("b", "2"), ("c", "3")])], Taken),
        case("exemplar_no_labels", vec![exemplar("e5", &[])], Taken),
        case("exemplar_with_special_chars", vec![exemplar("e6", &[("path", "/a?b=c&d=\"é\"\n")])], Taken),
        case(
            "exemplar_without_name_label",
            vec![Series::new(&[("job", "x")]).sample(now, 1.0).exemplar(&[("trace_id", "a")], 1.0, now)],
            Refused,
        ),
        case("exemplar_with_valid_name", vec![exemplar("e7", &[("trace_id", "a")])], Taken),
        case("basic_histogram", vec![named("h1").histogram(both)], Taken),
        case("custom_buckets_histogram", vec![named("h2").histogram(custom)], Taken),
        case("negative_only_histogram", vec![named("h3").histogram(side(whole(now, 3), 8, &[(0, 1), (1, 2)]))], Taken),
        case("minimal_histogram", vec![named("h4").histogram(whole(now, 5).integer(6, 5))], Taken),
        case("counter_metadata", meta("m1_total", 1, "Requests", "requests"), Taken),
        case("gauge_metadata", meta("m2", 2, "Heat", "celsius"), Taken),
        case("histogram_metadata", vec![named("m3").histogram(whole(now, 0)).metadata(3, "Latency", "seconds")], Taken),
        case("metadata_no_help_no_unit", meta("m4", 2, "", ""), Taken),
        case("metadata_with_special_chars", meta("m5", 1, "a \"b\" \\ \n é", ""), Taken),
        case("info_metadata_type", meta("m6_info", 6, "Build", ""), Taken),
        case("stateset_metadata_type", meta("m7", 7, "States", ""), Taken),
        case("summary_metadata_type", meta("m8", 5, "Durations", "seconds"), Taken),
        case("gauge_histogram_metadata_type", meta("m9", 4, "Queue", ""), Taken),
        case("metadata_without_name_label", vec![Series::new(&[("job", "x")]).sample(now, 1.0).metadata(1, "help", "")], Refused),
        case("simple metric", vec![named("s1").sample(now, 1.0)], Taken),
        case(
            "simple metric with newlines",
            vec![Series::new(&[("__name__", "up"), ("instance", "localhost:9090"), ("job", "test\njob\n")]).sample(now, 1.0)],
            Taken,
        ),
        case(
            "simple metric with dots",
            vec![
                Series::new(&[("__name__", "resource.cpu.usage"), ("instance.name", "localhost:9090"), ("job.name", "testjob")])
                    .sample(now, 1.0),
            ],
            Taken,
        ),
        case(
            "simple metric without name label",
            vec![Series::new(&[("instance", "localhost:9090"), ("job", "testjob")]).sample(now, 1.0)],
            Refused,
        ),
        case("empty metric", vec![Series::new(&[]).sample(now, 1.0)], Refused),
        case(
            "multiple metrics, without name label",
            vec![Series::new(&[("a", "1")]).sample(now, 1.0), Series::new(&[("b", "1")]).sample(now, 1.0)],
            Refused,
        ),
        case(
            "multiple metrics, 1 without name label",
            vec![named("good_beside").sample(now, 1.0), Series::new(&[("b", "1")]).sample(now, 1.0)],
            Refused,
        ),
    ]
}

/// Returns how many samples, histograms and exemplars of good series a case has.
fn good(case: &Case) -> [u64; 3] {
    let has_name = |series: &&Series| series.labels.iter().any(|(name, _)| name == "__name__");
    let has_data = |series: &&Series| !series.samples.is_empty() || !series.histograms.is_empty();
    let mut counts = [0; 3];
    for series in case.series.iter().filter(has_name).filter(has_data) {
        counts[0] += series.samples.len() as u64;
        counts[1] += series.histograms.len() as u64;
        counts[2] += series.exemplars.len() as u64;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_of_the_suite_is_answered_as_the_specification_asks() {
    let service = start().await;
    let now = clock::now().0;
    for case in cases(now) {
        let said = send(&service, true, &case.series).await;
        let status = if case.expected == Taken { 204 } else { 400 };
        assert_eq!((said.status, said.written), (status, Some(good(&case))), "{}: {said:?}", case.name);
        assert_eq!(said.text.is_empty(), case.expected == Taken, "{}: {said:?}", case.name);
    }
    look(&service, now).await;
    let Some(path) = corpora("go-test-tables/remote-write-receiver.jsonl") else { return };
    let (mut missing, all) = (Vec::new(), cases(now));
    for line in fs::read_to_string(path).expect("a file").lines() {
        let row: Value = serde_json::from_str(line).expect("JSON");
        let name = row["name"].as_str().expect("a name");
        match (all.iter().find(|case| case.name == name), row["success"].as_bool()) {
            (None, _) => missing.push(format!("{name}: no test")),
            (Some(case), Some(success)) if (case.expected == Taken) != success => missing.push(format!("{name}: {success}")),
            _ => {}
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Asks for what was written.
async fn look(service: &Service, now: i64) {
    assert_eq!(service.value("up{job=\"test\\njob\\n\"}").await, Some(1.0));
    assert_eq!(service.value("{\"resource.cpu.usage\", \"job.name\"=\"testjob\"}").await, Some(1.0));
    assert_eq!(service.value("good_beside").await, Some(1.0), "what stands beside a bad series is written");
    assert_eq!(service.value("histogram_count(h1)").await, Some(9.0));
    assert_eq!(service.value("histogram_count(h2)").await, Some(3.0));
    let metadata = service.get("/api/v1/metadata").await;
    for (name, said) in [
        ("m1_total", json!({ "type": "counter", "help": "Requests", "unit": "requests" })),
        ("m3", json!({ "type": "histogram", "help": "Latency", "unit": "seconds" })),
        ("m5", json!({ "type": "counter", "help": "a \"b\" \\ \n é", "unit": "" })),
        ("m7", json!({ "type": "stateset", "help": "States", "unit": "" })),
    ] {
        assert_eq!(metadata["data"][name][0], said, "{name}");
    }
    let path = format!("/api/v1/query_exemplars?query=e6&start={}&end={}", now / 1000 - 60, now / 1000 + 60);
    let exemplars = service.get(&path).await;
    assert_eq!(exemplars["data"][0]["exemplars"][0]["labels"], json!({ "path": "/a?b=c&d=\"é\"\n" }), "{exemplars}");
}
