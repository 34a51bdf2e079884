//! Text → tokens.
//!
//! The rules, and the words of the faults, follow Prometheus `promql/parser/lex.go`.

use super::ast::{AggregateOp, BinaryOp, Place};

mod number;
pub mod quoted;

use quoted::{quote_char, scan_quoted, scan_raw};

/// Words with a meaning of their own; most may serve as names where no meaning fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyword {
    Offset,
    Anchored,
    Smoothed,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Bool,
    Fill,
    FillLeft,
    FillRight,
    Start,
    End,
    Step,
    Range,
    MinOf,
    MaxOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The end of the text; the last token of every text without a fault.
    End,
    /// What stands here is no token; the last token of a text with a fault.
    Fault,
    Name,
    /// A name with a colon.
    MetricName,
    Number,
    Duration,
    /// A quoted text, quotes included.
    Text,
    Comma,
    Colon,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Assign,
    RegexEqual,
    RegexNotEqual,
    At,
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token {
    pub kind: Kind,
    pub place: Place,
}

/// The tokens of a text; the last one is `End` or `Fault`.
pub struct Tokens {
    pub list: Vec<Token>,
    /// What is wrong at the token `Fault`.
    pub fault: Option<String>,
}

/// Returns the tokens of a text, comments left out, up to the first fault.
pub fn lex(text: &str) -> Tokens {
    let mut lexer = Lexer { text, at: 0, start: 0, parens: 0, mode: Mode::Statement, in_brackets: false, colon_seen: false };
    let mut list = Vec::with_capacity(text.len() / 4 + 2);
    loop {
        match lexer.next_token() {
            Ok(kind) => {
                list.push(Token { kind, place: lexer.place() });
                if kind == Kind::End {
                    return Tokens { list, fault: None };
                }
            }
            Err(fault) => {
                list.push(Token { kind: Kind::Fault, place: Place { start: lexer.start as u32, end: text.len() as u32 } });
                return Tokens { list, fault: Some(fault) };
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Statement,
    Braces,
    /// Behind `[` and its operators, where a length of time begins.
    Duration,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Where the token under way began.
    start: usize,
    parens: i64,
    mode: Mode,
    in_brackets: bool,
    colon_seen: bool,
}

pub(super) fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let found = self.peek().is_some_and(wanted);
        if found {
            self.advance();
        }
        found
    }

    fn accept_run(&mut self, wanted: impl Fn(char) -> bool) {
        while self.accept(&wanted) {}
    }

    fn word(&self) -> &str {
        &self.text[self.start..self.at]
    }

    fn place(&self) -> Place {
        Place { start: self.start as u32, end: self.at as u32 }
    }

    /// Moves the start of the token behind what was read, so that a fault points there.
    fn drop_word(&mut self) {
        self.start = self.at;
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            self.accept_run(is_space);
            // Inside brackets a number sign is a fault until a first number was read.
            if self.mode == Mode::Duration || !self.accept(|c| c == '#') {
                return;
            }
            self.accept_run(|c| c != '\n' && c != '\r');
        }
    }

    fn next_token(&mut self) -> Result<Kind, String> {
        self.skip_blanks_and_comments();
        self.start = self.at;
        match self.mode {
            Mode::Statement => self.statement(),
            Mode::Braces => self.inside_braces(),
            Mode::Duration => self.inside_duration(),
        }
    }

    fn statement(&mut self) -> Result<Kind, String> {
        let Some(c) = self.advance() else {
            return match (self.parens, self.in_brackets) {
                (0, false) => Ok(Kind::End),
                (0, true) => Err("unclosed left bracket".to_owned()),
                _ => Err("unclosed left parenthesis".to_owned()),
            };
        };
        Ok(match c {
            ',' => Kind::Comma,
            '*' => Kind::Op(BinaryOp::Mul),
            '/' => Kind::Op(BinaryOp::Div),
            '%' => Kind::Op(BinaryOp::Mod),
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            '^' => Kind::Op(BinaryOp::Pow),
            '=' => match self.peek() {
                Some('=') => {
                    self.advance();
                    Kind::Op(BinaryOp::Equal)
                }
                Some('~') => return Err("unexpected character after '=': '~'".to_owned()),
                _ => Kind::Assign,
            },
            '!' => match self.advance() {
                Some('=') => Kind::Op(BinaryOp::NotEqual),
                other => return Err(format!("unexpected character after '!': {}", quote_char(other))),
            },
            '<' if self.accept(|c| c == '=') => Kind::Op(BinaryOp::LessOrEqual),
            '<' if self.accept(|c| c == '/') => Kind::Op(BinaryOp::TrimUpper),
            '<' => Kind::Op(BinaryOp::Less),
            '>' if self.accept(|c| c == '=') => Kind::Op(BinaryOp::GreaterOrEqual),
            '>' if self.accept(|c| c == '/') => Kind::Op(BinaryOp::TrimLower),
            '>' => Kind::Op(BinaryOp::Greater),
            '0'..='9' => return self.number_or_duration(),
            '.' if self.peek().is_some_and(|c| c.is_ascii_digit()) => return self.number_or_duration(),
            '"' | '\'' => return scan_quoted(self, c),
            '`' => return scan_raw(self),
            ':' if self.in_brackets => {
                if self.colon_seen {
                    return Err("unexpected colon ':'".to_owned());
                }
                self.colon_seen = true;
                Kind::Colon
            }
            c if is_alpha(c) && self.in_brackets => match self.duration_keyword() {
                Some(kind) => kind,
                None => return Err(format!("unexpected character: {}, expected ':'", quote_char(Some(c)))),
            },
            c if is_alpha(c) || c == ':' => self.keyword_or_name(),
            '(' => self.open_paren(),
            ')' => self.close_paren()?,
            '{' => {
                self.mode = Mode::Braces;
                Kind::LeftBrace
            }
            '[' => {
                if self.in_brackets {
                    return Err("unexpected left bracket '['".to_owned());
                }
                (self.mode, self.in_brackets, self.colon_seen) = (Mode::Duration, true, false);
                Kind::LeftBracket
            }
            ']' => {
                if !self.in_brackets {
                    return Err("unexpected right bracket ']'".to_owned());
                }
                self.in_brackets = false;
                Kind::RightBracket
            }
            '@' => Kind::At,
            other => return Err(format!("unexpected character: {}", quote_char(Some(other)))),
        })
    }

    fn open_paren(&mut self) -> Kind {
        self.parens += 1;
        Kind::LeftParen
    }

    fn close_paren(&mut self) -> Result<Kind, String> {
        self.parens -= 1;
        if self.parens < 0 {
            self.drop_word();
            return Err("unexpected right parenthesis ')'".to_owned());
        }
        Ok(Kind::RightParen)
    }

    fn inside_braces(&mut self) -> Result<Kind, String> {
        let Some(c) = self.advance() else {
            return Err("unexpected end of input inside braces".to_owned());
        };
        Ok(match c {
            c if is_alpha(c) => {
                self.accept_run(is_alphanumeric);
                Kind::Name
            }
            ',' => Kind::Comma,
            '"' | '\'' => return scan_quoted(self, c),
            '`' => return scan_raw(self),
            '=' if self.accept(|c| c == '~') => Kind::RegexEqual,
            '=' => Kind::Assign,
            '!' => match self.advance() {
                Some('~') => Kind::RegexNotEqual,
                Some('=') => Kind::Op(BinaryOp::NotEqual),
                other => return Err(format!("unexpected character after '!' inside braces: {}", quote_char(other))),
            },
            '{' => return Err("unexpected left brace '{'".to_owned()),
            '}' => {
                self.mode = Mode::Statement;
                Kind::RightBrace
            }
            other => return Err(format!("unexpected character inside braces: {}", quote_char(Some(other)))),
        })
    }

    fn inside_duration(&mut self) -> Result<Kind, String> {
        let Some(c) = self.advance() else {
            return Err("unexpected end of input in duration expression".to_owned());
        };
        Ok(match c {
            ']' => {
                (self.mode, self.in_brackets) = (Mode::Statement, false);
                Kind::RightBracket
            }
            ':' => {
                self.drop_word();
                return Err("unexpected colon before duration in duration expression".to_owned());
            }
            '(' => self.open_paren(),
            ')' => self.close_paren()?,
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            '*' => Kind::Op(BinaryOp::Mul),
            '/' => Kind::Op(BinaryOp::Div),
            '%' => Kind::Op(BinaryOp::Mod),
            '^' => Kind::Op(BinaryOp::Pow),
            ',' => Kind::Comma,
            '0'..='9' => {
                self.mode = Mode::Statement;
                return self.number_or_duration();
            }
            '.' if self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.mode = Mode::Statement;
                return self.number_or_duration();
            }
            c if is_alpha(c) => match self.duration_keyword() {
                Some(kind) => {
                    self.mode = Mode::Statement;
                    kind
                }
                None => return Err(format!("unexpected character in duration expression: {}", quote_char(Some(c)))),
            },
            other => return Err(format!("unexpected character in duration expression: {}", quote_char(Some(other)))),
        })
    }

    fn duration_keyword(&mut self) -> Option<Kind> {
        self.accept_run(is_alpha);
        Some(Kind::Keyword(match self.word().to_ascii_lowercase().as_str() {
            "step" => Keyword::Step,
            "range" => Keyword::Range,
            "min_of" => Keyword::MinOf,
            "max_of" => Keyword::MaxOf,
            _ => return None,
        }))
    }

    fn keyword_or_name(&mut self) -> Kind {
        self.accept_run(|c| is_alphanumeric(c) || c == ':');
        let word = self.word();
        match keyword(word) {
            // These came late, so they stay names wherever no parenthesis follows.
            Some(Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.rest().trim_start_matches(is_space).starts_with('(') =>
            {
                Kind::Name
            }
            Some(kind) => kind,
            None if word.contains(':') => Kind::MetricName,
            None => Kind::Name,
        }
    }
}

