//! Merging blocks: those of two hours into one, those of a day into one, each series in one piece and next to its like.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::model::LabelSet;
use crate::time::{Span, Timestamp};

use super::Store;
use super::block::{Block, BlockError, BlockId, ReadAt};
use super::build::BlockWriter;
use super::chunk::Decoded;
use super::classes::Outlived;
use super::cluster::put_key;
use super::codec::Damaged;
use super::column::Whole;
use super::delete::{Hidden, Tombstones};
use super::group::{Columns, Index, Instants};

/// Blocks of one such span, on the clock, become one.
const SPANS: [Span; 2] = [Span::from_mins(2 * 60), Span::from_mins(24 * 60)];
/// A span is over, for the cuts too, so long after its end.
const LAG: Span = Span::from_mins(60);
/// The most blocks that are merged at once.
const INPUTS_MAX: usize = 128;
/// A block is not written anew for others that hold less than so many times fewer samples.
const UNEVEN: u64 = 8;
/// So many instants of each block are kept.
const INSTANTS_MAX: usize = 1 << 17;
/// Bytes are handed out once so many are there.
const WRITE_BYTES: usize = 1 << 20;
/// Others get their turn after so many samples.
const PAUSE_SAMPLES: u64 = 1 << 17;

/// Blocks to be merged, neighbours in the list of blocks.
pub struct Merge {
    inputs: Vec<Arc<Block>>,
    id: BlockId,
    horizon: i64,
    /// What is hidden when the merge begins is left out.
    tombstones: Arc<Tombstones>,
    outlived: Option<Outlived>,
    /// What the new block is sifted by.
    sifted: u64,
}

/// Why blocks cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error("the merged block cannot be written")]
    Write(#[source] io::Error),
    #[error("the block {id} cannot be read")]
    Read {
        id: BlockId,
        #[source]
        cause: BlockError,
    },
}

impl Store {
    /// Returns blocks that should become one by now, those of the shortest span and the oldest first. Together they take no more than
    /// `bytes_max` bytes.
    pub fn merge_due(&self, now: Timestamp, bytes_max: u64) -> Option<Merge> {
        let (blocks, absent) = (self.blocks(), self.absent());
        // Late samples lie in blocks of old spans, and those of a clock that was ahead in spans to come; their place is where they were
        // cut.
        let by_now = blocks.iter().rposition(|block| block.last <= now.0).unwrap_or(0);
        let mut ends: Vec<i64> = Vec::with_capacity(blocks.len());
        for (place, block) in blocks.iter().enumerate() {
            let before = ends.last().copied().unwrap_or(i64::MIN);
            ends.push(if place < by_now && block.last > now.0 { before } else { block.last.max(before) });
        }
        for span in SPANS {
            let number = |place: usize| ends[place].div_euclid(span.0);
            let places: Vec<usize> = (0..blocks.len()).collect();
            let is_faulty = |place: usize| blocks[place].is_faulty.load(Relaxed);
            // Where a block may be put back, none stands for it.
            let is_gap = |left: BlockId, right: BlockId| absent.iter().any(|id| id.first > left.last && id.last < right.first);
            let fit = |left: usize, right: usize| {
                let is_whole = !is_faulty(left) && !is_faulty(right) && !is_gap(blocks[left].id, blocks[right].id);
                number(left) == number(right) && is_whole
            };
            for run in places.chunk_by(|left, right| fit(*left, *right)) {
                let over = (number(run[0]) + 1).saturating_mul(span.0).saturating_add(LAG.0) <= now.0;
                let inputs = &blocks[run[0]..=run[run.len() - 1]];
                // A big one in front must not keep those behind it from each other.
                let merge = || (0..inputs.len()).find_map(|from| self.merge_of(&inputs[from..], bytes_max, now));
                if let Some(merge) = over.then(merge).flatten() {
                    return Some(merge);
                }
            }
        }
        None
    }

