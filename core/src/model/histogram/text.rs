//! How a histogram is written.

use std::fmt;

use super::{Bucket, Histogram};
use crate::model::sample::shortest;

fn write_bucket(f: &mut fmt::Formatter<'_>, bucket: Bucket, brackets: [char; 2]) -> fmt::Result {
    let [open, close] = brackets;
    write!(f, ", {open}{},{}{close}:{}", shortest(bucket.lower), shortest(bucket.upper), shortest(bucket.count))
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
