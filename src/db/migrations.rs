//! The tables, as numbered steps that only go forward. A step is safe to run while the previous version still works on the database.

use super::{Db, DbError, LONG_PATIENCE, Write};

/// One SQL text for both databases.
const STEPS: &[(i64, &[&str])] = &[FIRST, COUNTERS, TIMES, RUNS, CHAIN, EXTENSIONS, BODIES, TRACE, FLAPS, LOST];

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

/// Runs of documents with all that belongs to them, and the counts of objectives.
///
/// A `trigger_key` is what an index takes of a `trigger_ref`, and is unique together with the kind and the document.
const RUNS: (i64, &[&str]) = (
    4,
    &[
        "CREATE TABLE document_version (hash TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, doc_id TEXT NOT NULL, body TEXT NOT NULL, \
         created_by TEXT NOT NULL, created_at_ms BIGINT NOT NULL)",
        "CREATE INDEX document_version_by_document ON document_version (doc_id, created_at_ms)",
        "CREATE TABLE run (id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, doc_id TEXT NOT NULL, \
         doc_hash TEXT NOT NULL REFERENCES document_version (hash), platform TEXT NOT NULL, state TEXT NOT NULL, waiting TEXT, \
         waiting_since_ms BIGINT, escalated INTEGER NOT NULL, refused_by TEXT, reason TEXT NOT NULL, ending TEXT, params TEXT NOT NULL, \
         targets TEXT NOT NULL, trigger_kind TEXT NOT NULL, trigger_ref TEXT, trigger_key TEXT, trigger_labels TEXT NOT NULL, \
         mode TEXT NOT NULL, starter TEXT NOT NULL, starter_role TEXT, editor TEXT NOT NULL, parent_run TEXT, dry_run INTEGER NOT NULL, \
         owner_node TEXT, fence BIGINT NOT NULL, lease_until_ms BIGINT, created_at_ms BIGINT NOT NULL, started_at_ms BIGINT, \
         ended_at_ms BIGINT, verdict TEXT, UNIQUE (trigger_kind, trigger_key, doc_id))",
        "CREATE INDEX run_by_state ON run (state, created_at_ms, id)",
        "CREATE INDEX run_by_time ON run (created_at_ms, id)",
        "CREATE INDEX run_by_document ON run (doc_id, created_at_ms, id)",
        "CREATE INDEX run_by_history ON run (doc_id, ended_at_ms, id)",
        "CREATE INDEX run_by_version ON run (doc_hash)",
        "CREATE INDEX run_by_parent ON run (parent_run)",
        "CREATE INDEX run_by_end ON run (ended_at_ms, id)",
        "CREATE TABLE step_attempt (run_id TEXT NOT NULL REFERENCES run (id), step_id TEXT NOT NULL, target TEXT NOT NULL, phase TEXT NOT NULL, \
         attempt INTEGER NOT NULL, state TEXT NOT NULL, effect TEXT NOT NULL, idem_key TEXT NOT NULL, fence BIGINT NOT NULL, request TEXT, \
         response TEXT, handle TEXT, saved TEXT NOT NULL, due_at_ms BIGINT, started_at_ms BIGINT, ended_at_ms BIGINT, error TEXT, \
         PRIMARY KEY (run_id, step_id, target, phase, attempt))",
        "CREATE INDEX step_attempt_open_page ON step_attempt (run_id) WHERE phase = 'page' AND state IN ('pending', 'intent', 'issued')",
        "CREATE TABLE undo (id TEXT NOT NULL PRIMARY KEY, run_id TEXT NOT NULL REFERENCES run (id), step_id TEXT NOT NULL, target TEXT NOT NULL, \
         seq INTEGER NOT NULL, action TEXT NOT NULL, check_request TEXT, timeout_ms BIGINT NOT NULL, deadline_ms BIGINT, state TEXT NOT NULL, \
         verified_at_ms BIGINT, fence BIGINT NOT NULL)",
        "CREATE INDEX undo_by_run ON undo (run_id, seq)",
        "CREATE INDEX undo_open ON undo (run_id) WHERE state IN ('armed', 'started')",
        "CREATE TABLE approval (run_id TEXT NOT NULL REFERENCES run (id), step_id TEXT NOT NULL, who TEXT NOT NULL, subject_hash TEXT NOT NULL, \
         role TEXT NOT NULL, verdict TEXT NOT NULL, via TEXT NOT NULL, mfa INTEGER NOT NULL, at_ms BIGINT NOT NULL, \
         PRIMARY KEY (run_id, step_id, who, subject_hash))",
        "CREATE TABLE rate_ledger (rate_key TEXT NOT NULL, run_id TEXT NOT NULL, at_ms BIGINT NOT NULL, PRIMARY KEY (rate_key, run_id))",
        "CREATE INDEX rate_ledger_by_run ON rate_ledger (run_id)",
        "CREATE TABLE resource_lock (name TEXT NOT NULL PRIMARY KEY, run_id TEXT NOT NULL, fence BIGINT NOT NULL, lease_until_ms BIGINT NOT NULL)",
        "CREATE TABLE sample (run_id TEXT NOT NULL, probe TEXT NOT NULL, at_ms BIGINT NOT NULL, value DOUBLE PRECISION, ok INTEGER NOT NULL, \
         PRIMARY KEY (run_id, probe, at_ms))",
        "CREATE INDEX sample_by_time ON sample (run_id, at_ms)",
        "CREATE TABLE run_note (run_id TEXT NOT NULL, seq BIGINT NOT NULL, at_ms BIGINT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, \
         detail TEXT NOT NULL, PRIMARY KEY (run_id, seq))",
        "CREATE TABLE schedule_fire (schedule_id TEXT NOT NULL, due_ms BIGINT NOT NULL, outcome TEXT NOT NULL, run_id TEXT, \
         PRIMARY KEY (schedule_id, due_ms))",
        "CREATE INDEX schedule_fire_by_time ON schedule_fire (due_ms)",
        "CREATE TABLE kill_switch (scope TEXT NOT NULL PRIMARY KEY, is_on INTEGER NOT NULL, who TEXT NOT NULL, at_ms BIGINT NOT NULL, \
         why TEXT NOT NULL)",
        "CREATE TABLE calendar_window (id TEXT NOT NULL PRIMARY KEY, scope TEXT NOT NULL, kind TEXT NOT NULL, starts_at_ms BIGINT NOT NULL, \
         ends_at_ms BIGINT NOT NULL, reason TEXT NOT NULL, who TEXT NOT NULL)",
        "CREATE INDEX calendar_window_by_end ON calendar_window (ends_at_ms)",
        "CREATE TABLE canary_ack (tag TEXT NOT NULL, seq BIGINT NOT NULL, at_ms BIGINT NOT NULL, acked_at_ms BIGINT, \
         PRIMARY KEY (tag, seq))",
        "CREATE INDEX canary_ack_by_time ON canary_ack (at_ms)",
        "CREATE TABLE slo_row (objective TEXT NOT NULL, tier_ms BIGINT NOT NULL, at_ms BIGINT NOT NULL, definition TEXT NOT NULL, \
         good BIGINT NOT NULL, good_millionths INTEGER NOT NULL, total BIGINT NOT NULL, total_millionths INTEGER NOT NULL, \
         PRIMARY KEY (objective, tier_ms, at_ms, definition))",
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
            self.transact(&writes, LONG_PATIENCE)
                .await
                .map_err(|cause| DbError::Migrate { version: *version, cause: Box::new(cause) })?;
        }
        Ok(())
    }
}

