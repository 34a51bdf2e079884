//! Stories of what Alertmanager's users rely on.

use tocsin_core::route::tree::{Route, Routing};
use tocsin_core::time::Span;

use super::script::check;
use super::world::{calm, grouped, inhibition, night, receiver, route, routing};

/// One receiver that hears everything by webhook, once a second.
fn simple() -> Routing {
    routing(route("team", &[]), &[receiver("team", &["webhook"])])
}

#[test]
fn news_of_one_alert_is_merged() {
    check(
        simple(),
        &[],
        r#"
        1   fire test @1.1
        1.2 fire test @1
        2.1 fire test @2 "v1"
        3.6 fire test @1.5 "v2"
        4.6 fire test @3 ..4.5 "v2"
        4.8 fire test @2.9 ..4.8 "v3"
        4.8 fire test @2.9 ..4.1 "v3"
        5.3 fire test
        6.5 end
        "#,
        r#"
        2 page team triggered 1
        2 team/0 notify (first notification) test@1
        3 team/0 notify (repeat interval elapsed) test@1"v1"
        4 team/0 notify (repeat interval elapsed) test@1"v2"
        5 page team resolved 0
        5 team/0 notify (all alerts resolved)  - test@1..4.8"v3"
        6.3 page team triggered 1
        6.3 team/0 notify (first notification) test@5.3
        "#,
    );
}

#[test]
fn a_firing_group_is_repeated_until_it_is_resolved() {
    check(
        simple(),
        &[],
        "
        1   fire test @1
        3.5 fire test @1 ..3
        9   end
        ",
        "
        2 page team triggered 1
        2 team/0 notify (first notification) test@1
        3 team/0 notify (repeat interval elapsed) test@1
        4 page team resolved 0
        4 team/0 notify (all alerts resolved)  - test@1..3
        ",
    );
}

#[test]
fn alerts_are_batched_and_the_repeat_is_rounded_up_to_the_group_interval() {
    let mut root = grouped(&[], route("team", &[]));
    root.repeat_interval = Span(4_900);
    check(
        routing(root, &[receiver("team", &["webhook"])]),
        &[],
        "
        1.1 fire test1 @1
        1.7 fire test5 @1
        3.3 fire test2 @1.5
        3.3 fire test3 @1.5
        9.5 end
        ",
        "
        2.1 page team triggered 2
        2.1 team/0 notify (first notification) test1@1 test5@1
        4.1 page team triggered 4
        4.1 team/0 notify (new alerts added) test1@1 test2@1.5 test3@1.5 test5@1
        9.1 team/0 notify (repeat interval elapsed) test1@1 test2@1.5 test3@1.5 test5@1
        ",
    );
}

#[test]
fn an_alert_that_nobody_renews_ends_by_itself() {
    let mut root = route("team", &[]);
    root.group_interval = Span::from_secs(5);
    root.repeat_interval = Span::from_mins(60);
    let mut config = routing(root, &[receiver("team", &["webhook"])]);
    config.resolve_timeout = Span::from_secs(10);
    check(
        config,
        &[],
        "
        1  fire test lbl=v1
        1  fire test lbl=v2
        13 end
        ",
        "
        2 page team triggered 2
        2 team/0 notify (first notification) test{lbl=v1}@1 test{lbl=v2}@1
        12 page team resolved 0
        12 team/0 notify (all alerts resolved)  - test{lbl=v1}@1..11 test{lbl=v2}@1..11
        ",
    );
}

#[test]
fn a_receiver_that_wants_no_ends_hears_none_but_they_are_written_down() {
    let mut root = route("team", &[]);
    root.group_interval = Span::from_secs(5);
    root.repeat_interval = Span::from_mins(60);
    let mut config = routing(root, &[receiver("team", &["webhook", "webhook-no-resolved"])]);
    config.resolve_timeout = Span::from_secs(10);
    check(
        config,
        &[],
        "
        1  fire test lbl=v1
        1  fire test lbl=v2
        3  fire test lbl=v1 @1 ..4
        3  fire test lbl=v3
        8  fire test lbl=v3 @3
        23 fire test lbl=v3 @22.5
        24.5 end
        ",
        "
        2 page team triggered 2
        2 team/0 notify (first notification) test{lbl=v1}@1 test{lbl=v2}@1
        2 team/1 notify (first notification) test{lbl=v1}@1 test{lbl=v2}@1
        7 team/0 notify (new alerts added) test{lbl=v2}@1 test{lbl=v3}@3 - test{lbl=v1}@1..4
        7 team/1 notify (new alerts added) test{lbl=v2}@1 test{lbl=v3}@3
        12 page team triggered 1
        12 team/0 notify (some alerts resolved) test{lbl=v3}@3 - test{lbl=v2}@1..11
        22 page team resolved 0
        22 team/0 notify (all alerts resolved)  - test{lbl=v3}@3..18
        24 page team triggered 1
        24 team/0 notify (first notification) test{lbl=v3}@22.5
        24 team/1 notify (first notification) test{lbl=v3}@22.5
        ",
    );
}

#[test]
fn what_came_and_went_between_two_flushes_is_never_mentioned() {
    let mut root = grouped(&[], route("team", &[]));
    root.group_interval = Span::from_secs(5);
    root.repeat_interval = Span::from_mins(60);
    check(
        routing(root, &[receiver("team", &["webhook"])]),
        &[],
        "
        1   fire early @1
        1.5 fire early @1 ..1.5
        3   fire other @3
        5   fire blip @5
        6   fire blip @5 ..6
        20  end
        ",
        "
        4 page team triggered 1
        4 team/0 notify (first notification) other@3
        ",
    );
}

