//! The web page in a real browser, against the real binary and its demo platform.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::harness::service::{Service, Setup, binary};
use crate::harness::{free_port, http, repository, set_up, within};

/// One browser at a time: its waits are short, as a person's are.
static BROWSER: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A demo of its own for each test: they break and mend its services.
struct Demo {
    folder: TempDir,
    _process: Child,
    address: String,
    password: String,
}

impl Demo {
    async fn start() -> Demo {
        let folder = TempDir::with_prefix("tocsin-demo-").expect("a temporary folder");
        let address = format!("127.0.0.1:{}", free_port());
        let file = |name: &str| std::fs::File::create(folder.path().join(name)).expect("the folder takes files");
        let process = binary()
            .args(["demo", "--without-postgresql", "--listen", &address, "--data"])
            .arg(folder.path().join("data"))
            .stdout(file("out"))
            .stderr(file("log"))
            .spawn()
            .expect("the binary starts");
        let client = http();
        let password = within(Duration::from_secs(60), "the demo is ready", async || {
            let answer = client.get(format!("http://{address}/-/ready")).send().await.ok()?;
            let printed = std::fs::read_to_string(folder.path().join("out")).unwrap_or_default();
            let word = printed.split("name admin, password ").nth(1)?.lines().next()?.to_owned();
            answer.status().is_success().then_some(word)
        })
        .await;
        Demo { folder, _process: process, address, password }
    }

    /// Runs the page's own tests against the demo.
    async fn run(&self, arguments: &[&str]) {
        let log = self.folder.path().join("log");
        play(&format!("http://{}", self.address), &self.password, &log, arguments).await;
    }
}

/// Runs the page's own tests against a service.
async fn play(url: &str, password: &str, log: &Path, arguments: &[&str]) {
    set_up("web/node_modules");
    let tests = Command::new("node")
        .args(["--test", "--test-concurrency=1", "--test-timeout=300000", "--test-force-exit", "--test-reporter=tap"])
        .args(arguments)
        .current_dir(repository().join("web"))
        .env("TOCSIN_URL", url)
        .env("TOCSIN_USER", "admin")
        .env("TOCSIN_PASSWORD", password)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("node is not installed; `make setup` installs it");
    let said = String::from_utf8_lossy(&tests.stdout).into_owned() + &String::from_utf8_lossy(&tests.stderr);
    let is_news =
        |line: &&str| ["not ok ", "error:", "- waiting", "Error", "    + ", ".test.mjs:"].iter().any(|word| line.contains(word));
    let failed: Vec<&str> = said.lines().filter(is_news).collect();
    let log = std::fs::read_to_string(log).unwrap_or_default();
    assert!(tests.status.success(), "{}\n--- the service's last words\n{log}", failed.join("\n"));
    assert!(said.contains("# pass ") && !said.contains("# pass 0"), "no test ran: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_logs_in_acknowledges_and_silences() {
    let _turn = BROWSER.lock().await;
    Demo::start().await.run(&["e2e/story.test.mjs"]).await;
}

/// The page's own tests look at every size in both themes; here one of each stands for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_screen_is_free_of_barriers() {
    let _turn = BROWSER.lock().await;
    let demo = Demo::start().await;
    for size in ["dark at 390", "light at 1440"] {
        demo.run(&[&format!("--test-name-pattern={size}"), "e2e/looks.test.mjs"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_finds_who_grows() {
    let _turn = BROWSER.lock().await;
    Demo::start().await.run(&["e2e/series.test.mjs"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_learns_why_nobody_was_told() {
    let _turn = BROWSER.lock().await;
    Demo::start().await.run(&["e2e/why.test.mjs"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_silences_with_care() {
    let _turn = BROWSER.lock().await;
    Demo::start().await.run(&["e2e/silences.test.mjs"]).await;
}

/// The page stands below a path, and is looked at by somebody who logs in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_works_below_a_path() {
    let _turn = BROWSER.lock().await;
    let config = "web: {external_url: 'http://watch.test/deep/tocsin'}\nrule_files: [rules.yml]\n";
    let rules = "groups: [{name: g, interval: 1s, rules: [{alert: Below, expr: vector(1)}]}]\n";
    let setup = Setup::new(config).with_file("rules.yml", rules).with_auth().with_prefix("/deep/tocsin");
    let service = Service::start(setup).await;
    let password = service.first_password();
    play(&service.url(""), &password, &service.path("log"), &["e2e/prefix.test.mjs"]).await;
}
