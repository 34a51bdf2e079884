//! Finds the targets of one job and keeps a task for each.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use tocsin_core::model::LabelSet;
use tocsin_core::scrape::job::{Job, TargetGroup};
use tocsin_core::scrape::target::{Found, Target, targets, too_many};
use tokio::sync::watch;

use super::super::{fault, lists};
use super::target::TargetWork;
use super::{
    Beside, DROPPED_SHOWN, JobState, MetadataBook, Parts, Running, Stop, TargetId, TargetLabels, TargetStatus, Views, halt_all,
    publish,
};
use crate::client;

pub struct Finder {
    pub job: Arc<Job>,
    pub state: Arc<Mutex<JobState>>,
    pub client: Arc<client::Kept>,
    pub refusal: Arc<RwLock<Option<String>>>,
    pub views: Arc<Views>,
    pub beside: Beside,
    pub known: Arc<watch::Sender<Arc<BTreeMap<TargetId, TargetLabels>>>>,
    pub parts: Parts,
    pub metadata: MetadataBook,
    pub next_id: Arc<AtomicU64>,
}

impl Finder {
    pub async fn run(self) {
        let what = format!("finding the targets of job {}", self.job.name);
        while fault::guarded(&self.parts.ingest, &what, self.find()).await.is_none() {
            tokio::time::sleep(fault::REST).await;
        }
    }

    async fn find(&self) {
        let whose = format!("job {}", self.job.name);
        // Dropped with this future, and with it the askers.
        let (_askers, mut news) = lists::follow(&self.parts.ingest, &whose, &self.job.file_sd, &self.job.http_sd);
        loop {
            let groups = self.state.lock().expect("no holder of this lock panics").lists.groups();
            self.reconcile(groups).await;
            loop {
                let Some(said) = news.recv().await else { return std::future::pending().await };
                if self.state.lock().expect("no holder of this lock panics").lists.take(said) {
                    break;
                }
            }
        }
    }

    async fn reconcile(&self, groups: Vec<TargetGroup>) {
        let (mut wanted, mut dropped, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        let found = targets(&self.job, &groups);
        *self.refusal.write().expect("no holder of this lock panics") = too_many(&self.job, &found);
        for found in found {
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
        let gone = {
            let mut state = self.state.lock().expect("no holder of this lock panics");
            (state.dropped, state.bad) = (dropped, bad);
            // Targets that differ in labels of relabelling only are told apart by nothing here.
            let mut left: HashMap<(LabelSet, String), Vec<TargetId>> = HashMap::new();
            for (id, running) in &state.running {
                left.entry((running.target.labels.clone(), running.target.url.clone())).or_default().push(*id);
            }
            for target in wanted {
                let id = left.get_mut(&(target.labels.clone(), target.url.clone())).and_then(Vec::pop);
                match id.and_then(|id| Some((id, state.running.remove(&id)?))) {
                    Some((id, mut running)) if self.suits(&running, &target) => {
                        if *running.target != target {
                            running.target = Arc::new(target);
                        }
                        state.running.insert(id, running);
                    }
                    Some((id, running)) => {
                        state.running.insert(id, self.start(id, target, Some(running)));
                    }
                    None => {
                        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
                        state.running.insert(id, self.start(id, target, None));
                    }
                }
            }
            left.into_values().flatten().filter_map(|id| state.running.remove(&id)).collect()
        };
        publish(&self.views, &self.beside, &self.known, &self.parts);
        halt_all(gone, Stop::Ends).await;
    }

    /// Returns whether the work at a target may go on as it is.
    fn suits(&self, running: &Running, target: &Target) -> bool {
        let reads_like = Arc::ptr_eq(&running.job, &self.job) || running.job.reads_like(&self.job);
        reads_like && running.target.is_scraped_like(target) && !running.task.is_finished()
    }

    /// Starts the work at a target. `before` is the work whose place it takes: its series go on, and so does its name.
    fn start(&self, id: TargetId, target: Target, before: Option<Running>) -> Running {
        let (stop, stopped) = watch::channel(Stop::Not);
        let target = Arc::new(target);
        let (status, before) = match before {
            Some(before) => {
                // A task that has ended needs no word.
                let _ = before.stop.send(Stop::GoesOn);
                (before.status, Some(before.task))
            }
            None => (Arc::new(Mutex::new(TargetStatus::default())), None),
        };
        let work = TargetWork {
            id,
            job: self.job.clone(),
            target: target.clone(),
            client: self.client.clone(),
            status: status.clone(),
            refusal: self.refusal.clone(),
            parts: self.parts.clone(),
            metadata: self.metadata.clone(),
        };
        Running { target, job: self.job.clone(), status, stop, task: tokio::spawn(work.run(stopped, before)) }
    }
}
