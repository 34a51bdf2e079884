//! Pages: which are open, what has happened on one, and who takes it.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use tocsin_core::model::Fingerprint;
use tocsin_core::page;
use tocsin_core::plane::{Event, Refused, Reply};
use tocsin_core::time::Timestamp;
use utoipa::ToSchema;

use super::deliveries::{Delivery, deliveries};
use super::{Alert, AlertsState, alert_view, severity_word};
use crate::clock;
use crate::db::deliveries::DeliveryFilter;
use crate::http::access::Caller;
use crate::http::problem::Problem;
use crate::http::prometheus::Parameters;
use crate::pipeline::picture::pictures;
use crate::pipeline::watch::Note;

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page {
    pub id: String,
    /// `triggered`, `acknowledged` or `resolved`.
    pub state: &'static str,
    pub title: String,
    pub severity: &'static str,
    pub receiver: String,
    pub group_labels: BTreeMap<String, String>,
    /// Fingerprints.
    pub alerts: Vec<String>,
    pub firing_count: usize,
    pub opened_at: String,
    pub acknowledged_at: Option<String>,
    pub acknowledged_by: Option<String>,
    pub resolved_at: Option<String>,
    pub users: Vec<String>,
    pub version: u64,
}

#[derive(Serialize, ToSchema)]
pub struct Pages {
    pub pages: Vec<Page>,
}

#[derive(Serialize, ToSchema)]
pub struct TimelineEntry {
    pub at: String,
    pub kind: String,
    pub text: String,
    pub by: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct PageDetail {
    #[serde(flatten)]
    pub page: Page,
    pub timeline: Vec<TimelineEntry>,
    pub alert_details: Vec<Alert>,
    pub deliveries: Vec<Delivery>,
}

pub fn page_view(page: &page::Page) -> Page {
    Page {
        id: page.id.clone(),
        state: page.state.word(),
        title: page.title.clone(),
        severity: severity_word(page.severity),
        receiver: page.group.receiver.clone(),
        group_labels: page.group_labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        alerts: page.alerts.keys().map(Fingerprint::to_string).collect(),
        firing_count: page.firing().count(),
        opened_at: page.opened_at.rfc3339(),
        acknowledged_at: page.acknowledged_at.map(Timestamp::rfc3339),
        acknowledged_by: page.acknowledged_by.clone(),
        resolved_at: page.resolved_at.map(Timestamp::rfc3339),
        users: page.users.clone(),
        version: page.version,
    }
}

/// Lists pages, newest first.
#[utoipa::path(get, path = "/api/tocsin/v1/pages", tag = "pages",
    params(("state" = Option<String>, Query, description = "open (default) or all"), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Pages)))]
pub async fn list_pages(State(state): State<AlertsState>, parameters: Parameters) -> Result<Json<Pages>, Problem> {
    let limit = parameters.limit(1000).map_err(|_| Problem::bad_request("limit is not a whole number"))?;
    let pages = match parameters.get("state").unwrap_or("open") {
        "open" => {
            state
                .watch
                .ask(move |state| {
                    state.plane.pages().into_iter().filter(|page| page.is_open()).take(limit).map(page_view).collect()
                })
                .await?
        }
        "all" => state.db.pages::<page::Page>(false, limit as i64).await?.iter().map(page_view).collect(),
        other => return Err(Problem::bad_request(format!("state is open or all, not {other:?}"))),
    };
    Ok(Json(Pages { pages }))
}

async fn find_page(state: &AlertsState, id: &str) -> Result<page::Page, Problem> {
    let wanted = id.to_owned();
    if let Some(page) = state.watch.ask(move |state| state.plane.page(&wanted).cloned()).await? {
        return Ok(page);
    }
    state.db.page(id).await?.ok_or_else(|| Problem::not_found("there is no such page"))
}

