//! Entries out of tokens.
//!
//! Source: Prometheus `textparse.PromParser` and `textparse.OpenMetricsParser`; the wording of errors follows theirs.

use crate::model::labels::quote;
use crate::time::Timestamp;

use super::lexer::{Lexer, Token};
use super::number::{BadNumber, parse_float};
use super::{Entry, Exemplar, Format, Line, MetricType};

/// A message and the place in the body that it speaks of.
pub struct Fault {
    pub at: usize,
    pub message: String,
}

/// The text of a message cites at most this much of a body.
const CITED_BYTES_MAX: usize = 400;

/// Returns bytes in quotes for a message, as Go's `%q` writes them.
fn cite(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(CITED_BYTES_MAX)];
    let mut out = String::from("\"");
    for chunk in shown.utf8_chunks() {
        let quoted = quote(chunk.valid());
        out.push_str(&quoted[1..quoted.len() - 1]);
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if shown.len() < bytes.len() {
        out.push('…');
    }
    out.push('"');
    out
}

/// Returns the input between two places for a message, with the line break that the text format imagines at its end.
fn cite_input(lexer: &Lexer<'_>, from: usize, to: usize) -> String {
    let bytes = lexer.slice(from, to);
    if to > lexer.body.len() && from <= lexer.body.len() && bytes.len() < CITED_BYTES_MAX {
        let mut with_end = bytes.to_vec();
        with_end.push(b'\n');
        return cite(&with_end);
    }
    cite(bytes)
}

fn unexpected(lexer: &Lexer<'_>, line_start: usize, expected: &str, got: Token) -> Fault {
    let end = (lexer.at + 1).min(lexer.len());
    let message = format!(
        "{expected}, got {} ({:?}) while parsing: {}",
        cite_input(lexer, lexer.start, end),
        got.name(),
        cite_input(lexer, line_start, end)
    );
    Fault { at: lexer.start, message }
}

fn while_parsing(lexer: &Lexer<'_>, line_start: usize, what: &str) -> Fault {
    Fault { at: lexer.start, message: format!("{what} while parsing: {}", cite_input(lexer, line_start, lexer.at)) }
}

fn bad_number(reason: BadNumber, function: &str, text: &[u8]) -> String {
    match reason {
        BadNumber::Unsupported => "unsupported character in float".to_owned(),
        BadNumber::Syntax => format!("strconv.{function}: parsing {}: invalid syntax", cite(text)),
        BadNumber::Range => format!("strconv.{function}: parsing {}: value out of range", cite(text)),
    }
}

/// Where a series stands in the body, and whether its name was found.
struct Name {
    start: usize,
    found: bool,
}

fn text_token(lexer: &mut Lexer<'_>) -> Token {
    loop {
        match lexer.token() {
            Token::Whitespace => {}
            token => return token,
        }
    }
}

fn any_token(lexer: &mut Lexer<'_>) -> Token {
    match lexer.format {
        Format::Text => text_token(lexer),
        Format::OpenMetrics => lexer.token(),
    }
}

/// Reads the next entry of the text format; `None` at the end.
pub fn text<'a>(lexer: &mut Lexer<'a>, kind: &mut MetricType) -> Result<Option<Entry<'a>>, Fault> {
    loop {
        let line_start = lexer.at;
        let token = text_token(lexer);
        match token {
            Token::Eof => return Ok(None),
            Token::Linebreak => {}
            Token::Help | Token::Type => {
                let entry = meta(lexer, line_start, token, kind)?;
                match text_token(lexer) {
                    Token::Linebreak => return Ok(Some(entry)),
                    other => return Err(unexpected(lexer, line_start, "linebreak expected after metadata", other)),
                }
            }
            Token::Comment => {
                let text = lexer.token_text();
                match text_token(lexer) {
                    Token::Linebreak => return Ok(Some(Entry::Comment(text))),
                    other => return Err(unexpected(lexer, line_start, "linebreak expected after comment", other)),
                }
            }
            Token::BraceOpen | Token::MetricName => {
                let (series, next) = series(lexer, line_start, token)?;
                let value = value(lexer, line_start, next, "metric")?;
                let at = match text_token(lexer) {
                    Token::Linebreak => None,
                    Token::Timestamp => {
                        let at = text_timestamp(lexer, line_start)?;
                        match text_token(lexer) {
                            Token::Linebreak => Some(at),
                            other => return Err(unexpected(lexer, line_start, "expected next entry after timestamp", other)),
                        }
                    }
                    other => return Err(unexpected(lexer, line_start, "expected timestamp or new record", other)),
                };
                return Ok(Some(Entry::Sample(Line { series, value, at, exemplar: None })));
            }
            other => return Err(unexpected(lexer, line_start, "expected a valid start token", other)),
        }
    }
}

