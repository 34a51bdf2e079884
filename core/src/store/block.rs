//! Blocks: samples that have left memory, as the bytes of one immutable file.
//!
//! Layout: mark, groups, directory, footer. A group holds up to about 512 series, which follow each other in the order of
//! [`cluster`](super::cluster): lists of instants, each of which many series share, columns of values, an index that says whose they
//! are, and the labels. Only the directory stays in memory. Every part carries a checksum. Labels are there for merging, and for the
//! day that the log is lost.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use zstd::bulk::Decompressor;

use crate::model::LabelSet;

use super::chunk::Decoded;
use super::cluster::Wanted;
use super::codec::{Damaged, Reader, is_whole};
use super::group::{Columns, Entry, Index, Instants, List, take_index};
use super::ints;

pub(super) const MARK: &[u8; 8] = b"TOCSBLK2";
/// A group ends with the series that fills it.
pub(super) const GROUP_LEN: usize = 512;
pub(super) const FOOTER_BYTES: usize = 7 * 8 + 4 + 8;
/// The longest inflated part: an index, labels, a directory.
const PART_BYTES_MAX: u64 = 256 << 20;
/// Columns that lie closer together are read in one go.
const GAP_BYTES: u64 = 4096;

/// So many instants are kept while a block is read.
pub(super) const INSTANTS_MAX: usize = 1 << 20;

thread_local! {
    /// Making one takes longer than inflating an index.
    static INFLATER: RefCell<Decompressor<'static>> = RefCell::new(Decompressor::new().expect("there is memory for it"));
}

/// Fills the buffer with the block's bytes from an offset on.
pub type ReadAt = Box<dyn Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync>;

/// A block's name: the numbers of the cuts that it holds, first to last. A block that was merged from others holds what they held. One
/// that was written anew, without what was deleted, has the next revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId {
    pub first: u64,
    pub last: u64,
    pub revision: u32,
}

impl BlockId {
    /// Returns the name of the block that a cut makes.
    pub fn of_cut(number: u64) -> BlockId {
        BlockId { first: number, last: number, revision: 0 }
    }

    /// Returns whether this block stands in place of another.
    pub fn replaces(self, other: BlockId) -> bool {
        let has_same_cuts = self.first == other.first && self.last == other.last;
        let holds = self.first <= other.first && self.last >= other.last;
        if has_same_cuts { self.revision > other.revision } else { holds }
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<BlockId> {
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
        let (cuts, revision) = match text.split_once('.') {
            None => (text, 0),
            Some((cuts, revision)) => (cuts, number(revision).and_then(|own| u32::try_from(own).ok()).filter(|own| *own > 0)?),
        };
        match cuts.split_once('-') {
            None => number(cuts).map(|own| BlockId { revision, ..BlockId::of_cut(own) }),
            Some((first, last)) => {
                Some(BlockId { first: number(first)?, last: number(last)?, revision }).filter(|id| id.first < id.last)
            }
        }
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.first)?;
        if self.first != self.last {
            write!(f, "-{:08}", self.last)?;
        }
        if self.revision == 0 { Ok(()) } else { write!(f, ".{}", self.revision) }
    }
}

/// Why a block cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    #[error("cannot read the block")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// Some series of a block's directory.
#[derive(Debug)]
struct Group {
    /// Where the text ends, in the directory's keys, that is behind the keys of the groups before, and not behind those of this one.
    key_end: usize,
    /// Where the lists of instants begin; columns, index and labels follow.
    at: u64,
    instants_len: u64,
    columns_len: u64,
    index: Part,
    labels: Part,
}

/// A compressed part.
#[derive(Clone, Copy, Debug)]
struct Part {
    len: u64,
    inflated: u64,
    checksum: u32,
}

impl Group {
    fn columns_at(&self) -> u64 {
        self.at + self.instants_len
    }

    fn index_at(&self) -> u64 {
        self.columns_at() + self.columns_len
    }

    fn labels_at(&self) -> u64 {
        self.index_at() + self.index.len
    }
}

