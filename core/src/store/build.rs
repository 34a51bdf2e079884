//! Blocks under construction. Series come in the order of [`cluster`](super::cluster); bytes can be taken away as they come.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::io;

use foldhash::quality::FixedState;
use zstd::bulk::Compressor;

use crate::model::{Histogram, LabelSet};

use super::block::{GROUP_LEN, MARK};
use super::chunk::Decoded;
use super::cluster::put_key;
use super::codec::{checksum, put_varint, zigzag};
use super::column::{Whole, put_floats, put_histograms};
use super::group::{COLUMN_LEN_MAX, HAS_LEADER, IS_HISTOGRAM, IS_INLINE, STEP_SHIFT};
use super::ints;

/// Columns up to this length stand in the index.
const INLINE_BYTES_MAX: usize = 12;
/// So many buckets of a histogram wait for the last one, which the others follow.
const FAMILY_LEN_MAX: usize = 64;
/// Lists of instants that a later series may share are known up to so many bytes.
const KNOWN_BYTES_MAX: usize = 32 << 20;
const LEVEL: i32 = 6;

/// A series that waits for its family.
struct Member {
    series: u32,
    labels: LabelSet,
    samples: Decoded,
}

/// A column that is ready.
struct Column {
    series: u32,
    flags: u64,
    instants: u64,
    /// How far behind the one stands that it follows.
    leader: u64,
    bytes: Vec<u8>,
}

/// The group under construction.
#[derive(Default)]
struct Group {
    instants: Vec<u8>,
    columns: Vec<u8>,
    entries: Vec<u8>,
    labels: Vec<u8>,
    last_labels: Vec<u8>,
    last_series: u32,
    len: usize,
    /// The lists of instants in the index: where they lie, their bytes, their length.
    lists: Vec<(u64, u64, u64)>,
    first_key: Vec<u8>,
}

/// A list of instants that was written.
struct Known {
    at: u64,
    bytes: Box<[u8]>,
    len: usize,
}

pub(super) struct BlockWriter {
    out: Vec<u8>,
    /// Bytes that were taken away.
    taken: u64,
    family: Vec<Member>,
    family_key: Vec<u8>,
    key: Vec<u8>,
    last_key: Vec<u8>,
    group: Group,
    known: HashMap<u64, Known>,
    known_bytes: usize,
    /// The list of the column before.
    last_instants: (Vec<i64>, (u64, u64, u64)),
    hasher: FixedState,
    compressor: Compressor<'static>,
    directory: Vec<u8>,
    last_group_key: Vec<u8>,
    first: i64,
    last: i64,
    series: u64,
    samples: u64,
    last_series: u32,
}

impl BlockWriter {
    pub fn new() -> BlockWriter {
        BlockWriter {
            out: MARK.to_vec(),
            taken: 0,
            family: Vec::new(),
            family_key: Vec::new(),
            key: Vec::new(),
            last_key: Vec::new(),
            group: Group::default(),
            known: HashMap::new(),
            known_bytes: 0,
            last_instants: Default::default(),
            hasher: FixedState::with_seed(0),
            compressor: Compressor::new(LEVEL).expect("the level is one that zstd has"),
            directory: Vec::new(),
            last_group_key: Vec::new(),
            first: i64::MAX,
            last: i64::MIN,
            series: 0,
            samples: 0,
            last_series: 0,
        }
    }

    /// Returns how many samples came so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Appends a series; its samples are in order of time, one at an instant. One without samples is left out.
    pub fn put(&mut self, series: u32, labels: &LabelSet, samples: Decoded) {
        if samples.len() == 0 {
            return;
        }
        let shared = put_key(&mut self.key, labels);
        debug_assert!(self.last_key <= self.key, "series come in order");
        let is_kin = shared > 0 && self.family_key == self.key[..shared] && self.family.len() < FAMILY_LEN_MAX;
        if !is_kin {
            self.end_family();
            if self.group.len >= GROUP_LEN {
                self.end_group();
            }
            self.family_key.clear();
            self.family_key.extend_from_slice(&self.key[..shared]);
            if self.group.len == 0 {
                // As much of the key as tells it from the one before.
                let common = self.key.iter().zip(&self.last_key).take_while(|(left, right)| left == right).count();
                self.key[..(common + 1).min(self.key.len())].clone_into(&mut self.group.first_key);
            }
        }
        self.key.clone_into(&mut self.last_key);
        self.count(series, &samples);
        self.family.push(Member { series, labels: labels.clone(), samples });
    }

