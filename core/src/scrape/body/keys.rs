//! The series texts of a target's previous scrapes, in the order in which the target wrote them.
//!
//! Targets write the same lines in the same order again and again, so the next key is nearly always the one behind the last. Keys are
//! kept without what they share with the key before them; that makes them small and a comparison in order cheap.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

/// Every so many keys one is kept whole, so that no key takes long to put together.
const WHOLE_EVERY: usize = 16;
/// A reader looks this many keys ahead before it asks the table, since lines that vanished must not break the order.
const AHEAD: usize = 8;

const HASHER: FixedState = FixedState::with_seed(0x70c5);

fn hash(key: &[u8]) -> u64 {
    let mut hasher = HASHER.build_hasher();
    hasher.write(key);
    hasher.finish()
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn add(table: &mut HashTable<u32>, hash: u64, position: usize) {
    table.insert_unique(hash, position as u32, |_| unreachable!("the table was given room"));
}

#[derive(Clone, Copy)]
struct Slot {
    /// Where this key's own bytes end.
    end: u32,
    /// How many bytes it shares with the key before it.
    shared: u16,
}

/// Keys by position, each position once.
#[derive(Default)]
pub struct KeyBook {
    own: Vec<u8>,
    slots: Vec<Slot>,
    last: Vec<u8>,
    /// Positions by key; made when a key first comes out of order.
    table: Option<HashTable<u32>>,
}

/// A place in a book: the position to expect next, and the body's text of the key before it.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub next: usize,
    pub before: &'a [u8],
}

impl KeyBook {
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    fn own(&self, position: usize) -> &[u8] {
        let start = if position == 0 { 0 } else { self.slots[position - 1].end };
        &self.own[start as usize..self.slots[position].end as usize]
    }

    /// Puts a key together in `out`.
    fn read(&self, position: usize, out: &mut Vec<u8>) {
        let whole = (0..=position).rev().find(|at| self.slots[*at].shared == 0).unwrap_or(0);
        out.clear();
        for at in whole..=position {
            out.truncate(usize::from(self.slots[at].shared));
            out.extend_from_slice(self.own(at));
        }
    }

    /// Returns whether the key at a position is `key`.
    fn is(&self, position: usize, key: &[u8]) -> bool {
        let shared = usize::from(self.slots[position].shared);
        if key.get(shared..) != Some(self.own(position)) {
            return false;
        }
        // Each earlier key lends the bytes that it does not itself borrow.
        let (mut open, mut at) = (shared, position);
        while open > 0 {
            at -= 1;
            let borrowed = usize::from(self.slots[at].shared);
            if borrowed < open {
                if self.own(at)[..open - borrowed] != key[borrowed..open] {
                    return false;
                }
                open = borrowed;
            }
        }
        true
    }

    /// Returns the position and length of the key that `rest` begins with, if it is the expected one.
    /// A space must follow the key.
    #[inline]
    pub fn expect(&self, place: &Place<'_>, rest: &[u8]) -> Option<(usize, usize)> {
        let slot = self.slots.get(place.next)?;
        let shared = usize::from(slot.shared);
        let own = self.own(place.next);
        let end = shared + own.len();
        if rest.get(end) == Some(&b' ') && rest[shared..end] == *own && place.before.get(..shared) == Some(&rest[..shared]) {
            return Some((place.next, end));
        }
        None
    }

    /// As `expect`, for the expected key or one of the next behind it.
    pub fn look_ahead(&self, place: &Place<'_>, rest: &[u8]) -> Option<(usize, usize)> {
        let mut common = common_prefix(rest, place.before);
        for position in place.next..(place.next + AHEAD).min(self.len()) {
            let shared = usize::from(self.slots[position].shared);
            if shared > common {
                // This key differs from `rest` where the one before it does.
                continue;
            }
            let own = self.own(position);
            common = shared + common_prefix(&rest[shared..], own);
            if common == shared + own.len() && rest.get(common) == Some(&b' ') {
                return Some((position, common));
            }
        }
        None
    }

    /// Returns the position of a key that may stand anywhere.
    pub fn find(&mut self, key: &[u8]) -> Option<usize> {
        let table = self.table.take().unwrap_or_else(|| self.build_table());
        let found = table.find(hash(key), |position| self.is(*position as usize, key)).map(|position| *position as usize);
        self.table = Some(table);
        found
    }

    /// Returns a table of all positions, with room for as many again.
    fn build_table(&self) -> HashTable<u32> {
        let mut table = HashTable::with_capacity(self.len() * 2 + 16);
        let mut key = Vec::new();
        for position in 0..self.len() {
            key.truncate(usize::from(self.slots[position].shared));
            key.extend_from_slice(self.own(position));
            add(&mut table, hash(&key), position);
        }
        table
    }

