//! The labels of a page's series.
//!
//! The series of a page are mostly those of one target, so they share most of their pairs of name and value. A page keeps each
//! distinct pair once, and of a series the numbers of its pairs, which take a byte or two each.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::model::{LabelSet, labels};

use super::codec::{Reader, put_varint};
use super::pages::PAGE_LEN;

/// Shape: `starts` is empty or has a place for each slot of the page.
#[derive(Default)]
pub(super) struct PageLabels {
    /// Distinct pairs in the packed form of a label set, one behind the other.
    texts: Vec<u8>,
    /// Where each pair ends in `texts`.
    ends: Vec<u32>,
    /// Finds the number of a pair by its text; empty while the page is full, as it stays for most of its life.
    numbers: HashTable<u32>,
    hasher: RandomState,
    /// Of each series how many pairs it has, and their numbers, in order of names.
    lists: Vec<u8>,
    /// Where the list of each slot begins; `VACANT` for a slot without a series.
    starts: Vec<u32>,
    occupied: usize,
}

const VACANT: u32 = u32::MAX;

/// Returns the text of a pair.
fn text_of<'a>(texts: &'a [u8], ends: &[u32], number: u32) -> &'a [u8] {
    let start = (number as usize).checked_sub(1).map_or(0, |before| ends[before]);
    &texts[start as usize..ends[number as usize] as usize]
}

impl PageLabels {
    /// Returns the labels of a slot, built anew; `None` for a slot without a series.
    pub fn get(&self, slot: usize) -> Option<LabelSet> {
        self.build(slot, &mut Vec::with_capacity(256))
    }

    /// As `get`; `scratch` is room that the next call uses again.
    pub fn build(&self, slot: usize, scratch: &mut Vec<u8>) -> Option<LabelSet> {
        scratch.clear();
        self.texts(slot)?.for_each(|text| scratch.extend_from_slice(text));
        Some(LabelSet::from_trusted(scratch))
    }

    pub fn has(&self, slot: usize) -> bool {
        self.starts.get(slot).is_some_and(|start| *start != VACANT)
    }

