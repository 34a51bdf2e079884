//! `targets`, `scrape_pools`, `notifications` and `status/…`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Router, routing};
use serde_json::{Value, json};
use tocsin_core::model::LabelSet;
use tocsin_core::store::Store;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::watch;

use super::query::{QUERIES_MAX, Queries};
use super::{ApiError, Parameters, number, success, time_or_zero};
use crate::clock;
use crate::pipeline::alertmanagers::{Alertmanagers, View};
use crate::pipeline::scrapes::{JobView, Scrapes};
use crate::telemetry::Metrics;

/// Clients choose their dialect of PromQL by this.
const PROMETHEUS_VERSION: &str = "3.5.0";

#[derive(Clone)]
pub struct StatusState {
    pub scrapes: Arc<Scrapes>,
    pub alertmanagers: Arc<Alertmanagers>,
    pub started_at: Timestamp,
    pub retention: Span,
    pub retention_bytes: Option<u64>,
    pub external_url: String,
    pub prefix: String,
    pub queries: Queries,
    pub metrics: Arc<Metrics>,
    /// The configuration as YAML, secrets masked.
    pub config: watch::Receiver<Arc<str>>,
}

fn target_json(job: &JobView) -> Vec<Value> {
    job.targets
        .iter()
        .map(|view| {
            json!({
                "discoveredLabels": view.target.discovered,
                "labels": view.target.labels,
                "scrapePool": job.name,
                "scrapeUrl": view.target.url,
                "globalUrl": view.target.url,
                "lastError": view.status.last_error,
                "lastScrape": time_or_zero(view.status.last_scrape_at),
                "lastScrapeDuration": number(view.status.last_seconds),
                "health": match view.status.up { Some(true) => "up", Some(false) => "down", None => "unknown" },
                "scrapeInterval": view.target.interval.to_string(),
                "scrapeTimeout": view.target.timeout.to_string(),
            })
        })
        .collect()
}

async fn targets(State(state): State<StatusState>, parameters: Parameters) -> Response {
    let wanted = parameters.get("state").map(str::to_lowercase).unwrap_or_default();
    let (of_active, of_dropped) =
        (matches!(wanted.as_str(), "" | "any" | "active"), matches!(wanted.as_str(), "" | "any" | "dropped"));
    let pool = parameters.get("scrapePool");
    let mut jobs: Vec<JobView> = state.scrapes.view();
    jobs.sort_by(|one, other| one.name.cmp(&other.name));
    let (mut active, mut dropped, mut counts): (Vec<Value>, Vec<Value>, BTreeMap<&str, usize>) = Default::default();
    for job in &jobs {
        counts.insert(&job.name, job.dropped.len());
        if pool.is_some_and(|pool| pool != job.name) {
            continue;
        }
        if of_active {
            active.extend(target_json(job));
        }
        if of_dropped {
            let label = |labels: &LabelSet| json!({ "discoveredLabels": labels, "scrapePool": job.name });
            dropped.extend(job.dropped.iter().map(label));
        }
    }
    let counts = if of_dropped { json!(counts) } else { Value::Null };
    success(json!({ "activeTargets": active, "droppedTargets": dropped, "droppedTargetCounts": counts }))
}

async fn scrape_pools(State(state): State<StatusState>) -> Response {
    let mut names: Vec<String> = state.scrapes.view().into_iter().map(|job| job.name).collect();
    names.sort();
    success(json!({ "scrapePools": names }))
}

/// Tells what Prometheus' page would be told of its server; ours is told in the page itself.
async fn notifications() -> Response {
    success(json!([]))
}

/// The log is read before anything is served.
async fn walreplay() -> Response {
    success(json!({ "min": 0, "max": 0, "current": 0 }))
}

async fn buildinfo() -> Response {
    success(json!({
        "version": PROMETHEUS_VERSION, "revision": concat!("tocsin-", env!("CARGO_PKG_VERSION")), "branch": "tocsin",
        "buildUser": "", "buildDate": "", "goVersion": ""
    }))
}

async fn config(State(state): State<StatusState>) -> Response {
    let yaml = state.config.borrow().clone();
    success(json!({ "yaml": &*yaml }))
}

