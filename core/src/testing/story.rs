//! One test played through: samples come in, groups are evaluated at each step, and what fires is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use super::{AlertCheck, ExpressionCheck, Failure, FiringAlert, Outcome, Settings, Test, TestFile, What, compare};
use crate::alert::{Instances, State, Terms};
use crate::model::{LabelSet, Value};
use crate::promql::evaluate::{Cancel, Options};
use crate::promql::script::{Loaded, Memory};
use crate::rule::{Environment, Evaluated, Kind, Local, Queries, Rule, RuleGroup, evaluate, with_ends};
use crate::time::{Span, Timestamp};

/// Runs every test of a file over the groups of its rule files.
pub fn run(file: &TestFile, groups: &[RuleGroup], settings: &Settings, cancel: &Cancel) -> Vec<Outcome> {
    // Groups that the file orders come first; all others keep the order of their files.
    let rank = |group: &&RuleGroup| file.group_order.iter().position(|name| *name == group.name).unwrap_or(usize::MAX);
    let mut groups: Vec<&RuleGroup> = groups.iter().collect();
    groups.sort_by_key(rank);
    file.tests.iter().map(|test| play(file, test, &groups, settings, cancel)).collect()
}

/// The values of an input series that are still to come, each with its instant.
type Ahead<'t> = Peekable<Box<dyn Iterator<Item = (Timestamp, &'t Value)> + 't>>;

/// A group with what its rules have done so far.
struct Playing<'g> {
    group: &'g RuleGroup,
    environment: Environment,
    rules: Vec<Progress>,
}

impl<'g> Playing<'g> {
    fn new(group: &'g RuleGroup, environment: Environment) -> Playing<'g> {
        Playing { group, environment, rules: group.rules.iter().map(|_| Progress::default()).collect() }
    }
}

#[derive(Default)]
struct Progress {
    instances: Instances,
    written: BTreeSet<LabelSet>,
}

struct Story<'t> {
    file: &'t TestFile,
    test: &'t Test,
    options: Options,
    cancel: &'t Cancel,
    memory: Memory,
    ahead: Vec<(&'t LabelSet, Ahead<'t>)>,
    groups: Vec<Playing<'t>>,
    failures: Vec<Failure>,
}

fn play<'t>(file: &'t TestFile, test: &'t Test, groups: &[&'t RuleGroup], settings: &Settings, cancel: &'t Cancel) -> Outcome {
    let environment = |group: &RuleGroup| Environment {
        external_labels: test.external_labels.clone(),
        external_url: test.external_url.clone(),
        query_offset: group.query_offset,
        limit: group.limit,
        syntax: settings.syntax,
    };
    let mut story = Story {
        file,
        test,
        options: Options { default_step: file.interval, ..settings.options.clone() },
        cancel,
        memory: Memory::default(),
        ahead: ahead(test),
        groups: groups.iter().map(|group| Playing::new(group, environment(group))).collect(),
        failures: Vec::new(),
    };
    story.play();
    let failures = story.failures;
    Outcome { title: test.title(), position: test.position, checks: test.alerts.len() + test.expressions.len(), failures }
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

impl<'t> Story<'t> {
    /// Evaluates at every step up to the last instant that is asked for, and looks at alerts on the way and at expressions at the end.
    fn play(&mut self) {
        let mut checks: Vec<&AlertCheck> = self.test.alerts.iter().collect();
        checks.sort_by_key(|check| check.at);
        let last = checks.iter().map(|check| check.at).chain(self.test.expressions.iter().map(|check| check.at)).max();
        let mut checks = checks.into_iter().peekable();
        let (mut step, last) = (Span::ZERO, last.unwrap_or_default());
        while step <= last {
            if self.take_in(step).is_err() || self.evaluate(step).is_err() {
                return;
            }
            // What is expected between two steps is what the earlier one brought.
            while let Some(check) = checks.next_if(|check| check.at < step + self.file.interval) {
                self.check_alerts(check);
            }
            step = step + self.file.interval;
        }
        for check in &self.test.expressions {
            self.check_expression(check);
        }
    }

    fn fail(&mut self, position: crate::problem::Position, what: What) {
        self.failures.push(Failure { position, what });
    }

