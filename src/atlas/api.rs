//! Requests to the Administration API, authorised by a token or by digest, at a steady pace.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use tocsin_core::atlas::answer::{self, AnswerError};
use tocsin_core::atlas::digest::Challenge;
use tocsin_core::atlas::pace::Pace;
use tocsin_core::atlas::{Access, Source};
use tocsin_core::collect::wait_before_next;
use tocsin_core::time::{Span, Timestamp};

use crate::client::answer::{BodyError, body, with_causes};
use crate::client::{ClientError, Kept, reveal};
use crate::{clock, id};

const BODY_BYTES_MAX: usize = 32 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// One exchange; the collection's own timeout bounds all of them together.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A longer wish is not waited for: the next collection tries again.
const WISH_MAX: Span = Span::from_mins(5);

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("no answer to the request for {what}")]
    Transport {
        what: &'static str,
        #[source]
        cause: reqwest::Error,
    },
    #[error("cannot read the answer with {what}")]
    Body {
        what: &'static str,
        #[source]
        cause: BodyError,
    },
    #[error("the request for {what} is refused: {said}")]
    Refused { what: &'static str, status: u16, said: String, after: Option<Span> },
    #[error("the request for {what} asks for a kind of authorisation that is not spoken; digest is expected")]
    Challenge { what: &'static str },
    #[error("the keys hold characters that no header can carry")]
    Characters,
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

impl ApiError {
    fn may_pass(&self) -> bool {
        match self {
            ApiError::Transport { .. } | ApiError::Body { cause: BodyError::Transport(_), .. } => true,
            ApiError::Refused { status, .. } => *status == 429 || *status == 408 || *status >= 500,
            _ => false,
        }
    }

    pub fn is_about_credentials(&self) -> bool {
        matches!(self, ApiError::Refused { status: 401, .. } | ApiError::Challenge { .. } | ApiError::Characters)
    }

    /// Returns whether other requests may fare better.
    pub fn is_about_this_request(&self) -> bool {
        matches!(self, ApiError::Answer(_) | ApiError::Refused { status: 400 | 404, .. })
    }

    fn wish(&self) -> Option<Span> {
        match self {
            ApiError::Refused { after, .. } => *after,
            _ => None,
        }
    }
}

/// What the next request is authorised with.
enum Standing {
    None,
    Token { header: HeaderValue, renewal: Timestamp },
    Digest { challenge: Challenge, count: u32 },
}

/// Speaks to Atlas on behalf of one project.
pub struct Api {
    source: Arc<Source>,
    http: Kept,
    standing: Standing,
    pace: Pace,
    /// Requests made so far.
    pub requests: u64,
    /// Why the attempt before failed, while others are under way.
    pub trouble: Option<String>,
}

impl Api {
    pub fn new(source: Arc<Source>) -> Api {
        let http = Kept::new(source.client.clone(), CONNECT_TIMEOUT);
        let pace = Pace::new(source.requests_per_minute);
        Api { source, http, standing: Standing::None, pace, requests: 0, trouble: None }
    }

    /// Gets a document; `what` names it for people.
    pub async fn get(&mut self, what: &'static str, path: &str) -> Result<Vec<u8>, ApiError> {
        let mut attempt = 0;
        let mut introduced = false;
        loop {
            let error = match self.attempt(what, path).await {
                Ok(answer) => {
                    self.trouble = None;
                    return Ok(answer);
                }
                // A token or nonce may have ended before its time; one introduction is fair, a second refusal is meant.
                Err(ApiError::Refused { status: 401, .. }) if !introduced => {
                    introduced = true;
                    continue;
                }
                Err(error) => error,
            };
            self.trouble = Some(with_causes(&error));
            attempt += 1;
            let wish = error.wish();
            let waits = error.may_pass() && wish.is_none_or(|wish| wish <= WISH_MAX);
            match wait_before_next(attempt, wish, id::jitter(u64::MAX)).filter(|_| waits) {
                Some(wait) => tokio::time::sleep(wait.to_std()).await,
                None => return Err(error),
            }
        }
    }

    async fn attempt(&mut self, what: &'static str, path: &str) -> Result<Vec<u8>, ApiError> {
        let authorization = match self.authorization(path).await? {
            Some(authorization) => Some(authorization),
            None if matches!(self.source.access, Access::ApiKey { .. }) => None,
            None => Some(self.token().await?),
        };
        let accept = format!("application/vnd.atlas.{}+json", self.source.resource_version);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(&accept).map_err(|_| ApiError::Characters)?);
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value);
        }
        let request = self.http.get().await?.get(format!("{}{path}", self.source.base_url)).headers(headers);
        let answered = self.send(what, request).await?;
        match answered {
            Answered::Well(answer) => Ok(answer),
            Answered::Refused { error, challenge } => {
                self.refused(what, &error, challenge.as_deref())?;
                Err(error)
            }
        }
    }

    /// Takes in a refusal: what was presented is worth nothing any more, and digest begins with a challenge.
    fn refused(&mut self, what: &'static str, error: &ApiError, challenge: Option<&str>) -> Result<(), ApiError> {
        if !error.is_about_credentials() {
            return Ok(());
        }
        self.standing = match (&self.source.access, challenge) {
            (Access::ApiKey { .. }, Some(header)) => {
                let challenge = Challenge::parse(header).ok_or(ApiError::Challenge { what })?;
                Standing::Digest { challenge, count: 0 }
            }
            (Access::ApiKey { .. } | Access::ServiceAccount { .. }, _) => Standing::None,
        };
        Ok(())
    }

    /// Returns the header for the next request; None where there is nothing to present yet.
    async fn authorization(&mut self, path: &str) -> Result<Option<HeaderValue>, ApiError> {
        match (&mut self.standing, &self.source.access) {
            (Standing::Token { header, renewal }, _) if clock::now() < *renewal => Ok(Some(header.clone())),
            (Standing::Digest { challenge, count }, Access::ApiKey { public_key, private_key }) => {
                *count += 1;
                let (user, password) = (reveal(public_key).await?, reveal(private_key).await?);
                // The path is that of the whole address, which may begin with one of its own.
                let base = self.source.base_url.split_once("://").map_or("", |(_, rest)| rest);
                let uri = format!("{}{path}", base.find('/').map_or("", |at| &base[at..]));
                let value = challenge.answer(&user, &password, "GET", &uri, *count, &id::secret());
                sensitive(&value).map(Some)
            }
            (Standing::None | Standing::Token { .. } | Standing::Digest { .. }, _) => Ok(None),
        }
    }

    /// Gets a token of the service account.
    async fn token(&mut self) -> Result<HeaderValue, ApiError> {
        const WHAT: &str = "a token";
        let source = self.source.clone();
        let Access::ServiceAccount { client_id, client_secret } = &source.access else {
            return Err(ApiError::Challenge { what: WHAT });
        };
        let (user, password) = (reveal(client_id).await?, reveal(client_secret).await?);
        let request = self
            .http
            .get()
            .await?
            .post(format!("{}/api/oauth/token", source.base_url))
            .basic_auth(user, Some(password))
            .header(ACCEPT, "application/json")
            .form(&[("grant_type", "client_credentials")]);
        let asked_at = clock::now();
        match self.send(WHAT, request).await? {
            Answered::Well(body) => {
                let (token, life) = answer::token(&body)?;
                let header = sensitive(&format!("Bearer {token}"))?;
                self.standing = Standing::Token { header: header.clone(), renewal: answer::renewal(asked_at, life) };
                Ok(header)
            }
            Answered::Refused { error, .. } => Err(error),
        }
    }

    async fn send(&mut self, what: &'static str, request: reqwest::RequestBuilder) -> Result<Answered, ApiError> {
        let wait = self.pace.take(clock::now());
        tokio::time::sleep(wait.to_std()).await;
        self.requests += 1;
        let sent = request.timeout(REQUEST_TIMEOUT).send().await;
        let response = sent.map_err(|cause| ApiError::Transport { what, cause })?;
        let status = response.status();
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let after = text(RETRY_AFTER).and_then(|seconds| seconds.trim().parse::<u32>().ok());
        let after = after.map(|seconds| Span::from_secs(i64::from(seconds)));
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenge = challenges.map(str::to_owned).find(|header| header.to_ascii_lowercase().starts_with("digest"));
        let answer = body(response, BODY_BYTES_MAX).await.map_err(|cause| ApiError::Body { what, cause })?;
        if status == StatusCode::OK {
            return Ok(Answered::Well(answer));
        }
        let said = answer::refusal(status.as_u16(), &answer);
        Ok(Answered::Refused { error: ApiError::Refused { what, status: status.as_u16(), said, after }, challenge })
    }
}

enum Answered {
    Well(Vec<u8>),
    Refused { error: ApiError, challenge: Option<String> },
}

fn sensitive(value: &str) -> Result<HeaderValue, ApiError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| ApiError::Characters)?;
    value.set_sensitive(true);
    Ok(value)
}
