//! Cutting away the observations above or below a value.

use super::{Bucket, Histogram};

/// Which observations stay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Below,
    Above,
}

fn midpoint(bucket: Bucket, product: f64, linear: bool, positive: bool) -> f64 {
    match (linear, positive) {
        (true, _) => (bucket.lower + bucket.upper) / 2.0,
        (false, true) => product.sqrt(),
        (false, false) => -product.sqrt(),
    }
}

/// Returns how much of a bucket lies at or below a value.
fn count_below(bucket: Bucket, value: f64, positive: bool, linear: bool) -> f64 {
    if value <= bucket.lower {
        return 0.0;
    }
    if value >= bucket.upper {
        return bucket.count;
    }
    let share = if linear {
        (value - bucket.lower) / (bucket.upper - bucket.lower)
    } else {
        let [lower, upper, at] = [bucket.lower, bucket.upper, value].map(|bound| bound.abs().log2());
        if positive { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
    };
    bucket.count * share
}

/// Returns how much of a bucket without end stays, and where the rest is assumed to lie.
fn trim_infinite(bucket: Bucket, value: f64, keep: Keep) -> (f64, f64) {
    if bucket.lower == f64::NEG_INFINITY {
        // With a positive end, such a bucket is taken to start at zero.
        let inside = value >= 0.0 && bucket.upper > value && bucket.upper != f64::INFINITY;
        return match keep {
            Keep::Below if value >= bucket.upper => (bucket.count, 0.0),
            Keep::Below if inside => (bucket.count * value / bucket.upper, (value + bucket.upper) / 2.0),
            Keep::Above if value <= bucket.lower => (bucket.count, 0.0),
            Keep::Above if inside => (bucket.count * (1.0 - value / bucket.upper), value / 2.0),
            Keep::Below | Keep::Above => (0.0, bucket.upper),
        };
    }
    match keep {
        Keep::Above if value <= bucket.lower => (bucket.count, 0.0),
        Keep::Below | Keep::Above => (0.0, bucket.lower),
    }
}

/// Returns how much of a bucket stays, and where the rest is assumed to lie.
fn trim_bucket(bucket: Bucket, value: f64, keep: Keep, positive: bool, linear: bool) -> (f64, f64) {
    if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
        return trim_infinite(bucket, value, keep);
    }
    let below = count_below(bucket, value, positive, linear);
    match keep {
        Keep::Below => (below, midpoint(bucket, value.abs() * bucket.upper.abs(), linear, positive)),
        Keep::Above => (bucket.count - below, midpoint(bucket, value.abs() * bucket.lower.abs(), linear, positive)),
    }
}

impl Histogram {
    /// Cuts away observations above a value.
    pub fn trim_above(&mut self, value: f64) {
        self.trim(value, Keep::Below);
    }

    /// Cuts away observations below a value.
    pub fn trim_below(&mut self, value: f64) {
        self.trim(value, Keep::Above);
    }

    fn trim(&mut self, value: f64, keep: Keep) {
        let linear = self.has_custom_buckets();
        let (mut count, mut removed_sum) = (0.0, 0.0);
        let (mut has_positive, mut has_negative) = (false, false);
        for positive in [true, false] {
            let side = if positive { self.positive_side() } else { self.negative_side() };
            let mut list = if positive { self.positive() } else { self.negative() };
            for (bucket, (_, own)) in side.into_iter().zip(&mut list).filter(|(bucket, _)| bucket.count != 0.0) {
                if linear {
                    has_negative |= bucket.upper <= 0.0 || bucket.lower < 0.0;
                    has_positive |= bucket.upper > 0.0;
                } else {
                    has_positive |= positive;
                    has_negative |= !positive;
                }
                let (kept, middle) = trim_bucket(bucket, value, keep, positive, linear);
                let (inside, outside) = match keep {
                    Keep::Below => (bucket.upper <= value, bucket.lower >= value),
                    Keep::Above => (bucket.lower >= value, bucket.upper <= value),
                };
                if inside {
                    count += bucket.count;
                } else if outside {
                    let middle = if linear { middle } else { midpoint(bucket, bucket.lower * bucket.upper, false, positive) };
                    removed_sum += bucket.count * middle;
                    *own = 0.0;
                } else {
                    removed_sum += (bucket.count - kept) * middle;
                    count += kept;
                    *own = kept;
                }
            }
            if positive { self.set_positive(&list) } else { self.set_negative(&list) }
        }
        if self.zero_count > 0.0 {
            let bucket = self.zero_bucket();
            let below = count_below(bucket, value, true, true);
            self.zero_count = if keep == Keep::Below { below } else { bucket.count - below };
            count += self.zero_count;
        }
        let mut sum = if count == 0.0 { 0.0 } else { self.sum - removed_sum };
        if (!has_negative && sum < 0.0) || (!has_positive && sum > 0.0) {
            sum = 0.0;
        }
        self.count = count;
        self.sum = sum;
        self.compact();
    }
}
