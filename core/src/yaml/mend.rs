//! Indentation that Go's YAML accepts and our scanner does not: inside brackets and quotes, lines may begin left of the mapping
//! around them, and a tab may follow a colon. Such lines are moved to the right, which changes no value, and read again.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Marker, ScanError};

use crate::problem::Position;

/// How far a line is moved: beyond every indentation that people use.
const SHIFT: usize = 256;
const ATTEMPTS_MAX: usize = 1000;
/// What all attempts together may read.
const BYTES_MAX: usize = 16 << 20;

/// A text, and which of its lines were moved.
pub(super) struct Mended<'t> {
    pub(super) text: Cow<'t, str>,
    moved: BTreeMap<usize, usize>,
    attempts: usize,
}

impl<'t> Mended<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Mended { text: Cow::Borrowed(text), moved: BTreeMap::new(), attempts: 0 }
    }

    /// Returns where a marker lies in the text as it was written.
    pub(super) fn place(&self, marker: Marker) -> Position {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let moved = self.moved.get(&marker.line()).copied().unwrap_or(0);
        Position { line: number(marker.line()).max(1), column: number(marker.col().saturating_sub(moved)).saturating_add(1) }
    }

    /// Moves what the scanner stumbled over; returns whether another attempt may succeed.
    pub(super) fn mend(&mut self, error: &ScanError) -> bool {
        self.attempts += 1;
        if self.attempts > ATTEMPTS_MAX || self.attempts.saturating_mul(self.text.len()) > BYTES_MAX {
            return false;
        }
        let line = error.marker().line();
        match error.info() {
            "invalid indentation" | "invalid indentation in flow construct" => self.shift(line),
            // The scanner names the line of the opening quote; the line at fault is one of those behind it.
            "invalid indentation in quoted scalar" => {
                let next = (line + 1..).find(|line| !self.moved.contains_key(line));
                next.is_some_and(|line| self.shift(line))
            }
            "':' must be followed by a valid YAML whitespace" => self.replace_tabs(line, error.marker().col()),
            _ => false,
        }
    }

    /// Returns the byte offset of a line, counted from 1.
    fn start_of(&self, line: usize) -> Option<usize> {
        match line.checked_sub(2) {
            None => Some(0),
            Some(ends) => self.text.match_indices('\n').nth(ends).map(|(offset, _)| offset + 1),
        }
    }

    fn shift(&mut self, line: usize) -> bool {
        let Some(start) = self.start_of(line) else { return false };
        if self.moved.insert(line, SHIFT).is_some() {
            return false;
        }
        self.text.to_mut().insert_str(start, &" ".repeat(SHIFT));
        true
    }

    /// Replaces the tabs that end at a column by as many spaces.
    fn replace_tabs(&mut self, line: usize, column: usize) -> bool {
        let Some(start) = self.start_of(line) else { return false };
        let before: String = self.text[start..].chars().take(column).collect();
        let kept = before.trim_end_matches('\t');
        let tabs = before.len() - kept.len();
        let range = start + kept.len()..start + before.len();
        if tabs > 0 {
            self.text.to_mut().replace_range(range, &" ".repeat(tabs));
        }
        tabs > 0
    }
}
