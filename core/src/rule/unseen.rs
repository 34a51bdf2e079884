//! What becomes of alerts of which nobody can tell whether their condition still holds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::labels::METRIC_NAME;
use crate::model::{LabelSet, Matcher, Value};
use crate::promql::ast::{Expr, VectorSelector};
use crate::promql::evaluate::EvalError;
use crate::promql::walk;

use super::grounds::{Ground, agrees};
use super::{ALERT_NAME, Active, Rule};

/// Why the series are not there by which a rule would tell that an alert has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unseen {
    // The first of those that hold is told.
    /// A target that the alert may be of does not answer.
    ScrapeFailed,
    /// The targets answer, and say nothing of it.
    NoData,
    /// There is no such target any more.
    TargetGone,
}

impl Unseen {
    /// Returns the word of rule files and answers.
    pub fn word(self) -> &'static str {
        match self {
            Unseen::ScrapeFailed => "scrape_failed",
            Unseen::NoData => "no_data",
            Unseen::TargetGone => "target_gone",
        }
    }
}

/// Whether an alert goes on as it was while nobody can tell, by the reason; else it ends, as in Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    pub scrape_failed: bool,
    pub no_data: bool,
    pub target_gone: bool,
}

impl Default for Holding {
    /// A target that does not answer has not recovered. A series that an exporter says no more, and a target that was taken away, are
    /// over: somebody wanted that.
    fn default() -> Holding {
        Holding { scrape_failed: true, no_data: false, target_gone: false }
    }
}

impl Holding {
    /// Nothing is held, or everything.
    pub fn all(holds: bool) -> Holding {
        Holding { scrape_failed: holds, no_data: holds, target_gone: holds }
    }

    pub fn holds(self, why: Unseen) -> bool {
        match why {
            Unseen::ScrapeFailed => self.scrape_failed,
            Unseen::NoData => self.no_data,
            Unseen::TargetGone => self.target_gone,
        }
    }
}

impl Rule {
    /// Returns those of the alerts in `known` that an evaluation no longer brings and of which nobody can tell whether they have ended.
    pub fn unseen(
        &self,
        mut known: BTreeSet<LabelSet>,
        active: &[Active],
        ground: &Ground<'_>,
    ) -> Result<BTreeMap<LabelSet, Unseen>, EvalError> {
        active.iter().for_each(|alert| _ = known.remove(&alert.labels));
        if known.is_empty() {
            return Ok(BTreeMap::new());
        }
        let own = self.label_texts();
        ground.unseen(&self.expr, known, |name| name == ALERT_NAME || own.contains_key(name))
    }
}

impl Ground<'_> {
    /// Returns those of some alerts of which an expression cannot tell that they have ended, and why.
    ///
    /// Shape: `alerts` are label sets; `own` says which labels the rule itself sets. Of the series `up` those count that agree with
    /// the alert in all labels that both have, and with what the expression asks of `job` and `instance`.
    pub fn unseen(
        &self,
        expr: &Expr,
        alerts: impl IntoIterator<Item = LabelSet>,
        own: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<LabelSet, Unseen>, EvalError> {
        let (mut unseen, asked, mut targets) = (BTreeMap::new(), walk::selectors(expr), None);
        for alert in alerts {
            let labels = alert.without(&own);
            if self.bears(expr, &labels)? {
                continue;
            }
            let targets = match &targets {
                Some(targets) => targets,
                None => targets.insert(self.targets(expr)?),
            };
            let is_meant =
                |target: &LabelSet| agrees(&labels, target) && asked.iter().any(|matchers| may_select(matchers, target));
            let meant = targets.iter().filter(|(target, _)| is_meant(target));
            let why = meant.map(|(_, answers)| if *answers { Unseen::NoData } else { Unseen::ScrapeFailed }).min();
            unseen.insert(alert, why.unwrap_or(Unseen::TargetGone));
        }
        Ok(unseen)
    }

    /// Returns every target, and whether it answers.
    fn targets(&self, expr: &Expr) -> Result<Vec<(LabelSet, bool)>, EvalError> {
        let matchers = vec![Matcher::equal(METRIC_NAME, "up")];
        let up = VectorSelector { name: None, matchers, offset: None, at: None, edges: None };
        Ok(self.look(up, expr.place)?.into_iter().map(|(labels, value)| (labels, !matches!(value, Value::Float(0.0)))).collect())
    }
}

/// Returns whether a selector may select series of a target.
fn may_select(matchers: &[Matcher], target: &LabelSet) -> bool {
    matchers.iter().filter(|matcher| matches!(matcher.name.as_str(), "job" | "instance")).all(|matcher| matcher.matches(target))
}
