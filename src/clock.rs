//! The only reader of clocks. Everything else takes the time as a parameter.
#![allow(clippy::disallowed_methods, reason = "this is the one place that the fence points to")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tocsin_core::time::{Span, Timestamp};

/// Returns the wall clock's time, UTC.
pub fn now() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        Err(before) => Timestamp(-i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX)),
    }
}

/// Measures elapsed time, untouched by steps of the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Returns the elapsed time in seconds.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Waits until the wall clock shows `deadline`; returns at once when it has passed.
///
/// A wait is cut into pieces of at most a minute, so that a step of the wall clock is noticed.
pub async fn sleep_until(deadline: Timestamp) {
    loop {
        let left = deadline.since(now());
        if left <= Span::ZERO {
            return;
        }
        tokio::time::sleep(left.min(Span::from_mins(1)).to_std()).await;
    }
}
