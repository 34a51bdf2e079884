//! The trace: what was decided about alerts, kept for those who ask why.

use tocsin_core::time::Timestamp;
use tocsin_core::trace::{Entry, Mark, ROUTES, Record, TraceChange};

use super::pack::pack;
use super::{Cell, Db, DbError, Row, RowSql, Write};

/// Records that one step of a sweep removes at most.
const SWEEP_STEP: i64 = 500;
/// Of one kind this many records are read at most, and so many bytes as they are stored: a storm's are packed to a tenth.
const READ_MAX: i64 = 2000;
const READ_BYTES_MAX: i64 = 8 << 20;
/// When much is read, so many records are looked over at most, and so many read at a time.
const NUMBERS_MAX: i64 = 200_000;
const ROWS_AT_ONCE: i64 = 100;

/// Returns the statement that writes down a part of the trace.
pub fn write(change: &TraceChange) -> Write {
    static ADD: RowSql = RowSql {
        insert: "INSERT INTO trace (number, subject, at_ms, until_ms, times, names, size, body)",
        columns: 8,
        keys: 1,
        conflict: "ON CONFLICT (number) DO NOTHING",
    };
    match change {
        TraceChange::Add { number, at, entry } => {
            let body = pack(serde_json::to_string(entry).expect("a record is made of plain fields with text keys"));
            let (subject, names) = (entry.subject(), entry.names());
            let size = (body.len() + names.len()) as i64 + ROW_BYTES;
            let cells: [Cell; 8] = [
                (*number).into(),
                subject.into(),
                (*at).into(),
                (*at).into(),
                1_i64.into(),
                names.into(),
                size.into(),
                body.into(),
            ];
            Write::row(&ADD, cells)
        }
        TraceChange::Lasted { number, until, times } => Write::new(
            "UPDATE trace SET until_ms = $2, times = $3 WHERE number = $1",
            [(*number).into(), (*until).into(), i64::from(*times).into()],
        ),
    }
}

/// What a row takes beside its texts, with its places in the indexes.
const ROW_BYTES: i64 = 120;

const COLUMNS: &str = "number, at_ms, until_ms, times, body";

/// A record that is still packed.
pub struct TraceRow(Row);

impl TraceRow {
    /// Unpacks it, which takes a while where it tells of a storm.
    pub fn record(&self) -> Result<Record, DbError> {
        record(&self.0)
    }
}

fn record(row: &Row) -> Result<Record, DbError> {
    Ok(Record {
        number: row.int(0)?,
        at: Timestamp(row.int(1)?),
        until: Timestamp(row.int(2)?),
        times: u32::try_from(row.int(3)?).unwrap_or(u32::MAX),
        entry: row.document(4, "trace")?,
    })
}

impl Db {
    /// Returns where the trace ends.
    pub async fn trace_mark(&self) -> Result<Mark, DbError> {
        let rows = self.rows("trace", "SELECT MAX(number) FROM trace", []).await?;
        let number = rows.first().map_or(Ok(None), |row| row.optional_int(0))?.unwrap_or(0);
        let newest = self.trace_before(ROUTES, "", Timestamp::MAX, 1).await?;
        let routes = newest.first().and_then(|record| match &record.entry {
            Entry::Routes(routes) => Some(routes.digest()),
            Entry::Alerts(_) | Entry::Flush(_) | Entry::Lost(_) | Entry::Opened { .. } => None,
        });
        Ok(Mark { number, routes: routes.unwrap_or_default() })
    }

