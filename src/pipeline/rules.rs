//! The rule groups at work: each evaluated at its slots, and its alerting rules looked at early when a scrape that they touch has landed.

mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tocsin_core::ledger::{Judged, Outward, RuleKey, RuleTerms, rule_id};
use tocsin_core::model::{Cell, Fingerprint, LabelSet, Row, Value};
use tocsin_core::promql::evaluate::{CancelOnDrop, Options};
use tocsin_core::rule::grounds::Ground;
use tocsin_core::rule::{Environment, Evaluated, Kind, Local, RuleError, RuleGroup, RuleId, Unseen, with_ends};
use tocsin_core::store::Store;
use tocsin_core::time::Timestamp;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::hub::{Hub, Topic};
use super::ingest::Ingest;
use super::scrapes::Landed;
use super::watch::{Known, Standing, Wanted, Watch};
use super::{crash, fault};
use crate::clock::{self, Stopwatch};
use crate::telemetry::Metrics;
use look::{Looks, Targets};

/// One rule's evaluation may take this long; then it fails, and the group goes on.
const EVALUATION_MAX: Duration = Duration::from_secs(60);
/// After a look that took some time, no further look of the group begins for this many times as long: looks are a courtesy.
const LOOK_REST: u32 = 9;

/// A group that is asked to stop while it evaluates may finish within this time.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// What the health of a rule says after a panic.
const FAULT: &str = "the evaluation ended in a fault of Tocsin; the log has more";

/// How a rule fared at its last evaluation.
#[derive(Clone, Debug, Default)]
pub struct RuleStatus {
    /// None: not evaluated yet.
    pub last_evaluation: Option<Timestamp>,
    pub seconds: f64,
    pub error: Option<String>,
}

/// A group as it runs.
#[derive(Clone, Debug)]
pub struct GroupStatus {
    pub group: Arc<RuleGroup>,
    pub keys: Arc<Vec<RuleKey>>,
    pub last_evaluation: Option<Timestamp>,
    pub seconds: f64,
    pub rules: Vec<RuleStatus>,
}

/// The parts that groups work with.
#[derive(Clone)]
pub struct Parts {
    pub store: Arc<Store>,
    pub ingest: Arc<Ingest>,
    pub watch: Watch,
    pub hub: Hub,
    pub metrics: Arc<Metrics>,
    pub landed: broadcast::Sender<Landed>,
    pub wanted: broadcast::Sender<Wanted>,
    pub targets: watch::Receiver<Targets>,
}

/// What evaluations take from the configuration.
#[derive(Clone)]
pub struct Settings {
    pub options: Options,
    pub environment: Environment,
    pub outward: Outward,
}

/// The series that a rule wrote last; those that it does not write again have ended.
type Written = BTreeSet<LabelSet>;

/// What the evaluations of a group depend on, beside the group itself.
#[derive(Clone, PartialEq)]
struct Terms {
    options: Options,
    environment: Environment,
    /// The names of all metrics that rules write.
    recorded: Arc<BTreeSet<String>>,
}

/// What rules leave to those of the same identity.
struct Inherited {
    written: BTreeMap<RuleId, Written>,
    /// Their alerts that are pending or fire.
    active: BTreeMap<RuleKey, BTreeSet<LabelSet>>,
}

struct Running {
    group: Arc<RuleGroup>,
    terms: Terms,
    status: Arc<Mutex<GroupStatus>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<BTreeMap<RuleId, Written>>,
}

/// All groups.
pub struct Rules {
    parts: Parts,
    running: tokio::sync::Mutex<Vec<Running>>,
    status: Arc<RwLock<Vec<Arc<Mutex<GroupStatus>>>>>,
}

impl Rules {
    pub fn new(parts: Parts) -> Rules {
        Rules { parts, running: tokio::sync::Mutex::default(), status: Arc::default() }
    }

