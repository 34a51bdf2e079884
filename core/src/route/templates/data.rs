//! A notification as templates see it.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::template::time::GoTime;
use crate::template::{Map, Object, Record, Value};

use super::super::notification::{NotificationData, NotifiedAlert, Status};

/// Labels or annotations: a map with methods.
struct Pairs(Arc<Map>);

/// A list of name and value, in order.
struct PairList(Vec<(String, Value)>);

/// Alerts, with methods that select by status.
struct AlertList(Arc<[Value]>);

/// Returns labels or annotations as templates see them.
pub fn pairs_map<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Value {
    let entries = pairs.into_iter().map(|(name, value)| (name.as_ref().to_owned(), Value::text(value))).collect();
    pairs_of(entries)
}

fn pairs_of(entries: BTreeMap<String, Value>) -> Value {
    Value::Object(Arc::new(Pairs(Arc::new(Map { entries, of_text: true }))))
}

/// Returns a list of alerts as templates see it.
pub fn alert_list(alerts: impl IntoIterator<Item = Value>) -> Value {
    Value::Object(Arc::new(AlertList(alerts.into_iter().collect())))
}

/// Returns a notification as templates see it.
///
/// Source: Alertmanager `template.Data`; the receiver's name is quoted for a regular expression, as there.
pub fn notification(data: &NotificationData) -> Value {
    Record::value(
        "template.Data",
        [
            ("Receiver", "receiver", quote_meta(&data.receiver).into()),
            ("Status", "status", status(data.status)),
            ("Alerts", "alerts", alert_list(data.alerts.iter().map(alert))),
            ("NotificationReason", "notification_reason", data.reason.as_str().into()),
            ("GroupLabels", "groupLabels", pairs_map(data.group_labels.iter())),
            ("CommonLabels", "commonLabels", pairs_map(data.common_labels.iter())),
            ("CommonAnnotations", "commonAnnotations", pairs_map(&data.common_annotations)),
            ("ExternalURL", "externalURL", data.external_url.as_str().into()),
        ],
    )
}

fn status(status: Status) -> Value {
    match status {
        Status::Firing => "firing".into(),
        Status::Resolved => "resolved".into(),
    }
}

fn alert(alert: &NotifiedAlert) -> Value {
    Record::value(
        "template.Alert",
        [
            ("Status", "status", status(alert.status)),
            ("Labels", "labels", pairs_map(alert.labels.iter())),
            ("Annotations", "annotations", pairs_map(&alert.annotations)),
            ("StartsAt", "startsAt", GoTime::utc(alert.starts_at).value()),
            ("EndsAt", "endsAt", GoTime::utc(alert.ends_at).value()),
            ("GeneratorURL", "generatorURL", alert.generator_url.as_str().into()),
            ("Fingerprint", "fingerprint", alert.fingerprint.to_string().into()),
        ],
    )
}

fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

impl Pairs {
    /// Returns the pairs in order of their names, the alert's name before all others.
    fn sorted(&self) -> PairList {
        let entries = self.0.entries.iter().map(|(name, value)| (name.clone(), value.clone()));
        let (first, mut rest): (Vec<_>, Vec<_>) = entries.partition(|(name, _)| name == "alertname");
        let mut list = first;
        list.append(&mut rest);
        PairList(list)
    }
}

impl Object for Pairs {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn type_name(&self) -> &str {
        "template.KV"
    }

    fn text(&self) -> String {
        self.sorted().text()
    }

    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        match method {
            "SortedPairs" => Some(Ok(Value::Object(Arc::new(self.sorted())))),
            "Names" | "Values" | "String" => self.sorted().call(method, args),
            "Remove" => Some(match args {
                [names] => match names.plain() {
                    Value::List(names) => {
                        let removed = |name: &str| names.iter().any(|removed| removed.as_text() == Some(name));
                        let kept = self.0.entries.iter().filter(|(name, _)| !removed(name));
                        Ok(pairs_of(kept.map(|(name, value)| (name.clone(), value.clone())).collect()))
                    }
                    Value::Nil => Ok(pairs_of(self.0.entries.clone())),
                    other => Err(format!("wrong type for value; expected []string; got {}", other.type_name())),
                },
                _ => Err(format!("wrong number of args for Remove: want 1 got {}", args.len())),
            }),
            _ => None,
        }
    }

    fn underlying(&self) -> Value {
        Value::Map(self.0.clone())
    }
}

impl Object for PairList {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn type_name(&self) -> &str {
        "template.Pairs"
    }

    fn text(&self) -> String {
        let shown: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        shown.join(", ")
    }

    fn call(&self, method: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        Some(Ok(match method {
            "Names" => Value::list(self.0.iter().map(|(name, _)| Value::text(name))),
            "Values" => Value::list(self.0.iter().map(|(_, value)| value.clone())),
            "String" => self.text().into(),
            _ => return None,
        }))
    }

    fn underlying(&self) -> Value {
        Value::list(self.0.iter().map(|(name, value)| {
            Record::value("template.Pair", [("Name", "Name", Value::text(name)), ("Value", "Value", value.clone())])
        }))
    }
}

impl AlertList {
    fn with_status(&self, wanted: &str) -> Value {
        let has_status = |alert: &&Value| match alert {
            Value::Object(object) => object.field("Status").is_some_and(|status| status.as_text() == Some(wanted)),
            _ => false,
        };
        Value::list(self.0.iter().filter(has_status).cloned())
    }
}

impl Object for AlertList {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn type_name(&self) -> &str {
        "template.Alerts"
    }

    fn text(&self) -> String {
        Value::List(self.0.clone()).to_string()
    }

    fn call(&self, method: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        match method {
            "Firing" => Some(Ok(self.with_status("firing"))),
            "Resolved" => Some(Ok(self.with_status("resolved"))),
            _ => None,
        }
    }

    fn underlying(&self) -> Value {
        Value::List(self.0.clone())
    }
}
