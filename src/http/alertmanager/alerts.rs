//! Alerts and their groups: asked for, and posted.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tocsin_core::ledger::NEVER;
use tocsin_core::model::matcher::{all_match, anchored};
use tocsin_core::model::{LabelSet, Matcher};
use tocsin_core::plane::{AlertState, AlertView, Event, Reply};
use tocsin_core::route::alert::IncomingAlert;
use tocsin_core::route::notification;
use tocsin_core::time::{Span, Timestamp};

use super::fault::{V2Error, first_value, json_body};
use super::{AlertmanagerState, RoutingView, instant, matchers, truth};
use crate::clock;
use crate::http::prometheus::Parameters;

/// While an alert of our own rules fires nobody knows its end; clients are shown one this far ahead, as Prometheus would tell.
const SHOWN_LIFE: Span = Span::from_mins(4);

/// Which alerts a list asks for.
struct AlertFilter {
    matchers: Vec<Matcher>,
    receiver: Option<regex::Regex>,
    /// The names of the receivers whose labels satisfy `receiver_matchers`; None: it was not asked.
    labelled: Option<BTreeSet<String>>,
    active: bool,
    silenced: bool,
    inhibited: bool,
    muted: bool,
    unprocessed: bool,
}

impl AlertFilter {
    fn read(parameters: &Parameters, view: &RoutingView) -> Result<AlertFilter, V2Error> {
        let receiver = match parameters.get("receiver") {
            None => None,
            Some(text) => Some(anchored(text).map_err(|error| V2Error::bad(format!("failed to parse receiver param: {error}")))?),
        };
        let asked = !parameters.all("receiver_matchers").is_empty();
        let labelled = asked.then(|| view.receivers.matching(parameters, view.matchers)).transpose()?;
        Ok(AlertFilter {
            matchers: matchers(parameters, "filter", view.matchers)?,
            receiver,
            labelled: labelled.map(|found| found.map(|(name, _)| name.clone()).collect()),
            active: truth(parameters, "active")?,
            silenced: truth(parameters, "silenced")?,
            inhibited: truth(parameters, "inhibited")?,
            muted: truth(parameters, "muted")?,
            unprocessed: truth(parameters, "unprocessed")?,
        })
    }

    /// Time intervals are no matter of an alert here, as they belong to its groups.
    fn lets(&self, view: &AlertView) -> bool {
        all_match(&self.matchers, &view.alert.labels)
            && view.receivers.iter().any(|name| self.is_named(name))
            && view.receivers.iter().any(|name| self.is_labelled(name))
            && match state_of(view) {
                AlertState::Active => self.active,
                AlertState::Unprocessed => self.unprocessed,
                AlertState::Suppressed => true,
            }
            && (self.silenced || view.silenced_by.is_empty())
            && (self.inhibited || view.inhibited_by.is_empty())
    }

    fn is_named(&self, receiver: &str) -> bool {
        self.receiver.as_ref().is_none_or(|named| named.is_match(receiver))
    }

    fn is_labelled(&self, receiver: &str) -> bool {
        self.labelled.as_ref().is_none_or(|labelled| labelled.contains(receiver))
    }

    /// A group has one receiver, which must be both; of an alert's receivers one may be the one and another the other.
    fn lets_receiver(&self, name: &str) -> bool {
        self.is_named(name) && self.is_labelled(name)
    }
}

/// Returns an alert's state as Alertmanager has it: silences and other alerts suppress it, time intervals its groups.
fn state_of(view: &AlertView) -> AlertState {
    match view.state {
        AlertState::Suppressed if view.silenced_by.is_empty() && view.inhibited_by.is_empty() => AlertState::Active,
        state => state,
    }
}

fn gettable(view: &AlertView, state: AlertState, muted_by: &[String], receivers: &[&String], now: Timestamp) -> Value {
    let alert = &view.alert;
    let ends_at = if alert.ends_at >= NEVER { now + SHOWN_LIFE } else { alert.ends_at };
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("labels", json!(alert.labels));
    put("annotations", json!(alert.annotations));
    put("startsAt", json!(alert.starts_at.rfc3339()));
    put("endsAt", json!(ends_at.rfc3339()));
    put("updatedAt", json!(alert.updated_at.rfc3339()));
    if !alert.generator_url.is_empty() {
        put("generatorURL", json!(alert.generator_url));
    }
    put("fingerprint", json!(alert.fingerprint.to_string()));
    put("receivers", receivers.iter().map(|name| json!({ "name": name })).collect());
    let inhibited_by: Vec<String> = view.inhibited_by.iter().map(ToString::to_string).collect();
    put("status", json!({ "state": state, "silencedBy": view.silenced_by, "inhibitedBy": inhibited_by, "mutedBy": muted_by }));
    Value::Object(fields)
}

