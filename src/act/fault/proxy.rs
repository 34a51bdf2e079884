//! The fault proxy: a process that hands TCP connections on to a service, and harms them while it is told to.
//!
//! Traffic of users flows through it, so it stays when Tocsin is killed: its toxics end by its own clock, and the next Tocsin finds it
//! again. It ends when Tocsin tells it to, or by SIGTERM.

mod queue;
mod relay;
mod table;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::FaultError;
use super::folder::{READY, bind, leave_session, remove, say, stem};
use super::process::{Identity, ProcessState};
use super::proxies::ProxySetting;
use super::wire::{self, Answer, Ask, Status};
use super::with_cause;
use relay::Link;
use table::Table;

/// Connections at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;
/// Two sockets for each connection, and some for ourselves.
const FILES: u64 = 2 * CONNECTIONS_MAX as u64 + 64;
/// A port that could not be taken again, or a connection that could not be accepted, is tried again after this.
const AGAIN: Duration = Duration::from_millis(100);
/// How often it is looked whether the process lives that a proxy is tied to.
const TIED_LOOK: Duration = Duration::from_secs(1);

/// Returns the stem of the files of a proxy.
pub fn stem_of(name: &str) -> String {
    stem("proxy", name)
}

/// How many connections there are and were.
#[derive(Debug, Default)]
struct Tally {
    open: AtomicU64,
    opened: AtomicU64,
}

/// Relays until it is told to end, until SIGTERM, or until the process is gone that it is tied to. It works in the folder of sockets.
///
/// Errors: when it cannot listen; then it has said why.
pub async fn run_proxy(setting: ProxySetting, tied_to: Option<Identity>) -> Result<(), FaultError> {
    leave_session();
    let what = || format!("the proxy {}", setting.name);
    let failed = |cause| FaultError::Start { what: what(), cause };
    let begin = async {
        let listener = TcpListener::bind(&setting.listen).await.map_err(|cause| FaultError::Listen {
            name: setting.name.clone(),
            listen: setting.listen.clone(),
            cause,
        })?;
        let questions = bind(&stem_of(&setting.name)).await.map_err(failed)?;
        let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        Ok((listener, questions, terminate.map_err(failed)?, interrupt.map_err(failed)?))
    };
    let (listener, questions, mut terminate, mut interrupt) = match begin.await {
        Ok(begun) => begun,
        Err(error) => {
            say(&with_cause(&error));
            return Err(error);
        }
    };
    let files = getrlimit(Resource::Nofile);
    let most = files.maximum.unwrap_or(FILES).min(FILES).max(files.current.unwrap_or(FILES));
    // With fewer files it carries fewer connections.
    let _ = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: Some(most), ..files });

    let (table, tally) = (Arc::new(Table::default()), Arc::new(Tally::default()));
    tracing::info!(
        name = setting.name,
        listen = setting.listen,
        upstream = setting.upstream,
        pid = std::process::id(),
        "the proxy relays; SIGTERM ends it"
    );
    say(READY);
    tokio::select! {
        () = answer(&questions, &setting, &table, &tally) => {}
        () = accept(listener, &setting, &table, &tally) => {}
        () = table.end_in_time() => {}
        () = end_of(tied_to) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("the proxy ends");
    remove(format!("{}.sock", stem_of(&setting.name))).map_err(failed)
}

/// Waits for the end of a process; for ever where there is none.
async fn end_of(tied_to: Option<Identity>) {
    let Some(identity) = tied_to else { return std::future::pending().await };
    while !matches!(identity.state(), Ok(ProcessState::Gone)) {
        tokio::time::sleep(TIED_LOOK).await;
    }
}

/// Answers questions until one asks for the end.
async fn answer(questions: &UnixListener, setting: &ProxySetting, table: &Table, tally: &Tally) {
    let respond = |ask| {
        let said = match ask {
            Ask::Status => Answer::Status(Status {
                pid: std::process::id(),
                name: setting.name.clone(),
                listen: setting.listen.clone(),
                upstream: setting.upstream.clone(),
                open: tally.open.load(Ordering::Relaxed),
                opened: tally.opened.load(Ordering::Relaxed),
                faults: table.standing(&setting.name),
            }),
            Ask::Apply { tag, toxics, ttl } => table.apply(&tag, toxics, ttl).map_or_else(Answer::Refused, |()| Answer::Done),
            Ask::Heal { tag } => {
                table.heal(&tag);
                Answer::Done
            }
            Ask::Proof { tag } => {
                let (proof, down) = table.proof(&tag);
                Answer::Proof { proof, down }
            }
            Ask::Stop { .. } => Answer::Refused("a proxy stops no process".to_owned()),
            Ask::End => return (Answer::Done, false),
        };
        (said, true)
    };
    while wire::answer_one(questions, respond).await {}
}

/// Waits for room first: what is not accepted yet waits in the kernel, and can still go elsewhere.
async fn next(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?.0, permit))
}

/// Accepts connections, and listens only while no toxic says otherwise.
async fn accept(listener: TcpListener, setting: &ProxySetting, table: &Arc<Table>, tally: &Arc<Tally>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let link = Link::new(setting.upstream.clone(), table.clone());
    let mut changes = table.subscribe();
    let (mut listener, mut told) = (Some(listener), false);
    loop {
        let down = changes.borrow_and_update().is_down();
        if down {
            // Closing the socket is what makes the kernel refuse.
            listener = None;
        } else if listener.is_none() {
            match TcpListener::bind(&setting.listen).await {
                Ok(bound) => (listener, told) = (Some(bound), false),
                Err(error) if !told => {
                    tracing::error!(listen = setting.listen, %error, "cannot listen again; trying on");
                    told = true;
                }
                Err(_) => {}
            }
        }
        let accepted = tokio::select! {
            _ = changes.changed() => continue,
            () = tokio::time::sleep(AGAIN), if listener.is_none() && !down => continue,
            accepted = async {
                match &listener {
                    Some(listener) => next(listener, &room).await,
                    None => std::future::pending().await,
                }
            } => accepted,
        };
        match accepted {
            Ok((client, permit)) => {
                let (link, tally) = (link.clone(), tally.clone());
                tally.open.fetch_add(1, Ordering::Relaxed);
                tally.opened.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    link.carry(client).await;
                    tally.open.fetch_sub(1, Ordering::Relaxed);
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
