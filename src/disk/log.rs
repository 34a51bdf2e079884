//! The end of the log: the segment that is written to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::DiskError;
use super::segment::{FRAME_HEAD_BYTES, MARK, put_frame, segment_path};

pub(super) struct Log {
    wal: PathBuf,
    number: u64,
    file: Arc<File>,
    len: u64,
    segment_bytes_max: u64,
    /// Bytes written since the last checkpoint.
    grown: u64,
    /// Files with bytes that a loss of power would take; a folder is a file here.
    unsynced: Vec<Arc<File>>,
    suspended: bool,
    /// Since logging was suspended no checkpoint has been written: rows are in memory only.
    unsaved: bool,
    frame: Vec<u8>,
}

impl Log {
    /// Goes on with a segment whose good part ends at `len`, or makes it when `len` is zero.
    pub fn open(wal: &Path, number: u64, len: u64, grown: u64, segment_bytes_max: u64) -> Result<Log, DiskError> {
        let path = segment_path(wal, number);
        let file = if len == 0 {
            create(&path)
        } else {
            File::options().write(true).open(&path).and_then(|file| file.set_len(len).map(|()| file))
        };
        let file = Arc::new(file.map_err(DiskError::of("open", &path))?);
        let folder = Arc::new(File::open(wal).map_err(DiskError::of("open", wal))?);
        Ok(Log {
            wal: wal.to_owned(),
            number,
            len: len.max(MARK.len() as u64),
            segment_bytes_max,
            grown,
            unsynced: vec![folder, file.clone()],
            file,
            suspended: false,
            unsaved: false,
            frame: Vec::new(),
        })
    }

    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    pub fn suspend(&mut self) {
        (self.suspended, self.unsaved) = (true, true);
    }

    pub fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    /// Notes that a checkpoint holds what was not logged.
    pub fn note_saved(&mut self) {
        self.unsaved = self.suspended;
    }

    /// Returns the segment that is written to, and its length: up to there it holds whole records.
    pub fn end(&self) -> (u64, u64) {
        (self.number, self.len)
    }

    pub fn grown_bytes(&self) -> u64 {
        self.grown
    }

    /// Counts the log's growth from here on.
    pub fn forget_growth(&mut self) {
        self.grown = self.len;
    }

    pub fn take_unsynced(&mut self) -> Vec<Arc<File>> {
        std::mem::take(&mut self.unsynced)
    }

    pub fn write(&mut self, record: &[u8]) -> io::Result<()> {
        if self.suspended {
            return Err(io::Error::other("the log is suspended until a checkpoint can be written"));
        }
        let done = self.try_write(record);
        if done.is_err() {
            self.suspend();
            // Half a record must not stand in front of later ones. If cutting fails, the next start takes it for a torn tail, for
            // logging resumes in another segment.
            let _ = self.file.set_len(self.len);
        }
        done
    }

    fn try_write(&mut self, record: &[u8]) -> io::Result<()> {
        if self.len > MARK.len() as u64 && self.len + (FRAME_HEAD_BYTES + record.len()) as u64 > self.segment_bytes_max {
            self.rotate()?;
        }
        self.frame.clear();
        put_frame(&mut self.frame, record);
        self.file.write_all_at(&self.frame, self.len)?;
        self.len += self.frame.len() as u64;
        self.grown += self.frame.len() as u64;
        if !self.unsynced.iter().any(|file| Arc::ptr_eq(file, &self.file)) {
            self.unsynced.push(self.file.clone());
        }
        Ok(())
    }

    /// Begins the next segment.
    fn rotate(&mut self) -> io::Result<()> {
        let file = Arc::new(create(&segment_path(&self.wal, self.number + 1))?);
        self.unsynced.push(Arc::new(File::open(&self.wal)?));
        self.number += 1;
        self.file = file;
        self.len = MARK.len() as u64;
        Ok(())
    }

    /// Begins a segment for what a checkpoint that starts now may miss; logging resumes in it. Returns the last segment before it, and
    /// whether the log was suspended.
    pub fn begin_anew(&mut self) -> Result<(u64, bool), DiskError> {
        let was_suspended = self.suspended;
        let begun = if self.len > MARK.len() as u64 {
            self.rotate()
        } else if was_suspended {
            // Half a record may stand in it.
            create(&segment_path(&self.wal, self.number)).map(|file| self.file = Arc::new(file))
        } else {
            Ok(())
        };
        begun.map_err(DiskError::of("begin a segment in", &self.wal))?;
        self.suspended = false;
        Ok((self.number - 1, was_suspended))
    }
}

/// Makes a segment without records; one left by an attempt that failed is overwritten.
fn create(path: &Path) -> io::Result<File> {
    let file = File::create(path)?;
    file.write_all_at(MARK, 0)?;
    Ok(file)
}
