//! Checks of stored bytes: whether all of them say what was written. Nothing is changed.

use super::block::{Block, BlockError, BlockId, FOOTER_BYTES, INSTANTS_MAX, MARK, ReadAt};
use super::chunk::{Chunks, Decoded};
use super::codec::Damaged;
use super::delete::take_tombstones;
use super::group::{Index, Instants};
use super::record::{Item, Items};

/// Something that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where the part begins that is wrong.
    pub offset: u64,
    pub what: String,
}

/// Faults of one block.
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, offset: u64, what: impl Into<String>) {
        self.0.push(Fault { offset, what: what.into() });
    }

    /// Returns what was read, or notes why it could not be.
    fn of<T>(&mut self, offset: u64, what: &str, done: Result<T, BlockError>) -> Option<T> {
        match done {
            Ok(read) => Some(read),
            Err(BlockError::Damaged(Damaged(reason))) => {
                self.add(offset, format!("{what}: {reason}"));
                None
            }
            Err(BlockError::Io(error)) => {
                self.add(offset, format!("{what}: cannot be read: {error}"));
                None
            }
        }
    }
}

/// Reads every part of a block of so many bytes; returns all that is wrong, and how many samples it tells of.
pub fn check_block(len: u64, read: ReadAt) -> (u64, Vec<Fault>) {
    let mut faults = Faults(Vec::new());
    let mut mark = [0; MARK.len()];
    match read(0, &mut mark) {
        Ok(()) if &mark == MARK => {}
        Ok(()) => faults.add(0, "the file does not begin as a block does"),
        Err(error) => faults.add(0, format!("the beginning cannot be read: {error}")),
    }
    let end = len.saturating_sub(FOOTER_BYTES as u64);
    let opened = Block::open(BlockId::of_cut(0), len, read);
    let Some(block) = faults.of(end, "the end of the file, by which all else is found", opened) else { return (0, faults.0) };
    let mut found = Found::default();
    let mut instants = Instants::new(INSTANTS_MAX);
    for group in 0..block.groups() {
        check_group(&block, group, &mut instants, &mut found, &mut faults);
    }
    let is_whole = faults.0.is_empty();
    let told = (block.series, block.samples, block.first, block.last);
    if is_whole && (found.series, found.samples, found.first, found.last) != told {
        faults.add(end, "the footer tells of other series, samples or times than the groups hold");
    }
    (block.samples, faults.0)
}

/// What the groups hold, all together.
struct Found {
    series: usize,
    samples: u64,
    first: i64,
    last: i64,
}

impl Default for Found {
    fn default() -> Found {
        Found { series: 0, samples: 0, first: i64::MAX, last: i64::MIN }
    }
}

fn check_group(block: &Block, group: usize, instants: &mut Instants, found: &mut Found, faults: &mut Faults) {
    let (columns_at, index_at, labels_at) = block.places(group);
    let named = |what: &str| format!("group {} of {}, {what}", group + 1, block.groups());
    let Some(index) = faults.of(index_at, &named("its index, and with it all its series"), block.index(group)) else { return };
    faults.of(labels_at, &named("its labels"), block.labels(group, &index.entries));
    let mut lists = Vec::with_capacity(index.entries.len());
    for (place, entry) in index.entries.iter().enumerate() {
        let at = index.lists[entry.instants].at;
        // Many series share a list; it is told once.
        let is_told = faults.0.iter().any(|fault| fault.offset == at);
        let list = match block.instants_of(&index, place, instants) {
            Err(_) if is_told => None,
            done => faults.of(at, &named("instants"), done),
        };
        if let Some(list) = &list {
            found.samples += list.len() as u64;
            found.first = found.first.min(list.first().copied().unwrap_or(i64::MAX));
            found.last = found.last.max(list.last().copied().unwrap_or(i64::MIN));
        }
        found.series += usize::from(place == 0 || index.entries[place - 1].series != entry.series);
        lists.push(list);
    }
    let all = block.columns(group, &index, 0..index.entries.len());
    let (mut leader, mut readable) = (None, all.ok());
    let is_whole = readable.is_some();
    for (place, list) in lists.iter().enumerate() {
        let Some(list) = list else { continue };
        let at = if index.entries[place].is_inline { index_at } else { columns_at + index.entries[place].at };
        let what = named(&format!("the column of series {}", index.entries[place].series));
        if !is_whole {
            readable = faults.of(at, &what, column(block, group, &index, place));
        }
        if let Some(columns) = &readable {
            let mut samples = Decoded::default();
            let done = index.decode(place, columns, list, 0..list.len(), &mut leader, &mut samples);
            faults.of(at, &what, done.map_err(BlockError::from));
        }
    }
}

