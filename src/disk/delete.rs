//! Deleting, so that it lasts: a file of tombstones speaks for the blocks, records in the log for memory.

use std::fs;
use std::io::Write;
use std::path::Path;

use tocsin_core::store::{Deletion, Store, TOMBSTONES_MAX};

use super::files::{DAMAGED_SUFFIX, sync_folder, write_whole};
use super::recovery::{RecoveryReport, report_damage};
use super::segment::{Ending, MARK, put_frame, read_records};
use super::{Disk, DiskError};

pub(super) const TOMBSTONES: &str = "tombstones";
/// A deletion that is under way: a start that finds it carries it out, so that none is there in part.
pub(super) const UNDER_WAY: &str = "deleting";
/// A deletion names so many series at once that no more rounds than these are needed.
const ROUNDS_MAX: usize = 64;

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

/// Returns the deletion that was under way when the process died.
pub(super) fn broken_off(folder: &Path, report: &mut RecoveryReport) -> Result<Option<Deletion>, DiskError> {
    let (path, mut found) = (folder.join(UNDER_WAY), None);
    if !path.exists() {
        return Ok(None);
    }
    let (ending, good) = read_records(&path, |record| {
        found = Some(Deletion::read(record).map_err(|damage| damage.to_string())?);
        Ok(())
    })?;
    if ending != Ending::Whole {
        report_damage(report, &path, good, "the file is damaged".to_owned());
    }
    Ok(found)
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
        let under_way = self.folder.join(UNDER_WAY);
        let mut bytes = MARK.to_vec();
        put_frame(&mut bytes, &deletion.record());
        write_whole(&under_way, |out| out.write_all(&bytes))?;
        let done = self.carry_out(store, deletion, blocks.next);
        // A start must not carry it out once more: it would take what comes from here on.
        fs::remove_file(&under_way).map_err(DiskError::of("delete", &under_way))?;
        sync_folder(&self.folder)?;
        done
    }

    /// Deletes as `delete` does, and once more what the deletion had no room to name, for as long as there is some: `again` finds it. Those
    /// that are gone are found no more.
    ///
    /// Errors: as `delete`; `NotAllFound`.
    pub fn delete_all(&self, store: &Store, first: &Deletion, again: impl Fn() -> Deletion) -> Result<(), DiskError> {
        self.delete(store, first)?;
        let mut is_cut = first.is_cut();
        for _ in 0..ROUNDS_MAX {
            if !is_cut {
                return Ok(());
            }
            let next = again();
            self.delete(store, &next)?;
            is_cut = next.is_cut();
        }
        if is_cut { Err(DiskError::NotAllFound) } else { Ok(()) }
    }

    fn carry_out(&self, store: &Store, deletion: &Deletion, before: u64) -> Result<u64, DiskError> {
        if let Some(number) = store.hide(deletion, before)
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

    /// Writes every block anew of which something was deleted; returns how many those were. `pause` is called behind each block that was
    /// looked at, and every hundred thousand samples or so.
    ///
    /// Errors: as `merge`.
    pub fn clean(&self, store: &Store, pause: &mut dyn FnMut()) -> Result<usize, DiskError> {
        let _merging = self.merging();
        self.rewrite(store, usize::MAX, pause)
    }

    /// The caller holds `merging`.
    pub(super) fn rewrite(&self, store: &Store, max: usize, pause: &mut dyn FnMut()) -> Result<usize, DiskError> {
        let mut count = 0;
        while count < max
            && store.tombstones_len() > 0
            && !self.is_held_back()
            && let Some(merge) = store.rewrite_due(pause)
        {
            count += usize::from(self.write_merged(store, &merge, pause)?);
        }
        let _blocks = self.blocks();
        settle(&self.folder, store)?;
        Ok(count)
    }
}