/// An open block.
pub(super) struct Block {
    pub id: BlockId,
    pub len: u64,
    pub first: i64,
    pub last: i64,
    pub series: usize,
    pub samples: u64,
    pub last_series: u32,
    /// It cannot be read, so it is merged with no other.
    pub is_faulty: AtomicBool,
    /// Nothing that tombstones up to this number hide is in it.
    pub clean: AtomicU64,
    /// Series that have outlived their time are not in it, as far as `Classes::mark` says.
    pub sifted: AtomicU64,
    /// Of rows that were appended by this process, only those below this number may be in it.
    pub begun: u64,
    /// Of each group whether it may hold series that memory has let go of.
    pub cold: Box<[AtomicBool]>,
    keys: Vec<u8>,
    groups: Vec<Group>,
    read: ReadAt,
}

impl Block {
    /// Opens a block of so many bytes.
    pub fn open(id: BlockId, len: u64, read: ReadAt) -> Result<Block, BlockError> {
        let short = Damaged("a block is too short");
        let footer_at = len.checked_sub(FOOTER_BYTES as u64).ok_or(short)?;
        let footer = fetch(&read, footer_at, FOOTER_BYTES as u64)?;
        let numbers = footer.as_chunks::<8>().0;
        let number = |index: usize| u64::from_le_bytes(numbers[index]);
        let checksum = u32::from_le_bytes(footer[56..60].try_into().expect("the footer has its length"));
        if &footer[60..] != MARK || !is_whole(&footer[..56], checksum) {
            return Err(Damaged("a block's footer is wrong").into());
        }
        let directory = Part { len: number(0), inflated: number(1) >> 32, checksum: number(1) as u32 };
        let directory_at = footer_at.checked_sub(directory.len).ok_or(short)?;
        let (keys, groups) = take_groups(&inflate(&fetch(&read, directory_at, directory.len)?, directory)?)?;
        let end = groups.last().map_or(MARK.len() as u64, |group| group.labels_at() + group.labels.len);
        if end != directory_at {
            return Err(Damaged("a block's directory lies elsewhere").into());
        }
        Ok(Block {
            id,
            len,
            first: number(2) as i64,
            last: number(3) as i64,
            series: number(4) as usize,
            samples: number(5),
            last_series: number(6) as u32,
            is_faulty: AtomicBool::new(false),
            clean: AtomicU64::new(0),
            sifted: AtomicU64::new(0),
            begun: 0,
            cold: groups.iter().map(|_| AtomicBool::new(true)).collect(),
            keys,
            groups,
            read,
        })
    }

    pub fn overlaps(&self, start: i64, end: i64) -> bool {
        self.first <= end && self.last >= start
    }

