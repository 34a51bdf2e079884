//! The outbox: takes recorded deliveries to their channels, one lane at a time in order, until each has ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tocsin_core::plane::{Delivery, Event, Reply};
use tocsin_core::route::receiver::{Channel, Receiver};
use tocsin_core::route::retry::next_attempt;
use tocsin_core::route::templates::Templates;
use tocsin_core::route::turn::{self, AT_A_PLACE_MAX, Head};
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};

use super::crash;
use super::fresh::Fresh;
use super::hub::{Hub, Topic};
use super::pulse::Pulse;
use super::watch::{Watch, give_up};
use crate::client::answer::with_causes;
use crate::clock::{self, Stopwatch};
use crate::db::deliveries::{Attempt, DeliveryState, InboxMessage, OutboxRow, Verdict, settle_lost};
use crate::db::{Db, DbError};
use crate::id;
use crate::notify::{Outcome, Sender};
use crate::telemetry::Metrics;
use crate::telemetry::notifications::Attempted;

/// Lanes of one place looked at in one go: those under way, and as many again for each that may end meanwhile.
const LANES_MAX: i64 = 8 * AT_A_PLACE_MAX as i64;
/// Lost deliveries that are read at once.
const LOST_AT_ONCE: i64 = 200;
/// The outbox looks again after this long even when nobody woke it.
const IDLE: Span = Span::from_secs(30);
/// As long as this, what ends makes room for what was read already. In a storm the queue would be read with each attempt.
const READ_LASTS: Span = Span(250);
/// After a failure of the database.
const DB_WAIT: Span = Span::from_secs(1);
/// Failures of recording an attempt, each of which would come again, after which the process ends.
const LASTING_MAX: usize = 5;
/// After a fault of our own in an attempt.
const FAULT_WAIT: Span = Span::from_mins(1);
/// What is under way at a stop may take this long to end.
const STOP_MAX: Duration = Duration::from_secs(3);

/// A line for each alert.
const INBOX_TEXT: &str = "{{ range .Alerts }}{{ .Status | toUpper }} {{ .Labels.alertname }}{{ with .Annotations.summary }}: {{ . }}{{ end }}\n{{ end }}";

/// What the outbox takes from the configuration; replaced as a whole at a reload.
#[derive(Clone)]
pub struct Addressees {
    pub receivers: Arc<std::collections::BTreeMap<String, Receiver>>,
    pub templates: Arc<Templates>,
}

/// The parts that the outbox works with.
#[derive(Clone)]
pub struct Outbox {
    pub db: Db,
    /// Hears of deliveries that are lost.
    pub watch: Watch,
    pub sender: Arc<Sender>,
    pub addressees: watch::Receiver<Addressees>,
    pub hub: Hub,
    pub wake: Arc<Notify>,
    pub fresh: Arc<Fresh>,
    pub metrics: Arc<Metrics>,
    pub pulse: Pulse,
}

/// The attempts under way.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<()>,
    heads: HashMap<Id, Head>,
    /// Those for which there was no room when the queue was last read, which was at `read_at`.
    waiting: Vec<Head>,
    read_at: Timestamp,
}

