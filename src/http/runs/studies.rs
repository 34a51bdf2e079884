//! Drills and experiments with what they have shown, and the report of one run.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use tocsin_core::run::drill::{self, DrillResult as Shown, DrillWord};
use tocsin_core::run::record::DocKind;
use tocsin_core::run::runbook::Runbook;
use tocsin_core::run::study::{PHASES, Study};
use tocsin_core::run::{experiment, report};
use tocsin_core::time::{Span, Timestamp};
use utoipa::ToSchema;

use super::documents::{self, Document, RecoveryObjective};
use super::{Run, RunsState, rfc3339, run_view};
use crate::act::triggers::last_drilled;
use crate::clock;
use crate::db::runs::{RunClass, RunFilter};
use crate::http::access::Caller;
use crate::http::problem::Problem;

/// Results that are shown of each study.
const RESULTS_SHOWN: i64 = 50;

#[derive(Serialize, ToSchema)]
pub struct CadenceView {
    pub every_seconds: Option<f64>,
    pub last_at: Option<String>,
    pub due_at: Option<String>,
    pub overdue: bool,
}

#[derive(Serialize, ToSchema)]
pub struct DrillResult {
    pub run: String,
    pub at: String,
    /// `met`, `missed`, `aborted` or `tabletop`.
    pub verdict: &'static str,
    /// `rto`, `rpo`, `page`, `data`, `cleanup`, or the word of a phase.
    pub missed: Vec<String>,
    pub rto_seconds: Option<f64>,
    pub rpo_seconds: Option<f64>,
    pub lost_writes: Option<u64>,
    /// Seconds by phase; null where it was not seen.
    pub phases: BTreeMap<&'static str, Option<f64>>,
    pub objective: RecoveryObjective,
}

#[derive(Serialize, ToSchema)]
pub struct Drill {
    pub document: Document,
    pub cadence: CadenceView,
    pub objective: Option<RecoveryObjective>,
    /// Newest first.
    pub results: Vec<DrillResult>,
}

#[derive(Serialize, ToSchema)]
pub struct Drills {
    pub drills: Vec<Drill>,
}

#[derive(Serialize, ToSchema)]
pub struct ExperimentResult {
    pub run: String,
    pub at: String,
    /// `held`, `broken`, `stopped`, `invalid` or `refused`.
    pub verdict: &'static str,
    pub why: String,
}

#[derive(Serialize, ToSchema)]
pub struct Experiment {
    pub document: Document,
    /// Newest first.
    pub results: Vec<ExperimentResult>,
}

#[derive(Serialize, ToSchema)]
pub struct Experiments {
    pub experiments: Vec<Experiment>,
}

fn seconds(span: Option<Span>) -> Option<f64> {
    span.map(Span::seconds)
}

fn result_view(run: &str, at: Timestamp, shown: &Shown) -> DrillResult {
    let taken = |word: &str| shown.phases.iter().find(|phase| phase.name == word).map(|phase| phase.taken().seconds());
    DrillResult {
        run: run.to_owned(),
        at: at.rfc3339(),
        verdict: shown.verdict.word(),
        missed: shown.missed.clone(),
        rto_seconds: seconds(shown.rto),
        rpo_seconds: seconds(shown.rpo),
        lost_writes: shown.lost_writes,
        phases: PHASES.into_iter().map(|word| (word, taken(word))).collect(),
        objective: RecoveryObjective { rpo_seconds: seconds(shown.objective.rpo), rto_seconds: seconds(shown.objective.rto) },
    }
}

/// Returns what the newest runs of a document stored, each with the document as it was then.
async fn ended(
    state: &RunsState,
    id: &str,
    class: Option<RunClass>,
) -> Result<Vec<(std::sync::Arc<Runbook>, tocsin_core::run::record::RunRecords)>, Problem> {
    let filter = RunFilter { class, doc: Some(id.to_owned()), limit: RESULTS_SHOWN, ..RunFilter::default() };
    let mut found = Vec::new();
    for row in state.desk.parts().db.runs(&filter).await? {
        let runbook = state.runbook(&row).await?;
        found.push((runbook, state.records(&row.id).await?));
    }
    Ok(found)
}

