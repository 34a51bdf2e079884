//! Schedules: zones, daylight saving, and what was missed.

use tocsin_core::run::schedule::{BadSchedule, FireOutcome, MISSED_MAX, Missed, Schedule};
use tocsin_core::run::trigger::{next_due, of_schedules};
use tocsin_core::time::{Span, Timestamp};

use super::world::runbook;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn schedule(cron: &str, tz: &str, missed: Missed) -> Schedule {
    Schedule { cron: cron.to_owned(), tz: tz.to_owned(), missed, window: None, jitter: None }
}

fn instants(cron: &str, tz: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = schedule(cron, tz, Missed::Skip);
    let mut after = at(from);
    (0..count)
        .map(|_| {
            after = schedule.next(after).unwrap();
            after.rfc3339()[..16].to_owned()
        })
        .collect()
}

#[test]
fn daylight_saving_neither_skips_a_day_nor_doubles_one() {
    // In Paris the hour after 2:00 is missing on 2026-03-29 and comes twice on 2026-10-25.
    assert_eq!(
        instants("30 2 * * *", "Europe/Paris", "2026-03-27T12:00:00Z", 3),
        ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]
    );
    assert_eq!(instants("30 2 * * *", "Europe/Paris", "2026-10-24T12:00:00Z", 2), ["2026-10-25T00:30", "2026-10-26T01:30"]);
    assert_eq!(
        instants("*/30 * * * *", "Europe/Paris", "2026-10-24T23:45:00Z", 5),
        ["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30", "2026-10-25T02:00"]
    );
    assert_eq!(instants("0 18 * * 5", "Europe/Paris", "2026-10-20T00:00:00Z", 2), ["2026-10-23T16:00", "2026-10-30T17:00"]);
    // Day of the month or day of the week, as crontabs say it; 0 and 7 are Sunday.
    assert_eq!(
        instants("0 0 13 * 7", "UTC", "2026-11-01T12:00:00Z", 3),
        ["2026-11-08T00:00", "2026-11-13T00:00", "2026-11-15T00:00"]
    );
}

#[test]
fn every_instant_between_two_others_is_found_once_in_any_steps() {
    for (cron, zone) in
        [("*/7 1-3 * * *", "Europe/Paris"), ("30 2 * * *", "America/New_York"), ("15 */2 * * *", "Australia/Lord_Howe")]
    {
        let schedule = schedule(cron, zone, Missed::Skip);
        for start in ["2026-03-28T00:00:00Z", "2026-10-24T00:00:00Z", "2026-04-04T00:00:00Z", "2026-11-01T00:00:00Z"] {
            let (from, end) = (at(start), at(start) + Span::from_mins(3 * 24 * 60));
            let mut whole = Vec::new();
            let mut after = from;
            while let Some(next) = schedule.next(after).filter(|next| *next <= end) {
                assert!(next > after);
                whole.push(next);
                after = next;
            }
            let mut stepped = Vec::new();
            let mut last = from;
            while last < end {
                let now = (last + Span::from_mins(11)).min(end);
                stepped.extend(schedule.due(last, now).iter().map(|fire| fire.due));
                last = now;
            }
            assert_eq!(whole, stepped, "{cron} {zone} {start}");
        }
    }
}

#[test]
fn what_was_missed_is_skipped_or_run_once_and_told_either_way() {
    let (last, now) = (at("2026-11-21T00:00:00Z"), at("2026-11-21T03:30:00Z"));
    let outcomes =
        |missed, now| schedule("0 * * * *", "UTC", missed).due(last, now).iter().map(|fire| fire.outcome).collect::<Vec<_>>();
    use FireOutcome::{Run, Skipped};
    assert_eq!(outcomes(Missed::Skip, now), [Skipped, Skipped, Skipped]);
    assert_eq!(outcomes(Missed::RunOnce, now), [Skipped, Skipped, Run]);
    assert_eq!(outcomes(Missed::Skip, at("2026-11-21T03:00:59Z")), [Skipped, Skipped, Run], "a minute late is met");
    assert_eq!(outcomes(Missed::Skip, at("2026-11-21T00:59:59Z")), []);
    // A clock that was set back asks for nothing.
    assert_eq!(schedule("* * * * *", "UTC", Missed::RunOnce).due(now, last), []);
    // After years only the newest are told, and it does not take long.
    let fires = schedule("* * * * *", "UTC", Missed::Skip).due(at("2016-01-01T00:00:00Z"), now);
    assert_eq!(fires.len(), MISSED_MAX + 1);
    assert_eq!(fires.last().unwrap().due, now);
    let rare = schedule("0 0 29 2 *", "UTC", Missed::RunOnce).due(at("2016-01-01T00:00:00Z"), now);
    assert_eq!(rare.len(), 3);
}

#[test]
fn bad_crontabs_say_why() {
    let faults = |cron: &str, tz: &str| schedule(cron, tz, Missed::Skip).check(at("2026-11-21T00:00:00Z"));
    assert_eq!(faults("0 18 * * 5", "Europe/Paris"), []);
    for cron in ["", "* * * *", "0 0 0 * * *", "60 * * * *", "* * * * 8", "a * * * *"] {
        assert!(matches!(faults(cron, "UTC").as_slice(), [BadSchedule::Cron { .. }]), "{cron:?}");
    }
    assert_eq!(faults("0 0 30 2 *", "UTC"), [BadSchedule::Never("0 0 30 2 *".to_owned())]);
    assert_eq!(faults("* * * * *", "Local"), [BadSchedule::Zone("Local".to_owned())]);
    assert_eq!(faults("x", "y").len(), 2);
}

#[test]
fn a_schedule_asks_for_one_run_at_each_instant() {
    let rest = "params: {num: {type: int, required: true}}\ntriggers: [{schedule: {cron: '0 * * * *', tz: UTC, missed: run_once, params: {num: 3}}}]";
    let runbook = runbook("read", "- {id: a, kind: wait, effect: idempotent, with: {for: 1s}}", rest);
    let (last, now) = (at("2026-11-21T00:30:00Z"), at("2026-11-21T02:00:10Z"));
    let fired = of_schedules(&runbook, |_| last, now);
    assert_eq!(fired.fires.len(), 2);
    assert_eq!(fired.asks.len(), 1);
    assert_eq!(fired.asks[0].trigger_ref.as_deref(), Some("r1/0@1795226400000"));
    assert_eq!(fired.asks[0].given[0].text, "3");
    assert_eq!(next_due(&runbook, |_| now), Some(at("2026-11-21T03:00:00Z")));
}
