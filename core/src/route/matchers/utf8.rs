//! The grammar since 0.27.

use crate::model::{MatchOp, Matcher};

use super::BadMatchers;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    OpenBrace,
    CloseBrace,
    Comma,
    Operator(MatchOp),
    Quoted,
    Unquoted,
}

#[derive(Clone, Debug)]
struct Token<'t> {
    kind: Kind,
    text: &'t str,
    start: usize,
    end: usize,
}

const NO_NAME: &str = "expected label name";
const NO_VALUE: &str = "expected label value";
const NO_OPERATOR: &str = "expected an operator such as '=', '!=', '=~' or '!~'";
const NO_CLOSE_BRACE: &str = "expected close brace";
const NO_COMMA: &str = "expected a comma or close brace";
const NO_MATCHER: &str = "expected a matcher or close brace after comma";

/// Source: Alertmanager `matcher/parse.Matchers`.
pub(super) fn parse(text: &str) -> Result<Vec<Matcher>, BadMatchers> {
    let mut lexer = Lexer { text, offset: 0, column: 0 };
    let mut matchers = Vec::new();
    let bad = |message: String| Err(BadMatchers(message));
    let Some(first) = lexer.peek()? else { return Ok(matchers) };
    let in_braces = first.kind == Kind::OpenBrace;
    if in_braces {
        lexer.next()?;
    }
    loop {
        // What may follow the opening brace or a comma: a matcher, the closing brace, or nothing.
        let after_comma = !matchers.is_empty();
        match lexer.peek().map_err(|error| if after_comma { behind(error, NO_MATCHER) } else { error })? {
            None | Some(Token { kind: Kind::CloseBrace, .. }) => break,
            Some(token) if after_comma && !matches!(token.kind, Kind::Quoted | Kind::Unquoted) => {
                return bad(format!("{}:{}: unexpected {}: {NO_MATCHER}", token.start, token.end, token.text));
            }
            Some(_) => {}
        }
        matchers.push(matcher(&mut lexer)?);
        match lexer.peek().map_err(|error| behind(error, NO_COMMA))? {
            None | Some(Token { kind: Kind::CloseBrace, .. }) => break,
            Some(Token { kind: Kind::Comma, .. }) => {
                lexer.next()?;
            }
            Some(token) => return bad(format!("{}:{}: unexpected {}: {NO_COMMA}", token.start, token.end, token.text)),
        }
    }
    match (lexer.next()?, in_braces) {
        (Some(_), true) | (None, false) => {}
        (None, true) => return bad(format!("0:{}: end of input: {NO_CLOSE_BRACE}", lexer.column)),
        (Some(_), false) => return bad(format!("0:{}: }}: expected opening brace", lexer.column)),
    }
    match lexer.next().map_err(|error| behind(error, "expected end of input"))? {
        None => Ok(matchers),
        Some(token) => bad(format!("{}:{}: {}: expected end of input", token.start, token.end, token.text)),
    }
}

fn behind(error: BadMatchers, expected: &str) -> BadMatchers {
    BadMatchers(format!("{error}: {expected}"))
}

fn matcher(lexer: &mut Lexer<'_>) -> Result<Matcher, BadMatchers> {
    let is_word = |kind| matches!(kind, Kind::Quoted | Kind::Unquoted);
    let name = expect(lexer, NO_NAME, is_word)?;
    let name = word(&name)?;
    let operator = expect(lexer, NO_OPERATOR, |kind| matches!(kind, Kind::Operator(_)))?;
    let value = expect(lexer, NO_VALUE, is_word)?;
    let value = word(&value)?;
    let Kind::Operator(op) = operator.kind else { unreachable!("only operators were accepted") };
    Matcher::new(name, op, value).map_err(|bad| BadMatchers(format!("failed to create matcher: {bad}")))
}

fn expect<'t>(lexer: &mut Lexer<'t>, expected: &str, accept: impl Fn(Kind) -> bool) -> Result<Token<'t>, BadMatchers> {
    match lexer.next().map_err(|error| behind(error, expected))? {
        None => Err(BadMatchers(format!("end of input: {expected}"))),
        Some(token) if accept(token.kind) => Ok(token),
        Some(token) => Err(BadMatchers(format!("{}:{}: unexpected {}: {expected}", token.start, token.end, token.text))),
    }
}

fn word(token: &Token<'_>) -> Result<String, BadMatchers> {
    match token.kind {
        Kind::Quoted => unquote(token.text)
            .ok_or_else(|| BadMatchers(format!("{}:{}: {}: invalid input", token.start, token.end, token.text))),
        _ => Ok(token.text.to_owned()),
    }
}

