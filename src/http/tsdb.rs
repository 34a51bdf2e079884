//! Stored samples: what there is, deleting, backing up, and all of it as text.

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router, routing};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use tocsin_core::model::Matcher;
use tocsin_core::promql::parse::parse_selector;
use tocsin_core::store::Counted;
use tocsin_core::time::Timestamp;
use utoipa::ToSchema;

use super::access::{Caller, Guard};
use super::problem::Problem;
use super::prometheus::series::matcher_sets;
use super::prometheus::{ApiError, Parameters, instant};
use crate::client::answer::with_causes;
use crate::pipeline::stored::{Made, Stored, StoredError, Which, Wish};

/// Selectors of one deletion.
const SELECTORS_MAX: usize = 100;

#[derive(Clone)]
pub struct TsdbState {
    pub stored: Stored,
    pub guard: Arc<Guard>,
}

impl From<StoredError> for Problem {
    fn from(error: StoredError) -> Problem {
        let said = with_causes(&error);
        match error {
            StoredError::Busy(_) => Problem::new(StatusCode::CONFLICT, "busy", said),
            StoredError::Name(_) => Problem::bad_request(said),
            StoredError::NoRoom(_) => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "no-room", said),
            StoredError::Db(_) | StoredError::Disk(_) | StoredError::Fault => {
                tracing::error!(error = said, "stored samples cannot be worked on");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "storage", said)
            }
        }
    }
}

/// Lists blocks, memory, log and snapshots.
#[utoipa::path(get, path = "/api/tocsin/v1/tsdb", tag = "tsdb",
    responses((status = 200, body = serde_json::Value), (status = 409, body = Problem)))]
pub async fn list(State(state): State<TsdbState>) -> Result<Response, Problem> {
    Ok(Json(state.stored.contents().await?).into_response())
}

#[derive(Deserialize, ToSchema)]
pub struct DeleteRequest {
    /// Selectors, such as `{job="shop"}`; series that fit any of them.
    #[serde(rename = "match")]
    pub matches: Vec<String>,
    /// The first instant, RFC 3339 or seconds since the epoch as a text. Null: the beginning.
    pub from: Option<String>,
    /// The last instant, which belongs to it. Null: the end.
    pub to: Option<String>,
    /// Only count.
    #[serde(default)]
    pub dry_run: bool,
}

#[derive(Serialize, ToSchema)]
pub struct Deleted {
    /// Series that lose samples.
    pub series: u64,
    pub samples: u64,
    /// What is not counted above, and why; null when all is. Series lose their samples all the same, but for what a block that cannot be
    /// read alone knows of.
    pub not_counted: Option<String>,
    pub dry_run: bool,
}

impl Deleted {
    fn of(counted: Counted, dry_run: bool) -> Deleted {
        Deleted { series: counted.series, samples: counted.samples, not_counted: counted.shortfall(), dry_run }
    }
}

fn read(asked: &DeleteRequest) -> Result<Which, Problem> {
    if asked.matches.is_empty() || asked.matches.len() > SELECTORS_MAX {
        return Err(Problem::bad_request(format!("match holds 1 to {SELECTORS_MAX} selectors")));
    }
    let mut sets = Vec::new();
    for text in &asked.matches {
        let set = parse_selector(text).map_err(|errors| {
            let said = errors.first().map(|error| error.summary(text)).unwrap_or_default();
            Problem::bad_request(format!("match {text:?}: {said}"))
        })?;
        if set.iter().all(Matcher::matches_empty) {
            return Err(Problem::bad_request(format!(
                "match {text:?} names every series; {{__name__=~\".+\"}} says that it is meant"
            )));
        }
        sets.push(set);
    }
    let at = |name: &str, text: &Option<String>, default: Timestamp| match text {
        None => Ok(default),
        Some(text) => instant(text).map_err(|fault| Problem::bad_request(format!("{name}: {fault}"))),
    };
    let (start, end) = (at("from", &asked.from, Timestamp::MIN)?, at("to", &asked.to, Timestamp::MAX)?);
    if end < start {
        return Err(Problem::bad_request("to lies before from"));
    }
    Ok(Which { sets, start, end })
}

/// Deletes samples, for ever; what is written later is seen.
#[utoipa::path(post, path = "/api/tocsin/v1/tsdb/delete", tag = "tsdb", request_body = DeleteRequest,
    responses((status = 200, body = Deleted), (status = 400, body = Problem), (status = 409, body = Problem)))]
