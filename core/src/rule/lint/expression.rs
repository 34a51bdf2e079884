//! Lints of an expression, each at its place in the text.

use crate::model::{MatchOp, Matcher};
use crate::promql::ast::{
    AggregateOp, Binary, BinaryOp, Call, Cardinality, DurationExpr, Expr, ExprKind, MatrixSelector, Place, VectorSelector,
};
use crate::promql::signature::ValueType;
use crate::promql::walk::walk;
use crate::rule::Rule;

use super::facts::{Facts, Type, bare as bare_selector, metric};
use super::labels::labels;
use super::place::Located;
use super::{Lint, RuleAt, Sheet};

/// Endings of the names of counters.
const COUNTER_ENDINGS: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];
/// Endings of names that no counter has.
const GAUGE_ENDINGS: [&str; 8] =
    ["_ratio", "_percent", "_celsius", "_info", "_timestamp_seconds", "_usage_bytes", "_free_bytes", "_available_bytes"];
/// Words in names of what happens.
const EVENTS: [&str; 10] = ["error", "fail", "restart", "timeout", "dropped", "reject", "retries", "evict", "exception", "panic"];
/// Endings of the names of facts about things, of which each thing has one.
const FACT_ENDINGS: [&str; 4] = ["_info", "_metadata", "_labels", "_owner"];
/// Functions that need two samples in their range.
const NEED_TWO: [&str; 9] =
    ["rate", "increase", "irate", "delta", "idelta", "deriv", "predict_linear", "double_exponential_smoothing", "holt_winters"];

fn bare(mut expr: &Expr) -> &Expr {
    while let ExprKind::Paren(inner) = &expr.kind {
        expr = inner;
    }
    expr
}

/// Returns whether an expression reads nothing, as that of an alert that always fires on purpose.
pub(super) fn is_constant(expr: &Expr) -> bool {
    let mut reads = false;
    walk(expr, &mut |expr| reads |= matches!(expr.kind, ExprKind::Vector(_) | ExprKind::Matrix(_)));
    !reads
}

fn is_fact(metric: &str) -> bool {
    FACT_ENDINGS.iter().any(|ending| metric.ends_with(ending))
}

/// Returns the part of an alert's expression that has a value whatever the values of its series are; None where each is compared, or
/// where it is asked whether series exist.
pub(super) fn unconditional(expr: &Expr) -> Option<Place> {
    let all = |parts: &[&Expr]| {
        let places: Vec<Option<Place>> = parts
            .iter()
            .filter(|part| matches!(part.value_type(), ValueType::InstantVector | ValueType::RangeVector))
            .map(|part| unconditional(part))
            .collect();
        let always = !places.is_empty() && places.iter().all(Option::is_some);
        always.then_some(expr.place)
    };
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) => None,
        // Alerts and facts about things are series that exist or not.
        ExprKind::Vector(vector) => match metric(vector) {
            Some(name) if name == "ALERTS" || is_fact(name) => None,
            _ => Some(expr.place),
        },
        ExprKind::Matrix(_) => Some(expr.place),
        ExprKind::Subquery(subquery) => unconditional(&subquery.expr).map(|_| expr.place),
        ExprKind::Call(call) => match call.function.name {
            "absent" | "absent_over_time" | "vector" => None,
            _ => all(&call.args.iter().collect::<Vec<_>>()),
        },
        ExprKind::Aggregate(aggregate) => unconditional(&aggregate.expr).map(|_| expr.place),
        ExprKind::Binary(binary) => match binary.op {
            BinaryOp::And => unconditional(&binary.left).and(unconditional(&binary.right)).map(|_| expr.place),
            BinaryOp::Unless => None,
            BinaryOp::Or => unconditional(&binary.left).or_else(|| unconditional(&binary.right)),
            op if op.is_comparison() && !binary.returns_bool => None,
            _ => all(&[&binary.left, &binary.right]),
        },
        ExprKind::Unary { operand, .. } => unconditional(operand).map(|_| expr.place),
        ExprKind::Paren(inner) => unconditional(inner),
    }
}

