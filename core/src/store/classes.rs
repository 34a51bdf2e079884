//! How long samples stay: as the retention says, or longer or shorter by what their series is.
//!
//! The longest time decides what is forgotten at once and from everywhere, as if it were the retention. Series of shorter times leave
//! blocks that are older than these, which are written anew for that, one after the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::model::matcher::{all_match, named_metrics};
use crate::model::{LabelSet, METRIC_NAME, Matcher};
use crate::time::{Span, Timestamp};

use super::block::{Block, BlockError};
use super::merge::Merge;
use super::{POISONED, Store};

/// Series that stay for a time of their own.
#[derive(Clone, Debug)]
pub struct Class {
    /// A series that satisfies all matchers of one of them belongs to the class.
    pub selectors: Vec<Vec<Matcher>>,
    pub keep: Span,
}

/// A selector, and the place of its class.
type Placed = (usize, Vec<Matcher>);

/// The classes in force. The first one that a series belongs to counts.
#[derive(Debug, Default, PartialEq)]
pub struct Classes {
    default: Span,
    keeps: Vec<Span>,
    /// Selectors that name their metrics, by each name.
    by_name: HashMap<String, Vec<Placed>>,
    others: Vec<Placed>,
    /// Counts the changes of what is in force.
    number: u32,
}

impl Classes {
    /// `default` is how long series stay that belong to no class.
    pub fn new(default: Span, classes: Vec<Class>) -> Classes {
        let mut own = Classes { default, ..Classes::default() };
        for (place, class) in classes.into_iter().enumerate() {
            own.keeps.push(class.keep);
            for selector in class.selectors {
                match named_metrics(&selector).map(<[String]>::to_vec) {
                    Some(names) => {
                        for name in names {
                            own.by_name.entry(name).or_default().push((place, selector.clone()));
                        }
                    }
                    None => own.others.push((place, selector)),
                }
            }
        }
        own
    }

    /// Returns how long the samples of a series stay.
    pub fn keep(&self, labels: &LabelSet) -> Span {
        let named = self.by_name.get(labels.get(METRIC_NAME)).map_or(&[][..], Vec::as_slice);
        let own = named.iter().chain(&self.others).filter(|(_, selector)| all_match(selector, labels));
        own.map(|(place, _)| *place).min().map_or(self.default, |place| self.keeps[place])
    }

    fn spans(&self) -> impl Iterator<Item = Span> {
        self.keeps.iter().copied().chain([self.default])
    }

    pub(super) fn longest(&self) -> Span {
        self.spans().max().unwrap_or(self.default)
    }

    pub(super) fn shortest(&self) -> Span {
        self.spans().min().unwrap_or(self.default)
    }

    /// Returns whether all series stay for one time.
    pub(super) fn is_plain(&self) -> bool {
        self.shortest() == self.longest()
    }

    /// Returns how many of the times a block has outlived, as a mark that tells it from what other classes say. Zero: none.
    fn mark(&self, block: &Block, now: Timestamp) -> u64 {
        let outlived = self.spans().filter(|span| block.last < (now - *span).0).count() as u64;
        if outlived == 0 { 0 } else { u64::from(self.number) << 32 | outlived }
    }

    /// Returns whether a block holds a series that has outlived its time.
    fn has_spent(&self, block: &Block, now: Timestamp) -> Result<bool, BlockError> {
        for group in 0..block.groups() {
            let labels = block.labels(group, &block.index(group)?.entries)?;
            if labels.iter().any(|labels| block.last < (now - self.keep(labels)).0) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What a merge leaves out since it has outlived its time.
pub(super) struct Outlived {
    classes: Arc<Classes>,
    now: Timestamp,
}

impl Outlived {
    /// Returns the instant before which samples of a series are left out.
    pub fn horizon(&self, labels: &LabelSet) -> i64 {
        (self.now - self.classes.keep(labels)).0
    }

    /// Returns whether other classes are in force by now.
    pub fn is_outdated(&self, classes: &Classes) -> bool {
        self.classes.number != classes.number
    }
}

impl Store {
    /// Puts other classes into force. What is gone does not come back when samples are to stay longer.
    pub fn keep_by(&self, classes: Classes) {
        let mut own = self.classes.write().expect(POISONED);
        let classes = Classes { number: own.number, ..classes };
        // What says the same leaves what was sifted by it as it is.
        if **own != classes {
            *own = Arc::new(Classes { number: own.number.wrapping_add(1), ..classes });
        }
    }

    pub(super) fn classes(&self) -> Arc<Classes> {
        self.classes.read().expect(POISONED).clone()
    }

    /// Returns what a merge that begins now leaves out; None when all series stay for one time.
    pub(super) fn outlived(&self, now: Timestamp) -> Option<Outlived> {
        let classes = self.classes();
        (!classes.is_plain()).then(|| Outlived { classes, now: self.forgetting(now) })
    }

    /// Returns the oldest block that holds series which have outlived their time, to be written anew without them; calls `pause` behind
    /// each block that had to be looked through.
    pub fn sift_due(&self, now: Timestamp, pause: &mut dyn FnMut()) -> Option<Merge> {
        let (classes, now) = (self.classes(), self.forgetting(now));
        if classes.is_plain() {
            return None;
        }
        for block in self.blocks().iter().filter(|block| !block.is_faulty.load(Relaxed)) {
            let mark = classes.mark(block, now);
            if mark == 0 || block.sifted.load(Relaxed) == mark {
                continue;
            }
            let has_spent = classes.has_spent(block, now);
            pause();
            match has_spent {
                Ok(true) => {
                    let merge = Merge::of_one(block.clone(), self.horizon.load(Relaxed), self.tombstones());
                    return Some(merge.without(Outlived { classes, now }, mark));
                }
                Ok(false) => block.sifted.store(mark, Relaxed),
                // Its faults are told to those who ask for its samples; it stays as it is.
                Err(_) => block.is_faulty.store(true, Relaxed),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MatchOp;

    #[test]
    fn the_first_class_that_a_series_belongs_to_counts() {
        const DAY: Span = Span::from_mins(24 * 60);
        let matcher = |name: &str, op: MatchOp, value: &str| Matcher::new(name, op, value).unwrap();
        let class = |selectors: Vec<Vec<Matcher>>, days: i64| Class { selectors, keep: Span(days * DAY.0) };
        let up = || Matcher::equal(METRIC_NAME, "up");
        let one_or_other = vec![matcher(METRIC_NAME, MatchOp::Regex, "a|b"), matcher("zone", MatchOp::NotEqual, "")];
        let classes = Classes::new(
            Span(15 * DAY.0),
            vec![
                class(vec![vec![Matcher::equal("job", "debug")]], 2),
                class(vec![vec![up()], one_or_other], 90),
                class(vec![vec![matcher(METRIC_NAME, MatchOp::Regex, "slo:.*")], vec![up(), Matcher::equal("job", "x")]], 400),
            ],
        );
        let keep = |pairs: &[(&str, &str)]| classes.keep(&LabelSet::from_pairs(pairs.iter().copied())).0 / DAY.0;
        assert_eq!(keep(&[("__name__", "up"), ("job", "debug")]), 2);
        assert_eq!(keep(&[("__name__", "up"), ("job", "x")]), 90);
        assert_eq!(keep(&[("__name__", "a"), ("zone", "1")]), 90);
        assert_eq!(keep(&[("__name__", "a")]), 15);
        assert_eq!(keep(&[("__name__", "slo:budget")]), 400);
        assert_eq!(keep(&[("job", "nameless")]), 15);
        assert!(!classes.is_plain() && Classes::new(Span(1), vec![]).is_plain());
    }
}
