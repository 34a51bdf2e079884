//! One run at work: what the machine wants is stored first and carried out then.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tocsin_core::run::Run;
use tocsin_core::run::action::Urgency;
use tocsin_core::run::guard;
use tocsin_core::run::machine::{Event, LEASE, Outcome, Refused, Seen};
use tocsin_core::run::record::{AttemptKey, Batch, Order, Phase, Record, RunRow};
use tocsin_core::run::request::Request;
use tocsin_core::run::runbook::Runbook;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use super::facts::Facts;
use super::log;
use super::step::{self, About, Issue, Means};
use crate::client::answer::with_causes;
use crate::clock;
use crate::db::Db;
use crate::db::runs::{Notes, Stored};
use crate::id;
use crate::pipeline::crash;
use crate::pipeline::hub::{Hub, Topic};
use crate::telemetry::Metrics;

/// Events of one run that may wait; who sends waits then too.
const EVENTS_MAX: usize = 64;
/// A database that is away is asked again after this.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// What every run needs.
pub struct Parts {
    pub db: Db,
    pub hub: Hub,
    pub metrics: Arc<Metrics>,
    pub means: Arc<Means>,
    pub facts: Facts,
    /// Held from the count of what else begins to the record of the own beginning, so that of two runs one sees the other.
    pub gate: Arc<tokio::sync::Mutex<()>>,
}

/// What reaches a run at work.
pub enum Message {
    /// Somebody wants something; the answer comes once what follows from it is stored.
    Asked(Event, oneshot::Sender<Result<(), Refused>>),
    /// An order has brought this; the answer, too, comes once it is stored.
    Heard(Event, Option<oneshot::Sender<()>>),
    /// What the guards wanted to know, and the gate, which opens once what follows is stored.
    Facts(Box<guard::Facts>, OwnedMutexGuard<()>),
}

/// How the work at a run ends.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The run asks for nothing any more.
    Over(Box<RunRow>),
    /// The rows belong to somebody else, or are not those that the machine knows: they must be taken and read anew.
    Again,
}

/// Makes the door to a run, and what the run listens at.
pub fn door() -> (mpsc::Sender<Message>, mpsc::Receiver<Message>) {
    mpsc::channel(EVENTS_MAX)
}

/// A run and what it has under way. Dropping it stops what can be stopped.
pub struct Runner {
    parts: Arc<Parts>,
    runbook: Arc<Runbook>,
    run: Run,
    own: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
    /// Orders that are being carried out.
    work: JoinSet<()>,
    under_way: BTreeMap<AttemptKey, AbortHandle>,
    /// Who waits until what was accepted is stored.
    unanswered: Vec<Answer>,
    gate: Option<OwnedMutexGuard<()>>,
    goes_on: Arc<AtomicBool>,
}

enum Answer {
    Asker(oneshot::Sender<Result<(), Refused>>),
    Order(oneshot::Sender<()>),
}

impl Answer {
    /// An asker that has gone needs no answer.
    fn give(self) {
        match self {
            Answer::Asker(asker) => drop(asker.send(Ok(()))),
            Answer::Order(order) => drop(order.send(())),
        }
    }
}

impl Runner {
    /// Returns the work at a run that has just been stored with a first batch, or been read from rows that were taken.
    pub fn new(
        parts: Arc<Parts>,
        runbook: Arc<Runbook>,
        run: Run,
        door: (mpsc::Sender<Message>, mpsc::Receiver<Message>),
    ) -> Runner {
        let (own, inbox) = door;
        Runner {
            parts,
            runbook,
            run,
            own,
            inbox,
            work: JoinSet::new(),
            under_way: BTreeMap::new(),
            unanswered: Vec::new(),
            gate: None,
            goes_on: Arc::default(),
        }
    }

    /// Works at the run until it is over; `orders` are those of a first batch, which is stored already.
    pub async fn work(mut self, orders: Vec<Order>) -> End {
        self.carry_out(orders);
        loop {
            let before = self.run.row().clone();
            let batch = self.run.tick(clock::now(), &mut random);
            if !batch.records.is_empty() && !self.store(&batch, &before).await {
                return self.again();
            }
            self.gate = None;
            self.unanswered.drain(..).for_each(Answer::give);
            self.carry_out(batch.orders);
            if self.run.is_over() {
                return End::Over(Box::new(self.run.row().clone()));
            }
            let Some(deadline) = self.run.next_deadline() else { return self.again() };
            tokio::select! {
                message = self.inbox.recv() => self.take(message.expect("a run holds its own door open")),
                Some(_) = self.work.join_next() => {}
                () = clock::sleep_until(deadline) => {}
            }
        }
    }

    /// Ends this work without ending what it began: whoever goes on adopts it.
    fn again(&self) -> End {
        self.goes_on.store(true, Ordering::Release);
        End::Again
    }

