//! Forgets runs that ended long ago.

use tocsin_core::time::Timestamp;

use crate::db::{Cell, Db, DbError, Write};

/// Runs that one step removes at most: each has some thousands of rows.
const RUNS_STEP: i64 = 20;
/// Rows that one step removes at most.
const ROWS_STEP: i64 = 500;

/// The oldest runs that may go. One with an undo or a page under way has not ended, whatever its state.
macro_rules! old_runs {
    () => {
        "SELECT id FROM run WHERE ended_at_ms < $1 AND NOT EXISTS \
         (SELECT 1 FROM undo WHERE undo.run_id = run.id AND undo.state IN ('armed', 'started')) AND NOT EXISTS \
         (SELECT 1 FROM step_attempt WHERE step_attempt.run_id = run.id AND step_attempt.phase = 'page' \
         AND step_attempt.state IN ('pending', 'intent', 'issued')) ORDER BY ended_at_ms, id LIMIT $2"
    };
}

macro_rules! of_old_runs {
    ($($table:literal),+) => {
        [$(concat!("DELETE FROM ", $table, " WHERE run_id IN (", old_runs!(), ")")),+]
    };
}

/// What belongs to runs; the locks of a run that ended have run out long ago.
const BELONGINGS: [&str; 7] =
    of_old_runs!("step_attempt", "undo", "approval", "sample", "run_note", "rate_ledger", "resource_lock");
const RUNS: &str = concat!("DELETE FROM run WHERE id IN (", old_runs!(), ")");

impl Db {
    /// Forgets runs that ended before `before`, with all that belongs to them, and what else was over by then: instants of schedules
    /// but for the newest of each, freezes, writes of drills, and versions of documents that no run used and that are not the newest.
    ///
    /// It goes in small steps, because alerts cannot be recorded while one of them runs.
    pub async fn sweep_runs(&self, before: Timestamp) -> Result<(), DbError> {
        let step = |sql, rows: i64| Write::new(sql, [Cell::from(before), rows.into()]);
        let runs = BELONGINGS.into_iter().chain([RUNS]).map(|sql| step(sql, RUNS_STEP)).collect();
        let steps: [Vec<Write>; 5] = [
            runs,
            vec![step(
                "DELETE FROM schedule_fire WHERE (schedule_id, due_ms) IN (SELECT schedule_id, due_ms FROM schedule_fire AS old \
                 WHERE due_ms < $1 AND EXISTS (SELECT 1 FROM schedule_fire AS newer WHERE newer.schedule_id = old.schedule_id \
                 AND newer.due_ms > old.due_ms) ORDER BY due_ms, schedule_id LIMIT $2)",
                ROWS_STEP,
            )],
            vec![step(
                "DELETE FROM calendar_window WHERE id IN (SELECT id FROM calendar_window WHERE ends_at_ms < $1 \
                 ORDER BY ends_at_ms, id LIMIT $2)",
                ROWS_STEP,
            )],
            vec![step(
                "DELETE FROM canary_ack WHERE (tag, seq) IN (SELECT tag, seq FROM canary_ack WHERE at_ms < $1 ORDER BY at_ms, tag, seq LIMIT $2)",
                ROWS_STEP,
            )],
            vec![step(
                "DELETE FROM document_version WHERE hash IN (SELECT hash FROM document_version AS old WHERE created_at_ms < $1 \
                 AND NOT EXISTS (SELECT 1 FROM run WHERE run.doc_hash = old.hash) \
                 AND EXISTS (SELECT 1 FROM document_version AS newer WHERE newer.doc_id = old.doc_id \
                 AND newer.created_at_ms > old.created_at_ms) ORDER BY created_at_ms, hash LIMIT $2)",
                ROWS_STEP,
            )],
        ];
        for step in &steps {
            while self.apply(step).await?.last().is_some_and(|touched| *touched > 0) {}
        }
        Ok(())
    }
}
