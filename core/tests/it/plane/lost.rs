//! Deliveries that are refused, or whose time is over: what they told is told again.

use tocsin_core::route::tree::Routing;
use tocsin_core::time::Span;

use super::script::check;
use super::world::{calm, grouped, night, receiver, route, routing};

/// One receiver, told once a minute at most; nothing repeats.
fn slow(integrations: &[&str]) -> Routing {
    let mut root = grouped(&[], route("team", &[]));
    (root.group_interval, root.repeat_interval) = (Span::from_secs(60), Span::from_mins(30 * 24 * 60));
    routing(root, &[receiver("team", integrations)])
}

#[test]
fn what_is_refused_is_told_at_each_interval_until_it_is_taken() {
    check(
        slow(&["webhook", "pagerduty"]),
        &[],
        "
        1     fire a @1 ..90000
        2.1   lose team/0
        62.1  lose team/0
        # A restart changes nothing about it.
        70    restart
        # The third is taken.
        200   fire b @200 ..90000
        242.1 lose team/0
        400   end
        ",
        "
        2 page team triggered 1
        2 team/0 notify (first notification) a@1
        2 team/1 trigger (first notification) a@1
        2.1 lost, again at 62
        62 team/0 notify (first notification) a@1
        62.1 lost, again at 122
        122 team/0 notify (first notification) a@1
        242 page team triggered 2
        242 team/0 notify (new alerts added) a@1 b@200
        242 team/1 trigger (new alerts added) a@1 b@200
        242.1 lost, again at 302
        302 team/0 notify (new alerts added) a@1 b@200
        ",
    );
}

#[test]
fn a_repeat_that_is_refused_is_told_again_too() {
    let mut config = slow(&["webhook"]);
    config.root.repeat_interval = Span::from_secs(300);
    check(
        config,
        &[],
        "
        1     fire a @1 ..90000
        302.1 lose team/0
        400   end
        ",
        "
        2 page team triggered 1
        2 team/0 notify (first notification) a@1
        302 team/0 notify (repeat interval elapsed) a@1
        302.1 lost, again at 362
        362 team/0 notify (repeat interval elapsed) a@1
        ",
    );
}

#[test]
fn an_end_that_is_refused_is_told_again_though_all_was_forgotten() {
    check(
        slow(&["pagerduty"]),
        &[],
        r#"
        1     fire a @1 "why"
        50    fire a @1 ..50 "why"
        70    lose team/0
        71    restart
        # The end is taken at the second time, and then nothing is left to be said.
        200   restart
        300   end
        "#,
        r#"
        2 page team triggered 1
        2 team/0 trigger (first notification) a@1"why"
        62 page team resolved 0
        62 team/0 resolve (all alerts resolved)  - a@1..50"why"
        70 lost, again at 122
        122 team/0 resolve (all alerts resolved)  - a@1..50"why"
        "#,
    );
    // It fires again before its end was heard: that is news, and a page.
    check(
        slow(&["pagerduty"]),
        &[],
        "
        1    fire a @1
        50   fire a @1 ..50
        70   lose team/0
        100  fire a @100 ..90000
        300  end
        ",
        "
        2 page team triggered 1
        2 team/0 trigger (first notification) a@1
        62 page team resolved 0
        62 team/0 resolve (all alerts resolved)  - a@1..50
        70 lost, again at 122
        122 page team triggered 1
        122 team/0 trigger (first notification) a@100
        ",
    );
    // Of one that nobody has heard of no end is told.
    check(
        slow(&["pagerduty"]),
        &[],
        "
        1    fire a @1
        2.1  lose team/0
        50   fire a @1 ..50
        300  end
        ",
        "
        2 page team triggered 1
        2 team/0 trigger (first notification) a@1
        2.1 lost, again at 62
        62 page team resolved 0
        ",
    );
}

