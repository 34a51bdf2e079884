//! How a histogram is written.

use std::fmt;

use super::{Bucket, Histogram, ResetHint};
use crate::model::sample::shortest;

fn write_bucket(f: &mut fmt::Formatter<'_>, bucket: Bucket, brackets: [char; 2]) -> fmt::Result {
    let [open, close] = brackets;
    write!(f, ", {open}{},{}{close}:{}", shortest(bucket.lower), shortest(bucket.upper), shortest(bucket.count))
}

/// Empty buckets between populated ones are written out up to this many buckets in all.
const WRITTEN_MAX: i32 = 1000;

/// Adds one side's buckets and the index of the first one; nothing when none is populated.
fn describe_side(parts: &mut Vec<String>, keys: [&str; 2], buckets: &[(i32, f64)]) -> Option<()> {
    let populated = || buckets.iter().filter(|(_, count)| *count != 0.0);
    let (Some((first, _)), Some((last, _))) = (populated().next(), populated().next_back()) else { return Some(()) };
    if last.wrapping_sub(*first) >= WRITTEN_MAX {
        return None;
    }
    let count = |index: i32| buckets.iter().find(|(own, _)| *own == index).map_or(0.0, |(_, count)| *count);
    let counts: Vec<String> = (*first..=*last).map(|index| shortest(count(index))).collect();
    if *first != 0 {
        parts.push(format!("{}:{first}", keys[1]));
    }
    parts.push(format!("{}:[{}]", keys[0], counts.join(" ")));
    Some(())
}

impl Histogram {
    /// Returns the histogram as tests write it: `{{schema:1 count:4 sum:5 buckets:[1 3]}}`; what is zero or unknown is left out.
    ///
    /// Source: Prometheus `FloatHistogram.TestExpression`.
    pub fn in_notation(&self) -> String {
        let mut parts = Vec::new();
        if self.schema != 0 {
            parts.push(format!("schema:{}", self.schema));
        }
        let numbers = [self.count, self.sum, self.zero_count, self.zero_threshold];
        for (key, number) in ["count", "sum", "z_bucket", "z_bucket_w"].into_iter().zip(numbers) {
            // Custom buckets have none around zero.
            if number != 0.0 && !(self.has_custom_buckets() && key.starts_with('z')) {
                parts.push(format!("{key}:{}", shortest(number)));
            }
        }
        if self.has_custom_buckets() {
            let values: Vec<String> = self.custom_values.iter().map(|value| shortest(*value)).collect();
            parts.push(format!("custom_values:[{}]", values.join(" ")));
        }
        match self.reset_hint {
            ResetHint::Unknown => {}
            ResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
            ResetHint::NoReset => parts.push("counter_reset_hint:not_reset".to_owned()),
            ResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
        }
        let sides = describe_side(&mut parts, ["buckets", "offset"], &self.positive())
            .and_then(|()| describe_side(&mut parts, ["n_buckets", "n_offset"], &self.negative()));
        match sides {
            Some(()) => format!("{{{{{}}}}}", parts.join(" ")),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for Histogram {
    /// Writes count, sum and the populated buckets, such as `{count:4, sum:5, (0.5,1]:1, (1,2]:3}`.
    ///
    /// Source: Prometheus `FloatHistogram.String`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", shortest(self.count), shortest(self.sum))?;
        let populated = |bucket: &Bucket| bucket.count != 0.0;
        for bucket in self.negative_side().into_iter().rev().filter(populated) {
            write_bucket(f, bucket, ['[', ')'])?;
        }
        if self.zero_count != 0.0 {
            write_bucket(f, self.zero_bucket(), ['[', ']'])?;
        }
        for bucket in self.positive_side().into_iter().filter(populated) {
            // A first bucket with custom bounds starts at negative infinity, which it includes.
            let open = if bucket.lower == f64::NEG_INFINITY { '[' } else { '(' };
            write_bucket(f, bucket, [open, ']'])?;
        }
        f.write_str("}")
    }
}