    fn count(&mut self, series: u32, samples: &Decoded) {
        let ends = |first: Option<i64>, last: Option<i64>| first.zip(last);
        let floats = ends(samples.floats.first().map(|own| own.0), samples.floats.last().map(|own| own.0));
        let histograms = ends(samples.histograms.first().map(|own| own.0), samples.histograms.last().map(|own| own.0));
        for (first, last) in floats.into_iter().chain(histograms) {
            (self.first, self.last) = (self.first.min(first), self.last.max(last));
        }
        self.series += 1;
        self.samples += samples.len() as u64;
        self.last_series = self.last_series.max(series);
    }

    /// Writes the columns of series that wait: the last one first, for the others may follow it.
    fn end_family(&mut self) {
        let family = std::mem::take(&mut self.family);
        if family.is_empty() {
            return;
        }
        let mut leader: Option<(Whole, u64)> = None;
        let mut columns = Vec::with_capacity(family.len());
        // Columns that were made from the back so far.
        let mut behind = 0u64;
        let mut leader_behind = 0;
        for member in family.iter().rev() {
            let mut own = Vec::new();
            for part in member.samples.floats.chunks(COLUMN_LEN_MAX) {
                let instants = self.instants(part.iter().map(|(at, _)| *at).collect());
                let values: Vec<f64> = part.iter().map(|(_, value)| *value).collect();
                let mut bytes = Vec::new();
                let other = leader.as_ref().filter(|(whole, list)| *list == instants && whole.len() == part.len());
                let (whole, helped) = put_floats(&mut bytes, &values, other.map(|(whole, _)| whole));
                own.push((Column { series: member.series, flags: 0, instants, leader: 0, bytes }, helped, whole));
            }
            for part in member.samples.histograms.chunks(COLUMN_LEN_MAX) {
                let instants = self.instants(part.iter().map(|(at, _)| *at).collect());
                let values: Vec<&Histogram> = part.iter().map(|(_, value)| &**value).collect();
                let mut bytes = Vec::new();
                put_histograms(&mut bytes, &values);
                own.push((Column { series: member.series, flags: IS_HISTOGRAM, instants, leader: 0, bytes }, false, None));
            }
            for (mut column, helped, whole) in own.into_iter().rev() {
                if helped {
                    column.flags |= HAS_LEADER;
                    column.leader = behind - leader_behind;
                } else if leader.is_none() && family.len() > 1 {
                    leader = whole.map(|whole| (whole, column.instants));
                    leader_behind = behind;
                }
                behind += 1;
                columns.push(column);
            }
        }
        columns.reverse();
        columns.iter().for_each(|column| self.put_column(column));
        family.iter().for_each(|member| self.put_labels(&member.labels));
    }

    /// Returns the number of a list of instants in the group's index; writes it where no list before is the same.
    fn instants(&mut self, instants: Vec<i64>) -> u64 {
        if self.last_instants.0 != instants {
            let list = self.list(&instants);
            self.last_instants = (instants, list);
        }
        let (list, lists) = (self.last_instants.1, &mut self.group.lists);
        // Most series share the list of their neighbour.
        let place = lists.iter().rposition(|own| *own == list).unwrap_or_else(|| {
            lists.push(list);
            lists.len() - 1
        });
        place as u64
    }

    /// Returns where a list of instants lies, its bytes and its length.
    fn list(&mut self, instants: &[i64]) -> (u64, u64, u64) {
        let hash = self.hasher.hash_one(instants);
        let same = |known: &&Known| {
            known.len == instants.len() && ints::take(&known.bytes, known.len, known.len, None).is_ok_and(|own| own == instants)
        };
        if let Some(known) = self.known.get(&hash).filter(same) {
            return (known.at, known.bytes.len() as u64 + 4, known.len as u64);
        }
        let mut bytes = Vec::new();
        ints::put(&mut bytes, instants, None);
        let at = self.taken + (self.out.len() + self.group.instants.len()) as u64;
        self.group.instants.extend_from_slice(&checksum(&bytes).to_le_bytes());
        self.group.instants.extend_from_slice(&bytes);
        if self.known_bytes > KNOWN_BYTES_MAX {
            self.known.clear();
            self.known_bytes = 0;
        }
        let list = (at, bytes.len() as u64 + 4, instants.len() as u64);
        self.known_bytes += bytes.len() + 64;
        self.known.insert(hash, Known { at, bytes: bytes.into(), len: instants.len() });
        list
    }

