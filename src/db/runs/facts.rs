//! What the guards of runs ask for, and what people set for them: locks, rates, history, schedules, kill switches and freezes.

use std::collections::BTreeMap;

use tocsin_core::run::history::Ended;
use tocsin_core::run::record::{LockRow, RateEntry, ScheduleFireRow};
use tocsin_core::time::Timestamp;

use super::rows::{places, read_word, word};
use crate::db::accounts::{AuditEntry, with_note};
use crate::db::state::index_key;
use crate::db::{Cell, Db, DbError, Row, Write};

const RATES_MAX: i64 = 10_000;
const HISTORY_MAX: i64 = 1_000;
const FREEZES_MAX: i64 = 1_000;

/// Whether runs of a platform, or all runs, are held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillSwitch {
    /// A platform; empty: all of them.
    pub scope: String,
    pub is_on: bool,
    pub who: String,
    pub at: Timestamp,
    pub why: String,
}

/// A span without changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeWindow {
    pub id: String,
    /// A platform, or `*`.
    pub scope: String,
    pub reason: String,
    pub starts_at: Timestamp,
    /// The first instant at which changes are allowed again.
    pub ends_at: Timestamp,
    pub who: String,
}

impl Db {
    /// Returns the newest runs of a document that have ended, oldest first. Dry runs earn nothing and are left out.
    pub async fn history(&self, doc_id: &str, limit: i64) -> Result<Vec<Ended>, DbError> {
        let sql = "SELECT doc_hash, state, CASE WHEN starter_role IS NOT NULL OR EXISTS \
                   (SELECT 1 FROM approval WHERE approval.run_id = run.id AND approval.verdict = 'approve') THEN 1 ELSE 0 END \
                   FROM run WHERE doc_id = $1 AND ended_at_ms IS NOT NULL AND dry_run = 0 ORDER BY ended_at_ms DESC, id DESC LIMIT $2";
        let ended = |row: &Row| {
            let state = read_word(row, 1, "a state of a run")?;
            Ok(Ended { doc_hash: row.text(0)?.to_owned(), attended: row.int(2)? != 0, state })
        };
        let rows = self.rows("run", sql, [doc_id.into(), limit.clamp(0, HISTORY_MAX).into()]).await?;
        rows.iter().rev().map(ended).collect()
    }

    /// Returns the entries under some keys at or after an instant, newest first.
    pub async fn rates(&self, keys: &[String], since: Timestamp) -> Result<Vec<RateEntry>, DbError> {
        let mut entries = Vec::new();
        for key in keys {
            let sql =
                "SELECT run_id, at_ms FROM rate_ledger WHERE rate_key = $1 AND at_ms >= $2 ORDER BY at_ms DESC, run_id LIMIT $3";
            for row in self.rows("rate_ledger", sql, [index_key(key), since.into(), RATES_MAX.into()]).await? {
                entries.push(RateEntry { key: key.clone(), run_id: row.text(0)?.to_owned(), at: Timestamp(row.int(1)?) });
            }
        }
        Ok(entries)
    }

    /// Returns the lock of a name, when a run holds it that has not ended, or whose lease has not.
    pub async fn lock_holder(&self, name: &str, now: Timestamp) -> Result<Option<LockRow>, DbError> {
        let sql = "SELECT run_id, fence, lease_until_ms FROM resource_lock WHERE name = $1 AND (lease_until_ms > $2 OR \
                   EXISTS (SELECT 1 FROM run WHERE run.id = resource_lock.run_id AND run.ended_at_ms IS NULL))";
        let rows = self.rows("resource_lock", sql, [index_key(name), now.into()]).await?;
        let lock = |row: &Row| {
            Ok(LockRow {
                name: name.to_owned(),
                run_id: row.text(0)?.to_owned(),
                fence: row.int(1)?,
                lease_until: Timestamp(row.int(2)?),
            })
        };
        rows.first().map(lock).transpose()
    }

    /// Returns the newest instant of each schedule that was decided on.
    pub async fn schedule_last(&self, schedule_ids: &[&str]) -> Result<BTreeMap<String, Timestamp>, DbError> {
        let of = |ids: &[&str]| {
            format!(
                "SELECT schedule_id, MAX(due_ms) FROM schedule_fire WHERE schedule_id IN ({}) GROUP BY schedule_id",
                places(1, ids.len())
            )
        };
        let read = |row: &Row| Ok((row.text(0)?.to_owned(), Timestamp(row.int(1)?)));
        Ok(self.of_many("schedule_fire", schedule_ids, of, read).await?.into_iter().collect())
    }

