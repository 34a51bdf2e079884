//! The notation in which tests of rules write series: `up{job="api"} 1 1+2x3 _x2 stale {{sum:5 count:4}}x2`.
//!
//! Source: Prometheus `promql/parser/generated_parser.y`, rule `series_description`.

use std::sync::Arc;

use super::ast::Place;
use super::parse::{ParseError, number, parse_metric};
use crate::model::labels::quote;
use crate::model::{Histogram, LabelSet, STALE, Value};

mod histogram;

/// One series may not say more values than this.
pub const VALUES_MAX: usize = 200_000;

/// A series as written.
#[derive(Clone, Debug)]
pub struct Notation {
    pub labels: LabelSet,
    /// One entry for each step of time; None where nothing was sampled.
    pub values: Vec<Written>,
}

/// What was written for one step of time.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub value: Option<Value>,
    /// Whether a histogram says its `counter_reset_hint`; an expectation that does not is content with any.
    pub hint_written: bool,
}

/// Returns the labels and values of a series: one entry for each step of time, None where nothing was sampled.
///
/// Shape: `a+bxn` is n+1 values, as are `a-bxn` and `axn`; `_xn` is n gaps; `stale` is the staleness marker.
pub fn series(text: &str) -> Result<(LabelSet, Vec<Option<Value>>), Vec<ParseError>> {
    let notation = notation(text)?;
    Ok((notation.labels, notation.values.into_iter().map(|written| written.value).collect()))
}

/// Returns a series with all that its text says; for expectations, where a hint that is not written does not count.
pub fn notation(text: &str) -> Result<Notation, Vec<ParseError>> {
    let (labels, end) = metric(text)?;
    let mut reader = Reader { text, at: end, values: Vec::new() };
    match reader.values() {
        Ok(()) => Ok(Notation { labels, values: reader.values }),
        Err(error) => Err(vec![error]),
    }
}

/// Returns the labels at the beginning of a series, and the byte behind them.
pub fn metric(text: &str) -> Result<(LabelSet, usize), Vec<ParseError>> {
    let end = metric_end(text);
    parse_metric(&text[..end]).map(|labels| (labels, end))
}

/// Returns the values alone, as the tests of rules write them beside the labels.
pub fn values(text: &str) -> Result<Vec<Written>, Vec<ParseError>> {
    let mut reader = Reader { text, at: 0, values: Vec::new() };
    reader.values().map(|()| reader.values).map_err(|error| vec![error])
}

/// Returns where the name and labels of a series end.
fn metric_end(text: &str) -> usize {
    let begin = text.len() - text.trim_start_matches(is_blank).len();
    let name_end = begin + text[begin..].bytes().take_while(|&b| is_word(b)).count();
    if text.as_bytes().get(name_end) != Some(&b'{') {
        return name_end;
    }
    let mut quote: Option<char> = None;
    let mut chars = text[name_end..].char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, '}') => return name_end + at + 1,
            (None, '"' | '\'' | '`') => quote = Some(c),
            (Some('"' | '\''), '\\') => drop(chars.next()),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    text.len()
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

/// Reads values from left to right; nothing is ever read twice.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    values: Vec<Written>,
}

type Outcome<T> = Result<T, ParseError>;

