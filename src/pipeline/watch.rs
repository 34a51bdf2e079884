//! The watch: the one task that owns the state of alerts, pages and silences.
//!
//! Everything that changes it comes in as a message; what follows is recorded in one transaction, and only then is anybody told.
//! Readers send a question and get an answer between two changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tocsin_core::alertmanagers::Report;
use tocsin_core::ledger::{Alerting, Judged, Outcome, Outward, RuleKey};
use tocsin_core::model::{Fingerprint, LabelSet};
use tocsin_core::plane::{Change, Delivery, Event, Refused, Reply};
use tocsin_core::route::alert::IncomingAlert;
use tocsin_core::route::silence::Tombstone;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot};

use super::alertmanagers::Reports;
use super::crash;
use super::fresh::Fresh;
use super::hub::{Hub, Topic};
use super::ledger;
use super::pulse::Pulse;
use super::tombstones::Tombstones;
use crate::client::answer::with_causes;
use crate::clock::{self, Stopwatch};
use crate::db::accounts::{AuditEntry, audit_writes};
use crate::db::deliveries::{DeliveryState, OutboxRow, insert, insert_body, settle_lost};
use crate::db::state::{self, Document};
use crate::db::{Db, Write, trace};
use crate::telemetry::Metrics;

/// Changes that may wait; senders then wait too, which slows evaluation down and loses nothing.
const CHANGES_MAX: usize = 4096;
/// Questions that may wait; further ones are turned away.
const QUESTIONS_MAX: usize = 256;
/// Changes that are recorded together at most.
const BATCH_MAX: usize = 512;
const RECORD_WAIT_MAX: Span = Span::from_secs(10);
/// The watch gives a sign of life at least this often, also when nothing happens.
const IDLE: Span = Span::from_secs(5);
/// Failures of one record, each of which would come again, after which the process ends.
const LASTING_MAX: usize = 5;
/// How long a client waits for an answer.
const CLIENT_WAIT: Duration = Duration::from_secs(10);
/// Alerts from outside that may wait to be taken in, in KiB.
const ALERTS_KIB_MAX: u32 = 64 << 10;

/// Rules that are to be looked at, by the ids that the ledger gives them.
pub type Wanted = Arc<BTreeSet<Fingerprint>>;

enum Message {
    Judged(Judged, oneshot::Sender<Standing>),
    Event(Asked, oneshot::Sender<Result<Reply, Refused>>),
    /// These are all the rules that there are now; others have ended, and with them their alerts.
    Rules(Known, oneshot::Sender<BTreeMap<RuleKey, BTreeSet<LabelSet>>>),
}

/// The rules that there are.
pub struct Known {
    /// Those that can be looked at at any time.
    pub keys: Vec<RuleKey>,
    pub elsewhere: Vec<RuleKey>,
    pub outward: Outward,
}

/// How the alerts of a rule stand.
#[derive(Debug, Default)]
pub struct Standing {
    /// The values of ALERTS and ALERTS_FOR_STATE.
    pub series: Vec<(LabelSet, f64)>,
    /// The labels of those that are pending or fire.
    pub active: BTreeSet<LabelSet>,
}

/// Returns what the audit is to say of how an event ended; None: nothing.
pub type Note = Box<dyn FnOnce(&Result<Reply, Refused>) -> Option<AuditEntry> + Send>;

struct Asked {
    event: Box<Event>,
    note: Option<Note>,
    /// Room for what came from outside, given back once it is taken in.
    room: Option<OwnedSemaphorePermit>,
}

type Question = Box<dyn FnOnce(&Alerting) + Send>;

/// The door to the watch; clones share it.
#[derive(Clone)]
pub struct Watch {
    changes: mpsc::Sender<Message>,
    questions: mpsc::Sender<Question>,
    room: Arc<Semaphore>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    #[error("the service is stopping")]
    Stopping,
    #[error("too many requests are waiting; try again")]
    Busy,
    #[error("the database does not answer; what was asked waits, and may still be done")]
    Slow,
}

