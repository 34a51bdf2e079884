//! Processes that are stopped, woken and ended, and who is never hit.

use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tocsin::act::fault::{FaultError, Faults, Identity, ProcessState, Subject};
use tocsin::clock::Stopwatch;
use tocsin_core::run::action::Signal;
use tocsin_core::time::Span;
use tokio::process::{Child, Command};

use super::peers::{LONG, PROGRAM, ms};
use crate::harness::soon;

/// A process that does nothing for a long time.
pub fn sleeper() -> (Child, Identity) {
    let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).kill_on_drop(true).spawn().expect("sleep starts");
    let pid = i32::try_from(child.id().expect("it runs")).expect("a number");
    // Whoever starts a program may go on before the new one has its command line.
    let line = format!("/proc/{pid}/cmdline");
    while std::fs::read(&line).expect("it runs").is_empty() {
        std::thread::yield_now();
    }
    let identity = Identity::of(pid).expect("it can be seen").expect("it runs");
    (child, identity)
}

fn door(folder: &TempDir) -> Faults {
    Faults::with_program(folder.path().join("faults"), PROGRAM).expect("a folder")
}

fn folder() -> TempDir {
    TempDir::with_prefix("tocsin-faults-").expect("a folder")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_goes_on_when_it_is_told_to() {
    let (folder, (_child, identity)) = (folder(), sleeper());
    let faults = door(&folder);
    faults.signal("t", identity, Signal::Stop, Some(LONG)).await.expect("it is stopped");
    soon("it is stopped", async || (faults.state(identity).ok()? == ProcessState::Stopped).then_some(())).await;
    let standing = faults.standing().await;
    assert_eq!(standing.len(), 1, "{standing:?}");
    assert_eq!((standing[0].tag.as_str(), standing[0].kind.as_str(), standing[0].guarded), ("t", "stop", true));
    assert_eq!(standing[0].subject, Subject::Process(identity));
    assert_eq!(standing[0].until - standing[0].since, LONG);

    let other = faults.signal("u", identity, Signal::Stop, Some(LONG)).await;
    assert!(matches!(&other, Err(FaultError::Refused(why)) if why.contains("\"t\"")), "{other:?}");

    faults.resume(identity).await.expect("it is woken");
    soon("it runs", async || (faults.state(identity).ok()? == ProcessState::Running).then_some(())).await;
    soon("the guard has gone", async || faults.standing().await.is_empty().then_some(())).await;
    faults.resume(identity).await.expect("who runs needs nothing");
    soon("nothing is left", async || (std::fs::read_dir(folder.path().join("faults")).ok()?.count() == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_goes_on_by_itself() {
    let (folder, (_child, identity)) = (folder(), sleeper());
    let faults = door(&folder);
    let watch = Stopwatch::start();
    faults.signal("t", identity, Signal::Stop, Some(Span(700))).await.expect("it is stopped");
    soon("it is stopped", async || (faults.state(identity).ok()? == ProcessState::Stopped).then_some(())).await;
    soon("it runs", async || (faults.state(identity).ok()? == ProcessState::Running).then_some(())).await;
    assert!(watch.elapsed() >= ms(695) && watch.elapsed() < Duration::from_secs(15), "{:?}", watch.elapsed());

    // A second order under the same tag counts from its own time.
    faults.signal("t", identity, Signal::Stop, Some(Span(1_000))).await.expect("it is stopped");
    tokio::time::sleep(ms(500)).await;
    let watch = Stopwatch::start();
    faults.signal("t", identity, Signal::Stop, Some(Span(2_000))).await.expect("it is stopped");
    tokio::time::sleep(ms(1_000)).await;
    assert_eq!(faults.state(identity).expect("it can be seen"), ProcessState::Stopped);
    soon("it runs", async || (faults.state(identity).ok()? == ProcessState::Running).then_some(())).await;
    assert!(watch.elapsed() >= ms(1_995), "{:?}", watch.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_without_an_end_is_refused() {
    let (folder, (_child, identity)) = (folder(), sleeper());
    let faults = door(&folder);
    for ttl in [None, Some(Span::ZERO), Some(Span::from_mins(24 * 60 + 1))] {
        let refused = faults.signal("t", identity, Signal::Stop, ttl).await;
        assert!(matches!(refused, Err(FaultError::NoEnd)), "{refused:?}");
    }
    assert_eq!(faults.state(identity).expect("it can be seen"), ProcessState::Running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_is_hit() {
    let (folder, (_child, identity)) = (folder(), sleeper());
    let faults = door(&folder);
    let stranger = Identity { started: identity.started + 1, ..identity };
    for signal in [Signal::Stop, Signal::Term, Signal::Kill] {
        let refused = faults.signal("t", stranger, signal, Some(LONG)).await;
        assert!(matches!(refused, Err(FaultError::Gone(pid)) if pid == identity.pid), "{refused:?}");
    }
    assert_eq!(faults.state(stranger).expect("it can be seen"), ProcessState::Gone);
    assert_eq!(faults.state(identity).expect("it can be seen"), ProcessState::Running);
    let own = i32::try_from(std::process::id()).expect("a number");
    for pid in [own, 1] {
        let identity = Identity::of(pid).expect("it can be seen").expect("it runs");
        let refused = faults.signal("t", identity, Signal::Stop, Some(LONG)).await;
        assert!(matches!(refused, Err(FaultError::Own(_))), "{refused:?}");
    }
    // The guard looks for itself, whoever starts it.
    let started = Command::new(PROGRAM)
        .args(["fault-guard", "--tag=t", &format!("--pid={}", stranger.pid), &format!("--started={}", stranger.started)])
        .args(["--ttl-ms=1000"])
        .current_dir(folder.path())
        .output()
        .await
        .expect("it ends");
    assert!(!started.status.success() && String::from_utf8_lossy(&started.stdout).contains("is gone"), "{started:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_are_seen_and_the_dead_need_no_healing() {
    let (folder, (mut child, identity)) = (folder(), sleeper());
    let faults = door(&folder);
    faults.signal("t", identity, Signal::Stop, Some(LONG)).await.expect("it is stopped");
    faults.signal("u", identity, Signal::Kill, None).await.expect("it is killed");
    // Nobody has asked after it yet, so it is a zombie.
    soon("it is gone", async || (faults.state(identity).ok()? == ProcessState::Gone).then_some(())).await;
    soon("its guard has gone", async || faults.standing().await.is_empty().then_some(())).await;
    child.wait().await.expect("it ended");
    faults.resume(identity).await.expect("the dead need nothing");
    let again = faults.signal("u", identity, Signal::Term, None).await;
    assert!(matches!(again, Err(FaultError::Gone(_))), "{again:?}");

    let (mut child, identity) = sleeper();
    faults.signal("u", identity, Signal::Term, None).await.expect("it is told to end");
    assert!(!child.wait().await.expect("it ended").success());
}

#[tokio::test]
async fn a_process_is_found_by_its_file_and_its_command() {
    let (folder, (_child, identity)) = (folder(), sleeper());
    let file = folder.path().join("pid");
    std::fs::write(&file, format!("{}\n/some/more/lines\n", identity.pid)).expect("a file");
    assert_eq!(Identity::find(&file, "sleep 1000").expect("it is found"), identity);
    let other = Identity::find(&file, "postgres");
    assert!(matches!(other, Err(FaultError::OtherCommand { .. })), "{other:?}");
    for (text, part) in [("", "no number"), ("-5", "no number"), ("abc", "no number")] {
        std::fs::write(&file, text).expect("a file");
        let refused = Identity::find(&file, "sleep").expect_err("it is refused").to_string();
        assert!(refused.contains(part), "{refused}");
    }
    std::fs::write(&file, format!("{}", i32::MAX)).expect("a file");
    assert!(matches!(Identity::find(&file, "sleep"), Err(FaultError::Gone(i32::MAX))));
    assert!(matches!(Identity::find(&folder.path().join("nothing"), "sleep"), Err(FaultError::PidFile { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_that_is_told_to_end_wakes_its_process_first() {
    let (folder, (_child, identity)) = (folder(), sleeper());
    let faults = door(&folder);
    faults.signal("t", identity, Signal::Stop, Some(LONG)).await.expect("it is stopped");
    let guard = guard_of(identity);
    kill("TERM", guard).await;
    soon("it runs", async || (faults.state(identity).ok()? == ProcessState::Running).then_some(())).await;

    // A guard that is killed can do nothing; then the fault is told of as one that only we can heal.
    faults.signal("t", identity, Signal::Stop, Some(LONG)).await.expect("it is stopped");
    kill("KILL", guard_of(identity)).await;
    let orphan = soon("it is told of", async || {
        let standing = faults.standing().await;
        standing.into_iter().find(|fault| !fault.guarded)
    })
    .await;
    assert_eq!(faults.state(identity).expect("it can be seen"), ProcessState::Stopped);
    faults.end(&orphan).await.expect("it is healed");
    soon("it runs", async || (faults.state(identity).ok()? == ProcessState::Running).then_some(())).await;
    assert!(faults.standing().await.is_empty());
}

/// Returns the process that guards another one, by its command line.
pub fn guard_of(identity: Identity) -> i32 {
    let mark = format!("--pid={}\0", identity.pid);
    let guards = std::fs::read_dir("/proc").expect("the list of processes").filter_map(|entry| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        (line.contains("fault-guard") && line.contains(&mark)).then_some(pid)
    });
    let guards: Vec<i32> = guards.collect();
    assert_eq!(guards.len(), 1, "{guards:?}");
    guards[0]
}

/// Sends a signal with the system's own program.
pub async fn kill(name: &str, pid: i32) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().await.expect("kill runs");
    assert!(status.success());
}
