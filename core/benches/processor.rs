//! The time that a benchmark has computed.

/// Returns the nanoseconds that this process has computed; other work on the machine does not count.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads its own time")]
pub fn computed_ns() -> u64 {
    let status = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    status.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}
