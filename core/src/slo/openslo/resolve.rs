//! References between objects, once all files are read.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::problem::{Problem, Severity};

use super::{
    AlertCondition, AlertNotificationTarget, AlertPolicy, DataSource, Documents, Metadata, Metric, MetricSource, Origin,
    Reference, Sli, Slo,
};

/// An SLO with everything that it refers to.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    pub slo: Slo,
    /// One for each objective, in their order; the type of every source is filled in.
    pub indicators: Vec<Arc<Sli>>,
    pub policies: Vec<Policy>,
}

/// An alert policy with everything that it refers to.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub policy: Arc<AlertPolicy>,
    pub condition: Arc<AlertCondition>,
    pub targets: Vec<Arc<AlertNotificationTarget>>,
}

/// Objects of one kind by name.
type Named<T> = BTreeMap<String, Arc<T>>;

struct Index {
    slis: Named<Sli>,
    policies: Named<AlertPolicy>,
    conditions: Named<AlertCondition>,
    targets: Named<AlertNotificationTarget>,
    sources: Named<DataSource>,
    problems: Vec<Problem>,
}

/// Follows the references of all files together.
///
/// Shape: the SLOs of which everything was found. Errors: names that are missing, and names that stand twice within one kind.
pub fn resolve(files: Vec<Documents>) -> (Vec<Resolved>, Vec<Problem>) {
    let mut all = Documents::default();
    for file in files {
        all.services.extend(file.services);
        all.slos.extend(file.slos);
        all.slis.extend(file.slis);
        all.policies.extend(file.policies);
        all.conditions.extend(file.conditions);
        all.targets.extend(file.targets);
        all.sources.extend(file.sources);
    }
    let mut problems = Vec::new();
    let services = all.services.into_iter().map(Arc::new).collect::<Vec<_>>();
    by_name(&services, "Service", |service| &service.metadata, &mut problems);
    let slos = all.slos.into_iter().map(Arc::new).collect::<Vec<_>>();
    by_name(&slos, "SLO", |slo| &slo.metadata, &mut problems);
    let mut index = Index {
        slis: by_name(&all.slis, "SLI", |sli| &sli.metadata, &mut problems),
        policies: by_name(&all.policies, "AlertPolicy", |policy| &policy.metadata, &mut problems),
        conditions: by_name(&all.conditions, "AlertCondition", |condition| &condition.metadata, &mut problems),
        targets: by_name(&all.targets, "AlertNotificationTarget", |target| &target.metadata, &mut problems),
        sources: by_name(
            &all.sources.into_iter().map(Arc::new).collect::<Vec<_>>(),
            "DataSource",
            |source| &source.metadata,
            &mut problems,
        ),
        problems,
    };
    // Policies that no SLO uses are followed too, so that a missing name is told before one does.
    for policy in &all.policies {
        index.policy(policy);
    }
    for sli in &all.slis {
        index.filled(sli);
    }
    let resolved = slos.iter().filter_map(|slo| index.slo(slo)).collect();
    let mut problems = index.problems;
    problems.sort_by(|one, other| (&one.file, one.position, &one.message).cmp(&(&other.file, other.position, &other.message)));
    problems.dedup();
    (resolved, problems)
}

fn by_name<T>(list: &[Arc<T>], kind: &str, metadata: impl Fn(&T) -> &Metadata, problems: &mut Vec<Problem>) -> Named<T> {
    let mut named: Named<T> = BTreeMap::new();
    for object in list {
        let own = metadata(object);
        if let Some(first) = named.get(&own.name) {
            let place = &metadata(first).at;
            let message = format!(
                "the {kind} {:?} stands at {}:{} already; rename one of the two",
                own.name, place.file, place.position.line
            );
            problems.push(own.at.problem(Severity::Error, message));
            continue;
        }
        named.insert(own.name.clone(), object.clone());
    }
    named
}

