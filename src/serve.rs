//! The service: everything wired together, started, reloaded and stopped.

mod acting;
mod chores;
mod listen;
mod open;
mod reload;
mod run;
mod start;
mod stop;
mod tasks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tocsin_core::problem::Problem;

use crate::config::Sources;
use crate::demo::Platform;

pub use listen::DEFAULT_LISTEN;

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Args {
    pub sources: Sources,
    pub data: PathBuf,
    /// Empty: what the configuration says, else `DEFAULT_LISTEN`.
    pub listen: Vec<SocketAddr>,
    /// Where people reach us from outside, whatever the configuration says.
    pub external_url: Option<String>,
    /// Below which path all is served, whatever the configuration says.
    pub route_prefix: Option<String>,
    pub auth: bool,
    pub platform: Option<Arc<Platform>>,
    /// Other servers may write samples, whatever the configuration says.
    pub remote_write_receiver: bool,
}

/// Runs the service until a signal asks it to stop.
///
/// Errors: when it cannot start, and when a task has died without which nobody would be told; the next start goes on from what was
/// recorded.
pub async fn serve(args: Args) -> anyhow::Result<()> {
    // First of all, since a signal that nobody listens for ends the process.
    let mut signals = run::Signals::listen()?;
    let mut service = tokio::select! {
        started = start::start(args) => started?,
        () = signals.terminated() => {
            tracing::info!("stopped before it had started");
            return Ok(());
        }
    };
    let ended = run::run(&mut service, &mut signals).await;
    let stopped = tokio::select! {
        stopped = stop::stop(service) => stopped,
        () = signals.terminated() => {
            tracing::warn!("asked twice to stop, so it stops at once; what was recorded is safe");
            Ok(())
        }
    };
    ended.and(stopped)
}

/// Returns problems one a line.
pub fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
