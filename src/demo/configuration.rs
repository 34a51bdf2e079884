//! The demo's configuration: what Tocsin is told of the platform, and what runs may act upon in it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use super::kind::Kind;
use super::platform::Platform;
use super::postgres::{Pair, Server};

const CONFIGURATION: &str = include_str!("tocsin.yml");
const RULES: &str = include_str!("../../rules/demo.yml");
const OBJECTIVES: &str = include_str!("../../rules/slo/demo.yml");
const DOCUMENTS: [(&str, &str); 3] = [
    ("demo-lose-queue.yml", include_str!("../../runbooks/demo/demo-lose-queue.yml")),
    ("demo-restart-worker.yml", include_str!("../../runbooks/demo/demo-restart-worker.yml")),
    ("demo-slow-database.yml", include_str!("../../runbooks/demo/demo-slow-database.yml")),
];
/// Those that need the pair of PostgreSQL servers.
const DOCUMENTS_OF_PAIR: [(&str, &str); 3] = [
    ("demo-failback.yml", include_str!("../../runbooks/demo/demo-failback.yml")),
    ("demo-lose-primary.yml", include_str!("../../runbooks/demo/demo-lose-primary.yml")),
    ("demo-promote-database.yml", include_str!("../../runbooks/demo/demo-promote-database.yml")),
];
/// Where the shipped documents expect this program and the pair.
const SHIPPED_PROGRAM: &str = "/usr/local/bin/tocsin";
const SHIPPED_PAIR: &str = "/var/lib/tocsin/demo/pg";

/// Writes the configuration, its rules and its objectives beside the data; returns the configuration's file.
pub fn write(platform: &Platform, data: &Path) -> anyhow::Result<PathBuf> {
    let folder = data.join("demo");
    let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
    let mut text = CONFIGURATION.to_owned();
    for (job, address) in platform.targets() {
        text.push_str(&format!(
            "  - job_name: {job}\n    static_configs:\n      - targets: ['{address}']\n        labels: {{service: shop}}\n"
        ));
    }
    // What is written in JSON is YAML too.
    text.push_str(&format!("\njourneys: {:#}\n\nact: {:#}\n", journeys(platform)?, act(platform, &folder)?));
    let file = folder.join("tocsin.yml");
    let mut files = vec![(file.clone(), text), (folder.join("rules.yml"), RULES.to_owned())];
    files.push((folder.join("slo.yml"), OBJECTIVES.to_owned()));
    let runbooks = folder.join("runbooks");
    make_empty(&runbooks).with_context(|| format!("cannot make {}", runbooks.display()))?;
    files.extend(documents(platform)?.map(|(name, text)| (runbooks.join(name), text)));
    for (path, text) in files {
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(file)
}

/// Makes a folder that holds nothing of an earlier demo.
fn make_empty(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir(folder)
}

/// Returns the documents that this demo can carry out, with the places of this machine in them.
fn documents(platform: &Platform) -> anyhow::Result<impl Iterator<Item = (&'static str, String)>> {
    let program = std::env::current_exe().context("cannot find this program's own file")?.display().to_string();
    let pair = platform.pair().ok().map(|pair| pair.folder.display().to_string());
    let with_pair = if pair.is_some() { DOCUMENTS_OF_PAIR.as_slice() } else { &[] };
    let all = DOCUMENTS.iter().chain(with_pair);
    Ok(all.map(move |(name, text)| {
        (*name, text.replace(SHIPPED_PROGRAM, &program).replace(SHIPPED_PAIR, pair.as_deref().unwrap_or_default()))
    }))
}

fn journeys(platform: &Platform) -> anyhow::Result<Value> {
    let api = platform.address(Kind::Api)?;
    Ok(json!([{
        "name": "shop-order",
        "platform": "demo",
        "interval": "2s",
        "timeout": "2s",
        "labels": {"service": "shop", "region": "local"},
        "steps": [
            {"name": "catalogue", "url": format!("http://{api}/catalogue"), "json": {"/state": "open"}},
            {"name": "order", "method": "POST", "url": format!("http://{api}/orders"), "json": {"/state": "taken"}},
        ],
    }]))
}

fn act(platform: &Platform, folder: &Path) -> anyhow::Result<Value> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let labels = |service: &str| json!({"platform": "demo", "service": service});
    let own = Kind::ALL.map(|kind| {
        let (pid_file, listen) = (platform.pid_file(folder, kind), platform.address(kind).map(|address| address.to_string()));
        let command = format!("--listen {}", listen.unwrap_or_default());
        json!({"name": kind.job(), "pid_file": pid_file, "command": command, "labels": labels(kind.job())})
    });
    let mut processes = Vec::from(own);
    let mut databases = Vec::new();
    for pair in platform.pair().iter() {
        for server in Server::ALL {
            let name = format!("shop-{}", server.word());
            processes.push(json!({
                "name": name, "pid_file": pair.pid_file(server), "command": pair.data(server), "labels": labels("shop-db"),
            }));
            databases.push(database(pair, server, &name, &labels("shop-db")));
        }
    }
    let (wires, database) = (platform.wires(), platform.address(Kind::Database)?);
    let mut proxies =
        vec![json!({"name": "shop-db", "listen": wires.database, "upstream": database, "labels": labels("shop-db")})];
    for pair in platform.pair().iter() {
        let primary = format!("127.0.0.1:{}", pair.port(Server::Primary));
        proxies.push(json!({
            "name": "shop-replication", "listen": wires.replication, "upstream": primary, "labels": labels("shop-db"),
        }));
    }
    let services = Kind::ALL.map(|kind| json!({"kind": "service", "name": kind.job(), "labels": labels(kind.job())}));
    let mut act = json!({
        "environment": "staging",
        "programs": [{"path": program}],
        "hosts": platform.targets().map(|(_, address)| address.to_string()).collect::<Vec<_>>(),
        "databases": databases,
        "processes": processes,
        "proxies": proxies,
        "items": services,
    });
    if let Some(user) = platform.pair().ok().and_then(Pair::user) {
        act["user"] = user.into();
    }
    Ok(act)
}

fn database(pair: &Pair, server: Server, name: &str, labels: &Value) -> Value {
    json!({
        "name": name,
        "url": pair.url(server),
        "password_file": pair.password_file(),
        "labels": labels,
        "restore": {"data": pair.backup(), "archive": pair.archive(), "bin": pair.programs},
    })
}
