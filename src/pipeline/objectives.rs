//! The objectives at work: each is counted step by step, its alerts are judged, and its figures become series.
//!
//! One task owns them. What is counted is stored before anybody is told what follows from it. Counting itself goes on on threads, in
//! stretches of bounded length: at each step those that are current, and between the steps, with as much rest as work, one that
//! catches up.

mod count;
mod own;
mod view;
mod work;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tocsin_core::ledger::RuleKey;
use tocsin_core::promql::evaluate::Options;
use tocsin_core::slo::{Definition, Standing};
use tocsin_core::time::Span;
use tokio::sync::{mpsc, oneshot};

use super::hub::Hub;
use super::ingest::Ingest;
use super::pulse::Pulse;
use super::watch::Watch;
use crate::db::Db;
use crate::telemetry::Metrics;

pub use view::View;
pub use work::Work;

/// Changes of the definitions that wait.
const CHANGES_MAX: usize = 8;

/// Counts; whoever holds the lock holds it for moments.
type Shared = Arc<Mutex<Standing>>;

/// What objectives work with.
pub struct Parts {
    pub db: Db,
    pub ingest: Arc<Ingest>,
    pub watch: Watch,
    pub hub: Hub,
    pub metrics: Arc<Metrics>,
    pub pulse: Pulse,
    /// Where people reach us, for links in notifications.
    pub external_url: String,
}

/// All definitions that there are from now on.
struct Change {
    definitions: Vec<Arc<Definition>>,
    options: Options,
    done: oneshot::Sender<()>,
}

/// The door to the objectives.
pub struct Objectives {
    handle: Handle,
    changes: mpsc::Sender<Change>,
}

impl Objectives {
    /// Returns the door, and the work behind it.
    pub fn new(parts: Parts) -> (Objectives, Work) {
        let (changes, queue) = mpsc::channel(CHANGES_MAX);
        let handle = Handle::default();
        (Objectives { handle: handle.clone(), changes }, Work::new(parts, handle, queue))
    }

    /// Returns a way to look at the objectives.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Replaces all definitions; returns the alert rules that there are then. From then on no other rule is judged.
    ///
    /// One that counts as before goes on with its counts. One that counts otherwise is counted anew, from as far back as there are
    /// samples, while the old one goes on.
    pub async fn replace(&self, definitions: Vec<Arc<Definition>>, options: Options) -> Vec<RuleKey> {
        let keys = definitions.iter().flat_map(|definition| definition.rule_ids()).map(Arc::new).collect();
        let (done, answer) = oneshot::channel();
        if self.changes.send(Change { definitions, options, done }).await.is_ok() {
            // Without an answer the service is stopping.
            let _ = answer.await;
        }
        keys
    }
}

/// What is shown of one objective.
#[derive(Clone)]
struct Shown {
    /// As the files have it.
    definition: Arc<Definition>,
    /// The counts that are judged; before there are any, those that catch up.
    counts: Option<Shared>,
    /// The counts are not those that the definition asks for, or not of all time until now.
    catching_up: bool,
    /// It has been judged, or there is a reason why it is not yet.
    was_tried: bool,
    error: Option<String>,
    /// Values and series that could not be counted since the start.
    refused: u64,
}

/// A look at the objectives; clones share it.
#[derive(Clone, Default)]
pub struct Handle {
    shown: Arc<RwLock<BTreeMap<String, Shown>>>,
}

impl Handle {
    /// Returns every objective as it stands, in order of their ids.
    pub fn views(&self) -> Vec<View> {
        self.shown().values().map(View::new).collect()
    }

    /// Returns one objective as it stands.
    pub fn view(&self, id: &str) -> Option<View> {
        self.shown().get(id).map(View::new)
    }

    /// Returns what the counts of an objective tell; None while there are none.
    pub fn ask<T>(&self, id: &str, question: impl FnOnce(&Standing) -> T) -> Option<T> {
        let counts = self.shown().get(id)?.counts.clone()?;
        // Counts that a fault has left half done are read anew from their rows.
        let standing = counts.lock().ok()?;
        Some(question(&standing))
    }

    /// Returns the share of the error budget that is left, by the name of an SLO or the id of one of its objectives; of several
    /// objectives the least.
    ///
    /// None: there is no such SLO, it is not counted until now, or nothing was counted at all.
    pub fn remaining(&self, name: &str) -> Option<f64> {
        let left = |standing: &Standing| {
            let budget = standing.status().budget;
            // Of what nobody has measured nothing is known, and a whole budget would be a promise.
            budget.good_ratio.map(|_| budget.left)
        };
        self.least(name, left, f64::min)
    }

    /// Returns how fast the error budget burns over a look-back; of several objectives the fastest.
    ///
    /// None: there is no such SLO, it is not counted until now, or nothing was counted over the look-back.
    pub fn burn(&self, name: &str, lookback: Span) -> Option<f64> {
        self.least(name, |standing| standing.burn(lookback).rate, f64::max)
    }

