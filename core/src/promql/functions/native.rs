//! Functions that read one number from a native histogram.

use std::sync::Arc;

use crate::model::histogram::Histogram;
use crate::model::sample::compensated;

/// Returns the variance that the buckets suggest, each taken to lie at its middle.
///
/// Source: Prometheus `histogramVariance`.
fn variance(histogram: &Histogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let (mut sum, mut loss) = (0.0, 0.0);
    for bucket in histogram.all_buckets().into_iter().filter(|bucket| bucket.count != 0.0) {
        let middle = if histogram.has_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let distance = middle - mean;
        (sum, loss) = compensated(bucket.count * distance * distance, sum, loss);
    }
    (sum + loss) / histogram.count
}

/// Returns the body of a function from histogram to number.
pub(crate) fn body(name: &str) -> Option<fn(&Arc<Histogram>) -> f64> {
    Some(match name {
        "histogram_count" => |histogram| histogram.count,
        "histogram_sum" => |histogram| histogram.sum,
        "histogram_avg" => |histogram| histogram.sum / histogram.count,
        "histogram_stdvar" => |histogram| variance(histogram),
        "histogram_stddev" => |histogram| variance(histogram).sqrt(),
        _ => return None,
    })
}
