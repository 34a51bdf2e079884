//! One objective as people see it.

use std::sync::Arc;

use tocsin_core::slo::{AlertRule, Burn, Condition, Count, Definition, Status, Verdict};
use tocsin_core::time::Span;

use super::Shown;

#[derive(Clone, Debug)]
pub struct View {
    /// What the counts stand for; while they are counted anew, the definition before.
    pub definition: Arc<Definition>,
    /// None: nothing was read yet.
    pub status: Option<Status>,
    /// The condition of an alert other than the end of the budget holds.
    pub is_burning: bool,
    /// Look-backs in order of their length.
    pub burns: Vec<(Span, Burn)>,
    pub catching_up: bool,
    pub error: Option<String>,
    /// Values and series that could not be counted since the start.
    pub refused: u64,
}

impl View {
    pub(super) fn new(shown: &Shown) -> View {
        let mut view = View {
            definition: shown.definition.clone(),
            status: None,
            is_burning: false,
            burns: Vec::new(),
            catching_up: shown.catching_up,
            error: shown.error.clone(),
            refused: shown.refused,
        };
        if let Some(standing) = shown.counts.as_ref().and_then(|counts| counts.lock().ok()) {
            view.definition = standing.definition().clone();
            view.status = Some(standing.status());
            let mut judged = standing.judge().into_iter().zip(&view.definition.alerts);
            view.is_burning = judged.any(|(judged, rule)| rule.condition != Condition::Exhausted && !judged.active.is_empty());
            view.burns = view.definition.lookbacks().into_iter().map(|span| (span, standing.burn(span))).collect();
        }
        view
    }

    /// Returns whether some alert is not judged, because there are too few events.
    pub fn has_low_traffic(&self) -> bool {
        let least = Count::whole(i64::try_from(self.definition.guard.events_min).unwrap_or(i64::MAX));
        let mut pairs = self.status.iter().flat_map(|status| &status.pairs);
        let is_low = |lookback: Span| self.burns.iter().any(|(span, burn)| *span == lookback && burn.counted.tally.total < least);
        let is_rate_low = |rule: &AlertRule| matches!(rule.condition, Condition::Rate { lookback, .. } if is_low(lookback));
        pairs.any(|pair| matches!(pair.verdict, Verdict::TooFew { .. })) || self.definition.alerts.iter().any(is_rate_low)
    }

    /// Returns whether the budget is spent to the last.
    pub fn is_exhausted(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.budget.is_exhausted(&self.definition))
    }
}
