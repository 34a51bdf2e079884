//! Keeps the house: samples reach the disk, old things go, and a sign of life is left behind. Each chore has its own time, so that a
//! long one holds up no other.

use std::sync::Arc;
use std::time::Duration;

use tocsin_core::store::Store;
use tocsin_core::time::{Span, Timestamp};
use tokio::time::{Interval, MissedTickBehavior};

use super::tasks::Tasks;
use crate::client::answer::with_causes;
use crate::clock;
use crate::db::Db;
use crate::disk::Disk;
use crate::pipeline::crash;
use crate::pipeline::pulse::Pulse;
use crate::telemetry::Metrics;

/// How often we note that we are alive, so that the next start knows how long nobody watched.
pub const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// What is due more seldom than this is looked at this often.
const TICK_MAX: Duration = Duration::from_secs(1);
const MAINTAIN_EVERY: Duration = Duration::from_secs(60);
const MERGE_EVERY: Duration = Duration::from_secs(60);
/// What was written in vain is not tried again at once.
const MERGE_AGAIN: Duration = Duration::from_secs(600);
const LINK_EVERY: Duration = Duration::from_secs(5);
const COUNT_EVERY: Duration = Duration::from_secs(5);
const TRACE_EVERY: Duration = Duration::from_secs(300);
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// How long resolved pages, finished deliveries and histories are kept.
const HISTORY: Span = Span::from_mins(90 * 24 * 60);
/// How long runs are kept, so that yearly drills can be compared.
const RUN_HISTORY: Span = Span::from_mins(400 * 24 * 60);
/// A disk or a database that is slow is given this long before it counts as standing still.
const STILL: Duration = Duration::from_secs(120);
/// Moving much to blocks takes its time.
pub const MAINTENANCE_STILL: Duration = Duration::from_secs(1800);

/// What the chores work on.
#[derive(Clone)]
pub struct Chores {
    pub db: Db,
    pub disk: Arc<Disk>,
    pub store: Arc<Store>,
    pub metrics: Arc<Metrics>,
    /// How often samples are made safe on the disk.
    pub sync_every: Duration,
    /// The sign of life of the merging of blocks.
    pub merging: Pulse,
    /// How long the trace is kept, and in how many bytes.
    pub trace: (Span, u64),
    /// When the disk was told the time first.
    pub opened: clock::Stopwatch,
}

impl Chores {
    /// Starts every chore; returns their signs of life.
    pub fn start(&self, tasks: &mut Tasks) -> Vec<Pulse> {
        let pulses = [
            Pulse::new("the sync of samples", STILL),
            Pulse::new("the sign of life", STILL),
            Pulse::new("the maintenance of samples", MAINTENANCE_STILL),
            self.merging.clone(),
        ];
        let [sync, alive, maintain, merge] = pulses.clone();
        tasks.start("chores", self.clone().sync(sync));
        tasks.start("chores", self.clone().stay_alive(alive));
        tasks.start("chores", self.clone().maintain(maintain));
        tasks.start("chores", self.clone().merge(merge));
        tasks.start("chores", self.clone().sweep());
        tasks.start("chores", self.clone().sweep_trace());
        tasks.start("chores", self.clone().link());
        tasks.start("chores", self.clone().count_runs());
        pulses.to_vec()
    }

    /// Makes samples safe on the disk. A fault in it ends the service: nobody would write them any more.
    async fn sync(self, pulse: Pulse) {
        let period = if self.sync_every.is_zero() { TICK_MAX } else { self.sync_every };
        let (mut timer, mut since) = (every(period.min(TICK_MAX)), clock::Stopwatch::start());
        loop {
            timer.tick().await;
            pulse.beat();
            crash::fault("in-chores");
            self.disk.leave_room(self.db.is_without_ballast());
            // A tick that comes a little early must not wait for the one behind it.
            if since.elapsed() + period.min(TICK_MAX) / 2 >= period {
                since = clock::Stopwatch::start();
                let disk = self.disk.clone();
                let synced = tokio::task::spawn_blocking(move || disk.sync()).await;
                if let Err(error) = synced.expect("the sync of samples ends without a fault") {
                    tracing::error!(%error, "samples cannot be made safe on the disk");
                }
            }
            let stats = self.store.stats(0);
            self.metrics.series.set(i64::try_from(stats.series).unwrap_or(i64::MAX));
            self.metrics.stored.holds(&stats, self.store.tombstones_len());
        }
    }

    async fn stay_alive(self, pulse: Pulse) {
        let mut timer = every(ALIVE_EVERY);
        loop {
            timer.tick().await;
            pulse.beat();
            if let Err(error) = self.db.set_alive_at(clock::now()).await {
                tracing::error!(error = with_causes(&error), "cannot leave a sign of life");
            }
        }
    }