fn text_timestamp(lexer: &Lexer<'_>, line_start: usize) -> Result<Timestamp, Fault> {
    let digits = lexer.token_text();
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .map(Timestamp)
        .ok_or_else(|| while_parsing(lexer, line_start, &bad_number(BadNumber::Range, "ParseInt", digits)))
}

/// Reads the next entry of OpenMetrics; `None` at `# EOF`.
pub fn openmetrics<'a>(lexer: &mut Lexer<'a>, kind: &mut MetricType) -> Result<Option<Entry<'a>>, Fault> {
    let line_start = lexer.at;
    let token = lexer.token();
    match token {
        Token::EofWord => match lexer.token() {
            Token::Eof => Ok(None),
            _ => Err(Fault { at: lexer.start, message: "unexpected data after # EOF".to_owned() }),
        },
        Token::Eof => Err(missing_end(lexer)),
        Token::Help | Token::Type | Token::Unit => meta(lexer, line_start, token, kind).map(Some),
        Token::BraceOpen | Token::MetricName => {
            let (series, next) = series(lexer, line_start, token)?;
            let value = value(lexer, line_start, next, "metric")?;
            let mut line = Line { series, value, at: None, exemplar: None };
            match lexer.token() {
                Token::Eof => return Err(missing_end(lexer)),
                Token::Comment => line.exemplar = Some(exemplar(lexer, line_start)?),
                Token::Timestamp => {
                    line.at = Some(openmetrics_timestamp(lexer, line_start, "timestamp")?);
                    match lexer.token() {
                        Token::Linebreak => {}
                        Token::Comment => line.exemplar = Some(exemplar(lexer, line_start)?),
                        other => return Err(unexpected(lexer, line_start, "expected next entry after timestamp", other)),
                    }
                }
                // Whatever else follows is found to be no start of a line by the next call.
                _ => {}
            }
            Ok(Some(Entry::Sample(line)))
        }
        other => Err(unexpected(lexer, line_start, "expected a valid start token", other)),
    }
}

fn missing_end(lexer: &Lexer<'_>) -> Fault {
    Fault { at: lexer.at, message: "data does not end with # EOF".to_owned() }
}

/// Reads seconds, which may have a fraction; what is finer than a millisecond is cut off.
fn openmetrics_timestamp(lexer: &Lexer<'_>, line_start: usize, what: &str) -> Result<Timestamp, Fault> {
    let text = &lexer.token_text()[1..];
    let seconds =
        parse_float(text).map_err(|reason| while_parsing(lexer, line_start, &bad_number(reason, "ParseFloat", text)))?;
    if !seconds.is_finite() {
        let shown = if seconds.is_nan() {
            "NaN"
        } else if seconds > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return Err(Fault { at: lexer.start, message: format!("invalid {what} {shown}") });
    }
    Ok(Timestamp((seconds * 1000.0) as i64))
}

/// Reads an exemplar, the cursor behind its opening brace.
fn exemplar<'a>(lexer: &mut Lexer<'a>, line_start: usize) -> Result<Exemplar<'a>, Fault> {
    let labels_start = lexer.at - 1;
    let first = lexer.token();
    labels(lexer, line_start, first, None)?;
    let labels = lexer.slice(labels_start, lexer.at);
    let next = lexer.token();
    let value = value(lexer, line_start, next, "exemplar labels")?;
    let at = match lexer.token() {
        Token::Eof => return Err(missing_end(lexer)),
        Token::Linebreak => None,
        Token::Timestamp => {
            let at = openmetrics_timestamp(lexer, line_start, "exemplar timestamp")?;
            match lexer.token() {
                Token::Linebreak => Some(at),
                other => return Err(unexpected(lexer, line_start, "expected next entry after exemplar timestamp", other)),
            }
        }
        other => return Err(unexpected(lexer, line_start, "expected timestamp or comment", other)),
    };
    Ok(Exemplar { labels, value, at })
}

