//! Runs of documents: each a row under a fence, with its attempts, undos, approvals, samples and its log.
//!
//! What a run stores is decided by `tocsin_core::run`; a batch of its records is one transaction, which requires the run's fence.

pub mod canaries;
mod documents;
pub mod facts;
mod lists;
mod rows;
mod sweep;

pub use lists::{RunClass, RunCount, RunFilter};
pub use rows::AttemptMark;

use tocsin_core::run::record::{Batch, DocumentVersion, Record, RunRow};
use tocsin_core::time::Timestamp;

use super::accounts::{AuditEntry, audit_writes};
use super::{Cell, Db, DbError, PATIENCE, Transacted, Write};
use rows::{insert_run, insert_version, put, trigger_key};

/// A line of the log of a run, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunNote {
    pub run_id: String,
    pub at: Timestamp,
    pub who: String,
    /// What kind of line it is: a word.
    pub what: String,
    pub detail: String,
}

/// What is noted in the same transaction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notes<'n> {
    /// For the logs of runs.
    pub log: &'n [RunNote],
    pub audit: &'n [AuditEntry],
}

/// A lock that another run holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub name: String,
    /// The run that holds it; none: it has let go of it since.
    pub holder: Option<String>,
}

/// What became of a run that was to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    New,
    /// The trigger has brought this run of the document already; nothing was stored.
    Known(String),
    /// Nothing was stored.
    LockTaken(Taken),
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    Done,
    /// The run is not there, or belongs to somebody else by now; nothing was stored.
    Fenced,
    /// Nothing was stored.
    LockTaken(Taken),
}

/// Returns the statement that adds a line to the log of a run, behind those that are there. It may be repeated.
fn add_note(note: &RunNote) -> Write {
    Write::new(
        "INSERT INTO run_note (run_id, seq, at_ms, who, what, detail) \
         SELECT $1, COALESCE((SELECT MAX(seq) FROM run_note WHERE run_id = $1), 0) + 1, $2, $3, $4, $5 WHERE NOT EXISTS \
         (SELECT 1 FROM run_note WHERE run_id = $1 AND at_ms = $2 AND who = $3 AND what = $4 AND detail = $5)",
        [
            note.run_id.as_str().into(),
            note.at.into(),
            note.who.as_str().into(),
            note.what.as_str().into(),
            note.detail.as_str().into(),
        ],
    )
}

fn with_notes(mut writes: Vec<Write>, notes: &Notes<'_>) -> Vec<Write> {
    writes.extend(notes.log.iter().map(add_note));
    writes.extend(notes.audit.iter().flat_map(audit_writes));
    writes
}

/// Returns the condition that a run stands under a fence. It holds the run's row until the transaction ends.
fn under_fence(run_id: &str, fence: i64) -> Write {
    Write::new("UPDATE run SET fence = fence WHERE id = $1 AND fence = $2", [run_id.into(), fence.into()]).or_nothing()
}

impl Db {
    /// Adds a run with its first batch, unless its trigger has brought one of the same document already. The version of its document
    /// is kept in the same transaction.
    ///
    /// Panics when the batch does not hold the row of its run, as the first one of every run does.
    pub async fn add_run(
        &self,
        version: &DocumentVersion,
        batch: &Batch,
        notes: &Notes<'_>,
        now: Timestamp,
    ) -> Result<Added, DbError> {
        let row = batch.records.iter().find_map(|record| match record {
            Record::Run(row) if row.id == batch.run_id => Some(row),
            _ => None,
        });
        let row = row.expect("the first batch of a run holds its row");
        let mut writes = vec![insert_version(version), insert_run(row).or_nothing()];
        let first = writes.len();
        writes.extend(batch.records.iter().map(|record| put(record, now)));
        let place = match self.transact(&with_notes(writes, notes), PATIENCE).await? {
            Transacted::Done(_) => return Ok(Added::New),
            Transacted::Refused(place) => place,
        };
        if let Some(Record::Lock(lock)) = place.checked_sub(first).and_then(|place| batch.records.get(place)) {
            return Ok(Added::LockTaken(self.taken(&lock.name, now).await?));
        }
        // A batch that is repeated, since its commit got no answer, finds itself.
        Ok(match self.run_of_trigger(row).await? {
            Some(id) if id != row.id => Added::Known(id),
            Some(_) | None => Added::New,
        })
    }

    /// Returns which run a trigger has brought.
    async fn run_of_trigger(&self, row: &RunRow) -> Result<Option<String>, DbError> {
        let sql = "SELECT id FROM run WHERE trigger_kind = $1 AND trigger_key = $2 AND doc_id = $3";
        let cells = [rows::word(&row.trigger_kind), trigger_key(row), row.doc_id.as_str().into()];
        let rows = self.rows("run", sql, cells).await?;
        rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()
    }

    /// Stores the records of a batch and its notes, when the run stands under the batch's fence and its locks are free; else nothing
    /// of it. A batch may be repeated.
    pub async fn store_batch(&self, batch: &Batch, notes: &Notes<'_>, now: Timestamp) -> Result<Stored, DbError> {
        let mut writes = vec![under_fence(&batch.run_id, batch.fence)];
        let first = writes.len();
        writes.extend(batch.records.iter().map(|record| put(record, now)));
        let place = match self.transact(&with_notes(writes, notes), PATIENCE).await? {
            Transacted::Done(_) => return Ok(Stored::Done),
            Transacted::Refused(place) => place,
        };
        match place.checked_sub(first).and_then(|place| batch.records.get(place)) {
            Some(Record::Lock(lock)) => Ok(Stored::LockTaken(self.taken(&lock.name, now).await?)),
            _ => Ok(Stored::Fenced),
        }
    }

    async fn taken(&self, name: &str, now: Timestamp) -> Result<Taken, DbError> {
        let holder = self.lock_holder(name, now).await?.map(|lock| lock.run_id);
        Ok(Taken { name: name.to_owned(), holder })
    }

    /// Gives a run the owner, the fence and the lease of a row that `RunRow::take` made, where the stored fence is the one before;
    /// returns whether it did. Of several who try, one wins.
    pub async fn take_run(&self, row: &RunRow) -> Result<bool, DbError> {
        let sql = "UPDATE run SET owner_node = $2, fence = $3, lease_until_ms = $4 WHERE id = $1 AND fence = $5";
        let owner = Cell::from(row.owner_node.as_deref());
        let cells = [row.id.as_str().into(), owner, row.fence.into(), row.lease_until.into(), (row.fence - 1).into()];
        Ok(self.write(sql, cells).await? > 0)
    }

    /// Adds lines to logs of runs, and to the audit, beside what the runs store themselves.
    pub async fn add_notes(&self, notes: &Notes<'_>) -> Result<(), DbError> {
        // Whoever holds the row of a run is alone in counting its lines.
        let mut runs: Vec<&str> = notes.log.iter().map(|note| note.run_id.as_str()).collect();
        runs.sort_unstable();
        runs.dedup();
        let hold = |id: &str| Write::new("UPDATE run SET fence = fence WHERE id = $1", [id.into()]);
        let writes = with_notes(runs.into_iter().map(hold).collect(), notes);
        self.apply(&writes).await.map(drop)
    }
}
