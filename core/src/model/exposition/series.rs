//! Series text into labels. It is written out once for every new series, so it may take its time.

use std::borrow::Cow;

use crate::model::labels::METRIC_NAME;

use super::MetricType;
use super::number::{format_openmetrics, parse_float};

/// A label's name and value, in the order of the text; names may repeat and values may be empty.
pub type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// A series text whose names are not UTF-8, or that no parser has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid metric name or label names")]
pub struct BadSeries;

/// Returns text with the escapes `\\`, `\n` and `\"` resolved; another backslash stands for itself.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, behind)) = rest.split_once('\\') {
        out.push_str(before);
        let resolved = match behind.as_bytes().first() {
            Some(b'n') => '\n',
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            _ => {
                out.push('\\');
                rest = behind;
                continue;
            }
        };
        out.push(resolved);
        rest = &behind[1..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Appends the labels of a series text to `out`, the metric's name first.
///
/// `kind` is the type in force where the text stood: bounds of histograms and quantiles of summaries take their canonical form.
/// Errors: `BadSeries`; `out` then holds the labels before the fault.
pub fn decode_series<'a>(series: &'a [u8], kind: MetricType, out: &mut Vec<Label<'a>>) -> Result<(), BadSeries> {
    let mut scan = Scan { text: series, at: 0 };
    scan.blanks();
    if scan.peek() != Some(b'{') {
        let name = scan.run(|byte| !matches!(byte, b'{' | b' ' | b'\t'));
        out.push((Cow::Borrowed(METRIC_NAME), Cow::Borrowed(to_str(name)?)));
        scan.blanks();
        if scan.peek().is_none() {
            return Ok(());
        }
    }
    if scan.next() != Some(b'{') {
        return Err(BadSeries);
    }
    loop {
        scan.run(|byte| matches!(byte, b' ' | b'\t' | b',' | 0));
        let name = match scan.peek() {
            Some(b'}') => return Ok(()),
            Some(b'"') => unescape(to_str(scan.quoted()?)?),
            Some(_) => Cow::Borrowed(to_str(scan.run(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))?),
            None => return Err(BadSeries),
        };
        scan.blanks();
        if scan.peek() != Some(b'=') {
            // A string that stands alone is the metric's name.
            out.push((Cow::Borrowed(METRIC_NAME), name));
            if !matches!(scan.peek(), Some(b',' | b'}')) {
                return Err(BadSeries);
            }
            continue;
        }
        scan.next();
        // The lexer steps over NUL bytes behind a blank here, and behind a value.
        scan.run(|byte| matches!(byte, b' ' | b'\t' | 0));
        let value = unescape(to_str(scan.quoted()?)?);
        let value = canonical(kind, &name, value);
        out.push((name, value));
    }
}

/// Returns the value that a label gets: floats that identify a series must not differ by how they are written.
///
/// Source: Prometheus `textparse.normalizeFloatsInLabelValues`.
fn canonical<'a>(kind: MetricType, name: &str, value: Cow<'a, str>) -> Cow<'a, str> {
    let is_float = matches!((kind, name), (MetricType::Histogram, "le") | (MetricType::Summary, "quantile"));
    match parse_float(value.as_bytes()) {
        Ok(float) if is_float => Cow::Owned(format_openmetrics(float)),
        _ => value,
    }
}

fn to_str(bytes: &[u8]) -> Result<&str, BadSeries> {
    std::str::from_utf8(bytes).map_err(|_| BadSeries)
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek();
        self.at += 1;
        byte
    }

    fn run(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.text[self.at.min(self.text.len())..];
        let len = rest.iter().take_while(|byte| accept(**byte)).count();
        self.at += len;
        &rest[..len]
    }

    fn blanks(&mut self) {
        self.run(|byte| matches!(byte, b' ' | b'\t'));
    }

    /// Takes a string in double quotes and returns what stands between them.
    fn quoted(&mut self) -> Result<&'a [u8], BadSeries> {
        if self.next() != Some(b'"') {
            return Err(BadSeries);
        }
        let start = self.at;
        loop {
            match self.next() {
                Some(b'"') => return Ok(&self.text[start..self.at - 1]),
                Some(b'\\') => {
                    // So it does within a value, where they part no escape.
                    self.run(|byte| byte == 0);
                    self.next();
                }
                Some(_) => {}
                None => return Err(BadSeries),
            }
        }
    }
}
