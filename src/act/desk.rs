//! The desk: it begins runs, keeps each one at work, goes on with those of an earlier life, and takes to them what people say.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use tocsin_core::run::Run;
use tocsin_core::run::machine::{Event, Refused};
use tocsin_core::run::record::{Batch, DocumentVersion, Order, RunRow, RunState};
use tocsin_core::run::runbook::Runbook;
use tocsin_core::run::trigger::{self, Ask};
use tocsin_core::time::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::log::{self, Lines};
use super::runner::{End, Message, Parts, Runner, door, random};
use super::step::call::{CallAsk, Called};
use super::step::{About, page, value};
use crate::client::answer::with_causes;
use crate::clock;
use crate::config::Document;
use crate::db::DbError;
use crate::db::runs::{Added, Notes, RunNote};
use crate::id;
use crate::pipeline::hub::Topic;

/// Runs that may be open at once.
pub const OPEN_MAX: usize = 500;
/// Calls between runs that may wait for the desk.
pub const CALLS_MAX: usize = 64;
/// Genuine deliveries of one source of webhooks in a minute.
pub const HOOKS_MAX: u32 = 60;
/// The name under which this process owns runs. The database lets one process in, so an earlier life of it is gone for sure.
const NODE: &str = "tocsin";
/// How often the file of the kill switch is looked for.
const LOOK_AT_SWITCHES: Duration = Duration::from_secs(1);
/// Before rows are read anew after something went wrong.
const AGAIN: Duration = Duration::from_secs(2);
/// The wait grows with each failure up to so many times this.
const FAULTS_WAIT: u32 = 30;
/// After so many failures in a row people are told.
const FAILURES_TOLD: u32 = 3;
/// A run that has just been stored is at work within this.
const SETTLED: Duration = Duration::from_secs(5);
/// Who wrote documents: they come from files, whose history says more.
pub const EDITOR: &str = "file";

/// The documents that are in force, by id.
pub type Documents = Arc<BTreeMap<String, Document>>;

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("there is no runbook {0:?}")]
    Unknown(String),
    #[error("{OPEN_MAX} runs are open already; end some of them")]
    Full,
    #[error("the service is stopping")]
    Stopping,
    #[error("cannot store the run")]
    Db(#[from] DbError),
}

/// Why a run takes no note of what somebody says.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    #[error("run {0} is not open")]
    NotOpen(String),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the run could not store it; look again how it stands")]
    Unstored,
}

/// A run that is open.
struct Open {
    document: String,
    platform: String,
    door: mpsc::Sender<Message>,
    /// Its row once it is over.
    over: watch::Receiver<Option<RunRow>>,
    work: AbortHandle,
}

/// The desk; clones share it.
#[derive(Clone)]
pub struct Desk {
    shared: Arc<Shared>,
}

struct Shared {
    parts: Arc<Parts>,
    documents: watch::Receiver<Documents>,
    open: Mutex<Option<BTreeMap<String, Open>>>,
    /// Deliveries of each source of webhooks in a minute.
    hooks: Mutex<BTreeMap<String, (i64, u32)>>,
}

impl Desk {
    pub fn new(parts: Arc<Parts>, documents: watch::Receiver<Documents>) -> Desk {
        Desk { shared: Arc::new(Shared { parts, documents, open: Mutex::new(Some(BTreeMap::new())), hooks: Mutex::default() }) }
    }

    pub fn parts(&self) -> &Parts {
        &self.shared.parts
    }

    /// Returns the documents that are in force.
    pub fn documents(&self) -> Documents {
        self.shared.documents.borrow().clone()
    }

