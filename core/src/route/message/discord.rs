//! Discord, by a webhook: one embed a message.

use serde_json::{Map, json};

use crate::client::{HttpClient, Secret};

use super::super::notification::Status;
use super::super::retry::span_of;
use super::{Answer, Body, Piece, Posted, Request, Unit, Verdict, Words, cut, marks};

/// Source: Discord's "Embed Limits" and "Execute Webhook".
const TITLE_MAX: usize = 256;
const DESCRIPTION_MAX: usize = 4096;
const CONTENT_MAX: usize = 2000;
const USERNAME_MAX: usize = 80;

/// The colours of Alertmanager's messages.
const RED: u32 = 0x0099_2d22;
const GREEN: u32 = 0x002e_cc71;

#[derive(Clone, Debug, PartialEq)]
pub struct Discord {
    pub url: Secret,
    pub client: HttpClient,
    /// Stands above the embed; here alone Discord heeds mentions.
    pub content: String,
    pub title: String,
    pub message: String,
    pub username: String,
    pub avatar_url: String,
}

impl Posted for Discord {
    fn requests(&self, words: &mut Words<'_>) -> Result<Vec<Request<'_>>, String> {
        let title = words.or_title("title", &self.title, marks::markdown);
        let message = words.text("message", &self.message);
        let content = words.text("content", &self.content);
        let mut body = Map::new();
        for (name, text, most) in [("username", &self.username, USERNAME_MAX), ("avatar_url", &self.avatar_url, DESCRIPTION_MAX)]
        {
            let text = words.text(name, text);
            if !text.trim().is_empty() {
                body.insert(name.to_owned(), cut(&text, most, Unit::Utf16).into());
            }
        }
        body.insert("content".to_owned(), cut(&content, CONTENT_MAX, Unit::Utf16).into());
        let color = match words.message.data.status {
            Status::Firing => RED,
            Status::Resolved => GREEN,
        };
        let description = words.noted(&message, DESCRIPTION_MAX, Unit::Utf16, marks::markdown);
        let title = cut(&title, TITLE_MAX, Unit::Utf16);
        body.insert("embeds".to_owned(), json!([{ "title": title, "description": description, "color": color }]));
        Ok(vec![Request::post(vec![Piece::Secret(&self.url)], Body::Json(body.into()), &self.client)])
    }

    /// Its wait for 429 is told in the body to the fraction of a second.
    fn verdict(&self, answer: &Answer<'_>) -> Verdict {
        let wish = answer.json()["retry_after"].as_f64().filter(|_| answer.status == 429).map(span_of);
        let verdict = answer.by_status();
        Verdict { after: wish.or(verdict.after), ..verdict }
    }
}