    /// Returns the number of groups.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    fn key(&self, group: usize) -> &[u8] {
        let from = if group == 0 { 0 } else { self.groups[group - 1].key_end };
        &self.keys[from..self.groups[group].key_end]
    }

    /// Returns how many groups begin with a key before another.
    pub fn groups_before(&self, key: &[u8]) -> usize {
        // Keys of groups lie in one text, so the search is by number.
        let (mut from, mut to) = (0, self.groups.len());
        while from < to {
            let middle = from.midpoint(to);
            if self.key(middle) < key { from = middle + 1 } else { to = middle }
        }
        from
    }

    /// Returns the groups that may hold wanted series, each with these.
    pub fn groups_of(&self, wanted: &Wanted) -> Vec<(usize, Range<usize>)> {
        let (mut found, mut from) = (Vec::new(), 0);
        for group in 0..self.groups.len() {
            if from == wanted.len() {
                break;
            }
            let own = self.key(group);
            from = wanted.behind(from, |key| key < own);
            // Series with the same key may stand on both sides of a border.
            let to =
                if group + 1 < self.groups.len() { wanted.behind(from, |key| key <= self.key(group + 1)) } else { wanted.len() };
            if from < to {
                found.push((group, from..to));
            }
        }
        found
    }

    /// Appends the samples in `start ..= end` of wanted series in one group; returns how many came.
    pub fn read_group(
        &self,
        group: usize,
        wanted: &[(u32, usize)],
        (start, end): (i64, i64),
        instants: &mut Instants,
        out: &mut [Decoded],
    ) -> Result<usize, BlockError> {
        let index = self.index(group)?;
        let mut hits = Vec::new();
        for (place, entry) in index.entries.iter().enumerate() {
            let Ok(own) = wanted.binary_search_by_key(&entry.series, |(series, _)| *series) else { continue };
            let list = self.instants(index.lists[entry.instants], instants)?;
            let rows = list.partition_point(|at| *at < start)..list.partition_point(|at| *at <= end);
            if !rows.is_empty() {
                hits.push((place, wanted[own].1, list, rows));
            }
        }
        let columns = self.columns(group, &index, hits.iter().map(|(place, ..)| *place))?;
        let (mut leader, mut count) = (None, 0);
        for (place, out_place, list, rows) in hits {
            index.decode(place, &columns, &list, rows.clone(), &mut leader, &mut out[out_place])?;
            count += rows.len();
        }
        Ok(count)
    }

    /// Returns where the columns of a group begin, its index, and its labels.
    pub fn places(&self, group: usize) -> (u64, u64, u64) {
        let group = &self.groups[group];
        (group.columns_at(), group.index_at(), group.labels_at())
    }

    /// Reads the index of a group.
    pub fn index(&self, group: usize) -> Result<Index, BlockError> {
        let group = &self.groups[group];
        let bytes = inflate(&fetch(&self.read, group.index_at(), group.index.len)?, group.index)?;
        let (lists, entries) = take_index(&bytes, (group.columns_at(), group.columns_len))?;
        Ok(Index { bytes, lists, entries })
    }

    /// Reads the labels of a group's entries, in order.
    pub fn labels(&self, group: usize, entries: &[Entry]) -> Result<Vec<LabelSet>, BlockError> {
        let group = &self.groups[group];
        let bytes = inflate(&fetch(&self.read, group.labels_at(), group.labels.len)?, group.labels)?;
        let (mut reader, mut packed, mut all) = (Reader(&bytes), Vec::new(), Vec::<LabelSet>::with_capacity(entries.len()));
        for (place, entry) in entries.iter().enumerate() {
            if place > 0 && entries[place - 1].series == entry.series {
                all.push(all[place - 1].clone());
                continue;
            }
            let front = reader.varint()?;
            let len = reader.count()?;
            if front > packed.len() as u64 {
                return Err(Damaged("a label set cannot be read").into());
            }
            packed.truncate(front as usize);
            packed.extend_from_slice(reader.take(len)?);
            all.push(LabelSet::from_packed(&packed).ok_or(Damaged("a label set cannot be read"))?);
        }
        Ok(all)
    }

    /// Returns the instants of a column.
    pub fn instants_of(&self, index: &Index, place: usize, instants: &mut Instants) -> Result<Arc<[i64]>, BlockError> {
        self.instants(index.lists[index.entries[place].instants], instants)
    }

    fn instants(&self, list: List, known: &mut Instants) -> Result<Arc<[i64]>, BlockError> {
        if let Some(own) = known.lists.get(&list.at).filter(|own| own.len() == list.len) {
            return Ok(own.clone());
        }
        let bytes = fetch(&self.read, list.at, list.bytes)?;
        let (checksum, body) = bytes.split_first_chunk::<4>().ok_or(Damaged("a list of instants is too short"))?;
        if !is_whole(body, u32::from_le_bytes(*checksum)) {
            return Err(Damaged("a list's checksum is wrong").into());
        }
        let own: Arc<[i64]> = ints::take(body, list.len, list.len, None)?.into();
        if !own.is_sorted_by(|left, right| left < right) {
            return Err(Damaged("instants are out of order").into());
        }
        if known.len + own.len() > known.max {
            *known = Instants::new(known.max);
        }
        known.len += own.len();
        known.lists.insert(list.at, own.clone());
        Ok(own)
    }

    /// Reads columns, and those that they follow; their places in the index come in order.
    pub fn columns(&self, group: usize, index: &Index, places: impl Iterator<Item = usize>) -> Result<Columns, BlockError> {
        let group = &self.groups[group];
        let mut needed: Vec<usize> = places.flat_map(|place| index.entries[place].leader.into_iter().chain([place])).collect();
        needed.sort_unstable();
        needed.dedup();
        needed.retain(|place| !index.entries[*place].is_inline);
        let mut columns = Columns { bytes: Vec::new(), places: Vec::with_capacity(needed.len()) };
        let close = |left: &usize, right: &usize| {
            let (left, right) = (&index.entries[*left], &index.entries[*right]);
            right.at - (left.at + left.len) <= GAP_BYTES
        };
        for batch in needed.chunk_by(close) {
            let (first, last) = (&index.entries[batch[0]], &index.entries[batch[batch.len() - 1]]);
            let from = columns.bytes.len();
            columns.bytes.resize(from + (last.at + last.len - first.at) as usize, 0);
            (self.read)(group.columns_at() + first.at, &mut columns.bytes[from..])?;
            for place in batch {
                let entry = &index.entries[*place];
                let at = from + (entry.at - first.at) as usize;
                let range = at..at + entry.len as usize;
                if !is_whole(&columns.bytes[range.clone()], entry.checksum) {
                    return Err(Damaged("a column's checksum is wrong").into());
                }
                columns.places.push((*place, range));
            }
        }
        Ok(columns)
    }

    /// Returns every series with its labels, and the span of its samples here.
    pub fn catalogue(&self) -> Result<Vec<(u32, LabelSet, i64, i64)>, BlockError> {
        let (mut all, mut instants) = (Vec::with_capacity(self.series.min(1 << 20)), Instants::new(INSTANTS_MAX));
        for group in 0..self.groups.len() {
            let index = self.index(group)?;
            for (place, labels) in self.labels(group, &index.entries)?.into_iter().enumerate() {
                let list = self.instants_of(&index, place, &mut instants)?;
                if let (Some(first), Some(last)) = (list.first(), list.last()) {
                    all.push((index.entries[place].series, labels, *first, *last));
                }
            }
        }
        Ok(all)
    }
}

