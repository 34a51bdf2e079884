//! The targets at work: found, scraped on their own time, their rows appended.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tocsin_core::model::{LabelSet, SeriesRef};
use tocsin_core::scrape::body::{Metadata, Outcome, TargetState};
use tocsin_core::scrape::job::{Job, TargetGroup};
use tocsin_core::scrape::media::accept_header;
use tocsin_core::scrape::target::{Found, Target, targets};
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;

use super::hub::{Hub, Topic};
use super::ingest::Ingest;
use crate::client;
use crate::clock::{self, Stopwatch};
use crate::notify::with_causes;
use crate::scrape::discovery;
use crate::scrape::fetch::{FetchError, fetch};
use crate::telemetry::Metrics;

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
const METADATA_MAX: usize = 50_000;
/// Dropped targets that are shown for each job.
const DROPPED_SHOWN: usize = 1000;
/// Bodies longer than this are read away from the threads that drive the network.
const BIG_BODY_BYTES: usize = 256 << 10;

/// How a target fares.
#[derive(Clone, Debug, Default)]
pub struct TargetStatus {
    /// None: not scraped yet.
    pub up: Option<bool>,
    pub last_scrape_at: Option<Timestamp>,
    pub last_seconds: f64,
    pub last_error: String,
    pub samples: usize,
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

struct Running {
    target: Arc<Target>,
    status: Arc<Mutex<TargetStatus>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What a job's addresses came to.
#[derive(Default)]
struct JobState {
    running: BTreeMap<TargetId, Running>,
    dropped: Vec<LabelSet>,
    bad: Vec<(LabelSet, String)>,
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

/// The jobs by name, for those who only look.
type Views = RwLock<Vec<(String, Arc<Mutex<JobState>>)>>;

/// All jobs.
pub struct Scrapes {
    parts: Parts,
    jobs: tokio::sync::Mutex<Vec<JobWork>>,
    views: Arc<Views>,
    known: Arc<watch::Sender<Arc<BTreeMap<TargetId, TargetLabels>>>>,
    pub metadata: MetadataBook,
    next_id: Arc<std::sync::atomic::AtomicU64>,
}

impl Scrapes {
    pub fn new(parts: Parts) -> Scrapes {
        Scrapes {
            parts,
            jobs: tokio::sync::Mutex::default(),
            views: Arc::default(),
            known: Arc::new(watch::Sender::new(Arc::default())),
            metadata: MetadataBook::default(),
            next_id: Arc::default(),
        }
    }

    /// Returns the targets that are scraped now, as they change.
    pub fn targets(&self) -> watch::Receiver<Arc<BTreeMap<TargetId, TargetLabels>>> {
        self.known.subscribe()
    }

    /// Replaces all jobs. A job that stays as it was goes on undisturbed; the series of targets that go end.
    pub async fn replace(&self, wanted: Vec<Job>) {
        let mut jobs = self.jobs.lock().await;
        let mut old: Vec<JobWork> = jobs.drain(..).collect();
        for job in wanted {
            let kept = old.iter().position(|work| *work.job == job).map(|at| old.swap_remove(at));
            jobs.push(kept.unwrap_or_else(|| self.start(Arc::new(job))));
        }
        *self.views.write().expect("no holder of this lock panics") =
            jobs.iter().map(|work| (work.job.name.clone(), work.state.clone())).collect();
        for work in old {
            self.halt(work, true).await;
        }
        self.publish();
    }

    /// Stops scraping. Series do not end by that: the next start goes on with them.
    pub async fn stop(&self) {
        for work in self.jobs.lock().await.drain(..) {
            self.halt(work, false).await;
        }
    }

    async fn halt(&self, work: JobWork, ends: bool) {
        work.task.abort();
        // Whether it was cancelled or ended by itself makes no difference.
        let _ = work.task.await;
        let running = std::mem::take(&mut work.state.lock().expect("no holder of this lock panics").running);
        halt_all(running.into_values().collect(), ends).await;
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
            .collect()
    }

    fn publish(&self) {
        publish(&self.views, &self.known, &self.parts);
    }

