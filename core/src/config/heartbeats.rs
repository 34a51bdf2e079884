//! `heartbeats`: watchers outside that hear from us as long as we are well.

use crate::client::Secret;
use crate::heartbeat::{Heartbeat, Method};
use crate::time::Span;
use crate::yaml::{Table, Value};

use super::client;
use super::place::{Folder, check_url};

/// More often would only be noise to the watcher.
const EVERY_MIN: Span = Span::from_secs(1);
const EVERY: Span = Span::from_mins(1);
const TIMEOUT: Span = Span::from_secs(10);

pub(super) fn read(table: &mut Table<'_, '_>, folder: &Folder) -> Vec<Heartbeat> {
    table.list("heartbeats").iter().filter_map(|value| entry(value, folder)).collect()
}

fn entry(value: &Value<'_, '_>, folder: &Folder) -> Option<Heartbeat> {
    let mut table = value.table();
    for key in ["url", "fail_url"] {
        if let Some(url) = table.value(key)
            && let Some(fault) = url.text_ref().and_then(|text| check_url(text).err())
        {
            url.error(fault);
        }
    }
    let url = client::secret(&mut table, "url", "url_file", folder);
    if url.is_none() {
        table.error("a heartbeat goes somewhere; write url or url_file");
    }
    let fail_url: Option<Secret> = client::secret(&mut table, "fail_url", "fail_url_file", folder);
    let method = match table.value("method") {
        None => Method::Get,
        Some(value) => match value.text_ref() {
            Some("GET") | None => Method::Get,
            Some("HEAD") => Method::Head,
            Some("POST") => Method::Post,
            Some(other) => {
                value.error(format!("{other:?} is no method of heartbeats; write GET, HEAD or POST"));
                Method::Get
            }
        },
    };
    let every = table.value("every").and_then(|value| {
        let every = value.span()?;
        if every < EVERY_MIN {
            value.error("a heartbeat is sent once a second at most; write 1s or more");
        }
        Some(every)
    });
    let timeout = table.span("timeout").filter(|span| *span > Span::ZERO).unwrap_or(TIMEOUT);
    let client = client::inline(&mut table, folder);
    table.finish();
    Some(Heartbeat { url: url?, fail_url, method, every: every.unwrap_or(EVERY), timeout, client })
}
