//! The other side of requests: a server that remembers what reached it, and what that did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

const BODY_BYTES_MAX: usize = 1 << 20;

/// One request.
#[derive(Clone, Debug)]
pub struct Hit {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

#[derive(Default)]
struct Inner {
    hits: Vec<Hit>,
    /// Keys under which something was made.
    objects: BTreeSet<String>,
}

/// Paths: `/make` makes one object for each `Idempotency-Key`, `/unmake` removes them all, `/held…` answers once it is let go,
/// `/fail…` answers 500, `/echo…` answers with what it was sent. All others answer 200.
#[derive(Clone)]
pub struct Far {
    inner: Arc<Mutex<Inner>>,
    held: Arc<watch::Sender<bool>>,
    /// `host:port`.
    pub address: String,
}

impl Far {
    pub async fn start() -> Far {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let far = Far { inner: Arc::default(), held: Arc::new(watch::Sender::new(true)), address };
        let router = Router::new().fallback(answer).with_state(far.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        far
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Returns the requests for a path, oldest first.
    pub fn hits(&self, path: &str) -> Vec<Hit> {
        self.lock().hits.iter().filter(|hit| hit.path == path).cloned().collect()
    }

    /// Returns how many objects there are.
    pub fn objects(&self) -> usize {
        self.lock().objects.len()
    }

    /// Lets requests for `/held…` be answered, from now on.
    pub fn let_go(&self) {
        self.held.send_replace(false);
    }
}

async fn answer(State(far): State<Far>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers: BTreeMap<String, String> =
        head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let hit = Hit {
        path: head.uri.path().to_owned(),
        headers: headers.clone(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let path = hit.path.clone();
    {
        let mut inner = far.lock();
        inner.hits.push(hit);
        if path == "/make" {
            inner.objects.insert(headers.get("idempotency-key").cloned().unwrap_or_default());
        } else if path == "/unmake" {
            inner.objects.clear();
        }
    }
    if path.starts_with("/held") {
        // Its sender is ours, so it is there.
        let _ = far.held.subscribe().wait_for(|held| !held).await;
    }
    if path.starts_with("/fail") {
        return (StatusCode::INTERNAL_SERVER_ERROR, "out of order").into_response();
    }
    let said = if path.starts_with("/echo") { json!({ "headers": headers }) } else { json!({ "ok": true }) };
    axum::Json(said).into_response()
}
