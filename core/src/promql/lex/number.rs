//! Numbers and durations: where one ends, and whether its shape is sound. Its value is the parser's affair.

use super::{Kind, Lexer, is_alphanumeric};

impl Lexer<'_> {
    /// Reads a number or a duration whose first character has been read.
    pub(super) fn number_or_duration(&mut self) -> Result<Kind, String> {
        self.at = self.start;
        if self.number() {
            return Ok(Kind::Number);
        }
        if self.remaining_duration() {
            return Ok(Kind::Duration);
        }
        Err(format!("bad number or duration syntax: {}", crate::model::labels::quote(self.word())))
    }

    /// Reads as much as can belong to a number and returns whether it is one.
    fn number(&mut self) -> bool {
        let begin = self.at;
        let hexadecimal = self.accept(|c| c == '0') && self.accept(|c| c == 'x' || c == 'X');
        if hexadecimal {
            self.accept(|c| c == '_');
        }
        let is_digit = move |c: char| if hexadecimal { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        let is_exponent = |c: char| c == 'e' || c == 'E';
        let never_follows = |c: char| matches!(c, '.' | '_' | 'e' | 'E');
        self.accept(|c| c == '.');
        self.accept(is_digit);
        let (mut dot_seen, mut exponent_seen) = (false, false);
        while let Some(c) = self.peek().filter(|&c| is_digit(c) || never_follows(c)) {
            if (c == '.' && dot_seen) || (is_exponent(c) && exponent_seen) {
                self.advance();
                return false;
            }
            if c == '.' {
                self.advance();
                dot_seen = true;
                if self.accept(|c| c == '_' || c == '.') || hexadecimal {
                    return false;
                }
            } else if is_exponent(c) {
                self.advance();
                exponent_seen = true;
                self.accept(|c| c == '+' || c == '-');
                if self.accept(never_follows) || self.peek().is_none() {
                    return false;
                }
            } else if c == '_' {
                self.advance();
                if self.accept(never_follows) || self.peek().is_none() {
                    return false;
                }
            } else {
                self.accept_run(is_digit);
            }
        }
        self.at > begin && !self.peek().is_some_and(is_alphanumeric)
    }

    /// Reads the units and further numbers of a duration whose first number has been read.
    fn remaining_duration(&mut self) -> bool {
        if !self.accept(|c| "smhdwy".contains(c)) {
            return false;
        }
        // For `ms`; units such as `hs` pass here and fail when the value is read.
        self.accept(|c| c == 's');
        while self.accept(|c| c.is_ascii_digit()) {
            self.accept_run(|c| c.is_ascii_digit());
            if !self.accept(|c| "smhdw".contains(c)) {
                return false;
            }
            self.accept(|c| c == 's');
        }
        if self.peek().is_some_and(is_alphanumeric) {
            self.advance();
            return false;
        }
        true
    }
}
