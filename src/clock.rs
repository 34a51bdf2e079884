//! The only reader of clocks. Everything else takes the time as a parameter.
#![allow(clippy::disallowed_methods, reason = "this is the one place that the fence points to")]

use std::sync::{Mutex, PoisonError};
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

/// A wait that has lasted this much longer than it should tells that the wall clock was stepped back; less is drift.
const STEP_MIN: Duration = Duration::from_secs(1);
/// A wait is cut into pieces, so that a step of the wall clock is noticed.
const PIECE_MAX: Duration = Duration::from_secs(60);

/// Waits until the wall clock shows `deadline`; returns at once when it has passed.
///
/// A wall clock that is stepped back does not lengthen the wait: it ends about when it would have ended, and the caller finds that
/// `now` is before the deadline.
pub async fn sleep_until(deadline: Timestamp) {
    sleep(deadline, now).await;
}

async fn sleep(deadline: Timestamp, now: impl Fn() -> Timestamp) {
    let (wait, watch) = (deadline.since(now()).max(Span::ZERO).to_std(), Stopwatch::start());
    loop {
        let (left, waited) = (deadline.since(now()), watch.elapsed());
        if left <= Span::ZERO {
            return;
        }
        let most = wait + STEP_MIN;
        if waited >= most {
            tell_of_step(left);
            return;
        }
        tokio::time::sleep(left.to_std().min(most - waited).min(PIECE_MAX)).await;
    }
}

/// Logs a step of the wall clock, once for all that waited.
fn tell_of_step(left: Span) {
    static TOLD: Mutex<Option<Stopwatch>> = Mutex::new(None);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.is_none_or(|told| told.elapsed() > PIECE_MAX) {
        *told = Some(Stopwatch::start());
        tracing::error!(
            seconds = left.seconds(),
            "the wall clock was stepped back; scrapes and rules go on by what it shows now"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_ends_in_time_when_the_clock_is_stepped_back() {
        let (start, watch) = (now(), Stopwatch::start());
        let stepped = move || if watch.elapsed() < Duration::from_millis(50) { now() } else { now() - Span::from_mins(120) };
        sleep(start + Span(200), stepped).await;
        assert!(watch.elapsed() >= Duration::from_millis(200), "{:?}", watch.elapsed());
        assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
    }

    #[tokio::test]
    async fn a_wait_ends_at_its_deadline_though_the_clock_drifts() {
        let (start, watch) = (now(), Stopwatch::start());
        let slow = move || start + Span(watch.elapsed().as_millis() as i64 / 2);
        sleep(start + Span(100), slow).await;
        assert_eq!(slow().since(start + Span(100)).0 / 50, 0, "{:?}", watch.elapsed());
    }
}
