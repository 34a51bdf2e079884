//! Adding, subtracting and scaling histograms whose buckets differ.

use super::buckets::exponential_bound;
use super::{Histogram, ResetHint};
use crate::model::sample::compensated;

/// One histogram has exponential buckets and the other one custom bounds, so that they cannot be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("histograms with exponential and custom buckets cannot be combined")]
pub struct Incompatible;

/// What had to be bent to combine two histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// One says "counter reset", the other one "no counter reset".
    pub hints_collide: bool,
    /// Custom bounds differed and were reduced to those that both have.
    pub bounds_differ: bool,
}

fn merge(a: &[(i32, f64)], b: &[(i32, f64)], mut join: impl FnMut(f64, f64) -> f64) -> Vec<(i32, f64)> {
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    loop {
        let index = match (a.peek(), b.peek()) {
            (Some(a), Some(b)) => a.0.min(b.0),
            (Some(a), None) => a.0,
            (None, Some(b)) => b.0,
            (None, None) => return out,
        };
        let left = a.next_if(|(own, _)| *own == index).map_or(0.0, |(_, count)| count);
        let right = b.next_if(|(own, _)| *own == index).map_or(0.0, |(_, count)| count);
        out.push((index, join(left, right)));
    }
}

fn coarser(list: &[(i32, f64)], levels: i32) -> Vec<(i32, f64)> {
    let mut out: Vec<(i32, f64)> = Vec::with_capacity(list.len());
    for (index, count) in list {
        let index = (index.wrapping_sub(1) >> levels.clamp(0, 31)) + 1;
        match out.last_mut() {
            Some(last) if last.0 == index => last.1 += count,
            _ => out.push((index, *count)),
        }
    }
    out
}

fn onto_bounds(list: &[(i32, f64)], bounds: &[f64], kept: &[f64]) -> Vec<(i32, f64)> {
    let mut out: Vec<(i32, f64)> = Vec::with_capacity(list.len());
    for (index, count) in list {
        let bound = usize::try_from(*index).ok().and_then(|index| bounds.get(index));
        let index = bound.map_or(kept.len(), |bound| kept.partition_point(|kept| kept < bound)) as i32;
        match out.last_mut() {
            Some(last) if last.0 == index => last.1 += count,
            _ => out.push((index, *count)),
        }
    }
    out
}

