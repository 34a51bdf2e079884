//! Increments of counters, from sample to sample.
//!
//! Between two consecutive samples of a series a counter has grown by their difference; where it has fallen it was reset, and has
//! grown by its new value. What happened in a gap belongs to the first sample behind it. A series that was not seen for `FORGET`
//! is forgotten. All of this depends on the samples alone, not on when they are looked at.

use foldhash::fast::FixedState;

use crate::model::{LabelSet, Series, is_stale};

use super::count::{Count, Tally};
use super::definition::Newcomers;
use super::query::{Meaning, Stream};
use super::standing::FORGET;

type Map<K, V> = hashbrown::HashMap<K, V, FixedState>;

/// Series of one objective beyond this many are left out, and counted as such.
const SERIES_MAX: usize = 200_000;

/// What tells a target from all others.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

#[derive(Clone, Copy, Debug)]
struct Last {
    at: i64,
    value: f64,
    target: u64,
}

/// A series that begins: whether its first value counts depends on its target.
struct Birth {
    at: i64,
    target: u64,
    added: Tally,
}

/// What the samples of one read bring.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// At which instant how many events came; in no order.
    pub events: Vec<(i64, Tally)>,
    /// Series and values that could not be counted.
    pub refused: u64,
}

/// Where each counter stood.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    newcomers: Newcomers,
    /// One for each stream.
    series: Vec<Map<LabelSet, Last>>,
    /// When a target was last seen.
    targets: Map<u64, i64>,
}

impl Counters {
    pub fn new(newcomers: Newcomers, streams: usize) -> Counters {
        Counters { newcomers, series: vec![Map::default(); streams], targets: Map::default() }
    }

    /// Takes the samples of all streams that lie behind those of the previous read, of a span not longer than `FORGET`.
    ///
    /// Shape: `read` holds the series of each stream, in the order of the streams.
    pub fn take(&mut self, streams: &[Stream], read: &[Vec<Series>], until: i64) -> Found {
        let mut found = Found::default();
        let mut births = Vec::new();
        // When each target first showed itself in this read.
        let mut shown: Map<u64, (i64, i64)> = Map::default();
        for (number, (stream, series)) in streams.iter().zip(read).enumerate() {
            let Meaning::Counter { good, total } = stream.meaning else { continue };
            for one in series {
                self.follow(number, one, (good, total), &mut births, &mut shown, &mut found);
            }
        }
        for birth in births {
            if self.counts(&birth, &shown) {
                found.events.push((birth.at, birth.added));
            }
        }
        for (target, (_, last)) in shown {
            let seen = self.targets.entry(target).or_insert(last);
            *seen = (*seen).max(last);
        }
        let oldest = until - FORGET.0;
        self.targets.retain(|_, last| *last >= oldest);
        for series in &mut self.series {
            series.retain(|_, last| last.at >= oldest);
        }
        found
    }

    fn follow(
        &mut self,
        number: usize,
        series: &Series,
        (good, total): (i8, i8),
        births: &mut Vec<Birth>,
        shown: &mut Map<u64, (i64, i64)>,
        found: &mut Found,
    ) {
        let states = &mut self.series[number];
        let mut known = states.get(&series.labels).copied();
        let mut samples = series.floats.iter().filter(|(_, value)| !is_stale(*value) && !value.is_nan()).copied().peekable();
        let Some(&(first, _)) = samples.peek() else { return };
        if known.is_none() && states.len() >= SERIES_MAX {
            found.refused += 1;
            return;
        }
        let target = known.map_or_else(|| target_of(&series.labels), |last| last.target);
        for (at, value) in samples {
            match known {
                Some(last) if at <= last.at => continue,
                Some(last) if at - last.at <= FORGET.0 => {
                    let grown = if value < last.value { value } else { value - last.value };
                    match Count::from_float(grown) {
                        // A read that brought nothing new still says that the series was measured.
                        Some(grown) => found.events.push((at, times(grown, good, total))),
                        None => found.refused += 1,
                    }
                }
                _ => match Count::from_float(value) {
                    Some(value) => {
                        found.events.push((at, Tally::ZERO));
                        births.push(Birth { at, target, added: times(value, good, total) });
                    }
                    None => found.refused += 1,
                },
            }
            known = Some(Last { at, value, target });
        }
        let Some(last) = known else { return };
        let times_shown = shown.entry(target).or_insert((first, last.at));
        *times_shown = (times_shown.0.min(first), times_shown.1.max(last.at));
        match states.get_mut(&series.labels) {
            Some(state) => *state = last,
            None => drop(states.insert(series.labels.clone(), last)),
        }
    }

    /// Returns whether the first value of a series has grown while we watched.
    fn counts(&self, birth: &Birth, shown: &Map<u64, (i64, i64)>) -> bool {
        match self.newcomers {
            Newcomers::FromZero => true,
            Newcomers::FromFirst => false,
            Newcomers::OfKnownTargets => {
                let before = self.targets.get(&birth.target).is_some_and(|last| *last >= birth.at - FORGET.0);
                before || shown.get(&birth.target).is_some_and(|(first, _)| *first < birth.at)
            }
        }
    }
}

fn target_of(labels: &LabelSet) -> u64 {
    labels.only(|name| TARGET_LABELS.contains(&name)).fingerprint().0
}

fn times(count: Count, good: i8, total: i8) -> Tally {
    Tally { good: Count(count.0 * i128::from(good)), total: Count(count.0 * i128::from(total)) }
}

/// Returns the events that the values of other streams are.
pub(super) fn values(meaning: Meaning, series: &[Series], found: &mut Found) {
    for &(at, value) in series.iter().flat_map(|series| &series.floats) {
        if value.is_nan() {
            continue;
        }
        let share = |share: f64| Count::from_float(share.clamp(0.0, 1.0)).unwrap_or_default();
        let tally = match meaning {
            Meaning::Counter { .. } => continue,
            Meaning::Amount { good, total } => match Count::from_float(value).filter(|count| *count >= Count::ZERO) {
                Some(count) => times(count, good, total),
                None => {
                    found.refused += 1;
                    continue;
                }
            },
            Meaning::Threshold { op, limit } => {
                Tally { good: if op.holds(value, limit) { Count::ONE } else { Count::ZERO }, total: Count::ONE }
            }
            Meaning::Ratio { part: super::openslo::Part::Good } => Tally { good: share(value), total: Count::ONE },
            Meaning::Ratio { part: super::openslo::Part::Bad } => Tally { good: Count::ONE - share(value), total: Count::ONE },
        };
        found.events.push((at, tally));
    }
}
