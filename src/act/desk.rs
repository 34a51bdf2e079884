//! The desk: it begins runs, keeps each one at work, goes on with those of an earlier life, and takes to them what people say.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use tocsin_core::run::Run;
use tocsin_core::run::machine::{Event, Refused};
use tocsin_core::run::record::{Order, RunRow, RunState};
use tocsin_core::run::runbook::Runbook;
use tocsin_core::run::trigger::{self, Ask};
use tocsin_core::time::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::log;
use super::runner::{End, Message, Parts, Runner, door, random};
use super::step::call::{CallAsk, Called};
use super::step::{page, value};
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
/// Deliveries of one source of webhooks in a minute; sources that are counted.
pub const HOOKS_MAX: u32 = 60;
const HOOK_SOURCES_MAX: usize = 1000;
/// The name under which this process owns runs. The database lets one process in, so an earlier life of it is gone for sure.
const NODE: &str = "tocsin";
/// How often the file of the kill switch is looked for.
const LOOK_FOR_FILE: Duration = Duration::from_secs(1);
/// Before rows are read anew after something went wrong.
const AGAIN: Duration = Duration::from_secs(2);
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
        let notes = Notes { log: &lines.log, audit: &lines.audit };
        let version = runbook.version(EDITOR, now);
        match self.parts().db.add_run(&version, &batch, &notes, now).await? {
            Added::Known(id) => {
                let row = self.parts().db.run_row(&id).await?;
                return row.ok_or(StartError::Unknown(id));
            }
            Added::LockTaken(taken) => {
                unreachable!("a run that was only asked for takes no lock, and this one took {}", taken.name)
            }
            Added::New => {}
        }
        self.parts().hub.tell(Topic::Runs, Some(&run.row().id));
        let row = run.row().clone();
        if !run.is_over() || !batch.orders.is_empty() {
            self.keep(runbook, run, batch.orders);
        }
        Ok(row)
    }

    /// Goes on with every run of an earlier life.
    pub async fn resume(&self) -> Result<(), DbError> {
        for row in self.parts().db.open_runs().await? {
            self.take(row).await;
        }
        Ok(())
    }

    /// Takes a stored run over and keeps it at work. What stands in the way is logged; the run is tried again at the next start.
    async fn take(&self, row: RunRow) {
        let id = row.id.clone();
        match self.restore(&row).await {
            Ok(Some((runbook, run))) => {
                tracing::info!(run = id, document = row.doc_id, state = row.state.word(), "going on with a run");
                self.keep(runbook, run, Vec::new());
            }
            Ok(None) => tracing::warn!(run = id, "a run belongs to somebody else"),
            Err(why) => tracing::error!(run = id, why, "cannot go on with a run"),
        }
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

    /// Keeps a run at work until it is over.
    fn keep(&self, runbook: Arc<Runbook>, run: Run, orders: Vec<Order>) {
        let (id, platform) = (run.row().id.clone(), run.row().platform.clone());
        let (sender, inbox) = door();
        let (over, watched) = watch::channel(None);
        let mut open = self.open();
        // Without a desk the next life goes on with it.
        let Some(open) = open.as_mut() else { return };
        let desk = self.clone();
        let runner = Runner::new(self.shared.parts.clone(), runbook, run, (sender.clone(), inbox));
        let name = id.clone();
        let work = tokio::spawn(async move {
            let row = desk.work(&name, runner, orders).await;
            if let Some(open) = desk.open().as_mut() {
                open.remove(&name);
            }
            if let Some(row) = row {
                desk.ended(&row).await;
                over.send_replace(Some(row));
            }
        });
        open.insert(id, Open { platform, door: sender, over: watched, work: work.abort_handle() });
    }

    /// Works at a run until it is over; none: it is somebody else's by now.
    async fn work(&self, id: &str, first: Runner, orders: Vec<Order>) -> Option<RunRow> {
        let (mut runner, mut orders) = (first, orders);
        loop {
            match AssertUnwindSafe(runner.work(orders)).catch_unwind().await {
                Ok(End::Over(row)) => return Some(*row),
                Ok(End::Again) => {}
                Err(_) => tracing::error!(run = id, "a fault of the program ended the work at a run; reading it anew"),
            }
            tokio::time::sleep(AGAIN).await;
            runner = self.again(id).await?;
            orders = Vec::new();
        }
    }

    /// Returns the work at a run whose rows are not those that the machine knew; none: it has ended, or is somebody else's.
    async fn again(&self, id: &str) -> Option<Runner> {
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
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Clears up behind a run: who waits for a lock may have it, and nobody is asked any more.
    async fn ended(&self, row: &RunRow) {
        let waiting: Vec<mpsc::Sender<Message>> =
            self.open().iter().flat_map(BTreeMap::values).map(|open| open.door.clone()).collect();
        for door in waiting {
            // One that is not waiting for a lock, or is busy, learns nothing by it.
            let _ = door.try_send(Message::Heard(Event::LockFreed, None));
        }
        if matches!(row.state, RunState::Succeeded | RunState::Refused)
            && let Err(why) = page::resolve(&self.parts().means, &row.id).await
        {
            tracing::warn!(run = row.id, why, "cannot end the pages of a run");
        }
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

    /// Returns whether one more delivery from a source is looked at in this minute.
    pub fn admit_hook(&self, source: &str) -> bool {
        let minute = clock::now().0 / 60_000;
        let mut hooks = self.shared.hooks.lock().expect("no holder of this lock panics");
        hooks.retain(|_, (at, _)| *at == minute);
        if hooks.len() >= HOOK_SOURCES_MAX && !hooks.contains_key(source) {
            return false;
        }
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
                tracing::info!(run = id, %error, "a run is not stopped by the kill switch");
            }
        }
    }

    /// Stops every open run once the file of the kill switch appears, for ever. Whatever asks for a run looks for the file itself.
    pub async fn watch_kill_file(self) {
        let mut was = false;
        loop {
            let why = self.parts().facts.kill_file().await;
            if let Some(why) = why.as_ref().filter(|_| !was) {
                tracing::warn!(why, "the kill switch is pulled");
                self.kill(None, why).await;
            }
            was = why.is_some();
            tokio::time::sleep(LOOK_FOR_FILE).await;
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
        let ask = trigger::of_run(&document.runbook, &call.parent_run, &call.reference, &call.params);
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
        let watched = self.open().as_ref()?.get(&row.id).map(|open| open.over.clone());
        match watched {
            Some(mut over) => over.wait_for(Option::is_some).await.ok()?.as_ref().map(ended),
            // It has ended since it was begun.
            None => self.parts().db.run_row(&row.id).await.ok()?.filter(|row| row.state.is_final()).as_ref().map(ended),
        }
    }
}

/// Returns an id that sorts by time.
fn new_id(now: Timestamp) -> String {
    format!("{:011x}-{}", now.0, &id::secret()[..8])
}
