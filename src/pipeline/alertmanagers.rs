//! Other Alertmanagers: found as targets are, and each told at its own pace what our rules bring.
//!
//! The watch hands in reports once what they tell of is recorded, and goes on. What each is told, when, and for how long, is decided in
//! core; nothing is stored here: after a start the ledger reports everything anew.

mod teller;

use std::sync::{Arc, Mutex};

use tocsin_core::alertmanagers::{Entry, Found, Queue, Report, targets};
use tocsin_core::config::without_password;
use tocsin_core::scrape::job::TargetGroup;
use tocsin_core::scrape::lists::Lists;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::fault;
use super::ingest::Ingest;
use super::lists;
use crate::clock;
use crate::telemetry::Metrics;
use teller::Teller;

/// Handfuls of reports that wait to be handed out.
const HANDED_IN_MAX: usize = 1024;

/// One Alertmanager that is told.
struct Told {
    teller: Arc<Teller>,
    task: JoinHandle<()>,
}

/// What one entry of the configuration has found.
struct Set {
    entry: Arc<Entry>,
    lists: Lists,
    told: Vec<Told>,
    dropped: Vec<String>,
    bad: Vec<String>,
    /// Follows the lists.
    finder: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Inner {
    sets: Vec<Set>,
    /// What was reported and still holds, so that an Alertmanager that is found later hears it too.
    standing: Queue,
}

/// The Alertmanagers that are told, and those that the rules of the configuration drop.
#[derive(Debug, Default)]
pub struct View {
    pub active: Vec<String>,
    pub dropped: Vec<String>,
}

/// The door by which reports come in.
pub struct Reports {
    handed_in: mpsc::Sender<Vec<Report>>,
    metrics: Arc<Metrics>,
}

impl Reports {
    /// Returns the door, and what comes in by it.
    pub fn new(metrics: Arc<Metrics>) -> (Reports, mpsc::Receiver<Vec<Report>>) {
        let (handed_in, reports) = mpsc::channel(HANDED_IN_MAX);
        (Reports { handed_in, metrics }, reports)
    }

    /// Takes what others must hear; never waits.
    pub fn tell(&self, reports: Vec<Report>) {
        if reports.is_empty() {
            return;
        }
        if let Err(error) = self.handed_in.try_send(reports) {
            let left = error.into_inner().len();
            self.metrics.alertmanagers.overflown(left);
            tracing::error!(
                alerts = left,
                "more alerts come than can be handed to other Alertmanagers; these are told a minute later"
            );
        }
    }
}

/// All other Alertmanagers.
pub struct Alertmanagers {
    ingest: Arc<Ingest>,
    metrics: Arc<Metrics>,
    inner: Mutex<Inner>,
}

impl Alertmanagers {
    pub fn new(ingest: Arc<Ingest>, metrics: Arc<Metrics>) -> Alertmanagers {
        Alertmanagers { ingest, metrics, inner: Mutex::default() }
    }

