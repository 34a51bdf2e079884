//! The alerts of one rule, and what of them has been told.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::{Instance, InstanceState, Instances, State};
use crate::alertmanagers::Report;
use crate::model::{Fingerprint, LabelSet};
use crate::route::alert::{IncomingAlert, RULE_SOURCE};
use crate::time::{Span, Timestamp};

use super::{LedgerChange, NEVER, RESEND_DELAY, RuleKey, RuleTerms};

/// The alerts of one rule.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// As `rule_id` gives it; None until the rule has been evaluated since the start.
    pub id: Option<Fingerprint>,
    pub instances: Instances,
    /// None until the rule has been evaluated since the start.
    pub terms: Option<Arc<RuleTerms>>,
    /// Annotations as the plane last heard them.
    pub told: BTreeMap<LabelSet, BTreeMap<String, String>>,
}

impl Book {
    /// Returns what the plane has not heard yet. `reports` get what other Alertmanagers must hear: also what only lasts.
    pub(super) fn news(&mut self, terms: &RuleTerms, at: Timestamp, mut reports: Option<&mut Vec<Report>>) -> Vec<IncomingAlert> {
        let source = source(&terms.file, &terms.group);
        let mut news = Vec::new();
        for outgoing in self.instances.take_due(at, terms.interval, RESEND_DELAY) {
            let resolved = outgoing.state == State::Resolved;
            if let Some(reports) = &mut reports {
                reports.push(Report {
                    labels: outgoing.labels.clone(),
                    annotations: outgoing.annotations.clone(),
                    starts_at: outgoing.starts_at,
                    ends_at: outgoing.ends_at,
                    is_over: resolved,
                    generator_url: terms.generator_url.clone(),
                });
            }
            if !resolved && self.told.get(&outgoing.labels) == Some(&outgoing.annotations) {
                continue;
            }
            let told_of_firing = if resolved {
                self.told.remove(&outgoing.labels).is_some()
            } else {
                self.told.insert(outgoing.labels.clone(), outgoing.annotations.clone());
                true
            };
            // The end is told once; the plane repeats what somebody has not heard. After a restart nobody knows what was told, and
            // an end that is told twice does no harm.
            if told_of_firing || outgoing.ends_at == at {
                news.push(IncomingAlert {
                    labels: outgoing.labels,
                    annotations: outgoing.annotations,
                    starts_at: Some(outgoing.starts_at),
                    ends_at: Some(if resolved { outgoing.ends_at } else { NEVER }),
                    generator_url: terms.generator_url.clone(),
                    source: source.clone(),
                });
            }
        }
        news
    }

    /// Returns what must be stored of what has changed since `before`. What only says how far time has come is not worth a write.
    pub(super) fn changes(&self, rule: &RuleKey, before: &BTreeMap<LabelSet, InstanceState>) -> Vec<LedgerChange> {
        let mut changes = Vec::new();
        for instance in self.instances.iter() {
            let now = InstanceState::from(instance);
            if before.get(&instance.labels).is_none_or(|old| differs(old, &now)) {
                changes.push(LedgerChange::PutInstance { rule: rule.clone(), state: Box::new(now) });
            }
        }
        let gone = before.keys().filter(|labels| self.instances.get(labels).is_none());
        changes.extend(gone.map(|labels| LedgerChange::DropInstance { rule: rule.clone(), fingerprint: labels.fingerprint() }));
        changes
    }

    /// The rule has more alerts than it may have, so it has none: as in Prometheus, what fired runs out by silence.
    pub(super) fn abandon(
        &mut self,
        terms: &RuleTerms,
        before: &BTreeMap<LabelSet, InstanceState>,
        at: Timestamp,
    ) -> Vec<IncomingAlert> {
        self.told.clear();
        let ends_at = at + Span(terms.interval.max(RESEND_DELAY).0.saturating_mul(4));
        let (firing, _) = Instances::restore(before.values().cloned().collect(), Span::ZERO);
        let source = source(&terms.file, &terms.group);
        let news = firing.active().filter(|instance| instance.state == State::Firing);
        news.map(|instance| IncomingAlert { ends_at: Some(ends_at), ..incoming(instance, &source, &terms.generator_url) })
            .collect()
    }
}

pub(super) fn source(file: &str, group: &str) -> String {
    format!("{RULE_SOURCE}{file}/{group}")
}

pub(super) fn incoming(instance: &Instance, source: &str, generator_url: &str) -> IncomingAlert {
    IncomingAlert {
        labels: instance.labels.clone(),
        annotations: instance.annotations.clone(),
        starts_at: instance.fired_at,
        ends_at: None,
        generator_url: generator_url.to_owned(),
        source: source.to_owned(),
    }
}

/// Returns whether two records of an alert differ in more than its value, its annotations and when it was last told.
fn differs(old: &InstanceState, new: &InstanceState) -> bool {
    (old.state, old.active_at, old.fired_at, old.resolved_at, old.keep_firing_since, old.unseen)
        != (new.state, new.active_at, new.fired_at, new.resolved_at, new.keep_firing_since, new.unseen)
}
