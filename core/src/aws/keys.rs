//! Credentials, and the documents that bring them.

use std::fmt;

use serde::Deserialize;

use crate::time::{Span, Timestamp};

use super::Role;

/// What requests are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub access_key: String,
    pub secret_key: String,
    pub session_token: Option<String>,
    /// None: they do not expire.
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for Keys {
    /// Writes the public half of the key alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<keys {}>", self.access_key)
    }
}

/// Keys are renewed this long before they expire.
const RENEWAL: Span = Span::from_mins(5);
/// Keys that never expire are read anew this often, so that a rotated file or variable is noticed.
const REREAD: Span = Span::from_mins(5);

impl Keys {
    /// Returns whether it is time for other keys. `since` is when these were got.
    ///
    /// Keys of a short life are renewed when a quarter of it is left.
    pub fn are_due(&self, since: Timestamp, now: Timestamp) -> bool {
        match self.expires_at {
            None => now.since(since) >= REREAD || now < since,
            Some(expires_at) => {
                let early = RENEWAL.min(Span(expires_at.since(since).0.max(0) / 4));
                now + early >= expires_at
            }
        }
    }

    /// Returns whether requests may still be signed with these.
    pub fn are_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("the answer of {whom} holds no {what}")]
    Missing { whom: &'static str, what: &'static str },
    #[error("the answer of {whom} gives {what} in a form that cannot be read")]
    Malformed { whom: &'static str, what: &'static str },
    #[error("the metadata service answers {0}")]
    Machine(String),
}

/// Returns the text of the first element of a name, character references resolved. Enough for the flat answers of STS.
pub fn element(xml: &str, name: &str) -> Option<String> {
    let start = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let end = start + xml[start..].find(&format!("</{name}>"))?;
    let text = xml[start..end].trim();
    Some(text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&"))
}

/// Reads the answer of STS to AssumeRole and AssumeRoleWithWebIdentity.
pub fn assumed(xml: &str) -> Result<Keys, KeysError> {
    let part =
        |what: &'static str| element(xml, what).filter(|text| !text.is_empty()).ok_or(KeysError::Missing { whom: "STS", what });
    let expires_at = Timestamp::parse_rfc3339(&part("Expiration")?);
    Ok(Keys {
        access_key: part("AccessKeyId")?,
        secret_key: part("SecretAccessKey")?,
        session_token: Some(part("SessionToken")?),
        expires_at: Some(expires_at.ok_or(KeysError::Malformed { whom: "STS", what: "Expiration" })?),
    })
}

/// Reads the account in the answer of STS to GetCallerIdentity.
pub fn account(xml: &str) -> Result<String, KeysError> {
    let account = element(xml, "Account").ok_or(KeysError::Missing { whom: "STS", what: "Account" })?;
    let is_account = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
    if is_account { Ok(account) } else { Err(KeysError::Malformed { whom: "STS", what: "Account" }) }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MachineAnswer {
    code: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
}

/// Reads the credentials of a machine's role as its metadata service gives them.
pub fn of_machine(json: &[u8]) -> Result<Keys, KeysError> {
    const WHOM: &str = "the metadata service";
    let answer: MachineAnswer =
        serde_json::from_slice(json).map_err(|_| KeysError::Malformed { whom: WHOM, what: "the credentials" })?;
    if let Some(code) = answer.code.filter(|code| code != "Success") {
        return Err(KeysError::Machine(code.chars().take(100).collect()));
    }
    let part = |value: Option<String>, what| value.filter(|text| !text.is_empty()).ok_or(KeysError::Missing { whom: WHOM, what });
    let expires_at = Timestamp::parse_rfc3339(&part(answer.expiration, "Expiration")?);
    Ok(Keys {
        access_key: part(answer.access_key_id, "AccessKeyId")?,
        secret_key: part(answer.secret_access_key, "SecretAccessKey")?,
        session_token: Some(part(answer.token, "Token")?),
        expires_at: Some(expires_at.ok_or(KeysError::Malformed { whom: WHOM, what: "Expiration" })?),
    })
}

const STS_VERSION: &str = "2011-06-15";
/// How long keys of a role live; no role allows less.
const ROLE_SECONDS: &str = "3600";

/// Returns the form that takes on a role.
pub fn assume_role(role: &Role) -> Vec<(&'static str, String)> {
    let mut form = vec![
        ("Action", "AssumeRole".to_owned()),
        ("Version", STS_VERSION.to_owned()),
        ("RoleArn", role.arn.clone()),
        ("RoleSessionName", role.session_name.clone()),
        ("DurationSeconds", ROLE_SECONDS.to_owned()),
    ];
    if let Some(id) = &role.external_id {
        form.push(("ExternalId", id.clone()));
    }
    form
}

/// Returns the form that takes on a role with the token of a web identity.
pub fn assume_role_with_web_identity(role_arn: &str, session_name: &str, token: &str) -> Vec<(&'static str, String)> {
    vec![
        ("Action", "AssumeRoleWithWebIdentity".to_owned()),
        ("Version", STS_VERSION.to_owned()),
        ("RoleArn", role_arn.to_owned()),
        ("RoleSessionName", session_name.to_owned()),
        ("DurationSeconds", ROLE_SECONDS.to_owned()),
        ("WebIdentityToken", token.to_owned()),
    ]
}

/// Returns the form that asks who we are.
pub fn caller_identity() -> Vec<(&'static str, String)> {
    vec![("Action", "GetCallerIdentity".to_owned()), ("Version", STS_VERSION.to_owned())]
}
