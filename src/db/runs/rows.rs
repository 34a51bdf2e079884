//! How the rows of a run stand in columns. Words of core stand as text, what has structure as JSON in text.

use std::sync::LazyLock;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tocsin_core::run::record::{
    ApprovalRow, AttemptKey, AttemptState, DocumentVersion, LockRow, RateEntry, Record, RunRow, SampleRow, StepAttempt, UndoRow,
};
use tocsin_core::time::{Span, Timestamp};

use crate::db::state::index_key;
use crate::db::{Cell, DbError, Row, Write};

/// Returns the word of an enum that has nothing but words.
pub fn word(value: &impl Serialize) -> Cell {
    match serde_json::to_value(value) {
        Ok(Json::String(word)) => word.into(),
        other => panic!("{other:?} is not a word"),
    }
}

/// Reads a word back; one that this program does not know is a fault.
pub fn read_word<T: DeserializeOwned>(row: &Row, column: usize, expected: &'static str) -> Result<T, DbError> {
    word_of(row.text(column)?).ok_or_else(|| row.shape(column, expected))
}

fn word_of<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(Json::String(word.to_owned())).ok()
}

fn optional_word<T: DeserializeOwned>(row: &Row, column: usize, expected: &'static str) -> Result<Option<T>, DbError> {
    row.optional_text(column)?.map(|word| word_of(word).ok_or_else(|| row.shape(column, expected))).transpose()
}

fn json(value: &impl Serialize) -> Cell {
    serde_json::to_string(value).expect("rows are JSON").into()
}

fn optional_json<T: DeserializeOwned>(row: &Row, column: usize, kind: &'static str) -> Result<Option<T>, DbError> {
    row.optional_text(column)?.map(|_| row.document(column, kind)).transpose()
}

fn time(row: &Row, column: usize) -> Result<Timestamp, DbError> {
    row.int(column).map(Timestamp)
}

fn optional_time(row: &Row, column: usize) -> Result<Option<Timestamp>, DbError> {
    Ok(row.optional_int(column)?.map(Timestamp))
}

fn text(row: &Row, column: usize) -> Result<String, DbError> {
    row.text(column).map(str::to_owned)
}

fn optional_text(row: &Row, column: usize) -> Result<Option<String>, DbError> {
    Ok(row.optional_text(column)?.map(str::to_owned))
}

fn count(row: &Row, column: usize) -> Result<u32, DbError> {
    u32::try_from(row.int(column)?).map_err(|_| row.shape(column, "a count"))
}

/// Returns a statement that inserts a row, or goes on as `conflict` says.
fn insert_sql(table: &str, columns: &str, conflict: &str) -> String {
    let places: Vec<String> = (1..=columns.split(", ").count()).map(|place| format!("${place}")).collect();
    format!("INSERT INTO {table} ({columns}) VALUES ({}) ON CONFLICT {conflict}", places.join(", "))
}

/// Returns a statement that writes a row over the one of the same key, which is in the first columns.
fn upsert_sql(table: &str, columns: &str, keys: usize) -> String {
    let names: Vec<&str> = columns.split(", ").collect();
    let set: Vec<String> = names[keys..].iter().map(|name| format!("{name} = excluded.{name}")).collect();
    insert_sql(table, columns, &format!("({}) DO UPDATE SET {}", names[..keys].join(", "), set.join(", ")))
}

