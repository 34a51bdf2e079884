//! The journeys: each tried at its own beat, told to the store, and remembered for drills.
//!
//! They have a thread of their own, so that nothing else that this program does can hold up the clock of a drill.

mod walk;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};

use tocsin_core::journey::{Attempt, Ended, Failure, Journey, Memory, Piece, Report, StepEnded};
use tocsin_core::model::{Cell, LabelSet, Row, Value};
use tocsin_core::scrape::target::Target;
use tocsin_core::time::{Span, Timestamp};
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::fault::{REST, guarded};
use super::hub::{Hub, Topic};
use super::ingest::Ingest;
use super::scrapes::{Landed, Scrapes, TargetId};
use crate::client;
use crate::clock::{self, Stopwatch};

/// The parts that journeys work with.
pub struct Parts {
    pub ingest: Arc<Ingest>,
    pub hub: Hub,
    pub landed: broadcast::Sender<Landed>,
    /// Who tells the rules what lands.
    pub scrapes: Arc<Scrapes>,
}

/// What a journey's work is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Not,
    /// The series do not end: a successor, or the next start, goes on with them.
    GoesOn,
    Ends,
}

/// How a journey fares.
#[derive(Clone, Debug, Default)]
struct Standing {
    memory: Memory,
    /// Of the last attempt, those that were reached.
    steps: Vec<StepEnded>,
}

/// A journey with how it fares.
#[derive(Clone, Debug)]
pub struct JourneyView {
    pub journey: Arc<Journey>,
    pub last: Option<Attempt>,
    /// Oldest first.
    pub recent: Vec<Attempt>,
    /// The steps of the last attempt that were reached.
    pub steps: Vec<StepEnded>,
}

/// A journey for those who only look.
#[derive(Clone)]
struct Shown {
    journey: Arc<Journey>,
    standing: Arc<Mutex<Standing>>,
}

struct Running {
    id: TargetId,
    shown: Shown,
    stop: watch::Sender<Stop>,
    task: JoinHandle<Report>,
}

/// All journeys.
pub struct Journeys {
    parts: Parts,
    /// None once it is let go of.
    runtime: Option<Runtime>,
    running: tokio::sync::Mutex<Vec<Running>>,
    shown: RwLock<Vec<Shown>>,
}