    /// Returns how long everything may fail until the whole error budget is spent; of several objectives the least.
    ///
    /// None: there is no such SLO.
    pub fn outage(&self, name: &str) -> Option<Span> {
        let shown = self.shown();
        let named = shown.values().filter(|shown| shown.definition.id == name || shown.definition.slo == name);
        named.map(|shown| Span((shown.definition.window.span().0 as f64 * shown.definition.target.budget_ratio()) as i64)).min()
    }

    fn least(&self, name: &str, value: impl Fn(&Standing) -> Option<f64>, choose: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let shown = self.shown();
        let named = shown.values().filter(|shown| shown.definition.id == name || shown.definition.slo == name);
        let known = |shown: &Shown| {
            let counts = shown.counts.as_ref().filter(|_| !shown.catching_up)?;
            value(&*counts.lock().ok()?)
        };
        let values: Option<Vec<f64>> = named.map(known).collect();
        values?.into_iter().reduce(choose)
    }

    /// Returns once every objective was judged, or shows why it is not yet.
    pub async fn warm(&self) {
        while self.shown().values().any(|shown| !shown.was_tried) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn shown(&self) -> BTreeMap<String, Shown> {
        self.shown.read().expect("no holder of this lock panics").clone()
    }

    fn show(&self, id: &str, shown: Option<Shown>) {
        let mut all = self.shown.write().expect("no holder of this lock panics");
        match shown {
            Some(shown) => drop(all.insert(id.to_owned(), shown)),
            None => drop(all.remove(id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tocsin_core::model::{Cell, LabelSet, Row, Value};
    use tocsin_core::promql::evaluate::Cancel;
    use tocsin_core::slo::openslo::{read, resolve};
    use tocsin_core::slo::{Pace, definitions};
    use tocsin_core::store::{Store, StoreOptions};
    use tocsin_core::time::Timestamp;

    use super::*;

    const TEXT: &str = "apiVersion: openslo/v1
kind: SLO
metadata: {name: shop, annotations: {tocsin.dev/new-series: zero}}
spec:
  service: shop
  indicator:
    metadata: {name: i}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: Prometheus, spec: {query: 'bad'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'all'}}}
  timeWindow: [{duration: 1h, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.9, displayName: strict}, {target: 0.5, displayName: lax}]
";

    /// Five of a hundred requests are bad.
    fn counted() -> Vec<Standing> {
        let store = Store::new(StoreOptions::default());
        let at = Timestamp(1_795_219_215_000);
        let cell = |(name, value)| Cell {
            series: store.resolve(&LabelSet::from_pairs([("__name__", name)])).expect("the store has room"),
            at: None,
            value: Value::Float(value),
        };
        let cells = [("bad", 5.0), ("all", 100.0)].map(cell).to_vec();
        store.append_unlogged(&Row { at, cells }).expect("the row is good");
        let (definitions, problems) = definitions(&resolve(vec![read("slo.yml", TEXT).0]).0);
        assert_eq!(problems, []);
        let standings = definitions.into_iter().map(|definition| {
            let mut standing = Standing::new(Arc::new(definition), Pace::default(), at - Span::from_mins(1)).0;
            while let Some(want) = standing.wants(at + Span::from_secs(5)) {
                let samples = want.fetch(&store, &Options::default(), &Cancel::new()).expect("the store can be read");
                standing.tick(at + Span::from_secs(5), &samples).expect("what was wanted");
            }
            standing
        });
        standings.collect()
    }

    #[test]
    fn an_slo_is_as_its_worst_objective_and_unknown_while_one_catches_up() {
        let handle = Handle::default();
        let show = |standing: Standing, catching_up| {
            let definition = standing.definition().clone();
            let shown = Shown {
                definition: definition.clone(),
                counts: Some(Arc::new(Mutex::new(standing))),
                catching_up,
                was_tried: true,
                error: None,
                refused: 0,
            };
            handle.show(&definition.id, Some(shown));
        };
        assert_eq!((handle.remaining("shop"), handle.burn("shop", Span::from_mins(5))), (None, None));
        counted().into_iter().for_each(|standing| show(standing, false));
        let near =
            |value: Option<f64>, expected: f64| assert!(value.is_some_and(|value| (value - expected).abs() < 1e-9), "{value:?}");
        near(handle.remaining("shop"), 0.5);
        near(handle.remaining("shop/1"), 0.9);
        near(handle.burn("shop", Span::from_mins(5)), 0.5);
        near(handle.burn("shop/1", Span::from_mins(5)), 0.1);
        assert_eq!(handle.burn("shop/2", Span::from_mins(5)), None);
        let lax = counted().pop().expect("two objectives");
        show(lax, true);
        assert_eq!((handle.remaining("shop"), handle.views().len()), (None, 2));
    }
}
