//! What people do with stored samples: look, verify, dump, delete, back up and restore, in a service and in a folder.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use tocsin::disk::Disk;
use tocsin_core::model::{Cell, LabelSet, Row, Value as Sample};
use tocsin_core::store::{Store, StoreOptions};
use tocsin_core::time::Span;

use crate::harness::service::{Service, Setup, run};
use crate::harness::{peers, soon};

const CONFIG: &str = "web: {remote_write_receiver: true}\nroute: {receiver: none}\nreceivers: [{name: none}]\n";
const STEPS: i64 = 600;

/// Returns a file of counters and a gauge of the last hours, and when it begins.
fn write_file(folder: &Path) -> (String, i64) {
    let start = tocsin::clock::now().0 / 1000 - STEPS * 30 - 60;
    let mut text = String::from("# TYPE jobs_total counter\n");
    for n in 0..20 {
        for step in 0..STEPS {
            writeln!(text, "jobs_total{{n=\"{n}\"}} {} {}.{:03}", step * n, start + step * 30, (step * 37) % 1000)
                .expect("a text");
        }
    }
    text.push_str("# TYPE heat gauge\n");
    for step in 0..STEPS {
        writeln!(text, "heat{{room=\"a\\\"é\"}} {} {}", step as f64 / 7.0, start + step * 30).expect("a text");
    }
    let path = folder.join("past.txt");
    fs::write(&path, text + "# EOF\n").expect("the folder takes files");
    (path.display().to_string(), start)
}

