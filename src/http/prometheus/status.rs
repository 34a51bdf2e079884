//! `rules`, `alerts`, `targets` and `status/…`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Router, routing};
use serde_json::{Value, json};
use tocsin_core::alert::{Instance, Instances};
use tocsin_core::model::LabelSet;
use tocsin_core::rule::{Kind, Rule};
use tocsin_core::time::{Span, Timestamp};
use tokio::sync::watch;

use super::query::{QUERIES_MAX, Queries};
use super::{ApiError, Parameters, success};
use crate::clock;
use crate::pipeline::ledger::RuleKey;
use crate::pipeline::rules::{GroupStatus, RuleStatus, Rules};
use crate::pipeline::scrapes::{JobView, Scrapes};
use crate::pipeline::watch::Watch;

/// Clients choose their dialect of PromQL by this.
const PROMETHEUS_VERSION: &str = "3.5.0";

#[derive(Clone)]
pub struct StatusState {
    pub watch: Watch,
    pub rules: Arc<Rules>,
    pub scrapes: Arc<Scrapes>,
    pub started_at: Timestamp,
    pub retention: Span,
    pub retention_bytes: Option<u64>,
    pub external_url: String,
    pub queries: Queries,
    /// The configuration as YAML, secrets masked.
    pub config: watch::Receiver<Arc<str>>,
}

fn bad_gateway(error: crate::pipeline::watch::WatchError) -> ApiError {
    ApiError::unavailable(error.to_string())
}

/// Returns a float as Go's `%e` with the shortest digits writes it, such as `1e+00`.
fn exponent(value: f64) -> String {
    if !value.is_finite() {
        return super::encode::float(value);
    }
    let text = format!("{value:e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}e{sign}{power:0>2}")
}

fn alert_json(instance: &Instance) -> Value {
    let mut alert = json!({
        "labels": instance.labels,
        "annotations": instance.annotations,
        "state": instance.state.name(),
        "activeAt": instance.active_at.rfc3339(),
        "value": exponent(instance.value),
    });
    if let Some(since) = instance.keep_firing_since {
        alert["keepFiringSince"] = since.rfc3339().into();
    }
    alert
}

fn health(status: &RuleStatus) -> &'static str {
    match (&status.last_evaluation, &status.error) {
        (None, _) => "unknown",
        (Some(_), None) => "ok",
        (Some(_), Some(_)) => "err",
    }
}

/// The zero time of Go, for what has not happened yet.
fn time_or_zero(at: Option<Timestamp>) -> String {
    at.map_or("0001-01-01T00:00:00Z".to_owned(), Timestamp::rfc3339)
}

fn rule_json(rule: &Rule, status: &RuleStatus, instances: Option<&Instances>, with_alerts: bool) -> Value {
    let mut value = json!({
        "name": rule.name(),
        "query": rule.expr.to_string(),
        "labels": rule.label_texts(),
        "health": health(status),
        "evaluationTime": status.seconds,
        "lastEvaluation": time_or_zero(status.last_evaluation),
    });
    if let Some(error) = &status.error {
        value["lastError"] = error.as_str().into();
    }
    match &rule.kind {
        Kind::Record { .. } => value["type"] = "recording".into(),
        Kind::Alert(alerting) => {
            value["type"] = "alerting".into();
            value["duration"] = alerting.hold.seconds().into();
            value["keepFiringFor"] = alerting.keep_firing.seconds().into();
            let annotations: BTreeMap<&String, &String> =
                alerting.annotations.iter().map(|(name, text)| (name, &text.text)).collect();
            value["annotations"] = json!(annotations);
            value["state"] = instances.and_then(Instances::state).map_or("inactive", |state| state.name()).into();
            if with_alerts {
                let active: Vec<Value> =
                    instances.map(|instances| instances.active().map(alert_json).collect()).unwrap_or_default();
                value["alerts"] = active.into();
            }
        }
    }
    value
}

/// Which rules a list asks for; an empty list asks nothing.
struct RuleFilter {
    kind: Option<String>,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    with_alerts: bool,
}

