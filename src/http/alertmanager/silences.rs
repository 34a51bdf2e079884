//! Silences: asked for, set and ended.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use tocsin_core::model::Matcher;
use tocsin_core::plane::{Event, Refused, Reply};
use tocsin_core::route::silence::{BadSilence, Silence, SilenceRequest, SilenceState, Terms};
use tocsin_core::time::Timestamp;

use super::fault::{V2Error, first_value, json_body};
use super::{AlertmanagerState, instant, matchers};
use crate::clock;
use crate::http::access::Caller;
use crate::http::alerts::preview::MatcherForm;
use crate::http::alerts::silences::{end_note, set_note};
use crate::http::prometheus::Parameters;
use crate::id;

fn gettable(silence: &Silence, now: Timestamp) -> Value {
    let mut shown = json!({
        "id": silence.id,
        "status": { "state": silence.state(now) },
        "updatedAt": silence.updated_at.rfc3339(),
        "matchers": silence.matchers.iter().map(MatcherForm::of).collect::<Vec<_>>(),
        "startsAt": silence.starts_at.rfc3339(),
        "endsAt": silence.ends_at.rfc3339(),
        "createdBy": silence.created_by,
        "comment": silence.comment,
    });
    let mut annotations = silence.annotations.clone();
    silence.terms.annotate(&mut annotations);
    if !annotations.is_empty() {
        shown["annotations"] = json!(annotations);
    }
    shown
}

/// Returns whether a silence has every matcher of a filter as one of its own: the same label, operator and value.
fn has_all(silence: &Silence, filter: &[Matcher]) -> bool {
    let is = |own: &Matcher, asked: &Matcher| (&own.name, own.op, &own.value) == (&asked.name, asked.op, &asked.value);
    filter.iter().all(|asked| silence.matchers.iter().any(|own| is(own, asked)))
}

