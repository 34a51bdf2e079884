//! What can go wrong with the database, and whether trying again can help.

use sqlx::postgres::PgDatabaseError;

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
    #[error("the database did not answer within {seconds} s to {sql:?}")]
    Silent { sql: String, seconds: u64 },
    #[error("the database's address is not one of PostgreSQL; {remedy}")]
    Kind { remedy: &'static str },
    #[error("another process works on this database; stop it first, each Tocsin needs a database of its own")]
    InUse,
    #[error("column {column} of {table} holds something else than {expected}")]
    Shape { table: &'static str, column: usize, expected: &'static str },
    #[error("a stored {kind} cannot be read")]
    Document {
        kind: &'static str,
        #[source]
        cause: serde_json::Error,
    },
}

/// Primary result codes of SQLite that say something of the statement: ERROR, TOOBIG, CONSTRAINT, MISMATCH and RANGE.
const SQLITE_LASTING: [i64; 5] = [1, 18, 19, 20, 25];
/// Classes of SQLSTATE that do: bad data, constraints, unknown names and missing rights, limits of the program.
const POSTGRES_LASTING: [&str; 4] = ["22", "23", "42", "54"];
const SQLITE_FULL: i64 = 13;

impl DbError {
    fn cause(&self) -> Option<&sqlx::Error> {
        match self {
            DbError::Open { cause, .. } | DbError::Run { cause, .. } | DbError::Transaction { cause, .. } => Some(cause),
            DbError::Migrate { cause, .. } => cause.cause(),
            DbError::TooNew { .. }
            | DbError::Silent { .. }
            | DbError::Kind { .. }
            | DbError::InUse
            | DbError::Shape { .. }
            | DbError::Document { .. } => None,
        }
    }

    /// Returns SQLite's primary result code.
    fn sqlite_code(&self) -> Option<i64> {
        let sqlx::Error::Database(error) = self.cause()? else { return None };
        if error.try_downcast_ref::<PgDatabaseError>().is_some() {
            return None;
        }
        Some(error.code()?.parse::<i64>().ok()? & 0xff)
    }

    /// Returns whether the same statements would fail in the same way however often they are tried, such as when a value breaks a
    /// constraint. A server that is away, a full disk and a lost race are not of that kind.
    pub fn is_lasting(&self) -> bool {
        match self.cause() {
            Some(sqlx::Error::Database(error)) => match error.try_downcast_ref::<PgDatabaseError>() {
                Some(error) => POSTGRES_LASTING.iter().any(|class| error.code().starts_with(class)),
                None => self.sqlite_code().is_some_and(|code| SQLITE_LASTING.contains(&code)),
            },
            Some(sqlx::Error::Encode(_)) => true,
            Some(_) => false,
            None => matches!(self, DbError::Shape { .. } | DbError::Document { .. } | DbError::Kind { .. }),
        }
    }

    /// Returns whether the disk under SQLite has no room left.
    pub fn is_full_disk(&self) -> bool {
        self.sqlite_code() == Some(SQLITE_FULL)
    }
}
