//! Alerts, pages, silences before they are made, deliveries and the inbox: what the person on call looks at.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json, Router, routing};
use serde::{Deserialize, Serialize};
use tocsin_core::model::matcher::all_match;
use tocsin_core::model::{Fingerprint, MatchOp, Matcher};
use tocsin_core::page::{self, Severity};
use tocsin_core::plane::{Event, Refused, Reply};
use tocsin_core::time::Timestamp;
use utoipa::ToSchema;

use super::access::{Caller, Guard};
use super::problem::Problem;
use super::prometheus::Parameters;
use crate::clock;
use crate::db::Db;
use crate::db::deliveries::{Attempt, DeliveryFilter, DeliveryState, OutboxRow};
use crate::pipeline::picture::{AlertPicture, PictureState, pictures};
use crate::pipeline::watch::{Note, Watch, WatchError};

#[derive(Clone)]
pub struct AlertsState {
    pub watch: Watch,
    pub db: Db,
    pub guard: std::sync::Arc<Guard>,
}

impl From<WatchError> for Problem {
    fn from(error: WatchError) -> Problem {
        Problem::unavailable(error.to_string())
    }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PageLink {
    pub id: String,
    pub state: &'static str,
    pub acknowledged_by: Option<String>,
    pub acknowledged_at: Option<String>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RuleLink {
    pub group: String,
    pub file: String,
    pub expr: String,
    pub for_seconds: f64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Alert {
    pub fingerprint: String,
    pub name: String,
    /// `critical`, `warning`, `info` or `other`.
    pub severity: &'static str,
    /// `pending`, `firing` or `resolved`.
    pub state: &'static str,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub value: Option<String>,
    pub active_at: String,
    pub fired_at: Option<String>,
    pub resolved_at: Option<String>,
    /// Ids of silences.
    pub silenced_by: Vec<String>,
    /// Fingerprints of alerts.
    pub inhibited_by: Vec<String>,
    /// Names of time intervals.
    pub muted_by: Vec<String>,
    pub receivers: Vec<String>,
    pub page: Option<PageLink>,
    pub rule: Option<RuleLink>,
    pub generator_url: String,
}

#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct AlertCounts {
    pub firing: usize,
    pub pending: usize,
    pub acknowledged: usize,
    pub silenced: usize,
    pub inhibited: usize,
    pub resolved: usize,
}

#[derive(Serialize, ToSchema)]
pub struct Alerts {
    pub server_time: String,
    /// How many alerts the filter and the states let through.
    pub total: usize,
    /// Counts of the filter without the states.
    pub counts: AlertCounts,
    pub alerts: Vec<Alert>,
}

#[derive(Serialize, ToSchema)]
pub struct HistoryEntry {
    pub at: String,
    pub state: String,
}

#[derive(Serialize, ToSchema)]
pub struct AlertDetail {
    #[serde(flatten)]
    pub alert: Alert,
    pub deliveries: Vec<Delivery>,
    /// Newest first.
    pub history: Vec<HistoryEntry>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AttemptView {
    pub at: String,
    pub outcome: String,
    pub detail: String,
    pub duration_ms: i64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Delivery {
    pub id: i64,
    pub key: String,
    pub page_id: Option<String>,
    pub receiver: String,
    pub channel: String,
    pub action: String,
    pub title: String,
    /// `pending`, `delivered`, `rejected` or `expired`.
    pub state: &'static str,
    pub created_at: String,
    pub finished_at: Option<String>,
    pub next_attempt_at: Option<String>,
    pub expires_at: String,
    pub attempts: Vec<AttemptView>,
}

#[derive(Serialize, ToSchema)]
pub struct DeliveryStateCounts {
    pub pending: i64,
    pub delivered: i64,
    pub rejected: i64,
    pub expired: i64,
}

#[derive(Serialize, ToSchema)]
pub struct Deliveries {
    pub deliveries: Vec<Delivery>,
    /// The id to pass as `before` for the next part; null at the end.
    pub next: Option<i64>,
    /// Of all pending deliveries and of those that were created in the last 24 hours.
    pub counts: DeliveryStateCounts,
}

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

#[derive(Serialize, ToSchema)]
pub struct Message {
    pub id: String,
    pub at: String,
    pub receiver: String,
    pub title: String,
    pub body: String,
    pub status: String,
    pub page_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Inbox {
    pub messages: Vec<Message>,
}

#[derive(Deserialize, ToSchema)]
pub struct MatcherForm {
    pub name: String,
    pub value: String,
    #[serde(rename = "isRegex", default)]
    pub is_regex: bool,
    #[serde(rename = "isEqual", default = "truth")]
    pub is_equal: bool,
}

fn truth() -> bool {
    true
}

impl MatcherForm {
    pub fn matcher(self) -> Result<Matcher, Problem> {
        let op = match (self.is_equal, self.is_regex) {
            (true, false) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (false, true) => MatchOp::NotRegex,
        };
        Matcher::new(self.name, op, self.value).map_err(|error| Problem::bad_request(error.to_string()))
    }
}

#[derive(Deserialize, ToSchema)]
pub struct PreviewRequest {
    pub matchers: Vec<MatcherForm>,
}

/// What a silence with these matchers would hide now.
#[derive(Serialize, ToSchema)]
pub struct Preview {
    pub total: usize,
    pub critical: usize,
    /// At most 50.
    pub alerts: Vec<Alert>,
    pub covers_every_critical: bool,
    /// No matcher names one value, so the silence may reach further than meant.
    pub no_equality: bool,
}

pub fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
        Severity::Other => "other",
    }
}

pub fn alert_view(picture: AlertPicture) -> Alert {
    let pairs =
        |pairs: &tocsin_core::model::LabelSet| pairs.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Alert {
        fingerprint: picture.fingerprint.to_string(),
        name: picture.labels.get("alertname").to_owned(),
        severity: severity_word(Severity::of(&picture.labels)),
        state: picture.state.word(),
        labels: pairs(&picture.labels),
        annotations: picture.annotations,
        value: picture.value.map(super::prometheus::encode::float),
        active_at: picture.active_at.rfc3339(),
        fired_at: picture.fired_at.map(Timestamp::rfc3339),
        resolved_at: picture.resolved_at.map(Timestamp::rfc3339),
        silenced_by: picture.silenced_by,
        inhibited_by: picture.inhibited_by.iter().map(Fingerprint::to_string).collect(),
        muted_by: picture.muted_by,
        receivers: picture.receivers,
        page: picture.page.map(|page| PageLink {
            state: page.state.word(),
            id: page.id,
            acknowledged_by: page.acknowledged_by,
            acknowledged_at: page.acknowledged_at.map(Timestamp::rfc3339),
        }),
        rule: picture.rule.map(|terms| RuleLink {
            group: terms.group.clone(),
            file: terms.file.clone(),
            expr: terms.expr.clone(),
            for_seconds: terms.hold.seconds(),
        }),
        generator_url: picture.generator_url,
    }
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

fn delivery_view(row: OutboxRow, attempts: Vec<AttemptView>) -> Delivery {
    Delivery {
        id: row.id,
        key: row.key,
        page_id: row.page_id,
        receiver: row.receiver,
        channel: row.channel,
        action: row.action,
        title: row.title,
        state: row.state.word(),
        created_at: row.created_at.rfc3339(),
        finished_at: row.finished_at.map(Timestamp::rfc3339),
        next_attempt_at: (row.state == DeliveryState::Pending).then(|| row.next_attempt_at.rfc3339()),
        expires_at: row.expires_at.rfc3339(),
        attempts,
    }
}

/// Returns deliveries with their attempts.
async fn deliveries(db: &Db, filter: &DeliveryFilter) -> Result<Vec<Delivery>, Problem> {
    let rows = db.deliveries(filter).await?;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let mut attempts: BTreeMap<i64, Vec<AttemptView>> = BTreeMap::new();
    for Attempt { delivery_id, at, outcome, detail, duration_ms, .. } in db.attempts(&ids).await? {
        attempts.entry(delivery_id).or_default().push(AttemptView { at: at.rfc3339(), outcome, detail, duration_ms });
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let own = attempts.remove(&row.id).unwrap_or_default();
            delivery_view(row, own)
        })
        .collect())
}

/// In which of the list's states an alert counts.
fn states(picture: &AlertPicture) -> Vec<&'static str> {
    let mut states = Vec::new();
    match picture.state {
        PictureState::Pending => states.push("pending"),
        PictureState::Resolved => states.push("resolved"),
        PictureState::Firing => {
            let silenced = !picture.silenced_by.is_empty() || !picture.muted_by.is_empty();
            if silenced {
                states.push("silenced");
            }
            if !picture.inhibited_by.is_empty() {
                states.push("inhibited");
            }
            if picture.page.as_ref().is_some_and(|page| page.state == page::State::Acknowledged) {
                states.push("acknowledged");
            }
            if states.is_empty() {
                states.push("firing");
            }
        }
    }
    states
}

impl AlertCounts {
    fn add(&mut self, states: &[&'static str]) {
        for state in states {
            match *state {
                "firing" => self.firing += 1,
                "pending" => self.pending += 1,
                "acknowledged" => self.acknowledged += 1,
                "silenced" => self.silenced += 1,
                "inhibited" => self.inhibited += 1,
                _ => self.resolved += 1,
            }
        }
    }
}

/// Reads filters: each a matcher such as `severity="critical"` or several in braces.
pub fn filters(texts: &[String]) -> Result<Vec<Matcher>, Problem> {
    let mut matchers = Vec::new();
    for text in texts {
        let own = tocsin_core::route::matchers::parse_matchers(text, tocsin_core::route::matchers::Mode::Fallback);
        matchers.extend(own.map_err(|error| Problem::bad_request(format!("the filter {text:?} cannot be read: {error}")))?);
    }
    Ok(matchers)
}

/// Lists alerts: firing ones first, worst first, then by age.
#[utoipa::path(get, path = "/api/tocsin/v1/alerts", tag = "alerts",
    params(
        ("filter" = Option<Vec<String>>, Query, description = "matchers, such as severity=\"critical\"; repeatable"),
        ("state" = Option<Vec<String>>, Query, description = "firing, pending, acknowledged, silenced, inhibited, resolved; repeatable"),
        ("q" = Option<String>, Query, description = "text that a label or an annotation holds"),
        ("limit" = Option<usize>, Query), ("offset" = Option<usize>, Query)),
    responses((status = 200, body = Alerts), (status = 400, body = Problem)))]
