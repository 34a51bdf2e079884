//! Visiting every expression of a tree.

use crate::model::Matcher;

use super::ast::{Expr, ExprKind};

/// Calls `visit` with an expression and then with everything below it, each before its own parts, left to right.
pub fn walk<'a>(expr: &'a Expr, visit: &mut impl FnMut(&'a Expr)) {
    visit(expr);
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {}
        ExprKind::Subquery(subquery) => walk(&subquery.expr, visit),
        ExprKind::Call(call) => call.args.iter().for_each(|arg| walk(arg, visit)),
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.iter().for_each(|param| walk(param, visit));
            walk(&aggregate.expr, visit);
        }
        ExprKind::Binary(binary) => {
            walk(&binary.left, visit);
            walk(&binary.right, visit);
        }
        ExprKind::Unary { operand, .. } => walk(operand, visit),
        ExprKind::Paren(inner) => walk(inner, visit),
    }
}

/// Returns the selectors of an expression.
pub fn selectors(expr: &Expr) -> Vec<&[Matcher]> {
    let mut all = Vec::new();
    walk(expr, &mut |expr| match &expr.kind {
        ExprKind::Vector(selector) => all.push(selector.matchers.as_slice()),
        ExprKind::Matrix(matrix) => all.push(matrix.vector.matchers.as_slice()),
        _ => {}
    });
    all
}
