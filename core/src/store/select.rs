//! Reading: samples by matchers, and lists of labels.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::model::{LabelSet, Matcher, Select, Series, Source, SourceError};
use crate::time::Timestamp;

use super::Store;
use super::block::{BlockError, INSTANTS_MAX};
use super::chunk::Decoded;
use super::cluster::Wanted;
use super::group::Instants;
use super::pages::{page_of, slot_of};
use super::rows::Brought;

/// A fixed view of the store: rows that are published later are not in it, so several selects of one query agree.
///
/// Holding it keeps the names of newer samples in memory, so let go of it when the query is done. A query that outlives four million
/// newer samples begins to see newer rows, each still whole.
pub struct Snapshot<'a> {
    store: &'a Store,
    row: u64,
}

/// A list, and whether more of it was left out for its limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing<T> {
    pub items: Vec<T>,
    pub cut: bool,
}

/// How often a select starts again when more is appended than the traces can hold, or a block that it reads is merged.
const ATTEMPTS_MAX: usize = 3;

/// One series of the answer to be.
struct Found {
    series: u32,
    labels: LabelSet,
    samples: Decoded,
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        self.store.rows().leave(self.row);
    }
}

impl Source for Snapshot<'_> {
    fn select(&self, request: &Select<'_>) -> Result<Vec<Series>, SourceError> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(series) = self.attempt(request)? {
                return Ok(series);
            }
        }
        Err(SourceError::Unreadable("the store changes faster than the query can read".to_owned()))
    }
}

impl Source for Store {
    /// Selects from a snapshot taken now.
    fn select(&self, request: &Select<'_>) -> Result<Vec<Series>, SourceError> {
        self.snapshot().select(request)
    }
}

impl Snapshot<'_> {
    /// Returns the answer; `None` when it has to be started again.
    fn attempt(&self, request: &Select<'_>) -> Result<Option<Vec<Series>>, SourceError> {
        let store = self.store;
        let began = store.rows().published();
        let start = request.start.0.max(store.horizon.load(Relaxed));
        let end = request.end.0;
        if start > end {
            return Ok(Some(Vec::new()));
        }
        let too_many = SourceError::TooManySamples { limit: request.samples_max };
        let numbers = store.index().select(request.matchers, &store.pages);
        let (mut found, mut samples) = (Vec::new(), 0);
        for run in numbers.chunk_by(|left, right| page_of(*left) == page_of(*right)) {
            samples += store.read_page(run, start, end, &mut found)?;
            if samples > request.samples_max {
                let Some(hidden) = store.rows().hidden(self.row, began) else { return Ok(None) };
                if samples - hidden.iter().map(|trace| trace.len()).sum::<usize>().min(samples) > request.samples_max {
                    return Err(too_many);
                }
            }
        }
        if !store.read_blocks(&mut found, start, end, request.samples_max)? {
            return Ok(None);
        }
        let Some(hidden) = store.rows().hidden(self.row, began) else { return Ok(None) };
        hide(&mut found, &hidden);
        // The horizon moves before truncation begins, so what truncation may have taken from some series is cut from all.
        let horizon = store.horizon.load(Relaxed);
        if horizon > start {
            found.iter_mut().for_each(|found| found.samples.cut_before(horizon));
        }
        found.retain(|found| found.samples.len() > 0);
        if found.iter().map(|found| found.samples.len()).sum::<usize>() > request.samples_max {
            return Err(too_many);
        }
        found.sort_by(|left, right| order(left.labels.packed(), right.labels.packed()));
        let series = |found: Found| Series {
            labels: found.labels,
            floats: found.samples.floats,
            histograms: found.samples.histograms,
            starts: Vec::new(),
        };
        Ok(Some(found.into_iter().map(series).collect()))
    }
}

/// Takes out what rows brought that the reader must not see.
fn hide(found: &mut [Found], hidden: &[Arc<Vec<Brought>>]) {
    for brought in hidden.iter().flat_map(|trace| trace.iter()) {
        let Ok(place) = found.binary_search_by_key(&brought.series, |found| found.series) else { continue };
        let samples = &mut found[place].samples;
        if let Ok(place) = samples.floats.binary_search_by_key(&brought.at, |(at, _)| *at) {
            samples.floats.remove(place);
        } else if let Ok(place) = samples.histograms.binary_search_by_key(&brought.at, |(at, _)| *at) {
            samples.histograms.remove(place);
        }
    }
}

