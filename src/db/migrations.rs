//! The tables, as numbered steps that only go forward. A step is safe to run while the previous version still works on the database.

use super::{Db, DbError, Keep, LONG_PATIENCE, Write};

/// One SQL text for both databases.
const STEPS: &[(i64, &[&str])] = &[FIRST, COUNTERS, TIMES];

const FIRST: (i64, &[&str]) = (
    1,
    &[
        "CREATE TABLE sign_of_life (id INTEGER NOT NULL PRIMARY KEY, at_ms BIGINT NOT NULL)",
        "CREATE TABLE alert_instance (rule_key TEXT NOT NULL, fingerprint TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (rule_key, fingerprint))",
        "CREATE TABLE routed_alert (fingerprint TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)",
        "CREATE TABLE notification_group (id TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)",
        "CREATE TABLE silence (id TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)",
        "CREATE TABLE page (id TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL, opened_at_ms BIGINT NOT NULL, body TEXT NOT NULL)",
        "CREATE INDEX page_by_time ON page (opened_at_ms)",
        "CREATE TABLE alert_event (fingerprint TEXT NOT NULL, at_ms BIGINT NOT NULL, state TEXT NOT NULL, name TEXT NOT NULL)",
        "CREATE INDEX alert_event_by_alert ON alert_event (fingerprint, at_ms)",
        "CREATE INDEX alert_event_by_time ON alert_event (at_ms)",
        "CREATE TABLE delivery (id BIGINT NOT NULL PRIMARY KEY, delivery_key TEXT NOT NULL UNIQUE, lane TEXT NOT NULL, state TEXT NOT NULL, \
         receiver TEXT NOT NULL, channel TEXT NOT NULL, action TEXT NOT NULL, title TEXT NOT NULL, page_id TEXT, fingerprints TEXT NOT NULL, \
         created_at_ms BIGINT NOT NULL, next_attempt_at_ms BIGINT NOT NULL, expires_at_ms BIGINT NOT NULL, finished_at_ms BIGINT, \
         attempts INTEGER NOT NULL, body TEXT NOT NULL)",
        "CREATE INDEX delivery_by_lane ON delivery (state, lane, id)",
        "CREATE INDEX delivery_by_page ON delivery (page_id)",
        "CREATE TABLE attempt (delivery_id BIGINT NOT NULL, number INTEGER NOT NULL, at_ms BIGINT NOT NULL, outcome TEXT NOT NULL, \
         detail TEXT NOT NULL, duration_ms BIGINT NOT NULL, PRIMARY KEY (delivery_id, number))",
        "CREATE TABLE inbox_message (delivery_key TEXT NOT NULL PRIMARY KEY, at_ms BIGINT NOT NULL, receiver TEXT NOT NULL, status TEXT NOT NULL, \
         title TEXT NOT NULL, body TEXT NOT NULL, page_id TEXT)",
        "CREATE INDEX inbox_by_time ON inbox_message (at_ms)",
        "CREATE TABLE account (name TEXT NOT NULL PRIMARY KEY, password_hash TEXT NOT NULL, role TEXT NOT NULL, created_at_ms BIGINT NOT NULL, \
         disabled INTEGER NOT NULL)",
        "CREATE TABLE login (secret_hash TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, csrf TEXT NOT NULL, created_at_ms BIGINT NOT NULL, \
         expires_at_ms BIGINT NOT NULL)",
        "CREATE TABLE api_token (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, secret_hash TEXT NOT NULL UNIQUE, role TEXT NOT NULL, \
         created_by TEXT NOT NULL, created_at_ms BIGINT NOT NULL, revoked_at_ms BIGINT)",
        "CREATE TABLE audit (id BIGINT NOT NULL PRIMARY KEY, at_ms BIGINT NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL, \
         outcome TEXT NOT NULL, detail TEXT NOT NULL)",
    ],
);

/// Numbers that are given out one after another, each by one row.
const COUNTERS: (i64, &[&str]) = (
    2,
    &[
        "CREATE TABLE counter (name TEXT NOT NULL PRIMARY KEY, value BIGINT NOT NULL)",
        "INSERT INTO counter (name, value) SELECT 'audit', COALESCE(MAX(id), 0) FROM audit",
    ],
);

/// Tokens that end by themselves, and indexes by which old records are found without reading all of them.
const TIMES: (i64, &[&str]) = (
    3,
    &[
        "ALTER TABLE api_token ADD COLUMN expires_at_ms BIGINT",
        "CREATE INDEX delivery_by_finish ON delivery (finished_at_ms)",
        "CREATE INDEX delivery_by_creation ON delivery (created_at_ms)",
        "CREATE INDEX page_by_state ON page (state, opened_at_ms)",
    ],
);

impl Db {
    /// Runs the steps that the database lacks.
    pub(super) async fn migrate(&self) -> Result<(), DbError> {
        self.execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL PRIMARY KEY)").await?;
        let rows = self.rows("schema_version", "SELECT version FROM schema_version ORDER BY version DESC LIMIT 1", []).await?;
        let found = rows.first().map_or(Ok(0), |row| row.int(0))?;
        let known = STEPS.last().map_or(0, |step| step.0);
        if found > known {
            return Err(DbError::TooNew { found, known });
        }
        for (version, statements) in STEPS.iter().filter(|step| step.0 > found) {
            let mut writes: Vec<Write> = statements.iter().map(|sql| Write::new(sql, [])).collect();
            writes.push(Write::new("INSERT INTO schema_version (version) VALUES ($1)", [(*version).into()]));
            self.transact(&writes, Keep::Always, LONG_PATIENCE)
                .await
                .map_err(|cause| DbError::Migrate { version: *version, cause: Box::new(cause) })?;
        }
        Ok(())
    }
}
