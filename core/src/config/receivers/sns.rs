//! `sns_configs`.

use crate::aws::{Access, Identity, Role};
use crate::client::{Auth, Secret};
use crate::route::message::sns::Place;
use crate::route::receiver::{Channel, Sns};
use crate::yaml::Table;

use super::super::client;
use super::super::place::Folder;
use super::{Defaults, template};

/// How we name a session of a role.
const SESSION: &str = "tocsin";

pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Option<Channel> {
    let place = place(table);
    let mut http = super::http_config(table, defaults, folder);
    if http.auth != Auth::None {
        table.value_here().warning("requests to SNS are signed; the authorization of http_config is ignored");
        http.auth = Auth::None;
    }
    let mut signing = table.table("sigv4");
    let region = signing.as_mut().and_then(|table| client::some_text(table, "region")).unwrap_or_default();
    let access = signing.as_mut().map_or(Access::Chain, access);
    let role = signing.as_mut().and_then(role);
    if let Some(mut signing) = signing {
        signing.ignored(&["use_fips_sts_endpoint", "service_name"], "not served yet");
        signing.finish();
    }
    if matches!(place, Place::Phone(_)) && region.is_empty() {
        table.error("no region is known; write region under sigv4");
    }
    table.ignored(&["use_aws_http_client"], "of no use here");
    let identity = Identity { name: "sns".to_owned(), access, role, sts_endpoint: None, imds_endpoint: None, client: http };
    Some(Channel::Sns(Sns {
        url: super::url(table, "api_url").unwrap_or_default(),
        region,
        identity,
        place,
        subject: template(table, "subject", "sns.default.subject"),
        message: template(table, "message", "sns.default.message"),
        attributes: table.text_map("attributes"),
    }))
}

fn place(table: &mut Table<'_, '_>) -> Place {
    let (target, topic, phone) = (
        client::some_text(table, "target_arn").map(Place::Target),
        client::some_text(table, "topic_arn").map(Place::Topic),
        client::some_text(table, "phone_number").map(Place::Phone),
    );
    let mut all = [target, topic, phone].into_iter().flatten();
    match (all.next(), all.count()) {
        (Some(place), 0) => place,
        (first, _) => {
            table.error("must provide either a Target ARN, Topic ARN, or Phone Number for SNS config; write exactly one of target_arn, topic_arn and phone_number");
            first.unwrap_or(Place::Topic(String::new()))
        }
    }
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
