//! Stand-ins for providers: PagerDuty, which is strict about its events, and a plain receiver of webhooks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Up,
    /// Connections are cut before a word is said.
    Down,
    /// Every request is answered with this status, and with a wish to be left alone for some seconds.
    Answers {
        status: u16,
        retry_after: Option<u32>,
    },
    /// Requests are taken and answered only when the mode changes.
    Holds,
    /// Every request is sent on to `/elsewhere` of the same host, where it is taken.
    Redirects {
        status: u16,
    },
    /// Requests are taken, but the answer's body never comes.
    Stalls,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    /// The header `Idempotency-Key`.
    pub key: Option<String>,
    pub body: Value,
    /// None while the answer is held.
    pub status: Option<u16>,
}

/// Returns what is wrong with a body.
type Check = fn(&Value) -> Vec<String>;

struct Inner {
    received: Vec<Received>,
    faults: Vec<String>,
}

#[derive(Clone)]
pub struct StandIn {
    inner: Arc<Mutex<Inner>>,
    mode: Arc<watch::Sender<Mode>>,
    check: Check,
    /// `http://host:port`.
    pub url: String,
}

/// An incident as PagerDuty would hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    pub dedup_key: String,
    /// `triggered`, `acknowledged` or `resolved`.
    pub state: &'static str,
    pub triggers: usize,
    pub summary: String,
}

/// A listener that hangs up at once while the provider is down.
struct Door {
    listener: TcpListener,
    mode: watch::Receiver<Mode>,
}