fn join_hints(own: ResetHint, other: ResetHint) -> (ResetHint, bool) {
    match (own, other) {
        (own, other) if own == other => (own, false),
        (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => (ResetHint::Gauge, false),
        (ResetHint::Unknown, _) | (_, ResetHint::Unknown) => (ResetHint::Unknown, false),
        _ => (ResetHint::Unknown, true),
    }
}

impl Histogram {
    /// Returns the count of a zero bucket that reaches at least to a threshold, and the threshold it then has: the end of a
    /// populated bucket is never inside it.
    pub(super) fn wider_zero_bucket(&self, mut threshold: f64) -> (f64, f64) {
        if threshold == self.zero_threshold {
            return (self.zero_count, threshold);
        }
        let (positive, negative) = (self.positive(), self.negative());
        loop {
            let before = threshold;
            let mut count = self.zero_count;
            for list in [&positive, &negative] {
                for (index, bucket) in list {
                    let (near, far) = self.bounds(*index);
                    if near >= threshold {
                        break;
                    }
                    count += bucket;
                    if far > threshold {
                        if *bucket != 0.0 {
                            threshold = far;
                        }
                        break;
                    }
                }
            }
            // Also where the threshold is no number, which nothing is greater than.
            if threshold.partial_cmp(&before) != Some(std::cmp::Ordering::Greater) {
                return (count, threshold);
            }
        }
    }

    fn widen_zero_bucket(&mut self, threshold: f64) {
        let (count, threshold) = self.wider_zero_bucket(threshold);
        (self.zero_count, self.zero_threshold) = (count, threshold);
        let outside = |index: i32| exponential_bound(index.wrapping_sub(1), self.schema) >= threshold;
        let keep = |list: Vec<(i32, f64)>| -> Vec<(i32, f64)> {
            list.into_iter().filter(|(index, count)| outside(*index) && *count != 0.0).collect()
        };
        let (positive, negative) = (keep(self.positive()), keep(self.negative()));
        self.set_positive(&positive);
        self.set_negative(&negative);
    }

    /// Merges buckets so that the resolution becomes that of a lower schema; a higher one changes nothing.
    pub fn reduce_to_schema(&mut self, schema: i32) {
        if self.has_custom_buckets() || schema >= self.schema {
            return;
        }
        let levels = self.schema.saturating_sub(schema);
        let (positive, negative) = (coarser(&self.positive(), levels), coarser(&self.negative(), levels));
        self.set_positive(&positive);
        self.set_negative(&negative);
        self.schema = schema;
    }

    /// Brings two histograms to the same buckets: same zero threshold, the lower schema of both, or the custom bounds that both
    /// have. Returns whether custom bounds differed.
    fn align(&mut self, other: &mut Histogram) -> Result<bool, Incompatible> {
        if self.has_custom_buckets() != other.has_custom_buckets() {
            return Err(Incompatible);
        }
        if self.has_custom_buckets() {
            if self.custom_values == other.custom_values {
                return Ok(false);
            }
            let kept: Vec<f64> = self.custom_values.iter().copied().filter(|bound| other.custom_values.contains(bound)).collect();
            for histogram in [self, other] {
                let list = onto_bounds(&histogram.positive(), &histogram.custom_values, &kept);
                histogram.set_positive(&list);
                histogram.custom_values.clone_from(&kept);
            }
            return Ok(true);
        }
        while self.zero_threshold != other.zero_threshold {
            if self.zero_threshold.is_nan() || other.zero_threshold.is_nan() {
                break;
            }
            if self.zero_threshold > other.zero_threshold {
                other.widen_zero_bucket(self.zero_threshold);
            } else {
                self.widen_zero_bucket(other.zero_threshold);
            }
        }
        let schema = self.schema.min(other.schema);
        self.reduce_to_schema(schema);
        other.reduce_to_schema(schema);
        Ok(false)
    }

    fn combine(&mut self, other: &Histogram, mut join: impl FnMut(f64, f64) -> f64) -> Result<Reconciled, Incompatible> {
        let mut other = other.clone();
        let bounds_differ = self.align(&mut other)?;
        let (hint, hints_collide) = join_hints(self.reset_hint, other.reset_hint);
        self.reset_hint = hint;
        self.zero_count = join(self.zero_count, other.zero_count);
        self.count = join(self.count, other.count);
        self.sum = join(self.sum, other.sum);
        let positive = merge(&self.positive(), &other.positive(), &mut join);
        let negative = merge(&self.negative(), &other.negative(), &mut join);
        self.set_positive(&positive);
        self.set_negative(&negative);
        if bounds_differ {
            self.compact();
        }
        Ok(Reconciled { hints_collide, bounds_differ })
    }

    /// Adds another histogram to this one, at the lower resolution of both.
    pub fn add(&mut self, other: &Histogram) -> Result<Reconciled, Incompatible> {
        self.combine(other, |a, b| a + b)
    }

    /// Subtracts another histogram from this one, at the lower resolution of both.
    pub fn subtract(&mut self, other: &Histogram) -> Result<Reconciled, Incompatible> {
        self.combine(other, |a, b| a - b)
    }

    fn each(&mut self, change: impl Fn(f64) -> f64) {
        for number in [&mut self.zero_count, &mut self.count, &mut self.sum] {
            *number = change(*number);
        }
        for number in self.positive_buckets.iter_mut().chain(&mut self.negative_buckets) {
            *number = change(*number);
        }
    }

    /// Multiplies all counts and the sum; by a negative factor the histogram becomes a gauge.
    pub fn multiply(&mut self, factor: f64) {
        self.each(|number| number * factor);
        if factor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum; division by zero removes all buckets.
    pub fn divide(&mut self, divisor: f64) {
        if divisor == 0.0 {
            self.set_positive(&[]);
            self.set_negative(&[]);
        }
        self.each(|number| number / divisor);
        if divisor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }
}

/// A running sum of histograms that keeps what rounding loses, bucket by bucket.
#[derive(Clone, Debug)]
pub struct Compensated {
    sum: Histogram,
    loss: Histogram,
}

impl Compensated {
    pub fn new(first: Histogram) -> Compensated {
        let mut loss = first.clone();
        loss.each(|_| 0.0);
        Compensated { sum: first, loss }
    }

    /// Adds a histogram.
    pub fn add(&mut self, other: &Histogram) -> Result<Reconciled, Incompatible> {
        let mut other = other.clone();
        let bounds_differ = self.sum.align(&mut other)?;
        self.loss.align(&mut self.sum.clone())?;
        let (hint, hints_collide) = join_hints(self.sum.reset_hint, other.reset_hint);
        self.sum.reset_hint = hint;
        let (sum, loss) = (&mut self.sum, &mut self.loss);
        (sum.zero_count, loss.zero_count) = compensated(other.zero_count, sum.zero_count, loss.zero_count);
        (sum.count, loss.count) = compensated(other.count, sum.count, loss.count);
        (sum.sum, loss.sum) = compensated(other.sum, sum.sum, loss.sum);
        let (positive, positive_loss) = merge_compensated(&sum.positive(), &loss.positive(), &other.positive());
        let (negative, negative_loss) = merge_compensated(&sum.negative(), &loss.negative(), &other.negative());
        sum.set_positive(&positive);
        loss.set_positive(&positive_loss);
        sum.set_negative(&negative);
        loss.set_negative(&negative_loss);
        Ok(Reconciled { hints_collide, bounds_differ })
    }

    /// Multiplies the sum so far.
    pub fn multiply(&mut self, factor: f64) {
        self.sum.multiply(factor);
        self.loss.multiply(factor);
    }

    /// Divides the sum so far.
    pub fn divide(&mut self, divisor: f64) {
        self.sum.divide(divisor);
        self.loss.divide(divisor);
    }

    pub fn has_overflow(&self) -> bool {
        self.sum.has_overflow()
    }

    /// Returns the sum with the losses put back.
    pub fn finish(mut self) -> Histogram {
        self.loss.reset_hint = self.sum.reset_hint;
        // Both have the same buckets by construction, so that adding them cannot fail.
        if self.sum.add(&self.loss).is_err() {
            unreachable!("a sum and its losses have the same buckets");
        }
        self.sum
    }
}

type Pairs = Vec<(i32, f64)>;

fn merge_compensated(sum: &[(i32, f64)], loss: &[(i32, f64)], other: &[(i32, f64)]) -> (Pairs, Pairs) {
    let losses: std::collections::BTreeMap<i32, f64> = loss.iter().copied().collect();
    let mut new_losses = Vec::with_capacity(sum.len());
    let indices = merge(sum, other, |_, _| 0.0);
    let mut at = 0;
    let sums = merge(sum, other, |own, increment| {
        let index = indices[at].0;
        at += 1;
        let (total, loss) = compensated(increment, own, losses.get(&index).copied().unwrap_or(0.0));
        new_losses.push((index, loss));
        total
    });
    (sums, new_losses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::histogram::CUSTOM_BUCKETS_SCHEMA;

    fn exponential(schema: i32, first: i32, buckets: &[f64]) -> Histogram {
        let mut histogram = Histogram { schema, ..Histogram::default() };
        let list: Vec<(i32, f64)> = buckets.iter().enumerate().map(|(at, count)| (first + at as i32, *count)).collect();
        histogram.set_positive(&list);
        histogram.count = buckets.iter().sum();
        histogram
    }

    #[test]
    fn adding_goes_to_the_lower_resolution() {
        let mut fine = exponential(1, 1, &[1.0, 2.0, 3.0]);
        fine.add(&exponential(0, 1, &[10.0, 20.0])).unwrap();
        assert_eq!((fine.schema, fine.positive()), (0, vec![(1, 13.0), (2, 23.0)]));
    }

    #[test]
    fn a_wider_zero_bucket_swallows_whole_buckets_only() {
        let mut narrow = exponential(0, 0, &[1.0, 2.0, 4.0]);
        let wide = Histogram { zero_threshold: 1.5, zero_count: 7.0, count: 7.0, ..Histogram::default() };
        narrow.add(&wide).unwrap();
        assert_eq!((narrow.zero_threshold, narrow.zero_count, narrow.positive()), (2.0, 10.0, vec![(2, 4.0)]));
    }

    #[test]
    fn custom_bounds_are_reduced_to_the_common_ones() {
        let custom = |bounds: &[f64], counts: &[f64]| Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_values: bounds.to_vec(),
            ..exponential(CUSTOM_BUCKETS_SCHEMA, 0, counts)
        };
        let mut sum = custom(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0, 1.0]);
        let outcome = sum.add(&custom(&[2.0, 4.0], &[5.0, 5.0, 5.0])).unwrap();
        assert!(outcome.bounds_differ);
        assert_eq!((sum.custom_values.as_slice(), sum.positive()), ([2.0].as_slice(), vec![(0, 7.0), (1, 12.0)]));
        assert_eq!(sum.add(&exponential(0, 0, &[1.0])), Err(Incompatible));
    }

    #[test]
    fn a_compensated_sum_keeps_small_parts() {
        let mut sum = Compensated::new(exponential(0, 0, &[1e100]));
        sum.add(&exponential(0, 0, &[1.0, 1.0])).unwrap();
        sum.add(&exponential(0, 0, &[-1e100])).unwrap();
        assert_eq!(sum.finish().positive(), [(0, 1.0), (1, 1.0)]);
    }
}
