//! Smaller sections of the main file: tracing, OTLP, and our own keys.

use std::collections::BTreeSet;

use crate::client::Secret;
use crate::promql::evaluate::Options;
use crate::promql::parse::Syntax;
use crate::route::matchers::Mode;
use crate::yaml::{Table, Value};

use super::client;
use super::global::Global;
use super::place::{Folder, check_url, route_prefix};
use super::remote::quietly;

/// What queries and rules may say beyond what Prometheus 3.5 takes without flags. Objectives and runbooks speak the stable language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Language {
    pub syntax: Syntax,
    pub delayed_name_removal: bool,
}

impl Language {
    /// Returns how expressions are evaluated; subqueries without a step have that of the rules.
    pub fn options(self, global: &Global) -> Options {
        Options {
            default_step: global.evaluation_interval,
            delayed_name_removal: self.delayed_name_removal,
            ..Options::default()
        }
    }
}

/// Reads `promql`.
pub(super) fn language(table: &mut Table<'_, '_>) -> Language {
    let Some(mut table) = table.table("promql") else { return Language::default() };
    let mut open = |key: &'static str| table.boolean(key).unwrap_or(false);
    let syntax = Syntax {
        experimental_functions: open("experimental_functions"),
        duration_expressions: open("duration_expressions"),
        extended_range_selectors: open("extended_range_selectors"),
        fill_modifiers: open("fill_modifiers"),
    };
    let delayed_name_removal = open("delayed_name_removal");
    table.finish();
    Language { syntax, delayed_name_removal }
}

/// The keys that neither Prometheus nor Alertmanager has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tocsin {
    pub web: Web,
    /// Address of the database that keeps alerts, pages and silences. None: a file beside the samples.
    pub database: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// `address:port` each; empty: the default of the program.
    pub listen: Vec<String>,
    /// Where people reach us from outside, for links in notifications; no slash at the end.
    pub external_url: Option<String>,
    /// Below which path all is served, such as `/tocsin`; None: that of `external_url`.
    pub route_prefix: Option<String>,
    /// Whether other servers may write samples.
    pub remote_write_receiver: bool,
}

impl Default for Web {
    fn default() -> Web {
        Web { listen: Vec::new(), external_url: None, route_prefix: None, remote_write_receiver: true }
    }
}

/// Checks `tracing`, which is not served.
pub(super) fn tracing(table: &mut Table<'_, '_>, folder: &Folder) {
    let Some(whole) = table.value("tracing") else { return };
    quietly(&whole, |whole| {
        let mut table = whole.table();
        if let Some(kind) = table.value("client_type")
            && let Some(text) = kind.text_ref()
            && !matches!(text, "http" | "grpc")
        {
            kind.error(format!("expected tracing client type to be to be http or grpc, but got {text}"));
        }
        client::check_remote_headers(table.value("headers"), "custom authorization header configuration is not yet supported");
        if client::some_text(&mut table, "endpoint").is_none() {
            table.error("tracing endpoint must be set");
        }
        if let Some(compression) = table.value("compression")
            && let Some(text) = compression.text_ref()
            && !matches!(text, "" | "gzip")
        {
            compression.error(format!("invalid compression type {text} provided, valid options: gzip"));
        }
        table.float("sampling_fraction");
        table.boolean("insecure");
        table.span("timeout");
        if let Some(tls) = table.table("tls_config") {
            client::tls(tls, folder);
        }
        table.text_map("http_headers");
        table.finish();
    });
    whole.warning("tracing is not served yet; it is ignored");
}

/// Checks `otlp`, which is not served.
pub(super) fn otlp(table: &mut Table<'_, '_>, classic_names: bool) {
    let Some(whole) = table.value("otlp") else { return };
    let mut table = whole.table();
    let promote_all = table.boolean("promote_all_resource_attributes").unwrap_or(false);
    let promoted = table.value("promote_resource_attributes").filter(|value| !value.node.items().is_empty());
    let ignored = table.value("ignore_resource_attributes").filter(|value| !value.node.items().is_empty());
    match (&promoted, &ignored) {
        (Some(value), _) if promote_all => {
            value
                .error("'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously");
        }
        (_, Some(value)) if !promote_all => {
            value.error("'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true");
        }
        _ => {}
    }
    for (list, key, word) in
        [(&promoted, "promote_resource_attributes", "promoted"), (&ignored, "ignore_resource_attributes", "ignored")]
    {
        let mut seen = BTreeSet::new();
        for item in list.iter().flat_map(Value::list) {
            let name = item.text().unwrap_or_default().trim().to_owned();
            if name.is_empty() {
                item.error(format!("invalid '{key}': empty {word} OTel resource attribute"));
            } else if !seen.insert(name.clone()) {
                item.error(format!("invalid '{key}': duplicated {word} OTel resource attribute {name:?}"));
            }
        }
    }
    if let Some(strategy) = table.value("translation_strategy")
        && let Some(text) = strategy.text_ref()
    {
        match text {
            "" | "UnderscoreEscapingWithSuffixes" | "UnderscoreEscapingWithoutSuffixes" => {}
            "NoTranslation" | "NoUTF8EscapingWithSuffixes" if !classic_names => {}
            "NoTranslation" | "NoUTF8EscapingWithSuffixes" => {
                strategy.error(format!("OTLP translation strategy {text:?} is not allowed when UTF8 is disabled"));
            }
            _ => strategy.error(format!("unsupported OTLP translation strategy {text:?}; write UnderscoreEscapingWithSuffixes")),
        }
    }
    for key in [
        "keep_identifying_resource_attributes",
        "convert_histograms_to_nhcb",
        "promote_scope_metadata",
        "label_name_underscore_sanitization",
        "label_name_preserve_multiple_underscores",
    ] {
        table.boolean(key);
    }
    table.finish();
    whole.warning("otlp is not served yet; it is ignored");
}