impl RuleFilter {
    fn read(parameters: &Parameters) -> Result<RuleFilter, ApiError> {
        let kind = match parameters.get("type") {
            None => None,
            Some(kind @ ("alert" | "record")) => Some(kind.to_owned()),
            Some(other) => return Err(ApiError::bad_data(format!("invalid parameter \"type\": not supported value {other:?}"))),
        };
        Ok(RuleFilter {
            kind,
            names: parameters.all("rule_name[]").to_vec(),
            groups: parameters.all("rule_group[]").to_vec(),
            files: parameters.all("file[]").to_vec(),
            with_alerts: parameters.get("exclude_alerts") != Some("true"),
        })
    }

    fn lets(&self, rule: &Rule) -> bool {
        let kind = if rule.is_alert() { "alert" } else { "record" };
        self.kind.as_deref().is_none_or(|wanted| wanted == kind)
            && (self.names.is_empty() || self.names.iter().any(|name| name == rule.name()))
    }

    fn lets_group(&self, group: &GroupStatus) -> bool {
        (self.groups.is_empty() || self.groups.contains(&group.group.name))
            && (self.files.is_empty() || self.files.iter().any(|file| **file == *group.group.file))
    }
}

async fn rules(State(state): State<StatusState>, parameters: Parameters) -> Result<Response, ApiError> {
    let filter = RuleFilter::read(&parameters)?;
    let groups = state.rules.status();
    let answer = state.watch.ask(move |state| {
        let mut list = Vec::new();
        for group in groups.iter().filter(|group| filter.lets_group(group)) {
            let whole = group.group.rules.iter().zip(&group.rules).zip(group.keys.iter());
            let rules: Vec<Value> = whole
                .filter(|((rule, _), _)| filter.lets(rule))
                .map(|((rule, status), key): ((&Rule, &RuleStatus), &RuleKey)| {
                    rule_json(rule, status, state.ledger.of_rule(key), filter.with_alerts)
                })
                .collect();
            if rules.is_empty() && !group.group.rules.is_empty() {
                continue;
            }
            list.push(json!({
                "name": group.group.name,
                "file": &*group.group.file,
                "interval": group.group.interval.seconds(),
                "limit": group.group.limit,
                "rules": rules,
                "evaluationTime": group.seconds,
                "lastEvaluation": time_or_zero(group.last_evaluation),
            }));
        }
        list
    });
    Ok(success(json!({ "groups": answer.await.map_err(bad_gateway)? })))
}

async fn alerts(State(state): State<StatusState>) -> Result<Response, ApiError> {
    let answer = state.watch.ask(|state| {
        let active = state.ledger.alerts().filter(|(_, instance)| instance.state != tocsin_core::alert::State::Resolved);
        active.map(|(_, instance)| alert_json(instance)).collect::<Vec<_>>()
    });
    Ok(success(json!({ "alerts": answer.await.map_err(bad_gateway)? })))
}

fn target_json(job: &JobView) -> Vec<Value> {
    job.targets
        .iter()
        .map(|view| {
            json!({
                "discoveredLabels": view.target.discovered,
                "labels": view.target.labels,
                "scrapePool": job.name,
                "scrapeUrl": view.target.url,
                "globalUrl": view.target.url,
                "lastError": view.status.last_error,
                "lastScrape": time_or_zero(view.status.last_scrape_at),
                "lastScrapeDuration": view.status.last_seconds,
                "health": match view.status.up { Some(true) => "up", Some(false) => "down", None => "unknown" },
                "scrapeInterval": view.target.interval.to_string(),
                "scrapeTimeout": view.target.timeout.to_string(),
            })
        })
        .collect()
}

