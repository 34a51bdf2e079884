//! What a silence would hide, told before it is made.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tocsin_core::model::matcher::all_match;
use tocsin_core::model::{MatchOp, Matcher};
use tocsin_core::page::Severity;
use utoipa::ToSchema;

use super::{Alert, AlertsState, alert_view};
use crate::clock;
use crate::http::problem::Problem;
use crate::pipeline::picture::{AlertPicture, PictureState, pictures};

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
