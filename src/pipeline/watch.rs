//! The watch: the one task that owns the state of alerts, pages and silences.
//!
//! Everything that changes it comes in as a message; what follows is recorded in one transaction, and only then is anybody told.
//! Readers send a question and get an answer between two changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_core::model::LabelSet;
use tocsin_core::plane::{Change, Delivery, Event, Plane, Refused, Reply};
use tocsin_core::rule::Active;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{Notify, mpsc, oneshot};

use super::crash;
use super::hub::{Hub, Topic};
use super::ledger::{Ledger, Outward, RuleKey, RuleTerms};
use crate::clock::{self, Stopwatch};
use crate::db::deliveries::{DeliveryState, OutboxRow, insert};
use crate::db::state::{self, Document};
use crate::db::{Db, Write};
use crate::notify::with_causes;
use crate::telemetry::Metrics;

/// Changes that may wait; senders then wait too, which slows evaluation down and loses nothing.
const CHANGES_MAX: usize = 4096;
/// Questions that may wait; further ones are turned away.
const QUESTIONS_MAX: usize = 256;
/// Changes that are recorded together at most.
const BATCH_MAX: usize = 512;
const RECORD_WAIT_MAX: Span = Span::from_secs(10);

/// What the watch owns.
pub struct State {
    pub plane: Plane,
    pub ledger: Ledger,
}

/// The result of evaluating an alerting rule.
#[derive(Debug)]
pub struct Judged {
    pub rule: RuleKey,
    pub terms: Arc<RuleTerms>,
    pub active: Vec<Active>,
    pub at: Timestamp,
    /// A look between two slots: it may start or advance alerts, never end one.
    pub early: bool,
}

enum Message {
    Judged(Judged, oneshot::Sender<Vec<(LabelSet, f64)>>),
    Event(Box<Event>, oneshot::Sender<Result<Reply, Refused>>),
    /// These are all the rules that there are now; others have ended, and with them their alerts.
    Rules(Vec<RuleKey>, Outward, oneshot::Sender<()>),
}

type Question = Box<dyn FnOnce(&State) + Send>;

/// The door to the watch; clones share it.
#[derive(Clone)]
pub struct Watch {
    changes: mpsc::Sender<Message>,
    questions: mpsc::Sender<Question>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    #[error("the service is stopping")]
    Stopping,
    #[error("too many requests are waiting; try again")]
    Busy,
}

/// What the watch works with.
pub struct Parts {
    pub db: Db,
    pub hub: Hub,
    pub outbox: Arc<Notify>,
    pub metrics: Arc<Metrics>,
    pub last_delivery_id: i64,
}

impl Watch {
    /// Returns the door, and the work behind it, which runs until every clone of the door is gone.
    pub fn new(state: State, parts: Parts) -> (Watch, impl Future<Output = ()>) {
        let (changes, change_queue) = mpsc::channel(CHANGES_MAX);
        let (questions, question_queue) = mpsc::channel(QUESTIONS_MAX);
        (Watch { changes, questions }, work(state, parts, change_queue, question_queue))
    }

    async fn change<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, WatchError> {
        let (reply, answer) = oneshot::channel();
        self.changes.send(message(reply)).await.map_err(|_| WatchError::Stopping)?;
        answer.await.map_err(|_| WatchError::Stopping)
    }

    /// Hands in the result of an evaluation; returns, once it is recorded, the values of ALERTS and ALERTS_FOR_STATE.
    pub async fn judged(&self, judged: Judged) -> Result<Vec<(LabelSet, f64)>, WatchError> {
        self.change(|reply| Message::Judged(judged, reply)).await
    }

    /// Hands in an event; returns once what follows from it is recorded.
    pub async fn event(&self, event: Event) -> Result<Result<Reply, Refused>, WatchError> {
        self.change(|reply| Message::Event(Box::new(event), reply)).await
    }

    /// Says which rules there are from now on.
    pub async fn rules(&self, keys: Vec<RuleKey>, outward: Outward) -> Result<(), WatchError> {
        self.change(|reply| Message::Rules(keys, outward, reply)).await
    }

    /// Asks something of the state as it stands between two changes.
    pub async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&State) -> T + Send + 'static) -> Result<T, WatchError> {
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |state| {
            // An asker that has gone needs no answer.
            let _ = reply.send(question(state));
        });
        self.questions.try_send(question).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WatchError::Busy,
            mpsc::error::TrySendError::Closed(_) => WatchError::Stopping,
        })?;
        answer.await.map_err(|_| WatchError::Stopping)
    }
}

/// An answer that waits for the record.
type Answer = Box<dyn FnOnce() + Send>;

fn answer<T: Send + 'static>(reply: oneshot::Sender<T>, value: T) -> Answer {
    Box::new(move || {
        // An asker that has gone needs no answer.
        let _ = reply.send(value);
    })
}

async fn work(mut state: State, mut parts: Parts, mut changes: mpsc::Receiver<Message>, mut questions: mpsc::Receiver<Question>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        let deadline = state.plane.next_deadline();
        tokio::select! {
            // Changes first: a flood of questions must not hold back an alert.
            biased;
            count = changes.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return },
            () = until(deadline) => {}
            question = questions.recv() => {
                if let Some(question) = question {
                    question(&state);
                }
                continue;
            }
        }
        let now = clock::now();
        let (mut writes, mut answers) = (Vec::new(), Vec::new());
        for message in batch.drain(..) {
            answers.push(take(&mut state, message, &mut writes, now));
        }
        state.plane.tick(now);
        let told = collect(&mut state, &mut parts, &mut writes, now);
        record(&parts, &writes).await;
        for answer in answers {
            answer();
        }
        announce(&parts, &state, &told);
    }
}

