//! Tests of the whole room.

use std::collections::BTreeMap;

use serde_json::json;

use super::answer::AnswerError;
use super::digest::Challenge;
use super::pace::Pace;
use super::*;
use crate::model::MatchOp;
use crate::time::Timestamp;

const PROJECT: &str = "0123456789abcdef01234567";

fn source() -> Source {
    let secret = || Secret::Inline("x".to_owned());
    Source {
        job: "atlas".to_owned(),
        projects: vec![PROJECT.to_owned()],
        access: Access::ApiKey { public_key: secret(), private_key: secret() },
        interval: Span::from_mins(1),
        timeout: Span::from_mins(1),
        reach: Reach { window: Span::from_mins(15), catch_up: Span::from_mins(180) },
        discovery_interval: Span::from_mins(10),
        granularity: Granularity::Minute,
        resource_version: "2023-01-01".to_owned(),
        levels: BTreeMap::from([
            (Level::Process, vec!["CONNECTIONS".to_owned(), "OPCOUNTER_QUERY".to_owned()]),
            (Level::Disk, Vec::new()),
        ]),
        processes: Vec::new(),
        requests_per_minute: 90,
        labels: LabelSet::empty(),
        base_url: "https://cloud.mongodb.com".to_owned(),
        client: HttpClient::default(),
    }
}

fn process(id: &str) -> Process {
    Process {
        id: id.to_owned(),
        alias: format!("alias-{id}"),
        replica_set: "rs0".to_owned(),
        kind: "REPLICA_PRIMARY".to_owned(),
        version: "8.0.4".to_owned(),
    }
}

fn common() -> LabelSet {
    LabelSet::from_pairs([("job", "atlas"), ("project_id", PROJECT)])
}

#[test]
fn paths_are_those_of_the_api() {
    let (source, host) = (source(), process("host.mongodb.net:27017"));
    let base = format!("/api/atlas/v2/groups/{PROJECT}/processes");
    assert_eq!(plan::list(PROJECT, None, 2), format!("{base}?itemsPerPage=500&pageNum=2"));
    assert_eq!(
        plan::list(PROJECT, Some((&host, Level::Disk)), 1),
        format!("{base}/host.mongodb.net:27017/disks?itemsPerPage=500&pageNum=1")
    );
    let path = |level, part: &str, back| {
        plan::measurements(&source, PROJECT, &Subject { process: host.clone(), level, part: part.to_owned() }, back)
    };
    assert_eq!(
        path(Level::Process, "", Span::from_mins(15)),
        format!("{base}/host.mongodb.net:27017/measurements?granularity=PT1M&period=PT15M&m=CONNECTIONS&m=OPCOUNTER_QUERY")
    );
    assert_eq!(
        path(Level::Disk, "/dev/nvme 1", Span::from_secs(61)),
        format!("{base}/host.mongodb.net:27017/disks/%2Fdev%2Fnvme%201/measurements?granularity=PT1M&period=PT2M")
    );
}

#[test]
fn subjects_are_the_wanted_parts_of_the_wanted_processes() {
    let mut source = source();
    let parts = |process: &Process, _| if process.id == "b" { vec!["data".to_owned(), "log".to_owned()] } else { Vec::new() };
    let shown = |source: &Source| -> Vec<String> {
        plan::subjects(source, &[process("a"), process("b")], &parts)
            .iter()
            .map(|subject| format!("{} {} {}", subject.process.id, subject.level.word(), subject.part))
            .collect()
    };
    assert_eq!(shown(&source), ["a processes ", "b processes ", "b disks data", "b disks log"]);
    source.processes = vec![Matcher::new("process", MatchOp::Regex, "alias-a|c").unwrap()];
    assert_eq!(shown(&source), ["a processes "]);
}

#[test]
fn measurements_become_series_in_base_units_and_nulls_are_left_out() {
    let body = json!({ "granularity": "PT1M", "measurements": [
        { "name": "CONNECTIONS", "units": "SCALAR", "dataPoints": [
            { "timestamp": "2026-11-21T10:01:00Z", "value": 12.5 },
            { "timestamp": "2026-11-21T10:00:00Z", "value": 11 },
            { "timestamp": "2026-11-21T10:02:00Z", "value": null } ] },
        { "name": "OP_EXECUTION_TIME_READS", "units": "MILLISECONDS", "dataPoints": [{ "timestamp": "2026-11-21T10:00:00Z", "value": 250.0 }] },
        { "name": "EXTRA_INFO_PAGE_FAULTS", "units": "SCALAR_PER_SECOND", "dataPoints": [{ "timestamp": "2026-11-21T10:00:00Z", "value": null }] },
        { "name": "FANCY", "units": "FLOPS_PER_DAY", "dataPoints": [{ "timestamp": "2026-11-21T10:00:00Z", "value": 1 }] },
    ] });
    let subject = Subject { process: process("h:1"), level: Level::Process, part: String::new() };
    let series = answer::series(body.to_string().as_bytes(), &subject, &common()).unwrap();
    let shown: Vec<(&str, Vec<f64>)> =
        series.iter().map(|one| (one.labels.name(), one.floats.iter().map(|(_, value)| *value).collect())).collect();
    assert_eq!(
        shown,
        [
            ("mongodbatlas_processes_stats_connections", vec![11.0, 12.5]),
            ("mongodbatlas_processes_stats_op_execution_time_reads_seconds", vec![0.25]),
            ("mongodbatlas_processes_stats_fancy_flops_per_day", vec![1.0]),
        ]
    );
    assert_eq!(
        series[0].labels.to_string(),
        format!(
            "{{__name__=\"mongodbatlas_processes_stats_connections\", id=\"h:1\", job=\"atlas\", project_id=\"{PROJECT}\", rs_name=\"rs0\", \
             user_alias=\"alias-h:1\"}}"
        )
    );
    for (level, unit, label, name) in [
        (Level::Disk, "MEGABYTES", "partition_name", "mongodbatlas_disks_stats_x_bytes"),
        (Level::Database, "SCALAR", "database_name", "mongodbatlas_databases_stats_x"),
    ] {
        let (metric, factor) = name::metric(level, "X", unit);
        let labels = name::series(&Subject { process: process("h:1"), level, part: "p".to_owned() }, &metric, &common());
        assert_eq!((labels.name(), labels.get(label), factor > 1.0), (name, "p", level == Level::Disk));
    }
    assert_eq!(name::info(&process("h:1"), &common()).get("type"), "REPLICA_PRIMARY");
}

