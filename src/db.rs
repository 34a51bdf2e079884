//! State in SQL: SQLite by default, PostgreSQL by URL, one SQL text for both.
//!
//! SQL here stores and selects; decisions stand in core. Columns are TEXT, BIGINT, INTEGER and DOUBLE PRECISION only; times are
//! `_at_ms BIGINT`, truth is INTEGER, documents are JSON in TEXT, ids are made by us.

pub mod accounts;
pub mod deliveries;
pub mod migrations;
pub mod state;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Column, Executor, Row as _, TypeInfo, ValueRef};

/// A handle on the state; clones share the connections.
#[derive(Clone, Debug)]
pub enum Db {
    /// One connection writes, several read: SQLite has one writer at a time, so waiting for it here is cheaper than in its lock.
    Lite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Pg(PgPool),
}

#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("cannot open the database {name}")]
    Open {
        name: String,
        #[source]
        cause: sqlx::Error,
    },
    #[error("cannot bring the database to version {version}")]
    Migrate {
        version: i64,
        #[source]
        cause: Box<DbError>,
    },
    #[error(
        "the database is of version {found}, newer than this program's {known}; start the program that wrote it, or restore a backup"
    )]
    TooNew { found: i64, known: i64 },
    #[error("cannot run {sql:?}")]
    Run {
        sql: String,
        #[source]
        cause: sqlx::Error,
    },
    #[error("cannot {verb} a transaction")]
    Transaction {
        verb: &'static str,
        #[source]
        cause: sqlx::Error,
    },
    #[error("column {column} of {table} holds something else than {expected}")]
    Shape { table: &'static str, column: usize, expected: &'static str },
    #[error("a stored {kind} cannot be read")]
    Document {
        kind: &'static str,
        #[source]
        cause: serde_json::Error,
    },
}

/// One value on its way into or out of SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// NULL in a column of text, or read from any column.
    Null,
    /// NULL on its way into a column of whole numbers; PostgreSQL wants the type said.
    NullInt,
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
            Some(Cell::Null | Cell::NullInt) => Ok(None),
            Some(Cell::Int(_) | Cell::Real(_)) | None => Err(self.shape(column, "text")),
        }
    }

    pub fn int(&self, column: usize) -> Result<i64, DbError> {
        self.optional_int(column)?.ok_or_else(|| self.shape(column, "a whole number"))
    }

    pub fn optional_int(&self, column: usize) -> Result<Option<i64>, DbError> {
        match self.cells.get(column) {
            Some(Cell::Int(number)) => Ok(Some(*number)),
            Some(Cell::Null | Cell::NullInt) => Ok(None),
            Some(Cell::Text(_) | Cell::Real(_)) | None => Err(self.shape(column, "a whole number")),
        }
    }

    /// Reads a column of JSON into a type.
    pub fn document<T: serde::de::DeserializeOwned>(&self, column: usize, kind: &'static str) -> Result<T, DbError> {
        serde_json::from_str(self.text(column)?).map_err(|cause| DbError::Document { kind, cause })
    }
}

/// One statement of a transaction.
#[derive(Clone, Debug)]
pub struct Write {
    sql: &'static str,
    cells: Vec<Cell>,
}

impl Write {
    /// Binds `cells` to `$1`, `$2`, … of a statement.
    pub fn new(sql: &'static str, cells: impl IntoIterator<Item = Cell>) -> Write {
        Write { sql, cells: cells.into_iter().collect() }
    }
}

