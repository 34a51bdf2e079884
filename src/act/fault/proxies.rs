//! The proxies of the configuration, as Tocsin sees them: started or found again, watched over, and ended.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use tocsin_core::run::lever::Toxic;
use tocsin_core::time::Span;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::folder::{Folder, remove};
use super::process::Identity;
use super::proxy::stem_of;
use super::wire::{Answer, Ask, Status};
use super::{FaultError, Proof, StandingFault};

/// How often each proxy is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A proxy that ends frees its port within this.
const END_MAX: Duration = Duration::from_secs(5);
/// A connection of our own to see whether anybody listens.
const KNOCK_MAX: Duration = Duration::from_secs(2);

/// A proxy of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySetting {
    pub name: String,
    /// `address:port`, as is `upstream`.
    pub listen: String,
    pub upstream: String,
}

/// The proxies of one data folder.
#[derive(Debug)]
pub struct Proxies {
    folder: Folder,
    /// What the configuration wants. Held while proxies are started and ended.
    wanted: Mutex<Vec<ProxySetting>>,
    /// The process with which proxies end.
    pub(super) tied_to: Option<Identity>,
}

fn what(name: &str) -> String {
    format!("the proxy {name}")
}

impl Proxies {
    pub(super) fn new(folder: Folder) -> Proxies {
        Proxies { folder, wanted: Mutex::default(), tied_to: None }
    }

    /// Has exactly these proxies run: those that run already as they are to be go on undisturbed, with their toxics; the others are
    /// ended, and the missing ones are started.
    ///
    /// Returns the failures; each concerns one proxy, and `keep_running` tries it again.
    pub async fn replace(&self, settings: &[ProxySetting]) -> Vec<FaultError> {
        let mut wanted = self.wanted.lock().await;
        *wanted = settings.to_vec();
        let mut failures = Vec::new();
        let mut running = BTreeSet::new();
        for (stem, status) in self.running(&mut failures).await {
            let is_wanted = |setting: &ProxySetting| {
                (&setting.name, &setting.listen, &setting.upstream) == (&status.name, &status.listen, &status.upstream)
            };
            if wanted.iter().any(is_wanted) {
                tracing::info!(name = status.name, pid = status.pid, faults = status.faults.len(), "a proxy runs already");
                running.insert(status.name);
            } else if let Err(error) = self.end(&status.name, &stem).await {
                failures.push(error);
            }
        }
        for setting in wanted.iter().filter(|setting| !running.contains(&setting.name)) {
            if let Err(error) = self.start(setting).await {
                failures.push(error);
            }
        }
        failures
    }

