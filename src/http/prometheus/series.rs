//! `series`, `labels`, `label/NAME/values`, `metadata` and `targets/metadata`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::{Router, routing};
use serde_json::json;
use tocsin_core::model::matcher::all_match;
use tocsin_core::model::{LabelSet, METRIC_NAME, Matcher};
use tocsin_core::promql::parse::parse_selector;
use tocsin_core::store::{Listing, Store};
use tocsin_core::time::Timestamp;

use super::query::Queries;
use super::{ApiError, Parameters, success_text};
use crate::pipeline::scrapes::Scrapes;

/// Entries that one answer may hold.
const ENTRIES_MAX: usize = 100_000;

#[derive(Clone)]
pub struct SeriesState {
    pub queries: Queries,
    pub scrapes: Arc<Scrapes>,
}

/// What a list asks: the sets of matchers, and the span of time.
struct Asked {
    sets: Vec<Vec<Matcher>>,
    start: Timestamp,
    end: Timestamp,
    limit: usize,
}

/// Reads sets of matchers; one that matches every series is refused, as Prometheus refuses it.
pub fn matcher_sets(parameters: &Parameters) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let mut sets = Vec::new();
    for text in parameters.all("match[]") {
        let set = parse_selector(text).map_err(|errors| ApiError::parse_bare(text, &errors))?;
        if set.iter().all(Matcher::matches_empty) {
            return Err(ApiError::bad_data("match[] must contain at least one non-empty matcher"));
        }
        sets.push(set);
    }
    Ok(sets)
}

fn asked(parameters: &Parameters) -> Result<Asked, ApiError> {
    let sets = matcher_sets(parameters)?;
    let start = parameters.instant("start")?.unwrap_or(Timestamp::MIN);
    let end = parameters.instant("end")?.unwrap_or(Timestamp::MAX);
    if end < start {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    Ok(Asked { sets, start, end, limit: parameters.limit(ENTRIES_MAX)? })
}

fn listed<T: serde::Serialize>(listing: &Listing<T>) -> String {
    let mut body = json!({ "status": "success", "data": listing.items });
    if listing.cut {
        body["warnings"] = json!(["results truncated due to limit"]);
    }
    body.to_string()
}

impl SeriesState {
    /// Answers with a list out of the store. It takes a slot as a query does: rules need threads, too.
    async fn look<T: serde::Serialize>(
        &self,
        look: impl FnOnce(&Store) -> Listing<T> + Send + 'static,
    ) -> Result<Response, ApiError> {
        let store = self.queries.store.clone();
        let body = self.queries.with_slot(self.queries.timeout, move || listed(&look(&store))).await?;
        Ok(success_text(body))
    }
}

async fn series(State(state): State<SeriesState>, parameters: Parameters) -> Result<Response, ApiError> {
    if parameters.all("match[]").is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    // Only here Prometheus names the parameter.
    matcher_sets(&parameters).map_err(|error| error.of_parameter("match[]"))?;
    let asked = asked(&parameters)?;
    state.look(move |store| store.series(&asked.sets, asked.start, asked.end, asked.limit)).await
}

async fn labels(State(state): State<SeriesState>, parameters: Parameters) -> Result<Response, ApiError> {
    let asked = asked(&parameters)?;
    state.look(move |store| store.label_names(&asked.sets, asked.start, asked.end, asked.limit)).await
}

/// The most digits of one escape.
const ESCAPE_DIGITS_MAX: usize = 6;

/// Returns a label's name from a path: names beyond the classic alphabet come as `U__` with escapes. What only looks like that is a name
/// as it stands.
///
/// Source: `model.UnescapeName` of Prometheus' common library.
fn label_name(name: &str) -> String {
    unescaped(name).unwrap_or_else(|| name.to_owned())
}

fn unescaped(name: &str) -> Option<String> {
    let escaped = name.strip_prefix("U__")?;
    let (mut out, mut rest) = (String::new(), escaped);
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('_') {
            out.push('_');
            rest = behind;
        } else {
            let (digits, behind) = rest.split_once('_').filter(|(digits, _)| digits.len() < ESCAPE_DIGITS_MAX + 1)?;
            out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
            rest = behind;
        }
    }
    out.push_str(rest);
    Some(out)
}

