//! How far a backtest is, on standard error.

use std::io::{IsTerminal, Write};

use tocsin_core::backtest::Window;
use tocsin_core::time::{Span, Timestamp};

use crate::clock::Stopwatch;

/// Lines that are not written over one another come this many seconds apart at least.
const APART_SECONDS: f64 = 5.0;

pub(super) struct Progress {
    shown: bool,
    is_terminal: bool,
    window: Window,
    watch: Stopwatch,
    told_at: f64,
}

impl Progress {
    /// `forced`: also where nobody looks.
    pub fn new(forced: bool, window: Window) -> Progress {
        let is_terminal = std::io::stderr().is_terminal();
        Progress { shown: forced || is_terminal, is_terminal, window, watch: Stopwatch::start(), told_at: f64::MIN }
    }

    /// Tells that all is walked up to an instant.
    pub fn tell(&mut self, walked: Timestamp) {
        let seconds = self.watch.seconds();
        let is_last = walked >= self.window.to;
        if !self.shown || !self.is_terminal && !is_last && seconds - self.told_at < APART_SECONDS {
            return;
        }
        self.told_at = seconds;
        let line = line(self.window, walked, seconds);
        // Whoever closes standard error does not want to know.
        let _ =
            if self.is_terminal { write!(std::io::stderr(), "\r\x1b[K{line}") } else { writeln!(std::io::stderr(), "{line}") };
    }

    /// Leaves the terminal to the report.
    pub fn end(&mut self) {
        if self.shown && self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// Returns the percentage of time that is walked, how fast that goes, and how long the rest will take.
fn line(window: Window, walked: Timestamp, seconds: f64) -> String {
    let whole = window.to.since(window.begins()).seconds();
    let done = walked.since(window.begins()).seconds();
    let rate = done / seconds.max(0.001);
    let left = Span::from_secs(((whole - done) / rate.max(0.001)).ceil() as i64);
    format!("{:3.0} % of {}, {:.1} h/s, {left} left", 100.0 * done / whole, Span(whole as i64 * 1000), rate / 3600.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_how_far_how_fast_and_how_long_still() {
        let window = Window { from: Timestamp(3_600_000), to: Timestamp(10 * 3_600_000), warm_up: Span::from_mins(60) };
        assert_eq!(line(window, Timestamp(4 * 3_600_000), 8.0), " 40 % of 10h, 0.5 h/s, 12s left");
        assert_eq!(line(window, window.to, 20.0), "100 % of 10h, 0.5 h/s, 0s left");
    }
}
