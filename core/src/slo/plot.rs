//! What became of a budget over its window, as points for a plot.

use crate::time::Timestamp;

use super::budget::Budget;
use super::count::Count;
use super::standing::Standing;
use super::window::Bounds;

/// How a budget was spent at one instant of its window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurnDown {
    pub at: Timestamp,
    /// The share of the budget that was left of what the window allows as it stands now; the last one is that of the status.
    pub left: f64,
    /// Bad events, or slices, since the point before.
    pub bad: f64,
}

impl Standing {
    /// Returns how the budget was spent from the start of the window to the last point of the ledger.
    ///
    /// Shape: `points` of equal distance, the last one at the last point of the ledger; fewer where the window is that short.
    pub fn burn_down(&self, points: usize) -> Vec<BurnDown> {
        let (definition, ledger) = (self.definition(), self.ledger());
        let at = ledger.last().0;
        let budget = Budget::at(definition, ledger, at);
        let from = budget.window.from;
        let points = i64::try_from(points).unwrap_or(i64::MAX).clamp(1, at.since(from).0.max(1));
        let bad = |to: Timestamp| ledger.window(Bounds { from, to }).tally.bad().max(Count::ZERO).float();
        let mut before = 0.0;
        let point = |number: i64| {
            let at = Timestamp(from.0 + (i128::from(at.since(from).0) * i128::from(number) / i128::from(points)) as i64);
            let spent = bad(at);
            let left = if spent == 0.0 { 1.0 } else { 1.0 - spent / budget.allowed };
            let point = BurnDown { at, left, bad: spent - before };
            before = spent;
            point
        };
        (1..=points).map(point).collect()
    }
}
