//! `ntfy_configs`, a kind of our own.

use crate::client::{Auth, Secret};
use crate::route::message::ntfy::Action;
use crate::route::receiver::{Channel, Ntfy};
use crate::yaml::{Table, Value};

use super::super::client;
use super::super::place::Folder;
use super::{Defaults, template};

const SERVER_URL: &str = "https://ntfy.sh";

pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Option<Channel> {
    let topic = client::secret(table, "topic", "topic_file", folder);
    if let Some(Secret::Inline(name)) = &topic
        && (name.len() > TOPIC_BYTES_MAX || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')))
        && name != super::super::masked::MASK
    {
        table.error(format!("topic has letters, digits, - and _ only, {TOPIC_BYTES_MAX} at most; write another one"));
    }
    if topic.is_none() {
        table.error("missing topic on ntfy_config; write topic_file or topic");
    }
    let mut http = super::http_config(table, defaults, folder);
    let own = authorisation(table, folder);
    if own != Auth::None && http.auth != Auth::None {
        table.error("at most one of token, username and the authorization of http_config must be configured; remove the others");
    }
    if own != Auth::None {
        http.auth = own;
    }
    Some(Channel::Ntfy(Ntfy {
        url: super::url(table, "server_url").unwrap_or_else(|| SERVER_URL.to_owned()),
        topic: topic.unwrap_or(Secret::Inline(String::new())),
        client: http,
        title: template(table, "title", "ntfy.default.title"),
        message: template(table, "message", "ntfy.default.message"),
        priority: template(table, "priority", "ntfy.default.priority"),
        tags: template(table, "tags", "ntfy.default.tags"),
        click: template(table, "click", "ntfy.default.click"),
        icon: table.text("icon").unwrap_or_default(),
        is_markdown: table.boolean("markdown").unwrap_or(false),
        actions: table.list("actions").iter().map(action).collect(),
    }))
}

/// Source: ntfy's own pattern of names.
const TOPIC_BYTES_MAX: usize = 64;

fn authorisation(table: &mut Table<'_, '_>, folder: &Folder) -> Auth {
    let token = client::secret(table, "token", "token_file", folder);
    let username = client::some_text(table, "username");
    let password = client::secret(table, "password", "password_file", folder);
    if token.is_some() && (username.is_some() || password.is_some()) {
        table.error("at most one of token and username must be configured; remove one");
    }
    if username.is_none() && password.is_some() {
        table.error("a password needs a username; write username");
    }
    match (token, username) {
        (Some(credentials), _) => Auth::Authorization { scheme: "Bearer".to_owned(), credentials },
        (None, Some(username)) => Auth::Basic { username: Secret::Inline(username), password },
        (None, None) => Auth::None,
    }
}

fn action(value: &Value<'_, '_>) -> Action {
    let mut table = value.table();
    let mut texts = Vec::new();
    for key in ["action", "label", "url", "method", "body"] {
        texts.extend(client::some_text(&mut table, key).map(|text| (key, text)));
    }
    for key in ["action", "label", "url"] {
        if !texts.iter().any(|(name, _)| *name == key) {
            table.error(format!("missing {key} in ntfy action configuration; write {key}"));
        }
    }
    if let Some((_, kind)) = texts.iter().find(|(name, _)| *name == "action")
        && !matches!(kind.as_str(), "view" | "http")
    {
        table.error("action must be view or http");
    }
    let clears = table.boolean("clear").unwrap_or(false);
    table.finish();
    Action { texts, clears }
}
