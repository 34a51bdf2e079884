//! The shared file of profiles that the tools of AWS keep: `~/.aws/credentials`.

use std::collections::BTreeMap;

use super::keys::Keys;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    #[error("there is no profile {0:?}")]
    Unknown(String),
    #[error("the profile {profile:?} has no {key}{hint}")]
    Missing { profile: String, key: &'static str, hint: &'static str },
}

/// Returns the keys of a profile. Sections are `[name]` or `[profile name]`; keys of the last one of a name count.
///
/// Errors: no such profile, or one without keys, such as one that names a role or a program.
pub fn keys(text: &str, profile: &str) -> Result<Keys, ProfileError> {
    let mut section: Option<String> = None;
    let mut found: Option<BTreeMap<String, String>> = None;
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let name = name.trim();
            let name = name.strip_prefix("profile ").unwrap_or(name).trim();
            section = Some(name.to_owned());
            if name == profile {
                found.get_or_insert_default();
            }
        } else if section.as_deref() == Some(profile)
            && let Some((key, value)) = line.split_once('=')
        {
            // A comment begins at a mark behind white space.
            let value = value.split(" #").next().unwrap_or_default().split(" ;").next().unwrap_or_default();
            found.get_or_insert_default().insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let Some(mut found) = found else { return Err(ProfileError::Unknown(profile.to_owned())) };
    let hint = if ["role_arn", "source_profile", "sso_session", "sso_start_url", "credential_process"]
        .iter()
        .any(|key| found.contains_key(*key))
    {
        "; profiles with roles, single sign-on or programs are not served: name the profile that holds keys, and write role_arn in our configuration"
    } else {
        ""
    };
    let mut part = |key: &'static str| {
        let value = found.remove(key).filter(|value| !value.is_empty());
        value.ok_or_else(|| ProfileError::Missing { profile: profile.to_owned(), key, hint })
    };
    let (access_key, secret_key) = (part("aws_access_key_id")?, part("aws_secret_access_key")?);
    Ok(Keys { access_key, secret_key, session_token: part("aws_session_token").ok(), expires_at: None })
}
