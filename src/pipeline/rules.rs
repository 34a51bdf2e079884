//! The rule groups at work: each evaluated at its slots, and its alerting rules looked at early when a scrape that they touch has landed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tocsin_core::model::matcher::all_match;
use tocsin_core::model::{Cell, LabelSet, Matcher, Row, STALE, Value};
use tocsin_core::promql::ast::Expr;
use tocsin_core::promql::evaluate::{self, Cancel, Options};
use tocsin_core::promql::value::Value as Answer;
use tocsin_core::rule::{EarlyPlan, Environment, Evaluated, Kind, Queries, Rule, RuleError, RuleGroup, RuleId, early_plan};
use tocsin_core::store::Store;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::hub::{Hub, Topic};
use super::ingest::Ingest;
use super::ledger::{Outward, RuleKey, RuleTerms};
use super::scrapes::{Landed, TargetId, TargetLabels};
use super::watch::{Judged, Watch};
use crate::clock::{self, Stopwatch};
use crate::telemetry::Metrics;

/// One rule's evaluation may take this long; then it fails, and the group goes on.
const EVALUATION_MAX: Duration = Duration::from_secs(60);
/// After a look that took some time, no further look of the group begins for this many times as long: looks are a courtesy.
const LOOK_REST: u32 = 9;

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
    pub targets: watch::Receiver<Arc<BTreeMap<TargetId, TargetLabels>>>,
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

struct Running {
    group: Arc<RuleGroup>,
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

    /// Replaces all groups. Rules that stay keep their alerts and their series; the series of those that go end.
    pub async fn replace(&self, groups: Vec<RuleGroup>, settings: &Settings) {
        let mut running = self.running.lock().await;
        let written = stop(&mut running).await;
        let groups: Vec<Arc<RuleGroup>> = groups.into_iter().map(Arc::new).collect();
        let recorded: Arc<BTreeSet<String>> = Arc::new(
            groups
                .iter()
                .flat_map(|group| &group.rules)
                .filter(|rule| !rule.is_alert())
                .map(|rule| rule.name().to_owned())
                .collect(),
        );
        let keys: Vec<RuleKey> = groups
            .iter()
            .flat_map(|group| group.ids().into_iter().zip(&group.rules))
            .filter(|(_, rule)| rule.is_alert())
            .map(|(id, _)| Arc::new(id))
            .collect();
        if self.parts.watch.rules(keys, settings.outward.clone()).await.is_err() {
            return;
        }
        let mut inherited = written;
        let mut statuses = Vec::new();
        for group in groups {
            let (work, status) = GroupWork::new(&self.parts, &group, settings, &recorded, &mut inherited);
            statuses.push(status);
            let (stop, stopped) = watch::channel(false);
            running.push(Running { group, stop, task: tokio::spawn(work.run(stopped)) });
        }
        *self.status.write().expect("no holder of this lock panics") = statuses;
        self.parts.ingest.end(clock::now(), inherited.values().flatten());
        self.parts.hub.tell(Topic::Rules, None);
    }

