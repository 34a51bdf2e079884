use super::*;
use crate::model::relabel::Action;

const NOW: Timestamp = Timestamp(1_000_000_000);

fn entry() -> Entry {
    Entry {
        scheme: "http".to_owned(),
        path_prefix: "/".to_owned(),
        timeout: Span::from_secs(10),
        client: HttpClient::default(),
        signing: None,
        static_groups: Vec::new(),
        file_sd: Vec::new(),
        http_sd: Vec::new(),
        relabel: Vec::new(),
        alert_relabel: Vec::new(),
    }
}

fn group(addresses: &[&str], labels: &[(&str, &str)]) -> TargetGroup {
    TargetGroup {
        addresses: addresses.iter().map(|one| (*one).to_owned()).collect(),
        labels: LabelSet::from_pairs(labels.iter().copied()),
        source: "static".to_owned(),
    }
}

fn rule(action: Action, source: &str, pattern: &str, target: &str, replacement: &str) -> RelabelRule {
    let rule = RelabelRule {
        source_labels: vec![source.to_owned()],
        target_label: target.to_owned(),
        replacement: replacement.to_owned(),
        ..RelabelRule::new(action)
    };
    rule.with_pattern(pattern).unwrap()
}

/// `b` number `n`, which began at `starts` seconds and fires for four more minutes, or is over.
fn report(n: usize, starts: i64, is_over: bool) -> Arc<Report> {
    let starts_at = NOW + Span::from_secs(starts);
    Arc::new(Report {
        labels: LabelSet::from_pairs([("alertname", "b"), ("n", &n.to_string())]),
        annotations: BTreeMap::new(),
        starts_at,
        ends_at: if is_over { starts_at + Span::from_secs(1) } else { starts_at + Span::from_mins(4) },
        is_over,
        generator_url: String::new(),
    })
}

fn posted(queue: &mut Queue, now: Timestamp) -> Vec<Arc<Report>> {
    match queue.next(now) {
        Step::Post(reports) => reports,
        other => panic!("{other:?}"),
    }
}

fn answered(status: u16) -> Verdict {
    Verdict::Answered { status, wish: None }
}

#[test]
fn addresses_become_urls_as_labels_and_rules_say() {
    let found = targets(&entry(), &[group(&["a:9093", "b:9093", "a:9093", "bad/path"], &[])]);
    assert_eq!(found.urls, ["http://a:9093/api/v2/alerts", "http://b:9093/api/v2/alerts"]);
    assert_eq!((found.dropped.len(), found.bad), (0, vec!["\"bad/path\" is not a valid hostname".to_owned()]));

    let prefixed = Entry { path_prefix: "am//x/".to_owned(), scheme: "https".to_owned(), ..entry() };
    let by_group = group(&["a:1"], &[("__scheme__", "http"), ("__alerts_path__", "own/path")]);
    let found = targets(&prefixed, &[group(&["a:1"], &[]), by_group]);
    assert_eq!(found.urls, ["https://a:1/am/x/api/v2/alerts", "http://a:1/own/path"]);

    let rules = vec![
        rule(Action::Drop, "zone", "far", "", "$1"),
        rule(Action::Replace, "zone", "(near)", "__alerts_path__", "/$1/api/v2/alerts"),
        rule(Action::Replace, "zone", "odd", "__scheme__", "ftp"),
    ];
    let relabelled = Entry { relabel: rules, ..entry() };
    let groups = [group(&["a:1"], &[("zone", "near")]), group(&["b:1"], &[("zone", "far")]), group(&["c:1"], &[("zone", "odd")])];
    let found = targets(&relabelled, &groups);
    assert_eq!(found.urls, ["http://a:1/near/api/v2/alerts"]);
    assert_eq!(found.dropped, ["http://b:1/api/v2/alerts"]);
    assert!(found.bad[0].contains("\"ftp\" of \"c:1\" is no scheme"), "{:?}", found.bad);

    let many: Vec<String> = (0..TARGETS_MAX + 2).map(|n| format!("host-{n}:9093")).collect();
    let found = targets(&entry(), &[TargetGroup { addresses: many, labels: LabelSet::empty(), source: String::new() }]);
    assert_eq!((found.urls.len(), found.bad.len()), (TARGETS_MAX, 2));
}

