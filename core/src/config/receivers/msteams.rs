//! `msteamsv2_configs`.

use crate::route::receiver::{Channel, MsTeams};
use crate::yaml::Table;

use super::super::place::Folder;
use super::{Defaults, template, webhook_url};

pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Option<Channel> {
    Some(Channel::MsTeams(MsTeams {
        url: webhook_url(table, folder),
        client: super::http_config(table, defaults, folder),
        title: template(table, "title", "msteamsv2.default.title"),
        text: template(table, "text", "msteamsv2.default.text"),
    }))
}
