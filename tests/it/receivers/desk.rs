//! Where a provider takes messages: a server that holds each request against the provider's documentation and answers as it does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;

/// A kind of receiver, and how its provider speaks.
pub struct Provider {
    pub kind: &'static str,
    /// Lines of its section for a stand-in at an address.
    pub keys: fn(&str) -> String,
    /// The key of the text that says what is wrong.
    pub title_key: &'static str,
    /// A person's acknowledgement is passed on to it.
    pub keeps_incidents: bool,
    /// Returns what the documentation does not allow.
    pub faults: fn(&Seen) -> Vec<String>,
    /// Returns the text that says what is wrong.
    pub title: fn(&Seen) -> String,
    /// Returns `firing`, `acknowledged` or `resolved`.
    pub status: fn(&Seen) -> String,
    pub taken: Reply,
    /// Wants to be left alone for two seconds.
    pub limited: Reply,
    pub refused: Reply,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub fn form(&self) -> BTreeMap<String, String> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: &'static [(&'static str, &'static str)],
    pub body: &'static str,
}

struct Inner {
    seen: Vec<Seen>,
    faults: Vec<String>,
    next: VecDeque<Reply>,
    repeats: bool,
}

#[derive(Clone)]
pub struct Desk {
    pub provider: &'static Provider,
    /// `http://host:port`.
    pub url: String,
    inner: Arc<Mutex<Inner>>,
}

impl Desk {
    pub async fn start(provider: &'static Provider) -> Desk {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let inner = Inner { seen: Vec::new(), faults: Vec::new(), next: VecDeque::new(), repeats: false };
        let desk = Desk { provider, url, inner: Arc::new(Mutex::new(inner)) };
        let router = Router::new().fallback(answer).with_state(desk.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        desk
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Answers the next request so, whatever it is.
    pub fn next(&self, reply: Reply) {
        self.lock().next.push_back(reply);
    }

    /// Refuses the next request with its own words: path, authorization, body.
    pub fn repeat_next(&self) {
        self.lock().repeats = true;
    }

    /// Returns every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    pub fn assert_no_faults(&self) {
        let faults = self.lock().faults.clone();
        assert!(faults.is_empty(), "{} does not allow that: {faults:#?}", self.provider.kind);
    }
}

async fn answer(State(desk): State<Desk>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 4 << 20).await.unwrap_or_default();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let seen = Seen {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    };
    let faults = (desk.provider.faults)(&seen);
    let mut inner = desk.lock();
    let reply = match inner.next.pop_front() {
        Some(reply) => reply,
        None if faults.is_empty() => desk.provider.taken,
        None => desk.provider.refused,
    };
    inner.faults.extend(faults);
    let bearer = Some(seen.header("authorization")).filter(|header| !header.starts_with("Basic ")).unwrap_or_default();
    let repeated = format!("cannot take {} {bearer} {}", seen.path, seen.body);
    inner.seen.push(seen);
    if std::mem::take(&mut inner.repeats) {
        return (StatusCode::BAD_REQUEST, repeated).into_response();
    }
    let mut response = (StatusCode::from_u16(reply.status).expect("a status"), reply.body).into_response();
    let kind = if reply.body.starts_with('{') { "application/json" } else { "text/plain" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in reply.headers {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}
