//! Alerts of objectives. They come out as rules' alerts do, so that holding, routing and paging treat them alike.

use std::collections::BTreeMap;

use crate::alert::Terms;
use crate::model::LabelSet;
use crate::rule::{ALERT_NAME, Active, RuleId};
use crate::time::{Span, Timestamp};

use super::budget::{Budget, Burn};
use super::count::{Count, Tally};
use super::definition::{Definition, Guard};
use super::ledger::Ledger;
use super::openslo::{Op, Policy};
use super::slices::Slices;
use super::window::Window;

const BURNING: &str = "SloErrorBudgetBurn";
const EXHAUSTED: &str = "SloErrorBudgetExhausted";

/// What is watched of an objective.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRule {
    pub name: String,
    pub severity: String,
    /// How long the condition must hold.
    pub hold: Span,
    /// `notification_target` on the alert, for routes to match; empty: none.
    pub targets: String,
    pub description: String,
    pub condition: Condition,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Any of the pairs burns.
    Burning(Vec<Pair>),
    /// Nothing of the budget is left.
    Exhausted,
    /// A burn-rate condition of OpenSLO.
    Rate {
        op: Op,
        /// The burn rate.
        threshold: f64,
        lookback: Span,
        when_breaching: bool,
        when_no_data: bool,
    },
}

/// A long window that says that it matters, and a short one that says that it lasts. Both must burn faster than the factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Thousandths: 14400 is a burn rate of 14.4.
    pub factor: u64,
    pub long: Span,
    pub short: Span,
}

impl Pair {
    /// Returns the burn rate above which the pair burns.
    pub fn rate(self) -> f64 {
        self.factor as f64 / 1000.0
    }
}

/// What became of one pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Quiet,
    Burning,
    /// There are too few events to judge, so that nothing is fired.
    TooFew {
        events: Count,
        bad: Count,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairStatus {
    pub pair: Pair,
    pub long: Burn,
    pub short: Burn,
    pub verdict: Verdict,
}

/// The result of judging one rule, as evaluating an alerting rule has it: for `alert::Instances::step`.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub rule: RuleId,
    pub terms: Terms,
    pub active: Vec<Active>,
    pub at: Timestamp,
}

/// The table for a window of 30 days: factor in thousandths, and which part of the window the long look-back is. The short one is a
/// twelfth of it. At its factor each pair spends 2, 5, 10 and 10 % of the budget within its long window.
///
/// Source: Site Reliability Workbook, "Multiwindow, Multi-Burn-Rate Alerts".
const TABLE: [(u64, i64, &str); 4] = [(14_400, 720, "page"), (6_000, 120, "page"), (3_000, 30, "ticket"), (1_000, 10, "ticket")];
const SHORT_PART: i64 = 12;
const SHORT_MIN: Span = Span::from_mins(1);

/// Returns the alerts of an objective that names none.
///
/// Factors are those of the table for every window; look-backs are the same parts of it, in whole minutes and the short one not
/// below a minute, nor below a slice. So every pair stands for the same share of the budget, whether the window is a week or a year.
pub(super) fn default_rules(window: &Window, slices: Option<Slices>) -> Vec<AlertRule> {
    let short_min = slices.map_or(SHORT_MIN, |slices| slices.length.max(SHORT_MIN));
    let rule = |name: &str, severity: &str, condition| AlertRule {
        name: name.to_owned(),
        severity: severity.to_owned(),
        hold: Span::ZERO,
        targets: String::new(),
        description: String::new(),
        condition,
    };
    let pairs = |severity: &str| {
        let fitting = TABLE.iter().filter(|(_, _, own)| *own == severity);
        Condition::Burning(fitting.map(|(factor, part, _)| scaled(*factor, *part, window.span(), short_min)).collect())
    };
    vec![
        rule(BURNING, "page", pairs("page")),
        rule(BURNING, "ticket", pairs("ticket")),
        rule(EXHAUSTED, "ticket", Condition::Exhausted),
    ]
}

fn scaled(factor: u64, part: i64, window: Span, short_min: Span) -> Pair {
    let minutes = |ms: i64| Span((ms + 30_000).div_euclid(60_000) * 60_000);
    let long = minutes(window.0 / part).max(Span(short_min.0 * SHORT_PART));
    Pair { factor, long, short: minutes(window.0 / (part * SHORT_PART)).max(short_min) }
}