/// What the watch works with.
pub struct Parts {
    pub db: Db,
    pub hub: Hub,
    /// Hear of our rules' alerts beside our own routing.
    pub others: Reports,
    pub outbox: Arc<Notify>,
    pub fresh: Arc<Fresh>,
    /// Where rules hear that they are to be looked at.
    pub wanted: broadcast::Sender<Wanted>,
    pub metrics: Arc<Metrics>,
    pub last_delivery_id: i64,
    pub pulse: Pulse,
    pub tombstones: Tombstones,
    /// How the restored state differs from the stored one; recorded with the first change.
    pub opening: Vec<Write>,
}

impl Watch {
    /// Returns the door, and the work behind it, which runs until every clone of the door is gone.
    pub fn new(state: Alerting, parts: Parts) -> (Watch, impl Future<Output = ()>) {
        let (changes, change_queue) = mpsc::channel(CHANGES_MAX);
        let (questions, question_queue) = mpsc::channel(QUESTIONS_MAX);
        (
            Watch { changes, questions, room: Arc::new(Semaphore::new(ALERTS_KIB_MAX as usize)) },
            work(state, parts, change_queue, question_queue),
        )
    }

    async fn change<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, WatchError> {
        let (reply, answer) = oneshot::channel();
        self.changes.send(message(reply)).await.map_err(|_| WatchError::Stopping)?;
        answer.await.map_err(|_| WatchError::Stopping)
    }

    /// Hands in the result of an evaluation; returns, once it is recorded, how the alerts of the rule stand.
    pub async fn judged(&self, judged: Judged) -> Result<Standing, WatchError> {
        self.change(|reply| Message::Judged(judged, reply)).await
    }

    /// Hands in an event of the service itself; returns once what follows from it is recorded, however long that takes.
    pub async fn event(&self, event: Event) -> Result<Result<Reply, Refused>, WatchError> {
        let asked = Asked { event: Box::new(event), note: None, room: None };
        self.change(|reply| Message::Event(asked, reply)).await
    }

    /// Hands in what a client asks for; returns once what follows from it is recorded, together with what the note says of it.
    ///
    /// Errors: `Slow` when that takes too long, and it may be done later all the same; `Busy` when too much is waiting.
    pub async fn request(&self, event: Event, note: Option<Note>) -> Result<Result<Reply, Refused>, WatchError> {
        let weight = u32::try_from(kib(&event)).unwrap_or(u32::MAX).min(ALERTS_KIB_MAX);
        let room = self.room.clone().try_acquire_many_owned(weight).map_err(|_| WatchError::Busy)?;
        let asked = Asked { event: Box::new(event), note, room: Some(room) };
        in_time(self.change(|reply| Message::Event(asked, reply))).await
    }

    /// Says which rules there are from now on; returns the labels of their alerts that are pending or fire.
    pub async fn rules(&self, known: Known) -> Result<BTreeMap<RuleKey, BTreeSet<LabelSet>>, WatchError> {
        self.change(|reply| Message::Rules(known, reply)).await
    }

    /// Returns whether the service has stopped.
    pub fn is_gone(&self) -> bool {
        self.questions.is_closed()
    }

    /// Asks something of the state as it stands between two changes.
    pub async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Alerting) -> T + Send + 'static) -> Result<T, WatchError> {
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |state| {
            // An asker that has gone needs no answer.
            let _ = reply.send(question(state));
        });
        self.questions.try_send(question).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WatchError::Busy,
            mpsc::error::TrySendError::Closed(_) => WatchError::Stopping,
        })?;
        in_time(async { answer.await.map_err(|_| WatchError::Stopping) }).await
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, WatchError>>) -> Result<T, WatchError> {
    tokio::time::timeout(CLIENT_WAIT, work).await.unwrap_or(Err(WatchError::Slow))
}

