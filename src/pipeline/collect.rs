//! The sources that are asked over an API: each on its own time, its points appended under their own times.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tocsin_core::collect::{self, Gathered, Health};
use tocsin_core::model::{Cell, LabelSet, Row, Value};
use tocsin_core::scrape::target::Target;
use tocsin_core::time::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::fault::{REST, guarded};
use super::hub::{Hub, Topic};
use super::ingest::Ingest;
use super::scrapes::{JobView, SeriesStatus, TargetStatus, TargetView};
use crate::clock::{self, Stopwatch};
use crate::{atlas, cloudwatch};

/// A source as it is configured.
#[derive(Clone, Debug, PartialEq)]
enum Source {
    Cloudwatch(Arc<tocsin_core::cloudwatch::Source>),
    Atlas(Arc<tocsin_core::atlas::Source>),
}

/// One region or project of a source.
enum Collector {
    Cloudwatch(Box<cloudwatch::Collector>),
    Atlas(Box<atlas::Collector>),
}

impl Collector {
    async fn collect(&mut self) -> Gathered {
        match self {
            Collector::Cloudwatch(collector) => collector.collect().await,
            Collector::Atlas(collector) => collector.collect().await,
        }
    }
}

impl Source {
    fn job(&self) -> &str {
        match self {
            Source::Cloudwatch(source) => &source.job,
            Source::Atlas(source) => &source.job,
        }
    }

    fn instances(&self) -> &[String] {
        match self {
            Source::Cloudwatch(source) => &source.regions,
            Source::Atlas(source) => &source.projects,
        }
    }

    /// Returns one region or project as a target, for those who look at targets.
    fn target(&self, instance: &str) -> Target {
        let (kind, labels, url, interval, timeout) = match self {
            Source::Cloudwatch(source) => {
                let url = cloudwatch::Collector::url(source, instance);
                ("cloudwatch", &source.labels, url, source.interval, source.timeout)
            }
            Source::Atlas(source) => {
                ("atlas", &source.labels, atlas::Collector::url(source, instance), source.interval, source.timeout)
            }
        };
        let mut own = labels.builder();
        own.set("job", self.job()).set("instance", instance);
        let discovered = LabelSet::from_pairs([("__address__", url.as_str()), ("__meta_source", kind), ("job", self.job())]);
        Target { labels: own.build(), discovered, url, interval, timeout }
    }

    fn collector(&self, instance: &str, own: LabelSet) -> Collector {
        match self {
            Source::Cloudwatch(source) => {
                Collector::Cloudwatch(Box::new(cloudwatch::Collector::new(source.clone(), instance, own)))
            }
            Source::Atlas(source) => Collector::Atlas(Box::new(atlas::Collector::new(source.clone(), instance, own))),
        }
    }
}

struct Running {
    source: Source,
    instances: Vec<Instance>,
}

struct Instance {
    target: Arc<Target>,
    status: Arc<Mutex<TargetStatus>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// All sources.
pub struct Collects {
    ingest: Arc<Ingest>,
    hub: Hub,
    running: tokio::sync::Mutex<()>,
    sources: Mutex<Vec<Running>>,
}

impl Collects {
    pub fn new(ingest: Arc<Ingest>, hub: Hub) -> Collects {
        Collects { ingest, hub, running: tokio::sync::Mutex::default(), sources: Mutex::default() }
    }

    /// Replaces all sources. One that stays as it was goes on undisturbed; the reports of those that go end.
    pub async fn replace(&self, cloudwatch: Vec<tocsin_core::cloudwatch::Source>, atlas: Vec<tocsin_core::atlas::Source>) {
        let _one_at_a_time = self.running.lock().await;
        let cloudwatch = cloudwatch.into_iter().map(|source| Source::Cloudwatch(Arc::new(source)));
        let wanted: Vec<Source> = cloudwatch.chain(atlas.into_iter().map(|source| Source::Atlas(Arc::new(source)))).collect();
        let mut old = std::mem::take(&mut *self.sources());
        let (mut kept, mut fresh) = (Vec::new(), Vec::new());
        for source in wanted {
            match old.iter().position(|running| running.source == source) {
                Some(at) => kept.push(old.swap_remove(at)),
                None => fresh.push(source),
            }
        }
        // What goes is over before its successor begins, so that the end of a series does not follow its new beginning.
        let stays: Vec<LabelSet> =
            fresh.iter().flat_map(|source| source.instances().iter().map(|one| source.target(one).labels)).collect();
        halt(old, |labels| !stays.contains(labels)).await;
        kept.extend(fresh.into_iter().map(|source| self.start(source)));
        *self.sources() = kept;
        self.hub.tell(Topic::Targets, None);
    }

    /// Stops collecting. Series do not end by that: the next start goes on with them.
    pub async fn stop(&self) {
        let _one_at_a_time = self.running.lock().await;
        let old = std::mem::take(&mut *self.sources());
        halt(old, |_| false).await;
    }

