//! The records of the machines in core: each a document under a key.

use sha2::{Digest, Sha256};
use tocsin_core::time::Timestamp;

use super::pack::pack;
use super::{Cell, Db, DbError, LONG_PATIENCE, RowSql, Write};

/// Records that one step of a sweep removes at most.
const SWEEP_STEP: i64 = 500;

/// A kind of document: one table each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    RoutedAlert,
    Flap,
    Group,
    Silence,
}

impl Document {
    fn put_sql(self) -> &'static RowSql {
        static ROUTED_ALERT: RowSql = RowSql {
            insert: "INSERT INTO routed_alert (fingerprint, body)",
            columns: 2,
            keys: 1,
            conflict: "ON CONFLICT (fingerprint) DO UPDATE SET body = excluded.body",
        };
        static GROUP: RowSql = RowSql {
            insert: "INSERT INTO notification_group (id, body)",
            columns: 2,
            keys: 1,
            conflict: "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        };
        static SILENCE: RowSql = RowSql { insert: "INSERT INTO silence (id, body)", ..GROUP };
        static FLAP: RowSql = RowSql { insert: "INSERT INTO alert_flap (fingerprint, body)", ..ROUTED_ALERT };
        match self {
            Document::RoutedAlert => &ROUTED_ALERT,
            Document::Flap => &FLAP,
            Document::Group => &GROUP,
            Document::Silence => &SILENCE,
        }
    }

    fn drop_sql(self) -> &'static str {
        match self {
            Document::RoutedAlert => "DELETE FROM routed_alert WHERE fingerprint = $1",
            Document::Flap => "DELETE FROM alert_flap WHERE fingerprint = $1",
            Document::Group => "DELETE FROM notification_group WHERE id = $1",
            Document::Silence => "DELETE FROM silence WHERE id = $1",
        }
    }

    fn all_sql(self) -> (&'static str, &'static str) {
        match self {
            Document::RoutedAlert => ("routed_alert", "SELECT body FROM routed_alert ORDER BY fingerprint"),
            Document::Flap => ("alert_flap", "SELECT body FROM alert_flap ORDER BY fingerprint"),
            Document::Group => ("notification_group", "SELECT body FROM notification_group ORDER BY id"),
            Document::Silence => ("silence", "SELECT body FROM silence ORDER BY id"),
        }
    }
}

/// Keys up to this long stand in the index as they are. PostgreSQL refuses those above a third of a page, and labels can be longer.
const KEY_BYTES_MAX: usize = 1000;

/// Returns the text under which a document stands in its index.
pub(super) fn index_key(key: &str) -> Cell {
    if key.len() <= KEY_BYTES_MAX {
        return key.into();
    }
    let digest: String = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digest}").into()
}

/// Returns the statement that writes a document over what was there.
pub fn put(document: Document, key: &str, body: String) -> Write {
    Write::row(document.put_sql(), [index_key(key), pack(body).into()])
}

/// Returns the statement that removes a document.
pub fn remove(document: Document, key: &str) -> Write {
    Write::new(document.drop_sql(), [index_key(key)])
}

/// Returns the statement that notes how far some alerts were pushed ahead.
pub fn add_extension(number: i64, body: String) -> Write {
    static SQL: RowSql = RowSql {
        insert: "INSERT INTO alert_extension (number, body)",
        columns: 2,
        keys: 1,
        conflict: "ON CONFLICT (number) DO UPDATE SET body = excluded.body",
    };
    Write::row(&SQL, [number.into(), pack(body).into()])
}

/// Returns the statement that forgets all of that.
pub fn remove_extensions() -> Write {
    Write::new("DELETE FROM alert_extension", [])
}

/// Returns the statement that writes a page over what was there.
pub fn put_page(id: &str, state: &str, opened_at: Timestamp, body: String) -> Write {
    static SQL: RowSql = RowSql {
        insert: "INSERT INTO page (id, state, opened_at_ms, body)",
        columns: 4,
        keys: 1,
        conflict: "ON CONFLICT (id) DO UPDATE SET state = excluded.state, body = excluded.body",
    };
    Write::row(&SQL, [id.into(), state.into(), opened_at.into(), pack(body).into()])
}

