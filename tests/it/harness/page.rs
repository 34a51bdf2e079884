//! A target that serves whole bodies, by path, and knows who fetched them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::soon;

/// The content type of Protocol Buffers.
pub const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub const TEXT: &str = "text/plain; version=0.0.4";

#[derive(Default)]
struct Inner {
    bodies: BTreeMap<String, (&'static str, Vec<u8>)>,
    /// How often who fetched a path since its body changed, and what was accepted last.
    fetched: BTreeMap<(String, String), (usize, String)>,
}

#[derive(Clone)]
pub struct Page {
    inner: Arc<Mutex<Inner>>,
    /// `host:port`.
    pub address: String,
}

impl Page {
    pub async fn start() -> Page {
        let inner = Arc::<Mutex<Inner>>::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let router = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Page { inner, address }
    }

    pub fn set(&self, path: &str, content_type: &'static str, body: Vec<u8>) {
        let mut inner = self.inner.lock().expect("no holder of this lock panics");
        inner.bodies.insert(path.to_owned(), (content_type, body));
        inner.fetched.values_mut().for_each(|fetched| fetched.0 = 0);
    }

    /// Waits until each of some agents has fetched a path twice since the last change: then the first answer was taken in.
    pub async fn wait(&self, path: &str, agents: &[&str]) {
        soon("all have fetched the page", async || {
            let inner = self.inner.lock().expect("no holder of this lock panics");
            let has = |agent: &&str| {
                inner.fetched.iter().any(|((own, by), (times, _))| own == path && by.starts_with(*agent) && *times >= 2)
            };
            agents.iter().all(has).then_some(())
        })
        .await;
    }

    /// Returns what an agent said that it accepts for a path.
    pub fn accepted(&self, path: &str, agent: &str) -> Option<String> {
        let inner = self.inner.lock().expect("no holder of this lock panics");
        inner
            .fetched
            .iter()
            .find(|((own, by), _)| own == path && by.starts_with(agent))
            .map(|(_, (_, accepted))| accepted.clone())
    }
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (path, agent, accepted) = (request.uri().path().to_owned(), text(header::USER_AGENT), text(header::ACCEPT));
    let mut inner = inner.lock().expect("no holder of this lock panics");
    let Some((content_type, body)) = inner.bodies.get(&path).cloned() else { return StatusCode::NOT_FOUND.into_response() };
    let fetched = inner.fetched.entry((path, agent)).or_default();
    *fetched = (fetched.0 + 1, accepted);
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}
