//! Alertmanager's HTTP API v2: what amtool, karma, Grafana and Prometheus speak.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router, routing};
use serde::Deserialize;
use serde_json::json;
use tocsin_core::ledger::NEVER;
use tocsin_core::model::matcher::{all_match, anchored};
use tocsin_core::model::{LabelSet, MatchOp, Matcher};
use tocsin_core::plane::{AlertState, AlertView, Event, Refused, Reply};
use tocsin_core::route::alert::IncomingAlert;
use tocsin_core::route::matchers::{Mode, parse_matcher};
use tocsin_core::route::silence::{BadSilence, Silence, SilenceRequest, SilenceState};
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::watch;

use super::access::Caller;
use super::alerts::preview::MatcherForm;
use super::prometheus::Parameters;
use crate::clock;
use crate::id;
use crate::pipeline::watch::{Note, Watch, WatchError};

/// One post may hold this much.
const POST_BYTES_MAX: usize = 16 << 20;
/// What we say we are: clients choose their dialect by it.
const VERSION: &str = "0.33.0";
/// While an alert of our own rules fires nobody knows its end; clients are shown one this far ahead, as Prometheus would tell.
const SHOWN_LIFE: Span = Span::from_mins(4);

#[derive(Clone)]
pub struct AlertmanagerState {
    pub watch: Watch,
    pub started_at: Timestamp,
    /// The routing part of the configuration as Alertmanager's YAML, secrets masked, and the names of the receivers.
    pub routing: watch::Receiver<RoutingView>,
}

#[derive(Clone, Debug, Default)]
pub struct RoutingView {
    pub yaml: Arc<str>,
    pub receivers: Arc<Vec<String>>,
}

/// An error as Alertmanager writes it: a JSON string.
#[derive(Debug)]
pub struct V2Error(StatusCode, String);

