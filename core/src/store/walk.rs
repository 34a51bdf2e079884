//! Reading many series one after another, in a bounded part of memory: those of a metric together, in the order of their labels.

use crate::model::{LabelSet, METRIC_NAME, Matcher, Select, Series, SourceError};
use crate::time::Timestamp;

use super::Store;
use super::cluster::put_key;
use super::select::{Asked, Matching};

/// So many series are read at once, if they have few samples.
const SERIES_MAX: usize = 512;

/// Where a reading stands. Each step sees what is there when it is taken.
pub struct Walk {
    sets: Vec<Vec<Matcher>>,
    /// The metrics to come, the next one last.
    metrics: Vec<String>,
    /// The label sets of the metric at hand, in order, each with the numbers that it has had, and how many of them are done.
    items: Vec<(LabelSet, Vec<u32>)>,
    done: usize,
    /// How many are read at once.
    width: usize,
    start: i64,
    end: i64,
    /// Where the series at hand goes on.
    from: i64,
    /// Why some series are missing, told at the end.
    missing: Option<String>,
    tells_missing: bool,
}

impl Store {
    /// Returns a reading of the series that satisfy any of the matcher sets, all without sets, with their samples in `start ..= end`.
    pub fn walk(&self, sets: &[Vec<Matcher>], start: Timestamp, end: Timestamp) -> Walk {
        let found = self.matching(sets, start, end);
        let metrics = self.values_of(METRIC_NAME, &found);
        // A span that is halved until little enough is in it should not begin at the beginning of time.
        let start = start.0.max(self.oldest().map_or(i64::MAX, |at| at.0));
        let end = end.0.min(self.newest().map_or(i64::MIN, |at| at.0));
        // Series without a name come first, if there are any.
        let metrics = metrics.into_iter().rev().chain([String::new()]).collect();
        let (items, done, width, missing) = (Vec::new(), 0, SERIES_MAX, missing(&found));
        Walk { sets: sets.to_vec(), metrics, items, done, width, start, end, from: start, missing, tells_missing: true }
    }

    /// Returns the label sets of a metric's series that satisfy any of the matcher sets, in the order in which blocks have them, so that
    /// what is read together lies together.
    fn in_order(
        &self,
        sets: &[Vec<Matcher>],
        metric: &str,
        (start, end): (i64, i64),
        is_missing: &mut Option<String>,
    ) -> Vec<(LabelSet, Vec<u32>)> {
        let named = |set: &[Matcher]| [&[Matcher::equal(METRIC_NAME, metric)], set].concat();
        let sets = if sets.is_empty() { vec![named(&[])] } else { sets.iter().map(|set| named(set)).collect() };
        let found = self.matching(&sets, Timestamp(start), Timestamp(end));
        *is_missing = is_missing.take().or_else(|| missing(&found));
        let (mut all, mut scratch) = (Vec::with_capacity(found.known.len()), Vec::new());
        let keyed = |series: u32, labels: LabelSet| {
            let mut key = Vec::new();
            put_key(&mut key, &labels);
            (key, labels, series)
        };
        self.pages.walk(&found.known, |series, labels, slot| {
            all.extend(labels.build(slot, &mut scratch).map(|labels| keyed(series, labels)));
        });
        all.extend(found.cold.into_iter().map(|(series, labels)| keyed(series, labels)));
        all.sort_unstable();
        all.dedup();
        let mut items: Vec<(LabelSet, Vec<u32>)> = Vec::with_capacity(all.len());
        for (_, labels, series) in all {
            match items.last_mut() {
                Some((own, numbers)) if *own == labels => numbers.push(series),
                _ => items.push((labels, vec![series])),
            }
        }
        items
    }
}

/// Returns why series are missing that were looked for.
fn missing(found: &Matching) -> Option<String> {
    if let Some(block) = found.unread.first() {
        return Some(format!("block {block}: its series cannot be read, so some are missing"));
    }
    found.cut.then(|| "there are more series that had their last sample long ago than can be found at once".to_owned())
}

impl Walk {
    /// Returns the reading of what can be read: it does not end with an error when series are missing.
    pub fn as_far_as_it_goes(self) -> Walk {
        Walk { tells_missing: false, ..self }
    }

    /// Passes over the series that could not be read; returns how many those are.
    pub fn skip(&mut self) -> usize {
        let from = self.done;
        (self.done, self.from) = (self.next_end(), self.start);
        self.done - from
    }

    fn next_end(&self) -> usize {
        self.items.len().min(self.done + if self.from > self.start { 1 } else { self.width })
    }

    /// Returns the next series, at most `samples_max` samples; None at the end. A series with more comes in pieces of its time, each alone.
    ///
    /// Errors: `Unreadable` when stored data is damaged, and at the end when some series could not be found.
    pub fn next(&mut self, store: &Store, samples_max: usize) -> Result<Option<Vec<Series>>, SourceError> {
        let mut until = self.end;
        loop {
            if self.start > self.end {
                return Ok(None);
            }
            if self.done == self.items.len() {
                let Some(metric) = self.metrics.pop() else {
                    let missing = self.missing.take().filter(|_| self.tells_missing);
                    return missing.map_or(Ok(None), |why| Err(SourceError::Unreadable(why)));
                };
                self.items = store.in_order(&self.sets, &metric, (self.start, self.end), &mut self.missing);
                self.done = 0;
                continue;
            }
            let to = self.next_end();
            let some = &self.items[self.done..to];
            let mut named: Vec<(u32, LabelSet)> =
                some.iter().flat_map(|(labels, numbers)| numbers.iter().map(|series| (*series, labels.clone()))).collect();
            named.sort_unstable();
            let request =
                Select { matchers: &[], start: Timestamp(self.from), end: Timestamp(until), samples_max, newest_only: false };
            match store.snapshot().read(&request, Asked::Named(&named)) {
                Err(SourceError::TooManySamples { .. }) if some.len() > 1 => self.width = some.len() / 2,
                Err(SourceError::TooManySamples { .. }) if until > self.from => {
                    until = (i128::from(self.from) + i128::from(until)).div_euclid(2) as i64;
                }
                Err(error) => return Err(error),
                Ok(mut series) => {
                    if until < self.end {
                        self.from = until + 1;
                        until = self.end;
                    } else {
                        (self.done, self.from) = (to, self.start);
                        self.width = (self.width * 2).min(SERIES_MAX);
                    }
                    if !series.is_empty() {
                        series.sort_by_cached_key(|series| {
                            let mut key = Vec::new();
                            put_key(&mut key, &series.labels);
                            key
                        });
                        return Ok(Some(series));
                    }
                }
            }
        }
    }
}
