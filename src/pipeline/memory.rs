//! Keeps the process within its memory: looks each second how much it takes, has what can wait give way, and tells people. It looks
//! whether samples reach the disk, too: where they do not, they pile up in memory.
//!
//! What gives way and when is decided by [`Budget`]; rules and alerts never do.

mod machine;

use std::sync::Arc;
use std::time::Duration;

use tocsin_core::config::MemoryBudget;
use tocsin_core::store::{Budget, Level, Store};
use tocsin_core::time::Timestamp;
use tokio::sync::watch;

use super::pulse::Pulse;
use crate::client::answer::with_causes;
use crate::clock::{self, Stopwatch};
use crate::disk::Disk;
use crate::telemetry::Metrics;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// While memory is short, samples move to blocks at least so far apart: each time makes files that are merged later.
const RELIEF_EVERY: Duration = Duration::from_secs(300);
/// The store counts as full until it holds less than its limit by this part of it.
const SLACK_PART: usize = 33;
/// New series are counted by time in steps of this.
const TURN_EVERY: Duration = Duration::from_secs(10);

/// How memory stands, and the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub level: Level,
    /// None without a budget.
    pub budget_bytes: Option<u64>,
    /// What the process takes, without what it shares with its files; as the system says, else by our own count.
    pub used_bytes: u64,
    /// What series and samples take, by our own count.
    pub counted_bytes: u64,
    /// The store has as many series as it may.
    pub is_full: bool,
    /// Samples go to memory only, for the disk does not take them.
    pub is_unsaved: bool,
    /// Damaged files of samples are kept aside.
    pub is_damaged: bool,
}

/// Looks after memory.
pub struct Keeper {
    pub store: Arc<Store>,
    pub disk: Arc<Disk>,
    pub metrics: Arc<Metrics>,
    /// As configured.
    pub budget: watch::Receiver<MemoryBudget>,
    pub standing: watch::Sender<Standing>,
    pub pulse: Pulse,
}

/// Returns a budget in bytes; None for none, also where nobody knows how much memory there is.
fn bytes_of(budget: MemoryBudget) -> Option<u64> {
    match budget {
        MemoryBudget::Unlimited => None,
        MemoryBudget::Bytes(bytes) => Some(bytes),
        MemoryBudget::Share(percent) => machine::available_bytes().map(|bytes| bytes / 100 * u64::from(percent)),
    }
}

fn gauge(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Keeper {
    /// Works as long as the process lives.
    pub async fn keep(mut self) {
        let (mut budget, mut bytes, mut is_damaged) = (Budget::default(), None, false);
        let (mut relieved, mut turned): (Option<Stopwatch>, Option<Stopwatch>) = (None, None);
        let mut timer = tokio::time::interval(LOOK_EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.budget.mark_changed();
        loop {
            timer.tick().await;
            self.pulse.beat();
            let now = clock::now();
            if self.budget.has_changed().unwrap_or(false) {
                bytes = bytes_of(*self.budget.borrow_and_update());
                // What was short by the old budget need not be by this one.
                budget = Budget::default();
                tracing::info!(budget_bytes = bytes, "the memory budget is in force");
            }
            if turned.is_none_or(|watch| watch.elapsed() >= TURN_EVERY) {
                turned = Some(Stopwatch::start());
                self.store.turn_growth(now);
                is_damaged = self.disk.has_damaged_files();
            }
            let standing = self.look(&mut budget, bytes, is_damaged, now);
            if standing.level < Level::Flush {
                relieved = None;
            } else if relieved.is_none_or(|watch| watch.elapsed() >= RELIEF_EVERY) {
                relieved = Some(Stopwatch::start());
                self.relieve(now);
            }
        }
    }

    /// Looks how memory stands, and has what follows from it hold.
    fn look(&self, budget: &mut Budget, bytes: Option<u64>, is_damaged: bool, now: Timestamp) -> Standing {
        let counted_bytes = self.store.memory_bytes();
        let used_bytes = machine::resident_bytes().unwrap_or(counted_bytes);
        let level = budget.judge(used_bytes, bytes.unwrap_or(0), now);
        let (series, limits) = (self.store.stats(0).series, self.store.series_limits());
        // It ends with some slack: at the very limit series come and go.
        let was_full = self.standing.borrow().is_full;
        let is_full = series >= if was_full { limits.series - limits.series / SLACK_PART } else { limits.series };
        let is_unsaved = self.disk.is_unsaved();
        let standing = Standing { level, budget_bytes: bytes, used_bytes, counted_bytes, is_full, is_unsaved, is_damaged };
        self.store.close_to_new(level >= Level::Close);
        let before = self.standing.send_replace(standing);
        let own = &self.metrics.limits;
        own.memory_budget_bytes.set(gauge(bytes.unwrap_or(0)));
        own.memory_resident_bytes.set(gauge(used_bytes));
        own.memory_counted_bytes.set(gauge(counted_bytes));
        own.memory_level.set(level as i64);
        own.series_limit.set(gauge(limits.series as u64));
        own.series_created.inc_by(self.store.series_created().saturating_sub(own.series_created.get()));
        if before.level != level {
            let (level, budget_bytes) = (level.word(), bytes);
            if standing.level > before.level {
                tracing::warn!(level, used_bytes, counted_bytes, budget_bytes, "memory is short");
            } else {
                tracing::info!(level, used_bytes, counted_bytes, budget_bytes, "memory is less short");
            }
        }
        if is_full && !before.is_full {
            tracing::warn!(series, "the store holds as many series as it may; new ones are refused, known ones go on");
        }
        standing
    }

    fn relieve(&self, now: Timestamp) {
        let (disk, store) = (self.disk.clone(), self.store.clone());
        // Nobody waits for it: looking goes on meanwhile.
        tokio::task::spawn_blocking(move || match disk.relieve(&store, now) {
            Ok(blocks) => tracing::info!(blocks, "samples were moved to blocks early, for memory is short"),
            Err(error) => tracing::error!(error = with_causes(&error), "samples cannot be moved to blocks"),
        });
    }
}
