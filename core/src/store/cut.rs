//! Moving chunks from memory into blocks, and the list of blocks.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::time::{Span, Timestamp};

use super::block::{Block, BlockError, BlockId, INSTANTS_MAX, ReadAt};
use super::build::BlockWriter;
use super::chunk::{Chunks, Decoded};
use super::cluster::put_key;
use super::group::Instants;
use super::head::Head;
use super::pages::{PAGE_LEN, page_of, slot_of};
use super::{POISONED, Store};

/// A block to be written. Its chunks are still in memory; `commit` lets them go.
pub struct Draft {
    bytes: Vec<u8>,
    /// The chunks that it was made of, of one series after the other.
    chunks: Vec<u8>,
    runs: Vec<(u32, Range<usize>)>,
    /// Rows that had begun when it was made.
    begun: u64,
}

impl Draft {
    /// Returns what to write.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The pages take turns at being cut; there are so many of them.
pub const TURNS: u32 = 1024;

/// Which pages are cut, and where the cut goes on: each draft takes up where the one before ended.
#[derive(Clone, Debug)]
pub struct Cut {
    page: u32,
    turns: Range<u32>,
}

impl Cut {
    /// Cuts the pages whose turn lies within some of the `TURNS`.
    pub fn of_turns(turns: Range<u32>) -> Cut {
        Cut { page: 0, turns }
    }

    /// Cuts all pages.
    pub fn of_all() -> Cut {
        Cut::of_turns(0..TURNS)
    }

