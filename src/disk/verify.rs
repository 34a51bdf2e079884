//! Verifying: every byte of a data folder's samples is read and held against its checksums. Nothing is written, and no lock is needed: a
//! file that a running service deletes meanwhile is no fault.

use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tocsin_core::store::{check_block, check_record, check_tombstones};

use super::blocks::file_reader;
use super::files::DAMAGED_SUFFIX;
use super::segment::{Ending, read_records};
use super::{DiskError, blocks, delete, horizon, queue, segment, steady};

const OF_BLOCK: &str = "put the same block of a backup in its place, or move it away, while the service is stopped; without it its samples \
                        are missing, and with it queries over them fail";
const OF_LOG: &str = "take a snapshot of the running service now: it has the samples in memory, and writes them anew; after a stop they are \
                      lost, unless they are in blocks";
const OF_TOMBSTONES: &str = "delete again what was deleted lately";
const OF_HORIZON: &str = "delete the file while the service is stopped; the oldest rows may then be there in part";
const OF_CLOCK: &str = "delete the file while the service is stopped; the newest sample stands in for it";
const OF_QUEUE: &str = "what stands behind it is not sent to other servers; they miss it";

/// Something that is wrong in a file, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    pub file: PathBuf,
    pub offset: u64,
    pub what: String,
    pub remedy: &'static str,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: byte {}: {}\n  {}", self.file.display(), self.offset, self.what, self.remedy)
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub blocks: usize,
    /// Samples in blocks.
    pub samples: u64,
    /// Files of the log and of the queue to other servers.
    pub logs: usize,
    pub bytes: u64,
    pub faults: Vec<FileFault>,
    /// What is no fault, and worth a look.
    pub notes: Vec<String>,
}

/// Reads everything below the folder `metrics` of a data folder, or of a snapshot.
///
/// Errors: `Io` when the folder is not there, or a file cannot be opened or read.
pub fn verify(data: &Path) -> Result<Verdict, DiskError> {
    let folder = data.join("metrics");
    fs::read_dir(&folder).map_err(DiskError::of("list the folder", &folder))?;
    let mut verdict = Verdict::default();
    verdict.read_blocks(&folder.join("blocks"))?;
    verdict.read_log(&folder.join("wal"))?;
    verdict.read_small(&folder)?;
    verdict.read_queue(&folder.join("remote"))?;
    Ok(verdict)
}

/// Opens a file; None when it is gone.
fn open(path: &Path) -> Result<Option<(File, u64)>, DiskError> {
    match File::open(path) {
        Ok(file) => {
            let len = file.metadata().map_err(DiskError::of("read", path))?.len();
            Ok(Some((file, len)))
        }
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(DiskError::of("open", path)(cause)),
    }
}

impl Verdict {
    fn add(&mut self, file: &Path, offset: u64, what: impl Into<String>, remedy: &'static str) {
        self.faults.push(FileFault { file: file.to_owned(), offset, what: what.into(), remedy });
    }

    fn note_damaged(&mut self, folder: &Path) -> Result<(), DiskError> {
        for entry in fs::read_dir(folder).map_err(DiskError::of("list the folder", folder))? {
            let path = entry.map_err(DiskError::of("list the folder", folder))?.path();
            if path.to_str().is_some_and(|path| path.ends_with(DAMAGED_SUFFIX)) {
                self.notes
                    .push(format!("{}: found damaged by a start and kept aside; delete it once nobody needs it", path.display()));
            }
        }
        Ok(())
    }

    fn read_blocks(&mut self, folder: &Path) -> Result<(), DiskError> {
        if !folder.exists() {
            return Ok(());
        }
        let listed = blocks::list(folder)?;
        for id in listed.ids {
            let path = folder.join(id.to_string());
            let Some((file, len)) = open(&path)? else { continue };
            let (samples, faults) = check_block(len, file_reader(file));
            faults.into_iter().for_each(|fault| self.add(&path, fault.offset, fault.what, OF_BLOCK));
            self.blocks += 1;
            self.samples += samples;
            self.bytes += len;
        }
        self.note_damaged(folder)
    }