/// Binds the cells one after another.
macro_rules! bind_all {
    ($query:expr, $cells:expr) => {{
        let mut query = $query;
        for cell in $cells {
            query = match cell {
                Cell::Null => query.bind(None::<String>),
                Cell::NullInt => query.bind(None::<i64>),
                Cell::Text(text) => query.bind(text.clone()),
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

impl Db {
    /// Opens the SQLite file, which is made when it is missing, and brings it to the newest version.
    pub async fn open_sqlite(path: &Path) -> Result<Db, DbError> {
        let name = path.display().to_string();
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Each commit reaches the disk before it is answered: what was announced survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true);
        let open = |cause| DbError::Open { name: name.clone(), cause };
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(open)?;
        let readers = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.map_err(open)?;
        let db = Db::Lite { writer, readers };
        db.migrate().await?;
        Ok(db)
    }

    /// Connects to PostgreSQL (`postgres://user:password@host/database`) and brings it to the newest version.
    pub async fn open_postgres(url: &str) -> Result<Db, DbError> {
        // The URL holds the password, so errors name only the kind.
        let open = |cause| DbError::Open { name: "postgres".to_owned(), cause };
        let options = PgConnectOptions::from_str(url).map_err(open)?.application_name("tocsin");
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await
            .map_err(open)?;
        let db = Db::Pg(pool);
        db.migrate().await?;
        Ok(db)
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Db::Lite { .. } => "sqlite",
            Db::Pg(_) => "postgres",
        }
    }

    /// Runs statements as one transaction: all of them happen, or none. Returns how many rows each touched.
    pub async fn apply(&self, writes: &[Write]) -> Result<Vec<u64>, DbError> {
        macro_rules! transaction {
            ($pool:expr, $begin:literal) => {{
                let mut tx = $pool.begin_with($begin).await.map_err(|cause| DbError::Transaction { verb: "begin", cause })?;
                let mut touched = Vec::with_capacity(writes.len());
                for write in writes {
                    let query = bind_all!(sqlx::query(write.sql), &write.cells);
                    let done =
                        query.execute(&mut *tx).await.map_err(|cause| DbError::Run { sql: write.sql.to_owned(), cause })?;
                    touched.push(done.rows_affected());
                }
                tx.commit().await.map_err(|cause| DbError::Transaction { verb: "commit", cause })?;
                Ok(touched)
            }};
        }
        match self {
            // IMMEDIATE takes the write lock at once, so a transaction cannot fail half way for want of it.
            Db::Lite { writer, .. } => transaction!(writer, "BEGIN IMMEDIATE"),
            Db::Pg(pool) => transaction!(pool, "BEGIN"),
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
        sql: impl Into<std::borrow::Cow<'static, str>>,
        cells: impl IntoIterator<Item = Cell>,
    ) -> Result<Vec<Row>, DbError> {
        let (sql, cells): (_, Vec<Cell>) = (sql.into(), cells.into_iter().collect());
        let fault = |cause| DbError::Run { sql: sql.to_string(), cause };
        // Safe: every text is put together from constants of this room; values are bound.
        let text = AssertSqlSafe(sql.to_string());
        match self {
            Db::Lite { readers, .. } => {
                let rows = bind_all!(sqlx::query(text), &cells).fetch_all(readers).await.map_err(fault)?;
                rows.iter().map(|row| read_sqlite_row(table, row).map_err(fault)).collect()
            }
            Db::Pg(pool) => {
                let rows = bind_all!(sqlx::query(text), &cells).fetch_all(pool).await.map_err(fault)?;
                rows.iter().map(|row| read_postgres_row(table, row).map_err(fault)).collect()
            }
        }
    }

    /// Runs a statement that returns nothing and takes no values, such as those that make tables.
    async fn execute(&self, sql: &'static str) -> Result<(), DbError> {
        let fault = |cause| DbError::Run { sql: sql.to_owned(), cause };
        match self {
            Db::Lite { writer, .. } => writer.execute(sql).await.map(drop).map_err(fault),
            Db::Pg(pool) => pool.execute(sql).await.map(drop).map_err(fault),
        }
    }

    /// Closes every connection; on SQLite this folds the log into the file.
    pub async fn close(&self) {
        match self {
            Db::Lite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Db::Pg(pool) => pool.close().await,
        }
    }
}
