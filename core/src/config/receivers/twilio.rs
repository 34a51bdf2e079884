//! `twilio_configs`, a kind of our own.

use crate::client::{Auth, Secret};
use crate::route::message::twilio::Sender;
use crate::route::receiver::{Channel, Twilio};
use crate::yaml::Table;

use super::super::client;
use super::super::place::Folder;
use super::{Defaults, template};

const API_URL: &str = "https://api.twilio.com";

pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Option<Channel> {
    let account = client::some_text(table, "account_sid").unwrap_or_default();
    let is_account = account.strip_prefix("AC").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if !is_account {
        table.error("missing account_sid on twilio_config; write the account's SID, which begins with AC");
    }
    let token = client::secret(table, "auth_token", "auth_token_file", folder);
    if token.is_none() {
        table.error("missing auth_token or auth_token_file on twilio_config; write auth_token_file");
    }
    let to = client::some_text(table, "to").unwrap_or_default();
    if to.is_empty() {
        table.error(
            "missing to on twilio_config; write one number such as +491701234567, and an entry of its own for each further one",
        );
    }
    let mut http = super::http_config(table, defaults, folder);
    http.auth = Auth::Basic { username: Secret::Inline(account.clone()), password: token };
    let url = super::url(table, "api_url").unwrap_or_else(|| API_URL.to_owned());
    Some(Channel::Twilio(Twilio {
        url: url.trim_end_matches('/').to_owned(),
        account,
        client: http,
        sender: sender(table),
        to,
        body: template(table, "body", "twilio.default.body"),
    }))
}

fn sender(table: &mut Table<'_, '_>) -> Sender {
    match (client::some_text(table, "from"), client::some_text(table, "messaging_service_sid")) {
        (Some(number), None) => Sender::Number(number),
        (None, Some(id)) => Sender::MessagingService(id),
        (from, id) => {
            table.error("exactly one of from & messaging_service_sid must be configured on twilio_config");
            Sender::Number(from.or(id).unwrap_or_default())
        }
    }
}
