//! Reading runs: to go on with them after a start, and for people. Every list has a limit.

use std::collections::BTreeMap;

use tocsin_core::run::record::{ApprovalRow, DocKind, RunRecords, RunRow, RunState, SampleRow, StepAttempt};
use tocsin_core::time::Timestamp;

use super::RunNote;
use super::rows::{
    APPROVAL, ATTEMPT, AttemptMark, MARK, RUN, SAMPLE, UNDO, approval_row, attempt_mark, attempt_row, places, read_word, run_row,
    sample_row, undo_row, word,
};
use crate::db::{Cell, Db, DbError, Row};

const RUNS_MAX: i64 = 1_000;
/// More runs under way than this are gone on with after the next start.
const OPEN_MAX: i64 = 10_000;
const SAMPLES_MAX: i64 = 100_000;
const NOTES_MAX: i64 = 10_000;
/// Values that one statement takes for a list.
pub(super) const ASKED_MAX: usize = 500;

/// The states that a list asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunClass {
    /// Not ended.
    Open,
    /// Ended, having begun.
    Ended,
    Refused,
}

impl RunClass {
    fn holds(self, state: RunState) -> bool {
        match self {
            RunClass::Open => !state.is_final(),
            RunClass::Ended => state.is_final() && state != RunState::Refused,
            RunClass::Refused => state == RunState::Refused,
        }
    }

    /// Returns the condition of SQL that a run is of the class.
    ///
    /// Few runs are open or refused, and an index finds them. Most have ended, and are read in the order of time.
    fn condition(self) -> String {
        let words = |class: RunClass, is_in| {
            let states = RunState::ALL.into_iter().filter(|state| class.holds(*state) == is_in);
            states.map(|state| format!("'{}'", state.word())).collect::<Vec<_>>().join(", ")
        };
        match self {
            RunClass::Open | RunClass::Refused => format!("state IN ({})", words(self, true)),
            RunClass::Ended => format!("state NOT IN ({})", words(self, false)),
        }
    }
}

/// What a list of runs asks for; None asks nothing.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    pub class: Option<RunClass>,
    pub kind: Option<DocKind>,
    pub doc: Option<String>,
    pub platform: Option<String>,
    /// Only runs behind the one of this id.
    pub before: Option<String>,
    /// At most 1,000.
    pub limit: i64,
}

/// How many runs of a document stand in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunCount {
    pub doc_id: String,
    pub state: RunState,
    pub count: i64,
}

fn all<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, DbError>) -> Result<Vec<T>, DbError> {
    rows.iter().map(read).collect()
}

impl Db {
    /// Returns the runs that a start goes on with, oldest first: those that have not ended, and those with a page or an undo that has
    /// not.
    pub async fn open_runs(&self) -> Result<Vec<RunRow>, DbError> {
        let sql = format!(
            "SELECT {RUN} FROM run WHERE id IN (SELECT id FROM run WHERE {} \
             UNION SELECT run_id FROM step_attempt WHERE phase = 'page' AND state IN ('pending', 'intent', 'issued') \
             UNION SELECT run_id FROM undo WHERE state IN ('armed', 'started')) ORDER BY created_at_ms, id LIMIT $1",
            RunClass::Open.condition()
        );
        all(&self.rows("run", sql, [OPEN_MAX.into()]).await?, run_row)
    }

    pub async fn run_row(&self, id: &str) -> Result<Option<RunRow>, DbError> {
        let sql = format!("SELECT {RUN} FROM run WHERE id = $1");
        self.rows("run", sql, [id.into()]).await?.first().map(run_row).transpose()
    }

    /// Returns all that a run stored. How much that is, the machine limits. What is read while the run's owner stores may be of two
    /// batches; whoever goes on with a run takes it first.
    pub async fn run_records(&self, id: &str) -> Result<Option<RunRecords>, DbError> {
        let Some(run) = self.run_row(id).await? else { return Ok(None) };
        let attempts = format!("SELECT {ATTEMPT} FROM step_attempt WHERE run_id = $1 ORDER BY step_id, target, phase, attempt");
        let attempts: Vec<StepAttempt> = all(&self.rows("step_attempt", attempts, [id.into()]).await?, attempt_row)?;
        let undos = format!("SELECT {UNDO} FROM undo WHERE run_id = $1 ORDER BY seq, id");
        let undos = all(&self.rows("undo", undos, [id.into()]).await?, undo_row)?;
        let approvals = format!("SELECT {APPROVAL} FROM approval WHERE run_id = $1 ORDER BY at_ms, step_id, who, subject_hash");
        let approvals = all(&self.rows("approval", approvals, [id.into()]).await?, approval_row)?;
        Ok(Some(RunRecords { run, attempts, undos, approvals }))
    }

