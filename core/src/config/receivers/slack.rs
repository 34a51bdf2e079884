//! `slack_configs`, and the `slack_*` keys of `global`.

use crate::client::{Auth, Secret};
use crate::route::message::slack::{Button, Field};
use crate::route::receiver::{Channel, Slack};
use crate::yaml::{Table, Value};

use super::super::client;
use super::super::masked::MASK;
use super::super::place::Folder;
use super::{Defaults, template, text};

const APP_URL: &str = "https://slack.com/api/chat.postMessage";

#[derive(Clone, Debug)]
pub(super) struct Global {
    url: Option<Secret>,
    token: Option<Secret>,
    app_url: String,
}

impl Default for Global {
    fn default() -> Global {
        Global { url: None, token: None, app_url: APP_URL.to_owned() }
    }
}

pub(super) fn defaults(table: &mut Table<'_, '_>, folder: &Folder) -> Global {
    super::url(table, "slack_api_url");
    let url = client::secret(table, "slack_api_url", "slack_api_url_file", folder);
    let token = client::secret(table, "slack_app_token", "slack_app_token_file", folder);
    let app_url = super::url(table, "slack_app_url").unwrap_or_else(|| APP_URL.to_owned());
    let is_same = matches!(&url, Some(Secret::Inline(url)) if *url == app_url || url == MASK);
    if url.is_some() && token.is_some() && !is_same {
        table.error("at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must be configured");
    }
    Global { url, token, app_url }
}

pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Option<Channel> {
    let global = &defaults.slack;
    super::url(table, "api_url");
    let own_url = client::secret(table, "api_url", "api_url_file", folder);
    let own_token = client::secret(table, "app_token", "app_token_file", folder);
    let app_url = super::url(table, "app_url").unwrap_or_else(|| global.app_url.clone());
    if own_url.is_some() && own_token.is_some() {
        table.error("at most one of api_url/api_url_file & app_token/app_token_file must be configured; remove one");
    }
    if table.boolean("update_message") == Some(true) {
        update_message(table, own_url.as_ref());
    }
    let mut http = super::http_config(table, defaults, folder);
    let has_own_token = own_token.is_some();
    let (url, token) = match (own_url, own_token) {
        (Some(url), _) => (Some(url), None),
        (None, Some(token)) => (None, Some(token)),
        // A bot's token may be written as the authorization; then the one for all is not meant.
        (None, None) if global.token.is_some() && http.auth == Auth::None => (None, global.token.clone()),
        (None, None) => (global.url.clone(), None),
    };
    if url.is_none() && token.is_none() && http.auth == Auth::None {
        table.error("no Slack API URL nor App token set either inline or in a file; write api_url_file or app_token_file");
    }
    if let Some(credentials) = token {
        if has_own_token && http.auth != Auth::None {
            table.error("http authorization can't be set when using Slack App tokens; remove http_config.authorization");
        }
        http.auth = Auth::Authorization { scheme: "Bearer".to_owned(), credentials };
    }
    let markup_in = table.texts("mrkdwn_in");
    let short_fields = table.boolean("short_fields").unwrap_or(false);
    Some(Channel::Slack(Slack {
        url: url.unwrap_or(Secret::Inline(app_url)),
        client: http,
        channel: text(table, "channel"),
        username: template(table, "username", "slack.default.username"),
        color: template(table, "color", "slack.default.color"),
        title: template(table, "title", "slack.default.title"),
        title_link: template(table, "title_link", "slack.default.titlelink"),
        pretext: template(table, "pretext", "slack.default.pretext"),
        text: template(table, "text", "slack.default.text"),
        message_text: text(table, "message_text"),
        fields: table.list("fields").iter().map(|value| field(value, short_fields)).collect(),
        footer: template(table, "footer", "slack.default.footer"),
        fallback: template(table, "fallback", "slack.default.fallback"),
        callback_id: template(table, "callback_id", "slack.default.callbackid"),
        icon_emoji: template(table, "icon_emoji", "slack.default.iconemoji"),
        icon_url: template(table, "icon_url", "slack.default.iconurl"),
        image_url: text(table, "image_url"),
        thumb_url: text(table, "thumb_url"),
        link_names: table.boolean("link_names").unwrap_or(false),
        markup_in: if markup_in.is_empty() { ["fallback", "pretext", "text"].map(str::to_owned).to_vec() } else { markup_in },
        actions: table.list("actions").iter().map(button).collect(),
        timeout: table.span("timeout").unwrap_or_default(),
    }))
}

fn update_message(table: &mut Table<'_, '_>, url: Option<&Secret>) {
    if matches!(url, Some(Secret::Inline(url)) if url == APP_URL || url == MASK) {
        table.value_here().warning("update_message is not served yet; each notification is a message of its own");
    } else {
        table.error(format!("update_message can only be used with bot tokens. api_url must be set to {APP_URL}"));
    }
}

fn field(value: &Value<'_, '_>, is_short: bool) -> Field {
    let mut table = value.table();
    let field = Field {
        title: table.text("title").unwrap_or_default(),
        value: table.text("value").unwrap_or_default(),
        is_short: table.boolean("short").unwrap_or(is_short),
    };
    for (key, text) in [("title", &field.title), ("value", &field.value)] {
        if text.is_empty() {
            table.error(format!("missing {key} in Slack field configuration; write {key}"));
        }
    }
    table.finish();
    field
}

fn texts(table: &mut Table<'_, '_>, keys: &[&'static str]) -> Vec<(&'static str, String)> {
    keys.iter().filter_map(|key| Some((*key, client::some_text(table, key)?))).collect()
}

fn button(value: &Value<'_, '_>) -> Button {
    let mut table = value.table();
    let mut texts_of = texts(&mut table, &["type", "text", "url", "style", "name", "value"]);
    let has = |texts: &[(&'static str, String)], key: &str| texts.iter().any(|(name, _)| *name == key);
    for key in ["type", "text"] {
        if !has(&texts_of, key) {
            table.error(format!("missing {key} in Slack action configuration; write {key}"));
        }
    }
    if !has(&texts_of, "url") && !has(&texts_of, "name") {
        table.error("missing name or url in Slack action configuration; write one of them");
    }
    let mut confirm = table.value("confirm").map(|value| confirmation(&value)).unwrap_or_default();
    // A link sends nothing back to Slack, so that what would be sent is left out.
    if has(&texts_of, "url") {
        texts_of.retain(|(name, _)| !matches!(*name, "name" | "value"));
        confirm.clear();
    }
    table.finish();
    Button { texts: texts_of, confirm }
}

fn confirmation(value: &Value<'_, '_>) -> Vec<(&'static str, String)> {
    let mut table = value.table();
    let confirm = texts(&mut table, &["text", "title", "ok_text", "dismiss_text"]);
    if !confirm.iter().any(|(name, _)| *name == "text") {
        table.error("missing text in Slack confirmation configuration; write text");
    }
    table.finish();
    confirm
}
