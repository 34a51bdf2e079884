//! The journeys: what users do, tried from outside, and how each fares.

use std::sync::Arc;

use axum::extract::State;
use axum::{Json, Router, routing};
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock;
use crate::pipeline::journeys::{JourneyView, Journeys};

/// Attempts that are shown of each journey.
const RECENT_SHOWN: usize = 120;

#[derive(Serialize, ToSchema)]
pub struct JourneyList {
    pub server_time: String,
    /// In the order of the configuration.
    pub journeys: Vec<JourneyItem>,
}

#[derive(Serialize, ToSchema)]
pub struct JourneyItem {
    pub name: String,
    pub platform: Option<String>,
    pub interval_seconds: f64,
    /// Null before the first attempt.
    pub last: Option<LastAttempt>,
    /// The last attempts, oldest first, at most 120.
    pub recent: Vec<RecentAttempt>,
    /// As the last attempt left them.
    pub steps: Vec<StepItem>,
}

#[derive(Serialize, ToSchema)]
pub struct LastAttempt {
    pub began: String,
    pub ok: bool,
    pub duration_seconds: f64,
    pub reason: Option<String>,
    /// It began so long after its beat that its times are less exact.
    pub late: bool,
}

#[derive(Serialize, ToSchema)]
pub struct RecentAttempt {
    pub began: String,
    pub ok: bool,
}

#[derive(Serialize, ToSchema)]
pub struct StepItem {
    pub name: String,
    /// False also for a step that was not reached.
    pub ok: bool,
    /// Null when it was not reached.
    pub duration_seconds: Option<f64>,
    /// Null when no answer came.
    pub status: Option<u16>,
}

fn item(view: JourneyView) -> JourneyItem {
    let steps = view.journey.steps.iter().enumerate().map(|(index, step)| {
        let reached = view.steps.get(index);
        StepItem {
            name: step.name.clone(),
            ok: reached.is_some_and(|reached| reached.ok),
            duration_seconds: reached.map(|reached| reached.seconds),
            status: reached.and_then(|reached| reached.status),
        }
    });
    JourneyItem {
        name: view.journey.name.clone(),
        platform: view.journey.platform.clone(),
        interval_seconds: view.journey.interval.seconds(),
        last: view.last.map(|last| LastAttempt {
            began: last.began.rfc3339(),
            ok: last.ok,
            duration_seconds: last.took().seconds(),
            reason: last.reason.as_deref().map(str::to_owned),
            late: last.late,
        }),
        recent: view.recent.iter().map(|one| RecentAttempt { began: one.began.rfc3339(), ok: one.ok }).collect(),
        steps: steps.collect(),
    }
}

/// Lists the journeys with their last attempts.
#[utoipa::path(get, path = "/api/tocsin/v1/journeys", tag = "journeys", responses((status = 200, body = JourneyList)))]
pub async fn journeys(State(journeys): State<Arc<Journeys>>) -> Json<JourneyList> {
    let journeys = journeys.view(RECENT_SHOWN).into_iter().map(item).collect();
    Json(JourneyList { server_time: clock::now().rfc3339(), journeys })
}

pub fn routes(journeys: Arc<Journeys>) -> Router {
    Router::new().route("/api/tocsin/v1/journeys", routing::get(self::journeys)).with_state(journeys)
}
