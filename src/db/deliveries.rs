//! The outbox: deliveries, their attempts, and the built-in inbox.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tocsin_core::route::turn::Head;
use tocsin_core::time::Timestamp;

use super::pack::pack;
use super::{Cell, Db, DbError, Row, RowSql, Write};

/// A delivery among those of its lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InLane {
    pub state: DeliveryState,
    pub attempts: i64,
    pub action: String,
    pub created_at: Timestamp,
}

/// Of a lane so many deliveries are looked at.
const LANE_MAX: i64 = 100;

/// So many keys are asked for at a time.
const KEYS_MAX: usize = 200;

/// Where a delivery stands. Every delivery ends as delivered, rejected or expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryState {
    Pending,
    Delivered,
    Rejected,
    Expired,
}

impl DeliveryState {
    pub const ALL: [DeliveryState; 4] =
        [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Rejected, DeliveryState::Expired];

    pub fn word(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Rejected => "rejected",
            DeliveryState::Expired => "expired",
        }
    }

    pub fn parse(word: &str) -> Option<DeliveryState> {
        DeliveryState::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// One message to one place, as the outbox keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxRow {
    /// Rises in the order in which the deliveries were decided.
    pub id: i64,
    /// Stable over crashes: the same message has the same key.
    pub key: String,
    /// Deliveries of one lane leave in order, one at a time.
    pub lane: String,
    pub state: DeliveryState,
    pub receiver: String,
    pub channel: String,
    pub action: String,
    pub title: String,
    pub page_id: Option<String>,
    /// Fingerprints of the alerts that it tells of, separated by spaces, with a space at both ends.
    pub fingerprints: String,
    pub created_at: Timestamp,
    pub next_attempt_at: Timestamp,
    pub expires_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub attempts: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub delivery_id: i64,
    pub number: i64,
    pub at: Timestamp,
    /// `delivered`, `retry` or `rejected`.
    pub outcome: String,
    pub detail: String,
    pub duration_ms: i64,
}

/// What an attempt changes in its delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Finished(DeliveryState),
    /// It was rejected, and yet somebody has heard it.
    Partly,
    RetryAt(Timestamp),
}

#[derive(Clone, Debug, PartialEq)]
pub struct InboxMessage {
    pub key: String,
    pub at: Timestamp,
    pub receiver: String,
    pub status: String,
    pub title: String,
    pub body: String,
    pub page_id: Option<String>,
}

/// What a list of deliveries asks for; None asks nothing.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    pub state: Option<DeliveryState>,
    pub channel: Option<String>,
    pub page_id: Option<String>,
    pub fingerprint: Option<String>,
    /// Only deliveries older than this id.
    pub before: Option<i64>,
    pub limit: i64,
}

const COLUMNS: &str = "id, delivery_key, lane, state, receiver, channel, action, title, page_id, fingerprints, created_at_ms, \
                       next_attempt_at_ms, expires_at_ms, finished_at_ms, attempts";

fn outbox_row(row: &Row) -> Result<OutboxRow, DbError> {
    Ok(OutboxRow {
        id: row.int(0)?,
        key: row.text(1)?.to_owned(),
        lane: row.text(2)?.to_owned(),
        state: DeliveryState::parse(row.text(3)?).ok_or_else(|| row.shape(3, "a state of a delivery"))?,
        receiver: row.text(4)?.to_owned(),
        channel: row.text(5)?.to_owned(),
        action: row.text(6)?.to_owned(),
        title: row.text(7)?.to_owned(),
        page_id: row.optional_text(8)?.map(str::to_owned),
        fingerprints: row.text(9)?.to_owned(),
        created_at: Timestamp(row.int(10)?),
        next_attempt_at: Timestamp(row.int(11)?),
        expires_at: Timestamp(row.int(12)?),
        finished_at: row.optional_int(13)?.map(Timestamp),
        attempts: row.int(14)?,
    })
}