    /// Neighbours are far apart, so that the pages of one target do not follow each other.
    fn is_due(&self, page: u32) -> bool {
        self.turns.contains(&(page.wrapping_mul(0x9e37_79b1) >> (u32::BITS - TURNS.trailing_zeros())))
    }
}

/// Samples may be in memory and in a block when a start finds the log of what has moved; blocks that end no earlier than this before
/// the newest sample are looked through for them.
const DOUBLES_SPAN: Span = Span::from_mins(6 * 60);

/// A log may name a series that had its newest sample in a block so long ago: a checkpoint is two hours old at most, and what it names
/// has been in memory an hour before.
const ADOPTED_SPAN: Span = Span::from_mins(6 * 60);

impl Store {
    /// Returns a block of the chunks that end before an instant, of pages whose turn it is; `None` once there are no more. It takes
    /// little more than `bytes_max` of chunks at a time.
    pub fn draft(&self, before: Timestamp, bytes_max: usize, cut: &mut Cut) -> Option<Draft> {
        let (mut chunks, mut runs, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        while cut.page <= self.last_page() && (chunks.is_empty() || chunks.len() < bytes_max) {
            let number = cut.page;
            cut.page += 1;
            let Some(page) = self.pages.get(number).filter(|_| cut.is_due(number)) else { continue };
            let mut heads = page.heads_mut();
            let labels = page.labels();
            let (mut grown, mut shrunk) = (0, 0);
            for (slot, head) in heads.iter_mut().enumerate().filter(|(_, head)| head.alive) {
                let from = chunks.len();
                shrunk += head.bytes();
                head.aged(before.0, &mut chunks);
                grown += head.bytes();
                if chunks.len() > from
                    && let Some(labels) = labels.get(slot)
                {
                    let mut key = Vec::new();
                    put_key(&mut key, &labels);
                    keys.push((key, runs.len(), labels));
                    runs.push((number * PAGE_LEN as u32 + slot as u32, from..chunks.len()));
                }
            }
            self.count_bytes(grown, shrunk);
        }
        if runs.is_empty() {
            return None;
        }
        let begun = self.rows().begun();
        keys.sort_unstable_by(|left, right| (&left.0, left.1).cmp(&(&right.0, right.1)));
        let mut writer = BlockWriter::new();
        for (_, place, labels) in keys {
            let (series, range) = &runs[place];
            writer.put(*series, &labels, decode(&chunks[range.clone()]));
        }
        let (bytes, _) = writer.end();
        Some(Draft { bytes, chunks, runs, begun })
    }

    /// Takes a written block in place of the chunks in memory. Names grow: of two samples at one instant the one in the earlier block
    /// counts.
    ///
    /// Errors: when the block cannot be read back; the chunks stay in memory then.
    pub fn commit(&self, draft: &Draft, id: BlockId, read: ReadAt) -> Result<(), BlockError> {
        let mut block = Block::open(id, draft.bytes.len() as u64, read)?;
        block.begun = draft.begun;
        // Memory knows them until it has let go of the chunks.
        (0..block.groups()).for_each(|group| block.set_cold(group, false));
        self.add_block(block);
        // Readers look at memory first, so none misses what moves.
        for batch in draft.runs.chunk_by(|left, right| page_of(left.0) == page_of(right.0)) {
            let mut heads = self.pages.make(page_of(batch[0].0)).heads_mut();
            let (mut grown, mut shrunk) = (0, 0);
            for (series, place) in batch {
                let Some(head) = heads.get_mut(slot_of(*series)).filter(|head| head.alive) else { continue };
                shrunk += head.bytes();
                head.release(&draft.chunks[place.clone()]);
                grown += head.bytes();
            }
            self.count_bytes(grown, shrunk);
        }
        Ok(())
    }

    /// Adds a block that was written earlier.
    ///
    /// Errors: when it cannot be read.
    pub fn attach(&self, id: BlockId, len: u64, read: ReadAt) -> Result<(), BlockError> {
        self.add_block(Block::open(id, len, read)?);
        Ok(())
    }

    fn add_block(&self, block: Block) {
        self.skip_numbers(block.last_series);
        let id = block.id;
        let mut blocks = self.blocks_mut();
        let mut all = blocks.to_vec();
        let place = all.partition_point(|own| own.id < id);
        all.insert(place, Arc::new(block));
        *blocks = all.into();
    }

    /// Says which blocks are not there and may be put back: what is deleted in them stays so, and no merged block takes their place.
    pub fn set_absent(&self, ids: Vec<BlockId>) {
        *self.absent.write().expect(POISONED) = ids.into();
    }

    pub(super) fn absent(&self) -> Arc<[BlockId]> {
        self.absent.read().expect(POISONED).clone()
    }

    /// Drops chunks from memory whose samples a block holds, as after a start that replays a log from before they moved. Returns how
    /// many bytes of chunks those were. What cannot be read stays.
    pub fn drop_doubles(&self) -> u64 {
        let Some(newest) = self.newest() else { return 0 };
        let of_page = |page: u32| self.pages.get(page)?.heads().iter().filter_map(Head::first_in_chunks).min();
        let Some(oldest) = (0..=self.last_page()).filter_map(of_page).min() else { return 0 };
        let from = oldest.max((newest - DOUBLES_SPAN).0);
        let before = self.chunks_bytes.load(Relaxed);
        for block in self.blocks().iter().filter(|block| block.last >= from) {
            let mut instants = Instants::new(INSTANTS_MAX);
            for group in 0..block.groups() {
                // A block that cannot be read has its faults told to those who ask for its samples.
                let _ = self.drop_doubles_of(block, group, &mut instants);
            }
        }
        before.saturating_sub(self.chunks_bytes.load(Relaxed))
    }

    fn drop_doubles_of(&self, block: &Block, group: usize, instants: &mut Instants) -> Result<(), BlockError> {
        let (index, tombstones) = (block.index(group)?, self.tombstones());
        let hidden = tombstones.of(block);
        let mut hits = Vec::new();
        for (place, entry) in index.entries.iter().enumerate() {
            let list = block.instants_of(&index, place, instants)?;
            let (Some(page), Some(first), Some(last)) = (self.pages.get(page_of(entry.series)), list.first(), list.last()) else {
                continue;
            };
            if page.heads().get(slot_of(entry.series)).is_some_and(|head| head.alive && head.has_chunks_in(*first, *last)) {
                hits.push((place, page, list));
            }
        }
        let columns = block.columns(group, &index, hits.iter().map(|(place, ..)| *place))?;
        let mut leader = None;
        for (place, page, list) in hits {
            let mut samples = Decoded::default();
            index.decode(place, &columns, &list, 0..list.len(), &mut leader, &mut samples)?;
            // What was written anew after a deletion is in memory alone.
            hidden.cut(index.entries[place].series, &mut samples, (0, 0));
            let mut heads = page.heads_mut();
            if let Some(head) = heads.get_mut(slot_of(index.entries[place].series)).filter(|head| head.alive) {
                let shrunk = head.bytes();
                head.drop_covered(&samples);
                self.count_bytes(head.bytes(), shrunk);
            }
        }
        Ok(())
    }

    /// Learns from the blocks, newest block first, which series a log that is lost or damaged may have gone on with, before what is left of
    /// it is replayed: those that had a sample within six hours before the newest one. Returns how many series it learned, and the blocks
    /// whose labels cannot be read.
    pub fn adopt_series(&self) -> (usize, Vec<(BlockId, BlockError)>) {
        let (mut count, mut unreadable) = (0, Vec::new());
        let (tombstones, blocks) = (self.tombstones(), self.blocks());
        let newest = blocks.iter().map(|block| block.last).max().unwrap_or(i64::MIN);
        let from = newest.saturating_sub(ADOPTED_SPAN.0);
        for block in blocks.iter().rev().filter(|block| block.last >= from) {
            let hidden = tombstones.of(block);
            let catalogue = match block.catalogue() {
                Ok(catalogue) => catalogue,
                Err(error) => {
                    unreadable.push((block.id, error));
                    continue;
                }
            };
            for (series, labels, first, last) in
                catalogue.into_iter().filter(|(series, _, first, last)| *last >= from && !hidden.all(*series, *first, *last))
            {
                count += usize::from(self.adopt(series, &labels, first, last));
            }
        }
        (count, unreadable)
    }

    /// Takes blocks out, those first that end first, until the rest is no longer than `bytes_max`; returns their identifiers. Whatever is
    /// as old as their samples is forgotten with them, so that no row is left in part; nothing to come is.
    pub fn shrink_blocks(&self, bytes_max: u64, now: Timestamp) -> Vec<BlockId> {
        let mut blocks = self.blocks().to_vec();
        blocks.sort_by_key(|block| block.last);
        let mut bytes: u64 = blocks.iter().map(|block| block.len).sum();
        let mut horizon = i64::MIN;
        for block in &blocks {
            if bytes <= bytes_max {
                break;
            }
            bytes -= block.len;
            horizon = block.last.saturating_add(1).min(now.0);
        }
        let horizon = self.horizon.fetch_max(horizon, Relaxed).max(horizon);
        self.drop_blocks(horizon)
    }

    /// Returns the instant before which nothing is visible or accepted.
    pub fn horizon(&self) -> Timestamp {
        Timestamp(self.horizon.load(Relaxed))
    }

    /// Hides and refuses everything that is older than an instant.
    pub fn forget_before(&self, instant: Timestamp) {
        self.horizon.fetch_max(instant.0, Relaxed);
    }

    /// Takes out the blocks that end before the horizon; returns their identifiers.
    pub(super) fn drop_blocks(&self, horizon: i64) -> Vec<BlockId> {
        let mut blocks = self.blocks_mut();
        let gone: Vec<BlockId> = blocks.iter().filter(|block| block.last < horizon).map(|block| block.id).collect();
        if !gone.is_empty() {
            *blocks = blocks.iter().filter(|block| block.last >= horizon).cloned().collect();
        }
        gone
    }
}

/// Returns the samples of a run, in order.
fn decode(run: &[u8]) -> Decoded {
    let mut samples = Decoded::default();
    for chunk in Chunks::of(run) {
        chunk.and_then(|chunk| chunk.decode(i64::MIN, i64::MAX, &mut samples)).expect("what memory holds is whole");
    }
    samples.settle();
    samples
}
