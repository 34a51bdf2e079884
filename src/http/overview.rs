//! The overview, the targets, and the demo platform's faults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::{Extension, Json, Router, routing};
use serde::{Deserialize, Serialize};
use tocsin_core::page::{Severity, State as PageState};
use tocsin_core::promql::value::Value;
use tocsin_core::route::silence::SilenceState;
use tocsin_core::time::{Span, Timestamp};
use utoipa::ToSchema;

use super::access::{Caller, Guard};
use super::alerts::pages::{Page, page_view};
use super::alerts::severity_word;
use super::problem::Problem;
use super::prometheus::query::{Queries, When};
use crate::clock;
use crate::db::Db;
use crate::demo::{Platform, Service};
use crate::pipeline::hub::{Hub, Topic};
use crate::pipeline::objectives::Handle;
use crate::pipeline::picture::{AlertPicture, PictureState, pictures};
use crate::pipeline::rules::Rules;
use crate::pipeline::scrapes::Scrapes;
use crate::pipeline::watch::Watch;

#[derive(Clone)]
pub struct OverviewState {
    pub watch: Watch,
    pub db: Db,
    pub rules: Arc<Rules>,
    pub objectives: Handle,
    pub scrapes: Arc<Scrapes>,
    pub queries: Queries,
}

#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct FiringCounts {
    pub critical: usize,
    pub warning: usize,
    pub info: usize,
    pub other: usize,
}

