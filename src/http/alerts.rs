//! What the person on call looks at: alerts here; pages, deliveries, and silences before they are made below.

pub mod deliveries;
pub mod pages;
pub mod preview;
pub mod silences;
pub mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Json, Router, routing};
use serde::Serialize;
use tocsin_core::model::matcher::all_match;
use tocsin_core::model::{Fingerprint, Matcher};
use tocsin_core::page::{self, Severity};
use tocsin_core::time::Timestamp;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::problem::Problem;
use super::prometheus::Parameters;
use crate::clock;
use crate::db::Db;
use crate::db::deliveries::DeliveryFilter;
use crate::pipeline::picture::{AlertPicture, PictureState, pictures};
use crate::pipeline::watch::{Watch, WatchError};
use deliveries::{Delivery, deliveries};

#[derive(Clone)]
pub struct AlertsState {
    pub watch: Watch,
    pub db: Db,
    /// Whoever reads back what a silence would have muted; one at a time.
    pub readers: Arc<Semaphore>,
}

impl From<WatchError> for Problem {
    fn from(error: WatchError) -> Problem {
        Problem::unavailable(error.to_string())
    }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PageLink {
    pub id: String,
    pub state: &'static str,
    pub acknowledged_by: Option<String>,
    pub acknowledged_at: Option<String>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UnseenView {
    /// `scrape_failed`, `no_data` or `target_gone`.
    pub why: &'static str,
    pub since: String,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RuleLink {
    pub group: String,
    pub file: String,
    pub expr: String,
    pub for_seconds: f64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Alert {
    pub fingerprint: String,
    pub name: String,
    /// `critical`, `warning`, `info` or `other`.
    pub severity: &'static str,
    /// `pending`, `firing` or `resolved`.
    pub state: &'static str,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub value: Option<String>,
    pub active_at: String,
    pub fired_at: Option<String>,
    pub resolved_at: Option<String>,
    /// Why nobody can tell whether it still holds, and since when; it goes on as it was.
    pub unseen: Option<UnseenView>,
    /// Ids of silences.
    pub silenced_by: Vec<String>,
    /// Fingerprints of alerts.
    pub inhibited_by: Vec<String>,
    /// Names of time intervals.
    pub muted_by: Vec<String>,
    pub receivers: Vec<String>,
    pub page: Option<PageLink>,
    pub rule: Option<RuleLink>,
    pub generator_url: String,
    /// Whether it begins again and again, so that its end is put off.
    pub flapping: bool,
}

#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct AlertCounts {
    pub firing: usize,
    pub pending: usize,
    pub acknowledged: usize,
    pub silenced: usize,
    pub inhibited: usize,
    pub resolved: usize,
}

#[derive(Serialize, ToSchema)]
pub struct Alerts {
    pub server_time: String,
    /// How many alerts the filter and the states let through.
    pub total: usize,
    /// Counts of the filter without the states.
    pub counts: AlertCounts,
    pub alerts: Vec<Alert>,
}

#[derive(Serialize, ToSchema)]
pub struct HistoryEntry {
    pub at: String,
    pub state: String,
}

#[derive(Serialize, ToSchema)]
pub struct AlertDetail {
    #[serde(flatten)]
    pub alert: Alert,
    pub deliveries: Vec<Delivery>,
    /// Newest first.
    pub history: Vec<HistoryEntry>,
}

pub fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
        Severity::Other => "other",
    }
}

pub fn alert_view(picture: AlertPicture) -> Alert {
    let pairs =
        |pairs: &tocsin_core::model::LabelSet| pairs.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Alert {
        fingerprint: picture.fingerprint.to_string(),
        name: picture.labels.get("alertname").to_owned(),
        severity: severity_word(Severity::of(&picture.labels)),
        state: picture.state.word(),
        labels: pairs(&picture.labels),
        annotations: picture.annotations,
        value: picture.value.map(super::prometheus::encode::float),
        active_at: picture.active_at.rfc3339(),
        fired_at: picture.fired_at.map(Timestamp::rfc3339),
        resolved_at: picture.resolved_at.map(Timestamp::rfc3339),
        unseen: picture.unseen.map(|blind| UnseenView { why: blind.why.word(), since: blind.since.rfc3339() }),
        silenced_by: picture.silenced_by,
        inhibited_by: picture.inhibited_by.iter().map(Fingerprint::to_string).collect(),
        muted_by: picture.muted_by,
        receivers: picture.receivers,
        page: picture.page.map(|page| PageLink {
            state: page.state.word(),
            id: page.id,
            acknowledged_by: page.acknowledged_by,
            acknowledged_at: page.acknowledged_at.map(Timestamp::rfc3339),
        }),
        rule: picture.rule.map(|terms| RuleLink {
            group: terms.group.clone(),
            file: terms.file.clone(),
            expr: terms.expr.clone(),
            for_seconds: terms.hold.seconds(),
        }),
        generator_url: picture.generator_url,
        flapping: picture.flapping,
    }
}

/// In which of the list's states an alert counts.
fn states(picture: &AlertPicture) -> Vec<&'static str> {
    let mut states = Vec::new();
    match picture.state {
        PictureState::Pending => states.push("pending"),
        PictureState::Resolved => states.push("resolved"),
        PictureState::Firing => {
            let silenced = !picture.silenced_by.is_empty() || !picture.muted_by.is_empty();
            if silenced {
                states.push("silenced");
            }
            if !picture.inhibited_by.is_empty() {
                states.push("inhibited");
            }
            if picture.page.as_ref().is_some_and(|page| page.state == page::State::Acknowledged) {
                states.push("acknowledged");
            }
            if states.is_empty() {
                states.push("firing");
            }
        }
    }
    states
}

