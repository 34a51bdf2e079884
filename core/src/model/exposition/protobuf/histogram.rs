//! What a histogram's metric holds: classic buckets, a native histogram, or both.

use crate::model::Histogram;
use crate::model::histogram::{BadHistogram, BucketSpan, ClassicHistogram, ResetHint};

use super::BadMessage;
use super::metric::{RawExemplar, instant};
use crate::model::wire::Message;

/// The parts of a histogram as they are written.
#[derive(Debug, Default)]
pub struct Distribution<'a> {
    count: u64,
    count_float: f64,
    pub sum: f64,
    /// As they are written, up to and with the first that has no end.
    pub buckets: Vec<ClassicBucket<'a>>,
    is_bounded: bool,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    negative: Side,
    positive: Side,
    exemplars: Vec<RawExemplar<'a>>,
}

/// A bucket of a classic histogram.
#[derive(Clone, Copy, Debug)]
pub struct ClassicBucket<'a> {
    pub upper: f64,
    /// Of all observations up to the bound.
    pub count: f64,
    pub exemplar: Option<RawExemplar<'a>>,
}

/// The buckets on one side of zero.
#[derive(Debug, Default)]
struct Side {
    spans: Vec<BucketSpan>,
    /// Of whole counts, each against the bucket before.
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl Side {
    fn clear(&mut self) {
        self.spans.clear();
        self.deltas.clear();
        self.counts.clear();
    }
}

impl<'a> ClassicBucket<'a> {
    fn read(mut message: Message<'a>) -> Result<ClassicBucket<'a>, BadMessage> {
        let (mut whole, mut bucket) = (0, ClassicBucket { upper: 0.0, count: 0.0, exemplar: None });
        while let Some(field) = message.field()? {
            match field.number {
                1 => whole = message.integer(field)?,
                2 => bucket.upper = message.double(field)?,
                3 => bucket.exemplar = Some(RawExemplar::read(message.inner(field)?)?),
                4 => bucket.count = message.double(field)?,
                _ => message.skip(field)?,
            }
        }
        if bucket.count == 0.0 {
            bucket.count = whole as f64;
        }
        Ok(bucket)
    }
}

impl<'a> Distribution<'a> {
    pub(super) fn clear(&mut self) {
        (self.count, self.count_float, self.sum) = (0, 0.0, 0.0);
        self.buckets.clear();
        self.is_bounded = false;
        (self.schema, self.zero_threshold, self.zero_count, self.zero_count_float) = (0, 0.0, 0, 0.0);
        self.negative.clear();
        self.positive.clear();
        self.exemplars.clear();
    }

    pub(super) fn read(&mut self, mut message: Message<'a>) -> Result<(), BadMessage> {
        while let Some(field) = message.field()? {
            match field.number {
                1 => self.count = message.integer(field)?,
                2 => self.sum = message.double(field)?,
                3 => {
                    let bucket = ClassicBucket::read(message.inner(field)?)?;
                    if !self.is_bounded {
                        self.is_bounded = bucket.upper == f64::INFINITY;
                        self.buckets.push(bucket);
                    }
                }
                4 => self.count_float = message.double(field)?,
                5 => self.schema = message.small_signed(field)?,
                6 => self.zero_threshold = message.double(field)?,
                7 => self.zero_count = message.integer(field)?,
                8 => self.zero_count_float = message.double(field)?,
                9 => self.negative.spans.push(message.inner(field)?.span()?),
                10 => message.signed(field, &mut self.negative.deltas)?,
                11 => message.doubles(field, &mut self.negative.counts)?,
                12 => self.positive.spans.push(message.inner(field)?.span()?),
                13 => message.signed(field, &mut self.positive.deltas)?,
                14 => message.doubles(field, &mut self.positive.counts)?,
                15 => drop(instant(message.inner(field)?)?),
                16 => self.exemplars.push(RawExemplar::read(message.inner(field)?)?),
                _ => message.skip(field)?,
            }
        }
        Ok(())
    }

    /// Returns how many observations there are, as the classic form says it.
    pub fn observations(&self) -> f64 {
        if self.count_float == 0.0 { self.count as f64 } else { self.count_float }
    }

    /// Returns whether the classic buckets name one without an end; where they do not, the observations are its count.
    pub fn has_last_bucket(&self) -> bool {
        self.is_bounded
    }

    /// Returns whether there is a native histogram, which one without observations says by an empty span.
    ///
    /// Source: Prometheus `isNativeHistogram`.
    pub fn is_native(&self) -> bool {
        !self.positive.spans.is_empty() || !self.negative.spans.is_empty() || self.zero_threshold > 0.0 || self.zero_count > 0
    }

    /// Returns the exemplars of the native histogram: its own, else those of the classic buckets. Without a time they are none.
    ///
    /// Source: Prometheus `ProtobufParser.Exemplar`.
    pub fn exemplars(&self) -> impl Iterator<Item = &RawExemplar<'a>> {
        let of_buckets = self.buckets.iter().filter_map(|bucket| bucket.exemplar.as_ref());
        let of_buckets = of_buckets.filter(|_| self.exemplars.is_empty());
        self.exemplars.iter().chain(of_buckets).filter(|exemplar| exemplar.at.is_some())
    }

    /// Returns the native histogram, without empty buckets.
    ///
    /// Errors: counts that contradict each other.
    pub fn native(&self, is_gauge: bool) -> Result<Histogram, BadHistogram> {
        let mut histogram = Histogram {
            reset_hint: if is_gauge { ResetHint::Gauge } else { ResetHint::Unknown },
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            sum: self.sum,
            positive_spans: self.positive.spans.clone(),
            negative_spans: self.negative.spans.clone(),
            ..Histogram::default()
        };
        if self.count_float > 0.0 || self.zero_count_float > 0.0 {
            (histogram.count, histogram.zero_count) = (self.count_float, self.zero_count_float);
            histogram.positive_buckets.clone_from(&self.positive.counts);
            histogram.negative_buckets.clone_from(&self.negative.counts);
            histogram.check()?;
        } else {
            histogram.fill_whole(self.count, self.zero_count, &self.positive.deltas, &self.negative.deltas)?;
        }
        histogram.compact();
        Ok(histogram)
    }

    /// Returns the classic histogram as one whose bounds are listed; None where its counts contradict each other.
    pub fn converted(&self) -> Option<Histogram> {
        let mut classic = ClassicHistogram::default();
        classic.set_count(self.observations());
        classic.set_sum(self.sum);
        for bucket in self.buckets.iter().filter(|bucket| !bucket.upper.is_nan()) {
            classic.set_bucket(bucket.upper, bucket.count);
        }
        if !self.is_bounded {
            classic.set_bucket(f64::INFINITY, self.observations());
        }
        classic.convert()
    }
}
