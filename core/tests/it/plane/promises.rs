//! Stories of what Tocsin adds: nothing is lost, nothing is said twice, and people take pages.

use std::collections::BTreeMap;

use tocsin_core::route::tree::Routing;
use tocsin_core::time::Span;

use super::script::check;
use super::world::{calm, grouped, inhibition, night, receiver, route, routing};

#[test]
fn an_alert_that_a_reload_routes_elsewhere_still_ends_for_those_who_were_told() {
    let before = calm(&["pagerduty"]);
    let mut after = before.clone();
    let mut child = route("other", &[("alertname", "test")]);
    child.repeat_interval = Span::from_mins(240);
    after.root.routes = vec![child];
    after.receivers.insert("other".to_owned(), receiver("other", &["webhook"]));
    check(
        before,
        &[after],
        "
        1 fire test @1
        3 reload 0
        6 fire test @1 ..6
        9 end
        ",
        "
        2 page team triggered 1
        2 team/0 trigger (first notification) test@1
        3 page other triggered 1
        3 other/0 notify (first notification) test@1
        6 page team resolved 0
        6 team/0 resolve (all alerts resolved)  - test@1..6
        7 page other resolved 0
        7 other/0 notify (all alerts resolved)  - test@1..6
        ",
    );
}

#[test]
fn a_restart_with_another_configuration_is_as_good_as_a_reload() {
    let before = calm(&["pagerduty", "webhook"]);
    let regrouped = Routing { root: grouped(&["zone"], before.root.clone()), ..before.clone() };
    check(
        before,
        &[regrouped],
        "
        1   fire test1 zone=a @1
        1   fire test2 zone=a @1
        2.5 restart 0
        5   fire test1 zone=a @1 ..5
        6.5 fire test2 zone=a @1 ..6.5
        9   end
        ",
        "
        2 page team triggered 1
        2 page team triggered 1
        2 team/0 trigger (first notification) test1{zone=a}@1
        2 team/1 notify (first notification) test1{zone=a}@1
        2 team/0 trigger (first notification) test2{zone=a}@1
        2 team/1 notify (first notification) test2{zone=a}@1
        2.5 page team triggered 2
        2.5 team/0 trigger (first notification) test1{zone=a}@1 test2{zone=a}@1
        2.5 team/1 notify (first notification) test1{zone=a}@1 test2{zone=a}@1
        5 page team resolved 0
        5 team/0 resolve (all alerts resolved)  - test1{zone=a}@1..5
        5 team/1 notify (all alerts resolved)  - test1{zone=a}@1..5
        5.5 page team triggered 1
        5.5 team/0 trigger (some alerts resolved) test2{zone=a}@1 - test1{zone=a}@1..5
        5.5 team/1 notify (some alerts resolved) test2{zone=a}@1 - test1{zone=a}@1..5
        6.5 page team resolved 0
        6.5 team/0 resolve (all alerts resolved)  - test2{zone=a}@1..6.5
        6.5 team/1 notify (all alerts resolved)  - test2{zone=a}@1..6.5
        7.5 page team resolved 0
        7.5 team/0 resolve (all alerts resolved)  - test2{zone=a}@1..6.5
        7.5 team/1 notify (all alerts resolved)  - test2{zone=a}@1..6.5
        ",
    );
}

