//! The guard of a stopped process: a process of its own, which wakes the stopped one when the time is over.
//!
//! It is the guard that stops the process, and only when it has said that it is ready. So nothing is ever stopped without a guard, nor
//! by someone who was held up until after the guard's end. It notes on the disk what it does: should it die itself, the next look at
//! the folder finds the stopped process.

use std::fs;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tocsin_core::run::action::Signal;
use tocsin_core::time::{Span, Timestamp};
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use super::folder::{READY, bind, leave_session, remove, say, stem};
use super::process::{Held, Identity, ProcessState};
use super::wire::{self, Answer, Ask, Status};
use super::{FaultError, StandingFault, Subject, TTL_MAX, with_cause};
use crate::clock::{self, Stopwatch};

/// A process that could not be woken is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often it is looked whether there is still something to guard.
const LOOK: Duration = Duration::from_secs(1);

/// What a guard is started with.
#[derive(Clone, Debug)]
pub struct GuardArgs {
    pub tag: String,
    pub identity: Identity,
    /// It ends by itself after this, stop or no stop.
    pub ttl: Span,
}

impl GuardArgs {
    /// Returns the stem of the guard's files.
    pub fn stem(&self) -> String {
        stem("guard", &format!("{} {} {}", self.identity.pid, self.identity.started, self.tag))
    }
}

/// What a guard notes on the disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Note {
    pub tag: String,
    pub identity: Identity,
    pub since: Timestamp,
    pub until: Timestamp,
}

impl Note {
    pub fn standing(self, guarded: bool) -> StandingFault {
        StandingFault {
            tag: self.tag,
            kind: "stop".to_owned(),
            subject: Subject::Process(self.identity),
            since: self.since,
            until: self.until,
            guarded,
        }
    }
}

/// The guard at work.
struct Guard {
    note: Note,
    file: String,
    held: Held,
    watch: Stopwatch,
    /// When it ends, by `watch`.
    deadline: Duration,
    stopped: bool,
}

/// What a guard listens to.
struct Ears {
    questions: UnixListener,
    terminate: Signals,
    interrupt: Signals,
}

/// Guards one process until the time is over, somebody asks for the end, or the process has ended. It works in the folder of sockets.
///
/// Errors: when there is nothing to guard; then it has said why, and nothing was stopped.
pub async fn run_guard(args: GuardArgs) -> Result<(), FaultError> {
    leave_session();
    let ran = match Guard::start(&args).await {
        Ok((guard, ears)) => {
            say(READY);
            guard.run(ears).await;
            Ok(())
        }
        Err(error) => {
            say(&with_cause(&error));
            Err(error)
        }
    };
    if matches!(&ran, Err(FaultError::Start { cause, .. }) if cause.kind() == io::ErrorKind::AddrInUse) {
        // The files are those of another guard.
        return ran;
    }
    for extension in ["sock", "json", "log"] {
        let file = format!("{}.{extension}", args.stem());
        if let Err(error) = remove(&file) {
            tracing::error!(file, error = &error as &dyn std::error::Error, "cannot remove a file");
        }
    }
    ran
}

/// Returns when the deadline has passed, or the process has ended.
async fn over(identity: Identity, watch: Stopwatch, deadline: Duration) {
    loop {
        let left = deadline.saturating_sub(watch.elapsed());
        if left.is_zero() || identity.state().is_ok_and(|state| state == ProcessState::Gone) {
            return;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

impl Guard {
    async fn start(args: &GuardArgs) -> Result<(Guard, Ears), FaultError> {
        let failed = |cause| FaultError::Start { what: format!("the guard of {}", args.identity), cause };
        if args.ttl <= Span::ZERO || args.ttl > TTL_MAX {
            return Err(FaultError::NoEnd);
        }
        let held = args.identity.hold()?;
        let ears = Ears {
            questions: bind(&args.stem()).await.map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        };
        let since = clock::now();
        let note = Note { tag: args.tag.clone(), identity: args.identity, since, until: since + args.ttl };
        let file = format!("{}.json", args.stem());
        let guard = Guard { note, file, held, watch: Stopwatch::start(), deadline: args.ttl.to_std(), stopped: false };
        guard.write().map_err(failed)?;
        Ok((guard, ears))
    }

    fn write(&self) -> io::Result<()> {
        let aside = format!("{}.new", self.file);
        fs::write(&aside, serde_json::to_vec(&self.note).map_err(io::Error::other)?)?;
        fs::rename(&aside, &self.file)
    }

    async fn run(mut self, mut ears: Ears) {
        loop {
            // Only an answer moves the deadline.
            let over = over(self.note.identity, self.watch, self.deadline);
            let goes_on = tokio::select! {
                goes_on = wire::answer_one(&ears.questions, |ask| self.answer(ask)) => goes_on,
                () = over => false,
                // Whoever ends us ends the fault: it must not stay behind.
                _ = ears.terminate.recv() => false,
                _ = ears.interrupt.recv() => false,
            };
            if !goes_on {
                break;
            }
        }
        while let Err(error) = self.wake() {
            tracing::error!(error = with_cause(&error), "the process is still stopped; trying again");
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn answer(&mut self, ask: Ask) -> (Answer, bool) {
        match ask {
            Ask::Status => (Answer::Status(self.status()), true),
            Ask::Stop { ttl } => {
                (self.stop(ttl).map_or_else(|error| Answer::Refused(with_cause(&error)), |()| Answer::Done), true)
            }
            Ask::End => match self.wake() {
                Ok(()) => {
                    // Whoever asks before we are gone must not find the fault standing.
                    self.stopped = false;
                    (Answer::Done, false)
                }
                Err(error) => (Answer::Refused(with_cause(&error)), true),
            },
            Ask::Apply { .. } | Ask::Heal { .. } | Ask::Proof { .. } => {
                (Answer::Refused("a guard has no toxics".to_owned()), true)
            }
        }
    }

    fn status(&self) -> Status {
        Status {
            pid: std::process::id(),
            faults: if self.stopped { vec![self.note.clone().standing(true)] } else { Vec::new() },
            ..Status::default()
        }
    }

    /// Stops the process for `ttl` from now on.
    fn stop(&mut self, ttl: Span) -> Result<(), FaultError> {
        if ttl <= Span::ZERO || ttl > TTL_MAX {
            return Err(FaultError::NoEnd);
        }
        self.note.since = clock::now();
        self.note.until = self.note.since + ttl;
        self.write()
            .map_err(|cause| FaultError::Start { what: "to guard, since the note cannot be written".to_owned(), cause })?;
        self.deadline = self.watch.elapsed() + ttl.to_std();
        // Set first: a process that may have been stopped is woken.
        self.stopped = true;
        self.held.send(Signal::Stop)
    }

    /// Has the process go on, if it was we who stopped it.
    fn wake(&self) -> Result<(), FaultError> {
        match self.stopped.then(|| self.held.send(Signal::Cont)) {
            Some(Err(FaultError::Gone(_))) | None => Ok(()),
            Some(sent) => sent,
        }
    }
}
