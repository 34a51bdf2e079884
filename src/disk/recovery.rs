//! Opening: read the newest checkpoint, then the segments behind it, and survive whatever they look like.

use std::fs;
use std::path::{Path, PathBuf};

use tocsin_core::store::{Replayed, Store};
use tracing::{error, info, warn};

use super::DiskError;
use super::log::Log;
use super::segment::{Ending, Files, list, read_records, segment_path};

/// A file that could be read only in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub file: PathBuf,
    /// Where its good part ends.
    pub offset: u64,
    pub reason: String,
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    pub replayed: Replayed,
    pub records: usize,
    /// Files read: checkpoint and segments.
    pub files: usize,
    pub blocks: usize,
    /// Series known from blocks alone, for the checkpoint that named them is lost or damaged.
    pub adopted: usize,
    /// Bytes of an incomplete last record that were cut off.
    pub cut_bytes: u64,
    pub damage: Vec<Damage>,
}

/// Fills the store, which has its blocks, from the files of a log; returns the log, ready for more.
pub(super) fn recover(wal: &Path, store: &Store, report: &mut RecoveryReport, segment_bytes_max: u64) -> Result<Log, DiskError> {
    let files = list(wal)?;
    for path in &files.unfinished {
        fs::remove_file(path).map_err(DiskError::of("delete", path))?;
    }
    let End { number, len, grown } = read(wal, files, store, report)?;
    info!(
        files = report.files,
        records = report.records,
        rows = report.replayed.rows,
        samples = report.replayed.samples,
        series = report.replayed.series,
        orphans = report.replayed.orphans,
        damaged = report.damage.len(),
        "store recovered"
    );
    Log::open(wal, number, len, grown, segment_bytes_max)
}

/// Where a log goes on.
pub(super) struct End {
    number: u64,
    /// Where the good part of the segment ends; zero for one that is to be made.
    len: u64,
    grown: u64,
}

/// Fills the store, which has its blocks, from the files of a log; changes none of them.
pub(super) fn read(wal: &Path, files: Files, store: &Store, report: &mut RecoveryReport) -> Result<End, DiskError> {
    let told = report.damage.len();
    let checkpoint = files.checkpoints.last();
    let covered = checkpoint.map_or(0, |(covered, _)| *covered);
    if let Some((_, path)) = checkpoint {
        let (ending, good) = replay(path, store, report)?;
        // A checkpoint got its name when it was whole, so one that is not has been damaged.
        let reason = match ending {
            Ending::Whole => None,
            Ending::Torn => Some("the checkpoint is cut short".to_owned()),
            Ending::Damaged(reason) => Some(reason),
        };
        if let Some(reason) = reason {
            report_damage(report, path, good, reason);
        }
    }
    // Damage of blocks is told already.
    let is_whole = report.damage.len() == told && (checkpoint.is_some() || files.segments.first().is_some_and(|own| own.0 == 1));
    let mut adopted = false;
    if !is_whole {
        // Series that are in memory are never without a checkpoint that names them, or a log from the beginning.
        adopt(store, report, &mut adopted);
    }
    let segments: Vec<_> = files.segments.into_iter().filter(|(number, _)| *number > covered).collect();
    let (mut number, mut len, mut grown) = (covered + 1, 0, 0);
    for (index, (own, path)) in segments.iter().enumerate() {
        if index > 0 && *own != number + 1 {
            let missing = segment_path(wal, number + 1);
            report_damage(report, &missing, 0, format!("segments {} to {} are missing", number + 1, own - 1));
            adopt(store, report, &mut adopted);
        }
        let (ending, good) = replay(path, store, report)?;
        let file_len = fs::metadata(path).map_err(DiskError::of("read", path))?.len();
        let is_last = index + 1 == segments.len();
        (number, len) = (*own, good);
        grown += good;
        let reason = match ending {
            Ending::Whole => continue,
            Ending::Torn if is_last => {
                report.cut_bytes = file_len - good;
                warn!(file = %path.display(), offset = good, bytes = report.cut_bytes, "incomplete last record cut off");
                continue;
            }
            Ending::Torn => "the segment is cut short".to_owned(),
            Ending::Damaged(reason) => reason,
        };
        report_damage(report, path, good, reason);
        // What was lost here may have named series whose samples have moved to blocks, and which later segments go on with.
        adopt(store, report, &mut adopted);
    }
    if adopted {
        // Of the series that the log named in between, blocks know for how long there have been samples.
        store.adopt_series();
    }
    if report.damage.iter().any(|damage| segments.last().is_some_and(|(_, path)| *path == damage.file)) {
        (number, len) = (number + 1, 0);
    }
    Ok(End { number, len, grown })
}

/// Takes from the blocks, once, the series that the log no longer names.
fn adopt(store: &Store, report: &mut RecoveryReport, done: &mut bool) {
    if report.blocks == 0 || std::mem::replace(done, true) {
        return;
    }
    let (adopted, unreadable) = store.adopt_series();
    report.adopted = adopted;
    warn!(adopted, unreadable = unreadable.len(), "series taken from blocks, for what named them in the log is lost or damaged");
}

fn replay(path: &Path, store: &Store, report: &mut RecoveryReport) -> Result<(Ending, u64), DiskError> {
    report.files += 1;
    read_records(path, |record| {
        report.records += 1;
        report.replayed += store.replay(record).map_err(|damage| damage.to_string())?;
        Ok(())
    })
}

pub(super) fn report_damage(report: &mut RecoveryReport, file: &Path, offset: u64, reason: String) {
    error!(file = %file.display(), offset, reason, "the file is damaged; what it holds from there on is lost");
    report.damage.push(Damage { file: file.to_owned(), offset, reason });
}
