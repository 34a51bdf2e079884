//! The configuration as others may see it.

mod nights;

use crate::yaml::{self, Kind, Node};

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

/// The keys that a routing tree needs, beside `global`.
const ROUTING: [&str; 7] =
    ["route", "receivers", "inhibit_rules", "mute_time_intervals", "time_intervals", "templates", "tracing"];
/// How the keys of `global` begin that belong to Alertmanager.
const ROUTING_GLOBALS: [&str; 13] = [
    "resolve_timeout",
    "http_config",
    "smtp_",
    "slack_",
    "pagerduty_",
    "opsgenie_",
    "wechat_",
    "victorops_",
    "telegram_",
    "webex_",
    "rocketchat_",
    "jira_",
    "mattermost_",
];
/// Our own keys of a receiver, which other programs refuse.
const OWN_RECEIVER_KEYS: [&str; 4] = ["inbox_configs", "ntfy_configs", "twilio_configs", "users"];
/// Our own keys of a kind that other programs know.
const OWN_KEYS_OF_KINDS: [(&str, &str); 1] = [("pushover_configs", "api_url")];
/// What a configuration without a routing tree means.
const DEFAULT_ROUTING: &str = "route:\n  receiver: inbox\n  group_by:\n  - alertname\nreceivers:\n- name: inbox\n";

/// Returns the routing part of a configuration as Alertmanager's own YAML, secrets masked, so that its tools can read it.
pub fn masked_routing(text: &str) -> String {
    let Some(node) = yaml::parse("", text).0 else { return DEFAULT_ROUTING.to_owned() };
    let Kind::Mapping(entries) = node.kind else { return DEFAULT_ROUTING.to_owned() };
    if !entries.iter().any(|(key, _)| key.name == "route") {
        return DEFAULT_ROUTING.to_owned();
    }
    let mut kept = Vec::new();
    for (key, mut value) in entries {
        match (key.name.as_str(), &mut value.kind) {
            ("global", Kind::Mapping(globals)) => {
                globals.retain(|(key, _)| ROUTING_GLOBALS.iter().any(|begin| key.name.starts_with(begin)));
                if globals.is_empty() {
                    continue;
                }
            }
            ("receivers", Kind::Sequence(receivers)) => {
                receivers.iter_mut().for_each(without_own_keys);
            }
            ("time_intervals" | "mute_time_intervals", Kind::Sequence(named)) => named.iter_mut().for_each(nights::split),
            (name, _) if ROUTING.contains(&name) => {}
            _ => continue,
        }
        kept.push((key, value));
    }
    yaml::print(&Node { position: node.position, kind: Kind::Mapping(kept) }, &conceal)
}

/// Takes our own keys out of a receiver.
fn without_own_keys(receiver: &mut Node) {
    let Kind::Mapping(keys) = &mut receiver.kind else { return };
    keys.retain(|(key, _)| !OWN_RECEIVER_KEYS.contains(&key.name.as_str()));
    for (kind, entries) in keys {
        let Kind::Sequence(entries) = &mut entries.kind else { continue };
        for entry in entries {
            if let Kind::Mapping(keys) = &mut entry.kind {
                keys.retain(|(key, _)| !OWN_KEYS_OF_KINDS.contains(&(kind.name.as_str(), key.name.as_str())));
            }
        }
    }
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
const SECRETS_OF_SECTIONS: [(&str, &str); 6] = [
    ("webhook_configs", "url"),
    ("ntfy_configs", "topic"),
    ("slack_configs", "api_url"),
    ("database", "url"),
    ("tls_config", "key"),
    ("smtp_tls_config", "key"),
];

fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key) || ["_password", "_secret", "_token", "_credentials", "_key"].iter().any(|end| key.ends_with(end))
}

fn conceal(path: &[&str], node: &Node) -> Option<String> {
    let (key, parents) = path.split_last()?;
    if parents.last().is_some_and(|parent| LABELS.contains(parent)) {
        return None;
    }
    let mask = || Some(MASK.to_owned());
    if parents.contains(&"journeys") {
        match parents.last() {
            Some(&"save") => return None,
            Some(&"headers") if !PLAIN_HEADERS.contains(&key.to_ascii_lowercase().as_str()) => return mask(),
            _ if *key == "body" => return mask(),
            _ => {}
        }
    }
    if is_secret(key) {
        return mask();
    }
    if SECRETS_OF_SECTIONS.iter().any(|(section, name)| name == key && parents.contains(section)) {
        return mask();
    }
    node.text().and_then(without_password)
}

/// Headers of a journey that hold no secret.
const PLAIN_HEADERS: [&str; 4] = ["accept", "accept-language", "content-type", "user-agent"];

/// Returns a URL with its password masked; `None` for a text that holds none.
pub fn without_password(text: &str) -> Option<String> {
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
    fn the_routing_part_is_what_alertmanager_reads() {
        let text = "global: {scrape_interval: 5s, resolve_timeout: 1m}\nscrape_configs: []\nroute: {receiver: a}\n\
                    receivers:\n- name: a\n  users: [x]\n  inbox_configs: [{}]\n  \
                    pushover_configs: [{api_url: http://p, user_key: u, token: t}]\n";
        assert_eq!(
            masked_routing(text),
            "global:\n  resolve_timeout: 1m\nroute:\n  receiver: a\nreceivers:\n- name: a\n  pushover_configs:\n  \
             - user_key: <secret>\n    token: <secret>\n"
        );
        assert_eq!(masked_routing("scrape_configs: []\n"), DEFAULT_ROUTING);
    }

    #[test]
    fn a_range_over_midnight_becomes_two_intervals() {
        let text = "route: {receiver: a}\nreceivers: [{name: a}]\ntime_intervals:\n- name: nights\n  time_intervals:\n  \
                    - weekdays: ['friday:saturday']\n    times: [{start_time: '12:00', end_time: '13:00'}, \
                    {start_time: '22:00', end_time: '06:00'}]\n  - times: [{start_time: '20:00', end_time: '00:00'}]\n";
        let shown = masked_routing(text);
        let nights = shown.split_once("time_intervals:\n").expect("the section").1;
        assert_eq!(
            nights,
            "- name: nights\n  time_intervals:\n  - weekdays:\n    - friday:saturday\n    times:\n    - start_time: \"12:00\"\n      \
             end_time: \"13:00\"\n  - weekdays:\n    - friday:saturday\n    times:\n    - start_time: \"22:00\"\n      end_time: \"24:00\"\n  \
             - weekdays:\n    - saturday\n    - sunday\n    times:\n    - start_time: \"00:00\"\n      end_time: \"06:00\"\n  \
             - times:\n    - start_time: \"20:00\"\n      end_time: \"24:00\"\n"
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_shown() {
        assert_eq!(super::masked("a: b: hunter2"), "# the configuration cannot be read\n");
    }
}
