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
}

#[derive(Clone, Debug)]
struct Rule {
    inhibition: Inhibition,
    /// By the values of the `equal` labels: the alerts that satisfy `source`, and whether they satisfy `target` as well.
    sources: BTreeMap<Vec<String>, BTreeMap<Fingerprint, bool>>,
}

impl Rule {
    /// A missing label and an empty one are equal.
    fn shared_values(&self, labels: &LabelSet) -> Vec<String> {
        self.inhibition.equal.iter().map(|name| labels.get(name).to_owned()).collect()
    }
}

impl Inhibitor {
    pub fn new(inhibitions: &[Inhibition]) -> Inhibitor {
        let rule = |inhibition: &Inhibition| Rule { inhibition: inhibition.clone(), sources: BTreeMap::new() };
        Inhibitor { rules: inhibitions.iter().map(rule).collect() }
    }

    pub fn add(&mut self, alert: &Alert) {
        for rule in &mut self.rules {
            if all_match(&rule.inhibition.source, &alert.labels) {
                let is_target = all_match(&rule.inhibition.target, &alert.labels);
                let values = rule.shared_values(&alert.labels);
                rule.sources.entry(values).or_default().insert(alert.fingerprint, is_target);
            }
        }
    }

    pub fn remove(&mut self, alert: &Alert) {
        for rule in &mut self.rules {
            let values = rule.shared_values(&alert.labels);
            if let Some(sources) = rule.sources.get_mut(&values) {
                sources.remove(&alert.fingerprint);
                if sources.is_empty() {
                    rule.sources.remove(&values);
                }
            }
        }
    }

    /// Returns the firing alerts that mute an alert with these labels, in order of fingerprint, each once.
    ///
    /// An alert on both sides of a rule is not muted by another on both sides, nor by itself.
    /// Source: Alertmanager `inhibit`.
    pub fn inhibited_by(&self, labels: &LabelSet, is_firing: impl Fn(Fingerprint) -> bool) -> Vec<Fingerprint> {
        let mut inhibitors = Vec::new();
        for rule in &self.rules {
            if !all_match(&rule.inhibition.target, labels) {
                continue;
            }
            let Some(sources) = rule.sources.get(&rule.shared_values(labels)) else { continue };
            let is_source = all_match(&rule.inhibition.source, labels);
            let eligible = sources.iter().filter(|(_, is_target)| !(is_source && **is_target));
            inhibitors.extend(eligible.map(|(fingerprint, _)| *fingerprint).filter(|fingerprint| is_firing(*fingerprint)));
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
            inhibitor.inhibited_by(&LabelSet::from_pairs(pairs.iter().copied()), |_| firing)
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
        assert_eq!(inhibitor.inhibited_by(&one.labels, |_| true), []);
        // A label that both lack counts as equal.
        let warning = alert(&[("severity", "warning")]);
        assert_eq!(inhibitor.inhibited_by(&warning.labels, |_| true).len(), 2);
    }
}