pub(super) async fn get_alerts(State(state): State<AlertmanagerState>, parameters: Parameters) -> Result<Response, V2Error> {
    let (filter, now) = (AlertFilter::read(&parameters, &state.view())?, clock::now());
    let alerts = state.watch.ask(move |state| {
        let views = state.plane.alerts(now);
        let wanted = views.iter().filter(|view| filter.lets(view));
        wanted
            .map(|view| gettable(view, state_of(view), &[], &view.receivers.iter().collect::<Vec<_>>(), now))
            .collect::<Vec<_>>()
    });
    Ok(Json(alerts.await?).into_response())
}

pub(super) async fn get_groups(State(state): State<AlertmanagerState>, parameters: Parameters) -> Result<Response, V2Error> {
    let (filter, now) = (AlertFilter::read(&parameters, &state.view())?, clock::now());
    let groups = state.watch.ask(move |state| {
        let mut groups = state.plane.groups(now);
        groups.retain(|group| filter.lets_receiver(&group.receiver));
        groups.sort_by(|one, other| {
            notification::label_order(&one.labels, &other.labels).then_with(|| one.receiver.cmp(&other.receiver))
        });
        let mut shown = Vec::new();
        for group in &mut groups {
            group.alerts.retain(|view| filter.lets(view) && (filter.muted || view.muted_by.is_empty()));
            group.alerts.sort_by(|one, other| notification::order(&one.alert, &other.alert));
            let alerts: Vec<Value> = group.alerts.iter().map(|view| in_group(view, &filter, now)).collect();
            if !alerts.is_empty() {
                shown.push(json!({ "labels": group.labels, "receiver": { "name": group.receiver }, "alerts": alerts }));
            }
        }
        shown
    });
    Ok(Json(groups.await?).into_response())
}

/// Returns an alert as its group shows it: muted by the group's time intervals, with those of its receivers that are asked for.
fn in_group(view: &AlertView, filter: &AlertFilter, now: Timestamp) -> Value {
    let mut receivers: Vec<&String> = view.receivers.iter().filter(|name| filter.lets_receiver(name)).collect();
    receivers.sort();
    gettable(view, view.state, &view.muted_by, &receivers, now)
}

/// Clients written in Go send `null` for maps, texts and times that they do not have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert {
    labels: Option<BTreeMap<String, Option<String>>>,
    annotations: Option<BTreeMap<String, Option<String>>>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    #[serde(rename = "generatorURL")]
    generator_url: Option<String>,
}

impl PostableAlert {
    /// `index`: which alert of the post it is, from zero.
    fn incoming(self, index: usize) -> Result<IncomingAlert, V2Error> {
        let labels = self.labels.ok_or_else(|| V2Error::required(&format!("{index}.labels")))?;
        let annotations = self.annotations.unwrap_or_default();
        let when = |name: &str, text: Option<String>| {
            instant(text.as_deref()).map_err(|bad| V2Error::unreadable("alerts", format!("{index}.{name} {bad}")))
        };
        Ok(IncomingAlert {
            labels: LabelSet::from_pairs(labels.into_iter().map(|(name, text)| (name, text.unwrap_or_default()))),
            annotations: annotations.into_iter().map(|(name, text)| (name, text.unwrap_or_default())).collect(),
            starts_at: when("startsAt", self.starts_at)?,
            ends_at: when("endsAt", self.ends_at)?,
            generator_url: self.generator_url.unwrap_or_default(),
            source: "api".to_owned(),
        })
    }
}

/// Returns the alerts of a post that can be read, and what is wrong with the others.
///
/// Alertmanager refuses a whole post for one alert of a wrong form. Here the others are taken: each may be one that somebody must
/// hear of, and who sends them hears of the fault all the same.
fn read(body: &[u8]) -> Result<(Vec<IncomingAlert>, Vec<V2Error>), V2Error> {
    let posted = match first_value::<Option<Vec<Option<PostableAlert>>>>(body) {
        Ok(posted) => posted.unwrap_or_default().into_iter().map(Ok).collect(),
        // One of them is of another form; only now is it worth to read each by itself.
        Err(_) => each(body)?,
    };
    let (mut alerts, mut faults) = (Vec::with_capacity(posted.len()), Vec::new());
    for (index, alert) in posted.into_iter().enumerate() {
        let alert = alert.map_err(|error| V2Error::unreadable("alerts", format!("{index}: {error}")));
        let alert = alert.and_then(|alert| alert.ok_or_else(|| V2Error::required(&index.to_string())));
        match alert.and_then(|alert| alert.incoming(index)) {
            Ok(alert) => alerts.push(alert),
            Err(fault) => faults.push(fault),
        }
    }
    Ok((alerts, faults))
}