#[test]
fn an_end_is_told_for_a_day_and_then_given_up() {
    let mut config = slow(&["webhook"]);
    config.root.group_interval = Span::from_mins(8 * 60);
    check(
        config,
        &[],
        "
        1     fire a @1 ..5
        28803 lose team/0
        57603 lose team/0
        86403 lose team/0
        115203 lose team/0
        200000 end
        ",
        "
        2 page team triggered 1
        2 team/0 notify (first notification) a@1
        28802 page team resolved 0
        28802 team/0 notify (all alerts resolved)  - a@1..5
        28803 lost, again at 57602
        57602 team/0 notify (all alerts resolved)  - a@1..5
        57603 lost, again at 86402
        86402 team/0 notify (all alerts resolved)  - a@1..5
        86403 lost, again at 115202
        115202 team/0 notify (all alerts resolved)  - a@1..5
        115203 lost, 1 ends given up
        ",
    );
}

#[test]
fn what_was_told_since_stands_and_only_ends_are_told_again() {
    check(
        slow(&["webhook"]),
        &[],
        "
        1    fire a @1 ..90000
        1    fire b @1
        50   fire b @1 ..50
        100  fire c @100 ..90000
        # The delivery before the last one told that b has ended; the last one said nothing of that.
        125  lose team/0 1
        300  end
        ",
        "
        2 page team triggered 2
        2 team/0 notify (first notification) a@1 b@1
        62 page team triggered 1
        62 team/0 notify (some alerts resolved) a@1 - b@1..50
        122 page team triggered 2
        122 team/0 notify (new alerts added) a@1 c@100
        125 lost, again at 182
        182 team/0 notify (some alerts resolved) a@1 c@100 - b@1..50
        ",
    );
}

#[test]
fn an_end_that_no_route_leads_to_any_more_waits_for_an_interval() {
    let before = calm(&["webhook"]);
    let mut after = before.clone();
    let mut child = route("other", &[("alertname", "a")]);
    child.repeat_interval = Span::from_mins(240);
    after.root.routes = vec![child];
    after.receivers.insert("other".to_owned(), receiver("other", &["inbox"]));
    after.root.group_interval = Span::from_secs(60);
    check(
        before,
        &[after],
        "
        1    fire a @1
        3    reload 0
        6    fire a @1 ..6
        8    lose team/0
        9    restart 0
        90   end
        ",
        "
        2 page team triggered 1
        2 team/0 notify (first notification) a@1
        3 page other triggered 1
        3 other/0 notify (first notification) a@1
        6 page team resolved 0
        6 team/0 notify (all alerts resolved)  - a@1..6
        7 page other resolved 0
        7 other/0 notify (all alerts resolved)  - a@1..6
        8 lost, again at 66
        66 team/0 notify (all alerts resolved)  - a@1..6
        ",
    );
}

#[test]
fn what_nobody_waits_for_is_not_told_again() {
    let with = |integrations: &[&str]| slow(integrations);
    // An integration that is gone, an end that is not wanted, a page that was taken, and what was told twice.
    check(
        with(&["webhook@a", "pagerduty", "webhook-no-resolved"]),
        &[with(&["webhook@b", "pagerduty", "webhook-no-resolved"])],
        "
        1    fire a @1 ..90000
        3    ack ada
        4    lose team/1
        5    lose team/1
        10   lose team/0
        11   lose team/0
        20   reload 0
        21   lose team/2
        300  end
        ",
        "
        2 page team triggered 1
        2 team/0 notify (first notification) a@1
        2 team/1 trigger (first notification) a@1
        2 team/2 notify (first notification) a@1
        3 page team acknowledged by ada 1
        3 team/1 acknowledge (acknowledged) a@1
        4 lost, nothing to take back
        5 lost, nothing to take back
        10 lost, again at 62
        11 lost, nothing to take back
        20 team/0 notify (first notification) a@1
        21 lost, again at 80
        80 team/2 notify (first notification) a@1
        ",
    );
}

#[test]
fn what_is_silent_when_it_is_due_again_is_told_afterwards() {
    let mut config = slow(&["webhook"]);
    config.root.group_interval = Span::from_mins(30);
    config.root.mute_time_intervals = vec!["night".to_owned()];
    config.time_intervals = night();
    // The hour of the night ends at 3,600 seconds of the next day.
    check(
        config,
        &[],
        "
        86398  fire a @86398 ..86398.5
        86398  fire b @86398 ..200000
        86399.5 lose team/0
        95000  end
        ",
        "
        86399 page team triggered 1
        86399 team/0 notify (first notification) b@86398
        86399.5 lost, again at 88199
        91799 team/0 notify (first notification) b@86398
        ",
    );
}
