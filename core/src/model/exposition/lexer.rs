//! Tokens of both formats, with every corner: this is where a body's verdict comes from when its lines are not plain.
//!
//! Source: the lexers of Prometheus `model/textparse`, whose behaviour towards NUL bytes and broken lines is kept, so that both
//! programs accept the same bodies.

use super::Format;

/// What the text before the cursor allows to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Init,
    Comment,
    /// Behind HELP, TYPE or UNIT.
    MetaName,
    MetaText,
    Labels,
    LabelValue,
    Value,
    Timestamp,
    Exemplar,
    /// Behind `=` or `}` of an exemplar.
    ExemplarValue,
    ExemplarTimestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    Invalid,
    Eof,
    Linebreak,
    Whitespace,
    Help,
    Type,
    Unit,
    EofWord,
    Text,
    Comment,
    MetricName,
    QuotedString,
    BraceOpen,
    BraceClose,
    LabelName,
    LabelValue,
    Comma,
    Equal,
    Timestamp,
    Value,
}

impl Token {
    /// Returns the name that error messages use.
    pub fn name(self) -> &'static str {
        match self {
            Token::Invalid => "INVALID",
            Token::Eof => "EOF",
            Token::Linebreak => "LINEBREAK",
            Token::Whitespace => "WHITESPACE",
            Token::Help => "HELP",
            Token::Type => "TYPE",
            Token::Unit => "UNIT",
            Token::EofWord => "EOFWORD",
            Token::Text => "TEXT",
            Token::Comment => "COMMENT",
            Token::MetricName => "MNAME",
            Token::QuotedString => "QSTRING",
            Token::BraceOpen => "BOPEN",
            Token::BraceClose => "BCLOSE",
            Token::LabelName => "LNAME",
            Token::LabelValue => "LVALUE",
            Token::Comma => "COMMA",
            Token::Equal => "EQUAL",
            Token::Timestamp => "TIMESTAMP",
            Token::Value => "VALUE",
        }
    }
}

pub struct Lexer<'a> {
    pub body: &'a [u8],
    pub format: Format,
    /// The last byte of the current token is just before this one.
    pub at: usize,
    /// The first byte of the current token.
    pub start: usize,
    pub state: State,
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

pub fn is_label_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

pub fn is_metric_name_start(byte: u8) -> bool {
    is_label_name_start(byte) || byte == b':'
}

impl<'a> Lexer<'a> {
    pub fn new(body: &'a [u8], format: Format) -> Lexer<'a> {
        Lexer { body, format, at: 0, start: 0, state: State::Init }
    }

    /// Returns what is left to read.
    pub fn rest(&self) -> &'a [u8] {
        &self.body[self.at.min(self.body.len())..]
    }

    /// Returns the length of the input: the text format lacks nothing when its last line break is missing, so one is imagined.
    pub fn len(&self) -> usize {
        self.body.len() + usize::from(self.format == Format::Text)
    }

