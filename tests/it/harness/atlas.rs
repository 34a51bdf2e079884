//! A stand-in for the Administration API of MongoDB Atlas: tokens that end, digests that are checked, pages, nulls and limits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tocsin::clock;
use tocsin_core::atlas::digest::Challenge;

pub const PROJECT: &str = "0123456789abcdef01234567";
pub const USER: &str = "abcdefgh";
pub const PASSWORD: &str = "hunter2-hunter2";

#[derive(Clone, Debug)]
pub struct Trouble {
    pub status: u16,
    pub retry_after: Option<u32>,
    pub body: &'static str,
}

#[derive(Default)]
struct Inner {
    /// Processes of the project.
    processes: usize,
    /// What the first process is at present.
    kind: String,
    /// Seconds that a token lives.
    token_life: i64,
    /// Tokens and when they end, in milliseconds.
    tokens: BTreeMap<String, i64>,
    tokens_given: usize,
    /// Nonces and the counts that were seen with them.
    nonces: BTreeMap<String, Vec<u32>>,
    /// Requests that one nonce is good for.
    nonce_uses: usize,
    troubles: VecDeque<Trouble>,
    illness: Option<Trouble>,
    paths: Vec<String>,
    faults: Vec<String>,
}

#[derive(Clone)]
pub struct Atlas {
    inner: Arc<Mutex<Inner>>,
    pub url: String,
}

