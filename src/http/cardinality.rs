//! Who has the series, and who grows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Json, Router, routing};
use serde::{Deserialize, Serialize};
use tocsin_core::store::{Anatomy, Cardinality, SeriesLimits, Store, TargetRow};
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::{Mutex, watch};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use crate::clock::{self, Stopwatch};
use crate::pipeline::memory::Standing;
use crate::pipeline::scrapes::{Scrapes, SeriesStatus};
use crate::telemetry::Metrics;

/// Entries of each list: when nothing is said, and at most.
const TOP: usize = 50;
const TOP_MAX: usize = 500;
/// An answer is good for this long, …
const GOOD_FOR: Duration = Duration::from_secs(5);
/// … and for so many times as long as it took, so that asking takes little of a processor however many series there are.
const REST: u32 = 50;
/// Values that are told of each label of one metric.
const VALUES_SHOWN: usize = 10;

/// What was counted, and when.
struct Counted {
    top: usize,
    at: Stopwatch,
    took: Duration,
    cardinality: Arc<Cardinality>,
}

#[derive(Clone)]
pub struct CardinalityState {
    pub store: Arc<Store>,
    pub scrapes: Arc<Scrapes>,
    pub metrics: Arc<Metrics>,
    pub standing: watch::Receiver<Standing>,
    counted: Arc<Mutex<Option<Counted>>>,
    /// One metric is taken apart at a time.
    anatomy: Arc<Mutex<()>>,
}