fn column(block: &Block, group: usize, index: &Index, place: usize) -> Result<super::group::Columns, BlockError> {
    block.columns(group, index, std::iter::once(place))
}

/// Checks a record of the log or of a checkpoint to its last sample.
///
/// Errors: `Damaged` with what is wrong first.
pub fn check_record(record: &[u8]) -> Result<(), Damaged> {
    for item in Items::of(record) {
        if let Item::Dump { run, .. } = item? {
            for chunk in Chunks::of(run) {
                chunk?.decode(i64::MIN, i64::MAX, &mut Decoded::default())?;
            }
        }
    }
    Ok(())
}

/// Checks a record of tombstones.
///
/// Errors: `Damaged` when it cannot be read.
pub fn check_tombstones(record: &[u8]) -> Result<(), Damaged> {
    take_tombstones(record).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::model::LabelSet;
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

    fn block() -> Vec<u8> {
        let labels = |series: u32| LabelSet::from_pairs([("__name__", "m"), ("n", &format!("{series:04}")), ("le", "1")]);
        let mut keys: Vec<(Vec<u8>, u32)> = (0..1100).map(|series| (Vec::new(), series)).collect();
        for (key, series) in &mut keys {
            put_key(key, &labels(*series));
        }
        keys.sort();
        let (mut writer, mut dice) = (BlockWriter::new(), 7u64);
        for (_, series) in keys {
            let mut samples = Decoded::default();
            for row in 0..20 {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                samples.floats.push((i64::from(row * 10 + series % 3), f64::from(series) / 3.0 + (dice >> 60) as f64));
            }
            writer.put(series, &labels(series), samples);
        }
        writer.end().0
    }

    #[test]
    fn every_changed_byte_is_found() {
        let bytes = block();
        assert_eq!(check_block(bytes.len() as u64, memory(bytes.clone())), (22_000, vec![]));
        for at in (0..bytes.len()).filter(|at| *at < 500 || at % 97 == 0 || *at + 500 > bytes.len()) {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            let (_, faults) = check_block(bad.len() as u64, memory(bad));
            assert!(!faults.is_empty(), "byte {at} was changed");
        }
    }

    #[test]
    fn all_faults_are_told_with_their_places() {
        let mut bytes = block();
        let whole = Block::open(BlockId::of_cut(1), bytes.len() as u64, memory(bytes.clone())).unwrap();
        assert_eq!(whole.groups(), 3);
        let (first, third) = (whole.places(0), whole.places(2));
        for at in [0, first.0 + 3, first.0 + 2000, third.1 + 9] {
            bytes[at as usize] ^= 1;
        }
        let (_, faults) = check_block(bytes.len() as u64, memory(bytes));
        let told: Vec<&str> = faults.iter().map(|fault| fault.what.as_str()).collect();
        assert_eq!(faults.len(), 4, "{told:?}");
        assert!(faults[0].offset == 0 && faults[3].offset == third.1);
        assert!(faults[1].offset >= first.0 && faults[2].offset > faults[1].offset && faults[2].offset <= first.0 + 2000);
        assert!(told[1].starts_with("group 1 of 3, the column of series "), "{told:?}");
        assert!(told[3].starts_with("group 3 of 3, its index"), "{told:?}");
    }
}
