//! What every service of the demo platform has: metrics, switches for faults, and an end when its parent ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::sync::Arc;

use anyhow::Context;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use prometheus_client::registry::Registry;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::kind::{Kind, Switches};
use super::services;

#[derive(serde::Deserialize)]
struct SetFault {
    active: bool,
}

fn states(switches: &Switches) -> Json<BTreeMap<&'static str, bool>> {
    Json(switches.states())
}

async fn get_faults(State(switches): State<Switches>) -> Json<BTreeMap<&'static str, bool>> {
    states(&switches)
}

async fn set_fault(
    State(switches): State<Switches>,
    Path(name): Path<String>,
    Json(body): Json<SetFault>,
) -> Result<Json<BTreeMap<&'static str, bool>>, StatusCode> {
    if switches.set(&name, body.active) { Ok(states(&switches)) } else { Err(StatusCode::NOT_FOUND) }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Result<([(header::HeaderName, &'static str); 1], String), StatusCode> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}

/// Runs one service until its standard input closes.
///
/// `peers` are the addresses of the other services by their word; `pair` is the folder of the pair of PostgreSQL servers, where there
/// is one.
pub async fn run_service(
    kind: Kind,
    listen: SocketAddr,
    peers: BTreeMap<String, SocketAddr>,
    pair: Option<&FilePath>,
) -> anyhow::Result<()> {
    let switches = Switches::new(kind);
    let mut registry = Registry::default();
    let own = services::start(kind, &peers, pair, switches.clone(), &mut registry)?;
    let router = Router::new()
        .route("/faults", get(get_faults))
        .route("/faults/{name}", post(set_fault))
        .with_state(switches)
        .merge(Router::new().route("/metrics", get(metrics)).with_state(Arc::new(registry)))
        .merge(own);
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    axum::serve(listener, router).with_graceful_shutdown(parent_gone()).await.context("the service's server failed")
}

/// Returns when standard input ends, which it does when the parent process does.
pub(super) async fn parent_gone() {
    let mut byte = [0; 64];
    while matches!(tokio::io::stdin().read(&mut byte).await, Ok(read) if read > 0) {}
}
