//! Faults for experiments and drills: a TCP proxy that misbehaves on demand, and signals to processes.
//!
//! No fault may outlive its deadline, whatever becomes of Tocsin. So each is in the hands of a small process in a session of its own:
//! a proxy lives beside us and ends its toxics by its own clock; a guard lives as long as a process is stopped, and wakes it. Both are
//! this program under a hidden subcommand. They are spoken to over unix sockets in one folder, which is all that this room knows of
//! them: it keeps no state, so that the next Tocsin finds what the last one left.

mod folder;
mod guard;
mod process;
mod proxies;
mod proxy;
mod signals;
mod toxic;
mod wire;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tocsin_core::run::lever::Toxic;
use tocsin_core::time::{Span, Timestamp};

use folder::Folder;

pub use guard::{GuardArgs, run_guard};
pub use process::{Identity, ProcessState};
pub use proxies::{Proxies, ProxySetting};
pub use proxy::run_proxy;

/// No fault lasts longer than this.
pub const TTL_MAX: Span = Span::from_mins(24 * 60);

/// Why a fault could not be put, healed or asked about.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    #[error("cannot use the folder {path:?} of proxies and guards")]
    Folder {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot start {what}")]
    Start {
        what: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("the proxy {name} cannot listen on {listen}")]
    Listen {
        name: String,
        listen: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("{what} did not start: {said}")]
    Unready { what: String, said: String },
    #[error("{what} is not running")]
    Absent { what: String },
    #[error("{what} does not answer")]
    Silent {
        what: String,
        #[source]
        cause: std::io::Error,
    },
    /// The proxy or the guard says why not.
    #[error("{0}")]
    Refused(String),
    #[error("process {0} is gone, or its number belongs to another one now")]
    Gone(i32),
    #[error("cannot {verb} process {pid}")]
    Process {
        verb: &'static str,
        pid: i32,
        #[source]
        cause: std::io::Error,
    },
    #[error("the file {path:?} does not name a process: {why}")]
    PidFile { path: PathBuf, why: String },
    #[error("process {pid} is not the one that is meant: its command line does not hold {command:?}")]
    OtherCommand { pid: i32, command: String },
    #[error("process {0} is part of Tocsin or the first of the system, and is never a target")]
    Own(i32),
    #[error("a process is only stopped for a time, of up to 24 h, after which it goes on by itself")]
    NoEnd,
}

/// Returns an error's words together with those of its cause.
fn with_cause(error: &FaultError) -> String {
    use std::error::Error;
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// What a fault is put upon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    Proxy(String),
    Process(Identity),
}

/// A fault that is in effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingFault {
    /// The name under which it was put.
    pub tag: String,
    /// Such as `blackhole`, `latency, bandwidth` or `stop`.
    pub kind: String,
    pub subject: Subject,
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
    /// False when the guard has died: then nobody but the caller heals it.
    pub guarded: bool,
}

/// What a fault has done so far, or had done when it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    pub active: bool,
    /// Connections that felt it; attempts of our own that were refused are among them.
    pub connections: u64,
    /// Bytes that were held up, slowed down or swallowed.
    pub bytes: u64,
}

impl Proof {
    /// Returns whether anybody has felt the fault.
    pub fn is_felt(&self) -> bool {
        self.connections > 0
    }
}

/// The door to all faults of one data folder.
#[derive(Debug)]
pub struct Faults {
    folder: Folder,
    pub proxies: Proxies,
}

impl Faults {
    /// Returns the door to the faults whose sockets lie in `folder`; proxies and guards are processes of this very program.
    pub fn new(folder: impl Into<PathBuf>) -> Result<Faults, FaultError> {
        // The kernel's name for our file holds good when the file has been replaced.
        Faults::with_program(folder, "/proc/self/exe")
    }

    /// Like `new`, with proxies and guards of another program's file.
    pub fn with_program(folder: impl Into<PathBuf>, program: impl Into<PathBuf>) -> Result<Faults, FaultError> {
        let folder = Folder::open(folder.into(), program.into())?;
        Ok(Faults { proxies: Proxies::new(folder.clone()), folder })
    }

    /// Has the proxies that are started from here on end with this process: for a demo, which leaves nothing behind.
    ///
    /// Errors: the process cannot be looked at.
    pub fn tied(mut self) -> Result<Faults, FaultError> {
        self.proxies.tied_to = Identity::of(i32::try_from(std::process::id()).unwrap_or_default())?;
        Ok(self)
    }

    /// Puts toxics on a proxy for `ttl`; what stands there under the same tag is replaced.
    ///
    /// Errors: `Refused` when a toxic makes no sense; `Absent` and `Silent` when the proxy cannot be reached.
    pub async fn apply(&self, proxy: &str, tag: &str, toxics: &[Toxic], ttl: Span) -> Result<(), FaultError> {
        self.proxies.apply(proxy, tag, toxics, ttl).await
    }

    /// Ends what stands on a proxy under a tag. There need be nothing: a proxy that is not running, or whose toxics have ended, is healed.
    pub async fn heal(&self, proxy: &str, tag: &str) -> Result<(), FaultError> {
        self.proxies.heal(proxy, tag).await
    }

    /// Returns what the toxics of a tag have done to a proxy's connections; zeros for a tag that the proxy does not know.
    pub async fn proof(&self, proxy: &str, tag: &str) -> Result<Proof, FaultError> {
        self.proxies.proof(proxy, tag).await
    }

    /// Returns every fault that is in effect. What cannot be asked is logged and left out.
    pub async fn standing(&self) -> Vec<StandingFault> {
        let mut found = self.proxies.standing().await;
        found.extend(self.stopped().await);
        found
    }

    /// Ends a fault that `standing` has told of.
    pub async fn end(&self, fault: &StandingFault) -> Result<(), FaultError> {
        match &fault.subject {
            Subject::Proxy(name) => self.heal(name, &fault.tag).await,
            Subject::Process(identity) => self.resume(*identity).await,
        }
    }

    /// Ends every proxy and every guard, and with them all faults: for a stop in order. Failures are logged.
    pub async fn stop(&self) {
        for fault in self.stopped().await {
            if let Err(error) = self.end(&fault).await {
                tracing::error!(tag = fault.tag, error = &error as &dyn std::error::Error, "cannot end a fault");
            }
        }
        self.proxies.stop().await;
    }
}
