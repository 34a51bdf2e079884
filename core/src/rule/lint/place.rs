//! Places inside a text of YAML: where the bytes of a scalar stand in the file.

use crate::problem::Position;
use crate::promql::ast::Place;
use crate::yaml::{Kind, Node, Style};

/// A scalar, and where each byte of it stands.
pub(super) struct Located {
    /// Where the scalar begins.
    position: Position,
    /// For each byte of the text; empty when the text cannot be followed through the file.
    bytes: Vec<Position>,
}

/// A cursor over the characters of a file.
struct Cursor<'a> {
    rest: &'a str,
    at: Position,
}

impl<'a> Cursor<'a> {
    fn to(text: &'a str, position: Position) -> Option<Cursor<'a>> {
        let mut start = 0;
        for _ in 1..position.line {
            start += text[start..].find('\n')? + 1;
        }
        let line = &text[start..];
        let column = position.column.saturating_sub(1) as usize;
        let offset = line.char_indices().nth(column).map_or(line.len(), |(offset, _)| offset);
        Some(Cursor { rest: &line[offset..], at: position })
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.at = Position { line: self.at.line + 1, column: 1 };
        } else {
            self.at.column += 1;
        }
        Some(c)
    }

    /// Moves behind the next end of a line.
    fn skip_line(&mut self) {
        while self.next().is_some_and(|c| c != '\n') {}
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
    }
}

impl Located {
    /// Finds the text of a scalar in the file. Blanks and ends of lines are where YAML folds, so only what is between them is compared.
    pub fn of(text: &str, node: Option<&Node>) -> Located {
        let position = node.map(|node| node.position).unwrap_or_default();
        let bytes = node.and_then(|node| follow(text, node)).unwrap_or_default();
        Located { position, bytes }
    }

    /// Returns where a part of the text begins, and how many characters of that line it has; none when that is not known.
    pub fn range(&self, place: Place) -> (Position, usize) {
        let (start, end) = (place.start as usize, place.end.max(place.start + 1) as usize);
        let Some(first) = self.bytes.get(start.min(self.bytes.len().saturating_sub(1))) else { return (self.position, 0) };
        let same_line = self.bytes.iter().take(end.min(self.bytes.len())).skip(start).filter(|at| at.line == first.line);
        let last = same_line.map(|at| at.column).max().unwrap_or(first.column);
        (*first, (last + 1 - first.column) as usize)
    }
}

fn follow(text: &str, node: &Node) -> Option<Vec<Position>> {
    let Kind::Scalar { text: wanted, style } = &node.kind else { return None };
    let mut cursor = Cursor::to(text, node.position)?;
    let mut quote = None;
    match style {
        Style::Literal | Style::Folded if matches!(cursor.peek(), Some('|' | '>')) => cursor.skip_line(),
        Style::Quoted => quote = cursor.next().filter(|c| matches!(c, '"' | '\'')),
        Style::Plain | Style::Literal | Style::Folded => {}
    }
    let mut bytes = Vec::with_capacity(wanted.len());
    for c in wanted.chars() {
        if !c.is_whitespace() {
            cursor.skip_space();
            // Escaped blanks and ends of lines are blanks of the text.
            while quote == Some('"') && matches!(escaped(&cursor), Some('n' | 't' | 'r' | ' ' | '\n')) {
                cursor.next();
                cursor.next();
                cursor.skip_space();
            }
        }
        bytes.extend(std::iter::repeat_n(cursor.at, c.len_utf8()));
        if c.is_whitespace() {
            if cursor.peek() == Some(c) {
                cursor.next();
            }
            continue;
        }
        match quote {
            Some('"') if escaped(&cursor).is_some() => {
                cursor.next();
            }
            Some('\'') if cursor.rest.starts_with("''") => {
                cursor.next();
            }
            _ => {}
        }
        if cursor.next() != Some(c) {
            return None;
        }
    }
    Some(bytes)
}

/// Returns the character behind a backslash.
fn escaped(cursor: &Cursor<'_>) -> Option<char> {
    cursor.rest.strip_prefix('\\')?.chars().next()
}
