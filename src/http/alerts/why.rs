//! Why somebody was told of an alert, or nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tocsin_core::model::{Fingerprint, LabelSet, Matcher};
use tocsin_core::promql::evaluate::CancelOnDrop;
use tocsin_core::route::alert::ALERT_NAME;
use tocsin_core::route::matchers::{Mode, parse_matchers};
use tocsin_core::rule::margin::{Margin, margins};
use tocsin_core::rule::{Kind, Rule};
use tocsin_core::time::{Span, Timestamp};
use tocsin_core::trace::Entry;
use tocsin_core::trace::why::{Account, Line, Verdict, way, why as account};
use utoipa::ToSchema;

use crate::clock;
use crate::http::problem::Problem;
use crate::http::prometheus::query::Queries;
use crate::http::prometheus::{Parameters, instant};
use crate::pipeline::rules::{GroupStatus, Rules};
use crate::pipeline::why::{Chosen, When, WhyError, known};

use super::AlertsState;

/// What is told of the time around an instant, where nobody says otherwise.
const BEFORE: Span = Span::from_mins(24 * 60);
const AFTER: Span = Span::from_mins(60);
/// The condition of a rule is looked at within this time.
const LOOK_MAX: Duration = Duration::from_secs(20);
/// Rules of the name are looked at up to so many.
const RULES_MAX: usize = 10;
const LINES_MAX: usize = 500;

#[derive(Clone)]
pub struct WhyState {
    pub alerts: AlertsState,
    pub rules: std::sync::Arc<Rules>,
    pub queries: Queries,
}

#[derive(Serialize, ToSchema)]
pub struct VerdictView {
    /// None: the alert got to no receiver.
    pub receiver: Option<String>,
    pub told: bool,
    /// The part of the way that decided: `rule`, `routing`, `group`, `silence`, `inhibition`, `interval`, `delivery`, `person`, `service`.
    pub stage: &'static str,
    pub why: String,
    /// What would have had to be different.
    pub otherwise: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct LineView {
    pub at: String,
    /// When the same was decided last.
    pub until: String,
    pub times: u32,
    pub stage: &'static str,
    pub text: String,
    /// What belongs below it.
    pub more: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub struct AccountView {
    pub fingerprint: String,
    pub labels: BTreeMap<String, String>,
    /// How it stood at the instant, one for each receiver that it goes to.
    pub verdicts: Vec<VerdictView>,
    /// In order of time; the oldest are left out where there are more than 500.
    pub timeline: Vec<LineView>,
}

#[derive(Serialize, ToSchema)]
pub struct ReadingView {
    pub labels: BTreeMap<String, String>,
    pub value: String,
}

/// A comparison of a rule's condition at the instant.
#[derive(Serialize, ToSchema)]
pub struct MarginView {
    pub comparison: String,
    /// The right side where it is one number.
    pub right: Option<String>,
    /// Of the left side the values that are nearest to holding.
    pub left: Vec<ReadingView>,
    /// How many series the left side has, and how many of them hold.
    pub series: usize,
    pub holds: usize,
}

#[derive(Serialize, ToSchema)]
pub struct RuleView {
    pub file: String,
    pub group: String,
    pub name: String,
    pub expr: String,
    pub for_seconds: f64,
    /// Why its last evaluation failed.
    pub error: Option<String>,
    /// Why its condition cannot be looked at.
    pub fault: Option<String>,
    pub margins: Vec<MarginView>,
}

#[derive(Serialize, ToSchema)]
pub struct Why {
    pub at: String,
    pub from: String,
    pub to: String,
    /// At most ten, those first that were last heard of.
    pub alerts: Vec<AccountView>,
    /// How many more are meant.
    pub more: usize,
    /// The rules of the name, as they are now, and what their conditions compared at the instant.
    pub rules: Vec<RuleView>,
    /// Which way an alert with the labels that were asked for would have taken; empty where an alert is known.
    pub way: Vec<String>,
}

fn pairs(labels: &LabelSet) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn verdict_view(verdict: Verdict) -> VerdictView {
    let Verdict { receiver, told, stage, why, otherwise } = verdict;
    VerdictView { receiver, told, stage: stage.word(), why, otherwise }
}

fn account_view(account: Account) -> AccountView {
    let line = |line: Line| LineView {
        at: line.at.rfc3339(),
        until: line.until.rfc3339(),
        times: line.times,
        stage: line.stage.word(),
        text: line.text,
        more: line.more,
    };
    let surplus = account.lines.len().saturating_sub(LINES_MAX);
    AccountView {
        fingerprint: account.fingerprint.to_string(),
        labels: pairs(&account.labels),
        verdicts: account.verdicts.into_iter().map(verdict_view).collect(),
        timeline: account.lines.into_iter().skip(surplus).map(line).collect(),
    }
}

fn margin_view(margin: Margin) -> MarginView {
    let left = margin.left.iter().map(|(labels, value)| ReadingView { labels: pairs(labels), value: value.clone() }).collect();
    let Margin { comparison, series, right, holds, .. } = margin;
    MarginView { comparison, right, left, series, holds }
}

/// Reads which alerts are meant: a fingerprint, a name, or matchers.
fn chosen(text: &str) -> Result<Chosen, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::bad_request("name an alert: its name, its fingerprint, or matchers such as {severity=\"page\"}"));
    }
    if let Some(fingerprint) = Fingerprint::parse(text) {
        return Ok(Chosen::Fingerprint(fingerprint));
    }
    let bad = |error: String| Problem::bad_request(format!("the alert {text:?} cannot be read: {error}"));
    let (name, matchers) = match text.find('{') {
        Some(place) => (text[..place].trim(), &text[place..]),
        None if text.contains(['=', '~']) => ("", text),
        None => (text, ""),
    };
    let mut all: Vec<Matcher> = Vec::new();
    if !name.is_empty() {
        all.push(Matcher::equal(ALERT_NAME, name));
    }
    if !matchers.is_empty() {
        all.extend(parse_matchers(matchers, Mode::Fallback).map_err(|error| bad(error.to_string()))?);
    }
    Ok(Chosen::Matchers(all))
}

