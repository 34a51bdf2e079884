//! Rules: files of them, when a group is evaluated, what an evaluation brings, and which rules may be looked at early.

pub mod early;
pub mod evaluate;
pub mod functions;
pub mod grounds;
pub mod lint;
mod local;
pub mod margin;
pub mod named;
mod read;
mod slot;
mod text;
pub mod unseen;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::problem::Position;
use crate::promql::ast::Expr;
use crate::template::escape_query;
use crate::time::Span;

pub use early::{EarlyPlan, early_plan};
pub use evaluate::{Active, Environment, Evaluated, Queries, RuleError, evaluate, with_ends};
pub use local::Local;
pub use read::{Defaults, read, read_groups};
pub use text::RuleText;
pub use unseen::{Holding, Unseen};

/// The label that holds an alert's name.
pub const ALERT_NAME: &str = "alertname";

/// Rules that are evaluated together at one instant, in order.
///
/// Two groups are equal when they do the same under the same name; places in their files do not count.
#[derive(Clone, Debug)]
pub struct RuleGroup {
    /// The file as it was named to us; it and the name decide the slots.
    pub file: Arc<str>,
    pub name: String,
    pub position: Position,
    pub interval: Span,
    /// Expressions are evaluated this long before the slot, and what is recorded carries that earlier time.
    pub query_offset: Span,
    /// The most alerts or series that one rule may bring; zero: no limit.
    pub limit: usize,
    /// `early: false` keeps alerting rules to the slots.
    pub early: bool,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub kind: Kind,
    /// The expression as it was typed.
    pub text: String,
    pub expr: Expr,
    pub position: Position,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Record {
        name: String,
        /// Labels of the group and the rule, the rule's first; an empty value takes a label away.
        labels: BTreeMap<String, String>,
    },
    Alert(Alerting),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Alerting {
    pub name: String,
    /// `for`
    pub hold: Span,
    /// `keep_firing_for`
    pub keep_firing: Span,
    /// `unseen`
    pub holding: Holding,
    /// Labels of the group and the rule, the rule's first, in order of their names.
    pub labels: Vec<(String, RuleText)>,
    pub annotations: Vec<(String, RuleText)>,
}

/// What a rule is known by across restarts and reloads: state is carried over between rules of equal identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleId {
    pub file: String,
    pub group: String,
    pub name: String,
    /// The labels as they were typed.
    pub labels: BTreeMap<String, String>,
    /// Counts rules of the same group, name and labels.
    pub nth: usize,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        // The expression is what the text says.
        self.kind == other.kind && self.text == other.text
    }
}

impl PartialEq for RuleGroup {
    fn eq(&self, other: &RuleGroup) -> bool {
        let RuleGroup { file, name, position: _, interval, query_offset, limit, early, rules } = self;
        (file, name, interval, query_offset) == (&other.file, &other.name, &other.interval, &other.query_offset)
            && (limit, early, rules) == (&other.limit, &other.early, &other.rules)
    }
}

impl Rule {
    /// Returns the metric that is recorded, or the alert's name.
    pub fn name(&self) -> &str {
        match &self.kind {
            Kind::Record { name, .. } => name,
            Kind::Alert(alerting) => &alerting.name,
        }
    }

    pub fn is_alert(&self) -> bool {
        match self.kind {
            Kind::Record { .. } => false,
            Kind::Alert(_) => true,
        }
    }

    /// Returns the address of our page that shows the values of the expression.
    pub fn generator_url(&self, external_url: &str) -> String {
        format!("{external_url}/explore?expr={}", escape_query(&self.text))
    }

    /// Returns the labels as they were typed, the group's among them.
    pub fn label_texts(&self) -> BTreeMap<String, String> {
        match &self.kind {
            Kind::Record { labels, .. } => labels.clone(),
            Kind::Alert(alerting) => alerting.labels.iter().map(|(name, text)| (name.clone(), text.text.clone())).collect(),
        }
    }
}

impl RuleGroup {
    /// Returns a group without rules.
    pub fn empty(file: &str, name: &str, interval: Span) -> RuleGroup {
        RuleGroup {
            file: file.into(),
            name: name.to_owned(),
            position: Position::default(),
            interval,
            query_offset: Span::ZERO,
            limit: 0,
            early: true,
            rules: Vec::new(),
        }
    }

    /// Returns what each rule is known by, in the order of the rules.
    ///
    /// Source: Prometheus `Group.CopyState`, which matches rules by name and labels and equal ones by their order.
    pub fn ids(&self) -> Vec<RuleId> {
        let mut counts: BTreeMap<(String, BTreeMap<String, String>), usize> = BTreeMap::new();
        self.rules
            .iter()
            .map(|rule| {
                let (name, labels) = (rule.name().to_owned(), rule.label_texts());
                let count = counts.entry((name.clone(), labels.clone())).or_default();
                *count += 1;
                RuleId { file: self.file.to_string(), group: self.name.clone(), name, labels, nth: *count - 1 }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
