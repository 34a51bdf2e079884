//! Inhibition: alerts that mute other alerts.

use std::collections::BTreeMap;

use crate::model::matcher::all_match;
use crate::model::{Fingerprint, LabelSet};

use super::alert::Alert;
use super::tree::Inhibition;

/// Knows which alerts can mute which others. Every alert that is held is added, every one that is dropped is removed; whether a
/// source fires is asked at the moment of the question, so all answers of one instant rest on the same facts.
#[derive(Clone, Debug)]
pub struct Inhibitor {
    rules: Vec<Rule>,
    /// For each held alert the rules that could mute it, so that their matchers are asked once in its life.
    targets: BTreeMap<Fingerprint, Box<[Target]>>,
}

#[derive(Clone, Debug)]
struct Rule {
    inhibition: Inhibition,
    /// By the fingerprint of the `equal` labels: the alerts that satisfy `source`.
    sources: BTreeMap<Fingerprint, BTreeMap<Fingerprint, Source>>,
}

#[derive(Clone, Debug)]
struct Source {
    labels: LabelSet,
    /// Whether it satisfies `target` as well.
    is_target: bool,
}

#[derive(Clone, Copy, Debug)]
struct Target {
    rule: usize,
    /// The fingerprint of its `equal` labels.
    shared: Fingerprint,
    /// Whether it satisfies `source` as well.
    is_source: bool,
}

impl Rule {
    /// A missing label and an empty one are equal: neither is in the set.
    fn shared(&self, labels: &LabelSet) -> Fingerprint {
        labels.only(|name| self.inhibition.equal.iter().any(|own| own == name)).fingerprint()
    }

    /// Fingerprints of different labels may be the same by chance; this tells.
    fn agree(&self, one: &LabelSet, other: &LabelSet) -> bool {
        self.inhibition.equal.iter().all(|name| one.get(name) == other.get(name))
    }
}

impl Inhibitor {
    pub fn new(inhibitions: &[Inhibition]) -> Inhibitor {
        let rule = |inhibition: &Inhibition| Rule { inhibition: inhibition.clone(), sources: BTreeMap::new() };
        Inhibitor { rules: inhibitions.iter().map(rule).collect(), targets: BTreeMap::new() }
    }

    pub fn add(&mut self, alert: &Alert) {
        let mut targets = Vec::new();
        for (index, rule) in self.rules.iter_mut().enumerate() {
            let is_source = all_match(&rule.inhibition.source, &alert.labels);
            let is_target = all_match(&rule.inhibition.target, &alert.labels);
            if !is_source && !is_target {
                continue;
            }
            let shared = rule.shared(&alert.labels);
            if is_source {
                let source = Source { labels: alert.labels.clone(), is_target };
                rule.sources.entry(shared).or_default().insert(alert.fingerprint, source);
            }
            if is_target {
                targets.push(Target { rule: index, shared, is_source });
            }
        }
        if !targets.is_empty() {
            self.targets.insert(alert.fingerprint, targets.into_boxed_slice());
        }
    }

    pub fn remove(&mut self, alert: &Alert) {
        self.targets.remove(&alert.fingerprint);
        for rule in &mut self.rules {
            let shared = rule.shared(&alert.labels);
            if let Some(sources) = rule.sources.get_mut(&shared) {
                sources.remove(&alert.fingerprint);
                if sources.is_empty() {
                    rule.sources.remove(&shared);
                }
            }
        }
    }

    /// Returns the rules by which a held alert can be muted.
    pub fn inhibitions_of(&self, alert: Fingerprint) -> impl Iterator<Item = &Inhibition> {
        self.targets.get(&alert).into_iter().flatten().map(|target| &self.rules[target.rule].inhibition)
    }

    /// Returns the firing alerts that mute a held alert, in order of fingerprint, each once.
    ///
    /// An alert on both sides of a rule is not muted by another on both sides, nor by itself.
    /// Source: Alertmanager `inhibit`.
    pub fn inhibited_by(&self, alert: &Alert, is_firing: impl Fn(Fingerprint) -> bool) -> Vec<Fingerprint> {
        let mut inhibitors = Vec::new();
        for target in self.targets.get(&alert.fingerprint).into_iter().flatten() {
            let rule = &self.rules[target.rule];
            let Some(sources) = rule.sources.get(&target.shared) else { continue };
            for (fingerprint, source) in sources {
                if !(target.is_source && source.is_target) && is_firing(*fingerprint) && rule.agree(&source.labels, &alert.labels)
                {
                    inhibitors.push(*fingerprint);
                }
            }
        }
        inhibitors.sort_unstable();
        inhibitors.dedup();
        inhibitors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MatchOp, Matcher};
    use crate::route::alert::IncomingAlert;
    use crate::time::{Span, Timestamp};

    fn alert(pairs: &[(&str, &str)]) -> Alert {
        IncomingAlert { labels: LabelSet::from_pairs(pairs.iter().copied()), ..IncomingAlert::default() }
            .receive(Timestamp(0), Span::from_mins(5))
            .unwrap()
    }

    fn inhibitor(equal: &[&str]) -> Inhibitor {
        Inhibitor::new(&[Inhibition {
            name: String::new(),
            source: vec![Matcher::equal("severity", "critical")],
            target: vec![Matcher::new("severity", MatchOp::Regex, "warning|critical").unwrap()],
            equal: equal.iter().map(|name| (*name).to_owned()).collect(),
        }])
    }

    #[test]
    fn a_source_mutes_targets_that_agree_on_the_equal_labels() {
        let mut inhibitor = inhibitor(&["cluster"]);
        let source = alert(&[("severity", "critical"), ("cluster", "a")]);
        inhibitor.add(&source);
        let ask = |inhibitor: &Inhibitor, pairs: &[(&str, &str)], firing: bool| {
            let mut with_target = inhibitor.clone();
            with_target.add(&alert(pairs));
            with_target.inhibited_by(&alert(pairs), |_| firing)
        };
        let target = [("severity", "warning"), ("cluster", "a")];
        assert_eq!(ask(&inhibitor, &target, true), [source.fingerprint]);
        assert_eq!(ask(&inhibitor, &target, false), []);
        assert_eq!(ask(&inhibitor, &[("severity", "warning"), ("cluster", "b")], true), []);
        assert_eq!(ask(&inhibitor, &[("severity", "warning")], true), []);
        inhibitor.remove(&source);
        assert_eq!(ask(&inhibitor, &target, true), []);
    }

    #[test]
    fn alerts_on_both_sides_do_not_mute_each_other_or_themselves() {
        let mut inhibitor = inhibitor(&["missing"]);
        let (one, two) = (alert(&[("severity", "critical"), ("n", "1")]), alert(&[("severity", "critical"), ("n", "2")]));
        inhibitor.add(&one);
        inhibitor.add(&two);
        assert_eq!(inhibitor.inhibited_by(&one, |_| true), []);
        // A label that both lack counts as equal.
        let warning = alert(&[("severity", "warning")]);
        inhibitor.add(&warning);
        assert_eq!(inhibitor.inhibited_by(&warning, |_| true).len(), 2);
    }
}
