//! Alertmanager's HTTP API v2: what amtool, karma, Grafana and Prometheus speak.

mod alerts;
pub mod fault;
mod silences;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use serde_json::json;
use tocsin_core::model::matcher::all_match;
use tocsin_core::model::{LabelSet, Matcher};
use tocsin_core::route::matchers::{Mode, parse_matcher};
use tocsin_core::route::notification::NO_TIME;
use tocsin_core::route::receiver::Receiver;
use tocsin_core::time::Timestamp;
use tokio::sync::watch;

use super::prometheus::Parameters;
use crate::pipeline::watch::Watch;
use crate::telemetry::Metrics;
use crate::telemetry::notifications::ALERTMANAGER_VERSION;

use fault::V2Error;

/// One post may hold this much.
const POST_BYTES_MAX: usize = 16 << 20;
/// The label that every receiver has.
const RECEIVER_NAME: &str = "name";

#[derive(Clone)]
pub struct AlertmanagerState {
    pub watch: Watch,
    pub started_at: Timestamp,
    /// The routing part of the configuration as clients see it.
    pub routing: watch::Receiver<RoutingView>,
    pub metrics: Arc<Metrics>,
}

impl AlertmanagerState {
    fn view(&self) -> RoutingView {
        self.routing.borrow().clone()
    }
}

#[derive(Clone, Debug, Default)]
pub struct RoutingView {
    /// Alertmanager's YAML, secrets masked.
    pub yaml: Arc<str>,
    pub receivers: Arc<Receivers>,
    /// How matchers of clients are read.
    pub matchers: Mode,
}

/// The names of the receivers with their labels, in order of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Receivers(Vec<(String, LabelSet)>);

impl Receivers {
    pub fn new(configured: &BTreeMap<String, Receiver>) -> Receivers {
        let mut receivers: Vec<&Receiver> = configured.values().collect();
        receivers.sort_by_key(|receiver| receiver.position);
        let labelled = |receiver: &Receiver| {
            let named = [(RECEIVER_NAME.to_owned(), receiver.name.clone())];
            LabelSet::from_pairs(receiver.labels.clone().into_iter().chain(named))
        };
        Receivers(receivers.into_iter().map(|receiver| (receiver.name.clone(), labelled(receiver))).collect())
    }

    /// Returns those whose labels satisfy `receiver_matchers`.
    fn matching(&self, parameters: &Parameters, mode: Mode) -> Result<impl Iterator<Item = &(String, LabelSet)>, V2Error> {
        let asked = matchers(parameters, "receiver_matchers", mode).map_err(|error| match error {
            V2Error::Said(status, words) => V2Error::Said(status, format!("failed to parse receiver_matchers param: {words}")),
            other => other,
        })?;
        Ok(self.0.iter().filter(move |(_, labels)| all_match(&asked, labels)))
    }
}

async fn status(State(state): State<AlertmanagerState>) -> Response {
    let routing = state.view();
    Json(json!({
        "cluster": { "name": "tocsin", "status": "ready", "peers": [{ "name": "tocsin", "address": "127.0.0.1:0" }] },
        "versionInfo": {
            "version": ALERTMANAGER_VERSION, "revision": env!("CARGO_PKG_VERSION"), "branch": "tocsin", "buildUser": "", "buildDate": "", "goVersion": ""
        },
        "config": { "original": &*routing.yaml },
        "uptime": state.started_at.rfc3339(),
    }))
    .into_response()
}

async fn receivers(State(state): State<AlertmanagerState>, parameters: Parameters) -> Result<Response, V2Error> {
    let view = state.view();
    let shown =
        view.receivers.matching(&parameters, view.matchers)?.map(|(name, labels)| json!({ "name": name, "labels": labels }));
    Ok(Json(shown.collect::<Vec<_>>()).into_response())
}

fn truth(parameters: &Parameters, name: &str) -> Result<bool, V2Error> {
    match parameters.get(name) {
        None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(V2Error::bad(format!("{name} is true or false, not {other:?}"))),
    }
}

fn matchers(parameters: &Parameters, name: &str, mode: Mode) -> Result<Vec<Matcher>, V2Error> {
    parameters.all(name).iter().map(|text| parse_matcher(text, mode).map_err(|error| V2Error::bad(error.to_string()))).collect()
}

/// Reads an instant; the zero time of Go means none. Beside RFC 3339 the shorter forms are taken that Alertmanager takes: without
/// seconds, without a zone (then it is UTC), a day alone.
///
/// Errors: what is wrong, to follow the name of the field.
fn instant(text: Option<&str>) -> Result<Option<Timestamp>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let without_zone = text.strip_suffix('Z').unwrap_or(text);
    let forms = [
        text.to_owned(),
        format!("{text}Z"),
        format!("{}Z", text.replacen(' ', "T", 1)),
        format!("{without_zone}:00Z"),
        format!("{text}T00:00:00Z"),
    ];
    let found = forms.iter().find_map(|form| Timestamp::parse_rfc3339(form));
    let at = found.ok_or_else(|| format!("{text:?} is no time; write it as 2026-01-31T12:00:00Z"))?;
    Ok((at != NO_TIME).then_some(at))
}

/// What the API before v2 answers in Alertmanager too.
async fn gone() -> Response {
    let error = "the v1 API of Alertmanager is not served; use the same route under /api/v2";
    (StatusCode::GONE, Json(json!({ "status": "deprecated", "error": error }))).into_response()
}

pub fn routes(state: AlertmanagerState) -> Router {
    Router::new()
        .route("/api/v2/status", routing::get(status))
        .route("/api/v2/receivers", routing::get(receivers))
        .route("/api/v2/alerts", routing::get(alerts::get_alerts).post(alerts::post_alerts))
        .route("/api/v2/alerts/groups", routing::get(alerts::get_groups))
        .route("/api/v2/silences", routing::get(silences::get_silences).post(silences::post_silence))
        .route("/api/v2/silence/{id}", routing::get(silences::get_silence).delete(silences::delete_silence))
        // `GET /api/v1/alerts` is Prometheus'.
        .route("/api/v1/alerts", routing::post(gone))
        .route("/api/v1/silences", routing::get(gone).post(gone))
        .route("/api/v1/silence/{id}", routing::get(gone).delete(gone))
        .route("/api/v1/receivers", routing::get(gone))
        .route("/api/v1/status", routing::get(gone))
        .layer(DefaultBodyLimit::max(POST_BYTES_MAX))
        .with_state(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_in_the_forms_of_alertmanager() {
        let day = Timestamp::parse_rfc3339("2026-11-22T00:00:00Z");
        for text in [
            "2026-11-22",
            "2026-11-22T00:00",
            "2026-11-22T00:00Z",
            "2026-11-22T00:00:00",
            "2026-11-22 00:00:00",
            "2026-11-22T00:00:00.0000001",
            "2026-11-22T01:00:00+01:00",
        ] {
            assert_eq!(instant(Some(text)), Ok(day), "{text}");
        }
        for text in ["yesterday", "0", " ", "2026-11", "22.11.2026", "2026-11-22T00:00+01:00"] {
            assert!(instant(Some(text)).is_err_and(|bad| bad.contains(text)), "{text}");
        }
        for none in [None, Some(""), Some("0001-01-01T00:00:00Z")] {
            assert_eq!(instant(none), Ok(None));
        }
    }
}
