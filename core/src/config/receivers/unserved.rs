//! Kinds of integrations that Alertmanager knows and we do not send to: checked, kept, and said so.
//!
//! Source: Alertmanager `config/notifiers.go` and the packages under `notify`.

use crate::route::receiver::{Channel, Integration};
use crate::yaml::{Node, Table, Value};

use super::super::client;
use super::super::place::Folder;
use super::Defaults;

/// What is checked of one kind. All keys that end a check are listed among `keys` too.
struct Kind {
    key: &'static str,
    sends_resolved: bool,
    keys: &'static [&'static str],
    /// Keys that Alertmanager knows on all kinds are not listed.
    exclusive: &'static [(&'static str, &'static str)],
    required: &'static [Required],
}

/// At least one of `own` must say something, or one of `global` in the section of that name.
struct Required {
    own: &'static [&'static str],
    global: &'static [&'static str],
    message: &'static str,
}

const fn required(own: &'static [&'static str], global: &'static [&'static str], message: &'static str) -> Required {
    Required { own, global, message }
}

const WEBHOOK: (&str, &str) = ("webhook_url", "webhook_url_file");
const ONE_WEBHOOK: Required =
    required(&["webhook_url", "webhook_url_file"], &[], "one of webhook_url or webhook_url_file must be configured");

const KINDS: [Kind; 8] = [
    Kind {
        key: "incidentio_configs",
        sends_resolved: true,
        keys: &["url", "url_file", "alert_source_token", "alert_source_token_file", "max_alerts", "timeout", "metadata"],
        exclusive: &[("url", "url_file"), ("alert_source_token", "alert_source_token_file")],
        required: &[required(&["url", "url_file"], &[], "one of url or url_file must be configured")],
    },
    Kind {
        key: "jira_configs",
        sends_resolved: true,
        keys: &[
            "api_url",
            "api_type",
            "project",
            "summary",
            "description",
            "labels",
            "priority",
            "issue_type",
            "reopen_transition",
            "resolve_transition",
            "wont_fix_resolution",
            "reopen_duration",
            "fields",
            "custom_fields",
            "other_fields",
        ],
        exclusive: &[],
        required: &[
            required(&["project"], &[], "missing project in jira_config"),
            required(&["issue_type"], &[], "missing issue_type in jira_config"),
            required(&["api_url"], &["jira_api_url"], "no global Jira Cloud URL set"),
        ],
    },
    Kind {
        key: "mattermost_configs",
        sends_resolved: true,
        keys: &[
            "webhook_url",
            "webhook_url_file",
            "channel",
            "username",
            "text",
            "fallback",
            "color",
            "pretext",
            "author_name",
            "author_link",
            "author_icon",
            "title",
            "title_link",
            "fields",
            "thumb_url",
            "footer",
            "footer_icon",
            "image_url",
            "icon_url",
            "icon_emoji",
            "attachments",
            "type",
            "props",
            "priority",
        ],
        exclusive: &[WEBHOOK],
        required: &[required(
            &["webhook_url", "webhook_url_file"],
            &["mattermost_webhook_url", "mattermost_webhook_url_file"],
            "missing webhook_url or webhook_url_file on mattermost_config",
        )],
    },
    Kind {
        key: "msteams_configs",
        sends_resolved: true,
        keys: &["webhook_url", "webhook_url_file", "title", "summary", "text"],
        exclusive: &[WEBHOOK],
        required: &[ONE_WEBHOOK],
    },
    Kind {
        key: "rocketchat_configs",
        sends_resolved: false,
        keys: &[
            "api_url",
            "token_id",
            "token_id_file",
            "token",
            "token_file",
            "channel",
            "color",
            "title",
            "title_link",
            "text",
            "fields",
            "short_fields",
            "emoji",
            "icon_url",
            "image_url",
            "thumb_url",
            "link_names",
            "actions",
        ],
        exclusive: &[("token", "token_file"), ("token_id", "token_id_file")],
        required: &[
            required(
                &["token_id", "token_id_file"],
                &["rocketchat_token_id", "rocketchat_token_id_file"],
                "no global Rocketchat TokenID set either inline or in a file",
            ),
            required(
                &["token", "token_file"],
                &["rocketchat_token", "rocketchat_token_file"],
                "no global Rocketchat Token set either inline or in a file",
            ),
        ],
    },
    Kind {
        key: "victorops_configs",
        sends_resolved: true,
        keys: &[
            "api_key",
            "api_key_file",
            "api_url",
            "routing_key",
            "message_type",
            "state_message",
            "entity_display_name",
            "monitoring_tool",
            "custom_fields",
        ],
        exclusive: &[("api_key", "api_key_file")],
        required: &[
            required(&["routing_key"], &[], "missing Routing key in VictorOps config"),
            required(
                &["api_key", "api_key_file"],
                &["victorops_api_key", "victorops_api_key_file"],
                "no global VictorOps API Key set",
            ),
        ],
    },
    Kind {
        key: "webex_configs",
        sends_resolved: true,
        keys: &["api_url", "message", "room_id"],
        exclusive: &[],
        required: &[required(&["room_id"], &[], "missing room_id on webex_config")],
    },
    Kind {
        key: "wechat_configs",
        sends_resolved: false,
        keys: &[
            "api_secret",
            "api_secret_file",
            "corp_id",
            "message",
            "api_url",
            "to_user",
            "to_party",
            "to_tag",
            "agent_id",
            "message_type",
        ],
        exclusive: &[("api_secret", "api_secret_file")],
        required: &[
            required(
                &["api_secret", "api_secret_file"],
                &["wechat_api_secret", "wechat_api_secret_file"],
                "no global Wechat Api Secret set either inline or in a file",
            ),
            required(&["corp_id"], &["wechat_api_corp_id"], "no global Wechat CorpID set"),
        ],
    },
];

