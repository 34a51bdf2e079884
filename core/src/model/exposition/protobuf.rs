//! The exposition as Protocol Buffers: `io.prometheus.client.MetricFamily`, each behind its length. It is the one that brings native
//! histograms.
//!
//! A body is read in one pass without copies; what a metric holds goes into lists that are used again for the next one. What is
//! accepted is what Prometheus accepts, but for spans of buckets that do not fit their counts: those are refused, whatever follows.

mod histogram;
mod metric;

use std::borrow::Cow;

use super::MetricType;
use super::series::Label;
use crate::model::wire::Message;

pub use crate::model::wire::BadMessage;
pub use histogram::{ClassicBucket, Distribution};
pub use metric::{Metric, Part, RawExemplar, Summary};

/// The families of a body, in order; ends at the body's end or behind the first error.
pub struct Families<'a> {
    rest: Option<Message<'a>>,
}

/// A family of metrics: what is said of all of them.
#[derive(Clone, Copy, Debug)]
pub struct Family<'a> {
    pub name: &'a str,
    pub help: &'a str,
    pub unit: &'a str,
    pub kind: MetricType,
    message: Message<'a>,
}

/// The metrics of a family, in order.
pub struct Metrics<'a> {
    kind: MetricType,
    rest: Message<'a>,
}

impl<'a> Families<'a> {
    pub fn new(body: &'a [u8]) -> Families<'a> {
        Families { rest: Some(Message::new(body)) }
    }
}

impl<'a> Iterator for Families<'a> {
    type Item = Result<Family<'a>, BadMessage>;

    /// Returns the next family that has a metric.
    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.rest.take()?;
        while !rest.is_at_end() {
            match rest.delimited().and_then(Family::read) {
                Ok(None) => {}
                Ok(Some(family)) => {
                    self.rest = Some(rest);
                    return Some(Ok(family));
                }
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

impl<'a> Family<'a> {
    /// Reads all but the metrics; None when there are none.
    fn read(message: Message<'a>) -> Result<Option<Family<'a>>, BadMessage> {
        let (mut name, mut help, mut unit): (&[u8], &[u8], &[u8]) = (b"", b"", b"");
        let (mut kind, mut is_empty, mut rest) = (0, true, message);
        while let Some(field) = rest.field()? {
            match field.number {
                1 => name = rest.inner(field)?.bytes(),
                2 => help = rest.inner(field)?.bytes(),
                3 => kind = rest.integer(field)? as i32,
                4 => {
                    rest.inner(field)?;
                    is_empty = false;
                }
                5 => unit = rest.inner(field)?.bytes(),
                _ => rest.skip(field)?,
            }
        }
        if is_empty {
            return Ok(None);
        }
        let at = message.at;
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).ok();
        let shown = || String::from_utf8_lossy(name).into_owned();
        let bad_name = || BadMessage::new(at, format!("invalid metric name: {}", shown()));
        let name = text(name).filter(|name| !name.is_empty()).ok_or_else(bad_name)?;
        let help = text(help).ok_or_else(|| BadMessage::new(at, format!("invalid help for metric {name:?}")))?;
        let kind = match kind {
            0 => MetricType::Counter,
            1 => MetricType::Gauge,
            2 => MetricType::Summary,
            3 => MetricType::Unknown,
            4 => MetricType::Histogram,
            5 => MetricType::GaugeHistogram,
            other => return Err(BadMessage::new(at, format!("unknown metric type for metric {name:?}: {other}"))),
        };
        let is_suffix = |name: &str| text(unit).and_then(|unit| name.strip_suffix(unit)).is_some_and(|rest| rest.ends_with('_'));
        let measured = name.strip_suffix("_total").filter(|_| kind == MetricType::Counter).unwrap_or(name);
        if !unit.is_empty() && !is_suffix(measured) {
            let unit = String::from_utf8_lossy(unit);
            return Err(BadMessage::new(at, format!("unit {unit:?} not a suffix of metric {name:?}")));
        }
        let unit = text(unit).unwrap_or_default();
        Ok(Some(Family { name, help, unit, kind, message }))
    }

    pub fn metrics(&self) -> Metrics<'a> {
        Metrics { kind: self.kind, rest: self.message }
    }
}

impl<'a> Metrics<'a> {
    /// Reads the next metric into `metric`, in place of what it held; false when there is none.
    pub fn read(&mut self, metric: &mut Metric<'a>) -> Result<bool, BadMessage> {
        while let Some(field) = self.rest.field()? {
            if field.number == 4 {
                metric.read(self.rest.inner(field)?, self.kind)?;
                return Ok(true);
            }
            self.rest.skip(field)?;
        }
        Ok(false)
    }
}

/// Appends the labels of some label fields to `out`, in the order of the body.
///
/// Errors: damage, or a name or value that is no text.
fn push_labels<'a>(mut fields: Message<'a>, out: &mut Vec<Label<'a>>) -> Result<(), BadMessage> {
    while let Some(field) = fields.field()? {
        let (name, value) = fields.inner(field)?.pair()?;
        let text = |bytes: &'a [u8], what: &str| {
            let shown = || format!("invalid label {what}: {}", String::from_utf8_lossy(bytes));
            std::str::from_utf8(bytes).map_err(|_| BadMessage::new(field.at, shown()))
        };
        let (name, value) = (text(name, "name")?, text(value, "value")?);
        if name.is_empty() {
            return Err(BadMessage::new(field.at, "invalid label name: it is empty"));
        }
        out.push((Cow::Borrowed(name), Cow::Borrowed(value)));
    }
    Ok(())
}