    /// Moves samples out of memory, and takes up writing again on a disk that was full. A fault in it ends the service: memory would
    /// fill up.
    async fn maintain(self, pulse: Pulse) {
        let (mut timer, mut told) = (every(MAINTAIN_EVERY), self.opened);
        loop {
            timer.tick().await;
            pulse.beat();
            let (db, disk, store) = (self.db.clone(), self.disk.clone(), self.store.clone());
            let (now, passed) = (clock::now(), Span(i64::try_from(told.elapsed().as_millis()).unwrap_or(i64::MAX)));
            told = clock::Stopwatch::start();
            let maintained = tokio::task::spawn_blocking(move || {
                db.renew_ballast();
                disk.leave_room(db.is_without_ballast());
                disk.tell_time(&store, now, passed);
                disk.maintain(&store, now)
            });
            let figures = &self.metrics.stored;
            match maintained.await.expect("the maintenance of samples ends without a fault") {
                Ok(done) => {
                    figures.blocks_written.inc_by(done.blocks as u64);
                    figures.checkpoints.inc_by(u64::from(done.checkpoint));
                }
                Err(error) => {
                    figures.maintenance_errors.inc();
                    tracing::error!(error = with_causes(&error), "the store cannot be tidied");
                }
            }
        }
    }

    /// Merges blocks, at half the speed at which it could. A fault in it ends the service: blocks would pile up.
    async fn merge(self, pulse: Pulse) {
        let mut timer = every(MERGE_EVERY);
        loop {
            timer.tick().await;
            pulse.beat();
            let (disk, store, pulse) = (self.disk.clone(), self.store.clone(), pulse.clone());
            let merged = tokio::task::spawn_blocking(move || {
                let mut worked = clock::Stopwatch::start();
                disk.merge(&store, clock::now(), &mut || {
                    pulse.beat();
                    std::thread::sleep(worked.elapsed());
                    worked = clock::Stopwatch::start();
                })
            });
            let figures = &self.metrics.stored;
            match merged.await.expect("the merging of blocks ends without a fault") {
                Ok(done) => {
                    figures.blocks_merged.inc_by(done.merged as u64);
                    figures.blocks_rewritten.inc_by(done.rewritten as u64);
                }
                Err(error) => {
                    figures.maintenance_errors.inc();
                    tracing::error!(error = with_causes(&error), "blocks cannot be merged");
                    tokio::time::sleep(MERGE_AGAIN).await;
                }
            }
        }
    }

    /// Links the lines of the audit.
    async fn link(self) {
        let mut timer = every(LINK_EVERY);
        loop {
            timer.tick().await;
            loop {
                match self.db.link_audit().await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::error!(error = with_causes(&error), "the lines of the audit cannot be linked");
                        break;
                    }
                }
            }
        }
    }

    /// Counts the runs that are open.
    async fn count_runs(self) {
        let mut timer = every(COUNT_EVERY);
        loop {
            timer.tick().await;
            match self.db.open_run_counts().await {
                Ok(counts) => self.metrics.count_runs(&counts),
                Err(error) => tracing::error!(error = with_causes(&error), "the runs that are open cannot be counted"),
            }
        }
    }

    async fn sweep(self) {
        // Not while a start has enough to do.
        tokio::time::sleep(Duration::from_secs(300)).await;
        let mut timer = every(SWEEP_EVERY);
        loop {
            timer.tick().await;
            let now = self.store.forgetting(clock::now());
            if let Err(error) = self.db.sweep(Timestamp(now.0 - HISTORY.0)).await {
                tracing::error!(error = with_causes(&error), "old records cannot be swept out");
            }
            if let Err(error) = self.db.sweep_runs(Timestamp(now.0 - RUN_HISTORY.0)).await {
                tracing::error!(error = with_causes(&error), "old runs cannot be swept out");
            }
        }
    }
}

impl Chores {
    /// Keeps the trace within its bounds, of which a storm can reach the size in minutes.
    async fn sweep_trace(self) {
        let mut timer = every(TRACE_EVERY);
        let (time, bytes) = (self.trace.0, i64::try_from(self.trace.1).unwrap_or(i64::MAX));
        loop {
            timer.tick().await;
            if let Err(error) = self.db.sweep_trace(Timestamp(clock::now().0 - time.0), bytes).await {
                tracing::error!(error = with_causes(&error), "the trace of decisions cannot be kept within its bounds");
            }
        }
    }
}

fn every(span: Duration) -> Interval {
    let mut timer = tokio::time::interval(span);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}
