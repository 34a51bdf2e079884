//! Alerts that join a group of which people were told already.

use tocsin_core::model::LabelSet;
use tocsin_core::plane::{Event, Plane};
use tocsin_core::route::alert::IncomingAlert;
use tocsin_core::time::Timestamp;

use super::world::{World, calm};

fn at(second: i64) -> Timestamp {
    Timestamp(second * 1000)
}

fn say(world: &mut World, second: i64, instance: &str, ends_at: Option<i64>) {
    world.run_until(at(second));
    let labels = LabelSet::from_pairs([("alertname", "Slow"), ("instance", instance)]);
    let ends_at = Some(ends_at.map_or(at(100_000), at));
    let news = IncomingAlert { labels, starts_at: Some(at(1)), ends_at, ..IncomingAlert::default() };
    world.accept(Event::Alerts(vec![news])).unwrap();
}

fn members(plane: &Plane, now: Timestamp) -> Vec<String> {
    let groups = plane.groups(now);
    let mut names: Vec<String> =
        groups.iter().flat_map(|group| &group.alerts).map(|view| view.alert.labels.get("instance").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_group_that_is_only_joined_is_not_written_down_and_is_whole_after_a_crash() {
    let mut world = World::new(calm(&["webhook"]), at(0));
    world.accept(Event::Warm).unwrap();
    say(&mut world, 1, "a", None);
    world.run_until(at(2));
    let written = world.store.groups.clone();
    assert!(written.values().all(|group| group.strands.values().all(|strand| strand.flushed)), "it was told of");
    for instance in ["b", "c"] {
        say(&mut world, 2, instance, None);
    }
    // One of them ends before anybody has heard of it.
    say(&mut world, 2, "c", Some(2));
    assert_eq!(world.store.groups, written);
    let groups = |plane: &Plane, now| (members(plane, now), plane.next_deadline());
    let before = groups(&world.plane, at(2));
    assert_eq!(before.0, ["a", "b"]);
    world.restart(Some(at(2)));
    world.accept(Event::Warm).unwrap();
    assert_eq!(groups(&world.plane, at(2)), before);
    assert_eq!(world.store.groups, written, "the start found what it left");
    let told = world.store.deliveries.len();
    world.run_until(at(3));
    let news = &world.store.deliveries[told..];
    let told: Vec<&str> = news.iter().flat_map(|delivery| &delivery.data.alerts).map(|one| one.labels.get("instance")).collect();
    assert_eq!(told, ["a", "b"]);
    let of_group = world.store.groups.values().next().unwrap();
    assert_eq!((of_group.alerts().len(), of_group.recorded_at), (2, at(3)));
    // Later an alert that left is not put back by what it said when it joined.
    say(&mut world, 10, "b", Some(10));
    world.run_until(at(12));
    world.restart(Some(at(12)));
    world.accept(Event::Warm).unwrap();
    assert_eq!(members(&world.plane, at(12)), ["a"]);
}
