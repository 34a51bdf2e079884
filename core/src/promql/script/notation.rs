//! The notation of series in test scripts and rule tests: `up{job="a"} 1 2+1x3 _ stale {{count:2 sum:3}}`.

use std::fmt;

use crate::model::histogram::{BucketSpan, Histogram, ResetHint};
use crate::model::{LabelSet, STALE};
use crate::promql::ast::Place;
use crate::promql::parse::parse_metric;

/// One value of a series; the n-th stands n intervals after the start.
#[derive(Clone, Debug, PartialEq)]
pub enum Notated {
    /// `_`: no sample.
    Omitted,
    Float(f64),
    /// `hint_given`: a `counter_reset_hint` was written.
    Histogram {
        histogram: Histogram,
        hint_given: bool,
    },
}

/// Why a text is not a series, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNotation {
    pub message: String,
    pub place: Place,
}

impl fmt::Display for BadNotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadNotation {}

/// The most values that one series may have.
pub const VALUES_MAX: usize = 1_000_000;

/// Returns where the name and labels at the start of a line end.
fn head_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = bytes.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'{')).unwrap_or(bytes.len());
    let brace = at + text[at..].len() - text[at..].trim_start().len();
    if !text[brace..].starts_with('{') || text[brace..].starts_with("{{") {
        return at;
    }
    at = brace;
    let (mut quote, mut escaped) = (None, false);
    for (offset, byte) in bytes[at..].iter().copied().enumerate() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(b'"' | b'\'') if byte == b'\\' => escaped = true,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if matches!(byte, b'"' | b'\'' | b'`') => quote = Some(byte),
            None if byte == b'}' => return at + offset + 1,
            None => {}
        }
    }
    bytes.len()
}

/// Returns labels and values of a series.
///
/// Errors: the first fault; values beyond `VALUES_MAX` are one.
/// Source: Prometheus, "Unit Testing for Rules", series.
pub fn parse_series(text: &str) -> Result<(LabelSet, Vec<Notated>), BadNotation> {
    let end = head_end(text);
    let labels = parse_metric(text[..end].trim()).map_err(|faults| {
        let fault = faults.into_iter().next();
        fault.map_or_else(|| bad("no series", 0, end), |fault| BadNotation { message: fault.message, place: fault.place })
    })?;
    let mut reader = Reader { text, at: end };
    Ok((labels, reader.values()?))
}

/// Returns the values of a series without its labels.
pub fn parse_values(text: &str) -> Result<Vec<Notated>, BadNotation> {
    Reader { text, at: 0 }.values()
}

