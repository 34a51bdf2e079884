//! Processes of this machine: who one is, how it is, and signals that reach nobody else.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tocsin_core::run::action::Signal;

use super::FaultError;

/// Of a file below /proc, or of a pid file, this much is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A process: its number, and when it started, since numbers come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: i32,
    /// Unit: the kernel's ticks since the machine started.
    pub started: u64,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)
    }
}

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    Running,
    Stopped,
    /// Ended, or its number belongs to another one.
    Gone,
}

/// What /proc/<pid>/stat says.
struct Stat {
    letter: char,
    parent: i32,
    started: u64,
}

fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns what the kernel says of a process; None when there is none of this number.
fn stat(pid: i32) -> Result<Option<Stat>, FaultError> {
    let failed = |cause| FaultError::Process { verb: "look at", pid, cause };
    let bytes = match read(format!("/proc/{pid}/stat")) {
        Ok(bytes) => bytes,
        // The number may come free between the opening and the reading.
        Err(error) if error.kind() == io::ErrorKind::NotFound || Errno::from_io_error(&error) == Some(Errno::SRCH) => {
            return Ok(None);
        }
        Err(cause) => return Err(failed(cause)),
    };
    parse(&String::from_utf8_lossy(&bytes))
        .map(Some)
        .ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidData, "the kernel's line has another form")))
}

/// Reads `pid (command) state ppid …`. A command may hold blanks and brackets itself.
fn parse(line: &str) -> Option<Stat> {
    let mut fields = line[line.rfind(')')? + 1..].split_ascii_whitespace();
    let letter = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    // The start is the 22nd field of the line, the parent the 4th.
    let started = fields.nth(17)?.parse().ok()?;
    Some(Stat { letter, parent, started })
}

impl std::str::FromStr for Identity {
    type Err = String;

    fn from_str(text: &str) -> Result<Identity, String> {
        let read = || {
            let (pid, started) = text.split_once(':')?;
            Some(Identity { pid: pid.parse().ok()?, started: started.parse().ok()? })
        };
        read().ok_or_else(|| format!("{text:?} is no process; write NUMBER:START"))
    }
}

impl Identity {
    /// Returns who has a number now; None when nobody has, or it is dead and only waits to be buried.
    pub fn of(pid: i32) -> Result<Option<Identity>, FaultError> {
        let stat = stat(pid)?.filter(|stat| !is_dead(stat.letter));
        Ok(stat.map(|stat| Identity { pid, started: stat.started }))
    }

    /// Returns the process whose number a file holds, when its command line holds `command`.
    ///
    /// Errors: `PidFile`, `Gone` and `OtherCommand` say which of these is not so.
    pub fn find(pid_file: &Path, command: &str) -> Result<Identity, FaultError> {
        let unfit = |why: String| FaultError::PidFile { path: pid_file.to_owned(), why };
        let bytes = read(pid_file).map_err(|error| unfit(error.to_string()))?;
        let text = String::from_utf8_lossy(&bytes);
        // Some programs write more below the number, such as PostgreSQL.
        let first = text.lines().next().unwrap_or_default().trim();
        let pid: i32 = first.parse().ok().filter(|pid| *pid > 0).ok_or_else(|| unfit(format!("{first:?} is no number")))?;
        let identity = Identity::of(pid)?.ok_or(FaultError::Gone(pid))?;
        let line = read(format!("/proc/{pid}/cmdline")).map_err(|cause| FaultError::Process { verb: "look at", pid, cause })?;
        let line: Vec<u8> = line.into_iter().map(|byte| if byte == 0 { b' ' } else { byte }).collect();
        if !String::from_utf8_lossy(&line).contains(command) {
            return Err(FaultError::OtherCommand { pid, command: command.to_owned() });
        }
        // The command line was that of the process that we looked at first.
        if Identity::of(pid)? != Some(identity) {
            return Err(FaultError::Gone(pid));
        }
        Ok(identity)
    }

    /// Returns how the process is.
    pub fn state(self) -> Result<ProcessState, FaultError> {
        Ok(match stat(self.pid)?.filter(|stat| stat.started == self.started) {
            None => ProcessState::Gone,
            Some(stat) if is_dead(stat.letter) => ProcessState::Gone,
            Some(Stat { letter: 'T' | 't', .. }) => ProcessState::Stopped,
            Some(_) => ProcessState::Running,
        })
    }

    /// Takes hold of the process, so that signals reach it or nobody.
    ///
    /// Errors: `Gone`; `Own` for ourselves, our parents and the first process.
    pub fn hold(self) -> Result<Held, FaultError> {
        let mut own = i32::try_from(std::process::id()).unwrap_or_default();
        while own > 1 {
            if own == self.pid {
                return Err(FaultError::Own(self.pid));
            }
            own = stat(own)?.map_or(0, |stat| stat.parent);
        }
        let number = Pid::from_raw(self.pid).filter(|_| self.pid > 1).ok_or(FaultError::Own(self.pid))?;
        let descriptor = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(Errno::SRCH) => return Err(FaultError::Gone(self.pid)),
            Err(error) => return Err(FaultError::Process { verb: "take hold of", pid: self.pid, cause: error.into() }),
        };
        // Looked at while we hold whoever has the number: it is the one, and stays the one.
        if Identity::of(self.pid)? != Some(self) {
            return Err(FaultError::Gone(self.pid));
        }
        Ok(Held { identity: self, descriptor })
    }
}

fn is_dead(letter: char) -> bool {
    matches!(letter, 'Z' | 'X' | 'x')
}

/// A process that cannot be mistaken for another one any more.
#[derive(Debug)]
pub struct Held {
    pub identity: Identity,
    descriptor: OwnedFd,
}

impl Held {
    /// Sends a signal.
    ///
    /// Errors: `Gone` when the process has ended meanwhile.
    pub fn send(&self, signal: Signal) -> Result<(), FaultError> {
        use rustix::process::Signal as Number;
        let (number, verb) = match signal {
            Signal::Stop => (Number::STOP, "stop"),
            Signal::Cont => (Number::CONT, "resume"),
            Signal::Term => (Number::TERM, "terminate"),
            Signal::Kill => (Number::KILL, "kill"),
            Signal::Hup => (Number::HUP, "send HUP to"),
            Signal::Usr1 => (Number::USR1, "send USR1 to"),
            Signal::Usr2 => (Number::USR2, "send USR2 to"),
        };
        let pid = self.identity.pid;
        pidfd_send_signal(&self.descriptor, number).map_err(|error| match error {
            Errno::SRCH => FaultError::Gone(pid),
            error => FaultError::Process { verb, pid, cause: error.into() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_hold_brackets_and_blanks() {
        let line = "77 (a) T (b) S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        let stat = parse(line).expect("a good line");
        assert_eq!((stat.letter, stat.parent, stat.started), ('S', 1, 4242));
        assert!(parse("77 (a) S 1").is_none());
    }
}