    /// Replaces all groups. A group that stays as it was goes on undisturbed; rules that stay keep their alerts and their series; the
    /// series of those that go end. `judged_elsewhere` are the alert rules of others: alerts of any further rule end.
    pub async fn replace(&self, groups: Vec<RuleGroup>, judged_elsewhere: Vec<RuleKey>, settings: &Settings) {
        let mut running = self.running.lock().await;
        let groups: Vec<Arc<RuleGroup>> = groups.into_iter().map(Arc::new).collect();
        let rules = || groups.iter().flat_map(|group| &group.rules);
        let recorded = rules().filter(|rule| !rule.is_alert()).map(|rule| rule.name().to_owned()).collect();
        let terms =
            Terms { options: settings.options.clone(), environment: settings.environment.clone(), recorded: Arc::new(recorded) };
        let keys: Vec<RuleKey> = groups
            .iter()
            .flat_map(|group| group.ids().into_iter().zip(&group.rules))
            .filter(|(_, rule)| rule.is_alert())
            .map(|(id, _)| Arc::new(id))
            .collect();
        let wanted: BTreeMap<_, _> = groups.iter().map(|group| ((&*group.file, &*group.name), group)).collect();
        let stays = |own: &mut Running| {
            let group = wanted.get(&(&*own.group.file, &*own.group.name));
            group.is_some_and(|group| **group == own.group) && own.terms == terms && !own.task.is_finished()
        };
        let going: Vec<Running> = running.extract_if(.., |own| !stays(own)).collect();
        let written = stop(going).await;
        let known = Known { keys, elsewhere: judged_elsewhere, outward: settings.outward.clone() };
        let Ok(active) = self.parts.watch.rules(known).await else { return };
        let mut inherited = Inherited { written, active };
        let mut statuses = Vec::new();
        for group in &groups {
            let status = match running.iter().find(|own| own.group == *group) {
                Some(own) => own.status.clone(),
                None => {
                    let own = self.start(group, &terms, &mut inherited);
                    let status = own.status.clone();
                    running.push(own);
                    status
                }
            };
            statuses.push(status);
        }
        *self.status.write().expect("no holder of this lock panics") = statuses;
        self.parts.ingest.end(clock::now(), inherited.written.values().flatten());
        self.parts.hub.tell(Topic::Rules, None);
    }

    fn start(&self, group: &Arc<RuleGroup>, terms: &Terms, inherited: &mut Inherited) -> Running {
        let (work, status) = GroupWork::new(&self.parts, group, terms, inherited);
        let (stop, stopped) = watch::channel(false);
        Running { group: group.clone(), terms: terms.clone(), status, stop, task: tokio::spawn(work.run(stopped)) }
    }

    /// Stops all groups; their alerts and series stay as they are, for the next start.
    pub async fn stop(&self) {
        stop(std::mem::take(&mut *self.running.lock().await)).await;
    }

    /// Returns how every group fares.
    pub fn status(&self) -> Vec<GroupStatus> {
        let status = self.status.read().expect("no holder of this lock panics").clone();
        status.iter().map(|group| group.lock().expect("no holder of this lock panics").clone()).collect()
    }

