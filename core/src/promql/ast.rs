//! The syntax tree of PromQL.

use crate::model::Matcher;
use crate::time::{Span, Timestamp};

use super::signature::Function;

/// A range of bytes in the text of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub start: u32,
    pub end: u32,
}

/// One node of the tree with its place in the text.
///
/// Two expressions are equal when they say the same; places do not count.
#[derive(Clone, Debug)]
pub struct Expr {
    pub kind: ExprKind,
    pub place: Place,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Expr) -> bool {
        self.kind == other.kind
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    Number(f64),
    /// A number written as a duration, such as `5m`; its value is in seconds.
    DurationNumber(f64),
    Text(String),
    Vector(VectorSelector),
    Matrix(MatrixSelector),
    Subquery(Box<Subquery>),
    Call(Call),
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Unary {
        negative: bool,
        operand: Box<Expr>,
    },
    Paren(Box<Expr>),
}

/// A length of time as written: a literal, or an expression over literals, `step()` and `range()`.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    Literal(Span),
    /// A bare number inside an expression: a count of seconds. A number that stands alone is a `Literal`.
    Number(f64),
    Step,
    Range,
    Negate(Box<DurationExpr>),
    Plus(Box<DurationExpr>),
    Paren(Box<DurationExpr>),
    Binary {
        op: DurationOp,
        left: Box<DurationExpr>,
        right: Box<DurationExpr>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Min,
    Max,
}

/// The `@` modifier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    Instant(Timestamp),
    /// `@ start()`: the first step of the query.
    Start,
    /// `@ end()`: the last step of the query.
    End,
}

/// `anchored` and `smoothed`: how a range treats the samples at its edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edges {
    Anchored,
    Smoothed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The name before the braces, when it was written there; `matchers` holds it as well.
    pub name: Option<String>,
    /// Every condition, the one on the metric's name included (then it comes last).
    pub matchers: Vec<Matcher>,
    pub offset: Option<DurationExpr>,
    pub at: Option<At>,
    pub edges: Option<Edges>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// The selector; offset, `@` and edges stand here though they are written behind the range.
    pub vector: VectorSelector,
    pub range: DurationExpr,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    pub expr: Expr,
    pub range: DurationExpr,
    /// None: the default evaluation interval.
    pub step: Option<DurationExpr>,
    pub offset: Option<DurationExpr>,
    pub at: Option<At>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub function: &'static Function,
    pub args: Vec<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    CountValues,
    Quantile,
    LimitK,
    LimitRatio,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub op: AggregateOp,
    pub expr: Expr,
    pub param: Option<Expr>,
    pub grouping: Vec<String>,
    pub without: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Unless,
    /// `</`: histogram buckets above the bound are cut away.
    TrimUpper,
    /// `>/`: histogram buckets below the bound are cut away.
    TrimLower,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    pub op: BinaryOp,
    pub left: Expr,
    pub right: Expr,
    /// `bool`: a comparison answers 0 or 1 and filters nothing.
    pub returns_bool: bool,
    /// Present when both sides are instant vectors.
    pub matching: Option<Matching>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    #[default]
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// `and`, `or`, `unless`
    ManyToMany,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    pub cardinality: Cardinality,
    /// True for `on (…)`, false for `ignoring (…)` and when neither is written.
    pub on: bool,
    pub labels: Vec<String>,
    /// Labels copied from the "one" side by `group_left (…)` and `group_right (…)`.
    pub include: Vec<String>,
    /// `fill_left (v)` or `fill (v)`: the value of a series that is missing on the left.
    pub fill_left: Option<f64>,
    /// `fill_right (v)` or `fill (v)`: the value of a series that is missing on the right.
    pub fill_right: Option<f64>,
}
