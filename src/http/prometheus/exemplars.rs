//! `query_exemplars`: the exemplars of the series that a query names.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use tocsin_core::model::Matcher;
use tocsin_core::promql::ast::ExprKind;
use tocsin_core::promql::parse::parse;
use tocsin_core::promql::walk::walk;
use tocsin_core::time::Timestamp;

use super::query::Queries;
use super::{ApiError, Parameters, encode, success_text};

async fn query_exemplars(State(queries): State<Queries>, parameters: Parameters) -> Result<Response, ApiError> {
    let start = parameters.instant("start")?.unwrap_or(Timestamp::MIN);
    let end = parameters.instant("end")?.unwrap_or(Timestamp::MAX);
    if end < start {
        return Err(ApiError::bad_data("invalid parameter \"end\": end timestamp must not be before start timestamp"));
    }
    let text = parameters.query();
    let expr = parse(text, &queries.syntax()).map_err(|errors| ApiError::parse("query", text, &errors))?;
    let mut sets: Vec<Vec<Matcher>> = Vec::new();
    walk(&expr, &mut |expr| match &expr.kind {
        ExprKind::Vector(selector) => sets.push(selector.matchers.clone()),
        ExprKind::Matrix(selector) => sets.push(selector.vector.matchers.clone()),
        _ => {}
    });
    if sets.is_empty() {
        // As in Prometheus, a query that names no series is answered without data.
        return Ok(success_text("{\"status\":\"success\"}".to_owned()).into_response());
    }
    let store = queries.store.clone();
    let work = move || {
        let sets: Vec<&[Matcher]> = sets.iter().map(Vec::as_slice).collect();
        encode::exemplars(&store.query_exemplars(&sets, start, end))
    };
    let body = queries.with_slot(queries.timeout, work).await?;
    body.map(success_text)
        .ok_or_else(|| ApiError::execution("the answer is longer than 64 MiB; ask for fewer series or a shorter time"))
}

pub fn routes(queries: Queries) -> Router {
    Router::new().route("/api/v1/query_exemplars", routing::get(query_exemplars).post(query_exemplars)).with_state(queries)
}
