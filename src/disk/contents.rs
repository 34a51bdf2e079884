//! What a data folder holds, in numbers.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;
use tocsin_core::store::{BlockFacts, HeadFacts, Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};

use super::recovery::RecoveryReport;
use super::snapshot::{self, SnapshotFacts};
use super::{DiskError, Reading, reading, segment};

/// The stored samples, in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Contents {
    /// In the order of their cuts.
    pub blocks: Vec<BlockItem>,
    /// Null for the folder of a running service, whose memory only it can tell of.
    pub head: Option<HeadItem>,
    pub wal: Wal,
    /// Deletions whose samples still lie in blocks.
    pub tombstones: usize,
    pub snapshots: Vec<SnapshotFacts>,
    pub totals: Totals,
}

#[derive(Clone, Debug, Serialize)]
pub struct BlockItem {
    pub name: String,
    /// Times are RFC 3339.
    pub first: String,
    pub last: String,
    pub series: usize,
    pub samples: u64,
    pub bytes: u64,
    pub bytes_per_sample: f64,
}

/// What memory holds.
#[derive(Clone, Debug, Serialize)]
pub struct HeadItem {
    /// Series that have samples in memory.
    pub series: usize,
    pub samples: usize,
    pub bytes: usize,
    pub first: Option<String>,
    pub last: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Wal {
    pub segments: Vec<FileItem>,
    pub checkpoints: Vec<FileItem>,
    /// Damaged files that are kept aside.
    pub damaged: Vec<FileItem>,
}

#[derive(Clone, Debug, Serialize)]
pub struct FileItem {
    pub name: String,
    pub bytes: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Totals {
    pub blocks: usize,
    pub blocks_samples: u64,
    pub blocks_bytes: u64,
    pub bytes_per_sample: f64,
    pub wal_bytes: u64,
    pub first: Option<String>,
    pub last: Option<String>,
}

fn ratio(bytes: u64, samples: u64) -> f64 {
    if samples == 0 { 0.0 } else { (bytes as f64 / samples as f64 * 1000.0).round() / 1000.0 }
}

fn block(facts: &BlockFacts) -> BlockItem {
    BlockItem {
        name: facts.id.to_string(),
        first: facts.first.rfc3339(),
        last: facts.last.rfc3339(),
        series: facts.series,
        samples: facts.samples,
        bytes: facts.bytes,
        bytes_per_sample: ratio(facts.bytes, facts.samples),
    }
}

fn head(facts: HeadFacts) -> HeadItem {
    let HeadFacts { series, samples, bytes, first, last } = facts;
    HeadItem { series, samples, bytes, first: first.map(Timestamp::rfc3339), last: last.map(Timestamp::rfc3339) }
}

/// Returns the files of the log.
pub(super) fn wal(folder: &Path) -> Result<Wal, DiskError> {
    let path = folder.join("wal");
    if !path.exists() {
        return Ok(Wal::default());
    }
    let listed = segment::list(&path)?;
    // A running service may delete one meanwhile.
    let item = |path: &Path| match fs::metadata(path) {
        Ok(found) => Ok(Some(FileItem { name: name(path), bytes: found.len() })),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(DiskError::of("read", path)(cause)),
    };
    let items = |paths: Vec<&Path>| paths.into_iter().filter_map(|path| item(path).transpose()).collect::<Result<Vec<_>, _>>();
    Ok(Wal {
        segments: items(listed.segments.iter().map(|(_, path)| path.as_path()).collect())?,
        checkpoints: items(listed.checkpoints.iter().map(|(_, path)| path.as_path()).collect())?,
        damaged: items(listed.damaged.iter().map(std::path::PathBuf::as_path).collect())?,
    })
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Returns what a data folder holds whose samples a store has.
pub fn of_store(data: &Path, store: &Store, with_head: bool) -> Result<Contents, DiskError> {
    let facts = store.block_facts();
    let memory = with_head.then(|| store.head_facts());
    let wal = wal(&data.join("metrics"))?;
    let (samples, bytes) = facts.iter().fold((0, 0), |(samples, bytes), own| (samples + own.samples, bytes + own.bytes));
    let first = facts.iter().map(|own| own.first).chain(memory.and_then(|own| own.first)).min();
    let last = facts.iter().map(|own| own.last).chain(memory.and_then(|own| own.last)).max();
    let totals = Totals {
        blocks: facts.len(),
        blocks_samples: samples,
        blocks_bytes: bytes,
        bytes_per_sample: ratio(bytes, samples),
        wal_bytes: wal.segments.iter().chain(&wal.checkpoints).map(|file| file.bytes).sum(),
        first: first.map(Timestamp::rfc3339),
        last: last.map(Timestamp::rfc3339),
    };
    Ok(Contents {
        blocks: facts.iter().map(block).collect(),
        head: memory.map(head),
        wal,
        tombstones: store.tombstones_len(),
        snapshots: snapshot::list(data)?,
        totals,
    })
}

/// Returns what a data folder holds; of one that a service uses, what its files say.
///
/// Errors: `Io` when it is not there or cannot be read.
pub fn of_folder(data: &Path) -> Result<(Contents, RecoveryReport), DiskError> {
    let store = || Store::new(StoreOptions { retention: Span(i64::MAX / 4), ..StoreOptions::default() });
    let whole = store();
    match Reading::open(data, &whole) {
        Ok(reading) => Ok((of_store(data, &whole, true)?, reading.report)),
        Err(DiskError::InUse { .. }) => {
            let (blocks, mut report) = (store(), RecoveryReport::default());
            reading::attach(&data.join("metrics"), &blocks, &mut report)?;
            Ok((of_store(data, &blocks, false)?, report))
        }
        Err(error) => Err(error),
    }
}
