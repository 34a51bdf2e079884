//! The grammar before 0.27.

use crate::model::labels::is_classic_metric_name;
use crate::model::{MatchOp, Matcher};

use super::BadMatchers;

/// What Go's regular expressions call white space.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}

/// Source: Alertmanager `pkg/labels.ParseMatchers`.
pub(super) fn parse(text: &str) -> Result<Vec<Matcher>, BadMatchers> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            ',' if !quoted => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            '"' if escaped => escaped = false,
            '"' => quoted = !quoted,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
        part.push(c);
    }
    if !part.trim().is_empty() {
        parts.push(part.trim().to_owned());
    }
    parts.iter().map(|part| parse_one(part)).collect()
}

/// Source: Alertmanager `pkg/labels.ParseMatcher`.
pub(super) fn parse_one(text: &str) -> Result<Matcher, BadMatchers> {
    let bad_format = || BadMatchers(format!("bad matcher format: {text}"));
    let rest = text.trim_start_matches(is_space);
    let name_end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(name_end);
    let rest = rest.trim_start_matches(is_space);
    // `=~` stands before `=`, which would leave the tilde to the value.
    let (op, raw) = [("=~", MatchOp::Regex), ("=", MatchOp::Equal), ("!=", MatchOp::NotEqual), ("!~", MatchOp::NotRegex)]
        .into_iter()
        .find_map(|(symbol, op)| rest.strip_prefix(symbol).map(|raw| (op, raw)))
        .ok_or_else(bad_format)?;
    if !is_classic_metric_name(name) {
        return Err(bad_format());
    }
    let raw = raw.trim_matches(is_space);
    let value = unescape(raw).ok_or_else(|| BadMatchers(format!("matcher value contains unescaped double quote: {raw}")))?;
    Matcher::new(name, op, value).map_err(|bad| BadMatchers(bad.to_string()))
}

/// Resolves escapes; a backslash before another character stands for itself. `None` for a quote out of place.
fn unescape(raw: &str) -> Option<String> {
    let (body, mut expects_quote) = match raw.strip_prefix('"') {
        Some(body) => (body, true),
        None => (raw, false),
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (index, c) in body.char_indices() {
        let last = index + 1 >= body.len();
        if escaped {
            escaped = false;
            match c {
                'n' => value.push('\n'),
                '"' | '\\' => value.push(c),
                _ => value.extend(['\\', c]),
            }
            continue;
        }
        match c {
            '\\' if !last => escaped = true,
            '"' if !expects_quote || !last => return None,
            '"' => expects_quote = false,
            _ => value.push(c),
        }
    }
    (!expects_quote).then_some(value)
}
