//! PostgreSQL servers that the configuration lists: questions, and the promotion of a standby.

use std::io::ErrorKind;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value as Json, json};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgTypeInfo};
use sqlx::{AssertSqlSafe, Column, Connection, Executor, Row, SqlSafeStr, Statement, TypeInfo};
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;
use tocsin_core::run::settings::{Database, Settings};
use tocsin_core::run::value::Value;
use tocsin_core::time::Span;

use super::{Begin, Issue, Means};
use crate::client::answer::with_causes;
use crate::client::reveal;

/// The code of a server that starts or stops.
pub(super) const STARTING: &str = "57P03";
const ROWS_MAX: usize = 1_000;
/// What the rows of an answer hold.
const ROWS_BYTES_MAX: usize = 1 << 20;
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// One look at one of several servers.
pub(super) const LOOK_MAX: Duration = Duration::from_secs(2);
/// A server that was told to end a statement says so a little later.
const WORD_MAX: Duration = Duration::from_secs(2);

pub(super) fn database<'s>(settings: &'s Settings, name: &str) -> Result<&'s Database, String> {
    settings.databases.iter().find(|one| one.name == name).ok_or_else(|| format!("the configuration lists no database {name:?}"))
}

/// Returns how a database is connected to; its password is read now.
pub(super) async fn options(database: &Database) -> Result<PgConnectOptions, String> {
    // The parser's own fault could show the address, which may hold more than it should.
    let options =
        PgConnectOptions::from_str(&database.url).map_err(|_| format!("the address of {} cannot be read", database.name))?;
    let options = options.application_name("tocsin");
    match &database.password {
        Some(password) => {
            let password = reveal(password)
                .await
                .map_err(|error| format!("cannot read the password of {}: {}", database.name, with_causes(&error)))?;
            Ok(options.password(&password))
        }
        None => Ok(options),
    }
}

pub(super) async fn connect(database: &Database, most: Duration) -> Result<PgConnection, String> {
    let options = options(database).await?;
    let name = &database.name;
    match tokio::time::timeout(most, PgConnection::connect_with(&options)).await {
        Ok(connected) => connected.map_err(|error| format!("cannot connect to {name}: {}", with_causes(&error))),
        Err(_) => Err(format!("{name} does not answer")),
    }
}

/// Has the server end statements of the transaction by itself.
async fn set_timeout(connection: &mut PgConnection, most: Span) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('statement_timeout', $1, true)")
        .bind(most.0.max(1).to_string())
        .execute(connection)
        .await
        .map(drop)
}

/// Asks a question in a transaction that can do no more than read.
pub(super) async fn query(means: &Means, issue: &Issue) -> Outcome {
    let Request::Sql { source, query, bind, .. } = &issue.request else {
        return Outcome::NotDone("this is no statement".to_owned());
    };
    let settings = means.settings.borrow().clone();
    let found = match database(&settings, source) {
        Ok(database) => connect(database, CONNECT_MAX.min(issue.timeout.to_std())).await,
        Err(why) => Err(why),
    };
    let mut connection = match found {
        Ok(connection) => connection,
        Err(why) => return Outcome::NotDone(why),
    };
    match rows(&mut connection, query, bind, issue.timeout).await {
        Ok(rows) => Outcome::Answer(json!({ "rows": means.redactor().await.json(Json::Array(rows), &issue.capture) })),
        Err(why) => Outcome::NotDone(format!("{source}: {why}")),
    }
}

/// Returns the rows of a question, each a list in the order of the columns.
async fn rows(connection: &mut PgConnection, query: &str, bind: &[Value], timeout: Span) -> Result<Vec<Json>, String> {
    let said = |error: sqlx::Error| with_causes(&error);
    let query = query.trim().trim_end_matches(';').trim_end();
    let types: Vec<PgTypeInfo> = bind.iter().map(type_of).collect();
    let mut transaction = connection.begin_with("BEGIN READ ONLY").await.map_err(said)?;
    set_timeout(&mut transaction, timeout).await.map_err(said)?;
    // The text is the document's own; values are bound.
    let statement =
        (&mut *transaction).prepare_with(AssertSqlSafe(query.to_owned()).into_sql_str(), &types).await.map_err(said)?;
    let kinds: Vec<String> = statement.columns().iter().map(|column| column.type_info().name().to_owned()).collect();
    if kinds.is_empty() {
        return Err("the statement gives no rows; only a question may stand here".to_owned());
    }
    // As a part of a question of ours it can be nothing else than a question, and every value comes as text.
    let names: Vec<String> = (0..kinds.len()).map(|index| format!("c{index}")).collect();
    let texts: Vec<String> = names.iter().map(|name| format!("q.{name}::text")).collect();
    let limit = ROWS_MAX + 1;
    let whole = format!("SELECT {} FROM (\n{query}\n) AS q({}) LIMIT {limit}", texts.join(", "), names.join(", "));
    let mut asked = sqlx::query(AssertSqlSafe(whole));
    for value in bind {
        asked = match value {
            Value::Int(number) => asked.bind(*number),
            Value::Float(number) => asked.bind(*number),
            Value::Bool(truth) => asked.bind(*truth),
            Value::Duration(span) => asked.bind(span.seconds()),
            Value::Word(text) | Value::Name(text) | Value::Text(text) => asked.bind(text.clone()),
        };
    }
    let found: Vec<PgRow> = asked.fetch_all(&mut *transaction).await.map_err(said)?;
    if found.len() > ROWS_MAX {
        return Err(format!("the question gives more than {ROWS_MAX} rows; ask for fewer"));
    }
    let (mut rows, mut bytes) = (Vec::with_capacity(found.len()), 0);
    for row in &found {
        let mut cells = Vec::with_capacity(kinds.len());
        for (index, kind) in kinds.iter().enumerate() {
            let text: Option<String> = row.try_get(index).map_err(said)?;
            bytes += text.as_ref().map_or(4, String::len);
            cells.push(cell(text, kind));
        }
        rows.push(Json::Array(cells));
    }
    if bytes > ROWS_BYTES_MAX {
        return Err("the rows take more than 1 MiB; ask for fewer".to_owned());
    }
    transaction.rollback().await.map_err(said)?;
    Ok(rows)
}

