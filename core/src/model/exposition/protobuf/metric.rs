//! One metric: a member of a family.

use std::borrow::Cow;

use crate::model::exposition::MetricType;
use crate::model::exposition::number::format_openmetrics;
use crate::model::exposition::series::Label;
use crate::model::labels::METRIC_NAME;
use crate::time::Timestamp;

use super::histogram::Distribution;
use super::{BadMessage, push_labels};
use crate::model::wire::Message;

/// Which series of a metric: a summary and a classic histogram are several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// The metric is one number.
    Value,
    Count,
    Sum,
    /// The bucket up to a bound.
    Bucket(f64),
    Quantile(f64),
    /// The whole distribution in one sample.
    Histogram,
}

/// A metric. One value of it is used for all metrics of a body, so that its lists are made once.
#[derive(Debug, Default)]
pub struct Metric<'a> {
    /// Runs of the body that hold label fields and nothing else; nearly always one.
    labels: Vec<Message<'a>>,
    /// The number of a counter, a gauge or an untyped metric.
    pub value: f64,
    pub at: Option<Timestamp>,
    /// Of a counter.
    pub exemplar: Option<RawExemplar<'a>>,
    pub summary: Summary,
    pub distribution: Distribution<'a>,
}

#[derive(Debug, Default)]
pub struct Summary {
    pub count: u64,
    pub sum: f64,
    /// Quantiles with their values.
    pub quantiles: Vec<(f64, f64)>,
}

/// An exemplar whose labels are still to be read.
#[derive(Clone, Copy, Debug)]
pub struct RawExemplar<'a> {
    message: Message<'a>,
    pub value: f64,
    pub at: Option<Timestamp>,
}

impl<'a> Metric<'a> {
    pub(super) fn read(&mut self, mut message: Message<'a>, kind: MetricType) -> Result<(), BadMessage> {
        self.labels.clear();
        (self.value, self.at, self.exemplar) = (0.0, None, None);
        (self.summary.count, self.summary.sum) = (0, 0.0);
        self.summary.quantiles.clear();
        self.distribution.clear();
        // Where the label fields that are being passed began.
        let mut labels_from = None;
        while let Some(field) = message.field()? {
            if field.number == 1 {
                message.inner(field)?;
                labels_from.get_or_insert(field.at);
                continue;
            }
            if let Some(from) = labels_from.take() {
                self.labels.push(Message::part(&message, from, field.at));
            }
            match field.number {
                2 => self.number(message.inner(field)?, kind == MetricType::Gauge)?,
                3 => self.counter(message.inner(field)?, kind == MetricType::Counter)?,
                4 => self.summary.read(message.inner(field)?)?,
                5 => self.number(message.inner(field)?, kind == MetricType::Unknown)?,
                // Zero stands for none, since this version of the format cannot tell them apart.
                6 => self.at = Some(Timestamp(message.integer(field)? as i64)).filter(|at| at.0 != 0),
                7 => self.distribution.read(message.inner(field)?)?,
                _ => message.skip(field)?,
            }
        }
        if let Some(from) = labels_from {
            self.labels.push(Message::part(&message, from, message.at));
        }
        Ok(())
    }

    /// Reads a gauge or an untyped metric. One that does not fit the family's type is read and does not count.
    fn number(&mut self, mut message: Message<'a>, counts: bool) -> Result<(), BadMessage> {
        while let Some(field) = message.field()? {
            match field.number {
                1 => {
                    let value = message.double(field)?;
                    self.value = if counts { value } else { self.value };
                }
                _ => message.skip(field)?,
            }
        }
        Ok(())
    }

    fn counter(&mut self, mut message: Message<'a>, counts: bool) -> Result<(), BadMessage> {
        while let Some(field) = message.field()? {
            match field.number {
                1 => {
                    let value = message.double(field)?;
                    self.value = if counts { value } else { self.value };
                }
                2 => self.exemplar = Some(RawExemplar::read(message.inner(field)?)?).filter(|_| counts),
                3 => drop(instant(message.inner(field)?)?),
                _ => message.skip(field)?,
            }
        }
        Ok(())
    }