    /// Notes what was decided on instants of schedules. What was decided once stays so; a run is filled in when it is known.
    pub async fn add_fires(&self, fires: &[ScheduleFireRow]) -> Result<(), DbError> {
        let put = |fire: &ScheduleFireRow| {
            Write::new(
                "INSERT INTO schedule_fire (schedule_id, due_ms, outcome, run_id) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (schedule_id, due_ms) DO UPDATE SET run_id = COALESCE(schedule_fire.run_id, excluded.run_id)",
                [fire.schedule_id.as_str().into(), fire.due.into(), word(&fire.outcome), fire.run_id.as_deref().into()],
            )
        };
        self.apply(&fires.iter().map(put).collect::<Vec<_>>()).await.map(drop)
    }

    /// Returns the kill switches that were ever touched, that of all platforms first.
    pub async fn kill_switches(&self) -> Result<Vec<KillSwitch>, DbError> {
        let sql = "SELECT scope, is_on, who, at_ms, why FROM kill_switch ORDER BY scope LIMIT $1";
        let switch = |row: &Row| {
            Ok(KillSwitch {
                scope: row.text(0)?.to_owned(),
                is_on: row.int(1)? != 0,
                who: row.text(2)?.to_owned(),
                at: Timestamp(row.int(3)?),
                why: row.text(4)?.to_owned(),
            })
        };
        self.rows("kill_switch", sql, [FREEZES_MAX.into()]).await?.iter().map(switch).collect()
    }

    /// Pulls or releases a kill switch, with a line of the audit.
    pub async fn set_kill_switch(&self, switch: &KillSwitch, note: Option<&AuditEntry>) -> Result<(), DbError> {
        let set = Write::new(
            "INSERT INTO kill_switch (scope, is_on, who, at_ms, why) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (scope) DO UPDATE SET \
             is_on = excluded.is_on, who = excluded.who, at_ms = excluded.at_ms, why = excluded.why",
            [
                switch.scope.as_str().into(),
                switch.is_on.into(),
                switch.who.as_str().into(),
                switch.at.into(),
                switch.why.as_str().into(),
            ],
        );
        self.apply(&with_note(vec![set], note)).await.map(drop)
    }

    /// Returns the freezes that have not ended, by when they begin.
    pub async fn freezes(&self, now: Timestamp) -> Result<Vec<FreezeWindow>, DbError> {
        let sql = "SELECT id, scope, reason, starts_at_ms, ends_at_ms, who FROM calendar_window WHERE kind = 'freeze' \
                   AND ends_at_ms > $1 ORDER BY starts_at_ms, id LIMIT $2";
        let freeze = |row: &Row| {
            Ok(FreezeWindow {
                id: row.text(0)?.to_owned(),
                scope: row.text(1)?.to_owned(),
                reason: row.text(2)?.to_owned(),
                starts_at: Timestamp(row.int(3)?),
                ends_at: Timestamp(row.int(4)?),
                who: row.text(5)?.to_owned(),
            })
        };
        self.rows("calendar_window", sql, [Cell::from(now), FREEZES_MAX.into()]).await?.iter().map(freeze).collect()
    }

    /// Adds a freeze, with a line of the audit; returns false when its id is taken.
    pub async fn add_freeze(&self, freeze: &FreezeWindow, note: Option<&AuditEntry>) -> Result<bool, DbError> {
        let add = Write::new(
            "INSERT INTO calendar_window (id, scope, kind, starts_at_ms, ends_at_ms, reason, who) \
             VALUES ($1, $2, 'freeze', $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
            [
                freeze.id.as_str().into(),
                freeze.scope.as_str().into(),
                freeze.starts_at.into(),
                freeze.ends_at.into(),
                freeze.reason.as_str().into(),
                freeze.who.as_str().into(),
            ],
        );
        self.apply_if_first_touches(with_note(vec![add], note)).await
    }

    /// Takes a freeze away, with a line of the audit; returns false when there is none.
    pub async fn drop_freeze(&self, id: &str, note: Option<&AuditEntry>) -> Result<bool, DbError> {
        let end = Write::new("DELETE FROM calendar_window WHERE id = $1 AND kind = 'freeze'", [id.into()]);
        self.apply_if_first_touches(with_note(vec![end], note)).await
    }
}