#[test]
fn an_entry_changes_or_drops_alerts_for_its_own() {
    let told = report(1, 0, false);
    assert!(Arc::ptr_eq(&entry().outward(&told).unwrap(), &told));
    let rules = vec![rule(Action::Drop, "n", "2", "", "$1"), rule(Action::LabelDrop, "", "n", "", "$1")];
    let own = Entry { alert_relabel: rules, ..entry() };
    assert_eq!(own.outward(&told).unwrap().labels, LabelSet::from_pairs([("alertname", "b")]));
    assert_eq!(own.outward(&report(2, 0, false)), None);
    assert!(!own.tells_like(&entry()));
    assert!(own.tells_like(&Entry { static_groups: vec![group(&["a"], &[])], path_prefix: "/x".to_owned(), ..own.clone() }));
}

#[test]
fn a_body_is_that_of_the_api() {
    let told = Report {
        annotations: BTreeMap::from([("summary".to_owned(), "\"down\"".to_owned())]),
        generator_url: "http://x/explore?expr=up".to_owned(),
        ..Report::clone(&report(1, 0, false))
    };
    let body: serde_json::Value = serde_json::from_slice(&body(&[Arc::new(told), report(2, 0, true)])).unwrap();
    assert_eq!(
        body,
        serde_json::json!([
            {
                "labels": { "alertname": "b", "n": "1" },
                "annotations": { "summary": "\"down\"" },
                "startsAt": NOW.rfc3339(),
                "endsAt": (NOW + Span::from_mins(4)).rfc3339(),
                "generatorURL": "http://x/explore?expr=up",
            },
            {
                "labels": { "alertname": "b", "n": "2" },
                "annotations": {},
                "startsAt": NOW.rfc3339(),
                "endsAt": (NOW + Span::from_secs(1)).rfc3339(),
            },
        ])
    );
}

#[test]
fn reports_go_out_in_order_and_in_batches() {
    let mut queue = Queue::default();
    assert_eq!(queue.next(NOW), Step::Rest);
    for n in 0..600 {
        assert_eq!(queue.put(report(n, 0, false)), 0);
    }
    let mut sizes = Vec::new();
    let mut all = Vec::new();
    while let Step::Post(reports) = queue.next(NOW) {
        sizes.push(reports.len());
        assert_eq!(queue.settle(answered(200), 0.0, NOW).sent, reports.len());
        all.extend(reports);
    }
    assert_eq!(sizes, [256, 256, 88]);
    assert!(all.iter().enumerate().all(|(n, one)| one.labels.get("n") == n.to_string()));
}

#[test]
fn a_failure_is_tried_again_with_longer_waits_and_newer_reports_take_the_place_of_older_ones() {
    let mut queue = Queue::default();
    queue.put(report(1, 0, false));
    queue.put(report(2, 0, false));
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..6 {
        assert_eq!(posted(&mut queue, now).len(), 2);
        let settled = queue.settle(Verdict::Lost, 0.0, now);
        assert_eq!((settled, queue.len()), (Settled { sent: 0, failed: 2, dropped: 0 }, 2));
        let Step::Wait(until) = queue.next(now) else { panic!("it may not be tried at once") };
        waits.push((until - now).0 / 1000);
        now = until;
    }
    assert_eq!((waits, queue.failures()), (vec![1, 2, 4, 8, 10, 10], 6));
    // The end of the first takes its place, the second begins anew and waits behind.
    queue.put(report(1, 0, true));
    queue.put(report(2, 30, false));
    let told = posted(&mut queue, now);
    let shown: Vec<(&str, bool, i64)> =
        told.iter().map(|one| (one.labels.get("n"), one.is_over, (one.starts_at - NOW).0 / 1000)).collect();
    assert_eq!(shown, [("1", true, 0), ("2", false, 0), ("2", false, 30)]);
    // What comes while a request is under way is newer than what is put back.
    queue.put(report(2, 30, true));
    queue.settle(answered(503), 1.0, now);
    assert_eq!(queue.next(now), Step::Wait(now + Span(7_500)));
    let order: Vec<bool> = queue.iter().map(|one| one.is_over).collect();
    assert_eq!(order, [true, false, true]);
    // A clock that is stepped back far does not hold it up.
    let told = posted(&mut queue, now - Span::from_mins(60));
    assert_eq!(told.len(), 3);
    queue.settle(answered(200), 0.0, now);
    assert_eq!((queue.next(now), queue.failures()), (Step::Rest, 0));
}

