//! Whether a histogram from outside can be one.

use super::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, Histogram};

/// Why a histogram is none.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadHistogram {
    #[error("{side} side: span number {number} with offset {offset}: histogram has a span whose offset is negative")]
    Offset { side: &'static str, number: usize, offset: i32 },
    #[error(
        "{side} side: spans need {needed} buckets, have {given} buckets: histogram spans specify different number of buckets than provided"
    )]
    Spans { side: &'static str, needed: u64, given: usize },
    #[error(
        "{side} side: bucket number {number} has observation count of {count}: histogram has a bucket whose observation count is negative"
    )]
    Negative { side: &'static str, number: usize, count: f64 },
    #[error(
        "{in_buckets} observations found in buckets, but the Count field is {count}: histogram's observation count should equal the number of observations found in the buckets"
    )]
    Count { in_buckets: u64, count: u64 },
    #[error("custom buckets: {0}")]
    Custom(&'static str),
}

fn check_side(side: &'static str, spans: &[BucketSpan], buckets: &[f64]) -> Result<(), BadHistogram> {
    for (index, span) in spans.iter().enumerate().skip(1) {
        if span.offset < 0 {
            return Err(BadHistogram::Offset { side, number: index + 1, offset: span.offset });
        }
    }
    let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if needed != buckets.len() as u64 {
        return Err(BadHistogram::Spans { side, needed, given: buckets.len() });
    }
    match buckets.iter().position(|count| *count < 0.0) {
        Some(index) => Err(BadHistogram::Negative { side, number: index + 1, count: buckets[index] }),
        None => Ok(()),
    }
}

/// Returns each bucket's own count.
fn whole(deltas: &[i64]) -> Vec<i64> {
    let mut count = 0i64;
    let sum = |delta: &i64| {
        count = count.wrapping_add(*delta);
        count
    };
    deltas.iter().map(sum).collect()
}

impl Histogram {
    /// Checks that buckets and spans fit each other and that no count is negative. Whether the counts add up is not looked at, since
    /// sums of floats do not.
    ///
    /// Source: Prometheus `FloatHistogram.Validate`.
    pub fn check(&self) -> Result<(), BadHistogram> {
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            self.check_custom()?;
        }
        check_side("positive", &self.positive_spans, &self.positive_buckets)?;
        check_side("negative", &self.negative_spans, &self.negative_buckets)
    }

    /// Takes in whole counts, where those of the buckets are each told against the bucket before, and checks the whole as `check` does.
    ///
    /// Errors: also counts that do not add up.
    /// Source: Prometheus `Histogram.Validate`.
    pub fn fill_whole(&mut self, count: u64, zero_count: u64, positive: &[i64], negative: &[i64]) -> Result<(), BadHistogram> {
        let (positive, negative) = (whole(positive), whole(negative));
        (self.count, self.zero_count) = (count as f64, zero_count as f64);
        self.positive_buckets = positive.iter().map(|count| *count as f64).collect();
        self.negative_buckets = negative.iter().map(|count| *count as f64).collect();
        self.check()?;
        let in_buckets = positive.iter().chain(&negative).fold(zero_count, |sum, count| sum.wrapping_add(*count as u64));
        // Observations of NaN are in no bucket.
        let is_complete = if self.sum.is_nan() { in_buckets <= count } else { in_buckets == count };
        if is_complete { Ok(()) } else { Err(BadHistogram::Count { in_buckets, count }) }
    }

    fn check_custom(&self) -> Result<(), BadHistogram> {
        let bounds = &self.custom_values;
        if bounds.windows(2).any(|pair| pair[0].partial_cmp(&pair[1]) != Some(std::cmp::Ordering::Less)) {
            return Err(BadHistogram::Custom("the bounds do not ascend"));
        }
        if bounds.last().is_some_and(|last| *last == f64::INFINITY) {
            return Err(BadHistogram::Custom("the last bound is infinite, which it is without being listed"));
        }
        let needed: i64 = self.positive_spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length)).sum();
        if needed > bounds.len() as i64 + 1 {
            return Err(BadHistogram::Custom("there are more buckets than the bounds allow"));
        }
        if self.zero_count != 0.0 || self.zero_threshold != 0.0 {
            return Err(BadHistogram::Custom("there is a zero bucket"));
        }
        if !self.negative_spans.is_empty() || !self.negative_buckets.is_empty() {
            return Err(BadHistogram::Custom("there are negative buckets"));
        }
        Ok(())
    }
}
