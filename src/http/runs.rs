//! Runs: which are open and what they wait for, one with all that it did, and what people say to it.

pub mod control;
pub mod documents;
pub mod holds;
pub mod hooks;
pub mod studies;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json, Router, routing};
use serde::Serialize;
use tocsin_core::access::Role;
use tocsin_core::run::asks::{Asks, asks};
use tocsin_core::run::guard::vote_fault;
use tocsin_core::run::record::{
    AttemptState, DocKind, Phase, RunRecords, RunRow, RunState, StepAttempt, UndoRow, UndoState, Vote, WaitFor,
};
use tocsin_core::run::runbook::Runbook;
use tocsin_core::run::value::Value;

use tocsin_core::time::Timestamp;
use utoipa::ToSchema;

use super::access::{Caller, Guard};
use super::problem::Problem;
use super::prometheus::Parameters;
use crate::act::desk::Desk;
use crate::client::answer::with_causes;
use crate::db::runs::{RunClass, RunFilter};
use crate::pipeline::watch::Watch;
use documents::Document;

/// Open runs of which it is looked up what they wait for.
const LOOKED_UP_MAX: usize = 100;
const LIST_MAX: usize = 500;

#[derive(Clone)]
pub struct RunsState {
    pub desk: Desk,
    pub watch: Watch,
    pub guard: Arc<Guard>,
}

#[derive(Serialize, ToSchema)]
pub struct RunTrigger {
    pub kind: String,
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    pub text: String,
}

#[derive(Serialize, ToSchema)]
pub struct Progress {
    pub done: usize,
    pub total: usize,
    /// The step that is under way.
    pub current: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct NeededApprovals {
    pub have: usize,
    pub count: usize,
    pub roles: Vec<&'static str>,
    pub until: Option<String>,
    /// What a vote must name: another document, value or target has another one.
    pub subject_hash: String,
    pub may_vote: bool,
    pub why_not: Option<String>,
    /// The step that asks; empty for the run as a whole.
    pub step: String,
}

#[derive(Serialize, ToSchema)]
pub struct HumanTask {
    pub step: String,
    pub attempt: u32,
    pub title: String,
    pub instructions: String,
    /// Whoever has done it must say what shows it.
    pub evidence: bool,
    pub roles: Vec<&'static str>,
    pub may_do: bool,
}

#[derive(Default, Serialize, ToSchema)]
pub struct Needs {
    pub approvals: Option<NeededApprovals>,
    pub human: Vec<HumanTask>,
    /// Steps in doubt.
    pub settle: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Run {
    pub id: String,
    /// `runbook`, `experiment` or `drill`.
    pub kind: &'static str,
    pub doc_id: String,
    pub title: String,
    pub platform: String,
    pub state: &'static str,
    /// `approval`, `lock` or `window`.
    pub waiting: Option<&'static str>,
    pub verdict: Option<String>,
    pub reason: String,
    pub mode: &'static str,
    pub dry_run: bool,
    pub starter: String,
    pub trigger: RunTrigger,
    pub params: BTreeMap<String, String>,
    pub targets: Vec<String>,
    pub created_at: String,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    /// The guard that refused.
    pub refused_by: Option<&'static str>,
    pub parent: Option<String>,
    pub progress: Progress,
    pub needs: Needs,
    pub may_cancel: bool,
}

#[derive(Serialize, ToSchema)]
pub struct OpenCounts {
    pub running: i64,
    pub waiting: i64,
    pub needs_human: i64,
}

#[derive(Serialize, ToSchema)]
pub struct Runs {
    pub runs: Vec<Run>,
    /// The id to ask for what comes behind.
    pub next: Option<String>,
    pub open: OpenCounts,
}

#[derive(Serialize, ToSchema)]
pub struct Attempt {
    /// `do`, `check`, `undo`, `undo_check`, `verify` or `page`.
    pub phase: &'static str,
    pub attempt: u32,
    pub state: &'static str,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    pub due_at: Option<String>,
    pub request_text: String,
    /// Cut, and without secrets.
    pub response_text: String,
    pub error: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct RunStep {
    pub id: String,
    pub kind: String,
    pub effect: &'static str,
    /// `pending`, `running`, `succeeded`, `failed`, `skipped`, `undone` or `unknown`.
    pub state: &'static str,
    pub phase_rows: Vec<Attempt>,
}

#[derive(Serialize, ToSchema)]
pub struct LogLine {
    pub at: String,
    pub kind: String,
    pub text: String,
    pub by: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Voted {
    pub who: String,
    pub role: &'static str,
    /// `approve` or `deny`.
    pub verdict: &'static str,
    pub at: String,
    pub step: String,
}

#[derive(Serialize, ToSchema)]
pub struct UndoView {
    pub id: String,
    pub step: String,
    /// `armed`, `started`, `undone`, `failed` or `released`.
    pub state: &'static str,
    pub deadline: Option<String>,
    pub verified_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Samples {
    pub probe: String,
    /// Instant in ms since the epoch, value or null, whether the condition held.
    #[schema(value_type = Vec<Vec<f64>>)]
    pub points: Vec<(i64, Option<f64>, bool)>,
}

#[derive(Serialize, ToSchema)]
pub struct RunDetail {
    #[serde(flatten)]
    pub run: Run,
    /// As it was when the run was asked for.
    pub document: Document,
    pub steps: Vec<RunStep>,
    pub log: Vec<LogLine>,
    pub approvals: Vec<Voted>,
    pub undos: Vec<UndoView>,
    pub samples: Vec<Samples>,
    /// Runs that it called.
    #[schema(no_recursion)]
    pub children: Vec<Run>,
}

impl RunsState {
    /// Returns the document of a run as it was when the run was asked for.
    pub async fn runbook(&self, row: &RunRow) -> Result<Arc<Runbook>, Problem> {
        if let Some(document) = self.desk.documents().get(&row.doc_id).filter(|document| document.hash == row.doc_hash) {
            return Ok(document.runbook.clone());
        }
        let version = self.desk.parts().db.document_version(&row.doc_hash).await?;
        let runbook = version.as_ref().and_then(|version| Runbook::from_version(version).ok()).map(Arc::new);
        runbook.ok_or_else(|| Problem::not_found("the document of this run is not stored"))
    }

