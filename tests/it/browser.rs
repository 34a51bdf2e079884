//! The web page in a real browser, against the real binary and its demo platform.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::service::binary;
use crate::harness::{free_port, http, repository, set_up, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_logs_in_acknowledges_and_silences() {
    set_up("web/node_modules");
    let folder = TempDir::with_prefix("tocsin-demo-").expect("a temporary folder");
    let address = format!("127.0.0.1:{}", free_port());
    let file = |name: &str| std::fs::File::create(folder.path().join(name)).expect("the folder takes files");
    let _demo = binary()
        .args(["demo", "--listen", &address, "--data"])
        .arg(folder.path().join("data"))
        .stdout(file("out"))
        .stderr(file("log"))
        .spawn()
        .expect("the binary starts");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let client = http();
    let start_max = std::time::Duration::from_secs(60);
    let password = within(start_max, "the demo is ready", async || {
        let answer = client.get(format!("http://{address}/-/ready")).send().await.ok()?;
        let printed = read("out");
        let word = printed.split("name admin, password ").nth(1)?.lines().next()?.to_owned();
        answer.status().is_success().then_some(word)
    })
    .await;
    let tests = Command::new("node")
        .args(["--test", "--test-concurrency=1", "--test-timeout=300000", "--test-force-exit", "e2e/story.test.mjs"])
        .current_dir(repository().join("web"))
        .env("TOCSIN_URL", format!("http://{address}"))
        .env("TOCSIN_USER", "admin")
        .env("TOCSIN_PASSWORD", password)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("node is not installed; `make setup` installs it");
    let said = String::from_utf8_lossy(&tests.stdout).into_owned() + &String::from_utf8_lossy(&tests.stderr);
    let is_news = |line: &&str| ["not ok ", "error:", "- waiting", "Error"].iter().any(|word| line.contains(word));
    let failed: Vec<&str> = said.lines().filter(is_news).collect();
    assert!(tests.status.success(), "{}\n--- the service's last words\n{}", failed.join("\n"), read("log"));
}
