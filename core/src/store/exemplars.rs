//! Exemplars: the newest ones, in a circle that overwrites its oldest. They are kept in memory only.
//!
//! Source: Prometheus `tsdb.CircularExemplarStorage`, whose rules on duplicates and order these are.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use crate::model::matcher::all_match;
use crate::model::{Exemplar, LabelSet, Matcher, SeriesRef};
use crate::time::Timestamp;

use super::{POISONED, Store};

/// The most characters that the names and values of an exemplar's labels may have together.
const LABELS_CHARS_MAX: usize = 128;
/// No next exemplar of the same series.
const NONE: usize = usize::MAX;

/// What became of some exemplars; one that is there already is counted nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddedExemplars {
    pub added: usize,
    /// Refused: before the newest of its series.
    pub out_of_order: usize,
    /// Refused: the labels have more than 128 characters.
    pub too_long: usize,
}

struct Slot {
    series: SeriesRef,
    exemplar: Exemplar,
    /// Where the next exemplar of the series is.
    next: usize,
}

/// Where the exemplars of a series begin and end.
struct Chain {
    labels: LabelSet,
    oldest: usize,
    newest: usize,
}

/// The circle.
pub(super) struct Exemplars {
    max: usize,
    slots: Vec<Slot>,
    /// The slot to be written next.
    next: usize,
    chains: BTreeMap<SeriesRef, Chain>,
}

/// What is to be done with an exemplar.
enum Verdict {
    Add,
    Same,
    OutOfOrder,
    TooLong,
}

impl Exemplars {
    pub fn new(max: usize) -> Exemplars {
        Exemplars { max, slots: Vec::new(), next: 0, chains: BTreeMap::new() }
    }

    fn judge(&self, series: SeriesRef, exemplar: &Exemplar) -> Verdict {
        let chars = |(name, value): (&str, &str)| name.chars().count() + value.chars().count();
        if exemplar.labels.iter().map(chars).sum::<usize>() > LABELS_CHARS_MAX {
            return Verdict::TooLong;
        }
        let Some(chain) = self.chains.get(&series) else { return Verdict::Add };
        let newest = &self.slots[chain.newest].exemplar;
        if newest.is_same(exemplar) {
            return Verdict::Same;
        }
        if exemplar.order(newest).is_lt() { Verdict::OutOfOrder } else { Verdict::Add }
    }

    /// Writes an exemplar into the next slot. `labels` are those of its series; where there are none, the series is gone and nothing
    /// is written.
    fn push(&mut self, series: SeriesRef, labels: impl FnOnce() -> Option<LabelSet>, exemplar: Exemplar) -> bool {
        let Some(labels) = self.chains.get(&series).map(|chain| chain.labels.clone()).or_else(labels) else { return false };
        let (at, slot) = (self.next, Slot { series, exemplar, next: NONE });
        if at < self.slots.len() {
            self.drop_oldest(at);
            self.slots[at] = slot;
        } else {
            self.slots.push(slot);
        }
        let chain = self.chains.entry(series).or_insert(Chain { labels, oldest: at, newest: at });
        let before = std::mem::replace(&mut chain.newest, at);
        if before != at {
            self.slots[before].next = at;
        }
        self.next = (at + 1) % self.max;
        true
    }

    /// Takes the exemplar of a slot, which is the oldest of all, out of its chain.
    fn drop_oldest(&mut self, at: usize) {
        let Slot { series, next, .. } = self.slots[at];
        match next {
            NONE => drop(self.chains.remove(&series)),
            next => {
                if let Some(chain) = self.chains.get_mut(&series) {
                    chain.oldest = next;
                }
            }
        }
    }

