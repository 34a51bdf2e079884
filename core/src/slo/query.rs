//! Queries as people write them → what is read, and what each value means.

use std::fmt;

use crate::model::Matcher;
use crate::promql::ast::{AggregateOp, Binary, BinaryOp, Expr, ExprKind, MatrixSelector, VectorSelector};
use crate::promql::parse::{self, Syntax};
use crate::promql::signature::ValueType;

use super::openslo::{Op, Part};

/// What is read at each tick.
#[derive(Clone, Debug)]
pub enum Reading {
    /// All samples of all series that match.
    Selector { matchers: Vec<Matcher> },
    /// The value of an expression at every full minute.
    Expression { expr: Box<Expr> },
}

/// What one value, or the way from one value to the next, adds to the counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning {
    /// Increments between consecutive samples of a series, so many times.
    Counter { good: i8, total: i8 },
    /// Values as they are, so many times.
    Amount { good: i8, total: i8 },
    /// Each value is one event, good when it stands so to the limit.
    Threshold { op: Op, limit: f64 },
    /// Each value is one event, of which this share is good or bad.
    Ratio { part: Part },
}

#[derive(Clone, Debug)]
pub struct Stream {
    pub reading: Reading,
    pub meaning: Meaning,
    /// What decides the counts, in one text.
    pub text: String,
}

impl fmt::Display for Stream {
    /// Writes what the stream adds to the counts, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides = |good: i8, total: i8| {
            let side = |name: &str, times: i8| match times {
                0 => None,
                1.. => Some(format!("{name} + ")),
                ..0 => Some(format!("{name} - ")),
            };
            [side("good", good), side("total", total)].into_iter().flatten().collect::<Vec<_>>().join("and ")
        };
        match self.meaning {
            Meaning::Counter { good, total } => write!(f, "{}increments of ", sides(good, total))?,
            Meaning::Amount { good, total } => write!(f, "{}each value of ", sides(good, total))?,
            Meaning::Threshold { op, limit } => {
                write!(f, "total + 1 for each value, good + 1 for those {} {limit}, of ", op.sign())?
            }
            Meaning::Ratio { part: Part::Good } => f.write_str("total + 1 for each value, good + the value, of ")?,
            Meaning::Ratio { part: Part::Bad } => f.write_str("total + 1 for each value, good + 1 - the value, of ")?,
        }
        match &self.reading {
            Reading::Selector { matchers } => {
                let conditions: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
                write!(f, "{{{}}}", conditions.join(","))
            }
            Reading::Expression { expr } => write!(f, "{expr}, taken each minute"),
        }
    }
}

const NOT_COUNTABLE: &str = "a counter is counted from its samples, so that its query must be a selector, sum(), rate() or \
     increase() of one, or sums and differences of such sums; write counter: false to count the values of another expression";

/// Returns the streams of a numerator and a denominator.
pub(super) fn ratio(
    counter: bool,
    part: Part,
    events: &str,
    total: &str,
) -> (Result<Vec<Stream>, String>, Result<Vec<Stream>, String>) {
    let signs = match part {
        Part::Good => (1, 0),
        Part::Bad => (-1, 0),
    };
    let all = match part {
        Part::Good => (0, 1),
        Part::Bad => (1, 1),
    };
    (streams(counter, events, signs), streams(counter, total, all))
}

fn streams(counter: bool, query: &str, (good, total): (i8, i8)) -> Result<Vec<Stream>, String> {
    let expr = parsed(query)?;
    if !counter {
        let meaning = Meaning::Amount { good, total };
        return Ok(vec![stream(Reading::Expression { expr: Box::new(expr) }, meaning)]);
    }
    let mut terms = Vec::new();
    collect_terms(&expr, 1, false, &mut terms).map_err(|()| NOT_COUNTABLE.to_owned())?;
    let counted = terms.into_iter().map(|(sign, matchers)| {
        let meaning = Meaning::Counter { good: good * sign, total: total * sign };
        stream(Reading::Selector { matchers }, meaning)
    });
    Ok(counted.collect())
}

/// Returns the stream of values that are events, each by itself: samples where the query is a selector.
pub(super) fn values(query: &str, meaning: Meaning) -> Result<Stream, String> {
    let expr = parsed(query)?;
    let reading = match &bare(&expr).kind {
        ExprKind::Vector(selector) if is_plain(selector) => Reading::Selector { matchers: selector.matchers.clone() },
        _ => Reading::Expression { expr: Box::new(expr) },
    };
    Ok(stream(reading, meaning))
}

fn stream(reading: Reading, meaning: Meaning) -> Stream {
    let read = match &reading {
        Reading::Selector { matchers } => {
            let mut conditions: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
            conditions.sort();
            format!("samples {{{}}}", conditions.join(","))
        }
        Reading::Expression { expr } => format!("each minute {expr}"),
    };
    let text = format!("{meaning:?} of {read}");
    Stream { reading, meaning, text }
}

/// Reads a query; Sloth's placeholder for a window stands for the minute between two evaluations.
fn parsed(query: &str) -> Result<Expr, String> {
    let text = with_window(query, "1m")?;
    let expr = parse::parse(&text, &Syntax::default()).map_err(|faults| match faults.first() {
        Some(fault) => format!("could not parse expression: {}", fault.summary(&text)),
        None => "could not parse expression".to_owned(),
    })?;
    match expr.value_type() {
        ValueType::InstantVector | ValueType::Scalar => Ok(expr),
        ValueType::RangeVector | ValueType::Text => {
            Err("expected an expression whose value is a vector; take the range away or put a function around it".to_owned())
        }
    }
}

