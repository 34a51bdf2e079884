//! `silences`: how far people may silence.

use crate::model::Matcher;
use crate::route::matchers::{Mode, parse_matchers};
use crate::route::silence::Silencing;
use crate::time::Span;
use crate::yaml::{Table, Value};

/// Nobody is glad of a reminder a week ahead.
const REMIND_MAX: Span = Span::from_mins(7 * 24 * 60);
const NEVER_MAX: usize = 100;

/// Reads `silences`; without it people silence as they like.
pub(super) fn read(table: &mut Table<'_, '_>, mode: Mode) -> Silencing {
    let Some(value) = table.value("silences") else { return Silencing::default() };
    let mut table = value.table();
    let silencing = Silencing {
        longest: table.value("longest").and_then(|value| longer_than_zero(&value)),
        longest_recurring: table.value("longest_recurring").and_then(|value| longer_than_zero(&value)),
        needs: needs(&mut table),
        most: table.value("most").and_then(|value| {
            let most = value.unsigned()?;
            if most == 0 {
                value.error("no silence could mute anything; write how many firing alerts one may mute");
            }
            usize::try_from(most).ok()
        }),
        never: never(&mut table, mode),
        remind: table.value("remind").and_then(|value| {
            let span = longer_than_zero(&value)?;
            if span > REMIND_MAX {
                value.error(format!("{span} before its end nobody cares for a silence; write {REMIND_MAX} at most"));
            }
            Some(span)
        }),
    };
    table.finish();
    silencing
}

fn longer_than_zero(value: &Value<'_, '_>) -> Option<Span> {
    let span = value.span()?;
    if span <= Span::ZERO {
        value.error("write more than 0s, or leave the key away");
    }
    Some(span)
}

fn needs(table: &mut Table<'_, '_>) -> Vec<String> {
    let mut labels = Vec::new();
    for value in table.list("needs") {
        match value.text() {
            Some(label) if label.is_empty() => value.error("write the name of a label"),
            Some(label) => labels.push(label),
            None => {}
        }
    }
    labels
}

fn never(table: &mut Table<'_, '_>, mode: Mode) -> Vec<Vec<Matcher>> {
    let mut all = Vec::new();
    for value in table.list("never") {
        let Some(text) = value.text_ref() else { continue };
        match parse_matchers(text, mode) {
            Ok(matchers) if matchers.is_empty() => value.error("an entry without matchers would forbid every silence"),
            Ok(matchers) => all.push(matchers),
            Err(bad) => value.error(format!("{bad}; write matchers such as severity=\"page\", team=\"security\"")),
        }
    }
    if all.len() > NEVER_MAX {
        table.error(format!("never has {} entries; at most {NEVER_MAX} are taken", all.len()));
    }
    all
}