/// Shows one page with its timeline, its alerts and its deliveries.
#[utoipa::path(get, path = "/api/tocsin/v1/pages/{id}", tag = "pages", responses((status = 200, body = PageDetail), (status = 404, body = Problem)))]
pub async fn show_page(State(state): State<AlertsState>, Path(id): Path<String>) -> Result<Json<PageDetail>, Problem> {
    let page = find_page(&state, &id).await?;
    let (now, wanted) = (clock::now(), page.alerts.keys().copied().collect::<BTreeSet<Fingerprint>>());
    let alert_details = state
        .watch
        .ask(move |state| {
            pictures(state, now).into_iter().filter(|picture| wanted.contains(&picture.fingerprint)).map(alert_view).collect()
        })
        .await?;
    let filter = DeliveryFilter { page_id: Some(id), limit: 100, ..DeliveryFilter::default() };
    let timeline = page.timeline.iter().rev().map(|entry| TimelineEntry {
        at: entry.at.rfc3339(),
        kind: entry.kind.word().to_owned(),
        text: entry.text.clone(),
        by: entry.by.clone(),
    });
    Ok(Json(PageDetail {
        timeline: timeline.collect(),
        alert_details,
        deliveries: deliveries(&state.db, &filter).await?,
        page: page_view(&page),
    }))
}

fn refusal(refused: &Refused) -> Problem {
    match refused {
        Refused::UnknownPage(_) => Problem::not_found(refused.to_string()),
        Refused::AlreadyAcknowledged { by, .. } => Problem {
            acknowledged_by: Some(by.clone()),
            ..Problem::new(StatusCode::CONFLICT, "already-acknowledged", refused.to_string())
        },
        Refused::PageResolved { .. } => Problem::new(StatusCode::CONFLICT, "already-resolved", refused.to_string()),
        Refused::NotAcknowledged { .. } => Problem::new(StatusCode::CONFLICT, "not-acknowledged", refused.to_string()),
        Refused::BadName { .. } | Refused::Silence(_) => Problem::bad_request(refused.to_string()),
    }
}

/// Sends an event about a page; it is recorded together with its line in the audit.
async fn page_event(state: &AlertsState, caller: &Caller, id: &str, action: &str, event: Event) -> Result<page::Page, Problem> {
    let (who, said, subject) = (caller.clone(), action.to_owned(), id.to_owned());
    let note: Note = Box::new(move |result| match result {
        Ok(Reply::Page(page)) => Some(who.note(&said, &subject, "done", page.title.as_str())),
        Ok(_) => None,
        Err(refused) if is_repeated(refused, &who) => None,
        Err(refused) => Some(who.note(&said, &subject, "refused", refused.to_string())),
    });
    match state.watch.request(event, Some(note)).await? {
        Ok(Reply::Page(page)) => Ok(*page),
        Ok(_) => Err(Problem::not_found("there is no such page")),
        Err(refused) if is_repeated(&refused, caller) => find_page(state, id).await,
        Err(refused) => Err(refusal(&refused)),
    }
}

/// Returns whether a caller says the same thing twice. That is no fault: the button was pressed twice, or the answer got lost.
fn is_repeated(refused: &Refused, caller: &Caller) -> bool {
    matches!(refused, Refused::AlreadyAcknowledged { by, .. } if *by == caller.name)
}

/// Acknowledges a page: its repeats stop, and PagerDuty is told.
#[utoipa::path(post, path = "/api/tocsin/v1/pages/{id}/acknowledge", tag = "pages",
    responses((status = 200, body = Page), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn acknowledge(
    State(state): State<AlertsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Page>, Problem> {
    let event = Event::Acknowledge { page: id.clone(), by: caller.name.clone() };
    Ok(Json(page_view(&page_event(&state, &caller, &id, "acknowledge", event).await?)))
}

/// Takes an acknowledgement back.
#[utoipa::path(post, path = "/api/tocsin/v1/pages/{id}/unacknowledge", tag = "pages",
    responses((status = 200, body = Page), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn unacknowledge(
    State(state): State<AlertsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Page>, Problem> {
    let event = Event::Unacknowledge { page: id.clone(), by: caller.name.clone() };
    Ok(Json(page_view(&page_event(&state, &caller, &id, "unacknowledge", event).await?)))
}
