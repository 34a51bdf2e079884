//! The real binary as a child: started, killed, stopped and started again on the same data.

use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use tocsin::clock::Stopwatch;
use tokio::process::{Child, Command};

use super::{http, soon, within};

/// A start may wait for a loaded machine, and for the log of samples to be read.
const START_MAX: Duration = Duration::from_secs(60);

/// What a service is started with.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Name and text of each file; the first one is the configuration.
    pub files: Vec<(String, String)>,
    /// Ask callers who they are.
    pub auth: bool,
    /// Below which path it is asked; empty: the root.
    pub prefix: &'static str,
}

impl Setup {
    pub fn new(config: impl Into<String>) -> Setup {
        Setup { files: vec![("tocsin.yml".to_owned(), config.into())], ..Setup::default() }
    }

    pub fn with_file(mut self, name: &str, text: impl Into<String>) -> Setup {
        self.files.push((name.to_owned(), text.into()));
        self
    }

    pub fn with_prefix(mut self, prefix: &'static str) -> Setup {
        self.prefix = prefix;
        self
    }

    pub fn with_auth(mut self) -> Setup {
        self.auth = true;
        self
    }
}

pub struct Service {
    setup: Setup,
    folder: TempDir,
    child: Option<Child>,
    /// `host:port`, the same over restarts.
    pub address: String,
    pub client: reqwest::Client,
    /// Sent as a bearer token when it is set.
    pub token: Option<String>,
}

/// Returns a command of the binary under test.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub async fn run(arguments: &[&str]) -> Output {
    run_within(START_MAX, arguments).await
}

/// As `run`, for what may take longer.
pub async fn run_within(patience: Duration, arguments: &[&str]) -> Output {
    tokio::time::timeout(patience, binary().args(arguments).output())
        .await
        .expect("it ends by itself")
        .expect("the binary starts")
}

impl Service {
    /// Starts a service on a free port and waits until it is ready.
    pub async fn start(setup: Setup) -> Service {
        let mut service = Service::prepare(setup);
        service.launch(&[]);
        service.wait_until_ready().await;
        service
    }

    /// Writes the files of a service without starting it.
    pub fn prepare(setup: Setup) -> Service {
        let folder = TempDir::with_prefix("tocsin-it-").expect("a temporary folder");
        for (name, text) in &setup.files {
            fs::write(folder.path().join(name), text).expect("the folder takes files");
        }
        Service { setup, folder, child: None, address: "127.0.0.1:0".to_owned(), client: http(), token: None }
    }

    /// Starts the process and does not wait.
    pub fn launch(&mut self, more: &[String]) {
        self.launch_through(&[], more);
    }

