//! One endpoint: reads the queue, relabels, and hands samples to its shards, of which there are as many as the load asks for.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tocsin_core::model::{Exemplar, LabelSet, Value};
use tocsin_core::remote::Protocol;
use tocsin_core::remote::send::{Endpoint, Load, Verdict, wanted_shards};
use tocsin_core::remote::write::{Entry, encode_metadata};
use tocsin_core::scrape::body::Metadata;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};

use super::post::Way;
use super::shard::{self, Chunk, Common, Item};
use super::track::Track;
use crate::clock::Stopwatch;
use crate::disk::queue::{Piece, Position, Queue, Reader};
use crate::pipeline::scrapes::MetadataBook;
use crate::telemetry::Metrics;
use crate::telemetry::remote::Dropped;

/// How often the number of shards is thought over.
const RESHARD_EVERY: Duration = Duration::from_secs(10);
/// After a fault of the disk the queue is read again this much later.
const REST: Duration = Duration::from_secs(5);

pub struct Sender {
    common: Arc<Common>,
    queue: Arc<Queue>,
    reader: Reader,
    /// What stands before this may have been delivered already.
    doubtful_until: Position,
    /// Labels to send a series under, by its number in the segment; None: it is not sent.
    labels: HashMap<u32, Option<LabelSet>>,
    news: watch::Receiver<()>,
    shards: usize,
}

/// The shards at work.
struct Shards {
    ways: Vec<(mpsc::UnboundedSender<Chunk>, Arc<Semaphore>)>,
    tasks: JoinSet<()>,
}

impl Shards {
    fn start(common: &Arc<Common>, count: usize) -> Shards {
        let (mut ways, mut tasks) = (Vec::new(), JoinSet::new());
        for _ in 0..count {
            let (sender, receiver) = mpsc::unbounded_channel();
            tasks.spawn(shard::run(common.clone(), receiver));
            ways.push((sender, Arc::new(Semaphore::new(common.way.endpoint.queue.capacity))));
        }
        Shards { ways, tasks }
    }

    /// Lets the shards send what they have, and end.
    ///
    /// Returns false when one has ended in a fault, with what it had.
    async fn finish(self) -> bool {
        let Shards { ways, mut tasks } = self;
        drop(ways);
        let mut is_well = true;
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "sending to another server ended in a fault; what was not acknowledged is sent anew");
                is_well = false;
            }
        }
        is_well
    }
}

/// Counts arrivals, and decides on the number of shards.
struct Scale {
    timer: Interval,
    watch: Stopwatch,
    arrived: u64,
}

impl Sender {
    pub fn new(
        endpoint: Endpoint,
        queue: Arc<Queue>,
        metrics: Arc<Metrics>,
        book: MetadataBook,
        news: watch::Receiver<()>,
    ) -> Sender {
        let (reader, doubtful_until) = Reader::new(queue.clone(), &endpoint.name);
        let (track, figures) = (Track::new(queue.clone(), &endpoint.name), metrics.sending.of(&endpoint.name));
        let shards = endpoint.queue.min_shards;
        let way = Way::new(endpoint, figures);
        let common = Common { way, track, book, sent: AtomicU64::new(0), busy_us: AtomicU64::new(0) };
        Sender { common: Arc::new(common), queue, reader, doubtful_until, labels: HashMap::new(), news, shards }
    }

    /// Sends until it is aborted.
    pub async fn run(mut self) {
        let mut beside = JoinSet::new();
        beside.spawn(tell_metadata(self.common.clone()));
        let mut timer = tokio::time::interval(RESHARD_EVERY);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once.
        timer.tick().await;
        let mut scale = Scale { timer, watch: Stopwatch::start(), arrived: self.queue.samples() };
        let mut left = Vec::new();
        loop {
            let shards = Shards::start(&self.common, self.shards);
            self.common.way.metrics.shards(self.shards, self.shards);
            left = self.feed(&shards, left, &mut scale).await;
            if !shards.finish().await {
                self.begin_anew();
                left.clear();
                tokio::time::sleep(REST).await;
            }
        }
    }

    /// Goes back to what is settled.
    fn begin_anew(&mut self) {
        self.common.track.forget();
        (self.reader, self.doubtful_until) = Reader::new(self.queue.clone(), &self.common.way.endpoint.name);
        self.labels.clear();
    }

    /// Feeds the shards until there should be another number of them; returns what they have not got yet.
    async fn feed(&mut self, shards: &Shards, left: Vec<Item>, scale: &mut Scale) -> Vec<Item> {
        let mut items = left;
        loop {
            items = match self.hand_out(items, shards, scale).await {
                Ok(()) => Vec::new(),
                Err(left) => return left,
            };
            self.news.borrow_and_update();
            match tokio::task::block_in_place(|| self.reader.piece()) {
                Ok(Some(piece)) => items = self.take(piece),
                Ok(None) => {
                    tokio::select! {
                        // The one who tells lives as long as the endpoints do.
                        _ = self.news.changed() => {}
                        _ = scale.timer.tick() => if self.rescale(scale) { return items },
                    }
                }
                Err(error) => rest(&self.common.way.endpoint.name, &error).await,
            }
        }
    }