    fn merge_of(&self, inputs: &[Arc<Block>], bytes_max: u64, now: Timestamp) -> Option<Merge> {
        let mut bytes = 0;
        let fits = |block: &&Arc<Block>| {
            bytes = block.len.saturating_add(bytes);
            bytes <= bytes_max
        };
        let inputs: Vec<Arc<Block>> = inputs.iter().take(INPUTS_MAX).take_while(fits).cloned().collect();
        let samples = inputs.iter().map(|block| block.samples).fold(0, u64::saturating_add);
        let most = inputs.iter().map(|block| block.samples).max()?;
        if inputs.len() < 2 || (samples - most).saturating_mul(UNEVEN) < most {
            return None;
        }
        let id = BlockId { first: inputs[0].id.first, last: inputs[inputs.len() - 1].id.last, revision: 0 };
        let horizon = self.horizon.load(Relaxed);
        let is_within = inputs.iter().any(|block| block.last >= horizon);
        is_within.then(|| Merge { inputs, id, horizon, tombstones: self.tombstones(), outlived: self.outlived(now), sifted: 0 })
    }

    /// Puts a merged block, which was written and made to last, in the place of those that it was made of. Returns the blocks of no more
    /// use: these, and the merged one when nothing is in it; None when the merged block is of no use, since some have left the store
    /// meanwhile, or what it leaves out may have to stay by now.
    ///
    /// Errors: when the block cannot be read back; all stays as it is then.
    pub fn commit_merge(&self, merge: &Merge, len: u64, read: ReadAt) -> Result<Option<Vec<BlockId>>, BlockError> {
        let mut block = Block::open(merge.id, len, read)?;
        block.begun = merge.inputs.iter().map(|input| input.begun).max().unwrap_or(0);
        block.clean.store(merge.tombstones.newest(), Relaxed);
        block.sifted.store(merge.sifted, Relaxed);
        // Of a block from which everything was deleted nothing is left.
        let new = (block.samples > 0).then(|| Arc::new(block));
        let mut blocks = self.blocks_mut();
        let from = blocks.partition_point(|own| own.id < merge.inputs[0].id);
        let same = |(own, input): (&Arc<Block>, &Arc<Block>)| Arc::ptr_eq(own, input);
        if blocks.len() - from < merge.inputs.len() || !blocks[from..].iter().zip(&merge.inputs).all(same) {
            return Ok(None);
        }
        if merge.outlived.as_ref().is_some_and(|own| own.is_outdated(&self.classes())) {
            return Ok(None);
        }
        let mut all = blocks.to_vec();
        let useless = new.is_none().then_some(merge.id);
        let gone = all.splice(from..from + merge.inputs.len(), new).map(|block| block.id).chain(useless).collect();
        *blocks = all.into();
        Ok(Some(gone))
    }
}

impl Merge {
    /// Returns the merge of a block with nothing: it is written anew, without what is hidden in it.
    pub(super) fn of_one(block: Arc<Block>, horizon: i64, tombstones: Arc<Tombstones>) -> Merge {
        let id = BlockId { revision: block.id.revision + 1, ..block.id };
        Merge { inputs: vec![block], id, horizon, tombstones, outlived: None, sifted: 0 }
    }

    /// Leaves out what has outlived its time, too.
    pub(super) fn without(self, outlived: Outlived, sifted: u64) -> Merge {
        Merge { outlived: Some(outlived), sifted, ..self }
    }

    /// Returns the name of the merged block.
    pub fn id(&self) -> BlockId {
        self.id
    }

    /// Returns how many bytes the merged block takes at most, about.
    pub fn bytes_max(&self) -> u64 {
        self.inputs.iter().map(|block| block.len).sum()
    }

    /// Leaves the blocks as they are from now on, since what was made of them could not be read back.
    pub fn give_up(&self) {
        self.inputs.iter().for_each(|block| block.is_faulty.store(true, Relaxed));
    }

