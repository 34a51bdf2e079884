//! Stories of our own alerts on their way to routing: what ends, what goes on, and under which labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_core::alert::{InstanceState, Transition};
use tocsin_core::alertmanagers::Report;
use tocsin_core::ledger::{Alerting, Judged, Ledger, LedgerChange, NEVER, Outward, RuleKey, RuleTerms};
use tocsin_core::model::LabelSet;
use tocsin_core::model::relabel::{Action, RelabelRule};
use tocsin_core::plane::{Change, Event, Limits, Plane, Records, Refused, Reply};
use tocsin_core::route::alert::{ALERT_NAME, IncomingAlert};
use tocsin_core::route::receiver::{Channel, Integration, Receiver};
use tocsin_core::route::tree::{Flapping, GroupBy, Route, Routing};
use tocsin_core::rule::{Active, Holding, RuleId};
use tocsin_core::time::{Span, Timestamp};
use tocsin_core::trace::{AlertStep, Entry, TraceChange};

fn at(second: i64) -> Timestamp {
    Timestamp(1_000_000_000 + second * 1000)
}

fn routing() -> Arc<Routing> {
    let inbox = Integration { send_resolved: true, channel: Channel::Inbox };
    let team =
        Receiver { name: "team".to_owned(), position: 0, labels: BTreeMap::new(), integrations: vec![inbox], users: vec![] };
    Arc::new(Routing {
        root: Route {
            receiver: "team".to_owned(),
            matchers: vec![],
            group_by: GroupBy::Labels(vec![ALERT_NAME.to_owned()]),
            continues: false,
            group_wait: Span::ZERO,
            group_interval: Span::from_secs(10),
            repeat_interval: Span::from_mins(240),
            mute_time_intervals: vec![],
            active_time_intervals: vec![],
            routes: vec![],
        },
        receivers: BTreeMap::from([(team.name.clone(), team)]),
        inhibitions: vec![],
        time_intervals: BTreeMap::new(),
        resolve_timeout: Span::from_mins(5),
        flapping: None,
        silencing: tocsin_core::route::silence::Silencing::default(),
    })
}

/// Alerts under a clock of our own.
struct Story {
    state: Alerting,
    now: Timestamp,
    limit: usize,
    hold: Span,
    told: Vec<String>,
    /// What became of alerts, as the trace has it.
    steps: Vec<String>,
    /// What was to be stored of the alerts of rules.
    changes: Vec<LedgerChange>,
    /// What other Alertmanagers were to hear.
    reports: Vec<Report>,
}

impl Story {
    fn new() -> Story {
        let plane = Plane::restore(routing(), "", Records::default());
        let mut story = Story {
            state: Alerting { plane, ledger: Ledger::default() },
            now: at(0),
            limit: 0,
            hold: Span::ZERO,
            told: vec![],
            steps: vec![],
            changes: vec![],
            reports: vec![],
        };
        story.state.plane.accept(Event::Warm, at(0)).unwrap();
        story
    }

    /// Evaluates a rule: each word is the replica of an alert of the same name, with a summary where one follows a colon.
    fn evaluate(&mut self, second: i64, rule: &str, replicas: &[&str]) {
        self.run_until(second);
        let active = replicas.iter().map(|word| {
            let (replica, summary) = word.split_once(':').unwrap_or((word, ""));
            Active {
                labels: LabelSet::from_pairs([(ALERT_NAME, "Down"), ("replica", replica)]),
                annotations: BTreeMap::from([("summary".to_owned(), summary.to_owned())]),
                value: 1.0,
            }
        });
        let terms = RuleTerms {
            file: "rules.yml".to_owned(),
            group: rule.to_owned(),
            name: "Down".to_owned(),
            expr: "up == 0".to_owned(),
            hold: self.hold,
            keep_firing: Span::ZERO,
            holding: Holding::default(),
            limit: self.limit,
            interval: Span::from_secs(10),
            generator_url: "http://graph".to_owned(),
        };
        let (active, unseen) = (active.collect(), BTreeMap::new());
        let judged = Judged { rule: key(rule), terms: Arc::new(terms), active, unseen, at: at(second), early: false };
        let outcome = self.state.judge(judged, at(second));
        assert_eq!(outcome.lost.is_some(), self.limit > 0 && replicas.len() > self.limit);
        self.changes.extend(outcome.changes);
        self.reports.extend(outcome.reports);
        self.run_until(second);
    }

