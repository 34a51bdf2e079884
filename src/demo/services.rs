//! The services' own work.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::kind::{Kind, Switches};
use super::orders::Orders;
use crate::clock::{self, Stopwatch};
use crate::id;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How many customers' requests a second the load plays.
const REQUESTS_PER_SECOND: u64 = 25;
/// The queue takes no more jobs than this; more are refused, as a real queue does.
const QUEUE_LEN_MAX: i64 = 100_000;

/// Registers the service's metrics, starts its background work, and returns its routes.
pub fn start(
    kind: Kind,
    peers: &BTreeMap<String, SocketAddr>,
    pair: Option<&Path>,
    switches: Switches,
    registry: &mut Registry,
) -> anyhow::Result<Router> {
    let peer = |kind: Kind| peers.get(kind.word()).copied().with_context(|| format!("the address of {} is missing", kind.job()));
    Ok(match kind {
        Kind::Api => api(peer(Kind::Database)?, peer(Kind::Worker)?, switches, registry),
        Kind::Database => database(pair.map(Orders::open).transpose()?, switches, registry),
        Kind::Worker => worker(switches, registry),
        Kind::Load => load(peer(Kind::Api)?, registry),
    })
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .no_proxy()
        .build()
        .expect("a plain HTTP client needs nothing that can fail")
}

#[derive(Clone)]
struct Api {
    client: reqwest::Client,
    database: String,
    worker: String,
    switches: Switches,
    requests: Family<Request, Counter>,
    seconds: Family<Route, Histogram>,
    in_flight: Gauge,
}

fn api(database: SocketAddr, worker: SocketAddr, switches: Switches, registry: &mut Registry) -> Router {
    let state = Api {
        client: client(),
        database: format!("http://{database}"),
        worker: format!("http://{worker}/jobs"),
        switches,
        requests: Family::default(),
        seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        in_flight: Gauge::default(),
    };
    registry.register("http_requests", "Requests answered, by route and status code", state.requests.clone());
    registry.register("http_request_duration_seconds", "How long requests took", state.seconds.clone());
    registry.register("http_requests_in_flight", "Requests being answered now", state.in_flight.clone());
    Router::new().route("/orders", post(order)).route("/catalogue", get(catalogue)).with_state(state)
}

impl Api {
    async fn answer(&self, route: &str, takes_order: bool) -> (StatusCode, Json<Answer>) {
        let watch = Stopwatch::start();
        self.in_flight.inc();
        let (code, answer) = match self.work(takes_order).await {
            Ok(number) => (StatusCode::OK, Answer { state: if takes_order { "taken" } else { "open" }, number }),
            Err(code) => (code, Answer { state: "failed", number: None }),
        };
        self.in_flight.dec();
        self.requests.get_or_create(&Request { route: route.to_owned(), code: code.as_str().to_owned() }).inc();
        self.seconds.get_or_create(&Route { route: route.to_owned() }).observe(watch.seconds());
        (code, Json(answer))
    }

