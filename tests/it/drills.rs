//! Drills and experiments of the demo, for real: a database that is lost and taken over, with nothing lost, and with what replication
//! had not carried yet; a worker that stands still; a Tocsin that dies in the middle of a fault.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use crate::harness::service::binary;
use crate::harness::{free_port, http, within};

/// A loaded machine makes two servers in this time.
const START_MAX: Duration = Duration::from_secs(120);
const DRILL_MAX: Duration = Duration::from_secs(300);

struct Demo {
    child: Child,
    folder: TempDir,
    address: String,
}

impl Demo {
    async fn start(more: &[&str]) -> Demo {
        let folder = TempDir::with_prefix("tocsin-drill-").expect("a temporary folder");
        // PostgreSQL does not run as root, and its account must get to its data.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a folder of ours");
        let address = format!("127.0.0.1:{}", free_port());
        let mut demo = Demo { child: Demo::spawn(&folder, &address, more), folder, address };
        demo.is_well().await;
        demo
    }

    fn spawn(folder: &TempDir, address: &str, more: &[&str]) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(folder.path().join("log")).expect("a log");
        binary()
            .args(["demo", "--no-auth", "--listen", address, "--data"])
            .arg(folder.path().join("data"))
            .args(more)
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the binary starts")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = http().get(format!("http://{}/api/tocsin/v1{path}", self.address)).send().await;
        let Ok(answer) = answer else { return Value::Null };
        answer.json().await.unwrap_or_default()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = http().post(format!("http://{}/api/tocsin/v1{path}", self.address)).json(&body).send().await;
        answer.expect("the service answers").json().await.expect("an answer in JSON")
    }

    /// Waits until users get through, three times in a row, and nobody is paged.
    async fn is_well(&mut self) {
        within(START_MAX, "the demo is well", async || {
            let journeys = self.get("/journeys").await;
            let recent = journeys["journeys"][0]["recent"].as_array()?.clone();
            let well = recent.len() >= 3 && recent.iter().rev().take(3).all(|attempt| attempt["ok"] == true);
            let pages = self.get("/pages").await;
            (well && pages["pages"].as_array().is_some_and(Vec::is_empty)).then_some(())
        })
        .await;
    }

    /// Begins a run, and returns it once it has ended.
    async fn run(&self, document: &str) -> Value {
        let run = self.post(&format!("/runbooks/{document}/runs"), json!({ "params": {} })).await;
        let id = run["id"].as_str().unwrap_or_else(|| panic!("no run was begun: {run}")).to_owned();
        self.ended(&id).await
    }

    async fn ended(&self, id: &str) -> Value {
        within(DRILL_MAX, &format!("the run {id} ends"), async || {
            let run = self.get(&format!("/runs/{id}")).await;
            run["ended_at"].is_string().then_some(run)
        })
        .await
    }

    /// Puts a document beside those of the demo, and has it read.
    async fn add(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join("data/demo/runbooks").join(name), text).expect("a folder of ours");
        let answer = http().post(format!("http://{}/-/reload", self.address)).send().await.expect("the service answers");
        let (status, said) = (answer.status(), answer.text().await.unwrap_or_default());
        assert!(status.is_success(), "{said}");
    }

    async fn result(&self, drill: &str) -> Value {
        let drills = self.get("/drills").await;
        let drills = drills["drills"].as_array().expect("a list").clone();
        let found = drills.into_iter().find(|one| one["document"]["id"] == drill).expect("the drill is listed");
        found["results"][0].clone()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        // Its services end with it.
        let _ = self.child.start_kill();
    }
}

/// Returns the drill of the demo under another id, its replication swallowed first where that is asked for.
fn drill(id: &str, cut: bool) -> String {
    let shipped = include_str!("../../runbooks/demo/demo-lose-primary.yml");
    let mut text = shipped.replace("id: demo-lose-primary", &format!("id: {id}"));
    if cut {
        let inject = "  inject:\n";
        let swallow = "    - {id: replication, kind: net.proxy, with: {proxy: shop-replication, direction: both, blackhole: true}, ttl: 30s}\n";
        let (known, later) = ("{id: primary, kind: proc.signal,", "{id: primary, kind: proc.signal, after: 4s,");
        assert!(text.contains(inject) && text.contains(known));
        text = text.replace(inject, &format!("{inject}{swallow}")).replace(known, later).replace("rpo: 5s", "rpo: 1s");
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_loss_of_the_primary_loses_nothing_and_meets_its_objective() {
    let demo = Demo::start(&[]).await;
    let run = demo.run("demo-lose-primary").await;
    assert_eq!((&run["state"], &run["verdict"]), (&json!("succeeded"), &json!("met")), "{run}");
    let result = demo.result("demo-lose-primary").await;
    assert_eq!((&result["rpo_seconds"], &result["lost_writes"]), (&json!(0.0), &json!(0)), "{result}");
    let rto = result["rto_seconds"].as_f64().expect("a recovery that was seen");
    assert!(rto > 0.0 && rto <= 60.0, "{result}");

    let report = demo.get(&format!("/runs/{}/report", run["id"].as_str().expect("an id"))).await;
    assert!(report["measured"]["acknowledged"].as_f64() > Some(20.0), "canaries were written: {report}");
    assert_eq!(report["measured"]["acknowledged"], report["measured"]["surviving"]);
    let checks = report["checks"].as_array().expect("a list");
    for id in ["check/one-writer", "check/restore", "canary/drop"] {
        assert!(checks.iter().any(|check| check["id"] == id && check["ok"] == true), "{id}: {report}");
    }
    let address = format!("http://{}/api/tocsin/v1/runs/{}/report.html", demo.address, run["id"].as_str().expect("an id"));
    let page = http().get(address).send().await.expect("the service answers").text().await.expect("a page");
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg") && !page.contains("<script"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_replication_had_not_carried_is_lost_and_counted() {
    let demo = Demo::start(&[]).await;
    demo.add("lossy.yml", &drill("demo-lose-lagging-primary", true)).await;
    let run = demo.run("demo-lose-lagging-primary").await;
    let result = demo.result("demo-lose-lagging-primary").await;
    assert_eq!((&run["verdict"], &result["missed"]), (&json!("missed"), &json!(["rpo"])), "{run}");
    let report = demo.get(&format!("/runs/{}/report", run["id"].as_str().expect("an id"))).await;
    let number = |word: &str| report["measured"][word].as_f64().unwrap_or_else(|| panic!("{word}: {report}"));
    assert_eq!(number("lost_writes"), number("acknowledged") - number("surviving"));
    // Four seconds of a write each 100 ms, on a machine that may be slow.
    assert!(number("lost_writes") >= 10.0, "{report}");
    assert!(number("rpo_seconds") >= 2.0 && number("rpo_seconds") < 60.0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stands_still_is_seen_by_users_and_restarted() {
    let mut demo = Demo::start(&["--without-postgresql"]).await;
    let run = demo.run("demo-lose-queue").await;
    assert_eq!((&run["state"], &run["verdict"]), (&json!("succeeded"), &json!("met")), "{run}");
    demo.is_well().await;
    let run = demo.run("demo-slow-database").await;
    assert_eq!((&run["state"], &run["verdict"]), (&json!("succeeded"), &json!("held")), "{run}");
    let samples = run["samples"].as_array().expect("a list");
    assert!(samples.iter().any(|of| of["probe"] == "p95" && of["points"].as_array().is_some_and(|all| all.len() > 20)), "{run}");
}
