//! Finding counter resets between two histograms of a series.

use super::{Histogram, ResetHint};

impl Histogram {
    /// Returns whether a counter was reset between an earlier histogram and this one: a bucket or the count has shrunk, or the
    /// buckets have become finer.
    ///
    /// Source: Prometheus `FloatHistogram.DetectReset`.
    pub fn is_reset_from(&self, earlier: &Histogram) -> bool {
        match self.reset_hint {
            ResetHint::Reset => return true,
            ResetHint::NoReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < earlier.count {
            return true;
        }
        if self.has_custom_buckets() {
            if !earlier.has_custom_buckets() {
                return true;
            }
            if self.custom_values != earlier.custom_values {
                return self.shrank_in_common_bounds(earlier);
            }
        }
        if self.schema > earlier.schema || self.zero_threshold < earlier.zero_threshold {
            return true;
        }
        let (earlier_zeroes, threshold) = earlier.wider_zero_bucket(self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < earlier_zeroes {
            return true;
        }
        let mut coarse = earlier.clone();
        coarse.reduce_to_schema(self.schema);
        self.shrank(self.positive(), coarse.positive()) || self.shrank(self.negative(), coarse.negative())
    }

    /// Returns whether a bucket outside the zero bucket holds less than before.
    fn shrank(&self, own: Vec<(i32, f64)>, earlier: Vec<(i32, f64)>) -> bool {
        let mut own = own.into_iter().peekable();
        earlier.into_iter().any(|(index, before)| {
            if !self.has_custom_buckets() && self.bounds(index).1 <= self.zero_threshold {
                return false;
            }
            while own.next_if(|(earlier, _)| *earlier < index).is_some() {}
            let now = own.peek().filter(|(own, _)| *own == index).map_or(0.0, |(_, count)| *count);
            now < before
        })
    }

    fn shrank_in_common_bounds(&self, earlier: &Histogram) -> bool {
        let common = self.custom_values.iter().copied().filter(|bound| earlier.custom_values.contains(bound));
        let below = |histogram: &Histogram, from: f64, to: f64| -> f64 {
            let side = histogram.positive_side();
            side.iter().filter(|bucket| bucket.upper > from && bucket.upper <= to).map(|bucket| bucket.count).sum()
        };
        let mut from = f64::NEG_INFINITY;
        common.chain([f64::INFINITY]).any(|bound| {
            let shrank = below(self, from, bound) < below(earlier, from, bound);
            from = bound;
            shrank
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shrunken_bucket_is_a_reset_even_when_the_count_grew() {
        let histogram = |count: f64, buckets: &[(i32, f64)]| {
            let mut histogram = Histogram { count, ..Histogram::default() };
            histogram.set_positive(buckets);
            histogram
        };
        let earlier = histogram(3.0, &[(0, 1.0), (2, 2.0)]);
        assert!(histogram(4.0, &[(0, 4.0)]).is_reset_from(&earlier));
        assert!(!histogram(4.0, &[(0, 1.0), (1, 1.0), (2, 2.0)]).is_reset_from(&earlier));
        assert!(histogram(2.0, &[(0, 1.0), (2, 2.0)]).is_reset_from(&earlier));
    }
}
