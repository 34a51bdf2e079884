//! Blocks: chunks that have left memory, as the bytes of one immutable file.
//!
//! Layout: mark, runs of chunks by series number, index groups of 64 series, labels, directory of the groups, footer. The directory is
//! all that stays in memory. Every part carries a checksum. Labels are there for the day that the log is lost; otherwise the series
//! numbers say whose runs they are.

use std::io;

use crate::model::LabelSet;

use super::chunk::{Chunk, Chunks};
use super::codec::{Damaged, Reader, put_signed, put_varint};

const MARK: &[u8; 8] = b"TOCSBLK1";
const GROUP_LEN: usize = 64;
const FOOTER_BYTES: usize = 8 * 8 + 4 + 8;

/// Fills the buffer with the block's bytes from an offset on.
pub type ReadAt = Box<dyn Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync>;

/// Why a block cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    #[error("cannot read the block")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// A series in a block's index.
#[derive(Clone, Copy, Debug)]
struct Entry {
    series: u32,
    len: u32,
    first: i64,
    last: i64,
    checksum: u32,
}

/// 64 series of a block's directory.
#[derive(Debug)]
struct Group {
    first: u32,
    /// Where the runs begin.
    data: u64,
    /// Where the entries stand.
    index: u64,
    index_len: u32,
    checksum: u32,
}

/// An open block.
pub(super) struct Block {
    pub id: u64,
    pub len: u64,
    pub first: i64,
    pub last: i64,
    pub series: usize,
    pub samples: u64,
    last_series: u32,
    labels: (u64, u32, u32),
    groups: Vec<Group>,
    read: ReadAt,
}

/// A block under construction.
pub(super) struct BlockWriter {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    labels: Vec<u8>,
    last_labels: Vec<u8>,
    samples: u64,
}

impl BlockWriter {
    pub fn new() -> BlockWriter {
        BlockWriter { bytes: MARK.to_vec(), entries: Vec::new(), labels: Vec::new(), last_labels: Vec::new(), samples: 0 }
    }

