//! The canonical text of a tree, on one line.
//!
//! The forms follow Prometheus `promql/parser/printer.go`.

use std::fmt::{self, Display, Formatter, Write};

use super::ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Cardinality, DurationExpr, DurationOp, Edges, Expr, ExprKind, Matching,
    MatrixSelector, Subquery, VectorSelector,
};
use crate::model::labels::{quote, quoted_name};
use crate::model::{METRIC_NAME, MatchOp};
use crate::time::Span;

impl AggregateOp {
    /// Returns the word that names the aggregation.
    pub fn symbol(self) -> &'static str {
        match self {
            AggregateOp::Sum => "sum",
            AggregateOp::Avg => "avg",
            AggregateOp::Count => "count",
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
            AggregateOp::Group => "group",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::TopK => "topk",
            AggregateOp::BottomK => "bottomk",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Quantile => "quantile",
            AggregateOp::LimitK => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
        }
    }
}

impl BinaryOp {
    /// Returns the word or sign of the operator.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Less => "<",
            BinaryOp::LessOrEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterOrEqual => ">=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
        }
    }
}

/// Writes a number without an exponent, as Go's `FormatFloat(…, 'f', -1, 64)` does.
struct Plain(f64);

impl Display for Plain {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value if value.is_nan() => f.write_str("NaN"),
            value => write!(f, "{value}"),
        }
    }
}

/// Writes a number as Go's `%v` does: with an exponent when it is very large or very small.
struct Short(f64);

impl Display for Short {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size == 0.0 || !size.is_finite() || (1e-4..1e21).contains(&size) {
            return Plain(self.0).fmt(f);
        }
        let text = format!("{:e}", self.0);
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        write!(f, "{digits}e{sign}{exponent:0>2}")
    }
}

struct Names<'a>(&'a [String]);

impl Display for Names<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(&quoted_name(name))?;
        }
        Ok(())
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(value) => Plain(*value).fmt(f),
            ExprKind::DurationNumber(seconds) => Span((seconds * 1000.0).round() as i64).fmt(f),
            ExprKind::Text(text) => f.write_str(&quote(text)),
            ExprKind::Vector(vector) => vector.fmt(f),
            ExprKind::Matrix(matrix) => matrix.fmt(f),
            ExprKind::Subquery(subquery) => write!(f, "{}{}", subquery.expr, subquery.suffix()),
            ExprKind::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                for (index, arg) in call.args.iter().enumerate() {
                    write!(f, "{}{arg}", if index > 0 { ", " } else { "" })?;
                }
                f.write_char(')')
            }
            ExprKind::Aggregate(aggregate) => {
                write!(f, "{}(", aggregate.head())?;
                if let Some(param) = &aggregate.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            ExprKind::Binary(binary) => write!(f, "{} {} {}", binary.left, binary.operator(), binary.right),
            ExprKind::Unary { negative, operand } => write!(f, "{}{operand}", if *negative { '-' } else { '+' }),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl Aggregate {
    /// Returns what stands before the parenthesis, such as `sum by (job) `.
    pub(super) fn head(&self) -> String {
        let op = self.op.symbol();
        match (self.without, self.grouping.is_empty()) {
            (true, _) => format!("{op} without ({}) ", Names(&self.grouping)),
            (false, false) => format!("{op} by ({}) ", Names(&self.grouping)),
            (false, true) => op.to_owned(),
        }
    }
}

impl Binary {
    /// Returns the operator with its modifiers, such as `== bool on (job)`.
    pub(super) fn operator(&self) -> String {
        let returns_bool = if self.returns_bool { " bool" } else { "" };
        let matching = self.matching.as_ref().map(Matching::to_string).unwrap_or_default();
        format!("{}{returns_bool}{matching}", self.op.symbol())
    }
}

impl Display for Matching {
    /// Writes each modifier with a blank before it.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let group = match self.cardinality {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if self.on || !self.labels.is_empty() || group.is_some() {
            write!(f, " {} ({})", if self.on { "on" } else { "ignoring" }, Names(&self.labels))?;
        }
        if let Some(group) = group {
            write!(f, " {group} ({})", Names(&self.include))?;
        }
        match (self.fill_left, self.fill_right) {
            (Some(left), Some(right)) if left.to_bits() == right.to_bits() => write!(f, " fill ({})", Short(left)),
            (left, right) => {
                if let Some(left) = left {
                    write!(f, " fill_left ({})", Short(left))?;
                }
                if let Some(right) = right {
                    write!(f, " fill_right ({})", Short(right))?;
                }
                Ok(())
            }
        }
    }
}

