//! Quoted text: where it ends, and what it says.

use super::{Kind, Lexer};
use crate::model::labels::quote;

/// Returns a character in single quotes as Go's `%q` writes it; the end of the text is U+FFFD.
pub(super) fn quote_char(c: Option<char>) -> String {
    match c.unwrap_or('\u{fffd}') {
        '\'' => r"'\''".to_owned(),
        '\\' => r"'\\'".to_owned(),
        '\n' => r"'\n'".to_owned(),
        '\r' => r"'\r'".to_owned(),
        '\t' => r"'\t'".to_owned(),
        c if c.is_control() && (c as u32) < 0x80 => format!("'\\x{:02x}'", c as u32),
        c if c.is_control() => format!("'\\u{:04x}'", c as u32),
        c => format!("'{c}'"),
    }
}

fn code_point(c: char) -> String {
    let name = format!("U+{:04X}", c as u32);
    if c.is_control() { name } else { format!("{name} '{c}'") }
}

/// Reads up to the quote that closes; the opening one has been read.
pub(super) fn scan_quoted(lexer: &mut Lexer<'_>, quote: char) -> Result<Kind, String> {
    loop {
        match lexer.advance() {
            None | Some('\n') => return Err("unterminated quoted string".to_owned()),
            Some('\u{fffd}') => return Err("invalid UTF-8 rune".to_owned()),
            Some('\\') => scan_escape(lexer, quote)?,
            Some(c) if c == quote => return Ok(Kind::Text),
            Some(_) => {}
        }
    }
}

pub(super) fn scan_raw(lexer: &mut Lexer<'_>) -> Result<Kind, String> {
    loop {
        match lexer.advance() {
            None => return Err("unterminated raw string".to_owned()),
            Some('\u{fffd}') => return Err("invalid UTF-8 rune".to_owned()),
            Some('`') => return Ok(Kind::Text),
            Some(_) => {}
        }
    }
}

fn scan_escape(lexer: &mut Lexer<'_>, quote: char) -> Result<(), String> {
    let unterminated = || "escape sequence not terminated".to_owned();
    let first = lexer.advance().ok_or_else(unterminated)?;
    let (digits, base, greatest) = match first {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
        c if c == quote => return Ok(()),
        '0'..='7' => (3, 8, 255),
        'x' => (2, 16, 255),
        'u' => (4, 16, char::MAX as u32),
        'U' => (8, 16, char::MAX as u32),
        c => return Err(format!("unknown escape sequence {}", code_point(c))),
    };
    let mut value = if base == 8 { first.to_digit(8).unwrap_or(0) } else { 0 };
    for _ in usize::from(base == 8)..digits {
        let c = lexer.advance().ok_or_else(unterminated)?;
        let digit = c.to_digit(base).ok_or_else(|| format!("illegal character {} in escape sequence", code_point(c)))?;
        value = value.wrapping_mul(base).wrapping_add(digit);
    }
    if value > greatest || (0xd800..0xe000).contains(&value) {
        return Err("escape sequence is an invalid Unicode code point".to_owned());
    }
    Ok(())
}

/// Returns what a quoted text says; bytes that `\x` and octal escapes leave without being UTF-8 become U+FFFD.
///
/// Shape: a token of kind `Text`, whose escapes have been checked.
pub fn unquote(token: &str) -> String {
    String::from_utf8(unquote_bytes(token)).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Returns the bytes that a quoted text says, which need not be UTF-8.
///
/// Shape: a token of kind `Text`, whose escapes have been checked.
pub fn unquote_bytes(token: &str) -> Vec<u8> {
    let inner = &token[1..token.len() - 1];
    if token.starts_with('`') || !inner.contains('\\') {
        return inner.as_bytes().to_vec();
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let first = chars.next().unwrap_or('\\');
        let mut digits = |count: usize, base: u32, from: u32| {
            (0..count).fold(from, |value, _| value * base + chars.next().and_then(|c| c.to_digit(base)).unwrap_or(0))
        };
        match first {
            'a' => out.push(0x07),
            'b' => out.push(0x08),
            'f' => out.push(0x0c),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(0x0b),
            'x' => out.push(digits(2, 16, 0) as u8),
            '0'..='7' => out.push(digits(2, 8, first.to_digit(8).unwrap_or(0)) as u8),
            'u' | 'U' => {
                let value = digits(if first == 'u' { 4 } else { 8 }, 16, 0);
                let c = char::from_u32(value).unwrap_or('\u{fffd}');
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

/// Returns bytes in double quotes; those that are not UTF-8 are written as `\xc5`.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let valid = quote(chunk.valid());
        out.push_str(&valid[1..valid.len() - 1]);
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}
