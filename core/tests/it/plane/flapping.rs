//! Alerts that begin again and again.

use tocsin_core::model::LabelSet;
use tocsin_core::plane::{Event, FLAPPING, Limits};
use tocsin_core::route::alert::IncomingAlert;
use tocsin_core::route::tree::{Flapping, Routing};
use tocsin_core::time::{Span, Timestamp};
use tocsin_core::trace::{Entry, What};

use super::script::check;
use super::world::{World, calm};

/// Three times in a hundred seconds; half a minute of quiet ends it.
fn flapping() -> Routing {
    let flapping = Flapping { begins: 3, within: Span::from_secs(100), quiet: Span::from_secs(30) };
    Routing { flapping: Some(flapping), ..calm(&["webhook"]) }
}

/// An alert that begins at 0, 10 and 20, and ends 5 seconds after each time.
const THREE: &str = "
    0  fire test @0 ..1000
    5  fire test @0 ..5
    10 fire test @10 ..1000
    15 fire test @10 ..15
    20 fire test @20 ..1000
";

const TOLD_OF_THREE: &str = "
    1 page team triggered 1
    1 team/0 notify (first notification) test@0
    6 page team resolved 0
    6 team/0 notify (all alerts resolved)  - test@0..5
    11 page team triggered 1
    11 team/0 notify (first notification) test@10
    16 page team resolved 0
    16 team/0 notify (all alerts resolved)  - test@10..15
    21 page team triggered 1
    21 team/0 notify (first notification) test@20 flaps
";

fn check_after_three(script: &str, expected: &str) {
    check(flapping(), &[calm(&["webhook"])], &format!("{THREE}{script}"), &format!("{TOLD_OF_THREE}{expected}"));
}

#[test]
fn an_alert_that_flaps_is_told_once_and_its_end_once_it_is_quiet() {
    check_after_three(
        "
        25 fire test @20 ..25
        30 fire test @30 ..1000
        35 fire test @30 ..35
        40 fire test @40 ..1000
        42 fire test @40 ..42
        # Said again, as Prometheus does: the end is no later for it.
        60 fire test @40 ..60
        200 end
        ",
        "
        72 page team resolved 0
        72 team/0 notify (all alerts resolved)  - test@20..42
        ",
    );
}

#[test]
fn without_the_section_each_end_is_told() {
    let flapping = Routing { flapping: None, ..flapping() };
    let told = TOLD_OF_THREE.replace(" flaps", "");
    let more = "
        26 page team resolved 0
        26 team/0 notify (all alerts resolved)  - test@20..25
    ";
    check(flapping, &[], &format!("{THREE}25 fire test @20 ..25\n99 end"), &format!("{told}{more}"));
}

#[test]
fn one_that_lasts_flaps_no_more_and_its_next_end_counts_at_once() {
    check_after_three(
        "
        51 fire test @20 ..51
        60 fire test @60 ..1000
        65 fire test @60 ..65
        99 end
        ",
        "
        52 page team resolved 0
        52 team/0 notify (all alerts resolved)  - test@20..51
        61 page team triggered 1
        61 team/0 notify (first notification) test@60
        66 page team resolved 0
        66 team/0 notify (all alerts resolved)  - test@60..65
        ",
    );
}

#[test]
fn beginnings_that_lie_far_apart_are_no_flapping() {
    check(
        flapping(),
        &[],
        "
        0   fire test @0 ..4.5
        50  fire test @50 ..54.5
        100 fire test @100 ..104.5
        199 end
        ",
        "
        1 page team triggered 1
        1 team/0 notify (first notification) test@0
        5 page team resolved 0
        5 team/0 notify (all alerts resolved)  - test@0..4.5
        51 page team triggered 1
        51 team/0 notify (first notification) test@50
        55 page team resolved 0
        55 team/0 notify (all alerts resolved)  - test@50..54.5
        101 page team triggered 1
        101 team/0 notify (first notification) test@100
        105 page team resolved 0
        105 team/0 notify (all alerts resolved)  - test@100..104.5
        ",
    );
}

#[test]
fn an_alert_that_only_runs_out_is_held_as_well() {
    // The sender names an end each time and says no more.
    let short = THREE.replace("20 fire test @20 ..1000", "20 fire test @20 ..24");
    let more = "
        63 page team resolved 0
        63 team/0 notify (all alerts resolved)  - test@20..33
    ";
    check(flapping(), &[], &format!("{short}30 fire test @30 ..33\n99 end"), &format!("{TOLD_OF_THREE}{more}"));
}

