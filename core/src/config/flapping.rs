//! `flapping`: when alerts that begin again and again are held to be one trouble.

use crate::route::tree::Flapping;
use crate::time::Span;
use crate::yaml::{Table, Value};

const DEFAULT: Flapping = Flapping { begins: 4, within: Span::from_mins(30), quiet: Span::from_mins(15) };
/// One that begins twice has come back once.
const BEGINS_MIN: u64 = 2;
/// So many instants are kept of each alert.
const BEGINS_MAX: u64 = 20;
/// Nobody would look for what happened longer ago, nor wait longer for an end.
const SPAN_MAX: Span = Span::from_mins(24 * 60);

/// Reads `flapping`; None: nobody looks for it.
pub(super) fn read(table: &mut Table<'_, '_>) -> Option<Flapping> {
    let mut table = table.value("flapping")?.table();
    let begins = table.value("begins").and_then(|value| {
        let begins = value.unsigned()?;
        if !(BEGINS_MIN..=BEGINS_MAX).contains(&begins) {
            value.error(format!("an alert flaps once it has begun {BEGINS_MIN} to {BEGINS_MAX} times, not {begins}"));
        }
        usize::try_from(begins).ok()
    });
    let within = table.value("within").and_then(|value| span(&value));
    let quiet = table.value("quiet").and_then(|value| span(&value));
    table.finish();
    Some(Flapping {
        begins: begins.unwrap_or(DEFAULT.begins),
        within: within.unwrap_or(DEFAULT.within),
        quiet: quiet.unwrap_or(DEFAULT.quiet),
    })
}

fn span(value: &Value<'_, '_>) -> Option<Span> {
    let span = value.span()?;
    if span <= Span::ZERO || span > SPAN_MAX {
        value.error(format!("{span} is not a time in which an alert can flap; write more than 0s, and {SPAN_MAX} at most"));
    }
    Some(span)
}