impl AlertCounts {
    fn add(&mut self, states: &[&'static str]) {
        for state in states {
            match *state {
                "firing" => self.firing += 1,
                "pending" => self.pending += 1,
                "acknowledged" => self.acknowledged += 1,
                "silenced" => self.silenced += 1,
                "inhibited" => self.inhibited += 1,
                _ => self.resolved += 1,
            }
        }
    }
}

/// Reads filters: each a matcher such as `severity="critical"` or several in braces.
fn filters(texts: &[String]) -> Result<Vec<Matcher>, Problem> {
    let mut matchers = Vec::new();
    for text in texts {
        let own = tocsin_core::route::matchers::parse_matchers(text, tocsin_core::route::matchers::Mode::Fallback);
        matchers.extend(own.map_err(|error| Problem::bad_request(format!("the filter {text:?} cannot be read: {error}")))?);
    }
    Ok(matchers)
}

/// Lists alerts: firing ones first, worst first, then by age.
#[utoipa::path(get, path = "/api/tocsin/v1/alerts", tag = "alerts",
    params(
        ("filter" = Option<Vec<String>>, Query, description = "matchers, such as severity=\"critical\"; repeatable"),
        ("state" = Option<Vec<String>>, Query, description = "firing, pending, acknowledged, silenced, inhibited, resolved; repeatable"),
        ("q" = Option<String>, Query, description = "text that a label or an annotation holds"),
        ("limit" = Option<usize>, Query), ("offset" = Option<usize>, Query)),
    responses((status = 200, body = Alerts), (status = 400, body = Problem)))]
