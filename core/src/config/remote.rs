//! Other servers: `remote_write` and `remote_read`.

use std::collections::BTreeSet;

use crate::model::LabelSet;
use crate::remote::Protocol;
use crate::remote::send::{Endpoint, MetadataSettings, Queue};
use crate::time::Span;
use crate::yaml::{Table, Value};

use super::client;
use super::global::Global;
use super::place::{Folder, check_url};
use super::relabel;

/// No number of a queue is larger.
const QUEUE_MAX: i64 = 1_000_000;
const REMOTE_AUTHORIZATION: &str =
    "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter";

/// Reads `remote_write`: the servers that samples are sent to.
pub(super) fn write(table: &mut Table<'_, '_>, folder: &Folder, global: &Global) -> Vec<Endpoint> {
    let (mut names, mut endpoints) = (BTreeSet::new(), Vec::new());
    for value in table.list("remote_write") {
        if value.is_null() {
            value.error("empty or null remote write config section; remove the lone dash");
            continue;
        }
        let (name, endpoint) = write_entry(&value, folder, global);
        if !name.is_empty() && !names.insert(name.clone()) {
            value.error(format!("found multiple remote write configs with job name {name:?}; give each its own name"));
        }
        endpoints.extend(endpoint);
    }
    name_the_nameless(&mut endpoints);
    endpoints
}

/// Gives endpoints without a name one that is the same after a restart.
fn name_the_nameless(endpoints: &mut [Endpoint]) {
    let mut taken: BTreeSet<String> = endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
    for endpoint in endpoints.iter_mut().filter(|endpoint| endpoint.name.is_empty()) {
        let digest = LabelSet::from_pairs([("url", &endpoint.url)]).fingerprint().to_string();
        let numbered =
            (1..).map(|number| if number == 1 { digest[..6].to_owned() } else { format!("{}-{number}", &digest[..6]) });
        endpoint.name = numbered.into_iter().find(|name| !taken.contains(name)).expect("numbers do not end");
        taken.insert(endpoint.name.clone());
    }
}

/// Runs a reader and keeps its errors only: one warning says already that the section is not served.
pub(super) fn quietly<T>(value: &Value<'_, '_>, read: impl FnOnce(&Value<'_, '_>) -> T) -> T {
    let scratch = value.problems.beside();
    let result = read(&Value::new(value.node, value.path.clone(), &scratch));
    value.problems.take_errors(scratch);
    result
}

