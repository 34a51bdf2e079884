//! State in SQL: SQLite by default, PostgreSQL by URL, one SQL text for both.
//!
//! SQL here stores and selects; decisions stand in core. Columns are TEXT, BIGINT, INTEGER and DOUBLE PRECISION only; times are
//! `_at_ms BIGINT`, truth is INTEGER, documents are JSON in TEXT, ids are made by us.

pub mod accounts;
mod alone;
mod attempts;
pub mod audit;
mod ballast;
pub mod deliveries;
pub mod error;
pub mod migrations;
pub mod objectives;
mod pack;
pub mod runs;
pub mod state;
pub mod trace;
mod write;

use std::borrow::Cow;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Column, Connection, Executor, Row as _, TypeInfo, ValueRef};

use alone::Alone;
use attempts::Waiting;
use ballast::Ballast;
pub use error::DbError;
pub use write::{RowSql, Write};

/// How long the database may take over one statement. A server that has vanished says nothing, for a quarter of an hour by the rules
/// of TCP, and whoever asks must be able to ask again before.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same for steps that rebuild tables and for reading all of the state at the start.
const LONG_PATIENCE: Duration = Duration::from_secs(30 * 60);

const CLOSE_MAX: Duration = Duration::from_secs(2);

/// A handle on the state; clones share the connections.
///
/// Reading and writing have connections of their own: whoever lists history for a page in the browser does not hold up what records
/// alerts.
#[derive(Clone, Debug)]
pub enum Db {
    /// One connection writes: SQLite has one writer at a time, so waiting for it here is cheaper than in its lock.
    Lite {
        writer: SqlitePool,
        readers: SqlitePool,
        ballast: Arc<Ballast>,
        attempts: Arc<Waiting>,
    },
    Pg {
        writers: PgPool,
        readers: PgPool,
        alone: Arc<Alone>,
        attempts: Arc<Waiting>,
    },
}

/// One value on its way into or out of SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// NULL in a column of text, or read from any column.
    Null,
    /// NULL on its way into a column of whole numbers; PostgreSQL wants the type said.
    NullInt,
    /// The same for a column of numbers.
    NullReal,
    Text(String),
    Int(i64),
    Real(f64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Cell {
        Cell::Int(number)
    }
}

impl From<bool> for Cell {
    fn from(truth: bool) -> Cell {
        Cell::Int(truth.into())
    }
}

impl From<tocsin_core::time::Timestamp> for Cell {
    fn from(at: tocsin_core::time::Timestamp) -> Cell {
        Cell::Int(at.0)
    }
}

impl From<Option<&str>> for Cell {
    fn from(text: Option<&str>) -> Cell {
        text.map_or(Cell::Null, Cell::from)
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Cell {
        text.map_or(Cell::Null, Cell::Text)
    }
}

impl From<Option<f64>> for Cell {
    /// NaN is no number: SQLite has none, so it is NULL in both databases.
    fn from(number: Option<f64>) -> Cell {
        number.filter(|number| !number.is_nan()).map_or(Cell::NullReal, Cell::Real)
    }
}

impl From<Option<tocsin_core::time::Timestamp>> for Cell {
    fn from(at: Option<tocsin_core::time::Timestamp>) -> Cell {
        at.map_or(Cell::NullInt, Cell::from)
    }
}

/// One row of an answer.
#[derive(Clone, Debug)]
pub struct Row {
    table: &'static str,
    cells: Vec<Cell>,
}

impl Row {
    fn shape(&self, column: usize, expected: &'static str) -> DbError {
        DbError::Shape { table: self.table, column, expected }
    }

    pub fn text(&self, column: usize) -> Result<&str, DbError> {
        self.optional_text(column)?.ok_or_else(|| self.shape(column, "text"))
    }

    pub fn optional_text(&self, column: usize) -> Result<Option<&str>, DbError> {
        match self.cells.get(column) {
            Some(Cell::Text(text)) => Ok(Some(text)),
            Some(Cell::Null | Cell::NullInt | Cell::NullReal) => Ok(None),
            Some(Cell::Int(_) | Cell::Real(_)) | None => Err(self.shape(column, "text")),
        }
    }

    pub fn int(&self, column: usize) -> Result<i64, DbError> {
        self.optional_int(column)?.ok_or_else(|| self.shape(column, "a whole number"))
    }