#[derive(Debug, Deserialize, IntoParams)]
pub struct TopQuery {
    /// The largest and the fastest growing so many of each list; 1 to 500, 50 when it is not given.
    limit: Option<usize>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MemoryView {
    /// Null without a budget.
    pub budget_bytes: Option<u64>,
    /// What the process takes.
    pub used_bytes: u64,
    /// What series and samples take, by our own count.
    pub counted_bytes: u64,
    /// `calm`; `flush` from 80 %: samples move to blocks early; `close` from 90 %: new series are refused; `shed` from 95 %: queries are.
    pub level: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MomentView {
    /// When its five minutes begin.
    pub at: String,
    /// Series that were made.
    pub created: u64,
    /// Series that left the store.
    pub removed: u64,
    /// Samples without a series, because a new one was refused.
    pub refused: u64,
    /// Series that there were at its end.
    pub series: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MetricSeries {
    pub name: String,
    pub series: usize,
    /// Series that were made within the last hour.
    pub new_series: u64,
    /// Null for no limit.
    pub limit: Option<usize>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LabelValues {
    pub name: String,
    /// Distinct values.
    pub values: usize,
    /// Values that no series had before the last hour.
    pub new_values: u64,
    /// Series that have the label.
    pub series: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PairSeries {
    pub name: String,
    pub value: String,
    pub series: usize,
    pub new_series: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct JobSeries {
    pub job: String,
    pub series: usize,
    pub new_series: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TargetSeries {
    pub job: String,
    pub instance: String,
    pub series: usize,
    pub new_series: u64,
    /// `series_limit` of the target's job; null for none.
    pub limit: Option<u64>,
    /// Series that count against the limit; null without one.
    pub held: Option<usize>,
    /// Samples of the last scrape without a series, because a new one was refused.
    pub refused: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedSamples {
    /// Empty, as the metric is, for all that have no count of their own.
    pub job: String,
    pub metric: String,
    /// Which limit: `target`, `metric`, `process`, `memory`, `labels` (too long) or `numbers` (used up).
    pub limit: &'static str,
    /// Since the start.
    pub samples: u64,
    pub last_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct CardinalityView {
    pub server_time: String,
    pub series: usize,
    pub series_limit: usize,
    /// Series that were made within the last hour.
    pub new_series: u64,
    /// When the counts of new series began: at the start of the service.
    pub counted_since: Option<String>,
    pub memory: MemoryView,
    /// The last day by five minutes, oldest first.
    pub moments: Vec<MomentView>,
    /// Each list holds the largest and the fastest growing, the largest first.
    pub metrics: Vec<MetricSeries>,
    pub labels: Vec<LabelValues>,
    pub label_values: Vec<PairSeries>,
    pub jobs: Vec<JobSeries>,
    pub targets: Vec<TargetSeries>,
    /// The latest first.
    pub refused: Vec<RefusedSamples>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ValueSeries {
    pub value: String,
    pub series: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MetricLabel {
    pub name: String,
    pub values: usize,
    /// The values with most series.
    pub top: Vec<ValueSeries>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MetricView {
    pub name: String,
    pub series: usize,
    /// Of so many series the labels were looked at; the counts below are of these.
    pub seen: usize,
    /// Null for no limit.
    pub limit: Option<usize>,
    /// The label with most values first.
    pub labels: Vec<MetricLabel>,
}

fn fault() -> Problem {
    let said = "the count ended in a fault of the program; the log has more";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", said)
}

impl CardinalityState {
    pub fn new(store: Arc<Store>, scrapes: Arc<Scrapes>, metrics: Arc<Metrics>, standing: watch::Receiver<Standing>) -> Self {
        CardinalityState { store, scrapes, metrics, standing, counted: Arc::default(), anatomy: Arc::default() }
    }

    /// Returns a count that is at most some seconds old. Whoever asks meanwhile waits for it.
    async fn counted(&self, top: usize) -> Result<Arc<Cardinality>, Problem> {
        let mut counted = self.counted.lock().await;
        if let Some(last) = &*counted
            && last.top >= top
            && last.at.elapsed() < GOOD_FOR.max(last.took * REST)
        {
            return Ok(last.cardinality.clone());
        }
        let (store, watch) = (self.store.clone(), Stopwatch::start());
        // One of two sizes, so that nobody who asks for ever more has all of it counted for each.
        let top = if top <= TOP { TOP } else { TOP_MAX };
        let cardinality = tokio::task::spawn_blocking(move || store.cardinality(top)).await.map_err(|_| fault())?;
        let cardinality = Arc::new(cardinality);
        *counted = Some(Counted { top, at: Stopwatch::start(), took: watch.elapsed(), cardinality: cardinality.clone() });
        Ok(cardinality)
    }

    /// Returns how the series of each target fare, by job and instance.
    fn statuses(&self) -> BTreeMap<(String, String), SeriesStatus> {
        let jobs = self.scrapes.view();
        let targets = jobs.into_iter().flat_map(|job| job.targets);
        targets
            .map(|view| {
                let label = |name| view.target.labels.get(name).to_owned();
                ((label("job"), label("instance")), view.status.series)
            })
            .collect()
    }
}

/// Returns the first `top` by size and by growth.
fn largest<T>(rows: &[T], top: usize, size: impl Fn(&T) -> usize, growth: impl Fn(&T) -> u64) -> Vec<&T> {
    let mut by_growth: Vec<usize> = (0..rows.len()).filter(|place| growth(&rows[*place]) > 0).collect();
    by_growth.sort_by_key(|place| std::cmp::Reverse((growth(&rows[*place]), size(&rows[*place]))));
    let grown: BTreeSet<usize> = by_growth.into_iter().take(top).collect();
    rows.iter().enumerate().filter(|(place, _)| *place < top || grown.contains(place)).map(|(_, row)| row).collect()
}

fn view(state: &CardinalityState, counted: &Cardinality, top: usize) -> CardinalityView {
    let limits: SeriesLimits = state.store.series_limits();
    let standing = *state.standing.borrow();
    let statuses = state.statuses();
    let target = |row: &TargetRow| {
        let status = statuses.get(&(row.job.clone(), row.instance.clone())).cloned().unwrap_or_default();
        let limit = (status.limit > 0).then_some(status.limit);
        TargetSeries {
            job: row.job.clone(),
            instance: row.instance.clone(),
            series: row.series,
            new_series: row.new_series,
            limit,
            held: limit.map(|_| status.held),
            refused: status.refused,
        }
    };
    let now = clock::now();
    let hour = now - Span::from_mins(60);
    CardinalityView {
        server_time: now.rfc3339(),
        series: counted.series,
        series_limit: limits.series,
        new_series: counted.moments.iter().filter(|moment| moment.at > hour).map(|moment| moment.created).sum(),
        counted_since: counted.since.map(Timestamp::rfc3339),
        memory: MemoryView {
            budget_bytes: standing.budget_bytes,
            used_bytes: standing.used_bytes,
            counted_bytes: standing.counted_bytes,
            level: standing.level.word(),
        },
        moments: counted
            .moments
            .iter()
            .map(|moment| MomentView {
                at: moment.at.rfc3339(),
                created: moment.created,
                removed: moment.removed,
                refused: moment.refused,
                series: moment.series,
            })
            .collect(),
        metrics: largest(&counted.metrics, top, |row| row.series, |row| row.new_series)
            .into_iter()
            .map(|row| MetricSeries {
                name: row.name.clone(),
                series: row.series,
                new_series: row.new_series,
                limit: limits.of(&row.name),
            })
            .collect(),
        labels: largest(&counted.labels, top, |row| row.values, |row| row.new_values)
            .into_iter()
            .map(|row| LabelValues { name: row.name.clone(), values: row.values, new_values: row.new_values, series: row.series })
            .collect(),
        label_values: largest(&counted.pairs, top, |row| row.series, |row| row.new_series)
            .into_iter()
            .map(|row| {
                let (name, value) = row.name.split_once('=').unwrap_or((&row.name, ""));
                PairSeries { name: name.to_owned(), value: value.to_owned(), series: row.series, new_series: row.new_series }
            })
            .collect(),
        jobs: largest(&counted.jobs, top, |row| row.series, |row| row.new_series)
            .into_iter()
            .map(|row| JobSeries { job: row.name.clone(), series: row.series, new_series: row.new_series })
            .collect(),
        targets: largest(&counted.targets, top, |row| row.series, |row| row.new_series).into_iter().map(target).collect(),
        refused: state
            .metrics
            .limits
            .list()
            .into_iter()
            .map(|tally| RefusedSamples {
                job: tally.job,
                metric: tally.metric,
                limit: tally.limit,
                samples: tally.samples,
                last_at: tally.last_at.rfc3339(),
            })
            .collect(),
    }
}

/// Tells who has the series and who grows: metrics, labels, label values, jobs and targets; what was refused; how memory stands.
#[utoipa::path(get, path = "/api/tocsin/v1/cardinality", tag = "cardinality", params(TopQuery),
    responses((status = 200, body = CardinalityView), (status = 400, body = Problem)))]
pub async fn cardinality(
    State(state): State<CardinalityState>,
    Query(asked): Query<TopQuery>,
) -> Result<Json<CardinalityView>, Problem> {
    let top = asked.limit.unwrap_or(TOP);
    if !(1..=TOP_MAX).contains(&top) {
        return Err(Problem::bad_request(format!("limit must be from 1 to {TOP_MAX}")));
    }
    let counted = state.counted(top).await?;
    Ok(Json(view(&state, &counted, top)))
}

/// Tells what tells the series of one metric apart: its labels with the number of their values.
#[utoipa::path(get, path = "/api/tocsin/v1/cardinality/metrics/{name}", tag = "cardinality", params(("name" = String, Path,)),
    responses((status = 200, body = MetricView), (status = 404, body = Problem)))]
pub async fn metric(State(state): State<CardinalityState>, Path(name): Path<String>) -> Result<Json<MetricView>, Problem> {
    let (store, asked) = (state.store.clone(), name.clone());
    let turn = state.anatomy.clone().lock_owned().await;
    let work = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        store.anatomy(&asked, VALUES_SHOWN)
    });
    let Anatomy { series, seen, labels } = work.await.map_err(|_| fault())?;
    if series == 0 {
        return Err(Problem::not_found(format!("there is no series of a metric {name:?}")));
    }
    let labels = labels.into_iter().map(|label| MetricLabel {
        name: label.name,
        values: label.values,
        top: label.top.into_iter().map(|(value, series)| ValueSeries { value, series }).collect(),
    });
    let limit = state.store.series_limits().of(&name);
    Ok(Json(MetricView { limit, name, series, seen, labels: labels.collect() }))
}

pub fn routes(state: CardinalityState) -> Router {
    Router::new()
        .route("/api/tocsin/v1/cardinality", routing::get(cardinality))
        .route("/api/tocsin/v1/cardinality/metrics/{name}", routing::get(metric))
        .with_state(state)
}
