//! The targets at work: found, scraped on their own time, their rows appended.

mod finder;
mod target;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tocsin_core::model::LabelSet;
use tocsin_core::scrape::body::{Metadata, TargetState};
use tocsin_core::scrape::job::Job;
use tocsin_core::scrape::lists::Lists;
use tocsin_core::scrape::target::Target;
use tocsin_core::time::Timestamp;
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::collect::Collects;
use super::hub::{Hub, Topic};
use super::ingest::Ingest;
use crate::client;
use crate::telemetry::Metrics;
use finder::Finder;

/// Names a target within this life of the process.
pub type TargetId = u64;
/// The labels that a target's series get.
pub type TargetLabels = Arc<LabelSet>;

/// A scrape is in the store.
#[derive(Clone, Debug)]
pub struct Landed {
    pub target: TargetId,
    /// Series that are new.
    pub added: usize,
}

/// Kept of the names of metrics with their types and helps.
pub const METADATA_MAX: usize = 50_000;
/// Dropped targets that are shown for each job.
const DROPPED_SHOWN: usize = 1000;
/// Nothing bounds connecting but the time that a target has for the whole exchange.
const CONNECT_MAX: Duration = Duration::from_secs(24 * 3600);

/// How a target fares.
#[derive(Clone, Debug, Default)]
pub struct TargetStatus {
    /// None: not scraped yet.
    pub up: Option<bool>,
    pub last_scrape_at: Option<Timestamp>,
    pub last_seconds: f64,
    pub last_error: String,
    pub samples: usize,
    pub series: SeriesStatus,
}

/// How a target's series fare under limits.
#[derive(Clone, Debug, Default)]
pub struct SeriesStatus {
    /// Series that the target may hold; zero for no limit of its own.
    pub limit: u64,
    /// Series that it holds, where it has a limit.
    pub held: usize,
    /// Samples of the last scrape without a series, because a new one was refused.
    pub refused: usize,
    /// Why the first of them was refused.
    pub refusal: String,
}

impl TargetStatus {
    /// Takes the place of what was known of a target; who looks at targets is told when it has come up or gone down.
    pub fn note(self, status: &Mutex<TargetStatus>, hub: &Hub) {
        let mut status = status.lock().expect("no holder of this lock panics");
        let changed = status.up != self.up || (status.series.refused > 0) != (self.series.refused > 0);
        *status = self;
        drop(status);
        if changed {
            hub.tell(Topic::Targets, None);
        }
    }
}

/// A target with how it fares.
#[derive(Clone, Debug)]
pub struct TargetView {
    pub id: TargetId,
    pub target: Arc<Target>,
    pub status: TargetStatus,
}

/// A job with its targets.
#[derive(Clone, Debug)]
pub struct JobView {
    pub name: String,
    pub targets: Vec<TargetView>,
    pub dropped: Vec<LabelSet>,
    /// Addresses that cannot be scraped, with the reason.
    pub bad: Vec<(LabelSet, String)>,
}

/// What a target's work is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Not,
    /// The series do not end: a successor, or the next start, goes on with them.
    GoesOn,
    Ends,
}

struct Running {
    target: Arc<Target>,
    job: Arc<Job>,
    status: Arc<Mutex<TargetStatus>>,
    stop: watch::Sender<Stop>,
    task: JoinHandle<TargetState>,
}

/// What a job's addresses came to.
#[derive(Default)]
struct JobState {
    running: BTreeMap<TargetId, Running>,
    dropped: Vec<LabelSet>,
    bad: Vec<(LabelSet, String)>,
    lists: Lists,
    client: Option<Arc<client::Kept>>,
    /// Why no target of the job may be scraped.
    refusal: Arc<RwLock<Option<String>>>,
}

struct JobWork {
    job: Arc<Job>,
    state: Arc<Mutex<JobState>>,
    task: JoinHandle<()>,
}

/// The parts that scraping works with.
#[derive(Clone)]
pub struct Parts {
    pub ingest: Arc<Ingest>,
    pub hub: Hub,
    pub metrics: Arc<Metrics>,
    pub landed: broadcast::Sender<Landed>,
    /// Tells this server's grid of scrapes apart from its replicas'.
    pub seed: u64,
}

/// What is said of metrics: by name.
pub type MetadataBook = Arc<RwLock<BTreeMap<String, Metadata>>>;

/// What is asked beside the targets, and lands as a scrape does.
type Beside = Arc<RwLock<BTreeMap<TargetId, TargetLabels>>>;

/// The jobs by name, for those who only look.
type Views = RwLock<Vec<(String, Arc<Mutex<JobState>>)>>;

/// All jobs.
pub struct Scrapes {
    parts: Parts,
    /// A thread of its own, which no query holds up and no other thread has to be woken for; one keeps up with millions of samples a
    /// second. None once it is let go of.
    runtime: Option<Runtime>,
    jobs: tokio::sync::Mutex<Vec<JobWork>>,
    views: Arc<Views>,
    known: Arc<watch::Sender<Arc<BTreeMap<TargetId, TargetLabels>>>>,
    pub metadata: MetadataBook,
    next_id: Arc<AtomicU64>,
    beside: Beside,
    /// The sources that are asked over an API, which are looked at beside the targets.
    pub collects: Collects,
}

