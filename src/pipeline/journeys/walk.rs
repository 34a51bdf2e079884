//! One attempt at a journey: its requests, one after the other.

use reqwest::Method;
use tocsin_core::journey::{Answer, BODY_BYTES_MAX, Failure, Journey, Request, Saved, Secrets, Step, StepEnded, judge, request};
use tocsin_core::time::Timestamp;

use crate::client::answer::{body, with_causes};
use crate::client::{ClientError, Kept, authorise, reveal};
use crate::clock::Stopwatch;

/// Takes the steps until one fails. `steps` has every step that was reached, also when this future is dropped.
///
/// Errors: why the journey fails, with the name of the step.
pub async fn walk(journey: &Journey, http: &Kept, began: Timestamp, steps: &mut Vec<StepEnded>) -> Result<(), Failure> {
    let ours = |error: ClientError| Failure { reason: with_causes(&error), ours: true };
    let mut secrets = Secrets::default();
    for secret in journey.secrets() {
        secrets.0.push((secret.clone(), reveal(secret).await.map_err(ours)?));
    }
    let http = http.get().await.map_err(ours)?;
    let mut saved = Saved::new();
    for step in &journey.steps {
        let watch = Stopwatch::start();
        steps.push(StepEnded { ok: false, seconds: 0.0, status: None });
        let mut status = None;
        let result = take(journey, step, &http, &saved, &secrets, began, &mut status).await;
        if let Some(ended) = steps.last_mut() {
            *ended = StepEnded { ok: result.is_ok(), seconds: watch.seconds(), status };
        }
        saved.extend(result.map_err(|failure| Failure { reason: format!("{}: {}", step.name, failure.reason), ..failure })?);
    }
    Ok(())
}

async fn take(
    journey: &Journey,
    step: &Step,
    http: &reqwest::Client,
    saved: &Saved,
    secrets: &Secrets,
    began: Timestamp,
    status: &mut Option<u16>,
) -> Result<Saved, Failure> {
    let ours = |reason: String| Failure { reason, ours: true };
    let theirs = |reason: String| Failure { reason, ours: false };
    let Request { method, url, headers, body: sent } = request(journey, step, saved, secrets, began).map_err(ours)?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| ours(error.to_string()))?;
    let mut request = http.request(method, url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if let Some(sent) = sent {
        request = request.body(sent);
    }
    let request = authorise(request, &journey.client).await.map_err(|error| ours(with_causes(&error)))?;
    // An address may hold what an answer brought, so it is not told.
    let answer = request.send().await.map_err(|error| theirs(with_causes(&error.without_url())))?;
    *status = Some(answer.status().as_u16());
    let code = answer.status().as_u16();
    let body = body(answer, BODY_BYTES_MAX).await.map_err(|error| theirs(with_causes(&error)))?;
    judge(step, &Answer { status: code, body: &body }).map_err(theirs)
}
