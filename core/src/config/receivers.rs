//! `receivers`, and the half of `global` that they take their defaults from.

mod discord;
mod email;
mod msteams;
mod ntfy;
mod opsgenie;
mod pagerduty;
mod pushover;
mod slack;
mod sns;
mod telegram;
mod twilio;
mod unserved;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};

use crate::client::{HttpClient, Secret, Tls};
use crate::route::receiver::{Channel, Integration, Receiver};
use crate::time::Span;
use crate::yaml::{Table, Value};

use super::client;
use super::place::{Folder, check_url};

/// What `global` says to notifications.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    pub(super) resolve_timeout: Span,
    client: HttpClient,
    smtp: Smtp,
    pagerduty_url: String,
    slack: slack::Global,
    opsgenie: Account,
    telegram: Account,
    /// Keys of `global` that are set, for kinds that are only checked.
    present: BTreeSet<&'static str>,
}

/// What `global` says to a kind with an address and a secret for all of its entries.
#[derive(Clone, Debug)]
struct Account {
    url: String,
    secret: Option<Secret>,
}

#[derive(Clone, Debug)]
struct Smtp {
    from: String,
    hello: String,
    smarthost: String,
    auth_username: Option<String>,
    auth_password: Option<Secret>,
    auth_identity: Option<String>,
    auth_secret: Option<Secret>,
    require_tls: bool,
    implicit_tls: bool,
    tls: Tls,
}

/// Keys of `global` that only kinds which are not served take defaults from.
const UNSERVED_DEFAULTS: [&str; 16] = [
    "jira_api_url",
    "mattermost_webhook_url",
    "mattermost_webhook_url_file",
    "rocketchat_api_url",
    "rocketchat_token",
    "rocketchat_token_file",
    "rocketchat_token_id",
    "rocketchat_token_id_file",
    "victorops_api_key",
    "victorops_api_key_file",
    "victorops_api_url",
    "webex_api_url",
    "wechat_api_corp_id",
    "wechat_api_secret",
    "wechat_api_secret_file",
    "wechat_api_url",
];

/// Texts with a place in a file beside them: at most one of the two.
const UNSERVED_PAIRS: [(&str, &str); 5] = [
    ("victorops_api_key", "victorops_api_key_file"),
    ("rocketchat_token", "rocketchat_token_file"),
    ("rocketchat_token_id", "rocketchat_token_id_file"),
    ("wechat_api_secret", "wechat_api_secret_file"),
    ("mattermost_webhook_url", "mattermost_webhook_url_file"),
];

impl Default for Defaults {
    fn default() -> Self {
        Defaults {
            resolve_timeout: Span::from_mins(5),
            client: HttpClient::default(),
            smtp: Smtp {
                from: String::new(),
                hello: "localhost".to_owned(),
                smarthost: String::new(),
                auth_username: None,
                auth_password: None,
                auth_identity: None,
                auth_secret: None,
                require_tls: true,
                implicit_tls: false,
                tls: Tls::default(),
            },
            pagerduty_url: "https://events.pagerduty.com/v2/enqueue".to_owned(),
            slack: slack::Global::default(),
            opsgenie: Account { url: opsgenie::API_URL.to_owned(), secret: None },
            telegram: Account { url: telegram::API_URL.to_owned(), secret: None },
            present: BTreeSet::new(),
        }
    }
}

/// Reads the keys of `global` that belong to notifications; the caller finishes the table.
pub(super) fn defaults(table: &mut Table<'_, '_>, folder: &Folder) -> Defaults {
    let standard = Defaults::default();
    let mut present = BTreeSet::new();
    for key in UNSERVED_DEFAULTS {
        if client::some_text(table, key).is_some() {
            present.insert(key);
        }
    }
    for (inline, file) in UNSERVED_PAIRS {
        if present.contains(inline) && present.contains(file) {
            table.error(format!("at most one of {inline} & {file} must be configured; remove one"));
        }
    }
    for key in ["mattermost_webhook_url", "jira_api_url", "victorops_api_url"] {
        url(table, key);
    }
    Defaults {
        resolve_timeout: table.span("resolve_timeout").unwrap_or(standard.resolve_timeout),
        client: table.value("http_config").map(|value| client::whole(&value, folder)).unwrap_or_default(),
        smtp: email::defaults(table, standard.smtp, folder),
        pagerduty_url: url(table, "pagerduty_url").unwrap_or(standard.pagerduty_url),
        slack: slack::defaults(table, folder),
        opsgenie: opsgenie::defaults(table, folder),
        telegram: telegram::defaults(table, folder),
        present,
    }
}

