//! What is said of a group: the data of templates and of the webhook's version 4.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use crate::model::{Fingerprint, LabelSet, Texts};
use crate::time::Timestamp;

use super::alert::{ALERT_NAME, Alert};
use super::dispatch::decision::Reason;
use super::dispatch::group::GroupId;

/// The time that Go writes for "none": an alert that fires has no end yet.
pub const NO_TIME: Timestamp = Timestamp(-62_135_596_800_000);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Firing,
    Resolved,
}

impl Status {
    /// Returns the word of templates, tables and tests.
    pub fn word(self) -> &'static str {
        match self {
            Status::Firing => "firing",
            Status::Resolved => "resolved",
        }
    }
}

/// A notification, with the field names of Alertmanager's webhook.
///
/// Source: Alertmanager `template.Data` and `notify/webhook`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationData {
    pub version: String,
    pub group_key: String,
    /// How many alerts a channel's limit left out.
    pub truncated_alerts: u64,
    pub status: Status,
    pub receiver: String,
    pub group_labels: LabelSet,
    /// Labels that all alerts share with the same value.
    pub common_labels: LabelSet,
    pub common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    pub external_url: String,
    #[serde(rename = "notification_reason")]
    pub reason: Reason,
    pub alerts: Vec<NotifiedAlert>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotifiedAlert {
    pub status: Status,
    pub labels: LabelSet,
    pub annotations: Texts,
    #[serde(with = "time_text")]
    pub starts_at: Timestamp,
    /// `NO_TIME` while it fires.
    #[serde(with = "time_text")]
    pub ends_at: Timestamp,
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    pub fingerprint: Fingerprint,
}

impl NotificationData {
    /// Returns the notification of some alerts of a group as they stand at `now`, in Alertmanager's order.
    pub fn new(
        id: &GroupId,
        group_labels: &LabelSet,
        mut alerts: Vec<&Alert>,
        reason: Reason,
        external_url: &str,
        now: Timestamp,
    ) -> NotificationData {
        alerts.sort_by_cached_key(|alert| Place::of(alert));
        let fires = alerts.iter().any(|alert| alert.is_firing(now));
        NotificationData {
            version: "4".to_owned(),
            group_key: id.key.clone(),
            truncated_alerts: 0,
            status: if fires { Status::Firing } else { Status::Resolved },
            receiver: id.receiver.clone(),
            group_labels: group_labels.clone(),
            common_labels: common_labels(&alerts),
            common_annotations: common_annotations(&alerts),
            external_url: external_url.to_owned(),
            reason,
            alerts: alerts.into_iter().map(|alert| NotifiedAlert::new(alert, now)).collect(),
        }
    }

    pub fn firing(&self) -> impl Iterator<Item = &NotifiedAlert> {
        self.alerts.iter().filter(|alert| alert.status == Status::Firing)
    }

    /// Returns one line that says what is wrong, such as `[FIRING:2] Slow (job="api")`; for inboxes and lists.
    pub fn title(&self) -> String {
        let count = self.firing().count();
        let prefix = match self.status {
            Status::Firing => format!("[FIRING:{count}]"),
            Status::Resolved => "[RESOLVED]".to_owned(),
        };
        let alerts: Vec<_> = self.alerts.iter().map(|alert| (&alert.labels, &alert.annotations)).collect();
        format!("{prefix} {}", subject(&self.group_labels, &alerts))
    }
}

impl NotifiedAlert {
    fn new(alert: &Alert, now: Timestamp) -> NotifiedAlert {
        let fires = alert.is_firing(now);
        NotifiedAlert {
            status: if fires { Status::Firing } else { Status::Resolved },
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            starts_at: alert.starts_at,
            ends_at: if fires { NO_TIME } else { alert.ends_at },
            generator_url: alert.generator_url.clone(),
            fingerprint: alert.fingerprint,
        }
    }
}

/// Returns what alerts of a group have in common in a few words: their name, then the summary they share or the group's labels.
pub fn subject(group_labels: &LabelSet, alerts: &[(&LabelSet, &Texts)]) -> String {
    let name = shared(alerts.iter().map(|(labels, _)| labels.get(ALERT_NAME)));
    let name = if name.is_empty() { format!("{} alerts", alerts.len()) } else { name.to_owned() };
    let summary = shared(alerts.iter().map(|(_, annotations)| annotations.get("summary").unwrap_or("")));
    if !summary.is_empty() {
        return format!("{name}: {summary}");
    }
    let rest = group_labels.without(|label| label == ALERT_NAME);
    if rest.is_empty() { name } else { format!("{name} {}", super::dispatch::group_labels_text(&rest)) }
}

/// Returns the one text that all are; empty when they differ.
fn shared<'a>(mut texts: impl Iterator<Item = &'a str>) -> &'a str {
    let first = texts.next().unwrap_or("");
    if texts.all(|text| text == first) { first } else { "" }
}

/// Alertmanager's order of alerts: by job, by instance, those without last; then by all their labels.
pub fn order(one: &Alert, other: &Alert) -> Ordering {
    Place::of(one).cmp(&Place::of(other))
}

