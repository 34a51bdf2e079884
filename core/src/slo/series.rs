//! An objective as series, so that dashboards and rules can use its figures, and its alerts as expressions over them.

use std::collections::BTreeMap;

use crate::model::LabelSet;
use crate::model::labels::{METRIC_NAME, is_classic_label_name};
use crate::time::{Span, Timestamp};

use super::alerts::{AlertRule, Condition, Pair};
use super::budget::{Budget, Burn};
use super::definition::Definition;
use super::standing::Standing;

/// The burn rate over this look-back is among the figures of every objective.
const HOUR: Span = Span::from_mins(60);

impl Definition {
    /// Returns the labels of everything that tells of the objective: those of the SLO, and `objective`, `service` and `slo`.
    pub(super) fn labels(&self) -> BTreeMap<String, &str> {
        let name = |label: &str| label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect::<String>();
        let mut labels: BTreeMap<String, &str> = BTreeMap::new();
        for (label, value) in &self.labels {
            let label = name(label);
            if is_classic_label_name(&label) {
                labels.insert(label, value);
            }
        }
        labels.extend([
            ("objective".to_owned(), self.id.as_str()),
            ("service".to_owned(), &self.service),
            ("slo".to_owned(), &self.slo),
        ]);
        labels
    }

    /// Returns the look-backs of all alerts, and an hour, in order of their length.
    pub fn lookbacks(&self) -> Vec<Span> {
        let mut lookbacks = vec![HOUR];
        for rule in &self.alerts {
            match &rule.condition {
                Condition::Burning(pairs) => lookbacks.extend(pairs.iter().flat_map(|pair| [pair.short, pair.long])),
                Condition::Exhausted => {}
                Condition::Rate { lookback, .. } => lookbacks.push(*lookback),
            }
        }
        lookbacks.sort();
        lookbacks.dedup();
        lookbacks
    }

    /// Returns an alert as an expression over the series of the objective.
    pub fn expr(&self, rule: &AlertRule) -> String {
        let burn = |window: Span| format!("tocsin_slo_burn_rate{{objective={:?},window=\"{window}\"}}", self.id);
        let pair = |pair: &Pair| {
            format!("({} > {} and ignoring(window) {} > {})", burn(pair.long), pair.rate(), burn(pair.short), pair.rate())
        };
        match &rule.condition {
            Condition::Burning(pairs) => pairs.iter().map(pair).collect::<Vec<_>>().join(" or "),
            Condition::Exhausted => format!("tocsin_slo_error_budget_remaining_ratio{{objective={:?}}} <= 0", self.id),
            Condition::Rate { op, threshold, lookback, when_breaching, when_no_data } => {
                let breaching = format!("{} {} {threshold}", burn(*lookback), op.sign());
                let absent = format!("absent({})", burn(*lookback));
                match (when_breaching, when_no_data) {
                    (true, true) => format!("{breaching} or {absent}"),
                    (false, true) => absent,
                    (true | false, false) => breaching,
                }
            }
        }
    }
}

impl Standing {
    /// Returns the series of the objective and the instant of their samples, that of its last point.
    ///
    /// Shape: what cannot be said, since nothing was counted, is left out. Unit: ratios from 0 to 1; burn rates; events or slices
    /// since the ledger began.
    pub fn series(&self) -> (Timestamp, Vec<(LabelSet, f64)>) {
        let (definition, ledger) = (self.definition(), self.ledger());
        let (at, counted) = ledger.last();
        let budget = Budget::at(definition, ledger, at);
        let own = definition.labels();
        let labels = |name: &str, window: Option<Span>| {
            let mut labels: BTreeMap<&str, String> =
                own.iter().map(|(label, value)| (label.as_str(), (*value).to_owned())).collect();
            labels.insert(METRIC_NAME, name.to_owned());
            labels.extend(window.map(|window| ("window", window.to_string())));
            LabelSet::from_pairs(labels)
        };
        let mut series = vec![
            (labels("tocsin_slo_objective_ratio", None), definition.target.ratio()),
            (labels("tocsin_slo_events_total", None), counted.total.float()),
            (labels("tocsin_slo_events_good_total", None), counted.good.float()),
        ];
        if let Some(ratio) = budget.good_ratio {
            series.push((labels("tocsin_slo_sli_ratio", None), ratio));
            series.push((labels("tocsin_slo_error_budget_remaining_ratio", None), budget.left));
        }
        for lookback in definition.lookbacks() {
            if let Some(rate) = Burn::over(ledger, definition.target, lookback, at).rate {
                series.push((labels("tocsin_slo_burn_rate", Some(lookback)), rate));
            }
        }
        (at, series)
    }
}
