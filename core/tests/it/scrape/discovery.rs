//! Groups of addresses into targets.

use tocsin_core::scrape::media::accept_header;
use tocsin_core::scrape::target::too_many;

use super::*;

#[track_caller]
fn check(job: &Job, groups: &[TargetGroup], expected: &[&str]) {
    let shown: Vec<String> = targets(job, groups)
        .iter()
        .map(|found| match found {
            Found::Target(target) => {
                format!("{} {} every {} within {}", target.url, target.labels, target.interval, target.timeout)
            }
            Found::Dropped { discovered } => format!("dropped {}", discovered.get("__address__")),
            Found::Bad { discovered, reason } => format!("bad {}: {reason}", discovered.get("__address__")),
        })
        .collect();
    assert_eq!(shown, expected);
}

#[test]
fn addresses_become_targets_with_defaults() {
    check(
        &job(),
        &[
            group(&["a:1", "b", "a:1"], &[("zone", "x"), ("__meta_rack", "7"), ("__tmp_x", "y")]),
            group(&["c:443"], &[("job", "own")]),
        ],
        &[
            r#"http://a:1/metrics {instance="a:1", job="demo", zone="x"} every 15s within 10s"#,
            r#"http://b/metrics {instance="b", job="demo", zone="x"} every 15s within 10s"#,
            r#"http://c:443/metrics {instance="c:443", job="own"} every 15s within 10s"#,
        ],
    );
    let Some(Found::Target(target)) = targets(&job(), &[group(&["a:1"], &[("__meta_rack", "7")])]).into_iter().next() else {
        panic!()
    };
    assert_eq!(
        target.discovered.to_string(),
        r#"{__address__="a:1", __meta_rack="7", __metrics_path__="/metrics", __scheme__="http", __scrape_interval__="15s", __scrape_timeout__="10s", job="demo"}"#
    );
}

#[test]
fn rules_steer_the_probe() {
    let mut job = job();
    job.metrics_path = "/probe".to_owned();
    job.params = BTreeMap::from([("module".to_owned(), vec!["http_2xx".to_owned(), "more".to_owned()])]);
    job.relabel = vec![
        rule(Action::Drop, &["__address__"], "skip.*", "", ""),
        rule(Action::Replace, &["__address__"], "(.*)", "__param_target", "$1"),
        rule(Action::Replace, &["__param_target"], "(.*)", "instance", "$1"),
        rule(Action::Replace, &[], "(.*)", "__address__", "exporter:9115"),
        rule(Action::Replace, &["__meta_slow"], "yes", "__scrape_interval__", "1m"),
        rule(Action::LabelMap, &[], "__meta_(slow)", "", "$1"),
    ];
    check(
        &job,
        &[group(&["one", "skip-me"], &[]), group(&["two"], &[("__meta_slow", "yes"), ("__param_module", "tcp")])],
        &[
            r#"http://exporter:9115/probe?module=http_2xx&module=more&target=one {instance="one", job="demo"} every 15s within 10s"#,
            "dropped skip-me",
            r#"http://exporter:9115/probe?module=tcp&module=more&target=two {instance="two", job="demo", slow="yes"} every 1m within 10s"#,
        ],
    );
}

#[test]
fn bad_targets_say_why() {
    check(
        &job(),
        &[
            group(&["", "http://x/", "a"], &[]),
            group(&["b"], &[("__scrape_interval__", "5s")]),
            group(&["c"], &[("__scrape_timeout__", "0")]),
            group(&["d"], &[("__scrape_interval__", "soon")]),
        ],
        &[
            "bad : instance 0 in group static: no address",
            "bad http://x/: instance 1 in group static: \"http://x/\" is not a valid hostname",
            r#"http://a/metrics {instance="a", job="demo"} every 15s within 10s"#,
            "bad b: instance 0 in group static: scrape timeout cannot be greater than scrape interval (\"10s\" > \"5s\")",
            "bad c: instance 0 in group static: scrape timeout cannot be 0",
            "bad d: instance 0 in group static: error parsing scrape interval: not a valid duration string: \"soon\"; write a number \
             and a unit (ms, s, m, h, d, w, y), largest unit first, such as 1h30m",
        ],
    );
}

#[test]
fn targets_are_spread_over_the_interval_and_keep_their_place() {
    let addresses: Vec<String> = (0..100).map(|n| format!("host-{n}:9100")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut quarters = [0; 4];
    for found in targets(&job(), &[group(&addresses, &[])]) {
        let Found::Target(target) = found else { panic!("{found:?}") };
        let offset = target.offset(7);
        assert!((0..15_000).contains(&offset.0));
        quarters[(offset.0 / 3_750) as usize] += 1;
        let due = target.next_due(Timestamp(1_700_000_000_000), 7);
        assert!(due.0 > 1_700_000_000_000 && due.0 <= 1_700_000_015_000 && due.0 % 15_000 == offset.0);
        assert_eq!(target.next_due(due, 7), due + Span::from_secs(15));
        assert_eq!(target.next_due(Timestamp(due.0 - 1), 7), due);
        let after = |millis: i64| target.due_after(due, due + Span(millis), 7).since(due).0 / 15_000;
        assert_eq!([after(-3), after(0), after(14_999), after(15_000)], [1, 1, 1, 2]);
        assert_eq!(after(-2 * 3600 * 1000), 1 - 480, "a clock that was stepped back leads");
    }
    assert!(quarters.iter().all(|count| *count > 10), "{quarters:?}");
}

#[test]
fn targets_are_asked_for_the_formats_of_the_job() {
    assert_eq!(
        accept_header(&job()),
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
         text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    );
    let text_only = Job { protocols: vec![Protocol::Text1, Protocol::Text0], classic_names_only: true, ..job() };
    assert_eq!(
        accept_header(&text_only),
        "text/plain;version=1.0.0;escaping=underscores;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4"
    );
    let native = Job { protocols: vec![Protocol::Protobuf, Protocol::OpenMetrics1], ..job() };
    assert_eq!(
        accept_header(&native),
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
         application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.4"
    );
}

#[test]
fn a_job_with_too_many_targets_says_so() {
    let mut job = job();
    job.relabel = vec![rule(Action::Drop, &["__address__"], "c", "", "")];
    job.limits.targets = 2;
    assert_eq!(too_many(&job, &targets(&job, &[group(&["a", "b", "c"], &[])])), None);
    let found = targets(&job, &[group(&["a", "b", "c", "d"], &[])]);
    assert_eq!(too_many(&job, &found).as_deref(), Some("target_limit exceeded (number of targets: 3, limit: 2)"));
}
