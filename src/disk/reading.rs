//! Reading the folder of a service that is stopped, without changing anything in it.

use std::fs::File;
use std::path::Path;

use tocsin_core::store::{BlockError, BlockId, Store};

use super::blocks::{file_reader, list};
use super::recovery::{self, RecoveryReport, report_damage};
use super::{DiskError, delete, horizon, lock, segment};

/// A folder that is read; no service can start on it meanwhile.
pub struct Reading {
    pub report: RecoveryReport,
    _lock: File,
}

impl Reading {
    /// Fills the store, which must be new, with what the folder `metrics` in the data folder holds.
    ///
    /// Errors: `InUse` when a service has the folder; `Io` when it is not there or cannot be read. Damage is reported.
    pub fn open(data: &Path, store: &Store) -> Result<Reading, DiskError> {
        let folder = data.join("metrics");
        let lock = lock_existing(&folder)?;
        let mut report = RecoveryReport::default();
        attach(&folder, store, &mut report)?;
        let wal = folder.join("wal");
        if wal.exists() {
            recovery::read(&wal, segment::list(&wal)?, store, &mut report)?;
        }
        store.drop_doubles();
        if let Some(deletion) = delete::broken_off(&folder, &mut report)? {
            store.hide(&deletion, u64::MAX);
            store.delete(&deletion, &|_| Ok(())).map_err(DiskError::of("delete from", &folder))?;
        }
        Ok(Reading { report, _lock: lock })
    }
}

/// Locks a folder that must be there.
pub(super) fn lock_existing(folder: &Path) -> Result<File, DiskError> {
    // Whoever mistypes a folder's name should not get a new one.
    std::fs::read_dir(folder).map_err(DiskError::of("list the folder", folder))?;
    lock(&folder.join("lock"))
}

/// Gives the store the horizon, the tombstones and the blocks of a folder.
pub(super) fn attach(folder: &Path, store: &Store, report: &mut RecoveryReport) -> Result<(), DiskError> {
    if let Some(horizon) = horizon::read(folder)? {
        store.forget_before(horizon);
    }
    delete::read(folder, store, report)?;
    let blocks = folder.join("blocks");
    let mut attached: Vec<BlockId> = Vec::new();
    let ids = if blocks.exists() { list(&blocks)?.ids } else { Vec::new() };
    for id in ids {
        if attached.iter().any(|own| own.replaces(id)) {
            continue;
        }
        let path = blocks.join(id.to_string());
        let file = match File::open(&path) {
            Ok(file) => file,
            // A running service has merged it with others.
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(DiskError::of("open", &path)(cause)),
        };
        let len = file.metadata().map_err(DiskError::of("read", &path))?.len();
        match store.attach(id, len, file_reader(file)) {
            Ok(()) => attached.push(id),
            Err(BlockError::Damaged(damage)) => report_damage(report, &path, 0, damage.to_string()),
            Err(BlockError::Io(cause)) => return Err(DiskError::of("read", &path)(cause)),
        }
    }
    report.blocks = attached.len();
    Ok(())
}