/// Says why somebody was told of an alert at an instant, or nobody: how it stood with each receiver, what would have had to be
/// different, and everything that was decided around that time.
#[utoipa::path(get, path = "/api/tocsin/v1/why", tag = "alerts",
    params(
        ("alert" = String, Query, description = "a name, a fingerprint, or matchers such as Down{job=\"api\"}"),
        ("at" = Option<String>, Query, description = "the instant that is asked about, RFC 3339 or Unix seconds; now when left out"),
        ("from" = Option<String>, Query, description = "the timeline begins here; a day before the instant when left out"),
        ("to" = Option<String>, Query, description = "the timeline ends here; an hour after the instant when left out")),
    responses((status = 200, body = Why), (status = 400, body = Problem)))]
pub async fn why(State(state): State<WhyState>, parameters: Parameters) -> Result<Json<Why>, Problem> {
    let chosen = chosen(parameters.get("alert").unwrap_or(""))?;
    let time = |name: &str, default: Timestamp| match parameters.get(name) {
        None => Ok(default),
        Some(text) => instant(text).map_err(|fault| Problem::bad_request(format!("{name} cannot be read: {fault}"))),
    };
    let at = time("at", clock::now())?;
    let (from, to) = (time("from", at - BEFORE)?, time("to", at + AFTER)?);
    if !(from <= at && at <= to) {
        return Err(Problem::bad_request("the instant lies between from and to"));
    }
    let known = known(&state.alerts.db, &state.alerts.watch, &chosen, When { at, from, to }).await.map_err(problem)?;
    let named: Vec<&str> = chosen.name().into_iter().chain(known.alerts.iter().map(|one| one.labels.get(ALERT_NAME))).collect();
    let rules = rules(&state, &named, at).await;
    let mut way_down = Vec::new();
    let labels = chosen.labels();
    if known.alerts.is_empty() && !labels.is_empty() {
        for record in &known.routes {
            if let Entry::Routes(routes) = &record.entry {
                way_down = way(routes, &labels);
            }
        }
    }
    Ok(Json(Why {
        at: at.rfc3339(),
        from: from.rfc3339(),
        to: to.rfc3339(),
        alerts: known.alerts.iter().map(|evidence| account_view(account(evidence))).collect(),
        more: known.more,
        rules,
        way: way_down,
    }))
}

fn problem(error: WhyError) -> Problem {
    match error {
        WhyError::Db(error) => error.into(),
        WhyError::Watch(error) => error.into(),
    }
}

/// Looks at the conditions of the rules of some names at an instant.
async fn rules(state: &WhyState, names: &[&str], at: Timestamp) -> Vec<RuleView> {
    let mut views = Vec::new();
    for status in state.rules.status() {
        let GroupStatus { group, rules, .. } = status;
        let named = group.rules.iter().enumerate().filter(|(_, rule)| names.contains(&rule.name()));
        for (place, rule) in named {
            let Kind::Alert(alerting) = &rule.kind else { continue };
            if views.len() == RULES_MAX {
                return views;
            }
            let (margins, fault) = match look(state, rule.clone(), at).await {
                Ok(margins) => (margins.into_iter().map(margin_view).collect(), None),
                Err(fault) => (Vec::new(), Some(fault)),
            };
            views.push(RuleView {
                file: group.file.to_string(),
                group: group.name.clone(),
                name: rule.name().to_owned(),
                expr: rule.text.clone(),
                for_seconds: alerting.hold.seconds(),
                error: rules.get(place).and_then(|status| status.error.clone()),
                fault,
                margins,
            });
        }
    }
    views
}

async fn look(state: &WhyState, rule: Rule, at: Timestamp) -> Result<Vec<Margin>, String> {
    // When the client has gone, the handler's future is dropped, and this with it.
    let cancel = CancelOnDrop::default();
    let (store, options, switch) = (state.queries.store.clone(), state.queries.options(), cancel.0.clone());
    let work = move || margins(&rule.expr, at, &store.snapshot(), &options, &switch);
    match state.queries.with_slot(LOOK_MAX, work).await {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
