//! The fast way through plain lines. It reads only what both the lexer and it read alike, and leaves all else alone by answering
//! `None`; a test holds the two against each other.

use crate::time::Timestamp;

use super::lexer::{is_label_name_start, is_metric_name_start};
use super::number::{parse_float, scan_plain};
use super::{Entry, Format, Line, MetricType};

const NAME: u8 = 1;
const COLON: u8 = 2;
/// Bytes that end a run of ordinary bytes of a label's value.
const VALUE_END: u8 = 4;
/// Bytes that end a value or a time.
const WORD_END: u8 = 8;

const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() || b == b'_' {
            class[byte] |= NAME;
        }
        if b == b':' {
            class[byte] |= COLON;
        }
        if matches!(b, b'"' | b'\\' | b'\n' | 0) {
            class[byte] |= VALUE_END;
        }
        if matches!(b, b' ' | b'\t' | b'\n' | b'{' | 0) {
            class[byte] |= WORD_END;
        }
        byte += 1;
    }
    class
};

/// Returns the length of the run of bytes at the start of `text` that belong, or do not belong, to a class.
#[inline]
fn run(text: &[u8], class: u8, belong: bool) -> usize {
    text.iter().position(|byte| (CLASS[usize::from(*byte)] & class != 0) != belong).unwrap_or(text.len())
}

/// Reads the entry at the start of `text` and the bytes used with its line break. `text` is valid UTF-8.
#[inline]
pub fn entry(text: &[u8], format: Format) -> Option<(Entry<'_>, usize)> {
    match text.first()? {
        b'#' => meta(text, format),
        byte if is_metric_name_start(*byte) => {
            let mut len = run(text, NAME | COLON, true);
            if text.get(len) == Some(&b'{') {
                len = labels(text, len + 1, format)?;
            }
            if text.get(len) != Some(&b' ') {
                return None;
            }
            let (value, at, used) = value_and_time(&text[len + 1..], format)?;
            Some((Entry::Sample(Line { series: &text[..len], value, at, exemplar: None }), len + 1 + used))
        }
        _ => None,
    }
}

/// Returns the place behind the closing brace of the labels that start at `from`.
#[inline]
fn labels(text: &[u8], from: usize, format: Format) -> Option<usize> {
    let mut at = from;
    loop {
        let byte = *text.get(at)?;
        if byte == b'}' {
            return Some(at + 1);
        }
        if !is_label_name_start(byte) {
            return None;
        }
        at += run(&text[at..], NAME, true);
        if !text[at..].starts_with(b"=\"") {
            return None;
        }
        at += 2;
        loop {
            at += run(&text[at..], VALUE_END, false);
            match text.get(at)? {
                b'"' => break,
                b'\\' if !matches!(text.get(at + 1)?, 0 | b'\n') => at += 2,
                _ => return None,
            }
        }
        at += 1;
        match text.get(at)? {
            b'}' => return Some(at + 1),
            b',' => at += 1,
            _ => return None,
        }
        if format == Format::Text && text.get(at) == Some(&b' ') {
            at += 1;
        }
    }
}

/// Reads a value, perhaps a time, and the end of the line: both, and the bytes used.
#[inline]
pub fn value_and_time(text: &[u8], format: Format) -> Option<(f64, Option<Timestamp>, usize)> {
    let (value, len) = match scan_plain(text) {
        Some(scanned) => scanned,
        None => word(text)?,
    };
    let (at, len) = match text.get(len) {
        Some(b' ') => {
            let (at, used) = match format {
                Format::Text => whole_number(&text[len + 1..])?,
                Format::OpenMetrics => {
                    let (seconds, used) = word(&text[len + 1..])?;
                    (Timestamp(seconds.is_finite().then_some((seconds * 1000.0) as i64)?), used)
                }
            };
            (Some(at), len + 1 + used)
        }
        _ => (None, len),
    };
    match (text.get(len), format) {
        (Some(b'\n'), _) => Some((value, at, len + 1)),
        (None, Format::Text) => Some((value, at, len)),
        _ => None,
    }
}

fn word(text: &[u8]) -> Option<(f64, usize)> {
    let len = run(text, WORD_END, false);
    parse_float(&text[..len]).ok().map(|value| (value, len))
}

/// Reads a run of digits that cannot overflow.
fn whole_number(text: &[u8]) -> Option<(Timestamp, usize)> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=18).contains(&len) {
        return None;
    }
    Some((Timestamp(text[..len].iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))), len))
}

fn meta(text: &[u8], format: Format) -> Option<(Entry<'_>, usize)> {
    let is_help = text.starts_with(b"# HELP ");
    if !is_help && !text.starts_with(b"# TYPE ") {
        return None;
    }
    let rest = &text[7..];
    if !is_metric_name_start(*rest.first()?) {
        return None;
    }
    let name_len = run(rest, NAME | COLON, true);
    let metric = &rest[..name_len];
    // A blank behind the name belongs to neither; more than one are for the lexer.
    if rest.get(name_len) != Some(&b' ') || matches!(rest.get(name_len + 1)?, b' ' | b'\t' | b'\n') {
        return None;
    }
    let behind = &rest[name_len + 1..];
    let len = memchr::memchr2(b'\n', 0, behind).filter(|at| behind[*at] == b'\n')?;
    // OpenMetrics' lexer lets NUL bytes behind the line break run on as text.
    if format == Format::OpenMetrics && behind.get(len + 1) == Some(&0) {
        return None;
    }
    let used = 7 + name_len + 1 + len + 1;
    let entry = if is_help {
        Entry::Help { metric, text: &behind[..len] }
    } else {
        Entry::Type { metric, kind: MetricType::parse(&behind[..len], format)? }
    };
    Some((entry, used))
}
