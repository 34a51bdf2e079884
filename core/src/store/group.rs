//! A group of a block, once its index is read: which columns there are, and what they hold.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::chunk::Decoded;
use super::codec::{Damaged, Reader, unzigzag};
use super::column::{Whole, take_floats, take_histograms, take_whole};

/// The most samples of one column.
pub(super) const COLUMN_LEN_MAX: usize = 1 << 20;

/// What an entry of an index says of a column.
pub(super) const IS_INLINE: u64 = 1;
pub(super) const HAS_LEADER: u64 = 2;
pub(super) const IS_HISTOGRAM: u64 = 4;
pub(super) const STEP_SHIFT: u32 = 3;
/// A column in the index of its group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub series: u32,
    pub is_histogram: bool,
    /// The list of instants.
    pub instants: usize,
    /// Where the column lies: in the inflated index, or in the group's columns.
    pub is_inline: bool,
    pub at: u64,
    pub len: u64,
    pub checksum: u32,
    /// The column that this one follows.
    pub leader: Option<usize>,
}

/// A list of instants in the index of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub at: u64,
    pub bytes: u64,
    pub len: usize,
}

/// The index of a group.
pub(super) struct Index {
    pub bytes: Vec<u8>,
    pub lists: Vec<List>,
    pub entries: Vec<Entry>,
}

/// Lists of instants that were read, by where they lie in one block; up to so many instants are kept.
pub(super) struct Instants {
    pub lists: HashMap<u64, Arc<[i64]>>,
    pub len: usize,
    pub max: usize,
}

impl Instants {
    pub fn new(max: usize) -> Instants {
        Instants { lists: HashMap::new(), len: 0, max }
    }
}

/// Columns of one group that were read.
pub(super) struct Columns {
    pub bytes: Vec<u8>,
    /// By their places in the index.
    pub places: Vec<(usize, Range<usize>)>,
}

impl Columns {
    fn get(&self, place: usize) -> Result<&[u8], Damaged> {
        let own = self.places.binary_search_by_key(&place, |(own, _)| *own).map_err(|_| Damaged("a column is missing"))?;
        Ok(&self.bytes[self.places[own].1.clone()])
    }
}

impl Index {
    fn column<'a>(&'a self, place: usize, columns: &'a Columns) -> Result<&'a [u8], Damaged> {
        let entry = &self.entries[place];
        if entry.is_inline { Ok(&self.bytes[entry.at as usize..(entry.at + entry.len) as usize]) } else { columns.get(place) }
    }

    /// Appends some rows of a column. `leader` keeps, from one call to the next, the column that others follow.
    pub fn decode(
        &self,
        place: usize,
        columns: &Columns,
        instants: &[i64],
        rows: Range<usize>,
        leader: &mut Option<(usize, Whole)>,
        out: &mut Decoded,
    ) -> Result<(), Damaged> {
        let (entry, bytes) = (&self.entries[place], self.column(place, columns)?);
        if entry.is_histogram {
            let mut values = take_histograms(bytes, instants.len(), rows.end)?;
            out.histograms.extend(instants[rows.clone()].iter().copied().zip(values.drain(rows)));
            return Ok(());
        }
        if let Some(own) = entry.leader
            && leader.as_ref().is_none_or(|(place, whole)| *place != own || whole.len() < rows.end)
        {
            *leader = Some((own, take_whole(self.column(own, columns)?, instants.len(), rows.end)?));
        }
        let other = leader.as_ref().filter(|(own, _)| Some(*own) == entry.leader).map(|(_, whole)| whole);
        let values = take_floats(bytes, instants.len(), rows.end, other)?;
        out.floats.extend(instants[rows.clone()].iter().copied().zip(values[rows].iter().copied()));
        Ok(())
    }
}

/// Reads the index of a group whose columns begin at an offset and have a length.
pub(super) fn take_index(bytes: &[u8], (columns_at, columns_len): (u64, u64)) -> Result<(Vec<List>, Vec<Entry>), Damaged> {
    let mut reader = Reader(bytes);
    let mut lists = Vec::new();
    for _ in 0..reader.count()? {
        let (back, bytes, len) = (reader.varint()?, reader.varint()?, reader.varint()?);
        let at = columns_at.checked_sub(back).ok_or(Damaged("a list of instants lies elsewhere"))?;
        if len > COLUMN_LEN_MAX as u64 || bytes > back {
            return Err(Damaged("a list of instants is too long"));
        }
        lists.push(List { at, bytes, len: len as usize });
    }
    let count = reader.count()?;
    let (mut entries, mut series, mut at) = (Vec::with_capacity(count), 0u32, 0u64);
    for place in 0..count {
        let head = reader.varint()?;
        let step = unzigzag(head >> STEP_SHIFT);
        series = u32::try_from(i64::from(series).saturating_add(step)).map_err(|_| Damaged("a series number is out of range"))?;
        let instants = reader.varint()?;
        if instants >= lists.len() as u64 {
            return Err(Damaged("a column names instants that are not there"));
        }
        let leader = match head & HAS_LEADER {
            0 => None,
            _ => Some((place as u64).saturating_add(reader.varint()?))
                .filter(|leader| *leader < count as u64)
                .map(|leader| leader as usize),
        };
        let is_inline = head & IS_INLINE != 0;
        let len = if is_inline { reader.count()? as u64 } else { reader.varint()? };
        let own_at = if is_inline { (bytes.len() - reader.0.len()) as u64 } else { at };
        let checksum = if is_inline {
            reader.take(len as usize)?;
            0
        } else {
            at = at.checked_add(len).filter(|at| *at <= columns_len).ok_or(Damaged("a column lies elsewhere"))?;
            u32::from_le_bytes(reader.array()?)
        };
        let is_histogram = head & IS_HISTOGRAM != 0;
        entries.push(Entry { series, is_histogram, instants: instants as usize, is_inline, at: own_at, len, checksum, leader });
    }
    Ok((lists, entries))
}
