//! Generic webhooks: Alertmanager's payload, version 4.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::client::{HttpClient, Secret};
use crate::time::Span;

use super::super::dispatch::group::hex;
use super::{Body, Piece, Posted, Request, Words};

/// Source: the IETF's draft on this header.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Holds secrets often, so it is one.
    pub url: Secret,
    pub client: HttpClient,
    /// At most this many alerts in one body; zero: no limit.
    pub max_alerts: u32,
    /// Zero: no limit of its own.
    pub timeout: Span,
}

impl Posted for Webhook {
    fn requests(&self, words: &mut Words<'_>) -> Result<Vec<Request<'_>>, String> {
        let (mut data, most) = (Cow::Borrowed(words.message.data), self.max_alerts as usize);
        if most > 0 && data.alerts.len() > most {
            let data = data.to_mut();
            data.truncated_alerts = (data.alerts.len() - most) as u64;
            data.alerts.truncate(most);
        }
        let body =
            serde_json::to_string(&data).map_err(|error| format!("the notification cannot be written as JSON: {error}"))?;
        // It tells a receiver that asks for it which posts are the same one again.
        let key = hex(&Sha256::digest(words.message.key.as_bytes()));
        Ok(vec![Request {
            headers: vec![(IDEMPOTENCY_KEY, key)],
            timeout: self.timeout,
            ..Request::post(vec![Piece::Secret(&self.url)], Body::Written(body), &self.client)
        }])
    }
}
