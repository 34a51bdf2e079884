//! `email_configs`, and the `smtp_*` keys of `global`.

use std::collections::BTreeMap;

use crate::route::receiver::{Channel, Email};
use crate::yaml::Table;

use super::super::client;
use super::super::place::Folder;
use super::{Defaults, Smtp};

const SUBJECT: &str = r#"{{ template "email.default.subject" . }}"#;
/// Alertmanager's own layout; naming it is as good as naming none.
const HTML: &str = r#"{{ template "email.default.html" . }}"#;

pub(super) fn defaults(table: &mut Table<'_, '_>, standard: Smtp, folder: &Folder) -> Smtp {
    Smtp {
        from: table.text("smtp_from").unwrap_or(standard.from),
        hello: table.text("smtp_hello").unwrap_or(standard.hello),
        smarthost: smarthost(table, "smtp_smarthost").unwrap_or(standard.smarthost),
        auth_username: client::some_text(table, "smtp_auth_username"),
        auth_password: client::secret(table, "smtp_auth_password", "smtp_auth_password_file", folder),
        auth_identity: client::some_text(table, "smtp_auth_identity"),
        auth_secret: client::secret(table, "smtp_auth_secret", "smtp_auth_secret_file", folder),
        require_tls: table.boolean("smtp_require_tls").unwrap_or(standard.require_tls),
        implicit_tls: table.boolean("smtp_force_implicit_tls").unwrap_or(standard.implicit_tls),
        tls: table.table("smtp_tls_config").map(|tls| client::tls(tls, folder)).unwrap_or(standard.tls),
    }
}

fn smarthost(table: &mut Table<'_, '_>, key: &'static str) -> Option<String> {
    let value = table.value(key)?;
    let text = value.text().filter(|text| !text.is_empty())?;
    match text.rsplit_once(':') {
        Some((_, "")) => value.error(format!("address {text:?}: port cannot be empty")),
        Some((host, _)) if host.contains(':') && !host.starts_with('[') => {
            value.error(format!("address {text:?}: too many colons in address; write an IPv6 address in brackets"));
        }
        Some(_) => {}
        None => value.error(format!("address {text:?}: missing port in address; write host:port, such as {text}:587")),
    }
    Some(text)
}

pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Option<Channel> {
    let smtp = &defaults.smtp;
    let to = table.text("to").unwrap_or_default();
    if to.is_empty() {
        table.error("missing to address in email config; write to");
    }
    let from = client::some_text(table, "from").unwrap_or_else(|| smtp.from.clone());
    if from.is_empty() {
        table.error("no global SMTP from set; write from here or smtp_from in global");
    }
    let smarthost = smarthost(table, "smarthost").unwrap_or_else(|| smtp.smarthost.clone());
    if smarthost.is_empty() {
        table.error("no global SMTP smarthost set; write smarthost here or smtp_smarthost in global");
    }
    let headers = headers(table, &to, &from);
    threading(table, &headers);
    let own_password = client::secret(table, "auth_password", "auth_password_file", folder);
    let own_secret = client::secret(table, "auth_secret", "auth_secret_file", folder);
    Some(Channel::Email(Email {
        hello: client::some_text(table, "hello").unwrap_or_else(|| smtp.hello.clone()),
        auth_username: client::some_text(table, "auth_username").or_else(|| smtp.auth_username.clone()),
        auth_password: own_password.or_else(|| smtp.auth_password.clone()),
        auth_identity: client::some_text(table, "auth_identity").or_else(|| smtp.auth_identity.clone()),
        auth_secret: own_secret.or_else(|| smtp.auth_secret.clone()),
        html: table.text("html").filter(|html| html != HTML),
        text: client::some_text(table, "text"),
        require_tls: table.boolean("require_tls").unwrap_or(smtp.require_tls),
        implicit_tls: table.boolean("force_implicit_tls").unwrap_or(smtp.implicit_tls),
        tls: table.table("tls_config").map_or_else(|| smtp.tls.clone(), |tls| client::tls(tls, folder)),
        headers,
        to,
        from,
        smarthost,
    }))
}

/// Reads `headers`; names are written as `Message-Id`, and `Subject`, `To` and `From` are there even when nobody names them.
fn headers(table: &mut Table<'_, '_>, to: &str, from: &str) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (key, value) in table.value("headers").iter().flat_map(|value| value.entries()) {
        let name = canonical(&key.name);
        let text = value.text().unwrap_or_default();
        if headers.insert(name.clone(), text).is_some() {
            value.error(format!("duplicate header {name:?} in email config; remove one"));
        }
    }
    for (name, text) in [("Subject", SUBJECT), ("To", to), ("From", from)] {
        headers.entry(name.to_owned()).or_insert_with(|| text.to_owned());
    }
    headers
}

fn canonical(name: &str) -> String {
    let mut upper = true;
    name.chars()
        .map(|c| {
            let c = if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            upper = c == '-';
            c
        })
        .collect()
}

fn threading(table: &mut Table<'_, '_>, headers: &BTreeMap<String, String>) {
    let Some(whole) = table.value("threading") else { return };
    let mut threading = whole.table();
    let enabled = threading.boolean("enabled").unwrap_or(false);
    let by_date = threading.text("thread_by_date").unwrap_or_default();
    threading.finish();
    if !enabled {
        return;
    }
    for name in ["References", "In-Reply-To"] {
        if headers.contains_key(name) {
            whole.error(format!("conflicting configuration: threading.enabled conflicts with custom {name} header"));
        }
    }
    if !matches!(by_date.as_str(), "none" | "daily") {
        whole.error("threading.thread_by_date must be either 'none' or 'daily'");
    }
    whole.warning("threading is not served yet; every mail stands alone");
}
