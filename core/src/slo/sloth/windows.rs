//! Which windows alerts look at: catalogues of Sloth.

use crate::problem::Problem;
use crate::time::Span;
use crate::yaml::{self, Problems, Table};

/// The windows for objectives of one period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlertWindows {
    pub period: Span,
    pub page: Side,
    pub ticket: Side,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Side {
    pub quick: WindowPair,
    pub slow: WindowPair,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowPair {
    /// The share of the budget that is spent within the long window when it burns at the factor.
    pub budget_percent: f64,
    pub short: Span,
    pub long: Span,
}

impl AlertWindows {
    /// Returns the built-in catalogue of a period; only 28 and 30 days have one.
    pub fn built_in(period: Span) -> Option<AlertWindows> {
        const DAY: i64 = 24 * 60;
        let pair = |budget_percent, short, long| WindowPair {
            budget_percent,
            short: Span::from_mins(short),
            long: Span::from_mins(long),
        };
        let known = period == Span::from_mins(28 * DAY) || period == Span::from_mins(30 * DAY);
        known.then(|| AlertWindows {
            period,
            page: Side { quick: pair(2.0, 5, 60), slow: pair(5.0, 30, 6 * 60) },
            ticket: Side { quick: pair(10.0, 2 * 60, DAY), slow: pair(10.0, 6 * 60, 3 * DAY) },
        })
    }

    fn pairs(&self) -> [WindowPair; 4] {
        [self.page.quick, self.page.slow, self.ticket.quick, self.ticket.slow]
    }

    /// Returns all windows, each once, the shortest first.
    pub(super) fn lengths(&self) -> Vec<Span> {
        let mut lengths: Vec<Span> = self.pairs().iter().flat_map(|pair| [pair.short, pair.long]).collect();
        lengths.sort();
        lengths.dedup();
        lengths
    }
}

impl WindowPair {
    /// Returns the burn rate that spends the share of the budget within the long window; rounded as Sloth's is.
    pub(super) fn factor(&self, period: Span) -> f64 {
        let hours = |span: Span| span.0 as f64 / 3_600_000.0;
        self.budget_percent * hours(period) / 100.0 / hours(self.long)
    }
}

/// Reads a catalogue (`kind: AlertWindows`).
pub fn read_windows(file: &str, text: &str) -> (Option<AlertWindows>, Vec<Problem>) {
    let (node, mut problems) = yaml::parse(file, text);
    let Some(node) = node else { return (None, problems) };
    let found = Problems::new(file);
    let mut table = Table::new(&node, "", &found);
    let version = table.text("apiVersion").unwrap_or_default();
    let kind = table.text("kind").unwrap_or_default();
    if (version.as_str(), kind.as_str()) != ("sloth.slok.dev/v1", "AlertWindows") {
        table.error("expected apiVersion: sloth.slok.dev/v1 and kind: AlertWindows");
    }
    let windows = match table.table("spec") {
        Some(spec) => read_spec(spec),
        None => {
            table.error("spec is missing");
            None
        }
    };
    table.finish();
    problems.extend(found.into_vec());
    (windows, problems)
}

fn read_spec(mut spec: Table<'_, '_>) -> Option<AlertWindows> {
    let period = length(&mut spec, "sloPeriod");
    let (page, ticket) = (side(&mut spec, "page"), side(&mut spec, "ticket"));
    spec.finish();
    Some(AlertWindows { period: period?, page: page?, ticket: ticket? })
}

fn side(table: &mut Table<'_, '_>, key: &'static str) -> Option<Side> {
    let Some(mut side) = table.table(key) else {
        table.error(format!("{key} is missing"));
        return None;
    };
    let (quick, slow) = (pair(&mut side, "quick"), pair(&mut side, "slow"));
    side.finish();
    Some(Side { quick: quick?, slow: slow? })
}

fn pair(table: &mut Table<'_, '_>, key: &'static str) -> Option<WindowPair> {
    let Some(mut pair) = table.table(key) else {
        table.error(format!("{key} is missing"));
        return None;
    };
    let budget_percent = pair.value("errorBudgetPercent").and_then(|value| {
        let percent = value.float()?;
        if !(percent > 0.0 && percent <= 100.0) {
            value.error("expected a number above 0 and at most 100");
        }
        Some(percent)
    });
    if !pair.has("errorBudgetPercent") {
        pair.error("errorBudgetPercent is missing");
    }
    let (short, long) = (length(&mut pair, "shortWindow"), length(&mut pair, "longWindow"));
    if short.zip(long).is_some_and(|(short, long)| short >= long) {
        pair.error("shortWindow must be shorter than longWindow");
    }
    pair.finish();
    Some(WindowPair { budget_percent: budget_percent?, short: short?, long: long? })
}

fn length(table: &mut Table<'_, '_>, key: &'static str) -> Option<Span> {
    let Some(value) = table.value(key) else {
        table.error(format!("{key} is missing"));
        return None;
    };
    let span = value.span()?;
    if span <= Span::ZERO {
        value.error("expected a length above zero");
    }
    (span > Span::ZERO).then_some(span)
}
