//! A world around one run: a store that honours fences, a clock, and a hand that answers orders.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_core::access::Role;
use tocsin_core::problem::{Severity, has_errors};
use tocsin_core::run::guard::{Facts, wanted};
use tocsin_core::run::inventory::{Inventory, Item};
use tocsin_core::run::machine::{Event, LEASE, Outcome, Refused, Run, Seen};
use tocsin_core::run::read::{Allowed, read};
use tocsin_core::run::record::{
    AttemptKey, AttemptState, Batch, Order, Phase, Record, RunRecords, RunState, SampleRow, UndoState,
};
use tocsin_core::run::request::Request;
use tocsin_core::run::runbook::Runbook;
use tocsin_core::run::trigger::{Ask, Firing, of_alert, of_person};
use tocsin_core::time::{Span, Timestamp};

/// 2026-11-21T03:00:00Z
pub const START: Timestamp = Timestamp(1_795_230_000_000);

pub fn secs(seconds: i64) -> Span {
    Span::from_secs(seconds)
}

pub fn allowed() -> Allowed {
    Allowed {
        programs: BTreeMap::from([("/opt/tool".to_owned(), None)]),
        hosts: ["api.example".to_owned()].into(),
        databases: ["main".to_owned()].into(),
        secrets: ["ci-hook".to_owned()].into(),
        policies: ["booking".to_owned()].into(),
    }
}

pub fn inventory() -> Inventory {
    let item = |kind: &str, name: &str, own: bool| Item {
        kind: kind.to_owned(),
        name: name.to_owned(),
        labels: BTreeMap::from([("tier".to_owned(), if name.ends_with('1') { "one" } else { "two" }.to_owned())]),
        control_plane: own,
    };
    Inventory {
        items: vec![
            item("service", "api", false),
            item("process", "worker-1", false),
            item("process", "worker-2", false),
            item("process", "tocsin", true),
        ],
    }
}

/// Returns the text of a runbook with these steps; `rest` is further text under `spec`.
pub fn text(class: &str, steps: &str, rest: &str) -> String {
    format!(
        "apiVersion: tocsin/v1\nkind: Runbook\nmetadata: {{id: r1, platform: dinner, title: A runbook, owner: team}}\nspec:\n  \
         class: {class}\n{}\n  steps:\n{}\n",
        indent(rest, 2),
        indent(steps, 4)
    )
}

fn indent(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}", " ".repeat(by))).collect::<Vec<_>>().join("\n")
}

#[track_caller]
pub fn runbook(class: &str, steps: &str, rest: &str) -> Arc<Runbook> {
    let text = text(class, steps, rest);
    let (runbook, problems) = read("r.yml", &text, &allowed(), START);
    assert!(!has_errors(&problems), "{text}\n{problems:#?}");
    Arc::new(runbook.unwrap())
}

/// Returns the errors of a document, without the name of the file.
pub fn errors(text: &str) -> Vec<String> {
    let (runbook, problems) = read("r.yml", text, &allowed(), START);
    assert_eq!(runbook.is_none(), has_errors(&problems));
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    errors.map(|problem| problem.to_string().replacen("r.yml:", "", 1)).collect()
}

/// What the database holds.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    pub run: Option<tocsin_core::run::record::RunRow>,
    pub attempts: BTreeMap<AttemptKey, tocsin_core::run::record::StepAttempt>,
    pub undos: BTreeMap<String, tocsin_core::run::record::UndoRow>,
    pub approvals: Vec<tocsin_core::run::record::ApprovalRow>,
    pub rates: Vec<tocsin_core::run::record::RateEntry>,
    pub locks: BTreeMap<String, String>,
    pub samples: Vec<SampleRow>,
}

