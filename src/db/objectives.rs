//! The counts of objectives: rows that are added, read whole at a start, and taken away by age. Rows of several definitions of one
//! objective stand beside each other, so that one can be counted anew while the other goes on.

use tocsin_core::slo::Row as SloRow;
use tocsin_core::time::Timestamp;

use super::{Cell, Db, DbError, LONG_PATIENCE, Row, RowSql, Write};

const OBJECTIVES_MAX: i64 = 10_000;
/// Rows of one transaction, so that alerts need not wait long for theirs.
const BATCH: usize = 4_096;
/// Rows that one step of forgetting removes at most.
const FORGET_STEP: i64 = 2_000;

/// An objective that has rows, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectiveRows {
    pub id: String,
    pub until: Timestamp,
}

/// Returns the statement that adds a row; it may be repeated.
fn insert(row: &SloRow) -> Write {
    static SQL: RowSql = RowSql {
        insert: "INSERT INTO slo_row (objective, tier_ms, at_ms, definition, good, good_millionths, total, total_millionths)",
        columns: 8,
        keys: 4,
        conflict: "ON CONFLICT (objective, tier_ms, at_ms, definition) DO NOTHING",
    };
    let cells: [Cell; 8] = [
        row.objective.as_str().into(),
        row.tier_ms.into(),
        row.at_ms.into(),
        row.definition.as_str().into(),
        row.good.into(),
        i64::from(row.good_millionths).into(),
        row.total.into(),
        i64::from(row.total_millionths).into(),
    ];
    Write::row(&SQL, cells)
}

/// Splits rows for transactions. What was counted at one instant of one objective is not torn apart.
fn batches(mut rows: &[SloRow]) -> Vec<&[SloRow]> {
    let mut batches = Vec::new();
    while !rows.is_empty() {
        let mut end = rows.len().min(BATCH);
        let same = |a: &SloRow, b: &SloRow| a.objective == b.objective && a.at_ms == b.at_ms;
        while end < rows.len() && same(&rows[end - 1], &rows[end]) {
            end += 1;
        }
        let (now, later) = rows.split_at(end);
        batches.push(now);
        rows = later;
    }
    batches
}

fn slo_row(row: &Row) -> Result<SloRow, DbError> {
    let millionths = |column| i32::try_from(row.int(column)?).map_err(|_| row.shape(column, "millionths"));
    Ok(SloRow {
        objective: row.text(0)?.to_owned(),
        definition: row.text(1)?.to_owned(),
        tier_ms: row.int(2)?,
        at_ms: row.int(3)?,
        good: row.int(4)?,
        good_millionths: millionths(5)?,
        total: row.int(6)?,
        total_millionths: millionths(7)?,
    })
}

impl Db {
    /// Adds rows, in their order, some thousands in a transaction. Rows that are there stay as they are.
    pub async fn add_slo_rows(&self, rows: &[SloRow]) -> Result<(), DbError> {
        for batch in batches(rows) {
            self.apply(&batch.iter().map(insert).collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// Returns every row of an objective, of all its definitions, tier by tier, oldest first. How many there are, the cutoffs of
    /// ledgers limit.
    pub async fn slo_rows(&self, objective: &str) -> Result<Vec<SloRow>, DbError> {
        let sql = "SELECT objective, definition, tier_ms, at_ms, good, good_millionths, total, total_millionths FROM slo_row \
                   WHERE objective = $1 ORDER BY tier_ms, at_ms, definition";
        self.rows_within(LONG_PATIENCE, "slo_row", sql, [objective.into()]).await?.iter().map(slo_row).collect()
    }

    /// Returns the objectives that have rows.
    pub async fn slo_ids(&self) -> Result<Vec<ObjectiveRows>, DbError> {
        // From one objective to the next by the index, rather than through all rows.
        let sql = "WITH RECURSIVE found (id) AS (SELECT MIN(objective) FROM slo_row UNION ALL \
                   SELECT (SELECT MIN(objective) FROM slo_row WHERE objective > found.id) FROM found WHERE found.id IS NOT NULL) \
                   SELECT id, (SELECT MAX(at_ms) FROM slo_row WHERE objective = found.id AND tier_ms = \
                   (SELECT MIN(tier_ms) FROM slo_row WHERE objective = found.id)) FROM found WHERE id IS NOT NULL LIMIT $1";
        let rows = self.rows("slo_row", sql, [OBJECTIVES_MAX.into()]).await?;
        rows.iter().map(|row| Ok(ObjectiveRows { id: row.text(0)?.to_owned(), until: Timestamp(row.int(1)?) })).collect()
    }

    /// Forgets the rows of a tier that are older than a cutoff.
    pub async fn drop_slo_rows(&self, objective: &str, tier_ms: i64, before: Timestamp) -> Result<(), DbError> {
        let sql = "DELETE FROM slo_row WHERE objective = $1 AND tier_ms = $2 AND at_ms < $3 AND at_ms <= \
                   (SELECT MAX(at_ms) FROM (SELECT at_ms FROM slo_row WHERE objective = $1 AND tier_ms = $2 AND at_ms < $3 \
                   ORDER BY at_ms LIMIT $4) AS oldest)";
        let cells = [objective.into(), tier_ms.into(), before.into(), FORGET_STEP.into()];
        while self.write(sql, cells.clone()).await? > 0 {}
        Ok(())
    }

    /// Forgets the rows of an objective that were counted under other definitions than this one.
    pub async fn forget_other_counts(&self, objective: &str, definition: &str) -> Result<(), DbError> {
        let sql = "DELETE FROM slo_row WHERE (tier_ms, at_ms, definition) IN (SELECT tier_ms, at_ms, definition FROM slo_row \
                   WHERE objective = $1 AND definition <> $2 ORDER BY tier_ms, at_ms LIMIT $3) AND objective = $1";
        while self.write(sql, [objective.into(), definition.into(), FORGET_STEP.into()]).await? > 0 {}
        Ok(())
    }

    /// Forgets every row of an objective.
    pub async fn forget_objective(&self, objective: &str) -> Result<(), DbError> {
        let sql = "DELETE FROM slo_row WHERE (tier_ms, at_ms, definition) IN (SELECT tier_ms, at_ms, definition FROM slo_row \
                   WHERE objective = $1 ORDER BY tier_ms, at_ms LIMIT $2) AND objective = $1";
        while self.write(sql, [objective.into(), FORGET_STEP.into()]).await? > 0 {}
        Ok(())
    }
}