    async fn records(&self, id: &str) -> Result<RunRecords, Problem> {
        self.desk.parts().db.run_records(id).await?.ok_or_else(|| Problem::not_found("there is no such run"))
    }

    /// Returns a run as a caller sees it now.
    pub async fn run(&self, id: &str, caller: &Caller) -> Result<Run, Problem> {
        let records = self.records(id).await?;
        let runbook = self.runbook(&records.run).await?;
        Ok(run_view(&runbook, &records, caller))
    }
}

fn rfc3339(at: Option<Timestamp>) -> Option<String> {
    at.map(Timestamp::rfc3339)
}

fn values(values: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    values.iter().map(|(name, value)| (name.clone(), value.text())).collect()
}

fn words_of(roles: &[Role]) -> Vec<&'static str> {
    roles.iter().map(|role| role.word()).collect()
}

/// Returns whether a role may say something to runs of a document beside starting them.
fn may_steer(runbook: &Runbook, role: Role) -> bool {
    tocsin_core::run::runbook::admits(runbook.class, role)
}

fn needs(runbook: &Runbook, row: &RunRow, asks: Asks, caller: &Caller) -> Needs {
    let approvals = asks.approval.map(|asked| {
        let why_not = vote_fault(row, &asked.approvals, &caller.account, caller.role);
        let roles = if asked.approvals.roles.is_empty() { vec![Role::SreLead] } else { asked.approvals.roles.clone() };
        NeededApprovals {
            have: asked.have,
            count: asked.approvals.count,
            roles: words_of(&roles),
            until: rfc3339(asked.until),
            subject_hash: asked.subject_hash,
            may_vote: why_not.is_none(),
            why_not,
            step: asked.step,
        }
    });
    let human = asks.tasks.into_iter().map(|task| HumanTask {
        may_do: if task.roles.is_empty() { may_steer(runbook, caller.role) } else { task.roles.contains(&caller.role) },
        step: task.step,
        attempt: task.attempt,
        title: task.title,
        instructions: task.instructions,
        evidence: task.evidence,
        roles: words_of(&task.roles),
    });
    Needs { approvals, human: human.collect(), settle: asks.settle }
}

fn trigger_view(row: &RunRow) -> RunTrigger {
    let kind = serde_json::to_value(row.trigger_kind).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default();
    RunTrigger { text: format!("{kind} by {}", row.starter), kind, reference: row.trigger_ref.clone() }
}

/// Returns a run as it is shown; `progress` from its attempts.
fn view(runbook: &Runbook, row: &RunRow, progress: Progress, needs: Needs, caller: &Caller) -> Run {
    Run {
        id: row.id.clone(),
        kind: row.kind.word(),
        doc_id: row.doc_id.clone(),
        title: runbook.metadata.title.clone(),
        platform: row.platform.clone(),
        state: row.state.word(),
        waiting: row.waiting.filter(|_| row.state == RunState::Waiting).map(|wait| match wait {
            WaitFor::Approval => "approval",
            WaitFor::Lock => "lock",
            WaitFor::Window => "window",
        }),
        verdict: row.verdict.clone(),
        reason: row.reason.clone(),
        mode: row.mode.word(),
        dry_run: row.dry_run,
        starter: row.starter.clone(),
        trigger: trigger_view(row),
        params: values(&row.params),
        targets: row.targets.clone(),
        created_at: row.created_at.rfc3339(),
        started_at: rfc3339(row.started_at),
        ended_at: rfc3339(row.ended_at),
        refused_by: row.refused_by.map(|guard| guard.word()),
        parent: row.parent_run.clone(),
        progress,
        needs,
        may_cancel: !row.state.is_final() && may_steer(runbook, caller.role),
    }
}

/// Returns how far the steps are, from the newest attempt of each.
fn progress<'a>(runbook: &Runbook, attempts: impl Iterator<Item = (&'a str, u32, AttemptState)>) -> Progress {
    let mut newest: BTreeMap<&str, (u32, AttemptState)> = BTreeMap::new();
    for (step, number, state) in attempts {
        let slot = newest.entry(step).or_insert((number, state));
        if slot.0 <= number {
            *slot = (number, state);
        }
    }
    let is_done = |state: AttemptState| matches!(state, AttemptState::Succeeded | AttemptState::Skipped);
    let of = |id: &str| newest.get(id).map(|found| found.1);
    let steps = &runbook.plan.steps;
    let under_way = |id: &&str| of(id).is_some_and(|state| matches!(state, AttemptState::Intent | AttemptState::Issued));
    Progress {
        done: steps.iter().filter(|step| of(&step.id).is_some_and(is_done)).count(),
        total: steps.len(),
        current: steps.iter().map(|step| step.id.as_str()).find(under_way).map(str::to_owned),
    }
}

fn done_of(attempts: &[StepAttempt]) -> impl Iterator<Item = (&str, u32, AttemptState)> {
    let done = attempts.iter().filter(|attempt| attempt.key.phase == Phase::Do);
    done.map(|attempt| (attempt.key.step.as_str(), attempt.key.attempt, attempt.state))
}

fn run_view(runbook: &Runbook, records: &RunRecords, caller: &Caller) -> Run {
    let needs = needs(runbook, &records.run, asks(runbook, records), caller);
    view(runbook, &records.run, progress(runbook, done_of(&records.attempts)), needs, caller)
}

/// Returns runs as they are shown; of those that are open also what they wait for.
async fn views(state: &RunsState, rows: &[RunRow], caller: &Caller) -> Result<Vec<Run>, Problem> {
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let marks = state.desk.parts().db.attempt_marks(&ids).await?;
    let mut shown = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let runbook = state.runbook(row).await?;
        if !row.state.is_final() && index < LOOKED_UP_MAX {
            shown.push(run_view(&runbook, &state.records(&row.id).await?, caller));
            continue;
        }
        let own = marks.iter().filter(|mark| mark.run_id == row.id && mark.key.phase == Phase::Do);
        let progress = progress(&runbook, own.map(|mark| (mark.key.step.as_str(), mark.key.attempt, mark.state)));
        shown.push(view(&runbook, row, progress, Needs::default(), caller));
    }
    Ok(shown)
}

/// Lists runs, newest first.
#[utoipa::path(get, path = "/api/tocsin/v1/runs", tag = "runs",
    params(("state" = Option<String>, Query, description = "open, ended, refused or all (default)"),
        ("kind" = Option<String>, Query, description = "runbook, experiment or drill"), ("doc" = Option<String>, Query),
        ("platform" = Option<String>, Query), ("limit" = Option<usize>, Query),
        ("before" = Option<String>, Query, description = "only runs behind this one")),
    responses((status = 200, body = Runs), (status = 400, body = Problem)))]