impl Stored {
    /// Applies a batch as one transaction; false when the fence is not the stored one.
    pub fn apply(&mut self, batch: &Batch) -> bool {
        if self.run.as_ref().is_some_and(|run| run.fence != batch.fence) {
            return false;
        }
        for record in &batch.records {
            // Rows go through text, as they will in a database.
            let record: Record = serde_json::from_str(&serde_json::to_string(record).unwrap()).unwrap();
            match record {
                Record::Run(row) => self.run = Some(*row),
                Record::Attempt(row) => {
                    assert_eq!(row.fence, batch.fence);
                    self.attempts.insert(row.key.clone(), *row);
                }
                Record::Undo(row) => {
                    self.undos.insert(row.id.clone(), *row);
                }
                Record::Approval(row) => self.approvals.push(row),
                Record::Rate(row) => self.rates.push(row),
                Record::Lock(row) => {
                    self.locks.insert(row.name, row.run_id);
                }
                Record::Unlock { name, .. } => {
                    self.locks.remove(&name);
                }
                Record::Sample(row) => self.samples.push(row),
            }
        }
        true
    }

    /// Gives the run to a process, and returns what it reads.
    pub fn take(&mut self, node: &str, now: Timestamp) -> Option<RunRecords> {
        let run = self.run.as_ref()?.take(node, LEASE, now).ok()?;
        self.run = Some(run.clone());
        Some(RunRecords {
            run,
            attempts: self.attempts.values().cloned().collect(),
            undos: self.undos.values().cloned().collect(),
            approvals: self.approvals.clone(),
        })
    }
}

/// One run in its world.
pub struct World {
    pub runbook: Arc<Runbook>,
    pub run: Run,
    pub stored: Stored,
    pub now: Timestamp,
    pub facts: Facts,
    /// Orders that wait for an answer.
    pub orders: Vec<Order>,
}

pub fn by_person(runbook: &Runbook) -> Ask {
    of_person(runbook, "olga", Role::Operator, None, Vec::new())
}

