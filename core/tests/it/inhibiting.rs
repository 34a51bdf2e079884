//! Stories of alerts that inhibit others, whichever of their rules is evaluated first.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_core::ledger::{Alerting, Judged, Ledger, Outward, RuleKey, RuleTerms, rule_id};
use tocsin_core::model::relabel::{Action, RelabelRule};
use tocsin_core::model::{LabelSet, Matcher};
use tocsin_core::plane::{ANSWERS_MAX, Change, Event, Plane, Records};
use tocsin_core::route::alert::{ALERT_NAME, IncomingAlert};
use tocsin_core::route::receiver::{Channel, Integration, Receiver};
use tocsin_core::route::tree::{GroupBy, Inhibition, Route, Routing};
use tocsin_core::rule::{Active, Holding, RuleId};
use tocsin_core::time::{Span, Timestamp};

/// A cluster that is down inhibits what is slow in it.
fn routing() -> Arc<Routing> {
    let inbox = Integration { send_resolved: true, channel: Channel::Inbox };
    let team =
        Receiver { name: "team".to_owned(), position: 0, labels: BTreeMap::new(), integrations: vec![inbox], users: vec![] };
    Arc::new(Routing {
        root: Route {
            receiver: "team".to_owned(),
            matchers: vec![],
            group_by: GroupBy::Labels(vec![ALERT_NAME.to_owned(), "cluster".to_owned()]),
            continues: false,
            group_wait: Span::ZERO,
            group_interval: Span::from_secs(10),
            repeat_interval: Span::from_mins(240),
            mute_time_intervals: vec![],
            active_time_intervals: vec![],
            routes: vec![],
        },
        receivers: BTreeMap::from([(team.name.clone(), team)]),
        inhibitions: vec![Inhibition {
            name: String::new(),
            source: vec![Matcher::equal("severity", "critical")],
            target: vec![Matcher::equal("severity", "warning")],
            equal: vec!["cluster".to_owned()],
        }],
        time_intervals: BTreeMap::new(),
        resolve_timeout: Span::from_mins(5),
        flapping: None,
        silencing: tocsin_core::route::silence::Silencing::default(),
    })
}

fn at(second: f64) -> Timestamp {
    Timestamp(1_000_000_000 + (second * 1000.0) as i64)
}

/// The rules: what is slow, what is down, what is down in one cluster only, and one that has no part in it.
const RULES: [(&str, &[(&str, &str)]); 4] = [
    ("Slow", &[("severity", "warning")]),
    ("Down", &[("severity", "critical")]),
    ("DownInB", &[("severity", "critical"), ("cluster", "b")]),
    ("Full", &[("severity", "info")]),
];

fn key(name: &str) -> RuleKey {
    let (_, labels) = RULES.iter().find(|(own, _)| *own == name).unwrap();
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Arc::new(RuleId { file: "rules.yml".to_owned(), group: "g".to_owned(), name: name.to_owned(), labels, nth: 0 })
}

struct Story {
    state: Alerting,
    now: Timestamp,
    told: Vec<String>,
}

impl Story {
    fn new() -> Story {
        let mut story = Story {
            state: Alerting { plane: Plane::restore(routing(), "", Records::default()), ledger: Ledger::default() },
            now: at(0.0),
            told: vec![],
        };
        story.state.plane.accept(Event::Warm, at(0.0)).unwrap();
        story.rules(0.0, Outward::default());
        story
    }

    fn rules(&mut self, second: f64, outward: Outward) {
        let keys: Vec<RuleKey> = RULES.iter().map(|(name, _)| key(name)).collect();
        self.state.replace_rules(&keys, &[], outward, at(second));
    }

