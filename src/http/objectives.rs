//! Objectives: what was promised, how much of the error budget is left, and how fast it burns.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Json, Router, routing};
use serde::{Deserialize, Serialize};
use tocsin_core::alert::Instances;
use tocsin_core::ledger::RuleKey;
use tocsin_core::slo::{AlertRule, BurnDown, Condition, PairStatus};
use tocsin_core::time::Timestamp;
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use crate::clock;
use crate::pipeline::objectives::{Handle, View};
use crate::pipeline::watch::Watch;

/// Points of a plot, unless the caller says otherwise, and at most.
const POINTS: usize = 200;
const POINTS_MAX: usize = 2000;

#[derive(Clone)]
pub struct ObjectivesState {
    pub objectives: Handle,
    pub watch: Watch,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct WindowView {
    /// `30d`, or `each month, Europe/Berlin`.
    pub text: String,
    /// `rolling` or `calendar`.
    pub kind: &'static str,
    /// Null until something was read.
    pub from: Option<String>,
    pub until: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BudgetView {
    /// Bad events, or slices, that the window may hold.
    pub allowed: f64,
    pub spent: f64,
    /// 1 untouched, 0 spent, below 0 overspent. Null when the budget is nothing at all and is overspent.
    pub remaining_share: Option<f64>,
    /// When the budget is spent if it burns on as over the last hour. Null: it lasts.
    pub exhausted_at_forecast: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BurnView {
    pub window_seconds: f64,
    /// 1 spends the budget exactly by the end of the window. Null: nothing was counted.
    pub rate: Option<f64>,
}

/// An alert of the objective: one entry for each pair of windows that it watches.
#[derive(Debug, Serialize, ToSchema)]
pub struct ObjectiveAlert {
    pub name: String,
    pub severity: String,
    /// `inactive`, `pending` or `firing`; that of the alert, whichever of its pairs burns.
    pub state: &'static str,
    /// Null for an alert that looks at the whole window.
    pub short_seconds: Option<f64>,
    pub long_seconds: Option<f64>,
    /// The burn rate above which it fires.
    pub factor: Option<f64>,
    pub short_rate: Option<f64>,
    pub long_rate: Option<f64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Objective {
    /// The name of the SLO; behind its first objective with a number: `checkout/1`.
    pub id: String,
    pub slo: String,
    pub name: String,
    pub service: String,
    pub title: String,
    pub description: String,
    pub labels: BTreeMap<String, String>,
    /// The share that is to be good, from 0 to 1.
    pub target: f64,
    pub window: WindowView,
    /// `occurrences` or `timeslices`.
    pub method: &'static str,
    /// `events` or `slices`.
    pub unit: &'static str,
    /// Of the window.
    pub good: f64,
    pub total: f64,
    /// The share that was good. Null: nothing was counted.
    pub sli: Option<f64>,
    pub budget: BudgetView,
    pub burn: Vec<BurnView>,
    pub alerts: Vec<ObjectiveAlert>,
    /// Null: nothing was read yet.
    pub counted_until: Option<String>,
    /// The counts are not of all time until now, or of an earlier definition, and soon will be.
    pub catching_up: bool,
    /// Some alert is not judged, because there are too few events.
    pub low_traffic: bool,
    /// Why it cannot be counted.
    pub error: Option<String>,
    /// Values and series that could not be counted since the start.
    pub refused: u64,
    pub file: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ObjectiveList {
    pub server_time: String,
    pub objectives: Vec<Objective>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ObjectiveDetail {
    #[serde(flatten)]
    pub objective: Objective,
    /// Milliseconds since 1970, and the share of the budget that was left.
    pub burn_down: Vec<(i64, Option<f64>)>,
    /// Milliseconds since 1970, and bad events, or slices, since the point before.
    pub errors: Vec<(i64, f64)>,
    pub definition_text: String,
}

#[derive(Debug, Deserialize, IntoParams)]
pub struct Points {
    /// Points of the two plots; 200 unless said otherwise, 2000 at most.
    pub points: Option<usize>,
}

/// Returns a number that JSON can hold.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

type States = BTreeMap<RuleKey, &'static str>;

/// Returns the state of each alert rule.
async fn states(watch: &Watch, views: &[View]) -> Result<States, Problem> {
    let rules: Vec<RuleKey> = views.iter().flat_map(|view| view.definition.rule_ids()).map(Arc::new).collect();
    let states = watch.ask(move |state| {
        let word =
            |rule: &RuleKey| state.ledger.of_rule(rule).and_then(Instances::state).map_or("inactive", |state| state.name());
        rules.iter().map(|rule| (rule.clone(), word(rule))).collect()
    });
    Ok(states.await?)
}

fn alerts(view: &View, states: &States) -> Vec<ObjectiveAlert> {
    let pairs: &[PairStatus] = view.status.as_ref().map_or(&[], |status| &status.pairs);
    let mut pairs = pairs.iter();
    let mut alerts = Vec::new();
    for (id, rule) in view.definition.rule_ids().into_iter().zip(&view.definition.alerts) {
        let state = states.get(&id).copied().unwrap_or("inactive");
        let alert = |short_seconds, long_seconds, factor| ObjectiveAlert {
            name: rule.name.clone(),
            severity: rule.severity.clone(),
            state,
            short_seconds,
            long_seconds,
            factor,
            short_rate: None,
            long_rate: None,
        };
        let AlertRule { condition, .. } = rule;
        match condition {
            Condition::Burning(own) => alerts.extend(own.iter().map(|pair| {
                let status = pairs.next();
                ObjectiveAlert {
                    short_rate: status.and_then(|status| finite(status.short.rate?)),
                    long_rate: status.and_then(|status| finite(status.long.rate?)),
                    ..alert(Some(pair.short.seconds()), Some(pair.long.seconds()), Some(pair.rate()))
                }
            })),
            Condition::Exhausted => alerts.push(alert(None, None, None)),
            Condition::Rate { threshold, lookback, .. } => {
                let rate = view.burns.iter().find(|(span, _)| span == lookback).and_then(|(_, burn)| finite(burn.rate?));
                let seconds = Some(lookback.seconds());
                alerts.push(ObjectiveAlert { short_rate: rate, long_rate: rate, ..alert(seconds, seconds, Some(*threshold)) });
            }
        }
    }
    alerts
}

fn show(view: &View, states: &States) -> Objective {
    let definition = &view.definition;
    let budget = view.status.as_ref().map(|status| &status.budget);
    let at = view.status.as_ref().map(|status| status.at);
    let tally = budget.map(|budget| budget.counted.tally).unwrap_or_default();
    Objective {
        id: definition.id.clone(),
        slo: definition.slo.clone(),
        name: definition.slo.clone(),
        service: definition.service.clone(),
        title: definition.title.clone(),
        description: definition.description.clone(),
        labels: definition.labels.clone(),
        target: definition.target.ratio(),
        window: WindowView {
            text: definition.window.to_string(),
            kind: if definition.window.is_rolling() { "rolling" } else { "calendar" },
            from: budget.map(|budget| budget.window.from.rfc3339()),
            until: budget.map(|budget| budget.window.to.rfc3339()),
        },
        method: if definition.counting.slices.is_some() { "timeslices" } else { "occurrences" },
        unit: definition.noun(),
        good: tally.good.float(),
        total: tally.total.float(),
        sli: budget.and_then(|budget| budget.good_ratio),
        budget: BudgetView {
            allowed: budget.map_or(0.0, |budget| budget.allowed),
            spent: tally.bad().float(),
            remaining_share: budget.map_or(Some(1.0), |budget| finite(budget.left)),
            exhausted_at_forecast: at.zip(budget.and_then(|budget| budget.exhausted_in)).map(|(at, span)| (at + span).rfc3339()),
        },
        burn: view
            .burns
            .iter()
            .map(|(span, burn)| BurnView { window_seconds: span.seconds(), rate: burn.rate.and_then(finite) })
            .collect(),
        alerts: alerts(view, states),
        counted_until: at.map(Timestamp::rfc3339),
        catching_up: view.catching_up,
        low_traffic: view.has_low_traffic(),
        error: view.error.clone(),
        refused: view.refused,
        file: format!("{}:{}", definition.origin.file, definition.origin.position.line),
    }
}

/// Lists the objectives with their error budgets.
#[utoipa::path(get, path = "/api/tocsin/v1/objectives", tag = "objectives", responses((status = 200, body = ObjectiveList)))]
pub async fn list_objectives(State(state): State<ObjectivesState>) -> Result<Json<ObjectiveList>, Problem> {
    let views = state.objectives.views();
    let states = states(&state.watch, &views).await?;
    let objectives = views.iter().map(|view| show(view, &states)).collect();
    Ok(Json(ObjectiveList { server_time: clock::now().rfc3339(), objectives }))
}

/// Shows one objective, and how its budget was spent over the window. A slash in the id is written as `%2F`.
#[utoipa::path(get, path = "/api/tocsin/v1/objectives/{id}", tag = "objectives", params(("id" = String, Path), Points),
    responses((status = 200, body = ObjectiveDetail), (status = 404, body = Problem)))]
pub async fn show_objective(
    State(state): State<ObjectivesState>,
    Path(id): Path<String>,
    Query(Points { points }): Query<Points>,
) -> Result<Json<ObjectiveDetail>, Problem> {
    let missing = || Problem::not_found(format!("there is no objective {id:?}"));
    let points = points.unwrap_or(POINTS).clamp(1, POINTS_MAX);
    let view = state.objectives.view(&id).ok_or_else(missing)?;
    let plot: Vec<BurnDown> = state.objectives.ask(&id, |standing| standing.burn_down(points)).unwrap_or_default();
    let states = states(&state.watch, std::slice::from_ref(&view)).await?;
    Ok(Json(ObjectiveDetail {
        objective: show(&view, &states),
        burn_down: plot.iter().map(|point| (point.at.0, finite(point.left))).collect(),
        errors: plot.iter().map(|point| (point.at.0, point.bad)).collect(),
        definition_text: view.definition.text(),
    }))
}

pub fn routes(state: ObjectivesState) -> Router {
    Router::new()
        .route("/api/tocsin/v1/objectives", routing::get(list_objectives))
        .route("/api/tocsin/v1/objectives/{id}", routing::get(show_objective))
        .with_state(state)
}
