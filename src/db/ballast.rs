//! A few MiB in the data folder that are let go when the disk is full, so that alerts can be recorded, and people told, all the same.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Room for the state of some thousands of alerts with their deliveries.
const BYTES: usize = 8 << 20;

#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
    is_gone: AtomicBool,
}

/// Returns bytes that no file system can fold into fewer.
fn noise() -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(BYTES);
    while bytes.len() < BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

fn fill(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.len() == BYTES as u64) {
        return Ok(());
    }
    let mut file = File::create(path)?;
    let written = file.write_all(&noise()).and_then(|()| file.sync_all());
    if written.is_err() {
        // What could be written of it would take the room that it is to keep.
        let _ = fs::remove_file(path);
    }
    written
}

impl Ballast {
    /// Lays the ballast beside the database, unless it lies there already.
    pub fn load(database: &Path) -> Ballast {
        let mut name = database.file_name().unwrap_or_default().to_owned();
        name.push(".ballast");
        let ballast = Ballast { path: database.with_file_name(name), is_gone: AtomicBool::new(false) };
        ballast.renew();
        ballast
    }

    /// Lays the ballast again, when there is room for it.
    pub fn renew(&self) {
        let filled = fill(&self.path);
        if let Err(error) = &filled {
            tracing::error!(%error, path = %self.path.display(), "there is no room for the ballast; free the disk");
        }
        self.is_gone.store(filled.is_err(), Ordering::Release);
    }

    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// Lets the ballast go.
    pub fn let_go(&self) {
        if self.is_gone.swap(true, Ordering::AcqRel) {
            return;
        }
        match fs::remove_file(&self.path) {
            Ok(()) => tracing::error!(
                bytes = BYTES,
                "THE DISK IS FULL: the ballast is let go, so that alerts can still be recorded for a while; free the disk now"
            ),
            Err(error) => tracing::error!(%error, "THE DISK IS FULL, and the ballast cannot be let go"),
        }
    }
}
