//! The clock that forgetting goes by, noted so that a restart does not take a wrong wall clock at its word.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::Ordering;

use tocsin_core::store::{SteadyClock, Store};
use tocsin_core::time::{Span, Timestamp};
use tracing::{info, warn};

use super::files::{read_if_there, write_whole};
use super::{Disk, DiskError};

pub(super) const NAME: &str = "clock";
/// It is noted this often.
const NOTE_EVERY: Span = Span::from_mins(10);

/// Returns what was noted last; None when there is nothing, or it cannot be understood.
///
/// Errors: `Io` when the file is there and cannot be read.
pub(super) fn read(folder: &Path) -> Result<Option<SteadyClock>, DiskError> {
    let Some(bytes) = read_if_there(&folder.join(NAME))? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut numbers = text.split_whitespace().map_while(|word| word.parse::<i64>().ok());
    Ok(match (numbers.next(), numbers.next()) {
        (Some(at), Some(doubted)) => Some(SteadyClock::new(Timestamp(at), Span(doubted))),
        _ => None,
    })
}

impl Disk {
    /// Says what the wall clock shows, and how long ago it was asked last by a clock that nobody steps. From then on forgetting goes by
    /// what is believed of it, which is returned. To be called before the first maintenance, and about as often.
    pub fn tell_time(&self, store: &Store, now: Timestamp, passed: Span) -> Timestamp {
        let mut clock = self.clock.lock().expect("no thread panics while it holds the clock");
        let before = clock.unwrap_or_else(|| SteadyClock::new(store.newest().unwrap_or(now), Span::ZERO));
        let after = before.tick(now, passed);
        if before.doubted() == Span::ZERO && after.doubted() > Span::ZERO {
            let ahead_seconds = now.since(after.at()).seconds();
            info!(
                ahead_seconds,
                "the wall clock is ahead of what was stored; nothing is forgotten by it until that has lasted for a day"
            );
        }
        let is_noted = clock.is_some() && before.at().0.div_euclid(NOTE_EVERY.0) == after.at().0.div_euclid(NOTE_EVERY.0);
        *clock = Some(after);
        store.forget_by(after.at());
        if !is_noted && !self.leaves_room.load(Ordering::Acquire) {
            let note = |out: &mut BufWriter<File>| write!(out, "{} {}", after.at().0, after.doubted().0);
            if let Err(error) = write_whole(&self.folder.join(NAME), note) {
                warn!(%error, "what forgetting goes by cannot be noted");
            }
        }
        after.at()
    }
}
