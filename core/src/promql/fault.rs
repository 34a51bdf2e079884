//! Faults of a text, each at its place.

use std::fmt;

use super::ast::Place;

/// Faults beyond this many are not told.
pub const FAULTS_MAX: usize = 50;

/// One fault of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub place: Place,
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseError {}

impl ParseError {
    /// Returns one line as Prometheus writes it, such as `1:7: parse error: unexpected end of input`.
    ///
    /// Unit: line and column are counted from 1, the column in bytes.
    pub fn summary(&self, text: &str) -> String {
        if text.is_empty() {
            return format!("unknown position: parse error: {}", self.message);
        }
        let (line, begin) = self.line_of(text);
        format!("{line}:{}: parse error: {}", self.start(text) - begin + 1, self.message)
    }

    /// Returns the summary, then the line of the text, then a mark under the fault.
    pub fn render(&self, text: &str) -> String {
        let summary = self.summary(text);
        let (_, begin) = self.line_of(text);
        let line = text[begin..].lines().next().unwrap_or("");
        if line.is_empty() {
            return summary;
        }
        let start = self.start(text);
        let end = (self.place.end as usize).clamp(start, begin + line.len());
        let marks = text.get(start..end).map_or(1, |marked| marked.chars().count().max(1));
        let indent: String = text[begin..start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        format!("{summary}\n{line}\n{indent}{}", "^".repeat(marks))
    }

    /// Returns where the fault starts, moved back to the border of a character inside the text.
    fn start(&self, text: &str) -> usize {
        text.floor_char_boundary(self.place.start as usize)
    }

    fn line_of(&self, text: &str) -> (usize, usize) {
        let before = &text.as_bytes()[..self.start(text)];
        let lines = before.iter().filter(|&&byte| byte == b'\n').count();
        let begin = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        (lines + 1, begin)
    }
}

pub(super) fn push_fault(faults: &mut Vec<ParseError>, place: Place, message: String) {
    if faults.len() < FAULTS_MAX {
        faults.push(ParseError { place, message });
    }
}
