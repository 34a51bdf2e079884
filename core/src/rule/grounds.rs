//! Whether an alert that does not fire has ended, or whether nobody can tell.

use crate::model::{LabelSet, Source};
use crate::promql::ast::{BinaryOp, Expr, ExprKind, VectorSelector};
use crate::promql::evaluate::{Cancel, EvalError, Options, instant};
use crate::promql::value::Value;
use crate::time::Timestamp;

/// Where series are looked for.
pub struct Ground<'g> {
    /// The labels of the alert that its series may carry: those that the rule itself sets are left out.
    pub labels: &'g LabelSet,
    pub at: Timestamp,
    pub source: &'g dyn Source,
    pub options: &'g Options,
    pub cancel: &'g Cancel,
}

impl Ground<'_> {
    /// Returns whether the series are there by which an expression would tell that the alert fires.
    ///
    /// Shape: a selector needs a sample of a series that agrees with the alert in all labels that both have. Of `or` one side is
    /// enough, and the right side of `unless` need not be there. Nor need what `absent` and its kin ask for: its absence is what the
    /// rule is about.
    pub fn bears(&self, expr: &Expr) -> Result<bool, EvalError> {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) => Ok(true),
            ExprKind::Vector(selector) => self.selects(selector, expr),
            ExprKind::Matrix(matrix) => self.selects(&matrix.vector, expr),
            ExprKind::Subquery(subquery) => self.bears(&subquery.expr),
            ExprKind::Call(call) if call.function.name.starts_with("absent") => Ok(true),
            ExprKind::Call(call) => self.all(call.args.iter()),
            ExprKind::Aggregate(aggregate) => self.all(aggregate.param.iter().chain([&aggregate.expr])),
            ExprKind::Binary(binary) => match binary.op {
                BinaryOp::Or => Ok(self.bears(&binary.left)? || self.bears(&binary.right)?),
                BinaryOp::Unless => self.bears(&binary.left),
                _ => self.all([&binary.left, &binary.right]),
            },
            ExprKind::Unary { operand, .. } => self.bears(operand),
            ExprKind::Paren(inner) => self.bears(inner),
        }
    }

    fn all<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>) -> Result<bool, EvalError> {
        for expr in exprs {
            if !self.bears(expr)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn selects(&self, selector: &VectorSelector, expr: &Expr) -> Result<bool, EvalError> {
        // Whatever the expression looks back to: what is gone now tells nothing about now.
        let plain = VectorSelector { offset: None, at: None, edges: None, ..selector.clone() };
        let look = Expr { kind: ExprKind::Vector(plain), place: expr.place };
        let Value::Vector(samples) = instant(&look, self.at, self.source, self.options, self.cancel)?.value else {
            return Ok(false);
        };
        let agrees = |series: &LabelSet| {
            let mut shared = self.labels.iter().filter(|(name, _)| !series.get(name).is_empty());
            shared.all(|(name, value)| series.get(name) == value)
        };
        Ok(samples.iter().any(|sample| agrees(&sample.labels)))
    }
}