    /// Returns the current token's bytes.
    pub fn token_text(&self) -> &'a [u8] {
        self.slice(self.start, self.at)
    }

    /// Returns the bytes of the body between two places; the imagined line break is not among them.
    pub fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        let end = self.body.len();
        &self.body[from.min(end)..to.clamp(from.min(end), end)]
    }

    /// Returns the byte under the cursor; 0 at the end.
    fn current(&self) -> u8 {
        match self.body.get(self.at) {
            Some(byte) => *byte,
            None if self.at < self.len() => b'\n',
            None => 0,
        }
    }

    /// Moves on and returns the byte there. NUL bytes are stepped over where they may stand: in values, help texts and comments.
    fn next(&mut self) -> u8 {
        self.at = (self.at + 1).min(self.len());
        if matches!(self.state, State::LabelValue | State::MetaText | State::Comment) {
            while self.body.get(self.at) == Some(&0) {
                self.at += 1;
            }
        }
        self.current()
    }

    /// Moves on while bytes satisfy `accept`; returns the byte behind them.
    fn skip(&mut self, accept: impl Fn(u8) -> bool) -> u8 {
        let mut byte = self.next();
        while byte != 0 && accept(byte) {
            byte = self.next();
        }
        byte
    }

    /// Takes the current byte and changes the state.
    fn take(&mut self, state: State, token: Token) -> Token {
        self.next();
        self.state = state;
        token
    }

    fn name(&mut self, state: State, token: Token, colons: bool) -> Token {
        self.skip(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || colons && byte == b':');
        self.state = state;
        token
    }

    /// Takes a string in double quotes, the cursor on the first.
    fn quoted(&mut self, state: State, token: Token, newlines: bool) -> Token {
        loop {
            match self.next() {
                b'"' => return self.take(state, token),
                b'\\' => {
                    if matches!(self.next(), 0 | b'\n') {
                        return Token::Invalid;
                    }
                }
                0 => return Token::Invalid,
                b'\n' if !newlines => return Token::Invalid,
                _ => {}
            }
        }
    }

    /// Takes a word of the format's own, the cursor on its first letter; returns whether it was all there.
    fn keyword(&mut self, word: &[u8]) -> bool {
        let mut byte = self.current();
        for expected in word {
            if byte != *expected {
                return false;
            }
            byte = self.next();
        }
        true
    }

    pub fn token(&mut self) -> Token {
        if self.at >= self.len() {
            return Token::Eof;
        }
        self.start = self.at;
        match self.format {
            Format::Text => self.text_token(),
            Format::OpenMetrics => self.openmetrics_token(),
        }
    }

    fn text_token(&mut self) -> Token {
        let byte = self.current();
        if self.state != State::MetaText && is_blank(byte) {
            self.skip(is_blank);
            return Token::Whitespace;
        }
        match (self.state, byte) {
            // A NUL byte at a line's start ends the body.
            (State::Init, 0) => Token::Eof,
            (State::Init | State::Timestamp, b'\n') => self.take(State::Init, Token::Linebreak),
            (State::Init, b'#') => {
                if !is_blank(self.next()) {
                    return self.comment();
                }
                self.skip(is_blank);
                self.state = State::Comment;
                self.text_comment()
            }
            (State::Init, byte) if is_metric_name_start(byte) => self.name(State::Value, Token::MetricName, true),
            (State::Init | State::Value, b'{') => self.take(State::Labels, Token::BraceOpen),
            (State::MetaName, b'"') => self.quoted(State::MetaText, Token::MetricName, true),
            (State::MetaName, byte) if is_metric_name_start(byte) => self.name(State::MetaText, Token::MetricName, true),
            (State::MetaText, byte) => self.meta_text(byte),
            (State::Labels, b'"') => self.quoted(State::Labels, Token::QuotedString, true),
            (State::Labels, b',') => self.take(State::Labels, Token::Comma),
            (State::Labels, b'=') => self.take(State::LabelValue, Token::Equal),
            (State::Labels, b'}') => self.take(State::Value, Token::BraceClose),
            (State::Labels, byte) if is_label_name_start(byte) => self.name(State::Labels, Token::LabelName, false),
            (State::LabelValue, b'"') => self.quoted(State::Labels, Token::LabelValue, true),
            (State::Value, byte) if !matches!(byte, 0 | b'\n') => {
                self.skip(|byte| !matches!(byte, b'{' | b' ' | b'\t' | b'\n'));
                self.state = State::Timestamp;
                Token::Value
            }
            (State::Timestamp, byte) if byte.is_ascii_digit() => {
                self.skip(|byte| byte.is_ascii_digit());
                Token::Timestamp
            }
            (State::Comment, _) => self.comment(),
            _ => Token::Invalid,
        }
    }

    /// Decides between a comment and what starts like one, the cursor behind `#` and blanks.
    fn text_comment(&mut self) -> Token {
        let token = match self.current() {
            b'H' if self.keyword(b"HELP") => Token::Help,
            b'T' if self.keyword(b"TYPE") => Token::Type,
            _ => return self.comment(),
        };
        if !is_blank(self.current()) {
            return self.comment();
        }
        self.skip(is_blank);
        self.state = State::MetaName;
        token
    }

    fn comment(&mut self) -> Token {
        let mut byte = self.current();
        while !matches!(byte, 0 | b'\n') {
            byte = self.next();
        }
        if byte == 0 {
            return Token::Eof;
        }
        self.state = State::Init;
        Token::Comment
    }

    fn meta_text(&mut self, byte: u8) -> Token {
        let mut byte = byte;
        let blank_start = is_blank(byte);
        if blank_start {
            byte = self.skip(is_blank);
            if matches!(byte, 0 | b'\n') {
                return Token::Whitespace;
            }
        }
        while !matches!(byte, 0 | b'\n') {
            byte = self.next();
        }
        self.state = State::Init;
        Token::Text
    }

    fn openmetrics_token(&mut self) -> Token {
        match (self.state, self.current()) {
            (State::Init, b'#') => {
                if self.next() != b' ' {
                    return Token::Invalid;
                }
                self.next();
                self.state = State::Comment;
                self.openmetrics_comment()
            }
            (State::Comment, _) => self.openmetrics_comment(),
            (State::Init, byte) if is_metric_name_start(byte) => self.name(State::Value, Token::MetricName, true),
            (State::Init | State::Value, b'{') => self.take(State::Labels, Token::BraceOpen),
            (State::MetaName, b'"') => self.quoted(State::MetaText, Token::MetricName, true),
            (State::MetaName, byte) if is_metric_name_start(byte) => self.name(State::MetaText, Token::MetricName, true),
            (State::MetaText, b' ') => {
                if self.skip(|byte| byte != b'\n') == 0 {
                    return Token::Invalid;
                }
                self.take(State::Init, Token::Text)
            }
            (State::Labels, b'"') => self.quoted(State::Labels, Token::QuotedString, true),
            (State::Labels, b',') => self.take(State::Labels, Token::Comma),
            (State::Labels, b'=') => self.take(State::LabelValue, Token::Equal),
            (State::Labels, b'}') => self.take(State::Value, Token::BraceClose),
            (State::Labels, byte) if is_label_name_start(byte) => self.name(State::Labels, Token::LabelName, false),
            (State::LabelValue, b'"') => self.quoted(State::Labels, Token::LabelValue, false),
            (State::Value, b' ') => self.spaced_word(State::Timestamp, Token::Value),
            (State::Timestamp | State::ExemplarTimestamp, b'\n') => self.take(State::Init, Token::Linebreak),
            (State::Timestamp, b' ') => {
                if self.body.get(self.at + 1) != Some(&b'#') {
                    return self.spaced_word(State::Timestamp, Token::Timestamp);
                }
                self.next();
                match self.next() {
                    b' ' if self.next() == b'{' => self.take(State::Exemplar, Token::Comment),
                    b' ' => Token::Invalid,
                    byte => self.rest_of_word(byte, State::Timestamp, Token::Timestamp),
                }
            }
            (State::Exemplar, b'"') => self.quoted(State::Exemplar, Token::QuotedString, false),
            (State::Exemplar, b',') => self.take(State::Exemplar, Token::Comma),
            (State::Exemplar, b'=') => self.take(State::ExemplarValue, Token::Equal),
            (State::Exemplar, b'}') => self.take(State::ExemplarValue, Token::BraceClose),
            (State::Exemplar, byte) if is_label_name_start(byte) => self.name(State::Exemplar, Token::LabelName, false),
            (State::ExemplarValue, b'"') => self.quoted(State::Exemplar, Token::LabelValue, false),
            (State::ExemplarValue, b' ') => self.spaced_word(State::ExemplarTimestamp, Token::Value),
            (State::ExemplarTimestamp, b' ') => self.spaced_word(State::ExemplarTimestamp, Token::Timestamp),
            _ => Token::Invalid,
        }
    }

    fn openmetrics_comment(&mut self) -> Token {
        let token = match self.current() {
            b'E' if self.keyword(b"EOF") => {
                if self.current() == b'\n' {
                    self.next();
                }
                self.state = State::Init;
                return Token::EofWord;
            }
            b'H' if self.keyword(b"HELP ") => Token::Help,
            b'T' if self.keyword(b"TYPE ") => Token::Type,
            b'U' if self.keyword(b"UNIT ") => Token::Unit,
            _ => return Token::Invalid,
        };
        self.state = State::MetaName;
        token
    }

    /// Takes one space and the word behind it.
    fn spaced_word(&mut self, state: State, token: Token) -> Token {
        match self.next() {
            0 | b' ' | b'\n' => Token::Invalid,
            byte => self.rest_of_word(byte, state, token),
        }
    }

    fn rest_of_word(&mut self, byte: u8, state: State, token: Token) -> Token {
        if !matches!(byte, 0 | b' ' | b'\n') {
            self.skip(|byte| !matches!(byte, b' ' | b'\n'));
        }
        self.state = state;
        token
    }
}
