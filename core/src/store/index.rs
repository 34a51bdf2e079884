//! The index: for each label name and value, the sorted numbers of the series that carry it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use roaring::RoaringBitmap;

use crate::model::{LabelSet, Matcher};

use super::pages::Pages;

/// Lists up to this length are kept plain.
const FEW: usize = 32;

/// The series of one label pair.
#[derive(Debug)]
enum Postings {
    /// Most values of an identity label belong to one series.
    One(u32),
    Few(Vec<u32>),
    /// Two bytes a series where they lie far apart, a bit where they lie close together.
    Many(RoaringBitmap),
}

impl Postings {
    fn len(&self) -> usize {
        match self {
            Postings::One(_) => 1,
            Postings::Few(all) => all.len(),
            Postings::Many(all) => all.len() as usize,
        }
    }

    fn list(&self) -> List<'_> {
        match self {
            Postings::One(series) => List::Plain(std::slice::from_ref(series).into()),
            Postings::Few(all) => List::Plain(all.as_slice().into()),
            Postings::Many(all) => List::Map(Cow::Borrowed(all)),
        }
    }

    fn copy_to(&self, out: &mut Vec<u32>) {
        match self {
            Postings::One(series) => out.push(*series),
            Postings::Few(all) => out.extend_from_slice(all),
            Postings::Many(all) => out.extend(all),
        }
    }

    fn insert(&mut self, series: u32) {
        match self {
            Postings::One(own) if *own == series => {}
            Postings::One(own) => *self = Postings::Few(vec![(*own).min(series), (*own).max(series)]),
            Postings::Few(all) => {
                insert_sorted(all, series);
                if all.len() > FEW {
                    *self = Postings::Many(all.iter().copied().collect());
                }
            }
            Postings::Many(all) => drop(all.insert(series)),
        }
    }

    /// Removes numbers, which are sorted; returns whether none is left.
    fn remove(&mut self, gone: &[u32], gone_map: &RoaringBitmap) -> bool {
        match self {
            Postings::One(series) => gone.binary_search(series).is_ok(),
            Postings::Few(all) => {
                all.retain(|series| gone.binary_search(series).is_err());
                all.is_empty()
            }
            Postings::Many(all) => {
                *all -= gone_map;
                all.is_empty()
            }
        }
    }
}

