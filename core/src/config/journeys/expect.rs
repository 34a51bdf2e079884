//! What an answer must be, and what is saved of it.

use crate::journey::{ENTRIES_MAX, Expect, Kind as SavedKind, Pattern, Save, Wanted};
use crate::yaml::{Kind, Table, Value};

use super::is_name;
use super::text::scalar;

/// Compiled, an expression takes at most this much.
const REGEX_BYTES_MAX: usize = 1 << 20;

pub(super) fn read(table: &mut Table<'_, '_>) -> Expect {
    let mut expect = Expect::default();
    for value in table.list("status") {
        match value.unsigned() {
            Some(status) if (100..600).contains(&status) => expect.status.push(status as u16),
            Some(status) => value.error(format!("{status} is no status of HTTP; write one from 100 to 599")),
            None => {}
        }
    }
    expect.contains = table.value("contains").and_then(|value| {
        let text = value.text()?;
        if text.is_empty() {
            value.error("every answer contains the empty text; write what a good one contains, or remove the key");
        }
        Some(text)
    });
    expect.matches = table.value("matches").and_then(|value| pattern(&value));
    if let Some(value) = table.value("json") {
        let entries = value.entries();
        if entries.len() > ENTRIES_MAX {
            value.error(format!("there are {} expectations, and a step has at most {ENTRIES_MAX}; remove some", entries.len()));
        }
        for (key, value) in entries.into_iter().take(ENTRIES_MAX) {
            check_pointer(&value, &key.name);
            expect.json.extend(wanted(&value).map(|wanted| (key.name.clone(), wanted)));
        }
    }
    expect
}

fn pattern(value: &Value<'_, '_>) -> Option<Pattern> {
    let text = value.text()?;
    let built = regex::RegexBuilder::new(&text).size_limit(REGEX_BYTES_MAX).build();
    let reason = |error: regex::Error| match error {
        regex::Error::Syntax(text) => text.lines().last().unwrap_or("syntax error").trim_start_matches("error: ").to_owned(),
        other => other.to_string(),
    };
    built.map(Pattern).map_err(|error| value.error(format!("the regular expression cannot be read: {}", reason(error)))).ok()
}

/// Source: RFC 6901.
fn check_pointer(value: &Value<'_, '_>, pointer: &str) {
    let escapes_are_good = pointer.match_indices('~').all(|(at, _)| matches!(pointer.as_bytes().get(at + 1), Some(b'0' | b'1')));
    if !(pointer.is_empty() || pointer.starts_with('/')) || !escapes_are_good {
        value.error(format!("{pointer:?} is no JSON pointer; write /key/0/key, with ~1 for a slash in a key and ~0 for a tilde"));
    }
}

fn wanted(value: &Value<'_, '_>) -> Option<Wanted> {
    let Kind::Mapping(_) = value.node.kind else { return scalar(value).map(Wanted::Equal) };
    let mut table = value.table();
    let (exists, matches) = (table.boolean("exists"), table.value("matches").and_then(|value| pattern(&value)));
    let (min, max) = (table.float("min"), table.float("max"));
    let errors = table.problems().error_count();
    let path = table.value_here().clone();
    table.finish();
    match (exists, matches, min, max) {
        (Some(exists), None, None, None) => Some(Wanted::Exists(exists)),
        (None, Some(pattern), None, None) => Some(Wanted::Matches(pattern)),
        (None, None, min, max) if min.is_some() || max.is_some() => {
            if let (Some(min), Some(max)) = (min, max)
                && min > max
            {
                path.error(format!("no number is from {min} to {max}; swap the two"));
            }
            Some(Wanted::Within { min, max })
        }
        _ => {
            if path.problems.error_count() == errors {
                path.error("expected a value, or one of {exists: …}, {matches: …} and {min: …, max: …}");
            }
            None
        }
    }
}

/// Reads `save`: a pointer by name, or `{json: pointer, type: …}`.
pub(super) fn saves(table: &mut Table<'_, '_>) -> Vec<Save> {
    let mut saves = Vec::new();
    let Some(value) = table.value("save") else { return saves };
    let entries = value.entries();
    if entries.len() > ENTRIES_MAX {
        value.error(format!("there are {} outputs, and a step has at most {ENTRIES_MAX}; remove some", entries.len()));
    }
    for (key, value) in entries.into_iter().take(ENTRIES_MAX) {
        if !is_name(&key.name) {
            value.error("an output's name has letters, digits, -, _ and dots, at most 63 in all");
        }
        let (pointer, kind) = match value.node.kind {
            Kind::Mapping(_) => {
                let mut table = value.table();
                let kind = kind(&mut table);
                let pointer = table.text("json");
                if pointer.is_none() {
                    table.error("json is missing; write where the output stands, such as /token");
                }
                table.finish();
                (pointer, kind)
            }
            Kind::Null | Kind::Scalar { .. } | Kind::Sequence(_) => (value.text(), SavedKind::Scalar),
        };
        let Some(pointer) = pointer else { continue };
        check_pointer(&value, &pointer);
        saves.push(Save { name: key.name.clone(), pointer, kind });
    }
    saves
}

fn kind(table: &mut Table<'_, '_>) -> SavedKind {
    const KINDS: [SavedKind; 4] = [SavedKind::Text, SavedKind::Int, SavedKind::Float, SavedKind::Bool];
    let Some(value) = table.value("type") else { return SavedKind::Scalar };
    let text = value.text().unwrap_or_default();
    KINDS.into_iter().find(|kind| kind.word() == text).unwrap_or_else(|| {
        value.error(format!("unknown type {text:?}; write {}", KINDS.map(SavedKind::word).join(", ")));
        SavedKind::Scalar
    })
}