impl IntoResponse for V2Error {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl From<WatchError> for V2Error {
    fn from(error: WatchError) -> V2Error {
        V2Error(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<super::problem::Problem> for V2Error {
    fn from(problem: super::problem::Problem) -> V2Error {
        V2Error(StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), problem.detail)
    }
}

fn bad(message: impl Into<String>) -> V2Error {
    V2Error(StatusCode::BAD_REQUEST, message.into())
}

async fn status(State(state): State<AlertmanagerState>) -> Response {
    let routing = state.routing.borrow().clone();
    Json(json!({
        "cluster": { "name": "tocsin", "status": "ready", "peers": [{ "name": "tocsin", "address": "127.0.0.1:0" }] },
        "versionInfo": {
            "version": VERSION, "revision": env!("CARGO_PKG_VERSION"), "branch": "tocsin", "buildUser": "", "buildDate": "", "goVersion": ""
        },
        "config": { "original": &*routing.yaml },
        "uptime": state.started_at.rfc3339(),
    }))
    .into_response()
}

async fn receivers(State(state): State<AlertmanagerState>) -> Response {
    let receivers = state.routing.borrow().receivers.clone();
    Json(receivers.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>()).into_response()
}

/// Which alerts a list asks for.
struct AlertFilter {
    matchers: Vec<Matcher>,
    receiver: Option<regex::Regex>,
    active: bool,
    silenced: bool,
    inhibited: bool,
    muted: bool,
    unprocessed: bool,
}

fn truth(parameters: &Parameters, name: &str) -> Result<bool, V2Error> {
    match parameters.get(name) {
        None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(bad(format!("{name} is true or false, not {other:?}"))),
    }
}

fn matchers(parameters: &Parameters) -> Result<Vec<Matcher>, V2Error> {
    parameters
        .all("filter")
        .iter()
        .map(|text| parse_matcher(text, Mode::Fallback).map_err(|error| bad(format!("bad matcher format: {error}"))))
        .collect()
}

impl AlertFilter {
    fn read(parameters: &Parameters) -> Result<AlertFilter, V2Error> {
        let receiver = match parameters.get("receiver") {
            None => None,
            Some(text) => Some(anchored(text).map_err(|error| bad(format!("failed to parse receiver param: {error}")))?),
        };
        Ok(AlertFilter {
            matchers: matchers(parameters)?,
            receiver,
            active: truth(parameters, "active")?,
            silenced: truth(parameters, "silenced")?,
            inhibited: truth(parameters, "inhibited")?,
            muted: truth(parameters, "muted")?,
            unprocessed: truth(parameters, "unprocessed")?,
        })
    }

    fn lets(&self, view: &AlertView) -> bool {
        all_match(&self.matchers, &view.alert.labels)
            && self.receiver.as_ref().is_none_or(|receiver| view.receivers.iter().any(|name| receiver.is_match(name)))
            && (self.active || view.state != AlertState::Active)
            && (self.unprocessed || view.state != AlertState::Unprocessed)
            && (self.silenced || view.silenced_by.is_empty())
            && (self.inhibited || view.inhibited_by.is_empty())
            && (self.muted || view.muted_by.is_empty())
    }
}

fn gettable(view: &AlertView, now: Timestamp) -> serde_json::Value {
    let alert = &view.alert;
    let ends_at = if alert.ends_at >= NEVER { now + SHOWN_LIFE } else { alert.ends_at };
    json!({
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": alert.starts_at.rfc3339(),
        "endsAt": ends_at.rfc3339(),
        "updatedAt": alert.updated_at.rfc3339(),
        "generatorURL": alert.generator_url,
        "fingerprint": alert.fingerprint.to_string(),
        "receivers": view.receivers.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "status": {
            "state": view.state,
            "silencedBy": view.silenced_by,
            "inhibitedBy": view.inhibited_by.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "mutedBy": view.muted_by,
        },
    })
}

async fn get_alerts(State(state): State<AlertmanagerState>, parameters: Parameters) -> Result<Response, V2Error> {
    let (filter, now) = (AlertFilter::read(&parameters)?, clock::now());
    let alerts = state.watch.ask(move |state| {
        state.plane.alerts(now).iter().filter(|view| filter.lets(view)).map(|view| gettable(view, now)).collect::<Vec<_>>()
    });
    Ok(Json(alerts.await?).into_response())
}

async fn get_groups(State(state): State<AlertmanagerState>, parameters: Parameters) -> Result<Response, V2Error> {
    let (filter, now) = (AlertFilter::read(&parameters)?, clock::now());
    let groups = state.watch.ask(move |state| {
        let mut groups = Vec::new();
        for group in state.plane.groups(now) {
            let alerts: Vec<_> = group.alerts.iter().filter(|view| filter.lets(view)).map(|view| gettable(view, now)).collect();
            if !alerts.is_empty() {
                groups.push(json!({ "labels": group.labels, "receiver": { "name": group.receiver }, "alerts": alerts }));
            }
        }
        groups
    });
    Ok(Json(groups.await?).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    #[serde(rename = "generatorURL", default)]
    generator_url: String,
}

/// Reads an instant; the zero time of Go means none.
fn instant(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, V2Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let at = Timestamp::parse_rfc3339(text).ok_or_else(|| bad(format!("{name} {text:?} is no RFC 3339 time")))?;
    Ok((at != tocsin_core::route::notification::NO_TIME).then_some(at))
}

async fn post_alerts(
    State(state): State<AlertmanagerState>,
    Json(posted): Json<Vec<PostableAlert>>,
) -> Result<StatusCode, V2Error> {
    let mut alerts = Vec::with_capacity(posted.len());
    for alert in posted {
        alerts.push(IncomingAlert {
            labels: LabelSet::from_pairs(alert.labels),
            annotations: alert.annotations.into_iter().filter(|(_, text)| !text.is_empty()).collect(),
            starts_at: instant("startsAt", alert.starts_at.as_deref())?,
            ends_at: instant("endsAt", alert.ends_at.as_deref())?,
            generator_url: alert.generator_url,
            source: "api".to_owned(),
        });
    }
    match state.watch.request(Event::Alerts(alerts), None).await? {
        Ok(Reply::Alerts { refused, .. }) if !refused.is_empty() => {
            Err(bad(refused.iter().map(|(_, reason)| reason.to_string()).collect::<Vec<_>>().join("; ")))
        }
        Ok(_) => Ok(StatusCode::OK),
        Err(refused) => Err(bad(refused.to_string())),
    }
}

fn matcher_json(matcher: &Matcher) -> serde_json::Value {
    json!({
        "name": matcher.name,
        "value": matcher.value,
        "isRegex": matches!(matcher.op, MatchOp::Regex | MatchOp::NotRegex),
        "isEqual": matches!(matcher.op, MatchOp::Equal | MatchOp::Regex),
    })
}

fn gettable_silence(silence: &Silence, now: Timestamp) -> serde_json::Value {
    json!({
        "id": silence.id,
        "status": { "state": silence.state(now) },
        "updatedAt": silence.updated_at.rfc3339(),
        "matchers": silence.matchers.iter().map(matcher_json).collect::<Vec<_>>(),
        "startsAt": silence.starts_at.rfc3339(),
        "endsAt": silence.ends_at.rfc3339(),
        "createdBy": silence.created_by,
        "comment": silence.comment,
        "annotations": silence.annotations,
    })
}

/// Returns whether a silence is about what a filter asks: for each matcher of the filter the silence has one of the same label whose value satisfies it.
fn silence_matches(silence: &Silence, filter: &[Matcher]) -> bool {
    filter.iter().all(|asked| silence.matchers.iter().any(|own| own.name == asked.name && asked.is_match(&own.value)))
}

async fn get_silences(State(state): State<AlertmanagerState>, parameters: Parameters) -> Result<Response, V2Error> {
    let (filter, now) = (matchers(&parameters)?, clock::now());
    let shown = [
        (SilenceState::Active, truth(&parameters, "active")?),
        (SilenceState::Pending, truth(&parameters, "pending")?),
        (SilenceState::Expired, truth(&parameters, "expired")?),
    ];
    let mut silences: Vec<Silence> = state.watch.ask(|state| state.plane.silences().into_iter().cloned().collect()).await?;
    silences.retain(|silence| shown.contains(&(silence.state(now), true)) && silence_matches(silence, &filter));
    // Active ones by the nearest end, then pending ones by the nearest start, then expired ones by the latest end.
    silences.sort_by_key(|silence| {
        let state = silence.state(now);
        let by = match state {
            SilenceState::Active => silence.ends_at.0,
            SilenceState::Pending => silence.starts_at.0,
            SilenceState::Expired => -silence.ends_at.0,
        };
        (state, by, silence.id.clone())
    });
    Ok(Json(silences.iter().map(|silence| gettable_silence(silence, now)).collect::<Vec<_>>()).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostableSilence {
    id: Option<String>,
    matchers: Vec<MatcherForm>,
    starts_at: String,
    ends_at: String,
    created_by: String,
    comment: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

async fn post_silence(
    State(state): State<AlertmanagerState>,
    Extension(caller): Extension<Caller>,
    Json(posted): Json<PostableSilence>,
) -> Result<Response, V2Error> {
    let matchers = posted.matchers.into_iter().map(MatcherForm::matcher).collect::<Result<Vec<_>, _>>()?;
    let said: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    let request = SilenceRequest {
        id: posted.id.filter(|id| !id.is_empty()),
        new_id: id::uuid(),
        matchers,
        starts_at: instant("startsAt", Some(&posted.starts_at))?,
        ends_at: instant("endsAt", Some(&posted.ends_at))?.ok_or_else(|| bad("endsAt is missing"))?,
        created_by: posted.created_by,
        comment: posted.comment,
        annotations: posted.annotations.unwrap_or_default(),
    };
    let note: Note = Box::new(move |result| match result {
        Ok(Reply::Silence { id }) => Some(caller.note("set silence", id, "done", said.join(", "))),
        Ok(_) | Err(_) => None,
    });
    match state.watch.request(Event::SilenceSet(request), Some(note)).await? {
        Ok(Reply::Silence { id }) => Ok(Json(json!({ "silenceID": id })).into_response()),
        Ok(_) => Err(bad("the silence was not taken")),
        Err(Refused::Silence(BadSilence::NotFound)) => Err(V2Error(StatusCode::NOT_FOUND, BadSilence::NotFound.to_string())),
        Err(refused) => Err(bad(refused.to_string())),
    }
}

async fn get_silence(State(state): State<AlertmanagerState>, Path(id): Path<String>) -> Result<Response, V2Error> {
    let now = clock::now();
    match state.watch.ask(move |state| state.plane.silence(&id).map(|silence| gettable_silence(silence, now))).await? {
        Some(silence) => Ok(Json(silence).into_response()),
        None => Err(V2Error(StatusCode::NOT_FOUND, BadSilence::NotFound.to_string())),
    }
}

async fn delete_silence(
    State(state): State<AlertmanagerState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, V2Error> {
    let subject = id.clone();
    let note: Note = Box::new(move |result| result.as_ref().ok().map(|_| caller.note("end silence", &subject, "done", "")));
    match state.watch.request(Event::SilenceExpire { id }, Some(note)).await? {
        Ok(_) => Ok(StatusCode::OK),
        Err(Refused::Silence(BadSilence::NotFound)) => Err(V2Error(StatusCode::NOT_FOUND, BadSilence::NotFound.to_string())),
        Err(refused) => Err(V2Error(StatusCode::INTERNAL_SERVER_ERROR, refused.to_string())),
    }
}

pub fn routes(state: AlertmanagerState) -> Router {
    Router::new()
        .route("/api/v2/status", routing::get(status))
        .route("/api/v2/receivers", routing::get(receivers))
        .route("/api/v2/alerts", routing::get(get_alerts).post(post_alerts))
        .route("/api/v2/alerts/groups", routing::get(get_groups))
        .route("/api/v2/silences", routing::get(get_silences).post(post_silence))
        .route("/api/v2/silence/{id}", routing::get(get_silence).delete(delete_silence))
        .layer(DefaultBodyLimit::max(POST_BYTES_MAX))
        .with_state(state)
}
