//! Documents: what each does and who may start it; and the start.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json_, json};
use tocsin_core::model::Fingerprint;
use tocsin_core::run::history::effective_mode;
use tocsin_core::run::plan::OnFail;
use tocsin_core::run::record::{RunRow, RunState};
use tocsin_core::run::runbook::{Runbook, admits};
use tocsin_core::run::study::Study;
use tocsin_core::run::trigger::{self, Ask};
use tocsin_core::run::value::{Param, Type};
use tocsin_core::run::words;
use tocsin_core::time::{Span, Timestamp};
use utoipa::ToSchema;

use super::{Run, RunsState, rfc3339};
use crate::act::triggers::firing;
use crate::clock;
use crate::db::runs::RunCount;
use crate::http::access::Caller;
use crate::http::problem::Problem;
use crate::http::prometheus::Parameters;

const COUNTED: Span = Span::from_mins(30 * 24 * 60);
/// Ended runs by which it is judged how far a trigger may go.
const HISTORY: i64 = 100;
/// A reference that a client makes, so that a form that is sent twice begins one run.
const REFERENCE_BYTES_MAX: usize = 200;
const REASON_CHARS_MAX: usize = 1000;

#[derive(Serialize, ToSchema)]
pub struct ParamView {
    pub name: String,
    /// `int`, `float`, `bool`, `enum`, `name` or `duration`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub required: bool,
    #[schema(value_type = Option<String>)]
    pub default: Json_,
    /// A number, or a duration as text.
    #[schema(value_type = Option<String>)]
    pub min: Json_,
    #[schema(value_type = Option<String>)]
    pub max: Json_,
    pub values: Option<Vec<String>>,
    /// The kind of thing that a name names.
    pub of: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct TriggerView {
    /// `alert`, `webhook`, `schedule` or `manual`.
    pub kind: &'static str,
    pub text: String,
    /// `disabled`, `suggest`, `approve` or `auto`.
    pub mode: &'static str,
    /// How far it goes now: `auto` has to be earned.
    pub effective_mode: &'static str,
    pub next_due: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct StepView {
    pub id: String,
    pub kind: &'static str,
    /// `idempotent`, `keyed`, `probe` or `once`.
    pub effect: &'static str,
    pub class: &'static str,
    pub undo: bool,
    pub fault: bool,
    pub on_fail: String,
    pub timeout_seconds: f64,
    pub text: String,
}

#[derive(Serialize, ToSchema)]
pub struct GuardView {
    pub name: &'static str,
    pub text: String,
}

#[derive(Serialize, ToSchema)]
pub struct LastRun {
    pub id: String,
    pub state: &'static str,
    pub verdict: Option<String>,
    pub ended_at: Option<String>,
}

#[derive(Default, Serialize, ToSchema)]
pub struct Counts {
    pub succeeded: i64,
    pub failed: i64,
    pub refused: i64,
}

#[derive(Serialize, ToSchema)]
pub struct RecoveryObjective {
    pub rpo_seconds: Option<f64>,
    pub rto_seconds: Option<f64>,
}

#[derive(Serialize, ToSchema)]
pub struct ExperimentView {
    pub hypothesis: Vec<String>,
    pub environment: String,
}

#[derive(Serialize, ToSchema)]
pub struct Document {
    pub id: String,
    /// `runbook`, `experiment` or `drill`.
    pub kind: &'static str,
    pub platform: String,
    pub slug: String,
    pub title: String,
    pub owner: String,
    /// `read`, `safe`, `disruptive` or `destructive`.
    pub class: &'static str,
    pub hash: String,
    pub review_by: Option<String>,
    pub stale: bool,
    pub file: String,
    /// Whether the caller may.
    pub may_start: bool,
    pub why_not: Option<String>,
    pub params: Vec<ParamView>,
    pub triggers: Vec<TriggerView>,
    pub steps: Vec<StepView>,
    pub verify: Vec<String>,
    pub guards: Vec<GuardView>,
    pub last_run: Option<LastRun>,
    pub runs_30d: Counts,
    pub objective: Option<RecoveryObjective>,
    pub schedule_next: Option<String>,
    pub experiment: Option<ExperimentView>,
}

#[derive(Serialize, ToSchema)]
pub struct Documents {
    pub server_time: String,
    pub documents: Vec<Document>,
}

#[derive(Serialize, ToSchema)]
pub struct DocumentDetail {
    #[serde(flatten)]
    pub document: Document,
    /// The file as it was read.
    pub source: String,
}

fn param_view(name: &str, param: &Param) -> ParamView {
    let (mut min, mut max, mut values, mut of) = (Json_::Null, Json_::Null, None, None);
    match &param.kind {
        Type::Int { min: low, max: high } => (min, max) = (json!(low), json!(high)),
        Type::Float { min: low, max: high } => (min, max) = (json!(low), json!(high)),
        Type::Duration { min: low, max: high } => {
            (min, max) = (json!(low.map(|span| span.to_string())), json!(high.map(|span| span.to_string())));
        }
        Type::Enum { values: words } => values = Some(words.clone()),
        Type::Name { of: kind } => of = kind.clone(),
        Type::Bool => {}
    }
    ParamView {
        name: name.to_owned(),
        kind: param.kind.word(),
        required: param.required,
        default: param.default.as_ref().map_or(Json_::Null, |value| value.json()),
        min,
        max,
        values,
        of,
    }
}

fn on_fail(on_fail: &OnFail) -> String {
    match on_fail {
        OnFail::Abort => "abort".to_owned(),
        OnFail::Continue => "continue".to_owned(),
        OnFail::Goto(step) => format!("goto {step}"),
        OnFail::Undo => "undo".to_owned(),
    }
}

/// Returns why a caller may not start a document by hand; none: they may.
fn why_not(runbook: &Runbook, caller: &Caller) -> Option<String> {
    if runbook.may_start(caller.role) {
        return None;
    }
    Some(if admits(runbook.class, caller.role) {
        format!("the document lets no {} start it by hand", caller.role.word())
    } else {
        format!("a {} may not run what is {}", caller.role.word(), runbook.class.word())
    })
}

pub fn objective(runbook: &Runbook) -> Option<RecoveryObjective> {
    let Some(Study::Drill(drill)) = &runbook.study else { return None };
    let seconds = |span: Option<Span>| span.map(Span::seconds);
    Some(RecoveryObjective { rpo_seconds: seconds(drill.objective.rpo), rto_seconds: seconds(drill.objective.rto) })
}

fn experiment(runbook: &Runbook) -> Option<ExperimentView> {
    let Some(Study::Experiment(experiment)) = &runbook.study else { return None };
    let environments = match runbook.params.get(tocsin_core::run::study::ENVIRONMENT).map(|param| &param.kind) {
        Some(Type::Enum { values }) => values.join(", "),
        _ => String::new(),
    };
    let hypothesis = experiment.hypothesis.iter().map(|probe| words::condition(&probe.condition)).collect();
    Some(ExperimentView { hypothesis, environment: environments })
}

/// What is known of the documents beside their texts.
struct Around {
    now: Timestamp,
    last: BTreeMap<String, RunRow>,
    counts: Vec<RunCount>,
    due: BTreeMap<String, Timestamp>,
}

impl Around {
    async fn look(state: &RunsState, ids: &[&str]) -> Result<Around, Problem> {
        let (db, now) = (&state.desk.parts().db, clock::now());
        let documents = state.desk.documents();
        let schedules: Vec<String> = ids
            .iter()
            .filter_map(|id| documents.get(*id))
            .flat_map(|document| trigger::schedule_ids(&document.runbook))
            .collect();
        let schedules: Vec<&str> = schedules.iter().map(String::as_str).collect();
        Ok(Around {
            now,
            last: db.last_runs(ids).await?,
            counts: db.run_counts(now - COUNTED).await?,
            due: db.schedule_last(&schedules).await?,
        })
    }

    fn counts(&self, id: &str) -> Counts {
        let mut counts = Counts::default();
        for found in self.counts.iter().filter(|count| count.doc_id == id) {
            match found.state {
                RunState::Succeeded => counts.succeeded += found.count,
                RunState::Refused => counts.refused += found.count,
                state if state.is_final() => counts.failed += found.count,
                _ => {}
            }
        }
        counts
    }
}

async fn view(state: &RunsState, runbook: &Runbook, around: &Around, caller: &Caller) -> Result<Document, Problem> {
    let id = &runbook.metadata.id;
    let has_auto = runbook.triggers.iter().any(|one| words::trigger(one).2 == tocsin_core::run::runbook::Mode::Auto);
    let history = if has_auto { state.desk.parts().db.history(id, HISTORY).await? } else { Vec::new() };
    let last_of = |schedule: &str| around.due.get(schedule).copied().unwrap_or(around.now).max(around.now);
    let next = trigger::next_due(runbook, last_of);
    let triggers = runbook.triggers.iter().map(|one| {
        let (kind, text, mode) = words::trigger(one);
        TriggerView {
            kind,
            text,
            mode: mode.word(),
            effective_mode: effective_mode(runbook, mode, &history, around.now).word(),
            next_due: if kind == "schedule" { rfc3339(next) } else { None },
        }
    });
    let steps = runbook.plan.steps.iter().map(|step| StepView {
        id: step.id.clone(),
        kind: step.action.kind(),
        effect: step.effect.word(),
        class: step.action.class().word(),
        undo: step.undo.is_some(),
        fault: step.fault,
        on_fail: on_fail(&step.on_fail),
        timeout_seconds: step.timeout.seconds(),
        text: words::action(&step.action),
    });
    let file = state.desk.documents().get(id).map(|document| document.file.clone()).unwrap_or_default();
    let metadata = &runbook.metadata;
    let why_not = why_not(runbook, caller);
    Ok(Document {
        id: id.clone(),
        kind: runbook.kind.word(),
        platform: metadata.platform.clone(),
        slug: metadata.slug.clone(),
        title: metadata.title.clone(),
        owner: metadata.owner.clone(),
        class: runbook.class.word(),
        hash: runbook.hash(),
        review_by: rfc3339(metadata.review_by),
        stale: metadata.review_by.is_some_and(|day| day <= around.now),
        file,
        may_start: why_not.is_none(),
        why_not,
        params: runbook.params.iter().map(|(name, param)| param_view(name, param)).collect(),
        triggers: triggers.collect(),
        steps: steps.collect(),
        verify: runbook.plan.verify.iter().map(words::verify).collect(),
        guards: words::guards(&runbook.guards).into_iter().map(|(name, text)| GuardView { name, text }).collect(),
        last_run: around.last.get(id).map(|row| LastRun {
            id: row.id.clone(),
            state: row.state.word(),
            verdict: row.verdict.clone(),
            ended_at: rfc3339(row.ended_at),
        }),
        runs_30d: around.counts(id),
        objective: objective(runbook),
        schedule_next: rfc3339(next),
        experiment: experiment(runbook),
    })
}

/// Returns the documents that are in force as they are shown, those of one kind where one is asked for.
pub async fn views(
    state: &RunsState,
    wanted: impl Fn(&Runbook) -> bool,
    caller: &Caller,
) -> Result<Vec<(std::sync::Arc<Runbook>, Document)>, Problem> {
    let documents = state.desk.documents();
    let all: Vec<_> = documents.values().filter(|document| wanted(&document.runbook)).collect();
    let ids: Vec<&str> = all.iter().map(|document| document.runbook.metadata.id.as_str()).collect();
    let around = Around::look(state, &ids).await?;
    let mut shown = Vec::new();
    for document in all {
        shown.push((document.runbook.clone(), view(state, &document.runbook, &around, caller).await?));
    }
    Ok(shown)
}

/// Returns one version of a document as it is shown.
pub async fn version_view(state: &RunsState, runbook: &Runbook, caller: &Caller) -> Result<Document, Problem> {
    let around = Around::look(state, &[&runbook.metadata.id]).await?;
    view(state, runbook, &around, caller).await
}

/// Lists the runbooks, experiments and drills that are in force.
#[utoipa::path(get, path = "/api/tocsin/v1/runbooks", tag = "runs", responses((status = 200, body = Documents)))]
pub async fn list_documents(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Documents>, Problem> {
    let documents = views(&state, |_| true, &caller).await?.into_iter().map(|(_, document)| document).collect();
    Ok(Json(Documents { server_time: clock::now().rfc3339(), documents }))
}

fn unknown() -> Problem {
    Problem::not_found("there is no such runbook, experiment or drill")
}

/// Shows one document with its text.
#[utoipa::path(get, path = "/api/tocsin/v1/runbooks/{id}", tag = "runs", responses((status = 200, body = DocumentDetail), (status = 404, body = Problem)))]
pub async fn show_document(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<DocumentDetail>, Problem> {
    let found = state.desk.documents().get(&id).cloned().ok_or_else(unknown)?;
    let document = version_view(&state, &found.runbook, &caller).await?;
    Ok(Json(DocumentDetail { document, source: found.text.to_string() }))
}

#[derive(Deserialize, ToSchema)]
pub struct StartRequest {
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// The same reference begins one run, however often it is sent.
    #[serde(default)]
    pub reference: Option<String>,
    /// Ask the guards, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Why, for those who read the audit.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Begins a run. A run that its guards refuse exists all the same, and says why.
#[utoipa::path(post, path = "/api/tocsin/v1/runbooks/{id}/runs", tag = "runs", request_body = StartRequest,
    responses((status = 202, body = Run), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn start_run(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Json(asked): Json<StartRequest>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let document = state.desk.documents().get(&id).cloned().ok_or_else(unknown)?;
    if let Some(why) = why_not(&document.runbook, &caller) {
        state.guard.audit(&caller, "run", &id, "refused", &why).await?;
        return Err(Problem::forbidden(why));
    }
    let reference = match asked.reference.filter(|reference| !reference.is_empty()) {
        Some(reference) if reference.len() > REFERENCE_BYTES_MAX => {
            return Err(Problem::bad_request(format!("reference has at most {REFERENCE_BYTES_MAX} bytes")));
        }
        // Two people do not share a reference.
        Some(reference) => Some(format!("{}/{reference}", caller.account)),
        None => None,
    };
    let given = asked.params.into_iter().collect();
    let mut ask: Ask = trigger::of_person(&document.runbook, &caller.account, caller.role, reference, given);
    ask.dry_run = asked.dry_run;
    let row = state.desk.start(ask).await?;
    if let Some(reason) = asked.reason.filter(|reason| !reason.trim().is_empty()) {
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        state.desk.note(&row.id, &caller.account, "reason", &reason).await?;
    }
    Ok((StatusCode::ACCEPTED, Json(state.run(&row.id, &caller).await?)))
}

#[derive(Serialize, ToSchema)]
pub struct Suggestion {
    pub doc_id: String,
    pub title: String,
    pub mode: &'static str,
    pub why: String,
    pub params: BTreeMap<String, String>,
}

#[derive(Serialize, ToSchema)]
pub struct Suggestions {
    pub suggestions: Vec<Suggestion>,
}

/// Lists the documents that fit an alert, or the alerts of a page.
#[utoipa::path(get, path = "/api/tocsin/v1/suggestions", tag = "runs",
    params(("alert" = Option<String>, Query, description = "a fingerprint"), ("page" = Option<String>, Query)),
    responses((status = 200, body = Suggestions)))]
pub async fn suggestions(State(state): State<RunsState>, parameters: Parameters) -> Result<Json<Suggestions>, Problem> {
    let mut wanted: BTreeSet<Fingerprint> = parameters.get("alert").and_then(Fingerprint::parse).into_iter().collect();
    if let Some(page) = parameters.get("page").map(str::to_owned) {
        let alerts =
            state.watch.ask(move |state| state.plane.page(&page).map(|page| page.alerts.keys().copied().collect::<Vec<_>>()));
        wanted.extend(alerts.await?.unwrap_or_default());
    }
    let documents = state.desk.documents();
    let names = trigger::alert_names(documents.values().map(|document| &*document.runbook));
    let firing = firing(&state.watch, names, Some(wanted)).await.map_err(Problem::unavailable)?;
    let mut found: BTreeMap<String, Suggestion> = BTreeMap::new();
    for alert in &firing {
        for ask in trigger::of_alert(documents.values().map(|document| &*document.runbook), alert) {
            let title = documents.get(&ask.doc_id).map(|document| document.runbook.metadata.title.clone());
            let params = ask.given.iter().map(|given| (given.name.clone(), given.text.clone())).collect();
            let why = format!("{} fires", alert.name);
            let suggestion =
                Suggestion { title: title.unwrap_or_default(), mode: ask.mode.word(), why, params, doc_id: ask.doc_id };
            found.entry(suggestion.doc_id.clone()).or_insert(suggestion);
        }
    }
    Ok(Json(Suggestions { suggestions: found.into_values().collect() }))
}