    pub fn optional_int(&self, column: usize) -> Result<Option<i64>, DbError> {
        match self.cells.get(column) {
            Some(Cell::Int(number)) => Ok(Some(*number)),
            Some(Cell::Null | Cell::NullInt | Cell::NullReal) => Ok(None),
            Some(Cell::Text(_) | Cell::Real(_)) | None => Err(self.shape(column, "a whole number")),
        }
    }

    pub fn optional_real(&self, column: usize) -> Result<Option<f64>, DbError> {
        match self.cells.get(column) {
            Some(Cell::Real(number)) => Ok(Some(*number)),
            Some(Cell::Null | Cell::NullInt | Cell::NullReal) => Ok(None),
            Some(Cell::Text(_) | Cell::Int(_)) | None => Err(self.shape(column, "a number")),
        }
    }

    /// Reads a column of JSON into a type.
    pub fn document<T: serde::de::DeserializeOwned>(&self, column: usize, kind: &'static str) -> Result<T, DbError> {
        serde_json::from_str(&self.json(column)?).map_err(|cause| DbError::Document { kind, cause })
    }

    /// Returns the JSON of a column, which may be packed.
    fn json(&self, column: usize) -> Result<Cow<'_, str>, DbError> {
        pack::unpack(self.text(column)?).ok_or_else(|| self.shape(column, "a document"))
    }
}

/// Returns a text as a column takes it. PostgreSQL refuses NUL in a text, so it becomes the sign for what cannot be shown.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Waits for the database; gives up when it says nothing.
async fn within<T>(
    patience: Duration,
    sql: &str,
    work: impl Future<Output = Result<T, sqlx::Error>>,
    fault: impl FnOnce(sqlx::Error) -> DbError,
) -> Result<T, DbError> {
    match tokio::time::timeout(patience, work).await {
        Ok(result) => result.map_err(fault),
        Err(_) => Err(DbError::Silent { sql: sql.to_owned(), seconds: patience.as_secs() }),
    }
}

fn run_fault(sql: &str) -> impl FnOnce(sqlx::Error) -> DbError {
    let sql = sql.to_owned();
    move |cause| DbError::Run { sql, cause }
}

fn transaction_fault(verb: &'static str) -> impl FnOnce(sqlx::Error) -> DbError {
    move |cause| DbError::Transaction { verb, cause }
}

/// Binds the cells one after another.
macro_rules! bind_all {
    ($query:expr, $cells:expr) => {{
        let mut query = $query;
        for cell in $cells {
            query = match cell {
                Cell::Null => query.bind(None::<String>),
                Cell::NullInt => query.bind(None::<i64>),
                Cell::NullReal => query.bind(None::<f64>),
                Cell::Text(text) => query.bind(without_nul(text).into_owned()),
                Cell::Int(number) => query.bind(*number),
                Cell::Real(number) => query.bind(*number),
            };
        }
        query
    }};
}

/// Reads every column of a driver's row by its declared type.
macro_rules! read_row {
    ($name:ident, $row:ty) => {
        fn $name(table: &'static str, row: &$row) -> Result<Row, sqlx::Error> {
            let mut cells = Vec::with_capacity(row.columns().len());
            for column in row.columns() {
                let raw = row.try_get_raw(column.ordinal())?;
                cells.push(if raw.is_null() {
                    Cell::Null
                } else {
                    match raw.type_info().name() {
                        "INTEGER" | "BIGINT" | "INT8" => Cell::Int(row.try_get(column.ordinal())?),
                        "INT4" => Cell::Int(row.try_get::<i32, _>(column.ordinal())?.into()),
                        "REAL" | "FLOAT8" => Cell::Real(row.try_get(column.ordinal())?),
                        _ => Cell::Text(row.try_get(column.ordinal())?),
                    }
                });
            }
            Ok(Row { table, cells })
        }
    };
}
read_row!(read_sqlite_row, SqliteRow);
read_row!(read_postgres_row, PgRow);

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Transacted {
    /// How many rows each statement touched; of rows that were written together, how many all of them did.
    Done(Vec<u64>),
    /// The place of the condition that touched no row; nothing has happened.
    Refused(usize),
}