/// Returns what a word means, in any mixture of cases; `None` when it is a plain name.
fn keyword(word: &str) -> Option<Kind> {
    const LONGEST: usize = "count_values".len();
    if word.len() > LONGEST {
        return None;
    }
    Some(match word.to_ascii_lowercase().as_str() {
        "and" => Kind::Op(BinaryOp::And),
        "or" => Kind::Op(BinaryOp::Or),
        "unless" => Kind::Op(BinaryOp::Unless),
        "atan2" => Kind::Op(BinaryOp::Atan2),
        "sum" => Kind::Aggregate(AggregateOp::Sum),
        "avg" => Kind::Aggregate(AggregateOp::Avg),
        "count" => Kind::Aggregate(AggregateOp::Count),
        "min" => Kind::Aggregate(AggregateOp::Min),
        "max" => Kind::Aggregate(AggregateOp::Max),
        "group" => Kind::Aggregate(AggregateOp::Group),
        "stddev" => Kind::Aggregate(AggregateOp::Stddev),
        "stdvar" => Kind::Aggregate(AggregateOp::Stdvar),
        "topk" => Kind::Aggregate(AggregateOp::TopK),
        "bottomk" => Kind::Aggregate(AggregateOp::BottomK),
        "count_values" => Kind::Aggregate(AggregateOp::CountValues),
        "quantile" => Kind::Aggregate(AggregateOp::Quantile),
        "limitk" => Kind::Aggregate(AggregateOp::LimitK),
        "limit_ratio" => Kind::Aggregate(AggregateOp::LimitRatio),
        "offset" => Kind::Keyword(Keyword::Offset),
        "anchored" => Kind::Keyword(Keyword::Anchored),
        "smoothed" => Kind::Keyword(Keyword::Smoothed),
        "by" => Kind::Keyword(Keyword::By),
        "without" => Kind::Keyword(Keyword::Without),
        "on" => Kind::Keyword(Keyword::On),
        "ignoring" => Kind::Keyword(Keyword::Ignoring),
        "group_left" => Kind::Keyword(Keyword::GroupLeft),
        "group_right" => Kind::Keyword(Keyword::GroupRight),
        "bool" => Kind::Keyword(Keyword::Bool),
        "fill" => Kind::Keyword(Keyword::Fill),
        "fill_left" => Kind::Keyword(Keyword::FillLeft),
        "fill_right" => Kind::Keyword(Keyword::FillRight),
        "start" => Kind::Keyword(Keyword::Start),
        "end" => Kind::Keyword(Keyword::End),
        "step" => Kind::Keyword(Keyword::Step),
        "range" => Kind::Keyword(Keyword::Range),
        "min_of" => Kind::Keyword(Keyword::MinOf),
        "max_of" => Kind::Keyword(Keyword::MaxOf),
        "inf" | "nan" => Kind::Number,
        _ => return None,
    })
}
