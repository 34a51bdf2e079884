//! Error budgets: how much may go wrong, how much has, and how fast.

use crate::time::{Span, Timestamp};

use super::count::{Count, Tally};
use super::definition::Definition;
use super::ledger::{Counted, Ledger};
use super::openslo::Target;
use super::window::Bounds;

/// How fast the budget is being spent over a look-back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burn {
    pub counted: Counted,
    /// 1 spends the budget exactly by the end of the window. None: nothing was counted.
    pub rate: Option<f64>,
}

impl Burn {
    /// Returns the burn rate of the `lookback` that ends at an instant.
    ///
    /// Source: Site Reliability Workbook, "Alerting on SLOs".
    pub fn over(ledger: &Ledger, target: Target, lookback: Span, at: Timestamp) -> Burn {
        let counted = ledger.window(Bounds { from: at - lookback, to: at });
        Burn { counted, rate: rate(counted.tally, target) }
    }

    /// Returns whether the budget burns faster than so many thousandths; compared without rounding.
    pub fn exceeds(&self, target: Target, thousandths: u64) -> bool {
        let Tally { total, .. } = self.counted.tally;
        let bad = self.counted.tally.bad().max(Count::ZERO);
        let spent = bad.0.saturating_mul(i128::from(Target::WHOLE)).saturating_mul(1000);
        let limit = total.0.saturating_mul(i128::from(target.budget())).saturating_mul(i128::from(thousandths));
        total > Count::ZERO && spent > limit
    }
}

/// Returns the burn rate of counts.
pub(super) fn rate(tally: Tally, target: Target) -> Option<f64> {
    tally.error_ratio().map(|errors| errors / target.budget_ratio())
}

/// The budget of an objective at an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// From when to when the objective is judged, whether or not there are counts of all of it.
    pub window: Bounds,
    pub counted: Counted,
    /// Bad events, or slices, that the window may hold: of slices the whole window counts, of events those that came.
    pub allowed: f64,
    /// The share of the budget that is left: 1 untouched, 0 spent, below 0 overspent.
    pub left: f64,
    /// Bad events, or slices, that may still come; negative when too many have.
    pub events_left: f64,
    /// How long everything may still fail; negative when the budget is overspent.
    ///
    /// Unit: the share that is left of the time that the target lets fail in the window.
    pub time_left: Span,
    /// When the budget is spent if it burns on as over the last hour. None: it does not within this window, or nothing was counted.
    pub exhausted_in: Option<Span>,
    /// The share of good events, or slices. None: nothing was counted.
    pub good_ratio: Option<f64>,
}

/// The look-back by which the end of the budget is foretold.
const FORECAST: Span = Span::from_mins(60);

impl Budget {
    /// Returns the budget at an instant: two look-ups for the window, two for the forecast.
    pub fn at(definition: &Definition, ledger: &Ledger, at: Timestamp) -> Budget {
        let window = definition.window.bounds(at);
        let counted = ledger.window(Bounds { from: window.from, to: at });
        let target = definition.target;
        let bad = counted.tally.bad().max(Count::ZERO).float();
        let base = match definition.counting.slices {
            Some(slices) => window.span().0 as f64 / slices.length.0 as f64,
            None => counted.tally.total.float(),
        };
        let allowed = base * target.budget_ratio();
        let left = if bad == 0.0 { 1.0 } else { 1.0 - bad / allowed };
        let time_left = Span((window.span().0 as f64 * target.budget_ratio() * left).round() as i64);
        let burn = Burn::over(ledger, target, FORECAST, at).rate;
        Budget {
            window,
            counted,
            allowed,
            left,
            events_left: allowed - bad,
            time_left,
            exhausted_in: exhausted_in(definition, window, at, left, burn),
            good_ratio: counted.tally.error_ratio().map(|errors| 1.0 - errors),
        }
    }

    /// Returns whether the budget is spent to the last; compared without rounding.
    pub fn is_exhausted(&self, definition: &Definition) -> bool {
        let Tally { total, .. } = self.counted.tally;
        let bad = self.counted.tally.bad();
        if bad <= Count::ZERO {
            return false;
        }
        let budget = i128::from(definition.target.budget());
        let spent = bad.0.saturating_mul(i128::from(Target::WHOLE));
        match definition.counting.slices {
            // Multiplied out, since the number of slices in a window need not be whole.
            Some(slices) => {
                let allowed = Count::ONE.0.saturating_mul(budget).saturating_mul(i128::from(self.window.span().0));
                spent.saturating_mul(i128::from(slices.length.0)) >= allowed
            }
            None => spent >= total.0.saturating_mul(budget),
        }
    }
}

fn exhausted_in(definition: &Definition, window: Bounds, at: Timestamp, left: f64, burn: Option<f64>) -> Option<Span> {
    if left <= 0.0 {
        return Some(Span::ZERO);
    }
    let rate = burn.filter(|rate| *rate > 0.0)?;
    let ms = window.span().0 as f64 * left / rate;
    let end = if definition.window.is_rolling() { definition.window.span().0 } else { window.to.since(at).0 };
    (ms <= end as f64).then_some(Span(ms.round() as i64))
}