#[test]
fn answers_that_make_no_sense_are_refused() {
    let subject = Subject { process: process("h:1"), level: Level::Process, part: String::new() };
    let read = |body: &str| answer::series(body.as_bytes(), &subject, &common());
    assert!(matches!(read("<html>"), Err(AnswerError::Malformed { what: "measurements", .. })));
    let bad_time = json!({ "measurements": [{ "name": "X", "dataPoints": [{ "timestamp": "noon", "value": 1 }] }] }).to_string();
    assert_eq!(read(&bad_time).unwrap_err().to_string(), "the measurement X has a point at \"noon\", which is no time");
    assert!(answer::processes(b"{}").is_err() && answer::parts(b"{\"results\":[{}]}").is_err() && answer::token(b"{}").is_err());
    let (found, more) =
        answer::processes(json!({ "results": [{ "id": "h:1", "userAlias": "u" }] }).to_string().as_bytes()).unwrap();
    assert_eq!((found[0].alias.as_str(), more), ("u", false));
    let full: Vec<_> = (0..500).map(|n| json!({ "databaseName": n.to_string() })).collect();
    let (found, more) = answer::parts(json!({ "results": full }).to_string().as_bytes()).unwrap();
    assert_eq!((found.len(), more), (500, true));
    assert_eq!(answer::refusal(401, br#"{"detail":"no\nmore","errorCode":"UNAUTHORIZED"}"#), "HTTP 401: UNAUTHORIZED: no");
    assert_eq!(answer::refusal(502, b"<html>"), "HTTP 502");
}

#[test]
fn tokens_are_renewed_before_they_expire() {
    assert_eq!(answer::token(br#"{"access_token":"t","expires_in":3600}"#).unwrap(), ("t".to_owned(), Span::from_mins(60)));
    assert_eq!(answer::renewal(Timestamp(0), Span::from_mins(60)), Timestamp(55 * 60_000));
    assert_eq!(answer::renewal(Timestamp(0), Span::from_secs(10)), Timestamp(9_000));
}

#[test]
fn requests_keep_their_pace_with_a_small_burst() {
    // 60 a minute: one each second, ten at once after a pause.
    let (mut pace, mut now) = (Pace::new(60), Timestamp(1_000_000));
    let mut waits = Vec::new();
    for _ in 0..13 {
        let wait = pace.take(now);
        now = now + wait;
        waits.push(wait.0);
    }
    assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1_000, 1_000, 1_000]);
    now = now + Span::from_secs(2);
    assert_eq!([pace.take(now).0, pace.take(now).0, pace.take(now).0], [0, 0, 1_000], "a pause earns a burst again");
    assert_eq!(pace.take(now - Span::from_mins(60)), Span(1_000), "a clock that goes back does not stop us");
    let mut slow = Pace::new(1);
    assert_eq!([slow.take(now).0, slow.take(now).0], [0, 60_000]);
}

/// Source: RFC 7616, section 3.9.1.
#[test]
fn digests_are_those_of_the_standard() {
    let header = |algorithm: &str| {
        format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        )
    };
    for (algorithm, response) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
        let challenge = Challenge::parse(&header(algorithm)).unwrap();
        let own = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let answer = challenge.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", 1, own);
        assert!(answer.contains(&format!("response=\"{response}\"")), "{answer}");
        assert!(
            answer.contains("nc=00000001") && answer.contains(&format!("cnonce=\"{own}\"")) && answer.contains("opaque="),
            "{answer}"
        );
        assert_ne!(answer, challenge.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", 2, own));
    }
    let atlas =
        Challenge::parse("Digest realm=\"MMS Public API\", domain=\"\", nonce=\"n\", algorithm=MD5, qop=\"auth\", stale=true")
            .unwrap();
    assert!(atlas.stale);
    for other in [
        "Basic realm=\"x\"",
        "Digest realm=\"x\"",
        "Digest realm=\"x\", nonce=\"n\", qop=\"auth-int\"",
        "Digest nonce=\"n\", algorithm=MD5-sess, realm=\"x\"",
        "",
    ] {
        assert_eq!(Challenge::parse(other), None, "{other}");
    }
}
