//! Programs that we did not write: node_exporter, Prometheus, promtool and amtool.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::{Child, Command};

use super::{free_port, http, set_up, soon};

/// Returns a command for a program of the peers.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(set_up(".peers/usr/bin").join(program));
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Runs a program to its end.
pub async fn run(program: &str, arguments: &[&str]) -> Output {
    command(program).args(arguments).output().await.unwrap_or_else(|error| panic!("{program} does not start: {error}"))
}

/// Runs a program that must succeed; returns what it printed.
pub async fn ask(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments).await;
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {out}{error}");
    out.into_owned()
}

/// Returns the version that a program says it is, major and minor.
pub async fn version(program: &str) -> (u32, u32) {
    let output = run(program, &["--version"]).await;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let text = said.split("version ").nth(1).unwrap_or_else(|| panic!("{program} says no version: {said}"));
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    let number = |found: Option<u32>| found.unwrap_or_else(|| panic!("{program} says no version: {said}"));
    (number(numbers.next()), number(numbers.next()))
}

/// A peer that runs until it is let go of.
pub struct Peer {
    process: Child,
    /// `host:port`.
    pub address: String,
}

impl Peer {
    /// Asks it to stop, and waits until it has.
    pub async fn terminate(mut self) {
        let id = self.process.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &id]).status().await.expect("kill starts");
        assert!(sent.success(), "no signal was sent to {}", self.address);
        self.process.wait().await.expect("a child of ours");
    }

    /// Kills it as a power switch would.
    pub async fn kill(mut self) {
        self.process.kill().await.expect("a child of ours");
    }
}

async fn start(program: &str, arguments: &[String], address: String, ready: &str) -> Peer {
    let process = command(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    let client = http();
    let url = format!("http://{address}{ready}");
    soon(program, async || client.get(&url).send().await.ok().filter(|answer| answer.status().is_success())).await;
    Peer { process, address }
}

pub async fn node_exporter() -> Peer {
    let address = format!("127.0.0.1:{}", free_port());
    start("prometheus-node-exporter", &[format!("--web.listen-address={address}")], address, "/metrics").await
}

/// Starts an Alertmanager with a configuration, which it keeps with its data in `folder`.
pub async fn alertmanager(folder: &Path, config: &str) -> Peer {
    alertmanager_at(folder, config, free_port()).await
}

/// As `alertmanager`, on a port of its own.
pub async fn alertmanager_at(folder: &Path, config: &str, port: u16) -> Peer {
    alertmanager_with(folder, config, &[], port, "").await
}

/// As `alertmanager_at`, with more arguments, which have it serve below a path.
pub async fn alertmanager_with(folder: &Path, config: &str, more: &[&str], port: u16, prefix: &str) -> Peer {
    let address = format!("127.0.0.1:{port}");
    let file = folder.join("alertmanager.yml");
    std::fs::write(&file, config).expect("the folder takes files");
    let mut arguments = vec![
        format!("--config.file={}", file.display()),
        format!("--storage.path={}", folder.join("alertmanager").display()),
        format!("--web.listen-address={address}"),
        "--cluster.listen-address=".to_owned(),
    ];
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    start("prometheus-alertmanager", &arguments, address, &format!("{prefix}/-/ready")).await
}

/// Starts a Prometheus with a configuration, which it keeps with its data in `folder`.
pub async fn prometheus(folder: &Path, config: &str) -> Peer {
    prometheus_with(folder, config, &[]).await
}

/// As `prometheus`, with more arguments.
pub async fn prometheus_with(folder: &Path, config: &str, more: &[&str]) -> Peer {
    prometheus_at(folder, config, more, free_port()).await
}

/// As `prometheus_with`, on a port that the configuration may name.
pub async fn prometheus_at(folder: &Path, config: &str, more: &[&str], port: u16) -> Peer {
    let address = format!("127.0.0.1:{port}");
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, config).expect("the folder takes files");
    let mut arguments = vec![
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", folder.join("tsdb").display()),
        format!("--web.listen-address={address}"),
    ];
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    start("prometheus", &arguments, address, "/-/ready").await
}
