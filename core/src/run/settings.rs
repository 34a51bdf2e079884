//! What runs may act upon and with what means, as the configuration lists it. What is not listed does not exist for a run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::inventory::{Inventory, Item};
use super::read::Allowed;
use crate::client::Secret;

/// The section `act`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub environment: Environment,
    /// The user as whom programs run when we are root. None: nobody.
    pub user: Option<String>,
    /// Programs by their absolute paths, each with the SHA-256 that its content must have, where one is pinned.
    pub programs: BTreeMap<String, Option<String>>,
    /// Hosts that requests may go to, such as `api.example.org` or `10.0.0.7:8080`.
    pub hosts: BTreeSet<String>,
    pub secrets: BTreeMap<String, Secret>,
    pub databases: Vec<Database>,
    pub processes: Vec<Process>,
    pub proxies: Vec<Proxy>,
    /// Further things of the inventory.
    pub items: Vec<Item>,
}

/// What a thing belongs to. Experiments pass in staging before they run in production.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    Staging,
    /// What is not said to be staging is not staging.
    #[default]
    Production,
}

impl Environment {
    pub const ALL: [Environment; 2] = [Environment::Staging, Environment::Production];

    pub fn word(self) -> &'static str {
        match self {
            Environment::Staging => "staging",
            Environment::Production => "production",
        }
    }
}

/// A PostgreSQL server.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    pub name: String,
    /// Such as `postgres://user@host:5432/database`, without a password.
    pub url: String,
    pub password: Option<Secret>,
    pub labels: BTreeMap<String, String>,
    pub restore: Option<Restore>,
}

/// What a copy of a database is restored from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The folder of a base backup.
    pub data: String,
    /// The folder of archived WAL.
    pub archive: String,
    /// The folder of the server's programs.
    pub bin: String,
}

/// A process that signals may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub name: String,
    /// A file whose first line is the process' number.
    pub pid_file: String,
    /// What the command line of the process must hold, so that another process under the same number is never hit.
    pub command: String,
    pub labels: BTreeMap<String, String>,
}

/// A TCP proxy of ours between a client and what it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub name: String,
    /// Shape: `address:port`, as for `upstream`.
    pub listen: String,
    pub upstream: String,
    pub labels: BTreeMap<String, String>,
}

/// The label of an item that says what it belongs to.
pub const ENVIRONMENT_LABEL: &str = "environment";

impl Settings {
    /// Returns what documents may name; `policies` are the receivers of the routing.
    pub fn allowed(&self, policies: BTreeSet<String>) -> Allowed {
        Allowed {
            programs: self.programs.clone(),
            hosts: self.hosts.clone(),
            databases: self.databases.iter().map(|database| database.name.clone()).collect(),
            secrets: self.secrets.keys().cloned().collect(),
            policies,
        }
    }

    /// Returns everything that there is to act upon, each with the environment that it belongs to.
    pub fn inventory(&self) -> Inventory {
        let item = |kind: &str, name: &str, labels: &BTreeMap<String, String>| Item {
            kind: kind.to_owned(),
            name: name.to_owned(),
            labels: labels.clone(),
            control_plane: false,
        };
        let databases = self.databases.iter().map(|one| item("database", &one.name, &one.labels));
        let processes = self.processes.iter().map(|one| item("process", &one.name, &one.labels));
        let proxies = self.proxies.iter().map(|one| item("proxy", &one.name, &one.labels));
        let mut items: Vec<Item> = databases.chain(processes).chain(proxies).chain(self.items.iter().cloned()).collect();
        for item in &mut items {
            item.labels.entry(ENVIRONMENT_LABEL.to_owned()).or_insert_with(|| self.environment.word().to_owned());
        }
        Inventory { items }
    }
}
