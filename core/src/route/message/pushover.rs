//! Pushover's Message API.

use crate::client::{HttpClient, Secret};
use crate::time::Span;

use super::super::notification::Status;
use super::super::retry::Class;
use super::{Answer, Body, Piece, Posted, Request, Unit, Verdict, Words, cut, marks};

/// Source: Pushover's API, "Limits" and "Emergency Priority".
const TITLE_CHARS_MAX: usize = 250;
const MESSAGE_CHARS_MAX: usize = 1024;
const URL_CHARS_MAX: usize = 512;
const URL_TITLE_CHARS_MAX: usize = 100;
const RETRY_MIN: Span = Span::from_secs(30);
const EXPIRE_MAX: Span = Span::from_secs(10_800);
const PRIORITIES: [&str; 5] = ["-2", "-1", "0", "1", "2"];
/// An emergency is repeated until somebody acknowledges it.
const EMERGENCY: &str = "2";
const NORMAL: &str = "0";

#[derive(Clone, Debug, PartialEq)]
pub struct Pushover {
    pub url: String,
    pub client: HttpClient,
    pub user: Secret,
    pub token: Secret,
    pub title: String,
    pub message: String,
    pub link: String,
    pub link_title: String,
    pub device: String,
    pub sound: String,
    pub priority: String,
    /// Between the repeats of an emergency.
    pub retry: Span,
    /// An emergency is repeated no longer than this.
    pub expire: Span,
    /// Zero: a message stays until somebody removes it.
    pub ttl: Span,
    pub is_html: bool,
    pub is_monospace: bool,
}

impl Posted for Pushover {
    fn requests(&self, words: &mut Words<'_>) -> Result<Vec<Request<'_>>, String> {
        let message = if self.is_html { words.html("message", &self.message) } else { words.text("message", &self.message) };
        let mark = if self.is_html { marks::html } else { marks::none };
        let message = if message.trim().is_empty() { mark(words.title()) } else { message.trim().to_owned() };
        let title = words.or_title("title", &self.title, marks::none);
        let usual = match words.message.data.status {
            Status::Firing => EMERGENCY,
            Status::Resolved => NORMAL,
        };
        let priority = words.text("priority", &self.priority);
        let priority = match PRIORITIES.into_iter().find(|known| *known == priority.trim()) {
            Some(known) => known,
            None => {
                if !priority.trim().is_empty() {
                    words.fault("priority", "it must be a number from -2 to 2");
                }
                usual
            }
        };
        let mut form = vec![
            ("title", cut(&title, TITLE_CHARS_MAX, Unit::Chars)),
            ("priority", priority.to_owned()),
            ("url", cut(&words.text("url", &self.link), URL_CHARS_MAX, Unit::Chars)),
            ("url_title", cut(&words.text("url_title", &self.link_title), URL_TITLE_CHARS_MAX, Unit::Chars)),
            ("device", words.text("device", &self.device)),
            ("sound", words.text("sound", &self.sound)),
        ];
        let seconds = |span: Span| (span.0 / 1000).to_string();
        if priority == EMERGENCY {
            form.push(("retry", seconds(self.retry.max(RETRY_MIN))));
            form.push(("expire", seconds(self.expire.min(EXPIRE_MAX))));
        } else if self.ttl > Span::ZERO {
            form.push(("ttl", seconds(self.ttl)));
        }
        for (name, is_so) in [("html", self.is_html), ("monospace", self.is_monospace)] {
            if is_so {
                form.push((name, "1".to_owned()));
            }
        }
        form.push(("message", words.noted(&message, MESSAGE_CHARS_MAX, Unit::Chars, mark)));
        form.retain(|(_, text)| !text.is_empty());
        let form = form.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        Ok(vec![Request {
            secrets: vec![("token", &self.token), ("user", &self.user)],
            ..Request::post(vec![Piece::Text(self.url.clone())], Body::Form(form), &self.client)
        }])
    }

    /// It answers a wrong key as it answers a wrong message, and names the field in the body.
    fn verdict(&self, answer: &Answer<'_>) -> Verdict {
        let said = answer.json();
        let is_key = ["token", "user"].into_iter().any(|field| said[field] == "invalid");
        if answer.status == 400 && is_key { answer.as_class(Class::Mendable) } else { answer.by_status() }
    }
}
