//! Which parts of a tree have the same value at every step.

use crate::promql::ast::{Expr, ExprKind};

/// Functions whose value depends on the time of evaluation whatever `@` says in their arguments.
///
/// Source: Prometheus `promql.AtModifierUnsafeFunctions`.
pub(in crate::promql) const TIME_DEPENDENT: [&str; 11] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
];

/// Returns whether an expression has the same value at every step, because every selector in it is fixed by `@`.
pub(super) fn is_invariant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) => true,
        ExprKind::Vector(selector) => selector.at.is_some(),
        ExprKind::Matrix(selector) => selector.vector.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.at.is_some(),
        // `info` looks for its series at the step, where no selector in its argument says when.
        ExprKind::Call(call) if call.function.name == "info" => false,
        ExprKind::Call(call) => !TIME_DEPENDENT.contains(&call.function.name) && call.args.iter().all(is_invariant),
        ExprKind::Aggregate(aggregate) => is_invariant(&aggregate.expr) && aggregate.param.as_ref().is_none_or(is_invariant),
        ExprKind::Binary(binary) => is_invariant(&binary.left) && is_invariant(&binary.right),
        ExprKind::Unary { operand, .. } => is_invariant(operand),
        ExprKind::Paren(inner) => is_invariant(inner),
    }
}
