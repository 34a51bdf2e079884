//! Sending: one channel a file. A send that fails is an outcome, not an error; the outbox decides when to try again.

pub mod email;
pub mod pagerduty;
pub mod webhook;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use reqwest::header;
use tocsin_core::client::HttpClient;
use tocsin_core::plane::Delivery;
use tocsin_core::route::receiver::{Channel, Integration};
use tocsin_core::route::retry::{Class, MENDING_WAIT, class};
use tocsin_core::route::templates::Templates;
use tocsin_core::time::Span;

use crate::client::answer::with_causes;
use crate::client::{self, ClientError};

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took it; what it said.
    Delivered(String),
    /// Worth another try; not before `after`, where the provider named a wait.
    Retry { reason: String, after: Option<Span> },
    /// Another try would end the same.
    Rejected(String),
}

impl Outcome {
    /// Worth another try after somebody had the time to mend something.
    fn mendable(reason: impl Into<String>) -> Outcome {
        Outcome::Retry { reason: reason.into(), after: Some(MENDING_WAIT) }
    }
}

/// No single attempt takes longer than this.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The status of an answer decides; what else it says is waited for no longer than this, and not beyond the attempt's time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Of an answer no more than this is read, and less is kept.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const ANSWER_CHARS_SHOWN: usize = 300;
/// Source: the IETF's draft on this header.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Sends deliveries; keeps connections between them.
#[derive(Default)]
pub struct Sender {
    /// One client for each distinct setting, found by its printed form (which shows no secret's value, so secrets that are written
    /// in the configuration share a client; they are added to each request anew).
    clients: Mutex<BTreeMap<String, reqwest::Client>>,
    mails: email::Mails,
}

impl Sender {
    async fn http(&self, settings: &HttpClient) -> Result<reqwest::Client, ClientError> {
        let key = format!("{settings:?}");
        // TLS material is read when a client is built; a client with some is built anew, so that a rotated certificate is used.
        let has_material = settings.tls.ca.is_some() || settings.tls.cert.is_some();
        if !has_material && let Some(found) = self.clients.lock().expect("no holder of this lock panics").get(&key) {
            return Ok(found.clone());
        }
        let built = client::build_for_posts(settings, CONNECT_TIMEOUT).await?;
        if !has_material {
            self.clients.lock().expect("no holder of this lock panics").insert(key, built.clone());
        }
        Ok(built)
    }

    /// Makes one attempt at a delivery to an integration.
    ///
    /// The inbox is not sent to from here: it is a table of ours.
    pub async fn send(&self, delivery: &Delivery, integration: &Integration, templates: &Templates) -> Outcome {
        let sending = async {
            match &integration.channel {
                Channel::PagerDuty(settings) => pagerduty::send(self, delivery, settings, templates).await,
                Channel::Webhook(settings) => webhook::send(self, delivery, settings).await,
                Channel::Email(settings) => email::send(&self.mails, delivery, settings, templates).await,
                Channel::Inbox => Outcome::Rejected("the inbox takes its messages elsewhere".to_owned()),
                Channel::Unserved { kind } => Outcome::Rejected(format!("{kind} is not served by this version")),
            }
        };
        match tokio::time::timeout(ATTEMPT_TIMEOUT, sending).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Retry { reason: format!("no answer within {ATTEMPT_TIMEOUT:?}"), after: None },
        }
    }

    /// Posts JSON and reads the verdict off the answer. `key` tells a receiver that asks for it which posts are the same one again.
    async fn post(&self, url: &str, settings: &HttpClient, body: String, timeout: Span, key: Option<&str>) -> Outcome {
        let retry = |reason: String| Outcome::Retry { reason, after: None };
        let mut request = match self.http(settings).await {
            Ok(http) => http.post(url).header(header::CONTENT_TYPE, "application/json").body(body),
            Err(error) => return retry(with_causes(&error)),
        };
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_KEY, crate::id::digest(key));
        }
        // What is left of the attempt's time is for secrets before and the answer after.
        let most = ATTEMPT_TIMEOUT - 2 * ANSWER_TIMEOUT;
        let timeout = if timeout > Span::ZERO { timeout.to_std().min(most) } else { most };
        let request = match client::authorise(request, settings).await {
            Ok(request) => request,
            Err(error) => return retry(with_causes(&error)),
        };
        let mut answer = match tokio::time::timeout(timeout, request.send()).await {
            Ok(Ok(answer)) => answer,
            // The URL may hold a secret.
            Ok(Err(error)) if error.is_builder() => return Outcome::mendable(with_causes(&error.without_url())),
            Ok(Err(error)) => return retry(with_causes(&error.without_url())),
            Err(_) => return retry(format!("no answer within {timeout:?}")),
        };
        let status = answer.status();
        let after = answer
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse::<i64>().ok())
            .map(Span::from_secs);
        let mut text = Vec::new();
        let reading = async {
            while let Ok(Some(piece)) = answer.chunk().await {
                text.extend_from_slice(&piece);
                if text.len() > ANSWER_BYTES_MAX {
                    break;
                }
            }
        };
        // The verdict does not depend on it, so an answer that stalls is only cut short.
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, reading).await;
        let said: String = String::from_utf8_lossy(&text).trim().chars().take(ANSWER_CHARS_SHOWN).collect();
        let said = format!("HTTP {status}{}{said}", if said.is_empty() { "" } else { ": " });
        match class(status.as_u16()) {
            Class::Delivered => Outcome::Delivered(said),
            Class::Retry => Outcome::Retry { reason: said, after },
            Class::Mendable => Outcome::mendable(said),
            Class::Rejected => Outcome::Rejected(said),
        }
    }
}