pub async fn list_alerts(State(state): State<AlertsState>, parameters: Parameters) -> Result<Json<Alerts>, Problem> {
    let matchers = filters(parameters.all("filter"))?;
    let wanted: BTreeSet<String> = parameters.all("state").iter().filter(|state| !state.is_empty()).cloned().collect();
    let text = parameters.get("q").map(str::to_lowercase);
    let number = |name: &str, default: usize| match parameters.get(name).map(str::parse::<usize>) {
        None => Ok(default),
        Some(Ok(number)) => Ok(number),
        Some(Err(_)) => Err(Problem::bad_request(format!("{name} is not a whole number"))),
    };
    let (limit, offset) = (number("limit", 500)?.min(5000), number("offset", 0)?);
    let now = clock::now();
    let answer = state.watch.ask(move |state| {
        let mut counts = AlertCounts::default();
        let mut chosen: Vec<AlertPicture> = Vec::new();
        for picture in pictures(state, now) {
            let says = |text: &String| {
                picture.labels.iter().any(|(_, value)| value.to_lowercase().contains(text))
                    || picture.annotations.values().any(|value| value.to_lowercase().contains(text))
            };
            if !all_match(&matchers, &picture.labels) || !text.as_ref().is_none_or(says) {
                continue;
            }
            let own = states(&picture);
            counts.add(&own);
            if wanted.is_empty() || own.iter().any(|state| wanted.contains(*state)) {
                chosen.push(picture);
            }
        }
        chosen.sort_by_key(|picture| {
            (picture.state, Severity::of(&picture.labels), std::cmp::Reverse(picture.active_at), picture.fingerprint)
        });
        let total = chosen.len();
        let alerts = chosen.into_iter().skip(offset).take(limit).map(alert_view).collect();
        Alerts { server_time: now.rfc3339(), total, counts, alerts }
    });
    Ok(Json(answer.await?))
}

/// Shows one alert with its deliveries and its history.
#[utoipa::path(get, path = "/api/tocsin/v1/alerts/{fingerprint}", tag = "alerts",
    responses((status = 200, body = AlertDetail), (status = 404, body = Problem)))]
pub async fn show_alert(State(state): State<AlertsState>, Path(text): Path<String>) -> Result<Json<AlertDetail>, Problem> {
    let fingerprint = Fingerprint::parse(&text).ok_or_else(|| Problem::bad_request("a fingerprint has 16 hexadecimal digits"))?;
    let now = clock::now();
    let found =
        state.watch.ask(move |state| pictures(state, now).into_iter().find(|picture| picture.fingerprint == fingerprint)).await?;
    let Some(picture) = found else {
        return Err(Problem::not_found("this alert is not known; it ended a while ago"));
    };
    let filter = DeliveryFilter { fingerprint: Some(text.clone()), limit: 50, ..DeliveryFilter::default() };
    let history = state.db.alert_events(&text, 100).await?;
    Ok(Json(AlertDetail {
        alert: alert_view(picture),
        deliveries: deliveries(&state.db, &filter).await?,
        history: history.into_iter().map(|event| HistoryEntry { at: event.at.rfc3339(), state: event.state }).collect(),
    }))
}

pub fn routes(state: AlertsState) -> Router {
    Router::new()
        .route("/api/tocsin/v1/alerts", routing::get(list_alerts))
        .route("/api/tocsin/v1/alerts/{fingerprint}", routing::get(show_alert))
        .route("/api/tocsin/v1/pages", routing::get(pages::list_pages))
        .route("/api/tocsin/v1/pages/{id}", routing::get(pages::show_page))
        .route("/api/tocsin/v1/pages/{id}/acknowledge", routing::post(pages::acknowledge))
        .route("/api/tocsin/v1/pages/{id}/unacknowledge", routing::post(pages::unacknowledge))
        .route("/api/tocsin/v1/deliveries", routing::get(deliveries::list_deliveries))
        .route("/api/tocsin/v1/inbox", routing::get(deliveries::inbox))
        .route("/api/tocsin/v1/silences", routing::get(silences::list_silences).post(silences::set_silence))
        .route("/api/tocsin/v1/silences/{id}", routing::delete(silences::end_silence))
        .route("/api/tocsin/v1/silences/preview", routing::post(preview::preview))
        .route("/api/tocsin/v1/silences/history", routing::post(preview::history))
        .with_state(state)
}

/// Returns the route by which it is asked why somebody was told, or nobody.
pub fn why_routes(state: why::WhyState) -> Router {
    Router::new().route("/api/tocsin/v1/why", routing::get(why::why)).with_state(state)
}
