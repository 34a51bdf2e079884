//! ntfy: a message to a topic, published as JSON.

use serde_json::{Map, Value, json};

use crate::client::{HttpClient, Secret};

use super::super::notification::Status;
use super::{Body, Piece, Posted, Request, Unit, Words, cut, marks};

/// A longer message would become a file that nobody opens.
///
/// Source: ntfy's documentation, "Limitations".
const MESSAGE_BYTES_MAX: usize = 4096;
const TITLE_BYTES_MAX: usize = 250;
const ACTIONS_MAX: usize = 3;
/// By name or number; each stands at its number.
const PRIORITIES: [(&str, &str); 5] = [("min", "1"), ("low", "2"), ("default", "3"), ("high", "4"), ("max", "5")];
const HIGHEST: usize = 5;
const USUAL: usize = 3;

#[derive(Clone, Debug, PartialEq)]
pub struct Ntfy {
    pub url: String,
    /// Whoever knows it may read it and write to it.
    pub topic: Secret,
    pub client: HttpClient,
    pub title: String,
    pub message: String,
    pub priority: String,
    /// Separated by commas; those that name an emoji are shown as one.
    pub tags: String,
    /// Where a touch leads.
    pub click: String,
    pub icon: String,
    pub is_markdown: bool,
    pub actions: Vec<Action>,
}

/// A button; its texts by the names that ntfy gives them.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    pub texts: Vec<(&'static str, String)>,
    /// The message goes once the button is touched.
    pub clears: bool,
}

impl Ntfy {
    fn priority(&self, words: &mut Words<'_>) -> usize {
        let text = words.text("priority", &self.priority);
        let text = if text.trim() == "urgent" { "max" } else { text.trim() };
        if let Some(at) = PRIORITIES.iter().position(|(name, number)| *name == text || *number == text) {
            return at + 1;
        }
        if !text.is_empty() {
            words.fault("priority", "it must be a number from 1 to 5, or min, low, default, high or max");
        }
        match words.message.data.status {
            Status::Firing => HIGHEST,
            Status::Resolved => USUAL,
        }
    }

    fn actions(&self, words: &mut Words<'_>) -> Vec<Value> {
        let mut all = Vec::new();
        for action in self.actions.iter().take(ACTIONS_MAX) {
            let mut object = Map::new();
            for (name, text) in &action.texts {
                let text = words.text(&format!("actions.{name}"), text);
                if !text.is_empty() {
                    object.insert((*name).to_owned(), text.into());
                }
            }
            if action.clears {
                object.insert("clear".to_owned(), true.into());
            }
            // The service refuses the whole message for a button that leads nowhere.
            if object.contains_key("url") && object.contains_key("label") {
                all.push(object.into());
            }
        }
        all
    }
}

impl Posted for Ntfy {
    fn requests(&self, words: &mut Words<'_>) -> Result<Vec<Request<'_>>, String> {
        let mark = if self.is_markdown { marks::markdown } else { marks::none };
        let title = words.or_title("title", &self.title, marks::none);
        let message = words.text("message", &self.message);
        let mut body = Map::new();
        body.insert("priority".to_owned(), self.priority(words).into());
        let tags = words.text("tags", &self.tags);
        let tags: Vec<&str> = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect();
        let actions = self.actions(words);
        for (name, list) in [("tags", json!(tags)), ("actions", json!(actions))] {
            if list.as_array().is_some_and(|list| !list.is_empty()) {
                body.insert(name.to_owned(), list);
            }
        }
        for (name, text) in [("click", &self.click), ("icon", &self.icon)] {
            let text = words.text(name, text);
            if !text.trim().is_empty() {
                body.insert(name.to_owned(), text.into());
            }
        }
        if self.is_markdown {
            body.insert("markdown".to_owned(), true.into());
        }
        body.insert("title".to_owned(), cut(&title, TITLE_BYTES_MAX, Unit::Bytes).into());
        // An empty message would be shown as the word "triggered".
        let message = if message.trim().is_empty() { mark(words.title()) } else { message };
        body.insert("message".to_owned(), words.noted(message.trim(), MESSAGE_BYTES_MAX, Unit::Bytes, mark).into());
        Ok(vec![Request {
            secrets: vec![("topic", &self.topic)],
            ..Request::post(vec![Piece::Text(self.url.clone())], Body::Json(body.into()), &self.client)
        }])
    }
}
