//! What the watcher of a program is told, and what it tells: files in a folder of their own, so that both outlive us.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The files of a folder.
pub const ORDER: &str = "order.json";
pub const ANSWER: &str = "answer.json";
pub const REFUSAL: &str = "refusal";
/// The folder that the program works in.
pub const WORK: &str = "work";

/// What is to be run, and how far it may go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    pub program: String,
    /// Hashes that the program's content must have, all of them.
    pub sha256: Vec<String>,
    /// The first one is the name that the program sees itself under.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Number of a user and of a group. None: as whom we run ourselves.
    pub user: Option<(u32, u32)>,
    /// None: until somebody stops it.
    pub timeout_ms: Option<u64>,
    /// What is kept of each stream.
    pub output_max: usize,
    pub limits: Limits,
    /// The signal that asks the program to end.
    pub ask: Ask,
    /// The program ends with whoever ordered it.
    pub leash: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ask {
    Term,
    /// What PostgreSQL wants to hear when it is to end at once.
    Quit,
}

/// None: not limited by us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub open_files: Option<u64>,
    pub file_bytes: Option<u64>,
    pub memory_bytes: Option<u64>,
    /// Counted over all that the user runs.
    pub processes: Option<u64>,
}

/// How a program ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The program was never begun, for this reason.
    pub refused: Option<String>,
    pub exit: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// More was written than is kept.
    pub stdout_cut: bool,
    pub stderr_cut: bool,
    pub end: End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// By itself.
    #[default]
    Own,
    /// It took longer than it may.
    Late,
    /// It was told to.
    Told,
}

impl Answer {
    pub fn refused(why: impl Into<String>) -> Answer {
        Answer { refused: Some(why.into()), ..Answer::default() }
    }
}

/// Writes a file that is there as a whole or not at all, for nobody else to read.
pub fn write_whole(folder: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let aside = folder.join(format!("{name}.new"));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(&serde_json::to_vec(value).map_err(io::Error::other)?)?;
    file.sync_all()?;
    fs::rename(&aside, folder.join(name))
}

/// Returns what a file holds; none: there is no such file.
pub fn read<T: serde::de::DeserializeOwned>(folder: &Path, name: &str) -> io::Result<Option<T>> {
    match fs::read(folder.join(name)) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
