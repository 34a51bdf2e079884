//! The configuration as others may see it.

use crate::yaml::{self, Node};

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

const SECRETS: [&str; 14] = [
    "password",
    "secret",
    "secrets",
    "token",
    "credentials",
    "slack_api_url",
    "mattermost_webhook_url",
    "webhook_url",
    "key",
    "key_passphrase",
    "proxy_connect_header",
    "rocketchat_token_id",
    "token_id",
    "client_certificate_key",
];

/// Sections in which `url` or `api_url` is as good as a password.
const SECRET_URLS: [(&str, &str); 4] =
    [("webhook_configs", "url"), ("incidentio_configs", "url"), ("slack_configs", "api_url"), ("database", "url")];

fn conceal(path: &[&str], node: &Node) -> Option<String> {
    let (key, parents) = path.split_last()?;
    if parents.last().is_some_and(|parent| LABELS.contains(parent)) {
        return None;
    }
    let mask = || Some(MASK.to_owned());
    if SECRETS.contains(key) || ["_password", "_secret", "_token", "_credentials", "_key"].iter().any(|end| key.ends_with(end)) {
        return mask();
    }
    if SECRET_URLS.iter().any(|(section, name)| name == key && parents.contains(section)) {
        return mask();
    }
    node.text().and_then(without_password)
}

/// Returns a URL with its password masked; `None` for a text that holds none.
fn without_password(text: &str) -> Option<String> {
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
    fn what_cannot_be_read_is_not_shown() {
        assert_eq!(super::masked("a: b: hunter2"), "# the configuration cannot be read\n");
    }
}
