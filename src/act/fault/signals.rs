//! Signals to processes; a stop always with a guard.

use std::fs;
use std::io;

use tocsin_core::run::action::Signal;
use tocsin_core::time::Span;

use super::folder::remove;
use super::guard::{GuardArgs, Note};
use super::process::{Identity, ProcessState};
use super::wire::{Answer, Ask};
use super::{FaultError, Faults, StandingFault, Subject, TTL_MAX};

impl Faults {
    /// Sends a signal to a process under the name of a fault. Stop needs `ttl`, after which the process goes on whatever becomes of us;
    /// the others take none. A second stop under the same tag goes on from now on, for its own `ttl`.
    ///
    /// Errors: `Gone` when the process is not the one any more; `NoEnd`; `Own`; `Refused` when it is stopped under another tag already.
    pub async fn signal(&self, tag: &str, identity: Identity, signal: Signal, ttl: Option<Span>) -> Result<(), FaultError> {
        if signal != Signal::Stop {
            return identity.hold()?.send(signal);
        }
        let ttl = ttl.filter(|ttl| *ttl > Span::ZERO && *ttl <= TTL_MAX).ok_or(FaultError::NoEnd)?;
        // Two guards would wake the process at the end of the shorter fault.
        let others = self.stopped().await.into_iter().filter(|fault| fault.subject == Subject::Process(identity));
        if let Some(other) = others.into_iter().find(|fault| fault.tag != tag && fault.guarded) {
            return Err(FaultError::Refused(format!("{identity} is stopped by the fault {:?} already", other.tag)));
        }
        let args = GuardArgs { tag: tag.to_owned(), identity, ttl };
        let (what, stem) = (format!("the guard of {identity}"), args.stem());
        match self.folder.ask(&what, &stem, &Ask::Stop { ttl }).await {
            Err(FaultError::Absent { .. }) => {}
            answered => return answered.map(|_| ()),
        }
        let arguments = [
            "fault-guard".to_owned(),
            format!("--tag={tag}"),
            format!("--pid={}", identity.pid),
            format!("--started={}", identity.started),
            format!("--ttl-ms={}", ttl.0),
        ];
        // The guard says more plainly what is wrong when it cannot begin, but these two it can only say in words.
        drop(identity.hold()?);
        self.folder.start(&what, &stem, &arguments).await?;
        self.folder.ask(&what, &stem, &Ask::Stop { ttl }).await.map(|_| ())
    }

    /// Has a process go on, and ends its guards. A process that is gone needs nothing.
    pub async fn resume(&self, identity: Identity) -> Result<(), FaultError> {
        for note in self.notes()? {
            if note.identity != identity {
                continue;
            }
            let stem = args_of(&note).stem();
            match self.folder.ask(&format!("the guard of {identity}"), &stem, &Ask::End).await {
                Ok(_) => {}
                Err(FaultError::Absent { .. }) => self.forget(&stem)?,
                // What the guard cannot do we may be able to.
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "a guard does not end"),
            }
        }
        match identity.hold().and_then(|held| held.send(Signal::Cont)) {
            Err(FaultError::Gone(_)) => Ok(()),
            sent => sent,
        }
    }

    /// Returns how a process is: the proof that a signal has worked.
    pub fn state(&self, identity: Identity) -> Result<ProcessState, FaultError> {
        identity.state()
    }

    /// Returns the processes that are stopped, those among them whose guard has died.
    pub(super) async fn stopped(&self) -> Vec<StandingFault> {
        let notes = self.notes().unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot look for guards");
            Vec::new()
        });
        let mut found = Vec::new();
        for note in notes {
            let stem = args_of(&note).stem();
            match self.folder.ask(&format!("the guard of {}", note.identity), &stem, &Ask::Status).await {
                Ok(Answer::Status(status)) => found.extend(status.faults),
                Err(FaultError::Absent { .. }) if note.identity.state().is_ok_and(|state| state != ProcessState::Stopped) => {
                    if let Err(error) = self.forget(&stem) {
                        tracing::error!(error = &error as &dyn std::error::Error, "cannot remove what a guard left");
                    }
                }
                Err(FaultError::Absent { .. }) => found.push(note.standing(false)),
                Ok(answer) => tracing::error!(?answer, "a guard answers something else than it was asked"),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot ask a guard");
                    found.push(note.standing(true));
                }
            }
        }
        found
    }

    fn notes(&self) -> Result<Vec<Note>, FaultError> {
        let mut notes = Vec::new();
        for stem in self.folder.stems("guard", "json")? {
            let path = self.folder.file(&format!("{stem}.json"));
            match fs::read(&path) {
                Ok(text) => match serde_json::from_slice(&text) {
                    Ok(note) => notes.push(note),
                    Err(error) => tracing::error!(?path, %error, "the note of a guard cannot be read"),
                },
                // The guard has ended meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(FaultError::Folder { path, cause }),
            }
        }
        Ok(notes)
    }

    fn forget(&self, stem: &str) -> Result<(), FaultError> {
        for extension in ["sock", "json", "log"] {
            let path = self.folder.file(&format!("{stem}.{extension}"));
            remove(&path).map_err(|cause| FaultError::Folder { path, cause })?;
        }
        Ok(())
    }
}

fn args_of(note: &Note) -> GuardArgs {
    GuardArgs { tag: note.tag.clone(), identity: note.identity, ttl: Span::ZERO }
}