    fn start(&self, job: Arc<Job>) -> JobWork {
        let state = Arc::new(Mutex::new(JobState::default()));
        let finder = Finder {
            job: job.clone(),
            state: state.clone(),
            views: self.views.clone(),
            known: self.known.clone(),
            parts: self.parts.clone(),
            metadata: self.metadata.clone(),
            next_id: self.next_id.clone(),
        };
        JobWork { job, state, task: tokio::spawn(finder.run()) }
    }
}

fn publish(views: &Views, known: &watch::Sender<Arc<BTreeMap<TargetId, TargetLabels>>>, parts: &Parts) {
    let views = views.read().expect("no holder of this lock panics").clone();
    let mut all = BTreeMap::new();
    for (_, state) in views {
        for (id, running) in &state.lock().expect("no holder of this lock panics").running {
            all.insert(*id, Arc::new(running.target.labels.clone()));
        }
    }
    parts.metrics.targets.set(all.len() as i64);
    known.send_replace(Arc::new(all));
    parts.hub.tell(Topic::Targets, None);
}

async fn halt_all(running: Vec<Running>, ends: bool) {
    for target in &running {
        // A task that has ended needs no word.
        let _ = target.stop.send(ends);
    }
    for target in running {
        if !ends {
            target.task.abort();
        }
        let _ = target.task.await;
    }
}

/// Finds the targets of one job and keeps a task for each.
struct Finder {
    job: Arc<Job>,
    state: Arc<Mutex<JobState>>,
    views: Arc<Views>,
    known: Arc<watch::Sender<Arc<BTreeMap<TargetId, TargetLabels>>>>,
    parts: Parts,
    metadata: MetadataBook,
    next_id: Arc<std::sync::atomic::AtomicU64>,
}

impl Finder {
    async fn run(self) {
        let (found, mut news) = mpsc::channel::<(String, Vec<TargetGroup>)>(16);
        let mut groups: BTreeMap<String, Vec<TargetGroup>> = BTreeMap::new();
        groups.insert("static".to_owned(), self.job.static_groups.clone());
        // Dropped with this future, and with it the askers.
        let mut askers = tokio::task::JoinSet::new();
        for (index, files) in self.job.file_sd.iter().cloned().enumerate() {
            let (found, job) = (found.clone(), self.job.name.clone());
            askers.spawn(async move {
                loop {
                    let files_read = files.clone();
                    let results =
                        tokio::task::spawn_blocking(move || discovery::read_files(&files_read)).await.unwrap_or_default();
                    let mut whole = Vec::new();
                    let mut failed = false;
                    for result in results {
                        match result {
                            Ok(groups) => whole.extend(groups),
                            Err(error) => {
                                failed = true;
                                tracing::warn!(
                                    job,
                                    error = with_causes(&error),
                                    "a list of targets cannot be read; the last good one stays"
                                );
                            }
                        }
                    }
                    if (!failed || !whole.is_empty()) && found.send((format!("file {index}"), whole)).await.is_err() {
                        return;
                    }
                    // Prometheus is told of changes by the system; looking every few seconds is as good and simpler.
                    tokio::time::sleep(files.refresh.to_std().clamp(Duration::from_secs(1), Duration::from_secs(5))).await;
                }
            });
        }
        for (index, endpoint) in self.job.http_sd.iter().cloned().enumerate() {
            let (found, job) = (found.clone(), self.job.name.clone());
            askers.spawn(async move {
                loop {
                    match discovery::ask(&endpoint).await {
                        Ok(groups) => {
                            if found.send((format!("http {index}"), groups)).await.is_err() {
                                return;
                            }
                        }
                        Err(error) => {
                            tracing::warn!(
                                job,
                                error = with_causes(&error),
                                "a list of targets cannot be fetched; the last good one stays"
                            );
                        }
                    }
                    tokio::time::sleep(endpoint.refresh.to_std().max(Duration::from_secs(1))).await;
                }
            });
        }
        drop(found);
        loop {
            self.reconcile(groups.values().flatten().cloned().collect()).await;
            loop {
                let Some((source, list)) = news.recv().await else { return std::future::pending().await };
                if groups.get(&source) != Some(&list) {
                    groups.insert(source, list);
                    break;
                }
            }
        }
    }