fn take_groups(directory: &[u8]) -> Result<(Vec<u8>, Vec<Group>), Damaged> {
    let (mut reader, mut keys, mut groups) = (Reader(directory), Vec::new(), Vec::<Group>::new());
    let (mut at, mut from) = (MARK.len() as u64, 0);
    let long = Damaged("a group is too long");
    while !reader.is_empty() {
        let front = reader.varint()?;
        let len = reader.count()?;
        let last = from..keys.len();
        if front > last.len() as u64 {
            return Err(Damaged("a group's key cannot be read"));
        }
        from = keys.len();
        keys.extend_from_within(last.start..last.start + front as usize);
        keys.extend_from_slice(reader.take(len)?);
        if !groups.is_empty() && keys[from..] < keys[last] {
            return Err(Damaged("a block's groups are out of order"));
        }
        let (instants_len, columns_len) = (reader.varint()?, reader.varint()?);
        let mut part = || {
            Ok::<_, Damaged>(Part {
                len: reader.varint()?,
                inflated: reader.varint()?,
                checksum: u32::from_le_bytes(reader.array()?),
            })
        };
        let (index, labels) = (part()?, part()?);
        let group = Group { key_end: keys.len(), at, instants_len, columns_len, index, labels };
        let parts = [instants_len, columns_len, index.len, labels.len];
        at = parts.into_iter().try_fold(at, u64::checked_add).ok_or(long)?;
        groups.push(group);
    }
    Ok((keys, groups))
}

