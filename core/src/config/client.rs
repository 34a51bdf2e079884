//! The settings of an HTTP client, which many sections carry.
//!
//! Source: prometheus/common `config.HTTPClientConfig`.

use std::collections::BTreeMap;

use crate::client::{Auth, HttpClient, Secret, Tls};
use crate::yaml::{Table, Value};

use super::place::Folder;

/// Header names that the client sets itself.
const RESERVED_HEADERS: [&str; 18] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

/// Returns a text that says something: the empty text is as if the key were absent.
pub(super) fn some_text(table: &mut Table<'_, '_>, key: &'static str) -> Option<String> {
    table.text(key).filter(|text| !text.is_empty())
}

/// Reads a secret that stands inline or in a file; both at once is an error.
pub(super) fn secret(table: &mut Table<'_, '_>, inline: &'static str, file: &'static str, folder: &Folder) -> Option<Secret> {
    let (text, path) = (some_text(table, inline), some_text(table, file));
    if text.is_some() && path.is_some() {
        table.error(format!("at most one of {inline} & {file} must be configured; remove one"));
    }
    text.map(Secret::Inline).or_else(|| path.map(|path| Secret::File(folder.join(&path))))
}

/// Reads the keys of a client that stand among others in a mapping.
pub(super) fn inline(table: &mut Table<'_, '_>, folder: &Folder) -> HttpClient {
    let auth = auth(table, folder);
    let tls = table.table("tls_config").map(|tls_table| tls(tls_table, folder)).unwrap_or_default();
    let (proxy_url, no_proxy, proxy_from_environment) = proxy(table);
    HttpClient {
        auth,
        tls,
        proxy_url,
        no_proxy,
        proxy_from_environment,
        follow_redirects: table.boolean("follow_redirects").unwrap_or(true),
        enable_http2: table.boolean("enable_http2").unwrap_or(true),
        headers: headers(table, folder),
    }
}

/// Reads a mapping that holds a client alone, such as `http_config`.
pub(super) fn whole(value: &Value<'_, '_>, folder: &Folder) -> HttpClient {
    let mut table = value.table();
    let client = inline(&mut table, folder);
    table.finish();
    client
}

fn auth(table: &mut Table<'_, '_>, folder: &Folder) -> Auth {
    let basic = table.value("basic_auth").map(|value| basic(&value, folder));
    let authorization = table.value("authorization").map(|value| authorization(&value, folder));
    let oauth2 = table.value("oauth2");
    if let Some(value) = &oauth2 {
        check_oauth2(value, folder);
    }
    let bearer = secret(table, "bearer_token", "bearer_token_file", folder);
    if (basic.is_some() || oauth2.is_some()) && bearer.is_some() {
        table.error("at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured; remove the others");
    }
    if authorization.is_some() && bearer.is_some() {
        table.error("authorization is not compatible with bearer_token & bearer_token_file; keep authorization");
    }
    if [basic.is_some(), authorization.is_some(), oauth2.is_some()].into_iter().filter(|present| *present).count() > 1 {
        table.error("at most one of basic_auth, oauth2 & authorization must be configured; remove the others");
    }
    let bearer = bearer.map(|credentials| Auth::Authorization { scheme: "Bearer".to_owned(), credentials });
    basic.or(authorization).or(bearer).unwrap_or_default()
}

fn basic(value: &Value<'_, '_>, folder: &Folder) -> Auth {
    let mut table = value.table();
    let username = secret(&mut table, "username", "username_file", folder);
    let password = secret(&mut table, "password", "password_file", folder);
    unserved_references(&mut table, &["username_ref", "password_ref"]);
    table.finish();
    Auth::Basic { username: username.unwrap_or(Secret::Inline(String::new())), password }
}

fn authorization(value: &Value<'_, '_>, folder: &Folder) -> Auth {
    let mut table = value.table();
    let scheme = table.text("type").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let credentials = secret(&mut table, "credentials", "credentials_file", folder);
    if scheme.as_ref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic")) {
        table.error("authorization type cannot be set to \"basic\", use \"basic_auth\" instead");
    }
    unserved_references(&mut table, &["credentials_ref"]);
    table.finish();
    let credentials = credentials.unwrap_or(Secret::Inline(String::new()));
    Auth::Authorization { scheme: scheme.unwrap_or_else(|| "Bearer".to_owned()), credentials }
}