    pub fn len_bytes(&self) -> usize {
        self.bytes.len() + self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends a series; numbers come in order. An empty run is left out.
    pub fn put(&mut self, series: u32, labels: &LabelSet, run: &[u8]) {
        let (mut first, mut last, mut samples) = (i64::MAX, i64::MIN, 0);
        for chunk in Chunks::of(run).flatten() {
            first = first.min(chunk.first);
            last = last.max(chunk.last);
            samples += u64::from(chunk.count);
        }
        if samples == 0 {
            return;
        }
        self.samples += samples;
        self.bytes.extend_from_slice(run);
        self.entries.push(Entry { series, len: run.len() as u32, first, last, checksum: crc32fast::hash(run) });
        // Neighbours share most of their labels.
        let packed = labels.packed();
        let front = packed.iter().zip(&self.last_labels).take_while(|(left, right)| left == right).count();
        put_varint(&mut self.labels, front as u64);
        put_varint(&mut self.labels, (packed.len() - front) as u64);
        self.labels.extend_from_slice(&packed[front..]);
        packed.clone_into(&mut self.last_labels);
    }

    /// Returns the whole block.
    pub fn end(mut self) -> Vec<u8> {
        let out = &mut self.bytes;
        let (mut directory, mut data) = (Vec::new(), MARK.len() as u64);
        for group in self.entries.chunks(GROUP_LEN) {
            let index = out.len();
            let mut last = group[0].series;
            for entry in group {
                put_varint(out, u64::from(entry.series - last));
                put_varint(out, u64::from(entry.len));
                put_signed(out, entry.first);
                put_varint(out, entry.last.wrapping_sub(entry.first) as u64);
                out.extend_from_slice(&entry.checksum.to_le_bytes());
                last = entry.series;
            }
            put_varint(&mut directory, u64::from(group[0].series));
            put_varint(&mut directory, data);
            put_varint(&mut directory, index as u64);
            put_varint(&mut directory, (out.len() - index) as u64);
            directory.extend_from_slice(&crc32fast::hash(&out[index..]).to_le_bytes());
            data += group.iter().map(|entry| u64::from(entry.len)).sum::<u64>();
        }
        let labels_at = out.len() as u64;
        out.extend_from_slice(&self.labels);
        let directory_at = out.len() as u64;
        out.extend_from_slice(&directory);
        let footer_at = out.len();
        let first = self.entries.iter().map(|entry| entry.first).min().unwrap_or(i64::MAX);
        let last = self.entries.iter().map(|entry| entry.last).max().unwrap_or(i64::MIN);
        let last_series = self.entries.last().map_or(0, |entry| entry.series);
        for number in [
            labels_at,
            self.labels.len() as u64 | u64::from(crc32fast::hash(&self.labels)) << 32,
            directory_at,
            directory.len() as u64 | u64::from(crc32fast::hash(&directory)) << 32,
            first as u64,
            last as u64,
            self.entries.len() as u64 | u64::from(last_series) << 32,
            self.samples,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32fast::hash(&out[footer_at..]);
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(MARK);
        self.bytes
    }

    /// Returns each series with the place of its run in the whole block.
    pub fn runs(&self) -> Vec<(u32, std::ops::Range<usize>)> {
        let mut at = MARK.len();
        let place = |entry: &Entry| {
            let from = at;
            at += entry.len as usize;
            (entry.series, from..at)
        };
        self.entries.iter().map(place).collect()
    }
}

impl Block {
    /// Opens a block of so many bytes.
    pub fn open(id: u64, len: u64, read: ReadAt) -> Result<Block, BlockError> {
        let short = Damaged("a block is too short");
        let footer_at = len.checked_sub(FOOTER_BYTES as u64).ok_or(short)?;
        let footer = fetch(&read, footer_at, FOOTER_BYTES as u64, None)?;
        let (numbers, rest) = footer.as_chunks::<8>().0.split_at_checked(8).ok_or(short)?;
        let checksum = u32::from_le_bytes(footer[64..68].try_into().expect("the footer has its length"));
        if &footer[68..] != MARK || rest.is_empty() || crc32fast::hash(&footer[..64]) != checksum {
            return Err(Damaged("a block's footer is wrong").into());
        }
        let number = |index: usize| u64::from_le_bytes(numbers[index]);
        let halves = |index: usize| (number(index) as u32, (number(index) >> 32) as u32);
        let (directory_len, directory_checksum) = halves(3);
        if number(2).checked_add(u64::from(directory_len)) != Some(footer_at) {
            return Err(Damaged("a block's directory lies elsewhere").into());
        }
        let directory = fetch(&read, number(2), u64::from(directory_len), Some(directory_checksum))?;
        let (labels_len, labels_checksum) = halves(1);
        let (series, last_series) = halves(6);
        Ok(Block {
            id,
            len,
            first: number(4) as i64,
            last: number(5) as i64,
            series: series as usize,
            samples: number(7),
            last_series,
            labels: (number(0), labels_len, labels_checksum),
            groups: take_groups(&directory)?,
            read,
        })
    }

    /// Returns the highest series number.
    pub fn last_series(&self) -> u32 {
        self.last_series
    }

    pub fn overlaps(&self, start: i64, end: i64) -> bool {
        self.first <= end && self.last >= start
    }

    /// Hands out the chunks of the wanted series, sorted by number, that overlap `start ..= end`, with the place of their series among
    /// the wanted.
    pub fn chunks(
        &self,
        wanted: &[u32],
        start: i64,
        end: i64,
        mut take: impl FnMut(usize, Chunk<'_>) -> Result<(), Damaged>,
    ) -> Result<(), BlockError> {
        let mut from = wanted.partition_point(|series| self.groups.first().is_some_and(|group| *series < group.first));
        for (index, group) in self.groups.iter().enumerate() {
            let next = self.groups.get(index + 1).map(|group| group.first);
            let to = next.map_or(wanted.len(), |next| from + wanted[from..].partition_point(|series| *series < next));
            if from < to {
                let hits = self.hits(group, wanted, from..to, start, end)?;
                self.read_hits(&hits, |place, chunk| if chunk.overlaps(start, end) { take(place, chunk) } else { Ok(()) })?;
            }
            from = to;
        }
        Ok(())
    }

    /// Returns the wanted series of a group: their places among the wanted, entries, and where their runs lie.
    fn hits(
        &self,
        group: &Group,
        wanted: &[u32],
        range: std::ops::Range<usize>,
        start: i64,
        end: i64,
    ) -> Result<Vec<(usize, Entry, u64)>, BlockError> {
        let (mut hits, mut place, mut at) = (Vec::new(), range.start, group.data);
        for entry in self.entries(group)? {
            while place < range.end && wanted[place] < entry.series {
                place += 1;
            }
            if place < range.end && wanted[place] == entry.series && entry.first <= end && entry.last >= start {
                hits.push((place, entry, at));
            }
            at += u64::from(entry.len);
        }
        Ok(hits)
    }

    /// Reads the runs in one go where they lie close together.
    fn read_hits(
        &self,
        hits: &[(usize, Entry, u64)],
        mut take: impl FnMut(usize, Chunk<'_>) -> Result<(), Damaged>,
    ) -> Result<(), BlockError> {
        let close = |left: &(usize, Entry, u64), right: &(usize, Entry, u64)| right.2 - left.2 - u64::from(left.1.len) <= 4096;
        for batch in hits.chunk_by(close) {
            let (from, last) = (batch[0].2, &batch[batch.len() - 1]);
            let bytes = fetch(&self.read, from, last.2 + u64::from(last.1.len) - from, None)?;
            for (place, entry, at) in batch {
                let at = (at - from) as usize;
                let run = &bytes[at..at + entry.len as usize];
                if crc32fast::hash(run) != entry.checksum {
                    return Err(Damaged("a run's checksum is wrong").into());
                }
                for chunk in Chunks::of(run) {
                    take(*place, chunk?)?;
                }
            }
        }
        Ok(())
    }

    fn entries(&self, group: &Group) -> Result<Vec<Entry>, BlockError> {
        let bytes = fetch(&self.read, group.index, u64::from(group.index_len), Some(group.checksum))?;
        let (mut reader, mut entries, mut series) = (Reader(&bytes), Vec::with_capacity(GROUP_LEN), group.first);
        while !reader.is_empty() {
            series = series.checked_add(reader.series()?).ok_or(Damaged("a series number is too large"))?;
            let len = u32::try_from(reader.varint()?).map_err(|_| Damaged("a run is too long"))?;
            let first = reader.signed()?;
            let last = first.wrapping_add(reader.varint()? as i64);
            entries.push(Entry { series, len, first, last, checksum: u32::from_le_bytes(reader.array()?) });
        }
        Ok(entries)
    }

    /// Returns every series with its labels, and the span of its samples here.
    pub fn catalogue(&self) -> Result<Vec<(u32, LabelSet, i64, i64)>, BlockError> {
        let (at, len, checksum) = self.labels;
        let bytes = fetch(&self.read, at, u64::from(len), Some(checksum))?;
        let (mut reader, mut packed, mut all) = (Reader(&bytes), Vec::new(), Vec::with_capacity(self.series));
        for group in &self.groups {
            for entry in self.entries(group)? {
                let front = reader.varint()? as usize;
                let len = reader.count()?;
                if front > packed.len() {
                    return Err(Damaged("a label set cannot be read").into());
                }
                packed.truncate(front);
                packed.extend_from_slice(reader.take(len)?);
                let labels = LabelSet::from_packed(&packed).ok_or(Damaged("a label set cannot be read"))?;
                all.push((entry.series, labels, entry.first, entry.last));
            }
        }
        Ok(all)
    }
}

fn take_groups(directory: &[u8]) -> Result<Vec<Group>, Damaged> {
    let (mut reader, mut groups) = (Reader(directory), Vec::new());
    while !reader.is_empty() {
        let first = reader.series()?;
        let (data, index) = (reader.varint()?, reader.varint()?);
        let index_len = u32::try_from(reader.varint()?).map_err(|_| Damaged("a group is too long"))?;
        groups.push(Group { first, data, index, index_len, checksum: u32::from_le_bytes(reader.array()?) });
    }
    if !groups.is_sorted_by(|left, right| left.first < right.first) {
        return Err(Damaged("a block's groups are out of order"));
    }
    Ok(groups)
}

fn fetch(read: &ReadAt, at: u64, len: u64, checksum: Option<u32>) -> Result<Vec<u8>, BlockError> {
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| Damaged("a part of a block is too long"))?];
    read(at, &mut bytes)?;
    match checksum {
        Some(checksum) if crc32fast::hash(&bytes) != checksum => Err(Damaged("a block's checksum is wrong").into()),
        Some(_) | None => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;
    use crate::store::chunk::{Decoded, seal_samples};

    fn memory(bytes: Vec<u8>) -> ReadAt {
        Box::new(move |at, out| {
            let at = usize::try_from(at).map_err(io::Error::other)?;
            let end = at.checked_add(out.len()).filter(|end| *end <= bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(&bytes[at..end]);
            Ok(())
        })
    }

    fn labels(series: u32) -> LabelSet {
        LabelSet::from_pairs([("__name__", format!("metric_{}", series % 7)), ("series", series.to_string())])
    }

    /// Two samples for every third series.
    fn build() -> Vec<u8> {
        let mut writer = BlockWriter::new();
        for series in (0..600).step_by(3) {
            let values = [Value::Float(f64::from(series)), Value::Float(0.5)];
            let mut run = Vec::new();
            seal_samples(&mut run, values.iter().enumerate().map(|(index, value)| (i64::from(series) + index as i64, value)));
            writer.put(series, &labels(series), &run);
        }
        writer.end()
    }

    fn read(block: &Block, wanted: &[u32], start: i64, end: i64) -> Result<Vec<(usize, f64)>, BlockError> {
        let mut found = Vec::new();
        block.chunks(wanted, start, end, |place, chunk| {
            let mut samples = Decoded::default();
            chunk.decode(start, end, &mut samples)?;
            found.extend(samples.floats.iter().map(|(_, value)| (place, *value)));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn what_was_put_in_comes_out() {
        let bytes = build();
        let block = Block::open(4, bytes.len() as u64, memory(bytes)).unwrap();
        assert_eq!((block.first, block.last, block.series, block.samples, block.last_series()), (0, 598, 200, 400, 597));
        let all: Vec<u32> = (0..700).collect();
        assert_eq!(read(&block, &all, i64::MIN, i64::MAX).unwrap().len(), 400);
        assert_eq!(read(&block, &[2, 3, 300, 301, 597, 598], 300, 600).unwrap(), [(2, 300.0), (2, 0.5), (4, 597.0), (4, 0.5)]);
        assert_eq!(read(&block, &[], i64::MIN, i64::MAX).unwrap(), []);
        let catalogue = block.catalogue().unwrap();
        assert!(catalogue.iter().zip((0..600).step_by(3)).all(|(own, series)| own.0 == series && own.1 == labels(series)));
    }

    #[test]
    fn damaged_blocks_are_noticed() {
        let bytes = build();
        let all: Vec<u32> = (0..700).collect();
        for at in 8..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            let noticed = match Block::open(4, bad.len() as u64, memory(bad)) {
                Ok(block) => read(&block, &all, i64::MIN, i64::MAX).is_err() || block.catalogue().is_err(),
                Err(_) => true,
            };
            assert!(noticed, "byte {at} was changed");
        }
        for len in 0..bytes.len() {
            assert!(Block::open(4, len as u64, memory(bytes[..len].to_vec())).is_err());
        }
    }
}
