use super::*;
use crate::route::alert::IncomingAlert;
use crate::time::Span;

fn group() -> GroupId {
    GroupId { key: "{}:{}".to_owned(), receiver: "team".to_owned() }
}

fn alert(name: &str, severity: &str) -> Alert {
    IncomingAlert { labels: LabelSet::from_pairs([("alertname", name), ("severity", severity)]), ..IncomingAlert::default() }
        .receive(Timestamp(0), Span::from_mins(5))
        .unwrap()
}

fn open(alerts: &[&Alert]) -> Page {
    Page::open(&group(), &LabelSet::empty(), &["ada".to_owned()], alerts, Timestamp(1_000), Timestamp(1_003))
}

fn kinds(page: &Page) -> Vec<TimelineKind> {
    page.timeline.iter().map(|entry| entry.kind).collect()
}

#[test]
fn every_pair_of_state_and_move_has_an_answer() {
    use Move::{Acknowledge, Resolve, Unacknowledge};
    use State::{Acknowledged, Resolved, Triggered};
    for (state, attempt, next) in [
        (Triggered, Acknowledge, Some(Acknowledged)),
        (Triggered, Unacknowledge, None),
        (Triggered, Resolve, Some(Resolved)),
        (Acknowledged, Acknowledge, None),
        (Acknowledged, Unacknowledge, Some(Triggered)),
        (Acknowledged, Resolve, Some(Resolved)),
        (Resolved, Acknowledge, None),
        (Resolved, Unacknowledge, None),
        (Resolved, Resolve, None),
    ] {
        assert_eq!(state.next_state(attempt).ok(), next, "{state} {attempt}");
    }
    assert_eq!(Resolved.next_state(Acknowledge).unwrap_err().to_string(), "cannot acknowledge a page that is resolved");
}

#[test]
fn a_page_lasts_until_its_last_alert_has_ended() {
    let (slow, down) = (alert("Slow", "warning"), alert("Down", "page"));
    let mut page = open(&[&slow]);
    assert_eq!((page.title.as_str(), page.severity, page.version), ("Slow", Severity::Warning, 1));
    assert!(page.add(&[&slow, &down], Timestamp(2_000)) && !page.add(&[&slow, &down], Timestamp(2_100)));
    assert_eq!((page.title.as_str(), page.severity), ("2 alerts", Severity::Critical));
    assert!(page.settle(&BTreeMap::from([(slow.fingerprint, Timestamp(2_500))]), Timestamp(3_000)));
    assert_eq!(page.state, State::Triggered);
    // It fires again before the page is over: the same page.
    assert!(page.add(&[&slow], Timestamp(3_500)));
    let all = BTreeMap::from([(slow.fingerprint, Timestamp(4_000)), (down.fingerprint, Timestamp(4_100))]);
    assert!(page.settle(&all, Timestamp(4_200)) && !page.settle(&all, Timestamp(4_300)));
    assert_eq!((page.state, page.resolved_at), (State::Resolved, Some(Timestamp(4_200))));
    assert!(!page.add(&[&slow], Timestamp(5_000)));
    use TimelineKind::{AlertsAdded, AlertsResolved, Opened, Resolved};
    assert_eq!(kinds(&page), [Opened, AlertsAdded, AlertsResolved, AlertsAdded, AlertsResolved, Resolved]);
}

#[test]
fn a_person_takes_a_page_and_gives_it_back() {
    let slow = alert("Slow", "info");
    let mut page = open(&[&slow]);
    page.acknowledge("ada", Timestamp(2_000)).unwrap();
    assert_eq!((page.state, page.acknowledged_by.as_deref()), (State::Acknowledged, Some("ada")));
    assert!(page.acknowledge("bob", Timestamp(2_001)).is_err());
    page.unacknowledge("bob", Timestamp(2_500)).unwrap();
    assert_eq!((page.state, page.acknowledged_at), (State::Triggered, None));
    assert!(page.unacknowledge("bob", Timestamp(2_600)).is_err());
}

#[test]
fn the_same_decision_gives_the_same_id_and_another_instant_another() {
    let slow = alert("Slow", "info");
    assert_eq!(open(&[&slow]).id, open(&[&slow]).id);
    assert_eq!(open(&[&slow]).id.len(), 32);
    assert_ne!(Page::id_of(&group(), Timestamp(1)), Page::id_of(&group(), Timestamp(2)));
}

#[test]
fn the_timeline_is_bounded_and_keeps_its_beginning() {
    let mut page = open(&[&alert("Slow", "info")]);
    for minute in 0..2 * TIMELINE_MAX as i64 {
        page.notified(format!("told {minute}"), Timestamp(minute));
    }
    assert_eq!((page.timeline.len(), page.timeline[0].kind), (TIMELINE_MAX, TimelineKind::Opened));
}

#[test]
fn a_page_reads_back_from_its_record() {
    let page = open(&[&alert("Slow", "critical")]);
    let text = serde_json::to_string(&page).unwrap();
    assert!(text.contains(r#""group":{"key":"{}:{}","receiver":"team"}"#) && text.contains(r#""state":"triggered""#), "{text}");
    assert_eq!(serde_json::from_str::<Page>(&text).unwrap(), page);
}