#[test]
fn a_restart_in_the_middle_changes_nothing() {
    check_after_three(
        "
        25 fire test @20 ..25
        26 restart
        30 fire test @30 ..1000
        31 restart
        35 fire test @30 ..35
        36 restart
        99 end
        ",
        "
        65 page team resolved 0
        65 team/0 notify (all alerts resolved)  - test@20..35
        ",
    );
}

#[test]
fn a_configuration_without_it_lets_ends_count_at_once() {
    // A reload starts the timers of groups again, a restart does not.
    for (verb, told_at) in [("reload", 30), ("restart", 31)] {
        check_after_three(
            &format!("25 fire test @20 ..25\n30 {verb} 0\n99 end"),
            &format!(
                "
                {told_at} page team resolved 0
                {told_at} team/0 notify (all alerts resolved)  - test@20..25
                "
            ),
        );
    }
}

fn world() -> World {
    let mut world = World::new(flapping(), Timestamp(0));
    world.accept(Event::Warm).unwrap();
    world
}

/// Lets an alert fire at some second, and end three seconds later.
fn pulse(world: &mut World, name: &str, second: i64) {
    for (at, ends_at) in [(second, 1_000_000), (second + 3, second + 3)] {
        world.run_until(Timestamp(at * 1000));
        let labels = LabelSet::from_pairs([("alertname", name)]);
        let ends_at = Some(Timestamp(ends_at * 1000));
        let news = IncomingAlert { labels, starts_at: Some(Timestamp(second * 1000)), ends_at, ..IncomingAlert::default() };
        world.accept(Event::Alerts(vec![news])).unwrap();
    }
}

#[test]
fn it_is_seen_by_those_who_look_and_by_those_who_ask_why() {
    let mut world = world();
    [0, 10, 20].into_iter().for_each(|second| pulse(&mut world, "Slow", second));
    let views = world.plane.alerts(world.now);
    assert!(views[0].flaps);
    let text = "began 3 times within 1m40s; its end is told once it was quiet for 30s";
    assert_eq!(views[0].alert.annotations.get(FLAPPING), Some(text));
    let fingerprint = views[0].alert.fingerprint;
    assert!(world.plane.is_firing(fingerprint, world.now) && !world.plane.is_said_to_fire(fingerprint, world.now));
    world.run_until(Timestamp(99_000));
    assert_eq!(world.plane.alerts(world.now), []);
    let steps = world.store.trace.iter().filter_map(|record| match &record.entry {
        Entry::Alerts(steps) => Some(steps),
        Entry::Flush(_) | Entry::Lost(_) | Entry::Routes(_) | Entry::Opened { .. } => None,
    });
    let of_flapping = steps.flatten().filter(|step| step.at >= Timestamp(20_000));
    let of_flapping = of_flapping.filter(|step| !matches!(step.what, What::Received { .. } | What::Ended));
    let told: Vec<String> = of_flapping.map(|step| format!("{} {step}", step.at.0 / 1000)).collect();
    assert_eq!(
        told,
        [
            "20 flaps: it has begun 3 times within 1m40s; its end is told once it was quiet for 30s",
            "23 its end is held back, for it flaps: unless it begins again, it ends at 00:00:53",
            "53 ended: it was quiet for 30s",
        ]
    );
}

#[test]
fn no_more_alerts_are_watched_than_may_be_held() {
    let mut world = world();
    world.plane = std::mem::replace(&mut world.plane, World::new(flapping(), Timestamp(0)).plane)
        .with_limits(Limits { alerts: 1, ..Limits::default() });
    pulse(&mut world, "First", 0);
    // There is no room for it while the first is remembered.
    [10, 20, 30].into_iter().for_each(|second| pulse(&mut world, "Second", second));
    assert_eq!(world.plane.alerts(world.now), []);
    [200, 210, 220].into_iter().for_each(|second| pulse(&mut world, "Second", second));
    assert!(world.plane.alerts(world.now)[0].flaps);
}

#[test]
fn what_runs_ask_of_people_never_flaps() {
    let mut world = world();
    [0, 10, 20, 30].into_iter().for_each(|second| pulse(&mut world, "TocsinRun", second));
    assert_eq!(world.plane.alerts(world.now), []);
}