impl Journeys {
    /// Errors: no thread can be started.
    pub fn new(parts: Parts) -> std::io::Result<Journeys> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("journeys").enable_all().build()?;
        Ok(Journeys { parts, runtime: Some(runtime), running: tokio::sync::Mutex::default(), shown: RwLock::default() })
    }

    /// Replaces all journeys. One that stays as it was goes on undisturbed; one that changed keeps its series and its memory; the series
    /// of those that go end.
    pub async fn replace(&self, wanted: Vec<Journey>) {
        let mut all = self.running.lock().await;
        let mut old: BTreeMap<String, Running> =
            all.drain(..).map(|running| (running.shown.journey.name.clone(), running)).collect();
        for journey in wanted {
            let before = old.remove(&journey.name);
            all.push(match before {
                Some(running) if *running.shown.journey == journey && !running.task.is_finished() => running,
                Some(running) => {
                    // A task that has ended needs no word.
                    let _ = running.stop.send(Stop::GoesOn);
                    let report = running.task.await.unwrap_or_default();
                    self.start(journey, running.id, running.shown.standing, report)
                }
                None => self.start(journey, self.parts.scrapes.next_id(), Arc::default(), Report::default()),
            });
        }
        *self.shown.write().expect("no holder of this lock panics") = all.iter().map(|running| running.shown.clone()).collect();
        let beside = all.iter().map(|running| (running.id, Arc::new(running.shown.journey.own_labels()))).collect();
        halt(old.into_values().collect(), Stop::Ends).await;
        self.parts.scrapes.set_beside(beside);
        self.parts.hub.tell(Topic::Journeys, None);
    }

    /// Stops all attempts. Series do not end by that: the next start goes on with them.
    pub async fn stop(&self) {
        let old = std::mem::take(&mut *self.running.lock().await);
        halt(old, Stop::GoesOn).await;
    }

    /// Returns the last attempt at a journey; None when there was none, or no such journey.
    pub fn last(&self, name: &str) -> Option<Attempt> {
        self.look(name, |standing| standing.memory.last().cloned())?
    }

    /// Returns the attempts at a journey that began at `from` or later, oldest first; of all that it remembers. None: no such journey.
    pub fn since(&self, name: &str, from: Timestamp) -> Option<Vec<Attempt>> {
        self.look(name, |standing| standing.memory.since(from))
    }

    /// Returns how every journey fares, in the order of the configuration, with its last attempts, at most so many.
    pub fn view(&self, recent: usize) -> Vec<JourneyView> {
        let shown = self.shown.read().expect("no holder of this lock panics");
        let view = shown.iter().map(|shown| {
            let standing = shown.standing.lock().expect("no holder of this lock panics");
            JourneyView {
                journey: shown.journey.clone(),
                last: standing.memory.last().cloned(),
                recent: standing.memory.recent(recent).cloned().collect(),
                steps: standing.steps.clone(),
            }
        });
        view.collect()
    }

    fn look<T>(&self, name: &str, look: impl FnOnce(&Standing) -> T) -> Option<T> {
        let shown = self.shown.read().expect("no holder of this lock panics");
        let found = shown.iter().find(|shown| shown.journey.name == name)?;
        Some(look(&found.standing.lock().expect("no holder of this lock panics")))
    }

    /// Starts a journey; `standing` and `report` are those of the one whose place it takes.
    fn start(&self, journey: Journey, id: TargetId, standing: Arc<Mutex<Standing>>, report: Report) -> Running {
        let journey = Arc::new(journey);
        let (stop, stopped) = watch::channel(Stop::Not);
        let work = Work {
            id,
            target: target(&journey),
            http: client::Kept::for_probes(journey.client.clone(), journey.timeout.to_std()),
            journey: journey.clone(),
            standing: standing.clone(),
            ingest: self.parts.ingest.clone(),
            hub: self.parts.hub.clone(),
            landed: self.parts.landed.clone(),
        };
        let runtime = self.runtime.as_ref().expect("it is let go of by the drop alone");
        Running { id, shown: Shown { journey, standing }, stop, task: runtime.spawn(work.run(stopped, report)) }
    }
}

impl Drop for Journeys {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn halt(old: Vec<Running>, word: Stop) {
    for running in &old {
        // A task that has ended needs no word.
        let _ = running.stop.send(word);
    }
    for running in old {
        let _ = running.task.await;
    }
}

/// Returns a journey as a target, whose grid it is tried on.
fn target(journey: &Journey) -> Target {
    let url = journey.steps.first().and_then(|step| match step.url.0.first() {
        Some(Piece::Literal(url)) => Some(url.clone()),
        Some(Piece::Saved(_) | Piece::Secret(_)) | None => None,
    });
    Target {
        labels: journey.own_labels(),
        discovered: LabelSet::empty(),
        url: url.unwrap_or_default(),
        interval: journey.interval,
        timeout: journey.timeout,
    }
}

/// Tries one journey until told to stop.
struct Work {
    id: TargetId,
    journey: Arc<Journey>,
    target: Target,
    http: client::Kept,
    standing: Arc<Mutex<Standing>>,
    ingest: Arc<Ingest>,
    hub: Hub,
    landed: broadcast::Sender<Landed>,
}

impl Work {
    async fn run(self, mut stop: watch::Receiver<Stop>, mut report: Report) -> Report {
        let what = format!("trying the journey {}", self.journey.name);
        loop {
            let word = tokio::select! {
                // An error means that the one who could tell has gone; then nobody says that the series end.
                word = stop.wait_for(|stop| *stop != Stop::Not) => Some(word.map_or(Stop::GoesOn, |word| *word)),
                _ = guarded(&self.ingest, &what, self.keep_trying(&mut report)) => None,
            };
            match word {
                Some(Stop::Ends) => {
                    self.ingest.end(clock::now(), report.alive());
                    return Report::default();
                }
                Some(Stop::GoesOn | Stop::Not) => return report,
                None => tokio::time::sleep(REST).await,
            }
        }
    }

