//! PagerDuty's Events API v2.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tocsin_core::plane::{Action, Delivery};
use tocsin_core::route::receiver::PagerDuty;
use tocsin_core::route::templates::Templates;

use super::{Outcome, Sender};
use crate::client;
use crate::client::answer::with_causes;
use crate::clock;

/// The provider's limits.
const SUMMARY_CHARS_MAX: usize = 1024;
const EVENT_BYTES_MAX: usize = 512_000;

/// Cuts a text to a number of characters; the cut is shown.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Expands templates; what cannot be expanded is left empty and written down.
struct Expand<'a> {
    delivery: &'a Delivery,
    templates: &'a Templates,
    faults: BTreeMap<String, String>,
}

impl Expand<'_> {
    fn text(&mut self, name: &str, text: &str) -> String {
        self.templates.render(text, &self.delivery.data, clock::now()).unwrap_or_else(|error| {
            self.faults.insert(name.to_owned(), error.to_string());
            String::new()
        })
    }
}

fn first_of<const N: usize>(texts: [String; N]) -> String {
    texts.into_iter().find(|text| !text.trim().is_empty()).unwrap_or_default()
}

/// Returns the body of an event. A text that cannot be expanded, or comes out empty where the provider wants one, is replaced: a page
/// with other words is better than none.
pub fn event(delivery: &Delivery, settings: &PagerDuty, routing_key: &str, templates: &Templates) -> Value {
    let mut expand = Expand { delivery, templates, faults: BTreeMap::new() };
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": delivery.action.as_str(),
        "dedup_key": delivery.dedup_key,
    });
    if delivery.action != Action::Trigger {
        return event;
    }
    let severity = expand.text("severity", &settings.severity);
    let severity = match severity.as_str() {
        "critical" | "error" | "warning" | "info" => severity,
        _ => "error".to_owned(),
    };
    let client = expand.text("client", &settings.client_name);
    let source = first_of([expand.text("source", &settings.source), client.clone(), "tocsin".to_owned()]);
    let summary = first_of([expand.text("description", &settings.description), delivery.title.clone(), "tocsin".to_owned()]);
    let mut payload = Map::new();
    payload.insert("summary".to_owned(), cut(&summary, SUMMARY_CHARS_MAX).into());
    payload.insert("source".to_owned(), source.into());
    payload.insert("severity".to_owned(), severity.into());
    for (name, text) in [("class", &settings.class), ("component", &settings.component), ("group", &settings.group)] {
        let text = expand.text(name, text);
        if !text.is_empty() {
            payload.insert(name.to_owned(), text.into());
        }
    }
    let mut details = Map::new();
    for (name, text) in &settings.details {
        details.insert(name.clone(), expand.text(&format!("details.{name}"), text).into());
    }
    event["client"] = client.into();
    event["client_url"] = expand.text("client_url", &settings.client_url).into();
    for (name, list, needed) in [("images", &settings.images, "src"), ("links", &settings.links, "href")] {
        let mut entries = Vec::new();
        for entry in list {
            let expanded: Map<String, Value> =
                entry.iter().map(|(key, text)| (key.clone(), expand.text(&format!("{name}.{key}"), text).into())).collect();
            if expanded.get(needed).and_then(Value::as_str).is_some_and(|text| !text.is_empty()) {
                entries.push(Value::Object(expanded));
            }
        }
        if !entries.is_empty() {
            event[name] = entries.into();
        }
    }
    if !expand.faults.is_empty() {
        details.insert("template_errors".to_owned(), json!(expand.faults));
    }
    payload.insert("custom_details".to_owned(), details.into());
    event["payload"] = payload.into();
    if event.to_string().len() > EVENT_BYTES_MAX {
        event["payload"]["custom_details"] =
            json!({ "error": "the details were left out: the event would exceed the provider's limit of 512 KB" });
    }
    event
}

pub async fn send(sender: &Sender, delivery: &Delivery, settings: &PagerDuty, templates: &Templates) -> Outcome {
    let Some(key) = &settings.routing_key else {
        return Outcome::Rejected("service_key names the Events API v1, which is not served; set routing_key for v2".to_owned());
    };
    let key = match client::reveal(key).await {
        Ok(key) => key,
        Err(error) => return Outcome::Retry { reason: with_causes(&error), after: None },
    };
    let event = event(delivery, settings, &key, templates);
    sender.post(&settings.url, &settings.client, event.to_string(), settings.timeout, None).await
}

#[cfg(test)]
mod tests {
    use tocsin_core::client::HttpClient;
    use tocsin_core::model::LabelSet;
    use tocsin_core::route::alert::IncomingAlert;
    use tocsin_core::route::dispatch::decision::Reason;
    use tocsin_core::route::dispatch::group::GroupId;
    use tocsin_core::route::notification::NotificationData;
    use tocsin_core::time::{Span, Timestamp};

    use super::*;

    fn delivery() -> Delivery {
        let news = IncomingAlert { labels: LabelSet::from_pairs([("alertname", "Down")]), ..IncomingAlert::default() };
        let alert = news.receive(Timestamp(1), Span::from_mins(5)).unwrap();
        let id = GroupId { key: "{}:{}".to_owned(), receiver: "team".to_owned() };
        let data = NotificationData::new(&id, &LabelSet::empty(), vec![&alert], Reason::First, "", Timestamp(1));
        Delivery {
            key: "key".to_owned(),
            lane: "lane".to_owned(),
            sequence: 1,
            page_id: None,
            receiver: "team".to_owned(),
            integration: "pagerduty/0".to_owned(),
            channel: "pagerduty".to_owned(),
            action: Action::Trigger,
            dedup_key: "dedup".to_owned(),
            title: data.title(),
            data,
            created_at: Timestamp(1),
            expires_at: Timestamp(2),
        }
    }

    fn settings(description: &str, broken: &str) -> PagerDuty {
        let text = broken.to_owned();
        let link = BTreeMap::from([("href".to_owned(), text.clone())]);
        PagerDuty {
            routing_key: None,
            service_key: None,
            url: String::new(),
            client: HttpClient::default(),
            client_name: text.clone(),
            client_url: text.clone(),
            description: description.to_owned(),
            details: BTreeMap::from([("firing".to_owned(), text.clone()), ("sound".to_owned(), "word".to_owned())]),
            images: vec![],
            links: vec![link],
            source: text.clone(),
            severity: text.clone(),
            class: text.clone(),
            component: text.clone(),
            group: text,
            timeout: Span::ZERO,
        }
    }

    #[test]
    fn a_template_that_fails_or_says_nothing_costs_its_words_and_no_page() {
        let broken = "{{ (index .Alerts 99).Status }}";
        for description in [broken, "{{ .CommonAnnotations.summary }}", " "] {
            let event = event(&delivery(), &settings(description, broken), "routing", &Templates::new());
            assert_eq!(
                (&event["payload"]["summary"], &event["payload"]["source"]),
                (&json!("[FIRING:1] Down"), &json!("tocsin"))
            );
            assert_eq!((&event["payload"]["severity"], &event["dedup_key"]), (&json!("error"), &json!("dedup")));
            let details = &event["payload"]["custom_details"];
            assert_eq!(details["sound"], "word");
            let faults = details["template_errors"].as_object().unwrap();
            assert!(faults.contains_key("details.firing") && faults.contains_key("links.href"), "{faults:?}");
            assert_eq!((faults.contains_key("description"), event.get("links")), (description == broken, None));
        }
    }
}
