//! To other servers: what is appended goes into a queue on the disk, and from there to each endpoint at its own pace.
//!
//! Nothing here holds up those who append: they write to the queue and go on.

mod post;
mod sender;
mod shard;
mod track;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tocsin_core::model::{Exemplar, Row, SeriesRef};
use tocsin_core::remote::send::Endpoint;
use tocsin_core::store::{LeftOut, Store};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use super::scrapes::MetadataBook;
use crate::client::answer::with_causes;
use crate::disk::queue::Queue;
use crate::telemetry::Metrics;
use sender::Sender;

/// How often the queue is made safe on the disk, and noted how far the endpoints are.
const SAVE_EVERY: Duration = Duration::from_secs(1);

struct Running {
    endpoint: Endpoint,
    task: JoinHandle<()>,
}

/// All endpoints, and the queue that they read.
pub struct Remote {
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    /// Tells those who read that there is more.
    news: watch::Sender<()>,
    running: Mutex<BTreeMap<String, Running>>,
}

impl Remote {
    pub fn new(queue: Arc<Queue>, metrics: Arc<Metrics>) -> Remote {
        Remote { queue, metrics, news: watch::Sender::new(()), running: Mutex::default() }
    }

    /// Takes what was appended: a row without the cells that are not new, and exemplars that came with it.
    pub fn offer(&self, store: &Store, row: &Row, left_out: &[(u32, LeftOut)], exemplars: &[(SeriesRef, Exemplar)]) {
        if !self.queue.is_on() {
            return;
        }
        if let Err(error) = self.queue.append(store, row, left_out, exemplars) {
            self.metrics.remote_queue_errors.inc();
            tracing::debug!(%error, "a row could not be queued for other servers");
        }
        self.news.send_replace(());
    }

    /// Replaces all endpoints. One that stays as it was goes on undisturbed; one that changed goes on where it was.
    pub async fn replace(&self, endpoints: Vec<Endpoint>, book: &MetadataBook) {
        let mut running = self.running.lock().await;
        let mut old = std::mem::take(&mut *running);
        let names: Vec<String> = endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
        let mut changed = Vec::new();
        for endpoint in endpoints {
            match old.remove(&endpoint.name) {
                Some(own) if own.endpoint == endpoint && !own.task.is_finished() => {
                    running.insert(endpoint.name.clone(), own);
                }
                Some(own) => {
                    halt(own).await;
                    changed.push(endpoint);
                }
                None => changed.push(endpoint),
            }
        }
        for (name, own) in old {
            halt(own).await;
            self.metrics.sending.forget(&name);
        }
        self.queue.set_readers(&names);
        for endpoint in changed {
            let sender =
                Sender::new(endpoint.clone(), self.queue.clone(), self.metrics.clone(), book.clone(), self.news.subscribe());
            let task = tokio::spawn(sender.run());
            running.insert(endpoint.name.clone(), Running { endpoint, task });
        }
    }

    /// Keeps the queue safe, and notes how far it is read.
    pub async fn keep(self: Arc<Self>) {
        let mut timer = tokio::time::interval(SAVE_EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            self.save().await;
        }
    }

    async fn save(&self) {
        let queue = self.queue.clone();
        match tokio::task::spawn_blocking(move || queue.save()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = with_causes(&error), "the queue to other servers cannot be made safe"),
            Err(error) => tracing::error!(%error, "keeping the queue to other servers ended in a fault"),
        }
        for name in self.running.lock().await.keys() {
            let samples = self.queue.samples().saturating_sub(self.queue.position(name).0.samples);
            self.metrics.sending.of(name).pending(samples);
        }
    }

    /// Stops sending; the next start goes on with what was not acknowledged.
    pub async fn stop(&self) {
        for own in std::mem::take(&mut *self.running.lock().await).into_values() {
            halt(own).await;
        }
        self.save().await;
    }
}

async fn halt(running: Running) {
    running.task.abort();
    // Whether it was cancelled or ended by itself makes no difference.
    let _ = running.task.await;
}
