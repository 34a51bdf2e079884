//! A target under our control: series that a test sets, and ways to be ill.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Router, routing};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Well,
    /// Answers 500.
    Failing,
    /// Takes the request and never answers.
    Hanging,
}

struct Inner {
    series: BTreeMap<String, f64>,
    health: Health,
    scrapes: usize,
}

#[derive(Clone)]
pub struct Exporter {
    inner: Arc<Mutex<Inner>>,
    /// `host:port`, as a configuration names a target.
    pub address: String,
}

impl Exporter {
    pub async fn start() -> Exporter {
        let inner = Arc::new(Mutex::new(Inner { series: BTreeMap::new(), health: Health::Well, scrapes: 0 }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let router = Router::new().route("/metrics", routing::get(answer)).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Exporter { inner, address }
    }

    /// Sets a series, such as `up_to{user="ada"}`.
    pub fn set(&self, series: &str, value: f64) {
        self.lock().series.insert(series.to_owned(), value);
    }

    /// Stops exposing a series.
    pub fn remove(&self, series: &str) {
        self.lock().series.remove(series);
    }

    pub fn be(&self, health: Health) {
        self.lock().health = health;
    }

    /// Returns how often it was scraped.
    pub fn scrapes(&self) -> usize {
        self.lock().scrapes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>) -> (StatusCode, String) {
    let (health, text) = {
        let mut inner = inner.lock().expect("no holder of this lock panics");
        inner.scrapes += 1;
        (inner.health, inner.series.iter().map(|(series, value)| format!("{series} {value}\n")).collect::<String>())
    };
    match health {
        Health::Well => (StatusCode::OK, text),
        Health::Failing => (StatusCode::INTERNAL_SERVER_ERROR, "out of order".to_owned()),
        Health::Hanging => std::future::pending().await,
    }
}