fn bad(message: impl Into<String>, start: usize, end: usize) -> BadNotation {
    BadNotation { message: message.into(), place: Place { start: start as u32, end: end as u32 } }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// A number or histogram as written.
enum Atom {
    Float(f64),
    Histogram { histogram: Histogram, hint_given: bool },
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn fault(&self, message: impl Into<String>) -> BadNotation {
        bad(message, self.at, self.text.len())
    }

    fn values(&mut self) -> Result<Vec<Notated>, BadNotation> {
        let mut values = Vec::new();
        loop {
            self.skip_space();
            if self.rest().is_empty() {
                return Ok(values);
            }
            self.item(&mut values)?;
            if values.len() > VALUES_MAX {
                return Err(self.fault(format!("a series has more than {VALUES_MAX} values")));
            }
            if !self.rest().is_empty() && !self.rest().starts_with(char::is_whitespace) {
                let next = self.rest().chars().next().unwrap_or(' ');
                return Err(self.fault(format!("unexpected {next:?} behind a value of a series")));
            }
        }
    }

    /// Reads `x` and a count; `None` when there is none.
    fn times(&mut self) -> Result<Option<usize>, BadNotation> {
        if !self.eat("x") {
            return Ok(None);
        }
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let count = self.rest()[..digits].parse::<usize>().ok().filter(|count| *count <= VALUES_MAX);
        let count = count.ok_or_else(|| self.fault(format!("expected a count of at most {VALUES_MAX} behind x")))?;
        self.at += digits;
        Ok(Some(count))
    }

    fn item(&mut self, values: &mut Vec<Notated>) -> Result<(), BadNotation> {
        if self.eat("_") {
            let count = self.times()?.unwrap_or(1);
            values.extend(std::iter::repeat_n(Notated::Omitted, count));
            return Ok(());
        }
        if self.eat("stale") {
            let count = self.times()?.map_or(1, |times| times + 1);
            values.extend(std::iter::repeat_n(Notated::Float(STALE), count));
            return Ok(());
        }
        let first = self.atom()?;
        let negative = match self.rest().as_bytes().first() {
            Some(b'+') => false,
            Some(b'-') => true,
            _ => {
                let times = self.times()?.unwrap_or(0);
                let value = match first {
                    Atom::Float(value) => Notated::Float(value),
                    Atom::Histogram { histogram, hint_given } => Notated::Histogram { histogram, hint_given },
                };
                values.extend(std::iter::repeat_n(value, times + 1));
                return Ok(());
            }
        };
        self.at += 1;
        let step = self.atom()?;
        let times = self.times()?.ok_or_else(|| self.fault("expected x and a count behind an increment"))?;
        match (first, step) {
            (Atom::Float(mut value), Atom::Float(step)) => {
                for _ in 0..=times {
                    values.push(Notated::Float(value));
                    value = if negative { value - step } else { value + step };
                }
                Ok(())
            }
            (Atom::Histogram { histogram, hint_given }, Atom::Histogram { histogram: step, .. }) => {
                let mut histogram = histogram;
                for time in 0..=times {
                    if time > 0 {
                        let outcome = if negative { histogram.subtract(&step) } else { histogram.add(&step) };
                        outcome.map_err(|incompatible| self.fault(incompatible.to_string()))?;
                    }
                    values.push(Notated::Histogram { histogram: histogram.clone(), hint_given });
                }
                Ok(())
            }
            _ => Err(self.fault("a float and a histogram cannot be combined")),
        }
    }

    fn atom(&mut self) -> Result<Atom, BadNotation> {
        if self.eat("{{") {
            return self.histogram();
        }
        self.number().map(Atom::Float)
    }

    fn number(&mut self) -> Result<f64, BadNotation> {
        let rest = self.rest();
        let sign = usize::from(rest.starts_with(['+', '-']));
        for word in ["inf", "nan"] {
            if rest.get(sign..sign + 3).is_some_and(|found| found.eq_ignore_ascii_case(word)) {
                self.at += sign + 3;
                let value = if word == "nan" { f64::NAN } else { f64::INFINITY };
                return Ok(if rest.starts_with('-') { -value } else { value });
            }
        }
        let bytes = rest.as_bytes();
        if rest[sign..].starts_with("0x") {
            let digits = rest[sign + 2..].bytes().take_while(u8::is_ascii_hexdigit).count();
            // `0x3` is a zero four times; only a longer number is taken as hexadecimal, as nobody writes it otherwise.
            let is_count = rest[sign + 2..sign + 2 + digits].bytes().all(|byte| byte.is_ascii_digit());
            if !is_count && digits > 0 {
                let value = u64::from_str_radix(&rest[sign + 2..sign + 2 + digits], 16);
                let value = value.map_err(|_| self.fault("bad hexadecimal number"))? as f64;
                self.at += sign + 2 + digits;
                return Ok(if rest.starts_with('-') { -value } else { value });
            }
        }
        let mut end = sign;
        while end < bytes.len() {
            let is_exponent_sign = matches!(bytes[end], b'+' | b'-') && matches!(bytes[end - 1], b'e' | b'E') && end > sign + 1;
            if !(bytes[end].is_ascii_digit() || matches!(bytes[end], b'.' | b'e' | b'E') || is_exponent_sign) {
                break;
            }
            end += 1;
        }
        match fast_float2::parse(rest[..end].trim_start_matches('+')) {
            Ok(value) if end > sign => {
                self.at += end;
                Ok(value)
            }
            _ => Err(self.fault("expected a number, a histogram, `_` or `stale`")),
        }
    }

    fn histogram(&mut self) -> Result<Atom, BadNotation> {
        let mut histogram = Histogram::default();
        let (mut offset, mut negative_offset, mut hint_given) = (0, 0, false);
        loop {
            self.skip_space();
            if self.eat("}}") {
                break;
            }
            let colon = self.rest().find(':').ok_or_else(|| self.fault("expected `key:value` or `}}` in a histogram"))?;
            let key = &self.rest()[..colon];
            self.at += colon + 1;
            match key {
                "schema" => histogram.schema = self.number()? as i32,
                "count" => histogram.count = self.number()?,
                "sum" => histogram.sum = self.number()?,
                "z_bucket" => histogram.zero_count = self.number()?,
                "z_bucket_w" => histogram.zero_threshold = self.number()?,
                "offset" => offset = self.number()? as i32,
                "n_offset" => negative_offset = self.number()? as i32,
                "buckets" => histogram.positive_buckets = self.list()?,
                "n_buckets" => histogram.negative_buckets = self.list()?,
                "custom_values" => histogram.custom_values = self.list()?,
                "counter_reset_hint" => {
                    hint_given = true;
                    histogram.reset_hint = self.hint()?;
                }
                _ => return Err(self.fault(format!("a histogram has no key {key:?}"))),
            }
        }
        for (list, spans, offset) in [
            (&histogram.positive_buckets, &mut histogram.positive_spans, offset),
            (&histogram.negative_buckets, &mut histogram.negative_spans, negative_offset),
        ] {
            if !list.is_empty() {
                spans.push(BucketSpan { offset, length: list.len() as u32 });
            }
        }
        Ok(Atom::Histogram { histogram, hint_given })
    }

    fn hint(&mut self) -> Result<ResetHint, BadNotation> {
        for (word, hint) in [
            ("not_reset", ResetHint::NoReset),
            ("reset", ResetHint::Reset),
            ("gauge", ResetHint::Gauge),
            ("unknown", ResetHint::Unknown),
        ] {
            if self.eat(word) {
                return Ok(hint);
            }
        }
        Err(self.fault("expected gauge, reset, not_reset or unknown"))
    }

    fn list(&mut self) -> Result<Vec<f64>, BadNotation> {
        if !self.eat("[") {
            return Err(self.fault("expected a list in brackets"));
        }
        let mut list = Vec::new();
        loop {
            self.skip_space();
            if self.eat("]") {
                return Ok(list);
            }
            list.push(self.number()?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(text: &str) -> Vec<Option<f64>> {
        let values = parse_values(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        values.iter().map(|value| if let Notated::Float(value) = value { Some(*value) } else { None }).collect()
    }

    #[test]
    fn sequences_expand() {
        for (text, expected) in [
            ("1 2x1 3", vec![Some(1.0), Some(2.0), Some(2.0), Some(3.0)]),
            ("0+2x2 _ _x2", vec![Some(0.0), Some(2.0), Some(4.0), None, None, None]),
            ("-1-1.5x1 1e-3", vec![Some(-1.0), Some(-2.5), Some(0.001)]),
            ("-1e+1+1x1 +Inf", vec![Some(-10.0), Some(-9.0), Some(f64::INFINITY)]),
            ("0x2", vec![Some(0.0); 3]),
        ] {
            assert_eq!(floats(text), expected, "{text}");
        }
        assert!(floats("stale")[0].is_some_and(crate::model::is_stale));
        for wrong in ["1+", "1+2", "x3", "1 foo", "{{count:1", "{{cunt:1}}", "1x99999999", "{{count:1}}+1x2"] {
            assert!(parse_values(wrong).is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn a_histogram_has_its_buckets_where_the_offset_says() {
        let (labels, values) =
            parse_series("h{a=\"} {\"} {{schema:1 count:3 sum:-2.5 buckets:[1 2] offset:-1 counter_reset_hint:gauge}}").unwrap();
        assert_eq!(labels.to_string(), r#"{__name__="h", a="} {"}"#);
        let [Notated::Histogram { histogram, hint_given: true }] = values.as_slice() else { panic!("{values:?}") };
        assert_eq!(histogram.positive_spans, [BucketSpan { offset: -1, length: 2 }]);
        assert_eq!((histogram.schema, histogram.sum, histogram.reset_hint), (1, -2.5, ResetHint::Gauge));
    }
}
