//! Tocsin dies in the middle of a fault: the fault ends all the same, and the next Tocsin finds it.

use std::process::Stdio;
use std::time::Duration;

use tocsin::act::fault::{Faults, Identity, ProcessState, Subject};
use tocsin::clock::Stopwatch;
use tocsin_core::run::action::Signal;
use tocsin_core::run::lever::{Toxic, ToxicKind};
use tocsin_core::time::Span;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::peers::{NAME, PROGRAM, Stage, ms};
use super::signals::sleeper;
use super::standing::proxies_on;
use crate::harness::soon;

/// Present in the environment of a child that plays Tocsin: the folder, and what it puts.
const ROLE: &str = "TOCSIN_TEST_FAULT_ROLE";
/// Long enough that a loaded machine kills and looks before it is over.
const TTL: Span = Span(10_000);

/// What a parent does that will be killed. As a test of its own it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn role_of_a_tocsin_that_is_killed() {
    let Some(role) = std::env::var_os(ROLE) else { return };
    let role: serde_json::Value = serde_json::from_str(role.to_str().expect("a text")).expect("a role");
    let faults = Faults::with_program(role["folder"].as_str().expect("a folder"), PROGRAM).expect("a folder");
    if let Some(pid) = role["pid"].as_i64() {
        let identity = Identity::of(i32::try_from(pid).expect("a number")).expect("it can be seen").expect("it runs");
        faults.signal("stopped", identity, Signal::Stop, Some(TTL)).await.expect("it is stopped");
    } else {
        faults.apply(NAME, "hole", &[Toxic::new(ToxicKind::Blackhole)], TTL).await.expect("the fault is put");
    }
    println!("it stands");
    std::future::pending().await
}

/// Starts a Tocsin that puts a fault; returns once it stands, with a clock that was started before.
async fn tocsin_with_fault(role: serde_json::Value) -> (Child, Stopwatch) {
    let watch = Stopwatch::start();
    let mut child = Command::new(std::env::current_exe().expect("our own file"))
        .args(["--exact", "faults::crash::role_of_a_tocsin_that_is_killed", "--nocapture"])
        .env(ROLE, role.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let reading = async { while lines.next_line().await.expect("a line").is_some_and(|line| !line.contains("it stands")) {} };
    tokio::time::timeout(Duration::from_secs(30), reading).await.expect("in time");
    (child, watch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blackhole_ends_in_time_though_tocsin_was_killed() {
    let stage = Stage::set().await;
    let folder = stage.folder.path().join("faults");
    let (mut tocsin, watch) = tocsin_with_fault(serde_json::json!({ "folder": folder })).await;
    let mut hit = stage.client().await;
    hit.stream.write_all(b"into the void").await.expect("it is taken");
    tocsin.kill().await.expect("it is killed");
    hit.assert_silent(ms(200)).await;

    // The next Tocsin on this folder: it finds the proxy, and what it does.
    let next = Faults::with_program(&folder, PROGRAM).expect("a folder");
    let before = proxies_on(&stage.setting.listen);
    assert!(next.proxies.replace(std::slice::from_ref(&stage.setting)).await.is_empty());
    assert_eq!(proxies_on(&stage.setting.listen), before, "the same process");
    let standing = next.standing().await;
    assert_eq!(standing.len(), 1, "{standing:?}");
    assert_eq!((standing[0].tag.as_str(), standing[0].kind.as_str()), ("hole", "blackhole"));
    assert_eq!(standing[0].subject, Subject::Proxy(NAME.to_owned()));
    assert_eq!(standing[0].until - standing[0].since, TTL);

    assert_eq!(hit.end().await, Err(std::io::ErrorKind::ConnectionReset));
    let took = watch.elapsed();
    assert!(took >= TTL.to_std() && took < TTL.to_std() + Duration::from_secs(15), "{took:?}");
    stage.client().await.echo(b"healed").await.expect("an echo");
    assert!(next.standing().await.is_empty());
    let proof = next.proof(NAME, "hole").await.expect("a proof");
    assert_eq!((proof.active, proof.connections, proof.bytes), (false, 1, 13), "what it did can still be asked for");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_goes_on_in_time_though_tocsin_was_killed() {
    let folder = tempfile::TempDir::with_prefix("tocsin-faults-").expect("a folder");
    let (_child, identity) = sleeper();
    let path = folder.path().join("faults");
    let (mut tocsin, watch) = tocsin_with_fault(serde_json::json!({ "folder": path, "pid": identity.pid })).await;
    tocsin.kill().await.expect("it is killed");
    assert_eq!(identity.state().expect("it can be seen"), ProcessState::Stopped);

    let next = Faults::with_program(&path, PROGRAM).expect("a folder");
    let standing = next.standing().await;
    assert_eq!(standing.len(), 1, "{standing:?}");
    assert_eq!((standing[0].tag.as_str(), &standing[0].subject), ("stopped", &Subject::Process(identity)));

    soon("it runs", async || (identity.state().ok()? == ProcessState::Running).then_some(())).await;
    let took = watch.elapsed();
    assert!(took >= TTL.to_std() && took < TTL.to_std() + Duration::from_secs(15), "{took:?}");
    soon("the guard has gone", async || next.standing().await.is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_tocsin_heals_what_it_finds() {
    let stage = Stage::set().await;
    let folder = stage.folder.path().join("faults");
    let (_child, identity) = sleeper();
    for role in [serde_json::json!({ "folder": folder }), serde_json::json!({ "folder": folder, "pid": identity.pid })] {
        tocsin_with_fault(role).await.0.kill().await.expect("it is killed");
    }
    let next = Faults::with_program(&folder, PROGRAM).expect("a folder");
    let standing = next.standing().await;
    assert_eq!(standing.len(), 2, "{standing:?}");
    for fault in &standing {
        next.end(fault).await.expect("it is healed");
    }
    // A guard answers once it has healed, and goes a moment after.
    soon("the guards have gone", async || next.standing().await.is_empty().then_some(())).await;
    soon("it runs", async || (identity.state().ok()? == ProcessState::Running).then_some(())).await;
    stage.client().await.echo(b"healed").await.expect("an echo");
    stage.strike().await;
}
