//! Stories of measurements from MongoDB Atlas, which a stand-in plays.

use serde_json::json;
use tocsin::clock::Stopwatch;

use crate::harness::atlas::{Atlas, PASSWORD, PROJECT, Trouble, USER};
use crate::harness::service::{Service, Setup};
use crate::harness::soon;

const CONNECTIONS: &str = "mongodbatlas_processes_stats_connections";

fn config(atlas: &Atlas, access: &str, more: &str) -> String {
    format!(
        "global: {{evaluation_interval: 1s}}\natlas:\n  - job_name: mongo\n    project_ids: ['{PROJECT}']\n{access}    base_url: {}\n    \
         interval: 1s\n    timeout: 1s\n    requests_per_minute: 6000\n{more}",
        atlas.url
    )
}

fn by_account() -> String {
    format!("    client_id: {USER}\n    client_secret: {PASSWORD}\n")
}

fn by_key() -> String {
    format!("    public_key: {USER}\n    private_key: {PASSWORD}\n")
}

async fn up(service: &Service, value: f64) {
    soon(&format!("up is {value}"), async || service.value("up{job='mongo'}").await.filter(|up| *up == value)).await;
}

async fn last_error(service: &Service) -> String {
    let targets = service.get("/api/v1/targets").await;
    targets["data"]["activeTargets"][0]["lastError"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_account_reads_processes_disks_and_databases() {
    let atlas = Atlas::start(2).await;
    atlas.tokens_live(3);
    let more = "    measurements: {processes: [CONNECTIONS], disks: [], databases: }\n    discovery_interval: 1s\n    labels: {env: test}\n";
    let service = Service::start(Setup::new(config(&atlas, &by_account(), more))).await;
    let series = soon("connections", async || {
        service.query(&format!("{CONNECTIONS}{{user_alias='shop-shard-00-0'}}[10m]")).await.into_iter().next()
    })
    .await;
    assert_eq!(
        series["metric"],
        json!({ "__name__": CONNECTIONS, "job": "mongo", "project_id": PROJECT, "rs_name": "rs0", "user_alias": "shop-shard-00-0",
                "id": "host-0.mongodb.net:27017", "env": "test" })
    );
    let values: Vec<&str> = series["values"].as_array().into_iter().flatten().filter_map(|pair| pair[1].as_str()).collect();
    assert_eq!(values, ["12.5", "13.5"], "points without a value are left out");
    let disk =
        service.value("mongodbatlas_disks_stats_disk_partition_space_used_bytes{partition_name='data', id=~'host-1.*'}").await;
    assert_eq!(disk, Some(4.0 * 1024.0 * 1024.0), "units are base units");
    assert_eq!(service.query("mongodbatlas_databases_stats_database_storage_size_bytes{database_name='shop'}").await.len(), 2);
    assert_eq!(service.query("{__name__=~'mongodbatlas_.*never.*'}").await.len(), 0);
    up(&service, 1.0).await;
    let info = "mongodbatlas_processes_stats_info{id=~'host-0.*'}";
    assert_eq!(service.query(info).await[0]["metric"]["type"], "REPLICA_PRIMARY");
    atlas.step_down();
    soon("the primary steps down", async || {
        let info = service.query(info).await;
        (info.len() == 1 && info[0]["metric"]["type"] == "REPLICA_SECONDARY").then_some(())
    })
    .await;
    soon("tokens are renewed before they end", async || (atlas.tokens_given() >= 3).then_some(())).await;
    assert_eq!(service.value("min_over_time(up{job='mongo'}[1m])").await, Some(1.0));
    let target = service.get("/api/v1/targets").await["data"]["activeTargets"][0].clone();
    assert_eq!(target["labels"], json!({ "job": "mongo", "instance": PROJECT, "env": "test" }));
    assert_eq!(target["scrapeUrl"], format!("{}/api/atlas/v2/groups/{PROJECT}/processes", atlas.url));
    let (requests, asked) =
        (service.value("mongodbatlas_requests_total").await, service.value("mongodbatlas_measurements_requested_total").await);
    assert!(requests > asked && asked >= Some(6.0), "{requests:?} {asked:?}");
    assert!(!service.log().contains("hunter2") && !service.get("/api/v1/status/config").await.to_string().contains("hunter2"));
    atlas.assert_no_faults();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_key_counts_under_its_nonce_and_takes_another_when_that_ends() {
    let atlas = Atlas::start(1).await;
    let service = Service::start(Setup::new(config(&atlas, &by_key(), ""))).await;
    up(&service, 1.0).await;
    soon("requests under one nonce", async || (atlas.nonces().1 >= 6).then_some(())).await;
    assert_eq!(atlas.nonces().0, 1, "a challenge is answered for as long as it is good");
    atlas.nonces_are_good_for(2);
    soon("other nonces", async || (atlas.nonces().0 >= 4).then_some(())).await;
    assert_eq!(service.value("min_over_time(up{job='mongo'}[1m])").await, Some(1.0), "{}", service.log());
    assert_eq!(service.query(CONNECTIONS).await.len(), 1);
    atlas.assert_no_faults();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_credential_is_told_and_does_no_harm() {
    for (access, reason) in [
        (by_account().replace(PASSWORD, "hunter2-wrong"), "a token is refused: HTTP 401: no such client"),
        (by_key().replace(PASSWORD, "hunter2-wrong"), "processes is refused: HTTP 401: UNAUTHORIZED"),
        (
            by_account().replace(&format!("client_secret: {PASSWORD}"), "client_secret_file: missing"),
            "cannot read the secret in file",
        ),
    ] {
        let atlas = Atlas::start(1).await;
        let service = Service::start(Setup::new(config(&atlas, &access, ""))).await;
        up(&service, 0.0).await;
        let error = last_error(&service).await;
        assert!(error.contains(reason), "{error}");
        soon("the log says so", async || service.log().contains(reason).then_some(())).await;
        assert!(!service.log().contains("hunter2"), "{}", service.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_come_in_pages_and_limits_are_kept() {
    let atlas = Atlas::start(501).await;
    atlas.trouble(Trouble {
        status: 429,
        retry_after: Some(2),
        body: r#"{"errorCode":"RATE_LIMITED_TOKEN_BUCKET","detail":"slow"}"#,
    });
    let more = "    measurements: {processes: []}\n";
    let text =
        config(&atlas, &by_account(), more).replace("1s\n    timeout: 1s", "30s\n    timeout: 30s").replace(": 6000", ": 5000");
    let watch = Stopwatch::start();
    let service = Service::start(Setup::new(text)).await;
    up(&service, 1.0).await;
    assert!(watch.elapsed().as_secs() >= 2, "the wish to be left alone for 2 s was granted");
    assert_eq!(service.value(&format!("count(last_over_time({CONNECTIONS}[10m]))")).await, Some(501.0));
    let lists: Vec<String> = atlas.paths().into_iter().filter(|path| path.contains("pageNum")).collect();
    assert_eq!(lists.len(), 3, "the page that was refused, and two pages: {lists:?}");
    atlas.assert_no_faults();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn illness_is_an_alert_and_passes() {
    let atlas = Atlas::start(1).await;
    let rules = "groups: [{name: r, rules: [{alert: SourceDown, expr: 'up{job=\"mongo\"} == 0'}]}]";
    let text = format!("rule_files: [rules.yml]\n{}", config(&atlas, &by_account(), ""));
    let service = Service::start(Setup::new(text).with_file("rules.yml", rules)).await;
    up(&service, 1.0).await;
    for (status, body, reason) in [
        (500, "<html>oh</html>", "HTTP 500"),
        (200, "<html>welcome</html>", "the answer with measurements cannot be read"),
        (429, "", "HTTP 429"),
        (403, r#"{"errorCode":"IP_ADDRESS_NOT_ON_ACCESS_LIST","detail":"no"}"#, "IP_ADDRESS_NOT_ON_ACCESS_LIST: no"),
    ] {
        atlas.be_ill(Some(Trouble { status, retry_after: None, body }));
        up(&service, 0.0).await;
        service.alert("SourceDown", "firing").await;
        soon(reason, async || last_error(&service).await.contains(reason).then_some(())).await;
        assert!(service.log().contains(reason), "{}", service.log());
        atlas.be_ill(None);
        up(&service, 1.0).await;
        soon("the alert ends", async || {
            service.alerts("SourceDown").await.iter().all(|alert| alert["state"] != "firing").then_some(())
        })
        .await;
    }
    atlas.assert_no_faults();
}
