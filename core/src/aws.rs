//! Amazon Web Services: who we are there, and what its answers about that mean.
//!
//! `keys` and `profile` read credentials, `fault` says whether a refusal is worth another attempt.

pub mod fault;
pub mod keys;
pub mod profile;

use crate::client::{HttpClient, Secret};

/// As whom requests are signed, and how they are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Whose it is, for the log.
    pub name: String,
    pub access: Access,
    /// Taken on with the credentials of `access`.
    pub role: Option<Role>,
    /// In place of the region's own address.
    pub sts_endpoint: Option<String>,
    pub imds_endpoint: Option<String>,
    pub client: HttpClient,
}

/// Returns the address of a service in a region, with a slash at its end.
pub fn endpoint(own: Option<&str>, service: &str, region: &str) -> String {
    match own {
        Some(own) => format!("{own}/"),
        None => {
            let ending = if region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://{service}.{region}.amazonaws.com{ending}/")
        }
    }
}

/// Where credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The first that there is: environment, web identity of the environment, shared profile, the machine's own role.
    Chain,
    Keys {
        access_key: Secret,
        secret_key: Secret,
        session_token: Option<Secret>,
    },
    Profile {
        name: String,
        /// None: the shared file of the user who runs us.
        file: Option<String>,
    },
    WebIdentity {
        token_file: String,
        role_arn: String,
    },
    /// The role of the machine, from its metadata service (IMDSv2).
    Machine,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    pub external_id: Option<String>,
    pub session_name: String,
}

/// Returns the account that a role's name holds.
pub fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
