//! Silences that have ended before their time, kept in a file of their own: a database that is put back from an older copy does not
//! know of it, and would mute again what somebody wants to hear.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tocsin_core::route::silence::Tombstone;
use tocsin_core::time::Timestamp;

const FILE: &str = "silences.ended";

/// The file; a line of JSON for each silence.
#[derive(Clone, Debug)]
pub struct Tombstones {
    path: PathBuf,
}

impl Tombstones {
    /// Opens the file in the data folder, and returns what it holds that can still matter; it is written anew without the rest.
    ///
    /// Errors: the file cannot be read or written. What is no line of ours is left out, and logged.
    pub fn open(data: &Path, now: Timestamp) -> std::io::Result<(Tombstones, Vec<Tombstone>)> {
        let path = data.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut found: Vec<Tombstone> = Vec::new();
        for line in text.lines() {
            match serde_json::from_str::<Tombstone>(line) {
                Ok(tombstone) if tombstone.is_over(now) => {}
                Ok(tombstone) => found.push(tombstone),
                // A crash while a line was written leaves half of one; the database has it.
                Err(error) => tracing::warn!(file = %path.display(), %error, "a line cannot be read and is left out"),
            }
        }
        if !text.is_empty() {
            let kept: String = found.iter().map(line).collect();
            let beside = path.with_extension("ended.new");
            let mut file = std::fs::File::create(&beside)?;
            file.write_all(kept.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&beside, &path)?;
        }
        Ok((Tombstones { path }, found))
    }

    /// Adds some, and returns once they are safe on the disk. The database has them already, so a failure is only logged.
    pub async fn add(&self, tombstones: Vec<Tombstone>) {
        let path = self.path.clone();
        let append = move || {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
            file.write_all(tombstones.iter().map(line).collect::<String>().as_bytes())?;
            file.sync_data()
        };
        let done = tokio::task::spawn_blocking(append).await;
        if let Err(error) = done.map_err(std::io::Error::other).and_then(|written| written) {
            tracing::error!(file = %self.path.display(), %error, "that silences have ended is in the database only");
        }
    }
}

fn line(tombstone: &Tombstone) -> String {
    serde_json::to_string(tombstone).expect("a record is made of plain fields with text keys") + "\n"
}
