//! What `/proc` says of processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// What is asked of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub parent: i32,
    /// Such as `R`, `S`, `T` and `Z`.
    pub state: char,
    /// When it began. Unit: ticks since the machine started.
    pub start: u64,
}

/// Returns what is known of a process; none: there is none under this number.
pub fn stat(pid: i32) -> Option<Stat> {
    read_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn read_stat(text: &str) -> Option<Stat> {
    // The second field is the program's name in brackets, which may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

/// Returns whether a process lives; one that only waits to be taken note of does not.
pub fn lives(pid: i32, start: u64) -> bool {
    stat(pid).is_some_and(|stat| stat.start == start && !matches!(stat.state, 'Z' | 'X'))
}

/// Returns the descriptors above the standard streams that every program which we start inherits, each with what it stands for. Ours are
/// closed by the start of a program; these were handed to us by whoever started us.
pub fn handed_on() -> Vec<(i32, String)> {
    const CLOSES: u32 = 0o2_000_000;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fdinfo").into_iter().flatten().flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // Some are closed while we look.
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).unwrap_or(CLOSES);
        if number > 2 && flags & CLOSES == 0 {
            let what = fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
            found.push((number, what.display().to_string()));
        }
    }
    found
}

/// Returns what tells this start of the machine from any other.
pub fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Returns when the machine started. Unit: seconds since the epoch.
pub fn boot_seconds() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Returns all that a process has started, and what those have started, as far as it lives.
pub fn descendants(of: i32) -> BTreeSet<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir(Path::new("/proc")).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if let Some(stat) = stat(pid).filter(|stat| !matches!(stat.state, 'Z' | 'X')) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let (mut found, mut waiting) = (BTreeSet::new(), vec![of]);
    while let Some(pid) = waiting.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            found.insert(child);
            waiting.push(child);
        }
    }
    found
}

/// Kills all that this process has started. Who is killed leaves its own children to us, so it is looked again.
pub fn kill_descendants() {
    const ROUNDS_MAX: usize = 100;
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    for _ in 0..ROUNDS_MAX {
        let found = descendants(own);
        if found.is_empty() {
            return;
        }
        for pid in found.into_iter().filter_map(Pid::from_raw) {
            // Who has ended meanwhile needs no signal.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_is_read_over() {
        let text = "7 (a) R (b) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 99 1";
        assert_eq!(read_stat(text), Some(Stat { parent: 3, state: 'S', start: 4242 }));
        assert_eq!(read_stat("7 (a"), None);
    }

    #[test]
    fn this_process_is_seen() {
        let own = i32::try_from(std::process::id()).unwrap();
        let seen = stat(own).unwrap();
        assert!(lives(own, seen.start) && !lives(own, seen.start + 1));
    }
}