#[test]
fn answers_decide_what_is_tried_again() {
    let try_once = |verdict| {
        let mut queue = Queue::default();
        queue.put(report(1, 0, false));
        posted(&mut queue, NOW);
        let settled = queue.settle(verdict, 0.0, NOW);
        let wait = match queue.next(NOW) {
            Step::Wait(until) => Some((until - NOW).0 / 1000),
            Step::Rest => None,
            Step::Post(_) => Some(0),
        };
        (settled.dropped, wait)
    };
    assert_eq!(try_once(answered(202)), (0, None));
    for status in [400, 413, 415, 422] {
        assert_eq!(try_once(answered(status)), (1, None), "{status}: the same would be refused again");
    }
    for status in [408, 429, 500, 503] {
        assert_eq!(try_once(answered(status)), (0, Some(1)), "{status}");
    }
    for status in [301, 401, 403, 404] {
        assert_eq!(try_once(answered(status)), (0, Some(60)), "{status}: somebody has to mend that");
    }
    let wish = |seconds| Verdict::Answered { status: 429, wish: Some(Span::from_secs(seconds)) };
    assert_eq!((try_once(wish(20)), try_once(wish(3_600))), ((0, Some(20)), (0, Some(60))));
}

#[test]
fn a_request_that_is_too_long_is_halved() {
    let mut queue = Queue::default();
    for n in 0..5 {
        queue.put(report(n, 0, false));
    }
    let mut taken = Vec::new();
    while let Step::Post(reports) = queue.next(NOW) {
        let status = if reports.len() > 1 { 413 } else { 200 };
        if status == 200 {
            taken.push(reports[0].labels.get("n").to_owned());
        }
        queue.settle(answered(status), 0.0, NOW);
    }
    assert_eq!(taken, ["0", "1", "2", "3", "4"]);
}

#[test]
fn the_oldest_is_dropped_beyond_the_limit_and_what_is_no_news_is_forgotten() {
    let mut queue = Queue::default();
    let dropped: usize = (0..QUEUE_MAX + 3).map(|n| queue.put(report(n, 0, false))).sum();
    assert_eq!((dropped, queue.len()), (3, QUEUE_MAX));
    assert_eq!(queue.iter().next().unwrap().labels.get("n"), "3");
    // What is put back is older than all that has come.
    posted(&mut queue, NOW);
    for n in 0..BATCH_MAX {
        queue.put(report(n, 7, false));
    }
    assert_eq!(queue.settle(Verdict::Lost, 0.0, NOW).dropped, BATCH_MAX);
    assert_eq!(queue.len(), QUEUE_MAX);

    let mut queue = Queue::default();
    queue.put(report(1, 0, false));
    queue.put(report(2, 0, true));
    let after = |seconds| NOW + Span::from_secs(seconds);
    assert_eq!(queue.forget_outdated(after(239)), 0);
    assert_eq!(queue.forget_outdated(after(240)), 1, "nobody has said for four minutes that it fires");
    assert_eq!(queue.forget_outdated(after(901)), 0);
    assert_eq!(queue.forget_outdated(after(902)), 1, "an end is told for a quarter of an hour");
    assert!(queue.is_empty());
}

#[test]
fn what_was_under_way_when_work_broke_off_comes_first() {
    let mut queue = Queue::default();
    queue.put(report(1, 0, false));
    posted(&mut queue, NOW);
    queue.put(report(2, 0, false));
    assert_eq!(queue.resume(), 0);
    let told: Vec<String> = posted(&mut queue, NOW).iter().map(|one| one.labels.get("n").to_owned()).collect();
    assert_eq!(told, ["1", "2"]);
}
