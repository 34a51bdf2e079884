//! `admin/tsdb/…`: deleting and backing up, as Prometheus has it under `--web.enable-admin-api`; here a role opens it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Router, routing};
use serde_json::json;
use tocsin_core::time::Timestamp;

use super::series::matcher_sets;
use super::{ApiError, Parameters, success};
use crate::client::answer::with_causes;
use crate::http::access::Caller;
use crate::http::problem::Problem;
use crate::http::tsdb::{TsdbState, audited};
use crate::pipeline::stored::{StoredError, Which, Wish};

impl From<StoredError> for ApiError {
    fn from(error: StoredError) -> ApiError {
        let said = with_causes(&error);
        match error {
            StoredError::Busy(_) | StoredError::NoRoom(_) => ApiError::unavailable(said),
            StoredError::Name(_) => ApiError::bad_data(said),
            StoredError::Db(_) | StoredError::Disk(_) | StoredError::Fault => {
                tracing::error!(error = said, "stored samples cannot be worked on");
                ApiError::internal(said)
            }
        }
    }
}

fn of_problem(problem: Problem) -> ApiError {
    if problem.kind == "busy" { ApiError::unavailable(problem.detail) } else { ApiError::internal(problem.detail) }
}

async fn delete_series(
    State(state): State<TsdbState>,
    Extension(caller): Extension<Caller>,
    parameters: Parameters,
) -> Result<StatusCode, ApiError> {
    let texts = parameters.all("match[]");
    if texts.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let which = Which {
        sets: matcher_sets(&parameters).map_err(|error| error.of_parameter("match[]"))?,
        start: parameters.instant("start")?.unwrap_or(Timestamp::MIN),
        end: parameters.instant("end")?.unwrap_or(Timestamp::MAX),
    };
    let done = audited(&state.guard, &caller, &texts.join(" or "), which, |which| state.stored.delete(which, false)).await;
    let done = done.map_err(of_problem)?;
    // What was found is deleted; the protocol has no way to say so beside a fault.
    match done.shortfall() {
        Some(why) => Err(ApiError::internal(format!("all but {why}"))),
        None => Ok(StatusCode::NO_CONTENT),
    }
}

async fn clean_tombstones(State(state): State<TsdbState>) -> Result<StatusCode, ApiError> {
    state.stored.clean().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn snapshot(
    State(state): State<TsdbState>,
    Extension(caller): Extension<Caller>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let without_memory = match parameters.get("skip_head").map(str::parse::<bool>) {
        None => false,
        Some(Ok(skip)) => skip,
        Some(Err(_)) => return Err(ApiError::parameter("skip_head", "unable to parse boolean skip_head argument")),
    };
    let made = state.stored.snapshot(Wish { without_memory, ..Wish::default() }).await?;
    state.guard.audit(&caller, "take snapshot", &made.facts.name, "done", "").await.map_err(of_problem)?;
    Ok(success(json!({ "name": made.facts.name })))
}

pub fn routes(state: TsdbState) -> Router {
    Router::new()
        .route("/api/v1/admin/tsdb/delete_series", routing::post(delete_series).put(delete_series))
        .route("/api/v1/admin/tsdb/clean_tombstones", routing::post(clean_tombstones).put(clean_tombstones))
        .route("/api/v1/admin/tsdb/snapshot", routing::post(snapshot).put(snapshot))
        .with_state(state)
}
