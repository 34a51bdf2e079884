//! The outbox: takes recorded deliveries to their channels, one lane at a time in order, until each has ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use tocsin_core::plane::Delivery;
use tocsin_core::route::receiver::{Channel, Receiver};
use tocsin_core::route::retry::next_attempt;
use tocsin_core::route::templates::Templates;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{Notify, mpsc, watch};

use super::crash;
use super::hub::{Hub, Topic};
use crate::clock::{self, Stopwatch};
use crate::db::deliveries::{Attempt, DeliveryState, InboxMessage, OutboxRow, Verdict};
use crate::db::{Db, DbError};
use crate::id;
use crate::notify::{Outcome, Sender, with_causes};
use crate::telemetry::Metrics;

/// Attempts that run at the same time, over all channels.
const IN_FLIGHT_MAX: usize = 32;
/// Lanes looked at in one go.
const LANES_MAX: i64 = 1000;
/// The outbox looks again after this long even when nobody woke it.
const IDLE: Span = Span::from_secs(30);
/// After a failure of the database.
const DB_WAIT: Span = Span::from_secs(1);

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
    pub sender: Arc<Sender>,
    pub addressees: watch::Receiver<Addressees>,
    pub hub: Hub,
    pub wake: Arc<Notify>,
    pub metrics: Arc<Metrics>,
}

impl Outbox {
    /// Works until the future is dropped. What was in flight then is tried again after the next start, under the same key.
    pub async fn run(self) {
        let (done, mut finished) = mpsc::channel::<String>(IN_FLIGHT_MAX);
        let mut busy: BTreeSet<String> = BTreeSet::new();
        loop {
            let now = clock::now();
            let wait = match self.start_due(&mut busy, &done, now).await {
                Ok(next) => next.map_or(IDLE, |at| at.since(now).clamp(Span(1), IDLE)),
                Err(error) => {
                    tracing::error!(error = with_causes(&error), "the outbox cannot read its queue");
                    DB_WAIT
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                lane = finished.recv() => { lane.map(|lane| busy.remove(&lane)); }
                () = tokio::time::sleep(wait.to_std()) => {}
            }
            while let Ok(lane) = finished.try_recv() {
                busy.remove(&lane);
            }
        }
    }

    /// Starts every delivery that is due and has room; returns when the next one falls due.
    async fn start_due(
        &self,
        busy: &mut BTreeSet<String>,
        done: &mpsc::Sender<String>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, DbError> {
        let mut next: Option<Timestamp> = None;
        for row in self.db.lane_heads(LANES_MAX).await? {
            if busy.contains(&row.lane) {
                continue;
            }
            if row.expires_at <= now {
                self.db.expire_delivery(row.id, now).await?;
                self.metrics.delivery_ended(&row.channel, DeliveryState::Expired);
                self.hub.tell(Topic::Deliveries, Some(&row.id.to_string()));
                next = Some(now);
            } else if row.next_attempt_at > now {
                let at = row.next_attempt_at.min(row.expires_at);
                next = Some(next.map_or(at, |earliest| earliest.min(at)));
            } else if busy.len() < IN_FLIGHT_MAX {
                busy.insert(row.lane.clone());
                let (outbox, done) = (self.clone(), done.clone());
                tokio::spawn(async move {
                    let lane = row.lane.clone();
                    outbox.attempt(row).await;
                    // The outbox itself has gone when nobody listens; then there is nothing left to tell.
                    let _ = done.send(lane).await;
                });
            }
        }
        Ok(next)
    }

    /// Makes one attempt and records how it ended. When it cannot be recorded the lane stays where it was, and the attempt is made
    /// again under the same key.
    async fn attempt(&self, row: OutboxRow) {
        let (started_at, watch) = (clock::now(), Stopwatch::start());
        crash::point("before-attempt");
        let outcome = match serde_json::from_str::<Delivery>(&row.body) {
            Ok(delivery) => self.send(&row, &delivery).await,
            Err(error) => Outcome::Rejected(format!("the stored delivery cannot be read: {error}")),
        };
        crash::point("after-answer");
        let number = row.attempts + 1;
        let (word, detail, verdict) = match outcome {
            Outcome::Delivered(detail) => ("delivered", detail, Verdict::Finished(DeliveryState::Delivered)),
            Outcome::Rejected(reason) => ("rejected", reason, Verdict::Finished(DeliveryState::Rejected)),
            Outcome::Retry { reason, after } => {
                let attempts = u32::try_from(number).unwrap_or(u32::MAX);
                ("retry", reason, Verdict::RetryAt(next_attempt(clock::now(), attempts, after, id::jitter(1 << 20))))
            }
        };
        match &verdict {
            Verdict::Finished(DeliveryState::Delivered) => {
                tracing::info!(delivery = row.id, channel = row.channel, title = row.title, "delivered")
            }
            Verdict::Finished(_) => {
                tracing::error!(delivery = row.id, channel = row.channel, title = row.title, detail, "a delivery was rejected")
            }
            Verdict::RetryAt(at) => {
                tracing::warn!(delivery = row.id, channel = row.channel, detail, again_at = %at, "a delivery failed for now");
            }
        }
        self.metrics.attempt(&row.channel, word, watch.seconds());
        if let Verdict::Finished(state) = verdict {
            self.metrics.delivery_ended(&row.channel, state);
        }
        let attempt = Attempt {
            delivery_id: row.id,
            number,
            at: started_at,
            outcome: word.to_owned(),
            detail,
            duration_ms: i64::try_from(watch.elapsed().as_millis()).unwrap_or(i64::MAX),
        };
        while let Err(error) = self.db.record_attempt(&attempt, &verdict).await {
            tracing::error!(error = with_causes(&error), delivery = row.id, "cannot record an attempt; trying again");
            tokio::time::sleep(DB_WAIT.to_std()).await;
        }
        crash::point("after-attempt-record");
        self.hub.tell(Topic::Deliveries, Some(&row.id.to_string()));
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
            status: match delivery.data.status {
                tocsin_core::route::notification::Status::Firing => "firing".to_owned(),
                tocsin_core::route::notification::Status::Resolved => "resolved".to_owned(),
            },
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