/// Returns the statement that puts a delivery into the outbox; one that is there already (same key) stays as it is.
pub fn insert(row: &OutboxRow) -> Write {
    static SQL: RowSql = RowSql {
        insert: "INSERT INTO delivery (id, delivery_key, lane, state, receiver, channel, action, title, page_id, fingerprints, \
                 created_at_ms, next_attempt_at_ms, expires_at_ms, finished_at_ms, attempts, body)",
        columns: 16,
        keys: 2,
        conflict: "ON CONFLICT (delivery_key) DO NOTHING",
    };
    Write::row(
        &SQL,
        [
            row.id.into(),
            row.key.as_str().into(),
            row.lane.as_str().into(),
            row.state.word().into(),
            row.receiver.as_str().into(),
            row.channel.as_str().into(),
            row.action.as_str().into(),
            row.title.as_str().into(),
            row.page_id.as_deref().into(),
            row.fingerprints.as_str().into(),
            row.created_at.into(),
            row.next_attempt_at.into(),
            row.expires_at.into(),
            row.finished_at.into(),
            row.attempts.into(),
            // It has a table of its own: what changes in a row has the databases write all of it anew.
            "".into(),
        ],
    )
}

/// Returns the statement that keeps what a delivery says, by the delivery's key.
pub fn insert_body(key: &str, body: String) -> Write {
    static SQL: RowSql = RowSql {
        insert: "INSERT INTO delivery_body (delivery_key, body)",
        columns: 2,
        keys: 1,
        conflict: "ON CONFLICT (delivery_key) DO NOTHING",
    };
    Write::row(&SQL, [key.into(), pack(body).into()])
}

/// Returns the statement after which nobody has to hear any more that a delivery, by its key, is lost.
pub fn settle_lost(key: &str) -> Write {
    let sql = "DELETE FROM lost_delivery WHERE delivery_id IN (SELECT id FROM delivery WHERE delivery_key = $1)";
    Write::new(sql, [key.into()])
}

/// Returns the statement that notes a delivery as lost that is about to end so.
pub(super) fn note_lost(id: i64) -> Write {
    let sql = "INSERT INTO lost_delivery (delivery_id) SELECT id FROM delivery WHERE id = $1 AND state = 'pending' \
               ON CONFLICT (delivery_id) DO NOTHING";
    Write::new(sql, [id.into()])
}

impl Db {
    /// Returns the highest id of a delivery, zero when there is none.
    pub async fn last_delivery_id(&self) -> Result<i64, DbError> {
        let rows = self.rows("delivery", "SELECT COALESCE(MAX(id), 0) FROM delivery", []).await?;
        rows.first().map_or(Ok(0), |row| row.int(0))
    }

    /// Returns the first pending delivery of every lane, due or not: for each place at most `limit`, what was never tried before first,
    /// then by when they are due.
    pub async fn lane_heads(&self, limit: i64) -> Result<Vec<Head>, DbError> {
        let sql = "SELECT id, lane, receiver, channel, attempts, next_attempt_at_ms, expires_at_ms FROM \
                   (SELECT id, lane, receiver, channel, attempts, next_attempt_at_ms, expires_at_ms, ROW_NUMBER() OVER \
                   (PARTITION BY receiver, channel ORDER BY CASE WHEN attempts > 0 THEN 1 ELSE 0 END, next_attempt_at_ms, id) AS place_number \
                   FROM delivery WHERE id IN (SELECT MIN(id) FROM delivery WHERE state = 'pending' GROUP BY lane)) AS heads \
                   WHERE place_number <= $1 ORDER BY CASE WHEN attempts > 0 THEN 1 ELSE 0 END, next_attempt_at_ms, id";
        let head = |row: &Row| {
            Ok(Head {
                id: row.int(0)?,
                lane: row.text(1)?.to_owned(),
                place: (row.text(2)?.to_owned(), row.text(3)?.to_owned()),
                attempts: row.int(4)?,
                next_attempt_at: Timestamp(row.int(5)?),
                expires_at: Timestamp(row.int(6)?),
            })
        };
        self.rows("delivery", sql, [limit.into()]).await?.iter().map(head).collect()
    }

    pub async fn delivery(&self, id: i64) -> Result<Option<OutboxRow>, DbError> {
        let sql = format!("SELECT {COLUMNS} FROM delivery WHERE id = $1");
        self.rows("delivery", sql, [id.into()]).await?.first().map(outbox_row).transpose()
    }

