//! Signals to processes that the configuration lists, and looks at how these are.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tocsin_core::run::action::Signal;
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;
use tocsin_core::run::settings::{Process, Settings};
use tocsin_core::time::Span;

use super::super::fault::{FaultError, Identity};
use super::{Begin, Issue, Means, lever, proc};
use crate::clock::Stopwatch;

/// The kernel counts starts in ticks and files in seconds of a clock that may have been set since.
const SLACK_SECONDS: u64 = 2;
const TICKS_A_SECOND: u64 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The letter of a process that is not there.
const GONE: &str = "-";

fn listed<'s>(settings: &'s Settings, name: &str) -> Result<&'s Process, Outcome> {
    let found = settings.processes.iter().find(|one| one.name == name);
    found.ok_or_else(|| Outcome::NotDone(format!("the configuration lists no process {name:?}")))
}

/// Returns the process that a file names, when it is what it should be and was there when the file was written.
fn find(process: &Process) -> Result<Identity, FaultError> {
    let path = Path::new(&process.pid_file);
    let identity = Identity::find(path, &process.command)?;
    let written = fs::metadata(path).ok().and_then(|found| u64::try_from(found.mtime()).ok());
    let began = proc::boot_seconds().map(|boot| boot + identity.started / TICKS_A_SECOND);
    match (written, began) {
        (Some(written), Some(began)) if began <= written + SLACK_SECONDS => Ok(identity),
        _ => Err(FaultError::PidFile { path: path.to_owned(), why: "the process began after it was written".to_owned() }),
    }
}

pub(super) async fn send(means: &Means, issue: &Issue, begin: Begin<'_, impl AsyncFnOnce(Option<String>)>) -> Outcome {
    let Request::ProcSignal { process, signal, ttl } = &issue.request else {
        return Outcome::NotDone("this is no signal".to_owned());
    };
    let settings = means.settings.borrow().clone();
    let process = match listed(&settings, process) {
        Ok(process) => process,
        // What this run has stopped goes on, whatever has become of the list since.
        Err(_) if *signal == Signal::Cont => return wake(means, issue, begin).await,
        Err(refused) => return refused,
    };
    let identity = match find(process) {
        Ok(identity) => identity,
        Err(error) => return lever::failed(&error),
    };
    if let Err(late) = begin.now(None).await {
        return late;
    }
    let sent = match signal {
        // Guards of an earlier stop have nothing left to do.
        Signal::Cont => means.faults.resume(identity).await,
        _ => means.faults.signal(&format!("{}/{}", issue.run_id, issue.key.step), identity, *signal, *ttl).await,
    };
    match sent {
        Ok(()) => Outcome::Answer(json!({ "sent": true, "pid": identity.pid, "started": identity.started })),
        Err(error) => lever::failed(&error),
    }
}

/// Wakes every process that this run has stopped.
async fn wake(means: &Means, issue: &Issue, begin: Begin<'_, impl AsyncFnOnce(Option<String>)>) -> Outcome {
    if let Err(late) = begin.now(None).await {
        return late;
    }
    let ours = format!("{}/", issue.run_id);
    for fault in means.faults.standing().await.into_iter().filter(|fault| fault.tag.starts_with(&ours)) {
        if let Err(error) = means.faults.end(&fault).await {
            return lever::failed(&error);
        }
    }
    Outcome::Answer(json!({ "sent": true }))
}

/// Looks at a process until it is as expected, or the time for that has passed.
pub(super) async fn prove(means: &Means, issue: &Issue) -> Outcome {
    let Request::ProcProof { process, expect, started, within } = &issue.request else {
        return Outcome::NotDone("this is no process".to_owned());
    };
    let settings = means.settings.borrow().clone();
    let process = match listed(&settings, process) {
        Ok(process) => process,
        Err(refused) => return refused,
    };
    let (watch, most) = (Stopwatch::start(), (*within).max(Span::ZERO).to_std());
    loop {
        let letter = letter(process, *started);
        if expect.is_shown_by(&letter) || watch.elapsed() >= most {
            return Outcome::Answer(json!({ "state": letter, "expected": expect.word() }));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Returns the letter of a process' state; that of one which is gone, too, where another one has taken its place.
fn letter(process: &Process, started: Option<i64>) -> String {
    let seen = Identity::find(Path::new(&process.pid_file), &process.command).ok();
    let meant = seen.filter(|identity| started.is_none_or(|started| u64::try_from(started) == Ok(identity.started)));
    let stat = meant.and_then(|identity| proc::stat(identity.pid).filter(|stat| stat.start == identity.started));
    stat.map_or_else(|| GONE.to_owned(), |stat| stat.state.to_string())
}

#[cfg(test)]
mod tests {
    use tocsin_core::run::lever::ProcessState;

    use super::*;

    #[test]
    fn a_process_that_is_not_there_is_gone() {
        let process = Process { name: "x".into(), pid_file: "/nowhere".into(), command: "x".into(), labels: Default::default() };
        assert!(ProcessState::Gone.is_shown_by(&letter(&process, None)));
    }
}