async fn until(deadline: Option<Timestamp>) {
    match deadline {
        Some(at) => clock::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Takes one message into the state; adds to the writes what it changes beside the plane.
fn take(state: &mut State, message: Message, writes: &mut Vec<Write>, now: Timestamp) -> Answer {
    match message {
        Message::Judged(judged, reply) => {
            let Judged { rule, terms, active, at, early } = judged;
            let news = state.ledger.judge(&rule, &terms, active, at, early, writes);
            feed(&mut state.plane, news, now);
            let series = state.ledger.series(&rule);
            answer(reply, series)
        }
        Message::Event(event, reply) => {
            let result = state.plane.accept(*event, now);
            answer(reply, result)
        }
        Message::Rules(keys, outward, reply) => {
            state.ledger.set_outward(outward);
            let news = state.ledger.keep_only(&keys, now, writes);
            feed(&mut state.plane, news, now);
            // Alerts of rules that nobody remembers (their record was lost, or an older version wrote it) would fire for ever.
            let orphans = state.ledger.orphans(state.plane.alerts(now).iter().map(|view| &view.alert), now);
            feed(&mut state.plane, orphans, now);
            answer(reply, ())
        }
    }
}

fn feed(plane: &mut Plane, news: Vec<tocsin_core::route::alert::IncomingAlert>, now: Timestamp) {
    if news.is_empty() {
        return;
    }
    match plane.accept(Event::Alerts(news), now) {
        Ok(Reply::Alerts { refused, .. }) => {
            for reason in refused {
                tracing::error!(%reason, "an alert of our own rules cannot be routed");
            }
        }
        Ok(_) => {}
        Err(reason) => tracing::error!(%reason, "alerts of our own rules cannot be routed"),
    }
}

/// Turns what the plane has changed into writes; returns what to tell.
fn collect(state: &mut State, parts: &mut Parts, writes: &mut Vec<Write>, now: Timestamp) -> BTreeMap<Topic, usize> {
    let mut told = BTreeMap::new();
    if !writes.is_empty() {
        told.insert(Topic::Alerts, 1);
    }
    for change in state.plane.drain() {
        let topic = match change {
            Change::PutAlert(alert) => {
                writes.push(state::put(Document::RoutedAlert, &alert.fingerprint.to_string(), json(&alert)));
                Topic::Alerts
            }
            Change::DropAlert(fingerprint) => {
                writes.push(state::remove(Document::RoutedAlert, &fingerprint.to_string()));
                Topic::Alerts
            }
            Change::PutGroup(group) => {
                writes.push(state::put(Document::Group, &json(&group.id), json(&group)));
                Topic::Alerts
            }
            Change::DropGroup(id) => {
                writes.push(state::remove(Document::Group, &json(&id)));
                Topic::Alerts
            }
            Change::PutSilence(silence) => {
                writes.push(state::put(Document::Silence, &silence.id, json(&silence)));
                Topic::Silences
            }
            Change::DropSilence(id) => {
                writes.push(state::remove(Document::Silence, &id));
                Topic::Silences
            }
            Change::PutPage(page) => {
                writes.push(state::put_page(&page.id, page.state.word(), page.opened_at, json(&page)));
                Topic::Pages
            }
            // The table keeps resolved pages for the history; the sweep removes them.
            Change::DropPage(_) => Topic::Pages,
            Change::Deliver(delivery) => {
                parts.last_delivery_id += 1;
                writes.push(insert(&outbox_row(parts.last_delivery_id, &delivery, now)));
                Topic::Deliveries
            }
        };
        *told.entry(topic).or_default() += 1;
    }
    told
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("records are made of plain fields with text keys")
}

fn outbox_row(id: i64, delivery: &Delivery, now: Timestamp) -> OutboxRow {
    let mut fingerprints = " ".to_owned();
    for alert in &delivery.data.alerts {
        fingerprints.push_str(&format!("{} ", alert.fingerprint));
    }
    OutboxRow {
        id,
        key: delivery.key.clone(),
        lane: delivery.lane.clone(),
        state: DeliveryState::Pending,
        receiver: delivery.receiver.clone(),
        channel: delivery.channel.clone(),
        action: delivery.action.as_str().to_owned(),
        title: delivery.title.clone(),
        page_id: delivery.page_id.clone(),
        fingerprints,
        created_at: delivery.created_at,
        next_attempt_at: now,
        expires_at: delivery.expires_at,
        finished_at: None,
        attempts: 0,
        body: json(delivery),
    }
}

/// Records the writes as one transaction. Nothing is told before that, so a database that is away is waited for; the transaction is
/// the same at each try, and every statement of it may be repeated.
async fn record(parts: &Parts, writes: &[Write]) {
    if writes.is_empty() {
        return;
    }
    crash::point("before-record");
    let watch = Stopwatch::start();
    let mut wait = Span(100);
    while let Err(error) = parts.db.apply(writes).await {
        parts.metrics.record_errors.inc();
        tracing::error!(error = with_causes(&error), "cannot record the state of alerts; trying again, nobody is told before");
        tokio::time::sleep(wait.to_std()).await;
        wait = Span((wait.0 * 2).min(RECORD_WAIT_MAX.0));
    }
    parts.metrics.record_seconds.observe(watch.seconds());
    crash::point("after-record");
}

fn announce(parts: &Parts, state: &State, told: &BTreeMap<Topic, usize>) {
    if told.contains_key(&Topic::Deliveries) {
        parts.outbox.notify_one();
    }
    for topic in told.keys() {
        parts.hub.tell(*topic, None);
    }
    if !told.is_empty() {
        parts.metrics.alerts_firing.set(state.ledger.firing() as i64);
        parts.metrics.pages_open.set(state.plane.pages().iter().filter(|page| page.is_open()).count() as i64);
    }
}
