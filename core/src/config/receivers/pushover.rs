//! `pushover_configs`.

use crate::client::Secret;
use crate::route::receiver::{Channel, Pushover};
use crate::time::Span;
use crate::yaml::Table;

use super::super::client;
use super::super::place::Folder;
use super::{Defaults, template, text};

const API_URL: &str = "https://api.pushover.net/1/messages.json";
/// What fires is an emergency, which Pushover repeats until somebody acknowledges it.
const PRIORITY: &str = r#"{{ if eq .Status "firing" }}2{{ else }}0{{ end }}"#;

fn key(table: &mut Table<'_, '_>, inline: &'static str, file: &'static str, folder: &Folder) -> Secret {
    let key = client::secret(table, inline, file, folder);
    if key.is_none() {
        table.error(format!("one of {inline} or {file} must be configured"));
    }
    key.unwrap_or(Secret::Inline(String::new()))
}

pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Option<Channel> {
    let (is_html, is_monospace) = (table.boolean("html").unwrap_or(false), table.boolean("monospace").unwrap_or(false));
    if is_html && is_monospace {
        table.error("at most one of monospace & html must be configured; remove one");
    }
    Some(Channel::Pushover(Pushover {
        url: super::url(table, "api_url").unwrap_or_else(|| API_URL.to_owned()),
        client: super::http_config(table, defaults, folder),
        user: key(table, "user_key", "user_key_file", folder),
        token: key(table, "token", "token_file", folder),
        title: template(table, "title", "pushover.default.title"),
        message: template(table, "message", "pushover.default.message"),
        link: template(table, "url", "pushover.default.url"),
        link_title: text(table, "url_title"),
        device: text(table, "device"),
        sound: text(table, "sound"),
        priority: table.text("priority").unwrap_or_else(|| PRIORITY.to_owned()),
        retry: table.span("retry").unwrap_or(Span::from_mins(1)),
        expire: table.span("expire").unwrap_or(Span::from_mins(60)),
        ttl: table.span("ttl").unwrap_or_default(),
        is_html,
        is_monospace,
    }))
}
