//! Which labels the series of an expression may have.

use std::collections::BTreeSet;

use crate::model::{METRIC_NAME, MatchOp, Matcher};
use crate::promql::ast::{Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, ExprKind};
use crate::promql::signature::ValueType;

/// The labels that series may have.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    /// None: any.
    most: Option<BTreeSet<String>>,
    never: BTreeSet<String>,
}

impl Labels {
    fn only(names: impl IntoIterator<Item = String>) -> Labels {
        Labels { most: Some(names.into_iter().collect()), never: BTreeSet::new() }
    }

    fn without(mut self, names: &[String]) -> Labels {
        self.never.extend(names.iter().cloned());
        self
    }

    fn with(mut self, name: &str) -> Labels {
        self.never.remove(name);
        if let Some(most) = &mut self.most {
            most.insert(name.to_owned());
        }
        self
    }

    fn or(self, other: Labels) -> Labels {
        let never = |labels: &Labels, name: &String| !labels.may_have(name);
        Labels {
            never: self
                .never
                .iter()
                .chain(&other.never)
                .filter(|name| never(&self, name) && never(&other, name))
                .cloned()
                .collect(),
            most: self.most.zip(other.most).map(|(one, other)| &one | &other),
        }
    }

    /// Returns whether a series may have the label.
    pub fn may_have(&self, name: &str) -> bool {
        !self.never.contains(name) && self.most.as_ref().is_none_or(|most| most.contains(name))
    }

    /// Returns whether no two series can have these labels in common.
    pub fn are_told_apart_by(&self, names: &[String]) -> bool {
        self.most.as_ref().is_some_and(|most| most.iter().all(|name| names.contains(name) || self.never.contains(name)))
    }
}

fn of_selector(matchers: &[Matcher]) -> Labels {
    let empty = |matcher: &&Matcher| matcher.op == MatchOp::Equal && matcher.value.is_empty();
    Labels { most: None, never: matchers.iter().filter(empty).map(|matcher| matcher.name.clone()).collect() }
}

/// Returns the labels that the series of an expression may have; the metric's name does not count.
pub(super) fn labels(expr: &Expr) -> Labels {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) => Labels::only([]),
        ExprKind::Vector(vector) => of_selector(&vector.matchers),
        ExprKind::Matrix(matrix) => of_selector(&matrix.vector.matchers),
        ExprKind::Subquery(subquery) => labels(&subquery.expr),
        ExprKind::Call(call) => of_call(call),
        ExprKind::Aggregate(aggregate) => of_aggregate(aggregate),
        ExprKind::Binary(binary) => of_binary(binary),
        ExprKind::Unary { operand, .. } => labels(operand),
        ExprKind::Paren(inner) => labels(inner),
    }
}

fn of_call(call: &Call) -> Labels {
    let is_vector = |arg: &&Expr| matches!(arg.value_type(), ValueType::InstantVector | ValueType::RangeVector);
    let first = || call.args.iter().find(is_vector).map_or(Labels::only([]), labels);
    match call.function.name {
        "absent" | "absent_over_time" => Labels::only(call.args.iter().flat_map(absent_labels)),
        "vector" | "time" | "scalar" => Labels::only([]),
        "info" => Labels::default(),
        "label_replace" | "label_join" => match call.args.get(1).map(|arg| &arg.kind) {
            Some(ExprKind::Text(name)) => first().with(name),
            _ => first(),
        },
        "histogram_quantile" | "histogram_fraction" => first().without(&["le".to_owned()]),
        "histogram_quantiles" => Labels::default(),
        _ => first(),
    }
}

/// Returns the labels that an absent series gets: those that its selector fixes.
fn absent_labels(arg: &Expr) -> Vec<String> {
    let matchers: &[Matcher] = match &arg.kind {
        ExprKind::Vector(vector) => &vector.matchers,
        ExprKind::Matrix(matrix) => &matrix.vector.matchers,
        ExprKind::Paren(inner) => return absent_labels(inner),
        _ => return Vec::new(),
    };
    let fixed = |matcher: &&Matcher| matcher.op == MatchOp::Equal && matcher.name != METRIC_NAME;
    matchers.iter().filter(fixed).map(|matcher| matcher.name.clone()).collect()
}

fn of_aggregate(aggregate: &Aggregate) -> Labels {
    let inner = labels(&aggregate.expr);
    match aggregate.op {
        AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio => return inner,
        _ => {}
    }
    let kept = if aggregate.without {
        inner.without(&aggregate.grouping)
    } else {
        Labels::only(aggregate.grouping.iter().filter(|name| inner.may_have(name)).cloned())
    };
    match (aggregate.op, aggregate.param.as_ref().map(|param| &param.kind)) {
        (AggregateOp::CountValues, Some(ExprKind::Text(name))) => kept.with(name),
        _ => kept,
    }
}

fn of_binary(binary: &Binary) -> Labels {
    let (left, right) = (labels(&binary.left), labels(&binary.right));
    let Some(matching) = &binary.matching else {
        return if binary.left.value_type() == ValueType::Scalar { right } else { left };
    };
    if binary.op.is_set() {
        return if binary.op == crate::promql::ast::BinaryOp::Or { left.or(right) } else { left };
    }
    let included = |many: Labels, one: &Labels| {
        let wanted = matching.include.iter().filter(|name| one.may_have(name));
        wanted.fold(many, |many, name| many.with(name))
    };
    match matching.cardinality {
        Cardinality::ManyToOne => included(left, &right),
        Cardinality::OneToMany => included(right, &left),
        Cardinality::OneToOne | Cardinality::ManyToMany if matching.on => {
            let both = |name: &&String| left.may_have(name) || right.may_have(name);
            Labels::only(matching.labels.iter().filter(both).cloned())
        }
        Cardinality::OneToOne | Cardinality::ManyToMany => left.without(&matching.labels),
    }
}
