//! One test of rules played through: groups are evaluated at each step, and what fires is looked at.

use std::collections::BTreeMap;

use super::world::{PlayedRule, World, in_order, place};
use super::{AlertCheck, ExpressionCheck, Failure, FiringAlert, Outcome, Settings, Test, TestFile, What, compare};
use crate::alert::{Instances, State, Terms};
use crate::ledger::RuleKey;
use crate::model::LabelSet;
use crate::problem::Position;
use crate::promql::evaluate::Cancel;
use crate::rule::{Active, Queries, RuleGroup};
use crate::time::{Span, Timestamp};

/// Runs what every test of a file says of alerts and expressions, over the groups of its rule files.
pub fn run(file: &TestFile, groups: &[RuleGroup], settings: &Settings, cancel: &Cancel) -> Vec<Outcome> {
    let groups = in_order(file, groups);
    let play = |test: &Test| {
        let mut story = Story {
            file,
            test,
            world: World::new(file, test, &groups, settings, cancel),
            alerts: BTreeMap::new(),
            failures: Vec::new(),
        };
        story.play();
        let checks = test.alerts.len() + test.expressions.len();
        Outcome { title: test.title(), position: test.position, checks, failures: story.failures }
    };
    file.tests.iter().map(play).collect()
}

struct Story<'t> {
    file: &'t TestFile,
    test: &'t Test,
    world: World<'t>,
    alerts: BTreeMap<RuleKey, Instances>,
    failures: Vec<Failure>,
}

impl Story<'_> {
    /// Evaluates at every step up to the last instant that is asked for, and looks at alerts on the way and at expressions at the end.
    fn play(&mut self) {
        let mut checks: Vec<&AlertCheck> = self.test.alerts.iter().collect();
        checks.sort_by_key(|check| check.at);
        let last = checks.iter().map(|check| check.at).chain(self.test.expressions.iter().map(|check| check.at)).max();
        let mut checks = checks.into_iter().peekable();
        let (mut step, last) = (Span::ZERO, last.unwrap_or_default());
        while step <= last {
            let alerts = &mut self.alerts;
            let stepped = self.world.step(step, &mut |rule, active, _, at| advance(alerts, rule, active, at));
            if let Err(failures) = stepped {
                failures.into_iter().for_each(|what| self.fail(self.test.position, what));
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

    fn fail(&mut self, position: Position, what: What) {
        self.failures.push(Failure { position, what });
    }

    fn check_alerts(&mut self, check: &AlertCheck) {
        let (mut firing, mut rules) = (Vec::new(), Vec::new());
        for playing in &self.world.groups {
            for played in playing.rules.iter().filter(|played| played.rule.is_alert() && played.rule.name() == check.name) {
                rules.push(place(playing.group, played.rule));
                let active = self.alerts.get(&played.key).into_iter().flat_map(Instances::active);
                firing.extend(active.filter(|instance| instance.state == State::Firing).map(|instance| FiringAlert {
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
        let (text, at) = (check.text.clone(), check.at);
        let what = match self.world.queries().instant(&check.expr, &check.text, self.test.start + check.at) {
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

/// Steps the alerts of a rule; returns their series.
fn advance(
    alerts: &mut BTreeMap<RuleKey, Instances>,
    played: &PlayedRule<'_>,
    active: Vec<Active>,
    at: Timestamp,
) -> Result<Vec<(LabelSet, f64)>, String> {
    let terms = Terms { hold: played.terms.hold, keep_firing: played.terms.keep_firing, limit: played.terms.limit };
    let instances = alerts.entry(played.key.clone()).or_default();
    instances.step(active, at, &terms).map_err(|error| error.to_string())?;
    Ok(instances.series())
}
