//! Canary writes: a row every so often to whichever database accepts writes, so that afterwards it can be told what was lost.
//!
//! Each write is logged with its instants before the next one leaves. What is written to is a table of our own, known by its comment:
//! another table of the same name is neither written nor removed.

pub mod log;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};
use tocsin_core::run::lever::Canary;
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;
use tocsin_core::run::settings::Settings;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{Mutex, oneshot, watch as channel};
use tokio::task::JoinHandle;

use super::postgres::{LOOK_MAX, connect, database, is_standby};
use super::{Begin, Issue, Means};
use crate::act::step::journey::patience;
use crate::act::step::order::write_whole;
use crate::client::answer::with_causes;
use crate::clock::{self, Stopwatch};
use log::{Line, Log, Tally};

/// How a table of ours is told from one of somebody else's.
const MARK: &str = "canary writes of Tocsin";
/// More often would be a load and no instrument.
const EVERY_MIN: Span = Span(50);
/// A canary that nobody stops ends by itself after so many writes.
const WRITES_MAX: i64 = 1_000_000;
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is stored of a canary, so that the next process of ours goes on with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    canary: Canary,
    started: Timestamp,
    running: bool,
}

/// The canaries that this process writes.
#[derive(Default)]
pub struct Canaries(Mutex<BTreeMap<String, Writing>>);

struct Writing {
    /// Dropped: the writing ends after the write that is under way.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Where canaries keep their notes and logs.
fn folder(means: &Means) -> PathBuf {
    means.folder.join("canaries")
}

fn note_name(tag: &str) -> String {
    format!("{}.json", &crate::id::digest(tag)[..32])
}

/// Returns a name as SQL takes it.
fn quoted(table: &str) -> String {
    format!("\"{}\"", table.replace('"', "\"\""))
}

/// What a look at a table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Absent,
    Ours,
    Foreign,
}

async fn look(connection: &mut PgConnection, table: &str) -> Result<Table, sqlx::Error> {
    let found: Option<Option<String>> =
        sqlx::query_scalar("SELECT obj_description(to_regclass($1)) WHERE to_regclass($1) IS NOT NULL")
            .bind(quoted(table))
            .fetch_optional(connection)
            .await?;
    Ok(match found {
        None => Table::Absent,
        Some(comment) if comment.as_deref() == Some(MARK) => Table::Ours,
        Some(_) => Table::Foreign,
    })
}

/// Makes the table where it is not there.
async fn make(connection: &mut PgConnection, table: &str) -> Result<(), String> {
    let fault = |error: sqlx::Error| format!("cannot make the table {table}: {}", with_causes(&error));
    match look(connection, table).await.map_err(fault)? {
        Table::Ours => return Ok(()),
        Table::Foreign => return Err(format!("the table {table} is somebody else's; name another one")),
        Table::Absent => {}
    }
    let name = quoted(table);
    // One statement, so that there never is a table of ours without its mark.
    let create = format!(
        "BEGIN; CREATE TABLE {name} (tag TEXT NOT NULL, number BIGINT NOT NULL, sent_at_ms BIGINT NOT NULL, PRIMARY KEY (tag, number)); \
         COMMENT ON TABLE {name} IS '{MARK}'; COMMIT"
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(connection).await.map(drop).map_err(fault)
}

/// Connects to the first source that accepts writes and has the table, or can have it.
async fn writable(settings: &Settings, canary: &Canary) -> Result<(String, PgConnection), String> {
    let mut faults = Vec::new();
    for source in &canary.sources {
        let attempt = async {
            let mut connection = connect(database(settings, source)?, LOOK_MAX).await?;
            if is_standby(&mut connection).await.map_err(|error| with_causes(&error))? {
                return Err(format!("{source} is a standby"));
            }
            make(&mut connection, &canary.table).await?;
            Ok(connection)
        };
        match tokio::time::timeout(LOOK_MAX, attempt).await {
            Ok(Ok(connection)) => return Ok((source.clone(), connection)),
            Ok(Err(why)) => faults.push(why),
            Err(_) => faults.push(format!("{source} does not answer")),
        }
    }
    Err(faults.join("; "))
}

/// One that writes.
struct Writer {
    settings: channel::Receiver<Arc<Settings>>,
    canary: Canary,
    log: Log,
    number: i64,
    place: Option<(String, PgConnection)>,
}

impl Writer {
    async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let every = self.canary.every.max(EVERY_MIN).to_std();
        let mut beat = tokio::time::interval(every);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.number < WRITES_MAX {
            tokio::select! {
                biased;
                _ = &mut stop => return,
                _ = beat.tick() => {}
            }
            let line = self.write().await;
            if let Err(error) = self.log.add(&line) {
                tracing::error!(tag = self.canary.tag, %error, "cannot log a canary write; the writing ends, since it would prove nothing");
                return;
            }
        }
    }

    async fn write(&mut self) -> Line {
        self.number += 1;
        let (number, sent_at) = (self.number, clock::now());
        if self.place.is_none() {
            let settings = self.settings.borrow().clone();
            self.place = writable(&settings, &self.canary).await.ok();
        }
        let Some((source, connection)) = &mut self.place else {
            return Line { number, sent_at, acknowledged_at: None, source: None };
        };
        let insert = format!("INSERT INTO {} (tag, number, sent_at_ms) VALUES ($1, $2, $3)", quoted(&self.canary.table));
        let asked = sqlx::query(AssertSqlSafe(insert)).bind(&self.canary.tag).bind(number).bind(sent_at.0).execute(connection);
        if let Ok(Ok(_)) = tokio::time::timeout(LOOK_MAX, asked).await {
            return Line { number, sent_at, acknowledged_at: Some(clock::now()), source: Some(source.clone()) };
        }
        self.place = None;
        Line { number, sent_at, acknowledged_at: None, source: None }
    }
}