pub(super) async fn get_silences(State(state): State<AlertmanagerState>, parameters: Parameters) -> Result<Response, V2Error> {
    let (filter, now) = (matchers(&parameters, "filter", state.view().matchers)?, clock::now());
    let mut silences: Vec<Silence> = state.watch.ask(|state| state.plane.silences().into_iter().cloned().collect()).await?;
    silences.retain(|silence| has_all(silence, &filter));
    // Active ones by the nearest end, then pending ones by the nearest start, then expired ones by the latest end.
    silences.sort_by_key(|silence| {
        let state = silence.state(now);
        let by = match state {
            SilenceState::Active => silence.ends_at.0,
            SilenceState::Pending => silence.starts_at.0,
            SilenceState::Expired => -silence.ends_at.0,
        };
        (state, by, silence.id.clone())
    });
    Ok(Json(silences.iter().map(|silence| gettable(silence, now)).collect::<Vec<_>>()).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostableSilence {
    id: Option<String>,
    matchers: Option<Vec<PostableMatcher>>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    created_by: Option<String>,
    comment: Option<String>,
    annotations: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostableMatcher {
    name: Option<String>,
    value: Option<String>,
    is_regex: Option<bool>,
    is_equal: Option<bool>,
}

impl PostableMatcher {
    fn matcher(self, index: usize) -> Result<Matcher, V2Error> {
        let required = |field: &str| V2Error::required(&format!("matchers.{index}.{field}"));
        let is_regex = self.is_regex.ok_or_else(|| required("isRegex"))?;
        let name = self.name.ok_or_else(|| required("name"))?;
        let value = self.value.ok_or_else(|| required("value"))?;
        let form = MatcherForm { name, value, is_regex, is_equal: self.is_equal.unwrap_or(true) };
        form.matcher().map_err(|problem| V2Error::bad(problem.detail))
    }
}

impl PostableSilence {
    /// Fields are missed in the order of their names, as Alertmanager does.
    fn request(self, new_id: String, owner: Option<String>) -> Result<SilenceRequest, V2Error> {
        let need = |field: Option<String>, name: &str| field.ok_or_else(|| V2Error::required(name));
        let when =
            |name: &str, text: &str| instant(Some(text)).map_err(|bad| V2Error::unreadable("silence", format!("{name} {bad}")));
        let comment = need(self.comment, "comment")?;
        let created_by = need(self.created_by, "createdBy")?;
        let ends_at = need(self.ends_at, "endsAt")?;
        let matchers = self.matchers.ok_or_else(|| V2Error::required("matchers"))?;
        if matchers.is_empty() {
            return Err(V2Error::too_few_items("matchers"));
        }
        let starts_at = need(self.starts_at, "startsAt")?;
        let pairs = self.annotations.into_iter().flatten();
        let mut annotations = pairs.map(|(name, text)| (name, text.unwrap_or_default())).collect();
        let terms = Terms::from_annotations(&mut annotations).map_err(|faults| V2Error::bad(faults.join("; ")))?;
        Ok(SilenceRequest {
            id: self.id.filter(|id| !id.is_empty()),
            seen_at: None,
            new_id,
            starts_at: when("startsAt", &starts_at)?,
            ends_at: when("endsAt", &ends_at)?.ok_or_else(|| V2Error::bad("endsAt is missing"))?,
            matchers: matchers.into_iter().enumerate().map(|(index, form)| form.matcher(index)).collect::<Result<_, _>>()?,
            created_by,
            comment,
            owner,
            annotations,
            // A client that does not know of terms leaves them as they are.
            terms,
        })
    }
}

pub(super) async fn post_silence(
    State(state): State<AlertmanagerState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, V2Error> {
    let body = json_body(&headers, body, "silence")?;
    let posted: PostableSilence = first_value(&body).map_err(|error| V2Error::unreadable("silence", error))?;
    let request = posted.request(id::uuid(), caller.signed_in())?;
    let note = set_note(caller, &request);
    match state.watch.request(Event::SilenceSet(request), Some(note)).await? {
        Ok(Reply::Silence { id }) => Ok(Json(json!({ "silenceID": id })).into_response()),
        Ok(_) => Err(V2Error::bad("the silence was not taken")),
        Err(Refused::Silence(BadSilence::NotFound)) => {
            Err(V2Error::Said(StatusCode::NOT_FOUND, BadSilence::NotFound.to_string()))
        }
        Err(Refused::Silence(bad @ (BadSilence::EndsBeforeStart | BadSilence::EndsInPast))) => {
            Err(V2Error::bad(format!("Failed to create silence: {bad}")))
        }
        Err(refused) => Err(V2Error::bad(refused.to_string())),
    }
}

/// Refuses what cannot be the id of a silence: 32 hexadecimal digits, with or without dashes between their groups.
fn check_id(id: &str) -> Result<(), V2Error> {
    let groups: Vec<usize> = id.split('-').map(str::len).collect();
    let is_grouped = matches!(groups[..], [32] | [8, 4, 4, 4, 12]);
    if is_grouped && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(V2Error::path_type("silenceID", "uuid", id))
}

pub(super) async fn get_silence(State(state): State<AlertmanagerState>, Path(id): Path<String>) -> Result<Response, V2Error> {
    check_id(&id)?;
    let now = clock::now();
    let silence = state.watch.ask(move |state| state.plane.silence(&id).map(|silence| gettable(silence, now))).await?;
    Ok(Json(silence.ok_or(V2Error::Nothing)?).into_response())
}

pub(super) async fn delete_silence(
    State(state): State<AlertmanagerState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, V2Error> {
    check_id(&id)?;
    let (by, note) = (caller.signed_in(), end_note(caller, &id));
    match state.watch.request(Event::SilenceExpire { id, by }, Some(note)).await? {
        Ok(_) => Ok(StatusCode::OK),
        Err(Refused::Silence(BadSilence::NotFound)) => Err(V2Error::Nothing),
        Err(refused) => Err(V2Error::Said(StatusCode::INTERNAL_SERVER_ERROR, refused.to_string())),
    }
}
