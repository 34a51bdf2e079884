//! Opsgenie's Alert API v2, which Jira Service Management serves too.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::client::HttpClient;
use crate::time::Span;

use super::{Action, Body, Method, Piece, Posted, Request, Unit, Words, cut, marks};

/// Source: Opsgenie's Alert API, "Create Alert".
const MESSAGE_CHARS_MAX: usize = 130;
const DESCRIPTION_CHARS_MAX: usize = 15_000;
const SOURCE_CHARS_MAX: usize = 100;
const ENTITY_CHARS_MAX: usize = 512;
const NOTE_CHARS_MAX: usize = 25_000;
const DETAILS_CHARS_MAX: usize = 8_000;
const TAGS_MAX: usize = 20;
const ACTIONS_MAX: usize = 10;
const WORD_CHARS_MAX: usize = 50;
const RESPONDERS_MAX: usize = 50;
const PRIORITIES: [&str; 5] = ["P1", "P2", "P3", "P4", "P5"];

#[derive(Clone, Debug, PartialEq)]
pub struct Opsgenie {
    /// The address before `v2/alerts`, with a slash at its end.
    pub url: String,
    /// Its authorisation is the key.
    pub client: HttpClient,
    pub message: String,
    pub description: String,
    pub source: String,
    /// Beside the labels that all alerts share.
    pub details: BTreeMap<String, String>,
    pub entity: String,
    pub responders: Vec<Responder>,
    /// Separated by commas, as `tags` are.
    pub actions: String,
    pub tags: String,
    pub note: String,
    pub priority: String,
    /// Message and description of an open alert follow the notification.
    pub updates: bool,
}

/// Who is called; one of the first three names them.
#[derive(Clone, Debug, PartialEq)]
pub struct Responder {
    pub id: String,
    pub name: String,
    pub username: String,
    /// `team`, `teams`, `user`, `escalation` or `schedule`; `teams` takes names separated by commas.
    pub kind: String,
}

fn separated(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

impl Opsgenie {
    fn responders(&self, words: &mut Words<'_>) -> Vec<Map<String, Value>> {
        let mut all = Vec::new();
        for responder in &self.responders {
            let kind = words.text("responders.type", &responder.kind).to_lowercase();
            let mut named = Map::new();
            for (key, text) in [("id", &responder.id), ("name", &responder.name), ("username", &responder.username)] {
                let text = words.text(&format!("responders.{key}"), text);
                if !text.trim().is_empty() {
                    named.insert(key.to_owned(), text.into());
                }
            }
            // One who is taken from a label that is not there is nobody.
            if named.is_empty() {
                continue;
            }
            if kind == "teams" {
                let names = named.get("name").and_then(Value::as_str).unwrap_or_default();
                all.extend(
                    separated(names)
                        .map(|name| Map::from_iter([("name".to_owned(), name.into()), ("type".to_owned(), "team".into())])),
                );
            } else {
                named.insert("type".to_owned(), kind.into());
                all.push(named);
            }
        }
        all.truncate(RESPONDERS_MAX);
        all
    }

    fn details(&self, words: &mut Words<'_>) -> Map<String, Value> {
        let mut details: BTreeMap<String, String> =
            words.message.data.common_labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, text) in &self.details {
            let text = words.text(&format!("details.{name}"), text);
            details.insert(name.clone(), text);
        }
        details.extend(words.note().map(|note| ("template_errors".to_owned(), note)));
        let mut left = DETAILS_CHARS_MAX;
        let mut kept = Map::new();
        for (name, text) in details {
            let Some(room) = left.checked_sub(Unit::Chars.count(&name)).filter(|room| *room > 0) else { break };
            let text = cut(&text, room, Unit::Chars);
            left = room - Unit::Chars.count(&text).min(room);
            kept.insert(name, text.into());
        }
        kept
    }

    fn alert(&self, words: &mut Words<'_>) -> Map<String, Value> {
        let message = words.or_title("message", &self.message, marks::none);
        let mut alert = Map::new();
        alert.insert("alias".to_owned(), words.message.dedup_key.into());
        alert.insert("message".to_owned(), cut(&message, MESSAGE_CHARS_MAX, Unit::Chars).into());
        for (name, text, most) in [
            ("description", &self.description, DESCRIPTION_CHARS_MAX),
            ("source", &self.source, SOURCE_CHARS_MAX),
            ("note", &self.note, NOTE_CHARS_MAX),
            ("entity", &self.entity, ENTITY_CHARS_MAX),
        ] {
            let text = words.text(name, text);
            if !text.is_empty() {
                alert.insert(name.to_owned(), cut(&text, most, Unit::Chars).into());
            }
        }
        for (name, text, most) in [("tags", &self.tags, TAGS_MAX), ("actions", &self.actions, ACTIONS_MAX)] {
            let text = words.text(name, text);
            let list: Vec<String> = separated(&text).take(most).map(|word| cut(word, WORD_CHARS_MAX, Unit::Chars)).collect();
            if !list.is_empty() {
                alert.insert(name.to_owned(), json!(list));
            }
        }
        let priority = words.text("priority", &self.priority);
        if PRIORITIES.contains(&priority.trim()) {
            alert.insert("priority".to_owned(), priority.trim().into());
        } else if !priority.trim().is_empty() {
            words.fault("priority", "it must be one of P1 to P5");
        }
        let responders = self.responders(words);
        if !responders.is_empty() {
            alert.insert("responders".to_owned(), json!(responders));
        }
        alert.insert("details".to_owned(), self.details(words).into());
        alert
    }

    fn request(&self, method: Method, path: &str, body: Value) -> Request<'_> {
        let url = vec![Piece::Text(format!("{}v2/alerts{path}", self.url))];
        Request { method, timeout: Span::ZERO, ..Request::post(url, Body::Json(body), &self.client) }
    }
}

impl Posted for Opsgenie {
    fn requests(&self, words: &mut Words<'_>) -> Result<Vec<Request<'_>>, String> {
        let alias = words.message.dedup_key;
        let of_alias = |deed: &str| format!("/{alias}/{deed}?identifierType=alias");
        let (deed, note) = match words.message.action {
            Action::Trigger | Action::Notify => {
                let alert = self.alert(words);
                let mut requests = vec![self.request(Method::Post, "", Value::Object(alert.clone()))];
                if self.updates {
                    for name in ["message", "description"] {
                        let Some(text) = alert.get(name) else { continue };
                        requests.push(self.request(Method::Put, &of_alias(name), json!({ name: text })));
                    }
                }
                return Ok(requests);
            }
            Action::Acknowledge => ("acknowledge", Some(words.title().to_owned())),
            Action::Resolve => ("close", None),
        };
        let source = cut(&words.text("source", &self.source), SOURCE_CHARS_MAX, Unit::Chars);
        let mut body = json!({ "source": source });
        if let Some(note) = note {
            body["note"] = note.into();
        }
        Ok(vec![self.request(Method::Post, &of_alias(deed), body)])
    }
}
