//! Stored samples of one chunk of time, read once for all the instants that ask for them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::model::{Matcher, Select, Series, Source, SourceError};
use crate::time::Timestamp;

/// A selector with more samples than this is asked for anew each time.
const HELD_MAX: usize = 10_000_000;

pub(super) struct Cached<'c> {
    stored: &'c dyn Source,
    start: Timestamp,
    end: Timestamp,
    /// By their selectors; None: there are too many.
    held: RefCell<BTreeMap<String, Option<Vec<Series>>>>,
}

impl Cached<'_> {
    /// `start` and `end`, both included: which time is held. What lies outside is asked for as it is.
    pub fn new(stored: &dyn Source, start: Timestamp, end: Timestamp) -> Cached<'_> {
        Cached { stored, start, end, held: RefCell::default() }
    }

    fn load(&self, matchers: &[Matcher]) -> Result<Option<Vec<Series>>, SourceError> {
        let all = Select { matchers, start: self.start, end: self.end, samples_max: HELD_MAX, newest_only: false };
        match self.stored.select(&all) {
            Ok(series) => Ok(Some(series)),
            Err(SourceError::TooManySamples { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Source for Cached<'_> {
    fn select(&self, request: &Select<'_>) -> Result<Vec<Series>, SourceError> {
        if request.start < self.start || request.end > self.end {
            return self.stored.select(request);
        }
        let key: String = request.matchers.iter().map(|matcher| format!("{matcher},")).collect();
        let mut held = self.held.borrow_mut();
        if !held.contains_key(&key) {
            held.insert(key.clone(), self.load(request.matchers)?);
        }
        match &held[&key] {
            Some(series) => cut(series.iter(), request),
            None => self.stored.select(request),
        }
    }
}

/// Returns what a request asks for, out of all samples of its selector.
///
/// Errors: `TooManySamples`, as of a source.
pub fn cut<'s>(series: impl IntoIterator<Item = &'s Series>, request: &Select<'_>) -> Result<Vec<Series>, SourceError> {
    let (mut found, mut count) = (Vec::new(), 0);
    for one in series {
        let floats = within(&one.floats, request);
        let histograms = within(&one.histograms, request);
        if floats.is_empty() && histograms.is_empty() {
            continue;
        }
        count += floats.len() + histograms.len();
        if count > request.samples_max {
            return Err(SourceError::TooManySamples { limit: request.samples_max });
        }
        found.push(Series {
            labels: one.labels.clone(),
            floats: floats.to_vec(),
            histograms: histograms.to_vec(),
            starts: starts(one, request),
        });
    }
    Ok(found)
}

fn starts(series: &Series, request: &Select<'_>) -> Vec<(i64, i64)> {
    let is_asked = |(at, _): &&(i64, i64)| (request.start.0..=request.end.0).contains(at);
    series.starts.iter().filter(is_asked).copied().collect()
}

fn within<'s, T>(samples: &'s [(i64, T)], request: &Select<'_>) -> &'s [(i64, T)] {
    let to = samples.partition_point(|(at, _)| *at <= request.end.0);
    let from = if request.newest_only {
        // The newest of floats and of histograms each; the newer of both is the newest.
        if samples[..to].last().is_some_and(|(at, _)| *at >= request.start.0) { to - 1 } else { to }
    } else {
        samples[..to].partition_point(|(at, _)| *at < request.start.0)
    };
    &samples[from..to]
}
