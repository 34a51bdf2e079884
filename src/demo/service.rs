//! What every service of the demo platform has: metrics, switches for faults, and an end when its parent ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use prometheus_client::registry::Registry;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::services;

/// The services of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Api,
    Database,
    Worker,
    Load,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Database, Kind::Worker, Kind::Api, Kind::Load];

    /// Returns the name under which the service is scraped.
    pub fn job(self) -> &'static str {
        match self {
            Kind::Api => "shop-api",
            Kind::Database => "shop-db",
            Kind::Worker => "shop-worker",
            Kind::Load => "shop-load",
        }
    }

    /// Returns the word of the command line.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Api => "api",
            Kind::Database => "database",
            Kind::Worker => "worker",
            Kind::Load => "load",
        }
    }

    /// Returns the faults that the service can be put into: name, title, what happens.
    pub fn faults(self) -> &'static [(&'static str, &'static str, &'static str)] {
        match self {
            Kind::Api => &[
                ("slow-api", "Slow API", "Every order takes 0.9 s longer, so the p95 leaves its limit of 500 ms."),
                ("failing-api", "Failing API", "One order in five ends in an error, so the error rate leaves its limit of 1 %."),
            ],
            Kind::Database => &[(
                "slow-database",
                "Slow database",
                "Every query takes 0.7 s longer; the API in front of it slows down with it.",
            )],
            Kind::Worker => &[("stalled-queue", "Stalled queue", "The worker takes no more jobs, so the backlog grows.")],
            Kind::Load => &[],
        }
    }
}

/// The switches of one service.
#[derive(Clone, Debug)]
pub struct Switches(Arc<BTreeMap<&'static str, AtomicBool>>);

impl Switches {
    fn new(kind: Kind) -> Switches {
        Switches(Arc::new(kind.faults().iter().map(|fault| (fault.0, AtomicBool::new(false))).collect()))
    }

    pub fn active(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|switch| switch.load(Ordering::Relaxed))
    }
}

#[derive(serde::Deserialize)]
struct SetFault {
    active: bool,
}

fn states(switches: &Switches) -> Json<BTreeMap<&'static str, bool>> {
    Json(switches.0.iter().map(|(name, switch)| (*name, switch.load(Ordering::Relaxed))).collect())
}

async fn get_faults(State(switches): State<Switches>) -> Json<BTreeMap<&'static str, bool>> {
    states(&switches)
}

async fn set_fault(
    State(switches): State<Switches>,
    Path(name): Path<String>,
    Json(body): Json<SetFault>,
) -> Result<Json<BTreeMap<&'static str, bool>>, StatusCode> {
    switches.0.get(name.as_str()).ok_or(StatusCode::NOT_FOUND)?.store(body.active, Ordering::Relaxed);
    Ok(states(&switches))
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Result<([(header::HeaderName, &'static str); 1], String), StatusCode> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}

/// Runs one service until its standard input closes.
///
/// `peers` are the addresses of the other services by their word.
pub async fn run_service(kind: Kind, listen: SocketAddr, peers: BTreeMap<String, SocketAddr>) -> anyhow::Result<()> {
    let switches = Switches::new(kind);
    let mut registry = Registry::default();
    let own = services::start(kind, &peers, switches.clone(), &mut registry)?;
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
async fn parent_gone() {
    let mut byte = [0; 64];
    while matches!(tokio::io::stdin().read(&mut byte).await, Ok(read) if read > 0) {}
}