pub async fn list_alerts(State(state): State<AlertsState>, parameters: Parameters) -> Result<Json<Alerts>, Problem> {
    let matchers = filters(parameters.all("filter"))?;
    let wanted: BTreeSet<String> = parameters.all("state").iter().filter(|state| !state.is_empty()).cloned().collect();
    let text = parameters.get("q").map(str::to_lowercase);
    let number = |name: &str, default: usize| match parameters.get(name).map(str::parse::<usize>) {
        None => Ok(default),
        Some(Ok(number)) => Ok(number),
        Some(Err(_)) => Err(Problem::bad_request(format!("{name} is not a whole number"))),
    };
    let (limit, offset) = (number("limit", 500)?.min(5000), number("offset", 0)?);
    let now = clock::now();
    let answer = state.watch.ask(move |state| {
        let mut counts = AlertCounts::default();
        let mut chosen: Vec<AlertPicture> = Vec::new();
        for picture in pictures(state, now) {
            let says = |text: &String| {
                picture.labels.iter().any(|(_, value)| value.to_lowercase().contains(text))
                    || picture.annotations.values().any(|value| value.to_lowercase().contains(text))
            };
            if !all_match(&matchers, &picture.labels) || !text.as_ref().is_none_or(says) {
                continue;
            }
            let own = states(&picture);
            counts.add(&own);
            if wanted.is_empty() || own.iter().any(|state| wanted.contains(*state)) {
                chosen.push(picture);
            }
        }
        chosen.sort_by_key(|picture| {
            (picture.state, Severity::of(&picture.labels), std::cmp::Reverse(picture.active_at), picture.fingerprint)
        });
        let total = chosen.len();
        let alerts = chosen.into_iter().skip(offset).take(limit).map(alert_view).collect();
        Alerts { server_time: now.rfc3339(), total, counts, alerts }
    });
    Ok(Json(answer.await?))
}

