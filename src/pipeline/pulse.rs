//! Signs of life of the tasks that must never stand still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::Stopwatch;

/// The sign of life of one task; clones share it.
#[derive(Clone, Debug)]
pub struct Pulse {
    pub name: &'static str,
    /// Without a beat for longer than this the task stands still.
    most: Duration,
    start: Stopwatch,
    /// When the last beat was, in milliseconds since `start`.
    last: Arc<AtomicU64>,
}

impl Pulse {
    pub fn new(name: &'static str, most: Duration) -> Pulse {
        Pulse { name, most, start: Stopwatch::start(), last: Arc::default() }
    }

    /// Notes that the task goes on.
    pub fn beat(&self) {
        self.last.store(self.elapsed_ms(), Relaxed);
    }

    /// Returns whether the task has gone on lately.
    pub fn beats(&self) -> bool {
        Duration::from_millis(self.elapsed_ms().saturating_sub(self.last.load(Relaxed))) <= self.most
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_without_a_beat_stands_still() {
        let (patient, strict) = (Pulse::new("patient", Duration::from_secs(60)), Pulse::new("strict", Duration::ZERO));
        std::thread::sleep(Duration::from_millis(5));
        assert!(patient.beats() && !strict.beats());
        strict.clone().beat();
        assert!(strict.last.load(Relaxed) >= 5, "clones share the beat");
    }
}
