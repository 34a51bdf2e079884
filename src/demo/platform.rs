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
}

const CONFIGURATION: &str = include_str!("tocsin.yml");
const RULES: &str = include_str!("../../rules/demo.yml");
const OBJECTIVES: &str = include_str!("../../rules/slo/demo.yml");

fn platform_file(data: &Path) -> PathBuf {
    data.join("demo").join("platform.json")
}

fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build().context("cannot make an HTTP client")
}

impl Platform {
    /// Picks free ports on loopback and writes them down.
    pub fn plan(data: &Path) -> anyhow::Result<Platform> {
        let mut addresses = BTreeMap::new();
        // All listeners are held until every port is known, so that no two services get the same one.
        let mut held = Vec::new();
        for kind in Kind::ALL {
            let listener =
                std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port on loopback")?;
            addresses.insert(kind.word().to_owned(), listener.local_addr().context("a listener has no address")?);
            held.push(listener);
        }
        let platform = Platform { addresses };
        let file = platform_file(data);
        std::fs::create_dir_all(data.join("demo")).with_context(|| format!("cannot make the folder of {}", file.display()))?;
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

    /// Writes the demo's configuration, rules and objectives beside the data; returns the configuration's file.
    pub fn write_configuration(&self, data: &Path) -> anyhow::Result<PathBuf> {
        let folder = data.join("demo");
        let mut text = CONFIGURATION.to_owned();
        for (job, address) in self.targets() {
            text.push_str(&format!(
                "  - job_name: {job}\n    static_configs:\n      - targets: ['{address}']\n        labels: {{service: shop}}\n"
            ));
        }
        let file = folder.join("tocsin.yml");
        let files = [(&file, text.as_str()), (&folder.join("rules.yml"), RULES), (&folder.join("slo.yml"), OBJECTIVES)];
        for (path, text) in files {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(file)
    }

    fn spawn(&self, kind: Kind) -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(program);
        command.arg("demo-service").arg(kind.word()).arg("--listen").arg(self.addresses[kind.word()].to_string());
        for (word, address) in &self.addresses {
            command.arg("--peer").arg(format!("{word}={address}"));
        }
        // The pipe is the leash: it closes when this process ends, even by SIGKILL.
        command.stdin(Stdio::piped()).kill_on_drop(true).spawn().with_context(|| format!("cannot start {}", kind.job()))
    }

    /// Starts every service and starts those again that end, until the future is dropped.
    pub async fn keep_running(&self) -> anyhow::Result<()> {
        let mut children = Vec::new();
        for kind in Kind::ALL {
            children.push((kind, self.spawn(kind)?));
        }
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            for (kind, child) in &mut children {
                if let Some(status) = child.try_wait().context("cannot ask after a child process")? {
                    tracing::warn!(service = kind.job(), %status, "a service of the demo platform ended; starting it again");
                    *child = self.spawn(*kind)?;
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
