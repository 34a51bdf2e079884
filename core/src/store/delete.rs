//! Deleting the samples of some series in a span of time: memory lets go of them at once, and tombstones hide them in blocks until these
//! are written anew.
//!
//! A tombstone concerns the cuts that were made before it. So what is appended later is seen, whatever its time, also once it has moved
//! to a block or was merged with what is hidden.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use roaring::RoaringBitmap;

use crate::model::{Matcher, SourceError};
use crate::time::Timestamp;

use super::append::Log;
use super::block::{Block, BlockError, BlockId};
use super::chunk::Decoded;
use super::codec::{Damaged, Reader, put_signed, put_varint};
use super::merge::Merge;
use super::pages::{page_of, slot_of};
use super::record::put_deletion;
use super::{POISONED, Store};

/// So many series are deleted under one hold of the writer.
const DELETED_AT_ONCE: usize = 256;
/// The most tombstones that are in force.
pub const TOMBSTONES_MAX: usize = 1024;
/// So many samples are counted at once.
const COUNTED_AT_ONCE: usize = 1 << 20;

/// What is to be deleted: the samples of some series in a span of time.
#[derive(Clone, Debug)]
pub struct Deletion {
    sets: Vec<Vec<Matcher>>,
    /// Sorted.
    series: Vec<u32>,
    /// Series that these blocks alone know are not among them.
    unread: Vec<BlockId>,
    /// There may be more series.
    cut: bool,
    start: i64,
    end: i64,
}

impl Deletion {
    /// Returns the blocks that cannot be read: series that they alone know are not in it.
    pub fn unread(&self) -> &[BlockId] {
        &self.unread
    }

    /// Returns whether there may be more series than it names, which another deletion finds once this one is done.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Returns how many series may lose samples.
    pub fn series(&self) -> usize {
        self.series.len()
    }

    /// Returns the deletion as bytes.
    pub fn record(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_tombstone(&mut out, &self.series.iter().copied().collect(), self.start, self.end, 0);
        out
    }

    /// Reads what `record` returned.
    ///
    /// Errors: `Damaged` when the bytes are something else.
    pub fn read(record: &[u8]) -> Result<Deletion, Damaged> {
        let mut all = take_tombstones(record)?;
        let (series, start, end, _) = all.pop().filter(|_| all.is_empty()).ok_or(Damaged("it is not one deletion"))?;
        Ok(Deletion { sets: Vec::new(), series: series.iter().collect(), unread: Vec::new(), cut: false, start, end })
    }
}

/// What a deletion takes.
#[derive(Debug, Default)]
pub struct Counted {
    pub series: u64,
    pub samples: u64,
    pub uncounted: Option<Uncounted>,
    /// Series that these blocks alone know are not found: their samples stay, until they are deleted once more from the mended block.
    pub unread: Vec<BlockId>,
}

/// Series that were not counted, or not to their end.
#[derive(Debug)]
pub struct Uncounted {
    pub series: u64,
    /// Why, for the first of them.
    pub error: SourceError,
}

impl Counted {
    /// Returns what is not counted, and why; None when all is.
    pub fn shortfall(&self) -> Option<String> {
        let series = self.uncounted.as_ref().map(|own| format!("{} series: {}", own.series, own.error));
        let blocks =
            self.unread.iter().map(|id| format!("what the block {id} alone holds, which cannot be read and is not deleted"));
        let all: Vec<String> = series.into_iter().chain(blocks).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// Samples in blocks that nobody sees any more.
#[derive(Clone, Debug)]
struct Tombstone {
    /// In the order in which they came to this process; from 1 on.
    number: u64,
    series: RoaringBitmap,
    start: i64,
    end: i64,
    /// It concerns cuts below this number.
    before: u64,
}

impl Tombstone {
    fn concerns(&self, block: &Block) -> bool {
        block.id.last < self.before && block.overlaps(self.start, self.end)
    }
}

/// All tombstones in force.
#[derive(Clone, Debug, Default)]
pub(super) struct Tombstones {
    all: Vec<Tombstone>,
    newest: u64,
}

/// The tombstones that concern one block.
pub(super) struct Hidden<'a>(Vec<&'a Tombstone>);

impl Tombstones {
    /// Returns the highest number so far.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    pub fn of(&self, block: &Block) -> Hidden<'_> {
        Hidden(self.all.iter().filter(|own| own.concerns(block)).collect())
    }

    fn add(&mut self, series: RoaringBitmap, start: i64, end: i64, before: u64) {
        self.newest += 1;
        self.all.push(Tombstone { number: self.newest, series, start, end, before });
    }
}

/// How many samples of a series there were: floats and histograms.
pub(super) type Mark = (usize, usize);

