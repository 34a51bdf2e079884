//! Moving chunks from memory into blocks, and reading them there.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::time::Timestamp;

use super::Store;
use super::block::{Block, BlockError, BlockWriter, ReadAt};
use super::chunk::Decoded;
use super::pages::{PAGE_LEN, page_of, slot_of};

/// A block to be written. Its chunks are still in memory; `commit` lets them go.
pub struct Draft {
    bytes: Vec<u8>,
    runs: Vec<(u32, std::ops::Range<usize>)>,
}

impl Draft {
    /// Returns what to write.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Where a cut goes on: each draft takes up where the one before ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cut {
    page: u32,
}

impl Store {
    /// Returns a block of the chunks that end before an instant; `None` once there are no more. A block grows little beyond
    /// `bytes_max`.
    pub fn draft(&self, before: Timestamp, bytes_max: usize, cut: &mut Cut) -> Option<Draft> {
        let mut writer = BlockWriter::new();
        let mut run = Vec::new();
        while cut.page <= self.last_page() && writer.len_bytes() < bytes_max {
            let number = cut.page;
            cut.page += 1;
            let Some(page) = self.pages.get(number) else { continue };
            let mut heads = page.heads_mut();
            let labels = page.labels();
            let (mut grown, mut shrunk) = (0, 0);
            for (slot, head) in heads.iter_mut().enumerate().filter(|(_, head)| head.alive) {
                shrunk += head.bytes();
                run.clear();
                head.aged(before.0, &mut run);
                grown += head.bytes();
                if let Some(labels) = Some(&run).filter(|run| !run.is_empty()).and_then(|_| labels.get(slot)) {
                    writer.put(number * PAGE_LEN as u32 + slot as u32, &labels, &run);
                }
            }
            self.count_bytes(grown, shrunk);
        }
        if writer.is_empty() {
            return None;
        }
        let runs = writer.runs();
        Some(Draft { bytes: writer.end(), runs })
    }

    /// Takes a written block in place of the chunks in memory. Identifiers grow: of two samples at one instant the one in the earlier
    /// block counts.
    ///
    /// Errors: when the block cannot be read back; the chunks stay in memory then.
    pub fn commit(&self, draft: &Draft, id: u64, read: ReadAt) -> Result<(), BlockError> {
        self.attach(id, draft.bytes.len() as u64, read)?;
        // Readers look at memory first, so none misses what moves.
        for batch in draft.runs.chunk_by(|left, right| page_of(left.0) == page_of(right.0)) {
            let mut heads = self.pages.make(page_of(batch[0].0)).heads_mut();
            let (mut grown, mut shrunk) = (0, 0);
            for (series, place) in batch {
                let Some(head) = heads.get_mut(slot_of(*series)).filter(|head| head.alive) else { continue };
                shrunk += head.bytes();
                head.release(&draft.bytes[place.clone()]);
                grown += head.bytes();
            }
            self.count_bytes(grown, shrunk);
        }
        Ok(())
    }

    /// Adds a block that was written earlier.
    ///
    /// Errors: when it cannot be read.
    pub fn attach(&self, id: u64, len: u64, read: ReadAt) -> Result<(), BlockError> {
        let block = Block::open(id, len, read)?;
        self.skip_numbers(block.last_series());
        let mut blocks = self.blocks_mut();
        let mut all = blocks.to_vec();
        let place = all.partition_point(|own| own.id < id);
        all.insert(place, Arc::new(block));
        *blocks = all.into();
        Ok(())
    }

    /// Learns from the blocks which series there were, newest block first; for a log that is lost or damaged, before what is left of it
    /// is replayed. Returns how many series it learned, and the blocks whose labels cannot be read.
    pub fn adopt_series(&self) -> (usize, Vec<(u64, BlockError)>) {
        let (mut count, mut unreadable) = (0, Vec::new());
        let blocks = self.blocks();
        for block in blocks.iter().rev() {
            let catalogue = match block.catalogue() {
                Ok(catalogue) => catalogue,
                Err(error) => {
                    unreadable.push((block.id, error));
                    continue;
                }
            };
            for (series, labels, first, last) in catalogue {
                count += usize::from(self.adopt(series, &labels, first, last));
            }
        }
        (count, unreadable)
    }

    /// Takes blocks out, the earliest first, until the rest is no longer than `bytes_max`; returns their identifiers. Whatever is as
    /// old as their samples is forgotten with them, so that no row is left in part.
    pub fn shrink_blocks(&self, bytes_max: u64) -> Vec<u64> {
        let blocks = self.blocks();
        let mut bytes: u64 = blocks.iter().map(|block| block.len).sum();
        let mut horizon = i64::MIN;
        for block in blocks.iter() {
            if bytes <= bytes_max {
                break;
            }
            bytes -= block.len;
            horizon = horizon.max(block.last.saturating_add(1));
        }
        let horizon = self.horizon.fetch_max(horizon, Relaxed).max(horizon);
        self.drop_blocks(horizon)
    }

    /// Takes out the blocks that end before the horizon; returns their identifiers.
    pub(super) fn drop_blocks(&self, horizon: i64) -> Vec<u64> {
        let mut blocks = self.blocks_mut();
        let gone: Vec<u64> = blocks.iter().filter(|block| block.last < horizon).map(|block| block.id).collect();
        if !gone.is_empty() {
            *blocks = blocks.iter().filter(|block| block.last >= horizon).cloned().collect();
        }
        gone
    }

    /// Reads samples of series, sorted by number, from one block; `out` has one place for each of them. Returns how many samples came.
    pub(super) fn read_block(
        &self,
        block: &Block,
        numbers: &[u32],
        start: i64,
        end: i64,
        out: &mut [Decoded],
    ) -> Result<usize, BlockError> {
        let mut count = 0;
        let done = block.chunks(numbers, start, end, |place, chunk| {
            let samples = &mut out[place];
            let before = samples.len();
            chunk.decode(start, end, samples)?;
            count += samples.len() - before;
            Ok(())
        });
        // A block that has just been deleted held nothing that the retention still covers.
        let is_gone = || !self.blocks().iter().any(|own| own.id == block.id);
        match done {
            Err(BlockError::Io(_)) if is_gone() => Ok(0),
            done => done.map(|()| count),
        }
    }
}