fn fetch(read: &ReadAt, at: u64, len: u64) -> Result<Vec<u8>, BlockError> {
    if len > PART_BYTES_MAX {
        return Err(Damaged("a part of a block is too long").into());
    }
    let mut bytes = vec![0; len as usize];
    read(at, &mut bytes)?;
    Ok(bytes)
}

/// Returns what a part was before it was compressed.
fn inflate(bytes: &[u8], part: Part) -> Result<Vec<u8>, Damaged> {
    if !is_whole(bytes, part.checksum) {
        return Err(Damaged("a block's checksum is wrong"));
    }
    if part.inflated > PART_BYTES_MAX {
        return Err(Damaged("a part of a block is too long"));
    }
    let inflated = if cfg!(fuzzing) {
        bytes.to_vec()
    } else {
        let inflated = INFLATER.with_borrow_mut(|inflater| inflater.decompress(bytes, part.inflated as usize));
        inflated.map_err(|_| Damaged("a part of a block cannot be inflated"))?
    };
    if inflated.len() as u64 == part.inflated { Ok(inflated) } else { Err(Damaged("a part of a block has another length")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::histogram::Histogram;
    use crate::store::build::BlockWriter;
    use crate::store::cluster::put_key;

    fn memory(bytes: Vec<u8>) -> ReadAt {
        Box::new(move |at, out| {
            let at = usize::try_from(at).map_err(io::Error::other)?;
            let end = at.checked_add(out.len()).filter(|end| *end <= bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(&bytes[at..end]);
            Ok(())
        })
    }

    fn labels(series: u32) -> LabelSet {
        let name = if series % 7 < 2 { "all_bucket".to_owned() } else { format!("metric_{}", series % 7) };
        let set = [("__name__", name), ("series", (series / 12).to_string()), ("le", (series % 12).to_string())];
        LabelSet::from_pairs(set.into_iter().filter(|(name, _)| *name != "le" || series % 7 < 2))
    }

    fn samples(series: u32) -> Decoded {
        let mut own = Decoded::default();
        for row in 0..3 {
            own.floats.push((i64::from(series / 100 + row * 10), f64::from(series * row)));
        }
        if series.is_multiple_of(30) {
            own.histograms.push((9999, Arc::new(Histogram { count: f64::from(series), ..Histogram::default() })));
        }
        own
    }

    /// Three samples for every third series.
    fn build(count: u32) -> Vec<u8> {
        let mut all: Vec<(Vec<u8>, u32)> = (0..count).step_by(3).map(|series| (Vec::new(), series)).collect();
        for (key, series) in &mut all {
            put_key(key, &labels(*series));
        }
        all.sort();
        let (mut writer, mut bytes) = (BlockWriter::new(), Vec::new());
        for (_, series) in all {
            writer.put(series, &labels(series), samples(series));
            let mut take = |part: &[u8]| {
                bytes.extend_from_slice(part);
                Ok(())
            };
            writer.drain(1000, &mut take).unwrap();
        }
        let (rest, len) = writer.end();
        bytes.extend_from_slice(&rest);
        assert_eq!(bytes.len() as u64, len);
        bytes
    }

    fn open(bytes: &[u8]) -> Result<Block, BlockError> {
        Block::open(BlockId::of_cut(4), bytes.len() as u64, memory(bytes.to_vec()))
    }

    fn read(block: &Block, wanted: &[u32], start: i64, end: i64) -> Result<Vec<Decoded>, BlockError> {
        let sets: Vec<LabelSet> = wanted.iter().map(|series| labels(*series)).collect();
        let keys = Wanted::new(wanted.iter().copied().zip(&sets));
        let (mut out, mut instants) = (vec![Decoded::default(); wanted.len()], Instants::new(100));
        for (group, range) in block.groups_of(&keys) {
            block.read_group(group, &keys.numbers(range), (start, end), &mut instants, &mut out)?;
        }
        Ok(out)
    }

    #[test]
    fn what_was_put_in_comes_out() {
        let block = open(&build(9000)).unwrap();
        assert!(block.groups() > 3);
        assert_eq!((block.first, block.last, block.series, block.last_series), (0, 9999, 3000, 8997));
        assert_eq!(block.samples, 3000 * 3 + 300);
        let all: Vec<u32> = (0..9100).collect();
        for (series, own) in read(&block, &all, i64::MIN, i64::MAX).unwrap().iter().enumerate() {
            let expected = if series % 3 == 0 && series < 9000 { samples(series as u32) } else { Decoded::default() };
            assert_eq!((&own.floats, own.histograms.len()), (&expected.floats, expected.histograms.len()), "series {series}");
        }
        for series in [3, 6, 12, 4500, 8997] {
            let own = &read(&block, &[series], i64::from(series / 100 + 5), i64::from(series / 100 + 15)).unwrap()[0];
            assert_eq!(own.floats, samples(series).floats[1..2]);
        }
        let catalogue = block.catalogue().unwrap();
        assert_eq!(catalogue.len(), 3000 + 300);
        assert!(catalogue.iter().all(|(series, own, ..)| *own == labels(*series)));
    }

    #[test]
    fn damaged_blocks_are_noticed() {
        let bytes = build(150);
        let all: Vec<u32> = (0..150).collect();
        for at in 8..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            let noticed = match open(&bad) {
                Ok(block) => read(&block, &all, i64::MIN, i64::MAX).is_err() || block.catalogue().is_err(),
                Err(_) => true,
            };
            assert!(noticed, "byte {at} was changed");
        }
        for len in 0..bytes.len() {
            assert!(open(&bytes[..len]).is_err());
        }
    }

    /// Whoever writes a wrong index gives it the right checksum.
    #[test]
    fn parts_with_good_checksums_and_bad_content_never_panic() {
        let block = open(&build(600)).unwrap();
        let index = block.index(0).unwrap();
        let columns = block.columns(0, &index, 0..index.entries.len()).unwrap();
        let mut seed = 88_172_645_463_325_252u64;
        for _ in 0..20_000 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let mut bad = index.bytes.clone();
            let at = seed as usize % bad.len();
            bad[at] = (seed >> 32) as u8;
            let Ok((lists, entries)) = take_index(&bad, (block.groups[0].columns_at(), block.groups[0].columns_len)) else {
                continue;
            };
            let bad = Index { bytes: bad, lists, entries };
            let (mut leader, mut out) = (None, Decoded::default());
            for place in 0..bad.entries.len() {
                let list = [1, 2, 3];
                let _ = bad.decode(place, &columns, &list, 0..3, &mut leader, &mut out);
            }
        }
    }

    #[test]
    fn names_say_what_is_replaced() {
        let id = |text: &str| BlockId::parse(text).unwrap();
        assert_eq!(
            (id("00000007").to_string(), id("3-0042").to_string()),
            ("00000007".to_owned(), "00000003-00000042".to_owned())
        );
        assert!(id("3-42").replaces(id("3")) && id("3-42").replaces(id("4-42")) && id("3-42").replaces(id("42")));
        assert!(!id("3-42").replaces(id("3-42")) && !id("3-42").replaces(id("43")) && !id("4").replaces(id("3-42")));
        assert_eq!(
            (id("00000007.2").to_string(), id("3-42.10").to_string()),
            ("00000007.2".to_owned(), "00000003-00000042.10".to_owned())
        );
        assert!(id("3.1").replaces(id("3")) && id("3.10").replaces(id("3.9")) && id("3-42").replaces(id("3.9")));
        assert!(!id("3").replaces(id("3.1")) && !id("3.1").replaces(id("3.1")) && !id("3.1").replaces(id("3-42")));
        assert!(id("3-42.1").replaces(id("3-42")) && !id("3-42").replaces(id("3-42.1")));
        for bad in ["", "x", "-", "3-", "-3", "4-3", "4-4", "+3", "3.tmp", "00000003.damaged", "3.", "3.0", "3.1.tmp", ".1"] {
            assert_eq!(BlockId::parse(bad), None, "{bad}");
        }
    }
}