    /// Returns the number of the order, where orders have one.
    async fn work(&self, takes_order: bool) -> Result<Option<i64>, StatusCode> {
        if self.switches.active("slow-api") {
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
        if self.switches.active("failing-api") && id::jitter(5) == 0 {
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let question = match takes_order {
            true => self.client.post(format!("{}/orders", self.database)),
            false => self.client.get(format!("{}/query", self.database)),
        };
        let answer = question.send().await.and_then(reqwest::Response::error_for_status).map_err(|_| StatusCode::BAD_GATEWAY)?;
        if !takes_order {
            return Ok(None);
        }
        let number: Option<i64> = answer.json().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
        let queued = self.client.post(&self.worker).send().await.and_then(reqwest::Response::error_for_status);
        queued.map(|_| number).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
    }
}

/// What customers read.
#[derive(serde::Serialize)]
struct Answer {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<i64>,
}

async fn order(State(api): State<Api>) -> (StatusCode, Json<Answer>) {
    api.answer("/orders", true).await
}

async fn catalogue(State(api): State<Api>) -> (StatusCode, Json<Answer>) {
    api.answer("/catalogue", false).await
}

#[derive(Clone)]
struct Database {
    /// None where PostgreSQL is not installed: then orders are taken and not kept.
    orders: Option<Orders>,
    switches: Switches,
    queries: Counter,
    seconds: Histogram,
    connections: Gauge,
}

fn database(orders: Option<Orders>, switches: Switches, registry: &mut Registry) -> Router {
    if let Some(orders) = orders.clone() {
        tokio::spawn(orders.sweep());
    }
    let state = Database {
        orders,
        switches,
        queries: Counter::default(),
        seconds: Histogram::new(SECONDS),
        connections: Gauge::default(),
    };
    registry.register("db_queries", "Queries answered", state.queries.clone());
    registry.register("db_query_duration_seconds", "How long queries took", state.seconds.clone());
    registry.register("db_connections", "Queries being answered now", state.connections.clone());
    Router::new().route("/query", get(query)).route("/orders", post(keep)).with_state(state)
}

impl Database {
    async fn measured<T>(&self, work: impl Future<Output = T>) -> T {
        let watch = Stopwatch::start();
        self.connections.inc();
        let extra = if self.switches.active("slow-database") { 700 } else { 0 };
        tokio::time::sleep(Duration::from_millis(2 + id::jitter(12) + extra)).await;
        let value = work.await;
        self.connections.dec();
        self.queries.inc();
        self.seconds.observe(watch.seconds());
        value
    }
}

async fn query(State(database): State<Database>) -> StatusCode {
    database.measured(async { StatusCode::OK }).await
}

/// Keeps an order; answers with its number, or with null where none is kept.
async fn keep(State(database): State<Database>) -> Result<Json<Option<i64>>, StatusCode> {
    let kept = async {
        match &database.orders {
            Some(orders) => orders.take(clock::now()).await.map(Some).ok_or(StatusCode::SERVICE_UNAVAILABLE),
            None => Ok(None),
        }
    };
    database.measured(kept).await.map(Json)
}

#[derive(Clone)]
struct Queue {
    length: Arc<AtomicI64>,
    depth: Gauge,
    enqueued: Counter,
    refused: Counter,
}

fn worker(switches: Switches, registry: &mut Registry) -> Router {
    let queue =
        Queue { length: Arc::default(), depth: Gauge::default(), enqueued: Counter::default(), refused: Counter::default() };
    let (done, seconds): (Counter, Histogram) = (Counter::default(), Histogram::new(SECONDS));
    registry.register("queue_depth", "Jobs waiting", queue.depth.clone());
    registry.register("queue_jobs_enqueued", "Jobs taken into the queue", queue.enqueued.clone());
    registry.register("queue_jobs_refused", "Jobs refused because the queue was full", queue.refused.clone());
    registry.register("queue_jobs_processed", "Jobs done", done.clone());
    registry.register("queue_job_duration_seconds", "How long jobs took", seconds.clone());
    let (length, depth) = (queue.length.clone(), queue.depth.clone());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(10 + id::jitter(10))).await;
            if switches.active("stalled-queue") || length.load(Ordering::Relaxed) == 0 {
                continue;
            }
            depth.set(length.fetch_sub(1, Ordering::Relaxed) - 1);
            done.inc();
            seconds.observe(0.01 + id::jitter(100) as f64 / 10_000.0);
        }
    });
    Router::new().route("/jobs", post(enqueue)).with_state(queue)
}

async fn enqueue(State(queue): State<Queue>) -> StatusCode {
    if queue.length.load(Ordering::Relaxed) >= QUEUE_LEN_MAX {
        queue.refused.inc();
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    queue.depth.set(queue.length.fetch_add(1, Ordering::Relaxed) + 1);
    queue.enqueued.inc();
    StatusCode::ACCEPTED
}

fn load(api: SocketAddr, registry: &mut Registry) -> Router {
    let (sent, failed): (Counter<u64, AtomicU64>, Counter<u64, AtomicU64>) = (Counter::default(), Counter::default());
    registry.register("load_requests", "Requests that the customers sent", sent.clone());
    registry.register("load_requests_failed", "Requests that the customers saw fail", failed.clone());
    tokio::spawn(async move {
        let client = client();
        let slots = Arc::new(tokio::sync::Semaphore::new(200));
        let mut tick = tokio::time::interval(Duration::from_millis(1000 / REQUESTS_PER_SECOND));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tick.tick().await;
            // A platform that answers nothing at all must not pile up requests without end.
            let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
            let (client, sent, failed) = (client.clone(), sent.clone(), failed.clone());
            tokio::spawn(async move {
                let request = if id::jitter(2) == 0 {
                    client.post(format!("http://{api}/orders"))
                } else {
                    client.get(format!("http://{api}/catalogue"))
                };
                sent.inc();
                if !request.send().await.is_ok_and(|answer| answer.status().is_success()) {
                    failed.inc();
                }
                drop(slot);
            });
        }
    });
    Router::new()
}