    fn put_column(&mut self, column: &Column) {
        let (group, len) = (&mut self.group, column.bytes.len());
        let is_inline = len <= INLINE_BYTES_MAX;
        let flags = column.flags | if is_inline { IS_INLINE } else { 0 };
        let step = i64::from(column.series) - i64::from(group.last_series);
        put_varint(&mut group.entries, zigzag(step) << STEP_SHIFT | flags);
        put_varint(&mut group.entries, column.instants);
        if column.flags & HAS_LEADER != 0 {
            put_varint(&mut group.entries, column.leader);
        }
        put_varint(&mut group.entries, len as u64);
        if is_inline {
            group.entries.extend_from_slice(&column.bytes);
        } else {
            group.entries.extend_from_slice(&checksum(&column.bytes).to_le_bytes());
            group.columns.extend_from_slice(&column.bytes);
        }
        group.last_series = column.series;
        group.len += 1;
    }

    fn put_labels(&mut self, labels: &LabelSet) {
        let (group, packed) = (&mut self.group, labels.packed());
        let front = packed.iter().zip(&group.last_labels).take_while(|(left, right)| left == right).count();
        put_varint(&mut group.labels, front as u64);
        put_varint(&mut group.labels, (packed.len() - front) as u64);
        group.labels.extend_from_slice(&packed[front..]);
        packed.clone_into(&mut group.last_labels);
    }

    fn end_group(&mut self) {
        let group = std::mem::take(&mut self.group);
        if group.len == 0 {
            return;
        }
        let mut index = Vec::with_capacity(group.entries.len() + group.lists.len() * 8);
        let columns_at = self.taken + (self.out.len() + group.instants.len()) as u64;
        put_varint(&mut index, group.lists.len() as u64);
        for (at, bytes, len) in &group.lists {
            put_varint(&mut index, columns_at - at);
            put_varint(&mut index, *bytes);
            put_varint(&mut index, *len);
        }
        put_varint(&mut index, group.len as u64);
        index.extend_from_slice(&group.entries);
        let front = group.first_key.iter().zip(&self.last_group_key).take_while(|(left, right)| left == right).count();
        put_varint(&mut self.directory, front as u64);
        put_varint(&mut self.directory, (group.first_key.len() - front) as u64);
        self.directory.extend_from_slice(&group.first_key[front..]);
        put_varint(&mut self.directory, group.instants.len() as u64);
        put_varint(&mut self.directory, group.columns.len() as u64);
        self.out.extend_from_slice(&group.instants);
        self.out.extend_from_slice(&group.columns);
        for part in [&index, &group.labels] {
            let packed = self.deflate(part);
            put_varint(&mut self.directory, packed.len() as u64);
            put_varint(&mut self.directory, part.len() as u64);
            self.directory.extend_from_slice(&checksum(&packed).to_le_bytes());
            self.out.extend_from_slice(&packed);
        }
        self.last_group_key = group.first_key;
    }

    fn deflate(&mut self, bytes: &[u8]) -> Vec<u8> {
        if cfg!(fuzzing) {
            // Bytes that are changed here and there would seldom inflate.
            return bytes.to_vec();
        }
        self.compressor.compress(bytes).expect("there is room for the compressed bytes")
    }

    /// Hands out the bytes of whole groups, once there are enough of them, or all of them.
    pub fn drain(&mut self, least: usize, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if self.out.len() < least {
            return Ok(());
        }
        sink(&self.out)?;
        self.taken += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    /// Returns the rest of the block, and the length of the whole.
    pub fn end(mut self) -> (Vec<u8>, u64) {
        self.end_family();
        self.end_group();
        let directory = std::mem::take(&mut self.directory);
        let packed = self.deflate(&directory);
        self.out.extend_from_slice(&packed);
        let footer_at = self.out.len();
        for number in [
            packed.len() as u64,
            (directory.len() as u64) << 32 | u64::from(checksum(&packed)),
            self.first as u64,
            self.last as u64,
            self.series,
            self.samples,
            u64::from(self.last_series),
        ] {
            self.out.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = checksum(&self.out[footer_at..]);
        self.out.extend_from_slice(&checksum.to_le_bytes());
        self.out.extend_from_slice(MARK);
        let len = self.taken + self.out.len() as u64;
        (self.out, len)
    }
}
