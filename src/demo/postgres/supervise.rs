//! The pair at work: what may start again is started, logs and the archive stay small.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use tokio::process::Child;

use super::keeper::start;
use super::{Pair, Server};
use crate::clock::Stopwatch;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A server that ends over and over is started this often at most.
const REST: Duration = Duration::from_secs(1);
const LOG_BYTES_MAX: u64 = 4 << 20;
/// The archive is cut to what belongs to the base backup, which is taken anew this often.
const BACKUP_EVERY: Duration = Duration::from_secs(3600);

/// The pair with its keepers.
pub struct Supervised {
    pub pair: Pair,
    keepers: BTreeMap<Server, (Child, Stopwatch)>,
}

impl Supervised {
    pub(super) fn new(pair: Pair) -> Supervised {
        Supervised { pair, keepers: BTreeMap::new() }
    }

    pub(super) fn hold(&mut self, server: Server, keeper: Child) {
        self.keepers.insert(server, (keeper, Stopwatch::start()));
    }

    /// Looks after the pair until the future is dropped.
    pub async fn keep(&mut self) -> anyhow::Result<()> {
        let mut since_backup = Stopwatch::start();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            for server in Server::ALL {
                self.look(server)?;
            }
            if since_backup.elapsed() > BACKUP_EVERY {
                since_backup = Stopwatch::start();
                if let Err(error) = self.renew_backup().await {
                    tracing::warn!(error = format!("{error:#}"), "the base backup of the demo's database was not renewed");
                }
            }
        }
    }

    fn look(&mut self, server: Server) -> anyhow::Result<()> {
        let log = self.pair.log(server);
        if std::fs::metadata(&log).is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
            let opened = std::fs::OpenOptions::new().write(true).open(&log);
            // A log that cannot be cut is tried again at the next look.
            let _ = opened.and_then(|file| file.set_len(0));
        }
        let (ended, rested) = match self.keepers.get_mut(&server) {
            Some((keeper, since)) => {
                (keeper.try_wait().context("cannot ask after a child process")?.is_some(), since.elapsed() > REST)
            }
            None => (false, true),
        };
        if ended {
            self.keepers.remove(&server);
            let word = server.word();
            match self.pair.only_follows(server) {
                true => tracing::warn!(server = word, "a standby of the demo's database ended; starting it again"),
                false => tracing::warn!(
                    server = word,
                    "the demo's database lost a server that took orders; it stays dead until `tocsin demo rejoin`"
                ),
            }
        }
        if rested && !self.keepers.contains_key(&server) && self.pair.only_follows(server) {
            let keeper = start(&self.pair, server)?;
            self.hold(server, keeper);
        }
        Ok(())
    }

    /// Takes a new base backup of the server that takes orders, and lets go of the archive before it.
    async fn renew_backup(&self) -> anyhow::Result<()> {
        let mut source = None;
        for server in Server::ALL {
            if self.pair.follows(server).await.is_ok_and(|follows| !follows) {
                source = Some(server);
            }
        }
        let Some(source) = source else { return Ok(()) };
        let (fresh, old) = (self.pair.folder.join("backup-new"), self.pair.backup());
        // What an earlier try left is in the way.
        let _ = std::fs::remove_dir_all(&fresh);
        self.pair.copy_from(&self.pair.port(source).to_string(), "backup-new", &[]).await?;
        std::fs::remove_dir_all(&old).context("cannot remove the backup before")?;
        std::fs::rename(&fresh, &old).context("cannot put the new backup in its place")?;
        let label = std::fs::read_to_string(old.join("backup_label")).context("the backup has no label")?;
        let first = label.lines().find_map(|line| line.split_once("(file ")?.1.strip_suffix(')'));
        let first = first.context("the label of the backup names no file")?.to_owned();
        let archive = self.pair.archive();
        self.pair.run("pg_archivecleanup", &[&archive.to_string_lossy(), &first]).await
    }
}