pub(super) fn lint(sheet: &mut Sheet<'_>, place: &RuleAt<'_>, located: &Located, facts: &Facts) {
    let mut found = Found { rule: place.rule, facts, list: Vec::new() };
    found.visit(&place.rule.expr, Around::default());
    for (lint, part, message, remedy) in found.list {
        sheet.note_in(lint, place.rule, located, part, (message, remedy));
    }
}

/// What stands around a part of an expression.
#[derive(Clone, Copy, Default)]
struct Around {
    /// A function of histograms, whose rates may be of native ones.
    histogram: bool,
    /// `absent` and its kin.
    absent: bool,
}

struct Found<'a> {
    rule: &'a Rule,
    facts: &'a Facts,
    list: Vec<(Lint, Place, String, &'static str)>,
}

impl<'a> Found<'a> {
    fn add(&mut self, lint: Lint, place: Place, message: String, remedy: &'static str) {
        self.list.push((lint, place, message, remedy));
    }

    fn visit(&mut self, expr: &'a Expr, around: Around) {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) => {}
            ExprKind::Vector(vector) => self.selector(vector, expr.place, around),
            ExprKind::Matrix(matrix) => self.selector(&matrix.vector, expr.place, around),
            ExprKind::Subquery(subquery) => self.visit(&subquery.expr, around),
            ExprKind::Call(call) => self.call(call, expr.place, around),
            ExprKind::Aggregate(aggregate) => self.visit(&aggregate.expr, around),
            ExprKind::Binary(binary) => self.binary(binary, around),
            ExprKind::Unary { operand, .. } => self.visit(operand, around),
            ExprKind::Paren(inner) => self.visit(inner, around),
        }
    }

    fn selector(&mut self, vector: &VectorSelector, place: Place, around: Around) {
        for matcher in &vector.matchers {
            self.matcher(matcher, place);
        }
        let recorded = metric(vector).is_some_and(|name| self.facts.recorded.contains_key(name));
        if !around.absent && !recorded && self.facts.nothing.contains(&bare_selector(vector)) {
            let message = format!("{} finds nothing in the store now", bare_selector(vector));
            self.add(
                Lint::MatchesNothing,
                place,
                message,
                "look at the name and the labels, or at the target that should have it",
            );
        }
    }

    fn matcher(&mut self, matcher: &Matcher, place: Place) {
        let (name, value) = (&matcher.name, &matcher.value);
        let (plain, equal) = match matcher.op {
            MatchOp::Regex => ("=", true),
            MatchOp::NotRegex => ("!=", false),
            MatchOp::Equal | MatchOp::NotEqual => return,
        };
        if equal && value == ".*" {
            let message = format!("{matcher} is met by every series, also by those without the label");
            self.add(Lint::RegexMatchesAll, place, message, "leave it out, or write .+ for those that have the label");
        } else if !value.is_empty() && !value.contains(['.', '^', '$', '*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '\\']) {
            let message = format!("{matcher} is a plain text: {name}{plain}{value:?} says the same");
            self.add(Lint::RegexNotNeeded, place, message, "compare with = or !=");
        }
    }

    fn call(&mut self, call: &'a Call, place: Place, around: Around) {
        let name = call.function.name;
        let inside = Around {
            histogram: around.histogram || name.starts_with("histogram_"),
            absent: around.absent || name.starts_with("absent"),
        };
        let argument = call.args.iter().map(bare).find(|arg| arg.value_type() == ValueType::RangeVector);
        match name {
            "rate" | "increase" | "irate" => self.rate(name, argument, place, inside),
            "delta" | "idelta" | "deriv" | "predict_linear" => self.delta(name, argument, place),
            "absent" | "absent_over_time" => self.absent(call),
            "histogram_quantile" => self.quantile(call, place),
            _ => {}
        }
        if let Some(ExprKind::Matrix(matrix)) = argument.map(|arg| &arg.kind)
            && NEED_TWO.contains(&name)
        {
            self.range(name, matrix, place);
        }
        call.args.iter().for_each(|arg| self.visit(arg, inside));
    }

    /// Looks at a rate: of what is it?
    fn rate(&mut self, name: &str, argument: Option<&Expr>, place: Place, around: Around) {
        if name == "irate" && self.rule.is_alert() {
            let message = "irate sees the last two samples only, so one odd scrape fires or resolves the alert".to_owned();
            self.add(Lint::IrateInAlert, place, message, "use rate");
        }
        match argument.map(|arg| &arg.kind) {
            Some(ExprKind::Subquery(subquery)) => {
                let inner = bare(&subquery.expr);
                let sums = |aggregate: &crate::promql::ast::Aggregate| {
                    matches!(aggregate.op, AggregateOp::Sum | AggregateOp::Avg | AggregateOp::Min | AggregateOp::Max)
                };
                if matches!(&inner.kind, ExprKind::Aggregate(aggregate) if sums(aggregate)) {
                    let message = format!("{name} of an aggregation sees a restart of one series as a reset of all");
                    self.add(Lint::RateOfAggregate, place, message, "aggregate the rates: sum(rate(…))");
                }
            }
            Some(ExprKind::Matrix(matrix)) => {
                let Some(metric) = metric(&matrix.vector) else { return };
                match self.facts.metric_type(metric) {
                    Some(Type::Counter | Type::Histogram) => {}
                    Some(Type::Gauge) => self.gauge(name, metric, place, "its target says so"),
                    None if metric == "up" || GAUGE_ENDINGS.iter().any(|ending| metric.ends_with(ending)) => {
                        self.gauge(name, metric, place, "its name says so");
                    }
                    // Recorded names say more than their endings do, and native histograms have no ending.
                    None if metric.contains(':') || around.histogram => {}
                    None if COUNTER_ENDINGS.iter().any(|ending| metric.ends_with(ending)) => {}
                    None => {
                        let message = format!("{metric:?} has no name of a counter (…_total, …_sum, …_count, …_bucket)");
                        self.add(Lint::CounterName, place, message, "make sure that it only ever grows");
                    }
                }
            }
            _ => {}
        }
    }

    fn gauge(&mut self, name: &str, metric: &str, place: Place, why: &str) {
        let message = format!("{metric:?} is a gauge, {why}, and every fall of it counts as a reset in {name}");
        self.add(Lint::RateOfGauge, place, message, "use delta or deriv for a gauge, changes for how often it moved");
    }

    fn delta(&mut self, name: &str, argument: Option<&Expr>, place: Place) {
        let Some(ExprKind::Matrix(matrix)) = argument.map(|arg| &arg.kind) else { return };
        let Some(metric) = metric(&matrix.vector) else { return };
        let by_name = || metric.ends_with("_total") || metric.ends_with("_bucket");
        let counter = self.facts.metric_type(metric).map_or_else(by_name, |known| known == Type::Counter);
        if counter {
            let message = format!("{metric:?} is a counter, and {name} takes its resets for falls");
            self.add(Lint::DeltaOfCounter, place, message, "use rate or increase for a counter");
        }
    }

    fn range(&mut self, name: &str, matrix: &MatrixSelector, place: Place) {
        let DurationExpr::Literal(range) = matrix.range else { return };
        let Some(interval) = self.facts.interval(&matrix.vector) else { return };
        if range.0 < interval.0.saturating_mul(2) {
            let message =
                format!("a range of {range} holds fewer than two samples when there is one every {interval}: no {name}");
            self.add(Lint::ShortRange, place, message, "make the range at least twice the interval, better four times");
        }
    }

    fn absent(&mut self, call: &Call) {
        let Some(arg) = call.args.first().map(bare) else { return };
        let vector = match &arg.kind {
            ExprKind::Vector(vector) => vector,
            ExprKind::Matrix(matrix) => &matrix.vector,
            _ => return,
        };
        // A pattern for one thing, such as a pod with its changing suffix, is a good reason.
        let several = |matcher: &&Matcher| matcher.op == MatchOp::Regex && matcher.value.contains('|');
        if let Some(matcher) = vector.matchers.iter().find(several) {
            let message = format!("{matcher} asks for several, and one of them that is there is enough to keep this silent");
            self.add(Lint::AbsentRegex, arg.place, message, "ask for each of them: absent(…) or absent(…)");
        }
    }

    fn quantile(&mut self, call: &Call, place: Place) {
        let Some(buckets) = call.args.get(1) else { return };
        let mut classic = false;
        walk(buckets, &mut |expr| {
            let name = match &expr.kind {
                ExprKind::Vector(vector) => metric(vector),
                ExprKind::Matrix(matrix) => metric(&matrix.vector),
                _ => None,
            };
            classic |= name.is_some_and(|name| name.ends_with("_bucket"));
        });
        if classic && !labels(buckets).may_have("le") {
            let message = "the buckets have lost their label le on the way, so there is no quantile".to_owned();
            self.add(Lint::MissingLe, place, message, "keep it: sum by (le, …) (rate(…_bucket[…]))");
        }
    }

    fn binary(&mut self, binary: &'a Binary, around: Around) {
        self.visit(&binary.left, around);
        self.visit(&binary.right, around);
        if self.rule.is_alert() {
            self.height(binary);
        }
        let Some(matching) = binary.matching.as_ref().filter(|matching| matching.on && !binary.op.is_set()) else { return };
        let sides: &[&Expr] = match matching.cardinality {
            Cardinality::OneToOne => &[&binary.left, &binary.right],
            Cardinality::ManyToOne => &[&binary.right],
            Cardinality::OneToMany => &[&binary.left],
            Cardinality::ManyToMany => return,
        };
        for side in sides {
            if labels(side).are_told_apart_by(&matching.labels) || is_one_by_nature(side) {
                continue;
            }
            let message = format!("nothing here says that there is one series for each ({})", matching.labels.join(", "));
            self.add(Lint::ManyToMany, side.place, message, "aggregate this side by these labels, or name more labels in on (…)");
        }
    }

    /// Looks at an alert on how high a counter stands.
    fn height(&mut self, binary: &Binary) {
        let grown = matches!(binary.op, BinaryOp::Greater | BinaryOp::GreaterOrEqual | BinaryOp::NotEqual);
        if !grown || binary.right.value_type() != ValueType::Scalar {
            return;
        }
        let mut side = bare(&binary.left);
        while let ExprKind::Aggregate(aggregate) = &side.kind {
            if !matches!(aggregate.op, AggregateOp::Sum | AggregateOp::Max | AggregateOp::Min | AggregateOp::Avg) {
                return;
            }
            side = bare(&aggregate.expr);
        }
        let ExprKind::Vector(vector) = &side.kind else { return };
        let Some(metric) = metric(vector) else { return };
        // What there is of a thing is often called a total, too; what has happened is not there.
        let by_name = || metric.ends_with("_total") && EVENTS.iter().any(|word| metric.to_lowercase().contains(word));
        let counter = self.facts.metric_type(metric).map_or_else(by_name, |known| known == Type::Counter);
        if counter {
            let message = format!("{metric:?} is a counter: once it is this high it stays so until its process restarts");
            self.add(Lint::RawCounter, side.place, message, "compare what was added: increase(…[…])");
        }
    }
}

/// Returns whether a side is a fact of which there is one for each thing, as the labels of a pod.
fn is_one_by_nature(side: &Expr) -> bool {
    match &bare(side).kind {
        ExprKind::Vector(vector) => metric(vector).is_some_and(|name| name == "up" || is_fact(name) || name.contains(':')),
        ExprKind::Binary(binary) => is_one_by_nature(&binary.left),
        ExprKind::Aggregate(aggregate) => {
            matches!(aggregate.op, AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK)
        }
        _ => false,
    }
}
