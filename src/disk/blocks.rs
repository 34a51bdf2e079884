//! The files of blocks.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tocsin_core::store::{BlockError, Cut, ReadAt, Store};
use tocsin_core::time::Timestamp;
use tracing::info;

use super::DiskError;
use super::files::{UNFINISHED_SUFFIX, keep_aside, write_whole};
use super::recovery::{RecoveryReport, report_damage};

/// So many block files are kept open.
const OPEN_FILES_MAX: usize = 64;

pub(super) struct Blocks {
    files: Arc<OpenFiles>,
    /// The identifier of the next block.
    next: u64,
    cut_before: Timestamp,
}

/// The block files that were read last.
struct OpenFiles {
    folder: PathBuf,
    open: Mutex<VecDeque<(u64, Arc<File>)>>,
}

impl OpenFiles {
    fn path(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{id:08}"))
    }

    fn list(&self) -> std::sync::MutexGuard<'_, VecDeque<(u64, Arc<File>)>> {
        self.open.lock().expect("no thread panics while it holds the open files")
    }

    fn get(&self, id: u64) -> io::Result<Arc<File>> {
        let mut open = self.list();
        let file = match open.iter().position(|(own, _)| *own == id) {
            Some(place) => open.remove(place).expect("the place was found above").1,
            None => Arc::new(File::open(self.path(id))?),
        };
        open.push_front((id, file.clone()));
        open.truncate(OPEN_FILES_MAX);
        Ok(file)
    }

    fn forget(&self, id: u64) {
        self.list().retain(|(own, _)| *own != id);
    }
}

fn reader(files: &Arc<OpenFiles>, id: u64) -> ReadAt {
    let files = files.clone();
    Box::new(move |at, out| files.get(id)?.read_exact_at(out, at))
}

impl Blocks {
    /// Gives the store the blocks in a folder. Damaged ones are reported and kept aside.
    pub fn open(folder: &Path, store: &Store, damaged_max: usize, report: &mut RecoveryReport) -> Result<Blocks, DiskError> {
        fs::create_dir_all(folder).map_err(DiskError::of("create the folder", folder))?;
        let mut ids = Vec::new();
        for entry in fs::read_dir(folder).map_err(DiskError::of("list the folder", folder))? {
            let path = entry.map_err(DiskError::of("list the folder", folder))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.ends_with(UNFINISHED_SUFFIX) {
                fs::remove_file(&path).map_err(DiskError::of("delete", &path))?;
            } else if let Ok(id) = name.parse::<u64>() {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        let files = Arc::new(OpenFiles { folder: folder.to_owned(), open: Mutex::default() });
        for id in &ids {
            let path = files.path(*id);
            let len = fs::metadata(&path).map_err(DiskError::of("read", &path))?.len();
            match store.attach(*id, len, reader(&files, *id)) {
                Ok(()) => report.blocks += 1,
                Err(BlockError::Damaged(damage)) => {
                    report_damage(report, &path, 0, damage.to_string());
                    files.forget(*id);
                }
                Err(BlockError::Io(cause)) => return Err(DiskError::of("read", &path)(cause)),
            }
        }
        keep_aside(folder, report.damage.iter().map(|damage| damage.file.as_path()), damaged_max)?;
        Ok(Blocks { files, next: ids.last().map_or(1, |last| last + 1), cut_before: Timestamp::MIN })
    }

    /// Returns the instant before which all chunks have moved to blocks.
    pub fn cut_before(&self) -> Timestamp {
        self.cut_before
    }

    /// Moves the chunks that end before an instant from memory to blocks; returns how many blocks that makes.
    pub fn cut(&mut self, store: &Store, before: Timestamp, bytes_max: usize) -> Result<usize, DiskError> {
        let (mut cut, mut count) = (Cut::default(), 0);
        while let Some(draft) = store.draft(before, bytes_max, &mut cut) {
            let (id, path) = (self.next, self.files.path(self.next));
            self.next += 1;
            write_whole(&path, |out| out.write_all(draft.bytes()))?;
            info!(block = id, bytes = draft.bytes().len(), %before, "block written");
            if let Err(cause) = store.commit(&draft, id, reader(&self.files, id)) {
                self.delete([&id])?;
                return Err(DiskError::Block { path, cause });
            }
            count += 1;
        }
        self.cut_before = before;
        Ok(count)
    }

    /// Deletes blocks that the store has given up.
    pub fn delete<'a>(&self, ids: impl IntoIterator<Item = &'a u64>) -> Result<(), DiskError> {
        for id in ids {
            self.files.forget(*id);
            let path = self.files.path(*id);
            match fs::remove_file(&path) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(DiskError::of("delete", &path)(cause)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}
