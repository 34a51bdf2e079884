//! What the plane takes down of its decisions, and what is told of them to those who ask why.

use std::collections::BTreeMap;

use tocsin_core::model::{LabelSet, Matcher};
use tocsin_core::plane::Event;
use tocsin_core::route::alert::IncomingAlert;
use tocsin_core::route::silence::SilenceRequest;
use tocsin_core::route::tree::{Flapping, Inhibition, Routing};
use tocsin_core::time::{Span, Timestamp};
use tocsin_core::trace::why::{Account, AttemptFact, DeliveryFact, Evidence, why};
use tocsin_core::trace::{Entry, Record};

use super::world::{World, inhibition, night, receiver, route, routing};

fn at(seconds: f64) -> Timestamp {
    Timestamp((seconds * 1000.0) as i64)
}

fn labels(text: &str) -> LabelSet {
    LabelSet::from_pairs(text.split(' ').map(|pair| pair.split_once('=').unwrap_or(("alertname", pair))))
}

/// Two receivers: `team` hears of everything but databases, for which nobody is told.
fn world() -> World {
    world_of(|_| ())
}

fn world_of(change: impl FnOnce(&mut Routing)) -> World {
    let mut root = route("team", &[]);
    (root.group_interval, root.repeat_interval) = (Span::from_secs(10), Span::from_mins(60));
    root.routes = vec![route("nobody", &[("team", "db")])];
    let mut routing = routing(root, &[receiver("team", &["webhook", "pagerduty"]), receiver("nobody", &[])]);
    change(&mut routing);
    let mut world = World::new(routing, at(0.0));
    world.accept(Event::Warm).unwrap();
    world
}

impl World {
    fn at(&mut self, second: f64) -> &mut World {
        self.run_until(at(second));
        self
    }

    fn fire(&mut self, alert: &str, ends_at: Option<f64>) {
        let news = IncomingAlert {
            labels: labels(alert),
            starts_at: Some(self.now),
            ends_at: ends_at.map(at).or(Some(at(100_000.0))),
            source: "api".to_owned(),
            ..IncomingAlert::default()
        };
        self.accept(Event::Alerts(vec![news])).unwrap();
    }

    fn end(&mut self, alert: &str) {
        let news = IncomingAlert {
            labels: labels(alert),
            ends_at: Some(self.now),
            source: "api".to_owned(),
            ..IncomingAlert::default()
        };
        self.accept(Event::Alerts(vec![news])).unwrap();
    }

    fn silence(&mut self, name: &str, until: f64) {
        let request = SilenceRequest {
            id: None,
            new_id: "s-1".to_owned(),
            matchers: vec![Matcher::equal("alertname", name)],
            starts_at: Some(self.now),
            ends_at: at(until),
            created_by: "ann".to_owned(),
            comment: "deploy".to_owned(),
            annotations: BTreeMap::new(),
            owner: None,
            seen_at: None,
            terms: None,
        };
        self.accept(Event::SilenceSet(request)).unwrap();
    }

    /// Returns the records as they are read back: those that still run are as long as the plane has it.
    fn records(&self) -> Vec<Record> {
        let mut records = self.store.trace.clone();
        for stretch in self.plane.stretches() {
            let record = records.iter_mut().find(|record| record.number == stretch.record).unwrap();
            (record.until, record.times) = (stretch.until, stretch.times);
        }
        records
    }

    /// Returns the account of an alert; each delivery has arrived half a second after it was decided, or failed.
    fn why(&self, alert: &str, second: f64, outcome: &str) -> Account {
        let fingerprint = labels(alert).fingerprint();
        let mine =
            |delivery: &&tocsin_core::plane::Delivery| delivery.data.alerts.iter().any(|one| one.fingerprint == fingerprint);
        let fact = |(index, delivery): (usize, &tocsin_core::plane::Delivery)| DeliveryFact {
            key: delivery.key.clone(),
            id: index as i64 + 1,
            lane: delivery.lane.clone(),
            receiver: delivery.receiver.clone(),
            channel: delivery.channel.clone(),
            state: if outcome == "retry" { "pending" } else { outcome }.to_owned(),
            next_attempt_at: delivery.created_at + Span::from_secs(30),
            attempts: vec![AttemptFact {
                at: delivery.created_at + Span(500),
                outcome: outcome.to_owned(),
                detail: "the answer".to_owned(),
                duration: Span(20),
            }],
        };
        why(&Evidence {
            labels: labels(alert),
            at: at(second),
            from: Timestamp::MIN,
            to: Timestamp::MAX,
            records: self.records(),
            deliveries: self.store.deliveries.iter().filter(mine).enumerate().map(fact).collect(),
            people: vec![],
        })
    }

