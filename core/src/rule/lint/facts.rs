//! What a running service knows of the metrics that rules name.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{METRIC_NAME, MatchOp, Matcher};
use crate::promql::ast::{DurationExpr, Expr, ExprKind, VectorSelector};
use crate::rule::{Kind, RuleGroup};
use crate::time::Span;

/// What is known beside the file.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// How often the metrics are recorded that rules of any file make.
    pub recorded: BTreeMap<String, Span>,
    /// The type of each family, such as `counter`.
    pub types: BTreeMap<String, String>,
    /// Selectors, as `Question` writes them, that find nothing.
    pub nothing: BTreeSet<String>,
    /// How often the targets of each job are scraped; the longest interval where they differ.
    pub scrapes: BTreeMap<String, Span>,
}

/// What a family of metrics is to functions of rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
    /// A native histogram, which rates are made of as of counters.
    Histogram,
}

/// A selector whose series a service is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Such as `{__name__="up",job="api"}`.
    pub selector: String,
    /// How far back the rule looks beyond the usual.
    pub back: Span,
}

/// Returns a selector without its modifiers.
pub(super) fn bare(vector: &VectorSelector) -> String {
    let mut matchers: Vec<String> = vector.matchers.iter().map(Matcher::to_string).collect();
    matchers.sort();
    format!("{{{}}}", matchers.join(","))
}

/// Returns the name of the metric that a selector asks for, when it asks for one.
pub(super) fn metric(vector: &VectorSelector) -> Option<&str> {
    let named = |matcher: &&Matcher| matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal;
    vector.matchers.iter().find(named).map(|matcher| matcher.value.as_str())
}

fn literal(duration: Option<&DurationExpr>) -> Span {
    match duration {
        Some(DurationExpr::Literal(span)) => *span,
        _ => Span::ZERO,
    }
}

impl Facts {
    /// Learns what the rules of a file record.
    pub fn learn_recorded(&mut self, groups: &[RuleGroup]) {
        for group in groups {
            for rule in &group.rules {
                if let Kind::Record { name, .. } = &rule.kind {
                    let every = self.recorded.entry(name.clone()).or_insert(group.interval);
                    *every = (*every).max(group.interval);
                }
            }
        }
    }

    /// Returns what a metric is by its family's type.
    pub(super) fn metric_type(&self, name: &str) -> Option<Type> {
        let of = |family: &str, ending: bool| match self.types.get(family)?.as_str() {
            "counter" => Some(Type::Counter),
            "gauge" => Some(Type::Gauge),
            "histogram" | "summary" if ending => Some(Type::Counter),
            "histogram" => Some(Type::Histogram),
            "summary" => Some(Type::Gauge),
            _ => None,
        };
        let by_ending = || ["_bucket", "_count", "_sum", "_total"].iter().find_map(|ending| of(name.strip_suffix(ending)?, true));
        of(name, false).or_else(by_ending)
    }

    /// Returns how far apart the samples of a selector are, when that is known.
    pub(super) fn interval(&self, vector: &VectorSelector) -> Option<Span> {
        if let Some(every) = metric(vector).and_then(|name| self.recorded.get(name)) {
            return Some(*every);
        }
        let job = vector.matchers.iter().find(|matcher| matcher.name == "job" && matcher.op == MatchOp::Equal);
        match job {
            Some(job) => self.scrapes.get(&job.value).copied(),
            // Without a job it may be any of them, so only what holds for all is said.
            None => self.scrapes.values().min().copied(),
        }
    }
}

/// Returns every selector of the rules that should find something. What `absent` asks for should not, and what the rules record is not
/// there before they run.
pub fn questions(groups: &[RuleGroup], facts: &Facts) -> Vec<Question> {
    let mut found = BTreeMap::new();
    for rule in groups.iter().flat_map(|group| &group.rules) {
        visit(&rule.expr, Span::ZERO, &mut |vector, back| {
            if metric(vector).is_none_or(|name| !facts.recorded.contains_key(name)) {
                let longest = found.entry(bare(vector)).or_insert(back);
                *longest = (*longest).max(back);
            }
        });
    }
    found.into_iter().map(|(selector, back)| Question { selector, back }).collect()
}

/// Calls `each` with every selector that should find something, and how far it looks back.
fn visit(expr: &Expr, back: Span, each: &mut impl FnMut(&VectorSelector, Span)) {
    let further = |more: Span| Span(back.0.saturating_add(more.0.max(0)));
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) => {}
        ExprKind::Vector(vector) => each(vector, further(literal(vector.offset.as_ref()))),
        ExprKind::Matrix(matrix) => {
            let offset = literal(matrix.vector.offset.as_ref());
            each(&matrix.vector, further(Span(literal(Some(&matrix.range)).0 + offset.0)));
        }
        ExprKind::Subquery(subquery) => {
            let more = Span(literal(Some(&subquery.range)).0 + literal(subquery.offset.as_ref()).0);
            visit(&subquery.expr, further(more), each);
        }
        ExprKind::Call(call) if call.function.name.starts_with("absent") => {}
        ExprKind::Call(call) => call.args.iter().for_each(|arg| visit(arg, back, each)),
        ExprKind::Aggregate(aggregate) => visit(&aggregate.expr, back, each),
        ExprKind::Binary(binary) => {
            visit(&binary.left, back, each);
            visit(&binary.right, back, each);
        }
        ExprKind::Unary { operand, .. } => visit(operand, back, each),
        ExprKind::Paren(inner) => visit(inner, back, each),
    }
}
