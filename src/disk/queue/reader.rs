//! Reading the queue to other servers, record by record.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tocsin_core::remote::record::{self, Record};
use tracing::error;

use super::{HEAD_BYTES, MARK, Position, Queue};
use crate::disk::segment::segment_path;

/// A packed record is at most this long; a longer one is damage.
const RECORD_BYTES_MAX: usize = 256 << 20;

/// What a reader comes upon.
#[derive(Debug)]
pub struct Piece {
    pub record: Record,
    /// The segment is another one than before: numbers of series mean what it says from here on.
    pub is_anew: bool,
    /// Samples that are missing before this record: given up for lack of room, or damaged.
    pub lost: u64,
    /// Where the reader goes on.
    pub after: Position,
}

/// One reader of the queue.
pub struct Reader {
    queue: Arc<Queue>,
    at: Position,
    open: Option<(u64, File)>,
}

/// What stands before a record.
struct Head {
    len: usize,
    checksum: u32,
    before: u64,
    count: u32,
}

fn head(bytes: &[u8; HEAD_BYTES]) -> Head {
    let number = |from: usize| u32::from_le_bytes(bytes[from..from + 4].try_into().expect("four bytes"));
    let before = u64::from_le_bytes(bytes[8..16].try_into().expect("eight bytes"));
    Head { len: number(0) as usize, checksum: number(4), before, count: number(16) }
}

/// Returns where the good part of a segment ends, and the samples in the life of the queue up to there.
pub(super) fn good_part(bytes: &[u8]) -> (u64, u64) {
    let (mut at, mut samples) = (MARK.len(), 0);
    while let Some(bytes_of_head) = bytes.get(at..).and_then(|rest| rest.first_chunk::<HEAD_BYTES>()) {
        let head = head(bytes_of_head);
        let Some(frame) = bytes.get(at..at + HEAD_BYTES + head.len) else { break };
        if crc32fast::hash(&frame[8..]) != head.checksum {
            break;
        }
        samples = head.before + u64::from(head.count);
        at += frame.len();
    }
    (at.min(bytes.len()) as u64, samples)
}

impl Reader {
    /// Returns a reader that goes on where the one of this name was, and the end of the queue now.
    pub fn new(queue: Arc<Queue>, name: &str) -> (Reader, Position) {
        let (at, end) = queue.position(name);
        (Reader { queue, at, open: None }, end)
    }

    /// Returns the next record; None at the end.
    ///
    /// Errors: when a file cannot be read; the next call tries again.
    pub fn piece(&mut self) -> io::Result<Option<Piece>> {
        loop {
            let Some((number, len)) = self.segment() else { return Ok(None) };
            let Some((_, file)) = self.open.as_ref().filter(|(open, _)| *open == number) else {
                if let Some(piece) = self.enter(number, len)? {
                    return Ok(Some(piece));
                }
                continue;
            };
            if let Some((head, record, end)) = frame(file, self.at.offset, len)? {
                let lost = head.before.saturating_sub(self.at.samples);
                self.at.offset = end;
                self.at.samples = head.before + u64::from(head.count);
                return Ok(Some(Piece { record, is_anew: false, lost, after: self.at }));
            }
            // The rest cannot be read; the next record tells how much that was.
            error!(segment = number, "a segment of the queue to other servers is damaged");
            self.at.offset = len;
        }
    }

    /// Returns the segment in which there is something to read, with its length.
    fn segment(&self) -> Option<(u64, u64)> {
        let inner = self.queue.inner();
        let mut from_here = inner.segments.range(self.at.segment..);
        from_here.find(|(number, len)| **number != self.at.segment || **len > self.at.offset).map(|(number, len)| (*number, *len))
    }

    /// Goes over to a segment and returns what it names before the place at which the reader goes on; None when it has just been deleted.
    fn enter(&mut self, number: u64, len: u64) -> io::Result<Option<Piece>> {
        let file = match File::open(segment_path(&self.queue.folder, number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.queue.inner().segments.remove(&number);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let from = if number == self.at.segment { self.at.offset } else { 0 };
        self.at = Position { segment: number, offset: from.max(MARK.len() as u64), samples: self.at.samples };
        let (mut record, mut at) = (Record::default(), MARK.len() as u64);
        while at < self.at.offset
            && let Some((_, own, end)) = frame(&file, at, len)?
        {
            record.series.extend(own.series);
            at = end;
        }
        self.open = Some((number, file));
        Ok(Some(Piece { record, is_anew: true, lost: 0, after: self.at }))
    }
}

/// Reads the record at a place, and where it ends; None when it is damaged.
fn frame(file: &File, at: u64, len: u64) -> io::Result<Option<(Head, Record, u64)>> {
    let mut bytes = [0; HEAD_BYTES];
    if at + HEAD_BYTES as u64 > len {
        return Ok(None);
    }
    file.read_exact_at(&mut bytes, at)?;
    let head = head(&bytes);
    let end = at + (HEAD_BYTES + head.len) as u64;
    if end > len || head.len > RECORD_BYTES_MAX {
        return Ok(None);
    }
    let mut packed = vec![0; head.len];
    file.read_exact_at(&mut packed, at + HEAD_BYTES as u64)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[8..]);
    hasher.update(&packed);
    if hasher.finalize() != head.checksum {
        return Ok(None);
    }
    let unpacked = snap::raw::Decoder::new().decompress_vec(&packed).ok();
    let record = unpacked.and_then(|bytes| record::read(&bytes).ok());
    Ok(record.map(|record| (head, record, end)))
}