async fn well(arguments: &[&str]) -> String {
    let output = run(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Returns a service that holds the file.
async fn filled(folder: &Path) -> (Service, i64) {
    let (path, start) = write_file(folder);
    let service = Service::start(Setup::new(CONFIG)).await;
    well(&["tsdb", "import", &path, "--url", &service.url("")]).await;
    (service, start)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_dumped_is_imported_again_by_us_and_by_promtool() {
    let folder = TempDir::with_prefix("tocsin-it-").expect("a temporary folder");
    let (mut service, start) = filled(folder.path()).await;
    let url = service.url("");
    let text = well(&["tsdb", "dump", "--url", &url]).await;
    assert_eq!(text.lines().count() as i64, 21 * STEPS + 1);
    let lines = well(&["tsdb", "dump", "--url", &url, "--format", "json"]).await;
    let few = well(&["tsdb", "dump", "--url", &url, "--match", "{n=~\"1|2\"}", "--from", &(start + 3000).to_string()]).await;
    assert_eq!(few.lines().count() as i64, 2 * (STEPS - 100) + 1);
    assert!(few.lines().all(|line| line == "# EOF" || text.contains(line)));
    service.terminate().await;
    let data = service.path("data").display().to_string();
    assert_eq!(well(&["tsdb", "dump", "--data", &data]).await, text, "the folder says what the service said");

    for (name, dumped) in [("text", &text), ("json", &lines)] {
        let path = folder.path().join(name);
        fs::write(&path, dumped).expect("a file");
        let other = folder.path().join(format!("{name}-data")).display().to_string();
        well(&["tsdb", "import", &path.display().to_string(), "--data", &other]).await;
        assert_eq!(well(&["tsdb", "dump", "--data", &other]).await, text, "{name}");
        assert_eq!(well(&["tsdb", "dump", "--data", &other, "--format", "json"]).await, lines, "{name}");
    }
    let cut = folder.path().join("cut");
    fs::write(&cut, &lines[..lines.len() - 14]).expect("a file");
    let refused = run(&["tsdb", "import", &cut.display().to_string(), "--data", &data]).await;
    assert!(!refused.status.success() && said(&refused).contains("cut short"), "{refused:?}");

    let blocks = folder.path().join("blocks").display().to_string();
    let path = folder.path().join("text").display().to_string();
    peers::ask("promtool", &["tsdb", "create-blocks-from", "openmetrics", &path, &blocks]).await;
    // It is not made without samples in a head, and looked for all the same.
    fs::create_dir_all(Path::new(&blocks).join("wal")).expect("a folder");
    let theirs = peers::ask("promtool", &["tsdb", "dump-openmetrics", &blocks]).await;
    assert_eq!(theirs.lines().filter(|line| !line.starts_with('#')).count() as i64, 21 * STEPS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_is_seen_at_once_and_outlives_a_kill() {
    let folder = TempDir::with_prefix("tocsin-it-").expect("a temporary folder");
    let (mut service, start) = filled(folder.path()).await;
    let url = service.url("");
    let count = |of: &str| format!("sum(count_over_time({of}[1d]))");
    let (one, other) = (count("jobs_total{n=\"7\"}"), count("jobs_total{n!=\"7\"}"));
    assert_eq!(service.value(&one).await, Some(STEPS as f64));

    let span = ["--from", &(start + 300).to_string(), "--to", &(start + 599).to_string()].map(str::to_owned);
    let mut dry = vec!["tsdb", "delete", "--match", "jobs_total{n=\"7\"}", "--dry-run", "--url", &url];
    dry.extend(span.iter().map(String::as_str));
    assert_eq!(well(&dry).await, "10 samples of 1 series would go\n");
    assert_eq!(service.value(&one).await, Some(STEPS as f64), "nothing happened");
    let unasked = run(&["tsdb", "delete", "--match", "{n=\"7\"}", "--url", &url]).await;
    assert!(!unasked.status.success() && said(&unasked).contains("--yes"), "{unasked:?}");
    let all = run(&["tsdb", "delete", "--match", "{n=~\".*\"}", "--yes", "--url", &url]).await;
    assert!(!all.status.success() && said(&all).contains("names every series"), "{all:?}");
    let mut now = vec!["tsdb", "delete", "--match", "jobs_total{n=\"7\"}", "--yes", "--url", &url];
    now.extend(span.iter().map(String::as_str));
    assert!(well(&now).await.starts_with("10 samples of 1 series are deleted"));
    service.kill().await;
    service.restart().await;
    assert_eq!(service.value(&one).await, Some((STEPS - 10) as f64));
    assert_eq!(service.value(&other).await, Some((19 * STEPS) as f64));

    // As Prometheus has it, by query string and by form.
    for (method, path) in
        [(Method::POST, "?match[]=jobs_total%7Bn=%227%22%7D"), (Method::PUT, "?match[]=jobs_total%7Bn=%228%22%7D&start=0")]
    {
        let answer = service.client.request(method, service.url(&format!("/api/v1/admin/tsdb/delete_series{path}"))).send().await;
        assert_eq!(answer.expect("an answer").status(), 204);
    }
    let form = [("match[]", "heat"), ("match[]", "jobs_total{n=\"9\"}")];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = service.client.post(service.url("/api/v1/admin/tsdb/delete_series")).body(body);
    let answer = request.header("Content-Type", "application/x-www-form-urlencoded").send().await.expect("an answer");
    assert_eq!(answer.status(), 204);
    assert_eq!(service.send(Method::POST, "/api/v1/admin/tsdb/delete_series", None).await.0, 400);
    assert_eq!(service.send(Method::POST, "/api/v1/admin/tsdb/clean_tombstones", None).await.0, 204);
    for _ in 0..2 {
        assert_eq!(service.value(&other).await, Some((17 * STEPS) as f64));
        assert_eq!(service.query("count_over_time({__name__=~\"heat|jobs_total\",n=~\"7|9|\"}[1d])").await, Vec::<Value>::new());
        let listed = service.get("/api/v1/series?match[]=heat").await;
        assert_eq!(listed["data"], json!([]));
        service.kill().await;
        service.restart().await;
    }
    // A series that is gone may come again, with samples of any age.
    let (path, _) = write_file(folder.path());
    let text = fs::read_to_string(&path).expect("a file");
    let of_one = text.lines().filter(|line| line.starts_with('#') || line.contains("n=\"7\"")).map(|line| format!("{line}\n"));
    fs::write(&path, of_one.collect::<String>()).expect("a file");
    well(&["tsdb", "import", &path, "--url", &service.url("")]).await;
    assert_eq!(service.value(&one).await, Some(STEPS as f64));
    let audit = service.get("/api/tocsin/v1/audit").await.to_string();
    assert!(
        audit.contains("delete samples") && audit.contains("jobs_total{n=\\\\\\\"7\\\\\\\"}")
            || audit.contains("jobs_total{n=\\\"7\\\"}"),
        "{audit}"
    );
    let metrics = service.send(Method::GET, "/metrics", None).await.1;
    for figure in ["tocsin_store_blocks ", "tocsin_store_tombstones 0", "tocsin_store_snapshot_last_success_timestamp_seconds 0"]
    {
        assert!(metrics.as_str().expect("text").contains(figure), "{figure}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_samples_and_state_is_restored() {
    let folder = TempDir::with_prefix("tocsin-it-").expect("a temporary folder");
    let (mut service, _) = filled(folder.path()).await;
    let url = service.url("");
    let silence = json!({ "matchers": [{ "name": "a", "value": "b", "isRegex": false }], "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2099-01-01T00:00:00Z", "createdBy": "me", "comment": "kept" });
    service.post("/api/v2/silences", &silence).await;
    let said_of = well(&["tsdb", "snapshot", "nightly", "--url", &url]).await;
    let snapshot = service.path("data").join("snapshots/nightly");
    assert!(said_of.contains("snapshot nightly") && snapshot.join("tocsin.db").exists(), "{said_of}");
    let name = service.post("/api/v1/admin/tsdb/snapshot", &json!({})).await["data"]["name"].clone();
    assert!(service.path("data").join("snapshots").join(name.as_str().expect("a name")).join("manifest.json").exists());
    let (status, refused) = service.send(Method::POST, "/api/tocsin/v1/tsdb/snapshots", Some(&json!({ "name": "../x" }))).await;
    assert_eq!(status, 400, "{refused}");
    let listed: Value = serde_json::from_str(&well(&["tsdb", "list", "--json", "--url", &url]).await).expect("JSON");
    assert_eq!(listed["snapshots"].as_array().map(Vec::len), Some(2), "{listed}");
    assert!(listed["head"]["samples"].as_u64().is_some_and(|count| count > 0), "{listed}");
    let metrics = service.send(Method::GET, "/metrics", None).await.1;
    assert!(metrics.as_str().is_some_and(|text| text.contains("tocsin_store_snapshots_total 2")), "{metrics}");

    let before = well(&["tsdb", "dump", "--url", &url]).await;
    well(&["tsdb", "delete", "--match", "jobs_total", "--yes", "--url", &url]).await;
    service.post("/api/v2/silences", &silence).await;
    let data = service.path("data").display().to_string();
    let snapshot = snapshot.display().to_string();
    let refused = run(&["tsdb", "restore", &snapshot, "--data", &data, "--replace"]).await;
    assert!(!refused.status.success() && said(&refused).contains("another process uses"), "{refused:?}");
    assert!(well(&["tsdb", "verify", "--data", &data]).await.contains("nothing is wrong"), "beside the service");
    assert!(well(&["tsdb", "list", "--data", &data]).await.contains("a service runs on this folder"));
    service.kill().await;
    let refused = run(&["tsdb", "restore", &snapshot, "--data", &data]).await;
    assert!(!refused.status.success() && said(&refused).contains("--replace"), "{refused:?}");
    let done = well(&["tsdb", "restore", &snapshot, "--data", &data, "--replace"]).await;
    assert!(done.contains("restored samples and state") && done.contains("kept aside: "), "{done}");
    assert_eq!(well(&["tsdb", "dump", "--data", &data]).await, before);
    assert!(well(&["tsdb", "list", "--data", &data]).await.contains("memory: 21 series"));
    service.restart().await;
    assert_eq!(service.get("/api/v2/silences").await.as_array().map(Vec::len), Some(1), "the state of the snapshot");
    service.terminate().await;

    let file = Path::new(&snapshot).join("metrics/wal");
    let checkpoint = fs::read_dir(&file).expect("a folder").map(|entry| entry.expect("an entry").path());
    let checkpoint = checkpoint.max_by_key(|path| fs::metadata(path).map_or(0, |found| found.len())).expect("a file");
    let mut bytes = fs::read(&checkpoint).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&checkpoint).expect("it goes");
    fs::write(&checkpoint, bytes).expect("a file");
    let bad = run(&["tsdb", "verify", "--data", &snapshot]).await;
    assert!(!bad.status.success() && said(&bad).contains(&checkpoint.display().to_string()), "{bad:?}");
    let refused = run(&["tsdb", "restore", &snapshot, "--data", &data, "--replace"]).await;
    assert!(!refused.status.success() && said(&refused).contains("the snapshot is not whole"), "{refused:?}");
    assert_eq!(well(&["tsdb", "dump", "--data", &data]).await, before, "nothing was changed");
}

/// Fills a data folder with blocks of a counter, the newest sample half an hour old.
fn fill_blocks(data: &Path) {
    let store = Store::new(StoreOptions::default());
    let (disk, _) = Disk::open(data, &store).expect("a new folder");
    let now = tocsin::clock::now();
    for step in 0..STEPS {
        let cell = |n: i64| Cell {
            series: store
                .resolve(&LabelSet::from_pairs([("__name__", "jobs_total"), ("n", &n.to_string())]))
                .expect("there is room"),
            at: None,
            value: Sample::Float((step * n) as f64),
        };
        let at = now - Span::from_mins(30) - Span((STEPS - step) * 15_000);
        disk.append(&store, &Row { at, cells: (0..20).map(cell).collect() }).expect("the row is taken");
    }
    (0..30).for_each(|minute| drop(disk.maintain(&store, now + Span::from_mins(minute)).expect("the disk takes it")));
    assert!(!store.block_facts().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_block_keeps_nobody_from_deleting_and_the_answer_names_it() {
    let mut service = Service::prepare(Setup::new(CONFIG));
    fill_blocks(&service.path("data"));
    let blocks = service.path("data").join("metrics/blocks");
    let path = fs::read_dir(&blocks).expect("a folder").next().expect("a block").expect("an entry").path();
    let mut bytes = fs::read(&path).expect("a file");
    // Behind the mark lie the first samples, which no start reads.
    bytes[12] ^= 0xff;
    fs::write(&path, bytes).expect("a file");
    service.launch(&[]);
    service.wait_until_ready().await;
    let url = service.url("");
    let wish = json!({ "match": ["jobs_total{n=\"7\"}"], "dry_run": true });
    let would = service.post("/api/tocsin/v1/tsdb/delete", &wish).await;
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(would["not_counted"].as_str().is_some_and(|why| why.starts_with("1 series") && why.contains(name)), "{would}");
    let wish = json!({ "match": ["jobs_total{n=\"7\"}"] });
    let done = service.post("/api/tocsin/v1/tsdb/delete", &wish).await;
    assert_eq!((&done["dry_run"], done["not_counted"].is_string()), (&json!(false), true), "{done}");
    let done = run(&["tsdb", "delete", "--match", "jobs_total{n=\"8\"}", "--yes", "--url", &url]).await;
    assert!(done.status.success() && said(&done).contains("not all could be counted: 1 series"), "{done:?}");
    let listed = service.get("/api/tocsin/v1/tsdb").await;
    assert_eq!(listed["tombstones"], 2, "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_ask_for_the_list_all_at_once_are_told_to_come_again() {
    let folder = TempDir::with_prefix("tocsin-it-").expect("a temporary folder");
    let (service, _) = filled(folder.path()).await;
    soon("some are refused", async || {
        let asked: Vec<_> = (0..100)
            .map(|_| {
                let (client, url) = (service.client.clone(), service.url("/api/tocsin/v1/tsdb"));
                tokio::spawn(async move { client.get(url).send().await.expect("an answer").status().as_u16() })
            })
            .collect();
        let mut statuses = Vec::new();
        for one in asked {
            statuses.push(one.await.expect("it ends"));
        }
        assert!(statuses.iter().all(|status| [200, 409].contains(status)) && statuses.contains(&200), "{statuses:?}");
        statuses.contains(&409).then_some(())
    })
    .await;
    service.get("/api/tocsin/v1/tsdb").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_a_slow_disk_until_the_last_samples_are_safe() {
    let folder = TempDir::with_prefix("tocsin-it-").expect("a temporary folder");
    let (path, _) = write_file(folder.path());
    let mut service = Service::prepare(Setup::new(format!("storage: {{sync_every: 1m}}\n{CONFIG}")));
    let segment = service.path("data/metrics/wal/00000001").display().to_string();
    let slow = "inject=fdatasync:delay_enter=3s";
    let through = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-P", &segment, "-e", "trace=fdatasync", "-e", slow];
    service.launch_through(&through, &[]);
    service.wait_until_ready().await;
    well(&["tsdb", "import", &path, "--url", &service.url("")]).await;
    let took = service.terminate().await;
    assert!(took.as_secs() >= 3 && took.as_secs() < 10, "{took:?}");
}
