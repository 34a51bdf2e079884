//! `query`, `query_range`, `format_query` and `parse_query`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use tocsin_core::promql::evaluate::{self, CancelOnDrop, Options};
use tocsin_core::promql::parse::{Syntax, parse};
use tocsin_core::promql::pretty::pretty;
use tocsin_core::promql::signature::ValueType;
use tocsin_core::promql::value::Answer;
use tocsin_core::store::{Level, Store};
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{Semaphore, watch};

use super::encode::Costs;
use super::{ApiError, Parameters, duration, encode, success, success_text, tree};
use crate::clock::{self, Stopwatch};
use crate::pipeline::memory::Standing;
use crate::telemetry::Metrics;

/// Series that one answer may hold.
const SERIES_MAX: usize = 100_000;
/// Queries of clients that run at a time.
pub const QUERIES_MAX: usize = 4;
/// Steps between the first and the last one of a range query.
const STEPS_MAX: i64 = 11_000;
/// The longest that one query may take.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Values that one query of a client may hold: four of them must leave room for the rules.
const SAMPLES_MAX: usize = 20_000_000;

/// What is said while queries give way.
const SHED: &str = "memory is short, so queries are refused for now; rules and alerts go on. Who grows is under Explore, Series";

/// How questions are answered; clones share the limit on how many run at a time.
#[derive(Clone)]
pub struct Queries {
    pub store: Arc<Store>,
    language: watch::Receiver<(Syntax, Options)>,
    /// The longest that one query may take.
    pub timeout: Duration,
    pub slots: Arc<Semaphore>,
    standing: watch::Receiver<Standing>,
    metrics: Arc<Metrics>,
}

/// What a query asks for.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Instant(Timestamp),
    Range { start: Timestamp, end: Timestamp, step: Span },
}

/// Seconds that a query waited for its slot, and that it was evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    pub queued: f64,
    pub evaluated: f64,
}

impl When {
    /// Returns the first step and the distance of the steps.
    fn steps(self) -> (Timestamp, Span) {
        match self {
            When::Instant(at) => (at, Span::ZERO),
            When::Range { start, step, .. } => (start, step),
        }
    }
}

impl Queries {
    pub fn new(
        store: Arc<Store>,
        language: watch::Receiver<(Syntax, Options)>,
        standing: watch::Receiver<Standing>,
        metrics: Arc<Metrics>,
    ) -> Queries {
        Queries { store, language, timeout: TIMEOUT, slots: Arc::new(Semaphore::new(QUERIES_MAX)), standing, metrics }
    }

    /// Returns once memory is so short that queries give way.
    async fn shed(&self) {
        let mut standing = self.standing.clone();
        if standing.wait_for(|standing| standing.level >= Level::Shed).await.is_err() {
            // Nobody looks any more, so nothing gives way.
            std::future::pending().await
        }
    }

    /// Returns what queries may say now.
    pub fn syntax(&self) -> Syntax {
        self.language.borrow().0
    }

    /// Returns how the query of a client is evaluated.
    pub fn options(&self) -> Options {
        Options { samples_max: SAMPLES_MAX, points_max: STEPS_MAX as usize + 1, ..self.language.borrow().1.clone() }
    }

