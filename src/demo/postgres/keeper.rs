//! The keeper of one server: it starts it, and ends it when its own parent ends.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

use super::super::service::parent_gone;
use super::{Pair, Server};

/// A server that is told to stop at once has this long.
const STOP_MAX: Duration = Duration::from_secs(3);

/// Starts the keeper of a server.
pub fn start(pair: &Pair, server: Server) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = Command::new(program);
    command.arg("demo-postgres").arg(server.word()).arg("--pair").arg(&pair.folder);
    // The pipe is the leash: it closes when this process ends, even by SIGKILL. A keeper that is killed could not end its server, so
    // letting go of it closes the pipe and does no more.
    command.stdin(Stdio::piped()).spawn().with_context(|| format!("cannot start the keeper of the {}", server.word()))
}

/// Runs a server until standard input closes, or until the server ends by itself.
pub async fn keep(folder: &Path, word: &str) -> anyhow::Result<()> {
    let pair = Pair::find(folder)?;
    let Some(server) = Server::ALL.into_iter().find(|server| server.word() == word) else {
        bail!("there is no server {word:?}; there are primary and standby");
    };
    let (data, port) = (pair.data(server), pair.port(server));
    let log = pair.log(server);
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    let mut child = pair
        .command("postgres")
        .arg("-D")
        .arg(&data)
        .args(["-c", &format!("port={port}"), "-c", &format!("cluster_name=shop-{word}")])
        .stdout(log.try_clone().context("cannot share the log")?)
        .stderr(log)
        .spawn()
        .context("cannot start postgres")?;
    tokio::select! {
        status = child.wait() => {
            let status = status.context("cannot ask after the server")?;
            bail!("the {word} ended with {status}");
        }
        () = parent_gone() => {}
    }
    let mut stop = pair.command("pg_ctl");
    stop.args(["stop", "-m", "immediate", "-W", "-D"]).arg(&data).stdout(Stdio::null()).stderr(Stdio::null());
    // Whether it could be told or not, what counts is that it ends.
    let _ = stop.status().await;
    if tokio::time::timeout(STOP_MAX, child.wait()).await.is_err() {
        child.kill().await.context("cannot end the server")?;
    }
    Ok(())
}
