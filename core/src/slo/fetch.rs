//! What a standing wants to read, and how it is read from a source.

use std::sync::Arc;

use crate::model::{Select, Series, Source};
use crate::promql::evaluate::{self, Cancel, Options};
use crate::promql::value::Value;
use crate::time::{Span, Timestamp};

use super::SloError;
use super::definition::Definition;
use super::query::Reading;

/// The distance of the evaluations of an expression.
pub(super) const MINUTE: Span = Span::from_mins(1);

/// What is to be read next: samples behind `after`, up to and with `until`.
#[derive(Clone, Debug)]
pub struct Want {
    pub definition: Arc<Definition>,
    pub after: Timestamp,
    pub until: Timestamp,
}

/// What was read: the series of each stream of the definition, in their order.
#[derive(Clone, Debug)]
pub struct Samples {
    pub after: Timestamp,
    pub until: Timestamp,
    pub streams: Vec<Vec<Series>>,
}

impl Want {
    /// Reads everything that is wanted.
    ///
    /// Errors: what the source or the evaluation says; nothing is then taken, and the same is wanted again.
    pub fn fetch(&self, source: &dyn Source, options: &Options, cancel: &Cancel) -> Result<Samples, SloError> {
        let read = |reading: &Reading| match reading {
            Reading::Selector { matchers } => {
                let request = Select {
                    matchers,
                    start: Timestamp(self.after.0 + 1),
                    end: self.until,
                    samples_max: options.samples_max,
                    newest_only: false,
                };
                source.select(&request).map_err(Into::into)
            }
            Reading::Expression { expr } => {
                let start = Timestamp((self.after.0.div_euclid(MINUTE.0) + 1) * MINUTE.0);
                if start > self.until {
                    return Ok(Vec::new());
                }
                let answer = evaluate::range(expr, start, self.until, MINUTE, source, options, cancel)?;
                match answer.value {
                    Value::Matrix(series) => Ok(series),
                    Value::Scalar(_) | Value::Text(_) | Value::Vector(_) => unreachable!("a range query answers a matrix"),
                }
            }
        };
        let streams = self.definition.counting.streams.iter().map(|stream| read(&stream.reading)).collect::<Result<_, _>>();
        let streams = streams.map_err(|cause| SloError::Read { id: self.definition.id.clone(), cause })?;
        Ok(Samples { after: self.after, until: self.until, streams })
    }
}
