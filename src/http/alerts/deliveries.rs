//! Deliveries with their attempts, and the messages of the built-in inbox.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tocsin_core::time::{Span, Timestamp};
use utoipa::ToSchema;

use super::AlertsState;
use crate::clock;
use crate::db::Db;
use crate::db::deliveries::{Attempt, DeliveryFilter, DeliveryState, OutboxRow};
use crate::http::problem::Problem;
use crate::http::prometheus::Parameters;

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AttemptView {
    pub at: String,
    pub outcome: String,
    pub detail: String,
    pub duration_ms: i64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Delivery {
    pub id: i64,
    pub key: String,
    pub page_id: Option<String>,
    pub receiver: String,
    pub channel: String,
    pub action: String,
    pub title: String,
    /// `pending`, `delivered`, `rejected` or `expired`.
    pub state: &'static str,
    pub created_at: String,
    pub finished_at: Option<String>,
    pub next_attempt_at: Option<String>,
    pub expires_at: String,
    pub attempts: Vec<AttemptView>,
}

#[derive(Serialize, ToSchema)]
pub struct DeliveryStateCounts {
    pub pending: i64,
    pub delivered: i64,
    pub rejected: i64,
    pub expired: i64,
}

#[derive(Serialize, ToSchema)]
pub struct Deliveries {
    pub deliveries: Vec<Delivery>,
    /// The id to pass as `before` for the next part; null at the end.
    pub next: Option<i64>,
    /// Of all pending deliveries and of those that were created in the last 24 hours.
    pub counts: DeliveryStateCounts,
}

#[derive(Serialize, ToSchema)]
pub struct Message {
    pub id: String,
    pub at: String,
    pub receiver: String,
    pub title: String,
    pub body: String,
    pub status: String,
    pub page_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Inbox {
    pub messages: Vec<Message>,
}

fn delivery_view(row: OutboxRow, attempts: Vec<AttemptView>) -> Delivery {
    Delivery {
        id: row.id,
        key: row.key,
        page_id: row.page_id,
        receiver: row.receiver,
        channel: row.channel,
        action: row.action,
        title: row.title,
        state: row.state.word(),
        created_at: row.created_at.rfc3339(),
        finished_at: row.finished_at.map(Timestamp::rfc3339),
        next_attempt_at: (row.state == DeliveryState::Pending).then(|| row.next_attempt_at.rfc3339()),
        expires_at: row.expires_at.rfc3339(),
        attempts,
    }
}

/// Returns deliveries with their attempts.
pub async fn deliveries(db: &Db, filter: &DeliveryFilter) -> Result<Vec<Delivery>, Problem> {
    let rows = db.deliveries(filter).await?;
    let mut attempts: BTreeMap<i64, Vec<AttemptView>> = BTreeMap::new();
    for Attempt { delivery_id, at, outcome, detail, duration_ms, .. } in db.attempts(&rows).await? {
        attempts.entry(delivery_id).or_default().push(AttemptView { at: at.rfc3339(), outcome, detail, duration_ms });
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let own = attempts.remove(&row.id).unwrap_or_default();
            delivery_view(row, own)
        })
        .collect())
}

/// Lists deliveries with their attempts, newest first.
#[utoipa::path(get, path = "/api/tocsin/v1/deliveries", tag = "deliveries",
    params(("state" = Option<String>, Query), ("channel" = Option<String>, Query), ("limit" = Option<usize>, Query),
        ("before" = Option<i64>, Query, description = "only deliveries with a smaller id")),
    responses((status = 200, body = Deliveries)))]
pub async fn list_deliveries(State(state): State<AlertsState>, parameters: Parameters) -> Result<Json<Deliveries>, Problem> {
    let limit = parameters.limit(500).map_err(|_| Problem::bad_request("limit is not a whole number"))?;
    let wanted = match parameters.get("state") {
        None => None,
        Some(word) => {
            Some(DeliveryState::parse(word).ok_or_else(|| Problem::bad_request(format!("there is no state {word:?}")))?)
        }
    };
    let before = match parameters.get("before") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Problem::bad_request("before is not a whole number"))?),
    };
    let channel = parameters.get("channel").map(str::to_owned);
    let filter = DeliveryFilter { state: wanted, channel, before, limit: limit as i64, ..DeliveryFilter::default() };
    let deliveries = deliveries(&state.db, &filter).await?;
    let counts = state.db.delivery_counts(clock::now() - Span::from_mins(24 * 60)).await?;
    Ok(Json(Deliveries {
        next: if deliveries.len() == limit { deliveries.last().map(|delivery| delivery.id) } else { None },
        counts: DeliveryStateCounts {
            pending: counts.pending,
            delivered: counts.delivered,
            rejected: counts.rejected,
            expired: counts.expired,
        },
        deliveries,
    }))
}

/// Lists the messages of the built-in inbox, newest first.
#[utoipa::path(get, path = "/api/tocsin/v1/inbox", tag = "deliveries", params(("limit" = Option<usize>, Query)), responses((status = 200, body = Inbox)))]
pub async fn inbox(State(state): State<AlertsState>, parameters: Parameters) -> Result<Json<Inbox>, Problem> {
    let limit = parameters.limit(500).map_err(|_| Problem::bad_request("limit is not a whole number"))?;
    let messages = state.db.inbox(limit as i64).await?.into_iter().map(|message| Message {
        id: message.key,
        at: message.at.rfc3339(),
        receiver: message.receiver,
        title: message.title,
        body: message.body,
        status: message.status,
        page_id: message.page_id,
    });
    Ok(Json(Inbox { messages: messages.collect() }))
}
