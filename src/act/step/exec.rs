//! Programs: no shell, only what the configuration lists, each under a watcher that outlives us.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;
use tocsin_core::time::{Span, Timestamp};
use tokio::io::AsyncWriteExt;

use super::order::{ANSWER, Answer, Ask, End, Limits, ORDER, Order, WORK, read, write_whole};
use super::redact::Redactor;
use super::{Begin, Issue, Means, account, proc, watcher};
use crate::id;

const LIMITS: Limits =
    Limits { open_files: Some(256), file_bytes: Some(1 << 30), memory_bytes: Some(4 << 30), processes: Some(512) };
/// Where programs are looked for by programs.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// A watcher says that its program has ended within this much of the end of its time.
const ANSWER_MAX: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Of the folder's content only the answer is of use, and only until it is recorded.
const KEPT: Span = Span::from_mins(24 * 60);

/// What finds a program again. Shape: JSON in text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Handle {
    boot: String,
    pid: i32,
    start: u64,
    folder: PathBuf,
}

/// Stops the program when nobody waits for it any more.
struct Leash<'m> {
    means: &'m Means,
    goes_on: &'m AtomicBool,
    pid: i32,
    start: u64,
}

impl Drop for Leash<'_> {
    fn drop(&mut self) {
        if !self.means.is_leaving() && !self.goes_on.load(Ordering::Acquire) {
            stop(self.pid, self.start);
        }
    }
}

/// Asks a watcher to stop its program; one that has ended is left alone, whoever has its number now.
fn stop(pid: i32, start: u64) {
    let Some(number) = Pid::from_raw(pid) else { return };
    // The descriptor first, then the look: what it stands for cannot change between the two.
    if let Ok(watcher) = pidfd_open(number, PidfdFlags::empty())
        && proc::lives(pid, start)
    {
        // Only one that has just ended does not take it.
        let _ = pidfd_send_signal(&watcher, Signal::TERM);
    }
}

/// Runs a program to its end.
pub(super) async fn run(means: &Means, issue: &Issue, begin: Begin<'_, impl AsyncFnOnce(Option<String>)>) -> Outcome {
    let Request::Exec { program, sha256, argv, env } = &issue.request else {
        return Outcome::NotDone("this is no program".to_owned());
    };
    let settings = means.settings.borrow().clone();
    let Some(pinned) = settings.programs.get(program) else {
        return Outcome::NotDone(format!("the configuration does not list the program {program}"));
    };
    tell_of_descriptors();
    let user = match account::of(settings.user.as_deref()) {
        Ok(user) => user,
        Err(why) => return Outcome::NotDone(why),
    };
    let order = Order {
        program: program.clone(),
        sha256: sha256.iter().chain(pinned).cloned().collect(),
        argv: argv.clone(),
        env: environment(issue, env),
        user,
        timeout_ms: Some(issue.timeout.0.max(0).unsigned_abs()),
        output_max: issue.capture.max_bytes + means.redactor().await.longest(),
        // The number of processes counts over all that a user runs, so it fits only one that runs nothing else.
        limits: Limits { processes: LIMITS.processes.filter(|_| user.is_some()), ..LIMITS },
        ask: Ask::Term,
        leash: false,
    };
    let mut watched = match Watched::start(means, &order, |_| Ok(())).await {
        Ok(watched) => watched,
        Err(why) => return Outcome::NotDone(why),
    };
    if let Err(late) = begin.now(Some(watched.handle())).await {
        // The watcher hears no word, and begins nothing.
        return late;
    }
    let leash = Leash { means, goes_on: &issue.goes_on, pid: watched.handle.pid, start: watched.handle.start };
    if watched.say_begin().await.is_err() {
        return Outcome::NotDone("the watcher of the program ended before it was begun".to_owned());
    }
    let ended = tokio::time::timeout(issue.timeout.to_std() + ANSWER_MAX, watched.child.wait()).await;
    let answer = read::<Answer>(&watched.handle.folder, ANSWER);
    // Where it has not ended, the leash stops it.
    drop(leash);
    match (ended, answer) {
        (_, Ok(Some(answer))) => outcome(answer, issue, &means.redactor().await),
        (Ok(_), Ok(None)) => Outcome::Unknown("the watcher of the program ended without saying how the program did".to_owned()),
        (Ok(_), Err(error)) => Outcome::Unknown(format!("cannot read how the program ended: {error}")),
        (Err(_), _) => Outcome::Unknown(format!("the program did not end within {}", issue.timeout)),
    }
}

