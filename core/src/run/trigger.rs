//! Triggers: which runs an alert, a webhook, a schedule or a person asks for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::record::{ScheduleFireRow, TriggerKind};
use super::runbook::{From, Mode, Runbook, Trigger};
use super::schedule::{FireOutcome, MISSED_MAX};
use super::value::{Given, Source, scalar_text};
use crate::access::Role;
use crate::time::Timestamp;

/// An alert that has begun to fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    pub name: String,
    /// The alert and its start: the same for as long as it fires.
    pub reference: String,
    pub labels: BTreeMap<String, String>,
}

/// A wish for a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    pub doc_id: String,
    pub doc_hash: String,
    pub trigger_kind: TriggerKind,
    pub trigger_ref: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// As the document says it; what earlier runs have earned is for the guards.
    pub mode: Mode,
    pub given: Vec<Given>,
    /// Parameters whose values the edge still has to ask for: name and expression.
    pub queries: Vec<(String, String)>,
    /// Why the wish cannot be granted, such as a label that is missing.
    pub faults: Vec<String>,
    pub starter: String,
    pub starter_role: Option<Role>,
    pub parent_run: Option<String>,
    pub dry_run: bool,
}

impl Ask {
    fn new(runbook: &Runbook, trigger_kind: TriggerKind, trigger_ref: Option<String>, mode: Mode, starter: String) -> Ask {
        Ask {
            doc_id: runbook.metadata.id.clone(),
            doc_hash: runbook.hash(),
            trigger_kind,
            trigger_ref,
            labels: BTreeMap::new(),
            mode,
            given: Vec::new(),
            queries: Vec::new(),
            faults: Vec::new(),
            starter,
            starter_role: None,
            parent_run: None,
            dry_run: false,
        }
    }

    /// Takes in the value of an expression; no data is a fault.
    pub fn answer(&mut self, name: &str, value: Option<f64>) {
        self.queries.retain(|(waiting, _)| waiting != name);
        match value.filter(|value| value.is_finite()) {
            Some(value) => self.given.push(Given { name: name.to_owned(), text: value.to_string(), source: Source::Expression }),
            None => self.faults.push(format!("parameter {name:?}: its expression has no data")),
        }
    }

    fn fill(&mut self, params: &BTreeMap<String, From>, body: Option<&serde_json::Value>) {
        for (name, from) in params {
            let (text, source) = match from {
                From::Literal(text) => (Some(text.clone()), Source::Document),
                From::Label(label) => (self.labels.get(label).filter(|value| !value.is_empty()).cloned(), Source::AlertLabel),
                From::Body(path) => (body.and_then(|body| body.pointer(path)).and_then(scalar_text), Source::WebhookBody),
                From::Expr(expr) => {
                    self.queries.push((name.clone(), expr.clone()));
                    continue;
                }
            };
            match (text, from) {
                (Some(text), _) => self.given.push(Given { name: name.clone(), text, source }),
                (None, From::Label(label)) => self.faults.push(format!("parameter {name:?}: the alert has no label {label:?}")),
                (None, From::Body(path)) => {
                    self.faults.push(format!("parameter {name:?}: the body has no single value at {path:?}"))
                }
                (None, From::Literal(_) | From::Expr(_)) => {}
            }
        }
    }
}

