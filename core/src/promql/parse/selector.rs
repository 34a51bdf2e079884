//! Selectors of series, and the labels of one series.

use super::{Broken, Node, Outcome, Parser};
use crate::model::{LabelBuilder, LabelSet, METRIC_NAME, MatchOp, Matcher};
use crate::promql::ast::{BinaryOp, ExprKind, Place, VectorSelector};
use crate::promql::lex::Kind;

const WITHIN: &str = "label matching";
const WITHIN_SET: &str = "label set";

fn match_op(kind: Kind) -> Option<MatchOp> {
    match kind {
        Kind::Assign => Some(MatchOp::Equal),
        Kind::Op(BinaryOp::NotEqual) => Some(MatchOp::NotEqual),
        Kind::RegexEqual => Some(MatchOp::Regex),
        Kind::RegexNotEqual => Some(MatchOp::NotRegex),
        _ => None,
    }
}

impl Parser<'_> {
    pub(super) fn selector(&mut self) -> Outcome<Node> {
        let start = self.token().place.start;
        let (name, matchers) = self.name_and_matchers()?;
        let vector = VectorSelector { name, matchers, offset: None, at: None, edges: None };
        self.node(ExprKind::Vector(vector), Place { start, end: self.last_end() }, 1)
    }

    pub(super) fn bare_selector(&mut self) -> Outcome<Vec<Matcher>> {
        Ok(self.name_and_matchers()?.1)
    }

    fn name_and_matchers(&mut self) -> Outcome<(Option<String>, Vec<Matcher>)> {
        let name = Self::is_metric_name(self.kind()).then(|| {
            let token = self.advance();
            self.slice(token).to_owned()
        });
        let mut matchers = Vec::new();
        if self.kind() == Kind::LeftBrace {
            self.advance();
            matchers = self.matchers()?;
        } else if name.is_none() {
            return Err(self.unexpected());
        }
        if let Some(name) = &name {
            matchers.push(Matcher::equal(METRIC_NAME, name.clone()));
        }
        Ok((name, matchers))
    }

    fn matchers(&mut self) -> Outcome<Vec<Matcher>> {
        let mut matchers = Vec::new();
        if self.accept(Kind::RightBrace).is_some() {
            return Ok(matchers);
        }
        loop {
            match self.matcher() {
                Ok(matcher) => matchers.extend(matcher),
                Err(Broken) => self.skip_to_next_label()?,
            }
            let comma = self.accept(Kind::Comma).is_some();
            if self.accept(Kind::RightBrace).is_some() {
                return Ok(matchers);
            }
            if !comma {
                self.unexpected_in(WITHIN, "\",\" or \"}\"");
                self.skip_to_next_label()?;
                if self.accept(Kind::RightBrace).is_some() {
                    return Ok(matchers);
                }
                self.expect(Kind::Comma)?;
            }
        }
    }

    /// Moves to the comma or brace that ends a broken condition, so that faults behind it are found as well.
    fn skip_to_next_label(&mut self) -> Outcome<()> {
        loop {
            match self.kind() {
                Kind::Comma | Kind::RightBrace => return Ok(()),
                Kind::End | Kind::Fault => {
                    self.unexpected_in(WITHIN, "");
                    return Err(Broken);
                }
                _ => self.advance(),
            };
        }
    }

    /// Reads one condition; `None` when its fault is noted and reading can go on.
    fn matcher(&mut self) -> Outcome<Option<Matcher>> {
        let label = self.token();
        let name = match label.kind {
            Kind::Name => self.slice(label).to_owned(),
            Kind::Text => self.unquoted(label),
            _ => return Err(self.unexpected_in(WITHIN, "identifier or \"}\"")),
        };
        self.advance();
        let Some(op) = match_op(self.kind()) else {
            if label.kind == Kind::Text {
                return Ok(Some(Matcher::equal(METRIC_NAME, name)));
            }
            return Err(self.unexpected_in(WITHIN, "label matching operator"));
        };
        self.advance();
        let value = self.token();
        if value.kind != Kind::Text {
            return Err(self.unexpected_in(WITHIN, "string"));
        }
        self.advance();
        match Matcher::new(name, op, self.unquoted(value)) {
            Ok(matcher) => Ok(Some(matcher)),
            Err(error) => {
                self.fault(Place { start: label.place.start, end: value.place.end }, error.to_string());
                Ok(None)
            }
        }
    }

    pub(super) fn metric(&mut self) -> Outcome<LabelSet> {
        let name = Self::is_metric_name(self.kind()).then(|| self.advance());
        let mut labels = LabelBuilder::default();
        if self.accept(Kind::LeftBrace).is_some() {
            self.label_set(&mut labels)?;
        } else if name.is_none() && self.kind() != Kind::End {
            return Err(self.unexpected());
        }
        if let Some(name) = name {
            labels.set(METRIC_NAME, self.slice(name));
        }
        Ok(labels.build())
    }

    fn label_set(&mut self, labels: &mut LabelBuilder) -> Outcome<()> {
        if self.accept(Kind::RightBrace).is_some() {
            return Ok(());
        }
        loop {
            self.label(labels)?;
            let comma = self.accept(Kind::Comma).is_some();
            if self.accept(Kind::RightBrace).is_some() {
                return Ok(());
            }
            if !comma {
                return Err(self.unexpected_in(WITHIN_SET, "\",\" or \"}\""));
            }
        }
    }

    fn label(&mut self, labels: &mut LabelBuilder) -> Outcome<()> {
        let label = self.token();
        let name = match label.kind {
            Kind::Name => self.slice(label).to_owned(),
            Kind::Text => self.unquoted(label),
            _ => return Err(self.unexpected_in(WITHIN_SET, "identifier or \"}\"")),
        };
        self.advance();
        if self.accept(Kind::Assign).is_none() {
            if label.kind == Kind::Text {
                labels.set(METRIC_NAME, &name);
                return Ok(());
            }
            return Err(self.unexpected_in(WITHIN_SET, "\"=\""));
        }
        let value = self.token();
        if value.kind != Kind::Text {
            return Err(self.unexpected_in(WITHIN_SET, "string"));
        }
        self.advance();
        labels.set(&name, &self.unquoted(value));
        Ok(())
    }
}