/// Says once which descriptors programs inherit from whoever started us: nothing but a start without them closes these.
fn tell_of_descriptors() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        for (number, what) in proc::handed_on() {
            tracing::warn!(
                number,
                what,
                "an open descriptor was handed to us, and programs of runs inherit it; start Tocsin without it"
            );
        }
    });
}

fn environment(issue: &Issue, env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut whole = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    whole.extend(env.clone());
    whole.insert("TOCSIN_KEY".to_owned(), issue.idem_key.clone());
    whole.insert("TOCSIN_RUN".to_owned(), issue.run_id.clone());
    whole
}

fn outcome(answer: Answer, issue: &Issue, redactor: &Redactor) -> Outcome {
    if let Some(why) = answer.refused {
        return Outcome::NotDone(redactor.text(&why, &issue.capture, usize::MAX, false));
    }
    match answer.end {
        End::Late => return Outcome::Unknown(format!("the program did not end within {}, and was stopped", issue.timeout)),
        End::Told => return Outcome::Unknown("the program was stopped".to_owned()),
        End::Own => {}
    }
    // Both streams share what is kept, with room for the rest of the answer.
    let share = issue.capture.max_bytes.saturating_sub(200) / 2;
    let text = |text: &str, cut| redactor.text(text, &issue.capture, share, cut);
    let mut told = serde_json::json!({
        "exit": answer.exit,
        "stdout": text(&answer.stdout, answer.stdout_cut),
        "stderr": text(&answer.stderr, answer.stderr_cut),
    });
    if let Some(signal) = answer.signal {
        told["signal"] = signal.into();
    }
    Outcome::Answer(told)
}

