//! The queue to other servers: what was appended stands in files of its own until every reader is done with it.
//!
//! ```text
//! <data>/metrics/remote/00000003     a segment; the highest number is written to
//! <data>/metrics/remote/positions    how far each reader has come
//! ```
//!
//! A segment names the series that it uses, so that each can be read alone. A start begins a new one. Records carry the number of
//! samples before them in the life of the queue, so that whoever misses some knows how many.

mod reader;

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tocsin_core::model::{Exemplar, Row, SeriesRef};
use tocsin_core::remote::record;
use tocsin_core::store::{LeftOut, Store};
use tracing::warn;

use super::DiskError;
use super::files::write_whole;
use super::segment::segment_path;

pub use reader::{Piece, Reader};

/// What every segment begins with.
const MARK: &[u8; 8] = b"TOCSQUE1";
/// A frame: the record's length and checksum, the samples before it, and its own.
const HEAD_BYTES: usize = 20;
/// A segment is closed at this length.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;
const POSITIONS: &str = "positions";

/// A place in the queue, between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    segment: u64,
    offset: u64,
    /// Samples before it in the life of the queue.
    pub samples: u64,
}

#[derive(Default)]
struct Inner {
    file: Option<Arc<File>>,
    number: u64,
    /// Lengths by number.
    segments: BTreeMap<u64, u64>,
    samples: u64,
    /// Series that the open segment names.
    named: HashSet<u32>,
    unsynced: Vec<Arc<File>>,
    positions: BTreeMap<String, Position>,
    saved: BTreeMap<String, Position>,
}

/// The queue. It takes nothing while nobody reads it.
pub struct Queue {
    folder: PathBuf,
    bytes_max: u64,
    is_on: AtomicBool,
    inner: Mutex<Inner>,
}

/// Returns where the good part of a segment's bytes ends.
pub(super) fn good_end(bytes: &[u8]) -> u64 {
    if bytes.starts_with(MARK) { reader::good_part(bytes).0 } else { 0 }
}

/// Reads the positions that `save` wrote; a line that is none is passed over, and its reader begins anew.
fn read_positions(text: &str) -> BTreeMap<String, Position> {
    let line = |line: &str| {
        let (numbers, name) = line.split_once('\t')?;
        let mut numbers = numbers.split(' ').map(|number| number.parse::<u64>().ok());
        let mut number = || numbers.next().flatten();
        Some((name.to_owned(), Position { segment: number()?, offset: number()?, samples: number()? }))
    };
    text.lines().filter_map(line).collect()
}