/// Reads a text; empty where there is none.
fn text(table: &mut Table<'_, '_>, key: &'static str) -> String {
    table.text(key).unwrap_or_default()
}

/// Reads a URL of HTTP; `<secret>` stands for one that was masked.
fn url(table: &mut Table<'_, '_>, key: &'static str) -> Option<String> {
    let value = table.value(key)?;
    let text = value.text()?;
    let is_template = text.contains("{{");
    if text != super::masked::MASK
        && !is_template
        && let Err(message) = check_url(&text)
    {
        value.error(format!("unsupported scheme or missing host for URL: {message}"));
    }
    Some(text)
}

/// Returns the text of a key, or a call of the default template of a name.
fn template(table: &mut Table<'_, '_>, key: &'static str, name: &str) -> String {
    table.text(key).unwrap_or_else(|| format!("{{{{ template {name:?} . }}}}"))
}

/// Reads the address of a webhook, which is a secret as a whole.
fn webhook_url(table: &mut Table<'_, '_>, folder: &Folder) -> Secret {
    url(table, "webhook_url");
    let secret = client::secret(table, "webhook_url", "webhook_url_file", folder);
    if secret.is_none() {
        table.error("one of webhook_url or webhook_url_file must be configured");
    }
    secret.unwrap_or(Secret::Inline(String::new()))
}

/// Returns the client of an integration: its own, or the one of `global` as a whole.
fn http_config(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> HttpClient {
    table.value("http_config").map_or_else(|| defaults.client.clone(), |value| client::whole(&value, folder))
}

/// Reads `receivers`.
pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> BTreeMap<String, Receiver> {
    let mut all = BTreeMap::new();
    for (position, value) in table.list("receivers").into_iter().enumerate() {
        let receiver = Receiver { position, ..receiver(&value, defaults, folder) };
        if receiver.name.is_empty() {
            value.error("missing name in receiver; write name");
        } else if all.contains_key(&receiver.name) {
            value.error(format!("notification config name {:?} is not unique; give each receiver its own name", receiver.name));
        } else {
            all.insert(receiver.name.clone(), receiver);
        }
    }
    all
}

type Read = fn(&mut Table<'_, '_>, &Defaults, &Folder) -> Option<Channel>;

/// The kinds that are served: key, word for messages, whether resolved alerts are sent too, reader.
const SERVED: [(&str, &str, bool, Read); 13] = [
    ("pagerduty_configs", "pagerduty", true, pagerduty::read),
    ("email_configs", "email", false, email::read),
    ("webhook_configs", "webhook", true, webhook::read),
    ("slack_configs", "slack", false, slack::read),
    ("msteamsv2_configs", "msteamsv2", true, msteams::read),
    ("discord_configs", "discord", true, discord::read),
    ("opsgenie_configs", "opsgenie", true, opsgenie::read),
    ("pushover_configs", "pushover", true, pushover::read),
    ("telegram_configs", "telegram", true, telegram::read),
    ("ntfy_configs", "ntfy", true, ntfy::read),
    ("sns_configs", "sns", true, sns::read),
    ("twilio_configs", "twilio", true, twilio::read),
    ("inbox_configs", "inbox", true, |_, _, _| Some(Channel::Inbox)),
];

fn receiver(value: &Value<'_, '_>, defaults: &Defaults, folder: &Folder) -> Receiver {
    let mut table = value.table();
    let name = table.text("name").unwrap_or_default();
    let mut integrations = Vec::new();
    for (key, word, sends_resolved, read) in SERVED {
        for value in table.list(key) {
            if value.is_null() {
                value.error(format!("missing {word} config; remove the lone dash, or write {{}} for an empty one"));
                continue;
            }
            let mut entry = value.table();
            let send_resolved = entry.boolean("send_resolved").unwrap_or(sends_resolved);
            let channel = read(&mut entry, defaults, folder);
            entry.finish();
            integrations.extend(channel.map(|channel| Integration { send_resolved, channel }));
        }
    }
    integrations.extend(unserved::read(&mut table, defaults, folder));
    let users = table.texts("users");
    let labels = table.value("labels").map_or_else(BTreeMap::new, |value| labels(&value, &name));
    table.finish();
    Receiver { name, position: 0, labels, integrations, users }
}

fn labels(value: &Value<'_, '_>, receiver: &str) -> BTreeMap<String, String> {
    let labels = value.text_map();
    if let Some(named) = labels.get("name").filter(|named| *named != receiver) {
        value.error(format!("receiver label \"name\" must match receiver name {receiver:?}, got {named:?}; remove it"));
    }
    labels
}
