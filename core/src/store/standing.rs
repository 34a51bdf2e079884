//! Standing selectors: selectors that are asked again and again, such as those of rules, whose series are known at all times. A new series
//! is matched against them once, when it is made; asking for theirs costs a copy of a list.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use foldhash::quality::FixedState;
use roaring::RoaringBitmap;

use crate::model::matcher::{all_match, named_metrics};
use crate::model::{LabelSet, Matcher};

use super::{POISONED, Store};

/// The most selectors that stand.
const STANDING_MAX: usize = 20_000;
/// The most of these that name no metric: each new series is matched against every one of them.
const NAMELESS_MAX: usize = 64;

/// A selector and its series.
struct Standing {
    matchers: Vec<Matcher>,
    series: RwLock<RoaringBitmap>,
}

#[derive(Default)]
pub(super) struct Standings {
    /// By the hash of their matchers.
    all: HashMap<u64, Vec<Arc<Standing>>>,
    /// Those that name their metrics, by each name.
    by_name: HashMap<String, Vec<Arc<Standing>>>,
    nameless: Vec<Arc<Standing>>,
    len: usize,
}

fn hash(matchers: &[Matcher]) -> u64 {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    for Matcher { name, op, value, .. } in matchers {
        (name, op, value).hash(&mut hasher);
    }
    hasher.finish()
}

fn is_same(left: &[Matcher], right: &[Matcher]) -> bool {
    left.iter().map(|own| (&own.name, own.op, &own.value)).eq(right.iter().map(|own| (&own.name, own.op, &own.value)))
}

impl Standings {
    fn find(&self, matchers: &[Matcher]) -> Option<&Arc<Standing>> {
        if self.len == 0 {
            return None;
        }
        self.all.get(&hash(matchers))?.iter().find(|own| is_same(&own.matchers, matchers))
    }

    fn has_room_for(&self, matchers: &[Matcher]) -> bool {
        self.len < STANDING_MAX && (named_metrics(matchers).is_some() || self.nameless.len() < NAMELESS_MAX)
    }

    fn add(&mut self, own: Arc<Standing>) {
        self.all.entry(hash(&own.matchers)).or_default().push(own.clone());
        self.len += 1;
        match named_metrics(&own.matchers) {
            Some(names) => names.iter().for_each(|name| self.by_name.entry(name.clone()).or_default().push(own.clone())),
            None => self.nameless.push(own.clone()),
        }
    }

    /// Keeps those selectors for which `keep` is true.
    fn retain(&mut self, keep: impl Fn(&[Matcher]) -> bool) {
        let old = std::mem::take(self);
        old.all.into_values().flatten().filter(|own| keep(&own.matchers)).for_each(|own| self.add(own));
    }

    fn of_metric(&self, name: &str) -> impl Iterator<Item = &Arc<Standing>> {
        self.by_name.get(name).into_iter().flatten().chain(&self.nameless)
    }

    /// Takes a new series in; the caller holds the index.
    pub fn created(&self, series: u32, labels: &LabelSet) {
        for own in self.of_metric(labels.name()).filter(|own| all_match(&own.matchers, labels)) {
            own.series.write().expect(POISONED).insert(series);
        }
    }

    /// Lets go of series; the caller holds the index.
    pub fn removed(&self, dead: &[(u32, LabelSet)]) {
        if self.len == 0 {
            return;
        }
        let gone: RoaringBitmap = dead.iter().map(|(series, _)| *series).collect();
        let mut metrics: Vec<&str> = dead.iter().map(|(_, labels)| labels.name()).collect();
        metrics.sort_unstable();
        metrics.dedup();
        let named = metrics.into_iter().flat_map(|name| self.by_name.get(name)).flatten();
        for own in named.chain(&self.nameless) {
            *own.series.write().expect(POISONED) -= &gone;
        }
    }
}

impl Store {
    pub(super) fn standing(&self) -> RwLockReadGuard<'_, Standings> {
        self.standing.read().expect(POISONED)
    }

    /// Puts other selectors in the place of those that stand. Returns how many were left out, for there is a limit.
    pub fn stand(&self, selectors: Vec<Vec<Matcher>>) -> usize {
        let wanted: HashMap<u64, Vec<&[Matcher]>> = selectors.iter().fold(HashMap::new(), |mut all, own| {
            all.entry(hash(own)).or_insert_with(Vec::new).push(own);
            all
        });
        let is_wanted =
            |matchers: &[Matcher]| wanted.get(&hash(matchers)).is_some_and(|all| all.iter().any(|own| is_same(own, matchers)));
        self.standing.write().expect(POISONED).retain(is_wanted);
        let mut left_out = 0;
        for matchers in selectors {
            // No series comes or goes while the index is held.
            let index = self.index();
            let standing = self.standing();
            if standing.find(&matchers).is_some() {
                continue;
            }
            let has_room = standing.has_room_for(&matchers);
            drop(standing);
            if !has_room {
                left_out += 1;
                continue;
            }
            let series = index.select(&matchers, &self.pages).into_iter().collect();
            self.standing.write().expect(POISONED).add(Arc::new(Standing { matchers, series: RwLock::new(series) }));
        }
        left_out
    }

    /// Returns the numbers of the series in memory that satisfy every matcher, sorted.
    pub(super) fn numbers(&self, matchers: &[Matcher]) -> Vec<u32> {
        let standing = self.standing().find(matchers).cloned();
        match standing {
            Some(own) => own.series.read().expect(POISONED).iter().collect(),
            None => self.index().select(matchers, &self.pages),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{METRIC_NAME, MatchOp};
    use crate::store::StoreOptions;
    use crate::time::Timestamp;

    #[test]
    fn what_stands_knows_its_series_as_they_come_and_go() {
        let store = Store::new(StoreOptions::default());
        let set = |name: &str, zone: &str| LabelSet::from_pairs([("__name__", name), ("zone", zone)]);
        let named = vec![Matcher::new(METRIC_NAME, MatchOp::Regex, "a|b|a").unwrap(), Matcher::equal("zone", "1")];
        let nameless = vec![Matcher::equal("zone", "1")];
        store.resolve(&set("a", "1")).unwrap();
        assert_eq!(store.stand(vec![named.clone(), nameless.clone(), named.clone()]), 0);
        assert_eq!(store.standing().len, 2, "each once");
        for (name, zone) in [("b", "1"), ("a", "2"), ("c", "1")] {
            store.resolve(&set(name, zone)).unwrap();
        }
        let stands = |matchers: &[Matcher]| store.standing().find(matchers).is_some();
        assert!(stands(&named) && stands(&nameless) && !stands(&named[..1]));
        assert_eq!((store.numbers(&named), store.numbers(&nameless)), (vec![0, 1], vec![0, 1, 3]));
        assert_eq!(store.stand(vec![named.clone()]), 0);
        assert!(stands(&named) && !stands(&nameless));
        // Series that never have a sample go at the second call.
        (0..2).for_each(|_| drop(store.truncate(Timestamp(0))));
        assert_eq!(store.numbers(&named), [0; 0]);
        let many = (0..NAMELESS_MAX + 3).map(|number| vec![Matcher::equal("zone", number.to_string())]);
        assert_eq!(store.stand(many.chain([named.clone()]).collect()), 3, "each of the nameless costs every new series");
        assert!(stands(&named));
    }
}
