//! Prometheus' HTTP API `/api/v1`: what Grafana, promtool and our own page ask.

pub mod admin;
pub mod encode;
pub mod exemplars;
pub mod query;
pub mod rules;
pub mod series;
pub mod status;
pub mod tree;
pub mod write;

use std::collections::BTreeMap;
use std::fmt;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tocsin_core::model::SourceError;
use tocsin_core::promql::ast::Place;
use tocsin_core::promql::evaluate::EvalError;
use tocsin_core::promql::parse::ParseError;
use tocsin_core::time::{Span, Timestamp};

/// A form in a body is at most this long.
const FORM_BYTES_MAX: usize = 1 << 20;
/// What a client is told that went away, as Prometheus and nginx do.
const CLIENT_CLOSED: u16 = 499;

/// An error in Prometheus' envelope.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
    /// Where in the query, for an editor's squiggle.
    place: Option<Place>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ApiError {
    pub fn bad_data(message: impl Into<String>) -> ApiError {
        ApiError { status: StatusCode::BAD_REQUEST, kind: "bad_data", message: message.into(), place: None }
    }

    pub fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError { status: StatusCode::SERVICE_UNAVAILABLE, kind: "unavailable", message: message.into(), place: None }
    }

    pub fn execution(message: impl Into<String>) -> ApiError {
        ApiError { status: StatusCode::UNPROCESSABLE_ENTITY, kind: "execution", message: message.into(), place: None }
    }

    pub fn internal(message: impl Into<String>) -> ApiError {
        ApiError { status: StatusCode::INTERNAL_SERVER_ERROR, kind: "internal", message: message.into(), place: None }
    }

    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError { status: StatusCode::NOT_FOUND, kind: "not_found", message: message.into(), place: None }
    }

    pub fn too_large(message: impl Into<String>) -> ApiError {
        ApiError { status: StatusCode::PAYLOAD_TOO_LARGE, kind: "too_large", message: message.into(), place: None }
    }

    /// Returns what is said to the client.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Names the parameter that is at fault.
    pub fn parameter(name: &str, fault: impl std::fmt::Display) -> ApiError {
        ApiError::bad_data(format!("invalid parameter \"{name}\": {fault}"))
    }

    /// Tells the first fault of a parameter that holds PromQL, as Prometheus does, with its place.
    pub fn parse(parameter: &str, text: &str, errors: &[ParseError]) -> ApiError {
        ApiError::parse_bare(text, errors).of_parameter(parameter)
    }

    /// As `parse`, for lists, where Prometheus does not name the parameter.
    pub fn parse_bare(text: &str, errors: &[ParseError]) -> ApiError {
        let first = errors.first();
        let said = first.map(|error| error.summary(text)).unwrap_or_default();
        ApiError { place: first.map(|error| error.place), ..ApiError::bad_data(said) }
    }

    /// The same, with the parameter named that is at fault.
    pub fn of_parameter(self, name: &str) -> ApiError {
        ApiError { message: format!("invalid parameter \"{name}\": {}", self.message), ..self }
    }

    pub fn evaluation(error: &EvalError) -> ApiError {
        let (status, kind) = match error {
            EvalError::Cancelled => (StatusCode::from_u16(CLIENT_CLOSED).expect("a status"), "canceled"),
            EvalError::TooManySteps { .. } => (StatusCode::BAD_REQUEST, "bad_data"),
            EvalError::Source(SourceError::Unreadable(_)) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            EvalError::Source(_)
            | EvalError::NotServed { .. }
            | EvalError::TooManySamples { .. }
            | EvalError::TooManySeries { .. }
            | EvalError::Execution { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
        };
        let message = match error {
            EvalError::Source(cause) => cause.to_string(),
            other => other.to_string(),
        };
        ApiError { status, kind, message, place: error.place() }
    }

    pub fn timeout(limit: std::time::Duration) -> ApiError {
        ApiError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            kind: "timeout",
            message: format!("query timed out in expression evaluation after {limit:?}; ask for less, or for more time"),
            place: None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({ "status": "error", "errorType": self.kind, "error": self.message });
        if let Some(place) = self.place {
            body["position"] = json!({ "start": place.start, "end": place.end });
        }
        (self.status, axum::Json(body)).into_response()
    }
}

/// Returns a number as Go writes it: whole ones without a point.
pub fn number(value: f64) -> serde_json::Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { (value as i64).into() } else { value.into() }
}

