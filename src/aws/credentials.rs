//! Where credentials come from: the environment, files, and the machine's metadata service.

use std::time::Duration;

use tocsin_core::aws::fault::Fault;
use tocsin_core::aws::keys::{self, Keys};
use tocsin_core::aws::{Access, Identity, profile};
use tocsin_core::client::Secret;
use tocsin_core::time::Timestamp;

use super::AwsError;
use crate::client::answer::{body, with_causes};
use crate::client::reveal;

const IMDS: &str = "http://169.254.169.254";
/// Elsewhere than on a machine of AWS nobody answers there, and that must not take long.
const IMDS_TIMEOUT: Duration = Duration::from_secs(2);
const IMDS_TOKEN_SECONDS: &str = "300";
const IMDS_BYTES_MAX: usize = 64 << 10;

/// The credentials that are in use.
pub struct Credentials {
    /// Whose they are, for the log.
    name: String,
    held: Option<(Keys, Timestamp)>,
}

impl Credentials {
    pub fn new(name: &str) -> Credentials {
        Credentials { name: name.to_owned(), held: None }
    }

    /// Returns the keys unless it is time for others.
    pub fn fresh(&self, now: Timestamp) -> Option<Keys> {
        self.held.as_ref().filter(|(keys, since)| !keys.are_due(*since, now)).map(|(keys, _)| keys.clone())
    }

    /// Returns keys that are due for renewal and have not expired.
    pub fn valid(&self, now: Timestamp) -> Option<Keys> {
        self.held.as_ref().filter(|(keys, _)| keys.are_valid(now)).map(|(keys, _)| keys.clone())
    }

    pub fn hold(&mut self, keys: Keys, now: Timestamp) -> Keys {
        tracing::debug!(job = self.name, ?keys, "credentials were got");
        self.held = Some((keys.clone(), now));
        keys
    }

    /// Lets go of keys that somebody refused.
    pub fn forget(&mut self) {
        self.held = None;
    }
}

/// What was found to begin with.
pub enum Found {
    Keys(Keys),
    /// Keys come from STS, in exchange for a token.
    WebIdentity {
        role_arn: String,
        token: String,
    },
}

#[allow(clippy::disallowed_methods, reason = "the environment is one of the places where credentials of AWS are by convention")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the credentials that an identity names, before any role is taken on.
pub async fn find(identity: &Identity, http: &reqwest::Client) -> Result<Found, AwsError> {
    match &identity.access {
        Access::Keys { access_key, secret_key, session_token } => Ok(Found::Keys(Keys {
            access_key: reveal(access_key).await?,
            secret_key: reveal(secret_key).await?,
            session_token: match session_token {
                Some(token) => Some(reveal(token).await?),
                None => None,
            },
            expires_at: None,
        })),
        Access::Profile { name, file } => {
            let file = file.clone().unwrap_or_else(shared_file);
            of_profile(&file, name).await.map(Found::Keys)
        }
        Access::WebIdentity { token_file, role_arn } => of_web_identity(token_file, role_arn).await,
        Access::Machine => of_machine(identity, http).await.map(Found::Keys),
        Access::Chain => chain(identity, http).await,
    }
}

/// Looks in all the usual places, in the usual order.
///
/// Source: the default credential provider chain of the SDKs of AWS, without single sign-on, programs and containers.
async fn chain(identity: &Identity, http: &reqwest::Client) -> Result<Found, AwsError> {
    if let (Some(access_key), Some(secret_key)) = (environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY")) {
        let session_token = environment("AWS_SESSION_TOKEN");
        return Ok(Found::Keys(Keys { access_key, secret_key, session_token, expires_at: None }));
    }
    if let (Some(file), Some(role_arn)) = (environment("AWS_WEB_IDENTITY_TOKEN_FILE"), environment("AWS_ROLE_ARN")) {
        return of_web_identity(&file, &role_arn).await;
    }
    let (file, wanted) = (shared_file(), environment("AWS_PROFILE"));
    match of_profile(&file, wanted.as_deref().unwrap_or("default")).await {
        Ok(keys) => return Ok(Found::Keys(keys)),
        // A profile that somebody asked for must be there; the default one may be missing.
        Err(error) if wanted.is_some() => return Err(error),
        Err(_) => {}
    }
    match of_machine(identity, http).await {
        Ok(keys) => Ok(Found::Keys(keys)),
        Err(error) => Err(AwsError::NoCredentials { file, machine: with_causes(&error) }),
    }
}

fn shared_file() -> String {
    environment("AWS_SHARED_CREDENTIALS_FILE")
        .unwrap_or_else(|| format!("{}/.aws/credentials", environment("HOME").unwrap_or_default()))
}

async fn of_profile(file: &str, name: &str) -> Result<Keys, AwsError> {
    let text = reveal(&Secret::File(file.to_owned())).await?;
    profile::keys(&text, name).map_err(|cause| AwsError::Profile { file: file.to_owned(), cause })
}

async fn of_web_identity(token_file: &str, role_arn: &str) -> Result<Found, AwsError> {
    let token = reveal(&Secret::File(token_file.to_owned())).await?;
    Ok(Found::WebIdentity { role_arn: role_arn.to_owned(), token })
}

/// Asks the machine's metadata service, by its second version alone: the first one answers anybody who can make us send a request.
async fn of_machine(identity: &Identity, http: &reqwest::Client) -> Result<Keys, AwsError> {
    let base = identity.imds_endpoint.as_deref().unwrap_or(IMDS);
    let token = http.put(format!("{base}/latest/api/token")).header("x-aws-ec2-metadata-token-ttl-seconds", IMDS_TOKEN_SECONDS);
    let token = String::from_utf8_lossy(&ask_machine(token).await?).trim().to_owned();
    let list = format!("{base}/latest/meta-data/iam/security-credentials/");
    let role = ask_machine(http.get(&list).header("x-aws-ec2-metadata-token", &token)).await?;
    let role = String::from_utf8_lossy(&role).lines().next().unwrap_or_default().trim().to_owned();
    let answer = ask_machine(http.get(format!("{list}{role}")).header("x-aws-ec2-metadata-token", &token)).await?;
    Ok(keys::of_machine(&answer)?)
}

async fn ask_machine(request: reqwest::RequestBuilder) -> Result<Vec<u8>, AwsError> {
    const ACTION: &str = "the metadata service";
    let response = request.timeout(IMDS_TIMEOUT).send().await.map_err(|cause| AwsError::Transport { action: ACTION, cause })?;
    let status = response.status();
    let answer = body(response, IMDS_BYTES_MAX).await.map_err(|cause| AwsError::Body { action: ACTION, cause })?;
    if status != reqwest::StatusCode::OK {
        let fault = Fault::read(status.as_u16(), b"");
        return Err(AwsError::Refused { action: ACTION, fault });
    }
    Ok(answer)
}
