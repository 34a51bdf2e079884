//! Telegram's Bot API: `sendMessage`.

use serde_json::{Map, Value, json};

use crate::client::{HttpClient, Secret};
use crate::time::Span;

use super::super::retry::{Class, class};
use super::{Answer, Body, Piece, Posted, Request, Unit, Verdict, Words, marks};

/// As Telegram counts a text without its markup.
///
/// Source: Telegram's Bot API, "sendMessage".
const TEXT_MAX: usize = 4096;

#[derive(Clone, Debug, PartialEq)]
pub struct Telegram {
    /// The address before `/bot`.
    pub url: String,
    pub token: Secret,
    pub chat: Chat,
    /// Zero: the chat itself.
    pub thread: i64,
    pub client: HttpClient,
    pub message: String,
    pub is_silent: bool,
    pub mode: Mode,
    pub timeout: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Chat {
    Id(i64),
    /// Its number is read when it is used.
    File(Secret),
}

/// How Telegram reads the markup of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Plain,
    Html,
    Markdown,
    MarkdownV2,
}

impl Mode {
    fn name(self) -> Option<&'static str> {
        match self {
            Mode::Plain => None,
            Mode::Html => Some("HTML"),
            Mode::Markdown => Some("Markdown"),
            Mode::MarkdownV2 => Some("MarkdownV2"),
        }
    }

    fn mark(self) -> fn(&str) -> String {
        match self {
            Mode::Plain => marks::none,
            Mode::Html => marks::html,
            Mode::Markdown => marks::old_markdown,
            Mode::MarkdownV2 => marks::markdown_v2,
        }
    }
}

impl Telegram {
    fn text(&self, words: &mut Words<'_>) -> String {
        let text = match self.mode {
            Mode::Html => words.html("message", &self.message),
            Mode::Plain | Mode::Markdown | Mode::MarkdownV2 => words.text("message", &self.message),
        };
        if text.trim().is_empty() { self.mode.mark()(words.title()) } else { text }
    }

    fn plain_text(&self, words: &mut Words<'_>) -> String {
        let text = self.text(words);
        if self.mode == Mode::Html { marks::without_tags(&text) } else { text }
    }

    fn request(&self, text: &str, mode: Mode) -> Request<'_> {
        let mut body = Map::new();
        body.insert("text".to_owned(), text.into());
        body.insert("link_preview_options".to_owned(), json!({ "is_disabled": true }));
        if let Some(name) = mode.name() {
            body.insert("parse_mode".to_owned(), name.into());
        }
        if self.is_silent {
            body.insert("disable_notification".to_owned(), true.into());
        }
        if self.thread != 0 {
            body.insert("message_thread_id".to_owned(), self.thread.into());
        }
        let mut secrets = Vec::new();
        match &self.chat {
            Chat::Id(id) => {
                body.insert("chat_id".to_owned(), (*id).into());
            }
            Chat::File(file) => secrets.push(("chat_id", file)),
        }
        let base = self.url.trim_end_matches('/');
        let url = vec![Piece::Text(format!("{base}/bot")), Piece::Secret(&self.token), Piece::Text("/sendMessage".to_owned())];
        Request { secrets, timeout: self.timeout, ..Request::post(url, Body::Json(Value::Object(body)), &self.client) }
    }
}

impl Posted for Telegram {
    fn requests(&self, words: &mut Words<'_>) -> Result<Vec<Request<'_>>, String> {
        let text = self.text(words);
        let seen = if self.mode == Mode::Html { marks::without_tags(&text) } else { text.clone() };
        // The note about templates has its room too.
        if Unit::Utf16.count(&seen) + words.note().map_or(0, |note| 2 * note.len()) > TEXT_MAX {
            // A cut through markup would be refused.
            return Ok(vec![self.request(&words.noted(&seen, TEXT_MAX, Unit::Utf16, marks::none), Mode::Plain)]);
        }
        Ok(vec![self.request(&words.noted(&text, usize::MAX, Unit::Utf16, self.mode.mark()), self.mode)])
    }

    /// Source: Telegram's Bot API, "Making requests" and "ResponseParameters".
    fn verdict(&self, answer: &Answer<'_>) -> Verdict {
        let said = answer.json();
        let wish = said["parameters"]["retry_after"].as_i64().map(Span::from_secs).or(answer.retry_after);
        let is_place = said["description"].as_str().is_some_and(|text| {
            ["chat not found", "thread not found", "upgraded to a supergroup", "not enough rights"]
                .into_iter()
                .any(|words| text.contains(words))
        });
        let class = if answer.status == 400 && is_place { Class::Mendable } else { class(answer.status) };
        Verdict { class, after: wish }
    }

    fn plainer(&self, words: &mut Words<'_>, refusal: &Answer<'_>) -> Option<Request<'_>> {
        let is_markup = refusal.status == 400 && refusal.body.contains("can't parse entities");
        if !is_markup || self.mode == Mode::Plain {
            return None;
        }
        let text = self.plain_text(words);
        words.fault("message", "Telegram cannot read the markup, so it came without");
        Some(self.request(&words.noted(&text, TEXT_MAX, Unit::Utf16, marks::none), Mode::Plain))
    }
}
