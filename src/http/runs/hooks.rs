//! Webhooks that begin runs. The signature is the login: `X-Tocsin-Signature: sha256=…` over `timestamp.delivery.body`, beside
//! `X-Tocsin-Timestamp` and `X-Tocsin-Delivery`.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use tocsin_core::run::runbook::{Mode, Trigger};
use tocsin_core::run::trigger;
use tocsin_core::run::webhook::{self, Post};
use utoipa::ToSchema;

use super::RunsState;
use crate::client;
use crate::client::answer::with_causes;
use crate::clock;
use crate::http::problem::Problem;

#[derive(Serialize, ToSchema)]
pub struct Begun {
    /// The run that was begun; the same delivery brings the same run.
    pub run: String,
    pub state: &'static str,
}

/// Begins the run that a webhook asks for.
#[utoipa::path(post, path = "/api/tocsin/v1/hooks/{source}", tag = "runs",
    responses((status = 202, body = Begun), (status = 403, body = Problem), (status = 429, body = Problem)))]
pub async fn receive(
    State(state): State<RunsState>,
    Path(source): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, webhook::BODY_BYTES_MAX).await;
    let body = body.map_err(|_| {
        Problem::bad_request(format!("the body is longer than {} bytes, or it did not come in time", webhook::BODY_BYTES_MAX))
    })?;
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let post = Post {
        timestamp: header("x-tocsin-timestamp"),
        delivery: header("x-tocsin-delivery"),
        signature: header("x-tocsin-signature"),
        body: &body,
    };
    let stranger = || Problem::forbidden("the delivery is not genuine, or too old");
    let documents = state.desk.documents();
    for document in documents.values() {
        let hook = document.runbook.triggers.iter().find_map(|trigger| match trigger {
            Trigger::Webhook { source: own, hmac_secret, mode, .. } if *own == source && *mode != Mode::Disabled => {
                Some(hmac_secret)
            }
            _ => None,
        });
        let Some(name) = hook else { continue };
        let secret = state.desk.parts().means.settings.borrow().secrets.get(name).cloned();
        let Some(secret) = secret else { continue };
        let secret = client::reveal(&secret).await.map_err(|error| {
            tracing::error!(source, error = with_causes(&error), "cannot read the secret of a webhook");
            Problem::unavailable("the secret of this webhook cannot be read")
        })?;
        // A delivery that comes again finds its run, since the run's reference is the delivery.
        let Ok(delivery) = webhook::check(&post, secret.as_bytes(), clock::now(), |_| false) else { continue };
        // Only what is genuine counts, so that no stranger can use up the sender's share.
        if !state.desk.admit_hook(&source) {
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many", "too many deliveries; try again in a minute"));
        }
        let json = serde_json::from_slice(&body).map_err(|_| Problem::bad_request("the body is no JSON"))?;
        let ask = trigger::of_webhook(&document.runbook, &source, delivery, &json).ok_or_else(stranger)?;
        let row = state.desk.start(ask).await?;
        return Ok((StatusCode::ACCEPTED, Json(Begun { run: row.id, state: row.state.word() })));
    }
    Err(stranger())
}
