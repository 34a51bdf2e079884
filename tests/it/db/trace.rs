//! The trace of decisions: read by what is asked, kept within its bounds.

use std::collections::BTreeMap;

use tocsin::db::{Db, trace::write};
use tocsin_core::model::LabelSet;
use tocsin_core::route::dispatch::group::GroupId;
use tocsin_core::route::tree::{GroupBy, Route, Routing};
use tocsin_core::time::{Span, Timestamp};
use tocsin_core::trace::{ALERTS, AlertStep, Entry, Flush, OPENED, ROUTES, Routes, TraceChange, What, subject};

use super::{Place, at};

fn step(name: &str, seconds: i64) -> AlertStep {
    let labels = LabelSet::from_pairs([("alertname", name)]);
    AlertStep { at: at(seconds), labels, own: None, source: "api".to_owned(), what: What::Ended }
}

fn alerts(number: i64, names: &[&str], seconds: i64) -> TraceChange {
    let steps = names.iter().map(|name| step(name, seconds)).collect();
    TraceChange::Add { number, at: at(seconds), entry: Entry::Alerts(steps) }
}

fn flush(number: i64, receiver: &str, seconds: i64) -> TraceChange {
    let flush = Flush {
        group: group(receiver),
        labels: LabelSet::empty(),
        shown: [LabelSet::empty().fingerprint()].into(),
        ended: [].into(),
        held: vec![],
        intervals: vec![],
        said: vec![],
        page: None,
        interval: None,
    };
    TraceChange::Add { number, at: at(seconds), entry: Entry::Flush(Box::new(flush)) }
}

fn group(receiver: &str) -> GroupId {
    GroupId { key: "{}:{}".to_owned(), receiver: receiver.to_owned() }
}

fn routes(number: i64, receiver: &str, seconds: i64) -> TraceChange {
    let root = Route {
        receiver: receiver.to_owned(),
        matchers: vec![],
        group_by: GroupBy::All,
        continues: false,
        group_wait: Span::ZERO,
        group_interval: Span::ZERO,
        repeat_interval: Span::ZERO,
        mute_time_intervals: vec![],
        active_time_intervals: vec![],
        routes: vec![],
    };
    let (receivers, time_intervals) = (BTreeMap::new(), BTreeMap::new());
    let routing = Routing {
        root,
        receivers,
        inhibitions: vec![],
        time_intervals,
        resolve_timeout: Span::ZERO,
        flapping: None,
        silencing: tocsin_core::route::silence::Silencing::default(),
    };
    TraceChange::Add { number, at: at(seconds), entry: Entry::Routes(Box::new(Routes::new(&routing))) }
}

async fn put(db: &Db, changes: &[TraceChange]) {
    db.apply(&changes.iter().map(write).collect::<Vec<_>>()).await.unwrap();
}

async fn numbers(db: &Db, subject: &str, name: &str, from: i64, to: i64) -> Vec<i64> {
    let records = db.trace(subject, name, at(from), at(to)).await.unwrap();
    records.iter().map(|record| record.number).collect()
}

pub async fn what_was_decided_is_found_by_alert_and_by_group(place: Place) {
    let db = place.open().await;
    assert_eq!(db.trace_mark().await.unwrap().number, 0);
    let lasted = TraceChange::Lasted { number: 4, until: at(90), times: 7 };
    put(&db, &[routes(1, "team", 0), alerts(2, &["Slow", "Down"], 10), alerts(3, &["Downhill", "100%_sure!"], 20)]).await;
    put(&db, &[flush(4, "team", 30), flush(5, "other", 40), alerts(6, &["Down"], 50), lasted]).await;
    // What got no answer is written again.
    put(&db, &[alerts(6, &["Down"], 50)]).await;
    assert_eq!(numbers(&db, ALERTS, "Down", 0, 100).await, [2, 6]);
    assert_eq!(numbers(&db, ALERTS, "Down", 11, 49).await, Vec::<i64>::new());
    assert_eq!(numbers(&db, ALERTS, "", 0, 30).await, [2, 3]);
    for (name, found) in [("100%_sure!", vec![3]), ("100%", vec![]), ("%", vec![]), ("10____sure!", vec![])] {
        assert_eq!(numbers(&db, ALERTS, name, 0, 100).await, found, "{name}");
    }
    // A record is found as long as it held.
    assert_eq!(numbers(&db, &subject(&group("team")), "", 60, 70).await, [4]);
    assert_eq!(numbers(&db, &subject(&group("other")), "", 60, 70).await, Vec::<i64>::new());
    let record = &db.trace(&subject(&group("team")), "", at(0), at(100)).await.unwrap()[0];
    assert_eq!((record.at, record.until, record.times), (at(30), at(90), 7));
    let before = db.trace_before(ALERTS, "Down", at(50), 5).await.unwrap();
    assert_eq!(before.iter().map(|record| record.number).collect::<Vec<_>>(), [2]);
    let TraceChange::Add { entry: Entry::Routes(same), .. } = routes(1, "team", 0) else { panic!("routes are routes") };
    let mark = db.trace_mark().await.unwrap();
    assert_eq!((mark.number, mark.routes), (6, same.digest()));
}

pub async fn of_what_is_too_much_to_read_the_newest_is_read(place: Place) {
    let db = place.open().await;
    let big = |number: i64| {
        // Digits that no packing makes short.
        let mut state = number as u64 + 1;
        let text: String = (0..300_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                format!("{state:016x}")
            })
            .collect();
        let labels = LabelSet::from_pairs([("alertname", "Big"), ("text", &text)]);
        TraceChange::Add { number, at: at(number), entry: Entry::Alerts(vec![AlertStep { labels, ..step("Big", number) }]) }
    };
    for number in 1..=5 {
        put(&db, &[big(number)]).await;
    }
    let read = numbers(&db, ALERTS, "Big", 0, 100).await;
    assert!((1..5).contains(&read.len()) && read.last() == Some(&5), "{read:?}");
    assert!(read.is_sorted());
}

pub async fn the_trace_stays_within_its_age_and_its_size(place: Place) {
    let db = place.open().await;
    put(&db, &[routes(1, "team", 0)]).await;
    let opened = |number| TraceChange::Add { number, at: at(number), entry: Entry::Opened { started_at: at(number) } };
    put(&db, &(2..1002).map(opened).collect::<Vec<_>>()).await;
    put(&db, &[TraceChange::Lasted { number: 5, until: at(900), times: 2 }]).await;
    db.sweep_trace(at(800), i64::MAX).await.unwrap();
    // What held until later stays, and so do the routes, without which nothing can be told.
    let left = numbers(&db, OPENED, "", 0, 2000).await;
    assert_eq!((left.len(), left[0], left[1]), (203, 5, 800));
    assert_eq!(numbers(&db, ROUTES, "", 0, 2000).await, [1]);
    let bytes = db.trace_bytes().await.unwrap();
    db.sweep_trace(Timestamp::MIN, bytes).await.unwrap();
    assert_eq!(numbers(&db, OPENED, "", 0, 2000).await.len(), 203);
    db.sweep_trace(Timestamp::MIN, bytes - 1).await.unwrap();
    assert_eq!(numbers(&db, OPENED, "", 0, 2000).await, Vec::<i64>::new(), "it goes in steps");
    db.sweep_trace(Timestamp::MAX, 0).await.unwrap();
    assert_eq!(numbers(&db, ROUTES, "", 0, 2000).await, [1]);
}