fn unserved_references(table: &mut Table<'_, '_>, keys: &[&'static str]) {
    table.ignored(keys, "a name in a secret manager, and none is connected; use the key that ends in _file");
}

fn check_oauth2(value: &Value<'_, '_>, folder: &Folder) {
    let mut table = value.table();
    if some_text(&mut table, "client_id").is_none() {
        table.error("oauth2 client_id must be configured");
    }
    if some_text(&mut table, "token_url").is_none() {
        table.error("oauth2 token_url must be configured");
    }
    secret(&mut table, "client_secret", "client_secret_file", folder);
    table.texts("scopes");
    table.text_map("endpoint_params");
    if let Some(tls_table) = table.table("tls_config") {
        tls(tls_table, folder);
    }
    proxy(&mut table);
    table.know(&[
        "client_secret_ref",
        "client_certificate_key",
        "client_certificate_key_file",
        "client_certificate_key_id",
        "client_certificate_key_ref",
        "grant_type",
        "signature_algorithm",
        "audience",
        "iss",
        "claims",
    ]);
    table.finish();
    value.warning("oauth2 is not served yet: requests go out without a token; use authorization with credentials_file");
}

/// Reads `tls_config`.
pub(super) fn tls(mut table: Table<'_, '_>, folder: &Folder) -> Tls {
    let tls = Tls {
        ca: secret(&mut table, "ca", "ca_file", folder),
        cert: secret(&mut table, "cert", "cert_file", folder),
        key: secret(&mut table, "key", "key_file", folder),
        server_name: some_text(&mut table, "server_name"),
        insecure_skip_verify: table.boolean("insecure_skip_verify").unwrap_or(false),
    };
    if tls.cert.is_some() && tls.key.is_none() {
        table.error("exactly one of key or key_file must be configured when a client certificate is configured");
    }
    if tls.key.is_some() && tls.cert.is_none() {
        table.error("exactly one of cert or cert_file must be configured when a client key is configured");
    }
    let lowest = tls_version(&mut table, "min_version");
    let highest = tls_version(&mut table, "max_version");
    if let (Some(lowest), Some(highest)) = (lowest, highest)
        && highest < lowest
    {
        table.error("tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified");
    }
    // TLS 1.2 and 1.3 are always spoken, so only a narrower span than theirs is a promise that is not kept.
    if lowest == Some(3) || highest.is_some_and(|highest| highest < 3) {
        table.value_here().warning("TLS 1.2 and 1.3 are spoken; a narrower min_version or max_version is not served yet");
    }
    unserved_references(&mut table, &["ca_ref", "cert_ref", "key_ref"]);
    table.finish();
    tls
}

fn tls_version(table: &mut Table<'_, '_>, key: &'static str) -> Option<usize> {
    let value = table.value(key)?;
    let text = value.text_ref()?;
    let version = ["TLS10", "TLS11", "TLS12", "TLS13"].iter().position(|version| *version == text);
    if version.is_none() {
        value.error(format!("unknown TLS version: {text}; write TLS12 or TLS13"));
    }
    version
}

fn proxy(table: &mut Table<'_, '_>) -> (Option<String>, Option<String>, bool) {
    let (url, none, from_environment) =
        (some_text(table, "proxy_url"), some_text(table, "no_proxy"), table.boolean("proxy_from_environment").unwrap_or(false));
    let connect_header = table.value("proxy_connect_header");
    if from_environment && url.is_some() {
        table.error("if proxy_from_environment is configured, proxy_url must not be configured");
    }
    if from_environment && none.is_some() {
        table.error("if proxy_from_environment is configured, no_proxy must not be configured");
    }
    if url.is_none() && !from_environment && none.is_some() {
        table.error("if no_proxy is configured, proxy_url must also be configured");
    }
    if let Some(value) = connect_header {
        if url.is_none() && !from_environment {
            table.error("if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured");
        }
        for (_, names) in value.entries() {
            names.texts();
        }
        value.warning("proxy_connect_header is not served yet; it is ignored");
    }
    (url, none, from_environment)
}

fn headers(table: &mut Table<'_, '_>, folder: &Folder) -> BTreeMap<String, Vec<Secret>> {
    let mut headers = BTreeMap::new();
    let Some(value) = table.value("http_headers") else { return headers };
    for (key, value) in value.entries() {
        if RESERVED_HEADERS.contains(&key.name.to_ascii_lowercase().as_str()) {
            value.error(format!("setting header {:?} is not allowed; the client sets it itself", key.name));
        }
        let mut table = value.table();
        let inline = table.texts("values").into_iter().chain(table.texts("secrets")).map(Secret::Inline);
        let mut all: Vec<Secret> = inline.collect();
        all.extend(table.texts("files").into_iter().map(|path| Secret::File(folder.join(&path))));
        table.finish();
        headers.insert(key.name.clone(), all);
    }
    headers
}

/// Notes an error for every header that remote endpoints may not be sent.
pub(super) fn check_remote_headers(value: Option<Value<'_, '_>>, authorization_message: &str) {
    for (key, header) in value.iter().flat_map(Value::entries) {
        header.text();
        let name = key.name.to_ascii_lowercase();
        if name == "authorization" {
            header.error(authorization_message);
        } else if RESERVED_HEADERS.contains(&name.as_str()) && name != "x-prometheus-scrape-timeout-seconds" {
            header.error(format!("{} is a reserved header. It must not be changed", key.name));
        }
    }
}