    /// Returns once every group has been evaluated since it was started.
    pub async fn warm(&self) {
        while self.status().iter().any(|group| group.last_evaluation.is_none() && !group.group.rules.is_empty()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn stop(running: Vec<Running>) -> BTreeMap<RuleId, Written> {
    let mut written = BTreeMap::new();
    for group in &running {
        // A task that has ended needs no word.
        let _ = group.stop.send(true);
    }
    for group in running {
        match group.task.await {
            Ok(own) => written.extend(own),
            Err(error) => tracing::error!(group = group.group.name, %error, "a rule group's task ended in a fault"),
        }
    }
    written
}

/// Returns once a group is asked to stop.
async fn asked(stop: &mut watch::Receiver<bool>) {
    // An error means that the asker has gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

struct GroupWork {
    parts: Parts,
    options: Options,
    environment: Environment,
    group: Arc<RuleGroup>,
    keys: Arc<Vec<RuleKey>>,
    /// By which they are asked for.
    ids: Vec<Fingerprint>,
    terms: Vec<Arc<RuleTerms>>,
    looks: Looks,
    written: Vec<Written>,
    /// The alerts of each rule that are pending or fire.
    active: Vec<BTreeSet<LabelSet>>,
    status: Arc<Mutex<GroupStatus>>,
}

/// What an evaluation brings, and the alerts of which it cannot tell whether they have ended.
type Answer = (Evaluated, BTreeMap<LabelSet, Unseen>);

impl GroupWork {
    fn new(
        parts: &Parts,
        group: &Arc<RuleGroup>,
        terms: &Terms,
        inherited: &mut Inherited,
    ) -> (GroupWork, Arc<Mutex<GroupStatus>>) {
        let ids = group.ids();
        let written = ids.iter().map(|id| inherited.written.remove(id).unwrap_or_default()).collect();
        let active = ids.iter().map(|id| inherited.active.remove(id).unwrap_or_default()).collect();
        let keys: Arc<Vec<RuleKey>> = Arc::new(ids.into_iter().map(Arc::new).collect());
        let environment = Environment { query_offset: group.query_offset, limit: group.limit, ..terms.environment.clone() };
        let status = Arc::new(Mutex::new(GroupStatus {
            group: group.clone(),
            keys: keys.clone(),
            last_evaluation: None,
            seconds: 0.0,
            rules: vec![RuleStatus::default(); group.rules.len()],
        }));
        let work = GroupWork {
            terms: group.rules.iter().map(|rule| Arc::new(RuleTerms::new(group, rule, &environment.external_url))).collect(),
            looks: Looks::new(group, &terms.recorded),
            written,
            active,
            ids: keys.iter().map(|key| rule_id(key)).collect(),
            keys,
            options: terms.options.clone(),
            environment,
            group: group.clone(),
            parts: parts.clone(),
            status: status.clone(),
        };
        (work, status)
    }

    /// Evaluates until told to stop; returns the series that each rule wrote last.
    async fn run(mut self, mut stop: watch::Receiver<bool>) -> BTreeMap<RuleId, Written> {
        let (ingest, what) = (self.parts.ingest.clone(), format!("rule group {}", self.group.name));
        while fault::guarded(&ingest, &what, self.work(&mut stop)).await.is_none() {
            tokio::select! {
                () = asked(&mut stop) => break,
                () = tokio::time::sleep(fault::REST) => {}
            }
        }
        self.keys.iter().map(|key| RuleId::clone(key)).zip(self.written).collect()
    }

    async fn work(&mut self, stop: &mut watch::Receiver<bool>) {
        let (mut landed, mut wanted) = (self.parts.landed.subscribe(), self.parts.wanted.subscribe());
        let mut slot = self.group.next_slot(clock::now());
        // One wait for each slot, whatever lands meanwhile: only a whole wait tells that the wall clock was stepped back.
        let mut wait = Box::pin(clock::sleep_until(slot));
        let (mut since_look, mut rest) = (Stopwatch::start(), Duration::ZERO);
        loop {
            tokio::select! {
                () = asked(stop) => return,
                () = &mut wait => {
                    let now = clock::now();
                    if now >= slot {
                        let asked_and_late = async {
                            asked(stop).await;
                            tokio::time::sleep(STOP_GRACE).await;
                        };
                        tokio::select! {
                            () = self.evaluate(slot) => {}
                            () = asked_and_late => return,
                        }
                        let next = self.group.slot_after(slot, clock::now());
                        let missed = (next.since(slot).0 / self.group.interval.0 - 1).max(0);
                        self.parts.metrics.evaluations_missed.inc_by(missed as u64);
                        slot = next;
                    } else {
                        slot = self.group.next_slot(now);
                    }
                    wait.set(clock::sleep_until(slot));
                }
                ids = wanted.recv() => {
                    // Whoever was missed waits a few seconds at most.
                    let Ok(ids) = ids else { continue };
                    let due: Vec<usize> = (0..self.ids.len()).filter(|index| ids.contains(&self.ids[*index])).collect();
                    tokio::select! {
                        _ = self.look(due, true) => {}
                        () = asked(stop) => return,
                    }
                }
                news = landed.recv() => {
                    let mut batch: Vec<Landed> = news.into_iter().collect();
                    // Scrapes that landed meanwhile are looked at in one go; when too many have, the slot will see them.
                    while let Ok(more) = landed.try_recv() {
                        batch.push(more);
                    }
                    let due = self.due_looks(&batch);
                    if !due.is_empty() && since_look.elapsed() >= rest {
                        let spent = tokio::select! {
                            spent = self.look(due, false) => spent,
                            () = asked(stop) => return,
                        };
                        (since_look, rest) = (Stopwatch::start(), spent * LOOK_REST);
                    }
                }
            }
        }
    }

    /// Evaluates one rule on a thread of its own; all that it asks, it asks of one view of the store.
    ///
    /// Of the alerts in `known` that are not active any more it says why nobody can tell whether they have ended.
    async fn ask(&self, index: usize, at: Timestamp, known: BTreeSet<LabelSet>) -> (Result<Answer, RuleError>, f64) {
        let watch = Stopwatch::start();
        let (group, environment, options) = (self.group.clone(), self.environment.clone(), self.options.clone());
        let (store, cancel) = (self.parts.store.clone(), CancelOnDrop::default());
        let switch = cancel.0.clone();
        let work = tokio::task::spawn_blocking(move || {
            let snapshot = store.snapshot();
            let queries = Local { source: &snapshot, options: &options, cancel: &switch };
            let (rule, seen_at) = (&group.rules[index], at - environment.query_offset);
            let evaluated = tocsin_core::rule::evaluate(rule, at, &queries, &environment)?;
            let ground = Ground::new(seen_at, &snapshot, &options, &switch);
            let unseen = match &evaluated {
                Evaluated::Active(active) => rule.unseen(known, active, &ground),
                Evaluated::Recorded(_) => Ok(BTreeMap::new()),
            };
            Ok((evaluated, unseen.map_err(|error| RuleError::Query(error.to_string()))?))
        });
        let result = match tokio::time::timeout(EVALUATION_MAX, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(RuleError::Query(FAULT.to_owned())),
            Err(_) => Err(RuleError::Query(format!("the evaluation took longer than {EVALUATION_MAX:?}"))),
        };
        (result, watch.seconds())
    }

    async fn evaluate(&mut self, at: Timestamp) {
        let whole = Stopwatch::start();
        let ingest = self.parts.ingest.clone();
        for index in 0..self.group.rules.len() {
            let rule = Stopwatch::start();
            let what = format!("rule {} of group {}", self.group.rules[index].name(), self.group.name);
            // A fault is the rule's own: the rules behind it are evaluated.
            let (result, seconds) = match fault::guarded(&ingest, &what, self.evaluate_rule(index, at)).await {
                Some((result, seconds)) => (result, seconds),
                None => (Err(RuleError::Query(FAULT.to_owned())), rule.seconds()),
            };
            self.parts.metrics.evaluations.inc();
            self.parts.metrics.evaluation_seconds.observe(seconds);
            let error = result.err().map(|error| {
                self.parts.metrics.evaluations_failed.inc();
                tracing::warn!(rule = self.group.rules[index].name(), group = self.group.name, %error, "a rule cannot be evaluated");
                error.to_string()
            });
            self.status.lock().expect("no holder of this lock panics").rules[index] =
                RuleStatus { last_evaluation: Some(at), seconds, error };
        }
        let mut status = self.status.lock().expect("no holder of this lock panics");
        status.last_evaluation = Some(at);
        status.seconds = whole.seconds();
    }

    /// Evaluates one rule, hands in its alerts and stores its series; returns how long the evaluation took.
    async fn evaluate_rule(&mut self, index: usize, at: Timestamp) -> (Result<(), RuleError>, f64) {
        let (result, seconds) = self.ask(index, at, self.active[index].clone()).await;
        crash::fault("in-evaluation");
        let result = match result {
            Ok((Evaluated::Recorded(samples), _)) => {
                self.write(index, at, samples);
                Ok(())
            }
            Ok((Evaluated::Active(active), unseen)) => {
                let (rule, terms) = (self.keys[index].clone(), self.terms[index].clone());
                let judged = Judged { rule, terms, active, unseen, at, early: false };
                if let Ok(Standing { series, active }) = self.parts.watch.judged(judged).await {
                    self.active[index] = active;
                    self.write(index, at, series.into_iter().map(|(labels, value)| (labels, Value::Float(value))).collect());
                }
                self.looks.evaluated(index);
                Ok(())
            }
            Err(error) => Err(error),
        };
        (result, seconds)
    }

    /// Stores what a rule brought, and the ends of the series that it no longer brings.
    fn write(&mut self, index: usize, at: Timestamp, samples: Vec<(LabelSet, Value)>) {
        let at = at - self.group.query_offset;
        let mut row = Row { at, cells: Vec::with_capacity(samples.len()) };
        let is_recorded = matches!(self.group.rules[index].kind, Kind::Record { .. });
        for (labels, value) in with_ends(samples, &mut self.written[index]) {
            let ingest = &self.parts.ingest;
            // What is recorded may explode as a target's series may; alerts are bounded where they are made.
            let series = if is_recorded { ingest.resolve_within_limits(&labels) } else { ingest.resolve(&labels) };
            if let Some(series) = series {
                row.cells.push(Cell { series, at: None, value });
            }
        }
        self.parts.ingest.append(&row);
    }

    /// Returns the rules whose look is due after some scrapes.
    fn due_looks(&mut self, landed: &[Landed]) -> Vec<usize> {
        self.looks.know(&self.parts.targets.borrow());
        if self.looks.must_ask(landed) {
            tokio::task::block_in_place(|| self.looks.due(landed, &self.parts.store))
        } else {
            self.looks.due(landed, &self.parts.store)
        }
    }

    /// Looks at some rules between slots. `wanted`: somebody waits for the answer, also where nothing is found. Returns
    /// how long the rules took: what was found waits for its record besides, which costs no one else.
    async fn look(&mut self, due: Vec<usize>, wanted: bool) -> Duration {
        let (at, mut spent) = (clock::now(), 0.0);
        for index in due {
            // A look ends nothing.
            let (result, seconds) = self.ask(index, at, BTreeSet::new()).await;
            spent += seconds;
            self.parts.metrics.early_looks.inc();
            // A failed look changes nothing; the slot reports what is wrong.
            let Ok((Evaluated::Active(active), unseen)) = result else { continue };
            self.looks.evaluated(index);
            if active.is_empty() && !wanted {
                continue;
            }
            let (rule, terms) = (self.keys[index].clone(), self.terms[index].clone());
            let judged = Judged { rule, terms, active, unseen, at, early: true };
            // The series are written at the slots, where Prometheus writes them.
            if let Ok(standing) = self.parts.watch.judged(judged).await {
                self.active[index] = standing.active;
            }
        }
        Duration::from_secs_f64(spent)
    }
}