    /// Takes in a message, and whatever else waits, so that one transaction stores it all.
    fn take(&mut self, first: Message) {
        let mut next = Some(first);
        while let Some(message) = next {
            let (event, answer) = match message {
                Message::Asked(event, asker) => (event, Some(Answer::Asker(asker))),
                Message::Heard(event, order) => (event, order.map(Answer::Order)),
                Message::Facts(facts, gate) => {
                    self.gate = Some(gate);
                    (Event::Facts(facts), None)
                }
            };
            if let Event::Finished { key, .. } | Event::Lost { key } | Event::NotIssued { key } = &event {
                self.under_way.remove(key);
            }
            match (self.run.accept(event, clock::now()), answer) {
                (Ok(()), Some(answer)) => self.unanswered.push(answer),
                (Err(refused), Some(Answer::Asker(asker))) => drop(asker.send(Err(refused))),
                // What an order brings may have been overtaken, as by a cancellation. Its sender gets no answer, and begins nothing.
                (Err(refused), _) => tracing::debug!(run = self.run.row().id, %refused, "a run takes no note of an event"),
                (Ok(()), None) => {}
            }
            next = self.inbox.try_recv().ok();
        }
    }

    /// Stores a batch, for as long as the run is ours; returns whether it is stored.
    async fn store(&mut self, batch: &Batch, before: &RunRow) -> bool {
        let lines = log::lines(&self.runbook, before, batch, clock::now());
        let notes = Notes { log: &lines.log, audit: &lines.audit };
        crash::point("before-run-record");
        loop {
            match self.parts.db.store_batch(batch, &notes, clock::now()).await {
                Ok(Stored::Done) => break,
                Ok(Stored::Fenced) => {
                    tracing::warn!(run = batch.run_id, "a run belongs to somebody else by now");
                    return false;
                }
                Ok(Stored::LockTaken(taken)) => {
                    tracing::info!(run = batch.run_id, lock = taken.name, "another run was quicker to take a lock");
                    return false;
                }
                Err(error) => {
                    tracing::error!(
                        run = batch.run_id,
                        error = with_causes(&error),
                        "cannot store what a run has come to; trying again"
                    );
                    if self.run.row().lease_until.is_none_or(|until| until <= clock::now()) {
                        return false;
                    }
                    tokio::time::sleep(STORE_AGAIN).await;
                }
            }
        }
        crash::point("after-run-record");
        for record in &batch.records {
            // What a program left behind has been read.
            if let Record::Attempt(attempt) = record
                && attempt.ended_at.is_some()
                && let Some(handle) = &attempt.handle
            {
                step::forget(&self.parts.means, handle);
            }
        }
        self.parts.hub.tell(Topic::Runs, Some(&batch.run_id));
        true
    }

    fn carry_out(&mut self, orders: Vec<Order>) {
        orders.into_iter().for_each(|order| self.begin(order));
    }

    fn begin(&mut self, order: Order) {
        let (parts, own, run_id) = (self.parts.clone(), self.own.clone(), self.run.row().id.clone());
        match order {
            Order::Issue { key, idem_key, request, timeout, before } => {
                let issue = self.issue(&key, idem_key, request, timeout, before);
                self.spawn(Some(key), async move {
                    let finished = carry_out(&parts.means, &issue, &own).await;
                    crash::point("after-run-effect");
                    // A run that is gone needs nothing.
                    let _ = own.send(Message::Heard(finished, None)).await;
                });
            }
            Order::Cancel { key } => {
                if let Some(work) = self.under_way.remove(&key) {
                    work.abort();
                }
            }
            Order::Adopt { key, handle } => {
                let stored = self.run.attempts().find(|attempt| attempt.key == key);
                let issue = stored.and_then(|attempt| Some((attempt.idem_key.clone(), attempt.request.clone()?))).map(
                    |(idem_key, request)| {
                        let timeout = self.runbook.plan.step(&key.step).map_or(LEASE, |step| step.timeout);
                        self.issue(&key, idem_key, request, timeout, Timestamp::MAX)
                    },
                );
                self.spawn(Some(key.clone()), async move {
                    let outcome = match &issue {
                        Some(issue) => step::adopt(&parts.means, issue, &handle).await,
                        None => None,
                    };
                    let event = match outcome {
                        // It was never begun, as when we died before we gave the word; no fault of the step's.
                        Some(Outcome::NotDone(why)) => {
                            tracing::info!(run = run_id, step = key.step, why, "a program of an earlier life was not begun");
                            Event::NotIssued { key }
                        }
                        Some(outcome) => Event::Finished { key, outcome },
                        None => Event::Lost { key },
                    };
                    let _ = own.send(Message::Heard(event, None)).await;
                });
            }
            Order::Observe { key, what } => {
                let row = self.run.row().clone();
                self.spawn(None, async move {
                    let seen = parts.facts.observe(&row, what).await.unwrap_or_else(|why| {
                        tracing::warn!(run = row.id, why, "cannot look at what a run asks for");
                        match key.phase {
                            Phase::Sample => Seen::NoData,
                            // What cannot be told is not the same as no data, which a condition may allow: it never holds.
                            _ => Seen::Value(f64::NAN),
                        }
                    });
                    let _ = own.send(Message::Heard(Event::Observed { key, seen }, None)).await;
                });
            }
            Order::Gather(wanted) => {
                let (runbook, row) = (self.runbook.clone(), self.run.row().clone());
                self.spawn(None, async move {
                    let gathered = async {
                        let mut facts = parts.facts.gather(&runbook, &row, &wanted).await?;
                        let gate = parts.gate.clone().lock_owned().await;
                        parts.facts.count(&mut facts, &wanted).await?;
                        Ok::<_, String>((facts, gate))
                    };
                    match gathered.await {
                        Ok((facts, gate)) => {
                            let _ = own.send(Message::Facts(Box::new(facts), gate)).await;
                        }
                        // The machine asks again.
                        Err(error) => {
                            tracing::error!(run = run_id, error, "cannot collect what the guards of a run want to know")
                        }
                    }
                });
            }
            Order::AskApproval { step, roles, count, until, .. } => {
                let roles: Vec<&str> = roles.iter().map(|role| role.word()).collect();
                let who = if roles.is_empty() { "sre-lead".to_owned() } else { roles.join(", ") };
                let text = format!("waits until {until} for {count} to approve it ({who})");
                self.ask_people(&format!("approval/{step}"), text);
            }
            Order::AskHuman { key, title, .. } => self.ask_people(&format!("task/{}", key.step), format!("needs you: {title}")),
        }
    }

