//! Proof that a backup can be restored: a scratch server of its own, made from a base backup and the archived WAL, asked what it holds,
//! and removed again.
//!
//! The server listens on a socket in its own folder and nowhere else, archives nothing, runs as a user without rights, and ends with us:
//! its watcher holds it on a leash, and removes its folder.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};
use tocsin_core::run::action::RestoreQuery;
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;
use tocsin_core::run::settings::Restore;

use super::exec::Watched;
use super::order::{ANSWER, Answer, Ask, Limits, Order, read};
use super::{Begin, Issue, Means, account, postgres};
use crate::client::answer::with_causes;
use crate::clock::Stopwatch;

/// The table that drills write into, once a second.
const CANARY_TABLE: &str = "tocsin_canary";
const TABLES_MAX: i64 = 10_000;
/// Faults that are told by name.
const FAULTS_SHOWN: usize = 20;
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Paths of sockets are short: the folder of ours may lie too deep.
const SOCKET_BYTES_MAX: usize = 100;
/// The number in the socket's name; nothing listens on it.
const PORT: u16 = 5432;
const PATH: &str = "/usr/bin:/bin";

/// Settings of the scratch server; none of the original's are taken over.
///
/// A standby reads what lies in `pg_wal` to its end, over changes of the timeline, and then waits for the word to become a primary.
fn settings(socket: &Path) -> String {
    let (socket, data) = (socket.display(), socket.join("data"));
    let data = data.display();
    format!(
        "listen_addresses = ''\nunix_socket_directories = '{socket}'\nunix_socket_permissions = 0700\nport = {PORT}\n\
         hba_file = '{data}/tocsin_hba.conf'\nident_file = '{data}/tocsin_ident.conf'\narchive_mode = off\nhot_standby = off\nfsync = off\n\
         full_page_writes = off\nmax_connections = 20\nmax_wal_senders = 0\nautovacuum = off\nlogging_collector = off\n\
         shared_buffers = '64MB'\nrecovery_target_timeline = 'latest'\nprimary_conninfo = ''\nrestore_command = ''\n\
         allow_system_table_mods = on\nlog_min_messages = warning\njit = off\n"
    )
}

/// Copies a folder with all that it holds, and gives it away. Links are not followed: what they lead to is no part of the backup.
fn copy(from: &Path, to: &Path, user: Option<(u32, u32)>) -> io::Result<()> {
    let give = |path: &Path| user.map_or(Ok(()), |(user, group)| chown(path, Some(user), Some(group)));
    fs::DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, place) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &place, user)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &place)?;
            fs::set_permissions(&place, fs::Permissions::from_mode(0o600))?;
            give(&place)?;
        } else if kind.is_symlink() {
            return Err(io::Error::other(format!(
                "{} is a link; a backup with tablespaces or links cannot be restored beside its original",
                entry.path().display()
            )));
        }
    }
    give(to)
}

fn write(path: &Path, text: &str, user: Option<(u32, u32)>) -> io::Result<()> {
    use std::io::Write;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(text.as_bytes())?;
    user.map_or(Ok(()), |(user, group)| chown(path, Some(user), Some(group)))
}

/// Lays out the scratch server's folder.
fn lay_out(restore: &Restore, work: &Path, user: Option<(u32, u32)>) -> Result<(), String> {
    let fault = |what: &str, error: io::Error| format!("cannot copy {what}: {error}");
    let data = work.join("data");
    copy(Path::new(&restore.data), &data, user).map_err(|error| fault(&format!("the base backup {}", restore.data), error))?;
    if !data.join("PG_VERSION").exists() {
        return Err(format!("{} is no base backup: it holds no PG_VERSION", restore.data));
    }
    for gone in ["postmaster.pid", "postmaster.opts", "recovery.signal", "postgresql.auto.conf"] {
        match fs::remove_file(data.join(gone)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault(gone, error)),
            Ok(()) | Err(_) => {}
        }
    }
    let wal = data.join("pg_wal");
    for entry in fs::read_dir(&restore.archive).map_err(|error| fault(&format!("the archive {}", restore.archive), error))? {
        let entry = entry.map_err(|error| fault("the archive", error))?;
        let (name, kind) = (entry.file_name(), entry.file_type().map_err(|error| fault("the archive", error))?);
        let Some(name) = name.to_str().filter(|name| kind.is_file() && is_wal(name)) else { continue };
        let place = wal.join(name);
        fs::copy(entry.path(), &place).map_err(|error| fault(name, error))?;
        if let Some((user, group)) = user {
            chown(&place, Some(user), Some(group)).map_err(|error| fault(name, error))?;
        }
    }
    if let Some(first) = first_segment(&data)
        && !wal.join(&first).exists()
    {
        // The server would wait for it for ever.
        return Err(format!("neither the archive nor the base backup holds {first}, at which the backup begins"));
    }
    let files = [
        ("tocsin.conf", settings(work)),
        ("tocsin_hba.conf", "local all all trust\n".to_owned()),
        ("tocsin_ident.conf", String::new()),
        ("postgresql.auto.conf", String::new()),
        ("standby.signal", String::new()),
    ];
    for (name, text) in files {
        write(&data.join(name), &text, user).map_err(|error| fault(name, error))?;
    }
    Ok(())
}

