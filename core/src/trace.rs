//! The trace: what was decided about alerts, written down as it was decided, so that it can be told later why somebody was told, or
//! nobody.
//!
//! What can be worked out from other records is not repeated here: which way labels take down the tree follows from the tree of the
//! time, how deliveries ended stands in the outbox.

mod flush;
pub mod history;
mod lost;
mod routes;
mod step;
pub mod why;

use serde::{Deserialize, Serialize};

use crate::route::alert::ALERT_NAME;
use crate::route::dispatch::group::{GroupId, Stretch, hex};
use crate::time::Timestamp;

pub use flush::{Flush, Held, Holder, Said, Told};
pub use lost::Lost;
pub use routes::Routes;
pub use step::{AlertStep, What};

/// Under what records are found that are not of one group.
pub const ALERTS: &str = "alerts";
pub const ROUTES: &str = "routes";
pub const OPENED: &str = "opened";

/// One record of the trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// What became of alerts at one instant.
    Alerts(Vec<AlertStep>),
    /// What a group's timer decided.
    Flush(Box<Flush>),
    /// What becomes of what a delivery told that did not arrive.
    Lost(Box<Lost>),
    /// The tree that holds from then on.
    Routes(Box<Routes>),
    /// We have started; until then nobody was told of anything, so that what inhibits can be known.
    Opened { started_at: Timestamp },
}

impl Entry {
    /// Returns under what it is found.
    pub fn subject(&self) -> String {
        match self {
            Entry::Alerts(_) => ALERTS.to_owned(),
            Entry::Flush(flush) => subject(&flush.group),
            Entry::Lost(lost) => subject(&lost.group),
            Entry::Routes(_) => ROUTES.to_owned(),
            Entry::Opened { .. } => OPENED.to_owned(),
        }
    }

    /// Returns the names of the alerts that it tells of, each once and in blanks, such as ` Down Slow `.
    pub fn names(&self) -> String {
        let Entry::Alerts(steps) = self else { return String::new() };
        let mut names: Vec<&str> = steps.iter().map(|step| step.labels.get(ALERT_NAME)).collect();
        names.sort_unstable();
        names.dedup();
        names.iter().fold(" ".to_owned(), |text, name| text + name + " ")
    }
}

/// Returns under what the flushes of a group are found: 32 hexadecimal digits.
pub fn subject(group: &GroupId) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new().chain_update(group.key.as_bytes()).chain_update([0]).chain_update(group.receiver.as_bytes());
    hex(&digest.finalize()[..16])
}

/// What is to be written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceChange {
    Add {
        number: i64,
        at: Timestamp,
        entry: Entry,
    },
    /// The record of a flush held that often, last at that instant.
    Lasted {
        number: i64,
        until: Timestamp,
        times: u32,
    },
}

/// Where the trace of an earlier life ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The highest number of a record; zero: there is none.
    pub number: i64,
    /// The digest of the newest tree; empty: none was written down.
    pub routes: String,
}

/// A record as it was read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub number: i64,
    pub at: Timestamp,
    /// When it held last, and how often it did.
    pub until: Timestamp,
    pub times: u32,
    pub entry: Entry,
}

/// Of alerts for which there is no room this many are taken down together: they come again with every word of their senders.
const REFUSALS_MAX: usize = 100;

/// Takes down what is decided.
#[derive(Debug, Default)]
pub struct Tracer {
    last: Mark,
    /// The place among the changes where steps of alerts go.
    steps: Option<usize>,
    refusals: usize,
    changes: Vec<TraceChange>,
}

impl Tracer {
    pub fn new(last: Mark) -> Tracer {
        Tracer { last, ..Tracer::default() }
    }

    /// Takes down what became of an alert.
    pub fn step(&mut self, step: AlertStep) {
        if matches!(step.what, What::Refused { .. }) {
            if self.refusals == REFUSALS_MAX {
                return;
            }
            self.refusals += 1;
        }
        let place = self.steps.unwrap_or(self.changes.len());
        if let Some(TraceChange::Add { entry: Entry::Alerts(steps), .. }) = self.changes.get_mut(place) {
            steps.push(step);
        } else {
            self.add(step.at, Entry::Alerts(vec![step]));
            self.steps = Some(place);
        }
    }

    /// Takes down the tree, unless it is the one that holds already.
    pub fn routes(&mut self, routes: Routes, now: Timestamp) {
        let digest = routes.digest();
        if digest != self.last.routes {
            self.last.routes = digest;
            self.add(now, Entry::Routes(Box::new(routes)));
        }
    }

    pub fn opened(&mut self, started_at: Timestamp, now: Timestamp) {
        self.add(now, Entry::Opened { started_at });
    }

    /// Takes down what a group's timer decided. `stretch`: how often it decided the same before.
    pub fn flush(&mut self, flush: Flush, stretch: &mut Option<Stretch>, now: Timestamp) {
        let digest = flush.digest();
        if let Some(same) = stretch.as_mut().filter(|stretch| stretch.digest == digest && !flush.says_something()) {
            (same.until, same.times) = (now, same.times.saturating_add(1));
            return;
        }
        self.lasted(stretch.take());
        let record = self.add(now, Entry::Flush(Box::new(flush)));
        *stretch = Some(Stretch { record, digest, until: now, times: 1 });
    }

    /// Takes down what becomes of what a lost delivery told.
    pub fn lost(&mut self, lost: Lost, now: Timestamp) {
        self.add(now, Entry::Lost(Box::new(lost)));
    }

    /// Takes down how long a decision held, once another follows or none will.
    pub fn lasted(&mut self, stretch: Option<Stretch>) {
        if let Some(Stretch { record, until, times, digest: _ }) = stretch.filter(|stretch| stretch.times > 1) {
            self.changes.push(TraceChange::Lasted { number: record, until, times });
        }
    }

    fn add(&mut self, at: Timestamp, entry: Entry) -> i64 {
        self.last.number += 1;
        self.changes.push(TraceChange::Add { number: self.last.number, at, entry });
        self.last.number
    }

    pub fn is_drained(&self) -> bool {
        self.changes.is_empty()
    }

    /// Takes out what is to be written down.
    pub fn drain(&mut self) -> Vec<TraceChange> {
        (self.steps, self.refusals) = (None, 0);
        std::mem::take(&mut self.changes)
    }
}

/// Writes an instant for people who read of another one: `10:02:15`, with the day where that is another. Times are UTC.
pub fn moment(at: Timestamp, beside: Timestamp) -> String {
    let text = at.rfc3339();
    let Some((day, time)) = text.split_once('T') else { return text };
    let time = time.split('.').next().unwrap_or(time);
    if beside.rfc3339().starts_with(day) { time.to_owned() } else { format!("{day} {time}") }
}
