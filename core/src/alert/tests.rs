use super::Transition::{Cleared, Fired, Forgotten, Pending, Resolved};
use super::*;

const MINUTE: Span = Span::from_mins(1);

fn labels(instance: &str) -> LabelSet {
    LabelSet::from_pairs([("alertname", "Full"), ("instance", instance)])
}

fn found(instances: &[&str]) -> Vec<Active> {
    let alert = |instance: &&str| Active { labels: labels(instance), annotations: BTreeMap::new(), value: 1.0 };
    instances.iter().map(alert).collect()
}

fn t(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1000)
}

fn hold(span: Span) -> Terms {
    Terms { hold: span, ..Terms::default() }
}

#[test]
fn an_alert_fires_once_held_long_enough() {
    let mut alerts = Instances::new();
    let terms = hold(MINUTE);
    assert_eq!(alerts.step(found(&["a"]), t(0), &terms).unwrap(), [Pending(labels("a"))]);
    assert_eq!(alerts.step(found(&["a"]), Timestamp(59_999), &terms).unwrap(), []);
    assert_eq!(alerts.step(found(&["a"]), t(60), &terms).unwrap(), [Fired(labels("a"))]);
    assert_eq!(alerts.step(found(&["a"]), t(120), &terms).unwrap(), []);
    assert_eq!(alerts.state(), Some(State::Firing));
}

#[test]
fn without_for_an_alert_fires_at_once() {
    let mut alerts = Instances::new();
    assert_eq!(alerts.step(found(&["a"]), t(0), &hold(Span::ZERO)).unwrap(), [Fired(labels("a"))]);
}

#[test]
fn a_pending_alert_whose_condition_ends_starts_over() {
    let mut alerts = Instances::new();
    let terms = hold(MINUTE);
    alerts.step(found(&["a", "b"]), t(0), &terms).unwrap();
    assert_eq!(alerts.step(found(&["b"]), t(30), &terms).unwrap(), [Cleared(labels("a"))]);
    assert_eq!(alerts.step(found(&["a", "b"]), t(60), &terms).unwrap(), [Pending(labels("a")), Fired(labels("b"))]);
    assert_eq!(alerts.step(found(&["a", "b"]), t(90), &terms).unwrap(), []);
    assert_eq!(alerts.step(found(&["a", "b"]), t(120), &terms).unwrap(), [Fired(labels("a"))]);
}

#[test]
fn a_resolved_alert_is_remembered_for_a_quarter_of_an_hour() {
    let mut alerts = Instances::new();
    let terms = hold(Span::ZERO);
    alerts.step(found(&["a"]), t(0), &terms).unwrap();
    assert_eq!(alerts.step(found(&[]), t(60), &terms).unwrap(), [Resolved(labels("a"))]);
    assert_eq!(alerts.step(found(&[]), t(60 + 900), &terms).unwrap(), []);
    assert_eq!(alerts.step(found(&[]), t(60 + 901), &terms).unwrap(), [Forgotten(labels("a"))]);
    assert_eq!(alerts.iter().count(), 0);
}

#[test]
fn a_resolved_alert_that_returns_is_a_new_one() {
    let mut alerts = Instances::new();
    let terms = hold(MINUTE);
    alerts.step(found(&["a"]), t(0), &terms).unwrap();
    alerts.step(found(&["a"]), t(60), &terms).unwrap();
    alerts.step(found(&[]), t(120), &terms).unwrap();
    assert_eq!(alerts.step(found(&["a"]), t(180), &terms).unwrap(), [Pending(labels("a"))]);
    assert_eq!(alerts.get(&labels("a")).unwrap().active_at, t(180));
}

#[test]
fn keep_firing_bridges_gaps() {
    let mut alerts = Instances::new();
    let terms = Terms { keep_firing: MINUTE, ..Terms::default() };
    alerts.step(found(&["a"]), t(0), &terms).unwrap();
    assert_eq!(alerts.step(found(&[]), t(30), &terms).unwrap(), []);
    assert_eq!(alerts.get(&labels("a")).unwrap().keep_firing_since, Some(t(30)));
    assert_eq!(alerts.step(found(&["a"]), t(60), &terms).unwrap(), []);
    assert_eq!(alerts.get(&labels("a")).unwrap().keep_firing_since, None);
    assert_eq!(alerts.step(found(&[]), t(90), &terms).unwrap(), []);
    assert_eq!(alerts.step(found(&[]), Timestamp(149_999), &terms).unwrap(), []);
    assert_eq!(alerts.step(found(&[]), t(150), &terms).unwrap(), [Resolved(labels("a"))]);
}

