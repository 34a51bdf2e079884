//! Where evaluations get their series from.

use crate::time::Timestamp;

use super::matcher::Matcher;
use super::sample::Series;

/// What an evaluation asks of a source: the series that satisfy every matcher, with their samples in `start ..= end`.
#[derive(Clone, Debug)]
pub struct Select<'a> {
    pub matchers: &'a [Matcher],
    pub start: Timestamp,
    pub end: Timestamp,
    /// The most samples that the answer may hold; the source gives up as soon as it knows that there are more.
    pub samples_max: usize,
    /// Only the newest sample of each series is looked at; the source may leave out the others, and need not.
    pub newest_only: bool,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    #[error("the query would load more than {limit} samples; narrow its selectors or its time range")]
    TooManySamples { limit: usize },
    #[error("cannot read stored samples: {0}")]
    Unreadable(String),
}

/// A set of series with their samples: the store, or the fixed series of a test script.
pub trait Source {
    /// Returns every series with at least one sample in the span, each once, in an order of the source's own: answers that people see
    /// are sorted once they are small.
    ///
    /// Errors: `TooManySamples` when the answer would hold more than `samples_max`; `Unreadable` when stored data is damaged.
    fn select(&self, request: &Select<'_>) -> Result<Vec<Series>, SourceError>;
}