    /// Returns the records under a subject that hold at some time between two instants, oldest first; where there are too many, the newest
    /// of them. `name`: of an alert that they must tell of; empty: of any.
    pub async fn trace(&self, subject: &str, name: &str, from: Timestamp, to: Timestamp) -> Result<Vec<Record>, DbError> {
        let meant = "FROM trace WHERE subject = $1 AND at_ms <= $2 AND until_ms >= $3 AND names LIKE $4 ESCAPE '!'";
        let cells: [Cell; 4] = [subject.into(), to.into(), from.into(), pattern(name).into()];
        let sql = format!("SELECT number, size {meant} ORDER BY number DESC LIMIT $5");
        let (mut bytes, mut oldest) = (0, i64::MAX);
        for row in &self.rows("trace", sql, cells.clone().into_iter().chain([READ_MAX.into()])).await? {
            bytes += row.int(1)?;
            if bytes > READ_BYTES_MAX && oldest < i64::MAX {
                break;
            }
            oldest = row.int(0)?;
        }
        let sql = format!("SELECT {COLUMNS} {meant} AND number >= $5 ORDER BY number");
        self.records(sql, cells.into_iter().chain([oldest.into()])).await
    }

    /// Returns the newest records under a subject that began before an instant, newest first.
    pub async fn trace_before(&self, subject: &str, name: &str, before: Timestamp, limit: i64) -> Result<Vec<Record>, DbError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM trace WHERE subject = $1 AND at_ms < $2 AND names LIKE $3 ESCAPE '!' \
             ORDER BY number DESC LIMIT $4"
        );
        self.records(sql, [subject.into(), before.into(), pattern(name).into(), limit.into()]).await
    }

    /// Returns from which number on to read what holds at some time since an instant, within a number of bytes as they are stored, and
    /// whether that is all of it.
    pub async fn trace_since(&self, from: Timestamp, bytes_max: i64) -> Result<(i64, bool), DbError> {
        let sql = "SELECT number, size FROM trace WHERE until_ms >= $1 ORDER BY number DESC LIMIT $2";
        let (mut bytes, mut oldest) = (0, i64::MAX);
        let rows = self.rows("trace", sql, [from.into(), NUMBERS_MAX.into()]).await?;
        for row in &rows {
            bytes += row.int(1)?;
            if bytes > bytes_max && oldest < i64::MAX {
                return Ok((oldest, false));
            }
            oldest = row.int(0)?;
        }
        Ok((oldest, (rows.len() as i64) < NUMBERS_MAX))
    }

    /// Returns the next records of alerts and groups from a number on, in order, as they are stored; empty: there are no more.
    pub async fn trace_rows(&self, number: i64) -> Result<Vec<TraceRow>, DbError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM trace WHERE number >= $1 AND subject <> 'routes' AND subject <> 'opened' ORDER BY number LIMIT $2"
        );
        let rows = self.rows("trace", sql, [number.into(), ROWS_AT_ONCE.into()]).await?;
        Ok(rows.into_iter().map(TraceRow).collect())
    }

    async fn records(&self, sql: String, cells: impl IntoIterator<Item = Cell>) -> Result<Vec<Record>, DbError> {
        self.rows("trace", sql, cells).await?.iter().map(record).collect()
    }

    /// Forgets what held last before an instant, and the oldest of the rest where all takes more than `bytes_max`. The newest routes stay:
    /// without them nothing of what follows can be told.
    pub async fn sweep_trace(&self, before: Timestamp, bytes_max: i64) -> Result<(), DbError> {
        let sql = "DELETE FROM trace WHERE number IN (SELECT number FROM trace WHERE until_ms < $1 AND number <> \
                   (SELECT COALESCE(MAX(number), 0) FROM trace WHERE subject = 'routes') ORDER BY until_ms, number LIMIT $2)";
        let step = |before: Timestamp| self.write(sql, [before.into(), SWEEP_STEP.into()]);
        while step(before).await? > 0 {}
        while self.trace_bytes().await? > bytes_max && step(Timestamp::MAX).await? > 0 {}
        Ok(())
    }

    /// Returns about how many bytes the trace takes.
    pub async fn trace_bytes(&self) -> Result<i64, DbError> {
        let rows = self.rows("trace", "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM trace", []).await?;
        rows.first().map_or(Ok(0), |row| row.int(0))
    }
}

fn pattern(name: &str) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    let name = name.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("% {name} %")
}