#[test]
fn too_many_alerts_end_all_of_the_rule() {
    let mut alerts = Instances::new();
    let terms = Terms { limit: 1, ..Terms::default() };
    alerts.step(found(&["a"]), t(0), &terms).unwrap();
    let error = alerts.step(found(&["a", "b"]), t(60), &terms).unwrap_err();
    assert_eq!(error.to_string(), "exceeded limit of 1 with 2 alerts");
    assert_eq!(alerts.iter().count(), 0);
}

#[test]
fn a_look_starts_and_advances_and_never_ends() {
    let mut alerts = Instances::new();
    let terms = hold(MINUTE);
    assert_eq!(alerts.look(found(&["a"]), t(5), &terms), [Pending(labels("a"))]);
    assert_eq!(alerts.look(found(&[]), t(10), &terms), []);
    assert_eq!(alerts.step(found(&["a"]), t(60), &terms).unwrap(), []);
    assert_eq!(alerts.look(found(&["a"]), t(65), &terms), [Fired(labels("a"))]);
    assert_eq!(alerts.look(found(&[]), t(70), &terms), []);
    assert_eq!(alerts.state(), Some(State::Firing));
    assert_eq!(alerts.step(found(&[]), t(120), &terms).unwrap(), [Resolved(labels("a"))]);
    let limited = Terms { limit: 1, ..terms };
    assert_eq!(alerts.look(found(&["b", "c"]), t(130), &limited), [Pending(labels("b"))]);
}

#[test]
fn a_slot_that_is_evaluated_late_ends_nothing_that_began_after_it() {
    let mut alerts = Instances::new();
    let terms = hold(Span::ZERO);
    assert_eq!(alerts.look(found(&["a"]), t(65), &terms), [Fired(labels("a"))]);
    assert_eq!(alerts.step(found(&[]), t(60), &terms).unwrap(), []);
    assert_eq!(alerts.step(found(&[]), t(120), &terms).unwrap(), [Resolved(labels("a"))]);
    // It was pending at the slot's instant and fired in a look: it ends, not before it fired.
    let terms = hold(Span::from_secs(10));
    alerts.look(found(&["b"]), t(130), &terms);
    alerts.look(found(&["b"]), t(145), &terms);
    assert_eq!(alerts.step(found(&[]), t(140), &terms).unwrap(), [Resolved(labels("b"))]);
    assert_eq!(alerts.get(&labels("b")).unwrap().resolved_at, Some(t(145)));
}

#[test]
fn what_fires_is_told_again_and_what_ended_at_once() {
    let mut alerts = Instances::new();
    let (terms, interval, resend) = (hold(MINUTE), Span::from_secs(15), MINUTE);
    alerts.step(found(&["a"]), t(0), &terms).unwrap();
    assert_eq!(alerts.take_due(t(0), interval, resend), []);
    alerts.step(found(&["a"]), t(60), &terms).unwrap();
    let told = alerts.take_due(t(60), interval, resend);
    assert_eq!((told[0].starts_at, told[0].ends_at, told[0].state), (t(60), t(60 + 240), State::Firing));
    assert_eq!(alerts.take_due(t(120), interval, resend), []);
    assert_eq!(alerts.take_due(t(121), interval, resend).len(), 1);
    alerts.step(found(&[]), t(130), &terms).unwrap();
    let told = alerts.take_due(t(130), interval, resend);
    assert_eq!((told[0].starts_at, told[0].ends_at, told[0].state), (t(60), t(130), State::Resolved));
    assert_eq!(alerts.take_due(t(140), interval, resend), []);
    assert_eq!(alerts.take_due(t(191), interval, resend).len(), 1);
}

#[test]
fn the_series_say_what_is_active_and_since_when() {
    let mut alerts = Instances::new();
    alerts.step(found(&["a"]), Timestamp(61_500), &hold(MINUTE)).unwrap();
    let shown: Vec<String> = alerts.series().iter().map(|(labels, value)| format!("{labels} {value}")).collect();
    assert_eq!(
        shown,
        [
            r#"{__name__="ALERTS_FOR_STATE", alertname="Full", instance="a"} 61"#,
            r#"{__name__="ALERTS", alertname="Full", alertstate="pending", instance="a"} 1"#
        ]
    );
}

