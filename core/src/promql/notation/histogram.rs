//! Histograms in the notation: `{{schema:0 sum:5 count:4 buckets:[1 2 1] offset:-1}}`.

use std::sync::Arc;

use super::{Outcome, Reader, Written, is_blank};
use crate::model::histogram::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, ResetHint};
use crate::model::labels::quote;
use crate::model::{Histogram, Value};

const WITHIN: &str = "histogram description";

/// A histogram, and whether its text says `counter_reset_hint`.
pub(super) struct Described {
    pub(super) histogram: Histogram,
    pub(super) hint_written: bool,
}

impl Described {
    pub(super) fn written(self) -> Written {
        Written { value: Some(Value::Histogram(Arc::new(self.histogram))), hint_written: self.hint_written }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Key {
    Schema,
    Sum,
    Count,
    ZeroCount,
    ZeroThreshold,
    CustomValues,
    Buckets,
    Offset,
    NegativeBuckets,
    NegativeOffset,
    ResetHint,
}

fn key(word: &str) -> Option<Key> {
    Some(match word.to_ascii_lowercase().as_str() {
        "schema" => Key::Schema,
        "sum" => Key::Sum,
        "count" => Key::Count,
        "z_bucket" => Key::ZeroCount,
        "z_bucket_w" => Key::ZeroThreshold,
        "custom_values" => Key::CustomValues,
        "buckets" => Key::Buckets,
        "offset" => Key::Offset,
        "n_buckets" => Key::NegativeBuckets,
        "n_offset" => Key::NegativeOffset,
        "counter_reset_hint" => Key::ResetHint,
        _ => return None,
    })
}

impl Reader<'_> {
    /// Reads a histogram with its braces.
    pub(super) fn histogram(&mut self) -> Outcome<Described> {
        let start = self.at;
        self.accept("{{");
        let mut histogram = Histogram::default();
        let (mut positive, mut negative) = (0, 0);
        let mut seen: Vec<Key> = Vec::new();
        if self.peek().is_some_and(is_blank) {
            self.skip_blanks();
            if !self.accept("}}") {
                return Err(self.unexpected(WITHIN));
            }
            return Ok(Described { histogram, hint_written: false });
        }
        while !self.accept("}}") {
            let at = self.at;
            let key = self.key()?;
            if seen.contains(&key) {
                return Err(self.fault(at, format!("duplicate key {:?} in histogram", &self.text[at..self.at - 1])));
            }
            seen.push(key);
            match key {
                Key::Schema => histogram.schema = self.schema()?,
                Key::Sum => histogram.sum = self.histogram_number()?,
                Key::Count => histogram.count = self.histogram_number()?,
                Key::ZeroCount => histogram.zero_count = self.histogram_number()?,
                Key::ZeroThreshold => histogram.zero_threshold = self.histogram_number()?,
                Key::CustomValues => histogram.custom_values = self.numbers()?,
                Key::Buckets => histogram.positive_buckets = self.numbers()?,
                Key::NegativeBuckets => histogram.negative_buckets = self.numbers()?,
                Key::Offset => positive = self.integer()?,
                Key::NegativeOffset => negative = self.integer()?,
                Key::ResetHint => histogram.reset_hint = self.reset_hint()?,
            }
            if !self.skip_blanks() && !self.text[self.at..].starts_with("}}") {
                return Err(self.unexpected(WITHIN));
            }
        }
        histogram.positive_spans = self.spans(start, positive, histogram.positive_buckets.len())?;
        histogram.negative_spans = self.spans(start, negative, histogram.negative_buckets.len())?;
        Ok(Described { histogram, hint_written: seen.contains(&Key::ResetHint) })
    }

    fn letters(&mut self) -> &str {
        let start = self.at;
        self.at += self.text[start..].bytes().take_while(|&b| b.is_ascii_alphabetic() || b == b'_').count();
        &self.text[start..self.at]
    }

    /// Reads a key with its colon.
    fn key(&mut self) -> Outcome<Key> {
        let start = self.at;
        let word = self.letters().to_owned();
        if word.is_empty() {
            return Err(self.unexpected(WITHIN));
        }
        match key(&word) {
            Some(_) if !self.accept(":") => Err(self.fault(start, "missing `:` for histogram descriptor")),
            Some(key) => Ok(key),
            None => Err(self.fault(start, format!("bad histogram descriptor found: {}", quote(&word)))),
        }
    }

    fn histogram_number(&mut self) -> Outcome<f64> {
        let negative = self.accept("-");
        let start = self.at;
        let value = match self.peek() {
            Some('0'..='9' | '.') => self.digits()?,
            Some(c) if c.is_ascii_alphabetic() => match self.letters().to_ascii_lowercase().as_str() {
                "inf" => f64::INFINITY,
                "nan" => f64::NAN,
                word => {
                    let message = format!("unexpected {} in {WITHIN}, expected a number", quote(word));
                    return Err(self.fault(start, message));
                }
            },
            _ => return Err(self.unexpected(WITHIN)),
        };
        Ok(if negative { -value } else { value })
    }

    fn integer(&mut self) -> Outcome<i32> {
        let start = self.at;
        self.accept("-");
        self.at += self.text[self.at..].bytes().take_while(u8::is_ascii_digit).count();
        let digits = &self.text[start..self.at];
        match digits.parse() {
            Ok(value) => Ok(value),
            Err(_) if digits.is_empty() || digits == "-" => Err(self.unexpected(WITHIN)),
            Err(_) => Err(self.fault(start, format!("integer out of range: {digits}"))),
        }
    }

    fn schema(&mut self) -> Outcome<i32> {
        let start = self.at;
        match self.integer()? {
            schema @ (-4..=8 | CUSTOM_BUCKETS_SCHEMA) => Ok(schema),
            other => Err(self.fault(start, format!("unknown schema {other}; known are -4 to 8 and {CUSTOM_BUCKETS_SCHEMA}"))),
        }
    }

    /// Reads numbers in brackets, with blanks between them; a blank may stand behind the last one.
    fn numbers(&mut self) -> Outcome<Vec<f64>> {
        if !self.accept("[") {
            return Err(self.unexpected(WITHIN));
        }
        let mut numbers = vec![self.histogram_number()?];
        loop {
            let blank = self.skip_blanks();
            if self.accept("]") {
                return Ok(numbers);
            }
            if !blank {
                return Err(self.unexpected("buckets"));
            }
            numbers.push(self.histogram_number()?);
        }
    }

    fn reset_hint(&mut self) -> Outcome<ResetHint> {
        let start = self.at;
        match self.letters().to_ascii_lowercase().as_str() {
            "unknown" => Ok(ResetHint::Unknown),
            "reset" => Ok(ResetHint::Reset),
            "not_reset" => Ok(ResetHint::NoReset),
            "gauge" => Ok(ResetHint::Gauge),
            other => Err(self.fault(start, format!("bad histogram descriptor found: {}", quote(other)))),
        }
    }

    /// Returns the one span of a list of buckets; the index of its last bucket must be one that can be counted to.
    fn spans(&self, start: usize, offset: i32, count: usize) -> Outcome<Vec<BucketSpan>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        match i32::try_from(count).ok().and_then(|count| offset.checked_add(count)) {
            Some(_) => Ok(vec![BucketSpan { offset, length: count as u32 }]),
            None => Err(self.fault(start, "bucket offset out of range")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::Value;
    use crate::model::histogram::{BucketSpan, Histogram, ResetHint};
    use crate::promql::notation::values;

    fn one(text: &str) -> Histogram {
        let values = values(text).unwrap_or_else(|faults| panic!("{}", faults[0].render(text)));
        match values.as_slice() {
            [written] => match &written.value {
                Some(Value::Histogram(histogram)) => histogram.as_ref().clone(),
                other => panic!("{text} is {other:?}"),
            },
            other => panic!("{text} is {} values", other.len()),
        }
    }

    #[test]
    fn every_key_is_read() {
        let text = "{{schema:-2 sum:-0.5  count:3.25 z_bucket:7 z_bucket_w:0.01 buckets:[5 -1  7 ] offset:-3 n_buckets:[4 Inf] \
                    n_offset:5 counter_reset_hint:not_reset }}";
        let expected = Histogram {
            reset_hint: ResetHint::NoReset,
            schema: -2,
            zero_threshold: 0.01,
            zero_count: 7.0,
            count: 3.25,
            sum: -0.5,
            positive_spans: vec![BucketSpan { offset: -3, length: 3 }],
            negative_spans: vec![BucketSpan { offset: 5, length: 2 }],
            positive_buckets: vec![5.0, -1.0, 7.0],
            negative_buckets: vec![4.0, f64::INFINITY],
            custom_values: Vec::new(),
        };
        assert_eq!(one(text), expected);
        assert_eq!(one("{{schema:-53 custom_values:[0.5 1] buckets:[1 2 3]}}").custom_values, [0.5, 1.0]);
        assert_eq!((one("{{}}"), one("{{ }}")), (Histogram::default(), Histogram::default()));
    }

    #[test]
    fn a_written_hint_is_told_apart_from_none() {
        let hints: Vec<bool> = values("{{}} {{counter_reset_hint:unknown}} 1").unwrap().iter().map(|w| w.hint_written).collect();
        assert_eq!(hints, [false, true, false]);
    }

    #[test]
    fn broken_histograms_are_refused() {
        for text in [
            "{{",
            "{{ sum:1}}",
            "{{sum}}",
            "{{sum :1}}",
            "{{sum: 1}}",
            "{{sum:1,count:1}}",
            "{{sum:1 sum:2}}",
            "{{foo:1}}",
            "{{schema:1.5}}",
            "{{schema:99}}",
            "{{buckets:[]}}",
            "{{buckets:[1 2}}",
            "{{buckets:[ 1]}}",
            "{{buckets:1}}",
            "{{counter_reset_hint:maybe}}",
            "{{sum:x}}",
            "{{sum:1}",
            "{{offset:2147483647 buckets:[1 1]}}",
            "{{sum:1}}x",
        ] {
            assert!(values(text).is_err(), "{text} was accepted");
        }
    }
}