type Read = Result<Option<PostableAlert>, serde_json::Error>;

fn each(body: &[u8]) -> Result<Vec<Read>, V2Error> {
    let values: Vec<Value> = first_value(body).map_err(|error| V2Error::unreadable("alerts", error))?;
    Ok(values.into_iter().map(Deserialize::deserialize).collect())
}

pub(super) async fn post_alerts(
    State(state): State<AlertmanagerState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, V2Error> {
    let (alerts, mut faults) = read(&json_body(&headers, body, "alerts")?)?;
    let (now, invalid) = (clock::now(), faults.len());
    let resolved = alerts.iter().filter(|alert| alert.ends_at.is_some_and(|end| end <= now)).count();
    let firing = alerts.len() - resolved;
    if !alerts.is_empty() {
        match state.watch.request(Event::Alerts(alerts), None).await? {
            Ok(Reply::Alerts { refused, .. }) => {
                faults.extend(refused.iter().map(|(_, reason)| V2Error::bad(reason.to_string())));
            }
            Ok(_) => {}
            Err(refused) => faults.push(V2Error::bad(refused.to_string())),
        }
    }
    let refused = faults.len() - invalid;
    state.metrics.notifications.posted(firing, resolved, invalid + refused);
    V2Error::of_all(faults).map_or(Ok(StatusCode::OK), Err)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    #[test]
    fn one_alert_of_a_wrong_form_costs_no_other() {
        let body = br#"[{"labels":{"alertname":"A","gone":null},"annotations":null,"startsAt":null,"generatorURL":null},
            {"labels":{"alertname":7}}, {"labels":null}, null, {"labels":{"alertname":"B"},"startsAt":"yesterday"},
            {"labels":{"alertname":"C"},"annotations":{"summary":""}}]"#;
        let (alerts, faults) = read(body).expect("a list");
        let names: Vec<String> = alerts.iter().map(|alert| alert.labels.to_string()).collect();
        assert_eq!(names, [r#"{alertname="A"}"#, r#"{alertname="C"}"#]);
        assert_eq!(alerts[1].annotations["summary"], "");
        assert_eq!(faults.len(), 4, "{faults:?}");
        let Some(V2Error::Form { status, code, message }) = V2Error::of_all(faults) else { panic!("a fault of form") };
        assert_eq!((status.as_u16(), code), (400, 400));
        assert!(
            message.contains("1: invalid type: integer `7`") && message.contains("2.labels in body is required"),
            "{message}"
        );
        assert!(message.contains("4.startsAt \"yesterday\""), "{message}");
    }

    #[test]
    fn what_is_no_list_is_refused_and_null_is_an_empty_one() {
        assert!(matches!(read(b"{}"), Err(V2Error::Form { code: 400, .. })));
        assert!(matches!(read(b"[{]"), Err(V2Error::Form { code: 400, .. })));
        assert!(read(b"null").is_ok_and(|(alerts, faults)| alerts.is_empty() && faults.is_empty()));
        assert!(read(b"[] and more").is_ok(), "what follows is not looked at");
    }

    #[test]
    fn of_many_faults_the_first_ones_are_told() {
        assert_eq!(V2Error::of_all(Vec::new()), None);
        let faults = (0..12).map(|number| V2Error::bad(number.to_string())).collect();
        assert_eq!(V2Error::of_all(faults), Some(V2Error::bad("0; 1; 2; 3; 4; 5; 6; 7; 8; 9; and 2 more")));
    }

    #[test]
    fn groups_come_in_the_order_of_alertmanager() {
        let set = |pairs: &[(&'static str, &'static str)]| LabelSet::from_pairs(pairs.iter().copied());
        let mut sets = [set(&[("b", "1"), ("c", "1")]), set(&[("a", "2")]), set(&[("x", "9")]), set(&[]), set(&[("a", "1")])];
        sets.sort_by(notification::label_order);
        assert_eq!(sets.map(|set| set.to_string()), ["{}", r#"{x="9"}"#, r#"{a="1"}"#, r#"{a="2"}"#, r#"{b="1", c="1"}"#]);
        assert_eq!(notification::label_order(&LabelSet::empty(), &LabelSet::empty()), Ordering::Equal);
    }
}