    /// Hands out the bytes of the merged block; calls `pause` now and then. Returns their number. It holds a group of each block in
    /// memory, and one of the new one.
    ///
    /// Errors: `Write` for those of `sink`; `Read` for a block that cannot be read.
    pub fn write(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>, pause: &mut dyn FnMut()) -> Result<u64, MergeError> {
        let mut cursors: Vec<Cursor<'_>> =
            self.inputs.iter().map(|block| Cursor::new(block, self.tombstones.of(block))).collect();
        let mut heap = BinaryHeap::new();
        for (place, cursor) in cursors.iter_mut().enumerate() {
            heap.extend(cursor.next(Vec::new())?.map(|(key, series)| Reverse((key, series, place))));
        }
        let (mut writer, mut paused_at) = (BlockWriter::new(), 0);
        while let Some(Reverse((key, series, place))) = heap.pop() {
            let (mut samples, labels) = (Decoded::default(), cursors[place].labels());
            let mut turn = Some((key, place));
            while let Some((key, place)) = turn {
                cursors[place].read(&mut samples)?;
                let is_same = |(own, number): (&Vec<u8>, u32)| *own == key && number == series;
                turn = heap.peek().filter(|Reverse((own, number, _))| is_same((own, *number))).is_some().then(|| {
                    let Reverse((key, _, place)) = heap.pop().expect("it was looked at");
                    (key, place)
                });
                heap.extend(cursors[place].next(key)?.map(|(key, series)| Reverse((key, series, place))));
            }
            samples.settle();
            samples.cut_before(self.outlived.as_ref().map_or(self.horizon, |own| own.horizon(&labels).max(self.horizon)));
            writer.put(series, &labels, samples);
            writer.drain(WRITE_BYTES, sink).map_err(MergeError::Write)?;
            if writer.samples() - paused_at >= PAUSE_SAMPLES {
                paused_at = writer.samples();
                pause();
            }
        }
        let (rest, len) = writer.end();
        sink(&rest).map_err(MergeError::Write)?;
        Ok(len)
    }
}

/// Where the merging of a block stands.
struct Cursor<'a> {
    block: &'a Block,
    hidden: Hidden<'a>,
    /// The group that is read next.
    group: usize,
    open: Option<Open>,
    /// The entries of the series at hand.
    from: usize,
    to: usize,
    key: Vec<u8>,
    instants: Instants,
    leader: Option<(usize, Whole)>,
}

/// A group that was read.
struct Open {
    index: Index,
    labels: Vec<LabelSet>,
    columns: Columns,
}

impl<'a> Cursor<'a> {
    fn new(block: &'a Block, hidden: Hidden<'a>) -> Cursor<'a> {
        Cursor {
            block,
            hidden,
            group: 0,
            open: None,
            from: 0,
            to: 0,
            key: Vec::new(),
            instants: Instants::new(INSTANTS_MAX),
            leader: None,
        }
    }

    /// A block that cannot be read is left alone from then on, so that others are merged.
    fn failed(block: &Block, cause: BlockError) -> MergeError {
        block.is_faulty.store(true, Relaxed);
        MergeError::Read { id: block.id, cause }
    }

    /// Steps to the next series; returns its key, in the given memory, and its number.
    fn next(&mut self, mut key: Vec<u8>) -> Result<Option<(Vec<u8>, u32)>, MergeError> {
        self.from = self.to;
        while self.open.as_ref().is_none_or(|open| self.from >= open.index.entries.len()) {
            if self.group == self.block.groups() {
                return Ok(None);
            }
            self.open = Some(self.load(self.group).map_err(|cause| Cursor::failed(self.block, cause))?);
            (self.group, self.from, self.leader) = (self.group + 1, 0, None);
        }
        let open = self.open.as_ref().expect("a group was read");
        let series = open.index.entries[self.from].series;
        self.to = self.from + open.index.entries[self.from..].iter().take_while(|entry| entry.series == series).count();
        put_key(&mut key, &open.labels[self.from]);
        if key < self.key {
            return Err(Cursor::failed(self.block, Damaged("a block's series are out of order").into()));
        }
        self.key.clone_from(&key);
        Ok(Some((key, series)))
    }

    fn load(&self, group: usize) -> Result<Open, BlockError> {
        let index = self.block.index(group)?;
        let labels = self.block.labels(group, &index.entries)?;
        let columns = self.block.columns(group, &index, 0..index.entries.len())?;
        Ok(Open { index, labels, columns })
    }

    fn labels(&self) -> LabelSet {
        self.open.as_ref().expect("the cursor stands at a series").labels[self.from].clone()
    }

    /// Appends the samples of the series at hand.
    fn read(&mut self, out: &mut Decoded) -> Result<(), MergeError> {
        let open = self.open.as_ref().expect("the cursor stands at a series");
        let before = (out.floats.len(), out.histograms.len());
        for place in self.from..self.to {
            let block = self.block;
            let failed = |cause| Cursor::failed(block, cause);
            let list = self.block.instants_of(&open.index, place, &mut self.instants).map_err(failed)?;
            let done = open.index.decode(place, &open.columns, &list, 0..list.len(), &mut self.leader, out);
            done.map_err(|damage| failed(damage.into()))?;
        }
        self.hidden.cut(open.index.entries[self.from].series, out, before);
        Ok(())
    }
}