    /// Appends the bytes that tell the series of this metric from those of others with the same name: its labels as they are written.
    pub fn write_key(&self, out: &mut Vec<u8>) {
        for run in &self.labels {
            out.extend_from_slice(run.bytes());
        }
    }

    /// Appends the labels of one of the metric's series to `out`, its name first.
    ///
    /// Errors: damage, or a label that is no text; `out` then holds the labels before the fault.
    /// Source: Prometheus `ProtobufParser.getMagicName`, `getMagicLabel`.
    pub fn series(&self, family: &'a str, part: Part, out: &mut Vec<Label<'a>>) -> Result<(), BadMessage> {
        let suffix = match part {
            Part::Value | Part::Quantile(_) | Part::Histogram => "",
            Part::Count => "_count",
            Part::Sum => "_sum",
            Part::Bucket(_) => "_bucket",
        };
        let name = if suffix.is_empty() { Cow::Borrowed(family) } else { Cow::Owned(format!("{family}{suffix}")) };
        out.push((Cow::Borrowed(METRIC_NAME), name));
        for run in &self.labels {
            push_labels(*run, out)?;
        }
        match part {
            Part::Bucket(bound) => out.push((Cow::Borrowed("le"), Cow::Owned(format_openmetrics(bound)))),
            Part::Quantile(quantile) => out.push((Cow::Borrowed("quantile"), Cow::Owned(format_openmetrics(quantile)))),
            Part::Value | Part::Count | Part::Sum | Part::Histogram => {}
        }
        Ok(())
    }
}

impl Summary {
    fn read(&mut self, mut message: Message<'_>) -> Result<(), BadMessage> {
        while let Some(field) = message.field()? {
            match field.number {
                1 => self.count = message.integer(field)?,
                2 => self.sum = message.double(field)?,
                3 => {
                    let mut inner = message.inner(field)?;
                    let mut quantile = (0.0, 0.0);
                    while let Some(field) = inner.field()? {
                        match field.number {
                            1 => quantile.0 = inner.double(field)?,
                            2 => quantile.1 = inner.double(field)?,
                            _ => inner.skip(field)?,
                        }
                    }
                    self.quantiles.push(quantile);
                }
                4 => drop(instant(message.inner(field)?)?),
                _ => message.skip(field)?,
            }
        }
        Ok(())
    }
}

/// Reads an instant; what is finer than a millisecond is cut off.
pub(super) fn instant(mut message: Message<'_>) -> Result<Timestamp, BadMessage> {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    while let Some(field) = message.field()? {
        match field.number {
            1 => seconds = message.integer(field)? as i64,
            2 => nanos = message.integer(field)? as i32,
            _ => message.skip(field)?,
        }
    }
    Ok(Timestamp(seconds.wrapping_mul(1000).wrapping_add(i64::from(nanos / 1_000_000))))
}

impl<'a> RawExemplar<'a> {
    pub(super) fn read(message: Message<'a>) -> Result<RawExemplar<'a>, BadMessage> {
        let (mut rest, mut exemplar) = (message, RawExemplar { message, value: 0.0, at: None });
        while let Some(field) = rest.field()? {
            match field.number {
                1 => drop(rest.inner(field)?.pair()?),
                2 => exemplar.value = rest.double(field)?,
                3 => exemplar.at = Some(instant(rest.inner(field)?)?),
                _ => rest.skip(field)?,
            }
        }
        Ok(exemplar)
    }

    /// Appends the exemplar's labels to `out`.
    ///
    /// Errors: a label that is no text.
    pub fn labels(&self, out: &mut Vec<Label<'a>>) -> Result<(), BadMessage> {
        let mut rest = self.message;
        while let Some(field) = rest.field()? {
            if field.number == 1 {
                rest.inner(field)?;
                push_labels(Message::part(&rest, field.at, rest.at), out)?;
            } else {
                rest.skip(field)?;
            }
        }
        Ok(())
    }
}
