//! Health, our own metrics, and the reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router, routing};
use tocsin_core::problem::Problem as ConfigProblem;
use tokio::sync::{mpsc, oneshot};

use super::access::{Caller, Guard};
use super::problem::Problem;
use crate::clock;
use crate::pipeline::pulse::Pulse;
use crate::pipeline::watch::Watch;
use crate::telemetry::Metrics;
use crate::telemetry::notifications::plain;

#[derive(Clone)]
pub struct ServiceState {
    pub watch: Watch,
    pub ready: Arc<AtomicBool>,
    pub pulses: Arc<[Pulse]>,
    pub metrics: Arc<Metrics>,
    pub guard: Arc<Guard>,
    pub reload: mpsc::Sender<oneshot::Sender<Result<Vec<ConfigProblem>, Vec<ConfigProblem>>>>,
}

/// Says whether every task goes on without which nobody would be told. One that only waits for the database goes on.
async fn healthy(State(state): State<ServiceState>) -> (StatusCode, String) {
    match state.pulses.iter().find(|pulse| !pulse.beats()) {
        None => (StatusCode::OK, "Tocsin is Healthy.\n".to_owned()),
        Some(pulse) => (StatusCode::SERVICE_UNAVAILABLE, format!("Tocsin is not healthy: {} stands still.\n", pulse.name)),
    }
}

async fn ready(State(state): State<ServiceState>) -> (StatusCode, &'static str) {
    if state.ready.load(Ordering::Acquire) {
        (StatusCode::OK, "Tocsin is Ready.\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "Tocsin is starting or stopping.\n")
    }
}

const OPENMETRICS: &str = "application/openmetrics-text";

/// Answers in the form of OpenMetrics where it is asked for, else in the older one, which more programs read.
async fn metrics(State(state): State<ServiceState>, headers: HeaderMap) -> Response {
    let now = clock::now();
    // When it is too busy to be asked, what was counted last stands.
    if let Ok(counts) = state.watch.ask(move |alerting| alerting.plane.counts(now)).await {
        state.metrics.notifications.count(&counts);
    }
    let text = state.metrics.encode();
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.into_iter().any(|accepted| accepted.contains(OPENMETRICS)) {
        return ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response();
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], plain(&text)).into_response()
}

async fn reload(State(state): State<ServiceState>, Extension(caller): Extension<Caller>) -> Result<String, Problem> {
    let (reply, answer) = oneshot::channel();
    let stopping = || Problem::unavailable("the service is stopping");
    state.reload.send(reply).await.map_err(|_| stopping())?;
    match answer.await.map_err(|_| stopping())? {
        Ok(warnings) => {
            // The reload has happened, so the answer says so even when it cannot be audited; the log has both.
            let _ = state.guard.audit(&caller, "reload", "configuration", "done", "").await;
            Ok(warnings.iter().map(|warning| format!("{warning}\n")).collect())
        }
        Err(problems) => {
            let said = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            let _ = state.guard.audit(&caller, "reload", "configuration", "refused", &said).await;
            let detail = format!("the new configuration cannot be used, the old one stays\n{said}");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "bad-configuration", detail))
        }
    }
}

pub fn routes(state: ServiceState) -> Router {
    Router::new()
        .route("/-/healthy", routing::get(healthy))
        .route("/-/ready", routing::get(ready))
        .route("/-/reload", routing::post(reload))
        .route("/metrics", routing::get(metrics))
        .with_state(state)
}