impl Db {
    /// Opens the SQLite file, which is made when it is missing, and brings it to the newest version. Beside it lies the ballast.
    pub async fn open_sqlite(path: &Path) -> Result<Db, DbError> {
        let name = path.display().to_string();
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Each commit reaches the disk before it is answered: what was announced survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            // A storm writes the same pages again and again, and folding them into the file less often costs less.
            .pragma("wal_autocheckpoint", "4000")
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true);
        let open = |cause| DbError::Open { name: name.clone(), cause };
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(open)?;
        let readers = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.map_err(open)?;
        let db = Db::Lite { writer, readers, ballast: Arc::new(Ballast::load(path)), attempts: Arc::default() };
        db.migrate().await?;
        Ok(db)
    }

    /// Connects to PostgreSQL (`postgres://user:password@host/database`), keeps every other process out of the database, and brings
    /// it to the newest version.
    pub async fn open_postgres(url: &str) -> Result<Db, DbError> {
        if let Some(remedy) = tocsin_core::config::database_fault(url) {
            return Err(DbError::Kind { remedy });
        }
        // The URL holds the password, so errors name only the kind.
        let open = |cause| DbError::Open { name: "postgres".to_owned(), cause };
        let options = PgConnectOptions::from_str(url).map_err(open)?.application_name("tocsin");
        let alone = Arc::new(Alone::take(&options).await?);
        let pool = |connections| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(10))
                .connect_with(options.clone())
        };
        let (writers, readers) = (pool(4).await.map_err(open)?, pool(8).await.map_err(open)?);
        let db = Db::Pg { writers, readers, alone, attempts: Arc::default() };
        db.migrate().await?;
        Ok(db)
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Db::Lite { .. } => "sqlite",
            Db::Pg { .. } => "postgres",
        }
    }

    /// Returns whether the ballast was let go because the disk is full.
    pub fn is_without_ballast(&self) -> bool {
        match self {
            Db::Lite { ballast, .. } => ballast.is_gone(),
            Db::Pg { .. } => false,
        }
    }

    /// Runs statements as one transaction: all of them happen, or none. Returns how many rows each touched; rows
    /// that were written together count together.
    pub async fn apply(&self, writes: &[Write]) -> Result<Vec<u64>, DbError> {
        match self.transact(writes, PATIENCE).await? {
            Transacted::Done(touched) => Ok(touched),
            Transacted::Refused(_) => Ok(vec![0; writes.len()]),
        }
    }

    /// Runs statements as one transaction when the first of them touches a row; returns whether it did.
    async fn apply_if_first_touches(&self, mut writes: Vec<Write>) -> Result<bool, DbError> {
        if let Some(first) = writes.first_mut() {
            first.is_condition = true;
        }
        Ok(matches!(self.transact(&writes, PATIENCE).await?, Transacted::Done(_)))
    }

    async fn transact(&self, writes: &[Write], patience: Duration) -> Result<Transacted, DbError> {
        macro_rules! transaction {
            ($pool:expr, $begin:literal) => {{
                let mut connection = within(patience, "connect", $pool.acquire(), transaction_fault("begin")).await?;
                let result = async {
                    let mut tx = within(patience, $begin, connection.begin_with($begin), transaction_fault("begin")).await?;
                    let mut touched = Vec::with_capacity(writes.len());
                    for together in write::together(writes) {
                        let (first, sql) = (&together[0], write::sql(together));
                        let query = bind_all!(sqlx::query(sql), together.iter().flat_map(|write| &write.cells));
                        let done = within(patience, first.name(), query.execute(&mut *tx), run_fault(first.name())).await?;
                        touched.extend(together.iter().map(|_| done.rows_affected()));
                        if first.is_condition && done.rows_affected() == 0 {
                            within(patience, "ROLLBACK", tx.rollback(), transaction_fault("roll back")).await?;
                            return Ok(Transacted::Refused(touched.len() - 1));
                        }
                    }
                    within(patience, "COMMIT", tx.commit(), transaction_fault("commit")).await?;
                    Ok(Transacted::Done(touched))
                }
                .await;
                // After some failures, such as a full disk, SQLite has rolled back by itself, and the driver would count on in a transaction
                // that is none; after silence nobody knows how things stand. A new connection costs little.
                if result.is_err() {
                    connection.close_on_drop();
                }
                result
            }};
        }
        match self {
            // IMMEDIATE takes the write lock at once, so a transaction cannot fail half way for want of it.
            Db::Lite { writer, ballast, .. } => {
                let result = transaction!(writer, "BEGIN IMMEDIATE");
                if result.as_ref().is_err_and(DbError::is_full_disk) {
                    ballast.let_go();
                }
                result
            }
            Db::Pg { writers, .. } => transaction!(writers, "BEGIN"),
        }
    }

    /// Runs one statement; returns how many rows it touched.
    pub async fn write(&self, sql: &'static str, cells: impl IntoIterator<Item = Cell>) -> Result<u64, DbError> {
        Ok(self.apply(&[Write::new(sql, cells)]).await?[0])
    }

    /// Returns the rows of a query. `table` names it in errors.
    pub async fn rows(
        &self,
        table: &'static str,
        sql: impl Into<Cow<'static, str>>,
        cells: impl IntoIterator<Item = Cell>,
    ) -> Result<Vec<Row>, DbError> {
        self.rows_within(PATIENCE, table, sql, cells).await
    }

    /// Returns the rows of a query that reads a whole table.
    async fn all_rows(&self, table: &'static str, sql: &'static str) -> Result<Vec<Row>, DbError> {
        self.rows_within(LONG_PATIENCE, table, sql, []).await
    }

    async fn rows_within(
        &self,
        patience: Duration,
        table: &'static str,
        sql: impl Into<Cow<'static, str>>,
        cells: impl IntoIterator<Item = Cell>,
    ) -> Result<Vec<Row>, DbError> {
        let (sql, cells): (_, Vec<Cell>) = (sql.into(), cells.into_iter().collect());
        // Safe: every text is put together from constants of this room; values are bound.
        let text = AssertSqlSafe(sql.to_string());
        macro_rules! fetch {
            ($pool:expr, $read:ident) => {{
                let mut connection = within(patience, "connect", $pool.acquire(), run_fault(&sql)).await?;
                let query = bind_all!(sqlx::query(text), &cells);
                let rows = within(patience, &sql, query.fetch_all(&mut *connection), run_fault(&sql)).await;
                if matches!(rows, Err(DbError::Silent { .. })) {
                    connection.close_on_drop();
                }
                rows?.iter().map(|row| $read(table, row).map_err(run_fault(&sql))).collect()
            }};
        }
        match self {
            Db::Lite { readers, .. } => fetch!(readers, read_sqlite_row),
            Db::Pg { readers, .. } => fetch!(readers, read_postgres_row),
        }
    }

    /// Runs a statement that returns nothing and takes no values, such as those that make tables.
    async fn execute(&self, sql: &'static str) -> Result<(), DbError> {
        let fault = |cause| DbError::Run { sql: sql.to_owned(), cause };
        match self {
            Db::Lite { writer, .. } => writer.execute(sql).await.map(drop).map_err(fault),
            Db::Pg { writers, .. } => writers.execute(sql).await.map(drop).map_err(fault),
        }
    }

    /// Writes a copy of the state into a new file, as it is at one moment; nobody waits for it. Returns false where the state is in
    /// PostgreSQL, which is copied by its own means.
    pub async fn copy_to(&self, path: &Path) -> Result<bool, DbError> {
        let Db::Lite { readers, .. } = self else { return Ok(false) };
        let sql = "VACUUM INTO $1";
        let mut connection = within(PATIENCE, "connect", readers.acquire(), run_fault(sql)).await?;
        let copy = sqlx::query(sql).bind(path.display().to_string()).execute(&mut *connection);
        within(LONG_PATIENCE, sql, copy, run_fault(sql)).await?;
        Ok(true)
    }

    /// Closes every connection; on SQLite this folds the log into the file. Another process may work on the database from then on.
    pub async fn close(&self) {
        match self {
            Db::Lite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
            Db::Pg { writers, readers, alone, attempts: _ } => {
                let pools = async { tokio::join!(readers.close(), writers.close()) };
                // A server that has vanished does not say goodbye.
                let _ = tokio::time::timeout(CLOSE_MAX, pools).await;
                alone.end().await;
            }
        }
    }
}
