//! Recorded bodies through the whole path.

use std::fs;

use super::*;
use crate::corpora;
use crate::exposition::{json_lines, table_bytes};

#[test]
fn every_openmetrics_case_ends_as_in_prometheus() {
    let Some(folder) = corpora::path("openmetrics") else { return };
    let table = fs::read_to_string(folder.join("scrape-by-prometheus-3.5.3.tsv")).unwrap();
    let (mut cases, mut failures) = (0, Vec::new());
    for row in table.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = row.split('\t').collect();
        let body = fs::read(folder.join("parsers").join(fields[0]).join("metrics")).unwrap();
        let mut story = Story::new(job());
        story.content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        story.now = Timestamp(1_795_000_000_000);
        let error = story.scraped(&body).report.error;
        cases += 1;
        if error.is_some() != (fields[2] == "down") {
            failures.push(format!("{}: {error:?} in place of {} {:?}", fields[0], fields[2], fields.get(3)));
        }
    }
    println!("openmetrics: health after {cases} scrapes");
    assert_eq!(failures, [""; 0]);
}

#[test]
fn recorded_bodies_are_known_the_second_time() {
    let Some(folder) = corpora::path("expositions") else { return };
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".prom.txt") {
            continue;
        }
        let body = fs::read(&path).unwrap();
        let mut story = Story::new(Job { honor_labels: true, track_timestamps_staleness: true, ..job() });
        story.now = Timestamp(1_796_000_000_000);
        let first = story.scraped(&body);
        assert_eq!(first.report.error, None, "{name}");
        let resolved = story.resolved;
        let second = story.scraped(&body);
        assert_eq!((second.report.series_added, second.report.ended, story.resolved), (0, 0, resolved), "{name}");
        assert_eq!(first.row.cells.len(), second.row.cells.len(), "{name}");
        let third = story.scraped(&body[..0]);
        assert!(third.report.error.is_none() && third.row.cells.len() > 5, "{name}");
    }
}

#[test]
fn names_are_valid_where_they_are_in_prometheus() {
    for (table, key, before, behind) in
        [("metric-names.jsonl", "mn", "{\"", "\"} 1\n"), ("label-names.jsonl", "ln", "{\"m\",\"", "\"=\"x\"} 1\n")]
    {
        let Some(path) = corpora::path(&format!("go-test-tables/{table}")) else { return };
        let mut cases = 0;
        for case in json_lines(&path) {
            let name = table_bytes(case[key].as_str().unwrap());
            let body = [before.as_bytes(), &name, behind.as_bytes()].concat();
            for (classic_names_only, verdict) in [(true, "legacyValid"), (false, "utf8Valid")] {
                let error = Story::new(Job { classic_names_only, ..job() }).scraped(&body).report.error;
                assert_eq!(error.is_none(), case[verdict].as_bool().unwrap(), "{case}: {error:?}");
            }
            cases += 1;
        }
        println!("{table}: {cases} cases");
    }
}
