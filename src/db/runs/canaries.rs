//! Writes that a drill made: those that were acknowledged must survive.

use tocsin_core::time::Timestamp;

use crate::db::{Db, DbError, Row};

/// A day of one write each second.
const CANARIES_MAX: i64 = 100_000;

/// A write of a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    pub seq: i64,
    /// When it was sent.
    pub at: Timestamp,
    /// None: no acknowledgement came.
    pub acked_at: Option<Timestamp>,
}

impl Db {
    /// Notes a write; the same one again is one, whose acknowledgement is filled in when there was none.
    pub async fn add_canary(&self, tag: &str, canary: Canary) -> Result<(), DbError> {
        let sql = "INSERT INTO canary_ack (tag, seq, at_ms, acked_at_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (tag, seq) DO UPDATE SET acked_at_ms = COALESCE(canary_ack.acked_at_ms, excluded.acked_at_ms)";
        self.write(sql, [tag.into(), canary.seq.into(), canary.at.into(), canary.acked_at.into()]).await.map(drop)
    }

    /// Returns the writes of a tag by their numbers; of more than 100,000 the newest.
    pub async fn canaries(&self, tag: &str) -> Result<Vec<Canary>, DbError> {
        let sql = "SELECT seq, at_ms, acked_at_ms FROM canary_ack WHERE tag = $1 ORDER BY seq DESC LIMIT $2";
        let rows = self.rows("canary_ack", sql, [tag.into(), CANARIES_MAX.into()]).await?;
        let canary = |row: &Row| {
            Ok(Canary { seq: row.int(0)?, at: Timestamp(row.int(1)?), acked_at: row.optional_int(2)?.map(Timestamp) })
        };
        rows.iter().rev().map(canary).collect()
    }

    /// Forgets the writes of a tag.
    pub async fn drop_canaries(&self, tag: &str) -> Result<(), DbError> {
        self.write("DELETE FROM canary_ack WHERE tag = $1", [tag.into()]).await.map(drop)
    }
}