/// The step of a series of numbers, or of histograms.
enum Sign {
    Plus,
    Minus,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn accept(&mut self, wanted: &str) -> bool {
        let found = self.text[self.at..].starts_with(wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    fn skip_blanks(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let blanks = rest.len() - rest.trim_start_matches(is_blank).len();
        self.at += blanks;
        blanks > 0
    }

    /// Returns the fault that what stands between `start` and here is wrong.
    fn fault(&self, start: usize, message: impl Into<String>) -> ParseError {
        let end = self.at.max(start).min(self.text.len());
        ParseError { place: Place { start: start as u32, end: end as u32 }, message: message.into() }
    }

    fn unexpected(&self, within: &str) -> ParseError {
        let found = self.peek().map_or("end of input".to_owned(), |c| quote(c.encode_utf8(&mut [0; 4])));
        self.fault(self.at, format!("unexpected {found} in {within}"))
    }

    fn values(&mut self) -> Outcome<()> {
        if self.at == 0 {
            self.skip_blanks();
        }
        while self.at < self.text.len() {
            // Only the values of a text without labels may begin at its start.
            if self.at > 0 && !self.text[..self.at].ends_with(is_blank) && !self.skip_blanks() {
                return Err(self.unexpected("series values"));
            }
            self.skip_blanks();
            if self.at < self.text.len() {
                self.item()?;
            }
        }
        Ok(())
    }

    fn item(&mut self) -> Outcome<()> {
        if self.accept("_") {
            let count = if self.accept("x") { self.count()? } else { 1 };
            return self.repeat(Written::default(), count);
        }
        if self.text[self.at..].starts_with("{{") {
            return self.histograms();
        }
        let start = self.at;
        let first = self.signed_number(true)?;
        let step = match self.peek() {
            Some('+' | '-') => Some(self.signed_number(false)?),
            _ => None,
        };
        if !self.accept("x") {
            return match step {
                Some(_) => Err(self.unexpected("series values, expected \"x\" and a count")),
                None => self.repeat(Written { value: Some(Value::Float(first)), hint_written: false }, 1),
            };
        }
        let count = self.count()?;
        self.room(start, count + 1)?;
        let mut value = first;
        for _ in 0..=count {
            self.values.push(Written { value: Some(Value::Float(value)), hint_written: false });
            // Summed up rather than multiplied, so that the last digits come out as they do elsewhere.
            value += step.unwrap_or(0.0);
        }
        Ok(())
    }

    fn histograms(&mut self) -> Outcome<()> {
        let start = self.at;
        let base = self.histogram()?;
        let sign = match self.peek() {
            Some('x') => {
                self.at += 1;
                let count = self.count()?;
                return self.repeat(base.written(), count + 1);
            }
            Some('+') => Sign::Plus,
            Some('-') => Sign::Minus,
            _ => return self.repeat(base.written(), 1),
        };
        self.at += 1;
        if !self.text[self.at..].starts_with("{{") {
            return Err(self.unexpected("series values, expected a histogram"));
        }
        let step = self.histogram()?;
        if !self.accept("x") {
            return Err(self.unexpected("series values, expected \"x\" and a count"));
        }
        let count = self.count()?;
        self.room(start, count + 1)?;
        let mut current = base.histogram;
        for index in 0..=count {
            let value = Some(Value::Histogram(Arc::new(current.clone())));
            self.values.push(Written { value, hint_written: step.hint_written });
            if index < count {
                current = self.combined(start, current, &step.histogram, &sign)?;
            }
        }
        Ok(())
    }

    fn combined(&self, start: usize, mut current: Histogram, step: &Histogram, sign: &Sign) -> Outcome<Histogram> {
        let combine = "error combining histograms";
        if current.schema > step.schema {
            let message = format!("{combine}: cannot merge from schema {} to {}", step.schema, current.schema);
            return Err(self.fault(start, message));
        }
        let result = match sign {
            Sign::Plus => current.add(step),
            Sign::Minus => current.subtract(step),
        };
        match result {
            Ok(_) => Ok(current),
            Err(error) => Err(self.fault(start, format!("{combine}: {error}"))),
        }
    }

    fn repeat(&mut self, written: Written, count: usize) -> Outcome<()> {
        self.room(self.at, count)?;
        self.values.extend(std::iter::repeat_n(written, count));
        Ok(())
    }

    fn room(&self, start: usize, count: usize) -> Outcome<()> {
        if count > VALUES_MAX - self.values.len() {
            return Err(self.fault(start, format!("a series may have at most {VALUES_MAX} values")));
        }
        Ok(())
    }

    /// Reads the count behind `x`.
    fn count(&mut self) -> Outcome<usize> {
        let start = self.at;
        self.at += self.text[start..].bytes().take_while(u8::is_ascii_digit).count();
        match self.text[start..self.at].parse() {
            Ok(count) if count <= VALUES_MAX => Ok(count),
            _ if start == self.at => Err(self.unexpected("series values, expected a count")),
            _ => Err(self.fault(start, format!("a series may have at most {VALUES_MAX} values"))),
        }
    }

    fn signed_number(&mut self, stale_allowed: bool) -> Outcome<f64> {
        let start = self.at;
        let negative = self.accept("-");
        let signed = negative || self.accept("+");
        let value = match self.peek() {
            Some('0'..='9' | '.') => self.digits()?,
            Some(c) if c.is_ascii_alphabetic() => self.word(stale_allowed && !signed)?,
            _ => {
                let error = self.unexpected("series values");
                return Err(ParseError { place: Place { start: start as u32, ..error.place }, ..error });
            }
        };
        Ok(if negative { -value } else { value })
    }

    /// Reads `Inf`, `NaN` and, where it may stand, `stale`.
    fn word(&mut self, stale_allowed: bool) -> Outcome<f64> {
        let start = self.at;
        self.at += self.text[start..].bytes().take_while(|&b| is_word(b)).count();
        let word = &self.text[start..self.at];
        match word.to_ascii_lowercase().as_str() {
            "inf" => Ok(f64::INFINITY),
            "nan" => Ok(f64::NAN),
            _ if word == "stale" && stale_allowed => Ok(STALE),
            _ => {
                let message = format!("unexpected identifier {} in series values, expected number or \"stale\"", quote(word));
                Err(self.fault(start, message))
            }
        }
    }

    fn digits(&mut self) -> Outcome<f64> {
        let (start, bytes) = (self.at, self.text.as_bytes());
        while let Some(byte) = bytes.get(self.at) {
            let exponent_sign = matches!(byte, b'+' | b'-') && matches!(bytes[self.at - 1], b'e' | b'E') && self.at > start;
            if !matches!(byte, b'0'..=b'9' | b'.' | b'_' | b'e' | b'E') && !exponent_sign {
                break;
            }
            self.at += 1;
        }
        let digits = &self.text[start..self.at];
        // A hexadecimal number would be ambiguous, since `x` repeats a value.
        match self.peek() {
            Some(c) if c.is_ascii_alphanumeric() && c != 'x' => {
                self.at += 1;
                Err(self.fault(start, format!("bad number syntax: {}", quote(&self.text[start..self.at]))))
            }
            _ => number(digits).map_err(|message| self.fault(start, message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{VALUES_MAX, series, values};
    use crate::model::Value;

    /// Returns the values of a series with a blank between them: `_` is a gap, `s` the staleness marker, `h` a histogram's sum.
    fn shown(text: &str) -> String {
        let (labels, values) = series(text).unwrap_or_else(|faults| panic!("{}", faults[0].render(text)));
        let values: Vec<String> = values
            .iter()
            .map(|value| match value {
                None => "_".to_owned(),
                Some(value) if value.is_stale() => "s".to_owned(),
                Some(Value::Float(value)) => value.to_string(),
                Some(Value::Histogram(histogram)) => format!("h{}", histogram.sum),
            })
            .collect();
        format!("{labels} {}", values.join(" ")).trim_end().to_owned()
    }

    #[test]
    fn series_expand() {
        for (text, expected) in [
            ("a 1 -2 +3.5", r#"{__name__="a"} 1 -2 3.5"#),
            ("a{b='}'} 1x2 ", r#"{__name__="a", b="}"} 1 1 1"#),
            ("{} 1+1x3\t10-4x2", "{} 1 2 3 4 10 6 2"),
            ("{\"a.b\"} -1-1x2 2-0x1", r#"{__name__="a.b"} -1 -2 -3 2 2"#),
            ("a 0x2 1x0", r#"{__name__="a"} 0 0 0 1"#),
            ("a _ _x2 stale 1E1+0x1 _x0", r#"{__name__="a"} _ _ _ s 10 10"#),
            ("a Inf -inf", r#"{__name__="a"} inf -inf"#),
            ("a 1e+2x1 .5", r#"{__name__="a"} 100 100 0.5"#),
            ("a", r#"{__name__="a"}"#),
            ("  a  ", r#"{__name__="a"}"#),
            ("a {{sum:1}}x2 {{}} 3", r#"{__name__="a"} h1 h1 h1 h0 3"#),
            ("a {{sum:1}}+{{sum:2}}x2", r#"{__name__="a"} h1 h3 h5"#),
            ("a {{sum:5}}-{{sum:2}}x1", r#"{__name__="a"} h5 h3"#),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        assert_eq!(values("1 2x1").map(|values| values.len()), Ok(3));
    }

    #[test]
    fn what_is_not_the_notation_is_refused() {
        for text in [
            "a 1+1",
            "a 1x",
            "a 1xx2",
            "a 1x-1",
            "a x3",
            "a 1 bogus",
            "a stalex2",
            "a -stale",
            "a 1,2",
            "a 0x1f",
            "a 1_x2",
            "a _foo",
            "a 1{{}}",
            "a {{}}1",
            "a {{}}+1x2",
            "a {{}}+{{}}",
            "a {{schema:1}}+{{schema:0}}x1",
            "a {1}",
            "a{b=1} 1",
            "a 1 # no comment",
            "a --1",
            "a 1 ü",
            "{a=\"b\"",
            "a -",
        ] {
            assert!(series(text).is_err(), "{text} was accepted as {:?}", series(text));
        }
        for endless in [format!("a 1x{VALUES_MAX}"), "a 1x99999999999999999999".to_owned(), "a _x150000 _x150000".to_owned()] {
            assert!(series(&endless).is_err(), "{endless} was accepted");
        }
    }
}
