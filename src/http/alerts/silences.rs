//! Silences as people see, make and end them; Alertmanager's own way is beside this one.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tocsin_core::model::{LabelSet, Matcher};
use tocsin_core::page::Severity;
use tocsin_core::plane::{Event, Refused, Reply};
use tocsin_core::route::silence::{BadSilence, EndedWhy, Silence, SilenceRequest, SilenceState, Terms};
use tocsin_core::route::time_interval::{IntervalForm, RangeForm};
use tocsin_core::time::Timestamp;
use utoipa::ToSchema;

use super::AlertsState;
use super::preview::MatcherForm;
use crate::clock;
use crate::http::access::Caller;
use crate::http::problem::Problem;
use crate::id;
use crate::pipeline::watch::Note;

/// Hours and minutes of a day.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeRangeForm {
    /// Such as `22:00`.
    pub start_time: String,
    /// Such as `06:00`; before the start it means the next day. `24:00` is the end of the day.
    pub end_time: String,
}

/// A recurring time, as `time_intervals` of the configuration have it. An empty list asks nothing; all lists must agree.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimesForm {
    pub times: Vec<TimeRangeForm>,
    /// Such as `monday:friday`.
    pub weekdays: Vec<String>,
    /// Such as `1:7` or `-1`.
    pub days_of_month: Vec<String>,
    pub months: Vec<String>,
    pub years: Vec<String>,
    /// A zone such as `Europe/Berlin`; None: UTC.
    pub location: Option<String>,
}

impl TimesForm {
    fn interval(self) -> IntervalForm {
        let TimesForm { times, weekdays, days_of_month, months, years, location } = self;
        let range = |TimeRangeForm { start_time, end_time }| RangeForm { start_time, end_time };
        IntervalForm { times: times.into_iter().map(range).collect(), weekdays, days_of_month, months, years, location }
    }

    fn of(interval: IntervalForm) -> TimesForm {
        let IntervalForm { times, weekdays, days_of_month, months, years, location } = interval;
        let range = |RangeForm { start_time, end_time }| TimeRangeForm { start_time, end_time };
        TimesForm { times: times.into_iter().map(range).collect(), weekdays, days_of_month, months, years, location }
    }
}

/// Reads the terms of a silence. Errors: every fault.
pub(super) fn terms(until_resolved: bool, times: Vec<TimesForm>) -> Result<Terms, Problem> {
    let forms: Vec<IntervalForm> = times.into_iter().map(TimesForm::interval).collect();
    Terms::read(until_resolved, &forms).map_err(|faults| Problem::bad_request(faults.join("; ")))
}

pub(super) fn matchers(forms: Vec<MatcherForm>) -> Result<Vec<Matcher>, Problem> {
    forms.into_iter().map(MatcherForm::matcher).collect()
}

#[derive(Serialize, ToSchema)]
pub struct SilenceEnd {
    /// `person`, `replaced` (by a change that cannot be made in place) or `resolved`.
    pub why: &'static str,
    pub by: Option<String>,
    /// When it would have ended.
    pub instead_of: String,
}

#[derive(Serialize, ToSchema)]
pub struct SilenceView {
    pub id: String,
    /// `active`, `pending` (it has not begun, or it is not one of its times) or `expired`.
    #[schema(value_type = String)]
    pub state: SilenceState,
    pub matchers: Vec<MatcherForm>,
    pub starts_at: String,
    pub ends_at: String,
    pub updated_at: String,
    /// Who it says has made it.
    pub created_by: String,
    /// Who had signed in.
    pub owner: Option<String>,
    pub comment: String,
    /// It ends once none of its alerts fires any more.
    pub until_resolved: bool,
    /// It mutes at these times only; empty: all the time.
    pub times: Vec<TimesForm>,
    /// When it begins to mute, or stops, whichever is next; None: not within two months.
    pub next_turn_at: Option<String>,
    /// How it came to end before its time.
    pub ended: Option<SilenceEnd>,
    /// How many alerts fire under it now.
    pub firing: usize,
    /// How many of those are critical.
    pub critical: usize,
}

