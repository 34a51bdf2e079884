//! The values of numbers and durations.

use super::{Outcome, Parser};
use crate::model::labels::quote;
use crate::promql::ast::Place;
use crate::promql::lex::Kind;
use crate::time::{BadSpan, Span};

/// A number, or a length of time written with units.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Literal {
    Number(f64),
    Duration(Span),
}

impl Literal {
    /// Returns the value as a number; a length of time counts in seconds.
    pub(super) fn value(self) -> f64 {
        match self {
            Literal::Number(value) => value,
            Literal::Duration(span) => span.seconds(),
        }
    }
}

impl Parser<'_> {
    /// Reads a number or a duration.
    pub(super) fn literal(&mut self) -> Outcome<(Literal, Place)> {
        let token = self.token();
        let literal = match token.kind {
            Kind::Number => match number(self.slice(token)) {
                Ok(value) => Literal::Number(value),
                Err(fault) => {
                    self.fault(token.place, fault);
                    Literal::Number(0.0)
                }
            },
            Kind::Duration => match Span::parse(self.slice(token)) {
                Ok(span) => Literal::Duration(span),
                Err(fault) => {
                    self.fault(token.place, duration_fault(self.slice(token), &fault));
                    Literal::Duration(Span::ZERO)
                }
            },
            _ => return Err(self.unexpected()),
        };
        self.advance();
        Ok((literal, token.place))
    }
}

fn duration_fault(text: &str, fault: &BadSpan) -> String {
    if matches!(fault, BadSpan::TooLong(_)) {
        return "duration out of range".to_owned();
    }
    let units = text.split(|c: char| c.is_ascii_digit()).filter(|unit| !unit.is_empty());
    match units.into_iter().find(|unit| !matches!(*unit, "y" | "w" | "d" | "h" | "m" | "s" | "ms")) {
        Some(unit) => format!("unknown unit {} in duration {}", quote(unit), quote(text)),
        None => format!("not a valid duration string: {}", quote(text)),
    }
}

/// Returns the value of a number: decimal, hexadecimal (`0x1f`), octal (`017`), `Inf` or `NaN`, with `_` between digits.
///
/// Source: Go's `strconv.ParseInt` with base 0, and `strconv.ParseFloat` where that fails.
pub(in crate::promql) fn number(text: &str) -> Result<f64, String> {
    let fail = |reason: &str| Err(format!("error parsing number: strconv.ParseFloat: parsing {}: {reason}", quote(text)));
    match text.to_ascii_lowercase().as_str() {
        "inf" => return Ok(f64::INFINITY),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    if text.ends_with('_') || text.contains("_.") || text.contains("._") {
        return fail("invalid syntax");
    }
    let plain: String = text.chars().filter(|&c| c != '_').collect();
    let integer = match plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        Some(digits) => match i64::from_str_radix(digits, 16) {
            Ok(value) => Ok(value),
            Err(_) => return fail("invalid syntax"),
        },
        None if plain.len() > 1 && plain.starts_with('0') => i64::from_str_radix(&plain, 8),
        None => plain.parse(),
    };
    if let Ok(value) = integer {
        return Ok(value as f64);
    }
    match plain.parse::<f64>() {
        Ok(value) if value.is_infinite() => fail("value out of range"),
        Ok(value) => Ok(value),
        Err(_) => fail("invalid syntax"),
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_many_forms() {
        for (text, value) in [
            ("0x1F", 31.0),
            ("0X_ff", 255.0),
            ("0755", 493.0),
            ("089", 89.0),
            ("1_000", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("9223372036854775808", 9.223_372_036_854_776e18),
            ("iNf", f64::INFINITY),
        ] {
            assert_eq!(number(text), Ok(value), "{text}");
        }
        for bad in ["0x", "1e", "1_", "1e400"] {
            assert!(number(bad).is_err(), "{bad}");
        }
        assert!(number("nan").is_ok_and(f64::is_nan));
    }
}