    fn outward(&mut self, second: i64, rules: &[&str], outward: Outward) {
        self.run_until(second);
        let keys: Vec<RuleKey> = rules.iter().map(|rule| key(rule)).collect();
        let outcome = self.state.replace_rules(&keys, &[], outward, at(second));
        self.changes.extend(outcome.changes);
        self.reports.extend(outcome.reports);
        self.run_until(second);
    }

    fn post(&mut self, second: i64, ends_at: Option<i64>) -> Result<Reply, Refused> {
        self.run_until(second);
        let alert = IncomingAlert {
            labels: LabelSet::from_pairs([(ALERT_NAME, "Down"), ("replica", "a")]),
            starts_at: Some(at(0)),
            ends_at: ends_at.map(at),
            source: "api".to_owned(),
            ..IncomingAlert::default()
        };
        let reply = self.state.plane.accept(Event::Alerts(vec![alert]), at(second));
        self.run_until(second);
        reply
    }

    /// Returns what other Alertmanagers were to hear since the last time: labels, whether it is over, and where it begins and ends.
    fn reported(&mut self) -> Vec<String> {
        let seconds = |instant: Timestamp| (instant - at(0)).seconds();
        let shown = |report: Report| {
            let word = if report.is_over { "over" } else { "fires" };
            let summary = report.annotations.get("summary").map_or("", String::as_str);
            format!("{}{summary} {word} {} to {}", report.labels, seconds(report.starts_at), seconds(report.ends_at))
        };
        self.reports.drain(..).map(shown).collect()
    }

    fn run_until(&mut self, second: i64) {
        while let Some(deadline) = self.state.plane.next_deadline().filter(|deadline| *deadline <= at(second)) {
            self.now = self.now.max(deadline);
            self.state.plane.tick(self.now);
            self.take_down();
        }
        self.now = at(second);
        self.take_down();
    }

    fn take_down(&mut self) {
        for change in self.state.plane.drain() {
            if let Change::Trace(TraceChange::Add { entry: Entry::Alerts(steps), .. }) = &change {
                let step = |step: &AlertStep| {
                    let own = step.own.as_ref().map_or(String::new(), |own| format!(" of {own}"));
                    format!("{} {}{own}: {step}", (step.at - at(0)).seconds(), step.labels)
                };
                self.steps.extend(steps.iter().map(step));
            }
            if let Change::Deliver(delivery) = change {
                let alerts: Vec<String> = delivery
                    .data
                    .alerts
                    .iter()
                    .map(|alert| format!("{}{}", alert.labels, alert.annotations.get("summary").map_or("", |text| text)))
                    .collect();
                let status = format!("{:?}", delivery.data.status).to_lowercase();
                self.told.push(format!("{} {status} {}", (self.now - at(0)).seconds(), alerts.join(" ")));
            }
        }
    }
}

fn key(rule: &str) -> RuleKey {
    Arc::new(RuleId {
        file: "rules.yml".to_owned(),
        group: rule.to_owned(),
        name: "Down".to_owned(),
        labels: BTreeMap::new(),
        nth: 0,
    })
}

fn without_replica() -> Outward {
    let drop = RelabelRule::new(Action::LabelDrop).with_pattern("replica").unwrap();
    Outward { relabel: vec![drop], ..Outward::default() }
}

fn with_zone(zone: &str) -> Outward {
    Outward { external_labels: LabelSet::from_pairs([("zone", zone)]), ..Outward::default() }
}