#[derive(Debug, Default, Serialize, ToSchema)]
pub struct TargetCounts {
    pub up: usize,
    pub down: usize,
    pub unknown: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DeliverySummary {
    pub pending: i64,
    /// Pending ones that have failed at least once.
    pub failing: i64,
    /// Rejected or expired in the last 24 hours.
    pub failed_24h: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RuleSummary {
    pub groups: usize,
    pub rules: usize,
    pub failing: usize,
    pub last_evaluation_at: Option<String>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ObjectiveSummary {
    pub total: usize,
    /// The budget burns faster than some alert allows.
    pub burning: usize,
    /// Nothing of the budget is left.
    pub exhausted: usize,
    /// They cannot be counted.
    pub failing: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct StorageSummary {
    pub series: usize,
    pub samples_total: u64,
    pub samples_per_second: f64,
    pub chunk_bytes: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceOnFire {
    /// The alerts' label `service`, else `job`, else their name.
    pub name: String,
    pub severity: &'static str,
    pub firing: usize,
    pub acknowledged: usize,
}

/// Alerts that fired in one quarter of an hour, at most at a time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FiringBucket {
    /// When its quarter of an hour begins.
    pub at: String,
    pub critical: f64,
    pub warning: f64,
    pub other: f64,
}

#[derive(Serialize, ToSchema)]
pub struct Overview {
    pub server_time: String,
    pub firing: FiringCounts,
    pub acknowledged: usize,
    pub pending: usize,
    pub pages_open: usize,
    pub targets: TargetCounts,
    pub silences_active: usize,
    pub deliveries: DeliverySummary,
    pub rules: RuleSummary,
    pub objectives: ObjectiveSummary,
    pub storage: StorageSummary,
    /// Open pages, those that nobody has acknowledged first, the worst of them first.
    pub needs_you: Vec<Page>,
    pub services: Vec<ServiceOnFire>,
    pub firing_24h: Vec<FiringBucket>,
}

const BUCKET: Span = Span::from_mins(15);
const BUCKETS: i64 = 96;
/// Pages and services that the overview shows.
const SHOWN_MAX: usize = 100;

/// Reads how many alerts fired over the last day from the series that the rules write of themselves.
async fn firing_24h(queries: &Queries, now: Timestamp) -> Result<Vec<FiringBucket>, Problem> {
    // Each bucket is asked for at its end, so that the last holds what fires now.
    let end = Timestamp(now.0 - now.0.rem_euclid(BUCKET.0) + BUCKET.0);
    let start = Timestamp(end.0 - (BUCKETS - 1) * BUCKET.0);
    let text = format!("count by (severity) (max_over_time(ALERTS{{alertstate=\"firing\"}}[{BUCKET}]))");
    let mut buckets: Vec<FiringBucket> = (0..BUCKETS)
        .map(|index| FiringBucket {
            at: Timestamp(start.0 + (index - 1) * BUCKET.0).rfc3339(),
            critical: 0.0,
            warning: 0.0,
            other: 0.0,
        })
        .collect();
    let when = When::Range { start, end, step: BUCKET };
    let answer = queries.run(&text, when, Duration::from_secs(5), None, |answer, _| answer.value).await;
    // Without an answer the plot is empty; the rest of the overview still counts.
    let Ok(Value::Matrix(matrix)) = answer else { return Ok(buckets) };
    for series in matrix {
        for (at, value) in &series.floats {
            let Some(bucket) = usize::try_from((at - start.0) / BUCKET.0).ok().and_then(|index| buckets.get_mut(index)) else {
                continue;
            };
            match Severity::of(&series.labels) {
                Severity::Critical => bucket.critical += value,
                Severity::Warning => bucket.warning += value,
                Severity::Info | Severity::Other => bucket.other += value,
            }
        }
    }
    Ok(buckets)
}

/// Returns how many targets are up, down and not scraped yet, and how many samples they bring a second.
fn target_counts(scrapes: &Scrapes) -> (TargetCounts, f64) {
    let (mut targets, mut samples_per_second) = (TargetCounts::default(), 0.0);
    for target in scrapes.view().into_iter().flat_map(|job| job.targets) {
        match target.status.up {
            Some(true) => targets.up += 1,
            Some(false) => targets.down += 1,
            None => targets.unknown += 1,
        }
        samples_per_second += target.status.samples as f64 / target.target.interval.seconds().max(0.001);
    }
    (targets, samples_per_second)
}

fn rule_summary(rules: &Rules) -> RuleSummary {
    let groups = rules.status();
    RuleSummary {
        groups: groups.len(),
        rules: groups.iter().map(|group| group.rules.len()).sum(),
        failing: groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.error.is_some()).count(),
        last_evaluation_at: groups.iter().filter_map(|group| group.last_evaluation).max().map(Timestamp::rfc3339),
    }
}

fn objective_summary(objectives: &Handle) -> ObjectiveSummary {
    let mut summary = ObjectiveSummary::default();
    for view in objectives.views() {
        summary.total += 1;
        summary.burning += usize::from(view.is_burning);
        summary.exhausted += usize::from(view.is_exhausted());
        summary.failing += usize::from(view.error.is_some());
    }
    summary
}

/// The alerts in numbers.
#[derive(Default)]
struct OnFire {
    firing: FiringCounts,
    acknowledged: usize,
    pending: usize,
    /// The worst first, and of those the ones with most alerts.
    services: Vec<ServiceOnFire>,
}

impl OnFire {
    fn of(pictures: &[AlertPicture]) -> OnFire {
        let mut counts = OnFire::default();
        let mut services: BTreeMap<String, (Severity, usize, usize)> = BTreeMap::new();
        for picture in pictures {
            match picture.state {
                PictureState::Resolved => continue,
                PictureState::Pending => {
                    counts.pending += 1;
                    continue;
                }
                PictureState::Firing => {}
            }
            let severity = Severity::of(&picture.labels);
            match severity {
                Severity::Critical => counts.firing.critical += 1,
                Severity::Warning => counts.firing.warning += 1,
                Severity::Info => counts.firing.info += 1,
                Severity::Other => counts.firing.other += 1,
            }
            let acked = picture.page.as_ref().is_some_and(|page| page.state == PageState::Acknowledged);
            counts.acknowledged += usize::from(acked);
            let name =
                ["service", "job", "alertname"].iter().map(|label| picture.labels.get(label)).find(|name| !name.is_empty());
            let entry = services.entry(name.unwrap_or("unnamed").to_owned()).or_insert((severity, 0, 0));
            *entry = (entry.0.min(severity), entry.1 + 1, entry.2 + usize::from(acked));
        }
        let mut services: Vec<_> = services.into_iter().collect();
        services.sort_by_key(|(name, (severity, firing, _))| (*severity, std::cmp::Reverse(*firing), name.clone()));
        let shown = services.into_iter().take(SHOWN_MAX).map(|(name, (severity, firing, acknowledged))| ServiceOnFire {
            name,
            severity: severity_word(severity),
            firing,
            acknowledged,
        });
        OnFire { services: shown.collect(), ..counts }
    }
}

/// What is on fire, who has it, and how we ourselves are.
#[utoipa::path(get, path = "/api/tocsin/v1/overview", tag = "overview", responses((status = 200, body = Overview)))]
pub async fn overview(State(state): State<OverviewState>) -> Result<Json<Overview>, Problem> {
    let now = clock::now();
    let (targets, samples_per_second) = target_counts(&state.scrapes);
    let rules = rule_summary(&state.rules);
    let objectives = objective_summary(&state.objectives);
    let counts = state.db.delivery_counts(now - Span::from_mins(24 * 60)).await?;
    let stats = state.queries.store.stats(0);
    let storage = StorageSummary {
        series: stats.series,
        samples_total: stats.samples_total,
        samples_per_second,
        chunk_bytes: stats.chunks_bytes,
    };
    let firing_24h = firing_24h(&state.queries, now).await?;
    let overview = state.watch.ask(move |state| {
        let OnFire { firing, acknowledged, pending, services } = OnFire::of(&pictures(state, now));
        let mut open: Vec<_> = state.plane.pages().into_iter().filter(|page| page.is_open()).collect();
        open.sort_by_key(|page| (page.state == PageState::Acknowledged, page.severity, page.opened_at));
        Overview {
            server_time: now.rfc3339(),
            firing,
            acknowledged,
            pending,
            pages_open: open.len(),
            targets,
            silences_active: state.plane.silences().iter().filter(|silence| silence.state(now) == SilenceState::Active).count(),
            deliveries: DeliverySummary {
                pending: counts.pending,
                failing: counts.failing,
                failed_24h: counts.rejected + counts.expired,
            },
            rules,
            objectives,
            storage,
            needs_you: open.into_iter().take(SHOWN_MAX).map(page_view).collect(),
            services,
            firing_24h,
        }
    });
    Ok(Json(overview.await?))
}

#[derive(Serialize, ToSchema)]
pub struct TargetView {
    pub url: String,
    /// `up`, `down` or `unknown`.
    pub health: &'static str,
    pub labels: BTreeMap<String, String>,
    pub discovered_labels: BTreeMap<String, String>,
    pub last_scrape_at: Option<String>,
    pub last_duration_seconds: f64,
    pub last_error: String,
    pub samples: usize,
    pub interval_seconds: f64,
    pub timeout_seconds: f64,
    /// `series_limit` of its job; null for none.
    pub series_limit: Option<u64>,
    /// Series that count against the limit; null without one.
    pub series_held: Option<usize>,
    /// Samples of the last scrape without a series, because a new one was refused.
    pub series_refused: usize,
    /// Why the first of them was refused; empty when none was.
    pub series_refusal: String,
}

#[derive(Serialize, ToSchema)]
pub struct BadTarget {
    pub discovered_labels: BTreeMap<String, String>,
    pub reason: String,
}

#[derive(Serialize, ToSchema)]
pub struct JobView {
    pub name: String,
    pub up: usize,
    pub total: usize,
    pub targets: Vec<TargetView>,
    /// How many addresses the relabelling rules dropped.
    pub dropped: usize,
    /// Addresses that cannot be scraped.
    pub bad: Vec<BadTarget>,
}

#[derive(Serialize, ToSchema)]
pub struct TargetsView {
    pub server_time: String,
    pub jobs: Vec<JobView>,
}

fn pairs(labels: &tocsin_core::model::LabelSet) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Lists the jobs with their targets, those that are down first.
#[utoipa::path(get, path = "/api/tocsin/v1/targets", tag = "targets", responses((status = 200, body = TargetsView)))]
pub async fn targets(State(state): State<OverviewState>) -> Json<TargetsView> {
    let jobs = state.scrapes.view().into_iter().map(|job| {
        let mut targets: Vec<TargetView> = job
            .targets
            .iter()
            .map(|view| TargetView {
                url: view.target.url.clone(),
                health: match view.status.up {
                    Some(true) => "up",
                    Some(false) => "down",
                    None => "unknown",
                },
                labels: pairs(&view.target.labels),
                discovered_labels: pairs(&view.target.discovered),
                last_scrape_at: view.status.last_scrape_at.map(Timestamp::rfc3339),
                last_duration_seconds: view.status.last_seconds,
                last_error: view.status.last_error.clone(),
                samples: view.status.samples,
                interval_seconds: view.target.interval.seconds(),
                timeout_seconds: view.target.timeout.seconds(),
                series_limit: (view.status.series.limit > 0).then_some(view.status.series.limit),
                series_held: (view.status.series.limit > 0).then_some(view.status.series.held),
                series_refused: view.status.series.refused,
                series_refusal: view.status.series.refusal.clone(),
            })
            .collect();
        targets.sort_by(|one, other| (one.health, &one.url).cmp(&(other.health, &other.url)));
        JobView {
            up: targets.iter().filter(|target| target.health == "up").count(),
            total: targets.len(),
            targets,
            dropped: job.dropped.len(),
            bad: job
                .bad
                .iter()
                .map(|(labels, reason)| BadTarget { discovered_labels: pairs(labels), reason: reason.clone() })
                .collect(),
            name: job.name,
        }
    });
    Json(TargetsView { server_time: clock::now().rfc3339(), jobs: jobs.collect() })
}

pub fn routes(state: OverviewState) -> Router {
    Router::new()
        .route("/api/tocsin/v1/overview", routing::get(overview))
        .route("/api/tocsin/v1/targets", routing::get(targets))
        .with_state(state)
}

#[derive(Clone)]
pub struct DemoState {
    /// None outside the demo.
    pub platform: Option<Arc<Platform>>,
    pub hub: Hub,
    pub guard: Arc<Guard>,
}

#[derive(Serialize, ToSchema)]
pub struct Demo {
    pub services: Vec<Service>,
}

#[derive(Deserialize, ToSchema)]
pub struct FaultSwitch {
    pub active: bool,
}

impl DemoState {
    fn platform(&self) -> Result<&Platform, Problem> {
        self.platform.as_deref().ok_or_else(|| Problem::not_found("this is not the demo; start `tocsin demo` for one"))
    }

    async fn show(&self) -> Result<Json<Demo>, Problem> {
        let services = self.platform()?.services().await.map_err(|error| Problem::unavailable(format!("{error:#}")))?;
        Ok(Json(Demo { services }))
    }
}

/// Shows the demo platform's services and their faults.
#[utoipa::path(get, path = "/api/tocsin/v1/demo", tag = "demo", responses((status = 200, body = Demo), (status = 404, body = Problem)))]
pub async fn demo(State(state): State<DemoState>) -> Result<Json<Demo>, Problem> {
    state.show().await
}

/// Switches a fault of the demo platform on or off.
#[utoipa::path(post, path = "/api/tocsin/v1/demo/faults/{name}", tag = "demo", request_body = FaultSwitch,
    responses((status = 200, body = Demo), (status = 404, body = Problem)))]
pub async fn set_fault(
    State(state): State<DemoState>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(switch): Json<FaultSwitch>,
) -> Result<Json<Demo>, Problem> {
    let platform = state.platform()?;
    if !Platform::fault_names().contains(&name.as_str()) {
        return Err(Problem::not_found(format!("there is no fault {name:?}; there are {}", Platform::fault_names().join(", "))));
    }
    state.guard.audit(&caller, if switch.active { "start fault" } else { "end fault" }, &name, "asked", "").await?;
    platform.set_fault(&name, switch.active).await.map_err(|error| Problem::unavailable(format!("{error:#}")))?;
    state.hub.tell(Topic::Demo, None);
    state.show().await
}

pub fn demo_routes(state: DemoState) -> Router {
    Router::new()
        .route("/api/tocsin/v1/demo", routing::get(demo))
        .route("/api/tocsin/v1/demo/faults/{name}", routing::post(set_fault))
        .with_state(state)
}