/// Tells the state of the process. What is of Go's runtime alone is told as nothing; tasks and threads stand for its counterparts.
async fn runtimeinfo(State(state): State<StatusState>) -> Response {
    let runtime = tokio::runtime::Handle::current().metrics();
    let folder = std::env::current_dir().map(|folder| folder.display().to_string()).unwrap_or_default();
    success(json!({
        "startTime": state.started_at.rfc3339(),
        "CWD": folder,
        "hostname": std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim(),
        "serverTime": clock::now().rfc3339(),
        "reloadConfigSuccess": state.metrics.config_reload_successful.get() == 1,
        "lastConfigTime": time_or_zero(Some(Timestamp(state.metrics.config_taken_at_ms.get()))),
        "corruptionCount": 0,
        "goroutineCount": runtime.num_alive_tasks(),
        "GOMAXPROCS": runtime.num_workers(),
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": match state.retention_bytes {
            Some(bytes) => format!("{} or {bytes}B", state.retention),
            None => state.retention.to_string(),
        },
    }))
}

/// Tells those of Prometheus' flags that have a meaning here, with the values that hold.
async fn flags(State(state): State<StatusState>) -> Response {
    let options = state.queries.options();
    success(json!({
        "query.lookback-delta": options.lookback.to_string(),
        "query.max-concurrency": QUERIES_MAX.to_string(),
        "query.max-samples": options.samples_max.to_string(),
        "query.timeout": format!("{}s", state.queries.timeout.as_secs()),
        "storage.tsdb.retention.size": format!("{}B", state.retention_bytes.unwrap_or(0)),
        "storage.tsdb.retention.time": state.retention.to_string(),
        "web.enable-admin-api": "true",
        "web.enable-lifecycle": "true",
        "web.external-url": state.external_url,
        "web.route-prefix": if state.prefix.is_empty() { "/" } else { state.prefix.as_str() },
    }))
}

async fn alertmanagers(State(state): State<StatusState>) -> Response {
    let View { active, dropped } = state.alertmanagers.view();
    let listed = |urls: Vec<String>| -> Vec<Value> { urls.into_iter().map(|url| json!({ "url": url })).collect() };
    success(json!({ "activeAlertmanagers": listed(active), "droppedAlertmanagers": listed(dropped) }))
}

/// Entries of each list of `status/tsdb`: when nothing is said, and at most.
const TOP: usize = 10;
const TOP_MAX: usize = 10_000;

async fn tsdb(State(state): State<StatusState>, parameters: Parameters) -> Result<Response, ApiError> {
    let top = match parameters.get("limit").map(str::parse::<usize>) {
        None => TOP,
        Some(Ok(limit)) if limit > 0 => limit.min(TOP_MAX),
        Some(_) => return Err(ApiError::bad_data("limit must be a positive number")),
    };
    let queries = state.queries.clone();
    let data = state.queries.with_slot(queries.timeout, move || tsdb_data(&queries.store, top)).await?;
    Ok(success(data))
}

fn tsdb_data(store: &Store, top: usize) -> Value {
    let stats = store.stats(top);
    let entry = |name: &str, value: usize| json!({ "name": name, "value": value });
    let pairs = |list: &[(String, usize)]| list.iter().map(|(name, value)| entry(name, *value)).collect::<Vec<_>>();
    let mut largest: Vec<_> = stats.labels.iter().collect();
    largest.sort_by_key(|label| std::cmp::Reverse(label.bytes));
    // A series that has samples has one chunk that is being filled.
    json!({
        "headStats": {
            "numSeries": stats.series,
            "numLabelPairs": stats.label_pairs,
            "chunkCount": stats.series,
            "minTime": store.oldest().map_or(i64::MAX, |at| at.0),
            "maxTime": store.newest().map_or(i64::MIN, |at| at.0),
        },
        "seriesCountByMetricName": pairs(&stats.metrics),
        "labelValueCountByLabelName": stats.labels.iter().map(|label| entry(&label.name, label.values)).collect::<Vec<_>>(),
        "memoryInBytesByLabelName": largest.iter().map(|label| entry(&label.name, label.bytes)).collect::<Vec<_>>(),
        "seriesCountByLabelValuePair": pairs(&stats.pairs),
    })
}

pub fn routes(state: StatusState) -> Router {
    Router::new()
        .route("/api/v1/targets", routing::get(targets))
        .route("/api/v1/scrape_pools", routing::get(scrape_pools))
        .route("/api/v1/notifications", routing::get(notifications))
        .route("/api/v1/status/walreplay", routing::get(walreplay))
        .route("/api/v1/status/buildinfo", routing::get(buildinfo))
        .route("/api/v1/status/config", routing::get(config))
        .route("/api/v1/status/runtimeinfo", routing::get(runtimeinfo))
        .route("/api/v1/status/tsdb", routing::get(tsdb))
        .route("/api/v1/status/flags", routing::get(flags))
        .route("/api/v1/alertmanagers", routing::get(alertmanagers))
        .with_state(state)
}
