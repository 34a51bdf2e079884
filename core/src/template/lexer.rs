//! Template text → tokens.

/// What a token is. Its text stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    LeftDelimiter,
    RightDelimiter,
    Space,
    Assign,
    Declare,
    Pipe,
    Comma,
    LeftParen,
    RightParen,
    Bool,
    Nil,
    Dot,
    Field,
    Variable,
    Identifier,
    Number,
    Character,
    Quoted,
    Raw,
    Keyword,
    /// Any other printable character; no rule of the grammar takes it.
    Other,
    EndOfText,
    /// The text cannot be read on; the message says why.
    Error(String),
}

/// A token with the byte where it starts and the line it starts on, counted from 1.
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub at: usize,
    pub line: u32,
}

const KEYWORDS: [&str; 10] = ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

/// Returns the tokens of a text; the last is `EndOfText` or `Error`.
///
/// Source: Go `text/template/parse/lex.go`, for the shape of tokens and the words of the errors.
pub(super) fn lex(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { text, at: 0, line: 1, tokens: Vec::new(), parens: 0 };
    if let Err(message) = lexer.run() {
        let token = Token { kind: Kind::Error(message), text: "", at: lexer.at, line: lexer.line };
        lexer.tokens.push(token);
    } else {
        lexer.tokens.push(Token { kind: Kind::EndOfText, text: "", at: text.len(), line: lexer.line });
    }
    lexer.tokens
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    tokens: Vec<Token<'a>>,
    parens: i32,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Returns a character as Go's `%#U` writes it.
fn unicode(c: char) -> String {
    format!("U+{:04X} '{c}'", c as u32)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Moves on without a token.
    fn skip(&mut self, len: usize) {
        self.line += self.text.as_bytes()[self.at..self.at + len].iter().filter(|byte| **byte == b'\n').count() as u32;
        self.at += len;
    }

    fn emit(&mut self, kind: Kind, len: usize) {
        let text = &self.text[self.at..self.at + len];
        self.tokens.push(Token { kind, text, at: self.at, line: self.line });
        self.skip(len);
    }

    fn run(&mut self) -> Result<(), String> {
        while self.at < self.text.len() {
            let Some(start) = self.rest().find("{{") else {
                self.emit(Kind::Text, self.rest().len());
                return Ok(());
            };
            let behind = &self.rest().as_bytes()[start + 2..];
            let trims = behind.first() == Some(&b'-') && behind.get(1).copied().is_some_and(is_space);
            let literal = &self.rest()[..start];
            let kept = if trims { literal.trim_end_matches([' ', '\t', '\r', '\n']).len() } else { start };
            if kept > 0 {
                self.emit(Kind::Text, kept);
            }
            self.skip(start - kept);
            let delimiter = if trims { 4 } else { 2 };
            if self.rest()[delimiter..].starts_with("/*") {
                self.skip(delimiter);
                self.comment()?;
            } else {
                let (at, line) = (self.at, self.line);
                self.tokens.push(Token { kind: Kind::LeftDelimiter, text: "{{", at, line });
                self.skip(delimiter);
                self.action()?;
            }
        }
        Ok(())
    }

    fn comment(&mut self) -> Result<(), String> {
        let end = self.rest().find("*/").ok_or("unclosed comment")?;
        self.skip(end + 2);
        let (len, trims) = self.right_delimiter().ok_or("comment ends before closing delimiter")?;
        self.skip(len);
        if trims {
            self.skip_spaces();
        }
        Ok(())
    }

    fn skip_spaces(&mut self) {
        let len = self.rest().bytes().take_while(|byte| is_space(*byte)).count();
        self.skip(len);
    }

    /// Returns the length of the closing delimiter that stands here and whether it trims the text behind it.
    fn right_delimiter(&self) -> Option<(usize, bool)> {
        if self.byte(0).is_some_and(is_space) && self.rest()[1..].starts_with("-}}") {
            return Some((4, true));
        }
        self.rest().starts_with("}}").then_some((2, false))
    }

    fn action(&mut self) -> Result<(), String> {
        self.parens = 0;
        loop {
            if let Some((len, trims)) = self.right_delimiter() {
                if self.parens != 0 {
                    return Err("unclosed left paren".into());
                }
                let (at, line) = (self.at, self.line);
                self.tokens.push(Token { kind: Kind::RightDelimiter, text: "}}", at, line });
                self.skip(len);
                if trims {
                    self.skip_spaces();
                }
                return Ok(());
            }
            let Some(c) = self.peek() else { return Err("unclosed action".into()) };
            self.inside(c)?;
        }
    }

    fn inside(&mut self, c: char) -> Result<(), String> {
        match c {
            ' ' | '\t' | '\r' | '\n' => {
                let run = self.rest().bytes().take_while(|byte| is_space(*byte)).count();
                // The last space of the run may belong to a closing delimiter that trims.
                let len = if run > 1 && self.rest()[run..].starts_with("-}}") { run - 1 } else { run };
                self.emit(Kind::Space, len);
            }
            '=' => self.emit(Kind::Assign, 1),
            ':' if self.byte(1) == Some(b'=') => self.emit(Kind::Declare, 2),
            ':' => return Err("expected :=".into()),
            '|' => self.emit(Kind::Pipe, 1),
            ',' => self.emit(Kind::Comma, 1),
            '"' => self.quoted('"', "unterminated quoted string", Kind::Quoted)?,
            '\'' => self.quoted('\'', "unterminated character constant", Kind::Character)?,
            '`' => {
                let end = self.rest()[1..].find('`').ok_or("unterminated raw quoted string")?;
                self.emit(Kind::Raw, end + 2);
            }
            '$' => self.word(1, Kind::Variable)?,
            '.' if !self.byte(1).is_some_and(|byte| byte.is_ascii_digit()) => {
                let bare = self.rest()[1..].chars().next().is_none_or(|next| !is_word(next));
                self.word(1, if bare { Kind::Dot } else { Kind::Field })?;
            }
            '.' | '+' | '-' | '0'..='9' => self.number()?,
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen, 1);
            }
            ')' => {
                self.parens -= 1;
                if self.parens < 0 {
                    return Err("unexpected right paren".into());
                }
                self.emit(Kind::RightParen, 1);
            }
            c if is_word(c) => self.word(0, Kind::Identifier)?,
            c if c.is_ascii_graphic() => self.emit(Kind::Other, 1),
            c => return Err(format!("unrecognized character in action: {}", unicode(c))),
        }
        Ok(())
    }

    /// Reads a word behind `prefix` bytes; what follows must be able to end it.
    fn word(&mut self, prefix: usize, kind: Kind) -> Result<(), String> {
        let len: usize = self.rest()[prefix..].chars().take_while(|c| is_word(*c)).map(char::len_utf8).sum();
        let word = &self.rest()[..prefix + len];
        let behind = &self.rest()[prefix + len..];
        match behind.chars().next() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(') => {}
            Some(_) if behind.starts_with("}}") => {}
            Some(c) => {
                self.skip(prefix + len);
                return Err(format!("bad character {}", unicode(c)));
            }
        }
        let kind = match (kind, word) {
            (Kind::Identifier, "true" | "false") => Kind::Bool,
            (Kind::Identifier, "nil") => Kind::Nil,
            (Kind::Identifier, word) if KEYWORDS.contains(&word) => Kind::Keyword,
            (kind, _) => kind,
        };
        self.emit(kind, prefix + len);
        Ok(())
    }

    fn quoted(&mut self, quote: char, message: &str, kind: Kind) -> Result<(), String> {
        let mut escaped = false;
        for (index, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    self.emit(kind, index + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(message.into())
    }

    fn number(&mut self) -> Result<(), String> {
        let bytes = self.rest().as_bytes();
        let mut at = usize::from(matches!(bytes[0], b'+' | b'-'));
        let next = |at: usize| bytes.get(at).map_or(0, u8::to_ascii_lowercase);
        let prefixed = next(at) == b'0' && matches!(next(at + 1), b'x' | b'o' | b'b');
        let hexadecimal = prefixed && next(at + 1) == b'x';
        at += if prefixed { 2 } else { 0 };
        let digits = |mut at: usize| {
            while next(at) == b'_' || next(at).is_ascii_digit() || hexadecimal && next(at).is_ascii_hexdigit() {
                at += 1;
            }
            at
        };
        at = digits(at);
        if next(at) == b'.' {
            at = digits(at + 1);
        }
        let exponent = if hexadecimal { b'p' } else { b'e' };
        if next(at) == exponent {
            at += 1 + usize::from(matches!(next(at + 1), b'+' | b'-'));
            while next(at) == b'_' || next(at).is_ascii_digit() {
                at += 1;
            }
        }
        match self.rest()[at..].chars().next() {
            Some(c) if is_word(c) || c == '+' || c == '-' => {
                Err(format!("bad number syntax: {:?}", &self.rest()[..at + c.len_utf8()]))
            }
            _ => {
                self.emit(Kind::Number, at);
                Ok(())
            }
        }
    }
}
