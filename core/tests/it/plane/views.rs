//! What the plane shows, what it refuses, and what its records look like.

use std::collections::BTreeMap;

use tocsin_core::model::{LabelSet, Matcher};
use tocsin_core::plane::{Action, AlertState, Counts, Event, Limits, Plane, Records, Refused, Reply};
use tocsin_core::route::alert::{BadAlert, IncomingAlert};
use tocsin_core::route::silence::SilenceRequest;
use tocsin_core::route::time_interval::TimeInterval;
use tocsin_core::route::tree::{Inhibition, Route, Routing};
use tocsin_core::time::{Span, Timestamp};

use super::world::{World, receiver, route, routing};

const START: Timestamp = Timestamp(1_795_000_000_000);

fn fire(world: &mut World, pairs: &[(&str, &str)]) -> Reply {
    let labels = LabelSet::from_pairs(pairs.iter().copied());
    let alert = IncomingAlert { labels, starts_at: Some(world.now), source: "api".to_owned(), ..IncomingAlert::default() };
    world.accept(Event::Alerts(vec![alert])).unwrap()
}

fn silence(id: &str, name: &str) -> Event {
    Event::SilenceSet(SilenceRequest {
        id: None,
        new_id: id.to_owned(),
        matchers: vec![Matcher::equal("alertname", name)],
        starts_at: None,
        ends_at: START + Span::from_mins(60),
        created_by: "ada".to_owned(),
        comment: String::new(),
        annotations: BTreeMap::new(),
        owner: None,
        seen_at: None,
        terms: None,
    })
}

fn config() -> Routing {
    let mut config = routing(route("team", &[]), &[receiver("team", &["pagerduty"]), receiver("night", &["inbox"])]);
    config.root.routes = vec![Route { mute_time_intervals: vec!["always".to_owned()], ..route("night", &[("zone", "n")]) }];
    config.time_intervals = BTreeMap::from([("always".to_owned(), vec![TimeInterval::default()])]);
    config.inhibitions = vec![Inhibition {
        name: String::new(),
        source: vec![Matcher::equal("alertname", "Down")],
        target: vec![Matcher::equal("alertname", "Slow")],
        equal: vec!["zone".to_owned()],
    }];
    config
}

fn world() -> World {
    let mut world = World::new(config(), START);
    world.accept(Event::Warm).unwrap();
    world
}

#[test]
fn alerts_say_what_becomes_of_them() {
    let mut world = world();
    world.accept(silence("s1", "Full")).unwrap();
    for pairs in [
        [("alertname", "Down"), ("zone", "a")],
        [("alertname", "Slow"), ("zone", "a")],
        [("alertname", "Slow"), ("zone", "n")],
        [("alertname", "Full"), ("zone", "b")],
    ] {
        fire(&mut world, &pairs);
    }
    world.run_until(START + Span::from_secs(2));
    let mut shown: Vec<String> = world
        .plane
        .alerts(world.now)
        .iter()
        .map(|view| {
            format!(
                "{} {:?} silenced {:?} inhibited {} muted {:?} to {:?} pages {}",
                view.alert.labels,
                view.state,
                view.silenced_by,
                view.inhibited_by.len(),
                view.muted_by,
                view.receivers,
                view.pages.len()
            )
        })
        .collect();
    shown.sort();
    assert_eq!(
        shown,
        [
            r#"{alertname="Down", zone="a"} Active silenced [] inhibited 0 muted [] to ["team"] pages 1"#,
            r#"{alertname="Full", zone="b"} Suppressed silenced ["s1"] inhibited 0 muted [] to ["team"] pages 0"#,
            r#"{alertname="Slow", zone="a"} Suppressed silenced [] inhibited 1 muted [] to ["team"] pages 0"#,
            r#"{alertname="Slow", zone="n"} Suppressed silenced [] inhibited 0 muted ["always"] to ["night"] pages 0"#,
        ]
    );
    let groups: Vec<String> = world
        .plane
        .groups(world.now)
        .iter()
        .map(|view| format!("{} {} {}", view.key, view.receiver, view.alerts.len()))
        .collect();
    assert_eq!(
        groups,
        [
            r#"{}/{zone="n"}:{alertname="Slow"} night 1"#,
            r#"{}:{alertname="Down"} team 1"#,
            r#"{}:{alertname="Full"} team 1"#,
            r#"{}:{alertname="Slow"} team 1"#,
        ]
    );
    assert_eq!(world.plane.preview(&[Matcher::equal("alertname", "Slow")], world.now).len(), 2);
    assert_eq!((world.plane.silences().len(), world.plane.pages().len()), (1, 1));
}

#[test]
fn what_is_held_is_counted_by_state() {
    let mut world = world();
    let limits = Limits { groups: 3, ..Limits::default() };
    world.plane = Plane::restore(world.routing.clone(), "", world.store.records(None)).with_limits(limits);
    world.accept(silence("s1", "Full")).unwrap();
    world.accept(silence("s2", "Other")).unwrap();
    world.accept(Event::SilenceExpire { id: "s2".to_owned(), by: None }).unwrap();
    assert_eq!(world.plane.counts(world.now), Counts { silences_active: 1, silences_expired: 1, ..Counts::default() });
    for name in ["Down", "Slow", "Full", "NoRoom"] {
        fire(&mut world, &[("alertname", name), ("zone", "a")]);
    }
    let counts = world.plane.counts(world.now);
    assert_eq!((counts.active, counts.suppressed, counts.unprocessed, counts.groups), (1, 2, 1, 3));
    let later = world.now + Span::from_mins(61);
    assert_eq!(world.plane.counts(later).silences_expired, 2);
}