impl Store {
    /// Returns a view of the rows that are published now.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { store: self, row: self.rows().enter() }
    }

    /// Returns about when the oldest sample was taken, never later than that; None without samples.
    pub fn oldest(&self) -> Option<Timestamp> {
        let of_page = |page: u32| {
            let page = self.pages.get(page)?;
            let heads = page.heads();
            heads.iter().filter(|head| head.alive && head.oldest <= head.newest).map(|head| head.oldest).min()
        };
        let oldest = (0..=self.last_page()).filter_map(of_page).min()?;
        Some(Timestamp(oldest.max(self.horizon.load(Relaxed))))
    }

    /// Returns when the newest sample was taken; None without samples.
    pub fn newest(&self) -> Option<Timestamp> {
        let of_page = |page: u32| {
            let page = self.pages.get(page)?;
            let heads = page.heads();
            heads.iter().filter(|head| head.alive && head.newest != i64::MIN).map(|head| head.newest).max()
        };
        (0..=self.last_page()).filter_map(of_page).max().map(Timestamp)
    }

    /// Reads series of one page from memory; returns how many samples there were.
    fn read_page(&self, numbers: &[u32], start: i64, end: i64, found: &mut Vec<Found>) -> Result<usize, SourceError> {
        let Some(page) = self.pages.get(page_of(numbers[0])) else { return Ok(0) };
        let (mut arena, mut views) = (Vec::new(), Vec::with_capacity(numbers.len()));
        {
            let heads = page.heads();
            let labels = page.labels();
            for series in numbers {
                let slot = slot_of(*series);
                if let (Some(head), Some(Some(labels))) = (heads.get(slot), labels.get(slot))
                    && head.overlaps(start, end)
                {
                    views.push((*series, labels.clone(), head.view(start, end, &mut arena)));
                }
            }
        }
        let mut count = 0;
        for (series, labels, view) in views {
            let mut samples = Decoded::default();
            let damaged = |damage| SourceError::Unreadable(format!("{labels}: {damage}"));
            view.decode(&arena, start, end, &mut samples).map_err(damaged)?;
            samples.settle();
            count += samples.len();
            found.push(Found { series, labels, samples });
        }
        Ok(count)
    }

    /// Puts what blocks hold of the series in front of what memory gave; returns whether all of it could be read, and not a block went
    /// away meanwhile.
    fn read_blocks(&self, found: &mut [Found], start: i64, end: i64, samples_max: usize) -> Result<bool, SourceError> {
        let blocks = self.blocks();
        let (mut wanted, mut older, mut count) = (None, Vec::new(), 0);
        for block in blocks.iter().filter(|block| block.overlaps(start, end)) {
            let wanted = wanted.get_or_insert_with(|| {
                older.resize_with(found.len(), Decoded::default);
                Wanted::new(found.iter().map(|found| (found.series, &found.labels)))
            });
            let mut instants = Instants::new(INSTANTS_MAX);
            for (group, range) in block.groups_of(wanted) {
                match block.read_group(group, &wanted.numbers(range), (start, end), &mut instants, &mut older) {
                    Ok(read) => count += read,
                    // It was merged with others, or nothing of it is within the retention any more.
                    Err(BlockError::Io(_)) if !self.blocks().iter().any(|own| own.id == block.id) => return Ok(false),
                    Err(error) => return Err(SourceError::Unreadable(format!("block {}: {}", block.id, chain(&error)))),
                }
                if count > samples_max {
                    // Samples may stand in two blocks.
                    older.iter_mut().for_each(Decoded::settle);
                    count = older.iter().map(Decoded::len).sum();
                    if count > samples_max {
                        return Err(SourceError::TooManySamples { limit: samples_max });
                    }
                }
            }
        }
        for (mut older, found) in older.into_iter().zip(found) {
            if older.len() > 0 {
                older.floats.append(&mut found.samples.floats);
                older.histograms.append(&mut found.samples.histograms);
                older.settle();
                found.samples = older;
            }
        }
        Ok(true)
    }

    /// Returns the living series that satisfy any of the matcher sets, all without sets, and may have samples in `start ..= end`.
    fn matching(&self, sets: &[Vec<Matcher>], start: Timestamp, end: Timestamp) -> Vec<u32> {
        let mut numbers = {
            let index = self.index();
            match sets {
                [] => index.all().to_vec(),
                [one] => index.select(one, &self.pages),
                many => {
                    let mut all: Vec<u32> = many.iter().flat_map(|set| index.select(set, &self.pages)).collect();
                    all.sort();
                    all.dedup();
                    all
                }
            }
        };
        let start = start.0.max(self.horizon.load(Relaxed));
        let mut kept = Vec::with_capacity(numbers.len());
        for run in numbers.chunk_by(|left, right| page_of(*left) == page_of(*right)) {
            let Some(page) = self.pages.get(page_of(run[0])) else { continue };
            let heads = page.heads();
            let overlaps = |series: &&u32| heads.get(slot_of(**series)).is_some_and(|head| head.overlaps(start, end.0));
            kept.extend(run.iter().filter(overlaps));
        }
        std::mem::swap(&mut numbers, &mut kept);
        numbers
    }

    /// Returns the label sets, sorted, of the series that satisfy any of the matcher sets and may have samples in `start ..= end`.
    ///
    /// Unit: `limit` counts label sets; 0 for no limit.
    pub fn series(&self, sets: &[Vec<Matcher>], start: Timestamp, end: Timestamp, limit: usize) -> Listing<LabelSet> {
        let numbers = self.matching(sets, start, end);
        let mut all = Vec::with_capacity(numbers.len());
        self.pages.filter(&numbers, |labels| {
            all.push(labels.clone());
            false
        });
        all.sort_by(|left, right| order(left.packed(), right.packed()));
        limited(all, limit)
    }

    /// Returns the names, sorted, of the labels of the series that `series` would return; without sets those of all series.
    pub fn label_names(&self, sets: &[Vec<Matcher>], start: Timestamp, end: Timestamp, limit: usize) -> Listing<String> {
        let mut names = BTreeSet::new();
        self.pages.filter(&self.matching(sets, start, end), |labels| {
            for (name, _) in labels.iter() {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
            false
        });
        limited(names.into_iter().collect(), limit)
    }

    /// Returns the values, sorted, of one label of the series that `series` would return; without sets those of all series.
    pub fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        start: Timestamp,
        end: Timestamp,
        limit: usize,
    ) -> Listing<String> {
        let mut values = BTreeSet::new();
        self.pages.filter(&self.matching(sets, start, end), |labels| {
            let value = labels.get(name);
            if !value.is_empty() && !values.contains(value) {
                values.insert(value.to_owned());
            }
            false
        });
        limited(values.into_iter().collect(), limit)
    }
}

