//! How many series a target has in the store: those that it shows, and those that it ended lately, which take memory still.

use crate::time::{Span, Timestamp};

/// The grain in which ended series are forgotten.
const SLOT: Span = Span::from_mins(10);
/// They count for an hour.
const SLOTS: usize = 6;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Series that the last body brought.
    alive: usize,
    /// Series that ended and did not come back, the newest first.
    gone: [usize; SLOTS],
    /// Which ten minutes of all time the newest are of.
    slot: i64,
}

impl Held {
    pub fn count(&self) -> usize {
        self.alive + self.gone.iter().sum::<usize>()
    }

    fn turn(&mut self, at: Timestamp) {
        let slot = at.0.div_euclid(SLOT.0);
        // A clock that was stepped back forgets nothing.
        let passed = usize::try_from(slot - self.slot).unwrap_or(0).min(SLOTS);
        self.gone.rotate_right(passed);
        self.gone[..passed].fill(0);
        self.slot = slot;
    }

    /// Takes in a body: `alive` series stand in it, `fresh` of them not in the one before, and the store made `created` of these.
    pub fn scraped(&mut self, alive: usize, fresh: usize, created: usize, at: Timestamp) {
        self.turn(at);
        let mut returned = fresh.saturating_sub(created);
        for gone in &mut self.gone {
            let taken = returned.min(*gone);
            (*gone, returned) = (*gone - taken, returned - taken);
        }
        self.gone[0] += (self.alive + fresh).saturating_sub(alive);
        self.alive = alive;
    }

    /// Takes in that the store made series for a body that was then refused.
    pub fn made_in_vain(&mut self, created: usize, at: Timestamp) {
        self.turn(at);
        self.gone[0] += created;
    }

    /// Returns what a successor begins with: it may bring any of the series again. So many are known to be alive, whatever was counted.
    pub fn passed_on(mut self, alive: usize) -> Held {
        self.gone[0] += std::mem::take(&mut self.alive);
        self.gone[0] += alive.saturating_sub(self.count());
        self
    }

    /// Returns what a target begins with of which the store has series that it had samples of lately.
    pub fn found(series: usize, at: Timestamp) -> Held {
        let mut held = Held::default();
        held.turn(at);
        held.gone[0] = series;
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_series_count_for_an_hour() {
        let at = |minutes: i64| Timestamp(Span::from_mins(minutes).0);
        let mut held = Held::default();
        held.scraped(100, 100, 100, at(0));
        assert_eq!(held.count(), 100);
        held.scraped(100, 50, 50, at(1));
        assert_eq!(held.count(), 150, "half of them are others");
        held.scraped(100, 0, 0, at(59));
        assert_eq!(held.count(), 150);
        held.scraped(100, 0, 0, at(60));
        assert_eq!(held.count(), 100);
        held.made_in_vain(7, at(0));
        assert_eq!(held.count(), 107, "a clock that steps back forgets nothing");
    }

    #[test]
    fn series_that_come_and_go_count_once() {
        let mut held = Held::default();
        held.scraped(10, 10, 10, Timestamp(0));
        for round in 0..100 {
            held.scraped(5, 0, 0, Timestamp(round * 30_000 + 15_000));
            assert_eq!(held.count(), 10);
            held.scraped(10, 5, 0, Timestamp(round * 30_000 + 30_000));
            assert_eq!(held.count(), 10);
        }
        let mut next = held.passed_on(10);
        assert_eq!(next.count(), 10);
        next.scraped(10, 10, 0, Timestamp(3_100_000));
        assert_eq!(next.count(), 10);
        assert_eq!(Held::default().passed_on(7).count(), 7, "before, there was no limit and no count");
        let mut found = Held::found(10, Timestamp(0));
        found.scraped(12, 12, 2, Timestamp(15_000));
        assert_eq!(found.count(), 12);
    }
}