/// Sorted numbers.
enum List<'a> {
    Plain(Cow<'a, [u32]>),
    Map(Cow<'a, RoaringBitmap>),
}

impl<'a> List<'a> {
    fn len(&self) -> usize {
        match self {
            List::Plain(all) => all.len(),
            List::Map(all) => all.len() as usize,
        }
    }

    fn into_plain(self) -> Cow<'a, [u32]> {
        match self {
            List::Plain(all) => all,
            List::Map(all) => all.iter().collect::<Vec<u32>>().into(),
        }
    }

    /// Returns what stands in both lists.
    fn and(self, other: List<'a>) -> List<'a> {
        match (self, other) {
            (List::Map(left), List::Map(right)) => List::Map(Cow::Owned(&*left & &*right)),
            (List::Plain(left), List::Plain(right)) => List::Plain(intersect(&left, &right).into()),
            (List::Plain(few), List::Map(map)) | (List::Map(map), List::Plain(few)) => {
                List::Plain(few.iter().copied().filter(|series| map.contains(*series)).collect::<Vec<u32>>().into())
            }
        }
    }
}

fn insert_sorted(all: &mut Vec<u32>, series: u32) {
    match all.last() {
        Some(last) if *last >= series => {
            if let Err(place) = all.binary_search(&series) {
                all.insert(place, series);
            }
        }
        Some(_) | None => all.push(series),
    }
}

#[derive(Debug, Default)]
struct Values {
    by_value: BTreeMap<Box<str>, Postings>,
    series: usize,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    names: BTreeMap<Box<str>, Values>,
    all: RoaringBitmap,
    /// The number that the next new series gets; `None` once all are used up.
    pub next: Option<u32>,
}

impl Index {
    pub fn new() -> Index {
        Index { next: Some(0), ..Index::default() }
    }

    /// Returns how many series are alive.
    pub fn len(&self) -> usize {
        self.all.len() as usize
    }

    /// Returns every living series, sorted.
    pub fn all(&self) -> Vec<u32> {
        self.all.iter().collect()
    }

    /// Takes a series in; calls `fresh` with the name of each label that has got a value which no other series has.
    pub fn insert(&mut self, series: u32, labels: &LabelSet, mut fresh: impl FnMut(&str)) {
        self.all.insert(series);
        for (name, value) in labels.iter() {
            if !self.names.contains_key(name) {
                self.names.insert(name.into(), Values::default());
            }
            let values = self.names.get_mut(name).expect("the name was put there above");
            values.series += 1;
            match values.by_value.get_mut(value) {
                Some(postings) => postings.insert(series),
                None => {
                    values.by_value.insert(value.into(), Postings::One(series));
                    fresh(name);
                }
            }
        }
    }

    /// Removes series; `dead` is sorted by number.
    pub fn remove(&mut self, dead: &[(u32, LabelSet)]) {
        let numbers: Vec<u32> = dead.iter().map(|(series, _)| *series).collect();
        let map: RoaringBitmap = numbers.iter().copied().collect();
        self.all -= &map;
        let mut pairs: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for pair in dead.iter().flat_map(|(_, labels)| labels.iter()) {
            *pairs.entry(pair).or_default() += 1;
        }
        for ((name, value), count) in pairs {
            let Some(values) = self.names.get_mut(name) else { continue };
            values.series -= count.min(values.series);
            let empty = values.by_value.get_mut(value).is_some_and(|postings| postings.remove(&numbers, &map));
            if empty {
                values.by_value.remove(value);
                if values.by_value.is_empty() {
                    self.names.remove(name);
                }
            }
        }
    }

    /// Returns the numbers of the series that satisfy every matcher, sorted.
    pub fn select(&self, matchers: &[Matcher], pages: &Pages) -> Vec<u32> {
        let Some(mut found) = self.by_words(matchers) else { return Vec::new() };
        // What needs the label first: that narrows the field for those that series without it satisfy.
        let (open, needing): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().filter(|matcher| !is_direct(matcher)).partition(|matcher| matcher.matches_empty());
        for matcher in needing {
            found = Some(match found {
                Some(own) if self.is_cheaper_by_series(matcher, own.len()) => pages.filter(&own, matcher).into(),
                Some(own) => intersect(&own, &self.union(matcher, true)).into(),
                None => self.union(matcher, true).into(),
            });
        }
        for matcher in open {
            let own = found.unwrap_or_else(|| self.all().into());
            found = Some(if self.is_cheaper_by_series(matcher, own.len()) {
                pages.filter(&own, matcher).into()
            } else {
                subtract(own, &self.union(matcher, false))
            });
        }
        found.map_or_else(|| self.all(), Cow::into_owned)
    }

    /// Returns the series that satisfy the matchers that name their values; `Some(None)` when there is no such matcher, `None` when no
    /// series can satisfy them.
    fn by_words(&self, matchers: &[Matcher]) -> Option<Option<Cow<'_, [u32]>>> {
        let mut lists: Vec<List<'_>> = Vec::new();
        for matcher in matchers.iter().filter(|matcher| is_direct(matcher)) {
            let values = self.names.get(matcher.name.as_str())?;
            let words = matcher.words().expect("direct matchers name their values");
            let hits: Vec<&Postings> = words.iter().filter_map(|word| values.by_value.get(word.as_str())).collect();
            lists.push(match hits[..] {
                [] => return None,
                [only] => only.list(),
                _ => List::Plain(merge(hits.into_iter()).into()),
            });
        }
        // The short ones first: what they leave of the long ones is soon little.
        lists.sort_by_key(List::len);
        let found = lists.into_iter().reduce(List::and);
        Some(found.map(List::into_plain))
    }

    /// Returns whether asking `series` label sets costs less than asking every value of the label.
    fn is_cheaper_by_series(&self, matcher: &Matcher, series: usize) -> bool {
        self.names.get(matcher.name.as_str()).is_some_and(|values| series < values.by_value.len())
    }

    /// Returns the series that have the label with a value that the matcher takes, or, if `yes` is false, refuses.
    fn union(&self, matcher: &Matcher, yes: bool) -> Vec<u32> {
        let Some(values) = self.names.get(matcher.name.as_str()) else { return Vec::new() };
        merge(values.by_value.iter().filter(|(value, _)| matcher.is_match(value) == yes).map(|(_, list)| list))
    }

    /// Returns how many series have a label with this value.
    pub fn count(&self, name: &str, value: &str) -> usize {
        self.postings(name, value).map_or(0, Postings::len)
    }

    /// Returns how many values a label has, and how many series have it.
    pub fn sizes(&self, name: &str) -> (usize, usize) {
        self.names.get(name).map_or((0, 0), |values| (values.by_value.len(), values.series))
    }

    /// Returns a copy of the series that have a label with this value.
    pub fn of_value(&self, name: &str, value: &str) -> RoaringBitmap {
        match self.postings(name, value) {
            None => RoaringBitmap::new(),
            Some(Postings::One(series)) => RoaringBitmap::from_iter([*series]),
            Some(Postings::Few(all)) => all.iter().copied().collect(),
            Some(Postings::Many(all)) => all.clone(),
        }
    }

    fn postings(&self, name: &str, value: &str) -> Option<&Postings> {
        self.names.get(name)?.by_value.get(value)
    }

    /// Returns each label name, with the number of its values and of the series that have it, in order of names.
    pub fn names(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.names.iter().map(|(name, values)| (&**name, values.by_value.len(), values.series))
    }

    /// Returns a label's values with the number of series of each, in order of values.
    pub fn values(&self, name: &str) -> impl Iterator<Item = (&str, usize)> {
        self.values_behind(name, None)
    }

    /// Returns those of a label's values that come behind a value, with the number of series of each, in order of values.
    pub fn values_behind(&self, name: &str, value: Option<&str>) -> impl Iterator<Item = (&str, usize)> {
        let from = value.map_or(Bound::Unbounded, Bound::Excluded);
        let values = self.names.get(name).into_iter();
        let values = values.flat_map(move |values| values.by_value.range::<str, _>((from, Bound::Unbounded)));
        values.map(|(value, postings)| (&**value, postings.len()))
    }
}