/// Shows one alert with its deliveries and its history.
#[utoipa::path(get, path = "/api/tocsin/v1/alerts/{fingerprint}", tag = "alerts",
    responses((status = 200, body = AlertDetail), (status = 404, body = Problem)))]
pub async fn show_alert(State(state): State<AlertsState>, Path(text): Path<String>) -> Result<Json<AlertDetail>, Problem> {
    let fingerprint = Fingerprint::parse(&text).ok_or_else(|| Problem::bad_request("a fingerprint has 16 hexadecimal digits"))?;
    let now = clock::now();
    let found =
        state.watch.ask(move |state| pictures(state, now).into_iter().find(|picture| picture.fingerprint == fingerprint)).await?;
    let Some(picture) = found else {
        return Err(Problem::not_found("this alert is not known; it ended a while ago"));
    };
    let filter = DeliveryFilter { fingerprint: Some(text.clone()), limit: 50, ..DeliveryFilter::default() };
    let history = state.db.alert_events(&text, 100).await?;
    Ok(Json(AlertDetail {
        alert: alert_view(picture),
        deliveries: deliveries(&state.db, &filter).await?,
        history: history.into_iter().map(|event| HistoryEntry { at: event.at.rfc3339(), state: event.state }).collect(),
    }))
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
pub async fn page_event(
    state: &AlertsState,
    caller: &Caller,
    id: &str,
    action: &str,
    event: Event,
) -> Result<page::Page, Problem> {
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

/// Lists deliveries with their attempts, newest first.
#[utoipa::path(get, path = "/api/tocsin/v1/deliveries", tag = "deliveries",
    params(("state" = Option<String>, Query), ("channel" = Option<String>, Query), ("limit" = Option<usize>, Query),
        ("before" = Option<i64>, Query, description = "only deliveries with a smaller id")),
    responses((status = 200, body = Deliveries)))]
