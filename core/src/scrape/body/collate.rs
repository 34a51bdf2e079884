//! Putting the lines of a classic histogram together, so that it becomes one native histogram with custom buckets.

use crate::model::exposition::number::parse_float;
use crate::model::exposition::{self, Entry, Line, MetricType, decode_series, unescape};
use crate::model::histogram::ClassicHistogram;
use crate::model::labels::METRIC_NAME;
use crate::model::{Exemplar, Histogram, LabelSet};
use crate::time::Timestamp;

use super::text::read_exemplar;

/// A histogram that is complete.
pub struct Whole {
    /// Its name without suffix, and all labels but the bound.
    pub labels: LabelSet,
    pub histogram: Histogram,
    pub at: Option<Timestamp>,
    pub exemplars: Vec<Exemplar>,
}

struct Open {
    labels: LabelSet,
    classic: ClassicHistogram,
    at: Option<Timestamp>,
    exemplars: Vec<Exemplar>,
}

/// The histogram whose lines are being read.
///
/// Source: Prometheus `textparse.NHCBParser`.
#[derive(Default)]
pub struct Collation {
    /// The metric of the last `# TYPE` line.
    metric: String,
    open: Option<Open>,
}

/// What a line of a histogram gives.
enum Gives {
    Bucket(f64),
    Count,
    Sum,
}

impl Open {
    /// Returns the histogram; None when its lines contradict each other.
    fn close(self) -> Option<Whole> {
        let Open { labels, classic, at, exemplars } = self;
        Some(Whole { labels, histogram: classic.convert()?, at, exemplars })
    }
}

impl Collation {
    /// Takes a line; returns whether it is part of a histogram, and the histogram before when it is complete with that.
    ///
    /// Errors: a message when the labels cannot be read.
    pub fn take(&mut self, line: &Line<'_>, kind: MetricType) -> Result<(bool, Option<Whole>), String> {
        let part = if kind == MetricType::Histogram { self.part(line)? } else { None };
        let Some((labels, gives)) = part else { return Ok((false, self.close())) };
        let mut done = None;
        if self.open.as_ref().is_some_and(|open| open.labels != labels) {
            done = self.close();
        }
        let open = self.open.get_or_insert_with(|| Open {
            labels,
            classic: ClassicHistogram::default(),
            at: line.at,
            exemplars: Vec::new(),
        });
        // An exemplar of a native histogram has a time, or it is none.
        let timed = |raw: &exposition::Exemplar<'_>| read_exemplar(raw, None);
        open.exemplars.extend(line.exemplar.as_ref().and_then(timed));
        match gives {
            Gives::Bucket(bound) => open.classic.set_bucket(bound, line.value),
            Gives::Count => open.classic.set_count(line.value),
            Gives::Sum => open.classic.set_sum(line.value),
        }
        Ok((true, done))
    }

    /// Takes a line that has no value; returns the histogram before when it is complete with that.
    pub fn meet(&mut self, entry: &Entry<'_>) -> Option<Whole> {
        if let Entry::Type { metric, .. } = entry {
            self.metric = unescape(&String::from_utf8_lossy(metric)).into_owned();
        }
        self.close()
    }

    /// Returns the last histogram.
    pub fn finish(mut self) -> Option<Whole> {
        self.close()
    }

    fn close(&mut self) -> Option<Whole> {
        self.open.take().and_then(Open::close)
    }

    /// Returns the labels of the histogram that a line belongs to, and what it gives; None when it belongs to none.
    fn part(&self, line: &Line<'_>) -> Result<Option<(LabelSet, Gives)>, String> {
        let mut labels = Vec::new();
        decode_series(line.series, MetricType::Unknown, &mut labels).map_err(|error| error.to_string())?;
        let mut builder = LabelSet::from_pairs(labels).builder();
        let name = builder.get(METRIC_NAME).to_owned();
        let gives = match name.strip_prefix(self.metric.as_str()) {
            Some("_bucket") => match parse_float(builder.get("le").as_bytes()) {
                Ok(bound) if !bound.is_nan() => Gives::Bucket(bound),
                _ => return Ok(None),
            },
            Some("_count") => Gives::Count,
            Some("_sum") => Gives::Sum,
            _ => return Ok(None),
        };
        builder.remove("le").set(METRIC_NAME, &self.metric);
        Ok(Some((builder.build(), gives)))
    }
}
