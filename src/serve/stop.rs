//! The stop: over within 20 s, whatever hangs; within 10 s where the disk does not.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;

use super::start::Service;
use crate::clock;
use crate::http::accept::{CONNECTIONS_MAX, DRAIN_MAX};

/// Evaluations and scrapes that still run are given up after this long.
const WORK_MAX: Duration = Duration::from_secs(3);
/// Attempts in flight have this long to end and to be recorded.
const DELIVER_MAX: Duration = Duration::from_secs(4);
/// The watch has this long to record what it has taken in.
const RECORD_MAX: Duration = Duration::from_secs(2);
/// The last words to the database have this long each.
const LAST_MAX: Duration = Duration::from_secs(1);
/// The last samples have this long to become safe on the disk: that may be what a minute has brought, on a disk that is slow.
const SYNC_MAX: Duration = Duration::from_secs(10);

/// Stops: nothing new is taken in, what was decided is recorded, samples are synced.
///
/// Errors: when the last samples are not safe on the disk.
pub async fn stop(service: Service) -> anyhow::Result<()> {
    tracing::info!("stopping");
    let Service { mut tasks, live, hub, ready, stop, room, warm, acting, db, disk, .. } = service;
    ready.store(false, Ordering::Release);
    stop.send_replace(true);
    hub.close();
    live.heartbeats.stop();
    warm.abort();
    disk.stop();
    // Most of it meanwhile, so that little is left for the end.
    let early = disk.clone();
    let early = tokio::task::spawn_blocking(move || early.sync());
    // Whoever goes on could still send to the watch, which then would not end.
    tasks.abort_all_but(&["http", "objectives", "outbox", "watch"]);
    let doors = tasks.take("http");
    // Connections end by themselves within `DRAIN_MAX`.
    let left = timeout(LAST_MAX, acting.stop());
    let drained = timeout(DRAIN_MAX + LAST_MAX, async move {
        for door in doors {
            // Whether it ended well or not, it accepts no more.
            let _ = door.await;
        }
        // The room is whole again once the last connection has gone; nobody closes it.
        let _ = room.acquire_many(CONNECTIONS_MAX).await;
    });
    let worked = timeout(WORK_MAX, async {
        live.journeys.stop().await;
        live.scrapes.stop().await;
        live.rules.stop().await;
        // Last, so that what was appended until now is in its queue.
        live.remote.stop().await;
    });
    let counting = tasks.take("objectives");
    let counted = timeout(WORK_MAX, async move {
        for counting in counting {
            // It stops at once, between two of its waits.
            let _ = counting.await;
        }
    });
    let outbox = tasks.take("outbox");
    let delivered = timeout(DELIVER_MAX, async move {
        for outbox in outbox {
            // It lets attempts in flight end and be recorded, so that none is made twice.
            let _ = outbox.await;
        }
    });
    let (drained, worked, counted, delivered, left) = tokio::join!(drained, worked, counted, delivered, left);
    if left.is_err() {
        tracing::warn!("faults that stood could not be ended in time; they end by their own clocks");
    }
    if delivered.is_err() {
        tracing::warn!("attempts at deliveries did not end in time; they are made again after the next start");
    }
    if drained.is_err() {
        tracing::warn!("connections did not end in time");
    }
    if worked.is_err() || counted.is_err() {
        tracing::warn!("evaluations still ran and were given up");
    }
    // Whoever can still send to the watch keeps it waiting.
    drop((live, acting));
    // What the watch has taken in it still records; afterwards nobody can send it more.
    for watching in tasks.take("watch") {
        if timeout(RECORD_MAX, watching).await.is_err() {
            tracing::warn!("the watch did not end in time; what it had recorded is safe");
        }
    }
    // Without it the next start takes the sign of life before this one.
    let _ = timeout(LAST_MAX, db.set_alive_at(clock::now())).await;
    let synced = timeout(SYNC_MAX, async {
        let last = tokio::task::spawn_blocking(move || disk.sync()).await;
        // What the early one could not make safe is no longer there for the last one to try.
        early.await.and_then(|early| last.map(|last| early.and(last)))
    })
    .await;
    if synced.is_err() {
        let seconds = SYNC_MAX.as_secs();
        tracing::error!(seconds, "the last samples did not become safe on the disk in time; a loss of power now would take them");
    }
    if timeout(LAST_MAX, db.close()).await.is_err() {
        tracing::warn!("the database did not take leave in time");
    }
    synced.context("the last samples took too long to reach the disk")?.context("the last write ended in a fault")??;
    tracing::info!("stopped");
    Ok(())
}
