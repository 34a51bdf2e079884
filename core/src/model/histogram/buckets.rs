//! The bounds of buckets, and walking through all of them.

use std::sync::LazyLock;

use super::{CUSTOM_BUCKETS_SCHEMA, Histogram};

/// One bucket with its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
}

/// The bounds between a half and one of the finest schema, in order; those of a coarser one are every so many of them.
///
/// Source: the table of Prometheus' `model/histogram`: each schema adds the bounds between those of the one before by multiplication.
/// The root of a half is as that table has it, not the nearest number, and so are those that follow from it.
static FRACTIONS: LazyLock<[f64; 256]> = LazyLock::new(|| {
    const FIRST: [f64; 8] = [
        0.7071067811865475,
        0.5946035575013605,
        0.5452538663326288,
        0.5221368912137069,
        0.5109485743270583,
        0.5054446430258502,
        0.5027149505564014,
        0.5013556375251013,
    ];
    let mut all = [0.5; 256];
    for (schema, first) in (1..).zip(FIRST) {
        let stride = 256 >> schema;
        for at in (stride..256).step_by(2 * stride) {
            all[at] = all[at - stride] * (2.0 * first);
        }
    }
    all
});

/// Returns the upper bound of a positive exponential bucket.
///
/// Source: Prometheus `getBoundExponential`.
pub(super) fn exponential_bound(index: i32, schema: i32) -> f64 {
    let (fraction, exponent) = if schema <= 0 {
        (0.5, (i64::from(index) << -schema.max(-16)) + 1)
    } else {
        let schema = schema.min(16);
        let within = index & ((1 << schema) - 1);
        let fraction = match usize::try_from(within << (8 - schema).max(0)) {
            Ok(at) if schema <= 8 => FRACTIONS[at],
            _ => (f64::from(within) / f64::from(1 << schema)).exp2() / 2.0,
        };
        (fraction, (i64::from(index) >> schema) + 1)
    };
    if fraction == 0.5 && exponent == 1025 {
        // The last bucket ends at the largest number, so that infinity keeps a bucket of its own.
        return f64::MAX;
    }
    // In two steps, because 2^exponent alone may underflow or overflow where the product does not.
    let half = (exponent / 2).clamp(-1100, 1100) as i32;
    let rest = (exponent - i64::from(half)).clamp(-1100, 1100) as i32;
    fraction * 2f64.powi(half) * 2f64.powi(rest)
}

fn custom_bound(index: i32, bounds: &[f64]) -> f64 {
    match usize::try_from(index) {
        Err(_) => f64::NEG_INFINITY,
        Ok(index) => bounds.get(index).copied().unwrap_or(f64::INFINITY),
    }
}

impl Histogram {
    /// Returns the bounds, by absolute value, of the bucket with an index.
    pub(super) fn bounds(&self, index: i32) -> (f64, f64) {
        let bound = |index| match self.schema {
            CUSTOM_BUCKETS_SCHEMA => custom_bound(index, &self.custom_values),
            schema => exponential_bound(index, schema),
        };
        (bound(index.wrapping_sub(1)), bound(index))
    }

    pub(super) fn zero_bucket(&self) -> Bucket {
        Bucket { lower: -self.zero_threshold, upper: self.zero_threshold, count: self.zero_count }
    }

    /// Returns the positive buckets, lowest first, empty ones included.
    pub fn positive_side(&self) -> Vec<Bucket> {
        let list = self.positive();
        list.into_iter()
            .map(|(index, count)| (self.bounds(index), count))
            .map(|((lower, upper), count)| Bucket { lower, upper, count })
            .collect()
    }

    /// Returns the negative buckets, the one next to zero first, empty ones included.
    pub fn negative_side(&self) -> Vec<Bucket> {
        let list = self.negative();
        list.into_iter()
            .map(|(index, count)| (self.bounds(index), count))
            .map(|((near, far), count)| Bucket { lower: -far, upper: -near, count })
            .collect()
    }

    /// Returns all buckets in ascending order: negative, zero (when it is populated), positive.
    ///
    /// Where a bucket reaches into the zero bucket, its bound is cut back to the zero threshold.
    pub fn all_buckets(&self) -> Vec<Bucket> {
        let mut all = self.negative_side();
        all.reverse();
        if self.zero_count > 0.0 {
            all.push(self.zero_bucket());
        }
        all.extend(self.positive_side());
        let threshold = self.zero_threshold;
        for bucket in &mut all {
            if bucket.upper < 0.0 && bucket.upper > -threshold {
                bucket.upper = -threshold;
            } else if bucket.lower > 0.0 && bucket.lower < threshold {
                bucket.lower = threshold;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_follow_the_schema() {
        for (index, schema, bound) in [
            (0, 0, 1.0),
            (1, 0, 2.0),
            (-1, 0, 0.5),
            (2, 1, 2.0),
            (1, 1, 2.0 * 0.7071067811865475),
            (7, 3, 2.0 * 0.9170040432046711),
            (1, 8, 2.0 * 0.5013556375251013),
            (-1, 8, 0.9972960560854698),
            (-65, 8, 0.8386226785089391),
            (1, -1, 4.0),
            (1024, 0, f64::MAX),
            (-1074, 0, 5e-324),
            (64, -4, f64::MAX),
        ] {
            assert_eq!(exponential_bound(index, schema), bound, "index {index} of schema {schema}");
        }
    }
}
