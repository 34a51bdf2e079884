//! Other servers: `remote_write` and `remote_read`.

use std::collections::BTreeSet;

use crate::time::Span;
use crate::yaml::{Table, Value};

use super::client;
use super::place::Folder;
use super::relabel;

const MESSAGES: [&str; 2] = ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"];
const REMOTE_AUTHORIZATION: &str =
    "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter";

/// Checks `remote_write`, which is not served.
pub(super) fn write(table: &mut Table<'_, '_>, folder: &Folder, classic_names: bool) {
    let mut names = BTreeSet::new();
    for value in table.list("remote_write") {
        if value.is_null() {
            value.error("empty or null remote write config section; remove the lone dash");
            continue;
        }
        let name = quietly(&value, |value| write_entry(value, folder, classic_names));
        if !name.is_empty() && !names.insert(name.clone()) {
            value.error(format!("found multiple remote write configs with job name {name:?}; give each its own name"));
        }
    }
    if let Some(value) = table.value("remote_write") {
        value.warning("remote_write is not served yet; samples stay on this server");
    }
}

/// Runs a reader and keeps its errors only: one warning says already that the section is not served.
pub(super) fn quietly<T>(value: &Value<'_, '_>, read: impl FnOnce(&Value<'_, '_>) -> T) -> T {
    let scratch = value.problems.beside();
    let result = read(&Value::new(value.node, value.path.clone(), &scratch));
    value.problems.take_errors(scratch);
    result
}

fn write_entry(value: &Value<'_, '_>, folder: &Folder, classic_names: bool) -> String {
    let mut table = value.table();
    if table.text("url").is_none() {
        table.error("url for remote_write is empty; write url");
    }
    let name = table.text("name").unwrap_or_default();
    table.span("remote_timeout");
    relabel::rules(&mut table, "write_relabel_configs", "relabeling rule in remote write config", classic_names);
    client::inline(&mut table, folder);
    client::check_remote_headers(table.value("headers"), REMOTE_AUTHORIZATION);
    for key in ["send_exemplars", "send_native_histograms", "round_robin_dns"] {
        table.boolean(key);
    }
    if let Some(message) = table.value("protobuf_message")
        && let Some(name) = message.text_ref()
        && !MESSAGES.contains(&name)
    {
        message.error(format!(
            "invalid protobuf_message value: unknown type for remote write protobuf message {name}, supported: {}",
            MESSAGES.join(", ")
        ));
    }
    if let Some(queue) = table.table("queue_config") {
        check_queue(queue);
    }
    if let Some(mut metadata) = table.table("metadata_config") {
        metadata.boolean("send");
        metadata.span("send_interval");
        metadata.unsigned("max_samples_per_send");
        metadata.finish();
    }
    check_sigv4(&mut table);
    let configured: Vec<&str> = ["basic_auth", "authorization", "oauth2", "sigv4", "azuread", "google_iam"]
        .into_iter()
        .filter(|key| table.has(key))
        .collect();
    if configured.len() > 1 && configured.iter().any(|key| matches!(*key, "sigv4" | "azuread" | "google_iam")) {
        table.error(format!(
            "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. \
             Currently configured: {configured:?}"
        ));
    }
    table.finish();
    name
}

/// Checks the signing of requests for a cloud, which is not served.
pub(super) fn check_sigv4(table: &mut Table<'_, '_>) {
    let Some(mut table) = table.table("sigv4") else { return };
    let access = client::some_text(&mut table, "access_key").is_some();
    let secret = client::some_text(&mut table, "secret_key").is_some();
    if access != secret {
        table.error("must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config");
    }
    for key in ["region", "profile", "role_arn", "external_id", "service_name"] {
        table.text(key);
    }
    table.boolean("use_fips_sts_endpoint");
    table.finish();
}

fn check_queue(mut queue: Table<'_, '_>) {
    queue.unsigned("capacity");
    let positive = |queue: &mut Table<'_, '_>, key: &'static str, default: i64| match queue.value(key) {
        None => default,
        Some(value) => {
            let number = value.integer().unwrap_or(default);
            if number <= 0 {
                value.error(format!("remote write queue {key} must be positive"));
            }
            number
        }
    };
    let max_shards = positive(&mut queue, "max_shards", 50);
    let min_shards = positive(&mut queue, "min_shards", 1);
    positive(&mut queue, "max_samples_per_send", 2000);
    if min_shards > max_shards && max_shards > 0 {
        queue.error("remote write queue min_shards must not be greater than max_shards");
    }
    for key in ["batch_send_deadline", "sample_age_limit"] {
        queue.span(key);
    }
    let min_backoff = queue.span("min_backoff").unwrap_or(Span(30));
    let max_backoff = queue.span("max_backoff").unwrap_or(Span::from_secs(5));
    if max_backoff < min_backoff {
        queue.error("remote write queue max_backoff must not be less than min_backoff");
    }
    queue.boolean("retry_on_http_429");
    queue.finish();
}

/// Checks `remote_read`, which is not served.
pub(super) fn read(table: &mut Table<'_, '_>, folder: &Folder) {
    let mut names = BTreeSet::new();
    for value in table.list("remote_read") {
        if value.is_null() {
            value.error("empty or null remote read config section; remove the lone dash");
            continue;
        }
        let name = quietly(&value, |value| read_entry(value, folder));
        if !name.is_empty() && !names.insert(name.clone()) {
            value.error(format!("found multiple remote read configs with job name {name:?}; give each its own name"));
        }
    }
    if let Some(value) = table.value("remote_read") {
        value.warning("remote_read is not served yet; queries see what is stored here");
    }
}

fn read_entry(value: &Value<'_, '_>, folder: &Folder) -> String {
    let mut table = value.table();
    if table.text("url").is_none() {
        table.error("url for remote_read is empty; write url");
    }
    let name = table.text("name").unwrap_or_default();
    table.span("remote_timeout");
    table.unsigned("chunked_read_limit");
    client::check_remote_headers(table.value("headers"), REMOTE_AUTHORIZATION);
    for key in ["read_recent", "filter_external_labels"] {
        table.boolean(key);
    }
    table.text_map("required_matchers");
    client::inline(&mut table, folder);
    table.finish();
    name
}
