//! The watcher of one program: a small process of its own, which outlives ours.
//!
//! It runs twice. `watch` waits for the word to begin, starts `begin` and stands by it: it keeps the output, stops what takes too long,
//! and writes down how it ended. `begin` gives up all that the program must not have and becomes the program.
//!
//! The word comes through the watcher's standard input. When that closes without it, the program is never begun, and the answer says
//! so: whoever ordered it may have ended before it could record that it did.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, set_child_subreaper, setrlimit, setsid, umask};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::signal::unix::{SignalKind, signal};

use super::order::{ANSWER, Answer, Ask, End, Limits, ORDER, Order, REFUSAL, WORK, read, write_whole};
use super::proc;

/// What the watcher hears when it may begin.
pub const WORD: &[u8] = b"begin\n";
/// Between the polite signal and the one that nobody survives.
const GRACE: Duration = Duration::from_secs(5);
/// How long what is left in the streams of an ended program may take.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// The hash of a program is taken over at most this much.
const PROGRAM_BYTES_MAX: u64 = 1 << 30;

/// Watches over the program of an order to its end.
///
/// Errors: only that the folder cannot be used; everything else is an answer.
pub fn watch(folder: &Path) -> io::Result<()> {
    // A session of its own: what is typed at our terminal, and the end of our group, do not reach it.
    setsid()?;
    // What the program leaves behind becomes ours, and ends with it.
    set_child_subreaper(Pid::from_raw(1))?;
    let order: Order = read(folder, ORDER)?.ok_or_else(|| io::Error::other("there is no order"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(attend(folder, &order));
    // The reader of standard input may wait for ever.
    runtime.shutdown_background();
    // First the answer: a folder that cannot be emptied changes nothing of what happened.
    write_whole(folder, ANSWER, &answer)?;
    let _ = fs::remove_dir_all(folder.join(WORK));
    Ok(())
}

async fn attend(folder: &Path, order: &Order) -> Answer {
    let mut stopped = match signal(SignalKind::terminate()) {
        Ok(stopped) => stopped,
        Err(error) => return Answer::refused(format!("cannot listen for signals: {error}")),
    };
    let mut input = tokio::io::stdin();
    let mut word = [0; WORD.len()];
    tokio::select! {
        heard = input.read_exact(&mut word) => if heard.is_err() || word != *WORD {
            return Answer::refused("whoever asked for the program ended before it was begun");
        },
        _ = stopped.recv() => return Answer::refused("it was called off before it was begun"),
    }
    let mut child = match start(folder) {
        Ok(child) => child,
        Err(error) => return Answer::refused(format!("cannot start {}: {error}", order.program)),
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let kept_out = tokio::spawn(keep(stdout, order.output_max));
    let kept_err = tokio::spawn(keep(stderr, order.output_max));
    let late = async {
        match order.timeout_ms {
            Some(most) => tokio::time::sleep(Duration::from_millis(most)).await,
            None => std::future::pending().await,
        }
    };
    let let_go = async {
        let mut rest = [0; 64];
        while order.leash && input.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {}
        if !order.leash {
            std::future::pending::<()>().await;
        }
    };
    let (ended, end) = tokio::select! {
        status = child.wait() => (Some(status), End::Own),
        () = late => (None, End::Late),
        () = let_go => (None, End::Told),
        _ = stopped.recv() => (None, End::Told),
    };
    let status = match ended {
        Some(status) => status,
        None => stop(&mut child, order.ask).await,
    };
    proc::kill_descendants();
    let ((stdout, stdout_cut), (stderr, stderr_cut)) = (drained(kept_out).await, drained(kept_err).await);
    let refusal = fs::read_to_string(folder.join(REFUSAL)).unwrap_or_default();
    match status {
        _ if !refusal.is_empty() => Answer::refused(refusal),
        Err(error) => {
            Answer { stderr: format!("{stderr}\ncannot learn how it ended: {error}"), stdout, end, ..Answer::default() }
        }
        Ok(status) => {
            Answer { refused: None, exit: status.code(), signal: status.signal(), stdout, stderr, stdout_cut, stderr_cut, end }
        }
    }
}

/// Starts `begin` of this program on the same folder.
fn start(folder: &Path) -> io::Result<tokio::process::Child> {
    // Made here, where we still may; an empty one means that the program has begun.
    File::create(folder.join(REFUSAL))?;
    let mut command = tokio::process::Command::new("/proc/self/exe");
    command
        .args(["exec-step", "--begin"])
        .arg(folder)
        // What the program is to find in its environment must not work on us, who may do more.
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Ends the program, politely at first.
async fn stop(child: &mut tokio::process::Child, ask: Ask) -> io::Result<ExitStatus> {
    let polite = match ask {
        Ask::Term => Signal::TERM,
        Ask::Quit => Signal::QUIT,
    };
    // It leads a session, so its number is that of its group.
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let tell = |signal| {
        // A group that has ended needs no signal.
        let _ = group.map(|group| kill_process_group(group, signal));
    };
    tell(polite);
    if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
        return status;
    }
    tell(Signal::KILL);
    proc::kill_descendants();
    child.wait().await
}

/// Reads a stream to its end, so that the program never waits for a reader, and keeps the beginning.
async fn keep(stream: Option<impl AsyncRead + Unpin>, most: usize) -> (Vec<u8>, bool) {
    let (mut kept, mut cut) = (Vec::new(), false);
    let Some(mut stream) = stream else { return (kept, cut) };
    let mut piece = vec![0; 16 << 10];
    while let Ok(bytes @ 1..) = stream.read(&mut piece).await {
        let room = most.saturating_sub(kept.len());
        kept.extend_from_slice(&piece[..bytes.min(room)]);
        cut |= bytes > room;
    }
    (kept, cut)
}

async fn drained(stream: tokio::task::JoinHandle<(Vec<u8>, bool)>) -> (String, bool) {
    match tokio::time::timeout(DRAIN_MAX, stream).await {
        Ok(Ok((bytes, cut))) => (String::from_utf8_lossy(&bytes).into_owned(), cut),
        Ok(Err(_)) | Err(_) => (String::new(), true),
    }
}

/// Becomes the program of an order; returns only why it does not.
pub fn begin(folder: &Path) -> io::Error {
    // Kept open over the change of user, and closed by the start of the program.
    let refusal = fs::OpenOptions::new().write(true).open(folder.join(REFUSAL));
    let error = match read(folder, ORDER) {
        Ok(Some(order)) => become_program(folder, &order),
        Ok(None) => io::Error::other("there is no order"),
        Err(error) => error,
    };
    if let Ok(mut refusal) = refusal {
        // Nobody else could be told.
        let _ = refusal.write_all(error.to_string().as_bytes());
    }
    error
}

fn become_program(folder: &Path, order: &Order) -> io::Error {
    match prepare(folder, order) {
        Ok(program) => {
            let mut command = Command::new(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&program)));
            let (name, arguments) = order.argv.split_first().map_or((&order.program, &[][..]), |(name, rest)| (name, rest));
            command.arg0(name).args(arguments).env_clear().envs(&order.env);
            if let Some((user, group)) = order.user {
                // With another user the list of further groups is emptied, too.
                command.uid(user).gid(group);
            }
            let error = command.exec();
            io::Error::new(error.kind(), format!("cannot start {}: {error}", order.program))
        }
        Err(error) => error,
    }
}

/// Gives up what the program must not have; returns its content, opened and checked.
fn prepare(folder: &Path, order: &Order) -> io::Result<File> {
    setsid()?;
    let program = checked(order)?;
    std::env::set_current_dir(folder.join(WORK))?;
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    limit(&order.limits)?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(program)
}

/// Opens the program and holds it against its hashes. What is opened is what is run, whatever becomes of the path.
fn checked(order: &Order) -> io::Result<File> {
    let refuse = |why: &str| io::Error::other(format!("{} {why}", order.program));
    let open = |error: io::Error| io::Error::new(error.kind(), format!("cannot open {}: {error}", order.program));
    let mut program = File::open(&order.program).map_err(open)?;
    let found = program.metadata()?;
    if !found.is_file() {
        return Err(refuse("is no file"));
    }
    if found.mode() & 0o111 == 0 {
        return Err(refuse("is no program: nobody may execute it"));
    }
    if found.mode() & 0o002 != 0
        || order.user.is_some_and(|(user, _)| found.uid() == user && user != 0 && found.mode() & 0o200 != 0)
    {
        return Err(refuse("can be written by those who run it, so that nobody knows what it is"));
    }
    let mut start = [0; 2];
    let is_script = program.read_exact(&mut start).is_ok() && &start == b"#!";
    program.rewind()?;
    if !order.sha256.is_empty() {
        if found.len() > PROGRAM_BYTES_MAX {
            return Err(refuse("is too long to be checked"));
        }
        let hash = hash_of(&mut program)?;
        if order.sha256.iter().any(|wanted| *wanted != hash) {
            return Err(refuse(&format!("is not what it should be: its SHA-256 is {hash}")));
        }
        program.rewind()?;
    }
    if is_script {
        // The interpreter opens the script once more, by the number of this descriptor.
        rustix::io::fcntl_setfd(program.as_fd(), rustix::io::FdFlags::empty())?;
    }
    Ok(program)
}

fn hash_of(program: &mut File) -> io::Result<String> {
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match program.read(&mut piece)? {
            0 => return Ok(crate::id::hex(&hash.finalize())),
            bytes => hash.update(&piece[..bytes]),
        }
    }
}

fn limit(limits: &Limits) -> io::Result<()> {
    let wanted = [
        (Resource::Core, Some(0)),
        (Resource::Nofile, limits.open_files),
        (Resource::Fsize, limits.file_bytes),
        (Resource::As, limits.memory_bytes),
        (Resource::Nproc, limits.processes),
    ];
    for (resource, most) in wanted {
        let Some(most) = most else { continue };
        // What was limited more closely already stays so.
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |now| now.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}
