//! Cold series: those that memory has let go of, for all of their samples are in blocks, and no new one came for a while.
//!
//! Blocks name them, and whoever reads a span of time looks for them there: in the groups of the metrics that it asks for, and of these
//! only in those that may hold such a series. A series that comes back gets a new number, and its old samples are found by its labels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;

use crate::model::matcher::{all_match, named_metrics};
use crate::model::{LabelSet, Matcher};
use crate::time::Span;

use super::Store;
use super::block::{Block, BlockError, BlockId, INSTANTS_MAX};
use super::cluster::Wanted;
use super::delete::Tombstones;
use super::group::Instants;

/// A series without samples in memory stays there so long after its newest sample.
pub(super) const COLD_AFTER: Span = Span::from_mins(60);

/// The most cold series that one look finds.
const FOUND_MAX: usize = 2_000_000;

/// Cold series by their numbers.
#[derive(Default)]
pub(super) struct Cold {
    pub series: BTreeMap<u32, LabelSet>,
    /// There are more.
    pub cut: bool,
}

/// What is looked for: series that satisfy any of the sets, and have samples in `start ..= end`.
struct Look<'a> {
    sets: &'a [&'a [Matcher]],
    /// The metrics that the sets name.
    names: Option<&'a [&'a str]>,
    start: i64,
    end: i64,
    tombstones: &'a Tombstones,
}

/// Why a look for cold series failed.
pub(super) enum LookError {
    /// A block was merged with others, or is beyond the retention by now.
    Gone,
    Unreadable {
        block: BlockId,
        cause: BlockError,
    },
}

impl Store {
    /// Has the blocks that hold samples of series in `first ..= last` looked through for cold ones from now on, before the series go.
    pub(super) fn announce(&self, series: &[(u32, LabelSet)], (first, last): (i64, i64)) {
        let mut wanted = None;
        for block in self.blocks().iter().filter(|block| block.overlaps(first, last)) {
            let wanted = wanted.get_or_insert_with(|| Wanted::new(series.iter().map(|(series, labels)| (*series, labels))));
            block.groups_of(wanted).into_iter().for_each(|(group, _)| block.set_cold(group, true));
        }
    }

    /// Returns the cold series that satisfy any of the matcher sets, all without sets, and have samples in `start ..= end`.
    ///
    /// Errors: `Gone` when blocks changed meanwhile, and the look is to be repeated; `Unreadable` for a block that cannot be read, unless
    /// `faulty` takes it.
    pub(super) fn cold(
        &self,
        sets: &[&[Matcher]],
        start: i64,
        end: i64,
        mut faulty: Option<&mut Vec<BlockId>>,
    ) -> Result<Cold, LookError> {
        let (names, mut cold) = (names(sets), Cold::default());
        // Tombstones first: none goes before the blocks that it concerns have.
        let tombstones = self.tombstones();
        let look = Look { sets, names: names.as_deref(), start, end, tombstones: &tombstones };
        for block in self.blocks().iter().filter(|block| block.overlaps(start, end)) {
            let cause = match self.cold_in(block, &look, &mut cold) {
                Ok(()) => continue,
                Err(cause) => cause,
            };
            if matches!(cause, BlockError::Io(_)) && !self.blocks().iter().any(|own| own.id == block.id) {
                return Err(LookError::Gone);
            }
            match &mut faulty {
                Some(faulty) => faulty.push(block.id),
                None => return Err(LookError::Unreadable { block: block.id, cause }),
            }
        }
        Ok(cold)
    }

    /// Errors: the first one, once all groups that can be read have been looked through.
    fn cold_in(&self, block: &Block, look: &Look, cold: &mut Cold) -> Result<(), BlockError> {
        let mut first = Ok(());
        for group in block.groups_named(look.names).into_iter().filter(|group| block.has_cold(*group)) {
            first = first.and(self.cold_in_group(block, group, look, cold));
        }
        first
    }

    fn cold_in_group(&self, block: &Block, group: usize, look: &Look, cold: &mut Cold) -> Result<(), BlockError> {
        let index = block.index(group)?;
        let is_cold = |place: &usize| !self.pages.is_alive(index.entries[*place].series);
        let places: Vec<usize> = (0..index.entries.len()).filter(is_cold).collect();
        if places.is_empty() {
            // While nobody else holds it, no series is about to go.
            if let Ok(_own) = self.cooling.try_lock()
                && !(0..index.entries.len()).any(|place| is_cold(&place))
            {
                block.set_cold(group, false);
            }
            return Ok(());
        }
        let (hidden, mut instants) = (look.tombstones.of(block), Instants::new(INSTANTS_MAX));
        let labels = block.labels(group, &index.entries)?;
        for place in places {
            let (series, labels) = (index.entries[place].series, &labels[place]);
            let is_asked = look.sets.is_empty() || look.sets.iter().any(|set| all_match(set, labels));
            if !is_asked || cold.series.contains_key(&series) {
                continue;
            }
            let list = block.instants_of(&index, place, &mut instants)?;
            let from = list.partition_point(|at| *at < look.start);
            if list[from..].iter().take_while(|at| **at <= look.end).any(|at| !hidden.all(series, *at, *at)) {
                if cold.series.len() == FOUND_MAX {
                    cold.cut = true;
                    return Ok(());
                }
                cold.series.insert(series, labels.clone());
            }
        }
        Ok(())
    }
}

/// Returns the metrics that the matcher sets name; None when one of them may match any.
fn names<'a>(sets: &[&'a [Matcher]]) -> Option<Vec<&'a str>> {
    let mut names = Vec::new();
    for set in sets {
        names.extend(named_metrics(set)?.iter().map(String::as_str));
    }
    (!sets.is_empty()).then_some(names)
}

impl Block {
    pub fn has_cold(&self, group: usize) -> bool {
        self.cold[group].load(Relaxed)
    }

    pub fn set_cold(&self, group: usize, has: bool) {
        self.cold[group].store(has, Relaxed);
    }

    /// Returns the groups that may hold series of some metrics, all for None.
    fn groups_named(&self, names: Option<&[&str]>) -> Vec<usize> {
        let Some(names) = names else { return (0..self.groups()).collect() };
        let mut groups = BTreeSet::new();
        for name in names {
            let (mut from, mut to) = (name.as_bytes().to_vec(), name.as_bytes().to_vec());
            // The key of a series begins with its metric and a zero.
            from.push(0);
            to.push(1);
            // What is at a border may stand on both of its sides.
            groups.extend(self.groups_before(&from).saturating_sub(1)..self.groups_before(&to));
        }
        groups.into_iter().collect()
    }
}