    /// As `launch`, by way of another program that becomes ours in the end.
    pub fn launch_through(&mut self, through: &[&str], more: &[String]) {
        assert!(self.child.is_none(), "it runs already");
        let open = |name: &str| {
            fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join(name)).expect("the folder takes files")
        };
        // What it prints belongs to this start alone.
        let _ = fs::remove_file(self.path("out"));
        let mut command = match through {
            [] => binary(),
            [program, words @ ..] => {
                let mut command = Command::new(program);
                command.args(words).arg(env!("CARGO_BIN_EXE_tocsin")).kill_on_drop(true).stdin(Stdio::null());
                command
            }
        };
        command
            .arg("serve")
            .arg("--config")
            .arg(self.path(&self.setup.files[0].0))
            .arg("--data")
            .arg(self.path("data"))
            .args(["--listen", &self.address])
            .args(more)
            .stdout(open("out"))
            .stderr(open("log"));
        if !self.setup.auth {
            command.arg("--no-auth");
        }
        self.child = Some(command.spawn().expect("the binary starts"));
    }

    pub async fn wait_until_ready(&mut self) {
        let (log, client, prefix) = (self.path("log"), self.client.clone(), self.setup.prefix);
        let child = self.child.as_mut().expect("it was started");
        let address = within(START_MAX, "the service is ready", async || {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                panic!("the service ended with {status}: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            let text = fs::read_to_string(&log).unwrap_or_default();
            let address = text.rsplit("Listening on address=").next().filter(|rest| rest.len() < text.len())?;
            let address = address.lines().next()?.trim().to_owned();
            let answer = client.get(format!("http://{address}{prefix}/-/ready")).send().await.ok()?;
            answer.status().is_success().then_some(address)
        })
        .await;
        self.address = address;
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{}{path}", self.address, self.setup.prefix)
    }

    /// Returns what it has logged over all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Returns what it has printed in this life.
    pub fn printed(&self) -> String {
        fs::read_to_string(self.path("out")).unwrap_or_default()
    }

    /// Returns the password of the first login.
    pub fn first_password(&self) -> String {
        let printed = self.printed();
        let line = printed.lines().find_map(|line| line.split("password ").nth(1).filter(|word| word.contains('-')));
        line.unwrap_or_else(|| panic!("no first login in {printed:?}")).trim().to_owned()
    }

    pub fn process_id(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("it runs")
    }

    /// Sends a signal by name.
    pub async fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process_id().to_string()]).status().await.expect("kill starts");
        assert!(sent.success(), "the signal {name} was not sent");
    }

    /// Kills it as a power switch would.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().await.expect("a child of ours");
    }

    /// Asks it to stop; returns how long that took.
    pub async fn terminate(&mut self) -> Duration {
        self.signal("TERM").await;
        let watch = Stopwatch::start();
        let mut child = self.child.take().expect("it runs");
        let status =
            tokio::time::timeout(Duration::from_secs(30), child.wait()).await.expect("it stops").expect("a child of ours");
        assert!(status.success(), "it ended with {status}: {}", self.log());
        watch.elapsed()
    }

    /// Waits for it to end by itself; returns whether it ended well.
    pub async fn ended(&mut self) -> bool {
        let mut child = self.child.take().expect("it runs");
        tokio::time::timeout(START_MAX, child.wait()).await.expect("it ends").expect("a child of ours").success()
    }

    /// Lets go of a process that has ended by itself.
    pub fn forget(&mut self) {
        assert!(!self.is_running(), "it runs still");
        self.child = None;
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Starts it again on the same data.
    pub async fn restart(&mut self) {
        self.launch(&[]);
        self.wait_until_ready().await;
    }

    /// Sends a request; returns the status and the body: JSON, or a text.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.client.request(method, self.url(path));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{path} gets no answer: {error:?}"));
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("the body is text");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Gets JSON that must be there.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// Posts JSON that must be taken.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, said) = self.send(Method::POST, path, Some(body)).await;
        assert!((200..300).contains(&status), "POST {path}: {status} {said}");
        said
    }

    /// Evaluates an instant query; returns the result's series.
    pub async fn query(&self, expr: &str) -> Vec<Value> {
        let url = self.client.get(self.url("/api/v1/query")).query(&[("query", expr)]).build().expect("a request").url().clone();
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let answer = self.get(&path).await;
        answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{expr} gives {answer}")).clone()
    }

    /// Evaluates a query that has one series; None while it has none.
    pub async fn value(&self, expr: &str) -> Option<f64> {
        let result = self.query(expr).await;
        assert!(result.len() <= 1, "{expr} has {} series", result.len());
        result.first()?["value"][1].as_str()?.parse().ok()
    }

    /// Returns the alerts of our own API that have a name.
    pub async fn alerts(&self, name: &str) -> Vec<Value> {
        let all = self.get("/api/tocsin/v1/alerts").await;
        let list = all["alerts"].as_array().unwrap_or_else(|| panic!("no list in {all}"));
        list.iter().filter(|alert| alert["name"] == name).cloned().collect()
    }

    /// Waits until an alert is in a state; returns it.
    pub async fn alert(&self, name: &str, state: &str) -> Value {
        soon(&format!("{name} is {state}"), async || self.alerts(name).await.into_iter().find(|alert| alert["state"] == state))
            .await
    }

    /// Returns pages: the open ones, or all.
    pub async fn pages(&self, state: &str) -> Vec<Value> {
        self.get(&format!("/api/tocsin/v1/pages?state={state}")).await["pages"].as_array().expect("a list").clone()
    }

    pub async fn deliveries(&self) -> Vec<Value> {
        self.get("/api/tocsin/v1/deliveries?limit=500").await["deliveries"].as_array().expect("a list").clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            println!("--- the service's last words\n{}\n{}", self.printed(), lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}