#[test]
fn an_integration_is_known_by_where_it_sends_to_and_not_by_its_place() {
    let with = |integrations: &[&str]| calm(integrations);
    // A pager joins before the webhook that was told: it hears at once, and the webhook nothing twice.
    check(
        with(&["webhook"]),
        &[with(&["pagerduty", "webhook"])],
        "
        1 fire test @1
        3 reload 0
        5 fire test @1 ..5
        9 end
        ",
        "
        2 page team triggered 1
        2 team/0 notify (first notification) test@1
        3 team/0 trigger (first notification) test@1
        6 page team resolved 0
        6 team/0 resolve (all alerts resolved)  - test@1..5
        6 team/1 notify (all alerts resolved)  - test@1..5
        ",
    );
    // One goes, two others change places, one sends elsewhere from now on.
    let after = with(&["webhook@c", "webhook@b", "webhook@d"]);
    check(
        with(&["webhook@a", "webhook@b", "webhook@c"]),
        &[after],
        "
        1   fire test @1
        2.5 restart 0
        5   fire test @1 ..5
        9   end
        ",
        "
        2 page team triggered 1
        2 team/0 notify (first notification) test@1
        2 team/1 notify (first notification) test@1
        2 team/2 notify (first notification) test@1
        3 team/2 notify (first notification) test@1
        6 page team resolved 0
        6 team/0 notify (all alerts resolved)  - test@1..5
        6 team/1 notify (all alerts resolved)  - test@1..5
        6 team/2 notify (all alerts resolved)  - test@1..5
        ",
    );
    // Two that send to the same place are two.
    check(
        with(&["webhook@a", "webhook@a"]),
        &[],
        "
        1 fire test @1
        3 end
        ",
        "
        2 page team triggered 1
        2 team/0 notify (first notification) test@1
        2 team/1 notify (first notification) test@1
        ",
    );
}

#[test]
fn a_receiver_that_is_gone_hears_nothing_but_its_page_still_ends() {
    let before = calm(&["webhook"]);
    let mut after = before.clone();
    after.root.receiver = "other".to_owned();
    after.receivers = BTreeMap::from([("other".to_owned(), receiver("other", &["inbox"]))]);
    check(
        before,
        &[after],
        "
        1   fire test @1
        2.5 reload 0
        5   fire test @1 ..5
        9   end
        ",
        "
        2 page team triggered 1
        2 team/0 notify (first notification) test@1
        2.5 page other triggered 1
        2.5 other/0 notify (first notification) test@1
        5 page team resolved 0
        5.5 page other resolved 0
        5.5 other/0 notify (all alerts resolved)  - test@1..5
        ",
    );
}

#[test]
fn a_restart_forgets_nothing_and_says_nothing_twice() {
    check(
        calm(&["webhook", "pagerduty"]),
        &[],
        "
        1   fire test @1
        1.5 restart
        2.5 restart
        3   fire test2 @3
        3.2 restart
        5   fire test @1 ..5
        5   restart
        9   end
        ",
        "
        2 page team triggered 1
        2 team/0 notify (first notification) test@1
        2 team/1 trigger (first notification) test@1
        4 page team triggered 1
        4 team/0 notify (first notification) test2@3
        4 team/1 trigger (first notification) test2@3
        6 page team resolved 0
        6 team/0 notify (all alerts resolved)  - test@1..5
        6 team/1 resolve (all alerts resolved)  - test@1..5
        ",
    );
}

#[test]
fn after_an_outage_overdue_timers_fire_once_and_what_could_not_be_renewed_is_not_over() {
    check(
        calm(&["webhook"]),
        &[],
        "
        1    fire kept @1 ..240
        1    fire ended @1 ..240
        3    fire waiting @3 ..240
        3    outage 1000
        1000 fire kept @1 ..1240
        1001 fire ended @1 ..600
        1030 warm
        1040 end
        ",
        "
        2 page team triggered 1
        2 page team triggered 1
        2 team/0 notify (first notification) ended@1
        2 team/0 notify (first notification) kept@1
        1030 page team triggered 1
        1030 page team resolved 0
        1030 team/0 notify (all alerts resolved)  - ended@1..600
        1030 team/0 notify (first notification) waiting@3
        ",
    );
}

