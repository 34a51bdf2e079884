//! Expressions over metrics: values enter them as matchers of the tree, never as text.

use std::collections::BTreeMap;

use crate::model::Matcher;
use crate::promql::ast::{Expr, ExprKind, VectorSelector};
use crate::promql::parse::{ParseError, Syntax, parse};

/// Returns the expression with one more condition on every selector for each of these labels.
pub fn restrict(expr: &str, labels: &BTreeMap<String, String>) -> Result<String, Vec<ParseError>> {
    let mut tree = parse(expr, &Syntax::default())?;
    if labels.is_empty() {
        return Ok(expr.to_owned());
    }
    add(&mut tree, labels);
    Ok(tree.to_string())
}

fn add(expr: &mut Expr, labels: &BTreeMap<String, String>) {
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) => {}
        ExprKind::Vector(selector) => add_to_selector(selector, labels),
        ExprKind::Matrix(matrix) => add_to_selector(&mut matrix.vector, labels),
        ExprKind::Subquery(subquery) => add(&mut subquery.expr, labels),
        ExprKind::Call(call) => call.args.iter_mut().for_each(|arg| add(arg, labels)),
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.iter_mut().for_each(|param| add(param, labels));
            add(&mut aggregate.expr, labels);
        }
        ExprKind::Binary(binary) => {
            add(&mut binary.left, labels);
            add(&mut binary.right, labels);
        }
        ExprKind::Unary { operand, .. } => add(operand, labels),
        ExprKind::Paren(inner) => add(inner, labels),
    }
}

fn add_to_selector(selector: &mut VectorSelector, labels: &BTreeMap<String, String>) {
    // The condition on the metric's name stands last.
    for (name, value) in labels {
        selector.matchers.insert(0, Matcher::equal(name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_inside_their_quotes() {
        let labels = BTreeMap::from([("service".to_owned(), "x\"} or up{a=\"".to_owned())]);
        let text = restrict("sum(rate(errors{code=\"500\"}[5m])) / sum(rate(requests[5m]))", &labels).unwrap();
        assert_eq!(
            text,
            "sum(rate(errors{code=\"500\",service=\"x\\\"} or up{a=\\\"\"}[5m])) / \
             sum(rate(requests{service=\"x\\\"} or up{a=\\\"\"}[5m]))"
        );
        assert!(parse(&text, &Syntax::default()).is_ok());
        assert!(restrict("sum(", &labels).is_err());
    }
}