#[test]
fn state_survives_being_written_down() {
    let mut alerts = Instances::new();
    let terms = Terms { hold: MINUTE, keep_firing: MINUTE, limit: 0 };
    alerts.step(found(&["a", "b"]), t(0), &terms).unwrap();
    alerts.step(found(&["a", "b"]), t(60), &terms).unwrap();
    alerts.step(found(&["b", "c"]), t(90), &terms).unwrap();
    alerts.take_due(t(90), MINUTE, MINUTE);
    let mut nan = found(&["b", "c"]);
    nan[0].value = f64::INFINITY;
    alerts.step(nan, t(100), &terms).unwrap();
    let text = serde_json::to_string(&alerts.states()).unwrap();
    let states: Vec<InstanceState> = serde_json::from_str(&text).unwrap();
    let (mut restored, refused) = Instances::restore(states, Span::ZERO);
    assert_eq!(refused, 0);
    assert!(restored.iter().eq(alerts.iter()));
    // The restored clocks go on where they stood.
    assert_eq!(restored.step(found(&["b", "c"]), t(150), &terms).unwrap(), [Resolved(labels("a")), Fired(labels("c"))]);
}

#[test]
fn time_that_nobody_saw_does_not_count_towards_for() {
    let mut alerts = Instances::new();
    let terms = hold(MINUTE);
    alerts.step(found(&["a"]), t(0), &terms).unwrap();
    alerts.step(found(&["a"]), t(30), &terms).unwrap();
    let (mut restored, _) = Instances::restore(alerts.states(), Span::from_mins(60));
    assert_eq!(restored.step(found(&["a"]), t(3_600 + 31), &terms).unwrap(), []);
    assert_eq!(restored.step(found(&["a"]), t(3_600 + 60), &terms).unwrap(), [Fired(labels("a"))]);
}

#[test]
fn a_state_that_contradicts_itself_is_left_out() {
    let mut alerts = Instances::new();
    alerts.step(found(&["a"]), t(0), &hold(MINUTE)).unwrap();
    let mut states = alerts.states();
    states[0].state = State::Firing;
    let (restored, refused) = Instances::restore(states, Span::ZERO);
    assert_eq!((restored.iter().count(), refused), (0, 1));
}

/// The evaluation loop of Prometheus, word for word in its order of decisions: state, active at, resolved at, keep firing since.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reference {
    state: State,
    active_at: i64,
    resolved_at: Option<i64>,
    keep_since: Option<i64>,
}