    /// Returns how every source's regions and projects fare.
    pub fn view(&self) -> Vec<JobView> {
        let sources = self.sources();
        let mut jobs: BTreeMap<&str, Vec<TargetView>> = BTreeMap::new();
        for running in sources.iter() {
            let views = running.instances.iter().map(|instance| TargetView {
                // Numbers tell scraped targets apart, whose scrapes are told of; these are only looked at.
                id: u64::MAX,
                target: instance.target.clone(),
                status: instance.status.lock().expect("no holder of this lock panics").clone(),
            });
            jobs.entry(running.source.job()).or_default().extend(views);
        }
        let view = |(name, targets): (&str, Vec<TargetView>)| JobView {
            name: name.to_owned(),
            targets,
            dropped: Vec::new(),
            bad: Vec::new(),
        };
        jobs.into_iter().map(view).collect()
    }

    fn sources(&self) -> std::sync::MutexGuard<'_, Vec<Running>> {
        self.sources.lock().expect("no holder of this lock panics")
    }

    fn start(&self, source: Source) -> Running {
        let instances = source.instances().to_vec();
        let instances = instances.into_iter().map(|instance| {
            let target = Arc::new(source.target(&instance));
            let status = Arc::new(Mutex::new(TargetStatus::default()));
            let (stop, stopped) = watch::channel(false);
            let work = Work {
                ingest: self.ingest.clone(),
                hub: self.hub.clone(),
                source: source.clone(),
                instance,
                target: target.clone(),
                status: status.clone(),
            };
            Instance { target, status, stop, task: tokio::spawn(work.run(stopped)) }
        });
        Running { instances: instances.collect(), source }
    }
}

/// Stops sources; the reports of those whose labels `ends` names come to their end.
async fn halt(old: Vec<Running>, ends: impl Fn(&LabelSet) -> bool) {
    let instances: Vec<Instance> = old.into_iter().flat_map(|running| running.instances).collect();
    for instance in &instances {
        // A task that has ended needs no word.
        let _ = instance.stop.send(ends(&instance.target.labels));
    }
    for instance in instances {
        let _ = instance.task.await;
    }
}

/// Asks one region or project until told to stop.
struct Work {
    ingest: Arc<Ingest>,
    hub: Hub,
    source: Source,
    instance: String,
    target: Arc<Target>,
    status: Arc<Mutex<TargetStatus>>,
}

impl Work {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut health = Health::default();
        // The first collection is soon, for there may be much to make up for.
        let mut due = clock::now();
        loop {
            let collector = self.source.collector(&self.instance, self.target.labels.clone());
            let what = format!("collecting {} of {}", self.instance, self.source.job());
            let ended = tokio::select! {
                _ = stop.changed() => true,
                ended = guarded(&self.ingest, &what, self.collect_all(collector, &mut health, &mut due)) => ended.is_some(),
            };
            if ended {
                break;
            }
            tokio::time::sleep(REST).await;
        }
        if *stop.borrow() {
            self.ingest.end(clock::now(), health.alive());
        }
    }

    async fn collect_all(&self, mut collector: Collector, health: &mut Health, due: &mut Timestamp) {
        let mut told: Option<String> = None;
        loop {
            clock::sleep_until(*due).await;
            let (at, watch) = (clock::now(), Stopwatch::start());
            let gathered = collector.collect().await;
            let seconds = watch.seconds();
            self.tell(&mut told, gathered.error.as_deref());
            let samples = self.append(&gathered, health, at, seconds);
            self.note(&gathered, at, seconds, samples);
            *due = self.target.next_due(clock::now(), 0);
        }
    }

    /// Logs a fault when it begins or changes, and its end.
    fn tell(&self, told: &mut Option<String>, error: Option<&str>) {
        let (job, instance) = (self.source.job(), &self.instance);
        match (error, told.as_deref()) {
            (Some(error), before) if before != Some(error) => tracing::warn!(job, instance, error, "a collection is not whole"),
            (None, Some(_)) => tracing::info!(job, instance, "collections are whole again"),
            (Some(_), _) | (None, None) => {}
        }
        *told = error.map(str::to_owned);
    }

    /// Appends what was gathered; returns how many points are new.
    fn append(&self, gathered: &Gathered, health: &mut Health, at: Timestamp, seconds: f64) -> usize {
        // Should the store have forgotten some of the series meanwhile, it makes them again when it is asked anew.
        let append =
            || self.ingest.append_bulk(&collect::rows(&gathered.series, &mut |labels| self.ingest.resolve_within_limits(labels)));
        let fresh = append().or_else(append).unwrap_or(0);
        let report = health.report(&self.target.labels, gathered, seconds);
        let cell = |(labels, value): &(LabelSet, f64)| {
            Some(Cell { series: self.ingest.resolve(labels)?, at: None, value: Value::Float(*value) })
        };
        if !self.ingest.append(&Row { at, cells: report.iter().filter_map(cell).collect() }) {
            self.ingest.append(&Row { at, cells: report.iter().filter_map(cell).collect() });
        }
        fresh
    }

    fn note(&self, gathered: &Gathered, at: Timestamp, seconds: f64, samples: usize) {
        self.ingest.metrics.scrapes.inc();
        let up = gathered.error.is_none();
        if !up {
            self.ingest.metrics.scrapes_failed.inc();
        }
        let status = TargetStatus {
            up: Some(up),
            last_scrape_at: Some(at),
            last_seconds: seconds,
            last_error: gathered.error.clone().unwrap_or_default(),
            samples,
            series: SeriesStatus::default(),
        };
        status.note(&self.status, &self.hub);
    }
}