/// Returns the statement that writes the state of one alert under one rule.
pub fn put_instance(rule_key: &str, fingerprint: &str, body: String) -> Write {
    static SQL: RowSql = RowSql {
        insert: "INSERT INTO alert_instance (fingerprint, rule_key, body)",
        columns: 3,
        keys: 2,
        conflict: "ON CONFLICT (rule_key, fingerprint) DO UPDATE SET body = excluded.body",
    };
    Write::row(&SQL, [fingerprint.into(), rule_key.into(), body.into()])
}

pub fn remove_instance(rule_key: &str, fingerprint: &str) -> Write {
    Write::new("DELETE FROM alert_instance WHERE rule_key = $1 AND fingerprint = $2", [rule_key.into(), fingerprint.into()])
}

/// Returns the statement that forgets every alert under a rule.
pub fn remove_rule(rule_key: &str) -> Write {
    Write::new("DELETE FROM alert_instance WHERE rule_key = $1", [rule_key.into()])
}

/// Returns the statement that notes what became of an alert, for its history. It may be repeated, as when a commit got no answer.
pub fn add_alert_event(fingerprint: &str, at: Timestamp, state: &str, name: &str) -> Write {
    Write::new(
        "INSERT INTO alert_event (fingerprint, at_ms, state, name) SELECT $1, $2, $3, $4 WHERE NOT EXISTS \
         (SELECT 1 FROM alert_event WHERE fingerprint = $1 AND at_ms = $2 AND state = $3 AND name = $4)",
        [fingerprint.into(), at.into(), state.into(), name.into()],
    )
}

/// Returns the statement that leaves a sign of life.
pub fn put_alive_at(at: Timestamp) -> Write {
    let sql = "INSERT INTO sign_of_life (id, at_ms) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET at_ms = excluded.at_ms";
    Write::new(sql, [at.into()])
}

/// What became of an alert, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertEvent {
    pub at: Timestamp,
    pub state: String,
}

impl Db {
    /// Returns every document of a kind.
    pub async fn documents<T: serde::de::DeserializeOwned>(&self, document: Document) -> Result<Vec<T>, DbError> {
        let (table, sql) = document.all_sql();
        self.all_rows(table, sql).await?.iter().map(|row| row.document(0, table)).collect()
    }

    /// Returns how far alerts were pushed ahead behind their documents, in the order in which that was noted.
    pub async fn extensions<T: serde::de::DeserializeOwned>(&self) -> Result<Vec<T>, DbError> {
        let rows = self.all_rows("alert_extension", "SELECT body FROM alert_extension ORDER BY number").await?;
        rows.iter().map(|row| row.document(0, "alert_extension")).collect()
    }

    /// Returns the state of every alert with the key of its rule.
    pub async fn instances<T: serde::de::DeserializeOwned>(&self) -> Result<Vec<(String, T)>, DbError> {
        self.all_rows("alert_instance", "SELECT rule_key, body FROM alert_instance ORDER BY rule_key, fingerprint")
            .await?
            .iter()
            .map(|row| Ok((row.text(0)?.to_owned(), row.document(1, "alert_instance")?)))
            .collect()
    }

    /// Returns pages, newest first: only those that are not resolved, or the newest `limit` of all.
    pub async fn pages<T: serde::de::DeserializeOwned>(&self, only_open: bool, limit: i64) -> Result<Vec<T>, DbError> {
        let sql = if only_open {
            "SELECT body FROM page WHERE state <> 'resolved' ORDER BY opened_at_ms DESC, id LIMIT $1"
        } else {
            "SELECT body FROM page ORDER BY opened_at_ms DESC, id LIMIT $1"
        };
        self.rows("page", sql, [limit.into()]).await?.iter().map(|row| row.document(0, "page")).collect()
    }

    /// Returns the pages that a start needs, newest first: every open one, however old, and the newest `resolved` of the others.
    pub async fn pages_to_restore<T: serde::de::DeserializeOwned>(&self, resolved: i64) -> Result<Vec<T>, DbError> {
        let sql = "SELECT body FROM (SELECT id, opened_at_ms, body FROM page WHERE state <> 'resolved' UNION ALL \
                   SELECT id, opened_at_ms, body FROM (SELECT id, opened_at_ms, body FROM page WHERE state = 'resolved' \
                   ORDER BY opened_at_ms DESC, id LIMIT $1) AS newest) AS chosen ORDER BY opened_at_ms DESC, id";
        let rows = self.rows_within(LONG_PATIENCE, "page", sql, [resolved.into()]).await?;
        rows.iter().map(|row| row.document(0, "page")).collect()
    }

