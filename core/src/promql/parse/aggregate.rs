//! Aggregations: `sum by (job) (…)`.

use super::{Context, Node, Outcome, Parser};
use crate::promql::ast::{Aggregate, AggregateOp, Expr, ExprKind, Place};
use crate::promql::lex::quoted::{quote_bytes, unquote_bytes};
use crate::promql::lex::{Keyword, Kind};

#[derive(Default)]
struct Grouping {
    labels: Vec<String>,
    without: bool,
}

impl AggregateOp {
    /// Returns whether the aggregation takes a parameter before its vector.
    pub fn has_param(self) -> bool {
        matches!(
            self,
            AggregateOp::TopK
                | AggregateOp::BottomK
                | AggregateOp::CountValues
                | AggregateOp::Quantile
                | AggregateOp::LimitK
                | AggregateOp::LimitRatio
        )
    }

    fn is_experimental(self) -> bool {
        matches!(self, AggregateOp::LimitK | AggregateOp::LimitRatio)
    }
}

impl Parser<'_> {
    /// Reads an aggregation; the present token is its operator.
    pub(super) fn aggregate(&mut self, op: AggregateOp) -> Outcome<Node> {
        let start = self.advance().place.start;
        self.contexts.push(Context { within: "aggregation", expected: "", aggregation: Some(start) });
        let body = self.aggregate_body();
        self.contexts.pop();
        let (args, before) = body?;
        let closed_at = self.last_end();
        let grouping = match before {
            Some(grouping) => grouping,
            None => self.aggregate_modifier()?.unwrap_or_default(),
        };
        let place = Place { start, end: self.last_end().max(closed_at) };
        let height = args.iter().map(|arg| arg.height).max().unwrap_or(0) + 1;
        let Some((param, vector)) = self.aggregate_operands(op, args, place) else {
            // The fault is noted, so this tree is never seen.
            return self.node(ExprKind::Number(0.0), place, 1);
        };
        let aggregate = Aggregate {
            op,
            expr: vector.expr,
            param: param.map(|param| param.expr),
            grouping: grouping.labels,
            without: grouping.without,
        };
        self.node(ExprKind::Aggregate(Box::new(aggregate)), place, height)
    }

    fn aggregate_body(&mut self) -> Outcome<(Vec<Node>, Option<Grouping>)> {
        let grouping = self.aggregate_modifier()?;
        Ok((self.arguments()?, grouping))
    }

    fn aggregate_modifier(&mut self) -> Outcome<Option<Grouping>> {
        let Kind::Keyword(word @ (Keyword::By | Keyword::Without)) = self.kind() else { return Ok(None) };
        self.advance();
        Ok(Some(Grouping { labels: self.grouping()?, without: word == Keyword::Without }))
    }

    /// Tells parameter and vector apart; notes the fault and returns `None` when the count is wrong.
    fn aggregate_operands(&mut self, op: AggregateOp, mut args: Vec<Node>, place: Place) -> Option<(Option<Node>, Node)> {
        if args.is_empty() {
            self.fault(place, "no arguments for aggregate expression provided");
            return None;
        }
        if op.is_experimental() && !self.options.experimental_functions {
            let word = op.symbol();
            self.fault(
                place,
                format!("{word}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"),
            );
            return None;
        }
        let wanted = if op.has_param() { 2 } else { 1 };
        if args.len() != wanted {
            self.fault(
                place,
                format!("wrong number of arguments for aggregate expression provided, expected {wanted}, got {}", args.len()),
            );
            return None;
        }
        let vector = args.pop()?;
        let param = args.pop();
        if op == AggregateOp::CountValues
            && let Some(Node { expr: Expr { kind: ExprKind::Text(_), place }, .. }) = &param
        {
            self.check_label_name(*place);
        }
        Some((param, vector))
    }

    /// Notes a fault when the quoted text at `place` cannot name a label, which only its bytes can tell.
    fn check_label_name(&mut self, place: Place) {
        let name = unquote_bytes(&self.text[place.start as usize..place.end as usize]);
        if name.is_empty() || std::str::from_utf8(&name).is_err() {
            self.fault(place, format!("invalid label name {}", quote_bytes(&name)));
        }
    }
}
