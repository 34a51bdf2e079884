//! `discord_configs`.

use crate::route::receiver::{Channel, Discord};
use crate::yaml::Table;

use super::super::place::Folder;
use super::{Defaults, template, webhook_url};

pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Option<Channel> {
    Some(Channel::Discord(Discord {
        url: webhook_url(table, folder),
        client: super::http_config(table, defaults, folder),
        content: template(table, "content", "discord.default.content"),
        title: template(table, "title", "discord.default.title"),
        message: template(table, "message", "discord.default.message"),
        username: table.text("username").unwrap_or_default(),
        avatar_url: table.text("avatar_url").unwrap_or_default(),
    }))
}
