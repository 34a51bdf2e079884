//! `journeys`: what users do, tried from outside.

mod expect;
mod text;

use std::collections::BTreeSet;

use crate::client::HttpClient;
use crate::journey::{Body, ENTRIES_MAX, JOURNEYS_MAX, Journey, Piece, STEPS_MAX, Step, Text};
use crate::time::Span;
use crate::yaml::{Kind, Table, Value};

use super::place::{Folder, check_url};
use super::{client, discovery, source};

const INTERVAL: Span = Span::from_secs(30);
const INTERVAL_MIN: Span = Span::from_secs(1);
const INTERVAL_MAX: Span = Span::from_mins(24 * 60);
const TIMEOUT: Span = Span::from_secs(10);
const TIMEOUT_MIN: Span = Span(100);
const NAME_BYTES_MAX: usize = 63;
const RESERVED_LABELS: [&str; 5] = ["job", "instance", "journey", "platform", "step"];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Headers that the client sets itself.
const RESERVED_HEADERS: [&str; 5] = ["content-length", "connection", "keep-alive", "transfer-encoding", "upgrade"];

/// Reads `journeys`.
pub(super) fn read(table: &mut Table<'_, '_>, folder: &Folder) -> Vec<Journey> {
    let entries = discovery::entries(table, "journeys");
    if let Some(beyond) = entries.get(JOURNEYS_MAX) {
        beyond.error(format!("there are {} journeys, and at most {JOURNEYS_MAX} are served; remove some", entries.len()));
    }
    let mut names = BTreeSet::new();
    entries.iter().take(JOURNEYS_MAX).map(|value| entry(value, folder, &mut names)).collect()
}

fn entry(value: &Value<'_, '_>, folder: &Folder, names: &mut BTreeSet<String>) -> Journey {
    let mut table = value.table();
    let name = name(&mut table, names, "journey");
    let platform = client::some_text(&mut table, "platform");
    let interval = source::span_within(&mut table, "interval", INTERVAL, INTERVAL_MIN, INTERVAL_MAX);
    let timeout = source::span_within(&mut table, "timeout", TIMEOUT.min(interval), TIMEOUT_MIN, interval);
    let labels = source::labels(&mut table, &RESERVED_LABELS);
    let client = http(&mut table, folder);
    let bypass_cache = table.boolean("bypass_cache").unwrap_or(true);
    let cache_buster = table.value("cache_buster").and_then(|value| {
        let text = value.text()?;
        if !is_name(&text) {
            value.error("a parameter's name has letters, digits, -, _ and dots, at most 63 in all");
        }
        Some(text)
    });
    let steps = steps(&mut table, folder);
    table.finish();
    Journey { name, platform, interval, timeout, labels, client, bypass_cache, cache_buster, steps }
}

/// Returns whether a text can stand as a label's value and as a part of an address without any care.
fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Reads a name that must differ from its neighbours'.
fn name(table: &mut Table<'_, '_>, names: &mut BTreeSet<String>, what: &str) -> String {
    let Some(value) = table.value("name") else {
        table.error(format!("the {what} has no name; write name, such as order"));
        return String::new();
    };
    let name = value.text().unwrap_or_default();
    if !is_name(&name) {
        value.error(format!("a {what}'s name has letters, digits, -, _ and dots, at most {NAME_BYTES_MAX} in all"));
    } else if !names.insert(name.clone()) {
        value.error(format!("the {what} {name} stands here twice; give each a name of its own"));
    }
    name
}

/// Reads `http_config`. Redirects are followed only where that is asked for: one more hop is a finding.
fn http(table: &mut Table<'_, '_>, folder: &Folder) -> HttpClient {
    let Some(value) = table.value("http_config") else { return HttpClient { follow_redirects: false, ..HttpClient::default() } };
    let mut settings = client::whole(&value, folder);
    settings.follow_redirects &= value.node.get("follow_redirects").is_some();
    settings
}

fn steps(table: &mut Table<'_, '_>, folder: &Folder) -> Vec<Step> {
    let entries = discovery::entries(table, "steps");
    if entries.is_empty() {
        table.error("the journey has no steps; write steps with a name and a url each");
    }
    if let Some(beyond) = entries.get(STEPS_MAX) {
        beyond.error(format!("there are {} steps, and a journey has at most {STEPS_MAX}; remove some", entries.len()));
    }
    let mut known = Known::default();
    entries.iter().take(STEPS_MAX).map(|value| step(value, folder, &mut known)).collect()
}

