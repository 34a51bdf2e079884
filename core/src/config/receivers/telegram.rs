//! `telegram_configs`, and the `telegram_*` keys of `global`.

use crate::client::Secret;
use crate::route::message::telegram::Mode;
use crate::route::receiver::{Channel, Chat, Telegram};
use crate::yaml::{Table, Value};

use super::super::client;
use super::super::place::Folder;
use super::{Account, Defaults, template};

pub(super) const API_URL: &str = "https://api.telegram.org";

pub(super) fn defaults(table: &mut Table<'_, '_>, folder: &Folder) -> Account {
    Account {
        url: super::url(table, "telegram_api_url").unwrap_or_else(|| API_URL.to_owned()),
        secret: client::secret(table, "telegram_bot_token", "telegram_bot_token_file", folder),
    }
}

pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Option<Channel> {
    let global = &defaults.telegram;
    let token = client::secret(table, "bot_token", "bot_token_file", folder).or_else(|| global.secret.clone());
    if token.is_none() {
        table.error("missing bot_token or bot_token_file on telegram_config; write bot_token_file");
    }
    Some(Channel::Telegram(Telegram {
        url: super::url(table, "api_url").unwrap_or_else(|| global.url.clone()),
        token: token.unwrap_or(Secret::Inline(String::new())),
        chat: chat(table, folder),
        thread: table.integer("message_thread_id").unwrap_or(0),
        client: super::http_config(table, defaults, folder),
        message: template(table, "message", "telegram.default.message"),
        is_silent: table.boolean("disable_notifications").unwrap_or(false),
        mode: mode(table),
        timeout: table.span("timeout").unwrap_or_default(),
    }))
}

fn chat(table: &mut Table<'_, '_>, folder: &Folder) -> Chat {
    let written = table.value("chat_id");
    let id = written.as_ref().and_then(Value::integer).unwrap_or(0);
    let file = client::some_text(table, "chat_id_file").map(|path| Chat::File(Secret::File(folder.join(&path))));
    match (id, file) {
        // What is written and is no number has been told.
        (0, None) if written.is_some_and(|value| value.node.text() != Some("0")) => {}
        (0, None) => table.error("missing chat_id on telegram_config; write chat_id or chat_id_file"),
        (0, Some(file)) => return file,
        (_, Some(_)) => table.error("at most one of chat_id & chat_id_file must be configured; remove one"),
        (_, None) => {}
    }
    Chat::Id(id)
}

fn mode(table: &mut Table<'_, '_>) -> Mode {
    let Some(value) = table.value("parse_mode") else { return Mode::Html };
    match value.text_ref() {
        Some("HTML") | None => Mode::Html,
        Some("Markdown") => Mode::Markdown,
        Some("MarkdownV2") => Mode::MarkdownV2,
        Some("") => Mode::Plain,
        Some(_) => {
            value.error("unknown parse_mode on telegram_config, must be Markdown, MarkdownV2, HTML or empty string");
            Mode::Html
        }
    }
}
