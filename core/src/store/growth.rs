//! Which series came lately: counts of new series by what they have in common, in memory of a fixed size.
//!
//! Time goes by turns: whoever keeps the house says what time it is, so that making a series needs no clock.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::model::{LabelSet, METRIC_NAME};
use crate::time::{Span, Timestamp};

use super::Store;

/// The grain of all counts.
const SLOT: Span = Span::from_mins(5);
/// An hour.
const SLOTS: usize = 12;
/// A day.
const MOMENTS_MAX: usize = 288;
/// Names of each kind that have counts of their own.
const NAMES_MAX: usize = 2048;
/// Longer names have none.
const NAME_BYTES_MAX: usize = 200;

/// What new series are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Metric,
    /// The values that a label did not have before.
    Label,
    /// A label with its value, as `name=value`.
    Pair,
}

/// What came and went in five minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// When it began.
    pub at: Timestamp,
    /// Series that were made.
    pub created: u64,
    /// Series that left the store.
    pub removed: u64,
    /// Samples that found no series, because a new one was refused.
    pub refused: u64,
    /// Series that there were at its end.
    pub series: usize,
}

/// Counts of the last hour, by name.
struct Tally {
    counts: HashMap<Box<str>, [u32; SLOTS], FixedState>,
}

impl Tally {
    fn count(&mut self, name: &str, slot: usize) {
        if let Some(counts) = self.counts.get_mut(name) {
            counts[slot] = counts[slot].saturating_add(1);
        } else if self.counts.len() < NAMES_MAX && name.len() <= NAME_BYTES_MAX {
            let mut counts = [0; SLOTS];
            counts[slot] = 1;
            self.counts.insert(name.into(), counts);
        }
    }

    fn sum(counts: &[u32; SLOTS]) -> u64 {
        counts.iter().map(|count| u64::from(*count)).sum()
    }

    fn clear(&mut self, slot: usize) {
        self.counts.retain(|_, counts| {
            counts[slot] = 0;
            counts.iter().any(|count| *count > 0)
        });
    }

    /// Makes room in a full tally: the smaller half goes. A name that grows fast is so counted within a turn of its first series.
    fn thin_out(&mut self) {
        if self.counts.len() < NAMES_MAX {
            return;
        }
        let mut sums: Vec<u64> = self.counts.values().map(Tally::sum).collect();
        sums.sort_unstable();
        let median = sums[sums.len() / 2];
        self.counts.retain(|_, counts| Tally::sum(counts) > median);
    }

    /// Returns the names with the highest counts, the highest first, ties by name.
    fn top(&self, max: usize) -> Vec<(String, u64)> {
        let mut all: Vec<(&str, u64)> = self.counts.iter().map(|(name, counts)| (&**name, Tally::sum(counts))).collect();
        all.sort_unstable_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(right.0)));
        all.into_iter().take(max).map(|(name, count)| (name.to_owned(), count)).collect()
    }
}

pub(super) struct Growth {
    tallies: [Tally; 3],
    /// Where the counts of now stand.
    slot: usize,
    moments: VecDeque<Moment>,
    /// What the moment under way has seen.
    now: Moment,
    /// When the first turn was.
    since: Option<Timestamp>,
    pair: String,
    created: u64,
}

impl Growth {
    pub fn new(seed: u64) -> Growth {
        let tally = || Tally { counts: HashMap::with_hasher(FixedState::with_seed(seed)) };
        Growth {
            tallies: [tally(), tally(), tally()],
            slot: 0,
            moments: VecDeque::new(),
            now: Moment::default(),
            since: None,
            pair: String::new(),
            created: 0,
        }
    }

    fn tally(&self, kind: Kind) -> &Tally {
        &self.tallies[kind as usize]
    }

    /// Counts a value that its label did not have before.
    pub fn new_value(&mut self, name: &str) {
        self.tallies[Kind::Label as usize].count(name, self.slot);
    }

    /// Counts a new series.
    pub fn created(&mut self, labels: &LabelSet) {
        self.now.created += 1;
        self.created += 1;
        for (name, value) in labels.iter() {
            if name == METRIC_NAME {
                self.tallies[Kind::Metric as usize].count(value, self.slot);
            } else {
                self.pair.clear();
                self.pair.extend([name, "=", value]);
                self.tallies[Kind::Pair as usize].count(&self.pair, self.slot);
            }
        }
    }

    pub fn refused(&mut self) {
        self.now.refused += 1;
    }