    /// Evaluates a rule; each word is the cluster of an alert. Returns the rules that are asked for then.
    fn evaluate(&mut self, second: f64, name: &str, clusters: &[&str]) -> Vec<&'static str> {
        self.run_until(second);
        let rule = key(name);
        let active = clusters.iter().map(|cluster| {
            let mut labels = LabelSet::from_pairs(&rule.labels).builder();
            labels.set(ALERT_NAME, name).set("cluster", cluster);
            Active { labels: labels.build(), annotations: BTreeMap::new(), value: 1.0 }
        });
        let terms = RuleTerms {
            file: "rules.yml".to_owned(),
            group: "g".to_owned(),
            name: name.to_owned(),
            expr: "x".to_owned(),
            hold: Span::ZERO,
            keep_firing: Span::ZERO,
            holding: Holding::default(),
            limit: 0,
            interval: Span::from_secs(60),
            generator_url: String::new(),
        };
        let (active, unseen) = (active.collect(), BTreeMap::new());
        let judged = Judged { rule, terms: Arc::new(terms), active, unseen, at: at(second), early: true };
        assert!(self.state.judge(judged, at(second)).refused.is_empty());
        self.run_until(second)
    }

    /// Lets time pass, ticking at each deadline; returns the rules that were asked for.
    fn run_until(&mut self, second: f64) -> Vec<&'static str> {
        while let Some(deadline) = self.state.plane.next_deadline().filter(|deadline| *deadline <= at(second)) {
            self.now = self.now.max(deadline);
            self.state.plane.tick(self.now);
            self.take_down();
        }
        self.now = at(second);
        self.take_down();
        let wanted = self.state.plane.take_wanted();
        let is_wanted = |name: &&str| wanted.contains(&rule_id(&key(name)));
        RULES.iter().map(|(name, _)| *name).filter(is_wanted).collect()
    }

    fn take_down(&mut self) {
        for change in self.state.plane.drain() {
            if let Change::Deliver(delivery) = change {
                let alerts: Vec<String> =
                    delivery.data.alerts.iter().map(|alert| alert.labels.get(ALERT_NAME).to_owned()).collect();
                self.told.push(format!("{} {}", (delivery.created_at - at(0.0)).seconds(), alerts.join(" ")));
            }
        }
    }
}

const NOBODY: [&str; 0] = [];

#[test]
fn what_is_slow_waits_for_word_of_what_is_down_and_is_not_told_when_it_is() {
    let mut story = Story::new();
    // Only rules that may inhibit it are asked: one is of another cluster, one of another severity.
    assert_eq!(story.evaluate(1.0, "Slow", &["a"]), ["Down"]);
    assert_eq!(story.told, NOBODY);
    assert_eq!(story.evaluate(1.2, "Full", &[]), NOBODY);
    assert_eq!(story.told, NOBODY);
    assert_eq!(story.evaluate(1.3, "Down", &["a"]), NOBODY);
    story.run_until(60.0);
    assert_eq!(story.told, ["1.3 Down"]);
}

#[test]
fn with_word_that_nothing_inhibits_it_it_is_told_at_once_and_nobody_is_asked_again() {
    let mut story = Story::new();
    assert_eq!(story.evaluate(1.0, "Slow", &["b"]), ["Down", "DownInB"]);
    story.evaluate(1.2, "Down", &["a"]);
    assert_eq!(story.told, ["1.2 Down"], "one of two has not answered");
    story.evaluate(1.5, "DownInB", &[]);
    assert_eq!(story.told[1..], ["1.5 Slow"]);
    // An alert that was told stands; one that is new in another group asks anew, unless the rule was looked at since it fires.
    assert_eq!(story.evaluate(30.0, "Slow", &["b"]), NOBODY);
    story.evaluate(40.0, "Down", &[]);
    assert_eq!(story.evaluate(40.0, "Slow", &["b", "c"]), NOBODY);
    assert_eq!(story.evaluate(50.0, "Slow", &["b", "c", "d"]), ["Down"]);
    assert_eq!(story.told[2..], ["40 Slow"]);
}

#[test]
fn it_is_told_in_the_end_though_a_rule_does_not_answer() {
    let mut story = Story::new();
    assert_eq!(story.evaluate(1.0, "Slow", &["a"]), ["Down"]);
    let late = 1.0 + ANSWERS_MAX.seconds();
    story.run_until(late - 0.001);
    assert_eq!(story.told, NOBODY);
    story.run_until(late);
    assert_eq!(story.told, [format!("{late} Slow")]);
    // Its timer counts from when it was due.
    let next = story.state.plane.next_deadline().unwrap();
    assert_eq!(next, at(11.0));
}

#[test]
fn alerts_of_others_wait_for_nobody_and_labels_count_as_routing_sees_them() {
    let mut story = Story::new();
    let labels = LabelSet::from_pairs([(ALERT_NAME, "Slow"), ("severity", "warning"), ("cluster", "a")]);
    let alert = IncomingAlert { labels, source: "api".to_owned(), ..IncomingAlert::default() };
    story.state.plane.accept(Event::Alerts(vec![alert]), at(1.0)).unwrap();
    assert_eq!(story.run_until(1.0), NOBODY);
    assert_eq!(story.told, ["1 Slow"]);

    // Nothing that is down is routed any more, so nothing is waited for.
    let mut story = Story::new();
    let drop = RelabelRule {
        source_labels: vec!["severity".to_owned()],
        ..RelabelRule::new(Action::Drop).with_pattern("critical").unwrap()
    };
    story.rules(0.5, Outward { relabel: vec![drop], ..Outward::default() });
    assert_eq!(story.evaluate(1.0, "Slow", &["a"]), NOBODY);
    assert_eq!(story.told, ["1 Slow"]);
}
