//! Operators, parentheses and calls.

use super::literal::Literal;
use super::{HEIGHT_MAX, Node, Outcome, Parser};
use crate::promql::ast::{Binary, BinaryOp, Call, Cardinality, Expr, ExprKind, Matching, Place};
use crate::promql::lex::{Keyword, Kind, Token};
use crate::promql::signature::{self, Function};

/// How tightly an operator binds; higher is tighter.
fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Less
        | BinaryOp::LessOrEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterOrEqual
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
        BinaryOp::Pow => POWER,
    }
}

const LOWEST: u8 = 1;
const POWER: u8 = 6;

/// Returns how tightly the operands on the right of an operator must bind: `^` alone takes its own kind there.
fn right_precedence(op: BinaryOp) -> u8 {
    if op == BinaryOp::Pow { POWER } else { precedence(op) + 1 }
}

struct Modifiers {
    returns_bool: bool,
    matching: Matching,
}

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Outcome<Node> {
        self.operators(LOWEST)
    }

    /// Reads operands joined by operators that bind at least as tightly as `floor`.
    fn operators(&mut self, floor: u8) -> Outcome<Node> {
        self.nested(|parser| {
            let mut left = parser.signed()?;
            while let Kind::Op(op) = parser.kind()
                && precedence(op) >= floor
            {
                parser.advance();
                let modifiers = parser.modifiers()?;
                let right = parser.operators(right_precedence(op))?;
                left = parser.join(op, modifiers, left, right)?;
            }
            Ok(left)
        })
    }

    fn join(&mut self, op: BinaryOp, modifiers: Modifiers, left: Node, right: Node) -> Outcome<Node> {
        let Modifiers { returns_bool, matching } = modifiers;
        let place = Place { start: left.expr.place.start, end: right.expr.place.end };
        if !self.options.fill_modifiers && (matching.fill_left.is_some() || matching.fill_right.is_some()) {
            self.fault(place, "binop fill modifiers are experimental and not enabled");
        }
        let height = left.height.max(right.height) + 1;
        let binary = Binary { op, left: left.expr, right: right.expr, returns_bool, matching: Some(matching) };
        self.node(ExprKind::Binary(Box::new(binary)), place, height)
    }

    /// Returns a node, unless the tree would become too high.
    pub(super) fn node(&mut self, kind: ExprKind, place: Place, height: u32) -> Outcome<Node> {
        if height > HEIGHT_MAX {
            self.fault(place, format!("expression has more than {HEIGHT_MAX} operators or levels on one path"));
            return Err(super::Broken);
        }
        Ok(Node { expr: Expr { kind, place }, height })
    }

    /// Reads an operand with its signs. A sign binds below `^` and above every other operator.
    fn signed(&mut self) -> Outcome<Node> {
        let Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.kind() else {
            return self.operand_with_modifiers();
        };
        let negative = op == BinaryOp::Sub;
        let start = self.advance().place.start;
        let operand = self.operators(POWER)?;
        let place = Place { start, end: operand.expr.place.end };
        let kind = match operand.expr.kind {
            ExprKind::Number(value) => ExprKind::Number(if negative { -value } else { value }),
            ExprKind::DurationNumber(value) => ExprKind::DurationNumber(if negative { -value } else { value }),
            _ => ExprKind::Unary { negative, operand: Box::new(operand.expr) },
        };
        self.node(kind, place, operand.height + 1)
    }

    /// Reads what may stand between an operator and its right side.
    fn modifiers(&mut self) -> Outcome<Modifiers> {
        let returns_bool = self.accept(Kind::Keyword(Keyword::Bool)).is_some();
        let mut matching = Matching::default();
        if let Kind::Keyword(word @ (Keyword::On | Keyword::Ignoring)) = self.kind() {
            self.advance();
            matching.on = word == Keyword::On;
            matching.labels = self.grouping()?;
            if let Kind::Keyword(side @ (Keyword::GroupLeft | Keyword::GroupRight)) = self.kind() {
                self.advance();
                matching.cardinality = if side == Keyword::GroupLeft { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                if self.kind() == Kind::LeftParen {
                    matching.include = self.grouping()?;
                }
            }
        }
        self.fill_modifiers(&mut matching)?;
        Ok(Modifiers { returns_bool, matching })
    }

    fn fill_modifiers(&mut self, matching: &mut Matching) -> Outcome<()> {
        if self.accept(Kind::Keyword(Keyword::Fill)).is_some() {
            let value = self.fill_value()?;
            (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
            return Ok(());
        }
        for _ in 0..2 {
            match self.kind() {
                Kind::Keyword(Keyword::FillLeft) if matching.fill_left.is_none() => {
                    self.advance();
                    matching.fill_left = Some(self.fill_value()?);
                }
                Kind::Keyword(Keyword::FillRight) if matching.fill_right.is_none() => {
                    self.advance();
                    matching.fill_right = Some(self.fill_value()?);
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Outcome<f64> {
        self.expect(Kind::LeftParen)?;
        let value = self.signed_number()?;
        self.expect(Kind::RightParen)?;
        Ok(value)
    }

    /// Reads a number or duration with at most one sign.
    pub(super) fn signed_number(&mut self) -> Outcome<f64> {
        let negative = match self.kind() {
            Kind::Op(BinaryOp::Sub) => true,
            Kind::Op(BinaryOp::Add) => false,
            _ => return Ok(self.literal()?.0.value()),
        };
        self.advance();
        let value = self.literal()?.0.value();
        Ok(if negative { -value } else { value })
    }

    /// Reads an operand without its modifiers.
    pub(super) fn operand(&mut self) -> Outcome<Node> {
        let token = self.token();
        match token.kind {
            Kind::Number | Kind::Duration => {
                let (literal, place) = self.literal()?;
                let kind = match literal {
                    Literal::Number(value) => ExprKind::Number(value),
                    Literal::Duration(span) => ExprKind::DurationNumber(span.seconds()),
                };
                self.node(kind, place, 1)
            }
            Kind::Text => {
                self.advance();
                self.node(ExprKind::Text(self.unquoted(token)), token.place, 1)
            }
            Kind::LeftParen => {
                self.advance();
                let inner = self.expression()?;
                let end = self.expect(Kind::RightParen)?.place.end;
                let place = Place { start: token.place.start, end };
                self.node(ExprKind::Paren(Box::new(inner.expr)), place, inner.height + 1)
            }
            Kind::Name if self.next_kind() == Kind::LeftParen => self.call(),
            Kind::Keyword(Keyword::Start | Keyword::End | Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf)
                if self.next_kind() == Kind::LeftParen =>
            {
                self.call()
            }
            Kind::Aggregate(op)
                if matches!(self.next_kind(), Kind::LeftParen | Kind::Keyword(Keyword::By) | Kind::Keyword(Keyword::Without)) =>
            {
                self.aggregate(op)
            }
            Kind::LeftBrace => self.selector(),
            kind if Self::is_metric_name(kind) => self.selector(),
            _ => Err(self.unexpected()),
        }
    }

    fn call(&mut self) -> Outcome<Node> {
        let name = self.advance();
        let function = self.function(name);
        let args = self.arguments()?;
        let place = Place { start: name.place.start, end: self.last_end() };
        let height = args.iter().map(|arg| arg.height).max().unwrap_or(0) + 1;
        let args = args.into_iter().map(|arg| arg.expr).collect();
        match function {
            Some(function) => self.node(ExprKind::Call(Call { function, args }), place, height),
            // The fault is noted, so this tree is never seen.
            None => self.node(ExprKind::Number(0.0), place, 1),
        }
    }

    fn function(&mut self, name: Token) -> Option<&'static Function> {
        let word = self.slice(name);
        let function = match name.kind {
            Kind::Keyword(_) => signature::lookup(&word.to_ascii_lowercase()),
            _ => signature::lookup(word),
        };
        match function {
            None => self.fault(name.place, format!("unknown function with name \"{word}\"")),
            Some(function) if function.experimental && !self.options.experimental_functions => {
                self.fault(name.place, format!("function \"{word}\" is not enabled"));
            }
            Some(_) => {}
        }
        function
    }

    /// Reads arguments in parentheses, separated by commas.
    pub(super) fn arguments(&mut self) -> Outcome<Vec<Node>> {
        self.expect(Kind::LeftParen)?;
        let mut args = Vec::new();
        if self.accept(Kind::RightParen).is_some() {
            return Ok(args);
        }
        args.push(self.expression()?);
        while let Some(comma) = self.accept(Kind::Comma) {
            if matches!(self.kind(), Kind::Comma | Kind::RightParen) {
                self.fault(comma.place, "trailing commas not allowed in function call args");
            } else {
                args.push(self.expression()?);
            }
        }
        self.expect(Kind::RightParen)?;
        Ok(args)
    }
}
