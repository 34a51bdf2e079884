//! Quantiles and fractions of a native histogram.

use super::{Bucket, Histogram};

/// How observations of NaN bend an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// The rank lies among the NaN observations, so that the answer is NaN.
    IsNan,
    /// NaN observations count as larger than all others.
    Higher,
}

/// An estimate from buckets, and how NaN observations bend it.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    pub value: f64,
    pub skew: Option<Skew>,
}

impl From<f64> for Estimate {
    fn from(value: f64) -> Estimate {
        Estimate { value, skew: None }
    }
}

impl Histogram {
    /// Cuts the zero bucket at zero when observations lie on one side only.
    pub(super) fn one_sided(&self, mut bucket: Bucket) -> Bucket {
        if self.negative_buckets.is_empty() && !self.positive_buckets.is_empty() {
            bucket.lower = 0.0;
        } else if self.positive_buckets.is_empty() && !self.negative_buckets.is_empty() {
            bucket.upper = 0.0;
        }
        bucket
    }

    /// Returns the estimated quantile: linear within custom and zero buckets, exponential within exponential ones.
    ///
    /// Below 0 it is negative, above 1 positive infinity; NaN for NaN and for a histogram without observations.
    /// Source: Prometheus `HistogramQuantile`.
    pub fn quantile(&self, quantile: f64) -> Estimate {
        if quantile < 0.0 {
            return f64::NEG_INFINITY.into();
        }
        if quantile > 1.0 {
            return f64::INFINITY.into();
        }
        if self.count == 0.0 || quantile.is_nan() {
            return f64::NAN.into();
        }
        // NaN observations are in the count and in no bucket; only counting from below finds the rank then.
        let upwards = self.sum.is_nan() || quantile < 0.5;
        let mut buckets = self.all_buckets();
        let mut rank = quantile * self.count;
        if !upwards {
            buckets.reverse();
            rank = (1.0 - quantile) * self.count;
        }
        let (mut bucket, mut count, mut rest) = (Bucket::default(), 0.0, 0.0);
        let mut buckets = buckets.into_iter();
        for next in buckets.by_ref() {
            bucket = next;
            if bucket.count == 0.0 {
                continue;
            }
            count += bucket.count;
            if count >= rank {
                break;
            }
        }
        rest += buckets.map(|bucket| bucket.count).sum::<f64>();
        if self.has_custom_buckets() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return bucket.upper.into();
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return bucket.lower.into();
            }
        } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
            bucket = self.one_sided(bucket);
        }
        // Rounding may have carried the buckets beyond the count.
        count = count.min(self.count);
        if count < rank {
            return match self.sum.is_nan() {
                true => Estimate { value: f64::NAN, skew: Some(Skew::IsNan) },
                false => bucket.upper.into(),
            };
        }
        let rank = if upwards { rank - (count - bucket.count) } else { count - rank };
        let skew = (self.sum.is_nan() && count + rest < self.count).then_some(Skew::Higher);
        let share = rank / bucket.count;
        let value = if self.has_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
            bucket.lower + (bucket.upper - bucket.lower) * share
        } else {
            let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
            if bucket.lower > 0.0 {
                (lower + (upper - lower) * share).exp2()
            } else {
                -(upper + (lower - upper) * (1.0 - share)).exp2()
            }
        };
        Estimate { value, skew }
    }

    /// Returns the estimated share of observations between two values.
    ///
    /// `skew` is `Higher` when observations of NaN exist, which are in no share.
    /// Source: Prometheus `HistogramFraction`.
    pub fn fraction(&self, lower: f64, upper: f64) -> Estimate {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return f64::NAN.into();
        }
        if lower >= upper {
            return 0.0.into();
        }
        let (mut rank, mut ranks) = (0.0, [None::<f64>; 2]);
        let buckets = self.all_buckets();
        for bucket in &buckets {
            let is_zero_bucket = bucket.lower <= 0.0 && bucket.upper >= 0.0;
            let bucket = if is_zero_bucket { self.one_sided(*bucket) } else { *bucket };
            let linear = self.has_custom_buckets() || is_zero_bucket;
            for (found, value) in ranks.iter_mut().zip([lower, upper]) {
                if found.is_some() {
                    continue;
                }
                if bucket.lower >= value {
                    *found = Some(rank);
                } else if bucket.lower < value && bucket.upper > value {
                    *found = Some(if linear {
                        rank_linear(bucket, rank, value)
                    } else {
                        rank + bucket.count * share_exponential(bucket, value)
                    });
                }
            }
            if ranks.iter().all(Option::is_some) {
                break;
            }
            rank += bucket.count;
        }
        let (mut count, mut skew) = (self.count, None);
        if self.sum.is_nan() {
            count = buckets.iter().map(|bucket| bucket.count).sum();
            skew = (count < self.count).then_some(Skew::Higher);
        }
        let [below_lower, below_upper] = ranks.map(|rank| rank.filter(|rank| *rank <= count).unwrap_or(count));
        Estimate { value: (below_upper - below_lower) / self.count, skew }
    }
}

fn rank_linear(bucket: Bucket, rank: f64, value: f64) -> f64 {
    // An infinite bucket has no inside to interpolate in; its observations count as below.
    if bucket.lower == f64::NEG_INFINITY {
        return bucket.count;
    }
    rank + bucket.count * (value - bucket.lower) / (bucket.upper - bucket.lower)
}

fn share_exponential(bucket: Bucket, value: f64) -> f64 {
    let [lower, upper, at] = [bucket.lower, bucket.upper, value].map(|bound| bound.abs().log2());
    if value > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_at_the_geometric_middle_of_its_bucket() {
        let mut histogram = Histogram { count: 4.0, sum: 5.0, ..Histogram::default() };
        histogram.set_positive(&[(0, 1.0), (1, 2.0), (2, 1.0)]);
        assert!((histogram.quantile(0.5).value - std::f64::consts::SQRT_2).abs() < 1e-12);
        assert_eq!(histogram.fraction(1.0, 2.0).value, 0.5);
        assert!(histogram.quantile(f64::NAN).value.is_nan());
    }
}