impl UnderWay {
    /// Returns the delivery whose attempt has ended, and whether that was by a fault.
    fn ended(&mut self, joined: Result<(Id, ()), JoinError>) -> Option<(Head, Option<JoinError>)> {
        let (id, fault) = match joined {
            Ok((id, ())) => (id, None),
            Err(error) => (error.id(), Some(error)),
        };
        Some((self.heads.remove(&id)?, fault))
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that has gone means a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

impl Outbox {
    /// Works until `stop` says so: then nothing new is started, and what is under way has some seconds to end and to be recorded. The
    /// rest is tried again after the next start, under the same key.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut under_way = UnderWay::default();
        under_way.tasks.spawn(self.clone().hand_back_all());
        loop {
            self.pulse.beat();
            crash::fault("in-outbox");
            let now = clock::now();
            let wait = match self.start_due(&mut under_way, now).await {
                Ok(next) => next.map_or(IDLE, |at| at.since(now).clamp(Span(1), IDLE)),
                Err(error) => {
                    tracing::error!(error = with_causes(&error), "the outbox cannot read its queue");
                    DB_WAIT
                }
            };
            tokio::select! {
                () = self.wake.notified() => under_way.waiting.clear(),
                Some(joined) = under_way.tasks.join_next_with_id() => self.note_end(&mut under_way, joined).await,
                () = tokio::time::sleep(wait.to_std()) => under_way.waiting.clear(),
                () = stopped(&mut stop) => break,
            }
            while let Some(joined) = under_way.tasks.try_join_next_with_id() {
                self.note_end(&mut under_way, joined).await;
            }
        }
        let drained = async { while under_way.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_MAX, drained).await.is_err() {
            tracing::warn!(attempts = under_way.tasks.len(), "attempts are cut off; they are made again after the next start");
        }
    }

    /// Frees the lane of an attempt. One that ended by a fault of ours is recorded as failed, so that it neither holds its lane for
    /// ever nor is made again at once.
    async fn note_end(&self, under_way: &mut UnderWay, joined: Result<(Id, ()), JoinError>) {
        let Some((head, Some(fault))) = under_way.ended(joined) else { return };
        tracing::error!(delivery = head.id, error = %fault, "an attempt ended in a fault of this program");
        let now = clock::now();
        let attempt = Attempt {
            delivery_id: head.id,
            number: head.attempts + 1,
            at: now,
            outcome: "retry".to_owned(),
            detail: "a fault of this program; its log says more".to_owned(),
            duration_ms: 0,
        };
        if let Err(error) = self.db.record_attempt(&attempt, &Verdict::RetryAt(now + FAULT_WAIT)).await {
            tracing::error!(error = with_causes(&error), delivery = head.id, "cannot record an attempt");
        }
    }

    /// Starts every delivery whose turn it is; returns when the next one falls due.
    async fn start_due(&self, under_way: &mut UnderWay, now: Timestamp) -> Result<Option<Timestamp>, DbError> {
        let waiting = std::mem::take(&mut under_way.waiting);
        let mut turns = turn::turns(waiting, under_way.heads.values(), now);
        let read_until = under_way.read_at + READ_LASTS;
        if turns.start.is_empty() || now < under_way.read_at || now >= read_until {
            turns = turn::turns(self.db.lane_heads(LANES_MAX).await?, under_way.heads.values(), now);
            under_way.read_at = now;
        } else {
            turns.next = Some(read_until);
        }
        under_way.waiting = turns.waiting;
        for head in turns.start {
            let (outbox, id, attempts) = (self.clone(), head.id, head.attempts);
            let task = under_way.tasks.spawn(async move {
                match outbox.read(id, attempts).await {
                    Ok(Some((row, delivery))) => outbox.attempt(row, delivery).await,
                    Ok(None) => {}
                    Err(error) => {
                        tracing::error!(error = with_causes(&error), delivery = id, "a delivery cannot be read");
                        tokio::time::sleep(DB_WAIT.to_std()).await;
                    }
                }
            });
            under_way.heads.insert(task.id(), head);
        }
        let has_expired = !turns.expired.is_empty();
        for head in turns.expired {
            self.db.expire_delivery(head.id, now).await?;
            tracing::error!(delivery = head.id, channel = head.place.1, "a delivery has expired");
            self.metrics.delivery_ended(&head.place.1, DeliveryState::Expired);
            self.metrics.notifications.expired(&head.place.1);
            self.hub.tell(Topic::Deliveries, Some(&head.id.to_string()));
            let outbox = self.clone();
            under_way.tasks.spawn(async move { outbox.hand_back(head.id).await });
        }
        // What expired frees its lane for the next one.
        Ok(if has_expired { Some(now) } else { turns.next })
    }

    /// Returns a delivery as it stands, and what it says, or why that cannot be understood; None when it is gone.
    async fn read(&self, id: i64, attempts: i64) -> Result<Option<(OutboxRow, Result<Delivery, String>)>, DbError> {
        // What was never tried stands as it was put in.
        if let Some((row, delivery)) = self.fresh.take(id).filter(|(row, _)| row.attempts == attempts) {
            return Ok(Some((row, Ok(delivery))));
        }
        self.read_stored(id).await
    }

    async fn read_stored(&self, id: i64) -> Result<Option<(OutboxRow, Result<Delivery, String>)>, DbError> {
        let Some(row) = self.db.delivery(id).await? else { return Ok(None) };
        let Some(body) = self.db.delivery_body(id).await? else { return Ok(None) };
        let read = serde_json::from_str(&body).map_err(|error| format!("the stored delivery cannot be read: {error}"));
        Ok(Some((row, read)))
    }

    /// Makes one attempt and records how it ended. When it cannot be recorded the lane stays where it was, and the attempt is made
    /// again under the same key.
    async fn attempt(&self, row: OutboxRow, delivery: Result<Delivery, String>) {
        let (started_at, watch) = (clock::now(), Stopwatch::start());
        crash::point("before-attempt");
        let outcome = match delivery {
            Ok(delivery) => self.send(&row, &delivery).await,
            Err(why) => Outcome::Rejected(why),
        };
        crash::point("after-answer");
        let number = row.attempts + 1;
        let (word, detail, verdict) = match outcome {
            Outcome::Delivered(detail) => ("delivered", detail, Verdict::Finished(DeliveryState::Delivered)),
            Outcome::Rejected(reason) => ("rejected", reason, Verdict::Finished(DeliveryState::Rejected)),
            Outcome::Partly(reason) => ("rejected", reason, Verdict::Partly),
            Outcome::Retry { reason, after } => {
                let attempts = u32::try_from(number).unwrap_or(u32::MAX);
                ("retry", reason, Verdict::RetryAt(next_attempt(clock::now(), attempts, after, id::jitter(1 << 20))))
            }
        };
        match &verdict {
            Verdict::Finished(DeliveryState::Delivered) => {
                tracing::info!(delivery = row.id, channel = row.channel, title = row.title, "delivered")
            }
            Verdict::Finished(_) | Verdict::Partly => {
                tracing::error!(delivery = row.id, channel = row.channel, title = row.title, detail, "a delivery was rejected")
            }
            Verdict::RetryAt(at) => {
                tracing::warn!(delivery = row.id, channel = row.channel, detail, again_at = %at, "a delivery failed and is tried again");
            }
        }
        self.metrics.attempt(&row.channel, word, watch.seconds());
        self.metrics.notifications.attempted(Attempted {
            channel: &row.channel,
            number,
            decided_at: row.created_at,
            at: started_at,
            seconds: watch.seconds(),
            failure: (verdict != Verdict::Finished(DeliveryState::Delivered)).then_some(&detail),
            again_at: match verdict {
                Verdict::RetryAt(at) => Some(at),
                Verdict::Finished(_) | Verdict::Partly => None,
            },
        });
        match verdict {
            Verdict::Finished(state) => self.metrics.delivery_ended(&row.channel, state),
            Verdict::Partly => self.metrics.delivery_ended(&row.channel, DeliveryState::Rejected),
            Verdict::RetryAt(_) => {}
        }
        let attempt = Attempt {
            delivery_id: row.id,
            number,
            at: started_at,
            outcome: word.to_owned(),
            detail,
            duration_ms: i64::try_from(watch.elapsed().as_millis()).unwrap_or(i64::MAX),
        };
        let mut lasting = 0;
        while let Err(error) = self.db.record_attempt(&attempt, &verdict).await {
            tracing::error!(error = with_causes(&error), delivery = row.id, "cannot record an attempt; trying again");
            lasting += usize::from(error.is_lasting());
            if lasting >= LASTING_MAX {
                give_up("the database refuses the record of an attempt, and would refuse it for ever");
            }
            tokio::time::sleep(DB_WAIT.to_std()).await;
        }
        crash::point("after-attempt-record");
        self.hub.tell(Topic::Deliveries, Some(&row.id.to_string()));
        if matches!(verdict, Verdict::Finished(DeliveryState::Rejected)) {
            self.hand_back(row.id).await;
        }
    }

    /// Hands the watch what was lost and what an earlier process did not come to hand in.
    async fn hand_back_all(self) {
        let mut last = 0;
        loop {
            let ids = match self.db.lost_deliveries(last, LOST_AT_ONCE).await {
                Ok(ids) => ids,
                Err(error) => {
                    tracing::error!(error = with_causes(&error), "lost deliveries cannot be read; trying again");
                    tokio::time::sleep(DB_WAIT.to_std()).await;
                    continue;
                }
            };
            let Some(newest) = ids.last().copied() else { return };
            last = newest;
            for id in ids {
                self.hand_back(id).await;
            }
        }
    }

    /// Tells the watch that a delivery is lost, so that what it told is told again. What cannot be handed in now is at the next start.
    async fn hand_back(&self, id: i64) {
        let (row, delivery) = match self.read_stored(id).await {
            Ok(Some(read)) => read,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(error = with_causes(&error), delivery = id, "a lost delivery cannot be read");
                return;
            }
        };
        let Ok(delivery) = delivery else {
            // Nobody can say what it told; that it was lost stands in the log already.
            if let Err(error) = self.db.apply(&[settle_lost(&row.key)]).await {
                tracing::error!(error = with_causes(&error), delivery = id, "a lost delivery cannot be settled");
            }
            return;
        };
        // A stop that comes before leaves the note, and the next start hands it in.
        if let Ok(Ok(Reply::Lost(Some(lost)))) = self.watch.event(Event::Undelivered(Box::new(delivery))).await {
            let becomes = lost.words(clock::now());
            tracing::warn!(delivery = id, channel = row.channel, receiver = row.receiver, "what a lost delivery told: {becomes}");
        }
    }

