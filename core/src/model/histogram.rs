//! Native histograms: a distribution in one sample.

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
