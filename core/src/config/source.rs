//! What the sections of sources that are asked over an API have in common: `cloudwatch` and `atlas`.

use crate::client::{Auth, HttpClient};
use crate::collect::Reach;
use crate::model::labels::is_classic_label_name;
use crate::model::{LabelSet, MatchOp, Matcher};
use crate::time::Span;
use crate::yaml::{Table, Value};

use super::client;
use super::job::{Names, place_of};
use super::place::{Folder, check_url};

/// An answer that takes longer is of no use to the next collection.
const TIMEOUT: Span = Span::from_mins(1);
const WINDOW: Span = Span::from_mins(15);
const CATCH_UP: Span = Span::from_mins(180);
const REACH_MAX: Span = Span::from_mins(24 * 60);
const INTERVAL: Span = Span::from_mins(1);
const INTERVAL_MIN: Span = Span::from_secs(1);
const DISCOVERY_INTERVAL: Span = Span::from_mins(10);

/// Times of a source.
pub(super) struct Times {
    pub(super) interval: Span,
    pub(super) timeout: Span,
    pub(super) discovery_interval: Span,
    pub(super) reach: Reach,
}

/// Reads `job_name`, which must differ from those of all other jobs.
pub(super) fn job_name(table: &mut Table<'_, '_>, default: &str, file: &str, names: &mut Names) -> String {
    let name = client::some_text(table, "job_name").unwrap_or_else(|| default.to_owned());
    let place = place_of(file, table.value_here().node.position);
    if let Some(first) = names.get(&name) {
        table.error(format!("found multiple jobs with job name {name:?}, first found in {first}; give each its own job_name"));
    } else {
        names.insert(name.clone(), place);
    }
    name
}

/// Reads a span that lies within bounds.
pub(super) fn span_within(table: &mut Table<'_, '_>, key: &'static str, default: Span, least: Span, most: Span) -> Span {
    let Some(value) = table.value(key) else { return default };
    match value.span() {
        Some(span) if (least..=most).contains(&span) => span,
        Some(span) => {
            value.error(format!("{span} is out of bounds; write {least} to {most}"));
            default
        }
        None => default,
    }
}

pub(super) fn times(table: &mut Table<'_, '_>) -> Times {
    let interval = span_within(table, "interval", INTERVAL, INTERVAL_MIN, REACH_MAX);
    let timeout = span_within(table, "timeout", TIMEOUT.min(interval), Span(100), interval);
    let window = span_within(table, "window", WINDOW, Span::ZERO, REACH_MAX);
    let catch_up = span_within(table, "catch_up", CATCH_UP.max(window), window, REACH_MAX);
    let discovery_interval = span_within(table, "discovery_interval", DISCOVERY_INTERVAL, INTERVAL_MIN, REACH_MAX);
    Times { interval, timeout, discovery_interval, reach: Reach { window, catch_up } }
}

/// Reads a whole number that lies within bounds.
pub(super) fn number_within(table: &mut Table<'_, '_>, key: &'static str, default: u64, least: u64, most: u64) -> u64 {
    let Some(value) = table.value(key) else { return default };
    match value.unsigned() {
        Some(number) if (least..=most).contains(&number) => number,
        Some(number) => {
            value.error(format!("{number} is out of bounds; write {least} to {most}"));
            default
        }
        None => default,
    }
}

/// Reads an address of a server; no slash at its end.
pub(super) fn address(table: &mut Table<'_, '_>, key: &'static str) -> Option<String> {
    let value = table.value(key)?;
    let text = value.text().filter(|text| !text.is_empty())?;
    if let Err(message) = check_url(&text) {
        value.error(message);
    } else if text.contains(['?', '#', '@']) {
        value.error("the address of the server alone is wanted; write https://host or https://host:port/path");
    }
    Some(text.trim_end_matches('/').to_owned())
}

/// Reads `http_config`. Its own ways to authorise make no sense where the requests are signed.
pub(super) fn http(table: &mut Table<'_, '_>, folder: &Folder) -> HttpClient {
    let Some(value) = table.value("http_config") else { return HttpClient { follow_redirects: false, ..HttpClient::default() } };
    let mut settings = client::whole(&value, folder);
    if settings.auth != Auth::None {
        value.error("requests are authorised by the keys of this section; remove the authorisation from http_config");
    }
    // A signed request is meant for the one who was named, and for nobody whom that one names.
    settings.follow_redirects = false;
    settings
}

/// Checks a name that somebody gives to a label. `reserved` are those that the section sets itself.
pub(super) fn check_label_name(value: &Value<'_, '_>, name: &str, reserved: &[&str]) {
    if !is_classic_label_name(name) {
        value.error(format!("{name:?} is not a valid label name; write letters, digits and _, no digit first"));
    } else if name.starts_with("__") || reserved.contains(&name) {
        value.error(format!("the label {name} is set by us; choose another name"));
    }
}

/// Reads `labels`, which all series of a source get.
pub(super) fn labels(table: &mut Table<'_, '_>, reserved: &[&str]) -> LabelSet {
    let mut pairs = Vec::new();
    for (key, value) in table.value("labels").iter().flat_map(Value::entries) {
        check_label_name(&value, &key.name, reserved);
        if let Some(text) = value.text() {
            pairs.push((key.name.clone(), text));
        }
    }
    LabelSet::from_pairs(pairs)
}

/// Reads a regular expression that must fit the whole of a text; `name` is what it is held against.
pub(super) fn pattern(value: &Value<'_, '_>, name: &str) -> Option<Matcher> {
    let text = value.text().filter(|text| !text.is_empty()).or_else(|| {
        value.error("the pattern is empty; write a name, or a regular expression such as Request.*");
        None
    })?;
    Matcher::new(name, MatchOp::Regex, text).map_err(|error| value.error(error.to_string())).ok()
}
