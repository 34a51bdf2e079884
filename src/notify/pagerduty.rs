//! PagerDuty's Events API v2.

use serde_json::{Map, Value, json};
use tocsin_core::plane::{Action, Delivery};
use tocsin_core::route::receiver::PagerDuty;
use tocsin_core::route::templates::Templates;

use super::{Outcome, Sender, with_causes};
use crate::client;
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

/// Returns the body of an event, or why a template of it cannot be expanded.
pub fn event(delivery: &Delivery, settings: &PagerDuty, routing_key: &str, templates: &Templates) -> Result<Value, String> {
    let expand = |text: &str| templates.render(text, &delivery.data, clock::now()).map_err(|error| error.to_string());
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": delivery.action.as_str(),
        "dedup_key": delivery.dedup_key,
    });
    if delivery.action != Action::Trigger {
        return Ok(event);
    }
    let severity = expand(&settings.severity)?;
    // The provider refuses other words, and a page with a wrong word is better than none.
    let severity = match severity.as_str() {
        "critical" | "error" | "warning" | "info" => severity,
        _ => "error".to_owned(),
    };
    let source = match expand(&settings.source)? {
        empty if empty.is_empty() => expand(&settings.client_name)?,
        source => source,
    };
    let mut payload = Map::new();
    payload.insert("summary".to_owned(), cut(&expand(&settings.description)?, SUMMARY_CHARS_MAX).into());
    payload.insert("source".to_owned(), if source.is_empty() { "tocsin".into() } else { source.into() });
    payload.insert("severity".to_owned(), severity.into());
    for (name, text) in [("class", &settings.class), ("component", &settings.component), ("group", &settings.group)] {
        let text = expand(text)?;
        if !text.is_empty() {
            payload.insert(name.to_owned(), text.into());
        }
    }
    let mut details = Map::new();
    for (name, text) in &settings.details {
        details.insert(name.clone(), expand(text)?.into());
    }
    payload.insert("custom_details".to_owned(), details.into());
    event["payload"] = payload.into();
    event["client"] = expand(&settings.client_name)?.into();
    event["client_url"] = expand(&settings.client_url)?.into();
    for (name, list, needed) in [("images", &settings.images, "src"), ("links", &settings.links, "href")] {
        let mut entries = Vec::new();
        for entry in list {
            let mut expanded = Map::new();
            for (key, text) in entry {
                expanded.insert(key.clone(), expand(text)?.into());
            }
            if expanded.get(needed).and_then(Value::as_str).is_some_and(|text| !text.is_empty()) {
                entries.push(Value::Object(expanded));
            }
        }
        if !entries.is_empty() {
            event[name] = entries.into();
        }
    }
    if event.to_string().len() > EVENT_BYTES_MAX {
        event["payload"]["custom_details"] =
            json!({ "error": "the details were left out: the event would exceed the provider's limit of 512 KB" });
    }
    Ok(event)
}

pub async fn send(sender: &Sender, delivery: &Delivery, settings: &PagerDuty, templates: &Templates) -> Outcome {
    let Some(key) = &settings.routing_key else {
        return Outcome::Rejected("service_key names the Events API v1, which is not served; set routing_key for v2".to_owned());
    };
    let key = match client::reveal(key).await {
        Ok(key) => key,
        Err(error) => return Outcome::Retry { reason: with_causes(&error), after: None },
    };
    match event(delivery, settings, &key, templates) {
        Ok(event) => sender.post(&settings.url, &settings.client, event.to_string(), settings.timeout).await,
        Err(reason) => Outcome::Rejected(format!("a template cannot be expanded: {reason}")),
    }
}
