//! PagerDuty's Events API v2.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::client::{HttpClient, Secret};
use crate::time::Span;

use super::{Action, Body, Piece, Posted, Request, Unit, Words, cut, marks};

/// The provider's limits.
const SUMMARY_CHARS_MAX: usize = 1024;
const EVENT_BYTES_MAX: usize = 512_000;

#[derive(Clone, Debug, PartialEq)]
pub struct PagerDuty {
    /// Integration key of Events API v2.
    pub routing_key: Option<Secret>,
    /// Key of the old Events API v1, which we refuse to send to; kept to say so.
    pub service_key: Option<Secret>,
    /// Address of `enqueue`.
    pub url: String,
    pub client: HttpClient,
    pub client_name: String,
    pub client_url: String,
    pub description: String,
    pub details: BTreeMap<String, String>,
    pub images: Vec<BTreeMap<String, String>>,
    pub links: Vec<BTreeMap<String, String>>,
    pub source: String,
    pub severity: String,
    pub class: String,
    pub component: String,
    pub group: String,
    pub timeout: Span,
}

impl PagerDuty {
    /// Returns the body of an event, without its routing key. A text that comes out empty where the provider wants one is replaced.
    fn event(&self, words: &mut Words<'_>) -> Value {
        let mut event = json!({
            "event_action": words.message.action.as_str(),
            "dedup_key": words.message.dedup_key,
        });
        if words.message.action != Action::Trigger {
            return event;
        }
        let severity = words.text("severity", &self.severity);
        let severity = match severity.as_str() {
            "critical" | "error" | "warning" | "info" => severity,
            _ => "error".to_owned(),
        };
        let client = words.text("client", &self.client_name);
        let source = [words.text("source", &self.source), client.clone(), "tocsin".to_owned()];
        let source = source.into_iter().find(|text| !text.trim().is_empty()).unwrap_or_default();
        let summary = words.or_title("description", &self.description, marks::none);
        let mut payload = Map::new();
        payload.insert("summary".to_owned(), cut(&summary, SUMMARY_CHARS_MAX, Unit::Chars).into());
        payload.insert("source".to_owned(), source.into());
        payload.insert("severity".to_owned(), severity.into());
        for (name, text) in [("class", &self.class), ("component", &self.component), ("group", &self.group)] {
            let text = words.text(name, text);
            if !text.is_empty() {
                payload.insert(name.to_owned(), text.into());
            }
        }
        let mut details = Map::new();
        for (name, text) in &self.details {
            details.insert(name.clone(), words.text(&format!("details.{name}"), text).into());
        }
        event["client"] = client.into();
        event["client_url"] = words.text("client_url", &self.client_url).into();
        for (name, list, needed) in [("images", &self.images, "src"), ("links", &self.links, "href")] {
            let mut entries = Vec::new();
            for entry in list {
                let expanded: Map<String, Value> =
                    entry.iter().map(|(key, text)| (key.clone(), words.text(&format!("{name}.{key}"), text).into())).collect();
                if expanded.get(needed).and_then(Value::as_str).is_some_and(|text| !text.is_empty()) {
                    entries.push(Value::Object(expanded));
                }
            }
            if !entries.is_empty() {
                event[name] = entries.into();
            }
        }
        if !words.faults().is_empty() {
            details.insert("template_errors".to_owned(), json!(words.faults()));
        }
        payload.insert("custom_details".to_owned(), details.into());
        event["payload"] = payload.into();
        if event.to_string().len() > EVENT_BYTES_MAX {
            event["payload"]["custom_details"] =
                json!({ "error": "the details were left out: the event would exceed the provider's limit of 512 KB" });
        }
        event
    }
}

impl Posted for PagerDuty {
    fn requests(&self, words: &mut Words<'_>) -> Result<Vec<Request<'_>>, String> {
        let Some(key) = &self.routing_key else {
            return Err("service_key names the Events API v1, which is not served; set routing_key for v2".to_owned());
        };
        Ok(vec![Request {
            secrets: vec![("routing_key", key)],
            timeout: self.timeout,
            ..Request::post(vec![Piece::Text(self.url.clone())], Body::Json(self.event(words)), &self.client)
        }])
    }
}
