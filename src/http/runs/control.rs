//! What people say to a run: votes, tasks that are done, doubts that are settled, and the stop.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Deserialize;
use tocsin_core::run::asks::asks;
use tocsin_core::run::machine::{Event, Settled};
use tocsin_core::run::record::{AttemptKey, Phase, Vote};
use tocsin_core::run::runbook::admits;
use utoipa::ToSchema;

use super::{Run, RunsState};
use crate::act::step::page;
use crate::http::access::Caller;
use crate::http::problem::Problem;

const EVIDENCE_CHARS_MAX: usize = 4000;

/// Takes to a run what a caller says, and returns the run as it stands then.
async fn tell(state: &RunsState, id: &str, event: Event, what: &str, caller: &Caller) -> Result<Json<Run>, Problem> {
    let told = state.desk.tell(id, event).await;
    let (outcome, detail) = match &told {
        Ok(()) => ("done", String::new()),
        Err(error) => ("refused", error.to_string()),
    };
    state.guard.audit(caller, what, &format!("run {id}"), outcome, &detail).await?;
    told?;
    state.desk.note(id, &caller.account, what, "").await?;
    Ok(Json(state.run(id, caller).await?))
}

/// Refuses who may not steer runs of what hurts this much.
async fn check_steers(state: &RunsState, id: &str, what: &str, caller: &Caller) -> Result<(), Problem> {
    let row = state.desk.parts().db.run_row(id).await?.ok_or_else(|| Problem::not_found("there is no such run"))?;
    let class = state.runbook(&row).await?.class;
    if admits(class, caller.role) {
        return Ok(());
    }
    let why = format!("a {} may not {what} a run of what is {}", caller.role.word(), class.word());
    state.guard.audit(caller, what, &format!("run {id}"), "refused", &why).await?;
    Err(Problem::forbidden(why))
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VoteWord {
    Approve,
    Deny,
}

#[derive(Deserialize, ToSchema)]
pub struct VoteRequest {
    pub verdict: VoteWord,
    /// As the run showed it: what was seen is what is approved.
    pub subject_hash: String,
    /// Empty for the run as a whole.
    #[serde(default)]
    pub step: String,
}

/// Votes on a run that waits for approval, or on one of its steps.
#[utoipa::path(post, path = "/api/tocsin/v1/runs/{id}/approve", tag = "runs", request_body = VoteRequest,
    responses((status = 200, body = Run), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn approve(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Json(vote): Json<VoteRequest>,
) -> Result<Json<Run>, Problem> {
    let (verdict, what) = match vote.verdict {
        VoteWord::Approve => (Vote::Approve, "approve"),
        VoteWord::Deny => (Vote::Deny, "deny"),
    };
    let event = Event::Vote {
        step: vote.step,
        subject_hash: vote.subject_hash,
        who: caller.account.clone(),
        role: caller.role,
        verdict,
        via: "web".to_owned(),
        mfa: false,
    };
    tell(&state, &id, event, what, &caller).await
}

/// Ends a run; what it did is undone.
#[utoipa::path(post, path = "/api/tocsin/v1/runs/{id}/cancel", tag = "runs",
    responses((status = 200, body = Run), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn cancel(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Run>, Problem> {
    check_steers(&state, &id, "cancel", &caller).await?;
    tell(&state, &id, Event::Cancel { by: caller.account.clone() }, "cancel", &caller).await
}

/// Has a run begin no further step.
#[utoipa::path(post, path = "/api/tocsin/v1/runs/{id}/pause", tag = "runs",
    responses((status = 200, body = Run), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn pause(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Run>, Problem> {
    check_steers(&state, &id, "pause", &caller).await?;
    tell(&state, &id, Event::Pause { by: caller.account.clone() }, "pause", &caller).await
}

/// Has a paused run go on.
#[utoipa::path(post, path = "/api/tocsin/v1/runs/{id}/resume", tag = "runs",
    responses((status = 200, body = Run), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn resume(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Run>, Problem> {
    check_steers(&state, &id, "resume", &caller).await?;
    tell(&state, &id, Event::Resume { by: caller.account.clone() }, "resume", &caller).await
}

#[derive(Deserialize, ToSchema)]
pub struct TaskRequest {
    pub step: String,
    pub attempt: u32,
    /// False: it cannot or will not be done.
    pub done: bool,
    #[serde(default)]
    pub evidence: String,
}

/// Says that a task for a person is done, or will not be.
#[utoipa::path(post, path = "/api/tocsin/v1/runs/{id}/human", tag = "runs", request_body = TaskRequest,
    responses((status = 200, body = Run), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn human(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Json(task): Json<TaskRequest>,
) -> Result<Json<Run>, Problem> {
    if task.evidence.chars().count() > EVIDENCE_CHARS_MAX {
        return Err(Problem::bad_request(format!("evidence has at most {EVIDENCE_CHARS_MAX} characters; link to the rest")));
    }
    let records = state.records(&id).await?;
    let runbook = state.runbook(&records.run).await?;
    let named = asks(&runbook, &records).tasks.iter().any(|asked| asked.step == task.step && !asked.roles.is_empty());
    // Whom a task names is settled by the run itself.
    if !named {
        check_steers(&state, &id, "settle a task of", &caller).await?;
    }
    let key = AttemptKey { step: task.step, target: String::new(), phase: Phase::Do, attempt: task.attempt };
    let (by, role) = (caller.account.clone(), caller.role);
    let event = Event::HumanDone { key, by, role, done: task.done, evidence: task.evidence };
    tell(&state, &id, event, if task.done { "task done" } else { "task declined" }, &caller).await
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SettleWord {
    Done,
    Retry,
    Undo,
}

#[derive(Deserialize, ToSchema)]
pub struct SettleRequest {
    pub step: String,
    pub verdict: SettleWord,
}

/// Says what became of a step in doubt: it is done, it is to be tried again, or all is to be undone.
#[utoipa::path(post, path = "/api/tocsin/v1/runs/{id}/settle", tag = "runs", request_body = SettleRequest,
    responses((status = 200, body = Run), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn settle(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Json(asked): Json<SettleRequest>,
) -> Result<Json<Run>, Problem> {
    check_steers(&state, &id, "settle", &caller).await?;
    let verdict = match asked.verdict {
        SettleWord::Done => Settled::Done,
        SettleWord::Retry => Settled::Retry,
        SettleWord::Undo => Settled::Undo,
    };
    let event = Event::Settle { step: asked.step, verdict, by: caller.account.clone() };
    let run = tell(&state, &id, event, "settle", &caller).await?;
    // Somebody has seen to it.
    if let Err(why) = page::resolve(&state.desk.parts().means, &id).await {
        tracing::warn!(run = id, why, "cannot end the page by which a run asked for a person");
    }
    Ok(run)
}