pub fn firing(labels: &[(&str, &str)]) -> Firing {
    Firing {
        name: "Backlog".to_owned(),
        reference: "00ff/1".to_owned(),
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

pub fn by_alert(runbook: &Runbook) -> Ask {
    of_alert([runbook], &firing(&[("platform", "dinner")])).remove(0)
}

impl World {
    pub fn new(runbook: Arc<Runbook>, ask: Ask) -> World {
        let run = Run::request(runbook.clone(), "run-1", ask, "edna", "node-a", inventory(), START);
        let asked = wanted(&runbook, run.row());
        let facts = Facts { inventory: inventory(), rate_keys: asked.rate_keys, ..Facts::default() };
        World { runbook, run, stored: Stored::default(), now: START, facts, orders: Vec::new() }
    }

    /// Begins a run whose guards pass.
    pub fn begun(class: &str, steps: &str, rest: &str) -> World {
        let runbook = runbook(class, steps, rest);
        let ask = if rest.contains("alert:") { by_alert(&runbook) } else { by_person(&runbook) };
        let mut world = World::new(runbook, ask);
        world.tick();
        world.give_facts();
        world
    }

    /// Ticks, stores, and keeps the orders.
    #[track_caller]
    pub fn tick(&mut self) {
        let batch = self.run.tick(self.now, &mut || 0.5);
        assert!(self.stored.apply(&batch), "a stale batch");
        self.orders.extend(batch.orders);
    }

    #[track_caller]
    pub fn accept(&mut self, event: Event) {
        self.try_accept(event).unwrap();
    }

    pub fn try_accept(&mut self, event: Event) -> Result<(), Refused> {
        self.run.accept(event, self.now)?;
        self.tick();
        Ok(())
    }

    pub fn give_facts(&mut self) {
        self.orders.retain(|order| !matches!(order, Order::Gather(_)));
        self.accept(Event::Facts(Box::new(self.facts.clone())));
    }

    /// Lets time pass as a sleeper would: from deadline to deadline.
    pub fn pass(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(next) = self.run.next_deadline().filter(|next| *next <= end) {
            assert!(next > self.now || next == Timestamp::MIN, "a deadline that does not move: {next} at {}", self.now);
            self.now = next.max(self.now);
            self.tick();
        }
        self.now = end;
        self.tick();
    }

    /// Takes the one order to issue a request of a step in a phase.
    #[track_caller]
    pub fn issued(&mut self, step: &str, phase: Phase) -> (AttemptKey, Request) {
        let at = self
            .orders
            .iter()
            .position(|order| matches!(order, Order::Issue { key, .. } if key.step == step && key.phase == phase));
        let Some(at) = at else { panic!("no order to issue {phase:?} of {step}: {:#?}", self.orders) };
        match self.orders.remove(at) {
            Order::Issue { key, request, .. } => (key, request),
            _ => unreachable!(),
        }
    }

    pub fn is_issued(&self, step: &str, phase: Phase) -> bool {
        self.orders.iter().any(|order| matches!(order, Order::Issue { key, .. } if key.step == step && key.phase == phase))
    }

    /// Answers the order of a step.
    #[track_caller]
    pub fn answer(&mut self, step: &str, phase: Phase, answer: serde_json::Value) {
        let (key, _) = self.issued(step, phase);
        self.accept(Event::Finished { key, outcome: Outcome::Answer(answer) });
    }

    #[track_caller]
    pub fn ok(&mut self, step: &str) {
        self.answer(step, Phase::Do, good());
    }

    /// Answers every question about a condition for as long as this, at the pace of the machine.
    pub fn sees(&mut self, span: Span, seen: impl Fn(&str) -> Seen) {
        let end = self.now + span;
        loop {
            let asked: Vec<AttemptKey> = self
                .orders
                .iter()
                .filter_map(|order| match order {
                    Order::Observe { key, .. } => Some(key.clone()),
                    _ => None,
                })
                .collect();
            self.orders.retain(|order| !matches!(order, Order::Observe { .. }));
            for key in asked {
                let seen = seen(&key.step);
                let _ = self.try_accept(Event::Observed { key, seen });
            }
            match self.run.next_deadline() {
                Some(next) if next <= end => {
                    self.now = next.max(self.now);
                    self.tick();
                }
                _ => break,
            }
        }
        self.now = end;
    }

    pub fn state(&self) -> RunState {
        assert_eq!(self.stored.run.as_ref().map(|run| run.state), Some(self.run.row().state));
        self.run.row().state
    }

    /// Returns the states of the attempts of a step, in order.
    pub fn attempts(&self, step: &str, phase: Phase) -> Vec<AttemptState> {
        self.stored.attempts.values().filter(|one| one.key.step == step && one.key.phase == phase).map(|one| one.state).collect()
    }

    pub fn undo_states(&self) -> Vec<(String, UndoState)> {
        let mut rows: Vec<_> = self.stored.undos.values().collect();
        rows.sort_by_key(|row| row.seq);
        rows.into_iter().map(|row| (row.step_id.clone(), row.state)).collect()
    }

    /// Returns the slugs of the pages that were sent or are being sent.
    pub fn pages(&self) -> Vec<String> {
        let mut pages: Vec<String> =
            self.stored.attempts.keys().filter(|key| key.phase == Phase::Page).map(|key| key.step.clone()).collect();
        pages.dedup();
        pages
    }

    /// Ends the process, and lets another one take over when the lease is over.
    pub fn crash(&mut self) {
        self.now = self.stored.run.as_ref().and_then(|run| run.lease_until).unwrap_or(self.now).max(self.now);
        let records = self.stored.take("node-b", self.now).expect("the lease is over");
        self.orders.clear();
        self.run = Run::restore(self.runbook.clone(), records, inventory(), self.now).unwrap();
        self.tick();
    }
}

/// An answer that means success to every request.
pub fn good() -> serde_json::Value {
    serde_json::json!({ "status": 200, "body": {}, "exit": 0, "promoted": true, "ok": true, "state": "succeeded", "rows": [[1]] })
}

pub fn status(code: u16) -> serde_json::Value {
    serde_json::json!({ "status": code, "body": {} })
}
