//! Who must have heard, worked out without groups and logs.

use std::collections::BTreeMap;

use tocsin_core::model::{LabelSet, Matcher};
use tocsin_core::plane::{Duties, Event};
use tocsin_core::route::alert::IncomingAlert;
use tocsin_core::route::silence::SilenceRequest;
use tocsin_core::time::{Span, Timestamp};

use super::world::{World, inhibition, night, receiver, route, routing};

fn at(second: i64) -> Timestamp {
    Timestamp(second * 1000)
}

fn fire(world: &mut World, second: i64, pairs: &[(&str, &str)]) {
    world.run_until(at(second));
    let labels = LabelSet::from_pairs(pairs.iter().copied());
    let news = IncomingAlert { labels, starts_at: Some(at(second)), ends_at: Some(at(100_000)), ..IncomingAlert::default() };
    world.accept(Event::Alerts(vec![news])).unwrap();
}

/// Returns which alerts receivers must hear of, with the kind of the integration.
fn words(world: &World, found: &Duties) -> Vec<String> {
    let word = |duty: &tocsin_core::plane::Duty| {
        let alert = world.plane.alert(duty.alert, world.now).unwrap().alert;
        let kind = duty.lane.rsplit('/').nth(1).unwrap_or_default().to_owned();
        format!("{} of {}: {} by {kind}", alert.labels.get("alertname"), alert.labels.get("zone"), duty.receiver)
    };
    let mut words: Vec<String> = found.duties.iter().map(word).collect();
    words.sort();
    words
}

#[test]
fn what_fires_and_is_held_back_by_nothing_must_be_heard_by_every_integration() {
    let mut root = route("team", &[]);
    root.routes = vec![route("nobody", &[("zone", "b")]), route("night-shift", &[("zone", "c")])];
    root.routes[1].mute_time_intervals = vec!["night".to_owned()];
    let receivers = [receiver("team", &["webhook", "pagerduty"]), receiver("nobody", &[]), receiver("night-shift", &["inbox"])];
    let mut routing = routing(root, &receivers);
    (routing.inhibitions, routing.time_intervals) = (vec![inhibition()], night());
    let mut world = World::new(routing, at(0));
    world.accept(Event::Warm).unwrap();
    for zone in ["a", "b", "c"] {
        fire(&mut world, 10, &[("alertname", "ZoneDown"), ("zone", zone)]);
        fire(&mut world, 10, &[("alertname", "InstanceDown"), ("zone", zone)]);
    }
    fire(&mut world, 10, &[("alertname", "Quiet"), ("zone", "a")]);
    let silence = SilenceRequest {
        id: None,
        new_id: "s".to_owned(),
        matchers: vec![Matcher::equal("alertname", "Quiet")],
        starts_at: Some(at(10)),
        ends_at: at(3000),
        created_by: "ann".to_owned(),
        comment: String::new(),
        annotations: BTreeMap::new(),
        owner: None,
        seen_at: None,
        terms: None,
    };
    world.accept(Event::SilenceSet(silence)).unwrap();
    world.run_until(at(20));
    let none = BTreeMap::new();
    let found = world.plane.duties(None, &none, 100, at(20));
    let team = ["ZoneDown of a: team by pagerduty", "ZoneDown of a: team by webhook"];
    assert_eq!(words(&world, &found), team);
    assert_eq!((found.last, found.duties[0].patience, found.duties[0].fired_at), (None, Span::from_secs(2), at(10)));
    // Each stands in the lane in which it was told.
    let lanes: Vec<&str> = world.store.deliveries.iter().map(|delivery| delivery.lane.as_str()).collect();
    assert!(found.duties.iter().all(|duty| lanes.contains(&duty.lane.as_ref())), "{lanes:?}");

    // By day, and when the silence is over, the others must be heard of as well.
    let day = world.plane.duties(None, &none, 100, at(3601));
    let more = ["Quiet of a: team by pagerduty", "Quiet of a: team by webhook", "ZoneDown of a: team by pagerduty"];
    assert_eq!(
        words(&world, &day),
        [&more[..], &["ZoneDown of a: team by webhook", "ZoneDown of c: night-shift by inbox"]].concat()
    );

    // In pieces it is the same, and what is settled is left out.
    let (mut pieces, mut behind) = (Vec::new(), None);
    loop {
        let piece = world.plane.duties(behind, &none, 2, at(3601));
        pieces.extend(words(&world, &piece));
        behind = piece.last;
        if behind.is_none() {
            break;
        }
    }
    pieces.sort();
    assert_eq!(pieces, words(&world, &day));
    let settled: BTreeMap<_, _> = day.duties.iter().map(|duty| (duty.alert, duty.fired_at)).collect();
    let rest = world.plane.duties(None, &settled, 100, at(3601));
    assert_eq!((rest.duties, rest.settled.len()), (vec![], 3));
}
