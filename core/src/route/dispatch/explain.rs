//! Why an alert goes where it goes: the walk down the tree, told.

use std::fmt;

use crate::model::{LabelSet, MatchOp, Matcher};
use crate::route::alert::ALERT_NAME;
use crate::route::tree::RUN_ALERT;

use super::{Tree, Visit};

/// What became of an alert at one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// How many nodes stand above.
    pub depth: usize,
    /// The conditions of the node alone, as group keys write them.
    pub conditions: String,
    pub receiver: String,
    /// Whether the siblings behind are asked after this one has taken an alert.
    pub continues: bool,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// A condition does not hold: the first one in order of names; `value` is what the alert has, empty where it has no such label.
    Fails {
        condition: Matcher,
        value: String,
    },
    /// Nodes below take the alert.
    PassesOn,
    Takes,
    /// A sibling before it has taken the alert.
    NotAsked,
}

impl Tree {
    /// Returns every node that an alert with these labels meets, in order of the tree.
    ///
    /// Nodes by which runs page people are left out unless the alert is such a page.
    pub fn explain(&self, labels: &LabelSet) -> Vec<Step> {
        let mut steps: Vec<(usize, Step)> = Vec::new();
        self.walk(0, labels, &mut |visit| match visit {
            Visit::Refuses(index) => steps.push((index, self.step(index, self.failure(index, labels)))),
            Visit::Enters(index) => steps.push((index, self.step(index, Verdict::PassesOn))),
            Visit::Skips(index) => steps.push((index, self.step(index, Verdict::NotAsked))),
            Visit::Takes(taker) => {
                let own = steps.iter_mut().find(|(index, _)| *index == taker);
                own.into_iter().for_each(|(_, step)| step.verdict = Verdict::Takes);
            }
        });
        let is_meant = |index: &usize| labels.get(ALERT_NAME) == RUN_ALERT || !self.pages_of_runs(*index);
        steps.into_iter().filter(|(index, _)| is_meant(index)).map(|(_, step)| step).collect()
    }

    fn step(&self, index: usize, verdict: Verdict) -> Step {
        let node = &self.nodes[index];
        let conditions = super::matchers_text(&node.matchers);
        let depth = node.depth;
        Step { depth, conditions, receiver: node.receiver.clone(), continues: node.continues, verdict }
    }

    fn failure(&self, index: usize, labels: &LabelSet) -> Verdict {
        let failing = self.nodes[index].matchers.iter().find(|matcher| !matcher.matches(labels));
        let condition = failing.expect("a node refuses by one of its conditions").clone();
        let value = labels.get(&condition.name).to_owned();
        Verdict::Fails { condition, value }
    }

    fn pages_of_runs(&self, index: usize) -> bool {
        let asks_for_run =
            |matcher: &Matcher| matcher.name == ALERT_NAME && matcher.op == MatchOp::Equal && matcher.value == RUN_ALERT;
        self.nodes[index].matchers.iter().any(asks_for_run)
    }
}

impl fmt::Display for Step {
    /// Writes one line, such as `route {team="db"} to db: no, team is "web"`, indented by two blanks for each node above.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = self.depth * 2;
        write!(f, "{:indent$}route {} to {}: ", "", self.conditions, self.receiver)?;
        match &self.verdict {
            Verdict::Fails { condition, value } if value.is_empty() => write!(f, "no, there is no label {}", condition.name),
            Verdict::Fails { condition, value } => write!(f, "no, {} is {value:?}", condition.name),
            Verdict::PassesOn => f.write_str("passes it on"),
            Verdict::Takes if self.continues => f.write_str("takes it, and the next one is asked too"),
            Verdict::Takes => f.write_str("takes it"),
            Verdict::NotAsked => f.write_str("not asked, one before it took the alert"),
        }
    }
}