/// Returns an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn limited<T>(mut items: Vec<T>, limit: usize) -> Listing<T> {
    let cut = limit > 0 && items.len() > limit;
    if cut {
        items.truncate(limit);
    }
    Listing { items, cut }
}

/// Compares two label sets in packed form as `LabelSet` does, without reading what they have in common.
fn order(left: &[u8], right: &[u8]) -> Ordering {
    let words =
        left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0).take_while(|(left, right)| left == right).count() * 8;
    let common = words + left[words..].iter().zip(&right[words..]).take_while(|(left, right)| left == right).count();
    let mut from = 0;
    loop {
        let (Some(own), Some(other)) = (text_at(left, from), text_at(right, from)) else {
            return left.len().cmp(&right.len());
        };
        if own.1 > common || own.1 != other.1 {
            return left[own.0..own.1].cmp(&right[other.0..other.1]);
        }
        from = own.1;
    }
}

/// Returns where the text begins and ends whose length stands at `from`; `None` at the end.
fn text_at(packed: &[u8], from: usize) -> Option<(usize, usize)> {
    let (mut len, mut at) = (0, from);
    loop {
        let byte = *packed.get(at)?;
        len |= usize::from(byte & 0x7f) << (7 * (at - from));
        at += 1;
        if byte & 0x80 == 0 {
            return Some((at, at + len));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_order_is_the_order_of_label_sets() {
        let long = "x".repeat(200);
        let mut sets = vec![LabelSet::empty()];
        for (a, b) in
            [("", "1"), ("1", ""), ("1", "1"), ("1", "12"), ("12", "1"), ("2", "1"), ("10000000", "1"), ("10000001", &long)]
        {
            sets.push(LabelSet::from_pairs([("a", a), ("bb", b)]));
            sets.push(LabelSet::from_pairs([("aa", a), ("b", b)]));
            sets.push(LabelSet::from_pairs([("a", long.as_str()), ("b", a), ("c", b)]));
        }
        for left in &sets {
            for right in &sets {
                assert_eq!(order(left.packed(), right.packed()), left.cmp(right), "{left} {right}");
            }
        }
    }
}
