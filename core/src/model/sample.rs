//! Samples: one value at one time.

use std::sync::Arc;

use crate::time::Timestamp;

use super::histogram::Histogram;
use super::labels::LabelSet;

/// The bits of the staleness marker: a NaN that says "this series ended here".
///
/// Source: Prometheus `value.StaleNaN`.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;
/// The staleness marker as a value.
pub const STALE: f64 = f64::from_bits(STALE_BITS);

/// Returns whether a value is the staleness marker; other NaNs are ordinary values.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// Returns the sum of two numbers and what rounding lost of it, added to the loss so far: Neumaier's variant of Kahan's summation.
///
/// Source: Prometheus `kahansum.Inc`.
pub fn compensated(increment: f64, sum: f64, loss: f64) -> (f64, f64) {
    let total = sum + increment;
    let loss = if total.is_infinite() {
        0.0
    } else if sum.abs() >= increment.abs() {
        loss + ((sum - total) + increment)
    } else {
        loss + ((increment - total) + sum)
    };
    (total, loss)
}

/// Returns a number with the fewest digits that read back as the same number, as Go's `%g` writes it: with an exponent of at least
/// two digits below 1e-4 and from 1e6 on; infinities are `+Inf` and `-Inf`.
pub fn shortest(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    format!("{value}")
}

#[derive(Clone, Debug)]
pub enum Value {
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl Value {
    /// Returns whether the value is a staleness marker; a histogram says so by its sum.
    pub fn is_stale(&self) -> bool {
        match self {
            Value::Float(value) => is_stale(*value),
            Value::Histogram(histogram) => is_stale(histogram.sum),
        }
    }
}

/// One value at one time.
#[derive(Clone, Debug)]
pub struct Sample {
    pub at: Timestamp,
    pub value: Value,
}

/// A series' samples over some span of time.
///
/// Shape: floats and histograms each in order of time, no instant twice over both; staleness markers are included, as floats.
#[derive(Clone, Debug, Default)]
pub struct Series {
    pub labels: LabelSet,
    pub floats: Vec<(i64, f64)>,
    pub histograms: Vec<(i64, Arc<Histogram>)>,
    /// Since when samples count: the instant of a sample and its start timestamp, in order of time. A sample whose start nobody
    /// told is left out.
    pub starts: Vec<(i64, i64)>,
}

/// A series' number in the store of this process; it means nothing after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(pub u32);

/// One value of a row.
#[derive(Clone, Debug)]
pub struct Cell {
    pub series: SeriesRef,
    /// The value's own time where the target gave one; None: the row's.
    pub at: Option<Timestamp>,
    pub value: Value,
}

/// What one scrape, one evaluation of a rule group or one piece of a remote write brings: the unit of logging and of visibility.
#[derive(Clone, Debug)]
pub struct Row {
    pub at: Timestamp,
    pub cells: Vec<Cell>,
}
