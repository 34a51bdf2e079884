//! The checked tree: types, and the rules that need them.
//!
//! The rules, and the words of the faults, follow `checkAST` of Prometheus `promql/parser/parse.go`.

use super::ast::{Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, ExprKind, Place, VectorSelector};
use super::fault::{ParseError, push_fault};
use super::signature::ValueType;
use crate::model::METRIC_NAME;
use crate::model::labels::quote;

impl ValueType {
    /// Returns the name that the documentation gives the type.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Text => "string",
            ValueType::InstantVector => "instant vector",
            ValueType::RangeVector => "range vector",
        }
    }

    /// Returns the name that answers of the query API carry.
    pub fn api_name(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Text => "string",
            ValueType::InstantVector => "vector",
            ValueType::RangeVector => "matrix",
        }
    }
}

impl Expr {
    /// Returns what kind of value the expression has.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::DurationNumber(_) => ValueType::Scalar,
            ExprKind::Text(_) => ValueType::Text,
            ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::InstantVector,
            ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::RangeVector,
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Binary(binary) => binary.value_type(),
            ExprKind::Unary { operand, .. } => operand.value_type(),
            ExprKind::Paren(inner) => inner.value_type(),
        }
    }
}

impl Binary {
    fn value_type(&self) -> ValueType {
        if self.left.value_type() == ValueType::Scalar && self.right.value_type() == ValueType::Scalar {
            ValueType::Scalar
        } else {
            ValueType::InstantVector
        }
    }
}

impl BinaryOp {
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::Less
                | BinaryOp::LessOrEqual
                | BinaryOp::Greater
                | BinaryOp::GreaterOrEqual
        )
    }

    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

/// Returns the faults of a tree, and completes how the sides of its operators are matched.
pub(super) fn check(expr: &mut Expr, text: &str) -> Vec<ParseError> {
    let mut checker = Checker { text, faults: Vec::new() };
    checker.check(expr);
    checker.faults
}

struct Checker<'a> {
    text: &'a str,
    faults: Vec<ParseError>,
}

