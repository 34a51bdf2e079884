//! Amazon Web Services: requests that are signed, with credentials that are kept fresh.

mod credentials;

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials as SigningKeys;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tocsin_core::aws::fault::Fault;
use tocsin_core::aws::keys::{self, Keys, KeysError};
use tocsin_core::aws::profile::ProfileError;
use tocsin_core::aws::{Identity, endpoint};
use tocsin_core::collect::wait_before_next;
use tocsin_core::time::Timestamp;

use crate::client::answer::{BodyError, body, with_causes};
use crate::client::{ClientError, Kept};
use crate::{clock, id};
use credentials::{Credentials, Found, find};

/// An answer with 100,800 points takes about 4 MiB.
const BODY_BYTES_MAX: usize = 32 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// One exchange; the collection's own timeout bounds all of them together.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("no answer to {action}")]
    Transport {
        action: &'static str,
        #[source]
        cause: reqwest::Error,
    },
    #[error("cannot read the answer to {action}")]
    Body {
        action: &'static str,
        #[source]
        cause: BodyError,
    },
    #[error("{action} is refused: {fault}")]
    Refused { action: &'static str, fault: Fault },
    #[error("cannot sign the request {action}; check the characters of the keys")]
    Sign { action: &'static str },
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("cannot read keys from {file}")]
    Profile {
        file: String,
        #[source]
        cause: ProfileError,
    },
    #[error("there are no credentials: none in the environment, no profile in {file}, and no metadata service ({machine})")]
    NoCredentials { file: String, machine: String },
}

impl AwsError {
    fn may_pass(&self) -> bool {
        match self {
            AwsError::Transport { .. } | AwsError::Body { cause: BodyError::Transport(_), .. } => true,
            AwsError::Refused { fault, .. } => fault.may_pass(),
            _ => false,
        }
    }

    pub fn is_about_credentials(&self) -> bool {
        match self {
            AwsError::Refused { fault, .. } => fault.is_about_credentials(),
            AwsError::Keys(_) | AwsError::Profile { .. } | AwsError::NoCredentials { .. } | AwsError::Sign { .. } => true,
            _ => false,
        }
    }

    /// Returns whether other requests may fare better.
    pub fn is_about_this_request(&self) -> bool {
        matches!(self, AwsError::Refused { fault, .. } if !fault.may_pass() && !fault.is_about_credentials())
    }
}

/// Speaks in one region as one identity.
pub struct Speaker {
    identity: Identity,
    region: String,
    http: Kept,
    credentials: Credentials,
    /// Requests made so far, by what they asked for.
    pub requests: BTreeMap<&'static str, u64>,
    /// Why the attempt before failed, while others are under way.
    pub trouble: Option<String>,
}

