//! The parent's side of the demo platform: starting the services, keeping them alive, flipping their faults.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use super::kind::Kind;
use super::postgres::{Pair, Ports, Server, Supervised};

/// A fault that a service can be put into.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DemoFault)]
pub struct Fault {
    pub name: String,
    pub title: String,
    pub description: String,
    pub active: bool,
}

/// A service of the platform with its faults.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DemoService)]
pub struct Service {
    pub name: String,
    pub url: String,
    pub faults: Vec<Fault>,
}

/// Where the services listen; written beside the data, so that `tocsin demo fault` finds them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Platform {
    addresses: BTreeMap<String, SocketAddr>,
    /// None where PostgreSQL is not installed.
    pair: Option<Pair>,
    wires: Wires,
}

/// What a demo is started with.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    /// Start PostgreSQL, where it is installed.
    pub postgresql: bool,
}

/// Where the proxies listen that faults of the network are put into.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Wires {
    /// In front of `shop-db`.
    pub database: SocketAddr,
    /// Between the standby and the primary.
    pub replication: SocketAddr,
}

fn platform_file(data: &Path) -> PathBuf {
    data.join("demo").join("platform.json")
}

fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build().context("cannot make an HTTP client")
}

impl Platform {
    /// Picks free ports on loopback and writes them down.
    pub fn plan(data: &Path, choices: Choices) -> anyhow::Result<Platform> {
        let mut addresses = BTreeMap::new();
        // All listeners are held until every port is known, so that no two services get the same one.
        let mut held = Vec::new();
        let mut free = || -> anyhow::Result<SocketAddr> {
            let listener =
                std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port on loopback")?;
            let address = listener.local_addr().context("a listener has no address")?;
            held.push(listener);
            Ok(address)
        };
        for kind in Kind::ALL {
            addresses.insert(kind.word().to_owned(), free()?);
        }
        let wires = Wires { database: free()?, replication: free()? };
        let ports = Ports { primary: free()?.port(), standby: free()?.port(), replication: Some(wires.replication.port()) };
        let file = platform_file(data);
        std::fs::create_dir_all(data.join("demo").join("run"))
            .with_context(|| format!("cannot make the folder of {}", file.display()))?;
        let pair = if choices.postgresql { Pair::plan(data, ports)? } else { None };
        let platform = Platform { addresses, pair, wires };
        std::fs::write(&file, serde_json::to_vec_pretty(&platform)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(platform)
    }

    /// Reads where a running demo keeps its services.
    pub fn find(data: &Path) -> anyhow::Result<Platform> {
        let file = platform_file(data);
        let text = std::fs::read(&file)
            .with_context(|| format!("cannot read {}; is `tocsin demo` running on this data folder?", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged; start `tocsin demo` again", file.display()))
    }

    /// Returns each service's job name with its address.
    pub fn targets(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        Kind::ALL.into_iter().filter_map(|kind| Some((kind.job(), *self.addresses.get(kind.word())?)))
    }

    /// Returns the pair of PostgreSQL servers.
    ///
    /// Errors: PostgreSQL is not installed.
    pub fn pair(&self) -> anyhow::Result<&Pair> {
        self.pair.as_ref().context("this demo runs without PostgreSQL; install it, and start `tocsin demo` again")
    }

    /// Returns a sentence on where orders are kept.
    pub fn told_of_pair(&self) -> String {
        match &self.pair {
            Some(pair) => format!(
                "Orders are kept in PostgreSQL: a primary on port {}, and a standby on port {} that follows it.",
                pair.port(Server::Primary),
                pair.port(Server::Standby)
            ),
            None => "There is no PostgreSQL here, so orders are not kept, and no database can be lost in a drill.".to_owned(),
        }
    }

    pub fn address(&self, kind: Kind) -> anyhow::Result<SocketAddr> {
        self.addresses.get(kind.word()).copied().with_context(|| format!("{} has no address", kind.job()))
    }

    pub fn wires(&self) -> Wires {
        self.wires
    }

    /// Returns the file that holds the number of a service's process, in the demo's folder.
    pub fn pid_file(&self, folder: &Path, kind: Kind) -> PathBuf {
        folder.join("run").join(format!("{}.pid", kind.job()))
    }

    fn spawn(&self, kind: Kind, pair: Option<&Pair>, data: &Path) -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(program);
        command.arg("demo-service").arg(kind.word()).arg("--listen").arg(self.addresses[kind.word()].to_string());
        for (word, address) in &self.addresses {
            let address = if word == Kind::Database.word() { self.wires.database } else { *address };
            command.arg("--peer").arg(format!("{word}={address}"));
        }
        if let Some(pair) = pair.filter(|_| kind == Kind::Database) {
            command.arg("--pair").arg(&pair.folder);
        }
        // The pipe is the leash: it closes when this process ends, even by SIGKILL.
        let child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("cannot start {}", kind.job()))?;
        let (file, number) = (self.pid_file(&data.join("demo"), kind), child.id().unwrap_or_default());
        std::fs::write(&file, format!("{number}\n")).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(child)
    }

    /// Starts the servers and every service, and starts those again that end, until the future is dropped.
    pub async fn keep_running(&self, data: &Path) -> anyhow::Result<()> {
        let supervised = match &self.pair {
            Some(pair) => self.make(pair).await,
            None => None,
        };
        let pair = supervised.as_ref().map(|supervised| supervised.pair.clone());
        let services = self.keep_services(pair.as_ref(), data);
        match supervised {
            Some(mut supervised) => tokio::select! {
                ended = services => ended,
                ended = supervised.keep() => ended,
            },
            None => services.await,
        }
    }

    async fn make(&self, pair: &Pair) -> Option<Supervised> {
        match pair.clone().make().await {
            Ok(supervised) => Some(supervised),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "the demo goes on without PostgreSQL: orders are not kept");
                None
            }
        }
    }

    async fn keep_services(&self, pair: Option<&Pair>, data: &Path) -> anyhow::Result<()> {
        let mut children = Vec::new();
        for kind in Kind::ALL {
            children.push((kind, self.spawn(kind, pair, data)?));
        }
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            for (kind, child) in &mut children {
                if let Some(status) = child.try_wait().context("cannot ask after a child process")? {
                    tracing::warn!(service = kind.job(), %status, "a service of the demo platform ended; starting it again");
                    *child = self.spawn(*kind, pair, data)?;
                }
            }
        }
    }

    /// Asks every service for its faults; a service that does not answer shows its faults as inactive.
    pub async fn services(&self) -> anyhow::Result<Vec<Service>> {
        let client = client()?;
        let mut services = Vec::new();
        for kind in Kind::ALL {
            let Some(address) = self.addresses.get(kind.word()) else { continue };
            let states: BTreeMap<String, bool> = match client.get(format!("http://{address}/faults")).send().await {
                Ok(answer) => answer.json().await.unwrap_or_default(),
                Err(_) => BTreeMap::new(),
            };
            let faults = kind.faults().iter().map(|(name, title, description)| Fault {
                name: (*name).to_owned(),
                title: (*title).to_owned(),
                description: (*description).to_owned(),
                active: states.get(*name).copied().unwrap_or(false),
            });
            services.push(Service { name: kind.job().to_owned(), url: format!("http://{address}"), faults: faults.collect() });
        }
        Ok(services)
    }

    /// Returns the names of all faults.
    pub fn fault_names() -> Vec<&'static str> {
        Kind::ALL.iter().flat_map(|kind| kind.faults().iter().map(|fault| fault.0)).collect()
    }

    /// Switches a fault on or off.
    ///
    /// Errors: a name that no service knows, or a service that does not answer.
    pub async fn set_fault(&self, name: &str, active: bool) -> anyhow::Result<()> {
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.faults().iter().any(|fault| fault.0 == name)) else {
            bail!("there is no fault {name:?}; there are {}", Platform::fault_names().join(", "));
        };
        let address = self.addresses.get(kind.word()).with_context(|| format!("{} has no address", kind.job()))?;
        client()?
            .post(format!("http://{address}/faults/{name}"))
            .json(&serde_json::json!({ "active": active }))
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .with_context(|| format!("{} does not answer; is `tocsin demo` running?", kind.job()))?;
        Ok(())
    }
}