    /// Returns runs, newest first.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, DbError> {
        let (mut conditions, mut cells) = (Vec::new(), Vec::<Cell>::new());
        let mut ask = |condition: &str, cell: Option<Cell>| {
            if let Some(cell) = cell {
                cells.push(cell);
                conditions.push(format!("{condition} ${}", cells.len()));
            }
        };
        ask("kind =", filter.kind.map(|kind| word(&kind)));
        ask("doc_id =", filter.doc.as_deref().map(Cell::from));
        ask("platform =", filter.platform.as_deref().map(Cell::from));
        if let Some(class) = filter.class {
            conditions.push(class.condition());
        }
        if let Some(id) = &filter.before {
            let rows = self.rows("run", "SELECT created_at_ms FROM run WHERE id = $1", [id.as_str().into()]).await?;
            let Some(row) = rows.first() else { return Ok(Vec::new()) };
            cells.extend([row.int(0)?.into(), id.as_str().into()]);
            conditions.push(format!("(created_at_ms, id) < (${}, ${})", cells.len() - 1, cells.len()));
        }
        cells.push(filter.limit.clamp(0, RUNS_MAX).into());
        let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let sql = format!("SELECT {RUN} FROM run {filter} ORDER BY created_at_ms DESC, id DESC LIMIT ${}", cells.len());
        all(&self.rows("run", sql, cells).await?, run_row)
    }

    /// Returns the runs that a run called, oldest first.
    pub async fn children(&self, id: &str) -> Result<Vec<RunRow>, DbError> {
        let sql = format!("SELECT {RUN} FROM run WHERE parent_run = $1 ORDER BY created_at_ms, id LIMIT $2");
        all(&self.rows("run", sql, [id.into(), RUNS_MAX.into()]).await?, run_row)
    }

    /// Returns the newest run of each document that has one.
    pub async fn last_runs(&self, doc_ids: &[&str]) -> Result<BTreeMap<String, RunRow>, DbError> {
        let mut last = BTreeMap::new();
        for ids in doc_ids.chunks(100) {
            let one = |place| {
                format!(
                    "SELECT * FROM (SELECT {RUN} FROM run WHERE doc_id = ${place} ORDER BY created_at_ms DESC, id DESC LIMIT 1) AS r{place}"
                )
            };
            let sql = (1..=ids.len()).map(one).collect::<Vec<_>>().join(" UNION ALL ");
            let rows = self.rows("run", sql, ids.iter().map(|id| Cell::from(*id))).await?;
            last.extend(all(&rows, run_row)?.into_iter().map(|run| (run.doc_id.clone(), run)));
        }
        Ok(last)
    }

    /// Returns what a run saw of its probes, oldest first; of more than 100,000 samples the newest.
    pub async fn run_samples(&self, id: &str) -> Result<Vec<SampleRow>, DbError> {
        let sql = format!("SELECT {SAMPLE} FROM sample WHERE run_id = $1 ORDER BY at_ms DESC, probe DESC LIMIT $2");
        let mut samples = all(&self.rows("sample", sql, [id.into(), SAMPLES_MAX.into()]).await?, sample_row)?;
        samples.reverse();
        Ok(samples)
    }

    /// Returns how far the attempts of some runs are, run by run.
    pub async fn attempt_marks(&self, run_ids: &[&str]) -> Result<Vec<AttemptMark>, DbError> {
        let of = |ids: &[&str]| {
            format!(
                "SELECT {MARK} FROM step_attempt WHERE run_id IN ({}) ORDER BY run_id, step_id, target, phase, attempt",
                places(1, ids.len())
            )
        };
        self.of_many("step_attempt", run_ids, of, attempt_mark).await
    }

    /// Returns the approvals of some runs, run by run, oldest first.
    pub async fn approvals(&self, run_ids: &[&str]) -> Result<Vec<ApprovalRow>, DbError> {
        let of = |ids: &[&str]| {
            format!("SELECT {APPROVAL} FROM approval WHERE run_id IN ({}) ORDER BY run_id, at_ms, who", places(1, ids.len()))
        };
        self.of_many("approval", run_ids, of, approval_row).await
    }

    /// Reads what belongs to some values, so many at a time as one statement takes.
    pub(super) async fn of_many<T>(
        &self,
        table: &'static str,
        values: &[&str],
        sql: impl Fn(&[&str]) -> String,
        read: impl Fn(&Row) -> Result<T, DbError>,
    ) -> Result<Vec<T>, DbError> {
        let mut found = Vec::new();
        for values in values.chunks(ASKED_MAX) {
            let rows = self.rows(table, sql(values), values.iter().map(|value| Cell::from(*value))).await?;
            found.extend(all(&rows, &read)?);
        }
        Ok(found)
    }

    /// Returns the log of a run, oldest line first; of more than 10,000 lines the newest.
    pub async fn run_notes(&self, id: &str) -> Result<Vec<RunNote>, DbError> {
        let sql = "SELECT run_id, at_ms, who, what, detail FROM run_note WHERE run_id = $1 ORDER BY seq DESC LIMIT $2";
        let note = |row: &Row| {
            Ok(RunNote {
                run_id: row.text(0)?.to_owned(),
                at: Timestamp(row.int(1)?),
                who: row.text(2)?.to_owned(),
                what: row.text(3)?.to_owned(),
                detail: row.text(4)?.to_owned(),
            })
        };
        let mut notes = all(&self.rows("run_note", sql, [id.into(), NOTES_MAX.into()]).await?, note)?;
        notes.reverse();
        Ok(notes)
    }

    /// Returns how many runs that began at or after an instant stand in each state, document by document. Dry runs count nothing.
    pub async fn run_counts(&self, since: Timestamp) -> Result<Vec<RunCount>, DbError> {
        let sql = "SELECT doc_id, state, COUNT(*) FROM run WHERE created_at_ms >= $1 AND dry_run = 0 GROUP BY doc_id, state \
                   ORDER BY doc_id, state LIMIT $2";
        let count = |row: &Row| {
            Ok(RunCount { doc_id: row.text(0)?.to_owned(), state: read_word(row, 1, "a state of a run")?, count: row.int(2)? })
        };
        all(&self.rows("run", sql, [since.into(), OPEN_MAX.into()]).await?, count)
    }

    /// Returns how many runs that have not ended stand in each state.
    pub async fn open_run_counts(&self) -> Result<Vec<(RunState, i64)>, DbError> {
        let sql = format!("SELECT state, COUNT(*) FROM run WHERE {} GROUP BY state ORDER BY state", RunClass::Open.condition());
        all(&self.rows("run", sql, []).await?, |row| Ok((read_word(row, 0, "a state of a run")?, row.int(1)?)))
    }
}
