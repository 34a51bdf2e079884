//! What API v2 says of requests that it cannot serve, and how it reads bodies: with Alertmanager's status, code and form.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::http::problem::Problem;
use crate::pipeline::watch::WatchError;

/// Codes that go-openapi gives to faults in the form of a request.
const INVALID_TYPE: u16 = 601;
const REQUIRED: u16 = 602;
const TOO_FEW_ITEMS: u16 = 612;

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum V2Error {
    /// What a handler says: a JSON string.
    Said(StatusCode, String),
    /// What is wrong with the form of a request, found before it reaches a handler: an object with a code and a message.
    Form { status: StatusCode, code: u16, message: String },
    /// What was asked for is not there; nothing is said.
    Nothing,
}

impl V2Error {
    pub fn bad(message: impl Into<String>) -> V2Error {
        V2Error::Said(StatusCode::BAD_REQUEST, message.into())
    }

    /// A field that must be there is not, such as `comment` or `0.labels`.
    pub fn required(field: &str) -> V2Error {
        V2Error::invalid(REQUIRED, format!("{field} in body is required"))
    }

    pub fn too_few_items(field: &str) -> V2Error {
        V2Error::invalid(TOO_FEW_ITEMS, format!("{field} in body should have at least 1 items"))
    }

    /// A part of the path is not what it must be, such as `uuid`.
    pub fn path_type(name: &str, kind: &str, found: &str) -> V2Error {
        V2Error::invalid(INVALID_TYPE, format!("{name} in path must be of type {kind}: {found:?}"))
    }

    /// A body that is no JSON, or not of the shape that is asked for.
    pub fn unreadable(what: &str, reason: impl std::fmt::Display) -> V2Error {
        V2Error::form(StatusCode::BAD_REQUEST, format!("parsing {what} body from \"\" failed, because {reason}"))
    }

    /// A fault whose code is its status.
    pub fn form(status: StatusCode, message: impl Into<String>) -> V2Error {
        V2Error::Form { status, code: status.as_u16(), message: message.into() }
    }

    fn invalid(code: u16, message: String) -> V2Error {
        V2Error::Form { status: StatusCode::UNPROCESSABLE_ENTITY, code, message }
    }

    fn message(&self) -> &str {
        match self {
            V2Error::Said(_, message) | V2Error::Form { message, .. } => message,
            V2Error::Nothing => "",
        }
    }

    /// Returns one fault that tells of all: the first one's status and form, and what each says, of many only the first ones.
    pub fn of_all(faults: Vec<V2Error>) -> Option<V2Error> {
        const SAID_MAX: usize = 10;
        let mut words: Vec<String> = faults.iter().take(SAID_MAX).map(|fault| fault.message().to_owned()).collect();
        if faults.len() > SAID_MAX {
            words.push(format!("and {} more", faults.len() - SAID_MAX));
        }
        let said = words.join("; ");
        Some(match faults.into_iter().next()? {
            V2Error::Said(status, _) => V2Error::Said(status, said),
            V2Error::Form { status, code, .. } => V2Error::Form { status, code, message: said },
            V2Error::Nothing => V2Error::Nothing,
        })
    }
}

impl IntoResponse for V2Error {
    fn into_response(self) -> Response {
        match self {
            V2Error::Said(status, message) => (status, Json(message)).into_response(),
            V2Error::Form { status, code, message } => {
                (status, Json(json!({ "code": code, "message": message }))).into_response()
            }
            V2Error::Nothing => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

impl From<WatchError> for V2Error {
    fn from(error: WatchError) -> V2Error {
        V2Error::Said(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<Problem> for V2Error {
    fn from(problem: Problem) -> V2Error {
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        V2Error::form(status, problem.detail)
    }
}

/// Returns the body of a request that must be JSON; `what`: how messages name it.
pub fn json_body(headers: &HeaderMap, body: Result<Bytes, BytesRejection>, what: &str) -> Result<Bytes, V2Error> {
    let body = body.map_err(|rejection| V2Error::form(rejection.status(), rejection.body_text()))?;
    if body.is_empty() {
        return Err(V2Error::required(what));
    }
    let kind = headers.get(header::CONTENT_TYPE).map_or("application/octet-stream", |kind| kind.to_str().unwrap_or("unreadable"));
    let kind = kind.split(';').next().unwrap_or("").trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let message = format!("unsupported media type {kind:?}, only [application/json] are allowed");
        return Err(V2Error::form(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    Ok(body)
}

/// Reads the first JSON value of a body; as in Alertmanager, what follows it is not looked at.
pub fn first_value<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    T::deserialize(&mut serde_json::Deserializer::from_slice(body))
}