/// A request before it is signed.
pub struct Unsigned<'a> {
    pub action: &'static str,
    pub service: &'a str,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Speaker {
    pub fn new(identity: Identity, region: &str) -> Speaker {
        let http = Kept::new(identity.client.clone(), CONNECT_TIMEOUT);
        let credentials = Credentials::new(&identity.name);
        Speaker { identity, region: region.to_owned(), http, credentials, requests: BTreeMap::new(), trouble: None }
    }

    /// Returns the account that the credentials belong to, as STS says it.
    pub async fn account(&mut self) -> Result<String, AwsError> {
        let keys = self.keys().await?;
        let answer = self.sts("GetCallerIdentity", &keys::caller_identity(), Some(&keys)).await;
        let answer = self.forget_bad_keys(answer)?;
        Ok(keys::account(&answer)?)
    }

    /// Makes one call; returns the body of the answer.
    pub async fn call(&mut self, request: &Unsigned<'_>) -> Result<Vec<u8>, AwsError> {
        let keys = self.keys().await?;
        let answer = self.exchange(request, Some(&keys)).await;
        self.forget_bad_keys(answer)
    }

    /// Returns the headers that sign a request which somebody else sends.
    pub async fn sign(&mut self, request: &Unsigned<'_>) -> Result<HeaderMap, AwsError> {
        let keys = self.keys().await?;
        signature(request, &keys, &self.region, clock::now()).ok_or(AwsError::Sign { action: request.action })
    }

    /// Lets go of credentials that were refused.
    pub fn forget(&mut self) {
        self.credentials.forget();
    }

    fn forget_bad_keys<T>(&mut self, answer: Result<T, AwsError>) -> Result<T, AwsError> {
        if answer.as_ref().is_err_and(AwsError::is_about_credentials) {
            self.credentials.forget();
        }
        answer
    }

    async fn keys(&mut self) -> Result<Keys, AwsError> {
        let now = clock::now();
        if let Some(keys) = self.credentials.fresh(now) {
            return Ok(keys);
        }
        match self.fetch_keys().await {
            Ok(keys) => Ok(self.credentials.hold(keys, now)),
            Err(error) => match self.credentials.valid(now) {
                Some(keys) => {
                    let error = with_causes(&error);
                    tracing::warn!(
                        job = self.identity.name,
                        region = self.region,
                        error,
                        "credentials cannot be renewed; the ones before serve until they expire"
                    );
                    Ok(keys)
                }
                None => Err(error),
            },
        }
    }

    async fn fetch_keys(&mut self) -> Result<Keys, AwsError> {
        let http = self.http.get().await?;
        let found = find(&self.identity, &http).await?;
        let keys = match found {
            Found::Keys(keys) => keys,
            Found::WebIdentity { role_arn, token } => {
                let form = keys::assume_role_with_web_identity(&role_arn, "tocsin", &token);
                keys::assumed(&self.sts("AssumeRoleWithWebIdentity", &form, None).await?)?
            }
        };
        match self.identity.role.clone() {
            None => Ok(keys),
            Some(role) => Ok(keys::assumed(&self.sts("AssumeRole", &keys::assume_role(&role), Some(&keys)).await?)?),
        }
    }

    async fn sts(
        &mut self,
        action: &'static str,
        form: &[(&'static str, String)],
        keys: Option<&Keys>,
    ) -> Result<String, AwsError> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish().into_bytes();
        let request = Unsigned {
            action,
            service: "sts",
            url: endpoint(self.identity.sts_endpoint.as_deref(), "sts", &self.region),
            headers: vec![("content-type", "application/x-www-form-urlencoded".to_owned())],
            body,
        };
        let answer = self.exchange(&request, keys).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Makes a request, and again while another attempt makes sense.
    async fn exchange(&mut self, request: &Unsigned<'_>, keys: Option<&Keys>) -> Result<Vec<u8>, AwsError> {
        let http = self.http.get().await?;
        let mut attempt = 0;
        loop {
            *self.requests.entry(request.action).or_default() += 1;
            attempt += 1;
            let error = match self.attempt(&http, request, keys).await {
                Ok(body) => {
                    self.trouble = None;
                    return Ok(body);
                }
                Err(error) => error,
            };
            self.trouble = Some(with_causes(&error));
            match wait_before_next(attempt, None, id::jitter(u64::MAX)).filter(|_| error.may_pass()) {
                Some(wait) => tokio::time::sleep(wait.to_std()).await,
                None => return Err(error),
            }
        }
    }

    async fn attempt(&self, http: &reqwest::Client, request: &Unsigned<'_>, keys: Option<&Keys>) -> Result<Vec<u8>, AwsError> {
        let action = request.action;
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let value = HeaderValue::from_str(value).map_err(|_| AwsError::Sign { action })?;
            headers.insert(HeaderName::from_static(name), value);
        }
        if let Some(keys) = keys {
            headers.extend(signature(request, keys, &self.region, clock::now()).ok_or(AwsError::Sign { action })?);
        }
        let sent = http.post(&request.url).headers(headers).body(request.body.clone()).timeout(REQUEST_TIMEOUT).send().await;
        let response = sent.map_err(|cause| AwsError::Transport { action, cause })?;
        let status = response.status();
        let answer = body(response, BODY_BYTES_MAX).await.map_err(|cause| AwsError::Body { action, cause })?;
        if status == reqwest::StatusCode::OK {
            return Ok(answer);
        }
        Err(AwsError::Refused { action, fault: Fault::read(status.as_u16(), &answer) })
    }
}

/// Returns the headers that sign a request; None when it cannot be signed.
fn signature(request: &Unsigned<'_>, keys: &Keys, region: &str, now: Timestamp) -> Option<HeaderMap> {
    let identity = SigningKeys::new(&keys.access_key, &keys.secret_key, keys.session_token.clone(), None, "tocsin").into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(request.service)
        .time(UNIX_EPOCH + Duration::from_millis(u64::try_from(now.0).unwrap_or(0)))
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    let headers = request.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let signable = SignableRequest::new("POST", request.url.as_str(), headers, SignableBody::Bytes(&request.body)).ok()?;
    let (instructions, _) = sign(signable, &parameters).ok()?.into_parts();
    let mut signed = HeaderMap::new();
    for (name, value) in instructions.headers() {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        signed.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_signed_for_their_region_and_service() {
        let request = Unsigned {
            action: "ListMetrics",
            service: "monitoring",
            url: endpoint(None, "monitoring", "eu-west-1"),
            headers: vec![
                ("content-type", "application/x-amz-json-1.0".to_owned()),
                ("x-amz-target", "X.ListMetrics".to_owned()),
            ],
            body: b"{}".to_vec(),
        };
        let mut keys = Keys {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "hunter2".to_owned(),
            session_token: Some("token".to_owned()),
            expires_at: None,
        };
        let now = Timestamp::parse_rfc3339("2026-11-21T10:00:00Z").unwrap();
        let headers = signature(&request, &keys, "eu-west-1", now).unwrap();
        let authorization = headers["authorization"].to_str().unwrap();
        assert!(
            authorization.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/eu-west-1/monitoring/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature="
            ),
            "{authorization}"
        );
        assert_eq!(
            (headers["x-amz-date"].as_bytes(), headers["x-amz-security-token"].as_bytes()),
            (&b"20261121T100000Z"[..], &b"token"[..])
        );
        assert!(!format!("{headers:?}").contains("\"token\""), "secrets are not printed");
        assert_ne!(signature(&request, &keys, "eu-west-2", now).unwrap()["authorization"], headers["authorization"]);
        keys.session_token = Some("line\nbreak".to_owned());
        assert!(signature(&request, &keys, "eu-west-1", now).is_none(), "keys that fit no header are refused and do not panic");
    }
}
