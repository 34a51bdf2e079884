//! Variants of an instant query whose selectors are fixed by `@`, so that the instant of the query does not matter.

use crate::promql::ast::{At, DurationExpr, Expr, ExprKind, VectorSelector};
use crate::promql::evaluate::TIME_DEPENDENT;
use crate::promql::walk::walk;
use crate::time::Timestamp;

/// Returns whether an expression asks for start, end, step or length of the query, which a range query answers otherwise.
pub(super) fn asks_for_query(expr: &Expr) -> bool {
    fn duration(expr: &DurationExpr) -> bool {
        match expr {
            DurationExpr::Literal(_) | DurationExpr::Number(_) => false,
            DurationExpr::Step | DurationExpr::Range => true,
            DurationExpr::Negate(inner) | DurationExpr::Plus(inner) | DurationExpr::Paren(inner) => duration(inner),
            DurationExpr::Binary { left, right, .. } => duration(left) || duration(right),
        }
    }
    let at = |at: Option<At>| matches!(at, Some(At::Start | At::End));
    let selector = |selector: &VectorSelector| at(selector.at) || selector.offset.as_ref().is_some_and(duration);
    let mut found = false;
    walk(expr, &mut |expr| {
        found |= match &expr.kind {
            ExprKind::Vector(vector) => selector(vector),
            ExprKind::Matrix(matrix) => selector(&matrix.vector) || duration(&matrix.range),
            ExprKind::Subquery(subquery) => {
                let durations = [Some(&subquery.range), subquery.step.as_ref(), subquery.offset.as_ref()];
                at(subquery.at) || durations.into_iter().flatten().any(duration)
            }
            ExprKind::Call(call) => matches!(call.function.name, "start" | "end" | "step" | "range"),
            _ => false,
        }
    });
    found
}

/// Sets `@` on every selector and subquery that has none, but not inside a subquery that is fixed.
fn fix(expr: &mut Expr, at: Timestamp) {
    let instant = Some(At::Instant(at));
    match &mut expr.kind {
        ExprKind::Vector(selector) => selector.at = selector.at.or(instant),
        ExprKind::Matrix(selector) => selector.vector.at = selector.vector.at.or(instant),
        ExprKind::Subquery(subquery) => subquery.at = subquery.at.or(instant),
        ExprKind::Call(call) => call.args.iter_mut().for_each(|arg| fix(arg, at)),
        ExprKind::Aggregate(aggregate) => {
            fix(&mut aggregate.expr, at);
            aggregate.param.iter_mut().for_each(|param| fix(param, at));
        }
        ExprKind::Binary(binary) => {
            fix(&mut binary.left, at);
            fix(&mut binary.right, at);
        }
        ExprKind::Unary { operand, .. } => fix(operand, at),
        ExprKind::Paren(inner) => fix(inner, at),
        ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) => {}
    }
}

/// Returns a query fixed at its instant, with other instants at which it must answer the same.
pub(super) fn variants(expr: &Expr, at: Timestamp) -> Vec<(Expr, Timestamp)> {
    let mut depends_on_time = false;
    walk(expr, &mut |expr| {
        depends_on_time |= matches!(&expr.kind, ExprKind::Call(call) if TIME_DEPENDENT.contains(&call.function.name));
    });
    if depends_on_time || asks_for_query(expr) {
        return Vec::new();
    }
    let mut fixed = expr.clone();
    fix(&mut fixed, at);
    let times = if at.0 == 0 { vec![-1000, 0, 1000] } else { vec![-10 * at.0, 0, at.0 / 5, at.0, 10 * at.0] };
    times.into_iter().map(|at| (fixed.clone(), Timestamp(at))).collect()
}