    pub async fn page<T: serde::de::DeserializeOwned>(&self, id: &str) -> Result<Option<T>, DbError> {
        let rows = self.rows("page", "SELECT body FROM page WHERE id = $1", [id.into()]).await?;
        rows.first().map(|row| row.document(0, "page")).transpose()
    }

    /// Returns the history of an alert, newest first.
    pub async fn alert_events(&self, fingerprint: &str, limit: i64) -> Result<Vec<AlertEvent>, DbError> {
        let sql = "SELECT at_ms, state FROM alert_event WHERE fingerprint = $1 ORDER BY at_ms DESC LIMIT $2";
        self.rows("alert_event", sql, [fingerprint.into(), limit.into()])
            .await?
            .iter()
            .map(|row| Ok(AlertEvent { at: Timestamp(row.int(0)?), state: row.text(1)?.to_owned() }))
            .collect()
    }

    /// Returns when the service was last known to watch; None before its first start.
    pub async fn alive_at(&self) -> Result<Option<Timestamp>, DbError> {
        let rows = self.rows("sign_of_life", "SELECT at_ms FROM sign_of_life WHERE id = 1", []).await?;
        rows.first().map(|row| row.int(0).map(Timestamp)).transpose()
    }

    pub async fn set_alive_at(&self, at: Timestamp) -> Result<(), DbError> {
        self.apply(&[put_alive_at(at)]).await.map(drop)
    }

    /// Lays the ballast again if it was let go and there is room for it.
    pub fn renew_ballast(&self) {
        if let Db::Lite { ballast, .. } = self
            && ballast.is_gone()
        {
            ballast.renew();
        }
    }

    /// Forgets what ended before `before`: resolved pages, finished deliveries with their attempts, inbox messages and histories.
    ///
    /// It goes in small steps, because alerts cannot be recorded while one of them runs.
    pub async fn sweep(&self, before: Timestamp) -> Result<(), DbError> {
        let step = |sql| Write::new(sql, [Cell::from(before), SWEEP_STEP.into()]);
        let steps: [Vec<Write>; 3] = [
            vec![step(
                "DELETE FROM page WHERE id IN (SELECT id FROM page WHERE state = 'resolved' AND opened_at_ms < $1 \
                 ORDER BY opened_at_ms, id LIMIT $2)",
            )],
            vec![
                step(
                    "DELETE FROM attempt WHERE delivery_id IN (SELECT id FROM delivery WHERE state <> 'pending' AND finished_at_ms < $1 \
                     ORDER BY finished_at_ms, id LIMIT $2)",
                ),
                step(
                    "DELETE FROM delivery_body WHERE delivery_key IN (SELECT delivery_key FROM delivery WHERE state <> 'pending' \
                     AND finished_at_ms < $1 ORDER BY finished_at_ms, id LIMIT $2)",
                ),
                step(
                    "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE state <> 'pending' AND finished_at_ms < $1 \
                     ORDER BY finished_at_ms, id LIMIT $2)",
                ),
            ],
            vec![step(
                "DELETE FROM inbox_message WHERE delivery_key IN (SELECT delivery_key FROM inbox_message WHERE at_ms < $1 \
                 ORDER BY at_ms, delivery_key LIMIT $2)",
            )],
        ];
        for step in &steps {
            while self.apply(step).await?.last().is_some_and(|touched| *touched > 0) {}
        }
        loop {
            // A history has no key, so each step goes up to an instant.
            let sql = "SELECT MAX(at_ms) FROM (SELECT at_ms FROM alert_event WHERE at_ms < $1 ORDER BY at_ms LIMIT $2) AS oldest";
            let rows = self.rows("alert_event", sql, [before.into(), SWEEP_STEP.into()]).await?;
            let Some(until) = rows.first().map_or(Ok(None), |row| row.optional_int(0))? else { return Ok(()) };
            self.write("DELETE FROM alert_event WHERE at_ms <= $1", [until.into()]).await?;
        }
    }
}
