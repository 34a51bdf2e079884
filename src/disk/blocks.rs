//! The files of blocks.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tocsin_core::store::{BlockError, BlockId, Cut, Merge, MergeError, ReadAt, Store, TURNS};
use tocsin_core::time::{Span, Timestamp};
use tracing::{debug, info};

use super::files::{DAMAGED_SUFFIX, UNFINISHED_SUFFIX, keep_aside, kept_aside, remove, sync_folder, write_whole};
use super::recovery::{RecoveryReport, report_damage};
use super::{DiskError, DiskOptions};

/// A cut is made so often.
const CUT_EVERY: Span = Span::from_mins(1);

/// So many block files are kept open.
const OPEN_FILES_MAX: usize = 64;

pub(super) struct Blocks {
    files: Arc<OpenFiles>,
    /// The number of the next cut.
    pub next: u64,
    /// When the last cut was.
    cut_at: Option<Timestamp>,
    /// When the last checkpoint was written, or the first maintenance was.
    pub log_since: Option<Timestamp>,
}

/// The block files that were read last.
struct OpenFiles {
    folder: PathBuf,
    open: Mutex<VecDeque<(BlockId, Arc<File>)>>,
}

impl OpenFiles {
    fn path(&self, id: BlockId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    fn list(&self) -> std::sync::MutexGuard<'_, VecDeque<(BlockId, Arc<File>)>> {
        self.open.lock().expect("no thread panics while it holds the open files")
    }

    fn get(&self, id: BlockId) -> io::Result<Arc<File>> {
        let mut open = self.list();
        let file = match open.iter().position(|(own, _)| *own == id) {
            Some(place) => open.remove(place).expect("the place was found above").1,
            None => Arc::new(File::open(self.path(id))?),
        };
        open.push_front((id, file.clone()));
        open.truncate(OPEN_FILES_MAX);
        Ok(file)
    }

    fn delete<'a>(&self, ids: impl IntoIterator<Item = &'a BlockId>) -> Result<(), DiskError> {
        let mut is_changed = false;
        for id in ids {
            remove(&self.path(*id))?;
            is_changed = true;
            // A reader that opens it in between would keep its room on the disk.
            self.forget(*id);
        }
        // Whoever lets go of tombstones next counts on it.
        if is_changed { sync_folder(&self.folder) } else { Ok(()) }
    }

    fn forget(&self, id: BlockId) {
        self.list().retain(|(own, _)| *own != id);
    }
}

fn reader(files: &Arc<OpenFiles>, id: BlockId) -> ReadAt {
    let files = files.clone();
    Box::new(move |at, out| files.get(id)?.read_exact_at(out, at))
}

/// The files of a folder of blocks.
#[derive(Default)]
pub(super) struct Listed {
    /// What replaces others comes before them.
    pub ids: Vec<BlockId>,
    pub unfinished: Vec<PathBuf>,
}

/// Lists a folder of blocks; files of other names are none of ours.
pub(super) fn list(folder: &Path) -> Result<Listed, DiskError> {
    let mut listed = Listed::default();
    for entry in fs::read_dir(folder).map_err(DiskError::of("list the folder", folder))? {
        let path = entry.map_err(DiskError::of("list the folder", folder))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.ends_with(UNFINISHED_SUFFIX) {
            listed.unfinished.push(path);
        } else if let Some(id) = BlockId::parse(name) {
            listed.ids.push(id);
        }
    }
    listed.ids.sort_unstable_by_key(|id| (id.first, Reverse(id.last), Reverse(id.revision)));
    Ok(listed)
}

/// Returns the blocks that are kept aside in a folder, damaged: they may be mended and put back.
pub(super) fn absent(folder: &Path) -> Result<Vec<BlockId>, DiskError> {
    let id = |path: PathBuf| BlockId::parse(path.file_name()?.to_str()?.strip_suffix(DAMAGED_SUFFIX)?);
    Ok(kept_aside(folder)?.into_iter().filter_map(id).collect())
}

/// Returns how to read an open block file.
pub(super) fn file_reader(file: File) -> ReadAt {
    Box::new(move |at, out| file.read_exact_at(out, at))
}

