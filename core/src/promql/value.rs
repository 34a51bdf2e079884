//! What an evaluation answers.

use crate::model::{LabelSet, Series, Value as SampleValue};
use crate::time::Timestamp;

/// One series of an instant vector.
#[derive(Clone, Debug)]
pub struct VectorSample {
    pub labels: LabelSet,
    pub value: SampleValue,
}

/// The value of an expression.
#[derive(Clone, Debug)]
pub enum Value {
    Scalar(f64),
    Text(String),
    /// Shape: no label set twice; in the order that the outermost function or aggregation gives, else in the order of evaluation.
    Vector(Vec<VectorSample>),
    /// Shape: sorted by labels, no label set twice, staleness markers left out.
    Matrix(Vec<Series>),
}

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The instant of an instant query; the last step of a range query.
    pub at: Timestamp,
    pub value: Value,
    /// Sorted, each once, with the place in the text as `(line:column)` at the end.
    pub warnings: Vec<String>,
    /// As `warnings`, for matters that are not faults of the query.
    pub infos: Vec<String>,
    pub stats: Stats,
    /// How many samples each step looked at, the windows of ranges counted at every step anew; a histogram counts as several, and what
    /// a subquery reads is counted as what it delivers.
    ///
    /// Source: Prometheus `totalQueryableSamplesPerStep`.
    pub samples_per_step: Vec<u64>,
}

/// What a query cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples that were read from the source.
    pub samples_loaded: usize,
    /// The most values that were held at one time, samples and intermediate results.
    pub samples_peak: usize,
    /// Series that were read from the source.
    pub series: usize,
}