impl Canaries {
    async fn begin(&self, means: &Means, canary: &Canary) -> Result<(), String> {
        let mut all = self.0.lock().await;
        if all.get(&canary.tag).is_some_and(|writing| !writing.task.is_finished()) {
            return Ok(());
        }
        let fault = |error: std::io::Error| format!("cannot use the log of canary writes: {error}");
        let path = log::path(&folder(means), &canary.tag);
        let number = log::read(&path).map_err(fault)?.iter().map(|line| line.number).max().unwrap_or(0);
        let (stop, stopped) = oneshot::channel();
        let log = Log::open(&path).map_err(fault)?;
        let writer = Writer { settings: means.settings.clone(), canary: canary.clone(), log, number, place: None };
        let task = tokio::spawn(writer.run(stopped));
        all.insert(canary.tag.clone(), Writing { stop, task });
        Ok(())
    }

    /// Ends a canary, once the write that is under way is logged.
    async fn end(&self, tag: &str) {
        let Some(Writing { stop, task }) = self.0.lock().await.remove(tag) else { return };
        drop(stop);
        // A task that failed has ended, too.
        let _ = task.await;
    }
}

/// Goes on with the canaries that an earlier process of ours was writing; for the start, before runs are restored.
pub async fn resume(means: &Means) {
    for entry in fs::read_dir(folder(means)).into_iter().flatten().flatten() {
        let is_note = entry.path().extension().is_some_and(|extension| extension == "json");
        let Some(note) =
            fs::read(entry.path()).ok().filter(|_| is_note).and_then(|text| serde_json::from_slice::<Note>(&text).ok())
        else {
            continue;
        };
        if note.running
            && let Err(why) = means.canaries.begin(means, &note.canary).await
        {
            tracing::error!(tag = note.canary.tag, why, "cannot go on with canary writes");
        }
    }
}

fn read_note(folder: &Path, tag: &str) -> Result<Option<Note>, String> {
    super::order::read(folder, &note_name(tag)).map_err(|error| format!("cannot read what is known of the canary: {error}"))
}

fn put_note(folder: &Path, note: &Note) -> Result<(), String> {
    write_whole(folder, &note_name(&note.canary.tag), note)
        .map_err(|error| format!("cannot store what is known of the canary: {error}"))
}

pub(super) async fn carry_out(means: &Means, issue: &Issue, begin: Begin<'_, impl AsyncFnOnce(Option<String>)>) -> Outcome {
    let done = match &issue.request {
        Request::CanaryStart(canary) => {
            if let Err(late) = begin.now(None).await {
                return late;
            }
            start(means, canary).await
        }
        Request::CanaryStop(canary) => stop(means, canary).await,
        Request::CanaryRead(canary) => count(means, canary).await,
        Request::CanaryDrop(canary) => {
            if let Err(late) = begin.now(None).await {
                return late;
            }
            remove(means, canary, patience(issue.timeout)).await
        }
        _ => Err("this is no canary".to_owned()),
    };
    match done {
        Ok(answer) => Outcome::Answer(answer),
        Err(why) => Outcome::NotDone(why),
    }
}

async fn start(means: &Means, canary: &Canary) -> Result<serde_json::Value, String> {
    let folder = folder(means);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let settings = means.settings.borrow().clone();
    let known = read_note(&folder, &canary.tag)?;
    if known.is_none() {
        // What can never be written is said at once.
        writable(&settings, canary).await?;
    }
    let started = known.map_or_else(clock::now, |note| note.started);
    put_note(&folder, &Note { canary: canary.clone(), started, running: true })?;
    means.canaries.begin(means, canary).await?;
    Ok(json!({ "started": started.0 }))
}