    /// Takes in the samples up to a step. Errors: the failure is noted and the test is over.
    fn take_in(&mut self, step: Span) -> Result<(), ()> {
        let until = self.test.start + step;
        let mut refused = None;
        for (labels, ahead) in &mut self.ahead {
            while let Some((at, value)) = ahead.next_if(|(at, _)| *at <= until) {
                if let Err(reason) = self.memory.append(labels, at, value.clone()) {
                    let at = at.since(self.test.start);
                    refused.get_or_insert(What::Input { series: labels.to_string(), at, reason: reason.to_string() });
                }
            }
        }
        match refused {
            None => Ok(()),
            Some(what) => {
                self.fail(self.test.position, what);
                Err(())
            }
        }
    }

    /// Evaluates all groups. Errors: the failures are noted and the test is over.
    fn evaluate(&mut self, step: Span) -> Result<(), ()> {
        let at = self.test.start + step;
        let before = self.failures.len();
        for Playing { group, environment, rules } in &mut self.groups {
            for (rule, progress) in group.rules.iter().zip(rules) {
                let queries = Local { source: &self.memory, options: &self.options, cancel: self.cancel };
                let samples = progress.evaluate(rule, at, &queries, environment);
                let written = samples.and_then(|samples| {
                    let mut outcome = Ok(());
                    for (labels, value) in with_ends(samples, &mut progress.written) {
                        let appended = self.memory.append(&labels, at - group.query_offset, value);
                        outcome = outcome.and(appended.map_err(|refused| refused.to_string()));
                    }
                    outcome
                });
                if let Err(reason) = written {
                    let rule_place = place(group, rule);
                    let what = What::Rule { name: rule.name().to_owned(), at: step, rule: rule_place, reason };
                    self.failures.push(Failure { position: self.test.position, what });
                }
            }
        }
        if self.failures.len() > before { Err(()) } else { Ok(()) }
    }

    fn check_alerts(&mut self, check: &AlertCheck) {
        let (mut firing, mut rules) = (Vec::new(), Vec::new());
        for playing in &self.groups {
            let own = playing.group.rules.iter().zip(&playing.rules);
            for (rule, progress) in own.filter(|(rule, _)| rule.is_alert() && rule.name() == check.name) {
                rules.push(place(playing.group, rule));
                let active = progress.instances.active().filter(|instance| instance.state == State::Firing);
                firing.extend(active.map(|instance| FiringAlert {
                    labels: instance.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                    annotations: instance.annotations.clone(),
                }));
            }
        }
        let differences = compare::alerts(&check.alerts, firing);
        if !differences.is_empty() {
            self.fail(check.position, What::Alert { name: check.name.clone(), at: check.at, rules, differences });
        }
    }

    fn check_expression(&mut self, check: &ExpressionCheck) {
        let queries = Local { source: &self.memory, options: &self.options, cancel: self.cancel };
        let (text, at) = (check.text.clone(), check.at);
        let what = match queries.instant(&check.expr, &check.text, self.test.start + check.at) {
            Err(reason) => What::NoValue { text, at, reason },
            Ok(got) => {
                let differences = compare::samples(&check.samples, got, self.file.fuzzy);
                if differences.is_empty() {
                    return;
                }
                What::Expression { text, at, differences }
            }
        };
        self.fail(check.position, what);
    }
}

fn place(group: &RuleGroup, rule: &Rule) -> String {
    format!("{}:{}:{}", group.file, rule.position.line, rule.position.column)
}

impl Progress {
    /// Returns what one evaluation of the rule writes.
    fn evaluate(
        &mut self,
        rule: &Rule,
        at: Timestamp,
        queries: &dyn Queries,
        environment: &Environment,
    ) -> Result<Vec<(LabelSet, Value)>, String> {
        let evaluated = evaluate(rule, at, queries, environment).map_err(|error| error.to_string())?;
        match (evaluated, &rule.kind) {
            (Evaluated::Active(active), Kind::Alert(alerting)) => {
                let terms = Terms { hold: alerting.hold, keep_firing: alerting.keep_firing, limit: environment.limit };
                self.instances.step(active, at, &terms).map_err(|error| error.to_string())?;
                Ok(self.instances.series().into_iter().map(|(labels, value)| (labels, Value::Float(value))).collect())
            }
            (Evaluated::Active(_), Kind::Record { .. }) => Ok(Vec::new()),
            (Evaluated::Recorded(samples), _) => Ok(samples),
        }
    }
}
