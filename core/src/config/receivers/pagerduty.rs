//! `pagerduty_configs`.

use std::collections::BTreeMap;

use crate::route::receiver::{Channel, PagerDuty};
use crate::yaml::{Kind, Node, Table};

use super::super::client;
use super::super::place::Folder;
use super::Defaults;

/// Details that every incident has unless the configuration says otherwise.
const DETAILS: [(&str, &str); 4] = [
    ("firing", r#"{{ template "pagerduty.default.instances" .Alerts.Firing }}"#),
    ("resolved", r#"{{ template "pagerduty.default.instances" .Alerts.Resolved }}"#),
    ("num_firing", "{{ .Alerts.Firing | len }}"),
    ("num_resolved", "{{ .Alerts.Resolved | len }}"),
];

pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Option<Channel> {
    let routing_key = client::secret(table, "routing_key", "routing_key_file", folder);
    let service_key = client::secret(table, "service_key", "service_key_file", folder);
    if routing_key.is_none() && service_key.is_none() {
        table.error("missing service or routing key in PagerDuty config; write routing_key_file or routing_key");
    }
    if service_key.is_some() && routing_key.is_none() {
        let here = table.value_here();
        here.warning("service_key belongs to Events API v1, which is not served: deliveries are rejected; write routing_key");
    }
    let or = |table: &mut Table<'_, '_>, key: &'static str, default: &str| table.text(key).unwrap_or_else(|| default.to_owned());
    let client_name = or(table, "client", r#"{{ template "pagerduty.default.client" . }}"#);
    Some(Channel::PagerDuty(PagerDuty {
        routing_key,
        service_key,
        url: super::url(table, "url").unwrap_or_else(|| defaults.pagerduty_url.clone()),
        client: super::http_config(table, defaults, folder),
        client_url: or(table, "client_url", r#"{{ template "pagerduty.default.clientURL" . }}"#),
        description: or(table, "description", r#"{{ template "pagerduty.default.description" .}}"#),
        details: details(table),
        images: attachments(table, "images", &["src", "alt", "href"]),
        links: attachments(table, "links", &["href", "text"]),
        source: client::some_text(table, "source").unwrap_or_else(|| client_name.clone()),
        severity: or(table, "severity", ""),
        class: or(table, "class", ""),
        component: or(table, "component", ""),
        group: or(table, "group", ""),
        timeout: table.span("timeout").unwrap_or_default(),
        client_name,
    }))
}

fn details(table: &mut Table<'_, '_>) -> BTreeMap<String, String> {
    let mut details: BTreeMap<String, String> =
        DETAILS.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
    for (key, value) in table.value("details").iter().flat_map(|value| value.entries()) {
        details.insert(key.name.clone(), flat(value.node));
    }
    details
}

/// Returns a scalar as it was written, and a structure as JSON text.
fn flat(node: &Node) -> String {
    match &node.kind {
        Kind::Null => String::new(),
        Kind::Scalar { text, .. } => text.clone(),
        Kind::Sequence(_) | Kind::Mapping(_) => json(node).to_string(),
    }
}

fn json(node: &Node) -> serde_json::Value {
    match &node.kind {
        Kind::Null => serde_json::Value::Null,
        Kind::Scalar { text, .. } => text.as_str().into(),
        Kind::Sequence(items) => items.iter().map(json).collect(),
        Kind::Mapping(entries) => {
            serde_json::Value::Object(entries.iter().map(|(key, node)| (key.name.clone(), json(node))).collect())
        }
    }
}

fn attachments(table: &mut Table<'_, '_>, key: &'static str, fields: &[&'static str]) -> Vec<BTreeMap<String, String>> {
    let mut all = Vec::new();
    for value in table.list(key) {
        let mut entry = value.table();
        let mut attachment = BTreeMap::new();
        for field in fields {
            attachment.extend(entry.text(field).map(|text| ((*field).to_owned(), text)));
        }
        entry.finish();
        all.push(attachment);
    }
    all
}