    /// Does some work on a thread of its own, with one of the slots; `timeout` holds for the wait and the work together. The slot is
    /// free again when the work has ended, whether somebody still waits for it or not.
    ///
    /// Errors: also when memory is so short that queries give way; then whoever does the work is told to leave off as if nobody waited.
    pub async fn with_slot<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        tokio::select! {
            biased;
            () = self.shed() => {
                self.metrics.limits.queries_shed.inc();
                Err(ApiError::unavailable(SHED))
            }
            done = self.in_slot(timeout, work) => done,
        }
    }

    async fn in_slot<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        if timeout.is_zero() {
            return Err(ApiError::timeout(timeout));
        }
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
        shape: impl FnOnce(Answer, Took) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let expr = parse(text, &self.syntax()).map_err(|errors| ApiError::parse("query", text, &errors))?;
        let kind = expr.value_type();
        if matches!(when, When::Range { .. }) && matches!(kind, ValueType::Text | ValueType::RangeVector) {
            let fault = format!("invalid expression type \"{}\" for range query, must be Scalar or instant Vector", kind.name());
            return Err(ApiError::parameter("query", fault));
        }
        // When the client has gone, the handler's future is dropped, and this with it.
        let cancel = CancelOnDrop::default();
        let (store, switch) = (self.store.clone(), cancel.0.clone());
        let mut options = self.options();
        options.lookback = lookback.unwrap_or(options.lookback);
        options.text = Some(Arc::from(text));
        let watch = Stopwatch::start();
        let work = move || {
            let queued = watch.elapsed().as_secs_f64();
            // One view for the whole query, so that its selectors agree.
            let snapshot = store.snapshot();
            let answer = match when {
                When::Instant(at) => evaluate::instant(&expr, at, &snapshot, &options, &switch),
                When::Range { start, end, step } => evaluate::range(&expr, start, end, step, &snapshot, &options, &switch),
            };
            let took = Took { queued, evaluated: watch.elapsed().as_secs_f64() - queued };
            answer.map(|answer| shape(answer, took))
        };
        self.with_slot(timeout, work).await?.map_err(|error| ApiError::evaluation(&error))
    }

    /// Evaluates a query and writes the answer.
    async fn answer(&self, parameters: &Parameters, when: When) -> Result<Response, ApiError> {
        let (limit, timeout, lookback) = (parameters.limit(SERIES_MAX)?, self.timeout(parameters)?, lookback(parameters)?);
        let (stats, steps) = (parameters.get("stats").map(str::to_owned), when.steps());
        let shape = move |answer: Answer, took: Took| {
            let costs = stats.map(|stats| Costs { each_step: stats == "all", steps, took });
            encode::answer(&answer, limit, costs.as_ref())
        };
        let body = self.run(parameters.query(), when, timeout, lookback, shape).await?;
        body.map(success_text)
            .ok_or_else(|| ApiError::too_large("the answer is longer than 64 MiB; ask for fewer series or a longer step"))
    }

    fn timeout(&self, parameters: &Parameters) -> Result<Duration, ApiError> {
        Ok(parameters.span("timeout")?.map_or(self.timeout, |span| span.to_std().min(self.timeout)))
    }
}

async fn query(State(queries): State<Queries>, parameters: Parameters) -> Result<Response, ApiError> {
    let at = parameters.instant("time")?.unwrap_or_else(clock::now);
    queries.answer(&parameters, When::Instant(at)).await
}

/// Reads how far back an instant looks; zero and less mean the usual time.
fn lookback(parameters: &Parameters) -> Result<Option<Span>, ApiError> {
    let Some(text) = parameters.get("lookback_delta") else { return Ok(None) };
    let span = duration(text).map_err(|fault| ApiError::bad_data(format!("error parsing lookback delta duration: {fault}")))?;
    Ok(Some(span).filter(|span| *span > Span::ZERO))
}

async fn query_range(State(queries): State<Queries>, parameters: Parameters) -> Result<Response, ApiError> {
    let (start, end) = (parameters.need_instant("start")?, parameters.need_instant("end")?);
    if end < start {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let Some(step) = parameters.span("step")? else {
        return Err(ApiError::parameter("step", "cannot parse \"\" to a valid duration"));
    };
    if step <= Span::ZERO {
        let fault = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", fault));
    }
    if end.since(start).0 / step.0 > STEPS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    queries.answer(&parameters, When::Range { start, end, step }).await
}

async fn format_query(State(queries): State<Queries>, parameters: Parameters) -> Result<Response, ApiError> {
    let text = parameters.query();
    let expr = parse(text, &queries.syntax()).map_err(|errors| ApiError::parse("query", text, &errors))?;
    Ok(success(pretty(&expr, 100).into()).into_response())
}

async fn parse_query(State(queries): State<Queries>, parameters: Parameters) -> Result<Response, ApiError> {
    let text = parameters.query();
    let expr = parse(text, &queries.syntax()).map_err(|errors| ApiError::parse("query", text, &errors))?;
    Ok(success(tree::json(&expr)))
}

pub fn routes(queries: Queries) -> Router {
    Router::new()
        .route("/api/v1/query", routing::get(query).post(query))
        .route("/api/v1/query_range", routing::get(query_range).post(query_range))
        .route("/api/v1/format_query", routing::get(format_query).post(format_query))
        .route("/api/v1/parse_query", routing::get(parse_query).post(parse_query))
        .with_state(queries)
}