pub async fn list_deliveries(State(state): State<AlertsState>, parameters: Parameters) -> Result<Json<Deliveries>, Problem> {
    let limit = parameters.limit(500).map_err(|_| Problem::bad_request("limit is not a whole number"))?;
    let wanted = match parameters.get("state") {
        None => None,
        Some(word) => {
            Some(DeliveryState::parse(word).ok_or_else(|| Problem::bad_request(format!("there is no state {word:?}")))?)
        }
    };
    let before = match parameters.get("before") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Problem::bad_request("before is not a whole number"))?),
    };
    let channel = parameters.get("channel").map(str::to_owned);
    let filter = DeliveryFilter { state: wanted, channel, before, limit: limit as i64, ..DeliveryFilter::default() };
    let deliveries = deliveries(&state.db, &filter).await?;
    let counts = state.db.delivery_counts(clock::now() - tocsin_core::time::Span::from_mins(24 * 60)).await?;
    Ok(Json(Deliveries {
        next: if deliveries.len() == limit { deliveries.last().map(|delivery| delivery.id) } else { None },
        counts: DeliveryStateCounts {
            pending: counts.pending,
            delivered: counts.delivered,
            rejected: counts.rejected,
            expired: counts.expired,
        },
        deliveries,
    }))
}

/// Lists the messages of the built-in inbox, newest first.
#[utoipa::path(get, path = "/api/tocsin/v1/inbox", tag = "deliveries", params(("limit" = Option<usize>, Query)), responses((status = 200, body = Inbox)))]
pub async fn inbox(State(state): State<AlertsState>, parameters: Parameters) -> Result<Json<Inbox>, Problem> {
    let limit = parameters.limit(500).map_err(|_| Problem::bad_request("limit is not a whole number"))?;
    let messages = state.db.inbox(limit as i64).await?.into_iter().map(|message| Message {
        id: message.key,
        at: message.at.rfc3339(),
        receiver: message.receiver,
        title: message.title,
        body: message.body,
        status: message.status,
        page_id: message.page_id,
    });
    Ok(Json(Inbox { messages: messages.collect() }))
}

/// Says what a silence would hide now, before it is made.
#[utoipa::path(post, path = "/api/tocsin/v1/silences/preview", tag = "silences", request_body = PreviewRequest,
    responses((status = 200, body = Preview), (status = 400, body = Problem)))]
pub async fn preview(State(state): State<AlertsState>, Json(request): Json<PreviewRequest>) -> Result<Json<Preview>, Problem> {
    let matchers = request.matchers.into_iter().map(MatcherForm::matcher).collect::<Result<Vec<_>, _>>()?;
    let now = clock::now();
    let answer = state.watch.ask(move |state| {
        let critical = |picture: &AlertPicture| Severity::of(&picture.labels) == Severity::Critical;
        let firing: Vec<AlertPicture> =
            pictures(state, now).into_iter().filter(|picture| picture.state == PictureState::Firing).collect();
        let all_critical = firing.iter().filter(|picture| critical(picture)).count();
        let hidden: Vec<AlertPicture> =
            firing.into_iter().filter(|picture| !matchers.is_empty() && all_match(&matchers, &picture.labels)).collect();
        let hidden_critical = hidden.iter().filter(|picture| critical(picture)).count();
        Preview {
            total: hidden.len(),
            critical: hidden_critical,
            covers_every_critical: all_critical > 0 && hidden_critical == all_critical,
            no_equality: !matchers.iter().any(|matcher| matcher.op == MatchOp::Equal && !matcher.value.is_empty()),
            alerts: hidden.into_iter().take(50).map(alert_view).collect(),
        }
    });
    Ok(Json(answer.await?))
}

pub fn routes(state: AlertsState) -> Router {
    Router::new()
        .route("/api/tocsin/v1/alerts", routing::get(list_alerts))
        .route("/api/tocsin/v1/alerts/{fingerprint}", routing::get(show_alert))
        .route("/api/tocsin/v1/pages", routing::get(list_pages))
        .route("/api/tocsin/v1/pages/{id}", routing::get(show_page))
        .route("/api/tocsin/v1/pages/{id}/acknowledge", routing::post(acknowledge))
        .route("/api/tocsin/v1/pages/{id}/unacknowledge", routing::post(unacknowledge))
        .route("/api/tocsin/v1/deliveries", routing::get(list_deliveries))
        .route("/api/tocsin/v1/inbox", routing::get(inbox))
        .route("/api/tocsin/v1/silences/preview", routing::post(preview))
        .with_state(state)
}