pub async fn list_runs(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    parameters: Parameters,
) -> Result<Json<Runs>, Problem> {
    let class = match parameters.get("state").unwrap_or("all") {
        "all" => None,
        "open" => Some(RunClass::Open),
        "ended" => Some(RunClass::Ended),
        "refused" => Some(RunClass::Refused),
        other => return Err(Problem::bad_request(format!("state is open, ended, refused or all, not {other:?}"))),
    };
    let kind = match parameters.get("kind") {
        None => None,
        Some("runbook") => Some(DocKind::Runbook),
        Some("experiment") => Some(DocKind::Experiment),
        Some("drill") => Some(DocKind::Drill),
        Some(other) => return Err(Problem::bad_request(format!("kind is runbook, experiment or drill, not {other:?}"))),
    };
    let limit = parameters.limit(100).map_err(|_| Problem::bad_request("limit is not a whole number"))?.min(LIST_MAX);
    let text = |name: &str| parameters.get(name).map(str::to_owned);
    let filter =
        RunFilter { class, kind, doc: text("doc"), platform: text("platform"), before: text("before"), limit: limit as i64 };
    let db = &state.desk.parts().db;
    let rows = db.runs(&filter).await?;
    let next = (rows.len() == limit).then(|| rows.last().map(|row| row.id.clone())).flatten();
    let counts = db.open_run_counts().await?;
    let count =
        |wanted: &dyn Fn(RunState) -> bool| counts.iter().filter(|(state, _)| wanted(*state)).map(|(_, count)| count).sum();
    let needs_human: i64 = count(&|state| state == RunState::NeedsHuman);
    let waiting: i64 = count(&|state| state == RunState::Waiting);
    let all: i64 = count(&|_| true);
    let open = OpenCounts { running: all - needs_human - waiting, waiting, needs_human };
    Ok(Json(Runs { runs: views(&state, &rows, &caller).await?, next, open }))
}

