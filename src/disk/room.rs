//! Room on the disk: what takes much of it claims it first, so that a log that goes on is not stopped by a copy.

use std::sync::{Arc, Mutex};

use rustix::fs::statvfs;

use super::{Disk, DiskError};

/// So much is left to the log and to the state.
const LEFT_BYTES: u64 = 8 << 20;

/// Room that somebody is about to take; let go of it once it is taken, or not needed.
#[derive(Debug)]
pub(super) struct Claim {
    claimed: Arc<Mutex<u64>>,
    bytes: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Ok(mut claimed) = self.claimed.lock() {
            *claimed -= self.bytes;
        }
    }
}

impl Disk {
    /// Claims room; what others have claimed counts as taken, though a part of it may be by now.
    ///
    /// Errors: `NoRoom`, `Io`.
    pub(super) fn claim(&self, action: &'static str, bytes: u64) -> Result<Claim, DiskError> {
        let found = statvfs(&self.folder).map_err(|error| DiskError::of("ask for the room of", &self.folder)(error.into()))?;
        let mut claimed = self.claimed.lock().expect("no thread panics while it claims room");
        let free = found.f_bavail.saturating_mul(found.f_frsize).saturating_sub(LEFT_BYTES).saturating_sub(*claimed);
        if bytes > free {
            return Err(DiskError::NoRoom { action, needed: bytes, free });
        }
        *claimed += bytes;
        Ok(Claim { claimed: self.claimed.clone(), bytes })
    }
}