fn reference_step(known: &mut BTreeMap<&'static str, Reference>, found: &[&'static str], at: i64, hold: i64, keep: i64) {
    for name in found {
        if known.get(name).is_none_or(|alert| alert.state == State::Resolved) {
            let fresh = Reference { state: State::Pending, active_at: at, resolved_at: None, keep_since: None };
            known.insert(name, fresh);
        }
    }
    for name in ["a", "b", "c"] {
        let Some(mut alert) = known.get(name).copied() else { continue };
        let mut keeps = false;
        if found.contains(&name) {
            alert.keep_since = None;
        } else {
            if alert.state == State::Firing && keep > 0 {
                let since = *alert.keep_since.get_or_insert(at);
                keeps = at - since < keep;
            }
            let gone = alert.resolved_at.is_some_and(|resolved_at| at - resolved_at > RESOLVED_RETENTION.0);
            if alert.state == State::Pending || gone {
                known.remove(name);
                continue;
            }
            if alert.state != State::Resolved && !keeps {
                (alert.state, alert.resolved_at, alert.keep_since) = (State::Resolved, Some(at), None);
            }
        }
        if (found.contains(&name) || keeps) && alert.state == State::Pending && at - alert.active_at >= hold {
            alert.state = State::Firing;
        }
        known.insert(name, alert);
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn shown(alerts: &Instances) -> Vec<(String, Reference)> {
    let ms = |at: Option<Timestamp>| at.map(|at| at.0);
    alerts
        .iter()
        .map(|alert| {
            let reference = Reference {
                state: alert.state,
                active_at: alert.active_at.0,
                resolved_at: ms(alert.resolved_at),
                keep_since: ms(alert.keep_firing_since),
            };
            (alert.labels.get("instance").to_owned(), reference)
        })
        .collect()
}

#[test]
fn long_stories_end_as_in_prometheus_and_looks_only_bring_forward() {
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let (hold, keep) = ([0, 30_000, 90_000][dice.below(3) as usize], [0, 0, 120_000][dice.below(3) as usize]);
        let terms = Terms { hold: Span(hold), keep_firing: Span(keep), limit: 0 };
        let (mut alerts, mut reference, mut at) = (Instances::new(), BTreeMap::new(), 0i64);
        let mut looked = Instances::new();
        for _ in 0..60 {
            at += [15_000, 30_000, 400_000][dice.below(3) as usize];
            let chosen: Vec<&'static str> = ["a", "b", "c"].into_iter().filter(|_| dice.below(3) > 0).collect();
            alerts.step(found(&chosen), Timestamp(at), &terms).unwrap();
            reference_step(&mut reference, &chosen, at, hold, keep);
            let expected: Vec<(String, Reference)> = reference.iter().map(|(name, alert)| ((*name).to_owned(), *alert)).collect();
            assert_eq!(shown(&alerts), expected, "seed {seed} at {at}");
            // The same story with a look before each step: every alert that fires without looks fires with them, no later.
            let before: Vec<LabelSet> = looked.active().map(|alert| alert.labels.clone()).collect();
            looked.look(found(&chosen), Timestamp(at - 5_000), &terms);
            assert!(before.iter().all(|labels| looked.active().any(|alert| alert.labels == *labels)), "seed {seed}");
            looked.step(found(&chosen), Timestamp(at), &terms).unwrap();
            for alert in alerts.active() {
                let other = looked.get(&alert.labels).expect("a look starts what a step would start");
                assert!(other.state >= alert.state && other.active_at <= alert.active_at, "seed {seed} at {at}");
            }
            // Written down and read again between any two steps, nothing changes.
            if dice.below(5) == 0 {
                let text = serde_json::to_string(&alerts.states()).unwrap();
                alerts = Instances::restore(serde_json::from_str(&text).unwrap(), Span::ZERO).0;
            }
        }
    }
}

fn unseen(instances: &[&str]) -> BTreeMap<LabelSet, Unseen> {
    instances.iter().map(|instance| (labels(instance), Unseen::ScrapeFailed)).collect()
}

#[test]
fn what_nobody_can_tell_goes_on_as_it_was_and_its_clocks_stand_still() {
    let mut alerts = Instances::new();
    let terms = Terms { hold: Span::from_mins(2), keep_firing: MINUTE, ..Terms::default() };
    alerts.step(found(&["a", "b"]), t(0), &terms).unwrap();
    alerts.step(found(&["a", "b"]), t(60), &terms).unwrap();
    for second in [90, 120, 150, 180] {
        assert_eq!(
            alerts.step_holding(found(&["b"]), &unseen(&["a"]), t(second), &terms).unwrap().len(),
            usize::from(second == 120)
        );
    }
    let blind = alerts.get(&labels("a")).unwrap().unseen.unwrap();
    assert_eq!((blind.why, blind.since), (Unseen::ScrapeFailed, t(90)));
    // A crash in between neither shortens nor lengthens it.
    let (mut alerts, refused) = Instances::restore(alerts.states(), Span::from_secs(30));
    assert_eq!(refused, 0);
    // It was seen for 90 of the 120 seconds that `for` asks.
    assert_eq!(alerts.step(found(&["a", "b"]), t(240), &terms).unwrap(), []);
    assert_eq!(alerts.get(&labels("a")).unwrap().unseen, None);
    assert_eq!(alerts.step(found(&["a", "b"]), t(269), &terms).unwrap(), []);
    assert_eq!(alerts.step(found(&["a", "b"]), t(270), &terms).unwrap(), [Fired(labels("a"))]);
    // While it fires nothing but a look that sees its end ends it, and `keep_firing_for` counts only what was seen.
    assert_eq!(alerts.step_holding(found(&["b"]), &unseen(&["a"]), t(300), &terms).unwrap(), []);
    assert_eq!(alerts.step_holding(found(&["b"]), &unseen(&["a"]), t(100_000), &terms).unwrap(), []);
    assert_eq!(alerts.step(found(&["b"]), t(100_030), &terms).unwrap(), []);
    assert_eq!(alerts.step_holding(found(&["b"]), &unseen(&["a"]), t(100_060), &terms).unwrap(), []);
    assert_eq!(alerts.step(found(&["b"]), t(100_120), &terms).unwrap(), []);
    assert_eq!(alerts.step(found(&["b"]), t(100_150), &terms).unwrap(), [Resolved(labels("a"))]);
    // What has ended is not held.
    assert_eq!(alerts.step_holding(found(&["b"]), &unseen(&["a"]), t(100_180), &terms).unwrap(), []);
    assert_eq!(alerts.get(&labels("a")).unwrap().unseen, None);
}
