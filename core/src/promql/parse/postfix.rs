//! What stands behind an operand: ranges, `offset`, `@`, `anchored` and `smoothed`.

use super::{Node, Outcome, Parser};
use crate::promql::ast::{At, DurationExpr, Edges, Expr, ExprKind, MatrixSelector, Place, Subquery, VectorSelector};
use crate::promql::lex::{Keyword, Kind};
use crate::time::{Span, Timestamp};

const LENGTH: &str = "number, duration, step(), or range()";
const RANGES_ONLY: &str = "ranges only allowed for vector selectors";
const PRECEDED: &str = "modifier must be preceded by an instant vector selector or range vector selector or a subquery";

/// The modifiers of a selector or subquery.
struct Slots<'a> {
    offset: &'a mut Option<DurationExpr>,
    at: &'a mut Option<At>,
    edges: Option<&'a mut Option<Edges>>,
}

fn slots(expr: &mut Expr) -> Option<Slots<'_>> {
    match &mut expr.kind {
        ExprKind::Vector(vector) | ExprKind::Matrix(MatrixSelector { vector, .. }) => {
            Some(Slots { offset: &mut vector.offset, at: &mut vector.at, edges: Some(&mut vector.edges) })
        }
        ExprKind::Subquery(subquery) => Some(Slots { offset: &mut subquery.offset, at: &mut subquery.at, edges: None }),
        _ => None,
    }
}

