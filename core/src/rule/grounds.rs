//! Whether an alert that does not fire has ended, or whether nobody can tell.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::model::{LabelSet, Source, Value as SampleValue};
use crate::promql::ast::{BinaryOp, Expr, ExprKind, Place, VectorSelector};
use crate::promql::evaluate::{Cancel, EvalError, Options, instant};
use crate::promql::value::Value;
use crate::time::Timestamp;

/// Where and when series are looked for.
pub struct Ground<'g> {
    at: Timestamp,
    source: &'g dyn Source,
    options: &'g Options,
    cancel: &'g Cancel,
    /// The series of selectors that were looked at, by where these begin.
    found: RefCell<BTreeMap<u32, Rc<[LabelSet]>>>,
}

impl<'g> Ground<'g> {
    pub fn new(at: Timestamp, source: &'g dyn Source, options: &'g Options, cancel: &'g Cancel) -> Ground<'g> {
        Ground { at, source, options, cancel, found: RefCell::default() }
    }

    /// Returns whether the series are there by which an expression would tell that an alert fires. To be asked about one expression.
    ///
    /// `labels`: those of the alert that its series may carry; what the rule itself sets is left out.
    ///
    /// Shape: a selector needs a sample of a series that agrees with the alert in all labels that both have. Of `or` one side is
    /// enough, and the right side of `unless` need not be there. Nor need what `absent` and its kin ask for: its absence is what the
    /// rule is about.
    pub fn bears(&self, expr: &Expr, labels: &LabelSet) -> Result<bool, EvalError> {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) => Ok(true),
            ExprKind::Vector(selector) => self.selects(selector, expr.place, labels),
            ExprKind::Matrix(matrix) => self.selects(&matrix.vector, expr.place, labels),
            ExprKind::Subquery(subquery) => self.bears(&subquery.expr, labels),
            ExprKind::Call(call) if call.function.name.starts_with("absent") => Ok(true),
            ExprKind::Call(call) => self.all(call.args.iter(), labels),
            ExprKind::Aggregate(aggregate) => self.all(aggregate.param.iter().chain([&aggregate.expr]), labels),
            ExprKind::Binary(binary) => match binary.op {
                BinaryOp::Or => Ok(self.bears(&binary.left, labels)? || self.bears(&binary.right, labels)?),
                BinaryOp::Unless => self.bears(&binary.left, labels),
                _ => self.all([&binary.left, &binary.right], labels),
            },
            ExprKind::Unary { operand, .. } => self.bears(operand, labels),
            ExprKind::Paren(inner) => self.bears(inner, labels),
        }
    }

    fn all<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>, labels: &LabelSet) -> Result<bool, EvalError> {
        for expr in exprs {
            if !self.bears(expr, labels)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn selects(&self, selector: &VectorSelector, place: Place, labels: &LabelSet) -> Result<bool, EvalError> {
        let known = self.found.borrow().get(&place.start).cloned();
        let series = match known {
            Some(series) => series,
            None => {
                // Whatever the expression looks back to: what is gone now tells nothing about now.
                let plain = VectorSelector { offset: None, at: None, edges: None, ..selector.clone() };
                let series: Rc<[LabelSet]> = self.look(plain, place)?.into_iter().map(|(labels, _)| labels).collect();
                self.found.borrow_mut().insert(place.start, series.clone());
                series
            }
        };
        Ok(series.iter().any(|series| agrees(labels, series)))
    }

    /// Returns the newest samples of what a selector selects.
    pub(super) fn look(&self, selector: VectorSelector, place: Place) -> Result<Vec<(LabelSet, SampleValue)>, EvalError> {
        let look = Expr { kind: ExprKind::Vector(selector), place };
        match instant(&look, self.at, self.source, self.options, self.cancel)?.value {
            Value::Vector(samples) => Ok(samples.into_iter().map(|sample| (sample.labels, sample.value)).collect()),
            _ => Ok(Vec::new()),
        }
    }
}

/// Returns whether two label sets agree in all labels that both have.
pub(super) fn agrees(labels: &LabelSet, series: &LabelSet) -> bool {
    labels.iter().all(|(name, value)| !series.has(name) || series.get(name) == value)
}
