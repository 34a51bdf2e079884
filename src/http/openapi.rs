//! The OpenAPI document of our own API, made from the handlers themselves.

use axum::{Json, Router, routing};
use utoipa::OpenApi;

use super::{accounts, alerts, cardinality, journeys, objectives, overview, runs, session, stream, tsdb};

#[derive(OpenApi)]
#[openapi(
    info(title = "Tocsin", description = "Tocsin's own API. Times are RFC 3339 in UTC. Errors are application/problem+json."),
    paths(
        session::get_session,
        session::log_in,
        session::log_out,
        session::change_password,
        overview::overview,
        overview::targets,
        cardinality::cardinality,
        cardinality::metric,
        overview::demo,
        overview::set_fault,
        objectives::list_objectives,
        objectives::show_objective,
        journeys::journeys,
        alerts::list_alerts,
        alerts::show_alert,
        alerts::pages::list_pages,
        alerts::pages::show_page,
        alerts::pages::acknowledge,
        alerts::pages::unacknowledge,
        alerts::deliveries::list_deliveries,
        alerts::deliveries::inbox,
        alerts::silences::list_silences,
        alerts::silences::set_silence,
        alerts::silences::end_silence,
        alerts::preview::preview,
        alerts::preview::history,
        alerts::why::why,
        accounts::list_users,
        accounts::add_user,
        accounts::change_user,
        accounts::list_tokens,
        accounts::add_token,
        accounts::revoke_token,
        accounts::read_audit,
        accounts::check_audit,
        runs::list_runs,
        runs::show_run,
        runs::documents::list_documents,
        runs::documents::show_document,
        runs::documents::start_run,
        runs::documents::suggestions,
        runs::control::approve,
        runs::control::cancel,
        runs::control::pause,
        runs::control::resume,
        runs::control::human,
        runs::control::settle,
        runs::holds::kill_switch,
        runs::holds::set_kill_switch,
        runs::holds::list_freezes,
        runs::holds::add_freeze,
        runs::holds::drop_freeze,
        runs::hooks::receive,
        runs::studies::drills,
        runs::studies::experiments,
        runs::studies::report,
        runs::studies::report_html,
        stream::stream,
        tsdb::list,
        tsdb::delete,
        tsdb::snapshot,
        tsdb::dump,
    )
)]
struct Document;

/// Returns the document as JSON, indented, ending in a line end.
pub fn document() -> String {
    let mut text = Document::openapi().to_pretty_json().expect("the document is plain data");
    text.push('\n');
    text
}

async fn show() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}

pub fn routes() -> Router {
    Router::new().route("/api/tocsin/v1/openapi.json", routing::get(show))
}
