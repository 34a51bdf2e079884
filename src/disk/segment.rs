//! Segments and checkpoints: a mark, then records, each behind its length and checksum.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use tocsin_core::store::{RECORD_BYTES_MAX, Store};

use super::DiskError;
use super::files::{DAMAGED_SUFFIX, UNFINISHED_SUFFIX, write_whole};

/// What every file begins with: its kind and version.
pub(super) const MARK: &[u8; 8] = b"TOCSWAL2";
/// Length and checksum, both little-endian.
pub(super) const FRAME_HEAD_BYTES: usize = 8;

const CHECKPOINT_PREFIX: &str = "checkpoint-";

/// Appends a record in its frame.
pub(super) fn put_frame(out: &mut Vec<u8>, record: &[u8]) {
    out.extend_from_slice(&(record.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(record).to_le_bytes());
    out.extend_from_slice(record);
}

/// Returns the path of a segment, of the log or of the queue to other servers.
pub(super) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}"))
}

fn checkpoint_path(wal: &Path, covered: u64) -> PathBuf {
    wal.join(format!("{CHECKPOINT_PREFIX}{covered:08}"))
}

/// The files of a log, each list in order of numbers.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub segments: Vec<(u64, PathBuf)>,
    pub checkpoints: Vec<(u64, PathBuf)>,
    pub damaged: Vec<PathBuf>,
    pub unfinished: Vec<PathBuf>,
}

/// Returns the log's files in a folder; files of other names are none of ours.
pub(super) fn list(wal: &Path) -> Result<Files, DiskError> {
    let mut files = Files::default();
    for entry in fs::read_dir(wal).map_err(DiskError::of("list the folder", wal))? {
        let path = entry.map_err(DiskError::of("list the folder", wal))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.ends_with(DAMAGED_SUFFIX) {
            files.damaged.push(path);
        } else if name.ends_with(UNFINISHED_SUFFIX) {
            files.unfinished.push(path);
        } else if let Some(number) = name.strip_prefix(CHECKPOINT_PREFIX).and_then(|number| number.parse().ok()) {
            files.checkpoints.push((number, path));
        } else if let Ok(number) = name.parse() {
            files.segments.push((number, path));
        }
    }
    files.segments.sort();
    files.checkpoints.sort();
    files.damaged.sort();
    Ok(files)
}

/// How a file of records ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    /// The last record is incomplete, as after a kill or a loss of power.
    Torn,
    /// Something is wrong that an interrupted write does not explain.
    Damaged(String),
}

/// Hands each record to `take`, up to the first bad one; returns how the file ended and where its good part does.
///
/// Errors: when the file cannot be read. A record that `take` refuses, with a reason, is damage.
pub(super) fn read_records(path: &Path, mut take: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(Ending, u64), DiskError> {
    let error = |cause| DiskError::of("read", path)(cause);
    let file = File::open(path).map_err(error)?;
    let len = file.metadata().map_err(error)?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut mark = Vec::new();
    reader.by_ref().take(MARK.len() as u64).read_to_end(&mut mark).map_err(error)?;
    if mark != MARK {
        let front = mark.iter().zip(MARK).take_while(|(left, right)| left == right).count();
        let torn = mark[front..].iter().all(|byte| *byte == 0) && is_zero(&mut reader).map_err(error)?;
        return Ok((if torn { Ending::Torn } else { Ending::Damaged("the file does not begin as a log does".to_owned()) }, 0));
    }
    let (mut good, mut record) = (MARK.len() as u64, Vec::new());
    while good < len {
        let left = len - good;
        let mut head = [0; FRAME_HEAD_BYTES];
        if left < FRAME_HEAD_BYTES as u64 {
            return Ok((Ending::Torn, good));
        }
        reader.read_exact(&mut head).map_err(error)?;
        let [length, checksum] = [&head[..4], &head[4..]].map(|part| u32::from_le_bytes(part.try_into().expect("four bytes")));
        let behind = left - FRAME_HEAD_BYTES as u64;
        if length as usize > RECORD_BYTES_MAX || length == 0 {
            // A file that grew before its bytes were written ends in zeros.
            let zeros = length == 0 && checksum == 0 && is_zero(&mut reader).map_err(error)?;
            let ending = if zeros { Ending::Torn } else { Ending::Damaged(format!("a record claims {length} bytes")) };
            return Ok((ending, good));
        }
        if u64::from(length) > behind {
            return Ok((Ending::Torn, good));
        }
        record.resize(length as usize, 0);
        reader.read_exact(&mut record).map_err(error)?;
        if crc32fast::hash(&record) != checksum {
            let last = u64::from(length) == behind || is_zero(&mut reader).map_err(error)?;
            let ending = if last { Ending::Torn } else { Ending::Damaged("a record's checksum is wrong".to_owned()) };
            return Ok((ending, good));
        }
        if let Err(reason) = take(&record) {
            return Ok((Ending::Damaged(reason), good));
        }
        good += (FRAME_HEAD_BYTES + record.len()) as u64;
    }
    Ok((Ending::Whole, good))
}

/// Returns whether nothing but zeros follows.
fn is_zero(reader: &mut impl Read) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(true),
            count if buffer[..count].iter().all(|byte| *byte == 0) => {}
            _ => return Ok(false),
        }
    }
}

/// Writes the checkpoint that replaces the segments up to `covered`; returns its length in bytes.
pub(super) fn write_checkpoint(wal: &Path, covered: u64, store: &Store) -> Result<u64, DiskError> {
    write_whole(&checkpoint_path(wal, covered), |out| {
        out.write_all(MARK)?;
        let mut frame = Vec::new();
        store.checkpoint(&mut |record| {
            frame.clear();
            put_frame(&mut frame, record);
            out.write_all(&frame)
        })
    })
}

/// Deletes what a checkpoint replaces.
pub(super) fn delete_covered(wal: &Path, covered: u64) -> Result<(), DiskError> {
    let files = list(wal)?;
    let segments = files.segments.into_iter().filter(|(number, _)| *number <= covered);
    let checkpoints = files.checkpoints.into_iter().filter(|(number, _)| *number < covered);
    for (_, path) in segments.chain(checkpoints) {
        fs::remove_file(&path).map_err(DiskError::of("delete", &path))?;
    }
    Ok(())
}