/// Waits for a program that an earlier process of ours has begun. None: nobody knows what became of it.
pub(super) async fn adopt(means: &Means, issue: &Issue, handle: &str) -> Option<Outcome> {
    let handle: Handle = serde_json::from_str(handle).ok()?;
    let is_own = handle.folder.parent() == Some(means.folder.as_path());
    if !is_own {
        return None;
    }
    let _leash = Leash { means, goes_on: &issue.goes_on, pid: handle.pid, start: handle.start };
    loop {
        // First the look, then the file: a watcher that has ended has written before.
        let lives = handle.boot == proc::boot() && proc::lives(handle.pid, handle.start);
        if let Some(answer) = read::<Answer>(&handle.folder, ANSWER).ok()? {
            return Some(outcome(answer, issue, &means.redactor().await));
        }
        if !lives {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Stops the program of an attempt that nobody waits for, and forgets what it left. The answer must be recorded before.
pub fn forget(means: &Means, handle: &str) {
    let Ok(handle) = serde_json::from_str::<Handle>(handle) else { return };
    if handle.folder.parent() != Some(means.folder.as_path()) {
        return;
    }
    // One that has written its answer may take a moment to end, and writes nothing more.
    let has_answered = handle.folder.join(ANSWER).exists();
    if !has_answered && handle.boot == proc::boot() && proc::lives(handle.pid, handle.start) {
        // The watcher goes on to write its answer; the sweep takes the folder then.
        stop(handle.pid, handle.start);
    } else {
        // What cannot be removed now is swept later.
        let _ = fs::remove_dir_all(&handle.folder);
    }
}

/// Removes what programs left that ended a day ago.
pub fn sweep(folder: &Path, now: Timestamp) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let changed = |name: &str| entry.path().join(name).metadata().and_then(|found| found.modified()).ok();
        // A folder without an answer was never finished; it goes when its order has grown old.
        let wait = if entry.path().join(ORDER).exists() && !entry.path().join(ANSWER).exists() { Span(KEPT.0 * 7) } else { KEPT };
        let Some(at) = changed(ANSWER).or_else(|| changed(ORDER)).or_else(|| changed("")) else { continue };
        let age =
            at.duration_since(std::time::UNIX_EPOCH).map_or(Span::ZERO, |since| now.since(Timestamp(since.as_millis() as i64)));
        if age > wait {
            // What cannot be removed now is swept later.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A watcher that waits for the word to begin.
pub(super) struct Watched {
    pub child: tokio::process::Child,
    pub handle: Handle,
    input: Option<tokio::process::ChildStdin>,
}

impl Watched {
    /// Makes a fresh folder, which `furnish` may put things into before the program's user gets it, and starts a watcher there.
    pub async fn start(
        means: &Means,
        order: &Order,
        furnish: impl FnOnce(&Path) -> Result<(), String> + Send + 'static,
    ) -> Result<Watched, String> {
        let folder = means.folder.join(id::uuid());
        let (path, order) = (folder.clone(), order.clone());
        let made = tokio::task::spawn_blocking(move || Fresh::make(path, &order, furnish)).await;
        let fresh = made.map_err(|_| "the work ended in a fault of the program".to_owned())??;
        let mut child = tokio::process::Command::new(&means.program)
            .arg("exec-step")
            .arg(&folder)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start a watcher for the program: {error}"))?;
        let input = child.stdin.take();
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let seen = pid.and_then(|pid| Some((pid, proc::stat(pid)?.start)));
        let (pid, start) = seen.ok_or("the watcher of the program ended at once")?;
        fresh.keep();
        Ok(Watched { child, handle: Handle { boot: proc::boot(), pid, start, folder }, input })
    }

    fn handle(&self) -> String {
        serde_json::to_string(&self.handle).expect("a handle is plain text and numbers")
    }

    /// Lets the program begin. With a leash it ends when this value goes.
    pub async fn say_begin(&mut self) -> std::io::Result<()> {
        let input = self.input.as_mut().ok_or_else(|| std::io::Error::other("the word was said already"))?;
        input.write_all(watcher::WORD).await?;
        input.flush().await
    }

    /// Ends a program on a leash; returns whether it and its folder have gone.
    pub async fn end(mut self) -> bool {
        drop(self.input.take());
        let ended = tokio::time::timeout(ANSWER_MAX, self.child.wait()).await.is_ok();
        let folder = self.handle.folder.clone();
        let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(&folder).is_ok() || !folder.exists()).await;
        ended && removed.unwrap_or(false)
    }

    pub fn work(&self) -> PathBuf {
        self.handle.folder.join(WORK)
    }

    pub fn folder(&self) -> &Path {
        &self.handle.folder
    }
}

/// A folder without a watcher: it goes again unless it is kept.
struct Fresh(Option<PathBuf>);

impl Fresh {
    fn make(folder: PathBuf, order: &Order, furnish: impl FnOnce(&Path) -> Result<(), String>) -> Result<Fresh, String> {
        let fault = |error: std::io::Error| format!("cannot make the folder {}: {error}", folder.display());
        // Others may pass through, since the program's user must, and cannot see what there is.
        let make = |path: &Path, mode, above| fs::DirBuilder::new().mode(mode).recursive(above).create(path).map_err(fault);
        let work = folder.join(WORK);
        make(folder.parent().unwrap_or(&folder), 0o711, true)?;
        // What is there already belongs to somebody else.
        make(&folder, 0o711, false)?;
        let fresh = Fresh(Some(folder.clone()));
        make(&work, 0o700, false)?;
        furnish(&work)?;
        if let Some((user, group)) = order.user {
            chown(&work, Some(user), Some(group)).map_err(fault)?;
        }
        write_whole(&folder, ORDER, order).map_err(fault)?;
        Ok(fresh)
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            // What cannot be removed now is swept later.
            let _ = fs::remove_dir_all(folder);
        }
    }
}
