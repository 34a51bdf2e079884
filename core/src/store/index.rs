//! The index: for each label name and value, the sorted numbers of the series that carry it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::model::{LabelSet, Matcher};

use super::pages::Pages;

#[derive(Debug)]
enum Postings {
    /// Most values of an identity label belong to one series.
    One(u32),
    Many(Vec<u32>),
}

impl Postings {
    fn as_slice(&self) -> &[u32] {
        match self {
            Postings::One(series) => std::slice::from_ref(series),
            Postings::Many(series) => series,
        }
    }

    fn insert(&mut self, series: u32) {
        match self {
            Postings::One(own) if *own == series => {}
            Postings::One(own) => *self = Postings::Many(vec![(*own).min(series), (*own).max(series)]),
            Postings::Many(all) => insert_sorted(all, series),
        }
    }
}

/// Removes numbers from a list; both are sorted.
fn drop_from(all: &mut Vec<u32>, mut gone: &[u32]) {
    all.retain(|series| {
        gone = &gone[skip(gone, *series)..];
        gone.first() != Some(series)
    });
    if all.capacity() > 2 * all.len() + 64 {
        all.shrink_to_fit();
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
    all: Vec<u32>,
    /// The number that the next new series gets; `None` once all are used up.
    pub next: Option<u32>,
}

impl Index {
    pub fn new() -> Index {
        Index { next: Some(0), ..Index::default() }
    }

    /// Returns every living series, sorted.
    pub fn all(&self) -> &[u32] {
        &self.all
    }

    pub fn insert(&mut self, series: u32, labels: &LabelSet) {
        insert_sorted(&mut self.all, series);
        for (name, value) in labels.iter() {
            if !self.names.contains_key(name) {
                self.names.insert(name.into(), Values::default());
            }
            let values = self.names.get_mut(name).expect("the name was put there above");
            values.series += 1;
            match values.by_value.get_mut(value) {
                Some(postings) => postings.insert(series),
                None => drop(values.by_value.insert(value.into(), Postings::One(series))),
            }
        }
    }

    /// Removes series; `dead` is sorted by number.
    pub fn remove(&mut self, dead: &[(u32, LabelSet)]) {
        let numbers: Vec<u32> = dead.iter().map(|(series, _)| *series).collect();
        drop_from(&mut self.all, &numbers);
        let mut pairs: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for pair in dead.iter().flat_map(|(_, labels)| labels.iter()) {
            *pairs.entry(pair).or_default() += 1;
        }
        for ((name, value), count) in pairs {
            let Some(values) = self.names.get_mut(name) else { continue };
            values.series -= count.min(values.series);
            let empty = match values.by_value.get_mut(value) {
                Some(Postings::One(series)) => numbers.binary_search(series).is_ok(),
                Some(Postings::Many(all)) => {
                    drop_from(all, &numbers);
                    all.is_empty()
                }
                None => false,
            };
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
                Some(own) if self.is_cheaper_by_series(matcher, own.len()) => {
                    pages.filter(&own, |labels| matcher.matches(labels)).into()
                }
                Some(own) => intersect(&own, &self.union(matcher, true)).into(),
                None => self.union(matcher, true).into(),
            });
        }
        for matcher in open {
            let own = found.unwrap_or(Cow::Borrowed(&self.all));
            found = Some(if self.is_cheaper_by_series(matcher, own.len()) {
                pages.filter(&own, |labels| matcher.matches(labels)).into()
            } else {
                subtract(own, &self.union(matcher, false))
            });
        }
        found.map_or_else(|| self.all.clone(), Cow::into_owned)
    }

    /// Returns the series that satisfy the matchers that name their values; `Some(None)` when there is no such matcher, `None` when no
    /// series can satisfy them.
    fn by_words(&self, matchers: &[Matcher]) -> Option<Option<Cow<'_, [u32]>>> {
        let mut lists: Vec<Cow<'_, [u32]>> = Vec::new();
        for matcher in matchers.iter().filter(|matcher| is_direct(matcher)) {
            let values = self.names.get(matcher.name.as_str())?;
            let words = matcher.words().expect("direct matchers name their values");
            let mut hits = words.iter().filter_map(|word| values.by_value.get(word.as_str())).map(Postings::as_slice);
            let first = hits.next()?;
            let rest: Vec<&[u32]> = hits.collect();
            lists.push(if rest.is_empty() { first.into() } else { merge(first, &rest).into() });
        }
        lists.sort_by_key(|list| list.len());
        let mut lists = lists.into_iter();
        let Some(mut found) = lists.next() else { return Some(None) };
        for list in lists {
            found = intersect(&found, &list).into();
        }
        Some(Some(found))
    }

    /// Returns whether asking `series` label sets costs less than asking every value of the label.
    fn is_cheaper_by_series(&self, matcher: &Matcher, series: usize) -> bool {
        self.names.get(matcher.name.as_str()).is_some_and(|values| series < values.by_value.len())
    }

    /// Returns the series that have the label with a value that the matcher takes, or, if `yes` is false, refuses.
    fn union(&self, matcher: &Matcher, yes: bool) -> Vec<u32> {
        let Some(values) = self.names.get(matcher.name.as_str()) else { return Vec::new() };
        let hits: Vec<&[u32]> =
            values.by_value.iter().filter(|(value, _)| matcher.is_match(value) == yes).map(|(_, list)| list.as_slice()).collect();
        merge(&[], &hits)
    }

    /// Returns each label name, with the number of its values and of the series that have it, in order of names.
    pub fn names(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.names.iter().map(|(name, values)| (&**name, values.by_value.len(), values.series))
    }

    /// Returns a label's values with the number of series of each, in order of values.
    pub fn values(&self, name: &str) -> impl Iterator<Item = (&str, usize)> {
        let values = self.names.get(name).into_iter().flat_map(|values| values.by_value.iter());
        values.map(|(value, postings)| (&**value, postings.as_slice().len()))
    }
}

/// Returns whether the matcher names its values and the label must be there.
fn is_direct(matcher: &Matcher) -> bool {
    matcher.words().is_some() && !matcher.matches_empty()
}

/// Returns the union of lists.
fn merge(first: &[u32], rest: &[&[u32]]) -> Vec<u32> {
    let mut all = Vec::with_capacity(first.len() + rest.iter().map(|list| list.len()).sum::<usize>());
    all.extend_from_slice(first);
    rest.iter().for_each(|list| all.extend_from_slice(list));
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
            pages.make(page_of(series as u32)).place(slot_of(series as u32), set.clone(), false);
            index.insert(series as u32, &set);
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
        assert_eq!((index.names().count(), index.all().len()), (0, 0));
    }
}