/// Returns `$first, …`: as many places as there are values.
pub fn places(first: usize, count: usize) -> String {
    (first..first + count).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

pub const RUN: &str = "id, kind, doc_id, doc_hash, platform, state, waiting, waiting_since_ms, escalated, refused_by, reason, ending, params, \
                       targets, trigger_kind, trigger_ref, trigger_key, trigger_labels, mode, starter, starter_role, editor, parent_run, \
                       dry_run, owner_node, fence, lease_until_ms, created_at_ms, started_at_ms, ended_at_ms, verdict";

fn run_cells(run: &RunRow) -> Vec<Cell> {
    vec![
        run.id.as_str().into(),
        word(&run.kind),
        run.doc_id.as_str().into(),
        run.doc_hash.as_str().into(),
        run.platform.as_str().into(),
        word(&run.state),
        run.waiting.as_ref().map_or(Cell::Null, word),
        run.waiting_since.into(),
        run.escalated.into(),
        run.refused_by.as_ref().map_or(Cell::Null, word),
        run.reason.as_str().into(),
        run.ending.as_ref().map_or(Cell::Null, json),
        json(&run.params),
        json(&run.targets),
        word(&run.trigger_kind),
        run.trigger_ref.as_deref().into(),
        trigger_key(run),
        json(&run.trigger_labels),
        word(&run.mode),
        run.starter.as_str().into(),
        run.starter_role.as_ref().map_or(Cell::Null, word),
        run.editor.as_str().into(),
        run.parent_run.as_deref().into(),
        run.dry_run.into(),
        run.owner_node.as_deref().into(),
        run.fence.into(),
        run.lease_until.into(),
        run.created_at.into(),
        run.started_at.into(),
        run.ended_at.into(),
        run.verdict.as_deref().into(),
    ]
}

/// Returns what stands for the reference of the trigger in an index.
pub fn trigger_key(run: &RunRow) -> Cell {
    run.trigger_ref.as_deref().map_or(Cell::Null, index_key)
}

pub fn run_row(row: &Row) -> Result<RunRow, DbError> {
    Ok(RunRow {
        id: text(row, 0)?,
        kind: read_word(row, 1, "a kind of document")?,
        doc_id: text(row, 2)?,
        doc_hash: text(row, 3)?,
        platform: text(row, 4)?,
        state: read_word(row, 5, "a state of a run")?,
        waiting: optional_word(row, 6, "what a run waits for")?,
        waiting_since: optional_time(row, 7)?,
        escalated: row.int(8)? != 0,
        refused_by: optional_word(row, 9, "a guard")?,
        reason: text(row, 10)?,
        ending: optional_json(row, 11, "ending of a run")?,
        params: row.document(12, "list of parameters")?,
        targets: row.document(13, "list of targets")?,
        trigger_kind: read_word(row, 14, "a kind of trigger")?,
        trigger_ref: optional_text(row, 15)?,
        trigger_labels: row.document(17, "set of labels")?,
        mode: read_word(row, 18, "a mode")?,
        starter: text(row, 19)?,
        starter_role: optional_word(row, 20, "a role")?,
        editor: text(row, 21)?,
        parent_run: optional_text(row, 22)?,
        dry_run: row.int(23)? != 0,
        owner_node: optional_text(row, 24)?,
        fence: row.int(25)?,
        lease_until: optional_time(row, 26)?,
        created_at: time(row, 27)?,
        started_at: optional_time(row, 28)?,
        ended_at: optional_time(row, 29)?,
        verdict: optional_text(row, 30)?,
    })
}

pub const ATTEMPT: &str = "run_id, step_id, target, phase, attempt, state, effect, idem_key, fence, request, response, handle, saved, \
                           due_at_ms, started_at_ms, ended_at_ms, error";

fn attempt_cells(attempt: &StepAttempt) -> Vec<Cell> {
    vec![
        attempt.run_id.as_str().into(),
        attempt.key.step.as_str().into(),
        attempt.key.target.as_str().into(),
        word(&attempt.key.phase),
        i64::from(attempt.key.attempt).into(),
        word(&attempt.state),
        word(&attempt.effect),
        attempt.idem_key.as_str().into(),
        attempt.fence.into(),
        attempt.request.as_ref().map_or(Cell::Null, json),
        attempt.response.as_ref().map_or(Cell::Null, json),
        attempt.handle.as_deref().into(),
        json(&attempt.saved),
        attempt.due_at.into(),
        attempt.started_at.into(),
        attempt.ended_at.into(),
        attempt.error.as_ref().map_or(Cell::Null, json),
    ]
}

fn attempt_key(row: &Row) -> Result<AttemptKey, DbError> {
    Ok(AttemptKey { step: text(row, 1)?, target: text(row, 2)?, phase: read_word(row, 3, "a phase")?, attempt: count(row, 4)? })
}

pub fn attempt_row(row: &Row) -> Result<StepAttempt, DbError> {
    Ok(StepAttempt {
        run_id: text(row, 0)?,
        key: attempt_key(row)?,
        state: read_word(row, 5, "a state of an attempt")?,
        effect: read_word(row, 6, "an effect")?,
        idem_key: text(row, 7)?,
        fence: row.int(8)?,
        request: optional_json(row, 9, "request")?,
        response: optional_json(row, 10, "response")?,
        handle: optional_text(row, 11)?,
        saved: row.document(12, "list of saved outputs")?,
        due_at: optional_time(row, 13)?,
        started_at: optional_time(row, 14)?,
        ended_at: optional_time(row, 15)?,
        error: optional_json(row, 16, "fault of an attempt")?,
    })
}

/// How far an attempt is, without what was asked and answered: for lists of many runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptMark {
    pub run_id: String,
    pub key: AttemptKey,
    pub state: AttemptState,
    pub due_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

pub const MARK: &str = "run_id, step_id, target, phase, attempt, state, due_at_ms, started_at_ms, ended_at_ms";

pub fn attempt_mark(row: &Row) -> Result<AttemptMark, DbError> {
    Ok(AttemptMark {
        run_id: text(row, 0)?,
        key: attempt_key(row)?,
        state: read_word(row, 5, "a state of an attempt")?,
        due_at: optional_time(row, 6)?,
        started_at: optional_time(row, 7)?,
        ended_at: optional_time(row, 8)?,
    })
}

pub const UNDO: &str =
    "id, run_id, step_id, target, seq, action, check_request, timeout_ms, deadline_ms, state, verified_at_ms, fence";

fn undo_cells(undo: &UndoRow) -> Vec<Cell> {
    vec![
        undo.id.as_str().into(),
        undo.run_id.as_str().into(),
        undo.step_id.as_str().into(),
        undo.target.as_str().into(),
        i64::from(undo.seq).into(),
        json(&undo.action),
        undo.check.as_ref().map_or(Cell::Null, json),
        undo.timeout.0.into(),
        undo.deadline.into(),
        word(&undo.state),
        undo.verified_at.into(),
        undo.fence.into(),
    ]
}

pub fn undo_row(row: &Row) -> Result<UndoRow, DbError> {
    Ok(UndoRow {
        id: text(row, 0)?,
        run_id: text(row, 1)?,
        step_id: text(row, 2)?,
        target: text(row, 3)?,
        seq: count(row, 4)?,
        action: row.document(5, "request of an undo")?,
        check: optional_json(row, 6, "check of an undo")?,
        timeout: Span(row.int(7)?),
        deadline: optional_time(row, 8)?,
        state: read_word(row, 9, "a state of an undo")?,
        verified_at: optional_time(row, 10)?,
        fence: row.int(11)?,
    })
}

pub const APPROVAL: &str = "run_id, step_id, who, subject_hash, role, verdict, via, mfa, at_ms";

fn approval_cells(approval: &ApprovalRow) -> Vec<Cell> {
    vec![
        approval.run_id.as_str().into(),
        approval.step_id.as_str().into(),
        approval.who.as_str().into(),
        approval.subject_hash.as_str().into(),
        word(&approval.role),
        word(&approval.verdict),
        approval.via.as_str().into(),
        approval.mfa.into(),
        approval.at.into(),
    ]
}

pub fn approval_row(row: &Row) -> Result<ApprovalRow, DbError> {
    Ok(ApprovalRow {
        run_id: text(row, 0)?,
        step_id: text(row, 1)?,
        who: text(row, 2)?,
        subject_hash: text(row, 3)?,
        role: read_word(row, 4, "a role")?,
        verdict: read_word(row, 5, "a vote")?,
        via: text(row, 6)?,
        mfa: row.int(7)? != 0,
        at: time(row, 8)?,
    })
}

pub const SAMPLE: &str = "run_id, probe, at_ms, value, ok";

fn sample_cells(sample: &SampleRow) -> Vec<Cell> {
    let SampleRow { run_id, at, probe, value, ok } = sample;
    vec![run_id.as_str().into(), probe.as_str().into(), (*at).into(), (*value).into(), (*ok).into()]
}

pub fn sample_row(row: &Row) -> Result<SampleRow, DbError> {
    Ok(SampleRow {
        run_id: text(row, 0)?,
        probe: text(row, 1)?,
        at: time(row, 2)?,
        value: row.optional_real(3)?,
        ok: row.int(4)? != 0,
    })
}

pub const VERSION: &str = "hash, kind, doc_id, body, created_by, created_at_ms";

pub fn version_row(row: &Row) -> Result<DocumentVersion, DbError> {
    Ok(DocumentVersion {
        hash: text(row, 0)?,
        kind: read_word(row, 1, "a kind of document")?,
        doc_id: text(row, 2)?,
        body: text(row, 3)?,
        created_by: text(row, 4)?,
        created_at: time(row, 5)?,
    })
}

/// Returns the statement that keeps a version of a document; one that is there stays as it is.
pub fn insert_version(version: &DocumentVersion) -> Write {
    Write::new(
        "INSERT INTO document_version (hash, kind, doc_id, body, created_by, created_at_ms) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (hash) DO NOTHING",
        [
            version.hash.as_str().into(),
            word(&version.kind),
            version.doc_id.as_str().into(),
            version.body.as_str().into(),
            version.created_by.as_str().into(),
            version.created_at.into(),
        ],
    )
}

/// Returns the statement that adds a run, unless it is there or another one has the same trigger.
pub fn insert_run(run: &RunRow) -> Write {
    static SQL: LazyLock<String> = LazyLock::new(|| insert_sql("run", RUN, "DO NOTHING"));
    Write::new(&SQL, run_cells(run))
}

/// Returns the statement that stores a run under its fence.
fn put_run(run: &RunRow) -> Write {
    static SQL: LazyLock<String> = LazyLock::new(|| format!("{} WHERE run.fence = excluded.fence", upsert_sql("run", RUN, 1)));
    Write::new(&SQL, run_cells(run)).or_nothing()
}

fn put_attempt(attempt: &StepAttempt) -> Write {
    static SQL: LazyLock<String> = LazyLock::new(|| upsert_sql("step_attempt", ATTEMPT, 5));
    Write::new(&SQL, attempt_cells(attempt))
}

fn put_undo(undo: &UndoRow) -> Write {
    static SQL: LazyLock<String> = LazyLock::new(|| upsert_sql("undo", UNDO, 1));
    Write::new(&SQL, undo_cells(undo))
}

fn put_approval(approval: &ApprovalRow) -> Write {
    static SQL: LazyLock<String> = LazyLock::new(|| upsert_sql("approval", APPROVAL, 4));
    Write::new(&SQL, approval_cells(approval))
}

fn put_sample(sample: &SampleRow) -> Write {
    static SQL: LazyLock<String> = LazyLock::new(|| upsert_sql("sample", SAMPLE, 3));
    Write::new(&SQL, sample_cells(sample))
}

fn put_rate(entry: &RateEntry) -> Write {
    Write::new(
        "INSERT INTO rate_ledger (rate_key, run_id, at_ms) VALUES ($1, $2, $3) \
         ON CONFLICT (rate_key, run_id) DO UPDATE SET at_ms = excluded.at_ms",
        [index_key(&entry.key), entry.run_id.as_str().into(), entry.at.into()],
    )
}

/// Returns the statement that takes a lock, when it is free or the run's own. A lease that has run out frees it only when its run has
/// ended: a run that was interrupted goes on with what it holds.
fn put_lock(lock: &LockRow, now: Timestamp) -> Write {
    Write::new(
        "INSERT INTO resource_lock (name, run_id, fence, lease_until_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO UPDATE SET \
         run_id = excluded.run_id, fence = excluded.fence, lease_until_ms = excluded.lease_until_ms \
         WHERE resource_lock.run_id = excluded.run_id OR (resource_lock.lease_until_ms <= $5 AND NOT EXISTS \
         (SELECT 1 FROM run WHERE run.id = resource_lock.run_id AND run.ended_at_ms IS NULL))",
        [index_key(&lock.name), lock.run_id.as_str().into(), lock.fence.into(), lock.lease_until.into(), now.into()],
    )
    .or_nothing()
}

/// Returns the statement of a record.
pub fn put(record: &Record, now: Timestamp) -> Write {
    match record {
        Record::Run(run) => put_run(run),
        Record::Attempt(attempt) => put_attempt(attempt),
        Record::Undo(undo) => put_undo(undo),
        Record::Approval(approval) => put_approval(approval),
        Record::Rate(entry) => put_rate(entry),
        Record::Lock(lock) => put_lock(lock, now),
        Record::Unlock { name, run_id } => {
            Write::new("DELETE FROM resource_lock WHERE name = $1 AND run_id = $2", [index_key(name), run_id.as_str().into()])
        }
        Record::Sample(sample) => put_sample(sample),
    }
}
