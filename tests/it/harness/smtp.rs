//! A real SMTP server, with a certificate of an authority of our own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{repository, set_up};

pub const USER: &str = "tocsin";
pub const PASSWORD: &str = "a password with spaces";

/// How the server protects what is said to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    StartTls,
    ImplicitTls,
}

pub struct SmtpServer {
    folder: TempDir,
    /// It ends when its standard input closes.
    _process: Child,
    /// `localhost:port`; the certificate is for this name.
    pub address: String,
}

async fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .await
        .expect("openssl is not installed; `make setup` installs it");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes an authority (`ca.pem`) and a certificate of it for localhost (`server.pem`, `server.key`).
pub async fn make_certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(folder, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority")).await;
    openssl(folder, &format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost")).await;
    let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
    std::fs::write(folder.join("extensions"), extensions).expect("the folder takes files");
    openssl(
        folder,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile extensions",
    )
    .await;
}

impl SmtpServer {
    /// Starts a server; `mechanism` is the only one that it offers for authentication.
    pub async fn start(protection: Protection, mechanism: &str) -> SmtpServer {
        let folder = TempDir::with_prefix("tocsin-smtp-").expect("a temporary folder");
        make_certificates(folder.path()).await;
        let file = |name: &str| folder.path().join(name);
        let mut command = Command::new(set_up(".venv/bin/python"));
        command.arg(repository().join("tests/smtp_server.py"));
        command
            .arg("--mails")
            .arg(file("mails"))
            .arg("--certificate")
            .arg(file("server.pem"))
            .arg("--key")
            .arg(file("server.key"));
        command.args(["--user", USER, "--password", PASSWORD, "--mechanism", mechanism]);
        if protection == Protection::ImplicitTls {
            command.arg("--implicit-tls");
        }
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .expect("python starts");
        let mut port = String::new();
        let out = process.stdout.take().expect("its output is piped");
        BufReader::new(out).read_line(&mut port).await.expect("it says its port");
        SmtpServer { folder, _process: process, address: format!("localhost:{}", port.trim()) }
    }

    /// Returns the authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Returns every mail so far.
    pub fn mails(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("mails")).unwrap_or_default();
        // A line that is being written has no end yet.
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }
}