    /// Returns a line for each verdict.
    fn verdicts(&self, alert: &str, second: f64, outcome: &str) -> Vec<String> {
        let verdicts = self.why(alert, second, outcome).verdicts;
        let line = |verdict: tocsin_core::trace::why::Verdict| {
            let who = verdict.receiver.unwrap_or("-".to_owned());
            let otherwise = verdict.otherwise.map_or(String::new(), |otherwise| format!(" | {otherwise}"));
            format!("{who} {} {}: {}{otherwise}", verdict.told, verdict.stage.word(), verdict.why)
        };
        verdicts.into_iter().map(line).collect()
    }
}

#[test]
fn an_end_that_is_put_off_does_not_hide_that_people_were_told() {
    let flapping = Flapping { begins: 2, within: Span::from_secs(100), quiet: Span::from_secs(30) };
    let mut world = world_of(|routing| routing.flapping = Some(flapping));
    world.at(1.0).fire("Slow", None);
    world.at(3.0).end("Slow");
    world.at(13.0).fire("Slow", None);
    world.at(24.0).end("Slow");
    world.at(70.0);
    let told = ["team true delivery: told by pagerduty and webhook at 00:00:14, 2 times in all"];
    assert_eq!(world.verdicts("Slow", 30.0, "delivered"), told);
    let lines = world.why("Slow", 60.0, "delivered").lines;
    let ways: Vec<i64> = lines.iter().filter(|line| line.text.starts_with("fires")).map(|line| line.at.0).collect();
    assert_eq!(ways, [1_000, 13_000]);
    let put_off = lines.iter().find(|line| line.text.starts_with("its end is held back, for it flaps")).unwrap();
    assert_eq!((put_off.at, put_off.stage.word(), put_off.more.len()), (at(24.0), "routing", 0));
}

#[test]
fn each_stage_says_why_it_told_nobody_and_what_would_have_had_to_be_different() {
    let mut world = world_of(|routing| {
        routing.inhibitions = vec![Inhibition { equal: vec![], ..inhibition() }];
    });
    world.at(1.0).silence("Quiet", 60.0);
    world.at(10.0).fire("Quiet", None);
    world.fire("Slow", None);
    world.fire("Down team=db", None);
    world.fire("Short", Some(10.5));
    world.fire("ZoneDown", None);
    world.at(20.0).fire("InstanceDown", None);
    world.at(45.0);
    let told = |alert: &str, second: f64| world.verdicts(alert, second, "delivered");
    assert_eq!(told("Quiet", 5.0), ["- false rule: it was neither pending nor firing | its condition holding"]);
    assert_eq!(
        told("Quiet", 40.0),
        [
            "team false silence: held back since 00:00:11 by the silence s-1 of ann (deploy) until 00:01:00 | without it team would have \
          been told at 00:00:11"
        ]
    );
    assert_eq!(told("Slow", 40.0), ["team true delivery: told by pagerduty and webhook at 00:00:11, 2 times in all"]);
    assert_eq!(
        told("Slow", 10.5),
        [
            "team false group: its group waits for others to join: group_wait is 1s, and it fired at 00:00:10 | a shorter group_wait, or \
          a group that was told already and falls due sooner"
        ]
    );
    assert_eq!(
        told("Down team=db", 40.0),
        ["nobody false routing: the receiver has no integration | a receiver that sends somewhere"]
    );
    assert_eq!(
        told("InstanceDown", 40.0),
        [
            "team false inhibition: held back since 00:00:21 by the alert {alertname=\"ZoneDown\"}, which inhibits it | without it team \
          would have been told at 00:00:21"
        ]
    );
    assert_eq!(
        told("Short", 40.0),
        ["team false group: it ended at 00:00:11, before its group was due | a group_wait shorter than 1s; it is 1s"]
    );
    assert_eq!(
        world.verdicts("Slow", 40.0, "rejected"),
        [
            "team false delivery: delivery 1 by webhook was decided at 00:00:11 and has not arrived: 1 attempts, the last: the answer | \
          webhook taking it; it is rejected now"
        ]
    );
    assert_eq!(
        world.verdicts("Slow", 40.0, "retry"),
        [
            "team false delivery: delivery 1 by webhook was decided at 00:00:11 and has not arrived: 1 attempts, the last: the answer | it \
          is tried again at 00:00:41"
        ]
    );
}

