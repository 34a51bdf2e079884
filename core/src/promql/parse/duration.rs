//! Lengths of time: in brackets and behind `offset`.

use super::literal::Literal;
use super::{Outcome, Parser};
use crate::promql::ast::{BinaryOp, DurationExpr, DurationOp, Place};
use crate::promql::lex::{Keyword, Kind};
use crate::time::Span;

/// Go's `time.Duration` ends here.
const SECONDS_MAX: f64 = 9_223_372_036.854_776;

const LOWEST: u8 = 1;
const POWER: u8 = 3;

fn operator(kind: Kind) -> Option<(DurationOp, u8)> {
    let Kind::Op(op) = kind else { return None };
    Some(match op {
        BinaryOp::Add => (DurationOp::Add, 1),
        BinaryOp::Sub => (DurationOp::Sub, 1),
        BinaryOp::Mul => (DurationOp::Mul, 2),
        BinaryOp::Div => (DurationOp::Div, 2),
        BinaryOp::Mod => (DurationOp::Mod, 2),
        BinaryOp::Pow => (DurationOp::Pow, POWER),
        _ => return None,
    })
}

fn from_literal(literal: Literal) -> DurationExpr {
    match literal {
        Literal::Number(value) => DurationExpr::Number(value),
        Literal::Duration(span) => DurationExpr::Literal(span),
    }
}

/// Returns the value of a literal in seconds.
fn literal_seconds(expr: &DurationExpr) -> Option<f64> {
    match expr {
        DurationExpr::Number(value) => Some(*value),
        DurationExpr::Literal(span) => Some(span.seconds()),
        _ => None,
    }
}

/// Turns a lone number into a length of time.
fn settled(expr: DurationExpr) -> DurationExpr {
    match expr {
        DurationExpr::Number(value) => DurationExpr::Literal(Span((value * 1000.0).round() as i64)),
        other => other,
    }
}

/// An expression and its place.
struct Piece {
    expr: DurationExpr,
    place: Place,
}

impl Parser<'_> {
    /// Reads the length of a range or a step.
    pub(super) fn range_duration(&mut self) -> Outcome<DurationExpr> {
        let piece = self.duration_operators(LOWEST)?;
        let expr = settled(piece.expr);
        if matches!(expr, DurationExpr::Literal(span) if span.0 <= 0) {
            self.fault(piece.place, "duration must be greater than 0");
        }
        Ok(expr)
    }

    /// Reads the length behind `offset`: the first literal, call or signed parenthesis ends it, so that
    /// `x offset 5m + 1` adds to `x`; behind a bare parenthesis arithmetic goes on.
    pub(super) fn offset_duration(&mut self) -> Outcome<DurationExpr> {
        let sign = match self.kind() {
            Kind::Op(BinaryOp::Add | BinaryOp::Sub) => Some(self.advance()),
            _ => None,
        };
        let piece = match sign {
            Some(sign) => {
                let operand = self.duration_operand()?;
                self.apply_sign(sign.kind == Kind::Op(BinaryOp::Sub), sign.place, operand)
            }
            None if self.kind() == Kind::LeftParen => {
                let operand = self.duration_operand()?;
                self.duration_operators_behind(operand, LOWEST)?
            }
            None => self.duration_operand()?,
        };
        Ok(settled(piece.expr))
    }

    fn duration_operators(&mut self, floor: u8) -> Outcome<Piece> {
        self.nested(|parser| {
            let left = match parser.kind() {
                Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                    let sign = parser.advance().place;
                    let operand = parser.duration_operators(POWER)?;
                    parser.apply_sign(op == BinaryOp::Sub, sign, operand)
                }
                _ => parser.duration_operand()?,
            };
            parser.duration_operators_behind(left, floor)
        })
    }

    fn duration_operators_behind(&mut self, mut left: Piece, floor: u8) -> Outcome<Piece> {
        let mut joined = 0;
        while let Some((op, precedence)) = operator(self.kind()).filter(|(_, precedence)| *precedence >= floor) {
            joined += 1;
            if joined > super::NESTING_MAX {
                self.fault(left.place, format!("duration has more than {} operators", super::NESTING_MAX));
                return Err(super::Broken);
            }
            let sign = self.advance().place;
            let right = self.duration_operators(if op == DurationOp::Pow { POWER } else { precedence + 1 })?;
            self.gate(left.place);
            let place = Place { start: left.place.start, end: right.place.end };
            let by_zero = literal_seconds(&right.expr) == Some(0.0);
            let expr = match op {
                DurationOp::Div if by_zero => {
                    self.fault(sign, "division by zero");
                    DurationExpr::Number(0.0)
                }
                DurationOp::Mod if by_zero => {
                    self.fault(sign, "modulo by zero");
                    DurationExpr::Number(0.0)
                }
                op => DurationExpr::Binary { op, left: Box::new(left.expr), right: Box::new(right.expr) },
            };
            left = Piece { expr, place };
        }
        Ok(left)
    }

    fn gate(&mut self, place: Place) {
        if !self.options.duration_expressions {
            self.fault(place, "experimental duration expression is not enabled");
        }
    }

    fn apply_sign(&mut self, negative: bool, sign: Place, operand: Piece) -> Piece {
        let place = Place { start: sign.start, end: operand.place.end };
        let expr = match operand.expr {
            DurationExpr::Number(value) => DurationExpr::Number(if negative { -value } else { value }),
            DurationExpr::Literal(span) => DurationExpr::Literal(if negative { Span(-span.0) } else { span }),
            inner if negative => DurationExpr::Negate(Box::new(inner)),
            inner => DurationExpr::Plus(Box::new(inner)),
        };
        Piece { expr, place }
    }

    fn duration_operand(&mut self) -> Outcome<Piece> {
        let first = self.token();
        let expr = match first.kind {
            Kind::Number | Kind::Duration => {
                let (mut literal, place) = self.literal()?;
                if literal.value().is_nan() || literal.value().abs() > SECONDS_MAX {
                    self.fault(place, "duration out of range");
                    literal = Literal::Number(0.0);
                }
                return Ok(Piece { expr: from_literal(literal), place });
            }
            Kind::Keyword(word @ (Keyword::Step | Keyword::Range)) => {
                self.advance();
                self.expect(Kind::LeftParen)?;
                self.expect(Kind::RightParen)?;
                if word == Keyword::Step { DurationExpr::Step } else { DurationExpr::Range }
            }
            Kind::Keyword(word @ (Keyword::MinOf | Keyword::MaxOf)) => {
                self.advance();
                self.expect(Kind::LeftParen)?;
                let left = Box::new(self.duration_operators(LOWEST)?.expr);
                self.expect(Kind::Comma)?;
                let right = Box::new(self.duration_operators(LOWEST)?.expr);
                self.expect(Kind::RightParen)?;
                let op = if word == Keyword::MinOf { DurationOp::Min } else { DurationOp::Max };
                DurationExpr::Binary { op, left, right }
            }
            Kind::LeftParen => {
                self.advance();
                let inner = self.duration_operators(LOWEST)?;
                self.expect(Kind::RightParen)?;
                DurationExpr::Paren(Box::new(inner.expr))
            }
            _ => return Err(self.unexpected()),
        };
        let place = Place { start: first.place.start, end: self.last_end() };
        self.gate(place);
        Ok(Piece { expr, place })
    }
}
