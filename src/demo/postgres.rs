//! The demo's real pair of PostgreSQL servers: a primary that keeps the shop's orders, and a standby that follows it.
//!
//! A server that ends is started again only as a standby: one that was the primary stays dead until `rejoin` has made a standby of it,
//! so that there are never two that take orders. Each server is in the hands of a keeper, which is this program and ends its server
//! when its own standard input closes, so none outlives the demo, however that ended.

mod keeper;
mod make;
mod programs;
mod rejoin;
mod supervise;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::process::Command;

pub use keeper::keep;
pub use rejoin::rejoin;
pub use supervise::Supervised;

/// The role of the pair, its only one, and its database.
const NAME: &str = "shop";
/// What one statement of ours may take.
const STATEMENT_MAX: Duration = Duration::from_secs(10);

/// One server, by the part that it has at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    Primary,
    Standby,
}

impl Server {
    pub const ALL: [Server; 2] = [Server::Primary, Server::Standby];

    pub fn word(self) -> &'static str {
        match self {
            Server::Primary => "primary",
            Server::Standby => "standby",
        }
    }

    fn other(self) -> Server {
        match self {
            Server::Primary => Server::Standby,
            Server::Standby => Server::Primary,
        }
    }
}

/// Where the pair is and who runs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The folder of PostgreSQL's own programs.
    pub programs: PathBuf,
    pub folder: PathBuf,
    /// User and group as whom the servers run, where we are root; they refuse to be.
    account: Option<(u32, u32)>,
    primary_port: u16,
    standby_port: u16,
    /// Where the standby finds the primary, when that is not the primary's own port.
    replication_port: Option<u16>,
}

/// The ports of a pair.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub primary: u16,
    pub standby: u16,
    pub replication: Option<u16>,
}

impl Pair {
    /// Returns where a pair goes; None when PostgreSQL is not installed.
    pub fn plan(data: &Path, ports: Ports) -> anyhow::Result<Option<Pair>> {
        let Some(programs) = programs::installed() else { return Ok(None) };
        let account = programs::account()?;
        let folder = programs::folder(data, account.is_some())?;
        Ok(Some(Pair {
            programs,
            folder,
            account,
            primary_port: ports.primary,
            standby_port: ports.standby,
            replication_port: ports.replication,
        }))
    }

    /// Reads the plan that a running demo has left in the pair's folder.
    pub fn find(folder: &Path) -> anyhow::Result<Pair> {
        let file = folder.join("pair.json");
        let text = std::fs::read(&file)
            .with_context(|| format!("cannot read {}; does `tocsin demo` run with PostgreSQL here?", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged; start `tocsin demo` again", file.display()))
    }

    pub fn port(&self, server: Server) -> u16 {
        match server {
            Server::Primary => self.primary_port,
            Server::Standby => self.standby_port,
        }
    }

    /// Returns the folder of a server's data.
    pub fn data(&self, server: Server) -> PathBuf {
        self.folder.join(server.word())
    }

    /// Returns the file whose first line is the server's process.
    pub fn pid_file(&self, server: Server) -> PathBuf {
        self.data(server).join("postmaster.pid")
    }

    pub fn backup(&self) -> PathBuf {
        self.folder.join("backup")
    }

    pub fn archive(&self) -> PathBuf {
        self.folder.join("archive")
    }

    pub fn password_file(&self) -> PathBuf {
        self.folder.join("password")
    }

    /// Returns the address of a server's database, without the password.
    pub fn url(&self, server: Server) -> String {
        format!("postgres://{NAME}@127.0.0.1:{}/{NAME}", self.port(server))
    }

    /// Returns the user as whom programs must run that touch the pair; None where we are that user.
    pub fn user(&self) -> Option<String> {
        self.account.and_then(|(user, _)| programs::name_of(user))
    }

    fn log(&self, server: Server) -> PathBuf {
        self.folder.join(format!("{}.log", server.word()))
    }

    /// Returns whether a server may start: it can only ever follow.
    fn only_follows(&self, server: Server) -> bool {
        self.data(server).join("standby.signal").exists()
    }

    fn password(&self) -> anyhow::Result<String> {
        let file = self.password_file();
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(text.trim().to_owned())
    }

    /// Returns a command of PostgreSQL's that runs as the servers do.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        if let Some((user, group)) = self.account.filter(|_| programs::are_we_root()) {
            command.uid(user).gid(group);
        }
        command.current_dir(&self.folder).stdin(std::process::Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a program of PostgreSQL's to its end.
    ///
    /// Errors: what it said, when it did not end well.
    async fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command(program);
        command.args(arguments).env("PGPASSWORD", self.password()?);
        let output = command.output().await.with_context(|| format!("cannot start {program}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            anyhow::bail!("{program} ended with {}: {}", output.status, said.trim());
        }
        Ok(())
    }

    /// Returns a pool that connects when it is first used.
    pub fn pool(&self, server: Server, connections: u32, patience: Duration) -> anyhow::Result<PgPool> {
        let options = PgConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port(server))
            .username(NAME)
            .password(&self.password()?)
            .database(NAME);
        Ok(PgPoolOptions::new().max_connections(connections).acquire_timeout(patience).connect_lazy_with(options))
    }

    /// Returns whether a server follows another one; an error when it does not answer.
    async fn follows(&self, server: Server) -> anyhow::Result<bool> {
        let pool = self.pool(server, 1, Duration::from_secs(2))?;
        let asked = sqlx::query_scalar::<_, bool>("SELECT pg_is_in_recovery()").fetch_one(&pool);
        let answer = tokio::time::timeout(STATEMENT_MAX, asked).await;
        pool.close().await;
        answer.context("it does not answer in time")?.with_context(|| format!("the {} does not answer", server.word()))
    }
}