/// Returns about how much memory an event from outside takes, in KiB.
fn kib(event: &Event) -> usize {
    let Event::Alerts(alerts) = event else { return 1 };
    let text = |alert: &IncomingAlert| {
        let labels: usize = alert.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        let annotations: usize = alert.annotations.iter().map(|(name, value)| name.len() + value.len()).sum();
        labels + annotations + alert.generator_url.len() + 256
    };
    1 + alerts.iter().map(text).sum::<usize>() / 1024
}

/// An answer that waits for the record.
type Answer = Box<dyn FnOnce() + Send>;

fn answer<T: Send + 'static>(reply: oneshot::Sender<T>, value: T) -> Answer {
    Box::new(move || {
        // An asker that has gone needs no answer.
        let _ = reply.send(value);
    })
}

async fn work(
    mut state: Alerting,
    mut parts: Parts,
    mut changes: mpsc::Receiver<Message>,
    mut questions: mpsc::Receiver<Question>,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut opening = std::mem::take(&mut parts.opening);
    loop {
        parts.pulse.beat();
        crash::fault("in-watch");
        let rest = clock::now() + IDLE;
        let deadline = state.plane.next_deadline().map_or(rest, |deadline| deadline.min(rest));
        tokio::select! {
            // Changes first: a flood of questions must not hold back an alert.
            biased;
            count = changes.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return },
            () = clock::sleep_until(deadline) => {}
            question = questions.recv() => {
                if let Some(question) = question {
                    question(&state);
                }
                continue;
            }
        }
        let now = clock::now();
        let (mut writes, mut answers, mut reports) = (std::mem::take(&mut opening), Vec::new(), Vec::new());
        for message in batch.drain(..) {
            answers.push(take(&mut state, message, &mut writes, &mut reports, now));
        }
        state.plane.tick(now);
        let wanted = state.plane.take_wanted();
        if !wanted.is_empty() {
            // Without any rules nobody listens.
            let _ = parts.wanted.send(Arc::new(wanted));
        }
        let mut ended = Vec::new();
        let told = collect(&mut state, &mut parts, &mut writes, &mut ended, now);
        record(&parts, &writes).await;
        if !ended.is_empty() {
            parts.tombstones.add(ended).await;
        }
        for answer in answers {
            answer();
        }
        parts.others.tell(reports);
        announce(&parts, &state, &told);
    }
}

/// Takes one message into the state; adds to the writes what it changes beside the plane, and to the reports what others must hear.
fn take(state: &mut Alerting, message: Message, writes: &mut Vec<Write>, reports: &mut Vec<Report>, now: Timestamp) -> Answer {
    match message {
        Message::Judged(judged, reply) => {
            let (rule, terms) = (judged.rule.clone(), judged.terms.clone());
            let outcome = state.judge(judged, now);
            if let Some(error) = &outcome.lost {
                tracing::error!(rule = terms.name, group = terms.group, error = %error, "a rule has lost its alerts");
            }
            keep(outcome, writes, reports);
            answer(reply, Standing { series: state.ledger.series(&rule), active: state.ledger.active_of(&rule) })
        }
        Message::Event(Asked { event, note, room }, reply) => {
            drop(room);
            if let Event::Undelivered(delivery) = event.as_ref() {
                // In the transaction of what is taken back: a start hands in again what nobody has heard of.
                writes.push(settle_lost(&delivery.key));
            }
            let result = state.plane.accept(*event, now);
            // In the transaction of what it tells of: nothing is done without its line in the audit.
            if let Some(entry) = note.and_then(|note| note(&result)) {
                writes.extend(audit_writes(&entry));
            }
            answer(reply, result)
        }
        Message::Rules(Known { keys, elsewhere, outward }, reply) => {
            keep(state.replace_rules(&keys, &elsewhere, outward, now), writes, reports);
            answer(reply, state.ledger.active())
        }
    }
}

