//! The clock that forgetting goes by.
//!
//! A wall clock that is stepped forward must not take samples with it: it may be stepped back. So a step counts only once it has stood for
//! a while. What time passes meanwhile is counted by a clock that nobody steps.

use crate::time::{Span, Timestamp};

/// A wall clock that runs ahead by less than this is taken at its word.
const STEP_MIN: Span = Span::from_mins(5);
/// A step is taken for true once it has stood for so long.
const DOUBT_MAX: Span = Span::from_mins(24 * 60);

/// What forgetting goes by, and how long the wall clock has been doubted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteadyClock {
    at: Timestamp,
    doubted: Span,
    /// What the wall clock showed last.
    shown: Timestamp,
}

impl SteadyClock {
    /// `at` is the last instant that is known to have been, such as that of the newest sample.
    pub fn new(at: Timestamp, doubted: Span) -> SteadyClock {
        SteadyClock { at, doubted, shown: at }
    }

    /// Returns the instant that forgetting goes by.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Returns how long the wall clock has been ahead without being believed; zero when it is believed.
    pub fn doubted(&self) -> Span {
        self.doubted
    }

    /// Returns the clock as it stands when the wall clock shows `now`, `passed` after the call before.
    pub fn tick(self, now: Timestamp, passed: Span) -> SteadyClock {
        let passed = passed.max(Span::ZERO);
        let at = self.at + passed;
        if now.since(at) <= STEP_MIN {
            return SteadyClock { at: now, doubted: Span::ZERO, shown: now };
        }
        let is_stepped_back = (self.shown + passed).since(now) > STEP_MIN;
        let doubted = if is_stepped_back { Span(1) } else { Span((self.doubted + passed).0.max(1)) };
        if doubted >= DOUBT_MAX {
            return SteadyClock { at: now, doubted: Span::ZERO, shown: now };
        }
        SteadyClock { at, doubted, shown: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Span = Span::from_mins(60);
    const DAY: Span = Span::from_mins(24 * 60);

    /// Returns the clock after so many minutes by the wall clock that is so far ahead of `from`.
    fn run(mut clock: SteadyClock, from: Timestamp, ahead: Span, minutes: i64) -> SteadyClock {
        for minute in 1..=minutes {
            clock = clock.tick(from + ahead + Span::from_mins(minute), Span::from_mins(1));
        }
        clock
    }

    #[test]
    fn a_step_forward_counts_once_it_has_stood_for_a_day() {
        let start = Timestamp(1_795_231_650_000);
        let clock = SteadyClock::new(start, Span::ZERO).tick(start + HOUR, Span::ZERO);
        assert_eq!((clock.at(), clock.doubted()), (start, Span(1)), "nobody was there for that hour");
        let clock = run(SteadyClock::new(start, Span::ZERO), start, Span::ZERO, 10);
        assert_eq!((clock.at(), clock.doubted()), (start + Span::from_mins(10), Span::ZERO));
        for ahead in [HOUR, Span(10 * DAY.0), Span(400 * DAY.0)] {
            let clock = SteadyClock::new(start, Span::ZERO);
            let stepped = run(clock, start, ahead, 600);
            assert_eq!(stepped.at(), start + Span::from_mins(600), "time goes on");
            let back = stepped.tick(start + Span::from_mins(601), Span::from_mins(1));
            assert_eq!((back.at(), back.doubted()), (start + Span::from_mins(601), Span::ZERO));
            assert_eq!(run(clock, start, ahead, 24 * 60 + 1).at(), start + ahead + Span::from_mins(24 * 60 + 1));
        }
    }

    #[test]
    fn a_step_to_another_wrong_time_is_doubted_anew_and_one_back_is_followed() {
        let start = Timestamp(1_795_231_650_000);
        let far = run(SteadyClock::new(start, Span::ZERO), start, Span(400 * DAY.0), 23 * 60);
        let later = start + Span(23 * HOUR.0);
        let near = run(far, later, Span(200 * DAY.0), 23 * 60);
        assert_eq!(near.at(), later + Span(23 * HOUR.0));
        let back = near.tick(start - Span(10 * DAY.0), Span::from_mins(1));
        assert_eq!(back.at(), start - Span(10 * DAY.0));
        // A clock that is somewhat slow or fast is followed.
        let mut slow = SteadyClock::new(start, Span::ZERO);
        for minute in 1..1000 {
            slow = slow.tick(start + Span(minute * 62_000), Span::from_mins(1));
        }
        assert_eq!(slow.at(), start + Span(999 * 62_000));
    }
}