/// Checks `runtime`, which tunes Go alone.
pub(super) fn runtime(table: &mut Table<'_, '_>) {
    let Some(whole) = table.value("runtime") else { return };
    let mut table = whole.table();
    table.integer("gogc");
    table.finish();
    whole.warning("runtime tunes the garbage collector of another program; it is ignored");
}

/// Reads `web` and `database`.
pub(super) fn tocsin(table: &mut Table<'_, '_>, folder: &Folder) -> Tocsin {
    let web = table.table("web").map(web).unwrap_or_default();
    let database = table.table("database").and_then(|mut table| {
        let database = client::secret(&mut table, "url", "url_file", folder).map(from_environment);
        if let Some(Secret::Inline(url)) = &database
            && let Some(remedy) = database_fault(url)
        {
            table.error(format!("the database's url is not one of PostgreSQL; {remedy}"));
        }
        if database.is_none() {
            table
                .error("the database has no address; write url or url_file, or remove the section for a file beside the samples");
        }
        table.finish();
        database
    });
    Tocsin { web, database }
}

/// Reads with which grammar matchers are read: what flags of Alertmanager say (`classic-mode`, `utf8-strict-mode`).
pub(super) fn matchers(table: &mut Table<'_, '_>) -> Mode {
    let Some(value) = table.value("matchers") else { return Mode::default() };
    let word = value.text_ref().unwrap_or_default();
    Mode::ALL.into_iter().find(|mode| mode.word() == word).unwrap_or_else(|| {
        value.error(format!("there is no grammar {word:?} of matchers; write fallback, classic or utf8"));
        Mode::default()
    })
}

/// Returns what to write in place of an address that is not one of PostgreSQL; None when it is.
pub fn database_fault(url: &str) -> Option<&'static str> {
    let (scheme, _) = url.split_once(':').unwrap_or((url, ""));
    match scheme {
        "postgres" | "postgresql" => {
            (!url[scheme.len()..].starts_with("://")).then_some("write postgres://user:password@host/database")
        }
        "sqlite" | "file" => Some("SQLite needs none: remove the section, and the state is kept in a file beside the samples"),
        "mysql" | "mariadb" | "mssql" | "mongodb" | "redis" => {
            Some("state is kept in PostgreSQL or SQLite; write postgres://…, or remove the section for a file beside the samples")
        }
        _ => Some("write postgres://user:password@host/database, or remove the section for a file beside the samples"),
    }
}

/// A text that is one `${NAME}` and nothing else stands for an environment variable.
pub(super) fn from_environment(secret: Secret) -> Secret {
    match &secret {
        Secret::Inline(text) => match text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                Secret::Env(name.to_owned())
            }
            _ => secret,
        },
        Secret::File(_) | Secret::Env(_) => secret,
    }
}

fn web(mut table: Table<'_, '_>) -> Web {
    let mut web = Web::default();
    for address in table.list("listen") {
        let Some(text) = address.text() else { continue };
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            address.error(format!("{text:?} is no address to listen on; write address:port, such as 0.0.0.0:9090"));
        }
        web.listen.push(text);
    }
    if let Some(url) = table.value("external_url")
        && let Some(text) = url.text()
    {
        if let Err(message) = check_url(&text) {
            url.error(message);
        }
        web.external_url = Some(text.trim_end_matches('/').to_owned());
    }
    if let Some(prefix) = table.value("route_prefix")
        && let Some(text) = prefix.text()
    {
        if let Err(message) = route_prefix(&text) {
            prefix.error(message);
        }
        web.route_prefix = Some(text);
    }
    web.remote_write_receiver = table.boolean("remote_write_receiver").unwrap_or(true);
    table.finish();
    web
}
