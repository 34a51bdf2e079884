//! Signals to processes that the configuration lists.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use serde_json::json;
use tocsin_core::run::action::Signal;
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;
use tocsin_core::run::settings::Process;

use super::{Begin, Issue, Means, proc};

/// A process may have begun this much after its file was written by the clock of the machine, which counts in seconds here.
const SLACK_SECONDS: u64 = 2;
const TICKS_A_SECOND: u64 = 100;

/// A process as it was found, held so that its number cannot come to mean another one.
struct Found {
    pid: i32,
    held: rustix::fd::OwnedFd,
}

/// Returns the process that a file names, if it is what it should be.
fn find(process: &Process) -> Result<Found, String> {
    let name = &process.name;
    let cannot = |error: std::io::Error| format!("cannot read the number of {name} in {}: {error}", process.pid_file);
    let mut file = fs::File::open(&process.pid_file).map_err(cannot)?;
    let mut text = String::new();
    (&mut file).take(4096).read_to_string(&mut text).map_err(cannot)?;
    let written = u64::try_from(file.metadata().map_err(cannot)?.mtime()).unwrap_or_default();
    let first = text.lines().next().unwrap_or_default().trim();
    let pid: i32 =
        first.parse().ok().filter(|pid| *pid > 1).ok_or_else(|| format!("{} holds no number of a process", process.pid_file))?;
    let parent = rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
    if pid == i32::try_from(std::process::id()).unwrap_or_default() || pid == parent {
        return Err(format!("{name} is this service itself, or what started it"));
    }
    let gone = || format!("{name} does not run: there is no process {pid}");
    let number = Pid::from_raw(pid).ok_or_else(gone)?;
    // The descriptor first, then the look: what it stands for cannot change between the two.
    let held = pidfd_open(number, PidfdFlags::empty()).map_err(|_| gone())?;
    let stat = proc::stat(pid).filter(|stat| !matches!(stat.state, 'Z' | 'X')).ok_or_else(gone)?;
    let command = proc::command_line(pid).ok_or_else(gone)?;
    if process.command.is_empty() || !command.contains(&process.command) {
        return Err(format!("process {pid} is not {name}: its command line does not hold {:?}", process.command));
    }
    let began = proc::boot_seconds().map(|boot| boot + stat.start / TICKS_A_SECOND);
    if began.is_none_or(|began| began > written + SLACK_SECONDS) {
        return Err(format!("process {pid} is not {name}: it began after {} was written", process.pid_file));
    }
    Ok(Found { pid, held })
}

fn number(signal: Signal) -> rustix::process::Signal {
    match signal {
        Signal::Stop => rustix::process::Signal::STOP,
        Signal::Cont => rustix::process::Signal::CONT,
        Signal::Term => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
        Signal::Hup => rustix::process::Signal::HUP,
        Signal::Usr1 => rustix::process::Signal::USR1,
        Signal::Usr2 => rustix::process::Signal::USR2,
    }
}

pub(super) async fn send(means: &Means, issue: &Issue, begin: Begin<'_, impl AsyncFnOnce(Option<String>)>) -> Outcome {
    let Request::ProcSignal { process, signal } = &issue.request else { return Outcome::NotDone("this is no signal".to_owned()) };
    let settings = means.settings.borrow().clone();
    let Some(process) = settings.processes.iter().find(|one| one.name == *process) else {
        return Outcome::NotDone(format!("the configuration lists no process {process:?}"));
    };
    let found = match find(process) {
        Ok(found) => found,
        Err(why) => return Outcome::NotDone(why),
    };
    if let Err(late) = begin.now(None).await {
        return late;
    }
    match pidfd_send_signal(&found.held, number(*signal)) {
        Ok(()) => Outcome::Answer(json!({ "sent": true, "pid": found.pid })),
        Err(error) => Outcome::NotDone(format!("cannot signal {}: {error}", process.name)),
    }
}