#[test]
fn a_cold_plane_waits_for_its_rules_but_not_for_ever() {
    let inhibiting = |mut config: Routing| {
        config.inhibitions = vec![inhibition()];
        config
    };
    check(
        inhibiting(calm(&["webhook"])),
        &[],
        "
        cold
        1  fire InstanceDown @-100 zone=a
        5  fire ZoneDown @-100 zone=a
        10 warm
        12 end
        ",
        "
        10 page team triggered 1
        10 team/0 notify (first notification) ZoneDown{zone=a}@-100
        ",
    );
    check(
        inhibiting(calm(&["webhook"])),
        &[],
        "
        cold
        1  fire InstanceDown @-100 zone=a
        70 end
        ",
        "
        60 page team triggered 1
        60 team/0 notify (first notification) InstanceDown{zone=a}@-100
        ",
    );
}

#[test]
fn the_end_of_a_told_alert_is_told_also_under_a_silence() {
    check(
        calm(&["pagerduty"]),
        &[],
        "
        1   fire test @1
        2.5 silence s1 2.5..100 alertname=test
        5.2 fire test @1 ..5.2
        7   fire unheard @7
        7.5 end
        ",
        "
        2 page team triggered 1
        2 team/0 trigger (first notification) test@1
        6 page team resolved 0
        6 team/0 resolve (all alerts resolved)  - test@1..5.2
        ",
    );
}

#[test]
fn an_end_within_a_mute_timing_is_told_afterwards_and_a_return_is_a_new_page() {
    let mut config = calm(&["pagerduty"]);
    config.root.group_interval = Span::from_mins(5);
    config.root.active_time_intervals = vec!["night".to_owned()];
    config.time_intervals = night();
    check(
        config,
        &[],
        "
        3590  fire back @3500 ..90000
        3590  fire over @3500 ..90000
        4000  fire over @3500 ..4000
        4000  fire back @3500 ..4000
        5000  fire back @5000 ..90000
        86900 end
        ",
        "
        3590 page team triggered 1
        3590 team/0 trigger (first notification) back@3500
        3590 page team triggered 1
        3590 team/0 trigger (first notification) over@3500
        4190 page team resolved 0
        4190 page team resolved 0
        86690 page team triggered 1
        86690 team/0 trigger (first notification) back@5000
        86690 team/0 resolve (all alerts resolved)  - over@3500..4000
        ",
    );
}

#[test]
fn taking_a_page_stops_repeats_but_not_news_and_ends_with_the_page() {
    let mut config = routing(grouped(&[], route("team", &[])), &[receiver("team", &["webhook", "pagerduty"])]);
    config.root.repeat_interval = Span::from_secs(2);
    check(
        config,
        &[],
        "
        1   fire test1 @1
        2.5 ack ada
        2.6 ack bob
        2.7 ack ada
        6.5 fire test2 @6
        8.5 unack bob
        9.2 ack bob
        9.5 fire test1 @1 ..9.5
        9.5 fire test2 @6 ..9.5
        11  ack ada
        12  fire test1 @12
        15.5 end
        ",
        "
        2 page team triggered 1
        2 team/0 notify (first notification) test1@1
        2 team/1 trigger (first notification) test1@1
        2.5 page team acknowledged by ada 1
        2.5 team/1 acknowledge (acknowledged) test1@1
        2.6 refused ada took it at 2.5
        7 page team acknowledged by ada 2
        7 team/0 notify (new alerts added) test1@1 test2@6
        7 team/1 trigger (new alerts added) test1@1 test2@6
        8.5 page team triggered 2
        9 team/0 notify (repeat interval elapsed) test1@1 test2@6
        9 team/1 trigger (repeat interval elapsed) test1@1 test2@6
        9.2 page team acknowledged by bob 2
        9.2 team/1 acknowledge (acknowledged) test1@1 test2@6
        10 page team resolved by bob 0
        10 team/0 notify (all alerts resolved)  - test1@1..9.5 test2@6..9.5
        10 team/1 resolve (all alerts resolved)  - test1@1..9.5 test2@6..9.5
        11 refused it is resolved
        13 page team triggered 1
        13 team/0 notify (first notification) test1@12
        13 team/1 trigger (first notification) test1@12
        15 team/0 notify (repeat interval elapsed) test1@12
        15 team/1 trigger (repeat interval elapsed) test1@12
        ",
    );
}