    async fn reconcile(&self, groups: Vec<TargetGroup>) {
        let (mut wanted, mut dropped, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        for found in targets(&self.job, &groups) {
            match found {
                Found::Target(target) => wanted.push(target),
                Found::Dropped { discovered } => dropped.push(discovered),
                Found::Bad { discovered, reason } => {
                    tracing::warn!(job = self.job.name, %reason, target = %discovered, "a target cannot be scraped");
                    bad.push((discovered, reason));
                }
            }
        }
        dropped.truncate(DROPPED_SHOWN);
        bad.truncate(DROPPED_SHOWN);
        let limit = self.job.limits.targets as usize;
        let over_limit = limit > 0 && wanted.len() > limit;
        let mut gone = Vec::new();
        {
            let mut state = self.state.lock().expect("no holder of this lock panics");
            (state.dropped, state.bad) = (dropped, bad);
            let mut left: HashMap<(LabelSet, String), TargetId> = state
                .running
                .iter()
                .map(|(id, running)| ((running.target.labels.clone(), running.target.url.clone()), *id))
                .collect();
            for target in wanted {
                match left.remove(&(target.labels.clone(), target.url.clone())) {
                    Some(id) if *state.running[&id].target == target => {}
                    known => {
                        gone.extend(known.and_then(|id| state.running.remove(&id)));
                        let id = self.next_id.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        state.running.insert(id, self.start(id, target, over_limit));
                    }
                }
            }
            let ended: BTreeSet<TargetId> = left.into_values().collect();
            gone.extend(ended.into_iter().filter_map(|id| state.running.remove(&id)));
        }
        publish(&self.views, &self.known, &self.parts);
        halt_all(gone, true).await;
    }

    fn start(&self, id: TargetId, target: Target, over_limit: bool) -> Running {
        let (stop, stopped) = watch::channel(false);
        let (target, status) = (Arc::new(target), Arc::new(Mutex::new(TargetStatus::default())));
        let work = TargetWork {
            id,
            job: self.job.clone(),
            target: target.clone(),
            status: status.clone(),
            parts: self.parts.clone(),
            metadata: self.metadata.clone(),
            over_limit,
        };
        Running { target, status, stop, task: tokio::spawn(work.run(stopped)) }
    }
}

/// Scrapes one target until told to stop.
struct TargetWork {
    id: TargetId,
    job: Arc<Job>,
    target: Arc<Target>,
    status: Arc<Mutex<TargetStatus>>,
    parts: Parts,
    metadata: MetadataBook,
    over_limit: bool,
}

impl TargetWork {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut state = TargetState::new(&self.target, self.job.clone());
        let mut http = client::build(&self.job.client, self.target.timeout.to_std()).await;
        let accept = accept_header(&self.job);
        let mut due = self.target.next_due(clock::now(), self.parts.seed);
        loop {
            tokio::select! {
                _ = stop.changed() => break,
                () = clock::sleep_until(due) => {}
            }
            if http.is_err() {
                http = client::build(&self.job.client, self.target.timeout.to_std()).await;
            }
            tokio::select! {
                _ = stop.changed() => break,
                () = self.scrape(&mut state, &http, &accept, due) => {}
            }
            due = self.target.due_after(due, clock::now(), self.parts.seed);
        }
        if *stop.borrow() {
            let row = state.ended(clock::now(), &mut |labels| self.resolve(labels));
            self.parts.ingest.append(&row);
        }
    }

    fn resolve(&self, labels: &LabelSet) -> Result<SeriesRef, String> {
        self.parts.ingest.resolve(labels).ok_or_else(|| "the store has no room for another series".to_owned())
    }

    async fn scrape(
        &self,
        state: &mut TargetState,
        http: &Result<reqwest::Client, client::ClientError>,
        accept: &str,
        due: Timestamp,
    ) {
        let (now, watch) = (clock::now(), Stopwatch::start());
        // Within a small tolerance the time that was due is taken, so that the distances between samples are all alike and small to store.
        let tolerance = Span(2).min(Span(self.target.interval.0 / 100));
        let at = if now.since(due).0.abs() <= tolerance.0 { due } else { now };
        let fetched = if self.over_limit {
            Err(format!("target_limit exceeded (limit: {})", self.job.limits.targets))
        } else {
            match http {
                Ok(http) => fetch(http, &self.target.url, &self.job, accept, self.target.timeout.to_std())
                    .await
                    .map_err(|error: FetchError| with_causes(&error)),
                Err(error) => Err(with_causes(error)),
            }
        };
        self.parts.metrics.scrapes.inc();
        let seconds = watch.seconds();
        let mut resolve = |labels: &LabelSet| self.resolve(labels);
        let mut digest = || match &fetched {
            Ok(body) => state.scraped(&body.body, body.content_type.as_deref(), at, seconds, &mut resolve),
            Err(error) => state.failed(error, at, seconds, &mut resolve),
        };
        let big = fetched.as_ref().is_ok_and(|body| body.body.len() > BIG_BODY_BYTES);
        let outcome = if big { tokio::task::block_in_place(&mut digest) } else { digest() };
        if !self.parts.ingest.append(&outcome.row) {
            // The store has forgotten some of the series; the next scrape resolves all of them anew.
            *state = TargetState::new(&self.target, self.job.clone());
        }
        self.note(outcome, at, seconds);
    }

    fn note(&self, outcome: Outcome, at: Timestamp, seconds: f64) {
        let Outcome { report, metadata, .. } = outcome;
        if let Some(error) = &report.error {
            self.parts.metrics.scrapes_failed.inc();
            tracing::debug!(job = self.job.name, url = self.target.url, error, "a scrape failed");
        }
        if let Some(metadata) = metadata {
            let mut book = self.metadata.write().expect("no holder of this lock panics");
            for (name, said) in metadata {
                if book.len() < METADATA_MAX || book.contains_key(&name) {
                    book.insert(name, said);
                }
            }
        }
        let up = report.error.is_none();
        let changed = {
            let mut status = self.status.lock().expect("no holder of this lock panics");
            let changed = status.up != Some(up);
            *status = TargetStatus {
                up: Some(up),
                last_scrape_at: Some(at),
                last_seconds: seconds,
                last_error: report.error.unwrap_or_default(),
                samples: report.samples,
            };
            changed
        };
        if changed {
            self.parts.hub.tell(Topic::Targets, None);
        }
        // Nobody listens where there are no rules.
        let _ = self.parts.landed.send(Landed { target: self.id, added: report.series_added });
    }
}
