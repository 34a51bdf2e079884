//! Where PostgreSQL is installed, and who may run it where.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::id;

/// Returns the folder with the newest server's programs.
#[allow(clippy::disallowed_methods, reason = "the search path is where programs are looked for")]
pub fn installed() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin")))
        })
        .filter(|(_, folder)| is_whole(folder))
        .collect();
    found.sort();
    if let Some((_, folder)) = found.pop() {
        return Some(folder);
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path).map(|folder| folder.join("initdb")).find(|program| program.is_file())?;
    // Where the search path has links, the other programs lie beside what they point to.
    let folder = program.canonicalize().ok()?.parent()?.to_owned();
    is_whole(&folder).then_some(folder)
}

fn is_whole(folder: &Path) -> bool {
    ["initdb", "postgres", "pg_basebackup", "pg_ctl", "pg_rewind", "pg_archivecleanup"]
        .iter()
        .all(|name| folder.join(name).is_file())
}

pub fn are_we_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn accounts() -> Vec<(String, u32, u32)> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let account = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        Some(((*fields.first()?).to_owned(), fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    text.lines().filter_map(account).collect()
}

/// Returns the account without rights that the servers run as; None where we are not root and run them ourselves.
pub fn account() -> anyhow::Result<Option<(u32, u32)>> {
    if !are_we_root() {
        return Ok(None);
    }
    let accounts = accounts();
    let find = |wanted: &str| accounts.iter().find(|(name, ..)| name == wanted).map(|(_, user, group)| (*user, *group));
    let found = find("postgres").or_else(|| find("nobody"));
    found.map(Some).context("PostgreSQL does not run as root, and there is no account postgres or nobody")
}

pub fn name_of(wanted: u32) -> Option<String> {
    accounts().into_iter().find(|(_, user, _)| *user == wanted).map(|(name, ..)| name)
}

/// Returns a folder for the pair: beside the data, or in the temporary folder where the account without rights cannot get there, or
/// where the way there holds characters that the command of the archive could take amiss.
pub fn folder(data: &Path, other_account: bool) -> anyhow::Result<PathBuf> {
    let demo = data.join("demo");
    let beside = demo.canonicalize().with_context(|| format!("cannot find {}", demo.display()))?.join("pg");
    let is_plain =
        beside.to_str().is_some_and(|path| path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-')));
    let is_open = |folder: &Path| std::fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o001 != 0);
    let is_reached = !other_account || beside.ancestors().skip(1).all(is_open);
    if is_plain && is_reached {
        return Ok(beside);
    }
    let digest = id::digest(&beside.to_string_lossy());
    Ok(std::env::temp_dir().join(format!("tocsin-demo-{}", &digest[..16])))
}
