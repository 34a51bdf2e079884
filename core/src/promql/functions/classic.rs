//! Classic histograms: one series for each bucket, told apart by the label `le`.

/// One bucket of a classic histogram: how many observations are at most `upper`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClassicBucket {
    pub upper: f64,
    pub count: f64,
}

/// Differences of counts that are no larger, relatively, are taken for rounding.
const SMALL: f64 = 1e-12;

/// Returns whether two numbers differ by rounding only.
///
/// Source: Prometheus `util/almost`.
pub(crate) fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if crate::model::is_stale(a) || crate::model::is_stale(b) {
        return crate::model::is_stale(a) && crate::model::is_stale(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < epsilon * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < epsilon
}

/// Sorts the buckets and joins those of equal bound.
fn normalize(buckets: &mut Vec<ClassicBucket>) {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Lifts counts that are lower than the count of a smaller bucket. Returns whether more than rounding had to be repaired.
fn make_monotonic(buckets: &mut [ClassicBucket]) -> bool {
    let Some(first) = buckets.first() else { return false };
    let (mut before, mut repaired) = (first.count, false);
    for bucket in &mut buckets[1..] {
        if almost_equal(before, bucket.count, SMALL) {
            bucket.count = before;
        } else if bucket.count < before {
            bucket.count = before;
            repaired = true;
        } else {
            before = bucket.count;
        }
    }
    repaired
}

/// Returns the quantile that the buckets suggest, linear within a bucket, and whether counts had to be repaired.
///
/// NaN without a bucket up to infinity, with less than two buckets, and without observations. In the last bucket it is the bound of
/// the last but one; a first bucket with positive bound is taken to start at zero.
/// Source: Prometheus `BucketQuantile`.
pub(crate) fn quantile(quantile: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, bool) {
    if quantile.is_nan() {
        return (f64::NAN, false);
    }
    if quantile < 0.0 {
        return (f64::NEG_INFINITY, false);
    }
    if quantile > 1.0 {
        return (f64::INFINITY, false);
    }
    normalize(buckets);
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return (f64::NAN, false);
    }
    let repaired = make_monotonic(buckets);
    let [inner @ .., last] = buckets.as_slice() else { return (f64::NAN, repaired) };
    let (Some(first), Some(before_last)) = (inner.first(), inner.last()) else { return (f64::NAN, repaired) };
    if last.count == 0.0 {
        return (f64::NAN, repaired);
    }
    let rank = quantile * last.count;
    let value = match inner.iter().position(|bucket| bucket.count >= rank) {
        None => before_last.upper,
        Some(0) if first.upper <= 0.0 => first.upper,
        Some(index) => {
            let (start, before) = index.checked_sub(1).map_or((0.0, 0.0), |below| (inner[below].upper, inner[below].count));
            start + (inner[index].upper - start) * ((rank - before) / (inner[index].count - before))
        }
    };
    (value, repaired)
}

/// Returns the share of observations between two values that the buckets suggest.
///
/// Source: Prometheus `BucketFraction`.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    normalize(buckets);
    let Some(last) = buckets.last().filter(|last| last.upper == f64::INFINITY) else { return f64::NAN };
    let count = last.count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut start = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let (mut rank, mut ranks) = (0.0, [None::<f64>; 2]);
    for bucket in buckets.iter() {
        for (found, value) in ranks.iter_mut().zip([lower, upper]).filter(|(found, _)| found.is_none()) {
            if start >= value {
                *found = Some(rank);
            } else if bucket.upper > value {
                *found = Some(match start == f64::NEG_INFINITY {
                    true => bucket.count,
                    false => rank + (bucket.count - rank) * (value - start) / (bucket.upper - start),
                });
            }
        }
        start = bucket.upper;
        rank = bucket.count;
    }
    let [below_lower, below_upper] = ranks.map(|rank| rank.filter(|rank| *rank <= count).unwrap_or(count));
    (below_upper - below_lower) / count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(list: &[(f64, f64)]) -> Vec<ClassicBucket> {
        list.iter().map(|(upper, count)| ClassicBucket { upper: *upper, count: *count }).collect()
    }

    #[test]
    fn quantiles_interpolate_within_a_bucket() {
        let all = [(f64::INFINITY, 4.0), (1.0, 1.0), (2.0, 3.0)];
        for (q, expected) in [(0.5, 1.5), (0.25, 1.0), (0.125, 0.5), (1.0, 2.0), (-1.0, f64::NEG_INFINITY)] {
            assert_eq!(quantile(q, &mut buckets(&all)), (expected, false), "quantile {q}");
        }
        assert!(quantile(0.5, &mut buckets(&[(1.0, 1.0)])).0.is_nan());
    }

    #[test]
    fn two_buckets_are_enough() {
        assert_eq!(quantile(0.5, &mut buckets(&[(2.0, 4.0), (f64::INFINITY, 4.0)])), (1.0, false));
        assert_eq!(quantile(0.9, &mut buckets(&[(2.0, 1.0), (f64::INFINITY, 4.0)])), (2.0, false));
    }

    #[test]
    fn falling_counts_are_repaired() {
        let (value, repaired) = quantile(0.5, &mut buckets(&[(1.0, 4.0), (2.0, 3.0), (f64::INFINITY, 4.0)]));
        assert!(repaired);
        assert_eq!(value, 0.5);
    }

    #[test]
    fn fractions_are_linear_within_a_bucket() {
        let all = [(1.0, 1.0), (2.0, 3.0), (f64::INFINITY, 4.0)];
        assert_eq!(fraction(0.0, 1.5, &mut buckets(&all)), 0.5);
        assert_eq!(fraction(1.0, f64::INFINITY, &mut buckets(&all)), 0.75);
    }
}