impl Blocks {
    /// Gives the store the blocks in a folder. Damaged ones are reported and kept aside; those that a merged block replaces are deleted.
    pub fn open(folder: &Path, store: &Store, damaged_max: usize, report: &mut RecoveryReport) -> Result<Blocks, DiskError> {
        fs::create_dir_all(folder).map_err(DiskError::of("create the folder", folder))?;
        let Listed { ids, unfinished } = list(folder)?;
        for path in unfinished {
            fs::remove_file(&path).map_err(DiskError::of("delete", &path))?;
        }
        let files = Arc::new(OpenFiles { folder: folder.to_owned(), open: Mutex::default() });
        let mut blocks = Blocks { files, next: 1, cut_at: None, log_since: None };
        let mut attached: Vec<BlockId> = Vec::new();
        for id in ids.iter().copied() {
            if attached.iter().any(|own| own.replaces(id)) {
                info!(block = %id, "block deleted, for it has been merged with others");
                blocks.delete([&id])?;
                continue;
            }
            let path = blocks.files.path(id);
            let len = fs::metadata(&path).map_err(DiskError::of("read", &path))?.len();
            match store.attach(id, len, reader(&blocks.files, id)) {
                Ok(()) => attached.push(id),
                Err(BlockError::Damaged(damage)) => {
                    report_damage(report, &path, 0, damage.to_string());
                    blocks.files.forget(id);
                }
                Err(BlockError::Io(cause)) => return Err(DiskError::of("read", &path)(cause)),
            }
        }
        report.blocks = attached.len();
        keep_aside(folder, report.damage.iter().map(|damage| damage.file.as_path()), damaged_max)?;
        let absent = absent(folder)?;
        // A number that tombstones speak of is given to no new block, nor that of one that may be put back.
        let next = ids.iter().chain(&absent).map(|id| id.last + 1).max().unwrap_or(1);
        blocks.next = next.max(store.cuts_from());
        store.set_absent(absent);
        Ok(blocks)
    }

    /// Moves the chunks that end before an instant from memory to blocks, of the pages whose turn has come since the last cut; returns
    /// how many blocks that makes. `sync` makes the log of their rows last, before a block does.
    pub fn cut(
        &mut self,
        store: &Store,
        now: Timestamp,
        options: &DiskOptions,
        sync: &dyn Fn() -> Result<(), DiskError>,
    ) -> Result<usize, DiskError> {
        let period = options.cut_period.0.max(1);
        // The first cut after a start has the turns of a minute.
        let since = self.cut_at.map_or(CUT_EVERY, |at| now - at);
        let turn = |at: Timestamp| (i128::from(at.0.rem_euclid(period)) * i128::from(TURNS) / i128::from(period)) as u32;
        let cuts = match (turn(now - since), turn(now)) {
            _ if since.0 < 0 || since.0 >= period => vec![Cut::of_all()],
            (from, to) if from <= to => vec![Cut::of_turns(from..to)],
            (from, to) => vec![Cut::of_turns(from..TURNS), Cut::of_turns(0..to)],
        };
        let mut count = 0;
        for mut cut in cuts {
            while let Some(draft) = store.draft(now - options.memory_span, options.block_bytes_max, &mut cut) {
                let id = BlockId::of_cut(self.next);
                let path = self.files.path(id);
                self.next += 1;
                sync()?;
                write_whole(&path, |out| out.write_all(draft.bytes()))?;
                debug!(block = %id, bytes = draft.bytes().len(), "block written");
                if let Err(cause) = store.commit(&draft, id, reader(&self.files, id)) {
                    self.delete([&id])?;
                    return Err(DiskError::Block { path, cause });
                }
                count += 1;
            }
        }
        self.cut_at = Some(now);
        Ok(count)
    }

    /// Deletes blocks that the store has given up.
    pub fn delete<'a>(&self, ids: impl IntoIterator<Item = &'a BlockId>) -> Result<(), DiskError> {
        self.files.delete(ids)
    }

    /// Returns what merging needs, so that cutting can go on meanwhile.
    pub fn merger(&self) -> Merger {
        Merger { files: self.files.clone() }
    }
}

/// Merges block files.
pub(super) struct Merger {
    files: Arc<OpenFiles>,
}

impl Merger {
    /// Writes the merged block aside and gives it its name; returns its length.
    ///
    /// Errors: those of the files, and when `stops` says that there is no time for it.
    pub fn write(&self, merge: &Merge, stops: &AtomicBool, pause: &mut dyn FnMut()) -> Result<u64, DiskError> {
        let path = self.files.path(merge.id());
        let mut unread = None;
        let done = write_whole(&path, |out| {
            let mut write = |bytes: &[u8]| {
                if stops.load(Ordering::Acquire) {
                    return Err(io::Error::other("the service stops"));
                }
                out.write_all(bytes)
            };
            merge.write(&mut write, pause).map(drop).map_err(|error| match error {
                MergeError::Write(cause) => cause,
                MergeError::Read { id, cause } => {
                    unread = Some((id, cause));
                    io::Error::other("a block that is merged cannot be read")
                }
            })
        });
        match unread {
            Some((id, cause)) => Err(DiskError::Block { path: self.files.path(id), cause }),
            None => done,
        }
    }

    /// Puts a merged block, which `write` wrote, in the place of those that it was made of; returns these.
    pub fn commit(&self, store: &Store, merge: &Merge, len: u64) -> Result<Option<Vec<BlockId>>, DiskError> {
        let (id, path) = (merge.id(), self.files.path(merge.id()));
        match store.commit_merge(merge, len, reader(&self.files, id)) {
            Ok(Some(gone)) => Ok(Some(gone)),
            Ok(None) => self.delete([&id]).map(|()| None),
            Err(cause) => {
                merge.give_up();
                self.delete([&id])?;
                Err(DiskError::Block { path, cause })
            }
        }
    }

    /// Deletes blocks that a merged one has replaced.
    pub fn delete<'a>(&self, ids: impl IntoIterator<Item = &'a BlockId>) -> Result<(), DiskError> {
        self.files.delete(ids)
    }
}