impl Listener for Door {
    type Io = TcpStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (TcpStream, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if *self.mode.borrow() != Mode::Down {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl StandIn {
    async fn start(check: Check) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (mode, receiver) = watch::channel(Mode::Up);
        let inner = Arc::new(Mutex::new(Inner { received: Vec::new(), faults: Vec::new() }));
        let stand_in = StandIn { inner, mode: Arc::new(mode), check, url };
        let router = Router::new().fallback(answer).with_state(stand_in.clone());
        tokio::spawn(async move { axum::serve(Door { listener, mode: receiver }, router).await });
        stand_in
    }

    /// Starts a stand-in for the Events API v2, which refuses what its documentation does not allow.
    pub async fn pagerduty() -> StandIn {
        StandIn::start(pagerduty_faults).await
    }

    /// Starts a receiver of webhooks, which holds bodies against Alertmanager's documented version 4.
    pub async fn webhooks() -> StandIn {
        StandIn::start(webhook_faults).await
    }

    pub fn be(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Returns every request so far.
    pub fn received(&self) -> Vec<Received> {
        self.lock().received.clone()
    }

    /// Returns the bodies that were answered with success, in order.
    pub fn taken(&self) -> Vec<Value> {
        let received = self.received();
        received.into_iter().filter(|one| one.status.is_some_and(|status| status < 300)).map(|one| one.body).collect()
    }

    /// Returns the incidents that the taken events make, each with its last state; a trigger after a resolve opens another one.
    pub fn incidents(&self) -> Vec<Incident> {
        let mut incidents: Vec<Incident> = Vec::new();
        for event in self.taken() {
            let key = event["dedup_key"].as_str().unwrap_or_default();
            let open = incidents.iter_mut().find(|incident| incident.dedup_key == key && incident.state != "resolved");
            match (event["event_action"].as_str(), open) {
                (Some("trigger"), Some(incident)) => incident.triggers += 1,
                (Some("trigger"), None) => incidents.push(Incident {
                    dedup_key: key.to_owned(),
                    state: "triggered",
                    triggers: 1,
                    summary: event["payload"]["summary"].as_str().unwrap_or_default().to_owned(),
                }),
                (Some("acknowledge"), Some(incident)) => incident.state = "acknowledged",
                (Some("resolve"), Some(incident)) => incident.state = "resolved",
                _ => {}
            }
        }
        incidents
    }

    /// Returns how many requests were of an action.
    pub fn count(&self, action: &str) -> usize {
        self.taken().iter().filter(|event| event["event_action"] == action).count()
    }

    /// Panics when a body ever was not as documented.
    pub fn assert_no_faults(&self) {
        let faults: BTreeSet<String> = self.lock().faults.iter().cloned().collect();
        assert!(faults.is_empty(), "bodies that the provider's documentation does not allow: {faults:#?}");
    }
}

async fn answer(State(own): State<StandIn>, request: Request) -> Response {
    let is_json =
        request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let method = request.method().to_string();
    let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let is_elsewhere = request.uri().path() == "/elsewhere";
    let bytes = axum::body::to_bytes(request.into_body(), 4 << 20).await.unwrap_or_default();
    let mut faults = Vec::new();
    if !is_json {
        faults.push("the content type is not JSON".to_owned());
    }
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    faults.extend((own.check)(&body));
    if bytes.len() > 512 << 10 {
        faults.push("the body is larger than 512 KB".to_owned());
    }
    let number = {
        let mut inner = own.lock();
        inner.faults.extend(faults.iter().cloned());
        inner.received.push(Received { method, key, body: body.clone(), status: None });
        inner.received.len() - 1
    };
    let mut modes = own.mode.subscribe();
    // The sender lives as long as this stand-in.
    let mode = *modes.wait_for(|mode| *mode != Mode::Holds).await.expect("the sender is alive");
    let (status, retry_after) = match mode {
        Mode::Answers { status, retry_after } => (status, retry_after),
        Mode::Redirects { status } if !is_elsewhere => (status, None),
        Mode::Up | Mode::Down | Mode::Holds | Mode::Redirects { .. } | Mode::Stalls => {
            (if faults.is_empty() { 202 } else { 400 }, None)
        }
    };
    own.lock().received[number].status = Some(status);
    let said = if status == 202 {
        json!({ "status": "success", "message": "Event processed", "dedup_key": body["dedup_key"] })
    } else {
        json!({ "status": "invalid event", "message": "Event object is invalid", "errors": faults })
    };
    let mut response = (StatusCode::from_u16(status).expect("a status"), Json(said)).into_response();
    // Each request comes on a connection of its own, so that hanging up is a matter of the door alone.
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    if (300..400).contains(&status) {
        response.headers_mut().insert(header::LOCATION, header::HeaderValue::from_static("/elsewhere"));
    }
    if mode == Mode::Stalls {
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = axum::body::Body::from_stream(futures_util::stream::pending::<std::io::Result<Vec<u8>>>());
    }
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A key, what its value must be, and whether it must be there.
type Key = (&'static str, fn(&Value) -> bool, bool);

/// Holds a value against a table of keys.
fn shape_faults(place: &str, value: &Value, keys: &[Key]) -> Vec<String> {
    let Some(object) = value.as_object() else { return vec![format!("{place} is no object")] };
    let known: BTreeMap<&str, fn(&Value) -> bool> = keys.iter().map(|(key, is_right, _)| (*key, *is_right)).collect();
    let mut faults: Vec<String> = keys
        .iter()
        .filter(|(key, _, needed)| *needed && !object.contains_key(*key))
        .map(|(key, ..)| format!("{place}.{key} is missing"))
        .collect();
    for (key, value) in object {
        match known.get(key.as_str()) {
            None => faults.push(format!("{place}.{key} is unknown")),
            Some(is_right) if !is_right(value) => faults.push(format!("{place}.{key} is wrong: {value}")),
            Some(_) => {}
        }
    }
    faults
}

fn is_text(value: &Value) -> bool {
    value.is_string()
}

fn is_some_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

fn is_instant(value: &Value) -> bool {
    value.as_str().is_some_and(|text| tocsin_core::time::Timestamp::parse_rfc3339(text).is_some())
}

fn is_texts(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.values().all(Value::is_string))
}

fn is_list_with(value: &Value, needed: &str) -> bool {
    value
        .as_array()
        .is_some_and(|list| list.iter().all(|entry| entry[needed].as_str().is_some_and(|text| text.starts_with("http"))))
}

fn pagerduty_faults(event: &Value) -> Vec<String> {
    let mut faults = shape_faults(
        "event",
        event,
        &[
            ("routing_key", |key| key.as_str().is_some_and(|key| key.len() == 32), true),
            ("event_action", |action| matches!(action.as_str(), Some("trigger" | "acknowledge" | "resolve")), true),
            // Optional for a trigger by the documentation; we must name it always, or a repeat would open a second incident.
            ("dedup_key", |key| key.as_str().is_some_and(|key| (1..=255).contains(&key.chars().count())), true),
            ("payload", Value::is_object, event["event_action"] == "trigger"),
            ("images", |list| is_list_with(list, "src"), false),
            ("links", |list| is_list_with(list, "href"), false),
            ("client", is_text, false),
            ("client_url", is_text, false),
        ],
    );
    if event["event_action"] == "trigger" {
        faults.extend(shape_faults(
            "payload",
            &event["payload"],
            &[
                ("summary", |text| text.as_str().is_some_and(|text| (1..=1024).contains(&text.chars().count())), true),
                ("source", is_some_text, true),
                ("severity", |word| matches!(word.as_str(), Some("critical" | "error" | "warning" | "info")), true),
                ("timestamp", is_instant, false),
                ("component", is_text, false),
                ("group", is_text, false),
                ("class", is_text, false),
                ("custom_details", Value::is_object, false),
            ],
        ));
    }
    faults
}

fn webhook_faults(body: &Value) -> Vec<String> {
    let mut faults = shape_faults(
        "body",
        body,
        &[
            ("version", |version| version == "4", true),
            ("groupKey", is_some_text, true),
            ("truncatedAlerts", Value::is_u64, true),
            ("status", |word| matches!(word.as_str(), Some("firing" | "resolved")), true),
            ("receiver", is_some_text, true),
            ("groupLabels", is_texts, true),
            ("commonLabels", is_texts, true),
            ("commonAnnotations", is_texts, true),
            ("externalURL", is_some_text, true),
            ("alerts", |list| list.as_array().is_some_and(|list| !list.is_empty()), true),
            ("notification_reason", is_text, false),
        ],
    );
    for alert in body["alerts"].as_array().into_iter().flatten() {
        faults.extend(shape_faults(
            "alert",
            alert,
            &[
                ("status", |word| matches!(word.as_str(), Some("firing" | "resolved")), true),
                ("labels", is_texts, true),
                ("annotations", is_texts, true),
                ("startsAt", is_instant, true),
                ("endsAt", is_instant, true),
                ("generatorURL", is_text, true),
                ("fingerprint", |print| print.as_str().is_some_and(|print| print.len() == 16), true),
            ],
        ));
    }
    faults
}