fn json_text(value: Option<&serde_json::Value>) -> String {
    value.map(|value| serde_json::to_string_pretty(value).unwrap_or_default()).unwrap_or_default()
}

fn attempt_view(attempt: &StepAttempt) -> Attempt {
    let request = attempt.request.as_ref().and_then(|request| serde_json::to_value(request).ok());
    Attempt {
        phase: attempt.key.phase.word(),
        attempt: attempt.key.attempt,
        state: attempt.state.word(),
        started_at: rfc3339(attempt.started_at),
        ended_at: rfc3339(attempt.ended_at),
        due_at: rfc3339(attempt.due_at),
        request_text: json_text(request.as_ref()),
        response_text: json_text(attempt.response.as_ref()),
        error: attempt.error.as_ref().map(|fault| fault.message.clone()),
    }
}

/// Returns every step of a document with what became of it, and behind them what the machine did beside.
fn step_views(runbook: &Runbook, records: &RunRecords) -> Vec<RunStep> {
    let undone: Vec<&UndoRow> = records.undos.iter().filter(|undo| undo.state == UndoState::Undone).collect();
    let mut steps: Vec<RunStep> = Vec::new();
    for step in &runbook.plan.steps {
        let mut rows: Vec<&StepAttempt> = records.attempts.iter().filter(|attempt| attempt.key.step == step.id).collect();
        rows.sort_by_key(|attempt| (attempt.started_at.or(attempt.due_at), attempt.key.phase, attempt.key.attempt));
        let last = rows.iter().filter(|attempt| attempt.key.phase == Phase::Do).max_by_key(|attempt| attempt.key.attempt);
        let state = match last.map(|attempt| attempt.state) {
            _ if undone.iter().any(|undo| undo.step_id == step.id) => "undone",
            None | Some(AttemptState::Pending) => "pending",
            Some(AttemptState::Intent | AttemptState::Issued) => "running",
            Some(AttemptState::Succeeded) => "succeeded",
            Some(AttemptState::Failed | AttemptState::Abandoned) => "failed",
            Some(AttemptState::Unknown) => "unknown",
            Some(AttemptState::Skipped) => "skipped",
        };
        steps.push(RunStep {
            id: step.id.clone(),
            kind: step.action.kind().to_owned(),
            effect: step.effect.word(),
            state,
            phase_rows: rows.into_iter().map(attempt_view).collect(),
        });
    }
    steps
}

