//! Cutting away the observations above or below a value.

use super::{Bucket, Histogram};

/// Which observations stay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Below,
    Above,
}

/// How observations are taken to be spread within a bucket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    Even,
    Exponential,
}

impl Spread {
    /// Returns the share of a bucket that lies at or below a value inside it.
    fn share_below(self, bucket: Bucket, value: f64) -> f64 {
        match self {
            Spread::Even => (value - bucket.lower) / (bucket.upper - bucket.lower),
            Spread::Exponential => {
                let [lower, upper, at] = [bucket.lower, bucket.upper, value].map(|bound| bound.abs().log2());
                if bucket.lower > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
            }
        }
    }

    /// Returns where the observations between two values are taken to lie on average.
    fn middle(self, lower: f64, upper: f64) -> f64 {
        match self {
            Spread::Even => (lower + upper) / 2.0,
            Spread::Exponential => (lower * upper).sqrt().copysign(upper),
        }
    }
}

/// Returns how many observations of a bucket stay, and where they are taken to lie on average.
fn trim_bucket(mut bucket: Bucket, value: f64, keep: Keep, spread: Spread) -> (f64, f64) {
    if bucket.lower == bucket.upper {
        let inside = if keep == Keep::Below { value >= bucket.upper } else { value <= bucket.lower };
        return (if inside { bucket.count } else { 0.0 }, bucket.lower);
    }
    let (open_below, open_above) = (bucket.lower == f64::NEG_INFINITY, bucket.upper == f64::INFINITY);
    if open_below && open_above {
        // Nothing is known about where these observations lie.
        let all = if keep == Keep::Below { value == f64::INFINITY } else { value == f64::NEG_INFINITY };
        return (if all { bucket.count } else { 0.0 }, 0.0);
    }
    if open_above {
        // What stays of an endless bucket is taken to lie at its finite end, or at the value.
        return match keep {
            Keep::Below if value == f64::INFINITY => (bucket.count, bucket.lower),
            Keep::Below => (0.0, 0.0),
            Keep::Above if value == f64::INFINITY => (0.0, 0.0),
            Keep::Above => (bucket.count, bucket.lower.max(value)),
        };
    }
    if open_below {
        if bucket.upper <= 0.0 {
            return match keep {
                Keep::Below if value == f64::NEG_INFINITY => (0.0, 0.0),
                Keep::Below => (bucket.count, bucket.upper.min(value)),
                Keep::Above if value == f64::NEG_INFINITY => (bucket.count, bucket.upper),
                Keep::Above => (0.0, 0.0),
            };
        }
        // With a positive end, such a bucket is taken to start at zero.
        bucket.lower = 0.0;
    }
    let (lower, upper) = match keep {
        Keep::Below => (bucket.lower, bucket.upper.min(value)),
        Keep::Above => (bucket.lower.max(value), bucket.upper),
    };
    if lower >= upper {
        return (0.0, 0.0);
    }
    let count = match (keep, value > bucket.lower && value < bucket.upper) {
        (_, false) => bucket.count,
        (Keep::Below, true) => bucket.count * spread.share_below(bucket, value),
        (Keep::Above, true) => bucket.count * (1.0 - spread.share_below(bucket, value)),
    };
    (count, spread.middle(lower, upper))
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

    /// The sum becomes an estimate from what stays in the buckets; it is kept as it is when everything stays.
    fn trim(&mut self, value: f64, keep: Keep) {
        let spread = if self.has_custom_buckets() { Spread::Even } else { Spread::Exponential };
        let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
        let mut take = |bucket: Bucket, spread: Spread| {
            if bucket.count == 0.0 {
                return 0.0;
            }
            let (kept, middle) = trim_bucket(bucket, value, keep, spread);
            changed |= kept != bucket.count;
            count += kept;
            sum += kept * middle;
            kept
        };
        let zero = self.one_sided(self.zero_bucket());
        let zero_count = take(zero, Spread::Even);
        let positive: Vec<(i32, f64)> =
            self.positive().iter().zip(self.positive_side()).map(|((index, _), bucket)| (*index, take(bucket, spread))).collect();
        let negative: Vec<(i32, f64)> =
            self.negative().iter().zip(self.negative_side()).map(|((index, _), bucket)| (*index, take(bucket, spread))).collect();
        if !changed && zero_count == self.zero_count {
            return self.compact();
        }
        self.zero_count = zero_count;
        self.set_positive(&positive);
        self.set_negative(&negative);
        (self.count, self.sum) = (count, sum);
        self.compact();
    }
}