    /// Puts what is reported into the queue of each, for as long as the service runs.
    pub async fn hear(self: Arc<Self>, mut reports: mpsc::Receiver<Vec<Report>>) {
        while let Some(reports) = reports.recv().await {
            self.hand_out(reports);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    fn hand_out(&self, reports: Vec<Report>) {
        let reports: Vec<Arc<Report>> = reports.into_iter().map(Arc::new).collect();
        let mut inner = self.lock();
        inner.standing.forget_outdated(clock::now());
        for report in &reports {
            inner.standing.put(report.clone());
        }
        for told in inner.sets.iter().flat_map(|set| &set.told) {
            told.teller.take(&reports);
        }
    }

    /// Replaces all entries. An Alertmanager that is found again keeps what waits for it.
    pub fn replace(self: &Arc<Self>, entries: Vec<Entry>) {
        let mut inner = self.lock();
        let mut old = std::mem::take(&mut inner.sets);
        for set in &old {
            if let Some(finder) = &set.finder {
                finder.abort();
            }
        }
        let mut pool: Vec<Told> = old.iter_mut().flat_map(|set| std::mem::take(&mut set.told)).collect();
        for (number, entry) in entries.into_iter().enumerate() {
            let alike = old.iter().position(|set| set.entry.file_sd == entry.file_sd && set.entry.http_sd == entry.http_sd);
            let known = alike.map(|at| old[at].lists.clone()).unwrap_or_default();
            let lists = known.for_sources(&entry.static_groups, &entry.file_sd, &entry.http_sd);
            let has_lists = !entry.file_sd.is_empty() || !entry.http_sd.is_empty();
            let mut set =
                Set { entry: Arc::new(entry), lists, told: Vec::new(), dropped: Vec::new(), bad: Vec::new(), finder: None };
            self.reconcile(&mut set, &mut pool, &mut inner.standing);
            set.finder = has_lists.then(|| tokio::spawn(self.clone().find(number, set.entry.clone())));
            inner.sets.push(set);
        }
        self.let_go(pool, &inner);
    }

    /// Follows the lists of an entry.
    async fn find(self: Arc<Self>, number: usize, entry: Arc<Entry>) {
        let whose = format!("alerting.alertmanagers[{number}]");
        let work = async || {
            let (_askers, mut news) = lists::follow(&self.ingest, &whose, &entry.file_sd, &entry.http_sd);
            while let Some(said) = news.recv().await {
                let mut inner = self.lock();
                let Inner { sets, standing } = &mut *inner;
                let Some(set) = sets.get_mut(number).filter(|set| Arc::ptr_eq(&set.entry, &entry)) else { continue };
                if set.lists.take(said) {
                    let mut pool = std::mem::take(&mut set.told);
                    self.reconcile(set, &mut pool, standing);
                    self.let_go(pool, &inner);
                }
            }
        };
        while fault::guarded(&self.ingest, &whose, work()).await.is_none() {
            tokio::time::sleep(fault::REST).await;
        }
    }

    /// Has a set tell what its lists name, with those of the pool that fit.
    fn reconcile(&self, set: &mut Set, pool: &mut Vec<Told>, standing: &mut Queue) {
        let groups: Vec<TargetGroup> = set.lists.groups();
        let Found { urls, dropped, bad } = targets(&set.entry, &groups);
        if set.bad != bad {
            for reason in &bad {
                tracing::warn!(%reason, "an Alertmanager cannot be told");
            }
        }
        let shown = |url: String| without_password(&url).unwrap_or(url);
        (set.dropped, set.bad) = (dropped.into_iter().map(shown).collect(), bad);
        for url in urls {
            let fits =
                |told: &Told| told.teller.url == url && told.teller.entry.tells_like(&set.entry) && !told.task.is_finished();
            let at = pool.iter().position(fits).or_else(|| pool.iter().position(|told| told.teller.url == url));
            let told = match at.map(|at| pool.swap_remove(at)) {
                Some(told) if fits(&told) => told,
                Some(told) => self.start(url, set, told.teller.queue.clone(), Some(told.task)),
                None => {
                    let told = self.start(url, set, Arc::default(), None);
                    standing.forget_outdated(clock::now());
                    told.teller.take(standing.iter());
                    told
                }
            };
            set.told.push(told);
        }
    }

    /// Starts telling what a queue holds, once `before` no longer does.
    fn start(&self, url: String, set: &Set, queue: Arc<Mutex<Queue>>, before: Option<JoinHandle<()>>) -> Told {
        if let Some(before) = &before {
            before.abort();
        }
        let metrics = |name: &str| self.metrics.alertmanagers.of(name);
        let teller = Arc::new(Teller::new(url, set.entry.clone(), queue, metrics));
        Told { task: tokio::spawn(teller.clone().run(self.ingest.clone(), before)), teller }
    }

    /// Ends those that nobody names any more.
    fn let_go(&self, gone: Vec<Told>, inner: &Inner) {
        let left = |name: &str| inner.sets.iter().flat_map(|set| &set.told).any(|told| told.teller.shown == name);
        for told in gone {
            told.task.abort();
            if !left(&told.teller.shown) {
                self.metrics.alertmanagers.forget(&told.teller.shown);
            }
        }
        self.metrics.alertmanagers.discovered(inner.sets.iter().map(|set| set.told.len()).sum());
    }

    pub fn view(&self) -> View {
        let inner = self.lock();
        let active = inner.sets.iter().flat_map(|set| &set.told).map(|told| told.teller.shown.clone()).collect();
        View { active, dropped: inner.sets.iter().flat_map(|set| set.dropped.clone()).collect() }
    }
}
