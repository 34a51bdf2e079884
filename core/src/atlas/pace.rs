//! The pace of requests: evenly, with a small burst after a pause.

use crate::time::{Span, Timestamp};

/// Says when the next request may go out, to one asker who waits before it asks again.
#[derive(Clone, Debug)]
pub struct Pace {
    distance: Span,
    burst: Span,
    /// When the request after the next one would be due at an even pace.
    due: Timestamp,
}

/// The part of a minute's requests that may go out at once.
const BURST: u32 = 6;

impl Pace {
    pub fn new(requests_per_minute: u32) -> Pace {
        let each_minute = requests_per_minute.max(1);
        let distance = Span(60_000 / i64::from(each_minute));
        Pace { distance, burst: Span(distance.0 * i64::from((each_minute / BURST).saturating_sub(1))), due: Timestamp::MIN }
    }

    /// Takes a turn; returns how long to wait for it.
    pub fn take(&mut self, now: Timestamp) -> Span {
        // A clock that was set back must not make us wait for it.
        let due = self.due.max(now).min(now + self.burst + self.distance);
        self.due = due + self.distance;
        Span(due.since(now).0 - self.burst.0).max(Span::ZERO)
    }
}