impl Atlas {
    pub async fn start(processes: usize) -> Atlas {
        let inner =
            Inner { processes, kind: "REPLICA_PRIMARY".to_owned(), token_life: 3600, nonce_uses: usize::MAX, ..Inner::default() };
        let inner = Arc::new(Mutex::new(inner));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Atlas { inner, url }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    pub fn tokens_live(&self, seconds: i64) {
        self.lock().token_life = seconds;
    }

    pub fn nonces_are_good_for(&self, requests: usize) {
        self.lock().nonce_uses = requests;
    }

    /// Changes what the first process is.
    pub fn step_down(&self) {
        self.lock().kind = "REPLICA_SECONDARY".to_owned();
    }

    pub fn trouble(&self, trouble: Trouble) {
        self.lock().troubles.push_back(trouble);
    }

    pub fn be_ill(&self, trouble: Option<Trouble>) {
        self.lock().illness = trouble;
    }

    pub fn tokens_given(&self) -> usize {
        self.lock().tokens_given
    }

    /// Returns how many nonces were given out, and the greatest count that was seen with one.
    pub fn nonces(&self) -> (usize, u32) {
        let inner = self.lock();
        (inner.nonces.len(), inner.nonces.values().flatten().max().copied().unwrap_or(0))
    }

    pub fn paths(&self) -> Vec<String> {
        self.lock().paths.clone()
    }

    /// Panics when a request ever was not as documented.
    pub fn assert_no_faults(&self) {
        let faults = self.lock().faults.clone();
        assert!(faults.is_empty(), "requests that the documentation does not allow: {faults:#?}");
    }
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut inner = inner.lock().expect("no holder of this lock panics");
    let path = uri.to_string();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if path == "/api/oauth/token" {
        let basic = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
        if method != Method::POST || &body[..] != b"grant_type=client_credentials" {
            inner.faults.push(format!("a request for a token: {method} {body:?}"));
        }
        if header("authorization") != basic {
            return refuse(401, r#"{"error":"invalid_client","error_description":"no such client"}"#);
        }
        inner.tokens_given += 1;
        let (token, life) = (format!("token-{}", inner.tokens_given), inner.token_life);
        inner.tokens.insert(token.clone(), clock::now().0 + life * 1000);
        return said(&json!({ "access_token": token, "token_type": "Bearer", "expires_in": life }));
    }
    if let Some(refusal) = refusal(&mut inner, &header("authorization"), &path) {
        return refusal;
    }
    inner.paths.push(path.clone());
    if header("accept") != "application/vnd.atlas.2023-01-01+json" || method != Method::GET {
        inner.faults.push(format!("{method} {path} accepts {}", header("accept")));
    }
    if let Some(trouble) = inner.troubles.pop_front().or_else(|| inner.illness.clone()) {
        let mut response = refuse(trouble.status, trouble.body);
        if let Some(seconds) = trouble.retry_after {
            response.headers_mut().insert("retry-after", seconds.to_string().parse().expect("a number"));
        }
        return response;
    }
    document(&mut inner, &path, &uri)
}

fn refuse(status: u16, body: &str) -> Response {
    (StatusCode::from_u16(status).expect("a status"), body.to_owned()).into_response()
}

fn said(body: &Value) -> Response {
    (StatusCode::OK, body.to_string()).into_response()
}

/// Returns None to who may ask: with a token that lives, or a digest under a nonce of ours with a count that was not seen.
fn refusal(inner: &mut Inner, header: &str, path: &str) -> Option<Response> {
    if let Some(token) = header.strip_prefix("Bearer ") {
        let lives = inner.tokens.get(token).is_some_and(|ends| *ends > clock::now().0);
        return (!lives).then(|| refuse(401, r#"{"errorCode":"UNAUTHORIZED","detail":"the token has ended"}"#));
    }
    let part = |name: &str| {
        let rest = header.split(&format!("{name}=")).nth(1).unwrap_or_default();
        rest.split(',').next().unwrap_or_default().trim_matches('"').to_owned()
    };
    let (nonce, count) = (part(" nonce"), u32::from_str_radix(&part("nc"), 16).unwrap_or(0));
    if let Some(counts) = inner.nonces.get_mut(&nonce)
        && counts.len() < inner.nonce_uses
    {
        if counts.contains(&count) {
            inner.faults.push(format!("the count {count} twice"));
        }
        counts.push(count);
        let expected = Challenge::parse(&challenge(&nonce)).expect("our own challenge");
        if header == expected.answer(USER, PASSWORD, "GET", path, count, &part("cnonce")) {
            return None;
        }
    }
    let fresh = format!("nonce-{}", inner.nonces.len());
    inner.nonces.insert(fresh.clone(), Vec::new());
    let mut response = refuse(401, r#"{"errorCode":"UNAUTHORIZED","detail":"You are not authorized for this resource."}"#);
    response.headers_mut().insert("www-authenticate", challenge(&fresh).parse().expect("a header"));
    Some(response)
}

fn challenge(nonce: &str) -> String {
    format!("Digest realm=\"MMS Public API\", domain=\"\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\", stale=false")
}

fn document(inner: &mut Inner, path: &str, uri: &Uri) -> Response {
    let query: BTreeMap<String, String> =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    let base = format!("/api/atlas/v2/groups/{PROJECT}/processes");
    let Some(rest) = uri.path().strip_prefix(&base) else {
        inner.faults.push(path.to_owned());
        return refuse(404, r#"{"errorCode":"RESOURCE_NOT_FOUND"}"#);
    };
    let page = |all: Vec<Value>| {
        let (len, page) = (number("itemsPerPage"), number("pageNum"));
        let results: Vec<Value> = all.iter().skip(len * (page.max(1) - 1)).take(len).cloned().collect();
        said(&json!({ "results": results, "totalCount": all.len() }))
    };
    match rest.split('/').skip(1).collect::<Vec<_>>().as_slice() {
        [] => page((0..inner.processes).map(|n| process(n, &inner.kind)).collect()),
        [_, "disks"] => page(vec![json!({ "partitionName": "data" })]),
        [_, "databases"] => page(vec![json!({ "databaseName": "shop" })]),
        [_, "measurements"] if query.get("granularity").is_some_and(|word| word == "PT1M") => {
            said(&measurements("CONNECTIONS", "SCALAR", 12.5))
        }
        [_, "disks", "data", "measurements"] => said(&measurements("DISK_PARTITION_SPACE_USED", "MEGABYTES", 3.0)),
        [_, "databases", "shop", "measurements"] => said(&measurements("DATABASE_STORAGE_SIZE", "BYTES", 9.0)),
        _ => {
            inner.faults.push(path.to_owned());
            refuse(404, r#"{"errorCode":"RESOURCE_NOT_FOUND"}"#)
        }
    }
}

fn process(number: usize, kind: &str) -> Value {
    let kind = if number == 0 { kind } else { "REPLICA_SECONDARY" };
    json!({
        "id": format!("host-{number}.mongodb.net:27017"), "hostname": format!("host-{number}.mongodb.net"), "port": 27017,
        "userAlias": format!("shop-shard-00-{number}"), "replicaSetName": "rs0", "typeName": kind, "version": "8.0.4",
        "groupId": PROJECT,
    })
}

/// Returns a measurement with points at the last minutes, of which the newest has no value yet.
fn measurements(name: &str, units: &str, value: f64) -> Value {
    let minute = clock::now().0 / 60_000 * 60_000;
    let at = |back: i64| tocsin_core::time::Timestamp(minute - back * 60_000).rfc3339();
    json!({ "groupId": PROJECT, "granularity": "PT1M", "measurements": [
        { "name": name, "units": units, "dataPoints": [
            { "timestamp": at(2), "value": value }, { "timestamp": at(1), "value": value + 1.0 }, { "timestamp": at(0), "value": null } ] },
        { "name": "NEVER", "units": "SCALAR", "dataPoints": [{ "timestamp": at(1), "value": null }] },
    ] })
}
