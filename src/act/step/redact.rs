//! What outputs must not show: secrets, and what tells of persons.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;
use tocsin_core::run::plan::{Capture, Redact};

/// What stands in the place of a secret.
const SECRET: &str = "[secret]";
/// Shorter secrets would be found everywhere.
const SECRET_BYTES_MIN: usize = 4;
const CUT: &str = "…";

static MAIL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+").expect("a pattern of ours"));
/// Digits with the signs that people write between them.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\+?\(?\d(?:[ ().\-/]{0,2}\d){7,22}").expect("a pattern of ours"));
/// How phone numbers are written: with the sign of a country, an area in brackets or behind a zero, or in groups of 3, 3 and 4.
static PHONE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?:\+|\(|0\d+[ /\-]|\d{3}[ .\-]\d{3}[ .\-]\d{4}$)").expect("a pattern of ours"));

/// Knows the secrets of the configuration as they are at this moment.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longest first, so that one that holds another is replaced whole.
    secrets: Vec<String>,
}

impl Redactor {
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Redactor {
        let mut secrets: Vec<String> = secrets.into_iter().filter(|secret| secret.len() >= SECRET_BYTES_MIN).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Redactor { secrets }
    }

    /// Returns how long the longest secret is: what is read beyond the part that is kept, so that none is cut in two unseen.
    pub fn longest(&self) -> usize {
        self.secrets.first().map_or(0, String::len)
    }

    /// Returns a text without what must not be shown, cut so that it takes at most `most` bytes as JSON. `is_part`: the text was cut
    /// already, so its end may be the beginning of a secret.
    pub fn text(&self, text: &str, capture: &Capture, most: usize, is_part: bool) -> String {
        let mut clean = text.to_owned();
        // Secrets are never shown, whatever a document asks for.
        for secret in &self.secrets {
            clean = clean.replace(secret, SECRET);
        }
        if is_part {
            clean.truncate(self.whole_end(&clean));
        }
        if capture.redact.contains(&Redact::Pii) {
            clean = MAIL.replace_all(&clean, "[mail]").into_owned();
            clean = without_numbers(&clean);
        }
        cut(clean, most)
    }

    /// Returns where a text ends that does not break off within a secret.
    fn whole_end(&self, text: &str) -> usize {
        let breaks = |secret: &String| {
            let lengths = (1..secret.len().min(text.len() + 1)).rev().filter(|length| secret.is_char_boundary(*length));
            lengths.into_iter().find(|length| text.ends_with(&secret[..*length])).unwrap_or(0)
        };
        text.len() - self.secrets.iter().map(breaks).max().unwrap_or(0)
    }

    /// Returns a tree whose texts and names show nothing that they must not. It keeps its shape, since expectations point into it.
    pub fn json(&self, value: Value, capture: &Capture) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text, capture, usize::MAX, false)),
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.json(item, capture)).collect()),
            Value::Object(entries) => Value::Object(
                entries
                    .into_iter()
                    .map(|(name, entry)| (self.text(&name, capture, usize::MAX, false), self.json(entry, capture)))
                    .collect(),
            ),
            Value::Number(number) => match self.text(&number.to_string(), capture, usize::MAX, false) {
                same if same == number.to_string() => Value::Number(number),
                other => Value::String(other),
            },
            Value::Null | Value::Bool(_) => value,
        }
    }
}

/// Returns a text without numbers of cards and phones.
fn without_numbers(text: &str) -> String {
    let (mut clean, mut end) = (String::with_capacity(text.len()), 0);
    for found in NUMBER.find_iter(text) {
        // A piece of a longer word, such as an id or a hash, is no number.
        let joins = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_piece = text[..found.start()].ends_with(joins) || text[found.end()..].starts_with(|c: char| c.is_alphanumeric());
        clean.push_str(&text[end..found.start()]);
        clean.push_str(if is_piece { found.as_str() } else { number(found.as_str()) });
        end = found.end();
    }
    clean.push_str(&text[end..]);
    clean
}

/// Returns what stands for a row of digits: a card number, a phone number, or something else, which stays.
fn number(text: &str) -> &str {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    if (13..=19).contains(&digits.len()) && is_card(&digits) {
        return "[card]";
    }
    // A bare row of digits may be a count, an instant or an id; a phone number is written as one.
    if (8..=15).contains(&digits.len()) && PHONE.is_match(text) { "[phone]" } else { text }
}

/// Returns whether the last digit is the check digit of the others.
///
/// Source: ISO/IEC 7812-1, the Luhn formula.
fn is_card(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            0 => *digit,
            _ if *digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    // No card begins otherwise, and instants in milliseconds do.
    sum.is_multiple_of(10) && (2..=6).contains(&digits[0])
}

/// Cuts a text so that it takes at most so many bytes as JSON.
fn cut(mut text: String, most: usize) -> String {
    let cost = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        c if (c as u32) < 0x20 => 6,
        c => c.len_utf8(),
    };
    let room = most.saturating_sub(2);
    if text.chars().map(cost).sum::<usize>() <= room {
        return text;
    }
    let mut used = CUT.len();
    let end = text.char_indices().find(|(_, c)| {
        used += cost(*c);
        used > room
    });
    text.truncate(end.map_or(text.len(), |(at, _)| at));
    text.push_str(CUT);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: &str) -> String {
        let capture = Capture { max_bytes: 1000, redact: vec![Redact::Secrets, Redact::Pii] };
        Redactor::new(["hunter2!".to_owned(), "hunter2!-long".to_owned(), "abc".to_owned()]).text(text, &capture, 1000, false)
    }

    #[test]
    fn secrets_and_persons_are_not_shown() {
        assert_eq!(clean("a hunter2!-long and hunter2! abc"), "a [secret] and [secret] abc");
        assert_eq!(clean("mail ann.lee+x@mail.example.org now"), "mail [mail] now");
        assert_eq!(clean("card 4111 1111 1111 1111, 4111111111111111"), "card [card], [card]");
        assert_eq!(clean("call +44 20 7946 0958 or (020) 7946-0958"), "call [phone] or [phone]");
        assert_eq!(clean("call 555-867-5309, 030/1234567"), "call [phone], [phone]");
    }

    #[test]
    fn what_tells_of_nobody_stays() {
        for text in [
            "1764000000000 rows",
            "at 2026-11-21 09:42:11",
            "took 0.123456789 s",
            "10.0.0.1:5432",
            "id 12345678-9012-4217-a",
            "0 1 2 10 251 253 255 300",
        ] {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn a_secret_that_is_cut_in_two_is_not_shown_in_part() {
        let capture = Capture { max_bytes: 1000, redact: vec![] };
        let redactor = Redactor::new(["correct horse".to_owned()]);
        assert_eq!(redactor.text("key: correct ho", &capture, 1000, true), "key: ");
        assert_eq!(redactor.text("key: correct ho", &capture, 1000, false), "key: correct ho");
        assert_eq!(redactor.text("key: other", &capture, 1000, true), "key: other");
    }

    #[test]
    fn what_is_cut_fits_as_json() {
        let capture = Capture { max_bytes: 1000, redact: vec![] };
        for text in ["\n\n\n\n\n\n\n\n\n\n\"\"\"\"\"\"\"\u{1}\u{1}\u{1}", "äöüäöüäöüäöüäöüäöüäöü", "short"] {
            let cut = Redactor::default().text(text, &capture, 20, false);
            let json = serde_json::to_string(&cut).unwrap();
            assert!(json.len() <= 20, "{json}");
        }
    }
}
