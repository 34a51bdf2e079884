//! The service at work: it waits for signals, for reloads, and for the end of a task that must not end.

use anyhow::{Context, anyhow};
use tocsin_core::access::Role;
use tocsin_core::problem::Problem;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::lines;
use super::start::Service;
use crate::client::answer::with_causes;
use crate::http::access::Caller;

/// The signals that we listen for.
pub struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn listen() -> anyhow::Result<Signals> {
        Ok(Signals {
            hang_up: signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?,
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
        })
    }

    /// Returns when we are asked to stop.
    pub async fn terminated(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Works until a signal asks for the stop.
///
/// Errors: when a task has died that must not.
pub async fn run(service: &mut Service, signals: &mut Signals) -> anyhow::Result<()> {
    loop {
        let asker = tokio::select! {
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            (name, result) = service.tasks.first_ended() => {
                let reason = result.err().map_or("it came to an end".to_owned(), |error| with_causes(&error));
                tracing::error!(task = name, reason, "a task has died without which nobody would be told; stopping");
                return Err(anyhow!("the task {name} has died: {reason}"));
            }
            _ = signals.hang_up.recv() => None,
            asker = service.reloads.recv() => asker,
        };
        let reload = service.live.reload();
        let said = tokio::select! {
            said = reload => said,
            () = signals.terminated() => return Ok(()),
        };
        match asker {
            // Who sent the signal is not known.
            None => note_signal(service, &said).await,
            // An asker that has gone needs no answer.
            Some(asker) => drop(asker.send(said)),
        }
    }
}

async fn note_signal(service: &Service, said: &Result<Vec<Problem>, Vec<Problem>>) {
    let (outcome, detail) = match said {
        Ok(_) => ("done", String::new()),
        Err(problems) => ("refused", lines(problems)),
    };
    let note = Caller::new("signal SIGHUP", Role::SreLead).note("reload", "configuration", outcome, detail);
    if let Err(error) = service.db.add_audit(&note).await {
        tracing::error!(error = with_causes(&error), "cannot note a reload in the audit");
    }
}