#[test]
fn one_of_two_replicas_recovers_and_the_alert_that_both_make_goes_on() {
    let mut story = Story::new();
    story.outward(0, &["one"], without_replica());
    story.evaluate(10, "one", &["a", "b"]);
    story.evaluate(20, "one", &["b"]);
    story.evaluate(100, "one", &["b"]);
    assert_eq!(story.told, [r#"10 firing {alertname="Down"}"#]);
    story.evaluate(200, "one", &[]);
    story.run_until(300);
    assert_eq!(story.told[1..], [r#"210 resolved {alertname="Down"}"#]);
}

#[test]
fn the_trace_tells_what_each_evaluation_made_of_an_alert() {
    let mut story = Story { hold: Span::from_secs(15), limit: 2, ..Story::new() };
    story.outward(0, &["one", "two"], with_zone("z"));
    story.evaluate(10, "one", &["a"]);
    story.evaluate(20, "one", &["a"]);
    story.evaluate(30, "one", &["a"]);
    story.evaluate(40, "one", &["a", "b"]);
    story.evaluate(50, "one", &[]);
    story.evaluate(60, "one", &["a"]);
    story.evaluate(70, "one", &["a", "b", "c"]);
    story.evaluate(80, "two", &["d"]);
    let drop =
        RelabelRule { source_labels: vec!["replica".to_owned()], ..RelabelRule::new(Action::Drop).with_pattern("d").unwrap() };
    story.outward(90, &["one", "two"], Outward { relabel: vec![drop], ..Outward::default() });
    story.evaluate(100, "two", &["d"]);
    story.outward(110, &["one"], Outward::default());
    let with_zone =
        |name: &str| format!(r#"{{alertname="Down", replica="{name}", zone="z"}} of {{alertname="Down", replica="{name}"}}"#);
    let (a, b, d) = (with_zone("a"), with_zone("b"), with_zone("d"));
    let begins = "pending: the condition of rules.yml/one has begun to hold, value 1; it fires after 15s";
    let lost = "its rule has more alerts than its limit, so all of them are gone";
    let bare = r#"{alertname="Down", replica="d"}"#;
    assert_eq!(
        story.steps,
        [
            format!("10 {a}: {begins}"),
            format!("30 {a}: fires: the condition of rules.yml/one holds since 13:46:50, its rule asks for 15s; value 1"),
            format!("40 {b}: {begins}"),
            format!("50 {a}: resolved: the condition holds no longer; it fired from 13:47:10"),
            format!("50 {b}: no longer pending: the condition held from 13:47:20 only, too short to fire"),
            format!("60 {a}: {begins}"),
            format!("70 {a}: {lost}"),
            format!("80 {d}: pending: the condition of rules.yml/two has begun to hold, value 1; it fires after 15s"),
            format!(
                "100 {bare}: fires: the condition of rules.yml/two holds since 13:48:00, its rule asks for 15s; value 1; \
                 alert_relabel_configs drop it, so nobody hears of it"
            ),
            format!("110 {bare}: ended: its rule is gone"),
        ]
    );
}

#[test]
fn an_alert_of_two_rules_ends_with_the_second_and_speaks_with_the_words_of_who_is_left() {
    let mut story = Story::new();
    story.evaluate(10, "one", &["a:from one"]);
    story.evaluate(11, "two", &["a:from two"]);
    story.evaluate(30, "one", &["a:from one"]);
    // The rule that spoke last is gone from the files.
    story.outward(40, &["one"], Outward::default());
    let alert = story.state.plane.alerts(at(40)).remove(0).alert;
    assert_eq!((alert.source.as_str(), alert.annotations.get("summary").unwrap()), ("rule/rules.yml/one", "from one"));
    assert_eq!((alert.ends_at, alert.generator_url.as_str()), (NEVER, "http://graph"));
    story.evaluate(50, "one", &[]);
    story.run_until(100);
    let first = r#"10 firing {alertname="Down", replica="a"}from one"#;
    assert_eq!(story.told, [first, r#"60 resolved {alertname="Down", replica="a"}from one"#]);
}

#[test]
fn another_sender_cannot_end_what_a_rule_holds() {
    let mut story = Story::new();
    story.evaluate(10, "one", &["a"]);
    // It is not refused, for a sender with the same rule means well; neither its word nor its silence ends anything.
    for (now, ends_at) in [(20, Some(19)), (30, None)] {
        assert_eq!(story.post(now, ends_at), Ok(Reply::Alerts { accepted: 1, refused: vec![] }));
    }
    story.run_until(2000);
    assert_eq!(story.told.len(), 1, "{:?}", story.told);
    story.evaluate(2010, "one", &[]);
    story.run_until(2100);
    assert!(story.told[1].contains("resolved"), "{:?}", story.told);
    // What no rule holds anybody may end.
    story.post(2200, None).unwrap();
    assert_eq!(story.post(2210, Some(2209)), Ok(Reply::Alerts { accepted: 1, refused: vec![] }));
}

#[test]
fn alerts_under_new_labels_fire_before_those_under_the_old_ones_end() {
    let mut story = Story::new();
    story.outward(0, &["one"], with_zone("a"));
    story.evaluate(10, "one", &["a:sad"]);
    story.outward(25, &["one"], with_zone("b"));
    let alerts = story.state.plane.alerts(at(25));
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].alert.labels.to_string(), r#"{alertname="Down", replica="a", zone="b"}"#);
    assert_eq!((alerts[0].alert.starts_at, alerts[0].alert.generator_url.as_str()), (at(10), "http://graph"));
    assert_eq!(story.state.plane.pages().len(), 1, "the same group is one page");
    // A reload that changes nothing tells nothing.
    let told = story.told.len();
    story.outward(28, &["one"], with_zone("b"));
    story.evaluate(40, "one", &["a:sad"]);
    story.run_until(60);
    assert_eq!(
        story.told[told..],
        [r#"30 firing {alertname="Down", replica="a", zone="a"}sad {alertname="Down", replica="a", zone="b"}sad"#]
    );
}

#[test]
fn a_rule_with_too_many_alerts_lets_them_run_out() {
    let mut story = Story::new();
    story.limit = 2;
    story.evaluate(10, "one", &["a"]);
    story.evaluate(20, "one", &["a", "b", "c"]);
    assert_eq!(story.state.plane.alerts(at(20))[0].alert.ends_at, at(20 + 240));
    story.evaluate(30, "one", &["a", "b", "c"]);
    story.run_until(300);
    assert_eq!(story.told[1..], [r#"260 resolved {alertname="Down", replica="a"}"#]);
    // A rule that is well again before that holds its alerts again.
    story.evaluate(310, "one", &["a"]);
    story.evaluate(320, "one", &["a", "b", "c"]);
    story.evaluate(330, "one", &["a"]);
    story.run_until(2000);
    assert!(story.told.last().unwrap().contains("310 firing"), "{:?}", story.told);
}

#[test]
fn an_alert_that_routing_has_no_room_for_is_offered_again() {
    let mut story = Story::new();
    let limits = Limits { alerts: 1, ..Limits::default() };
    story.state.plane = Plane::restore(routing(), "", Records::default()).with_limits(limits);
    story.state.plane.accept(Event::Warm, at(0)).unwrap();
    story.evaluate(10, "one", &["a"]);
    story.evaluate(10, "two", &["b"]);
    story.evaluate(20, "one", &[]);
    story.run_until(30);
    assert_eq!(story.told, [r#"10 firing {alertname="Down", replica="a"}"#, r#"30 resolved {alertname="Down", replica="a"}"#]);
    for second in [40, 60, 80, 100] {
        story.evaluate(second, "two", &["b"]);
    }
    assert_eq!(story.told[2..], [r#"80 firing {alertname="Down", replica="b"}"#]);
}

#[test]
fn words_that_are_too_long_are_cut_and_told() {
    let mut story = Story::new();
    let long = format!("a:{}", "ä".repeat(100_000));
    story.evaluate(10, "one", &[&long]);
    assert_eq!(story.told.len(), 1);
    assert!(story.told[0].ends_with("ää…") && story.told[0].len() < 132_000, "{}", story.told[0].len());
}

#[test]
fn the_gap_of_each_crash_is_left_out_of_the_hold() {
    let mut story = Story::new();
    story.hold = Span::from_secs(100);
    story.evaluate(0, "one", &["a"]);
    let stored = |ledger: &Ledger| -> Vec<(RuleKey, InstanceState)> {
        let states = ledger.of_rule(&key("one")).unwrap().states();
        states.into_iter().map(|state| (key("one"), state)).collect()
    };
    // Ten seconds seen, a gap of a thousand; it dies again before the rule has been evaluated.
    let (ledger, shifted, _) = Ledger::restore(stored(&story.state.ledger), Span::from_secs(1000));
    assert_eq!(shifted.len(), 1, "what was shifted must be stored, or the next start counts this gap towards the hold");
    let (again, unchanged, _) = Ledger::restore(stored(&ledger), Span::ZERO);
    assert!(unchanged.is_empty());
    story.state.ledger = again;
    story.outward(1010, &["one"], Outward::default());
    story.evaluate(1010, "one", &["a"]);
    assert!(story.told.is_empty(), "ten seconds are not a hundred: {:?}", story.told);
    story.evaluate(1100, "one", &["a"]);
    assert_eq!(story.told.len(), 1);
}

#[test]
fn what_a_crash_must_not_lose_is_stored_and_nothing_twice() {
    let mut story = Story::new();
    story.hold = Span::from_secs(20);
    let outward = with_zone("north");
    story.outward(0, &["one"], outward.clone());
    for second in [10, 20, 30, 40] {
        story.evaluate(second, "one", &["a"]);
    }
    story.evaluate(50, "one", &[]);
    story.outward(60, &[], outward);
    let words: Vec<String> = story
        .changes
        .iter()
        .map(|change| match change {
            LedgerChange::PutInstance { rule, state } => format!("put {} {} {:?}", rule.group, state.labels, state.state),
            LedgerChange::DropInstance { rule, fingerprint } => format!("drop {} {fingerprint}", rule.group),
            LedgerChange::DropRule(rule) => format!("drop all of {}", rule.group),
            LedgerChange::Happened { labels, at: when, what } => {
                let word = match what {
                    Transition::Pending(_) => "pending",
                    Transition::Fired(_) => "fired",
                    Transition::Resolved(_) => "resolved",
                    Transition::Cleared(_) | Transition::Forgotten(_) => "gone",
                };
                format!("{} {labels} {word}", (*when - at(0)).seconds())
            }
        })
        .collect();
    let (own, routed) = (r#"{alertname="Down", replica="a"}"#, r#"{alertname="Down", replica="a", zone="north"}"#);
    let expected = [
        format!("put one {own} Pending"),
        format!("10 {routed} pending"),
        format!("put one {own} Firing"),
        format!("30 {routed} fired"),
        format!("put one {own} Resolved"),
        format!("50 {routed} resolved"),
        "drop all of one".to_owned(),
    ];
    assert_eq!(story.changes.len(), 7, "{words:#?}");
    assert_eq!(words, expected);
}

fn to_others(outward: Outward) -> Outward {
    Outward { others: true, ..outward }
}

#[test]
fn other_alertmanagers_hear_of_alerts_as_from_prometheus() {
    let mut story = Story::new();
    story.evaluate(0, "g", &["a"]);
    assert_eq!(story.reported(), [""; 0], "nobody asks");
    let mut story = Story::new();
    story.outward(0, &[], to_others(with_zone("x")));
    let fires = |from, to| format!("{{alertname=\"Down\", replica=\"a\", zone=\"x\"}} fires {from} to {to}");
    for second in [10, 20, 70] {
        story.evaluate(second, "g", &["a"]);
    }
    assert_eq!(story.reported(), [fires(10, 250)], "it is told once a minute, and a minute has not passed");
    story.evaluate(80, "g", &["a:now with words"]);
    assert_eq!(story.reported(), [fires(10, 320).replace(" fires", "now with words fires")]);
    story.evaluate(90, "g", &[]);
    let over = "{alertname=\"Down\", replica=\"a\", zone=\"x\"}now with words over 10 to 90";
    assert_eq!(story.reported(), [over], "an end is told at once, …");
    for slot in 10..=110 {
        story.evaluate(slot * 10, "g", &[]);
    }
    let told = story.reported();
    assert_eq!(
        (told.len(), told.iter().all(|one| one == over)),
        (12, true),
        "… and each 70 seconds for a quarter of an hour: {told:?}"
    );
    story.evaluate(1200, "g", &["a"]);
    assert_eq!(story.reported(), [fires(1200, 1440)]);
    // A rule that is gone has no alerts; Prometheus would let them run out.
    story.outward(1205, &[], to_others(with_zone("x")));
    assert_eq!(story.reported(), ["{alertname=\"Down\", replica=\"a\", zone=\"x\"} over 1200 to 1205"]);
}

#[test]
fn an_end_is_not_told_to_others_while_an_alert_of_the_same_labels_fires() {
    let mut story = Story::new();
    story.outward(0, &[], to_others(without_replica()));
    story.evaluate(10, "g", &["a", "b"]);
    assert_eq!(story.reported(), ["{alertname=\"Down\"} fires 10 to 250"; 2]);
    story.evaluate(20, "g", &["b"]);
    assert_eq!(story.reported(), [""; 0]);
    story.evaluate(30, "g", &[]);
    assert_eq!(story.reported(), ["{alertname=\"Down\"} over 10 to 30"]);
    let drops = RelabelRule { source_labels: vec![ALERT_NAME.to_owned()], ..RelabelRule::new(Action::Drop) };
    story.outward(40, &["g"], to_others(Outward { relabel: vec![drops], ..Outward::default() }));
    story.evaluate(50, "g", &["a"]);
    assert_eq!(story.reported(), [""; 0], "what the rules drop is told to nobody");
}

#[test]
fn after_a_restart_others_hear_at_once() {
    let mut story = Story::new();
    story.outward(0, &[], to_others(Outward::default()));
    story.evaluate(10, "g", &["a", "b"]);
    story.evaluate(20, "g", &["b"]);
    let records = story.state.ledger.alerts().map(|(_, instance)| (key("g"), InstanceState::from(instance))).collect();
    let (ledger, _, refused) = Ledger::restore(records, Span::ZERO);
    assert_eq!(refused, 0);
    story.state.ledger = ledger;
    story.outward(21, &["g"], to_others(Outward::default()));
    story.reports.clear();
    story.evaluate(30, "g", &["b"]);
    let expected = ["{alertname=\"Down\", replica=\"a\"} over 10 to 20", "{alertname=\"Down\", replica=\"b\"} fires 10 to 270"];
    assert_eq!(story.reported(), expected);
}

#[test]
fn an_alert_that_fires_on_is_heard_again_though_its_end_under_these_labels_was_put_off() {
    let mut story = Story::new();
    let flapping = Flapping { begins: 2, within: Span::from_mins(30), quiet: Span::from_mins(15) };
    let routing = Routing { flapping: Some(flapping), ..routing().as_ref().clone() };
    story.state.plane.accept(Event::Reload(Arc::new(routing)), at(0)).unwrap();
    story.evaluate(0, "a", &["1"]);
    story.evaluate(10, "a", &[]);
    story.evaluate(20, "a", &["1"]);
    let region = Outward { external_labels: LabelSet::from_pairs([("region", "eu")]), ..Outward::default() };
    story.outward(30, &["a"], region);
    story.outward(40, &["a"], Outward::default());
    let fingerprint = LabelSet::from_pairs([(ALERT_NAME, "Down"), ("replica", "1")]).fingerprint();
    assert!(story.state.plane.is_said_to_fire(fingerprint, at(40)));
    story.run_until(3600);
    assert!(story.state.plane.is_firing(fingerprint, at(3600)), "it has not ended");
}