    async fn send(&self, row: &OutboxRow, delivery: &Delivery) -> Outcome {
        let addressees = self.addressees.borrow().clone();
        let Some(integration) =
            addressees.receivers.get(&delivery.receiver).and_then(|receiver| receiver.find(&delivery.integration))
        else {
            return Outcome::Rejected(format!(
                "receiver {:?} of the configuration sends to no {} at this place any more",
                delivery.receiver, delivery.channel
            ));
        };
        crash::point("before-connect");
        if integration.channel == Channel::Inbox {
            return self.put_into_inbox(row, delivery, &addressees.templates).await;
        }
        self.sender.send(delivery, integration, &addressees.templates).await
    }

    async fn put_into_inbox(&self, row: &OutboxRow, delivery: &Delivery, templates: &Templates) -> Outcome {
        let body = match templates.render(INBOX_TEXT, &delivery.data, clock::now()) {
            Ok(body) => body,
            Err(error) => error.to_string(),
        };
        let message = InboxMessage {
            key: row.key.clone(),
            at: clock::now(),
            receiver: row.receiver.clone(),
            status: delivery.data.status.word().to_owned(),
            title: row.title.clone(),
            body,
            page_id: row.page_id.clone(),
        };
        match self.db.add_inbox(&message).await {
            Ok(()) => {
                self.hub.tell(Topic::Inbox, None);
                Outcome::Delivered("put into the inbox".to_owned())
            }
            Err(error) => Outcome::Retry { reason: with_causes(&error), after: None },
        }
    }
}