fn type_of(value: &Value) -> PgTypeInfo {
    PgTypeInfo::with_name(match value {
        Value::Int(_) => "INT8",
        Value::Float(_) | Value::Duration(_) => "FLOAT8",
        Value::Bool(_) => "BOOL",
        Value::Word(_) | Value::Name(_) | Value::Text(_) => "TEXT",
    })
}

/// Returns a value in JSON by the type of its column; what JSON has no type for stays text.
fn cell(text: Option<String>, kind: &str) -> Json {
    let Some(text) = text else { return Json::Null };
    match kind {
        "BOOL" => (text == "true" || text == "t").into(),
        "INT2" | "INT4" | "INT8" | "OID" | "FLOAT4" | "FLOAT8" | "NUMERIC" | "JSON" | "JSONB" => {
            serde_json::from_str(&text).unwrap_or(Json::String(text))
        }
        _ => Json::String(text),
    }
}

pub(super) async fn is_standby(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(connection).await
}

/// Makes a standby a primary; one that is a primary already stays so.
pub(super) async fn promote(means: &Means, issue: &Issue, begin: Begin<'_, impl AsyncFnOnce(Option<String>)>) -> Outcome {
    let Request::PgPromote { source, wait } = &issue.request else { return Outcome::NotDone("this is no promotion".to_owned()) };
    let settings = means.settings.borrow().clone();
    let database = match database(&settings, source) {
        Ok(database) => database,
        Err(why) => return Outcome::NotDone(why),
    };
    let mut connection = match connect(database, CONNECT_MAX.min(issue.timeout.to_std())).await {
        Ok(connection) => connection,
        Err(why) => return Outcome::NotDone(why),
    };
    match is_standby(&mut connection).await {
        Ok(true) => {}
        Ok(false) => return Outcome::Answer(json!({ "promoted": true, "already": true })),
        Err(error) => return Outcome::NotDone(format!("{source} does not say what it is: {}", with_causes(&error))),
    }
    if let Err(late) = begin.now(None).await {
        return late;
    }
    let seconds = i32::try_from(wait.0.max(1_000) / 1_000).unwrap_or(i32::MAX);
    let asked = sqlx::query_scalar::<_, bool>("SELECT pg_promote(true, $1)").bind(seconds).fetch_one(&mut connection);
    match tokio::time::timeout(wait.to_std().max(Duration::from_secs(1)) + WORD_MAX, asked).await {
        Ok(Ok(promoted)) => Outcome::Answer(json!({ "promoted": promoted })),
        // The server said no before it did anything.
        Ok(Err(error @ sqlx::Error::Database(_))) => {
            Outcome::NotDone(format!("{source} refuses to be promoted: {}", with_causes(&error)))
        }
        Ok(Err(error)) => Outcome::Unknown(format!("{source} did not say whether it was promoted: {}", with_causes(&error))),
        Err(_) => Outcome::Unknown(format!("{source} did not say within {wait} whether it was promoted")),
    }
}

/// Asks each database whether it accepts writes; exactly one may.
pub(super) async fn one_writer(means: &Means, issue: &Issue) -> Outcome {
    let Request::OneWriter { sources } = &issue.request else { return Outcome::NotDone("this is no question".to_owned()) };
    let settings = means.settings.borrow().clone();
    let (mut writable, mut unknown) = (Vec::new(), Vec::new());
    for source in sources {
        let database = match database(&settings, source) {
            Ok(database) => database,
            Err(why) => return Outcome::NotDone(why),
        };
        match accepts_writes(database).await {
            Some(true) => writable.push(source.clone()),
            Some(false) => {}
            None => unknown.push(source.clone()),
        }
    }
    // Whom we do not reach may take the writes of others all the same.
    let ok = writable.len() == 1 && unknown.is_empty();
    Outcome::Answer(json!({ "writable": writable, "unknown": unknown, "ok": ok }))
}

/// Returns whether a server accepts writes; one at whose address nobody listens does not. None: it cannot be told.
async fn accepts_writes(database: &Database) -> Option<bool> {
    let options = options(database).await.ok()?;
    let look = async {
        let mut connection = PgConnection::connect_with(&options).await?;
        sqlx::query_scalar("SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'")
            .fetch_one(&mut connection)
            .await
    };
    match tokio::time::timeout(LOOK_MAX, look).await {
        Ok(Ok(accepts)) => Some(accepts),
        Ok(Err(error)) if is_away(&error) => Some(false),
        Ok(Err(_)) | Err(_) => None,
    }
}

/// Returns whether nobody listens where the server should be, or it is on its way up or down.
pub(super) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound),
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == STARTING),
        _ => false,
    }
}