    fn read_log(&mut self, wal: &Path) -> Result<(), DiskError> {
        if !wal.exists() {
            return Ok(());
        }
        let mut files = segment::list(wal)?;
        let covered = |files: &segment::Files| files.checkpoints.last().map_or(0, |(covered, _)| *covered);
        let gap = |files: &segment::Files| {
            let numbers: Vec<u64> = files.segments.iter().map(|(own, _)| *own).filter(|own| *own > covered(files)).collect();
            numbers.windows(2).find(|pair| pair[1] != pair[0] + 1).map(|pair| pair[0] + 1)
        };
        // A listing beside a service that begins and deletes segments may miss some; the next one does not miss the same.
        if gap(&files).is_some() {
            files = segment::list(wal)?;
        }
        if let Some(number) = gap(&files) {
            self.add(&segment::segment_path(wal, number), 0, "the segment is missing", OF_LOG);
        }
        let last = files.segments.last().map(|(number, _)| *number);
        let checkpoints = files.checkpoints.iter().map(|(_, path)| (path, false));
        let segments = files.segments.iter().map(|(number, path)| (path, Some(*number) == last));
        for (path, is_last) in checkpoints.chain(segments) {
            let Some((ending, good, len)) = records(path, check_record)? else { continue };
            self.logs += 1;
            self.bytes += len;
            match ending {
                Ending::Whole => {}
                Ending::Torn if is_last => {
                    self.notes.push(format!(
                        "{}: byte {good}: the last record is incomplete, as while it is written or after a kill",
                        path.display()
                    ));
                }
                Ending::Torn => self.add(path, good, "the file is cut short", OF_LOG),
                Ending::Damaged(reason) => self.add(path, good, reason, OF_LOG),
            }
        }
        self.note_damaged(wal)
    }

    fn read_small(&mut self, folder: &Path) -> Result<(), DiskError> {
        for name in [delete::TOMBSTONES, delete::UNDER_WAY] {
            let path = folder.join(name);
            if let Some((ending, good, len)) = records(&path, check_tombstones)? {
                self.bytes += len;
                if ending != Ending::Whole {
                    self.add(&path, good, "the file is damaged or cut short", OF_TOMBSTONES);
                }
            }
        }
        let path = folder.join(horizon::NAME);
        if path.exists() && horizon::read(folder)?.is_none() {
            self.add(&path, 0, "the file holds no instant", OF_HORIZON);
        }
        let path = folder.join(steady::NAME);
        if path.exists() && steady::read(folder)?.is_none() {
            self.add(&path, 0, "the file holds no instant", OF_CLOCK);
        }
        self.note_damaged(folder)
    }

    fn read_queue(&mut self, folder: &Path) -> Result<(), DiskError> {
        if !folder.exists() {
            return Ok(());
        }
        let files = segment::list(folder)?;
        for (place, (_, path)) in files.segments.iter().enumerate() {
            let bytes = match fs::read(path) {
                Ok(bytes) => bytes,
                Err(cause) if cause.kind() == ErrorKind::NotFound => continue,
                Err(cause) => return Err(DiskError::of("read", path)(cause)),
            };
            self.logs += 1;
            self.bytes += bytes.len() as u64;
            let good = queue::good_end(&bytes);
            // The last record of the last segment may be under way.
            if good < bytes.len() as u64 && place + 1 < files.segments.len() {
                self.add(path, good, "a record cannot be read", OF_QUEUE);
            }
        }
        Ok(())
    }
}

/// Reads a file of records; None when it is gone.
fn records(
    path: &Path,
    check: impl Fn(&[u8]) -> Result<(), tocsin_core::store::Damaged>,
) -> Result<Option<(Ending, u64, u64)>, DiskError> {
    match read_records(path, |record| check(record).map_err(|damage| damage.to_string())) {
        Ok((ending, good)) => Ok(Some((ending, good, fs::metadata(path).map_or(good, |found| found.len())))),
        Err(DiskError::Io { cause, .. }) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