impl VectorSelector {
    fn write_name_and_matchers(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("");
        let mut matchers: Vec<String> = self
            .matchers
            .iter()
            .filter(|matcher| {
                matcher.name != METRIC_NAME || matcher.op != MatchOp::Equal || matcher.value != name || matcher.value.is_empty()
            })
            .map(|matcher| matcher.to_string())
            .collect();
        matchers.sort();
        f.write_str(name)?;
        if !matchers.is_empty() {
            write!(f, "{{{}}}", matchers.join(","))?;
        } else if name.is_empty() {
            f.write_str("{}")?;
        }
        Ok(())
    }
}

fn write_edges(f: &mut Formatter<'_>, edges: Option<Edges>) -> fmt::Result {
    f.write_str(match edges {
        Some(Edges::Anchored) => " anchored",
        Some(Edges::Smoothed) => " smoothed",
        None => "",
    })
}

fn write_at(f: &mut Formatter<'_>, at: Option<At>) -> fmt::Result {
    match at {
        Some(At::Instant(instant)) => write!(f, " @ {:.3}", instant.seconds()),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
        None => Ok(()),
    }
}

fn write_offset(f: &mut Formatter<'_>, offset: Option<&DurationExpr>) -> fmt::Result {
    offset.map_or(Ok(()), |offset| write!(f, " offset {offset}"))
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write_name_and_matchers(f)?;
        write_at(f, self.at)?;
        write_edges(f, self.edges)?;
        write_offset(f, self.offset.as_ref())
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.vector.write_name_and_matchers(f)?;
        write!(f, "[{}]", self.range)?;
        write_edges(f, self.vector.edges)?;
        write_at(f, self.vector.at)?;
        write_offset(f, self.vector.offset.as_ref())
    }
}

/// What stands behind the expression of a subquery, such as `[5m:1m] @ start()`.
pub(super) struct Suffix<'a>(&'a Subquery);

impl Subquery {
    pub(super) fn suffix(&self) -> Suffix<'_> {
        Suffix(self)
    }
}

impl Display for Suffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", self.0.range)?;
        if let Some(step) = &self.0.step {
            step.fmt(f)?;
        }
        f.write_char(']')?;
        write_at(f, self.0.at)?;
        write_offset(f, self.0.offset.as_ref())
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DurationExpr::Literal(span) => span.fmt(f),
            DurationExpr::Number(value) => Plain(*value).fmt(f),
            DurationExpr::Step => f.write_str("step()"),
            DurationExpr::Range => f.write_str("range()"),
            DurationExpr::Negate(inner) => write!(f, "-{inner}"),
            // The sign says nothing.
            DurationExpr::Plus(inner) => inner.fmt(f),
            DurationExpr::Paren(inner) => write!(f, "({inner})"),
            DurationExpr::Binary { op, left, right } => {
                let sign = match op {
                    DurationOp::Min => return write!(f, "min_of({left}, {right})"),
                    DurationOp::Max => return write!(f, "max_of({left}, {right})"),
                    DurationOp::Add => '+',
                    DurationOp::Sub => '-',
                    DurationOp::Mul => '*',
                    DurationOp::Div => '/',
                    DurationOp::Mod => '%',
                    DurationOp::Pow => '^',
                };
                write!(f, "{left} {sign} {right}")
            }
        }
    }
}