/// Returns an instant, or Go's zero time for what has not happened yet.
pub fn time_or_zero(at: Option<Timestamp>) -> String {
    at.map_or("0001-01-01T00:00:00Z".to_owned(), Timestamp::rfc3339)
}

/// Answers with data in Prometheus' envelope.
pub fn success(data: serde_json::Value) -> Response {
    axum::Json(json!({ "status": "success", "data": data })).into_response()
}

/// As `success`, for a body that is JSON already.
pub fn success_text(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

/// The parameters of a request: of its query string, and of its form when it is a POST.
#[derive(Debug, Default)]
pub struct Parameters(BTreeMap<String, Vec<String>>);

impl Parameters {
    fn add(&mut self, encoded: &[u8]) {
        for (name, value) in form_urlencoded::parse(encoded) {
            self.0.entry(name.into_owned()).or_default().push(value.into_owned());
        }
    }

    /// Returns the first value of a parameter, None when it is missing or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns the query; one that is missing is an empty one, of which the parser says what is wrong.
    pub fn query(&self) -> &str {
        self.get("query").unwrap_or("")
    }

    /// Reads an instant: seconds since the epoch, or RFC 3339.
    pub fn instant(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        instant(text).map(Some).map_err(|fault| ApiError::parameter(name, format!("invalid time value for '{name}': {fault}")))
    }

    /// As `instant`, for one that must be there.
    pub fn need_instant(&self, name: &str) -> Result<Timestamp, ApiError> {
        instant(self.get(name).unwrap_or("")).map_err(|fault| ApiError::parameter(name, fault))
    }

    /// Reads a length of time: seconds, or text such as `5m`.
    pub fn span(&self, name: &str) -> Result<Option<Span>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        duration(text).map(Some).map_err(|fault| ApiError::parameter(name, fault))
    }

    /// Reads how many entries an answer may have; zero or none means as many as we allow.
    pub fn limit(&self, most: usize) -> Result<usize, ApiError> {
        match self.get("limit").map(str::parse::<i64>) {
            None | Some(Ok(0)) => Ok(most),
            Some(Ok(limit)) if limit < 0 => Err(ApiError::parameter("limit", "limit must be non-negative")),
            Some(Ok(limit)) => Ok(usize::try_from(limit).unwrap_or(most).min(most)),
            Some(Err(_)) => Err(ApiError::parameter("limit", "it is not a whole number of zero or more")),
        }
    }

    /// Reads a limit as lists of metadata have it: below zero, or none, means as many as we allow, and zero means none.
    pub fn metadata_limit(&self, name: &str, most: usize) -> Result<usize, ApiError> {
        match self.get(name).map(str::parse::<i64>) {
            None => Ok(most),
            Some(Ok(limit)) => Ok(usize::try_from(limit).unwrap_or(most).min(most)),
            Some(Err(_)) => Err(ApiError::bad_data(format!("{name} must be a number"))),
        }
    }
}

/// Reads an instant; says what is wrong with it.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    let seconds = text.parse::<f64>().ok().and_then(Timestamp::from_seconds);
    seconds.or_else(|| Timestamp::parse_rfc3339(text)).ok_or_else(|| format!("cannot parse {text:?} to a valid timestamp"))
}

/// Reads a length of time: seconds, or text such as `5m`; says what is wrong with it.
pub fn duration(text: &str) -> Result<Span, String> {
    let fault = || format!("cannot parse {text:?} to a valid duration");
    let Ok(seconds) = text.parse::<f64>() else { return Span::parse(text).map_err(|_| fault()) };
    // Prometheus counts in nanoseconds, of which a word holds 292 years.
    match seconds * 1e9 {
        ns if ns.is_nan() => Err(fault()),
        ns if ns.abs() >= i64::MAX as f64 => Err(format!("{}. It overflows int64", fault())),
        ns => Ok(Span((ns / 1e6) as i64)),
    }
}

impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Parameters, ApiError> {
        let mut parameters = Parameters::default();
        let is_form = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let query = request.uri().query().unwrap_or("").to_owned();
        if matches!(*request.method(), Method::POST | Method::PUT) && is_form {
            let body = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX)
                .await
                .map_err(|_| ApiError::too_large("the form is longer than 1 MiB, or it did not come in time"))?;
            parameters.add(&body);
        }
        parameters.add(query.as_bytes());
        Ok(parameters)
    }
}
