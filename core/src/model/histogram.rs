//! Native histograms: a distribution in one sample.

mod arithmetic;
mod buckets;
mod check;
mod classic;
mod layout;
mod quantile;
mod reset;
mod text;
mod trim;

pub use arithmetic::{Compensated, Incompatible, Reconciled};
pub use buckets::Bucket;
pub use check::BadHistogram;
pub use classic::ClassicHistogram;
pub use quantile::{Estimate, Skew};

/// A run of populated buckets: `offset` buckets after the end of the previous run (or from index zero for the first), `length` long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketSpan {
    pub offset: i32,
    pub length: u32,
}

/// What is known about a counter reset between this histogram and the previous one of its series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetHint {
    #[default]
    Unknown,
    Reset,
    NoReset,
    Gauge,
}

/// A native histogram with absolute floating-point bucket counts.
///
/// Shape: `schema` -4..=8 is exponential (bucket bounds are powers of 2^(2^-schema)); -53 is custom bounds in `custom_values`, which
/// then has only positive buckets. A bucket list holds one absolute count for each bucket that its spans name.
/// Source: Prometheus `histogram.FloatHistogram`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    pub reset_hint: ResetHint,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive_spans: Vec<BucketSpan>,
    pub negative_spans: Vec<BucketSpan>,
    pub positive_buckets: Vec<f64>,
    pub negative_buckets: Vec<f64>,
    pub custom_values: Vec<f64>,
}

/// The schema number of histograms with custom bucket bounds.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

impl Histogram {
    /// Returns whether the bounds of the buckets are listed in `custom_values`.
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Returns whether both say the same, bit for bit: counts, sum, and the same buckets, empty ones included.
    ///
    /// The reset hint does not count; spans that describe the same buckets in another way are equal.
    pub fn same_data(&self, other: &Histogram) -> bool {
        let bits = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let same_side = |a: Vec<(i32, f64)>, b: Vec<(i32, f64)>| {
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && bits(a.1, b.1))
        };
        self.schema == other.schema
            && bits(self.count, other.count)
            && bits(self.sum, other.sum)
            && self.zero_threshold == other.zero_threshold
            && bits(self.zero_count, other.zero_count)
            && (!self.has_custom_buckets() || self.custom_values == other.custom_values)
            && same_side(self.positive(), other.positive())
            && same_side(self.negative(), other.negative())
    }

    /// Returns whether a count or the sum has grown beyond the range of numbers.
    pub fn has_overflow(&self) -> bool {
        let numbers = [self.zero_count, self.count, self.sum];
        numbers.iter().chain(&self.positive_buckets).chain(&self.negative_buckets).any(|number| number.is_infinite())
    }
}
