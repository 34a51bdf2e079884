//! Tokens → syntax tree.
//!
//! The grammar, and the words of the faults, follow Prometheus `promql/parser/generated_parser.y` and `parse.go`.

use super::ast::{Expr, Place};
use super::check::check;
use super::fault::push_fault;
use super::lex::{Keyword, Kind, Token, lex};
use crate::model::labels::quote;
use crate::model::{LabelSet, Matcher};

mod aggregate;
mod duration;
mod expression;
mod grouping;
mod literal;
mod postfix;
mod selector;

pub use super::fault::{FAULTS_MAX, ParseError};
pub(super) use literal::number;

/// Texts longer than this many bytes are refused.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// Expressions that open more than this many parentheses, calls and signs inside one another are refused.
pub const NESTING_MAX: u32 = 150;
/// Trees higher than this are refused, so that whoever walks a tree by recursion has enough stack.
///
/// A chain such as `a + b + c + …` is as high as it has operators.
pub const HEIGHT_MAX: u32 = 600;

/// Which parts of the language are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syntax {
    /// Functions and aggregations that Prometheus calls experimental.
    pub experimental_functions: bool,
    /// Arithmetic where a length of time is expected: `[5m + step()]`.
    pub duration_expressions: bool,
    /// `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left` and `fill_right`.
    pub fill_modifiers: bool,
}

impl Syntax {
    /// Returns the syntax with every part open.
    pub fn everything() -> Syntax {
        Syntax { experimental_functions: true, duration_expressions: true, extended_range_selectors: true, fill_modifiers: true }
    }
}

/// Returns the tree of an expression, its types checked.
///
/// Errors: every fault that one pass can find, in the order it meets them; types are checked once the syntax is sound.
pub fn parse(text: &str, options: &Syntax) -> Result<Expr, Vec<ParseError>> {
    let mut parser = Parser::new(text, *options)?;
    if parser.kind() == Kind::End {
        return Err(vec![ParseError { place: Place::default(), message: "no expression found in input".to_owned() }]);
    }
    let tree = parser.whole(Parser::expression_from_start);
    let mut expr = parser.finish(tree)?;
    let faults = check(&mut expr, text);
    if faults.is_empty() { Ok(expr) } else { Err(faults) }
}

/// Returns the conditions of a selector without range or modifiers, such as `up{job="api"}`.
///
/// Selectors that match every series pass: whether they may is for the caller to say.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, Vec<ParseError>> {
    let mut parser = Parser::new(text, Syntax::everything())?;
    let matchers = parser.whole(Parser::bare_selector);
    parser.finish(matchers)
}

/// Returns the labels of a series as the tests of rules write them, such as `up{job="api"}`.
pub fn parse_metric(text: &str) -> Result<LabelSet, Vec<ParseError>> {
    let mut parser = Parser::new(text, Syntax::everything())?;
    let labels = parser.whole(Parser::metric);
    parser.finish(labels)
}

/// What is being read when a token does not fit, and what would.
#[derive(Clone, Copy)]
struct Context {
    within: &'static str,
    expected: &'static str,
    /// Where an aggregation began, when that is what is being read.
    aggregation: Option<u32>,
}

/// The syntax is broken and the fault is noted; nothing behind this place can be read.
struct Broken;

type Outcome<T> = Result<T, Broken>;

