//! Deleting, so that it lasts: a file of tombstones speaks for the blocks, records in the log for memory.

use std::fs;
use std::io::Write;
use std::path::Path;

use tocsin_core::store::{Deletion, Store, TOMBSTONES_MAX};

use super::files::{DAMAGED_SUFFIX, write_whole};
use super::recovery::{RecoveryReport, report_damage};
use super::segment::{Ending, MARK, put_frame, read_records};
use super::{Disk, DiskError};

pub(super) const TOMBSTONES: &str = "tombstones";

/// Gives the store the tombstones of a folder. A damaged file is reported; what can be read of it counts.
pub(super) fn read(folder: &Path, store: &Store, report: &mut RecoveryReport) -> Result<(), DiskError> {
    let path = folder.join(TOMBSTONES);
    if !path.exists() {
        return Ok(());
    }
    let (ending, good) = read_records(&path, |record| store.restore_tombstones(record).map_err(|damage| damage.to_string()))?;
    let reason = match ending {
        Ending::Whole => return Ok(()),
        Ending::Torn => "the file is cut short".to_owned(),
        Ending::Damaged(reason) => reason,
    };
    report_damage(report, &path, good, reason);
    Ok(())
}

/// As `read`; keeps a damaged file aside.
pub(super) fn open(folder: &Path, store: &Store, report: &mut RecoveryReport) -> Result<(), DiskError> {
    read(folder, store, report)?;
    let path = folder.join(TOMBSTONES);
    if report.damage.iter().any(|damage| damage.file == path) {
        let aside = folder.join(format!("{TOMBSTONES}{DAMAGED_SUFFIX}"));
        if aside.exists() {
            fs::remove_file(&aside).map_err(DiskError::of("delete", &aside))?;
        }
        // Under both names until what can be read stands whole in its place: no start may find none, and show what was deleted.
        fs::hard_link(&path, &aside).map_err(DiskError::of("link", &path))?;
        write(folder, store)?;
    }
    Ok(())
}

/// Notes the tombstones of the store; they last once this returns.
fn write(folder: &Path, store: &Store) -> Result<(), DiskError> {
    let mut bytes = MARK.to_vec();
    store.tombstone_records().iter().for_each(|record| put_frame(&mut bytes, record));
    write_whole(&folder.join(TOMBSTONES), |out| out.write_all(&bytes)).map(drop)
}

/// Lets go of the tombstones of which nothing lies in blocks any more. The caller is the only one at maintenance.
pub(super) fn settle(folder: &Path, store: &Store) -> Result<(), DiskError> {
    if store.drop_tombstones() { write(folder, store) } else { Ok(()) }
}

impl Disk {
    /// Deletes samples; once this returns, it lasts and everybody sees it. Returns how many memory held. The room on the disk is free once
    /// the blocks have been written anew.
    ///
    /// Errors: `Suspended` and `TooManyDeletions`, when nothing is changed; `Io`, when it may have happened in part: try again.
    pub fn delete(&self, store: &Store, deletion: &Deletion) -> Result<u64, DiskError> {
        // No cut is under way meanwhile, so memory and blocks hold everything between them.
        let blocks = self.blocks();
        if self.is_suspended() {
            return Err(DiskError::Suspended);
        }
        if store.tombstones_len() >= TOMBSTONES_MAX {
            return Err(DiskError::TooManyDeletions { max: TOMBSTONES_MAX });
        }
        if let Some(number) = store.hide(deletion, blocks.next)
            && let Err(error) = write(&self.folder, store)
        {
            store.unhide(number);
            return Err(error);
        }
        let wal = self.folder.join("wal");
        let gone = store.delete(deletion, &|record| self.write(record)).map_err(DiskError::of("write to the log in", &wal))?;
        self.sync().map_err(DiskError::of("sync the log in", &wal))?;
        Ok(gone)
    }

    /// Writes every block anew of which something was deleted, at full speed; returns how many those were.
    ///
    /// Errors: as `merge`.
    pub fn clean(&self, store: &Store) -> Result<usize, DiskError> {
        let _merging = self.merging();
        self.rewrite(store, usize::MAX, &mut || ())
    }

    /// The caller holds `merging`.
    pub(super) fn rewrite(&self, store: &Store, max: usize, pause: &mut dyn FnMut()) -> Result<usize, DiskError> {
        let mut count = 0;
        while count < max
            && store.tombstones_len() > 0
            && !self.leaves_room.load(std::sync::atomic::Ordering::Acquire)
            && let Some(merge) = store.rewrite_due()
        {
            self.write_merged(store, &merge, pause)?;
            count += 1;
        }
        let _blocks = self.blocks();
        settle(&self.folder, store)?;
        Ok(count)
    }
}