/// Returns what a policy asks for; none for one that never alerts.
pub(super) fn policy_rule(policy: &Policy) -> Option<AlertRule> {
    let (own, condition) = (&policy.policy, &policy.condition);
    if !own.when_breaching && !own.when_no_data {
        return None;
    }
    let mut targets: Vec<&str> = policy.targets.iter().map(|target| target.target.as_str()).collect();
    targets.sort_unstable();
    targets.dedup();
    Some(AlertRule {
        name: condition.metadata.name.clone(),
        severity: condition.severity.clone(),
        hold: condition.alert_after,
        targets: targets.join(","),
        description: if condition.description.is_empty() { own.description.clone() } else { condition.description.clone() },
        condition: Condition::Rate {
            op: condition.op,
            threshold: condition.threshold,
            lookback: condition.lookback,
            when_breaching: own.when_breaching,
            when_no_data: own.when_no_data,
        },
    })
}

impl AlertRule {
    /// Returns how far back the rule looks beyond the window of the objective.
    pub fn longest(&self) -> Span {
        match &self.condition {
            Condition::Burning(pairs) => pairs.iter().map(|pair| pair.long).max().unwrap_or_default(),
            Condition::Exhausted => Span::ZERO,
            Condition::Rate { lookback, .. } => *lookback,
        }
    }
}

impl Guard {
    fn refuses(self, tally: Tally) -> bool {
        tally.total < whole(self.events_min) || tally.bad() < whole(self.bad_min)
    }
}