/// Shows one run with its document, its steps and its log.
#[utoipa::path(get, path = "/api/tocsin/v1/runs/{id}", tag = "runs", responses((status = 200, body = RunDetail), (status = 404, body = Problem)))]
pub async fn show_run(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<RunDetail>, Problem> {
    let records = state.records(&id).await?;
    let runbook = state.runbook(&records.run).await?;
    let db = &state.desk.parts().db;
    let mut samples: BTreeMap<String, Samples> = BTreeMap::new();
    for sample in db.run_samples(&id).await? {
        let of = samples.entry(sample.probe.clone()).or_insert_with(|| Samples { probe: sample.probe, points: Vec::new() });
        of.points.push((sample.at.0, sample.value, sample.ok));
    }
    let log = db.run_notes(&id).await?.into_iter().map(|note| LogLine {
        at: note.at.rfc3339(),
        kind: note.what,
        text: note.detail,
        by: Some(note.who).filter(|who| who != crate::act::MACHINE),
    });
    let vote = |verdict: Vote| match verdict {
        Vote::Approve => "approve",
        Vote::Deny => "deny",
    };
    let approvals = records.approvals.iter().map(|row| Voted {
        who: row.who.clone(),
        role: row.role.word(),
        verdict: vote(row.verdict),
        at: row.at.rfc3339(),
        step: row.step_id.clone(),
    });
    let undos = records.undos.iter().map(|undo| UndoView {
        id: undo.id.clone(),
        step: undo.step_id.clone(),
        state: undo.state.word(),
        deadline: rfc3339(undo.deadline),
        verified_at: rfc3339(undo.verified_at),
    });
    let children = db.children(&id).await?;
    Ok(Json(RunDetail {
        run: run_view(&runbook, &records, &caller),
        document: documents::version_view(&state, &runbook, &caller).await?,
        steps: step_views(&runbook, &records),
        log: log.collect(),
        approvals: approvals.collect(),
        undos: undos.collect(),
        samples: samples.into_values().collect(),
        children: views(&state, &children, &caller).await?,
    }))
}

impl From<crate::act::desk::StartError> for Problem {
    fn from(error: crate::act::desk::StartError) -> Problem {
        use crate::act::desk::StartError;
        match error {
            StartError::Unknown(_) => Problem::not_found(error.to_string()),
            StartError::Full | StartError::Stopping => Problem::unavailable(error.to_string()),
            StartError::Db(error) => error.into(),
        }
    }
}

impl From<crate::act::desk::TellError> for Problem {
    fn from(error: crate::act::desk::TellError) -> Problem {
        use crate::act::desk::TellError;
        use tocsin_core::run::machine::Refused;
        match error {
            TellError::NotOpen(_) => Problem::new(StatusCode::CONFLICT, "not-open", error.to_string()),
            TellError::Refused(Refused::MayNot(_)) => Problem::forbidden(with_causes(&error)),
            TellError::Refused(_) => Problem::new(StatusCode::CONFLICT, "refused", with_causes(&error)),
            TellError::Unstored => Problem::unavailable(error.to_string()),
        }
    }
}

pub fn routes(state: RunsState) -> Router {
    Router::new()
        .route("/api/tocsin/v1/runbooks", routing::get(documents::list_documents))
        .route("/api/tocsin/v1/runbooks/{id}", routing::get(documents::show_document))
        .route("/api/tocsin/v1/runbooks/{id}/runs", routing::post(documents::start_run))
        .route("/api/tocsin/v1/suggestions", routing::get(documents::suggestions))
        .route("/api/tocsin/v1/runs", routing::get(list_runs))
        .route("/api/tocsin/v1/runs/{id}", routing::get(show_run))
        .route("/api/tocsin/v1/runs/{id}/approve", routing::post(control::approve))
        .route("/api/tocsin/v1/runs/{id}/cancel", routing::post(control::cancel))
        .route("/api/tocsin/v1/runs/{id}/pause", routing::post(control::pause))
        .route("/api/tocsin/v1/runs/{id}/resume", routing::post(control::resume))
        .route("/api/tocsin/v1/runs/{id}/human", routing::post(control::human))
        .route("/api/tocsin/v1/runs/{id}/settle", routing::post(control::settle))
        .route("/api/tocsin/v1/runs/{id}/report", routing::get(studies::report))
        .route("/api/tocsin/v1/runs/{id}/report.html", routing::get(studies::report_html))
        .route("/api/tocsin/v1/kill-switch", routing::get(holds::kill_switch).put(holds::set_kill_switch))
        .route("/api/tocsin/v1/freezes", routing::get(holds::list_freezes).post(holds::add_freeze))
        .route("/api/tocsin/v1/freezes/{id}", routing::delete(holds::drop_freeze))
        .route("/api/tocsin/v1/drills", routing::get(studies::drills))
        .route("/api/tocsin/v1/experiments", routing::get(studies::experiments))
        .route("/api/tocsin/v1/hooks/{source}", routing::post(hooks::receive))
        .with_state(state)
}