/// The hash by which a line of the audit is linked to the one before it.
const CHAIN: (i64, &[&str]) = (5, &["ALTER TABLE audit ADD COLUMN hash TEXT", "CREATE INDEX audit_by_hash ON audit (hash, id)"]);

/// Ends of alerts that senders push ahead, noted beside the alerts.
const EXTENSIONS: (i64, &[&str]) =
    (6, &["CREATE TABLE alert_extension (number BIGINT NOT NULL PRIMARY KEY, body TEXT NOT NULL)"]);

/// What deliveries say, apart from how they stand, which changes.
const BODIES: (i64, &[&str]) = (7, &["CREATE TABLE delivery_body (delivery_key TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)"]);

/// What was decided about alerts. `subject` is a digest of a group, or a word; `size` is about what the row takes.
const TRACE: (i64, &[&str]) = (
    8,
    &[
        "CREATE TABLE trace (number BIGINT NOT NULL PRIMARY KEY, subject TEXT NOT NULL, at_ms BIGINT NOT NULL, until_ms BIGINT NOT NULL, \
         times BIGINT NOT NULL, names TEXT NOT NULL, size BIGINT NOT NULL, body TEXT NOT NULL)",
        "CREATE INDEX trace_by_subject ON trace (subject, at_ms)",
        "CREATE INDEX trace_by_end ON trace (until_ms, number, size)",
    ],
);

/// When alerts have begun of late.
const FLAPS: (i64, &[&str]) = (9, &["CREATE TABLE alert_flap (fingerprint TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)"]);

/// Deliveries that have ended without arriving and that the plane has not heard of yet.
const LOST: (i64, &[&str]) = (10, &["CREATE TABLE lost_delivery (delivery_id BIGINT NOT NULL PRIMARY KEY)"]);