/// Returns the object of a reference, or notes that there is none.
fn follow<T>(reference: &Reference<T>, kind: &str, named: &Named<T>, problems: &mut Vec<Problem>) -> Option<Arc<T>> {
    match reference {
        Reference::Inline(object) => Some(object.clone()),
        Reference::Named { name, at } => {
            let found = named.get(name).cloned();
            if found.is_none() {
                problems.push(missing(at, kind, name));
            }
            found
        }
    }
}

fn missing(at: &Origin, kind: &str, name: &str) -> Problem {
    at.problem(Severity::Error, format!("there is no {kind} named {name:?}; define it in one of the files"))
}

impl Index {
    fn slo(&mut self, slo: &Slo) -> Option<Resolved> {
        let mut indicators = Vec::with_capacity(slo.objectives.len());
        for objective in &slo.objectives {
            let Some(reference) = objective.indicator.as_ref().or(slo.indicator.as_ref()) else { continue };
            let Some(sli) = follow(reference, "SLI", &self.slis, &mut self.problems) else { continue };
            let sli = self.filled(&sli);
            self.check_terms(objective, &sli);
            indicators.extend(sli);
        }
        let mut policies = Vec::with_capacity(slo.policies.len());
        for reference in &slo.policies {
            let policy = follow(reference, "AlertPolicy", &self.policies, &mut self.problems);
            policies.extend(policy.and_then(|policy| self.policy(&policy)));
        }
        let whole = indicators.len() == slo.objectives.len() && policies.len() == slo.policies.len();
        whole.then(|| Resolved { slo: slo.clone(), indicators, policies })
    }

    /// Holds `op` and `value` of an objective against its indicator.
    fn check_terms(&mut self, objective: &super::Objective, sli: &Option<Arc<Sli>>) {
        let Some(sli) = sli else { return };
        let is_threshold = matches!(sli.metric, Metric::Threshold(_));
        let mut note = |severity, message: &str| self.problems.push(objective.at.problem(severity, message));
        if is_threshold {
            if objective.op.is_none() {
                note(
                    Severity::Error,
                    "op is missing; with a thresholdMetric it says how values are compared: lte, gte, lt or gt",
                );
            }
            if objective.value.is_none() {
                note(Severity::Error, "value is missing; with a thresholdMetric it is what values are compared with");
            }
        } else if objective.op.is_some() || objective.value.is_some() {
            note(Severity::Warning, "op and value belong to a thresholdMetric; they are not used with a ratioMetric");
        }
    }

    fn policy(&mut self, policy: &Arc<AlertPolicy>) -> Option<Policy> {
        let condition = follow(&policy.condition, "AlertCondition", &self.conditions, &mut self.problems);
        let mut targets = Vec::with_capacity(policy.targets.len());
        for reference in &policy.targets {
            targets.extend(follow(reference, "AlertNotificationTarget", &self.targets, &mut self.problems));
        }
        let whole = targets.len() == policy.targets.len();
        condition.filter(|_| whole).map(|condition| Policy { policy: policy.clone(), condition, targets })
    }

    /// Returns the indicator with the type of each of its sources.
    fn filled(&mut self, sli: &Arc<Sli>) -> Option<Arc<Sli>> {
        let metric = match &sli.metric {
            Metric::Threshold(source) => Metric::Threshold(self.typed(source)?),
            Metric::Ratio { counter, part, events, total } => {
                let (events, total) = (self.typed(events), self.typed(total));
                Metric::Ratio { counter: *counter, part: *part, events: events?, total: total? }
            }
            Metric::Raw { part, ratio } => Metric::Raw { part: *part, ratio: self.typed(ratio)? },
        };
        Some(Arc::new(Sli { metric, ..Sli::clone(sli) }))
    }

    fn typed(&mut self, source: &MetricSource) -> Option<MetricSource> {
        if !source.source_type.is_empty() {
            return Some(source.clone());
        }
        let Some(known) = self.sources.get(&source.source) else {
            self.problems.push(missing(&source.at, "DataSource", &source.source));
            return None;
        };
        Some(MetricSource { source_type: known.source_type.clone(), ..source.clone() })
    }
}