impl Checker<'_> {
    fn fault(&mut self, place: Place, message: impl Into<String>) {
        push_fault(&mut self.faults, place, message.into());
    }

    /// Checks an expression and everything below it, and returns its type.
    fn check(&mut self, expr: &mut Expr) -> ValueType {
        let place = expr.place;
        match &mut expr.kind {
            ExprKind::Number(_) | ExprKind::DurationNumber(_) => ValueType::Scalar,
            ExprKind::Text(_) => ValueType::Text,
            ExprKind::Vector(vector) => {
                self.vector(vector, place, false);
                ValueType::InstantVector
            }
            ExprKind::Matrix(matrix) => {
                self.vector(&matrix.vector, place, false);
                ValueType::RangeVector
            }
            ExprKind::Subquery(subquery) => {
                let inner = self.check(&mut subquery.expr);
                if inner != ValueType::InstantVector {
                    let got = inner.api_name();
                    self.fault(place, format!("subquery is only allowed on instant vector, got {got} instead"));
                }
                ValueType::RangeVector
            }
            ExprKind::Call(call) => self.call(call, place),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExprKind::Binary(binary) => self.binary(binary, place),
            ExprKind::Unary { operand, .. } => {
                let inner = self.check(operand);
                if !matches!(inner, ValueType::Scalar | ValueType::InstantVector) {
                    let got = inner.name();
                    self.fault(
                        place,
                        format!("unary expression only allowed on expressions of type scalar or instant vector, got \"{got}\""),
                    );
                }
                inner
            }
            ExprKind::Paren(inner) => self.check(inner),
        }
    }

    fn expect(&mut self, expr: &mut Expr, wanted: ValueType, within: &str) {
        let got = self.check(expr);
        if got != wanted {
            let (wanted, got) = (wanted.name(), got.name());
            self.fault(expr.place, format!("expected type {wanted} in {within}, got {got}"));
        }
    }

    fn vector(&mut self, vector: &VectorSelector, place: Place, may_match_empty: bool) {
        if let Some(name) = &vector.name {
            let written = &vector.matchers[..vector.matchers.len().saturating_sub(1)];
            for matcher in written.iter().filter(|matcher| matcher.name == METRIC_NAME) {
                let (first, second) = (quote(name), quote(&matcher.value));
                self.fault(place, format!("metric name must not be set twice: {first} or {second}"));
            }
        } else if !may_match_empty && vector.matchers.iter().all(|matcher| matcher.matches_empty()) {
            self.fault(place, "vector selector must contain at least one non-empty matcher");
        }
    }

    fn aggregate(&mut self, aggregate: &mut Aggregate) -> ValueType {
        self.expect(&mut aggregate.expr, ValueType::InstantVector, "aggregation expression");
        if let Some(param) = &mut aggregate.param {
            let wanted = if aggregate.op == AggregateOp::CountValues { ValueType::Text } else { ValueType::Scalar };
            self.expect(param, wanted, "aggregation parameter");
        }
        ValueType::InstantVector
    }

    fn call(&mut self, call: &mut Call, place: Place) -> ValueType {
        let function = call.function;
        let (name, got) = (function.name, call.args.len());
        let (least, most) = (function.args_min(), function.args_max());
        if function.variadic == 0 && got != least {
            self.fault(place, format!("expected {least} argument(s) in call to \"{name}\", got {got}"));
        } else if got < least {
            self.fault(place, format!("expected at least {least} argument(s) in call to \"{name}\", got {got}"));
        } else if let Some(most) = most.filter(|most| got > *most) {
            self.fault(place, format!("expected at most {most} argument(s) in call to \"{name}\", got {got}"));
        }
        let within = format!("call to function \"{name}\"");
        if name == "info"
            && let Some(selector) = call.args.get(1)
        {
            self.info_selector(selector, place, &within);
        }
        for (index, arg) in call.args.iter_mut().enumerate() {
            if function.variadic == 0 && index >= function.args.len() {
                break;
            }
            if name == "info"
                && index == 1
                && let ExprKind::Vector(vector) = &arg.kind
            {
                self.vector(vector, arg.place, true);
            } else if let Some(wanted) = function.arg(index) {
                self.expect(arg, wanted, &within);
            }
        }
        function.returns
    }

    /// Checks that the second argument of `info` is nothing but conditions on labels, which may match everything.
    fn info_selector(&mut self, arg: &Expr, call: Place, within: &str) {
        let got = arg.value_type();
        if got != ValueType::InstantVector {
            self.fault(call, format!("expected type instant vector in {within}, got {}", got.name()));
        }
        match &arg.kind {
            ExprKind::Vector(vector) if vector.name.is_none() => {}
            ExprKind::Vector(_) => self.fault(arg.place, "expected label selectors only, got vector selector instead"),
            _ => self.fault(arg.place, "expected label selectors only"),
        }
    }

    fn binary(&mut self, binary: &mut Binary, place: Place) -> ValueType {
        let left = self.check(&mut binary.left);
        let right = self.check(&mut binary.right);
        let op = binary.op;
        let between = self.between(binary.left.place.end, binary.right.place.start);
        let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        if binary.returns_bool && !op.is_comparison() {
            self.fault(between, "bool modifier can only be used on comparison operators");
        }
        if op.is_comparison() && !binary.returns_bool && scalars {
            self.fault(between, "comparisons between scalars must use BOOL modifier");
        }
        self.matching(binary, [left, right], place, between);
        if op.is_set() && (left == ValueType::Scalar || right == ValueType::Scalar) {
            let symbol = op.symbol();
            self.fault(place, format!("set operator \"{symbol}\" not allowed in binary scalar expression"));
        }
        if scalars { ValueType::Scalar } else { ValueType::InstantVector }
    }

    fn matching(&mut self, binary: &mut Binary, types: [ValueType; 2], place: Place, between: Place) {
        let op = binary.op;
        let Some(matching) = &mut binary.matching else { return };
        if op.is_set() && matching.cardinality == Cardinality::OneToOne {
            matching.cardinality = Cardinality::ManyToMany;
        }
        if matching.on {
            for label in matching.labels.iter().filter(|label| matching.include.contains(label)) {
                self.fault(between, format!("label {} must not occur in ON and GROUP clause at once", quote(label)));
            }
        }
        for (side, value_type) in [&binary.left, &binary.right].into_iter().zip(types) {
            if !matches!(value_type, ValueType::Scalar | ValueType::InstantVector) {
                self.fault(side.place, "binary expression must contain only scalar and instant vector types");
            }
        }
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if types != [ValueType::InstantVector; 2] {
            if !matching.labels.is_empty() {
                self.fault(place, "vector matching only allowed between instant vectors");
            }
            if fills {
                self.fault(place, "filling in missing series only allowed between instant vectors");
            }
            binary.matching = None;
        } else if op.is_set() {
            let symbol = op.symbol();
            if matching.cardinality != Cardinality::ManyToMany {
                self.fault(place, format!("no grouping allowed for \"{symbol}\" operation"));
                self.fault(place, "set operations must always be many-to-many");
            }
            if fills {
                self.fault(place, "filling in missing series not allowed for set operators");
            }
        }
    }

    /// Returns the place of an operator with its modifiers: what lies between the sides, blanks cut off.
    fn between(&self, start: u32, end: u32) -> Place {
        let gap = self.text.get(start as usize..end as usize).unwrap_or("");
        let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
        let from = start + (gap.len() - gap.trim_start_matches(blank).len()) as u32;
        let to = end - (gap.len() - gap.trim_end_matches(blank).len()) as u32;
        Place { start: from, end: to.max(from) }
    }
}