    fn issue(&self, key: &AttemptKey, idem_key: String, request: Request, timeout: Span, before: Timestamp) -> Issue {
        let (row, metadata) = (self.run.row(), &self.runbook.metadata);
        let about = About { platform: row.platform.clone(), document: row.doc_id.clone(), slug: metadata.slug.clone() };
        let capture = self.runbook.plan.capture.clone();
        Issue {
            run_id: row.id.clone(),
            about,
            key: key.clone(),
            idem_key,
            request,
            timeout,
            before,
            capture,
            goes_on: self.goes_on.clone(),
        }
    }

    /// Tells people that the run waits for them, by a page that wakes nobody: whoever is woken is woken by the alert.
    fn ask_people(&mut self, slug: &str, text: String) {
        let key = AttemptKey { step: slug.to_owned(), target: String::new(), phase: Phase::Page, attempt: 1 };
        let idem_key = format!("{}/{slug}", self.run.row().id);
        let summary = format!("{} {text}", self.runbook.metadata.title);
        let request = Request::Page { policy: None, summary, urgency: Urgency::Info };
        let issue = self.issue(&key, idem_key, request, LEASE, Timestamp::MAX);
        let parts = self.parts.clone();
        self.spawn(None, async move {
            if let Outcome::NotDone(why) | Outcome::Unknown(why) = step::carry_out(&parts.means, &issue, async |_| {}).await {
                tracing::warn!(run = issue.run_id, why, "cannot tell people that a run waits for them");
            }
        });
    }

    fn spawn(&mut self, key: Option<AttemptKey>, work: impl Future<Output = ()> + Send + 'static) {
        let handle = self.work.spawn(work);
        if let Some(key) = key {
            self.under_way.insert(key, handle);
        }
    }
}

/// Carries a request out, and returns what the machine is to hear.
async fn carry_out(means: &Means, issue: &Issue, own: &mpsc::Sender<Message>) -> Event {
    let key = issue.key.clone();
    if clock::now() > issue.before {
        return Event::NotIssued { key };
    }
    let record = async |handle: Option<String>| {
        let (sender, stored) = oneshot::channel();
        let event = Event::Issued { key: issue.key.clone(), handle };
        let sent = own.send(Message::Heard(event, Some(sender))).await.is_ok();
        if !sent || stored.await.is_err() {
            // The run has gone, or goes another way; whoever drops us does so soon. Nothing may begin any more.
            std::future::pending::<()>().await;
        }
    };
    match AssertUnwindSafe(step::carry_out(means, issue, record)).catch_unwind().await {
        Ok(outcome) => Event::Finished { key, outcome },
        Err(_) => {
            tracing::error!(run = issue.run_id, step = key.step, "a fault of the program ended the carrying out of a step");
            Event::Finished { key, outcome: Outcome::Unknown("a fault of the program ended it".to_owned()) }
        }
    }
}

/// Returns a number from 0 (included) to 1 (excluded).
pub fn random() -> f64 {
    id::jitter(1 << 53) as f64 / (1u64 << 53) as f64
}