    /// Returns what a delivery says; None when it is gone.
    pub async fn delivery_body(&self, id: i64) -> Result<Option<String>, DbError> {
        // Older versions kept it in the delivery's own row.
        let sql = "SELECT COALESCE(delivery_body.body, delivery.body) FROM delivery LEFT JOIN delivery_body \
                   ON delivery_body.delivery_key = delivery.delivery_key WHERE delivery.id = $1";
        let rows = self.rows("delivery_body", sql, [id.into()]).await?;
        rows.first().map(|row| row.json(0).map(Cow::into_owned)).transpose()
    }

    /// Returns the ids of deliveries that ended without arriving, and of which that is not settled, behind one and in order.
    pub async fn lost_deliveries(&self, behind: i64, limit: i64) -> Result<Vec<i64>, DbError> {
        let sql = "SELECT delivery_id FROM lost_delivery WHERE delivery_id > $1 ORDER BY delivery_id LIMIT $2";
        self.rows("lost_delivery", sql, [behind.into(), limit.into()]).await?.iter().map(|row| row.int(0)).collect()
    }

    /// Ends a delivery whose time has run out, and notes it as lost.
    pub async fn expire_delivery(&self, id: i64, now: Timestamp) -> Result<(), DbError> {
        let sql = "UPDATE delivery SET state = 'expired', finished_at_ms = $2 WHERE id = $1 AND state = 'pending'";
        self.apply(&[note_lost(id), Write::new(sql, [id.into(), now.into()])]).await.map(drop)
    }

    /// Returns deliveries, newest first.
    pub async fn deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<OutboxRow>, DbError> {
        let (mut conditions, mut cells) = (Vec::new(), Vec::<Cell>::new());
        let mut ask = |condition: &str, cell: Option<Cell>| {
            if let Some(cell) = cell {
                cells.push(cell);
                conditions.push(format!("{condition} ${}", cells.len()));
            }
        };
        ask("state =", filter.state.map(|state| state.word().into()));
        ask("channel =", filter.channel.as_deref().map(Cell::from));
        ask("page_id =", filter.page_id.as_deref().map(Cell::from));
        ask("fingerprints LIKE", filter.fingerprint.as_ref().map(|print| format!("% {print} %").into()));
        ask("id <", filter.before.map(Cell::from));
        cells.push(filter.limit.into());
        let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let sql = format!("SELECT {COLUMNS} FROM delivery {filter} ORDER BY id DESC LIMIT ${}", cells.len());
        self.rows("delivery", sql, cells).await?.iter().map(outbox_row).collect()
    }

    /// Returns what a lane holds about an alert, newest first.
    pub async fn in_lane(&self, lane: &str, fingerprint: &str) -> Result<Vec<InLane>, DbError> {
        let sql = "SELECT state, attempts, action, created_at_ms FROM delivery WHERE state IN ('pending', 'delivered', 'rejected', 'expired') \
                   AND lane = $1 AND fingerprints LIKE $2 ORDER BY id DESC LIMIT $3";
        let rows = self.rows("delivery", sql, [lane.into(), format!("% {fingerprint} %").into(), LANE_MAX.into()]).await?;
        let in_lane = |row: &Row| {
            Ok(InLane {
                state: DeliveryState::parse(row.text(0)?).ok_or_else(|| row.shape(0, "a state of a delivery"))?,
                attempts: row.int(1)?,
                action: row.text(2)?.to_owned(),
                created_at: Timestamp(row.int(3)?),
            })
        };
        rows.iter().map(in_lane).collect()
    }

    /// Returns the deliveries of some keys, in the order in which they were decided.
    pub async fn deliveries_of(&self, keys: &[String]) -> Result<Vec<OutboxRow>, DbError> {
        let mut found = Vec::new();
        for keys in keys.chunks(KEYS_MAX) {
            let places: Vec<String> = (1..=keys.len()).map(|place| format!("${place}")).collect();
            let sql = format!("SELECT {COLUMNS} FROM delivery WHERE delivery_key IN ({})", places.join(", "));
            let rows = self.rows("delivery", sql, keys.iter().map(|key| Cell::from(key.as_str()))).await?;
            found.extend(rows.iter().map(outbox_row).collect::<Result<Vec<_>, DbError>>()?);
        }
        found.sort_by_key(|row| row.id);
        Ok(found)
    }