impl SilenceView {
    fn new(silence: Silence, firing: &[LabelSet], now: Timestamp) -> SilenceView {
        let state = silence.state(now);
        let muted: Vec<&LabelSet> = match state {
            SilenceState::Active => firing.iter().filter(|labels| silence.mutes(labels, now)).collect(),
            SilenceState::Pending | SilenceState::Expired => Vec::new(),
        };
        let end = |ended: &tocsin_core::route::silence::Ended| SilenceEnd {
            why: match ended.why {
                EndedWhy::Person => "person",
                EndedWhy::Replaced => "replaced",
                EndedWhy::Resolved => "resolved",
            },
            by: ended.by.clone(),
            instead_of: ended.instead_of.rfc3339(),
        };
        SilenceView {
            state,
            matchers: silence.matchers.iter().map(MatcherForm::of).collect(),
            starts_at: silence.starts_at.rfc3339(),
            ends_at: silence.ends_at.rfc3339(),
            updated_at: silence.updated_at.rfc3339(),
            until_resolved: silence.terms.until_resolved,
            times: silence.terms.times.iter().map(|interval| TimesForm::of(interval.into())).collect(),
            next_turn_at: silence.next_turn(now).map(Timestamp::rfc3339),
            ended: silence.ended.as_ref().map(end),
            firing: muted.len(),
            critical: muted.iter().filter(|labels| Severity::of(labels) == Severity::Critical).count(),
            id: silence.id,
            created_by: silence.created_by,
            owner: silence.owner,
            comment: silence.comment,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct Silences {
    pub server_time: String,
    /// Active ones first, those that end first before the others; then pending ones, then those that have ended, the last one first.
    pub silences: Vec<SilenceView>,
    /// So long before its end people are reminded of a silence under which alerts fire, in seconds; None: they are not.
    pub remind_seconds: Option<f64>,
}

/// Lists the silences, those included that ended within five days.
#[utoipa::path(get, path = "/api/tocsin/v1/silences", tag = "silences", responses((status = 200, body = Silences)))]
pub async fn list_silences(State(state): State<AlertsState>) -> Result<Json<Silences>, Problem> {
    let now = clock::now();
    let asked = state.watch.ask(move |state| {
        let plane = &state.plane;
        let firing: Vec<LabelSet> =
            plane.firing(now).filter(|alert| !plane.is_spared(&alert.labels)).map(|alert| alert.labels.clone()).collect();
        (plane.silences().into_iter().cloned().collect::<Vec<Silence>>(), firing, plane.silencing().remind)
    });
    let (silences, firing, remind) = asked.await?;
    // Every silence is held against every alert, and times are looked through ahead: not a task for those who serve requests.
    let work = tokio::task::spawn_blocking(move || {
        let mut views: Vec<SilenceView> = silences.into_iter().map(|silence| SilenceView::new(silence, &firing, now)).collect();
        views.sort_by(|one, other| {
            let key = |view: &SilenceView| match view.state {
                SilenceState::Active => (0, view.ends_at.clone()),
                SilenceState::Pending => (1, view.next_turn_at.clone().unwrap_or_default()),
                SilenceState::Expired => (2, String::new()),
            };
            let latest_first = other.ends_at.cmp(&one.ends_at);
            key(one).cmp(&key(other)).then(latest_first).then_with(|| one.id.cmp(&other.id))
        });
        views
    });
    let silences = work.await.map_err(|_| Problem::unavailable("the silences could not be listed"))?;
    Ok(Json(Silences { server_time: now.rfc3339(), silences, remind_seconds: remind.map(|span| span.seconds()) }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SilenceWish {
    /// The silence that is changed; None: a new one is made.
    pub id: Option<String>,
    /// `updated_at` of the silence that is changed, as you saw it.
    pub seen_at: Option<String>,
    pub matchers: Vec<MatcherForm>,
    /// None: now.
    pub starts_at: Option<String>,
    pub ends_at: String,
    pub comment: String,
    /// Who makes it, where nobody signs in; otherwise it is who has signed in.
    pub created_by: Option<String>,
    #[serde(default)]
    pub until_resolved: bool,
    #[serde(default)]
    pub times: Vec<TimesForm>,
}

#[derive(Serialize, ToSchema)]
pub struct SilenceMade {
    /// A change that cannot be made in place has made a new silence, and ended the old one.
    pub id: String,
}

pub(super) fn instant(name: &str, text: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse_rfc3339(text)
        .ok_or_else(|| Problem::bad_request(format!("{name}: {text:?} is no instant; write one such as 2026-11-22T10:15:00Z")))
}

/// Returns what the audit is to say of a silence that somebody makes or changes.
pub(in crate::http) fn set_note(caller: Caller, request: &SilenceRequest) -> Note {
    let said: Vec<String> = request.matchers.iter().map(ToString::to_string).collect();
    Box::new(move |result| match result {
        Ok(Reply::Silence { id }) => Some(caller.note("set silence", id, "done", said.join(", "))),
        Ok(_) | Err(_) => None,
    })
}

/// The same of one that somebody ends.
pub(in crate::http) fn end_note(caller: Caller, id: &str) -> Note {
    let id = id.to_owned();
    Box::new(move |result| result.as_ref().ok().map(|_| caller.note("end silence", &id, "done", "")))
}

/// Makes a silence, or changes one.
#[utoipa::path(post, path = "/api/tocsin/v1/silences", tag = "silences", request_body = SilenceWish,
    responses((status = 200, body = SilenceMade), (status = 400, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn set_silence(
    State(state): State<AlertsState>,
    Extension(caller): Extension<Caller>,
    Json(wish): Json<SilenceWish>,
) -> Result<Json<SilenceMade>, Problem> {
    if wish.comment.trim().is_empty() {
        return Err(Problem::bad_request("comment: say why, for the next reader was not here"));
    }
    let owner = caller.signed_in();
    let request = SilenceRequest {
        id: wish.id,
        seen_at: wish.seen_at.map(|text| instant("seen_at", &text)).transpose()?,
        new_id: id::uuid(),
        matchers: matchers(wish.matchers)?,
        starts_at: wish.starts_at.map(|text| instant("starts_at", &text)).transpose()?,
        ends_at: instant("ends_at", &wish.ends_at)?,
        created_by: owner.clone().or(wish.created_by).unwrap_or_default(),
        owner,
        comment: wish.comment,
        annotations: Default::default(),
        terms: Some(terms(wish.until_resolved, wish.times)?),
    };
    let note = set_note(caller, &request);
    match state.watch.request(Event::SilenceSet(request), Some(note)).await? {
        Ok(Reply::Silence { id }) => Ok(Json(SilenceMade { id })),
        Ok(_) => Err(Problem::bad_request("the silence was not taken")),
        Err(refused) => Err(problem(refused)),
    }
}

/// Ends a silence; it stays listed for five days.
#[utoipa::path(delete, path = "/api/tocsin/v1/silences/{id}", tag = "silences", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub async fn end_silence(
    State(state): State<AlertsState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let (by, note) = (caller.signed_in(), end_note(caller, &id));
    match state.watch.request(Event::SilenceExpire { id, by }, Some(note)).await? {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(refused) => Err(problem(refused)),
    }
}

fn problem(refused: Refused) -> Problem {
    let text = refused.to_string();
    match refused {
        Refused::Silence(BadSilence::NotFound) => Problem::not_found(text),
        Refused::Silence(BadSilence::Changed { .. }) => Problem::new(StatusCode::CONFLICT, "silence-changed", text),
        Refused::Silence(BadSilence::AgainstPolicy { .. }) => Problem::new(StatusCode::BAD_REQUEST, "against-policy", text),
        Refused::Silence(_)
        | Refused::UnknownPage(_)
        | Refused::PageResolved { .. }
        | Refused::AlreadyAcknowledged { .. }
        | Refused::NotAcknowledged { .. }
        | Refused::BadName { .. } => Problem::bad_request(text),
    }
}
