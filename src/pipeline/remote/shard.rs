//! One shard of an endpoint: samples of its series, gathered into batches and sent in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tocsin_core::model::exposition::MetricType;
use tocsin_core::remote::Protocol;
use tocsin_core::remote::send::{Backoff, Verdict};
use tocsin_core::remote::write::{Counts, Entry, encode};
use tocsin_core::scrape::body::Metadata;
use tocsin_core::time::Span;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::sleep;

use super::post::Way;
use super::track::Track;
use crate::clock::{self, Stopwatch};
use crate::id;
use crate::pipeline::scrapes::MetadataBook;
use crate::telemetry::remote::Dropped;

/// A sample on its way.
pub struct Item {
    pub entry: Entry,
    /// The number of its record.
    pub record: u64,
    /// It may have been delivered before a restart.
    pub is_doubtful: bool,
}

/// What all shards of an endpoint share.
pub struct Common {
    pub way: Way,
    pub track: Track,
    pub book: MetadataBook,
    /// Samples that left, and the microseconds that sending took, since the shards were last counted.
    pub sent: AtomicU64,
    pub busy_us: AtomicU64,
}

/// Some samples, and the room that they take.
pub type Chunk = (Vec<Item>, OwnedSemaphorePermit);

/// Sends what comes until nothing more can come.
pub async fn run(common: Arc<Common>, mut chunks: mpsc::UnboundedReceiver<Chunk>) {
    let (most, patience) = {
        let queue = &common.way.endpoint.queue;
        (queue.max_samples_per_send, queue.batch_send_deadline.to_std())
    };
    let mut waiting: VecDeque<Item> = VecDeque::new();
    let (mut is_open, mut deadline) = (true, Box::pin(sleep(patience)));
    loop {
        while is_open && waiting.len() < most {
            let chunk = if waiting.is_empty() {
                let chunk = chunks.recv().await;
                deadline = Box::pin(sleep(patience));
                chunk
            } else {
                tokio::select! {
                    chunk = chunks.recv() => chunk,
                    () = &mut deadline => break,
                }
            };
            match chunk {
                Some((items, _room)) => waiting.extend(items),
                None => is_open = false,
            }
        }
        let batch: Vec<Item> = waiting.drain(..waiting.len().min(most)).collect();
        if batch.is_empty() && !is_open {
            return;
        }
        common.deliver(batch).await;
        deadline = Box::pin(sleep(patience));
    }
}

impl Common {
    /// Delivers a batch, or gives it up; returns once it is settled.
    async fn deliver(&self, batch: Vec<Item>) {
        let watch = Stopwatch::start();
        // In doubt, parts that are refused are sent again in halves: a server that refuses what it has refuses all beside it.
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            if self.send(&mut part).await {
                let later = part.split_off(part.len() / 2);
                parts.extend([later, part]);
                continue;
            }
            self.sent.fetch_add(part.len() as u64, Ordering::Relaxed);
            self.track.settle(part.iter().map(|item| item.record));
        }
        self.busy_us.fetch_add((watch.seconds() * 1e6) as u64, Ordering::Relaxed);
    }

    /// Sends a part until there is an answer that lasts. What has grown too old meanwhile is settled and taken out of it.
    ///
    /// Returns true when it was refused whole, and parts of it may be taken: another server of 1.0 may have some of it already.
    async fn send(&self, part: &mut Vec<Item>) -> bool {
        let metrics = &self.way.metrics;
        let mut backoff = Backoff::new(&self.way.endpoint.queue);
        loop {
            self.drop_old(part);
            if part.is_empty() {
                return false;
            }
            let protocol = self.way.protocol();
            let entries: Vec<Entry> = part.iter().map(|item| item.entry.clone()).collect();
            let about = |name: &str| self.about(name);
            let encoded = encode(&entries, protocol, &about);
            let Ok(packed) = snap::raw::Encoder::new().compress_vec(&encoded) else {
                tracing::error!(endpoint = self.way.endpoint.name, bytes = encoded.len(), "a request is too long to be packed");
                metrics.failed(part.len());
                return false;
            };
            let answered = self.way.post(&packed, protocol).await;
            match answered.verdict {
                Verdict::Delivered => {
                    let newest = entries.iter().map(|entry| entry.at).max();
                    metrics.sent(Counts::of(&entries), newest.map(|at| at.0 as f64 / 1000.0));
                    return false;
                }
                Verdict::OtherProtocol => self.way.fall_back(),
                Verdict::Retry => {
                    metrics.retried(1, part.len());
                    let wait = backoff.wait(answered.wish, id::jitter(1001) as f64 / 1000.0);
                    tracing::debug!(
                        endpoint = self.way.endpoint.name,
                        status = answered.status,
                        said = answered.said,
                        ?wait,
                        "a request to another server is sent again"
                    );
                    sleep(wait.to_std()).await;
                }
                Verdict::Rejected => {
                    let is_doubtful = protocol == Protocol::V1 && part.iter().any(|item| item.is_doubtful);
                    if !is_doubtful || part.len() == 1 {
                        tracing::warn!(
                            endpoint = self.way.endpoint.name,
                            status = answered.status,
                            samples = part.len(),
                            said = answered.said,
                            "another server refused samples for good"
                        );
                    }
                    if is_doubtful && part.len() > 1 {
                        return true;
                    }
                    // One of 2.0 may have taken what was well.
                    let written = if protocol == Protocol::V2 { answered.written.min(part.len()) } else { 0 };
                    metrics.failed(part.len() - written);
                    return false;
                }
            }
        }
    }

    fn drop_old(&self, part: &mut Vec<Item>) {
        let limit = self.way.endpoint.queue.sample_age_limit;
        if limit == Span::ZERO {
            return;
        }
        let before = clock::now() - limit;
        let old: Vec<Item> = part.extract_if(.., |item| item.entry.at < before).collect();
        if !old.is_empty() {
            self.way.metrics.dropped(Dropped::TooOld, old.len() as u64);
            self.track.settle(old.iter().map(|item| item.record));
        }
    }

    fn about(&self, name: &str) -> Option<Metadata> {
        let book = self.book.read().expect("no holder of this lock panics");
        book.get(name).filter(|said| said.kind != MetricType::Unknown || !said.help.is_empty()).cloned()
    }
}