impl Parser<'_> {
    pub(super) fn operand_with_modifiers(&mut self) -> Outcome<Node> {
        let mut node = self.operand()?;
        // Set once a range was put on something that cannot have one; what follows it is then moot.
        let mut moot = false;
        loop {
            match self.kind() {
                Kind::LeftBracket => node = self.range_or_subquery(node, &mut moot)?,
                Kind::Keyword(Keyword::Offset) => self.offset(&mut node.expr, moot)?,
                Kind::At => self.at_modifier(&mut node.expr, moot)?,
                Kind::Keyword(word @ (Keyword::Anchored | Keyword::Smoothed)) => {
                    self.advance();
                    self.edges(&mut node.expr, word, moot);
                }
                _ => return Ok(node),
            }
            node.expr.place.end = self.last_end();
        }
    }

    fn range_or_subquery(&mut self, node: Node, moot: &mut bool) -> Outcome<Node> {
        let bracket = self.advance().place;
        let range = self.within("subquery or range selector", LENGTH, Self::range_duration)?;
        match self.kind() {
            Kind::RightBracket => {
                let end = self.advance().place.end;
                self.matrix(node, range, Place { start: bracket.start, end }, moot)
            }
            Kind::Colon => {
                self.advance();
                let step = self.subquery_step()?;
                *moot = false;
                let place = Place { start: node.expr.place.start, end: self.last_end() };
                let subquery = Subquery { expr: node.expr, range, step, offset: None, at: None };
                self.node(ExprKind::Subquery(Box::new(subquery)), place, node.height + 1)
            }
            _ => Err(self.unexpected_in("subquery or range", "\":\" or \"]\"")),
        }
    }

    fn subquery_step(&mut self) -> Outcome<Option<DurationExpr>> {
        if self.accept(Kind::RightBracket).is_some() {
            return Ok(None);
        }
        const STEP: &str = "number, duration, step(), range(), or \"]\"";
        let step = self.within("subquery selector", STEP, Self::range_duration)?;
        if self.accept(Kind::RightBracket).is_none() {
            return Err(self.unexpected_in("subquery selector", "\"]\""));
        }
        Ok(Some(step))
    }

    fn matrix(&mut self, node: Node, range: DurationExpr, brackets: Place, moot: &mut bool) -> Outcome<Node> {
        let place = Place { start: node.expr.place.start, end: brackets.end };
        let vector = match node.expr.kind {
            ExprKind::Vector(vector) => {
                if vector.offset.is_some() {
                    self.fault(brackets, "no offset modifiers allowed before range");
                } else if vector.at.is_some() {
                    self.fault(brackets, "no @ modifiers allowed before range");
                }
                vector
            }
            _ => {
                self.fault(brackets, RANGES_ONLY);
                *moot = true;
                VectorSelector { name: None, matchers: Vec::new(), offset: None, at: None, edges: None }
            }
        };
        self.node(ExprKind::Matrix(MatrixSelector { vector, range }), place, node.height + 1)
    }

    fn offset(&mut self, expr: &mut Expr, moot: bool) -> Outcome<()> {
        self.advance();
        let length = self.within("offset", LENGTH, Self::offset_duration)?;
        if moot {
            self.fault(expr.place, RANGES_ONLY);
            return Ok(());
        }
        let Some(slots) = slots(expr) else {
            self.fault(expr.place, format!("offset {PRECEDED}"));
            return Ok(());
        };
        if slots.offset.is_some() {
            self.fault(expr.place, "offset may not be set multiple times");
        } else if length != DurationExpr::Literal(Span::ZERO) {
            *slots.offset = Some(length);
        }
        Ok(())
    }

    fn at_modifier(&mut self, expr: &mut Expr, moot: bool) -> Outcome<()> {
        self.advance();
        let at = self.within("@", "timestamp", Self::at_value)?;
        let at = match at {
            AtValue::Word(at) => at,
            AtValue::Seconds(seconds) => match Timestamp::from_seconds(seconds) {
                Some(instant) => At::Instant(instant),
                None => {
                    let shown = shown_seconds(seconds);
                    self.fault(expr.place, format!("timestamp out of bounds for @ modifier: {shown}"));
                    return Ok(());
                }
            },
        };
        if moot {
            self.fault(expr.place, RANGES_ONLY);
            return Ok(());
        }
        let Some(slots) = slots(expr) else {
            self.fault(expr.place, format!("@ {PRECEDED}"));
            return Ok(());
        };
        if slots.at.is_some() {
            self.fault(expr.place, "@ <timestamp> may not be set multiple times");
        } else {
            *slots.at = Some(at);
        }
        Ok(())
    }

    fn at_value(&mut self) -> Outcome<AtValue> {
        let word = match self.kind() {
            Kind::Keyword(Keyword::Start) => At::Start,
            Kind::Keyword(Keyword::End) => At::End,
            _ => return Ok(AtValue::Seconds(self.signed_number()?)),
        };
        self.advance();
        self.expect(Kind::LeftParen)?;
        self.expect(Kind::RightParen)?;
        Ok(AtValue::Word(word))
    }

    fn edges(&mut self, expr: &mut Expr, word: Keyword, moot: bool) {
        let (name, edges) = if word == Keyword::Anchored { ("anchored", Edges::Anchored) } else { ("smoothed", Edges::Smoothed) };
        if !self.options.extended_range_selectors {
            self.fault(expr.place, format!("{name} modifier is experimental and not enabled"));
            return;
        }
        if moot {
            return;
        }
        match slots(expr) {
            Some(Slots { edges: Some(slot), .. }) => {
                if slot.replace(edges).is_some_and(|before| before != edges) {
                    self.fault(expr.place, "anchored and smoothed modifiers cannot be used together");
                }
            }
            Some(Slots { edges: None, .. }) => {
                self.fault(expr.place, format!("{name} modifier is not supported for subqueries"));
            }
            None => {
                let needed = "an instant vector selector or range vector selector";
                self.fault(expr.place, format!("{name} modifier must be preceded by {needed}"));
            }
        }
    }
}

enum AtValue {
    Word(At),
    Seconds(f64),
}

/// Writes seconds as Go's `%f` does.
fn shown_seconds(seconds: f64) -> String {
    match seconds {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ if seconds.is_nan() => "NaN".to_owned(),
        _ => format!("{seconds:.6}"),
    }
}