    /// Adds a key behind all others and returns its position.
    ///
    /// Errors: `None` when the book is full, at 2^32 bytes.
    pub fn push(&mut self, key: &[u8]) -> Option<usize> {
        let position = self.len();
        let shared = match position % WHOLE_EVERY {
            0 => 0,
            _ => common_prefix(&self.last, key).min(usize::from(u16::MAX)),
        };
        let end = u32::try_from(self.own.len() + key.len() - shared).ok()?;
        self.own.extend_from_slice(&key[shared..]);
        self.slots.push(Slot { end, shared: shared as u16 });
        self.last.clear();
        self.last.extend_from_slice(key);
        match &mut self.table {
            Some(table) if table.len() < table.capacity() => add(table, hash(key), position),
            Some(_) => self.table = Some(self.build_table()),
            None => {}
        }
        Some(position)
    }

    /// Forgets all keys from a position on.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        self.table = None;
        self.slots.truncate(len);
        self.own.truncate(self.slots.last().map_or(0, |slot| slot.end as usize));
        let mut last = std::mem::take(&mut self.last);
        last.clear();
        if len > 0 {
            self.read(len - 1, &mut last);
        }
        self.last = last;
    }

    /// Gives back most of the memory that is there for more keys.
    pub fn shrink(&mut self) {
        self.own.shrink_to(self.own.len() + self.own.len() / 16);
        self.slots.shrink_to(self.slots.len() + self.slots.len() / 16);
    }

    /// Gives the table's memory back; the next key out of order makes it again.
    pub fn drop_table(&mut self) {
        self.table = None;
    }

    /// Returns a book with the keys at some positions, in the order given.
    pub fn rearranged(&self, order: &[u32]) -> KeyBook {
        let mut book = KeyBook::default();
        let mut key = Vec::new();
        for position in order {
            self.read(*position as usize, &mut key);
            book.push(&key).expect("a part of a book is no larger than the book");
        }
        book
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(keys: &[String]) -> KeyBook {
        let mut book = KeyBook::default();
        for key in keys {
            book.push(key.as_bytes());
        }
        book
    }

    fn keys(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("metric_{}{{label=\"{n}\",other=\"x\"}}", n / 10)).collect()
    }

    #[test]
    fn keys_in_order_are_expected_and_gaps_are_stepped_over() {
        let keys = keys(100);
        let book = book(&keys);
        let mut place = Place { next: 0, before: b"" };
        let lines: Vec<String> = keys.iter().map(|key| format!("{key} 1\n")).collect();
        for (position, line) in lines.iter().enumerate().filter(|(position, _)| position % 7 != 3 && !(20..25).contains(position))
        {
            let len = keys[position].len();
            assert_eq!(book.look_ahead(&place, line.as_bytes()), Some((position, len)), "{line}");
            let is_next = place.next == position;
            assert_eq!(book.expect(&place, line.as_bytes()), is_next.then_some((position, len)), "{line}");
            place = Place { next: position + 1, before: &line.as_bytes()[..len] };
        }
        assert_eq!(book.look_ahead(&place, b"metric_0{label=\"0\",other=\"x\"} 1"), None);
    }

    #[test]
    fn a_key_must_end_where_the_text_does() {
        let book = book(&["a".to_owned(), "ab".to_owned(), "abc{}".to_owned()]);
        let start = Place { next: 0, before: b"" };
        let ahead = |rest: &[u8]| book.look_ahead(&start, rest);
        assert_eq!(ahead(b"ab 1"), Some((1, 2)));
        assert_eq!(ahead(b"abc{} 1"), Some((2, 5)));
        assert_eq!([ahead(b"abc 1"), ahead(b"a"), ahead(b"")], [None; 3]);
        assert_eq!(book.expect(&start, b"a 1"), Some((0, 1)));
        // What came before decides nothing by itself.
        assert_eq!(book.expect(&Place { next: 1, before: b"x" }, b"ab 1"), None);
    }

    #[test]
    fn keys_are_found_in_any_order_after_every_change() {
        let keys = keys(100);
        let mut book = book(&keys[..60]);
        assert_eq!(book.find(keys[70].as_bytes()), None);
        for key in &keys[60..] {
            book.push(key.as_bytes());
        }
        for (position, key) in keys.iter().enumerate().rev() {
            assert_eq!(book.find(key.as_bytes()), Some(position));
        }
        book.truncate(50);
        assert_eq!((book.find(keys[49].as_bytes()), book.find(keys[50].as_bytes())), (Some(49), None));
        assert_eq!(book.push(keys[80].as_bytes()), Some(50));
        assert_eq!(book.find(keys[80].as_bytes()), Some(50));
        let order: Vec<u32> = (0..=50).rev().filter(|position| position % 2 == 0).collect();
        let mut turned = book.rearranged(&order);
        assert_eq!(turned.len(), 26);
        assert_eq!((turned.find(keys[80].as_bytes()), turned.find(keys[48].as_bytes())), (Some(0), Some(1)));
        assert_eq!(turned.find(keys[1].as_bytes()), None);
    }
}
