//! The auditor at work: asks the watch who must have heard, and the outbox who has.

use std::sync::Arc;
use std::time::Duration;

use tocsin_core::auditor::{Auditor, Evidence, Missing};
use tocsin_core::model::Fingerprint;
use tocsin_core::plane::{Duties, Duty};
use tokio::sync::watch;

use super::watch::Watch;
use crate::client::answer::with_causes;
use crate::clock;
use crate::db::deliveries::{DeliveryState, InLane};
use crate::db::{Db, DbError};
use crate::telemetry::Metrics;

const ROUND_EVERY: Duration = Duration::from_secs(15);
/// Alerts that the watch looks at in one go.
const ALERTS_AT_ONCE: usize = 500;
/// Missing notifications that the log names at a time.
const NAMED_MAX: usize = 5;

/// What the auditor works with.
pub struct Parts {
    pub watch: Watch,
    pub db: Db,
    pub metrics: Arc<Metrics>,
    /// How many notifications are missing.
    pub missing: watch::Sender<usize>,
}

/// Audits as long as the watch lives.
pub async fn audit(parts: Parts) {
    let mut auditor = Auditor::default();
    let mut timer = tokio::time::interval(ROUND_EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = 0;
    loop {
        timer.tick().await;
        match round(&parts, &mut auditor).await {
            Ok(true) => {}
            Ok(false) => return,
            // Who cannot be asked has not said that all is well; what was missing stays so.
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "the outbox cannot be audited; trying again");
                continue;
            }
        }
        let missing: Vec<&Missing> = auditor.missing().collect();
        if missing.len() > told {
            for one in missing.iter().take(NAMED_MAX) {
                let Missing { duty, evidence, since } = one;
                tracing::error!(alert = %duty.alert, receiver = duty.receiver, ?evidence, %since, "a notification is missing");
            }
        }
        told = missing.len();
        parts.metrics.notifications_missing.set(told as i64);
        parts.missing.send_if_modified(|known| std::mem::replace(known, told) != told);
    }
}

/// Goes through all alerts once; returns whether the watch still lives.
async fn round(parts: &Parts, auditor: &mut Auditor) -> Result<bool, DbError> {
    let mut behind: Option<Fingerprint> = None;
    loop {
        let (now, settled) = (clock::now(), auditor.settled());
        let piece = parts.watch.ask(move |state| match state.plane.closed() {
            // Nobody is told yet.
            Some(_) => Duties::default(),
            None => state.plane.duties(behind, &settled, ALERTS_AT_ONCE, now),
        });
        let Ok(found) = piece.await else {
            // One that is busy is asked again with the next round.
            return Ok(!parts.watch.is_gone());
        };
        behind = found.last;
        for duty in auditor.ask(found, now) {
            let evidence = evidence(&parts.db, &duty).await?;
            auditor.answer(duty, evidence, now);
        }
        if behind.is_none() {
            auditor.end_round();
            return Ok(true);
        }
    }
}

/// Returns what the outbox holds of an alert in its lane.
async fn evidence(db: &Db, duty: &Duty) -> Result<Evidence, DbError> {
    let rows = db.in_lane(&duty.lane, &duty.alert.to_string()).await?;
    // What told of an end before the alert fired says nothing of now.
    let counts = |row: &&InLane| row.created_at >= duty.fired_at || row.action != "resolve";
    let of_row = |row: &InLane| match row.state {
        DeliveryState::Delivered => Evidence::Told,
        DeliveryState::Pending if row.attempts > 0 => Evidence::Failing,
        DeliveryState::Pending => Evidence::Untried,
        DeliveryState::Rejected | DeliveryState::Expired => Evidence::Lost,
    };
    let all: Vec<Evidence> = rows.iter().filter(counts).map(of_row).collect();
    let best = [Evidence::Told, Evidence::Failing, Evidence::Untried, Evidence::Lost].into_iter().find(|one| all.contains(one));
    Ok(best.unwrap_or(Evidence::Nothing))
}