    /// Stops all groups; their alerts and series stay as they are, for the next start.
    pub async fn stop(&self) {
        stop(&mut *self.running.lock().await).await;
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

async fn stop(running: &mut Vec<Running>) -> BTreeMap<RuleId, Written> {
    let mut written = BTreeMap::new();
    for group in running.iter() {
        // A task that has ended needs no word.
        let _ = group.stop.send(true);
    }
    for group in running.drain(..) {
        match group.task.await {
            Ok(own) => written.extend(own),
            Err(error) => tracing::error!(group = group.group.name, %error, "a rule group's task ended in a fault"),
        }
    }
    written
}

/// Asks the store on behalf of rules and of their templates.
struct StoreQueries {
    store: Arc<Store>,
    options: Options,
    cancel: Cancel,
}

impl Queries for StoreQueries {
    fn instant(&self, expr: &Expr, text: &str, at: Timestamp) -> Result<Vec<(LabelSet, Value)>, String> {
        let options = Options { text: Some(Arc::from(text)), ..self.options.clone() };
        let answer = evaluate::instant(expr, at, &*self.store, &options, &self.cancel).map_err(|error| match error.place() {
            Some(place) => format!("{error} (at byte {} of the expression)", place.start),
            None => crate::notify::with_causes(&error),
        })?;
        match answer.value {
            Answer::Vector(samples) => Ok(samples.into_iter().map(|sample| (sample.labels, sample.value)).collect()),
            Answer::Scalar(value) => Ok(vec![(LabelSet::empty(), Value::Float(value))]),
            Answer::Text(_) | Answer::Matrix(_) => Err("rule result is not a vector or scalar".to_owned()),
        }
    }
}

/// When one rule is looked at between slots.
struct Look {
    selectors: Vec<Vec<Matcher>>,
    waits_for_all: bool,
    /// Whether a target has series that the selectors touch; forgotten when the target brings new series.
    touched: HashMap<TargetId, bool>,
    reported: BTreeSet<TargetId>,
}

struct GroupWork {
    parts: Parts,
    settings: Settings,
    group: Arc<RuleGroup>,
    keys: Arc<Vec<RuleKey>>,
    terms: Vec<Arc<RuleTerms>>,
    looks: Vec<Option<Look>>,
    written: Vec<Written>,
    status: Arc<Mutex<GroupStatus>>,
}

impl GroupWork {
    fn new(
        parts: &Parts,
        group: &Arc<RuleGroup>,
        settings: &Settings,
        recorded: &BTreeSet<String>,
        inherited: &mut BTreeMap<RuleId, Written>,
    ) -> (GroupWork, Arc<Mutex<GroupStatus>>) {
        let ids = group.ids();
        let written = ids.iter().map(|id| inherited.remove(id).unwrap_or_default()).collect();
        let keys: Arc<Vec<RuleKey>> = Arc::new(ids.into_iter().map(Arc::new).collect());
        let mut settings = settings.clone();
        settings.environment.query_offset = group.query_offset;
        settings.environment.limit = group.limit;
        let look = |rule: &Rule| {
            let (selectors, waits_for_all) = match early_plan(rule, group, recorded) {
                EarlyPlan::Never => return None,
                EarlyPlan::OnAnyTarget { selectors } => (selectors, false),
                EarlyPlan::WhenAllReported { selectors } => (selectors, true),
            };
            Some(Look { selectors, waits_for_all, touched: HashMap::new(), reported: BTreeSet::new() })
        };
        let status = Arc::new(Mutex::new(GroupStatus {
            group: group.clone(),
            keys: keys.clone(),
            last_evaluation: None,
            seconds: 0.0,
            rules: vec![RuleStatus::default(); group.rules.len()],
        }));
        let work = GroupWork {
            terms: group.rules.iter().map(|rule| Arc::new(terms(group, rule, &settings.environment.external_url))).collect(),
            looks: group.rules.iter().map(look).collect(),
            written,
            keys,
            settings,
            group: group.clone(),
            parts: parts.clone(),
            status: status.clone(),
        };
        (work, status)
    }

    /// Evaluates until told to stop; returns the series that each rule wrote last.
    async fn run(mut self, mut stop: watch::Receiver<bool>) -> BTreeMap<RuleId, Written> {
        let mut landed = self.parts.landed.subscribe();
        let mut slot = self.group.next_slot(clock::now());
        // One wait for each slot, whatever lands meanwhile: only a whole wait tells that the wall clock was stepped back.
        let mut wait = Box::pin(clock::sleep_until(slot));
        let (mut since_look, mut rest) = (Stopwatch::start(), Duration::ZERO);
        loop {
            tokio::select! {
                _ = stop.changed() => break,
                () = &mut wait => {
                    let now = clock::now();
                    if now >= slot {
                        self.evaluate(slot).await;
                        let next = self.group.slot_after(slot, clock::now());
                        let missed = (next.since(slot).0 / self.group.interval.0 - 1).max(0);
                        self.parts.metrics.evaluations_missed.inc_by(missed as u64);
                        slot = next;
                    } else {
                        slot = self.group.next_slot(now);
                    }
                    wait.set(clock::sleep_until(slot));
                }
                news = landed.recv() => {
                    let mut batch: Vec<Landed> = news.into_iter().collect();
                    // Scrapes that landed meanwhile are looked at in one go; when too many have, the slot will see them.
                    while let Ok(more) = landed.try_recv() {
                        batch.push(more);
                    }
                    let due = self.due_looks(&batch);
                    if !due.is_empty() && since_look.elapsed() >= rest {
                        let watch = Stopwatch::start();
                        self.look(due).await;
                        (since_look, rest) = (Stopwatch::start(), watch.elapsed() * LOOK_REST);
                    }
                }
            }
        }
        self.keys.iter().map(|key| RuleId::clone(key)).zip(self.written).collect()
    }

    /// Evaluates one rule on a thread of its own.
    async fn ask(&self, index: usize, at: Timestamp) -> (Result<Evaluated, RuleError>, f64) {
        let watch = Stopwatch::start();
        let (group, environment) = (self.group.clone(), self.settings.environment.clone());
        let cancel = Cancel::new();
        let queries =
            StoreQueries { store: self.parts.store.clone(), options: self.settings.options.clone(), cancel: cancel.clone() };
        let work =
            tokio::task::spawn_blocking(move || tocsin_core::rule::evaluate(&group.rules[index], at, &queries, &environment));
        let result = match tokio::time::timeout(EVALUATION_MAX, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(RuleError::Query("the evaluation ended in a fault of the evaluator".to_owned())),
            Err(_) => {
                cancel.cancel();
                Err(RuleError::Query(format!("the evaluation took longer than {EVALUATION_MAX:?}")))
            }
        };
        (result, watch.seconds())
    }

    async fn evaluate(&mut self, at: Timestamp) {
        let whole = Stopwatch::start();
        for index in 0..self.group.rules.len() {
            let (result, seconds) = self.ask(index, at).await;
            self.parts.metrics.evaluations.inc();
            self.parts.metrics.evaluation_seconds.observe(seconds);
            let error = match result {
                Ok(Evaluated::Recorded(samples)) => {
                    self.write(index, at, samples);
                    None
                }
                Ok(Evaluated::Active(active)) => {
                    let judged =
                        Judged { rule: self.keys[index].clone(), terms: self.terms[index].clone(), active, at, early: false };
                    if let Ok(series) = self.parts.watch.judged(judged).await {
                        self.write(index, at, series.into_iter().map(|(labels, value)| (labels, Value::Float(value))).collect());
                    }
                    if let Some(look) = &mut self.looks[index] {
                        look.reported.clear();
                    }
                    None
                }
                Err(error) => {
                    self.parts.metrics.evaluations_failed.inc();
                    tracing::warn!(rule = self.group.rules[index].name(), group = self.group.name, %error, "a rule cannot be evaluated");
                    Some(error.to_string())
                }
            };
            self.status.lock().expect("no holder of this lock panics").rules[index] =
                RuleStatus { last_evaluation: Some(at), seconds, error };
        }
        let mut status = self.status.lock().expect("no holder of this lock panics");
        status.last_evaluation = Some(at);
        status.seconds = whole.seconds();
    }

    /// Stores what a rule brought, and the ends of the series that it no longer brings.
    fn write(&mut self, index: usize, at: Timestamp, samples: Vec<(LabelSet, Value)>) {
        let at = at - self.group.query_offset;
        let now_written: Written = samples.iter().map(|(labels, _)| labels.clone()).collect();
        let mut row = Row { at, cells: Vec::with_capacity(samples.len()) };
        let ended = self.written[index].difference(&now_written).map(|labels| (labels.clone(), Value::Float(STALE)));
        for (labels, value) in samples.into_iter().chain(ended) {
            if let Some(series) = self.parts.ingest.resolve(&labels) {
                row.cells.push(Cell { series, at: None, value });
            }
        }
        self.parts.ingest.append(&row);
        self.written[index] = now_written;
    }

    /// Returns the rules whose look is due after some scrapes.
    fn due_looks(&mut self, landed: &[Landed]) -> Vec<usize> {
        let targets = self.parts.targets.borrow().clone();
        let store = &self.parts.store;
        let mut due = Vec::new();
        for (index, look) in self.looks.iter_mut().enumerate() {
            let Some(look) = look else { continue };
            let mut hit = false;
            for scrape in landed {
                if scrape.added > 0 {
                    look.touched.remove(&scrape.target);
                }
                if look.touches(scrape.target, &targets, store) {
                    hit = true;
                    look.reported.insert(scrape.target);
                }
            }
            if !hit {
                continue;
            }
            let mut waits = false;
            if look.waits_for_all {
                for id in targets.keys() {
                    waits |= !look.reported.contains(id) && look.touches(*id, &targets, store);
                }
            }
            if !waits {
                due.push(index);
            }
        }
        due
    }

    async fn look(&mut self, due: Vec<usize>) {
        let at = clock::now();
        for index in due {
            let (result, _) = self.ask(index, at).await;
            self.parts.metrics.early_looks.inc();
            // A failed look changes nothing; the slot reports what is wrong.
            let Ok(Evaluated::Active(active)) = result else { continue };
            if let Some(look) = &mut self.looks[index] {
                look.reported.clear();
            }
            if active.is_empty() {
                continue;
            }
            let judged = Judged { rule: self.keys[index].clone(), terms: self.terms[index].clone(), active, at, early: true };
            // The series are written at the slots, where Prometheus writes them.
            let _ = self.parts.watch.judged(judged).await;
        }
    }
}

impl Look {
    /// Returns whether a target has a series that one of the selectors may touch.
    fn touches(&mut self, target: TargetId, targets: &BTreeMap<TargetId, TargetLabels>, store: &Store) -> bool {
        if let Some(known) = self.touched.get(&target) {
            return *known;
        }
        let Some(labels) = targets.get(&target) else { return false };
        let touches = self.selectors.iter().any(|selector| {
            let own: Vec<Matcher> = selector.iter().filter(|matcher| labels.has(&matcher.name)).cloned().collect();
            let mut asked = selector.clone();
            asked.extend(
                ["job", "instance"].iter().filter(|name| labels.has(name)).map(|name| Matcher::equal(*name, labels.get(name))),
            );
            all_match(&own, labels) && !store.series(&[asked], Timestamp::MIN, Timestamp::MAX, 1).items.is_empty()
        });
        self.touched.insert(target, touches);
        touches
    }
}

fn terms(group: &RuleGroup, rule: &Rule, external_url: &str) -> RuleTerms {
    let (hold, keep_firing) = match &rule.kind {
        Kind::Record { .. } => (Span::ZERO, Span::ZERO),
        Kind::Alert(alerting) => (alerting.hold, alerting.keep_firing),
    };
    RuleTerms {
        file: group.file.to_string(),
        group: group.name.clone(),
        name: rule.name().to_owned(),
        expr: rule.text.clone(),
        hold,
        keep_firing,
        limit: group.limit,
        interval: group.interval,
        generator_url: format!(
            "{external_url}/explore?{}",
            form_urlencoded::Serializer::new(String::new()).append_pair("expr", &rule.text).finish()
        ),
    }
}