/// What the steps above have brought.
#[derive(Default)]
struct Known {
    steps: BTreeSet<String>,
    saved: BTreeSet<String>,
}

fn step(value: &Value<'_, '_>, folder: &Folder, known: &mut Known) -> Step {
    let mut table = value.table();
    let name = name(&mut table, &mut known.steps, "step");
    let read = text::Reader { folder, saved: &known.saved };
    let method = method(&mut table);
    let step = Step {
        url: url(&mut table, &read),
        headers: headers(&mut table, &read),
        body: body(&mut table, &read, &method),
        expect: expect::read(&mut table),
        save: expect::saves(&mut table),
        name,
        method,
    };
    table.finish();
    for save in &step.save {
        // A later step that saves under the same name means the newer one.
        known.saved.insert(save.name.clone());
    }
    step
}

fn method(table: &mut Table<'_, '_>) -> String {
    let Some(value) = table.value("method") else { return "GET".to_owned() };
    let text = value.text().unwrap_or_default();
    if !METHODS.contains(&text.as_str()) {
        value.error(format!("the method {text:?} is not served; write one of {}", METHODS.join(", ")));
    }
    text
}

fn url(table: &mut Table<'_, '_>, read: &text::Reader<'_>) -> Text {
    let Some(value) = table.value("url") else {
        table.error("the step has no url; write http://host/path");
        return Text(Vec::new());
    };
    let Some(text) = read.text(&value, false) else { return Text(Vec::new()) };
    let first = match text.0.first() {
        Some(Piece::Literal(first)) => first.as_str(),
        Some(Piece::Saved(_) | Piece::Secret(_)) | None => "",
    };
    let after_scheme = first.split_once("://").map_or("", |(_, rest)| rest);
    let host_ends = after_scheme.contains(['/', '?']);
    let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    let literals = || text.0.iter().filter_map(|piece| if let Piece::Literal(literal) = piece { Some(literal) } else { None });
    if let Err(message) = check_url(first) {
        value.error(message);
    } else if authority.contains('@') {
        value.error("a url holds no user and password; write them as basic_auth in http_config");
    } else if literals().any(|literal| literal.contains('#')) {
        value.error("what follows # is never sent; remove it");
    } else if literals().any(|literal| literal.chars().any(|c| c.is_control() || c == ' ')) {
        value.error("a URL holds no spaces and no control characters; write them as %20 and the like");
    } else if text.0.len() > 1 && !host_ends {
        value
            .error("the first piece must hold the whole host and the / after it, so that no answer can change where requests go");
    }
    text
}

fn headers(table: &mut Table<'_, '_>, read: &text::Reader<'_>) -> Vec<(String, Text)> {
    let mut headers: Vec<(String, Text)> = Vec::new();
    let Some(value) = table.value("headers") else { return headers };
    let entries = value.entries();
    if entries.len() > ENTRIES_MAX {
        value.error(format!("there are {} headers, and a step has at most {ENTRIES_MAX}; remove some", entries.len()));
    }
    for (key, value) in entries.into_iter().take(ENTRIES_MAX) {
        let name = key.name.to_ascii_lowercase();
        let is_token =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !is_token {
            value.error(format!("{:?} is no name of a header", key.name));
        } else if RESERVED_HEADERS.contains(&name.as_str()) {
            value.error(format!("setting header {:?} is not allowed; the client sets it itself", key.name));
        } else if headers.iter().any(|(known, _)| *known == name) {
            value.error(format!("the header {} stands here twice; remove one", key.name));
        }
        let Some(text) = read.text(&value, true) else { continue };
        let has_control =
            |piece: &Piece| matches!(piece, Piece::Literal(literal) if literal.chars().any(|c| c.is_control() && c != '\t'));
        if text.0.iter().any(has_control) {
            value.error("a header holds no line ends and no other control characters");
        }
        headers.push((name, text));
    }
    headers
}

fn body(table: &mut Table<'_, '_>, read: &text::Reader<'_>, method: &str) -> Option<Body> {
    let value = table.value("body")?;
    if matches!(method, "GET" | "HEAD") {
        value.error(format!("a {method} has no body; write method: POST, or remove the body"));
    }
    match &value.node.kind {
        Kind::Mapping(entries) if !entries.iter().any(|(key, _)| key.name == "text") || entries.len() > 1 => {
            read.json(&value).map(Body::Json)
        }
        Kind::Sequence(_) => read.json(&value).map(Body::Json),
        Kind::Mapping(_) | Kind::Scalar { .. } | Kind::Null => read.text(&value, true).map(Body::Text),
    }
}
