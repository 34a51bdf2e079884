//! Early looks: which alerting rules may be evaluated between slots, as soon as a scrape that they depend on has landed.
//!
//! A look may start or advance an alert and never ends one, so it can only bring a page forward. What keeps it from paging on a
//! half-seen picture is the plan: a rule that compares or sums over several targets waits until each of them has been tried since
//! the last look.

use std::collections::BTreeSet;

use crate::model::Matcher;
use crate::model::labels::METRIC_NAME;
use crate::promql::ast::{At, DurationExpr, Expr, ExprKind, Matching, VectorSelector};
use crate::promql::walk::walk;
use crate::time::Span;

use super::{Kind, Rule, RuleGroup};

/// The label by which targets are told apart.
const INSTANCE: &str = "instance";

/// When an alerting rule may be looked at between slots.
#[derive(Clone, Debug)]
pub enum EarlyPlan {
    /// Only at the slots: recording rules, groups with `early: false` or a query offset, and expressions that read recorded series,
    /// only the past, or nothing that is scraped.
    Never,
    /// After any scrape that one of the selectors touches: what the expression says of a target, it says from that target alone.
    OnAnyTarget { selectors: Vec<Vec<Matcher>> },
    /// Once every target that one of the selectors touches has been tried since the last look, with or without success: the
    /// expression joins or aggregates over several targets.
    WhenAllReported { selectors: Vec<Vec<Matcher>> },
}

/// Returns when a rule of a group may be looked at between slots.
///
/// `recorded` holds the names of all metrics that rules write.
pub fn early_plan(rule: &Rule, group: &RuleGroup, recorded: &BTreeSet<String>) -> EarlyPlan {
    if !group.early || group.query_offset != Span::ZERO || matches!(rule.kind, Kind::Record { .. }) {
        return EarlyPlan::Never;
    }
    let mut selectors: Vec<Vec<Matcher>> = Vec::new();
    let (mut reads_recorded, mut several) = (false, false);
    walk(&rule.expr, &mut |expr| {
        several |= spans_targets(expr);
        let selector = match &expr.kind {
            ExprKind::Vector(selector) => selector,
            ExprKind::Matrix(matrix) => &matrix.vector,
            _ => return,
        };
        reads_recorded |= is_recorded(&selector.matchers, recorded);
        if sees_now(selector) && !selectors.contains(&selector.matchers) {
            selectors.push(selector.matchers.clone());
        }
    });
    if reads_recorded || selectors.is_empty() {
        EarlyPlan::Never
    } else if several {
        EarlyPlan::WhenAllReported { selectors }
    } else {
        EarlyPlan::OnAnyTarget { selectors }
    }
}

/// Returns whether a selector reads a sample that has just landed.
fn sees_now(selector: &VectorSelector) -> bool {
    let shifted = match &selector.offset {
        None => false,
        Some(DurationExpr::Literal(span)) => *span > Span::ZERO,
        // What cannot be told here is taken for the past; the slots see it in any case.
        Some(_) => true,
    };
    !shifted && !matches!(selector.at, Some(At::Instant(_)))
}

/// Returns whether a selector may name a series that rules write.
fn is_recorded(matchers: &[Matcher], recorded: &BTreeSet<String>) -> bool {
    let on_name: Vec<&Matcher> = matchers.iter().filter(|matcher| matcher.name == METRIC_NAME).collect();
    let written = ["ALERTS", "ALERTS_FOR_STATE"].into_iter().chain(recorded.iter().map(String::as_str));
    written.into_iter().any(|name| on_name.iter().all(|matcher| matcher.is_match(name)))
}

/// Returns whether one element of what an expression gives may come from more than one target.
fn spans_targets(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Aggregate(aggregate) => {
            let named = aggregate.grouping.iter().any(|label| label == INSTANCE);
            if aggregate.without { named } else { !named }
        }
        ExprKind::Binary(binary) => binary.matching.as_ref().is_some_and(joins_targets),
        ExprKind::Call(call) => match call.function.name {
            // They answer for all series at once.
            "absent" | "absent_over_time" | "scalar" | "info" => true,
            // They may rename the label that tells targets apart.
            "label_replace" | "label_join" => match call.args.get(1).map(|arg| &arg.kind) {
                Some(ExprKind::Text(label)) => label == INSTANCE,
                _ => true,
            },
            _ => false,
        },
        ExprKind::Number(_)
        | ExprKind::DurationNumber(_)
        | ExprKind::Text(_)
        | ExprKind::Vector(_)
        | ExprKind::Matrix(_)
        | ExprKind::Subquery(_)
        | ExprKind::Unary { .. }
        | ExprKind::Paren(_) => false,
    }
}

fn joins_targets(matching: &Matching) -> bool {
    let named = matching.labels.iter().any(|label| label == INSTANCE);
    if matching.on { !named } else { named }
}