/// Where an alert stands in that order.
#[derive(PartialEq, Eq)]
struct Place<'a> {
    job: (bool, &'a str),
    instance: (bool, &'a str),
    labels: &'a LabelSet,
}

impl<'a> Place<'a> {
    fn of(alert: &'a Alert) -> Place<'a> {
        let by = |name: &str| {
            let value = alert.labels.get(name);
            (value.is_empty(), value)
        };
        Place { job: by("job"), instance: by("instance"), labels: &alert.labels }
    }
}

impl PartialOrd for Place<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by = (self.job, self.instance).cmp(&(other.job, other.instance));
        by.then_with(|| label_order(self.labels, other.labels))
    }
}

/// Alertmanager's order of label sets: fewer labels first, then label by label, where the set that lacks a label comes first.
pub fn label_order(one: &LabelSet, other: &LabelSet) -> Ordering {
    let differs = one.iter().zip(other.iter()).find(|(own, their)| own != their);
    let by_label = differs.map_or(Ordering::Equal, |(own, their)| their.0.cmp(own.0).then(own.1.cmp(their.1)));
    one.len().cmp(&other.len()).then(by_label)
}

fn common_labels(alerts: &[&Alert]) -> LabelSet {
    let Some((first, rest)) = alerts.split_first() else { return LabelSet::empty() };
    LabelSet::from_sorted(first.labels.iter().filter(|(name, value)| rest.iter().all(|alert| alert.labels.get(name) == *value)))
}

fn common_annotations(alerts: &[&Alert]) -> BTreeMap<String, String> {
    let Some((first, rest)) = alerts.split_first() else { return BTreeMap::new() };
    let shared = |(name, text): &(&str, &str)| rest.iter().all(|alert| alert.annotations.get(name) == Some(*text));
    first.annotations.iter().filter(shared).map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

/// Times as Go writes them: RFC 3339, with a fraction only where there is one.
mod time_text {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    use super::{NO_TIME, SecondsFormat, Timestamp};

    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        if *at == NO_TIME {
            // An alert that fires has no end yet, and most of those that are told fire.
            return serializer.serialize_str("0001-01-01T00:00:00Z");
        }
        match at.to_utc() {
            Some(utc) => serializer.serialize_str(&utc.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => serializer.serialize_str(&at.rfc3339()),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse_rfc3339(&text).ok_or_else(|| D::Error::custom("a time is RFC 3339 text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::alert::IncomingAlert;
    use crate::time::Span;

    fn alert(pairs: &[(&str, &str)], summary: &str, ends: Option<i64>) -> Alert {
        IncomingAlert {
            labels: LabelSet::from_pairs(pairs.iter().copied()),
            annotations: BTreeMap::from([("summary".to_owned(), summary.to_owned())]),
            starts_at: Some(Timestamp(1_000)),
            ends_at: ends.map(Timestamp),
            ..IncomingAlert::default()
        }
        .receive(Timestamp(1_500), Span::from_mins(5))
        .unwrap()
    }

    fn data(alerts: Vec<&Alert>) -> NotificationData {
        let id = GroupId { key: "{}:{alertname=\"Slow\"}".to_owned(), receiver: "team".to_owned() };
        let labels = LabelSet::from_pairs([("alertname", "Slow")]);
        NotificationData::new(&id, &labels, alerts, Reason::First, "http://tocsin", Timestamp(2_000))
    }

    #[test]
    fn the_form_is_that_of_the_webhook() {
        let text = serde_json::to_string(&data(vec![&alert(&[("alertname", "Slow")], "s", None)])).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"version":"4","groupKey":"{}:{alertname=\"Slow\"}","truncatedAlerts":0,"status":"firing","receiver":"team","#,
                r#""groupLabels":{"alertname":"Slow"},"commonLabels":{"alertname":"Slow"},"commonAnnotations":{"summary":"s"},"#,
                r#""externalURL":"http://tocsin","notification_reason":"first notification","alerts":[{"status":"firing","#,
                r#""labels":{"alertname":"Slow"},"annotations":{"summary":"s"},"startsAt":"1970-01-01T00:00:01Z","#,
                r#""endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"#,
            )
            .to_owned()
                + &format!("\"{}\"}}]}}", LabelSet::from_pairs([("alertname", "Slow")]).fingerprint())
        );
        assert_eq!(serde_json::from_str::<NotificationData>(&text).unwrap().alerts[0].ends_at, NO_TIME);
    }

    #[test]
    fn what_all_share_is_common_and_one_firing_alert_makes_the_whole_fire() {
        let one = alert(&[("alertname", "Slow"), ("job", "b")], "s", None);
        let two = alert(&[("alertname", "Slow"), ("job", "a")], "s", Some(1_900));
        let three = alert(&[("alertname", "Slow")], "s", None);
        let both = data(vec![&one, &two, &three]);
        let jobs: Vec<&str> = both.alerts.iter().map(|alert| alert.labels.get("job")).collect();
        assert_eq!((both.status, jobs), (Status::Firing, vec!["a", "b", ""]));
        assert_eq!(both.common_labels.to_string(), r#"{alertname="Slow"}"#);
        assert_eq!(both.title(), "[FIRING:2] Slow: s");
        let ended = data(vec![&two]);
        assert_eq!((ended.status, ended.alerts[0].ends_at), (Status::Resolved, Timestamp(1_900)));
    }
}
