//! `opsgenie_configs`, and the `opsgenie_*` keys of `global`.

use crate::client::{Auth, Secret};
use crate::route::message::opsgenie::Responder;
use crate::route::receiver::{Channel, Opsgenie};
use crate::yaml::{Table, Value};

use super::super::client;
use super::super::place::Folder;
use super::{Account, Defaults, template, text};

pub(super) const API_URL: &str = "https://api.opsgenie.com/";

pub(super) fn defaults(table: &mut Table<'_, '_>, folder: &Folder) -> Account {
    Account {
        url: super::url(table, "opsgenie_api_url").unwrap_or_else(|| API_URL.to_owned()),
        secret: client::secret(table, "opsgenie_api_key", "opsgenie_api_key_file", folder),
    }
}

pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Option<Channel> {
    let global = &defaults.opsgenie;
    let key = client::secret(table, "api_key", "api_key_file", folder).or_else(|| global.secret.clone());
    if key.is_none() {
        table.error("no global OpsGenie API Key set either inline or in a file; write api_key_file or api_key");
    }
    let mut url = super::url(table, "api_url").unwrap_or_else(|| global.url.clone());
    if !url.ends_with('/') {
        url.push('/');
    }
    let mut http = super::http_config(table, defaults, folder);
    let credentials = key.unwrap_or(Secret::Inline(String::new()));
    http.auth = Auth::Authorization { scheme: "GenieKey".to_owned(), credentials };
    Some(Channel::Opsgenie(Opsgenie {
        url,
        client: http,
        message: template(table, "message", "opsgenie.default.message"),
        description: template(table, "description", "opsgenie.default.description"),
        source: template(table, "source", "opsgenie.default.source"),
        details: table.text_map("details"),
        entity: text(table, "entity"),
        responders: table.list("responders").iter().map(responder).collect(),
        actions: text(table, "actions"),
        tags: text(table, "tags"),
        note: text(table, "note"),
        priority: text(table, "priority"),
        updates: table.boolean("update_alerts").unwrap_or(false),
    }))
}

fn responder(value: &Value<'_, '_>) -> Responder {
    let mut table = value.table();
    let mut text = |key: &'static str| table.text(key).unwrap_or_default();
    let responder = Responder { id: text("id"), name: text("name"), username: text("username"), kind: text("type") };
    table.finish();
    if [&responder.id, &responder.name, &responder.username].into_iter().all(String::is_empty) {
        value.error("opsGenieConfig responder has to have at least one of id, username or name specified");
    }
    let kind = responder.kind.to_lowercase();
    if !kind.contains("{{") && !matches!(kind.as_str(), "team" | "teams" | "user" | "escalation" | "schedule") {
        value.error("opsGenieConfig responder type does not match valid options ^(team|teams|user|escalation|schedule)$");
    }
    responder
}