    /// Starts proxies again that have died, for ever: users' traffic flows through them.
    pub async fn keep_running(&self) {
        let mut failing = BTreeSet::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let wanted = self.wanted.lock().await;
            failing.retain(|name| wanted.iter().any(|setting| setting.name == *name));
            for setting in wanted.iter() {
                // One that is busy, or held up, has its port: only where there is none another can take its place.
                let asked = self.folder.ask(&what(&setting.name), &stem_of(&setting.name), &Ask::Status).await;
                if !matches!(asked, Err(FaultError::Absent { .. })) {
                    failing.remove(&setting.name);
                    continue;
                }
                match self.start(setting).await {
                    Ok(()) => {
                        tracing::warn!(name = setting.name, "a proxy had died; it was started again, without its toxics");
                        failing.remove(&setting.name);
                    }
                    Err(error) if failing.insert(setting.name.clone()) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "a proxy is not running; trying on");
                    }
                    Err(_) => {}
                }
            }
        }
    }

    async fn start(&self, setting: &ProxySetting) -> Result<(), FaultError> {
        let mut arguments = vec![
            "fault-proxy".to_owned(),
            format!("--name={}", setting.name),
            format!("--listen={}", setting.listen),
            format!("--upstream={}", setting.upstream),
        ];
        arguments.extend(self.tied_to.map(|identity| format!("--tied-to={}:{}", identity.pid, identity.started)));
        self.folder.start(&what(&setting.name), &stem_of(&setting.name), &arguments).await
    }

    /// Returns every proxy that answers. What dead ones left is removed.
    async fn running(&self, failures: &mut Vec<FaultError>) -> Vec<(String, Status)> {
        let stems = self.folder.stems("proxy", "sock").unwrap_or_else(|error| {
            failures.push(error);
            Vec::new()
        });
        let mut found = Vec::new();
        for stem in stems {
            match self.folder.ask(&format!("the proxy behind {stem}.sock"), &stem, &Ask::Status).await {
                Ok(Answer::Status(status)) => found.push((stem, status)),
                Ok(answer) => tracing::error!(?answer, "a proxy answers something else than it was asked"),
                Err(FaultError::Absent { .. }) => {
                    let path = self.folder.file(&format!("{stem}.sock"));
                    failures.extend(remove(&path).map_err(|cause| FaultError::Folder { path, cause }).err());
                }
                Err(error) => failures.push(error),
            }
        }
        found
    }

    /// Ends a proxy, and waits until it has left its port.
    async fn end(&self, name: &str, stem: &str) -> Result<(), FaultError> {
        let ended = async {
            loop {
                match self.folder.ask(&what(name), stem, &Ask::End).await {
                    Err(FaultError::Absent { .. }) => return Ok(()),
                    // It went while it was asked.
                    Ok(_) | Err(FaultError::Silent { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(error) => return Err(error),
                }
            }
        };
        let late = |_| {
            let cause = io::Error::new(io::ErrorKind::TimedOut, "it was told to end, and is still there");
            Err(FaultError::Silent { what: what(name), cause })
        };
        tokio::time::timeout(END_MAX, ended).await.unwrap_or_else(late)?;
        tracing::info!(name, "a proxy was ended");
        Ok(())
    }

    /// Ends every proxy. Failures are logged.
    pub(super) async fn stop(&self) {
        for error in self.replace(&[]).await {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot end a proxy");
        }
    }

    async fn ask(&self, name: &str, ask: &Ask) -> Result<Answer, FaultError> {
        self.folder.ask(&what(name), &stem_of(name), ask).await
    }

    pub(super) async fn apply(&self, name: &str, tag: &str, toxics: &[Toxic], ttl: Span) -> Result<(), FaultError> {
        let ask = Ask::Apply { tag: tag.to_owned(), toxics: toxics.to_vec(), ttl };
        self.ask(name, &ask).await.map(|_| ())
    }

    pub(super) async fn heal(&self, name: &str, tag: &str) -> Result<(), FaultError> {
        match self.ask(name, &Ask::Heal { tag: tag.to_owned() }).await {
            // Its toxics went with it.
            Err(FaultError::Absent { .. }) => Ok(()),
            answered => answered.map(|_| ()),
        }
    }

    pub(super) async fn proof(&self, name: &str, tag: &str) -> Result<Proof, FaultError> {
        let Answer::Proof { mut proof, down } = self.ask(name, &Ask::Proof { tag: tag.to_owned() }).await? else {
            return Err(FaultError::Refused(format!("the proxy {name} answers something else than it was asked")));
        };
        // Refusing is the kernel's work, and nobody counts it; so we knock ourselves.
        if down
            && let Ok(Answer::Status(status)) = self.ask(name, &Ask::Status).await
            && let Ok(Err(error)) = tokio::time::timeout(KNOCK_MAX, TcpStream::connect(&status.listen)).await
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            proof.connections += 1;
        }
        Ok(proof)
    }

    pub(super) async fn standing(&self) -> Vec<StandingFault> {
        let mut failures = Vec::new();
        let running = self.running(&mut failures).await;
        for error in failures {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot ask a proxy for its faults");
        }
        running.into_iter().flat_map(|(_, status)| status.faults).collect()
    }
}