#[test]
fn limits_refuse_clearly_and_hold_what_was_there() {
    let mut world = world();
    let limits = Limits { alerts: 3, groups: 2, silences: 1, pages: 10 };
    world.plane = Plane::restore(world.routing.clone(), "", world.store.records(None)).with_limits(limits);
    let refused = |reply: Reply| match reply {
        Reply::Alerts { accepted, refused } => {
            (accepted, refused.iter().map(|(_, bad)| BadAlert::to_string(bad)).collect::<Vec<_>>())
        }
        Reply::Silence { .. } | Reply::Page(_) | Reply::Lost(_) | Reply::Done => panic!("a post of alerts is answered as one"),
    };
    assert_eq!(refused(fire(&mut world, &[("alertname", "A")])), (1, vec![]));
    assert_eq!(refused(fire(&mut world, &[("alertname", "B")])), (1, vec![]));
    let (accepted, texts) = refused(fire(&mut world, &[("alertname", "C")]));
    assert_eq!(accepted, 0);
    assert!(texts[0].contains("2 groups already"), "{texts:?}");
    assert_eq!(world.plane.preview(&[Matcher::equal("alertname", "C")], world.now)[0].state, AlertState::Unprocessed);
    let (_, texts) = refused(fire(&mut world, &[("alertname", "D")]));
    assert!(texts[0].contains("3 alerts are held already"), "{texts:?}");
    world.accept(silence("s1", "A")).unwrap();
    assert!(matches!(world.accept(silence("s2", "B")), Err(Refused::Silence(_))));
    // What found no room is forgotten with its end, and what did is not.
    world.accept(Event::Warm).unwrap();
    world.run_until(START + Span::from_mins(30));
    assert!(world.store.alerts.is_empty() && world.plane.alerts(world.now).is_empty());
}

#[test]
fn a_delivery_carries_what_an_outbox_needs() {
    let mut world = world();
    fire(&mut world, &[("alertname", "Down"), ("zone", "a"), ("severity", "critical")]);
    world.run_until(START + Span::from_secs(1));
    let [delivery] = world.store.deliveries.as_slice() else { panic!("one delivery is expected") };
    // SHA-256 of {}:{alertname="Down"}
    assert_eq!(delivery.dedup_key, "af94c9e8f6a3043625e36c6f472fe6be85ac23a9117184ee4cb7b4ad7401a47e");
    assert_eq!((delivery.action, delivery.integration.as_str()), (Action::Trigger, "pagerduty/07811038"));
    assert_eq!(delivery.key, format!("{}/trigger/{}", delivery.lane, delivery.sequence));
    assert_eq!((delivery.channel.as_str(), delivery.receiver.as_str()), ("pagerduty", "team"));
    assert_eq!(delivery.title, "[FIRING:1] Down");
    assert_eq!(delivery.expires_at - delivery.created_at, Span::from_mins(24 * 60));
    let page = world.plane.page(delivery.page_id.as_ref().unwrap()).unwrap();
    assert_eq!((page.users.as_slice(), page.opened_at), (["ada".to_owned()].as_slice(), world.now));
}

#[test]
fn people_are_told_why_they_cannot() {
    let mut world = world();
    let take = |world: &mut World, page: &str, by: &str| {
        world.accept(Event::Acknowledge { page: page.to_owned(), by: by.to_owned() }).unwrap_err()
    };
    assert_eq!(take(&mut world, "none", "ada"), Refused::UnknownPage("none".to_owned()));
    assert!(matches!(take(&mut world, "none", ""), Refused::BadName { .. }));
    fire(&mut world, &[("alertname", "Down")]);
    world.run_until(START + Span::from_secs(1));
    let page = world.plane.pages()[0].id.clone();
    let back = Event::Unacknowledge { page: page.clone(), by: "ada".to_owned() };
    assert_eq!(world.accept(back), Err(Refused::NotAcknowledged { id: page }));
}

#[test]
fn records_of_an_earlier_version_are_read() {
    // Only the fields without which a record has no meaning, and a log of a name that no integration has.
    let text = r#"{
        "alerts": [{"fingerprint": "9e1aafee8b9f1b8b", "labels": {"alertname": "Down"}, "starts_at": 1, "ends_at": 2, "updated_at": 1}],
        "groups": [{"id": {"key": "{}:{alertname=\"Down\"}", "receiver": "team"}, "labels": {"alertname": "Down"},
                    "strands": {"0": {"alerts": ["9e1aafee8b9f1b8b"], "next_flush_at": 5, "flushed": true}},
                    "log": {"0": {"at": 1, "reason": "first notification", "firing": ["9e1aafee8b9f1b8b"], "owed": ["9e1aafee8b9f1b8b"],
                                  "sequence": 1}}}],
        "silences": [{"id": "s", "matchers": [{"name": "a", "value": "b", "isRegex": false}],
                      "starts_at": 1, "ends_at": 2, "updated_at": 1}]
    }"#;
    let records: Records = serde_json::from_str(text).unwrap();
    let mut plane = Plane::restore(std::sync::Arc::new(config()), "", records);
    plane.tick(START);
    plane.accept(Event::Warm, START).unwrap();
    plane.tick(START);
    assert!(plane.is_warm() && !plane.is_drained());
}

#[test]
fn a_late_tick_does_not_push_the_later_ones() {
    let mut config = config();
    config.root.repeat_interval = Span::from_secs(5);
    let mut world = World::new(config, START);
    world.accept(Event::Warm).unwrap();
    fire(&mut world, &[("alertname", "Down")]);
    while world.now < START + Span::from_secs(12) {
        world.now = world.plane.next_deadline().unwrap() + Span(4);
        world.tick();
    }
    let told: Vec<i64> = world.store.deliveries.iter().map(|delivery| (delivery.created_at - START).0).collect();
    assert_eq!(told, [1_004, 6_004, 11_004]);
}
