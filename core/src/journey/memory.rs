//! The last attempts of one journey, for drills and for the page, without asking the store.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::time::{Span, Timestamp};

/// Older attempts are forgotten.
pub const ATTEMPTS_KEPT: usize = 10_000;

/// One attempt at a journey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub began: Timestamp,
    pub ended: Timestamp,
    pub ok: bool,
    /// Why it failed.
    pub reason: Option<Arc<str>>,
    /// It began later than its beat by more than `late_after`: what it says of time is that much less exact.
    pub late: bool,
}

impl Attempt {
    /// Returns how long it took.
    pub fn took(&self) -> Span {
        self.ended.since(self.began).max(Span::ZERO)
    }
}

/// Attempts, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    attempts: VecDeque<Attempt>,
}

impl Memory {
    pub fn note(&mut self, mut attempt: Attempt) {
        // An outage says the same over and over, and is kept once.
        if let Some(before) = self.attempts.back().filter(|before| before.reason == attempt.reason) {
            attempt.reason = before.reason.clone();
        }
        if self.attempts.len() == ATTEMPTS_KEPT {
            self.attempts.pop_front();
        }
        self.attempts.push_back(attempt);
    }

    pub fn last(&self) -> Option<&Attempt> {
        self.attempts.back()
    }

    /// Returns the attempts that began at `from` or later, oldest first.
    pub fn since(&self, from: Timestamp) -> Vec<Attempt> {
        self.attempts.iter().filter(|attempt| attempt.began >= from).cloned().collect()
    }

    /// Returns the last attempts, at most so many, oldest first.
    pub fn recent(&self, most: usize) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().skip(self.attempts.len().saturating_sub(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(second: i64, reason: Option<&str>) -> Attempt {
        let began = Timestamp(second * 1000);
        Attempt { began, ended: began + Span(200), ok: reason.is_none(), reason: reason.map(Arc::from), late: false }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_told_from_an_instant_on() {
        let mut memory = Memory::default();
        assert_eq!(memory.last(), None);
        let count = ATTEMPTS_KEPT as i64 + 5;
        for second in 0..count {
            memory.note(attempt(second, (second % 4 < 2).then_some("HTTP status 500, expected 200 to 299")));
        }
        assert_eq!(memory.since(Timestamp::MIN).len(), ATTEMPTS_KEPT);
        assert_eq!(memory.since(Timestamp::MIN)[0].began, Timestamp(5_000), "the oldest go first");
        let tail: Vec<(i64, bool)> =
            memory.since(Timestamp((count - 3) * 1000)).iter().map(|one| (one.began.0 / 1000, one.ok)).collect();
        assert_eq!(tail, [(count - 3, true), (count - 2, true), (count - 1, false)]);
        assert_eq!(memory.since(Timestamp((count - 1) * 1000 + 1)), []);
        assert_eq!(memory.last().map(|last| (last.began, last.took())), Some((Timestamp((count - 1) * 1000), Span(200))));
        assert_eq!(memory.recent(2).map(|one| one.began.0 / 1000).collect::<Vec<_>>(), [count - 2, count - 1]);
    }
}