    /// Returns how many deliveries stand in each state, and how many of the pending ones have failed at least once.
    pub async fn delivery_counts(&self, since: Timestamp) -> Result<DeliveryCounts, DbError> {
        let rows = self
            .rows(
                "delivery",
                // Two halves, so that each reads its own index and not the whole table.
                "SELECT state, COUNT(*), SUM(CASE WHEN attempts > 0 THEN 1 ELSE 0 END) FROM \
                 (SELECT state, attempts FROM delivery WHERE state = 'pending' UNION ALL \
                 SELECT state, attempts FROM delivery WHERE state <> 'pending' AND created_at_ms >= $1) AS counted GROUP BY state",
                [since.into()],
            )
            .await?;
        let mut counts = DeliveryCounts::default();
        for row in &rows {
            match DeliveryState::parse(row.text(0)?) {
                Some(DeliveryState::Pending) => (counts.pending, counts.failing) = (row.int(1)?, row.int(2)?),
                Some(DeliveryState::Delivered) => counts.delivered = row.int(1)?,
                Some(DeliveryState::Rejected) => counts.rejected = row.int(1)?,
                Some(DeliveryState::Expired) => counts.expired = row.int(1)?,
                None => return Err(row.shape(0, "a state of a delivery")),
            }
        }
        Ok(counts)
    }

    /// Returns the attempts of deliveries as they were read, in order: of a pending one those that it counts itself, since one that was
    /// recorded after it was read would contradict its state.
    pub async fn attempts(&self, deliveries: &[OutboxRow]) -> Result<Vec<Attempt>, DbError> {
        if deliveries.is_empty() {
            return Ok(Vec::new());
        }
        let counted: BTreeMap<i64, i64> = deliveries
            .iter()
            .map(|row| (row.id, if row.state == DeliveryState::Pending { row.attempts } else { i64::MAX }))
            .collect();
        let places: Vec<String> = (1..=counted.len()).map(|place| format!("${place}")).collect();
        let sql = format!(
            "SELECT delivery_id, number, at_ms, outcome, detail, duration_ms FROM attempt WHERE delivery_id IN ({}) ORDER BY delivery_id, number",
            places.join(", ")
        );
        let rows = self.rows("attempt", sql, counted.keys().map(|id| Cell::from(*id))).await?;
        let attempt = |row: &Row| {
            Ok(Attempt {
                delivery_id: row.int(0)?,
                number: row.int(1)?,
                at: Timestamp(row.int(2)?),
                outcome: row.text(3)?.to_owned(),
                detail: row.text(4)?.to_owned(),
                duration_ms: row.int(5)?,
            })
        };
        let mut attempts: Vec<Attempt> = rows.iter().map(attempt).collect::<Result<_, DbError>>()?;
        attempts.retain(|attempt| counted.get(&attempt.delivery_id).is_some_and(|count| attempt.number <= *count));
        Ok(attempts)
    }

    /// Puts a message into the inbox; the same message twice (same key) is one.
    pub async fn add_inbox(&self, message: &InboxMessage) -> Result<(), DbError> {
        self.write(
            "INSERT INTO inbox_message (delivery_key, at_ms, receiver, status, title, body, page_id) VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (delivery_key) DO NOTHING",
            [
                message.key.as_str().into(),
                message.at.into(),
                message.receiver.as_str().into(),
                message.status.as_str().into(),
                message.title.as_str().into(),
                message.body.as_str().into(),
                message.page_id.as_deref().into(),
            ],
        )
        .await
        .map(drop)
    }

    /// Returns the newest messages of the inbox first.
    pub async fn inbox(&self, limit: i64) -> Result<Vec<InboxMessage>, DbError> {
        let sql = "SELECT delivery_key, at_ms, receiver, status, title, body, page_id FROM inbox_message ORDER BY at_ms DESC, delivery_key LIMIT $1";
        self.rows("inbox_message", sql, [limit.into()])
            .await?
            .iter()
            .map(|row| {
                Ok(InboxMessage {
                    key: row.text(0)?.to_owned(),
                    at: Timestamp(row.int(1)?),
                    receiver: row.text(2)?.to_owned(),
                    status: row.text(3)?.to_owned(),
                    title: row.text(4)?.to_owned(),
                    body: row.text(5)?.to_owned(),
                    page_id: row.optional_text(6)?.map(str::to_owned),
                })
            })
            .collect()
    }
}

/// Deliveries by state: the pending ones, and of the others those since some instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    pub pending: i64,
    pub failing: i64,
    pub delivered: i64,
    pub rejected: i64,
    pub expired: i64,
}
