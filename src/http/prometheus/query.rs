//! `query`, `query_range` and `format_query`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use tocsin_core::promql::evaluate::{self, CancelOnDrop, Options};
use tocsin_core::promql::parse::{Syntax, parse};
use tocsin_core::promql::pretty::pretty;
use tocsin_core::promql::value::Answer;
use tocsin_core::store::Store;
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::Semaphore;

use super::{ApiError, Parameters, encode, success, success_text};
use crate::clock::{self, Stopwatch};

/// Series that one answer may hold.
const SERIES_MAX: usize = 100_000;
/// Queries of clients that run at a time.
pub const QUERIES_MAX: usize = 4;
/// The longest that one query may take.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Values that one query of a client may hold: four of them must leave room for the rules.
const SAMPLES_MAX: usize = 20_000_000;

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

/// What a query asks for.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Instant(Timestamp),
    Range { start: Timestamp, end: Timestamp, step: Span },
}

impl Queries {
    pub fn new(store: Arc<Store>, syntax: Syntax) -> Queries {
        Queries {
            store,
            options: Options { samples_max: SAMPLES_MAX, ..Options::default() },
            syntax,
            timeout: TIMEOUT,
            slots: Arc::new(Semaphore::new(QUERIES_MAX)),
        }
    }

    /// Does some work on a thread of its own, with one of the slots; `timeout` holds for the wait and the work together. The slot is
    /// free again when the work has ended, whether somebody still waits for it or not.
    pub async fn with_slot<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let watch = Stopwatch::start();
        let slot = tokio::time::timeout(timeout, self.slots.clone().acquire_owned())
            .await
            .map_err(|_| ApiError::unavailable("too many queries are running; try again"))?
            .map_err(|_| ApiError::unavailable("the service is stopping"))?;
        let work = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            work()
        });
        match tokio::time::timeout(timeout.saturating_sub(watch.elapsed()), work).await {
            Err(_) => Err(ApiError::timeout(timeout)),
            Ok(done) => done.map_err(|_| ApiError::internal("the work ended in a fault of the program; the log has more")),
        }
    }

    /// Evaluates a query within the limits; returns what `shape` makes of the answer, still in the query's slot.
    pub async fn run<T: Send + 'static>(
        &self,
        text: &str,
        when: When,
        timeout: Duration,
        lookback: Option<Span>,
        shape: impl FnOnce(Answer) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let expr = parse(text, &self.syntax).map_err(|errors| ApiError::parse("query", text, &errors))?;
        // When the client has gone, the handler's future is dropped, and this with it.
        let cancel = CancelOnDrop::default();
        let (store, switch) = (self.store.clone(), cancel.0.clone());
        let options =
            Options { lookback: lookback.unwrap_or(self.options.lookback), text: Some(Arc::from(text)), ..self.options.clone() };
        let work = move || {
            // One view for the whole query, so that its selectors agree.
            let snapshot = store.snapshot();
            let answer = match when {
                When::Instant(at) => evaluate::instant(&expr, at, &snapshot, &options, &switch),
                When::Range { start, end, step } => evaluate::range(&expr, start, end, step, &snapshot, &options, &switch),
            };
            answer.map(shape)
        };
        self.with_slot(timeout, work).await?.map_err(|error| ApiError::evaluation(&error))
    }

    /// Evaluates a query and writes the answer.
    async fn answer(&self, parameters: &Parameters, when: When) -> Result<Response, ApiError> {
        let (limit, stats) = (parameters.limit(SERIES_MAX)?, parameters.get("stats").is_some());
        let (timeout, lookback) = (self.timeout(parameters)?, parameters.span("lookback_delta")?);
        let shape = move |answer: Answer| encode::answer(&answer, limit, stats);
        let body = self.run(parameters.need("query")?, when, timeout, lookback, shape).await?;
        body.map(success_text)
            .ok_or_else(|| ApiError::execution("the answer is longer than 64 MiB; ask for fewer series or a longer step"))
    }

    fn timeout(&self, parameters: &Parameters) -> Result<Duration, ApiError> {
        Ok(parameters.span("timeout")?.map_or(self.timeout, |span| span.to_std().min(self.timeout)))
    }
}

async fn query(State(queries): State<Queries>, parameters: Parameters) -> Result<Response, ApiError> {
    let at = parameters.instant("time")?.unwrap_or_else(clock::now);
    queries.answer(&parameters, When::Instant(at)).await
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
    queries.answer(&parameters, When::Range { start, end, step }).await
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
