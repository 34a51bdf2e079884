//! A world with proxies, processes, journeys, databases and alerts around one run, which may die and be restored at any point.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use tocsin_core::access::Role;
use tocsin_core::problem::has_errors;
use tocsin_core::run::drill::{DrillResult, result};
use tocsin_core::run::experiment::{Verdict, verdict};
use tocsin_core::run::guard::{Facts, wanted};
use tocsin_core::run::inventory::{Inventory, Item};
use tocsin_core::run::lever::{Awaited, ProcessState};
use tocsin_core::run::machine::{Event, Outcome, Run, Seen};
use tocsin_core::run::read::read;
use tocsin_core::run::record::{
    AttemptKey, AttemptState, Observe, Order, Phase, RunRecords, RunState, SeenAlert, StepAttempt, UndoState,
};
use tocsin_core::run::request::Request;
use tocsin_core::run::runbook::Runbook;
use tocsin_core::run::trigger::of_person;
use tocsin_core::time::{Span, Timestamp};

use super::world::{START, Stored, allowed, secs};

pub fn inventory() -> Inventory {
    let item = |kind: &str, name: &str, service: &str| Item {
        kind: kind.to_owned(),
        name: name.to_owned(),
        labels: [("service", service), ("environment", "staging")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
        control_plane: false,
    };
    Inventory {
        items: vec![
            item("proxy", "db-a", "db"),
            item("proxy", "cache-a", "cache"),
            item("proxy", "cache-b", "cache"),
            item("process", "primary", "db"),
            item("process", "worker", "work"),
            item("database", "main", "db"),
            item("database", "spare", "db"),
        ],
    }
}

pub fn databases() -> tocsin_core::run::read::Allowed {
    let mut allowed = allowed();
    allowed.databases.insert("spare".to_owned());
    allowed
}

#[track_caller]
pub fn document(text: &str) -> Arc<Runbook> {
    let (document, problems) = read("s.yml", text, &databases(), START);
    assert!(!has_errors(&problems), "{text}\n{problems:#?}");
    Arc::new(document.unwrap())
}

/// What the world is like, beside what the run does to it.
pub struct Script {
    /// Answers for a probe; the second value is since when something is broken, the third since when nothing is any more.
    pub probe: fn(&str, Option<Span>, Option<Span>) -> Seen,
    /// Alerts by their delay behind the fault.
    pub alerts: Vec<(&'static str, Span, bool)>,
    pub burn: f64,
    pub unproven: bool,
    pub cannot_inject: bool,
    /// Requests to heal that fail first.
    pub heals_fail: usize,
    pub recovery: &'static str,
    /// How long the recovering runbook takes.
    pub recovers_in: Span,
    pub canary: Json,
    pub page: Json,
    pub removed: bool,
    pub writers: usize,
    pub restore_ok: bool,
    pub supervised: bool,
    /// At this time a person cancels.
    pub cancel_at: Option<Span>,
}

impl Default for Script {
    fn default() -> Script {
        Script {
            probe: |_, _, _| Seen::Value(0.0),
            alerts: Vec::new(),
            burn: 0.5,
            unproven: false,
            cannot_inject: false,
            heals_fail: 0,
            recovery: "succeeded",
            recovers_in: secs(20),
            canary: json!({ "acknowledged": 60, "surviving": 60, "lost": 0 }),
            page: json!({ "ok": true }),
            removed: true,
            writers: 1,
            restore_ok: true,
            supervised: true,
            cancel_at: None,
        }
    }
}

/// Dies at one point, told by its number.
#[derive(Default)]
pub struct Death {
    pub at: Option<usize>,
    pub passed: usize,
    pub died: bool,
}

impl Death {
    fn strikes(&mut self) -> bool {
        self.passed += 1;
        let dies = self.at == Some(self.passed);
        self.died |= dies;
        dies
    }
}

pub struct Lab {
    pub document: Arc<Runbook>,
    pub script: Script,
    pub stored: Stored,
    pub now: Timestamp,
    pub pages: Vec<String>,
    /// Faults of proxies by their tag, each with the end that it has by itself.
    faults: BTreeMap<String, Timestamp>,
    stopped: Option<Timestamp>,
    killed: Option<Timestamp>,
    broken: Option<Timestamp>,
    healed: Option<Timestamp>,
    recovered: Option<Timestamp>,
    canary: bool,
    waiting: Vec<(AttemptKey, Request, Timestamp)>,
    pub facts: fn(&mut Facts),
    cancelled: bool,
}

impl Lab {
    pub fn new(document: Arc<Runbook>, script: Script) -> Lab {
        Lab {
            document,
            script,
            stored: Stored::default(),
            now: START,
            pages: Vec::new(),
            faults: BTreeMap::new(),
            stopped: None,
            killed: None,
            broken: None,
            healed: None,
            recovered: None,
            canary: false,
            waiting: Vec::new(),
            facts: |_| {},
            cancelled: false,
        }
    }

    /// Returns whether something that the run broke is broken now.
    pub fn stands(&self) -> bool {
        let by_proxy = self.faults.values().any(|until| *until > self.now);
        by_proxy || self.stopped.is_some_and(|until| until > self.now) || self.is_gone()
    }

    fn is_gone(&self) -> bool {
        // A supervisor takes three seconds.
        self.killed.is_some_and(|at| !self.script.supervised || self.now < at + secs(3))
    }

    fn look(&mut self) {
        if self.stands() {
            self.broken.get_or_insert(self.now);
        } else if self.broken.is_some() {
            self.healed.get_or_insert(self.now);
        }
    }

    /// A journey fails from two seconds behind the fault until five behind the recovery, or behind the heal.
    fn journey_fails_at(&self, at: Timestamp) -> bool {
        let Some(broken) = self.broken else { return false };
        let good = self.recovered.map(|at| at + secs(5)).into_iter().chain(self.healed).min();
        at >= broken + secs(2) && good.is_none_or(|good| at < good)
    }

    fn carry_out(&mut self, key: &AttemptKey, request: &Request) -> Option<Json> {
        Some(match request {
            Request::Proxy { until, tag, .. } => {
                assert!(self.stored.undos.values().any(|undo| undo.step_id == key.step && undo.state == UndoState::Armed));
                self.faults.insert(tag.clone(), self.now + *until);
                json!({ "affected": 0, "active": true })
            }
            Request::ProxyHeal { tag, .. } => {
                if self.script.heals_fail > 0 {
                    self.script.heals_fail -= 1;
                    return None;
                }
                self.faults.remove(tag);
                json!({ "affected": 3, "active": false })
            }
            Request::ProxyProof { tag, .. } => {
                let active = self.faults.get(tag).is_some_and(|until| *until > self.now);
                json!({ "affected": if self.script.unproven { 0 } else { 3 }, "active": active })
            }
            Request::ProcSignal { signal, ttl, .. } => {
                match signal.word() {
                    "stop" => self.stopped = Some(self.now + ttl.unwrap()),
                    "cont" => self.stopped = None,
                    "kill" | "term" => self.killed = Some(self.now),
                    other => panic!("{other}"),
                }
                json!({ "sent": true, "pid": 7, "started": 4711 })
            }
            Request::ProcProof { expect, started, .. } => {
                let letter = if self.stopped.is_some_and(|until| until > self.now) {
                    "T"
                } else if self.is_gone() || *expect == ProcessState::Gone && *started == Some(4711) && self.killed.is_some() {
                    "-"
                } else {
                    "S"
                };
                json!({ "state": if self.script.unproven && *expect != ProcessState::Running { "S" } else { letter } })
            }
            Request::CanaryStart(_) => {
                self.canary = true;
                json!({ "started": self.now.0 })
            }
            Request::CanaryStop(_) => json!({ "stopped": true }),
            Request::CanaryRead(_) => self.script.canary.clone(),
            Request::CanaryDrop(_) => {
                self.canary &= !self.script.removed;
                json!({ "removed": self.script.removed })
            }
            Request::Page { summary, .. } => {
                self.pages.push(summary.clone());
                json!({})
            }
            Request::PageCheck { .. } => self.script.page.clone(),
            Request::OneWriter { .. } => json!({ "writable": ["main"], "ok": self.script.writers == 1 }),
            Request::PgRestoreCheck { .. } => json!({ "ok": self.script.restore_ok, "restore_seconds": 12.5 }),
            other => panic!("{other:?}"),
        })
    }

    /// Returns the answer to what takes its time, once it is there.
    fn wait_for(&mut self, request: &Request, asked: Timestamp) -> Option<Json> {
        match request {
            Request::Call { runbook, .. } => {
                if self.now < asked + self.script.recovers_in {
                    return None;
                }
                if runbook == "back" {
                    self.killed = None;
                } else if self.script.recovery == "succeeded" {
                    self.recovered.get_or_insert(self.now);
                }
                Some(json!({ "state": self.script.recovery }))
            }
            Request::JourneyWait { what, since, .. } => {
                let attempts = || (0..).map(|second| Timestamp(since.0 + second * 1000)).take_while(|at| *at < self.now);
                match what {
                    Awaited::Failed => {
                        let at = attempts().find(|at| self.journey_fails_at(*at))?;
                        Some(json!({ "at": at.0, "first": at.0, "attempts": 1 }))
                    }
                    Awaited::Clean { count } => {
                        let mut row: Vec<Timestamp> = Vec::new();
                        for at in attempts() {
                            if self.journey_fails_at(at) {
                                row.clear();
                            } else {
                                row.push(at);
                            }
                            if row.len() as u32 == *count {
                                return Some(json!({ "at": row[0].0, "first": at.0, "attempts": count }));
                            }
                        }
                        None
                    }
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn event(&mut self, order: Order) -> Option<Event> {
        Some(match order {
            Order::Gather(_) => {
                let asked = wanted(&self.document, self.stored.run.as_ref().unwrap());
                let mut facts = Facts {
                    inventory: inventory(),
                    rate_keys: asked.rate_keys,
                    open_pages: Some(0),
                    budget_remaining: Some(0.9),
                    budget_outage: Some(secs(40_000)),
                    ..Facts::default()
                };
                facts.values.insert("ready".to_owned(), 9.0);
                (self.facts)(&mut facts);
                Event::Facts(Box::new(facts))
            }
            Order::Issue { key, before, .. } if self.now >= before => Event::NotIssued { key },
            Order::Issue { key, request: request @ (Request::JourneyWait { .. } | Request::Call { .. }), .. } => {
                self.waiting.push((key, request, self.now));
                return None;
            }
            Order::Issue { key, request, .. } => {
                assert_eq!(
                    self.stored.attempts[&key].state,
                    AttemptState::Intent,
                    "what leaves stands as an intent in the store"
                );
                let outcome = match (&request, self.script.cannot_inject) {
                    (Request::Proxy { .. }, true) => Outcome::NotDone("no such proxy".to_owned()),
                    _ => match self.carry_out(&key, &request) {
                        Some(answer) => Outcome::Answer(answer),
                        None => Outcome::Unknown("silence".to_owned()),
                    },
                };
                Event::Finished { key, outcome }
            }
            Order::Observe { key, what } => {
                let seen = match what {
                    Observe::Query(expr) => {
                        let since = |at: Option<Timestamp>| at.map(|at| self.now - at);
                        (self.script.probe)(&expr, since(self.broken), since(self.healed))
                    }
                    Observe::BurnRate { .. } => Seen::Value(self.script.burn),
                    Observe::AlertsSince { .. } => Seen::Alerts(self.alerts()),
                    Observe::Alert { .. } => panic!("no alert asked for it"),
                };
                Event::Observed { key, seen }
            }
            Order::Cancel { key } => {
                let place = self.waiting.iter().position(|(waiting, ..)| *waiting == key)?;
                self.waiting.remove(place);
                Event::Finished { key, outcome: Outcome::Unknown("cancelled".to_owned()) }
            }
            Order::AskHuman { key, .. } => {
                Event::HumanDone { key, by: "olga".to_owned(), role: Role::SreLead, done: true, evidence: "we talked".to_owned() }
            }
            other => panic!("{other:?}"),
        })
    }

    fn alerts(&self) -> Vec<SeenAlert> {
        let Some(broken) = self.broken else { return Vec::new() };
        let fired = self.script.alerts.iter().filter(|(_, delay, _)| broken + *delay <= self.now);
        fired.map(|(name, delay, page)| SeenAlert { name: (*name).to_owned(), at: broken + *delay, page: *page }).collect()
    }

    /// Lives until the run is over; dies where it is told to, and is then restored by another process.
    pub fn live(&mut self, death: &mut Death) {
        let ask = || of_person(&self.document, "olga", Role::SreLead, None, Vec::new());
        let begin = |document: &Arc<Runbook>, now| Run::request(document.clone(), "run-1", ask(), "edna", "a", inventory(), now);
        let mut fresh = Some(begin(&self.document, self.now));
        'life: for life in 0..10 {
            let mut run = match (self.stored.run.is_some(), fresh.take()) {
                (false, Some(run)) => run,
                (false, None) => begin_again(&self.document, self.now),
                (true, _) => {
                    self.waiting.clear();
                    self.now = self.now.max(self.stored.run.as_ref().unwrap().lease_until.unwrap());
                    let records = self.stored.take(&format!("node-{life}"), self.now).unwrap();
                    Run::restore(self.document.clone(), records, inventory(), self.now).unwrap()
                }
            };
            for _ in 0..100_000 {
                self.look();
                let batch = run.tick(self.now, &mut || 0.5);
                if death.strikes() {
                    continue 'life;
                }
                assert!(self.stored.apply(&batch));
                self.assert_nothing_stands();
                if death.strikes() {
                    continue 'life;
                }
                if run.is_over() {
                    return;
                }
                for order in batch.orders {
                    let effect = matches!(order, Order::Issue { .. });
                    let event = self.event(order);
                    self.look();
                    if effect && death.strikes() {
                        continue 'life;
                    }
                    if let Some(event) = event {
                        let _ = run.accept(event, self.now);
                    }
                }
                for (key, request, asked) in std::mem::take(&mut self.waiting) {
                    match self.wait_for(&request, asked) {
                        Some(answer) => {
                            let _ = run.accept(Event::Finished { key, outcome: Outcome::Answer(answer) }, self.now);
                        }
                        None => self.waiting.push((key, request, asked)),
                    }
                }
                if self.script.cancel_at.is_some_and(|at| self.now >= START + at) && !std::mem::replace(&mut self.cancelled, true)
                {
                    run.accept(Event::Cancel { by: "olga".to_owned() }, self.now).unwrap();
                }
                let next = run.next_deadline().unwrap_or(Timestamp::MAX);
                if next > self.now {
                    self.now = next.min(self.now + secs(1));
                }
            }
            panic!("the run does not end: {:?}", self.stored.run);
        }
        panic!("too many lives");
    }

    /// No run ends while what it broke is broken.
    fn assert_nothing_stands(&self) {
        let over = self.stored.run.as_ref().is_some_and(|run| run.state.is_final() && run.state != RunState::UndoFailed);
        assert!(!over || !self.stands(), "the run ended at {} while a fault stood", self.now);
    }

    pub fn records(&self) -> RunRecords {
        RunRecords {
            run: self.stored.run.clone().unwrap(),
            attempts: self.stored.attempts.values().cloned().collect(),
            undos: self.stored.undos.values().cloned().collect(),
            approvals: Vec::new(),
        }
    }

    pub fn verdict(&self) -> Verdict {
        let found = verdict(&self.document, &self.records()).expect("the experiment has ended");
        assert_eq!(self.stored.run.as_ref().unwrap().verdict.as_deref(), Some(found.verdict.word()));
        found
    }

    pub fn result(&self) -> DrillResult {
        let found = result(&self.document, &self.records()).expect("the drill has ended");
        assert_eq!(self.stored.run.as_ref().unwrap().verdict.as_deref(), Some(found.verdict.word()));
        found
    }

    pub fn state(&self) -> RunState {
        self.stored.run.as_ref().unwrap().state
    }

    pub fn has_canary(&self) -> bool {
        self.canary
    }

    pub fn attempt(&self, step: &str) -> Option<&StepAttempt> {
        self.stored.attempts.values().rfind(|one| one.key.step == step && one.key.phase == Phase::Do)
    }
}

fn begin_again(document: &Arc<Runbook>, now: Timestamp) -> Run {
    let ask = of_person(document, "olga", Role::SreLead, None, Vec::new());
    Run::request(document.clone(), "run-1", ask, "edna", "a", inventory(), now)
}

/// Lives without dying.
pub fn live(document: Arc<Runbook>, script: Script) -> Lab {
    let mut lab = Lab::new(document, script);
    lab.live(&mut Death::default());
    lab
}
