//! The parser of what targets serve, against bodies and verdicts of other projects.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tocsin_core::model::LabelSet;
use tocsin_core::model::exposition::{Entry, Format, Line, MetricType, ParseError, Parser, decode_series};

use crate::corpora;

pub mod mutation;
mod protobuf;
mod second_opinion;

/// Reads a table of JSON lines. Bytes that are not UTF-8 stand there as lone surrogates and arrive as U+E080 to U+E0FF.
pub fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap().replace("\\udc", "\\ue0");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the bytes that a text of a table stands for.
pub fn table_bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for c in text.chars() {
        match c {
            '\u{e080}'..='\u{e0ff}' => out.push(c as u32 as u8),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

/// Reads a body to its end: its samples, or the error.
pub fn samples(body: &[u8], format: Format) -> Result<Vec<(LabelSet, Line<'_>)>, ParseError> {
    samples_as(body, format, |kind| kind)
}

/// As `samples`; `kind_of` says as what type of metric labels are read, since the type decides how bounds are written.
fn samples_as(
    body: &[u8],
    format: Format,
    kind_of: impl Fn(MetricType) -> MetricType,
) -> Result<Vec<(LabelSet, Line<'_>)>, ParseError> {
    let mut parser = Parser::new(body, format);
    let mut out = Vec::new();
    while let Some(entry) = parser.next() {
        if let Entry::Sample(line) = entry? {
            let mut labels = Vec::new();
            decode_series(line.series, kind_of(parser.kind()), &mut labels).unwrap();
            out.push((LabelSet::from_pairs(labels), line));
        }
    }
    Ok(out)
}

fn format_of(path: &Path) -> Format {
    if path.to_string_lossy().contains(".om.") { Format::OpenMetrics } else { Format::Text }
}

fn check_table(name: &str, format: Format) {
    let Some(path) = corpora::path(&format!("go-test-tables/{name}")) else { return };
    let (mut verdicts, mut wordings, mut failures) = (0, 0, Vec::new());
    for case in json_lines(&path) {
        let input = table_bytes(case["input"].as_str().unwrap());
        let expected = case["err"].as_str().filter(|error| !["", "EOF"].contains(error));
        let error = samples(&input, format).err();
        if error.is_some() != expected.is_some() {
            failures.push(format!("{:?}: {error:?} in place of {expected:?}", input.escape_ascii().to_string()));
            continue;
        }
        verdicts += 1;
        let same = error.as_ref().map(|error| error.message.as_str()) == expected;
        wordings += usize::from(same);
        if !same {
            println!("{name}: {error:?}\n  in place of {expected:?}");
        }
    }
    println!("{name}: {verdicts} verdicts, {wordings} in the same words");
    assert_eq!(failures, [""; 0]);
}

#[test]
fn verdicts_on_text_are_those_of_prometheus() {
    check_table("textformat-errors.jsonl", Format::Text);
}

#[test]
fn verdicts_on_openmetrics_are_those_of_prometheus() {
    check_table("openmetrics-errors.jsonl", Format::OpenMetrics);
}

#[test]
fn openmetrics_cases_end_as_in_prometheus() {
    let Some(folder) = corpora::path("openmetrics") else { return };
    let table = fs::read_to_string(folder.join("scrape-by-prometheus-3.5.3.tsv")).unwrap();
    let (mut cases, mut wordings, mut failures) = (0, 0, Vec::new());
    for row in table.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = row.split('\t').collect();
        let (case, health, expected) = (fields[0], fields[2], fields.get(3).copied().unwrap_or_default());
        // Equal names of labels are found when the labels are put together, not by the parser.
        if expected.contains("is not unique") {
            continue;
        }
        let body = fs::read(folder.join("parsers").join(case).join("metrics")).unwrap();
        let error = samples(&body, Format::OpenMetrics).err();
        cases += 1;
        if error.is_some() != (health == "down") {
            failures.push(format!("{case}: {error:?} in place of {health} {expected}"));
            continue;
        }
        wordings += usize::from(error.is_none_or(|error| error.message == expected));
    }
    println!("openmetrics: {cases} cases, {wordings} in the same words");
    assert_eq!(failures, [""; 0]);
}

#[test]
fn openmetrics_cases_bring_the_samples_that_python_reads() {
    let Some(folder) = corpora::path("openmetrics") else { return };
    let (mut cases, mut failures) = (0, Vec::new());
    for case in json_lines(&folder.join("expected-by-client-python.jsonl")) {
        let name = case["case"].as_str().unwrap();
        // Python counts nanoseconds and keeps the first of samples that share a second; that is no matter of the format.
        if name.starts_with("duplicate_timestamps") {
            continue;
        }
        let mut expected = Vec::new();
        for family in case["families"].as_array().unwrap() {
            for sample in family["samples"].as_array().unwrap() {
                let labels: BTreeMap<String, String> = serde_json::from_value(sample[1].clone()).unwrap();
                let labels = LabelSet::from_pairs(labels).builder().set("__name__", sample[0].as_str().unwrap()).build();
                let value: f64 = sample[2].as_str().unwrap().parse().unwrap();
                let at = sample[3].as_str().map(|seconds| (seconds.parse::<f64>().unwrap() * 1000.0) as i64);
                let exemplar = sample[4][1].as_str().map(|value| value.parse::<f64>().unwrap());
                expected.push(format!("{labels} {value:?} {at:?} {exemplar:?}"));
            }
        }
        let body = fs::read(folder.join("parsers").join(name).join("metrics")).unwrap();
        let read: Vec<String> = samples_as(&body, Format::OpenMetrics, |_| MetricType::Unknown)
            .unwrap()
            .iter()
            .map(|(labels, line)| {
                let exemplar = line.exemplar.as_ref().map(|exemplar| exemplar.value);
                format!("{labels} {:?} {:?} {exemplar:?}", line.value, line.at.map(|at| at.0))
            })
            .collect();
        cases += 1;
        let sorted = |mut list: Vec<String>| {
            list.sort();
            list
        };
        if sorted(read.clone()) != sorted(expected.clone()) {
            failures.push(format!("{name}: {read:#?} in place of {expected:#?}"));
        }
    }
    println!("openmetrics: samples of {cases} cases");
    assert_eq!(failures, [""; 0]);
}

#[test]
fn seeds_of_the_go_fuzzer_get_their_verdicts() {
    let Some(folder) = corpora::path("prometheus-common/expfmt-fuzz") else { return };
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let body = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let result = samples(&body, Format::Text);
        println!("{name}: {:?}", result.as_ref().map(Vec::len));
        if name.contains("parse_error") {
            // What expfmt refuses, Prometheus' own parser may accept: the verdicts of the latter hold.
            if let Err(error) = result {
                assert!(error.line >= 1 && !error.message.is_empty(), "{name}");
            }
        } else {
            result.unwrap();
        }
    }
}

#[test]
fn recorded_bodies_bring_their_samples() {
    let Some(folder) = corpora::path("expositions") else { return };
    let table = fs::read_to_string(folder.join("expected.tsv")).unwrap();
    let mut total = 0;
    for row in table.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = row.split('\t').collect();
        let path = folder.join(fields[0]);
        let (Ok(expected), true) = (fields[2].parse::<usize>(), path.exists()) else { continue };
        let body = fs::read(&path).unwrap();
        let read = samples(&body, format_of(&path)).unwrap();
        assert_eq!(read.len(), expected, "{}", path.display());
        total += read.len();
    }
    println!("recorded: {total} samples");
}

#[test]
fn dumps_of_other_projects_are_read_to_the_end() {
    for folder in ["node-exporter/e2e", "prometheus/textparse", "prometheus-common/expfmt-testdata"] {
        let Some(folder) = corpora::path(folder) else { return };
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.ends_with(".txt") && name != "text" {
                continue;
            }
            let body = fs::read(&path).unwrap();
            let read = samples(&body, format_of(&path)).unwrap_or_else(|error| panic!("{name}: {error}"));
            let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count();
            assert_eq!(read.len(), lines, "{name}");
        }
    }
}