/// Reads a metadata line up to its text, the cursor behind its keyword.
fn meta<'a>(lexer: &mut Lexer<'a>, line_start: usize, keyword: Token, kind: &mut MetricType) -> Result<Entry<'a>, Fault> {
    let metric = match any_token(lexer) {
        Token::MetricName => match lexer.token_text() {
            [b'"', name @ .., b'"'] => name,
            name => name,
        },
        other => return Err(unexpected(lexer, line_start, &format!("expected metric name after {}", keyword.name()), other)),
    };
    let text = match any_token(lexer) {
        Token::Text => match (lexer.token_text(), lexer.format) {
            ([] | [_], _) => &[][..],
            ([_, text @ ..], Format::Text) | ([_, text @ .., _], Format::OpenMetrics) => text,
        },
        _ => return Err(Fault { at: lexer.start, message: format!("expected text in {}", keyword.name()) }),
    };
    let start = lexer.start;
    match keyword {
        Token::Type => {
            *kind = MetricType::parse(text, lexer.format)
                .ok_or_else(|| Fault { at: start, message: format!("invalid metric type {}", cite(text)) })?;
            Ok(Entry::Type { metric, kind: *kind })
        }
        Token::Unit => {
            let is_suffix = metric.strip_suffix(text).is_some_and(|before| before.ends_with(b"_"));
            if !text.is_empty() && !is_suffix {
                let message = format!("unit {} not a suffix of metric {}", cite(text), cite(metric));
                return Err(Fault { at: start, message });
            }
            Ok(Entry::Unit { metric, unit: text })
        }
        _ => {
            if std::str::from_utf8(text).is_err() {
                return Err(Fault { at: start, message: format!("help text {} is not a valid utf8 string", cite(text)) });
            }
            Ok(Entry::Help { metric, text })
        }
    }
}

/// Reads a name and its labels, `first` being the token under the cursor. Returns their text and the token behind them.
fn series<'a>(lexer: &mut Lexer<'a>, line_start: usize, first: Token) -> Result<(&'a [u8], Token), Fault> {
    // Blanks before the name are no part of it.
    let mut name = Name { start: lexer.start, found: first == Token::MetricName };
    let mut end = lexer.at;
    let mut next = Token::BraceOpen;
    if name.found {
        next = any_token(lexer);
    }
    if next == Token::BraceOpen {
        let token = any_token(lexer);
        labels(lexer, line_start, token, Some(&mut name))?;
        end = lexer.at;
        next = any_token(lexer);
    }
    if !name.found {
        let what = format!("metric name not set while parsing: {}", cite_input(lexer, line_start, lexer.at));
        return Err(Fault { at: name.start, message: what });
    }
    Ok((lexer.slice(name.start, end), next))
}

/// Reads labels up to and with the closing brace, `token` being the first behind the opening one. An exemplar has no `name`.
fn labels(lexer: &mut Lexer<'_>, line_start: usize, token: Token, mut name: Option<&mut Name>) -> Result<(), Fault> {
    let mut token = token;
    loop {
        let quoted = match token {
            Token::BraceClose => return Ok(()),
            Token::LabelName => false,
            Token::QuotedString => true,
            other => return Err(unexpected(lexer, line_start, "expected label name", other)),
        };
        token = any_token(lexer);
        // A string in quotes that stands alone is the metric's name.
        if quoted && matches!(token, Token::Comma | Token::BraceClose) {
            match &mut name {
                None => return Err(unexpected(lexer, line_start, "expected label name", token)),
                Some(name) if name.found => return Err(while_parsing(lexer, line_start, "metric name already set")),
                Some(name) => name.found = true,
            }
            if token == Token::Comma {
                token = any_token(lexer);
                continue;
            }
            return Ok(());
        }
        if token != Token::Equal {
            return Err(unexpected(lexer, line_start, "expected equal", token));
        }
        match any_token(lexer) {
            Token::LabelValue => {}
            other => return Err(unexpected(lexer, line_start, "expected label value", other)),
        }
        let value = lexer.token_text();
        if std::str::from_utf8(value).is_err() {
            return Err(Fault { at: lexer.start, message: format!("invalid UTF-8 label value: {}", cite(value)) });
        }
        token = any_token(lexer);
        if token == Token::Comma {
            token = any_token(lexer);
        } else if token != Token::BraceClose && lexer.format == Format::OpenMetrics {
            return Err(unexpected(lexer, line_start, "expected comma or brace close", token));
        }
    }
}

fn value(lexer: &Lexer<'_>, line_start: usize, token: Token, after: &str) -> Result<f64, Fault> {
    if token != Token::Value {
        return Err(unexpected(lexer, line_start, &format!("expected value after {after}"), token));
    }
    let text = match lexer.format {
        Format::Text => lexer.token_text(),
        Format::OpenMetrics => &lexer.token_text()[1..],
    };
    parse_float(text).map_err(|reason| while_parsing(lexer, line_start, &bad_number(reason, "ParseFloat", text)))
}