    async fn keep_trying(&self, report: &mut Report) {
        let mut told: Option<String> = None;
        let mut due = self.target.next_due(clock::now(), 0);
        loop {
            clock::sleep_until(due).await;
            let ended = self.attempt(due).await;
            self.tell(&mut told, &ended);
            self.append(report, &ended);
            self.note(&ended);
            due = self.target.due_after(due, clock::now(), 0);
        }
    }

    async fn attempt(&self, due: Timestamp) -> Ended {
        let (now, watch) = (clock::now(), Stopwatch::start());
        // Within a small tolerance the time that was due is taken, so that the distances between samples are all alike and small to store.
        let began = if now.since(due).0.abs() <= 2 { due } else { now };
        let mut steps = Vec::new();
        let walk = walk::walk(&self.journey, &self.http, began, &mut steps);
        let result = tokio::time::timeout(self.journey.timeout.to_std(), walk).await;
        let seconds = watch.seconds();
        let failure = match result {
            Ok(result) => result.err(),
            Err(_) => Some(self.overdue(&mut steps, seconds)),
        };
        Ended { due, began, seconds, failure, steps }
    }

    /// Returns what is said of an attempt whose time is up. The step that it was at has the time that the others have not.
    fn overdue(&self, steps: &mut [StepEnded], seconds: f64) -> Failure {
        let at = steps.len().saturating_sub(1);
        let before: f64 = steps[..at].iter().map(|step| step.seconds).sum();
        if let Some(step) = steps.last_mut() {
            step.seconds = (seconds - before).max(0.0);
        }
        let name = self.journey.steps.get(at).map(|step| step.name.as_str()).unwrap_or_default();
        Failure {
            reason: format!("{name}: no whole answer within the timeout of {}", self.journey.timeout),
            ours: steps.is_empty(),
        }
    }

    /// Logs a failure when it begins or changes, and its end.
    fn tell(&self, told: &mut Option<String>, ended: &Ended) {
        let (journey, reason) = (&self.journey.name, ended.failure.as_ref().map(|failure| failure.reason.clone()));
        match (&reason, told.as_ref()) {
            (Some(reason), before) if before != Some(reason) => tracing::warn!(journey, reason, "a journey fails"),
            (None, Some(_)) => tracing::info!(journey, "a journey is whole again"),
            (Some(_), _) | (None, None) => {}
        }
        *told = reason;
    }

    fn append(&self, report: &mut Report, ended: &Ended) {
        let written = report.of(&self.journey, ended);
        let row = || {
            let cell = |(labels, value): &(LabelSet, f64)| {
                Some(Cell { series: self.ingest.resolve(labels)?, at: None, value: Value::Float(*value) })
            };
            Row { at: ended.began, cells: written.series.iter().filter_map(cell).collect() }
        };
        // Should the store have forgotten some of the series meanwhile, it makes them again when it is asked anew.
        if !self.ingest.append(&row()) {
            self.ingest.append(&row());
        }
        // Nobody listens where there are no rules.
        let _ = self.landed.send(Landed { target: self.id, added: written.added });
    }

    fn note(&self, ended: &Ended) {
        let attempt = ended.attempt(&self.journey);
        self.ingest.metrics.journeys_tried.inc();
        if attempt.late {
            self.ingest.metrics.journeys_late.inc();
            let behind: Span = ended.behind();
            tracing::warn!(journey = self.journey.name, seconds = behind.seconds(), "an attempt at a journey began late");
        }
        {
            let mut standing = self.standing.lock().expect("no holder of this lock panics");
            standing.memory.note(attempt);
            standing.steps.clone_from(&ended.steps);
        }
        self.hub.tell(Topic::Journeys, Some(&self.journey.name));
    }
}