/// Adds to the writes what came of the alerts of rules, and logs what routing could not take of it.
fn keep(outcome: Outcome, writes: &mut Vec<Write>, reports: &mut Vec<Report>) {
    reports.extend(outcome.reports);
    writes.extend(outcome.changes.iter().map(ledger::write));
    if let Some(reason) = outcome.refused.first() {
        tracing::error!(count = outcome.refused.len(), %reason, "alerts of our own rules cannot be routed; they are offered again");
    }
}

/// Turns what the plane has changed into writes, and silences that have ended before their time into tombstones; returns what to tell.
fn collect(
    state: &mut Alerting,
    parts: &mut Parts,
    writes: &mut Vec<Write>,
    ended: &mut Vec<Tombstone>,
    now: Timestamp,
) -> BTreeMap<Topic, usize> {
    let mut told = BTreeMap::new();
    if !writes.is_empty() {
        told.insert(Topic::Alerts, 1);
    }
    let mut bodies = Vec::new();
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
            Change::AddExtension(extension) => {
                // Nothing that anybody looks at has changed.
                writes.push(state::add_extension(extension.number, json(&extension)));
                continue;
            }
            Change::DropExtensions => {
                writes.push(state::remove_extensions());
                continue;
            }
            Change::PutFlap(flap) => {
                writes.push(state::put(Document::Flap, &flap.alert.to_string(), json(&flap)));
                Topic::Alerts
            }
            Change::DropFlap(alert) => {
                writes.push(state::remove(Document::Flap, &alert.to_string()));
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
                ended.extend(Tombstone::of(&silence).filter(|tombstone| !tombstone.is_over(now)));
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
                let row = outbox_row(parts.last_delivery_id, &delivery, now);
                writes.push(insert(&row));
                bodies.push(insert_body(&delivery.key, json(&delivery)));
                // It is asked for once it is recorded.
                parts.fresh.put(row, delivery);
                Topic::Deliveries
            }
            Change::Trace(change) => {
                writes.push(trace::write(&change));
                continue;
            }
        };
        *told.entry(topic).or_default() += 1;
    }
    writes.extend(bodies);
    told
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("records are made of plain fields with text keys")
}

fn outbox_row(id: i64, delivery: &Delivery, now: Timestamp) -> OutboxRow {
    let mut fingerprints = " ".to_owned();
    for alert in &delivery.data.alerts {
        alert.fingerprint.write_to(&mut fingerprints);
        fingerprints.push(' ');
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
    let (mut wait, mut lasting) = (Span(100), 0);
    while let Err(error) = parts.db.apply(writes).await {
        parts.pulse.beat();
        parts.metrics.record_errors.inc();
        parts.metrics.ballast_gone.set(parts.db.is_without_ballast().into());
        lasting += usize::from(error.is_lasting());
        if lasting >= LASTING_MAX {
            tracing::error!(error = with_causes(&error), "cannot record the state of alerts");
            give_up("the database refuses the state of alerts, and would refuse it for ever");
        }
        tracing::error!(error = with_causes(&error), "cannot record the state of alerts; trying again, nobody is told before");
        tokio::time::sleep(wait.to_std()).await;
        wait = Span((wait.0 * 2).min(RECORD_WAIT_MAX.0));
    }
    parts.metrics.ballast_gone.set(parts.db.is_without_ballast().into());
    parts.metrics.record_seconds.observe(watch.seconds());
    crash::point("after-record");
}

/// Ends the process at once. Going on would mean that nobody is told of anything while all looks well; the next start reads what is
/// recorded and evaluates anew.
pub(super) fn give_up(reason: &str) -> ! {
    tracing::error!("{reason}; this process aborts");
    std::process::abort();
}

fn announce(parts: &Parts, state: &Alerting, told: &BTreeMap<Topic, usize>) {
    if told.contains_key(&Topic::Deliveries) {
        parts.outbox.notify_one();
    }
    for topic in told.keys() {
        parts.hub.tell(*topic, None);
    }
    if !told.is_empty() {
        parts.metrics.alerts_firing.set(state.ledger.firing() as i64);
        parts.metrics.pages_open.set(state.plane.open_pages() as i64);
    }
}
