//! What a target serves, read into samples: Prometheus text 0.0.4 and 1.0.0, OpenMetrics 1.0, and Protocol Buffers (`protobuf`).
//!
//! A text is accepted or refused exactly as Prometheus 3 does. Plain lines, which are nearly all, are read by `plain`; whatever that
//! leaves alone goes through `lexer` and `grammar`, which know every corner and word the errors.

mod grammar;
mod lexer;
pub mod number;
mod plain;
pub mod protobuf;
mod series;

use std::fmt;

use crate::time::Timestamp;

use grammar::Fault;
use lexer::{Lexer, State};

pub use series::{BadSeries, Label, decode_series, unescape};

/// The formats of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4, or 1.0.0 with UTF-8 names.
    Text,
    OpenMetrics,
}

/// What kind of metric a `# TYPE` line declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricType {
    #[default]
    Unknown,
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
}

impl MetricType {
    /// Returns the word that Prometheus' API and OpenMetrics use.
    pub fn name(self) -> &'static str {
        match self {
            MetricType::Unknown => "unknown",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
        }
    }

    fn parse(word: &[u8], format: Format) -> Option<MetricType> {
        Some(match (word, format) {
            (b"counter", _) => MetricType::Counter,
            (b"gauge", _) => MetricType::Gauge,
            (b"histogram", _) => MetricType::Histogram,
            (b"summary", _) => MetricType::Summary,
            (b"untyped", Format::Text) | (b"unknown", Format::OpenMetrics) => MetricType::Unknown,
            (b"gaugehistogram", Format::OpenMetrics) => MetricType::GaugeHistogram,
            (b"info", Format::OpenMetrics) => MetricType::Info,
            (b"stateset", Format::OpenMetrics) => MetricType::StateSet,
            _ => return None,
        })
    }
}

/// One line that says something. Texts are raw: `unescape` and `decode_series` read them.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    Sample(Line<'a>),
    Help { metric: &'a [u8], text: &'a [u8] },
    Type { metric: &'a [u8], kind: MetricType },
    Unit { metric: &'a [u8], unit: &'a [u8] },
    Comment(&'a [u8]),
}

/// A line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    /// Name and labels as they are written; equal bytes mean the same series.
    pub series: &'a [u8],
    pub value: f64,
    /// The value's own time, where the target gives one.
    pub at: Option<Timestamp>,
    pub exemplar: Option<Exemplar<'a>>,
}

/// An example of what a value counts, such as a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// The labels as they are written, with their braces; `decode_series` reads them.
    pub labels: &'a [u8],
    pub value: f64,
    pub at: Option<Timestamp>,
}

/// Why a body is refused, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// Byte of the line, counted from 1.
    pub column: usize,
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

/// Reads a body entry by entry; ends at the body's end or behind the first error.
pub struct Parser<'a> {
    lexer: Lexer<'a>,
    format: Format,
    /// The body as a whole is valid UTF-8, so its parts need no look.
    is_utf8: bool,
    kind: MetricType,
    done: bool,
}

impl<'a> Parser<'a> {
    pub fn new(body: &'a [u8], format: Format) -> Parser<'a> {
        Parser {
            lexer: Lexer::new(body, format),
            format,
            is_utf8: std::str::from_utf8(body).is_ok(),
            kind: MetricType::Unknown,
            done: false,
        }
    }

    /// Returns the type that the last `# TYPE` line declared; `decode_series` asks for it.
    pub fn kind(&self) -> MetricType {
        self.kind
    }

    /// Takes the next line if it is a plain sample of a series that the caller expects, without reading its labels.
    ///
    /// `expect` gets the text from the line's start to the body's end and returns the length of the series text that it knows there;
    /// that text must come from a line that this parser accepted. The answer is that text, the value and its time.
    /// Returns `None`, with nothing taken, when the line is anything else.
    #[inline]
    pub fn next_expected(
        &mut self,
        expect: impl FnOnce(&'a [u8]) -> Option<usize>,
    ) -> Option<(&'a [u8], f64, Option<Timestamp>)> {
        if self.lexer.state != State::Init || self.done {
            return None;
        }
        let rest = self.lexer.rest();
        let len = expect(rest)?;
        if rest.get(len) != Some(&b' ') {
            return None;
        }
        let (value, at, used) = plain::value_and_time(&rest[len + 1..], self.format)?;
        self.lexer.at += len + 1 + used;
        Some((&rest[..len], value, at))
    }

    fn error(&self, fault: Fault) -> ParseError {
        let before = &self.lexer.body[..fault.at.min(self.lexer.body.len())];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        ParseError {
            line: memchr::memchr_iter(b'\n', before).count() + 1,
            column: before.len() - line_start + 1,
            message: fault.message,
        }
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if self.lexer.state == State::Init
            && self.is_utf8
            && let Some((entry, used)) = plain::entry(self.lexer.rest(), self.format)
        {
            self.lexer.at += used;
            if let Entry::Type { kind, .. } = entry {
                self.kind = kind;
            }
            return Some(Ok(entry));
        }
        let entry = match self.format {
            Format::Text => grammar::text(&mut self.lexer, &mut self.kind),
            Format::OpenMetrics => grammar::openmetrics(&mut self.lexer, &mut self.kind),
        };
        match entry {
            Ok(Some(entry)) => Some(Ok(entry)),
            Ok(None) => {
                self.done = true;
                None
            }
            Err(fault) => {
                self.done = true;
                Some(Err(self.error(fault)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