/// Puts a window in place of `{{.window}}`.
///
/// Errors: any other action.
pub(super) fn with_window(query: &str, window: &str) -> Result<String, String> {
    let (mut text, mut rest) = (String::with_capacity(query.len()), query);
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((action, behind)) = after.split_once("}}") else { return Err("{{ is not closed by }}".to_owned()) };
        if action.trim() != ".window" {
            return Err(format!("{{{{{action}}}}} is not known; only {{{{.window}}}} is"));
        }
        text.push_str(before);
        text.push_str(window);
        rest = behind;
    }
    text.push_str(rest);
    Ok(text)
}

fn bare(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Paren(inner) => bare(inner),
        _ => expr,
    }
}

fn is_plain(selector: &VectorSelector) -> bool {
    selector.offset.is_none() && selector.at.is_none() && selector.edges.is_none()
}

/// Collects the counters whose sum an expression is.
///
/// `summed`: the expression around it adds up all series, so that labels no longer matter.
fn collect_terms(expr: &Expr, sign: i8, summed: bool, terms: &mut Vec<(i8, Vec<Matcher>)>) -> Result<(), ()> {
    match &expr.kind {
        ExprKind::Paren(inner) => collect_terms(inner, sign, summed, terms),
        ExprKind::Vector(selector) if is_plain(selector) => {
            terms.push((sign, selector.matchers.clone()));
            Ok(())
        }
        ExprKind::Call(call) if matches!(call.function.name, "rate" | "increase") => match &bare(&call.args[0]).kind {
            ExprKind::Matrix(MatrixSelector { vector, .. }) if is_plain(vector) => {
                terms.push((sign, vector.matchers.clone()));
                Ok(())
            }
            _ => Err(()),
        },
        ExprKind::Aggregate(aggregate) if aggregate.op == AggregateOp::Sum => collect_terms(&aggregate.expr, sign, true, terms),
        ExprKind::Binary(binary) if !summed => collect_binary(binary, sign, terms),
        _ => Err(()),
    }
}

fn collect_binary(binary: &Binary, sign: i8, terms: &mut Vec<(i8, Vec<Matcher>)>) -> Result<(), ()> {
    let Binary { op, left, right, .. } = binary;
    match op {
        BinaryOp::Or if is_zero(right) => collect_terms(left, sign, false, terms),
        BinaryOp::Add | BinaryOp::Sub if is_whole_sum(left) && is_whole_sum(right) => {
            collect_terms(left, sign, false, terms)?;
            collect_terms(right, if *op == BinaryOp::Sub { -sign } else { sign }, false, terms)
        }
        _ => Err(()),
    }
}

/// Returns whether an expression is `vector(0)`, which people put behind `or` where a series may be missing.
fn is_zero(expr: &Expr) -> bool {
    match &bare(expr).kind {
        ExprKind::Call(call) if call.function.name == "vector" => matches!(bare(&call.args[0]).kind, ExprKind::Number(0.0)),
        _ => false,
    }
}

/// Returns whether an expression is one number: only such are added without matching labels.
fn is_whole_sum(expr: &Expr) -> bool {
    match &bare(expr).kind {
        ExprKind::Aggregate(aggregate) => aggregate.op == AggregateOp::Sum && aggregate.grouping.is_empty() && !aggregate.without,
        ExprKind::Binary(binary) => match binary.op {
            BinaryOp::Or => is_zero(&binary.right) && is_whole_sum(&binary.left),
            BinaryOp::Add | BinaryOp::Sub => is_whole_sum(&binary.left) && is_whole_sum(&binary.right),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(query: &str) -> String {
        match streams(true, query, (0, 1)) {
            Ok(streams) => streams.iter().map(|stream| stream.text.clone()).collect::<Vec<_>>().join("; "),
            Err(fault) => fault,
        }
    }

    #[test]
    fn counters_are_found_under_sums_and_rates() {
        let one = r#"Counter { good: 0, total: 1 } of samples {__name__="x_total",job="a"}"#;
        for query in [
            r#"x_total{job="a"}"#,
            r#"sum(x_total{job="a"})"#,
            r#"sum by (code) (rate(x_total{job="a"}[5m]))"#,
            r#"(sum(increase(x_total{job="a"}[{{ .window }}])) or vector(0))"#,
            r#"sum(rate(x_total{job="a"}[{{.window}}])) OR on() vector(0)"#,
        ] {
            assert_eq!(told(query), one, "{query}");
        }
        assert_eq!(
            told("sum(a) - (sum(rate(b[5m])) + sum(c))"),
            "Counter { good: 0, total: 1 } of samples {__name__=\"a\"}; \
             Counter { good: 0, total: -1 } of samples {__name__=\"b\"}; \
             Counter { good: 0, total: -1 } of samples {__name__=\"c\"}"
        );
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        for query in ["a / b", "avg(a)", "a + b", "sum(a) + sum by (x) (b)", "a offset 5m", "rate(a[5m] offset 1m)", "sum(a > 1)"]
        {
            assert_eq!(told(query), NOT_COUNTABLE, "{query}");
        }
        assert!(told("a[5m]").contains("whose value is a vector"));
        assert!(told("sum(").contains("could not parse expression"));
        assert!(told("rate(a[{{.range}}])").contains("{{.range}} is not known"));
    }
}