    /// Hands samples to the shards, each series to one; returns those that are left when there should be another number of shards.
    async fn hand_out(&mut self, items: Vec<Item>, shards: &Shards, scale: &mut Scale) -> Result<(), Vec<Item>> {
        let endpoint = &self.common.way.endpoint.queue;
        let most = endpoint.max_samples_per_send.min(endpoint.capacity);
        let mut parts: Vec<Vec<Item>> = shards.ways.iter().map(|_| Vec::new()).collect();
        for item in items {
            let place = item.entry.labels.fingerprint().0 % parts.len() as u64;
            parts[place as usize].push(item);
        }
        for place in 0..parts.len() {
            let (way, room) = &shards.ways[place];
            while !parts[place].is_empty() {
                let count = parts[place].len().min(most);
                tokio::select! {
                    biased;
                    permit = room.clone().acquire_many_owned(count as u32) => {
                        let Ok(permit) = permit else { return Err(parts.into_iter().flatten().collect()) };
                        let rest = parts[place].split_off(count);
                        let chunk = std::mem::replace(&mut parts[place], rest);
                        if way.send((chunk, permit)).is_err() {
                            // The shard ended in a fault.
                            return Err(parts.into_iter().flatten().collect());
                        }
                    }
                    _ = scale.timer.tick() => if self.rescale(scale) { return Err(parts.into_iter().flatten().collect()) },
                }
            }
        }
        Ok(())
    }

    /// Thinks over the number of shards; returns whether it changes.
    fn rescale(&mut self, scale: &mut Scale) -> bool {
        let (common, queue) = (&self.common, &self.common.way.endpoint.queue);
        let seconds = scale.watch.seconds().max(0.001);
        let arrived = self.queue.samples();
        let done = self.queue.position(&common.way.endpoint.name).0.samples;
        let load = Load {
            arrived: arrived.saturating_sub(scale.arrived) as f64 / seconds,
            sent: common.sent.swap(0, Ordering::Relaxed) as f64 / seconds,
            busy: common.busy_us.swap(0, Ordering::Relaxed) as f64 / 1e6 / seconds,
            pending: arrived.saturating_sub(done) as f64,
        };
        (scale.watch, scale.arrived) = (Stopwatch::start(), arrived);
        let wanted = wanted_shards(self.shards, load, queue);
        common.way.metrics.shards(self.shards, wanted);
        std::mem::replace(&mut self.shards, wanted) != wanted
    }

    /// Turns a record into what is to be sent of it.
    fn take(&mut self, piece: Piece) -> Vec<Item> {
        let Piece { record, is_anew, lost, after } = piece;
        let endpoint = &self.common.way.endpoint;
        if is_anew {
            self.labels.clear();
        }
        if lost > 0 {
            self.common.way.metrics.dropped(Dropped::NoRoom, lost);
            tracing::warn!(endpoint = endpoint.name, samples = lost, "samples were given up before they could be sent");
        }
        for (series, labels) in &record.series {
            self.labels.insert(*series, endpoint.labels(labels));
        }
        let mut exemplars: HashMap<u32, Vec<Exemplar>> = HashMap::new();
        if endpoint.send_exemplars {
            for (series, exemplar) in record.exemplars {
                exemplars.entry(series).or_default().push(exemplar);
            }
        }
        let mut entries = Vec::with_capacity(record.samples.len());
        for (series, at, value) in record.samples {
            let Some(Some(labels)) = self.labels.get(&series) else { continue };
            if matches!(value, Value::Histogram(_)) && !endpoint.send_native_histograms {
                continue;
            }
            let exemplars = exemplars.remove(&series).unwrap_or_default();
            entries.push(Entry { labels: labels.clone(), at, value, exemplars });
        }
        if let Some(newest) = entries.iter().map(|entry| entry.at).max() {
            self.common.way.metrics.queued(newest.0 as f64 / 1000.0);
        }
        let record = self.common.track.begin(entries.len(), after);
        let is_doubtful = after <= self.doubtful_until;
        entries.into_iter().map(|entry| Item { entry, record, is_doubtful }).collect()
    }
}

async fn rest(endpoint: &str, error: &io::Error) {
    tracing::error!(endpoint, %error, "the queue to other servers cannot be read");
    tokio::time::sleep(REST).await;
}

/// Tells a server of 1.0 at times what is said of all metrics; in 2.0 that goes with the samples.
async fn tell_metadata(common: Arc<Common>) {
    let settings = common.way.endpoint.metadata.clone();
    if !settings.send {
        return;
    }
    let mut timer = tokio::time::interval(settings.interval.to_std());
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        if common.way.protocol() == Protocol::V2 {
            continue;
        }
        let all: Vec<(String, Metadata)> = {
            let book = common.book.read().expect("no holder of this lock panics");
            book.iter().map(|(name, said)| (name.clone(), said.clone())).collect()
        };
        for some in all.chunks(settings.max_samples_per_send) {
            let Ok(packed) = snap::raw::Encoder::new().compress_vec(&encode_metadata(some)) else { continue };
            let answered = common.way.post(&packed, Protocol::V1).await;
            if answered.verdict == Verdict::Delivered {
                common.way.metrics.told_metadata(some.len());
            } else {
                // The next round tells it again.
                tracing::debug!(endpoint = common.way.endpoint.name, said = answered.said, "metadata was not taken");
                break;
            }
        }
    }
}
