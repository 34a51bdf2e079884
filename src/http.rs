//! The HTTP front: one file per resource, thin handlers, and a guard before all of them.

pub mod accept;
pub mod access;
pub mod accounts;
pub mod alertmanager;
pub mod alerts;
pub mod assets;
pub mod cardinality;
pub mod journeys;
pub mod objectives;
pub mod openapi;
pub mod overview;
pub mod prefix;
pub mod problem;
pub mod prometheus;
pub mod runs;
pub mod service;
pub mod session;
pub mod stream;
pub mod tsdb;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use tocsin_core::problem::Problem as ConfigProblem;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use crate::act::desk::Desk;
use crate::db::Db;
use crate::demo::Platform;
use crate::pipeline::alertmanagers::Alertmanagers;
use crate::pipeline::hub::Hub;
use crate::pipeline::journeys::Journeys;
use crate::pipeline::memory::Standing;
use crate::pipeline::objectives::Handle;
use crate::pipeline::pulse::Pulse;
use crate::pipeline::receive::Receiver;
use crate::pipeline::rules::Rules;
use crate::pipeline::scrapes::Scrapes;
use crate::pipeline::stored::Stored;
use crate::pipeline::watch::Watch;
use crate::telemetry::Metrics;

use access::Guard;
use alertmanager::RoutingView;
use prometheus::query::Queries;

/// The parts that requests reach; each router takes only its own.
pub struct Front {
    pub guard: Arc<Guard>,
    pub watch: Watch,
    pub hub: Hub,
    pub db: Db,
    pub queries: Queries,
    pub standing: watch::Receiver<Standing>,
    pub receiver: Receiver,
    pub stored: Stored,
    pub rules: Arc<Rules>,
    pub objectives: Handle,
    pub scrapes: Arc<Scrapes>,
    pub alertmanagers: Arc<Alertmanagers>,
    pub journeys: Arc<Journeys>,
    pub desk: Desk,
    pub metrics: Arc<Metrics>,
    pub ready: Arc<AtomicBool>,
    /// The signs of life of the tasks without which nobody would be told.
    pub pulses: Arc<[Pulse]>,
    pub reload: mpsc::Sender<oneshot::Sender<Result<Vec<ConfigProblem>, Vec<ConfigProblem>>>>,
    pub config: watch::Receiver<Arc<str>>,
    pub routing: watch::Receiver<RoutingView>,
    pub platform: Option<Arc<Platform>>,
    pub external_url: String,
    /// Below which path all is served; empty: the root.
    pub prefix: String,
    pub started_at: Timestamp,
    pub retention: Span,
    pub retention_bytes: Option<u64>,
}

/// Headers that every answer carries.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

async fn add_headers(request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    // An answer is for its asker alone, and old by the next moment.
    if is_api {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

/// Returns what answers while the service starts: it is well, and it is not ready. Connections end with the answer, since the routes
/// that come are not those of this router.
pub fn starting() -> Router {
    async fn healthy() -> Response {
        ([(header::CONNECTION, "close")], "Tocsin is Healthy.\n").into_response()
    }
    async fn wait() -> Response {
        let headers = [(header::CONNECTION, "close"), (header::RETRY_AFTER, "1")];
        (StatusCode::SERVICE_UNAVAILABLE, headers, "Tocsin is starting.\n").into_response()
    }
    Router::new().route("/-/healthy", routing::get(healthy)).fallback(wait)
}

/// Returns every route behind the guard, below the prefix.
pub fn router(front: Front) -> Router {
    let prefix = front.prefix.clone();
    let acting_watch = front.watch.clone();
    let session = session::SessionState::new(front.guard.clone(), front.platform.is_some(), &front.external_url, &front.prefix);
    let readers = Arc::new(Semaphore::new(1));
    let alerts = alerts::AlertsState { watch: front.watch.clone(), db: front.db.clone(), readers };
    let why = alerts::why::WhyState { alerts: alerts.clone(), rules: front.rules.clone(), queries: front.queries.clone() };
    let overview = overview::OverviewState {
        watch: front.watch.clone(),
        db: front.db.clone(),
        rules: front.rules.clone(),
        objectives: front.objectives.clone(),
        scrapes: front.scrapes.clone(),
        queries: front.queries.clone(),
    };
    let objectives = objectives::ObjectivesState { objectives: front.objectives, watch: front.watch.clone() };
    let demo = overview::DemoState { platform: front.platform, hub: front.hub.clone(), guard: front.guard.clone() };
    let series = prometheus::series::SeriesState { queries: front.queries.clone(), scrapes: front.scrapes.clone() };
    let rules = prometheus::rules::RulesState { watch: front.watch.clone(), rules: front.rules };
    let cardinality = cardinality::CardinalityState::new(
        front.queries.store.clone(),
        front.scrapes.clone(),
        front.metrics.clone(),
        front.standing,
    );
    let status = prometheus::status::StatusState {
        scrapes: front.scrapes,
        alertmanagers: front.alertmanagers,
        queries: front.queries.clone(),
        metrics: front.metrics.clone(),
        external_url: front.external_url.clone(),
        prefix: front.prefix.clone(),
        started_at: front.started_at,
        retention: front.retention,
        retention_bytes: front.retention_bytes,
        config: front.config,
    };
    let alertmanager = alertmanager::AlertmanagerState {
        watch: front.watch,
        started_at: front.started_at,
        routing: front.routing,
        metrics: front.metrics.clone(),
    };
    let service = service::ServiceState {
        watch: acting_watch.clone(),
        ready: front.ready,
        pulses: front.pulses,
        metrics: front.metrics,
        guard: front.guard.clone(),
        reload: front.reload,
    };
    let tsdb = tsdb::TsdbState { stored: front.stored, guard: front.guard.clone() };
    let runs = runs::RunsState { desk: front.desk, watch: acting_watch, guard: front.guard.clone() };
    let routes = Router::new()
        .merge(service::routes(service))
        .merge(runs::routes(runs))
        .merge(session::routes(session))
        .merge(accounts::routes(front.guard.clone()))
        .merge(alerts::routes(alerts))
        .merge(alerts::why_routes(why))
        .merge(overview::routes(overview))
        .merge(cardinality::routes(cardinality))
        .merge(journeys::routes(front.journeys))
        .merge(overview::demo_routes(demo))
        .merge(objectives::routes(objectives))
        .merge(stream::routes(front.hub))
        .merge(tsdb::routes(tsdb.clone()))
        .merge(prometheus::admin::routes(tsdb))
        .merge(prometheus::exemplars::routes(front.queries.clone()))
        .merge(prometheus::query::routes(front.queries))
        .merge(prometheus::write::routes(front.receiver))
        .merge(prometheus::series::routes(series))
        .merge(prometheus::rules::routes(rules))
        .merge(prometheus::status::routes(status))
        .merge(alertmanager::routes(alertmanager))
        .merge(openapi::routes())
        .merge(assets::routes())
        .route_layer(middleware::from_fn_with_state(front.guard, access::guard))
        .layer(middleware::from_fn(accept::hurry_body))
        .layer(middleware::from_fn(add_headers))
        // Event streams stay as they are: a compressor would hold their events back.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest));
    prefix::under(&prefix, routes)
}