impl Queue {
    /// Opens the folder `metrics/remote` in the data folder; at most `bytes_max` bytes are kept, the newest.
    ///
    /// Errors: `Io`, when files cannot be read or made.
    pub fn open(data: &Path, bytes_max: u64) -> Result<Queue, DiskError> {
        let folder = data.join("metrics").join("remote");
        fs::create_dir_all(&folder).map_err(DiskError::of("create the folder", &folder))?;
        let mut inner = Inner::default();
        for entry in fs::read_dir(&folder).map_err(DiskError::of("list the folder", &folder))? {
            let path = entry.map_err(DiskError::of("list the folder", &folder))?.path();
            let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u64>().ok());
            if let Some(number) = number {
                let len = fs::metadata(&path).map_err(DiskError::of("look at", &path))?.len();
                inner.segments.insert(number, len);
            }
        }
        if let Some(last) = inner.segments.keys().next_back().copied() {
            inner.number = last;
            let path = segment_path(&folder, last);
            let bytes = fs::read(&path).map_err(DiskError::of("read", &path))?;
            let (end, samples) = reader::good_part(&bytes);
            // A torn end belongs to a row that nobody was told of.
            inner.segments.insert(last, end);
            inner.samples = samples;
        }
        let path = folder.join(POSITIONS);
        match fs::read_to_string(&path) {
            Ok(text) => inner.positions = read_positions(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(DiskError::of("read", &path)(error)),
        }
        let known = inner.positions.values().map(|position| position.samples).max().unwrap_or(0);
        inner.samples = inner.samples.max(known);
        inner.saved = inner.positions.clone();
        Ok(Queue { folder, bytes_max, is_on: AtomicBool::new(false), inner: Mutex::new(inner) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no thread panics while it holds the queue")
    }

    /// Returns whether anybody reads.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Says who reads. One that is new begins at the end; what is kept for those that are gone is let go.
    pub fn set_readers(&self, names: &[String]) {
        let mut inner = self.inner();
        let end = inner.end();
        inner.positions.retain(|name, _| names.contains(name));
        for name in names {
            inner.positions.entry(name.clone()).or_insert(end);
        }
        self.is_on.store(!names.is_empty(), Ordering::Relaxed);
    }

    /// Returns where a reader goes on, and where the queue ends.
    pub fn position(&self, name: &str) -> (Position, Position) {
        let inner = self.inner();
        let end = inner.end();
        (inner.positions.get(name).copied().unwrap_or(end), end)
    }

    /// Returns how many samples the queue has taken in its life.
    pub fn samples(&self) -> u64 {
        self.inner().samples
    }

    /// Notes how far a reader has come.
    pub fn settle(&self, name: &str, position: Position) {
        if let Some(own) = self.inner().positions.get_mut(name) {
            *own = position;
        }
    }

    /// Takes what a row brought, without the cells that are not new. Nobody waits for the disk.
    ///
    /// Errors: when it cannot be written; then these samples are missing for every reader, which counts them.
    pub fn append(
        &self,
        store: &Store,
        row: &Row,
        left_out: &[(u32, LeftOut)],
        exemplars: &[(SeriesRef, Exemplar)],
    ) -> io::Result<()> {
        let places: Vec<u32> = left_out.iter().map(|(place, _)| *place).collect();
        let count = row.cells.len().saturating_sub(places.len());
        if count == 0 {
            return Ok(());
        }
        let mut inner = self.inner();
        let done = self.try_append(&mut inner, store, row, &places, exemplars, count);
        inner.samples += count as u64;
        if done.is_err() {
            // What the segment names is not certain any more.
            inner.file = None;
        }
        done
    }

    fn try_append(
        &self,
        inner: &mut Inner,
        store: &Store,
        row: &Row,
        left_out: &[u32],
        exemplars: &[(SeriesRef, Exemplar)],
        count: usize,
    ) -> io::Result<()> {
        let len = inner.segments.get(&inner.number).copied().unwrap_or(0);
        let file = match &inner.file {
            Some(file) if len < SEGMENT_BYTES_MAX => file.clone(),
            _ => self.begin_segment(inner)?,
        };
        let mut unnamed = Vec::new();
        for series in row.cells.iter().map(|cell| cell.series).chain(exemplars.iter().map(|(series, _)| *series)) {
            if inner.named.insert(series.0)
                && let Some(labels) = store.labels(series)
            {
                unnamed.push((series.0, labels));
            }
        }
        let record = record::write(&unnamed, row, left_out, exemplars);
        let packed = snap::raw::Encoder::new().compress_vec(&record).map_err(io::Error::other)?;
        let mut frame = Vec::with_capacity(packed.len() + HEAD_BYTES);
        frame.extend_from_slice(&u32::try_from(packed.len()).map_err(io::Error::other)?.to_le_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&inner.samples.to_le_bytes());
        frame.extend_from_slice(&(count as u32).to_le_bytes());
        frame.extend_from_slice(&packed);
        let checksum = crc32fast::hash(&frame[8..]);
        frame[4..8].copy_from_slice(&checksum.to_le_bytes());
        let len = inner.segments[&inner.number];
        file.write_all_at(&frame, len)?;
        if !inner.unsynced.iter().any(|own| Arc::ptr_eq(own, &file)) {
            inner.unsynced.push(file);
        }
        inner.segments.insert(inner.number, len + frame.len() as u64);
        self.bound(inner);
        Ok(())
    }

    fn begin_segment(&self, inner: &mut Inner) -> io::Result<Arc<File>> {
        let number = inner.number + 1;
        let file = File::options().read(true).write(true).create(true).truncate(true).open(segment_path(&self.folder, number))?;
        file.write_all_at(MARK, 0)?;
        let file = Arc::new(file);
        inner.number = number;
        inner.segments.insert(number, MARK.len() as u64);
        inner.named.clear();
        inner.file = Some(file.clone());
        Ok(file)
    }

    /// Lets the oldest segments go, whoever has not read them.
    fn bound(&self, inner: &mut Inner) {
        let mut total: u64 = inner.segments.values().sum();
        while total > self.bytes_max && inner.segments.len() > 1 {
            let Some((number, len)) = inner.segments.pop_first() else { return };
            total -= len;
            self.delete(number);
        }
    }

    fn delete(&self, number: u64) {
        if let Err(error) = fs::remove_file(segment_path(&self.folder, number)) {
            warn!(%error, number, "a segment of the queue to other servers cannot be deleted");
        }
    }

    /// Makes the queue safe on the disk, notes how far its readers are, and deletes what all have read. To be called each second.
    ///
    /// Errors: `Io`; the next call tries again.
    pub fn save(&self) -> Result<(), DiskError> {
        let (unsynced, positions) = {
            let mut inner = self.inner();
            let changed = inner.positions != inner.saved;
            (std::mem::take(&mut inner.unsynced), changed.then(|| inner.positions.clone()))
        };
        for (index, file) in unsynced.iter().enumerate() {
            if let Err(cause) = file.sync_data() {
                self.inner().unsynced.extend(unsynced[index..].iter().cloned());
                return Err(DiskError::of("sync", &self.folder)(cause));
            }
        }
        let Some(positions) = positions else { return Ok(()) };
        let line = |(name, at): (&String, &Position)| format!("{} {} {}\t{name}\n", at.segment, at.offset, at.samples);
        let text: String = positions.iter().map(line).collect();
        write_whole(&self.folder.join(POSITIONS), |file| io::Write::write_all(file, text.as_bytes()))?;
        let mut inner = self.inner();
        inner.saved = positions;
        // What is read is let go once that is noted on the disk. Without readers nothing is kept.
        let needed = inner.saved.values().map(|at| at.segment).min().unwrap_or(u64::MAX);
        let read: Vec<u64> =
            inner.segments.range(..needed).map(|(number, _)| *number).filter(|own| *own != inner.number).collect();
        for number in read {
            inner.segments.remove(&number);
            self.delete(number);
        }
        Ok(())
    }
}

impl Inner {
    fn end(&self) -> Position {
        let offset = self.segments.get(&self.number).copied().unwrap_or(0);
        Position { segment: self.number, offset, samples: self.samples }
    }
}