impl Scrapes {
    /// Errors: no thread can be started.
    pub fn new(parts: Parts) -> std::io::Result<Scrapes> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("scrapes").enable_all().build()?;
        Ok(Scrapes {
            collects: Collects::new(parts.ingest.clone(), parts.hub.clone()),
            parts,
            runtime: Some(runtime),
            jobs: tokio::sync::Mutex::default(),
            views: Arc::default(),
            known: Arc::new(watch::Sender::new(Arc::default())),
            metadata: MetadataBook::default(),
            next_id: Arc::default(),
            beside: Beside::default(),
        })
    }

    /// Returns a number that no target has, for what lands beside the targets.
    pub fn next_id(&self) -> TargetId {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Says what lands beside the targets, so that rules look at it early.
    pub fn set_beside(&self, beside: BTreeMap<TargetId, TargetLabels>) {
        *self.beside.write().expect("no holder of this lock panics") = beside;
        self.publish();
    }

    /// Returns the targets that are scraped now, as they change.
    pub fn targets(&self) -> watch::Receiver<Arc<BTreeMap<TargetId, TargetLabels>>> {
        self.known.subscribe()
    }

    /// Replaces all jobs. A job that stays as it was goes on undisturbed. A job that changed goes on with its targets and their
    /// series; the series of targets that go end.
    pub async fn replace(&self, wanted: Vec<Job>) {
        let mut jobs = self.jobs.lock().await;
        let mut old: BTreeMap<String, JobWork> = jobs.drain(..).map(|work| (work.job.name.clone(), work)).collect();
        for job in wanted {
            let work = match old.remove(&job.name) {
                Some(work) if *work.job == job && !work.task.is_finished() => work,
                Some(work) => {
                    work.task.abort();
                    // Whether it was cancelled or ended by itself makes no difference.
                    let _ = work.task.await;
                    self.start(Arc::new(job), work.state)
                }
                None => self.start(Arc::new(job), Arc::default()),
            };
            jobs.push(work);
        }
        *self.views.write().expect("no holder of this lock panics") =
            jobs.iter().map(|work| (work.job.name.clone(), work.state.clone())).collect();
        for work in old.into_values() {
            self.halt(work, Stop::Ends).await;
        }
        self.publish();
    }

    /// Sets how many exemplars are kept.
    pub fn keep_exemplars(&self, max: usize) {
        self.parts.ingest.store.keep_exemplars(max);
    }

    /// Stops scraping. Series do not end by that: the next start goes on with them.
    pub async fn stop(&self) {
        self.collects.stop().await;
        for work in self.jobs.lock().await.drain(..) {
            self.halt(work, Stop::GoesOn).await;
        }
    }

    async fn halt(&self, work: JobWork, word: Stop) {
        work.task.abort();
        // Whether it was cancelled or ended by itself makes no difference.
        let _ = work.task.await;
        let running = std::mem::take(&mut work.state.lock().expect("no holder of this lock panics").running);
        halt_all(running.into_values().collect(), word).await;
    }

    /// Returns how every job's targets fare.
    pub fn view(&self) -> Vec<JobView> {
        let views = self.views.read().expect("no holder of this lock panics").clone();
        views
            .into_iter()
            .map(|(name, state)| {
                let state = state.lock().expect("no holder of this lock panics");
                let targets = state.running.iter().map(|(id, running)| TargetView {
                    id: *id,
                    target: running.target.clone(),
                    status: running.status.lock().expect("no holder of this lock panics").clone(),
                });
                JobView { name, targets: targets.collect(), dropped: state.dropped.clone(), bad: state.bad.clone() }
            })
            .chain(self.collects.view())
            .collect()
    }

    fn publish(&self) {
        publish(&self.views, &self.beside, &self.known, &self.parts);
    }

    /// Starts a job; `state` is that of the job whose place it takes.
    fn start(&self, job: Arc<Job>, state: Arc<Mutex<JobState>>) -> JobWork {
        let (client, refusal) = {
            let mut state = state.lock().expect("no holder of this lock panics");
            state.lists = std::mem::take(&mut state.lists).for_job(&job);
            let kept = state.client.take().filter(|kept| kept.is_of(&job.client));
            let client = kept.unwrap_or_else(|| Arc::new(client::Kept::new(job.client.clone(), CONNECT_MAX)));
            state.client = Some(client.clone());
            (client, state.refusal.clone())
        };
        let finder = Finder {
            job: job.clone(),
            state: state.clone(),
            client,
            refusal,
            views: self.views.clone(),
            beside: self.beside.clone(),
            known: self.known.clone(),
            parts: self.parts.clone(),
            metadata: self.metadata.clone(),
            next_id: self.next_id.clone(),
        };
        let runtime = self.runtime.as_ref().expect("it is let go of with the scrapes");
        JobWork { job, state, task: runtime.spawn(finder.run()) }
    }
}

/// Notes what is said about metrics; names that are new are passed over once there are too many.
pub fn note_metadata(book: &MetadataBook, metadata: BTreeMap<String, Metadata>) {
    if metadata.is_empty() {
        return;
    }
    let mut book = book.write().expect("no holder of this lock panics");
    for (name, said) in metadata {
        if book.len() < METADATA_MAX || book.contains_key(&name) {
            book.insert(name, said);
        }
    }
}

impl Drop for Scrapes {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn publish(views: &Views, beside: &Beside, known: &watch::Sender<Arc<BTreeMap<TargetId, TargetLabels>>>, parts: &Parts) {
    let views = views.read().expect("no holder of this lock panics").clone();
    let mut all = BTreeMap::new();
    for (_, state) in views {
        for (id, running) in &state.lock().expect("no holder of this lock panics").running {
            all.insert(*id, Arc::new(running.target.labels.clone()));
        }
    }
    parts.metrics.targets.set(all.len() as i64);
    all.extend(beside.read().expect("no holder of this lock panics").clone());
    known.send_replace(Arc::new(all));
    parts.hub.tell(Topic::Targets, None);
}

async fn halt_all(running: Vec<Running>, word: Stop) {
    for target in &running {
        // A task that has ended needs no word.
        let _ = target.stop.send(word);
    }
    for target in running {
        if word == Stop::GoesOn {
            target.task.abort();
        }
        let _ = target.task.await;
    }
}
