//! `rules` and `alerts`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Router, routing};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tocsin_core::alert::{Instance, Instances, State as AlertState};
use tocsin_core::ledger::RuleKey;
use tocsin_core::model::matcher::all_match;
use tocsin_core::model::{LabelSet, Matcher};
use tocsin_core::rule::{Kind, Rule, RuleGroup};

use super::encode::exponent;
use super::series::matcher_sets;
use super::{ApiError, Parameters, number, success, time_or_zero};
use crate::pipeline::rules::{GroupStatus, RuleStatus, Rules};
use crate::pipeline::watch::{Watch, WatchError};

#[derive(Clone)]
pub struct RulesState {
    pub watch: Watch,
    pub rules: Arc<Rules>,
}

fn away(error: WatchError) -> ApiError {
    ApiError::unavailable(error.to_string())
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

fn rule_json(rule: &Rule, status: &RuleStatus, instances: Option<&Instances>, with_alerts: bool) -> Value {
    let mut value = json!({
        "name": rule.name(),
        "query": rule.expr.to_string(),
        "labels": rule.label_texts(),
        "health": health(status),
        "evaluationTime": number(status.seconds),
        "lastEvaluation": time_or_zero(status.last_evaluation),
    });
    if let Some(error) = &status.error {
        value["lastError"] = error.as_str().into();
    }
    match &rule.kind {
        Kind::Record { labels, .. } => {
            value["type"] = "recording".into();
            if labels.is_empty() {
                value.as_object_mut().map(|fields| fields.remove("labels"));
            }
        }
        Kind::Alert(alerting) => {
            value["type"] = "alerting".into();
            value["duration"] = number(alerting.hold.seconds());
            value["keepFiringFor"] = number(alerting.keep_firing.seconds());
            let annotations: BTreeMap<&String, &String> =
                alerting.annotations.iter().map(|(name, text)| (name, &text.text)).collect();
            value["annotations"] = json!(annotations);
            value["state"] = instances.and_then(Instances::state).map_or("inactive", |state| state.name()).into();
            let active = || instances.map(|instances| instances.active().map(alert_json).collect()).unwrap_or_default();
            value["alerts"] = if with_alerts { Value::Array(active()) } else { Value::Null };
        }
    }
    value
}

/// Reads a truth value as Go's `ParseBool` does.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Which rules a list asks for; an empty list asks nothing.
struct Filter {
    kind: Option<String>,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    matchers: Vec<Vec<Matcher>>,
    with_alerts: bool,
    page: Option<Page>,
}

/// A piece of the list: so many groups, from the one of this token on.
struct Page {
    groups: usize,
    from: Option<String>,
}

impl Page {
    fn read(parameters: &Parameters) -> Result<Option<Page>, ApiError> {
        let from = parameters.get("group_next_token").map(str::to_owned);
        match parameters.get("group_limit").map(str::parse::<i64>) {
            None if from.is_some() => Err(ApiError::parameter(
                "group_next_token",
                "group_limit needs to be present in order to paginate over the groups",
            )),
            None => Ok(None),
            Some(Err(_)) => Err(ApiError::parameter("group_limit", "group_limit needs to be a valid number")),
            Some(Ok(groups)) => match usize::try_from(groups) {
                Ok(groups) if groups > 0 => Ok(Some(Page { groups, from })),
                Ok(_) | Err(_) => Err(ApiError::parameter("group_limit", "group_limit needs to be greater than 0")),
            },
        }
    }
}

/// Returns the word by which the next piece of a list begins with this group.
fn token(group: &RuleGroup) -> String {
    let digest = Sha256::digest(format!("{};{}", group.file, group.name));
    digest[..20].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Filter {
    fn read(parameters: &Parameters) -> Result<Filter, ApiError> {
        let kind = match parameters.get("type").map(str::to_lowercase).as_deref() {
            None => None,
            Some(kind @ ("alert" | "record")) => Some(kind.to_owned()),
            Some(other) => return Err(ApiError::parameter("type", format!("not supported value {other:?}"))),
        };
        let excluded = parameters.get("exclude_alerts").map(|text| {
            truth(text).ok_or_else(|| {
                ApiError::parameter(
                    "exclude_alerts",
                    format!("error converting exclude_alerts: {text:?} is neither true nor false"),
                )
            })
        });
        Ok(Filter {
            kind,
            names: parameters.all("rule_name[]").to_vec(),
            groups: parameters.all("rule_group[]").to_vec(),
            files: parameters.all("file[]").to_vec(),
            matchers: matcher_sets(parameters)?,
            with_alerts: !excluded.transpose()?.unwrap_or(false),
            page: Page::read(parameters)?,
        })
    }

    fn lets(&self, rule: &Rule) -> bool {
        let kind = if rule.is_alert() { "alert" } else { "record" };
        self.kind.as_deref().is_none_or(|wanted| wanted == kind)
            && (self.names.is_empty() || self.names.iter().any(|name| name == rule.name()))
            && self.lets_labels(rule)
    }

    /// Labels that are templates count as they were typed.
    fn lets_labels(&self, rule: &Rule) -> bool {
        if self.matchers.is_empty() {
            return true;
        }
        let labels = rule.label_texts();
        let labels = LabelSet::from_pairs(&labels);
        self.matchers.iter().any(|set| all_match(set, &labels))
    }

    fn lets_group(&self, group: &GroupStatus) -> bool {
        (self.groups.is_empty() || self.groups.contains(&group.group.name))
            && (self.files.is_empty() || self.files.iter().any(|file| **file == *group.group.file))
    }
}

/// Builds the list piece by piece: whole groups, and where the next piece begins.
fn listed(
    filter: &Filter,
    groups: &[GroupStatus],
    mut rules_of: impl FnMut(&GroupStatus) -> Vec<Value>,
) -> Result<Value, ApiError> {
    let mut awaited = filter.page.as_ref().and_then(|page| page.from.as_deref());
    let (mut list, mut next) = (Vec::new(), None);
    for group in groups {
        if awaited.is_some_and(|wanted| wanted == token(&group.group)) {
            awaited = None;
        }
        if awaited.is_some() || !filter.lets_group(group) {
            continue;
        }
        let rules = rules_of(group);
        if rules.is_empty() && !group.group.rules.is_empty() {
            continue;
        }
        if filter.page.as_ref().is_some_and(|page| list.len() == page.groups) {
            next = Some(token(&group.group));
            break;
        }
        list.push(json!({
            "name": group.group.name,
            "file": &*group.group.file,
            "interval": number(group.group.interval.seconds()),
            "limit": group.group.limit,
            "rules": rules,
            "evaluationTime": number(group.seconds),
            "lastEvaluation": time_or_zero(group.last_evaluation),
        }));
    }
    if let Some(wanted) = awaited {
        let fault = format!("invalid group_next_token '{wanted}'. were rule groups changed?");
        return Err(ApiError::parameter("group_next_token", fault));
    }
    let mut data = json!({ "groups": list });
    if let Some(next) = next {
        data["groupNextToken"] = next.into();
    }
    Ok(data)
}

async fn rules(State(state): State<RulesState>, parameters: Parameters) -> Result<Response, ApiError> {
    let filter = Filter::read(&parameters)?;
    let mut groups = state.rules.status();
    groups.sort_by(|one, other| (&one.group.file, &one.group.name).cmp(&(&other.group.file, &other.group.name)));
    let answer = state.watch.ask(move |state| {
        listed(&filter, &groups, |group| {
            let whole = group.group.rules.iter().zip(&group.rules).zip(group.keys.iter());
            whole
                .filter(|((rule, _), _)| filter.lets(rule))
                .map(|((rule, status), key): ((&Rule, &RuleStatus), &RuleKey)| {
                    rule_json(rule, status, state.ledger.of_rule(key), filter.with_alerts)
                })
                .collect()
        })
    });
    Ok(success(answer.await.map_err(away)??))
}

async fn alerts(State(state): State<RulesState>) -> Result<Response, ApiError> {
    let answer = state.watch.ask(|state| {
        let active = state.ledger.alerts().filter(|(_, instance)| instance.state != AlertState::Resolved);
        active.map(|(_, instance)| alert_json(instance)).collect::<Vec<_>>()
    });
    Ok(success(json!({ "alerts": answer.await.map_err(away)? })))
}

pub fn routes(state: RulesState) -> Router {
    Router::new().route("/api/v1/rules", routing::get(rules)).route("/api/v1/alerts", routing::get(alerts)).with_state(state)
}