#[test]
fn an_alert_older_than_the_wait_is_told_at_once() {
    let mut root = calm(&["webhook"]);
    root.root.group_wait = Span::from_secs(30);
    check(
        root,
        &[],
        "
        60 fire young @59
        60 fire old @20
        95 end
        ",
        "
        60 page team triggered 1
        60 team/0 notify (first notification) old@20
        90 page team triggered 1
        90 team/0 notify (first notification) young@59
        ",
    );
}

#[test]
fn a_reload_starts_timers_anew_but_repeats_nothing() {
    let mut root = grouped(&[], route("team", &[]));
    root.group_interval = Span::from_secs(6);
    root.repeat_interval = Span::from_mins(10);
    let config = routing(root, &[receiver("team", &["webhook"])]);
    check(
        config.clone(),
        &[config],
        "
        1  fire test1
        3  reload 0
        4  fire test2
        10 end
        ",
        "
        2 page team triggered 1
        2 team/0 notify (first notification) test1@1
        9 page team triggered 2
        9 team/0 notify (new alerts added) test1@1 test2@4
        ",
    );
}

#[test]
fn an_inhibited_alert_is_not_told_and_its_end_is_told_to_those_who_knew() {
    let mut config = routing(grouped(&[], route("team", &[])), &[receiver("team", &["webhook"])]);
    config.inhibitions = vec![inhibition()];
    check(
        config,
        &[],
        "
        1   fire test @1
        1   fire InstanceDown zone=a @1
        2.2 fire InstanceDown zone=b @2.2
        2.2 fire ZoneDown zone=a @2.2
        3.6 fire InstanceDown zone=a @1 ..3.6
        4.6 fire ZoneDown zone=a @2.2 ..4.6
        5.5 end
        ",
        "
        2 page team triggered 2
        2 team/0 notify (first notification) test@1 InstanceDown{zone=a}@1
        3 page team triggered 4
        3 team/0 notify (new alerts added) test@1 InstanceDown{zone=b}@2.2 ZoneDown{zone=a}@2.2
        4 page team triggered 3
        4 team/0 notify (some alerts resolved) test@1 InstanceDown{zone=b}@2.2 ZoneDown{zone=a}@2.2 - InstanceDown{zone=a}@1..3.6
        5 page team triggered 2
        5 team/0 notify (some alerts resolved) test@1 InstanceDown{zone=b}@2.2 - ZoneDown{zone=a}@2.2..4.6
        ",
    );
}

#[test]
fn a_silence_mutes_for_its_span_and_opens_no_page() {
    check(
        routing(grouped(&[], route("team", &[])), &[receiver("team", &["webhook"])]),
        &[],
        "
        1   fire test1 @1
        1   fire test2 @1
        2.3 silence s1 2.5..4.5 alertname=test1
        5.5 end
        ",
        "
        2 page team triggered 2
        2 team/0 notify (first notification) test1@1 test2@1
        3 team/0 notify (repeat interval elapsed) test2@1
        4 team/0 notify (repeat interval elapsed) test2@1
        5 team/0 notify (new alerts added) test1@1 test2@1
        ",
    );
    check(
        calm(&["webhook"]),
        &[],
        "
        0.5 silence s1 0.5..3.5 alertname=test1
        1   fire test1 @1
        3.2 silence s2 =s1 0.5..9 alertname=test1
        7.5 expire s1
        9.5 end
        ",
        "
        8 page team triggered 1
        8 team/0 notify (first notification) test1@1
        ",
    );
}

#[test]
fn a_mute_timing_holds_what_there_is_to_say_until_it_is_over() {
    let mut config = calm(&["pagerduty"]);
    config.root.group_interval = Span::from_mins(5);
    config.root.mute_time_intervals = vec!["night".to_owned()];
    config.time_intervals = night();
    check(
        config,
        &[],
        "
        10   fire test @10 ..86400
        20   fire short @20 ..30
        3599 fire late @3599 ..86400
        4000 end
        ",
        "
        3600 page team triggered 1
        3600 team/0 trigger (first notification) late@3599
        3611 page team triggered 1
        3611 team/0 trigger (first notification) test@10
        ",
    );
}

#[test]
fn two_routes_that_differ_only_in_their_hours_share_what_was_told() {
    let mut config = calm(&["webhook"]);
    let base =
        Route { group_interval: Span::from_mins(5), repeat_interval: Span::from_mins(240), ..route("team", &[("a", "1")]) };
    config.root.routes = vec![
        Route { mute_time_intervals: vec!["night".to_owned()], continues: true, ..base.clone() },
        Route { active_time_intervals: vec!["night".to_owned()], ..base },
    ];
    config.time_intervals = night();
    check(
        config,
        &[],
        "
        10   fire test a=1 @10 ..86400
        5000 fire other a=1 @5000 ..86400
        6000 end
        ",
        "
        11 page team triggered 1
        11 team/0 notify (first notification) test{a=1}@10
        5001 page team triggered 1
        5001 team/0 notify (first notification) other{a=1}@5000
        ",
    );
}

#[test]
fn a_receiver_without_integrations_and_users_swallows_alerts() {
    let mut config = routing(route("null", &[]), &[receiver("null", &[])]);
    check(config.clone(), &[], "1 fire test @1\n9 end", "2 page null triggered 1");
    config.receivers.get_mut("null").unwrap().users.clear();
    check(config, &[], "1 fire test @1\n9 end", "");
}

#[test]
fn bad_alerts_are_refused_and_unknown_ends_are_ignored() {
    check(
        simple(),
        &[],
        "
        1 fire test @5 ..4
        2 fire gone @1 ..2
        9 end
        ",
        "1 refused start time must be before end time",
    );
}
