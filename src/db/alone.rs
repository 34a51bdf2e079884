//! Keeps other processes out of a PostgreSQL database: two that record at the same time would hand out the same numbers.
//!
//! A connection of its own holds an advisory lock, which ends with the connection. Should that break, the lock is taken anew; should
//! another process have it by then, this one must not go on.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use super::{CLOSE_MAX, DbError};

/// Names the lock together with the schema: "toc" in ASCII.
const LOCK: &str = "SELECT pg_try_advisory_lock(7630691, hashtext(current_schema()))";
/// A server's process, by its number and its start, because numbers come again.
const WHO: &str = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";
const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2";
/// Has the server notice within half a minute that the process at the other end is gone. On a socket of the same machine these have
/// no effect and are not needed.
const KEEPALIVES: [&str; 3] = ["SET tcp_keepalives_idle = 10", "SET tcp_keepalives_interval = 5", "SET tcp_keepalives_count = 3"];
/// How long a process that is on its way out is waited for.
const WAIT_MAX: Duration = Duration::from_secs(40);
const WAIT: Duration = Duration::from_millis(500);
/// How often the connection is looked at; this also keeps it alive where idle ones are cut.
const LOOK: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The lock on a database, held until `end`.
#[derive(Debug)]
pub struct Alone {
    held: Arc<Mutex<Option<Held>>>,
    keeper: AbortHandle,
}

/// A connection that holds the lock, and the server's process behind it.
#[derive(Debug)]
struct Held {
    connection: PgConnection,
    server: (i32, String),
}

/// Returns a connection that holds the lock; None while another process has it.
///
/// `before` is the server's process behind a connection of ours that broke. It may not have noticed yet, and would hold the lock
/// against ourselves.
async fn try_lock(options: &PgConnectOptions, before: Option<&(i32, String)>) -> Result<Option<Held>, sqlx::Error> {
    let work = async {
        let mut connection = options.connect().await?;
        for setting in KEEPALIVES {
            sqlx::query(setting).execute(&mut connection).await?;
        }
        if let Some((pid, start)) = before {
            sqlx::query(END).bind(pid).bind(start).execute(&mut connection).await?;
        }
        let is_ours: bool = sqlx::query_scalar(LOCK).fetch_one(&mut connection).await?;
        if !is_ours {
            return Ok(None);
        }
        let server = sqlx::query_as(WHO).fetch_one(&mut connection).await?;
        Ok(Some(Held { connection, server }))
    };
    tokio::time::timeout(ANSWER_MAX, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Waits for the lock for a while.
async fn lock(options: &PgConnectOptions, before: Option<&(i32, String)>) -> Result<Held, DbError> {
    let open = |cause| DbError::Open { name: "postgres".to_owned(), cause };
    let mut said = false;
    let work = async {
        loop {
            if let Some(held) = try_lock(options, before).await.map_err(open)? {
                return Ok(held);
            }
            if !said {
                tracing::warn!("another process works on this database; waiting for it to end");
                said = true;
            }
            tokio::time::sleep(WAIT).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, work).await.unwrap_or(Err(DbError::InUse))
}

impl Alone {
    /// Takes the lock, and keeps it.
    ///
    /// Errors: `InUse` when another process does not let go of it; `Open` when there is no connection.
    pub async fn take(options: &PgConnectOptions) -> Result<Alone, DbError> {
        let held = Arc::new(Mutex::new(Some(lock(options, None).await?)));
        let keeper = tokio::spawn(keep(held.clone(), options.clone())).abort_handle();
        Ok(Alone { held, keeper })
    }

    /// Lets go of the lock.
    pub async fn end(&self) {
        self.keeper.abort();
        if let Some(held) = self.held.lock().await.take() {
            // A connection that cannot be closed is gone already.
            let _ = tokio::time::timeout(CLOSE_MAX, held.connection.close()).await;
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Looks after the connection, and takes the lock anew when it broke.
async fn keep(shared: Arc<Mutex<Option<Held>>>, options: PgConnectOptions) {
    loop {
        tokio::time::sleep(LOOK).await;
        let mut held = shared.lock().await;
        let Some(own) = held.as_mut() else { return };
        if matches!(tokio::time::timeout(ANSWER_MAX, own.connection.ping()).await, Ok(Ok(()))) {
            continue;
        }
        let before = own.server.clone();
        tracing::warn!("the connection that keeps other processes out of the database broke; taking the lock anew");
        *held = loop {
            match lock(&options, Some(&before)).await {
                Ok(held) => break Some(held),
                Err(DbError::InUse) => {
                    tracing::error!("another process works on this database now; this one must not go on beside it, and aborts");
                    std::process::abort();
                }
                // The server is away, and so it is for everybody else.
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the database is away");
                    tokio::time::sleep(LOOK).await;
                }
            }
        };
        tracing::info!("the lock on the database is ours again");
    }
}
