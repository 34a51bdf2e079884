//! Prometheus' HTTP API `/api/v1`: what Grafana, promtool and our own page ask.

pub mod encode;
pub mod exemplars;
pub mod query;
pub mod series;
pub mod status;

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tocsin_core::promql::ast::Place;
use tocsin_core::promql::evaluate::EvalError;
use tocsin_core::promql::parse::ParseError;
use tocsin_core::time::{Span, Timestamp};

/// A form in a body is at most this long.
const FORM_BYTES_MAX: usize = 1 << 20;

/// An error in Prometheus' envelope.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
    /// Where in the query, for an editor's squiggle.
    place: Option<Place>,
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

    /// Turns the faults of a parameter that holds PromQL into one error; its place is the first fault's.
    pub fn parse(parameter: &str, text: &str, errors: &[ParseError]) -> ApiError {
        let said: Vec<String> = errors.iter().map(|error| error.summary(text)).collect();
        ApiError {
            place: errors.first().map(|error| error.place),
            ..ApiError::bad_data(format!("invalid parameter \"{parameter}\": {}", said.join("\n")))
        }
    }

    pub fn evaluation(error: &EvalError) -> ApiError {
        let (status, kind) = match error {
            EvalError::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, "canceled"),
            EvalError::TooManySteps { .. } => (StatusCode::BAD_REQUEST, "bad_data"),
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
            message: format!("query timed out in expression evaluation after {limit:?}"),
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

    pub fn need(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| ApiError::bad_data(format!("invalid parameter \"{name}\": it is missing")))
    }

    /// Reads an instant: seconds since the epoch, or RFC 3339.
    pub fn instant(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse::<f64>()
            .ok()
            .and_then(Timestamp::from_seconds)
            .or_else(|| Timestamp::parse_rfc3339(text))
            .map(Some)
            .ok_or_else(|| {
                ApiError::bad_data(format!("invalid parameter \"{name}\": cannot parse {text:?} to a valid timestamp"))
            })
    }

    /// Reads a length of time: seconds, or text such as `5m`.
    pub fn span(&self, name: &str) -> Result<Option<Span>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let seconds = |seconds: f64| {
            let ms = seconds * 1000.0;
            (ms.is_finite() && ms.abs() < 9e15).then_some(Span(ms as i64))
        };
        match text.parse::<f64>() {
            Ok(number) => seconds(number),
            Err(_) => Span::parse(text).ok(),
        }
        .map(Some)
        .ok_or_else(|| ApiError::bad_data(format!("invalid parameter \"{name}\": cannot parse {text:?} to a valid duration")))
    }

    /// Reads how many entries an answer may have; zero or none means as many as we allow.
    pub fn limit(&self, most: usize) -> Result<usize, ApiError> {
        match self.get("limit").map(str::parse::<usize>) {
            None | Some(Ok(0)) => Ok(most),
            Some(Ok(limit)) => Ok(limit.min(most)),
            Some(Err(_)) => Err(ApiError::bad_data("invalid parameter \"limit\": not a whole number of zero or more")),
        }
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
        if request.method() == Method::POST && is_form {
            let body = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX)
                .await
                .map_err(|_| ApiError::bad_data("the form is longer than 1 MiB, or it did not come in time"))?;
            parameters.add(&body);
        }
        parameters.add(query.as_bytes());
        Ok(parameters)
    }
}
