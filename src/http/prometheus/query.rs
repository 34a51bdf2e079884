//! `query`, `query_range` and `format_query`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use tocsin_core::promql::evaluate::{self, Cancel, Options};
use tocsin_core::promql::parse::{Syntax, parse};
use tocsin_core::promql::pretty::pretty;
use tocsin_core::promql::value::Answer;
use tocsin_core::store::Store;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::Semaphore;

use super::{ApiError, Parameters, encode, success, success_text};
use crate::clock;

/// Series that one answer may hold.
const SERIES_MAX: usize = 100_000;

/// How questions are answered; clones share the limit on how many run at a time.
#[derive(Clone)]
pub struct Queries {
    pub store: Arc<Store>,
    pub options: Options,
    pub syntax: Syntax,
    /// The longest that one query may take.
    pub timeout: Duration,
    pub slots: Arc<Semaphore>,
}

/// Stops the evaluation when the client has gone: then the handler's future is dropped, and this with it.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What a query asks for.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Instant(Timestamp),
    Range { start: Timestamp, end: Timestamp, step: Span },
}

impl Queries {
    /// Evaluates a query on a thread of its own, within the limits.
    pub async fn run(&self, text: &str, when: When, timeout: Duration, lookback: Option<Span>) -> Result<Answer, ApiError> {
        let expr = parse(text, &self.syntax).map_err(|errors| ApiError::parse("query", text, &errors))?;
        let slot = tokio::time::timeout(timeout, self.slots.clone().acquire_owned())
            .await
            .map_err(|_| ApiError::unavailable("too many queries are running; try again"))?
            .map_err(|_| ApiError::unavailable("the service is stopping"))?;
        let cancel = CancelOnDrop(Cancel::new());
        let (store, switch) = (self.store.clone(), cancel.0.clone());
        let options =
            Options { lookback: lookback.unwrap_or(self.options.lookback), text: Some(Arc::from(text)), ..self.options.clone() };
        let work = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            // One view for the whole query, so that its selectors agree.
            let snapshot = store.snapshot();
            match when {
                When::Instant(at) => evaluate::instant(&expr, at, &snapshot, &options, &switch),
                When::Range { start, end, step } => evaluate::range(&expr, start, end, step, &snapshot, &options, &switch),
            }
        });
        match tokio::time::timeout(timeout, work).await {
            Err(_) => Err(ApiError::timeout(timeout)),
            Ok(Err(_)) => Err(ApiError::internal("the query ended in a fault of the evaluator; the log has more")),
            Ok(Ok(result)) => result.map_err(|error| ApiError::evaluation(&error)),
        }
    }

    fn timeout(&self, parameters: &Parameters) -> Result<Duration, ApiError> {
        Ok(parameters.span("timeout")?.map_or(self.timeout, |span| span.to_std().min(self.timeout)))
    }
}

async fn query(State(queries): State<Queries>, parameters: Parameters) -> Result<Response, ApiError> {
    let at = parameters.instant("time")?.unwrap_or_else(clock::now);
    let (limit, timeout) = (parameters.limit(SERIES_MAX)?, queries.timeout(&parameters)?);
    let answer = queries.run(parameters.need("query")?, When::Instant(at), timeout, parameters.span("lookback_delta")?).await?;
    Ok(success_text(encode::answer(&answer, limit, parameters.get("stats").is_some())))
}

async fn query_range(State(queries): State<Queries>, parameters: Parameters) -> Result<Response, ApiError> {
    let need = |name: &str, value: Option<Timestamp>| {
        value.ok_or_else(|| ApiError::bad_data(format!("invalid parameter \"{name}\": it is missing")))
    };
    let start = need("start", parameters.instant("start")?)?;
    let end = need("end", parameters.instant("end")?)?;
    let step = parameters.span("step")?.ok_or_else(|| ApiError::bad_data("invalid parameter \"step\": it is missing"))?;
    if end < start {
        return Err(ApiError::bad_data("invalid parameter \"end\": end timestamp must not be before start time"));
    }
    if step <= Span::ZERO {
        return Err(ApiError::bad_data(
            "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    let (limit, timeout) = (parameters.limit(SERIES_MAX)?, queries.timeout(&parameters)?);
    let when = When::Range { start, end, step };
    let answer = queries.run(parameters.need("query")?, when, timeout, parameters.span("lookback_delta")?).await?;
    Ok(success_text(encode::answer(&answer, limit, parameters.get("stats").is_some())))
}

async fn format_query(State(queries): State<Queries>, parameters: Parameters) -> Result<Response, ApiError> {
    let text = parameters.need("query")?;
    let expr = parse(text, &queries.syntax).map_err(|errors| ApiError::parse("query", text, &errors))?;
    Ok(success(pretty(&expr, 100).into()).into_response())
}

pub fn routes(queries: Queries) -> Router {
    Router::new()
        .route("/api/v1/query", routing::get(query).post(query))
        .route("/api/v1/query_range", routing::get(query_range).post(query_range))
        .route("/api/v1/format_query", routing::get(format_query).post(format_query))
        .with_state(queries)
}
