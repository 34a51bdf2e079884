//! The event stream: one per browser, telling what has changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use axum::{Router, routing};
use futures_util::stream::{self, Stream, StreamExt};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;

use super::problem::Problem;
use crate::clock;
use crate::pipeline::hub::{Change, Hub, Missed};

/// How often a heartbeat goes out; the page takes twice this silence as a lost connection.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Streams at a time; each holds a connection.
const STREAMS_MAX: usize = 256;

#[derive(Clone)]
pub struct StreamState {
    hub: Hub,
    room: Arc<Semaphore>,
}

fn change(change: &Change) -> Event {
    Event::default()
        .event("change")
        .id(change.number.to_string())
        .data(json!({ "topic": change.topic.word(), "id": change.id.as_deref() }).to_string())
}

fn heartbeat() -> Event {
    Event::default()
        .event("heartbeat")
        .data(json!({ "server_time": clock::now().rfc3339(), "version": env!("CARGO_PKG_VERSION") }).to_string())
}

fn resync() -> Event {
    Event::default().event("resync").data("{}")
}

/// Streams changes, a heartbeat each 5 s, and `resync` when the reader has missed too much.
#[utoipa::path(get, path = "/api/tocsin/v1/stream", tag = "stream", 
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 503, body = Problem)))]
pub async fn stream(
    State(StreamState { hub, room }): State<StreamState>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let room = room.try_acquire_owned().map_err(|_| Problem::unavailable("too many pages are open; close some"))?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let (missed, receiver) = hub.listen(last);
    let first = match missed {
        Missed::Changes(changes) => changes.iter().map(change).collect(),
        Missed::TooMuch => vec![resync()],
    };
    let mut timer = tokio::time::interval(HEARTBEAT);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let live = stream::unfold((receiver, timer, room), |(mut receiver, mut timer, room)| async move {
        let event = tokio::select! {
            _ = timer.tick() => heartbeat(),
            received = receiver.recv() => match received {
                Ok(next) => change(&next),
                Err(RecvError::Lagged(_)) => resync(),
                Err(RecvError::Closed) => return None,
            },
        };
        Some((event, (receiver, timer, room)))
    });
    Ok(Sse::new(stream::iter(first).chain(live).map(Ok)))
}

pub fn routes(hub: Hub) -> Router {
    Router::new()
        .route("/api/tocsin/v1/stream", routing::get(stream))
        .with_state(StreamState { hub, room: Arc::new(Semaphore::new(STREAMS_MAX)) })
}