#[test]
fn an_alert_that_came_back_before_its_end_was_told_is_no_news() {
    let mut world = world_of(|routing| routing.root.group_interval = Span::from_secs(30));
    world.at(10.0).fire("Slow", None);
    world.at(15.0).end("Slow");
    world.at(20.0).fire("Slow", None);
    world.at(60.0);
    assert_eq!(
        world.verdicts("Slow", 50.0, "delivered"),
        ["team false group: it was told of it before, at 00:00:11 | it hears again at 01:00:11"]
    );
    world.at(70.0).end("Slow");
    world.at(90.0);
    assert_eq!(
        world.verdicts("Slow", 100.0, "delivered"),
        ["team false group: it was told of it before, at 00:00:11 | it hears again at 01:00:11"]
    );
}

#[test]
fn a_time_interval_a_start_and_other_routes_are_seen() {
    let mut world = world_of(|routing| {
        routing.time_intervals = night();
        routing.root.mute_time_intervals = vec!["night".to_owned()];
    });
    world.at(10.0).fire("Slow", None);
    world.at(30.0);
    let night =
        "team false interval: the time interval night keeps it silent | outside of it team would have been told at 00:00:11";
    assert_eq!(world.verdicts("Slow", 30.0, "delivered"), [night]);

    // A start, before which the alert had begun; it is open after sixty seconds.
    world.restart(Some(at(30.0)));
    world.plane.tick(world.now);
    world.fire("Other", None);
    world.at(95.0);
    assert_eq!(
        world.verdicts("Other", 60.0, "delivered"),
        [
            "team false service: Tocsin had started at 00:00:30 and told nobody before its rules were evaluated | from 00:01:30 on it was \
          told"
        ]
    );

    // The way is that of the tree which held when the alert began.
    let mut other = routing(route("later", &[]), &[receiver("later", &["webhook"])]);
    other.root.group_interval = Span::from_secs(10);
    world.accept(Event::Reload(other.into())).unwrap();
    world.at(100.0).fire("New", None);
    world.at(120.0);
    assert_eq!(world.verdicts("New", 120.0, "delivered"), ["later true delivery: told by webhook at 00:01:41, 2 times in all"]);
    assert_eq!(world.verdicts("Slow", 30.0, "delivered"), [night]);
    let way = world.why("New", 120.0, "delivered").lines.into_iter().find(|line| line.text.starts_with("fires")).unwrap();
    assert_eq!(way.more, ["route {} to later: takes it"]);
    assert!(world.why("Slow", 30.0, "delivered").lines.iter().any(|line| line.text == "the routes are others from here on"));
}

#[test]
fn what_is_decided_again_and_again_is_one_record() {
    let mut world = world();
    world.at(10.0).fire("Slow", None);
    world.at(100.0);
    let flushes = |world: &World| {
        let records = world.records().into_iter().filter(|record| matches!(record.entry, Entry::Flush(_)));
        records.map(|record| (record.at.0 / 1000, record.until.0 / 1000, record.times)).collect::<Vec<_>>()
    };
    assert_eq!(flushes(&world), [(11, 11, 1), (21, 91, 8)]);
    // A restart does not end it, and its end is written down when another decision follows.
    world.restart(Some(at(100.0)));
    world.accept(Event::Warm).unwrap();
    world.at(150.0);
    assert_eq!(flushes(&world), [(11, 11, 1), (21, 141, 13)]);
    world.end("Slow");
    world.at(200.0);
    assert_eq!(flushes(&world), [(11, 11, 1), (21, 141, 13), (151, 151, 1)]);
    let stored = world.store.trace.iter().find(|record| record.times > 1).unwrap();
    assert_eq!((stored.until, stored.times), (at(141.0), 13));
}

