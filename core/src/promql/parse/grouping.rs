//! Lists of labels in parentheses, and names in quotes.

use super::{Outcome, Parser};
use crate::promql::ast::BinaryOp;
use crate::promql::lex::quoted::{quote_bytes, unquote, unquote_bytes};
use crate::promql::lex::{Keyword, Kind, Token};

const WITHIN: &str = "grouping opts";

impl Parser<'_> {
    /// Reads `(a, "b.c", d)`; a comma may stand behind the last label.
    pub(super) fn grouping(&mut self) -> Outcome<Vec<String>> {
        if self.accept(Kind::LeftParen).is_none() {
            return Err(self.unexpected_in(WITHIN, "\"(\""));
        }
        let mut labels = Vec::new();
        if self.accept(Kind::RightParen).is_some() {
            return Ok(labels);
        }
        loop {
            labels.push(self.grouping_label()?);
            let comma = self.accept(Kind::Comma).is_some();
            if self.accept(Kind::RightParen).is_some() {
                return Ok(labels);
            }
            if !comma {
                return Err(self.unexpected_in(WITHIN, "\",\" or \")\""));
            }
        }
    }

    fn grouping_label(&mut self) -> Outcome<String> {
        let token = self.token();
        match token.kind {
            Kind::Text => {
                self.advance();
                let name = unquote_bytes(self.slice(token));
                if name.is_empty() || std::str::from_utf8(&name).is_err() {
                    self.fault(token.place, format!("invalid label name for grouping: {}", quote_bytes(&name)));
                }
                Ok(self.unquoted(token))
            }
            kind if Self::is_label_name(kind) => {
                self.advance();
                Ok(self.slice(token).to_owned())
            }
            _ => Err(self.unexpected_in(WITHIN, "label")),
        }
    }

    pub(super) fn unquoted(&self, token: Token) -> String {
        unquote(self.slice(token))
    }

    /// Returns whether a word may name a label in a list, its meaning as a keyword aside.
    fn is_label_name(kind: Kind) -> bool {
        match kind {
            Kind::Name | Kind::Aggregate(_) => true,
            Kind::Op(op) => matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::Atan2),
            Kind::Keyword(word) => word != Keyword::Without,
            _ => false,
        }
    }

    /// Returns whether a word may name a metric, its meaning as a keyword aside.
    pub(super) fn is_metric_name(kind: Kind) -> bool {
        match kind {
            Kind::Name | Kind::MetricName | Kind::Aggregate(_) => true,
            Kind::Op(op) => matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless),
            Kind::Keyword(word) => {
                !matches!(word, Keyword::Bool | Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight)
            }
            _ => false,
        }
    }
}
