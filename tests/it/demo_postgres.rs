//! The demo's pair of PostgreSQL servers: lost, taken over, brought back, and gone with the demo.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tempfile::TempDir;
use tocsin::clock::Stopwatch;
use tocsin::demo::postgres::{Pair, Server};
use tokio::process::{Child, Command};

use crate::harness::service::{binary, run};
use crate::harness::{free_port, http, within};

/// A loaded machine makes two servers in this time.
const START_MAX: Duration = Duration::from_secs(120);

struct Demo {
    child: Child,
    folder: TempDir,
    address: String,
}

impl Demo {
    fn start(more: &[&str]) -> Demo {
        let folder = TempDir::with_prefix("tocsin-pair-").expect("a temporary folder");
        // PostgreSQL does not run as root, and its account must get to its data.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a folder of ours");
        Demo::start_in(folder, more)
    }

    fn start_in(folder: TempDir, more: &[&str]) -> Demo {
        let address = format!("127.0.0.1:{}", free_port());
        let log = fs::OpenOptions::new().create(true).append(true).open(folder.path().join("log")).expect("a log");
        let child = binary()
            .args(["demo", "--no-auth", "--listen", &address, "--data"])
            .arg(folder.path().join("data"))
            .args(more)
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        Demo { child, folder, address }
    }

    fn pg(&self) -> PathBuf {
        self.folder.path().join("data/demo/pg")
    }

    fn pair(&self) -> Pair {
        Pair::find(&self.pg()).expect("a pair")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Returns the last attempt at the journey; null before the first.
    async fn journey(&self) -> Value {
        let answer = http().get(format!("http://{}/api/tocsin/v1/journeys", self.address)).send().await;
        let Ok(answer) = answer else { return Value::Null };
        let all: Value = answer.json().await.unwrap_or_default();
        all["journeys"][0]["last"].clone()
    }

    async fn journey_is(&self, ok: bool) -> Value {
        within(START_MAX, &format!("the journey is {ok}: {}", self.log()), async || {
            let last = self.journey().await;
            (last["ok"] == ok).then_some(last)
        })
        .await
    }

    async fn ask<T>(&self, server: Server, sql: &'static str) -> Option<T>
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let (pair, password) = (self.pair(), fs::read_to_string(self.pg().join("password")).ok()?);
        let url = pair.url(server).replace("shop@", &format!("shop:{password}@"));
        let mut connection = PgConnection::connect(&url).await.ok()?;
        let value = sqlx::query_scalar::<_, T>(sql).fetch_one(&mut connection).await.ok();
        let _ = connection.close().await;
        value
    }

    async fn orders(&self, server: Server) -> Option<i64> {
        self.ask(server, "SELECT count(*) FROM shop_order").await
    }

    async fn promote(&self, server: Server) {
        assert_eq!(self.ask::<bool>(server, "SELECT pg_promote(true, 30)").await, Some(true));
    }

    async fn replicates(&self, from: Server, to: Server) {
        let placed = self.orders(from).await.expect("the number of orders");
        within(START_MAX, "orders arrive", async || self.orders(to).await.filter(|count| *count >= placed)).await;
        assert_eq!(self.ask::<bool>(to, "SELECT pg_is_in_recovery()").await, Some(true));
    }

    fn process(&self, server: Server) -> String {
        let text = fs::read_to_string(self.pair().pid_file(server)).expect("the server runs");
        text.lines().next().expect("a number").to_owned()
    }

    async fn signal(&self, server: Server, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process(server)]).status().await.expect("kill starts");
        assert!(sent.success());
    }

    async fn rejoin(&self) -> (bool, String) {
        let data = self.folder.path().join("data");
        let output = run(&["demo", "rejoin", "--data", &data.display().to_string()]).await;
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }
}

/// Returns the command lines of all processes that name a folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("processes").flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&folder) {
            found.push(line);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_primary_fails_the_journey_until_the_standby_takes_over() {
    let watch = Stopwatch::start();
    let demo = Demo::start(&[]);
    demo.journey_is(true).await;
    println!("from the start to the first order: {:.1} s", watch.seconds());
    assert!(demo.log().contains("Orders are kept in PostgreSQL: a primary on port"), "{}", demo.log());
    demo.replicates(Server::Primary, Server::Standby).await;
    let (good, said) = demo.rejoin().await;
    assert!(good && said.contains("the standby follows; the primary takes orders"), "{said}");

    demo.signal(Server::Primary, "KILL").await;
    let failed = demo.journey_is(false).await;
    assert!(failed["reason"].as_str().is_some_and(|reason| reason.contains("order: HTTP status 502")), "{failed}");
    let (good, said) = demo.rejoin().await;
    assert!(!good && said.contains("no server takes orders; promote one first"), "{said}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(demo.orders(Server::Primary).await, None, "a server that took orders stays dead");
    let survived = demo.orders(Server::Standby).await.expect("the standby answers");

    demo.promote(Server::Standby).await;
    demo.journey_is(true).await;
    assert_eq!(demo.orders(Server::Primary).await, None);
    assert!(demo.orders(Server::Standby).await > Some(survived), "new orders are taken");

    let (good, said) = demo.rejoin().await;
    assert!(good && said.contains("the primary follows; the standby takes orders"), "{said}");
    demo.replicates(Server::Standby, Server::Primary).await;

    // The planned way back: nothing is lost, since the last words are sent before the end.
    demo.signal(Server::Standby, "INT").await;
    within(START_MAX, "the standby ends", async || demo.orders(Server::Standby).await.is_none().then_some(())).await;
    demo.promote(Server::Primary).await;
    demo.journey_is(true).await;
    let (good, said) = demo.rejoin().await;
    assert!(good && said.contains("the standby follows; the primary takes orders"), "{said}");
    demo.replicates(Server::Primary, Server::Standby).await;

    // A standby that dies is started again.
    demo.signal(Server::Standby, "KILL").await;
    within(START_MAX, "the standby ends", async || demo.orders(Server::Standby).await.is_none().then_some(())).await;
    demo.replicates(Server::Primary, Server::Standby).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outlives_the_demo_and_the_next_one_begins_afresh() {
    let mut demo = Demo::start(&[]);
    demo.journey_is(true).await;
    let pair = demo.pair();
    let served = fs::read_to_string(demo.folder.path().join("data/demo/tocsin.yml")).expect("a configuration");
    for part in ["shop-primary", "shop-standby", "\"restore\"", "shop-order", "run/shop-api.pid"] {
        assert!(served.contains(part), "{part} in {served}");
    }
    assert!(!served.contains(fs::read_to_string(demo.pg().join("password")).expect("a password").trim()));
    within(START_MAX, "a log is archived", async || {
        let archived = fs::read_dir(pair.archive()).ok()?.flatten().count();
        (archived > 0).then_some(())
    })
    .await;
    assert!(pair.backup().join("backup_manifest").exists(), "a backup to restore from");

    demo.child.kill().await.expect("a child of ours");
    within(Duration::from_secs(15), "all processes end", async || processes_of(&pair.folder).is_empty().then_some(())).await;
    let Demo { folder, .. } = demo;
    let again = Demo::start_in(folder, &[]);
    let first = within(START_MAX, "the first orders", async || {
        again.journey().await["ok"].as_bool().filter(|ok| *ok)?;
        again.ask::<i64>(Server::Primary, "SELECT min(number) FROM shop_order").await
    })
    .await;
    assert_eq!(first, 1);
}
