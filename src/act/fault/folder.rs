//! The folder in which proxies and guards have their sockets, and how such a process is started.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::Mode;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;

use super::FaultError;
use super::wire::{self, Answer, Ask};
use crate::id;

/// What a process says when its work has begun; anything else says why it has not.
pub const READY: &str = "ready";
/// A process that has said nothing by then is not waited for.
const READY_MAX: Duration = Duration::from_secs(20);
/// What a process says of itself is read up to this.
const SAID_BYTES_MAX: u64 = 4096;
/// Files of the folder that are looked at.
const FILES_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    program: PathBuf,
}

/// Returns the stem of a file's name for a proxy or a guard. Names of people may hold anything; a digest is short and harmless.
pub fn stem(kind: &str, name: &str) -> String {
    format!("{kind}-{}", &id::digest(name)[..16])
}

impl Folder {
    /// Makes the folder, for its owner alone.
    pub fn open(path: PathBuf, program: PathBuf) -> Result<Folder, FaultError> {
        let failed = |cause| FaultError::Folder { path: path.clone(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(failed)?;
        // Processes that are started here work in the folder, so a path relative to ours would lead elsewhere.
        let path = path.canonicalize().map_err(failed)?;
        Ok(Folder { path, program })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the stems of all files of a kind and extension, in order.
    pub fn stems(&self, kind: &str, extension: &str) -> Result<Vec<String>, FaultError> {
        let entries = fs::read_dir(&self.path).map_err(|cause| FaultError::Folder { path: self.path.clone(), cause })?;
        let mut found: Vec<String> = entries
            .take(FILES_MAX)
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| Some(name.strip_suffix(extension)?.strip_suffix('.')?.to_owned()))
            .filter(|stem| stem.strip_prefix(kind).is_some_and(|rest| rest.starts_with('-')))
            .collect();
        found.sort();
        Ok(found)
    }

    async fn connect(&self, stem: &str) -> io::Result<UnixStream> {
        // A socket's path holds 107 bytes; by way of the open folder it is short, wherever the data lies.
        let folder = File::open(&self.path)?;
        UnixStream::connect(format!("/proc/self/fd/{}/{stem}.sock", folder.as_raw_fd())).await
    }

    /// Asks the process behind a socket.
    ///
    /// Errors: `Absent` when there is none, `Silent` when it does not answer.
    pub async fn ask(&self, what: &str, stem: &str, ask: &Ask) -> Result<Answer, FaultError> {
        let stream = match self.connect(stem).await {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Err(FaultError::Absent { what: what.to_owned() });
            }
            Err(cause) => return Err(FaultError::Silent { what: what.to_owned(), cause }),
        };
        match wire::ask(stream, ask).await {
            Ok(Answer::Refused(why)) => Err(FaultError::Refused(why)),
            Ok(answer) => Ok(answer),
            Err(cause) => Err(FaultError::Silent { what: what.to_owned(), cause }),
        }
    }

    /// Starts this program anew with other arguments, and returns when it says that it is ready.
    ///
    /// What it logs goes to a file of its own, which begins anew: nothing ties it to us, and it must not hold our output open.
    pub async fn start(&self, what: &str, stem: &str, arguments: &[String]) -> Result<(), FaultError> {
        let failed = |cause| FaultError::Start { what: what.to_owned(), cause };
        let log = self.file(&format!("{stem}.log"));
        let log = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(log).map_err(failed)?;
        let mut child = Command::new(&self.program)
            .arg0("tocsin")
            .args(arguments)
            .env_clear()
            .current_dir(&self.path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        let mut said = String::new();
        let output = child.stdout.take().expect("its output is a pipe");
        let read = async { BufReader::new(output).take(SAID_BYTES_MAX).read_line(&mut said).await };
        let unready = |said: &str| Err(FaultError::Unready { what: what.to_owned(), said: said.to_owned() });
        match tokio::time::timeout(READY_MAX, read).await {
            Ok(Ok(_)) if said.trim_end() == READY => Ok(()),
            Ok(Ok(0)) => unready(&format!("it ended without a word; see {stem}.log")),
            Ok(Ok(_)) => unready(said.trim_end()),
            Ok(Err(cause)) => Err(failed(cause)),
            Err(_) => {
                // It may be too slow rather than dead; a late one must not work unknown to us.
                let _ = child.kill().await;
                unready("it was not ready in time")
            }
        }
    }
}

/// Leaves the session of whoever started us, so that neither its end nor a key on its terminal ends us; and makes every file that we
/// make from here on our owner's alone.
pub fn leave_session() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    // Only the leader of a group cannot leave: one that was started by hand from a terminal, which may end with it.
    let _ = rustix::process::setsid();
}

/// Takes the socket of `stem` in the folder in which we work.
///
/// Errors: `AddrInUse` when a living process has it.
pub async fn bind(stem: &str) -> io::Result<UnixListener> {
    let path = format!("{stem}.sock");
    if UnixStream::connect(&path).await.is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process works under this name"));
    }
    remove(&path)?;
    UnixListener::bind(&path)
}

/// Removes a file that need not be there.
pub fn remove(path: impl AsRef<std::path::Path>) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Tells whoever started us that we are ready, or why we are not.
pub fn say(line: &str) {
    use std::io::Write;
    // Whoever started us may be dead already; we work on without.
    let mut output = io::stdout();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
