//! The texts of a message: templates that are expanded, and what stands in for one that fails.

use std::collections::BTreeMap;

use crate::template::TemplateError;
use crate::time::Timestamp;

use super::super::templates::Templates;
use super::Message;

/// Of one fault no more than this is told.
const FAULT_CHARS_MAX: usize = 200;
/// Of all faults of one message no more than this is told in it.
const NOTE_CHARS_MAX: usize = 400;
/// What stands where nothing else says anything and something must.
const NAME: &str = "tocsin";

/// What a provider counts when it limits a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Chars,
    /// Of UTF-8.
    Bytes,
    /// Units of 16 bits in UTF-16.
    Utf16,
}

impl Unit {
    fn of(self, c: char) -> usize {
        match self {
            Unit::Chars => 1,
            Unit::Bytes => c.len_utf8(),
            Unit::Utf16 => c.len_utf16(),
        }
    }

    /// Returns how long a text is.
    pub fn count(self, text: &str) -> usize {
        text.chars().map(|c| self.of(c)).sum()
    }
}

const CUT: char = '…';

/// Cuts a text to a length; the cut is shown.
pub fn cut(text: &str, most: usize, unit: Unit) -> String {
    if unit.count(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(unit.of(CUT));
    let mut kept: String = text
        .chars()
        .take_while(|c| {
            let size = unit.of(*c);
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        })
        .collect();
    kept.push(CUT);
    kept
}

/// Expands the templates of one message. What cannot be expanded is left empty and written down: a page with other words is better
/// than none.
pub struct Words<'a> {
    pub message: Message<'a>,
    templates: &'a Templates,
    now: Timestamp,
    faults: BTreeMap<String, String>,
}

impl<'a> Words<'a> {
    pub fn new(message: Message<'a>, templates: &'a Templates, now: Timestamp) -> Words<'a> {
        Words { message, templates, now, faults: BTreeMap::new() }
    }

    fn settled(&mut self, name: &str, expanded: Result<String, TemplateError>) -> String {
        expanded.unwrap_or_else(|error| {
            self.fault(name, &error.to_string());
            String::new()
        })
    }

    /// Returns a text with its template expanded; `name` is its key in the configuration.
    pub fn text(&mut self, name: &str, text: &str) -> String {
        self.settled(name, self.templates.render(text, self.message.data, self.now))
    }

    /// Does what `text` does for HTML: values are escaped.
    pub fn html(&mut self, name: &str, text: &str) -> String {
        self.settled(name, self.templates.render_html(text, self.message.data, self.now))
    }

    /// Returns an expanded text, or the message's title as `mark` writes it where it says nothing.
    pub fn or_title(&mut self, name: &str, text: &str, mark: fn(&str) -> String) -> String {
        let expanded = self.text(name, text);
        if expanded.trim().is_empty() { mark(self.title()) } else { expanded }
    }

    /// Returns the message's title, which is never empty.
    pub fn title(&self) -> &'a str {
        if self.message.title.trim().is_empty() { NAME } else { self.message.title }
    }

    /// Notes what is wrong with the text of a key.
    pub fn fault(&mut self, name: &str, reason: &str) {
        self.faults.insert(name.to_owned(), cut(reason, FAULT_CHARS_MAX, Unit::Chars));
    }

    /// Returns what could not be expanded so far, by key.
    pub fn faults(&self) -> &BTreeMap<String, String> {
        &self.faults
    }

    /// Returns one line about what could not be expanded; None where nothing failed.
    pub fn note(&self) -> Option<String> {
        if self.faults.is_empty() {
            return None;
        }
        let told: Vec<String> = self.faults.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
        Some(cut(&format!("the configured template cannot be expanded: {}", told.join("; ")), NOTE_CHARS_MAX, Unit::Chars))
    }

    /// Returns a text within a limit, with a last line about what could not be expanded, as `mark` writes it.
    pub fn noted(&self, text: &str, most: usize, unit: Unit, mark: fn(&str) -> String) -> String {
        let note = self.note().map(|note| mark(&note)).filter(|note| unit.count(note) < most);
        match note {
            None => cut(text, most, unit),
            Some(note) if text.trim().is_empty() => note,
            Some(note) => format!("{}\n{note}", cut(text, most - unit.count(&note) - 1, unit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_shown_and_lies_between_characters() {
        assert_eq!(cut("abc", 3, Unit::Chars), "abc");
        assert_eq!(cut("abcd", 3, Unit::Chars), "ab…");
        assert_eq!(cut("äöü€", 8, Unit::Bytes), "äö…");
        assert_eq!(cut("a😀b😀", 5, Unit::Utf16), "a😀b…");
        assert_eq!(cut("a😀😀b", 4, Unit::Utf16), "a😀…");
        for (unit, most) in [(Unit::Chars, 3), (Unit::Bytes, 7), (Unit::Utf16, 5)] {
            assert!(unit.count(&cut("😀😀😀😀😀😀", most, unit)) <= most, "{unit:?}");
        }
    }
}
