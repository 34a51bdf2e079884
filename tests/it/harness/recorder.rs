//! Takes down whatever is posted to it, and when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use tocsin::clock;
use tocsin_core::time::Timestamp;

const BODY_BYTES_MAX: usize = 16 << 20;

#[derive(Clone, Debug)]
pub struct Post {
    pub at: Timestamp,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
}

struct Inner {
    taken: Vec<Post>,
    refused: Vec<Timestamp>,
    begun: usize,
    status: StatusCode,
    delay: Duration,
}

#[derive(Clone)]
pub struct Recorder {
    inner: Arc<Mutex<Inner>>,
    /// `host:port`.
    pub address: String,
}

impl Recorder {
    pub async fn start() -> Recorder {
        let inner = Arc::new(Mutex::new(Inner {
            taken: Vec::new(),
            refused: Vec::new(),
            begun: 0,
            status: StatusCode::OK,
            delay: Duration::ZERO,
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let router = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Recorder { inner, address }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Answers so from now on; what is not answered with 200 is not taken.
    pub fn answer(&self, status: u16) {
        self.lock().status = StatusCode::from_u16(status).expect("a status");
    }

    /// Takes so long for each answer from now on; whoever does not wait for it has not been heard.
    pub fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    pub fn taken(&self) -> Vec<Post> {
        self.lock().taken.clone()
    }

    /// Returns how many posts were taken.
    pub fn count(&self) -> usize {
        self.lock().taken.len()
    }

    /// Returns how many posts have come, whatever became of them.
    pub fn begun(&self) -> usize {
        self.lock().begun
    }

    /// Returns how many posts were answered with an error.
    pub fn refused(&self) -> usize {
        self.lock().refused.len()
    }

    /// Returns when each post came that was answered with an error.
    pub fn refused_at(&self) -> Vec<Timestamp> {
        self.lock().refused.clone()
    }
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> StatusCode {
    let at = clock::now();
    let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
    let bytes = to_bytes(request.into_body(), BODY_BYTES_MAX).await.expect("a body");
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let delay = {
        let mut inner = inner.lock().expect("no holder of this lock panics");
        inner.begun += 1;
        inner.delay
    };
    tokio::time::sleep(delay).await;
    let mut inner = inner.lock().expect("no holder of this lock panics");
    if inner.status == StatusCode::OK {
        inner.taken.push(Post { at, path, headers, body });
    } else {
        inner.refused.push(at);
    }
    inner.status
}