#[test]
fn the_timeline_tells_everything_in_order() {
    let mut world = world();
    world.at(1.0).silence("Slow", 25.0);
    world.at(10.0).fire("Slow", None);
    world.at(45.0).end("Slow");
    world.at(60.0);
    let account = world.why("Slow", 30.0, "delivered");
    let line = |line: &tocsin_core::trace::why::Line| format!("{} {}: {}", line.at.0 / 1000, line.stage.word(), line.text);
    let lines: Vec<String> = account.lines.iter().map(line).collect();
    let due = "the group {}:{alertname=\"Slow\"} of team was due";
    assert_eq!(
        lines,
        [
            "0 service: Tocsin has started at 00:00:00; from here on people are told: what inhibits is known".to_owned(),
            "10 routing: fires: api says so; without further word until 1970-01-02 03:46:40".to_owned(),
            format!("11 group: {due}: held back by the silence s-1 of ann (deploy) until 00:00:25"),
            format!("31 group: {due}: nothing holds the alert back"),
            "31 delivery: delivery 1 to team by webhook: attempt 1 delivered after 20ms: the answer".to_owned(),
            "31 delivery: delivery 2 to team by pagerduty: attempt 1 delivered after 20ms: the answer".to_owned(),
            format!("41 group: {due}: nothing holds the alert back"),
            "45 routing: ended: api says so".to_owned(),
            format!("51 group: {due}: the alert has ended"),
            "51 delivery: delivery 3 to team by webhook: attempt 1 delivered after 20ms: the answer".to_owned(),
            "51 delivery: delivery 4 to team by pagerduty: attempt 1 delivered after 20ms: the answer".to_owned(),
        ]
    );
    assert_eq!(
        account.lines[1].more,
        ["route {} to team: takes it", "  route {team=\"db\"} to nobody: no, there is no label team"]
    );
    assert_eq!((account.lines[2].until, account.lines[2].times), (at(21.0), 2));
    assert_eq!(
        account.lines[3].more,
        ["webhook is told: first notification, delivery 1", "pagerduty is told: first notification, delivery 2"]
    );
    assert_eq!(account.lines[6].more[0], "webhook: no news; it heard of the group at 00:00:31 and hears again at 01:00:31");
}

#[test]
fn alerts_without_room_are_taken_down_within_bounds() {
    use tocsin_core::plane::Limits;
    use tocsin_core::trace::What;

    let mut world = world();
    world.plane = tocsin_core::plane::Plane::restore(world.routing.clone(), "", world.store.records(None))
        .with_limits(Limits { alerts: 1, ..Limits::default() });
    world.accept(Event::Warm).unwrap();
    world.fire("Slow", None);
    world.fire("Fast", None);
    let account = world.why("Fast", 10.0, "delivered");
    assert!(account.lines.iter().any(|line| line.text.starts_with("routing has no place for it: ")), "{account:?}");
    let many = (0..1000).map(|number| IncomingAlert { labels: labels(&format!("N{number}")), ..IncomingAlert::default() });
    world.accept(Event::Alerts(many.collect())).unwrap();
    let Entry::Alerts(steps) = &world.store.trace.last().unwrap().entry else { panic!("alerts came last") };
    assert!(steps.iter().all(|step| matches!(step.what, What::Refused { .. })));
    assert_eq!(steps.len(), 100);
}

#[test]
fn an_end_that_was_said_just_before_a_crash_stands() {
    let mut world = world();
    world.at(10.0).fire("Slow", None);
    world.at(12.0).fire("Silent", Some(20.0));
    world.at(18.0).end("Slow");
    // The last sign of life is older than the end, and nobody could say that the other one goes on.
    world.now = at(25.0);
    world.restart(Some(at(15.0)));
    world.accept(Event::Warm).unwrap();
    world.at(40.0);
    let firing = |name: &str| world.plane.is_firing(labels(name).fingerprint(), world.now);
    assert_eq!((firing("Slow"), firing("Silent")), (false, true));
    let mut ends = world
        .store
        .deliveries
        .iter()
        .filter(|delivery| delivery.data.alerts.iter().all(|alert| alert.labels.get("alertname") == "Slow"));
    assert_eq!(ends.next_back().unwrap().data.status.word(), "resolved");
}

#[test]
fn what_was_refused_says_by_whom_and_when_it_is_told_again() {
    let mut world = world();
    world.at(1.0).fire("Slow", None);
    world.at(2.0);
    let refused = world.store.deliveries.iter().find(|delivery| delivery.channel == "webhook").unwrap().clone();
    world.at(2.5).accept(Event::Undelivered(Box::new(refused))).unwrap();
    let verdict = "team false delivery: delivery 1 by webhook was decided at 00:00:02 and has not arrived: 1 attempts, the last: the \
                   answer | webhook taking it; it was refused by the provider: the answer; told again at the next interval, 00:00:12";
    assert_eq!(world.verdicts("Slow", 3.0, "rejected"), [verdict]);
    world.at(20.0);
    let lines = world.why("Slow", 20.0, "rejected").lines;
    let told: Vec<&str> = lines.iter().filter(|line| line.text.contains("told again")).map(|line| line.text.as_str()).collect();
    assert_eq!(told, ["delivery 1 was refused by the provider: the answer; told again at the next interval, 00:00:12"]);
    let again = lines.iter().filter(|line| line.at == at(12.0)).flat_map(|line| &line.more);
    assert_eq!(
        again.collect::<Vec<_>>(),
        [
            "webhook is told: first notification, delivery 3",
            "pagerduty: no news; it heard of the group at 00:00:02 and hears again at 01:00:02"
        ]
    );
}
