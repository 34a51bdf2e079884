//! Making the pair afresh: a primary with the shop's table, a standby from its base backup, and a backup to restore from.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::keeper::start;
use super::supervise::Supervised;
use super::{NAME, Pair, Server};
use crate::clock::Stopwatch;
use crate::id;

const START_MAX: Duration = Duration::from_secs(60);
/// How long the servers of a demo that was killed may take to end.
const REMNANTS_MAX: Duration = Duration::from_secs(10);

/// Small, and quick rather than safe from a loss of power, since each start begins afresh. Segments of 1 MiB keep the archive small;
/// hints in the log let a former primary be rewound.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 60
shared_buffers = 16MB
fsync = off
wal_level = replica
wal_log_hints = on
max_wal_size = 64MB
min_wal_size = 8MB
wal_keep_size = 64MB
max_wal_senders = 8
wal_sender_timeout = 5s
wal_receiver_timeout = 5s
wal_retrieve_retry_interval = 500ms
hot_standby = on
archive_mode = on
archive_timeout = 30s
log_checkpoints = off
jit = off
";

impl Pair {
    /// Makes the pair and starts it; returns once both answer and the primary takes orders.
    pub async fn make(self) -> anyhow::Result<Supervised> {
        self.clear().await?;
        let password = id::secret();
        self.write("password", &password)?;
        self.write("pair.json", &serde_json::to_string_pretty(&self)?)?;
        let (data, file) = (self.data(Server::Primary), self.password_file());
        let (data, file) = (data.to_string_lossy(), format!("--pwfile={}", file.to_string_lossy()));
        let user = format!("--username={NAME}");
        let segments = "--wal-segsize=1";
        let settings = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions", segments];
        self.run("initdb", &[&settings[..], &[&user, &file, "-D", &data]].concat()).await?;
        let archive = self.archive();
        let archive = archive.to_string_lossy();
        let command = format!("archive_command = 'cp %p {archive}/%f.part && mv {archive}/%f.part {archive}/%f'\n");
        self.append(Server::Primary, "postgresql.conf", &format!("{SETTINGS}{command}"))?;
        let mut supervised = Supervised::new(self.clone());
        supervised.hold(Server::Primary, start(&self, Server::Primary)?);
        self.make_database(&password).await?;
        self.copy(Server::Standby.word(), &["-R"]).await?;
        if let Some(port) = self.replication_port {
            self.append(Server::Standby, "postgresql.auto.conf", &self.upstream(port)?)?;
        }
        supervised.hold(Server::Standby, start(&self, Server::Standby)?);
        self.copy("backup", &[]).await?;
        self.wait_for(Server::Standby).await?;
        Ok(supervised)
    }

    /// Returns the line that tells a standby where its primary is.
    pub(super) fn upstream(&self, port: u16) -> anyhow::Result<String> {
        let password = self.password()?;
        Ok(format!("primary_conninfo = 'host=127.0.0.1 port={port} user={NAME} password={password}'\n"))
    }

    /// Takes a base backup of the primary into a folder beside it.
    pub(super) async fn copy(&self, folder: &str, more: &[&str]) -> anyhow::Result<()> {
        let port = self.port(Server::Primary).to_string();
        self.copy_from(&port, folder, more).await
    }

    pub(super) async fn copy_from(&self, port: &str, folder: &str, more: &[&str]) -> anyhow::Result<()> {
        let to = self.folder.join(folder);
        let to = to.to_string_lossy();
        let arguments = ["-h", "127.0.0.1", "-p", port, "-U", NAME, "-D", &to, "-X", "stream", "-c", "fast", "--no-sync"];
        self.run("pg_basebackup", &[&arguments[..], more].concat()).await
    }

    /// Makes the folder anew. What is left of an earlier demo has its end before it by a moment at most.
    async fn clear(&self) -> anyhow::Result<()> {
        let (folder, watch) = (&self.folder, Stopwatch::start());
        loop {
            let removed = fs::remove_dir_all(folder);
            let is_gone = matches!(&removed, Err(error) if error.kind() == std::io::ErrorKind::NotFound);
            if removed.is_ok() || is_gone {
                break;
            }
            if watch.elapsed() > REMNANTS_MAX {
                return removed.with_context(|| format!("cannot clear {}", folder.display()));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for folder in [folder, &self.archive()] {
            // Nobody else can have made it, or this fails.
            fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
            self.give(folder)?;
        }
        Ok(())
    }

    /// Gives a file or folder to the account that the servers run as.
    fn give(&self, path: &std::path::Path) -> anyhow::Result<()> {
        match self.account {
            Some((user, group)) => {
                chown(path, Some(user), Some(group)).with_context(|| format!("cannot give {} away", path.display()))
            }
            None => Ok(()),
        }
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let file = self.folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        self.give(&file)
    }

    pub(super) fn append(&self, server: Server, name: &str, text: &str) -> anyhow::Result<()> {
        let file = self.data(server).join(name);
        let opened = fs::OpenOptions::new().append(true).open(&file);
        opened
            .and_then(|mut opened| opened.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    async fn make_database(&self, password: &str) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        let url = format!("postgres://{NAME}:{password}@127.0.0.1:{}/postgres", self.port(Server::Primary));
        let mut first = loop {
            match PgConnection::connect(&url).await {
                Ok(connection) => break connection,
                Err(error) if watch.elapsed() > START_MAX => return Err(error).context("the primary does not answer"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        sqlx::query("CREATE DATABASE shop").execute(&mut first).await.context("cannot make the database")?;
        first.close().await?;
        let pool = self.pool(Server::Primary, 1, START_MAX)?;
        let table =
            "CREATE TABLE shop_order (number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, placed_at_ms BIGINT NOT NULL)";
        sqlx::query(table).execute(&pool).await.context("cannot make the table of orders")?;
        pool.close().await;
        Ok(())
    }

    pub(super) async fn wait_for(&self, server: Server) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        while let Err(error) = self.follows(server).await {
            if watch.elapsed() > START_MAX {
                bail!("the {} did not start: {error:#}; its log is {}", server.word(), self.log(server).display());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}