    /// Returns whether the series of a slot has exactly these labels.
    pub fn is(&self, slot: usize, labels: &LabelSet) -> bool {
        let Some(texts) = self.texts(slot) else { return false };
        let mut rest = labels.packed();
        for text in texts {
            match rest.strip_prefix(text) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        rest.is_empty()
    }

    /// Returns the labels of a slot in order of their names; none for a slot without a series.
    pub fn pairs(&self, slot: usize) -> impl Iterator<Item = (&str, &str)> {
        self.texts(slot).into_iter().flatten().flat_map(labels::packed_pairs)
    }

    /// Returns the value of one label of a slot, and the number of its pair in this page; `None` without that label.
    pub fn value(&self, slot: usize, name: &str) -> Option<(u32, &str)> {
        let pairs = self.list(slot)?.map(|number| (number, self.text(number)));
        // Lengths are compared before anything is read as text.
        let mut named = pairs.filter(|(_, text)| labels::starts_with_name(text, name));
        named.next().and_then(|(number, text)| Some((number, labels::packed_pairs(text).next()?.1)))
    }

    fn text(&self, number: u32) -> &[u8] {
        text_of(&self.texts, &self.ends, number)
    }

    fn list(&self, slot: usize) -> Option<impl Iterator<Item = u32>> {
        const OWN: &str = "lists hold what `put` wrote";
        let start = *self.starts.get(slot).filter(|start| **start != VACANT)?;
        let mut reader = Reader(&self.lists[start as usize..]);
        let count = reader.varint().expect(OWN);
        Some((0..count).map(move |_| reader.varint().expect(OWN) as u32))
    }

    fn texts(&self, slot: usize) -> Option<impl Iterator<Item = &[u8]>> {
        self.list(slot).map(|list| list.map(|number| self.text(number)))
    }

    /// Takes the labels of a new series.
    pub fn put(&mut self, slot: usize, labels: &LabelSet) {
        if self.starts.is_empty() {
            self.starts = vec![VACANT; PAGE_LEN];
        }
        self.occupied += usize::from(self.starts[slot] == VACANT);
        self.starts[slot] = self.lists.len() as u32;
        put_varint(&mut self.lists, labels.len() as u64);
        for text in labels.packed_texts() {
            let number = self.number(text);
            put_varint(&mut self.lists, u64::from(number));
        }
        if self.occupied == PAGE_LEN {
            self.numbers = HashTable::new();
            self.texts.shrink_to_fit();
            self.ends.shrink_to_fit();
            self.lists.shrink_to_fit();
        }
    }

    /// Returns the number of a pair, which is new if need be.
    fn number(&mut self, text: &[u8]) -> u32 {
        if self.numbers.is_empty() {
            (0..self.ends.len() as u32).for_each(|number| self.find_by_text(number));
        }
        let hash = self.hasher.hash_one(text);
        if let Some(number) = self.numbers.find(hash, |number| self.text(*number) == text) {
            return *number;
        }
        let number = self.ends.len() as u32;
        self.texts.extend_from_slice(text);
        self.ends.push(self.texts.len() as u32);
        self.find_by_text(number);
        number
    }

    /// Makes the number of a pair be found by its text.
    fn find_by_text(&mut self, number: u32) {
        let PageLabels { texts, ends, numbers, hasher, .. } = self;
        let hash = |number: u32| hasher.hash_one(text_of(texts, ends, number));
        numbers.insert_unique(hash(number), number, |number| hash(*number));
    }

    /// Empties a slot; returns whether the page has no series any more, and has then given its memory back.
    pub fn clear(&mut self, slot: usize) -> bool {
        if let Some(start) = self.starts.get_mut(slot).filter(|start| **start != VACANT) {
            *start = VACANT;
            self.occupied -= 1;
        }
        // A number is never given to another series, so what a page gathers is bounded by its slots, and goes with the last of them.
        if self.occupied == 0 {
            *self = PageLabels::default();
        }
        self.occupied == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(slot: usize) -> LabelSet {
        let (own, value) = (format!("own_{slot}"), "x".repeat(slot * 3));
        LabelSet::from_pairs([("__name__", "m"), ("job", "shop"), ("le", &slot.to_string()), (&own, "1"), ("long", &value)])
    }

    #[test]
    fn labels_come_back_as_they_were() {
        let mut page = PageLabels::default();
        for slot in (0..PAGE_LEN).rev() {
            page.put(slot, &set(slot));
        }
        for slot in 0..PAGE_LEN {
            assert_eq!(page.get(slot), Some(set(slot)));
            assert!(page.is(slot, &set(slot)) && !page.is(slot, &set(slot + 1)) && !page.is(slot, &LabelSet::empty()));
            assert!(page.pairs(slot).eq(set(slot).iter()));
            assert_eq!(page.value(slot, "le").map(|(_, value)| value.to_owned()), Some(slot.to_string()));
            assert_eq!(page.value(slot, "l"), None);
        }
        let (job, other) = (page.value(1, "job"), page.value(2, "job"));
        assert_eq!(job, other, "a pair is kept once");
        assert!(!page.clear(7) && page.get(7).is_none());
        page.put(7, &set(8));
        assert_eq!((page.get(7), page.get(8)), (Some(set(8)), Some(set(8))));
        assert_eq!(page.value(7, "le"), page.value(8, "le"), "a pair is kept once, in a page that was full too");
        assert!((0..PAGE_LEN - 1).all(|slot| !page.clear(slot)));
        assert!(!page.has(0) && page.get(0).is_none() && page.pairs(0).next().is_none());
        assert!(page.clear(PAGE_LEN - 1));
        page.put(3, &LabelSet::empty());
        assert_eq!(page.get(3), Some(LabelSet::empty()));
    }
}