impl Hidden<'_> {
    /// Takes hidden samples of a series out of what was appended behind a mark; returns how many those were.
    pub fn cut(&self, series: u32, samples: &mut Decoded, (floats, histograms): Mark) -> usize {
        let mut gone = 0;
        for own in self.0.iter().filter(|own| own.series.contains(series)) {
            let is_hidden = |at: i64| (own.start..=own.end).contains(&at);
            gone += samples.floats.extract_if(floats.., |(at, _)| is_hidden(*at)).count();
            gone += samples.histograms.extract_if(histograms.., |(at, _)| is_hidden(*at)).count();
        }
        gone
    }

    /// Returns, of those of the series that something may be hidden of, the number, the place, and how many samples there are.
    pub fn marks(&self, series: &[(u32, usize)], samples: &[Decoded]) -> Vec<(u32, usize, Mark)> {
        let is_named = |series: u32| self.0.iter().any(|own| own.series.contains(series));
        let named = series.iter().filter(|(series, _)| is_named(*series));
        named.map(|(series, at)| (*series, *at, (samples[*at].floats.len(), samples[*at].histograms.len()))).collect()
    }

    /// Returns whether everything that a series has in `first ..= last` is hidden by one tombstone.
    pub fn all(&self, series: u32, first: i64, last: i64) -> bool {
        self.0.iter().any(|own| own.start <= first && own.end >= last && own.series.contains(series))
    }

    /// Returns whether the block holds a series of which something may be hidden that is newer than what the block is clean of.
    fn is_in(&self, block: &Block) -> Result<bool, BlockError> {
        let clean = block.clean.load(Relaxed);
        let new: Vec<_> = self.0.iter().filter(|own| own.number > clean).collect();
        for group in 0..if new.is_empty() { 0 } else { block.groups() } {
            if block.index(group)?.entries.iter().any(|entry| new.iter().any(|own| own.series.contains(entry.series))) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn put_tombstone(out: &mut Vec<u8>, series: &RoaringBitmap, start: i64, end: i64, before: u64) {
    put_varint(out, before);
    put_signed(out, start);
    put_signed(out, end);
    put_varint(out, series.serialized_size() as u64);
    series.serialize_into(out).expect("writing to memory does not fail");
}

/// Reads what `Store::tombstone_records` wrote: series, start, end, and the cut before which they hold.
pub(super) fn take_tombstones(record: &[u8]) -> Result<Vec<(RoaringBitmap, i64, i64, u64)>, Damaged> {
    let (mut reader, mut all) = (Reader(record), Vec::new());
    while !reader.is_empty() {
        let (before, start, end) = (reader.varint()?, reader.signed()?, reader.signed()?);
        let len = reader.count()?;
        let series = RoaringBitmap::deserialize_from(reader.take(len)?);
        all.push((series.map_err(|_| Damaged("the series of a tombstone cannot be read"))?, start, end, before));
    }
    Ok(all)
}

impl Store {
    pub(super) fn tombstones(&self) -> Arc<Tombstones> {
        self.tombstones.read().expect(POISONED).clone()
    }

    fn change_tombstones(&self, change: impl FnOnce(&mut Tombstones)) {
        change(Arc::make_mut(&mut self.tombstones.write().expect(POISONED)));
    }

    /// Returns what the series that satisfy any of the matcher sets, all without sets, have in `start ..= end`. It ends with the newest
    /// sample that there is, so that nothing to come is in it, however late it is carried out.
    pub fn deletion(&self, sets: &[Vec<Matcher>], start: Timestamp, end: Timestamp) -> Deletion {
        let end = end.min(self.newest().unwrap_or(end));
        let found = self.matching(sets, start, end);
        let (series, unread, cut) = (found.numbers(), found.unread, found.cut);
        Deletion { sets: sets.to_vec(), series, unread, cut, start: start.0, end: end.0 }
    }

    /// Returns how many series have samples that a deletion takes, and how many samples those are, as far as they can be read.
    pub fn count(&self, deletion: &Deletion) -> Counted {
        let mut counted = Counted { unread: deletion.unread.clone(), ..Counted::default() };
        let mut last = None;
        let mut walk = self.walk(&deletion.sets, Timestamp(deletion.start), Timestamp(deletion.end)).as_far_as_it_goes();
        loop {
            match walk.next(self, COUNTED_AT_ONCE) {
                Ok(None) => return counted,
                Ok(Some(some)) => {
                    for own in some {
                        counted.samples += (own.floats.len() + own.histograms.len()) as u64;
                        // A series with many samples comes in pieces.
                        if last.as_ref() != Some(&own.labels) {
                            counted.series += 1;
                            last = Some(own.labels);
                        }
                    }
                }
                Err(error) => {
                    let series = walk.skip() as u64;
                    counted.uncounted.get_or_insert(Uncounted { series: 0, error }).series += series;
                }
            }
        }
    }

    /// Hides what a deletion takes in the blocks of the cuts below a number; returns the tombstone's number, None where no block has
    /// anything in its span and none is absent. No draft is under way meanwhile.
    pub fn hide(&self, deletion: &Deletion, before: u64) -> Option<u64> {
        let &Deletion { ref series, start, end, .. } = deletion;
        let is_needed = !self.absent().is_empty() || self.blocks().iter().any(|block| block.overlaps(start, end));
        if series.is_empty() || !is_needed {
            return None;
        }
        let mut number = 0;
        self.change_tombstones(|own| {
            own.add(series.iter().copied().collect(), start, end, before);
            number = own.newest;
        });
        Some(number)
    }

    /// Takes a tombstone back that could not be made to last.
    pub fn unhide(&self, number: u64) {
        self.change_tombstones(|own| own.all.retain(|tombstone| tombstone.number != number));
    }

    /// Takes samples out of memory, and exemplars; returns how many samples. A record for `replay` goes to the log for some series at a
    /// time, and what is appended later stays.
    ///
    /// Errors: those of the log; the series before the fault have lost their samples.
    pub fn delete(&self, deletion: &Deletion, log: Log<'_>) -> io::Result<u64> {
        let &Deletion { ref series, start, end, .. } = deletion;
        let mut gone = 0;
        for some in series.chunks(DELETED_AT_ONCE) {
            let writer = self.writer();
            let mut record = Vec::new();
            put_deletion(&mut record, some, start, end);
            log(&record)?;
            gone += self.delete_from_memory(some, start, end);
            drop(writer);
        }
        self.delete_exemplars(series, start, end);
        Ok(gone)
    }

    /// The caller holds the writer, or is alone.
    pub(super) fn delete_from_memory(&self, series: &[u32], start: i64, end: i64) -> u64 {
        let (mut gone, mut grown, mut shrunk) = (0, 0, 0);
        for run in series.chunk_by(|left, right| page_of(*left) == page_of(*right)) {
            let Some(page) = self.pages.get(page_of(run[0])) else { continue };
            let mut heads = page.heads_mut();
            for series in run {
                let Some(head) = heads.get_mut(slot_of(*series)).filter(|head| head.alive) else { continue };
                shrunk += head.bytes();
                gone += head.delete(start, end) as u64;
                grown += head.bytes();
            }
        }
        self.count_bytes(grown, shrunk);
        gone
    }

    /// Returns how many tombstones are in force.
    pub fn tombstones_len(&self) -> usize {
        self.tombstones().all.len()
    }

    /// Returns the lowest number of a cut that no tombstone concerns.
    pub fn cuts_from(&self) -> u64 {
        self.tombstones().all.iter().map(|own| own.before).max().unwrap_or(0)
    }

    /// Returns all tombstones, each as a record for `restore_tombstones`.
    pub fn tombstone_records(&self) -> Vec<Vec<u8>> {
        let record = |own: &Tombstone| {
            let mut out = Vec::with_capacity(own.series.serialized_size() + 40);
            put_tombstone(&mut out, &own.series, own.start, own.end, own.before);
            out
        };
        self.tombstones().all.iter().map(record).collect()
    }

    /// Takes tombstones that `tombstone_records` wrote. To be called before anything is replayed.
    ///
    /// Errors: `Damaged` when the bytes are something else.
    pub fn restore_tombstones(&self, record: &[u8]) -> Result<(), Damaged> {
        let all = take_tombstones(record)?;
        self.change_tombstones(|own| {
            all.into_iter().for_each(|(series, start, end, before)| own.add(series, start, end, before))
        });
        Ok(())
    }

    /// Drops the tombstones of which nothing lies in blocks any more, nor in absent ones; returns whether there were any.
    pub fn drop_tombstones(&self) -> bool {
        let (tombstones, blocks, absent) = (self.tombstones(), self.blocks(), self.absent());
        let is_needed = |own: &Tombstone| {
            absent.iter().any(|id| id.last < own.before)
                || blocks.iter().any(|block| own.concerns(block) && block.clean.load(Relaxed) < own.number)
        };
        let gone: Vec<u64> = tombstones.all.iter().filter(|own| !is_needed(own)).map(|own| own.number).collect();
        if !gone.is_empty() {
            self.change_tombstones(|own| own.all.retain(|tombstone| !gone.contains(&tombstone.number)));
        }
        !gone.is_empty()
    }

    /// Returns the oldest block that holds what is hidden, to be written anew without it; calls `pause` behind each block that was looked
    /// at.
    pub fn rewrite_due(&self, pause: &mut dyn FnMut()) -> Option<Merge> {
        let (tombstones, blocks) = (self.tombstones(), self.blocks());
        for block in blocks.iter().filter(|block| !block.is_faulty.load(Relaxed)) {
            let holds_hidden = tombstones.of(block).is_in(block);
            pause();
            match holds_hidden {
                Ok(true) => return Some(Merge::of_one(block.clone(), self.horizon.load(Relaxed), tombstones.clone())),
                Ok(false) => block.clean.store(tombstones.newest, Relaxed),
                // Its faults are told to those who ask for its samples; it stays as it is.
                Err(_) => block.is_faulty.store(true, Relaxed),
            }
        }
        None
    }
}
