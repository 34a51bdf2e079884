//! Simulated time: samples come in, and all groups are evaluated at each step.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::sync::Arc;

use super::{Settings, Test, TestFile, What};
use crate::ledger::{RuleKey, RuleTerms};
use crate::model::{LabelSet, Value};
use crate::promql::evaluate::{Cancel, Options};
use crate::promql::script::{Loaded, Memory};
use crate::rule::grounds::Ground;
use crate::rule::{Active, Environment, Evaluated, Kind, Local, Rule, RuleGroup, evaluate, with_ends};
use crate::time::{Span, Timestamp};

/// The values of an input series that are still to come, each with its instant.
type Ahead<'t> = Peekable<Box<dyn Iterator<Item = (Timestamp, &'t Value)> + 't>>;

/// The samples of a test and the groups that read and write them.
pub(super) struct World<'t> {
    start: Timestamp,
    options: Options,
    cancel: &'t Cancel,
    memory: Memory,
    ahead: Vec<(&'t LabelSet, Ahead<'t>)>,
    pub groups: Vec<Playing<'t>>,
}

/// A group with what its rules have written so far.
pub(super) struct Playing<'t> {
    pub group: &'t RuleGroup,
    pub rules: Vec<PlayedRule<'t>>,
    environment: Environment,
}

pub(super) struct PlayedRule<'t> {
    pub rule: &'t Rule,
    pub key: RuleKey,
    pub terms: Arc<RuleTerms>,
    written: BTreeSet<LabelSet>,
}

/// What moves the alerts of a rule after an evaluation.
///
/// Returns the series of its alerts. Errors: why the rule has failed.
pub(super) type Judge<'j> =
    dyn FnMut(&PlayedRule<'_>, Vec<Active>, &Ground<'_>, Timestamp) -> Result<Vec<(LabelSet, f64)>, String> + 'j;

impl<'t> World<'t> {
    pub fn new(file: &TestFile, test: &'t Test, groups: &[&'t RuleGroup], settings: &Settings, cancel: &'t Cancel) -> World<'t> {
        World {
            start: test.start,
            options: Options { default_step: file.interval, ..settings.options.clone() },
            cancel,
            memory: Memory::default(),
            ahead: ahead(test),
            groups: groups.iter().map(|group| Playing::new(group, test, settings)).collect(),
        }
    }

    pub fn queries(&self) -> Local<'_> {
        Local { source: &self.memory, options: &self.options, cancel: self.cancel }
    }

    /// Takes in the samples up to a step and evaluates all groups at it. Errors: what went wrong; the test is over.
    pub fn step(&mut self, step: Span, judge: &mut Judge<'_>) -> Result<(), Vec<What>> {
        self.take_in(step).map_err(|what| vec![what])?;
        let at = self.start + step;
        let mut failures = Vec::new();
        for Playing { group, rules, environment } in &mut self.groups {
            for played in rules {
                let queries = Local { source: &self.memory, options: &self.options, cancel: self.cancel };
                let samples = evaluate(played.rule, at, &queries, environment).map_err(|error| error.to_string());
                let ground = Ground::new(at - group.query_offset, &self.memory, &self.options, self.cancel);
                let samples = samples.and_then(|evaluated| played.judged(evaluated, &ground, at, judge));
                let written = samples.and_then(|samples| {
                    let mut outcome = Ok(());
                    for (labels, value) in with_ends(samples, &mut played.written) {
                        let appended = self.memory.append(&labels, at - group.query_offset, value);
                        outcome = outcome.and(appended.map_err(|refused| refused.to_string()));
                    }
                    outcome
                });
                if let Err(reason) = written {
                    let (name, rule) = (played.rule.name().to_owned(), place(group, played.rule));
                    failures.push(What::Rule { name, at: step, rule, reason });
                }
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }

    fn take_in(&mut self, step: Span) -> Result<(), What> {
        let until = self.start + step;
        let mut refused = None;
        for (labels, ahead) in &mut self.ahead {
            while let Some((at, value)) = ahead.next_if(|(at, _)| *at <= until) {
                if let Err(reason) = self.memory.append(labels, at, value.clone()) {
                    let at = at.since(self.start);
                    refused.get_or_insert(What::Input { series: labels.to_string(), at, reason: reason.to_string() });
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

fn ahead(test: &Test) -> Vec<(&LabelSet, Ahead<'_>)> {
    // Of two lines for the same series the last one counts.
    let series: BTreeMap<&LabelSet, &Loaded> = test.series.iter().map(|series| (&series.notation.labels, series)).collect();
    let ahead = series.into_iter().map(|(labels, series)| {
        let instant = |index: usize| test.start + Span(test.interval.0.saturating_mul(index as i64));
        let values = series.notation.values.iter().enumerate();
        let present = values.filter_map(move |(index, written)| Some((instant(index), written.value.as_ref()?)));
        let boxed: Box<dyn Iterator<Item = (Timestamp, &Value)>> = Box::new(present);
        (labels, boxed.peekable())
    });
    ahead.collect()
}

/// Returns the groups in the order in which they are evaluated: those that the file orders come first; all others keep the order of
/// their files.
pub(super) fn in_order<'g>(file: &TestFile, groups: &'g [RuleGroup]) -> Vec<&'g RuleGroup> {
    let rank = |group: &&RuleGroup| file.group_order.iter().position(|name| *name == group.name).unwrap_or(usize::MAX);
    let mut groups: Vec<&RuleGroup> = groups.iter().collect();
    groups.sort_by_key(rank);
    groups
}

/// Returns where a rule stands.
pub(super) fn place(group: &RuleGroup, rule: &Rule) -> String {
    format!("{}:{}:{}", group.file, rule.position.line, rule.position.column)
}

impl<'t> Playing<'t> {
    fn new(group: &'t RuleGroup, test: &Test, settings: &Settings) -> Playing<'t> {
        let environment = Environment {
            external_labels: test.external_labels.clone(),
            external_url: test.external_url.clone(),
            query_offset: group.query_offset,
            limit: group.limit,
            syntax: settings.syntax,
        };
        let rules = group.rules.iter().zip(group.ids()).map(|(rule, id)| PlayedRule {
            rule,
            key: Arc::new(id),
            terms: Arc::new(RuleTerms::new(group, rule, &test.external_url)),
            written: BTreeSet::new(),
        });
        Playing { group, rules: rules.collect(), environment }
    }
}

impl PlayedRule<'_> {
    /// Returns what an evaluation writes.
    fn judged(
        &self,
        evaluated: Evaluated,
        ground: &Ground<'_>,
        at: Timestamp,
        judge: &mut Judge<'_>,
    ) -> Result<Vec<(LabelSet, Value)>, String> {
        match (evaluated, &self.rule.kind) {
            (Evaluated::Active(active), Kind::Alert(_)) => {
                let series = judge(self, active, ground, at)?;
                Ok(series.into_iter().map(|(labels, value)| (labels, Value::Float(value))).collect())
            }
            (Evaluated::Active(_), Kind::Record { .. }) => Ok(Vec::new()),
            (Evaluated::Recorded(samples), _) => Ok(samples),
        }
    }
}