/// Texts of which only some are allowed.
const CHOICES: [(&str, &str, &[&str], &str); 1] = [(
    "wechat_configs",
    "message_type",
    &["", "text", "markdown"],
    "weChat message type does not match valid options ^(text|markdown)$",
)];

/// Reads all kinds that are not served; each entry becomes an integration whose deliveries are rejected visibly.
pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Vec<Integration> {
    let mut all = Vec::new();
    for kind in &KINDS {
        let entries = table.list(kind.key);
        for value in &entries {
            all.push(entry(kind, value, defaults, folder));
        }
        if let (Some(whole), false) = (table.value(kind.key), entries.is_empty()) {
            whole.warning(format!(
                "{} is not served yet: notifications to it are rejected, visibly; use webhook_configs or a kind that is served",
                kind.key
            ));
        }
    }
    all
}

fn entry(kind: &Kind, value: &Value<'_, '_>, defaults: &Defaults, folder: &Folder) -> Integration {
    let mut table = value.table();
    let send_resolved = table.boolean("send_resolved").unwrap_or(kind.sends_resolved);
    if let Some(http) = table.value("http_config") {
        client::whole(&http, folder);
    }
    for key in kind.keys {
        table.entry(key);
    }
    let says = |table: &mut Table<'_, '_>, key: &'static str| {
        table.value(key).is_some_and(|value| value.node.text().is_none_or(|text| !text.is_empty()))
    };
    for (one, other) in kind.exclusive {
        if says(&mut table, one) && says(&mut table, other) {
            table.error(format!("at most one of {one} & {other} must be configured; remove one"));
        }
    }
    for required in kind.required {
        let own = required.own.iter().any(|key| says(&mut table, key));
        if !own && !required.global.iter().any(|key| defaults.present.contains(key)) {
            table.error(format!("{}; write {}", required.message, required.own.join(" or ")));
        }
    }
    for (_, key, choices, message) in CHOICES.iter().filter(|(of, ..)| *of == kind.key) {
        if let Some(value) = table.value(key)
            && let Some(text) = value.text_ref()
            && !choices.contains(&text)
        {
            value.error(*message);
        }
    }
    special(kind.key, &table);
    table.finish();
    Integration { send_resolved, channel: Channel::Unserved { kind: kind.key.to_owned() } }
}

/// Checks that belong to one kind alone.
fn special(kind: &str, table: &Table<'_, '_>) {
    let here = table.value_here();
    let node = here.node;
    let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
    let has_authorization =
        node.get("http_config").and_then(|client| client.get("authorization")).is_some_and(|value| !value.is_null());
    match kind {
        "incidentio_configs"
            if !has_authorization && text("alert_source_token").is_empty() && text("alert_source_token_file").is_empty() =>
        {
            here.error(
                "at least one of alert_source_token, alert_source_token_file or http_config.authorization must be configured",
            );
        }
        "victorops_configs" => {
            for (key, _) in node.get("custom_fields").map(Node::entries).unwrap_or_default() {
                if VICTOROPS_FIELDS.contains(&key.name.as_str()) {
                    here.error(format!(
                        "victorOps config contains custom field {} which cannot be used as it conflicts with the fixed/static fields",
                        key.name
                    ));
                }
            }
        }
        "webex_configs" if !has_authorization => here.error("missing webex_configs.http_config.authorization"),
        _ => {}
    }
}

/// Names that VictorOps fixes itself.
const VICTOROPS_FIELDS: [&str; 7] =
    ["routing_key", "message_type", "state_message", "entity_display_name", "monitoring_tool", "entity_id", "entity_state"];
