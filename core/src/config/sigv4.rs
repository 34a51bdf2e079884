//! `sigv4`: as whom requests to Amazon Web Services are signed.

use crate::aws::{Access, Identity, Role};
use crate::client::{HttpClient, Secret};
use crate::yaml::Table;

use super::client;

/// How we name a session of a role.
const SESSION: &str = "tocsin";

/// What `sigv4` says; the service is empty where it names none.
pub(super) struct Sigv4 {
    /// Empty where none is named.
    pub(super) region: String,
    pub(super) service: String,
    access: Access,
    role: Option<Role>,
}

impl Default for Sigv4 {
    fn default() -> Sigv4 {
        Sigv4 { region: String::new(), service: String::new(), access: Access::Chain, role: None }
    }
}

impl Sigv4 {
    /// Returns the identity, which is named so in the log.
    pub(super) fn identity(self, name: &str, client: HttpClient) -> Identity {
        let Sigv4 { access, role, .. } = self;
        Identity { name: name.to_owned(), access, role, sts_endpoint: None, imds_endpoint: None, client }
    }
}

/// Reads `sigv4`, if it is there.
pub(super) fn read(table: &mut Table<'_, '_>) -> Option<Sigv4> {
    let mut table = table.table("sigv4")?;
    let sigv4 = Sigv4 {
        region: client::some_text(&mut table, "region").unwrap_or_default(),
        service: client::some_text(&mut table, "service_name").unwrap_or_default(),
        access: access(&mut table),
        role: role(&mut table),
    };
    table.ignored(&["use_fips_sts_endpoint"], "not served yet");
    table.finish();
    Some(sigv4)
}

fn access(table: &mut Table<'_, '_>) -> Access {
    let (access_key, secret_key) = (client::some_text(table, "access_key"), client::some_text(table, "secret_key"));
    let profile = client::some_text(table, "profile");
    if access_key.is_some() != secret_key.is_some() {
        table.error("must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config");
    }
    match (access_key, secret_key, profile) {
        (Some(access_key), Some(secret_key), _) => {
            Access::Keys { access_key: Secret::Inline(access_key), secret_key: Secret::Inline(secret_key), session_token: None }
        }
        (_, _, Some(name)) => Access::Profile { name, file: None },
        (_, _, None) => Access::Chain,
    }
}

fn role(table: &mut Table<'_, '_>) -> Option<Role> {
    let external_id = client::some_text(table, "external_id");
    client::some_text(table, "role_arn").map(|arn| Role { arn, external_id, session_name: SESSION.to_owned() })
}