/// Returns the segment of WAL at which a backup begins, as its label says; a copy of a server that was stopped has no label.
fn first_segment(data: &Path) -> Option<String> {
    let label = fs::read_to_string(data.join("backup_label")).ok()?;
    let line = label.lines().find(|line| line.starts_with("START WAL LOCATION:"))?;
    let name = line.split("(file ").nth(1)?.trim_end_matches(')');
    is_wal(name).then(|| name.to_owned())
}

/// Returns whether a file of an archive is a segment of WAL or the history of a timeline, as they lie there unpacked.
fn is_wal(name: &str) -> bool {
    let hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex(name, 24) || name.strip_suffix(".history").is_some_and(|name| hex(name, 8))
}

/// Returns an error when a user cannot pass through a folder above: the server makes its paths absolute.
fn passable(folder: &Path, user: Option<(u32, u32)>) -> Result<(), String> {
    let Some((user, group)) = user else { return Ok(()) };
    for above in folder.ancestors().filter(|above| above.exists()) {
        let found = fs::metadata(above).map_err(|error| format!("cannot look at {}: {error}", above.display()))?;
        let own = if found.uid() == user {
            0o100
        } else if found.gid() == group {
            0o010
        } else {
            0o001
        };
        if found.mode() & own == 0 {
            return Err(format!(
                "the user that programs run as may not pass through {}, where the copy would lie",
                above.display()
            ));
        }
    }
    Ok(())
}

/// Restores a backup and asks what it holds.
pub(super) async fn check(means: &Means, issue: &Issue, begin: Begin<'_, impl AsyncFnOnce(Option<String>)>) -> Outcome {
    let Request::PgRestoreCheck { source, queries } = &issue.request else {
        return Outcome::NotDone("this is no restore".to_owned());
    };
    let settings = means.settings.borrow().clone();
    let found = postgres::database(&settings, source).and_then(|database| {
        let restore = database.restore.as_ref().ok_or_else(|| format!("the configuration says nothing of restoring {source}"))?;
        Ok((database.clone(), restore.clone()))
    });
    let (database, restore) = match found {
        Ok(found) => found,
        Err(why) => return Outcome::NotDone(why),
    };
    let user = match account::of(settings.user.as_deref()) {
        Ok(user) => user,
        Err(why) => return Outcome::NotDone(why),
    };
    let original = match postgres::options(&database).await {
        Ok(options) => options,
        Err(why) => return Outcome::NotDone(why),
    };
    if let Err(why) = passable(&means.folder, user) {
        return Outcome::NotDone(why);
    }
    if let Err(late) = begin.now(None).await {
        return late;
    }
    let scratch = Scratch { means, restore, user };
    match scratch.run(&original, queries).await {
        Ok(answer) => Outcome::Answer(means.redactor().await.json(answer, &issue.capture)),
        // That the backup cannot be restored is what the check is there to find out.
        Err(why) => {
            Outcome::Answer(json!({ "ok": false, "why": means.redactor().await.text(&why, &issue.capture, 4_000, false) }))
        }
    }
}

struct Scratch<'m> {
    means: &'m Means,
    restore: Restore,
    user: Option<(u32, u32)>,
}