/// Returns the name as it is written, and the endpoint, None where it cannot be served.
fn write_entry(value: &Value<'_, '_>, folder: &Folder, global: &Global) -> (String, Option<Endpoint>) {
    let mut table = value.table();
    let url = table.value("url").and_then(|url| {
        let text = url.text()?;
        // Prometheus loads it and fails to send.
        let fault = check_url(&text).err();
        if let Some(fault) = &fault {
            url.warning(format!("{fault}; nothing is sent to this server"));
        }
        Some((text, fault.is_none()))
    });
    if url.is_none() {
        table.error("url for remote_write is empty; write url");
    }
    let url = url.filter(|(_, is_served)| *is_served).map(|(url, _)| url);
    let name = table.text("name").unwrap_or_default();
    if name.chars().any(char::is_control) {
        table.error("name must hold no control characters");
    }
    let timeout = table.span("remote_timeout").filter(|span| *span > Span::ZERO).unwrap_or(Span::from_secs(30));
    let what = "relabeling rule in remote write config";
    let rules = relabel::rules(&mut table, "write_relabel_configs", what, global.classic_names_only);
    let client = client::inline(&mut table, folder);
    let headers = table.value("headers");
    let named = headers.iter().flat_map(Value::entries).filter_map(|(key, value)| Some((key.name.clone(), value.text()?)));
    let named = named.collect();
    client::check_remote_headers(headers, REMOTE_AUTHORIZATION);
    let send_exemplars = table.boolean("send_exemplars").unwrap_or(false);
    let send_native_histograms = table.boolean("send_native_histograms").unwrap_or(false);
    if let Some(dns) = table.value("round_robin_dns")
        && dns.boolean() == Some(true)
    {
        dns.warning("round_robin_dns is not served yet; connections go to any address of the host");
    }
    let mut protocol = Protocol::V1;
    if let Some(message) = table.value("protobuf_message")
        && let Some(name) = message.text_ref()
    {
        match Protocol::of_message(name) {
            Some(known) => protocol = known,
            None => message.error(format!(
                "invalid protobuf_message value: unknown type for remote write protobuf message {name}, supported: {}",
                [Protocol::V1, Protocol::V2].map(Protocol::message).join(", ")
            )),
        }
    }
    let queue = table.table("queue_config").map(queue).unwrap_or_default();
    let mut metadata = MetadataSettings::default();
    if let Some(mut table) = table.table("metadata_config") {
        metadata.send = table.boolean("send").unwrap_or(metadata.send);
        metadata.interval = table.span("send_interval").filter(|span| *span > Span::ZERO).unwrap_or(metadata.interval);
        metadata.max_samples_per_send = table
            .unsigned("max_samples_per_send")
            .and_then(|max| usize::try_from(max).ok())
            .filter(|max| *max > 0)
            .unwrap_or(2_000);
        table.finish();
    }
    check_sigv4(&mut table);
    let configured: Vec<&str> = ["basic_auth", "authorization", "oauth2", "sigv4", "azuread", "google_iam"]
        .into_iter()
        .filter(|key| table.has(key))
        .collect();
    let clouds = ["sigv4", "azuread", "google_iam"];
    if configured.len() > 1 && configured.iter().any(|key| clouds.contains(key)) {
        table.error(format!(
            "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. \
             Currently configured: {configured:?}"
        ));
    }
    let unserved = configured.iter().find(|key| clouds.contains(key) || **key == "oauth2").copied();
    table.know(&["azuread", "google_iam"]);
    table.finish();
    if let Some(key) = unserved {
        value.warning(format!("{key} is not served yet, so nothing is sent to this server; use authorization or basic_auth"));
        return (name, None);
    }
    let endpoint = url.map(|url| Endpoint {
        name: name.clone(),
        url,
        timeout,
        headers: named,
        relabel: rules,
        send_exemplars,
        send_native_histograms,
        protocol,
        client,
        queue,
        metadata,
        external_labels: global.external_labels.clone(),
    });
    (name, endpoint)
}

/// Checks the signing of requests for a cloud, which is not served.
fn check_sigv4(table: &mut Table<'_, '_>) {
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

fn queue(mut table: Table<'_, '_>) -> Queue {
    let default = Queue::default();
    let positive = |table: &mut Table<'_, '_>, key: &'static str, default: usize| match table.value(key) {
        None => default,
        Some(value) => {
            let number = value.integer().unwrap_or(1);
            if number <= 0 {
                value.error(format!("remote write queue {key} must be positive"));
            } else if number > QUEUE_MAX {
                value.error(format!("remote write queue {key} must be at most {QUEUE_MAX}"));
            }
            usize::try_from(number).unwrap_or(default)
        }
    };
    let capacity = positive(&mut table, "capacity", default.capacity);
    let max_shards = positive(&mut table, "max_shards", default.max_shards);
    let min_shards = positive(&mut table, "min_shards", default.min_shards);
    let max_samples_per_send = positive(&mut table, "max_samples_per_send", default.max_samples_per_send);
    if min_shards > max_shards && max_shards > 0 {
        table.error("remote write queue min_shards must not be greater than max_shards");
    }
    let batch_send_deadline =
        table.span("batch_send_deadline").filter(|span| *span > Span::ZERO).unwrap_or(default.batch_send_deadline);
    let sample_age_limit = table.span("sample_age_limit").unwrap_or(default.sample_age_limit);
    let min_backoff = table.span("min_backoff").unwrap_or(default.min_backoff);
    let max_backoff = table.span("max_backoff").unwrap_or(default.max_backoff);
    if max_backoff < min_backoff {
        table.error("remote write queue max_backoff must not be less than min_backoff");
    }
    let retry_on_http_429 = table.boolean("retry_on_http_429").unwrap_or(default.retry_on_http_429);
    table.finish();
    Queue {
        capacity,
        max_shards,
        min_shards,
        max_samples_per_send,
        batch_send_deadline,
        min_backoff,
        max_backoff,
        retry_on_http_429,
        sample_age_limit,
    }
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