async fn targets(State(state): State<StatusState>, parameters: Parameters) -> Response {
    let wanted = parameters.get("state").unwrap_or("any").to_lowercase();
    let pool = parameters.get("scrapePool");
    let jobs: Vec<JobView> = state.scrapes.view().into_iter().filter(|job| pool.is_none_or(|pool| pool == job.name)).collect();
    let (mut active, mut dropped, mut counts): (Vec<Value>, Vec<Value>, BTreeMap<String, usize>) = Default::default();
    for job in &jobs {
        if matches!(wanted.as_str(), "any" | "active") {
            active.extend(target_json(job));
        }
        if matches!(wanted.as_str(), "any" | "dropped") {
            let label = |labels: &LabelSet| json!({ "discoveredLabels": labels, "scrapePool": job.name });
            dropped.extend(job.dropped.iter().map(label));
        }
        counts.insert(job.name.clone(), job.dropped.len());
    }
    success(json!({ "activeTargets": active, "droppedTargets": dropped, "droppedTargetCounts": counts }))
}

async fn buildinfo() -> Response {
    success(json!({
        "version": PROMETHEUS_VERSION, "revision": concat!("tocsin-", env!("CARGO_PKG_VERSION")), "branch": "tocsin",
        "buildUser": "", "buildDate": "", "goVersion": "", "application": "tocsin"
    }))
}

async fn config(State(state): State<StatusState>) -> Response {
    let yaml = state.config.borrow().clone();
    success(json!({ "yaml": &*yaml }))
}

async fn runtimeinfo(State(state): State<StatusState>) -> Response {
    success(json!({
        "startTime": state.started_at.rfc3339(),
        "serverTime": clock::now().rfc3339(),
        "timeSeriesCount": state.queries.store.stats(0).series,
        "storageRetention": match state.retention_bytes {
            Some(bytes) => format!("{} or {bytes}B", state.retention),
            None => state.retention.to_string(),
        },
    }))
}

/// Tells those of Prometheus' flags that have a meaning here, with the values that hold.
async fn flags(State(state): State<StatusState>) -> Response {
    let options = &state.queries.options;
    success(json!({
        "query.lookback-delta": options.lookback.to_string(),
        "query.max-concurrency": QUERIES_MAX.to_string(),
        "query.max-samples": options.samples_max.to_string(),
        "query.timeout": format!("{}s", state.queries.timeout.as_secs()),
        "storage.tsdb.retention.size": format!("{}B", state.retention_bytes.unwrap_or(0)),
        "storage.tsdb.retention.time": state.retention.to_string(),
        "web.enable-lifecycle": "true",
        "web.external-url": state.external_url,
    }))
}

/// Alerts are routed here, so no other Alertmanager is told.
async fn alertmanagers() -> Response {
    success(json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] }))
}

async fn tsdb(State(state): State<StatusState>, parameters: Parameters) -> Result<Response, ApiError> {
    let stats = state.queries.store.stats(parameters.limit(100)?.min(100));
    let pairs =
        |list: &[(String, usize)]| list.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>();
    Ok(success(json!({
        "headStats": { "numSeries": stats.series, "numLabelPairs": stats.label_pairs },
        "seriesCountByMetricName": pairs(&stats.metrics),
        "labelValueCountByLabelName": stats.labels.iter().map(|label| json!({ "name": label.name, "value": label.values })).collect::<Vec<_>>(),
        "memoryInBytesByLabelName": stats.labels.iter().map(|label| json!({ "name": label.name, "value": label.bytes })).collect::<Vec<_>>(),
        "seriesCountByLabelValuePair": pairs(&stats.pairs),
    })))
}

pub fn routes(state: StatusState) -> Router {
    Router::new()
        .route("/api/v1/rules", routing::get(rules))
        .route("/api/v1/alerts", routing::get(alerts))
        .route("/api/v1/targets", routing::get(targets))
        .route("/api/v1/status/buildinfo", routing::get(buildinfo))
        .route("/api/v1/status/config", routing::get(config))
        .route("/api/v1/status/runtimeinfo", routing::get(runtimeinfo))
        .route("/api/v1/status/tsdb", routing::get(tsdb))
        .route("/api/v1/status/flags", routing::get(flags))
        .route("/api/v1/alertmanagers", routing::get(alertmanagers))
        .with_state(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_go_writes_them() {
        assert_eq!(
            [1.0, 0.0, -12.5, 1e100, 0.001, f64::INFINITY].map(exponent),
            ["1e+00", "0e+00", "-1.25e+01", "1e+100", "1e-03", "+Inf"]
        );
    }
}
