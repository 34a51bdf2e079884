//! Slack: incoming webhooks, and `chat.postMessage` of its Web API.

use serde_json::{Map, Value, json};

use crate::client::{HttpClient, Secret};
use crate::time::Span;

use super::super::retry::Class;
use super::{Answer, Body, Piece, Posted, Request, Unit, Verdict, Words, cut, marks};

/// Source: Slack's reference of secondary message attachments, and of `chat.postMessage`.
const TITLE_CHARS_MAX: usize = 1024;
const TEXT_CHARS_MAX: usize = 40_000;
const ACTIONS_MAX: usize = 5;

#[derive(Clone, Debug, PartialEq)]
pub struct Slack {
    pub url: Secret,
    /// Names the place in Slack, unless the address does; a template.
    pub channel: String,
    pub client: HttpClient,
    pub username: String,
    pub color: String,
    pub title: String,
    pub title_link: String,
    pub pretext: String,
    pub text: String,
    /// The text above the attachment, which notifications on phones show.
    pub message_text: String,
    pub fields: Vec<Field>,
    pub footer: String,
    pub fallback: String,
    pub callback_id: String,
    pub icon_emoji: String,
    pub icon_url: String,
    pub image_url: String,
    pub thumb_url: String,
    pub link_names: bool,
    /// Parts of the attachment whose markup is read.
    pub markup_in: Vec<String>,
    pub actions: Vec<Button>,
    pub timeout: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub title: String,
    pub value: String,
    pub is_short: bool,
}

/// A button; its texts by the names that Slack gives them.
#[derive(Clone, Debug, PartialEq)]
pub struct Button {
    pub texts: Vec<(&'static str, String)>,
    /// What is asked before it acts; empty: nothing.
    pub confirm: Vec<(&'static str, String)>,
}

/// Expands named texts into an object; empty ones are left out.
fn expanded(words: &mut Words<'_>, key: &str, texts: &[(&'static str, String)]) -> Map<String, Value> {
    let mut object = Map::new();
    for (name, text) in texts {
        let text = words.text(&format!("{key}.{name}"), text);
        if !text.is_empty() {
            object.insert((*name).to_owned(), text.into());
        }
    }
    object
}

impl Slack {
    fn attachment(&self, words: &mut Words<'_>) -> Map<String, Value> {
        let title = words.or_title("title", &self.title, marks::slack);
        let fallback = words.or_title("fallback", &self.fallback, marks::slack);
        let mut attachment = Map::new();
        for (name, text) in [
            ("title_link", &self.title_link),
            ("pretext", &self.pretext),
            ("image_url", &self.image_url),
            ("thumb_url", &self.thumb_url),
            ("color", &self.color),
        ] {
            let text = words.text(name, text);
            if !text.is_empty() {
                attachment.insert(name.to_owned(), cut(&text, TEXT_CHARS_MAX, Unit::Chars).into());
            }
        }
        for (name, text) in [("callback_id", &self.callback_id), ("footer", &self.footer)] {
            attachment.insert(name.to_owned(), words.text(name, text).into());
        }
        let fields: Vec<Value> = self
            .fields
            .iter()
            .map(|field| {
                json!({
                    "title": words.text("fields.title", &field.title),
                    "value": words.text("fields.value", &field.value),
                    "short": field.is_short,
                })
            })
            .collect();
        let mut actions = Vec::new();
        for button in self.actions.iter().take(ACTIONS_MAX) {
            let mut action = expanded(words, "actions", &button.texts);
            if !button.confirm.is_empty() {
                action.insert("confirm".to_owned(), expanded(words, "actions.confirm", &button.confirm).into());
            }
            actions.push(action);
        }
        for (name, list) in [("fields", json!(fields)), ("actions", json!(actions))] {
            if list.as_array().is_some_and(|list| !list.is_empty()) {
                attachment.insert(name.to_owned(), list);
            }
        }
        attachment.insert("title".to_owned(), cut(&title, TITLE_CHARS_MAX, Unit::Chars).into());
        attachment.insert("fallback".to_owned(), cut(&fallback, TEXT_CHARS_MAX, Unit::Chars).into());
        attachment.insert("mrkdwn_in".to_owned(), json!(self.markup_in));
        let text = words.text("text", &self.text);
        attachment.insert("text".to_owned(), words.noted(&text, TEXT_CHARS_MAX, Unit::Chars, marks::slack).into());
        attachment
    }
}

impl Posted for Slack {
    fn requests(&self, words: &mut Words<'_>) -> Result<Vec<Request<'_>>, String> {
        let mut body = Map::new();
        for (name, text) in [
            ("channel", &self.channel),
            ("username", &self.username),
            ("icon_emoji", &self.icon_emoji),
            ("icon_url", &self.icon_url),
            ("text", &self.message_text),
        ] {
            let key = if name == "text" { "message_text" } else { name };
            let text = words.text(key, text);
            if !text.is_empty() {
                body.insert(name.to_owned(), cut(&text, TEXT_CHARS_MAX, Unit::Chars).into());
            }
        }
        if self.link_names {
            body.insert("link_names".to_owned(), true.into());
        }
        body.insert("attachments".to_owned(), json!([self.attachment(words)]));
        Ok(vec![Request {
            timeout: self.timeout,
            ..Request::post(vec![Piece::Secret(&self.url)], Body::Json(body.into()), &self.client)
        }])
    }

    /// The Web API answers errors with 200 too, and a webhook says `ok`.
    fn verdict(&self, answer: &Answer<'_>) -> Verdict {
        if !(200..300).contains(&answer.status) {
            return answer.by_status();
        }
        let said = answer.json();
        match said["ok"].as_bool() {
            Some(true) => answer.as_class(Class::Delivered),
            Some(false) => answer.as_class(error_class(said["error"].as_str().unwrap_or_default())),
            // An answer whose body does not come is judged by its status alone.
            None if matches!(answer.body.trim(), "ok" | "") => answer.as_class(Class::Delivered),
            None => answer.as_class(error_class(answer.body.trim())),
        }
    }
}

/// Returns what an error of Slack means. One that we do not know is final, since a message that came with it may have been shown.
///
/// Source: Slack's reference of `chat.postMessage`, "Errors".
fn error_class(error: &str) -> Class {
    match error {
        "ratelimited"
        | "rate_limited"
        | "internal_error"
        | "fatal_error"
        | "service_unavailable"
        | "request_timeout"
        | "accesslimited"
        | "team_added_to_org"
        | "rollup_error" => Class::Retry,
        "invalid_auth"
        | "not_authed"
        | "token_expired"
        | "token_revoked"
        | "account_inactive"
        | "missing_scope"
        | "channel_not_found"
        | "not_in_channel"
        | "is_archived"
        | "channel_is_archived"
        | "no_permission"
        | "access_denied"
        | "action_prohibited"
        | "restricted_action"
        | "ekm_access_denied"
        | "org_login_required"
        | "not_allowed_token_type"
        | "no_service"
        | "no_team"
        | "no_active_hooks"
        | "invalid_token"
        | "team_disabled" => Class::Mendable,
        _ => Class::Rejected,
    }
}