/// Returns whether the matcher names its values and the label must be there.
fn is_direct(matcher: &Matcher) -> bool {
    matcher.words().is_some() && !matcher.matches_empty()
}

/// Returns the union of lists.
fn merge<'a>(lists: impl Iterator<Item = &'a Postings>) -> Vec<u32> {
    let mut all = Vec::new();
    lists.for_each(|list| list.copy_to(&mut all));
    // The lists are sorted runs, which the stable sort finds and merges.
    all.sort();
    all.dedup();
    all
}

/// Returns what stands in both lists.
fn intersect(short: &[u32], long: &[u32]) -> Vec<u32> {
    let (short, mut long) = if short.len() <= long.len() { (short, long) } else { (long, short) };
    let mut both = Vec::with_capacity(short.len());
    for series in short {
        long = &long[skip(long, *series)..];
        if long.first() == Some(series) {
            both.push(*series);
        }
    }
    both
}

/// Returns what stands in the first list only.
fn subtract<'a>(from: Cow<'a, [u32]>, mut gone: &[u32]) -> Cow<'a, [u32]> {
    if gone.is_empty() {
        return from;
    }
    let mut kept = Vec::with_capacity(from.len());
    for series in from.iter() {
        gone = &gone[skip(gone, *series)..];
        if gone.first() != Some(series) {
            kept.push(*series);
        }
    }
    kept.into()
}

/// Returns how many numbers at the start of a sorted list are below `series`; quick when they are few.
fn skip(list: &[u32], series: u32) -> usize {
    let mut step = 1;
    while step < list.len() && list[step] < series {
        step *= 2;
    }
    let (from, to) = (step / 2, list.len().min(step + 1));
    from + list[from..to].partition_point(|own| *own < series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MatchOp;
    use crate::store::pages::{page_of, slot_of};

    fn build(sets: &[&[(&str, &str)]]) -> (Index, Pages, Vec<LabelSet>) {
        let (mut index, pages, mut labels) = (Index::new(), Pages::new(), Vec::new());
        for (series, pairs) in sets.iter().enumerate() {
            let set = LabelSet::from_pairs(pairs.iter().copied());
            pages.make(page_of(series as u32)).place(slot_of(series as u32), &set, false);
            index.insert(series as u32, &set, |_| ());
            labels.push(set);
        }
        (index, pages, labels)
    }

    #[test]
    fn matchers_select_what_they_select_one_by_one() {
        let sets: Vec<Vec<(String, String)>> = (0..300u32)
            .map(|n| {
                let mut pairs = vec![("__name__".to_owned(), format!("m{}", n % 3)), ("id".to_owned(), n.to_string())];
                if n % 5 > 0 {
                    pairs.push(("zone".to_owned(), ["a", "b", "c", "d"][n as usize % 4].to_owned()));
                }
                pairs
            })
            .collect();
        let borrowed: Vec<Vec<(&str, &str)>> =
            sets.iter().map(|set| set.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()).collect();
        let (index, pages, labels) = build(&borrowed.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let mut options = vec![];
        for (name, values) in [
            ("__name__", ["m1", "m.", "m1|m2", "", ".*"]),
            ("zone", ["a", "a|", "[ab]", "", ".+"]),
            ("none", ["x", "", "x|", ".*", ".+"]),
        ] {
            for op in [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex] {
                options.extend(values.iter().map(|value| Matcher::new(name, op, *value).unwrap()));
            }
        }
        options.push(Matcher::new("id", MatchOp::Regex, "1.*").unwrap());
        options.push(Matcher::new("id", MatchOp::NotRegex, "1.*|2").unwrap());
        for first in &options {
            for second in &options {
                let matchers = [first.clone(), second.clone()];
                let expected: Vec<u32> =
                    (0..300).filter(|n| matchers.iter().all(|matcher| matcher.matches(&labels[*n as usize]))).collect();
                assert_eq!(index.select(&matchers, &pages), expected, "{first} {second}");
            }
        }
    }

    #[test]
    fn removed_series_leave_no_trace() {
        let (mut index, pages, labels) = build(&[&[("a", "1"), ("b", "1")], &[("a", "1"), ("b", "2")], &[("a", "2")]]);
        index.remove(&[(1, labels[1].clone()), (2, labels[2].clone())]);
        assert_eq!(index.select(&[Matcher::equal("a", "1")], &pages), [0]);
        assert_eq!(index.names().collect::<Vec<_>>(), [("a", 1, 1), ("b", 1, 1)]);
        index.remove(&[(0, labels[0].clone())]);
        assert_eq!((index.names().count(), index.len()), (0, 0));
    }
}