impl Scratch<'_> {
    fn program(&self, name: &str) -> PathBuf {
        Path::new(&self.restore.bin).join(name)
    }

    /// Starts the server; it ends, and its folder goes, when what is returned is dropped.
    async fn start(&self) -> Result<Watched, String> {
        let postgres = self.program("postgres").display().to_string();
        let order = Order {
            program: postgres.clone(),
            sha256: Vec::new(),
            argv: vec![postgres, "-D".to_owned(), "data".to_owned(), "-c".to_owned(), "config_file=data/tocsin.conf".to_owned()],
            env: [("PATH", PATH), ("LC_ALL", "C"), ("TZ", "UTC")].map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            user: self.user,
            timeout_ms: None,
            output_max: 64 << 10,
            limits: Limits::default(),
            ask: Ask::Quit,
            leash: true,
        };
        let (restore, user) = (self.restore.clone(), self.user);
        let mut watched = Watched::start(self.means, &order, move |work| lay_out(&restore, work, user)).await?;
        watched.say_begin().await.map_err(|error| format!("cannot start the server: {error}"))?;
        Ok(watched)
    }

    async fn run(&self, original: &PgConnectOptions, queries: &[RestoreQuery]) -> Result<Json, String> {
        let watch = Stopwatch::start();
        let mut watched = self.start().await?;
        let result = self.ask(&mut watched, original, queries, watch).await;
        let removed = watched.end().await;
        let mut answer = result?;
        answer["removed"] = removed.into();
        if !removed {
            answer["ok"] = false.into();
            answer["why"] = "the scratch server could not be removed".into();
        }
        Ok(answer)
    }

    async fn ask(
        &self,
        watched: &mut Watched,
        original: &PgConnectOptions,
        queries: &[RestoreQuery],
        watch: Stopwatch,
    ) -> Result<Json, String> {
        let socket = watched.work();
        if socket.as_os_str().len() > SOCKET_BYTES_MAX {
            return Err(format!(
                "the path {} is too long for a socket; keep the data in a folder nearer to the root",
                socket.display()
            ));
        }
        self.promote(watched).await?;
        let mut connection = self.connect(watched, original).await?;
        let mut answer = json!({ "ok": true, "restore_seconds": watch.seconds() });
        let mut faults: Vec<String> = Vec::new();
        for query in queries {
            match query {
                RestoreQuery::RowCounts => {
                    answer["row_counts"] = row_counts(&mut connection).await.map_err(|error| with_causes(&error))?
                }
                RestoreQuery::ConstraintCheck => {
                    let broken = constraints(&mut connection).await.map_err(|error| with_causes(&error))?;
                    answer["constraints_broken"] = broken.clone().into();
                    faults.extend(broken.into_iter().map(|name| format!("the constraint {name} does not hold")));
                    match self.amcheck(watched, &connection_database(&mut connection).await?).await? {
                        None => answer["amcheck"] = "not installed".into(),
                        Some(Ok(())) => answer["amcheck"] = "good".into(),
                        Some(Err(said)) => {
                            answer["amcheck"] = said.clone().into();
                            faults.push(format!("pg_amcheck found damage: {said}"));
                        }
                    }
                }
                RestoreQuery::CanaryMax => {
                    answer["canary"] = canary(&mut connection).await.map_err(|error| with_causes(&error))?
                }
            }
        }
        // A goodbye that is not heard changes nothing.
        let _ = connection.close().await;
        if !faults.is_empty() {
            answer["ok"] = false.into();
            faults.truncate(FAULTS_SHOWN);
            answer["why"] = faults.join("; ").into();
        }
        answer["check_seconds"] = watch.seconds().into();
        Ok(answer)
    }

    /// Has the server become a primary, once it has read all that there is.
    async fn promote(&self, watched: &mut Watched) -> Result<(), String> {
        loop {
            ended(watched)?;
            let mut command = tokio::process::Command::new(self.program("pg_ctl"));
            command.args(["promote", "--no-wait", "-D"]).arg(watched.work().join("data"));
            // The server takes the word as soon as it reads WAL.
            if self.helper(command).await?.status.success() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn connect(&self, watched: &mut Watched, original: &PgConnectOptions) -> Result<PgConnection, String> {
        let options = original.clone().socket(watched.work()).port(PORT).ssl_mode(sqlx::postgres::PgSslMode::Disable);
        let connection = loop {
            ended(watched)?;
            match PgConnection::connect_with(&options).await {
                Ok(connection) => break connection,
                // It starts, or reads.
                Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == postgres::STARTING) => {}
                Err(error @ sqlx::Error::Database(_)) => {
                    return Err(format!("cannot look into the copy: {}", with_causes(&error)));
                }
                Err(_) => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        self.as_owner(connection, &options).await
    }

    /// Connects anew as the one who may see everything in a server; the original's user may see less.
    async fn as_owner(&self, mut connection: PgConnection, options: &PgConnectOptions) -> Result<PgConnection, String> {
        let fault = |error: sqlx::Error| format!("cannot look into the copy: {}", with_causes(&error));
        let owner: String = sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE oid = 10")
            .fetch_one(&mut connection)
            .await
            .map_err(fault)?;
        PgConnection::connect_with(&options.clone().username(&owner)).await.map_err(fault)
    }

    /// Has the storage of tables and indexes read through. None: the program for that is not installed.
    async fn amcheck(&self, watched: &Watched, place: &(String, String)) -> Result<Option<Result<(), String>>, String> {
        let program = self.program("pg_amcheck");
        if !program.exists() {
            return Ok(None);
        }
        let (database, user) = place;
        let mut command = tokio::process::Command::new(program);
        command.args(["--install-missing", "--no-password", "-h"]).arg(watched.work());
        command.args(["-p", &PORT.to_string(), "-U", user, "-d", database]);
        let output = self.helper(command).await?;
        if output.status.success() {
            return Ok(Some(Ok(())));
        }
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()).join(" ");
        let said: String = said.chars().take(1_000).collect();
        // Without its extension it cannot look; that is no damage.
        Ok(if said.contains("could not open extension control file") { None } else { Some(Err(said)) })
    }

    /// Runs one of the server's own programs as the server's user.
    async fn helper(&self, mut command: tokio::process::Command) -> Result<std::process::Output, String> {
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        let name = command.as_std().get_program().to_owned();
        let run = command
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        run.await.map_err(|error| format!("cannot run {}: {error}", name.display()))
    }
}

/// Returns an error with what the server said last, when it has ended.
fn ended(watched: &mut Watched) -> Result<(), String> {
    if let Ok(None) = watched.child.try_wait() {
        return Ok(());
    }
    let answer = read::<Answer>(watched.folder(), ANSWER).ok().flatten().unwrap_or_default();
    let said = answer.refused.unwrap_or(answer.stderr);
    let tail: Vec<&str> = said.lines().rev().take(5).collect();
    Err(format!("the copy does not start: {}", tail.into_iter().rev().collect::<Vec<_>>().join(" | ")))
}

async fn connection_database(connection: &mut PgConnection) -> Result<(String, String), String> {
    let asked = sqlx::query_as("SELECT current_database()::text, current_user::text").fetch_one(connection);
    asked.await.map_err(|error| with_causes(&error))
}

/// The tables that people made.
const USER_TABLES: &str = "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' \
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'";

/// Returns how many rows each table has.
async fn row_counts(connection: &mut PgConnection) -> Result<Json, sqlx::Error> {
    let listed = format!(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN ({USER_TABLES}) ORDER BY 1 LIMIT $1"
    );
    let names: Vec<String> = sqlx::query_scalar(AssertSqlSafe(listed)).bind(TABLES_MAX).fetch_all(&mut *connection).await?;
    let mut counts = Map::new();
    for name in names {
        // The server itself wrote the name in quotes.
        let count: i64 =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {name}"))).fetch_one(&mut *connection).await?;
        counts.insert(name, count.into());
    }
    Ok(Json::Object(counts))
}

/// Has the server hold every row against every foreign key and every check anew; returns the constraints that do not hold.
async fn constraints(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    // What counts as validated is not looked at again, so in the copy nothing counts as validated.
    let own = format!("contype IN ('f', 'c') AND conparentid = 0 AND conrelid IN ({USER_TABLES})");
    let listed = format!(
        "SELECT format('%s', conrelid::regclass), format('%I', conname) FROM pg_constraint WHERE {own} ORDER BY 1, 2 LIMIT $1"
    );
    let all: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(listed)).bind(TABLES_MAX).fetch_all(&mut *connection).await?;
    sqlx::query(AssertSqlSafe(format!("UPDATE pg_constraint SET convalidated = false WHERE {own}")))
        .execute(&mut *connection)
        .await?;
    let mut broken = Vec::new();
    for (table, name) in all {
        let validate = format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}");
        match sqlx::query(AssertSqlSafe(validate)).execute(&mut *connection).await {
            Ok(_) => {}
            // The class of broken constraints.
            Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code.starts_with("23")) => {
                broken.push(format!("{name} of {table}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(broken)
}

/// Returns the newest canary; null where there is no table of them.
async fn canary(connection: &mut PgConnection) -> Result<Json, sqlx::Error> {
    let there: bool =
        sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(CANARY_TABLE).fetch_one(&mut *connection).await?;
    if !there {
        return Ok(Json::Null);
    }
    let asked = format!("SELECT count(*), max(sent_at_ms) FROM {CANARY_TABLE}");
    let (rows, newest): (i64, Option<i64>) = sqlx::query_as(AssertSqlSafe(asked)).fetch_one(connection).await?;
    Ok(json!({ "rows": rows, "newest_at_ms": newest }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wal_is_taken_from_an_archive() {
        for name in ["000000010000000000000003", "00000002.history"] {
            assert!(is_wal(name), "{name}");
        }
        for name in [
            "000000010000000000000003.gz",
            "000000010000000000000002.00000028.backup",
            "000000010000000000000003.partial",
            "x",
            "",
        ] {
            assert!(!is_wal(name), "{name}");
        }
    }
}
