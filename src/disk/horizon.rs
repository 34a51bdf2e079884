//! The instant before which everything is forgotten, once blocks have gone to make room.
//!
//! Blocks overlap in time. Where one goes for its length, its neighbours still hold parts of the same rows, which must stay hidden after a
//! restart too.

use std::io::Write;
use std::path::Path;

use tocsin_core::time::Timestamp;
use tracing::warn;

use super::DiskError;
use super::files::{read_if_there, write_whole};

pub(super) const NAME: &str = "horizon";

/// Notes the instant; it lasts once this returns.
pub(super) fn write(folder: &Path, horizon: Timestamp) -> Result<(), DiskError> {
    write_whole(&folder.join(NAME), |out| write!(out, "{}", horizon.0)).map(drop)
}

/// Returns the instant that was noted last; None when there is none, or it cannot be understood.
///
/// Errors: `Io` when the file is there and cannot be read.
pub(super) fn read(folder: &Path) -> Result<Option<Timestamp>, DiskError> {
    let path = folder.join(NAME);
    let Some(bytes) = read_if_there(&path)? else {
        return Ok(None);
    };
    let horizon = str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok()).map(Timestamp);
    if horizon.is_none() {
        warn!(file = %path.display(), "the file holds no instant and is passed over; the oldest rows may be there in part");
    }
    Ok(horizon)
}
