//! What holds runs back: kill switches and freezes.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tocsin_core::access::Role;
use tocsin_core::time::{Span, Timestamp};
use utoipa::ToSchema;

use super::RunsState;
use crate::clock;
use crate::db::runs::facts::{FreezeWindow, KillSwitch};
use crate::http::access::Caller;
use crate::http::problem::Problem;
use crate::id;
use crate::pipeline::hub::Topic;

const WHY_CHARS_MAX: usize = 500;
/// A longer freeze is a mistake.
const FREEZE_MAX: Span = Span::from_mins(366 * 24 * 60);

#[derive(Serialize, ToSchema)]
pub struct Switch {
    pub on: bool,
    pub by: Option<String>,
    pub at: Option<String>,
    pub why: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct PlatformSwitch {
    pub name: String,
    #[serde(flatten)]
    pub switch: Switch,
}

#[derive(Serialize, ToSchema)]
pub struct Switches {
    /// Null: it was never pulled.
    pub global: Option<Switch>,
    /// Of every platform that has documents, or had its switch pulled.
    pub platforms: Vec<PlatformSwitch>,
}

async fn switches(state: &RunsState) -> Result<Switches, Problem> {
    let stored = state.desk.parts().db.kill_switches().await?;
    let view = |switch: &KillSwitch| Switch {
        on: switch.is_on,
        by: Some(switch.who.clone()),
        at: Some(switch.at.rfc3339()),
        why: Some(switch.why.clone()),
    };
    let documents = state.desk.documents();
    let mut names: Vec<&str> = documents.values().map(|document| document.runbook.metadata.platform.as_str()).collect();
    names.extend(stored.iter().map(|switch| switch.scope.as_str()).filter(|scope| !scope.is_empty()));
    names.sort_unstable();
    names.dedup();
    let of = |scope: &str| stored.iter().find(|switch| switch.scope == scope).map(view);
    let platforms = names.into_iter().map(|name| PlatformSwitch {
        name: name.to_owned(),
        switch: of(name).unwrap_or(Switch { on: false, by: None, at: None, why: None }),
    });
    Ok(Switches { global: of(""), platforms: platforms.collect() })
}

/// Shows the kill switches.
#[utoipa::path(get, path = "/api/tocsin/v1/kill-switch", tag = "runs", responses((status = 200, body = Switches)))]
pub async fn kill_switch(State(state): State<RunsState>) -> Result<Json<Switches>, Problem> {
    Ok(Json(switches(&state).await?))
}

#[derive(Deserialize, ToSchema)]
pub struct SwitchRequest {
    /// Null: all platforms.
    pub platform: Option<String>,
    pub on: bool,
    #[serde(default)]
    pub why: String,
}

/// Pulls a kill switch, which stops and undoes every run within a step and lets none begin, or releases it.
#[utoipa::path(put, path = "/api/tocsin/v1/kill-switch", tag = "runs", request_body = SwitchRequest,
    responses((status = 200, body = Switches), (status = 403, body = Problem)))]
pub async fn set_kill_switch(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    Json(asked): Json<SwitchRequest>,
) -> Result<Json<Switches>, Problem> {
    let platform = asked.platform.filter(|platform| !platform.is_empty());
    let scope = platform.clone().unwrap_or_default();
    let subject = platform.clone().unwrap_or_else(|| "all platforms".to_owned());
    if !asked.on && caller.role != Role::SreLead {
        let why = format!("a {} may pull the switch and not release it", caller.role.word());
        state.guard.audit(&caller, "kill switch off", &subject, "refused", &why).await?;
        return Err(Problem::forbidden(why));
    }
    if asked.why.chars().count() > WHY_CHARS_MAX || scope.len() > WHY_CHARS_MAX {
        return Err(Problem::bad_request(format!("why has at most {WHY_CHARS_MAX} characters")));
    }
    let why = if asked.why.trim().is_empty() { "no reason was given".to_owned() } else { asked.why };
    let switch = KillSwitch { scope, is_on: asked.on, who: caller.account.clone(), at: clock::now(), why: why.clone() };
    let action = if asked.on { "kill switch on" } else { "kill switch off" };
    state.desk.parts().db.set_kill_switch(&switch, Some(&caller.note(action, &subject, "done", why.clone()))).await?;
    if asked.on {
        // A client that hangs up must not stop the stop.
        let (desk, why) = (state.desk.clone(), format!("{} pulled it: {why}", caller.account));
        let stopped = tokio::spawn(async move { desk.kill(platform.as_deref(), &why).await });
        // A fault in it shows in the log; whoever watches the switch tells the runs again.
        let _ = stopped.await;
    }
    state.desk.parts().hub.tell(Topic::Runs, None);
    Ok(Json(switches(&state).await?))
}

