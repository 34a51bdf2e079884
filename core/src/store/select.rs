//! Reading: samples by matchers, and lists of labels.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::model::{LabelSet, Matcher, Select, Series, Source, SourceError};
use crate::time::Timestamp;

use super::Store;
use super::block::{BlockError, BlockId, INSTANTS_MAX};
use super::chunk::Decoded;
use super::cluster::Wanted;
use super::cold::LookError;
use super::delete::Mark;
use super::group::Instants;
use super::head::View;
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

/// Whose samples are read.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    /// Those of the series that satisfy the matchers.
    Matching,
    /// Those of these series, which come in order of their numbers; the matchers are not looked at.
    Named(&'a [(u32, LabelSet)]),
}

/// Series by their numbers, sorted: those that memory knows, and those that blocks alone do.
pub(super) struct Matching {
    pub known: Vec<u32>,
    pub cold: Vec<(u32, LabelSet)>,
    /// There are more.
    pub cut: bool,
    /// What these blocks alone know is not among them.
    pub unread: Vec<BlockId>,
}

impl Matching {
    /// Returns all numbers, sorted.
    pub fn numbers(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.known.iter().copied().chain(self.cold.iter().map(|(series, _)| *series)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// One series of the answer to be.
struct Found {
    series: u32,
    labels: LabelSet,
    samples: Decoded,
}

/// What reading one page leaves to the next: room.
#[derive(Default)]
struct Scratch {
    bits: Vec<u8>,
    labels: Vec<u8>,
    views: Vec<(u32, LabelSet, View)>,
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        self.store.rows().leave(self.row);
    }
}

impl Source for Snapshot<'_> {
    fn select(&self, request: &Select<'_>) -> Result<Vec<Series>, SourceError> {
        self.read(request, Asked::Matching)
    }
}

impl Source for Store {
    /// Selects from a snapshot taken now.
    fn select(&self, request: &Select<'_>) -> Result<Vec<Series>, SourceError> {
        self.snapshot().select(request)
    }
}

impl Snapshot<'_> {
    /// Returns the samples of series, of each label set in one piece.
    pub(super) fn read(&self, request: &Select<'_>, asked: Asked<'_>) -> Result<Vec<Series>, SourceError> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(series) = self.attempt(request, asked)? {
                return Ok(series);
            }
        }
        Err(SourceError::Unreadable("the store changes faster than the query can read".to_owned()))
    }

    /// Returns the answer; `None` when it has to be started again.
    fn attempt(&self, request: &Select<'_>, asked: Asked<'_>) -> Result<Option<Vec<Series>>, SourceError> {
        let store = self.store;
        let mut numbers = match asked {
            Asked::Matching => store.numbers(request.matchers),
            Asked::Named(series) => series.iter().map(|(series, _)| *series).collect(),
        };
        let began = store.rows().published();
        let start = request.start.0.max(store.horizon.load(Relaxed));
        let end = request.end.0;
        if start > end {
            return Ok(Some(Vec::new()));
        }
        let too_many = || SourceError::TooManySamples { limit: request.samples_max };
        let mut newest = Vec::new();
        if request.newest_only {
            store.take_newest(&mut numbers, start, end, &mut newest);
            // Rows that come from here on cannot have brought what was taken.
            let Some(hidden) = self.hidden(began, u64::MAX) else { return Ok(None) };
            numbers.extend(split_hidden(&mut newest, &hidden));
            numbers.sort_unstable();
        }
        let (mut found, mut samples) = (Vec::new(), newest.len());
        let mut scratch = Scratch::default();
        for run in numbers.chunk_by(|left, right| page_of(*left) == page_of(*right)) {
            samples += store.read_page(run, start, end, &mut scratch, &mut found)?;
            if samples > request.samples_max {
                let Some(hidden) = self.hidden(began, u64::MAX) else { return Ok(None) };
                if samples - hidden.iter().map(|trace| trace.len()).sum::<usize>().min(samples) > request.samples_max {
                    return Err(too_many());
                }
            }
        }
        // Before blocks are read: what a row brought to memory, a block may have had before.
        let Some(hidden) = self.hidden(began, u64::MAX) else { return Ok(None) };
        hide(&mut found, &hidden);
        // Memory first: what it let go of before it was read is found in blocks.
        let cold = match asked {
            Asked::Matching => match store.cold(&[request.matchers], start, end, None) {
                Ok(cold) if cold.cut || cold.series.len() > request.samples_max => return Err(too_many()),
                Ok(cold) => cold.series.into_iter().collect(),
                Err(LookError::Gone) => return Ok(None),
                Err(LookError::Unreadable { block, cause }) => return Err(unreadable(block, &cause)),
            },
            Asked::Named(series) => series.to_vec(),
        };
        let has_cold = add_missing(&mut found, cold);
        if !self.read_blocks(&mut found, (start, end), request.samples_max, began)? {
            return Ok(None);
        }
        found.append(&mut newest);
        // The horizon moves before truncation begins, so what truncation may have taken from some series is cut from all.
        let horizon = store.horizon.load(Relaxed);
        if horizon > start {
            found.iter_mut().for_each(|found| found.samples.cut_before(horizon));
        }
        found.retain(|found| found.samples.len() > 0);
        if has_cold {
            unite(&mut found);
        }
        if found.iter().map(|found| found.samples.len()).sum::<usize>() > request.samples_max {
            return Err(too_many());
        }
        let series = |found: Found| Series {
            labels: found.labels,
            floats: found.samples.floats,
            histograms: found.samples.histograms,
            starts: Vec::new(),
        };
        Ok(Some(found.into_iter().map(series).collect()))
    }

    fn hidden(&self, began: u64, until: u64) -> Option<Vec<Arc<Vec<Brought>>>> {
        self.store.rows().hidden(self.row, began, until)
    }

    /// Puts what blocks hold of the series in front of what memory gave; returns whether all of it could be read, and not a block went
    /// away meanwhile.
    fn read_blocks(
        &self,
        found: &mut [Found],
        (start, end): (i64, i64),
        samples_max: usize,
        began: u64,
    ) -> Result<bool, SourceError> {
        let store = self.store;
        // Tombstones first: none goes before the blocks that it concerns have.
        let tombstones = store.tombstones();
        let blocks = store.blocks();
        let (mut wanted, mut older, mut count) = (None, Vec::new(), 0);
        for block in blocks.iter().filter(|block| block.overlaps(start, end)) {
            let wanted = wanted.get_or_insert_with(|| {
                older.resize_with(found.len(), Decoded::default);
                Wanted::new(found.iter().map(|found| (found.series, &found.labels)))
            });
            let (mut instants, hidden) = (Instants::new(INSTANTS_MAX), tombstones.of(block));
            for (group, range) in block.groups_of(wanted) {
                let numbers = wanted.numbers(range);
                let marks = hidden.marks(&numbers, &older);
                // One that was cut since the snapshot was taken may hold rows that it must not see.
                let lens: Vec<Mark> = if block.begun > self.row {
                    numbers.iter().map(|(_, place)| mark(&older[*place])).collect()
                } else {
                    Vec::new()
                };
                match block.read_group(group, &numbers, (start, end), &mut instants, &mut older) {
                    Ok(read) => {
                        let gone: usize =
                            marks.iter().map(|(series, place, mark)| hidden.cut(*series, &mut older[*place], *mark)).sum();
                        count += read - gone;
                        if !lens.is_empty() {
                            let Some(traces) = self.hidden(began, block.begun) else { return Ok(false) };
                            let own = |series: u32| {
                                let found = numbers.binary_search_by_key(&series, |(series, _)| *series).ok()?;
                                Some((numbers[found].1, lens[found]))
                            };
                            count -= hide_behind(&mut older, own, &traces);
                        }
                    }
                    // It was merged with others, or nothing of it is within the retention any more.
                    Err(BlockError::Io(_)) if !store.blocks().iter().any(|own| own.id == block.id) => return Ok(false),
                    Err(error) => return Err(unreadable(block.id, &error)),
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
}

/// Adds series that memory does not know, without samples; returns whether there were any. All are in order of their numbers.
fn add_missing(found: &mut Vec<Found>, cold: Vec<(u32, LabelSet)>) -> bool {
    let known = found.len();
    for (series, labels) in cold {
        if found[..known].binary_search_by_key(&series, |own| own.series).is_err() {
            found.push(Found { series, labels, samples: Decoded::default() });
        }
    }
    found.sort_unstable_by_key(|own| own.series);
    found.len() > known
}

/// Puts the samples of each label set into one piece; it has had several numbers when it came back after memory had let go of it.
fn unite(found: &mut Vec<Found>) {
    // Of two samples at one instant the one with the earlier number counts.
    found.sort_unstable_by(|left, right| (&left.labels, left.series).cmp(&(&right.labels, right.series)));
    found.dedup_by(|later, first| {
        let is_same = later.labels == first.labels;
        if is_same {
            first.samples.floats.append(&mut later.samples.floats);
            first.samples.histograms.append(&mut later.samples.histograms);
            first.samples.settle();
        }
        is_same
    });
}

/// Takes out the series, which are in order of their numbers, whose newest sample the reader must not see; returns their numbers.
fn split_hidden(newest: &mut Vec<Found>, hidden: &[Arc<Vec<Brought>>]) -> BTreeSet<u32> {
    let mut unseen = BTreeSet::new();
    for brought in hidden.iter().flat_map(|trace| trace.iter()) {
        if let Ok(place) = newest.binary_search_by_key(&brought.series, |found| found.series)
            && newest[place].samples.floats.iter().any(|(at, _)| *at == brought.at)
        {
            unseen.insert(brought.series);
        }
    }
    newest.retain(|found| !unseen.contains(&found.series));
    unseen
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

fn mark(samples: &Decoded) -> Mark {
    (samples.floats.len(), samples.histograms.len())
}

/// As `hide`, in what was appended behind a mark; `own` says where a series stands and its mark. Returns how many samples that takes out.
fn hide_behind(all: &mut [Decoded], own: impl Fn(u32) -> Option<(usize, Mark)>, hidden: &[Arc<Vec<Brought>>]) -> usize {
    let mut gone = 0;
    for brought in hidden.iter().flat_map(|trace| trace.iter()) {
        let Some((place, (floats, histograms))) = own(brought.series) else { continue };
        let samples = &mut all[place];
        gone += samples.floats.extract_if(floats.., |(at, _)| *at == brought.at).count();
        gone += samples.histograms.extract_if(histograms.., |(at, _)| *at == brought.at).count();
    }
    gone
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
            heads.iter().filter(|head| head.alive && head.oldest <= head.newest()).map(|head| head.oldest).min()
        };
        let of_memory = (0..=self.last_page()).filter_map(of_page).min();
        let oldest = self.blocks().iter().filter(|block| block.samples > 0).map(|block| block.first).chain(of_memory).min()?;
        Some(Timestamp(oldest.max(self.horizon.load(Relaxed))))
    }

    /// Returns when the newest sample was taken; None without samples.
    pub fn newest(&self) -> Option<Timestamp> {
        let of_page = |page: u32| {
            let page = self.pages.get(page)?;
            let heads = page.heads();
            heads.iter().filter(|head| head.alive && head.newest() != i64::MIN).map(|head| head.newest()).max()
        };
        let of_memory = (0..=self.last_page()).filter_map(of_page).max();
        self.blocks().iter().filter(|block| block.samples > 0).map(|block| block.last).chain(of_memory).max().map(Timestamp)
    }

    /// Reads the newest sample of those series that have a float for it in `start ..= end`; they leave `numbers`.
    fn take_newest(&self, numbers: &mut Vec<u32>, start: i64, end: i64, found: &mut Vec<Found>) {
        let (mut others, mut scratch) = (Vec::new(), Vec::new());
        for run in numbers.chunk_by(|left, right| page_of(*left) == page_of(*right)) {
            let Some(page) = self.pages.get(page_of(run[0])) else { continue };
            let heads = page.heads();
            let labels = page.labels();
            for series in run {
                let slot = slot_of(*series);
                let Some(head) = heads.get(slot).filter(|head| head.overlaps(start, end)) else { continue };
                match (head.newest_float().filter(|_| head.newest() <= end), labels.build(slot, &mut scratch)) {
                    (Some(sample), Some(labels)) => {
                        let samples = Decoded { floats: vec![sample], histograms: Vec::new() };
                        found.push(Found { series: *series, labels, samples });
                    }
                    _ => others.push(*series),
                }
            }
        }
        *numbers = others;
    }

    /// Reads series of one page from memory; returns how many samples there were.
    fn read_page(
        &self,
        numbers: &[u32],
        start: i64,
        end: i64,
        scratch: &mut Scratch,
        found: &mut Vec<Found>,
    ) -> Result<usize, SourceError> {
        let Some(page) = self.pages.get(page_of(numbers[0])) else { return Ok(0) };
        scratch.bits.clear();
        {
            let heads = page.heads();
            let labels = page.labels();
            for series in numbers {
                let slot = slot_of(*series);
                if let Some(head) = heads.get(slot).filter(|head| head.overlaps(start, end))
                    && let Some(labels) = labels.build(slot, &mut scratch.labels)
                {
                    scratch.views.push((*series, labels, head.view(start, end, &mut scratch.bits)));
                }
            }
        }
        let mut count = 0;
        for (series, labels, view) in scratch.views.drain(..) {
            let mut samples = Decoded::default();
            let damaged = |damage| SourceError::Unreadable(format!("{labels}: {damage}"));
            view.decode(&scratch.bits, start, end, &mut samples).map_err(damaged)?;
            samples.settle();
            count += samples.len();
            found.push(Found { series, labels, samples });
        }
        Ok(count)
    }

    /// Returns the series that satisfy any of the matcher sets, all without sets, and may have samples in `start ..= end`. A block that
    /// cannot be read names none; its faults are told to those who ask for its samples.
    pub(super) fn matching(&self, sets: &[Vec<Matcher>], start: Timestamp, end: Timestamp) -> Matching {
        let numbers = {
            let index = self.index();
            match sets {
                [] => index.all(),
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
        let mut known = Vec::with_capacity(numbers.len());
        for run in numbers.chunk_by(|left, right| page_of(*left) == page_of(*right)) {
            let Some(page) = self.pages.get(page_of(run[0])) else { continue };
            let heads = page.heads();
            let overlaps = |series: &&u32| heads.get(slot_of(**series)).is_some_and(|head| head.overlaps(start, end.0));
            known.extend(run.iter().filter(overlaps));
        }
        let sets: Vec<&[Matcher]> = sets.iter().map(Vec::as_slice).collect();
        let look = || {
            let mut unread = Vec::new();
            Some((self.cold(&sets, start, end.0, Some(&mut unread)).ok()?, unread))
        };
        // Blocks that are merged just now are there under another name.
        match (0..ATTEMPTS_MAX).find_map(|_| look()) {
            Some((cold, unread)) => Matching { known, cold: cold.series.into_iter().collect(), cut: cold.cut, unread },
            None => Matching { known, cold: Vec::new(), cut: true, unread: Vec::new() },
        }
    }

    /// Returns the label sets, sorted, of the series that satisfy any of the matcher sets and may have samples in `start ..= end`.
    ///
    /// Unit: `limit` counts label sets; 0 for no limit.
    pub fn series(&self, sets: &[Vec<Matcher>], start: Timestamp, end: Timestamp, limit: usize) -> Listing<LabelSet> {
        let found = self.matching(sets, start, end);
        let (mut all, mut scratch) = (Vec::with_capacity(found.known.len()), Vec::new());
        self.pages.walk(&found.known, |_, labels, slot| all.extend(labels.build(slot, &mut scratch)));
        if !found.cold.is_empty() {
            all.extend(found.cold.into_iter().map(|(_, labels)| labels));
        }
        all.sort_unstable();
        all.dedup();
        limited(all, limit, found.cut)
    }

    /// Returns the names, sorted, of the labels of the series that `series` would return; without sets those of all series.
    pub fn label_names(&self, sets: &[Vec<Matcher>], start: Timestamp, end: Timestamp, limit: usize) -> Listing<String> {
        let found = self.matching(sets, start, end);
        let mut names = BTreeSet::new();
        let mut take = |name: &str| {
            if !names.contains(name) {
                names.insert(name.to_owned());
            }
        };
        self.pages.walk(&found.known, |_, labels, slot| labels.pairs(slot).for_each(|(name, _)| take(name)));
        found.cold.iter().for_each(|(_, labels)| labels.iter().for_each(|(name, _)| take(name)));
        limited(names.into_iter().collect(), limit, found.cut)
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
        let found = self.matching(sets, start, end);
        limited(self.values_of(name, &found), limit, found.cut)
    }

    /// Returns the values, sorted, of one label of series.
    pub(super) fn values_of(&self, name: &str, found: &Matching) -> Vec<String> {
        let mut values = BTreeSet::new();
        let mut take = |value: &str| {
            if !values.contains(value) {
                values.insert(value.to_owned());
            }
        };
        self.pages.walk(&found.known, |_, labels, slot| {
            if let Some((_, value)) = labels.value(slot, name) {
                take(value);
            }
        });
        found.cold.iter().map(|(_, labels)| labels.get(name)).filter(|value| !value.is_empty()).for_each(take);
        values.into_iter().collect()
    }
}

fn unreadable(block: BlockId, cause: &BlockError) -> SourceError {
    SourceError::Unreadable(format!("block {block}: {}", chain(cause)))
}

/// Returns an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn limited<T>(mut items: Vec<T>, limit: usize, cut: bool) -> Listing<T> {
    let is_long = limit > 0 && items.len() > limit;
    if is_long {
        items.truncate(limit);
    }
    Listing { items, cut: cut || is_long }
}