/// Lists the drills with their results.
#[utoipa::path(get, path = "/api/tocsin/v1/drills", tag = "runs", responses((status = 200, body = Drills)))]
pub async fn drills(State(state): State<RunsState>, Extension(caller): Extension<Caller>) -> Result<Json<Drills>, Problem> {
    let now = clock::now();
    let mut drills = Vec::new();
    for (runbook, document) in documents::views(&state, |one| one.kind == DocKind::Drill, &caller).await? {
        let Some(Study::Drill(study)) = &runbook.study else { continue };
        let mut results = Vec::new();
        let mut last = None;
        for (version, records) in ended(&state, &document.id, Some(RunClass::Ended)).await? {
            let Some(shown) = drill::result(&version, &records) else { continue };
            let at = records.run.ended_at.unwrap_or(records.run.created_at);
            if matches!(shown.verdict, DrillWord::Met | DrillWord::Missed | DrillWord::Tabletop) {
                last = last.max(Some(at));
            }
            results.push(result_view(&records.run.id, at, &shown));
        }
        let since = match last {
            Some(last) => last,
            None => last_drilled(&state.desk, &runbook).await?.unwrap_or(now),
        };
        let standing = study.cadence.as_ref().map(|cadence| drill::standing(cadence, since, now));
        drills.push(Drill {
            cadence: CadenceView {
                every_seconds: study.cadence.as_ref().map(|cadence| cadence.every.seconds()),
                last_at: rfc3339(last),
                due_at: standing.as_ref().map(|standing| standing.due_at.rfc3339()),
                overdue: standing.is_some_and(|standing| standing.overdue),
            },
            objective: documents::objective(&runbook),
            document,
            results,
        });
    }
    Ok(Json(Drills { drills }))
}

/// Lists the experiments with their verdicts.
#[utoipa::path(get, path = "/api/tocsin/v1/experiments", tag = "runs", responses((status = 200, body = Experiments)))]
pub async fn experiments(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Experiments>, Problem> {
    let mut experiments = Vec::new();
    for (_, document) in documents::views(&state, |one| one.kind == DocKind::Experiment, &caller).await? {
        let mut results = Vec::new();
        for (version, records) in ended(&state, &document.id, None).await? {
            let Some(verdict) = experiment::verdict(&version, &records) else { continue };
            let at = records.run.ended_at.unwrap_or(records.run.created_at);
            results.push(ExperimentResult {
                run: records.run.id.clone(),
                at: at.rfc3339(),
                verdict: verdict.verdict.word(),
                why: verdict.why,
            });
        }
        experiments.push(Experiment { document, results });
    }
    Ok(Json(Experiments { experiments }))
}

#[derive(Serialize, ToSchema)]
pub struct RunReport {
    pub run: Run,
    pub objective: Option<RecoveryObjective>,
    /// What was shown, phase by phase, with the data of its plots: `verdict`, `why`, `measured`, `phases`, `checks`, `page`, `timeline`
    /// and `plots`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub shown: serde_json::Map<String, serde_json::Value>,
}

async fn make_report(
    state: &RunsState,
    id: &str,
) -> Result<(std::sync::Arc<Runbook>, tocsin_core::run::record::RunRecords, report::Report), Problem> {
    let records = state.records(id).await?;
    let runbook = state.runbook(&records.run).await?;
    let samples = state.desk.parts().db.run_samples(id).await?;
    let report = report::report(&runbook, &records, &samples);
    Ok((runbook, records, report))
}

/// Reports on one run: what was measured against the objective, the timeline, and the data of the plots.
#[utoipa::path(get, path = "/api/tocsin/v1/runs/{id}/report", tag = "runs", responses((status = 200, body = RunReport), (status = 404, body = Problem)))]
pub async fn report(
    State(state): State<RunsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<RunReport>, Problem> {
    let (runbook, records, report) = make_report(&state, &id).await?;
    let mut shown = match serde_json::to_value(&report) {
        Ok(serde_json::Value::Object(shown)) => shown,
        _ => unreachable!("a report is a map of plain data"),
    };
    // These two are told in the words of the other routes.
    shown.remove("run");
    shown.remove("objective");
    Ok(Json(RunReport { run: run_view(&runbook, &records, &caller), objective: documents::objective(&runbook), shown }))
}

/// The report as a page that stands alone, to be kept or sent.
#[utoipa::path(get, path = "/api/tocsin/v1/runs/{id}/report.html", tag = "runs", responses((status = 200, content_type = "text/html"), (status = 404, body = Problem)))]
pub async fn report_html(State(state): State<RunsState>, Path(id): Path<String>) -> Result<Response, Problem> {
    let (_, _, report) = make_report(&state, &id).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // Nothing in it may run, whatever text has found its way in.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"),
    ];
    Ok((headers, report::html::html(&report)).into_response())
}