async fn stop(means: &Means, canary: &Canary) -> Result<serde_json::Value, String> {
    let folder = folder(means);
    if let Some(note) = read_note(&folder, &canary.tag)? {
        put_note(&folder, &Note { running: false, ..note })?;
    }
    means.canaries.end(&canary.tag).await;
    Ok(json!({ "stopped": true }))
}

/// Counts which of the acknowledged writes have survived, where writes are accepted now.
async fn count(means: &Means, canary: &Canary) -> Result<serde_json::Value, String> {
    let path = log::path(&folder(means), &canary.tag);
    let read = tokio::task::spawn_blocking(move || log::read(&path)).await;
    let lines =
        read.map_err(|error| error.to_string())?.map_err(|error| format!("cannot read the log of canary writes: {error}"))?;
    let tally = Tally::of(&lines);
    let settings = means.settings.borrow().clone();
    // Who took the first write behind the gap is who holds the data from then on; an old primary that came back would hide the loss.
    let sources = tally.after_gap.as_ref().map_or_else(|| canary.sources.clone(), |(_, source)| vec![source.clone()]);
    let (source, mut connection) = writable(&settings, &Canary { sources, ..canary.clone() }).await?;
    let asked = format!("SELECT number FROM {} WHERE tag = $1", quoted(&canary.table));
    let numbers: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(asked))
        .bind(&canary.tag)
        .fetch_all(&mut connection)
        .await
        .map_err(|error| format!("cannot count the canary writes in {source}: {}", with_causes(&error)))?;
    let there: std::collections::BTreeSet<i64> = numbers.into_iter().collect();
    let survived: Vec<&(i64, Timestamp)> = tally.acknowledged.iter().filter(|(number, _)| there.contains(number)).collect();
    let newest = |writes: &mut dyn Iterator<Item = Timestamp>| writes.max().map(|at| at.0);
    Ok(json!({
        "acknowledged": tally.acknowledged.len(),
        "surviving": survived.len(),
        "lost": tally.acknowledged.len() - survived.len(),
        "last_acknowledged_at": newest(&mut tally.acknowledged.iter().map(|(_, at)| *at)),
        "newest_surviving_at": newest(&mut survived.iter().map(|(_, at)| *at)),
        "first_accepted_after_gap_at": tally.after_gap.as_ref().map(|(at, _)| at.0),
        "source": source,
    }))
}

/// Removes the table, and looks at every source whether it has gone.
async fn remove(means: &Means, canary: &Canary, most: Duration) -> Result<serde_json::Value, String> {
    stop(means, canary).await?;
    let (settings, watch) = (means.settings.borrow().clone(), Stopwatch::start());
    loop {
        let left = remove_once(&settings, canary).await;
        if left.is_empty() {
            let folder = folder(means);
            for file in [log::path(&folder, &canary.tag), folder.join(note_name(&canary.tag))] {
                match fs::remove_file(&file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(format!("cannot remove {}: {error}", file.display()));
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            return Ok(json!({ "removed": true }));
        }
        if watch.elapsed() >= most {
            return Ok(json!({ "removed": false, "why": left.join("; ") }));
        }
        // Standbys learn of it a little later.
        tokio::time::sleep(LOOK_EVERY.min(most.saturating_sub(watch.elapsed()))).await;
    }
}

/// Returns what is left, or may be left because nobody could look.
async fn remove_once(settings: &Settings, canary: &Canary) -> Vec<String> {
    let mut left = Vec::new();
    for source in &canary.sources {
        let attempt = async {
            let mut connection = connect(database(settings, source)?, LOOK_MAX).await?;
            let said = |error: sqlx::Error| with_causes(&error);
            if look(&mut connection, &canary.table).await.map_err(said)? == Table::Ours
                && !is_standby(&mut connection).await.map_err(said)?
            {
                let gone = format!("DROP TABLE {}", quoted(&canary.table));
                sqlx::query(AssertSqlSafe(gone)).execute(&mut connection).await.map_err(said)?;
            }
            look(&mut connection, &canary.table).await.map_err(said)
        };
        match tokio::time::timeout(LOOK_MAX, attempt).await {
            // What is somebody else's was never ours to remove.
            Ok(Ok(Table::Absent | Table::Foreign)) => {}
            Ok(Ok(Table::Ours)) => left.push(format!("{source} still has the table {}", canary.table)),
            Ok(Err(why)) => left.push(format!("cannot look at {source}: {why}")),
            Err(_) => left.push(format!("cannot look at {source}: it does not answer")),
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_inside_its_quotes() {
        assert_eq!(quoted("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
    }
}