    fn open(&self) -> MutexGuard<'_, Option<BTreeMap<String, Open>>> {
        self.shared.open.lock().expect("no holder of this lock panics")
    }

    /// Begins the run that is asked for, and returns it as it is stored; a wish that has been granted before brings that run.
    pub async fn start(&self, mut ask: Ask) -> Result<RunRow, StartError> {
        let runbook = self.documents().get(&ask.doc_id).map(|document| document.runbook.clone());
        let runbook = runbook.ok_or_else(|| StartError::Unknown(ask.doc_id.clone()))?;
        match self.open().as_ref() {
            None => return Err(StartError::Stopping),
            Some(open) if open.len() >= OPEN_MAX => return Err(StartError::Full),
            Some(_) => {}
        }
        for (name, expr) in std::mem::take(&mut ask.queries) {
            let found = value(&self.parts().means, &expr).await.unwrap_or_else(|why| {
                tracing::warn!(document = ask.doc_id, parameter = name, why, "cannot look at what a parameter is to be");
                None
            });
            ask.answer(&name, found);
        }
        let now = clock::now();
        let inventory = self.parts().means.settings.borrow().inventory();
        let mut run = Run::request(runbook.clone(), &new_id(now), ask, EDITOR, NODE, inventory, now);
        let before = run.row().clone();
        let batch = run.tick(now, &mut random);
        let mut lines = log::lines(&runbook, &before, &batch, now);
        lines.asked(&runbook, run.row(), now);
        let version = runbook.version(EDITOR, now);
        // Whoever asked may hang up between the record and the work; the run must not stand there with nobody at it.
        let desk = self.clone();
        let stored = tokio::spawn(async move { desk.store_and_keep(runbook, run, batch, version, lines, now).await });
        stored.await.map_err(|_| StartError::Stopping)?
    }

    async fn store_and_keep(
        &self,
        runbook: Arc<Runbook>,
        run: Run,
        batch: Batch,
        version: DocumentVersion,
        lines: Lines,
        now: Timestamp,
    ) -> Result<RunRow, StartError> {
        let notes = Notes { log: &lines.log, audit: &lines.audit };
        match self.parts().db.add_run(&version, &batch, &notes, now).await? {
            Added::Known(id) => {
                let row = self.parts().db.run_row(&id).await?.ok_or_else(|| StartError::Unknown(id))?;
                if !row.state.is_final() {
                    self.look_after(&row);
                }
                return Ok(row);
            }
            Added::LockTaken(taken) => {
                unreachable!("a run that was only asked for takes no lock, and this one took {}", taken.name)
            }
            Added::New => {}
        }
        self.parts().hub.tell(Topic::Runs, Some(&run.row().id));
        let row = run.row().clone();
        if !run.is_over() || !batch.orders.is_empty() {
            self.keep(&row, Some((runbook, run, batch.orders)));
        }
        Ok(row)
    }

    /// Takes a stored run over when nobody is at it a while from now: its record may have had no answer.
    fn look_after(&self, row: &RunRow) {
        let (desk, row) = (self.clone(), row.clone());
        tokio::spawn(async move {
            tokio::time::sleep(SETTLED).await;
            desk.keep(&row, None);
        });
    }

    /// Goes on with every run of an earlier life.
    pub async fn resume(&self) -> Result<(), DbError> {
        // All doors first: a run that another one calls must be found by it.
        for row in self.parts().db.open_runs().await? {
            tracing::info!(run = row.id, document = row.doc_id, state = row.state.word(), "going on with a run");
            self.keep(&row, None);
        }
        Ok(())
    }

    /// Takes a run and makes it from its rows; none: somebody else has it.
    async fn restore(&self, row: &RunRow) -> Result<Option<(Arc<Runbook>, Run)>, String> {
        let (db, now) = (&self.parts().db, clock::now());
        let Ok(taken) = row.take(NODE, tocsin_core::run::machine::LEASE, now) else { return Ok(None) };
        if !db.take_run(&taken).await.map_err(|error| with_causes(&error))? {
            return Ok(None);
        }
        let version = db.document_version(&row.doc_hash).await.map_err(|error| with_causes(&error))?;
        let version = version.ok_or("its document is not stored")?;
        let runbook = Arc::new(Runbook::from_version(&version).map_err(|error| with_causes(&error))?);
        let records = db.run_records(&row.id).await.map_err(|error| with_causes(&error))?.ok_or("it is gone")?;
        let inventory = self.parts().means.settings.borrow().inventory();
        let mut run = Run::restore(runbook.clone(), records, inventory, now).map_err(|error| error.to_string())?;
        // Whoever pulled the switch may have died before the run heard of it.
        if let Some(why) = self.parts().facts.kill(&row.platform).await? {
            // A run that is ending already takes no note.
            let _ = run.accept(Event::Kill { why }, now);
        }
        Ok(Some((runbook, run)))
    }

    /// Keeps a run at work until it is over: one that has just been stored, with its first orders, or one that is read from its rows.
    /// Does nothing when somebody is at it already.
    fn keep(&self, row: &RunRow, fresh: Option<(Arc<Runbook>, Run, Vec<Order>)>) {
        let mut open = self.open();
        // Without a desk the next life goes on with it.
        let Some(open) = open.as_mut().filter(|open| !open.contains_key(&row.id)) else { return };
        let (sender, inbox) = door();
        let (over, watched) = watch::channel(None);
        let first = fresh.map(|(runbook, run, orders)| {
            let door = (sender.clone(), inbox);
            (Runner::new(self.shared.parts.clone(), runbook, run, door), orders)
        });
        let (desk, known) = (self.clone(), row.clone());
        let work = tokio::spawn(async move {
            let row = desk.work(&known, first).await;
            if let Some(open) = desk.open().as_mut() {
                open.remove(&known.id);
            }
            if let Some(row) = row {
                desk.ended(&row).await;
                over.send_replace(Some(row));
            }
        });
        let (document, platform) = (row.doc_id.clone(), row.platform.clone());
        open.insert(row.id.clone(), Open { document, platform, door: sender, over: watched, work: work.abort_handle() });
    }

    /// Works at a run until it is over; none: it is somebody else's by now.
    async fn work(&self, known: &RunRow, first: Option<(Runner, Vec<Order>)>) -> Option<RunRow> {
        let (mut first, mut faults) = (first, 0);
        loop {
            let (runner, orders) = match first.take() {
                Some(first) => first,
                None => (self.again(known).await?, Vec::new()),
            };
            match AssertUnwindSafe(runner.work(orders)).catch_unwind().await {
                Ok(End::Over(row)) => return Some(*row),
                Ok(End::Again) => {}
                Err(_) => {
                    tracing::error!(run = known.id, "a fault of the program ended the work at a run; reading it anew");
                    faults += 1;
                    self.complain(known, faults, "a fault of the program ends the work at it again and again").await;
                }
            }
            tokio::time::sleep(AGAIN * faults.clamp(1, FAULTS_WAIT)).await;
        }
    }

    /// Tells people of a run that cannot be gone on with, once.
    async fn complain(&self, known: &RunRow, failures: u32, why: &str) {
        if failures != FAILURES_TOLD {
            return;
        }
        let about = About { platform: known.platform.clone(), document: known.doc_id.clone(), slug: String::new() };
        let text = format!("The run {} of {} cannot be gone on with: {why}", known.id, known.doc_id);
        if let Err(why) = page::tell(&self.parts().means, &about, "critical", &format!("stuck/{}", known.id), &text).await {
            tracing::error!(run = known.id, why, "cannot tell people of a run that stands still");
        }
    }

    /// Returns the work at a run whose rows are not those that the machine knew; none: it has ended, or is somebody else's.
    async fn again(&self, known: &RunRow) -> Option<Runner> {
        let (id, mut failures) = (known.id.as_str(), 0);
        loop {
            if self.open().is_none() {
                return None;
            }
            let row = match self.parts().db.run_row(id).await {
                Ok(row) => row?,
                Err(error) => {
                    tracing::error!(run = id, error = with_causes(&error), "cannot read a run anew; trying again");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            match self.restore(&row).await {
                Ok(restored) => {
                    let (runbook, run) = restored?;
                    let (sender, inbox) = door();
                    self.open().as_mut()?.get_mut(id)?.door = sender.clone();
                    return Some(Runner::new(self.shared.parts.clone(), runbook, run, (sender, inbox)));
                }
                Err(why) => {
                    tracing::error!(run = id, why, "cannot go on with a run; trying again");
                    failures += 1;
                    self.complain(known, failures, &why).await;
                    tokio::time::sleep(AGAIN * failures.clamp(1, FAULTS_WAIT)).await;
                }
            }
        }
    }

    /// Clears up behind a run: who waits for a lock may have it, and nobody is asked any more.
    async fn ended(&self, row: &RunRow) {
        self.parts().metrics.run_ended(row.state);
        let waiting: Vec<mpsc::Sender<Message>> =
            self.open().iter().flat_map(BTreeMap::values).map(|open| open.door.clone()).collect();
        for door in waiting {
            // One that is not waiting for a lock, or is busy, learns nothing by it.
            let _ = door.try_send(Message::Heard(Event::LockFreed, None));
        }
        if row.state != RunState::Succeeded {
            self.cancel_children(row).await;
        }
        if matches!(row.state, RunState::Succeeded | RunState::Refused)
            && let Err(why) = page::resolve(&self.parts().means, &row.id).await
        {
            tracing::warn!(run = row.id, why, "cannot end the pages of a run");
        }
    }

    /// Ends the runs that a run called and that are still at it: nobody waits for them any more.
    async fn cancel_children(&self, row: &RunRow) {
        let children = match self.parts().db.children(&row.id).await {
            Ok(children) => children,
            Err(error) => return tracing::error!(run = row.id, error = with_causes(&error), "cannot read which runs it called"),
        };
        for child in children.iter().filter(|child| !child.state.is_final()) {
            if let Err(error) = self.tell(&child.id, Event::Cancel { by: format!("the end of run {}", row.id) }).await {
                tracing::warn!(run = child.id, %error, "a run is not cancelled with the one that called it");
            }
        }
    }

    /// Returns how many runs are open, and how many of them are of a document.
    pub fn counts(&self, document: &str) -> (usize, usize) {
        let open = self.open();
        let all = open.iter().flat_map(BTreeMap::values);
        all.fold((0, 0), |(all, own), open| (all + 1, own + usize::from(open.document == document)))
    }

    /// Adds a line of a person to the log of a run.
    pub async fn note(&self, run: &str, who: &str, what: &str, detail: &str) -> Result<(), DbError> {
        let line = RunNote {
            run_id: run.to_owned(),
            at: clock::now(),
            who: who.to_owned(),
            what: what.to_owned(),
            detail: detail.to_owned(),
        };
        self.parts().db.add_notes(&Notes { log: &[line], audit: &[] }).await
    }

    /// Returns whether one more genuine delivery from a source is taken in this minute.
    pub fn admit_hook(&self, source: &str) -> bool {
        let minute = clock::now().0 / 60_000;
        let mut hooks = self.shared.hooks.lock().expect("no holder of this lock panics");
        hooks.retain(|_, (at, _)| *at == minute);
        let (_, count) = hooks.entry(source.to_owned()).or_insert((minute, 0));
        *count += 1;
        *count <= HOOKS_MAX
    }

    /// Takes to a run what somebody says; returns once what follows from it is stored.
    pub async fn tell(&self, run: &str, event: Event) -> Result<(), TellError> {
        let door = self.open().as_ref().and_then(|open| open.get(run)).map(|open| open.door.clone());
        let door = door.ok_or_else(|| TellError::NotOpen(run.to_owned()))?;
        let (sender, answer) = oneshot::channel();
        door.send(Message::Asked(event, sender)).await.map_err(|_| TellError::Unstored)?;
        Ok(answer.await.map_err(|_| TellError::Unstored)??)
    }

    /// Stops every open run of a platform, or of all of them; each undoes what it did.
    pub async fn kill(&self, platform: Option<&str>, why: &str) {
        let hit: Vec<String> = self
            .open()
            .iter()
            .flatten()
            .filter(|(_, open)| platform.is_none_or(|platform| platform == open.platform))
            .map(|(id, _)| id.clone())
            .collect();
        for id in hit {
            if let Err(error) = self.tell(&id, Event::Kill { why: why.to_owned() }).await {
                // One that is ending already takes no note.
                tracing::debug!(run = id, %error, "a run is not stopped by the kill switch");
            }
        }
    }

    /// Stops open runs for as long as a kill switch is pulled, for ever: by whatever way it was pulled, and whoever missed it.
    pub async fn watch_kill_switches(self) {
        loop {
            let platforms: BTreeSet<String> =
                self.open().iter().flat_map(BTreeMap::values).map(|open| open.platform.clone()).collect();
            for platform in platforms {
                match self.parts().facts.kill(&platform).await {
                    Ok(Some(why)) => self.kill(Some(&platform), &why).await,
                    Ok(None) => {}
                    Err(why) => tracing::warn!(why, "cannot look at the kill switch; trying again"),
                }
            }
            tokio::time::sleep(LOOK_AT_SWITCHES).await;
        }
    }

    /// Ends the work without ending the runs: the next life goes on with them.
    pub fn close(&self) {
        self.parts().means.leaving.store(true, Ordering::Release);
        for open in self.open().take().into_iter().flatten() {
            open.1.work.abort();
        }
    }

    /// Begins what runs call, and tells them how it ended.
    pub async fn serve_calls(self, mut calls: mpsc::Receiver<CallAsk>) {
        while let Some(call) = calls.recv().await {
            let desk = self.clone();
            tokio::spawn(async move {
                let called = desk.call(&call).await;
                // A caller that has gone asks again.
                if let Some(called) = called {
                    let _ = call.answer.send(called);
                }
            });
        }
    }

    /// Returns how a called run ended; none: nobody can tell.
    async fn call(&self, call: &CallAsk) -> Option<Called> {
        let document = self.documents().get(&call.runbook).cloned();
        let Some(document) = document else { return Some(Called::Refused(format!("there is no runbook {:?}", call.runbook))) };
        let mut ask = trigger::of_run(&document.runbook, &call.parent_run, &call.reference, &call.params);
        match self.parts().db.run_row(&call.parent_run).await {
            // Whoever started the run that calls has started this one, and cannot approve it.
            Ok(parent) => ask.starter = parent.map_or(ask.starter, |parent| parent.starter),
            Err(error) => {
                tracing::error!(error = with_causes(&error), "cannot read the run that calls another one");
                return None;
            }
        }
        let row = match self.start(ask).await {
            Ok(row) => row,
            Err(StartError::Db(error)) => {
                tracing::error!(error = with_causes(&error), "cannot begin a run that another one calls");
                return None;
            }
            Err(error) => return Some(Called::Refused(error.to_string())),
        };
        let ended = |row: &RunRow| Called::Ended { run: row.id.clone(), state: row.state.word().to_owned() };
        if row.state.is_final() {
            return Some(ended(&row));
        }
        loop {
            let watched = self.open().as_ref()?.get(&row.id).map(|open| open.over.clone());
            if let Some(mut over) = watched {
                return over.wait_for(Option::is_some).await.ok()?.as_ref().map(ended);
            }
            // It has ended since it was begun, or nobody is at it yet.
            if let Some(row) = self.parts().db.run_row(&row.id).await.ok()?.filter(|row| row.state.is_final()) {
                return Some(ended(&row));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Returns an id that sorts by time.
fn new_id(now: Timestamp) -> String {
    format!("{:011x}-{}", now.0, &id::secret()[..8])
}
