//! Bucket lists as pairs of index and count, in place of spans.

use super::{BucketSpan, Histogram};

/// Returns index and count of every bucket that the spans name, in ascending order of index.
///
/// Buckets that the spans promise but the list lacks are left out, as are counts that no span covers.
fn pairs(spans: &[BucketSpan], buckets: &[f64]) -> Vec<(i32, f64)> {
    let mut out = Vec::with_capacity(buckets.len());
    let (mut index, mut counts) = (0i32, buckets.iter());
    for span in spans {
        index = index.wrapping_add(span.offset);
        for _ in 0..span.length {
            let Some(count) = counts.next() else { return out };
            out.push((index, *count));
            index = index.wrapping_add(1);
        }
    }
    out
}

fn spans(pairs: &[(i32, f64)]) -> (Vec<BucketSpan>, Vec<f64>) {
    let (mut spans, mut next): (Vec<BucketSpan>, i32) = (Vec::new(), 0);
    for (index, _) in pairs {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(BucketSpan { offset: index.wrapping_sub(next), length: 1 }),
        }
        next = index.wrapping_add(1);
    }
    (spans, pairs.iter().map(|(_, count)| *count).collect())
}

impl Histogram {
    /// Returns index and count of the positive buckets, lowest first.
    pub(super) fn positive(&self) -> Vec<(i32, f64)> {
        pairs(&self.positive_spans, &self.positive_buckets)
    }

    /// Returns index and count of the negative buckets, the one next to zero first.
    pub(super) fn negative(&self) -> Vec<(i32, f64)> {
        pairs(&self.negative_spans, &self.negative_buckets)
    }

    pub(super) fn set_positive(&mut self, pairs: &[(i32, f64)]) {
        (self.positive_spans, self.positive_buckets) = spans(pairs);
    }

    pub(super) fn set_negative(&mut self, pairs: &[(i32, f64)]) {
        (self.negative_spans, self.negative_buckets) = spans(pairs);
    }

    /// Drops empty buckets and joins spans that touch.
    pub fn compact(&mut self) {
        for positive in [true, false] {
            let mut list = if positive { self.positive() } else { self.negative() };
            list.retain(|(_, count)| *count != 0.0);
            if positive { self.set_positive(&list) } else { self.set_negative(&list) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compacting_drops_empty_buckets_and_joins_spans() {
        let mut histogram = Histogram {
            positive_spans: vec![BucketSpan { offset: -1, length: 2 }, BucketSpan { offset: 0, length: 3 }],
            positive_buckets: vec![0.0, 1.0, 2.0, 0.0, 3.0],
            ..Histogram::default()
        };
        histogram.compact();
        assert_eq!(histogram.positive(), [(0, 1.0), (1, 2.0), (3, 3.0)]);
        assert_eq!(histogram.positive_spans, [BucketSpan { offset: 0, length: 2 }, BucketSpan { offset: 1, length: 1 }]);
    }
}
