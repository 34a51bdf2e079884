//! `write`: samples that other servers send by remote write.
//!
//! Source: the specifications of remote write, 1.0 and 2.0.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use futures_util::StreamExt;
use tocsin_core::remote::Protocol;

use crate::pipeline::receive::{BODY_BYTES_MAX, ReceiveError, Receiver, Taken};

/// How long a sender should wait that finds us busy, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

const WRITTEN: [HeaderName; 3] = [
    HeaderName::from_static("x-prometheus-remote-write-samples-written"),
    HeaderName::from_static("x-prometheus-remote-write-histograms-written"),
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written"),
];

/// A body that is not taken is still read up to this length, since a client that is cut off while it sends does not see the answer.
const PASSED_OVER_MAX: usize = 64 << 20;

/// What is answered: the status, and a sentence when something is wrong.
struct Answer {
    status: StatusCode,
    said: String,
    taken: Taken,
}

impl Answer {
    fn of(status: StatusCode, said: impl Into<String>) -> Answer {
        Answer { status, said: said.into(), taken: Taken::default() }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

async fn write(State(receiver): State<Receiver>, request: Request) -> Response {
    let protocol = Protocol::of_content_type(text(request.headers(), header::CONTENT_TYPE));
    let spoken = protocol.as_ref().ok().copied();
    let answer = match protocol {
        _ if !receiver.enabled => {
            let said = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver, or by web.remote_write_receiver";
            Answer::of(StatusCode::NOT_FOUND, said)
        }
        Ok(protocol) => take(&receiver, request, protocol).await,
        Err(said) => Answer::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, said),
    };
    receiver.answered(spoken, answer.status.as_u16());
    respond(&answer, spoken)
}

/// Reads a body and keeps nothing of it.
async fn pass_over(body: Body) {
    let (mut pieces, mut seen) = (body.into_data_stream(), 0);
    while seen < PASSED_OVER_MAX
        && let Some(Ok(piece)) = pieces.next().await
    {
        seen += piece.len();
    }
}

async fn take(receiver: &Receiver, request: Request, protocol: Protocol) -> Answer {
    let encoding = text(request.headers(), header::CONTENT_ENCODING).unwrap_or("snappy");
    if !encoding.trim().eq_ignore_ascii_case("snappy") {
        let said = format!("{encoding:?} encoding (compression) is not accepted by this server; only \"snappy\" is acceptable");
        return Answer::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, said);
    }
    let too_long = || Answer::of(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {BODY_BYTES_MAX} bytes"));
    let length = text(request.headers(), header::CONTENT_LENGTH).and_then(|text| text.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX) {
        pass_over(request.into_body()).await;
        return too_long();
    }
    let Some(_room) = receiver.room(length.unwrap_or(BODY_BYTES_MAX)) else {
        pass_over(request.into_body()).await;
        return Answer::of(StatusCode::SERVICE_UNAVAILABLE, "too many requests write samples at once; send this one again later");
    };
    let body = match axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(_) if length.is_none() => return too_long(),
        Err(_) => return Answer::of(StatusCode::REQUEST_TIMEOUT, "the body did not come whole, or not in time"),
    };
    match receiver.receive(body, protocol).await {
        Ok(taken) => judge(taken, protocol),
        Err(error) => {
            let status = match &error {
                ReceiveError::Packed(_) => StatusCode::BAD_REQUEST,
                ReceiveError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                ReceiveError::Read(tocsin_core::remote::read::ReadError::Damaged { .. }) => StatusCode::BAD_REQUEST,
                ReceiveError::Read(tocsin_core::remote::read::ReadError::TooMuch { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
                ReceiveError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            Answer::of(status, crate::client::answer::with_causes(&error))
        }
    }
}

/// Says what became of a request that could be read. Senders of 1.0 are not told of exemplars.
fn judge(taken: Taken, protocol: Protocol) -> Answer {
    let faults = &taken.faults;
    let is_well = faults.count == 0 || protocol == Protocol::V1 && faults.samples == 0;
    if is_well {
        return Answer { status: StatusCode::NO_CONTENT, said: String::new(), taken };
    }
    let mut said = format!(
        "{} samples and {} exemplars were refused; the others are written ({} samples, {} histograms, {} exemplars)",
        faults.samples, faults.exemplars, taken.samples, taken.histograms, taken.exemplars
    );
    for fault in &faults.told {
        said.push('\n');
        said.push_str(fault);
    }
    let more = faults.count - faults.told.len();
    if more > 0 {
        said.push_str(&format!("\n… and {more} more"));
    }
    Answer { status: StatusCode::BAD_REQUEST, said, taken }
}

fn respond(answer: &Answer, protocol: Option<Protocol>) -> Response {
    let body = if answer.said.is_empty() { Body::empty() } else { Body::from(format!("{}\n", answer.said)) };
    let mut response = (answer.status, body).into_response();
    let headers = response.headers_mut();
    if !answer.said.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    if answer.status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    if protocol == Some(Protocol::V2) {
        let counts = [answer.taken.samples, answer.taken.histograms, answer.taken.exemplars];
        headers.extend(WRITTEN.into_iter().zip(counts.map(HeaderValue::from)));
    }
    response
}

pub fn routes(receiver: Receiver) -> Router {
    Router::new().route("/api/v1/write", routing::post(write)).with_state(receiver)
}