    /// Returns the exemplars of a chain, oldest first.
    fn chain<'a>(&'a self, chain: &Chain) -> impl Iterator<Item = &'a Exemplar> {
        let mut at = chain.oldest;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at)?;
            at = slot.next;
            Some(&slot.exemplar)
        })
    }

    /// Changes how many are kept; the newest stay.
    fn resize(&mut self, max: usize) {
        if max != self.max {
            self.rebuild(max, |_, _| true);
        }
    }

    /// Makes the circle anew of the exemplars that are kept, the newest of them.
    fn rebuild(&mut self, max: usize, keep: impl Fn(SeriesRef, &Exemplar) -> bool) {
        let Exemplars { mut slots, next, chains, .. } = std::mem::replace(self, Exemplars::new(max));
        // In a circle that is not full, the oldest is in front already.
        let oldest = if next < slots.len() { next } else { 0 };
        slots.rotate_left(oldest);
        slots.retain(|slot| keep(slot.series, &slot.exemplar));
        let gone = slots.len().saturating_sub(max);
        for Slot { series, exemplar, .. } in slots.into_iter().skip(gone) {
            self.push(series, || chains.get(&series).map(|chain| chain.labels.clone()), exemplar);
        }
    }
}

impl Store {
    fn exemplars(&self) -> MutexGuard<'_, Exemplars> {
        self.exemplars.lock().expect(POISONED)
    }

    /// Returns whether exemplars are kept at all.
    pub fn keeps_exemplars(&self) -> bool {
        self.exemplars().max > 0
    }

    /// Sets how many exemplars are kept; zero keeps none.
    pub fn keep_exemplars(&self, max: usize) {
        self.exemplars().resize(max);
    }

    /// Adds exemplars of some series, in order for each.
    pub fn add_exemplars(&self, exemplars: Vec<(SeriesRef, Exemplar)>) -> AddedExemplars {
        let mut done = AddedExemplars::default();
        let mut circle = self.exemplars();
        if circle.max == 0 {
            return done;
        }
        for (series, exemplar) in exemplars {
            match circle.judge(series, &exemplar) {
                Verdict::Add => done.added += usize::from(circle.push(series, || self.labels(series), exemplar)),
                Verdict::Same => {}
                Verdict::OutOfOrder => done.out_of_order += 1,
                Verdict::TooLong => done.too_long += 1,
            }
        }
        done
    }

    /// Drops the exemplars in `start ..= end` of some series, which are sorted by number.
    pub(super) fn delete_exemplars(&self, series: &[u32], start: i64, end: i64) {
        let mut circle = self.exemplars();
        let is_gone =
            |own: SeriesRef, exemplar: &Exemplar| (start..=end).contains(&exemplar.at.0) && series.binary_search(&own.0).is_ok();
        if circle.slots.iter().any(|slot| is_gone(slot.series, &slot.exemplar)) {
            let max = circle.max;
            circle.rebuild(max, |own, exemplar| !is_gone(own, exemplar));
        }
    }

    /// Returns the exemplars in `start ..= end` of the series that satisfy every matcher of one of the sets, by the labels of the
    /// series; oldest first.
    pub fn query_exemplars(&self, sets: &[&[Matcher]], start: Timestamp, end: Timestamp) -> BTreeMap<LabelSet, Vec<Exemplar>> {
        let circle = self.exemplars();
        let mut found: BTreeMap<LabelSet, Vec<Exemplar>> = BTreeMap::new();
        for chain in circle.chains.values() {
            if !sets.iter().any(|matchers| all_match(matchers, &chain.labels)) {
                continue;
            }
            let mut within = circle.chain(chain).filter(|exemplar| (start..=end).contains(&exemplar.at)).peekable();
            if within.peek().is_some() {
                // A series that left the store and came back has two chains.
                let list = found.entry(chain.labels.clone()).or_default();
                list.extend(within.cloned());
                list.sort_by(Exemplar::order);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;

    fn exemplar(trace: &str, value: f64, at: i64) -> Exemplar {
        Exemplar { labels: LabelSet::from_pairs([("trace", trace)]), value, at: Timestamp(at), has_own_time: true }
    }

    fn store(max: usize) -> (Store, Vec<SeriesRef>) {
        let store = Store::new(StoreOptions { exemplars_max: max, ..StoreOptions::default() });
        let series = ["a", "b", "c"].map(|name| store.resolve(&LabelSet::from_pairs([("__name__", name)])).unwrap());
        (store, series.to_vec())
    }

    fn add(store: &Store, series: SeriesRef, exemplar: Exemplar) -> AddedExemplars {
        store.add_exemplars(vec![(series, exemplar)])
    }

    /// Returns what the store has between two instants, such as `a: 1 2; b: 3`.
    fn show(store: &Store, start: i64, end: i64) -> String {
        let all = Matcher::new("__name__", crate::model::MatchOp::Regex, ".+").unwrap();
        let found = store.query_exemplars(&[&[all]], Timestamp(start), Timestamp(end));
        let times = |list: &[Exemplar]| list.iter().map(|exemplar| exemplar.at.0.to_string()).collect::<Vec<_>>().join(" ");
        found.iter().map(|(labels, list)| format!("{}: {}", labels.name(), times(list))).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn the_circle_keeps_the_newest_of_all_series() {
        let (store, series) = store(4);
        for at in 0..100 {
            let done = add(&store, series[(at % 3) as usize], exemplar("t", 1.0, at));
            assert_eq!(done.added, 1);
        }
        assert_eq!(show(&store, 0, 1000), "a: 96 99; b: 97; c: 98");
        assert_eq!(show(&store, 97, 98), "b: 97; c: 98");
        // One series may fill the circle, and lose to itself.
        (100..106).for_each(|at| assert_eq!(add(&store, series[1], exemplar("t", 1.0, at)).added, 1));
        assert_eq!(show(&store, 0, 1000), "b: 102 103 104 105");
        add(&store, series[0], exemplar("t", 1.0, 1));
        assert_eq!(show(&store, 0, 1000), "a: 1; b: 103 104 105");
    }

    #[test]
    fn a_circle_of_another_size_keeps_the_newest() {
        let (store, series) = store(5);
        (0..8).for_each(|at| assert_eq!(add(&store, series[(at % 2) as usize], exemplar("t", 1.0, at)).added, 1));
        store.keep_exemplars(3);
        assert_eq!(show(&store, 0, 1000), "a: 6; b: 5 7");
        store.keep_exemplars(10);
        (8..20).for_each(|at| assert_eq!(add(&store, series[2], exemplar("t", 1.0, at)).added, 1));
        assert_eq!(show(&store, 0, 1000), "c: 10 11 12 13 14 15 16 17 18 19");
        store.keep_exemplars(0);
        assert_eq!(add(&store, series[0], exemplar("t", 1.0, 50)), AddedExemplars::default());
        assert_eq!(show(&store, 0, 1000), "");
        store.keep_exemplars(1);
        assert_eq!(add(&store, series[0], exemplar("t", 1.0, 50)).added, 1);
    }

    #[test]
    fn an_exemplar_comes_once_and_in_order() {
        let (store, series) = store(100);
        let added = |done: AddedExemplars| (done.added, done.out_of_order, done.too_long);
        let try_one = |exemplar: Exemplar| added(add(&store, series[0], exemplar));
        assert_eq!(try_one(exemplar("b", 2.0, 10)), (1, 0, 0));
        assert_eq!(try_one(exemplar("b", 2.0, 10)), (0, 0, 0), "the same again");
        assert_eq!(try_one(exemplar("b", 2.0, 9)), (0, 1, 0), "earlier");
        assert_eq!(try_one(exemplar("z", 1.0, 10)), (0, 1, 0), "the same time and a smaller value");
        assert_eq!(try_one(exemplar("a", 2.0, 10)), (0, 1, 0), "labels decide last");
        assert_eq!(try_one(exemplar("c", 2.0, 10)), (1, 0, 0));
        let timeless = |at: i64| Exemplar { has_own_time: false, ..exemplar("d", 3.0, at) };
        assert_eq!(try_one(timeless(20)), (1, 0, 0));
        assert_eq!(try_one(timeless(30)), (0, 0, 0), "without a time of its own it is the same later");
        assert_eq!(try_one(exemplar(&"ä".repeat(123), 4.0, 40)), (1, 0, 0));
        assert_eq!(try_one(exemplar(&"ä".repeat(124), 5.0, 50)), (0, 0, 1));
    }
}
