//! Our figures of stored samples and of what is done with them.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tocsin_core::store::Stats;
use tocsin_core::time::Timestamp;

type Count = Counter<u64, AtomicU64>;

/// The figures.
pub struct Stored {
    blocks: Gauge,
    blocks_bytes: Gauge,
    blocks_samples: Gauge,
    head_bytes: Gauge,
    tombstones: Gauge,
    pub blocks_written: Count,
    pub blocks_merged: Count,
    pub blocks_rewritten: Count,
    pub checkpoints: Count,
    pub maintenance_errors: Count,
    pub deletions: Count,
    pub deletions_failed: Count,
    pub samples_deleted: Count,
    pub snapshots: Count,
    pub snapshots_failed: Count,
    pub snapshot_seconds: Histogram,
    snapshot_at: Gauge<f64, AtomicU64>,
    pub dumps: Count,
}

impl Stored {
    pub(super) fn register(registry: &mut Registry) -> Stored {
        let own = Stored {
            blocks: Gauge::default(),
            blocks_bytes: Gauge::default(),
            blocks_samples: Gauge::default(),
            head_bytes: Gauge::default(),
            tombstones: Gauge::default(),
            blocks_written: Counter::default(),
            blocks_merged: Counter::default(),
            blocks_rewritten: Counter::default(),
            checkpoints: Counter::default(),
            maintenance_errors: Counter::default(),
            deletions: Counter::default(),
            deletions_failed: Counter::default(),
            samples_deleted: Counter::default(),
            snapshots: Counter::default(),
            snapshots_failed: Counter::default(),
            snapshot_seconds: Histogram::new(exponential_buckets(0.05, 2.0, 14)),
            snapshot_at: Gauge::default(),
            dumps: Counter::default(),
        };
        macro_rules! register {
            ($($name:literal, $help:literal, $field:ident;)*) => {
                $(registry.register(concat!("tocsin_store_", $name), $help, own.$field.clone());)*
            };
        }
        register! {
            "blocks", "Blocks of samples on the disk", blocks;
            "blocks_bytes", "Bytes of blocks", blocks_bytes;
            "blocks_samples", "Samples in blocks", blocks_samples;
            "head_bytes", "Bytes of samples in memory", head_bytes;
            "tombstones", "Deletions whose samples still take room in blocks", tombstones;
            "blocks_written", "Blocks written from memory", blocks_written;
            "blocks_merged", "Blocks written in the place of several", blocks_merged;
            "blocks_rewritten", "Blocks written anew without what was deleted in them", blocks_rewritten;
            "checkpoints", "Checkpoints written by maintenance", checkpoints;
            "maintenance_errors", "Rounds of maintenance and of merging that failed", maintenance_errors;
            "deletions", "Deletions of samples that were asked for and done", deletions;
            "deletions_failed", "Deletions of samples that failed, maybe in part", deletions_failed;
            "samples_deleted", "Samples that were deleted, where they were counted", samples_deleted;
            "snapshots", "Snapshots that were made", snapshots;
            "snapshots_failed", "Snapshots that failed", snapshots_failed;
            "snapshot_seconds", "How long a snapshot took", snapshot_seconds;
            "snapshot_last_success_timestamp_seconds", "When the newest snapshot was made; 0 for none", snapshot_at;
            "dumps", "Dumps of samples that were begun", dumps;
        }
        own
    }

    /// Takes in what the store holds.
    pub fn holds(&self, stats: &Stats, tombstones: usize) {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.blocks.set(whole(stats.blocks as u64));
        self.blocks_bytes.set(whole(stats.blocks_bytes));
        self.blocks_samples.set(whole(stats.blocks_samples));
        self.head_bytes.set(whole(stats.chunks_bytes));
        self.tombstones.set(whole(tombstones as u64));
    }

    /// Takes in when the newest snapshot was made.
    pub fn snapshot_made(&self, at: Timestamp) {
        self.snapshot_at.set(at.seconds());
    }
}