#[derive(Serialize, ToSchema)]
pub struct Freeze {
    pub id: String,
    /// A platform, or `*`.
    pub scope: String,
    pub reason: String,
    pub starts: String,
    pub ends: String,
    pub by: String,
}

#[derive(Serialize, ToSchema)]
pub struct Freezes {
    pub freezes: Vec<Freeze>,
}

fn freeze_view(freeze: FreezeWindow) -> Freeze {
    Freeze {
        id: freeze.id,
        scope: freeze.scope,
        reason: freeze.reason,
        starts: freeze.starts_at.rfc3339(),
        ends: freeze.ends_at.rfc3339(),
        by: freeze.who,
    }
}

/// Lists the freezes that have not ended.
#[utoipa::path(get, path = "/api/tocsin/v1/freezes", tag = "runs", responses((status = 200, body = Freezes)))]
pub async fn list_freezes(State(state): State<RunsState>) -> Result<Json<Freezes>, Problem> {
    let freezes = state.desk.parts().db.freezes(clock::now()).await?.into_iter().map(freeze_view).collect();
    Ok(Json(Freezes { freezes }))
}

#[derive(Deserialize, ToSchema)]
pub struct FreezeRequest {
    /// A platform, or `*` for all.
    pub scope: String,
    pub reason: String,
    pub starts: String,
    pub ends: String,
}

/// Adds a span in which runs that change something do not begin.
#[utoipa::path(post, path = "/api/tocsin/v1/freezes", tag = "runs", request_body = FreezeRequest,
    responses((status = 201, body = Freeze), (status = 400, body = Problem)))]
pub async fn add_freeze(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    Json(asked): Json<FreezeRequest>,
) -> Result<(StatusCode, Json<Freeze>), Problem> {
    let instant = |name: &str, text: &str| {
        Timestamp::parse_rfc3339(text)
            .ok_or_else(|| Problem::bad_request(format!("{name} is no time such as 2026-12-24T18:00:00Z")))
    };
    let (starts_at, ends_at) = (instant("starts", &asked.starts)?, instant("ends", &asked.ends)?);
    if ends_at <= starts_at || ends_at - starts_at > FREEZE_MAX || ends_at <= clock::now() {
        return Err(Problem::bad_request("a freeze ends after it starts, in the future, and within a year"));
    }
    let too_long = asked.scope.len() > WHY_CHARS_MAX || asked.reason.chars().count() > WHY_CHARS_MAX;
    if asked.scope.trim().is_empty() || asked.reason.trim().is_empty() || too_long {
        return Err(Problem::bad_request(format!("scope and reason say something, of at most {WHY_CHARS_MAX} characters")));
    }
    let freeze = FreezeWindow {
        id: id::uuid(),
        scope: asked.scope,
        reason: asked.reason,
        starts_at,
        ends_at,
        who: caller.account.clone(),
    };
    let note = caller.note("freeze", &freeze.scope, "done", format!("{} to {}: {}", asked.starts, asked.ends, freeze.reason));
    state.desk.parts().db.add_freeze(&freeze, Some(&note)).await?;
    state.desk.parts().hub.tell(Topic::Runs, None);
    Ok((StatusCode::CREATED, Json(freeze_view(freeze))))
}

/// Ends a freeze.
#[utoipa::path(delete, path = "/api/tocsin/v1/freezes/{id}", tag = "runs",
    responses((status = 204), (status = 404, body = Problem)))]
pub async fn drop_freeze(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let freezes = state.desk.parts().db.freezes(clock::now()).await?;
    let unknown = || Problem::not_found("there is no such freeze");
    let freeze = freezes.iter().find(|freeze| freeze.id == id).ok_or_else(unknown)?;
    if freeze.who != caller.account && caller.role != Role::SreLead {
        let why = format!("a {} may end their own freezes and no others", caller.role.word());
        state.guard.audit(&caller, "unfreeze", &id, "refused", &why).await?;
        return Err(Problem::forbidden(why));
    }
    let note = caller.note("unfreeze", &id, "done", "");
    if !state.desk.parts().db.drop_freeze(&id, Some(&note)).await? {
        return Err(unknown());
    }
    state.desk.parts().hub.tell(Topic::Runs, None);
    Ok(StatusCode::NO_CONTENT)
}