/// A subtree and its height.
struct Node {
    expr: Expr,
    height: u32,
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    token_fault: Option<String>,
    at: usize,
    options: Syntax,
    contexts: Vec<Context>,
    faults: Vec<ParseError>,
    nesting: u32,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, options: Syntax) -> Result<Parser<'a>, Vec<ParseError>> {
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("the expression has {} bytes; at most {TEXT_BYTES_MAX} are allowed", text.len());
            return Err(vec![ParseError { place: Place::default(), message }]);
        }
        let tokens = lex(text);
        Ok(Parser {
            text,
            tokens: tokens.list,
            token_fault: tokens.fault,
            at: 0,
            options,
            contexts: Vec::new(),
            faults: Vec::new(),
            nesting: 0,
        })
    }

    /// Reads with `rule` and then insists on the end of the text.
    fn whole<T>(&mut self, rule: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        let value = rule(self)?;
        if self.kind() == Kind::End { Ok(value) } else { Err(self.unexpected()) }
    }

    fn finish<T>(self, outcome: Outcome<T>) -> Result<T, Vec<ParseError>> {
        match outcome {
            Ok(value) if self.faults.is_empty() => Ok(value),
            _ => Err(self.faults),
        }
    }

    fn token(&self) -> Token {
        self.tokens[self.at]
    }

    fn kind(&self) -> Kind {
        self.token().kind
    }

    /// Returns the kind of the token behind the present one.
    fn next_kind(&self) -> Kind {
        self.tokens.get(self.at + 1).map_or(Kind::End, |token| token.kind)
    }

    /// Returns the present token and moves on; the last token stays present.
    fn advance(&mut self) -> Token {
        let token = self.token();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    fn accept(&mut self, kind: Kind) -> Option<Token> {
        (self.kind() == kind).then(|| self.advance())
    }

    fn expect(&mut self, kind: Kind) -> Outcome<Token> {
        match self.accept(kind) {
            Some(token) => Ok(token),
            None => Err(self.unexpected()),
        }
    }

    /// Returns where the token before the present one ends.
    fn last_end(&self) -> u32 {
        self.at.checked_sub(1).map_or(0, |before| self.tokens[before].place.end)
    }

    fn slice(&self, token: Token) -> &'a str {
        &self.text[token.place.start as usize..token.place.end as usize]
    }

    fn fault(&mut self, place: Place, message: impl Into<String>) {
        push_fault(&mut self.faults, place, message.into());
    }

    /// Reads with `rule`; a token that does not fit is reported as standing within `within`.
    fn within<T>(
        &mut self,
        within: &'static str,
        expected: &'static str,
        rule: impl FnOnce(&mut Self) -> Outcome<T>,
    ) -> Outcome<T> {
        self.contexts.push(Context { within, expected, aggregation: None });
        let outcome = rule(self);
        self.contexts.pop();
        outcome
    }

    /// Notes that the present token does not fit, in the words of the innermost context.
    fn unexpected(&mut self) -> Broken {
        let context = self.contexts.last().copied().unwrap_or(Context { within: "", expected: "", aggregation: None });
        self.unexpected_in(context.within, context.expected);
        if let Some(start) = context.aggregation {
            let place = Place { start, end: self.last_end() };
            self.fault(place, "no arguments for aggregate expression provided");
        }
        Broken
    }

    fn unexpected_in(&mut self, within: &str, expected: &str) -> Broken {
        let token = self.token();
        let message = match (token.kind, self.token_fault.take()) {
            (Kind::Fault, Some(fault)) => fault,
            // The fault of the text has been told already.
            (Kind::Fault, None) => return Broken,
            (_, fault) => {
                self.token_fault = fault;
                let mut message = format!("unexpected {}", self.describe(token));
                if !within.is_empty() {
                    message.push_str(&format!(" in {within}"));
                }
                if !expected.is_empty() {
                    message.push_str(&format!(", expected {expected}"));
                }
                message
            }
        };
        self.fault(token.place, message);
        Broken
    }

    fn describe(&self, token: Token) -> String {
        const SHOWN_MAX: usize = 10;
        let text = self.slice(token);
        let shown = || match text.char_indices().nth(SHOWN_MAX) {
            Some((cut, _)) if text.len() > SHOWN_MAX => format!("{}...", quote(&text[..cut])),
            _ => quote(text),
        };
        match token.kind {
            Kind::End => "end of input".to_owned(),
            Kind::Name => format!("identifier {}", quote(text)),
            Kind::MetricName => format!("metric identifier {}", quote(text)),
            Kind::Number => format!("number {}", shown()),
            Kind::Duration => format!("duration {}", shown()),
            Kind::Text => format!("string {}", shown()),
            Kind::Op(_) | Kind::At | Kind::RegexEqual | Kind::RegexNotEqual => format!("<op:{text}>"),
            Kind::Aggregate(_) => format!("<aggr:{text}>"),
            Kind::Keyword(Keyword::Start | Keyword::End | Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf) => {
                shown()
            }
            Kind::Keyword(_) => format!("<{text}>"),
            _ => shown(),
        }
    }

    /// Reads with `rule` one level deeper, unless that is too deep.
    fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.nesting >= NESTING_MAX {
            let place = self.token().place;
            self.fault(place, format!("expression is nested more than {NESTING_MAX} levels deep"));
            return Err(Broken);
        }
        self.nesting += 1;
        let outcome = rule(self);
        self.nesting -= 1;
        outcome
    }

    fn expression_from_start(&mut self) -> Outcome<Expr> {
        Ok(self.expression()?.expr)
    }
}
