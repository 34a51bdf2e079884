//! What a channel that is reached over HTTP is sent, and what its answer means: one provider a file. Nothing is sent from here, and
//! secrets stay closed: the edge opens them when it sends.

pub mod discord;
pub mod marks;
pub mod msteams;
pub mod ntfy;
pub mod opsgenie;
pub mod pagerduty;
pub mod pushover;
pub mod slack;
pub mod sns;
pub mod telegram;
pub mod twilio;
pub mod webhook;
mod words;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aws::Identity;
use crate::client::{HttpClient, Secret};
use crate::time::Span;

use super::notification::NotificationData;
use super::receiver::Channel;
use super::retry::{Class, class};

pub use words::{Unit, Words, cut};

/// What a message does at its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Trigger,
    Acknowledge,
    Resolve,
    Notify,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Trigger => "trigger",
            Action::Acknowledge => "acknowledge",
            Action::Resolve => "resolve",
            Action::Notify => "notify",
        }
    }

    /// Returns what a notification does on a channel: some keep incidents, all others are told.
    pub fn on(channel: &Channel, fires: bool) -> Action {
        match (channel.keeps_incidents(), fires) {
            (true, true) => Action::Trigger,
            (true, false) => Action::Resolve,
            (false, _) => Action::Notify,
        }
    }
}

/// One thing to tell.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The same at each attempt, and of no other message.
    pub key: &'a str,
    /// Under which a provider folds what belongs together.
    pub dedup_key: &'a str,
    pub action: Action,
    /// One line that says what is wrong, where a template says nothing.
    pub title: &'a str,
    pub data: &'a NotificationData,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Post,
    Put,
}

/// A part of an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece<'a> {
    Text(String),
    Secret(&'a Secret),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Json(Value),
    /// JSON that was written already, for long ones; no secrets go into it.
    Written(String),
    /// Fields of a form, in order.
    Form(Vec<(String, String)>),
}

/// As whom a request is signed, for which service of Amazon.
#[derive(Clone, Debug, PartialEq)]
pub struct Signing<'a> {
    pub service: &'static str,
    pub region: String,
    pub identity: &'a Identity,
}

/// A request to be made as it stands, once its secrets are opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<'a> {
    pub method: Method,
    pub url: Vec<Piece<'a>>,
    /// Beside those of the client and the body's type.
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
    /// Fields of the body that hold secrets, put in under these names.
    pub secrets: Vec<(&'static str, &'a Secret)>,
    pub client: &'a HttpClient,
    /// Zero: no limit of its own.
    pub timeout: Span,
    pub signing: Option<Signing<'a>>,
}

impl<'a> Request<'a> {
    /// Returns a post without headers and secrets of its own.
    pub fn post(url: Vec<Piece<'a>>, body: Body, client: &'a HttpClient) -> Request<'a> {
        let (headers, secrets) = (Vec::new(), Vec::new());
        Request { method: Method::Post, url, headers, body, secrets, client, timeout: Span::ZERO, signing: None }
    }
}

/// What a provider answered.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub status: u16,
    /// From the header Retry-After.
    pub retry_after: Option<Span>,
    /// The beginning of the body.
    pub body: &'a str,
}

impl Answer<'_> {
    /// Returns the body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(self.body).unwrap_or_default()
    }

    /// Returns what the status alone says.
    pub fn by_status(&self) -> Verdict {
        self.as_class(class(self.status))
    }

    pub fn as_class(&self, class: Class) -> Verdict {
        Verdict { class, after: self.retry_after }
    }
}

/// What an answer means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub class: Class,
    /// How long the provider wants to be left alone.
    pub after: Option<Span>,
}

/// A provider's side of a channel.
pub trait Posted: Send + Sync {
    /// Returns what to send, in this order; after one that is not taken the rest waits for the next attempt.
    ///
    /// Errors: why no attempt can be made with these settings.
    fn requests(&self, words: &mut Words<'_>) -> Result<Vec<Request<'_>>, String>;

    fn verdict(&self, answer: &Answer<'_>) -> Verdict {
        answer.by_status()
    }

    /// Returns what to send instead, at once, where the words of the message may be why it was refused.
    fn plainer(&self, _words: &mut Words<'_>, _refusal: &Answer<'_>) -> Option<Request<'_>> {
        None
    }
}