async fn values(
    State(state): State<SeriesState>,
    name: Result<Path<String>, PathRejection>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let Path(name) = name.map_err(|_| ApiError::bad_data("invalid label name: it is not UTF-8"))?;
    let name = label_name(&name);
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {name:?}")));
    }
    let asked = asked(&parameters)?;
    state.look(move |store| store.label_values(&name, &asked.sets, asked.start, asked.end, asked.limit)).await
}

async fn metadata(State(state): State<SeriesState>, parameters: Parameters) -> Result<Response, ApiError> {
    let limit = parameters.metadata_limit("limit", ENTRIES_MAX)?;
    // One meaning is kept for each metric, so this limit never cuts.
    parameters.metadata_limit("limit_per_metric", ENTRIES_MAX)?;
    let book = state.scrapes.metadata.read().expect("no holder of this lock panics");
    let mut data = serde_json::Map::new();
    for (name, said) in book.iter().filter(|(name, _)| parameters.get("metric").is_none_or(|metric| metric == *name)).take(limit)
    {
        data.insert(name.clone(), json!([{ "type": said.kind.name(), "help": said.help, "unit": said.unit }]));
    }
    Ok(success_text(json!({ "status": "success", "data": data }).to_string()))
}

/// Endings that the series of a family may have beside its name.
const FAMILY_ENDINGS: [&str; 6] = ["", "_total", "_bucket", "_sum", "_count", "_info"];

/// Tells what is known of the metrics of targets. Which metrics a target has is read off its series.
async fn targets_metadata(State(state): State<SeriesState>, parameters: Parameters) -> Result<Response, ApiError> {
    let limit = parameters.metadata_limit("limit", ENTRIES_MAX)?;
    let metric = parameters.get("metric").map(str::to_owned);
    let wanted = match parameters.get("match_target") {
        Some(text) => parse_selector(text).map_err(|errors| ApiError::parse("match_target", text, &errors))?,
        None => Vec::new(),
    };
    let (store, timeout) = (state.queries.store.clone(), state.queries.timeout);
    let targets: Vec<LabelSet> = state
        .scrapes
        .view()
        .into_iter()
        .flat_map(|job| job.targets)
        .map(|view| view.target.labels.clone())
        .filter(|labels| all_match(&wanted, labels))
        .collect();
    let work = move || {
        let mut data = Vec::new();
        for labels in targets {
            let own: Vec<Matcher> = labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
            let names = store.label_values(METRIC_NAME, &[own], Timestamp::MIN, Timestamp::MAX, ENTRIES_MAX).items;
            let names: BTreeSet<String> = names.into_iter().collect();
            let book = state.scrapes.metadata.read().expect("no holder of this lock panics");
            for (family, said) in book.iter().filter(|(family, _)| metric.as_ref().is_none_or(|metric| metric == *family)) {
                if data.len() == limit {
                    return data;
                }
                if FAMILY_ENDINGS.iter().any(|ending| names.contains(&format!("{family}{ending}"))) {
                    let mut entry = json!({ "target": labels, "type": said.kind.name(), "help": said.help, "unit": said.unit });
                    // Who asks for one metric knows its name.
                    if metric.is_none() {
                        entry["metric"] = family.as_str().into();
                    }
                    data.push(entry);
                }
            }
        }
        data
    };
    let data = state.queries.with_slot(timeout, work).await?;
    Ok(success_text(json!({ "status": "success", "data": data }).to_string()))
}

pub fn routes(state: SeriesState) -> Router {
    Router::new()
        .route("/api/v1/series", routing::get(series).post(series))
        .route("/api/v1/labels", routing::get(labels).post(labels))
        .route("/api/v1/label/{name}/values", routing::get(values))
        .route("/api/v1/metadata", routing::get(metadata))
        .route("/api/v1/targets/metadata", routing::get(targets_metadata))
        .with_state(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_of_labels_are_read() {
        assert_eq!(label_name("job"), "job");
        assert_eq!(label_name("U__http_2e_status__code"), "http.status_code");
        for name in ["U__a_zz_", "U__a_2e", "U__a_0000000000002e_", "U__a_110000_", "U___"] {
            assert_eq!(label_name(name), name);
        }
    }
}
