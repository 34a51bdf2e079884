//! A server that samples are sent to: it keeps what it gets, by path, and answers as it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tocsin::clock;
use tocsin_core::remote::Protocol;
use tocsin_core::remote::read::{Request, read};

/// What to answer to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: String::new() }
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Got {
    pub at: i64,
    pub headers: HeaderMap,
    /// As it was sent.
    pub body: Vec<u8>,
    pub answered: u16,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a text"))
    }

    /// Returns the message, without compression.
    pub fn message(&self) -> Vec<u8> {
        snap::raw::Decoder::new().decompress_vec(&self.body).expect("Snappy's block format")
    }

    pub fn protocol(&self) -> Protocol {
        Protocol::of_content_type(Some(self.header("content-type"))).expect("a known message")
    }

    pub fn read(&self) -> Request {
        let request = read(&self.message(), self.protocol()).expect("a message");
        assert_eq!(request.faults.count, 0, "{:?}", request.faults);
        request
    }
}

#[derive(Default)]
struct Inner {
    got: BTreeMap<String, Vec<Got>>,
    /// Replies to come; when they are used up, or there are none, all is well.
    replies: BTreeMap<String, Vec<Reply>>,
    /// The reply to every request.
    always: BTreeMap<String, Reply>,
    only_v1: Vec<String>,
}

#[derive(Clone)]
pub struct WriteTarget {
    inner: Arc<Mutex<Inner>>,
    pub address: String,
}

impl WriteTarget {
    pub async fn start() -> WriteTarget {
        let inner = Arc::<Mutex<Inner>>::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let router = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        WriteTarget { inner, address }
    }

    /// Answers the next requests of a path so.
    pub fn reply(&self, path: &str, replies: Vec<Reply>) {
        self.inner.lock().expect("no holder panics").replies.insert(path.to_owned(), replies);
    }

    pub fn reply_always(&self, path: &str, reply: Reply) {
        self.inner.lock().expect("no holder panics").always.insert(path.to_owned(), reply);
    }

    /// Refuses 2.0 on a path.
    pub fn know_only_v1(&self, path: &str) {
        self.inner.lock().expect("no holder panics").only_v1.push(path.to_owned());
    }

    pub fn got(&self, path: &str) -> Vec<Got> {
        self.inner.lock().expect("no holder panics").got.get(path).cloned().unwrap_or_default()
    }

    /// Returns every series of a path with its samples that were answered with success, in the order in which they came.
    pub fn series(&self, path: &str) -> BTreeMap<String, Vec<(i64, String)>> {
        let mut all: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
        for got in self.got(path).iter().filter(|got| got.answered < 300) {
            let request = got.read();
            for (series, at, value) in &request.samples {
                all.entry(request.series[*series as usize].to_string()).or_default().push((at.0, format!("{value:?}")));
            }
        }
        all
    }
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut inner = inner.lock().expect("no holder panics");
    let path = uri.path().to_owned();
    let is_v2 = headers.get("content-type").is_some_and(|value| value.to_str().unwrap_or_default().contains("v2"));
    let next = inner.replies.get_mut(&path).filter(|left| !left.is_empty()).map(|left| left.remove(0));
    let reply = if is_v2 && inner.only_v1.contains(&path) {
        Reply { body: "only prometheus.WriteRequest".to_owned(), ..Reply::status(415) }
    } else {
        next.or_else(|| inner.always.get(&path).cloned()).unwrap_or(Reply::status(204))
    };
    let mut got = Got { at: clock::now().0, headers, body: body.to_vec(), answered: reply.status };
    got.headers.remove("host");
    inner.got.entry(path).or_default().push(got);
    let mut response = (StatusCode::from_u16(reply.status).expect("a status"), reply.body).into_response();
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}
