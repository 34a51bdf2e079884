//! What a silence would hide, and would have hidden, told before it is made.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tocsin_core::model::matcher::all_match;
use tocsin_core::model::{MatchOp, Matcher};
use tocsin_core::page::Severity;
use tocsin_core::route::silence;
use tocsin_core::time::{Span, Timestamp};
use tocsin_core::trace::history::{History, Muted};
use utoipa::ToSchema;

use super::silences::{TimesForm, instant, matchers, terms};
use super::{Alert, AlertsState, alert_view};
use crate::clock;
use crate::http::problem::Problem;
use crate::pipeline::picture::{AlertPicture, PictureState, pictures};
use crate::pipeline::why::read_history;

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MatcherForm {
    pub name: String,
    pub value: String,
    #[serde(rename = "isRegex", default)]
    pub is_regex: bool,
    #[serde(rename = "isEqual", default = "truth")]
    pub is_equal: bool,
}

fn truth() -> bool {
    true
}

impl MatcherForm {
    pub fn of(matcher: &Matcher) -> MatcherForm {
        let silence::MatcherForm { name, value, is_regex, is_equal } = matcher.into();
        MatcherForm { name, value, is_regex, is_equal }
    }

    pub fn matcher(self) -> Result<Matcher, Problem> {
        let MatcherForm { name, value, is_regex, is_equal } = self;
        let form = silence::MatcherForm { name, value, is_regex, is_equal };
        form.into_matcher().map_err(|error| Problem::bad_request(error.to_string()))
    }
}

#[derive(Deserialize, ToSchema)]
pub struct PreviewRequest {
    pub matchers: Vec<MatcherForm>,
    /// None: now.
    pub starts_at: Option<String>,
    /// None: it is not known yet, and how long it lasts is not looked at.
    pub ends_at: Option<String>,
    #[serde(default)]
    pub until_resolved: bool,
    #[serde(default)]
    pub times: Vec<TimesForm>,
}

/// What a silence with these matchers would hide now.
#[derive(Serialize, ToSchema)]
pub struct Preview {
    pub total: usize,
    pub critical: usize,
    /// At most 50.
    pub alerts: Vec<Alert>,
    pub covers_every_critical: bool,
    /// No matcher names one value, so the silence may reach further than meant.
    pub no_equality: bool,
    /// Alerts that fire and satisfy the matchers, but that the configuration lets no silence mute.
    pub spared: usize,
    /// What the configuration has against the silence; it would be refused.
    pub faults: Vec<String>,
}

/// Says what a silence would hide now, before it is made.
#[utoipa::path(post, path = "/api/tocsin/v1/silences/preview", tag = "silences", request_body = PreviewRequest,
    responses((status = 200, body = Preview), (status = 400, body = Problem)))]
pub async fn preview(State(state): State<AlertsState>, Json(request): Json<PreviewRequest>) -> Result<Json<Preview>, Problem> {
    let now = clock::now();
    let matchers = matchers(request.matchers)?;
    let terms = terms(request.until_resolved, request.times)?;
    let instant = |name: &str, text: Option<String>| text.map(|text| instant(name, &text)).transpose();
    let starts_at = instant("starts_at", request.starts_at)?.unwrap_or(now).max(now);
    let lasts = instant("ends_at", request.ends_at)?.map_or(Span::ZERO, |ends_at| ends_at.since(starts_at));
    let answer = state.watch.ask(move |state| {
        let critical = |picture: &AlertPicture| Severity::of(&picture.labels) == Severity::Critical;
        let firing: Vec<AlertPicture> =
            pictures(state, now).into_iter().filter(|picture| picture.state == PictureState::Firing).collect();
        let all_critical = firing.iter().filter(|picture| critical(picture)).count();
        let meant = firing.into_iter().filter(|picture| !matchers.is_empty() && all_match(&matchers, &picture.labels));
        let (spared, hidden): (Vec<_>, Vec<_>) = meant.partition(|picture| state.plane.is_spared(&picture.labels));
        let hidden_critical = hidden.iter().filter(|picture| critical(picture)).count();
        Preview {
            total: hidden.len(),
            critical: hidden_critical,
            covers_every_critical: all_critical > 0 && hidden_critical == all_critical,
            no_equality: !matchers.iter().any(|matcher| matcher.op == MatchOp::Equal && !matcher.value.is_empty()),
            spared: spared.len(),
            faults: state.plane.silence_faults(&matchers, &terms, lasts, now),
            alerts: hidden.into_iter().take(50).map(alert_view).collect(),
        }
    });
    Ok(Json(answer.await?))
}

/// So far back it is read what a silence would have muted.
const HISTORY: Span = Span::from_mins(30 * 24 * 60);
/// Names and services that are told of.
const NAMES_MAX: usize = 10;
/// Who asks waits so long at most for those before.
const TURN_WAIT: Duration = Duration::from_secs(10);

#[derive(Deserialize, ToSchema)]
pub struct HistoryRequest {
    pub matchers: Vec<MatcherForm>,
    #[serde(default)]
    pub times: Vec<TimesForm>,
}

#[derive(Serialize, ToSchema)]
pub struct Count {
    pub name: String,
    /// How often alerts of it began to fire.
    pub begins: usize,
}

/// What a silence with these matchers and times would have hidden, had there been one.
#[derive(Serialize, ToSchema)]
pub struct SilenceHistory {
    /// Since when it was looked.
    pub from: String,
    /// False: there was too much to read it all, so it was looked for a shorter time than is kept.
    pub complete: bool,
    /// Alerts that began to fire, each once.
    pub alerts: usize,
    /// How often they did.
    pub begins: usize,
    /// Notifications that told of nothing else.
    pub notifications: usize,
    /// Pages of which the same is true.
    pub pages: usize,
    pub last_at: Option<String>,
    /// The names of alerts, the most frequent first; at most 10.
    pub names: Vec<Count>,
    /// The same by the label `service`.
    pub services: Vec<Count>,
}

/// Says what a silence would have hidden within the last 30 days.
#[utoipa::path(post, path = "/api/tocsin/v1/silences/history", tag = "silences", request_body = HistoryRequest,
    responses((status = 200, body = SilenceHistory), (status = 400, body = Problem), (status = 503, body = Problem)))]
pub async fn history(
    State(state): State<AlertsState>,
    Json(request): Json<HistoryRequest>,
) -> Result<Json<SilenceHistory>, Problem> {
    let matchers = matchers(request.matchers)?;
    if matchers.is_empty() {
        return Err(Problem::bad_request("matchers: add one; a silence without any hides nothing"));
    }
    let terms = terms(false, request.times)?;
    let turn = tokio::time::timeout(TURN_WAIT, state.readers.acquire()).await;
    let Ok(Ok(_turn)) = turn else { return Err(Problem::unavailable("others read the history; try again")) };
    let silencing = state.watch.ask(|state| state.plane.silencing().clone()).await?;
    let from = clock::now() - HISTORY;
    let (history, read) = read_history(&state.db, History::new(matchers, terms, silencing), from).await?;
    let Muted { alerts, begins, notifications, pages, last_at, names, services } = history.finish(NAMES_MAX);
    let counts = |counts: Vec<(String, usize)>| counts.into_iter().map(|(name, begins)| Count { name, begins }).collect();
    Ok(Json(SilenceHistory {
        from: read.from.rfc3339(),
        complete: read.is_complete,
        alerts,
        begins,
        notifications,
        pages,
        last_at: last_at.map(Timestamp::rfc3339),
        names: counts(names),
        services: counts(services),
    }))
}