/// Resolves the escapes of a Go string in double quotes; `None` when one is unknown or the result is not UTF-8.
fn unquote(text: &str) -> Option<String> {
    let body = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\n' | '"' => return None,
            '\\' => {
                let escape = rest.chars().next()?;
                rest = &rest[escape.len_utf8()..];
                let mut digits = |count: usize, radix: u32| {
                    let digits = rest.get(..count).filter(|digits| digits.chars().all(|digit| digit.is_digit(radix)))?;
                    rest = &rest[count..];
                    u32::from_str_radix(digits, radix).ok()
                };
                match escape {
                    'a' => bytes.push(7),
                    'b' => bytes.push(8),
                    'f' => bytes.push(12),
                    'n' => bytes.push(b'\n'),
                    'r' => bytes.push(b'\r'),
                    't' => bytes.push(b'\t'),
                    'v' => bytes.push(11),
                    '\\' => bytes.push(b'\\'),
                    '"' => bytes.push(b'"'),
                    'x' => bytes.push(u8::try_from(digits(2, 16)?).ok()?),
                    'u' => bytes.extend(char::from_u32(digits(4, 16)?)?.to_string().bytes()),
                    'U' => bytes.extend(char::from_u32(digits(8, 16)?)?.to_string().bytes()),
                    '0'..='7' => {
                        let high = escape.to_digit(8)?;
                        bytes.push(u8::try_from(high * 64 + digits(2, 8)?).ok()?);
                    }
                    _ => return None,
                }
            }
            c => bytes.extend(c.to_string().bytes()),
        }
    }
    String::from_utf8(bytes).ok()
}

#[derive(Clone)]
struct Lexer<'t> {
    text: &'t str,
    offset: usize,
    /// Characters before the offset.
    column: usize,
}

fn is_reserved(c: char) -> bool {
    c.is_whitespace() || matches!(c, '{' | '}' | '!' | '=' | '~' | ',' | '\\' | '"' | '\'' | '`')
}

impl<'t> Lexer<'t> {
    fn peek(&self) -> Result<Option<Token<'t>>, BadMatchers> {
        self.clone().next()
    }

    fn bump(&mut self, c: char) {
        self.offset += c.len_utf8();
        self.column += 1;
    }

    fn char(&self) -> Option<char> {
        self.text[self.offset..].chars().next()
    }

    fn next(&mut self) -> Result<Option<Token<'t>>, BadMatchers> {
        while let Some(c) = self.char().filter(|c| c.is_whitespace()) {
            self.bump(c);
        }
        let Some(c) = self.char() else { return Ok(None) };
        let (offset, start) = (self.offset, self.column);
        self.bump(c);
        let kind = match c {
            '{' => Kind::OpenBrace,
            '}' => Kind::CloseBrace,
            ',' => Kind::Comma,
            '=' if self.char() == Some('~') => {
                self.bump('~');
                Kind::Operator(MatchOp::Regex)
            }
            '=' => Kind::Operator(MatchOp::Equal),
            '!' => match self.char() {
                Some('=') => {
                    self.bump('=');
                    Kind::Operator(MatchOp::NotEqual)
                }
                Some('~') => {
                    self.bump('~');
                    Kind::Operator(MatchOp::NotRegex)
                }
                Some(other) => {
                    self.bump(other);
                    return Err(self.error(offset, start, "expected one of '=~'"));
                }
                None => {
                    return Err(BadMatchers(format!("{start}:{}: unexpected end of input, expected one of '=~'", self.column)));
                }
            },
            '"' => {
                self.quoted(offset, start)?;
                Kind::Quoted
            }
            c if is_reserved(c) => return Err(self.error(offset, start, "invalid input")),
            _ => {
                while let Some(c) = self.char().filter(|c| !is_reserved(*c)) {
                    self.bump(c);
                }
                Kind::Unquoted
            }
        };
        Ok(Some(Token { kind, text: &self.text[offset..self.offset], start, end: self.column }))
    }

    fn quoted(&mut self, offset: usize, start: usize) -> Result<(), BadMatchers> {
        let mut escaped = false;
        while let Some(c) = self.char() {
            self.bump(c);
            match c {
                '"' if !escaped => return Ok(()),
                '\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        Err(self.error(offset, start, "missing end \""))
    }

    fn error(&self, offset: usize, start: usize, what: &str) -> BadMatchers {
        BadMatchers(format!("{start}:{}: {}: {what}", self.column, &self.text[offset..self.offset]))
    }
}