fn whole(count: u64) -> Count {
    Count::whole(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Returns how one pair stands.
pub(super) fn status(definition: &Definition, ledger: &Ledger, pair: Pair, at: Timestamp) -> PairStatus {
    let long = Burn::over(ledger, definition.target, pair.long, at);
    let short = Burn::over(ledger, definition.target, pair.short, at);
    let burns = long.exceeds(definition.target, pair.factor) && short.exceeds(definition.target, pair.factor);
    let tally = long.counted.tally;
    let too_few = tally.total < whole(definition.guard.events_min) || burns && definition.guard.refuses(tally);
    let verdict = match (too_few, burns) {
        (true, _) => Verdict::TooFew { events: tally.total, bad: tally.bad() },
        (false, true) => Verdict::Burning,
        (false, false) => Verdict::Quiet,
    };
    PairStatus { pair, long, short, verdict }
}

impl Definition {
    /// Returns what each alert rule is known by, in their order.
    pub fn rule_ids(&self) -> Vec<RuleId> {
        let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let ids = self.alerts.iter().map(|rule| {
            let nth = seen.entry((&rule.name, &rule.severity)).or_default();
            *nth += 1;
            RuleId {
                file: self.origin.file.to_string(),
                group: format!("slo/{}", self.id),
                name: rule.name.clone(),
                labels: BTreeMap::from([("severity".to_owned(), rule.severity.clone())]),
                nth: *nth - 1,
            }
        });
        ids.collect()
    }
}

/// Judges every rule of an objective at an instant.
pub(super) fn judge(definition: &Definition, ledger: &Ledger, at: Timestamp) -> Vec<Judged> {
    let rules = definition.rule_ids().into_iter().zip(&definition.alerts);
    let judged = rules.map(|(id, rule)| {
        let active = active(definition, ledger, rule, at).into_iter().collect();
        Judged { rule: id, terms: Terms { hold: rule.hold, ..Terms::default() }, active, at }
    });
    judged.collect()
}

fn active(definition: &Definition, ledger: &Ledger, rule: &AlertRule, at: Timestamp) -> Option<Active> {
    let (value, what) = match &rule.condition {
        Condition::Burning(pairs) => burning(definition, ledger, pairs, at)?,
        Condition::Exhausted => exhausted(definition, ledger, at)?,
        Condition::Rate { op, threshold, lookback, when_breaching, when_no_data } => {
            let burn = Burn::over(ledger, definition.target, *lookback, at);
            match burn.rate {
                None if *when_no_data => (0.0, format!("nothing was counted over {lookback}")),
                None => return None,
                Some(rate) => {
                    // Small counts say little of a rate that is too high; of one that is low they say what there is to say.
                    let guarded = matches!(op, Op::Gt | Op::Gte) && definition.guard.refuses(burn.counted.tally);
                    if !when_breaching || guarded || !breaches(&burn, *op, *threshold, definition) {
                        return None;
                    }
                    (
                        rate,
                        format!(
                            "over {lookback} the error budget burns {rate:.2} times as fast as it may ({} {threshold})",
                            op.name()
                        ),
                    )
                }
            }
        }
    };
    Some(Active { labels: labels(definition, rule), annotations: annotations(definition, ledger, rule, &what, at), value })
}

/// Compares a burn rate with a threshold; one of up to three decimal places is compared without rounding.
fn breaches(burn: &Burn, op: Op, threshold: f64, definition: &Definition) -> bool {
    let thousandths = (threshold * 1000.0).round();
    let rate = burn.rate.unwrap_or_default();
    if (thousandths / 1000.0 - threshold).abs() > 1e-12 || thousandths > u64::MAX as f64 {
        return op.holds(rate, threshold);
    }
    let above = burn.exceeds(definition.target, thousandths as u64);
    let bad = burn.counted.tally.bad().max(Count::ZERO).0.saturating_mul(i128::from(super::openslo::Target::WHOLE) * 1000);
    let limit = burn.counted.tally.total.0.saturating_mul(i128::from(definition.target.budget()));
    let equal = bad == limit.saturating_mul(thousandths as i128);
    match op {
        Op::Gt => above,
        Op::Gte => above || equal,
        Op::Lte => !above,
        Op::Lt => !above && !equal,
    }
}

fn burning(definition: &Definition, ledger: &Ledger, pairs: &[Pair], at: Timestamp) -> Option<(f64, String)> {
    let statuses = pairs.iter().map(|pair| status(definition, ledger, *pair, at));
    let burning = statuses.filter(|status| status.verdict == Verdict::Burning);
    let worst = burning.max_by(|one, other| one.long.rate.unwrap_or_default().total_cmp(&other.long.rate.unwrap_or_default()))?;
    let (long, short) = (worst.long.rate.unwrap_or_default(), worst.short.rate.unwrap_or_default());
    let what = format!(
        "the error budget burns {long:.2} times as fast as it may over {} and {short:.2} times over {} (alert above {})",
        worst.pair.long,
        worst.pair.short,
        worst.pair.rate()
    );
    Some((long, what))
}

fn exhausted(definition: &Definition, ledger: &Ledger, at: Timestamp) -> Option<(f64, String)> {
    let budget = Budget::at(definition, ledger, at);
    let fires = budget.is_exhausted(definition) && !definition.guard.refuses(budget.counted.tally);
    fires.then(|| {
        let what = format!(
            "the error budget is spent: {} of {} {} were bad, {:.1} may be",
            budget.counted.tally.bad(),
            budget.counted.tally.total,
            definition.noun(),
            budget.allowed
        );
        (budget.left, what)
    })
}

/// Labels tell the alert from all others and never change while it fires.
fn labels(definition: &Definition, rule: &AlertRule) -> LabelSet {
    let mut labels = definition.labels();
    labels.extend([
        (ALERT_NAME.to_owned(), rule.name.as_str()),
        ("notification_target".to_owned(), &rule.targets),
        ("severity".to_owned(), &rule.severity),
    ]);
    LabelSet::from_pairs(labels)
}

fn annotations(
    definition: &Definition,
    ledger: &Ledger,
    rule: &AlertRule,
    what: &str,
    at: Timestamp,
) -> BTreeMap<String, String> {
    let budget = Budget::at(definition, ledger, at);
    let end = match budget.exhausted_in {
        Some(Span::ZERO) => "It is spent.".to_owned(),
        Some(span) => format!("At this rate it is spent in {}.", Span(span.0.div_euclid(60_000) * 60_000)),
        None => "At this rate it lasts.".to_owned(),
    };
    let mut annotations = BTreeMap::from([
        ("summary".to_owned(), format!("{}: {what}", definition.title)),
        (
            "description".to_owned(),
            format!(
                "{:.1} % of the error budget is left ({} of {} {} were bad). {end}",
                budget.left * 100.0,
                budget.counted.tally.bad(),
                budget.counted.tally.total,
                definition.noun()
            ),
        ),
    ]);
    if !rule.description.is_empty() {
        annotations.insert("policy".to_owned(), rule.description.clone());
    }
    annotations
}
