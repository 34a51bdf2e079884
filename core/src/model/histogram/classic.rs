//! A classic histogram, put together from its series, as a native one whose bounds are listed.

use super::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, Histogram};

/// The buckets, the sum and the count of a classic histogram, as they come.
///
/// Source: Prometheus `convertnhcb.TempHistogram`.
#[derive(Clone, Debug, Default)]
pub struct ClassicHistogram {
    /// Bounds in order, each with the count of all observations up to it.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    is_bad: bool,
}

impl ClassicHistogram {
    /// Sets a bucket; the first of a bound counts. Counts that are negative or that sink with rising bounds spoil the histogram.
    pub fn set_bucket(&mut self, bound: f64, count: f64) {
        let at = self.buckets.partition_point(|(own, _)| *own < bound);
        if self.buckets.get(at).is_some_and(|(own, _)| *own == bound) {
            return;
        }
        let sinks = at.checked_sub(1).is_some_and(|before| count < self.buckets[before].1)
            || self.buckets.get(at).is_some_and(|(_, above)| count > *above);
        self.is_bad |= sinks || count < 0.0;
        self.buckets.insert(at, (bound, count));
    }

    pub fn set_count(&mut self, count: f64) {
        self.is_bad |= count < 0.0;
        self.count = Some(count);
    }

    pub fn set_sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// Returns the native histogram; None when the counts contradict each other.
    pub fn convert(mut self) -> Option<Histogram> {
        let count = self.count.unwrap_or_else(|| self.buckets.last().map_or(0.0, |(_, count)| *count));
        if self.buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        // A count that is no number differs from itself.
        let (_, all) = self.buckets[self.buckets.len() - 1];
        if self.is_bad || all != count {
            return None;
        }
        let mut below = 0.0;
        let own = self.buckets.iter().map(|(_, count)| count - std::mem::replace(&mut below, *count));
        let mut histogram = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_buckets: own.collect(),
            positive_spans: vec![BucketSpan { offset: 0, length: self.buckets.len() as u32 }],
            custom_values: self.buckets[..self.buckets.len() - 1].iter().map(|(bound, _)| *bound).collect(),
            ..Histogram::default()
        };
        histogram.check().ok()?;
        histogram.compact();
        Some(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(buckets: &[(f64, f64)], count: Option<f64>) -> Option<String> {
        let mut classic = ClassicHistogram::default();
        classic.set_sum(7.5);
        buckets.iter().for_each(|(bound, count)| classic.set_bucket(*bound, *count));
        count.into_iter().for_each(|count| classic.set_count(count));
        let histogram = classic.convert()?;
        assert_eq!(histogram.schema, CUSTOM_BUCKETS_SCHEMA);
        Some(format!("{histogram} {:?}", histogram.custom_values))
    }

    #[test]
    fn buckets_in_any_order_become_custom_buckets() {
        let whole = Some("{count:6, sum:7.5, [-Inf,0.5]:1, (2,+Inf]:5} [0.5, 2.0]".to_owned());
        let infinite = f64::INFINITY;
        for buckets in [
            &[(0.5, 1.0), (2.0, 1.0), (infinite, 6.0)][..],
            &[(infinite, 6.0), (2.0, 1.0), (0.5, 1.0)],
            &[(2.0, 1.0), (0.5, 1.0), (2.0, 5.0)],
        ] {
            assert_eq!(convert(buckets, Some(6.0)), whole, "{buckets:?}");
        }
        assert_eq!(
            convert(&[(0.5, 1.0), (infinite, 6.0)], None).as_deref(),
            Some("{count:6, sum:7.5, [-Inf,0.5]:1, (0.5,+Inf]:5} [0.5]")
        );
        assert_eq!(convert(&[], Some(3.0)).as_deref(), Some("{count:3, sum:7.5, [-Inf,+Inf]:3} []"));
    }

    #[test]
    fn counts_that_contradict_each_other_make_none() {
        let infinite = f64::INFINITY;
        assert_eq!(convert(&[(0.5, 2.0), (infinite, 1.0)], None), None);
        assert_eq!(convert(&[(infinite, 1.0), (0.5, 2.0)], None), None);
        assert_eq!(convert(&[(0.5, -1.0), (infinite, 1.0)], None), None);
        assert_eq!(convert(&[(0.5, 1.0), (infinite, 2.0)], Some(3.0)), None);
        assert_eq!(convert(&[(0.5, f64::NAN), (infinite, f64::NAN)], None), None);
        assert_eq!(convert(&[], Some(-1.0)), None);
    }
}