pub async fn delete(
    State(state): State<TsdbState>,
    Extension(caller): Extension<Caller>,
    Json(asked): Json<DeleteRequest>,
) -> Result<Json<Deleted>, Problem> {
    let which = read(&asked)?;
    let dry_run = asked.dry_run;
    if dry_run {
        return Ok(Json(Deleted::of(state.stored.count(which).await?, dry_run)));
    }
    let counted =
        audited(&state.guard, &caller, &asked.matches.join(" or "), which, |which| state.stored.delete(which, true)).await?;
    Ok(Json(Deleted::of(counted, dry_run)))
}

/// Notes a deletion in the audit before it begins, for it cannot be taken back, and how it ended.
pub async fn audited(
    guard: &Guard,
    caller: &Caller,
    what: &str,
    which: Which,
    delete: impl AsyncFnOnce(Which) -> Result<Counted, StoredError>,
) -> Result<Counted, Problem> {
    let span = format!("from {} to {}", which.start.rfc3339(), which.end.rfc3339());
    guard.audit(caller, "delete samples", what, "asked", &span).await?;
    let done = delete(which).await;
    let (outcome, detail) = match &done {
        Ok(counted) => ("done", format!("{} series, {span}", counted.series)),
        Err(error) => ("failed", with_causes(error)),
    };
    guard.audit(caller, "delete samples", what, outcome, &detail).await?;
    Ok(done?)
}

#[derive(Default, Deserialize, ToSchema)]
pub struct SnapshotRequest {
    /// Letters, digits, dashes, dots and underscores. Null: after the time.
    pub name: Option<String>,
    /// Remove the oldest snapshots, so that so many are left.
    pub keep: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub struct SnapshotMade {
    pub name: String,
    /// Where it is, on the machine of the service.
    pub path: String,
    pub made_at: String,
    pub bytes: u64,
    /// False when the state is in PostgreSQL.
    pub has_state: bool,
    /// Snapshots that made room.
    pub removed: Vec<String>,
}

/// Copies samples and state into a snapshot.
#[utoipa::path(post, path = "/api/tocsin/v1/tsdb/snapshots", tag = "tsdb", request_body = SnapshotRequest,
    responses((status = 201, body = SnapshotMade), (status = 400, body = Problem), (status = 409, body = Problem),
        (status = 507, body = Problem)))]
pub async fn snapshot(
    State(state): State<TsdbState>,
    Extension(caller): Extension<Caller>,
    Json(asked): Json<SnapshotRequest>,
) -> Result<(StatusCode, Json<SnapshotMade>), Problem> {
    let wish = Wish { name: asked.name, keep: asked.keep, without_memory: false };
    let Made { facts, path, has_state, removed } = state.stored.snapshot(wish).await?;
    state.guard.audit(&caller, "take snapshot", &facts.name, "done", &removed.join(", ")).await?;
    let (name, made_at, bytes, path) = (facts.name, facts.made_at, facts.bytes, path.display().to_string());
    Ok((StatusCode::CREATED, Json(SnapshotMade { name, path, made_at, bytes, has_state, removed })))
}

/// Streams series as lines of JSON; the last line is `{"end":true}`, or tells why it broke off.
#[utoipa::path(get, path = "/api/tocsin/v1/tsdb/dump", tag = "tsdb",
    params(("match[]" = Option<Vec<String>>, Query), ("start" = Option<String>, Query), ("end" = Option<String>, Query)),
    responses((status = 200, content_type = "application/x-ndjson", body = String), (status = 409, body = Problem)))]
pub async fn dump(State(state): State<TsdbState>, parameters: Parameters) -> Result<Response, Problem> {
    let refused = |error: ApiError| Problem::bad_request(error.message().to_owned());
    let which = Which {
        sets: matcher_sets(&parameters).map_err(refused)?,
        start: parameters.instant("start").map_err(refused)?.unwrap_or(Timestamp::MIN),
        end: parameters.instant("end").map_err(refused)?.unwrap_or(Timestamp::MAX),
    };
    let pieces = state.stored.dump(which)?;
    let body =
        stream::unfold(pieces, |mut pieces| async move { pieces.recv().await.map(|piece| (Ok::<_, Infallible>(piece), pieces)) });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response())
}

pub fn routes(state: TsdbState) -> Router {
    Router::new()
        .route("/api/tocsin/v1/tsdb", routing::get(list))
        .route("/api/tocsin/v1/tsdb/delete", routing::post(delete))
        .route("/api/tocsin/v1/tsdb/snapshots", routing::post(snapshot))
        .route("/api/tocsin/v1/tsdb/dump", routing::get(dump))
        .with_state(state)
}