    pub fn removed(&mut self, count: usize) {
        self.now.removed += count as u64;
    }

    fn turn(&mut self, now: Timestamp, series: usize) {
        self.tallies.iter_mut().for_each(Tally::thin_out);
        self.now.series = series;
        // A clock that was stepped back begins the moment anew.
        if self.since.is_none() || now < self.now.at {
            self.since.get_or_insert(now);
            self.now.at = now;
        }
        let passed = now.since(self.now.at).0 / SLOT.0;
        if passed == 0 {
            return;
        }
        self.moments.push_back(self.now);
        if self.moments.len() > MOMENTS_MAX {
            self.moments.pop_front();
        }
        self.now = Moment { at: self.now.at + Span(passed * SLOT.0), series, ..Moment::default() };
        for _ in 0..passed.min(SLOTS as i64) {
            self.slot = (self.slot + 1) % SLOTS;
            let slot = self.slot;
            self.tallies.iter_mut().for_each(|tally| tally.clear(slot));
        }
    }

    /// Returns the names of which most is new within the last hour, with how much that is.
    pub fn top(&self, kind: Kind, max: usize) -> Vec<(String, u64)> {
        self.tally(kind).top(max)
    }

    /// Returns the moments of the last day, the one under way last; and when counting began.
    pub fn moments(&self) -> (Vec<Moment>, Option<Timestamp>) {
        (self.moments.iter().copied().chain([self.now]).collect(), self.since)
    }
}

impl Store {
    /// Says what time it is to the counts of new series. To be called every minute or so.
    pub fn turn_growth(&self, now: Timestamp) {
        let series = self.index().len();
        self.growth().turn(now, series);
    }

    /// Returns how many series were made since the start.
    pub fn series_created(&self) -> u64 {
        self.growth().created
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(metric: &str, id: usize) -> LabelSet {
        LabelSet::from_pairs([("__name__", metric), ("id", &id.to_string()), ("job", "shop")])
    }

    fn count(growth: &Growth, kind: Kind, name: &str) -> u64 {
        growth.top(kind, usize::MAX).into_iter().find(|(own, _)| own == name).map_or(0, |(_, count)| count)
    }

    #[test]
    fn counts_are_of_the_last_hour() {
        let mut growth = Growth::new(1);
        let minute = |minutes: i64| Timestamp(Span::from_mins(minutes).0);
        growth.turn(minute(0), 0);
        (0..3).for_each(|id| growth.created(&set("a", id)));
        growth.turn(minute(6), 3);
        growth.created(&set("b", 0));
        growth.refused();
        assert_eq!(growth.top(Kind::Metric, 9), [("a".to_owned(), 3), ("b".to_owned(), 1)]);
        assert_eq!(count(&growth, Kind::Pair, "job=shop"), 4);
        growth.turn(minute(59), 4);
        assert_eq!(count(&growth, Kind::Metric, "a"), 3);
        growth.turn(minute(61), 4);
        assert_eq!(growth.top(Kind::Metric, 9), [("b".to_owned(), 1)]);
        growth.turn(minute(300), 4);
        assert_eq!(growth.top(Kind::Metric, 9), []);
        let (moments, since) = growth.moments();
        let brief: Vec<_> = moments.iter().map(|one| (one.at.0 / 60_000, one.created, one.refused, one.series)).collect();
        assert_eq!(brief, [(0, 3, 0, 3), (5, 1, 1, 4), (55, 0, 0, 4), (60, 0, 0, 4), (300, 0, 0, 4)]);
        assert_eq!(since, Some(minute(0)));
    }

    #[test]
    fn one_who_grows_is_found_among_many_names() {
        let mut growth = Growth::new(7);
        growth.turn(Timestamp(0), 0);
        (0..3 * NAMES_MAX).for_each(|number| growth.created(&set(&format!("metric_{number}"), 0)));
        growth.turn(Timestamp(60_000), 0);
        (0..500).for_each(|id| growth.created(&set("explodes", id)));
        growth.turn(Timestamp(120_000), 0);
        assert_eq!(growth.top(Kind::Metric, 1), [("explodes".to_owned(), 500)]);
        assert!(growth.tallies.iter().all(|tally| tally.counts.len() <= NAMES_MAX));
        // A clock that is stepped back and forth loses no count of now.
        growth.turn(Timestamp(-600_000), 0);
        growth.turn(Timestamp(-500_000), 0);
        assert_eq!(count(&growth, Kind::Metric, "explodes"), 500);
    }
}