/// Returns the names of the alerts that may ask for runs.
pub fn alert_names<'a>(runbooks: impl IntoIterator<Item = &'a Runbook>) -> BTreeSet<String> {
    let names = runbooks.into_iter().flat_map(|runbook| &runbook.triggers).filter_map(|trigger| match trigger {
        Trigger::Alert { name, mode, .. } if *mode != Mode::Disabled => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

/// Returns the runs that an alert asks for; those of mode `suggest` are offered to people, those that are disabled are left out.
pub fn of_alert<'a>(runbooks: impl IntoIterator<Item = &'a Runbook>, firing: &Firing) -> Vec<Ask> {
    let mut asks = Vec::new();
    for runbook in runbooks {
        // One wish for each document, however many of its triggers match: the reference is unique for both together.
        let first = runbook.triggers.iter().find_map(|trigger| match trigger {
            Trigger::Alert { name, matching, mode, params }
                if *mode != Mode::Disabled
                    && *name == firing.name
                    && matching.iter().all(|(label, value)| firing.labels.get(label) == Some(value)) =>
            {
                Some((*mode, params))
            }
            _ => None,
        });
        let Some((mode, params)) = first else { continue };
        let reference = Some(firing.reference.clone());
        let mut ask = Ask::new(runbook, TriggerKind::Alert, reference, mode, format!("alert/{}", firing.name));
        ask.labels = firing.labels.clone();
        ask.fill(params, None);
        asks.push(ask);
    }
    asks
}

/// Returns the run that a webhook asks for; its delivery has passed `webhook::check` with the secret of this source.
pub fn of_webhook(runbook: &Runbook, source: &str, delivery: &str, body: &serde_json::Value) -> Option<Ask> {
    let (mode, params) = runbook.triggers.iter().find_map(|trigger| match trigger {
        Trigger::Webhook { source: own, mode, params, .. } if own == source && *mode != Mode::Disabled => Some((*mode, params)),
        _ => None,
    })?;
    let reference = Some(format!("{source}/{delivery}"));
    let mut ask = Ask::new(runbook, TriggerKind::Webhook, reference, mode, format!("webhook/{source}"));
    ask.fill(params, Some(body));
    Some(ask)
}

/// What a schedule has come to: rows to store in any case, and the run it asks for, if it does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fired {
    pub fires: Vec<ScheduleFireRow>,
    pub asks: Vec<Ask>,
}

/// Returns what the schedules of a runbook ask for; `last` answers up to when a schedule has been settled, by its id.
pub fn of_schedules(runbook: &Runbook, last: impl Fn(&str) -> Timestamp, now: Timestamp) -> Fired {
    let mut fired = Fired::default();
    for (index, trigger) in runbook.triggers.iter().enumerate() {
        let Trigger::Schedule { schedule, mode, params } = trigger else { continue };
        let id = schedule_id(runbook, index);
        for fire in schedule.due(last(&id), now).into_iter().take(MISSED_MAX + 1) {
            let runs = fire.outcome == FireOutcome::Run && *mode != Mode::Disabled;
            let outcome = if runs { FireOutcome::Run } else { FireOutcome::Skipped };
            fired.fires.push(ScheduleFireRow { schedule_id: id.clone(), due: fire.due, outcome, run_id: None });
            if runs {
                let reference = Some(format!("{id}@{}", fire.due.0));
                let mut ask = Ask::new(runbook, TriggerKind::Schedule, reference, *mode, format!("schedule/{id}"));
                ask.fill(params, None);
                fired.asks.push(ask);
            }
        }
    }
    fired
}

/// Returns when the next schedule of a runbook comes due.
pub fn next_due(runbook: &Runbook, last: impl Fn(&str) -> Timestamp) -> Option<Timestamp> {
    let of_trigger = |(index, trigger): (usize, &Trigger)| match trigger {
        Trigger::Schedule { schedule, mode, .. } if *mode != Mode::Disabled => {
            schedule.next(last(&schedule_id(runbook, index))).map(|due| schedule.comes_at(due))
        }
        _ => None,
    };
    runbook.triggers.iter().enumerate().filter_map(of_trigger).min()
}

/// Returns the ids of the schedules of a runbook.
pub fn schedule_ids(runbook: &Runbook) -> Vec<String> {
    let schedules = runbook.triggers.iter().enumerate().filter(|(_, trigger)| matches!(trigger, Trigger::Schedule { .. }));
    schedules.map(|(index, _)| schedule_id(runbook, index)).collect()
}

fn schedule_id(runbook: &Runbook, index: usize) -> String {
    format!("{}/{index}", runbook.metadata.id)
}

/// Returns the run that a person asks for; `reference` makes a form that is sent twice one run.
pub fn of_person(runbook: &Runbook, who: &str, role: Role, reference: Option<String>, given: Vec<(String, String)>) -> Ask {
    let mut ask = Ask::new(runbook, TriggerKind::Manual, reference, Mode::Approve, who.to_owned());
    ask.starter_role = Some(role);
    ask.given = given.into_iter().map(|(name, text)| Given { name, text, source: Source::Operator }).collect();
    ask
}

/// Returns the run that an attempt of another run asks for; the attempt's key makes it one run however often it is asked.
pub fn of_run(runbook: &Runbook, parent: &str, idem_key: &str, params: &super::value::Values) -> Ask {
    let mut ask = Ask::new(runbook, TriggerKind::Run, Some(idem_key.to_owned()), Mode::Auto, format!("run/{parent}"));
    ask.parent_run = Some(parent.to_owned());
    ask.given =
        params.iter().map(|(name, value)| Given { name: name.clone(), text: value.text(), source: Source::Caller }).collect();
    ask
}
