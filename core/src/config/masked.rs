//! The configuration as others may see it.

use crate::yaml::{self, Kind, Node};

use super::{ROUTING_KEYS, receivers, routing};

/// What stands in place of a secret.
pub(super) const MASK: &str = "<secret>";

/// Returns the YAML of a configuration with its secrets masked; comments, anchors and merge keys are gone.
///
/// Shape: it reads back to the same routing tree. A text that is no YAML gives one comment line.
pub fn masked(text: &str) -> String {
    match yaml::parse("", text).0 {
        Some(node) => yaml::print(&node, &conceal),
        None => "# the configuration cannot be read\n".to_owned(),
    }
}

/// Returns the half of a configuration that Alertmanager knows, masked: what its own tools read without an unknown key.
///
/// Shape: a configuration without routing shows the routing that is in force then.
pub fn masked_alertmanager(text: &str) -> String {
    let Some(node) = yaml::parse("", text).0 else { return masked(text) };
    let mut entries = Vec::new();
    for (key, value) in node.entries() {
        match key.name.as_str() {
            "global" => entries.push((key.clone(), only(value, receivers::is_default))),
            "receivers" => {
                let receivers =
                    value.items().iter().map(|receiver| only(receiver, |key| !OUR_RECEIVER_KEYS.contains(&key))).collect();
                entries.push((key.clone(), Node { position: value.position, kind: Kind::Sequence(receivers) }));
            }
            name if ROUTING_KEYS.contains(&name) => entries.push((key.clone(), value.clone())),
            _ => {}
        }
    }
    if node.get("route").is_none() {
        let standard = yaml::parse("", routing::STANDARD).0;
        entries.extend(standard.iter().flat_map(Node::entries).cloned());
    }
    yaml::print(&Node { position: node.position, kind: Kind::Mapping(entries) }, &conceal)
}

/// Keys of a receiver that Alertmanager does not have.
const OUR_RECEIVER_KEYS: [&str; 2] = ["inbox_configs", "users"];

/// Returns a mapping with the keys that pass.
fn only(node: &Node, passes: impl Fn(&str) -> bool) -> Node {
    let kept = node.entries().iter().filter(|(key, _)| passes(&key.name)).cloned().collect();
    Node { position: node.position, kind: Kind::Mapping(kept) }
}

/// Mappings whose keys are labels: what they hold is seen by everybody anyway.
const LABELS: [&str; 10] = [
    "labels",
    "external_labels",
    "match",
    "match_re",
    "source_match",
    "source_match_re",
    "target_match",
    "target_match_re",
    "required_matchers",
    "node_meta",
];

const SECRETS: [&str; 13] = [
    "password",
    "secret",
    "secrets",
    "token",
    "credentials",
    "slack_api_url",
    "mattermost_webhook_url",
    "webhook_url",
    "key_passphrase",
    "proxy_connect_header",
    "rocketchat_token_id",
    "token_id",
    "client_certificate_key",
];

/// Keys that are secret in one section only.
const SECRETS_OF_SECTIONS: [(&str, &str); 5] = [
    ("webhook_configs", "url"),
    ("slack_configs", "api_url"),
    ("database", "url"),
    ("tls_config", "key"),
    ("smtp_tls_config", "key"),
];

fn conceal(path: &[&str], node: &Node) -> Option<String> {
    let (key, parents) = path.split_last()?;
    if parents.last().is_some_and(|parent| LABELS.contains(parent)) {
        return None;
    }
    let mask = || Some(MASK.to_owned());
    if SECRETS.contains(key) || ["_password", "_secret", "_token", "_credentials", "_key"].iter().any(|end| key.ends_with(end)) {
        return mask();
    }
    if SECRETS_OF_SECTIONS.iter().any(|(section, name)| name == key && parents.contains(section)) {
        return mask();
    }
    node.text().and_then(without_password)
}

/// Returns a URL with its password masked; `None` for a text that holds none.
pub(super) fn without_password(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (user, _password) = rest[..end].rsplit_once('@')?.0.split_once(':')?;
    let host = &rest[rest[..end].rfind('@')? + 1..];
    Some(format!("{scheme}://{user}:xxxxx@{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_the_rest_stays() {
        let text = "global:\n  smtp_auth_password: hunter2\n  external_labels: {token: seen}\n  slack_api_url_file: /etc/url\n\
                    receivers:\n- name: a\n  webhook_configs:\n  - url: http://h/hunter2\n    http_config:\n      \
                    proxy_url: http://me:hunter2@proxy:80/x\n      http_headers: {X: {secrets: [hunter2, hunter2]}}\n\
                    - name: b\n  pagerduty_configs:\n  - routing_key: hunter2\n    url: http://events\n    links: [{href: hi}]\n\
                    database: {url: 'postgres://a:hunter2@db/x'}\n";
        let masked = masked(text);
        assert!(!masked.contains("hunter2"), "{masked}");
        assert_eq!(
            masked,
            "global:\n  smtp_auth_password: <secret>\n  external_labels:\n    token: seen\n  slack_api_url_file: /etc/url\n\
             receivers:\n- name: a\n  webhook_configs:\n  - url: <secret>\n    http_config:\n      \
             proxy_url: \"http://me:xxxxx@proxy:80/x\"\n      http_headers:\n        X:\n          secrets:\n          - <secret>\n          \
             - <secret>\n- name: b\n  pagerduty_configs:\n  - routing_key: <secret>\n    url: http://events\n    links:\n    \
             - href: hi\ndatabase:\n  url: <secret>\n"
        );
    }

    #[test]
    fn alertmanagers_half_has_no_key_of_ours() {
        let text = "global: {scrape_interval: 5s, smtp_from: a@b}\nscrape_configs: []\nroute: {receiver: a}\n\
                    receivers: [{name: a, users: [u], inbox_configs: [{}], email_configs: [{to: c}]}]\nweb: {listen: []}\n";
        assert_eq!(
            masked_alertmanager(text),
            "global:\n  smtp_from: \"a@b\"\nroute:\n  receiver: a\nreceivers:\n- name: a\n  email_configs:\n  - to: c\n"
        );
        assert_eq!(
            masked_alertmanager("scrape_configs: []\n"),
            "route:\n  receiver: inbox\n  group_by:\n  - alertname\nreceivers:\n- name: inbox\n"
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_shown() {
        assert_eq!(super::masked("a: b: hunter2"), "# the configuration cannot be read\n");
    }
}
