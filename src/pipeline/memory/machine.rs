//! How much memory there is, and how much this process takes, as Linux says.

use std::fs;
use std::path::Path;

/// Returns the bytes that the process takes, in memory or swapped out, without what it shares with files; None where nobody says.
pub fn resident_bytes() -> Option<u64> {
    resident_in(&fs::read_to_string("/proc/self/status").ok()?)
}

/// Returns the bytes that there are for the process: those of the machine, or of the group that it is confined to.
pub fn available_bytes() -> Option<u64> {
    let machine = kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Some(limits_of(&groups, Path::new("/sys/fs/cgroup")).into_iter().fold(machine, u64::min))
}

/// Returns what a line such as `VmRSS:   12 kB` says, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn resident_in(status: &str) -> Option<u64> {
    let anonymous = kib(status, "RssAnon:")?;
    Some(anonymous + kib(status, "RssShmem:").unwrap_or(0) + kib(status, "VmSwap:").unwrap_or(0))
}

/// Returns the limits of the groups in a text as `/proc/self/cgroup` has it, each with those above it.
fn limits_of(groups: &str, root: &Path) -> Vec<u64> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (folder, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let own = folder.join(path.trim_start_matches('/'));
        let above = own.ancestors().take_while(|ancestor| ancestor.starts_with(&folder));
        let limit = |folder: &Path| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
        limits.extend(above.filter_map(limit));
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_is_read() {
        let status = "Name:\ttocsin\nVmRSS:\t  9000 kB\nRssAnon:\t    5000 kB\nRssFile:\t    4000 kB\nRssShmem:\t       2 kB\nVmSwap:\t     10 kB\n";
        assert_eq!(resident_in(status), Some(5012 * 1024));
        assert_eq!(resident_in("VmRSS:\t 1 kB\n"), None, "kernels before 4.5 do not say");
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100 << 10));
        assert!(available_bytes().is_some_and(|bytes| bytes > 64 << 20));
    }

    #[test]
    fn the_narrowest_group_counts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
            fs::write(folder.path().join(path), text).unwrap();
        };
        write("a/b/memory.max", "max\n");
        write("a/memory.max", "1000\n");
        write("memory.max", "5000\n");
        write("memory/c/memory.limit_in_bytes", "700\n");
        assert_eq!(limits_of("0::/a/b\n", folder.path()), [1000, 5000]);
        assert_eq!(limits_of("5:cpu:/x\n4:memory:/c\n0::/none\n", folder.path()), [700, 5000]);
        assert_eq!(limits_of("0::/\n", folder.path()), [5000]);
        assert_eq!(limits_of("nonsense", folder.path()), [0; 0]);
    }
}
