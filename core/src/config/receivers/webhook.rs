//! `webhook_configs`.

use crate::client::Secret;
use crate::route::receiver::{Channel, Webhook};
use crate::yaml::Table;

use super::super::client;
use super::super::place::Folder;
use super::Defaults;

pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Option<Channel> {
    super::url(table, "url");
    let url = client::secret(table, "url", "url_file", folder);
    if url.is_none() {
        table.error("one of url or url_file must be configured");
    }
    let max_alerts = table.unsigned("max_alerts").unwrap_or(0);
    Some(Channel::Webhook(Webhook {
        client: super::http_config(table, defaults, folder),
        max_alerts: u32::try_from(max_alerts).unwrap_or(u32::MAX),
        timeout: table.span("timeout").unwrap_or_default(),
        url: url.unwrap_or(Secret::Inline(String::new())),
    }))
}
